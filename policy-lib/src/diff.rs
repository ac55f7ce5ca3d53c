//! What changes between two policies, in what leaves and not in what is written.
//!
//! The cells of both exposures are laid side by side: a contract's field, a
//! destination, a purpose, a jurisdiction, an age class. What newly leaves, in
//! more consent states or in a form that is not coarser, loosens; the reverse
//! tightens; another rule with the same effect is neutral. What exposure does
//! not show and still changes where data goes (an address, what a contract
//! matches, which signals are consent, an export) loosens where it may let more
//! leave.

mod others;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::action::Action;
use crate::consent::Consent;
use crate::exposure::{Part, exposure};
use crate::policy::{AgeClass, Policy};
use crate::sweep::AGES;

/// Which way a change goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Something may leave that did not.
    Loosen,
    /// Something no longer leaves.
    Tighten,
    /// The same leaves, for another reason.
    Neutral,
}

impl Change {
    /// The word for outputs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Loosen => "loosen",
            Self::Tighten => "tighten",
            Self::Neutral => "neutral",
        }
    }
}

/// What one cell lets leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// In these consent states.
    pub consent: Vec<Consent>,
    /// In this form.
    pub action: Action,
    /// By this rule.
    pub rule: String,
}

/// What a cell is about, by names, because numbers differ between policies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The contract, without its version.
    pub contract: String,
    /// The field.
    pub field: String,
    /// Value or name.
    pub part: Part,
    /// The destination.
    pub destination: String,
    /// The purpose.
    pub purpose: String,
}

/// Cells that change alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which way.
    pub change: Change,
    /// What they are about.
    pub place: Place,
    /// The jurisdictions.
    pub jurisdictions: Vec<String>,
    /// The age classes.
    pub ages: Vec<AgeClass>,
    /// What left before.
    pub old: Option<Content>,
    /// What leaves now.
    pub new: Option<Content>,
}

/// Something outside of the cells that changed where data goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Other {
    /// Which way.
    pub change: Change,
    /// `contract`, `destination`, `purpose` or `export`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// What changed.
    pub what: &'static str,
}

/// Everything that changed.
#[derive(Debug)]
pub struct Diff {
    /// In the cells.
    pub cells: Vec<Difference>,
    /// Outside of them.
    pub others: Vec<Other>,
}

/// Compares two policies.
#[must_use]
pub fn diff(old: &Policy, new: &Policy) -> Diff {
    let jurisdictions: BTreeSet<&str> = [old, new]
        .into_iter()
        .flat_map(|policy| policy.place_numbers().map(|place| policy.place_name(place)))
        .collect();
    let (before, after) = (cells(old, &jurisdictions), cells(new, &jurisdictions));
    let keys: BTreeSet<&Key> = before.keys().chain(after.keys()).collect();
    let mut cells: Vec<Difference> = Vec::new();
    for key in keys {
        let (was, is) = (before.get(key), after.get(key));
        if let Some(change) = change(was, is) {
            add(&mut cells, change, key, was, is);
        }
    }
    cells.sort_by(|a, b| (a.change, &a.place).cmp(&(b.change, &b.place)));
    Diff { cells, others: others::others(old, new) }
}

type Key = (Place, String, AgeClass);

/// Every cell of a policy, in all these jurisdictions.
fn cells(policy: &Policy, jurisdictions: &BTreeSet<&str>) -> BTreeMap<Key, Content> {
    let mut cells = BTreeMap::new();
    for row in exposure(policy) {
        let Some(field) = row.field(policy) else { continue };
        let place = Place {
            contract: policy.contract(row.contract).name.clone(),
            field: field.path.to_string(),
            part: row.part,
            destination: policy.destination(row.destination).name.clone(),
            purpose: policy.purpose_name(row.purpose).to_owned(),
        };
        let content =
            Content { consent: row.consent.clone(), action: row.action.clone(), rule: policy.reason(row.because) };
        for jurisdiction in jurisdictions.iter().filter(|name| row.places.contains(&policy.place(name))) {
            for age in &row.ages {
                cells.insert((place.clone(), (*jurisdiction).to_owned(), *age), content.clone());
            }
        }
    }
    cells
}

