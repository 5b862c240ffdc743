//! How Odoo is told the database, and that nobody else tells it.

use fleetgate_stub::{Received, StubOdoo, StubOptions};
use fleetgate_tests::{Connection, Gateway, Request, backend};

use crate::fleet;

/// Header names that decide about databases and sessions, with `_` and `.` read as `-`.
const DECIDING: [&str; 6] = [
    "x-odoo-dbfilter",
    "x-openerp-dbfilter",
    "x-odoo-db",
    "x-odoo-database",
    "x-openerp-session-id",
    "x-openerp-database",
];

/// The deciding headers as WSGI would read them, of one request.
fn deciding(received: &Received) -> Vec<(String, String)> {
    let folded = received
        .headers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase().replace(['_', '.'], "-"), value.clone()));
    folded.filter(|(name, _)| DECIDING.contains(&name.as_str())).collect()
}

fn owned(headers: &[(&str, &str)]) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Three gateways, one for each way to tell Odoo the database, with the headers of `acme.test` that Odoo then sees.
async fn modes() -> Vec<(StubOdoo, Gateway, Vec<(String, String)>)> {
    let mut modes = Vec::new();
    for (mode, databases, headers) in [
        ("dbfilter_header", &fleet::DATABASES[..], owned(&[("x-odoo-dbfilter", "^acme$")])),
        ("host", &fleet::DATABASES[..], Vec::new()),
        ("fixed", &fleet::DATABASES[..1], Vec::new()),
    ] {
        let stub = StubOdoo::start(StubOptions::new(mode, databases.iter().copied())).await.unwrap();
        let tenants = "- { id: acme, hosts: [acme.test] }\n";
        let gateway = fleet::before(&stub, &format!("database_selection: {mode}"), tenants).start().await;
        modes.push((stub, gateway, headers));
    }
    modes
}

#[tokio::test]
async fn each_mode_tells_odoo_the_database_in_its_own_way() {
    for (stub, gateway, headers) in modes().await {
        for request in [
            Request::get("acme.test", "/web/login"),
            Request::get("ACME.test.:80", "/stub/echo").http2(),
            Request::version("acme.test"),
            Request::get("acme.test", "/websocket/health"),
        ] {
            request.send(gateway.address()).await;
            let received = fleet::only_request(&stub);
            assert_eq!(deciding(&received), headers, "{}: {request:?}", stub.name());
            assert_eq!(received.database.as_deref(), Some("acme"), "{}", stub.name());
        }
        let socket = fleetgate_tests::ws_connect(gateway.address(), "acme.test", "/websocket", &[]).await;
        assert_eq!(socket.handshake.database(), Some("acme"));
        assert_eq!(deciding(&fleet::only_request(&stub)), headers, "{}: a websocket", stub.name());
    }
}

#[tokio::test]
async fn the_filter_lets_one_database_pass_and_no_other_that_looks_like_it() {
    let databases = ["my-db.v2", "my-db-v2", "my-dbxv2", "my-db.v2_old", "xmy-db.v2"];
    let stub = StubOdoo::start(StubOptions::new("eu-1", databases)).await.unwrap();
    let tenants = "- { id: acme, hosts: [acme.test], database: my-db.v2 }\n\
                   - { id: \"{1}\", hosts: [\"*.odoo.test\"], database: \"my-{1}\" }\n";
    let gateway = fleet::before(&stub, "", tenants).start().await;
    for (host, database, filter) in
        [("acme.test", "my-db.v2", r"^my\-db\.v2$"), ("DB-v2.odoo.test", "my-db-v2", r"^my\-db\-v2$")]
    {
        let answer = Request::get(host, "/stub/echo").send(gateway.address()).await;
        assert_eq!(answer.database(), Some(database));
        assert_eq!(fleet::only_request(&stub).values("x-odoo-dbfilter"), [filter]);
    }
}

/// Lines by which a client might try to choose the database or the session. `forged` is in each value.
const FORGED: [&str; 26] = [
    "X-Odoo-dbfilter: forged",
    "x-odoo-dbfilter: forged",
    "X-ODOO-DBFILTER: forged",
    "X_Odoo_Dbfilter: forged",
    "X-Odoo_dbfilter: forged",
    "X_Odoo-Dbfilter: forged",
    "X.Odoo.Dbfilter: forged",
    "X-Odoo.dbfilter: forged",
    "X-Odoo-dbfilter: forged\r\nX-Odoo-dbfilter: forged",
    "X-Odoo-dbfilter: forged\r\nX_Odoo_dbfilter: forged\r\nx-odoo-DBFILTER: forged",
    "X-Odoo-Database: forged",
    "X_ODOO_DATABASE: forged",
    "X-Odoo.Database: forged",
    "X-Odoo-Database: forged\r\nX-Odoo-Database: forged",
    "X-Odoo-Db: forged",
    "x_odoo_db: forged",
    "X-OpenERP-dbfilter: forged",
    "X_OPENERP_DBFILTER: forged",
    "X-Openerp-Session-Id: forged",
    "X_Openerp_Session_Id: forged",
    "x.openerp.session.id: forged",
    "X_Forwarded_Host: forged.test",
    "X-Forwarded_Host: forged.test",
    "X.Forwarded.Host: forged.test",
    "X-Odoo-dbfilter:forged",
    "X-Odoo-dbfilter:\t  forged  ",
];

