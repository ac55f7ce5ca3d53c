//! The smallest steps of pass one: where a string, a key or a number ends, and
//! whether it is well formed. Eight bytes at a time, in safe code.
//!
//! Promise: no step reads past the slice it is given, and each is linear.

use crate::escape::{self, read_escape};
use crate::hash::Seed;
use crate::{Malformed, MalformedKind};

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Marks (in bit 7) the bytes where plain text of a string stops: a quote, a
/// backslash, a control character. Marks above the lowest may be false: a
/// borrow only travels upwards. So look at the lowest alone.
#[inline]
const fn stops(word: u64) -> u64 {
    let quote = word ^ (ONES * b'"' as u64);
    let slash = word ^ (ONES * b'\\' as u64);
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let quote = quote.wrapping_sub(ONES) & !quote;
    let slash = slash.wrapping_sub(ONES) & !slash;
    (control | quote | slash) & HIGH
}

#[inline]
const fn first(stops: u64) -> usize {
    (stops.trailing_zeros() / 8) as usize
}

/// Eight bytes from `at`, first byte lowest. Past the end there are zeros, at
/// which plain text stops.
#[inline]
fn word_at(text: &[u8], at: usize) -> u64 {
    match text.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => last_word(text, at),
    }
}

#[cold]
fn last_word(text: &[u8], at: usize) -> u64 {
    let rest = text.get(at..).unwrap_or_default();
    rest.iter().rev().fold(0, |word, byte| (word << 8) | u64::from(*byte))
}

/// The byte at `at`, or 0 (which is never right) at the end.
#[inline]
pub(crate) fn byte_at(text: &[u8], at: usize) -> u8 {
    text.get(at).copied().unwrap_or(0)
}

/// The error of a byte that does not belong, or of a text that ends.
#[cold]
pub(crate) fn unexpected(text: &[u8], at: usize) -> Malformed {
    let kind = if at < text.len() { MalformedKind::UnexpectedByte } else { MalformedKind::UnexpectedEnd };
    Malformed::new(kind, at)
}

/// How many bytes at the front of `text` stand for themselves in a string.
pub(crate) fn plain_run(text: &[u8]) -> usize {
    let mut at = 0;
    loop {
        let stop = stops(word_at(text, at));
        if stop != 0 {
            return (at + first(stop)).min(text.len());
        }
        at += 8;
    }
}

/// Where the next byte is that is not JSON white space.
#[inline]
pub(crate) fn skip_space(text: &[u8], at: usize) -> usize {
    if byte_at(text, at) > b' ' { at } else { skip_long_space(text, at) }
}

fn skip_long_space(text: &[u8], mut at: usize) -> usize {
    loop {
        // Indentation comes in runs.
        while word_at(text, at) == ONES * b' ' as u64 {
            at += 8;
        }
        match text.get(at) {
            Some(b' ' | b'\n' | b'\r' | b'\t') => at += 1,
            _ => return at,
        }
    }
}

/// Where a string ends, from the byte after its opening quote. Gives the
/// offset after the closing quote, and whether it holds an escape.
#[inline]
pub(crate) fn string_end(text: &[u8], start: usize) -> Result<(usize, bool), Malformed> {
    let mut at = start;
    for _ in 0..SHORT_WORDS {
        let stop = stops(word_at(text, at));
        if stop != 0 {
            at += first(stop);
            if byte_at(text, at) == b'"' {
                return Ok((at + 1, false));
            }
            break;
        }
        at += 8;
    }
    long_string_end(text, at)
}

/// Strings longer than this many words go on in wide steps.
const SHORT_WORDS: usize = 4;

#[inline(never)]
fn long_string_end(text: &[u8], mut at: usize) -> Result<(usize, bool), Malformed> {
    let mut escaped = false;
    loop {
        at = skip_wide(text, at);
        let stop = stops(word_at(text, at));
        if stop == 0 {
            at += 8;
            continue;
        }
        at += first(stop);
        match text.get(at) {
            Some(b'"') => return Ok((at + 1, escaped)),
            Some(b'\\') => {
                escaped = true;
                at = escape_end(text, at)?;
            }
            Some(_) => return Err(Malformed::new(MalformedKind::ControlCharacter, at)),
            None => return Err(Malformed::new(MalformedKind::UnexpectedEnd, at)),
        }
    }
}

