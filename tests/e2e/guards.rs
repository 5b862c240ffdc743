//! What no client may ask of Odoo from outside: asserted on what Odoo received.

use std::time::Duration;

use bytes::Bytes;
use fleetgate_stub::StubOdoo;
use fleetgate_tests::{
    DEADLINE, Gateway, NEIGHBOURS, Request, backend, manager_spellings, reaches_manager, send_spelling,
};

use tokio::io::AsyncWriteExt;

use crate::fleet;
use crate::script::Script;

const MIB: usize = 1024 * 1024;

/// A gateway that believes the tests about their address, with settings of guards for the fleet and for `acme`.
async fn with_guards(fleet_guards: &str, acme_guards: &str, pool: &str) -> (StubOdoo, Gateway) {
    let stub = fleet::prefork("eu-1").await;
    let config = fleet::config(&[backend(&stub)], pool)
        + &format!("trusted_proxies: [\"127.0.0.1\"]\nguards: {{ {fleet_guards} }}\n");
    let tenants = format!(
        "- {{ id: acme, hosts: [acme.test], guards: {{ {acme_guards} }} }}\n- {{ id: globex, hosts: [globex.test] }}\n"
    );
    let gateway = Gateway::builder(&config).tenants("t.yaml", &tenants).start().await;
    (stub, gateway)
}

fn from(client: &str, host: &str, target: &str) -> Request {
    Request::get(host, target).header("X-Forwarded-For", client)
}

/// Asserts that a request is refused by a guard, and that Odoo hears nothing of it.
async fn assert_refused(stub: &StubOdoo, gateway: &Gateway, request: &Request, status: u16, guard: &str) {
    let answer = request.send(gateway.address()).await;
    let code = if status == 404 { "guard_hidden" } else { "guard_denied" };
    assert_eq!(answer.status, status, "{request:?}: {}", answer.text());
    assert!(answer.text().contains(&format!("[{code} ")), "{request:?}: {}", answer.text());
    assert_eq!(stub.received().len(), 0, "{request:?} reached Odoo: {:#?}", stub.received());
    let id = answer.header("x-request-id").unwrap().to_owned();
    let event =
        gateway.access_log().event("refused", DEADLINE, |event| event["request_id"] == id.as_str()).await;
    assert_eq!((&event["rejection"], &event["reason"]), (&code.into(), &guard.into()), "{request:?}");
}

async fn assert_passes(stub: &StubOdoo, gateway: &Gateway, request: &Request) {
    let answer = request.send(gateway.address()).await;
    let received = stub.received();
    stub.forget_received();
    assert_eq!(received.len(), 1, "{request:?}: {} {}", answer.status, answer.text());
}

#[tokio::test]
async fn no_spelling_of_the_database_manager_reaches_odoo() {
    let (stub, gateway) = fleet::start().await;
    let spellings = manager_spellings("acme.test");
    assert!(spellings.len() >= 500, "{}", spellings.len());
    assert!(
        spellings.iter().filter(|target| reaches_manager(target)).count() >= 250,
        "most of them would arrive"
    );
    for target in &spellings {
        send_spelling(gateway.address(), "acme.test", target).await.unwrap();
    }
    let received = stub.received();
    assert!(received.len() < 10_000, "the stub forgets no request of this test");
    let leaks: Vec<&str> = received
        .iter()
        .map(|received| received.target.as_str())
        .filter(|target| reaches_manager(target))
        .collect();
    assert!(leaks.is_empty(), "{} of {} spellings: {leaks:#?}", leaks.len(), spellings.len());
    stub.forget_received();
    for target in NEIGHBOURS {
        send_spelling(gateway.address(), "acme.test", target).await.unwrap();
        assert_eq!(stub.received().len(), 3, "{target} was refused");
        stub.forget_received();
    }
    fleet::still_serves(&gateway).await;
}

