//! Websockets: the handshake, what passes, and how they end.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fleetgate_stub::fault::{DeadPort, Fault, FaultyBackend};
use fleetgate_stub::{Port, StubOdoo, StubOptions};
use fleetgate_tests::{
    Answer, Connection, DEADLINE, Gateway, RawConnection, Request, Websocket, backend, wait_for, ws_connect,
};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::fleet::{self, TENANTS};
use crate::script::{self, Script, handshake};

const BUS: &str = "/websocket?version=19.0-2";
const MEBIBYTE: usize = 1024 * 1024;

/// A websocket of a tenant, greeted by Odoo.
async fn open(gateway: &Gateway, host: &str) -> Websocket {
    let mut socket = ws_connect(gateway.address(), host, BUS, &[]).await;
    let hello = socket.json().await;
    assert_eq!((&hello["type"], &hello["port"]), (&"hello".into(), &"gevent".into()));
    socket
}

/// The answer that refused a websocket.
async fn refused(gateway: &Gateway, host: &str, headers: &[(&str, &str)]) -> Answer {
    Websocket::try_open(gateway.address(), host, BUS, headers).await.unwrap().unwrap_err()
}

/// A gateway whose only gevent port is somebody else's.
async fn with_gevent_port(address: std::net::SocketAddr, pool: &str) -> (StubOdoo, Gateway) {
    let stub = fleet::prefork("eu-1").await;
    let pair = format!("{{ http: \"{}\", websocket: \"{address}\" }}", stub.http_addr());
    let gateway =
        Gateway::builder(&fleet::config(&[pair], pool)).tenants("tenants.yaml", TENANTS).start().await;
    (stub, gateway)
}

/// Open websockets of a tenant, and of all backends, as the gateway counts them.
async fn counted(gateway: &Gateway, tenant: &str) -> (u64, u64) {
    let list = gateway.admin(&format!("/v1/tenants?filter={tenant}")).await;
    let status = gateway.admin("/v1/status").await;
    let backends = status["pools"][0]["backends"].as_array().unwrap().iter();
    let in_flight = backends.map(|backend| backend["websocket_in_flight"].as_u64().unwrap()).sum();
    (list["tenants"][0]["websockets"].as_u64().unwrap(), in_flight)
}

