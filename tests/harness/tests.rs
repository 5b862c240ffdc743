use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use fleetgate_stub::fault::{DeadPort, Fault, FaultyBackend};
use fleetgate_stub::{StubOdoo, StubOptions};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::protocol::Message;

use crate::{
    ConfigDirectory, Connection, DEADLINE, Lines, RawConnection, Request, Websocket, http_get, raw_exchange,
    wait_for, ws_connect,
};

async fn threaded() -> StubOdoo {
    StubOdoo::start(StubOptions::new("eu", ["acme", "globex"]).threaded()).await.unwrap()
}

#[tokio::test]
async fn request_arrives_with_its_headers_and_whole_body() {
    let stub = threaded().await;
    let request = Request::post("acme.test", "/stub/echo?a=b", "hello").header("X-A", "1").header("X-A", "2");
    let answer = request.send(stub.http_addr()).await;
    assert_eq!((answer.status, answer.database(), answer.server()), (200, Some("acme"), Some("eu")));
    let received = &stub.received()[0];
    assert_eq!((received.target.as_str(), received.value("host")), ("/stub/echo?a=b", Some("acme.test")));
    assert_eq!(received.values("x-a"), ["1", "2"]);
    assert_eq!(
        (received.value("content-length"), answer.json()["body_start"].as_str()),
        (Some("5"), Some("hello"))
    );
}

#[tokio::test]
async fn body_in_parts_arrives_in_chunks() {
    let stub = threaded().await;
    let parts = vec![Bytes::from("one,"), Bytes::from("two")];
    let request = Request::new("POST", "acme.test", "/stub/upload");
    let answer = request.body_in_parts(parts, Duration::from_millis(2)).send(stub.http_addr()).await;
    assert_eq!(answer.json()["body_bytes"], 7);
    assert_eq!(stub.received()[0].value("transfer-encoding"), Some("chunked"));
}

#[tokio::test]
async fn kept_connection_carries_several_requests() {
    let stub = threaded().await;
    let mut connection = Connection::http1(stub.http_addr()).await.unwrap();
    for host in ["acme.test", "globex.test"] {
        let answer = connection.ask(&Request::get(host, "/")).await.unwrap();
        assert_eq!(answer.database(), host.strip_suffix(".test"));
    }
    assert_eq!((stub.counts().connections, stub.counts().requests), (1, 2));
    assert!(!connection.is_closed() && connection.another().is_none());
}

#[tokio::test]
async fn login_cookie_is_read_from_the_answer() {
    let stub = threaded().await;
    let login = Request::post("acme.test", "/web/login", "login=a&password=a").send(stub.http_addr()).await;
    let cookie = login.cookie("session_id").unwrap();
    let page = Request::get("acme.test", "/odoo").header("Cookie", &cookie).send(stub.http_addr()).await;
    assert_eq!((login.status, page.status), (303, 200));
    assert_eq!(http_get(stub.http_addr(), "acme.test", "/odoo").await.status, 303);
}

#[tokio::test]
async fn broken_backends_are_errors_and_not_answers() {
    let request = Request::get("acme.test", "/");
    let dead = DeadPort::reserve().unwrap();
    assert!(request.try_send(dead.address()).await.is_err());
    for fault in [Fault::ResetOnAccept, Fault::Garbage, Fault::ContentLengthLies, Fault::BrokenChunks] {
        let backend = FaultyBackend::start(fault).await.unwrap();
        assert!(request.try_send(backend.address()).await.is_err(), "{fault:?}");
    }
}

#[tokio::test]
async fn http2_sends_several_requests_on_one_connection() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let service = service_fn(|request: http::Request<hyper::body::Incoming>| async move {
            let text =
                format!("{:?} {} {:?}", request.version(), request.uri(), request.headers().get("cookie"));
            request.into_body().collect().await.unwrap();
            Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::from(text))))
        });
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        server.serve_connection(TokioIo::new(stream), service).await.unwrap();
    });
    let mut first = Connection::http2(address).await.unwrap();
    let mut second = first.another().unwrap();
    let request = Request::get("acme.test", "/x").header("Cookie", "a=1");
    let (left, right) = tokio::join!(first.ask(&request), second.ask(&request));
    assert_eq!(left.unwrap().text(), "HTTP/2.0 http://acme.test/x Some(\"a=1\")");
    assert_eq!(right.unwrap().status, 200);
}

