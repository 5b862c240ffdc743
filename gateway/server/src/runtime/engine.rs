//! Pingora, as it is run here: its bounds for HTTP/2, and what it keeps.

use crate::proxy::Gateway;
use fleetgate_core::config::ProcessConfig;
use pingora::apps::HttpServerOptions;
use pingora::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora::proxy::{HttpProxy, http_proxy};
use pingora::server::configuration::ServerConf;
use std::sync::Arc;

/// Idle connections kept to all backends together.
pub(super) const KEPT_BACKEND_CONNECTIONS: usize = 1_024;
/// Requests at once on one HTTP/2 connection; browsers take what they are given, and know 100 from everywhere.
const HTTP2_STREAMS_MAX: u32 = 100;
/// Head fields of a request as HTTP/2 counts them (RFC 9113, section 6.5.2): more than [`fleetgate_core::request::HEAD_BYTES_MAX`]
/// with the 32 bytes that each of [`fleetgate_core::request::FIELDS_MAX`] fields counts for.
const HTTP2_HEADER_LIST_BYTES_MAX: u32 = 64 * 1024;
/// Bytes that one request's body may be ahead of us: an upload of 5 MB/s over 50 ms.
const HTTP2_STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// The same of all requests of a connection: what a client can make us keep in memory.
const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// Bytes of one answer that wait in memory for the connection. A client cannot ask for more by a large window.
const HTTP2_SEND_BUFFER_BYTES_MAX: usize = 64 * 1024;
/// Streams that were reset and are remembered, or were reset before we looked at them.
const HTTP2_RESET_STREAMS_MAX: usize = 20;
/// Streams that break the protocol before the connection is ended.
const HTTP2_FAULTY_STREAMS_MAX: usize = 128;

/// The phases of a request, ready to be given connections.
pub(super) fn engine(gateway: Gateway, process: &ProcessConfig) -> HttpProxy<Gateway> {
    let conf = ServerConf {
        threads: usize::from(process.threads.max(1)),
        upstream_keepalive_pool_size: KEPT_BACKEND_CONNECTIONS,
        ..ServerConf::default()
    };
    let mut proxy = http_proxy(&Arc::new(conf), gateway);
    let mut options = HttpServerOptions::default();
    options.h2_idle_timeout = Some(process.connections.idle_timeout);
    proxy.server_options = Some(options);
    proxy.h2_options = Some(http2_options());
    proxy
}

/// Bounds of one HTTP/2 connection. The library ends connections that open and reset streams without end, send head fields
/// without end, or tiny DATA frames; frames that it takes for free are counted by the connection.
fn http2_options() -> H2Options {
    let mut options = default_h2_options();
    options
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .max_header_list_size(HTTP2_HEADER_LIST_BYTES_MAX)
        .initial_window_size(HTTP2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW_BYTES)
        .max_send_buffer_size(HTTP2_SEND_BUFFER_BYTES_MAX)
        .max_concurrent_reset_streams(HTTP2_RESET_STREAMS_MAX)
        .max_pending_accept_reset_streams(HTTP2_RESET_STREAMS_MAX)
        .max_local_error_reset_streams(Some(HTTP2_FAULTY_STREAMS_MAX));
    options
}
