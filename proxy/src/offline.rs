//! One request through decode, decide and transform, with no socket and no log.
//!
//! What `privet apply` does: the same three steps as the line, and what would
//! leave instead of sending it.

use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use privet_policy::consent::{Consent, Memory, StoreUnavailable, Stored, StoredDecisions};
use privet_policy::format::Format;
use privet_policy::policy::{AgeClass, Policy, Purpose, PurposeNo};
use privet_policy::source::GrantSource;
use privet_policy::taxonomy::covers;
use serde_json::Value;

use crate::decide::{Surroundings, decide};
use crate::decision;
use crate::decode::{DecodeLimits, Scratch, decode};
use crate::evidence::Evidence;
use crate::formats::{Refusal, answer_refusal, answer_success, preflight};
use crate::request::{ListenerFacts, RawRequest};
use crate::transform::{Enforcement, Minimized, pass, transform};

/// One request to think through, with what surrounds it.
pub struct Question {
    /// The request.
    pub raw: RawRequest,
    /// The jurisdiction.
    pub jurisdiction: Option<String>,
    /// The age class.
    pub age: AgeClass,
    /// Decisions as if they had been stored before.
    pub stored: AssumedDecisions,
}

/// What would happen to a request.
pub struct Verdict {
    /// The status the client would be told.
    pub status: u16,
    /// What would leave.
    pub forwards: Vec<Sent>,
    /// Why.
    pub decision: Value,
}

/// One request that would leave.
pub struct Sent {
    /// The destination's name.
    pub destination: String,
    /// The request, as it would be sent.
    pub forward: crate::forward::Forward,
}

/// A request that would be refused.
#[derive(Clone, Copy, Debug)]
pub struct Refused {
    /// The status the client would be told.
    pub status: u16,
    /// Why.
    pub refusal: Refusal,
}

/// Decodes, decides and transforms one request.
///
/// # Errors
/// [`Refused`] where the client would be told that its request is refused.
pub fn think(enforcement: &Enforcement, question: &Question, scratch: &mut Scratch) -> Result<Verdict, Refused> {
    let raw = &question.raw;
    if let Some(answer) = preflight(raw) {
        return Ok(Verdict {
            status: answer.status().as_u16(),
            forwards: Vec::new(),
            decision: serde_json::json!({"events": []}),
        });
    }
    let decoded = match decode(raw, &DecodeLimits::default(), scratch) {
        Ok(decoded) => decoded,
        Err(refusal) => {
            let status = answer_refusal(crate::decode::format_hint(raw), &refusal, &raw.asked()).status().as_u16();
            let passing = pass(enforcement, raw, &refusal).ok_or(Refused { status, refusal })?;
            let (forwards, decision) = (named(enforcement, passing), serde_json::json!({"events": []}));
            return Ok(Verdict { status: StatusCode::OK.as_u16(), forwards, decision });
        }
    };
    let evidence = Evidence::default();
    let around = Surroundings {
        stored: &question.stored,
        memory: Memory::Lasting,
        heard: &|heard| evidence.hear(heard),
        jurisdiction: question.jurisdiction.as_deref(),
        age: question.age,
    };
    let decisions = decide(&enforcement.policy, raw, &decoded, &around);
    let minimized = transform(enforcement, raw, &decoded, &decisions);
    let mut decision = decision::show(&enforcement.policy, raw, &decoded, &decisions);
    if let Some(decision) = decision.as_object_mut() {
        decision.insert("evidence".to_owned(), evidence.show(&enforcement.policy));
    }
    let status = answer_success(decoded.format, &raw.asked()).status().as_u16();
    scratch.reclaim(decoded);
    Ok(Verdict { status, forwards: named(enforcement, minimized), decision })
}

/// What would leave, by the names of where it goes.
fn named(enforcement: &Enforcement, minimized: Minimized) -> Vec<Sent> {
    let named = |share: crate::transform::Share| Sent {
        destination: enforcement.policy.destination(share.destination).name.clone(),
        forward: share.forward,
    };
    minimized.shares.into_iter().map(named).collect()
}

/// The parts of a request, before they make one.
pub struct Parts {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The body, content coding still applied.
    pub body: Vec<u8>,
    /// The sender's address.
    pub peer: Option<IpAddr>,
    /// When it was received.
    pub time: Timestamp,
    /// The format, if it is known.
    pub format: Option<Format>,
}

/// Why parts make no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotARequest {
    /// The method is no token.
    #[error("the method is not an HTTP method")]
    Method,
    /// A header's name or value has characters that HTTP does not allow.
    #[error("a header has a name or value that HTTP does not allow")]
    Header,
    /// The target is no path.
    #[error("the target must begin with `/`")]
    Target,
}

impl Parts {
    /// Puts the parts together.
    ///
    /// # Errors
    /// [`NotARequest`] where no HTTP request has such parts.
    pub fn request(self) -> Result<RawRequest, NotARequest> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let name = HeaderName::from_str(name.trim()).map_err(|_| NotARequest::Header)?;
            let value = HeaderValue::from_bytes(value.trim().as_bytes()).map_err(|_| NotARequest::Header)?;
            headers.append(name, value);
        }
        let plain = |target: &str| target.starts_with('/') && target.bytes().all(|byte| byte > b' ' && byte != 0x7f);
        if !plain(&self.target) {
            return Err(NotARequest::Target);
        }
        let listener = ListenerFacts {
            name: "offline".to_owned(),
            formats: self.format.into_iter().collect(),
            jurisdiction: None,
            jurisdiction_header: None,
            trusted_peers: Vec::new(),
        };
        Ok(RawRequest {
            method: Method::from_str(&self.method).map_err(|_| NotARequest::Method)?,
            target: self.target,
            headers,
            body: Bytes::from(self.body),
            peer: self.peer.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            listener: Arc::new(listener),
            received_at: self.time,
        })
    }
}

