//! Routes that are hidden.

use super::{Guard, Guards, Rejection, Request, get};
use crate::request::Fault;
use proptest::prelude::*;

const HIDDEN: [(&str, Guard); 15] = [
    ("/web/database", Guard::DatabaseManager),
    ("/web/database/manager", Guard::DatabaseManager),
    ("/web/database/selector/", Guard::DatabaseManager),
    ("/web/database/list", Guard::DatabaseManager),
    ("/web/tests", Guard::DebugRoutes),
    ("/web/tests/livechat", Guard::DebugRoutes),
    ("/base_import_module/login_upload", Guard::DebugRoutes),
    ("/web/proxy/post/anything", Guard::DebugRoutes),
    ("/monitoring/status", Guard::DebugRoutes),
    ("/queue_job/runjob", Guard::JobRunners),
    ("/queue_job/runjob/", Guard::JobRunners),
    ("/queue_job/create_test_job", Guard::JobRunners),
    ("/connector/runjob", Guard::JobRunners),
    ("/web/filestore", Guard::Filestore),
    ("/web/filestore/acme/aa/aabb", Guard::Filestore),
];

#[test]
fn routes_are_hidden_by_default() {
    for (path, guard) in HIDDEN {
        assert_eq!(get(path).refused(&Guards::new()), Some(guard), "{path}");
        assert_eq!(guard.rejection().status(), 404);
    }
}

#[test]
fn what_only_looks_like_them_is_not() {
    for path in [
        "/",
        "/web",
        "/odoo",
        "/web/login",
        "/web/become",
        "/web?debug=1",
        "/web?debug=assets,tests",
        "/web/webclient/version_info",
        "/web/testsuite",
        "/web/proxy/load",
        "/queue_job/static/description/icon.png",
        "/monitoring",
        "/services/monitoring",
        "/metrics",
        "/shop/web",
        "/blog/web/database-2/post-1",
        "/slides/a/b/web/database",
        "/websocket",
        "/connector",
        "/base_import/set_file",
    ] {
        assert_eq!(get(path).refused(&Guards::new()), None, "{path}");
    }
}

#[test]
fn a_hidden_route_opens_to_networks_and_to_no_others() {
    let mut guards = Guards::new();
    let office = || vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
    (guards.database_manager, guards.debug_routes, guards.job_runners) = (office(), office(), office());
    for (path, guard) in HIDDEN {
        let from = |client| Request { client, ..get(path) }.refused(&guards);
        assert_eq!(from("192.0.2.1"), Some(guard), "{path}");
        let inside = (guard == Guard::Filestore).then_some(guard);
        assert_eq!(from("10.9.8.7"), inside, "{path}: nothing opens the filestore");
        assert_eq!(from("2001:db8::1"), inside, "{path}");
    }
    guards.debug_routes.clear();
    let from_office = |path| Request { client: "10.9.8.7", ..get(path) }.refused(&guards);
    assert_eq!(from_office("/web/tests"), Some(Guard::DebugRoutes), "each has a list of its own");
    assert_eq!(from_office("/web/database/manager"), None);
}

/// A character as a client may spell it.
fn spelled(character: char) -> impl Strategy<Value = String> {
    let upper = character.to_ascii_uppercase();
    let mut ways = vec![
        character.to_string(),
        format!("%{:02x}", u32::from(character)),
        format!("%{:02X}", u32::from(character)),
        format!("%25{:02x}", u32::from(character)),
        format!("%252525{:02X}", u32::from(character)),
    ];
    match character {
        '/' => ways.extend(["//".to_owned(), "///".to_owned(), "/%2f".to_owned()]),
        letter if letter != upper => ways.extend([upper.to_string(), format!("%{:02x}", u32::from(upper))]),
        _ => {}
    }
    proptest::sample::select(ways)
}

fn spelling() -> impl Strategy<Value = (String, Guard)> {
    let route = proptest::sample::select(HIDDEN.to_vec());
    let prefix =
        proptest::sample::select(vec!["", "", "/fr", "/fr_BE", "/english", "/%66r", "/sr@latin", "//fr/"]);
    let suffix = proptest::sample::select(vec!["", "/", "//", "?x=1", "/?db=acme"]);
    (route, prefix, suffix).prop_flat_map(|((path, guard), prefix, suffix)| {
        let characters: Vec<_> = path.chars().map(spelled).collect();
        characters.prop_map(move |spelled| (format!("{prefix}{}{suffix}", spelled.concat()), guard))
    })
}

proptest! {
    #[test]
    fn no_spelling_finds_a_hidden_route((target, guard) in spelling()) {
        match get(&target).at("acme.test", &Guards::new()) {
            Err(Rejection::GuardHidden(found)) => prop_assert_eq!(found, guard, "{}", target),
            // Spellings that are refused before any guard sees them.
            Err(Rejection::BadRequest(Fault::TargetForm | Fault::EncodedSlash)) => {}
            other => prop_assert!(false, "{target}: {other:?}"),
        }
    }
}
