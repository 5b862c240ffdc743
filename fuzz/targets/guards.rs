//! The guards: what passes asks for no hidden route and names no other database, however it is spelled.

use fleetgate_core::client_certificate::Proof;
use fleetgate_core::config::{Fleet, MainFile, NoReferences, compile};
use fleetgate_core::guard::BodyLength;
use fleetgate_core::host::HostKey;
use fleetgate_core::odoo::OdooVersion;
use fleetgate_core::request::Target;
use fleetgate_core::verdict::{RequestView, Verdict, admit};
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::OnceLock;

/// Words of a target.
pub const WORDS: [&str; 36] = [
    "/",
    "//",
    "?",
    "&",
    "=",
    "%2f",
    "%25",
    "%64",
    "%62",
    "+",
    ";",
    "/fr",
    "/deutsch",
    "/web",
    "/database",
    "/manager",
    "/%77eb",
    "/d%61tabase",
    "/WEB",
    "/tests",
    "/filestore/",
    "/queue_job/runjob",
    "db",
    "dbname",
    "d%62",
    "acme",
    "zen",
    "session_id",
    "/auth_oauth/signin",
    "state",
    "%7B%22d%22:%22acme%22%7D",
    "%7B%22d%22:%22zen%22%7D",
    "%22d%22:%22zen%22,",
    "%5cu0064",
    "/mail/tracking/open/",
    "/logo.png",
];

/// Where nobody may get to.
const HIDDEN: [&str; 9] = [
    "/web/database",
    "/web/tests",
    "/web/filestore",
    "/web/proxy/post",
    "/base_import_module/login_upload",
    "/queue_job/runjob",
    "/queue_job/create_test_job",
    "/connector/runjob",
    "/monitoring/status",
];

/// The first byte chooses the version of Odoo, the others are the target of a GET.
pub fn targets(input: &[u8]) {
    let Some((choice, target)) = input.split_first() else { return };
    let all = OdooVersion::ALL;
    let Some(version) = all.get(usize::from(*choice) % all.len()) else { return };
    let Ok(parsed) = Target::parse(target) else { return };
    let authority = format!("v{}.test", version.as_str());
    let Ok((host, _)) = HostKey::parse(authority.as_bytes()) else { return };
    let view = RequestView {
        host: &host,
        path: &parsed.path,
        query: parsed.query.unwrap_or_default(),
        safe_method: true,
        body: BodyLength::None,
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        server_name: None,
        proof: Proof::NotNeeded,
    };
    let Verdict::Forward(_) = admit(fleet(), &view) else { return };
    let path = decoded(parsed.path.as_bytes(), false);
    assert!(!is_hidden(&path), "{path} passes");
    let state = path.trim_end_matches('/') == "/auth_oauth/signin";
    for pair in parsed.query.unwrap_or_default().as_bytes().split(|&byte| byte == b'&') {
        let mut halves = pair.splitn(2, |&byte| byte == b'=');
        let mut half = || decoded(halves.next().unwrap_or_default(), true);
        let (name, value) = (half(), half());
        match name.as_str() {
            "db" | "dbname" => assert!(value.is_empty() || value == "acme", "{name}={value} passes"),
            "session_id" => assert!(*version > OdooVersion::V17, "a session passes"),
            "state" if state => assert!(is_own_state(&value), "the state {value} passes"),
            _ => {}
        }
    }
}

/// A tenant of each version, all with the database `acme`.
fn fleet() -> &'static Fleet {
    static FLEET: OnceLock<Fleet> = OnceLock::new();
    FLEET.get_or_init(|| {
        let mut pools = String::new();
        let mut tenants = String::new();
        for version in OdooVersion::ALL {
            pools += &format!(
                "  {}: {{ odoo_version: \"{version}\", database_selection: host, \
                 regions: {{ eu: {{ backends: [ {{ http: \"192.0.2.9:8069\" }} ] }} }} }}\n",
                pool(version)
            );
            tenants += &format!(
                "  - {{ id: {0}, hosts: [v{version}.test], database: acme, pool: {0} }}\n",
                pool(version)
            );
        }
        let text = format!(
            "listeners: [ {{ address: \"127.0.0.1:0\" }} ]\nregions: [ {{ name: eu }} ]\npools:\n{pools}tenants:\n{tenants}"
        );
        let (main, problems) = MainFile::parse("fuzz.yaml", &text, &NoReferences, 1);
        assert!(problems.is_empty(), "{problems:#?}");
        compile(&main, &[]).config.map(|config| config.fleet).unwrap_or_default()
    })
}

fn pool(version: OdooVersion) -> String {
    version.as_str().replace('.', "_")
}

/// What a text stands for, percent-decoded once by another hand than the gateway's: cut at each percent sign.
pub(crate) fn decoded(raw: &[u8], plus: bool) -> String {
    let text = String::from_utf8_lossy(raw);
    let text = if plus { text.replace('+', " ") } else { text.into_owned() };
    let mut pieces = text.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let code = piece.get(..2).filter(|code| code.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend_from_slice(piece.get(2..).unwrap_or_default().as_bytes());
            }
            None => bytes.extend_from_slice(format!("%{piece}").as_bytes()),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether Odoo would find a hidden route: by itself, or behind a language of any name.
fn is_hidden(path: &str) -> bool {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let starts = |segments: &[&str]| {
        HIDDEN.iter().any(|route| {
            let route: Vec<&str> = route.split('/').skip(1).collect();
            segments.starts_with(&route)
        })
    };
    starts(&segments) || segments.get(1..).is_some_and(starts)
}

/// Whether a JSON object names the own database, or none. What is no object is of no use to Odoo.
fn is_own_state(state: &str) -> bool {
    let parsed: Option<Value> = serde_json::from_str(state).ok();
    parsed.as_ref().and_then(|value| value.get("d")).is_none_or(|name| name == "acme")
}
