//! `privet demo`: the main job on this machine.

use std::path::PathBuf;

use crate::cli::{Outcome, cannot};
use crate::demo::{Shown, show};
use crate::run::chain;

/// The arguments of `privet demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Stop when everything was shown.
    #[arg(long)]
    pub once: bool,
    /// Where to keep log, exports and what was forwarded; a new temporary directory if not given.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Shows it.
#[must_use]
pub fn run(args: &Args) -> Outcome {
    let dir =
        args.dir.clone().unwrap_or_else(|| std::env::temp_dir().join(format!("privet-demo-{}", std::process::id())));
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return cannot(&chain(&error)),
    };
    match runtime.block_on(show(&dir, args.once, &mut std::io::stdout())) {
        Ok(Shown::Fine) => Outcome::Fine,
        Ok(Shown::Findings) => Outcome::Findings,
        Err(error) => cannot(&chain(&error)),
    }
}
