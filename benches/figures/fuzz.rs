//! How often the fuzz targets run without a broken promise.

use crate::Failure;
use crate::report::{Figure, Unit};
use crate::targets::TARGETS;
use std::path::Path;
use std::time::{Duration, Instant};

/// For each target.
const SPAN: Duration = Duration::from_secs(15);
/// Runs between two looks at the clock.
const RUNS_AT_ONCE: u64 = 1_000;

/// Runs of all targets on changed documents of their corpora, on this toolchain; a broken promise ends it.
pub(crate) async fn executions() -> Result<Vec<Figure>, Failure> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no repository")?;
    // Another series in each run: the test runs the same one each time.
    let seed = u64::try_from(std::time::SystemTime::UNIX_EPOCH.elapsed()?.as_millis())?;
    let mut all = 0;
    for target in TARGETS {
        let corpus: Vec<Vec<u8>> =
            target.corpus(repository)?.into_iter().map(|(_, document)| document).collect();
        let until = Instant::now() + SPAN;
        let runs = target
            .run_until(&corpus, seed, |runs| runs.is_multiple_of(RUNS_AT_ONCE) && Instant::now() > until);
        eprintln!("   {} ran {runs} times, series {seed}", target.name);
        all += runs;
    }
    let value = f64::from(u32::try_from(all)?);
    Ok(vec![Figure { name: "fuzz_executions", value, unit: Unit::Count }])
}
