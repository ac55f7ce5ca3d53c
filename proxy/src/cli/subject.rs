//! `privet subject`: all that privet holds about one person.

use crate::cli::Outcome;
use crate::cli::consent::store::{GetArgs, ask};

/// The arguments of `privet subject`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Shows all that is held about a subject: in the store, in the memory of the asked pod, in a spool.
    Show(GetArgs),
    /// Forgets all of it but what keeps more from leaving: refusals, and that the subject is a child.
    Erase(GetArgs),
}

/// Does what the command says.
#[must_use]
pub fn run(args: &Args) -> Outcome {
    match &args.command {
        Command::Show(args) => ask("/v1/subject/show", args, serde_json::json!({})),
        Command::Erase(args) => ask("/v1/subject/erase", args, serde_json::json!({})),
    }
}
