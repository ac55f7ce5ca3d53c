//! Where one connection stands, so that one timer can end it when it is stuck.
//!
//! Promise: noting a change costs a few relaxed stores and no timer. The timer
//! of a connection looks here when it fires and finds out how long is left.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::wire::Framing;
use crate::config::Limits;
use crate::metrics::ConnectionEnd;

/// Nothing came yet.
const FRESH: u8 = 0;
/// The last request was answered; nothing of the next came.
const IDLE: u8 = 1;
/// A head began.
const HEAD: u8 = 2;
/// A head came whole.
const HEAD_ENDED: u8 = 3;
/// A request is being served.
const BUSY: u8 = 4;

const LENGTH: u8 = 1;
const CODING: u8 = 2;
const BARE_LF: u8 = 4;

/// The state of one connection, shared between its bytes, its requests and its timer.
pub(super) struct Pulse {
    base: Instant,
    phase: AtomicU8,
    framing: AtomicU8,
    /// When this phase began, in milliseconds after `base`.
    since_ms: AtomicU64,
    /// HTTP/2 streams being served.
    streams: AtomicU32,
}

/// What the timer should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Look again after this long.
    Wait(Duration),
    /// End the connection.
    End(ConnectionEnd),
}

impl Pulse {
    pub fn new() -> Self {
        Self {
            base: Instant::now(),
            phase: AtomicU8::new(FRESH),
            framing: AtomicU8::new(0),
            since_ms: AtomicU64::new(0),
            streams: AtomicU32::new(0),
        }
    }

    /// Bytes came; whether a new head begins with them.
    pub fn bytes_came(&self) -> bool {
        match self.phase.load(Relaxed) {
            FRESH => {}
            IDLE => self.stamp(),
            _ => return false,
        }
        self.phase.store(HEAD, Relaxed);
        true
    }

    /// Whether the bytes that come belong to a head.
    pub fn in_head(&self) -> bool {
        self.phase.load(Relaxed) == HEAD
    }

    /// The head came whole, with this framing.
    pub fn head_ended(&self, framing: Framing) {
        let bit = |is: bool, bit: u8| u8::from(is) * bit;
        let bits = bit(framing.length, LENGTH) | bit(framing.coding, CODING) | bit(framing.bare_lf, BARE_LF);
        self.framing.store(bits, Relaxed);
        self.phase.store(HEAD_ENDED, Relaxed);
    }

    /// A request begins; its framing, unless its head came together with the request before it.
    pub fn begin(&self) -> Option<Framing> {
        let bits = self.framing.load(Relaxed);
        self.streams.fetch_add(1, Relaxed);
        let has = |bit: u8| bits & bit != 0;
        (self.phase.swap(BUSY, Relaxed) == HEAD_ENDED).then(|| Framing {
            length: has(LENGTH),
            coding: has(CODING),
            bare_lf: has(BARE_LF),
        })
    }

    /// A request was answered or given up.
    pub fn end(&self) {
        self.stamp();
        if self.streams.fetch_sub(1, Relaxed) == 1 {
            self.phase.store(IDLE, Relaxed);
        }
    }

    /// Whether nothing at all came so far.
    pub fn is_fresh(&self) -> bool {
        self.phase.load(Relaxed) == FRESH
    }

    /// What the timer should do now. It looks at least twice in `header_timeout`,
    /// so a slow head lives at most half as long again.
    pub fn verdict(&self, limits: &Limits) -> Verdict {
        let look_again = limits.header_timeout / 2;
        let (allowed, end) = match self.phase.load(Relaxed) {
            BUSY => return Verdict::Wait(look_again),
            IDLE => (limits.idle_timeout, ConnectionEnd::Idle),
            _ => (limits.header_timeout, ConnectionEnd::Headers),
        };
        let spent = self.base.elapsed().saturating_sub(Duration::from_millis(self.since_ms.load(Relaxed)));
        match allowed.checked_sub(spent) {
            Some(left) if !left.is_zero() => Verdict::Wait(left.min(look_again)),
            _ => Verdict::End(end),
        }
    }

    fn stamp(&self) {
        let ms = u64::try_from(self.base.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.since_ms.store(ms, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(header_ms: u64, idle_ms: u64) -> Limits {
        Limits {
            header_timeout: Duration::from_millis(header_ms),
            idle_timeout: Duration::from_millis(idle_ms),
            ..Limits::default()
        }
    }

    #[test]
    fn each_phase_has_its_own_patience() {
        let pulse = Pulse::new();
        assert_eq!(pulse.verdict(&limits(0, 1000)), Verdict::End(ConnectionEnd::Headers));
        assert!(pulse.bytes_came());
        assert!(!pulse.bytes_came());
        assert_eq!(pulse.verdict(&limits(0, 1000)), Verdict::End(ConnectionEnd::Headers));
        pulse.head_ended(Framing { length: true, ..Framing::default() });
        assert_eq!(pulse.begin(), Some(Framing { length: true, ..Framing::default() }));
        assert_eq!(pulse.verdict(&limits(0, 0)), Verdict::Wait(Duration::ZERO));
        pulse.end();
        assert_eq!(pulse.verdict(&limits(1000, 0)), Verdict::End(ConnectionEnd::Idle));
        assert_eq!(pulse.verdict(&limits(1000, 60_000)), Verdict::Wait(Duration::from_millis(500)));
    }

    #[test]
    fn a_pipelined_head_is_not_known() {
        let pulse = Pulse::new();
        pulse.bytes_came();
        pulse.head_ended(Framing::default());
        assert!(pulse.begin().is_some());
        pulse.end();
        assert_eq!(pulse.begin(), None);
    }

    #[test]
    fn streams_keep_a_connection_busy_until_the_last_ends() {
        let pulse = Pulse::new();
        pulse.begin();
        pulse.begin();
        pulse.end();
        assert!(matches!(pulse.verdict(&limits(10, 0)), Verdict::Wait(_)));
        pulse.end();
        assert_eq!(pulse.verdict(&limits(10, 0)), Verdict::End(ConnectionEnd::Idle));
    }
}
