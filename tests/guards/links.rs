//! Links in documents lead somewhere.

use crate::repository::{assert_none, paths_in, read, root};
use std::path::Path;

/// Targets of `[text](target)` outside of code.
fn targets(document: &str) -> Vec<String> {
    let mut in_code = false;
    let mut targets = Vec::new();
    for line in document.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
            let found = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
            targets.extend(found.map(str::to_owned));
        }
    }
    targets
}

/// The anchor that a heading gets: lower case, spaces to hyphens, punctuation gone.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

fn has_heading(document: &str, wanted: &str) -> bool {
    let headings = document.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#'))).any(|found| found == wanted)
}

#[test]
fn links_between_documents_resolve() {
    let mut problems = Vec::new();
    for path in paths_in("", &[".md"]) {
        let document = read(&path);
        for target in targets(&document) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((&target, ""));
            let linked = match file {
                "" => path.clone(),
                file => Path::new(&path).parent().unwrap().join(file).to_string_lossy().into_owned(),
            };
            if !root().join(&linked).exists() {
                problems.push(format!("{path}: `{target}` is not there"));
            } else if !heading.is_empty() && !has_heading(&read(&linked), heading) {
                problems.push(format!("{path}: `{target}` has no such heading"));
            }
        }
    }
    assert_none(&problems, "these links lead nowhere:");
}
