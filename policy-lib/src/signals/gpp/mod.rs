//! The GPP string of IAB Tech Lab's Global Privacy Platform, version 1, and its sections.
//!
//! Written after "Core/Consent String Specification.md" and the specifications of the
//! sections in its repository: 2 (Europe), 5 (Canada), 6 (US Privacy), 7 (United States)
//! and 8 to 27 (states). Sections of other numbers are passed over, and named.
//!
//! Promise: a string with one section that cannot be read cannot be read at all, so
//! no opt-out is lost; one allocation a section.
//!
//! Not here: which section is about the person (`gpp_sid`), and what an opt-out forbids.

mod canada;
mod ids;
mod layouts;
mod shown;
mod us;

use std::fmt;

pub use canada::TcfCanada;
use ids::{Coding, Ranges};
pub use shown::{Shown, ShownSection};
use us::UsSection;
pub use us::{Choice, Unreliable, UsPrivacyChoices};

use super::bits::Decoded;
use super::tcf::{Range, TcString};
use super::us_privacy::UsPrivacy;
use super::{TEXT_BYTES_MAX, Unreadable};

/// The section of the Transparency and Consent Framework of Europe.
pub const EUROPE: u16 = 2;
/// The section of the Transparency and Consent Framework of Canada.
pub const CANADA: u16 = 5;
/// The section that holds a US Privacy string.
pub const US_PRIVACY: u16 = 6;
/// The section for the whole of the United States. The states follow it, to [`STATE_LAST`].
pub const US_NATIONAL: u16 = layouts::NATIONAL;
/// The last section of a state, Rhode Island.
pub const STATE_LAST: u16 = 27;

/// One section, decoded.
pub struct Section(Decoding);

enum Decoding {
    Europe(Box<TcString>),
    Canada(Box<TcfCanada>),
    /// And whether anything follows.
    UsPrivacy([u8; 4], bool),
    Us(UsSection),
}

impl Section {
    /// Decodes the section of this number; `None` where there is no such section.
    ///
    /// # Errors
    /// [`Unreadable`]: whatever the reference decoder (`@iabgpp/cmpapi`) rejects, and besides what docs/decisions names.
    pub fn read(id: u16, text: &str) -> Option<Result<Self, Unreadable>> {
        if text.len() > TEXT_BYTES_MAX {
            return Some(Err(Unreadable::TooLong));
        }
        let decoding = match id {
            EUROPE => TcString::read_leniently(text).map(Box::new).map(Decoding::Europe),
            CANADA => TcfCanada::read(text).map(Box::new).map(Decoding::Canada),
            US_PRIVACY => four_letters(text).map(|letters| Decoding::UsPrivacy(letters, text.contains('.'))),
            _ => UsSection::read_numbered(id, text)?.map(Decoding::Us),
        };
        Some(decoding.map(Self))
    }

    /// Its number.
    #[must_use]
    pub const fn id(&self) -> u16 {
        match &self.0 {
            Decoding::Europe(_) => EUROPE,
            Decoding::Canada(_) => CANADA,
            Decoding::UsPrivacy(..) => US_PRIVACY,
            Decoding::Us(section) => section.id(),
        }
    }

    /// Its client-side prefix, as in `usca`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match &self.0 {
            Decoding::Europe(_) => "tcfeuv2",
            Decoding::Canada(_) => "tcfcav1",
            Decoding::UsPrivacy(..) => "uspv1",
            Decoding::Us(section) => section.name(),
        }
    }

    /// The number of the section with this prefix.
    #[must_use]
    pub fn numbered(name: &str) -> Option<u16> {
        match name {
            "tcfeuv2" => Some(EUROPE),
            "tcfcav1" => Some(CANADA),
            "uspv1" => Some(US_PRIVACY),
            _ => (US_NATIONAL..=STATE_LAST).find(|id| layouts::layout(*id).is_some_and(|layout| layout.name == name)),
        }
    }

    /// What a person in the United States chose; `None` for another section.
    ///
    /// A US Privacy string says of the sale alone.
    ///
    /// # Errors
    /// [`Unreliable`] where it decodes, and anything in it is not of its specification.
    #[must_use]
    pub fn us(&self) -> Option<Result<UsPrivacyChoices, Unreliable>> {
        match &self.0 {
            Decoding::Us(section) => Some(section.choices()),
            Decoding::UsPrivacy(_, true) => Some(Err(Unreliable::UnknownSegment)),
            Decoding::UsPrivacy(letters, false) => Some(us_privacy_choices(letters)),
            Decoding::Europe(_) | Decoding::Canada(_) => None,
        }
    }
}

/// How much there is, and nothing of it.
impl fmt::Debug for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Section").field("id", &self.id()).finish_non_exhaustive()
    }
}

/// A US Privacy string as its section holds it. The reference decoder takes only the first part, and any four letters.
fn four_letters(text: &str) -> Result<[u8; 4], Unreadable> {
    let first = text.split('.').next().unwrap_or_default().as_bytes();
    first.try_into().map_err(|_| Unreadable::NotOfThisKind)
}

