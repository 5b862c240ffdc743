//! Using a database as a program does: log in, read, write.
//!
//! Over `/jsonrpc`, which needs neither a session nor a host that leads to the database, and makes no session.
//! Source: Odoo 14.0 to 19.0 `odoo/service/common.py` (`exp_authenticate`), `odoo/service/model.py` (`dispatch`); 19.0
//! `addons/rpc/controllers/jsonrpc.py`, before that `odoo/addons/base/controllers/rpc.py`.

use super::OdooVersion;
use super::headers::dbfilter_for;
use crate::pool::{DatabaseSelection, LoginProbe};
use serde::Deserialize;
use serde_json::{Value, json};

/// Where calls are sent.
pub const PATH: &str = "/jsonrpc";
/// Of what Odoo says about a failure, as much is shown.
const SAID_CHARS_MAX: usize = 200;

/// Why a user cannot work. Odoo's failures have the status 200.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginFailure {
    /// Wrong user or password, or the user or its key is gone.
    #[error(
        "Odoo refuses the user: see whether `user` and `password` of `health.login` are right, the user is active, and its key has not expired"
    )]
    Refused,
    /// The database takes no writes.
    #[error(
        "the database takes no writes from Odoo: it is a standby, or (before Odoo 18.0) `default_transaction_read_only` of the server, the database or Odoo's role says so"
    )]
    ReadOnly,
    /// PostgreSQL has no room.
    #[error("PostgreSQL's disk is full: make room, until then nobody can save anything")]
    DiskFull,
    /// There is no such database.
    #[error("PostgreSQL has no database of this name: see `database` of `health.login`")]
    NoDatabase,
    /// Odoo has no connection to PostgreSQL.
    #[error("Odoo has no connection to PostgreSQL: {0}")]
    NoConnection(String),
    /// The route is not there.
    #[error("/jsonrpc says 404: let Odoo load its module `rpc` (`server_wide_modules`)")]
    NoRoute,
    /// No answer of a working server.
    #[error("/jsonrpc says {0}; Odoo's log says more")]
    Status(u16),
    /// Somebody else answers there.
    #[error("/jsonrpc says 200 with a body that is not Odoo's")]
    NotOdoo,
    /// All else, such as a registry that cannot be loaded.
    #[error("Odoo fails: {0}; its log says more")]
    Other(String),
}

impl LoginFailure {
    /// Whether the user may have been deleted and made anew, with another id. 14.0 and 15.0 say 500 for one that was deleted
    /// where nothing leads the request to a database.
    #[must_use]
    pub const fn may_be_another_user(&self) -> bool {
        matches!(self, Self::Refused | Self::Status(500))
    }
}

#[derive(Deserialize)]
struct Answer {
    result: Option<Value>,
    error: Option<Failed>,
}

#[derive(Deserialize)]
struct Failed {
    #[serde(default)]
    data: Said,
}

#[derive(Default, Deserialize)]
struct Said {
    #[serde(default)]
    name: String,
    #[serde(default)]
    message: String,
}

/// The value of [`DBFILTER`](super::headers::DBFILTER) that calls are sent with. To one that leads to no database 14.0 and 15.0
/// answer a page with the status 500 whatever fails, and nobody could tell a user who is refused from a full disk. Later ones
/// answer in JSON, whether the database can be used or not.
/// Source: Odoo 14.0 `odoo/http.py`, `Root.dispatch` (`_dispatch_nodb`); tried with 14.0 and with 19.0.
#[must_use]
pub fn filter(probe: &LoginProbe, version: OdooVersion, selection: DatabaseSelection) -> Option<String> {
    let needed = matches!(version, OdooVersion::V14 | OdooVersion::V15);
    (needed && selection == DatabaseSelection::DbfilterHeader).then(|| dbfilter_for(&probe.database))
}

/// Asks for the id of the user. Odoo notes each time that it succeeds in a row of `res_users_log`, which its daily vacuum
/// removes: what is known need not be asked for.
#[must_use]
pub fn who(probe: &LoginProbe) -> Vec<u8> {
    call("common", "authenticate", &json!([probe.database, probe.user, probe.password.reveal(), {}]))
}

/// Asks for the user's own record.
#[must_use]
pub fn read(probe: &LoginProbe, user: u64) -> Vec<u8> {
    on_user(probe, user, "read", &json!([[user], ["login"]]))
}

