//! A change that is bad is not made, and nobody else suffers from it.

use super::{MAIN, Site, database, ids, lines, running, tenant};
use fleetgate_core::config::Running;
use fleetgate_core::tenant::TenantState;

#[test]
fn a_broken_tenant_file_keeps_its_last_good_revision_while_others_move_on() {
    let mut site = Site::new(&[("a.yaml", &tenant("acme")), ("b.yaml", &tenant("beta"))]);
    let first = site.load_clean();
    site.write("tenants.d/a.yaml", "- { id: acme, hosts: [acme.example.com\n");
    site.write("tenants.d/b.yaml", tenant("beta") + &tenant("bravo"));
    let second = site.load();
    assert_eq!(ids(&second), ["acme", "beta", "bravo"]);
    assert_eq!((running(&second, "a.yaml"), running(&second, "b.yaml")), (Running::LastGood, Running::New));
    assert!(lines(&second.problems).contains("a.yaml:1:"), "{}", lines(&second.problems));
    let (before, after) = (&first.files[1], &second.files[1]);
    assert_eq!(before.revision, after.revision, "the revision that runs is named");
    assert!(before.broken_since.is_none() && after.broken_since.is_some());
    let third = site.load();
    assert_eq!(third.files[1].broken_since, after.broken_since, "the time is that of the first failure");
    assert_eq!(third.revision, second.revision, "the same content has the same revision");
    site.write("tenants.d/a.yaml", tenant("acme") + &tenant("again"));
    assert_eq!(ids(&site.load_clean()), ["acme", "again", "beta", "bravo"]);
}

#[test]
fn a_half_written_file_is_no_deletion() {
    let whole =
        "- id: acme\n  hosts: [acme.example.com, shop.acme.test]\n  database: production\n  pool: shared\n";
    let mut site = Site::new(&[("a.yaml", whole)]);
    site.load_clean();
    let mut cut_off = 0;
    for end in 0..whole.len() {
        site.write("tenants.d/a.yaml", &whole.as_bytes()[..end]);
        let loaded = site.load();
        // Some beginnings are files in their own right; nobody can tell those apart.
        if running(&loaded, "a.yaml") != Running::New {
            cut_off += 1;
            assert_eq!(database(&loaded, "shop.acme.test").as_deref(), Some("production"), "cut at {end}");
        }
        site.write("tenants.d/a.yaml", whole);
        site.load_clean();
    }
    assert!(cut_off > whole.len() / 2, "{cut_off} of {}", whole.len());
}

#[test]
fn of_two_claims_to_a_host_the_new_one_loses() {
    for (thief, owner) in [("a.yaml", "b.yaml"), ("b.yaml", "a.yaml")] {
        let mut site = Site::new(&[(thief, &tenant("thief")), (owner, &tenant("owner"))]);
        site.load_clean();
        site.write(
            &format!("tenants.d/{thief}"),
            tenant("thief") + "- { id: more, hosts: [owner.example.com] }\n",
        );
        let loaded = site.load();
        assert_eq!(ids(&loaded), ["owner", "thief"]);
        assert_eq!(database(&loaded, "owner.example.com").as_deref(), Some("owner"));
        assert_eq!((running(&loaded, thief), running(&loaded, owner)), (Running::LastGood, Running::New));
        let text = lines(&loaded.problems);
        assert!(text.contains(&format!("{thief}:2:23")) && text.contains(&format!("{owner}:1:24")), "{text}");
    }
}

#[test]
fn of_two_changed_files_the_one_that_had_the_host_keeps_it() {
    for (thief, owner) in [("a.yaml", "b.yaml"), ("b.yaml", "a.yaml")] {
        let mut site = Site::new(&[(thief, &tenant("thief")), (owner, &tenant("owner"))]);
        site.load_clean();
        site.write(
            &format!("tenants.d/{thief}"),
            tenant("thief") + "- { id: more, hosts: [owner.example.com] }\n",
        );
        site.write(&format!("tenants.d/{owner}"), tenant("owner") + &tenant("other"));
        let loaded = site.load();
        assert_eq!(ids(&loaded), ["other", "owner", "thief"], "thief {thief}");
        assert_eq!((running(&loaded, thief), running(&loaded, owner)), (Running::LastGood, Running::New));
    }
}

