//! Ways to write the address of Odoo's database manager, and who gets through with one.
//!
//! What counts is what a backend receives: [`reaches_manager`] reads a target as Odoo's servers do, and knows nothing
//! of how the gateway reads it.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;

use crate::frames::Frames;
use crate::raw::raw_exchange;

/// Where the manager and its parts are. Source: Odoo 19.0 `addons/web/controllers/database.py`.
const PAGES: [&str; 11] = [
    "/web/database",
    "/web/database/manager",
    "/web/database/selector",
    "/web/database/list",
    "/web/database/create",
    "/web/database/duplicate",
    "/web/database/drop",
    "/web/database/backup",
    "/web/database/restore",
    "/web/database/change_password",
    "/web/database/nothing",
];

/// Addresses that look like it and lead elsewhere: nobody may be kept from them.
pub const NEIGHBOURS: [&str; 14] = [
    "/",
    "/web",
    "/web/login",
    "/web/databases",
    "/web/database_tools",
    "/web/data/base/manager",
    "/webdatabase/manager",
    "/database/manager",
    "/odoo/web-1/database-2/manager",
    "/shop/category/web/database/manager",
    "/web/dataset/call_kw/x/y",
    "/odoo?debug=1&path=/web/database/manager",
    "/blog/web-1/post/database-2",
    "/web/static/database/manager.js",
];

/// Targets that lead to the manager, or might at some server: no two alike.
pub fn manager_spellings(host: &str) -> Vec<String> {
    let mut all = BTreeSet::new();
    for page in PAGES {
        all.extend([page.to_owned(), page.to_uppercase(), title(page)]);
        all.extend(behind(page));
        all.extend(before(page));
        all.extend(absolute(page, host));
    }
    let page = "/web/database/manager";
    all.extend(letters(page));
    all.extend(slashes(page));
    all.extend(dots(page));
    all.extend(other_alphabets(page));
    all.extend(mixed());
    all.into_iter().collect()
}

/// Each character by itself in other clothes, and all of them.
fn letters(page: &str) -> Vec<String> {
    let clothes: [fn(char) -> String; 7] = [
        |character| format!("%{:02x}", u32::from(character)),
        |character| format!("%{:02X}", u32::from(character)),
        |character| format!("%25{:02x}", u32::from(character)),
        |character| format!("%2525{:02X}", u32::from(character)),
        |character| format!("%{:02x}", u32::from(character.to_ascii_uppercase())),
        |character| format!("%u00{:02x}", u32::from(character)),
        |character| character.to_ascii_uppercase().to_string(),
    ];
    let mut all = Vec::new();
    for wear in clothes {
        let dressed = |chosen: &dyn Fn(usize) -> bool| -> String {
            let wear =
                |(at, character)| if at > 0 && chosen(at) { wear(character) } else { character.into() };
            page.chars().enumerate().map(wear).collect()
        };
        all.extend((1..page.len()).map(|at| dressed(&|other| other == at)));
        all.extend([dressed(&|_| true), dressed(&|at| at % 2 == 0), dressed(&|at| at % 3 == 1)]);
    }
    all
}

/// Slashes doubled, encoded and turned.
fn slashes(page: &str) -> Vec<String> {
    let ways = [
        "//", "///", "%2f", "%2F", "/%2f", "%2f/", "/%2F/", "\\", "%5c", "/\\", "%252f", "/;/", "/%20/",
        "\u{2215}",
    ];
    let mut all = Vec::new();
    for way in ways {
        all.push(page.replace('/', way));
        for (at, _) in page.match_indices('/') {
            let (before, after) = page.split_at(at);
            all.push(format!("{before}{way}{}", after.trim_start_matches('/')));
        }
    }
    all
}

