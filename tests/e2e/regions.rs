//! Two regions with real PostgreSQL servers: requests go where writes are taken, and nowhere else.

use crate::fleet::{self, DATABASES};
use crate::quotas::receiver;
use fleetgate_stub::{StubOdoo, StubOptions};
use fleetgate_tests::{
    Answer, Authority, Builder, DEADLINE, Gateway, Postgres, Request, backend, http_get, wait_for, ws_connect,
};
use rustix::process::Signal;
use serde_json::Value;

/// Address of the listener for probes and metrics.
const OBSERVE: &str = "127.0.0.2:0";

/// Two regions, not started.
struct Fleet {
    paris: StubOdoo,
    dublin: StubOdoo,
    primary: Postgres,
    standby: Postgres,
}

impl Fleet {
    async fn new() -> Self {
        Self::of(Postgres::primary()).await
    }

    async fn of(primary: Postgres) -> Self {
        let standby = primary.standby();
        let stub = |name| StubOdoo::start(StubOptions::new(name, DATABASES));
        Self {
            paris: stub("paris-1").await.unwrap(),
            dublin: stub("dublin-1").await.unwrap(),
            primary,
            standby,
        }
    }

    fn gateway(&self) -> Builder {
        self.gateway_with("", "")
    }

    /// With more keys of the pool, and of the main file.
    fn gateway_with(&self, pool: &str, main: &str) -> Builder {
        let region = |stub: &StubOdoo, database: &Postgres| {
            format!("{{ backends: [ {} ], postgres: \"{}\" }}", backend(stub), database.url())
        };
        let health = "health: { interval: 200ms, timeout: 2s }\n    ";
        let health = if pool.contains("health:") { "" } else { health };
        let config = format!(
            "{main}threads: 2\ndrain: {{ websocket_spread: 0s }}\n\
             regions: [ {{ name: paris }}, {{ name: dublin, standby: true }} ]\npools:\n  main:\n    \
             odoo_version: \"19.0\"\n    database_selection: dbfilter_header\n    \
             {health}{pool}regions:\n      paris: {}\n      dublin: {}\n",
            region(&self.paris, &self.primary),
            region(&self.dublin, &self.standby)
        );
        Gateway::builder(&config).tenants("tenants.yaml", fleet::TENANTS)
    }

    /// Requests of clients that a server got; probes are none.
    fn asked(stub: &StubOdoo) -> usize {
        stub.received().iter().filter(|request| !request.target.ends_with("/health")).count()
    }
}

pub(crate) async fn get(gateway: &Gateway) -> Answer {
    Request::get("acme.test", "/stub/echo").send(gateway.address()).await
}

pub(crate) async fn post(gateway: &Gateway) -> Answer {
    Request::post("acme.test", "/stub/echo", "x").send(gateway.address()).await
}

pub(crate) async fn served_by(gateway: &Gateway, server: &str) {
    wait_for(&format!("{server} serves"), DEADLINE, async || {
        let answer = get(gateway).await;
        answer.status == 200 && answer.server() == Some(server)
    })
    .await;
}

pub(crate) async fn refused(gateway: &Gateway, code: &str) {
    wait_for(&format!("writes are refused: {code}"), DEADLINE, async || {
        let answer = post(gateway).await;
        answer.status == 503 && answer.text().contains(code) && answer.header("retry-after").is_some()
    })
    .await;
}

pub(crate) async fn pool(gateway: &Gateway) -> Value {
    gateway.admin("/v1/regions").await["pools"][0].clone()
}

