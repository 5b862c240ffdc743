//! A user that logs in at each backend: what health routes do not know.

use crate::fleet;
use crate::regions::{database_is, pool, post, served_by};
use fleetgate_stub::StubOdoo;
use fleetgate_tests::{Builder, DEADLINE, Gateway, Postgres, Request, backend, http_get, wait_for};
use serde_json::Value;

const PASSWORD: &str = "Swordfish-42";
const READ_ONLY: (&str, &str) =
    ("psycopg2.errors.ReadOnlySqlTransaction", "cannot execute UPDATE in a read-only transaction");
/// Address of the listener for probes and metrics.
const OBSERVE: &str = "127.0.0.2:0";

const HEALTH: &str = "health: { interval: 200ms, timeout: 1s, slow_start: 0s, login: { database: acme, user: probe, \
    password: \"file:password\", write: true, interval: 200ms, timeout: 1s } }";

fn one_region(backends: &[&StubOdoo]) -> Builder {
    let backends: Vec<String> = backends.iter().map(|stub| backend(stub)).collect();
    let config = format!("observe: {{ address: \"{OBSERVE}\" }}\n{}", fleet::config(&backends, HEALTH));
    Gateway::builder(&config).tenants("tenants.yaml", fleet::TENANTS).file("password", PASSWORD)
}

async fn login(gateway: &Gateway, region: usize) -> Value {
    pool(gateway).await["regions"][region]["login"].clone()
}

async fn login_is(gateway: &Gateway, region: usize, verdict: &str) {
    wait_for(&format!("logins: {verdict}"), DEADLINE, async || {
        login(gateway, region).await["verdict"] == verdict
    })
    .await;
}

async fn verdicts(gateway: &Gateway, region: usize) -> Vec<String> {
    let report = pool(gateway).await;
    let backends = report["regions"][region]["backends"].as_array().unwrap().clone();
    backends.iter().map(|backend| backend["verdict"].as_str().unwrap().to_owned()).collect()
}

