//! Facts to verdicts: which contract an event follows, what the person chose,
//! and so what leaves for each destination.
//!
//! Promise: a pure function. Every event of a request is judged on what it says
//! together with what its batch shares; a denial in a batch binds every event of
//! that person in it, and one that the batch shares binds all.

use std::collections::HashMap;
use std::sync::Arc;

use privet_json::{Kind, Node};

use crate::consent::{Consent, Memory, Remembered, RequestFacts, StoredDecisions, is_null_id};
use crate::format::Format;
use crate::path::Path;
use crate::policy::{AgeClass, ContractNo, PlaceNo, Policy, PurposeNo, PurposeSet, Recipient};
use crate::verdict::{Verdict, VerdictKey};

/// One request's events and everything their verdicts depend on.
pub struct Batch<'a> {
    /// The wire format.
    pub format: Format,
    /// The events.
    pub events: &'a [Node<'a>],
    /// The object around them whose other members all of them share.
    pub shared: Option<Node<'a>>,
    /// The kind that the request path gives an event that names none.
    pub implied: Option<&'a str>,
    /// The request.
    pub request: &'a dyn RequestFacts,
    /// When it was received, in milliseconds since 1970.
    pub received_ms: i64,
    /// Where the person is.
    pub place: PlaceNo,
    /// How old the person is, if that is known already.
    pub age: AgeClass,
    /// What was decided earlier.
    pub stored: &'a dyn StoredDecisions,
    /// Whether refusals are remembered.
    pub memory: Memory,
}

/// The decision on one event.
#[derive(Debug)]
pub struct Decision {
    /// What becomes of it.
    pub outcome: Outcome,
    /// The state of each purpose, over all destinations that use it the strictest.
    pub consent: Vec<Consent>,
    /// What the person refused in this very event, to be stored.
    pub refused: PurposeSet,
    /// The purposes that permit publishing aggregates to third parties.
    pub publishable: PurposeSet,
}

/// What becomes of an event.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It follows a contract; this is what leaves of it.
    Ruled(Arc<Verdict>),
    /// No contract is about it.
    Unmatched,
    /// It breaks its contract.
    Invalid(ContractNo),
    /// It is no object.
    Malformed,
}

/// Decides every event of a request.
#[must_use]
pub fn decide(policy: &Policy, batch: &Batch<'_>) -> Vec<Decision> {
    let facts: Vec<EventFacts> = {
        let mut scratch = String::new();
        batch.events.iter().map(|event| EventFacts::read(policy, batch, *event, &mut scratch)).collect()
    };
    let facts = spread_refusals(policy, batch, facts);
    let opted_out = OptOuts::read(policy, batch);
    let mut key = VerdictKey { contract: ContractNo(0), place: batch.place, age: batch.age, permitted: Vec::new() };
    facts
        .into_iter()
        .zip(batch.events)
        .map(|(facts, event)| facts.decide(policy, batch, *event, &opted_out, &mut key))
        .collect()
}

/// What one event says by itself.
struct EventFacts {
    contract: Result<ContractNo, Outcome>,
    age: AgeClass,
    /// The signalled state of each purpose.
    signalled: Vec<Consent>,
    /// What the person refused here.
    refused: PurposeSet,
}

impl EventFacts {
    fn read(policy: &Policy, batch: &Batch<'_>, event: Node<'_>, scratch: &mut String) -> Self {
        let mut age = batch.age;
        let contract = match policy.matcher.find(batch.format, event, batch.implied, scratch) {
            None if event.kind() != Kind::Object => Err(Outcome::Malformed),
            None => Err(Outcome::Unmatched),
            Some(number) => {
                let contract = policy.contract(number);
                let check = contract.shape.check(&contract.fields, event, batch.shared);
                if let (AgeClass::Unknown, Some(found)) = (age, check.age) {
                    age = found;
                }
                if check.valid { Ok(number) } else { Err(Outcome::Invalid(number)) }
            }
        };
        let signalled: Vec<Consent> =
            policy.purposes.iter().map(|purpose| purpose.signalled(event, batch.shared, batch.request)).collect();
        let refused = set_of(&signalled, |state| state == Consent::Refused);
        Self { contract, age, signalled, refused }
    }

