//! What a region needs to take over, beside its database: checked all the time, and said when it matters.

use crate::fleet;
use crate::quotas::receiver;
use crate::regions::{database_is, pool, refused, served_by};
use fleetgate_stub::StubOdoo;
use fleetgate_tests::{Builder, DEADLINE, Gateway, Postgres, backend, http_get, wait_for};
use rustix::process::Signal;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Address of the listener for probes and metrics.
const OBSERVE: &str = "127.0.0.2:0";

/// The script that operators get.
pub(crate) fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/checks/replicated-folder").canonicalize().unwrap()
}

/// Two regions, each with a filestore that the script checks.
pub(crate) struct Fleet {
    folder: TempDir,
    odoo: [StubOdoo; 2],
    primary: Postgres,
    standby: Postgres,
}

impl Fleet {
    pub(crate) async fn new() -> Self {
        let primary = Postgres::primary();
        let standby = primary.standby();
        let odoo = [fleet::prefork("paris-1").await, fleet::prefork("dublin-1").await];
        let folder = tempfile::tempdir().unwrap();
        for region in ["paris", "dublin"] {
            std::fs::create_dir_all(folder.path().join(region).join("acme/00")).unwrap();
        }
        Self { folder, odoo, primary, standby }
    }

    pub(crate) fn filestore(&self, region: &str) -> PathBuf {
        self.folder.path().join(region)
    }

    /// As a timer with rsync or a shared file system does.
    pub(crate) fn copy(&self, from: &str, to: &str) {
        std::fs::remove_dir_all(self.filestore(to)).unwrap();
        let copied = Command::new("cp").arg("-a").arg(self.filestore(from)).arg(self.filestore(to)).status();
        assert!(copied.unwrap().success());
    }

    fn gateway(&self, main: &str) -> Builder {
        self.gateway_with(main, |filestore| {
            format!("[ {}, {}, \"3\" ]", script().display(), filestore.display())
        })
    }

    /// A gateway whose checks run a command that depends on the filestore.
    pub(crate) fn gateway_with(&self, main: &str, command: impl Fn(&Path) -> String) -> Builder {
        let region = |name: &str, place: usize, database: &Postgres| {
            let check = command(&self.filestore(name));
            format!(
                "{{ backends: [ {} ], postgres: \"{}\", checks: {{ filestore: {{ command: {check}, interval: 200ms }} }} }}",
                backend(&self.odoo[place]),
                database.url()
            )
        };
        let config = format!(
            "{main}threads: 2\nobserve: {{ address: \"{OBSERVE}\" }}\n\
             regions: [ {{ name: paris }}, {{ name: dublin, standby: true }} ]\npools:\n  main:\n    \
             odoo_version: \"19.0\"\n    database_selection: dbfilter_header\n    \
             health: {{ interval: 200ms, timeout: 2s }}\n    failover: {{ hold: 0s }}\n    regions:\n      \
             paris: {}\n      dublin: {}\n",
            region("paris", 0, &self.primary),
            region("dublin", 1, &self.standby)
        );
        Gateway::builder(&config).tenants("tenants.yaml", fleet::TENANTS)
    }
}

pub(crate) async fn check(gateway: &Gateway, region: usize) -> Value {
    pool(gateway).await["regions"][region]["checks"][0].clone()
}

pub(crate) async fn check_is(gateway: &Gateway, region: usize, standing: &str) {
    wait_for(&format!("the check of region {region} is {standing}"), DEADLINE, async || {
        check(gateway, region).await["standing"] == standing
    })
    .await;
}

async fn verdict_is(gateway: &Gateway, region: usize, verdict: &str) {
    wait_for(&format!("region {region} is {verdict}"), DEADLINE, async || {
        pool(gateway).await["regions"][region]["verdict"] == verdict
    })
    .await;
}

async fn explained(gateway: &Gateway) -> String {
    let explained = gateway.cli(&["regions", "explain", "main", "--socket", "admin.sock"]).await;
    String::from_utf8(explained.stdout).unwrap()
}

