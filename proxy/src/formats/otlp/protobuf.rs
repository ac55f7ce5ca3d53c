//! Protobuf to JSON and back, along the tables of [`super::message`].
//!
//! Promise: what comes out of [`to_json`] says what the message said, in one way:
//! a field that stands twice where it may stand once, two values in one
//! attribute, a known field of another type, text that is not UTF-8 and groups
//! are refused, because two readers could differ on them. The document is bounded
//! as a body is, and so is the depth: nothing is built beforehand that a short
//! message could make large.
//!
//! Source: <https://protobuf.dev/programming-guides/encoding/>.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use privet_json::{Index, Kind, Limits, Node, write_string};

use super::message::{Holds, Member, Message, REQUEST, Scalar, from_hex};
use crate::decode::DecodeLimits;
use crate::formats::{Bound, Fault, Refusal};
use crate::protobuf::{
    FIXED32, FIXED64, LENGTH, VARINT, write_bytes, write_fixed, write_message, write_tag, write_varint,
};

/// The JSON document of an export request.
///
/// # Errors
/// [`Fault::Protobuf`] with the place of the field; [`Bound::Body`] where the
/// document is larger than a body may be.
pub(super) fn to_json(body: &[u8], limits: &DecodeLimits) -> Result<Vec<u8>, Refusal> {
    let out = Vec::with_capacity(body.len().saturating_mul(2).min(limits.body_bytes_max));
    let mut reader = Reader { body, out, limits };
    reader.message(&REQUEST, 0..body.len(), 1)?;
    Ok(reader.out)
}

/// One field as it stands in a message.
struct Field {
    number: u32,
    value: Wire,
    at: usize,
}

/// What a field holds, by its wire type.
enum Wire {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    /// Where its bytes are.
    Bytes(Range<usize>),
}

/// The fields of a message, in the order they stand.
struct Fields<'a> {
    body: &'a [u8],
    rest: Range<usize>,
}

impl Iterator for Fields<'_> {
    type Item = Result<Field, Refusal>;

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.rest.start;
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field(at);
        if field.is_none() {
            self.rest = 0..0;
        }
        Some(field.ok_or_else(|| malformed(at)))
    }
}

impl Fields<'_> {
    fn field(&mut self, at: usize) -> Option<Field> {
        let tag = u32::try_from(self.varint()?).ok()?;
        let value = match u64::from(tag & 7) {
            VARINT => Wire::Varint(self.varint()?),
            FIXED64 => Wire::Fixed64(u64::from_le_bytes(self.fixed()?)),
            FIXED32 => Wire::Fixed32(u32::from_le_bytes(self.fixed()?)),
            LENGTH => {
                let length = usize::try_from(self.varint()?).ok()?;
                Wire::Bytes(self.take(length)?)
            }
            _ => return None,
        };
        let number = tag >> 3;
        (number > 0).then_some(Field { number, value, at })
    }

    /// At most ten bytes of seven bits, the lowest first.
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let at = self.take(1)?.start;
            let byte = *self.body.get(at)?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        let range = self.take(N)?;
        self.body.get(range)?.try_into().ok()
    }

    fn take(&mut self, length: usize) -> Option<Range<usize>> {
        let end = self.rest.start.checked_add(length).filter(|end| *end <= self.rest.end)?;
        Some(std::mem::replace(&mut self.rest.start, end)..end)
    }
}

const fn malformed(at: usize) -> Refusal {
    Refusal::malformed(Fault::Protobuf, at)
}

struct Reader<'a> {
    body: &'a [u8],
    out: Vec<u8>,
    limits: &'a DecodeLimits,
}

