//! Asking whether the database of a region takes writes.

use super::gateways::FarRegion;
use super::patroni::PatroniProbe;
use super::postgres::PostgresProbe;
use crate::snapshot::BackendState;
use fleetgate_core::health::{DatabaseReading, Replication, Role, SlotWal};
use fleetgate_core::pool::{DatabaseSource, PostgresTls};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

/// What came of a question.
pub(super) enum Statement {
    /// The server says what it is.
    Seen(DatabaseReading, Replication),
    /// Gateways of its site have seen something so long ago; `None`: that no server answers.
    Told { seen: Option<DatabaseReading>, age: Duration },
    /// No server answers. Why, in words for an operator.
    Silent(String),
    /// Nobody serves there, says the machine or the server itself.
    Gone(String),
    /// A server answers and does not let the probe look: this says nothing about whether it takes writes.
    Refused(String),
}

/// Asks again and again.
pub(super) enum DatabaseProbe {
    Postgres(Box<PostgresProbe>),
    Patroni(PatroniProbe),
    Gateways(FarRegion, Vec<Arc<BackendState>>),
}

impl DatabaseProbe {
    /// `far` are the gateways of the region, if it is they who are asked.
    pub(super) fn new(
        source: &DatabaseSource,
        tls: Option<&PostgresTls>,
        patience: Duration,
        far: impl FnOnce() -> (FarRegion, Vec<Arc<BackendState>>),
    ) -> Self {
        match source {
            DatabaseSource::Gateways => {
                let (region, gateways) = far();
                Self::Gateways(region, gateways)
            }
            DatabaseSource::Postgres(url) => Self::Postgres(Box::new(PostgresProbe::new(url, tls, patience))),
            DatabaseSource::Patroni(members) => Self::Patroni(PatroniProbe::new(members, tls, patience)),
        }
    }

    /// Waits until the server ends the connection that is kept for the next question, if there is one.
    pub(super) async fn closed(&self) {
        match self {
            Self::Postgres(probe) => probe.closed().await,
            Self::Patroni(_) | Self::Gateways(..) => pending().await,
        }
    }

    /// Asks once. What it holds meanwhile is given back when it is dropped.
    pub(super) async fn ask(&self) -> Statement {
        match self {
            Self::Postgres(probe) => probe.ask().await,
            Self::Patroni(probe) => probe.ask().await,
            Self::Gateways(region, gateways) => region.ask_about_database(gateways).await,
        }
    }
}

/// What a server said of itself, in words for an operator.
pub(super) fn describe(reading: &DatabaseReading, replication: &Replication) -> String {
    let timeline = reading.timeline;
    match reading.role {
        Role::Writable => {
            let mut words = format!("takes writes, timeline {timeline}");
            for slot in replication.slots.iter().filter(|slot| !slot.active || slot.wal != SlotWal::Kept) {
                let state = match slot.wal {
                    SlotWal::Lost => "has lost WAL",
                    SlotWal::AtRisk => "is about to lose WAL",
                    SlotWal::Kept => "is idle",
                };
                words.push_str(&format!(", the slot `{}` {state}", slot.name));
            }
            words
        }
        Role::Standby { lag_ms } => {
            let streams = match replication.receives {
                Some(true) => ", streaming",
                Some(false) => ", not streaming",
                None => "",
            };
            let slot = replication.slot.as_ref().map(|slot| format!(", slot `{slot}`")).unwrap_or_default();
            format!("a standby {lag_ms} ms behind{streams}, timeline {timeline}{slot}")
        }
    }
}
