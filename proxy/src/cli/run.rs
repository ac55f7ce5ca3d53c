//! `privet run`: the sidecar.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use crate::accept::{Carry, Refusal};
use crate::cli::{Outcome, cannot};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::request::{ListenerFacts, RawRequest};
use crate::run::{Foundation, StartError, chain, open, stop_signal};

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
    let config = match Config::load(&args.config) {
        Ok(config) => config,
        Err(error) => return cannot(&chain(&error)),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return cannot(&chain(&error)),
    };
    match runtime.block_on(serve(&config)) {
        Ok(()) => Outcome::Fine,
        Err(error) => cannot(&chain(&error)),
    }
}

/// Why the sidecar ended badly.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("cannot start")]
    Start(#[from] StartError),
    #[error("cannot wait for signals")]
    Signals(#[source] std::io::Error),
}

async fn serve(config: &Config) -> Result<(), RunError> {
    let stop = stop_signal().map_err(RunError::Signals)?;
    let foundation = Foundation::lay(config, Arc::new(SystemClock::default()))?;
    let open = open(config, foundation, Arc::new(NothingInForce), Vec::new()).await?;
    for address in open.addresses() {
        tracing::info!(%address, "listening");
    }
    let finished: Result<_, RunError> = open.serve(stop, async || Ok(())).await;
    finished.map(|_| ())
}

/// The event line while no policy is in force: nothing passes.
struct NothingInForce;

impl Carry for NothingInForce {
    async fn carry(&self, raw: RawRequest) -> Response<Bytes> {
        self.refuse(&raw.listener, &raw.target, Refusal::NotReady)
    }

    fn refuse(&self, _: &ListenerFacts, _: &str, refusal: Refusal) -> Response<Bytes> {
        let mut answer = Response::new(Bytes::new());
        *answer.status_mut() = match refusal {
            Refusal::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::TimedOut => StatusCode::REQUEST_TIMEOUT,
            Refusal::Malformed => StatusCode::BAD_REQUEST,
            Refusal::Overloaded | Refusal::NotReady | Refusal::Draining => StatusCode::SERVICE_UNAVAILABLE,
        };
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        answer
    }
}
