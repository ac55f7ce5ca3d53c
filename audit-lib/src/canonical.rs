//! Canonical JSON: the subset of RFC 8785 whose numbers are integers.
//!
//! Promise: one value has one text, so the hash of a record is the hash of its
//! meaning. [`to_bytes`] writes that text and [`check`] accepts no other.
//! It refuses floats, and integers past 2^53 - 1, which RFC 8785 cannot write exactly.

use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

/// The largest integer that every JSON reader keeps exact.
pub const INTEGER_MAX: u64 = (1 << 53) - 1;

const DEPTH_MAX: u32 = 64;

/// Why a text is not canonical JSON, or a value has no canonical text.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum NotCanonical {
    /// Not UTF-8, not JSON, or written with other spacing or escapes.
    #[error("not written canonically at byte {0}")]
    Form(usize),
    /// Members out of order, or one of them twice.
    #[error("object members out of order or repeated at byte {0}")]
    Order(usize),
    /// A number that is no integer, or is out of range.
    #[error("a number that is not an integer within 2^53 at byte {0}")]
    Number(usize),
    /// Nested deeper than any record.
    #[error("nested too deeply at byte {0}")]
    Depth(usize),
}

/// The canonical text of a value.
///
/// # Errors
/// [`NotCanonical::Number`] for floats and integers out of range.
pub fn to_bytes<T: Serialize>(value: &T) -> Result<Vec<u8>, NotCanonical> {
    let value = serde_json::to_value(value).map_err(|_| NotCanonical::Form(0))?;
    let mut out = Vec::with_capacity(256);
    write(&value, &mut out)?;
    Ok(out)
}

fn write(value: &Value, out: &mut Vec<u8>) -> Result<(), NotCanonical> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => {
            let fits = number.as_i64().map(i64::unsigned_abs).or(number.as_u64());
            fits.filter(|n| *n <= INTEGER_MAX).ok_or(NotCanonical::Number(out.len()))?;
            out.extend_from_slice(number.to_string().as_bytes());
        }
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    out.push(b',');
                }
                write(item, out)?;
            }
            out.push(b']');
        }
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by(|(a, _), (b, _)| order(a, b));
            out.push(b'{');
            for (n, (key, member)) in sorted.into_iter().enumerate() {
                if n > 0 {
                    out.push(b',');
                }
                write_string(key, out);
                out.push(b':');
                write(member, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x09 => out.extend_from_slice(b"\\t"),
            0x0a => out.extend_from_slice(b"\\n"),
            0x0c => out.extend_from_slice(b"\\f"),
            0x0d => out.extend_from_slice(b"\\r"),
            0x00..=0x1f => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// RFC 8785 sorts by UTF-16 code units; for ASCII that is byte order.
fn order(a: &str, b: &str) -> std::cmp::Ordering {
    if a.is_ascii() && b.is_ascii() { a.cmp(b) } else { a.encode_utf16().cmp(b.encode_utf16()) }
}

/// Accepts exactly the texts that [`to_bytes`] writes.
///
/// # Errors
/// The first place where the text is another.
pub fn check(text: &[u8]) -> Result<(), NotCanonical> {
    let text = std::str::from_utf8(text).map_err(|error| NotCanonical::Form(error.valid_up_to()))?;
    let mut reader = Reader { text, bytes: text.as_bytes(), at: 0 };
    reader.value(0)?;
    if reader.at == reader.bytes.len() { Ok(()) } else { Err(NotCanonical::Form(reader.at)) }
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn eat(&mut self, expected: u8) -> Result<(), NotCanonical> {
        if self.peek() != Some(expected) {
            return Err(NotCanonical::Form(self.at));
        }
        self.at += 1;
        Ok(())
    }

    fn value(&mut self, depth: u32) -> Result<(), NotCanonical> {
        if depth > DEPTH_MAX {
            return Err(NotCanonical::Depth(self.at));
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            _ => Err(NotCanonical::Form(self.at)),
        }
    }

    fn word(&mut self, word: &str) -> Result<(), NotCanonical> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if !rest.starts_with(word.as_bytes()) {
            return Err(NotCanonical::Form(self.at));
        }
        self.at += word.len();
        Ok(())
    }

    fn object(&mut self, depth: u32) -> Result<(), NotCanonical> {
        self.eat(b'{')?;
        if self.peek() == Some(b'}') {
            return self.eat(b'}');
        }
        let mut before: Option<&'a str> = None;
        loop {
            let start = self.at;
            let raw = self.string()?;
            let sorted = before.is_none_or(|before| ascends(before, raw));
            if !sorted {
                return Err(NotCanonical::Order(start));
            }
            before = Some(raw);
            self.eat(b':')?;
            self.value(depth + 1)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                _ => return self.eat(b'}'),
            }
        }
    }

    fn array(&mut self, depth: u32) -> Result<(), NotCanonical> {
        self.eat(b'[')?;
        if self.peek() == Some(b']') {
            return self.eat(b']');
        }
        loop {
            self.value(depth + 1)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                _ => return self.eat(b']'),
            }
        }
    }

    /// The text between the quotes, escapes left as written.
    fn string(&mut self) -> Result<&'a str, NotCanonical> {
        self.eat(b'"')?;
        let start = self.at;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                Some(0x20..) => self.at += 1,
                _ => return Err(NotCanonical::Form(self.at)),
            }
        }
        let raw = self.text.get(start..self.at).ok_or(NotCanonical::Form(start))?;
        self.at += 1;
        Ok(raw)
    }

    fn escape(&mut self) -> Result<(), NotCanonical> {
        let rest = self.bytes.get(self.at + 1..).unwrap_or_default();
        self.at += match rest {
            [b'"' | b'\\' | b'b' | b't' | b'n' | b'f' | b'r', ..] => 2,
            [b'u', b'0', b'0', b'0', b'0'..=b'7' | b'b' | b'e' | b'f', ..] => 6,
            [b'u', b'0', b'0', b'1', b'0'..=b'9' | b'a'..=b'f', ..] => 6,
            _ => return Err(NotCanonical::Form(self.at)),
        };
        Ok(())
    }

    fn number(&mut self) -> Result<(), NotCanonical> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let digits_from = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        let digits = self.bytes.get(digits_from..self.at).unwrap_or_default();
        let minus = digits_from > start;
        let well_formed = match digits {
            [] => false,
            [b'0'] => !minus,
            [b'0', ..] => false,
            _ => digits.len() <= 16,
        };
        let value = digits.iter().take(17).fold(0_u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        let ended = !matches!(self.peek(), Some(b'.' | b'e' | b'E'));
        if well_formed && ended && value <= INTEGER_MAX { Ok(()) } else { Err(NotCanonical::Number(start)) }
    }
}

