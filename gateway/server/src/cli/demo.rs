//! A fleet to try things out on: stand-in Odoo servers in two regions, three tenants, and a little traffic.

use crate::runtime::{StartError, run};
use crate::telemetry::operations;
use fleetgate_stub::{SessionStore, StubOdoo, StubOptions};
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::interval;

/// What the log tells during a demo: only what needs eyes.
const QUIET: &str = "warn,fleetgate::reload=info,pingora_core=off,pingora_proxy=off";
/// Hosts and paths of the visitor that makes the live traffic.
const VISITS: [(&str, &str); 6] = [
    ("acme.localhost", "/odoo"),
    ("globex.localhost", "/web/login"),
    ("north.shops.localhost", "/"),
    ("acme.localhost", "/web/static/src/demo.css"),
    ("south.shops.localhost", "/web/health"),
    ("nobody.localhost", "/"),
];
const VISIT_EVERY: Duration = Duration::from_millis(1_500);

/// Runs the demo until it is interrupted.
pub(super) fn run_demo(listen: SocketAddr) -> Result<(), StartError> {
    operations::start_with(QUIET);
    let servers = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let fleet = servers.block_on(Fleet::start())?;
    let folder = std::env::temp_dir().join(format!("fleetgate-demo-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("tenants.d"))?;
    std::fs::write(folder.join("fleetgate.yaml"), fleet.config(listen, &folder))?;
    for (name, text) in TENANTS {
        std::fs::write(folder.join("tenants.d").join(name), text)?;
    }
    let _reader_gone = io::stdout().lock().write_all(welcome(listen, &folder).as_bytes());
    servers.spawn(visit(listen));
    let ended = run(&folder.join("fleetgate.yaml"), LiveTraffic);
    std::fs::remove_dir_all(&folder)?;
    ended
}

const TENANTS: [(&str, &str); 3] = [
    ("acme.yaml", "- { id: acme, hosts: [acme.localhost, shop.acme.localhost], database: acme }\n"),
    ("globex.yaml", "- { id: globex, hosts: [globex.localhost], database: globex }\n"),
    ("shops.yaml", "- { id: \"{1}\", hosts: [\"*.shops.localhost\"], database: \"{1}\" }\n"),
];

/// The stand-in servers.
struct Fleet {
    paris: [StubOdoo; 2],
    dublin: StubOdoo,
}

impl Fleet {
    async fn start() -> io::Result<Self> {
        let sessions = SessionStore::default();
        let options = |name: &str| {
            let mut options = StubOptions::new(name, ["acme", "globex", "north", "south"]);
            options.sessions = sessions.clone();
            options
        };
        let paris = [StubOdoo::start(options("paris-1")).await?, StubOdoo::start(options("paris-2")).await?];
        Ok(Self { paris, dublin: StubOdoo::start(options("dublin-1")).await? })
    }

    fn config(&self, listen: SocketAddr, folder: &Path) -> String {
        let backend = |stub: &StubOdoo| {
            format!("{{ http: \"{}\", websocket: \"{}\" }}", stub.http_addr(), stub.gevent_addr())
        };
        let [first, second] = &self.paris;
        format!(
            r#"listeners: [ {{ address: "{listen}" }} ]
admin: {{ socket: {socket} }}
drain: {{ timeout: 5s, websocket_spread: 1s }}
regions: [ {{ name: paris }}, {{ name: dublin, standby: true }} ]
pools:
  shared:
    odoo_version: "19.0"
    database_selection: dbfilter_header
    session_cookie: {{ secure: false }}
    regions:
      paris: {{ backends: [ {first}, {second} ] }}
      dublin: {{ backends: [ {dublin} ] }}
tenants_directory: tenants.d
"#,
            socket = folder.join("admin.sock").display(),
            first = backend(first),
            second = backend(second),
            dublin = backend(&self.dublin),
        )
    }
}

fn welcome(listen: SocketAddr, folder: &Path) -> String {
    let port = listen.port();
    let program = std::env::args().next().unwrap_or_else(|| "fleetgate".to_owned());
    let socket = folder.join("admin.sock");
    format!(
        r#"Fleetgate demo: tenants acme, globex and *.shops on a stand-in Odoo fleet in paris, with dublin standing by.

Open in a browser     http://acme.localhost:{port}/odoo   http://globex.localhost:{port}/odoo
                      http://north.shops.localhost:{port}/
Log in as anybody     http://acme.localhost:{port}/web/login
A host of nobody      curl -i http://nobody.localhost:{port}/
What would happen     {program} explain http://shop.acme.localhost:{port}/web/login --socket {socket}
What is going on      {program} status --socket {socket}
Change it live        edit {tenants}
                      for example add `state: maintenance` to globex, or break the file and see that nobody notices

Live traffic (Ctrl-C ends it):
"#,
        socket = socket.display(),
        tenants = folder.join("tenants.d").display(),
    )
}

/// Visits a tenant every now and then.
async fn visit(gateway: SocketAddr) {
    let mut ticks = interval(VISIT_EVERY);
    for (host, path) in VISITS.iter().cycle() {
        ticks.tick().await;
        // A visitor whom nobody answers tries again at the next tick.
        let _answered = ask(gateway, host, path).await;
    }
}

async fn ask(gateway: SocketAddr, host: &str, path: &str) -> io::Result<()> {
    let mut stream = TcpStream::connect(gateway).await?;
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: {host}:{}\r\nconnection: close\r\n\r\n", gateway.port());
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(64 * 1024).read_to_end(&mut answer).await?;
    Ok(())
}

/// Shows access events as short lines.
struct LiveTraffic;

impl Write for LiveTraffic {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let mut text = String::new();
        for line in lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            if let Ok(event) = serde_json::from_slice::<Value>(line) {
                show(&mut text, &event);
            }
        }
        io::stdout().lock().write_all(text.as_bytes())?;
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().lock().flush()
    }
}

fn show(text: &mut String, event: &Value) {
    let field = |name: &str| match event.get(name) {
        Some(Value::String(value)) => value.clone(),
        Some(Value::Null) | None => "-".to_owned(),
        Some(value) => value.to_string(),
    };
    let time = field("time").get(11..19).unwrap_or_default().to_owned();
    // Writing to a string does not fail.
    let _infallible = writeln!(
        text,
        "{time}  {:<8} {:<11} {:<4} {:<26} {:<28} {:>3} {:>9} ms  {}",
        field("tenant"),
        field("class"),
        field("method"),
        field("host"),
        field("path"),
        field("status"),
        field("duration_ms"),
        if event.get("rejection").is_some() { field("rejection") } else { field("backend") },
    );
}
