//! Binary mode, there and back: attributes in `ce-*` headers, data in the body.
//!
//! Promise: what [`to_binary`] makes of an unchanged document has the attributes
//! and the data that came in. Header values are written anew in the one spelling
//! that the binding asks for, so the next reader sees what was judged here.
//!
//! Which member holds the data follows from `datacontenttype` alone, the same way
//! in both directions: a JSON type, or none, means that `data` is the JSON value;
//! any other means that `data` is text; bytes that are no text are `data_base64`.

use std::ops::Range;
use std::str;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode, utf8_percent_encode};
use privet_json::{Index, Kind, Limits, Node, write_string};
use thiserror::Error;

use crate::decode::media::Media;
use crate::formats::{Fault, Refusal};

/// What must be encoded besides everything that is not ASCII (binding, 3.1.3.2).
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// The headers of attributes begin so.
const PREFIX: &str = "ce-";

/// A document made of a binary event.
pub(super) struct Structured {
    pub(super) document: Vec<u8>,
    /// Where the value of a spliced `data` must lie; empty at the end without one.
    pub(super) data: Range<usize>,
}

/// Makes the structured document of a binary event.
///
/// `is_json` says that the body is to be spliced in as it is: the caller checks
/// afterwards that it was one value.
pub(super) fn to_structured(
    headers: &HeaderMap,
    media: &Media<'_>,
    body: &[u8],
    is_json: bool,
) -> Result<Structured, Refusal> {
    let mut document = Vec::with_capacity(body.len() + 512);
    for name in headers.keys().filter(|name| name.as_str().starts_with(PREFIX)) {
        let Some(attribute) = attribute_name(headers, name, media)? else { continue };
        let value = headers.get(name).ok_or(bad_attribute())?;
        push_text(&mut document, attribute, &attribute_text(value.as_bytes())?);
    }
    if let Some(written) = media.written() {
        push_text(&mut document, "datacontenttype", written);
    }
    let data = push_data(&mut document, media, body, is_json);
    document.push(b'}');
    Ok(Structured { document, data })
}

fn bad_attribute() -> Refusal {
    Refusal::malformed(Fault::Attribute, 0)
}

/// The attribute that a header carries; none for a `ce-datacontenttype` that only
/// repeats the content type, which the binding forbids and senders send.
fn attribute_name<'a>(
    headers: &HeaderMap,
    header: &'a HeaderName,
    media: &Media<'_>,
) -> Result<Option<&'a str>, Refusal> {
    let name = header.as_str().strip_prefix(PREFIX).unwrap_or_default();
    let once = headers.get_all(header).iter().nth(1).is_none();
    if !once || !is_attribute_name(name) {
        return Err(bad_attribute());
    }
    if name == "datacontenttype" {
        let repeated = headers.get(header).and_then(|value| value.to_str().ok()).map(str::trim);
        return if repeated == media.written() { Ok(None) } else { Err(bad_attribute()) };
    }
    Ok(Some(name))
}

