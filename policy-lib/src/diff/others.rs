//! What exposure does not show and still changes where data goes.
//!
//! Exposure says what leaves of an event that follows a contract, in each consent
//! state. Which events follow it, which signals make the state, and where a
//! destination is, stands outside of its cells.

use std::collections::BTreeSet;

use super::{Change, Other};
use crate::policy::{Contract, Destination, Field, FieldTypes, Policy, Purpose, Role};
use crate::taxonomy::covers;

/// Everything of this sort that newly lets something leave.
pub(super) fn others(old: &Policy, new: &Policy) -> Vec<Other> {
    let mut others = Vec::new();
    for (before, after) in pairs(&old.destinations, &new.destinations, |destination| &destination.name) {
        let whats = destination_changes(before, after);
        others.extend(whats.map(|what| loosens("destination", &after.name, what)));
    }
    for (before, after) in pairs(&old.contracts, &new.contracts, |contract| &contract.name) {
        others.extend(contract_changes(before, after).map(|what| loosens("contract", &after.name, what)));
    }
    for gone in old.contracts.iter().filter(|before| new.contracts.iter().all(|after| after.name != before.name)) {
        // Its events may now follow another contract that lets more of them leave.
        if new.contracts.iter().any(|other| other.format == gone.format) {
            others.push(loosens("contract", &gone.name, "gone"));
        }
    }
    for (before, after) in pairs(&old.purposes, &new.purposes, |purpose| &purpose.name) {
        others.extend(purpose_changes(before, after).map(|what| loosens("purpose", &after.name, what)));
    }
    for export in &new.exports {
        match old.exports.iter().find(|before| before.name.value == export.name.value) {
            None => others.push(loosens("export", &export.name.value, "new")),
            Some(before) if !before.means(export) => {
                others.push(loosens("export", &export.name.value, "changed"));
            }
            Some(_) => {}
        }
    }
    for survey in &new.surveys {
        match old.surveys.iter().find(|before| before.name.value == survey.name.value) {
            None => others.push(loosens("export", &survey.name.value, "new")),
            Some(before) if !before.means(survey) => {
                others.push(loosens("export", &survey.name.value, "changed"));
            }
            Some(_) => {}
        }
    }
    others.sort();
    others
}

fn loosens(kind: &'static str, name: &str, what: &'static str) -> Other {
    Other { change: Change::Loosen, kind, name: name.to_owned(), what }
}

/// What both policies have, by name.
fn pairs<'p, T>(old: &'p [T], new: &'p [T], name: impl Fn(&T) -> &String) -> Vec<(&'p T, &'p T)> {
    let of = |after: &T| old.iter().find(|before| name(before) == name(after));
    new.iter().filter_map(|after| Some((of(after)?, after))).collect()
}

/// The names of those that hold.
fn named<const N: usize>(changed: [(&'static str, bool); N]) -> impl Iterator<Item = &'static str> {
    changed.into_iter().filter(|(_, changed)| *changed).map(|(what, _)| what)
}

fn destination_changes(before: &Destination, after: &Destination) -> impl Iterator<Item = &'static str> {
    named([
        ("url", before.url != after.url),
        ("recipient", before.recipient != after.recipient),
        ("primary", before.primary != after.primary),
        ("paths", before.paths != after.paths),
        ("located_in", before.located_in != after.located_in),
        ("headers", before.headers != after.headers),
        // Of forms that cannot be ordered, which is the finer nobody can say.
        ("prefer", before.prefer != after.prefer),
        (
            "response",
            !within(&after.response.headers, &before.response.headers)
                || !within(&after.response.cookies, &before.response.cookies),
        ),
    ])
}

/// Whether every name of one list stands in the other.
fn within(names: &[String], others: &[String]) -> bool {
    names.iter().all(|name| others.contains(name))
}

fn contract_changes(before: &Contract, after: &Contract) -> impl Iterator<Item = &'static str> {
    let demands = |contract: &Contract| {
        let demanding = contract.fields.iter().filter(|field| field.required);
        demanding.map(|field| field.path.to_string()).collect::<BTreeSet<_>>()
    };
    named([
        ("match", before.format != after.format || before.conditions != after.conditions),
        ("required fields", demands(before) != demands(after)),
        ("what fields may hold", before.fields.iter().any(|field| allows_more(field, after))),
        ("who it is about", people(before) != people(after)),
        ("encodings", encodings(before) != encodings(after)),
        // A proof is about what fields are said to be: it may hold for no better reason than another label.
        ("categories", before.fields.iter().any(|field| relabelled(field, after))),
        ("what texts may contain", before.fields.iter().any(|field| said_to_hold_less(field, after))),
    ])
}

fn field_of<'c>(contract: &'c Contract, field: &Field) -> Option<&'c Field> {
    contract.fields.iter().find(|known| known.path == field.path)
}

/// Whether a field, or its names, count as something else now.
fn relabelled(before: &Field, contract: &Contract) -> bool {
    let changed = |after: &Field| after.category != before.category || after.key_category != before.key_category;
    field_of(contract, before).is_some_and(changed)
}

/// Whether less is said to stand in a text or a URL than before.
fn said_to_hold_less(before: &Field, contract: &Contract) -> bool {
    let held = |after: &Field, category: &String| after.may_contain.iter().any(|known| covers(known, category));
    let less = |after: &Field| !after.is_open() || !before.may_contain.iter().all(|category| held(after, category));
    before.is_open() && field_of(contract, before).is_some_and(less)
}

/// How values are encoded: a rule about what is encoded otherwise finds nothing to do.
fn encodings(contract: &Contract) -> BTreeSet<(String, String)> {
    let encoded = contract.fields.iter().filter_map(|field| Some((field, field.encoding.as_ref()?)));
    encoded.map(|(field, encoding)| (field.path.to_string(), encoding.to_string())).collect()
}

/// The fields that say whose choice binds an event, and how old that person is.
fn people(contract: &Contract) -> BTreeSet<(String, Role)> {
    let told = contract.fields.iter().filter_map(|field| Some((field, field.role?)));
    let told = told.filter(|(_, role)| matches!(role, Role::Subject | Role::Age));
    told.map(|(field, role)| (field.path.to_string(), role)).collect()
}

/// Whether an event that a field's value made invalid may be valid now.
fn allows_more(before: &Field, contract: &Contract) -> bool {
    let after = contract.fields.iter().find(|after| after.path == before.path);
    let types = after.map_or(FieldTypes::NONE, |after| after.types);
    let values = after.and_then(|after| after.values.as_ref());
    let length = after.and_then(|after| after.max_length);
    let same_types = before.types == FieldTypes::NONE || (types != FieldTypes::NONE && before.types.allows(types));
    let same_values = before
        .values
        .as_ref()
        .is_none_or(|known| values.is_some_and(|values| values.iter().all(|value| known.contains(value))));
    let same_length = before.max_length.is_none_or(|most| length.is_some_and(|length| length <= most));
    !(same_types && same_values && same_length)
}

fn purpose_changes(before: &Purpose, after: &Purpose) -> impl Iterator<Item = &'static str> {
    let signals =
        |purpose: &Purpose, other: &Purpose| purpose.granted_by.iter().all(|signal| other.granted_by.contains(signal));
    named([
        ("granted_by", !signals(before, after) || !signals(after, before)),
        ("opted_out_by", before.opted_out_by.iter().any(|signal| !after.opted_out_by.contains(signal))),
        ("everywhere", before.everywhere && !after.everywhere),
    ])
}