    fn decide(
        self,
        policy: &Policy,
        batch: &Batch<'_>,
        event: Node<'_>,
        opted_out: &OptOuts,
        key: &mut VerdictKey,
    ) -> Decision {
        let resolved = self.resolve(policy, batch, event);
        let permits = |number: usize, recipient: Recipient| {
            let Some(purpose) = policy.purposes.get(number) else { return false };
            let state =
                resolved.get(number).copied().unwrap_or(Consent::Unavailable).and(opted_out.of(number, recipient));
            purpose.permits(state, batch.place, self.age, batch.memory)
        };
        let permitted = |recipient: Recipient| {
            (0..policy.purposes.len())
                .filter(|number| permits(*number, recipient))
                .fold(PurposeSet::default(), |set, number| set.with(numbered(number)))
        };
        key.age = self.age;
        key.permitted.clear();
        key.permitted.extend(
            policy.destinations.iter().map(|destination| permitted(destination.recipient).and(destination.purposes)),
        );
        let outcome = match self.contract {
            Ok(contract) => {
                key.contract = contract;
                Outcome::Ruled(policy.verdict(key))
            }
            Err(outcome) => outcome,
        };
        let publishable = permitted(Recipient::ThirdParty);
        let consent =
            resolved.iter().enumerate().map(|(number, state)| state.and(opted_out.strictest(policy, number))).collect();
        Decision { outcome, consent, refused: self.refused, publishable }
    }

    /// Signals and what was stored earlier, put together.
    fn resolve(&self, policy: &Policy, batch: &Batch<'_>, event: Node<'_>) -> Vec<Consent> {
        let refused = |number: usize, state: Consent| {
            if self.refused.contains(numbered(number)) { Consent::Refused } else { state }
        };
        let signalled = self.signalled.iter().enumerate().map(|(number, state)| refused(number, *state));
        if batch.stored.is_empty() {
            return signalled.collect();
        }
        let mut remembered = vec![Remembered::default(); policy.purposes.len()];
        let mut add = |purpose: PurposeNo, stored| {
            if let Some(slot) = remembered.get_mut(usize::from(purpose.0)) {
                slot.add(stored);
            }
        };
        let mut failed = batch.stored.recall_without_subject(&mut add).is_err();
        each_subject(policy, batch, event, self.contract.as_ref().ok().copied(), &mut |subject| {
            failed |= batch.stored.recall(subject, &mut add).is_err();
        });
        remembered.iter_mut().for_each(|slot| slot.unavailable = failed);
        let granted_at = event_time_ms(batch.format, event).map(|at| at.min(batch.received_ms));
        signalled.zip(&remembered).map(|(state, remembered)| remembered.resolve(state, granted_at)).collect()
    }
}

/// A refusal in one event binds every event of the same person in the request;
/// ids that stand together in one event belong to the same person.
fn spread_refusals(policy: &Policy, batch: &Batch<'_>, mut facts: Vec<EventFacts>) -> Vec<EventFacts> {
    let any = facts.iter().any(|facts| !facts.refused.is_empty());
    if !any || facts.len() < 2 {
        return facts;
    }
    let mut subjects: HashMap<String, usize> = HashMap::new();
    let mut people = People::default();
    let mut person_of: Vec<Option<usize>> = Vec::with_capacity(facts.len());
    for (facts, event) in facts.iter().zip(batch.events) {
        let mut first: Option<usize> = None;
        each_subject(policy, batch, *event, facts.contract.as_ref().ok().copied(), &mut |subject| {
            let next = subjects.len();
            let number = *subjects.entry(subject.to_owned()).or_insert(next);
            people.know(number);
            match first {
                None => first = Some(number),
                Some(first) => people.join(first, number),
            }
        });
        person_of.push(first);
    }
    let mut refused: HashMap<usize, PurposeSet> = HashMap::new();
    for (facts, person) in facts.iter().zip(&person_of) {
        if let Some(person) = person {
            let all = refused.entry(people.find(*person)).or_default();
            all.0 |= facts.refused.0;
        }
    }
    for (facts, person) in facts.iter_mut().zip(&person_of) {
        let bound = person.and_then(|person| refused.get(&people.find(person))).copied().unwrap_or_default();
        facts.refused.0 |= bound.0;
    }
    facts
}

