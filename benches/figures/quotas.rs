//! Quotas: what is lost of what was counted when the process is killed.

use crate::Failure;
use crate::fleet::{Workers, backend, name};
use crate::gateway::Gateway;
use crate::load::Tally;
use crate::report::{Figure, Unit};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// A quota that nobody uses up.
const LIMITS: &str = "{ quotas: { requests_per_month: 4000000000 } }";
const QUOTA: &str = "requests_per_month";
/// Requests to count, if there is the time.
const GOAL: u64 = 1_000_000;
/// For all of them.
const TIME: Duration = Duration::from_secs(170);
/// Between two kills.
const ROUND: Duration = Duration::from_secs(8);
/// Few: what a kill leaves unanswered was counted too, and must not hide what is lost.
const CONNECTIONS: u32 = 8;

/// Requests that were answered and that the gateway does not know of after kills in the middle of a load.
pub(crate) async fn over_kills() -> Result<Vec<Figure>, Failure> {
    let odoo = backend(1, Workers::Threaded).await?;
    let mut gateway = Gateway::start_starred(1, &odoo, LIMITS).await?;
    let (started, mut answered, mut counted, mut lost, mut kills) = (Instant::now(), 0, 0, 0, 0);
    while answered < GOAL && started.elapsed() < TIME {
        let load = gateway.load(CONNECTIONS);
        let killed = async {
            sleep(ROUND).await;
            gateway.killed_and_restarted().await
        };
        let (restarted, Tally { done, .. }) = load.run_while(killed).await?;
        gateway = restarted?;
        kills += 1;
        answered += u64::from(done);
        counted = gateway.used(&name(0), QUOTA).await?;
        lost = lost.max(answered.saturating_sub(counted));
        let served = odoo.counts().requests;
        eprintln!("   {kills} kills: {answered} answered, {counted} counted, {served} served");
        if counted > served {
            return Err(format!("{counted} requests are counted, but {served} were served").into());
        }
    }
    let figure = |name, value: u64| {
        let value = u32::try_from(value)?;
        Ok::<_, Failure>(Figure { name, value: value.into(), unit: Unit::Count })
    };
    Ok(vec![figure("counters_lost_kill9", lost)?, figure("counters_counted", counted)?])
}
