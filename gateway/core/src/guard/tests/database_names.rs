//! Names of databases beside the host.

use super::{BodyLength, DatabaseNames, Guard, Guards, Request, get, post};
use crate::odoo::OdooVersion;
use proptest::prelude::*;

const DENIED: Option<Guard> = Some(Guard::DatabaseNames);

fn refused(target: &str) -> Option<Guard> {
    let said = OdooVersion::ALL.map(|version| get(target).of(version).refused(&Guards::new()));
    assert!(said.iter().all(|one| *one == said[0]), "{target}: {said:?}");
    said[0]
}

#[test]
fn only_the_tenants_own_database_may_be_named_in_a_query() {
    for target in [
        "/web?db=acme",
        "/web?db=",
        "/web?db",
        "/web/login?redirect=%2Fodoo&db=acme&login=x",
        "/web/login?%64b=%61cme",
        "/logo.png?dbname=acme&company=1",
        "/web/binary/company_logo?dbname=acme",
        "/web/webclient/qweb/1234?mods=web,base&db=acme",
        "/auth_oauth/oea?db=acme&provider=1",
        "/odoo?dbs=zen&mydb=zen&DB=zen&x=db=zen",
        "/shop?search=db%3Dzen",
    ] {
        assert_eq!(refused(target), None, "{target}");
    }
    for target in [
        "/web?db=zen",
        "/web?db=Acme",
        "/web?db=acme2",
        "/web?db=+acme",
        "/web?db=acme%20",
        "/web?db=acme%00",
        "/web?db=acme&db=acme",
        "/web?db=acme&dbname=acme",
        "/web?db=&db=zen",
        "/web?%64%62=zen",
        "/web?a&d%62=zen",
        "/web?=&&db=zen",
        "/web?db=%61%63%6d%6",
        "/web?db=ac%2525me",
        "/logo.png?dbname=zen",
        "/en/logo?dbname=zen",
        "/anything/at/all?db=zen",
        "/web/static/x.js?db=zen",
        "/?db=zen#x",
    ] {
        assert_eq!(refused(target), DENIED, "{target}");
    }
    assert_eq!(Guard::DatabaseNames.rejection().status(), 403);
}

#[test]
fn the_database_of_a_star_is_the_one_of_its_label() {
    let said = |target: &str| get(target).at("shop1.example.com", &Guards::new()).is_ok();
    assert!(said("/web?db=db_shop1"));
    for other in ["db_shop2", "shop1", "db_{1}", "db_", "acme"] {
        assert!(!said(&format!("/web?db={other}")), "{other}");
    }
}

#[test]
fn a_state_of_old_versions_is_read_on_every_path() {
    for version in OdooVersion::ALL {
        let old = version <= OdooVersion::V15;
        let said = |target: &str| get(target).of(version).refused(&Guards::new());
        assert_eq!(said("/garden?state=%20%7B%22d%22:%22zen%22%7D"), old.then_some(Guard::DatabaseNames));
        for target in ["/garden?state=%7B%22d%22:%22acme%22%7D", "/garden?state=Bavaria", "/garden?state="] {
            assert_eq!(said(target), None, "{target}");
        }
    }
}

#[test]
fn the_master_password_is_asked_for_on_no_other_path() {
    let any = Guards { database_names: DatabaseNames::Any, ..Guards::new() };
    for guards in [&Guards::new(), &any] {
        for target in ["/garden?master_pwd=x", "/?a=1&%6daster_pw%64", "/web/login?master_pwd=&db=acme"] {
            assert_eq!(post(target, 0).refused(guards), Some(Guard::DatabaseManager), "{target}");
        }
        assert_eq!(get("/garden?master=x&pwd=master_pwd&MASTER_PWD=1").refused(guards), None);
    }
    let mut open = Guards::new();
    open.database_manager = vec!["0.0.0.0/0".parse().unwrap()];
    assert_eq!(post("/web/database/drop?master_pwd=x", 0).refused(&open), None);
    assert_eq!(post("/garden?master_pwd=x", 0).refused(&open), Some(Guard::DatabaseManager));
}

