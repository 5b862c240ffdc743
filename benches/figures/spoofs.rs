//! Header fields that only a proxy may set: what of a client's arrives at the backend.

use crate::Failure;
use crate::fleet::{host, name};
use crate::gateway::Gateway;
use crate::report::{Figure, Unit};
use fleetgate_stub::{StubOdoo, StubOptions};
use fleetgate_tests::{send_spoof, spoof_spellings, spoofed};

/// Spellings of names that were tried, each in several ways, and requests that arrived with what a server would believe.
pub(crate) async fn of_headers() -> Result<Vec<Figure>, Failure> {
    let odoo = StubOdoo::start(StubOptions::new("stub", [name(0)])).await?;
    let gateway = Gateway::start(1, &odoo).await?;
    let spellings = spoof_spellings();
    let (mut sent, mut arrived, mut leaks) = (0, 0, 0_u32);
    for spelling in &spellings {
        sent += send_spoof(gateway.address, &host(0), spelling).await?;
        for received in odoo.received() {
            arrived += 1;
            let spoofed = spoofed(&received);
            if !spoofed.is_empty() {
                eprintln!("   LEAK of {spelling}: {}", spoofed.join("; "));
                leaks += 1;
            }
        }
        odoo.forget_received();
    }
    eprintln!("   {arrived} of {sent} requests arrived, without what was spoofed; the others were refused");
    if arrived == 0 {
        return Err("no request arrived".into());
    }
    let tried = f64::from(u32::try_from(spellings.len())?);
    Ok(vec![
        Figure { name: "header_spoof_spellings", value: tried, unit: Unit::Count },
        Figure { name: "header_spoof_leaks", value: f64::from(leaks), unit: Unit::Count },
    ])
}
