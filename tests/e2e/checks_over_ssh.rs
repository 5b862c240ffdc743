//! The check of a copied folder, run over ssh as its documentation says, by a real server.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use fleetgate_tests::{DEADLINE, free_address, wait_for};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::region_checks::{Fleet, check, check_is, script};
use crate::regions::served_by;

/// Where Debian has the server.
const SSHD: &str = "/usr/sbin/sshd";

/// A server with keys of its own. Ended when dropped.
struct Sshd {
    folder: TempDir,
    address: SocketAddr,
    server: Child,
}

impl Sshd {
    /// Starts it, with what a client needs in a file `client`.
    async fn start() -> Self {
        assert!(Path::new(SSHD).is_file(), "no {SSHD}: install the Debian package openssh-server");
        let (folder, address) = (tempfile::tempdir().unwrap(), free_address());
        let path = |name: &str| folder.path().join(name).display().to_string();
        for name in ["host", "user"] {
            run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &path(name)]));
        }
        let (port, user) = (address.port(), run(Command::new("id").arg("-un")));
        let server = format!(
            "ListenAddress {address}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\nUsePAM no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\n",
            path("host"),
            path("user.pub"),
        );
        // In the words of the documentation, but for the port.
        let client = format!(
            "Host dublin\n  HostName {}\n  Port {port}\n  User {}\n  IdentityFile {}\n  UserKnownHostsFile {}\n  \
             BatchMode yes\n  ConnectTimeout 5\n  LogLevel ERROR\n",
            address.ip(),
            user.trim(),
            path("user"),
            path("known"),
        );
        fs::write(path("server"), server).unwrap();
        fs::write(path("client"), client).unwrap();
        // Debian's unit makes it; nothing is kept there.
        if rustix::process::getuid().is_root() {
            fs::create_dir_all("/run/sshd").unwrap();
        }
        let mut command = Command::new(SSHD);
        command.args(["-D", "-e", "-f", &path("server")]).stdin(Stdio::null()).stderr(Stdio::null());
        let server = command.spawn().unwrap();
        let started = Self { folder, address, server };
        wait_for("sshd listens", DEADLINE, async || TcpStream::connect(address).await.is_ok()).await;
        started.know(Ipv4Addr::LOCALHOST, "host");
        started
    }

    /// Has clients know the host at an address by a key.
    fn know(&self, address: Ipv4Addr, key: &str) {
        let key = fs::read_to_string(self.folder.path().join(format!("{key}.pub"))).unwrap();
        fs::write(self.folder.path().join("known"), format!("[{address}]:{} {key}", self.address.port()))
            .unwrap();
    }

    fn end(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        // A test may have ended it.
        let _ended = self.server.kill();
        let _waited = self.server.wait();
    }
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The command that the script's documentation gives, for this client, script and folder.
fn documented(client: &Path, filestore: &Path) -> String {
    let text = fs::read_to_string(script()).unwrap();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("#   command: "));
    let command = lines.next().expect("the script says how it is run over ssh");
    let mut changed = command.to_owned();
    for (said, here) in [
        ("/etc/fleetgate/ssh ", format!("{} ", client.display())),
        ("/usr/local/lib/fleetgate/replicated-folder", script().display().to_string()),
        ("/srv/odoo/filestore", filestore.display().to_string()),
    ] {
        assert!(changed.contains(said), "{command} names no {said}");
        changed = changed.replace(said, &here);
    }
    changed
}

#[tokio::test(flavor = "multi_thread")]
async fn the_check_of_a_copy_runs_over_ssh_and_says_what_ssh_has_to_complain_of() {
    let (fleet, mut sshd) = (Fleet::new().await, Sshd::start().await);
    let client = sshd.folder.path().join("client");
    let gateway = fleet.gateway_with("", |filestore| documented(&client, filestore)).start().await;
    served_by(&gateway, "paris-1").await;
    check_is(&gateway, 0, "passing").await;
    check_is(&gateway, 1, "failing").await;
    let says = async |region: usize, words: &str| {
        wait_for(words, DEADLINE, async || {
            check(&gateway, region).await["saw"].as_str().is_some_and(|saw| saw.contains(words))
        })
        .await;
    };
    says(0, "the marker is written").await;
    says(1, "nothing was copied here yet").await;
    fleet.copy("paris", "dublin");
    check_is(&gateway, 1, "passing").await;
    // A host that is not known, one that has another key, and none at all.
    sshd.know(Ipv4Addr::BROADCAST, "host");
    says(0, "Host key verification failed").await;
    sshd.know(Ipv4Addr::LOCALHOST, "user");
    says(0, "REMOTE HOST IDENTIFICATION HAS CHANGED").await;
    check_is(&gateway, 0, "failing").await;
    sshd.know(Ipv4Addr::LOCALHOST, "host");
    check_is(&gateway, 0, "passing").await;
    sshd.end();
    says(0, "Connection refused").await;
}