#[tokio::test]
async fn hidden_routes_open_to_the_networks_of_a_tenant_and_to_nobody_else() {
    let open = "database_manager: { allow: [203.0.113.0/24] }, debug_routes: { allow: [203.0.113.7] }, \
                job_runners: { allow: [\"2001:db8::/32\"] }";
    let (stub, gateway) = with_guards("", open, "").await;
    for (target, inside, guard) in [
        ("/web/database/manager", "203.0.113.9", "database_manager"),
        ("/fr/web/database/selector", "203.0.113.9", "database_manager"),
        ("/web/tests", "203.0.113.7", "debug_routes"),
        ("/base_import_module/login_upload", "203.0.113.7", "debug_routes"),
        ("/queue_job/runjob?db=acme&job_uuid=1", "2001:db8::1", "job_runners"),
    ] {
        for client in ["198.51.100.1", "10.0.0.1", "2001:db9::1"] {
            assert_refused(&stub, &gateway, &from(client, "acme.test", target), 404, guard).await;
        }
        assert_passes(&stub, &gateway, &from(inside, "acme.test", target)).await;
        let elsewhere = target.replace("acme", "globex");
        assert_refused(&stub, &gateway, &from(inside, "globex.test", &elsewhere), 404, guard).await;
    }
    let file = from("203.0.113.7", "acme.test", "/web/filestore/acme/aa/aabb");
    assert_refused(&stub, &gateway, &file, 404, "filestore").await;
    assert_refused(&stub, &gateway, &file.http2(), 404, "filestore").await;
}

#[tokio::test]
async fn a_host_names_its_own_database_or_none() {
    let (stub, gateway) = fleet::start().await;
    for target in ["/web?db=acme", "/web/login?db=", "/auth_oauth/signin?state=%7B%22d%22%3A%22acme%22%7D"] {
        assert_passes(&stub, &gateway, &Request::get("acme.test", target)).await;
    }
    for target in [
        "/web?db=globex",
        "/web/login?db=acme&db=globex",
        "/odoo?d%62=glo%62ex",
        "/auth_oauth/oea?db=globex",
        "/auth_oauth/signin?state=%7B%22d%22%3A%22globex%22%7D",
        "/auth_oauth/signin?state=%7B%22d%22%3A%22acme%22%2C%22d%22%3A%22globex%22%7D",
        "/mail/tracking/open/globex/1/blank.gif",
    ] {
        for request in [Request::get("acme.test", target), Request::post("acme.test", target, "x=y").http2()]
        {
            assert_refused(&stub, &gateway, &request, 403, "database_names").await;
        }
    }
}

#[tokio::test]
async fn old_versions_open_no_database_by_a_form() {
    let (stub, gateway) = with_guards("", "", "odoo_version: \"14.0\"").await;
    let form = |request: Request| request.header("Content-Type", "application/x-www-form-urlencoded");
    for target in
        ["/logo.png", "/web/binary/company_logo", "/web/webclient/qweb/1", "/google_account/authentication"]
    {
        assert_passes(&stub, &gateway, &Request::get("acme.test", target)).await;
        assert_passes(&stub, &gateway, &Request::get("acme.test", target).http2()).await;
        assert_passes(&stub, &gateway, &Request::new("HEAD", "acme.test", target)).await;
        let parts = || vec![Bytes::from_static(b"dbname=globex")];
        for request in [
            form(Request::post("acme.test", target, "dbname=globex")),
            form(Request::get("acme.test", target).body("dbname=globex")),
            // The client sends no body with a GET unless it is told to.
            form(Request::get("acme.test", target).body_in_parts(parts(), Duration::ZERO))
                .header("Transfer-Encoding", "chunked"),
            form(Request::get("acme.test", target).body_in_parts(parts(), Duration::ZERO)).http2(),
            Request::new("PUT", "acme.test", target),
        ] {
            assert_refused(&stub, &gateway, &request, 403, "database_names").await;
        }
    }
}

/// The field of a form, in one of the ways in which forms are sent.
fn form(path: &str, multipart: bool, name: &str, value: &str) -> Request {
    let (media, body) = if multipart {
        let head = format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
        ("multipart/form-data; boundary=b", format!("{head}{value}\r\n--b--\r\n"))
    } else {
        ("application/x-www-form-urlencoded", format!("a=1&{name}={value}"))
    };
    Request::post("acme.test", path, body).header("Content-Type", media)
}

