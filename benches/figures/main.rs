//! Measures what Fleetgate costs, beside its peers, on this machine and now.
//!
//! Prints `name value unit`, one figure a line, on standard output; what it is doing on standard error. Nothing is
//! stored: each figure is measured in this run, and a comparison runs both sides in turn, several rounds.

mod acme;
mod admin;
mod admission;
mod answer;
mod authority;
mod bad_http1;
mod build;
mod certificates;
mod comparison;
mod cpu;
mod failover;
mod fairness;
mod fleet;
mod front;
mod fuzz;
mod gateway;
mod guards;
mod h2_abuse;
mod handshake;
mod idle_tls;
mod isolation;
mod limit_change;
mod limits;
mod load;
mod machine;
mod memory;
mod nodes;
mod peers;
mod process;
mod quotas;
mod real_odoo;
mod reload;
mod report;
mod rpc;
mod slow;
mod slowloris;
mod spoofs;
#[path = "../../fuzz/targets/mod.rs"]
#[allow(clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "a target says what broke")]
mod targets;
mod tls_client;
mod upgrade;
mod websocket;

use clap::Parser;
use report::{GROUPS, Group};
use std::process::ExitCode;

/// Why a figure could not be measured.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Measures figures.
#[derive(Debug, Parser)]
#[command(name = "figures", max_term_width = 100)]
struct Options {
    /// Only this figure.
    #[arg(long, value_name = "NAME", value_parser = figure_name)]
    only: Option<String>,
}

fn figure_name(text: &str) -> Result<String, String> {
    let names: Vec<&str> = GROUPS.iter().flat_map(|group| group.names).copied().collect();
    if names.contains(&text) {
        Ok(text.to_owned())
    } else {
        Err(format!("there is no such figure; there are {}", names.join(", ")))
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    if cfg!(debug_assertions) {
        eprintln!("figures of unoptimised code mean nothing: run with `cargo run --profile bench`");
        return ExitCode::FAILURE;
    }
    match run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("figures: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Says whether every figure could be measured.
fn run(options: &Options) -> Result<bool, Failure> {
    let asked = |group: &&Group| options.only.as_deref().is_none_or(|only| group.names.contains(&only));
    build::programs()?;
    machine::prepare()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut complete = true;
    for group in GROUPS.iter().filter(asked) {
        eprintln!("== {}", group.names.join(", "));
        match runtime.block_on((group.measure)()) {
            Ok(figures) => report::print(&figures, options.only.as_deref())?,
            Err(failure) => {
                eprintln!("   not measured: {failure}");
                complete = false;
            }
        }
    }
    Ok(complete)
}
