//! The primary of the fleet is stopped, its standby is promoted by hand, and the old primary comes back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fleetgate_tests::{DEADLINE, Gateway, Postgres, Request, wait_for};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::browser::Browser;
use crate::odoo::Odoo;
use crate::site::{Site, gateway, pool, region};

/// For a real Odoo to load a registry on a busy machine.
const SERVED: Duration = Duration::from_secs(60);

/// Two regions and a gateway before them.
struct Regions {
    site: Site,
    standby: Postgres,
    paris: Odoo,
    dublin: Odoo,
    gateway: Gateway,
}

impl Regions {
    async fn new() -> Self {
        let site = Site::new().await;
        let standby = site.primary.standby();
        let (paris, dublin) = tokio::join!(site.odoo("paris", &site.primary), site.odoo("dublin", &standby));
        paris.until_warm("acme").await;
        let regions = region("paris", &[&paris], &site.primary) + &region("dublin", &[&dublin], &standby);
        let gateway = gateway("{ name: paris }, { name: dublin, standby: true }", &regions).start().await;
        wait_for("the standby is seen", DEADLINE, async || {
            pool(&gateway).await["regions"][1]["database"]["verdict"] == "standby"
        })
        .await;
        Self { site, standby, paris, dublin, gateway }
    }

    async fn until_route(&self, route: &str) {
        wait_for(&format!("the route is {route}"), DEADLINE, async || {
            pool(&self.gateway).await["route"] == route
        })
        .await;
    }
}

/// Creates a partner through the gateway; its id, if that was acknowledged.
async fn write(gateway: SocketAddr, name: &str) -> Option<u64> {
    let arguments = json!(["acme", 2, "admin-acme", "res.partner", "create", [{ "name": name }]]);
    let call = json!({ "service": "object", "method": "execute_kw", "args": arguments });
    let answer = Request::call("acme.example.com", "/jsonrpc", &call).try_send(gateway).await.ok()?;
    serde_json::from_slice::<Value>(&answer.body).ok()?.get("result")?.as_u64()
}

/// Writes one thing after the other until told to stop; those that were acknowledged.
fn writer(gateway: SocketAddr, label: &'static str, stop: &Arc<AtomicBool>) -> JoinHandle<Vec<String>> {
    let stop = Arc::clone(stop);
    tokio::spawn(async move {
        let mut acknowledged = Vec::new();
        for number in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let name = format!("{label}-{number}");
            if write(gateway, &name).await.is_some() {
                acknowledged.push(name);
            } else {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        acknowledged
    })
}

fn stored(database: &Postgres, label: &str) -> Vec<String> {
    let names = database.sql_in("acme", &format!("select name from res_partner where name like '{label}-%'"));
    names.lines().map(str::to_owned).collect()
}

/// What an Odoo says of itself whose database is a standby, asked beside the gateway: why no probe of Odoo is enough, and
/// why a standby is of no use for pages either. It does not load a registry, and takes the user for a stranger.
async fn looks_well_and_serves_nothing(odoo: &Odoo) {
    let ask = async |path: &str| {
        let request = Request::get("acme.example.com", path).header("X-Odoo-dbfilter", "^acme$");
        let answer = request.send(odoo.http).await;
        (answer.status, answer.header("location").unwrap_or_default().to_owned())
    };
    let health = [ask("/web/health").await.0, ask("/web/health?db_server_status=1").await.0];
    let pages = [ask("/web/login").await, ask("/odoo").await, ask("/web/image/res.company/1/logo").await];
    println!("ok on a standby Odoo says {health:?} of its health, and {pages:?} to pages");
    assert_eq!(health, [200, 200]);
    assert!(pages.iter().all(|(status, _)| *status != 200), "{pages:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_and_its_users_follow_a_promotion_and_nothing_reaches_a_standby_or_an_old_primary() {
    over_a_promotion(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_whose_sessions_are_shared_work_on_after_a_promotion_without_a_click() {
    over_a_promotion(true).await;
}

async fn over_a_promotion(shared_sessions: bool) {
    let fleet = Regions::new().await;
    let address = fleet.gateway.address();
    let mut browser = Browser::start("moved.mjs", &fleet.site, address);
    browser.says("works in the web client").await;
    let stop = Arc::new(AtomicBool::new(false));
    let writing = writer(address, "before", &stop);
    wait_for("writes are made", SERVED, async || stored(&fleet.site.primary, "before").len() >= 5).await;

    fleet.site.primary.stop();
    fleet.until_route("unwritable").await;
    browser.go_on().await;
    browser.says("shows that the connection is lost").await;
    assert_eq!(fleet.dublin.requests(), Vec::<String>::new(), "a standby that nobody promoted got requests");
    looks_well_and_serves_nothing(&fleet.dublin).await;
    stop.store(true, Ordering::Relaxed);
    let acknowledged = writing.await.unwrap();
    if shared_sessions {
        fleet.site.copy_sessions();
    }

    fleet.standby.promote();
    wait_for("writes are made in dublin", SERVED, async || write(address, "first").await.is_some()).await;
    let lost: Vec<String> = acknowledged
        .iter()
        .filter(|name| !stored(&fleet.standby, "before").contains(name))
        .cloned()
        .collect();
    assert!(lost.is_empty(), "acknowledged, and not on the new primary: {lost:?}");
    println!("ok {} acknowledged writes are all on the promoted standby", acknowledged.len());
    browser.says("is connected again").await;
    browser.go_on().await;
    let expected = if shared_sessions { "goes on without a login" } else { "goes on after a new login" };
    browser.says(expected).await;

    fleet.site.primary.start();
    wait_for("the old primary is known", DEADLINE, async || {
        pool(&fleet.gateway).await["regions"][0]["database"]["verdict"] == "diverged"
    })
    .await;
    let asked = fleet.paris.requests().len();
    for number in 0..20 {
        assert!(write(address, &format!("after-{number}")).await.is_some(), "the promoted region serves");
    }
    assert_eq!(fleet.paris.requests().len(), asked, "the old primary's region got requests");
    assert_eq!((stored(&fleet.site.primary, "after").len(), stored(&fleet.standby, "after").len()), (0, 20));
    println!("ok an old primary that came back got no writes");
}
