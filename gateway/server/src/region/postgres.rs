//! Asking a region's PostgreSQL server whether it takes writes.

use super::database::Statement;
use super::tls::tls_words;
use crate::causes::with_causes;
use crate::snapshot::client_config;
use crate::upstream::tls_cause;
use fleetgate_core::config::Secret;
use fleetgate_core::health::{DatabaseReading, Instance, Replication, Role, Slot, SlotWal};
use fleetgate_core::pool::PostgresTls;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, ready};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage, SimpleQueryRow, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

/// One row of texts. Every function in it may be called by any user (PostgreSQL 12 to 17, `pg_proc`).
///
/// The timeline of a primary is that of the WAL it writes: `pg_control_checkpoint()` learns of a promotion only with the
/// next checkpoint. The lag of a standby that has replayed all it received is none, however old the last transaction is.
/// A server is read-only by its settings where all of it is: what is set for the probe's own user or database says nothing
/// about those of Odoo. Whether a standby receives is seen by everybody, and how by members of `pg_read_all_stats` alone.
/// `wal_status` of slots is there since PostgreSQL 13.
const QUESTION: &str = "SELECT pg_is_in_recovery(), \
    (SELECT setting = 'on' AND source NOT IN ('user', 'database', 'database user', 'client', 'session') \
        FROM pg_settings WHERE name = 'default_transaction_read_only'), \
    (SELECT system_identifier FROM pg_control_system()), \
    CASE WHEN pg_is_in_recovery() THEN (SELECT timeline_id FROM pg_control_checkpoint()) \
        ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END, \
    (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint, coalesce(inet_server_port(), 0), \
    CASE WHEN NOT pg_is_in_recovery() OR pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0 \
        ELSE coalesce((extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000)::bigint, \
            86400000) END, \
    (SELECT coalesce(status, 'streaming') FROM pg_stat_wal_receiver), current_setting('primary_slot_name'), \
    (SELECT string_agg(concat_ws(':', slot_name, active, to_jsonb(s) ->> 'wal_status'), ',' ORDER BY slot_name) \
        FROM (SELECT * FROM pg_replication_slots WHERE slot_type = 'physical' ORDER BY slot_name LIMIT 100) s)";

/// What the server ends by itself what a probe has left there with, besides its connection: a query that waits for a lock
/// would go on.
const LIMIT: &str = "SET LOCAL statement_timeout = ";

/// Asks one server again and again, over one connection while that holds. A question that begins while another one is under
/// way has a connection of its own: one that is broken says nothing about the server.
pub(super) struct PostgresProbe {
    config: Result<Config, String>,
    /// `Err`: what the pool's `postgres_tls` names cannot be used.
    tls: Option<Result<MakeRustlsConnect, String>>,
    patience: Duration,
    question: String,
    /// For the next question.
    kept: Mutex<Option<Connection>>,
}

struct Connection {
    client: Client,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl PostgresProbe {
    pub(super) fn new(url: &Secret, tls: Option<&PostgresTls>, patience: Duration) -> Self {
        let config = url.reveal().parse::<Config>().map_err(|error| error.to_string());
        let config = config.map(|mut config| {
            config.application_name("fleetgate");
            config.ssl_mode(if tls.is_some() { SslMode::Require } else { SslMode::Disable });
            config
        });
        let tls = tls.map(|tls| {
            let config = client_config(&tls.authorities, tls.client.as_ref());
            config.map(MakeRustlsConnect::new).map_err(|error| error.to_string())
        });
        // Several statements at once are one transaction, so that nothing is left of it where connections are pooled.
        let question = format!("{LIMIT}{}; {QUESTION}", patience.as_millis().max(1));
        Self { config, tls, patience, question, kept: Mutex::default() }
    }

    pub(super) async fn ask(&self) -> Statement {
        let patience = self.patience;
        let asked = timeout(patience, self.try_ask()).await;
        asked.unwrap_or_else(|_| Statement::Silent(format!("no answer within {patience:?}")))
    }

    /// Waits until the server ends the connection that is kept, if there is one.
    pub(super) async fn closed(&self) {
        poll_fn(|context| {
            let mut kept = self.kept();
            let Some(connection) = kept.as_mut() else { return Poll::Pending };
            let ended = ready!(Pin::new(&mut connection.driver).poll(context));
            *kept = None;
            if ended.is_err() {
                tracing::debug!("the driver of a probe's connection to PostgreSQL was ended");
            }
            Poll::Ready(())
        })
        .await;
    }

    fn kept(&self) -> MutexGuard<'_, Option<Connection>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn try_ask(&self) -> Statement {
        let kept = self.kept().take().filter(|connection| !connection.client.is_closed());
        let over_kept = match kept {
            Some(connection) => self.ask_over(connection).await,
            None => Err(Statement::Gone(String::new())),
        };
        let asked = match over_kept {
            // There was none, or somebody ended this one session, or the server ends: a new one finds out.
            Err(Statement::Gone(_)) => self.ask_anew().await,
            asked => asked,
        };
        asked.map_or_else(
            |statement| statement,
            |(reading, replication)| Statement::Seen(reading, replication),
        )
    }

