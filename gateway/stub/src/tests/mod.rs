//! Tests over real sockets, and the small client they share.

mod bus;
mod fault;
mod ports;
mod rpc;
mod selection;

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{StubOdoo, StubOptions};

pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// An answer in parts.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head: head.to_owned(), body: body.to_owned() }
    }

    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.values(name).first().copied()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON in {:?}", self.body))
    }

    pub(crate) fn database(&self) -> Option<&str> {
        self.value("X-Stub-Database")
    }
}

/// Sends bytes, closes nothing, and reads until the server closes.
pub(crate) async fn send(address: SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answer)).await;
    read.expect("the server closes in time").unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// One request on its own connection. `headers` are lines that end with CRLF.
pub(crate) async fn ask(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &str,
    body: &str,
) -> Answer {
    let length = body.len();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    );
    Answer::parse(&send(address, &request).await)
}

pub(crate) async fn get(stub: &StubOdoo, host: &str, target: &str) -> Answer {
    ask(stub.http_addr(), "GET", target, &format!("Host: {host}\r\n"), "").await
}

/// Two databases in prefork mode.
pub(crate) async fn fleet() -> StubOdoo {
    StubOdoo::start(StubOptions::new("eu", ["acme", "globex"])).await.unwrap()
}

pub(crate) async fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
