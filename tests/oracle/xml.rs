//! XML that is a call, or nearly one.

use crate::targets::mutation::Random;

/// Words that mean something to the guard.
pub(crate) const WORDS: [&str; 40] = [
    "<",
    ">",
    "</",
    "/>",
    "&",
    ";",
    "<value>",
    "</value>",
    "<string>",
    "</string>",
    "<param>",
    "</param>",
    "<params>",
    "</params>",
    "<name>",
    "</name>",
    "<value>zen</value>",
    "<string>zen</string>",
    "<name>zen</name>",
    "<methodName>execute</methodName>",
    "<methodName>",
    "</methodName>",
    "<!--",
    "-->",
    "<![CDATA[",
    "]]>",
    "]]",
    "<?",
    "?>",
    "<?x y?>",
    "&#122;",
    "&#x7a;",
    "&amp;",
    "&lt;",
    "zen",
    "acme",
    " ",
    "<!DOCTYPE a>",
    "<x:string>",
    "'",
];

/// A document around a call.
pub(crate) fn document(random: &mut Random) -> Vec<u8> {
    let mut text = String::new();
    text.push_str(random_of(random, &["", "", "", "\u{feff}", "\n"]));
    text.push_str(&declaration(random));
    text.push_str(rarely(random, &["", "\n", "<!-- a -->", "<?style a?>"], &["<!DOCTYPE methodCall>"]));
    let method = rarely(
        random,
        &["execute", "execute", "execute_kw", "login", "authenticate"],
        &["version", " execute", "drop"],
    );
    let method = spelled(random, method);
    let method = element(random, "methodName", &method);
    let mut params = String::new();
    let mut values = vec![database(random), "<int>2</int>".into(), "p".into()];
    values.push(typed(random, &["res.partner", "crm.lead", "res.users"]));
    values.push(typed(random, &["read", "write", "unlink"]));
    values.push(content(random, 3));
    values.truncate(values.len().saturating_sub(random.below(3)));
    for value in values {
        let value = around(random, &value);
        let mut value = element(random, "value", &value);
        if random.one_in(60) {
            value.push_str("<value>zen</value>");
        }
        params.push_str(&element(random, "param", &value));
        params.push_str(&gap(random));
    }
    let mut parts = vec![method, element(random, "params", &params)];
    if random.one_in(40) {
        parts.push(
            random_of(random, &["<params/>", "<methodName>login</methodName>", "<string>zen</string>"])
                .into(),
        );
    }
    if random.one_in(40) {
        parts.reverse();
    }
    let parts = parts.join(&gap(random));
    text.push_str(&element(random, "methodCall", &parts));
    text.push_str(rarely(random, &["", "\n", "<!-- z -->", "<?z?>"], &["x", "<value/>"]));
    if random.one_in(12) { wide(random, &text) } else { text.into_bytes() }
}

/// A text in UTF-16, which expat knows by its first two bytes, mark or not.
fn wide(random: &mut Random, text: &str) -> Vec<u8> {
    let to = if random.one_in(2) { u16::to_le_bytes } else { u16::to_be_bytes };
    let start = random_of(random, &["", "\u{feff}", " ", " \n", "\u{feff} "]);
    let text = text.trim_start_matches('\u{feff}').replace("utf-8", "utf-16");
    format!("{start}{text}").encode_utf16().flat_map(to).collect()
}

fn random_of<'a>(random: &mut Random, list: &[&'a str]) -> &'a str {
    random.of(list).copied().unwrap_or_default()
}

fn declaration(random: &mut Random) -> String {
    let encoding = rarely(
        random,
        &["", "", "utf-8", "UTF-8", "us-ascii", "ISO-8859-1"],
        &["utf-16", "utf-7", "utf8", "latin-1", "cp037"],
    );
    match (random.below(3), encoding) {
        (0, _) => String::new(),
        (_, "") => "<?xml version='1.0'?>".to_owned(),
        (_, encoding) => format!("<?xml version=\"1.0\" encoding=\"{encoding}\" ?>"),
    }
}