#[tokio::test]
async fn raw_bytes_go_out_and_come_back_unchanged() {
    let stub = threaded().await;
    let bytes = "GET /stub/echo HTTP/1.1\r\nHoSt: acme\r\nX_Y: 1\r\nConnection: close\r\n\r\n";
    let answer = raw_exchange(stub.http_addr(), bytes).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
    assert_eq!(stub.received()[0].headers[..2], [("HoSt".into(), "acme".into()), ("X_Y".into(), "1".into())]);

    let mut raw = RawConnection::open(stub.http_addr()).await.unwrap();
    raw.send("GET /web/health HTTP/1.1\r\n").await.unwrap();
    raw.send("Host: acme\r\n\r\n").await.unwrap();
    raw.read_until("{\"status\":\"pass\"}").await.unwrap();
    raw.forget();
    raw.finish_sending().await.unwrap();
    assert_eq!(raw.read_to_end().await.unwrap(), b"");
}

#[tokio::test]
async fn websocket_opens_talks_and_closes() {
    let stub = threaded().await;
    let path = "/websocket?version=19.0-2";
    let mut socket = ws_connect(stub.gevent_addr(), "acme.test", path, &[("Cookie", "tz=UTC")]).await;
    assert_eq!(socket.handshake.status, 101);
    assert!(socket.handshake.cookie("session_id").is_some());
    assert_eq!(socket.json().await["version"], "19.0-2");
    socket.send("hello").await.unwrap();
    assert_eq!(socket.json().await, json!({"type": "echo", "database": "acme", "text": "hello"}));
    socket.send_message(Message::binary("b")).await.unwrap();
    assert_eq!(socket.next().await.unwrap(), Some(Message::binary("acme:b")));
    stub.close_websockets(1012, "restart");
    assert_eq!(socket.closed().await, Some((1012, "restart".to_owned())));

    let mut cut = ws_connect(stub.gevent_addr(), "acme.test", path, &[]).await;
    cut.json().await;
    cut.send(r#"{"stub": "cut"}"#).await.unwrap();
    assert_eq!(cut.closed().await, None);

    let mut closing = ws_connect(stub.gevent_addr(), "acme.test", path, &[]).await;
    closing.close(4000, "bye").await.unwrap();
    closing.closed().await;
    wait_for("the server sees the code", DEADLINE, async || {
        stub.websocket_ends().iter().any(|end| (end.received, end.reason.as_str()) == (Some(4000), "bye"))
    })
    .await;
}

#[tokio::test]
async fn refused_websocket_is_an_answer() {
    let stub = threaded().await;
    let refused = Websocket::try_open(stub.gevent_addr(), "shop.test", "/websocket", &[]).await.unwrap();
    assert_eq!(refused.unwrap_err().status, 404);
}

#[tokio::test]
async fn config_folder_adds_what_a_config_leaves_out() {
    let directory = ConfigDirectory::new();
    directory.write_config("pools: {}");
    directory.write_tenants("acme.yaml", "[]");
    let text = std::fs::read_to_string(directory.config()).unwrap();
    let socket = directory.admin_socket();
    let expected = format!(
        "pools: {{}}\nlisteners:\n  - {{ address: \"127.0.0.1:0\" }}\nadmin: {{ socket: \"{}\" }}\n\
         tenants_directory: tenants.d\nstate_directory: state\n",
        socket.display()
    );
    assert_eq!(text, expected);
    assert_eq!(std::fs::read_dir(directory.path("tenants.d")).unwrap().count(), 1);
    directory.write_config("admin: { socket: /x }\nlisteners: []\n");
    let text = std::fs::read_to_string(directory.config()).unwrap();
    assert_eq!(
        text,
        "admin: { socket: /x }\nlisteners: []\ntenants_directory: tenants.d\nstate_directory: state\n"
    );
    directory.remove_tenants("acme.yaml");
    assert_eq!(std::fs::read_dir(directory.path("tenants.d")).unwrap().count(), 0);
}

#[tokio::test]
async fn lines_are_found_when_they_come_later() {
    let (mut writer, reader) = tokio::io::duplex(64);
    let lines = Lines::follow(reader);
    let finder = lines.clone();
    let found =
        tokio::spawn(
            async move { finder.event("status 200", DEADLINE, |event| event["status"] == 200).await },
        );
    writer
        .write_all(b"not json\n{\"status\": 404}\n{\"status\": 200, \"tenant\": \"acme\"}\n")
        .await
        .unwrap();
    assert_eq!(found.await.unwrap()["tenant"], "acme");
    lines.wait_for_text("not js", DEADLINE).await;
    assert_eq!((lines.count(), lines.events().len()), (3, 2));
}

#[tokio::test]
#[should_panic(expected = "not within 10ms: nothing")]
async fn waiting_for_what_never_comes_says_what() {
    wait_for("nothing", Duration::from_millis(10), async || false).await;
}
