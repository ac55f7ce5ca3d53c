//! Contracts: envelope and author's fields made one, and told apart from each other.

use std::collections::HashMap;

use super::Compiler;
use crate::diagnostic::Diagnostic;
use crate::encoding::Encoding;
use crate::envelope;
use crate::matching::{Matcher, Overlap};
use crate::path::{Origin, Path, Step};
use crate::plan::encoded_parent;
use crate::policy::{Contract, Field, FieldTypes, PurposeNo, PurposeSet, Role};
use crate::shape::Shape;
use crate::snowplow;
use crate::source::{ContractSource, FieldSource, PolicySource};

impl Compiler {
    pub(super) fn contract(&mut self, source: &ContractSource) -> Contract {
        for field in &source.fields {
            field.category.iter().for_each(|category| self.check_category(category));
            field.key_category.iter().for_each(|category| self.check_category(category));
            field.may_contain.iter().for_each(|category| self.check_category(category));
        }
        source.subjects.iter().for_each(|subject| self.check_subject(subject));
        let mut fields: Vec<Field> = Vec::new();
        let envelope = envelope::of(source.format);
        for field in envelope.fields.iter().chain(&source.fields) {
            for path in expanded(field) {
                merge(&mut fields, path, field);
            }
        }
        snowplow::declare_schemas(source.format, &mut fields);
        let conditions: Vec<_> =
            source.conditions.iter().map(|(path, values)| (path.value.clone(), values.clone())).collect();
        self.check_conditions(source);
        self.check_member_names(source, &fields);
        self.check_encodings(source, &fields);
        self.check_selectors(source, &fields);
        let shape = Shape::of(&fields);
        Contract {
            name: source.name.value.clone(),
            version: source.version.clone(),
            format: source.format,
            conditions,
            fields,
            subjects: source.subjects.iter().map(|subject| subject.value.clone()).collect(),
            purposes: PurposeSet(u64::MAX),
            shape,
        }
    }

    /// A purpose that lists contracts is about no others.
    pub(super) fn narrow_purposes(&mut self, source: &PolicySource, contracts: &mut [Contract]) {
        for (number, purpose) in (0..).map(PurposeNo).zip(source.purposes.iter().take(PurposeSet::MAX)) {
            let names: Vec<String> = contracts.iter().map(|contract| contract.name.clone()).collect();
            let listed = self.numbers(&purpose.contracts, "contract", "P021", names.iter().map(String::as_str));
            let Some(listed) = listed else { continue };
            for (_, contract) in contracts.iter_mut().enumerate().filter(|(place, _)| !listed.contains(place)) {
                contract.purposes = contract.purposes.without(PurposeSet::default().with(number));
            }
        }
    }

    /// A condition is a plain member path with at least one value.
    fn check_conditions(&mut self, source: &ContractSource) {
        for (path, values) in &source.conditions {
            let plain =
                path.value.origin == Origin::Event && path.value.steps.iter().all(|step| matches!(step, Step::Key(_)));
            if !plain {
                let message = format!("`{}` cannot decide which contract an event follows", path.value);
                self.report(
                    Diagnostic::error("P008", &path.at, message)
                        .label("want plain members, such as `event` or `properties.kind`"),
                );
            }
            if values.is_empty() {
                self.report(Diagnostic::error("P005", &path.at, "a condition needs at least one value"));
            }
        }
    }

    /// An encoded object says nothing itself, a part of a request has parts only
    /// where it is encoded, and what stands in it names nobody: who an event is
    /// about is asked before those are undone.
    fn check_encodings(&mut self, source: &ContractSource, fields: &[Field]) {
        for field in &source.fields {
            let path = &field.path;
            let outside = path.value.origin != Origin::Event;
            let holder = encoded_parent(fields, &path.value);
            // What the envelope or an earlier line said of it counts, too.
            let says = expanded(field).iter().any(|path| {
                let merged = fields.iter().find(|known| known.path == *path);
                merged.is_some_and(|merged| {
                    let json = merged.encoding.as_ref().is_some_and(Encoding::holds_json);
                    json && (merged.category.is_some() || merged.role.is_some() || merged.values.is_some())
                })
            });
            if says {
                let message = format!("`{}` is an encoded object, which has no value of its own", path.value);
                let error = Diagnostic::error("P031", &path.at, message).label("encoded, with more said about it");
                self.report(error.help("say `category`, `role` and `enum` of the fields in it, such as `a.b` in `a`"));
            }
            if outside && path.value.steps.len() > 1 && holder.is_none() {
                let message = format!("`{}` has a part, and nothing says how its value is encoded", path.value);
                let error = Diagnostic::error("P031", &path.at, message).label("in what is it?");
                self.report(error.help("declare the value it stands in with `encoding: json` or another"));
            }
            let names = matches!(field.role, Some(Role::Subject | Role::Age)) || field.required;
            if outside && holder.is_some() && names {
                let message = "what is encoded in a header, a cookie or the query is not asked who it is about";
                let error = Diagnostic::error("P031", &path.at, message).label("with a role, or required");
                self.report(error.help("take `role` or `required` off: what cannot be undone is dropped anyway"));
            }
        }
    }

