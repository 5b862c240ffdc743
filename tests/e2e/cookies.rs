//! Cookies of clients and of Odoo.

use fleetgate_stub::StubOdoo;
use fleetgate_tests::{Answer, Gateway, Request, ws_connect};

use crate::fleet;

async fn login(gateway: &Gateway) -> (Answer, String) {
    let login = Request::post("acme.test", "/web/login", "login=anna&password=a");
    let answer = login.send(gateway.address()).await;
    let cookie = answer.cookie("session_id").unwrap();
    (answer, cookie)
}

async fn with_policy(policy: &str) -> (StubOdoo, Gateway) {
    let stub = fleet::prefork("eu-1").await;
    let gateway = fleet::before(&stub, policy, fleet::TENANTS).start().await;
    (stub, gateway)
}

#[tokio::test]
async fn cookies_that_http2_splits_arrive_as_one_line_and_the_session_lives() {
    for stub in [fleet::prefork("eu-1").await, fleet::threaded("eu-1").await] {
        let gateway = fleet::before(&stub, "", fleet::TENANTS).start().await;
        let (_, session) = login(&gateway).await;
        stub.forget_received();
        let request = Request::get("acme.test", "/odoo")
            .header("Cookie", "frontend_lang=fr_FR")
            .header("Cookie", &session)
            .header("Cookie", "tz=Europe/Paris");
        // HTTP/1 clients should not send several lines; some proxies make them.
        for request in [request.clone().http2(), request] {
            let answer = request.send(gateway.address()).await;
            let expected = format!("frontend_lang=fr_FR; {session}; tz=Europe/Paris");
            assert_eq!(fleet::only_request(&stub).values("cookie"), [expected]);
            assert_eq!((answer.status, answer.text().contains("<dd>anna</dd>")), (200, true));
        }
        let cookies = format!("a=1; {session}");
        let mut socket =
            ws_connect(gateway.address(), "acme.test", "/websocket", &[("Cookie", &cookies)]).await;
        assert_eq!(socket.json().await["login"], "anna");
    }
}

#[tokio::test]
async fn one_cookie_line_arrives_byte_for_byte() {
    let (stub, gateway) = fleet::start().await;
    for line in ["a=\"b; c\"; ;x;;=y", "a=1;b=2", "\u{e9}=\u{e9}", "session_id=", "a=1,b=2"] {
        let sent = format!("Cookie: {line}");
        let answer = fleet::raw_get(&gateway, "acme.test", "/stub/echo", &sent).await;
        fleet::assert_status(&answer, 200, line);
        assert_eq!(fleet::only_request(&stub).values("cookie"), [line]);
    }
}

#[tokio::test]
async fn the_session_cookie_gets_the_flags_of_its_pool() {
    for (policy, flags) in [
        ("", "; Secure; SameSite=Lax"),
        ("session_cookie: { secure: false }", "; SameSite=Lax"),
        ("session_cookie: { secure: false, same_site: strict }", "; SameSite=Strict"),
        ("session_cookie: { same_site: none }", "; Secure; SameSite=None"),
        ("session_cookie: { same_site: unset }", "; Secure"),
        ("session_cookie: { secure: false, same_site: unset }", ""),
    ] {
        let (_stub, gateway) = with_policy(policy).await;
        let (answer, _) = login(&gateway).await;
        let socket = ws_connect(gateway.address(), "acme.test", "/websocket", &[]).await;
        for answer in [&answer, &socket.handshake] {
            let lines = answer.values("set-cookie");
            let [line] = lines[..] else { panic!("{lines:?}") };
            let expected = format!("; Max-Age=604800; HttpOnly; Path=/{flags}");
            assert!(line.starts_with("session_id=") && line.ends_with(&expected), "{policy}: {line}");
        }
    }
}

#[tokio::test]
async fn flags_that_odoo_sets_itself_stand_and_other_cookies_are_left_alone() {
    let (_stub, gateway) = with_policy("").await;
    for (set, seen) in [
        ("session_id=x; HttpOnly; Path=/", "session_id=x; HttpOnly; Path=/; Secure; SameSite=Lax"),
        ("session_id=x; secure; SAMESITE=None", "session_id=x; secure; SAMESITE=None"),
        ("session_id=x;Secure", "session_id=x;Secure; SameSite=Lax"),
        ("session_id=; Max-Age=0", "session_id=; Max-Age=0; Secure; SameSite=Lax"),
        ("session_id_old=x; Path=/", "session_id_old=x; Path=/"),
        ("Session_id=x; Path=/", "Session_id=x; Path=/"),
        ("frontend_lang=session_id=x; Path=/", "frontend_lang=session_id=x; Path=/"),
        ("im_livechat_uuid=abc", "im_livechat_uuid=abc"),
    ] {
        let query: String = set.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let path = format!("/stub/status?code=200&header=Set-Cookie%3A{query}");
        for request in [Request::get("acme.test", &path), Request::get("acme.test", &path).http2()] {
            assert_eq!(request.send(gateway.address()).await.values("set-cookie"), [seen]);
        }
    }
}
