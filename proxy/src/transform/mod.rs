//! Transform: events and their verdicts become one minimized request a destination.
//!
//! Promise: never fails, because everything it needs is in memory; what it cannot
//! carry out on a value drops that value. What leaves is what the verdict's plan
//! names, and nothing else: body, headers, query, cookies and path alike.
//!
//! Not here: deciding (that is [`crate::decide`]) and sending ([`crate::forward`]).

mod passage;
mod request;
mod value;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, HeaderName};
use privet_json::{Edit as Outcome, Edits, Emitted, Index, Key, Limits, Node, PlanNodeId, rewrite, write_string};
use privet_policy::action::Action;
use privet_policy::decide::{Decision, Outcome as Decided};
use privet_policy::format::Format;
use privet_policy::plan::{Inside, Rewrite};
use privet_policy::policy::{DestinationNo, Policy};
use privet_policy::shared::{Matched, SharedTreatment};
use privet_policy::verdict::{Edit, Ruling, Treatment};

use crate::decode::{Decoded, Group, Layout, query};
use crate::formats::cloudevents::to_binary;
use crate::formats::{otlp, pixel};
use crate::forward::Forward;
use crate::keys::{Keyring, MissingKey, Pseudonyms, Sealer, Timeline};
use crate::request::RawRequest;

pub use passage::pass;
pub use request::RequestView;

/// A policy and the keys it needs: what is swapped when either changes.
pub struct Enforcement {
    /// The policy in force.
    pub policy: Arc<Policy>,
    keys: PolicyKeys,
}

impl Enforcement {
    /// Puts a policy and a keyring together.
    ///
    /// # Errors
    /// [`MissingKey`] where the policy tokenizes with a key that is not there.
    pub fn new(policy: Arc<Policy>, keyring: &Keyring) -> Result<Self, MissingKey> {
        let pseudonyms =
            policy.pseudonym_domains().into_iter().map(|domain| (domain.clone(), keyring.pseudonyms_for(&domain)));
        let sealers = policy
            .token_keys()
            .into_iter()
            .map(|key| keyring.sealers_for(key).map(|sealers| (key.to_owned(), sealers)));
        let keys = PolicyKeys { pseudonyms: pseudonyms.collect(), sealers: sealers.collect::<Result<_, _>>()? };
        Ok(Self { policy, keys })
    }
}

/// Every key that a policy needs, by name; a handful, so they are searched in order.
struct PolicyKeys {
    pseudonyms: Vec<(String, Timeline<Pseudonyms>)>,
    sealers: Vec<(String, Timeline<Sealer>)>,
}

/// The keys that are current while one request is carried out.
#[derive(Clone, Copy)]
struct Keys<'a> {
    all: &'a PolicyKeys,
    at_ms: i64,
}

impl<'a> Keys<'a> {
    fn pseudonyms(self, domain: &str) -> Option<&'a Pseudonyms> {
        self.all.pseudonyms.iter().find(|(known, _)| known == domain)?.1.at(self.at_ms)
    }

    fn sealer(self, key: &str) -> Option<&'a Sealer> {
        self.all.sealers.iter().find(|(known, _)| known == key)?.1.at(self.at_ms)
    }
}

/// One destination's share of a request.
pub struct Share {
    /// Where it goes.
    pub destination: DestinationNo,
    /// What goes there.
    pub forward: Forward,
    /// How many events are in it.
    pub events: u32,
}

/// A request with everything removed that must not leave. The only thing that
/// `audit` records, and so the only thing that can be forwarded.
pub struct Minimized {
    /// At most one share a destination.
    pub shares: Vec<Share>,
    /// Members and elements that no contract names, over all shares.
    pub undeclared: u32,
}

impl Minimized {
    /// What the bodies of all shares take together.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.shares.iter().map(|share| share.forward.body.len()).sum()
    }
}

/// Carries out the verdicts on one request.
#[must_use]
pub fn transform(enforcement: &Enforcement, raw: &RawRequest, decoded: &Decoded, decisions: &[Decision]) -> Minimized {
    let mut matched = Matched::default();
    for decision in decisions {
        if let Decided::Ruled(verdict) = &decision.outcome {
            matched.add(verdict);
        }
    }
    let levels = match decoded.layout {
        Layout::Batch { levels } => levels,
        _ => &[],
    };
    let mut minimized = Minimized { shares: Vec::new(), undeclared: 0 };
    for destination in enforcement.policy.destination_numbers().filter(|destination| matched.any_leaves(*destination)) {
        let shared = enforcement.policy.shared(&matched, destination, levels);
        let mut writer = Writer {
            policy: &enforcement.policy,
            keys: Keys { all: &enforcement.keys, at_ms: raw.received_at.as_millisecond() },
            decoded,
            decisions,
            destination,
            shared: &shared,
            undeclared: 0,
            room: value::Room::default(),
        };
        let share = writer.share(raw);
        minimized.undeclared += writer.undeclared;
        minimized.shares.extend(share);
    }
    minimized
}

