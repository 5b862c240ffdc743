//! What a region needs to take over, and users that log in.

use super::*;

fn said(region: &str, health: &str) -> Vec<String> {
    let main = MAIN
        .replace("8072\" } ] }", &format!("8072\" }} ], {region} }}"))
        .replace("    regions:\n", &format!("    health: {{ {health} }}\n    regions:\n"));
    let world = World { files: BTreeMap::from([("probe", "s3cret")]), ..World::default() };
    let (main, problems) = MainFile::parse("fleetgate.yaml", &main, &world, 1);
    let pool = compile(&main, &[]).config.map(|config| config.fleet.pools.into_iter().next());
    assert!(!problems.is_empty() || pool.flatten().is_some());
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_check_is_a_command_or_a_url_without_tls() {
    let checks = |check: &str| said(&format!("checks: {{ filestore: {check} }}"), "");
    for good in ["{ command: [/bin/true] }", "{ url: \"http://10.0.0.11:9100/filestore\", interval: 5m }"] {
        assert_eq!(checks(good), Vec::<String>::new(), "{good}");
    }
    for (bad, words) in [
        ("{}", "either a `url` or a `command`"),
        ("{ command: [/bin/true], url: \"http://10.0.0.11\" }", "either a `url` or a `command`"),
        ("{ url: \"https://10.0.0.11\" }", "not asked over TLS"),
        ("{ command: [] }", "has 0 entries"),
    ] {
        let said = checks(bad);
        assert!(said.len() == 1 && said[0].contains(words), "{said:?}");
        assert!(said[0].contains("pools.shared.regions.paris.checks.filestore"), "{said:?}");
    }
}

#[test]
fn a_login_names_a_database_a_user_and_a_password() {
    let whole = "login: { database: acme, user: probe, password: \"file:probe\" }";
    assert_eq!(said("", whole), Vec::<String>::new());
    let without = said("", "login: { database: acme, user: probe }");
    assert!(without.len() == 1 && without[0].contains("password"), "{without:?}");
    let missing = said("", &whole.replace("file:probe", "file:gone"));
    assert!(missing.len() == 1 && missing[0].contains("does not exist"), "{missing:?}");
}