#[test]
fn any_database_may_be_named_where_it_is_set_so() {
    let guards = Guards { database_names: DatabaseNames::Any, ..Guards::new() };
    for target in
        ["/web?db=zen", "/auth_oauth/signin?state=%7B%22d%22:%22zen%22%7D", "/mail/tracking/all/zen"]
    {
        assert_eq!(get(target).of(OdooVersion::V14).refused(&guards), None, "{target}");
    }
}

#[test]
fn old_versions_take_no_session_from_a_query() {
    for version in OdooVersion::ALL {
        let expected = if version <= OdooVersion::V17 { DENIED } else { None };
        assert_eq!(get("/web?session_id=abc").of(version).refused(&Guards::new()), expected, "{version}");
    }
}

#[test]
fn routes_that_open_any_database_take_no_form_in_old_versions() {
    for path in [
        "/logo",
        "/logo.png/",
        "/web/binary/company_logo",
        "/fr/web/binary/company_logo",
        "/web/webclient/qweb",
        "/web/webclient/qweb/1234",
        "/google_account/authentication",
        "/microsoft_account/authentication",
    ] {
        let said = |version, request: Request<'_>| request.of(version).refused(&Guards::new());
        for version in [OdooVersion::V14, OdooVersion::V15] {
            assert_eq!(said(version, get(path)), None, "{path}");
            assert_eq!(said(version, post(path, 0)), DENIED, "{path}");
            assert_eq!(said(version, post(path, 9)), DENIED, "{path}");
            for body in [BodyLength::Known(9), BodyLength::Unknown] {
                assert_eq!(said(version, Request { body, ..get(path) }), DENIED, "{path}: GET with a form");
            }
        }
        assert_eq!(said(OdooVersion::V16, post(path, 9)), None, "{path}");
    }
}

#[test]
fn the_database_in_a_tracking_link_is_the_tenants_own() {
    for (path, expected) in [
        ("/mail/tracking/open/acme/12/blank.gif", None),
        ("/mail/tracking/open/zen/12/blank.gif", DENIED),
        ("/mail/tracking/open/%7Aen/12/0123/blank.gif", DENIED),
        ("/mail/tracking/event/acme/bounce", None),
        ("/mail/tracking/event/zen/bounce", DENIED),
        ("/mail/tracking/all/acme", None),
        ("/mail/tracking/all/zen", DENIED),
        ("/mail/tracking/all", None),
        ("/fr/mail/tracking/all/zen", DENIED),
        ("/mail/tracking/openers/zen", None),
    ] {
        assert_eq!(refused(path), expected, "{path}");
    }
}

/// A query with a state, encoded as browsers do.
fn with_state(state: &str) -> String {
    let encoded: String = state.bytes().map(|byte| format!("%{byte:02x}")).collect();
    format!("/auth_oauth/signin?access_token=t&state={encoded}")
}

