//! Self-describing JSON, opened for the policy and sealed again for the collector.
//!
//! Promise: in the document that a policy sees, `ue_pr` and `co` of an event are the
//! objects they stand for, whether the tracker wrote them as JSON text (`ue_pr`,
//! `co`) or as base64 (`ue_px`, `cx`); what leaves is written again as it came. Both
//! spellings of one thing in one event, and what is no JSON object once it is undone,
//! make the event unfit: enrichment reads the first in no order that is promised, and
//! refuses the second.
//!
//! Base64 is read in the URL's alphabet and in the standard one, padded or not, as
//! enrichment does (Apache Commons Codec), but never in a mixture of both, with bytes
//! that belong to neither, or with bits that no encoder sets.
//!
//! What leaves keeps to its schemas: entities of which no data leaves are gone from
//! their list, an empty list is gone from the event, and an event of which no data
//! leaves still says its schema, with data that says nothing.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use bytes::Bytes;
use privet_json::{Index, Key, Kind, Limits, Node, write_string};
use privet_policy::iglu::up_to_model;
use privet_policy::snowplow::PAYLOAD_SCHEMA;
use serde_json::{Value, json};

use crate::decode::{DecodeLimits, query};

/// How self-describing JSON was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seal {
    /// As text.
    Text,
    /// As base64.
    Base64 {
        /// In the alphabet for URLs.
        url_safe: bool,
        /// With `=` at its end, or so that none was needed.
        padded: Padding,
    },
}

/// What can be seen of base64's padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// `=` at the end.
    Written,
    /// None, although there would be some.
    Omitted,
    /// None was needed.
    Unknown,
}

/// How the self-describing JSON of one event was written; `None` where there is none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seals {
    event: Option<Seal>,
    entities: Option<Seal>,
}

/// The two things that an event may carry, each under two names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Event,
    Entities,
}

impl Part {
    const ALL: [Self; 2] = [Self::Event, Self::Entities];

    /// The name of the text, and of the object in the opened document.
    const fn text_name(self) -> &'static str {
        match self {
            Self::Event => "ue_pr",
            Self::Entities => "co",
        }
    }

    const fn base64_name(self) -> &'static str {
        match self {
            Self::Event => "ue_px",
            Self::Entities => "cx",
        }
    }

    /// Whether JSON is what its own schemas, and enrichment, ask for.
    fn is_described(self, outer: Node<'_>) -> bool {
        let schema = outer.get("schema").and_then(|schema| schema.text());
        let wanted = schema.is_some_and(|schema| up_to_model(&schema) == Some(self.schema()));
        let Some(data) = outer.get("data").filter(|_| wanted && outer.len() == 2) else { return false };
        match self {
            Self::Event => is_self_describing(data),
            Self::Entities => data.kind() == Kind::Array && data.elements().all(is_self_describing),
        }
    }

    /// The schema around it, up to its model.
    const fn schema(self) -> &'static str {
        match self {
            Self::Event => "iglu:com.snowplowanalytics.snowplow/unstruct_event/jsonschema/1",
            Self::Entities => "iglu:com.snowplowanalytics.snowplow/contexts/jsonschema/1",
        }
    }

    const fn name(self, seal: Seal) -> &'static str {
        match seal {
            Seal::Text => self.text_name(),
            Seal::Base64 { .. } => self.base64_name(),
        }
    }

    /// The part that a member is, and whether it is written in base64.
    fn of(name: &Key<'_>) -> Option<(Self, bool)> {
        let part = |part: Self| {
            let base64 = name.is(part.base64_name());
            (base64 || name.is(part.text_name())).then_some((part, base64))
        };
        Self::ALL.into_iter().find_map(part)
    }
}

/// What was made of the events of a body.
pub(super) struct Opened {
    /// The body with everything opened; none where there was nothing to open.
    pub(super) document: Option<Bytes>,
    /// By the event's place.
    pub(super) seals: Vec<Seals>,
    /// The places of events that are none.
    pub(super) unfit: Vec<usize>,
}

/// Opens the events of a body, one after the other.
pub(super) struct Opener<'a> {
    body: &'a [u8],
    limits: Limits,
    /// The opened body up to `copied`; empty as long as nothing was opened.
    out: Vec<u8>,
    copied: usize,
    index: Index,
    seals: Vec<Seals>,
    unfit: Vec<usize>,
}

impl<'a> Opener<'a> {
    pub(super) fn new(body: &'a [u8], limits: &Limits) -> Self {
        Self {
            body,
            limits: *limits,
            out: Vec::new(),
            copied: 0,
            index: Index::new(),
            seals: Vec::new(),
            unfit: Vec::new(),
        }
    }