fn calls(stub: &StubOdoo) -> usize {
    stub.received().iter().filter(|request| request.target == "/jsonrpc").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_where_nobody_can_log_in_is_down_while_others_work_and_a_broken_database_takes_none_down() {
    let (one, two) = (fleet::prefork("eu-1").await, fleet::prefork("eu-2").await);
    let gateway = one_region(&[&one, &two]).start().await;
    login_is(&gateway, 0, "works").await;

    one.set_trouble(Some(READ_ONLY));
    login_is(&gateway, 0, "partly").await;
    wait_for("one is down", DEADLINE, async || verdicts(&gateway, 0).await == ["down", "up"]).await;
    for _ in 0..20 {
        let answer = Request::get("acme.test", "/stub/echo").send(gateway.address()).await;
        assert_eq!((answer.status, answer.server()), (200, Some("eu-2")));
    }

    two.set_trouble(Some(READ_ONLY));
    login_is(&gateway, 0, "fails").await;
    assert_eq!(verdicts(&gateway, 0).await, ["up", "up"], "it is the database");
    let saw = login(&gateway, 0).await["saw"].to_string();
    assert!(saw.contains("takes no writes from Odoo"), "{saw}");
    gateway.operational_log().wait_for_text("the database takes no writes from Odoo", DEADLINE).await;
    let told = gateway.operational_log().text();
    assert!(
        told.lines().any(|line| line.contains("ERROR") && line.contains("takes no writes from Odoo")),
        "{told}"
    );
    let explained = gateway.cli(&["regions", "explain", "main", "--socket", "admin.sock"]).await;
    let explained = String::from_utf8_lossy(&explained.stdout).into_owned();
    assert!(explained.contains("Nobody can log in at any backend of eu"), "{explained}");
    let metrics = http_get(gateway.listener(OBSERVE), "observe", "/metrics").await;
    let state = "fleetgate_region_login_state{pool=\"main\",region=\"eu\",state=\"fails\"} 1";
    assert!(metrics.text().contains(state), "{}", metrics.text());

    one.set_trouble(None);
    wait_for("two is down", DEADLINE, async || verdicts(&gateway, 0).await == ["up", "down"]).await;
    two.set_trouble(None);
    login_is(&gateway, 0, "works").await;
    wait_for("both are up", DEADLINE, async || verdicts(&gateway, 0).await == ["up", "up"]).await;
    for text in [gateway.operational_log().text(), explained, metrics.text().to_owned()] {
        assert!(!text.contains(PASSWORD), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_asked_for_once_and_asked_for_again_when_it_is_refused() {
    let stub = fleet::prefork("eu-1").await;
    let gateway = one_region(&[&stub]).start().await;
    let asked = |what: &str| {
        let asked = stub.received();
        let calls = asked.iter().filter(|request| request.target == "/jsonrpc");
        calls.filter(|request| String::from_utf8_lossy(&request.body_start).contains(what)).count()
    };
    wait_for("it is written often", DEADLINE, async || asked("signature") >= 8).await;
    assert_eq!(asked("authenticate"), 1, "each one leaves a row in Odoo");
    stub.set_trouble(Some(("odoo.exceptions.AccessDenied", "Access Denied")));
    login_is(&gateway, 0, "fails").await;
    assert!(login(&gateway, 0).await["saw"].to_string().contains("Odoo refuses the user"));
    stub.set_trouble(None);
    login_is(&gateway, 0, "works").await;
    assert!(asked("authenticate") >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_odoo_is_led_to_the_database_so_that_it_says_what_fails() {
    for (version, led) in [("14.0", &["^acme$"][..]), ("19.0", &[])] {
        let stub = fleet::prefork("eu-1").await;
        let pool = format!("odoo_version: \"{version}\"\n{HEALTH}");
        let config = fleet::config(&[backend(&stub)], &pool);
        let builder = Gateway::builder(&config).tenants("tenants.yaml", fleet::TENANTS);
        let gateway = builder.file("password", PASSWORD).start().await;
        login_is(&gateway, 0, "works").await;
        let received = stub.received();
        let mut calls = received.iter().filter(|request| request.target == "/jsonrpc");
        assert!(calls.all(|call| call.values("x-odoo-dbfilter") == led), "{version}: {received:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_logs_in_at_a_standby_and_whoever_is_promoted_is_logged_in_at() {
    let primary = Postgres::primary();
    let standby = primary.standby();
    let (paris, dublin) = (fleet::prefork("paris-1").await, fleet::prefork("dublin-1").await);
    let region = |stub: &StubOdoo, database: &Postgres| {
        format!("{{ backends: [ {} ], postgres: \"{}\" }}", backend(stub), database.url())
    };
    let config = format!(
        "threads: 2\nregions: [ {{ name: paris }}, {{ name: dublin, standby: true }} ]\npools:\n  main:\n    \
         odoo_version: \"19.0\"\n    database_selection: dbfilter_header\n    {HEALTH}\n    regions:\n      \
         paris: {}\n      dublin: {}\n",
        region(&paris, &primary),
        region(&dublin, &standby)
    );
    let builder = Gateway::builder(&config).tenants("tenants.yaml", fleet::TENANTS);
    let gateway = builder.file("password", PASSWORD).start().await;
    database_is(&gateway, 1, "standby").await;
    login_is(&gateway, 0, "works").await;
    wait_for("paris is asked often", DEADLINE, async || calls(&paris) >= 10).await;
    assert_eq!((calls(&dublin), login(&gateway, 1).await["verdict"].clone()), (0, "unknown".into()));

    primary.kill();
    standby.promote();
    served_by(&gateway, "dublin-1").await;
    login_is(&gateway, 1, "works").await;
    login_is(&gateway, 0, "unknown").await;
    let before = calls(&paris);
    let after = calls(&dublin);
    wait_for("dublin is asked often", DEADLINE, async || calls(&dublin) >= after + 10).await;
    assert_eq!(calls(&paris), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_cannot_use_a_database_that_another_one_uses_is_left_where_the_policy_lets_it() {
    let primary = Postgres::primary();
    let (paris, dublin) = (fleet::prefork("paris-1").await, fleet::prefork("dublin-1").await);
    let region =
        |stub: &StubOdoo| format!("{{ backends: [ {} ], postgres: \"{}\" }}", backend(stub), primary.url());
    let config = format!(
        "threads: 2\nregions: [ {{ name: paris }}, {{ name: dublin, standby: true }} ]\npools:\n  main:\n    \
         odoo_version: \"19.0\"\n    database_selection: dbfilter_header\n    {HEALTH}\n    \
         failover: {{ mode: automatic }}\n    regions:\n      paris: {}\n      dublin: {}\n",
        region(&paris),
        region(&dublin)
    );
    let builder = Gateway::builder(&config).tenants("tenants.yaml", fleet::TENANTS);
    let gateway = builder.file("password", PASSWORD).start().await;
    served_by(&gateway, "paris-1").await;
    login_is(&gateway, 1, "works").await;
    paris.set_trouble(Some(("psycopg2.OperationalError", "connection to server at \"10.0.0.21\" timed out")));
    wait_for("dublin serves", 3 * DEADLINE, async || post(&gateway).await.server() == Some("dublin-1")).await;
    assert_eq!(pool(&gateway).await["moves"][0]["cause"], "backends");
}