impl Reader<'_> {
    fn message(&mut self, message: &Message, at: Range<usize>, depth: u16) -> Result<(), Refusal> {
        if depth > self.limits.json.depth_max {
            return Err(malformed(at.start));
        }
        self.out.push(b'{');
        let mut written = 0;
        for member in message.members {
            if self.member(member, at.clone(), written > 0, depth)? {
                written += 1;
            }
        }
        if message.one_of && written > 1 {
            return Err(malformed(at.start));
        }
        self.out.push(b'}');
        Ok(())
    }

    /// Writes one member with all that the message has for it; says whether it has any.
    fn member(&mut self, member: &Member, within: Range<usize>, comma: bool, depth: u16) -> Result<bool, Refusal> {
        let list = matches!(member.holds, Holds::Many(_));
        let mut met = 0_usize;
        for field in (Fields { body: self.body, rest: within }) {
            let field = field?;
            if field.number != member.number {
                continue;
            }
            if met == 0 {
                self.out.extend_from_slice(if comma { b",\"" } else { b"\"" });
                self.out.extend_from_slice(member.name.as_bytes());
                self.out.extend_from_slice(if list { b"\":[" } else { b"\":" });
            } else if list {
                self.out.push(b',');
            } else {
                return Err(malformed(field.at));
            }
            met += 1;
            match (member.holds, field.value) {
                (Holds::One(inner) | Holds::Many(inner), Wire::Bytes(range)) => {
                    self.message(inner, range, depth + 1)?
                }
                (Holds::Scalar(scalar), value) => self.scalar(scalar, value).ok_or(malformed(field.at))?,
                _ => return Err(malformed(field.at)),
            }
            if self.out.len() > self.limits.body_bytes_max {
                return Err(Refusal::TooLarge(Bound::Body));
            }
        }
        if list && met > 0 {
            self.out.push(b']');
        }
        Ok(met > 0)
    }

    fn scalar(&mut self, scalar: Scalar, value: Wire) -> Option<()> {
        let number = match (scalar, value) {
            (Scalar::Text, Wire::Bytes(range)) => {
                write_string(std::str::from_utf8(self.body.get(range)?).ok()?, &mut self.out);
                return Some(());
            }
            (Scalar::Hex, Wire::Bytes(range)) => quoted(&hex(self.body.get(range)?)),
            (Scalar::Base64, Wire::Bytes(range)) => quoted(&STANDARD.encode(self.body.get(range)?)),
            (Scalar::Bool, Wire::Varint(value)) => (value != 0).to_string(),
            (Scalar::Int64, Wire::Varint(value)) => quoted(&value.cast_signed().to_string()),
            (Scalar::Int32, Wire::Varint(value)) => i32::try_from(value.cast_signed()).ok()?.to_string(),
            (Scalar::Uint32, Wire::Varint(value)) => u32::try_from(value).ok()?.to_string(),
            (Scalar::Double, Wire::Fixed64(bits)) => double(f64::from_bits(bits)),
            (Scalar::Fixed64, Wire::Fixed64(value)) => quoted(&value.to_string()),
            (Scalar::Fixed32, Wire::Fixed32(value)) => value.to_string(),
            _ => return None,
        };
        self.out.extend_from_slice(number.as_bytes());
        Some(())
    }
}

/// A text that needs no escaping.
fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A number, or the words that this encoding has for those that JSON cannot write.
fn double(value: f64) -> String {
    match serde_json::Number::from_f64(value) {
        Some(number) => number.to_string(),
        None if value.is_nan() => quoted("NaN"),
        None if value > 0.0 => quoted("Infinity"),
        None => quoted("-Infinity"),
    }
}

/// The protobuf of an export request's JSON document; `None` where it is no such
/// document. A value that its field cannot hold is left out.
pub(crate) fn to_protobuf(document: &[u8], limits: &Limits) -> Option<Vec<u8>> {
    let mut index = Index::new();
    let root = index.read(document, limits).ok()?;
    let mut out = Vec::with_capacity(document.len());
    write(&REQUEST, index.node(document, root), &mut out);
    Some(out)
}

/// Writes the fields of a message; recursion follows the document, which is bounded.
fn write(message: &Message, object: Node<'_>, out: &mut Vec<u8>) {
    for member in message.members {
        let Some(value) = object.get(member.name) else { continue };
        match (member.holds, value.kind()) {
            (Holds::One(inner), Kind::Object) => write_within(member.number, inner, value, out),
            (Holds::Many(inner), Kind::Array) => {
                let objects = value.elements().filter(|element| element.kind() == Kind::Object);
                objects.for_each(|element| write_within(member.number, inner, element, out));
            }
            (Holds::Scalar(scalar), _) => {
                write_scalar(member.number, scalar, value, out);
            }
            _ => {}
        }
    }
}

fn write_within(number: u32, message: &Message, object: Node<'_>, out: &mut Vec<u8>) {
    write_message(number, out, |out| write(message, object, out));
}