    /// Opens the next event; one that does not fit stays as it is.
    pub(super) fn take(&mut self, event: Node<'a>, required: &[&str]) {
        let parts = if fits(event, required) { self.parts(event) } else { None };
        let mut seals = Seals::default();
        match parts {
            Some(parts) => {
                for part in parts {
                    match part.part {
                        Part::Event => seals.event = Some(part.seal),
                        Part::Entities => seals.entities = Some(part.seal),
                    }
                    self.splice(&part);
                }
            }
            None => self.unfit.push(self.seals.len()),
        }
        self.seals.push(seals);
    }

    /// What is to be opened in an event, in the order it stands there; `None` where it cannot be.
    fn parts(&mut self, event: Node<'a>) -> Option<Vec<Undone<'a>>> {
        let mut parts: Vec<Undone<'a>> = Vec::new();
        for (key, value) in event.members() {
            let Some((part, base64)) = Part::of(&key) else { continue };
            if parts.iter().any(|known| known.part == part) {
                return None;
            }
            let (seal, json) = if base64 {
                undo_base64(&value.text()?)?
            } else {
                (Seal::Text, value.text()?.into_owned().into_bytes())
            };
            let root = self.index.read(&json, &self.limits).ok()?;
            let root = self.index.node(&json, root);
            if !part.is_described(root) {
                return None;
            }
            let json = root.raw().to_vec();
            parts.push(Undone { part, seal, json, key, value });
        }
        Some(parts)
    }

    fn splice(&mut self, part: &Undone<'_>) {
        self.copy_to(part.key.span().start);
        write_string(part.part.text_name(), &mut self.out);
        self.out.push(b':');
        self.out.extend_from_slice(&part.json);
        self.copied = part.value.span().end;
    }

    fn copy_to(&mut self, end: usize) {
        self.out.extend_from_slice(self.body.get(self.copied..end).unwrap_or_default());
        self.copied = end;
    }

    pub(super) fn finish(mut self) -> Opened {
        let opened = self.copied > 0;
        if opened {
            self.copy_to(self.body.len());
        }
        Opened { document: opened.then(|| Bytes::from(self.out)), seals: self.seals, unfit: self.unfit }
    }
}

/// An event as a person writes it into a test, with its self-describing JSON open, as a
/// tracker would post it: in a payload, and everything in it as text.
#[must_use]
pub fn payload_of(event: &Value) -> Value {
    let text = |value: &Value| Value::from(value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    let members = event.as_object().into_iter().flatten();
    let event: serde_json::Map<_, _> = members.map(|(name, value)| (name.clone(), text(value))).collect();
    json!({"schema": PAYLOAD_SCHEMA, "data": [event]})
}

/// The first event of a request that left, with its self-describing JSON open under
/// `ue_pr` and `co`; `None` for what is no request of a tracker.
#[must_use]
pub fn first_event(target: &str, body: &[u8]) -> Option<Value> {
    let mut index = Index::new();
    let (text, event) = if body.is_empty() {
        let (text, root) = query::document(target, &mut index, &DecodeLimits::default()).ok()?;
        let event = index.node(&text, root);
        (text.clone(), event.get("e").map(|_| event.id())?)
    } else {
        let root = index.read(body, &Limits::default()).ok()?;
        let payload = index.node(body, root);
        let event = super::is_payload(payload).then(|| payload.get("data")?.elements().next())??;
        (Bytes::copy_from_slice(body), event.id())
    };
    let mut opener = Opener::new(&text, &Limits::default());
    let event = index.node(&text, event);
    let parts = opener.parts(event)?;
    let mut opened: Value = serde_json::from_slice(event.raw()).ok()?;
    for part in parts {
        let members = opened.as_object_mut()?;
        members.remove(part.part.name(part.seal));
        members.insert(part.part.text_name().to_owned(), serde_json::from_slice(&part.json).ok()?);
    }
    Some(opened)
}

/// One part with its encoding undone.
struct Undone<'a> {
    part: Part,
    seal: Seal,
    json: Vec<u8>,
    key: Key<'a>,
    value: Node<'a>,
}

/// Whether an element is an event as `payload_data` wants it: strings only, and the required ones.
///
/// `schema` is no name of the protocol; in an event it would pass for the payload's.
fn fits(event: Node<'_>, required: &[&str]) -> bool {
    event.kind() == Kind::Object
        && event.members().all(|(name, value)| value.kind() == Kind::String && !name.is("schema"))
        && required.iter().all(|name| event.get(name).is_some_and(|value| !value.is_text("")))
}

/// Whether a value names its schema and holds data, and nothing else: the schema is an
/// Iglu URI with revision and addition, so that no text of the sender's passes for one.
fn is_self_describing(value: Node<'_>) -> bool {
    let schema = value.get("schema").and_then(|schema| schema.text());
    let named = schema.is_some_and(|schema| up_to_model(&schema).is_some_and(|model| model != schema));
    named && value.get("data").is_some() && value.len() == 2
}

fn undo_base64(text: &str) -> Option<(Seal, Vec<u8>)> {
    let url_safe = !text.contains(['+', '/']);
    let padded = text.ends_with('=');
    let bytes = match (url_safe, padded) {
        (true, true) => URL_SAFE.decode(text),
        (true, false) => URL_SAFE_NO_PAD.decode(text),
        (false, true) => STANDARD.decode(text),
        (false, false) => STANDARD_NO_PAD.decode(text),
    };
    let padded = match padded {
        true => Padding::Written,
        false if text.len().is_multiple_of(4) => Padding::Unknown,
        false => Padding::Omitted,
    };
    Some((Seal::Base64 { url_safe, padded }, bytes.ok()?))
}

impl Seal {
    /// Writes JSON as it came. Where nothing shows whether the tracker pads, the
    /// standard alphabet is padded and the one for URLs is not, as is their custom.
    fn close(self, json: &str) -> String {
        let Self::Base64 { url_safe, padded } = self else { return json.to_owned() };
        let padded = padded == Padding::Written || (padded == Padding::Unknown && !url_safe);
        match (url_safe, padded) {
            (true, true) => URL_SAFE.encode(json),
            (true, false) => URL_SAFE_NO_PAD.encode(json),
            (false, true) => STANDARD.encode(json),
            (false, false) => STANDARD_NO_PAD.encode(json),
        }
    }
}

impl Seals {
    const fn of(self, part: Part) -> Option<Seal> {
        match part {
            Part::Event => self.event,
            Part::Entities => self.entities,
        }
    }

