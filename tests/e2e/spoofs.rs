//! No client says what only the gateway may say.

use fleetgate_stub::{StubOdoo, StubOptions};
use fleetgate_tests::{send_spoof, spoof_spellings, spoofed};

use crate::fleet;

#[tokio::test]
async fn no_spelling_of_a_field_that_servers_believe_reaches_odoo() {
    let options = StubOptions { received_max: 100, ..StubOptions::new("eu-1", fleet::DATABASES) };
    let stub = StubOdoo::start(options).await.unwrap();
    let gateway = fleet::before(&stub, "", fleet::TENANTS).start().await;
    let spellings = spoof_spellings();
    assert!(spellings.len() >= 300, "{}", spellings.len());
    let mut arrived = 0;
    for name in &spellings {
        send_spoof(gateway.address(), "acme.test", name).await.unwrap();
        for received in stub.received() {
            assert!(
                spoofed(&received).is_empty(),
                "{name}: {:?} of {:#?}",
                spoofed(&received),
                received.headers
            );
            assert_eq!(received.database.as_deref(), Some("acme"), "{name}");
            arrived += 1;
        }
        stub.forget_received();
    }
    // Fields are dropped; only few ways to name them in `Connection` are refused.
    assert!(arrived >= spellings.len() * 4, "{arrived} of {} spellings", spellings.len());
    fleet::still_serves(&gateway).await;
}