/// Which way a cell goes; `None` where nothing changed.
fn change(was: Option<&Content>, is: Option<&Content>) -> Option<Change> {
    let (was, is) = match (was, is) {
        (None, None) => return None,
        (None, Some(_)) => return Some(Change::Loosen),
        (Some(_), None) => return Some(Change::Tighten),
        (Some(was), Some(is)) => (was, is),
    };
    let more = is.consent.iter().any(|state| !was.consent.contains(state));
    let less = was.consent.iter().any(|state| !is.consent.contains(state));
    // A form that cannot be made from the old one tells something that the old one did not.
    let form = is.action.compare(&was.action).unwrap_or(Ordering::Greater);
    match form {
        _ if more => Some(Change::Loosen),
        Ordering::Greater => Some(Change::Loosen),
        Ordering::Less => Some(Change::Tighten),
        Ordering::Equal if less => Some(Change::Tighten),
        Ordering::Equal if was.rule != is.rule => Some(Change::Neutral),
        Ordering::Equal => None,
    }
}

/// Joins a cell with those that change alike.
fn add(differences: &mut Vec<Difference>, change: Change, key: &Key, was: Option<&Content>, is: Option<&Content>) {
    let (place, jurisdiction, age) = key;
    let alike = |known: &&mut Difference| {
        known.change == change && known.place == *place && known.old.as_ref() == was && known.new.as_ref() == is
    };
    match differences.iter_mut().rev().find(alike) {
        Some(known) => {
            if !known.jurisdictions.contains(jurisdiction) {
                known.jurisdictions.push(jurisdiction.clone());
            }
            if !known.ages.contains(age) {
                known.ages.push(*age);
            }
        }
        None => differences.push(Difference {
            change,
            place: place.clone(),
            jurisdictions: vec![jurisdiction.clone()],
            ages: vec![*age],
            old: was.cloned(),
            new: is.cloned(),
        }),
    }
}

impl Diff {
    /// How many differences go this way.
    #[must_use]
    pub fn count(&self, change: Change) -> usize {
        self.cells.iter().filter(|cell| cell.change == change).count()
            + self.others.iter().filter(|other| other.change == change).count()
    }

    /// The difference as its JSON output has it; `docs/schemas/diff.json` describes it.
    #[must_use]
    pub fn json(&self, old: &Policy, new: &Policy) -> Value {
        let content = |content: &Option<Content>| {
            content.as_ref().map(|content| {
                json!({
                    "consent": content.consent.iter().map(|state| state.name()).collect::<Vec<_>>(),
                    "action": content.action.kind().name(),
                    "form": content.action.to_string(),
                    "rule": content.rule,
                })
            })
        };
        let cells: Vec<Value> = self
            .cells
            .iter()
            .map(|cell| {
                json!({
                    "change": cell.change.name(),
                    "contract": cell.place.contract,
                    "field": cell.place.field,
                    "part": cell.place.part.name(),
                    "destination": cell.place.destination,
                    "purpose": cell.place.purpose,
                    "jurisdictions": cell.jurisdictions,
                    "ages": cell.ages.iter().map(|age| age.name()).collect::<Vec<_>>(),
                    "old": content(&cell.old),
                    "new": content(&cell.new),
                })
            })
            .collect();
        let others: Vec<Value> = self
            .others
            .iter()
            .map(|other| {
                json!({"change": other.change.name(), "kind": other.kind, "name": other.name, "what": other.what})
            })
            .collect();
        json!({
            "old": old.digest().to_string(),
            "new": new.digest().to_string(),
            "summary": {
                "loosen": self.count(Change::Loosen),
                "tighten": self.count(Change::Tighten),
                "neutral": self.count(Change::Neutral),
            },
            "cells": cells,
            "others": others,
        })
    }
}

/// Whether these are all age classes.
#[must_use]
pub fn any_age(ages: &[AgeClass]) -> bool {
    AGES.iter().all(|age| ages.contains(age))
}
