//! The floor: what Pingora itself costs between one listener and one backend, with nothing of ours on top.
//!
//! `bare-pingora LISTEN BACKEND`, one thread, as many kept connections as the gateway keeps.

use async_trait::async_trait;
use pingora::Result;
use pingora::proxy::{ProxyHttp, Session, http_proxy_service};
use pingora::server::Server;
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::HttpPeer;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

/// As many as the gateway keeps.
const KEPT_BACKEND_CONNECTIONS: usize = 1_024;
/// As the gateway waits.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// As the gateway keeps a connection without a request.
const BACKEND_IDLE: Duration = Duration::from_secs(30);

struct Floor {
    backend: SocketAddr,
}

#[async_trait]
impl ProxyHttp for Floor {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _session: &mut Session, _context: &mut ()) -> Result<Box<HttpPeer>> {
        let mut peer = HttpPeer::new(self.backend, false, String::new());
        peer.options.connection_timeout = Some(CONNECT_TIMEOUT);
        peer.options.idle_timeout = Some(BACKEND_IDLE);
        Ok(Box::new(peer))
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (listen, backend) = (arguments.next(), arguments.next().and_then(|text| text.parse().ok()));
    let (Some(listen), Some(backend)) = (listen, backend) else {
        eprintln!("usage: bare-pingora LISTEN BACKEND, both as address:port");
        return ExitCode::FAILURE;
    };
    let conf = ServerConf {
        threads: 1,
        upstream_keepalive_pool_size: KEPT_BACKEND_CONNECTIONS,
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(1),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, Floor { backend });
    service.add_tcp(&listen);
    server.add_service(service);
    server.run_forever()
}