    async fn ask_anew(&self) -> Result<(DatabaseReading, Replication), Statement> {
        let config = self.config.as_ref().map_err(|error| Statement::Refused(error.clone()))?;
        let (client, driver) = match &self.tls {
            None => connect(config, NoTls).await?,
            Some(Ok(tls)) => connect(config, tls.clone()).await?,
            Some(Err(error)) => return Err(Statement::Refused(error.clone())),
        };
        self.ask_over(Connection { client, driver }).await
    }

    /// Asks over a connection, which is kept when it was good.
    async fn ask_over(&self, connection: Connection) -> Result<(DatabaseReading, Replication), Statement> {
        let asked = connection.client.simple_query(&self.question).await;
        let messages = asked.map_err(|error| statement_of(&error))?;
        let row = messages.iter().find_map(|message| {
            let SimpleQueryMessage::Row(row) = message else { return None };
            read(row)
        });
        let seen = row
            .ok_or_else(|| Statement::Refused("its answer is none of a PostgreSQL 12 or later".to_owned()))?;
        *self.kept() = Some(connection);
        Ok(seen)
    }
}

async fn connect<Tls>(config: &Config, tls: Tls) -> Result<(Client, JoinHandle<()>), Statement>
where
    Tls: MakeTlsConnect<Socket>,
    Tls::Stream: Send + 'static,
{
    let (client, connection) = config.connect(tls).await.map_err(|error| statement_of(&error))?;
    let driver = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a probe's connection to PostgreSQL ended");
        }
    });
    Ok((client, driver))
}

/// What is wrong with a server that answers and is not who it should be, or does not let the probe in as it should. A
/// connection that breaks in a handshake is silence.
fn distrust(error: &tokio_postgres::Error) -> Option<String> {
    let source = std::error::Error::source(error)?;
    match source.downcast_ref::<std::io::Error>() {
        Some(source) => tls_cause(source).is_some().then(|| tls_words(source)),
        None => error.to_string().contains("TLS handshake").then(|| {
            format!("no TLS with it: {source}; turn its `ssl` on, or leave `postgres_tls` out of the pool")
        }),
    }
}

/// Whether the machine of the server says that nobody listens.
fn is_refusal(error: &tokio_postgres::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    source.is_some_and(|source| source.kind() == std::io::ErrorKind::ConnectionRefused)
}

/// What an error says about the server.
fn statement_of(error: &tokio_postgres::Error) -> Statement {
    let Some(code) = error.code() else {
        return match distrust(error) {
            Some(words) => Statement::Refused(words),
            None if is_refusal(error) => Statement::Gone(with_causes(error)),
            None => Statement::Silent(with_causes(error)),
        };
    };
    let words = error.as_db_error().map_or_else(|| error.to_string(), |error| error.message().to_owned());
    // A server that starts, stops or has crashed answers and serves nobody. Class 57 of Appendix A of the PostgreSQL 15
    // manual.
    match code {
        &SqlState::CANNOT_CONNECT_NOW | &SqlState::ADMIN_SHUTDOWN | &SqlState::CRASH_SHUTDOWN => {
            Statement::Gone(words)
        }
        &SqlState::TOO_MANY_CONNECTIONS | &SqlState::QUERY_CANCELED => Statement::Silent(words),
        _ => Statement::Refused(words),
    }
}

fn read(row: &SimpleQueryRow) -> Option<(DatabaseReading, Replication)> {
    let recovers = row.try_get(0).ok()?? == "t";
    let read_only = row.try_get(1).ok()?? == "t";
    let system = row.try_get(2).ok()??.parse().ok()?;
    let timeline = row.try_get(3).ok()??.parse().ok()?;
    let started_us: u64 = row.try_get(4).ok()??.parse().ok()?;
    let port: u64 = row.try_get(5).ok()??.parse().ok()?;
    let lag_ms = row.try_get(6).ok()??.parse().ok()?;
    let server = started_us.rotate_left(16) ^ port;
    let role = if recovers || read_only { Role::Standby { lag_ms } } else { Role::Writable };
    let reading = DatabaseReading { instance: Instance { system, server }, timeline, role };
    let receiver = row.try_get(7).ok()?;
    let replication = Replication {
        receives: recovers.then_some(receiver == Some("streaming")),
        slot: row.try_get(8).ok()?.filter(|_| recovers).filter(|name| !name.is_empty()).map(Into::into),
        slots: row.try_get(9).ok()?.map(slots).unwrap_or_default(),
    };
    Some((reading, replication))
}

/// Slots as `QUESTION` lists them: their names are letters, digits and `_`.
fn slots(listed: &str) -> Vec<Slot> {
    let slot = |text: &str| {
        let mut parts = text.split(':');
        let (name, active, wal) = (parts.next()?, parts.next()?, parts.next());
        let wal = match wal {
            Some("lost") => SlotWal::Lost,
            Some("unreserved") => SlotWal::AtRisk,
            Some(_) | None => SlotWal::Kept,
        };
        Some(Slot { name: name.into(), active: active == "t", wal })
    };
    listed.split(',').filter_map(slot).collect()
}
