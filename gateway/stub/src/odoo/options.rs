//! What a stand-in server is started with.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::session::SessionStore;

/// How long a prefork worker waits for bytes before it drops the request, like `ODOO_HTTP_SOCKET_TIMEOUT`, which
/// defaults to 2 s. Source: Odoo 19.0 `odoo/service/server.py`.
pub const STALL_MAX_DEFAULT: Duration = Duration::from_secs(2);

/// What a [`StubOdoo`](crate::StubOdoo) is started with.
#[derive(Clone, Debug)]
pub struct StubOptions {
    /// Label of this server, such as its region; in every answer as `X-Stub-Server` and in page bodies.
    pub name: String,
    /// Names of the databases this server has. With exactly one, it is chosen without any header, as Odoo does.
    pub databases: Vec<String>,
    /// Address of the HTTP port, 8069 in Odoo. Port 0 lets the system choose.
    pub http: SocketAddr,
    /// Address of the gevent port, 8072 in Odoo. Port 0 lets the system choose.
    pub gevent: SocketAddr,
    /// False: prefork Odoo (`workers > 0`), one request a connection, HTTP/1.0 answers, no websocket on the HTTP
    /// port. True: threaded Odoo (`workers = 0`), HTTP/1.1 with keepalive, websocket on both ports.
    pub keep_alive: bool,
    /// Requests served at once on the HTTP port; more wait for their turn. `None`: no bound.
    pub workers: Option<usize>,
    /// How long a prefork worker waits for the next bytes of a request before it drops the connection.
    pub stall_max: Duration,
    /// How many of the latest requests [`received`](crate::StubOdoo::received) keeps. 0 for benches.
    pub received_max: usize,
    /// Where sessions live. Give the same store to servers that share sessions.
    pub sessions: SessionStore,
}

impl StubOptions {
    /// A prefork server without a bound on workers, on loopback ports chosen by the system.
    pub fn new<D: Into<String>>(name: impl Into<String>, databases: impl IntoIterator<Item = D>) -> Self {
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            name: name.into(),
            databases: databases.into_iter().map(Into::into).collect(),
            http: loopback,
            gevent: loopback,
            keep_alive: false,
            workers: None,
            stall_max: STALL_MAX_DEFAULT,
            received_max: 10_000,
            sessions: SessionStore::default(),
        }
    }

    /// The same server in threaded mode: HTTP/1.1 with keepalive on both ports.
    pub fn threaded(self) -> Self {
        Self { keep_alive: true, ..self }
    }
}
