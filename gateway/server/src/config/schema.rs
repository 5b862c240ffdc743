//! Schemas and reference of the config, generated from the types that read it.

use super::reference;
pub use fleetgate_core::config::{main_schema, tenants_schema};
use std::io;
use std::path::Path;

/// Generated files of a checkout, relative to its root, and what they hold.
#[must_use]
pub fn generated_files() -> [(&'static str, String); 3] {
    let (main, tenants) = (main_schema(), tenants_schema());
    [
        ("config/schema/fleetgate.schema.json", format!("{main:#}\n")),
        ("config/schema/tenants.schema.json", format!("{tenants:#}\n")),
        ("docs/config.md", reference::markdown(&main, &tenants)),
    ]
}

/// Writes the generated files into a checkout.
///
/// # Errors
/// When a file or folder cannot be written.
pub fn write(checkout: &Path) -> io::Result<()> {
    for (path, text) in generated_files() {
        let path = checkout.join(path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, text)?;
    }
    Ok(())
}
