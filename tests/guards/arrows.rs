//! The direction of imports inside the server, and who may name Pingora.
//!
//! The table of allowed imports is the block that begins with "```arrows" in ARCHITECTURE.md.

use crate::repository::{assert_none, paths_in, read};
use std::collections::{BTreeMap, BTreeSet};

const SOURCES: &str = "gateway/server/src/";
/// Modules that may name Pingora.
const NEAR_PINGORA: [&str; 4] = ["connection", "front", "proxy", "runtime"];

type Edge = (String, String);

/// Rows of the table: a module and the modules that it may use.
fn table() -> Vec<(String, BTreeSet<String>)> {
    let document = read("ARCHITECTURE.md");
    let block = document.split("```arrows\n").nth(1).and_then(|rest| rest.split("```").next());
    let rows = block.unwrap_or_else(|| panic!("ARCHITECTURE.md has no block that begins with ```arrows"));
    let row = |line: &str| {
        let (module, used) = line.split_once("->").unwrap_or_else(|| panic!("no `->` in `{line}`"));
        (module.trim().to_owned(), used.split_whitespace().map(str::to_owned).collect())
    };
    rows.lines().map(row).collect()
}

/// Path of modules of a file: `cli/demo.rs` is `cli::demo`, `cli/mod.rs` is `cli`, `lib.rs` is the root.
fn module_path(file: &str) -> Vec<String> {
    let inner = file.strip_prefix(SOURCES).unwrap().strip_suffix(".rs").unwrap();
    let mut path: Vec<String> = inner.split('/').map(str::to_owned).collect();
    if matches!(path.last().map(String::as_str), Some("mod" | "lib")) {
        path.pop();
    }
    path
}

/// Code without comments; what stays keeps its line.
fn code(text: &str) -> String {
    let line = |line: &str| {
        if line.trim_start().starts_with("//") { String::new() } else { line.to_owned() }
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn ident(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    &text[..end]
}

/// The names that a path or a group of paths begins with: `a` of `a::b`, `a` and `c` of `{a::b, c::{d, e}}`.
fn first_names(rest: &str) -> Vec<String> {
    let Some(group) = rest.strip_prefix('{') else { return vec![ident(rest).to_owned()] };
    let (mut depth, mut names, mut at_name) = (1_usize, Vec::new(), true);
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => at_name = true,
            c if at_name && !c.is_whitespace() => {
                names.push(ident(&group[at..]).to_owned());
                at_name = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names
}

/// Modules of the server that a file names by paths from the root.
fn used_modules(file: &str, text: &str) -> BTreeSet<String> {
    let code = code(text);
    let path = module_path(file);
    let tests = code.find("mod tests {").unwrap_or(code.len());
    let mut used = BTreeSet::new();
    // The binary names the library by its crate's name.
    let from_root: &[&str] = if file.ends_with("/main.rs") { &["fleetgate::"] } else { &["crate::"] };
    for prefix in from_root {
        for (at, _) in code.match_indices(prefix) {
            let inside_word = code[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
            if !inside_word {
                used.extend(first_names(&code[at + prefix.len()..]));
            }
        }
    }
    let mut end_of_last = 0;
    for (at, _) in code.match_indices("super::") {
        if at < end_of_last {
            continue;
        }
        let mut rest = &code[at..];
        let mut steps = 0;
        while let Some(next) = rest.strip_prefix("super::") {
            (rest, steps) = (next, steps + 1);
        }
        end_of_last = code.len() - rest.len();
        if steps == path.len() + usize::from(at > tests) {
            used.extend(first_names(rest));
        }
    }
    used
}

/// Edges between modules, each with a file that has it.
fn edges() -> BTreeMap<Edge, String> {
    let mut edges = BTreeMap::new();
    for file in paths_in(SOURCES, &[".rs"]) {
        let Some(from) = module_path(&file).first().cloned() else { continue };
        for to in used_modules(&file, &read(&file)) {
            if to != from {
                edges.entry((from.clone(), to)).or_insert_with(|| file.clone());
            }
        }
    }
    edges
}

#[test]
fn imports_inside_the_server_follow_the_table() {
    let table: BTreeMap<_, _> = table().into_iter().collect();
    let allowed = |(from, to): &Edge| table.get(from).is_some_and(|used| used.contains(to));
    let wrong = edges().into_iter().filter(|(edge, _)| !allowed(edge));
    let wrong: Vec<_> = wrong.map(|((from, to), file)| format!("{file}: {from} uses {to}")).collect();
    assert_none(&wrong, "these imports are not in the table of ARCHITECTURE.md:");
}

#[test]
fn the_table_of_imports_points_one_way_and_holds_nothing_unused() {
    let (table, edges) = (table(), edges());
    let order: Vec<&str> = table.iter().map(|(module, _)| module.as_str()).collect();
    let mut problems = Vec::new();
    for (place, (from, used)) in table.iter().enumerate() {
        for to in used {
            if !order[place..].contains(&to.as_str()) {
                problems.push(format!("{from} -> {to}: a module uses only modules below it in the table"));
            }
            if !edges.contains_key(&(from.clone(), to.clone())) {
                problems.push(format!("{from} -> {to}: nobody needs this any more"));
            }
        }
    }
    let exist =
        paths_in(SOURCES, &[".rs"]).iter().filter_map(|file| module_path(file).first().cloned()).collect();
    let listed: BTreeSet<String> = order.into_iter().map(str::to_owned).collect();
    problems
        .extend(listed.symmetric_difference(&exist).map(|module| format!("{module}: in only one of both")));
    assert_none(&problems, "the table of imports in ARCHITECTURE.md does not fit gateway/server/src:");
}

#[test]
fn proxy_and_admin_never_import_each_other() {
    let edges = edges();
    for (from, to) in [("proxy", "admin"), ("admin", "proxy")] {
        let file = edges.get(&(from.to_owned(), to.to_owned()));
        assert_eq!(file, None, "{from} uses {to}: they meet in the snapshot only");
    }
}

#[test]
fn only_the_rooms_near_pingora_name_it() {
    let mut problems = Vec::new();
    for file in paths_in("", &[".rs"]).iter().filter(|file| !file.starts_with("tests/guards/")) {
        let near = file.starts_with(SOURCES)
            && module_path(file).first().is_some_and(|module| NEAR_PINGORA.contains(&module.as_str()));
        // The figures compare the gateway with a bare Pingora.
        let allowed = near || file.starts_with("benches/");
        if !allowed && code(&read(file)).contains("pingora::") {
            problems.push(file.clone());
        }
    }
    assert_none(&problems, &format!("only {NEAR_PINGORA:?} of the server name pingora, but so do:"));
}

#[test]
fn paths_are_read_as_the_compiler_reads_them() {
    let text = "use crate::config::Loader;\nuse crate::{a::{x, y}, b};\n// crate::comment\nfn f() { super::super::up(); \
                super::near(); pub_crate::no(); crate::inline::call() }\nmod tests { use super::super::super::t; }";
    let used = used_modules("gateway/server/src/cli/demo.rs", text);
    assert_eq!(
        used.iter().map(String::as_str).collect::<Vec<_>>(),
        ["a", "b", "config", "inline", "t", "up"]
    );
    assert_eq!(
        used_modules("gateway/server/src/reload.rs", "use super::z; mod tests { use super::*; }").len(),
        1
    );
}
