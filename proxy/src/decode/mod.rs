//! Decode: one request's bytes become events, each with its place in the body.
//!
//! Promise: what comes out was read by the strict reader from first byte to last,
//! in one format, within bounds; whatever two parsers could read in two ways is
//! refused. Nothing is copied that need not be: events are places in one body.
//!
//! Not here: what an event means to a policy, and what leaves. A request that is
//! no delivery of events (a preflight) is answered by
//! [`preflight`](crate::formats::preflight) before this step.

pub(crate) mod coding;
mod detect;
mod inflate;
pub(crate) mod media;
pub(crate) mod query;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use http::Method;
use privet_json::{Index, Kind, NodeId};
use privet_policy::batch::{self, Around, LEVELS_MAX, Levels};
use privet_policy::event_name;
use privet_policy::format::Format;

pub(crate) use detect::path;
pub use detect::{format_asked, format_hint};

use crate::formats::snowplow::opened::Seals;
use crate::formats::{Bound, Fault, Refusal, cloudevents, ga4, json, otlp, rudderstack, segment, snowplow};
use crate::request::RawRequest;
use media::Media;

/// How the events of a request lie in its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// The body is one event.
    Single,
    /// The body is an object that holds its events in one member, or in one member
    /// objects that hold them.
    Batch {
        /// The names of those members.
        levels: Levels,
    },
    /// The body is an array of events.
    Array,
    /// The body is one event a line.
    Lines,
    /// The request is one event: attributes in headers, data in the body. What
    /// [`Decoded::body`] holds is the structured document made from both;
    /// [`to_binary`](crate::formats::cloudevents::to_binary) turns it back.
    BinaryCloudEvent,
    /// The query is the event, and there is no body. What [`Decoded::body`] holds is
    /// the document made of it, one member a parameter.
    Query,
}

/// Bounds on one request, all checked before anything that grows with it is built.
#[derive(Clone, Copy, Debug)]
pub struct DecodeLimits {
    /// Bytes of the body after its content coding was removed.
    pub body_bytes_max: usize,
    /// How many times larger the body may become by that.
    pub ratio_max: usize,
    /// Events in one request. A format's own, lower bound goes first.
    pub events_max: usize,
    /// What the strict reader accepts.
    pub json: privet_json::Limits,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self {
            body_bytes_max: 4 * 1024 * 1024,
            ratio_max: 200,
            events_max: 10_000,
            json: privet_json::Limits::default(),
        }
    }
}

/// Values whose index memory stays with a connection; a batch of 20 usual events.
const NODES_KEPT: usize = 4_096;

/// Memory that one request leaves to the next on the same connection.
#[derive(Default)]
pub struct Scratch {
    index: Index,
}

impl Scratch {
    /// Takes back the memory of a request that is done with; what an unusually
    /// large one took is freed.
    pub fn reclaim(&mut self, decoded: Decoded) {
        self.index = decoded.index;
        if self.index.len() > NODES_KEPT {
            self.index.shrink_to(NODES_KEPT);
        }
    }
}

/// The events of one request.
///
/// `Debug` prints sizes and names of ours, never a value.
pub struct Decoded {
    /// The format it was read as.
    pub format: Format,
    /// How the events lie in the body.
    pub layout: Layout,
    /// The body without content coding; what every node's place refers to.
    pub body: Bytes,
    /// Where everything is in `body`.
    pub index: Index,
    /// The events in the order they were sent. In [`Layout::Batch`],
    /// [`Layout::Array`] and [`Layout::Lines`] a node that is not an object is an
    /// invalid event: counted and dropped alone.
    pub events: Vec<NodeId>,
    /// Which events have what around them; every event is in one, in order.
    pub groups: Vec<Group>,
    /// The event type that the path implies; it holds where the event names none.
    pub implied: Option<&'static str>,
    /// The lines, counted from 1, that the strict reader refused. Each is one
    /// invalid event, dropped alone.
    pub malformed_lines: Vec<u32>,
    /// The places in `events`, ascending, of those that can be read and are
    /// still no event of the format. Each is dropped alone; what it says about
    /// its person's choice counts.
    pub unfit: Vec<usize>,
    /// Snowplow: how the self-describing JSON of each event was written, which
    /// stands in `body` as the object it is. Empty for all other formats.
    pub seals: Vec<Seals>,
}

