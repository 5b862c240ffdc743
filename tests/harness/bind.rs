//! A real DNS server: BIND, for one zone that may be changed with a key.

use std::ffi::OsStr;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use crate::peer::Peer;

/// Name of the key that may change TXT records of the zone.
pub const KEY_NAME: &str = "fleetgate";
/// The key, in base64: a throw-away.
pub const KEY_SECRET: &str = "bm90IGEgc2VjcmV0LCBidXQgYSBrZXkgZm9yIHRlc3Rz";

/// A running BIND. Ends with its last owner.
#[derive(Debug)]
pub struct Bind {
    address: SocketAddr,
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
        ];
        for (path, text) in files {
            fs::write(path, text).unwrap_or_else(|error| panic!("cannot write a file for BIND: {error}"));
        }
        let arguments = ["-f", "-g", "-n", "1", "-c"].map(OsStr::new);
        let arguments: Vec<&OsStr> = arguments.into_iter().chain([path.as_os_str()]).collect();
        let server = Peer::start("named", "bind9", &arguments, folder, &[address]).await;
        Self { address, server }
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
         update-policy {{ grant {KEY_NAME} wildcard *.test. TXT; }};\n}};\n"
    )
}

fn zone(every_name: IpAddr) -> String {
    format!(
        "$ORIGIN test.\n$TTL 1\n@ IN SOA ns.test. hostmaster.test. ( 1 3600 600 604800 1 )\n@ IN NS ns.test.\n\
         ns IN A {every_name}\n* IN A {every_name}\n*.odoo IN A {every_name}\nelsewhere IN A 192.0.2.1\n"
    )
}
