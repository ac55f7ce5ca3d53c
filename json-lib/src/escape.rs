//! Escapes of RFC 8259, both ways. One function reads an escape, for the
//! validating scan and for decoding alike, so the two cannot disagree.
//!
//! Not here: deciding whether a string is well formed; see [`crate::scan`].

use std::cmp::Ordering;

use crate::MalformedKind;
use crate::scan::plain_run;

/// Reads the escape that `rest` begins with: its character, and its length in
/// bytes as written.
pub(crate) fn read_escape(rest: &[u8]) -> Result<(char, usize), MalformedKind> {
    let plain = match rest {
        [b'\\', b'u', after @ ..] => return read_unicode(after),
        [b'\\', b'"', ..] => '"',
        [b'\\', b'\\', ..] => '\\',
        [b'\\', b'/', ..] => '/',
        [b'\\', b'b', ..] => '\u{8}',
        [b'\\', b'f', ..] => '\u{c}',
        [b'\\', b'n', ..] => '\n',
        [b'\\', b'r', ..] => '\r',
        [b'\\', b't', ..] => '\t',
        _ => return Err(MalformedKind::Escape),
    };
    Ok((plain, 2))
}

/// Reads what follows `\u`, with the second half of a pair where there is one.
fn read_unicode(after: &[u8]) -> Result<(char, usize), MalformedKind> {
    let (unit, rest) = hex4(after)?;
    if let Some(scalar) = char::from_u32(unit) {
        return Ok((scalar, 6));
    }
    let [b'\\', b'u', second @ ..] = rest else { return Err(MalformedKind::LoneSurrogate) };
    let (low, _) = hex4(second)?;
    char::decode_utf16([unit as u16, low as u16])
        .next()
        .and_then(Result::ok)
        .map(|scalar| (scalar, 12))
        .ok_or(MalformedKind::LoneSurrogate)
}

fn hex4(digits: &[u8]) -> Result<(u32, &[u8]), MalformedKind> {
    let (four, rest) = digits.split_first_chunk::<4>().ok_or(MalformedKind::Escape)?;
    let mut unit = 0;
    for digit in four {
        let value = char::from(*digit).to_digit(16).ok_or(MalformedKind::Escape)?;
        unit = unit * 16 + value;
    }
    Ok((unit, rest))
}

/// A stretch of a string: bytes that stand for themselves, or one escape.
#[derive(Clone, Copy)]
enum Piece<'a> {
    Plain(&'a [u8]),
    Char(char),
}

impl<'a> Piece<'a> {
    fn bytes<'b>(self, room: &'b mut [u8; 4]) -> &'b [u8]
    where
        'a: 'b,
    {
        match self {
            Self::Plain(plain) => plain,
            Self::Char(scalar) => scalar.encode_utf8(room).as_bytes(),
        }
    }
}

/// The pieces of a string that was already validated (what is between its quotes).
fn pieces(inner: &[u8]) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = inner;
    std::iter::from_fn(move || {
        let plain = memchr::memchr(b'\\', rest).unwrap_or(rest.len());
        if plain > 0 {
            let (run, after) = rest.split_at(plain);
            rest = after;
            return Some(Piece::Plain(run));
        }
        let (scalar, bytes) = read_escape(rest).ok()?;
        rest = rest.get(bytes..).unwrap_or_default();
        Some(Piece::Char(scalar))
    })
}

/// Appends the decoded bytes of a validated string; they are UTF-8.
pub(crate) fn decode(inner: &[u8], out: &mut Vec<u8>) {
    for piece in pieces(inner) {
        out.extend_from_slice(piece.bytes(&mut [0; 4]));
    }
}

/// Whether a validated string decodes to `want`.
pub(crate) fn equals(inner: &[u8], want: &[u8]) -> bool {
    // Decoding never makes a string longer.
    inner.len() >= want.len() && after_prefix(inner, want).is_some_and(|more| !more)
}

/// Whether a validated string, decoded, begins with `want`.
pub(crate) fn starts_with(inner: &[u8], want: &[u8]) -> bool {
    inner.len() >= want.len() && after_prefix(inner, want).is_some()
}

/// `None` where the string does not begin with `want`, else whether it goes on.
fn after_prefix(inner: &[u8], mut want: &[u8]) -> Option<bool> {
    for piece in pieces(inner) {
        let mut room = [0; 4];
        let piece = piece.bytes(&mut room);
        if piece.len() > want.len() {
            return piece.starts_with(want).then_some(true);
        }
        want = want.strip_prefix(piece)?;
    }
    want.is_empty().then_some(false)
}

/// Orders two validated strings by their decoded bytes.
pub(crate) fn compare(a: &[u8], b: &[u8]) -> Ordering {
    decoded_bytes(a).cmp(decoded_bytes(b))
}

