//! The decisions about one request, counted without an allocation.

use privet_audit_log::record::Challenge;
use privet_audit_log::tree::Hash;

use super::{ClassNo, DestNo};

/// The decisions about one request's events, in numbers.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub(super) kept: u64,
    pub(super) dropped: u64,
    pub(super) classes: Few,
    pub(super) released: Few,
}

impl Tally {
    /// Counts events of a class that leave for at least one destination.
    pub fn kept(&mut self, class: ClassNo, events: u64) {
        self.kept += events;
        self.classes.add(class.0, events);
    }

    /// Counts events of a class that leave for none: dropped, unmatched or invalid.
    pub fn dropped(&mut self, class: ClassNo, events: u64) {
        self.dropped += events;
        self.classes.add(class.0, events);
    }

    /// Counts kept events that leave for this destination.
    pub fn released(&mut self, destination: DestNo, events: u64) {
        self.released.add(destination.0, events);
    }

    /// What the log says of these events where an auditor sent them.
    pub(super) fn challenge(&self, token: Hash, batch: u64) -> Challenge {
        let mut classes: Vec<(u32, u64)> = self.classes.iter().collect();
        classes.sort_unstable();
        Challenge { token: token.to_address(), batch, events: self.kept + self.dropped, classes }
    }

    /// Each destination's share of the kept events covers them all together and none exceeds them.
    pub(super) fn adds_up(&self, events: u64) -> bool {
        let most = self.released.iter().map(|(_, count)| count).max().unwrap_or(0);
        self.kept + self.dropped == events && most <= self.kept && self.released.sum() >= self.kept
    }
}

/// Counts by number, the first few without an allocation.
#[derive(Clone, Debug, Default)]
pub(super) struct Few {
    inline: [(u32, u64); 6],
    used: usize,
    rest: Vec<(u32, u64)>,
}

impl Few {
    pub(super) fn add(&mut self, number: u32, count: u64) {
        if count == 0 {
            return;
        }
        let known = self.inline.iter_mut().take(self.used).chain(&mut self.rest).find(|(n, _)| *n == number);
        if let Some((_, sum)) = known {
            *sum += count;
        } else if let Some(slot) = self.inline.get_mut(self.used) {
            *slot = (number, count);
            self.used += 1;
        } else {
            self.rest.push((number, count));
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, u64)> {
        self.inline.iter().take(self.used).chain(&self.rest).copied()
    }

    pub(super) fn slot(&mut self, number: u32) -> Option<&mut u64> {
        let slots = self.inline.iter_mut().take(self.used).chain(&mut self.rest);
        slots.into_iter().find(|(n, _)| *n == number).map(|(_, count)| count)
    }

    pub(super) fn sum(&self) -> u64 {
        self.iter().map(|(_, count)| count).sum()
    }
}
