//! The RPC guard beside the Python that Odoo runs: what the guard lets through, Python must read as a call of the
//! tenant's own database, and an honest call must be let through.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test says what failed and what it saw"
)]

mod form;
mod json;
mod process;
#[path = "../../fuzz/targets/mod.rs"]
mod targets;
mod xml;

use fleetgate_core::guard::DatabaseNames;
use fleetgate_core::odoo::OdooVersion;
use fleetgate_core::rpc::{
    BodyFacts, DeniedCalls, FaultCodes, RpcGuard, RpcOutcome, RpcPolicy, RpcRoute, Service,
};
use fleetgate_core::tenant::DatabaseName;
use process::Python;
use serde_json::Value;
use std::sync::Arc;
use targets::mutation::{Random, mutate};

/// Documents of each kind. More than a million were run while this was written.
const DOCUMENTS: usize = 60_000;
const AT_ONCE: usize = 500;
const HONEST: usize = 3_000;

fn policy() -> RpcPolicy {
    RpcPolicy {
        version: OdooVersion::V19,
        database: DatabaseName::parse("acme").unwrap(),
        alias: Some(DatabaseName::parse("acme-live").unwrap()),
        denied: Some(Arc::new(DeniedCalls {
            models: vec!["res.users".into()],
            methods: vec!["unlink".into()],
        })),
        database_names: DatabaseNames::Own,
    }
}

const JSON: &str = "application/json";

/// Stands for the service of a path that is no route of calls.
const ELSEWHERE: &str = "elsewhere";

/// What Odoo gets of a body, if it gets it.
fn forwarded(media: &str, route: RpcRoute<'_>, body: &[u8], random: &mut Random) -> Option<Vec<u8>> {
    let facts = BodyFacts { content_type: Some(media.as_bytes()), ..BodyFacts::default() };
    let mut guard = RpcGuard::new(route, policy(), facts);
    let mut rest = body;
    while !rest.is_empty() {
        let (piece, tail) = rest.split_at(1 + random.below(rest.len()));
        guard.feed(piece);
        rest = tail;
    }
    match guard.finish() {
        RpcOutcome::Forward { replace: None } => Some(body.to_vec()),
        RpcOutcome::Forward { replace: Some(replace) } => {
            let at = |offset: u64| usize::try_from(offset).unwrap();
            let (start, end) = (at(replace.range.start), at(replace.range.end));
            Some([&body[..start], &replace.bytes, &body[end..]].concat())
        }
        RpcOutcome::Answer(_) | RpcOutcome::Refuse(_) | RpcOutcome::Guarded(_) => None,
    }
}

/// Why Odoo must not see a call, as Python reads it.
fn fault(service: &str, method: &Value, args: &Value) -> Option<&'static str> {
    let named = |place: usize| args.get(place).and_then(Value::as_str);
    match (service, method.as_str()) {
        (ELSEWHERE, _) => Some("a call on a path that is no route of calls"),
        ("common", Some("version" | "about")) => None,
        ("common", Some("login" | "authenticate")) | ("object", Some("execute" | "execute_kw"))
            if !args.is_array() || named(0) != Some("acme") =>
        {
            Some("another database")
        }
        ("common", Some("login" | "authenticate")) => None,
        ("object", Some("execute" | "execute_kw")) => {
            let denied = named(3).is_none_or(|model| model == "res.users")
                || named(4).is_none_or(|method| method == "unlink");
            denied.then_some("a denied model or method")
        }
        _ => Some("a method that is not for tenants"),
    }
}

/// Counts, so that a test that tests nothing is seen.
#[derive(Debug, Default)]
struct Seen {
    let_through: usize,
    called: usize,
    kept_back: usize,
}

