//! JSON that is a call, or nearly one.

use crate::targets::mutation::Random;

/// Words that mean something to the guard.
pub(crate) const WORDS: [&str; 30] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\"params\"",
    "\"service\":\"object\"",
    "\"method\":\"execute\"",
    "\"args\":[\"zen\"]",
    "\"args\":[\"acme\"]",
    "\"zen\"",
    "\"acme\"",
    "\"acme-live\"",
    "\"db\":\"zen\"",
    "\"service\":\"db\"",
    "NaN",
    "-Infinity",
    "null",
    "1e5",
    "\\u0061",
    "\\ud83d",
    "\u{feff}",
    " ",
    "\n",
    "\"id\":1,",
    "\"params\":{",
    "\u{e9}",
];

/// A document around a call.
pub(crate) fn document(random: &mut Random) -> Vec<u8> {
    let mut text = String::new();
    let params = params(random);
    let mut members = vec![("jsonrpc", "\"2.0\"".to_owned()), ("id", value(random, 1)), ("params", params)];
    if random.one_in(20) {
        members.push(("params", self::params(random)));
    }
    if random.one_in(8) {
        let key = *random.of(&["service", "method", "args", "db", "id", "x"]).unwrap();
        members.push((key, value(random, 2)));
    }
    object(random, &mut text, members);
    if random.one_in(20) {
        text = format!("[{text}]");
    }
    text.into_bytes()
}

fn params(random: &mut Random) -> String {
    let service = quoted(random, &["object", "object", "object", "common", "db", "Object", "report"]);
    let method =
        quoted(random, &["execute", "execute_kw", "login", "authenticate", "version", "drop", "list"]);
    let mut members = vec![("service", service), ("method", method), ("args", args(random))];
    if random.one_in(3) {
        members =
            vec![("db", database(random)), ("login", "\"admin\"".to_owned()), ("password", value(random, 0))];
    }
    for _ in 0..random.below(3) {
        if random.one_in(10) {
            let key = *random.of(&["service", "method", "args", "db", "context", "\u{e9}"]).unwrap();
            let value = if random.one_in(2) { args(random) } else { value(random, 1) };
            members.push((key, value));
        }
    }
    if random.one_in(20) {
        let pairs: Vec<String> = members.iter().map(|(key, value)| format!("[\"{key}\",{value}]")).collect();
        return format!("[{}]", pairs.join(","));
    }
    let mut text = String::new();
    object(random, &mut text, members);
    text
}

fn args(random: &mut Random) -> String {
    let mut items = vec![database(random), "2".to_owned(), value(random, 0)];
    items.push(quoted(random, &["res.partner", "crm.lead", "sale.order", "res.users"]));
    items.push(quoted(random, &["read", "search", "write", "unlink"]));
    for _ in 0..random.below(3) {
        items.push(value(random, 3));
    }
    items.truncate(items.len().saturating_sub(random.below(3)));
    match random.below(24) {
        0 => format!("{{{}}}", items.iter().map(|item| format!("{item}:1")).collect::<Vec<_>>().join(",")),
        1 => format!("[{}]", format_args!("[{}]", items.join(","))),
        2 => database(random),
        _ => format!("[{}]", items.join(&space(random, ","))),
    }
}

fn database(random: &mut Random) -> String {
    match random.below(12) {
        0 => value(random, 1),
        1 => quoted(random, &["", "ACME", "acme ", "acme\u{0}", "acmé", "acme-live2"]),
        2 | 3 => quoted(random, &["zen"]),
        4 => quoted(random, &["acme-live"]),
        _ => quoted(random, &["acme"]),
    }
}

fn object(random: &mut Random, text: &mut String, mut members: Vec<(&str, String)>) {
    if random.one_in(2) && members.len() > 1 {
        let (from, to) = (random.below(members.len()), random.below(members.len()));
        members.swap(from, to);
    }
    let members: Vec<String> = members
        .into_iter()
        .map(|(key, value)| format!("{}{}{value}", quoted(random, &[key]), space(random, ":")))
        .collect();
    text.push_str(&space(random, "{"));
    text.push_str(&members.join(&space(random, ",")));
    text.push_str(&space(random, "}"));
}

fn space(random: &mut Random, mark: &str) -> String {
    let around = ["", "", "", " ", "\n", "\t\r ", "\u{c}"];
    let limit = if random.one_in(60) { 7 } else { 6 };
    let (before, after) = (around[random.below(limit)], around[random.below(limit)]);
    format!("{before}{mark}{after}")
}

/// One of the texts, some of it escaped.
fn quoted(random: &mut Random, texts: &[&str]) -> String {
    let text = *random.of(texts).unwrap();
    let plain = !random.one_in(4);
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '\u{0}' => quoted.push_str("\\u0000"),
            character if plain || !random.one_in(3) => quoted.push(character),
            character => {
                let upper = random.one_in(2);
                for unit in character.encode_utf16(&mut [0; 2]) {
                    quoted.push_str(&if upper { format!("\\u{unit:04X}") } else { format!("\\u{unit:04x}") });
                }
            }
        }
    }
    quoted.push('"');
    quoted
}

fn value(random: &mut Random, depth: usize) -> String {
    match random.below(if depth == 0 { 14 } else { 18 }) {
        0 => "NaN".to_owned(),
        1 => "-Infinity".to_owned(),
        2 => "-0.5e+10".to_owned(),
        3 => "1e999".to_owned(),
        4 if random.one_in(10) => "00".to_owned(),
        5 => "\"\\ud83d\\ude00\\ud83d\"".to_owned(),
        6 => "\"]}\\\"[{\\\\\"".to_owned(),
        7 => "true".to_owned(),
        8 => "null".to_owned(),
        4 | 9..14 => random.below(1000).to_string(),
        14 | 15 => {
            let items: Vec<String> = (0..random.below(4)).map(|_| value(random, depth - 1)).collect();
            format!("[{}]", items.join(","))
        }
        _ => {
            let members: Vec<_> = (0..random.below(4)).map(|_| ("a", value(random, depth - 1))).collect();
            let mut text = String::new();
            object(random, &mut text, members);
            text
        }
    }
}
