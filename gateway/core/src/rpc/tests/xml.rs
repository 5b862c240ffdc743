use super::*;

fn xml(service: Service, body: &[u8]) -> Fate {
    fate(RpcRoute::Xml { service, faults: FaultCodes::Number }, body)
}

fn object(body: &str) -> Fate {
    xml(Service::Object, body.as_bytes())
}

/// A call of `execute` whose database is this content of a `param`.
fn execute(param: &str) -> String {
    format!(
        "<?xml version='1.0'?>\n<methodCall>\n<methodName>execute</methodName>\n<params>\n<param>{param}</param>\n\
         <param>\n<value><int>2</int></value>\n</param><param><value>pw</value></param>\
         <param><value><string>res.partner</string></value></param><param><value>read</value></param>\
         <param><value><array><data><value><struct><member><name>a</name><value><nil/></value></member></struct></value>\
         </data></array></value></param></params>\n</methodCall>\n"
    )
}

fn value(content: &str) -> Fate {
    object(&execute(&format!("<value>{content}</value>")))
}

#[test]
fn a_name_is_read_however_it_is_written() {
    for name in [
        "acme",
        "<string>acme</string>",
        " \n<string>acme</string>\t",
        "<string >acme</string\n>",
        "<string a='1' b=\"x>y\">acme</string>",
        "&#97;c&#x6d;e",
        "<![CDATA[acme]]>",
        "ac<!-- x -->me",
        "ac<![CDATA[m]]><?pi x?>e",
        "<!-- - -- a -->acme".replace("--", "-").replace("<!-", "<!--").replace("->", "-->").as_str(),
    ] {
        assert_eq!(value(name), Fate::Forwarded, "{name}");
    }
    assert_eq!(object(&execute("\n<!-- a --><value>acme</value> <?x?>")), Fate::Forwarded);
    for name in [
        "zen",
        " acme",
        "acme\n",
        "ACME",
        "",
        "<string>zen</string>",
        "<string/>",
        "<string>acme </string>",
        "<![CDATA[acme]]]>",
        "ac<!---->&#x20;me",
        "&lt;acme",
    ] {
        assert_eq!(value(name), Fate::Denied(Denial::Database), "{name}");
    }
    assert_eq!(object(&execute("<value/>")), Fate::Denied(Denial::Database));
    for other in [
        "<base64>YWNtZQ==</base64>",
        "<int>1</int>",
        "<nil/>",
        "<array><data><value>acme</value></data></array>",
        "<struct><member><name>acme</name><value>acme</value></member></struct>",
    ] {
        assert_eq!(value(other), Fate::Denied(Denial::Database), "{other}");
    }
}

#[test]
fn the_alias_is_replaced_by_the_real_name() {
    for alias in ["acme-live", "<![CDATA[acme]]>-live", "acme&#45;<!-- x -->live"] {
        let body = execute(&format!("<value><string>{alias}</string></value>"));
        assert_eq!(object(&body), Fate::Rewritten(execute("<value><string>acme</string></value>")));
        assert_eq!(
            object(&execute(&format!("<value>{alias}</value>"))),
            Fate::Rewritten(execute("<value>acme</value>"))
        );
    }
}

#[test]
fn only_the_methods_for_tenants_pass() {
    let call = |service, method: &str, params: &str| {
        xml(service, format!("<methodCall><methodName>{method}</methodName>{params}</methodCall>").as_bytes())
    };
    let own = "<params><param><value>acme</value></param></params>";
    for params in ["", "<params/>", "<params></params>"] {
        assert_eq!(call(Service::Common, "version", params), Fate::Forwarded);
        assert_eq!(call(Service::Common, "about", params), Fate::Forwarded);
        assert_eq!(call(Service::Common, "login", params), Fate::Denied(Denial::Database));
        assert_eq!(call(Service::Object, "execute", params), Fate::Denied(Denial::Database));
    }
    assert_eq!(call(Service::Common, "authenticate", own), Fate::Forwarded);
    for (service, method) in [
        (Service::Common, "set_loglevel"),
        (Service::Common, " version"),
        (Service::Common, ""),
        (Service::Object, "exec_workflow"),
        (Service::Db, "drop"),
        (Service::Db, "list_lang"),
        (Service::Unknown, "version"),
    ] {
        assert_eq!(call(service, method, own), Fate::Denied(Denial::Method), "{method}");
    }
    let answered = |method: &str, params: &str| {
        let fate = call(Service::Db, method, params);
        let Fate::Answered(body) = fate else { panic!("{fate:?}") };
        body
    };
    assert!(
        answered("server_version", "").contains("<param>\n<value><string>19.0</string></value>\n</param>")
    );
    assert!(
        answered("list", "")
            .contains("<array><data>\n<value><string>acme-live</string></value>\n</data></array>")
    );
    assert!(answered("db_exist", own).contains("<boolean>1</boolean>"));
    assert!(answered("db_exist", &own.replace("acme", "zen")).contains("<boolean>0</boolean>"));
}

