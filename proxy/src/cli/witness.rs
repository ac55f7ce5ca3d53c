//! `privet witness`: cosigns other logs' checkpoints, on premises or in tests.

use std::error::Error;
use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use privet_audit_log::note::VerifierKey;

use super::{Outcome, cannot, written};
use crate::clock::SystemClock;
use crate::run::{chain, stop_signal};
use crate::tasks::TaskSet;
use crate::witness::{CannotWitness, Witness, init, serve};

/// The arguments of `privet witness`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done with a witness.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Makes the key of a witness, and prints its public half.
    Init {
        /// Where the key and what was cosigned last are kept. Losing it ends this witness: make another, with another key.
        #[arg(long)]
        dir: PathBuf,
        /// The witness's name, like a URL without its scheme.
        #[arg(long)]
        name: String,
    },
    /// Serves `POST /add-checkpoint` as c2sp.org/tlog-witness has it.
    Run {
        /// The directory that `init` made.
        #[arg(long)]
        dir: PathBuf,
        /// The address to listen on; a proxy in front speaks TLS, where it is for others than this machine.
        #[arg(long, value_name = "ADDRESS")]
        listen: SocketAddr,
        /// The key of a log to cosign for, `NAME+ID+KEY`, or a file with one a line; may stand more than once.
        #[arg(long, value_name = "VKEY", required = true)]
        log: Vec<String>,
    },
}

/// Makes a witness, or is one until it is told to stop.
#[must_use]
pub fn run(args: &Args) -> Outcome {
    match &args.command {
        Command::Init { dir, name } => made(init(dir, name), |error| matches!(error, CannotWitness::IsThere(_))),
        Command::Run { dir, listen, log } => {
            let done = keys(log).and_then(|logs| witness(dir, *listen, logs));
            done.map_or_else(|why| cannot(&why), |()| Outcome::Fine)
        }
    }
}

/// A public key on stdout; that there is a key already is a refusal, and anything else that stood in the way is not.
pub(super) fn made<E: Error>(key: Result<String, E>, is_there: impl FnOnce(&E) -> bool) -> Outcome {
    match key {
        Ok(public) => told(&public),
        Err(error) => match cannot(&chain(&error)) {
            Outcome::CannotRun if is_there(&error) => Outcome::Findings,
            outcome => outcome,
        },
    }
}

fn told(public: &str) -> Outcome {
    written(writeln!(io::stdout().lock(), "{public}"), Outcome::Fine)
}

/// Keys as such, or files of keys.
fn keys(given: &[String]) -> Result<Vec<VerifierKey>, String> {
    let mut keys = Vec::new();
    for given in given {
        match VerifierKey::parse(given) {
            Ok(key) => keys.push(key),
            Err(error) => {
                let text =
                    fs::read_to_string(given).map_err(|_| format!("`{given}` is no file to read, and {error}"))?;
                keys.extend(VerifierKey::parse_all(&text).map_err(|error| format!("`{given}`: {error}"))?);
            }
        }
    }
    Ok(keys)
}

fn witness(dir: &Path, listen: SocketAddr, logs: Vec<VerifierKey>) -> Result<(), String> {
    let witness = Witness::open(dir, logs, Arc::new(SystemClock::default())).map_err(|error| chain(&error))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let stop = stop_signal().map_err(|error| error.to_string())?;
        let socket = tokio::net::TcpListener::bind(listen)
            .await
            .map_err(|error| format!("cannot listen on {listen}: {error}"))?;
        let address = socket.local_addr().map_err(|error| error.to_string())?;
        tracing::info!(%address, witness = witness.key().name(), "listening");
        let tasks = TaskSet::new();
        tokio::select! {
            () = serve(socket, Arc::new(witness), tasks.clone()) => {}
            () = stop => {}
        }
        tasks.finish(Duration::from_secs(5)).await;
        Ok(())
    })
}
