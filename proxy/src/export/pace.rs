//! Pace: when what was drawn leaves.
//!
//! Promise: a draw takes the longer the larger its noise is, so a release leaves
//! at a slot: a fixed time after its windows were taken, by how many numbers it
//! draws at most, whatever occurred. One that is not ready leaves at the
//! next slot, so that what shows of a slow draw is a whole number of slots. Where
//! nothing was drawn there is nothing to hide, and nobody waits.
//!
//! Not here: when windows are due ([`privet_dp::schedule`]).

use std::time::{Duration, Instant};

/// How long after windows were taken their release leaves: this, and so much for each cell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    each: Duration,
    per_cell: Duration,
}

impl Pace {
    /// Drawing takes 13 to 24 microseconds of processor time a key, and took 38 on
    /// a machine with four times as much to do as it has processors.
    pub(super) const REAL: Self = Self { each: Duration::from_millis(100), per_cell: Duration::from_micros(100) };

    /// The slot of a release of at most `cells` numbers whose windows were taken then.
    pub(super) fn slot(self, taken_at: Instant, cells: usize) -> Slot {
        Slot { taken_at, lasts: self.lasts(cells) }
    }

    /// How long after its windows were taken a release of at most `cells` numbers leaves.
    pub(super) fn lasts(self, cells: usize) -> Duration {
        self.each + self.per_cell * u32::try_from(cells).unwrap_or(u32::MAX)
    }

    /// So many times faster: for tests that release as often as years of windows do.
    #[cfg(test)]
    pub(super) fn faster(self, times: u32) -> Self {
        Self { each: self.each / times, per_cell: self.per_cell / times }
    }

    /// The same slot for every release.
    #[cfg(test)]
    pub(super) const fn of(each: Duration) -> Self {
        Self { each, per_cell: Duration::ZERO }
    }

    /// No slots: what is drawn leaves at once. Tests show with it what slots hide.
    #[cfg(test)]
    pub(super) const NONE: Self = Self { each: Duration::ZERO, per_cell: Duration::ZERO };
}

/// A time at which a release may leave, and every multiple of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    taken_at: Instant,
    lasts: Duration,
}

impl Slot {
    /// The next of its times.
    pub(super) fn next(self) -> Instant {
        let taken = self.taken_at.elapsed();
        self.taken_at + taken + self.left(taken)
    }

    fn left(self, taken: Duration) -> Duration {
        let over = taken.as_nanos().checked_rem(self.lasts.as_nanos()).and_then(|over| u64::try_from(over).ok());
        over.map_or(Duration::ZERO, |over| self.lasts.saturating_sub(Duration::from_nanos(over)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_misses_its_slot_waits_for_the_next() {
        let slot = Pace::REAL.slot(Instant::now(), 1000);
        assert_eq!(slot.lasts, Duration::from_millis(200));
        for (taken_ms, left_ms) in [(0, 200), (1, 199), (199, 1), (200, 200), (201, 199), (599, 1)] {
            assert_eq!(slot.left(Duration::from_millis(taken_ms)), Duration::from_millis(left_ms), "{taken_ms}");
        }
        assert_eq!(Pace::NONE.slot(Instant::now(), 1000).left(Duration::from_millis(3)), Duration::ZERO);
    }
}
