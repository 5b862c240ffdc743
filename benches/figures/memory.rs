//! Memory of the gateway.

use crate::Failure;
use crate::fleet::{Workers, backend};
use crate::gateway::Gateway;
use crate::process::resident_kib;
use crate::report::{Figure, Unit};
use crate::websocket::open_many;
use std::time::Duration;
use tokio::time::sleep;

/// Websockets that are open at once.
const WEBSOCKETS: u32 = 5_000;
/// Tenants of the gateway that holds the websockets.
const WEBSOCKET_TENANTS: u32 = 1_000;
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
