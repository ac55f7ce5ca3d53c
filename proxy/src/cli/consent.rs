//! `privet consent`: what consent signals say.

pub mod decode;

use super::Outcome;

/// The arguments of `privet consent`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done with consent.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Shows what a consent signal says, as JSON.
    Decode(decode::Args),
}

/// Does it.
#[must_use]
pub fn run(args: &Args) -> Outcome {
    match &args.command {
        Command::Decode(args) => decode::run(args),
    }
}