/// How much unused room of a body is not worth giving back.
const SPARE_BYTES: usize = 4 * 1024;

/// Writes one destination's share.
struct Writer<'a> {
    policy: &'a Policy,
    keys: Keys<'a>,
    decoded: &'a Decoded,
    decisions: &'a [Decision],
    destination: DestinationNo,
    shared: &'a SharedTreatment,
    undeclared: u32,
    room: value::Room,
}

impl<'a> Writer<'a> {
    fn share(&mut self, raw: &RawRequest) -> Option<Share> {
        let mut body = Vec::with_capacity(self.decoded.body.len());
        let events = self.body(&mut body);
        if events == 0 {
            return None;
        }
        // What waits for its collector takes no more room than it is charged for.
        if body.capacity() > 2 * body.len() + SPARE_BYTES {
            body.shrink_to_fit();
        }
        let destination = self.policy.destination(self.destination);
        let shared = self.shared;
        let mut headers = request::headers(raw, &shared.outside, &mut self.shared_hands(0)?);
        for (name, value) in &destination.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                headers.insert(name, value);
            }
        }
        let format = self.decoded.format;
        let layout = self.decoded.layout;
        let mut hands = self.shared_hands(0)?;
        let mut target = request::target(raw, (format, layout), destination, &shared.outside, &mut hands);
        let body = match layout {
            Layout::Query => {
                target.push_str(&into_query(format, &body)?);
                Bytes::new()
            }
            Layout::BinaryCloudEvent => into_binary(&body, &mut headers)?,
            _ if format == Format::Otlp && otlp::is_protobuf(&raw.headers) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(otlp::media(&raw.headers)));
                Bytes::from(otlp::to_protobuf(&body, &Limits::default())?)
            }
            _ => {
                headers.insert(CONTENT_TYPE, content_type(self.decoded));
                Bytes::from(body)
            }
        };
        let forward = Forward { method: raw.method.clone(), target, headers, body };
        Some(Share { destination: self.destination, forward, events })
    }

    /// Those of some events that may go there, with the treatment each gets.
    fn leaving(&self, which: Range<usize>) -> impl Iterator<Item = (usize, Node<'a>, &'a Treatment)> + use<'a> {
        let (decoded, destination) = (self.decoded, self.destination);
        let events = decoded.events.get(which.clone()).unwrap_or_default();
        let decisions = self.decisions.get(which.clone()).unwrap_or_default();
        let each = which.zip(events).zip(decisions);
        each.filter_map(move |((place, event), decision)| match &decision.outcome {
            Decided::Ruled(verdict) => {
                Some((place, decoded.index.node(&decoded.body, *event), verdict.treatment(destination)?))
            }
            _ => None,
        })
    }

    /// The hands on what the events of the request share; `None` where nothing is to be rewritten.
    fn shared_hands(&mut self, level: usize) -> Option<Hands<'_>> {
        Some(Hands {
            rulings: &self.shared.rulings,
            key_rulings: &self.shared.key_rulings,
            rewrite: self.shared.rewrites.get(level)?,
            format: self.decoded.format,
            keys: self.keys,
            room: &mut self.room,
            undeclared: &mut self.undeclared,
        })
    }

    /// Writes the body; gives the number of events in it.
    fn body(&mut self, out: &mut Vec<u8>) -> u32 {
        let all = 0..self.decoded.events.len();
        match self.decoded.layout {
            Layout::Single | Layout::BinaryCloudEvent | Layout::Query => self.events(all, b"", out),
            Layout::Lines => {
                let events = self.events(all, b"\n", out);
                out.push(b'\n');
                events
            }
            Layout::Array => self.array(all, out),
            Layout::Batch { .. } => self.holder(0, &self.decoded.groups, out),
        }
    }

    fn array(&mut self, which: Range<usize>, out: &mut Vec<u8>) -> u32 {
        out.push(b'[');
        let events = self.events(which, b",", out);
        out.push(b']');
        events
    }

    fn events(&mut self, which: Range<usize>, between: &[u8], out: &mut Vec<u8>) -> u32 {
        let mut written = 0;
        for (place, event, treatment) in self.leaving(which) {
            let before = out.len();
            if written > 0 {
                out.extend_from_slice(between);
            }
            let start = out.len();
            let mut hands = Hands {
                rulings: &treatment.rulings,
                key_rulings: &treatment.key_rulings,
                rewrite: &treatment.rewrite,
                format: self.decoded.format,
                keys: self.keys,
                room: &mut self.room,
                undeclared: &mut self.undeclared,
            };
            let emitted = rewrite(event, &treatment.rewrite.plan, &mut hands, out) == Emitted::Value;
            let seals = self.decoded.seals.get(place).copied().unwrap_or_default();
            if emitted && seals.close(start, out) {
                written += 1;
            } else {
                out.truncate(before);
            }
        }
        written
    }

    /// The one object of a level around some groups, what it holds spliced in. One
    /// of which no event leaves does not leave either.
    fn holder(&mut self, level: usize, groups: &'a [Group], out: &mut Vec<u8>) -> u32 {
        let holder = groups.first().and_then(|group| *group.around.get(level)?);
        let Some((holder, shared)) = holder.zip(self.shared.rewrites.get(level)) else { return 0 };
        let holder = self.decoded.index.node(&self.decoded.body, holder);
        let before = out.len();
        let mut splicer = Splicer { writer: self, level, groups, events: 0 };
        let emitted = rewrite(holder, &shared.plan, &mut splicer, out);
        let events = if emitted == Emitted::Nothing { 0 } else { splicer.events };
        if events == 0 && level > 0 {
            out.truncate(before);
        }
        events
    }

    /// The objects of a level that hold some groups, as an array.
    fn holders(&mut self, level: usize, groups: &'a [Group], out: &mut Vec<u8>) -> u32 {
        let mut events = 0;
        out.push(b'[');
        for groups in groups.chunk_by(|a, b| a.around.get(level) == b.around.get(level)) {
            let before = out.len();
            if events > 0 {
                out.push(b',');
            }
            match self.holder(level, groups, out) {
                0 => out.truncate(before),
                more => events += more,
            }
        }
        out.push(b']');
        events
    }
}

