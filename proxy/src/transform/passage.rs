//! A request that is no event, for a path that a destination lists: the settings
//! that an SDK asks for, a collector's health.
//!
//! Promise: nothing of a person goes with it. Of its headers and its query only
//! what proves who sends, says where to and how to read it leaves, and only where
//! no rule makes any of that less; no cookie, no body.
//!
//! Refuses: everything but GET without a body, because a request without its body
//! is another request; and the gateway's `/internal`, whatever is listed.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use percent_encoding::utf8_percent_encode;
use privet_policy::format::Format;
use privet_policy::path::{Origin, Step};
use privet_policy::policy::{DestinationNo, Field, Policy};

use super::request::parameters;
use super::{Enforcement, Minimized, Share};
use crate::decode::{path, query};
use crate::formats::Refusal;
use crate::forward::Forward;
use crate::request::RawRequest;

/// Where RudderStack's gateway is told to replay and to erase.
const INTERNAL: &str = "/internal";

/// What may leave of a request that was refused because it is no event; `None`
/// where no destination lists its path.
#[must_use]
pub fn pass(enforcement: &Enforcement, raw: &RawRequest, refusal: &Refusal) -> Option<Minimized> {
    let no_event = matches!(refusal, Refusal::NotAnEventPath | Refusal::MethodNotAllowed);
    let path = path(&raw.target);
    if !no_event || raw.method != Method::GET || !raw.body.is_empty() || path.starts_with(INTERNAL) {
        return None;
    }
    let policy = &enforcement.policy;
    let destination = listing(policy, path)?;
    let forward = Forward {
        method: Method::GET,
        target: target(policy, destination, raw, path),
        headers: headers(policy, destination, raw),
        body: Bytes::new(),
    };
    Some(Minimized { shares: vec![Share { destination, forward, events: 0 }], undeclared: 0 })
}

/// The destination that lists a path: the primary one, else the first.
fn listing(policy: &Policy, path: &str) -> Option<DestinationNo> {
    let lists = |number: &DestinationNo| policy.destination(*number).paths.iter().any(|known| known == path);
    let listing: Vec<DestinationNo> = policy.destination_numbers().filter(lists).collect();
    let primary = listing.iter().find(|number| policy.destination(**number).primary);
    primary.or(listing.first()).copied()
}

fn headers(policy: &Policy, destination: DestinationNo, raw: &RawRequest) -> HeaderMap {
    let mut leaving = HeaderMap::new();
    for name in names(policy, destination, raw, Origin::Header) {
        if let Ok(name) = HeaderName::try_from(name) {
            raw.headers.get_all(&name).iter().for_each(|value| {
                leaving.append(&name, value.clone());
            });
        }
    }
    for (name, value) in &policy.destination(destination).headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            leaving.insert(name, value);
        }
    }
    leaving
}

fn target(policy: &Policy, destination: DestinationNo, raw: &RawRequest, path: &str) -> String {
    let mut target = path.to_owned();
    let mut separator = '?';
    let encoded = |text: &str| utf8_percent_encode(text, query::ENCODED).to_string();
    for name in names(policy, destination, raw, Origin::Query) {
        let mut given = parameters(&raw.target).filter(|(known, _)| *known == name);
        // Of two, one collector reads the first and another the last.
        if let (Some((_, value)), None) = (given.next(), given.next()) {
            target.push_str(&format!("{separator}{}={}", encoded(&name), encoded(&value)));
            separator = '&';
        }
    }
    target
}

/// The names of what leaves by role, in the formats of the listener.
fn names(policy: &Policy, destination: DestinationNo, raw: &RawRequest, origin: Origin) -> Vec<String> {
    let formats: &[Format] = if raw.listener.formats.is_empty() { &Format::ALL } else { &raw.listener.formats };
    let mut names: Vec<String> = Vec::new();
    for contract in policy.contracts().iter().filter(|contract| formats.contains(&contract.format)) {
        let stands = |field: &&Field| field.path.origin == origin && policy.leaves_untouched(field, destination);
        for field in contract.fields.iter().filter(stands) {
            if let [Step::Key(name)] = field.path.steps.as_slice()
                && !names.contains(name)
            {
                names.push(name.clone());
            }
        }
    }
    names
}
