//! The files of the repository, as Git knows them.

use std::path::PathBuf;
use std::process::Command;

/// Folder of the repository.
pub(crate) fn root() -> PathBuf {
    // Cargo and nextest set it for the test that they run.
    let tests = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let tests = tests.unwrap_or_else(|| panic!("run the guards with cargo"));
    tests.parent().unwrap().to_owned()
}

/// Runs a program in the repository and returns what it prints.
pub(crate) fn output(program: &str, arguments: &[&str]) -> String {
    let done = Command::new(program).args(arguments).current_dir(root()).output();
    let done = done.unwrap_or_else(|error| panic!("cannot run {program}: {error}"));
    assert!(done.status.success(), "{program} failed: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// Paths below the root, tracked or about to be.
pub(crate) fn paths() -> Vec<String> {
    let listed = output("git", &["ls-files", "--cached", "--others", "--exclude-standard"]);
    // A file that is deleted but not committed is still listed.
    listed.lines().filter(|path| root().join(path).is_file()).map(str::to_owned).collect()
}

/// Paths below a folder with one of some endings.
pub(crate) fn paths_in(folder: &str, endings: &[&str]) -> Vec<String> {
    let wanted =
        |path: &String| path.starts_with(folder) && endings.iter().any(|ending| path.ends_with(ending));
    paths().into_iter().filter(wanted).collect()
}

/// Text of a file below the root.
pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("cannot read {path}: {error}"))
}

/// Fails with all problems at once.
pub(crate) fn assert_none(problems: &[String], rule: &str) {
    assert!(problems.is_empty(), "{rule}\n  {}", problems.join("\n  "));
}
