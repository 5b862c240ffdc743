//! Memory of the gateway.

use crate::Failure;
use crate::fleet::{Workers, backend};
use crate::gateway::{FILL_CONNECTIONS, Gateway};
use crate::process::resident_kib;
use crate::report::{Figure, Unit};
use crate::websocket::open_many;
use std::time::Duration;
use tokio::time::sleep;

/// Websockets that are open at once.
const WEBSOCKETS: u32 = 5_000;
/// Tenants of the gateway that holds the websockets.
const WEBSOCKET_TENANTS: u32 = 1_000;
/// Limits of a tenant: rates, and requests at once.
pub(crate) const LIMITS: &str =
    "{ requests_per_second: 100, bytes_per_second: 10MiB, concurrent_requests: 50 }";
/// The same with a quota.
pub(crate) const QUOTA: &str = "{ requests_per_second: 100, bytes_per_second: 10MiB, concurrent_requests: 50, \
    quotas: { requests_per_month: 1000000 } }";
/// Tenants behind a star that are asked for once.
const IDLE_TENANTS: u32 = 100_000;
/// Those that are asked for before memory is looked at, so that what all of them share is there.
const WARMING_TENANTS: u32 = 1_000;
const WARMING_ROUNDS: u32 = 10;
/// For what the opening left behind to be given back.
const SETTLING: Duration = Duration::from_secs(2);

/// After every one of so many tenants was asked for.
pub(crate) async fn of_tenants(figure: &'static str, tenants: u32) -> Result<Vec<Figure>, Failure> {
    let odoo = backend(tenants, Workers::Threaded).await?;
    let gateway = Gateway::start(tenants, &odoo).await?;
    eprintln!("   {:.1} MiB when it began to serve", resident_kib(gateway.process.id())? / 1024.0);
    gateway.ask_each_tenant().await?;
    let value = resident_kib(gateway.process.id())? / 1024.0;
    Ok(vec![Figure { name: figure, value, unit: Unit::Mebibytes }])
}

/// What each tenant behind a star adds that has limits, was asked for once and is idle.
pub(crate) async fn of_idle_tenants(figure: &'static str, limits: &str) -> Result<Vec<Figure>, Failure> {
    let odoo = backend(IDLE_TENANTS, Workers::Threaded).await?;
    let gateway = Gateway::start_starred(IDLE_TENANTS, &odoo, limits).await?;
    let mut warming = gateway.load(FILL_CONNECTIONS);
    warming.tenants = WARMING_TENANTS;
    for _ in 0..WARMING_ROUNDS {
        warming.ask_each().await?;
    }
    let before = resident_kib(gateway.process.id())?;
    gateway.ask_each_tenant().await?;
    let added = resident_kib(gateway.process.id())? - before;
    let value = added * 1_024.0 / f64::from(IDLE_TENANTS - WARMING_TENANTS);
    Ok(vec![Figure { name: figure, value, unit: Unit::Bytes }])
}

/// What each of many idle websockets adds.
pub(crate) async fn of_websockets() -> Result<Vec<Figure>, Failure> {
    let odoo = backend(WEBSOCKET_TENANTS, Workers::Prefork).await?;
    let gateway = Gateway::start(WEBSOCKET_TENANTS, &odoo).await?;
    gateway.ask_each_tenant().await?;
    let before = resident_kib(gateway.process.id())?;
    let sockets = open_many(gateway.address, WEBSOCKETS, WEBSOCKET_TENANTS).await?;
    sleep(SETTLING).await;
    let open = odoo.counts().websockets_open;
    if open != u64::from(WEBSOCKETS) {
        return Err(format!("{open} of {WEBSOCKETS} websockets are open at the backend").into());
    }
    let added = resident_kib(gateway.process.id())? - before;
    drop(sockets);
    Ok(vec![Figure {
        name: "websocket_kib_each",
        value: added / f64::from(WEBSOCKETS),
        unit: Unit::Kibibytes,
    }])
}
