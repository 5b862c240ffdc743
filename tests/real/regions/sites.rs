//! Two sites, each with an Odoo, a database and a gateway, whose gateways reach each other and nothing else of the other site:
//! users stay at the old site's gateway while the new site takes over.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use fleetgate_tests::{Answer, Authority, DEADLINE, Gateway, Postgres, Request, free_address, wait_for};
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::browser::Browser;
use crate::odoo::Odoo;
use crate::site::{Site, TENANTS, pool, region};

/// For a real Odoo to load a registry on a busy machine.
const SERVED: Duration = Duration::from_secs(60);
/// Where the browser is.
const USER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 77);
/// Where programs are, as a proxy before the gateway says.
const PROGRAM: &str = "203.0.113.9";
/// The listener for browsers.
const SECURE: &str = "127.0.0.2:0";
const NAMES: [&str; 2] = ["paris", "dublin"];

/// The way of a browser to its gateway: browsers cannot be told from which address they connect.
struct Way {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Way {
    async fn start(gateway: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(pass(client, gateway));
            }
        });
        Self { address, task }
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(mut client: TcpStream, gateway: SocketAddr) -> std::io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((USER, 0).into())?;
    let mut gateway = socket.connect(gateway).await?;
    copy_bidirectional(&mut client, &mut gateway).await.map(drop)
}

/// Two sites with streaming replication from paris to dublin.
struct Sites {
    site: Site,
    standby: Postgres,
    paris: Odoo,
    dublin: Odoo,
    gateways: [Gateway; 2],
}

impl Sites {
    async fn new() -> Self {
        let site = Site::new().await;
        let standby = site.primary.standby();
        let (paris, dublin) = tokio::join!(site.odoo("paris", &site.primary), site.odoo("dublin", &standby));
        let near = [region("paris", &[&paris], &site.primary), region("dublin", &[&dublin], &standby)];
        let (authority, between) = (Authority::new("gateways"), [free_address(), free_address()]);
        let gateways = [0, 1].map(|place| gateway(place, &near[place], &authority, between).start());
        let [old, new] = gateways;
        let gateways = tokio::join!(old, new).into();
        let sites = Self { site, standby, paris, dublin, gateways };
        for gateway in &sites.gateways {
            sites
                .until(gateway, "it sees both sites", |pool| {
                    let region = |place: usize| &pool["regions"][place];
                    pool["serving"] == "paris"
                        && region(1)["database"]["verdict"] == "standby"
                        && [0, 1].iter().all(|place| region(*place)["backends"][0]["verdict"] == "up")
                })
                .await;
        }
        sites
    }

    async fn until(&self, gateway: &Gateway, what: &str, is: impl Fn(&Value) -> bool) {
        wait_for(what, DEADLINE, async || is(&pool(gateway).await)).await;
    }

    /// The site of paris is gone, but for its gateway, and dublin is promoted.
    async fn fail_over(&mut self) {
        self.site.primary.stop();
        self.paris.kill();
        self.standby.promote();
        for gateway in &self.gateways {
            self.until(gateway, "it follows to dublin", |pool| pool["serving"] == "dublin").await;
        }
    }

    /// Asks the gateway of paris, as a program behind a proxy.
    async fn ask(&self, request: &Request) -> std::io::Result<Answer> {
        let told = request.clone().header("X-Forwarded-For", PROGRAM).header("X-Forwarded-Proto", "https");
        told.try_send(self.gateways[0].address()).await
    }

    /// The result of a call through the gateway of paris, once there is one.
    async fn result(&self, path: &str, params: &Value) -> Value {
        let mut result = Value::Null;
        wait_for(path, SERVED, async || {
            let answer = self.ask(&Request::call("acme.example.com", path, params)).await;
            let answer = answer.ok().filter(|answer| answer.status == 200);
            let body: Option<Value> = answer.and_then(|answer| serde_json::from_slice(&answer.body).ok());
            result = body.and_then(|mut body| Some(body.get_mut("result")?.take())).unwrap_or_default();
            !result.is_null()
        })
        .await;
        result
    }

    /// Programs call and poll through the gateway of paris.
    async fn programs_work(&self, name: &str) {
        let arguments = json!(["acme", 2, "admin-acme", "res.partner", "create", [{ "name": name }]]);
        let call = json!({ "service": "object", "method": "execute_kw", "args": arguments });
        assert!(self.result("/jsonrpc", &call).await.is_u64());
        // What is left of longpolling since Odoo 16.0.
        let poll = json!({ "channels": [], "last": 0, "is_first_poll": true });
        assert!(self.result("/websocket/peek_notifications", &poll).await.is_object());
        println!("ok programs call and poll: {name}");
    }
}

