//! Files that are no files, or not text, or where nobody expects them.

use super::{MAIN, Site, ids, lines, running, tenant};
use fleetgate_core::config::Running;
use std::os::unix::fs::symlink;

/// What is said about one strange file, with one good one beside it.
fn said_about(make: impl FnOnce(&Site)) -> String {
    let mut site = Site::new(&[("good.yaml", &tenant("good"))]);
    make(&site);
    let loaded = site.load();
    assert_eq!(ids(&loaded), ["good"], "the good file is served");
    assert_eq!(running(&loaded, "bad.yaml"), Running::Nothing);
    let text = lines(&loaded.problems);
    assert!(text.contains("tenants.d/bad.yaml"), "{text}");
    text
}

#[test]
fn a_named_pipe_does_not_stop_the_reload() {
    let said = said_about(|site| {
        let path = site.path("tenants.d/bad.yaml");
        let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
        assert!(made.success());
    });
    assert!(said.contains("a named pipe, not a regular file"), "{said}");
}

#[test]
fn folders_devices_and_sockets_are_no_files() {
    let said = said_about(|site| std::fs::create_dir(site.path("tenants.d/bad.yaml")).unwrap());
    assert!(said.contains("a folder, not a regular file"), "{said}");
    let said = said_about(|site| symlink("/dev/zero", site.path("tenants.d/bad.yaml")).unwrap());
    assert!(said.contains("a device, not a regular file"), "{said}");
    let said = said_about(|site| {
        drop(std::os::unix::net::UnixListener::bind(site.path("tenants.d/bad.yaml")).unwrap());
    });
    assert!(said.contains("not a regular file"), "{said}");
}

#[test]
fn links_that_lead_nowhere_or_round_in_circles_are_named() {
    let said = said_about(|site| symlink("nowhere", site.path("tenants.d/bad.yaml")).unwrap());
    assert!(said.contains("a link to something that does not exist"), "{said}");
    let said = said_about(|site| symlink("bad.yaml", site.path("tenants.d/bad.yaml")).unwrap());
    assert!(said.contains("a link that leads to itself"), "{said}");
}

#[test]
fn bytes_that_are_no_text_are_pointed_at() {
    let said = said_about(|site| site.write("tenants.d/bad.yaml", b"- id: a\n  hosts: [\xff]\n"));
    assert!(said.contains("bad.yaml:2:11: this is not UTF-8 text"), "{said}");
}

#[test]
fn a_file_over_the_limit_is_not_read() {
    let said = said_about(|site| {
        let file = std::fs::File::create(site.path("tenants.d/bad.yaml")).unwrap();
        file.set_len(64 * 1024 * 1024 + 1).unwrap();
    });
    assert!(said.contains("is larger than 65536 KiB"), "{said}");
}

#[test]
fn a_byte_order_mark_and_foreign_line_ends_do_no_harm() {
    let mut site = Site::new(&[("a.yaml", "\u{feff}- { id: acme, hosts: [acme.example.com] }\r\n")]);
    assert_eq!(ids(&site.load_clean()), ["acme"]);
}

#[test]
fn an_empty_file_is_an_empty_list() {
    let mut site =
        Site::new(&[("a.yaml", ""), ("b.yml", "# later\n"), ("c.yaml", "---\n"), ("d.yaml", "[]")]);
    site.write("tenants.d/e.yml", tenant("acme"));
    assert_eq!(ids(&site.load_clean()), ["acme"]);
}

#[test]
fn hidden_files_other_names_and_subfolders_are_left_alone() {
    let mut site = Site::new(&[("a.yaml", &tenant("acme"))]);
    for name in [".a.yaml.swp", ".hidden.yaml", "a.yaml~", "README.md", "a.yaml.bak", "4913"] {
        site.write(&format!("tenants.d/{name}"), "- {");
    }
    std::fs::create_dir(site.path("tenants.d/more")).unwrap();
    site.write("tenants.d/more/b.yaml", "- {");
    assert_eq!(ids(&site.load_clean()), ["acme"]);
}

#[test]
fn a_config_map_swap_is_seen_through_its_links() {
    let mut site = Site::new(&[]);
    for (version, id) in [("..v1", "acme"), ("..v2", "zen")] {
        std::fs::create_dir(site.path("tenants.d").join(version)).unwrap();
        site.write(&format!("tenants.d/{version}/a.yaml"), tenant(id));
    }
    symlink("..v1", site.path("tenants.d/..data")).unwrap();
    symlink("..data/a.yaml", site.path("tenants.d/a.yaml")).unwrap();
    assert_eq!(ids(&site.load_clean()), ["acme"]);
    symlink("..v2", site.path("tenants.d/..data_tmp")).unwrap();
    std::fs::rename(site.path("tenants.d/..data_tmp"), site.path("tenants.d/..data")).unwrap();
    assert_eq!(ids(&site.load_clean()), ["zen"]);
}

#[test]
fn an_editors_rename_over_the_file_is_seen() {
    let mut site = Site::new(&[("a.yaml", &tenant("acme"))]);
    site.load_clean();
    site.write("tenants.d/.a.yaml.new", tenant("bcme"));
    std::fs::rename(site.path("tenants.d/.a.yaml.new"), site.path("tenants.d/a.yaml")).unwrap();
    assert_eq!(ids(&site.load_clean()), ["bcme"]);
}

#[test]
fn a_change_of_the_same_size_and_second_is_seen() {
    let mut site = Site::new(&[("a.yaml", &tenant("acme"))]);
    site.load_clean();
    for id in ["bcme", "ccme", "dcme"] {
        site.write("tenants.d/a.yaml", tenant(id));
        assert_eq!(ids(&site.load_clean()), [id]);
    }
}

#[test]
fn a_secret_file_is_read_with_care() {
    for (token, what) in [
        ("file:fleetgate.yaml", "is the config itself"),
        ("file:nowhere", "does not exist"),
        ("file:tenants.d", "is a folder, not a regular file"),
        ("file:huge", "is larger than 64 KiB"),
        ("file:", "is a folder"),
        ("file:binary", "is not UTF-8 text"),
        ("file:blank", "the secret is empty"),
        ("file:lines", "the secret holds a character a header cannot"),
    ] {
        let mut site = Site::new(&[]);
        let main = format!("{MAIN}observe: {{ address: \"127.0.0.1:9090\", bearer_token: \"{token}\" }}\n");
        site.write("fleetgate.yaml", main);
        site.write("huge", "x".repeat(64 * 1024 + 1));
        site.write("binary", b"\xff\xfe");
        site.write("blank", "\n");
        site.write("lines", "one\ntwo\n");
        let said = lines(&site.loader.load().unwrap_err());
        assert!(said.contains("observe.bearer_token") && said.contains(what), "{token}: {said}");
    }
}
