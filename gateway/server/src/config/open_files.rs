//! How many files the process may have open: client connections and those to backends are most of them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the process may raise its limit to; `u64::MAX` when there is none.
#[must_use]
pub fn hard_limit() -> u64 {
    getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX)
}

/// Raises the limit as far as the process may, and returns the limit that holds then. Shells and service managers start
/// programs with 1024, for the sake of those that use `select`.
#[must_use]
pub fn raise() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_err() {
        tracing::warn!("the limit of open files cannot be raised");
        return current.unwrap_or(u64::MAX);
    }
    maximum.unwrap_or(u64::MAX)
}