#[test]
fn a_host_moves_from_one_file_to_another_in_one_step() {
    let mut site = Site::new(&[("a.yaml", &(tenant("acme") + &tenant("zen"))), ("b.yaml", &tenant("beta"))]);
    site.load_clean();
    site.write("tenants.d/a.yaml", tenant("zen"));
    site.write("tenants.d/b.yaml", tenant("beta") + &tenant("acme"));
    assert_eq!(ids(&site.load_clean()), ["acme", "beta", "zen"]);
}

#[test]
fn a_move_whose_giving_side_is_broken_is_not_made() {
    let mut site = Site::new(&[("a.yaml", &(tenant("acme") + &tenant("zen"))), ("b.yaml", &tenant("beta"))]);
    site.load_clean();
    site.write("tenants.d/a.yaml", tenant("zen") + "- nonsense\n");
    site.write("tenants.d/b.yaml", tenant("beta") + &tenant("acme"));
    let loaded = site.load();
    assert_eq!(ids(&loaded), ["acme", "beta", "zen"]);
    assert_eq!(
        (running(&loaded, "a.yaml"), running(&loaded, "b.yaml")),
        (Running::LastGood, Running::LastGood)
    );
}

#[test]
fn a_broken_main_file_keeps_the_whole_main_file() {
    let mut site = Site::new(&[("a.yaml", &tenant("acme"))]);
    site.load_clean();
    site.write("fleetgate.yaml", MAIN.replace("paris: {", "pariss: {"));
    site.write("tenants.d/b.yaml", tenant("beta"));
    let loaded = site.load();
    assert_eq!(running(&loaded, "fleetgate.yaml"), Running::LastGood);
    assert_eq!(ids(&loaded), ["acme", "beta"], "tenants move on");
    assert!(lines(&loaded.problems).contains("did you mean `paris`"), "{}", lines(&loaded.problems));
}

#[test]
fn a_main_file_that_drops_a_pool_in_use_is_not_taken() {
    let mut site = Site::new(&[("a.yaml", "- { id: acme, hosts: [acme.example.com], pool: shared }\n")]);
    site.load_clean();
    site.write("fleetgate.yaml", MAIN.replace("shared:", "fresh:"));
    let loaded = site.load();
    assert_eq!(running(&loaded, "fleetgate.yaml"), Running::LastGood);
    assert_eq!(&*loaded.config.fleet.pools[0].name, "shared");
    assert!(lines(&loaded.problems).contains("no pool `shared`"), "{}", lines(&loaded.problems));
    site.write("tenants.d/a.yaml", "- { id: acme, hosts: [acme.example.com], pool: fresh }\n");
    assert_eq!(&*site.load_clean().config.fleet.pools[0].name, "fresh", "both sides changed, so it fits");
}

#[test]
fn inline_tenants_do_not_take_hosts_of_a_file_that_did_not_change() {
    let mut site = Site::new(&[("a.yaml", &tenant("acme"))]);
    site.load_clean();
    site.write("fleetgate.yaml", format!("{MAIN}tenants:\n- {{ id: thief, hosts: [acme.example.com] }}\n"));
    let loaded = site.load();
    assert_eq!(ids(&loaded), ["acme"]);
    assert_eq!(running(&loaded, "fleetgate.yaml"), Running::LastGood);
}

#[test]
fn a_deleted_file_takes_its_tenants_along() {
    let mut site = Site::new(&[("a.yaml", &tenant("acme")), ("b.yaml", &tenant("beta"))]);
    site.load_clean();
    site.remove("tenants.d/a.yaml");
    assert_eq!(ids(&site.load_clean()), ["beta"]);
}

