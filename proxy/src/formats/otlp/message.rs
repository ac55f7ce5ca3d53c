//! The messages of OpenTelemetry's logs: names, field numbers and kinds.
//!
//! Promise: what is not in these tables is read from no request and written to
//! none.
//!
//! Source: opentelemetry-proto 1.9, `collector/logs/v1/logs_service.proto`,
//! `logs/v1/logs.proto`, `resource/v1/resource.proto`, `common/v1/common.proto`.
//! Left out: `entity_refs` of a resource, in development there, which names
//! attributes that may not leave.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use privet_json::{Key, Node};
use privet_policy::action::{Action, PseudonymShape};

/// A message: its fields by ascending number.
pub(super) struct Message {
    pub(super) members: &'static [Member],
    /// Whether at most one of them may be there.
    pub(super) one_of: bool,
}

/// A field of a message.
pub(super) struct Member {
    pub(super) number: u32,
    /// In lower camel case, as JSON has it.
    pub(super) name: &'static str,
    pub(super) holds: Holds,
}

/// What a field holds.
#[derive(Clone, Copy)]
pub(super) enum Holds {
    One(&'static Message),
    Many(&'static Message),
    Scalar(Scalar),
}

/// A value by its type in protobuf. JSON has 64-bit integers as text, and reads
/// them as number too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    Text,
    /// Bytes that JSON has in hexadecimal digits: the ids of traces and spans.
    Hex,
    Base64,
    Bool,
    Int64,
    Int32,
    Uint32,
    Double,
    Fixed64,
    Fixed32,
}

const fn of(members: &'static [Member]) -> Message {
    Message { members, one_of: false }
}

const fn scalar(number: u32, name: &'static str, scalar: Scalar) -> Member {
    Member { number, name, holds: Holds::Scalar(scalar) }
}

const fn one(number: u32, name: &'static str, message: &'static Message) -> Member {
    Member { number, name, holds: Holds::One(message) }
}

const fn many(number: u32, name: &'static str, message: &'static Message) -> Member {
    Member { number, name, holds: Holds::Many(message) }
}

/// `ExportLogsServiceRequest`.
pub(super) static REQUEST: Message = of(&[many(1, "resourceLogs", &RESOURCE_LOGS)]);

static RESOURCE_LOGS: Message =
    of(&[one(1, "resource", &RESOURCE), many(2, "scopeLogs", &SCOPE_LOGS), scalar(3, "schemaUrl", Scalar::Text)]);

static RESOURCE: Message =
    of(&[many(1, "attributes", &KEY_VALUE), scalar(2, "droppedAttributesCount", Scalar::Uint32)]);

static SCOPE_LOGS: Message =
    of(&[one(1, "scope", &SCOPE), many(2, "logRecords", &LOG_RECORD), scalar(3, "schemaUrl", Scalar::Text)]);

static SCOPE: Message = of(&[
    scalar(1, "name", Scalar::Text),
    scalar(2, "version", Scalar::Text),
    many(3, "attributes", &KEY_VALUE),
    scalar(4, "droppedAttributesCount", Scalar::Uint32),
]);

static LOG_RECORD: Message = of(&[
    scalar(1, "timeUnixNano", Scalar::Fixed64),
    scalar(2, "severityNumber", Scalar::Int32),
    scalar(3, "severityText", Scalar::Text),
    one(5, "body", &ANY_VALUE),
    many(6, "attributes", &KEY_VALUE),
    scalar(7, "droppedAttributesCount", Scalar::Uint32),
    scalar(8, "flags", Scalar::Fixed32),
    scalar(9, "traceId", Scalar::Hex),
    scalar(10, "spanId", Scalar::Hex),
    scalar(11, "observedTimeUnixNano", Scalar::Fixed64),
    scalar(12, "eventName", Scalar::Text),
]);

static KEY_VALUE: Message = of(&[scalar(1, "key", Scalar::Text), one(2, "value", &ANY_VALUE)]);

static ANY_VALUE: Message = Message {
    members: &[
        scalar(1, "stringValue", Scalar::Text),
        scalar(2, "boolValue", Scalar::Bool),
        scalar(3, "intValue", Scalar::Int64),
        scalar(4, "doubleValue", Scalar::Double),
        one(5, "arrayValue", &ARRAY_VALUE),
        one(6, "kvlistValue", &KEY_VALUE_LIST),
        scalar(7, "bytesValue", Scalar::Base64),
    ],
    one_of: true,
};

static ARRAY_VALUE: Message = of(&[many(1, "values", &ANY_VALUE)]);

static KEY_VALUE_LIST: Message = of(&[many(1, "values", &KEY_VALUE)]);

impl Scalar {
    /// Whether a JSON value, as it is written, can be one of these.
    pub(super) fn takes(self, written: &str) -> bool {
        let text = written.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        let digits = text.unwrap_or(written);
        match self {
            Self::Text => text.is_some(),
            Self::Hex => text.is_some_and(|text| matches!(text.len(), 0 | 16 | 32) && from_hex(text).is_some()),
            Self::Base64 => text.is_some_and(|text| STANDARD.decode(text).is_ok()),
            Self::Bool => matches!(written, "true" | "false"),
            Self::Int64 => digits.parse::<i64>().is_ok(),
            Self::Int32 => digits.parse::<i32>().is_ok(),
            Self::Uint32 | Self::Fixed32 => digits.parse::<u32>().is_ok(),
            Self::Fixed64 => digits.parse::<u64>().is_ok(),
            Self::Double => digits.parse::<f64>().is_ok(),
        }
    }
}

/// Bytes from hexadecimal digits of either case.
pub(super) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| match pair {
            [high, low] => {
                let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                Some(digit(*high)? << 4 | digit(*low)?)
            }
            _ => None,
        })
        .collect()
}

