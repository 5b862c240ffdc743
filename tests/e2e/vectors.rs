//! The vectors of `tests/vectors`: one list of requests, and the same verdict from whoever decides about them.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use fleetgate_core::certificate::{Certificates, Identity};
use fleetgate_core::client_certificate::Proof;
use fleetgate_core::config::{Fleet, MainFile, References, TenantFile, compile};
use fleetgate_core::forwarded::{Scheme, client_scheme};
use fleetgate_core::guard::BodyLength;
use fleetgate_core::host::HostKey;
use fleetgate_core::odoo::headers::is_reserved;
use fleetgate_core::outbound::Outbound;
use fleetgate_core::rejection::Rejection;
use fleetgate_core::request::{Target, judge_parsed};
use fleetgate_core::verdict::{RequestView, Verdict, admit};
use fleetgate_stub::{StubOdoo, StubOptions};
use fleetgate_tests::{Connection, DEADLINE, Gateway, Request};
use serde_json::Value;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

/// A request, and what should become of it.
struct Case {
    name: String,
    method: String,
    host: String,
    target: String,
    proto: String,
    client: IpAddr,
    send: Vec<(String, String)>,
    body: String,
    expected: Expected,
}

enum Expected {
    Forward(Value),
    Redirect(String),
    Reject { status: u16, code: String, reason: Option<String>, retry_after: Option<u64> },
}

/// What became of a request; what a runner cannot know is `None`.
#[derive(Debug, Default)]
struct Seen {
    tenant: Option<String>,
    database: Option<String>,
    pool: Option<String>,
    class: Option<String>,
    port: Option<String>,
    headers: Option<Vec<(String, String)>>,
    location: Option<String>,
    status: Option<u16>,
    code: Option<String>,
    reason: Option<String>,
    retry_after: Option<Option<u64>>,
    forwarded: bool,
}

/// Every case of every file. A key that nobody reads is a mistake in the file.
fn cases() -> Vec<Case> {
    let mut files: Vec<_> =
        fs::read_dir(folder().join("cases")).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 4, "{files:?}");
    let mut cases = Vec::new();
    for file in files {
        let list: Vec<Value> = serde_saphyr::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let mut names = BTreeSet::new();
        for value in &list {
            let case = case(value, &file.file_stem().unwrap().to_string_lossy());
            assert!(names.insert(case.name.clone()), "{} is there twice", case.name);
            cases.push(case);
        }
    }
    cases
}

fn assert_keys(value: &Value, known: &[&str]) {
    let unknown: Vec<_> =
        value.as_object().unwrap().keys().filter(|key| !known.contains(&key.as_str())).collect();
    assert!(unknown.is_empty(), "{unknown:?} in {value}");
}

fn pairs(value: &Value) -> Vec<(String, String)> {
    let map = value.as_object().into_iter().flatten();
    map.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
}

fn case(value: &Value, file: &str) -> Case {
    assert_keys(
        value,
        &[
            "case", "method", "host", "target", "proto", "client", "send", "body", "forward", "redirect",
            "reject",
        ],
    );
    let text = |key: &str, default: &str| value[key].as_str().unwrap_or(default).to_owned();
    let expected = match (&value["forward"], &value["redirect"], &value["reject"]) {
        (forward @ Value::Object(_), Value::Null, Value::Null) => {
            assert_keys(forward, &["tenant", "database", "pool", "class", "port", "gets", "lacks"]);
            Expected::Forward(forward.clone())
        }
        (Value::Null, Value::String(location), Value::Null) => Expected::Redirect(location.clone()),
        (Value::Null, Value::Null, reject @ Value::Object(_)) => {
            assert_keys(reject, &["status", "code", "reason", "retry_after"]);
            Expected::Reject {
                status: u16::try_from(reject["status"].as_u64().unwrap()).unwrap(),
                code: reject["code"].as_str().unwrap().to_owned(),
                reason: reject["reason"].as_str().map(str::to_owned),
                retry_after: reject["retry_after"].as_u64(),
            }
        }
        _ => panic!("not one verdict: {value}"),
    };
    Case {
        name: format!("{file}: {}", value["case"].as_str().unwrap()),
        method: text("method", "GET"),
        host: value["host"].as_str().unwrap().to_owned(),
        target: text("target", "/"),
        proto: text("proto", "http"),
        client: text("client", "192.0.2.1").parse().unwrap(),
        send: pairs(&value["send"]),
        body: text("body", ""),
        expected,
    }
}

