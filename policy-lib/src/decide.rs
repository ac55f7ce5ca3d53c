//! Facts to verdicts: which contract an event follows, what the person chose,
//! and so what leaves for each destination.
//!
//! Promise: a pure function. Every event of a request is judged on what it says
//! together with what its batch shares; what one event says to hold data back, a
//! refusal, a signal that cannot be read or that the person is a child, binds every
//! event of that person in the request, and what the batch shares binds all.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use privet_json::{Kind, Node};

use crate::batch::{Around, Batch, Group};
use crate::consent::{
    AudienceNo, Circumstance, ConsentStates, Grounds, Memory, Reading, Remembered, Signalled, is_null_id,
};
use crate::format::Format;
use crate::path::{Path, Step, chosen};
use crate::policy::{AgeClass, Contract, ContractNo, PlaceNo, Policy, PurposeNo, PurposeSet, Rule};
use crate::shape::{Subject, SubjectHeader};
use crate::verdict::{Verdict, VerdictKey};

/// The decision on one event.
#[derive(Debug)]
pub struct Decision {
    /// What becomes of it.
    pub outcome: Outcome,
    /// The state of each purpose, over all destinations that use it the strictest.
    pub consent: ConsentStates,
    /// What the person refused, if anything.
    pub refusal: Option<Box<Refusal>>,
    /// The purposes that permit publishing aggregates to third parties.
    pub publishable: PurposeSet,
}

/// What a person refused in a request, to be stored under each of the person's ids.
#[derive(Debug)]
pub struct Refusal {
    /// What was refused.
    pub purposes: PurposeSet,
    /// The ids in the event and around it.
    pub subjects: Vec<String>,
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
    /// It is no event of its format.
    Malformed,
}

/// Decides every event of a request.
#[must_use]
pub fn decide(policy: &Policy, batch: &Batch<'_>) -> Vec<Decision> {
    let mut facts = Facts::read(policy, batch);
    facts.spread();
    let mut judge = Judge::of(policy, batch);
    let around = batch.groups.iter().flat_map(|group| group.events.clone().map(|_| group.around));
    let events = facts.events.iter().zip(batch.events).zip(around);
    events.map(|((event, node), around)| judge.decide(&facts, event, *node, around)).collect()
}

/// Ids that an event usually has, and one to spare.
const SUBJECTS_USUAL: usize = 3;

/// What the events of a request say.
struct Facts<'a> {
    policy: &'a Policy,
    batch: &'a Batch<'a>,
    reading: Reading<'a>,
    /// What the request says around its body.
    around: Signalled,
    events: Vec<EventFacts>,
    /// The values that name the people of all events, one event's after the other's.
    subjects: Vec<Subject<'a>>,
}

/// What one event says, together with what its batch shares.
struct EventFacts {
    contract: Result<ContractNo, Outcome>,
    age: AgeClass,
    /// What it says, and what holds data back in another event of the person.
    signalled: Signalled,
    /// Its part of [`Facts::subjects`].
    subjects: Range<usize>,
}

impl<'a> Facts<'a> {
    fn read(policy: &'a Policy, batch: &'a Batch<'a>) -> Self {
        let events = Vec::with_capacity(batch.events.len());
        let subjects = Vec::with_capacity(batch.events.len() * SUBJECTS_USUAL);
        let at = Circumstance { at_ms: batch.received_ms, place: batch.place };
        let reading = Reading::new(policy, at, batch.heard);
        let around = reading.request(batch.request);
        let mut facts = Self { policy, batch, reading, around, events, subjects };
        let mut scratch = String::new();
        for group in batch.groups {
            let mut signalled = Signalled::default();
            group.around.iter().for_each(|shared| signalled.add(&facts.reading.node(shared, batch.format)));
            for event in batch.events.get(group.events.clone()).unwrap_or_default() {
                let read = facts.event(*event, group, &signalled, &mut scratch);
                facts.events.push(read);
            }
        }
        facts
    }

