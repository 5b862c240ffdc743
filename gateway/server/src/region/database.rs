//! Asking whether the database of a region takes writes.

use super::patroni::PatroniProbe;
use super::postgres::PostgresProbe;
use fleetgate_core::health::DatabaseReading;
use fleetgate_core::pool::{DatabaseSource, PostgresTls};
use std::time::Duration;

/// What came of a question.
pub(super) enum Statement {
    /// The server says what it is.
    Seen(DatabaseReading),
    /// No server answers. Why, in words for an operator.
    Silent(String),
    /// A server answers and does not let the probe look: this says nothing about whether it takes writes.
    Refused(String),
}

/// Asks again and again.
pub(super) enum DatabaseProbe {
    Postgres(Box<PostgresProbe>),
    Patroni(PatroniProbe),
}

impl DatabaseProbe {
    pub(super) fn new(source: &DatabaseSource, tls: Option<&PostgresTls>, patience: Duration) -> Self {
        match source {
            DatabaseSource::Postgres(url) => Self::Postgres(Box::new(PostgresProbe::new(url, tls, patience))),
            DatabaseSource::Patroni(members) => Self::Patroni(PatroniProbe::new(members, tls, patience)),
        }
    }

    pub(super) async fn ask(&mut self) -> Statement {
        match self {
            Self::Postgres(probe) => probe.ask().await,
            Self::Patroni(probe) => probe.ask().await,
        }
    }
}