impl Decoded {
    /// How many events the sender sent, invalid ones included.
    #[must_use]
    pub fn event_count(&self) -> usize {
        self.events.len() + self.malformed_lines.len()
    }

    /// Which events have what around them, as a policy judges them.
    pub fn groups(&self) -> impl Iterator<Item = batch::Group<'_>> {
        self.groups.iter().map(|group| batch::Group {
            events: group.events.clone(),
            around: Around::of(group.around.map(|holder| holder.map(|holder| self.index.node(&self.body, holder)))),
        })
    }

    /// Whether a member of [`Self::events`] is an object; if not it is invalid.
    #[must_use]
    pub fn is_object(&self, event: NodeId) -> bool {
        self.index.node(&self.body, event).kind() == Kind::Object
    }

    /// The event's type as its format has it.
    ///
    /// Segment and RudderStack: `type`, else the older spelling `action`, else what
    /// the path implies. CloudEvents: `type`. Snowplow: `e`. GA4: `name`. OTLP: `eventName`,
    /// else the attribute `event.name`. The others have none. A type that
    /// stands there but is no string is no type: a contract must not match it by
    /// another way.
    #[must_use]
    pub fn event_type(&self, event: NodeId) -> Option<Cow<'_, str>> {
        let node = self.index.node(&self.body, event);
        match self.format {
            Format::Segment | Format::RudderStack => match node.get("type").or_else(|| node.get("action")) {
                Some(written) => written.text(),
                None => self.implied.map(Cow::Borrowed),
            },
            Format::CloudEvents => node.get("type").and_then(|written| written.text()),
            Format::Snowplow => node.get("e").and_then(|written| written.text()),
            Format::Ga4 => node.get("name").and_then(|written| written.text()),
            Format::Otlp => event_name(node),
            Format::Json | Format::Ndjson => None,
        }
    }
}

impl fmt::Debug for Decoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoded")
            .field("format", &self.format)
            .field("layout", &self.layout)
            .field("body_bytes", &self.body.len())
            .field("events", &self.events.len())
            .field("malformed_lines", &self.malformed_lines.len())
            .finish_non_exhaustive()
    }
}

/// Neighbouring events that stand in the same objects.
#[derive(Clone, Debug)]
pub struct Group {
    /// Their places in [`Decoded::events`].
    pub events: Range<usize>,
    /// Those objects, one a level. Their members, but for the one that leads to
    /// the events, belong to every event of the group.
    pub around: [Option<NodeId>; LEVELS_MAX],
}

/// What a format found in a body.
pub(crate) struct Found {
    pub(crate) layout: Layout,
    pub(crate) events: Vec<NodeId>,
    pub(crate) groups: Vec<Group>,
    pub(crate) malformed_lines: Vec<u32>,
    pub(crate) unfit: Vec<usize>,
    pub(crate) seals: Vec<Seals>,
    /// The document that was read in place of the body, where it is another.
    pub(crate) document: Option<Bytes>,
}

impl Found {
    /// Events in a layout, none of them malformed and nothing around them.
    pub(crate) fn of(layout: Layout, events: Vec<NodeId>) -> Self {
        Self {
            layout,
            events,
            groups: Vec::new(),
            malformed_lines: Vec::new(),
            unfit: Vec::new(),
            seals: Vec::new(),
            document: None,
        }
    }

    /// How many events the sender sent, invalid ones included.
    pub(crate) fn event_count(&self) -> usize {
        self.events.len() + self.malformed_lines.len()
    }
}

/// Reads a request as events.
///
/// # Errors
/// A [`Refusal`] when the request as a whole is no delivery of events in a format
/// of its listener. A malformed NDJSON line is no such case while another line
/// holds: see [`Decoded::malformed_lines`].
pub fn decode(raw: &RawRequest, limits: &DecodeLimits, scratch: &mut Scratch) -> Result<Decoded, Refusal> {
    let decoded = decode_with(raw, limits, &mut scratch.index);
    if decoded.is_err() {
        scratch.index.shrink_to(NODES_KEPT);
    }
    decoded
}

