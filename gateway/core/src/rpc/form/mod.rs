//! Forms: fields by which Odoo takes a request for one of the database manager, or for one of another database,
//! whatever its path. Odoo gives the fields of a form to a route as it gives the parameters of a query (Odoo 14.0 to
//! 19.0 `odoo/http.py`, `get_http_params`), and a tenant may give any route another path.

mod pairs;
mod parts;

use super::policy::RpcPolicy;
use crate::guard::Guard;
use crate::guard::database_manager::MASTER_PASSWORD;
use crate::odoo::OdooVersion;
use pairs::Pairs;
use parts::Parts;

/// Reads the fields of a form of either kind.
#[derive(Debug)]
pub(super) enum Form {
    /// `application/x-www-form-urlencoded`.
    Pairs(Box<Pairs>),
    /// `multipart/form-data`.
    Parts(Box<Parts>),
}

impl Form {
    /// Begins, if Odoo reads bodies of this kind as forms. `media` is a media type without its parameters.
    /// Source: Werkzeug 0.16 to 3.0 `formparser.py`, `FormDataParser`.
    pub(super) fn of(media: &[u8]) -> Option<Self> {
        let is = |kind: &[u8]| media.eq_ignore_ascii_case(kind);
        if is(b"application/x-www-form-urlencoded") || is(b"application/x-url-encoded") {
            Some(Self::Pairs(Box::default()))
        } else {
            is(b"multipart/form-data").then(|| Self::Parts(Box::default()))
        }
    }

    /// Takes the next bytes; the guard that refuses them.
    pub(super) fn feed(&mut self, piece: &[u8], policy: &RpcPolicy) -> Option<Guard> {
        match self {
            Self::Pairs(pairs) => pairs.feed(piece, policy),
            Self::Parts(parts) => parts.feed(piece, policy),
        }
    }

    /// Ends with the end of the body.
    pub(super) fn finish(self, policy: &RpcPolicy) -> Option<Guard> {
        match self {
            Self::Pairs(mut pairs) => pairs.finish(policy),
            Self::Parts(parts) => parts.finish(),
        }
    }
}

/// What a field may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    /// Anything.
    Any,
    /// The name of the tenant's own database, or nothing.
    Database,
    /// No JSON object: 14.0 and 15.0 open the database that its key `d` names, see
    /// [`crate::guard::DatabaseNames`].
    State,
}

impl Field {
    /// The field of a name.
    ///
    /// # Errors
    /// No form but the database manager's has it.
    fn named(name: &[u8], policy: &RpcPolicy) -> Result<Self, Guard> {
        let old = matches!(policy.version, OdooVersion::V14 | OdooVersion::V15);
        match name {
            _ if name == MASTER_PASSWORD => Err(Guard::DatabaseManager),
            b"db" | b"dbname" => Ok(Self::Database),
            b"state" if old => Ok(Self::State),
            _ => Ok(Self::Any),
        }
    }