    /// The elements of one list are chosen by one member only: one that has two could be either.
    fn check_selectors(&mut self, source: &ContractSource, fields: &[Field]) {
        let mut by_list: HashMap<(Origin, &[Step]), &str> = HashMap::new();
        for field in fields {
            for (at, step) in field.path.steps.iter().enumerate() {
                let Step::Where { key, .. } = step else { continue };
                let list = (field.path.origin, field.path.steps.get(..at).unwrap_or_default());
                let first = *by_list.entry(list).or_insert(key);
                let written = source.fields.iter().find(|written| written.path.value == field.path);
                if let Some(written) = written.filter(|_| first != key) {
                    let message = format!("elements of one list are chosen by `{first}` and by `{key}`");
                    let both = Diagnostic::error("P035", &written.path.at, message).label("an element may have both");
                    self.report(both.help("choose by one member, and declare the rest with `[]`"));
                }
            }
        }
    }

    /// The names that one `*` stands for have one category.
    fn check_member_names(&mut self, source: &ContractSource, fields: &[Field]) {
        let named: Vec<_> =
            fields.iter().filter_map(|field| Some((&field.path, field.key_category.as_ref()?))).collect();
        let written = |path: &Path| {
            let field = source.fields.iter().find(|field| field.path.value == *path)?;
            field.key_category.as_ref().map(|category| category.at.clone())
        };
        for (number, (path, category)) in named.iter().enumerate() {
            let differs = |(known, said): &&(&Path, &String)| names_of(known) == names_of(path) && said != category;
            let Some((earlier, said)) = named.iter().take(number).find(differs) else { continue };
            let Some(at) = written(path).or_else(|| written(earlier)) else { continue };
            let message = format!("the names under one `*` have two categories, `{said}` and `{category}`");
            let mut twice = Diagnostic::error("P030", &at, message)
                .label("different from what was said before")
                .help("say the same `key_category` for every field under this `*`");
            if let Some(earlier) = written(earlier) {
                twice = twice.other(&earlier, "said here");
            }
            self.report(twice);
        }
    }

    /// The matcher over all contracts; two that could claim one event are an error.
    pub(super) fn matcher(&mut self, source: &PolicySource, contracts: &[Contract]) -> Matcher {
        let (matcher, overlaps) = Matcher::of(contracts);
        for Overlap { first, second } in overlaps {
            let (Some(first), Some(second)) = (source.contracts.get(first), source.contracts.get(second)) else {
                continue;
            };
            let message = format!("`{}` and `{}` can match the same event", first.name.value, second.name.value);
            let ambiguous = Diagnostic::error("P020", &second.at, message)
                .label("equally specific")
                .other(&first.at, "matches it too")
                .help("give one of them a further condition: the contract with more conditions wins");
            self.report(ambiguous);
        }
        matcher
    }
}

/// Where the names stand that a path's `*` stands for.
fn names_of(path: &Path) -> Vec<&Step> {
    path.steps.iter().take_while(|step| **step != Step::AnyKey).collect()
}

/// A path with `*` and listed keys stands for one path a key.
fn expanded(field: &FieldSource) -> Vec<Path> {
    let path = &field.path.value;
    if field.keys.is_empty() {
        return vec![path.clone()];
    }
    let with_key = |key: &String| Path {
        origin: path.origin,
        steps: path
            .steps
            .iter()
            .map(|step| if *step == Step::AnyKey { Step::Key(key.clone()) } else { step.clone() })
            .collect(),
    };
    field.keys.iter().map(with_key).collect()
}

/// Says more about a field that is there, or adds it.
fn merge(fields: &mut Vec<Field>, path: Path, source: &FieldSource) {
    let category = source.category.as_ref().map(|category| category.value.clone());
    let key_category = source.key_category.as_ref().map(|category| category.value.clone());
    let encoding = source.encoding.as_ref().map(|encoding| encoding.value.clone());
    let may_contain: Vec<String> = source.may_contain.iter().map(|category| category.value.clone()).collect();
    if let Some(known) = fields.iter_mut().find(|known| known.path == path) {
        if source.types != FieldTypes::NONE {
            known.types = source.types;
        }
        // A category of the author's own takes the field out of what leaves by role.
        if category.is_some() && category != known.category {
            known.category = category;
            known.role = source.role.or(known.role.filter(|role| !role.leaves()));
        }
        known.role = source.role.or(known.role);
        known.required |= source.required;
        known.values = source.values.clone().or(known.values.take());
        known.max_length = source.max_length.or(known.max_length);
        known.free_text |= source.free_text;
        known.url |= source.url;
        known.key_category = key_category.or(known.key_category.take());
        known.encoding = encoding.or(known.encoding.take());
        if !may_contain.is_empty() {
            known.may_contain = may_contain;
        }
        return;
    }
    let any_key = path.steps.contains(&Step::AnyKey);
    fields.push(Field {
        path,
        types: source.types,
        category,
        required: source.required,
        values: source.values.clone(),
        max_length: source.max_length,
        free_text: source.free_text,
        url: source.url,
        role: source.role,
        key_category: key_category.filter(|_| any_key),
        encoding,
        may_contain: if may_contain.is_empty() { vec!["user".to_owned()] } else { may_contain },
    });
}
