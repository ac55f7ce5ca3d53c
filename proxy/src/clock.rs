//! The time, as an argument: tests move it by hand.

use std::time::{Duration, Instant};

/// Where the sidecar asks what time it is.
pub trait Clock: Send + Sync {
    /// Wall-clock time.
    fn now(&self) -> jiff::Timestamp;
    /// Time since this clock was made; never goes back.
    fn monotonic(&self) -> Duration;
}

/// The machine's own clock.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::now()
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}
