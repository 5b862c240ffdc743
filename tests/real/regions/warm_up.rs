//! A real Odoo with two workers comes back, and each of them loads the registry of each tenant before clients come.

use std::collections::BTreeMap;
use std::time::Duration;

use fleetgate_tests::{Request, wait_for};

use crate::odoo::Odoo;
use crate::site::{Site, gateway_with, pool};

/// For registries to be loaded on a busy machine.
const WARM: Duration = Duration::from_secs(180);

/// Registries that each process has loaded, as their server's log says from a place on.
fn loaded(odoo: &Odoo, from: usize) -> BTreeMap<String, usize> {
    let log = odoo.log();
    let lines =
        log.get(from..).unwrap_or_default().lines().filter(|line| line.contains("Registry loaded in"));
    let mut counts = BTreeMap::new();
    for process in lines.filter_map(|line| line.split_whitespace().nth(2)) {
        *counts.entry(process.to_owned()).or_default() += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn each_worker_of_a_server_that_comes_back_has_the_registry_of_each_tenant_before_clients_come() {
    let site = Site::new().await;
    let (mut one, two) = tokio::join!(site.odoo("paris", &site.primary), site.odoo("paris", &site.primary));
    let backend = |odoo: &Odoo| odoo.backend().replace('}', ", workers: 2 }");
    let regions = format!(
        "      paris: {{ backends: [ {}, {} ], postgres: \"{}\" }}\n",
        backend(&one),
        backend(&two),
        site.primary.url()
    );
    let builder = gateway_with("warm_up: 3m, slow_start: 0s", "{ name: paris }", &regions);
    let gateway = builder.start().await;
    for database in ["acme", "globex"] {
        two.until_warm(database).await;
        one.until_warm(database).await;
        let page =
            Request::get(&format!("{database}.example.com"), "/web/login").send(gateway.address()).await;
        assert_eq!(page.status, 200);
    }
    let verdict = async || pool(&gateway).await["regions"][0]["backends"][0]["verdict"].clone();
    one.kill();
    wait_for("it is down", WARM, async || verdict().await == "down").await;
    let from = one.log().len();
    let one = Odoo::start_at(&site.lab, &site.data("paris"), &site.primary, one.http, one.gevent).await;
    gateway.operational_log().wait_for_text("was asked for a page of its tenants", WARM).await;
    let warm = loaded(&one, from);
    println!("ok before clients came, processes had loaded so many registries: {warm:?}");
    assert_eq!(warm.values().copied().collect::<Vec<_>>(), [2, 2], "two workers, two tenants: {warm:?}");
    for database in ["acme", "globex"].repeat(8) {
        let page = Request::get(&format!("{database}.example.com"), "/web/login");
        let page = page.header("X-Odoo-dbfilter", &format!("^{database}$")).send(one.http).await;
        assert_eq!(page.status, 200);
    }
    assert_eq!(loaded(&one, from), warm, "a page had to wait for a registry");
}
