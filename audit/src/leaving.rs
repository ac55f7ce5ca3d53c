//! What leaves in a class: the decision vector of a policy that was compiled here.
//!
//! Promise: nothing is read from what a class document says of fields; its facts (contract,
//! jurisdiction, age, permitted purposes) go through the policy again. Free text and URLs may hold
//! more than their category, and are told apart as such.

use privet_policy::Policy;
use privet_policy::action::Action;
use privet_policy::exposure::Part;
use privet_policy::policy::{DestinationNo, Field, PurposeSet};
use privet_policy::taxonomy::covers;
use privet_policy::verdict::{Ruling, Treatment, VerdictKey};
use serde::Serialize;

/// A part of a field that leaves for a destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Leaving {
    /// The destination.
    pub destination: String,
    /// The field, its member names marked so.
    pub field: String,
    /// Its data category, if it has one.
    pub category: Option<String>,
    /// `declared`, or `may_contain` where the value may hold more than its category.
    pub concern: Concern,
    /// In what form.
    pub form: String,
    /// The rule behind it.
    pub rule: String,
    /// The purpose it leaves for.
    pub purpose: String,
    #[serde(skip)]
    action: Action,
}

/// Why a field counts as data of a category.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Concern {
    /// It is declared as the category or below it.
    Declared,
    /// People's own words, or a URL: it may contain it.
    MayContain,
}

/// Which of what leaves is asked about; nothing given means everything.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// This data category and those below it.
    pub category: Option<String>,
    /// This field.
    pub field: Option<String>,
    /// To this destination.
    pub destination: Option<String>,
    /// For this purpose and those below it.
    pub purpose: Option<String>,
}

impl Leaving {
    /// What happens to it.
    #[must_use]
    pub const fn action(&self) -> &Action {
        &self.action
    }
}

/// What leaves of events with these facts, as far as it is wanted.
#[must_use]
pub fn leaving(policy: &Policy, facts: &VerdictKey, wanted: &Wanted) -> Vec<Leaving> {
    let mut facts = facts.clone();
    for (number, permitted) in policy.destination_numbers().zip(&mut facts.permitted) {
        *permitted = wanted.purposes(policy, number, *permitted);
    }
    let verdict = policy.verdict(&facts);
    let fields = &policy.contract(facts.contract).fields;
    let treated = policy.destination_numbers().filter_map(|number| Some((number, verdict.treatment(number)?)));
    treated.flat_map(|(number, treatment)| of_destination(policy, number, fields, treatment, wanted)).collect()
}

impl Wanted {
    /// Of the permitted purposes, those that are asked about.
    fn purposes(&self, policy: &Policy, number: DestinationNo, permitted: PurposeSet) -> PurposeSet {
        let name = &policy.destination(number).name;
        if self.destination.as_ref().is_some_and(|wanted| wanted != name) {
            return PurposeSet::default();
        }
        let Some(wanted) = &self.purpose else { return permitted };
        let asked = permitted.iter().filter(|purpose| covers(wanted, policy.purpose_name(*purpose)));
        asked.fold(PurposeSet::default(), PurposeSet::with)
    }

    /// Why a part of a field counts, if it does.
    fn concern(&self, field: &Field, part: Part, action: &Action) -> Option<Concern> {
        if self.field.as_ref().is_some_and(|wanted| *wanted != field.path.to_string()) {
            return None;
        }
        let Some(wanted) = &self.category else { return Some(Concern::Declared) };
        if part.category(field).is_some_and(|category| covers(wanted, category)) {
            return Some(Concern::Declared);
        }
        let held = |held: &String| covers(held, wanted) || covers(wanted, held);
        let open = part == Part::Value && field.tells_more(action) && field.may_contain.iter().any(held);
        open.then_some(Concern::MayContain)
    }
}

fn of_destination(
    policy: &Policy,
    number: DestinationNo,
    fields: &[Field],
    treatment: &Treatment,
    wanted: &Wanted,
) -> Vec<Leaving> {
    let mut all = Vec::new();
    for ((field, ruling), key_ruling) in fields.iter().zip(&treatment.rulings).zip(&treatment.key_rulings) {
        let parts = [(Part::Value, Some(ruling)), (Part::Name, key_ruling.as_ref())];
        let parts = parts.into_iter().filter_map(|(part, ruling)| Some((part, ruling?)));
        all.extend(parts.filter_map(|(part, ruling)| of_part(policy, number, field, part, ruling, wanted)));
    }
    all
}

fn of_part(
    policy: &Policy,
    number: DestinationNo,
    field: &Field,
    part: Part,
    ruling: &Ruling,
    wanted: &Wanted,
) -> Option<Leaving> {
    // A constant of its type tells nothing of the value.
    if matches!(ruling.action, Action::Drop | Action::Redact) {
        return None;
    }
    Some(Leaving {
        destination: policy.destination(number).name.clone(),
        field: part.label(&field.path.to_string()),
        category: part.category(field).map(str::to_owned),
        concern: wanted.concern(field, part, &ruling.action)?,
        form: ruling.action.to_string(),
        rule: policy.reason(ruling.because),
        purpose: ruling.purpose.map(|purpose| policy.purpose_name(purpose).to_owned()).unwrap_or_default(),
        action: ruling.action.clone(),
    })
}