/// Segments that lead nowhere.
fn dots(page: &str) -> Vec<String> {
    let ways =
        ["/./", "/x/../", "/%2e/", "/x/%2e%2e/", "/x/.%2E/", "/..;/", "/x/..%2f", "/x/%252e%252e/", "/.;x/"];
    let mut all = Vec::new();
    for way in ways {
        for (at, _) in page.match_indices('/') {
            let (before, after) = page.split_at(at);
            all.push(format!("{before}{way}{}", after.trim_start_matches('/')));
        }
    }
    all.extend(
        ["/..", "/../..", "/web/static/..", "/web/static/../.."].map(|start| format!("{start}{page}")),
    );
    all
}

/// Something behind it.
fn behind(page: &str) -> Vec<String> {
    [
        "/",
        "//",
        "?",
        "?x",
        "?db=acme",
        "?debug=1",
        "#f",
        "/#f",
        ";",
        ";x",
        ";x=/web/login",
        ".",
        "..",
        "/.",
        "/..",
        "/../manager",
        "%20",
        "%09",
        "%0a",
        "%0d%0a",
        "%00",
        "%00.png",
        "%2f",
        "%3f",
        "%3fx",
        "%23",
        "%3b",
        "%2e",
        "/x",
        "/static/x.js",
        ".js",
        "%",
        "%zz",
        "*",
        "~",
        " ",
        "\t",
        "\u{e9}",
        "%c3%a9",
        ":8069",
        "@",
        ",",
        "|",
    ]
    .map(|end| format!("{page}{end}"))
    .into()
}

/// A language or something else before it. The code of a language in addresses is free text.
fn before(page: &str) -> Vec<String> {
    [
        "/fr",
        "/fr_BE",
        "/fr-be",
        "/FR",
        "/en_US",
        "/zh_HANS",
        "/sr@latin",
        "/sr%40latin",
        "/%66r",
        "//fr/",
        "/fr/",
        "/de%2f",
        "/deutsch",
        "/web",
        "/x;y",
        "/fr%20",
    ]
    .map(|start| format!("{start}{page}"))
    .into()
}

/// Targets that are no path: with a scheme, with an authority, without a slash.
fn absolute(page: &str, host: &str) -> Vec<String> {
    let (bare, encoded) = (page.trim_start_matches('/'), page.replace('e', "%65"));
    vec![
        bare.to_owned(),
        format!("/{bare}#"),
        format!("*{page}"),
        format!("?{page}"),
        format!("http://{host}{page}"),
        format!("HTTP://{host}{page}"),
        format!("https://{host}{page}"),
        format!("http://{host}:80{page}"),
        format!("http://{host}/{page}"),
        format!("http://{host}{encoded}"),
        format!("http://{host}/fr{page}"),
        format!("http://user@{host}{page}"),
        format!("http:{page}"),
        format!("http://{page}"),
        format!("x:{page}"),
        format!("x://{host}{page}"),
        format!("//{host}{page}"),
        format!("//{host}:80/{page}"),
    ]
}

/// Letters that some servers take for ASCII.
fn other_alphabets(page: &str) -> Vec<String> {
    let wide = |character: char| {
        let wide = u32::from(character).checked_add(0xfee0).and_then(char::from_u32);
        if character.is_ascii_lowercase() { wide.unwrap_or(character) } else { character }
    };
    let encoded = |text: &str| -> String {
        let byte =
            |byte: u8| if byte.is_ascii() { char::from(byte).to_string() } else { format!("%{byte:02x}") };
        text.bytes().map(byte).collect()
    };
    let wide: String = page.chars().map(wide).collect();
    vec![
        encoded(&wide),
        page.replace('w', "%c1%b7"),
        page.replace('/', "%c0%af"),
        page.replace('a', "%c1%a1"),
        page.replace('s', "%c5%bf"),
        page.replace('a', "a%cc%81"),
        page.replace('e', "e%e2%80%8b"),
        page.replace('e', "e%ad"),
        format!("%ef%bb%bf{page}"),
        format!("/%ef%bb%bf{page}"),
    ]
}

