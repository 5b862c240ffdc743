//! The primary of two regions dies under load, and its standby is promoted by hand: what the standby's backend gets before
//! that, and how soon it is used after the gateway has decided to.

use super::clients::Client;
use super::{PAUSE, TENANTS, backend, count, milliseconds, pool, stand_in, tenants, until};
use crate::Failure;
use crate::front::Front;
use crate::report::Figure;
use fleetgate_stub::StubOdoo;
use fleetgate_tests::Postgres;
use jiff::Timestamp;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::sleep;

/// Fleets that fail over. The slowest switch counts.
const OUTAGES: u32 = 3;
/// Clients, each with a connection of its own.
const CLIENTS: u32 = 8;
/// Between two requests of a client.
const ASK_PAUSE: Duration = Duration::from_millis(1);
/// Load while no database takes writes.
const DARK: Duration = Duration::from_secs(5);

pub(crate) async fn outage() -> Result<Vec<Figure>, Failure> {
    let (mut slowest, mut unpromoted) = (Duration::ZERO, 0);
    for _ in 0..OUTAGES {
        let (switch, early) = one().await?;
        slowest = slowest.max(switch);
        unpromoted += early;
    }
    Ok(vec![milliseconds("switch_ms", slowest), count("served_from_unpromoted", unpromoted)?])
}

async fn one() -> Result<(Duration, u64), Failure> {
    let (primary, standby) = spawn_blocking(|| {
        let primary = Postgres::primary();
        let standby = primary.standby();
        (Arc::new(primary), Arc::new(standby))
    })
    .await?;
    let (home, away) = (stand_in("home", None).await?, stand_in("away", None).await?);
    let region = |name: &str, stub: &StubOdoo, database: &Postgres| {
        let backend = backend(stub.http_addr(), stub.gevent_addr());
        format!("      {name}: {{ backends: [ {backend} ], postgres: \"{}\" }}\n", database.url())
    };
    let regions = region("home", &home, &primary) + &region("away", &away, &standby);
    let front =
        Front::start(&pool(&regions, "{ name: home }, { name: away, standby: true }"), &tenants()).await?;
    until("the standby is seen", async || {
        let pool = front.admin.pool().await?;
        Ok(pool.pointer("/regions/1/database/verdict").is_some_and(|verdict| verdict == "standby"))
    })
    .await?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(ask(Client::new(front.address, number % TENANTS), Arc::clone(&stop)));
    }
    spawn_blocking(move || primary.kill()).await?;
    until("requests are refused", async || says(&front, "route", "unwritable").await).await?;
    sleep(DARK).await;
    let early = asked(&away);
    let promoted = Arc::clone(&standby);
    spawn_blocking(move || promoted.promote()).await?;
    until("requests go to the promoted region", async || says(&front, "serving", "away").await).await?;
    until("every client was served there", async || Ok(asked(&away) > u64::from(CLIENTS) * 10)).await?;
    stop.store(true, Ordering::Relaxed);
    let decided = decision(&front.process.log()?)?;
    let mut slowest = Duration::ZERO;
    for served in clients.join_all().await {
        let served = served.ok_or("a client was not refused, or not served again")?;
        let after = served.duration_since(decided);
        slowest = slowest.max(after.unsigned_abs() * u32::from(after.is_positive()));
    }
    eprintln!(
        "   {CLIENTS} clients were served {slowest:?} after the decision, {early} requests came before it"
    );
    Ok((slowest, early))
}

/// Whether the report about the pool has a text at a key.
async fn says(front: &Front, key: &str, text: &str) -> Result<bool, Failure> {
    Ok(front.admin.pool().await?.get(key).is_some_and(|said| said == text))
}

/// Asks until told to stop; when the client was first served after it was last refused.
async fn ask(mut client: Client, stop: Arc<AtomicBool>) -> Option<Timestamp> {
    let (mut refused, mut served) = (false, None);
    while !stop.load(Ordering::Relaxed) {
        let answer = client.ask("GET", "/stub/echo").await;
        if matches!(answer, Ok(200)) {
            served = served.or_else(|| refused.then(Timestamp::now));
        } else {
            (refused, served) = (true, None);
        }
        sleep(ASK_PAUSE.min(PAUSE)).await;
    }
    served
}

/// Requests of clients that a stand-in got; probes are none.
fn asked(stub: &StubOdoo) -> u64 {
    let asked = stub.received().iter().filter(|request| !request.target.ends_with("/health")).count();
    u64::try_from(asked).unwrap_or(u64::MAX)
}

/// When the gateway sent requests to the region that was promoted.
fn decision(log: &str) -> Result<Timestamp, Failure> {
    let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut decisions = events.filter(|event| {
        let has = |key, text: &str| event.get(key).is_some_and(|said| said == text);
        has("subject", "route") && has("to", "serve") && has("region", "away")
    });
    let decision = decisions.next().ok_or("the gateway did not say where requests go")?;
    let time = decision.get("timestamp").and_then(Value::as_str).ok_or("an event without a time")?;
    Ok(time.parse()?)
}