/// Skips blocks of plain text. The block's test has no early way out, so the
/// compiler turns it into vector instructions.
#[inline]
fn skip_wide(text: &[u8], at: usize) -> usize {
    let (blocks, _) = text.get(at..).unwrap_or_default().as_chunks::<32>();
    at + 32 * blocks.iter().take_while(|block| is_plain(block)).count()
}

#[inline]
fn is_plain(block: &[u8; 32]) -> bool {
    let stop = |byte: u8| (byte < 0x20) | (byte == b'"') | (byte == b'\\');
    !block.iter().fold(false, |any, byte| any | stop(*byte))
}

fn escape_end(text: &[u8], at: usize) -> Result<usize, Malformed> {
    match read_escape(text.get(at..).unwrap_or_default()) {
        Ok((_, bytes)) => Ok(at + bytes),
        Err(kind) => Err(Malformed::new(kind, at)),
    }
}

/// A key, found and hashed.
pub(crate) struct ScannedKey {
    /// The offset after the closing quote.
    pub(crate) end: usize,
    /// The hash of the decoded key.
    pub(crate) hash: u32,
    pub(crate) escaped: bool,
}

/// Scans a key from the byte after its opening quote, hashing as it goes.
#[inline]
pub(crate) fn key_end(text: &[u8], start: usize, seed: Seed, scratch: &mut Vec<u8>) -> Result<ScannedKey, Malformed> {
    let mut state = seed.start();
    let mut at = start;
    loop {
        let word = word_at(text, at);
        let stop = stops(word);
        if stop == 0 {
            state = seed.mix(state, word);
            at += 8;
            continue;
        }
        let more = first(stop);
        at += more;
        if byte_at(text, at) != b'"' {
            return escaped_key_end(text, start, seed, scratch);
        }
        let tail = word & ((1 << (8 * more)) - 1);
        let hash = seed.finish(state, tail, at - start);
        return Ok(ScannedKey { end: at + 1, hash, escaped: false });
    }
}

/// The slow way, for a key with an escape or an error in it.
#[cold]
fn escaped_key_end(text: &[u8], start: usize, seed: Seed, scratch: &mut Vec<u8>) -> Result<ScannedKey, Malformed> {
    let (end, escaped) = long_string_end(text, start)?;
    scratch.clear();
    escape::decode(text.get(start..end - 1).unwrap_or_default(), scratch);
    if scratch.contains(&0) {
        return Err(Malformed::new(MalformedKind::NulInKey, start));
    }
    Ok(ScannedKey { end, hash: seed.of(scratch), escaped })
}

/// Where the number that begins at `start` ends.
#[inline]
pub(crate) fn number_end(text: &[u8], start: usize) -> Result<usize, Malformed> {
    let whole = start + usize::from(byte_at(text, start) == b'-');
    let mut at = match byte_at(text, whole) {
        b'0' => whole + 1,
        b'1'..=b'9' => digits_end(text, whole + 1),
        _ => return Err(bad_number(text, whole)),
    };
    if byte_at(text, at) == b'.' {
        at = some_digits_end(text, at + 1)?;
    }
    if matches!(byte_at(text, at), b'e' | b'E') {
        let sign = usize::from(matches!(byte_at(text, at + 1), b'+' | b'-'));
        at = some_digits_end(text, at + 1 + sign)?;
    }
    Ok(at)
}

#[inline]
fn digits_end(text: &[u8], mut at: usize) -> usize {
    while byte_at(text, at).is_ascii_digit() {
        at += 1;
    }
    at
}

fn some_digits_end(text: &[u8], at: usize) -> Result<usize, Malformed> {
    let end = digits_end(text, at);
    if end > at { Ok(end) } else { Err(bad_number(text, at)) }
}

