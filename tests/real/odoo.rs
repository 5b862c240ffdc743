//! The gateway before a real Odoo 19 with two databases, used by real clients of both tenants at once.
//!
//! `odoo/fleet.sh` installs what is missing, so the first run takes minutes. `$FLEETGATE_LAB` says where (default:
//! `.lab` in the repository).
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says what failed and what it saw"
)]

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fleetgate_tests::{
    Gateway, Lab, RawConnection, get_spelling, http_get, manager_spellings, odoo_script, psql, run_to_end,
    send_spelling, wait_for,
};
use tokio::process::Command;
use tokio::task::JoinSet;

/// For a statement of PostgreSQL on a busy machine.
const STATEMENT: Duration = Duration::from_secs(300);
const VISIT: Duration = Duration::from_secs(300);

const TENANTS: &str = "\
- { id: acme, hosts: [acme.example.com, shop.acme.test] }
- { id: globex, hosts: [globex.example.com] }
- { id: initech, hosts: [initech.example.com], guards: { rpc: { deny_models: [ir.cron] } } }
";

#[tokio::test(flavor = "multi_thread")]
async fn users_of_two_tenants_work_in_a_real_odoo_at_once_and_never_meet() {
    let fleet = Fleet::start().await;
    let gateway = Gateway::builder(&fleet.config()).tenants("fleet.yaml", TENANTS).start().await;
    let address = gateway.address().to_string();

    no_spelling_finds_the_database_manager(&fleet, gateway.address()).await;
    slow_uploads_hold_no_worker(gateway.address()).await;
    run(Command::new(fleet.part("venv/bin/python")).arg(odoo_script("clients.py")).arg(&address), VISIT)
        .await;
    let mut designer = Command::new(fleet.part("venv/bin/python"));
    run(designer.arg(odoo_script("designer.py")).arg(&address).arg(fleet.0.http_port.to_string()), VISIT)
        .await;
    run(Command::new(fleet.part("node/node")).arg(odoo_script("browser.mjs")).arg(&address), VISIT).await;
}

const LIMITED_TENANTS: &str = "\
- { id: globex, hosts: [globex.example.com], limits: { requests_per_second: 1, burst: 5 } }
";

#[tokio::test(flavor = "multi_thread")]
async fn programs_can_read_that_a_limit_is_reached() {
    let fleet = Fleet::start().await;
    let gateway = Gateway::builder(&fleet.config()).tenants("fleet.yaml", LIMITED_TENANTS).start().await;
    let address = gateway.address().to_string();
    run(Command::new(fleet.part("venv/bin/python")).arg(odoo_script("limited.py")).arg(&address), VISIT)
        .await;
}

const BUSY_TENANTS: &str = "\
- { id: globex, hosts: [globex.example.com], limits: { requests_per_second: 20, burst: 200 } }
";

