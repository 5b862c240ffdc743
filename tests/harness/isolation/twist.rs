//! Spellings of hosts, paths, headers and cookies by which one tenant might be taken for the other.

use super::dice::Dice;

/// `Host` lines that mean the tenant's own host.
pub(super) const HOSTS: [&str; 12] = [
    "Host: {own}",
    "host: {own}",
    "HOST: {OWN}",
    "Host:{own}",
    "Host: \t{own}\t ",
    "Host: {own}:80",
    "Host: {own}:8069",
    "Host: {OWN}:443",
    "Host: {own}.",
    "Host: {OWN}.:80",
    "Host: {own}\r\nX-Forwarded-Port: 1",
    "Accept: */*\r\nhOsT: {own}",
];

/// `Host` lines that name both tenants, or none.
pub(super) const TWISTED_HOSTS: [&str; 40] = [
    "Host: {own}\r\nHost: {other}",
    "Host: {other}\r\nHost: {own}",
    "Host: {own}\r\nHost: {own}",
    "Host: {own}\r\nhost:{other}",
    "Host: {own}, {other}",
    "Host: {other},{own}",
    "Host: {own};{other}",
    "Host: {own}@{other}",
    "Host: {other}@{own}",
    "Host: {other}:80@{own}:80",
    "Host: {own}/{other}",
    "Host: {own}/@{other}",
    "Host: {own}?{other}",
    "Host: {own}#{other}",
    "Host: {own}#@{other}",
    "Host: {own}\\@{other}",
    "Host: {own} {other}",
    "Host: {own}\t{other}",
    "Host: {own}:{other}",
    "Host: {own}:80:{other}",
    "Host: {own}:",
    "Host: {own}:99999",
    "Host: {own}:-1",
    "Host: {own}..",
    "Host: .{own}",
    "Host: [{own}]",
    "Host: http://{other}/",
    "Host: {own}%00.{other}",
    "Host: {own}%2e",
    "Host: {own}\0{other}",
    "Host: {own}\r\n {other}",
    "Host: {other}\r\n\t{own}",
    "Host: {own}\nHost: {other}",
    "Host: {own}\rHost: {other}",
    "Host : {other}\r\nHost: {own}",
    "Host: {own}\r\nHost : {other}",
    "Host: {own}\r\n:authority: {other}",
    "Host: {own}\u{3002}",
    "Host: \u{ff47}lobex.test",
    "X-Host: {own}",
];

/// Whole targets before the path; the path follows.
pub(super) const TARGETS: [&str; 14] = [
    "http://{own}",
    "HTTP://{OWN}",
    "http://{own}:80",
    "https://{own}.",
    "http://{other}",
    "http://{other}@{own}",
    "http://{own}@{other}",
    "http://{own}:80@{other}",
    "http://{own}\\@{other}",
    "//{other}",
    "ws://{other}",
    "x:",
    "http:",
    "http://{own}#@{other}",
];

/// `:authority` of HTTP/2.
pub(super) const AUTHORITIES: [&str; 8] = [
    "{own}",
    "{OWN}",
    "{own}:80",
    "{own}.",
    "{other}@{own}",
    "{own}@{other}",
    "{own}:99999",
    "{own}:{other}",
];

/// Header lines that name the other tenant. Names are spelled anew each time.
pub(super) const LINES: [&str; 46] = [
    "X-Odoo-dbfilter: ^{other_db}$",
    "X-Odoo-dbfilter: .*",
    "X-Odoo-dbfilter: ^{own_db}$",
    "X-Odoo-Database: {other_db}",
    "X-Odoo-Database: {own_db}",
    "X-Odoo-Db: {other_db}",
    "X-OpenERP-dbfilter: ^{other_db}$",
    "X-Openerp-Session-Id: {other_sid}",
    "X-Forwarded-Host: {other}",
    "X-Forwarded-Host: {own}, {other}",
    "X-Forwarded-Host: {other}\r\nX-Forwarded-Host: {own}",
    "X-Forwarded-Server: {other}",
    "X-Forwarded-For: 10.0.0.1, {other}",
    "X-Forwarded-Proto: {other}",
    "X-Forwarded-Prefix: //{other}",
    "Forwarded: for=10.0.0.1;host={other};proto=https",
    "X-Host: {other}",
    "X-Original-Host: {other}",
    "X-HTTP-Host-Override: {other}",
    "X-Original-URL: http://{other}/web/login",
    "X-Rewrite-URL: //{other}/",
    "X-HTTP-Method-Override: POST",
    "X-Real-IP: 10.0.0.1",
    "Proxy: http://{other}/",
    "X-Odoo-dbfilter: ^{other_db}$\r\nX-Odoo-dbfilter: ^{own_db}$",
    "Connection: X-Odoo-dbfilter, X-Forwarded-Host",
    "Connection: close, x-odoo-database, host",
    "Connection: keep-alive, x-odoo-dbfilter\r\nX-Odoo-dbfilter: ^{other_db}$",
    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
    "Connection: close",
    "Connection: keep-alive\r\nKeep-Alive: timeout=99",
    "Proxy-Connection: X-Odoo-dbfilter",
    "TE: trailers, chunked",
    "Trailer: X-Odoo-dbfilter",
    "Expect: 100-continue",
    "Expect: {other}",
    "Range: bytes=0-10",
    "X-Odoo-dbfilter : ^{other_db}$",
    "X: y\r\n X-Odoo-dbfilter: ^{other_db}$",
    "X: y\nX-Odoo-dbfilter: ^{other_db}$",
    "X: y\rX-Odoo-dbfilter: ^{other_db}$",
    "X-Odoo-dbfilter\0: ^{other_db}$",
    "X: %0d%0aX-Odoo-dbfilter: ^{other_db}$",
    "X: y\u{560d}\u{560a}X-Odoo-dbfilter: ^{other_db}$",
    "Referer: http://{other}/web?db={other_db}",
    "Origin: http://{other}",
];

