//! Loads the config's files.
use fleetgate_core::config::{
    GatewayConfig, MainFile, NoReferences, Problem, ProcessConfig, TenantFile, compile,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
pub struct Loader(PathBuf);
pub struct Watch;
pub struct Loaded {
    pub config: GatewayConfig,
    pub revision: String,
    pub problems: Vec<Problem>,
}
pub fn needs_restart(_: &ProcessConfig, _: &ProcessConfig) -> Vec<&'static str> {
    Vec::new()
}
impl Loader {
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }
    pub fn load(&mut self) -> Result<Loaded, Vec<Problem>> {
        let about = |path: &Path, error: std::io::Error| {
            vec![Problem::about_file(&path.to_string_lossy(), error.to_string(), None)]
        };
        let text = std::fs::read_to_string(&self.0).map_err(|error| about(&self.0, error))?;
        let mut all = text.clone();
        let (main, mut problems) = MainFile::parse(&self.0.to_string_lossy(), &text, &NoReferences, 2);
        let mut files = Vec::new();
        if let Some((_, directory)) = main.tenants_directory() {
            let directory = self.0.parent().unwrap().join(directory);
            let mut names: Vec<_> = std::fs::read_dir(&directory)
                .map_err(|error| about(&directory, error))?
                .flatten()
                .map(|entry| entry.path())
                .collect();
            names.sort();
            for name in names {
                let text = std::fs::read_to_string(&name).map_err(|error| about(&name, error))?;
                all.push_str(&text);
                let (file, more) = TenantFile::parse(&name.to_string_lossy(), &text, &NoReferences);
                problems.extend(more);
                files.push(Arc::new(file));
            }
        }
        let compiled = compile(&main, &files);
        problems.extend(compiled.problems);
        let Some(config) = compiled.config else { return Err(problems) };
        Ok(Loaded { config, revision: blake3::hash(all.as_bytes()).to_hex()[..8].to_owned(), problems })
    }
    pub fn watch(&self) -> Watch {
        Watch
    }
}
impl Watch {
    pub async fn changed(&mut self) -> bool {
        std::future::pending().await
    }
}
pub mod check {
    pub fn run(_: &std::path::Path, _: bool, _: &mut impl std::io::Write) -> bool {
        false
    }
}
pub mod schema {
    pub fn main_schema() -> serde_json::Value {
        serde_json::Value::Null
    }
    pub fn tenants_schema() -> serde_json::Value {
        serde_json::Value::Null
    }
    pub fn write(_: &std::path::Path) -> std::io::Result<()> {
        Ok(())
    }
}