fn decode_with(raw: &RawRequest, limits: &DecodeLimits, index: &mut Index) -> Result<Decoded, Refusal> {
    let hint = detect::by_head(&raw.listener.formats, &raw.asked())?;
    check_method(raw, hint)?;
    let route = match hint {
        Some(Format::Segment) => Some(segment::route(detect::path(&raw.target))?),
        Some(Format::RudderStack) => Some(rudderstack::route(detect::path(&raw.target))?),
        Some(Format::Ga4) if !ga4::is_known(path(&raw.target)) => return Err(Refusal::NotAnEventPath),
        Some(Format::Otlp) => otlp::check_path(detect::path(&raw.target)).map(|()| None)?,
        _ => None,
    };
    let media = Media::of(&raw.headers)?;
    let body = coding::plain_body(&raw.headers, &raw.body, limits)?;
    media.check_charset(&body)?;
    let format = match hint {
        Some(Format::Segment) => detect::by_sender(&raw.listener.formats, &body, index, limits),
        Some(format) => format,
        None => detect::by_body(&raw.listener.formats, &media, &body, index, limits)?,
    };
    if matches!(format, Format::RudderStack | Format::Ga4) {
        query::document(&raw.target, index, limits)?;
    }
    let found = match (format, route) {
        (Format::Segment, Some(route)) => segment::find(route, &body, index, limits)?,
        (Format::RudderStack, Some(route)) => rudderstack::find(route, &raw.target, &body, index, limits)?,
        // Both are only ever found by their paths.
        (Format::Segment | Format::RudderStack, None) => return Err(Refusal::NotAnEventPath),
        (Format::Snowplow, _) => snowplow::find(raw, &body, index, limits)?,
        (Format::Ga4, _) => ga4::find(&raw.target, &body, index, limits)?,
        (Format::Otlp, _) => otlp::find(&media, &body, index, limits)?,
        (Format::CloudEvents, _) => cloudevents::find(&raw.headers, &media, &body, index, limits)?,
        (Format::Json, _) => json::find(&body, index, limits)?,
        (Format::Ndjson, _) => json::find_lines(&body, index, limits)?,
    };
    if found.event_count() > limits.events_max {
        return Err(Refusal::TooLarge(Bound::Events));
    }
    let everything = || vec![Group { events: 0..found.events.len(), around: [None; LEVELS_MAX] }];
    let groups = if found.groups.is_empty() { everything() } else { found.groups };
    let decoded = Decoded {
        format,
        layout: found.layout,
        body: found.document.unwrap_or(body),
        index: std::mem::take(index),
        events: found.events,
        groups,
        implied: route.and_then(segment::Route::implies),
        malformed_lines: found.malformed_lines,
        unfit: found.unfit,
        seals: found.seals,
    };
    if raw.listener.formats.len() != 1 {
        detect::check_sender(&decoded)?;
    }
    Ok(decoded)
}

/// Events come by POST; CloudEvents may also be put, and Snowplow's be fetched.
/// RudderStack's pixels are fetched, and nothing else.
fn check_method(raw: &RawRequest, format: Option<Format>) -> Result<(), Refusal> {
    let method = &raw.method;
    if format == Some(Format::RudderStack) && rudderstack::is_pixel(path(&raw.target)) {
        return if *method == Method::GET { Ok(()) } else { Err(Refusal::MethodNotAllowed) };
    }
    let fetched = format == Some(Format::Snowplow) && (*method == Method::GET || *method == Method::HEAD);
    let put = *method == Method::PUT && matches!(format, Some(Format::CloudEvents));
    if *method == Method::POST || put || fetched { Ok(()) } else { Err(Refusal::MethodNotAllowed) }
}

/// Reads a whole body as one document.
pub(crate) fn read(index: &mut Index, body: &[u8], limits: &DecodeLimits) -> Result<NodeId, Refusal> {
    if body.is_empty() {
        return Err(Refusal::malformed(Fault::Empty, 0));
    }
    index.read(body, &limits.json).map_err(|malformed| Refusal::from_json(&malformed))
}
