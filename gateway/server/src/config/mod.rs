//! The config on disk: read, watched, checked, explained.

mod files;
mod load;
mod secrets;
#[cfg(test)]
mod tests;

pub use load::{FileStatus, Loaded, Loader};
