//! The TC string of IAB Europe's Transparency and Consent Framework, versions 2.2 and 2.3.
//!
//! Written after "Transparency and Consent String with Global Vendor & CMP List
//! Formats", IAB Tech Lab, version 2. A string of version 1 decodes too, so that it
//! can be shown; it is never usable as consent.
//!
//! Promise: one allocation a string, of its decoded bytes; vendors and ranges stay
//! bits where they stand. A string may say less than it was meant to, never more:
//! what contradicts the specification makes it [unusable](TcString::usable).
//!
//! Not here: which vendor is the recipient's, and whether GDPR applies.

mod draft;
mod restrictions;
mod shown;
mod vendors;

use std::fmt;
use std::ops::RangeInclusive;

pub use draft::Draft;
pub use restrictions::Restriction;
use restrictions::Restrictions;
pub use shown::Shown;
pub(super) use shown::{GppFields, Streamed, moment, spaced_letters};
pub(super) use vendors::{Range, Vendors, in_order};

use super::bits::{Bits, Decoded, Extent};
use super::{TEXT_BYTES_MAX, Unreadable};

/// Numbers from 1 on, as the bits of a fixed field; number 1 is the field's first bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Numbers {
    bits: u64,
    width: u8,
}

impl Numbers {
    /// No purpose of the 24 there is room for.
    pub(super) const NO_PURPOSE: Self = Self { bits: 0, width: 24 };

    pub(super) fn read(bits: &mut Bits<'_>, width: u8) -> Result<Self, Unreadable> {
        let read = if width == 0 { 0 } else { bits.take(u32::from(width.min(32)))? };
        if width <= 32 {
            return Ok(Self { bits: read, width });
        }
        Ok(Self { bits: read << (width - 32) | bits.take(u32::from(width - 32))?, width })
    }

    pub(super) const fn contains(self, number: u8) -> bool {
        number > 0 && number <= self.width && self.bits >> (self.width - number) & 1 == 1
    }

    /// How many numbers there are, set or not.
    pub(super) const fn width(self) -> u8 {
        self.width
    }

    /// One truth value a number, in order.
    pub(super) fn each(self) -> impl Iterator<Item = bool> {
        (1..=self.width).map(move |number| self.contains(number))
    }

    pub(super) fn iter(self) -> impl Iterator<Item = u8> {
        (1..=self.width).filter(move |number| self.contains(*number))
    }
}

/// A moment as TC strings write it: tenths of a second since 1970.
pub(super) fn read_moment_ms(bits: &mut Bits<'_>) -> Result<i64, Unreadable> {
    bits.take(36).map(|tenths| i64::try_from(tenths).unwrap_or(i64::MAX) * 100)
}

/// Two characters of six bits, `A` being 0.
pub(super) fn read_letters(bits: &mut Bits<'_>) -> Result<[u8; 2], Unreadable> {
    Ok([bits.take_u8(6)? + b'A', bits.take_u8(6)? + b'A'])
}

/// What stands in the core segment before the vendors.
#[derive(Clone, Copy, Debug, Default)]
struct Core {
    version: u8,
    created_ms: i64,
    last_updated_ms: i64,
    cmp_id: u16,
    cmp_version: u16,
    consent_screen: u8,
    consent_language: [u8; 2],
    vendor_list_version: u16,
    policy_version: u8,
    service_specific: bool,
    non_standard_texts: bool,
    special_features: Numbers,
    purpose_consents: Numbers,
    purpose_interests: Numbers,
    purpose_one_treatment: bool,
    publisher_country: [u8; 2],
}

/// What a string of version 1 leaves out, as the reference decoder fills it in.
const VERSION_1_POLICY: u8 = 2;
const NO_COUNTRY: [u8; 2] = *b"AA";