/// Pins the pool to dublin; what the command says.
async fn pin(gateway: &Gateway, more: &[&str]) -> (bool, String) {
    let arguments =
        ["regions", "pin", "main", "dublin", "--reason", "a drill", "--socket", "admin.sock"].into_iter();
    let arguments: Vec<&str> = arguments.chain(more.iter().copied()).collect();
    let output = gateway.cli(&arguments).await;
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_without_a_fresh_copy_is_not_ready_and_is_pinned_by_force_alone() {
    let fleet = Fleet::new().await;
    let gateway = fleet.gateway("").start().await;
    served_by(&gateway, "paris-1").await;
    database_is(&gateway, 1, "standby").await;
    check_is(&gateway, 0, "passing").await;
    check_is(&gateway, 1, "failing").await;
    verdict_is(&gateway, 1, "not-ready").await;
    let text = explained(&gateway).await;
    assert!(text.contains("nothing was copied here yet"), "{text}");
    assert!(text.contains("attachments and images may be missing"), "{text}");
    let (pinned, said) = pin(&gateway, &[]).await;
    assert!(!pinned && said.contains("`filestore`: ") && said.contains("--force"), "{said}");
    assert_eq!(pool(&gateway).await["pin"], Value::Null);

    fleet.copy("paris", "dublin");
    check_is(&gateway, 1, "passing").await;
    verdict_is(&gateway, 1, "standby-ready").await;
    assert!(explained(&gateway).await.contains("dublin could take over: its database is a standby"));
    // Nothing is copied any more.
    check_is(&gateway, 1, "failing").await;
    assert!(check(&gateway, 1).await["saw"].to_string().contains("does the copying still run?"));
    let state = "fleetgate_region_check_state{check=\"filestore\",pool=\"main\",region=\"dublin\",state=\"failing\"} 1";
    let metrics = http_get(gateway.listener(OBSERVE), "observe", "/metrics").await.text();
    assert!(metrics.contains(state), "{metrics}");
    let (pinned, said) = pin(&gateway, &["--force"]).await;
    assert!(pinned, "{said}");
    assert_eq!(pool(&gateway).await["pin"]["region"], "dublin");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_region_is_followed_whatever_it_lacks_and_what_users_meet_is_told() {
    let fleet = Fleet::new().await;
    let (receiver, got) = receiver(0).await;
    let webhook = format!(
        "verdict_webhook: {{ url: \"http://{}/hook\", secret: \"file:secret\" }}\n",
        receiver.address()
    );
    let gateway = fleet.gateway(&webhook).file("secret", "swordfish").start().await;
    served_by(&gateway, "paris-1").await;
    check_is(&gateway, 1, "failing").await;
    fleet.primary.kill();
    refused(&gateway, "region_unwritable").await;
    let text = explained(&gateway).await;
    assert!(text.contains("dublin would be followed if it is promoted"), "{text}");
    fleet.standby.promote();
    served_by(&gateway, "dublin-1").await;
    wait_for("it is told", DEADLINE, async || {
        got.lock().unwrap().iter().any(|(_, body)| {
            (&body["subject"], &body["region"], &body["to"])
                == (&"check".into(), &"dublin".into(), &"overruled".into())
        })
    })
    .await;
    let log = gateway.operational_log().text();
    let alarm = |line: &str| line.contains("ERROR") && line.contains("attachments and images may be missing");
    assert!(log.lines().any(alarm), "{log}");
    let metrics = http_get(gateway.listener(OBSERVE), "observe", "/metrics").await.text();
    assert!(metrics.contains("fleetgate_pool_overruled_checks_total{pool=\"main\"} 1"), "{metrics}");
    let text = explained(&gateway).await;
    assert!(text.contains("MOVED to dublin") && text.contains("although it was not ready"), "{text}");
    // From now on dublin is the one that others copy from.
    check_is(&gateway, 1, "passing").await;
    check_is(&gateway, 0, "failing").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_keeps_what_it_said_while_nobody_serves() {
    let fleet = Fleet::new().await;
    let gateway = fleet.gateway("").start().await;
    check_is(&gateway, 0, "passing").await;
    fleet.copy("paris", "dublin");
    check_is(&gateway, 1, "passing").await;
    fleet.primary.kill();
    refused(&gateway, "region_unwritable").await;
    // The copy grows old because nobody writes, and this says nothing about it.
    let marker = fleet.filestore("dublin").join("~fleetgate/marker");
    std::fs::write(&marker, "1 paris\n").unwrap();
    let asked = gateway.admin("/v1/status").await["uptime_seconds"].as_u64().unwrap();
    wait_for("seconds pass", DEADLINE, async || {
        gateway.admin("/v1/status").await["uptime_seconds"].as_u64().unwrap() > asked + 2
    })
    .await;
    assert_eq!(check(&gateway, 1).await["standing"], "passing");
    gateway.signal(Signal::TERM);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_may_be_a_url_and_says_what_it_is_told() {
    let stub = fleet::prefork("eu-1").await;
    let url = |code: u16| format!("http://{}/stub/status?code={code}", stub.http_addr());
    let checks = format!(
        "checks: {{ sessions: {{ url: \"{}\", interval: 200ms }}, volume: {{ url: \"{}\", interval: 200ms }} }}",
        url(204),
        url(503)
    );
    let config = fleet::config(&[backend(&stub)], "health: { interval: 200ms }");
    let config = config.replace(" ] } }", &format!(" ], {checks} }} }}"));
    let gateway = Gateway::builder(&config).tenants("tenants.yaml", fleet::TENANTS).start().await;
    let standings = async || {
        let checks = pool(&gateway).await["regions"][0]["checks"].clone();
        [0, 1].map(|place: usize| (checks[place]["standing"].clone(), checks[place]["saw"].to_string()))
    };
    wait_for("both have run", DEADLINE, async || {
        let [sessions, volume] = standings().await;
        sessions.0 == "passing" && volume.0 == "failing" && volume.1.contains("503: status 503")
    })
    .await;
    // The region that serves is not judged by what it lacks.
    verdict_is(&gateway, 0, "serving").await;
}