/// Whether one raw key stands strictly before another once unescaped.
fn ascends(before: &str, after: &str) -> bool {
    let plain = |key: &str| key.is_ascii() && !key.contains('\\');
    if plain(before) && plain(after) {
        return before < after;
    }
    order(&unescape(before), &unescape(after)).is_lt()
}

fn unescape(raw: &str) -> String {
    serde_json::from_str(&format!("\"{raw}\"")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn members_are_sorted_by_utf16_and_escaped_as_the_standard_says() {
        // RFC 8785 section 3.2.3: sorting of these keys.
        let value = json!({
            "\u{20ac}": "Euro Sign", "\r": "Carriage Return", "\u{fb33}": "Hebrew Letter Dalet With Dagesh",
            "1": "One", "\u{1f600}": "Emoji: Grinning Face", "\u{80}": "Control", "\u{f6}": "Latin Small Letter O With Diaeresis"
        });
        let bytes = to_bytes(&value).unwrap();
        let expected = "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u{80}\":\"Control\",\"\u{f6}\":\"Latin Small Letter O With Diaeresis\",\"\u{20ac}\":\"Euro Sign\",\"\u{1f600}\":\"Emoji: Grinning Face\",\"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}";
        assert_eq!(std::str::from_utf8(&bytes).unwrap(), expected);
        assert_eq!(check(&bytes), Ok(()));
    }

    #[test]
    fn other_texts_of_the_same_value_are_refused() {
        for text in [
            "{ }",
            "{\"b\":1,\"a\":1}",
            "{\"a\":1,\"a\":1}",
            "1.0",
            "1e3",
            "-0",
            "01",
            "9007199254740992",
            "\"\\/\"",
            "\"\\u000A\"",
            "\"\\u000a\"",
            "\"\\u0041\"",
            "[1, 2]",
            "[1,]",
            "{\"a\":1}x",
            "",
            "\"\t\"",
            "nul",
        ] {
            assert!(check(text.as_bytes()).is_err(), "{text}");
        }
        for text in ["{}", "[]", "0", "-1", "9007199254740991", "\"\\u001f\\n\"", "{\"a\":[1,{\"b\":null}],\"c\":true}"]
        {
            assert_eq!(check(text.as_bytes()), Ok(()), "{text}");
        }
        assert!(to_bytes(&json!(0.5)).is_err());
        assert!(to_bytes(&json!(1_u64 << 60)).is_err());
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-9_007_199_254_740_991_i64..=9_007_199_254_740_991).prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_accepted_and_reads_back(value in any_json()) {
            let bytes = to_bytes(&value).unwrap();
            prop_assert_eq!(check(&bytes), Ok(()));
            prop_assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), value);
        }
    }
}
