//! The life of the process: how it starts, how it ends, and what it says meanwhile.

use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::process::Output;
use std::sync::Arc;

use fleetgate_tests::{
    Answer, Connection, DEADLINE, Gateway, RawConnection, Request, Websocket, http_get, wait_for, ws_connect,
};
use rustix::process::{Signal, test_kill_process_group};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::fleet::{self, TENANTS};
use crate::script::Script;
use crate::visitors::Visitors;

/// Address of the listener for probes and metrics.
const OBSERVE: &str = "127.0.0.2:0";

/// An Odoo that answers a request when it is told to.
struct Patient {
    script: Script,
    asked: Arc<Semaphore>,
    may_answer: Arc<Semaphore>,
}

impl Patient {
    async fn start() -> Self {
        let (asked, may_answer) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let (tell, wait) = (Arc::clone(&asked), Arc::clone(&may_answer));
        let script = Script::start(move |mut stream, _| {
            let (tell, wait) = (Arc::clone(&tell), Arc::clone(&wait));
            async move {
                tell.add_permits(1);
                let Ok(_answer) = wait.acquire().await else { return Ok(()) };
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ndone")
                    .await
            }
        })
        .await;
        Self { script, asked, may_answer }
    }

    /// A gateway in front of it, with a drain of its own.
    async fn gateway(&self, drain: &str) -> Gateway {
        let config = fleet::config(&[fleet::one_port(self.script.address())], "");
        let config = format!("{config}observe: {{ address: \"{OBSERVE}\" }}\ndrain: {{ {drain} }}\n");
        Gateway::builder(&config).tenants("tenants.yaml", TENANTS).start().await
    }

    /// Sends a request, and waits until it has arrived.
    async fn request(&self, gateway: &Gateway, request: Request) -> JoinHandle<std::io::Result<Answer>> {
        let address = gateway.address();
        let answer = tokio::spawn(async move { request.try_send(address).await });
        self.asked.acquire().await.unwrap().forget();
        answer
    }

    fn answer_all(&self) {
        self.may_answer.add_permits(Semaphore::MAX_PERMITS / 2);
    }
}

async fn draining(gateway: &Gateway) {
    wait_for("the process drains", DEADLINE, async || {
        gateway.admin("/v1/status").await["phase"] == "draining"
    })
    .await;
}

async fn refuses_connections(gateway: &Gateway) {
    wait_for("new connections are refused", DEADLINE, async || {
        let refused = RawConnection::open(gateway.address()).await.err();
        refused.is_some_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
    })
    .await;
}

/// Waits for the end of the process, which must leave no other behind. A drain that waits for its timeout of an
/// hour fails here.
async fn ends(gateway: &mut Gateway) {
    let status = gateway.wait_exit(DEADLINE).await;
    assert!(status.success(), "{status}: {}", gateway.operational_log().text());
    let group = rustix::process::Pid::from_raw(i32::try_from(gateway.pid()).unwrap()).unwrap();
    wait_for("no process is left", DEADLINE, async || test_kill_process_group(group).is_err()).await;
}

#[tokio::test]
async fn sigterm_serves_what_is_in_flight_and_ends_with_it() {
    for signal in [Signal::TERM, Signal::INT] {
        let odoo = Patient::start().await;
        let mut gateway = odoo.gateway("timeout: 1h").await;
        let over_http1 = odoo.request(&gateway, Request::get("acme.test", "/")).await;
        let over_http2 = odoo.request(&gateway, Request::get("globex.test", "/").http2()).await;
        gateway.signal(signal);
        draining(&gateway).await;
        refuses_connections(&gateway).await;
        assert!(!over_http1.is_finished() && !over_http2.is_finished());
        odoo.answer_all();
        let answer = over_http1.await.unwrap().unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "done"));
        assert_eq!(answer.header("connection"), Some("close"));
        let answer = over_http2.await.unwrap().unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "done"));
        ends(&mut gateway).await;
    }
}