#[tokio::test]
async fn the_manager_is_not_reached_on_a_path_that_somebody_gave_to_it() {
    let (stub, gateway) = with_guards("", "", "stream_paths: [/my/upload]").await;
    for path in ["/garden", "/web/login", "/longpolling/x", "/my/upload"] {
        let in_query = Request::post("acme.test", &format!("{path}?master_pwd=x"), "");
        assert_refused(&stub, &gateway, &in_query, 404, "database_manager").await;
        for multipart in [false, true] {
            let request = form(path, multipart, "master_pwd", "x");
            for request in [request.clone(), request.http2()] {
                let answer = request.send(gateway.address()).await;
                assert_eq!(answer.status, 404, "{request:?}: {}", answer.text());
                assert!(!stub.received().iter().any(|received| received.complete), "{request:?}");
                stub.forget_received();
            }
        }
    }
    // The same words where they mean nothing.
    for request in
        [form("/garden", false, "password", "master_pwd"), form("/garden", true, "x", "master_pwd")]
    {
        assert_passes(&stub, &gateway, &request).await;
    }
    let (stub, gateway) = with_guards("", "database_manager: { allow: [\"127.0.0.1\"] }", "").await;
    for multipart in [false, true] {
        let request = form("/web/database/drop", multipart, "master_pwd", "x");
        assert_passes(&stub, &gateway, &request).await;
        let request = form("/garden", multipart, "master_pwd", "x");
        assert_refused(&stub, &gateway, &request, 404, "database_manager").await;
    }
}

#[tokio::test]
async fn a_body_names_the_database_of_its_host_or_none() {
    let (stub, gateway) = with_guards("", "", "stream_paths: [/my/upload]").await;
    for path in ["/web/login", "/garden", "/my/upload"] {
        for multipart in [false, true] {
            for name in ["db", "dbname"] {
                assert_passes(&stub, &gateway, &form(path, multipart, name, "acme")).await;
                let answer = form(path, multipart, name, "globex").send(gateway.address()).await;
                assert_eq!(answer.status, 403, "{path} {name}: {}", answer.text());
                assert!(!stub.received().iter().any(|received| received.complete), "{path} {name}");
                stub.forget_received();
            }
        }
        let login = |database: &str| {
            Request::call(
                "acme.test",
                path,
                &serde_json::json!({"db": database, "login": "a", "password": "b"}),
            )
        };
        assert_passes(&stub, &gateway, &login("acme")).await;
        let answer = login("globex").send(gateway.address()).await;
        assert_eq!(answer.status, 403, "{path}: {}", answer.text());
        assert!(!stub.received().iter().any(|received| received.complete), "{path}");
        stub.forget_received();
    }
    let (stub, gateway) = with_guards("", "database_names: any", "").await;
    assert_passes(&stub, &gateway, &form("/web/login", false, "db", "globex")).await;
}

#[tokio::test]
async fn a_class_is_for_the_networks_that_are_listed() {
    let (stub, gateway) =
        with_guards("allow: { rpc: [10.0.0.0/8] }", "allow: { page: [203.0.113.0/24] }", "").await;
    for (client, host, target, passes) in [
        ("198.51.100.1", "acme.test", "/web/login", false),
        ("203.0.113.9", "acme.test", "/web/login", true),
        ("203.0.113.9", "acme.test", "/xmlrpc/2/common", false),
        ("10.9.9.9", "acme.test", "/json/2/res.partner/read", true),
        ("198.51.100.1", "acme.test", "/web/static/x.js", true),
        ("198.51.100.1", "globex.test", "/web/login", true),
        ("198.51.100.1", "globex.test", "/any-language/jsonrpc", false),
    ] {
        let request = from(client, host, target);
        if passes {
            assert_passes(&stub, &gateway, &request).await;
        } else {
            assert_refused(&stub, &gateway, &request, 403, "allow").await;
        }
    }
}

