//! Bits as consent strings carry them: base64url, six bits a character, most significant first.
//!
//! Promise: a text of any length decodes, its last bits are no padding, and a
//! field that does not fit is [`Unreadable::Truncated`]. Reading costs one load a
//! field, not one a bit.

use super::Unreadable;

/// Bits behind the last one, so that a field is read by one load of eight bytes wherever it stands.
const SLACK_BYTES: usize = 8;
/// The most bits that one load gives at any offset within a byte.
const FIELD_BITS_MAX: u32 = 57;
/// Set where a character is not of the alphabet; four characters have 24 bits.
const NOT_BASE64URL: u32 = 1 << 31;

/// The value of every character, shifted to its place among four.
const fn shifted(place: u32) -> [u32; 256] {
    let mut rest: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut values = [NOT_BASE64URL; 256];
    let mut value = 0;
    while let [letter, after @ ..] = rest {
        let (_, from) = values.split_at_mut(*letter as usize);
        if let [slot, ..] = from {
            *slot = value << (18 - 6 * place);
        }
        value += 1;
        rest = after;
    }
    values
}

static SHIFTED: [[u32; 256]; 4] = [shifted(0), shifted(1), shifted(2), shifted(3)];

/// The 24 bits of four characters, or [`NOT_BASE64URL`] and anything.
fn four(letters: [u8; 4]) -> u32 {
    let value = |table: &[u32; 256], letter: u8| table.get(usize::from(letter)).copied().unwrap_or(NOT_BASE64URL);
    let ([a, b, c, d], [first, second, third, fourth]) = (letters, &SHIFTED);
    value(first, a) | value(second, b) | value(third, c) | value(fourth, d)
}

/// Decoded segments, one behind the other, each beginning with a byte of its own.
#[derive(Default)]
pub(super) struct Decoded {
    bytes: Vec<u8>,
}

/// Where one decoded segment stands, in bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    start: u32,
    end: u32,
}

impl Decoded {
    /// Room for a text of so many bytes, in one allocation.
    pub(super) fn for_text(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes / 4 * 3 + 2 * SLACK_BYTES) }
    }

    /// Decodes one more segment.
    pub(super) fn add(&mut self, text: &str) -> Result<Extent, Unreadable> {
        let start = self.bytes.len();
        let (whole, rest) = text.as_bytes().as_chunks::<4>();
        self.bytes.resize(start + whole.len() * 3, 0);
        let mut flaws = 0;
        let places = self.bytes.get_mut(start..).unwrap_or_default().as_chunks_mut::<3>().0;
        for (place, letters) in places.iter_mut().zip(whole) {
            let bits = four(*letters);
            flaws |= bits;
            let [_, bytes @ ..] = bits.to_be_bytes();
            *place = bytes;
        }
        let mut last = [b'A'; 4];
        for (slot, letter) in last.iter_mut().zip(rest) {
            *slot = *letter;
        }
        let bits = four(last);
        flaws |= bits;
        let [_, bytes @ ..] = bits.to_be_bytes();
        self.bytes.extend_from_slice(bytes.get(..(rest.len() * 6).div_ceil(8)).unwrap_or_default());
        if flaws & NOT_BASE64URL != 0 {
            return Err(Unreadable::NotBase64Url);
        }
        let start = u32::try_from(start * 8).map_err(|_| Unreadable::TooLong)?;
        let length = u32::try_from(text.len() * 6).map_err(|_| Unreadable::TooLong)?;
        Ok(Extent { start, end: start + length })
    }

    /// No segment comes any more.
    pub(super) fn close(&mut self) {
        self.bytes.resize(self.bytes.len() + SLACK_BYTES, 0);
    }

    /// Reads from the start of a segment.
    pub(super) fn read(&self, extent: Extent) -> Bits<'_> {
        Bits { bytes: &self.bytes, at: extent.start, end: extent.end }
    }

    /// Reads from some place on that was read before.
    pub(super) fn read_at(&self, at: u32) -> Bits<'_> {
        Bits { bytes: &self.bytes, at, end: u32::MAX }
    }

    /// One bit at a place that was read before.
    pub(super) fn bit(&self, at: u32) -> bool {
        window(&self.bytes, at) >> 63 == 1
    }

    /// Decoded bytes, for telling how much a signal holds.
    pub(super) fn len(&self) -> usize {
        self.bytes.len().saturating_sub(SLACK_BYTES)
    }
}

/// The bits from a place on, at least [`FIELD_BITS_MAX`] of them, the first as the most significant.
fn window(bytes: &[u8], at: u32) -> u64 {
    let byte = at as usize / 8;
    let eight = bytes.get(byte..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
    u64::from_be_bytes(eight) << (at % 8)
}

/// A place in decoded bits, from which fields are read in order.
#[derive(Clone)]
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: u32,
    end: u32,
}

impl Bits<'_> {
    /// Where the next field stands, in bits from the start of all segments.
    pub(super) const fn place(&self) -> u32 {
        self.at
    }

    /// Bits left in the segment.
    pub(super) const fn left(&self) -> u32 {
        self.end.saturating_sub(self.at)
    }

    /// The next field, of 1 to [`FIELD_BITS_MAX`] bits.
    pub(super) fn take(&mut self, count: u32) -> Result<u64, Unreadable> {
        debug_assert!((1..=FIELD_BITS_MAX).contains(&count));
        let value = window(self.bytes, self.at) >> (64 - count);
        self.skip(count)?;
        Ok(value)
    }

    /// The next field, of up to 16 bits.
    pub(super) fn take_u16(&mut self, count: u32) -> Result<u16, Unreadable> {
        self.take(count).map(|value| u16::try_from(value).unwrap_or(u16::MAX))
    }

    /// The next field, of up to 8 bits.
    pub(super) fn take_u8(&mut self, count: u32) -> Result<u8, Unreadable> {
        self.take(count).map(|value| u8::try_from(value).unwrap_or(u8::MAX))
    }

    /// The next bit.
    pub(super) fn take_bit(&mut self) -> Result<bool, Unreadable> {
        self.take(1).map(|value| value == 1)
    }

    /// Goes past so many bits.
    pub(super) fn skip(&mut self, count: u32) -> Result<(), Unreadable> {
        if count > self.left() {
            return Err(Unreadable::Truncated);
        }
        self.at += count;
        Ok(())
    }
}