/// One of a list, or once in a while one of another.
fn rarely<'a>(random: &mut Random, often: &[&'a str], rare: &[&'a str]) -> &'a str {
    let list = if random.one_in(20) { rare } else { often };
    random_of(random, list)
}

/// An element with white space, attributes and a name as nobody writes them, now and then.
fn element(random: &mut Random, name: &str, content: &str) -> String {
    let odd = if random.one_in(8) { &[" ", "\n", " a='>'", " a=\"/>\" b=''", " a='\"'"][..] } else { &[] };
    let attributes = random_of(random, odd);
    let name = if random.one_in(600) { random_of(random, &["x:string", "Value", "name", "b"]) } else { name };
    if content.is_empty() && random.one_in(2) {
        return format!("<{name}{attributes}/>");
    }
    let space = random_of(random, &["", "", "", " "]);
    format!("<{name}{attributes}>{content}</{name}{space}>")
}

/// White space and what counts as such.
fn gap(random: &mut Random) -> String {
    random_of(random, &["", "", "", "\n", " \t", "<!-- - > -->", "<?p ?q?>", "<![CDATA[]]>"]).to_owned()
}

/// A value with something around it.
fn around(random: &mut Random, value: &str) -> String {
    let (before, after) = (gap(random), gap(random));
    if value.starts_with('<') {
        let text = if random.one_in(40) { random_of(random, &["zen", "&#32;", "<![CDATA[ ]]>"]) } else { "" };
        return format!("{before}{text}{value}{after}");
    }
    if random.one_in(6) { format!("{before}{value}{after}") } else { value.to_owned() }
}

fn database(random: &mut Random) -> String {
    match random.below(12) {
        0 => content(random, 1),
        1 => typed(random, &["", "ACME", "acme ", "acme-live2"]),
        2 | 3 => typed(random, &["zen"]),
        4 => typed(random, &["acme-live"]),
        _ => typed(random, &["acme"]),
    }
}

/// A text, with its type or without.
fn typed(random: &mut Random, texts: &[&str]) -> String {
    let text = random_of(random, texts);
    let text = spelled(random, text);
    match random.below(20) {
        0 if random.one_in(3) => element(random, "name", &text),
        1 if random.one_in(3) => element(random, "base64", &text),
        2..8 => text,
        _ => element(random, "string", &text),
    }
}

/// Markup whose end a careless reader finds too early or too late, with a name in the part that it then sees.
const TRAPS: [&str; 10] = [
    "<![CDATA[]><!--]]>zen-->",
    "<![CDATA[]]]><!--]]>zen-->",
    "<![CDATA[]]<]]>",
    "<!--->zen-->",
    "<!---->",
    "<!--]]><![CDATA[-->",
    "<?a?zen?>",
    "<?a ?b??>",
    "<?a -->?>",
    "&#0000000000000000000000000122;",
];

/// A text, in references, sections and pieces.
fn spelled(random: &mut Random, text: &str) -> String {
    if !random.one_in(4) {
        return text.to_owned();
    }
    let mut spelled = String::new();
    for character in text.chars() {
        match random.below(12) {
            0 => spelled.push_str(&format!("&#{};", u32::from(character))),
            1 => spelled.push_str(&format!("&#x{:X};", u32::from(character))),
            2 => spelled.push_str(&format!("<![CDATA[{character}]]>")),
            3 => spelled.push_str(&format!("<!-- zen -->{character}")),
            4 => spelled.push_str(&format!("<?zen zen?>{character}")),
            5 => spelled.push_str(&format!("{character}{}", random_of(random, &TRAPS))),
            6 if random.one_in(10) => spelled.push_str(&format!("<b>{character}</b>")),
            _ => spelled.push(character),
        }
    }
    spelled
}

fn content(random: &mut Random, depth: usize) -> String {
    let name = random_of(
        random,
        &["int", "i4", "boolean", "double", "nil", "base64", "string", "ex:nil", "i8", "x"],
    );
    match random.below(if depth == 0 { 6 } else { 10 }) {
        0 => String::new(),
        1 => "]] > ]]&gt;".to_owned(),
        2..6 => {
            let text = rarely(random, &["1", "0"], &["", "acme"]);
            element(random, name, text)
        }
        6 | 7 => {
            let values: String = (0..random.below(4))
                .map(|_| {
                    let inner = content(random, depth - 1);
                    element(random, "value", &inner)
                })
                .collect();
            let data = element(random, "data", &values);
            element(random, "array", &data)
        }
        _ => {
            let members: String = (0..random.below(3))
                .map(|_| {
                    let inner = content(random, depth - 1);
                    let value = element(random, "value", &inner);
                    let name = element(random, "name", "zen");
                    element(random, "member", &format!("{name}{value}"))
                })
                .collect();
            element(random, "struct", &members)
        }
    }
}