#[tokio::test]
async fn no_spelling_of_a_client_reaches_odoo() {
    for (stub, gateway, headers) in modes().await {
        for lines in FORGED {
            let answer = fleet::raw_get(&gateway, "acme.test", "/stub/echo", lines).await;
            fleet::assert_status(&answer, 200, lines);
            let received = fleet::only_request(&stub);
            assert_eq!(deciding(&received), headers, "{}: {lines}", stub.name());
            let forged = received.headers.iter().any(|(_, value)| value.contains("forged"));
            assert!(!forged, "{}: {lines} arrived in {:?}", stub.name(), received.headers);

            assert_eq!(fleet::raw_handshake(&gateway, "acme.test", lines).await, Some(101), "{lines}");
            let received = fleet::only_request(&stub);
            assert_eq!(deciding(&received), headers, "{}: {lines} with a websocket", stub.name());
            let forged = received.headers.iter().any(|(_, value)| value.contains("forged"));
            assert!(!forged, "{}: {lines} arrived in {:?}", stub.name(), received.headers);
        }
    }
}

#[tokio::test]
async fn no_spelling_of_a_client_reaches_odoo_over_http2() {
    for (stub, gateway, headers) in modes().await {
        let mut connection = Connection::http2(gateway.address()).await.unwrap();
        for line in FORGED.iter().flat_map(|lines| lines.split("\r\n")) {
            let (name, value) = line.split_once(':').unwrap();
            let request = Request::get("acme.test", "/stub/echo").header(name, value.trim());
            let request = request.header(name, "forged again");
            assert_eq!(connection.ask(&request).await.unwrap().status, 200, "{line}");
            let received = fleet::only_request(&stub);
            assert_eq!(deciding(&received), headers, "{}: {line}", stub.name());
            assert!(received.headers.iter().all(|(_, value)| !value.contains("forged")), "{line}");
        }
    }
}

#[tokio::test]
async fn broken_header_lines_do_not_smuggle_a_name() {
    let (stub, gateway) = fleet::start().await;
    for lines in [
        "X-Odoo-dbfilter : forged",
        "X-Odoo-dbfilter\t: forged",
        "A: b\r\n X-Odoo-dbfilter: forged",
        "A: b\r\n\tX-Odoo-dbfilter: forged",
        "A: b\rX-Odoo-dbfilter: forged",
        "X-Odoo-dbfilter\0: forged",
        "\0X-Odoo-dbfilter: forged",
        "X-Odoo-dbfilter: a\0forged",
        "X-Odoo-dbf\u{131}lter: forged",
        "X-Odoo-dbfilter",
        ": forged",
        "\"X-Odoo-dbfilter\": forged",
    ] {
        let answer = fleet::raw_get(&gateway, "acme.test", "/stub/echo", lines).await;
        fleet::assert_status(&answer, 400, lines);
    }
    assert_eq!(stub.counts().requests, 0);
    fleet::still_serves(&gateway).await;
}

#[tokio::test]
async fn a_connection_header_cannot_take_away_what_the_gateway_says() {
    let (stub, gateway) = fleet::start().await;
    for nominated in [
        "x-odoo-dbfilter",
        "X-Odoo-Dbfilter, x-odoo-database",
        "x-forwarded-host",
        "X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host",
        "x-real-ip, x-request-id",
        "host",
        "cookie, content-length",
        "close, x-odoo-dbfilter",
        "keep-alive, x-odoo-dbfilter",
        "a, b, c, d, e, f, g, h, i, j, x-odoo-dbfilter",
        "\"x-odoo-dbfilter\"",
        ":authority",
    ] {
        let forged = "X-Odoo-dbfilter: forged\r\nX-Forwarded-Host: forged.test\r\nX-Real-IP: 192.0.2.1";
        for lines in
            [format!("Connection: {nominated}\r\n{forged}"), format!("{forged}\r\nConnection: {nominated}")]
        {
            let answer = fleet::raw_get(&gateway, "acme.test", "/stub/echo", &lines).await;
            let websocket = fleet::raw_handshake(&gateway, "acme.test", &lines).await;
            assert!(matches!(fleet::status(&answer), Some(200 | 400)), "{nominated}");
            assert!(matches!(websocket, Some(101 | 400)), "{nominated}");
            for received in stub.received() {
                for (name, value) in [
                    ("x-odoo-dbfilter", "^acme$"),
                    ("host", "acme.test"),
                    ("x-forwarded-host", "acme.test"),
                    ("x-forwarded-for", "127.0.0.1"),
                    ("x-forwarded-proto", "http"),
                    ("x-real-ip", "127.0.0.1"),
                ] {
                    assert_eq!(received.values(name), [value], "{name} beside `Connection: {nominated}`");
                }
                assert_eq!(received.values("x-request-id").len(), 1);
            }
            stub.forget_received();
        }
    }
    fleet::still_serves(&gateway).await;
}