/// `Cookie` lines.
pub(super) const COOKIES: [&str; 10] = [
    "Cookie: session_id={own_sid}",
    "Cookie: frontend_lang=fr_BE; session_id={own_sid}; tz=UTC",
    "Cookie: session_id={other_sid}",
    "Cookie: session_id={own_sid}; session_id={other_sid}",
    "Cookie: session_id={other_sid}; session_id={own_sid}",
    "Cookie: session_id={own_sid}\r\nCookie: session_id={other_sid}",
    "Cookie: a=b;session_id={other_sid}",
    "Cookie: Session_Id={other_sid}; db={other_db}; last_used_database={other_db}",
    "Cookie: session_id=\"{other_sid}\"",
    "cookie: session_id={other_sid},session_id={own_sid}",
];

/// Selectors in the query.
const SELECTORS: [&str; 8] = [
    "db={other_db}",
    "db={own_db}&db={other_db}",
    "%64b={other_db}",
    "state=%7B%22d%22%3A%22{other_db}%22%7D",
    "debug=assets&db={other_db}",
    "DB={other_db}",
    "redirect=http://{other}/",
    "host={other}&session_id={other_sid}",
];

/// Ways to begin a path.
const BEGINNINGS: [&str; 14] = [
    "/",
    "//",
    "/.",
    "/./",
    "/../",
    "/x/../",
    "/%2e%2e/",
    "/%2f",
    "/;db={other_db}/",
    "/\\",
    "/fr",
    "/fr_BE",
    "/{other_db}",
    "/%00",
];

/// Another spelling of a header's name: letters in either case, and `_` or `.` for some `-`.
pub(super) fn spell_name(dice: &mut Dice, line: &str) -> String {
    let Some((name, value)) = line.split_once(':') else { return line.to_owned() };
    let how = dice.below(4);
    let letter = |letter: char| match (how, letter) {
        (0, _) => letter,
        (_, '-') if how > 1 => dice.pick(&['-', '_', '.']),
        _ if dice.once_in(2) => letter.to_ascii_uppercase(),
        _ => letter.to_ascii_lowercase(),
    };
    let name: String = name.chars().map(letter).collect();
    format!("{name}:{value}")
}

/// Another spelling of a path and query.
pub(super) fn path(dice: &mut Dice, target: &str) -> String {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let inner = path.strip_prefix('/').unwrap_or(path);
    let path = match dice.below(10) {
        0..=3 => format!("{}{inner}", dice.pick(&BEGINNINGS)),
        4 | 5 => encoded(dice, path),
        6 => path.replacen('/', "/./", 2),
        7 => format!(
            "{path}{}",
            dice.pick(&[
                "/",
                "//",
                "/.",
                "/..",
                ";x",
                "%20",
                "%2f",
                "%00",
                "%0d%0aX-Odoo-dbfilter:%20{other_db}",
                "\\",
                "?",
                "#/{other}"
            ])
        ),
        8 => path.to_ascii_uppercase(),
        _ => inner.to_owned(),
    };
    match query {
        Some(query) => format!("{path}?{query}"),
        None => path,
    }
}

/// The target with a selector behind it.
pub(super) fn selector(dice: &mut Dice, target: &str) -> String {
    let joint = if target.contains('?') { '&' } else { '?' };
    format!("{target}{joint}{}", dice.pick(&SELECTORS))
}

/// Some letters as `%61`, and now and then the `%` too.
fn encoded(dice: &mut Dice, path: &str) -> String {
    let mut text = String::with_capacity(path.len() * 2);
    for (at, letter) in path.chars().enumerate() {
        match dice.below(6) {
            0 if at > 0 && letter.is_ascii() => text.push_str(&format!("%{:02x}", u32::from(letter))),
            1 if at > 0 && dice.once_in(8) && letter.is_ascii() => {
                text.push_str(&format!("%25{:02X}", u32::from(letter)));
            }
            _ => text.push(letter),
        }
    }
    text
}
