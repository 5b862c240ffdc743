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
    interval: 500ms, timeout: 20s }";

/// Calls a method of a model as the administrator, beside the gateway.
async fn as_admin(odoo: &Odoo, model: &str, method: &str, arguments: Value) -> Value {
    let arguments = json!(["acme", 2, "admin-acme", model, method, arguments]);
    let call = json!({ "service": "object", "method": "execute_kw", "args": arguments });
    let answer = Request::call("acme.example.com", "/jsonrpc", &call).send(odoo.http).await;
    let mut answer: Value = serde_json::from_slice(&answer.body).unwrap();
    assert!(answer.get("error").is_none(), "{answer}");
    answer["result"].take()
}

/// A user of the portal, which has no rights.
async fn make_user(odoo: &Odoo) -> u64 {
    let domain = json!([[["module", "=", "base"], ["name", "=", "group_portal"]], ["res_id"]]);
    let found = as_admin(odoo, "ir.model.data", "search_read", domain).await;
    let portal = found[0]["res_id"].clone();
    let user =
        json!([{ "name": "Probe", "login": "probe", "password": PASSWORD, "group_ids": [[6, 0, [portal]]] }]);
    as_admin(odoo, "res.users", "create", user).await.as_u64().unwrap()
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
    let user = make_user(&odoo).await;
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

    as_admin(&odoo, "res.users", "write", json!([[user], { "password": "another one" }])).await;
    login_is(&gateway, "fails", "Odoo refuses the user").await;
    as_admin(&odoo, "res.users", "write", json!([[user], { "password": PASSWORD }])).await;
    login_is(&gateway, "works", "reads and writes").await;

    // The server takes writes, so its probe is content; Odoo's connections do not.
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'odoo'";
    sql("ALTER ROLE odoo SET default_transaction_read_only = on");
    sql(cut);
    login_is(&gateway, "fails", "read-only").await;
    says_it_is_well(&odoo).await;
    let report = pool(&gateway).await;
    assert_eq!(report["route"], "serve");
    assert_eq!(report["regions"][0]["backends"][0]["verdict"], "up", "it is the database");
    sql("ALTER ROLE odoo RESET default_transaction_read_only");
    sql(cut);
    login_is(&gateway, "works", "reads and writes").await;

    as_admin(&odoo, "res.users", "unlink", json!([[user]])).await;
    login_is(&gateway, "fails", "Odoo refuses the user").await;
    make_user(&odoo).await;
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
    make_user(&well).await;
    let builder = gateway_with(HEALTH, "{ name: paris }", &region("paris", &[&well, &ill], &site.primary));
    let gateway = builder.file("password", PASSWORD).start().await;
    login_is(&gateway, "partly", "").await;
    let report = pool(&gateway).await["regions"][0]["backends"].clone();
    println!("ok the backend without rights says: {}", report[1]["signals"]);
    assert_eq!((&report[0]["verdict"], &report[1]["verdict"]), (&"up".into(), &"down".into()), "{report}");
    assert_eq!(Request::get("localhost", "/web/health").send(ill.http).await.status, 200);
    for _ in 0..10 {
        let page = Request::get("acme.example.com", "/web/login").send(gateway.address()).await;
        assert_eq!(page.status, 200, "{}", page.text());
    }
}
