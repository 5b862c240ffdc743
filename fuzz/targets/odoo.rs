//! Forms on any path, and the files that Odoo names.

use super::rpc::forwarded_as;
use fleetgate_core::odoo::filestore::FilestoreFile;
use fleetgate_core::rpc::RpcRoute;

/// Words of forms of both kinds.
pub const FORM_WORDS: [&str; 28] = [
    "master_pwd",
    "m%61ster_pwd",
    "db",
    "dbname",
    "%64b",
    "acme",
    "zen",
    "&",
    "=",
    "+",
    "%",
    "%0",
    "a=1&",
    "--b\r\n",
    "--b--\r\n",
    "\r\n",
    "\n",
    "\r",
    " ",
    "Content-Disposition: form-data; name=\"db\"\r\n\r\n",
    "content-disposition:form-data;name=master_pwd\n\n",
    "Content-Type: text/plain\r\n",
    "; filename=\"x\"",
    "; name*=utf-8''master%5Fpwd",
    "\\",
    "\"",
    "<",
    "\u{85}",
];

/// Words of a file's name.
pub const FILE_WORDS: [&str; 14] = [
    "/web/filestore/acme/0c/",
    "/web/filestore/zen/0c/",
    "0c0123456789abcdef0123456789abcdef012345",
    "/",
    "//",
    "..",
    "/../",
    "%2e",
    "%2f",
    ".",
    "\0",
    "0C",
    "acme",
    "\\",
];

/// A form: the first byte chooses its kind and the cuts.
///
/// # Panics
/// A promise is broken.
pub fn form(input: &[u8]) {
    let Some((&choice, body)) = input.split_first() else { return };
    let parts = choice & 1 == 1;
    let media = if parts { "multipart/form-data; boundary=b" } else { "application/x-www-form-urlencoded" };
    let Some(body) = forwarded_as(media, RpcRoute::Elsewhere, body, choice >> 1) else { return };
    let fields = if parts { parts_of(&body) } else { pairs_of(&body) };
    for (name, value) in fields {
        assert_ne!(name, "master_pwd", "the master password passes");
        if matches!(name.as_str(), "db" | "dbname") {
            assert!(value.is_empty() || value == "acme", "{name}={value} passes");
        }
    }
}

/// Fields, by another hand than the gateway's.
fn pairs_of(body: &[u8]) -> Vec<(String, String)> {
    let decoded = |raw: &[u8]| super::guards::decoded(raw, true);
    body.split(|&byte| byte == b'&')
        .map(|pair| {
            let mut halves = pair.splitn(2, |&byte| byte == b'=');
            let mut half = || decoded(halves.next().unwrap_or_default());
            (half(), half())
        })
        .collect()
}

/// Fields between boundaries `--b`, plainly written. Werkzeug ends a line at a carriage return, too.
fn parts_of(body: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(body).into_owned();
    let parts = text.split("--b\r\n").skip(1).filter_map(|part| part.split_once("\r\n\r\n"));
    parts
        .filter_map(|(head, rest)| {
            let line = head
                .split(['\r', '\n'])
                .find(|line| line.to_ascii_lowercase().starts_with("content-disposition:"))?;
            let name = line.split(';').find_map(|option| option.trim().strip_prefix("name="))?;
            // Without a boundary after it a part is none.
            let (value, _) = rest.split_once("\r\n--b")?;
            // No database has a name of several lines, or one that begins as a boundary does.
            let line = value.lines().next().unwrap_or_default();
            Some((name.trim_matches('"').to_owned(), line.to_owned()))
        })
        .collect()
}

/// A file that an answer names.
///
/// # Panics
/// A promise is broken.
pub fn file(input: &[u8]) {
    let Some(file) = FilestoreFile::parse(input, "acme") else { return };
    let relative = file.relative();
    let segments: Vec<&str> = relative.split('/').collect();
    assert_eq!((segments.len(), segments[0]), (3, "acme"), "{relative}");
    let plain = |segment: &str| !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(plain(segments[1]) && plain(segments[2]), "{relative}");
    assert!(segments[2].starts_with(segments[1]), "{relative}");
}
