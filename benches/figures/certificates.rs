//! Ten thousand certificates: looked up, in memory, and one of them replaced.

use crate::Failure;
use crate::authority::Authority;
use crate::fleet::{Dice, host};
use crate::front::Front;
use crate::process::resident_kib;
use crate::report::{Figure, Unit, median};
use fleetgate::certificates::CertificateStore;
use rustls::crypto::ring;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::sleep;

const CERTIFICATES: u32 = 10_000;
/// Look-ups between two looks at the clock.
const LOOK_UPS: u32 = 100_000;
/// Times that each is measured.
const ROUNDS: usize = 11;
/// For the process to give back what its start took.
const SETTLING: Duration = Duration::from_secs(2);

pub(crate) async fn measure() -> Result<Vec<Figure>, Failure> {
    let folder = tempfile::tempdir()?;
    let authority = Authority::new()?;
    eprintln!("   making {CERTIFICATES} certificates");
    for number in 0..CERTIFICATES {
        authority.write(folder.path(), &host(number))?;
    }
    let provider = Arc::new(ring::default_provider());
    let store = CertificateStore::open(folder.path(), provider)?;
    let look_up = look_up(&store)?;
    let reload = reload(&store, &authority, folder.path())?;
    drop(store);
    let resident = resident(folder.path()).await?;
    Ok(vec![
        Figure { name: "sni_lookup_ns_10k_certs", value: look_up, unit: Unit::Nanoseconds },
        Figure { name: "cert_reload_ms_10k", value: reload, unit: Unit::Milliseconds },
        Figure { name: "rss_mib_10k_certs", value: resident, unit: Unit::Mebibytes },
    ])
}

/// Nanoseconds to find the certificate of a name, in no order.
fn look_up(store: &CertificateStore) -> Result<f64, Failure> {
    let mut dice = Dice::new(1);
    let names: Vec<String> = (0..LOOK_UPS).map(|_| host(dice.below(CERTIFICATES))).collect();
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let found = names.iter().filter(|name| black_box(store.find(name)).is_some()).count();
        rounds.push(started.elapsed().as_secs_f64() * 1e9 / f64::from(LOOK_UPS));
        if found != names.len() {
            return Err(format!("{found} of {} names have a certificate", names.len()).into());
        }
    }
    median(rounds).ok_or_else(|| "nothing was looked up".into())
}

/// Milliseconds from a look at the folder, in which one pair is another, until that pair serves.
fn reload(store: &CertificateStore, authority: &Authority, folder: &Path) -> Result<f64, Failure> {
    let mut dice = Dice::new(2);
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let name = host(dice.below(CERTIFICATES));
        let before = store.find(&name);
        authority.write(folder, &name)?;
        let started = Instant::now();
        store.reload();
        rounds.push(started.elapsed().as_secs_f64() * 1e3);
        let after = store.find(&name);
        if before.zip(after).is_none_or(|(before, after)| Arc::ptr_eq(&before, &after)) {
            return Err(format!("the certificate of {name} was not replaced").into());
        }
    }
    median(rounds).ok_or_else(|| "nothing was replaced".into())
}

/// MiB of a gateway that serves them.
async fn resident(certificates: &Path) -> Result<f64, Failure> {
    let front = Front::secured(certificates, &host(0)).await?;
    sleep(SETTLING).await;
    Ok(resident_kib(front.process.id())? / 1024.0)
}