#[tokio::test]
async fn a_body_is_no_longer_than_its_class_allows_announced_or_not() {
    let (stub, gateway) =
        with_guards("body_size_max: { page: 2MiB }", "body_size_max: { page: 3MiB }", "").await;
    let body = |bytes: usize| Bytes::from(vec![b'x'; bytes]);
    let in_parts =
        |bytes: usize| vec![body(MIB); bytes / MIB].into_iter().chain([body(bytes % MIB)]).collect();
    for (host, target, max) in [
        ("acme.test", "/stub/echo", 3 * MIB),
        ("globex.test", "/stub/echo", 2 * MIB),
        ("acme.test", "/web/login", MIB),
        ("acme.test", "/web/signup", MIB),
        ("acme.test", "/web/static/x.js", MIB),
    ] {
        let post = |bytes| Request::post(host, target, body(bytes));
        let streamed =
            |bytes| Request::new("POST", host, target).body_in_parts(in_parts(bytes), Duration::ZERO);
        for request in [post(max), streamed(max), post(max).http2(), streamed(max).http2()] {
            assert_ne!(
                request.send(gateway.address()).await.status,
                413,
                "{max} bytes to {target} of {host}"
            );
            assert_eq!(
                fleet::only_request(&stub).body_bytes,
                u64::try_from(max).unwrap(),
                "{target} of {host}"
            );
        }
        let over = max + 1;
        for request in [post(over), streamed(over), post(over).http2(), streamed(over).http2()] {
            let answer = request.send(gateway.address()).await;
            assert_eq!(answer.status, 413, "{over} bytes to {target} of {host}: {}", answer.text());
            assert_eq!(stub.received().len(), 0, "{target} of {host}");
        }
    }
    let huge = "POST /stub/echo HTTP/1.1\r\nHost: acme.test\r\nContent-Length: 18446744073709551616\r\n\r\n";
    let answer = fleetgate_tests::raw_exchange(gateway.address(), huge).await.unwrap();
    assert!(matches!(fleet::status(&answer), Some(400 | 413)), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(stub.received().len(), 0);
}

#[tokio::test]
async fn a_change_of_guards_counts_for_the_next_request() {
    let (stub, gateway) = with_guards("", "", "").await;
    let shop = Request::get("acme.test", "/shop?attrib=1&attrib=2&attrib=3");
    assert_passes(&stub, &gateway, &shop).await;
    let tenant = "- { id: acme, hosts: [acme.test], guards: { crawler_traps: { enabled: true, parameters_max: 2 } } }\n";
    gateway.write_tenants("t.yaml", tenant);
    fleetgate_tests::wait_for("the change is taken", DEADLINE, async || {
        stub.forget_received();
        shop.send(gateway.address()).await.status == 403
    })
    .await;
    stub.forget_received();
    assert_refused(&stub, &gateway, &shop, 403, "crawler_traps").await;
    assert_passes(&stub, &gateway, &Request::get("acme.test", "/shop?attrib=1&attrib=2")).await;
}

#[tokio::test]
async fn explain_says_which_guard_refuses_and_why() {
    let (_stub, gateway) = with_guards("", "", "").await;
    for (url, guard, key) in [
        ("http://acme.test/web/database/manager", "database_manager", "guards.database_manager.allow"),
        ("http://acme.test/web?db=globex", "database_names", "guards.database_names"),
        ("http://acme.test/web/filestore/x", "filestore", "never asked for by name"),
    ] {
        let output = gateway.cli(&["explain", url, "--socket", "admin.sock"]).await;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = format!("the guard {guard} refuses it: ");
        assert!(said.contains(&line) && said.contains(key), "{url}: {said}");
        assert!(said.contains("reject 40"), "{said}");
    }
}

#[tokio::test]
async fn what_odoo_tells_the_server_in_front_of_it_stays_there() {
    const ANSWER: &[u8] = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nX-Sendfile: /var/lib/odoo/acme/aa/bb\r\n\
        X-Accel-Buffering: no\r\nX-ACCEL-Expires: 5\r\nX-Frame-Options: DENY\r\n\r\nok";
    let odoo = Script::start(|mut stream, _| async move { stream.write_all(ANSWER).await }).await;
    let config = fleet::config(&[fleet::one_port(odoo.address())], "");
    let gateway = Gateway::builder(&config).tenants("t.yaml", fleet::TENANTS).start().await;
    for request in [Request::get("acme.test", "/x"), Request::get("acme.test", "/x").http2()] {
        let answer = request.send(gateway.address()).await;
        assert_eq!((answer.status, answer.text()), (200, "ok".to_owned()));
        let names: Vec<&str> = answer.headers.keys().map(http::HeaderName::as_str).collect();
        assert!(!names.iter().any(|name| name.contains("accel") || name.contains("sendfile")), "{names:?}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"));
    }
}
