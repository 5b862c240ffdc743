//! Configs that are right, and what they mean.

use super::{MAIN, World, config, main_file};
use crate::acme::Challenge;
use crate::config::{ListenAddress, MainFile, TsigAlgorithm, UnixTrust};
use crate::host::HostKey;
use crate::odoo::OdooVersion;
use crate::pool::{BackendPlace, DatabaseSelection, SameSite};
use crate::tenant::TenantState;
use core::time::Duration;

const FULL: &str = r#"
listeners: [ { address: "0.0.0.0:8080" }, { address: "[::]:8080" } ]
threads: 2
admin: { socket: /tmp/admin.sock }
observe: { address: "127.0.0.1:9090", bearer_token: "file:/run/secrets/metrics" }
drain: { timeout: 1m, websocket_spread: 500ms }
trusted_proxies: ["10.0.0.0/8", "::1"]
regions: [ { name: paris }, { name: dublin, standby: true } ]
pools:
  shared:
    odoo_version: 18.0
    database_selection: fixed
    backends_per_tenant: 3
    session_cookie: { secure: false, same_site: unset }
    http: { connect_timeout: 1s, read_timeout: 2s, write_timeout: 3s }
    longpolling: { connect_timeout: 4s, read_timeout: 5s, write_timeout: 6s }
    websocket: { connect_timeout: 7s, handshake_timeout: 8s, idle_timeout: 90s }
    regions:
      dublin: { backends: [ { http: "10.9.0.11:8069" } ] }
      paris: { backends: [ { http: "10.0.0.11:8069", websocket: "10.0.0.11:8072" } ] }
tenants:
  - id: zen
    hosts: [zen.example.com]
    state: maintenance
    maintenance: { retry_after: 1h, message: "Back at noon", allow: ["203.0.113.0/24"] }
tenants_directory: tenants.d
"#;