pub(crate) async fn database_is(gateway: &Gateway, region: usize, verdict: &str) {
    wait_for(&format!("the database is {verdict}"), DEADLINE, async || {
        pool(gateway).await["regions"][region]["database"]["verdict"] == verdict
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_nothing_serves_is_served_by_its_first_region_when_probes_are_turned_off() {
    let fleet = Fleet::new().await;
    let gateway = fleet.gateway().start().await;
    served_by(&gateway, "paris-1").await;
    fleet.primary.kill();
    refused(&gateway, "region_unwritable").await;
    let main = std::fs::read_to_string(gateway.directory().config()).unwrap();
    let unwatched = main.replace("health: { interval: 200ms, timeout: 2s }", "health: { enabled: false }");
    gateway.directory().write("fleetgate.yaml", unwatched.as_bytes());
    let reloaded = gateway.cli(&["reload", "--socket", "admin.sock"]).await;
    assert!(reloaded.status.success(), "{}", String::from_utf8_lossy(&reloaded.stderr));
    served_by(&gateway, "paris-1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_follow_a_promotion_and_reach_no_standby_before_it() {
    let fleet = Fleet::new().await;
    let gateway = fleet.gateway().start().await;
    served_by(&gateway, "paris-1").await;
    database_is(&gateway, 1, "standby").await;
    let mut websocket = ws_connect(gateway.address(), "acme.test", "/websocket", &[]).await;

    fleet.primary.kill();
    refused(&gateway, "region_unwritable").await;
    assert_eq!(get(&gateway).await.status, 503);
    assert_eq!(websocket.closed().await.map(|(code, _)| code), Some(1012));
    assert_eq!(Fleet::asked(&fleet.dublin), 0, "a request reached a database that nobody promoted");

    fleet.standby.promote();
    served_by(&gateway, "dublin-1").await;
    assert_eq!(post(&gateway).await.status, 200);

    // The old primary comes back, and takes writes for all it knows.
    fleet.paris.forget_received();
    fleet.primary.start();
    database_is(&gateway, 0, "diverged").await;
    served_by(&gateway, "dublin-1").await;
    assert_eq!(post(&gateway).await.server(), Some("dublin-1"));
    assert_eq!(Fleet::asked(&fleet.paris), 0, "an old primary was written to");
    let told = gateway.cli(&["regions", "explain", "main", "--socket", "admin.sock"]).await;
    let text = String::from_utf8_lossy(&told.stdout);
    for part in
        ["requests go to dublin", "diverged", "rebuild it as a standby", "from paris to dublin: promoted"]
    {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_databases_that_take_writes_are_fenced_until_an_operator_decides() {
    let fleet = Fleet::new().await;
    let gateway = fleet.gateway().start().await;
    served_by(&gateway, "paris-1").await;
    fleet.standby.promote();
    refused(&gateway, "region_fenced").await;
    let read = get(&gateway).await;
    assert_eq!((read.status, read.server()), (200, Some("paris-1")), "reads go on");
    let arguments =
        ["regions", "pin", "main", "dublin", "--reason", "it was promoted", "--socket", "admin.sock"];
    let pinned = gateway.cli(&arguments).await;
    assert!(pinned.status.success(), "{}", String::from_utf8_lossy(&pinned.stderr));
    served_by(&gateway, "dublin-1").await;
    assert_eq!(post(&gateway).await.status, 200);
    let report = pool(&gateway).await;
    assert_eq!(report["pin"]["reason"], "it was promoted", "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_serves_is_not_pinned_to_a_standby_by_a_slip() {
    let fleet = Fleet::new().await;
    let gateway = fleet.gateway().start().await;
    served_by(&gateway, "paris-1").await;
    database_is(&gateway, 1, "standby").await;
    let pin = async |more: &[&str]| {
        let pin = ["regions", "pin", "main", "dublin", "--reason", "a test", "--author", "ada"];
        gateway.cli(&[&pin, more, &["--socket", "admin.sock"]].concat()).await
    };
    let tried = pin(&["--dry-run"]).await;
    let would = String::from_utf8_lossy(&tried.stdout);
    for part in
        ["a dry run", "regions unpin", "NOBODY CAN SAVE ANYTHING", "PINNED to dublin since", "by ada: a test"]
    {
        assert!(would.contains(part), "`{part}` is not in:\n{would}");
    }
    let refused = pin(&[]).await;
    let why = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{why}");
    assert!(why.contains("a standby that nobody has promoted") && why.contains("--force"), "{why}");
    served_by(&gateway, "paris-1").await;
    assert_eq!(pool(&gateway).await["pin"], Value::Null);

    let over = pin(&["--force", "--expires", "2020-01-01T00:00:00Z"]).await;
    assert!(String::from_utf8_lossy(&over.stderr).contains("is over already"), "{over:?}");

    assert!(pin(&["--force"]).await.status.success());
    assert_eq!(get(&gateway).await.status, 503);
    assert_eq!(pool(&gateway).await["pin"]["author"], "ada");
    // Forgotten, it ends by itself.
    let soon = jiff::Timestamp::now() + std::time::Duration::from_secs(2);
    assert!(pin(&["--force", "--expires", &soon.to_string()]).await.status.success());
    served_by(&gateway, "paris-1").await;
    assert_eq!(pool(&gateway).await["pin"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_starts_after_a_failover_knows_the_old_primary() {
    let fleet = Fleet::new().await;
    let builder = fleet.gateway();
    let gateway = builder.clone().start().await;
    fleet.primary.kill();
    fleet.standby.promote();
    served_by(&gateway, "dublin-1").await;
    drop(gateway);
    fleet.primary.start();
    fleet.paris.forget_received();
    let gateway = builder.start().await;
    assert_eq!(post(&gateway).await.server(), Some("dublin-1"));
    database_is(&gateway, 0, "diverged").await;
    assert_eq!(Fleet::asked(&fleet.paris), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_that_may_not_look_costs_no_service_and_is_named() {
    let fleet = Fleet::new().await;
    fleet.primary.sql("ALTER ROLE probe NOLOGIN");
    let gateway = fleet.gateway().start().await;
    served_by(&gateway, "paris-1").await;
    assert_eq!(post(&gateway).await.status, 200);
    gateway.operational_log().wait_for_text("does not let the probe look", DEADLINE).await;
    database_is(&gateway, 0, "unwatched").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_starts_beside_a_primary_that_lets_nobody_look_sends_writes_nowhere() {
    let fleet = Fleet::new().await;
    fleet.standby.promote();
    // It takes writes all the same.
    fleet.primary.sql("ALTER ROLE probe NOLOGIN");
    let gateway = fleet.gateway().start().await;
    database_is(&gateway, 1, "writable").await;
    refused(&gateway, "region_fenced").await;
    served_by(&gateway, "paris-1").await;
    assert_eq!(Fleet::asked(&fleet.dublin), 0);
    gateway.operational_log().wait_for_text("THE DATABASE OF paris LETS NOBODY LOOK", DEADLINE).await;
    let told = gateway.cli(&["regions", "--socket", "admin.sock"]).await;
    let text = String::from_utf8_lossy(&told.stdout);
    assert!(text.contains("the database of paris lets nobody look and may take writes"), "{text}");

    let why = ["--reason", "paris is given up", "--socket", "admin.sock"];
    let pin = [&["regions", "pin", "main", "dublin"][..], &why].concat();
    assert!(gateway.cli(&pin).await.status.success());
    served_by(&gateway, "dublin-1").await;
    assert_eq!(post(&gateway).await.server(), Some("dublin-1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_read_only_by_its_own_settings_and_not_by_those_of_the_probe() {
    let fleet = Fleet::new().await;
    fleet.primary.sql("ALTER ROLE probe SET default_transaction_read_only = on");
    let gateway = fleet.gateway().start().await;
    database_is(&gateway, 0, "writable").await;
    served_by(&gateway, "paris-1").await;
    fleet.primary.sql("ALTER ROLE probe RESET default_transaction_read_only");
    fleet.primary.sql("ALTER SYSTEM SET default_transaction_read_only = on");
    fleet.primary.sql("SELECT pg_reload_conf()");
    fleet.primary.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'probe'");
    database_is(&gateway, 0, "standby").await;
    refused(&gateway, "region_unwritable").await;
}

async fn metrics(gateway: &Gateway) -> String {
    http_get(gateway.listener(OBSERVE), "observe", "/metrics").await.text()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_verdict_that_changes_is_an_event_and_a_metric_and_near_misses_are_counted() {
    let fleet = Fleet::new().await;
    let observe = format!("observe: {{ address: \"{OBSERVE}\" }}\n");
    // As often as may be: on a busy machine it takes seconds to let the probe in again.
    let health = "health: { interval: 200ms, timeout: 2s, fall: 100 }\n    ";
    let gateway = fleet.gateway_with(health, &observe).start().await;
    served_by(&gateway, "paris-1").await;
    database_is(&gateway, 1, "standby").await;
    let text = metrics(&gateway).await;
    for series in [
        "fleetgate_pool_route{pool=\"main\",state=\"serve\"} 1",
        "fleetgate_pool_route{pool=\"main\",state=\"fenced\"} 0",
        "fleetgate_region_state{pool=\"main\",region=\"paris\",state=\"serving\"} 1",
        "fleetgate_region_state{pool=\"main\",region=\"dublin\",state=\"standby-ready\"} 1",
        "fleetgate_region_database_state{pool=\"main\",region=\"paris\",state=\"writable\"} 1",
        "fleetgate_region_database_lag_seconds{pool=\"main\",region=\"dublin\"} ",
        "fleetgate_region_backends{pool=\"main\",region=\"paris\",state=\"up\"} 1",
    ] {
        assert!(text.contains(series), "`{series}` is not in:\n{text}");
    }
    // A database that takes no connections for a moment is silent, but not often enough to believe that it is gone.
    let lost = "fleetgate_region_near_misses_total{pool=\"main\",region=\"paris\",signal=\"database\"} ";
    fleet.primary.sql("ALTER ROLE probe CONNECTION LIMIT 0");
    fleet.primary.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'probe'");
    wait_for("a probe fails", DEADLINE, async || {
        let saw = pool(&gateway).await["regions"][0]["database"]["saw"].clone();
        saw.as_str().is_some_and(|saw| saw.contains("too many connections"))
    })
    .await;
    fleet.primary.sql("ALTER ROLE probe CONNECTION LIMIT -1");
    wait_for("a near miss is counted", DEADLINE, async || {
        metrics(&gateway).await.lines().any(|line| line.strip_prefix(lost).is_some_and(|count| count != "0"))
    })
    .await;
    assert_eq!(post(&gateway).await.status, 200);

    fleet.primary.kill();
    refused(&gateway, "region_unwritable").await;
    fleet.standby.promote();
    served_by(&gateway, "dublin-1").await;
    let text = metrics(&gateway).await;
    for series in [
        "fleetgate_pool_moves_total{cause=\"promoted\",pool=\"main\"} 1",
        "fleetgate_region_state{pool=\"main\",region=\"dublin\",state=\"serving\"} 1",
        "fleetgate_region_database_state{pool=\"main\",region=\"paris\",state=\"unreachable\"} 1",
    ] {
        assert!(text.contains(series), "`{series}` is not in:\n{text}");
    }
    for (subject, region, from, to) in [
        ("database", "paris", "writable", "unreachable"),
        ("region", "paris", "serving", "not-ready"),
        ("route", "", "serve", "unwritable"),
        ("database", "dublin", "standby", "writable"),
        ("region", "dublin", "standby-ready", "serving"),
        ("route", "dublin", "unwritable", "serve"),
    ] {
        let what = format!("{subject} {region} {from} {to}");
        let wanted = [("subject", subject), ("region", region), ("from", from), ("to", to), ("pool", "main")];
        let fits = |event: &Value| wanted.iter().all(|(key, value)| event[key] == *value);
        gateway.operational_log().event(&what, DEADLINE, fits).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_speak_tls_with_postgresql_and_follow_a_promotion_through_it() {
    let authority = Authority::new("databases");
    let primary = Postgres::primary();
    let server = authority.sign("127.0.0.1");
    primary.secure(&server.chain, &server.key);
    let fleet = Fleet::of(primary).await;
    let gateway = fleet.gateway_with("postgres_tls: { ca: pg.pem }\n    ", "");
    let gateway = gateway.file("pg.pem", &authority.pem).start().await;
    served_by(&gateway, "paris-1").await;
    database_is(&gateway, 0, "writable").await;
    database_is(&gateway, 1, "standby").await;
    let secured = "SELECT count(*) > 0 AND bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
        WHERE usename = 'probe'";
    assert_eq!(fleet.primary.sql(secured), "t");
    fleet.primary.kill();
    refused(&gateway, "region_unwritable").await;
    fleet.standby.promote();
    served_by(&gateway, "dublin-1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_with_the_certificate_of_somebody_else_is_not_believed_and_costs_no_service() {
    let (authority, stranger) = (Authority::new("databases"), Authority::new("strangers"));
    for server in
        [stranger.sign("127.0.0.1"), authority.sign("db.internal"), authority.sign_expired("127.0.0.1")]
    {
        let primary = Postgres::primary();
        primary.secure(&server.chain, &server.key);
        let fleet = Fleet::of(primary).await;
        let gateway = fleet.gateway_with("postgres_tls: { ca: pg.pem }\n    ", "");
        let gateway = gateway.file("pg.pem", &authority.pem).start().await;
        gateway.operational_log().wait_for_text("does not let the probe look", DEADLINE).await;
        gateway.operational_log().wait_for_text("certificate", DEADLINE).await;
        database_is(&gateway, 0, "unwatched").await;
        assert_eq!(post(&gateway).await.server(), Some("paris-1"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_verdict_that_changes_is_told_to_a_webhook_until_it_arrives() {
    let (receiver, got) = receiver(1).await;
    let fleet = Fleet::new().await;
    let webhook = format!(
        "verdict_webhook: {{ url: \"http://{}/hook\", secret: \"file:secret\" }}\n",
        receiver.address()
    );
    let gateway = fleet.gateway_with("", &webhook).file("secret", "swordfish").start().await;
    served_by(&gateway, "paris-1").await;
    fleet.primary.kill();
    refused(&gateway, "region_unwritable").await;
    fleet.standby.promote();
    served_by(&gateway, "dublin-1").await;
    for (subject, region, from, to) in [
        ("database", "paris", "writable", "unreachable"),
        ("route", "", "serve", "unwritable"),
        ("database", "dublin", "standby", "writable"),
        ("route", "dublin", "unwritable", "serve"),
    ] {
        let wanted = [("subject", subject), ("region", region), ("from", from), ("to", to), ("pool", "main")];
        wait_for(&format!("{subject} {region} {from} {to} is told"), DEADLINE, async || {
            got.lock().unwrap().iter().any(|(_, body)| wanted.iter().all(|(key, value)| body[key] == *value))
        })
        .await;
    }
    let got = got.lock().unwrap();
    let (head, body) = &got[0];
    assert_eq!(got[1].1["id"], body["id"], "the first one was refused, and came again");
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    assert_eq!(field("x-fleetgate-message-id: "), body["id"].as_str().unwrap());
    assert!(field("x-fleetgate-signature: t=").contains(",v1="), "{head}");
    assert!(!format!("{got:?}").contains("swordfish"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_that_nobody_took_is_told_after_a_restart() {
    let (receiver, got) = receiver(3).await;
    let fleet = Fleet::new().await;
    let webhook = format!(
        "verdict_webhook: {{ url: \"http://{}/hook\", secret: \"file:secret\" }}\n",
        receiver.address()
    );
    let builder = fleet.gateway_with("", &webhook).file("secret", "swordfish");
    let mut gateway = builder.clone().start().await;
    served_by(&gateway, "paris-1").await;
    wait_for("something is refused", DEADLINE, async || !got.lock().unwrap().is_empty()).await;
    gateway.signal(Signal::KILL);
    gateway.wait_exit(DEADLINE).await;
    let id = |place: usize| got.lock().unwrap()[place].1["id"].clone();
    let waited = id(0);
    let _gateway = builder.start().await;
    wait_for("it arrives", DEADLINE, async || {
        let attempts = got.lock().unwrap().len();
        (3..attempts).any(|place| id(place) == waited)
    })
    .await;
    drop(fleet);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_moves_by_itself_in_a_freeze_and_does_when_it_is_over() {
    let primary = Postgres::primary();
    let odoo = [fleet::prefork("paris-1").await, fleet::prefork("dublin-1").await];
    // Both regions are on one database.
    let region = |stub| format!("{{ backends: [ {} ], postgres: \"{}\" }}", backend(stub), primary.url());
    let config = |freeze: &str| {
        format!(
            "threads: 2\nregions: [ {{ name: paris }}, {{ name: dublin, standby: true }} ]\npools:\n  main:\n    \
             odoo_version: \"19.0\"\n    database_selection: dbfilter_header\n    \
             health: {{ interval: 200ms, timeout: 2s }}\n    failover: {{ mode: automatic, {freeze} }}\n    \
             regions:\n      paris: {}\n      dublin: {}\n",
            region(&odoo[0]),
            region(&odoo[1])
        )
    };
    let sale = "freeze: [ { from: \"2020-01-01T00:00:00Z\", until: \"2999-01-01T00:00:00+01:00\" } ]";
    let gateway = Gateway::builder(&config(sale)).tenants("tenants.yaml", fleet::TENANTS).start().await;
    served_by(&gateway, "paris-1").await;
    let overruled = config("hold_down: 0s");
    let [paris, _dublin] = odoo;
    drop(paris);
    // For longer than it takes to leave a region whose backends look dead.
    wait_for("paris is dead for long", 3 * DEADLINE, async || {
        let backend = pool(&gateway).await["regions"][0]["backends"][0].clone();
        let http = backend["signals"][0].clone();
        backend["verdict"] == "down" && http["since_seconds"].as_u64().is_some_and(|since| since > 12)
    })
    .await;
    let report = pool(&gateway).await;
    assert_eq!(report["serving"], "paris", "{report}");
    assert_eq!(report["frozen_until"], "2998-12-31T23:00:00Z");
    gateway.directory().write_config(&overruled);
    served_by(&gateway, "dublin-1").await;
}
