//! Settings of guards: from the fleet to the pool to the tenant.

use super::{MAIN, config, main_file, problems};
use crate::config::GatewayConfig;
use crate::guard::{CrawlerTraps, DatabaseNames, Guards};
use crate::host::HostKey;
use crate::traffic::TrafficClass;

fn of<'a>(config: &'a GatewayConfig, host: &str) -> &'a Guards {
    let (host, _) = HostKey::parse(host.as_bytes()).unwrap();
    let tenant = config.fleet.tenants.resolve(&host).unwrap().tenant;
    Guards::at(&config.fleet.guards, tenant.guards)
}

const OFFICE: &str = "203.0.113.9";

#[test]
fn every_key_of_a_guard_reaches_its_meaning() {
    let tenants = r#"
- id: acme
  hosts: [acme.test]
  guards:
    database_manager: { allow: ["203.0.113.1"] }
    debug_routes: { allow: ["203.0.113.2"] }
    job_runners: { allow: ["203.0.113.3"] }
    database_names: any
    allow:
      { page: ["203.0.113.10"], rpc: ["203.0.113.11"], static: ["203.0.113.12"], report: ["203.0.113.13"],
        websocket: ["203.0.113.14"], longpolling: ["203.0.113.15"], integration: ["203.0.113.16"] }
    body_size_max:
      { page: 10B, rpc: 11B, static: 12B, report: 13B, websocket: 14B, longpolling: 15B, integration: 16B, login: 17KiB,
        database_manager: 18GiB }
    crawler_traps: { enabled: true, parameters_max: 19, query_bytes_max: 20 }
"#;
    let config = config(MAIN, &[("t.yaml", tenants)]);
    let guards = of(&config, "acme.test");
    let network = |last: u8| vec![format!("203.0.113.{last}/32").parse().unwrap()];
    assert_eq!(guards.database_manager, network(1));
    assert_eq!(guards.debug_routes, network(2));
    assert_eq!(guards.job_runners, network(3));
    assert_eq!(guards.database_names, DatabaseNames::Any);
    for (class, last) in TrafficClass::ALL.into_iter().zip(10_u8..) {
        let client = |last: u8| format!("203.0.113.{last}").parse().unwrap();
        assert!(guards.allow.allows(class, client(last)), "{class:?}");
        assert!(!guards.allow.allows(class, client(last + 1)), "{class:?}");
        assert_eq!(guards.body_size_max.classes[class.position()], u64::from(last));
    }
    assert_eq!(guards.body_size_max.login, 17 * 1024);
    assert_eq!(guards.body_size_max.database_manager, 18 << 30);
    assert_eq!(guards.crawler_traps, CrawlerTraps { enabled: true, parameters_max: 19, query_bytes_max: 20 });
}

#[test]
fn what_is_left_out_is_taken_from_the_pool_and_then_from_the_fleet() {
    let main = MAIN.replace(
        "    regions:\n",
        "    guards: { job_runners: { allow: [10.0.0.0/8] }, body_size_max: { page: 2MiB } }\n    regions:\n",
    ) + "guards: { database_manager: { allow: [192.0.2.0/24] }, body_size_max: { page: 1MiB, rpc: 1MiB } }\n";
    let tenants = r#"
- { id: acme, hosts: [acme.test] }
- { id: zen, hosts: [zen.test], guards: { database_manager: { allow: [] }, body_size_max: { login: 3MiB } } }
"#;
    let config = config(&main, &[("t.yaml", tenants)]);
    let (acme, zen) = (of(&config, "acme.test"), of(&config, "zen.test"));
    let sizes = |guards: &Guards| {
        let of = |class: TrafficClass| guards.body_size_max.classes[class.position()] >> 20;
        (of(TrafficClass::Page), of(TrafficClass::Rpc), guards.body_size_max.login >> 20)
    };
    assert_eq!((sizes(acme), sizes(zen)), ((2, 1, 1), (2, 1, 3)));
    assert_eq!((acme.database_manager.len(), zen.database_manager.len()), (1, 0));
    assert_eq!((acme.job_runners.len(), zen.job_runners.len()), (1, 1));
    assert_eq!(acme.crawler_traps, CrawlerTraps::OFF);
}

#[test]
fn equal_settings_are_kept_once_however_many_tenants_have_them() {
    let mut tenants = String::new();
    for tenant in 0..3_000 {
        let guards = match tenant % 3 {
            0 => "",
            1 => ", guards: { database_manager: { allow: [203.0.113.9] } }",
            _ => ", guards: { body_size_max: { page: 128MiB } }",
        };
        tenants += &format!("- {{ id: t{tenant}, hosts: [t{tenant}.test]{guards} }}\n");
    }
    let config = config(MAIN, &[("t.yaml", &tenants)]);
    assert_eq!(config.fleet.guards.len(), 2, "what says the default is the default");
    assert!(of(&config, "t0.test").database_manager.is_empty());
    assert_eq!(of(&config, "t1.test").database_manager, [format!("{OFFICE}/32").parse().unwrap()]);
    assert_eq!(of(&config, "t2.test"), of(&config, "t0.test"));
}

#[test]
fn a_bad_setting_is_named_with_its_file_line_and_key() {
    let said = |text: &str| {
        problems(MAIN, &[("t.yaml", &format!("- id: acme\n  hosts: [a.test]\n  guards: {text}\n"))])
    };
    for (text, expected) in [
        ("5", "t.yaml:3:11: [0].guards: expected a map with the keys database_manager, debug_routes"),
        (
            "{ database_manger: {} }",
            "t.yaml:3:13: [0].guards: unknown key `database_manger`; did you mean `database_manager`?",
        ),
        (
            "{ database_manager: [10.0.0.0/8] }",
            "[0].guards.database_manager: expected a map with the keys allow, found a list",
        ),
        (
            "{ database_manager: { allow: [10.0.0.1/8] } }",
            "[0].guards.database_manager.allow[0]: `10.0.0.1/8` is not valid: it names an address inside the network `10.0.0.0/8`",
        ),
        ("{ database_names: all }", "[0].guards.database_names: `all` is not allowed here"),
        ("{ allow: { stattic: [] } }", "[0].guards.allow: unknown key `stattic`; did you mean `static`?"),
        (
            "{ body_size_max: { page: 128 } }",
            "[0].guards.body_size_max.page: `128` is not valid: it has no unit",
        ),
        (
            "{ body_size_max: { r#static: 1B } }",
            "[0].guards.body_size_max: unknown key `r#static`; did you mean `static`?",
        ),
        (
            "{ crawler_traps: { parameters_max: -1 } }",
            "[0].guards.crawler_traps.parameters_max: expected a whole number from 0 to 1000, found `-1`",
        ),
        ("{ filestore: {} }", "[0].guards: unknown key `filestore`"),
    ] {
        let found = said(text);
        assert!(found.len() == 1 && found[0].contains(expected), "{text}: {found:#?}");
    }
    let (main, found) = main_file(&format!("{MAIN}guards: {{ database_names: none }}\n"));
    assert!(!main.is_sound() && found.len() == 1, "{found:?}");
}
