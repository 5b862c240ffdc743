//! The target of a request, in one form before anything looks at it.

use super::Fault;
use crate::path::NormalPath;
use crate::query::Query;
use core::ops::Range;

/// A target in origin-form (RFC 9112, section 3.2.1), read once; the backend gets exactly this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target<'a> {
    /// The path.
    pub path: NormalPath<'a>,
    /// The query, where the target has a `?`.
    pub query: Option<Query<'a>>,
    /// The authority of a target that was a URL. It must be the `Host`.
    pub authority: Option<&'a [u8]>,
}

impl<'a> Target<'a> {
    /// Reads a target. Of a URL (absolute-form, RFC 9112, section 3.2.2) the path and query stay. Everything else
    /// (`*`, `host:port`, `path` without a slash) names nothing that Odoo serves, and servers read it in different
    /// ways.
    ///
    /// # Errors
    /// The [`Fault`] for which the request must be refused.
    pub fn parse(raw: &'a [u8]) -> Result<Self, Fault> {
        let (authority, raw) = match authority_within(raw) {
            Some(within) => {
                let (authority, rest) = raw.split_at_checked(within.end).unwrap_or_default();
                (authority.get(within.start..), rest)
            }
            None => (None, raw),
        };
        let mark = raw.iter().position(|&byte| byte == b'?');
        let (path, query) = match mark.and_then(|at| raw.split_at_checked(at)) {
            Some((path, query)) => (path, Some(Query::new(query.get(1..).unwrap_or_default())?)),
            None => (raw, None),
        };
        let path = if path.is_empty() && authority.is_some() { b"/" } else { path };
        Ok(Self { path: NormalPath::new(path)?, query, authority })
    }

    /// Whether `raw` is this target already, byte for byte.
    #[must_use]
    pub fn is_spelled(&self, raw: &[u8]) -> bool {
        self.authority.is_none() && self.path.is_borrowed() && raw.first() == Some(&b'/')
    }

    /// The target as backends get it.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.path.as_bytes().to_vec();
        if let Some(query) = self.query {
            bytes.push(b'?');
            bytes.extend_from_slice(query.as_bytes());
        }
        bytes
    }
}

/// Where the authority of a target stands that is an HTTP URL.
pub(super) fn authority_within(target: &[u8]) -> Option<Range<usize>> {
    let starts = |scheme: &[u8]| {
        target
            .get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
            .then_some(scheme.len())
    };
    let start = starts(b"http://").or_else(|| starts(b"https://"))?;
    let rest = target.get(start..)?;
    let length =
        rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#' | b'\\')).unwrap_or(rest.len());
    Some(start..start.saturating_add(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &str) -> Result<String, Fault> {
        Target::parse(raw.as_bytes()).map(|target| String::from_utf8(target.to_bytes()).unwrap())
    }

    #[test]
    fn a_url_is_cut_to_its_path_and_query() {
        for (raw, target) in [
            ("/odoo?a=http://x/", "/odoo?a=http://x/"),
            ("/odoo?", "/odoo?"),
            ("//acme.test/x", "/acme.test/x"),
            ("http://acme.test/websocket?version=1", "/websocket?version=1"),
            ("HTTPS://acme.test:8443/%77ebsocket", "/websocket"),
            ("http://acme.test", "/"),
            ("http://acme.test?a=b", "/?a=b"),
        ] {
            assert_eq!(read(raw).as_deref(), Ok(target), "{raw}");
        }
        assert_eq!(Target::parse(b"http://acme.test:80/x").unwrap().authority, Some(&b"acme.test:80"[..]));
    }

    #[test]
    fn what_is_neither_a_path_nor_a_url_is_refused() {
        for raw in
            ["", "*", "acme.test:443", "odoo", "?a=b", "ftp://acme.test/x", "http:/acme.test/x", "://x/"]
        {
            assert_eq!(read(raw), Err(Fault::TargetForm), "{raw}");
        }
        assert_eq!(read("http://acme.test\\@globex.test/"), Err(Fault::TargetForm));
        assert_eq!(read("/odoo#home"), Err(Fault::TargetByte));
        assert_eq!(read("/odoo?a=b#home"), Err(Fault::TargetByte));
    }

    #[test]
    fn a_target_knows_whether_it_was_rewritten() {
        let spelled = |raw: &str| Target::parse(raw.as_bytes()).unwrap().is_spelled(raw.as_bytes());
        assert!(spelled("/odoo/a%20b?x=%zz"));
        for raw in ["//odoo", "/%6fdoo", "/a%c3", "http://acme.test/odoo"] {
            assert!(!spelled(raw), "{raw}");
        }
    }
}