#[tokio::test]
async fn messages_pass_both_ways() {
    let (_stub, gateway) = fleet::start().await;
    let mut socket = open(&gateway, "acme.test").await;
    socket.send("hello").await.unwrap();
    let echo = socket.json().await;
    assert_eq!((&echo["database"], &echo["text"]), (&"acme".into(), &"hello".into()));

    socket.send_message(Message::binary(vec![0, 255])).await.unwrap();
    assert_eq!(socket.next().await.unwrap(), Some(Message::binary(b"acme:\x00\xff".to_vec())));

    socket.send_message(Message::Ping("up".into())).await.unwrap();
    assert_eq!(socket.next().await.unwrap(), Some(Message::Pong("up".into())));
    socket.send(r#"{"stub": "ping"}"#).await.unwrap();
    assert_eq!(socket.next().await.unwrap(), Some(Message::Ping("odoo".into())));

    socket.send_message(Message::binary(vec![7; MEBIBYTE])).await.unwrap();
    let Some(Message::Binary(large)) = socket.next().await.unwrap() else { panic!("no binary message") };
    assert_eq!((large.len(), large.last()), (MEBIBYTE + "acme:".len(), Some(&7)));
    socket.send(&format!("{{\"stub\": \"send\", \"bytes\": {MEBIBYTE}}}")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap().len(), MEBIBYTE);
}

#[tokio::test]
async fn a_fragmented_message_arrives_whole() {
    let (_stub, gateway) = fleet::start().await;
    let mut socket = open(&gateway, "acme.test").await;
    let parts =
        [("in ", Data::Text, false), ("three ", Data::Continue, false), ("parts", Data::Continue, true)];
    for (text, kind, last) in parts {
        let frame = Frame::message(text, OpCode::Data(kind), last);
        socket.send_message(Message::Frame(frame)).await.unwrap();
        if !last {
            // A control frame may stand between fragments (RFC 6455, section 5.4).
            socket.send_message(Message::Ping("between".into())).await.unwrap();
            assert_eq!(socket.next().await.unwrap(), Some(Message::Pong("between".into())));
        }
    }
    assert_eq!(socket.json().await["text"], "in three parts");
}

#[tokio::test]
async fn a_frame_sent_along_with_the_handshakes_answer_arrives() {
    let greeting = [script::SWITCHED.as_bytes(), b"\x81\x05early"].concat();
    let odoo = Script::start(move |mut stream, _| {
        let greeting = greeting.clone();
        async move {
            stream.write_all(&greeting).await?;
            script::hold(stream).await
        }
    })
    .await;
    let (_stub, gateway) = with_gevent_port(odoo.address(), "").await;
    let mut client = RawConnection::open(gateway.address()).await.unwrap();
    client.send(handshake("acme.test", BUS, "")).await.unwrap();
    client.read_until(b"\r\n\r\n\x81\x05early").await.unwrap();
}

#[tokio::test]
async fn a_handshake_reaches_the_gevent_port_with_what_odoo_believes() {
    let (stub, gateway) = fleet::start().await;
    let forged = [
        ("X-Odoo-dbfilter", "^globex$"),
        ("X-Odoo-Database", "globex"),
        ("X-Forwarded-For", "192.0.2.66"),
        ("X-Forwarded-Host", "globex.test"),
        ("X-Forwarded-Proto", "https"),
        ("Forwarded", "host=globex.test"),
        ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"),
        ("Cookie", "session_id=nobody; tz=UTC"),
    ];
    let mut socket = ws_connect(gateway.address(), "ACME.test:8080", BUS, &forged).await;
    assert_eq!(socket.json().await["database"], "acme");
    assert_eq!(socket.handshake.values("sec-websocket-extensions"), [""; 0]);

    let received = stub.received();
    assert_eq!(received.len(), 1);
    let handshake = &received[0];
    assert_eq!((handshake.port, handshake.target.as_str(), handshake.minor), (Port::Gevent, BUS, 1));
    for (name, values) in [
        ("x-odoo-dbfilter", vec!["^acme$"]),
        ("x-odoo-database", vec![]),
        ("host", vec!["acme.test:8080"]),
        ("x-forwarded-host", vec!["acme.test:8080"]),
        ("x-forwarded-proto", vec!["http"]),
        ("x-forwarded-for", vec!["127.0.0.1"]),
        ("x-real-ip", vec!["127.0.0.1"]),
        ("forwarded", vec![]),
        ("sec-websocket-extensions", vec![]),
        ("sec-websocket-version", vec!["13"]),
        ("connection", vec!["Upgrade"]),
        ("upgrade", vec!["websocket"]),
        ("origin", vec!["http://ACME.test:8080"]),
        ("cookie", vec!["session_id=nobody; tz=UTC"]),
        ("x-request-id", vec![socket.handshake.header("x-request-id").unwrap()]),
    ] {
        assert_eq!(handshake.values(name), values, "{name}");
    }
}

#[tokio::test]
async fn every_spelling_of_the_bus_is_a_websocket_of_the_gevent_port() {
    let (stub, gateway) = fleet::start().await;
    for path in ["/websocket", "/fr/websocket", "/%77ebsocket", "/fr_BE/websocket?version=1"] {
        let mut socket = ws_connect(gateway.address(), "globex.test", path, &[]).await;
        assert_eq!(socket.json().await["database"], "globex", "{path}");
    }
    assert!(stub.received().iter().all(|request| request.port == Port::Gevent));
}

#[tokio::test]
async fn the_session_cookie_of_a_handshake_is_hardened() {
    let (_stub, gateway) = fleet::start().await;
    let socket = ws_connect(gateway.address(), "acme.test", BUS, &[]).await;
    let cookies = socket.handshake.values("set-cookie");
    assert_eq!(cookies.len(), 1);
    assert!(cookies[0].starts_with("session_id="), "{cookies:?}");
    assert!(cookies[0].ends_with("; HttpOnly; Path=/; Secure; SameSite=Lax"), "{cookies:?}");
}

#[tokio::test]
async fn odoos_refusal_is_passed_on_with_its_body() {
    let stub = fleet::prefork("eu-1").await;
    let tenants = "- { id: gone, hosts: [gone.test] }\n- { id: acme, hosts: [acme.test] }\n";
    let gateway = fleet::before(&stub, "", tenants).start().await;
    // Odoo has no such database.
    let answer = refused(&gateway, "gone.test", &[]).await;
    assert_eq!(answer.status, 404);
    assert!(answer.text().contains("No database is selected"), "{}", answer.text());
    let answer = refused(&gateway, "acme.test", &[("Sec-WebSocket-Version", "12")]).await;
    assert_eq!((answer.status, answer.header("sec-websocket-version")), (426, Some("13")));

    // A refusal leaves an ordinary connection behind.
    let without_origin = handshake("acme.test", BUS, "").replace("Origin: http://acme.test\r\n", "");
    let mut client = RawConnection::open(gateway.address()).await.unwrap();
    client.send(without_origin).await.unwrap();
    client.read_until("Empty or missing header(s): origin").await.unwrap();
    let text = String::from_utf8_lossy(client.read_until("</p>").await.unwrap()).into_owned();
    assert!(text.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{text}");
    assert_eq!(counted(&gateway, "acme").await, (0, 0));
}

#[tokio::test]
async fn a_refusal_that_never_ends_is_passed_on_as_far_as_it_came() {
    let odoo = Script::start(|mut stream, _| async move {
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 100\r\n\r\nhalf of").await?;
        script::hold(stream).await
    })
    .await;
    let (_stub, gateway) = with_gevent_port(odoo.address(), "").await;
    let answer = refused(&gateway, "acme.test", &[]).await;
    assert_eq!((answer.status, answer.text().as_str()), (400, "half of"));
}

#[tokio::test]
async fn a_refusal_in_chunks_keeps_its_status_and_shows_no_chunk_sizes() {
    let odoo = Script::start(|mut stream, _| async move {
        let head = "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\nContent-Type: text/plain\r\n\r\n";
        stream.write_all(format!("{head}6\r\nnot to\r\n4;x=y\r\nday.\r\n0\r\n\r\n").as_bytes()).await?;
        script::hold(stream).await
    })
    .await;
    let (_stub, gateway) = with_gevent_port(odoo.address(), "").await;
    let answer = refused(&gateway, "acme.test", &[]).await;
    assert_eq!((answer.status, answer.text().as_str()), (403, ""));
}

#[tokio::test]
async fn a_dead_gevent_port_is_passed_over_for_the_next() {
    let databases: Vec<String> = (0..16).map(|number| format!("t{number}")).collect();
    let alive = StubOdoo::start(StubOptions::new("alive", databases)).await.unwrap();
    let other = fleet::prefork("half-dead").await;
    let dead = DeadPort::reserve().unwrap();
    let half_dead = format!("{{ http: \"{}\", websocket: \"{}\" }}", other.http_addr(), dead.address());
    let gateway = Gateway::builder(&fleet::config(&[half_dead, backend(&alive)], ""))
        .tenants("shops.yaml", "- { id: \"{1}\", hosts: [\"*.shops.test\"], database: \"{1}\" }\n")
        .start()
        .await;
    // Tenants spread over both backends; one whose first choice is the dead one shows what happens.
    let mut unlucky = None;
    for number in 0..16 {
        let host = format!("t{number}.shops.test");
        let told = gateway.admin(&format!("/v1/explain?url=http%3A%2F%2F{host}%2Fwebsocket")).await;
        if told["backends"][0] == dead.address().to_string() {
            unlucky = Some(host);
            break;
        }
    }
    let host = unlucky.expect("one of 16 tenants prefers each of two backends");
    let socket = open(&gateway, &host).await;
    drop(socket);
    let event = gateway.access_log().event("the websocket", DEADLINE, |event| event["host"] == host).await;
    assert_eq!((&event["attempts"], &event["status"]), (&2.into(), &101.into()));
    let status = gateway.admin("/v1/status").await;
    assert_eq!(status["pools"][0]["backends"][0]["connect_failures"], 1);
}

#[tokio::test]
async fn nobody_on_the_bus_is_a_503_for_people_and_programs() {
    let dead = DeadPort::reserve().unwrap();
    let (_stub, gateway) = with_gevent_port(dead.address(), "").await;
    let answer = refused(&gateway, "acme.test", &[("Accept", "text/html,*/*")]).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
    assert!(answer.text().contains("<!doctype html>"), "{}", answer.text());
    let answer = refused(&gateway, "acme.test", &[]).await;
    assert_eq!((answer.status, answer.header("content-type")), (503, Some("text/plain; charset=utf-8")));
    assert!(answer.text().contains("backend_unreachable"), "{}", answer.text());
    // Pages come from the other port.
    let page = Request::get("acme.test", "/web/login").send(gateway.address()).await;
    assert_eq!(page.status, 200);
}

#[tokio::test]
async fn a_silent_gevent_port_is_a_504_and_nobody_else_is_asked() {
    let silent = FaultyBackend::start(Fault::BlackHole).await.unwrap();
    let other = FaultyBackend::start(Fault::BlackHole).await.unwrap();
    let stub = fleet::prefork("eu-1").await;
    let pair = |http, websocket| format!("{{ http: \"{http}\", websocket: \"{websocket}\" }}");
    let backends = [pair(stub.http_addr(), silent.address()), pair(other.address(), other.address())];
    let config = fleet::config(&backends, "websocket: { handshake_timeout: 1s }");
    let gateway = Gateway::builder(&config).tenants("tenants.yaml", TENANTS).start().await;
    let answer = refused(&gateway, "acme.test", &[]).await;
    assert_eq!(answer.status, 504);
    assert!(answer.text().contains("backend_timeout"), "{}", answer.text());
    assert_eq!(silent.counts().requests + other.counts().requests, 1);
    assert_eq!(counted(&gateway, "acme").await, (0, 0));
}

#[tokio::test]
async fn an_answer_that_is_no_handshake_is_a_502() {
    for answer in [
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: raw\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "no HTTP at all\r\n\r\n",
    ] {
        let part = move |mut stream: TcpStream, _| async move { stream.write_all(answer.as_bytes()).await };
        let odoo = Script::start(part).await;
        let (_stub, gateway) = with_gevent_port(odoo.address(), "").await;
        let refusal = refused(&gateway, "acme.test", &[]).await;
        assert_eq!(refusal.status, 502, "{answer}");
    }
}

#[tokio::test]
async fn close_codes_reach_the_other_side() {
    let (stub, gateway) = fleet::start().await;
    let mut by_odoo = open(&gateway, "acme.test").await;
    by_odoo.send(r#"{"stub": "close", "code": 4001, "reason": "SESSION_EXPIRED"}"#).await.unwrap();
    assert_eq!(by_odoo.closed().await, Some((4001, "SESSION_EXPIRED".to_owned())));

    let mut by_client = open(&gateway, "acme.test").await;
    by_client.close(4000, "bye").await.unwrap();
    assert!(by_client.closed().await.is_some());
    wait_for("Odoo gets the client's code", DEADLINE, async || {
        stub.websocket_ends().iter().any(|end| (end.received, end.reason.as_str()) == (Some(4000), "bye"))
    })
    .await;
}

#[tokio::test]
async fn a_websocket_that_is_cut_is_cut_on_the_other_side() {
    let (stub, gateway) = fleet::start().await;
    let mut cut_by_odoo = open(&gateway, "acme.test").await;
    cut_by_odoo.send(r#"{"stub": "cut"}"#).await.unwrap();
    assert_eq!(cut_by_odoo.closed().await, None);

    let cut_by_client = open(&gateway, "globex.test").await;
    drop(cut_by_client);
    wait_for("Odoo is told that the client is gone", DEADLINE, async || {
        stub.websocket_ends().iter().any(|end| (end.database.as_str(), end.received) == ("globex", None))
    })
    .await;
    for end in ["backend", "client"] {
        gateway.access_log().event(end, DEADLINE, |event| event["websocket_end"] == end).await;
    }
}

#[tokio::test]
async fn open_websockets_are_counted_by_tenant_and_backend() {
    let (stub, gateway) = fleet::start().await;
    let mut acme = [open(&gateway, "acme.test").await, open(&gateway, "shop.acme.test").await];
    let globex = open(&gateway, "globex.test").await;
    assert_eq!(counted(&gateway, "acme").await, (2, 3));
    assert_eq!(counted(&gateway, "globex").await, (1, 3));
    assert_eq!(stub.counts().websockets_open, 3);
    acme[0].close(1000, "").await.unwrap();
    acme[0].closed().await;
    drop(globex);
    wait_for("the counts go down", DEADLINE, async || counted(&gateway, "acme").await == (1, 1)).await;
    assert_eq!(counted(&gateway, "globex").await.0, 0);
    let list = gateway.admin("/v1/tenants?filter=acme").await;
    assert_eq!(list["tenants"][0]["requests"], 2);
}

#[tokio::test]
async fn bytes_sent_before_the_handshake_was_answered_reach_nobody() {
    let (stub, gateway) = fleet::start().await;
    let second = "GET /stub/echo?smuggled HTTP/1.1\r\nHost: globex.test\r\n\r\n";
    let mut client = RawConnection::open(gateway.address()).await.unwrap();
    client.send(format!("{}{second}", handshake("acme.test", BUS, ""))).await.unwrap();
    let answer = String::from_utf8_lossy(client.read_to_end().await.unwrap()).into_owned();
    assert!(!answer.contains("HTTP/1.1 101"), "{answer}");
    let event =
        gateway.access_log().event("the handshake", DEADLINE, |event| event["path"] == "/websocket").await;
    assert_eq!(event["tenant"], "acme");
    wait_for("no websocket is left open", DEADLINE, async || counted(&gateway, "acme").await == (0, 0)).await;
    assert!(
        stub.received().iter().all(|request| !request.target.contains("smuggled")),
        "{:?}",
        stub.received()
    );
    assert_eq!(stub.counts().malformed, 0);
    fleet::still_serves(&gateway).await;
}

#[tokio::test]
async fn what_is_no_websocket_is_served_as_a_request() {
    let (stub, gateway) = fleet::start().await;
    let health = Request::get("acme.test", "/websocket/health").send(gateway.address()).await;
    assert_eq!((health.status, health.header("x-stub-port")), (200, Some("gevent")));
    // HTTP/2 has no upgrade: Odoo says what it misses.
    let plain = Request::get("acme.test", BUS).http2().send(gateway.address()).await;
    assert_eq!((plain.status, plain.header("x-stub-port")), (400, Some("gevent")));
    let upgrade = handshake("acme.test", "/web/login", "").replace("keep-alive, Upgrade", "close, Upgrade");
    let page = fleetgate_tests::raw_exchange(gateway.address(), upgrade).await.unwrap();
    assert!(page.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", String::from_utf8_lossy(&page));
    let post = handshake("acme.test", BUS, "Content-Length: 0\r\n").replace("GET ", "POST ");
    let mut client = RawConnection::open(gateway.address()).await.unwrap();
    client.send(post).await.unwrap();
    let text = String::from_utf8_lossy(client.read_to_end().await.unwrap()).into_owned();
    assert!(text.starts_with("HTTP/1.1 400 ") && text.contains("[bad_request "), "{text}");
    assert_eq!(stub.counts().websockets, 0);
}

#[tokio::test]
async fn an_idle_websocket_is_cut_and_a_busy_one_is_not() {
    let stub = fleet::prefork("eu-1").await;
    let gateway = fleet::before(&stub, "websocket: { idle_timeout: 10s }", TENANTS).start().await;
    let mut idle = open(&gateway, "acme.test").await;
    let mut busy = open(&gateway, "globex.test").await;
    let event = |event: &serde_json::Value| event["websocket_end"] == "idle";
    wait_for("the idle websocket is cut", DEADLINE, async || {
        busy.send_message(Message::Ping("".into())).await.unwrap();
        assert_eq!(busy.next().await.unwrap(), Some(Message::Pong("".into())));
        gateway.access_log().events().iter().any(event)
    })
    .await;
    let event = gateway.access_log().event("the end of the idle websocket", DEADLINE, event).await;
    assert_eq!((&event["tenant"], &event["status"]), (&"acme".into(), &101.into()));
    assert!(event["duration_ms"].as_f64().unwrap() >= 10_000.0, "{event}");
    assert_eq!(idle.closed().await, None);
    busy.send("still there").await.unwrap();
    assert_eq!(busy.json().await["text"], "still there");
}

#[tokio::test]
async fn a_client_that_does_not_read_costs_no_memory_and_delays_nobody() {
    let written = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&written);
    let odoo = Script::start(move |mut stream, head| {
        let counted = Arc::clone(&counted);
        async move {
            stream.write_all(script::SWITCHED.as_bytes()).await?;
            if head.contains("^globex$") {
                let (mut from, mut to) = stream.split();
                return tokio::io::copy(&mut from, &mut to).await.map(drop);
            }
            // A frame of 64 KiB, again and again.
            let frame = [&[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0][..], &vec![b'x'; 65_536]].concat();
            loop {
                stream.write_all(&frame).await?;
                counted.fetch_add(frame.len(), Ordering::Relaxed);
            }
        }
    })
    .await;
    let (_stub, gateway) = with_gevent_port(odoo.address(), "").await;
    let mut other = RawConnection::open(gateway.address()).await.unwrap();
    other.send(handshake("globex.test", BUS, "")).await.unwrap();
    other.read_until("\r\n\r\n").await.unwrap();
    let before = gateway.resident_kib();
    let mut slow = RawConnection::open(gateway.address()).await.unwrap();
    slow.send(handshake("acme.test", BUS, "")).await.unwrap();
    slow.read_until("\r\n\r\n").await.unwrap();
    let mut seen = usize::MAX;
    wait_for("Odoo is made to wait", DEADLINE, async || {
        for round in 0..100 {
            other.forget();
            other.send(format!("{round:08}")).await.unwrap();
            other.read_until(format!("{round:08}")).await.unwrap();
        }
        std::mem::replace(&mut seen, written.load(Ordering::Relaxed)) == seen
    })
    .await;
    // What the kernel buffers on both sides of the gateway is not its memory.
    assert!(seen < 64 << 20, "{seen} bytes were taken from Odoo for a client that reads nothing");
    let grown = gateway.resident_kib().saturating_sub(before);
    assert!(grown < 8 << 10, "the gateway grew by {grown} KiB");
}

#[tokio::test]
async fn hundreds_of_websockets_get_what_is_meant_for_their_database() {
    const EACH: u64 = 150;
    let (stub, gateway) = fleet::start().await;
    let mut sockets = Vec::new();
    for _ in 0..EACH {
        sockets.push(("acme", open(&gateway, "acme.test").await));
        sockets.push(("globex", open(&gateway, "globex.test").await));
    }
    assert_eq!(counted(&gateway, "acme").await, (EACH, 2 * EACH));
    for database in ["acme", "globex", "initech"] {
        stub.notify(database, &format!("for {database}"));
    }
    let mut sessions = HashSet::new();
    for (database, socket) in &mut sockets {
        let told = socket.json().await;
        assert_eq!(told["text"], format!("for {database}"));
        sessions.insert(socket.handshake.cookie("session_id").unwrap());
    }
    assert_eq!(sessions.len(), sockets.len());
    drop(sockets);
    wait_for("all are counted down", DEADLINE, async || {
        counted(&gateway, "acme").await == (0, 0) && counted(&gateway, "globex").await == (0, 0)
    })
    .await;
    fleet::still_serves(&gateway).await;
}

#[tokio::test]
async fn a_connection_carries_requests_before_it_becomes_a_websocket() {
    let (_stub, gateway) = fleet::start().await;
    let mut client = RawConnection::open(gateway.address()).await.unwrap();
    client.send("GET /web/health HTTP/1.1\r\nHost: globex.test\r\n\r\n").await.unwrap();
    client.read_until("{\"status\":\"pass\"}").await.unwrap();
    client.forget();
    client.send(handshake("acme.test", BUS, "")).await.unwrap();
    let text = String::from_utf8_lossy(client.read_until("\"hello\"").await.unwrap()).into_owned();
    assert!(text.starts_with("HTTP/1.1 101 Switching Protocols\r\n") && text.contains("\"acme\""), "{text}");
    assert_eq!(counted(&gateway, "acme").await, (1, 1));
    // Another connection is not concerned.
    let mut other = Connection::http1(gateway.address()).await.unwrap();
    assert_eq!(other.ask(&Request::get("acme.test", "/web/login")).await.unwrap().status, 200);
}