/// Decisions given with a question: they hold for every subject of it, as if the
/// authenticated interface had stored them.
///
/// Written as a map of purposes to `given`, `refused`, `absent` or
/// `unavailable`, or of purposes to `{state: ..., at: RFC 3339}`. A purpose
/// covers its descendants, a consent category stands for the purposes that it
/// grants, and `"*"` for all that are not named. `true` and `false` stand for
/// given and refused. The map may stand under a member `consent` or `purposes`.
#[derive(Clone, Debug, Default)]
pub struct AssumedDecisions {
    decisions: Vec<(PurposeNo, Stored)>,
    unavailable: bool,
}

/// Why a text is no map of decisions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotDecisions {
    /// It is no map.
    #[error("want a map of purposes to `given`, `refused`, `absent` or `unavailable`; `*` is every purpose")]
    NotAMap,
    /// A name that means nothing to the policy.
    #[error("the policy has no purpose and no consent category `{0}`")]
    Purpose(String),
    /// A state that does not exist.
    #[error("the state of `{0}` is none of `given`, `refused`, `absent` and `unavailable`")]
    State(String),
    /// A time that is not RFC 3339.
    #[error("the time of `{0}` is not RFC 3339")]
    Time(String),
}

impl AssumedDecisions {
    /// Reads the map; a decision without a time of its own was made at `now`.
    ///
    /// # Errors
    /// [`NotDecisions`] for the first entry that means nothing.
    pub fn read(written: &Value, policy: &Policy, now: Timestamp) -> Result<Self, NotDecisions> {
        let wrapped = ["consent", "purposes"]
            .into_iter()
            .find_map(|member| written.get(member))
            .filter(|inner| inner.is_object());
        let entries = wrapped.unwrap_or(written).as_object().ok_or(NotDecisions::NotAMap)?;
        if let Some(name) =
            entries.keys().find(|name| !policy.purposes().iter().any(|purpose| closeness(name, purpose).is_some()))
        {
            return Err(NotDecisions::Purpose(name.clone()));
        }
        let mut assumed = Self::default();
        for (number, purpose) in policy.purposes().iter().enumerate() {
            let closest = entries.iter().max_by_key(|(name, _)| closeness(name, purpose));
            if let Some((name, entry)) = closest.filter(|(name, _)| closeness(name, purpose).is_some()) {
                assumed.assume(PurposeNo(u8::try_from(number).unwrap_or(u8::MAX)), name, entry, now)?;
            }
        }
        Ok(assumed)
    }

    fn assume(&mut self, purpose: PurposeNo, name: &str, entry: &Value, now: Timestamp) -> Result<(), NotDecisions> {
        let (state, at) = match entry {
            Value::Object(members) => (members.get("state").unwrap_or(&Value::Null), members.get("at")),
            state => (state, None),
        };
        let at = match at {
            None | Some(Value::Null) => now,
            Some(at) => {
                at.as_str().and_then(|at| at.parse().ok()).ok_or_else(|| NotDecisions::Time(name.to_owned()))?
            }
        };
        let state = match state {
            Value::Bool(true) => Some(Consent::Given),
            Value::Bool(false) => Some(Consent::Refused),
            Value::String(word) => Consent::named(word),
            _ => None,
        };
        let stored = |given| Stored { given, at_ms: at.as_millisecond(), authenticated: true };
        match state.ok_or_else(|| NotDecisions::State(name.to_owned()))? {
            Consent::Given => self.decisions.push((purpose, stored(true))),
            Consent::Refused => self.decisions.push((purpose, stored(false))),
            Consent::Unavailable => self.unavailable = true,
            Consent::Absent => {}
        }
        Ok(())
    }
}

/// How closely a written name means a purpose; `None` if it does not.
fn closeness(name: &str, purpose: &Purpose) -> Option<usize> {
    let category =
        purpose.granted_by.iter().any(|grant| matches!(grant, GrantSource::Segment(category) if category == name));
    match name {
        "*" => Some(0),
        _ if category => Some(1),
        _ => covers(name, &purpose.name).then(|| name.len() + 1),
    }
}

impl StoredDecisions for AssumedDecisions {
    fn is_empty(&self) -> bool {
        self.decisions.is_empty() && !self.unavailable
    }

    fn recall(&self, _: &str, each: &mut dyn FnMut(PurposeNo, Stored)) -> Result<(), StoreUnavailable> {
        self.decisions.iter().for_each(|(purpose, stored)| each(*purpose, *stored));
        if self.unavailable { Err(StoreUnavailable) } else { Ok(()) }
    }

    fn recall_without_subject(&self, each: &mut dyn FnMut(PurposeNo, Stored)) -> Result<(), StoreUnavailable> {
        self.recall("", each)
    }
}
