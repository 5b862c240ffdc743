//! Calls by programs reach their own tenant's database and no other, whatever they say.

use std::time::Duration;

use bytes::Bytes;
use fleetgate_stub::StubOdoo;
use fleetgate_tests::{Answer, Request};
use serde_json::{Value, json};

use crate::fleet;

/// A part of a body that does not fit into memory.
const PART: usize = 512 * 1024;

fn execute(host: &str, database: &str) -> Request {
    let args = json!([database, 2, "pw", "res.partner", "search_read", [[]], {}]);
    Request::call(host, "/jsonrpc", &json!({"service": "object", "method": "execute_kw", "args": args}))
}

fn xml(path: &str, method: &str, params: &[&str]) -> Request {
    let params: String = params
        .iter()
        .map(|param| format!("<param><value><string>{param}</string></value></param>"))
        .collect();
    let body = format!(
        "<?xml version='1.0'?><methodCall><methodName>{method}</methodName><params>{params}</params></methodCall>"
    );
    Request::post("acme.test", path, body).header("Content-Type", "text/xml")
}

/// Asserts that a call was denied by the gateway in the words of JSON-RPC, and that Odoo has not seen it.
fn assert_json_denied(answer: &Answer, stub: &StubOdoo, what: &str) {
    assert_eq!(answer.status, 200, "{what}: {}", answer.text());
    let body = answer.json();
    assert_eq!(body["id"], 1, "{what}: {body}");
    assert_eq!(body["error"]["data"]["name"], "odoo.exceptions.AccessDenied", "{what}: {body}");
    assert!(stub.received().is_empty(), "{what} reached Odoo");
}

#[tokio::test]
async fn a_call_reaches_the_own_database_and_no_other() {
    let (stub, gateway) = fleet::start().await;
    for http2 in [false, true] {
        for path in ["/jsonrpc", "/jsonrpc/", "//jsonrpc", "/%6asonrpc", "/fr/jsonrpc", "/any-code/jsonrpc"] {
            let send = |database: &str| {
                let request = execute("acme.test", database).to(path);
                if http2 { request.http2() } else { request }
            };
            let answer = send("globex").send(gateway.address()).await;
            assert_json_denied(&answer, &stub, path);
            let answer = send("acme").send(gateway.address()).await;
            let received = fleet::only_request(&stub);
            if !path.contains("fr/") && !path.contains("any-code") {
                assert_eq!(answer.database(), Some("acme"), "{path}: {}", answer.text());
            }
            assert!(received.body_start.windows(6).any(|window| window == b"\"acme\""), "{path}");
        }
    }
    fleet::still_serves(&gateway).await;
}

#[tokio::test]
async fn xml_and_login_by_json_are_held_against_the_host_too() {
    let (stub, gateway) = fleet::start().await;
    for path in ["/xmlrpc/2/common", "/xmlrpc/common"] {
        let answer = xml(path, "authenticate", &["globex", "admin", "pw"]).send(gateway.address()).await;
        let fault = if path.contains("/2/") { "<int>3</int>" } else { "<string>AccessDenied</string>" };
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some("text/xml; charset=utf-8"));
        assert!(answer.text().contains(fault), "{path}: {}", answer.text());
        assert!(stub.received().is_empty(), "{path}");
        let answer = xml(path, "authenticate", &["acme", "admin", "pw"]).send(gateway.address()).await;
        assert_eq!(answer.database(), Some("acme"), "{}", answer.text());
        stub.forget_received();
    }
    let login = |database: &str| {
        let params = json!({"db": database, "login": "admin", "password": "pw"});
        Request::call("acme.test", "/web/session/authenticate", &params)
    };
    let answer = login("globex").send(gateway.address()).await;
    assert_json_denied(&answer, &stub, "login");
    let answer = login("acme").send(gateway.address()).await;
    assert_eq!(answer.json()["result"]["db"], "acme");
}

#[tokio::test]
async fn a_language_that_is_called_like_the_bus_hides_no_call() {
    let (stub, gateway) = fleet::start().await;
    let answer = execute("acme.test", "globex").to("/websocket/jsonrpc").send(gateway.address()).await;
    assert_json_denied(&answer, &stub, "/websocket/jsonrpc");
    let answer = execute("acme.test", "globex")
        .to("/websocket/jsonrpc")
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .send(gateway.address())
        .await;
    assert!(stub.received().is_empty(), "{}", answer.text());
}

