//! What a config says about gateways that decide together.

use super::{MAIN, World};
use crate::config::{MainFile, compile};
use core::time::Duration;

const GATEWAYS: &str = "gw-a: \"10.0.0.1:8443\", gw-b: \"gw-b.example.com:8443\", gw-c: \"[fd00::3]:8443\"";

/// What is said about three gateways. `failover` holds keys of the pool's, `nodes` replaces keys of the section.
fn read(failover: &str, nodes: &[(&str, &str)]) -> (MainFile, Vec<String>) {
    let files = [("ca.pem", "one"), ("own.pem", "chain"), ("own.key", "key")];
    let world = World { files: files.into_iter().collect(), ..World::default() };
    let all = format!("{{ {GATEWAYS} }}");
    let keys = [
        ("name", "gw-a"),
        ("address", "\"0.0.0.0:8443\""),
        ("certificate", "own.pem"),
        ("key", "own.key"),
        ("ca", "ca.pem"),
        ("gateways", &all),
    ];
    let keys = keys.map(|(key, value)| {
        let changed = nodes.iter().find(|(changed, _)| *changed == key);
        format!("{key}: {}", changed.map_or(value, |(_, changed)| changed))
    });
    let pool = format!("    failover: {{ {failover} }}\n    regions:\n");
    let text = MAIN.replace("    regions:\n", &pool) + &format!("nodes: {{ {} }}\n", keys.join(", "));
    let (main, problems) = MainFile::parse("fleetgate.yaml", &text, &world, 4);
    (main, problems.iter().map(ToString::to_string).collect())
}

#[track_caller]
fn one(failover: &str, nodes: &[(&str, &str)], parts: &[&str]) {
    let (_, said) = read(failover, nodes);
    assert_eq!(said.len(), 1, "{said:#?}");
    for part in parts {
        assert!(said[0].contains(part), "no `{part}` in {}", said[0]);
    }
}

#[test]
fn gateways_are_named_with_where_each_is_asked() {
    let (main, said) = read("quorum: 3", &[]);
    assert_eq!(said, Vec::<String>::new());
    let config = compile(&main, &[]).config.unwrap();
    assert_eq!(config.process.nodes_address, Some("0.0.0.0:8443".parse().unwrap()));
    let nodes = config.fleet.nodes.unwrap();
    let places = nodes.gateways.iter().map(|gateway| (&*gateway.name, &*gateway.host, gateway.port));
    let expected =
        [("gw-a", "10.0.0.1", 8443), ("gw-b", "gw-b.example.com", 8443), ("gw-c", "fd00::3", 8443)];
    assert_eq!((&*nodes.name, places.collect::<Vec<_>>()), ("gw-a", expected.to_vec()));
    assert!(!format!("{nodes:?}").contains("\"key\""), "a key is never printed");
}

#[test]
fn what_gateways_could_not_decide_together_by_is_refused() {
    one("quorum: 5", &[], &["pools.shared.failover.quorum", "names 3 gateways", "says 5"]);
    let unwatched = "quorum: 3 }\n    health: { enabled: false";
    one(unwatched, &[], &["pools.shared.failover.quorum", "nothing to decide about", "health.enabled"]);
    one("", &[("name", "gw-d")], &["nodes.name", "`gw-d` is none of `gateways`", "gw-a"]);
    one("", &[("certificate", "gone.pem")], &["nodes.certificate", "does not exist"]);
    one("", &[("ca", "gone.pem")], &["nodes.ca", "does not exist"]);
    one("", &[("address", "\"127.0.0.1:8080\"")], &["nodes.address", "somebody else is answered"]);
    let twice = "{ gw-a: \"10.0.0.1:8443\", gw-b: \"10.0.0.1:8443\", gw-c: \"10.0.0.3:8443\" }";
    one("", &[("gateways", twice)], &["nodes.gateways", "`gw-a` and `gw-b` are asked at one address"]);
}

#[test]
fn requests_wait_as_long_as_gateways_that_decide_together_need() {
    let hold = |failover: &str| {
        let (main, said) = read(failover, &[]);
        assert_eq!(said, Vec::<String>::new(), "{failover}");
        compile(&main, &[]).config.unwrap().fleet.pools[0].failover.hold
    };
    assert_eq!(hold("hold_down: 10m"), Duration::from_secs(5));
    assert_eq!(hold("quorum: 3"), Duration::from_secs(15));
    assert_eq!(hold("quorum: 3, hold: 8s"), Duration::from_secs(8));
    assert_eq!(hold("quorum: 3, hold: 0s"), Duration::ZERO);
    assert!(read("quorum: 3, hold: 5s", &[]).0.is_sound(), "it is a warning");
    one("quorum: 3, hold: 5s", &[], &["pools.shared.failover.hold", "a lease of 5 s"]);
}
