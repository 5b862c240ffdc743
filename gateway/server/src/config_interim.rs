//! The config on disk.
#[path = "config/mod.rs"]
mod real;
pub use real::*;
/// Follows the files.
pub struct Watch;
/// What only a restart applies.
pub fn needs_restart(
    _: &fleetgate_core::config::ProcessConfig,
    _: &fleetgate_core::config::ProcessConfig,
) -> Vec<&'static str> {
    Vec::new()
}
impl Loader {
    /// Follows the files.
    pub fn watch(&self) -> Watch {
        Watch
    }
}
impl Watch {
    /// Waits.
    pub async fn changed(&mut self) -> bool {
        std::future::pending().await
    }
}
/// Checks.
pub mod check {
    /// Checks.
    pub fn run(_: &std::path::Path, _: bool, _: &mut impl std::io::Write) -> bool {
        false
    }
}
/// Schemas.
pub mod schema {
    /// Main.
    pub fn main_schema() -> serde_json::Value {
        serde_json::Value::Null
    }
    /// Tenants.
    pub fn tenants_schema() -> serde_json::Value {
        serde_json::Value::Null
    }
    /// Write.
    pub fn write(_: &std::path::Path) -> std::io::Result<()> {
        Ok(())
    }
}