#[tokio::test]
async fn probes_tell_a_process_that_drains_from_one_that_serves() {
    let odoo = Patient::start().await;
    let mut gateway = odoo.gateway("timeout: 1h").await;
    let observe = gateway.listener(OBSERVE);
    let probe = async |path| {
        let answer = http_get(observe, "observe", path).await;
        (answer.status, answer.text())
    };
    assert_eq!(probe("/livez").await, (200, "ok\n".to_owned()));
    assert_eq!(probe("/readyz").await, (200, "ready\n".to_owned()));
    let held = odoo.request(&gateway, Request::get("acme.test", "/")).await;
    gateway.signal(Signal::TERM);
    draining(&gateway).await;
    assert_eq!(probe("/livez").await, (200, "ok\n".to_owned()));
    assert_eq!(probe("/readyz").await, (503, "draining\n".to_owned()));
    assert_eq!(probe("/metrics").await.0, 200);
    odoo.answer_all();
    assert_eq!(held.await.unwrap().unwrap().status, 200);
    ends(&mut gateway).await;
}

#[tokio::test]
async fn a_kept_connection_is_told_to_close_with_its_next_answer() {
    let stub = fleet::prefork("eu-1").await;
    let gateway = fleet::before(&stub, "", TENANTS).start().await;
    let mut kept = Connection::http1(gateway.address()).await.unwrap();
    let request = Request::get("acme.test", "/web/health");
    assert_ne!(kept.ask(&request).await.unwrap().header("connection"), Some("close"));
    gateway.signal(Signal::TERM);
    // Asked again and again, because the signal takes its time.
    loop {
        let answer = kept.ask(&request).await.unwrap();
        assert_eq!(answer.status, 200);
        if answer.header("connection") == Some("close") {
            break;
        }
    }
    wait_for("the connection is closed", DEADLINE, async || kept.is_closed()).await;
}

#[tokio::test]
async fn connections_without_a_request_do_not_hold_the_end_up() {
    let stub = fleet::prefork("eu-1").await;
    let config = fleet::before(&stub, "", TENANTS);
    let main = std::fs::read_to_string(config.directory().config()).unwrap();
    config.directory().write_config(&format!("{main}drain: {{ timeout: 1h }}\n"));
    let mut gateway = config.start().await;
    let address = gateway.address();
    let mut kept = Connection::http1(address).await.unwrap();
    kept.ask(&Request::get("acme.test", "/web/health")).await.unwrap();
    let mut kept_http2 = Connection::http2(address).await.unwrap();
    kept_http2.ask(&Request::get("acme.test", "/web/health")).await.unwrap();
    let silent = RawConnection::open(address).await.unwrap();
    let mut half_a_preface = RawConnection::open(address).await.unwrap();
    half_a_preface.send("PRI * HTTP/2.0").await.unwrap();
    let mut half_a_head = RawConnection::open(address).await.unwrap();
    half_a_head.send("GET / HTTP/1.1\r\nHost: acme").await.unwrap();
    wait_for("all connections are accepted", DEADLINE, async || {
        gateway.admin("/v1/status").await["connections"] == 5
    })
    .await;
    gateway.signal(Signal::TERM);
    ends(&mut gateway).await;
    drop((silent, half_a_preface, half_a_head));
}

#[tokio::test]
async fn a_drain_under_load_refuses_connections_and_breaks_no_request() {
    let stub = fleet::prefork("eu-1").await;
    let mut gateway = fleet::before(&stub, "", TENANTS).start().await;
    let visitors = Visitors::come(gateway.address(), &[("acme.test", "acme"), ("globex.test", "globex")]);
    visitors.served(100).await;
    gateway.signal(Signal::TERM);
    ends(&mut gateway).await;
    let (answered, failures) = visitors.leave().await;
    let broken: Vec<&String> =
        failures.iter().filter(|failure| !failure.contains("connecting: Connection refused")).collect();
    assert!(broken.is_empty(), "{broken:#?}");
    // Nothing is lost of the access log either.
    let events = gateway.access_log().events();
    assert_eq!(
        events.iter().filter(|event| event["status"] == 200).count(),
        usize::try_from(answered).unwrap()
    );
}

#[tokio::test]
async fn a_request_that_hangs_is_cut_after_the_drain_timeout() {
    let odoo = Patient::start().await;
    let mut gateway = odoo.gateway("timeout: 1s").await;
    let held = odoo.request(&gateway, Request::get("acme.test", "/")).await;
    gateway.signal(Signal::TERM);
    ends(&mut gateway).await;
    assert!(held.await.unwrap().is_err());
    let log = gateway.operational_log();
    log.event("that it was cut", DEADLINE, |event| {
        event["cut"] == 1 && event["message"].as_str().is_some_and(|text| text.contains("drain.timeout"))
    })
    .await;
}

