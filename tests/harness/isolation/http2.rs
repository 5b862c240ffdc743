//! A visit over HTTP/2: the requests of a step go beside each other on one connection.

use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderName, HeaderValue, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::PATIENCE;
use super::answer::Said;
use super::crafted::Crafted;
use super::judge;
use super::ledger::Ledger;
use super::visit::{Asked, Step, Then, Visit};
use crate::connection::connect;

type Sender = SendRequest<Full<Bytes>>;

/// Makes the visit, on as many connections as the gateway wants for it.
pub(super) async fn make(gateway: SocketAddr, visit: &Visit, ledger: &Ledger) {
    let mut kept: Option<Sender> = None;
    for step in &visit.steps {
        let sender = match kept.take().filter(|sender| !sender.is_closed()) {
            Some(sender) => sender,
            None => match open(gateway).await {
                Ok(sender) => sender,
                Err(error) => return ledger.trouble(&error.to_string()),
            },
        };
        if tokio::time::timeout(PATIENCE, take_step(&sender, step, visit, ledger)).await.is_err() {
            ledger.silent();
        }
        kept = Some(sender);
    }
}

async fn open(gateway: SocketAddr) -> std::io::Result<Sender> {
    let stream = TokioIo::new(connect(gateway).await?);
    let opened = http2::handshake(TokioExecutor::new(), stream).await;
    let (sender, driver) = opened.map_err(std::io::Error::other)?;
    // How the connection ends is seen by the requests on it.
    tokio::spawn(async move { driver.await.is_ok() });
    Ok(sender)
}

async fn take_step(sender: &Sender, step: &Step, visit: &Visit, ledger: &Ledger) {
    let exchanges = step.requests.iter().map(|crafted| async move {
        let Some(message) = message(crafted) else { return };
        ledger.sent(1, true);
        let mut sender = sender.clone();
        if sender.ready().await.is_err() {
            return;
        }
        let answered = sender.send_request(message);
        match step.then {
            // Leaving resets the stream, once it was sent.
            Then::Leave => drop(tokio::time::timeout(std::time::Duration::ZERO, answered).await),
            Then::LeaveMidway => drop(answered.await),
            Then::GoOn | Then::AskOnceMore | Then::HalfClose => {
                let Ok(answer) = answered.await else { return };
                if let Err(problem) = judged(Asked::about(crafted), answer, ledger).await {
                    ledger.leak(visit, &problem);
                }
            }
        }
    });
    join_all(exchanges).await;
}

async fn judged(
    asked: Asked,
    answer: http::Response<hyper::body::Incoming>,
    ledger: &Ledger,
) -> Result<(), String> {
    let (head, body) = answer.into_parts();
    let mut said = Said::default();
    head.headers.iter().for_each(|(name, value)| said.note(name.as_str(), value.as_bytes()));
    // A body that breaks off belongs to nobody.
    let Ok(body) = body.collect().await else { return Ok(()) };
    let body = body.to_bytes();
    if said.from_odoo {
        ledger.answered(asked.mark.tenant);
        judge::answer(&asked, &said, &body)
    } else {
        ledger.refused();
        judge::refusal(&asked, &said, &body)
    }
}

/// The request without what no library of HTTP/2 sends.
fn message(crafted: &Crafted) -> Option<http::Request<Full<Bytes>>> {
    let path = crafted.target.find("://").map_or(crafted.target.as_str(), |_| "/stub/echo");
    let uri = Uri::builder().scheme("http").authority(crafted.authority.as_str()).path_and_query(path);
    let mut message = http::Request::builder().method(crafted.method).uri(uri.build().ok()?);
    let twisted_host = crafted.host.split("\r\n").skip(1);
    for line in crafted.lines.iter().flat_map(|line| line.split("\r\n")).chain(twisted_host) {
        let Some((name, value)) = line.split_once(':') else { continue };
        let (name, value) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value.trim()));
        if let (Ok(name), Ok(value)) = (name, value) {
            message = message.header(name, value);
        }
    }
    message.body(Full::new(Bytes::from(crafted.body.clone()))).ok()
}
