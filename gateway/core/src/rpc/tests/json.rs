use super::*;

fn json(body: &str) -> Fate {
    fate(RpcRoute::Json, body.as_bytes())
}

fn call(service: &str, method: &str, args: &str) -> Fate {
    json(&format!(
        r#"{{"jsonrpc":"2.0","id":7,"params":{{"service":"{service}","method":"{method}","args":{args}}}}}"#
    ))
}

fn login(params: &str) -> Fate {
    fate(RpcRoute::Authenticate, format!(r#"{{"id":1,"params":{params}}}"#).as_bytes())
}

#[test]
fn calls_for_the_own_database_pass_and_others_do_not() {
    for (service, method, rest) in [
        ("object", "execute_kw", r#",2,"pw","res.partner","search_read",[[]],{}"#),
        ("object", "execute", r#",2,"pw","res.partner","read",[1]"#),
        ("common", "login", r#","admin","pw""#),
        ("common", "authenticate", r#","admin","pw",{}"#),
    ] {
        assert_eq!(call(service, method, &format!(r#"["acme"{rest}]"#)), Fate::Forwarded, "{method}");
        for other in [
            r#""zen""#,
            r#""ACME""#,
            r#""acme ""#,
            r#""acme\u0000""#,
            r#""""#,
            "null",
            "1",
            "true",
            r#"["acme"]"#,
            "{}",
        ] {
            let fate = call(service, method, &format!("[{other}{rest}]"));
            assert_eq!(fate, Fate::Denied(Denial::Database), "{method} {other}");
        }
        for args in
            ["[]", "{}", "null", r#"{"acme":1,"b":2,"c":3,"d":4,"e":5}"#, r#""acme""#, r#"[["acme"]]"#]
        {
            assert_eq!(call(service, method, args), Fate::Denied(Denial::Database), "{method} {args}");
        }
    }
    assert_eq!(call("common", "version", "[]"), Fate::Forwarded);
    assert_eq!(call("common", "about", "[true]"), Fate::Forwarded);
}

#[test]
fn services_and_methods_that_are_not_for_tenants_are_denied() {
    for (service, method) in [
        ("common", "set_loglevel"),
        ("common", "timezone_get"),
        ("object", "exec_workflow"),
        ("object", "Execute"),
        ("db", "drop"),
        ("db", "dump"),
        ("db", "restore"),
        ("db", "create_database"),
        ("db", "change_admin_password"),
        ("db", "list_lang"),
        ("db", "list_countries"),
        ("db", "db_exist"),
        ("report", "render"),
        ("OBJECT", "execute"),
        ("", ""),
    ] {
        assert_eq!(call(service, method, "[]"), Fate::Denied(Denial::Method), "{service}.{method}");
    }
    for body in [
        "{}",
        r#"{"params":{}}"#,
        r#"{"params":{"service":"object"}}"#,
        r#"{"params":{"service":["object"],"method":"execute","args":["acme"]}}"#,
        r#"{"params":{"service":"object","method":{"a":"execute"},"args":["acme"]}}"#,
        r#"{"service":"object","method":"execute","args":["acme"]}"#,
        r#"{"Params":{"service":"object","method":"execute","args":["acme"]}}"#,
    ] {
        assert_eq!(json(body), Fate::Denied(Denial::Method), "{body}");
    }
}

#[test]
fn the_order_and_the_spelling_of_keys_do_not_matter() {
    for body in [
        r#"{"params":{"args":["acme",1,"p","m","f"],"method":"execute","service":"object"},"id":1}"#,
        r#"{"p\u0061rams":{"\u0073ervice":"obj\u0065ct","method":"execut\u0065","args":["\u0061cme",1,"p","m","f"]}}"#,
        " \t\r\n{ \"params\" : { \"service\" : \"object\" , \"method\" : \"execute\" , \"args\" : [ \"acme\" , 1, \"p\", \"m\", \"f\" ] } } \n",
    ] {
        assert_eq!(json(body), Fate::Forwarded, "{body}");
        assert_eq!(json(&body.replace("cme", "cma")), Fate::Denied(Denial::Database), "{body}");
    }
}

#[test]
fn keys_that_stand_twice_are_refused() {
    for body in [
        r#"{"params":{"service":"object","method":"execute","args":["acme"],"args":["acme"]}}"#,
        r#"{"params":{"service":"common","method":"version","\u0073ervice":"object","args":["zen"]}}"#,
        r#"{"params":{"service":"common","method":"version","args":[]},"params":{}}"#,
        r#"{"id":1,"id":2,"params":{"service":"common","method":"version","args":[]}}"#,
        r#"{"params":{"x":1,"x":1}}"#,
    ] {
        assert_eq!(json(body), Fate::Refused(RpcRefusal::DuplicateKey), "{body}");
    }
    assert_eq!(login(r#"{"db":"acme","db":"acme"}"#), Fate::Refused(RpcRefusal::DuplicateKey));
    // Deeper down they are the model's business.
    assert_eq!(call("object", "execute", r#"["acme",1,"p","m","f",{"a":1,"a":2}]"#), Fate::Forwarded);
}

#[test]
fn what_is_no_object_of_one_call_is_refused() {
    let inner = r#"{"service":"object","method":"execute","args":["acme"]}"#;
    for body in [
        "[]",
        "[1]",
        "1 ",
        "null",
        r#""text""#,
        &format!(r#"[{{"params":{inner}}}]"#),
        r#"{"params":[["service","object"],["method","execute"],["args",["zen"]]]}"#,
        r#"{"params":null}"#,
        r#"{"params":"sa"}"#,
        r#"{"params":1}"#,
    ] {
        assert_eq!(json(body), Fate::Refused(RpcRefusal::Shape), "{body}");
    }
}

#[test]
fn malformed_json_is_refused() {
    let good = r#"{"params":{"service":"common","method":"version","args":[]}}"#;
    assert_eq!(json(good), Fate::Forwarded);
    for end in 0..good.len() {
        let start = good.get(..end).unwrap();
        assert_eq!(json(start), Fate::Refused(RpcRefusal::Malformed), "{start}");
    }
    for tail in ["x", "{}", ",", "]", "}", "\0", "\u{b}", "//"] {
        assert_eq!(json(&format!("{good}{tail}")), Fate::Refused(RpcRefusal::Malformed), "{tail:?}");
    }
    for value in [
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "-",
        "--1",
        "0x1",
        "1_000",
        "nul",
        "nulll",
        "True",
        "'a'",
        "nan",
        "-NaN",
        "inf",
        "Infinit",
        "-Infinit",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{1:2}",
        "[,]",
        "[1,]",
        "[1 2]",
        "[1}",
        "{\"a\":1]",
        "\"\t\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\u{a0}1",
        "/**/1",
    ] {
        let body = format!(r#"{{"a":{value},"params":{{"service":"common","method":"version","args":[]}}}}"#);
        assert_eq!(json(&body), Fate::Refused(RpcRefusal::Malformed), "{body}");
    }
    for value in [
        "0",
        "-0",
        "1e999",
        "-1.5E+3",
        "123456789012345678901234567890",
        "NaN",
        "Infinity",
        "-Infinity",
        "[]",
        "{}",
        "[[],{}]",
    ] {
        let body =
            format!(r#"{{"a":{value},"params":{{"service":"common","method":"version","args":[{value}]}}}}"#);
        assert_eq!(json(&body), Fate::Forwarded, "{body}");
    }
}

#[test]
fn other_encodings_than_utf_8_are_refused() {
    let good = r#"{"params":{"service":"common","method":"version","args":[]}}"#;
    let utf16 = |to: fn(u16) -> [u8; 2]| good.encode_utf16().flat_map(to).collect::<Vec<u8>>();
    for body in [
        [b"\xef\xbb\xbf", good.as_bytes()].concat(),
        [b"\xff\xfe", &*utf16(u16::to_le_bytes)].concat(),
        utf16(u16::to_be_bytes),
        b"{\"a\":\"\xff\"}".to_vec(),
        b"{\"a\":\"\xc3\"}".to_vec(),
        b"{\"a\":\"\xc0\xa2\"}".to_vec(),
        b"{\"a\":\"\xed\xa0\x80\"}".to_vec(),
        b"{\"a\":\"\xc3\\u0041\"}".to_vec(),
    ] {
        assert_eq!(fate(RpcRoute::Json, &body), Fate::Refused(RpcRefusal::Utf8), "{body:?}");
    }
    assert_eq!(fate(RpcRoute::Json, &utf16(u16::to_le_bytes)), Fate::Refused(RpcRefusal::Malformed));
    assert_eq!(json("+AHs-"), Fate::Refused(RpcRefusal::Malformed));
}

#[test]
fn nesting_and_lists_of_keys_have_an_end() {
    let nested = |depth: usize| {
        call(
            "object",
            "execute",
            &format!(r#"["acme",1,"p","m","f",{}{}]"#, "[".repeat(depth), "]".repeat(depth)),
        )
    };
    assert_eq!(nested(125), Fate::Forwarded);
    assert_eq!(nested(126), Fate::Refused(RpcRefusal::Depth));
    let keys = |count: usize| {
        let members: String = (0..count).map(|key| format!(r#""k{key}":0,"#)).collect();
        json(&format!(r#"{{{members}"params":{{"service":"common","method":"version","args":[]}}}}"#))
    };
    assert_eq!(keys(31), Fate::Forwarded);
    assert_eq!(keys(32), Fate::Refused(RpcRefusal::Length));
    assert_eq!(json(&format!(r#"{{"{}":0}}"#, "k".repeat(129))), Fate::Refused(RpcRefusal::Length));
}

#[test]
fn the_alias_is_replaced_by_the_real_name() {
    let body = |name: &str| {
        format!(r#"{{"params":{{"args":[ {name} ,2,"p","m","f"],"service":"object","method":"execute"}}}}"#)
    };
    for alias in [r#""acme-live""#, r#""acm\u0065-\u006cive""#] {
        assert_eq!(json(&body(alias)), Fate::Rewritten(body(r#""acme""#)));
    }
    assert_eq!(
        login(r#"{"db":"acme-live","login":"a"}"#),
        Fate::Rewritten(r#"{"id":1,"params":{"db":"acme","login":"a"}}"#.into())
    );
}

#[test]
fn login_by_json_names_the_own_database() {
    assert_eq!(login(r#"{"db":"acme","login":"a","password":"b"}"#), Fate::Forwarded);
    assert_eq!(login(r#"{"login":"a","\u0064b":"acme"}"#), Fate::Forwarded);
    for params in [
        r#"{"db":"zen","login":"a"}"#,
        r#"{"login":"a"}"#,
        r#"{"db":["acme"]}"#,
        r#"{"db":{"a":"acme"}}"#,
        r#"{"db":null}"#,
        r#"{"args":["acme"]}"#,
    ] {
        assert_eq!(login(params), Fate::Denied(Denial::Database), "{params}");
    }
    assert_eq!(fate(RpcRoute::Authenticate, b"{}"), Fate::Denied(Denial::Database));
}

#[test]
fn a_call_of_one_route_hides_no_call_of_another() {
    let both = |name: &str, service: &str| {
        format!(
            r#"{{"id":1,"params":{{"db":"{name}","login":"a","password":"b","service":"{service}","method":"version","args":[]}}}}"#
        )
    };
    assert_eq!(json(&both("acme", "common")), Fate::Forwarded);
    assert_eq!(json(&both("zen", "common")), Fate::Denied(Denial::Database));
    for service in ["common", "db"] {
        let fate = fate(RpcRoute::Authenticate, both("acme", service).as_bytes());
        assert_eq!(fate, Fate::Denied(Denial::Method), "{service}");
    }
    assert_eq!(login(r#"{"db":"acme","login":"a","password":"b","method":"x"}"#), Fate::Forwarded);
}

#[test]
fn json_2_is_a_path_like_any_other_for_a_tenant_who_moves_routes() {
    let route = RpcRoute::Json2 { model: Some(b"res.partner"), method: Some(b"read") };
    assert_eq!(fate(route, br#"{"ids":[1],"context":{}}"#), Fate::Forwarded);
    let stray = br#"{"params":{"service":"db","method":"list","args":[]}}"#;
    assert_eq!(fate(route, stray), Fate::Refused(RpcRefusal::Stray));
    assert_eq!(fate(route, br#"{"params":{"db":"zen"}}"#), Fate::Guarded(Guard::DatabaseNames));
}

#[test]
fn media_types_are_read_as_widely_as_any_server_reads_them() {
    let stray = br#"{"params":{"service":"db","method":"list","args":[]}}"#;
    let said = |content_type: &'static str, body: &[u8]| {
        let facts = BodyFacts { content_type: Some(content_type.as_bytes()), ..BodyFacts::default() };
        let mut guard = RpcGuard::new(RpcRoute::Elsewhere, policy(OdooVersion::V19), facts);
        guard.feed(body);
        guard.finish()
    };
    for end in ["", ";charset=utf-8", " ;x", ",text/plain", ", text/plain", " text/plain", "\t"] {
        for start in ["", " "] {
            let json: &str = format!("{start}application/json{end}").leak();
            assert_eq!(said(json, stray), RpcOutcome::Refuse(RpcRefusal::Stray), "{json:?}");
            let form: &str = format!("{start}Application/X-www-form-urlencoded{end}").leak();
            let manager = RpcOutcome::Guarded(Guard::DatabaseManager);
            assert_eq!(said(form, b"master_pwd=x"), manager, "{form:?}");
        }
    }
}

#[test]
fn listed_models_and_methods_are_denied() {
    let execute = |model: &str, method: &str| {
        call("object", "execute_kw", &format!(r#"["acme",2,"p",{model},{method},[]]"#))
    };
    assert_eq!(execute(r#""res.partner""#, r#""read""#), Fate::Forwarded);
    for (model, method) in [
        (r#""res.users""#, r#""read""#),
        (r#""res\u002eusers""#, r#""read""#),
        (r#""res.partner""#, r#""unlink""#),
        (r#"["res.users"]"#, r#""read""#),
        (r#""res.partner""#, "null"),
    ] {
        assert_eq!(execute(model, method), Fate::Denied(Denial::Listed), "{model} {method}");
    }
    assert_eq!(
        call("object", "execute", r#"["zen",2,"p","res.users","unlink"]"#),
        Fate::Denied(Denial::Database)
    );
}

#[test]
fn only_json_in_clear_is_read() {
    let settled = |content_type: Option<&'static [u8]>, content_encoding: Option<&'static [u8]>| {
        let facts = BodyFacts { content_type, content_encoding, databases: &[] };
        !RpcGuard::new(RpcRoute::Json, policy(OdooVersion::V19), facts).may_forward()
    };
    for fine in [
        "application/json",
        "Application/JSON-RPC",
        "application/json; charset=utf-8",
        " application/json ;x",
    ] {
        assert!(!settled(Some(fine.as_bytes()), None), "{fine}");
        assert!(!settled(Some(fine.as_bytes()), Some(b"identity")), "{fine}");
        for coding in ["gzip", "br", "identity, gzip", "deflate", "x"] {
            assert!(settled(Some(fine.as_bytes()), Some(coding.as_bytes())), "{coding}");
        }
    }
    for other in [
        "",
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
        "application/jsonx",
        "text/json",
        "application/json, text/html",
    ] {
        assert!(settled(Some(other.as_bytes()), None), "{other}");
    }
    assert!(settled(None, None));
}
