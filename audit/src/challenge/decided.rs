//! The class of a canary, decided before it is sent.
//!
//! The policy library decides the very bytes that will be sent, as the sidecar's `decide` step would.
//! That needs no decoder where an event is its request's body; formats that wrap or rename their events
//! have no canaries, because a second decoder that agreed with the sidecar's would be no test of it.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use privet_json::{Index, Limits};
use privet_policy::Policy;
use privet_policy::batch::{Batch, Group};
use privet_policy::consent::{Memory, NothingStored, RequestFacts};
use privet_policy::decide::{Outcome, decide};
use privet_policy::format::Format;
use privet_policy::policy::{AgeClass, ContractNo};
use privet_policy::prove::Sample;

/// The formats whose event is the body.
pub const FORMATS: [Format; 5] =
    [Format::Segment, Format::RudderStack, Format::CloudEvents, Format::Json, Format::Ndjson];

/// What stands in a canary around its body.
struct Around<'a>(&'a Sample);

impl RequestFacts for Around<'_> {
    fn header(&self, lower_case_name: &str) -> Vec<&str> {
        let own = self.0.headers.iter().filter(|(name, _)| name == lower_case_name);
        own.map(|(_, value)| value.as_str()).collect()
    }

    fn query(&self, name: &str) -> Vec<Cow<'_, str>> {
        let query = self.0.target.split_once('?').map_or("", |(_, query)| query);
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let decoded = |text| percent_decode_str(text).decode_utf8_lossy();
        pairs.filter(|(known, _)| decoded(known) == name).map(|(_, value)| decoded(value)).collect()
    }

    fn cookie(&self, name: &str) -> Vec<Cow<'_, str>> {
        let cookies = self.header("cookie").into_iter().flat_map(|header| header.split("; "));
        let pairs = cookies.filter_map(|pair| pair.split_once('='));
        pairs.filter(|(known, _)| *known == name).map(|(_, value)| Cow::Borrowed(value)).collect()
    }
}

/// The contract and the class document of a canary; `None` where it follows no contract after all.
#[must_use]
pub fn decided(policy: &Policy, sample: &Sample, memory: Memory, received_ms: i64) -> Option<(ContractNo, String)> {
    let body = sample.body.to_string();
    let mut index = Index::new();
    let root = index.read(body.as_bytes(), &Limits::default()).ok()?;
    let events = [index.node(body.as_bytes(), root)];
    let call = sample.target.strip_prefix("/v1/");
    let batch = Batch {
        format: sample.format,
        events: &events,
        unfit: &[],
        groups: &[Group::bare(1)],
        implied: call.map(|call| call.split('?').next().unwrap_or(call)),
        request: &Around(sample),
        received_ms,
        place: policy.place(&sample.jurisdiction),
        age: AgeClass::Unknown,
        stored: &NothingStored,
        memory,
        heard: &|_| {},
    };
    match decide(policy, &batch).pop()?.outcome {
        Outcome::Ruled(verdict) => Some((verdict.key.contract, policy.class_of(&verdict))),
        _ => None,
    }
}
