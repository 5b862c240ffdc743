//! Five hundred websockets whose pool moves to another region: each is closed at its moment, and comes back at once.

use super::{TENANTS, backend, pool, stand_in, tenants, until};
use crate::Failure;
use crate::front::Front;
use crate::report::{Figure, p99};
use crate::websocket::{Websocket, open_many};
use fleetgate_stub::StubOdoo;
use fleetgate_tests::Postgres;
use std::time::{Duration, Instant};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::sleep;

const SOCKETS: u32 = 500;
/// Before a client whose handshake was refused tries again.
const REFUSED_PAUSE: Duration = Duration::from_millis(20);

/// From the end of a websocket to the greeting of the region where it is opened again, over a move between two regions on
/// one database.
pub(crate) async fn of_websockets() -> Result<Vec<Figure>, Failure> {
    let database = spawn_blocking(Postgres::primary).await?;
    let (home, away) = (stand_in("home", None).await?, stand_in("away", None).await?);
    let region = |name: &str, stub: &StubOdoo| {
        let backend = backend(stub.http_addr(), stub.gevent_addr());
        format!("      {name}: {{ backends: [ {backend} ], postgres: \"{}\" }}\n", database.url())
    };
    let regions = region("home", &home) + &region("away", &away);
    let front =
        Front::start(&pool(&regions, "{ name: home }, { name: away, standby: true }"), &tenants()).await?;
    until("the pool serves", async || {
        let pool = front.admin.pool().await?;
        Ok(pool.pointer("/regions/1/database/verdict").is_some_and(|verdict| verdict == "writable"))
    })
    .await?;
    let sockets = open_many(front.address, SOCKETS, TENANTS).await?;
    let server = front.address;
    let mut clients = JoinSet::new();
    for (socket, number) in sockets.into_iter().zip(0_u32..) {
        clients.spawn(async move {
            socket.until_closed().await;
            let closed = Instant::now();
            loop {
                match Websocket::open(server, number % TENANTS).await {
                    Ok(socket) => return (closed.elapsed(), socket),
                    Err(_) => sleep(REFUSED_PAUSE).await,
                }
            }
        });
    }
    let moved = Instant::now();
    front.admin.pin("main", "away").await?;
    let (taken, open): (Vec<Duration>, Vec<Websocket>) = clients.join_all().await.into_iter().unzip();
    let there = away.counts().websockets_open;
    eprintln!(
        "   {there} of {SOCKETS} websockets are in the other region {:?} after the move began",
        moved.elapsed()
    );
    if there != u64::from(SOCKETS) {
        return Err("not every websocket came back".into());
    }
    drop(open);
    Ok(vec![super::milliseconds("websocket_reconnect_p99_ms", p99(taken))])
}
