//! A tenant is suspended while it is served: what of it goes on, and what ends.

use std::sync::Arc;

use fleetgate_stub::{StubOdoo, StubOptions};
use fleetgate_tests::{
    Builder, DEADLINE, Gateway, RawConnection, Request, Websocket, backend, http_get, wait_for, ws_connect,
};
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;

use crate::fleet::{self, DATABASES};
use crate::script::{self, Script, handshake};

/// Address of the listener for metrics.
pub(crate) const OBSERVE: &str = "127.0.0.2:0";
const TRY_AGAIN_LATER: Option<(u16, String)> = Some((1013, String::new()));
const GLOBEX: &str = "- { id: globex, hosts: [globex.test] }\n";

/// The tenant acme in a state, and globex.
fn tenants(state: &str) -> String {
    format!("- {{ id: acme, hosts: [acme.test], state: {state} }}\n{GLOBEX}")
}

/// All tenants below a suffix in a state, and one of them by an entry of its own in another.
fn below_a_star(star: &str, initech: &str) -> String {
    format!(
        "- {{ id: \"{{1}}\", hosts: [\"*.star.test\"], state: {star} }}\n\
         - {{ id: initech, hosts: [initech.star.test], state: {initech} }}\n{GLOBEX}"
    )
}

/// A gateway, not started, that closes websockets over a span.
fn gateway(backend: String, spread: &str, tenants: &str) -> Builder {
    let config = fleet::config(&[backend], "")
        + &format!("observe: {{ address: \"{OBSERVE}\" }}\ndrain: {{ websocket_spread: {spread} }}\n");
    Gateway::builder(&config).tenants("tenants.yaml", tenants)
}

async fn start(tenants: &str) -> (StubOdoo, Gateway) {
    let stub = StubOdoo::start(StubOptions::new("eu-1", DATABASES)).await.unwrap();
    let gateway = gateway(backend(&stub), "0s", tenants).start().await;
    (stub, gateway)
}

pub(crate) async fn apply(gateway: &Gateway, tenants: &str) {
    gateway.write_tenants("tenants.yaml", tenants);
    let report = gateway.try_admin(&Request::post("admin", "/v1/reload", "")).await.unwrap().json();
    // The watch may have been faster.
    assert!(report["result"] == "applied" || report["result"] == "unchanged", "{report}");
}

async fn open(gateway: &Gateway, host: &str) -> Websocket {
    let mut socket = ws_connect(gateway.address(), host, "/websocket", &[]).await;
    socket.json().await;
    socket
}

async fn refused(gateway: &Gateway, host: &str) -> u16 {
    let tried = Websocket::try_open(gateway.address(), host, "/websocket", &[]).await.unwrap();
    tried.unwrap_err().status
}

pub(crate) async fn lives(socket: &mut Websocket, database: &str) {
    socket.send("are you there?").await.unwrap();
    assert_eq!(socket.json().await["database"], database);
}

/// Websockets that ended for a reason: in the access log and in the metrics.
pub(crate) async fn ended(gateway: &Gateway, reason: &str) -> (usize, usize) {
    let logged =
        gateway.access_log().events().iter().filter(|event| event["websocket_end"] == reason).count();
    let text = http_get(gateway.listener(OBSERVE), "observe", "/metrics").await.text();
    let series = format!("fleetgate_websockets_closed_total{{pool=\"main\",reason=\"{reason}\"}} ");
    let counted = text.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok());
    (logged, counted.unwrap_or_default())
}

#[tokio::test]
async fn a_suspended_tenant_loses_its_websockets_and_nobody_else_does() {
    let (stub, gateway) = start(&tenants("active")).await;
    let address = gateway.address();
    let mut lost = [open(&gateway, "acme.test").await, open(&gateway, "acme.test").await];
    let mut kept = open(&gateway, "globex.test").await;
    let slow = tokio::spawn(async move { http_get(address, "acme.test", "/stub/slow?ms=1500").await });
    wait_for("the slow request is at Odoo", DEADLINE, async || stub.counts().requests_in_flight == 1).await;

    apply(&gateway, &tenants("suspended")).await;
    for socket in &mut lost {
        assert_eq!(socket.closed().await, TRY_AGAIN_LATER);
    }
    lives(&mut kept, "globex").await;
    assert_eq!(refused(&gateway, "acme.test").await, 503);
    assert_eq!(slow.await.unwrap().status, 200, "a request in flight ends where it began");
    wait_for("the ends are told", DEADLINE, async || ended(&gateway, "suspended").await == (2, 2)).await;
    wait_for("Odoo knows that they went", DEADLINE, async || stub.counts().websockets_open == 1).await;
    assert_eq!(stub.websocket_ends().iter().filter(|end| end.received == Some(1013)).count(), 2);

    for round in 0..2 {
        apply(&gateway, &tenants("active")).await;
        let mut again = open(&gateway, "acme.test").await;
        // A reload about somebody else.
        apply(
            &gateway,
            &(tenants("active") + "- { id: initech, hosts: [initech.test], state: suspended }\n"),
        )
        .await;
        lives(&mut again, "acme").await;
        apply(&gateway, &tenants("suspended")).await;
        assert_eq!(again.closed().await, TRY_AGAIN_LATER, "round {round}");
    }
    lives(&mut kept, "globex").await;
}

