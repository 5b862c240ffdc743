//! What a config says about TLS: of pools, of tenants' clients, of listeners.

use super::{MAIN, World};
use crate::config::{Fleet, MainFile, compile};
use crate::host::HostKey;
use crate::pool::DatabaseSource;

const LISTENER: &str = "{ address: \"127.0.0.1:8080\" }";

fn world() -> World {
    let files = [("ca.pem", "one"), ("other.pem", "two"), ("own.pem", "chain"), ("own.key", "key")];
    World { files: files.into_iter().collect(), ..World::default() }
}

/// The main file with another listener, further keys of the pool and tenants; and what is said about it.
fn read(listener: &str, pool: &str, tenants: &str) -> (MainFile, Vec<String>) {
    let text = MAIN.replace(LISTENER, listener).replace("    regions:\n", &format!("{pool}    regions:\n"));
    let (main, problems) = MainFile::parse("fleetgate.yaml", &(text + tenants), &world(), 4);
    (main, problems.iter().map(ToString::to_string).collect())
}

/// Exactly one problem that holds all parts.
#[track_caller]
fn one(said: &[String], parts: &[&str]) {
    assert_eq!(said.len(), 1, "{said:#?}");
    for part in parts {
        assert!(said[0].contains(part), "no `{part}` in {}", said[0]);
    }
}

fn fleet(tenants: &str) -> Fleet {
    let (main, said) = read(LISTENER, "", tenants);
    assert_eq!(said, Vec::<String>::new());
    compile(&main, &[]).config.unwrap().fleet
}

#[test]
fn a_pool_names_who_its_backends_are_and_never_nobody() {
    let identity = "client_certificate: { certificate: own.pem, key: own.key }";
    let tls = format!("    tls: {{ server_name: Odoo.Internal, ca: ca.pem, {identity} }}\n");
    let (main, said) = read(LISTENER, &tls, "tenants: [ { id: acme, hosts: [acme.test] } ]\n");
    assert_eq!(said, Vec::<String>::new());
    let fleet = compile(&main, &[]).config.unwrap().fleet;
    let tls = fleet.pools[0].tls.as_ref().unwrap();
    assert_eq!(tls.server_name.as_str(), "odoo.internal");
    assert_eq!(tls.authorities.iter().collect::<Vec<_>>(), [b"one"]);
    assert!(!format!("{tls:?}").contains("\"key\","), "a key is never printed");
    for (tls, parts) in [
        ("{ ca: ca.pem }", ["pools.shared.tls", "the key `server_name` is missing"]),
        ("{ server_name: \"\", ca: ca.pem }", ["pools.shared.tls.server_name", "is not valid"]),
        ("{ server_name: \"[::1]\", ca: ca.pem }", ["pools.shared.tls.server_name", "it is an address"]),
        ("{ server_name: odoo.internal }", ["pools.shared.tls", "the key `ca` is missing"]),
        ("{ server_name: odoo.internal, ca: gone.pem }", ["pools.shared.tls.ca", "does not exist"]),
    ] {
        one(&read(LISTENER, &format!("    tls: {tls}\n"), "").1, &parts);
    }
}

#[test]
fn tenants_with_the_same_authorities_share_them_and_others_do_not() {
    let tenants = "tenants:\n  - { id: a, hosts: [a.test], client_certificates: { ca: ca.pem } }\n  \
                   - { id: b, hosts: [b.test], client_certificates: { ca: ca.pem } }\n  \
                   - { id: c, hosts: [c.test], client_certificates: { ca: other.pem, required: false } }\n  \
                   - { id: d, hosts: [d.test] }\n";
    let fleet = fleet(tenants);
    let asked = |host: &str| {
        let (key, _) = HostKey::parse(host.as_bytes()).unwrap();
        let found = fleet.tenants.resolve(&key).unwrap();
        fleet.client_certificates_of(&found).map(|asked| (asked.required, asked.authorities.clone()))
    };
    assert_eq!(asked("a.test"), asked("b.test"));
    assert_ne!(asked("a.test"), asked("c.test"));
    assert_eq!((asked("d.test"), fleet.client_certificates.len()), (None, 2));
    let broken = "tenants: [ { id: a, hosts: [a.test], client_certificates: { ca: gone.pem } } ]\n";
    one(&read(LISTENER, "", broken).1, &["tenants[0].client_certificates.ca", "`gone.pem` does not exist"]);
}

#[test]
fn a_name_that_is_passed_through_leads_to_one_server() {
    let listener = |passthrough: &str| {
        format!(
            "{{ address: \"127.0.0.1:8080\", tls: {{ certificates: c }}, passthrough: [ {passthrough} ] }}"
        )
    };
    let route = "{ hosts: [a.test, \"*.b.test\"], address: \"10.0.0.9:443\" }";
    let (main, said) = read(&listener(route), "", "tenants: [ { id: acme, hosts: [acme.test] } ]\n");
    assert_eq!(said, Vec::<String>::new());
    let config = compile(&main, &[]).config.unwrap();
    assert_eq!(config.process.listeners[0].passthrough[0].hosts.len(), 2);
    let twice = format!("{route}, {{ hosts: [c.test, A.test], address: \"10.0.0.8:443\" }}");
    one(
        &read(&listener(&twice), "", "").1,
        &["listeners[0].passthrough[1]", "`a.test` leads to two servers"],
    );
    let redirect =
        format!("{{ address: \"127.0.0.1:8080\", redirect_to_https: true, passthrough: [ {route} ] }}");
    one(&read(&redirect, "", "").1, &["listeners[0].passthrough[0]", "sees no TLS"]);
    one(&read(&listener("{ hosts: [], address: \"10.0.0.9:443\" }"), "", "").1, &["the list has 0 entries"]);
}

