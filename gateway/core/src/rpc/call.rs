//! What a body asks for, and whether it may.

use super::answer::Value;
use super::outcome::Denial;
use super::policy::{Named, RpcPolicy};
use super::route::Service;
use super::text::Text;
use core::ops::Range;

/// An argument of a call, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Argument {
    /// Not there.
    Missing,
    /// A text, and where in the body it stands.
    Text(Text, Range<u64>),
    /// Something else than a text.
    Other,
}

impl Argument {
    /// The text, if it is one that is short enough to be a name.
    pub(super) fn name(&self) -> Option<&[u8]> {
        match self {
            Self::Text(text, _) => text.get(),
            Self::Missing | Self::Other => None,
        }
    }
}

/// Place of the database among the arguments of `common.login`, `common.authenticate`, `object.*`, `db.db_exist`.
pub(super) const DATABASE_AT: u32 = 0;
/// Place of the model among the arguments of `object.*`.
pub(super) const MODEL_AT: u32 = 3;
/// Place of the model's method among the arguments of `object.*`.
pub(super) const FUNCTION_AT: u32 = 4;

/// A call of a service.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) service: Service,
    pub(super) method: Argument,
    pub(super) database: Argument,
    pub(super) model: Argument,
    pub(super) function: Argument,
}

/// What becomes of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Judgement {
    /// Odoo gets it. The range holds the alias, and Odoo must find the real name there.
    Pass(Option<Range<u64>>),
    /// The gateway knows the answer.
    Local(Value),
    /// The client is told that access is denied.
    Denied(Denial),
}

impl Call {
    pub(super) const fn new(service: Service) -> Self {
        Self {
            service,
            method: Argument::Missing,
            database: Argument::Missing,
            model: Argument::Missing,
            function: Argument::Missing,
        }
    }

    /// The argument of a place, if it matters.
    pub(super) fn argument_mut(&mut self, place: u32) -> Option<&mut Argument> {
        match place {
            DATABASE_AT => Some(&mut self.database),
            MODEL_AT => Some(&mut self.model),
            FUNCTION_AT => Some(&mut self.function),
            _ => None,
        }
    }

    /// Whether it asks whether a password is right.
    pub(super) fn is_login(&self) -> bool {
        self.service == Service::Common && matches!(self.method.name(), Some(b"login" | b"authenticate"))
    }

    /// Decides about a call that is read to its end.
    ///
    /// Source of the methods: Odoo 14.0 to 19.0 `odoo/service/common.py`, `model.py`, `db.py`, `dispatch`. What is not
    /// named here is denied: `set_loglevel`, all of `db` that asks for the master password, and what a later version
    /// may bring.
    pub(super) fn judge(&self, policy: &RpcPolicy) -> Judgement {
        match (self.service, self.method.name()) {
            (Service::Common, Some(b"version" | b"about")) => Judgement::Pass(None),
            (Service::Common, Some(b"login" | b"authenticate")) => judge_database(&self.database, policy),
            (Service::Object, Some(b"execute" | b"execute_kw")) => {
                let judgement = judge_database(&self.database, policy);
                let listed = policy.denies(self.model.name(), self.function.name());
                if listed && matches!(judgement, Judgement::Pass(_)) {
                    Judgement::Denied(Denial::Listed)
                } else {
                    judgement
                }
            }
            (Service::Db, Some(b"server_version")) => {
                Judgement::Local(Value::Text(policy.version.as_str().into()))
            }
            (Service::Db, Some(b"list")) => Judgement::Local(Value::Names(policy.public_name().into())),
            // Whether a database of somebody else exists is nobody's business: every other name is unknown.
            (Service::Db, Some(b"db_exist")) => match &self.database {
                Argument::Text(name, _) => {
                    Judgement::Local(Value::Flag(policy.names(name.get()) != Named::Other))
                }
                Argument::Missing | Argument::Other => Judgement::Denied(Denial::Method),
            },
            (Service::Common | Service::Object | Service::Db | Service::Unknown, _) => {
                Judgement::Denied(Denial::Method)
            }
        }
    }
}

/// Decides about a call by the database it names.
pub(super) fn judge_database(database: &Argument, policy: &RpcPolicy) -> Judgement {
    match (database, policy.names(database.name())) {
        (Argument::Text(..), Named::Own) => Judgement::Pass(None),
        (Argument::Text(_, range), Named::Alias) => Judgement::Pass(Some(range.clone())),
        (Argument::Text(..) | Argument::Missing | Argument::Other, _) => Judgement::Denied(Denial::Database),
    }
}
