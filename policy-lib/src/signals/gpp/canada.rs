//! The section of the Transparency and Consent Framework of IAB Canada, version 1.
//!
//! Its sets of vendors are specified in Fibonacci coding. Encoders before 2025 wrote
//! them in 16 bits each; nothing in a string tells which. As the reference decoder
//! does, the reading is taken that an encoder would write bit for bit, the specified one first.

use std::fmt;
use std::ops::RangeInclusive;

use super::ids::{Coding, Ids};
use crate::signals::Unreadable;
use crate::signals::bits::{Bits, Decoded, Extent};
use crate::signals::tcf::{self, Numbers, Unusable, read_letters, read_moment_ms};

/// What stands in the core segment before the vendors.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Core {
    pub(super) version: u8,
    pub(super) created_ms: i64,
    pub(super) last_updated_ms: i64,
    pub(super) cmp_id: u16,
    pub(super) cmp_version: u16,
    pub(super) consent_screen: u8,
    pub(super) consent_language: [u8; 2],
    pub(super) vendor_list_version: u16,
    pub(super) policy_version: u8,
    pub(super) non_standard_texts: bool,
    pub(super) special_features: Numbers,
    pub(super) express: Numbers,
    pub(super) implied: Numbers,
}

impl Core {
    fn read(bits: &mut Bits<'_>) -> Result<Self, Unreadable> {
        Ok(Self {
            version: bits.take_u8(6)?,
            created_ms: read_moment_ms(bits)?,
            last_updated_ms: read_moment_ms(bits)?,
            cmp_id: bits.take_u16(12)?,
            cmp_version: bits.take_u16(12)?,
            consent_screen: bits.take_u8(6)?,
            consent_language: read_letters(bits)?,
            vendor_list_version: bits.take_u16(12)?,
            policy_version: bits.take_u8(6)?,
            non_standard_texts: bits.take_bit()?,
            special_features: Numbers::read(bits, 12)?,
            express: Numbers::read(bits, 24)?,
            implied: Numbers::read(bits, 24)?,
        })
    }
}

/// The sets of vendors in the core segment, in one reading.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sets {
    coding: Coding,
    pub(super) express: Ids,
    pub(super) implied: Ids,
    /// Where the restrictions stand, and how many; nothing where they are cut off.
    restrictions: Option<(u32, u16)>,
    canonical: bool,
}

/// What a publisher restricts: the purpose, the type, and the vendors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Restricted {
    pub(super) purpose: u8,
    pub(super) kind: u8,
    pub(super) vendors: Ids,
}

impl Sets {
    fn read(mut bits: Bits<'_>, decoded: &Decoded, coding: Coding) -> Result<Self, Unreadable> {
        let express = Ids::read(&mut bits, decoded, coding)?;
        let implied = Ids::read(&mut bits, decoded, coding)?;
        let mut read = Self { coding, express, implied, restrictions: None, canonical: false };
        if let Ok((restrictions, canonical)) = read.read_restrictions(&mut bits, decoded) {
            read.restrictions = Some(restrictions);
            read.canonical = canonical && express.canonical && implied.canonical;
        }
        Ok(read)
    }

    fn read_restrictions(&self, bits: &mut Bits<'_>, decoded: &Decoded) -> Result<((u32, u16), bool), Unreadable> {
        let count = bits.take_u16(12)?;
        let at = bits.place();
        let mut canonical = true;
        for _ in 0..count {
            canonical &= self.read_restriction(bits, decoded)?.vendors.canonical;
        }
        Ok(((at, count), canonical))
    }

    fn read_restriction(&self, bits: &mut Bits<'_>, decoded: &Decoded) -> Result<Restricted, Unreadable> {
        let (purpose, kind) = (bits.take_u8(6)?, bits.take_u8(2)?);
        let vendors = match self.coding {
            Coding::Fibonacci => Ids::read(bits, decoded, self.coding)?,
            Coding::Fixed => Ids::read_ranges(bits, self.coding)?,
        };
        Ok(Restricted { purpose, kind, vendors })
    }

    /// The reading that an encoder would write, else the one that is specified.
    fn choose(bits: &Bits<'_>, decoded: &Decoded) -> Result<Self, Unreadable> {
        let specified = Self::read(bits.clone(), decoded, Coding::Fibonacci);
        if specified.as_ref().is_ok_and(|read| read.canonical) {
            return specified;
        }
        Self::read(bits.clone(), decoded, Coding::Fixed).ok().filter(|read| read.canonical).map_or(specified, Ok)
    }

    /// Every restriction in the order written.
    pub(super) fn restrictions(&self, decoded: &Decoded) -> impl Iterator<Item = Restricted> {
        let (at, count) = self.restrictions.unwrap_or_default();
        let mut bits = decoded.read_at(at);
        (0..count).map_while(move |_| self.read_restriction(&mut bits, decoded).ok())
    }
}

/// The purposes of the publisher itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Publisher {
    pub(super) express: Numbers,
    pub(super) implied: Numbers,
    pub(super) custom_express: Numbers,
    pub(super) custom_implied: Numbers,
}

impl Publisher {
    /// What a string says that has no segment of the publisher.
    fn none() -> Self {
        let (none, no_custom) = (Numbers::NO_PURPOSE, Numbers::default());
        Self { express: none, implied: none, custom_express: no_custom, custom_implied: no_custom }
    }

