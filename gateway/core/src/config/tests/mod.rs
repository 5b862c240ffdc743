//! Tests of the config as a whole.

mod bad;
mod good;
mod guards;
mod health;
mod history;
mod limits;
mod nodes;
mod quotas;
mod readiness;
mod tls;

use super::*;
use crate::certificate::{Certificates, Identity};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A whole config with one pool, one region and no tenants.
pub(super) const MAIN: &str = r#"
listeners: [ { address: "127.0.0.1:8080" } ]
regions: [ { name: paris } ]
pools:
  shared:
    odoo_version: "19.0"
    database_selection: dbfilter_header
    regions:
      paris: { backends: [ { http: "10.0.0.11:8069", websocket: "10.0.0.11:8072" } ] }
"#;

/// Variables and files that tests set.
#[derive(Default)]
pub(super) struct World {
    pub(super) variables: BTreeMap<&'static str, &'static str>,
    pub(super) files: BTreeMap<&'static str, &'static str>,
    pub(super) open_files_max: Option<u64>,
}

impl References for World {
    fn variable(&self, name: &str) -> Result<String, String> {
        self.variables.get(name).map(|value| (*value).to_owned()).ok_or_else(|| "is not set".into())
    }

    fn secret_file(&self, path: &str) -> Result<String, String> {
        self.files.get(path).map(|value| (*value).to_owned()).ok_or_else(|| "does not exist".into())
    }

    fn authorities(&self, path: &str) -> Result<Certificates, String> {
        self.secret_file(path).map(|text| Certificates::new(vec![text.into_bytes().into()]))
    }

    fn identity(&self, certificate: &str, key: &str) -> Result<Identity, String> {
        let key = self.secret_file(key).map_err(|reason| format!("the file `{key}` {reason}"))?;
        let chain =
            self.authorities(certificate).map_err(|reason| format!("the file `{certificate}` {reason}"))?;
        Ok(Identity { chain, key: key.into() })
    }

    fn open_files_max(&self) -> Option<u64> {
        self.open_files_max
    }
}

pub(super) fn main_file(text: &str) -> (MainFile, Vec<Problem>) {
    MainFile::parse("fleetgate.yaml", text, &NoReferences, 4)
}

pub(super) fn tenant_file(name: &str, text: &str) -> (Arc<TenantFile>, Vec<Problem>) {
    let (file, problems) = TenantFile::parse(name, text, &NoReferences);
    (Arc::new(file), problems)
}

/// All problems of a main file and files of tenants, as lines.
pub(super) fn problems(main: &str, files: &[(&str, &str)]) -> Vec<String> {
    let (main, mut all) = main_file(main);
    let mut parsed = Vec::new();
    for (name, text) in files {
        let (file, problems) = tenant_file(name, text);
        parsed.push(file);
        all.extend(problems);
    }
    all.extend(compile(&main, &parsed).problems);
    all.iter().map(ToString::to_string).collect()
}

/// The config of a main file and files of tenants that have no problem.
pub(super) fn config(main: &str, files: &[(&str, &str)]) -> GatewayConfig {
    assert_eq!(problems(main, files), Vec::<String>::new());
    let files: Vec<_> = files.iter().map(|(name, text)| tenant_file(name, text).0).collect();
    compile(&main_file(main).0, &files).config.expect("a sound main file gives a config")
}