#[tokio::test]
async fn the_database_header_is_for_stateless_routes_without_a_session() {
    let stub = fleet::prefork("eu-1").await;
    let gateway = fleet::before(&stub, "database_header: true", fleet::TENANTS).start().await;
    let sent = async |target: &str, cookie: Option<&str>| {
        let request = match target {
            "/jsonrpc" => Request::version("acme.test"),
            "/xmlrpc/2/common" => Request::post(
                "acme.test",
                target,
                "<methodCall><methodName>version</methodName></methodCall>",
            ),
            _ => Request::post("acme.test", target, "{}"),
        };
        let mut request = request.header("X-Odoo-Database", "acme");
        if let Some(cookie) = cookie {
            request = request.header("Cookie", "tz=UTC").header("Cookie", cookie);
        }
        request.send(gateway.address()).await;
        let received = fleet::only_request(&stub);
        assert_eq!(received.values("x-odoo-dbfilter"), ["^acme$"], "{target}");
        assert_eq!(received.database.as_deref(), Some("acme"), "{target}");
        received.values("x-odoo-database").join(",")
    };
    for target in
        ["/json/2/res.partner/read", "/json/1/x", "/web/hook/0c7c-4a", "/web/version", "/fr/%6ason/2/a/b"]
    {
        assert_eq!(sent(target, None).await, "acme", "{target}");
        assert_eq!(sent(target, Some("frontend_lang=fr; xsession_id=1")).await, "acme", "{target}");
        assert_eq!(sent(target, Some("session_id=abc")).await, "", "{target} beside a session");
        assert_eq!(sent(target, Some("a=1;session_id=abc")).await, "", "{target} beside a session");
    }
    for target in
        ["/web/login", "/odoo", "/", "/jsonrpc", "/xmlrpc/2/common", "/web/dataset/call_kw", "/web/versions"]
    {
        assert_eq!(sent(target, None).await, "", "{target}");
    }
}

#[tokio::test]
async fn the_database_header_is_sent_only_where_it_is_asked_for() {
    let (stub, gateway) = fleet::start().await;
    let key =
        Request::post("acme.test", "/json/2/res.partner/read", "{}").header("Authorization", "Bearer k");
    let answer = key.send(gateway.address()).await;
    assert_eq!((answer.status, answer.json()["database"].as_str()), (200, Some("acme")));
    assert_eq!(fleet::only_request(&stub).values("x-odoo-database").len(), 0);
}

#[tokio::test]
async fn a_login_sticks_and_is_worth_nothing_at_another_tenant() {
    for stub in [fleet::prefork("eu-1").await, fleet::threaded("eu-1").await] {
        let pool = "database_header: true";
        let gateway = fleet::before(&stub, pool, fleet::TENANTS).start().await;
        let mut connection = Connection::http1(gateway.address()).await.unwrap();
        for host in ["acme.test", "globex.test"] {
            let login = Request::post(host, "/web/login", "login=anna&password=a");
            let login = connection.ask(&login).await.unwrap();
            assert_eq!((login.status, login.header("location")), (303, Some("/odoo")));
            let cookie = login.cookie("session_id").unwrap();
            let page = |host: &str| Request::get(host, "/odoo").header("Cookie", &cookie);
            let own = connection.ask(&page(host)).await.unwrap();
            assert_eq!((own.status, own.database()), (200, host.strip_suffix(".test")));
            assert!(own.text().contains("<dd>anna</dd>"), "{}", own.text());
            let other = if host == "acme.test" { "globex.test" } else { "acme.test" };
            let other = connection.ask(&page(other)).await.unwrap();
            assert_eq!((other.status, other.text().contains("anna")), (303, false));
        }
    }
}

#[tokio::test]
async fn one_server_can_be_told_in_three_ways_at_once() {
    let stub = fleet::prefork("eu-1").await;
    let one = StubOdoo::start(StubOptions::new("one", ["solo"])).await.unwrap();
    let pool = |name: &str, mode: &str, stub: &StubOdoo| {
        let backend = backend(stub);
        format!(
            "  {name}:\n    odoo_version: \"18.0\"\n    database_selection: {mode}\n    health: {{ enabled: false }}\n    \
             regions: {{ eu: {{ backends: [ {backend} ] }} }}\n"
        )
    };
    let config = [
        "regions: [ { name: eu } ]\npools:\n".to_owned(),
        pool("filter", "dbfilter_header", &stub),
        pool("host", "host", &stub),
        pool("fixed", "fixed", &one),
    ];
    let tenants = "- { id: acme, hosts: [shop.test], pool: filter }\n\
                   - { id: globex, hosts: [globex.test], pool: host }\n\
                   - { id: solo, hosts: [solo.example.com], pool: fixed }\n";
    let gateway = Gateway::builder(&config.concat()).tenants("t.yaml", tenants).start().await;
    for (host, database) in [("shop.test", "acme"), ("globex.test", "globex"), ("solo.example.com", "solo")] {
        let answer = Request::get(host, "/stub/echo").send(gateway.address()).await;
        assert_eq!((answer.status, answer.database()), (200, Some(database)), "{host}");
    }
}
