//! What clients that abuse HTTP/2 cost: the abuses of `tests/real/http2/abuse.py`, one after the other, beside a client
//! that does not.

use crate::Failure;
use crate::front::{Front, before};
use crate::report::{Figure, Unit};
use fleetgate_stub::{StubOdoo, StubOptions};
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::timeout;

/// For all abuses, some of which wait for a clock of the gateway.
const PATIENCE: Duration = Duration::from_secs(400);
/// Short clocks, so that the abuses that wait for them end soon.
const CLOCKS: &str =
    "connections: { head_timeout: 2s, idle_timeout: 4s, patience: 4s, bytes_per_second_min: 30000 }\n";
/// The one tenant, with the host that the abuses ask for.
const TENANT: &str = "- { id: acme, hosts: [acme.test] }\n";

pub(crate) async fn measure() -> Result<Vec<Figure>, Failure> {
    let odoo =
        StubOdoo::start(StubOptions { received_max: 0, ..StubOptions::new("stub", ["acme"]) }.threaded())
            .await?;
    let front = Front::start(&format!("{CLOCKS}{}", before(&odoo)), TENANT).await?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut command = Command::new(root.join("target/tools/h2/bin/python"));
    command.arg(root.join("tests/real/http2/abuse.py"));
    command.args([front.address.to_string(), front.process.id().to_string()]);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await.map_err(|_| "the abuses did not end")?;
    let output = output.map_err(|error| format!("no h2 for Python, run `.ci/setup figures`: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    said.lines().for_each(|line| eprintln!("   {line}"));
    let report: Value = said
        .lines()
        .last()
        .map(serde_json::from_str)
        .transpose()
        .ok()
        .flatten()
        .ok_or_else(|| format!("the abuses broke off: {}", String::from_utf8_lossy(&output.stderr)))?;
    let number = |name: &str| {
        let number = report.get(name).and_then(Value::as_f64);
        number.ok_or_else(|| format!("the abuses do not say {name}"))
    };
    let wrong =
        report.get("wrong").and_then(Value::as_array).ok_or("the abuses do not say what went wrong")?;
    if !wrong.is_empty() {
        return Err(format!("not ended as they should, or nobody was served meanwhile: {wrong:?}").into());
    }
    let grown = (number("kib_highest")? - number("kib_before")?) / 1024.0;
    Ok(vec![
        Figure { name: "h2_abuse_rss_mib", value: grown, unit: Unit::Mebibytes },
        Figure { name: "h2_abuse_honest_failed", value: number("failures")?, unit: Unit::Count },
    ])
}
