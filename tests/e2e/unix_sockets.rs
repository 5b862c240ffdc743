//! Listeners on unix sockets: who is believed there, and the life of their files.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use fleetgate_stub::StubOdoo;
use fleetgate_tests::{
    Answer, Builder, Connection, DEADLINE, Gateway, Peer, Request, backend, free_address, wait_for,
};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::balancers::{FRIEND, STRANGER, get, haproxy, way};
use crate::fleet::{self, TENANTS};
use crate::visitors::Visitors;

/// A tenant whose pages are for one address alone.
const GUARDED: &str = "- { id: acme, hosts: [acme.test], guards: { allow: { page: [127.0.0.77] } } }\n";

/// A gateway, not started, with a listener by TCP and one on a socket named `NAME.sock` for each pair of a name and the
/// keys of its `unix`.
async fn before(sockets: &[(&str, &str)], more: &str) -> (StubOdoo, Builder) {
    let stub = fleet::threaded("eu-1").await;
    let config = fleet::config(&[backend(&stub)], "") + more;
    let builder = Gateway::builder(&config);
    let mut listeners = "listeners:\n  - { address: \"127.0.0.1:0\" }\n".to_owned();
    for (name, keys) in sockets {
        let path = builder.directory().path(&format!("{name}.sock"));
        listeners += &format!("  - {{ address: \"unix:{}\", unix: {{ {keys} }} }}\n", path.display());
    }
    builder.directory().write_config(&(listeners + &config));
    (stub, builder)
}

fn socket(gateway: &Gateway, name: &str) -> PathBuf {
    gateway.directory().path(&format!("{name}.sock"))
}

async fn ask(path: &Path) -> Answer {
    let stream = UnixStream::connect(path).await.unwrap();
    Connection::over(stream).await.unwrap().ask(&Request::get("acme.test", "/stub/echo")).await.unwrap()
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket())
}

