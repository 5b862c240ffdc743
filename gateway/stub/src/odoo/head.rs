//! The head of a request: parsed from exactly the bytes that arrived, order and duplicates kept.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use percent_encoding::percent_decode_str;

/// Larger heads are answered 431. Odoo's own limits are smaller; the stub must not be the first to say no.
pub(crate) const HEAD_BYTES_MAX: usize = 256 * 1024;
const HEADER_LINES_MAX: usize = 512;

/// Languages active on every stand-in website. The website rewrites `/fr/x` to `/x` for any route.
/// Source: Odoo 19.0 `addons/http_routing/models/ir_http.py`, `_match`.
const LANGUAGES: [&str; 4] = ["en", "fr", "fr_BE", "de"];

/// A parsed request head.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) minor: u8,
    pub(crate) headers: Vec<(Bytes, Bytes)>,
}

/// Why a head cannot be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadError {
    NotHttp,
    TooLarge,
}

impl Head {
    /// Takes one head from the front of `buffer`; `None` when more bytes are needed.
    pub(crate) fn take(buffer: &mut BytesMut) -> Result<Option<Self>, HeadError> {
        while buffer.first().is_some_and(|byte| matches!(byte, b'\r' | b'\n')) {
            bytes::Buf::advance(buffer, 1);
        }
        let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else {
            return if buffer.len() > HEAD_BYTES_MAX { Err(HeadError::TooLarge) } else { Ok(None) };
        };
        let bytes = buffer.split_to(end + 4).freeze();
        let mut lines = vec![httparse::EMPTY_HEADER; HEADER_LINES_SMALL];
        match Self::parse(&bytes, &mut lines) {
            Err(httparse::Error::TooManyHeaders) => {
                let mut lines = vec![httparse::EMPTY_HEADER; HEADER_LINES_MAX];
                Self::parse(&bytes, &mut lines).map(Some).map_err(|_| HeadError::NotHttp)
            }
            parsed => parsed.map(Some).map_err(|_| HeadError::NotHttp),
        }
    }

    fn parse<'b>(bytes: &'b Bytes, lines: &mut [httparse::Header<'b>]) -> Result<Self, httparse::Error> {
        let mut request = httparse::Request::new(lines);
        request.parse(bytes)?;
        let headers = request.headers.iter();
        Ok(Self {
            method: request.method.unwrap_or_default().to_owned(),
            target: request.path.unwrap_or_default().to_owned(),
            minor: request.version.unwrap_or_default(),
            headers: headers
                .map(|line| (bytes.slice_ref(line.name.as_bytes()), bytes.slice_ref(line.value)))
                .collect(),
        })
    }

    /// The value the application sees under a name: lines joined by a comma in order of arrival, with `_` and `-`
    /// in names being the same, since a WSGI environment cannot tell them apart.
    /// Source: Werkzeug before 3.0, `serving.py`, `make_environ`.
    pub(crate) fn joined(&self, name: &str) -> Option<Cow<'_, str>> {
        let mut values = self.headers.iter().filter(|(header, _)| folds_to(header, name));
        let first = String::from_utf8_lossy(&values.next()?.1);
        let mut joined = first;
        for (_, value) in values {
            let owned = joined.to_mut();
            owned.push(',');
            owned.push_str(&String::from_utf8_lossy(value));
        }
        Some(joined)
    }

    /// Whether a comma-separated header names a token, without regard to case.
    pub(crate) fn names_token(&self, name: &str, token: &str) -> bool {
        self.joined(name)
            .is_some_and(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
    }

    /// The value of one cookie.
    pub(crate) fn cookie(&self, name: &str) -> Option<String> {
        let cookies = self.joined("cookie")?;
        let mut pairs = cookies.split(';').filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
    }

    /// The authority the application believes: the last `X-Forwarded-Host`, else that of an absolute target, else
    /// `Host`. Source: Odoo 19.0 `odoo/http.py` (ProxyFix with `x_host=1` when `proxy_mode`), Werkzeug `serving.py`.
    pub(crate) fn authority(&self) -> String {
        if let Some(forwarded) = self.joined("x-forwarded-host") {
            return forwarded.rsplit(',').next().unwrap_or_default().trim().to_owned();
        }
        if let Some((_, rest)) = self.target.split_once("://") {
            return rest.split(['/', '?']).next().unwrap_or_default().to_owned();
        }
        self.joined("host").unwrap_or_default().into_owned()
    }

    /// The route of the target: path percent-decoded once, language prefix and one trailing slash removed.
    pub(crate) fn route(&self) -> String {
        let origin = self.target.split_once("://").map_or(self.target.as_str(), |(_, rest)| {
            rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
        });
        let raw = origin.split('?').next().unwrap_or_default();
        let decoded = percent_decode_str(raw).decode_utf8_lossy();
        let spoken = LANGUAGES.iter().find_map(|language| {
            let rest = decoded.strip_prefix('/')?.strip_prefix(language)?;
            (rest.is_empty() || rest.starts_with('/')).then_some(rest)
        });
        let path = spoken.unwrap_or(&decoded);
        match path.strip_suffix('/').unwrap_or(path) {
            "" => "/".to_owned(),
            path => path.to_owned(),
        }
    }

    /// One parameter of the query string, decoded.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        let (_, query) = self.target.split_once('?')?;
        form_value(query, name)
    }

    /// A numeric parameter of the query string.
    pub(crate) fn query_number(&self, name: &str) -> Option<u64> {
        self.query(name)?.parse().ok()
    }
}

const HEADER_LINES_SMALL: usize = 48;

fn folds_to(header: &[u8], name: &str) -> bool {
    let same = |(left, right): (&u8, u8)| {
        let left = if *left == b'_' { b'-' } else { left.to_ascii_lowercase() };
        left == right
    };
    header.len() == name.len() && header.iter().zip(name.bytes()).all(same)
}

/// One value of an `application/x-www-form-urlencoded` text, decoded.
pub(crate) fn form_value(form: &str, name: &str) -> Option<String> {
    let mut pairs = form.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, _)| *key == name)?;
    Some(percent_decode_str(&value.replace('+', " ")).decode_utf8_lossy().into_owned())
}
