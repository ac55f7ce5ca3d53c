//! Proof that a category never leaves, or a request with which it does.
//!
//! Everything a verdict depends on is finite: contracts, jurisdictions, age
//! classes, and what a request can say about consent. So the proof is a look at
//! every case; cases that permit the same purposes are one. What a request can
//! say is enumerated by signal, not by state: two purposes granted by one
//! category cannot be told apart by any request, and are not here.
//!
//! Not here: what people write into free text, and what stands in a URL. Where
//! such a field is kept or scrubbed and may contain the category, the answer is
//! that it may leave.

mod canary;
mod sample;
mod signals;

use std::collections::HashSet;

use crate::action::{Action, ActionKind};
use crate::consent::{ConsentStates, Memory};
use crate::exposure::Part;
use crate::policy::{AgeClass, ContractNo, Destination, DestinationNo, Field, PlaceNo, Policy, PurposeNo, PurposeSet};
use crate::sweep::{AGES, Sweep};
use crate::taxonomy::covers;
use crate::verdict::{Because, Circumstances};

pub use canary::{Canary, canaries};
pub use sample::Sample;
use signals::{Said, assignments};

/// What must never leave.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// A data category; its descendants are meant too.
    pub never: &'a str,
    /// To this destination only.
    pub to: Option<DestinationNo>,
    /// For this purpose and its descendants only.
    pub purpose: Option<&'a str>,
    /// Unless the person agreed to this purpose or one below it.
    pub unless_consent: Option<&'a str>,
    /// Forms in which it may leave.
    pub allow: &'a [ActionKind],
    /// When a counterexample is to be sent, in milliseconds since 1970: consent strings tell their time.
    pub at_ms: i64,
}

/// One way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WayOut {
    /// The contract.
    pub contract: ContractNo,
    /// The field's place in the contract.
    pub field: usize,
    /// Value or name.
    pub part: Part,
    /// Where to.
    pub destination: DestinationNo,
    /// The purpose that lets it out.
    pub purpose: Option<PurposeNo>,
    /// Where the person is.
    pub place: PlaceNo,
    /// How old the person is.
    pub age: AgeClass,
    /// In what form.
    pub action: Action,
    /// The rule behind it.
    pub because: Because,
}

/// The answer to a [`Question`].
#[derive(Debug)]
pub struct Answer {
    /// How many cases were looked at.
    pub cases: u64,
    /// Fields of the category that leave, with a request for the first of them.
    pub leaves: Vec<WayOut>,
    /// A request with which the first of [`Self::leaves`] leaves.
    pub counterexample: Option<Sample>,
    /// Fields that leave and may contain the category.
    pub may_leave: Vec<WayOut>,
    /// Fields of the category that leave in a form that was allowed.
    pub assumed: Vec<WayOut>,
}

impl Answer {
    /// Whether it never leaves.
    #[must_use]
    pub const fn is_proof(&self) -> bool {
        self.leaves.is_empty() && self.may_leave.is_empty()
    }
}

/// Looks at every case.
#[must_use]
pub fn prove(policy: &Policy, question: &Question<'_>) -> Answer {
    let mut answer =
        Answer { cases: 0, leaves: Vec::new(), counterexample: None, may_leave: Vec::new(), assumed: Vec::new() };
    let mut sweep = Sweep::of(policy);
    let watched = watched(policy, question);
    let requests: Vec<Request> =
        assignments(policy, question.unless_consent).into_iter().map(|said| Request::of(policy, said)).collect();
    for place in policy.place_numbers() {
        for age in AGES {
            for (permitted, said) in permitted_sets(policy, &requests, place, age) {
                for (destination, purposes) in question.asked_about(policy, &permitted) {
                    answer.cases += policy.contracts.len() as u64;
                    for watched in &watched {
                        let at = Circumstances { contract: watched.contract, destination, place, age };
                        let purposes = purposes.and(policy.contract(watched.contract).purposes);
                        if let Some(way) = watched.way_out(purposes, at, &mut sweep) {
                            answer.take(policy, question, way, watched.concern, said);
                        }
                    }
                }
            }
        }
    }
    answer
}