async fn client_in_log(gateway: &Gateway, answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer).to_lowercase();
    let id = text.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap().trim().to_owned();
    let event = gateway.access_log().event(&id, DEADLINE, |event| event["request_id"] == *id).await;
    event["client"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn nginx_is_believed_through_a_socket_that_says_so_and_through_no_other() {
    let sockets = [("open", "mode: \"0666\", trust: forwarded"), ("wary", "mode: \"0666\"")];
    // A network of everybody is about addresses, and nobody in there has one.
    let (stub, builder) = before(&sockets, "trusted_proxies: [\"0.0.0.0/8\"]\n").await;
    let gateway = builder.tenants("tenants.yaml", GUARDED).start().await;
    let (open, wary) = (free_address(), free_address());
    let folder = tempfile::tempdir().unwrap();
    let server = |listens, name| {
        let path = socket(&gateway, name);
        format!(
            "  server {{ listen {listens}; location / {{ proxy_pass http://unix:{}; }} }}\n",
            path.display()
        )
    };
    // Its workers are nobody, and have to find the socket.
    fs::set_permissions(gateway.directory().folder(), fs::Permissions::from_mode(0o755)).unwrap();
    let http = "  proxy_set_header Host $http_host;\n  proxy_set_header X-Forwarded-For $remote_addr;\n  \
                proxy_set_header X-Forwarded-Proto https;\n"
        .to_owned()
        + &server(open, "open")
        + &server(wary, "wary");
    let _nginx = Peer::nginx(folder, &http, &[open, wary]).await;

    let answer = get(FRIEND, open, "").await;
    fleet::assert_status(&answer, 200, "a friend through a proxy that is believed");
    let received = fleet::only_request(&stub);
    assert_eq!(received.values("x-forwarded-for"), [FRIEND]);
    assert_eq!(received.values("x-forwarded-proto"), ["https"]);
    assert_eq!(client_in_log(&gateway, &answer).await, FRIEND);
    let answer = get(STRANGER, open, &format!("X-Forwarded-For: {FRIEND}\r\n")).await;
    fleet::assert_status(&answer, 403, "a stranger through it");
    assert_eq!(client_in_log(&gateway, &answer).await, STRANGER);

    let answer = get(FRIEND, wary, "").await;
    fleet::assert_status(&answer, 403, "anybody through a proxy that is not believed");
    assert_eq!(client_in_log(&gateway, &answer).await, "0.0.0.0");
    assert!(stub.received().is_empty());
    gateway.write_tenants("tenants.yaml", TENANTS);
    wait_for("the guard is gone", DEADLINE, async || {
        fleet::status(&get(FRIEND, wary, "").await) == Some(200)
    })
    .await;
    let received = stub.received().pop().unwrap();
    assert_eq!(received.values("x-forwarded-for"), ["0.0.0.0"]);
    assert_eq!(received.values("x-forwarded-proto"), ["http"]);
}

#[tokio::test]
async fn haproxy_says_through_a_socket_whose_a_connection_is() {
    let (stub, builder) = before(&[("told", "trust: proxy_protocol")], "").await;
    let gateway = builder.tenants("tenants.yaml", GUARDED).start().await;
    let path = socket(&gateway, "told");
    let server = format!("unix@{}", path.display());
    let (v1, v2) = (way(&server), way(&server));
    let _haproxy = haproxy(&[(&v1, "tcp", "send-proxy"), (&v2, "tcp", "send-proxy-v2")]).await;
    for (listens, what) in [(v1.listens, "version 1"), (v2.listens, "version 2")] {
        let answer = get(FRIEND, listens, "").await;
        fleet::assert_status(&answer, 200, what);
        assert_eq!(fleet::only_request(&stub).values("x-forwarded-for"), [FRIEND], "{what}");
        assert_eq!(client_in_log(&gateway, &answer).await, FRIEND, "{what}");
        let answer = get(STRANGER, listens, &format!("X-Forwarded-For: {FRIEND}\r\n")).await;
        fleet::assert_status(&answer, 403, what);
        assert_eq!(client_in_log(&gateway, &answer).await, STRANGER, "{what}");
    }
    // Who says nothing is not let in.
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(b"GET /stub/echo HTTP/1.1\r\nHost: acme.test\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _reset = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.is_empty(), "{}", answer.escape_ascii());
    // A health check of the balancer speaks for nobody.
    let mut stream = UnixStream::connect(&path).await.unwrap();
    let request = "PROXY UNKNOWN\r\nGET /stub/echo HTTP/1.1\r\nHost: acme.test\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.read_to_end(&mut answer).await.unwrap();
    fleet::assert_status(&answer, 403, "nobody");
    assert_eq!(client_in_log(&gateway, &answer).await, "0.0.0.0");
}

#[tokio::test]
async fn connections_through_a_socket_count_for_the_client_that_is_named_or_in_all() {
    let sockets = [("plain", "trust: forwarded"), ("told", "trust: proxy_protocol")];
    let (_stub, builder) = before(&sockets, "connections: { max: 40, max_per_client: 3 }\n").await;
    let gateway = builder.tenants("tenants.yaml", TENANTS).start().await;
    let connect = async |name: &str, start: String| {
        let mut stream = UnixStream::connect(socket(&gateway, name)).await.unwrap();
        let request = start + "GET /stub/echo HTTP/1.1\r\nHost: acme.test\r\n\r\n";
        // Who is refused may hear of it while it sends.
        let _refused = stream.write_all(request.as_bytes()).await;
        let mut answer = [0; 12];
        let served = tokio::time::timeout(DEADLINE, stream.read_exact(&mut answer)).await.unwrap().is_ok();
        served.then_some(stream)
    };
    let named = |client: &str| format!("PROXY TCP4 {client} 127.0.0.4 5000 80\r\n");
    let mut open = Vec::new();
    for _ in 0..10 {
        open.push(connect("plain", String::new()).await.expect("peers without an address share no cap"));
    }
    for _ in 0..3 {
        open.push(connect("told", named("192.0.2.1")).await.expect("as many as one client may have"));
    }
    assert!(connect("told", named("192.0.2.1")).await.is_none(), "one too many");
    open.push(connect("told", named("192.0.2.2")).await.expect("another client"));
    while let Some(stream) = connect("plain", String::new()).await {
        open.push(stream);
    }
    assert_eq!(open.len(), 40);
}

#[tokio::test]
async fn the_file_of_a_dead_process_is_replaced_and_that_of_a_living_one_is_not() {
    let id = |argument: &str| {
        let output = Command::new("id").arg(argument).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let keys = format!("mode: \"0640\", owner: {}, group: {}", id("-un"), id("-g"));
    let (_stub, builder) = before(&[("gate", &keys)], "").await;
    let builder = builder.tenants("tenants.yaml", TENANTS);
    let mut first = builder.clone().start().await;
    let path = socket(&first, "gate");
    first.signal(Signal::KILL);
    first.wait_exit(DEADLINE).await;
    assert!(is_socket(&path), "a process that is killed leaves its file");

    let mut gateway = builder.clone().start().await;
    assert_eq!(ask(&path).await.status, 200);
    let file = fs::metadata(&path).unwrap();
    assert_eq!(file.mode() & 0o7777, 0o640);
    assert_eq!((file.uid().to_string(), file.gid().to_string()), (id("-u"), id("-g")));

    // Another config that wants the same path.
    let config = fs::read_to_string(builder.directory().config()).unwrap();
    let (_other_stub, other) = before(&[], "").await;
    let admin = builder.directory().admin_socket().display().to_string();
    let config = config.replace(&admin, &other.directory().admin_socket().display().to_string());
    other.directory().write("fleetgate.yaml", config.as_bytes());
    let refused = other.run_to_exit().await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("another process listens there"), "{said}");
    assert!(said.contains(&format!("unix:{}", path.display())), "{said}");
    assert_eq!(ask(&path).await.status, 200);

    gateway.signal(Signal::TERM);
    assert!(gateway.wait_exit(DEADLINE).await.success());
    assert!(!path.exists(), "a process that ends removes its file");

    fs::write(&path, "a file of somebody").unwrap();
    let refused = builder.run_to_exit().await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("no socket"), "{said}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "a file of somebody");
}

#[tokio::test]
async fn an_upgrade_hands_a_socket_over_and_refuses_nobody() {
    let more = "drain: { timeout: 1h, websocket_spread: 500ms }\n";
    let (_stub, builder) = before(&[("gate", ""), ("other", "")], more).await;
    let mut gateway = builder.tenants("tenants.yaml", TENANTS).start().await;
    let (path, other) = (socket(&gateway, "gate"), socket(&gateway, "other"));
    let visitors = Visitors::come(path.clone(), &[("acme.test", "acme"), ("globex.test", "globex")]);
    let pid = async || gateway.admin("/v1/status").await["pid"].as_u64().unwrap();
    let mut serving = pid().await;
    // The last successor does not listen on the other socket any more.
    let config = fs::read_to_string(gateway.directory().config()).unwrap();
    let line = config.lines().find(|line| line.contains("other.sock")).unwrap();
    for config in [&config, &config.replace(&format!("{line}\n"), "")] {
        gateway.directory().write("fleetgate.yaml", config.as_bytes());
        visitors.served(50).await;
        let old = rustix::process::Pid::from_raw(i32::try_from(serving).unwrap()).unwrap();
        rustix::process::kill_process(old, Signal::QUIT).unwrap();
        wait_for("another process serves", DEADLINE, async || pid().await != serving).await;
        serving = pid().await;
        visitors.served(50).await;
    }
    let (answered, failures) = visitors.leave().await;
    assert!(answered >= 200 && failures.is_empty(), "{answered} answered, {failures:#?}");
    assert!(gateway.wait_exit(DEADLINE).await.success());
    wait_for("the file that nobody has is removed", DEADLINE, async || !other.exists()).await;
    assert_eq!(ask(&path).await.status, 200);
    let last = rustix::process::Pid::from_raw(i32::try_from(serving).unwrap()).unwrap();
    rustix::process::kill_process(last, Signal::TERM).unwrap();
    wait_for("the last process removes the other", DEADLINE, async || !path.exists()).await;
}
