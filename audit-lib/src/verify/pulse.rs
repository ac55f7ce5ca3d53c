//! Whether a process gave signs of life, looked at its sockets, and said what its clock did.
//!
//! Everything that is due is due by the monotonic clock; the wall clock only has to be
//! where the monotonic clock expects it, or a record has to say that it is not.

use crate::log::{HEARTBEAT_MS, LEAF_EVENTS};
use crate::record::{BYPASS_CHECK_MS, BypassWatch, CLOCK_SKEW_MS_MAX, Entry, Record};

/// Times of rounded records lie up to this much before what they stand for, on each clock.
const ROUNDED_BY_MS: u64 = 10_000;
const SILENCE_MS_MAX: u64 = 2 * HEARTBEAT_MS + ROUNDED_BY_MS;
const BYPASS_MS_MAX: u64 = 2 * BYPASS_CHECK_MS + ROUNDED_BY_MS;

/// How well a record's times tell when it was made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Precision {
    Exact,
    Rounded,
    /// A later process may have written it, it has the time of another record, or one about the clock follows.
    None,
}

/// What about a record's time is wrong: the code of a finding, and its message.
pub(super) type Irregular = (&'static str, String);

/// The times of one incarnation, record by record.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// Monotonic time of the record before.
    last_mono: Option<u64>,
    /// Monotonic time of the last look at the sockets, where they are looked at.
    looked: Option<u64>,
    /// Whether that look is overdue and this is said.
    overdue: bool,
    /// Wall time less monotonic time.
    apart: Option<i64>,
    /// A batch whose time is not explained, unless a later process folded it.
    suspicion: Option<String>,
}

impl Pulse {
    /// A kept log goes on in another process: its monotonic clock begins anew, and what its wall clock says of the time
    /// between, since a record at `before_ms`, cannot be held against anything. What there is to state, if it is long.
    pub(super) fn resume(&mut self, entry: &Entry, before_ms: i64) -> Option<String> {
        (self.last_mono, self.looked) = (Some(entry.mono), None);
        self.apart = Some(entry.ts.saturating_sub_unsigned(entry.mono));
        let seconds = entry.ts.saturating_sub(before_ms) / 1000;
        let silent = entry.ts.abs_diff(before_ms) > SILENCE_MS_MAX;
        let message = if seconds < 0 {
            format!(
                "it went on at record {} by a clock {} s behind its last record: for how long it was silent nobody knows",
                entry.seq, -seconds
            )
        } else {
            format!(
                "nothing ran for about {seconds} s before record {}: what was shipped meanwhile was seen at its end",
                entry.seq
            )
        };
        silent.then_some(message)
    }

    /// Feels one more record.
    pub(super) fn feel(&mut self, entry: &Entry) -> Vec<Irregular> {
        let mut wrong = Vec::new();
        // The log says that it could not be written, so nothing could be written.
        let excused = matches!(&entry.record, Record::Gap(gap) if gap.lost.is_none());
        if !excused {
            wrong.extend(self.silence(entry));
        }
        wrong.extend(self.sockets(entry, excused));
        wrong.extend(self.clock(entry));
        self.last_mono = Some(entry.mono);
        wrong
    }

    /// What is left to say at the end of the incarnation.
    pub(super) fn end(&mut self) -> Option<Irregular> {
        self.suspicion.take().map(|message| ("clock_unstated", message))
    }

    fn silence(&self, entry: &Entry) -> Option<Irregular> {
        let silent = entry.mono.saturating_sub(self.last_mono?);
        let message = || format!("no record for {} s, where each 60 s has one", silent / 1000);
        (silent > SILENCE_MS_MAX).then(|| ("silence", message()))
    }

    fn sockets(&mut self, entry: &Entry, excused: bool) -> Option<Irregular> {
        if let Record::Config(config) = &entry.record {
            self.looked = (config.bypass == BypassWatch::Record).then_some(entry.mono);
        }
        let unseen = entry.mono.saturating_sub(self.looked?);
        let late = !excused && !self.overdue && unseen > BYPASS_MS_MAX;
        self.overdue |= late;
        if excused || matches!(entry.record, Record::BypassCheck(_)) {
            (self.looked, self.overdue) = (Some(entry.mono), false);
        }
        let message = || format!("nobody looked at the sockets for {} s, where each 60 s has a look", unseen / 1000);
        late.then(|| ("bypass_gap", message()))
    }

    fn clock(&mut self, entry: &Entry) -> Option<Irregular> {
        let apart = entry.ts.saturating_sub_unsigned(entry.mono);
        let Some(before) = self.apart else {
            self.apart = Some(apart);
            return None;
        };
        if let Record::Clock(clock) = &entry.record {
            self.apart = Some(apart);
            let moved = apart.saturating_sub(before);
            let message =
                || format!("the clock is said to have moved by {} ms, and moved by {moved} ms", clock.moved_ms);
            return (!near(moved, clock.moved_ms, 0)).then(|| ("clock_unstated", message()));
        }
        let precision = precision(entry);
        if precision == Precision::Exact && near(apart, before, 0) {
            self.apart = Some(apart);
        }
        let tolerance = if precision == Precision::Rounded { ROUNDED_BY_MS } else { 0 };
        let strange = precision != Precision::None && !near(apart, before, tolerance);
        let moved = apart.saturating_sub(before);
        let message = || format!("at record {} the clock had moved by {moved} ms, and no record says so", entry.seq);
        match &entry.record {
            // The start after a crash wrote what stands before its `recover`, by its own clock.
            Record::Recover(_) => self.suspicion = None,
            Record::Batch(_) if strange => {
                self.suspicion.get_or_insert_with(message);
            }
            Record::Batch(_) | Record::Outcome(_) => {}
            _ if strange => return Some(("clock_unstated", message())),
            _ => return self.end(),
        }
        None
    }
}

fn near(a: i64, b: i64, tolerance: u64) -> bool {
    a.abs_diff(b) <= CLOCK_SKEW_MS_MAX + tolerance
}

fn precision(entry: &Entry) -> Precision {
    match &entry.record {
        Record::Batch(batch) if batch.events.arrived.max(batch.events.kept + batch.events.dropped) >= LEAF_EVENTS => {
            Precision::Exact
        }
        Record::Batch(_) | Record::Name(_) | Record::PolicyLoad(_) | Record::PolicyRefused(_) | Record::Class(_) => {
            Precision::Rounded
        }
        Record::Outcome(_) | Record::Recover(_) | Record::Gap(_) | Record::Unknown(..) => Precision::None,
        _ => Precision::Exact,
    }
}
