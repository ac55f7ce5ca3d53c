//! Places in policy text: every written value remembers where it stands.

use std::ops::Range;

/// A place in one file of the policy directory.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Span {
    /// Which of the compiled files, an index into the sources given to `compile`.
    pub file: usize,
    /// The bytes of the value in that file.
    pub bytes: Range<usize>,
}

/// A value and the place it was written at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spanned<T> {
    /// What was written.
    pub value: T,
    /// Where it was written.
    pub at: Span,
}

impl<T> Spanned<T> {
    /// A value at a place.
    pub const fn new(value: T, at: Span) -> Self {
        Self { value, at }
    }
}
