//! Whether what an export counts can occur: its fields and keys, held against what the contract says of them.
//!
//! Promise: a field that is declared with types, values or a length that leave
//! nothing to count is an error at its place, and so is a key that no event of
//! the contract can have; a unit is a field that names the person.
//!
//! Not here: whether the paths exist ([`super::exports`]), and whether events keep to their contract.

use std::collections::HashSet;

use super::Compiler;
use crate::diagnostic::Diagnostic;
use crate::iglu::comparable;
use crate::path::Path;
use crate::policy::{Contract, Field, FieldTypes, Role};
use crate::source::{KeySource, KeyValuesSource, TYPES};
use crate::span::Spanned;
use crate::taxonomy::{covers, nearest};

/// What an export takes from a field.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    /// The identifier whose presence is hidden.
    Unit,
    /// A grouping value.
    Key,
    /// What is measured.
    Value,
    /// When the event occurred.
    Time,
    /// An answer that was randomized on the device.
    Report,
}

/// Data categories of identifiers: one value is one person, account or device.
const IDENTIFIERS: [&str; 8] = [
    "user.unique_id",
    "user.device.device_id",
    "user.device.advertising_id",
    "user.device.cookie_id",
    "user.account.username",
    "user.contact.email",
    "user.contact.phone_number",
    "user.government_id",
];

impl Counted {
    /// The types of which a field needs one to be of use.
    const fn of_use(self) -> FieldTypes {
        match self {
            Self::Unit => FieldTypes::STRING.or(FieldTypes::NUMBER),
            Self::Key => FieldTypes::SCALAR,
            Self::Value => FieldTypes::NUMBER,
            Self::Time => FieldTypes::STRING.or(FieldTypes::INTEGER),
            Self::Report => FieldTypes::STRING,
        }
    }

    /// What is wanted, in words.
    const fn wanted(self) -> &'static str {
        match self {
            Self::Unit => "an identifier is a text or a number",
            Self::Key => "a key is a text, a number or a truth value",
            Self::Value => "what is measured is a number",
            Self::Time => "a time is a text such as 2026-11-21T12:00:00Z, or a whole number since 1970",
            Self::Report => "a report is a text",
        }
    }

    /// What would become of events.
    const fn otherwise(self) -> &'static str {
        match self {
            Self::Time => "every event would count when it arrives",
            _ => "no event would count",
        }
    }

    /// The way out.
    const fn way_out(self) -> &'static str {
        match self {
            Self::Value => {
                "take a field that holds numbers; if this one holds digits in a text, say `type: [string, number]` in the contract"
            }
            _ => "take another field, or correct its `type` in the contract",
        }
    }
}

impl Compiler {
    /// That a field is there, of a type that is of use, and for a unit that it names somebody.
    pub(super) fn check_counted(&mut self, path: &Spanned<Path>, counted: Counted, contract: &Contract) {
        self.check_export_path(path, contract);
        let Some(field) = field_at(contract, &path.value) else { return };
        if field.types != FieldTypes::NONE && !field.types.meets(counted.of_use()) {
            let types = words_of(field.types);
            let message = format!("`{}` is declared as {types}, and {}", path.value, counted.wanted());
            let never = Diagnostic::error("P046", &path.at, message).label(counted.otherwise());
            self.report(never.help(counted.way_out()));
        }
        if counted == Counted::Unit && !names_somebody(field) {
            self.report(no_unit(path, contract));
        }
    }

    /// That events of the contract can have every declared key. The first that they cannot have are told one by one.
    pub(super) fn check_keys_occur(&mut self, key: &KeySource, path: &Path, contract: &Contract) {
        let KeyValuesSource::Declared(values) = &key.values else { return };
        let Some(field) = field_at(contract, path) else { return };
        let allowed = Allowed::of(field, contract);
        let mut strays = values.iter().filter_map(|value| Some((value, allowed.excludes(&value.value)?)));
        for (value, why) in strays.by_ref().take(TOLD_MAX) {
            let message = format!("no event of `{}` has `{}` at `{}`", contract.name, value.value, key.path.value);
            let never = Diagnostic::error("P045", &value.at, message).label(why);
            let never = never.suggest(allowed.nearest(&value.value));
            self.report(never.note("a key that never occurs is published as noise all the same"));
        }
        if let Some((next, _)) = strays.next() {
            let message =
                format!("no event of `{}` has {} more keys of this column", contract.name, strays.count() + 1);
            self.report(Diagnostic::error("P045", &next.at, message).label("the next one"));
        }
    }
}