#[tokio::test]
async fn questions_about_databases_are_answered_without_odoo() {
    let (stub, gateway) = fleet::start().await;
    let ask = async |method: &str, args: Value| {
        let params = json!({"service": "db", "method": method, "args": args});
        Request::call("globex.test", "/jsonrpc", &params).send(gateway.address()).await.json()
    };
    assert_eq!(ask("list", json!([])).await, json!({"jsonrpc": "2.0", "id": 1, "result": ["globex"]}));
    assert_eq!(ask("server_version", json!([])).await["result"], "19.0");
    assert_eq!(ask("db_exist", json!(["globex"])).await["result"], true);
    assert_eq!(ask("db_exist", json!(["acme"])).await["result"], false);
    for method in
        ["dump", "drop", "create_database", "restore", "rename", "change_admin_password", "list_lang"]
    {
        let denied = ask(method, json!(["admin", "acme"])).await;
        assert_eq!(denied["error"]["data"]["name"], "odoo.exceptions.AccessDenied", "{method}: {denied}");
    }
    let list = xml("/xmlrpc/2/db", "list", &[]).send(gateway.address()).await.text();
    assert!(list.contains("<value><string>acme</string></value>") && !list.contains("globex"), "{list}");
    assert!(stub.received().is_empty());
}

#[tokio::test]
async fn what_cannot_be_decided_is_refused() {
    let (stub, gateway) = fleet::start().await;
    let json = |body: &str| {
        Request::post("acme.test", "/jsonrpc", body.to_owned()).header("Content-Type", "application/json")
    };
    let doctype = "<!DOCTYPE l [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;&a;'>]><methodCall/>";
    for (request, status, reason) in [
        (json("{\"params\":{\"args\":[\"acme\"],\"args\":[\"globex\"]}}"), 400, "duplicate_key"),
        (json("[{}]"), 400, "shape"),
        (json("\u{feff}{}"), 400, "utf8"),
        (json("{"), 400, "malformed"),
        (json(""), 400, "malformed"),
        (json("{}").header("Content-Encoding", "gzip"), 415, "content_encoding"),
        (Request::post("acme.test", "/jsonrpc", "{}"), 415, "content_type"),
        (json("{}").header("Content-Type", "text/plain"), 415, "content_type"),
        (Request::get("acme.test", "/jsonrpc"), 415, "content_type"),
        (Request::post("acme.test", "/xmlrpc/2/object", doctype), 400, "doctype"),
        (
            Request::post("acme.test", "/xmlrpc/2/object", "<?xml version='1.0' encoding='utf-7'?>"),
            415,
            "charset",
        ),
    ] {
        let answer = request.send(gateway.address()).await;
        assert_eq!(answer.status, status, "{request:?}: {}", answer.text());
        let code = if status == 415 { "rpc_media_type" } else { "rpc_unreadable" };
        let event = fleet::event_of(&gateway, &answer).await;
        assert_eq!((event["rejection"].as_str(), event["reason"].as_str()), (Some(code), Some(reason)));
        assert!(stub.received().is_empty(), "{request:?}");
    }
    let denied = execute("acme.test", "globex").send(gateway.address()).await;
    let event = fleet::event_of(&gateway, &denied).await;
    assert_eq!((&event["rejection"], &event["reason"]), (&json!("rpc_denied"), &json!("database")));
    fleet::still_serves(&gateway).await;
}

#[tokio::test]
async fn a_large_call_is_held_against_the_host_and_the_alias_is_replaced_on_the_way() {
    let stub = fleet::prefork("eu-1").await;
    let tenants = "- { id: acme, hosts: [acme.test], guards: { rpc: { database_alias: main } } }\n";
    let gateway = fleet::before(&stub, "", tenants).start().await;
    let body = |database: &str| {
        let filling = "x".repeat(PART);
        let start = format!(
            r#"{{"id":1,"params":{{"service":"object","method":"execute","args":["{database}",2,"pw","m","f",""#
        );
        let parts = [start.as_str(), &filling, &filling, "\"]}}"].map(str::to_owned);
        let parts: Vec<Bytes> = parts.into_iter().map(Bytes::from).collect();
        (Bytes::from(parts.concat()), parts)
    };
    let (expected, _) = body("acme");
    for name in ["main", "acme"] {
        let (whole, parts) = body(name);
        let request =
            Request::new("POST", "acme.test", "/jsonrpc").header("Content-Type", "application/json");
        for request in [
            request.clone().body(whole.clone()),
            request.clone().body_in_parts(parts.clone(), Duration::ZERO),
            request.clone().body_in_parts(parts.clone(), Duration::ZERO).http2(),
        ] {
            let answer = request.send(gateway.address()).await;
            assert_eq!(answer.database(), Some("acme"), "{}", answer.text());
            let received = fleet::only_request(&stub);
            assert_eq!(received.body_bytes, u64::try_from(expected.len()).unwrap());
            assert_eq!(received.values("content-length"), [expected.len().to_string()]);
            assert!(received.body_start.starts_with(&expected[..100]));
        }
    }
    let (whole, _) = body("globex");
    let answer = Request::post("acme.test", "/jsonrpc", whole)
        .header("Content-Type", "application/json")
        .send(gateway.address())
        .await;
    assert_json_denied(&answer, &stub, "a large call");
}

