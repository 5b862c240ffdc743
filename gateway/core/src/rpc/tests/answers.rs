//! The bytes of answers. That real clients understand them is tested with Python and with Odoo's own clients.

use super::*;
use serde_json::{Value, json};

const WRONG: &str = r#""params":{"service":"object","method":"execute","args":["zen",2,"p","m","f"]}"#;

fn answer(route: RpcRoute<'_>, version: OdooVersion, body: &str) -> RpcAnswer {
    let mut guard = RpcGuard::new(route, policy(version), JSON);
    guard.feed(body.as_bytes());
    let outcome = guard.finish();
    let RpcOutcome::Answer(answer) = outcome else { panic!("{outcome:?}") };
    answer
}

fn json_answer(version: OdooVersion, body: &str) -> Value {
    let answer = answer(RpcRoute::Json, version, body);
    assert_eq!((answer.status, answer.content_type), (200, "application/json; charset=utf-8"));
    serde_json::from_slice(&answer.body).unwrap()
}

#[test]
fn json_errors_are_those_of_each_version() {
    for version in OdooVersion::ALL {
        let code = if version == OdooVersion::V19 { 0 } else { 200 };
        let data = json!({"name": "odoo.exceptions.AccessDenied", "message": "Access Denied",
            "arguments": ["Access Denied"], "context": {}, "debug": ""});
        let error = json!({"code": code, "message": "Odoo Server Error", "data": data});
        assert_eq!(
            json_answer(version, &format!("{{\"id\":7,{WRONG}}}")),
            json!({"jsonrpc": "2.0", "id": 7, "error": error})
        );
    }
    let listed = WRONG.replace("zen", "acme").replace("\"m\"", "\"res.users\"");
    let listed = json_answer(OdooVersion::V19, &format!("{{{listed}}}"));
    assert_eq!(listed["error"]["data"]["name"], "odoo.exceptions.AccessError");
}

#[test]
fn an_answer_carries_the_id_of_the_call() {
    for id in ["7", "-1.5e3", "\"a\\u0041\\\"b\"", "null", "true", "\"\u{e9}\""] {
        let expected: Value = serde_json::from_str(id).unwrap();
        for body in
            [format!("{{\"id\": {id} ,{WRONG}}}"), format!("{{{WRONG},\"x\":[1,{{\"id\":9}}],\"id\" :{id}}}")]
        {
            assert_eq!(json_answer(OdooVersion::V19, &body)["id"], expected, "{body}");
        }
    }
    let long = format!("\"{}\"", "i".repeat(200));
    for id in ["NaN", "-Infinity", "[1]", "{\"id\":1}", &long] {
        assert_eq!(
            json_answer(OdooVersion::V19, &format!("{{\"id\":{id},{WRONG}}}"))["id"],
            Value::Null,
            "{id}"
        );
    }
    // What follows a sure denial is only searched: it may be broken, and endless.
    for tail in [",", ",,\"id\":1}", &format!(",\"x\":\"{}\",\"id\":1}}", "x".repeat(70_000))] {
        assert_eq!(json_answer(OdooVersion::V19, &format!("{{{WRONG}{tail}"))["id"], Value::Null);
    }
    let near = format!("{{{WRONG},\"x\":\"{}\",\"id\":1}}", "x".repeat(60_000));
    assert_eq!(json_answer(OdooVersion::V19, &near)["id"], 1);
}

#[test]
fn harmless_calls_about_databases_tell_of_the_own_only() {
    let db = |method: &str, args: &str| {
        let body = format!(r#"{{"id":1,"params":{{"service":"db","method":"{method}","args":{args}}}}}"#);
        json_answer(OdooVersion::V17, &body)["result"].clone()
    };
    assert_eq!(db("server_version", "[]"), "17.0");
    assert_eq!(db("list", "[]"), json!(["acme-live"]));
    assert_eq!(db("list", "[true]"), json!(["acme-live"]));
    for (name, exists) in [("acme", true), ("acme-live", true), ("zen", false), ("", false)] {
        assert_eq!(db("db_exist", &format!("[\"{name}\"]")), exists, "{name}");
    }
    let mut without = policy(OdooVersion::V17);
    without.alias = None;
    let mut guard = RpcGuard::new(RpcRoute::Json, without, JSON);
    guard.feed(br#"{"params":{"service":"db","method":"list","args":[]}}"#);
    let RpcOutcome::Answer(answer) = guard.finish() else { panic!("not answered") };
    assert!(String::from_utf8_lossy(&answer.body).ends_with(r#""result": ["acme"]}"#));
}

#[test]
fn xml_faults_are_numbers_or_texts() {
    let fault = |faults, model: &str, database: &str| {
        let body = format!(
            "<methodCall><methodName>execute</methodName><params><param><value>{database}</value></param>\
             <param><value><int>2</int></value></param><param><value>p</value></param><param><value>{model}</value>\
             </param><param><value>read</value></param></params></methodCall>"
        );
        let answer = answer(RpcRoute::Xml { service: Service::Object, faults }, OdooVersion::V19, &body);
        assert_eq!((answer.status, answer.content_type), (200, "text/xml; charset=utf-8"));
        String::from_utf8(answer.body.into()).unwrap()
    };
    let number = fault(FaultCodes::Number, "m", "zen");
    assert!(
        number.contains("<value><int>3</int></value>") && number.contains("<string>Access Denied</string>"),
        "{number}"
    );
    assert!(fault(FaultCodes::Text, "m", "zen").contains("<value><string>AccessDenied</string></value>"));
    assert!(fault(FaultCodes::Number, "res.users", "acme").contains("<value><int>4</int></value>"));
    assert!(fault(FaultCodes::Text, "res.users", "acme").contains("<string>warning -- AccessError\n\n"));
}