/// The gateway of a site, which knows the servers of its own site alone.
fn gateway(
    place: usize,
    near: &str,
    authority: &Authority,
    between: [SocketAddr; 2],
) -> fleetgate_tests::Builder {
    let far = |place: usize| {
        format!(
            "      {}: {{ gateways: {{ addresses: [ \"{}\" ], tls: {{ server_name: {0}.gateways.test, ca: ca.pem, \
             client_certificate: {{ certificate: certs/own.crt, key: certs/own.key }} }} }} }}\n",
            NAMES[place], between[place]
        )
    };
    let regions = if place == 0 { near.to_owned() + &far(1) } else { far(0) + near };
    let config = format!(
        "threads: 2\ntrusted_proxies: [ 127.0.0.1 ]\ndrain: {{ websocket_spread: 0s }}\nlisteners:\n  \
         - {{ address: \"127.0.0.1:0\" }}\n  \
         - {{ address: \"{SECURE}\", tls: {{ certificates: certs }} }}\n  \
         - {{ address: \"{}\", tls: {{ certificates: certs }}, gateways: {{ ca: ca.pem }} }}\n\
         regions: [ {{ name: paris }}, {{ name: dublin, standby: true }} ]\npools:\n  shared:\n    \
         odoo_version: \"19.0\"\n    database_selection: dbfilter_header\n    regions:\n{regions}",
        between[place]
    );
    let builder = Gateway::builder(&config).tenants("tenants.yaml", TENANTS).file("ca.pem", &authority.pem);
    let folder = builder.directory().folder().join("certs");
    std::fs::create_dir(&folder).unwrap();
    authority.sign(&format!("{}.gateways.test", NAMES[place])).write(&folder, "own");
    authority.sign("acme.example.com").write(&folder, "acme");
    builder
}

/// Whom Odoo takes for its clients: an address for each request.
fn clients(odoo: &Odoo) -> Vec<String> {
    let client = |line: &String| {
        let (before, _) = line.split_once(" - - [").unwrap_or((line, ""));
        before.rsplit(' ').next().unwrap_or_default().to_owned()
    };
    odoo.requests().iter().map(client).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn users_stay_at_the_old_site_and_are_served_at_the_new_one_as_if_they_had_come_there() {
    let mut sites = Sites::new().await;
    let way = Way::start(sites.gateways[0].listener(SECURE)).await;
    sites.programs_work("before").await;
    let mut browser = Browser::start("sites.mjs", &sites.site, way.address);
    browser.says("the session that both sites know is made").await;
    sites.site.copy_sessions();
    browser.go_on().await;
    browser.says("the session that the new site does not know is made").await;
    assert_eq!(sites.dublin.requests(), Vec::<String>::new(), "a standby that nobody promoted got requests");

    sites.fail_over().await;
    sites.programs_work("after").await;
    browser.go_on().await;
    for step in [
        "shows a message that came over the websocket, without a login or a reload",
        "takes a file up and down",
        "opens a page without a login",
        "opens a page after a new login",
    ] {
        browser.says(step).await;
    }
    let user = USER.to_string();
    for odoo in [&sites.paris, &sites.dublin] {
        let clients = clients(odoo);
        let strangers: Vec<_> = clients
            .iter()
            .zip(odoo.requests())
            .filter(|(client, _)| **client != user && *client != PROGRAM)
            .collect();
        assert!(strangers.is_empty(), "Odoo takes gateways for clients: {strangers:#?}");
        for client in [&*user, PROGRAM] {
            let asked = clients.iter().filter(|known| *known == client).count();
            println!("ok {asked} requests are those of {client}");
            assert!(asked > 0, "Odoo knows nothing of {client}");
        }
    }
    // An administrator who logs in leaves there by which URL that was.
    let base = "SELECT value FROM ir_config_parameter WHERE key = 'web.base.url'";
    let expected = format!("https://acme.example.com:{}", way.address.port());
    assert_eq!(sites.standby.sql_in("acme", base), expected);
    let stored =
        sites.standby.sql_in("acme", "SELECT name FROM res_partner WHERE name IN ('before', 'after')");
    assert_eq!(stored.lines().count(), 2, "{stored}");
}