/// Writes the user's own email signature, which each user may, an internal one or of the portal. It is no field by which
/// Odoo empties its caches. `text` is another one each time, so that PostgreSQL has something to write.
/// Source: Odoo 14.0 to 19.0 `odoo/addons/base/models/res_users.py` (`SELF_WRITEABLE_FIELDS`, `_get_invalidation_fields`).
#[must_use]
pub fn write(probe: &LoginProbe, user: u64, text: &str) -> Vec<u8> {
    on_user(probe, user, "write", &json!([[user], { "signature": text }]))
}

fn on_user(probe: &LoginProbe, user: u64, method: &str, arguments: &Value) -> Vec<u8> {
    let password = probe.password.reveal();
    call("object", "execute_kw", &json!([probe.database, user, password, "res.users", method, arguments, {}]))
}

fn call(service: &str, method: &str, arguments: &Value) -> Vec<u8> {
    let params = json!({ "service": service, "method": method, "args": arguments });
    json!({ "jsonrpc": "2.0", "method": "call", "id": 1, "params": params }).to_string().into_bytes()
}

/// Reads the answer to [`who`].
///
/// # Errors
/// Nobody can log in so.
pub fn who_says(probe: &LoginProbe, status: u16, body: &[u8]) -> Result<u64, LoginFailure> {
    let said = result(probe, status, body)?;
    match said.as_u64() {
        Some(id) => Ok(id),
        None if said.is_null() || said.as_bool() == Some(false) => Err(LoginFailure::Refused),
        None => Err(LoginFailure::NotOdoo),
    }
}

/// Reads the answer to [`read`].
///
/// # Errors
/// The user cannot read.
pub fn read_says(probe: &LoginProbe, user: u64, status: u16, body: &[u8]) -> Result<(), LoginFailure> {
    let read = result(probe, status, body)?;
    let id = read.as_array().and_then(|records| records.first()).and_then(|record| record.get("id"));
    // A user that was deleted has no record.
    if id.and_then(Value::as_u64) == Some(user) { Ok(()) } else { Err(LoginFailure::Refused) }
}

/// Reads the answer to [`write`]. Where another gateway wrote the same record at the same moment, the database was written.
///
/// # Errors
/// The user cannot write.
pub fn write_says(probe: &LoginProbe, status: u16, body: &[u8]) -> Result<(), LoginFailure> {
    match result(probe, status, body) {
        Ok(Value::Bool(true)) => Ok(()),
        Ok(_) => Err(LoginFailure::NotOdoo),
        Err(LoginFailure::Other(said)) if said.contains("SerializationFailure") => Ok(()),
        Err(failure) => Err(failure),
    }
}

fn result(probe: &LoginProbe, status: u16, body: &[u8]) -> Result<Value, LoginFailure> {
    match status {
        200 => {}
        404 => return Err(LoginFailure::NoRoute),
        other => return Err(LoginFailure::Status(other)),
    }
    match serde_json::from_slice(body) {
        Ok(Answer { error: Some(failed), .. }) => Err(failure(probe, &failed.data)),
        Ok(Answer { result: Some(result), .. }) => Ok(result),
        // Python's `None` is a `null` that serde reads as nothing.
        Ok(Answer { .. }) => Ok(Value::Null),
        Err(_) => Err(LoginFailure::NotOdoo),
    }
}

/// What the name and the message of an exception mean.
fn failure(probe: &LoginProbe, said: &Said) -> LoginFailure {
    let Said { name, message } = said;
    let kind = name.rsplit('.').next().unwrap_or_default();
    match kind {
        // 19.0 misses the record of a user that was deleted.
        "AccessDenied" | "MissingError" => LoginFailure::Refused,
        "ReadOnlySqlTransaction" => LoginFailure::ReadOnly,
        "DiskFull" => LoginFailure::DiskFull,
        _ if message.contains("No space left on device") => LoginFailure::DiskFull,
        "OperationalError" if message.contains("does not exist") => LoginFailure::NoDatabase,
        "OperationalError" => LoginFailure::NoConnection(shown(probe, message)),
        _ => LoginFailure::Other(shown(probe, &format!("{name}: {message}"))),
    }
}

