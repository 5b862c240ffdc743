//! The programs that are measured, built as this one was.

use crate::Failure;
use std::path::PathBuf;
use std::process::Command;

/// Builds the gateway and the bare proxy with the profile of the figures.
pub(crate) fn programs() -> Result<(), Failure> {
    eprintln!("building fleetgate and bare-pingora (profile bench: thin LTO, 8 code generation units)");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--quiet", "--profile", "bench"])
        .args(["-p", "fleetgate", "--bin", "fleetgate", "-p", "fleetgate-benches", "--bin", "bare-pingora"])
        .status()?;
    if status.success() { Ok(()) } else { Err("the programs to measure could not be built".into()) }
}

/// A program that [`programs`] built: cargo puts it beside this one.
pub(crate) fn program(name: &str) -> Result<PathBuf, Failure> {
    let beside = std::env::current_exe()?.with_file_name(name);
    if beside.is_file() { Ok(beside) } else { Err(format!("`{}` is missing", beside.display()).into()) }
}

/// Folder for what is installed for the figures only; kept between runs.
pub(crate) fn installed_folder() -> Result<PathBuf, Failure> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(2).ok_or("the figures are not in a target folder of cargo")?;
    let folder = target.join("figures");
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}
