//! How long a backend that died is thought to serve.

use super::{PAUSE, backend, is_well, milliseconds, pool, stand_in, tenants, until, verdict_of};
use crate::Failure;
use crate::front::Front;
use crate::process::{Process, free_address, signal};
use crate::report::Figure;
use rustix::process::Signal;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::sleep;

/// Deaths of each kind, each at another moment between two probes. The one that took longest counts.
const DEATHS: u32 = 6;
/// From one death to the next, this much later after a probe.
const SHIFT: Duration = Duration::from_millis(170);

/// From a death to the verdict `down`, by default probes: where connections are refused, and where a process is stopped
/// that still has its port.
pub(crate) async fn detection() -> Result<Vec<Figure>, Failure> {
    Ok(vec![
        milliseconds("detect_ms_refused", refused().await?),
        milliseconds("detect_ms_blackhole", stopped().await?),
    ])
}

async fn refused() -> Result<Duration, Failure> {
    let (well, mut dying) = (stand_in("well", None).await?, Some(stand_in("dying", None).await?));
    let addresses = dying.as_ref().map(|stub| (stub.http_addr(), stub.gevent_addr()));
    let (http, gevent) = addresses.ok_or("there is no stand-in")?;
    let front = front(&[backend(well.http_addr(), well.gevent_addr()), backend(http, gevent)]).await?;
    let mut longest = Duration::ZERO;
    for death in 0..DEATHS {
        until_up(&front, death).await?;
        if let Some(dying) = dying.take() {
            dying.crash().await;
        }
        longest = longest.max(until_down(&front, "refused").await?);
        dying = Some(stand_in("dying", addresses).await?);
    }
    Ok(longest)
}

async fn stopped() -> Result<Duration, Failure> {
    let (folder, well) = (pages()?, stand_in("well", None).await?);
    let address = free_address()?;
    let mut dying = serve(&folder, address)?;
    dying.until_listening(address).await?;
    let front = front(&[backend(well.http_addr(), well.gevent_addr()), backend(address, address)]).await?;
    let mut longest = Duration::ZERO;
    for death in 0..DEATHS {
        until_up(&front, death).await?;
        signal(dying.id(), Signal::STOP)?;
        longest = longest.max(until_down(&front, "stopped").await?);
        signal(dying.id(), Signal::CONT)?;
    }
    Ok(longest)
}

async fn front(backends: &[String]) -> Result<Front, Failure> {
    let regions = format!("      here: {{ backends: [ {} ] }}\n", backends.join(", "));
    Front::start(&pool(&regions, "{ name: here }"), &tenants()).await
}

async fn until_up(front: &Front, death: u32) -> Result<(), Failure> {
    until("both backends are well", async || {
        let pool = front.admin.pool().await?;
        Ok(is_well(&pool, 0) && is_well(&pool, 1))
    })
    .await?;
    sleep(SHIFT * death).await;
    Ok(())
}

async fn until_down(front: &Front, how: &str) -> Result<Duration, Failure> {
    let down = async || Ok(verdict_of(&front.admin.pool().await?, 1) == Some("down"));
    let taken = until("the backend is found out", down).await?;
    eprintln!("   {how}: {taken:?}, seen every {PAUSE:?}");
    Ok(taken)
}

/// Files at the paths that probes ask for.
fn pages() -> Result<TempDir, Failure> {
    let folder = tempfile::tempdir()?;
    for part in ["web", "websocket"] {
        fs::create_dir(folder.path().join(part))?;
        fs::write(folder.path().join(part).join("health"), r#"{"status": "pass"}"#)?;
    }
    Ok(folder)
}

/// A process of its own that serves files, to be stopped.
fn serve(folder: &TempDir, address: SocketAddr) -> Result<Process, Failure> {
    let mut command = Command::new("python3");
    command.args(["-m", "http.server", &address.port().to_string(), "--bind", &address.ip().to_string()]);
    command.arg("--directory").arg(folder.path());
    Process::start(command, &folder.path().join("log"))
}