/// The hands that carry out rulings on an event's own part.
struct Hands<'a> {
    rulings: &'a [Ruling],
    key_rulings: &'a [Option<Ruling>],
    rewrite: &'a Rewrite,
    format: Format,
    keys: Keys<'a>,
    room: &'a mut value::Room,
    undeclared: &'a mut u32,
}

impl Hands<'_> {
    /// Rewrites what an encoded value holds; what is not encoded as its field says does not leave.
    #[inline(never)]
    fn encoded(&mut self, field: u16, inside: &Inside, value: Node<'_>, out: &mut Vec<u8>) -> Outcome {
        let made = value.text().and_then(|text| self.undo_and_redo(field, inside, &text));
        match made {
            Some(made) => {
                write_string(&made, out);
                Outcome::Written
            }
            None => Outcome::Drop,
        }
    }

    fn undo_and_redo(&mut self, field: u16, inside: &Inside, text: &str) -> Option<String> {
        let undone = inside.encoding.undo(text)?;
        let mut made = Vec::new();
        match &inside.plan {
            Some(plan) => {
                let mut index = Index::new();
                let root = index.read(&undone.bytes, &Limits::default()).ok()?;
                let leaves = rewrite(index.node(&undone.bytes, root), plan, self, &mut made) == Emitted::Value;
                leaves.then(|| inside.encoding.redo(&made, &undone))
            }
            None => {
                let action = &self.rulings.get(usize::from(field))?.action;
                let plain = std::str::from_utf8(&undone.bytes).ok()?;
                if *action == Action::Keep {
                    return Some(text.to_owned());
                }
                let made = value::carry_out_on_text(action, plain, self.keys)?;
                Some(inside.encoding.redo(made.as_bytes(), &undone))
            }
        }
    }

    /// Carries an action out on a value that has to stay what its field in OpenTelemetry's protocol holds.
    fn in_protocol(&mut self, action: &Action, value: Node<'_>, out: &mut Vec<u8>) -> Outcome {
        let begun = out.len();
        let shaped = otlp::shaped(action, value.key());
        let outcome = value::carry_out(shaped.as_ref().unwrap_or(action), value, self.keys, self.room, out);
        if outcome != Outcome::Written {
            return outcome;
        }
        if shaped.is_some() {
            otlp::as_hex(value, begun, out);
        }
        let fits = otlp::fits(value.key(), out.get(begun..).unwrap_or_default());
        if fits { Outcome::Written } else { Outcome::Drop }
    }

    /// What leaves of a text that stands outside of the body.
    fn text(&mut self, field: u16, text: &str) -> Option<String> {
        match self.rewrite.inside(field) {
            Some(inside) => self.undo_and_redo(field, inside, text),
            None => value::carry_out_on_text(&self.rulings.get(usize::from(field))?.action, text, self.keys),
        }
    }
}

