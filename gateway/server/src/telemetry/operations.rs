//! The operational log: one JSON object a line on standard error.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// Variable that sets what is logged, for example `info` or `fleetgate=debug`.
pub const LOG_VARIABLE: &str = "FLEETGATE_LOG";
/// Pingora logs a line for each broken client connection, and quotes what it received: secrets among it. The access
/// log has those connections already.
const DEFAULT_FILTER: &str = "info,pingora_core=off,pingora_proxy=off,pingora_pool=error,h2=error";

/// Starts the log. Later calls do nothing.
pub fn start() {
    start_with(DEFAULT_FILTER);
}

/// Starts the log with a filter, to which the environment adds: what it sets wins. Later calls do nothing.
pub fn start_with(filter: &str) {
    let more = std::env::var(LOG_VARIABLE).unwrap_or_default();
    let filter = EnvFilter::try_new(format!("{filter},{more}")).unwrap_or_else(|_| EnvFilter::new(filter));
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_span_events(FmtSpan::NONE)
        .with_current_span(false)
        .with_span_list(false)
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if subscriber.try_init().is_err() {
        tracing::debug!("the operational log was started before");
    }
}
