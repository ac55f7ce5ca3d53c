//! `privet ledger`: rolls up the shipped logs of many pods into one witnessed log.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::witness::made;
use super::{Outcome, cannot};
use crate::clock::SystemClock;
use crate::config::ledger::Ledger as Config;
use crate::ledger::{CannotRun, Ledger, init};
use crate::run::{chain, stop_signal};

/// The arguments of `privet ledger`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done with a ledger.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Makes a ledger, once: its signing key and the first record of its log. Prints the key's public half for witnesses
    /// and auditors.
    Init {
        /// The configuration, `kind: Ledger`; the key goes to its `key_file`, readable by you alone, and is kept for as
        /// long as the ledger lives.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Rolls until it is told to stop.
    Run {
        /// The configuration, `kind: Ledger`; docs/ledger.md describes it.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

/// Makes a ledger, or is one until it is told to stop.
#[must_use]
pub fn run(args: &Args) -> Outcome {
    match &args.command {
        Command::Init { config } => match Config::load(config) {
            Ok(config) => made(init(&config, &SystemClock::default()), CannotRun::is_there),
            Err(error) => cannot(&chain(&error)),
        },
        Command::Run { config } => ledger(config).map_or_else(|why| cannot(&why), |()| Outcome::Fine),
    }
}

fn ledger(file: &Path) -> Result<(), String> {
    let config = Config::load(file).map_err(|error| chain(&error))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let stop = stop_signal().map_err(|error| error.to_string())?;
        let ledger = Ledger::open(&config, Arc::new(SystemClock::default())).map_err(|error| chain(&error))?;
        tracing::info!(listen = %config.listen, "rolling");
        ledger.run(config.listen, stop).await.map_err(|error| chain(&error))
    })
}
