//! Files that Odoo asks its web server to send.
//!
//! With `--x-sendfile`, Odoo answers a download with `X-Accel-Redirect: /web/filestore/<database>/<xx>/<sha1>` and no
//! body, so that no worker copies the file. Source: Odoo 19.0 `odoo/http.py`, `Stream.get_response` (16.0 and later),
//! and `odoo/addons/base/models/ir_attachment.py`, `_get_path`.

/// What a path of the filestore starts with.
const PREFIX: &str = "/web/filestore/";
/// Hexadecimal digits of a SHA-1, which names a file.
const SHA1_DIGITS: usize = 40;
/// Digits that name the folder of a file; they are the first of its name.
const FOLDER_DIGITS: usize = 2;

/// A file of one database, named by its content. Only [`FilestoreFile::parse`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilestoreFile<'a> {
    relative: &'a str,
}

impl<'a> FilestoreFile<'a> {
    /// Reads the value of `X-Accel-Redirect`. `None` unless it names a file as Odoo names them, of this database: no
    /// other spelling, folder or database.
    #[must_use]
    pub fn parse(value: &'a [u8], database: &str) -> Option<Self> {
        let relative = core::str::from_utf8(value).ok()?.strip_prefix(PREFIX)?;
        let (folder, name) = relative.strip_prefix(database)?.strip_prefix('/')?.split_once('/')?;
        let hexadecimal = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let fits = folder.len() == FOLDER_DIGITS
            && name.len() == SHA1_DIGITS
            && name.starts_with(folder)
            && hexadecimal(name);
        fits.then_some(Self { relative })
    }

    /// Path below the folder that holds a folder for each database.
    #[must_use]
    pub const fn relative(self) -> &'a str {
        self.relative
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "0c7cb2a41f7a4c579a75f6ee8a1d0b2c12345678";

    #[test]
    fn odoos_own_names_are_read() {
        let value = format!("/web/filestore/acme/0c/{NAME}");
        let file = FilestoreFile::parse(value.as_bytes(), "acme").unwrap();
        assert_eq!(file.relative(), format!("acme/0c/{NAME}"));
    }

    #[test]
    fn nothing_else_is() {
        for value in [
            format!("/web/filestore/globex/0c/{NAME}"),
            format!("/web/filestore/acme/../globex/0c/{NAME}"),
            format!("/web/filestore/acme/0d/{NAME}"),
            format!("/web/filestore/acme/0c/{NAME}0"),
            format!("/web/filestore/acme/0c/../{NAME}"),
            format!("/web/filestore//acme/0c/{NAME}"),
            format!("/web/filestore/acme2/0c/{NAME}"),
            format!("/web/%66ilestore/acme/0c/{NAME}"),
            format!("/web/filestore/acme/0C/{}", NAME.to_uppercase()),
            format!("/etc/filestore/acme/0c/{NAME}"),
            "/web/filestore/acme/checklist/0c".into(),
            "/etc/passwd".into(),
            String::new(),
        ] {
            assert_eq!(FilestoreFile::parse(value.as_bytes(), "acme"), None, "{value}");
        }
        assert_eq!(FilestoreFile::parse(b"/web/filestore/acme/0c/\xff", "acme"), None);
    }
}