#[tokio::test]
async fn a_suspended_star_ends_the_websockets_of_all_that_it_stands_for() {
    let (_stub, gateway) = start(&below_a_star("active", "active")).await;
    let mut acme = open(&gateway, "acme.star.test").await;
    let mut globex = open(&gateway, "globex.star.test").await;
    let mut initech = open(&gateway, "initech.star.test").await;
    apply(&gateway, &below_a_star("suspended", "active")).await;
    assert_eq!(acme.closed().await, TRY_AGAIN_LATER);
    assert_eq!(globex.closed().await, TRY_AGAIN_LATER);
    lives(&mut initech, "initech").await;
}

#[tokio::test]
async fn a_tenant_of_a_star_is_suspended_by_an_entry_of_its_own() {
    let star = "- { id: \"{1}\", hosts: [\"*.star.test\"] }\n";
    let (_stub, gateway) = start(star).await;
    let mut acme = open(&gateway, "acme.star.test").await;
    let mut initech = open(&gateway, "initech.star.test").await;
    apply(&gateway, &format!("{star}- {{ id: initech, hosts: [initech.star.test], state: suspended }}\n"))
        .await;
    assert_eq!(initech.closed().await, TRY_AGAIN_LATER);
    assert_eq!(refused(&gateway, "initech.star.test").await, 503);
    lives(&mut acme, "acme").await;
}

#[tokio::test]
async fn a_handshake_that_odoo_answers_after_the_suspension_ends_in_a_close_frame() {
    let (asked, answer) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (told, waiting) = (Arc::clone(&asked), Arc::clone(&answer));
    let odoo = Script::start(move |mut stream, _| {
        let (told, waiting) = (Arc::clone(&told), Arc::clone(&waiting));
        async move {
            told.add_permits(1);
            let _answer = waiting.acquire().await;
            stream.write_all(script::SWITCHED.as_bytes()).await?;
            script::hold(stream).await
        }
    })
    .await;
    let gateway = gateway(fleet::one_port(odoo.address()), "0s", &tenants("active")).start().await;
    let mut client = RawConnection::open(gateway.address()).await.unwrap();
    client.send(handshake("acme.test", "/websocket", "")).await.unwrap();
    let _asked = asked.acquire().await.unwrap();
    apply(&gateway, &tenants("suspended")).await;
    answer.add_permits(1);
    client.read_until(b"\r\n\r\n\x88\x02\x03\xf5").await.unwrap();
}

#[tokio::test]
async fn websockets_of_a_suspended_tenant_end_one_after_the_other() {
    let stub = fleet::prefork("eu-1").await;
    let gateway = gateway(backend(&stub), "3s", &tenants("active")).start().await;
    let mut sockets = Vec::new();
    for _ in 0..30 {
        sockets.push(open(&gateway, "acme.test").await);
    }
    apply(&gateway, &tenants("suspended")).await;
    wait_for("the first websocket is closed", DEADLINE, async || ended(&gateway, "suspended").await.0 > 0)
        .await;
    assert!(stub.counts().websockets_open > 0, "all were closed at once");
    for socket in &mut sockets {
        assert_eq!(socket.closed().await, TRY_AGAIN_LATER);
    }
}

#[tokio::test]
async fn a_frame_that_never_comes_to_its_end_keeps_no_websocket_open() {
    let odoo = Script::start(|mut stream, _| async move {
        stream.write_all(script::SWITCHED.as_bytes()).await?;
        // A text of five bytes, of which two come.
        stream.write_all(b"\x81\x05he").await?;
        script::hold(stream).await
    })
    .await;
    let gateway = gateway(fleet::one_port(odoo.address()), "0s", &tenants("active")).start().await;
    let mut client = RawConnection::open(gateway.address()).await.unwrap();
    client.send(handshake("acme.test", "/websocket", "")).await.unwrap();
    client.read_until(b"\x81\x05he").await.unwrap();
    apply(&gateway, &tenants("suspended")).await;
    let all = client.read_to_end().await.unwrap();
    assert!(all.ends_with(b"\x81\x05he"), "something was put into a frame of Odoo's");
    wait_for("the end is told", DEADLINE, async || ended(&gateway, "suspended").await == (1, 1)).await;
}
