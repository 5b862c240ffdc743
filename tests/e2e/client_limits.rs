//! Limits of a tenant's classes, and of its clients: addresses, sessions, keys, logins, mails.

use fleetgate_stub::StubOdoo;
use fleetgate_tests::{Answer, DEADLINE, Gateway, Request, wait_for};
use serde_json::json;

use crate::fleet;

/// A gateway that believes the tests about their address, and whose tenants `acme` and `globex` have limits.
async fn with_limits(limits: &str) -> (StubOdoo, Gateway) {
    let stub = fleet::prefork("eu-1").await;
    let config = fleet::config(&[fleetgate_tests::backend(&stub)], "")
        + &format!("trusted_proxies: [\"127.0.0.1\"]\nplans: {{ small: {{ {limits} }} }}\n");
    let tenants = "\
- { id: acme, hosts: [acme.test], plan: small }
- { id: globex, hosts: [globex.test], plan: small }
";
    let gateway = Gateway::builder(&config).tenants("t.yaml", tenants).start().await;
    (stub, gateway)
}

fn from(client: &str, request: Request) -> Request {
    request.header("X-Forwarded-For", client)
}

fn health(host: &str) -> Request {
    Request::get(host, "/web/health")
}

/// How many of a hundred requests are let through before one is refused for a limit.
async fn let_through(gateway: &Gateway, request: &Request, limit: &str) -> usize {
    for served in 0..100 {
        let answer = request.send(gateway.address()).await;
        if answer.status == 429 {
            assert_limited(&answer, limit);
            return served;
        }
    }
    panic!("{request:?} has no limit {limit}");
}

fn assert_limited(answer: &Answer, limit: &str) {
    assert_eq!(answer.status, 429, "{}", answer.text());
    assert!(answer.header("retry-after").is_some());
    let policy = answer.header("ratelimit-policy").unwrap();
    assert!(policy.starts_with(&format!("\"{limit}\"")), "{policy}");
}

async fn assert_served(gateway: &Gateway, request: &Request) {
    let answer = request.send(gateway.address()).await;
    assert_ne!(answer.status, 429, "{request:?}: {}", answer.text());
}

#[tokio::test]
async fn a_class_at_its_limit_leaves_the_others_alone() {
    let (_stub, gateway) = with_limits("classes: { rpc: { requests_per_second: 1, burst: 5 } }").await;
    let call = Request::version("acme.test");
    assert!((5..20).contains(&let_through(&gateway, &call, "class_requests").await));
    assert_served(&gateway, &health("acme.test")).await;
    assert_served(&gateway, &call.at("globex.test")).await;
}

#[tokio::test]
async fn an_address_has_a_limit_of_its_own_and_a_site_of_ipv6_is_one() {
    let (_stub, gateway) = with_limits("client: { requests_per_second: 1, burst: 5 }").await;
    assert!(
        (5..20).contains(&let_through(&gateway, &from("203.0.113.1", health("acme.test")), "client").await)
    );
    assert_served(&gateway, &from("203.0.113.2", health("acme.test"))).await;
    assert_served(&gateway, &from("203.0.113.1", health("globex.test"))).await;
    let mut served = 0;
    loop {
        let client = format!("2001:db8:1:2::{served:x}");
        if from(&client, health("acme.test")).send(gateway.address()).await.status == 429 {
            break;
        }
        served += 1;
        assert!(served < 50, "each address of a /64 has a limit of its own");
    }
    assert_served(&gateway, &from("2001:db8:1:3::1", health("acme.test"))).await;
}

#[tokio::test]
async fn sessions_and_api_keys_have_limits_of_their_own() {
    let limits =
        "session: { requests_per_second: 1, burst: 5 }, api_key: { requests_per_second: 1, burst: 5 }";
    let (_stub, gateway) = with_limits(limits).await;
    let session = |id: char, rest: &str| {
        let cookie = format!("session_id={}{rest}", id.to_string().repeat(42));
        health("acme.test").header("Cookie", &cookie)
    };
    assert!((5..20).contains(&let_through(&gateway, &session('a', "1"), "session").await));
    assert_limited(&session('a', "2").send(gateway.address()).await, "session");
    assert_served(&gateway, &session('b', "1")).await;
    assert_served(&gateway, &health("acme.test")).await;
    let key = |key: &str| health("acme.test").header("Authorization", &format!("Bearer {key}"));
    assert!((5..20).contains(&let_through(&gateway, &key("one"), "api_key").await));
    assert_served(&gateway, &key("two")).await;
}

fn form(password: &str) -> Request {
    let body = format!("login=admin&password={password}&csrf_token=stub");
    Request::post("acme.test", "/web/login", body).header("Content-Type", "application/x-www-form-urlencoded")
}

fn json(password: &str) -> Request {
    let params = json!({"db": "acme", "login": "admin", "password": password});
    Request::call("acme.test", "/web/session/authenticate", &params)
}

fn rpc(password: &str) -> Request {
    let args = json!(["acme", "admin", password, {}]);
    Request::call(
        "acme.test",
        "/jsonrpc",
        &json!({"service": "common", "method": "authenticate", "args": args}),
    )
}

