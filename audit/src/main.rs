//! `privet-audit`: checks an enforcement log without trusting its writer.
//!
//! Promise: it reads files and writes only what a command is told to write, never into a log. No
//! network, no async. Exit status: 0 nothing found, 1 findings, 2 cannot verify.

mod alive;
mod answer;
mod ask;
mod brought;
mod challenge;
mod classes;
mod counted;
mod evidence;
mod export;
mod leaving;
mod ledger;
mod period;
mod prove;
mod reconcile;
mod ropa;
mod said;
mod show;
mod tail;
mod verify;
mod written;

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use answer::Printed;

/// Checks the enforcement log of a privet sidecar.
#[derive(Parser)]
#[command(name = "privet-audit", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Verify a log: every record, hash, signature and sum.
    Verify(verify::Verify),
    /// Ask a question; the answer says what was proved, what was assumed, and every gap.
    #[command(subcommand)]
    Ask(ask::Ask),
    /// Prove that a record stands in a log, as a c2sp.org/tlog-proof.
    Prove(prove::Prove),
    /// Check such a proof with nothing but a key and the record.
    CheckProof(prove::CheckProof),
    /// Show records as they come.
    Tail(tail::Tail),
    /// Make canaries, and find them in the log.
    #[command(subcommand)]
    Challenge(challenge::Challenge),
    /// Compare a collector's own counts with what the log says was sent and taken.
    Reconcile(reconcile::Reconcile),
    /// Write the records of a verified log in another format.
    Export(export::Export),
    /// Write a report.
    #[command(subcommand)]
    Report(ropa::Report),
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return explain(&error),
    };
    let answered = run(&arguments.command).and_then(|(text, clean)| said::say(&text).map(|_| clean));
    match answered {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            said::complain(&error);
            ExitCode::from(2)
        }
    }
}

/// Prints help, or what is wrong with the arguments.
fn explain(error: &clap::Error) -> ExitCode {
    let unsaid = error.print().is_err_and(|error| error.kind() != io::ErrorKind::BrokenPipe);
    if error.use_stderr() || unsaid { ExitCode::from(2) } else { ExitCode::SUCCESS }
}

fn run(command: &Command) -> anyhow::Result<Printed> {
    match command {
        Command::Verify(verify) => verify.run(),
        Command::Ask(ask) => ask.run(),
        Command::Prove(prove) => prove.run(),
        Command::CheckProof(check) => check.run(),
        Command::Tail(tail) => tail.run(),
        Command::Challenge(challenge) => challenge.run(),
        Command::Reconcile(reconcile) => reconcile.run(),
        Command::Export(export) => export.run(),
        Command::Report(report) => report.run(),
    }
}
