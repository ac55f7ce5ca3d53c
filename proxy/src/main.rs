//! The `privet` command.

use std::process::ExitCode;

use clap::Parser;
use privet::cli::{Cli, tell_panics_by_place};

fn main() -> ExitCode {
    tell_panics_by_place();
    Cli::parse().execute().into()
}
