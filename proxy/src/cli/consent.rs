//! `privet consent`: what people decided.

pub mod store;

use crate::cli::Outcome;

/// The arguments of `privet consent`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Shows what is stored of a subject.
    Get(store::GetArgs),
    /// Stores a decision of a subject, or its age.
    Set(store::SetArgs),
    /// Stores that a subject refuses purposes, or everything.
    Withdraw(store::WithdrawArgs),
}

/// Does what the command says.
#[must_use]
pub fn run(args: &Args) -> Outcome {
    match &args.command {
        Command::Get(args) => store::get(args),
        Command::Set(args) => store::set(args),
        Command::Withdraw(args) => store::withdraw(args),
    }
}
