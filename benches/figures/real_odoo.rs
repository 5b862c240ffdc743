//! A real Odoo 19 with two workers and two databases, as the tests of this repository set it up.

use crate::Failure;
use crate::peers::Route;
use fleetgate_tests::psql;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A running Odoo and its PostgreSQL. Ended when dropped, unless it ran before.
#[derive(Debug)]
pub(crate) struct RealOdoo {
    /// The HTTP port, which the workers share.
    pub(crate) http: SocketAddr,
    /// The gevent port.
    pub(crate) gevent: SocketAddr,
    lab: PathBuf,
    postgres_port: u16,
    ours: bool,
}

impl RealOdoo {
    /// Installs what is missing and starts it; the first time takes minutes.
    pub(crate) fn start() -> Result<Self, Failure> {
        fleet("get")?;
        let said = fleet("up")?;
        let lab = std::env::var_os("FLEETGATE_LAB").map_or_else(default_lab, PathBuf::from);
        let facts = std::fs::read_to_string(lab.join("run/fleet.env"))?;
        let port = |name: &str| {
            let port = facts.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            port.and_then(|port| port.parse::<u16>().ok()).ok_or(format!("no {name} in fleet.env"))
        };
        let address = |name| port(name).map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        Ok(Self {
            http: address("HTTP_PORT")?,
            gevent: address("GEVENT_PORT")?,
            postgres_port: port("PG_PORT")?,
            lab,
            ours: !said.contains("already up"),
        })
    }

    /// Hosts of the two databases.
    pub(crate) fn routes() -> [Route; 2] {
        ["acme", "globex"]
            .map(|database| Route { host: format!("{database}.example.com"), database: database.to_owned() })
    }

    /// Makes a public attachment of so many bytes in the database of acme, and returns its path. It is a file of a
    /// module, so that a worker has to send it: the filestore is left to the front end (`--x-sendfile`).
    pub(crate) fn attachment(&self, bytes: u32) -> Result<String, Failure> {
        let (module, file) = ("dbfilter_from_header", "slow-download.bin");
        let folder = self.lab.join("addons/odoo/addons").join(module).join("static");
        std::fs::write(folder.join(file), vec![b'x'; usize::try_from(bytes)?])?;
        let sql = format!(
            "delete from ir_attachment where name = '{file}';
             insert into ir_attachment (name, type, public, mimetype, url)
             values ('{file}', 'url', true, 'application/octet-stream', '/{module}/static/{file}') returning id"
        );
        let id = output(&mut psql(self.postgres_port, "odoo", "acme", &sql))?;
        Ok(format!("/web/content/{}/{file}?download=true", id.trim()))
    }
}

impl Drop for RealOdoo {
    fn drop(&mut self) {
        if self.ours
            && let Err(failure) = fleet("down")
        {
            eprintln!("Odoo may still run: {failure}");
        }
    }
}

fn default_lab() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../.lab")
}

fn fleet(command: &str) -> Result<String, Failure> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/real/odoo/fleet.sh");
    output(Command::new(script).arg(command))
}

fn output(command: &mut Command) -> Result<String, Failure> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout)?);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{:?} ended with {}:\n{said}", command.get_program(), output.status).into())
}
