//! What TLS of a listener offers, as openssl sees it: versions, ciphers, resumption.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use fleetgate_stub::StubOdoo;
use fleetgate_tests::{Authority, DEADLINE, Gateway, backend, installed, wait_for};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::fleet::{self, TENANTS};

/// A listener that speaks TLS 1.3 and nothing older.
const NEWEST: &str = "127.0.0.3:0";
/// A listener whose keys for tickets change all the time.
const FORGETFUL: &str = "127.0.0.4:0";
/// testssl.sh is a shell script that makes hundreds of connections, each by a process of its own.
const TESTSSL_DEADLINE: Duration = Duration::from_secs(110);
/// Everything that openssl can do, however weak.
const ANY: &str = "ALL:@SECLEVEL=0";

struct Site {
    stub: StubOdoo,
    gateway: Gateway,
    client: TempDir,
}

async fn start() -> Site {
    let stub = fleet::threaded("eu-1").await;
    let authority = Authority::new("servers");
    let client = tempfile::tempdir().unwrap();
    fs::write(client.path().join("ca.pem"), &authority.pem).unwrap();
    let gateway = gateway(&stub, &authority).await;
    Site { stub, gateway, client }
}

async fn gateway(stub: &StubOdoo, authority: &Authority) -> Gateway {
    let listeners = format!(
        "listeners:\n  - {{ address: \"127.0.0.1:0\", tls: {{ certificates: certs }} }}\n  \
         - {{ address: \"{NEWEST}\", tls: {{ certificates: certs, minimum_version: \"1.3\" }} }}\n  \
         - {{ address: \"{FORGETFUL}\", tls: {{ certificates: certs, ticket_rotation: 3s }} }}\n"
    );
    let config = listeners + &fleet::config(&[backend(stub)], "");
    let builder = Gateway::builder(&config).tenants("tenants.yaml", TENANTS);
    let folder = builder.directory().folder().join("certs");
    fs::create_dir(&folder).unwrap();
    for host in ["acme.test", "globex.test"] {
        authority.sign(host).write(&folder, host);
    }
    builder.start().await
}

