//! Servers that speak TLS badly, to probes: each costs itself alone, is named in words that help, and holds no connection.

use crate::fleet::{self, TENANTS};
use crate::regions::pool;
use fleetgate_stub::fault::{Fault, FaultyBackend};
use fleetgate_tests::{
    Authority, DEADLINE, Gateway, Peer, Postgres, Signed, backend, free_address, wait_for,
};
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const NAME: &str = "odoo.internal";
/// What Odoo says that is well, over TLS of `openssl s_server -WWW`, which serves files.
const WELL: &str = r#"{"status": "pass"}"#;

/// A server of TLS with OpenSSL that answers what probes ask for.
async fn openssl(certificate: &Signed, options: &[&str]) -> (SocketAddr, Peer) {
    let folder = tempfile::tempdir().unwrap();
    certificate.write(folder.path(), "server");
    for part in ["web", "websocket"] {
        std::fs::create_dir(folder.path().join(part)).unwrap();
        let answer =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{WELL}", WELL.len());
        std::fs::write(folder.path().join(part).join("health"), answer).unwrap();
    }
    let address = free_address();
    let accept = address.to_string();
    let own =
        ["s_server", "-accept", &accept, "-cert", "server.crt", "-key", "server.key", "-HTTP", "-quiet"];
    let arguments: Vec<&OsStr> = own.iter().chain(options).map(OsStr::new).collect();
    let server = Peer::start("openssl", "openssl", &arguments, folder, &[address]).await;
    (address, server)
}

/// A server that reads what a client begins with, says something, and closes; and the connections it has now.
async fn says(answer: &'static [u8]) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, open) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&open);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let open = Arc::clone(&counted);
            open.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                answer_once(stream, answer).await;
                open.fetch_sub(1, Ordering::Relaxed);
            });
        }
    });
    (address, open)
}

async fn answer_once(mut stream: TcpStream, answer: &[u8]) {
    let mut begun = [0; 4_096];
    // A client that leaves is gone, and that is all.
    if matches!(stream.read(&mut begun).await, Ok(1..)) && stream.write_all(answer).await.is_ok() {
        let _closed = stream.shutdown().await;
    }
}

/// The first bytes of a server's part of a handshake: a record that says it is longer than what follows.
const HALF_A_HANDSHAKE: &[u8] = &[22, 3, 3, 0, 122, 2, 0, 0, 118, 3, 3];
/// What a server says over TLS to a client that does not speak it: `unexpected_message` (RFC 8446, section 6).
const ALERT: &[u8] = &[21, 3, 3, 0, 2, 2, 10];

/// A gateway before a server that is well, and another address. `tls`: whether the pool has it.
async fn beside(well: SocketAddr, other: SocketAddr, authority: &Authority, tls: bool) -> Gateway {
    let tls = if tls { format!("tls: {{ server_name: {NAME}, ca: ca.crt }}\n") } else { String::new() };
    let pool = format!("{tls}health: {{ interval: 200ms, timeout: 500ms, fall: 2 }}");
    let config = fleet::config(&[fleet::one_port(well), fleet::one_port(other)], &pool);
    Gateway::builder(&config).tenants("tenants.yaml", TENANTS).file("ca.crt", &authority.pem).start().await
}