    fn read(bits: &mut Bits<'_>) -> Result<Self, Unreadable> {
        bits.skip(3)?;
        let (express, implied) = (Numbers::read(bits, 24)?, Numbers::read(bits, 24)?);
        let custom = bits.take_u8(6)?;
        let custom_express = Numbers::read(bits, custom)?;
        Ok(Self { express, implied, custom_express, custom_implied: Numbers::read(bits, custom)? })
    }
}

/// The section of IAB Canada, decoded.
pub struct TcfCanada {
    pub(super) decoded: Decoded,
    pub(super) core: Core,
    pub(super) sets: Sets,
    pub(super) publisher: Publisher,
    pub(super) disclosed: Ids,
}

impl TcfCanada {
    /// Reads the section.
    pub(super) fn read(text: &str) -> Result<Self, Unreadable> {
        let mut decoded = Decoded::for_text(text.len());
        let (mut core, mut publisher, mut disclosed) = (None, None, None);
        for segment in text.split('.').filter(|segment| !segment.is_empty()) {
            let extent = decoded.add(segment)?;
            let slot = match segment.as_bytes().first() {
                Some(b'A'..=b'H') => &mut core,
                Some(b'I'..=b'P') => &mut disclosed,
                Some(b'Y' | b'Z' | b'a'..=b'f') => &mut publisher,
                _ => return Err(Unreadable::UnknownSegment),
            };
            if slot.replace(extent).is_some() {
                return Err(Unreadable::RepeatedSegment);
            }
        }
        decoded.close();
        Self::read_segments(decoded, core.ok_or(Unreadable::Empty)?, publisher, disclosed)
    }

    fn read_segments(
        decoded: Decoded,
        core: Extent,
        publisher: Option<Extent>,
        disclosed: Option<Extent>,
    ) -> Result<Self, Unreadable> {
        let mut bits = decoded.read(core);
        let core = Core::read(&mut bits)?;
        let sets = Sets::choose(&bits, &decoded)?;
        let publisher = publisher.map(|extent| Publisher::read(&mut decoded.read(extent))).transpose()?;
        let disclosed = disclosed.map(|extent| read_disclosed(&decoded, extent)).transpose()?;
        let publisher = publisher.unwrap_or_else(Publisher::none);
        let disclosed = disclosed.unwrap_or_default();
        Ok(Self { decoded, core, sets, publisher, disclosed })
    }

    /// When it was last changed, in milliseconds since 1970.
    #[must_use]
    pub const fn last_updated_ms(&self) -> i64 {
        self.core.last_updated_ms
    }

    /// When it may count as consent, in milliseconds since 1970: as a TC string of Europe.
    #[must_use]
    pub fn holds_ms(&self) -> RangeInclusive<i64> {
        tcf::holds_ms(self.core.created_ms, self.core.last_updated_ms)
    }

    /// Whether it may count as consent at the time at which it holds.
    ///
    /// # Errors
    /// [`Unusable`], the first reason that applies.
    pub fn sound(&self) -> Result<(), Unusable> {
        let flaws = [
            (self.core.version != 1, Unusable::UnknownVersion),
            (self.core.cmp_id <= tcf::CMP_ID_NONE, Unusable::UnknownCmp),
            (!self.sets.canonical, Unusable::Contradictory),
        ];
        flaws.into_iter().find(|(flawed, _)| *flawed).map_or(Ok(()), |(_, reason)| Err(reason))
    }

    /// Whether it may count as consent at this time, in milliseconds since 1970.
    ///
    /// # Errors
    /// [`Unusable`], the first reason that applies.
    pub fn usable(&self, now_ms: i64) -> Result<(), Unusable> {
        self.sound()?;
        tcf::in_time(&self.holds_ms(), now_ms)
    }

    /// Whether the person consented expressly to a purpose, and to a vendor if the recipient is one.
    ///
    /// Never where the string has another version, or was written by no encoder.
    #[must_use]
    pub fn express_consent(&self, purpose: u8, vendor: Option<u16>) -> bool {
        let sets = &self.sets;
        let to = |vendor| sets.express.contains(&self.decoded, vendor) && !self.restricts(purpose, vendor);
        let reliable = self.core.version == 1 && sets.canonical;
        reliable && self.core.express.contains(purpose) && vendor.is_none_or(to)
    }

    /// Whether any restriction names a vendor for a purpose.
    fn restricts(&self, purpose: u8, vendor: u16) -> bool {
        let mut restrictions = self.sets.restrictions(&self.decoded);
        restrictions
            .any(|restricted| restricted.purpose == purpose && restricted.vendors.contains(&self.decoded, vendor))
    }
}

fn read_disclosed(decoded: &Decoded, extent: Extent) -> Result<Ids, Unreadable> {
    let read = |coding| {
        let mut bits = decoded.read(extent);
        bits.skip(3)?;
        Ids::read(&mut bits, decoded, coding)
    };
    let specified = read(Coding::Fibonacci);
    if specified.as_ref().is_ok_and(|ids| ids.canonical) {
        return specified;
    }
    read(Coding::Fixed).ok().filter(|ids| ids.canonical).map_or(specified, Ok)
}

/// How much it holds, and nothing of it.
impl fmt::Debug for TcfCanada {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcfCanada").field("bytes", &self.decoded.len()).finish_non_exhaustive()
    }
}
