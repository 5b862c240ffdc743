use super::*;

fn json2(databases: &[&[u8]], model: Option<&[u8]>, method: Option<&[u8]>) -> RpcOutcome {
    let facts = BodyFacts { databases, ..BodyFacts::default() };
    let mut guard = RpcGuard::new(RpcRoute::Json2 { model, method }, policy(OdooVersion::V19), facts);
    let may_forward = guard.may_forward();
    guard.feed(b"any body");
    let outcome = guard.finish();
    assert_eq!(matches!(outcome, RpcOutcome::Forward { .. }), may_forward);
    outcome
}

fn denial(outcome: &RpcOutcome) -> Option<Denial> {
    let RpcOutcome::Answer(answer) = outcome else {
        assert_eq!(*outcome, RpcOutcome::Forward { replace: None });
        return None;
    };
    assert_eq!(answer.status, 403);
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(body["arguments"][0], body["message"]);
    answer.denial
}

#[test]
fn every_database_that_the_head_names_is_the_own() {
    let read = |databases: &[&[u8]]| denial(&json2(databases, Some(b"res.partner"), Some(b"read")));
    for databases in [&[][..], &[&b"acme"[..]], &[&b"acme-live"[..]], &[&b"acme"[..], b"acme"]] {
        assert_eq!(read(databases), None, "{databases:?}");
    }
    for databases in
        [&[&b"zen"[..]][..], &[&b"acme"[..], b"zen"], &[&b""[..]], &[&b"ACME"[..]], &[&b"acme,zen"[..]]]
    {
        assert_eq!(read(databases), Some(Denial::Database), "{databases:?}");
    }
}

#[test]
fn listed_models_and_methods_are_denied() {
    assert_eq!(denial(&json2(&[], Some(b"res.users"), Some(b"read"))), Some(Denial::Listed));
    assert_eq!(denial(&json2(&[], Some(b"res.partner"), Some(b"unlink"))), Some(Denial::Listed));
    assert_eq!(denial(&json2(&[], None, None)), None);
}
