//! What the crates of this repository depend on.

use crate::repository::{assert_none, output, read};
use cargo_metadata::MetadataCommand;
use std::collections::BTreeMap;

/// Which of our crates each of our crates may use. Nobody uses tests and benches.
const CRATES: [(&str, &[&str]); 5] = [
    ("fleetgate-core", &[]),
    ("fleetgate-stub", &[]),
    ("fleetgate", &["fleetgate-core", "fleetgate-stub"]),
    ("fleetgate-tests", &["fleetgate-core", "fleetgate-stub"]),
    ("fleetgate-benches", &["fleetgate", "fleetgate-core", "fleetgate-stub", "fleetgate-tests"]),
];
/// Crates that do I/O, keep time or threads, or make randomness: none of them below core. jiff may be: it knows calendars,
/// and its clock is banned by core's clippy.toml.
const NOT_BELOW_CORE: [&str; 15] = [
    "tokio",
    "async-std",
    "smol",
    "mio",
    "pingora",
    "hyper",
    "reqwest",
    "socket2",
    "axum",
    "notify",
    "arc-swap",
    "tracing",
    "log4rs",
    "chrono",
    "rand",
];

fn workspace() -> cargo_metadata::Metadata {
    let manifest = crate::repository::root().join("Cargo.toml");
    MetadataCommand::new().manifest_path(manifest).no_deps().exec().unwrap()
}

#[test]
fn crates_of_ours_use_each_other_one_way() {
    let allowed: BTreeMap<&str, &[&str]> = CRATES.into_iter().collect();
    let mut problems = Vec::new();
    for package in workspace().packages {
        let Some(allowed) = allowed.get(package.name.as_str()) else {
            problems.push(format!("{}: not in the list of crates; add it", package.name));
            continue;
        };
        let ours = package.dependencies.iter().filter(|dependency| dependency.path.is_some());
        let wrong = ours.filter(|dependency| !allowed.contains(&dependency.name.as_str()));
        problems.extend(wrong.map(|dependency| format!("{} uses {}", package.name, dependency.name)));
    }
    assert_none(&problems, "core <- server <- tests, benches; the stub stands alone:");
}

#[test]
fn nothing_below_core_does_io_or_keeps_time() {
    let tree = output(
        "cargo",
        &[
            "tree",
            "--locked",
            "--package",
            "fleetgate-core",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ],
    );
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    let banned = |name: &&str| {
        NOT_BELOW_CORE.contains(name) || name.starts_with("pingora") || name.starts_with("tokio")
    };
    let mut problems: Vec<String> = names.filter(banned).map(str::to_owned).collect();
    problems.dedup();
    assert_none(
        &problems,
        "core decides and does nothing; `cargo tree -p fleetgate-core -i NAME` shows who brings:",
    );
}

#[test]
fn versions_of_crates_are_in_one_place() {
    let mut problems = Vec::new();
    for package in workspace().packages {
        let manifest = package.manifest_path.strip_prefix(crate::repository::root()).unwrap().to_string();
        let mut dependencies = false;
        for line in read(&manifest).lines() {
            if line.starts_with('[') {
                dependencies = line.contains("dependencies");
            } else if dependencies
                && line.contains('=')
                && !line.trim().starts_with('#')
                && !line.contains("workspace = true")
            {
                problems.push(format!("{manifest}: {line}"));
            }
        }
    }
    assert_none(
        &problems,
        "versions are in [workspace.dependencies] of the root's Cargo.toml, but not these:",
    );
}

#[test]
fn every_crate_follows_the_lints_of_the_workspace() {
    let manifests = workspace().packages.into_iter().map(|package| package.manifest_path);
    let manifests = manifests.map(|path| path.strip_prefix(crate::repository::root()).unwrap().to_string());
    let without = manifests.filter(|manifest| !read(manifest).contains("[lints]\nworkspace = true"));
    assert_none(&without.collect::<Vec<_>>(), "these crates lack `[lints] workspace = true`:");
}

#[test]
fn core_repeats_the_clippy_entries_of_the_workspace() {
    let core = read("gateway/core/clippy.toml");
    let shared = read("clippy.toml");
    // A nearer clippy.toml replaces the one of the root.
    let missing =
        shared.lines().filter(|line| !line.starts_with('#') && !core.lines().any(|other| other == *line));
    let missing: Vec<String> = missing.map(str::to_owned).collect();
    assert_none(&missing, "gateway/core/clippy.toml lacks entries of clippy.toml:");
}
