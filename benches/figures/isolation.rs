//! A million requests of two tenants that attack each other at random, before two stand-in servers that hold both.
//!
//! What is sent and what must hold of it is in `fleetgate_tests::isolation`; the seeds are new in every run.

use crate::Failure;
use crate::front::Front;
use crate::report::{Figure, Unit};
use fleetgate_tests::isolation::{TENANTS, Trial, main_file, servers};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Requests in all.
const REQUESTS: u64 = 1_000_000;
/// Requests of one seed.
const ROUND: u64 = 50_000;
const CLIENTS: usize = 64;

/// How many requests were sent, and how many met the wrong tenant.
pub(crate) async fn measure() -> Result<Vec<Figure>, Failure> {
    let servers = servers().await?;
    let gateway = Front::start(&main_file(&servers), TENANTS).await?;
    let first = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())?;
    let (mut sent, mut leaks) = (0, 0);
    for seed in first.. {
        let started = Instant::now();
        let (gateway, servers) = (gateway.address, servers.as_slice());
        let trial = Trial { gateway, servers, seed, requests: ROUND, clients: CLIENTS };
        let outcome = trial.run().await;
        outcome.shown.iter().for_each(|text| eprintln!("{text}"));
        sent += outcome.sent;
        leaks += outcome.leaks;
        eprintln!(
            "   seed {seed}: {} sent in {:.1} s, {} over HTTP/2; {} received, {:?} answered, {} refused, {} silent, {} leaks",
            outcome.sent,
            started.elapsed().as_secs_f64(),
            outcome.over_http2,
            outcome.received,
            outcome.answered,
            outcome.refused,
            outcome.silent,
            outcome.leaks
        );
        let [acme, globex] = outcome.answered;
        if acme.min(globex) < ROUND / 5 {
            return Err(format!("hardly a request was answered: {outcome:?}").into());
        }
        if sent >= REQUESTS {
            break;
        }
    }
    let count = |name, value: u64| {
        Ok::<_, Failure>(Figure { name, value: f64::from(u32::try_from(value)?), unit: Unit::Count })
    };
    Ok(vec![count("isolation_requests", sent)?, count("isolation_leaks", leaks)?])
}
