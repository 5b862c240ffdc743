//! Two proxies that do the same work in turn.

use crate::Failure;
use crate::load::Load;
use crate::process::Process;
use crate::report::median;
use std::time::Duration;

/// Times that both sides are measured.
const ROUNDS: usize = 11;
/// Of one side in one round.
const ROUND_TIME: Duration = Duration::from_millis(1_500);
/// Before the first round, so that pools are filled and code is in the caches.
const WARM_UP_TIME: Duration = Duration::from_secs(1);

/// A proxy to compare.
#[derive(Clone, Copy)]
pub(crate) struct Side<'a> {
    /// Name in the progress.
    pub(crate) name: &'a str,
    /// The process whose CPU time counts.
    pub(crate) process: &'a Process,
    /// The work.
    pub(crate) load: Load,
}

impl Side<'_> {
    /// CPU time per request in microseconds.
    async fn cost(self) -> Result<f64, Failure> {
        let before = self.process.cpu_time()?;
        let tally = self.load.run(ROUND_TIME).await?;
        let spent = self.process.cpu_time()?.saturating_sub(before);
        if tally.failed > 0 {
            let text = format!("{} of {} requests through {} failed", tally.failed, tally.done, self.name);
            return Err(text.into());
        }
        Ok(spent.as_secs_f64() * 1e6 / f64::from(tally.done))
    }
}

/// The median over the rounds of our CPU time per request divided by theirs.
pub(crate) async fn cpu_ratio(ours: Side<'_>, theirs: Side<'_>) -> Result<f64, Failure> {
    for side in [ours, theirs] {
        side.load.run(WARM_UP_TIME).await?;
    }
    let mut ratios = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        // Whoever goes first in one round goes last in the next: what drifts, drifts for both.
        let (our_cost, their_cost) = if round % 2 == 0 {
            let our_cost = ours.cost().await?;
            (our_cost, theirs.cost().await?)
        } else {
            let their_cost = theirs.cost().await?;
            (ours.cost().await?, their_cost)
        };
        let ratio = our_cost / their_cost;
        eprintln!(
            "   round {}: {} {our_cost:.1} us, {} {their_cost:.1} us of CPU a request, ratio {ratio:.3}",
            round + 1,
            ours.name,
            theirs.name
        );
        ratios.push(ratio);
    }
    median(ratios).ok_or_else(|| "no round was measured".into())
}