#[test]
fn every_key_reaches_its_meaning() {
    let world = World { files: [("/run/secrets/metrics", "s3cret")].into(), ..World::default() };
    let (main, problems) = MainFile::parse("fleetgate.yaml", FULL, &world, 4);
    assert_eq!(problems, []);
    assert_eq!(main.tenants_directory().map(|(_, path)| path), Some("tenants.d"));
    let config = super::compile(&main, &[]).config.unwrap();
    let process = &config.process;
    let addresses: Vec<String> =
        process.listeners.iter().map(|listener| listener.address.to_string()).collect();
    assert_eq!(addresses, ["0.0.0.0:8080", "[::]:8080"]);
    assert_eq!((process.threads, &*process.admin_socket), (2, "/tmp/admin.sock"));
    let observe = process.observe.as_ref().unwrap();
    assert_eq!(observe.bearer_token.as_ref().map(|token| token.reveal()), Some("s3cret"));
    assert_eq!(process.drain.timeout, Duration::from_secs(60));
    assert_eq!(process.drain.websocket_spread, Duration::from_millis(500));
    let fleet = &config.fleet;
    assert_eq!(fleet.trusted_proxies, ["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]);
    let pool = &fleet.pools[0];
    assert_eq!((&*pool.name, pool.odoo_version), ("shared", OdooVersion::V18));
    assert_eq!((pool.database_selection, pool.database_header), (DatabaseSelection::Fixed, false));
    assert_eq!((pool.session_cookie.secure, pool.session_cookie.same_site), (false, None));
    assert_eq!(pool.http.connect.as_secs() + pool.http.read.as_secs() + pool.http.write.as_secs(), 6);
    assert_eq!(pool.longpolling.read, Duration::from_secs(5));
    assert_eq!((pool.websocket.handshake, pool.websocket.idle).0, Duration::from_secs(8));
    let regions: Vec<_> = pool.regions.iter().map(|region| (&*region.name, region.standby)).collect();
    assert_eq!(regions, [("paris", false), ("dublin", true)], "in the order of the config's regions");
    let BackendPlace::Fixed(backend) = &pool.regions[1].backends[0] else { panic!("{:?}", pool.regions[1]) };
    assert_eq!(backend.websocket, backend.http);
    let (_, tenant) = fleet.tenants.iter().next().unwrap();
    let TenantState::Maintenance(maintenance) = &tenant.state else { panic!("{:?}", tenant.state) };
    assert_eq!(
        (maintenance.retry_after_seconds, maintenance.message.as_deref()),
        (3600, Some("Back at noon"))
    );
    assert_eq!(maintenance.allow, ["203.0.113.0/24".parse().unwrap()]);
}

#[test]
fn what_is_left_out_has_its_default() {
    let config = config(MAIN, &[("tenants.d/a.yaml", "- { id: acme, hosts: [acme.example.com] }")]);
    assert_eq!(config.process.threads, 4, "the number of cores");
    assert_eq!(&*config.process.admin_socket, "/run/fleetgate/admin.sock");
    assert_eq!(config.process.observe, None);
    assert_eq!(config.process.drain.timeout, Duration::from_secs(30));
    let pool = &config.fleet.pools[0];
    assert_eq!((pool.backends_per_tenant, pool.database_header), (2, false));
    assert_eq!((pool.session_cookie.secure, pool.session_cookie.same_site), (true, Some(SameSite::Lax)));
    assert_eq!(pool.http.read, Duration::from_secs(720));
    assert_eq!(pool.longpolling.read, Duration::from_secs(90));
    assert_eq!(pool.websocket.idle, Duration::from_secs(120));
    let (_, tenant) = config.fleet.tenants.iter().next().unwrap();
    assert_eq!((tenant.database.as_written(), &tenant.state), ("acme", &TenantState::Active));
}

#[test]
fn tenants_of_all_files_are_in_the_table() {
    let main = format!("{MAIN}tenants:\n- {{ id: one, hosts: [one.example.com] }}\n");
    let config = config(
        &main,
        &[
            ("tenants.d/a.yaml", "# nobody yet\n"),
            (
                "tenants.d/b.yaml",
                "- { id: acme, hosts: [ACME.Example.com., shop.acme.test], canonical_host: shop.acme.test }\n\
                 - { id: \"{1}\", hosts: [\"*.odoo.example.com\"], database: \"db_{1}\", pool: shared }\n",
            ),
        ],
    );
    let database = |host: &str| {
        let (key, _) = HostKey::parse(host.as_bytes()).unwrap();
        let found = config.fleet.tenants.resolve(&key).unwrap();
        found.tenant.database.resolve(found.label).into_owned()
    };
    assert_eq!(database("one.example.com"), "one");
    assert_eq!(database("acme.example.com"), "acme");
    assert_eq!(database("shop1.odoo.example.com"), "db_shop1");
}

#[test]
fn words_that_yaml_takes_for_something_else_are_names_all_the_same() {
    for id in ["007", "1e5", "no", "true", "19.0", "0x1f"] {
        let tenants = format!("- {{ id: {id}, hosts: [a.example.com] }}");
        let config = config(MAIN, &[("t.yaml", &tenants)]);
        assert_eq!(config.fleet.tenants.iter().next().unwrap().1.id.as_written(), id);
    }
}

#[test]
fn variables_fill_in_values_of_any_kind() {
    let text = MAIN.replace("127.0.0.1:8080", "${ADDRESS}:${PORT}") + "threads: ${THREADS}\n";
    let world = World {
        variables: [("ADDRESS", "127.0.0.1"), ("PORT", "8081"), ("THREADS", "3")].into(),
        ..World::default()
    };
    let (main, problems) = MainFile::parse("fleetgate.yaml", &text, &world, 4);
    assert_eq!(problems, []);
    let config = super::compile(&main, &[]).config.unwrap();
    assert_eq!(config.process.listeners[0].address.to_string(), "127.0.0.1:8081");
    assert_eq!(config.process.threads, 3);
}

#[test]
fn a_main_file_without_tenants_is_fine_but_says_so() {
    let (main, problems) = main_file(MAIN);
    assert_eq!(problems, []);
    let compiled = super::compile(&main, &[]);
    assert!(compiled.config.is_some());
    assert!(compiled.problems[0].message.starts_with("there are no tenants"), "{:?}", compiled.problems);
}

#[test]
fn a_listener_may_be_a_unix_socket() {
    let written = "listeners:\n  - { address: \"unix:/run/gate.sock\", unix: { trust: nothing } }\n  \
                   - { address: \"unix:/run/other.sock\", unix: { mode: 0600, owner: web, group: \"33\", trust: forwarded } }\n#";
    let tenants = [("t.yaml", "- { id: acme, hosts: [acme.test] }")];
    let process = config(&MAIN.replace("listeners:", written), &tenants).process;
    let [plain, other] = &process.listeners[..] else { panic!("{:?}", process.listeners) };
    assert_eq!(plain.address.to_string(), "unix:/run/gate.sock");
    let ListenAddress::Unix(plain) = &plain.address else { panic!("{plain:?}") };
    assert_eq!(
        (plain.mode, &plain.owner, &plain.group, plain.trust),
        (0o660, &None, &None, UnixTrust::Nothing)
    );
    let ListenAddress::Unix(other) = &other.address else { panic!("{other:?}") };
    assert_eq!((other.mode, other.trust), (0o600, UnixTrust::Forwarded));
    assert_eq!((other.owner.as_deref(), other.group.as_deref()), (Some("web"), Some("33")));
}

#[test]
fn listeners_say_how_connections_come_in() {
    let text = super::MAIN.replace(
        "listeners:",
        "listeners:\n  - { address: \"0.0.0.0:443\", tls: { certificates: certs, minimum_version: \"1.3\" } }\n  \
         - { address: \"0.0.0.0:80\", redirect_to_https: true, proxy_protocol: [10.0.0.0/8] }\n#",
    );
    let process = super::config(&text, &[("t.yaml", "- { id: acme, hosts: [acme.test] }")]).process;
    let [secure, plain] = &process.listeners[..] else { panic!("{:?}", process.listeners) };
    let tls = secure.tls.as_ref().unwrap();
    assert_eq!((tls.certificates.as_deref(), tls.acme), (Some("certs"), false));
    assert_eq!(tls.minimum_version, crate::config::TlsVersion::V13);
    assert!(plain.redirect_to_https && plain.tls.is_none());
    assert_eq!(plain.proxy_protocol[0].to_string(), "10.0.0.0/8");
}

#[test]
fn acme_is_a_line_for_those_who_agree_to_its_terms() {
    let listener = "listeners:\n  - { address: \"0.0.0.0:443\", tls: { acme: true } }\n#";
    let main = MAIN.replace("listeners:", listener);
    let tenants = [("t.yaml", "- { id: acme, hosts: [acme.test] }")];
    let short =
        config(&(main.clone() + "acme: { terms_of_service_agreed: true }\n"), &tenants).process.acme.unwrap();
    assert_eq!(&*short.directory, "https://acme-v02.api.letsencrypt.org/directory");
    assert_eq!(short.challenges, [Challenge::Http01, Challenge::TlsAlpn01, Challenge::Dns01]);
    assert_eq!((short.renew_at_percent, short.budget.orders_per_hour), (66, 80));
    assert!(short.addresses.is_empty() && short.resolvers.is_empty() && short.external_account.is_none());
    let whole = "acme:\n  directory: https://ca.example.com:14000/dir\n  terms_of_service_agreed: true\n  \
                 contact: [ops@example.com]\n  external_account: { key_id: kid-1, hmac_key: c2VjcmV0 }\n  \
                 directory_ca: ca.pem\n  challenges: [dns-01]\n  addresses: [203.0.113.7, \"2001:db8::1\"]\n  \
                 resolvers: [\"127.0.0.1:53\"]\n  renew_at_percent: 50\n  orders_per_hour: 7\n  \
                 orders_per_domain_per_week: 8\n";
    let whole = config(&(main + whole), &tenants).process.acme.unwrap();
    assert_eq!(
        (&*whole.contact[0], whole.directory_ca.as_deref()),
        ("mailto:ops@example.com", Some("ca.pem"))
    );
    let account = whole.external_account.unwrap();
    assert_eq!((&*account.key_id, account.hmac_key.reveal()), ("kid-1", "c2VjcmV0"));
    assert_eq!(
        (whole.challenges, whole.addresses.len(), whole.resolvers.len()),
        (vec![Challenge::Dns01], 2, 1)
    );
    assert_eq!((whole.budget.orders_per_hour, whole.budget.orders_per_domain_per_week), (7, 8));
}

#[test]
fn a_zone_says_who_may_change_it() {
    let main = MAIN.to_owned()
        + "dns_zones:\n  - { zone: Example.COM, server: \"10.0.0.53:53\", key_name: fleetgate, key_secret: c2VjcmV0 }\n";
    let zones = config(&main, &[("t.yaml", "- { id: acme, hosts: [acme.test] }")]).process.dns_zones;
    let [zone] = &zones[..] else { panic!("{zones:?}") };
    assert_eq!((zone.zone.as_str(), zone.key_name.as_str()), ("example.com", "fleetgate"));
    assert_eq!(
        (zone.key_algorithm, zone.propagation_wait),
        (TsigAlgorithm::HmacSha256, Duration::from_secs(5))
    );
    assert!(!format!("{zone:?}").contains("c2VjcmV0"), "a key is never printed");
}

#[test]
fn a_backend_is_an_address_or_a_name_that_leads_to_some() {
    let named = MAIN.replace("10.0.0.11:", "Odoo.Internal:");
    let pool = &config(&named, &[("t.yaml", "- { id: acme, hosts: [acme.test] }")]).fleet.pools[0];
    let place = &pool.regions[0].backends[0];
    assert_eq!((place.to_string(), pool.names().count()), ("odoo.internal:8069".into(), 1));
    let backend = place.at([10, 0, 0, 7].into());
    assert_eq!(
        (backend.http, backend.websocket),
        ("10.0.0.7:8069".parse().unwrap(), "10.0.0.7:8072".parse().unwrap())
    );
}
