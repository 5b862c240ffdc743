//! What a tenant's programs may call.

use super::text::Text;
use crate::guard::DatabaseNames;
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
    /// Which databases may be named in a body that is no call.
    pub database_names: DatabaseNames,
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

    /// Whether the web client's call of a model is not wanted. Its routes have no other names, so one that cannot be
    /// read is none; a method alone is none of a model.
    pub(super) fn denies_in_session(&self, model: Option<&Text>, method: Option<&Text>) -> bool {
        let (Some(denied), Some(model)) = (&self.denied, model) else { return false };
        is_on(&denied.models, model.get())
            || method.is_some_and(|method| is_on(&denied.methods, method.get()))
    }

    /// Whether a body that is no call may name a database so.
    pub(super) fn may_be_named(&self, name: &[u8]) -> bool {
        self.may_name_any() || name.is_empty() || name == self.database.as_str().as_bytes()
    }

    /// Whether a body that is no call may name any database.
    pub(super) fn may_name_any(&self) -> bool {
        self.database_names == DatabaseNames::Any
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
            database_names: DatabaseNames::Own,
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

/// Models and methods that may not be called by `object.execute`, `object.execute_kw`, JSON-2, and the web client.
/// Names are compared exactly, as Odoo looks them up.
///
/// This closes doors for honest programs; it is no sandbox.
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
        is_on(&self.models, model) || is_on(&self.methods, method)
    }
}

fn is_on(list: &[Box<str>], name: Option<&[u8]>) -> bool {
    !list.is_empty() && name.is_none_or(|name| list.iter().any(|denied| denied.as_bytes() == name))
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