/// Asserts that what was seen is what was expected, as far as the runner could see it.
fn check(case: &Case, seen: &Seen, runner: &str) {
    let what = format!("`{}` {runner}: {seen:#?}", case.name);
    let verdict = (seen.forwarded, seen.location.is_some(), seen.code.is_some());
    match &case.expected {
        Expected::Forward(expected) => {
            assert_eq!(verdict, (true, false, false), "{what}");
            for (key, value) in [
                ("tenant", &seen.tenant),
                ("database", &seen.database),
                ("pool", &seen.pool),
                ("class", &seen.class),
                ("port", &seen.port),
            ] {
                let expected = expected[key].as_str();
                assert!(expected.is_none() || expected == value.as_deref(), "{key} of {what}");
            }
            let Some(headers) = &seen.headers else { return };
            let values = |name: &str| -> Vec<&str> {
                let named = headers.iter().filter(|(header, _)| header.eq_ignore_ascii_case(name));
                named.map(|(_, value)| value.as_str()).collect()
            };
            for (name, value) in pairs(&expected["gets"]) {
                assert_eq!(values(&name), [value], "{name} of {what}");
            }
            for name in expected["lacks"].as_array().into_iter().flatten() {
                assert_eq!(values(name.as_str().unwrap()).len(), 0, "{name} of {what}");
            }
        }
        Expected::Redirect(location) => {
            assert_eq!((verdict, &seen.location), ((false, true, false), &Some(location.clone())), "{what}");
        }
        Expected::Reject { status, code, reason, retry_after } => {
            assert_eq!(verdict, (false, false, true), "{what}");
            assert_eq!((seen.status, seen.code.as_deref()), (Some(*status), Some(code.as_str())), "{what}");
            assert_eq!(&seen.reason, reason, "{what}");
            assert!(seen.retry_after.is_none_or(|seen| seen == *retry_after), "{what}");
        }
    }
}

/// Backends that nobody asks.
struct Nowhere;

impl References for Nowhere {
    fn variable(&self, name: &str) -> Result<String, String> {
        let port = if name == "STUB_HTTP" { 8069 } else { 8072 };
        Ok(format!("192.0.2.9:{port}"))
    }

    fn secret_file(&self, _path: &str) -> Result<String, String> {
        Err("is not there".to_owned())
    }

    fn authorities(&self, _path: &str) -> Result<Certificates, String> {
        Err("is not there".to_owned())
    }

    fn identity(&self, _certificate: &str, _key: &str) -> Result<Identity, String> {
        Err("the certificate is not there".to_owned())
    }
}

fn core_fleet() -> Fleet {
    let text = fs::read_to_string(folder().join("fleet.yaml")).unwrap();
    let (main, problems) = MainFile::parse("fleet.yaml", &text, &Nowhere, 2);
    assert!(problems.is_empty(), "{problems:#?}");
    let none: [Arc<TenantFile>; 0] = [];
    compile(&main, &none).config.unwrap().fleet
}

fn rejected(rejection: Rejection) -> Seen {
    Seen {
        status: Some(rejection.status()),
        code: Some(rejection.code().to_owned()),
        reason: rejection.reason().map(str::to_owned),
        retry_after: Some(rejection.retry_after_seconds().map(u64::from)),
        ..Seen::default()
    }
}

