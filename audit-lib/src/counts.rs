//! Counts by small number, and the changes to them that one commit carries.
//!
//! Everything that may enter the log passes through here as a number: there
//! is no place in these types where a value from an event would fit.

use std::collections::BTreeMap;

use crate::record::Declaration;

/// Counts by small number, such as a class or a destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    by_number: Vec<u64>,
    touched: Vec<u32>,
}

/// Numbers are given out by the log and stay below this.
pub const NUMBER_MAX: u32 = 65_536;

impl Counts {
    /// Adds `count` under `number`. Numbers past [`NUMBER_MAX`] are never given out, so they are ignored.
    pub fn add(&mut self, number: u32, count: u64) {
        if count == 0 || number >= NUMBER_MAX {
            return;
        }
        let at = number as usize;
        if self.by_number.len() <= at {
            self.by_number.resize(at + 1, 0);
        }
        if let Some(slot) = self.by_number.get_mut(at) {
            if *slot == 0 {
                self.touched.push(number);
            }
            *slot += count;
        }
    }

    /// The count under `number`.
    #[must_use]
    pub fn get(&self, number: u32) -> u64 {
        self.by_number.get(number as usize).copied().unwrap_or(0)
    }

    /// All counts that are not zero, by ascending number.
    #[must_use]
    pub fn pairs(&self) -> Vec<(u32, u64)> {
        let mut numbers = self.touched.clone();
        numbers.sort_unstable();
        numbers.into_iter().map(|number| (number, self.get(number))).collect()
    }

    /// The sum of all counts.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.touched.iter().map(|number| self.get(*number)).sum()
    }

    /// How many numbers have a count.
    #[must_use]
    pub fn len(&self) -> usize {
        self.touched.len()
    }

    /// Whether every count is zero.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.touched.is_empty()
    }

    fn merge(&mut self, other: &Self) {
        for number in &other.touched {
            self.add(*number, other.get(*number));
        }
    }
}

/// What became of released events at one destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fate {
    /// The destination took them.
    pub acknowledged: u64,
    /// The destination refused them, or they were given up before sending.
    pub refused: u64,
    /// Sent, perhaps received; nobody said.
    pub unknown: u64,
}

impl Fate {
    /// All of them.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.acknowledged + self.refused + self.unknown
    }

    /// Adds another.
    pub fn add(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.unknown += other.unknown;
    }
}

/// Fates by batch and destination number.
pub type Fates = BTreeMap<(u64, u32), Fate>;

/// What changed since the last commit.
///
/// Three groups of counts, by who counts them: `arrivals` by the layer that
/// speaks HTTP, `decisions` by the layer that decides, `fates` by the layer
/// that forwards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// Classes, policies and names first used in this commit.
    pub declared: Vec<Declaration>,
    /// What came in, and which requests ended.
    pub arrivals: Arrivals,
    /// What was decided.
    pub decisions: Decisions,
    /// What became of releases, of this batch and of earlier ones.
    pub fates: Fates,
}

/// Counts of requests, and of events as they came in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrivals {
    /// Requests that came in.
    pub requests: u64,
    /// Body bytes of these.
    pub bytes: u64,
    /// The same requests by listener number.
    pub listeners: Counts,
    /// Events decoded from them.
    pub events: u64,
    /// Requests answered after their events were decided.
    pub answered: u64,
    /// Requests refused, by number of the refusal.
    pub refused: Counts,
    /// Requests whose sender went away, or that failed inside.
    pub aborted: u64,
    /// Events decoded whose request ended before they were decided: none of them left.
    pub withheld: u64,
}

/// Counts of decided events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decisions {
    /// Events released to at least one destination.
    pub kept: u64,
    /// Events released to none.
    pub dropped: u64,
    /// All decided events by class number.
    pub classes: Counts,
    /// Events released, by destination number.
    pub released: Counts,
}

impl Decisions {
    /// All decided events.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.kept + self.dropped
    }
}

