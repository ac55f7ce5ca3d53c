//! Which format a request is in.
//!
//! A listener that names one format has decided. Otherwise path and headers
//! decide where they are certain, and then the body does; content types lie, so a
//! type is only asked where two formats read the same body.

use privet_json::{Index, Node};
use privet_policy::format::Format;

use super::media::Media;
use super::{DecodeLimits, Decoded};
use crate::formats::{Refusal, cloudevents, ga4, json, otlp, rudderstack, segment, snowplow};
use crate::request::{Asked, RawRequest};

/// The path of a request target, without its query.
pub(crate) fn path(target: &str) -> &str {
    target.split(['?', '#']).next().unwrap_or_default()
}

/// The format that a request has by its listener, path and headers alone: what an
/// answer follows when there is nothing decoded to ask.
#[must_use]
pub fn format_hint(raw: &RawRequest) -> Option<Format> {
    format_asked(&raw.listener.formats, &raw.asked())
}

/// The same of a request whose body was not read. Where only the body could tell and a tracker of Snowplow's may have
/// sent it, it counts as one: of all clients they alone send again for ever what is answered with some statuses.
#[must_use]
pub fn format_asked(formats: &[Format], asked: &Asked<'_>) -> Option<Format> {
    let hint = by_head(formats, asked).ok()?;
    hint.or_else(|| (formats.contains(&Format::Snowplow) && snowplow::is_possible(asked)).then_some(Format::Snowplow))
}

/// `None` means that only the body can tell.
pub(super) fn by_head(formats: &[Format], asked: &Asked<'_>) -> Result<Option<Format>, Refusal> {
    if let [format] = formats {
        return Ok(Some(*format));
    }
    let (path, rudder) = (path(asked.target), rudderstack::is_announced(asked.headers));
    if takes(formats, Format::Otlp) && otlp::is_known(path) {
        return Ok(Some(Format::Otlp));
    }
    let of_segment = takes(formats, Format::Segment) && segment::is_known(path);
    if takes(formats, Format::RudderStack) && rudderstack::is_known(path) && (rudder || !of_segment) {
        return Ok(Some(Format::RudderStack));
    }
    if of_segment {
        return if rudder { Err(Refusal::UnknownFormat) } else { Ok(Some(Format::Segment)) };
    }
    if takes(formats, Format::Ga4) && ga4::is_known(path) {
        return Ok(Some(Format::Ga4));
    }
    if takes(formats, Format::CloudEvents) && cloudevents::is_announced(asked.headers) {
        return Ok(Some(Format::CloudEvents));
    }
    if takes(formats, Format::Snowplow) && snowplow::is_announced(asked) {
        return Ok(Some(Format::Snowplow));
    }
    Ok(None)
}

/// Decides between the formats that have no path or header of their own.
pub(super) fn by_body(
    formats: &[Format],
    media: &Media<'_>,
    body: &[u8],
    index: &mut Index,
    limits: &DecodeLimits,
) -> Result<Format, Refusal> {
    let lines = takes(formats, Format::Ndjson);
    match super::read(index, body, limits) {
        Ok(root) if takes(formats, Format::CloudEvents) && cloudevents::is_document(index.node(body, root)) => {
            Ok(Format::CloudEvents)
        }
        Ok(root) if takes(formats, Format::Snowplow) && snowplow::is_payload(index.node(body, root)) => {
            Ok(Format::Snowplow)
        }
        Ok(_) if lines && (media.is_lines() || !takes(formats, Format::Json)) => Ok(Format::Ndjson),
        Ok(_) if takes(formats, Format::Json) => Ok(Format::Json),
        Ok(_) => Err(Refusal::UnknownFormat),
        Err(_) if lines && (media.is_lines() || json::starts_with_line(body, index, limits)) => Ok(Format::Ndjson),
        Err(refusal) => Err(refusal),
    }
}

/// Decides between Segment and RudderStack on a path that both have: the library
/// names itself in the first event, or in what the batch shares. What cannot be
/// read is Segment's to refuse.
pub(super) fn by_sender(formats: &[Format], body: &[u8], index: &mut Index, limits: &DecodeLimits) -> Format {
    if formats.len() == 1 || !takes(formats, Format::RudderStack) {
        return Format::Segment;
    }
    let Ok(root) = super::read(index, body, limits) else { return Format::Segment };
    let root = index.node(body, root);
    let first = root.get("batch").and_then(|batch| batch.elements().next());
    let rudder = [Some(root), first].into_iter().flatten().any(is_of_rudderstack);
    if rudder { Format::RudderStack } else { Format::Segment }
}

/// Whether an event, or what a batch shares, names a library of RudderStack's.
fn is_of_rudderstack(holder: Node<'_>) -> bool {
    let library = holder.get("context").and_then(|context| context.get("library"));
    let name = library.and_then(|library| library.get("name")).and_then(|name| name.text());
    name.is_some_and(|name| name.to_ascii_lowercase().contains("rudder"))
}

/// Refuses events of RudderStack's SDKs on paths that both have: read as Segment
/// they would lose what only RudderStack's gateway reads.
pub(super) fn check_sender(decoded: &Decoded) -> Result<(), Refusal> {
    let around = decoded.groups.iter().flat_map(|group| group.around.iter().flatten());
    let senders = around.chain(decoded.events.first());
    for &node in senders.filter(|_| decoded.format == Format::Segment) {
        if is_of_rudderstack(decoded.index.node(&decoded.body, node)) {
            return Err(Refusal::UnknownFormat);
        }
    }
    Ok(())
}

fn takes(formats: &[Format], format: Format) -> bool {
    formats.is_empty() || formats.contains(&format)
}
