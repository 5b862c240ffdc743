//! What the guards let through, counted at the backend.

use crate::Failure;
use crate::report::{Figure, Unit};
use fleetgate_stub::{StubOdoo, StubOptions};
use fleetgate_tests::{Gateway, NEIGHBOURS, backend, manager_spellings, reaches_manager, send_spelling};

const HOST: &str = "acme.test";
/// Each target is sent as GET and as POST over HTTP/1, and over HTTP/2.
const REQUESTS_PER_TARGET: usize = 3;

/// Spellings of the database manager that were tried, and requests among those that arrived which Odoo would take for
/// one.
pub(crate) async fn of_the_database_manager() -> Result<Vec<Figure>, Failure> {
    let spellings = manager_spellings(HOST);
    let received_max = spellings.len() * REQUESTS_PER_TARGET;
    let stub = StubOdoo::start(StubOptions { received_max, ..StubOptions::new("stub", ["acme"]) }).await?;
    let config = format!(
        "regions: [ {{ name: here }} ]\npools:\n  shared:\n    odoo_version: \"19.0\"\n    \
         database_selection: dbfilter_header\n    regions: {{ here: {{ backends: [ {} ] }} }}\n\
         tenants: [ {{ id: acme, hosts: [{HOST}] }} ]\n",
        backend(&stub)
    );
    let gateway = Gateway::start(&config).await;
    for target in &spellings {
        send_spelling(gateway.address(), HOST, target).await?;
    }
    let received = stub.received();
    let leaks: Vec<_> = received.iter().filter(|received| reaches_manager(&received.target)).collect();
    for leak in &leaks {
        eprintln!("   LEAK: {} {}", leak.method, leak.target);
    }
    stub.forget_received();
    for target in NEIGHBOURS {
        send_spelling(gateway.address(), HOST, target).await?;
    }
    let passed = stub.received().len();
    if passed != NEIGHBOURS.len() * REQUESTS_PER_TARGET {
        return Err(format!("{passed} requests for pages beside the database manager passed, not all").into());
    }
    Ok(vec![count("manager_block_spellings", spellings.len())?, count("manager_block_leaks", leaks.len())?])
}

fn count(name: &'static str, number: usize) -> Result<Figure, Failure> {
    Ok(Figure { name, value: f64::from(u32::try_from(number)?), unit: Unit::Count })
}