    /// Closes what was opened in an event that leaves: the object that `out` holds from `start` on.
    ///
    /// Says `false`, and leaves `out` alone, where there is no such object.
    #[must_use]
    pub fn close(self, start: usize, out: &mut Vec<u8>) -> bool {
        if self.event.is_none() && self.entities.is_none() {
            return true;
        }
        let Some(event) = out.get(start..).map(<[u8]>::to_vec) else { return false };
        let mut index = Index::new();
        let Ok(root) = index.read(&event, &Limits::default()) else { return false };
        let event = index.node(&event, root);
        out.truncate(start);
        out.push(b'{');
        let first = out.len();
        for (key, value) in event.members() {
            self.close_member(key, value, first, out);
        }
        out.push(b'}');
        true
    }

    fn close_member(self, key: Key<'_>, value: Node<'_>, first: usize, out: &mut Vec<u8>) {
        let part = Part::of(&key).and_then(|(part, _)| Some((part, self.of(part)?)));
        let mut member = |name: &[u8], value: &[u8]| {
            if out.len() > first {
                out.push(b',');
            }
            out.extend_from_slice(name);
            out.push(b':');
            out.extend_from_slice(value);
        };
        let Some((part, seal)) = part else { return member(key.raw(), value.raw()) };
        let kept = match part {
            Part::Event => whole_event(value),
            Part::Entities => whole_entities(value),
        };
        let Some(json) = kept.and_then(|kept| String::from_utf8(kept).ok()) else { return };
        let (mut name, mut text) = (Vec::new(), Vec::new());
        write_string(part.name(seal), &mut name);
        write_string(&seal.close(&json), &mut text);
        member(&name, &text);
    }
}

/// A self-describing event with data in it, if only none that says anything; `None`
/// where not even a schema is left of it.
fn whole_event(outer: Node<'_>) -> Option<Vec<u8>> {
    let inner = outer.get("data").filter(|inner| inner.get("schema").is_some())?;
    let schema = outer.get("schema")?;
    if inner.get("data").is_some() {
        return Some(outer.raw().to_vec());
    }
    let mut whole = Vec::with_capacity(outer.span().len() + 16);
    whole.extend_from_slice(b"{\"schema\":");
    whole.extend_from_slice(schema.raw());
    whole.extend_from_slice(b",\"data\":{\"schema\":");
    whole.extend_from_slice(inner.get("schema")?.raw());
    whole.extend_from_slice(b",\"data\":{}}}");
    Some(whole)
}

/// The entities of which something leaves; `None` where there are none.
fn whole_entities(outer: Node<'_>) -> Option<Vec<u8>> {
    let schema = outer.get("schema")?;
    let list = outer.get("data")?;
    let says = |data: Node<'_>| data.kind() != Kind::Object || !data.is_empty();
    let kept = |entity: &Node<'_>| entity.get("schema").is_some() && entity.get("data").is_some_and(says);
    let entities: Vec<&[u8]> = list.elements().filter(kept).map(|entity| entity.raw()).collect();
    if entities.len() == list.len() {
        return (!list.is_empty()).then(|| outer.raw().to_vec());
    }
    let parts = [b"{\"schema\":", schema.raw(), b",\"data\":[", &entities.join(&b','), b"]}"];
    (!entities.is_empty()).then(|| parts.concat())
}
