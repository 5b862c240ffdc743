//! `/stub/*`: what Odoo does not have and tests of a gateway need. On both ports, with or without a database.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::page;
use super::reply::{Payload, Reply};
use super::route::Exchange;

const WAIT_MAX: Duration = Duration::from_secs(600);

/// - `echo`: what arrived, as JSON
/// - `slow?ms=`: answers after that time
/// - `bytes?n=`: so many bytes with a length; `drip?parts=&every_ms=`: lines in chunks as time goes by
/// - `status?code=&header=Name:value`: that status and that header
/// - `upload`: how many bytes the body had, and their hash
pub(crate) async fn answer(exchange: &Exchange<'_>, tool: &str) -> Reply {
    let head = exchange.head;
    match tool {
        "echo" => Reply::json(200, &echo(exchange)),
        "slow" => {
            let wait = Duration::from_millis(head.query_number("ms").unwrap_or(1000)).min(WAIT_MAX);
            tokio::time::sleep(wait).await;
            Reply::json(200, &json!({"slept_ms": wait.as_secs_f64() * 1000.0, "server": exchange.server()}))
        }
        "bytes" => {
            let payload = Payload::Filler(head.query_number("n").unwrap_or(1024));
            Reply { payload, ..Reply::new(200, "application/octet-stream", Bytes::new()) }
        }
        "drip" => {
            let every = Duration::from_millis(head.query_number("every_ms").unwrap_or(50)).min(WAIT_MAX);
            let payload = Payload::Drip { parts: head.query_number("parts").unwrap_or(3), every };
            Reply { payload, ..Reply::new(200, "text/plain", Bytes::new()) }
        }
        "status" => {
            let code = head.query_number("code").and_then(|code| u16::try_from(code).ok());
            let code = code.filter(|code| (200..600).contains(code)).unwrap_or(200);
            let mut reply = Reply::new(code, "text/plain", format!("status {code}\n"));
            let header = head.query("header").filter(|line| !line.contains(['\r', '\n']));
            if let Some((name, value)) = header.as_deref().and_then(|line| line.split_once(':')) {
                reply.headers.push((Cow::Owned(name.to_owned()), value.trim().to_owned()));
            }
            reply
        }
        "upload" => {
            let body = exchange.body;
            Reply::json(200, &json!({"body_bytes": body.bytes, "body_hash": hash_text(body.hash)}))
        }
        _ => page::not_found("The stub has no such tool; see the documentation of fleetgate-stub."),
    }
}

fn echo(exchange: &Exchange<'_>) -> Value {
    let Exchange { head, body, .. } = exchange;
    let lines = head
        .headers
        .iter()
        .map(|(name, value)| json!([String::from_utf8_lossy(name), String::from_utf8_lossy(value)]));
    json!({
        "server": exchange.server(),
        "port": exchange.port.name(),
        "database": exchange.selection.database,
        "method": head.method,
        "target": head.target,
        "version": format!("HTTP/1.{}", head.minor),
        "headers": lines.collect::<Vec<_>>(),
        "body_bytes": body.bytes,
        "body_hash": hash_text(body.hash),
        "body_start": String::from_utf8_lossy(&body.start()),
    })
}

fn hash_text(hash: u64) -> String {
    format!("{hash:016x}")
}