#[tokio::test]
async fn listed_calls_are_denied_to_programs_of_the_tenant() {
    let stub = fleet::prefork("eu-1").await;
    let tenants = "- { id: acme, hosts: [acme.test], guards: { rpc: { deny_models: [ir.cron], deny_methods: [unlink] } } }\n\
                   - { id: globex, hosts: [globex.test] }\n";
    let gateway = fleet::before(&stub, "", tenants).start().await;
    let call = async |host: &str, model: &str, method: &str| {
        let database = host.split('.').next();
        let args = json!([database, 2, "pw", model, method]);
        let params = json!({"service": "object", "method": "execute", "args": args});
        Request::call(host, "/jsonrpc", &params).send(gateway.address()).await.json()
    };
    // As the web client calls; Odoo takes the model from the body, whatever the path says.
    let click = async |host: &str, path: &str, model: &str, method: &str| {
        let params = json!({"model": model, "method": method, "args": [[1]], "kwargs": {}});
        Request::call(host, path, &params).send(gateway.address()).await
    };
    for (model, method) in [("ir.cron", "read"), ("res.partner", "unlink")] {
        let denied = call("acme.test", model, method).await;
        assert_eq!(denied["error"]["data"]["name"], "odoo.exceptions.AccessError", "{denied}");
        for path in [
            "/web/dataset/call_kw",
            "/web/dataset/call_kw/res.partner/read",
            "/web/dataset/call_button",
            "/fr/web/dataset/call_kw",
            "/garden",
        ] {
            let answer = click("acme.test", path, model, method).await;
            assert_eq!(answer.json()["error"]["data"]["name"], "odoo.exceptions.AccessError", "{path}");
            assert!(stub.received().is_empty());
            let event = fleet::event_of(&gateway, &answer).await;
            assert_eq!((&event["rejection"], &event["reason"]), (&json!("rpc_denied"), &json!("listed")));
            click("globex.test", path, model, method).await;
            fleet::only_request(&stub);
        }
        let path = format!("/json/2/{model}/{method}");
        let answer = Request::post("acme.test", &path, "{}")
            .header("Authorization", "bearer key")
            .send(gateway.address())
            .await;
        assert_eq!(answer.status, 403, "{}", answer.text());
        assert!(stub.received().is_empty());
        assert_eq!(call("globex.test", model, method).await["result"]["database"], "globex");
        stub.forget_received();
    }
    assert_eq!(call("acme.test", "res.partner", "read").await["result"]["database"], "acme");
    stub.forget_received();
    click("acme.test", "/web/dataset/call_kw/ir.cron/unlink", "res.partner", "read").await;
    fleet::only_request(&stub);
}

#[tokio::test]
async fn json_2_with_the_name_of_another_database_is_denied() {
    let (stub, gateway) = fleet::start().await;
    let ask = async |database: &str| {
        Request::post("acme.test", "/json/2/res.partner/read", "{}")
            .header("Content-Type", "application/json")
            .header("Authorization", "bearer key")
            .header("X-Odoo-Database", database)
            .send(gateway.address())
            .await
    };
    let answer = ask("globex").await;
    assert_eq!((answer.status, &answer.json()["name"]), (403, &json!("odoo.exceptions.AccessDenied")));
    assert!(stub.received().is_empty());
    assert_eq!(ask("acme").await.json()["database"], "acme");
}

#[tokio::test]
async fn a_connection_serves_on_after_a_denial() {
    let (stub, gateway) = fleet::start().await;
    let mut connection = fleetgate_tests::Connection::http1(gateway.address()).await.unwrap();
    for database in ["globex", "acme", "globex", "acme"] {
        let answer = connection.ask(&execute("acme.test", database)).await.unwrap();
        assert_eq!(answer.json().get("error").is_some(), database == "globex", "{}", answer.text());
    }
    assert_eq!(stub.received().len(), 2);
}

