//! Where the real binary is.

use std::env;
use std::path::{Path, PathBuf};

/// The `fleetgate` to test: `$FLEETGATE_BIN`, else the one cargo built beside the running test. Panics with what to
/// do if there is none.
pub fn program() -> PathBuf {
    if let Some(named) = env::var_os("FLEETGATE_BIN").map(PathBuf::from) {
        assert!(named.is_file(), "FLEETGATE_BIN names `{}`, which is no file", named.display());
        return named;
    }
    let test = env::current_exe().unwrap_or_else(|error| panic!("cannot tell where this test is: {error}"));
    // Tests are in target/<profile>/deps, the binary is in target/<profile>.
    let beside = test.ancestors().skip(1).take(3).map(|folder| folder.join("fleetgate"));
    match beside.into_iter().find(|path| path.is_file()) {
        Some(found) => found,
        None => panic!("no fleetgate binary near `{}`: run cargo build -p fleetgate", folder_of(&test)),
    }
}

fn folder_of(path: &Path) -> String {
    path.parent().unwrap_or(path).display().to_string()
}
