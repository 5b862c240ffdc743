//! Replacing the program under load.

use crate::Failure;
use crate::fleet::{Workers, backend};
use crate::gateway::Gateway;
use crate::load::Load;
use crate::process::{Process, signal};
use crate::report::{Figure, Unit};
use rustix::process::Signal;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::time::sleep;

const TENANTS: u32 = 1_000;
/// Times that the program is replaced.
const UPGRADES: u32 = 3;
/// Connections that are kept between requests.
const KEPT_CONNECTIONS: u32 = 32;
/// Connections at once that serve one request each.
const SINGLE_CONNECTIONS: u32 = 4;
/// For an old process to end.
const ENDING_TIMEOUT: Duration = Duration::from_secs(40);
const PAUSE: Duration = Duration::from_millis(20);
/// Load before, between and after the upgrades.
const QUIET_TIME: Duration = Duration::from_secs(1);

/// Requests of which a byte was sent and that got no whole good answer. An answer with `Connection: close` is a good
/// one; the client then opens another connection, as it does when it finds a kept one closed before it sends.
pub(crate) async fn under_load() -> Result<Vec<Figure>, Failure> {
    let odoo = backend(TENANTS, Workers::Threaded).await?;
    let mut gateway = Gateway::start(TENANTS, &odoo).await?;
    let kept = gateway.load(KEPT_CONNECTIONS);
    let single = Load { connections: SINGLE_CONNECTIONS, single_use: true, ..kept };
    let upgrades = single.run_while(replace(&mut gateway));
    let ((inner, single), kept) = match kept.run_while(upgrades).await? {
        (Ok(inner), kept) => (inner, kept),
        (Err(failure), _) => return Err(failure),
    };
    inner?;
    let tally = kept.and(single);
    eprintln!(
        "   {UPGRADES} upgrades, {} requests answered, {} kept connections closed by the gateway",
        tally.done,
        kept.reconnects.saturating_sub(KEPT_CONNECTIONS)
    );
    Ok(vec![Figure { name: "upgrade_failed_requests", value: tally.failed.into(), unit: Unit::Count }])
}

async fn replace(gateway: &mut Gateway) -> Result<(), Failure> {
    let mut pid = gateway.until_serving(None).await?;
    sleep(QUIET_TIME).await;
    for _ in 0..UPGRADES {
        signal(pid, Signal::QUIT)?;
        let next = gateway.until_serving(Some(pid)).await?;
        until_ended(&mut gateway.process, pid).await?;
        eprintln!("   process {pid} was replaced by {next}");
        pid = next;
        sleep(QUIET_TIME).await;
    }
    Ok(())
}

async fn until_ended(first: &mut Process, pid: u32) -> Result<(), Failure> {
    let deadline = Instant::now() + ENDING_TIMEOUT;
    loop {
        // The first process is a child of this one and stays as a zombie until it is waited for.
        let running =
            if first.id() == pid { first.runs()? } else { Path::new(&format!("/proc/{pid}")).exists() };
        if !running {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("the replaced process still runs after {ENDING_TIMEOUT:?}").into());
        }
        sleep(PAUSE).await;
    }
}