/// Several of these at once, the same in every run.
fn mixed() -> Vec<String> {
    let starts = ["", "/fr", "//", "/%65n", "/deutsch/"];
    let webs = ["/web", "/%77eb", "//w%65b", "/%57eb", "/WEB"];
    let databases = ["/database", "//%64atabase", "/d%61tab%61se", "/DataBase", "/%64%61%74%61%62%61%73%65"];
    let ends = ["/manager", "//m%61nager/", "/selector?x=1", "%20/drop", ";x/list"];
    let mut all = Vec::new();
    for (number, start) in starts.iter().enumerate() {
        for (step, web) in webs.iter().enumerate() {
            for (stride, database) in databases.iter().enumerate() {
                let end = ends.get((number + step + stride) % ends.len()).copied().unwrap_or_default();
                all.push(format!("{start}{web}{database}{end}"));
            }
        }
    }
    all
}

fn title(page: &str) -> String {
    let mut last = '/';
    let raise = |character: char| {
        let raised = if last == '/' { character.to_ascii_uppercase() } else { character };
        last = character;
        raised
    };
    page.chars().map(raise).collect()
}

/// Whether Odoo's server would find the manager under a target: percent-encoding decoded once, slashes standing alone,
/// one language before it. Case does not matter here, and neither does what follows the word: nothing that comes so
/// close may pass. Source: Werkzeug 0.16 to 3.1 `serving.py`, `make_environ`, and its `merge_slashes`.
pub fn reaches_manager(target: &str) -> bool {
    let origin = match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => {
            rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
        }
        _ => target,
    };
    let raw = origin.split(['?', '#']).next().unwrap_or_default();
    let mut path = vec![b'/'];
    let mut bytes = raw.as_bytes().iter();
    while let Some(&byte) = bytes.next() {
        let code = bytes.as_slice().first_chunk::<2>().and_then(|code| str::from_utf8(code).ok());
        let code = code.and_then(|code| u8::from_str_radix(code, 16).ok()).filter(|_| byte == b'%');
        if code.is_some() {
            bytes.nth(1);
        }
        let byte = code.unwrap_or(byte).to_ascii_lowercase();
        if byte != b'/' || path.last() != Some(&b'/') {
            path.push(byte);
        }
    }
    let after_first = path.iter().skip(1).position(|&byte| byte == b'/').and_then(|at| path.get(at + 1..));
    [Some(&path[..]), after_first].into_iter().flatten().any(|path| {
        let rest = path.strip_prefix(b"/web/database");
        rest.is_some_and(|rest| {
            !rest.first().is_some_and(|next| next.is_ascii_alphanumeric() || *next == b'_')
        })
    })
}

/// Sends a target as GET and as POST over HTTP/1, exactly as written, and over HTTP/2; returns the answers over HTTP/1.
///
/// # Errors
/// When there is no connection. One that is cut off is a refusal.
pub async fn send_spelling(address: SocketAddr, host: &str, target: &str) -> io::Result<Vec<Vec<u8>>> {
    // No password: where this does get through to an Odoo, it must not do any work there. And it is refused by its body
    // on any path.
    const FORM: &str = "name=no_such_database";
    let answers = vec![
        get_spelling(address, host, target).await?,
        send(address, &format!("POST {target} HTTP/1.1"), host, FORM).await?,
    ];
    let fields = [(":method", "GET"), (":scheme", "http"), (":authority", host), (":path", target)];
    Frames::request(&fields, &[]).outcome(address).await;
    Ok(answers)
}

/// Sends a target as GET over HTTP/1, exactly as written, and returns the answer.
///
/// # Errors
/// When there is no connection. One that is cut off is a refusal.
pub async fn get_spelling(address: SocketAddr, host: &str, target: &str) -> io::Result<Vec<u8>> {
    send(address, &format!("GET {target} HTTP/1.1"), host, "").await
}

async fn send(address: SocketAddr, line: &str, host: &str, form: &str) -> io::Result<Vec<u8>> {
    let length = form.len();
    let request = format!(
        "{line}\r\nHost: {host}\r\nConnection: close\r\nAccept: text/html\r\nContent-Length: {length}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\n{form}"
    );
    match raw_exchange(address, request).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(Vec::new()),
        answered => answered,
    }
}