    fn event(&mut self, event: Node<'a>, group: &Group<'a>, shared: &Signalled, scratch: &mut String) -> EventFacts {
        let Self { policy, batch, .. } = *self;
        let begun = self.subjects.len();
        let mut age = batch.age;
        let fit = event.kind() == Kind::Object && batch.unfit.binary_search(&self.events.len()).is_err();
        let found = policy.matcher.find(batch.format, event, batch.implied, scratch).filter(|_| fit);
        let contract = match found {
            None => {
                if let Some(contract) = self.stand_in() {
                    let mut collect = |node| contract.shape.subjects(&contract.fields, node, &mut self.subjects);
                    collect(event);
                    group.around.iter().for_each(collect);
                }
                Err(if fit { Outcome::Unmatched } else { Outcome::Malformed })
            }
            Some(number) => {
                let contract = policy.contract(number);
                let check = contract.shape.check(&contract.fields, event, group.around, &mut self.subjects);
                // Whoever says that it is a child is believed.
                if let (AgeClass::Unknown, Some(found)) | (_, Some(found @ AgeClass::Child)) = (age, check.age) {
                    age = found;
                }
                if check.valid { Ok(number) } else { Err(Outcome::Invalid(number)) }
            }
        };
        let mut signalled = self.reading.node(event, batch.format);
        signalled.add(shared);
        signalled.add_common(&self.around);
        signalled.child |= age == AgeClass::Child;
        if signalled.child {
            age = AgeClass::Child;
        }
        EventFacts { contract, age, signalled, subjects: begun..self.subjects.len() }
    }

    /// An event of no contract still names its subject where its format says so.
    fn stand_in(&self) -> Option<&'a Contract> {
        self.policy.contracts.iter().find(|contract| contract.format == self.batch.format)
    }

    /// Every id of the person an event is about: in the event, in what its
    /// batch shares, and in the request's headers and cookies.
    fn subjects_of(&self, event: &EventFacts) -> impl Iterator<Item = Cow<'a, str>> {
        let contract = match &event.contract {
            Ok(number) | Err(Outcome::Invalid(number)) => Some(self.policy.contract(*number)),
            Err(_) => self.stand_in(),
        };
        let request = self.batch.request;
        let headers = contract.map(|contract| contract.shape.subject_headers()).unwrap_or_default();
        let in_header =
            |header: &'a SubjectHeader| request.header(&header.name).into_iter().filter_map(|value| header.text(value));
        let in_headers = headers.iter().flat_map(in_header);
        let cookies = contract.map(|contract| contract.shape.subject_cookies()).unwrap_or_default();
        let in_cookies = cookies.iter().flat_map(|name| request.cookie(name));
        let values = self.subjects.get(event.subjects.clone()).unwrap_or_default();
        let in_values = values.iter().filter_map(Subject::text);
        in_values.chain(in_headers).chain(in_cookies).filter(|id| !is_null_id(id)).map(trimmed)
    }

    /// Whether a person who says something to hold data back has more than one event here.
    fn binding_events_have_company(&self) -> bool {
        let binds = |event: &&EventFacts| event.signalled.binds();
        let mut ids: HashMap<Cow<'a, str>, usize> = HashMap::new();
        for (number, event) in self.events.iter().enumerate().filter(|(_, event)| binds(event)) {
            for subject in self.subjects_of(event) {
                if ids.insert(subject, number).is_some_and(|other| other != number) {
                    return true;
                }
            }
        }
        let mut others = self.events.iter().filter(|event| !binds(event));
        !ids.is_empty() && others.any(|event| self.subjects_of(event).any(|subject| ids.contains_key(&subject)))
    }

    /// What one event says to hold data back binds every event of the same person in the request;
    /// ids that stand together in one event belong to the same person.
    fn spread(&mut self) {
        if !self.binding_events_have_company() {
            return;
        }
        let mut numbers: HashMap<Cow<'a, str>, usize> = HashMap::new();
        let mut people = People::default();
        let mut person_of: Vec<Option<usize>> = Vec::with_capacity(self.events.len());
        for event in &self.events {
            let mut first: Option<usize> = None;
            for subject in self.subjects_of(event) {
                let next = numbers.len();
                let number = *numbers.entry(subject).or_insert(next);
                people.know(number);
                match first {
                    None => first = Some(number),
                    Some(first) => people.join(first, number),
                }
            }
            person_of.push(first);
        }
        let mut binding = vec![Signalled::default(); numbers.len()];
        for (event, person) in self.events.iter().zip(&person_of) {
            if let Some(all) = person.and_then(|person| binding.get_mut(people.find(person))) {
                all.bind(&event.signalled);
            }
        }
        for (event, person) in self.events.iter_mut().zip(&person_of) {
            if let Some(all) = person.and_then(|person| binding.get(people.find(person))) {
                event.signalled.bind(all);
                if all.child {
                    event.age = AgeClass::Child;
                }
            }
        }
    }

    /// Signals and what was stored earlier, put together.
    fn resolve(&self, event: &EventFacts, node: Node<'_>, around: Around<'_>) -> Resolved {
        let signalled = event.signalled.all;
        let stored = self.batch.stored;
        if stored.is_empty() {
            return Resolved { states: signalled, age: event.age, age_hidden: false };
        }
        let mut remembered: Vec<Remembered> = Vec::new();
        let mut add = |purpose: PurposeNo, stored| {
            if remembered.is_empty() {
                remembered.resize(self.policy.purposes.len(), Remembered::default());
            }
            if let Some(slot) = remembered.get_mut(usize::from(purpose.0)) {
                slot.add(stored);
            }
        };
        let mut failed = stored.recall_without_subject(&mut add).is_err();
        let mut age = event.age;
        for subject in self.subjects_of(event) {
            match stored.recall_with_age(&subject, &mut add) {
                Ok(known) if event.age == AgeClass::Unknown => age = younger(age, known),
                Ok(_) => {}
                Err(_) => failed = true,
            }
        }
        let age_hidden = failed && event.age == AgeClass::Unknown;
        if remembered.is_empty() && !failed {
            return Resolved { states: signalled, age, age_hidden };
        }
        let event_ms = event_time_ms(self.batch.format, node, around);
        let mut states = ConsentStates::default();
        for (number, _) in self.policy.numbered_purposes() {
            let mut remembered = remembered.get(usize::from(number.0)).copied().unwrap_or_default();
            remembered.unavailable = failed;
            let granted_at = event.signalled.granted_at(number, event_ms).map(|at| at.min(self.batch.received_ms));
            states.say(number, remembered.resolve(signalled.of(number), granted_at));
        }
        Resolved { states, age, age_hidden }
    }
}

