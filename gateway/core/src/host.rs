//! The only place that normalises a host.
//!
//! A host in a table is a [`HostName`]; a host of a request is a [`HostKey`]. Both come out of the same rules:
//! lower-case ASCII, no port, no trailing dot, IPv6 literals in canonical form within brackets.

use core::fmt;
use core::net::Ipv6Addr;
use std::sync::Arc;

/// Longest host name in bytes, without a trailing dot (RFC 1035, section 2.3.4).
pub const HOST_BYTES_MAX: usize = 253;
/// Longest label in bytes (RFC 1035, section 2.3.4).
pub const LABEL_BYTES_MAX: usize = 63;

/// Why a text is not a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// No host at all.
    #[error("the host is empty")]
    Empty,
    /// Over [`HOST_BYTES_MAX`].
    #[error("the host is longer than 253 bytes")]
    TooLong,
    /// An empty label, or one over [`LABEL_BYTES_MAX`].
    #[error("a label of the host is empty or longer than 63 bytes")]
    Label,
    /// A byte that no host name holds.
    #[error("the host holds a character other than letters, digits, `-`, `_` and `.`")]
    Character,
    /// A port that is not a number of 1 to 65535.
    #[error("the port is not a number between 1 and 65535")]
    Port,
    /// Brackets without an IPv6 address in them.
    #[error("the brackets do not hold an IPv6 address")]
    Ipv6,
    /// A Unicode name that IDNA (UTS 46) does not allow.
    #[error("the name is not a valid internationalised domain name")]
    Idna,
    /// A `*` anywhere but as the whole first label.
    #[error("`*` may only be the whole first label, as in `*.example.com`")]
    Wildcard,
}

/// A host as tables hold it. A copy shares the text: the config and the table of a large fleet hold the same one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName(Arc<str>);

impl core::borrow::Borrow<str> for HostName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl HostName {
    /// Reads a host that an operator wrote: any case, Unicode allowed (it becomes punycode), no port.
    ///
    /// # Errors
    /// [`HostError`] says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        let ascii = if text.is_ascii() {
            text.to_owned()
        } else {
            idna::domain_to_ascii(text).map_err(|_| HostError::Idna)?
        };
        match HostKey::parse(ascii.as_bytes())? {
            (key, None) => Ok(Self(key.as_str().into())),
            (_, Some(_)) => Err(HostError::Port),
        }
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a tenant answers to: one host, or every host one label below a suffix.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// `acme.example.com`
    Exact(HostName),
    /// `*.example.com`: any one label in place of the star.
    Suffix(HostName),
}

impl HostPattern {
    /// Reads `host` or `*.suffix`.
    ///
    /// # Errors
    /// [`HostError`] says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        let Some(suffix) = text.strip_prefix("*.") else {
            return if text.contains('*') {
                Err(HostError::Wildcard)
            } else {
                HostName::parse(text).map(Self::Exact)
            };
        };
        if suffix.contains('*') || suffix.starts_with('[') {
            return Err(HostError::Wildcard);
        }
        HostName::parse(suffix).map(Self::Suffix)
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host.as_str()),
            Self::Suffix(suffix) => write!(f, "*.{suffix}"),
        }
    }
}

/// The host of one request, normalised on the stack: no allocation.
#[derive(Clone, Copy)]
pub struct HostKey {
    bytes: [u8; HOST_BYTES_MAX],
    len: u8,
}

impl HostKey {
    /// Reads the `Host` header or `:authority` of a request: `host [":" port]` (RFC 9110, section 7.2).
    ///
    /// Returns the host and the port if one was written. Userinfo, Unicode and percent-encoding are refused: a
    /// client that means a name sends its ASCII form.
    ///
    /// # Errors
    /// [`HostError`] says which rule the text breaks.
    pub fn parse(authority: &[u8]) -> Result<(Self, Option<u16>), HostError> {
        if authority.first() == Some(&b'[') {
            return parse_ipv6(authority);
        }
        let colon = authority.iter().position(|&byte| byte == b':');
        let (host, port) = match colon.and_then(|at| authority.split_at_checked(at)) {
            Some((host, rest)) => (host, Some(parse_port(rest.get(1..).unwrap_or_default())?)),
            None => (authority, None),
        };
        Ok((Self::from_name(host)?, port))
    }

    fn from_name(host: &[u8]) -> Result<Self, HostError> {
        let host = host.strip_suffix(b".").unwrap_or(host);
        if host.is_empty() {
            return Err(HostError::Empty);
        }
        let len = u8::try_from(host.len()).ok().filter(|len| usize::from(*len) <= HOST_BYTES_MAX);
        let len = len.ok_or(HostError::TooLong)?;
        let mut bytes = [0; HOST_BYTES_MAX];
        let mut label_len = 0_usize;
        for (slot, &byte) in bytes.iter_mut().zip(host) {
            *slot = canonical_byte(byte).ok_or(HostError::Character)?;
            if byte != b'.' {
                label_len += 1;
            } else if label_len == 0 || label_len > LABEL_BYTES_MAX {
                return Err(HostError::Label);
            } else {
                label_len = 0;
            }
        }
        if label_len == 0 || label_len > LABEL_BYTES_MAX {
            return Err(HostError::Label);
        }
        Ok(Self { bytes, len })
    }