/// What a member holds, if that is one value of a known type.
fn scalar_of(member: Option<Key<'_>>) -> Option<Scalar> {
    let named = |known: &&Member| member.is_some_and(|key| key.is(known.name));
    let known = LOG_RECORD.members.iter().chain(ANY_VALUE.members).chain(SCOPE.members).find(named)?;
    match known.holds {
        Holds::Scalar(scalar) => Some(scalar),
        Holds::One(_) | Holds::Many(_) => None,
    }
}

/// Whether what an action made of a member's value can stand there: a collector
/// refuses a whole request for one id that is no number. What does not fit is dropped.
pub(crate) fn fits(member: Option<Key<'_>>, written: &[u8]) -> bool {
    let scalar = scalar_of(member);
    scalar.is_none_or(|scalar| std::str::from_utf8(written).is_ok_and(|written| scalar.takes(written)))
}

/// The action in the shape that a member's pseudonym needs: digits for a number,
/// and for the id of a trace or span a UUID, of which [`as_hex`] takes the digits.
pub(crate) fn shaped(action: &Action, member: Option<Key<'_>>) -> Option<Action> {
    let Action::Pseudonymize { domain, .. } = action else { return None };
    let shape = match scalar_of(member)? {
        Scalar::Hex => PseudonymShape::Uuid,
        Scalar::Int64 | Scalar::Double | Scalar::Fixed64 => PseudonymShape::Digits,
        _ => return None,
    };
    Some(Action::Pseudonymize { domain: domain.clone(), shape })
}

/// Cuts a pseudonym that was written from `begun` on to as many hexadecimal digits as the id had.
pub(crate) fn as_hex(id: Node<'_>, begun: usize, out: &mut Vec<u8>) {
    if scalar_of(id.key()) != Some(Scalar::Hex) {
        return;
    }
    let length = id.raw().len().saturating_sub(2);
    let digits = out.get(begun..).unwrap_or_default().iter().filter(|byte| byte.is_ascii_hexdigit());
    let digits: Vec<u8> = digits.copied().take(length).collect();
    out.truncate(begun);
    out.push(b'"');
    out.extend(digits);
    out.push(b'"');
}