/// What an event's person chose, and how old the person is.
struct Resolved {
    states: ConsentStates,
    age: AgeClass,
    /// The store did not say how old, and it may have known a child.
    age_hidden: bool,
}

/// Of what is stored under several ids of a person, a child's age counts.
const fn younger(known: AgeClass, stored: Option<AgeClass>) -> AgeClass {
    match (known, stored) {
        (AgeClass::Child, _) | (_, Some(AgeClass::Child)) => AgeClass::Child,
        (AgeClass::Adult, _) | (_, Some(AgeClass::Adult)) => AgeClass::Adult,
        (AgeClass::Unknown, _) => AgeClass::Unknown,
    }
}

fn trimmed(id: Cow<'_, str>) -> Cow<'_, str> {
    match id {
        Cow::Borrowed(id) => Cow::Borrowed(id.trim()),
        Cow::Owned(id) => Cow::Owned(id.trim().to_owned()),
    }
}

/// What the events of a request are judged by.
struct Judge<'a> {
    policy: &'a Policy,
    place: PlaceNo,
    memory: Memory,
    /// What is permitted to each audience, for the event at hand.
    permitted: Vec<PurposeSet>,
    /// By age class, as far as needed.
    grounds: [Option<Grounds>; 3],
    key: VerdictKey,
    last: Option<Arc<Verdict>>,
}

impl<'a> Judge<'a> {
    fn of(policy: &'a Policy, batch: &Batch<'_>) -> Self {
        let permitted = Vec::with_capacity(policy.destinations.len());
        let key = VerdictKey { contract: ContractNo(0), place: batch.place, age: batch.age, permitted };
        let (place, memory) = (batch.place, batch.memory);
        let permitted = Vec::with_capacity(policy.audiences.len());
        Self { policy, place, memory, permitted, grounds: [None; 3], key, last: None }
    }

    fn decide(&mut self, facts: &Facts<'_>, event: &EventFacts, node: Node<'_>, around: Around<'_>) -> Decision {
        let Resolved { states: resolved, mut age, age_hidden } = facts.resolve(event, node, around);
        let to = |audience| resolved.and(event.signalled.to(audience)).and(facts.around.to(audience));
        self.permit(to, age);
        if age_hidden {
            self.permit_whatever_the_age(to);
            age = AgeClass::Child;
        }
        let outcome = match &event.contract {
            Ok(contract) => Outcome::Ruled(self.verdict(*contract, age)),
            Err(outcome) => outcome.clone(),
        };
        let refused = event.signalled.all.refused();
        let refusal = (!refused.is_empty()).then(|| {
            let subjects = facts.subjects_of(event).map(Cow::into_owned).collect();
            Box::new(Refusal { purposes: refused, subjects })
        });
        let publishable = self.permitted_to(AudienceNo::PUBLIC);
        Decision { outcome, consent: resolved.and(self.policy.audiences.strictest(to)), refusal, publishable }
    }

    fn permitted_to(&self, audience: AudienceNo) -> PurposeSet {
        self.permitted.get(usize::from(audience.0)).copied().unwrap_or_default()
    }