#[tokio::test]
async fn a_call_on_a_path_that_somebody_gave_to_calls_is_refused() {
    let stub = fleet::prefork("eu-1").await;
    let gateway = fleet::before(&stub, "stream_paths: [/my/upload]", fleet::TENANTS).start().await;
    let call = r#"{"params":{"service":"db","method":"list","args":[]}}"#;
    let xml = "<a><x:methodName>list</x:methodName></a>";
    for path in ["/garden", "/shop/x", "/web/dataset/call_kw", "/my/upload", "/websocket/x", "/web/static/x"]
    {
        for (media, body) in
            [("application/json", call), ("text/xml", xml), ("application/octet-stream", xml)]
        {
            let request = Request::post("acme.test", path, body).header("Content-Type", media);
            for request in [request.clone(), request.clone().http2()] {
                let answer = request.send(gateway.address()).await;
                assert_eq!(answer.status, 400, "{path} {media}: {}", answer.text());
                let event = fleet::event_of(&gateway, &answer).await;
                let seen = (&event["rejection"], &event["reason"]);
                assert_eq!(seen, (&json!("rpc_unreadable"), &json!("stray")), "{path} {media}");
            }
            let parts = body.as_bytes().chunks(9).map(Bytes::copy_from_slice).collect();
            let slowly = Request::new("POST", "acme.test", path).header("Content-Type", media);
            let answer =
                slowly.body_in_parts(parts, Duration::from_millis(1)).try_send(gateway.address()).await;
            assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status == 400), "{path} {media}");
        }
        let whole = stub.received().into_iter().filter(|received| received.complete);
        assert_eq!(whole.count(), 0, "{path}");
        stub.forget_received();
    }
    // The same bytes where Odoo could not take them for a call.
    for (media, body) in [("text/plain", call), ("application/json", r#"{"params":{"model":"m","args":[]}}"#)]
    {
        let answer = Request::post("acme.test", "/stub/echo", body)
            .header("Content-Type", media)
            .send(gateway.address())
            .await;
        assert_eq!((answer.status, answer.database()), (200, Some("acme")));
    }
    fleet::still_serves(&gateway).await;
}

#[tokio::test]
async fn a_body_of_two_media_types_is_of_none() {
    let (stub, gateway) = fleet::start().await;
    for (first, second) in
        [("text/plain", "application/json"), ("application/json", "text/plain"), ("text/plain", "text/plain")]
    {
        let request = Request::post("acme.test", "/garden", "{}")
            .header("Content-Type", first)
            .header("Content-Type", second);
        for request in [request.clone(), request.http2()] {
            let answer = request.send(gateway.address()).await;
            assert_eq!(answer.status, 415, "{first} {second}: {}", answer.text());
            assert!(stub.received().is_empty());
        }
    }
    fleet::still_serves(&gateway).await;
}

#[tokio::test]
async fn a_call_of_a_hundred_megabytes_takes_no_memory() {
    let (_stub, gateway) = fleet::start().await;
    let filling = Bytes::from("x".repeat(1024 * 1024));
    let parts = |start: &'static str, end: &'static str| {
        let filling = std::iter::repeat_n(filling.clone(), 100);
        [Bytes::from(start)].into_iter().chain(filling).chain([Bytes::from(end)]).collect::<Vec<_>>()
    };
    // What a body takes that nobody reads: the buffers of those who move it.
    let upload =
        Request::new("POST", "acme.test", "/stub/upload").body_in_parts(parts("", ""), Duration::ZERO);
    upload.send(gateway.address()).await;
    let before = gateway.resident_kib();
    for (path, media, start, end) in [
        (
            "/jsonrpc",
            "application/json",
            r#"{"params":{"service":"object","method":"execute","args":["acme",2,"pw","m","f",""#,
            "\"]},\"id\":1}",
        ),
        (
            "/xmlrpc/2/object",
            "text/xml",
            "<methodCall><methodName>execute</methodName><params><param><value>acme</value></param><param><value><int>2\
             </int></value></param><param><value>pw</value></param><param><value>m</value></param><param><value>f</value>\
             </param><param><value><base64>",
            "</base64></value></param></params></methodCall>",
        ),
    ] {
        let request = Request::new("POST", "acme.test", path).header("Content-Type", media);
        let answer = request.body_in_parts(parts(start, end), Duration::ZERO).send(gateway.address()).await;
        assert_eq!(answer.database(), Some("acme"), "{}", answer.text());
    }
    let added = gateway.resident_kib().saturating_sub(before);
    assert!(added < 16 * 1024, "{added} KiB more than before");
}
