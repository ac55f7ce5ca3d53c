//! Consent signals as they stand in requests and events: text to decoded values.
//!
//! Promise: whatever the text, a reader comes back with what the text says, bit
//! for bit, or with the reason why it cannot be read; it never panics, and what it
//! holds is bounded by a constant, however many vendors a signal names. To be
//! readable is not to be consent: each kind of signal says apart from its reader
//! whether it may be relied on ([`tcf::TcString::usable`]).
//!
//! Not here: where signals stand in a request, what they mean for a purpose of the
//! policy, and which of two wins ([`crate::consent`]). No reader echoes its input:
//! a consent string is nearly an identifier.

pub mod att;
mod bits;
pub mod google;
pub mod gpc;
pub mod gpp;
pub mod onetrust;
pub mod rudderstack;
pub mod snowplow;
pub mod tcf;
pub mod us_privacy;

use privet_json::{Kind, Node};

/// Why a signal cannot be read. It comes out as `unavailable` and is counted by [`Self::code`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Unreadable {
    /// Nothing stands there, or nothing between two separators.
    #[error("a part of the signal is empty")]
    Empty,
    /// It is longer than any honest signal.
    #[error("the signal is longer than {TEXT_BYTES_MAX} bytes")]
    TooLong,
    /// A character that base64url does not have; padding is one.
    #[error("a character is not base64url without padding")]
    NotBase64Url,
    /// The text ends before its fields do.
    #[error("the signal ends before its fields do")]
    Truncated,
    /// A version of the coding that does not exist.
    #[error("the version of the coding is unknown")]
    UnknownVersion,
    /// A segment of a type that does not exist, or that this version does not have.
    #[error("a segment is of an unknown type")]
    UnknownSegment,
    /// The segment that everything else hangs on does not come first, or comes again.
    #[error("the core segment is not the first, or not the only one")]
    MisplacedCore,
    /// An identifier of a consent management platform that is never given out.
    #[error("the identifier of the consent management platform is not above 1")]
    UnknownCmp,
    /// Two letters that are none.
    #[error("a country code is not made of letters")]
    NotACountry,
    /// Vendors are counted from 1.
    #[error("a vendor has the number 0")]
    VendorZero,
    /// A range whose end is before its start.
    #[error("a range ends before it starts")]
    BackwardRange,
    /// A publisher restriction of purpose 0, or of a type that does not exist.
    #[error("a publisher restriction is of no purpose or of an unknown type")]
    UnknownRestriction,
    /// A number above the 65,535 that an identifier can have.
    #[error("a number is above 65535")]
    NumberTooLarge,
    /// A segment that stands twice.
    #[error("a segment stands twice")]
    RepeatedSegment,
    /// The text does not begin like a signal of its kind.
    #[error("the signal does not begin like one of its kind")]
    NotOfThisKind,
    /// A GPP string whose header names more or fewer sections than follow.
    #[error("the header does not name as many sections as follow")]
    SectionsMismatch,
    /// A letter that is no answer of a US Privacy string.
    #[error("an answer is none of `Y`, `N` and `-`")]
    NotAnAnswer,
    /// The default of a range was consent, which no reader may assume.
    #[error("consent is the default of a range of vendors")]
    ConsentByDefault,
}

/// The longest text of a signal that is read, in bytes. The longest that a consent platform was seen to write has 1,900.
pub const TEXT_BYTES_MAX: usize = 16 * 1024;

impl Unreadable {
    /// The reason as a label of a metric.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLong => "too_long",
            Self::NotBase64Url => "not_base64url",
            Self::Truncated => "truncated",
            Self::UnknownVersion => "unknown_version",
            Self::UnknownSegment => "unknown_segment",
            Self::MisplacedCore => "misplaced_core",
            Self::UnknownCmp => "unknown_cmp",
            Self::NotACountry => "not_a_country",
            Self::VendorZero => "vendor_zero",
            Self::BackwardRange => "backward_range",
            Self::UnknownRestriction => "unknown_restriction",
            Self::NumberTooLarge => "number_too_large",
            Self::RepeatedSegment => "repeated_segment",
            Self::NotOfThisKind => "not_of_this_kind",
            Self::SectionsMismatch => "sections_mismatch",
            Self::NotAnAnswer => "not_an_answer",
            Self::ConsentByDefault => "consent_by_default",
        }
    }
}

/// What a signal that is there says of one category.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Said {
    /// The person agreed to it.
    Granted,
    /// The person refused it, or was asked and did not agree.
    Refused,
    /// It says nothing of it.
    Absent,
    /// Something stands there that has no meaning.
    Unreadable,
}

impl Said {
    /// The word for outputs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Refused => "refused",
            Self::Absent => "absent",
            Self::Unreadable => "unreadable",
        }
    }

    const fn granted_if(granted: bool) -> Self {
        if granted { Self::Granted } else { Self::Refused }
    }
}

/// A member that is there: `null` is not.
fn there<'a>(object: Node<'a>, name: &str) -> Option<Node<'a>> {
    object.get(name).filter(|member| member.kind() != Kind::Null)
}