/// The declared field at exactly this path.
fn field_at<'a>(contract: &'a Contract, path: &Path) -> Option<&'a Field> {
    contract.fields.iter().find(|field| field.path == *path)
}

/// How many keys of a column that never occur are told one by one.
const TOLD_MAX: usize = 20;
/// How many values, of how many bytes, are looked through for one that was meant.
const ALIKE_MAX: usize = 1_000;
const ALIKE_BYTES_MAX: usize = 100;

/// What a contract allows a field to be.
struct Allowed<'a> {
    field: &'a Field,
    /// The only values that it has, where they are known, in their order.
    values: Option<&'a [String]>,
    /// The same, to be looked up.
    known: HashSet<&'a str>,
}

impl<'a> Allowed<'a> {
    fn of(field: &'a Field, contract: &'a Contract) -> Self {
        let exact = |values: &&Vec<String>| values.iter().all(|value| comparable(value) == value);
        let conditions = contract.conditions.iter().find(|(path, _)| *path == field.path).map(|(_, values)| values);
        let values = conditions.filter(exact).or(field.values.as_ref()).map(Vec::as_slice);
        let known = values.unwrap_or_default().iter().map(String::as_str).collect();
        Self { field, values, known }
    }

    /// Why the field never has this value, if it never does.
    fn excludes(&self, value: &str) -> Option<String> {
        if self.values.is_some() && !self.known.contains(value) {
            return Some("not among the values that the contract allows".to_owned());
        }
        let types = self.field.types;
        match self.field.max_length.filter(|max| value.chars().count() as u64 > *max) {
            Some(max) => Some(format!("longer than the {max} characters that the contract allows")),
            // A type that no key has is told at the path.
            None if !types.meets(FieldTypes::SCALAR) || types.meets(types_written_so(value)) => None,
            None => Some(format!("not written as {}", words_of(types))),
        }
    }

    /// The value that may have been meant.
    fn nearest(&self, written: &str) -> Option<&'a str> {
        let truth: &[&str] = if self.field.types == FieldTypes::BOOLEAN { &["true", "false"] } else { &[] };
        let values = self.values.unwrap_or_default().iter().map(String::as_str).chain(truth.iter().copied());
        let short = values.filter(|value| value.len() <= ALIKE_BYTES_MAX).take(ALIKE_MAX);
        (written.len() <= ALIKE_BYTES_MAX).then(|| nearest(written, short))?
    }
}

/// The types whose values may be written so: a text may be anything.
fn types_written_so(value: &str) -> FieldTypes {
    let number = match serde_json::from_str::<serde_json::Value>(value) {
        Ok(serde_json::Value::Number(_)) if value.bytes().any(|byte| b".eE".contains(&byte)) => FieldTypes::FRACTION,
        Ok(serde_json::Value::Number(_)) => FieldTypes::INTEGER,
        Ok(serde_json::Value::Bool(_)) => FieldTypes::BOOLEAN,
        _ => FieldTypes::NONE,
    };
    FieldTypes::STRING.or(number)
}

/// The declared types in the language's words.
fn words_of(types: FieldTypes) -> String {
    let is_told =
        |one: FieldTypes| types.allows(one) && !(one == FieldTypes::INTEGER && types.allows(FieldTypes::NUMBER));
    let words = TYPES.iter().filter(|(_, one)| is_told(*one)).map(|(word, _)| format!("`{word}`"));
    words.collect::<Vec<_>>().join(" or ")
}

/// Whether one value of this field stands for one person, account or device.
fn names_somebody(field: &Field) -> bool {
    let identifies = |category: &String| IDENTIFIERS.iter().any(|identifier| covers(identifier, category));
    field.role == Some(Role::Subject) || field.category.as_ref().is_some_and(identifies)
}

fn no_unit(path: &Spanned<Path>, contract: &Contract) -> Diagnostic {
    let named = |field: &&Field| field.role == Some(Role::Subject) && field.path.is_one_place();
    let others: Vec<String> =
        contract.fields.iter().filter(named).map(|field| field.path.to_string()).take(3).collect();
    let message = format!("`{}` does not say whose event it is", path.value);
    let no_unit =
        Diagnostic::error("P047", &path.at, message).label("no identifier of a person, an account or a device");
    let no_unit =
        if others.is_empty() { no_unit } else { no_unit.help(format!("take one such as `{}`", others.join("`, `"))) };
    no_unit
        .help("if it names the person, say `role: subject` of it in the contract")
        .note("noise hides one value of the unit: by anything else, one person's events are many units, or one unit many people")
}
