//! A query as a JSON document of strings, and a document of strings as a query.
//!
//! Promise: a query becomes a document in one way or not at all. A name that stands
//! twice, a `%` without two hexadecimal digits, text that is no UTF-8 and NUL are
//! refused, for two readers would take them in two ways. What [`written`] makes is
//! spelled so that every reader takes it in one.
//!
//! Source: application/x-www-form-urlencoded as the URL standard parses it
//! (section 5.1), strict where that replaces: `&` separates, `+` is a space.
//!
//! Not here: which parameters mean something, and which leave.

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use privet_json::{Index, Node, NodeId, write_string};

use super::DecodeLimits;
use crate::formats::{Fault, Refusal};

/// What RFC 3986 never percent-encodes.
pub(crate) const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What follows the path of a request target; empty where nothing does.
pub(crate) fn of(target: &str) -> &str {
    target.split_once('?').map_or("", |(_, query)| query)
}

/// Reads the query of a target as one object: a member a parameter, all of them strings.
///
/// # Errors
/// [`Fault::Query`] for what could be read in two ways.
pub(crate) fn document(target: &str, index: &mut Index, limits: &DecodeLimits) -> Result<(Bytes, NodeId), Refusal> {
    let query = of(target);
    let mut text = Vec::with_capacity(2 * query.len() + 2);
    text.push(b'{');
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if text.len() > 1 {
            text.push(b',');
        }
        write_string(&decoded(name)?, &mut text);
        text.push(b':');
        write_string(&decoded(value)?, &mut text);
    }
    text.push(b'}');
    let text = Bytes::from(text);
    match super::read(index, &text, limits) {
        Ok(root) => Ok((text, root)),
        // The document is ours: a place in it would tell the sender nothing.
        Err(Refusal::Malformed { .. }) => Err(malformed()),
        Err(refusal) => Err(refusal),
    }
}

const fn malformed() -> Refusal {
    Refusal::malformed(Fault::Query, 0)
}

fn decoded(text: &str) -> Result<String, Refusal> {
    let bytes = text.as_bytes();
    let hex = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
    let whole = bytes.iter().enumerate().all(|(at, byte)| *byte != b'%' || (hex(at + 1) && hex(at + 2)));
    let spaced = text.replace('+', " ");
    let text = percent_decode_str(&spaced).decode_utf8().map_err(|_| malformed())?;
    if whole && !text.contains(['\0', '\u{feff}']) { Ok(text.into_owned()) } else { Err(malformed()) }
}

/// Writes an object as a query, without the `?`. A member that is no string leaves as its JSON text.
pub(crate) fn written(document: Node<'_>) -> String {
    let mut query = String::new();
    for (name, value) in document.members() {
        let text = value.text().unwrap_or_else(|| String::from_utf8_lossy(value.raw()));
        if !query.is_empty() {
            query.push('&');
        }
        query.extend(utf8_percent_encode(&name.text(), ENCODED));
        query.push('=');
        query.extend(utf8_percent_encode(&text, ENCODED));
    }
    query
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn read(target: &str) -> Result<Value, Refusal> {
        let (text, _) = document(target, &mut Index::new(), &DecodeLimits::default())?;
        Ok(serde_json::from_slice(&text).unwrap())
    }

    #[test]
    fn a_query_is_read_in_one_way() {
        let read = |query: &str| read(&format!("/i?{query}")).unwrap();
        assert_eq!(read("a=1&b=x%20y+z&c=%C3%A9"), serde_json::json!({"a": "1", "b": "x y z", "c": "\u{e9}"}));
        assert_eq!(read("a=b=c&&d&e="), serde_json::json!({"a": "b=c", "d": "", "e": ""}));
        assert_eq!(read("a=%2B%26;b=1"), serde_json::json!({"a": "+&;b=1"}));
        assert_eq!(read(""), serde_json::json!({}));
        assert_eq!(self::read("/i").unwrap(), serde_json::json!({}));
    }

    #[test]
    fn what_two_readers_take_in_two_ways_is_refused() {
        for query in ["a=1&a=2", "a&a", "a=1&%61=2", "a=%", "a=%4", "a=%zz", "%=1", "a=%C3", "a=%ED%A0%80", "a=%00"] {
            assert_eq!(read(&format!("/i?{query}")), Err(malformed()), "{query}");
        }
    }

    proptest! {
        #[test]
        fn what_was_read_is_written_so_that_it_is_read_again(
            members in proptest::collection::btree_map("[^\\x00\u{feff}]{1,8}", "[^\\x00\u{feff}]{0,12}", 0..6),
        ) {
            let all = serde_json::to_value(&members).unwrap();
            let mut index = Index::new();
            let text = all.to_string();
            let root = index.read(text.as_bytes(), &privet_json::Limits::default()).unwrap();
            let query = written(index.node(text.as_bytes(), root));
            prop_assert!(query.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert_eq!(read(&format!("/i?{query}")).unwrap(), all);
        }
    }
}
