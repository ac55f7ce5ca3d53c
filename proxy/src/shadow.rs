//! A policy in shadow: judged on the same events as the one that is enforced, and
//! never obeyed.
//!
//! Promise: nothing that leaves, is answered, recorded or published depends on it;
//! its panics end with the request's comparison. What is kept are counts by names
//! that the two policies declare, of bounded size: no value, and no name that a
//! sender chose.
//!
//! An event's treatment for a destination is compared field by field, by coarseness
//! ([`Action::compare`]); destinations, contracts and fields are matched by name. A
//! pair of verdicts is compared once, so an event costs its decision and a look-up.
//!
//! Not here: what exposure and `privet diff` say without events; what the events of a
//! request share is compared as each event alone would have it.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering as AtomicOrdering};
use std::sync::{Arc, PoisonError, RwLock};

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use privet_policy::action::Action;
use privet_policy::decide::{Decision, Outcome};
use privet_policy::exposure::Part;
use privet_policy::path::{Path, Step};
use privet_policy::policy::{ContractNo, DestinationNo, Field, Policy};
use privet_policy::verdict::{Ruling, Treatment, Verdict};
use serde_json::{Map, Value, json};

use crate::metrics::{Label as _, Metrics, ShadowEffect};

/// More pairs of verdicts than this are compared again each time.
const PAIRS_MAX: usize = 2_048;
/// More different sets of changed fields than this are counted without their fields.
const LISTS_MAX: usize = 512;

/// What there is to see of the policy in shadow; shared by whoever loads and whoever asks.
#[derive(Default)]
pub struct Board(ArcSwapOption<Shadow>);

impl Board {
    /// Shows these counts from now on.
    pub fn show(&self, shadow: Option<Arc<Shadow>>) {
        self.0.store(shadow);
    }

    /// The counts as JSON; `None` where no policy is in shadow.
    #[must_use]
    pub fn json(&self) -> Option<Value> {
        self.0.load().as_ref().map(|shadow| shadow.json())
    }
}

/// A policy in shadow beside the one that is enforced, and what came of comparing them.
pub struct Shadow {
    enforced: Arc<Policy>,
    policy: Arc<Policy>,
    destinations: Vec<Facing>,
    since: Timestamp,
    metrics: Arc<Metrics>,
    events: [AtomicU64; ShadowEffect::ALL.len()],
    /// Read by every request, written when a pair is new.
    kept: RwLock<Kept>,
}

/// A destination as both policies number it.
struct Facing {
    name: String,
    enforced: Option<DestinationNo>,
    shadow: Option<DestinationNo>,
}

#[derive(Default)]
struct Kept {
    pairs: HashMap<(Side, Side), Arc<Compared>>,
    rows: Vec<Arc<Row>>,
}

/// An outcome by what tells it apart within its policy.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Side {
    Ruled(u32),
    Invalid(ContractNo),
    Nothing,
}

impl Side {
    fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Ruled(verdict) => Self::Ruled(verdict.number),
            Outcome::Invalid(contract) => Self::Invalid(*contract),
            Outcome::Unmatched | Outcome::Malformed => Self::Nothing,
        }
    }
}

/// What a pair of outcomes comes to.
struct Compared {
    effect: ShadowEffect,
    /// One for each destination.
    rows: Vec<Arc<Row>>,
}

/// Events that came out alike.
struct Row {
    what: Difference,
    events: AtomicU64,
}

/// What came out.
#[derive(Clone, PartialEq, Eq)]
struct Difference {
    contract: Option<String>,
    destination: String,
    effect: ShadowEffect,
    fields: Vec<FieldChange>,
    /// Whether there were fields for which no room was left.
    unlisted: bool,
}

/// A declared field that would leave in another form.
#[derive(Clone, PartialEq, Eq)]
struct FieldChange {
    field: String,
    part: Part,
    from: Action,
    to: Action,
}

/// What the policy in shadow decided of a request; nothing where it panicked.
pub struct Judged(Option<Vec<Decision>>);

impl Shadow {
    /// Puts a policy in shadow beside one that is enforced, with all counts at zero.
    #[must_use]
    pub fn beside(enforced: Arc<Policy>, policy: Arc<Policy>, since: Timestamp, metrics: Arc<Metrics>) -> Self {
        let destinations = facing(&enforced, &policy);
        let (events, kept) = (Default::default(), RwLock::default());
        Self { enforced, policy, destinations, since, metrics, events, kept }
    }