/// Runs many documents through the guard and what it lets through also through Python.
fn run(
    kind: u8,
    seed: u64,
    mut routes: impl FnMut(&mut Random) -> (RpcRoute<'static>, &'static str),
    document: fn(&mut Random) -> Vec<u8>,
    words: &[&str],
) -> Seen {
    let mut python = Python::start();
    let mut random = Random::new(seed);
    let mut seen = Seen::default();
    let mut waiting: Vec<(&str, Vec<u8>, Vec<u8>)> = Vec::new();
    let mut elsewhere = false;
    for count in 1..=DOCUMENTS {
        let mut body = document(&mut random);
        if random.one_in(2) {
            let other = document(&mut random);
            mutate(&mut random, &mut body, words, &other);
        }
        let (route, service) = routes(&mut random);
        elsewhere |= route == RpcRoute::Elsewhere;
        match forwarded(JSON, route, &body, &mut random) {
            Some(forwarded) => waiting.push((service, body, forwarded)),
            None => seen.kept_back += 1,
        }
        if waiting.len() < AT_ONCE && count < DOCUMENTS {
            continue;
        }
        let questions: Vec<(u8, &[u8])> =
            waiting.iter().map(|(_, _, body)| (kind, body.as_slice())).collect();
        for ((service, body, _), read) in waiting.iter().zip(python.ask(&questions)) {
            seen.let_through += 1;
            let fault = match (kind, read.as_array().map(Vec::as_slice)) {
                (_, None) => continue,
                (b'a', Some([_, database])) => {
                    (database.as_str() != Some("acme")).then_some("another database")
                }
                (b'j', Some([_, method, args])) if *service == ELSEWHERE => fault(service, method, args),
                (b'j', Some([service, method, args])) => {
                    fault(service.as_str().unwrap_or_default(), method, args)
                }
                // Without a method nothing is called.
                (_, Some([Value::Null, _])) => continue,
                (_, Some([method, params])) => fault(service, method, params),
                (_, Some(other)) => panic!("{other:?}"),
            };
            seen.called += 1;
            assert_eq!(fault, None, "Python reads {read} in\n{}\n{body:?}", String::from_utf8_lossy(body));
        }
        waiting.clear();
    }
    println!("{seen:?}");
    let (called, kept_back) = (seen.called > DOCUMENTS / 100, seen.kept_back > DOCUMENTS / 10);
    assert!(kept_back && called != elsewhere, "this tests nothing: {seen:?}");
    seen
}

#[test]
fn json_that_is_let_through_is_a_call_of_the_own_database_for_python() {
    run(b'j', 1, |_| (RpcRoute::Json, ""), json::document, &json::WORDS);
}

#[test]
fn a_json_login_that_is_let_through_is_one_to_the_own_database_for_python() {
    run(b'a', 2, |_| (RpcRoute::Authenticate, ""), json::document, &json::WORDS);
}

#[test]
fn xml_that_is_let_through_is_a_call_of_the_own_database_for_python() {
    let route = |random: &mut Random| {
        let (service, name) =
            if random.one_in(4) { (Service::Common, "common") } else { (Service::Object, "object") };
        (RpcRoute::Xml { service, faults: FaultCodes::Number }, name)
    };
    run(b'x', 3, route, xml::document, &xml::WORDS);
}

#[test]
fn on_other_paths_nothing_is_let_through_that_is_a_call_for_python() {
    let elsewhere = |_: &mut Random| (RpcRoute::Elsewhere, ELSEWHERE);
    run(b'j', 5, elsewhere, json::document, &json::WORDS);
    run(b'x', 6, elsewhere, xml::document, &xml::WORDS);
}

#[test]
fn honest_calls_that_python_writes_are_let_through() {
    let mut python = Python::start();
    let mut random = Random::new(4);
    for (kind, route) in [
        (b'J', RpcRoute::Json),
        (b'X', RpcRoute::Xml { service: Service::Object, faults: FaultCodes::Number }),
    ] {
        for document in python.ask(&vec![(kind, &b""[..]); HONEST]) {
            let document = document.as_str().unwrap();
            let passed = forwarded(JSON, route, document.as_bytes(), &mut random);
            assert!(passed.is_some(), "kept back: {document}");
        }
    }
}

#[test]
fn a_form_that_is_let_through_names_the_own_database_alone_for_werkzeug() {
    let mut python = Python::of_odoo();
    let mut random = Random::new(7);
    let mut seen = Seen::default();
    for _ in 0..DOCUMENTS / AT_ONCE {
        let bodies: Vec<Vec<u8>> = (0..AT_ONCE).map(|_| form::document(&mut random)).collect();
        let passed =
            |body: &Vec<u8>| forwarded(form::MEDIA, RpcRoute::Elsewhere, body, &mut random).is_some();
        let (passed, kept): (Vec<_>, Vec<_>) = bodies.into_iter().partition(passed);
        seen.kept_back += kept.len();
        seen.let_through += passed.len();
        let questions: Vec<(u8, &[u8])> = passed.iter().map(|body| (b'f', body.as_slice())).collect();
        for (body, read) in passed.iter().zip(python.ask(&questions)) {
            let fields = read.as_array().map_or(&[][..], Vec::as_slice);
            seen.called += usize::from(!fields.is_empty());
            for field in fields {
                // A part may have no name.
                let (name, value) = (field[0].as_str().unwrap_or_default(), field[1].as_str().unwrap());
                assert!(!form::is_fault(name, value), "Werkzeug reads {read} in\n{}", body.escape_ascii());
            }
        }
    }
    println!("{seen:?}");
    assert!(seen.called.min(seen.kept_back) > DOCUMENTS / 10, "this tests nothing: {seen:?}");
}