#[tokio::test]
async fn a_second_signal_cuts_what_is_in_flight() {
    let odoo = Patient::start().await;
    let mut gateway = odoo.gateway("timeout: 1h").await;
    let held = odoo.request(&gateway, Request::get("acme.test", "/")).await;
    gateway.signal(Signal::TERM);
    draining(&gateway).await;
    gateway.signal(Signal::TERM);
    ends(&mut gateway).await;
    assert!(held.await.unwrap().is_err());
    gateway.operational_log().wait_for_text("told to end twice", DEADLINE).await;
}

/// Websockets of acme, greeted.
async fn websockets(gateway: &Gateway, number: usize) -> Vec<Websocket> {
    let mut sockets = Vec::new();
    for _ in 0..number {
        let mut socket = ws_connect(gateway.address(), "acme.test", "/websocket", &[]).await;
        socket.json().await;
        sockets.push(socket);
    }
    sockets
}

/// A gateway with a spread for websockets and a drain that never ends by its timeout.
async fn spread(websocket_spread: &str) -> (fleetgate_stub::StubOdoo, Gateway) {
    let stub = fleet::prefork("eu-1").await;
    let builder = fleet::before(&stub, "", TENANTS);
    let main = std::fs::read_to_string(builder.directory().config()).unwrap();
    let drain = format!("drain: {{ timeout: 1h, websocket_spread: {websocket_spread} }}\n");
    builder.directory().write_config(&(main + &drain));
    (stub, builder.start().await)
}

#[tokio::test]
async fn websockets_are_told_to_come_back_and_odoo_that_they_went() {
    let (stub, mut gateway) = spread("0s").await;
    let mut sockets = websockets(&gateway, 20).await;
    gateway.signal(Signal::TERM);
    let closed = futures_util::future::join_all(sockets.iter_mut().map(Websocket::closed)).await;
    assert_eq!(closed, vec![Some((1012, String::new())); 20]);
    ends(&mut gateway).await;
    assert_eq!(stub.websocket_ends().iter().filter(|end| end.received == Some(1012)).count(), 20);
    let events = gateway.access_log().events();
    assert_eq!(events.iter().filter(|event| event["websocket_end"] == "drained").count(), 20);
}

#[tokio::test]
async fn websockets_end_one_after_the_other() {
    let (_stub, mut gateway) = spread("3s").await;
    let mut sockets = websockets(&gateway, 30).await;
    gateway.signal(Signal::TERM);
    draining(&gateway).await;
    wait_for("the first websocket is closed", DEADLINE, async || {
        gateway.access_log().events().iter().any(|event| event["websocket_end"] == "drained")
    })
    .await;
    let mut alive = 0;
    for socket in &mut sockets {
        let asked = socket.send("still there?").await;
        alive += usize::from(
            asked.is_ok() && matches!(socket.next().await, Ok(Some(message)) if message.is_text()),
        );
    }
    assert!((1..30).contains(&alive), "{alive} of 30 websockets lived on when the first was closed");
    futures_util::future::join_all(sockets.iter_mut().map(Websocket::closed)).await;
    ends(&mut gateway).await;
    let events = gateway.access_log().events();
    assert_eq!(events.iter().filter(|event| event["websocket_end"] == "drained").count(), 30);
}

