//! Quotas: who is refused, who is told, and what no end of the process forgets.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fleetgate_stub::StubOdoo;
use fleetgate_tests::{
    Answer, Builder, Connection, DEADLINE, Gateway, Redis, Request, http_get, wait_for, ws_connect,
};
use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::fleet;
use crate::script::Script;
use crate::visitors::Visitors;

const TENANTS: &str = "\
- { id: acme, hosts: [acme.test], plan: small }
- { id: globex, hosts: [globex.test], plan: small }
";

/// A gateway, not started, whose tenants have quotas. `more` holds further keys of the main file.
async fn before(quotas: &str, more: &str) -> (StubOdoo, Builder) {
    let stub = fleet::prefork("eu-1").await;
    let config = fleet::config(&[fleetgate_tests::backend(&stub)], "")
        + &format!("state_directory: state\nplans: {{ small: {{ quotas: {{ {quotas} }} }} }}\n{more}");
    (stub, Gateway::builder(&config).tenants("t.yaml", TENANTS))
}

async fn ask(gateway: &Gateway, host: &str) -> Answer {
    http_get(gateway.address(), host, "/web/health").await
}

/// A quota of a tenant as the admin API shows it.
async fn row(gateway: &Gateway, tenant: &str, quota: &str) -> Value {
    let list = gateway.admin(&format!("/v1/quota?tenant={tenant}")).await;
    let rows = list["quotas"].as_array().unwrap();
    rows.iter().find(|row| row["quota"] == quota).cloned().unwrap_or(Value::Null)
}

async fn used(gateway: &Gateway, tenant: &str, quota: &str) -> u64 {
    row(gateway, tenant, quota).await["used"].as_u64().unwrap_or(0)
}

async fn cli(gateway: &Gateway, arguments: &[&str]) -> String {
    let socket = gateway.directory().admin_socket();
    let mut all = arguments.to_vec();
    all.extend(["--socket", socket.to_str().unwrap()]);
    let output = gateway.cli(&all).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_quota_that_is_used_up_refuses_until_an_operator_grants_more() {
    let quotas = "requests_per_day: 20, thresholds: [ { percent: 100, then: stop } ]";
    let (stub, builder) = before(quotas, "").await;
    let gateway = builder.start().await;
    for at in 0..20 {
        assert_eq!(ask(&gateway, "acme.test").await.status, 200, "request {at}");
    }
    let refused = ask(&gateway, "acme.test").await;
    assert_eq!(refused.status, 429, "{}", refused.text());
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=3_600).contains(&wait), "{wait}");
    assert_eq!(refused.header("ratelimit-policy"), Some("\"requests_per_day\";q=20;w=86400"));
    let event = fleet::event_of(&gateway, &refused).await;
    assert_eq!(
        (&event["rejection"], &event["reason"]),
        (&"quota_exhausted".into(), &"requests_per_day".into())
    );
    assert_eq!(stub.counts().requests, 20);
    // Files of pages, and other tenants, go on.
    assert_eq!(http_get(gateway.address(), "acme.test", "/web/static/x.js").await.status, 200);
    assert_eq!(ask(&gateway, "globex.test").await.status, 200);
    let grant = [
        "quota",
        "grant",
        "acme",
        "requests_per_day",
        "6",
        "--reason",
        "a fair",
        "--author",
        "eve",
        "--id",
        "n1",
    ];
    let dry = cli(&gateway, &[&grant[..], &["--dry-run"]].concat()).await;
    assert!(dry.contains("21 of 26 used") && dry.contains("nothing was changed"), "{dry}");
    assert_eq!(ask(&gateway, "acme.test").await.status, 429);
    assert!(cli(&gateway, &grant).await.contains("done"));
    assert!(cli(&gateway, &grant).await.contains("done before"), "the same id twice is one grant");
    for _ in 0..5 {
        assert_eq!(ask(&gateway, "acme.test").await.status, 200);
    }
    assert_eq!(ask(&gateway, "acme.test").await.status, 429);
    let reset = ["quota", "reset", "acme", "requests_per_day", "--reason", "a mistake", "--author", "bob"];
    assert!(cli(&gateway, &reset).await.contains("0 of 26 used"));
    assert_eq!(ask(&gateway, "acme.test").await.status, 200);
    let acts = cli(&gateway, &["quota", "acts"]).await;
    assert!(acts.contains("eve") && acts.contains("a fair") && acts.contains("bob"), "{acts}");
    let csv = cli(&gateway, &["quota", "acme", "--csv"]).await;
    assert!(csv.contains("acme,requests_per_day,") && csv.contains(",false,1,26"), "{csv}");
}

