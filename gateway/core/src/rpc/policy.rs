//! What a tenant's programs may call.

use crate::odoo::OdooVersion;
use crate::tenant::{DatabaseName, NameError, NameTemplate};
use std::sync::Arc;

/// What the guard holds a call against: the tenant of the host that was asked.
#[derive(Debug, Clone)]
pub struct RpcPolicy {
    /// Version of the pool's Odoo: error codes differ, and `server_version` tells it.
    pub version: OdooVersion,
    /// The tenant's database: the only one that calls may name.
    pub database: DatabaseName,
    /// A stable public name of the database. Calls may name it instead, and Odoo is told the real one: programs keep
    /// working when a database comes back under another name. `db.list` then shows this name.
    pub alias: Option<DatabaseName>,
    /// Calls that the tenant does not want from outside.
    pub denied: Option<Arc<DeniedCalls>>,
}

impl RpcPolicy {
    /// The name that clients are told.
    pub(super) fn public_name(&self) -> &str {
        self.alias.as_ref().unwrap_or(&self.database).as_str()
    }

    /// Whether the tenant does not want a call. A name that could not be read is taken for one on the list.
    pub(super) fn denies(&self, model: Option<&[u8]>, method: Option<&[u8]>) -> bool {
        self.denied.as_ref().is_some_and(|denied| denied.hold(model, method))
    }

    /// What a database name means here.
    pub(super) fn names(&self, name: Option<&[u8]>) -> Named {
        match name {
            Some(name) if name == self.database.as_str().as_bytes() => Named::Own,
            Some(name) if self.alias.as_ref().is_some_and(|alias| name == alias.as_str().as_bytes()) => {
                Named::Alias
            }
            Some(_) | None => Named::Other,
        }
    }
}

/// What a tenant's config says about calls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct RpcSettings {
    /// Public name of the database, see [`RpcPolicy::alias`].
    pub database_alias: Option<NameTemplate>,
    /// Calls that are denied; `None` denies none.
    pub denied: Option<Arc<DeniedCalls>>,
}

impl RpcSettings {
    /// What applies where nothing is configured.
    pub const NONE: Self = Self { database_alias: None, denied: None };

    /// What calls to a tenant's host are held against; the label is the one that a `*.suffix` matched.
    ///
    /// # Errors
    /// [`NameError`]: the database's name is none that a database can have.
    pub fn policy(
        &self,
        version: OdooVersion,
        database: &str,
        label: Option<&str>,
    ) -> Result<RpcPolicy, NameError> {
        // With `{1}` in it and no label it is no name: the tenant has no alias then.
        let alias = self.database_alias.as_ref();
        let alias = alias.and_then(|alias| DatabaseName::parse(&alias.resolve(label)).ok());
        Ok(RpcPolicy {
            version,
            database: DatabaseName::parse(database)?,
            alias,
            denied: self.denied.clone(),
        })
    }
}

/// Which database a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    Own,
    Alias,
    Other,
}

/// Models and methods that may not be called by `object.execute`, `object.execute_kw` and JSON-2. Names are compared
/// exactly, as Odoo looks them up.
///
/// This closes doors for honest programs; it is no sandbox. `/web/dataset/call_kw` is how the web client works and is
/// not held against these lists: Odoo takes the model from the body there, whatever the path says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct DeniedCalls {
    /// Models, such as `res.users`.
    pub models: Vec<Box<str>>,
    /// Methods, such as `unlink`, of whatever model.
    pub methods: Vec<Box<str>>,
}

impl DeniedCalls {
    /// Whether a call is denied. A name that could not be read is, as soon as there is a list it could be on.
    fn hold(&self, model: Option<&[u8]>, method: Option<&[u8]>) -> bool {
        let on = |list: &[Box<str>], name: Option<&[u8]>| {
            !list.is_empty() && name.is_none_or(|name| list.iter().any(|denied| denied.as_bytes() == name))
        };
        on(&self.models, model) || on(&self.methods, method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_denies_its_names_and_names_that_cannot_be_read() {
        let denied = DeniedCalls { models: vec!["res.users".into()], methods: vec!["unlink".into()] };
        assert!(denied.hold(Some(b"res.users"), Some(b"read")));
        assert!(denied.hold(Some(b"res.partner"), Some(b"unlink")));
        assert!(denied.hold(None, Some(b"read")));
        assert!(denied.hold(Some(b"res.partner"), None));
        assert!(!denied.hold(Some(b"res.partner"), Some(b"read")));
        assert!(!denied.hold(Some(b"Res.Users"), Some(b"read")));
        assert!(!DeniedCalls::default().hold(None, None));
    }
}