/// The decision alone.
fn decide(fleet: &Fleet, case: &Case) -> Seen {
    let (host, port) = match HostKey::parse(case.host.as_bytes()) {
        Ok(parsed) => parsed,
        Err(error) => return rejected(Rejection::from(error)),
    };
    let scheme = client_scheme(true, Some(case.proto.as_bytes()), Scheme::Http);
    let fields = case.send.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let judged = judge_parsed(case.method.as_bytes(), case.target.as_bytes(), fields);
    let target = match judged.and_then(|()| Ok(Target::parse(case.target.as_bytes())?)) {
        Ok(target) => target,
        Err(rejection) => return rejected(rejection),
    };
    let view = RequestView {
        server_name: None,
        proof: Proof::NotNeeded,
        host: &host,
        path: &target.path,
        query: target.query.unwrap_or_default(),
        safe_method: matches!(case.method.as_str(), "GET" | "HEAD"),
        body: BodyLength::None,
        client: case.client,
    };
    let port = port.filter(|port| *port != scheme.default_port());
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    match admit(fleet, &view) {
        Verdict::Reject { rejection, .. } => rejected(rejection),
        Verdict::Redirect { host, .. } => {
            let target = String::from_utf8(target.to_bytes()).unwrap();
            let location = format!("{}://{host}{port}{target}", scheme.as_str());
            Seen { location: Some(location), ..Seen::default() }
        }
        Verdict::Forward(route) => {
            let database = route.found.tenant.database.resolve(route.found.label);
            let mut headers = case.send.clone();
            headers.retain(|(name, _)| !is_reserved(name));
            let authority = format!("{}{port}", host.as_str());
            let outbound = Outbound {
                pool: route.pool,
                database: &database,
                authority: &authority,
                client: case.client,
                scheme,
                path: &target.path,
                has_session: case.send.iter().any(|(_, value)| value.contains("session_id=")),
                client_certificate: None,
                client_certificate_chain: None,
                far: false,
            };
            let told: Result<(), std::convert::Infallible> = outbound.try_for_each(|name, value| {
                headers.push((name.to_owned(), value.to_owned()));
                Ok(())
            });
            told.unwrap();
            Seen {
                tenant: Some(route.found.tenant.id.resolve(route.found.label).into_owned()),
                database: Some(database.into_owned()),
                pool: Some(route.pool.name.to_string()),
                class: Some(route.class.as_str().to_owned()),
                port: Some(route.class.port().as_str().to_owned()),
                headers: Some(headers),
                forwarded: true,
                ..Seen::default()
            }
        }
    }
}

#[test]
fn the_decision_alone_says_what_the_vectors_say() {
    let fleet = core_fleet();
    for case in cases() {
        check(&case, &decide(&fleet, &case), "decided alone");
    }
}

/// A gateway with the fleet of the vectors.
async fn gateway() -> (StubOdoo, Gateway) {
    let databases = ["acme", "globex", "zen", "db.named-1", "old", "elder", "mid", "busy"];
    let stub = StubOdoo::start(StubOptions::new("eu-1", databases)).await.unwrap();
    let text = fs::read_to_string(folder().join("fleet.yaml")).unwrap();
    let builder = Gateway::builder(&text).variable("STUB_HTTP", &stub.http_addr().to_string());
    let gateway = builder.variable("STUB_WEBSOCKET", &stub.gevent_addr().to_string()).start().await;
    (stub, gateway)
}

