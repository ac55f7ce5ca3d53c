//! Sets of identifiers as the Global Privacy Platform writes them: bit fields, or ranges in Fibonacci coding.
//!
//! A number is the set of Fibonacci numbers (1, 2, 3, 5, ...) that it is the sum of,
//! the smallest first, ended by a second `1`; no two neighbours occur in it, so the
//! first `11` is the end. Ranges are written as differences, so they only ascend.

use crate::signals::Unreadable;
use crate::signals::bits::{Bits, Decoded};
use crate::signals::tcf::{Range, in_order};

/// Longer codes stand for numbers above 65,535.
const CODE_BITS_MAX: u32 = 24;
const WINDOW_BITS: u32 = 57;

/// The Fibonacci numbers that a code of [`CODE_BITS_MAX`] bits may name.
const FIBONACCI: [u32; 23] = {
    let (mut numbers, mut at, mut pair) = ([0; 23], 0, (1, 2));
    while at < numbers.len() {
        let (_, from) = numbers.split_at_mut(at);
        if let [slot, ..] = from {
            *slot = pair.0;
        }
        pair = (pair.1, pair.0 + pair.1);
        at += 1;
    }
    numbers
};

/// Reads one number, at least 1.
pub(super) fn read_number(bits: &mut Bits<'_>) -> Result<u16, Unreadable> {
    let width = WINDOW_BITS.min(bits.left());
    if width == 0 {
        return Err(Unreadable::Truncated);
    }
    let window = bits.clone().take(width)? << (64 - width);
    let first_of_the_end = (window & window << 1).leading_zeros();
    if first_of_the_end + 2 > width {
        return Err(if width > CODE_BITS_MAX { Unreadable::NumberTooLarge } else { Unreadable::Truncated });
    }
    if first_of_the_end + 2 > CODE_BITS_MAX {
        return Err(Unreadable::NumberTooLarge);
    }
    bits.skip(first_of_the_end + 2)?;
    let named = FIBONACCI.iter().enumerate().filter(|(at, _)| window << at >> 63 == 1);
    let sum = named.take_while(|(at, _)| *at as u32 <= first_of_the_end).map(|(_, number)| number).sum::<u32>();
    u16::try_from(sum).map_err(|_| Unreadable::NumberTooLarge)
}

/// How the ends of ranges are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Coding {
    /// Each as its distance from the end before it.
    #[default]
    Fibonacci,
    /// Each in 16 bits, as the Transparency and Consent Framework writes them.
    Fixed,
}

impl Coding {
    /// The bits that a range takes.
    fn bits_of(self, range: Range, behind: u16) -> u32 {
        let single = range.first == range.last;
        match self {
            Self::Fixed if single => 17,
            Self::Fixed => 33,
            Self::Fibonacci => {
                let last = if single { 0 } else { code_bits(range.last - range.first) };
                1 + code_bits(range.first - behind) + last
            }
        }
    }
}

/// The bits of the Fibonacci code of a number that is at least 1.
fn code_bits(number: u16) -> u32 {
    FIBONACCI.iter().take_while(|fibonacci| **fibonacci <= u32::from(number)).count() as u32 + 1
}

/// Ranges one by one.
pub(super) struct Ranges<'a> {
    bits: Bits<'a>,
    coding: Coding,
    left: u16,
    behind: u16,
}

/// The count of ranges.
const COUNT_BITS: u32 = 12;

impl<'a> Ranges<'a> {
    /// Reads how many there are.
    pub(super) fn read(mut bits: Bits<'a>, coding: Coding) -> Result<Self, Unreadable> {
        let left = bits.take_u16(COUNT_BITS)?;
        Ok(Self { bits, coding, left, behind: 0 })
    }

