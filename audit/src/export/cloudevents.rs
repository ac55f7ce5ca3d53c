//! CloudEvents 1.0 in JSON: one event a record.
//!
//! `source` is the incarnation's origin and `id` the record's index, so both together name a leaf, and
//! exporting twice gives the same events. The extension attributes `sequence` (its registered
//! meaning, digits of one width, so that text sorts as numbers do) and `leafhash` (SHA-256 of the leaf
//! in hexadecimal) tie an event to its proof; `data` is the record.

use anyhow::Result;
use privet_audit_log::tree::Hash;
use serde_json::{Value, json};

use super::Lines;
use crate::evidence::{Evidence, Told};
use crate::period::show;

/// Characters of an origin that stand in a URI reference as they are (RFC 3986, `pchar` and `/`).
const PLAIN: &[u8] = b"-._~!$&'()*,;=:@/";

/// Writes the events, oldest first.
///
/// # Errors
/// See [`Evidence::walk`]; a line cannot be written.
pub fn events(evidence: &Evidence, out: &mut Lines<'_>) -> Result<usize> {
    evidence.walk(&mut |told| out.push(&event(told)))?;
    out.end()
}

fn event(told: &Told<'_>) -> Value {
    json!({
        "specversion": "1.0",
        "id": told.index.to_string(),
        "source": source(&told.names.origin),
        "type": format!("dev.privet.log.{}", told.entry.record.kind()),
        "time": show(told.entry.ts),
        "datacontenttype": "application/json",
        "sequence": format!("{:020}", told.index),
        "leafhash": Hash::leaf(told.bytes).to_hex(),
        "data": told.value(),
    })
}

/// The origin as a reference that begins with an authority, as c2sp.org recommends origins to look.
fn source(origin: &str) -> String {
    let mut text = "//".to_owned();
    for byte in origin.bytes() {
        if byte.is_ascii_alphanumeric() || PLAIN.contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_becomes_a_uri_reference() {
        assert_eq!(source("privet.example/a b/é/1"), "//privet.example/a%20b/%C3%A9/1");
    }
}