#[tokio::test]
async fn programs_are_refused_first_and_people_last() {
    let quotas =
        "requests_per_month: 10, thresholds: [ { percent: 50, then: shed }, { percent: 100, then: stop } ]";
    let (_stub, builder) = before(quotas, "").await;
    let gateway = builder.start().await;
    let call = async || {
        let call = "<methodCall><methodName>version</methodName></methodCall>";
        let request = Request::post("acme.test", "/xmlrpc/2/common", call).header("content-type", "text/xml");
        request.send(gateway.address()).await
    };
    for _ in 0..5 {
        assert_eq!(call().await.status, 200);
    }
    let refused = call().await;
    assert!(
        refused.text().contains("used up") && refused.header("retry-after").is_some(),
        "{}",
        refused.text()
    );
    for _ in 0..5 {
        assert_eq!(ask(&gateway, "acme.test").await.status, 200);
    }
    assert_eq!(ask(&gateway, "acme.test").await.status, 429);
    assert_eq!(row(&gateway, "acme", "requests_per_month").await["stage"], "stopped");
}

#[tokio::test]
async fn a_tenant_that_is_slowed_has_a_part_of_its_rate() {
    let quotas = "requests_per_day: 100, slow_to_percent: 1, thresholds: [ { percent: 10, then: slow } ]";
    let stub = fleet::prefork("eu-1").await;
    let plan = format!("requests_per_second: 1, burst: 1000, quotas: {{ {quotas} }}");
    let config = fleet::config(&[fleetgate_tests::backend(&stub)], "")
        + &format!("state_directory: state\nplans: {{ small: {{ {plan} }} }}\n");
    let gateway = Gateway::builder(&config).tenants("t.yaml", TENANTS).start().await;
    for _ in 0..10 {
        assert_eq!(ask(&gateway, "acme.test").await.status, 200);
    }
    // Of a burst of 1,000 that was hardly touched, 10 are left.
    let mut served = 0;
    let refused = loop {
        let answer = ask(&gateway, "acme.test").await;
        if answer.status != 200 {
            break answer;
        }
        served += 1;
        assert!(served < 100, "nothing was slowed");
    };
    assert_eq!(fleet::event_of(&gateway, &refused).await["rejection"], "rate_limited");
}

#[tokio::test]
async fn bytes_workers_and_websockets_are_counted() {
    let quotas = "egress_per_day: 1GiB, worker_seconds_per_day: 1000, websocket_minutes_per_day: 1000, requests_per_day: 1000";
    let (_stub, builder) = before(quotas, "").await;
    let gateway = builder.start().await;
    let answer = http_get(gateway.address(), "acme.test", "/stub/slow?ms=1500").await;
    assert_eq!(answer.status, 200);
    let mut socket = ws_connect(gateway.address(), "acme.test", "/websocket", &[]).await;
    socket.json().await;
    drop(socket);
    wait_for("the websocket is counted", DEADLINE, async || {
        used(&gateway, "acme", "requests_per_day").await == 2
    })
    .await;
    assert_eq!(used(&gateway, "acme", "worker_seconds_per_day").await, 1);
    assert!(used(&gateway, "acme", "egress_per_day").await >= u64::try_from(answer.text().len()).unwrap());
    assert_eq!(used(&gateway, "globex", "requests_per_day").await, 0);
}

