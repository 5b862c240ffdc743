use super::{ask, fleet, get};
use crate::{StubOdoo, StubOptions};

#[tokio::test]
async fn first_label_of_the_host_selects_a_database() {
    let stub = fleet().await;
    assert_eq!(get(&stub, "acme.example.test", "/").await.database(), Some("acme"));
    assert_eq!(get(&stub, "www.globex.test:8069", "/").await.database(), Some("globex"));
    let page = get(&stub, "acme.example.test", "/").await;
    assert!(page.body.contains("<h1>acme</h1>") && page.body.contains("<dd>eu</dd>"), "{}", page.body);
}

#[tokio::test]
async fn filter_header_wins_over_the_host() {
    let stub = fleet().await;
    let headers = "Host: acme.test\r\nX-Odoo-dbfilter: ^globex$\r\n";
    assert_eq!(ask(stub.http_addr(), "GET", "/", headers, "").await.database(), Some("globex"));
    let unknown = "Host: acme.test\r\nX-Odoo-dbfilter: ^nobody$\r\n";
    assert_eq!(ask(stub.http_addr(), "GET", "/web/x", unknown, "").await.status, 404);
}

#[tokio::test]
async fn second_spelling_of_the_filter_header_breaks_it() {
    let stub = fleet().await;
    let headers = "Host: acme.test\r\nX_Odoo_Dbfilter: .*\r\nX-Odoo-dbfilter: ^globex$\r\n";
    let answer = ask(stub.http_addr(), "GET", "/web/x", headers, "").await;
    assert_eq!((answer.status, answer.database()), (404, None));
    let only = "Host: shop.test\r\nX_Odoo_Dbfilter: ^globex$\r\n";
    assert_eq!(ask(stub.http_addr(), "GET", "/", only, "").await.database(), Some("globex"));
}

#[tokio::test]
async fn unknown_host_gets_the_selector_or_404() {
    let stub = fleet().await;
    let page = get(&stub, "shop.test", "/odoo").await;
    assert_eq!((page.status, page.value("Location")), (303, Some("/web/database/selector")));
    assert_eq!(get(&stub, "shop.test", "/web/content/1").await.status, 404);
    assert_eq!(get(&stub, "shop.test", "/web/health").await.status, 200);
}

#[tokio::test]
async fn only_database_is_selected_without_any_header() {
    let stub = StubOdoo::start(StubOptions::new("eu", ["acme"])).await.unwrap();
    assert_eq!(get(&stub, "anything.test", "/").await.database(), Some("acme"));
}

#[tokio::test]
async fn database_header_selects_but_saves_no_session() {
    let stub = fleet().await;
    let headers = "Host: shop.test\r\nX-Odoo-Database: globex\r\n";
    let form = ask(stub.http_addr(), "GET", "/web/login", headers, "").await;
    assert_eq!((form.database(), form.value("Set-Cookie")), (Some("globex"), None));
    let login = ask(stub.http_addr(), "POST", "/web/login", headers, "login=admin&password=admin").await;
    assert_eq!((login.status, login.value("Set-Cookie")), (303, None));
}

#[tokio::test]
async fn login_gives_the_cookie_of_odoo_and_the_web_client() {
    let stub = fleet().await;
    let host = "Host: acme.test\r\n";
    let login =
        ask(stub.http_addr(), "POST", "/web/login", host, "login=admin&password=admin&redirect=").await;
    assert_eq!((login.status, login.value("Location")), (303, Some("/odoo")));
    let cookie = login.value("Set-Cookie").unwrap();
    let parts: Vec<&str> = cookie.split("; ").collect();
    let id = parts[0].strip_prefix("session_id=").unwrap();
    assert_eq!(id.len(), 84);
    assert!(id.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_".contains(letter)));
    assert!(parts[1].starts_with("Expires=") && parts[1].ends_with(" GMT"));
    assert_eq!(parts[2..], ["Max-Age=604800", "HttpOnly", "Path=/"]);

    let headers = format!("{host}Cookie: tz=UTC; session_id={id}\r\n");
    let page = ask(stub.http_addr(), "GET", "/odoo", &headers, "").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("<dd>admin</dd>") && page.body.contains(id));
    assert_eq!(
        get(&stub, "acme.test", "/odoo").await.value("Location"),
        Some("/web/login?redirect=%2Fodoo%3F")
    );
}

