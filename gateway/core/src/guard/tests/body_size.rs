//! Bounds on bodies.

use super::{BodyLength, Guards, Request, get, post};
use crate::rejection::Rejection;

const MIB: u64 = 1024 * 1024;

#[test]
fn a_body_may_be_as_long_as_its_class_allows_and_no_byte_longer() {
    for (target, max) in [
        ("/web/dataset/call_kw", 128 * MIB),
        ("/jsonrpc", 128 * MIB),
        ("/web/static/x.js", MIB),
        ("/base_import/set_file", 128 * MIB),
        ("/websocket/peek_notifications", MIB),
        ("/web/hook/1234", 128 * MIB),
        ("/web/login", MIB),
        ("/fr/web/login/totp", MIB),
        ("/web/session/authenticate", MIB),
        ("/web/session/authenticate/", MIB),
        ("/xmlrpc/2/common", MIB),
        ("/xmlrpc/2/object", 128 * MIB),
    ] {
        let said = |body| Request { body, ..post(target, 0) }.at("acme.test", &Guards::new());
        assert_eq!(said(BodyLength::Known(max)), Ok(max), "{target}");
        assert_eq!(said(BodyLength::Known(max + 1)), Err(Rejection::BodyTooLarge), "{target}");
        assert_eq!(said(BodyLength::Known(u64::MAX)), Err(Rejection::BodyTooLarge), "{target}");
        assert_eq!(said(BodyLength::Unknown), Ok(max), "{target}: whoever reads the body counts");
    }
}

#[test]
fn sizes_are_settings() {
    let mut guards = Guards::new();
    guards.body_size_max.classes = [7; 7];
    guards.body_size_max.login = 9;
    assert_eq!(post("/odoo", 7).at("acme.test", &guards), Ok(7));
    assert_eq!(post("/odoo", 8).at("acme.test", &guards), Err(Rejection::BodyTooLarge));
    assert_eq!(
        post("/web/login", 8).at("acme.test", &guards),
        Err(Rejection::BodyTooLarge),
        "never more than its class"
    );
    assert_eq!(get("/web/login").at("acme.test", &guards), Ok(7));
}

#[test]
fn who_may_use_the_database_manager_may_send_a_database() {
    let mut guards = Guards::new();
    guards.database_manager = vec!["192.0.2.0/24".parse().unwrap()];
    let restore = |bytes| post("/web/database/restore", bytes).at("acme.test", &guards);
    assert_eq!(restore(10 * 1024 * MIB), Ok(16 * 1024 * MIB));
    assert_eq!(restore(17 * 1024 * MIB), Err(Rejection::BodyTooLarge));
}