    fn push(&mut self, byte: u8) -> Result<(), HostError> {
        let slot = self.bytes.get_mut(usize::from(self.len)).ok_or(HostError::TooLong)?;
        *slot = byte;
        self.len = self.len.checked_add(1).ok_or(HostError::TooLong)?;
        Ok(())
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.bytes
            .get(..usize::from(self.len))
            .and_then(|bytes| core::str::from_utf8(bytes).ok())
            .unwrap_or_default()
    }
}

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostKey({})", self.as_str())
    }
}

/// A byte of a host name in lower case; `None` when no host name holds it.
const fn canonical_byte(byte: u8) -> Option<u8> {
    match byte {
        b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' => Some(byte),
        b'A'..=b'Z' => Some(byte.to_ascii_lowercase()),
        _ => None,
    }
}

fn parse_ipv6(authority: &[u8]) -> Result<(HostKey, Option<u16>), HostError> {
    let close = authority.iter().position(|&byte| byte == b']').ok_or(HostError::Ipv6)?;
    let inner = authority.get(1..close).unwrap_or_default();
    let rest = authority.get(close.saturating_add(1)..).unwrap_or_default();
    let address: Ipv6Addr =
        core::str::from_utf8(inner).ok().and_then(|text| text.parse().ok()).ok_or(HostError::Ipv6)?;
    let port = match rest {
        [] => None,
        [b':', port @ ..] => Some(parse_port(port)?),
        _ => return Err(HostError::Port),
    };
    let mut key = HostKey { bytes: [0; HOST_BYTES_MAX], len: 0 };
    fmt::Write::write_fmt(&mut Brackets(&mut key), format_args!("[{address}]"))
        .map_err(|_| HostError::Ipv6)?;
    Ok((key, port))
}

/// Lets the standard formatter write an address into a key.
struct Brackets<'a>(&'a mut HostKey);

impl fmt::Write for Brackets<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().try_for_each(|byte| self.0.push(byte)).map_err(|_| fmt::Error)
    }
}

fn parse_port(digits: &[u8]) -> Result<u16, HostError> {
    if digits.is_empty() || digits.len() > 5 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(HostError::Port);
    }
    let port = core::str::from_utf8(digits).ok().and_then(|text| text.parse::<u16>().ok());
    port.filter(|&port| port != 0).ok_or(HostError::Port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Result<(String, Option<u16>), HostError> {
        HostKey::parse(text.as_bytes()).map(|(key, port)| (key.as_str().to_owned(), port))
    }

    #[test]
    fn spellings_of_one_host_are_one_key() {
        for spelling in ["acme.example.com", "ACME.example.COM", "acme.example.com.", "Acme.Example.Com"] {
            assert_eq!(key(spelling), Ok(("acme.example.com".into(), None)), "{spelling}");
        }
        assert_eq!(key("acme.example.com.:8443"), Ok(("acme.example.com".into(), Some(8443))));
    }

    #[test]
    fn ipv6_literals_are_canonical() {
        assert_eq!(key("[::1]:80"), Ok(("[::1]".into(), Some(80))));
        assert_eq!(key("[0:0:0:0:0:0:0:1]"), Ok(("[::1]".into(), None)));
        assert_eq!(key("[::1"), Err(HostError::Ipv6));
        assert_eq!(key("[::1]x"), Err(HostError::Port));
        assert_eq!(key("::1"), Err(HostError::Port));
        assert_eq!(key("[fe80::1%eth0]"), Err(HostError::Ipv6));
    }

    #[test]
    fn hosts_from_hell_are_refused_with_the_rule_they_break() {
        let long_label = "a".repeat(64);
        let long_host = format!("{}.com", vec!["a".repeat(49); 5].join("."));
        assert_eq!(long_host.len(), 253);
        assert_eq!(key(&long_host).map(|(host, _)| host), Ok(long_host.clone()));
        for (text, error) in [
            ("", HostError::Empty),
            (".", HostError::Empty),
            (":80", HostError::Empty),
            ("a..b", HostError::Label),
            (".a", HostError::Label),
            ("a..", HostError::Label),
            (long_label.as_str(), HostError::Label),
            (&format!("x{long_host}"), HostError::TooLong),
            ("acme.test:0", HostError::Port),
            ("acme.test:", HostError::Port),
            ("acme.test:65536", HostError::Port),
            ("acme.test:80:80", HostError::Port),
            ("acme.test:+80", HostError::Port),
            ("user@acme.test", HostError::Character),
            ("acme.test/..", HostError::Character),
            ("acme test", HostError::Character),
            ("acme%2etest", HostError::Character),
            ("bücher.example", HostError::Character),
            ("acme.test\0", HostError::Character),
            ("*.acme.test", HostError::Character),
        ] {
            assert_eq!(key(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn operators_may_write_unicode_and_get_punycode() {
        assert_eq!(
            HostName::parse("Bücher.Example").map(|host| host.to_string()),
            Ok("xn--bcher-kva.example".into())
        );
        assert_eq!(HostName::parse("acme.test:80"), Err(HostError::Port));
    }

    #[test]
    fn a_star_stands_only_for_the_first_label() {
        assert_eq!(
            HostPattern::parse("*.Example.com").map(|pattern| pattern.to_string()),
            Ok("*.example.com".into())
        );
        for text in ["*", "a.*.com", "*a.com", "*.*.com", "*.[::1]"] {
            assert_eq!(HostPattern::parse(text), Err(HostError::Wildcard), "{text}");
        }
    }
}