    /// The next range; `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<Range>, Unreadable> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        if self.coding == Coding::Fixed {
            return Range::read(&mut self.bits).map(Some);
        }
        let is_range = self.bits.take_bit()?;
        let first = self.step()?;
        let last = if is_range { self.step()? } else { first };
        Ok(Some(Range { first, last }))
    }

    fn step(&mut self) -> Result<u16, Unreadable> {
        let step = read_number(&mut self.bits)?;
        self.behind = self.behind.checked_add(step).ok_or(Unreadable::NumberTooLarge)?;
        Ok(self.behind)
    }

    /// Reads what is left. Says where the ranges end, which number is the last, and whether an encoder would write them so.
    pub(super) fn finish(mut self) -> Result<(Bits<'a>, u16, bool), Unreadable> {
        let (mut last, mut canonical) = (0, true);
        let mut before: Option<Range> = None;
        while let Some(range) = self.next()? {
            let apart = before.is_none_or(|before| u32::from(before.last) + 1 < u32::from(range.first));
            canonical &= apart && range.first > 0 && range.first <= range.last;
            last = range.last;
            before = Some(range);
        }
        Ok((self.bits, last, canonical))
    }
}

/// Identifiers as a bit field or as ranges, whichever is shorter.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ids {
    at: u32,
    max: u16,
    /// `None` for a bit field.
    ranges: Option<Coding>,
    /// Whether an encoder would have written them so.
    pub(super) canonical: bool,
}

impl Ids {
    /// Reads the maximum, the kind of coding and the identifiers.
    pub(super) fn read(bits: &mut Bits<'_>, decoded: &Decoded, coding: Coding) -> Result<Self, Unreadable> {
        let max = bits.take_u16(16)?;
        let is_ranges = bits.take_bit()?;
        let mut read = Self { at: bits.place(), max, ranges: is_ranges.then_some(coding), canonical: true };
        if !is_ranges {
            bits.skip(u32::from(max))?;
            read.canonical = read.is_shortest(decoded, coding);
            return Ok(read);
        }
        let ranges = Self::read_ranges(bits, coding)?;
        let canonical = ranges.canonical && ranges.max == max && bits.place() - read.at <= u32::from(max);
        Ok(Self { canonical, ..read })
    }

    /// Reads ranges that stand alone, without a maximum.
    pub(super) fn read_ranges(bits: &mut Bits<'_>, coding: Coding) -> Result<Self, Unreadable> {
        let at = bits.place();
        let (rest, max, canonical) = Ranges::read(bits.clone(), coding)?.finish()?;
        *bits = rest;
        Ok(Self { at, max, ranges: Some(coding), canonical })
    }

    /// Whether a bit field ends with a member, and ranges would take more bits.
    fn is_shortest(&self, decoded: &Decoded, coding: Coding) -> bool {
        let (mut bits, mut behind) = (COUNT_BITS, 0);
        let mut open: Option<Range> = None;
        for id in self.members(decoded) {
            match open.as_mut() {
                Some(range) if range.last + 1 == id => range.last = id,
                _ => {
                    if let Some(range) = open.replace(Range { first: id, last: id }) {
                        bits += coding.bits_of(range, behind);
                        behind = range.last;
                    }
                }
            }
        }
        let last = open.map_or(0, |range| range.last);
        bits += open.map_or(0, |range| coding.bits_of(range, behind));
        last == self.max && bits > u32::from(self.max)
    }

    /// Whether this identifier is a member.
    pub(super) fn contains(&self, decoded: &Decoded, id: u16) -> bool {
        match self.ranges {
            None => (1..=self.max).contains(&id) && decoded.bit(self.at + u32::from(id) - 1),
            Some(_) => self.each_range(decoded).any(|range| range.contains(id)),
        }
    }

    fn each_range<'a>(&self, decoded: &'a Decoded) -> impl Iterator<Item = Range> + use<'a> {
        let mut ranges = self.ranges.and_then(|coding| Ranges::read(decoded.read_at(self.at), coding).ok());
        std::iter::from_fn(move || ranges.as_mut()?.next().ok().flatten())
    }

    /// Every member in order, once.
    pub(super) fn members<'a>(&self, decoded: &'a Decoded) -> impl Iterator<Item = u16> + use<'a> {
        let (at, field) = (self.at, if self.ranges.is_some() { 0 } else { self.max });
        let of_field = (1..=field).filter(move |id| decoded.bit(at + u32::from(*id) - 1));
        in_order(self.each_range(decoded).collect()).chain(of_field)
    }
}
