//! Backends that are named: a real BIND says where they are, and changes its mind.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::fleet;
use fleetgate_stub::{StubOdoo, StubOptions};
use fleetgate_tests::{Bind, Builder, DEADLINE, Gateway, Request, free_port, wait_for, ws_connect};
use rustix::process::Signal;
use serde_json::Value;

/// Three servers on the same two ports of three addresses, and the DNS server that leads there.
struct Site {
    bind: Bind,
    servers: [StubOdoo; 3],
    ports: [u16; 2],
}

impl Site {
    async fn new() -> Self {
        let bind = Bind::start([127, 0, 0, 1].into()).await;
        let ports = [free_port(), free_port()];
        let server = async |at: u8| {
            let mut options = StubOptions::new(format!("eu-{at}"), fleet::DATABASES);
            options.http = SocketAddr::from(([127, 0, 0, at], ports[0]));
            options.gevent = SocketAddr::from(([127, 0, 0, at], ports[1]));
            StubOdoo::start(options).await.unwrap()
        };
        Self { bind, servers: [server(1).await, server(2).await, server(3).await], ports }
    }

    fn gateway(&self, more: &str) -> Builder {
        let [http, websocket] = self.ports;
        let place = format!("{{ http: \"odoo.fleet:{http}\", websocket: \"odoo.fleet:{websocket}\" }}");
        let pool = "health: { interval: 200ms }\nbackends_per_tenant: 64";
        let config =
            fleet::config(&[place], pool) + &format!("resolvers: [ \"{}\" ]\n{more}", self.bind.address());
        Gateway::builder(&config).tenants("tenants.yaml", fleet::TENANTS)
    }

    /// Requests of clients that each server got; probes are none.
    fn asked(&self) -> [usize; 3] {
        let asked = |stub: &StubOdoo| {
            stub.received().iter().filter(|request| !request.target.ends_with("/health")).count()
        };
        [asked(&self.servers[0]), asked(&self.servers[1]), asked(&self.servers[2])]
    }
}

async fn region(gateway: &Gateway) -> Value {
    gateway.admin("/v1/regions").await["pools"][0]["regions"][0].clone()
}

/// Waits until the name leads to these addresses, and the backends are there.
async fn leads_to(gateway: &Gateway, addresses: &[&str]) {
    wait_for(&format!("the name leads to {addresses:?}"), DEADLINE, async || {
        let region = region(gateway).await;
        let backends = region["backends"].as_array().unwrap().iter();
        let hosts = backends.filter_map(|backend| backend["backend"].as_str()?.split(':').next());
        region["names"][0]["addresses"] == serde_json::json!(addresses) && hosts.eq(addresses.iter().copied())
    })
    .await;
}

async fn has_problem(gateway: &Gateway, part: &str) {
    wait_for(&format!("the problem of the name is {part}"), DEADLINE, async || {
        region(gateway).await["names"][0]["problem"].as_str().is_some_and(|problem| problem.contains(part))
    })
    .await;
}

