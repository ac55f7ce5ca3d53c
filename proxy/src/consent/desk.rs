//! The desk of whoever may read and change decisions: JSON over the admin address.
//!
//! Promise: nobody is served without the token, which is compared in constant time, and
//! without a configured token nobody is. A subject stands in the body, so that no
//! log of requests has it; neither it nor a decision is logged here. What is answered with 200
//! is in the store, and this process acts by it. Not here: TLS and the address; that is [`crate::admin`].

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwapOption;
use http::{HeaderMap, StatusCode};
use privet_policy::consent::{Stored, StoredDecisions as _, is_null_id};
use privet_policy::policy::Policy;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{CannotOpen, ConsentStore, EVERYTHING, Fact, Record, StoreError};
use crate::bearer::Token;
use crate::clock::Clock;
use crate::line::Line;

/// The largest body of a request.
pub const BODY_BYTES_MAX: usize = 64 << 10;

/// Where the desk is found once there is one.
#[derive(Default)]
pub struct Place(ArcSwapOption<Desk>);

/// What the desk works on.
pub struct Desk {
    store: ConsentStore,
    line: Arc<Line>,
    clock: Arc<dyn Clock>,
    /// The time of the newest change. Each is later than the one before it, so that what was asked last here counts.
    newest_ms: AtomicI64,
    token: Token,
}

/// What an authenticated request says. Has no `Debug`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    subject: String,
    #[serde(default)]
    purposes: Vec<String>,
    state: Option<State>,
    age: Option<Age>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Given,
    Refused,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Age {
    Child,
    Adult,
}

/// A request that is not served, in words for whoever sent it. Never quotes the subject.
struct Declined {
    status: StatusCode,
    why: String,
}

impl Declined {
    fn wrong(why: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, why: why.into() }
    }
}

impl From<StoreError> for Declined {
    fn from(error: StoreError) -> Self {
        let status = if matches!(error, StoreError::Full) {
            StatusCode::INSUFFICIENT_STORAGE
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        Self { status, why: crate::run::chain(&error) }
    }
}

impl Place {
    /// The desk opens.
    pub fn open(&self, desk: Desk) {
        self.0.store(Some(Arc::new(desk)));
    }

    /// Answers a request: a status and a JSON document.
    pub async fn answer(&self, path: &str, headers: &HeaderMap, body: &[u8]) -> (StatusCode, Value) {
        let Some(desk) = self.0.load_full() else {
            let why = "nobody may read or change decisions here: the configuration names no `consent.token_file`";
            return (StatusCode::FORBIDDEN, json!({"error": why}));
        };
        match desk.serve(path, headers, body).await {
            Ok(answer) => (StatusCode::OK, answer),
            Err(Declined { status, why }) => (status, json!({"error": why})),
        }
    }
}

/// The token of a desk, in a file.
///
/// # Errors
/// [`CannotOpen::Token`] where it cannot be read or is too short to be a secret.
pub(crate) fn token(file: &Path) -> Result<Token, CannotOpen> {
    Token::in_file(file).map_err(|source| CannotOpen::Token { file: file.display().to_string(), source })
}

impl Desk {
    /// A desk for whoever has the token.
    #[must_use]
    pub fn new(store: ConsentStore, line: Arc<Line>, clock: Arc<dyn Clock>, token: Token) -> Self {
        Self { store, line, clock, newest_ms: AtomicI64::new(i64::MIN), token }
    }

    async fn serve(&self, path: &str, headers: &HeaderMap, body: &[u8]) -> Result<Value, Declined> {
        if !self.token.lets_in(headers) {
            let why = "`Authorization: Bearer TOKEN` is missing or has another token".to_owned();
            return Err(Declined { status: StatusCode::UNAUTHORIZED, why });
        }
        // What serde says of a wrong body may quote it.
        let asked: Asked = serde_json::from_slice(body).map_err(|_| {
            Declined::wrong(
                "the body is not {\"subject\": TEXT, \"purposes\"?: [NAME...], \"state\"?: \"given\" or \"refused\", \"age\"?: \"child\" or \"adult\"}",
            )
        })?;
        let subject = asked.subject.trim();
        if is_null_id(subject) {
            return Err(Declined::wrong("the subject is nobody's id"));
        }
        match path {
            "/v1/consent/get" => self.show(subject).await,
            "/v1/consent/set" => self.set(subject, &asked).await,
            "/v1/consent/withdraw" => self.withdraw(subject, &asked).await,
            "/v1/subject/show" => self.show_all(subject).await,
            "/v1/subject/erase" => self.erase(subject).await,
            _ => Err(Declined { status: StatusCode::NOT_FOUND, why: "there is no such thing to ask for".to_owned() }),
        }
    }

    /// When a change that is asked for now counts as received, in milliseconds since 1970.
    fn received_ms(&self) -> i64 {
        let now_ms = self.clock.now().as_millisecond();
        let later = |newest_ms: i64| now_ms.max(newest_ms.saturating_add(1));
        later(
            self.newest_ms
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |newest| Some(later(newest)))
                .unwrap_or(now_ms),
        )
    }

