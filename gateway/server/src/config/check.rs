//! `fleetgate check`: all that is wrong with the files as they are.

use super::print::{Printer, json};
use super::{Examined, Loader};
use fleetgate_core::config::{Problem, Severity};
use serde_json::json;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

/// The number of cores decides nothing that a check reports.
const CORES_ASSUMED: u16 = 1;

/// Checks the main file and all that it names, and writes every problem. `true` when there is no error.
pub fn run(path: &Path, as_json: bool, out: &mut impl Write) -> bool {
    let examined = Loader::new(path, CORES_ASSUMED).examine();
    let fine = !examined.problems.iter().any(Problem::is_error);
    // A reader that went away, as `head` does, does not change what is true.
    let _unread = write(&examined, fine, as_json, out).is_err();
    fine
}

fn write(examined: &Examined, fine: bool, as_json: bool, out: &mut impl Write) -> io::Result<()> {
    if as_json {
        let problems: Vec<_> = examined.problems.iter().map(json).collect();
        let report = json!({
            "ok": fine,
            "tenants": examined.tenants,
            "hosts": examined.hosts,
            "files": examined.files,
            "problems": problems,
        });
        return writeln!(out, "{report:#}");
    }
    let color = std::env::var_os("NO_COLOR").is_none() && io::stdout().is_terminal();
    let mut printer = Printer::new(color);
    for problem in &examined.problems {
        let mut text = String::new();
        printer.print(problem, &mut text).map_err(io::Error::other)?;
        out.write_all(text.as_bytes())?;
    }
    let count = |severity| examined.problems.iter().filter(|problem| problem.severity == severity).count();
    writeln!(
        out,
        "{}, {}, {}, {}, {}",
        counted(count(Severity::Error), "error"),
        counted(count(Severity::Warning), "warning"),
        counted(examined.tenants, "tenant"),
        counted(examined.hosts, "host"),
        counted(examined.files, "file"),
    )?;
    if fine {
        let restart = "Changes of listeners, threads, connections, admin, observe, drain and spool wait for a restart; all others are taken live.";
        writeln!(out, "{restart}")?;
    }
    Ok(())
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