/// Clients that ask until the gateway is gone.
fn clients(gateway: &Gateway, acknowledged: &Arc<AtomicU64>) -> Vec<tokio::task::JoinHandle<()>> {
    let address = gateway.address();
    let client = |_| {
        let acknowledged = Arc::clone(acknowledged);
        tokio::spawn(async move {
            let Ok(mut connection) = Connection::http1(address).await else { return };
            // Counted when the first byte has come: a client that was answered is told the truth.
            while connection.ask(&Request::get("acme.test", "/web/health")).await.is_ok() {
                acknowledged.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    (0..4).map(client).collect()
}

#[tokio::test]
async fn a_process_that_is_killed_at_any_moment_loses_no_request_and_counts_none_twice() {
    let (stub, builder) = before("requests_per_month: 1000000000", "").await;
    let acknowledged = Arc::new(AtomicU64::new(0));
    for round in 0..8_u64 {
        let mut gateway = builder.clone().start().await;
        let before = acknowledged.load(Ordering::Relaxed);
        let (counted, served) = (used(&gateway, "acme", "requests_per_month").await, stub.counts().requests);
        assert!(
            before <= counted && counted <= served,
            "{before} answered, {counted} counted, {served} served"
        );
        let clients = clients(&gateway, &acknowledged);
        let goal = before + 37 * (round + 1);
        wait_for("requests are served", DEADLINE, async || acknowledged.load(Ordering::Relaxed) >= goal)
            .await;
        gateway.signal(Signal::KILL);
        gateway.wait_exit(DEADLINE).await;
        futures_util::future::join_all(clients).await;
    }
    let gateway = builder.start().await;
    let (answered, counted) =
        (acknowledged.load(Ordering::Relaxed), used(&gateway, "acme", "requests_per_month").await);
    let served = stub.counts().requests;
    assert!(
        answered <= counted && counted <= served,
        "{answered} answered, {counted} counted, {served} served"
    );
}

/// A disk of a given size, gone when dropped.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path, size: &str) -> Self {
        fs::create_dir_all(at).unwrap();
        Self(at.to_owned()).run(&["mount", "-t", "tmpfs", "-o", &format!("size={size},mode=700"), "tmpfs"])
    }

    fn resize(self, size: &str) -> Self {
        self.run(&["mount", "-o", &format!("remount,size={size}")])
    }

    fn run(self, command: &[&str]) -> Self {
        let status = Command::new(command[0]).args(&command[1..]).arg(&self.0).status().unwrap();
        assert!(status.success(), "{command:?} {}: tests of a full disk need root", self.0.display());
        self
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: the gateway may still have files of it open.
        let _status = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_keeps_serving_says_so_and_what_was_counted_meanwhile_is_kept() {
    let (_stub, builder) = before("requests_per_month: 1000", "").await;
    // Journals are laid out in advance, in 16 MiB.
    let disk = Disk::mount(&builder.directory().path("state"), "2m");
    let mut gateway = builder.clone().start().await;
    for _ in 0..5 {
        assert_eq!(ask(&gateway, "acme.test").await.status, 200);
    }
    let status = cli(&gateway, &["status"]).await;
    assert!(status.contains("usage of quotas") && status.contains("No space left"), "{status}");
    let _disk = disk.resize("64m");
    wait_for("usage is written down again", DEADLINE, async || {
        gateway.admin("/v1/quota").await["problem"].is_null()
    })
    .await;
    gateway.signal(Signal::KILL);
    gateway.wait_exit(DEADLINE).await;
    let gateway = builder.start().await;
    assert_eq!(used(&gateway, "acme", "requests_per_month").await, 5);
}

#[tokio::test]
async fn an_upgrade_under_load_counts_each_request_once() {
    let (_stub, builder) = before("requests_per_month: 1000000000", "drain: { timeout: 1h }\n").await;
    let mut gateway = builder.start().await;
    let visitors = Visitors::come(gateway.address(), &[("acme.test", "acme")]);
    visitors.served(50).await;
    gateway.replace(DEADLINE).await;
    visitors.served(50).await;
    assert!(gateway.wait_exit(DEADLINE).await.success());
    let (answered, failures) = visitors.leave().await;
    assert!(failures.is_empty(), "{failures:#?}");
    // The new process reads what the old one counted last within a second or so.
    wait_for("all requests are counted", DEADLINE, async || {
        used(&gateway, "acme", "requests_per_month").await == answered
    })
    .await;
    let folder = gateway.directory().path("state/usage");
    wait_for("the old journal is folded", DEADLINE, async || {
        let names =
            fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("journal-")).count() == 1
    })
    .await;
    assert_eq!(used(&gateway, "acme", "requests_per_month").await, answered);
}

/// A receiver of messages that refuses the first ones, and what it got.
pub(crate) async fn receiver(refusals: usize) -> (Script, Arc<std::sync::Mutex<Vec<(String, Value)>>>) {
    let got = Arc::new(std::sync::Mutex::new(Vec::new()));
    let kept = Arc::clone(&got);
    let script = Script::start(move |mut stream, head| {
        let got = Arc::clone(&kept);
        async move {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            let mut body = vec![0; length.parse().unwrap()];
            stream.read_exact(&mut body).await?;
            let refuse = {
                let mut got = got.lock().unwrap();
                got.push((head, serde_json::from_slice(&body).unwrap()));
                got.len() <= refusals
            };
            let status = if refuse { "503 Not Now" } else { "204 No Content" };
            stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes()).await
        }
    })
    .await;
    (script, got)
}

#[tokio::test]
async fn a_threshold_is_told_until_it_arrives_and_once_over_restarts() {
    let (receiver, got) = receiver(2).await;
    let webhook = format!(
        "quota_webhook: {{ url: \"http://{}/hook?x=1\", secret: \"file:secret\" }}\n",
        receiver.address()
    );
    let (_stub, builder) = before("requests_per_month: 10", &webhook).await;
    let builder = builder.file("secret", "swordfish");
    let mut gateway = builder.clone().start().await;
    for _ in 0..6 {
        assert_eq!(ask(&gateway, "acme.test").await.status, 200);
    }
    wait_for("the message was refused once", DEADLINE, async || !got.lock().unwrap().is_empty()).await;
    gateway.signal(Signal::KILL);
    gateway.wait_exit(DEADLINE).await;
    let gateway = builder.start().await;
    wait_for("the message arrives", DEADLINE, async || {
        gateway.admin("/v1/quota").await["messages_waiting"] == 0 && got.lock().unwrap().len() >= 3
    })
    .await;
    assert_eq!(ask(&gateway, "acme.test").await.status, 200);
    assert_eq!(ask(&gateway, "acme.test").await.status, 200);
    wait_for("the next threshold is told", DEADLINE, async || got.lock().unwrap().len() >= 4).await;
    let got = got.lock().unwrap();
    let percents: Vec<&Value> = got.iter().map(|(_, body)| &body["percent"]).collect();
    assert_eq!(percents, [50, 50, 50, 80]);
    let (head, body) = &got[0];
    assert!(head.starts_with("POST /hook?x=1 HTTP/1.1\r\n"), "{head}");
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    assert_eq!(field("x-fleetgate-message-id: "), body["id"].as_str().unwrap());
    assert!(field("x-fleetgate-signature: t=").contains(",v1="), "{head}");
    assert_eq!(
        (&body["tenant"], &body["quota"], &body["used"]),
        (&"acme".into(), &"requests_per_month".into(), &5.into())
    );
    assert_eq!(got[1].1["id"], body["id"]);
    assert!(!head.contains("swordfish"));
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_costs_no_request_and_is_said_everywhere() {
    let (_stub, builder) =
        before("requests_per_day: 3, thresholds: [ { percent: 100, then: stop } ]", "").await;
    let folder = builder.directory().path("state/usage");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("journal-000000000001"), "Dear diary,\n").unwrap();
    let mut gateway = builder.clone().start().await;
    gateway.operational_log().wait_for_text("move it out of the folder", DEADLINE).await;
    let statuses = [ask(&gateway, "acme.test").await.status, ask(&gateway, "acme.test").await.status];
    assert_eq!(statuses, [200, 200]);
    for command in ["quota", "status"] {
        assert!(cli(&gateway, &[command]).await.contains("move it out of the folder"), "{command}");
    }
    gateway.signal(Signal::TERM);
    assert!(gateway.wait_exit(DEADLINE).await.success());
    fs::remove_file(folder.join("journal-000000000001")).unwrap();
    let gateway = builder.start().await;
    assert_eq!(gateway.admin("/v1/quota").await["problem"], Value::Null);
    assert_eq!(ask(&gateway, "acme.test").await.status, 200);
}

/// Three nodes that share a Redis, each in front of a server of its own.
async fn three_nodes(redis: &Redis, more: &str) -> (Vec<(StubOdoo, Builder)>, Vec<Gateway>) {
    let quotas =
        "requests_per_month: 300, thresholds: [ { percent: 50, then: warn }, { percent: 100, then: stop } ]";
    let (mut builders, mut nodes) = (Vec::new(), Vec::new());
    for node in 0..3 {
        let shared = format!("redis: {{ servers: [\"{}\"], node: n{node}, usual_nodes: 3 }}\n", redis.url());
        let (stub, builder) = before(quotas, &format!("{more}{shared}")).await;
        nodes.push(builder.clone().start().await);
        builders.push((stub, builder));
    }
    (builders, nodes)
}

#[tokio::test]
async fn three_nodes_and_a_dying_redis_keep_one_quota() {
    let mut redis = Redis::start(&[]).await;
    let (receiver, messages) = receiver(0).await;
    let webhook = format!("quota_webhook: {{ url: \"http://{}/told\", secret: s }}\n", receiver.address());
    let (builders, mut nodes) = three_nodes(&redis, &webhook).await;
    let ask_each = async |nodes: &[Gateway], requests: usize| {
        for node in nodes {
            for _ in 0..requests {
                assert_eq!(ask(node, "acme.test").await.status, 200);
            }
        }
    };
    let all_know = async |nodes: &[Gateway], requests: u64| {
        for node in nodes {
            wait_for(&format!("a node knows of {requests} requests"), DEADLINE, async || {
                used(node, "acme", "requests_per_month").await == requests
            })
            .await;
        }
    };
    let told = |percent: u64| {
        let messages = messages.lock().unwrap();
        messages.iter().filter(|(_, message)| message["percent"] == percent).count()
    };
    let all_told = async |nodes: &[Gateway]| {
        for node in nodes {
            wait_for("no message waits", DEADLINE, async || {
                node.admin("/v1/quota").await["messages_waiting"] == 0
            })
            .await;
        }
    };
    ask_each(&nodes, 60).await;
    all_know(&nodes, 180).await;
    wait_for("half of it is told", DEADLINE, async || told(50) > 0).await;
    all_told(&nodes).await;

    // Each goes on alone, and one of them ends in the middle of it.
    redis.kill();
    ask_each(&nodes, 10).await;
    let mut killed = nodes.remove(0);
    killed.signal(Signal::KILL);
    killed.wait_exit(DEADLINE).await;
    let again = builders[0].1.clone().start().await;
    assert!(used(&again, "acme", "requests_per_month").await >= 70, "it goes on from its own journal");
    nodes.insert(0, again);
    ask_each(&nodes, 10).await;

    // Redis has forgotten all of it; the nodes have not.
    redis.start_again().await;
    all_know(&nodes, 240).await;
    redis.ask(&["FLUSHALL"]);
    ask_each(&nodes, 10).await;
    all_know(&nodes, 270).await;
    let mut served = 270;
    while ask(&nodes[1], "acme.test").await.status == 200 {
        served += 1;
    }
    assert_eq!(served, 300);
    for node in &nodes {
        wait_for("the quota is used up everywhere", DEADLINE, async || {
            ask(node, "acme.test").await.status == 429
        })
        .await;
        assert_eq!(ask(node, "globex.test").await.status, 200, "another tenant has its own");
    }
    wait_for("all of it is told", DEADLINE, async || told(100) > 0).await;
    all_told(&nodes).await;
    assert_eq!((told(50), told(100)), (1, 1), "each threshold is told once, whoever reached it");
}