fn decoded_bytes(inner: &[u8]) -> impl Iterator<Item = u8> + '_ {
    pieces(inner).flat_map(|piece| {
        let (plain, scalar) = match piece {
            Piece::Plain(plain) => (plain, None),
            Piece::Char(scalar) => (&[][..], Some(scalar)),
        };
        let escaped = scalar.into_iter().flat_map(|scalar| {
            let mut room = [0; 4];
            let bytes = scalar.encode_utf8(&mut room).len();
            room.into_iter().take(bytes)
        });
        plain.iter().copied().chain(escaped)
    })
}

/// Appends `text` as a JSON string with its quotes, escaping what RFC 8259
/// section 7 demands and nothing else.
///
/// ```
/// let mut out = Vec::new();
/// privet_json::write_string("a \"b\"\n", &mut out);
/// assert_eq!(out, br#""a \"b\"\n""#);
/// ```
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut rest = text.as_bytes();
    loop {
        let (plain, after) = rest.split_at(plain_run(rest));
        out.extend_from_slice(plain);
        let [special, tail @ ..] = after else { break };
        write_escape(*special, out);
        rest = tail;
    }
    out.push(b'"');
}

fn write_escape(byte: u8, out: &mut Vec<u8>) {
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => return out.extend_from_slice(&[b'\\', b'u', b'0', b'0', hex(byte >> 4), hex(byte & 15)]),
    };
    out.extend_from_slice(&[b'\\', short]);
}

const fn hex(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

#[cfg(test)]
mod tests {
    use super::{Ordering, compare, decode, equals, read_escape, starts_with, write_string};
    use crate::MalformedKind::{Escape, LoneSurrogate};

    fn decoded(inner: &str) -> String {
        let mut out = Vec::new();
        decode(inner.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn escapes_are_read_as_rfc_8259_says() {
        assert_eq!(decoded(r#"a\"\\\/\b\f\n\r\tz"#), "a\"\\/\u{8}\u{c}\n\r\tz");
        assert_eq!(decoded(r"\u0041\u00e9\u20AC\uD83D\ude00\u0000"), "Aé€😀\0");
    }

    #[test]
    fn what_is_no_escape_is_refused() {
        for bad in [r"\x", r"\", r"\u", r"\u12", r"\u12g4", r"\u+123", r"\U0041", r"\ud83d\u12"] {
            assert_eq!(read_escape(bad.as_bytes()), Err(Escape), "{bad}");
        }
        for lone in [r"\ud800", r"\udc00", r"\ud800\ud800", r"\ud800\u0041", r"\ud800x", r"\udc00\ud800", r"\ud800\n"] {
            assert_eq!(read_escape(lone.as_bytes()), Err(LoneSurrogate), "{lone}");
        }
    }

    #[test]
    fn comparing_sees_the_decoded_text() {
        for (inner, text) in [
            ("email", "email"),
            (r"\u0065mail", "email"),
            (r"em\u0061il", "email"),
            ("", ""),
            (r"\ud83d\ude00!", "😀!"),
        ] {
            assert!(equals(inner.as_bytes(), text.as_bytes()), "{inner}");
            assert!(starts_with(inner.as_bytes(), text.as_bytes()), "{inner}");
            assert!(starts_with(inner.as_bytes(), b""), "{inner}");
            assert!(!equals(inner.as_bytes(), format!("{text}x").as_bytes()), "{inner}");
            assert!(!starts_with(inner.as_bytes(), format!("{text}x").as_bytes()), "{inner}");
        }
        assert!(!equals(br"\u0065mail", b"emai"));
        assert!(starts_with(br"\u0065mail", b"em"));
        assert!(!equals(br"\ud83d\ude00", "😀".get(..0).unwrap().as_bytes()));
    }

    #[test]
    fn order_is_that_of_the_decoded_bytes() {
        assert_eq!(compare(br"\u0061b", b"ab"), Ordering::Equal);
        assert_eq!(compare(br"\u0062", b"ab"), Ordering::Greater);
        assert_eq!(compare(b"a", br"a\u0000"), Ordering::Less);
    }

    #[test]
    fn written_strings_read_back_and_escape_only_what_they_must() {
        let all: String = (0..0x300_u32).filter_map(char::from_u32).chain("\u{2028}\u{ffff}😀".chars()).collect();
        let mut out = Vec::new();
        write_string(&all, &mut out);
        let back: String = serde_json::from_slice(&out).unwrap();
        assert_eq!(back, all);
        assert_eq!(out.iter().filter(|byte| **byte == b'\\').count(), 32 + 2 + 1);
    }
}