impl Core {
    fn read(bits: &mut Bits<'_>) -> Result<Self, Unreadable> {
        let mut core = Self {
            version: bits.take_u8(6)?,
            policy_version: VERSION_1_POLICY,
            publisher_country: NO_COUNTRY,
            ..Self::default()
        };
        if !(1..=2).contains(&core.version) {
            // Three bits of a version are where the other segments have their type.
            let other = matches!(core.version >> SEGMENT_TYPE_BITS, 1..=3);
            return Err(if other { Unreadable::MisplacedCore } else { Unreadable::UnknownVersion });
        }
        core.created_ms = read_moment_ms(bits)?;
        core.last_updated_ms = read_moment_ms(bits)?;
        core.cmp_id = bits.take_u16(12)?;
        core.cmp_version = bits.take_u16(12)?;
        core.consent_screen = bits.take_u8(6)?;
        core.consent_language = read_letters(bits)?;
        core.vendor_list_version = bits.take_u16(12)?;
        if core.version == 1 {
            core.purpose_consents = Numbers::read(bits, 24)?;
        } else {
            core.read_version_2(bits)?;
        }
        Ok(core)
    }

    fn read_version_2(&mut self, bits: &mut Bits<'_>) -> Result<(), Unreadable> {
        self.policy_version = bits.take_u8(6)?;
        self.service_specific = bits.take_bit()?;
        self.non_standard_texts = bits.take_bit()?;
        self.special_features = Numbers::read(bits, 12)?;
        self.purpose_consents = Numbers::read(bits, 24)?;
        self.purpose_interests = Numbers::read(bits, 24)?;
        self.purpose_one_treatment = bits.take_bit()?;
        self.publisher_country = read_letters(bits)?;
        Ok(())
    }
}

/// The purposes of the publisher itself.
#[derive(Clone, Copy, Debug)]
struct Publisher {
    consents: Numbers,
    interests: Numbers,
    custom_consents: Numbers,
    custom_interests: Numbers,
}

impl Publisher {
    /// What a string says that has no segment of the publisher.
    const NONE: Self = Self {
        consents: Numbers::NO_PURPOSE,
        interests: Numbers::NO_PURPOSE,
        custom_consents: Numbers { bits: 0, width: 0 },
        custom_interests: Numbers { bits: 0, width: 0 },
    };

    fn read(bits: &mut Bits<'_>) -> Result<Self, Unreadable> {
        let consents = Numbers::read(bits, 24)?;
        let interests = Numbers::read(bits, 24)?;
        let custom = bits.take_u8(6)?;
        let custom_consents = Numbers::read(bits, custom)?;
        Ok(Self { consents, interests, custom_consents, custom_interests: Numbers::read(bits, custom)? })
    }
}

/// The segments behind the core.
#[derive(Clone, Copy, Debug, Default)]
struct Others {
    disclosed: Option<Vendors>,
    allowed: Option<Vendors>,
    publisher: Option<Publisher>,
    /// Whether one stood twice; the later one is shown.
    repeated: bool,
}

impl Others {
    /// Reads one more. A string of version 1 has none.
    fn read(&mut self, bits: &mut Bits<'_>, version: u8) -> Result<(), Unreadable> {
        let there = match bits.take_u8(3)? {
            0 => return Err(Unreadable::MisplacedCore),
            _ if version == 1 => return Err(Unreadable::UnknownSegment),
            1 => self.disclosed.replace(Vendors::read(bits, 2)?).is_some(),
            2 => self.allowed.replace(Vendors::read(bits, 2)?).is_some(),
            3 => self.publisher.replace(Publisher::read(bits)?).is_some(),
            _ => return Err(Unreadable::UnknownSegment),
        };
        self.repeated |= there;
        Ok(())
    }
}

/// A TC string, decoded.
///
/// ```
/// use privet_policy::signals::tcf::TcString;
///
/// let read = TcString::read("CPdECS0PdECS0ACABBENAzCv_____3___wAAAQNd_X9cAAAAAAAA")?;
/// assert_eq!(read.last_updated_ms(), 1_659_372_459_600);
/// assert!(read.purpose_consent(1) && read.vendor_consent(32) && !read.vendor_consent(33));
/// assert!(read.usable(1_700_000_000_000).is_err(), "a policy version of 2022 is no consent any more");
/// # Ok::<(), privet_policy::signals::Unreadable>(())
/// ```
pub struct TcString {
    decoded: Decoded,
    core: Core,
    consents: Vendors,
    interests: Vendors,
    restrictions: Restrictions,
    others: Others,
}