    /// Whether these counts are about these two.
    #[must_use]
    pub fn is_of(&self, enforced: &Arc<Policy>, policy: &Arc<Policy>) -> bool {
        Arc::ptr_eq(&self.enforced, enforced) && Arc::ptr_eq(&self.policy, policy)
    }

    /// Has the policy in shadow decide. What goes wrong in there ends here.
    #[must_use]
    pub fn judge(&self, decide: impl FnOnce(&Policy) -> Vec<Decision>) -> Judged {
        Judged(catch_unwind(AssertUnwindSafe(|| decide(&self.policy))).ok())
    }

    /// Compares what both decided of the same events, and counts.
    pub fn count(&self, enforced: &[Decision], judged: &Judged) {
        let counted = judged.0.as_ref().map(|shadow| {
            // The counts are numbers: one that stopped half way is at worst one short.
            catch_unwind(AssertUnwindSafe(|| self.count_pairs(enforced, shadow)))
        });
        if !matches!(counted, Some(Ok(()))) {
            self.add(ShadowEffect::Failed, enforced.len() as u64);
        }
    }

    /// Neighbouring events mostly come out alike, so they are added together.
    fn count_pairs(&self, enforced: &[Decision], shadow: &[Decision]) {
        let mut pairs = enforced.iter().zip(shadow).map(|(ours, theirs)| (&ours.outcome, &theirs.outcome)).peekable();
        while let Some((ours, theirs)) = pairs.next() {
            let key = (Side::of(ours), Side::of(theirs));
            let mut events = 1;
            while pairs.next_if(|(ours, theirs)| (Side::of(ours), Side::of(theirs)) == key).is_some() {
                events += 1;
            }
            let compared = self.compared(key, ours, theirs);
            for row in &compared.rows {
                row.events.fetch_add(events, AtomicOrdering::Relaxed);
            }
            self.add(compared.effect, events);
        }
    }

    fn add(&self, effect: ShadowEffect, events: u64) {
        if let Some(sum) = self.events.get(effect.index()) {
            sum.fetch_add(events, AtomicOrdering::Relaxed);
        }
        self.metrics.shadow_events.of(effect).increment(events);
    }

    fn compared(&self, key: (Side, Side), ours: &Outcome, theirs: &Outcome) -> Arc<Compared> {
        let known = self.kept.read().unwrap_or_else(PoisonError::into_inner).pairs.get(&key).cloned();
        known.unwrap_or_else(|| self.compare(key, ours, theirs))
    }

    fn compare(&self, key: (Side, Side), ours: &Outcome, theirs: &Outcome) -> Arc<Compared> {
        let (ours, theirs) = (Half::of(&self.enforced, ours), Half::of(&self.policy, theirs));
        let contract = ours.contract().or(theirs.contract()).map(str::to_owned);
        let found: Vec<Difference> = self
            .destinations
            .iter()
            .filter(|_| ours.ruled.is_some() || theirs.ruled.is_some())
            .map(|to| difference(contract.clone(), to, ours.treatment(to.enforced), theirs.treatment(to.shadow)))
            .collect();
        let effect = found.iter().map(|found| found.effect).fold(ShadowEffect::Same, together);
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        let rows = found.into_iter().map(|found| kept.row(found)).collect();
        let compared = Arc::new(Compared { effect, rows });
        if kept.pairs.len() < PAIRS_MAX {
            kept.pairs.insert(key, Arc::clone(&compared));
        }
        compared
    }

    /// All counts since both policies are beside each other.
    #[must_use]
    pub fn json(&self) -> Value {
        // Whoever reads slowly must not keep a request waiting for the lock.
        let rows = self.kept.read().unwrap_or_else(PoisonError::into_inner).rows.clone();
        let mut groups: BTreeMap<(Option<&str>, &str), Group<'_>> = BTreeMap::new();
        for row in &rows {
            let events = row.events.load(AtomicOrdering::Relaxed);
            let place = (row.what.contract.as_deref(), row.what.destination.as_str());
            groups.entry(place).or_default().add(&row.what, events);
        }
        let effects = ShadowEffect::ALL.iter().zip(&self.events);
        let events = effects.map(|(effect, sum)| (effect.value(), sum.load(AtomicOrdering::Relaxed)));
        json!({
            "enforced": self.enforced.digest().to_string(),
            "shadow": self.policy.digest().to_string(),
            "since": self.since.to_string(),
            "events": events.collect::<BTreeMap<_, _>>(),
            "compared": groups.into_iter().map(|(place, group)| group.json(place)).collect::<Vec<_>>(),
        })
    }
}

