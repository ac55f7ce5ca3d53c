//! What can leave, exactly: the policy's whole meaning as a table.
//!
//! A row says what one purpose lets leave of one field for one destination, in
//! which consent states, jurisdictions and age classes. Where several purposes
//! of a destination are permitted at once, the finest of their rows leaves, so
//! the rows of single purposes say all. Values that a request or a batch says
//! once for all its events leave no finer than their row.
//!
//! Not here: what stands in free text or a URL. Such rows carry what the field
//! may contain besides its own category.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::action::Action;
use crate::consent::{Consent, Memory};
use crate::policy::{AgeClass, ContractNo, DestinationNo, Field, PlaceNo, Policy, PurposeNo};
use crate::sweep::{AGES, Sweep};
use crate::verdict::{Because, Circumstances};

/// Which part of a member a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The value.
    Value,
    /// The member's name, which a sender chose.
    Name,
}

impl Part {
    /// The word for outputs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Name => "name",
        }
    }

    /// The category of this part of a field.
    #[must_use]
    pub fn category(self, field: &Field) -> Option<&str> {
        match self {
            Self::Value => field.category.as_deref(),
            Self::Name => field.key_category.as_deref(),
        }
    }

    /// A field's path, as people are told of this part of it.
    #[must_use]
    pub fn label(self, path: &str) -> String {
        match self {
            Self::Value => path.to_owned(),
            Self::Name => format!("{path} (names)"),
        }
    }
}

/// What one purpose lets leave of one field for one destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The contract.
    pub contract: ContractNo,
    /// The field's place in the contract.
    pub field: usize,
    /// Value or name.
    pub part: Part,
    /// The destination.
    pub destination: DestinationNo,
    /// The purpose.
    pub purpose: PurposeNo,
    /// The consent states in which the purpose is permitted.
    pub consent: Vec<Consent>,
    /// Where.
    pub places: Vec<PlaceNo>,
    /// For whom.
    pub ages: Vec<AgeClass>,
    /// In what form; never [`Action::Drop`].
    pub action: Action,
    /// The rule behind it.
    pub because: Because,
}

/// What a cell holds; cells that hold the same are one row.
type Cell = (Vec<Consent>, Action, Because);

/// Every row of a policy, in the order of contracts, fields, destinations and purposes.
#[must_use]
pub fn exposure(policy: &Policy) -> Vec<Row> {
    let mut sweep = Sweep::of(policy);
    let mut rows = Vec::new();
    for (number, contract) in policy.contract_numbers().zip(&policy.contracts) {
        for (place, field) in contract.fields.iter().enumerate().filter(|(_, field)| !field.holds_containers_only()) {
            for destination in policy.destination_numbers() {
                for purpose in policy.purposes_at(destination, number).iter() {
                    let of = Subject { contract: number, field: place, destination, purpose };
                    rows.extend(of.rows(policy, field, Part::Value, &mut sweep));
                    if field.key_category.is_some() {
                        rows.extend(of.rows(policy, field, Part::Name, &mut sweep));
                    }
                }
            }
        }
    }
    rows
}

/// What a row is about.
#[derive(Clone, Copy)]
struct Subject {
    contract: ContractNo,
    field: usize,
    destination: DestinationNo,
    purpose: PurposeNo,
}

impl Subject {
    fn rows<'p>(self, policy: &'p Policy, field: &'p Field, part: Part, sweep: &mut Sweep<'p>) -> Vec<Row> {
        let mut cells: Vec<(Cell, BTreeMap<PlaceNo, Vec<AgeClass>>)> = Vec::new();
        for place in policy.place_numbers() {
            for age in AGES {
                let at = Circumstances { contract: self.contract, destination: self.destination, place, age };
                let Ok(Some(ruling)) = sweep.within(self.purpose, part.category(field), field.role, at) else {
                    continue;
                };
                let consent = permitting(policy, self.purpose, place, age);
                if ruling.action == Action::Drop || consent.is_empty() {
                    continue;
                }
                let cell = (consent, ruling.action.clone(), ruling.because);
                match cells.iter_mut().find(|(known, _)| *known == cell) {
                    Some((_, places)) => places.entry(place).or_default().push(age),
                    None => cells.push((cell, BTreeMap::from([(place, vec![age])]))),
                }
            }
        }
        cells.into_iter().flat_map(|(cell, places)| self.of_cell(part, &cell, places)).collect()
    }

    /// Jurisdictions with the same age classes stand in one row.
    fn of_cell(self, part: Part, cell: &Cell, places: BTreeMap<PlaceNo, Vec<AgeClass>>) -> Vec<Row> {
        let mut by_ages: Vec<(Vec<AgeClass>, Vec<PlaceNo>)> = Vec::new();
        for (place, ages) in places {
            match by_ages.iter_mut().find(|(known, _)| *known == ages) {
                Some((_, places)) => places.push(place),
                None => by_ages.push((ages, vec![place])),
            }
        }
        let Self { contract, field, destination, purpose } = self;
        let (consent, action, because) = cell;
        let row = |(ages, places)| Row {
            contract,
            field,
            part,
            destination,
            purpose,
            consent: consent.clone(),
            places,
            ages,
            action: action.clone(),
            because: *because,
        };
        by_ages.into_iter().map(row).collect()
    }
}

/// The consent states that permit a purpose, given a memory that lasts.
fn permitting(policy: &Policy, purpose: PurposeNo, place: PlaceNo, age: AgeClass) -> Vec<Consent> {
    let Some(purpose) = policy.purposes.get(usize::from(purpose.0)) else { return Vec::new() };
    let all = [Consent::Given, Consent::Absent, Consent::Unavailable, Consent::Refused];
    all.into_iter().filter(|state| purpose.permits(*state, place, age, Memory::Lasting)).collect()
}

/// Rows as the JSON output of `privet exposure` has them; `docs/schemas/exposure.json` describes it.
#[must_use]
pub fn report(policy: &Policy, rows: &[Row]) -> Value {
    let rows: Vec<Value> = rows.iter().map(|row| row.json(policy)).collect();
    json!({"policy": policy.digest().to_string(), "rows": rows})
}

impl Row {
    /// The row as its JSON output has it; `docs/schemas/exposure.json` describes it.
    #[must_use]
    pub fn json(&self, policy: &Policy) -> Value {
        let field = self.field(policy);
        let contains = field.filter(|field| self.part == Part::Value && field.tells_more(&self.action));
        json!({
            "contract": policy.contract(self.contract).name,
            "version": policy.contract(self.contract).version,
            "field": field.map(|field| field.path.to_string()),
            "part": self.part.name(),
            "category": field.and_then(|field| self.part.category(field)),
            "may_contain": contains.map_or(&[][..], |field| &field.may_contain),
            "destination": policy.destination(self.destination).name,
            "purpose": policy.purpose_name(self.purpose),
            "consent": self.consent.iter().map(|state| state.name()).collect::<Vec<_>>(),
            "jurisdictions": self.places.iter().map(|place| policy.place_name(*place)).collect::<Vec<_>>(),
            "ages": self.ages.iter().map(|age| age.name()).collect::<Vec<_>>(),
            "action": self.action.kind().name(),
            "form": self.action.to_string(),
            "rule": policy.reason(self.because),
        })
    }

    /// The field it is about.
    #[must_use]
    pub fn field<'p>(&self, policy: &'p Policy) -> Option<&'p Field> {
        policy.contract(self.contract).fields.get(self.field)
    }
}
