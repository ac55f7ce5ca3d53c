//! `privet consent`: what people decided, and what consent signals say.

pub mod decode;
pub mod store;

use super::Outcome;

/// What to do with consent.
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
    /// Shows what is stored of a subject.
    Get(store::GetArgs),
    /// Stores a decision of a subject, or its age.
    Set(store::SetArgs),
    /// Stores that a subject refuses purposes, or everything.
    Withdraw(store::WithdrawArgs),
}

/// Does it.
#[must_use]
pub fn run(args: &Args) -> Outcome {
    match &args.command {
        Command::Decode(args) => decode::run(args),
        Command::Get(args) => store::get(args),
        Command::Set(args) => store::set(args),
        Command::Withdraw(args) => store::withdraw(args),
    }
}