async fn server(gateway: &Gateway) -> Option<String> {
    let answer = Request::get("acme.test", "/stub/echo").send(gateway.address()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.server().map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn backends_move_with_their_name_under_load_and_no_request_fails() {
    let site = Site::new().await;
    site.bind.lead(&[("odoo", "127.0.0.1")]);
    let gateway = site.gateway("").start().await;
    leads_to(&gateway, &["127.0.0.1"]).await;
    let mut websocket = ws_connect(gateway.address(), "acme.test", "/websocket", &[]).await;
    assert_eq!(websocket.json().await["type"], "hello");

    let (ended, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (address, ended, asked) = (gateway.address(), Arc::clone(&ended), Arc::clone(&asked));
            tokio::spawn(async move {
                while !ended.load(Ordering::Relaxed) {
                    let answer = Request::post("acme.test", "/stub/echo", "x").send(address).await;
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for addresses in
        [&["127.0.0.1", "127.0.0.2", "127.0.0.3"][..], &["127.0.0.3"], &["127.0.0.1", "127.0.0.2"]]
    {
        let names: Vec<_> = addresses.iter().map(|address| ("odoo", *address)).collect();
        site.bind.lead(&names);
        leads_to(&gateway, addresses).await;
        let backends = region(&gateway).await["backends"].as_array().unwrap().len();
        assert_eq!(backends, addresses.len());
        let before = asked.load(Ordering::Relaxed);
        wait_for("the load goes on", DEADLINE, async || asked.load(Ordering::Relaxed) > before + 20).await;
    }
    ended.store(true, Ordering::Relaxed);
    for task in load {
        task.await.unwrap();
    }
    assert!(site.asked().iter().all(|count| *count > 0), "{:?}", site.asked());
    websocket.send("still here").await.unwrap();
    assert_eq!(websocket.json().await["type"], "echo", "a websocket stays where it began");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_gone_or_points_inward_keeps_what_it_was() {
    let site = Site::new().await;
    site.bind.lead(&[("odoo", "127.0.0.2")]);
    let gateway = site.gateway("observe: { address: \"127.0.0.2:0\" }\n").start().await;
    leads_to(&gateway, &["127.0.0.2"]).await;

    site.bind.lead(&[]);
    has_problem(&gateway, "no address").await;
    assert_eq!(server(&gateway).await.as_deref(), Some("eu-2"));

    site.bind.lead(&[("odoo", "169.254.169.254"), ("odoo", "224.0.0.1"), ("odoo", "0.0.0.0")]);
    has_problem(&gateway, "169.254.169.254").await;
    assert_eq!(server(&gateway).await.as_deref(), Some("eu-2"));
    gateway.operational_log().wait_for_text("a name of backends cannot be followed", DEADLINE).await;

    // What else it leads to is used.
    site.bind.lead(&[("odoo", "169.254.169.254"), ("odoo", "127.0.0.3")]);
    leads_to(&gateway, &["127.0.0.3"]).await;
    assert_eq!(server(&gateway).await.as_deref(), Some("eu-3"));
    site.bind.lead(&[("odoo", "127.0.0.1")]);
    leads_to(&gateway, &["127.0.0.1"]).await;
    gateway.operational_log().wait_for_text("a name of backends is followed again", DEADLINE).await;

    let Site { bind, servers, .. } = site;
    drop(bind);
    wait_for("nobody answers about the name", DEADLINE, async || {
        !region(&gateway).await["names"][0]["problem"].is_null()
    })
    .await;
    assert_eq!(server(&gateway).await.as_deref(), Some("eu-1"));
    let metrics = fleetgate_tests::http_get(gateway.listener("127.0.0.2:0"), "observe", "/metrics").await;
    assert!(metrics.text().contains("fleetgate_backend_name_problems 1"), "{}", metrics.text());
    drop(servers);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_starts_while_dns_is_away_serves_with_what_the_one_before_it_knew_until_dns_answers() {
    let site = Site::new().await;
    site.bind.lead(&[("odoo", "127.0.0.2")]);
    let builder = site.gateway("");
    let mut gateway = builder.clone().start().await;
    leads_to(&gateway, &["127.0.0.2"]).await;
    let kept = gateway.directory().path("state/names/addresses.json");
    wait_for("the answer is kept", DEADLINE, async || kept.exists()).await;
    gateway.signal(Signal::KILL);
    gateway.wait_exit(DEADLINE).await;
    let Site { bind, servers, .. } = site;
    drop(bind);

    let gateway = builder.start().await;
    assert_eq!(server(&gateway).await.as_deref(), Some("eu-2"));
    let name = region(&gateway).await["names"][0].clone();
    assert!(name["remembered"].is_string() && name["addresses"][0] == "127.0.0.2", "{name}");
    let bind = Bind::start([127, 0, 0, 1].into()).await;
    bind.lead(&[("odoo", "127.0.0.3")]);
    leads_to(&gateway, &["127.0.0.3"]).await;
    assert_eq!(region(&gateway).await["names"][0]["remembered"], Value::Null);
    assert_eq!(server(&gateway).await.as_deref(), Some("eu-3"));
    drop(servers);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_starts_without_dns_serves_as_soon_as_the_name_leads_somewhere() {
    let site = Site::new().await;
    let gateway = site.gateway("").start().await;
    let answer = Request::get("acme.test", "/stub/echo").send(gateway.address()).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    site.bind.lead(&[("odoo", "127.0.0.3")]);
    leads_to(&gateway, &["127.0.0.3"]).await;
    assert_eq!(server(&gateway).await.as_deref(), Some("eu-3"));
}
