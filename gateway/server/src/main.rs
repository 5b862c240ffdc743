//! The edge gateway for Odoo fleets.

use clap::Parser;
use fleetgate::cli::Cli;
use std::process::ExitCode;

fn main() -> ExitCode {
    Cli::parse().run()
}
