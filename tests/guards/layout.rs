//! Where files are, how long they are, and what they must not say.

use crate::repository::{assert_none, paths, paths_in, read};
use std::path::Path;

/// The top level is fixed.
const TOP_LEVEL: [&str; 21] = [
    ".ci",
    ".config",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "Makefile",
    "README.md",
    "benches",
    "clippy.toml",
    "config",
    "deny.toml",
    "deploy",
    "docs",
    "fuzz",
    "gateway",
    "rustfmt.toml",
    "tests",
];
/// Endings of files that people write and read.
const WRITTEN: [&str; 9] = [".rs", ".sh", ".py", ".mjs", ".md", ".toml", ".yaml", ".yml", "Makefile"];
const LINES_MAX: usize = 600;
/// Names that say nothing about what is behind the door.
const EMPTY_NAMES: [&str; 9] =
    ["utils", "util", "helpers", "helper", "manager", "common", "types", "misc", "shared"];

#[test]
fn the_top_level_is_the_one_of_the_design() {
    let unknown = paths().into_iter().filter(|path| {
        let top = path.split('/').next().unwrap_or_default();
        top != "traefik-plugin" && !TOP_LEVEL.contains(&top)
    });
    assert_none(&unknown.collect::<Vec<_>>(), "these files are not in a place that ARCHITECTURE.md names:");
}

#[test]
fn a_file_of_code_is_short_enough_to_be_read() {
    let long = paths_in("", &[".rs", ".sh", ".py", ".mjs", ".html", ".css"]).into_iter().filter_map(|path| {
        let lines = read(&path).lines().count();
        (lines > LINES_MAX).then(|| format!("{path}: {lines} lines"))
    });
    assert_none(&long.collect::<Vec<_>>(), &format!("a file has {LINES_MAX} lines at most, but:"));
}

#[test]
fn a_file_has_a_noun_on_its_door() {
    let nameless = paths().into_iter().filter(|path| {
        Path::new(path).iter().any(|part| {
            let stem = Path::new(part).file_stem().unwrap_or_default();
            EMPTY_NAMES.iter().any(|name| stem == *name)
        })
    });
    assert_none(&nameless.collect::<Vec<_>>(), "these names say nothing; name what is inside:");
}

/// Words that only make sense where Fleetgate is made, not where it is read. A number after `#` is one of our tracker.
fn speaks_of_its_making(line: &str) -> bool {
    let places = [
        concat!("..", "/shared"),
        concat!("/", "work/"),
        concat!("facts", "/odoo.md"),
        concat!("this ", "workplace"),
    ];
    let issue = |(at, _): (usize, &str)| {
        let before = line[..at].chars().next_back();
        let number = line[at + 1..].starts_with(|c: char| c.is_ascii_digit());
        // `owner/name#12` is somebody else's tracker, and a source of a fact.
        number && matches!(before, None | Some(' ' | '('))
    };
    let lower = line.to_ascii_lowercase();
    let spelled = lower
        .match_indices("issue ")
        .any(|(at, word)| lower[at + word.len()..].starts_with(|c: char| c.is_ascii_digit()));
    places.iter().any(|place| line.contains(place)) || line.match_indices('#').any(issue) || spelled
}

#[test]
fn the_project_stands_alone() {
    let mut problems = Vec::new();
    for path in paths_in("", &WRITTEN) {
        let text = read(&path);
        let lines = text.lines().enumerate().filter(|(_, line)| speaks_of_its_making(line));
        problems.extend(lines.map(|(at, line)| format!("{path}:{}: {}", at + 1, line.trim())));
    }
    assert_none(&problems, "say it in words that a stranger understands, not by a place or number of ours:");
}
