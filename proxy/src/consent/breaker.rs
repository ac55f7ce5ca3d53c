//! Stops asking a store that does not answer, so that requests do not wait for it one after the other.
//!
//! Promise: after a number of failures in a row nobody asks for a while; then one
//! asks, and its answer decides. Not here: what is said meanwhile, which is "unavailable".

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Failures in a row after which the store is let alone.
const FAILURES_MAX: u32 = 5;
/// For how long.
const REST: Duration = Duration::from_millis(500);

/// The breaker of one store.
#[derive(Default)]
pub(super) struct Breaker(Mutex<State>);

/// Times are on the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Everybody asks.
    Closed { failures: u32 },
    /// Nobody asks until then; from then on one does, and the time moves on so that only one does.
    Open { until: Duration },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Breaker {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the store may be asked now. Whoever is told so says how it went.
    pub(super) fn admits(&self, now: Duration) -> bool {
        let mut state = self.state();
        match *state {
            State::Closed { .. } => true,
            State::Open { until } if now < until => false,
            State::Open { .. } => {
                *state = State::Open { until: now + REST };
                true
            }
        }
    }

    /// The store answered.
    pub(super) fn succeeded(&self) {
        *self.state() = State::default();
    }

    /// The store did not answer.
    pub(super) fn failed(&self, now: Duration) {
        let mut state = self.state();
        *state = match *state {
            State::Closed { failures } if failures + 1 < FAILURES_MAX => State::Closed { failures: failures + 1 },
            State::Closed { .. } | State::Open { .. } => State::Open { until: now + REST },
        };
    }

    /// Whether the store is let alone.
    pub(super) fn is_open(&self) -> bool {
        matches!(*self.state(), State::Open { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_after_failures_in_a_row_and_tries_with_one() {
        let (breaker, at) = (Breaker::default(), Duration::from_millis);
        for _ in 0..FAILURES_MAX - 1 {
            breaker.failed(at(0));
        }
        breaker.succeeded();
        for _ in 0..FAILURES_MAX {
            assert!(breaker.admits(at(10)));
            breaker.failed(at(10));
        }
        assert!(breaker.is_open() && !breaker.admits(at(509)));
        assert!(breaker.admits(at(510)), "one tries");
        assert!(!breaker.admits(at(511)), "and only one");
        breaker.failed(at(520));
        assert!(!breaker.admits(at(1_019)) && breaker.admits(at(1_020)));
        breaker.succeeded();
        assert!(!breaker.is_open() && breaker.admits(at(1_021)));
    }
}