#[test]
fn listed_models_and_methods_are_denied() {
    let good = execute("<value>acme</value>");
    for (from, to) in [
        ("<string>res.partner</string>", "<string>res.users</string>"),
        ("<string>res.partner</string>", "res.<![CDATA[users]]>"),
        ("<string>res.partner</string>", "<nil/>"),
        ("<value>read</value>", "<value>unlink</value>"),
        ("<value>read</value>", "<value>&#117;nlink</value>"),
    ] {
        let body = good.replace(from, to);
        assert_ne!(body, good);
        assert_eq!(object(&body), Fate::Denied(Denial::Listed), "{to}");
    }
}

#[test]
fn a_document_type_is_refused_and_so_are_its_entities() {
    let good = execute("<value>acme</value>");
    let laughs = "<!DOCTYPE l [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>]>";
    for doctype in
        [laughs, "<!DOCTYPE methodCall SYSTEM 'file:///etc/passwd'>", "<!doctype x>", "<!ENTITY a 'b'>"]
    {
        assert_eq!(
            object(&good.replace("<methodCall>", &format!("{doctype}<methodCall>"))),
            Fate::Refused(RpcRefusal::Doctype)
        );
    }
    for name in ["&b;", "&nbsp;", "ac&AMP;me", "&;", "& "] {
        let fate = value(name);
        assert!(matches!(fate, Fate::Refused(RpcRefusal::Doctype | RpcRefusal::Length)), "{name}: {fate:?}");
    }
}

#[test]
fn other_encodings_than_those_with_ascii_in_them_are_refused() {
    let good = execute("<value>acme</value>");
    let declared = |encoding: &str| object(&good.replace("'1.0'", &format!("'1.0' encoding='{encoding}'")));
    for encoding in ["UTF-8", "utf-8", "us-ascii", "iso-8859-1"] {
        assert_eq!(declared(encoding), Fate::Forwarded, "{encoding}");
    }
    for encoding in ["utf-7", "utf-16", "cp037", "iso-2022-jp", "shift_jis", "hz", "utf8"] {
        assert_eq!(declared(encoding), Fate::Refused(RpcRefusal::Charset), "{encoding}");
    }
    let utf16 = |to: fn(u16) -> [u8; 2]| good.encode_utf16().flat_map(to).collect::<Vec<u8>>();
    for (mark, body) in [
        (&b"\xff\xfe"[..], utf16(u16::to_le_bytes)),
        (b"\xfe\xff", utf16(u16::to_be_bytes)),
        (b"", utf16(u16::to_le_bytes)),
        (b"", utf16(u16::to_be_bytes)),
        (b"\xef\xbb\xbf", utf16(u16::to_le_bytes)),
        (b"+AD", good.clone().into_bytes()),
        (b"\x4c", b"\x6f\xa7\x94\x93".to_vec()),
    ] {
        assert_eq!(
            xml(Service::Object, &[mark, &body].concat()),
            Fate::Refused(RpcRefusal::Charset),
            "{mark:?}"
        );
    }
    assert_eq!(xml(Service::Object, &[b"\xef\xbb\xbf", good.as_bytes()].concat()), Fate::Forwarded);
    assert_eq!(
        object(&good.replace("<methodCall>", "<?xml version='1.0' encoding='utf-16'?><methodCall>")),
        Fate::Refused(RpcRefusal::Malformed)
    );
}

