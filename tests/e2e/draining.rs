//! Backends that an operator takes out, and agents that do.

use std::net::SocketAddr;

use crate::fleet;
use fleetgate_stub::{StubOdoo, StubOptions};
use fleetgate_tests::{Builder, DEADLINE, Gateway, Request, backend, free_port, wait_for, ws_connect};
use serde_json::Value;

const PROBED: &str = "health: { interval: 200ms, rise: 1, slow_start: 0s }";

/// Two servers, not started.
struct Pair([StubOdoo; 2]);

impl Pair {
    async fn new() -> Self {
        Self([fleet::prefork("eu-1").await, fleet::prefork("eu-2").await])
    }

    fn gateway(&self) -> Builder {
        let config = fleet::config(&[backend(&self.0[0]), backend(&self.0[1])], PROBED)
            + "drain: { websocket_spread: 0s }\n";
        Gateway::builder(&config).tenants("tenants.yaml", fleet::TENANTS)
    }

    fn named(&self, name: &str) -> &StubOdoo {
        self.0.iter().find(|stub| stub.name() == name).unwrap()
    }
}

/// Requests of clients that a server got; probes are none.
fn asked(stub: &StubOdoo) -> usize {
    stub.received().iter().filter(|request| !request.target.ends_with("/health")).count()
}

async fn region(gateway: &Gateway) -> Value {
    gateway.admin("/v1/regions").await["pools"][0]["regions"][0].clone()
}

async fn verdict_of(gateway: &Gateway, address: SocketAddr, verdict: &str) {
    wait_for(&format!("{address} is {verdict}"), DEADLINE, async || {
        let region = region(gateway).await;
        let mut backends = region["backends"].as_array().unwrap().iter();
        backends.any(|backend| backend["backend"] == address.to_string() && backend["verdict"] == verdict)
    })
    .await;
}

