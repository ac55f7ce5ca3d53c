//! Reading a text as it will look once it is decoded.
//!
//! Free text carries URLs, HTML and strings of strings, so an at sign may stand
//! there as `%40`, `%2540`, `&#64;`, `&commat;` or `\u0040`, and the `D` before
//! a number may be the end of `%3D`. Detectors look at characters through here,
//! one at a time, forwards or backwards, and need no decoded copy.

/// One character, and the bytes it takes as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub char: char,
    pub len: usize,
}

/// Stands for an escaped byte of a character that is not ASCII: some letter.
const SOME_LETTER: char = 'é';

/// The entities that spell what separates, or belongs to, an address or a number.
const ENTITIES: [(&str, char); 19] = [
    ("&commat;", '@'),
    ("&period;", '.'),
    ("&amp;", '&'),
    ("&lt;", '<'),
    ("&gt;", '>'),
    ("&quot;", '"'),
    ("&apos;", '\''),
    ("&nbsp;", ' '),
    ("&plus;", '+'),
    ("&lowbar;", '_'),
    ("&hyphen;", '-'),
    ("&dash;", '-'),
    ("&ndash;", '-'),
    ("&colon;", ':'),
    ("&sol;", '/'),
    ("&equals;", '='),
    ("&lpar;", '('),
    ("&rpar;", ')'),
    ("&Tab;", ' '),
];

/// The longest escape understood, in bytes: `&#1114111;`.
const ESCAPE_BYTES_MAX: usize = 10;

/// The character that begins at byte `at`.
#[inline]
pub(super) fn after(text: &str, at: usize) -> Option<Seen> {
    let byte = *text.as_bytes().get(at)?;
    let escaped = match byte {
        b'%' => percent(text.as_bytes(), at),
        b'&' => entity(text, at),
        b'\\' => backslash(text, at),
        _ if byte.is_ascii() => return Some(Seen { char: char::from(byte), len: 1 }),
        _ => None,
    };
    escaped.or_else(|| {
        let char = text.get(at..)?.chars().next()?;
        Some(Seen { char, len: char.len_utf8() })
    })
}

/// The character that ends before byte `end`.
#[inline]
pub(super) fn before(text: &str, end: usize) -> Option<Seen> {
    let last = *text.as_bytes().get(end.checked_sub(1)?)?;
    if last.is_ascii() && !last.is_ascii_hexdigit() && !matches!(last, b';' | b'n' | b'r' | b't') {
        return Some(Seen { char: char::from(last), len: 1 });
    }
    let escaped = match last {
        b';' => (4..=ESCAPE_BYTES_MAX).find_map(|len| ending(text, end, len, b'&')),
        b'n' | b'r' | b't' => ending(text, end, 2, b'\\'),
        _ => None,
    };
    let coded = |len, first| if last.is_ascii_hexdigit() { ending(text, end, len, first) } else { None };
    escaped.or_else(|| coded(5, b'%')).or_else(|| coded(3, b'%')).or_else(|| coded(6, b'\\')).or_else(|| {
        let char = text.get(..end)?.chars().next_back()?;
        Some(Seen { char, len: char.len_utf8() })
    })
}

/// The escape of exactly `len` bytes that ends at `end`, if there is one.
fn ending(text: &str, end: usize, len: usize, first: u8) -> Option<Seen> {
    let at = end.checked_sub(len)?;
    if text.as_bytes().get(at) != Some(&first) {
        return None;
    }
    after(text, at).filter(|seen| seen.len == len)
}

/// `%40`, or `%2540`, which is `%40` once more encoded.
fn percent(bytes: &[u8], at: usize) -> Option<Seen> {
    let outer = hex_byte(bytes, at + 1)?;
    let (byte, len) = match (outer, hex_byte(bytes, at + 3)) {
        (b'%', Some(inner)) => (inner, 5),
        _ => (outer, 3),
    };
    let char = if byte.is_ascii() { char::from(byte) } else { SOME_LETTER };
    Some(Seen { char, len })
}

fn hex_byte(bytes: &[u8], at: usize) -> Option<u8> {
    let digit = |at: usize| char::from(*bytes.get(at)?).to_digit(16);
    u8::try_from(digit(at)? * 16 + digit(at + 1)?).ok()
}

/// `&#64;`, `&#x40;`, `&commat;`.
fn entity(text: &str, at: usize) -> Option<Seen> {
    let bytes = text.as_bytes();
    let second = bytes.get(at + 1)?;
    if second.is_ascii_alphabetic() {
        let named = |(name, _): &&(&str, char)| text.get(at..).is_some_and(|rest| rest.starts_with(name));
        return ENTITIES.iter().find(named).map(|(name, char)| Seen { char: *char, len: name.len() });
    }
    if *second != b'#' {
        return None;
    }
    let (radix, digits) = match bytes.get(at + 2)? {
        b'x' | b'X' => (16, at + 3),
        _ => (10, at + 2),
    };
    let length = bytes.get(digits..)?.iter().take(8).position(|byte| *byte == b';')?;
    let end = digits + length + 1;
    if length == 0 || end - at > ESCAPE_BYTES_MAX {
        return None;
    }
    // Not `from_str_radix` alone: it would take a sign.
    let written = text.get(digits..digits + length).filter(|text| text.bytes().all(|b| b.is_ascii_alphanumeric()))?;
    let char = u32::from_str_radix(written, radix).ok().and_then(char::from_u32)?;
    Some(Seen { char, len: end - at })
}

/// `\u0040`, and `\n` of a string inside a string.
fn backslash(text: &str, at: usize) -> Option<Seen> {
    let bytes = text.as_bytes();
    match bytes.get(at + 1)? {
        b'n' | b'r' => Some(Seen { char: '\n', len: 2 }),
        b't' => Some(Seen { char: ' ', len: 2 }),
        b'u' => {
            let unit = u32::from(hex_byte(bytes, at + 2)?) << 8 | u32::from(hex_byte(bytes, at + 4)?);
            Some(Seen { char: char::from_u32(unit).unwrap_or(SOME_LETTER), len: 6 })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_character_from_both_sides() {
        for (written, char) in [
            ("a", 'a'),
            ("é", 'é'),
            ("%40", '@'),
            ("%2540", '@'),
            ("%C3", SOME_LETTER),
            ("&#64;", '@'),
            ("&#x40;", '@'),
            ("&commat;", '@'),
            ("\\u0040", '@'),
            ("\\ud83d", SOME_LETTER),
            ("\\n", '\n'),
        ] {
            let seen = Some(Seen { char, len: written.len() });
            assert_eq!(after(written, 0), seen, "{written}");
            assert_eq!(before(written, written.len()), seen, "{written}");
        }
    }

    #[test]
    fn what_is_no_escape_is_itself() {
        for written in ["%4", "%zz", "&#;", "&#+4;", "&none;", "\\u00", "\\", "&", "%"] {
            assert_eq!(after(written, 0).map(|seen| seen.len), Some(1), "{written}");
        }
        assert_eq!((after("", 0), before("", 0), after("a", 7), before("a", 7)), (None, None, None, None));
    }
}