#[test]
fn what_python_reads_but_nobody_means_is_refused() {
    let good = execute("<value>acme</value>");
    assert_eq!(object(&good), Fate::Forwarded);
    for (from, to) in [
        ("</methodName>", "</methodName><methodName>execute</methodName>"),
        ("</params>", "</params><params></params>"),
        ("</params>", "</params><methodName>execute</methodName>"),
        ("<params>", "<params><string>zen</string>"),
        ("<params>", "<string>zen</string><params>"),
        ("<params>", "<params><param></param>"),
        ("<params>", "<params>x"),
        ("<value>acme</value>", "<value>acme</value><value>zen</value>"),
        ("<value>acme</value>", "<string>acme</string>"),
        ("<value>acme</value>", "<value><name>acme</name></value>"),
        ("<value>acme</value>", "<value>zen<string>acme</string></value>"),
        ("<value>acme</value>", "<value><string>acme</string>zen</value>"),
        ("<value>acme</value>", "<value><string>zen</string><string>acme</string></value>"),
        ("<value>acme</value>", "<value><string>a<b/>cme</string></value>"),
        ("<value>acme</value>", "<value><methodName>a</methodName></value>"),
        ("<value>acme</value>", "<value><x:string>acme</x:string></value>"),
        ("<value>acme</value>", "<VALUE>acme</VALUE>"),
        ("<value>acme</value>", "<value><params/>acme</value>"),
        ("<methodCall>", "<methodResponse>"),
        ("<methodCall>", "<fault/><methodCall>"),
        ("<data>", "<data>x"),
        ("<data>", "<data></data><data>"),
        ("<name>a</name>", ""),
        ("<name>a</name>", "<name>a</name><name>b</name>"),
        ("<nil/>", "<bool/>"),
        ("<nil/>", "<nil><nil/></nil>"),
        ("</methodCall>", "</methodCall><methodCall/>"),
        ("</methodCall>\n", "</methodCall>x<!-- -->\n"),
    ] {
        let body = good.replacen(from, to, 1);
        assert_ne!(body, good);
        let fate = object(&body);
        assert!(matches!(fate, Fate::Refused(RpcRefusal::Shape | RpcRefusal::Malformed)), "{to}: {fate:?}");
    }
    assert_eq!(object(&good.replace("<nil/>", "<ex:nil xmlns:ex='x'/>")), Fate::Forwarded);
}

#[test]
fn a_document_that_ends_early_is_refused() {
    let good = execute("<value>acme</value>");
    for end in 0..good.trim_end().len() {
        let start = good.get(..end).unwrap();
        assert_eq!(object(start), Fate::Refused(RpcRefusal::Malformed), "{start}");
    }
}

#[test]
fn tags_and_nesting_have_an_end() {
    let nested = |lists: usize| {
        let open = "<value><array><data>".repeat(lists);
        let close = "</data></array></value>".repeat(lists);
        object(&execute("<value>acme</value>").replace("<value><nil/></value>", &format!("{open}{close}")))
    };
    assert_eq!(nested(100), Fate::Forwarded);
    assert_eq!(nested(10_000), Fate::Refused(RpcRefusal::Depth));
    let attributes = |count: usize| {
        let list: String = (0..count).map(|at| format!(" a{at}='x'")).collect();
        value(&format!("<string{list}>acme</string>"))
    };
    assert_eq!(attributes(64), Fate::Forwarded);
    assert_eq!(attributes(65), Fate::Refused(RpcRefusal::Length));
    assert_eq!(
        value(&format!("<string a='{}'>acme</string>", "x".repeat(5000))),
        Fate::Refused(RpcRefusal::Length)
    );
    assert_eq!(value(&format!("<{}/>", "s".repeat(500))), Fate::Refused(RpcRefusal::Shape));
}

#[test]
fn with_the_wrong_database_the_rest_is_not_read() {
    let mut guard = RpcGuard::new(
        RpcRoute::Xml { service: Service::Object, faults: FaultCodes::Number },
        policy(OdooVersion::V19),
        BodyFacts::default(),
    );
    guard.feed(b"<methodCall><methodName>execute</methodName><params><param><value>zen</value>");
    assert!(guard.may_forward());
    guard.feed(b"</param>");
    assert!(!guard.may_forward());
    guard.feed(b"<!DOCTYPE");
    assert!(matches!(guard.finish(), RpcOutcome::Answer(RpcAnswer { denial: Some(Denial::Database), .. })));
}
