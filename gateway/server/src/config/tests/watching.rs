//! Changes are noticed, however they are made.

use super::{MAIN, Site, ids, tenant};
use crate::config::watch::{Clocks, Watch};
use std::os::unix::fs::symlink;
use std::time::Duration;

/// Longest wait for a change that must be told.
const DEADLINE: Duration = Duration::from_secs(10);
/// No poll falls into a test with these: only events can tell.
const EVENTS: Clocks = Clocks {
    settle: Duration::from_millis(20),
    settle_max: Duration::from_secs(1),
    poll: Duration::from_secs(3600),
};

async fn told(watch: &mut Watch) -> bool {
    tokio::time::timeout(DEADLINE, watch.changed()).await.expect("a change is told")
}

/// Waits for changes until the tenants are these: one step may be told as several.
async fn until(site: &mut Site, watch: &mut Watch, wanted: &[&str]) {
    loop {
        assert!(told(watch).await);
        if ids(&site.load()) == wanted {
            return;
        }
    }
}

#[tokio::test]
async fn writes_renames_and_deletions_of_tenant_files_are_told() {
    let mut site = Site::new(&[("a.yaml", &tenant("acme"))]);
    site.load_clean();
    let mut watch = site.loader.watch_with(EVENTS);
    site.write("tenants.d/a.yaml", tenant("bcme"));
    until(&mut site, &mut watch, &["bcme"]).await;
    site.write("tenants.d/.a.yaml.tmp", tenant("ccme"));
    std::fs::rename(site.path("tenants.d/.a.yaml.tmp"), site.path("tenants.d/a.yaml")).unwrap();
    until(&mut site, &mut watch, &["ccme"]).await;
    site.write("tenants.d/b.yaml", tenant("dcme"));
    until(&mut site, &mut watch, &["ccme", "dcme"]).await;
    site.remove("tenants.d/a.yaml");
    until(&mut site, &mut watch, &["dcme"]).await;
}

#[tokio::test]
async fn a_config_map_swap_of_the_whole_config_is_told() {
    let mut site = Site::new(&[]);
    for (version, id) in [("..v1", "acme"), ("..v2", "zen")] {
        std::fs::create_dir(site.path(version)).unwrap();
        let host = format!("{{ id: {id}, hosts: [{id}.example.com] }}");
        site.write(&format!("{version}/fleetgate.yaml"), format!("{MAIN}tenants: [ {host} ]\n"));
    }
    site.remove("fleetgate.yaml");
    symlink("..v1", site.path("..data")).unwrap();
    symlink("..data/fleetgate.yaml", site.path("fleetgate.yaml")).unwrap();
    assert_eq!(ids(&site.load_clean()), ["acme"]);
    let mut watch = site.loader.watch_with(EVENTS);
    symlink("..v2", site.path("..data_tmp")).unwrap();
    std::fs::rename(site.path("..data_tmp"), site.path("..data")).unwrap();
    until(&mut site, &mut watch, &["zen"]).await;
}

#[tokio::test]
async fn a_folder_that_is_replaced_is_watched_again() {
    let mut site = Site::new(&[("a.yaml", &tenant("acme"))]);
    site.load_clean();
    let mut watch = site.loader.watch_with(EVENTS);
    std::fs::create_dir(site.path("next")).unwrap();
    site.write("next/a.yaml", tenant("bcme"));
    std::fs::rename(site.path("tenants.d"), site.path("old")).unwrap();
    std::fs::rename(site.path("next"), site.path("tenants.d")).unwrap();
    until(&mut site, &mut watch, &["bcme"]).await;
    site.write("tenants.d/a.yaml", tenant("ccme"));
    until(&mut site, &mut watch, &["ccme"]).await;
}

#[tokio::test]
async fn a_folder_that_the_main_file_names_later_is_watched() {
    let mut site = Site::new(&[("a.yaml", &tenant("acme"))]);
    site.load_clean();
    let mut watch = site.loader.watch_with(EVENTS);
    std::fs::create_dir(site.path("other.d")).unwrap();
    site.write("fleetgate.yaml", MAIN.replace("tenants.d", "other.d"));
    until(&mut site, &mut watch, &[]).await;
    site.write("other.d/a.yaml", tenant("bcme"));
    until(&mut site, &mut watch, &["bcme"]).await;
    site.write("other.d/a.yaml", tenant("ccme"));
    until(&mut site, &mut watch, &["ccme"]).await;
}

#[tokio::test]
async fn what_no_event_tells_is_found_by_looking() {
    let mut site = Site::new(&[]);
    std::fs::create_dir(site.path("elsewhere")).unwrap();
    site.write("elsewhere/a.yaml", tenant("acme"));
    symlink("../elsewhere/a.yaml", site.path("tenants.d/a.yaml")).unwrap();
    assert_eq!(ids(&site.load_clean()), ["acme"]);
    let mut watch = site.loader.watch_with(Clocks { poll: Duration::from_millis(20), ..EVENTS });
    site.write("elsewhere/a.yaml", tenant("bcme") + "\n");
    until(&mut site, &mut watch, &["bcme"]).await;
}

#[tokio::test]
async fn other_files_beside_the_config_and_our_own_reading_are_not_told() {
    let mut site = Site::new(&[("a.yaml", &tenant("acme"))]);
    site.load_clean();
    let mut watch = site.loader.watch_with(EVENTS);
    site.write("access.log", "noise\n");
    site.write("tenants.d/notes.txt", "noise\n");
    site.load_clean();
    let quiet = tokio::time::timeout(EVENTS.settle * 10, watch.changed()).await;
    assert!(quiet.is_err(), "nothing that matters has changed");
    site.write("tenants.d/a.yaml", tenant("bcme"));
    until(&mut site, &mut watch, &["bcme"]).await;
}

#[tokio::test]
async fn files_that_change_all_the_time_do_not_hold_a_change_back() {
    let mut site = Site::new(&[("a.yaml", &tenant("acme"))]);
    site.load_clean();
    let clocks =
        Clocks { settle: Duration::from_millis(200), settle_max: Duration::from_millis(400), ..EVENTS };
    let mut watch = site.loader.watch_with(clocks);
    let noise = site.path("access.log");
    let busy = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let still = std::sync::Arc::clone(&busy);
    let writer = std::thread::spawn(move || {
        while still.load(std::sync::atomic::Ordering::Relaxed) {
            std::fs::write(&noise, "noise\n").unwrap();
            std::thread::yield_now();
        }
    });
    site.write("tenants.d/a.yaml", tenant("bcme"));
    until(&mut site, &mut watch, &["bcme"]).await;
    busy.store(false, std::sync::atomic::Ordering::Relaxed);
    writer.join().unwrap();
}