/// How much it holds, and nothing of it.
impl fmt::Debug for TcString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcString").field("bytes", &self.decoded.len()).finish_non_exhaustive()
    }
}

/// Why a TC string that can be read must not count as consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Unusable {
    /// A string of version 1, which no consent platform may write since 2020.
    #[error("the TC string is of version 1")]
    Version1,
    /// Asked under a policy that is not in force any more.
    #[error("the TC string was made under a policy before version {POLICY_VERSION_MIN}")]
    OldPolicy,
    /// A string for all services, which the framework gave up.
    #[error("the TC string is not specific to a service")]
    NotServiceSpecific,
    /// An identifier of a consent management platform that is never given out.
    #[error("the identifier of the consent management platform is not above 1")]
    UnknownCmp,
    /// Legitimate interest for a purpose that only consent can permit.
    #[error("the TC string claims legitimate interest for a purpose that has none")]
    ForbiddenInterest,
    /// Since version 2.3 a string has to say which vendors the person was shown.
    #[error("the TC string does not say which vendors were disclosed")]
    NothingDisclosed,
    /// Ranges that run backward or beyond their own maximum, or a segment that stands twice.
    #[error("the TC string contradicts itself")]
    Contradictory,
    /// Made or changed later than now, with a day of grace for clocks.
    #[error("the TC string is from the future")]
    FromTheFuture,
    /// Not changed for 13 months: the person has to be asked again.
    #[error("the TC string is older than 13 months")]
    Expired,
    /// A section of Canada of another version than 1.
    #[error("the version of the section is unknown")]
    UnknownVersion,
}

impl Unusable {
    /// The reason as a label of a metric.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Version1 => "version_1",
            Self::OldPolicy => "old_policy",
            Self::NotServiceSpecific => "not_service_specific",
            Self::UnknownCmp => "unknown_cmp",
            Self::ForbiddenInterest => "forbidden_interest",
            Self::NothingDisclosed => "nothing_disclosed",
            Self::Contradictory => "contradictory",
            Self::FromTheFuture => "from_the_future",
            Self::Expired => "expired",
            Self::UnknownVersion => "unknown_version",
        }
    }
}

/// A segment's type, at its beginning, in bits; the core has none.
const SEGMENT_TYPE_BITS: u8 = 3;
/// Policies before this one are invalid since 2023-09-30.
pub const POLICY_VERSION_MIN: u8 = 4;
/// From this policy on (TCF 2.3) the segment of disclosed vendors is mandatory.
const POLICY_VERSION_DISCLOSING: u8 = 5;
/// Identifiers of consent management platforms begin above this.
pub(super) const CMP_ID_NONE: u16 = 1;
/// Only consent permits these, since TCF 2.2: "bits 2 to 5 are required to be 0", and purpose 1 never had another basis.
const PURPOSES_WITHOUT_INTEREST: [u8; 5] = [1, 3, 4, 5, 6];
/// How far the clock of a person's device may be ahead.
const CLOCK_GRACE_MS: i64 = 24 * 60 * 60 * 1000;
/// How long a string holds: the framework has a person asked again after 13 months.
const HOLDS_MS: i64 = 396 * 24 * 60 * 60 * 1_000;

/// When a string of these times holds, in milliseconds since 1970.
pub(crate) fn holds_ms(created_ms: i64, last_updated_ms: i64) -> RangeInclusive<i64> {
    let newest = created_ms.max(last_updated_ms);
    newest.saturating_sub(CLOCK_GRACE_MS)..=last_updated_ms.saturating_add(HOLDS_MS)
}

/// Whether a time is one at which a string holds.
pub(crate) fn in_time(holds_ms: &RangeInclusive<i64>, now_ms: i64) -> Result<(), Unusable> {
    match now_ms {
        _ if holds_ms.contains(&now_ms) => Ok(()),
        _ if now_ms < *holds_ms.start() => Err(Unusable::FromTheFuture),
        _ => Err(Unusable::Expired),
    }
}

