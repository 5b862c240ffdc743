//! CPU time of a request through the gateway, beside peers.

use crate::Failure;
use crate::comparison::{Side, cpu_ratio};
use crate::fleet::{Workers, backend};
use crate::gateway::Gateway;
use crate::peers::{Peer, bare_pingora, nginx, traefik};
use crate::report::{Figure, Unit};

/// Tenants beside nginx and Traefik.
const PEER_TENANTS: u32 = 1_000;
/// Tenants beside bare Pingora, which knows none.
const FLOOR_TENANTS: u32 = 10_000;
/// Connections of clients.
const CONNECTIONS: u32 = 32;

/// With 10,000 tenants and everything on, beside Pingora with nothing of ours.
pub(crate) async fn beside_bare_pingora() -> Result<Vec<Figure>, Failure> {
    let odoo = backend(FLOOR_TENANTS, Workers::Threaded).await?;
    let gateway = Gateway::start(FLOOR_TENANTS, &odoo).await?;
    let peer = bare_pingora::start(&odoo).await?;
    ratio("proxy_cpu_vs_bare_pingora", &gateway, "bare Pingora", &peer, FLOOR_TENANTS).await
}

/// To prefork workers: both open a connection to the backend for each request.
pub(crate) async fn worker_path_beside_nginx() -> Result<Vec<Figure>, Failure> {
    let odoo = backend(PEER_TENANTS, Workers::Prefork).await?;
    let gateway = Gateway::start(PEER_TENANTS, &odoo).await?;
    let peer = nginx::start(PEER_TENANTS, &odoo, Workers::Prefork).await?;
    ratio("worker_path_cpu_vs_nginx", &gateway, "nginx", &peer, PEER_TENANTS).await
}

/// With connections kept to the backend.
pub(crate) async fn beside_nginx() -> Result<Vec<Figure>, Failure> {
    let odoo = backend(PEER_TENANTS, Workers::Threaded).await?;
    let gateway = Gateway::start(PEER_TENANTS, &odoo).await?;
    let peer = nginx::start(PEER_TENANTS, &odoo, Workers::Threaded).await?;
    ratio("proxy_cpu_vs_nginx", &gateway, "nginx", &peer, PEER_TENANTS).await
}

/// With connections kept to the backend.
pub(crate) async fn beside_traefik() -> Result<Vec<Figure>, Failure> {
    let odoo = backend(PEER_TENANTS, Workers::Threaded).await?;
    let gateway = Gateway::start(PEER_TENANTS, &odoo).await?;
    let peer = traefik::start(PEER_TENANTS, &odoo).await?;
    ratio("proxy_cpu_vs_traefik", &gateway, "Traefik", &peer, PEER_TENANTS).await
}

async fn ratio(
    figure: &'static str,
    gateway: &Gateway,
    peer_name: &str,
    peer: &Peer,
    tenants: u32,
) -> Result<Vec<Figure>, Failure> {
    gateway.ask_each_tenant().await?;
    let ours = Side { name: "fleetgate", process: &gateway.process, load: gateway.load(CONNECTIONS) };
    let theirs = Side { name: peer_name, process: &peer.process, load: peer.load(tenants, CONNECTIONS) };
    let value = cpu_ratio(ours, theirs).await?;
    Ok(vec![Figure { name: figure, value, unit: Unit::Ratio }])
}
