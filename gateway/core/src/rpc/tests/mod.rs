//! Whole calls, in every cut.

mod answers;
mod cuts;
mod json;
mod json2;
mod xml;

use super::*;
use crate::guard::{DatabaseNames, Guard};
use crate::odoo::OdooVersion;
use crate::tenant::DatabaseName;
use std::sync::Arc;

/// The tenant is `acme`, whose public name is `acme-live`; `res.users` and `unlink` are denied.
fn policy(version: OdooVersion) -> RpcPolicy {
    RpcPolicy {
        version,
        database: DatabaseName::parse("acme").unwrap(),
        alias: Some(DatabaseName::parse("acme-live").unwrap()),
        denied: Some(Arc::new(DeniedCalls {
            models: vec!["res.users".into()],
            methods: vec!["unlink".into()],
        })),
        database_names: DatabaseNames::Own,
    }
}

const JSON: BodyFacts<'_> =
    BodyFacts { content_type: Some(b"application/json"), content_encoding: None, databases: &[] };

fn outcome_in(route: RpcRoute<'_>, body: &[u8], piece: usize) -> RpcOutcome {
    let mut guard = RpcGuard::new(route, policy(OdooVersion::V19), JSON);
    for piece in body.chunks(piece) {
        guard.feed(piece);
    }
    guard.finish()
}

/// The outcome, the same for several ways to cut the body.
fn outcome(route: RpcRoute<'_>, body: &[u8]) -> RpcOutcome {
    let whole = outcome_in(route, body, body.len().max(1));
    for piece in [1, 2, 3, 7, 31, 64] {
        assert_eq!(outcome_in(route, body, piece), whole, "{piece}: {}", String::from_utf8_lossy(body));
    }
    whole
}

/// What happens to a call, in a word.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    Forwarded,
    /// Forwarded with other bytes in place of some.
    Rewritten(String),
    Answered(String),
    Denied(Denial),
    Refused(RpcRefusal),
    Guarded(Guard),
}

fn fate(route: RpcRoute<'_>, body: &[u8]) -> Fate {
    match outcome(route, body) {
        RpcOutcome::Forward { replace: None } => Fate::Forwarded,
        RpcOutcome::Forward { replace: Some(Replacement { range, bytes }) } => {
            let (start, end) = (usize::try_from(range.start).unwrap(), usize::try_from(range.end).unwrap());
            let rewritten = [&body[..start], &bytes, &body[end..]].concat();
            Fate::Rewritten(String::from_utf8(rewritten).unwrap())
        }
        RpcOutcome::Answer(RpcAnswer { denial: Some(denial), .. }) => Fate::Denied(denial),
        RpcOutcome::Answer(answer) => Fate::Answered(String::from_utf8(answer.body.into()).unwrap()),
        RpcOutcome::Refuse(refusal) => Fate::Refused(refusal),
        RpcOutcome::Guarded(guard) => Fate::Guarded(guard),
    }
}
