//! A user in Chromium, over whom the regions change.

use std::process::Stdio;
use std::time::Duration;

use fleetgate_tests::{Lines, odoo_script, wait_for};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, Command};

use crate::site::Site;

/// For one step of the script, on a busy machine.
const STEP: Duration = Duration::from_secs(120);

/// A script such as `moved.mjs`, which tells where it is and waits to be told that it may go on.
pub(crate) struct Browser {
    _child: Child,
    input: ChildStdin,
    output: Lines,
}

impl Browser {
    pub(crate) fn start(name: &str, site: &Site, gateway: std::net::SocketAddr) -> Self {
        let mut command = Command::new(site.program("node/node"));
        command.arg(odoo_script(name)).arg(gateway.to_string()).env("FLEETGATE_LAB", &site.lab);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
        let mut child = command.spawn().expect("the lab has node");
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { _child: child, input, output: Lines::follow(output) }
    }

    /// Waits until it says something.
    pub(crate) async fn says(&self, text: &str) {
        wait_for(&format!("the browser {text}"), STEP, async || {
            let said = self.output.text();
            assert!(!said.contains("STUCK"), "{said}");
            said.contains(text)
        })
        .await;
        println!("ok browser {text}");
    }

    /// Lets it go on.
    pub(crate) async fn go_on(&mut self) {
        self.tell("").await;
    }

    /// Says something to it.
    pub(crate) async fn tell(&mut self, line: &str) {
        self.input.write_all(format!("{line}\n").as_bytes()).await.expect("the script waits");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the browser said:\n{}", self.output.text());
        }
    }
}
