//! What a node tells and asks in one step, and what it hears.

use super::connection::{ClusterError, Connection};
use fleetgate_core::cluster::{Claim, GAP, Heard, LEASE, Nonsense};
use redis::Script;
use std::sync::LazyLock;
use std::time::Duration;

static EXCHANGE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("exchange.lua")));

/// For how long something is divided by demand after a node was last pressed for it.
const DIVIDED_FOR: Duration = Duration::from_secs(10);
/// Things of which a node says something in one step, at most.
pub(super) const ASKS_MAX: usize = 2_000;

/// What a node says about one thing that is divided, and asks for.
#[derive(Debug)]
pub(super) struct Ask {
    /// Kind and name, such as `rate:acme`.
    pub(super) name: String,
    pub(super) capacity: u32,
    /// What another node may claim; more is nonsense.
    pub(super) claim_max: u32,
    pub(super) asked: u32,
    pub(super) in_use: u32,
    pub(super) demand: u64,
    /// Whether it is to be divided by demand from now on.
    pub(super) divide: bool,
    /// Whether the node has nothing to say about it any more.
    pub(super) leaves: bool,
}

/// What was granted of an [`Ask`], and what others hold.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) units: u32,
    pub(super) others: Vec<Claim>,
}

/// What a node hears.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) heard: Heard,
    /// Names of what is divided by demand.
    pub(super) divided: Vec<String>,
    /// In the order of the asks.
    pub(super) granted: Vec<Granted>,
}

type Raw = (i64, i64, i64, Vec<String>, Vec<String>, Vec<(i64, Vec<String>)>);

/// Tells and asks.
pub(super) async fn exchange(
    connection: &Connection,
    me: &str,
    asks: &[Ask],
) -> Result<Answer, ClusterError> {
    let mut script = EXCHANGE.prepare_invoke();
    for key in ["nodes", "born", "divided"] {
        script.key(connection.key(key));
    }
    script.arg(me).arg(milliseconds(LEASE)).arg(milliseconds(DIVIDED_FOR)).arg(milliseconds(GAP));
    for ask in asks {
        script.key(connection.key(&ask.name)).arg(&ask.name).arg(ask.capacity).arg(ask.asked).arg(ask.in_use);
        script.arg(ask.demand).arg(u8::from(ask.divide)).arg(u8::from(ask.leaves));
    }
    let raw: Raw = connection.run(&script).await?;
    Ok(read(me, asks, raw)?)
}

fn read(me: &str, asks: &[Ask], raw: Raw) -> Result<Answer, Nonsense> {
    let (now, born, known, nodes, divided, granted) = raw;
    let nodes = nodes.into_iter().map(Into::into).collect();
    let heard = Heard::check(me, nodes, known == 1, now, born)?;
    if granted.len() != asks.len() {
        return Err(Nonsense("it answers something else than it was asked"));
    }
    let granted = asks.iter().zip(granted).map(|(ask, (units, claims))| {
        let (pairs, _) = claims.as_chunks::<2>();
        let others = pairs.iter().map(|[node, claim]| Claim::parse(node, claim, ask.claim_max));
        Ok(Granted {
            units: u32::try_from(units).map_err(|_| Nonsense("it grants no number of units"))?,
            others: others.collect::<Result<_, _>>()?,
        })
    });
    Ok(Answer { heard, divided, granted: granted.collect::<Result<_, _>>()? })
}

pub(super) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
