//! Configs that are wrong, and what is said about them.

use super::{MAIN, World, main_file, problems};
use crate::config::{MainFile, NoReferences, TenantFile};

/// The problems of a main file in which a part of [`MAIN`] is replaced.
fn with(from: &str, to: &str) -> Vec<String> {
    assert!(MAIN.contains(from), "the main file of the tests has no `{from}`");
    said(&MAIN.replace(from, to))
}

fn said(main: &str) -> Vec<String> {
    let (main, found) = main_file(main);
    assert!(!main.is_sound() || found.iter().all(|problem| !problem.is_error()));
    found.iter().map(ToString::to_string).collect()
}

/// The problems of a pool with one more key.
fn pool(line: &str) -> Vec<String> {
    with("    regions:\n", &format!("    {line}\n    regions:\n"))
}

/// The problems of one tenant.
fn tenant(text: &str) -> Vec<String> {
    problems(MAIN, &[("t.yaml", text)])
}

/// Exactly one problem that holds all parts.
#[track_caller]
fn one(found: &[String], parts: &[&str]) {
    assert_eq!(found.len(), 1, "{found:#?}");
    for part in parts {
        assert!(found[0].contains(part), "no `{part}` in {}", found[0]);
    }
}

#[test]
fn all_problems_of_a_file_are_said_at_once() {
    let text = r#"
listeners: [ { address: "nowhere" }, { adress: "127.0.0.1:80" } ]
threads: 0
drain: 5
admim: {}
regions: [ { name: paris, standby: yes } ]
pools:
  shared:
    odoo_version: 13.0
    database_selection: dbfilter
    backends_per_tenant: 65
    http: { read_timeout: 30 }
    regions: { paris: { backends: [ { http: "odoo:0" } ] }, rome: { backend: [] } }
"#;
    let expected = [
        "5:1: unknown key `admim`; did you mean `admin`?",
        "2:25: listeners[0].address: `nowhere` is not valid",
        "2:40: listeners[1]: unknown key `adress`; did you mean `address`?",
        "2:38: listeners[1]: the key `address` is missing",
        "3:10: threads: expected a whole number from 1 to 256, found `0`",
        "4:8: drain: expected a map with the keys timeout, websocket_spread, found `5`",
        "6:36: regions[0].standby: expected `true` or `false`, found `yes`",
        "9:19: pools.shared.odoo_version: `13.0` is not valid: Fleetgate does not know this version",
        "10:25: pools.shared.database_selection: `dbfilter` is not allowed here; did you mean `dbfilter_header`?",
        "11:26: pools.shared.backends_per_tenant: expected a whole number from 1 to 64, found `65`",
        "12:27: pools.shared.http.read_timeout: `30` is not valid: it has no unit",
        "13:45: pools.shared.regions.paris.backends[0].http: `odoo:0` is not valid: no server answers on port 0",
        "13:69: pools.shared.regions.rome: unknown key `backend`; did you mean `backends`?",
    ];
    let found = said(text);
    for wanted in expected {
        assert!(
            found.iter().any(|line| line.starts_with(&format!("fleetgate.yaml:{wanted}"))),
            "{wanted}\n{found:#?}"
        );
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn text_that_is_no_yaml_is_pointed_at() {
    for (text, place) in [
        ("listeners: [", "fleetgate.yaml:"),
        ("listeners: [ { address: \"127", "fleetgate.yaml:1:"),
        ("a: b: c", "fleetgate.yaml:1:"),
        ("a:\n\tb: 1", "fleetgate.yaml:2:"),
        ("listeners: []\n  - x", "fleetgate.yaml:2:"),
        ("{", "fleetgate.yaml:"),
        ("%YAML 1.1\n---\na: 1", "fleetgate.yaml:1:"),
    ] {
        let found = said(text);
        assert!(
            found.iter().any(|line| line.starts_with(place) && line.contains("not YAML")),
            "{text:?}: {found:#?}"
        );
    }
    one(&said("a: 1\n---\nb: 2\n"), &["fleetgate.yaml:2:1", "second document"]);
}

#[test]
fn a_main_file_of_another_kind_is_explained() {
    one(&said(""), &["the file is empty", "config/fleetgate.yaml"]);
    one(&said("# nothing\n"), &["the file is empty"]);
    one(&said("- 1\n"), &["is a list, not a map"]);
    one(&said("hello\n"), &["expected a map with the keys listeners", "found `hello`"]);
}

#[test]
fn bombs_and_cycles_cannot_be_written() {
    let bomb = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n";
    let found = said(&format!("{MAIN}trusted_proxies: &p [10.0.0.0/8]\n"));
    one(&found, &["anchors (`&name`) are not supported"]);
    one(&said(&format!("{MAIN}threads: &t 2\n")), &["anchors"]);
    assert!(said(&format!("{MAIN}threads: *t\n"))[0].contains("not YAML"), "an alias without an anchor");
    assert!(said(bomb).iter().all(|line| line.contains("unknown key") || line.contains("is missing")));
    let found = said(&format!("{MAIN}trusted_proxies: &p [*p]\n"));
    one(&found, &["anchors"]);
    let found = pool("http: { <<: { read_timeout: 1s } }");
    one(&found, &["unknown key `<<`"]);
    let found = said(&format!("{MAIN}threads: !!int 2\n"));
    one(&found, &["tags (`!name`) are not supported"]);
    for depth in [100, 100_000] {
        let found = said(&"[".repeat(depth));
        assert!(found[0].contains("not YAML"), "{found:#?}");
        let found =
            said(&(0..depth.min(1000)).map(|level| format!("{}a:\n", " ".repeat(level))).collect::<String>());
        assert!(found[0].contains("not YAML"), "{found:#?}");
    }
}

#[test]
fn keys_are_there_once_and_have_a_value() {
    one(
        &said(&format!("{MAIN}threads: 1\nthreads: 2\n")),
        &["the key `threads` is there twice", "the other is at"],
    );
    let found = with("  shared:", "  shared: { odoo_version: \"19.0\" }\n  shared:");
    assert!(found.iter().any(|line| line.contains("the key `shared` is there twice")), "{found:#?}");
    one(&said(&format!("{MAIN}threads:\n")), &["threads: there is no value here", "or remove the key"]);
    one(&said(&format!("{MAIN}threads: null\n")), &["there is no value here"]);
    one(&tenant("- { id: a, hosts: [a.test], database: }"), &["[0].database: there is no value here"]);
    let many: String = (0..40).map(|_| "  - 1\n").collect();
    assert_eq!(said(&format!("{MAIN}tenants:\n{many}")).len(), 40);
    let many: String = (0..400).map(|_| "  - 1\n").collect();
    let found = said(&format!("{MAIN}tenants:\n{many}"));
    assert!(found.len() == 101 && found[100].contains("300 more problems"), "{}", found.len());
}

#[test]
fn values_are_of_their_kind() {
    for (line, parts) in [
        ("backends_per_tenant: \"2\"", ["expected a whole number", "found `2`"]),
        ("backends_per_tenant: -1", ["expected a whole number", "found `-1`"]),
        ("backends_per_tenant: 2.0", ["expected a whole number", "found `2.0`"]),
        ("backends_per_tenant: 99999999999999999999", ["expected a whole number", "99999"]),
        ("backends_per_tenant: [2]", ["expected a whole number", "found a list"]),
        ("backends_per_tenant: { a: 2 }", ["expected a whole number", "found a map of keys"]),
        ("session_cookie: { secure: \"true\" }", ["expected `true` or `false`", "found `true`"]),
        ("session_cookie: { secure: on }", ["expected `true` or `false`", "found `on`"]),
        ("session_cookie: { same_site: Lax }", ["`Lax` is not allowed", "did you mean `lax`?"]),
        ("session_cookie: { same_site: none, secure: false }", ["browsers refuse", "secure: true"]),
        ("http: { read_timeout: 5 minutes }", ["not valid", "one unit"]),
        ("http: { read_timeout: s }", ["not valid", "no number"]),
        ("http: { read_timeout: -5s }", ["not valid", "one unit"]),
        ("http: { read_timeout: 1.5s }", ["not valid", "one unit"]),
        ("http: { read_timeout: 0s }", ["too short", "from 1s to 24h"]),
        ("http: { read_timeout: 25h }", ["too long", "from 1s to 24h"]),
        ("http: { read_timeout: 99999999999999999999s }", ["too long", "from 1s to 24h"]),
        ("websocket: { idle_timeout: 60s }", ["healthy websockets will be cut", "75s"]),
        ("websocket: { idle_timeout: 9s }", ["too short", "from 10s to 1h"]),
    ] {
        one(&pool(line), &parts);
    }
}

#[test]
fn unix_sockets_are_explained() {
    let listener = |written: &str| with("{ address: \"127.0.0.1:8080\" }", written);
    let long = "x".repeat(95);
    for (written, parts) in [
        ("{ address: \"unix:gate.sock\" }", ["listeners[0].address", "absolute path"]),
        ("{ address: \"unix:/run/\" }", ["listeners[0].address", "absolute path"]),
        ("{ address: \"unix:/a,b\" }", ["listeners[0].address", "comma"]),
        (&format!("{{ address: \"unix:/{long}\" }}"), ["listeners[0].address", "longer than Linux allows"]),
        ("{ address: \"unix:/s\", unix: { mode: 888 } }", ["listeners[0].unix.mode", "octal"]),
        ("{ address: \"unix:/s\", unix: { mode: 01777 } }", ["listeners[0].unix.mode", "octal"]),
        ("{ address: \"unix:/s\", unix: { trust: everybody } }", ["listeners[0].unix.trust", "not allowed"]),
        ("{ address: \"unix:/s\", unix: { owner: \"a b\" } }", ["listeners[0].unix.owner", "no name has"]),
        (
            "{ address: \"unix:/s\", unix: { trust: nothing }, proxy_protocol: [10.0.0.1] }",
            ["listeners[0]", "in no network"],
        ),
        ("{ address: \"unix:/s\" }", ["listeners[0]", "all of them are `0.0.0.0`"]),
        ("{ address: \"unix:/s\", unix: { mode: 0600 } }", ["listeners[0]", "all of them are `0.0.0.0`"]),
        ("{ address: \"127.0.0.1:80\", unix: {} }", ["listeners[0]", "no unix socket"]),
        (
            "{ address: \"unix:/s\", unix: { trust: nothing } }, { address: \"unix:/s\", unix: { trust: nothing } }",
            ["listeners[1]", "is there twice"],
        ),
    ] {
        one(&listener(written), &parts);
    }
}

#[test]
fn addresses_are_explained() {
    for (address, reason) in [
        ("10.0.0.11", "it has no port"),
        ("::1", "it has no port"),
        ("10.0.0.11:0", "no server answers on port 0"),
        ("0.0.0.0:8069", "listen on all interfaces"),
        ("10.0.0.11:99999", "the port is not a number"),
        ("10.0.0.999:8069", "it holds no IP address"),
        ("odoo.internal:0", "no server answers on port 0"),
        ("http://10.0.0.11:8069", "it is a URL"),
        ("", "it is not an IP address with a port"),
    ] {
        one(&with("10.0.0.11:8069", address), &["backends[0].http", reason]);
    }
    one(&said(&format!("{MAIN}trusted_proxies: [10.0.0.1/8]\n")), &["inside the network `10.0.0.0/8`"]);
    one(&said(&format!("{MAIN}trusted_proxies: [lan]\n")), &["trusted_proxies[0]", "`lan`"]);
    let twice = r#"listeners: [ { address: "127.0.0.1:8080" }, { address: "127.0.0.1:8080" } ]"#;
    one(&with("listeners: [ { address: \"127.0.0.1:8080\" } ]", twice), &["listeners[1]", "is there twice"]);
    one(
        &said(&format!("{MAIN}observe: {{ address: \"127.0.0.1:8080\" }}\n")),
        &["observe", "clients connect to"],
    );
    one(&with("listeners: [ { address: \"127.0.0.1:8080\" } ]", "listeners: []"), &["has 0 entries"]);
}

#[test]
fn pools_and_regions_fit_together() {
    one(&with("paris: {", "pariss: {"), &["pools.shared.regions", "`pariss`", "did you mean `paris`?"]);
    one(&with("{ name: paris }", "{ name: paris }, { name: paris }"), &["regions[1]", "there twice"]);
    one(
        &with("{ name: paris }", "{ name: paris, standby: true }"),
        &["pools.shared.regions:", "standby regions alone"],
    );
    one(&with("{ name: paris }", "{ name: \"pa ris\" }"), &["regions[0].name", "it holds other characters"]);
    let backend = r#"{ http: "10.0.0.11:8069" }, { http: "10.0.0.11:8069" }"#;
    one(
        &with(r#"{ http: "10.0.0.11:8069", websocket: "10.0.0.11:8072" }"#, backend),
        &["pools.shared.regions.paris.backends[1]", "is there twice", "the other is at fleetgate.yaml:9:"],
    );
    one(
        &with(r#"{ http: "10.0.0.11:8069","#, r#"{ http: "odoo.internal:8069","#),
        &["pools.shared.regions.paris.backends[0].websocket", "at one server", "the same name for both"],
    );
    let many: Vec<String> = (1..=65).map(|port| format!("{{ http: \"10.0.0.11:{port}\" }}")).collect();
    one(
        &with(r#"{ http: "10.0.0.11:8069", websocket: "10.0.0.11:8072" }"#, &many.join(", ")),
        &["backends", "has 65 entries", "at most 64"],
    );
    let header = |version: &str| {
        let main = MAIN.replace("    regions:\n", "    database_header: true\n    regions:\n");
        said(&main.replace("19.0", version))
    };
    assert_eq!(header("19.0"), Vec::<String>::new());
    one(&header("18.0"), &["database_header", "Odoo 18.0 does not read `X-Odoo-Database`"]);
    one(&with("  shared:", "  \"sha red\":"), &["pools", "the name `sha red` is not valid"]);
}

#[test]
fn databases_are_watched_in_all_regions_or_in_none() {
    let two = |first: &str, second: &str, pool: &str| {
        let main = MAIN.replace("{ name: paris }", "{ name: paris }, { name: dublin, standby: true }");
        let main = main.replace("    regions:\n", &format!("{pool}    regions:\n"));
        let backends = "backends: [ { http: \"10.9.0.11:8069\" } ]";
        let main = main.replace(
            "      paris: {",
            &format!("      dublin: {{ {backends}{second} }}\n      paris: {{{first}"),
        );
        said(&main)
    };
    let watched = ", postgres: \"postgres://probe@10.9.0.21\"";
    let first = " postgres: \"postgres://probe@10.0.0.21\",";
    assert_eq!(two(first, watched, ""), Vec::<String>::new());
    one(&two("", watched, ""), &["the region `paris` of the pool has no `postgres`", "for each region"]);
    let automatic = "    failover: { mode: automatic }\n";
    assert_eq!(two(first, watched, automatic), Vec::<String>::new());
    one(&two("", "", automatic), &["pools.shared.failover.mode", "its databases are not watched"]);
    let bad = ", postgres: \"10.9.0.21\"";
    one(&two(first, bad, ""), &["regions.dublin.postgres", "does not start with `postgres://`"]);
}

#[test]
fn a_bad_pool_does_not_make_its_tenants_look_bad() {
    let main = MAIN.replace("19.0", "9.0");
    let found = problems(
        &main,
        &[("t.yaml", "- { id: a, hosts: [a.test], pool: shared }\n- { id: b, hosts: [a.test] }")],
    );
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[1].contains("the host `a.test` belongs to the tenant `a`"), "{found:#?}");
    let found = problems("listeners: [", &[("t.yaml", "- { id: a, hosts: [a.test], pool: shared }")]);
    one(&found, &["not YAML"]);
}

#[test]
fn tenants_are_checked_one_by_one() {
    for (text, parts) in [
        ("id: a", ["expected a list of tenants", "- id:"]),
        ("- a", ["[0]: expected a map with the keys id, hosts", "found `a`"]),
        ("- { hosts: [a.test] }", ["[0]: the key `id` is missing", "write `id:`"]),
        ("- { id: a }", ["[0]: the key `hosts` is missing", "a host name without a port"]),
        ("- { id: a, hosts: [] }", ["[0].hosts: the list has 0 entries", "at least 1"]),
        ("- { id: a, hosts: a.test }", ["[0].hosts: expected a list", "found `a.test`"]),
        ("- { id: a, hosts: [\"a.test:80\"] }", ["[0].hosts[0]: `a.test:80`", "the port"]),
        ("- { id: a, hosts: [\"http://a.test\"] }", ["[0].hosts[0]", "is not valid"]),
        ("- { id: a, hosts: [a_b..test] }", ["[0].hosts[0]", "a label of the host is empty"]),
        ("- { id: a, hosts: [\"*\"] }", ["[0].hosts[0]", "the whole first label"]),
        (
            "- { id: a, hosts: [a.test, A.TEST.] }",
            ["the host `a.test` is there twice", "the other is at t.yaml:1:20"],
        ),
        ("- { id: \"a b\", hosts: [a.test] }", ["[0].id: `a b` is not valid", "letters, digits"]),
        ("- { id: a, hosts: [a.test], database: \"x;y\" }", ["[0].database", "is not valid"]),
        ("- { id: \"{1}\", hosts: [a.test] }", ["`{1}` in `id` is the label of a star", "`a.test` has none"]),
        (
            "- { id: x, hosts: [\"*.a.test\", b.test], database: \"{1}\" }",
            ["`{1}` in `database`", "`b.test` has none"],
        ),
        ("- { id: x, hosts: [\"*.a.test\"], database: \"{2}\" }", ["[0].database", "`{1}` may stand once"]),
        (
            "- { id: a, hosts: [a.test], canonical_host: b.test }",
            ["[0]", "`b.test` is none of the entry's exact hosts"],
        ),
        (
            "- { id: x, hosts: [\"*.a.test\"], canonical_host: b.a.test }",
            ["[0]", "`b.a.test` is none of the entry's exact hosts"],
        ),
        (
            "- { id: a, hosts: [a.test], pool: shraed }",
            ["no pool `shraed` is declared", "did you mean `shared`?"],
        ),
        (
            "- { id: a, hosts: [a.test], state: paused }",
            ["`paused` is not allowed here", "allowed: active, suspended"],
        ),
        (
            "- { id: a, hosts: [a.test], maintenance: { retry_after: 0s } }",
            ["[0].maintenance.retry_after", "too short"],
        ),
        (
            "- { id: a, hosts: [a.test], maintenance: { message: \"a\\u0007b\" } }",
            ["[0].maintenance.message", "a control character"],
        ),
        ("- { id: a, hosts: [a.test], plans: gold }", ["[0]: unknown key `plans`", "allowed: id, hosts"]),
    ] {
        one(&tenant(text), &parts);
    }
    let long = format!("- {{ id: {}, hosts: [a.test] }}", "a".repeat(64));
    one(&tenant(&long), &["[0]", "the database is named like the id", "write `database:`"]);
}

#[test]
fn nothing_is_claimed_twice() {
    let files = |left: &str, right: &str| problems(MAIN, &[("a.yaml", left), ("b.yaml", right)]);
    one(
        &files("- { id: a, hosts: [a.test, shop.test] }", "- { id: b, hosts: [b.test, SHOP.test] }"),
        &[
            "b.yaml:1:28: [0].hosts[1]: the host `shop.test` belongs to the tenant `a`",
            "the other is at a.yaml:1:28",
        ],
    );
    one(
        &files("- { id: x, hosts: [\"*.a.test\"] }", "\n- { id: y, hosts: [\"*.A.test\"] }"),
        &["b.yaml:2:20: [0].hosts[0]: the host `*.a.test` belongs to the tenant `x`", "a.yaml:1:20"],
    );
    one(
        &files("- { id: a, hosts: [a.test] }", "- { id: a, hosts: [b.test] }"),
        &["b.yaml:1:3: [0].id: the tenant id `a` is taken", "the other is at a.yaml:1:3"],
    );
    let inline = format!("{MAIN}tenants: [ {{ id: a, hosts: [a.test] }} ]\n");
    one(
        &problems(&inline, &[("b.yaml", "- { id: b, hosts: [a.test] }")]),
        &["b.yaml:1:20", "the other is at fleetgate.yaml:"],
    );
}

#[test]
fn a_fixed_pool_has_one_database() {
    let main = MAIN.replace("dbfilter_header", "fixed");
    let said = |text: &str| problems(&main, &[("t.yaml", text)]);
    let good = "- { id: a, hosts: [a.test], database: only }\n- { id: only, hosts: [b.test] }\n";
    assert_eq!(said(good), Vec::<String>::new());
    one(
        &said("- { id: a, hosts: [a.test], database: one }\n- { id: b, hosts: [b.test], database: two }"),
        &["t.yaml:2:39: [1].database", "it is `one` already, not `two`", "the other is at t.yaml:1:39"],
    );
    one(&said("- { id: \"{1}\", hosts: [\"*.test\"] }"), &["one fixed database", "`{1}` stands for many"]);
}

#[test]
fn a_tenant_of_several_pools_names_its_own() {
    let other = r#"
  other:
    odoo_version: "18.0"
    database_selection: host
    regions: { paris: { backends: [ { http: "10.0.0.12:8069" } ] } }
"#;
    let main = format!("{}{other}", MAIN.trim_end());
    let found = problems(&main, &[("t.yaml", "- { id: a, hosts: [a.test] }")]);
    one(&found, &["[0].pool: there is more than one pool", "allowed: shared, other"]);
}

#[test]
fn variables_and_secrets_are_explained_and_never_shown() {
    let world = World {
        variables: [("TOKEN", "hunter2 "), ("MANY", "2\nthreads: 3")].into(),
        files: [("/token", "hunter2\u{e9}")].into(),
        ..World::default()
    };
    let said = |line: &str| {
        let (_, found) = MainFile::parse("m.yaml", &format!("{MAIN}{line}\n"), &world, 1);
        found.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    one(&said("threads: ${NOPE}"), &["threads: the environment variable `NOPE` is not set"]);
    one(
        &said("threads: \"${TOKEN}\""),
        &["expected a whole number", "found the value out of the environment"],
    );
    one(&said("threads: ${MANY}"), &["expected a whole number"]);
    one(&said("threads: \"${A\""), &["has no closing `}`"]);
    for token in ["${TOKEN}", "file:/token", "file:/nowhere", ""] {
        let found = said(&format!("observe: {{ address: \"127.0.0.1:1\", bearer_token: \"{token}\" }}"));
        one(&found, &["observe.bearer_token"]);
        assert!(!found[0].contains("hunter2"), "{found:#?}");
    }
    let found = said("admin: { socket: \"file:/token\" }");
    assert_eq!(found, Vec::<String>::new(), "only a secret's key reads files");
}

#[test]
fn a_socket_path_fits_the_kernel() {
    let path = format!("/{}", "a".repeat(107));
    one(
        &said(&format!("{MAIN}admin: {{ socket: {path} }}\n")),
        &["admin.socket", "longer than Linux allows"],
    );
    one(&said(&format!("{MAIN}tenants_directory: \"\"\n")), &["tenants_directory", "it is empty"]);
}

mod arbitrary {
    use super::*;
    use crate::config::{Revisions, settle};
    use proptest::prelude::*;
    use std::sync::Arc;

    /// Texts near to a config: pieces of one, in any order, between noise.
    fn near_config() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just(MAIN.to_owned()),
            Just("tenants: [ { id: a, hosts: [a.test] } ]\n".to_owned()),
            Just("- { id: \"{1}\", hosts: [\"*.a.test\"] }\n".to_owned()),
            Just("- id: a\n  hosts: [a.test]\n".to_owned()),
            prop::sample::select(vec![
                "${X}",
                "$${",
                "&a ",
                "*a",
                "!!str ",
                "? ",
                "<<: ",
                "---\n",
                "\u{feff}",
                "\t",
                "\0",
                "{",
                "]",
                "- ",
                ": ",
                "|\n",
                ">-\n ",
                "\"\\u",
                "'",
                "#",
                "%TAG",
                "\r\n",
                "é",
                "threads: ",
                "1e999",
                "[[[[",
            ])
            .prop_map(str::to_owned),
            any::<String>(),
        ];
        prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn no_text_panics_and_a_sound_file_has_no_error(main in near_config(), tenants in near_config()) {
            let (main, of_main) = MainFile::parse("m", &main, &NoReferences, 1);
            prop_assert_eq!(main.is_sound(), of_main.iter().all(|problem| !problem.is_error()));
            let (tenants, of_tenants) = TenantFile::parse("t", &tenants, &NoReferences);
            prop_assert_eq!(tenants.is_sound(), of_tenants.iter().all(|problem| !problem.is_error()));
            let main_is_sound = main.is_sound();
            let main = Revisions { new: Some(Arc::new(main)), last_good: None, from_start: true };
            let tenants = Revisions { new: Some(Arc::new(tenants)), last_good: None, from_start: true };
            let settled = settle(&main, &[tenants]);
            prop_assert!(main_is_sound || settled.is_err());
        }

        #[test]
        fn a_cut_main_file_is_never_taken_for_less(end in 0..MAIN.len()) {
            let (main, _) = MainFile::parse("m", MAIN.get(..end).unwrap_or_default(), &NoReferences, 1);
            // The last line alone may be cut short of its closing brackets and line break.
            prop_assert!(!main.is_sound() || end >= MAIN.trim_end().len());
        }
    }
}

#[test]
fn limits_that_cannot_be_meant_are_refused_with_the_key_at_fault() {
    let plans = |plans: &str| said(&format!("{MAIN}plans: {{ small: {{ {plans} }} }}\n"));
    one(
        &plans("burst: 5"),
        &["plans.small.burst", "no `requests_per_second`", "write `requests_per_second:`"],
    );
    for key in ["requests_per_second", "concurrent_requests", "websockets"] {
        for value in ["0", "-1", "1.5", "4294967296", "99999999999999999999", "many", "5/s"] {
            let found = plans(&format!("{key}: {value}"));
            one(&found, &[&format!("plans.small.{key}"), "whole number from 1 to 1000000"]);
        }
    }
    one(&plans("burst_bytes: 1MiB"), &["plans.small.burst_bytes", "no `bytes_per_second`"]);
    one(&plans("client: { burst: 2 }"), &["plans.small.client", "`requests_per_second` is missing"]);
    let class = "classes: { rpc: { requests_per_second: 6 } }, requests_per_second: 5";
    one(&plans(class), &["plans.small.classes", "can never be reached: the tenant has 5"]);
    let class = "classes: { rpc: { concurrent_requests: 6 } }, concurrent_requests: 5";
    one(&plans(class), &["plans.small.classes", "can never be reached: the tenant has 5"]);
    one(&plans("burst: 0, requests_per_second: 1"), &["plans.small.burst", "from 1 to 100000000"]);
    one(&plans("request_per_second: 1"), &["unknown key `request_per_second`", "requests_per_second"]);
    one(&said(&format!("{MAIN}plans: {{}}\n")), &["plans", "there are 0 names in it"]);
}

#[test]
fn a_tenant_names_a_plan_that_is_there_and_changes_what_goes_with_it() {
    let with_plan = |entry: &str| {
        let main = format!("{MAIN}plans: {{ small: {{ websockets: 5 }} }}\n");
        problems(&main, &[("t.yaml", &format!("- {{ id: a, hosts: [a.test], {entry} }}\n"))])
    };
    assert!(with_plan("plan: small, limits: { websockets: 6, requests_per_second: 1, burst: 2 }").is_empty());
    one(&with_plan("plan: smal"), &["t.yaml:1:", "[0].plan", "no plan `smal` is declared", "`small`"]);
    one(&tenant("- { id: a, hosts: [a.test], plan: x }\n"), &["no plan `x` is declared", "below `plans:`"]);
    one(
        &with_plan("plan: small, limits: { burst: 2 }"),
        &["t.yaml:1:", "[0].limits.burst", "no `requests_per_second`"],
    );
}

#[test]
fn gateways_that_decide_together_share_a_redis() {
    let quorum = |count: u8| format!("    failover: {{ quorum: {count} }}\n    regions:\n");
    one(&with("    regions:\n", &quorum(3)), &["pools.shared.failover.quorum", "no way to hear each other"]);
    one(&with("    regions:\n", &quorum(2)), &["pools.shared.failover.quorum", "from 3 to 63"]);
    let shared = MAIN.replace("    regions:\n", &quorum(3)) + "redis: { servers: [\"redis://10.0.0.5\"] }\n";
    assert_eq!(said(&shared), Vec::<String>::new());
}

#[test]
fn a_freeze_begins_before_it_ends() {
    let freeze = |from: &str, until: &str| {
        let line = format!(
            "    failover: {{ freeze: [ {{ from: \"{from}\", until: \"{until}\" }} ] }}\n    regions:\n"
        );
        with("    regions:\n", &line)
    };
    let moment = "2026-11-27T00:00:00+01:00";
    one(&freeze(moment, moment), &["pools.shared.failover.freeze[0]", "ends before it begins"]);
    one(&freeze("tomorrow", moment), &["pools.shared.failover.freeze[0].from", "RFC 3339"]);
}