#[test]
fn a_missing_folder_keeps_all_tenants() {
    let mut site = Site::new(&[("a.yaml", &tenant("acme")), ("b.yaml", &tenant("beta"))]);
    site.load_clean();
    std::fs::rename(site.path("tenants.d"), site.path("elsewhere")).unwrap();
    let loaded = site.load();
    assert_eq!(ids(&loaded), ["acme", "beta"]);
    assert!(
        lines(&loaded.problems).contains("the folder `tenants.d` does not exist"),
        "{}",
        lines(&loaded.problems)
    );
    std::fs::rename(site.path("elsewhere"), site.path("tenants.d")).unwrap();
    assert_eq!(ids(&site.load_clean()), ["acme", "beta"]);
}

#[test]
fn a_start_serves_the_good_entries_of_a_bad_file() {
    let bad = tenant("acme") + "- { id: bad, hosts: [] }\n" + &tenant("zen");
    let mut site = Site::new(&[("a.yaml", &bad), ("b.yaml", "- {"), ("c.yaml", &tenant("gamma"))]);
    let loaded = site.load();
    assert_eq!(ids(&loaded), ["acme", "gamma", "zen"]);
    let kinds = ["a.yaml", "b.yaml", "c.yaml"].map(|name| running(&loaded, name));
    assert_eq!(kinds, [Running::Partly, Running::Nothing, Running::New]);
    assert_eq!(loaded.problems.len(), 2, "{}", lines(&loaded.problems));
}

#[test]
fn a_start_without_a_sound_main_file_fails_with_every_problem() {
    let mut site = Site::new(&[]);
    site.write("fleetgate.yaml", "listeners: []\nregions: 5\n");
    let problems = site.loader.load().unwrap_err();
    assert_eq!(problems.len(), 3, "{}", lines(&problems));
    site.write("fleetgate.yaml", MAIN);
    site.load();
}

#[test]
fn a_secret_that_goes_missing_keeps_the_last_one() {
    let mut site = Site::new(&[("a.yaml", &tenant("acme"))]);
    let main = format!("{MAIN}observe: {{ address: \"127.0.0.1:9090\", bearer_token: \"file:token\" }}\n");
    site.write("fleetgate.yaml", main);
    site.write("token", "one\n");
    let token = |loaded: &super::Loaded| {
        let observe = loaded.config.process.observe.as_ref().unwrap();
        observe.bearer_token.as_ref().unwrap().reveal().to_owned()
    };
    assert_eq!(token(&site.load_clean()), "one");
    site.write("token", "two\n");
    assert_eq!(token(&site.load_clean()), "two", "the config is the same, its secret is not");
    site.remove("token");
    let loaded = site.load();
    assert_eq!(token(&loaded), "two");
    assert!(lines(&loaded.problems).contains("the secret's file `token` does not exist"));
}

#[test]
fn a_start_leaves_no_host_of_a_bad_file_to_a_star() {
    let star = "- { id: \"{1}\", hosts: [\"*.example.com\"] }\n";
    let production = "- { id: acme, hosts: [acme.example.com], database: production }\n";
    let bad_pool = "- { id: beta, hosts: [beta.example.com], database: b, pool: nope }\n";
    let cut_off = format!("{production}- {{ id: \"");
    let mut site = Site::new(&[("a.yaml", star), ("b.yaml", &cut_off), ("c.yaml", bad_pool)]);
    let active = |loaded: &super::Loaded, host: &str| {
        let (key, _) = fleetgate_core::host::HostKey::parse(host.as_bytes()).unwrap();
        loaded.config.fleet.tenants.resolve(&key).unwrap().tenant.state == TenantState::Active
    };
    for _ in 0..2 {
        let loaded = site.load();
        let hosts = ["acme.example.com", "beta.example.com", "zen.example.com"];
        assert_eq!(hosts.map(|host| active(&loaded, host)), [false, false, true]);
    }
    site.write("tenants.d/b.yaml", production);
    site.write("tenants.d/c.yaml", bad_pool.replace("nope", "shared"));
    let loaded = site.load_clean();
    assert_eq!(database(&loaded, "acme.example.com").as_deref(), Some("production"));
    site.write("tenants.d/d.yaml", "- { id: zen, hosts: [zen.example.com");
    let loaded = site.load();
    assert!(
        active(&loaded, "zen.example.com"),
        "a new file that is broken takes nothing from those who are served"
    );
}
