use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};

use super::{ask, fleet, wait_for};
use crate::{StubOdoo, StubOptions};

type Socket = WebSocketStream<TcpStream>;

async fn try_open(address: SocketAddr, host: &str, origin: bool) -> Result<Socket, Error> {
    let mut request = format!("ws://{host}/websocket?version=19.0-2").into_client_request().unwrap();
    if origin {
        request.headers_mut().insert("Origin", format!("http://{host}").parse().unwrap());
    }
    let stream = TcpStream::connect(address).await.unwrap();
    tokio_tungstenite::client_async(request, stream).await.map(|(socket, _)| socket)
}

async fn open(stub: &StubOdoo, host: &str) -> Socket {
    let mut socket = try_open(stub.gevent_addr(), host, true).await.unwrap();
    let hello = text(&mut socket).await;
    assert_eq!((&hello["type"], &hello["server"]), (&json!("hello"), &json!("eu")));
    socket
}

async fn next(socket: &mut Socket) -> Message {
    tokio::time::timeout(super::DEADLINE, socket.next()).await.unwrap().unwrap().unwrap()
}

async fn text(socket: &mut Socket) -> Value {
    serde_json::from_str(next(socket).await.to_text().unwrap()).unwrap()
}

fn status(refused: Result<Socket, Error>) -> (u16, String) {
    match refused {
        Err(Error::Http(response)) => {
            let body = response.body().as_deref().unwrap_or_default();
            (response.status().as_u16(), String::from_utf8_lossy(body).into_owned())
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn websocket_greets_and_echoes_with_its_database() {
    let stub = fleet().await;
    let mut socket = open(&stub, "globex.test").await;
    socket.send(Message::text("ciao")).await.unwrap();
    assert_eq!(text(&mut socket).await, json!({"type": "echo", "database": "globex", "text": "ciao"}));
    socket.send(Message::binary(vec![0, 255])).await.unwrap();
    assert_eq!(&next(&mut socket).await.into_data()[..], b"globex:\x00\xff");
    socket.send(Message::Ping("p".into())).await.unwrap();
    assert_eq!(next(&mut socket).await, Message::Pong("p".into()));
    socket.send(Message::text(r#"{"stub": "ping"}"#)).await.unwrap();
    assert_eq!(next(&mut socket).await, Message::Ping("odoo".into()));
    assert_eq!((stub.counts().websockets, stub.counts().websockets_open), (1, 1));
}

#[tokio::test]
async fn websocket_on_a_prefork_http_port_is_refused_in_the_words_of_odoo() {
    let stub = fleet().await;
    let headers = "Host: acme.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nOrigin: http://acme.test\r\n\
        Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n";
    let refusal = ask(stub.http_addr(), "GET", "/websocket", headers, "").await;
    assert_eq!(refusal.status, 500);
    assert!(
        refusal.body.contains("Is the connection opened on the evented port (8072)?"),
        "{}",
        refusal.body
    );
    let threaded = StubOdoo::start(StubOptions::new("eu", ["acme"]).threaded()).await.unwrap();
    assert!(try_open(threaded.http_addr(), "acme.test", true).await.is_ok());
}

#[tokio::test]
async fn handshake_without_origin_or_with_another_version_is_refused() {
    let stub = fleet().await;
    let (code, body) = status(try_open(stub.gevent_addr(), "acme.test", false).await);
    assert_eq!((code, body.contains("origin")), (400, true));
    let headers = "Host: acme\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nOrigin: http://acme\r\n\
        Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 8\r\n";
    assert_eq!(ask(stub.gevent_addr(), "GET", "/websocket", headers, "").await.status, 426);
    assert_eq!(status(try_open(stub.gevent_addr(), "shop.test", true).await).0, 404);
}

#[tokio::test]
async fn close_of_the_client_is_recorded_with_its_code() {
    let stub = fleet().await;
    let mut socket = open(&stub, "acme.test").await;
    let frame = CloseFrame { code: 1012.into(), reason: "drain".into() };
    socket.close(Some(frame)).await.unwrap();
    while let Some(Ok(_)) = socket.next().await {}
    wait_for("the end is recorded", || stub.websocket_ends().len() == 1).await;
    let end = &stub.websocket_ends()[0];
    assert_eq!((end.database.as_str(), end.received, end.reason.as_str()), ("acme", Some(1012), "drain"));
    assert_eq!((end.sent, stub.counts().websockets_open), (None, 0));
}

#[tokio::test]
async fn cut_of_the_client_is_recorded_without_a_code() {
    let stub = fleet().await;
    drop(open(&stub, "acme.test").await);
    wait_for("the end is recorded", || stub.websocket_ends().len() == 1).await;
    assert_eq!(stub.websocket_ends()[0].received, None);
}

#[tokio::test]
async fn notification_reaches_only_the_sockets_of_its_database() {
    let stub = fleet().await;
    let (mut acme, mut globex) = (open(&stub, "acme.test").await, open(&stub, "globex.test").await);
    stub.notify("globex", "for globex");
    stub.notify("acme", "for acme");
    let expected = |database: &str| json!({"type": "notification", "database": database, "text": format!("for {database}")});
    assert_eq!(text(&mut acme).await, expected("acme"));
    assert_eq!(text(&mut globex).await, expected("globex"));
}

#[tokio::test]
async fn server_closes_with_the_code_it_is_told_and_1001_when_it_stops() {
    let stub = fleet().await;
    let mut asked = open(&stub, "acme.test").await;
    asked.send(Message::text(r#"{"stub": "close", "code": 4001, "reason": "expired"}"#)).await.unwrap();
    let Message::Close(Some(frame)) = next(&mut asked).await else { panic!("no close frame") };
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (4001, "expired"));
    while let Some(Ok(_)) = asked.next().await {}
    let mut other = open(&stub, "acme.test").await;
    let stop = tokio::spawn(stub.stop());
    let Message::Close(Some(frame)) = next(&mut other).await else { panic!("no close frame") };
    assert_eq!(u16::from(frame.code), 1001);
    while let Some(Ok(_)) = other.next().await {}
    stop.await.unwrap();
}

#[tokio::test]
async fn message_beyond_1_mib_is_closed_with_1009() {
    let stub = fleet().await;
    let mut socket = open(&stub, "acme.test").await;
    socket.send(Message::binary(vec![0; 1024 * 1024 + 1])).await.unwrap();
    let Message::Close(Some(frame)) = next(&mut socket).await else { panic!("no close frame") };
    assert_eq!(u16::from(frame.code), 1009);
}