/// Waits until the second server is down and the first is up, for a reason.
async fn only_the_other_is_down(gateway: &Gateway, because: &str) {
    let backends = async || pool(gateway).await["regions"][0]["backends"].clone();
    wait_for("it is down, and alone", DEADLINE, async || {
        let backends = backends().await;
        backends[0]["verdict"] == "up" && backends[1]["verdict"] == "down"
    })
    .await;
    wait_for(&format!("it is said: {because}"), DEADLINE, async || {
        backends().await[1]["signals"][0]["saw"].to_string().contains(because)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_tls_is_wrong_is_down_alone_and_named() {
    let (authority, stranger) = (Authority::new("backends"), Authority::new("somebody"));
    let good = authority.sign(NAME);
    let (well, _well) = openssl(&good, &[]).await;
    let weak = ["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"];
    let mutual = ["-Verify", "1", "-verify_return_error"];
    for (certificate, options, because) in [
        (&authority.sign_expired(NAME), &[][..], "renew its certificate"),
        (&authority.sign("another.internal"), &[][..], "for other names than the config has it"),
        (&stranger.sign(NAME), &[][..], "from nobody whom `ca` names"),
        (&good, &weak[..], "speak TLS 1.2 or 1.3"),
        (&good, &mutual[..], "look at `client_certificate`"),
    ] {
        let (other, _server) = openssl(certificate, options).await;
        let gateway = beside(well, other, &authority, true).await;
        only_the_other_is_down(&gateway, because).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_breaks_a_handshake_is_down_alone_and_holds_no_connection() {
    let authority = Authority::new("backends");
    let (well, _well) = openssl(&authority.sign(NAME), &[]).await;
    let silent = FaultyBackend::start(Fault::BlackHole).await.unwrap();
    let gateway = beside(well, silent.address(), &authority, true).await;
    only_the_other_is_down(&gateway, "no TLS handshake within 500ms").await;
    let asked = silent.counts().connections;
    wait_for("it is asked again", DEADLINE, async || silent.counts().connections >= asked + 8).await;
    // Two ports are asked, each by two questions at once at most.
    assert!(silent.counts().connections_open <= 4, "{:?}", silent.counts());

    for (answer, because) in [
        (&b""[..], "ends the connection in the middle of the TLS handshake"),
        (HALF_A_HANDSHAKE, "ends the connection in the middle of the TLS handshake"),
        (b"HTTP/1.0 400 Bad Request\r\n\r\n", "something else than TLS"),
    ] {
        let (other, open) = says(answer).await;
        let gateway = beside(well, other, &authority, true).await;
        only_the_other_is_down(&gateway, because).await;
        assert!(open.load(Ordering::Relaxed) <= 4, "{because}: {open:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_speaks_tls_where_the_pool_does_not_is_down_alone_and_named() {
    let (authority, well) = (Authority::new("backends"), fleet::threaded("eu-1").await);
    let (alerts, _) = says(ALERT).await;
    let (real, _real) = openssl(&authority.sign(NAME), &[]).await;
    for other in [alerts, real] {
        let gateway = beside(well.http_addr(), other, &authority, false).await;
        only_the_other_is_down(&gateway, "if it speaks TLS").await;
        fleet::still_serves(&gateway).await;
    }
}

/// A gateway with a region that serves, and a standby region whose database is at a URL.
async fn beside_database(well: &Postgres, other: &str, authority: &Authority) -> Gateway {
    let (paris, dublin) = (fleet::prefork("paris-1").await, fleet::prefork("dublin-1").await);
    let region = |stub, url: &str| format!("{{ backends: [ {} ], postgres: \"{url}\" }}", backend(stub));
    let config = format!(
        "threads: 2\nregions: [ {{ name: paris }}, {{ name: dublin, standby: true }} ]\npools:\n  main:\n    \
         odoo_version: \"19.0\"\n    database_selection: dbfilter_header\n    postgres_tls: {{ ca: ca.crt }}\n    \
         health: {{ interval: 200ms, timeout: 500ms }}\n    regions:\n      paris: {}\n      dublin: {}\n",
        region(&paris, &well.url()),
        region(&dublin, other)
    );
    Gateway::builder(&config).tenants("tenants.yaml", TENANTS).file("ca.crt", &authority.pem).start().await
}

/// Waits until something is said of the second database, while the first one takes writes.
async fn database_says(gateway: &Gateway, words: &str) {
    wait_for(&format!("it is said: {words}"), DEADLINE, async || {
        let regions = pool(gateway).await["regions"].clone();
        let saw = regions[1]["database"]["saw"].as_str().unwrap_or_default().to_owned();
        saw.contains(words) && regions[0]["database"]["verdict"] == "writable"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_whose_tls_is_wrong_is_not_believed_and_named() {
    let (authority, stranger) = (Authority::new("databases"), Authority::new("somebody"));
    let good = authority.sign("127.0.0.1");
    let well = Postgres::primary();
    well.secure(&good.chain, &good.key);
    let other = well.standby();
    let gateway = {
        let expired = authority.sign_expired("127.0.0.1");
        other.secure(&expired.chain, &expired.key);
        beside_database(&well, &other.url(), &authority).await
    };
    database_says(&gateway, "renew its certificate").await;
    for (certificate, words) in [
        (&authority.sign("another.internal"), "for other names than the config has it"),
        (&stranger.sign("127.0.0.1"), "from nobody whom `ca` names"),
    ] {
        other.secure(&certificate.chain, &certificate.key);
        database_says(&gateway, words).await;
    }
    other.secure(&good.chain, &good.key);
    for (settings, words) in [
        (&[("ssl", "off")][..], "turn its `ssl` on"),
        (
            &[
                ("ssl_min_protocol_version", "'TLSv1.1'"),
                ("ssl_max_protocol_version", "'TLSv1.1'"),
                ("ssl_ciphers", "'DEFAULT@SECLEVEL=0'"),
                ("ssl", "on"),
            ],
            "speak TLS 1.2 or 1.3",
        ),
        (&[("ssl_max_protocol_version", "'TLSv1.3'")], "a standby"),
    ] {
        for (name, value) in settings {
            other.sql(&format!("ALTER SYSTEM SET {name} = {value}"));
        }
        other.sql("SELECT pg_reload_conf()");
        // A connection that was good is kept.
        other.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'probe'");
        database_says(&gateway, words).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_breaks_a_handshake_is_silent_and_holds_no_connection() {
    let authority = Authority::new("databases");
    let (good, well) = (authority.sign("127.0.0.1"), Postgres::primary());
    well.secure(&good.chain, &good.key);
    let silent = FaultyBackend::start(Fault::BlackHole).await.unwrap();
    let url = |address: SocketAddr| format!("postgres://probe@{address}/postgres");
    let gateway = beside_database(&well, &url(silent.address()), &authority).await;
    database_says(&gateway, "no answer within 500ms").await;
    let asked = silent.counts().connections;
    wait_for("it is asked again", DEADLINE, async || silent.counts().connections >= asked + 4).await;
    assert!(silent.counts().connections_open <= 2, "{:?}", silent.counts());
    // It wants TLS and leaves, at once or in the middle of a record; it is something else.
    for (answer, words) in [
        (&b"S"[..], "error performing TLS handshake"),
        (b"S\x16\x03\x03\x00\x7a\x02", "error performing TLS handshake"),
        (b"HTTP/1.0 400 Bad Request\r\n\r\n", "leave `postgres_tls` out"),
    ] {
        let (other, open) = says(answer).await;
        let gateway = beside_database(&well, &url(other), &authority).await;
        database_says(&gateway, words).await;
        assert!(open.load(Ordering::Relaxed) <= 2, "{words}: {open:?}");
    }
}
