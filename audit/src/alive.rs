//! Until when an incarnation is known to have run.
//!
//! The last records of an incarnation that crashed are written by the next start, all with one stamp: its
//! wall clock, and the dead process's last monotonic reading. They speak of a time that nobody saw, so they
//! count for nothing here.

use privet_audit_log::record::Record;

use crate::evidence::Told;

/// The latest moment that an incarnation's own records speak of, in milliseconds of Unix time.
#[derive(Clone, Copy, Debug)]
pub struct LastAlive {
    at: i64,
    before: i64,
    stamp: (i64, u64),
}

impl LastAlive {
    /// Begins with a first record, alive at `ms`.
    #[must_use]
    pub fn of(told: &Told<'_>, ms: i64) -> Self {
        Self { at: ms, before: ms, stamp: stamp(told) }
    }

    /// Takes the next record, alive at `ms` unless the next start wrote it.
    pub fn hear(&mut self, told: &Told<'_>, ms: i64) {
        if let Record::Recover(_) = told.entry.record {
            if self.stamp == stamp(told) {
                self.at = self.before;
            }
            return;
        }
        if self.stamp != stamp(told) {
            (self.before, self.stamp) = (self.at, stamp(told));
        }
        self.at = self.at.max(ms);
    }

    /// The moment.
    #[must_use]
    pub const fn ms(self) -> i64 {
        self.at
    }
}

const fn stamp(told: &Told<'_>) -> (i64, u64) {
    (told.entry.ts, told.entry.mono)
}