    /// What is permitted to each audience.
    fn permit(&mut self, to: impl Fn(AudienceNo) -> ConsentStates, age: AgeClass) {
        let grounds = self.grounds(age);
        self.permitted.clear();
        self.permitted.extend(self.policy.audiences.iter().map(|(audience, _)| to(audience).permit(grounds)));
    }

    /// What is permitted where the store hides whether the person is a child: what every age
    /// permits, and nothing where a rule could let more leave of a child than of an adult.
    fn permit_whatever_the_age(&mut self, to: impl Fn(AudienceNo) -> ConsentStates) {
        let grounds = self.grounds(AgeClass::Child);
        let no_milder = self.policy.rules.iter().all(Rule::is_no_milder_to_children);
        for ((audience, _), permitted) in self.policy.audiences.iter().zip(&mut self.permitted) {
            let of_a_child = if no_milder { to(audience).permit(grounds) } else { PurposeSet::default() };
            *permitted = permitted.and(of_a_child);
        }
    }

    fn grounds(&mut self, age: AgeClass) -> Grounds {
        let compile = || self.policy.grounds(self.place, age, self.memory);
        let slot = match age {
            AgeClass::Adult => &mut self.grounds[0],
            AgeClass::Child => &mut self.grounds[1],
            AgeClass::Unknown => &mut self.grounds[2],
        };
        *slot.get_or_insert_with(compile)
    }

    /// The verdict on these facts; neighbouring events mostly have the same.
    fn verdict(&mut self, contract: ContractNo, age: AgeClass) -> Arc<Verdict> {
        (self.key.contract, self.key.age) = (contract, age);
        self.key.permitted.clear();
        for destination in &self.policy.destinations {
            let permitted = self.permitted_to(destination.audience).and(destination.purposes);
            self.key.permitted.push(permitted);
        }
        match &self.last {
            Some(last) if last.key == self.key => Arc::clone(last),
            _ => Arc::clone(self.last.insert(self.policy.verdict(&self.key))),
        }
    }
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

/// The event's own idea of when it happened, in milliseconds since 1970.
fn event_time_ms(format: Format, event: Node<'_>, around: Around<'_>) -> Option<i64> {
    let member = match format {
        Format::Segment => "timestamp",
        Format::RudderStack if event.get("timestamp").is_none() => "originalTimestamp",
        Format::RudderStack => "timestamp",
        Format::CloudEvents => "time",
        Format::Ga4 => {
            // One time for all events of a request, unless an event has its own.
            let mut holders = std::iter::once(event).chain(around.iter());
            return holders.find_map(|holder| holder.get("timestamp_micros")).and_then(micros_ms);
        }
        Format::Snowplow => return event.get("dtm")?.text()?.parse().ok(),
        Format::Otlp => {
            return ["timeUnixNano", "observedTimeUnixNano"].iter().find_map(|name| nanos_as_ms(event, name));
        }
        Format::Json | Format::Ndjson => return None,
    };
    let text = event.get(member)?.text()?;
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}

/// Microseconds since 1970, a number or its text, in milliseconds.
fn micros_ms(written: Node<'_>) -> Option<i64> {
    let text = match written.kind() {
        Kind::String => written.text()?,
        Kind::Number => std::str::from_utf8(written.raw()).ok()?.into(),
        _ => return None,
    };
    text.parse::<i64>().ok().map(|micros| micros.div_euclid(1_000))
}

/// A member that counts nanoseconds since 1970, as text or number; 0 is no time.
fn nanos_as_ms(event: Node<'_>, member: &str) -> Option<i64> {
    let written = event.get(member)?;
    let text = written.text().or_else(|| std::str::from_utf8(written.raw()).ok().map(Cow::Borrowed))?;
    let nanos: u64 = text.parse().ok().filter(|nanos| *nanos > 0)?;
    i64::try_from(nanos / 1_000_000).ok()
}

/// The scalar text at a member path of an event, or of what its batch shares.
/// Where `[k=v]` chooses several elements there is none.
#[must_use]
pub fn value_at<'a>(path: &Path, event: Node<'a>, around: Around<'a>) -> Option<Cow<'a, str>> {
    let follow = |root: Node<'a>| {
        path.steps.iter().try_fold(root, |node, step| match step {
            Step::Key(name) => node.get(name),
            Step::Where { key, equals } => {
                let mut all = chosen(node, key, equals);
                all.next().filter(|_| all.next().is_none())
            }
            Step::AnyKey | Step::Element => None,
        })
    };
    let node = follow(event).or_else(|| around.iter().find_map(follow))?;
    match node.kind() {
        privet_json::Kind::String => node.text(),
        privet_json::Kind::Number | privet_json::Kind::Bool => std::str::from_utf8(node.raw()).ok().map(Into::into),
        _ => None,
    }
}
