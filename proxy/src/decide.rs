//! Decide: what the policy says about every event of a request.
//!
//! Promise: never fails; a pure function of the request, the policy and what was
//! stored earlier. This module only introduces the request to `privet-policy`.

use privet_json::Node;
use privet_policy::batch::Batch;
use privet_policy::consent::{Heard, Memory, StoredDecisions};
use privet_policy::decide::Decision;
use privet_policy::policy::{AgeClass, PlaceNo, Policy};

use crate::decode::Decoded;
use crate::request::RawRequest;
use crate::transform::RequestView;

/// What is known about a request from outside of it.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// Earlier decisions.
    pub stored: &'a dyn StoredDecisions,
    /// Whether refusals are remembered by all.
    pub memory: Memory,
    /// Where signals are told of that cannot be relied on, and consent strings that count.
    pub heard: &'a dyn Fn(Heard<'_>),
    /// The jurisdiction, where it does not come with the request.
    pub jurisdiction: Option<&'a str>,
    /// The age class, where it does not stand in the event.
    pub age: AgeClass,
}

/// Decides every event of a request, in order.
#[must_use]
pub fn decide(policy: &Policy, raw: &RawRequest, decoded: &Decoded, around: &Surroundings<'_>) -> Vec<Decision> {
    let events: Vec<Node<'_>> = decoded.events.iter().map(|event| decoded.index.node(&decoded.body, *event)).collect();
    let groups: Vec<_> = decoded.groups().collect();
    let batch = Batch {
        format: decoded.format,
        events: &events,
        unfit: &decoded.unfit,
        groups: &groups,
        implied: decoded.implied,
        request: &RequestView(raw),
        received_ms: raw.received_at.as_millisecond(),
        place: place(policy, raw, around.jurisdiction),
        age: around.age,
        stored: around.stored,
        memory: around.memory,
        heard: around.heard,
    };
    privet_policy::decide::decide(policy, &batch)
}

/// The jurisdiction: said from outside, else a header from a trusted peer, else
/// the listener's own, else `default`.
fn place(policy: &Policy, raw: &RawRequest, outside: Option<&str>) -> PlaceNo {
    let trusted = || raw.listener.trusted_peers.iter().any(|net| net.contains(&raw.peer));
    let header = raw.listener.jurisdiction_header.as_ref().filter(|_| trusted());
    let said = header.and_then(|name| {
        let mut values = raw.headers.get_all(name).iter();
        // Two answers are no answer.
        values.next().filter(|_| values.next().is_none()).and_then(|value| value.to_str().ok())
    });
    let written = outside.or(said).or(raw.listener.jurisdiction.as_deref());
    written.map(|written| policy.place(written)).unwrap_or_default()
}
