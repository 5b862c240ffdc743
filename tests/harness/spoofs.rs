//! Header fields with which a client says what only a proxy may say, in every spelling, and whether one arrived.
//!
//! What counts is what a backend receives: [`spoofed`] reads a head as CGI and WSGI servers do, and knows nothing of
//! how the gateway reads it.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;

use fleetgate_stub::Received;

use crate::connection::Connection;
use crate::raw::raw_exchange;
use crate::request::Request;

/// The value of every spoofed field.
const MARK: &str = "spoofed.test";

/// What Odoo, a module of it, a server below or a proxy in between believes, in its usual spelling.
const BELIEVED: [&str; 43] = [
    "Client-Cert",
    "Client-Cert-Chain",
    "X-Odoo-Dbfilter",
    "X-Odoo-Database",
    "X-Odoo-Db",
    "X-Odoo-Session-Id",
    "X-Odoo-Anything",
    "X-Openerp-Dbfilter",
    "X-Openerp-Session-Id",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Protocol",
    "X-Forwarded-Scheme",
    "X-Forwarded-Ssl",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Server",
    "X-Forwarded-Path",
    "X-Forwarded-Uri",
    "X-Forwarded-User",
    "X-Forwarded-Client-Cert",
    "X-Real-Ip",
    "X-Client-Ip",
    "X-Cluster-Client-Ip",
    "X-Original-Forwarded-For",
    "X-Original-Host",
    "X-Original-Url",
    "X-Original-Uri",
    "X-Rewrite-Url",
    "X-Http-Method-Override",
    "X-Http-Method",
    "X-Method-Override",
    "X-Url-Scheme",
    "X-Sendfile",
    "X-Accel-Redirect",
    "X-Accel-Mapping",
    "X-Accel-Internal",
    "True-Client-Ip",
    "Cf-Connecting-Ip",
    "Fastly-Client-Ip",
    "Forwarded",
    "Proxy",
];

/// What the gateway itself says, each once.
const OWN: [&str; 6] =
    ["host", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-for", "x-real-ip", "x-odoo-dbfilter"];

/// Spellings of the names: no two alike.
pub fn spoof_spellings() -> Vec<String> {
    let mut all = BTreeSet::new();
    for name in BELIEVED {
        let cases = [name.to_owned(), name.to_lowercase(), name.to_uppercase(), swapped(name)];
        for case in cases {
            for (first, others) in [("-", "-"), ("_", "_"), (".", "."), ("_", "-"), ("-", "_"), (".", "_")] {
                all.insert(with_separators(&case, first, others));
            }
        }
    }
    all.into_iter().collect()
}

fn swapped(name: &str) -> String {
    let swap = |(at, letter): (usize, char)| {
        if at % 2 == 0 { letter.to_ascii_lowercase() } else { letter.to_ascii_uppercase() }
    };
    name.chars().enumerate().map(swap).collect()
}

fn with_separators(name: &str, first: &str, others: &str) -> String {
    match name.split_once('-') {
        Some((start, rest)) => format!("{start}{first}{}", rest.replace('-', others)),
        None => name.to_owned(),
    }
}

/// Sends a field in each way in which one can be sent, and says in how many requests: once, twice, beside the gateway's
/// own spelling, named by `Connection`, and over HTTP/2.
///
/// # Errors
/// When there is no connection, or an answer breaks off.
pub async fn send_spoof(address: SocketAddr, host: &str, name: &str) -> io::Result<usize> {
    let usual = name.replace(['_', '.'], "-");
    let ways = [
        format!("Connection: close\r\n{name}: {MARK}\r\n"),
        format!("Connection: close\r\n{name}: {MARK}\r\n{name}: {MARK}\r\n"),
        format!("Connection: close\r\n{usual}: {MARK}\r\n{name}: {MARK}\r\n"),
        format!("Connection: close, {name}\r\n{name}: {MARK}\r\n"),
    ];
    for lines in &ways {
        raw_exchange(address, format!("GET /stub/echo HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n")).await?;
    }
    let two = Request::get(host, "/stub/echo").header(name, MARK).header(&usual, MARK);
    Connection::http2(address).await?.ask(&two).await?;
    Ok(ways.len() + 1)
}

/// What is spoofed in a head that a backend received: fields of the client that a server believes, and fields of the
/// gateway that are not there once.
pub fn spoofed(received: &Received) -> Vec<String> {
    let folded = |name: &str| name.to_ascii_lowercase().replace(['_', '.'], "-");
    let lines = || received.headers.iter().map(|(name, value)| (folded(name), value));
    let mut all: Vec<String> = lines()
        .filter(|(_, value)| value.contains(MARK))
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    for own in OWN {
        let count = lines().filter(|(name, _)| name == own).count();
        if count != 1 {
            all.push(format!("{own} is there {count} times"));
        }
    }
    all
}
