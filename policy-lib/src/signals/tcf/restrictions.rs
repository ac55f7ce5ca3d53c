//! What a publisher allows no vendor, or only on one of the two legal bases.

use super::vendors::Range;
use crate::signals::Unreadable;
use crate::signals::bits::{Bits, Decoded};

/// What a publisher wants of a vendor for one purpose, the strictest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Restriction {
    /// The vendor must not process for this purpose at all.
    NotAllowed,
    /// Only if the person consented.
    RequireConsent,
    /// Only on legitimate interest.
    RequireInterest,
}

impl Restriction {
    const ALL: [Self; 3] = [Self::NotAllowed, Self::RequireConsent, Self::RequireInterest];

    /// The number in the coding.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::NotAllowed => 0,
            Self::RequireConsent => 1,
            Self::RequireInterest => 2,
        }
    }

    fn numbered(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|restriction| restriction.number() == number)
    }
}

/// Every restriction of a TC string, left where it stands in the decoded bits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Restrictions {
    at: u32,
    count: u16,
    /// What is wrong with the first that is.
    flaw: Option<Unreadable>,
}

/// What one entry says: this restriction, for this purpose, of these vendors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Restricted {
    pub(super) purpose: u8,
    pub(super) restriction: Restriction,
    pub(super) vendors: Range,
}

/// One restriction with all its ranges, as it is written.
pub(in crate::signals) struct Whole {
    pub(in crate::signals) purpose: u8,
    /// The type; 3 has no meaning.
    pub(in crate::signals) kind: u8,
    pub(in crate::signals) ranges: Vec<Range>,
}

/// The head of one restriction; its ranges follow.
struct Head {
    purpose: u8,
    kind: u8,
    entries: u16,
}

impl Head {
    fn read(bits: &mut Bits<'_>) -> Result<Self, Unreadable> {
        Ok(Self { purpose: bits.take_u8(6)?, kind: bits.take_u8(2)?, entries: bits.take_u16(12)? })
    }

    /// The restriction, if its purpose and type exist.
    fn known(&self) -> Option<Restriction> {
        Restriction::numbered(self.kind).filter(|_| self.purpose > 0)
    }
}

impl Restrictions {
    /// Reads all of them.
    pub(super) fn read(bits: &mut Bits<'_>) -> Result<Self, Unreadable> {
        let count = bits.take_u16(12)?;
        let at = bits.place();
        let mut flaw = None;
        for _ in 0..count {
            let head = Head::read(bits)?;
            if head.entries > 0 && head.known().is_none() {
                flaw = flaw.or(Some(Unreadable::UnknownRestriction));
            }
            for _ in 0..head.entries {
                let range = Range::read(bits)?;
                if range.first > range.last {
                    flaw = flaw.or(Some(Unreadable::BackwardRange));
                }
            }
        }
        Ok(Self { at, count, flaw })
    }

    /// None, because the string ends where they should stand.
    pub(super) fn cut_off() -> Self {
        Self { flaw: Some(Unreadable::Truncated), ..Self::default() }
    }

    /// What is wrong with them: an unknown purpose or type that names a vendor, a range that runs backward.
    pub(super) const fn flaw(&self) -> Option<Unreadable> {
        self.flaw
    }

    /// Each restriction with all its ranges, in the order written.
    pub(super) fn each<'a>(&self, decoded: &'a Decoded) -> impl Iterator<Item = Whole> + use<'a> {
        let mut bits = decoded.read_at(self.at);
        (0..self.count).map_while(move |_| {
            let head = Head::read(&mut bits).ok()?;
            let ranges = (0..head.entries).map_while(|_| Range::read(&mut bits).ok()).collect();
            Some(Whole { purpose: head.purpose, kind: head.kind, ranges })
        })
    }

    /// Every entry in the order written.
    pub(super) fn iter<'a>(&self, decoded: &'a Decoded) -> impl Iterator<Item = Restricted> + use<'a> {
        let mut bits = decoded.read_at(self.at);
        let mut heads_left = self.count;
        let mut head: Option<Head> = None;
        std::iter::from_fn(move || {
            loop {
                match head.as_mut() {
                    Some(of) if of.entries > 0 => {
                        of.entries -= 1;
                        let vendors = Range::read(&mut bits).ok()?;
                        return Some(Restricted { purpose: of.purpose, restriction: of.known()?, vendors });
                    }
                    _ if heads_left == 0 => return None,
                    _ => {
                        heads_left -= 1;
                        head = Some(Head::read(&mut bits).ok()?);
                    }
                }
            }
        })
    }

    /// Those of one vendor for one purpose.
    pub(super) fn of<'a>(
        &self,
        decoded: &'a Decoded,
        purpose: u8,
        vendor: u16,
    ) -> impl Iterator<Item = Restriction> + use<'a> {
        let all = self.iter(decoded);
        all.filter(move |entry| entry.purpose == purpose && entry.vendors.contains(vendor))
            .map(|entry| entry.restriction)
    }
}
