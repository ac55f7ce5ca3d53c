//! A set of detectors, ordered by inclusion.

use std::fmt;

use super::Detector;

/// A set of detectors. Scrubbing with a larger one is coarser, so sets compare
/// by inclusion ([`DetectorSet::is_subset`]), not by any total order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DetectorSet(u128);

impl DetectorSet {
    /// No detector.
    pub const EMPTY: Self = Self(0);

    /// Every detector.
    pub const ALL: Self = Self(u128::MAX >> (u128::BITS - Detector::ALL.len() as u32));

    /// This set with one more detector.
    #[must_use]
    pub const fn with(self, detector: Detector) -> Self {
        Self(self.0 | 1 << detector as u32)
    }

    /// Whether the detector belongs to the set.
    #[must_use]
    pub const fn contains(self, detector: Detector) -> bool {
        self.0 & 1 << detector as u32 != 0
    }

    /// Whether every detector of this set is in the other.
    #[must_use]
    pub const fn is_subset(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// What is in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in this set and not in the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its detectors, in the order of [`Detector::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Detector> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let nth = left.trailing_zeros() as usize;
            left &= left.wrapping_sub(1);
            Detector::ALL.get(nth).copied()
        })
    }
}

impl FromIterator<Detector> for DetectorSet {
    fn from_iter<I: IntoIterator<Item = Detector>>(detectors: I) -> Self {
        detectors.into_iter().fold(Self::EMPTY, Self::with)
    }
}

impl fmt::Display for DetectorSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, detector) in self.iter().enumerate() {
            write!(f, "{}{detector}", if nth == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}