fn write_scalar(number: u32, scalar: Scalar, value: Node<'_>, out: &mut Vec<u8>) -> Option<()> {
    let text = match value.kind() {
        Kind::String => value.text()?,
        Kind::Number | Kind::Bool => std::str::from_utf8(value.raw()).ok()?.into(),
        _ => return None,
    };
    let mut varint = |value: u64| {
        write_tag(number, VARINT, out);
        write_varint(value, out);
    };
    match scalar {
        Scalar::Bool if value.kind() == Kind::Bool => varint(u64::from(text == "true")),
        Scalar::Int64 => varint(text.parse::<i64>().ok()?.cast_unsigned()),
        Scalar::Int32 => varint(i64::from(text.parse::<i32>().ok()?).cast_unsigned()),
        Scalar::Uint32 => varint(u64::from(text.parse::<u32>().ok()?)),
        Scalar::Double => write_fixed(number, FIXED64, &text.parse::<f64>().ok()?.to_le_bytes(), out),
        Scalar::Fixed64 => write_fixed(number, FIXED64, &text.parse::<u64>().ok()?.to_le_bytes(), out),
        Scalar::Fixed32 => write_fixed(number, FIXED32, &text.parse::<u32>().ok()?.to_le_bytes(), out),
        Scalar::Text if value.kind() == Kind::String => write_bytes(number, text.as_bytes(), out),
        Scalar::Hex if value.kind() == Kind::String => write_bytes(number, &from_hex(&text)?, out),
        Scalar::Base64 if value.kind() == Kind::String => {
            write_bytes(number, &STANDARD.decode(text.as_bytes()).ok()?, out);
        }
        _ => return None,
    }
    Some(())
}

