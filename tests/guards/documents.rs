//! Documents say what the code does: codes, metrics, names of tests.

use crate::repository::{assert_none, paths_in, read};
use fleetgate_core::config::{MainFile, NoReferences, Problem, compile};
use fleetgate_core::rejection::Rejection;
use fleetgate_core::request::Fault;
use std::collections::BTreeSet;

/// Cells of the rows of all tables in a document, without heads.
fn rows(document: &str) -> Vec<Vec<String>> {
    let cells = |line: &str| {
        let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
        inner.split(" | ").map(|cell| cell.trim().to_owned()).collect::<Vec<_>>()
    };
    let lines: Vec<&str> = document.lines().filter(|line| line.starts_with('|')).collect();
    let head =
        |at: usize| lines.get(at + 1).is_some_and(|next| next.starts_with("|-") || next.starts_with("| -"));
    let rule = |line: &str| line.starts_with("|-") || line.starts_with("| -");
    lines
        .iter()
        .enumerate()
        .filter(|(at, line)| !head(*at) && !rule(line))
        .map(|(_, line)| cells(line))
        .collect()
}

/// What stands between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_rejection_is_documented_with_its_status() {
    let documented: BTreeSet<(String, String)> = rows(&read("docs/status-codes.md"))
        .iter()
        .filter(|row| row.get(1).is_some_and(|status| status.parse::<u16>().is_ok()))
        .filter_map(|row| Some((quoted(row.first()?).first()?.to_string(), row.get(1)?.clone())))
        .collect();
    let real: BTreeSet<(String, String)> = Rejection::ALL
        .iter()
        .map(|rejection| (rejection.code().to_owned(), rejection.status().to_string()))
        .collect();
    let differ = documented.symmetric_difference(&real).map(|(code, status)| format!("{code} {status}"));
    assert_none(&differ.collect::<Vec<_>>(), "docs/status-codes.md and Rejection differ in:");
}

#[test]
fn every_reason_of_a_malformed_request_is_documented() {
    let document = read("docs/status-codes.md");
    let section = document.split("## Malformed requests").nth(1).and_then(|rest| rest.split("\n## ").next());
    let documented: BTreeSet<String> =
        rows(section.unwrap()).iter().map(|row| quoted(&row[0])[0].to_owned()).collect();
    let real: BTreeSet<String> = Fault::ALL.iter().map(|fault| fault.as_str().to_owned()).collect();
    let differ: Vec<String> = documented.symmetric_difference(&real).cloned().collect();
    assert_none(&differ, "docs/status-codes.md and Fault differ in:");
    let source = read("gateway/core/src/request/fault.rs");
    assert_eq!(source.matches("=> \"").count(), Fault::ALL.len(), "Fault::ALL lacks a variant");
}

#[test]
fn the_list_of_rejections_is_whole() {
    let source = read("gateway/core/src/rejection.rs");
    let function =
        source.split("pub const fn code(").nth(1).and_then(|rest| rest.split("pub const fn").next());
    let codes = function.unwrap().matches("=> \"").count();
    assert_eq!(codes, Rejection::ALL.len(), "Rejection::ALL lacks a variant that Rejection::code knows");
}

#[test]
fn every_metric_is_documented_and_every_documented_metric_exists() {
    let mut real = BTreeSet::new();
    let telemetry = paths_in("gateway/server/src/telemetry/", &[".rs"]);
    let of_rooms = paths_in("gateway/server/src/", &["/metrics.rs"]);
    for path in telemetry.into_iter().chain(of_rooms) {
        let text = read(&path);
        let names = text.split('"').skip(1).step_by(2).filter(|name| {
            name.starts_with("fleetgate_") && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        });
        real.extend(names.map(str::to_owned));
    }
    assert!(!real.is_empty(), "no metric found");
    let documented: BTreeSet<String> = rows(&read("docs/metrics.md"))
        .iter()
        .filter_map(|row| Some(quoted(row.first()?).first()?.to_string()))
        .filter(|name| name.starts_with("fleetgate_"))
        .collect();
    let differ: Vec<String> = documented.symmetric_difference(&real).cloned().collect();
    assert_none(&differ, "docs/metrics.md and the registered metrics differ in:");
}

#[test]
fn every_invariant_names_tests_that_exist() {
    let architecture = read("ARCHITECTURE.md");
    let section = architecture.split("## Invariants").nth(1).and_then(|rest| rest.split("\n## ").next());
    let sources: Vec<String> = paths_in("", &[".rs"]).iter().map(|path| read(path)).collect();
    let mut problems = Vec::new();
    let rows = rows(section.unwrap_or_else(|| panic!("ARCHITECTURE.md has no section `## Invariants`")));
    assert!(!rows.is_empty(), "the section of invariants has no table");
    for row in rows {
        let tests = row.last().map(|cell| quoted(cell)).unwrap_or_default();
        if tests.is_empty() {
            problems.push(format!("{}: no test", row[0]));
        }
        for test in tests {
            if !sources.iter().any(|source| source.contains(&format!("fn {test}("))) {
                problems.push(format!("{}: no test `{test}`", row[0]));
            }
        }
    }
    assert_none(&problems, "each invariant of ARCHITECTURE.md is guarded by a test that exists, but:");
}

/// Blocks of YAML in a document that are whole main files, with the line on which each begins.
fn whole_configs(document: &str) -> Vec<(usize, String)> {
    let mut configs: Vec<(usize, String)> = Vec::new();
    let mut inside = false;
    for (at, line) in document.lines().enumerate() {
        match (inside, line.trim()) {
            (false, "```yaml") => {
                configs.push((at + 1, String::new()));
                inside = true;
            }
            (true, "```") => inside = false,
            (true, _) => configs.last_mut().unwrap().1.push_str(&format!("{line}\n")),
            (false, _) => {}
        }
    }
    configs.retain(|(_, yaml)| yaml.contains("listeners:"));
    configs
}

#[test]
fn configs_in_documents_are_good() {
    let (mut seen, mut problems) = (0, Vec::new());
    for path in paths_in("", &[".md"]) {
        for (at, yaml) in whole_configs(&read(&path)) {
            let (main, mut found) = MainFile::parse("snippet", &yaml, &NoReferences, 1);
            found.extend(compile(&main, &[]).problems);
            let errors = found.iter().filter(|problem| Problem::is_error(problem));
            problems.extend(errors.map(|problem| {
                format!(
                    "{path}:{}: {}",
                    at + usize::try_from(problem.place.spot.line).unwrap(),
                    problem.message
                )
            }));
            seen += 1;
        }
    }
    assert!(seen > 0, "no document shows a config");
    assert_none(&problems, "these configs in documents do not work:");
}