impl TcString {
    /// Decodes a TC string.
    ///
    /// # Errors
    /// [`Unreadable`]: whatever the reference decoder (`@iabtcf/core`) rejects, and
    /// besides a string that does not begin with its core segment, or has two.
    pub fn read(text: &str) -> Result<Self, Unreadable> {
        if text.split('.').any(str::is_empty) {
            return Err(Unreadable::Empty);
        }
        let read = Self::read_leniently(text)?;
        read.flaw().map_or(Ok(read), Err)
    }

    /// Decodes a TC string as a GPP string carries it.
    ///
    /// The reference decoder of those (`@iabgpp/cmpapi`) passes over empty segments,
    /// asks neither for a platform nor for a country, and takes restrictions that are
    /// cut off for none. All of that decodes, and none of it is [usable](Self::usable).
    pub(super) fn read_leniently(text: &str) -> Result<Self, Unreadable> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(Unreadable::TooLong);
        }
        let mut decoded = Decoded::for_text(text.len());
        let mut segments = text.split('.').filter(|segment| !segment.is_empty());
        let core = decoded.add(segments.next().ok_or(Unreadable::Empty)?)?;
        let mut extents = [None; SEGMENTS_MAX];
        for (number, segment) in segments.enumerate() {
            *extents.get_mut(number).ok_or(Unreadable::TooLong)? = Some(decoded.add(segment)?);
        }
        decoded.close();
        let mut read = Self::read_core(decoded, core)?;
        for extent in extents.into_iter().flatten() {
            read.others.read(&mut read.decoded.read(extent), read.core.version)?;
        }
        Ok(read)
    }

    fn read_core(decoded: Decoded, extent: Extent) -> Result<Self, Unreadable> {
        let mut bits = decoded.read(extent);
        let core = Core::read(&mut bits)?;
        let consents = Vendors::read(&mut bits, core.version)?;
        let (mut interests, mut restrictions) = Default::default();
        if core.version == 2 {
            interests = Vendors::read(&mut bits, core.version)?;
            restrictions = Restrictions::read(&mut bits).unwrap_or_else(|_| Restrictions::cut_off());
        }
        Ok(Self { decoded, core, consents, interests, restrictions, others: Others::default() })
    }

    /// What a TC string must not have, besides being cut off.
    fn flaw(&self) -> Option<Unreadable> {
        let no_letter = |letter: &u8| *letter > b'z';
        let flaws = [
            (self.core.cmp_id <= CMP_ID_NONE).then_some(Unreadable::UnknownCmp),
            self.core.publisher_country.iter().any(no_letter).then_some(Unreadable::NotACountry),
            self.vendor_sets().any(|set| set.names_zero()).then_some(Unreadable::VendorZero),
            self.restrictions.flaw(),
        ];
        flaws.into_iter().flatten().next()
    }

    fn vendor_sets(&self) -> impl Iterator<Item = Vendors> {
        let sets = [Some(self.consents), Some(self.interests), self.others.disclosed, self.others.allowed];
        sets.into_iter().flatten()
    }

    /// Whether it may count as consent at this time, in milliseconds since 1970.
    ///
    /// # Errors
    /// [`Unusable`], the first reason that applies.
    pub fn usable(&self, now_ms: i64) -> Result<(), Unusable> {
        self.sound()?;
        in_time(&self.holds_ms(), now_ms)
    }

    /// When it may count as consent, in milliseconds since 1970: from a day before it was made, for clocks that are
    /// ahead, until 13 months after it was last changed.
    #[must_use]
    pub fn holds_ms(&self) -> RangeInclusive<i64> {
        holds_ms(self.core.created_ms, self.core.last_updated_ms)
    }

    /// Whether it may count as consent at the time at which it holds.
    ///
    /// # Errors
    /// [`Unusable`], the first reason that applies.
    pub fn sound(&self) -> Result<(), Unusable> {
        let core = &self.core;
        let disclosing = core.policy_version >= POLICY_VERSION_DISCLOSING;
        let flaws = [
            (core.version != 2, Unusable::Version1),
            (core.policy_version < POLICY_VERSION_MIN, Unusable::OldPolicy),
            (!core.service_specific, Unusable::NotServiceSpecific),
            (core.cmp_id <= CMP_ID_NONE, Unusable::UnknownCmp),
            (PURPOSES_WITHOUT_INTEREST.iter().any(|no| self.purpose_interest(*no)), Unusable::ForbiddenInterest),
            (disclosing && self.others.disclosed.is_none(), Unusable::NothingDisclosed),
            (
                self.others.repeated || self.flaw().is_some() || !self.vendor_sets().all(|set| set.is_sound()),
                Unusable::Contradictory,
            ),
        ];
        flaws.into_iter().find(|(flawed, _)| *flawed).map_or(Ok(()), |(_, reason)| Err(reason))
    }

    /// When it was first made, in milliseconds since 1970.
    #[must_use]
    pub const fn created_ms(&self) -> i64 {
        self.core.created_ms
    }

    /// When it was last changed, in milliseconds since 1970.
    #[must_use]
    pub const fn last_updated_ms(&self) -> i64 {
        self.core.last_updated_ms
    }

    /// The version of the framework's policy under which the person was asked; 2 for a string of version 1.
    #[must_use]
    pub const fn policy_version(&self) -> u8 {
        self.core.policy_version
    }

    /// Whether the bit of consent to a purpose is set.
    #[must_use]
    pub const fn purpose_consent(&self, purpose: u8) -> bool {
        self.core.purpose_consents.contains(purpose)
    }

    /// Whether the bit of legitimate interest for a purpose is set.
    #[must_use]
    pub const fn purpose_interest(&self, purpose: u8) -> bool {
        self.core.purpose_interests.contains(purpose)
    }

    /// Whether the person opted in to a special feature: 1 is precise location, 2 scanning a device.
    #[must_use]
    pub const fn special_feature(&self, feature: u8) -> bool {
        self.core.special_features.contains(feature)
    }

    /// Whether the person consented to a vendor.
    #[must_use]
    pub fn vendor_consent(&self, vendor: u16) -> bool {
        self.consents.contains(&self.decoded, vendor)
    }

    /// Whether a vendor was named for legitimate interest and the person did not object to it.
    #[must_use]
    pub fn vendor_interest(&self, vendor: u16) -> bool {
        self.interests.contains(&self.decoded, vendor)
    }

    /// Whether the person was shown a vendor; `None` where the string does not say of any.
    #[must_use]
    pub fn disclosed(&self, vendor: u16) -> Option<bool> {
        self.others.disclosed.map(|disclosed| disclosed.contains(&self.decoded, vendor))
    }

    /// The strictest restriction of a vendor for a purpose.
    #[must_use]
    pub fn restriction(&self, purpose: u8, vendor: u16) -> Option<Restriction> {
        self.restrictions.of(&self.decoded, purpose, vendor).min()
    }

    /// Whether it consents to a purpose, by this vendor if the recipient is one.
    ///
    /// The purpose, and the vendor, and that the vendor was disclosed where the
    /// string says which were, and no restriction that takes consent away.
    #[must_use]
    pub fn consents(&self, purpose: u8, vendor: Option<u16>) -> bool {
        let to = |vendor| self.vendor_consent(vendor) && self.reaches(purpose, vendor, Restriction::RequireInterest);
        self.purpose_consent(purpose) && vendor.is_none_or(to)
    }

    /// Whether it leaves a legitimate interest in a purpose standing, of this vendor if the recipient is one.
    #[must_use]
    pub fn permits_interest(&self, purpose: u8, vendor: Option<u16>) -> bool {
        let of = |vendor| self.vendor_interest(vendor) && self.reaches(purpose, vendor, Restriction::RequireConsent);
        let possible = !PURPOSES_WITHOUT_INTEREST.contains(&purpose);
        possible && self.purpose_interest(purpose) && vendor.is_none_or(of)
    }

    /// Whether a vendor was disclosed, and may process for a purpose though there is a restriction to the other basis.
    fn reaches(&self, purpose: u8, vendor: u16, other_basis: Restriction) -> bool {
        let forbids = |restriction| restriction == Restriction::NotAllowed || restriction == other_basis;
        let forbidden = || self.restrictions.of(&self.decoded, purpose, vendor).any(forbids);
        self.disclosed(vendor) != Some(false) && !forbidden()
    }
}

/// Segments behind the core. There are three types; more than this is no honest string.
const SEGMENTS_MAX: usize = 8;