/// Every destination of either policy, by name.
fn facing(enforced: &Policy, shadow: &Policy) -> Vec<Facing> {
    let number = |policy: &Policy, name: &str| {
        let mut numbers = policy.destination_numbers();
        numbers.find(|number| policy.destination(*number).name == name)
    };
    let both = enforced.destinations().iter().chain(shadow.destinations());
    let names: std::collections::BTreeSet<&str> = both.map(|destination| destination.name.as_str()).collect();
    let facing =
        |name: &str| Facing { name: name.to_owned(), enforced: number(enforced, name), shadow: number(shadow, name) };
    names.into_iter().map(facing).collect()
}

/// One policy's part of a comparison.
struct Half<'a> {
    policy: &'a Policy,
    contract: Option<ContractNo>,
    ruled: Option<&'a Verdict>,
}

/// What leaves for one destination: the fields and their treatment.
#[derive(Clone, Copy)]
struct Treated<'a> {
    fields: &'a [Field],
    treatment: &'a Treatment,
}

impl<'a> Half<'a> {
    fn of(policy: &'a Policy, outcome: &'a Outcome) -> Self {
        let (contract, ruled) = match outcome {
            Outcome::Ruled(verdict) => (Some(verdict.key.contract), Some(&**verdict)),
            Outcome::Invalid(contract) => (Some(*contract), None),
            Outcome::Unmatched | Outcome::Malformed => (None, None),
        };
        Self { policy, contract, ruled }
    }

    fn contract(&self) -> Option<&'a str> {
        self.contract.map(|contract| self.policy.contract(contract).name.as_str())
    }

    fn treatment(&self, destination: Option<DestinationNo>) -> Option<Treated<'a>> {
        let verdict = self.ruled?;
        let fields = &self.policy.contract(verdict.key.contract).fields;
        Some(Treated { fields, treatment: verdict.treatment(destination?)? })
    }
}

impl<'a> Treated<'a> {
    /// What happens to what a path names: by the field of this path, else by one whose `*` covers it.
    fn action(&self, path: &Path, part: Part) -> &'a Action {
        let same = |field: &Field| field.path == *path;
        let number = self.fields.iter().position(same).or_else(|| {
            let covering = |field: &Field| covers(&field.path, path);
            self.fields.iter().position(covering)
        });
        number.and_then(|number| self.ruling(number, part)).map_or(&Action::Drop, |ruling| &ruling.action)
    }

    fn ruling(&self, number: usize, part: Part) -> Option<&'a Ruling> {
        match part {
            Part::Value => self.treatment.rulings.get(number),
            Part::Name => self.treatment.key_rulings.get(number)?.as_ref(),
        }
    }
}

/// Whether every value that `narrow` names is one that `wide` names.
fn covers(wide: &Path, narrow: &Path) -> bool {
    let step = |(wide, narrow): (&Step, &Step)| match (wide, narrow) {
        (Step::AnyKey, Step::Key(_)) | (Step::Element, Step::Where { .. }) => true,
        (wide, narrow) => wide == narrow,
    };
    wide.origin == narrow.origin
        && wide.steps.len() == narrow.steps.len()
        && wide.steps.iter().zip(&narrow.steps).all(step)
}

fn difference(
    contract: Option<String>,
    to: &Facing,
    ours: Option<Treated<'_>>,
    theirs: Option<Treated<'_>>,
) -> Difference {
    let (effect, fields) = match (ours, theirs) {
        (None, None) => (ShadowEffect::Same, Vec::new()),
        (None, Some(_)) => (ShadowEffect::WouldLeave, Vec::new()),
        (Some(_), None) => (ShadowEffect::WouldNotLeave, Vec::new()),
        (Some(ours), Some(theirs)) => {
            let changes = changes(ours, theirs);
            (changes.iter().map(FieldChange::effect).fold(ShadowEffect::Same, together), changes)
        }
    };
    Difference { contract, destination: to.name.clone(), effect, fields, unlisted: false }
}