#[cold]
fn bad_number(text: &[u8], at: usize) -> Malformed {
    let kind = if at < text.len() { MalformedKind::Number } else { MalformedKind::UnexpectedEnd };
    Malformed::new(kind, at)
}

#[cfg(test)]
mod tests {
    use super::{key_end, number_end, plain_run, skip_space, stops, string_end};
    use crate::MalformedKind;
    use crate::hash::Seed;

    #[test]
    fn every_byte_at_every_place_stops_or_does_not() {
        for byte in 0..=255_u8 {
            let special = byte < 0x20 || byte == b'"' || byte == b'\\';
            for place in 0..8 {
                for around in [b'a', 0x80, 0xff, 0x7f, b'!', b'#', b'[', b']', b' '] {
                    let mut bytes = [around; 8];
                    bytes[place] = byte;
                    let found = stops(u64::from_le_bytes(bytes));
                    assert_eq!(found != 0, special, "{byte} at {place} around {around}");
                    assert!(!special || found.trailing_zeros() as usize / 8 == place);
                }
            }
        }
    }

    #[test]
    fn strings_of_every_length_end_where_they_end() {
        for length in 0..150 {
            for after in ["", ",\"next\":1}", "                                        "] {
                let text = format!("{}\"{after}", "x".repeat(length));
                assert_eq!(string_end(text.as_bytes(), 0), Ok((length + 1, false)));
                let text = format!("{}\\n\"{after}", "x".repeat(length));
                assert_eq!(string_end(text.as_bytes(), 0), Ok((length + 3, true)));
                let text = format!("{}\u{1}\"{after}", "x".repeat(length));
                let refused = string_end(text.as_bytes(), 0).unwrap_err();
                assert_eq!((refused.kind, refused.at), (MalformedKind::ControlCharacter, length));
            }
            let text = "é".repeat(length);
            assert_eq!(string_end(text.as_bytes(), 0).unwrap_err().kind, MalformedKind::UnexpectedEnd);
            assert_eq!(plain_run(text.as_bytes()), text.len());
        }
    }

    #[test]
    fn a_key_hashes_the_same_however_it_is_written() {
        let seed = Seed::of_this_process();
        let mut scratch = Vec::new();
        for length in 0..40 {
            let key = "keys of many words, longer and longer ones".get(..length).unwrap();
            let plain = format!("{key}\":");
            let escaped: String = key.bytes().map(|byte| format!("\\u{byte:04x}")).collect::<String>() + "\":";
            let plain = key_end(plain.as_bytes(), 0, seed, &mut scratch).unwrap();
            let escaped = key_end(escaped.as_bytes(), 0, seed, &mut scratch).unwrap();
            assert_eq!((plain.end, plain.escaped), (length + 1, false));
            assert_eq!((escaped.end, escaped.escaped), (6 * length + 1, length > 0));
            assert_eq!(plain.hash, escaped.hash);
            assert_eq!(plain.hash, seed.of(key.as_bytes()));
        }
    }

    #[test]
    fn numbers_end_where_the_grammar_says() {
        for good in
            ["0", "-0", "10", "1.5", "0.0", "1e5", "1E+05", "-1.25e-300", "123456789012345678901234567890", "1e999"]
        {
            assert_eq!(number_end(good.as_bytes(), 0), Ok(good.len()), "{good}");
        }
        for bad in ["-", "-a", ".5", "+1", "1.", "1.e5", "1e", "1e+", "1ex", "-.1", "Infinity", "NaN"] {
            assert!(number_end(bad.as_bytes(), 0).is_err(), "{bad}");
        }
        assert_eq!(number_end(b"01", 0), Ok(1));
    }

    #[test]
    fn white_space_is_the_four_bytes_of_json() {
        let text = format!(" \t\r\n{}x", " ".repeat(37));
        assert_eq!(skip_space(text.as_bytes(), 0), 41);
        assert_eq!(skip_space(b"\x0bx", 0), 0);
        assert_eq!(skip_space(b"\0x", 0), 0);
        assert_eq!(skip_space(b"", 0), 0);
        assert_eq!(skip_space(b"        ", 0), 8);
    }
}