fn us_privacy_choices(letters: &[u8; 4]) -> Result<UsPrivacyChoices, Unreliable> {
    let read = std::str::from_utf8(letters).map_err(|_| Unreadable::NotAnAnswer).and_then(UsPrivacy::read);
    let sale = match read.map_err(|_| Unreliable::UnknownChoice)?.opt_out_sale {
        super::us_privacy::Answer::Yes => Choice::OptedOut,
        super::us_privacy::Answer::No => Choice::DidNotOptOut,
        super::us_privacy::Answer::NotApplicable => Choice::NotApplicable,
    };
    Ok(UsPrivacyChoices { sale, ..UsPrivacyChoices::default() })
}

/// A GPP string, decoded.
///
/// ```
/// use privet_policy::signals::gpp::{Choice, GppString};
///
/// let read = GppString::read("DBABLA~BVQqAAAAAgA.QA")?;
/// let national = read.us(7).ok_or("no such section")??;
/// assert_eq!(national.sale, Choice::DidNotOptOut);
/// assert_eq!(national.gpc, Some(false));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct GppString {
    sections: Vec<Section>,
    unknown: bool,
}

impl GppString {
    /// Decodes a GPP string with all its sections. A TC string alone is one too.
    ///
    /// # Errors
    /// [`Unreadable`], the first reason found in the header or in any section of a known number.
    pub fn read(text: &str) -> Result<Self, Unreadable> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(Unreadable::TooLong);
        }
        let mut read = Self { sections: Vec::new(), unknown: false };
        if text.starts_with('C') {
            read.add(EUROPE, text)?;
            return Ok(read);
        }
        let mut parts = text.split('~');
        let header = Header::read(parts.next().unwrap_or_default())?;
        header.each_id(|id| read.add(id, parts.next().ok_or(Unreadable::SectionsMismatch)?))?;
        if parts.next().is_some() { Err(Unreadable::SectionsMismatch) } else { Ok(read) }
    }

    /// Decodes one section, as consent platforms store each by itself for apps (`IABGPP_7_String`).
    ///
    /// # Errors
    /// [`Unreadable`], as [`Self::read`].
    pub fn of_section(id: u16, text: &str) -> Result<Self, Unreadable> {
        let mut read = Self { sections: Vec::new(), unknown: false };
        read.add(id, text)?;
        Ok(read)
    }

    fn add(&mut self, id: u16, text: &str) -> Result<(), Unreadable> {
        if text.trim().is_empty() {
            return Err(Unreadable::Empty);
        }
        match Section::read(id, text) {
            Some(section) => self.sections.push(section?),
            None => self.unknown = true,
        }
        Ok(())
    }

    /// The sections of known numbers, ascending.
    #[must_use]
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// Whether it has a section of a number that is not known here, of which nothing can be said.
    #[must_use]
    pub const fn has_unknown_sections(&self) -> bool {
        self.unknown
    }

    /// The TC string of section 2.
    #[must_use]
    pub fn tcf(&self) -> Option<&TcString> {
        self.sections.iter().find_map(|section| match &section.0 {
            Decoding::Europe(tcf) => Some(&**tcf),
            _ => None,
        })
    }

    /// The consent of section 5, Canada.
    #[must_use]
    pub fn canada(&self) -> Option<&TcfCanada> {
        self.sections.iter().find_map(|section| match &section.0 {
            Decoding::Canada(canada) => Some(&**canada),
            _ => None,
        })
    }

    /// What a person in the United States chose, by the section of this number: 6 to 27.
    ///
    /// # Errors
    /// [`Unreliable`] where it decodes, and anything in it is not of its specification.
    #[must_use]
    pub fn us(&self, id: u16) -> Option<Result<UsPrivacyChoices, Unreliable>> {
        self.sections.iter().find(|section| section.id() == id)?.us()
    }
}

/// The first part of a GPP string: which sections follow.
struct Header {
    decoded: Decoded,
    ranges_at: u32,
}

impl Header {
    /// The type of the header as a section, and its only version.
    const TYPE_AND_VERSION: [u8; 2] = [3, 1];

    fn read(text: &str) -> Result<Self, Unreadable> {
        let first = text.split('.').next().filter(|first| !first.is_empty()).ok_or(Unreadable::Empty)?;
        let mut decoded = Decoded::for_text(first.len());
        let extent = decoded.add(first)?;
        decoded.close();
        let mut bits = decoded.read(extent);
        if [bits.take_u8(6)?, bits.take_u8(6)?] != Self::TYPE_AND_VERSION {
            return Err(Unreadable::NotOfThisKind);
        }
        let ranges_at = bits.place();
        Ranges::read(bits, Coding::Fibonacci)?.finish()?;
        Ok(Self { decoded, ranges_at })
    }

    /// Calls back for each section in order, up to the first that fails.
    fn each_id(&self, mut each: impl FnMut(u16) -> Result<(), Unreadable>) -> Result<(), Unreadable> {
        let mut ranges = Ranges::read(self.decoded.read_at(self.ranges_at), Coding::Fibonacci)?;
        while let Some(Range { first, last }) = ranges.next()? {
            (first..=last).try_for_each(&mut each)?;
        }
        Ok(())
    }
}
