//! Settings of the RPC guard as written.

use super::collection::List;
use super::tenant::DatabaseText;
use super::value::text_schema;
use crate::config::read::{Text, section};
use std::borrow::Cow;

/// Longest name of a model or method in bytes. PostgreSQL has no longer names for their tables.
const NAME_BYTES_MAX: usize = 63;
/// Most models, and most methods, that are denied.
const NAMES_MAX: usize = 1000;

/// Names of models or methods.
pub(in crate::config) type CallNames = List<CallName, 0, NAMES_MAX>;

section! {
    /// [What programs may call](rpc.md) by XML-RPC, JSON-RPC and JSON-2. Calls that name another database than the
    /// tenant's own are denied, whatever stands here.
    pub(in crate::config) struct RpcEntry {
        /// A name that programs may use for the database; Odoo is told the real one, and `db.list` tells this one. It
        /// stays when the database comes back under another name. May hold `{1}` as the database may.
        database_alias: Option<DatabaseText> = null,
        /// Models that `execute`, `execute_kw`, JSON-2 and [the web client](rpc.md#settings) may not call, such as
        /// `ir.cron`. Pages that need them show an error.
        #[schemars(extend("x-default" = "none"))]
        deny_models: Option<CallNames> = null,
        /// Methods that they may not call, of whatever model, such as `unlink`.
        #[schemars(extend("x-default" = "none"))]
        deny_methods: Option<CallNames> = null,
    }
}

/// Name of a model or method.
#[derive(Debug)]
pub(in crate::config) struct CallName(pub(in crate::config) Box<str>);

impl Text for CallName {
    fn expected() -> Cow<'static, str> {
        "at most 63 letters, digits, `_` and `.`, such as `res.partner` or `unlink`".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
        if text.is_empty() || text.len() > NAME_BYTES_MAX || !text.bytes().all(fine) {
            return Err("it is no name of a model or method".to_owned());
        }
        Ok(Self(text.into()))
    }
}

text_schema! {
    CallName;
}