#[tokio::test(flavor = "multi_thread")]
async fn the_web_client_says_that_a_limit_is_reached_and_goes_on_by_itself() {
    let fleet = Fleet::start().await;
    let gateway = Gateway::builder(&fleet.config()).tenants("fleet.yaml", BUSY_TENANTS).start().await;
    let address = gateway.address().to_string();
    run(Command::new(fleet.part("node/node")).arg(odoo_script("limited.mjs")).arg(&address), VISIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_frees_no_worker_before_odoo_is_done() {
    let fleet = Fleet::start().await;
    let config = fleet.config().replace("\" }]", "\", workers: 2 }]");
    let gateway = Gateway::builder(&config).tenants("fleet.yaml", TENANTS).start().await;
    let address = gateway.address().to_string();
    let mut leave = Command::new(fleet.part("venv/bin/python"));
    run(leave.arg(odoo_script("leave.py")).args([&address, &fleet.0.postgres_port.to_string()]), VISIT).await;
    let mut looks = 0;
    loop {
        let status = gateway.admin("/v1/status").await;
        let held = status["pools"][0]["admission"]["held"].as_u64().expect("a pool with workers");
        // Asked for later than what is held: whoever works now has worked then.
        let working = fleet.working().await;
        if working == 0 {
            break;
        }
        assert!(held >= working, "{held} permits for {working} workers");
        let page = http_get(gateway.address(), "acme.example.com", "/web/login").await;
        assert_eq!(page.status, 200, "the other worker serves: {}", page.text());
        looks += 1;
    }
    assert!(looks > 0, "the work was over before anybody looked");
    wait_for("the permit is given back", VISIT, async || {
        gateway.admin("/v1/status").await["pools"][0]["admission"]["held"] == 0
    })
    .await;
    println!("ok the permit was held at each of {looks} looks at a worker whose client had left");
}

/// Odoo itself answers to many of the spellings, and to none of them through the gateway.
async fn no_spelling_finds_the_database_manager(fleet: &Fleet, gateway: SocketAddr) {
    const HOST: &str = "acme.example.com";
    let spellings = manager_spellings(HOST);
    let odoo = SocketAddr::from((Ipv4Addr::LOCALHOST, fleet.0.http_port));
    let (mut direct, mut leaks) = (0, Vec::new());
    for target in &spellings {
        // Looks only: what is posted here would be done.
        let answer = get_spelling(odoo, HOST, target).await.expect("Odoo takes connections");
        direct += usize::from(is_manager(&answer));
        let answers = send_spelling(gateway, HOST, target).await.expect("the gateway takes connections");
        if answers.iter().any(|answer| is_manager(answer)) {
            leaks.push(target);
        }
    }
    println!(
        "ok {} spellings of the database manager: Odoo answers {direct}, behind the gateway none",
        spellings.len()
    );
    assert!(
        spellings.len() >= 500 && direct >= 50,
        "{direct} of {} spellings mean anything",
        spellings.len()
    );
    assert!(leaks.is_empty(), "LEAK: {leaks:#?}");
}

/// Whether an answer is one of the manager's: a page with its forms, a file, a redirect back to it, a refusal of the
/// master password, or of a method that the route does not take.
fn is_manager(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let status = text.get(9..12).unwrap_or_default();
    let page =
        text.contains("master_pwd") || text.contains("/web/database/") || text.contains("Access Denied");
    matches!(status, "200" | "303" | "405") && (page || status == "405")
}

/// Twenty clients of one tenant upload a byte a second, and the pages of the other are answered meanwhile: Odoo has two
/// workers, and would be done with neither.
async fn slow_uploads_hold_no_worker(gateway: SocketAddr) {
    const UPLOADS: usize = 20;
    const PAGES: u32 = 10;
    let (paused, rest) =
        (r#"{"jsonrpc":"2.0","method":"call","params":{},"pad":""#, "a".repeat(100) + r#""}"#);
    let head = format!(
        "POST /web/webclient/version_info HTTP/1.1\r\nHost: acme.example.com\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{paused}",
        paused.len() + rest.len()
    );
    let pages_done = Arc::new(AtomicBool::new(false));
    let mut uploads = JoinSet::new();
    for _ in 0..UPLOADS {
        let mut upload = RawConnection::open(gateway).await.expect("the gateway takes connections");
        upload.send(&head).await.expect("the gateway reads a head");
        let (rest, pages_done) = (rest.clone(), Arc::clone(&pages_done));
        uploads.spawn(async move {
            let mut seconds = tokio::time::interval(Duration::from_secs(1));
            let mut sent = 0;
            while !pages_done.load(Ordering::Relaxed) {
                seconds.tick().await;
                upload
                    .send(rest.get(sent..=sent).expect("fewer pages than bytes"))
                    .await
                    .expect("the upload goes on");
                sent += 1;
            }
            upload.send(rest.get(sent..).unwrap_or_default()).await.expect("the upload ends");
            String::from_utf8_lossy(upload.read_to_end().await.expect("an answer")).into_owned()
        });
    }
    let started = Instant::now();
    for _ in 0..PAGES {
        let page = http_get(gateway, "globex.example.com", "/web/login").await;
        assert_eq!(page.status, 200, "{}", page.text());
        assert!(page.text().contains("csrf_token"), "{}", page.text());
    }
    let each = started.elapsed() / PAGES;
    pages_done.store(true, Ordering::Relaxed);
    for answer in uploads.join_all().await {
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("server_version"), "{answer}");
    }
    println!(
        "ok {PAGES} pages, {each:?} each, beside {UPLOADS} uploads of a byte a second, which all succeed"
    );
}

/// A link in a filestore, which Odoo must not find when the test is over.
struct Link(PathBuf);

impl Link {
    fn new(at: PathBuf, to: &Path) -> Self {
        symlink(to, &at).expect("a link");
        Self(at)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        fs::remove_file(&self.0).expect("a link");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_database_calls_its_files_odoo_and_the_gateway_send_none_of_another() {
    let fleet = Fleet::start().await;
    let gateway = Gateway::builder(&fleet.config()).tenants("fleet.yaml", TENANTS).start().await;
    let store = fleet.part("data/filestore");
    let mut folders = (0..=u8::MAX).map(|number| format!("{number:02x}"));
    let folder = folders.find(|name| !store.join("acme").join(name).exists()).expect("a folder is free");
    // Named as Odoo names files: the folder is the start of a checksum.
    let file = |number: u32| format!("{folder}{number:038}");
    let secret = store.join("globex").join(&folder).join(file(3));
    for (path, text) in [
        (&secret, "a secret of globex"),
        (&store.join("acme/fe").join("fe".to_owned() + &"0".repeat(38)), "a file of acme"),
        (&store.join("acme/%2e%2e/globex").join(&folder).join(file(3)), "an odd file of acme"),
        (&store.join("acme/fe/own"), "no file that Odoo would make"),
    ] {
        fs::create_dir_all(path.parent().expect("a folder")).expect("the filestore may be written to");
        fs::write(path, text).expect("the filestore may be written to");
    }
    let link = "fe".to_owned() + &"1".repeat(38);
    let _to_a_file = Link::new(store.join("acme/fe").join(&link), &secret);
    let _to_a_folder = Link::new(store.join("acme").join(&folder), &store.join("globex").join(&folder));
    let elsewhere = format!("globex/{folder}/{}", file(3));
    for (name, sent) in [
        (format!("fe/fe{}", "0".repeat(38)), true),
        (format!("fe/{link}"), false),
        (format!("{folder}/{}", file(3)), false),
        (format!("../{elsewhere}"), false),
        (format!("fe/../../{elsewhere}"), false),
        (format!("fe//fe{}/../../../{elsewhere}", "0".repeat(38)), false),
        (format!("%2e%2e/{elsewhere}"), false),
        ("fe/own".to_owned(), false),
        ("/etc/hostname".to_owned(), false),
    ] {
        let insert = format!(
            "insert into ir_attachment (name, type, public, mimetype, store_fname, checksum, file_size) \
             values ('odd.bin', 'binary', true, 'application/octet-stream', '{name}', 'odd', 18) returning id"
        );
        let id = fleet.sql("acme", &insert).await;
        let path = format!("/web/content/{id}/odd.bin?download=true");
        let answer = http_get(gateway.address(), "acme.example.com", &path).await;
        fleet.sql("acme", &format!("delete from ir_attachment where id = {id}")).await;
        assert!(!answer.text().contains("globex"), "{name}: {}", answer.text());
        let own = answer.status == 200 && answer.text() == "a file of acme";
        assert_eq!(own, sent, "{name}: {} {}", answer.status, answer.text());
        println!("ok {name} is answered {}", answer.status);
    }
}

/// The fleet of a lab as it is.
struct Fleet(Lab);

impl Fleet {
    async fn start() -> Self {
        Self(Lab::up().await)
    }

    fn part(&self, name: &str) -> PathBuf {
        self.0.folder.join(name)
    }

    /// Workers that PostgreSQL keeps busy with `pg_sleep`.
    async fn working(&self) -> u64 {
        let question =
            "select count(*) from pg_stat_activity where state = 'active' and query like 'select pg_sleep%'";
        self.sql("postgres", question).await.parse().expect("a number")
    }

    /// Runs a statement in a database, and returns what it prints.
    async fn sql(&self, database: &str, statement: &str) -> String {
        let mut psql = Command::from(psql(self.0.postgres_port, "postgres", database, statement));
        run_to_end(&mut psql, STATEMENT).await.trim().to_owned()
    }

    /// Clients come by plain HTTP here, and none of them sends a `Secure` cookie over that.
    fn config(&self) -> String {
        format!(
            r#"
regions: [{{ name: here }}]
pools:
  shared:
    odoo_version: "19.0"
    database_selection: dbfilter_header
    session_cookie: {{ secure: false }}
    filestore: "{}"
    regions:
      here: {{ backends: [{{ http: "127.0.0.1:{}", websocket: "127.0.0.1:{}" }}] }}
"#,
            self.part("data/filestore").display(),
            self.0.http_port,
            self.0.gevent_port
        )
    }
}

/// Runs a program to its end, shows what it said, and returns that.
async fn run(command: &mut Command, deadline: Duration) -> String {
    let said = run_to_end(command, deadline).await;
    print!("{said}");
    said
}
