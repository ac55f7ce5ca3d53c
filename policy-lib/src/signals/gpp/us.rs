//! A section of the United States, read along its layout.

use super::layouts::{About, Field, Layout, NATIONAL, NATIONAL_1, layout};
use crate::signals::Unreadable;
use crate::signals::bits::{Bits, Decoded};

/// One choice of a person, as every section of the United States codes it in two bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Choice {
    /// Not asked, or it does not apply.
    #[default]
    NotApplicable,
    /// Opted out; where consent is needed, did not give it.
    OptedOut,
    /// Did not opt out; where consent is needed, gave it.
    DidNotOptOut,
}

impl Choice {
    fn coded(value: u8) -> Option<Self> {
        match value {
            0 => Some(Self::NotApplicable),
            1 => Some(Self::OptedOut),
            2 => Some(Self::DidNotOptOut),
            _ => None,
        }
    }
}

/// What a person chose, by whichever law the section is about. What a law does not know is not applicable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsPrivacyChoices {
    /// Of the sale of their data.
    pub sale: Choice,
    /// Of sharing for advertising across contexts (California, national).
    pub sharing: Choice,
    /// Of targeted advertising.
    pub targeted: Choice,
    /// Of processing sensitive data. Each law counts its kinds from its own list.
    pub sensitive: [Choice; 16],
    /// Of processing the data of a known child, by groups of age of each law.
    pub known_child: [Choice; 5],
    /// Of processing beyond what was disclosed.
    pub additional: Choice,
    /// What the browser's Global Privacy Control said; `None` where the section does not tell.
    pub gpc: Option<bool>,
}

impl UsPrivacyChoices {
    /// Whether the person is known to be a child: the section says of the consent for one, given or not.
    #[must_use]
    pub fn of_a_child(&self) -> bool {
        self.known_child.iter().any(|choice| *choice != Choice::NotApplicable)
    }
}

/// Why a section that can be read must not be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Unreliable {
    /// A version of the section's coding that is not known here, or not with this length.
    #[error("the version of the section is unknown")]
    UnknownVersion,
    /// A choice that is none of the three.
    #[error("a choice is coded by the unused value 3")]
    UnknownChoice,
    /// A segment behind the core that is not known here.
    #[error("a segment of the section is of an unknown type")]
    UnknownSegment,
}

impl Unreliable {
    /// The reason as a label of a metric.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::UnknownVersion => "unknown_version",
            Self::UnknownChoice => "unknown_choice",
            Self::UnknownSegment => "unknown_segment",
        }
    }
}

/// More values than any section has: 9 single ones, 16 and 3 of lists, 6 behind them, 2 or 8 in a second segment.
const VALUES_MAX: usize = 48;

/// A section of the United States, decoded.
#[derive(Clone, Copy)]
pub(super) struct UsSection {
    layout: &'static Layout,
    /// Every value in the order of the layout.
    values: [u8; VALUES_MAX],
    /// Whether the second segment is there.
    second: bool,
    /// Whether it has no fewer fields than its version.
    whole: bool,
    /// Whether a segment follows that is not of its layout.
    leftover: bool,
}

impl UsSection {
    /// Reads a section of one of the layouts.
    pub(super) fn read(layout: &'static Layout, text: &str) -> Result<Self, Unreadable> {
        let mut segments = text.split('.');
        let mut decoded = Decoded::for_text(text.len());
        let core = decoded.add(segments.next().filter(|core| !core.is_empty()).ok_or(Unreadable::Empty)?)?;
        let mut leftover = false;
        let second = match segments.next() {
            Some("") if !layout.second.is_empty() => return Err(Unreadable::Empty),
            Some(second) if !layout.second.is_empty() => Some(decoded.add(second)?),
            unknown => {
                leftover = unknown.is_some();
                None
            }
        };
        leftover |= segments.next().is_some();
        decoded.close();
        let mut read = Self { layout, values: [0; VALUES_MAX], second: second.is_some(), whole: true, leftover };
        let mut slots = read.values.iter_mut();
        let mut bits = decoded.read(core);
        let short = layout.id == NATIONAL && matches!(bits.left(), 60 | 66);
        let version =
            read_fields(if short { NATIONAL_1.core } else { layout.core }, layout.core, &mut bits, &mut slots)?;
        match second {
            Some(extent) => {
                read_fields(layout.second, layout.second, &mut decoded.read(extent), &mut slots)?;
            }
            None => fill(layout.second, &mut slots),
        }
        // IAB's Java encoder wrote version 1 in the lengths of version 2, so what stands there counts.
        read.whole = version == 1 || !short;
        Ok(read)
    }