async fn act(gateway: &Gateway, what: &str, backend: &str) {
    let arguments = ["regions", what, backend, "--reason", "a new disk", "--socket", "admin.sock"];
    let done = gateway.cli(&arguments).await;
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

async fn server(gateway: &Gateway) -> String {
    let answer = Request::get("acme.test", "/stub/echo").send(gateway.address()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.server().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_drains_ends_what_it_has_and_gets_nothing_new_over_a_reload_upgrade_and_restart() {
    let pair = Pair::new().await;
    let builder = pair.gateway();
    let mut gateway = builder.clone().start().await;
    let mut websocket = ws_connect(gateway.address(), "acme.test", "/websocket", &[]).await;
    let name = websocket.json().await["server"].as_str().unwrap().to_owned();
    let drained = pair.named(&name).http_addr();
    // One more request than the other has: the next one goes to the other, and a slow one each to both.
    let mut slow = Vec::new();
    for serving in 1..=2 {
        let address = gateway.address();
        slow.push(tokio::spawn(async move {
            Request::get("acme.test", "/stub/slow?ms=3000").send(address).await
        }));
        wait_for("each serves a slow request", DEADLINE, async || {
            let asked =
                |stub: &&StubOdoo| stub.received().iter().any(|request| request.target.contains("slow"));
            pair.0.iter().filter(asked).count() == serving
        })
        .await;
    }

    act(&gateway, "drain", &drained.to_string()).await;
    verdict_of(&gateway, drained, "draining").await;
    assert_eq!(websocket.closed().await.map(|(code, _)| code), Some(1012));
    for answer in slow {
        assert_eq!(answer.await.unwrap().status, 200, "what it had ends there");
    }
    let before = asked(pair.named(&name));
    let nothing_new = async |gateway: &Gateway, when: &str| {
        for _ in 0..20 {
            assert_ne!(server(gateway).await, name, "{when}");
        }
        let mut websocket = ws_connect(gateway.address(), "acme.test", "/websocket", &[]).await;
        assert_ne!(websocket.json().await["server"], *name, "{when}");
        assert_eq!(asked(pair.named(&name)), before, "{when}");
    };
    nothing_new(&gateway, "at once").await;

    let generation = gateway.admin("/v1/status").await["config"]["generation"].clone();
    gateway.directory().write_tenants("more.yaml", "- { id: initech, hosts: [initech.test] }\n");
    wait_for("the config is reloaded", DEADLINE, async || {
        gateway.admin("/v1/status").await["config"]["generation"] != generation
    })
    .await;
    nothing_new(&gateway, "after a reload").await;

    gateway.replace(DEADLINE).await;
    gateway.wait_until_ready().await;
    nothing_new(&gateway, "after an upgrade").await;

    drop(gateway);
    let gateway = builder.start().await;
    nothing_new(&gateway, "after a restart").await;
    let told = gateway.cli(&["regions", "explain", "main", "--socket", "admin.sock"]).await;
    assert!(String::from_utf8_lossy(&told.stdout).contains(": a new disk"), "{told:?}");

    act(&gateway, "undrain", &drained.to_string()).await;
    wait_for("it serves again", DEADLINE, async || server(&gateway).await == name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_backend_may_be_drained_too_and_a_strange_one_is_named() {
    let pair = Pair::new().await;
    let gateway = pair.gateway().start().await;
    for stub in &pair.0 {
        act(&gateway, "drain", &stub.http_addr().to_string()).await;
    }
    let answer = Request::get("acme.test", "/stub/echo").send(gateway.address()).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(pair.0.iter().all(|stub| asked(stub) == 0));
    let listed = gateway.cli(&["regions", "--socket", "admin.sock"]).await;
    assert!(String::from_utf8_lossy(&listed.stdout).contains("NO BACKEND SERVES"), "{listed:?}");
    let back = pair.0[0].http_addr().to_string();
    let arguments = ["regions", "undrain", &back, "--dry-run", "--socket", "admin.sock"];
    let would = String::from_utf8(gateway.cli(&arguments).await.stdout).unwrap();
    assert!(would.contains("a dry run") && would.contains("1 of 2 backends serve"), "{would}");
    assert_eq!(region(&gateway).await["backends"][0]["verdict"], "draining");
    let arguments = ["regions", "drain", "192.0.2.1:1", "--reason", "x", "--socket", "admin.sock"];
    let refused = gateway.cli(&arguments).await;
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("192.0.2.1:1"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_is_watched_no_more_uses_whom_it_has_and_knows_who_was_taken_out_when_it_is_watched_again()
 {
    let pair = Pair::new().await;
    let gateway = pair.gateway().start().await;
    act(&gateway, "drain", &pair.0[0].http_addr().to_string()).await;
    let main = std::fs::read_to_string(gateway.directory().config()).unwrap();
    let [drained, other] = pair.0;
    drop(other);
    let request = Request::get("acme.test", "/stub/echo");
    wait_for("nothing serves", DEADLINE, async || request.send(gateway.address()).await.status == 503).await;
    verdict_of(&gateway, drained.http_addr(), "draining").await;
    let unwatched = main.replace(PROBED, "health: { enabled: false }");
    gateway.directory().write("fleetgate.yaml", unwatched.as_bytes());
    let reloaded = gateway.cli(&["reload", "--socket", "admin.sock"]).await;
    assert!(reloaded.status.success(), "{}", String::from_utf8_lossy(&reloaded.stderr));
    wait_for("it serves", DEADLINE, async || request.send(gateway.address()).await.status == 200).await;
    gateway.directory().write("fleetgate.yaml", main.as_bytes());
    let reloaded = gateway.cli(&["reload", "--socket", "admin.sock"]).await;
    assert!(reloaded.status.success(), "{}", String::from_utf8_lossy(&reloaded.stderr));
    // Who watches it again knows who was taken out.
    verdict_of(&gateway, drained.http_addr(), "draining").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_whose_agent_says_no_is_down_while_odoo_looks_well() {
    let port = free_port();
    let start = async |name: &str, at: u8, http: u16| {
        let mut options = StubOptions::new(name, fleet::DATABASES);
        options.http = SocketAddr::from(([127, 0, 0, at], http));
        StubOdoo::start(options).await.unwrap()
    };
    let pair = Pair([start("eu-1", 1, 0).await, start("eu-2", 2, 0).await]);
    let sick = start("agent-1", 1, port).await;
    let _well = start("agent-2", 2, port).await;
    let agent = format!("agent: {{ port: {port}, path: /web/health, interval: 200ms }}");
    let health = PROBED.replace("rise", &format!("{agent}, rise"));
    let config = fleet::config(&[backend(&pair.0[0]), backend(&pair.0[1])], &health);
    let gateway = Gateway::builder(&config).tenants("tenants.yaml", fleet::TENANTS).start().await;
    drop(sick);
    let address = pair.0[0].http_addr();
    verdict_of(&gateway, address, "down").await;
    for _ in 0..20 {
        assert_eq!(server(&gateway).await, "eu-2");
    }
    let _back = start("agent-1", 1, port).await;
    verdict_of(&gateway, address, "up").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_an_agent_and_takes_no_longer_and_says_no_more_than_it_may() {
    let pair = Pair::new().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display();
    // What it starts lives on for a day, if nobody ends it; told apart by the number of its seconds.
    let seconds = 86_400 + std::process::id() % 100_000;
    let script = format!(
        "cd {path}; if [ -e hangs ]; then sleep {seconds} & wait; fi; echo free for all; head -c 10000000 /dev/zero; \
         [ ! -e $FLEETGATE_BACKEND ]"
    );
    let agent = format!("agent: {{ command: [ /bin/sh, -c, \"{script}\" ], interval: 200ms, timeout: 1s }}");
    let health = PROBED.replace("rise", &format!("{agent}, rise"));
    let config = fleet::config(&[backend(&pair.0[0]), backend(&pair.0[1])], &health);
    let gateway = Gateway::builder(&config).tenants("tenants.yaml", fleet::TENANTS).start().await;
    let address = pair.0[0].http_addr();
    wait_for("the agent is heard", DEADLINE, async || {
        region(&gateway).await["backends"].to_string().contains("exit status: 0: free for all")
    })
    .await;
    let sick = folder.path().join(address.to_string());
    std::fs::write(&sick, "").unwrap();
    verdict_of(&gateway, address, "down").await;
    verdict_of(&gateway, pair.0[1].http_addr(), "up").await;
    std::fs::remove_file(&sick).unwrap();
    verdict_of(&gateway, address, "up").await;

    std::fs::write(folder.path().join("hangs"), "").unwrap();
    verdict_of(&gateway, address, "down").await;
    std::fs::remove_file(folder.path().join("hangs")).unwrap();
    verdict_of(&gateway, address, "up").await;
    wait_for("nothing that hung is left", DEADLINE, async || !is_running(&format!("sleep\0{seconds}\0")))
        .await;
}

fn is_running(words: &str) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|process| std::fs::read(process.path().join("cmdline")).ok())
        .any(|line| line == words.as_bytes())
}
