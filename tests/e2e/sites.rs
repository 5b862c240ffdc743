//! Two sites that reach each other through their gateways alone: clients come to either of them, and are served where writes
//! are taken.

use std::net::SocketAddr;

use fleetgate_stub::{StubOdoo, StubOptions};
use fleetgate_tests::{
    Answer, Authority, Builder, Connection, DEADLINE, Gateway, Postgres, Request, Signed, backend,
    free_address, wait_for, ws_connect,
};
use serde_json::{Value, json};

use crate::fleet::{self, DATABASES};
use crate::regions::{get, pool, post, served_by};

/// Of a tenant whose rate is counted where its clients come in.
const LIMITED: &str =
    "- { id: initech, hosts: [initech.test], limits: { requests_per_second: 1, burst: 3 } }\n";
/// Of the same tenant at the other site.
const UNLIMITED: &str = "- { id: initech, hosts: [initech.test] }\n";
/// A tenant that asks its clients for certificates.
const PROVED: &str = "- { id: globex, hosts: [globex.test], client_certificates: { ca: clients.pem } }\n";
const NAMES: [&str; 2] = ["paris", "dublin"];
/// A listener where clients can show certificates.
const PROVING: &str = "127.0.0.3:0";

/// A region that is reached through the gateway of a site.
pub(crate) fn far_region(site: &str, gateway: SocketAddr) -> String {
    format!(
        "{{ gateways: {{ addresses: [ \"{gateway}\" ], tls: {{ server_name: {site}.gateways.test, ca: ca.pem, \
         client_certificate: {{ certificate: own.pem, key: own.key }} }} }} }}"
    )
}

/// A gateway with what it shows to those of other sites.
pub(crate) fn identified(builder: Builder, authority: &Authority, site: &str) -> Builder {
    let own = authority.sign(&format!("{site}.gateways.test"));
    let folder = builder.directory().folder().join("certs");
    std::fs::create_dir(&folder).unwrap();
    own.write(&folder, "own");
    authority.sign("globex.test").write(&folder, "globex");
    builder.file("ca.pem", &authority.pem).file("own.pem", &own.chain).file("own.key", &own.key)
}

/// Two sites with a server and a gateway each.
struct Sites {
    authority: Authority,
    /// Of the clients of a tenant.
    clients: Authority,
    /// Where gateways serve each other.
    between: [SocketAddr; 2],
    stubs: [StubOdoo; 2],
    gateways: [Gateway; 2],
}

impl Sites {
    /// `keys`: more of the pool.
    async fn start(databases: [&Postgres; 2], keys: &str) -> Self {
        let (authority, clients) = (Authority::new("gateways"), Authority::new("clients"));
        let between = [free_address(), free_address()];
        let stub = |name| StubOdoo::start(StubOptions::new(name, DATABASES));
        let stubs = [stub("paris-1").await.unwrap(), stub("dublin-1").await.unwrap()];
        let gateway = async |site: usize| {
            let region = |place: usize| {
                if place == site {
                    let url = databases[site].url();
                    return format!("{{ backends: [ {} ], postgres: \"{url}\" }}", backend(&stubs[site]));
                }
                far_region(NAMES[place], between[place])
            };
            let config = format!(
                "threads: 2\ntrusted_proxies: [ 127.0.0.1 ]\ndrain: {{ websocket_spread: 0s }}\nlisteners:\n  \
                 - {{ address: \"127.0.0.1:0\" }}\n  \
                 - {{ address: \"{PROVING}\", tls: {{ certificates: certs }} }}\n  \
                 - {{ address: \"{}\", tls: {{ certificates: certs }}, gateways: {{ ca: ca.pem }} }}\n\
                 regions: [ {{ name: paris }}, {{ name: dublin, standby: true }} ]\npools:\n  main:\n    \
                 odoo_version: \"19.0\"\n    database_selection: dbfilter_header\n    \
                 health: {{ interval: 200ms, timeout: 2s }}\n    {keys}regions:\n      paris: {}\n      dublin: {}\n",
                between[site],
                region(0),
                region(1)
            );
            let plain = "- { id: globex, hosts: [globex.test] }\n";
            let tenants = fleet::TENANTS.replace(plain, PROVED) + [UNLIMITED, LIMITED][site];
            let builder =
                Gateway::builder(&config).file("clients.pem", &clients.pem).tenants("tenants.yaml", &tenants);
            identified(builder, &authority, NAMES[site]).start().await
        };
        let gateways = [gateway(0).await, gateway(1).await];
        let sites = Self { authority, clients, between, stubs, gateways };
        for gateway in &sites.gateways {
            wait_for("both regions are seen", DEADLINE, async || {
                let report = pool(gateway).await;
                [0, 1].iter().all(|region| {
                    let region = &report["regions"][region];
                    region["database"]["verdict"] != "unwatched" && region["backends"][0]["verdict"] == "up"
                })
            })
            .await;
        }
        sites
    }

    /// Writes that a server got.
    fn written(&self, site: usize) -> Vec<String> {
        let received = self.stubs[site].received().into_iter().filter(|request| request.method == "POST");
        received.map(|request| request.target).collect()
    }