#[test]
fn a_postgres_url_that_asks_for_tls_is_never_asked_in_the_clear() {
    let url = "postgres: \"postgres://probe@db.internal/postgres?sslmode=verify-full\"";
    let with = |pool: &str, url: &str| {
        let text = MAIN.replace("    regions:\n", &format!("{pool}    regions:\n"));
        let text = text.replace("paris: { backends", &format!("paris: {{ {url}, backends"));
        let (main, problems) = MainFile::parse("fleetgate.yaml", &text, &world(), 4);
        (main, problems.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    one(&with("", url).1, &["paris.postgres", "sslmode=verify-full", "postgres_tls"]);
    let tls = "    postgres_tls: { ca: ca.pem }\n";
    one(&with(tls, url).1, &["paris.postgres", "sslmode=verify-full", "leave `sslmode` out"]);
    for mode in ["", "?sslmode=require", "?sslmode=prefer"] {
        let (main, said) = with(tls, &url.replace("?sslmode=verify-full", mode));
        assert!(said.iter().all(|line| !line.contains("postgres")), "{said:#?}");
        let pools = &main.pools.good;
        assert!(pools[0].postgres_tls.is_some());
    }
}

#[test]
fn a_region_asks_postgresql_or_patroni_and_knows_whose_certificates_they_show() {
    let with = |pool: &str, keys: &str| {
        let text = MAIN.replace("    regions:\n", &format!("{pool}    regions:\n"));
        let text = text.replace("paris: { backends", &format!("paris: {{ {keys}, backends"));
        let (main, problems) = MainFile::parse("fleetgate.yaml", &text, &world(), 4);
        (main, problems.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let (main, said) = with("", "patroni: [\"http://10.0.0.21:8008\", \"http://10.0.0.22:8008\"]");
    assert_eq!(said, Vec::<String>::new());
    let Some(DatabaseSource::Patroni(members)) = &main.pools.good[0].regions[0].database else { panic!() };
    assert_eq!((members.len(), members[1].port), (2, 8008));
    let secure = "patroni: [\"https://10.0.0.21:8008\"]";
    one(&with("", secure).1, &["paris.patroni", "whose certificates", "postgres_tls"]);
    assert_eq!(with("    postgres_tls: { ca: ca.pem }\n", secure).1, Vec::<String>::new());
    let both = "postgres: \"postgres://p@h/d\", patroni: [\"http://10.0.0.21:8008\"]";
    one(&with("", both).1, &["paris.patroni", "both `postgres` and `patroni`"]);
}

#[test]
fn a_region_is_reached_through_gateways_or_not_and_both_sides_show_who_they_are() {
    let region = |text: &str| {
        let main = MAIN.replace("    regions:\n", "    regions:\n      dublin: REGION\n");
        let main = main.replace("{ name: paris }", "{ name: paris }, { name: dublin, standby: true }");
        let backends = "backends: [ { http: \"10.0.0.11:8069\", websocket: \"10.0.0.11:8072\" } ]";
        let near = format!("{{ {backends}, postgres: \"postgres://probe@10.0.0.21/postgres\" }}");
        let text = main.replace(&format!("{{ {backends} }}"), &near).replace("REGION", text);
        let (main, problems) = MainFile::parse("fleetgate.yaml", &text, &world(), 4);
        (main, problems.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let far = |addresses: &str, identity: &str| {
        format!(
            "{{ gateways: {{ addresses: [{addresses}], tls: {{ server_name: d.internal, ca: ca.pem{identity} }} }} }}"
        )
    };
    let identity = ", client_certificate: { certificate: own.pem, key: own.key }";
    let address = "\"203.0.113.9:8443\"";
    let (main, said) = region(&far(address, identity));
    assert_eq!(said, Vec::<String>::new());
    let pool = &main.pools.good[0];
    let place = |name: &str| pool.regions.iter().position(|region| &*region.name == name).unwrap();
    assert!(pool.is_far(place("dublin")) && !pool.is_far(place("paris")));
    let dublin = &pool.regions[place("dublin")];
    assert_eq!(dublin.database, Some(DatabaseSource::Gateways));
    assert_eq!(pool.tls_of(dublin).unwrap().server_name.as_str(), "d.internal");
    assert_eq!(pool.tls_of(&pool.regions[place("paris")]), None);

    one(&region(&far(address, "")).1, &["dublin.gateways.tls", "write `client_certificate`"]);
    one(&region(&far(&format!("{address}, {address}"), identity)).1, &["is there twice"]);
    one(&region("{}").1, &["either `backends` or `gateways`"]);
    let both =
        far(address, identity).replace("{ gateways", "{ backends: [ { http: \"10.9.0.1:1\" } ], gateways");
    one(&region(&both).1, &["either `backends` or `gateways`"]);
    let asked =
        far(address, identity).replace("{ gateways", "{ postgres: \"postgres://p@10.9.0.2/p\", gateways");
    one(&region(&asked).1, &["remove `postgres` or `patroni` beside `gateways`"]);

    let listener = |keys: &str| read(&format!("{{ address: \"127.0.0.1:8080\"{keys} }}"), "", "").1;
    let tls = ", tls: { certificates: certs }";
    assert_eq!(listener(&format!("{tls}, gateways: {{ ca: ca.pem }}")), Vec::<String>::new());
    one(&listener(", gateways: { ca: ca.pem }"), &["listeners[0].gateways", "without TLS"]);
    let balanced = format!("{tls}, gateways: {{ ca: ca.pem }}, proxy_protocol: [10.0.0.1]");
    one(&listener(&balanced), &["remove `proxy_protocol`"]);
    one(
        &listener(&format!("{tls}, gateways: {{ ca: gone.pem }}")),
        &["listeners[0].gateways.ca", "does not exist"],
    );
}
