//! Who runs where: the measured process has a core of its own, load and backend share another.

use crate::Failure;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

/// Files that the largest figure opens at once in one process.
const OPEN_FILES_MIN: u64 = 11_000;
/// The core of measured processes, if there are several.
static MEASURED_CORE: OnceLock<usize> = OnceLock::new();

/// Moves this process off the core of the measured ones, and lets both open enough files.
pub(crate) fn prepare() -> Result<(), Failure> {
    let limits = getrlimit(Resource::Nofile);
    let maximum = limits.maximum.map_or(OPEN_FILES_MIN, |maximum| maximum.max(OPEN_FILES_MIN));
    setrlimit(Resource::Nofile, Rlimit { current: Some(maximum), maximum: Some(maximum) }).map_err(
        |error| {
            format!(
                "cannot open {maximum} files at once ({error}): raise the limit with `ulimit -n {maximum}`"
            )
        },
    )?;
    let allowed = sched_getaffinity(None)?;
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core)).collect();
    let [first, .., last] = cores.as_slice() else {
        eprintln!("one core only: load and measured process share it, figures are noisier");
        return Ok(());
    };
    let mut own = CpuSet::new();
    own.set(*last);
    sched_setaffinity(None, &own)?;
    MEASURED_CORE.get_or_init(|| *first);
    Ok(())
}

/// A command that runs on the core of measured processes.
pub(crate) fn measured(program: &Path) -> Command {
    let Some(core) = MEASURED_CORE.get() else { return Command::new(program) };
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", &core.to_string()]).arg(program);
    command
}

/// Moves this thread to the core of measured processes, if there are several cores.
pub(crate) fn use_measured_core() -> Result<(), Failure> {
    let Some(core) = MEASURED_CORE.get() else { return Ok(()) };
    let mut own = CpuSet::new();
    own.set(*core);
    Ok(sched_setaffinity(None, &own)?)
}