#[tokio::test]
async fn a_close_frame_waits_for_the_end_of_a_frame_on_its_way() {
    let (go_on, odoo_goes_on) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (waiting, told) = (Arc::clone(&go_on), Arc::clone(&odoo_goes_on));
    let odoo = Script::start(move |mut stream, _| {
        let (waiting, told) = (Arc::clone(&waiting), Arc::clone(&told));
        async move {
            stream.write_all(crate::script::SWITCHED.as_bytes()).await?;
            stream.write_all(b"\x81\x0afirst").await?;
            told.add_permits(1);
            let _go_on = waiting.acquire().await;
            stream.write_all(b" half").await?;
            crate::script::hold(stream).await
        }
    })
    .await;
    let config = fleet::config(&[fleet::one_port(odoo.address())], "") + "drain: { websocket_spread: 0s }\n";
    let mut gateway = Gateway::builder(&config).tenants("tenants.yaml", TENANTS).start().await;
    let mut client = RawConnection::open(gateway.address()).await.unwrap();
    client.send(crate::script::handshake("acme.test", "/websocket", "")).await.unwrap();
    client.read_until("\x0afirst").await.unwrap();
    gateway.signal(Signal::TERM);
    refuses_connections(&gateway).await;
    go_on.add_permits(1);
    client.read_until(b"\x81\x0afirst half\x88\x02\x03\xf4").await.unwrap();
    // The client's own close frame, masked with zeros, ends it.
    client.send(b"\x88\x82\0\0\0\0\x03\xf4").await.unwrap();
    drop(client);
    ends(&mut gateway).await;
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let stub = fleet::prefork("eu-1").await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _taken = TcpListener::bind(taken).unwrap();
    for key in ["listeners: [ { address: \"ADDRESS\" } ]\n", "observe: { address: \"ADDRESS\" }\n"] {
        let config = fleet::config(&[fleetgate_tests::backend(&stub)], "");
        let config = config + &key.replace("ADDRESS", &taken.to_string());
        let output = Gateway::builder(&config).tenants("tenants.yaml", TENANTS).run_to_exit().await;
        assert_eq!(output.status.code(), Some(2));
        let text = told(&output);
        assert!(text.contains(&format!("cannot listen on {taken}")), "{text}");
        assert!(text.contains("Address already in use"), "{text}");
    }
}

#[tokio::test]
async fn a_bad_config_is_not_started_with() {
    let output = Gateway::builder("pool: {}\n").run_to_exit().await;
    let text = told(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("fleetgate.yaml:1:1") && text.contains("unknown key `pool`"), "{text}");
    assert!(text.contains("`fleetgate check` shows what to change"), "{text}");

    let missing = Gateway::builder("");
    std::fs::remove_file(missing.directory().config()).unwrap();
    let output = missing.run_to_exit().await;
    assert_eq!(output.status.code(), Some(2));
    assert!(told(&output).contains("does not exist"), "{}", told(&output));
}

#[tokio::test]
async fn an_admin_socket_that_cannot_be_made_is_named() {
    let stub = fleet::prefork("eu-1").await;
    // Nobody can make a folder there, not even root, whom the tests may run as.
    let path = "/proc/fleetgate/admin.sock";
    let config = fleet::config(&[fleetgate_tests::backend(&stub)], "");
    let config = format!("{config}admin: {{ socket: {path} }}\n");
    let output = Gateway::builder(&config).tenants("tenants.yaml", TENANTS).run_to_exit().await;
    assert_eq!(output.status.code(), Some(2));
    let text = told(&output);
    assert!(text.contains(&format!("cannot make the admin socket {path}")), "{text}");
}

#[tokio::test]
async fn an_admin_socket_left_behind_is_replaced() {
    let stub = fleet::prefork("eu-1").await;
    let builder = fleet::before(&stub, "", TENANTS);
    drop(std::os::unix::net::UnixListener::bind(builder.directory().admin_socket()).unwrap());
    let gateway = builder.start().await;
    assert_eq!(gateway.admin("/v1/status").await["pid"], gateway.pid());
}

#[tokio::test]
async fn the_service_manager_is_told_when_it_serves() {
    let stub = fleet::prefork("eu-1").await;
    let builder = fleet::before(&stub, "", TENANTS);
    let path = builder.directory().path("notify.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let gateway = builder.variable("NOTIFY_SOCKET", path.to_str().unwrap()).start().await;
    let mut told = [0; 256];
    let length = tokio::task::spawn_blocking(move || (socket.recv(&mut told).unwrap(), told)).await.unwrap();
    let text = String::from_utf8_lossy(&length.1[..length.0]).into_owned();
    assert!(text.lines().any(|line| line == "READY=1"), "{text}");
    assert!(text.lines().any(|line| line == format!("MAINPID={}", gateway.pid())), "{text}");
}

#[tokio::test]
async fn what_it_serves_is_logged_at_the_start() {
    let (_stub, gateway) = fleet::start().await;
    let serving =
        gateway.operational_log().event("serving", DEADLINE, |event| event["message"] == "serving").await;
    assert_eq!((&serving["level"], &serving["tenants"]), (&json!("INFO"), &json!(2)));
    assert_eq!(serving["listening"], gateway.address().to_string());
}