impl Question<'_> {
    /// Every destination that is asked about, with those of its permitted purposes that are.
    fn asked_about(&self, policy: &Policy, permitted: &[PurposeSet]) -> Vec<(DestinationNo, PurposeSet)> {
        let wanted =
            |purpose: &PurposeNo| self.purpose.is_none_or(|wanted| covers(wanted, policy.purpose_name(*purpose)));
        let purposes =
            |permitted: &PurposeSet| permitted.iter().filter(wanted).fold(PurposeSet::default(), PurposeSet::with);
        let destinations = policy.destination_numbers().zip(permitted.iter().map(purposes));
        destinations.filter(|(number, set)| !set.is_empty() && self.to.is_none_or(|to| to == *number)).collect()
    }
}

/// How a field matters to a question.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Concern {
    /// It is declared as the category or below it.
    Declared,
    /// It may contain it.
    Open,
}

/// A part of a field that matters.
struct Watched<'p> {
    contract: ContractNo,
    number: usize,
    field: &'p Field,
    part: Part,
    concern: Concern,
}

fn watched<'p>(policy: &'p Policy, question: &Question<'_>) -> Vec<Watched<'p>> {
    let concern = |field: &Field, part: Part| {
        let held = |held: &String| covers(held, question.never) || covers(question.never, held);
        let declared = part.category(field).is_some_and(|category| covers(question.never, category));
        let open = part == Part::Value && field.is_open() && field.may_contain.iter().any(held);
        if declared { Some(Concern::Declared) } else { open.then_some(Concern::Open) }
    };
    let mut all = Vec::new();
    for contract in policy.contract_numbers() {
        let fields = policy.contract(contract).fields.iter().enumerate();
        for (number, field) in fields.filter(|(_, field)| !field.holds_containers_only()) {
            for part in [Part::Value, Part::Name] {
                let watched = |concern| Watched { contract, number, field, part, concern };
                all.extend(concern(field, part).map(watched));
            }
        }
    }
    all
}

impl<'p> Watched<'p> {
    /// What becomes of it here; `None` where it does not leave in a way that matters.
    fn way_out(&self, purposes: PurposeSet, at: Circumstances, sweep: &mut Sweep<'p>) -> Option<WayOut> {
        let ruling = sweep.ruling_on(self.part.category(self.field), self.field.role, purposes, at);
        let matters = match self.concern {
            Concern::Declared => !matches!(ruling.action, Action::Drop | Action::Redact),
            Concern::Open => self.field.tells_more(&ruling.action),
        };
        matters.then_some(WayOut {
            contract: at.contract,
            field: self.number,
            part: self.part,
            destination: at.destination,
            purpose: ruling.purpose,
            place: at.place,
            age: at.age,
            action: ruling.action,
            because: ruling.because,
        })
    }
}

/// A request as far as consent goes.
struct Request {
    said: Said,
    /// The state of each purpose for each destination.
    states: Vec<ConsentStates>,
}

impl Request {
    fn of(policy: &Policy, said: Said) -> Self {
        let signalled = said.signalled(policy);
        let to = |destination: &Destination| signalled.all.and(signalled.to(destination.audience));
        let states = policy.destinations.iter().map(to).collect();
        Self { said, states }
    }
}

/// Every set of permitted purposes, by destination, that a request can bring
/// about here, with what such a request says.
fn permitted_sets<'r>(
    policy: &Policy,
    requests: &'r [Request],
    place: PlaceNo,
    age: AgeClass,
) -> Vec<(Vec<PurposeSet>, &'r Said)> {
    let grounds = policy.grounds(place, age, Memory::Lasting);
    let mut known = HashSet::new();
    let mut sets = Vec::new();
    for Request { said, states } in requests {
        let destinations = policy.destinations.iter().zip(states);
        let permitted: Vec<PurposeSet> =
            destinations.map(|(destination, states)| states.permit(grounds).and(destination.purposes)).collect();
        if known.insert(permitted.clone()) {
            sets.push((permitted, said));
        }
    }
    sets
}

impl Answer {
    /// Takes one more way out; the first of a kind stands for all that differ in circumstances only.
    fn take(&mut self, policy: &Policy, question: &Question<'_>, way: WayOut, concern: Concern, said: &Said) {
        let allowed = question.allow.contains(&way.action.kind());
        let list = match concern {
            _ if allowed => &mut self.assumed,
            Concern::Open => &mut self.may_leave,
            Concern::Declared => &mut self.leaves,
        };
        let what = |way: &WayOut| (way.contract, way.field, way.part, way.destination);
        if list.iter().any(|known| what(known) == what(&way) && known.action == way.action) {
            return;
        }
        if !allowed && concern == Concern::Declared {
            self.counterexample.get_or_insert_with(|| Sample::of(policy, &way, said, question.at_ms));
        }
        list.push(way);
    }
}