/// The request over the wire, through a proxy that the fleet trusts.
async fn ask(case: &Case, connection: &mut Connection, stub: &StubOdoo, gateway: &Gateway) -> Seen {
    let mut request = Request::new(&case.method, &case.host, &case.target)
        .header("X-Forwarded-For", &case.client.to_string())
        .header("X-Forwarded-Proto", &case.proto)
        .body(case.body.clone());
    for (name, value) in &case.send {
        request = request.header(name, value);
    }
    let answer = connection.ask(&request).await.unwrap();
    let mut received = stub.received();
    stub.forget_received();
    assert!(received.len() <= 1, "{received:#?}");
    let id = answer.header("x-request-id").unwrap().to_owned();
    let event =
        gateway.access_log().event(&case.name, DEADLINE, |event| event["request_id"] == id.as_str()).await;
    let logged = |key: &str| event[key].as_str().map(str::to_owned);
    let mut seen = Seen { status: Some(answer.status), location: None, ..Seen::default() };
    match received.pop() {
        Some(received) => {
            seen.forwarded = true;
            (seen.tenant, seen.pool, seen.class) = (logged("tenant"), logged("pool"), logged("class"));
            seen.port = Some(received.port.name().to_owned());
            seen.database = received.database;
            seen.headers = Some(received.headers);
            assert_eq!(logged("database"), seen.database, "{}", case.name);
        }
        None if answer.status == 301 => seen.location = answer.header("location").map(str::to_owned),
        None => {
            (seen.code, seen.reason) = (logged("rejection"), logged("reason"));
            let told = case.method == "HEAD" || answer.text().contains(seen.code.as_deref().unwrap());
            assert!(told, "{}: {}", case.name, answer.text());
            seen.retry_after = Some(answer.header("retry-after").map(|seconds| seconds.parse().unwrap()));
        }
    }
    seen
}

#[tokio::test]
async fn the_gateway_does_over_http1_what_the_vectors_say() {
    let (stub, gateway) = gateway().await;
    let mut connection = Connection::http1(gateway.address()).await.unwrap();
    for case in cases() {
        let seen = ask(&case, &mut connection, &stub, &gateway).await;
        check(&case, &seen, "over HTTP/1");
        // After a refusal of the head itself the connection is closed.
        if seen.code.as_deref() == Some("method_not_allowed") {
            connection = Connection::http1(gateway.address()).await.unwrap();
        }
    }
    assert_eq!(gateway.admin("/v1/status").await["panics"], 0);
}

#[tokio::test]
async fn the_gateway_does_over_http2_what_the_vectors_say() {
    let (stub, gateway) = gateway().await;
    let mut connection = Connection::http2(gateway.address()).await.unwrap();
    for case in cases() {
        if http::uri::Authority::try_from(case.host.as_str()).is_err() {
            let fields =
                [(":method", "GET"), (":scheme", "http"), (":authority", &case.host), (":path", "/")];
            crate::bad_http2::assert_refused(&stub, &gateway, &fields).await;
            continue;
        }
        check(&case, &ask(&case, &mut connection, &stub, &gateway).await, "over HTTP/2");
    }
}

#[tokio::test]
async fn explain_tells_what_the_vectors_say() {
    let (_stub, gateway) = gateway().await;
    for case in cases() {
        let encoded = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
        let url = encoded(&format!("{}://{}{}", case.proto, case.host, case.target));
        let path = format!(
            "/v1/explain?url={url}&method={}&from={}",
            case.method,
            encoded(&case.client.to_string())
        );
        let answer = gateway.try_admin(&Request::get("admin", &path)).await.unwrap();
        if answer.status == 400 {
            let bad = Seen { status: Some(400), code: Some("bad_host".to_owned()), ..Seen::default() };
            check(&case, &bad, "explained as no URL");
            continue;
        }
        let told = answer.json();
        let text = |key: &str| told[key].as_str().map(str::to_owned);
        let headers: Vec<(String, String)> = serde_json::from_value(told["headers"].clone()).unwrap();
        let seen = Seen {
            tenant: text("tenant"),
            database: text("database"),
            pool: text("pool"),
            class: text("class"),
            port: text("port"),
            // What a client sends itself is not part of the question.
            headers: case.send.is_empty().then_some(headers),
            location: text("location"),
            status: told["status"].as_u64().and_then(|status| u16::try_from(status).ok()),
            code: text("rejection"),
            reason: text("reason"),
            retry_after: None,
            forwarded: told["verdict"] == "forward",
        };
        check(&case, &seen, "explained");
    }
}