    /// Holds a value against the field. `value` is `None` when it is too long for a name; `start` is how it begins.
    fn check(self, value: Option<&[u8]>, start: &[u8], policy: &RpcPolicy) -> Option<Guard> {
        let fine = match self {
            Self::Any => true,
            Self::Database => value.is_some_and(|name| policy.may_be_named(name)),
            Self::State => policy.may_name_any() || !start.trim_ascii_start().starts_with(b"{"),
        };
        (!fine).then_some(Guard::DatabaseNames)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::DatabaseNames;
    use crate::tenant::DatabaseName;

    pub(super) fn policy(version: OdooVersion) -> RpcPolicy {
        RpcPolicy {
            version,
            database: DatabaseName::parse("acme").unwrap(),
            alias: Some(DatabaseName::parse("acme-live").unwrap()),
            denied: None,
            database_names: DatabaseNames::Own,
        }
    }

    /// What refuses a form, the same in every cut.
    fn refused_by(media: &str, body: &[u8], policy: &RpcPolicy) -> Option<Guard> {
        let cut = |size: usize| {
            let mut form = Form::of(media.as_bytes()).unwrap();
            let found = body.chunks(size).find_map(|piece| form.feed(piece, policy));
            found.or_else(|| form.finish(policy))
        };
        let whole = cut(body.len().max(1));
        for size in [1, 2, 3, 5, 16] {
            assert_eq!(cut(size), whole, "{size}: {}", String::from_utf8_lossy(body));
        }
        whole
    }

    fn pairs(body: &str) -> Option<Guard> {
        refused_by("application/x-www-form-urlencoded", body.as_bytes(), &policy(OdooVersion::V19))
    }

    fn parts(body: &str) -> Option<Guard> {
        refused_by("multipart/form-data", body.as_bytes(), &policy(OdooVersion::V19))
    }

    #[test]
    fn no_form_has_the_master_password() {
        for body in [
            "master_pwd=x",
            "name=zen&master_pwd=x&new_name=y",
            "%6daster%5Fpwd=x",
            "a=%&master_pwd",
            "&&=&master_pwd=",
            "x=1%&%6Da%73ter_pw%64=x",
        ] {
            assert_eq!(pairs(body), Some(Guard::DatabaseManager), "{body}");
        }
        for header in [
            "Content-Disposition: form-data; name=\"master_pwd\"",
            "content-disposition:form-data;name=master_pwd",
            "CONTENT-DISPOSITION : form-data; name = \"master_pwd\"",
            " Content-Disposition: form-data; name=\"master\\_pwd\"",
            "\u{a0}Content-Disposition\u{85}: x; name=\"master_pwd\"; filename=\"x\"",
            "Content-Disposition: form-data;\r\n name=\"master_pwd\"",
            "Content-Disposition: form-data;\n\tname=\"mas\r\n ter_pwd\"",
            "Content-Disposition: form-data; filename=\"a\"; \"name\"=\"master_pwd\"",
            "Content-Disposition: form-data; name*=utf-8''master%5Fpwd",
            "Content-Disposition: form-data; name*0=\"mas\"; name*1=\"ter_pwd\"",
            "Content-Disposition: form-data; name=\"master_pwd\" x",
            "Content-Disposition: form-data; name=master_pwd x",
            "Content-Disposition: form-data; name=master_pwd@x",
            "Content-Disposition: form-data; name=master_pwd=x",
            "Content-Disposition: form-data; name=master_pwd\\x",
            "Content-Disposition: form-data; name=master_pwd\r\n x",
            "Content-Disposition: form-data; name=\"master_pwd\"\r\n x",
            "Content-Disposition: form-data; file name=\"master_pwd\"",
            "Content-Type: text/plain\r\nContent-Disposition: form-data; name=\"master_pwd\"",
            "Content-Disposition: form-data; name=\"a\"\r\nContent-Disposition: form-data; name=\"master_pwd\"",
        ] {
            for line in ["\r\n", "\n", "\r"] {
                let body = format!("--b\r\n{header}\r\n\r\nx\r\n--b--\r\n").replace("\r\n", line);
                assert_eq!(parts(&body), Some(Guard::DatabaseManager), "{body:?}");
            }
        }
        let long = format!("--b\r\nContent-Disposition: form-data; filename=\"{}", "a".repeat(3_000));
        assert_eq!(parts(&long), Some(Guard::DatabaseManager));
    }

    #[test]
    fn a_form_names_the_own_database_or_none() {
        for body in ["db=acme", "db=", "db", "dbname=%61cme&x=zen", "DB=zen", "dbs=zen", "a=db=zen"] {
            assert_eq!(pairs(body), None, "{body}");
        }
        let long = format!("db={}", "acme".repeat(100));
        for body in [
            "db=zen",
            "a=1&db=zen",
            "%64%62=zen",
            "db=acme&db=zen",
            "db=+acme",
            "db=acme%00",
            "db=acme-live",
            "dbname=zen&",
            "db=acme%",
            "db=acme%6",
            &long,
        ] {
            assert_eq!(pairs(body), Some(Guard::DatabaseNames), "{body}");
        }
        let part = |value: &str| {
            parts(&format!(
                "--b\r\nContent-Disposition: form-data; name=\"db\"\r\n\r\n{value}\r\n--b\r\n\
                 Content-Disposition: form-data; name=\"file\"; filename=\"db\"\r\n\r\nzen\r\n--b--\r\n"
            ))
        };
        assert_eq!(part("acme"), None);
        assert_eq!(part(""), None);
        for value in ["zen", " acme", "\r\nzen", "acme\r\n zen", "acme\n\n--", &long] {
            assert_eq!(part(value), Some(Guard::DatabaseNames), "{value:?}");
        }
        for rest in
            ["", "\r\n", "\r\n\r\n", "\r\n\r\nacme", "\r\n\r\nacme\r\n-", "\r\nX: y\r\n\r\nacme\r\n--b--"]
        {
            let body = format!("--b\r\nContent-Disposition: form-data; name=\"dbname\"{rest}");
            let expected = (rest.len() > 3).then_some(Guard::DatabaseNames);
            assert_eq!(parts(&body), expected, "{rest:?}");
        }
        // Werkzeug knows where a quoted name ends.
        let more = "--b\r\nContent-Disposition: form-data; name=\"db\" x\r\n\r\nzen\r\n--b--\r\n";
        assert_eq!(parts(more), Some(Guard::DatabaseNames));
        // Werkzeug takes the end for one of a head whose second line is `acme`.
        let lines =
            "--b\r\nContent-Disposition: form-data; name=\"db\"\r\n\racme\r\n--x\r\n\r\nzen\r\n--b--\r\n";
        assert_eq!(parts(lines), Some(Guard::DatabaseNames));
        let any = RpcPolicy { database_names: DatabaseNames::Any, ..policy(OdooVersion::V19) };
        assert_eq!(refused_by("application/x-url-encoded", b"db=zen", &any), None);
        assert_eq!(
            refused_by("application/x-url-encoded", b"master_pwd=", &any),
            Some(Guard::DatabaseManager)
        );
    }

    #[test]
    fn old_versions_take_no_state_from_a_form() {
        let state = "state=%20%7B%22d%22:%22zen%22%7D";
        for version in OdooVersion::ALL {
            let expected = (version <= OdooVersion::V15).then_some(Guard::DatabaseNames);
            let said = |body: &str| {
                refused_by("application/x-www-form-urlencoded", body.as_bytes(), &policy(version))
            };
            assert_eq!(said(state), expected, "{version}");
            assert_eq!(said(&format!("{state}{}", "x".repeat(1_000))), expected, "{version}");
            assert_eq!(said("state=Bavaria&x=%7B"), None);
        }
    }

    #[test]
    fn forms_of_people_pass() {
        let file =
            "line\r\n--b\r\nhis master_pwd and name=db\r\n\"Content-Disposition\": \"x; name=master_pwd\"\n";
        let minified = format!("{{\"Content-Disposition\":\"{}\"}}", "x".repeat(5_000));
        for content in [file, &minified, "\u{0}\u{1}content-disposition", ""] {
            let body = format!(
                "--b\r\nContent-Disposition: form-data; name=\"csrf_token\"\r\n\r\nabc\r\n--b\r\n\
                 Content-Disposition: form-data; name=\"ufile\"; filename=\"Zen \\\"db\\\".txt\"; \
                 filename*=utf-8''Zen.txt\r\nContent-Type: text/plain\r\n\r\n{content}\r\n--b--\r\n"
            );
            assert_eq!(parts(&body), None, "{body}");
        }
        assert_eq!(pairs("csrf_token=abc&login=admin&password=master_pwd&redirect=%2Fodoo%3Fdb%3Dzen"), None);
        for media in ["application/json", "text/plain", "", "multipart/mixed", "multipart/form-data2"] {
            assert!(Form::of(media.as_bytes()).is_none(), "{media}");
        }
    }
}