/// The first line of what was said, without what would change a terminal, and never the password.
fn shown(probe: &LoginProbe, text: &str) -> String {
    let text = text.replace(probe.password.reveal(), "****");
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    line.chars().filter(|character| !character.is_control()).take(SAID_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;
    use crate::health::{Cadence, Damping};
    use core::time::Duration;

    fn probe() -> LoginProbe {
        LoginProbe {
            database: "acme".into(),
            user: "probe".into(),
            password: Secret::new("s3cret"),
            write: true,
            cadence: Cadence {
                interval: Duration::from_secs(15),
                fast_interval: Duration::from_secs(7),
                timeout: Duration::from_secs(10),
                damping: Damping { fall: 3, rise: 2 },
            },
        }
    }

    fn raised(name: &str, message: &str) -> Vec<u8> {
        let data = json!({ "name": name, "message": message, "debug": "Traceback" });
        json!({ "jsonrpc": "2.0", "id": 1, "error": { "code": 200, "data": data } }).to_string().into_bytes()
    }

    fn given(result: &Value) -> Vec<u8> {
        json!({ "jsonrpc": "2.0", "id": 1, "result": result }).to_string().into_bytes()
    }

    #[test]
    fn a_user_is_let_in_reads_itself_and_writes_itself() {
        assert_eq!(who_says(&probe(), 200, &given(&json!(7))), Ok(7));
        assert_eq!(read_says(&probe(), 7, 200, &given(&json!([{ "id": 7, "login": "probe" }]))), Ok(()));
        assert_eq!(write_says(&probe(), 200, &given(&json!(true))), Ok(()));
        let at_once = raised("psycopg2.errors.SerializationFailure", "could not serialize access");
        assert_eq!(write_says(&probe(), 200, &at_once), Ok(()));
    }

    #[test]
    fn a_failure_with_the_status_200_is_one_and_named() {
        assert_eq!(who_says(&probe(), 200, &given(&json!(false))), Err(LoginFailure::Refused));
        assert_eq!(read_says(&probe(), 7, 200, &given(&json!([]))), Err(LoginFailure::Refused));
        for (name, message, failure) in [
            ("odoo.exceptions.AccessDenied", "Access Denied", LoginFailure::Refused),
            ("odoo.exceptions.MissingError", "Record does not exist", LoginFailure::Refused),
            (
                "psycopg2.errors.ReadOnlySqlTransaction",
                "cannot execute UPDATE in a read-only transaction",
                LoginFailure::ReadOnly,
            ),
            ("psycopg2.errors.DiskFull", "could not extend file", LoginFailure::DiskFull),
            (
                "psycopg2.OperationalError",
                "connection failed: FATAL:  database \"acme\" does not exist\n",
                LoginFailure::NoDatabase,
            ),
            (
                "psycopg2.OperationalError",
                "\nconnection refused\nIs the server running?",
                LoginFailure::NoConnection("connection refused".to_owned()),
            ),
            (
                "builtins.KeyError",
                "'res.users' \u{1b}[31m",
                LoginFailure::Other("builtins.KeyError: 'res.users' [31m".to_owned()),
            ),
        ] {
            assert_eq!(write_says(&probe(), 200, &raised(name, message)), Err(failure), "{name}");
        }
        for (status, body, failure) in [
            (200, &b"<html>"[..], LoginFailure::NotOdoo),
            (404, b"", LoginFailure::NoRoute),
            (502, b"", LoginFailure::Status(502)),
        ] {
            assert_eq!(write_says(&probe(), status, body), Err(failure));
        }
    }

    #[test]
    fn old_versions_are_led_to_the_database_so_that_they_say_what_fails() {
        use DatabaseSelection::{DbfilterHeader, Fixed, Host};
        for version in [OdooVersion::V14, OdooVersion::V15] {
            assert_eq!(filter(&probe(), version, DbfilterHeader).as_deref(), Some("^acme$"));
            assert_eq!([Fixed, Host].map(|selection| filter(&probe(), version, selection)), [None, None]);
        }
        assert_eq!(filter(&probe(), OdooVersion::V16, DbfilterHeader), None);
        assert!(LoginFailure::Status(500).may_be_another_user(), "where they cannot be led");
        assert!(!LoginFailure::Status(502).may_be_another_user());
    }

    #[test]
    fn what_odoo_says_is_shown_without_the_password() {
        let said = raised("builtins.ValueError", "args: ['acme', 7, 's3cret']");
        let failure = write_says(&probe(), 200, &said).unwrap_err().to_string();
        assert!(failure.contains("'acme', 7, '****'"), "{failure}");
        assert!(!format!("{:?}", probe()).contains("s3cret"));
    }
}