impl Edits<Edit> for Hands<'_> {
    fn edit(&mut self, edit: Edit, value: Node<'_>, out: &mut Vec<u8>) -> Outcome {
        if let Some(inside) = self.rewrite.inside(edit.field) {
            return self.encoded(edit.field, inside, value, out);
        }
        let Some(ruling) = self.rulings.get(usize::from(edit.field)) else { return Outcome::Drop };
        if self.format == Format::Otlp {
            return self.in_protocol(&ruling.action, value, out);
        }
        value::carry_out(&ruling.action, value, self.keys, self.room, out)
    }

    fn edit_key(&mut self, edit: Edit, key: Key<'_>, out: &mut Vec<u8>) -> Outcome {
        match self.key_rulings.get(usize::from(edit.field)) {
            Some(Some(ruling)) => value::carry_out_on_name(&ruling.action, key, self.keys, self.room, out),
            _ => Outcome::Drop,
        }
    }

    fn splice(&mut self, _: u32, _: Node<'_>, _: &mut Vec<u8>) -> Outcome {
        Outcome::Drop
    }

    fn dropped(&mut self, _: PlanNodeId) {
        *self.undeclared = self.undeclared.saturating_add(1);
    }
}

/// The hands on the object around a batch.
struct Splicer<'w, 'a> {
    writer: &'w mut Writer<'a>,
    level: usize,
    /// What the object holds.
    groups: &'a [Group],
    events: u32,
}

impl Edits<Edit> for Splicer<'_, '_> {
    fn edit(&mut self, edit: Edit, value: Node<'_>, out: &mut Vec<u8>) -> Outcome {
        self.writer.shared_hands(self.level).map_or(Outcome::Drop, |mut hands| hands.edit(edit, value, out))
    }

    fn edit_key(&mut self, edit: Edit, key: Key<'_>, out: &mut Vec<u8>) -> Outcome {
        self.writer.shared_hands(self.level).map_or(Outcome::Drop, |mut hands| hands.edit_key(edit, key, out))
    }

    fn splice(&mut self, _: u32, _: Node<'_>, out: &mut Vec<u8>) -> Outcome {
        let last = self.level + 1 == self.writer.shared.rewrites.len();
        self.events += match self.groups {
            [only] if last => self.writer.array(only.events.clone(), out),
            groups => self.writer.holders(self.level + 1, groups, out),
        };
        Outcome::Written
    }

    fn dropped(&mut self, _: PlanNodeId) {
        self.writer.undeclared = self.writer.undeclared.saturating_add(1);
    }
}

/// The media type of what is written, which may differ from what the sender claimed.
fn content_type(decoded: &Decoded) -> HeaderValue {
    HeaderValue::from_static(match (decoded.format, decoded.layout) {
        (Format::CloudEvents, Layout::Array) => "application/cloudevents-batch+json",
        (Format::CloudEvents, _) => "application/cloudevents+json",
        (Format::Ndjson, _) => "application/x-ndjson",
        _ => "application/json",
    })
}

/// Turns the document of a query back into a query, its `?` included.
fn into_query(format: Format, document: &[u8]) -> Option<String> {
    let mut index = Index::new();
    let root = index.read(document, &Limits::default()).ok()?;
    let event = index.node(document, root);
    let query = if format == Format::RudderStack { pixel::written(event) } else { query::written(event) };
    Some(if query.is_empty() { query } else { format!("?{query}") })
}

/// Turns a structured event back into the headers and body it came as.
fn into_binary(structured: &[u8], headers: &mut HeaderMap) -> Option<Bytes> {
    let binary = to_binary(structured, &Limits::default()).ok()?;
    for (name, value) in binary.headers {
        headers.insert(name, value);
    }
    if let Some(content_type) = binary.content_type {
        headers.insert(CONTENT_TYPE, content_type);
    }
    Some(binary.body)
}