    async fn show(&self, subject: &str) -> Result<Value, Declined> {
        Ok(shown(&self.store.show(subject).await?))
    }

    async fn set(&self, subject: &str, asked: &Asked) -> Result<Value, Declined> {
        if asked.purposes.is_empty() && asked.age.is_none() {
            return Err(Declined::wrong("there is nothing to set: name `purposes` and a `state`, or an `age`"));
        }
        if asked.purposes.is_empty() == asked.state.is_some() {
            return Err(Declined::wrong("`purposes` and `state` belong together"));
        }
        let mut learned = Record::default();
        let now_ms = self.received_ms();
        for purpose in self.known_purposes(&asked.purposes)? {
            learned.learn(Fact::decided(purpose, asked.state == Some(State::Given)), now_ms);
        }
        if let Some(age) = asked.age {
            learned.learn(Fact::Child(age == Age::Child), now_ms);
        }
        let learned = self.learn(subject, learned).await;
        if asked.state == Some(State::Refused) {
            self.line.withdraw(subject);
        }
        learned
    }

    async fn withdraw(&self, subject: &str, asked: &Asked) -> Result<Value, Declined> {
        if asked.state.is_some() || asked.age.is_some() {
            return Err(Declined::wrong("a withdrawal has a subject and purposes, nothing else"));
        }
        let purposes = if asked.purposes.is_empty() { vec![EVERYTHING] } else { self.known_purposes(&asked.purposes)? };
        let refusals = purposes.into_iter().map(|purpose| Fact::decided(purpose, false));
        let learned = self.learn(subject, Record::of(refusals, self.received_ms())).await;
        // Also where nothing could be learnt: what was counted before is gone, as asked.
        self.line.withdraw(subject);
        learned
    }

    async fn learn(&self, subject: &str, learned: Record) -> Result<Value, Declined> {
        self.store.learn(subject, learned).await?;
        self.show(subject).await
    }

    /// Purposes by name, as the policy in force has them: a name that it has not would bind nothing.
    fn known_purposes<'a>(&self, written: &'a [String]) -> Result<Vec<&'a str>, Declined> {
        let Some(in_force) = self.line.in_force() else {
            let why = "no policy is in force, so no purpose is known yet".to_owned();
            return Err(Declined { status: StatusCode::SERVICE_UNAVAILABLE, why });
        };
        let known = in_force.enforcement.policy.purposes();
        let named = |name: &String| known.iter().any(|purpose| purpose.name == *name);
        if written.iter().all(named) {
            return Ok(written.iter().map(String::as_str).collect());
        }
        let names: Vec<&str> = known.iter().map(|purpose| purpose.name.as_str()).collect();
        Err(Declined::wrong(format!("the policy has no such purpose; its purposes are {}", names.join(", "))))
    }

    async fn show_all(&self, subject: &str) -> Result<Value, Declined> {
        let stored = shown(&self.store.show(subject).await?);
        Ok(json!({"store": stored, "memory_of_this_pod": self.remembered(subject), "spool": NO_SPOOL}))
    }

    async fn erase(&self, subject: &str) -> Result<Value, Declined> {
        self.line.withdraw(subject);
        let stays = self.store.erase(subject).await?;
        let why = if stays.is_empty() { Value::Null } else { STAYS.into() };
        Ok(json!({
            "erased": true,
            "stays": shown(&stays),
            "why": why,
            "memory_of_this_pod": self.remembered(subject),
            "spool": NO_SPOOL,
        }))
    }

    /// What this process remembers that the subject refused, and what of it waits to be stored.
    fn remembered(&self, subject: &str) -> Vec<Value> {
        let Some(in_force) = self.line.in_force() else { return Vec::new() };
        let policy: &Policy = &in_force.enforcement.policy;
        let mut refusals = BTreeSet::new();
        let mut each = |purpose, stored: Stored| {
            refusals.insert((policy.purpose_name(purpose), stored.at_ms));
        };
        // It is in memory, so it does not fail.
        self.line.refusals().under(policy).recall(subject, &mut each).ok();
        self.store.waiting(subject, policy, &mut each);
        refusals.into_iter().map(|(purpose, at_ms)| json!({"purpose": purpose, "at": time(at_ms)})).collect()
    }
}

/// Said where a spool would be looked at.
const NO_SPOOL: &str = "none: events are not kept";
/// Said of what an erasure leaves.
const STAYS: &str =
    "without a refusal, or that the subject is a child, more would leave of the subject; kept under a keyed pseudonym";

/// A record as JSON, times as RFC 3339.
fn shown(record: &Record) -> Value {
    let mut decisions = Vec::new();
    for (fact, at_ms) in record.facts() {
        if let Fact::Decision { purpose, given, authenticated } = fact {
            decisions.push(json!({
                "purpose": purpose,
                "state": if *given { "given" } else { "refused" },
                "by": if *authenticated { "api" } else { "wire" },
                "at": time(at_ms),
            }));
        }
    }
    json!({"decisions": decisions, "age": record.age().map(|age| age.name())})
}

fn time(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms).map(|at| at.to_string()).unwrap_or_default()
}