    /// Reads a section by its number.
    pub(super) fn read_numbered(id: u16, text: &str) -> Option<Result<Self, Unreadable>> {
        layout(id).map(|layout| Self::read(layout, text))
    }

    pub(super) const fn name(&self) -> &'static str {
        self.layout.name
    }

    pub(super) const fn id(&self) -> u16 {
        self.layout.id
    }

    /// Every field with its values, in order; those of version 1 of the national section cut to its lists.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&'static Field, &[u8])> {
        let version = self.values.first().copied().unwrap_or_default();
        let cut = if self.layout.id == NATIONAL && version == 1 { NATIONAL_1.core } else { self.layout.core };
        let shown = cut.iter().chain(self.layout.second);
        let whole = self.whole_fields().zip(shown);
        whole.map(|((_, values), field)| (field, values.get(..usize::from(field.values())).unwrap_or_default()))
    }

    /// Every field with every value that stands there.
    fn whole_fields(&self) -> impl Iterator<Item = (&'static Field, &[u8])> {
        let mut rest: &[u8] = &self.values;
        self.layout.core.iter().chain(self.layout.second).map(move |field| {
            let (values, after) = rest.split_at_checked(usize::from(field.values())).unwrap_or_default();
            rest = after;
            (field, values)
        })
    }

    /// What the person chose.
    ///
    /// # Errors
    /// [`Unreliable`] where anything in it is not of this specification.
    pub(super) fn choices(&self) -> Result<UsPrivacyChoices, Unreliable> {
        if self.leftover {
            return Err(Unreliable::UnknownSegment);
        }
        let mut choices = UsPrivacyChoices::default();
        for (field, values) in self.whole_fields() {
            self.take(field, values, &mut choices)?;
        }
        Ok(choices)
    }

    fn take(&self, field: &Field, values: &[u8], to: &mut UsPrivacyChoices) -> Result<(), Unreliable> {
        let value = values.first().copied().unwrap_or_default();
        match field.about {
            About::Version if !self.knows(value) => return Err(Unreliable::UnknownVersion),
            // A string with the section header that is specified and that nobody writes begins with this number.
            About::Agreement if u16::from(value) == self.layout.id => return Err(Unreliable::UnknownVersion),
            About::SegmentType if value != 1 => return Err(Unreliable::UnknownSegment),
            About::Version | About::Agreement | About::SegmentType => {}
            About::Circumstance => drop(choice(value)?),
            About::Sale => to.sale = choice(value)?,
            About::Sharing => to.sharing = choice(value)?,
            About::Targeted => to.targeted = choice(value)?,
            About::Additional => to.additional = choice(value)?,
            About::Sensitive => fill_choices(&mut to.sensitive, values)?,
            About::KnownChild => fill_choices(&mut to.known_child, values)?,
            About::Gpc => to.gpc = self.second.then_some(value == 1),
        }
        Ok(())
    }

    /// Whether this version exists, and the section has its length.
    const fn knows(&self, version: u8) -> bool {
        self.whole && (version == 1 || version == 2 && self.layout.id == NATIONAL)
    }
}

/// Reads the values of some fields, as many as `written` says, into as many slots as `layout` has. Returns the first.
fn read_fields<'a>(
    written: &[Field],
    layout: &[Field],
    bits: &mut Bits<'_>,
    slots: &mut impl Iterator<Item = &'a mut u8>,
) -> Result<u8, Unreadable> {
    let mut first = None;
    for (written, field) in written.iter().zip(layout) {
        for (number, slot) in slots.by_ref().take(usize::from(field.values())).enumerate() {
            *slot = if number < usize::from(written.values()) { bits.take_u8(u32::from(field.bits))? } else { 0 };
            first = first.or(Some(*slot));
        }
    }
    Ok(first.unwrap_or_default())
}

/// What stands for the fields of a segment that is missing.
fn fill<'a>(fields: &[Field], slots: &mut impl Iterator<Item = &'a mut u8>) {
    for field in fields {
        slots.by_ref().take(usize::from(field.values())).for_each(|slot| *slot = field.absent);
    }
}

fn choice(value: u8) -> Result<Choice, Unreliable> {
    Choice::coded(value).ok_or(Unreliable::UnknownChoice)
}

fn fill_choices(to: &mut [Choice], values: &[u8]) -> Result<(), Unreliable> {
    for (slot, value) in to.iter_mut().zip(values) {
        *slot = choice(*value)?;
    }
    Ok(())
}