/// Disjoint sets of subject ids that stand for one person (Tarjan 1975).
#[derive(Default)]
struct People(Vec<usize>);

impl People {
    fn know(&mut self, number: usize) {
        while self.0.len() <= number {
            self.0.push(self.0.len());
        }
    }

    fn find(&self, mut number: usize) -> usize {
        while let Some(parent) = self.0.get(number).copied().filter(|parent| *parent != number) {
            number = parent;
        }
        number
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.find(a), self.find(b));
        let (low, high) = (a.min(b), a.max(b));
        if let Some(root) = self.0.get_mut(high) {
            *root = low;
        }
    }
}

/// Calls back for every id of the person an event is about: in the event, in
/// what its batch shares, and in the request's headers.
pub fn each_subject(
    policy: &Policy,
    batch: &Batch<'_>,
    event: Node<'_>,
    contract: Option<ContractNo>,
    each: &mut dyn FnMut(&str),
) {
    let mut known = |id: &str| {
        if !is_null_id(id) {
            each(id.trim());
        }
    };
    // An event of no contract still names its subject where its format says so.
    let contract = contract
        .map(|number| policy.contract(number))
        .or_else(|| policy.contracts.iter().find(|contract| contract.format == batch.format));
    let Some(contract) = contract else { return };
    for node in std::iter::once(event).chain(batch.shared) {
        contract.shape.subjects(node, &mut known);
    }
    for name in contract.subject_headers() {
        batch.request.header(name).into_iter().for_each(&mut known);
    }
}

/// What the request's opt-out signals say, for each purpose and recipient.
struct OptOuts(Vec<[Consent; 3]>);

const RECIPIENTS: [Recipient; 3] = [Recipient::Own, Recipient::Processor, Recipient::ThirdParty];

impl OptOuts {
    fn read(policy: &Policy, batch: &Batch<'_>) -> Self {
        Self(
            policy
                .purposes
                .iter()
                .map(|purpose| RECIPIENTS.map(|recipient| purpose.opted_out(recipient, batch.request)))
                .collect(),
        )
    }

    fn of(&self, purpose: usize, recipient: Recipient) -> Consent {
        let at = RECIPIENTS.iter().position(|known| *known == recipient).unwrap_or(0);
        self.0.get(purpose).and_then(|states| states.get(at)).copied().unwrap_or(Consent::Unavailable)
    }

    /// Over all destinations that use the purpose.
    fn strictest(&self, policy: &Policy, purpose: usize) -> Consent {
        let users = policy.destinations.iter().filter(|destination| destination.purposes.contains(numbered(purpose)));
        users.map(|destination| self.of(purpose, destination.recipient)).fold(Consent::Absent, Consent::and)
    }
}

/// The event's own idea of when it happened, in milliseconds since 1970.
fn event_time_ms(format: Format, event: Node<'_>) -> Option<i64> {
    let member = match format {
        Format::Segment => "timestamp",
        Format::CloudEvents => "time",
        Format::Json | Format::Ndjson => return None,
    };
    let text = event.get(member)?.text()?;
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}

fn numbered(number: usize) -> PurposeNo {
    PurposeNo(u8::try_from(number).unwrap_or(u8::MAX))
}

fn set_of(states: &[Consent], wanted: impl Fn(Consent) -> bool) -> PurposeSet {
    let hits = states.iter().enumerate().filter(|(_, state)| wanted(**state));
    hits.fold(PurposeSet::default(), |set, (number, _)| set.with(numbered(number)))
}

/// The scalar text at a plain member path of an event, or of what its batch shares.
#[must_use]
pub fn value_at<'a>(path: &Path, event: Node<'a>, shared: Option<Node<'a>>) -> Option<std::borrow::Cow<'a, str>> {
    let follow = |root: Node<'a>| {
        path.steps.iter().try_fold(root, |node, step| match step {
            crate::path::Step::Key(name) => node.get(name),
            _ => None,
        })
    };
    let node = follow(event).or_else(|| shared.and_then(follow))?;
    match node.kind() {
        privet_json::Kind::String => node.text(),
        privet_json::Kind::Number | privet_json::Kind::Bool => std::str::from_utf8(node.raw()).ok().map(Into::into),
        _ => None,
    }
}
