//! `privet run`: the sidecar.

use std::path::PathBuf;
use std::sync::Arc;

use crate::audit::CannotRecord;
use crate::cli::{Outcome, cannot};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::run::{Foundation, StartError, chain, open, stop_signal};
use crate::sidecar::{CannotAssemble, Sidecar};

/// The arguments of `privet run`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration; docs/configuration.md describes it.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}

/// Runs until it is told to stop.
#[must_use]
pub fn run(args: &Args) -> Outcome {
    let config = match Config::load_to_start(&args.config) {
        Ok(config) => config,
        Err(error) => return cannot(&chain(&error)),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return cannot(&chain(&error)),
    };
    let served = runtime.block_on(serve(&config));
    // All that has to be done is done; what still waits for a server ends with the process.
    runtime.shutdown_background();
    match served {
        Ok(()) => Outcome::Fine,
        Err(error) => cannot(&chain(&error)),
    }
}

/// Why the sidecar ended badly.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("cannot start")]
    Start(#[from] StartError),
    #[error("cannot start")]
    Assemble(#[from] CannotAssemble),
    #[error("cannot wait for signals")]
    Signals(#[source] std::io::Error),
    #[error("cannot close the enforcement log")]
    Close(#[from] CannotRecord),
}

async fn serve(config: &Config) -> Result<(), RunError> {
    let stop = stop_signal().map_err(RunError::Signals)?;
    let foundation = Foundation::lay(config, Arc::new(SystemClock::default()))?;
    let sidecar = Sidecar::assemble(config, &foundation)?;
    let sources = sidecar.load(config);
    sidecar.settle().await;
    let open = match open(config, foundation, Arc::clone(&sidecar.line), sources).await {
        Ok(open) => open,
        Err(error) => {
            // The log is open by now, and says how it ended.
            sidecar.close().await?;
            return Err(error.into());
        }
    };
    for address in open.addresses() {
        tracing::info!(%address, "listening");
    }
    open.serve(stop, async || sidecar.close().await).await?;
    Ok(())
}
