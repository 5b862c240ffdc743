//! A user of a real Odoo that logs in as the gateway's probe, and what it finds while `/web/health` says that all is well.

use std::path::Path;
use std::time::Duration;

use fleetgate_tests::{Gateway, Request, wait_for};
use serde_json::{Value, json};

use crate::odoo::Odoo;
use crate::site::{Site, gateway_with, pool, region};

/// For probes of a real Odoo on a busy machine to agree.
const FOUND_OUT: Duration = Duration::from_secs(90);
const PASSWORD: &str = "Swordfish-42";

const HEALTH: &str = "fall: 2, login: { database: acme, user: probe, password: \"file:password\", write: true, \
    interval: 1s, timeout: 30s }";

/// Calls a method of a model as the administrator, beside the gateway; nothing when Odoo takes its time.
async fn as_admin(odoo: &Odoo, model: &str, method: &str, arguments: Value) -> Value {
    let arguments = json!(["acme", 2, "admin-acme", model, method, arguments]);
    let call = json!({ "service": "object", "method": "execute_kw", "args": arguments });
    let Ok(answer) = Request::call("acme.example.com", "/jsonrpc", &call).try_send(odoo.http).await else {
        return Value::Null;
    };
    serde_json::from_slice::<Value>(&answer.body).unwrap()["result"].take()
}

/// The id of the probe's user, if there is one.
fn user_of(site: &Site) -> Option<u64> {
    site.primary.sql_in("acme", "SELECT id FROM res_users WHERE login = 'probe'").parse().ok()
}

/// Makes a user of the portal, which has no rights.
async fn make_user(site: &Site, odoo: &Odoo) -> u64 {
    let portal = "SELECT res_id FROM ir_model_data WHERE module = 'base' AND name = 'group_portal'";
    let portal: u64 = site.primary.sql_in("acme", portal).parse().unwrap();
    let user =
        json!([{ "name": "Probe", "login": "probe", "password": PASSWORD, "group_ids": [[6, 0, [portal]]] }]);
    wait_for("the user is made", FOUND_OUT, async || {
        if user_of(site).is_none() {
            as_admin(odoo, "res.users", "create", user.clone()).await;
        }
        user_of(site).is_some()
    })
    .await;
    user_of(site).unwrap()
}

async fn login_is(gateway: &Gateway, verdict: &str, words: &str) {
    wait_for(&format!("logins: {verdict}: {words}"), FOUND_OUT, async || {
        let login = pool(gateway).await["regions"][0]["login"].clone();
        login["verdict"] == verdict && login["saw"].as_str().is_some_and(|saw| saw.contains(words))
    })
    .await;
    println!("ok logins: {verdict}: {words}");
}

async fn says_it_is_well(odoo: &Odoo) {
    for path in ["/web/health", "/web/health?db_server_status=1"] {
        assert_eq!(Request::get("localhost", path).send(odoo.http).await.status, 200, "{path}");
    }
}

fn count(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { count(&entry.path()) } else { 1 }).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_users_cannot_use_is_found_out_while_its_health_is_well() {
    let site = Site::new().await;
    let odoo = site.odoo("paris", &site.primary).await;
    odoo.until_warm("acme").await;
    let user = make_user(&site, &odoo).await;
    let builder = gateway_with(HEALTH, "{ name: paris }", &region("paris", &[&odoo], &site.primary));
    let gateway = builder.file("password", PASSWORD).start().await;
    login_is(&gateway, "works", "reads and writes").await;

    let sessions = site.data("paris").join("sessions");
    let sql = |statement: &str| site.primary.sql_in("acme", statement);
    let kept =
        || (count(&sessions), sql(&format!("SELECT count(*) FROM res_users_log WHERE create_uid = {user}")));
    let before = kept();
    let writes = || sql(&format!("SELECT write_date FROM res_users WHERE id = {user}"));
    for _ in 0..10 {
        let written = writes();
        wait_for("it is written again", FOUND_OUT, async || writes() != written).await;
    }
    assert_eq!((kept(), before.1.as_str()), (before.clone(), "1"), "sessions and logins pile up");
    println!("ok ten logins leave no session and no row: {before:?}");

    gateway.directory().write("password", b"another-one");
    login_is(&gateway, "fails", "Odoo refuses the user").await;
    gateway.directory().write("password", PASSWORD.as_bytes());
    login_is(&gateway, "works", "reads and writes").await;

    // Odoo 19 asks for a transaction that writes, whatever the settings of its role say.
    sql("ALTER ROLE odoo SET default_transaction_read_only = on");
    sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'odoo'");
    let written = writes();
    wait_for("it is written all the same", FOUND_OUT, async || writes() != written).await;
    sql("ALTER ROLE odoo RESET default_transaction_read_only");

    // What PostgreSQL says when its disk is full, of one table.
    sql("CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION \
         'could not extend file' USING ERRCODE = 'disk_full'; END $$");
    sql("CREATE TRIGGER no_room BEFORE UPDATE ON res_users FOR EACH ROW EXECUTE FUNCTION no_room()");
    login_is(&gateway, "fails", "disk is full").await;
    says_it_is_well(&odoo).await;
    let report = pool(&gateway).await;
    assert_eq!(report["route"], "serve");
    assert_eq!(report["regions"][0]["backends"][0]["verdict"], "up", "it is the database");
    sql("DROP TRIGGER no_room ON res_users");
    login_is(&gateway, "works", "reads and writes").await;

    wait_for("the user is deleted", FOUND_OUT, async || {
        as_admin(&odoo, "res.users", "unlink", json!([[user]])).await;
        user_of(&site).is_none()
    })
    .await;
    login_is(&gateway, "fails", "Odoo refuses the user").await;
    make_user(&site, &odoo).await;
    login_is(&gateway, "works", "reads and writes").await;
    assert!(!odoo.log().contains(PASSWORD), "the password is in Odoo's log");
    for text in [gateway.operational_log().text(), pool(&gateway).await.to_string()] {
        assert!(!text.contains(PASSWORD), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_whose_registry_cannot_be_loaded_is_down_while_its_health_is_well() {
    let site = Site::new().await;
    // It may connect, and read nothing.
    site.primary.sql("CREATE ROLE stranger LOGIN");
    let data = site.data("dublin");
    let (well, ill) = tokio::join!(
        site.odoo("paris", &site.primary),
        Odoo::start_as("stranger", &site.lab, &data, &site.primary)
    );
    well.until_warm("acme").await;
    make_user(&site, &well).await;
    let builder = gateway_with(HEALTH, "{ name: paris }", &region("paris", &[&well, &ill], &site.primary));
    let gateway = builder.file("password", PASSWORD).start().await;
    login_is(&gateway, "partly", "").await;
    wait_for("one is down and the other is not", FOUND_OUT, async || {
        let report = pool(&gateway).await["regions"][0]["backends"].clone();
        [&report[0]["verdict"], &report[1]["verdict"]] == ["up", "down"]
    })
    .await;
    let report = pool(&gateway).await["regions"][0]["backends"].clone();
    println!("ok the backend without rights says: {}", report[1]["signals"]);
    assert_eq!(Request::get("localhost", "/web/health").send(ill.http).await.status, 200);
    for _ in 0..10 {
        let page = Request::get("acme.example.com", "/web/login").send(gateway.address()).await;
        assert_eq!(page.status, 200, "{}", page.text());
    }
}
