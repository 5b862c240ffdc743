//! The config on disk: read, watched, checked, explained.

mod certificates;
pub mod check;
mod files;
mod load;
pub mod open_files;
mod print;
mod reference;
pub mod schema;
mod secrets;
#[cfg(test)]
mod tests;
mod watch;

pub use fleetgate_core::config::needs_restart;
pub use load::{Examined, FileStatus, Loaded, Loader};
pub use watch::Watch;