    /// Has both gateways send requests to dublin, whatever they think.
    async fn pin_to_dublin(&self) {
        for gateway in &self.gateways {
            pin(gateway, "dublin").await;
        }
    }

    /// Asks the gateway of paris over TLS, as a client with a certificate.
    async fn ask_proved(&self, own: &Signed, request: &Request) -> Answer {
        let server = self.gateways[0].listener(PROVING);
        let stream = self.authority.connect(server, "globex.test", Some(own), &[]).await.unwrap();
        Connection::over(stream).await.unwrap().ask(request).await.unwrap()
    }

    /// Asks over the way between gateways.
    async fn ask(&self, site: usize, own: Option<&Signed>, request: &Request) -> std::io::Result<Answer> {
        let name = format!("{}.gateways.test", NAMES[site]);
        let stream = self.authority.connect(self.between[site], &name, own, &[]).await?;
        Connection::over(stream).await?.ask(request).await
    }
}

async fn pin(gateway: &Gateway, region: &str) {
    let arguments = ["regions", "pin", "main", region, "--reason", "a test", "--socket", "admin.sock"];
    assert!(gateway.cli(&arguments).await.status.success());
    wait_for("it is pinned", DEADLINE, async || pool(gateway).await["serving"] == region).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_still_come_to_the_old_site_are_served_by_the_new_one() {
    let primary = Postgres::primary();
    let standby = primary.standby();
    let sites = Sites::start([&primary, &standby], "").await;
    let [old, new] = &sites.gateways;
    // Who comes to the site that stands by is served by the one that does not.
    served_by(old, "paris-1").await;
    served_by(new, "paris-1").await;
    let mut websocket = ws_connect(old.address(), "acme.test", "/websocket", &[]).await;
    assert_eq!(websocket.json().await["server"], "paris-1");

    primary.kill();
    standby.promote();
    served_by(old, "dublin-1").await;
    served_by(new, "dublin-1").await;
    assert_eq!(websocket.closed().await.map(|(code, _)| code), Some(1012));
    sites.stubs.iter().for_each(StubOdoo::forget_received);

    let page = Request::get("acme.test", "/stub/echo?page")
        .header("X-Forwarded-For", "203.0.113.9")
        .header("X-Forwarded-Proto", "https")
        .header("X-Odoo-dbfilter", "^globex$");
    let page = page.send(old.address()).await;
    assert_eq!((page.status, page.database()), (200, Some("acme")), "{}", page.text());
    let got = fleet::only_request(&sites.stubs[1]);
    for (name, value) in [
        ("host", "acme.test"),
        ("x-forwarded-host", "acme.test"),
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-proto", "https"),
        ("x-odoo-dbfilter", "^acme$"),
        ("x-request-id", page.header("x-request-id").unwrap()),
    ] {
        assert_eq!(got.values(name), [value], "{name}");
    }
    for number in 0..20 {
        let write = Request::post("acme.test", &format!("/stub/echo?write={number}"), vec![b'x'; 500_000]);
        let answer = write.send(old.address()).await;
        assert_eq!((answer.status, answer.server()), (200, Some("dublin-1")), "{}", answer.text());
    }
    let mut written = sites.written(1);
    written.sort_unstable();
    written.dedup();
    assert_eq!((written.len(), sites.written(1).len(), sites.written(0).len()), (20, 20, 0));
    let largest = Request::get("acme.test", "/stub/echo").header("X-Large", &"x".repeat(32_600));
    assert_eq!(largest.send(old.address()).await.status, 200, "a head as large as a client may send");
    let call = json!({"service": "common", "method": "login", "args": ["globex", "admin", "admin"]});
    let denied = Request::call("acme.test", "/jsonrpc", &call).send(old.address()).await;
    assert!(denied.text().contains("error"), "a call reached another database: {}", denied.text());
    let mut websocket = ws_connect(old.address(), "acme.test", "/websocket", &[]).await;
    assert_eq!(websocket.json().await["server"], "dublin-1");

    // At the new site this tenant may ask three times. What comes through the old one was counted there.
    for _ in 0..10 {
        let answer = Request::get("initech.test", "/stub/echo").send(old.address()).await;
        assert_eq!((answer.status, answer.server()), (200, Some("dublin-1")), "{}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_takes_one_hop_where_each_of_two_gateways_believes_that_the_other_one_serves() {
    // One database that both sites reach, and operators who disagree.
    let database = Postgres::primary();
    let sites = Sites::start([&database, &database], "failover: { hold: 300ms }\n    ").await;
    for (gateway, region) in sites.gateways.iter().zip(["dublin", "paris"]) {
        pin(gateway, region).await;
    }
    sites.stubs.iter().for_each(StubOdoo::forget_received);
    for (came, went) in [(0, 1), (1, 0)] {
        for answer in [get(&sites.gateways[came]).await, post(&sites.gateways[came]).await] {
            assert_eq!(answer.status, 503);
            assert!(answer.text().contains("region_elsewhere"), "{}", answer.text());
            let id = answer.header("x-request-id").unwrap();
            let of_request = |event: &Value| event["request_id"] == *id;
            for gateway in [came, went] {
                sites.gateways[gateway].access_log().event(id, DEADLINE, of_request).await;
                let log = sites.gateways[gateway].access_log().text();
                assert_eq!(log.matches(id).count(), 1, "{log}");
            }
        }
    }
    assert_eq!([sites.written(0), sites.written(1)].concat(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_between_gateways_is_for_gateways_alone() {
    let database = Postgres::primary();
    let sites = Sites::start([&database, &database], "").await;
    let own = sites.authority.sign("lyon.gateways.test");
    let spoof = Request::get("acme.test", "/stub/echo").header("X-Forwarded-For", "203.0.113.9");
    let served = sites.ask(0, Some(&own), &spoof).await.unwrap();
    assert_eq!((served.status, served.server()), (200, Some("paris-1")));
    let word = Request::get("gateways.fleetgate.invalid", "/pools/main");
    let told = sites.ask(0, Some(&own), &word).await.unwrap();
    assert_eq!(told.status, 200);
    let regions = told.json()["regions"].clone();
    assert_eq!(
        (&regions["paris"]["backends_up"], &regions["dublin"]),
        (&1.into(), &Value::Null),
        "{regions}"
    );
    assert_eq!(sites.ask(0, Some(&own), &word.to("/pools/none")).await.unwrap().status, 421);

    // What a gateway has seen of a client's certificate counts, and what a client says of it does not.
    let proved = Request::get("globex.test", "/stub/echo");
    let shows = |signed: &Signed| proved.clone().header("Client-Cert", &members(&signed.chain)[0]);
    let client = sites.clients.sign("client");
    assert_eq!(sites.ask(0, Some(&own), &shows(&client)).await.unwrap().status, 200);
    for refused in
        [proved.clone(), shows(&sites.authority.sign("client")), shows(&sites.clients.sign_expired("c"))]
    {
        assert_eq!(sites.ask(0, Some(&own), &refused).await.unwrap().status, 403);
    }
    let said = shows(&client).send(sites.gateways[0].address()).await;
    assert_eq!(said.status, 403, "{}", said.text());

    let stranger = Authority::new("strangers").sign("lyon.gateways.test");
    for own in [None, Some(&stranger)] {
        assert!(sites.ask(0, own, &spoof).await.is_err(), "somebody was served as a gateway");
    }
    let public = sites.gateways[0].address();
    assert_eq!(Request::get("gateways.fleetgate.invalid", "/pools/main").send(public).await.status, 421);
    let plain = Request::get("acme.test", "/stub/echo").try_send(sites.between[0]).await;
    assert!(plain.is_err(), "the way between gateways speaks plain HTTP");
}

/// Certificates in PEM as the fields `Client-Cert` and `Client-Cert-Chain` write them.
fn members(pem: &str) -> Vec<String> {
    let certificates = pem.split_terminator("-----END CERTIFICATE-----").map(|certificate| {
        let lines = certificate.lines().filter(|line| !line.starts_with("---"));
        format!(":{}:", lines.collect::<String>())
    });
    certificates.filter(|member| member != "::").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_whose_certificate_comes_by_intermediates_is_served_at_the_other_site() {
    let database = Postgres::primary();
    let sites = Sites::start([&database, &database], "").await;
    let near = sites.clients.below("europe");
    let (far, stranger) = (near.below("france").below("paris"), Authority::new("strangers").below("europe"));
    let page = Request::get("globex.test", "/stub/echo");
    for server in ["paris-1", "dublin-1"] {
        for (signed, status) in [
            (sites.clients.sign("jane"), 200),
            (near.sign("jane"), 200),
            (far.sign("jane"), 200),
            (stranger.sign("jane"), 403),
        ] {
            let answer = sites.ask_proved(&signed, &page).await;
            let expected = (status, (status == 200).then_some(server));
            assert_eq!((answer.status, answer.server()), expected, "{}", answer.text());
        }
        sites.pin_to_dublin().await;
    }
    let received = sites.stubs[1].received();
    assert!(received.iter().all(|request| request.values("client-cert-chain").is_empty()));

    let own = sites.authority.sign("lyon.gateways.test");
    let shown = members(&near.sign("jane").chain);
    let endless = vec![shown[1].clone(); 20].join(", ");
    for (chain, status) in [(&*shown[1], 200), (":bm9uZQ==:", 403), ("none", 403), ("", 403), (&endless, 403)]
    {
        let told = page.clone().header("Client-Cert", &shown[0]).header("Client-Cert-Chain", chain);
        assert_eq!(sites.ask(1, Some(&own), &told).await.unwrap().status, status, "{chain:.99}");
    }
    // What a client says of its own chain counts for nothing.
    let signed = near.sign("jane");
    let leaf = signed.chain.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap().to_owned();
    let borrowed = page.header("Client-Cert-Chain", &shown[1]);
    assert_eq!(sites.ask_proved(&Signed { chain: leaf, ..signed }, &borrowed).await.status, 403);
}