#[tokio::test]
async fn wrong_password_is_a_200_page() {
    let stub = fleet().await;
    let answer =
        ask(stub.http_addr(), "POST", "/web/login", "Host: acme\r\n", "login=a&password=wrong").await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.contains("Wrong login/password"));
}

#[tokio::test]
async fn session_of_one_database_is_worth_nothing_on_the_host_of_another() {
    let stub = fleet().await;
    let login =
        ask(stub.http_addr(), "POST", "/web/login", "Host: acme.test\r\n", "login=a&password=a").await;
    let cookie = login.value("Set-Cookie").unwrap().split(';').next().unwrap().to_owned();
    let headers = format!("Host: globex.test\r\nCookie: {cookie}\r\n");
    let page = ask(stub.http_addr(), "GET", "/odoo", &headers, "").await;
    assert_eq!((page.status, page.database()), (303, Some("globex")));
    // On a host without a filter the session decides, and a different database header is refused.
    let headers = format!("Host: shop.test\r\nCookie: {cookie}\r\nX-Odoo-Database: globex\r\n");
    assert_eq!(ask(stub.http_addr(), "GET", "/odoo", &headers, "").await.status, 403);
}

#[tokio::test]
async fn servers_with_one_store_share_sessions() {
    let first = fleet().await;
    let login = ask(first.http_addr(), "POST", "/web/login", "Host: acme\r\n", "login=a&password=a").await;
    let cookie = login.value("Set-Cookie").unwrap().split(';').next().unwrap().to_owned();
    let options = StubOptions::new("eu-2", ["acme", "globex"]);
    let headers = format!("Host: acme\r\nCookie: {cookie}\r\n");
    let stranger = StubOdoo::start(options.clone()).await.unwrap();
    assert_eq!(ask(stranger.http_addr(), "GET", "/odoo", &headers, "").await.status, 303);

    let store = crate::SessionStore::default();
    let options = StubOptions { sessions: store, ..options };
    let (left, right) =
        (StubOdoo::start(options.clone()).await.unwrap(), StubOdoo::start(options).await.unwrap());
    let login = ask(left.http_addr(), "POST", "/web/login", "Host: acme\r\n", "login=a&password=a").await;
    let cookie = login.value("Set-Cookie").unwrap().split(';').next().unwrap().to_owned();
    let headers = format!("Host: acme\r\nCookie: {cookie}\r\n");
    assert_eq!(ask(right.http_addr(), "GET", "/odoo", &headers, "").await.status, 200);
}

#[tokio::test]
async fn forwarded_host_and_absolute_target_decide_like_in_odoo() {
    let stub = fleet().await;
    let forwarded = "Host: acme.test\r\nX-Forwarded-Host: evil.test, globex.test\r\n";
    assert_eq!(ask(stub.http_addr(), "GET", "/", forwarded, "").await.database(), Some("globex"));
    let absolute = ask(stub.http_addr(), "GET", "http://globex.test/", "Host: acme.test\r\n", "").await;
    assert_eq!(absolute.database(), Some("globex"));
}

#[tokio::test]
async fn language_prefix_and_percent_escapes_reach_the_same_route() {
    let stub = fleet().await;
    for target in ["/fr/web/login", "/web%2Flogin", "/web/login/", "/fr_BE/web/login?x=1"] {
        let answer = get(&stub, "acme.test", target).await;
        assert!(answer.body.contains("oe_login_form"), "{target}: {}", answer.status);
    }
}