impl Delta {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.declared.is_empty() && self.has_no_counts()
    }

    /// Whether no count changed.
    #[must_use]
    pub fn has_no_counts(&self) -> bool {
        self.fates.is_empty() && self.arrivals == Arrivals::default() && self.decisions == Decisions::default()
    }

    /// Adds what another delta says to this one.
    pub fn merge(&mut self, other: &Self) {
        self.declared.extend(other.declared.iter().cloned());
        let (into, from) = (&mut self.arrivals, &other.arrivals);
        into.requests += from.requests;
        into.bytes += from.bytes;
        into.listeners.merge(&from.listeners);
        into.events += from.events;
        into.answered += from.answered;
        into.refused.merge(&from.refused);
        into.aborted += from.aborted;
        into.withheld += from.withheld;
        let (into, from) = (&mut self.decisions, &other.decisions);
        into.kept += from.kept;
        into.dropped += from.dropped;
        into.classes.merge(&from.classes);
        into.released.merge(&from.released);
        for (key, fate) in &other.fates {
            self.fates.entry(*key).or_default().add(*fate);
        }
    }

    /// The counts as the bytes of a commit frame. Declarations travel as records, not here.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        let (arrivals, decisions) = (&self.arrivals, &self.decisions);
        for number in [
            arrivals.requests,
            arrivals.bytes,
            arrivals.events,
            arrivals.answered,
            arrivals.aborted,
            arrivals.withheld,
            decisions.kept,
            decisions.dropped,
        ] {
            put(number, &mut out);
        }
        for counts in [&arrivals.listeners, &arrivals.refused, &decisions.classes, &decisions.released] {
            put(counts.touched.len() as u64, &mut out);
            for (number, count) in counts.pairs() {
                put(u64::from(number), &mut out);
                put(count, &mut out);
            }
        }
        put(self.fates.len() as u64, &mut out);
        for ((batch, destination), fate) in &self.fates {
            for number in [*batch, u64::from(*destination), fate.acknowledged, fate.refused, fate.unknown] {
                put(number, &mut out);
            }
        }
        out
    }

    /// Reads what [`Delta::encode`] wrote; `None` for anything else.
    #[must_use]
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let input = &mut bytes;
        let mut delta = Self::default();
        let (arrivals, decisions) = (&mut delta.arrivals, &mut delta.decisions);
        for slot in [
            &mut arrivals.requests,
            &mut arrivals.bytes,
            &mut arrivals.events,
            &mut arrivals.answered,
            &mut arrivals.aborted,
            &mut arrivals.withheld,
            &mut decisions.kept,
            &mut decisions.dropped,
        ] {
            *slot = take(input)?;
        }
        for counts in [&mut arrivals.listeners, &mut arrivals.refused, &mut decisions.classes, &mut decisions.released]
        {
            for _ in 0..take(input)? {
                let number = u32::try_from(take(input)?).ok().filter(|number| *number < NUMBER_MAX)?;
                counts.add(number, take(input)?);
            }
        }
        for _ in 0..take(input)? {
            let key = (take(input)?, u32::try_from(take(input)?).ok()?);
            let fate = Fate { acknowledged: take(input)?, refused: take(input)?, unknown: take(input)? };
            delta.fates.insert(key, fate);
        }
        input.is_empty().then_some(delta)
    }
}

/// Seven bits a byte, lowest first, the top bit saying that more follow.
fn put(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push((number as u8 & 0x7f) | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take(input: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = input.split_first()?;
        *input = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delta_reads_back_as_it_was_written() {
        let mut delta = Delta::default();
        delta.arrivals.requests = 300;
        delta.arrivals.bytes = u64::MAX;
        delta.arrivals.refused.add(3, 2);
        delta.decisions.classes.add(4095, 1 << 40);
        delta.decisions.classes.add(0, 1);
        delta.fates.insert((9, 1), Fate { acknowledged: 1, refused: 128, unknown: 0 });
        let bytes = delta.encode();
        assert_eq!(Delta::decode(&bytes).unwrap().encode(), bytes);
        assert_eq!(Delta::decode(&bytes).unwrap().decisions.classes.pairs(), vec![(0, 1), (4095, 1 << 40)]);
        for cut in 0..bytes.len() {
            assert!(Delta::decode(&bytes[..cut]).is_none());
        }
    }

    #[test]
    fn merging_adds_everything_up() {
        let mut one = Delta::default();
        one.decisions.kept = 2;
        one.decisions.released.add(1, 2);
        one.fates.insert((1, 1), Fate { acknowledged: 1, ..Fate::default() });
        let mut sum = one.clone();
        sum.merge(&one);
        assert_eq!(sum.decisions.kept, 4);
        assert_eq!(sum.decisions.released.get(1), 4);
        assert_eq!(sum.fates[&(1, 1)].acknowledged, 2);
    }
}