/// Lower-case letters and digits, and never the member that holds the data.
fn is_attribute_name(name: &str) -> bool {
    !name.is_empty() && name != "data" && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// Takes quotes, then one round of percent-encoding, off a header value.
fn attribute_text(value: &[u8]) -> Result<String, Refusal> {
    let unquoted = match value {
        [b'"', inner @ .., b'"'] => unescape(inner)?,
        [b'"', ..] => return Err(bad_attribute()),
        plain => plain.to_vec(),
    };
    let text = percent_decode(&unquoted).decode_utf8().map_err(|_| bad_attribute())?;
    if text.chars().any(char::is_control) { Err(bad_attribute()) } else { Ok(text.into_owned()) }
}

/// Takes the backslashes off the inside of a quoted string.
fn unescape(quoted: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut text = Vec::with_capacity(quoted.len());
    let mut bytes = quoted.iter();
    while let Some(&byte) = bytes.next() {
        text.push(match byte {
            b'\\' => *bytes.next().ok_or(bad_attribute())?,
            b'"' => return Err(bad_attribute()),
            other => other,
        });
    }
    Ok(text)
}

fn push_data(document: &mut Vec<u8>, media: &Media<'_>, body: &[u8], is_json: bool) -> Range<usize> {
    match str::from_utf8(body) {
        _ if body.is_empty() => {}
        _ if is_json => {
            push_name(document, "data");
            let value = trimmed(body);
            let start = document.len() + value.start;
            document.extend_from_slice(body);
            return start..start + value.len();
        }
        Ok(text) if media.written().is_some() => push_text(document, "data", text),
        _ => push_text(document, "data_base64", &STANDARD.encode(body)),
    }
    document.len()..document.len()
}

/// The part of a text within JSON's white space.
fn trimmed(text: &[u8]) -> Range<usize> {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let start = text.iter().position(|byte| !blank(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    start..end
}

fn push_name(document: &mut Vec<u8>, name: &str) {
    document.push(if document.is_empty() { b'{' } else { b',' });
    write_string(name, document);
    document.push(b':');
}

fn push_text(document: &mut Vec<u8>, name: &str, text: &str) {
    push_name(document, name);
    write_string(text, document);
}

/// A binary event as it goes onto the wire.
///
/// Has no `Debug`: everything in it may be about a person.
pub struct BinaryEvent {
    /// The `ce-*` headers.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The `Content-Type`, where the event has a `datacontenttype`.
    pub content_type: Option<HeaderValue>,
    /// The data.
    pub body: Bytes,
}

/// A document that cannot be sent in binary mode. The event must not leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotBinary {
    /// It is no JSON object.
    #[error("the event is no JSON object")]
    NotAnObject,
    /// An attribute has a name or a value that no header can carry.
    #[error("an attribute cannot be written as a header")]
    Attribute,
    /// `data_base64` is no base64, or stands beside `data`.
    #[error("the data cannot be written as a body")]
    Data,
}

/// Turns a structured document back into headers and body.
///
/// A member that is null counts as absent, as in the JSON event format.
///
/// ```
/// use privet::formats::cloudevents::to_binary;
///
/// let document = br#"{"id":"7","subject":"a b","datacontenttype":"text/plain","data":"hello"}"#;
/// let event = to_binary(document, &privet_json::Limits::default())?;
/// assert_eq!(event.headers[1].1, "a%20b");
/// assert_eq!(event.body, "hello");
/// # Ok::<(), privet::formats::cloudevents::NotBinary>(())
/// ```
///
/// # Errors
/// [`NotBinary`] for a document that [`decode`](crate::decode::decode) would not have made.
pub fn to_binary(structured: &[u8], limits: &Limits) -> Result<BinaryEvent, NotBinary> {
    let mut index = Index::default();
    let root = index.read(structured, limits).map_err(|_| NotBinary::NotAnObject)?;
    let event = index.node(structured, root);
    if event.kind() != Kind::Object {
        return Err(NotBinary::NotAnObject);
    }
    let mut headers = Vec::new();
    for (name, value) in event.members().filter(|(_, value)| value.kind() != Kind::Null) {
        match &*name.text() {
            "data" | "data_base64" | "datacontenttype" => {}
            attribute => headers.push(header_of(attribute, value)?),
        }
    }
    let content_type = event.get("datacontenttype").filter(|value| value.kind() != Kind::Null);
    let content_type = content_type.map(|value| value.text().ok_or(NotBinary::Attribute)).transpose()?;
    let body = body_of(event, content_type.as_deref())?;
    let content_type =
        content_type.map(|text| HeaderValue::from_str(&text)).transpose().map_err(|_| NotBinary::Attribute)?;
    Ok(BinaryEvent { headers, content_type, body })
}

fn header_of(attribute: &str, value: Node<'_>) -> Result<(HeaderName, HeaderValue), NotBinary> {
    if !is_attribute_name(attribute) {
        return Err(NotBinary::Attribute);
    }
    let name = HeaderName::try_from(format!("{PREFIX}{attribute}")).map_err(|_| NotBinary::Attribute)?;
    let text = match value.kind() {
        Kind::String => value.text().ok_or(NotBinary::Attribute)?,
        Kind::Number | Kind::Bool => String::from_utf8_lossy(value.raw()),
        _ => return Err(NotBinary::Attribute),
    };
    let value =
        HeaderValue::try_from(utf8_percent_encode(&text, ENCODED).to_string()).map_err(|_| NotBinary::Attribute)?;
    Ok((name, value))
}

fn body_of(event: Node<'_>, content_type: Option<&str>) -> Result<Bytes, NotBinary> {
    let is_json = content_type.is_none_or(|written| Media::parse(written).is_json());
    match (event.get("data"), event.get("data_base64")) {
        (None, None) => Ok(Bytes::new()),
        (Some(data), None) if !is_json && data.kind() == Kind::String => {
            let text = data.text().ok_or(NotBinary::Data)?;
            Ok(Bytes::copy_from_slice(text.as_bytes()))
        }
        (Some(data), None) => Ok(Bytes::copy_from_slice(data.raw())),
        (None, Some(coded)) => {
            let text = coded.text().ok_or(NotBinary::Data)?;
            STANDARD.decode(text.as_bytes()).map(Bytes::from).map_err(|_| NotBinary::Data)
        }
        (Some(_), Some(_)) => Err(NotBinary::Data),
    }
}
