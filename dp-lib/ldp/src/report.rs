//! What a device sends: ten bytes that say how it was made, and the noise.
//!
//! ```text
//! byte 0       1, the version
//! byte 1       the method: 1 k-ary, 2 unary, 3 projective
//! bytes 2..5   k, how many answers the question has
//! bytes 5..10  epsilon in billionths
//! bytes 10..   k-ary: the reported answer, below k
//!              unary: a bit an answer, lowest bit of the first byte first
//!              projective: the number of the reported point
//! ```
//!
//! Numbers have their highest byte first and as many bytes as the largest
//! takes. Text is base64url without padding.
//!
//! Promise: a report has one encoding; whatever else a stranger sends is
//! refused. A report made with another k or epsilon than the one asked for is
//! not counted: it would bias every estimate, and nobody would see it.
//!
//! Not here: whether its sender told the truth. One person can shift an
//! estimate by as much as their reports are counted, so limit who may send.

use core::fmt;

use crate::base64url;
use crate::randomizer::Randomizer;

/// How many bytes come before the body.
pub(crate) const HEADER_BYTES: usize = 10;

/// The longest report: unary, of 1,024 answers.
pub const REPORT_BYTES_MAX: usize = HEADER_BYTES + 128;

/// The longest report as text.
pub const REPORT_TEXT_MAX: usize = base64url::text_length(REPORT_BYTES_MAX);

/// One randomized answer, ready to be sent.
///
/// It may be stored and sent again: that tells nothing new.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Report {
    bytes: [u8; REPORT_BYTES_MAX],
    length: usize,
}

/// A report as base64url text, for a string in an event.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text {
    characters: [u8; REPORT_TEXT_MAX],
    length: usize,
}

/// Why something is not counted as a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAReport {
    /// Not base64url without padding.
    Text,
    /// Shorter or longer than what the question's reports are.
    Length,
    /// Of another version of this encoding.
    Version,
    /// Made by another method.
    Method,
    /// Made for another number of answers.
    Answers,
    /// Made for another epsilon.
    Epsilon,
    /// A number that names no answer and no point.
    OutOfRange,
    /// A bit is set that stands for no answer.
    Padding,
    /// The decoder has counted as many as it can.
    Full,
    /// A withdrawn report that was not counted.
    NotCounted,
}

impl fmt::Display for NotAReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "the report is not base64url without padding: send the report's text as it was made",
            Self::Length => {
                "the report has another length than this question's reports: send all its bytes and no more"
            }
            Self::Version => "the report is of another version: this decoder reads version 1",
            Self::Method => "the report was made by another method: declare one method on both sides",
            Self::Answers => "the report was made for another number of answers: declare one number on both sides",
            Self::Epsilon => "the report was made for another epsilon: declare one epsilon on both sides",
            Self::OutOfRange => "the report names an answer or a point that does not exist: send it as it was made",
            Self::Padding => "the report sets a bit that stands for no answer: send it as it was made",
            Self::Full => {
                "4294967295 reports are counted, which is all a decoder can: read the estimates and begin another"
            }
            Self::NotCounted => "no such report was counted: withdraw a report where it was taken",
        })
    }
}

impl core::error::Error for NotAReport {}

impl Report {
    /// A report without its body, and the body to fill.
    pub(crate) fn blank(randomizer: &Randomizer) -> Self {
        let mut bytes = [0; REPORT_BYTES_MAX];
        if let Some(header) = bytes.first_chunk_mut() {
            *header = randomizer.header();
        }
        Self { bytes, length: randomizer.report_bytes() }
    }

    pub(crate) fn body_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(HEADER_BYTES..self.length).unwrap_or_default()
    }

    pub(crate) fn with_number(mut self, number: u32) -> Self {
        let digits = number.to_be_bytes();
        let skipped = digits.len().saturating_sub(self.body_mut().len());
        self.body_mut().iter_mut().zip(digits.into_iter().skip(skipped)).for_each(|(place, digit)| *place = digit);
        self
    }

    /// Takes bytes that [`Report::as_bytes`] gave, on the device that stored them.
    pub(crate) fn stored(bytes: &[u8]) -> Option<Self> {
        let mut stored = [0; REPORT_BYTES_MAX];
        stored.get_mut(..bytes.len())?.copy_from_slice(bytes);
        (bytes.len() > HEADER_BYTES).then_some(Self { bytes: stored, length: bytes.len() })
    }

    /// The report's bytes: at most [`REPORT_BYTES_MAX`].
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// The report as text.
    #[must_use]
    pub fn text(&self) -> Text {
        let mut characters = [0; REPORT_TEXT_MAX];
        let length = base64url::write(self.as_bytes(), &mut characters);
        Text { characters, length }
    }
}

impl Text {
    /// The characters: letters, digits, `-` and `_`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The same, a byte a character: at most [`REPORT_TEXT_MAX`].
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.characters.get(..self.length).unwrap_or_default()
    }
}

// What a report says is a person's, randomized or not: a stray log line leaks a length and no more.
impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Report({} bytes)", self.length)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} characters)", self.length)
    }
}

/// What a report says, once everything about it was checked.
#[cfg(feature = "server")]
pub(crate) enum Said<'a> {
    /// An answer or a point.
    Number(u32),
    /// A bit an answer.
    Bits(&'a [u8]),
}

/// Reads a report of that question, strictly.
#[cfg(feature = "server")]
pub(crate) fn read<'a>(bytes: &'a [u8], randomizer: &Randomizer) -> Result<Said<'a>, NotAReport> {
    let (header, body) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or(NotAReport::Length)?;
    check_header(header, &randomizer.header())?;
    if bytes.len() != randomizer.report_bytes() {
        return Err(NotAReport::Length);
    }
    let Some(numbers) = randomizer.numbers() else {
        let used = randomizer.answers() % 8;
        let padding = body.last().is_some_and(|&last| used > 0 && last >> used != 0);
        return if padding { Err(NotAReport::Padding) } else { Ok(Said::Bits(body)) };
    };
    let number = body.iter().fold(0, |number: u32, &byte| number << 8 | u32::from(byte));
    if number < numbers { Ok(Said::Number(number)) } else { Err(NotAReport::OutOfRange) }
}

#[cfg(feature = "server")]
fn check_header(found: &[u8; HEADER_BYTES], declared: &[u8; HEADER_BYTES]) -> Result<(), NotAReport> {
    let differs = found.iter().zip(declared).position(|(found, declared)| found != declared);
    Err(match differs {
        None => return Ok(()),
        Some(0) => NotAReport::Version,
        Some(1) => NotAReport::Method,
        Some(2..5) => NotAReport::Answers,
        Some(_) => NotAReport::Epsilon,
    })
}