#[test]
fn a_state_names_the_tenants_own_database_in_plain_json() {
    for state in [
        r#"{"d": "acme", "p": 3, "r": "http%3A%2F%2Facme.test%2Fweb", "t": null}"#,
        r#"{"p":3}"#,
        "{}",
        " { } ",
        "\n{ \"d\" : \"acme\" }\t",
        r#"{"c":{"d":"zen","x":[1,-2.5e3,true,false,null,{}, []]},"d":"acme"}"#,
        r#"{"r":"a \"d\": \"zen\" \\","d":"acme"}"#,
    ] {
        assert_eq!(refused(&with_state(state)), None, "{state}");
    }
    for state in [
        "",
        "zen",
        "null",
        "[]",
        r#""d""#,
        r#"{"d": "zen"}"#,
        r#"{"d": "acme2"}"#,
        r#"{"d": ""}"#,
        r#"{"d": null}"#,
        r#"{"d": ["acme"]}"#,
        r#"{"d": "acme", "d": "zen"}"#,
        r#"{"d": "acme", "d": "acme"}"#,
        r#"{"\u0064": "zen"}"#,
        r#"{"d": "acme", "\u0064": "zen"}"#,
        r#"{"d": "acm\u0065"}"#,
        r#"{"d": "acme""#,
        r#"{"d": "acme"} {"d": "zen"}"#,
        r#"{"d": "acme"}x"#,
        r#"{'d': 'zen'}"#,
        r#"{"x": NaN, "d": "acme"}"#,
        r#"{"x": [[[[[[[[[[1]]]]]]]]]], "d": "acme"}"#,
        "{\"x\": \"\n\", \"d\": \"acme\"}",
        "\u{feff}{\"d\": \"acme\"}",
        r#"{"d" "acme"}"#,
        r#"{"d":"acme",}"#,
    ] {
        assert_eq!(refused(&with_state(state)), DENIED, "{state}");
    }
    let twice = format!("{}&state=%7B%22d%22%3A%22acme%22%7D", with_state(r#"{"d":"acme"}"#));
    assert_eq!(refused(&twice), DENIED);
    assert_eq!(refused("/google_account/authentication?state=%7B%22d%22%3A%22zen%22%7D"), DENIED);
    assert_eq!(refused("/fr/microsoft_account/authentication?state={\"d\":\"zen\"}"), DENIED);
    assert_eq!(refused("/shop?state=zen"), None, "a state elsewhere is something else");
}

/// What Python reads: the last of several keys `d`, if the text is an object.
fn as_python_reads(state: &str) -> Option<serde_json::Value> {
    let value: serde_json::Value = serde_json::from_str(state).ok()?;
    value.as_object()?.get("d").cloned()
}

fn json_like() -> impl Strategy<Value = String> {
    let pieces = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\"d\"",
        "\"d\":",
        "\"acme\"",
        "\"zen\"",
        "\\u0064",
        "\\",
        " ",
        "1",
        "null",
        "true",
        "\"x\"",
        "\"x\":",
        "{\"d\":\"zen\"}",
        "\"d\":\"acme\"",
        "\"\\u0064\":\"zen\"",
    ];
    let whole = proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 0..12);
    (whole, any::<bool>()).prop_map(|(pieces, object)| {
        let inner = pieces.concat();
        if object { format!("{{{inner}}}") } else { inner }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn no_state_that_passes_names_another_database(state in json_like()) {
        if refused(&with_state(&state)).is_none() {
            let named = as_python_reads(&state);
            prop_assert!(named.is_none() || named == Some("acme".into()), "{} names {:?}", state, named);
        }
    }

    #[test]
    fn no_query_that_passes_names_another_database(
        query in proptest::collection::vec(
            proptest::sample::select(vec![
                "db", "dbname", "%64b", "d%62", "=", "&", "&", "acme", "zen", "%7a", "+", "%", "%6", ";", "?", "#x",
            ]),
            0..10,
        ),
    ) {
        let query = query.concat();
        let target = format!("/web?{query}");
        if refused(&target).is_none() {
            let url = form_pairs(&query);
            let named = url.iter().filter(|(name, _)| name == "db" || name == "dbname");
            for (_, value) in named {
                prop_assert!(value.is_empty() || value == "acme", "{} names {}", query, value);
            }
        }
    }
}

/// The pairs of a query, decoded by another hand: cut at each percent sign.
fn form_pairs(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        let mut pieces = text.split('%');
        let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
        for piece in pieces {
            match piece.get(..2).and_then(|code| u8::from_str_radix(code, 16).ok()) {
                Some(byte) => {
                    bytes.push(byte);
                    bytes.extend_from_slice(&piece.as_bytes()[2..]);
                }
                None => bytes.extend_from_slice(format!("%{piece}").as_bytes()),
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let split = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    };
    query.split('&').map(split).collect()
}
