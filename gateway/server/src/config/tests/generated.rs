//! What is generated from the types is what is committed, and every example is a good config.

use super::super::{check, schema};
use std::path::{Path, PathBuf};

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn schemas_and_reference_are_up_to_date() {
    for (path, wanted) in schema::generated_files() {
        let committed = std::fs::read_to_string(checkout().join(path)).unwrap_or_default();
        assert!(
            committed == wanted,
            "{path} is not what the types say; run `cargo run -p fleetgate -- schema --write .` and commit it"
        );
    }
}

#[test]
fn every_example_is_a_config_without_a_problem() {
    let config = checkout().join("config");
    let mut examples = vec![config.join("fleetgate.yaml")];
    let folder = std::fs::read_dir(config.join("examples")).unwrap();
    let yaml = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "yaml");
    examples.extend(folder.map(|entry| entry.unwrap().path()).filter(yaml));
    assert!(examples.len() >= 5, "{examples:?}");
    for example in examples {
        let mut said = Vec::new();
        let fine = check::run(&example, false, &mut said);
        let said = String::from_utf8(said).unwrap();
        assert!(fine && said.contains("0 errors, 0 warnings"), "{}:\n{said}", example.display());
    }
}

#[test]
fn the_reference_config_shows_every_key() {
    let files = ["fleetgate.yaml", "tenants.d/acme.yaml", "tenants.d/more.yaml"];
    let text =
        files.map(|file| std::fs::read_to_string(checkout().join("config").join(file)).unwrap()).concat();
    let mut keys = Vec::new();
    collect_keys(&schema::main_schema(), &mut keys);
    for key in keys {
        let shown = text.lines().any(|line| {
            let line = line.trim_start_matches(['#', ' ', '-', '{']);
            line.starts_with(&format!("{key}:")) || line.contains(&format!(" {key}: "))
        });
        assert!(shown, "neither config/fleetgate.yaml nor its tenants show `{key}`");
    }
}

fn collect_keys(schema: &serde_json::Value, keys: &mut Vec<String>) {
    if let Some(properties) = schema.get("properties").and_then(|properties| properties.as_object()) {
        keys.extend(properties.keys().cloned());
    }
    let below = schema.as_object().map(|map| map.values()).into_iter().flatten();
    let listed = schema.as_array().into_iter().flatten();
    below.chain(listed).for_each(|value| collect_keys(value, keys));
}
