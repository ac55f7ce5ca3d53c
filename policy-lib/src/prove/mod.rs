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

mod sample;
mod signals;

use std::collections::HashSet;

use crate::action::{Action, ActionKind};
use crate::consent::Memory;
use crate::exposure::Part;
use crate::policy::{AgeClass, ContractNo, DestinationNo, Field, PlaceNo, Policy, PurposeNo, PurposeSet};
use crate::sweep::{AGES, Sweep};
use crate::taxonomy::covers;
use crate::verdict::{Because, Circumstances, Ruling};

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
    let mut prover = Prover {
        policy,
        question,
        sweep: Sweep::of(policy),
        watched: watched(policy, question),
        answer: Answer {
            cases: 0,
            leaves: Vec::new(),
            counterexample: None,
            may_leave: Vec::new(),
            assumed: Vec::new(),
        },
    };
    for place in policy.place_numbers() {
        for age in AGES {
            for (permitted, said) in permitted_sets(policy, question, place, age) {
                prover.case(place, age, &permitted, &said);
            }
        }
    }
    prover.answer
}

/// How a field matters to a question.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Concern {
    /// It is declared as the category or below it.
    Declared,
    /// It may contain it.
    Open,
}

/// The fields of each contract that matter.
type Watched<'p> = Vec<Vec<(usize, Part, Concern, &'p Field, Option<&'p str>)>>;

fn watched<'p>(policy: &'p Policy, question: &Question<'_>) -> Watched<'p> {
    let is_it = |category: Option<&str>| category.is_some_and(|category| covers(question.never, category));
    let may_hold = |field: &Field| {
        field.is_open()
            && field.may_contain.iter().any(|held| covers(held, question.never) || covers(question.never, held))
    };
    let of_contract = |fields: &'p [Field]| {
        let mut watched = Vec::new();
        for (number, field) in fields.iter().enumerate().filter(|(_, field)| !field.holds_containers_only()) {
            if is_it(field.category.as_deref()) {
                watched.push((number, Part::Value, Concern::Declared, field, field.category.as_deref()));
            } else if may_hold(field) {
                watched.push((number, Part::Value, Concern::Open, field, field.category.as_deref()));
            }
            if is_it(field.key_category.as_deref()) {
                watched.push((number, Part::Name, Concern::Declared, field, field.key_category.as_deref()));
            }
        }
        watched
    };
    policy.contracts.iter().map(|contract| of_contract(&contract.fields)).collect()
}

/// Every set of permitted purposes, by destination, that a request can bring
/// about here, with what such a request says.
fn permitted_sets(
    policy: &Policy,
    question: &Question<'_>,
    place: PlaceNo,
    age: AgeClass,
) -> Vec<(Vec<PurposeSet>, Said)> {
    let grounds = policy.grounds(place, age, Memory::Lasting);
    let mut known = HashSet::new();
    let mut sets = Vec::new();
    for said in assignments(policy, question.unless_consent) {
        let permitted: Vec<PurposeSet> = policy
            .destinations
            .iter()
            .map(|destination| {
                let opted_out = policy.opted_out(destination.recipient, &said);
                said.states(policy).and(opted_out).permit(grounds).and(destination.purposes)
            })
            .collect();
        if known.insert(permitted.clone()) {
            sets.push((permitted, said));
        }
    }
    sets
}

struct Prover<'p, 'q> {
    policy: &'p Policy,
    question: &'q Question<'q>,
    sweep: Sweep<'p>,
    watched: Watched<'p>,
    answer: Answer,
}

impl<'p> Prover<'p, '_> {
    fn case(&mut self, place: PlaceNo, age: AgeClass, permitted: &[PurposeSet], said: &Said) {
        let policy = self.policy;
        for (number, destination) in policy.destination_numbers().zip(permitted) {
            let purposes = self.asked_about(*destination);
            if purposes.is_empty() || self.question.to.is_some_and(|to| to != number) {
                continue;
            }
            for contract in 0..policy.contracts.len() {
                let contract = ContractNo(u16::try_from(contract).unwrap_or(u16::MAX));
                let at = Circumstances { contract, destination: number, place, age };
                self.answer.cases += 1;
                self.contract(at, purposes, said);
            }
        }
    }

    fn asked_about(&self, permitted: PurposeSet) -> PurposeSet {
        let Some(wanted) = self.question.purpose else { return permitted };
        let asked = permitted.iter().filter(|purpose| covers(wanted, self.policy.purpose_name(*purpose)));
        asked.fold(PurposeSet::default(), PurposeSet::with)
    }

    fn contract(&mut self, at: Circumstances, purposes: PurposeSet, said: &Said) {
        let watched = self.watched.get(usize::from(at.contract.0)).cloned().unwrap_or_default();
        for (field, part, concern, declared, category) in watched {
            let ruling = self.finest(category, declared, purposes, at);
            let way = WayOut {
                contract: at.contract,
                field,
                part,
                destination: at.destination,
                purpose: ruling.purpose,
                place: at.place,
                age: at.age,
                action: ruling.action,
                because: ruling.because,
            };
            self.judge(way, concern, said);
        }
    }

    /// What leaves of a field for these purposes together.
    fn finest(
        &mut self,
        category: Option<&'p str>,
        field: &'p Field,
        purposes: PurposeSet,
        at: Circumstances,
    ) -> Ruling {
        let torn = Ruling { action: Action::Drop, because: Because::Incomparable, purpose: None };
        let mut results = Vec::new();
        for purpose in purposes.iter() {
            match self.sweep.within(purpose, category, field.role, at) {
                Ok(ruling) => results.extend(ruling.clone()),
                Err(_) => results.push(torn.clone()),
            }
        }
        let finest = self.policy.extreme(results, std::cmp::Ordering::Greater, at.destination);
        finest.unwrap_or(Some(torn)).unwrap_or(Ruling::DEFAULT_DROP)
    }

    fn judge(&mut self, way: WayOut, concern: Concern, said: &Said) {
        let kind = way.action.kind();
        let gone = matches!(way.action, Action::Drop | Action::Redact);
        let readable = matches!(way.action, Action::Keep | Action::Scrub(_));
        let allowed = self.question.allow.contains(&kind);
        let list = match concern {
            _ if gone => return,
            Concern::Open if !readable => return,
            _ if allowed => &mut self.answer.assumed,
            Concern::Open => &mut self.answer.may_leave,
            Concern::Declared => &mut self.answer.leaves,
        };
        let same = |known: &WayOut| {
            (known.contract, known.field, known.part, known.destination)
                == (way.contract, way.field, way.part, way.destination)
                && known.action == way.action
        };
        if list.iter().any(same) {
            return;
        }
        if concern == Concern::Declared && !allowed && self.answer.counterexample.is_none() {
            self.answer.counterexample = Some(Sample::of(self.policy, &way, said));
        }
        let list = match (concern, allowed) {
            (_, true) => &mut self.answer.assumed,
            (Concern::Open, false) => &mut self.answer.may_leave,
            (Concern::Declared, false) => &mut self.answer.leaves,
        };
        list.push(way);
    }
}