/// Every declared field that the two treat differently.
fn changes(ours: Treated<'_>, theirs: Treated<'_>) -> Vec<FieldChange> {
    let only_theirs = theirs.fields.iter().filter(|field| ours.fields.iter().all(|known| known.path != field.path));
    let mut changes = Vec::new();
    for field in ours.fields.iter().chain(only_theirs) {
        for part in [Part::Value, Part::Name] {
            let (from, to) = (ours.action(&field.path, part), theirs.action(&field.path, part));
            if from.compare(to) != Some(Ordering::Equal) {
                changes.push(FieldChange { field: field.path.to_string(), part, from: from.clone(), to: to.clone() });
            }
        }
    }
    changes
}

impl FieldChange {
    fn effect(&self) -> ShadowEffect {
        match self.to.compare(&self.from) {
            Some(Ordering::Less) => ShadowEffect::Tighter,
            Some(Ordering::Greater) => ShadowEffect::Looser,
            Some(Ordering::Equal) => ShadowEffect::Same,
            // Neither form can be made from the other.
            None => ShadowEffect::Mixed,
        }
    }
}

/// What two parts come to as a whole.
const fn together(one: ShadowEffect, other: ShadowEffect) -> ShadowEffect {
    match (one, other) {
        (ShadowEffect::Same, effect) | (effect, ShadowEffect::Same) => effect,
        (ShadowEffect::Tighter, ShadowEffect::Tighter) => ShadowEffect::Tighter,
        (ShadowEffect::Looser, ShadowEffect::Looser) => ShadowEffect::Looser,
        (ShadowEffect::WouldLeave, ShadowEffect::WouldLeave) => ShadowEffect::WouldLeave,
        (ShadowEffect::WouldNotLeave, ShadowEffect::WouldNotLeave) => ShadowEffect::WouldNotLeave,
        (ShadowEffect::Failed, _) | (_, ShadowEffect::Failed) => ShadowEffect::Failed,
        _ => ShadowEffect::Mixed,
    }
}

impl Kept {
    /// The row that counts this; a new one may have no room for its fields.
    fn row(&mut self, mut what: Difference) -> Arc<Row> {
        if let Some(known) = self.find(&what) {
            return known;
        }
        if self.rows.len() >= LISTS_MAX && !what.fields.is_empty() {
            what.fields.clear();
            what.unlisted = true;
            if let Some(known) = self.find(&what) {
                return known;
            }
        }
        let row = Arc::new(Row { what, events: AtomicU64::new(0) });
        self.rows.push(Arc::clone(&row));
        row
    }

    fn find(&self, what: &Difference) -> Option<Arc<Row>> {
        self.rows.iter().find(|row| row.what == *what).cloned()
    }
}

/// The rows of one contract and destination.
#[derive(Default)]
struct Group<'a> {
    effects: BTreeMap<&'static str, u64>,
    /// By field, part and change: the effect's word, and events.
    fields: BTreeMap<(&'a str, &'static str, String), (&'static str, u64)>,
    unlisted: u64,
}

impl<'a> Group<'a> {
    fn add(&mut self, what: &'a Difference, events: u64) {
        *self.effects.entry(what.effect.value()).or_default() += events;
        self.unlisted += if what.unlisted { events } else { 0 };
        for change in &what.fields {
            let how = format!("{} -> {}", change.from, change.to);
            let effect = match change.effect() {
                ShadowEffect::Mixed => "incomparable",
                effect => effect.value(),
            };
            let sum = self.fields.entry((&change.field, change.part.name(), how)).or_insert((effect, 0));
            sum.1 += events;
        }
    }

    fn json(self, (contract, destination): (Option<&str>, &str)) -> Value {
        let fields = self.fields.into_iter().map(|((field, part, change), (effect, events))| {
            json!({"field": field, "part": part, "change": change, "effect": effect, "events": events})
        });
        let effects: Map<String, Value> =
            self.effects.into_iter().map(|(effect, events)| (effect.to_owned(), events.into())).collect();
        json!({
            "contract": contract,
            "destination": destination,
            "events": effects,
            "fields": fields.collect::<Vec<_>>(),
            "events_without_fields": self.unlisted,
        })
    }
}

#[cfg(test)]
mod tests;
