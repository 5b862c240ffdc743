//! What `fleetgate check` says.

use super::{MAIN, Site, tenant};
use crate::config::check;
use serde_json::Value;

fn said(site: &Site) -> (bool, String) {
    let mut out = Vec::new();
    let fine = check::run(&site.path("fleetgate.yaml"), false, &mut out);
    let folder = site.path("").display().to_string();
    (fine, String::from_utf8(out).unwrap().replace(&folder, ""))
}

#[test]
fn a_problem_is_shown_with_its_line_its_key_and_what_is_allowed() {
    let site = Site::new(&[]);
    site.write("fleetgate.yaml", MAIN.replace("odoo_version", "odo_version"));
    let (fine, said) = said(&site);
    assert!(!fine);
    for part in [
        "unknown key `odo_version`",
        "fleetgate.yaml:6:5",
        "    odo_version: \"19.0\"",
        "pools.shared",
        "help: did you mean `odoo_version`?",
        "the key `odoo_version` is missing",
        "2 errors, 0 warnings, 0 tenants, 0 hosts, 1 file",
    ] {
        assert!(said.contains(part), "no `{part}` in\n{said}");
    }
}

#[test]
fn a_conflict_shows_both_places() {
    let site =
        Site::new(&[("a.yaml", &tenant("acme")), ("b.yaml", "- { id: b, hosts: [acme.example.com] }\n")]);
    let (fine, said) = said(&site);
    assert!(!fine);
    assert!(said.contains("tenants.d/b.yaml:1:20") && said.contains("tenants.d/a.yaml:1:23"), "{said}");
    assert!(said.contains("belongs to the tenant `acme` already"), "{said}");
}

#[test]
fn a_good_config_is_summed_up() {
    let site = Site::new(&[("a.yaml", &(tenant("acme") + &tenant("zen")))]);
    let (fine, said) = said(&site);
    assert!(fine);
    assert!(said.starts_with("0 errors, 0 warnings, 2 tenants, 2 hosts, 2 files\n"), "{said}");
    assert!(said.contains("wait for a restart"), "{said}");
}

#[test]
fn programs_get_every_problem_with_its_place() {
    let site = Site::new(&[("a.yaml", "- { id: acme, hosts: [acme.example.com], pool: shraed }\n")]);
    let mut out = Vec::new();
    assert!(!check::run(&site.path("fleetgate.yaml"), true, &mut out));
    let report: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!((&report["ok"], &report["tenants"]), (&Value::Bool(false), &Value::from(0)));
    let problem = &report["problems"][0];
    assert_eq!((&problem["severity"], &problem["key_path"]), (&"error".into(), &"[0].pool".into()));
    assert_eq!((&problem["place"]["line"], &problem["place"]["column"]), (&1.into(), &48.into()));
    assert!(problem["hint"].as_str().unwrap().starts_with("did you mean `shared`?"), "{problem}");
}

#[test]
fn a_main_file_that_is_not_there_is_said_so() {
    let site = Site::new(&[]);
    site.remove("fleetgate.yaml");
    let (fine, said) = said(&site);
    assert!(!fine && said.contains("fleetgate.yaml: the file does not exist"), "{said}");
}
