//! RudderStack's pixel: an event in a query, a dotted name for each member.
//!
//! Promise: a query becomes one document in one way, or is refused. The gateway
//! sets its parameters into a document one by one, in no order; a name that would
//! be a value and hold others, that it would take for a pattern, or for a place in
//! a list, could end anywhere, so such a query is refused. `type` is the path's.
//!
//! Not here: which members leave.

use std::collections::BTreeMap;

use bytes::Bytes;
use percent_encoding::utf8_percent_encode;
use privet_json::{Index, Kind, Node, NodeId, write_string};

use super::{Fault, Refusal};
use crate::decode::{DecodeLimits, query};

/// What means something else than itself in a name of the gateway's.
const SPECIAL: [char; 8] = ['\\', '*', '?', '#', '|', '@', '!', ':'];
/// Members within members.
const DEPTH_MAX: usize = 16;

/// A member and what it holds.
enum Member {
    Text(String),
    Members(BTreeMap<String, Member>),
}

/// Reads the query of a target as one event of a kind.
///
/// # Errors
/// [`Fault::Query`] for what could be read in two ways, and for a `type` that is another than the path's.
pub(super) fn document(
    target: &str,
    kind: &str,
    index: &mut Index,
    limits: &DecodeLimits,
) -> Result<(Bytes, NodeId), Refusal> {
    let (flat, root) = query::document(target, index, limits)?;
    let mut members = BTreeMap::new();
    for (name, value) in index.node(&flat, root).members() {
        let (name, value) = (name.text(), value.text().unwrap_or_default());
        if name == "type" && value != kind {
            return Err(malformed());
        }
        let value = if name == "anonymousId" { unquoted(&value) } else { &value };
        set(&mut members, &name, value, DEPTH_MAX)?;
    }
    let mut text = Vec::with_capacity(2 * flat.len());
    write(&members, &mut text);
    let text = Bytes::from(text);
    let root = crate::decode::read(index, &text, limits)?;
    Ok((text, root))
}

const fn malformed() -> Refusal {
    Refusal::malformed(Fault::Query, 0)
}

/// An id as the gateway takes it: without the quotation marks around it.
fn unquoted(id: &str) -> &str {
    id.strip_prefix('"').and_then(|id| id.strip_suffix('"')).unwrap_or(id)
}

fn set(members: &mut BTreeMap<String, Member>, name: &str, value: &str, depth: usize) -> Result<(), Refusal> {
    let (first, rest) = name.split_once('.').map_or((name, None), |(first, rest)| (first, Some(rest)));
    let place = first == "-1" || first.bytes().all(|byte| byte.is_ascii_digit());
    if place || first.contains(SPECIAL) || depth == 0 {
        return Err(malformed());
    }
    let Some(rest) = rest else {
        let new = members.insert(first.to_owned(), Member::Text(value.to_owned())).is_none();
        return if new { Ok(()) } else { Err(malformed()) };
    };
    match members.entry(first.to_owned()).or_insert_with(|| Member::Members(BTreeMap::new())) {
        Member::Members(inner) => set(inner, rest, value, depth - 1),
        Member::Text(_) => Err(malformed()),
    }
}

fn write(members: &BTreeMap<String, Member>, out: &mut Vec<u8>) {
    out.push(b'{');
    for (number, (name, member)) in members.iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        write_string(name, out);
        out.push(b':');
        match member {
            Member::Text(text) => write_string(text, out),
            Member::Members(inner) => write(inner, out),
        }
    }
    out.push(b'}');
}

/// Writes an event as the query it came as, without the `?`.
pub(crate) fn written(event: Node<'_>) -> String {
    let mut query = String::new();
    write_members(event, "", &mut query);
    query
}

fn write_members(event: Node<'_>, within: &str, query: &mut String) {
    for (name, value) in event.members() {
        let name = format!("{within}{}", name.text());
        if value.kind() == Kind::Object {
            write_members(value, &format!("{name}."), query);
            continue;
        }
        if !query.is_empty() {
            query.push('&');
        }
        let text = value.text().unwrap_or_else(|| String::from_utf8_lossy(value.raw()));
        query.extend(utf8_percent_encode(&name, query::ENCODED));
        query.push('=');
        query.extend(utf8_percent_encode(&text, query::ENCODED));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(query: &str) -> Result<Value, Refusal> {
        let target = format!("/pixel/v1/page?{query}");
        let (text, _) = document(&target, "page", &mut Index::new(), &DecodeLimits::default())?;
        Ok(serde_json::from_slice(&text).unwrap())
    }

    #[test]
    fn dotted_names_become_members_and_go_back() {
        let query = "writeKey=k&anonymousId=%22a-1%22&context.page.title=Cart&context.page.url=https%3A%2F%2Fx.example&type=page";
        let event = json!({
            "writeKey": "k", "anonymousId": "a-1", "type": "page",
            "context": {"page": {"title": "Cart", "url": "https://x.example"}},
        });
        assert_eq!(read(query).unwrap(), event);
        let text = event.to_string();
        let mut index = Index::new();
        let root = index.read(text.as_bytes(), &privet_json::Limits::default()).unwrap();
        assert_eq!(read(&written(index.node(text.as_bytes(), root))).unwrap(), event);
    }

    #[test]
    fn what_the_gateway_could_read_in_two_ways_is_refused() {
        for query in [
            "a=1&a=2",
            "a=1&a.b=2",
            "a.b=2&a=1",
            "a.b=1&a.b.c=1",
            "a.=1",
            ".a=1",
            "=1",
            "a..b=1",
            "list.0=1",
            "list.-1=1",
            "a*=1",
            "a%5C.b=1",
            "%3Aa=1",
            "a%7Cb=1",
            "type=track",
            &format!("{}a=1", "a.".repeat(DEPTH_MAX)),
        ] {
            assert_eq!(read(query), Err(malformed()), "{query}");
        }
        assert!(read("a=1&b.a=2&B=3").is_ok());
    }
}
