//! Limits of tenants: who is refused, what clients are told, and what a reload changes.

use std::time::Duration;

use fleetgate_stub::StubOdoo;
use fleetgate_tests::{Answer, DEADLINE, Gateway, Request, wait_for};
use serde_json::json;

use crate::fleet;

/// A gateway whose entry of `*.star.test` and tenant `acme` have limits.
async fn with_limits(limits: &str) -> (StubOdoo, Gateway) {
    let stub = fleet::prefork("eu-1").await;
    let config = fleet::config(&[fleetgate_tests::backend(&stub)], "")
        + &format!("plans: {{ small: {{ {limits} }} }}\n");
    let gateway = Gateway::builder(&config).tenants("t.yaml", TENANTS).start().await;
    (stub, gateway)
}

const TENANTS: &str = "\
- { id: acme, hosts: [acme.test], plan: small }
- { id: globex, hosts: [globex.test] }
- { id: \"{1}\", hosts: [\"*.star.test\"], plan: small }
";

async fn ask(gateway: &Gateway, host: &str) -> Answer {
    Request::get(host, "/web/health").send(gateway.address()).await
}

/// Asserts a refusal, and returns the seconds of its `Retry-After`.
fn assert_limited(answer: &Answer, code: &str) -> u64 {
    assert_eq!(answer.status, 429, "{}", answer.text());
    assert!(answer.text().contains(code) || answer.text().contains("Too many"), "{}", answer.text());
    answer.header("retry-after").unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_tenant_at_its_rate_is_refused_and_nobody_else_is() {
    let (stub, gateway) = with_limits("requests_per_second: 1, burst: 100").await;
    let mut refused = None;
    for _ in 0..500 {
        let answer = ask(&gateway, "acme.test").await;
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("a limit that is never reached");
    let wait = assert_limited(&refused, "rate_limited");
    assert!((1..=4).contains(&wait), "{wait}");
    assert_eq!(refused.header("ratelimit-policy"), Some("\"requests\";q=100;w=100"));
    assert!(refused.header("ratelimit").unwrap().starts_with("\"requests\";r=0;t="), "{refused:?}");
    assert!(stub.received().len() >= 100);
    for host in ["globex.test", "globex.star.test"] {
        assert_eq!(ask(&gateway, host).await.status, 200, "{host}");
    }
    let event =
        gateway.access_log().event("a refusal", DEADLINE, |event| event["rejection"] == "rate_limited").await;
    assert_eq!((&event["reason"], &event["tenant"]), (&"requests".into(), &"acme".into()));
}

#[tokio::test]
async fn tenants_of_one_star_have_limits_of_their_own_and_one_with_two_entries_has_one() {
    let (_stub, gateway) = with_limits("requests_per_second: 1, burst: 50").await;
    let exhaust = async |host: &'static str| {
        let mut served = 0;
        while ask(&gateway, host).await.status == 200 {
            served += 1;
            assert!(served < 200, "{host} has no limit");
        }
    };
    exhaust("globex.star.test").await;
    assert_eq!(ask(&gateway, "initech.star.test").await.status, 200);
    // The star stands for the tenant `acme` too, and the exact host is that of the same tenant.
    exhaust("acme.star.test").await;
    assert_eq!(ask(&gateway, "acme.test").await.status, 429);
}

#[tokio::test]
async fn a_reload_forgets_nothing_that_was_used() {
    let (_stub, gateway) = with_limits("requests_per_second: 1, burst: 100").await;
    while ask(&gateway, "acme.test").await.status == 200 {}
    let with =
        |limits: &str| TENANTS.replacen("plan: small", &format!("plan: small, limits: {{ {limits} }}"), 1);
    gateway.write_tenants("t.yaml", &with("burst: 50"));
    wait_for("the smaller burst", DEADLINE, async || {
        ask(&gateway, "acme.test").await.header("ratelimit-policy") == Some("\"requests\";q=50;w=50")
    })
    .await;
    assert_eq!(ask(&gateway, "acme.test").await.status, 429, "a smaller burst lets nobody in");
    gateway.write_tenants("t.yaml", &with("burst: 200"));
    wait_for("the larger burst", DEADLINE, async || ask(&gateway, "acme.test").await.status == 200).await;
    let mut served = 1;
    while ask(&gateway, "acme.test").await.status == 200 {
        served += 1;
    }
    assert!(served <= 190, "a larger burst gives what it adds, not everything again: {served}");
}

#[tokio::test]
async fn requests_at_once_are_limited_and_places_come_back() {
    let (stub, gateway) = with_limits("concurrent_requests: 2").await;
    let slow = Request::get("acme.test", "/stub/slow?ms=3000");
    let (first, second, refused) =
        tokio::join!(slow.send(gateway.address()), slow.send(gateway.address()), async {
            wait_for("two in flight", DEADLINE, async || stub.counts().requests >= 2).await;
            ask(&gateway, "acme.test").await
        });
    assert_eq!((first.status, second.status), (200, 200));
    assert_limited(&refused, "concurrency_limited");
    assert_eq!(
        refused.header("ratelimit-policy"),
        Some("\"concurrent_requests\";q=2;qu=\"concurrent-requests\"")
    );
    wait_for("a free place", DEADLINE, async || ask(&gateway, "acme.test").await.status == 200).await;
}

#[tokio::test]
async fn a_client_that_leaves_gives_its_place_back() {
    let (_stub, gateway) = with_limits("concurrent_requests: 1").await;
    for _ in 0..3 {
        // The place of a request that was answered comes back a moment after its answer.
        wait_for("somebody has the place, and leaves", DEADLINE, async || {
            let slow = Request::get("acme.test", "/stub/slow?ms=60000");
            tokio::time::timeout(Duration::from_millis(200), slow.send(gateway.address())).await.is_err()
        })
        .await;
        wait_for("the place of who left", DEADLINE, async || ask(&gateway, "acme.test").await.status == 200)
            .await;
    }
}

#[tokio::test]
async fn a_refusal_is_told_in_the_protocol_of_the_client() {
    let (_stub, gateway) = with_limits("requests_per_second: 1, burst: 1").await;
    while ask(&gateway, "acme.test").await.status == 200 {}
    let send = async |request: Request| {
        let answer = request.send(gateway.address()).await;
        assert_eq!(answer.status, 429, "{}", answer.text());
        assert!(answer.header("retry-after").is_some());
        answer
    };
    let web = Request::call("acme.test", "/web/dataset/call_kw", &json!({}));
    let error = send(web).await.json();
    assert_eq!(error["id"], 1, "{error}");
    assert_eq!(error["error"]["code"], 429);
    assert_eq!(error["error"]["data"]["name"], "odoo.exceptions.UserError");
    let told = error["error"]["data"]["arguments"][0].as_str().unwrap();
    assert!(told.contains("Please try again in"), "{told}");
    let long = json!({"jsonrpc": "2.0", "id": 7, "params": "x".repeat(5_000)}).to_string();
    let long =
        Request::post("acme.test", "/web/dataset/call_kw", long).header("Content-Type", "application/json");
    assert!(send(long).await.json()["id"].is_null());
    let xml = Request::post("acme.test", "/xmlrpc/2/object", "<x/>").header("Content-Type", "text/xml");
    let fault = send(xml).await.text();
    assert!(fault.contains("<int>2</int>") && fault.contains("Please try again in"), "{fault}");
    let json2 = Request::post("acme.test", "/json/2/res.partner/read", "{}");
    let problem = send(json2.header("Content-Type", "application/json")).await;
    assert_eq!(problem.header("content-type"), Some("application/problem+json"));
    assert_eq!(problem.json()["violated-policies"], json!(["requests"]));
    let page = send(Request::get("acme.test", "/odoo").header("Accept", "text/html")).await;
    assert!(page.text().contains("http-equiv=\"refresh\""), "{}", page.text());
    assert!(page.text().contains("This page tries again by itself"), "{}", page.text());
}

#[tokio::test]
async fn a_tenant_at_its_limit_can_still_log_in() {
    let (_stub, gateway) = with_limits("requests_per_second: 1, burst: 20").await;
    while ask(&gateway, "acme.test").await.status == 200 {}
    let poll = Request::call("acme.test", "/web/webclient/version_info", &json!({}));
    assert_eq!(poll.send(gateway.address()).await.status, 200);
    assert_ne!(Request::get("acme.test", "/web/login").send(gateway.address()).await.status, 429);
    let mut polls = 0;
    loop {
        let poll = Request::call("acme.test", "/web/webclient/version_info", &json!({}));
        if poll.send(gateway.address()).await.status == 429 {
            break;
        }
        polls += 1;
        assert!(polls < 200, "what is essential is not without limits");
    }
}

#[tokio::test]
async fn an_operator_sees_the_limits_and_what_is_in_use() {
    let (_stub, gateway) = with_limits("requests_per_second: 1, burst: 50, concurrent_requests: 4").await;
    for host in ["acme.test", "zen.star.test"] {
        for _ in 0..10 {
            assert_eq!(ask(&gateway, host).await.status, 200);
        }
    }
    let list = gateway.admin("/v1/tenants?filter=acme").await;
    let acme = &list["tenants"][0];
    assert_eq!((&acme["id"], &acme["plan"]), (&"acme".into(), &"small".into()), "{acme}");
    let limits = acme["limits"].as_str().unwrap();
    assert!(
        limits.contains("requests 1/s (burst 50)") && limits.contains("concurrent_requests 4"),
        "{limits}"
    );
    let used = acme["used"].as_str().unwrap();
    assert!(used.starts_with("requests 4") && used.contains("0 of 4 in use"), "{used}");
    let told = gateway.admin("/v1/explain?url=http://zen.star.test/odoo").await;
    let why = told["why"].to_string();
    assert!(why.contains("the limits of plan `small`") && why.contains("of 50 left"), "{why}");
}
