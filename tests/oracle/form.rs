//! Forms in parts that name a database, or nearly do.

use crate::targets::mutation::{Random, mutate};
use crate::targets::odoo::FORM_WORDS;

/// Their media type.
pub(crate) const MEDIA: &str = "multipart/form-data; boundary=b";

/// Heads of parts; `%` is the name.
const HEADS: [&str; 8] = [
    "Content-Disposition: form-data; name=\"%\"",
    "content-disposition:form-data;name=%",
    "Content-Disposition : form-data; name = \"%\"",
    "Content-Disposition: form-data; name=\"a\"; name=\"%\"",
    "Content-Disposition: form-data; filename=\"x\"; name=%",
    "Content-Disposition: form-data; name*=utf-8''%",
    "Content-Type: text/plain\r\nContent-Disposition: form-data; name=\"%\"",
    "Content-Disposition: form-data; name=\"csrf_token\"",
];
const NAMES: [&str; 5] = ["db", "dbname", "master_pwd", "zen", "name"];
const VALUES: [&str; 4] = ["acme", "zen", "x", ""];
/// What ends a name for one reader and not for another.
const WORDS: [&str; 20] = [
    "\r", "\n", "\r\n", "\n\n", "\r\r", " ", "\t", ";", "=", "\"", "\\", "@", ",", "/", "(", "*0", "%22",
    "name=", "file", "\u{b}",
];

/// Some parts, changed here and there.
pub(crate) fn document(random: &mut Random) -> Vec<u8> {
    let mut text = String::new();
    for _ in 0..=random.below(3) {
        let name = random.of(&NAMES).unwrap();
        let (head, value) = (random.of(&HEADS).unwrap().replace('%', name), random.of(&VALUES).unwrap());
        text.push_str(&format!("--b\r\n{head}\r\n\r\n{value}\r\n"));
    }
    text.push_str("--b--\r\n");
    let mut body = text.into_bytes();
    for _ in 0..random.below(4) {
        let at = random.below(body.len() + 1);
        let word = random.of(&WORDS).unwrap().bytes();
        body.splice(at..at, word);
    }
    if random.one_in(4) {
        let other = body.clone();
        mutate(random, &mut body, &FORM_WORDS, &other);
    }
    body
}

/// Whether a field names another database, or is the database manager's. No database has a name of several lines whose
/// second begins as a boundary does.
pub(crate) fn is_fault(name: &str, value: &str) -> bool {
    let mut lines = value.lines();
    let value = match (lines.next(), lines.next()) {
        (Some(first), Some(second)) if second.starts_with("--") => first,
        _ => value,
    };
    name == "master_pwd" || matches!(name, "db" | "dbname") && !matches!(value, "" | "acme")
}
