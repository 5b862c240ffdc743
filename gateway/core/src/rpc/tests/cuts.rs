//! How a body is cut never matters, and no body makes the guard fail.

use super::*;
use proptest::prelude::*;

const ROUTES: [RpcRoute<'_>; 5] = [
    RpcRoute::Json,
    RpcRoute::Authenticate,
    RpcRoute::Xml { service: Service::Object, faults: FaultCodes::Number },
    RpcRoute::Xml { service: Service::Common, faults: FaultCodes::Text },
    RpcRoute::Xml { service: Service::Db, faults: FaultCodes::Number },
];

const PIECES: [&str; 44] = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"params\"",
    "\"id\"",
    "\"service\"",
    "\"method\"",
    "\"args\"",
    "\"db\"",
    "\"object\"",
    "\"execute\"",
    "\"acme\"",
    "\"acme-live\"",
    "\"zen\"",
    "1",
    "-",
    "null",
    "NaN",
    "\\u0061",
    "\"",
    "<?xml version='1.0'?>",
    "<methodCall>",
    "</methodCall>",
    "<methodName>",
    "</methodName>",
    "execute",
    "acme",
    "<params>",
    "</params>",
    "<param>",
    "</param>",
    "<value>",
    "</value>",
    "<string>",
    "</string>",
    "<nil/>",
    "&#97;",
    "<![CDATA[",
    "]]>",
    "<!--",
    "-->",
];

fn soup() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        9 => prop::sample::select(&PIECES[..]).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// A call that is good but for a few bytes.
fn nearly_good() -> impl Strategy<Value = Vec<u8>> {
    let good = prop::sample::select(vec![
        r#"{"jsonrpc":"2.0","id":"a\u0041","params":{"service":"object","method":"execute","args":["acme",2,"p","m","f",[[1.5e3,true]],{"k":"\ud83d\ude00"}]}}"#,
        r#"{"params":{"db":"acme-live","login":"é","password":"p"},"id":null}"#,
        "<?xml version='1.0' encoding='utf-8'?><methodCall><methodName>execute</methodName><params><param><value><string>acm&#101;</string></value></param><param><value><!-- - --><int>2</int></value></param><param><value><![CDATA[p]]>]</value></param></params></methodCall>",
    ]);
    let change = (any::<prop::sample::Index>(), 0..4_usize, any::<u8>(), prop::sample::select(&PIECES[..]));
    (good, prop::collection::vec(change, 0..4)).prop_map(|(good, changes)| {
        let mut body = good.as_bytes().to_vec();
        for (at, how, byte, piece) in changes {
            let at = at.index(body.len().max(1));
            match how {
                0 if at < body.len() => body[at] = byte,
                1 if at < body.len() => drop(body.remove(at)),
                2 => drop(body.splice(at.min(body.len())..at.min(body.len()), piece.bytes())),
                _ => body.truncate(at),
            }
        }
        body
    })
}

proptest! {
    #[test]
    fn the_outcome_does_not_depend_on_the_cuts(
        body in prop_oneof![soup(), nearly_good()],
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        route in prop::sample::select(&ROUTES[..]),
    ) {
        let whole = outcome_in(route, &body, body.len().max(1));
        prop_assert_eq!(&outcome_in(route, &body, 1), &whole);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
        cuts.sort_unstable();
        let mut guard = RpcGuard::new(route, policy(OdooVersion::V19), JSON);
        let mut start = 0;
        for end in cuts.into_iter().chain([body.len()]) {
            let before = guard.may_forward();
            guard.feed(&body[start..end]);
            prop_assert!(before || !guard.may_forward());
            start = end;
        }
        prop_assert_eq!(guard.finish(), whole);
    }
}
