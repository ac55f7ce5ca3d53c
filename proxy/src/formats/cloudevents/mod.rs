//! CloudEvents 1.0 (and 0.3 as sent) over HTTP: binary, structured and batch.
//!
//! Promise: a binary event becomes the structured document that says the same, so
//! that one reader and one rewriter serve all modes, and [`to_binary`] turns the
//! rewritten document back. Every event has the attributes that the
//! specification requires.
//!
//! Source: CloudEvents HTTP protocol binding 1.0.2, sections 3.1 to 3.3, and JSON
//! event format 1.0.2. Other event formats (Avro, XML, Protobuf) are refused.
//!
//! Refuses: a batch in which no element has the required attributes, because such
//! a body is no batch of CloudEvents. Where some have them, the others are
//! invalid events, each dropped alone.

mod binary;

use bytes::Bytes;
use http::HeaderMap;
use privet_json::{Index, Kind, Node};

pub use binary::{BinaryEvent, NotBinary, to_binary};

use super::{Fault, Refusal};
use crate::decode::media::Media;
use crate::decode::{DecodeLimits, Found, Layout};

/// Attributes that every event has.
const REQUIRED: [&str; 4] = ["id", "source", "type", "specversion"];
/// The same as headers of a binary event.
const REQUIRED_HEADERS: [&str; 4] = ["ce-id", "ce-source", "ce-type", "ce-specversion"];
/// What `specversion` may say.
const VERSIONS: [&str; 2] = ["1.0", "0.3"];
/// The media types of this format begin so.
const MEDIA_TYPE: &str = "application/cloudevents";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Binary,
    Structured,
    Batch,
    /// JSON without any sign in the head; the body shows whether it is one event or several.
    Unannounced,
}

/// Whether media type or headers say that this is a CloudEvent.
pub(crate) fn is_announced(headers: &HeaderMap) -> bool {
    let structured = Media::of(headers).is_ok_and(|media| media.essence().starts_with(MEDIA_TYPE));
    structured || headers.contains_key("ce-specversion")
}

/// Whether a document looks like a structured event or a batch of them.
pub(crate) fn is_document(document: Node<'_>) -> bool {
    let event = match document.kind() {
        Kind::Array => document.elements().next(),
        _ => Some(document),
    };
    let event = event.filter(|event| event.kind() == Kind::Object);
    event.is_some_and(|event| REQUIRED.into_iter().all(|name| event.get(name).is_some()))
}

/// Finds the events of a request.
pub(crate) fn find(
    headers: &HeaderMap,
    media: &Media<'_>,
    body: &[u8],
    index: &mut Index,
    limits: &DecodeLimits,
) -> Result<Found, Refusal> {
    let mode = mode(headers, media)?;
    if mode == Mode::Binary {
        return find_binary(headers, media, body, index, limits);
    }
    let root = crate::decode::read(index, body, limits)?;
    let document = index.node(body, root);
    match (mode, document.kind()) {
        (Mode::Structured | Mode::Unannounced, Kind::Object) => {
            check_event(document)?;
            Ok(Found::of(Layout::Single, vec![root]))
        }
        (Mode::Batch | Mode::Unannounced, Kind::Array) => find_batch(document, limits),
        _ => Err(Refusal::malformed(Fault::NotAnObject, document.span().start)),
    }
}

/// The mode, batch first: its media type begins like the structured one's.
fn mode(headers: &HeaderMap, media: &Media<'_>) -> Result<Mode, Refusal> {
    match media.essence().strip_prefix(MEDIA_TYPE) {
        Some("-batch" | "-batch+json") => Ok(Mode::Batch),
        Some("" | "+json") => Ok(Mode::Structured),
        Some(_) => Err(Refusal::UnsupportedMedia),
        None if REQUIRED_HEADERS.into_iter().any(|name| headers.contains_key(name)) => Ok(Mode::Binary),
        None => Ok(Mode::Unannounced),
    }
}

fn find_batch(document: Node<'_>, limits: &DecodeLimits) -> Result<Found, Refusal> {
    let mut found = Found::of(Layout::Array, Vec::new());
    let mut first_fault = None;
    for event in document.elements().take(limits.events_max.saturating_add(1)) {
        if let Err(refusal) = check_event(event) {
            first_fault.get_or_insert(refusal);
            found.unfit.push(found.events.len());
        }
        found.events.push(event.id());
    }
    match first_fault {
        Some(refusal) if found.unfit.len() == found.events.len() => Err(refusal),
        _ => Ok(found),
    }
}

fn find_binary(
    headers: &HeaderMap,
    media: &Media<'_>,
    body: &[u8],
    index: &mut Index,
    limits: &DecodeLimits,
) -> Result<Found, Refusal> {
    let is_json = match media.written() {
        Some(_) => media.is_json(),
        None => crate::decode::read(index, body, limits).is_ok(),
    };
    let structured = binary::to_structured(headers, media, body, is_json)?;
    let document = Bytes::from(structured.document);
    let root =
        crate::decode::read(index, &document, limits).map_err(|refusal| in_data(refusal, structured.data.start))?;
    let event = index.node(&document, root);
    check_event(event)?;
    // The sender's text was put in unread. Were it anything but one JSON value it
    // could close `data` and write attributes of its own: then the value found
    // there would end before the text does.
    let whole = event.get("data").is_none_or(|data| data.span() == structured.data);
    if is_json && !whole {
        return Err(Refusal::malformed(Fault::Attribute, 0));
    }
    Ok(Found { document: Some(document), ..Found::of(Layout::BinaryCloudEvent, vec![root]) })
}

/// Moves a place in the made document to the place in what was sent.
fn in_data(refusal: Refusal, data_start: usize) -> Refusal {
    match refusal {
        Refusal::Malformed { fault, at } => Refusal::malformed(fault, at.saturating_sub(data_start)),
        other => other,
    }
}

fn check_event(event: Node<'_>) -> Result<(), Refusal> {
    let at = event.span().start;
    if event.kind() != Kind::Object {
        return Err(Refusal::malformed(Fault::NotAnObject, at));
    }
    for name in REQUIRED {
        let text = event.get(name).and_then(|value| value.text());
        match text {
            Some(text) if text.is_empty() => return Err(Refusal::malformed(Fault::MissingAttribute, at)),
            Some(text) if name == "specversion" && !VERSIONS.contains(&&*text) => {
                return Err(Refusal::malformed(Fault::SpecVersion, at));
            }
            Some(_) => {}
            None => return Err(Refusal::malformed(Fault::MissingAttribute, at)),
        }
    }
    if event.get("data").is_some() && event.get("data_base64").is_some() {
        return Err(Refusal::malformed(Fault::DataTwice, at));
    }
    Ok(())
}
