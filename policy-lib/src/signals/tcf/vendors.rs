//! Sets of vendors, as a bit field or as ranges, left where they stand in the decoded bits.

use crate::signals::Unreadable;
use crate::signals::bits::{Bits, Decoded};

/// A set of vendors. It holds where its bits stand and nothing for each vendor.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::signals) struct Vendors {
    /// Where the bit field or the first range stands.
    at: u32,
    coding: Coding,
    /// Whether every range is in order, and within the declared maximum.
    sound: bool,
    /// Whether a range names the vendor 0, who does not exist.
    zero: bool,
    /// The greatest member; 0 for none.
    greatest: u16,
}

#[derive(Clone, Copy, Debug)]
enum Coding {
    /// One bit for each vendor up to this one.
    Field(u16),
    /// So many entries of 17 or 33 bits.
    Ranges(u16),
}

impl Default for Coding {
    fn default() -> Self {
        Self::Field(0)
    }
}

/// Both ends belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::signals) struct Range {
    pub(in crate::signals) first: u16,
    pub(in crate::signals) last: u16,
}

impl Range {
    /// An entry of a range section: a bit, the first or only vendor, and the last one if the bit is set.
    pub(in crate::signals) fn read(bits: &mut Bits<'_>) -> Result<Self, Unreadable> {
        // Two reads: the branch between them is foreseen, while one step of a length read would make each entry wait for the last.
        let entry = bits.take(17)?;
        let first = u16::try_from(entry & 0xffff).unwrap_or_default();
        let last = if entry >> 16 == 1 { bits.take_u16(16)? } else { first };
        Ok(Self { first, last })
    }

    pub(in crate::signals) const fn contains(self, vendor: u16) -> bool {
        self.first <= vendor && vendor <= self.last
    }
}

impl Vendors {
    /// Reads the maximum, the kind of coding and the vendors. Version 1 has a bit more in front of its ranges.
    pub(in crate::signals) fn read(bits: &mut Bits<'_>, version: u8) -> Result<Self, Unreadable> {
        let max = bits.take_u16(16)?;
        if bits.take_bit()? {
            if version == 1 && bits.take_bit()? {
                return Err(Unreadable::ConsentByDefault);
            }
            return Self::read_ranges(bits, max);
        }
        let at = bits.place();
        let greatest = greatest_in_field(&mut bits.clone(), max)?;
        bits.skip(u32::from(max))?;
        Ok(Self { at, coding: Coding::Field(max), sound: true, zero: false, greatest })
    }

    fn read_ranges(bits: &mut Bits<'_>, max: u16) -> Result<Self, Unreadable> {
        let entries = bits.take_u16(12)?;
        let mut read =
            Self { at: bits.place(), coding: Coding::Ranges(entries), sound: true, zero: false, greatest: 0 };
        for _ in 0..entries {
            let range = Range::read(bits)?;
            if range.first > range.last {
                read.sound = false;
                continue;
            }
            read.zero |= range.first == 0;
            read.sound &= range.last <= max;
            read.greatest = read.greatest.max(range.last);
        }
        Ok(read)
    }

    /// Whether its ranges run forward and none goes beyond the maximum that is declared.
    pub(in crate::signals) const fn is_sound(&self) -> bool {
        self.sound
    }

    /// Whether it names the vendor 0.
    pub(super) const fn names_zero(&self) -> bool {
        self.zero
    }

    /// The greatest member; 0 for none.
    pub(in crate::signals) const fn greatest(&self) -> u16 {
        self.greatest
    }

    /// Whether this vendor is a member.
    pub(in crate::signals) fn contains(&self, decoded: &Decoded, vendor: u16) -> bool {
        match self.coding {
            Coding::Field(max) => (1..=max).contains(&vendor) && decoded.bit(self.at + u32::from(vendor) - 1),
            Coding::Ranges(_) => vendor <= self.greatest && self.ranges(decoded).any(|range| range.contains(vendor)),
        }
    }

    /// The entries of a range section in the order written; none for a bit field.
    fn ranges<'a>(&self, decoded: &'a Decoded) -> impl Iterator<Item = Range> + use<'a> {
        let entries = if let Coding::Ranges(entries) = self.coding { entries } else { 0 };
        let mut bits = decoded.read_at(self.at);
        (0..entries).map_while(move |_| Range::read(&mut bits).ok())
    }

    /// Every member in order, once. Collects the ranges: for showing, not for deciding.
    pub(in crate::signals) fn members<'a>(&self, decoded: &'a Decoded) -> Box<dyn Iterator<Item = u16> + 'a> {
        let at = self.at;
        match self.coding {
            Coding::Field(max) => Box::new((1..=max).filter(move |vendor| decoded.bit(at + u32::from(*vendor) - 1))),
            Coding::Ranges(_) => Box::new(in_order(self.ranges(decoded).collect())),
        }
    }
}

/// Every number of some ranges in order, once.
pub(in crate::signals) fn in_order(mut ranges: Vec<Range>) -> impl Iterator<Item = u16> {
    ranges.sort_unstable();
    let mut seen: Option<u16> = None;
    ranges.into_iter().flat_map(move |range| {
        let from = seen.map_or(u32::from(range.first), |seen| u32::from(range.first).max(u32::from(seen) + 1));
        seen = seen.max((range.first <= range.last).then_some(range.last));
        (from..=u32::from(range.last)).filter_map(|vendor| u16::try_from(vendor).ok())
    })
}

/// The greatest number whose bit is set in a field of `max` bits; 0 for none.
fn greatest_in_field(bits: &mut Bits<'_>, max: u16) -> Result<u16, Unreadable> {
    const STEP: u16 = 48;
    if u32::from(max) > bits.left() {
        return Err(Unreadable::Truncated);
    }
    let (mut greatest, mut before) = (0, 0);
    while before < max {
        let width = STEP.min(max - before);
        let chunk = bits.take(u32::from(width))?;
        if chunk != 0 {
            let zeros = u16::try_from(chunk.trailing_zeros()).unwrap_or_default();
            greatest = before + width - zeros;
        }
        before += width;
    }
    Ok(greatest)
}