fn xml(password: &str) -> Request {
    let params: String = ["acme", "admin", password]
        .iter()
        .map(|text| format!("<param><value><string>{text}</string></value></param>"))
        .collect();
    let body = format!(
        "<?xml version='1.0'?><methodCall><methodName>login</methodName><params>{params}</params></methodCall>"
    );
    Request::post("acme.test", "/xmlrpc/2/common", body).header("Content-Type", "text/xml")
}

#[tokio::test]
async fn failed_logins_count_by_whatever_way_they_are_tried_and_good_ones_do_not() {
    let (stub, gateway) = with_limits("logins: { failures_per_minute: 4 }").await;
    let client = "203.0.113.7";
    for login in [form("right"), json("right"), rpc("right"), xml("right")] {
        for _ in 0..5 {
            assert_served(&gateway, &from(client, login.clone())).await;
        }
    }
    for login in [form("wrong"), json("wrong"), rpc("wrong"), xml("wrong")] {
        assert_served(&gateway, &from(client, login)).await;
    }
    stub.forget_received();
    for login in [form("right"), json("right"), rpc("right"), xml("right")] {
        let refused = from(client, login).send(gateway.address()).await;
        assert_limited(&refused, "login_failures");
    }
    assert!(stub.received().is_empty(), "{:#?}", stub.received());
    assert_served(&gateway, &from(client, health("acme.test"))).await;
    assert_served(&gateway, &from("203.0.113.8", form("right"))).await;
}

#[tokio::test]
async fn wrong_api_keys_are_failed_logins_and_right_ones_are_none() {
    let (_stub, gateway) = with_limits("logins: { failures_per_minute: 3, attempts_per_minute: 1 }").await;
    let call = |key: &str| {
        let call = Request::post("acme.test", "/json/2/res.partner/read", "{}");
        from("203.0.113.9", call.header("Authorization", &format!("Bearer {key}")))
    };
    for _ in 0..5 {
        assert_served(&gateway, &call("right")).await;
    }
    assert_eq!(let_through(&gateway, &call("wrong"), "login_failures").await, 3);
    assert_limited(&call("right").send(gateway.address()).await, "login_failures");
}

#[tokio::test]
async fn attempts_to_log_in_are_limited_whatever_comes_of_them() {
    let (_stub, gateway) = with_limits("logins: { attempts_per_minute: 3 }").await;
    for (last, login) in [form("right"), json("right"), rpc("right"), xml("right")].into_iter().enumerate() {
        let login = from(&format!("203.0.113.{last}"), login);
        assert_eq!(let_through(&gateway, &login, "login_attempts").await, 3, "{login:?}");
    }
    assert_served(&gateway, &Request::version("acme.test")).await;
}

#[tokio::test]
async fn requests_that_send_mails_are_limited_per_address() {
    let (_stub, gateway) = with_limits("mails_per_hour: 2").await;
    let mail =
        |client: &str, target: &str| from(client, Request::post("acme.test", target, "login=a@example.com"));
    let reset = mail("203.0.113.1", "/fr/web/reset_password");
    assert_eq!(let_through(&gateway, &reset, "mails").await, 2);
    let form = mail("203.0.113.1", "/website/form/mail.mail").send(gateway.address()).await;
    assert_limited(&form, "mails");
    assert_served(&gateway, &mail("203.0.113.2", "/web/signup")).await;
    assert_served(&gateway, &from("203.0.113.1", Request::get("acme.test", "/web/reset_password"))).await;
}

#[tokio::test]
async fn bytes_are_charged_when_an_answer_has_ended() {
    let (_stub, gateway) = with_limits("bytes_per_second: 1KiB, burst_bytes: 64KiB").await;
    let large = Request::get("acme.test", "/stub/bytes?n=200000");
    let answer = large.send(gateway.address()).await;
    assert_eq!((answer.status, answer.body.len()), (200, 200_000), "an answer that has begun is whole");
    // The client has the whole answer a moment before it is charged.
    let small = health("acme.test");
    wait_for("the charge", DEADLINE, async || small.send(gateway.address()).await.status == 429).await;
    let refused = large.send(gateway.address()).await;
    assert_limited(&refused, "bytes");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((60..160).contains(&wait), "{wait}");
    assert_served(&gateway, &large.at("globex.test")).await;
}

#[tokio::test]
async fn no_key_of_a_client_breaks_out_of_its_place() {
    let (_stub, gateway) = with_limits("session: { requests_per_second: 1, burst: 5 }").await;
    let odd = |cookie: &str| health("acme.test").header("Cookie", cookie);
    for cookie in ["session_id=", "session_id=a:b|acme|globex", "session_id=%0d%0a", "session_id=\u{e9}"] {
        let _served = let_through(&gateway, &odd(cookie), "session").await;
    }
    let log = gateway.access_log().event("a refusal", DEADLINE, |event| event["reason"] == "session").await;
    assert!(!log.to_string().contains("globex|"), "{log}");
    assert_served(&gateway, &health("acme.test")).await;
}
