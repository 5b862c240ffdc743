//! How servers are watched, written wrongly.

use super::{MAIN, problems};

/// The one problem of a pool with these keys.
fn one(health: &str, parts: &[&str]) {
    let main = MAIN.replace("    regions:\n", &format!("    {health}\n    regions:\n"));
    let found = problems(&main, &[]);
    assert_eq!(found.len(), 1, "{health}: {found:#?}");
    for part in parts {
        assert!(found[0].contains(part), "no `{part}` in {}", found[0]);
    }
}

#[test]
fn an_agent_is_a_port_or_a_command() {
    for both in ["{}", "{ port: 9100, command: [/bin/true] }"] {
        let parts = ["pools.shared.health.agent", "either a `port` or a `command`"];
        one(&format!("health: {{ agent: {both} }}"), &parts);
    }
    let path = "health: { agent: { port: 9100, path: ready } }";
    one(path, &["health.agent.path", "does not start with `/`"]);
    one("health: { agent: { command: [] } }", &["health.agent.command", "has 0 entries"]);
}

#[test]
fn a_signal_is_asked_sooner_after_a_failure_and_never_later() {
    for (written, path) in [
        ("fast_interval: 2s", "pools.shared.health.fast_interval"),
        ("http: { interval: 500ms, fast_interval: 600ms }", "health.http.fast_interval"),
        ("database: { fast_interval: 2s }", "health.database.fast_interval"),
        ("agent: { port: 9100, fast_interval: 6s }", "health.agent.fast_interval"),
    ] {
        let parts = [path, "longer than the interval", "or less, or leave it out"];
        one(&format!("health: {{ {written} }}"), &parts);
    }
    one("health: { traffic: { timeout: 1s } }", &["health.traffic", "timeout"]);
    one("health: { database: { rise: 2 } }", &["health.database", "rise"]);
}

#[test]
fn gateways_that_decide_together_ask_databases_often() {
    let health = "health: { database: { interval: 3s } }\n    failover: { quorum: 3 }";
    let main = MAIN.replace("    regions:\n", &format!("    {health}\n    regions:\n"));
    let found = problems(&(main + "redis: { servers: [\"redis://10.0.0.5\"] }\n"), &[]);
    assert_eq!(found.len(), 1, "{found:#?}");
    for part in ["health.database.interval", "forget within three seconds", "`2s` or less"] {
        assert!(found[0].contains(part), "no `{part}` in {}", found[0]);
    }
}
