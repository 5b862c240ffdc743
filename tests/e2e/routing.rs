//! Which tenant a host leads to, and what tenants that are not served answer.

use fleetgate_tests::{Request, http_get};

use crate::fleet;

#[tokio::test]
async fn every_host_lands_on_its_own_database() {
    let (_stub, gateway) = fleet::start().await;
    for (host, database) in
        [("acme.test", "acme"), ("shop.acme.test", "acme"), ("globex.test", "globex"), ("ACME.Test", "acme")]
    {
        let answer = http_get(gateway.address(), host, "/web/login").await;
        assert_eq!((answer.status, answer.database()), (200, Some(database)), "{host}");
        let answer = Request::get(host, "/web/login").http2().send(gateway.address()).await;
        assert_eq!((answer.status, answer.database()), (200, Some(database)), "{host} over HTTP/2");
    }
}
