//! `privet export`: what exports cost, how exact they will be, what is spent,
//! and whether receipts say the truth.

mod charges;
mod ledger;
mod plan;
mod receipts;
mod verify;

use std::io;
use std::path::PathBuf;

use super::{Outcome, cannot, written};
use crate::export::Plans;
use crate::policies;

/// The arguments of `privet export`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Lists the exports of a policy: what each measures, of whom, how often.
    List(PolicyArgs),
    /// Shows what each export will cost a person and how far its noise will reach, before anything runs.
    Plan(PolicyArgs),
    /// Shows what published receipts say is spent of each budget.
    Ledger(ledger::Args),
    /// Works out again what receipts claim, from the receipts alone.
    Verify(verify::Args),
}

/// A policy, and how to answer.
#[derive(Debug, clap::Args)]
struct PolicyArgs {
    /// The policy directory.
    policies: PathBuf,
    /// Machine output on stdout.
    #[arg(long)]
    json: bool,
}

/// Does what the command says.
#[must_use]
pub fn run(args: &Args) -> Outcome {
    match &args.command {
        Command::List(args) => with_plans(args, plan::list),
        Command::Plan(args) => with_plans(args, plan::costs),
        Command::Ledger(args) => ledger::run(args),
        Command::Verify(args) => verify::run(args),
    }
}

fn with_plans(args: &PolicyArgs, tell: fn(&Plans, bool) -> io::Result<()>) -> Outcome {
    match policies::open_with_exports(&args.policies) {
        Err(why) => cannot(&why),
        Ok((_, plans)) => told(tell(&plans, args.json)),
    }
}

fn told(answer: io::Result<()>) -> Outcome {
    written(answer, Outcome::Fine)
}
