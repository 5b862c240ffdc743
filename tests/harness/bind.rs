//! A real DNS server: BIND, for one zone that may be changed with a key, and one whose names a test moves.

use std::ffi::OsStr;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::Signal;

use crate::peer::Peer;

/// File of the zone that a test moves.
const FLEET_ZONE: &str = "fleet.zone";
/// Name of the key that may change TXT records of the zone.
pub const KEY_NAME: &str = "fleetgate";
/// The key, in base64: a throw-away.
pub const KEY_SECRET: &str = "bm90IGEgc2VjcmV0LCBidXQgYSBrZXkgZm9yIHRlc3Rz";

/// A running BIND. Ends with its last owner.
#[derive(Debug)]
pub struct Bind {
    address: SocketAddr,
    folder: PathBuf,
    changes: AtomicU32,
    server: Peer,
}

impl Bind {
    /// Starts BIND with the zone `test`, in which every name leads to an address.
    ///
    /// BIND listens on addresses that an interface names, so on no own one; its port is below those that the kernel gives.
    pub async fn start(every_name: IpAddr) -> Self {
        let port = u16::try_from(16_384 + std::process::id() % 16_000).unwrap_or_default();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        let path = folder.path().join("named.conf");
        let files = [
            (path.clone(), config(folder.path(), address)),
            (folder.path().join("test.zone"), zone(every_name)),
            (folder.path().join(FLEET_ZONE), fleet_zone(1, &[])),
        ];
        for (path, text) in files {
            fs::write(path, text).unwrap_or_else(|error| panic!("cannot write a file for BIND: {error}"));
        }
        let arguments = ["-f", "-g", "-n", "1", "-c"].map(OsStr::new);
        let arguments: Vec<&OsStr> = arguments.into_iter().chain([path.as_os_str()]).collect();
        let path = folder.path().to_owned();
        let server = Peer::start("named", "bind9", &arguments, folder, &[address]).await;
        Self { address, folder: path, changes: AtomicU32::new(1), server }
    }

    /// Makes these the only names of the zone `fleet`, each with an address, and a TTL of a second.
    pub fn lead(&self, names: &[(&str, &str)]) {
        let serial = self.changes.fetch_add(1, Ordering::Relaxed) + 1;
        let written = fs::write(self.folder.join(FLEET_ZONE), fleet_zone(serial, names));
        written.unwrap_or_else(|error| panic!("cannot write a zone: {error}"));
        self.server.signal(Signal::HUP);
    }

    /// Where it is asked.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it said.
    pub fn log(&self) -> String {
        self.server.log().text()
    }
}

fn config(folder: &Path, listen: SocketAddr) -> String {
    let (folder, address, port) = (folder.display(), listen.ip(), listen.port());
    format!(
        "controls {{ }};\n\
         key \"{KEY_NAME}\" {{ algorithm hmac-sha256; secret \"{KEY_SECRET}\"; }};\n\
         options {{\n  directory \"{folder}\";\n  pid-file \"named.pid\";\n  session-keyfile \"session.key\";\n  \
         managed-keys-directory \".\";\n  listen-on port {port} {{ {address}; }};\n  listen-on-v6 {{ none; }};\n  \
         recursion no;\n  dnssec-validation no;\n  notify no;\n}};\n\
         zone \"test\" {{\n  type primary;\n  file \"test.zone\";\n  \
         update-policy {{ grant {KEY_NAME} wildcard *.test. TXT; }};\n}};\n\
         zone \"fleet\" {{\n  type primary;\n  file \"{FLEET_ZONE}\";\n}};\n"
    )
}

fn fleet_zone(serial: u32, names: &[(&str, &str)]) -> String {
    let records: String = names.iter().map(|(name, address)| format!("{name} IN A {address}\n")).collect();
    format!(
        "$ORIGIN fleet.\n$TTL 1\n@ IN SOA ns.fleet. hostmaster.fleet. ( {serial} 3600 600 604800 1 )\n\
         @ IN NS ns.fleet.\nns IN A 127.0.0.1\n{records}"
    )
}

fn zone(every_name: IpAddr) -> String {
    format!(
        "$ORIGIN test.\n$TTL 1\n@ IN SOA ns.test. hostmaster.test. ( 1 3600 600 604800 1 )\n@ IN NS ns.test.\n\
         ns IN A {every_name}\n* IN A {every_name}\n*.odoo IN A {every_name}\nelsewhere IN A 192.0.2.1\n"
    )
}
