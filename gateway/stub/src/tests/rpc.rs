use serde_json::json;

use super::{Answer, ask, fleet};
use crate::StubOdoo;

const JSON: &str = "Host: acme.test\r\nContent-Type: application/json\r\n";

async fn call(stub: &StubOdoo, target: &str, params: serde_json::Value) -> Answer {
    let body = json!({"jsonrpc": "2.0", "method": "call", "id": 7, "params": params}).to_string();
    ask(stub.http_addr(), "POST", target, JSON, &body).await
}

#[tokio::test]
async fn body_of_json_rpc_decides_the_database_whatever_the_host() {
    let stub = fleet().await;
    let args = json!(["globex", 2, "key", "res.partner", "search", [[]]]);
    let params = json!({"service": "object", "method": "execute_kw", "args": args});
    let answer = call(&stub, "/jsonrpc", params).await;
    assert_eq!(answer.database(), Some("globex"));
    assert_eq!(answer.json()["result"]["database"], "globex");
    assert_eq!((&answer.json()["id"], &answer.json()["result"]["model"]), (&json!(7), &json!("res.partner")));
    let version =
        call(&stub, "/jsonrpc", json!({"service": "common", "method": "version", "args": []})).await;
    assert_eq!(version.json()["result"]["server_serie"], "19.0");
}

#[tokio::test]
async fn json_rpc_errors_are_http_200() {
    let stub = fleet().await;
    for args in [json!(["nobody", 2, "key", "m", "f"]), json!(["acme", 2, "wrong", "m", "f"])] {
        let params = json!({"service": "object", "method": "execute_kw", "args": args});
        let answer = call(&stub, "/jsonrpc", params).await;
        assert_eq!((answer.status, &answer.json()["error"]["message"]), (200, &json!("Odoo Server Error")));
    }
    let plain =
        ask(stub.http_addr(), "POST", "/jsonrpc", "Host: acme\r\nContent-Type: text/plain\r\n", "{}").await;
    assert_eq!(plain.status, 415);
}

#[tokio::test]
async fn body_of_xml_rpc_decides_the_database() {
    let stub = fleet().await;
    let param = |value: &str| format!("<param><value>{value}</value></param>");
    let params: String =
        ["<string>globex</string>", "<int>2</int>", "key", "res.partner", "read"].map(param).concat();
    let document =
        format!("<methodCall><methodName>execute_kw</methodName><params>{params}</params></methodCall>");
    let headers = "Host: acme.test\r\nContent-Type: text/xml\r\n";
    let answer = ask(stub.http_addr(), "POST", "/xmlrpc/2/object", headers, &document).await;
    assert_eq!((answer.status, answer.database()), (200, Some("globex")));
    assert!(answer.body.contains("<name>database</name><value><string>globex</string>"), "{}", answer.body);
    let list = "<methodCall><methodName>list</methodName><params></params></methodCall>";
    let answer = ask(stub.http_addr(), "POST", "/xmlrpc/2/db", headers, list).await;
    assert!(answer.body.contains("<string>acme</string>") && answer.body.contains("<string>globex</string>"));
}

#[tokio::test]
async fn authenticate_opens_a_session_for_the_web_client_calls() {
    let stub = fleet().await;
    let answer = call(&stub, "/web/dataset/call_kw/res.partner/read", json!({})).await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (200, &json!(100)));

    let params = json!({"db": "globex", "login": "admin", "password": "admin"});
    let refused = call(&stub, "/web/session/authenticate", params).await;
    assert_eq!(refused.json()["error"]["data"]["message"], "Database not found.");

    let params = json!({"db": "acme", "login": "admin", "password": "admin"});
    let answer = call(&stub, "/web/session/authenticate", params).await;
    assert_eq!(answer.json()["result"]["db"], "acme");
    let cookie = answer.value("Set-Cookie").unwrap().split(';').next().unwrap().to_owned();
    let headers = format!("{JSON}Cookie: {cookie}\r\n");
    let body = json!({"id": 1, "params": {"model": "res.partner"}}).to_string();
    let called = ask(stub.http_addr(), "POST", "/web/dataset/call_kw", &headers, &body).await;
    assert_eq!(called.json()["result"]["database"], "acme");
    assert_eq!(called.json()["result"]["login"], "admin");
}

#[tokio::test]
async fn json_2_has_real_statuses() {
    let stub = fleet().await;
    let target = "/json/2/res.partner/search";
    assert_eq!(ask(stub.http_addr(), "POST", target, JSON, "{}").await.status, 401);
    let headers = "Host: shop.test\r\nX-Odoo-Database: acme\r\nAuthorization: bearer key\r\n";
    let answer = ask(stub.http_addr(), "POST", target, headers, r#"{"domain": []}"#).await;
    assert_eq!((answer.status, &answer.json()["database"]), (200, &json!("acme")));
    assert_eq!(ask(stub.http_addr(), "POST", target, headers, "[").await.status, 400);
}

#[tokio::test]
async fn poll_is_held_on_the_gevent_port_and_refused_on_a_prefork_port() {
    let stub = fleet().await;
    let body = json!({"id": 1, "params": {"channels": []}}).to_string();
    let target = "/longpolling/poll?hold_ms=30";
    let begin = std::time::Instant::now();
    let polled = ask(stub.gevent_addr(), "POST", target, JSON, &body).await;
    assert!(begin.elapsed() >= std::time::Duration::from_millis(30));
    assert_eq!(polled.json()["result"]["port"], "gevent");
    let wrong = ask(stub.http_addr(), "POST", target, JSON, &body).await;
    assert_eq!(wrong.json()["error"]["data"]["message"], "bus.Bus unavailable");
}