/// One request by `openssl s_client`, and all that it says.
async fn openssl(client: &Path, address: SocketAddr, host: &str, arguments: &[&str]) -> String {
    let mut command = Command::new("openssl");
    command.current_dir(client).args(["s_client", "-connect", &address.to_string(), "-servername", host]);
    command.args(["-CAfile", "ca.pem", "-verify_return_error", "-ign_eof"]).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("openssl is there: install the package openssl");
    let mut input = child.stdin.take().unwrap();
    let request = format!("GET /stub/echo HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    // It does not read when there is no handshake.
    let _ended = input.write_all(request.as_bytes()).await;
    drop(input);
    let output = tokio::time::timeout(DEADLINE, child.wait_with_output()).await.unwrap().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

impl Site {
    async fn ask(&self, arguments: &[&str]) -> String {
        openssl(self.client.path(), self.gateway.address(), "acme.test", arguments).await
    }
}

fn is_served(said: &str) -> bool {
    said.contains("HTTP/1.1 200") && said.contains("Verify return code: 0")
}

#[tokio::test]
async fn old_versions_and_weak_ciphers_are_not_spoken() {
    let site = start().await;
    let newest = site.gateway.listener(NEWEST);
    for version in ["-tls1", "-tls1_1"] {
        let said = site.ask(&[version, "-cipher", ANY]).await;
        assert!(!said.contains("HTTP/1.1"), "{version}: {said}");
    }
    for (version, at_newest) in [("-tls1_2", false), ("-tls1_3", true)] {
        let said = site.ask(&[version]).await;
        assert!(is_served(&said), "{version}: {said}");
        let said = openssl(site.client.path(), newest, "acme.test", &[version]).await;
        assert_eq!(is_served(&said), at_newest, "{version}: {said}");
    }
    let said = site.ask(&["-tls1_2"]).await;
    assert!(said.contains("Secure Renegotiation IS supported"), "RFC 5746: {said}");
    // Forward secrecy and authenticated encryption, and nothing else.
    for cipher in ["ECDHE+AESGCM", "ECDHE+CHACHA20"] {
        let said = site.ask(&["-tls1_2", "-cipher", cipher]).await;
        assert!(is_served(&said), "{cipher}: {said}");
    }
    let others = format!("{ANY}:!ECDHE+AESGCM:!ECDHE+CHACHA20").replace(":@SECLEVEL=0", "") + ":@SECLEVEL=0";
    let said = site.ask(&["-tls1_2", "-cipher", &others]).await;
    assert!(said.contains("handshake failure") && !said.contains("HTTP/1.1"), "{others}: {said}");
}

#[tokio::test]
async fn a_session_is_resumed_by_its_own_name_and_costs_nothing_when_it_is_unknown() {
    let site = start().await;
    let authority = Authority::new("servers");
    for version in ["-tls1_2", "-tls1_3"] {
        let said = site.ask(&[version, "-sess_out", "session"]).await;
        assert!(is_served(&said) && said.contains("New, TLS"), "{version}: {said}");
        let said = site.ask(&[version, "-sess_in", "session"]).await;
        assert!(said.contains("HTTP/1.1 200") && said.contains("Reused, TLS"), "{version}: {said}");
        // The session of one tenant is none of another.
        let (folder, address) = (site.client.path(), site.gateway.address());
        let said = openssl(folder, address, "globex.test", &[version, "-sess_in", "session"]).await;
        assert!(is_served(&said) && said.contains("New, TLS"), "{version}: {said}");
        // Another process has other keys.
        let other = gateway(&site.stub, &authority).await;
        fs::write(folder.join("ca.pem.other"), &authority.pem).unwrap();
        let arguments = [version, "-sess_in", "session", "-CAfile", "ca.pem.other"];
        let said = openssl(folder, other.address(), "acme.test", &arguments).await;
        assert!(said.contains("HTTP/1.1 200") && said.contains("New, TLS"), "{version}: {said}");
    }
}

#[tokio::test]
async fn a_session_of_two_keys_ago_costs_a_whole_handshake_and_nothing_else() {
    let site = start().await;
    let forgetful = site.gateway.listener(FORGETFUL);
    for version in ["-tls1_2", "-tls1_3"] {
        let ask = async |arguments: &[&str]| {
            let arguments = [&[version], arguments].concat();
            openssl(site.client.path(), forgetful, "acme.test", &arguments).await
        };
        assert!(is_served(&ask(&["-sess_out", "old"]).await), "{version}");
        let said = ask(&["-sess_in", "old"]).await;
        assert!(said.contains("HTTP/1.1 200") && said.contains("Reused, TLS"), "{version}: {said}");
        wait_for("the session is forgotten", DEADLINE, async || {
            let said = ask(&["-sess_in", "old"]).await;
            assert!(said.contains("HTTP/1.1 200"), "{version}: {said}");
            said.contains("New, TLS")
        })
        .await;
    }
}

/// What testssl.sh looks at: protocols, ciphers by their kinds, and everything that has a name.
const CHECKS: [&str; 3] = ["--protocols", "--std", "--vulnerable"];
/// What it warns of that says nothing about the server: what this openssl cannot do, and a handshake of its own without
/// TLS 1.3. The test of openssl looks at that.
const OF_THE_TOOL: [&str; 2] = ["engine_problem", "secure_renego"];

#[tokio::test]
async fn testssl_finds_nothing_that_is_worse_than_low() {
    let site = start().await;
    let report = site.client.path().join("report.json");
    let mut command = Command::new(installed("testssl", "testssl.sh"));
    command.current_dir(site.client.path()).args(CHECKS);
    command.args(["--warnings", "batch", "--color", "0", "--quiet", "--ip", "127.0.0.1"]);
    command.args(["--openssl-timeout", "10", "--connect-timeout", "10", "--add-ca", "ca.pem", "--jsonfile"]);
    command.arg(&report).arg(format!("acme.test:{}", site.gateway.address().port()));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let child = command.spawn().unwrap();
    let output = tokio::time::timeout(TESTSSL_DEADLINE, child.wait_with_output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let text = fs::read_to_string(&report).unwrap_or_else(|error| panic!("no report ({error}):\n{said}"));
    let findings: Vec<Value> = serde_json::from_str(&text).unwrap();
    let of = |id: &str| {
        let finding = findings.iter().find(|finding| finding["id"] == id);
        finding.unwrap_or_else(|| panic!("{id} was not looked at:\n{said}")).clone()
    };
    let bad: Vec<&Value> = findings
        .iter()
        .filter(|finding| {
            ["MEDIUM", "HIGH", "CRITICAL", "WARN"].iter().any(|word| finding["severity"] == *word)
        })
        .filter(|finding| !OF_THE_TOOL.iter().any(|id| finding["id"] == *id))
        .collect();
    assert!(bad.is_empty(), "{bad:#?}\n{said}");
    for id in ["SSLv2", "SSLv3", "TLS1", "TLS1_1"] {
        assert_eq!(of(id)["finding"], "not offered", "{id}");
    }
    for id in ["TLS1_2", "TLS1_3"] {
        assert!(of(id)["finding"].as_str().unwrap().starts_with("offered"), "{id}: {}", of(id));
    }
    for id in [
        "heartbleed",
        "CCS",
        "ticketbleed",
        "ROBOT",
        "secure_client_renego",
        "CRIME_TLS",
        "POODLE_SSL",
        "SWEET32",
        "FREAK",
        "DROWN",
        "LOGJAM",
        "BEAST",
        "LUCKY13",
        "RC4",
    ] {
        assert_eq!(of(id)["severity"], "OK", "{id}: {}", of(id));
    }
}
