//! Changes of limits: how long until a request is judged by the new ones.

use crate::Failure;
use crate::fleet::{Workers, backend};
use crate::gateway::Gateway;
use crate::reload::status;
use crate::report::{Figure, Unit, median};
use std::time::{Duration, Instant};

const WIDE: &str = "{ requests_per_second: 1000000, burst: 10000000 }";
/// The second request in an hour is refused.
const NARROW: &str = "{ requests_per_second: 1, burst: 1 }";
/// Changes of either kind; the median counts.
const CHANGES: u32 = 21;
/// For a change to be seen.
const PATIENCE: Duration = Duration::from_secs(10);

/// From a file that is in its place, and from a call of the admin API, to the first request that is judged anew.
pub(crate) async fn durations() -> Result<Vec<Figure>, Failure> {
    let odoo = backend(1, Workers::Threaded).await?;
    let gateway = Gateway::start_starred(1, &odoo, WIDE).await?;
    let figure = |name, value| Figure { name, value, unit: Unit::Milliseconds };
    Ok(vec![
        figure("limit_change_ms", changes(&gateway, false).await?),
        figure("limit_change_by_reload_ms", changes(&gateway, true).await?),
    ])
}

async fn changes(gateway: &Gateway, told: bool) -> Result<f64, Failure> {
    let mut times = Vec::new();
    for turn in 0..CHANGES {
        let (limits, expected) = if turn.is_multiple_of(2) { (NARROW, 429) } else { (WIDE, 200) };
        gateway.set_limits(limits)?;
        let started = Instant::now();
        if told {
            gateway.reload().await?;
        }
        while status(gateway.address, 0).await? != expected {
            if started.elapsed() > PATIENCE {
                return Err(format!("no request was judged by {limits}").into());
            }
        }
        times.push(started.elapsed().as_secs_f64() * 1_000.0);
    }
    eprintln!("   each: {}", times.iter().map(|ms| format!("{ms:.1} ms")).collect::<Vec<_>>().join(", "));
    gateway.set_limits(WIDE)?;
    gateway.reload().await?;
    Ok(median(times).ok_or("no change was timed")?)
}
