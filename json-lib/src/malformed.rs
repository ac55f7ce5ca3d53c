//! Why a body was refused, and how much of one is read at all.
//!
//! Promise: an error names a place (a byte offset) and a kind from a closed
//! list. It never holds a byte of the body, so it may be logged and counted.

use thiserror::Error;

/// How large a document may be before it is refused. Every bound is
/// inclusive: a document exactly at the bound is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open arrays and objects around the innermost value.
    pub depth_max: u16,
    /// Values in one [`Index`](crate::Index), over all its documents.
    pub nodes_max: u32,
    /// Bytes between the quotes of one key, as written.
    pub key_bytes_max: u32,
    /// Bytes of one number, as written.
    pub number_bytes_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth_max: 64, nodes_max: 262_144, key_bytes_max: 1024, number_bytes_max: 256 }
    }
}

/// A body that is not exactly one well-formed JSON value within the limits.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("{kind} at byte {at}")]
pub struct Malformed {
    /// What is wrong.
    pub kind: MalformedKind,
    /// Where, as a byte offset into the whole body.
    pub at: usize,
}

impl Malformed {
    pub(crate) const fn new(kind: MalformedKind, at: usize) -> Self {
        Self { kind, at }
    }
}

/// The closed list of reasons to refuse a body; fit for a metric's label.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MalformedKind {
    /// The bytes are not UTF-8.
    #[error("invalid UTF-8")]
    Utf8,
    /// The document begins with a byte order mark.
    #[error("a byte order mark, which JSON does not allow")]
    ByteOrderMark,
    /// The document ends inside a value, or holds none.
    #[error("the document ends too early")]
    UnexpectedEnd,
    /// A byte that the grammar does not allow here.
    #[error("a byte that JSON does not allow here")]
    UnexpectedByte,
    /// More than white space after the value.
    #[error("more than one value in one document")]
    TrailingData,
    /// A raw byte below 0x20 in a string.
    #[error("an unescaped control character in a string")]
    ControlCharacter,
    /// A backslash that begins no escape of RFC 8259.
    #[error("an unknown or unfinished escape")]
    Escape,
    /// `\ud800` to `\udfff` without its other half.
    #[error("half of a surrogate pair")]
    LoneSurrogate,
    /// `\u0000` in a key.
    #[error("an escaped NUL in a key")]
    NulInKey,
    /// Two members of one object whose keys are equal after unescaping.
    #[error("a key that its object already has")]
    DuplicateKey,
    /// A number that RFC 8259 does not allow.
    #[error("a malformed number")]
    Number,
    /// Longer than [`Limits::number_bytes_max`].
    #[error("a number longer than the limit")]
    NumberTooLong,
    /// Longer than [`Limits::key_bytes_max`].
    #[error("a key longer than the limit")]
    KeyTooLong,
    /// Deeper than [`Limits::depth_max`].
    #[error("nesting deeper than the limit")]
    TooDeep,
    /// More values than [`Limits::nodes_max`].
    #[error("more values than the limit")]
    TooManyNodes,
    /// A body of 4 GiB or more, whose offsets the index cannot hold.
    #[error("a body of 4 GiB or more")]
    TooLarge,
}

impl MalformedKind {
    /// A stable word for metrics and machine-readable refusals.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Utf8 => "utf8",
            Self::ByteOrderMark => "byte_order_mark",
            Self::UnexpectedEnd => "unexpected_end",
            Self::UnexpectedByte => "unexpected_byte",
            Self::TrailingData => "trailing_data",
            Self::ControlCharacter => "control_character",
            Self::Escape => "escape",
            Self::LoneSurrogate => "lone_surrogate",
            Self::NulInKey => "nul_in_key",
            Self::DuplicateKey => "duplicate_key",
            Self::Number => "number",
            Self::NumberTooLong => "number_too_long",
            Self::KeyTooLong => "key_too_long",
            Self::TooDeep => "too_deep",
            Self::TooManyNodes => "too_many_nodes",
            Self::TooLarge => "too_large",
        }
    }
}