/// `google.rpc.Status`: a code and a message.
pub(super) fn status(code: u8, message: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write_tag(1, VARINT, &mut out);
    write_varint(u64::from(code), &mut out);
    write_bytes(2, message.as_bytes(), &mut out);
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use std::io::Read as _;

    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    const REQUESTS: &str = include_str!("../../../tests/data/otlp.ndjson");

    fn read(body: &[u8]) -> Result<Value, Refusal> {
        to_json(body, &DecodeLimits::default()).map(|document| serde_json::from_slice(&document).unwrap())
    }

    /// A field with bytes in it.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
    }

    /// A request with one record that consists of these bytes.
    fn request(record: &[u8]) -> Vec<u8> {
        field(1, &field(2, &field(2, record)))
    }

    fn plain(case: &Value) -> Option<Vec<u8>> {
        case["expect"].get("document")?;
        let body = STANDARD.decode(case["body_b64"].as_str().unwrap()).unwrap();
        let headers = case["headers"].as_array().unwrap();
        let coding = headers.iter().find(|pair| pair[0].as_str().unwrap().eq_ignore_ascii_case("content-encoding"));
        let mut plain = Vec::new();
        match coding.map(|pair| pair[1].as_str().unwrap()) {
            Some("gzip") => drop(flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut plain).unwrap()),
            Some("deflate") => drop(flate2::read::ZlibDecoder::new(&body[..]).read_to_end(&mut plain).unwrap()),
            _ => plain = body,
        }
        Some(plain)
    }

    /// What another writer leaves out because it is the default.
    fn without_zeros(value: &mut Value) {
        match value {
            Value::Object(members) => {
                members.retain(|name, value| name != "droppedAttributesCount" || *value != 0);
                members.values_mut().for_each(without_zeros);
            }
            Value::Array(elements) => elements.iter_mut().for_each(without_zeros),
            _ => {}
        }
    }

    #[test]
    fn captured_messages_read_as_another_parser_reads_them_and_write_back_byte_for_byte() {
        let cases: Vec<Value> = REQUESTS.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let mut seen = 0;
        for (case, body) in cases.iter().filter_map(|case| Some((case, plain(case)?))) {
            let document = to_json(&body, &DecodeLimits::default()).unwrap();
            assert_eq!(to_protobuf(&document, &Limits::default()).unwrap(), body, "{}", case["id"]);
            let mut document: Value = serde_json::from_slice(&document).unwrap();
            without_zeros(&mut document);
            assert_eq!(document, case["expect"]["document"], "{}", case["id"]);
            seen += 1;
        }
        assert_eq!(seen, 5);
    }

    #[test]
    fn every_kind_of_value_has_its_form_in_json_and_returns() {
        // bool, int, double, array, kvlist, bytes, and numbers that JSON cannot write.
        let values: [(&[u8], &str); 8] = [
            (&[0x10, 1], r#"{"boolValue":true}"#),
            (&[0x18, 0xd6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], r#"{"intValue":"-42"}"#),
            (&[0x21, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f], r#"{"doubleValue":1.5}"#),
            (&[0x21, 0, 0, 0, 0, 0, 0, 0xf0, 0x7f], r#"{"doubleValue":"Infinity"}"#),
            (&[0x2a, 5, 0x0a, 3, 0x0a, 1, b'a'], r#"{"arrayValue":{"values":[{"stringValue":"a"}]}}"#),
            (&[0x32, 5, 0x0a, 3, 0x0a, 1, b'k'], r#"{"kvlistValue":{"values":[{"key":"k"}]}}"#),
            (&[0x3a, 2, 0xff, 0], r#"{"bytesValue":"/wA="}"#),
            (&[0x0a, 0], r#"{"stringValue":""}"#),
        ];
        for (value, written) in values {
            let body = request(&field(5, value));
            let document = to_json(&body, &DecodeLimits::default()).unwrap();
            let expected = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{written}}}]}}]}}]}}"#);
            assert_eq!(String::from_utf8(document.clone()).unwrap(), expected);
            assert_eq!(to_protobuf(&document, &Limits::default()).unwrap(), body, "{written}");
        }
        let ids = [field(9, &[0x5b, 0x8e]), vec![0x45, 1, 0, 0, 0], vec![0x09, 1, 0, 0, 0, 0, 0, 0, 0x80]].concat();
        let record = &read(&request(&ids)).unwrap()["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
        assert_eq!(*record, serde_json::json!({"traceId": "5b8e", "flags": 1, "timeUnixNano": "9223372036854775809"}));
    }

    #[test]
    fn unknown_fields_stay_behind() {
        let known = request(&field(12, b"page_view"));
        let unknown = [field(15, b"marla@example.com"), vec![0x78, 7]].concat();
        let record = [field(12, b"page_view"), unknown.clone()].concat();
        let body =
            [field(1, &[field(2, &[field(2, &record), unknown.clone()].concat()), unknown.clone()].concat()), unknown]
                .concat();
        assert_eq!(read(&body), read(&known));
        let document = to_json(&body, &DecodeLimits::default()).unwrap();
        assert_eq!(to_protobuf(&document, &Limits::default()).unwrap(), known);
    }

    #[test]
    fn what_two_readers_could_read_in_two_ways_is_refused_with_its_place() {
        let cases: [(&str, Vec<u8>, usize); 10] = [
            ("a field twice", request(&[field(12, b"a"), field(12, b"b")].concat()), 9),
            ("two values in one", request(&field(5, &[0x10, 1, 0x18, 1])), 8),
            ("another wire type", request(&[0x60, 1]), 6),
            ("text that is not UTF-8", request(&field(12, &[0xff])), 6),
            ("a group", request(&[0x0b, 0x0c]), 6),
            ("no field number", request(&[0x02, 0]), 6),
            ("cut off", vec![0x0a, 5, 0], 0),
            ("a varint that is too long", request(&[&[0x10][..], &[0xff; 10], &[1]].concat()), 6),
            ("a severity beyond 32 bits", request(&[0x10, 0xff, 0xff, 0xff, 0xff, 0x7f]), 6),
            ("a tag without a value", vec![0x0a], 0),
        ];
        for (what, body, at) in cases {
            assert_eq!(read(&body), Err(Refusal::malformed(Fault::Protobuf, at)), "{what}");
        }
        let mut deep = field(1, b"");
        for _ in 0..60 {
            deep = field(5, &field(1, &deep)).into_iter().take(120).collect();
        }
        assert!(read(&request(&field(5, &deep))).is_err());
    }

    #[test]
    fn a_short_message_does_not_become_a_long_document() {
        let limits = DecodeLimits { body_bytes_max: 1_000, ..DecodeLimits::default() };
        let many = [0x0a, 0].repeat(600);
        assert_eq!(to_json(&many, &limits), Err(Refusal::TooLarge(Bound::Body)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_and_what_is_read_returns(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(document) = to_json(&body, &DecodeLimits::default()) {
                let again = to_protobuf(&document, &Limits::default());
                let again = again.map(|body| to_json(&body, &DecodeLimits::default()));
                // Only a name with NUL is refused by the strict reader.
                prop_assert!(again.is_none_or(|again| again == Ok(document)));
            }
        }

        #[test]
        fn a_captured_message_with_a_byte_changed_is_read_or_refused(at in 0_usize..900, byte in any::<u8>()) {
            let case: Value = serde_json::from_str(REQUESTS.lines().nth(3).unwrap()).unwrap();
            let mut body = plain(&case).unwrap();
            let at = at % body.len();
            body[at] = byte;
            if let Ok(document) = to_json(&body, &DecodeLimits::default()) {
                let back = to_protobuf(&document, &Limits::default()).unwrap();
                prop_assert_eq!(to_json(&back, &DecodeLimits::default()), Ok(document));
            }
        }
    }
}
