//! Which contract an event follows.
//!
//! A contract's conditions are equalities over finite sets, so all of them
//! together are a lookup: the values an event has at a few paths, joined, are
//! the key. The contract with the most conditions wins. Iglu URIs are compared up
//! to their model.

use std::borrow::Cow;
use std::collections::HashMap;

use privet_json::{Kind, Node};

use crate::format::Format;
use crate::iglu::comparable;
use crate::path::{Path, Step, chosen};
use crate::policy::{Contract, ContractNo};

/// All contracts, ready to be looked up.
#[derive(Debug, Default)]
pub struct Matcher {
    /// Most conditions first.
    groups: Vec<Group>,
}

/// The contracts of one format whose conditions stand at the same paths.
#[derive(Debug)]
struct Group {
    format: Format,
    paths: Vec<Path>,
    contracts: HashMap<String, ContractNo>,
}

/// Two contracts that could claim the same event, by their places in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// The one that was there.
    pub first: usize,
    /// The one that came.
    pub second: usize,
}

/// Ends every value in a lookup key; no value can hold it unescaped.
const END: char = '\u{1f}';

impl Matcher {
    /// Sorts contracts into groups and finds those that could claim one event.
    #[must_use]
    pub fn of(contracts: &[Contract]) -> (Self, Vec<Overlap>) {
        let mut matcher = Self::default();
        let mut overlaps = Vec::new();
        for (number, contract) in contracts.iter().enumerate() {
            for (other, earlier) in contracts.iter().enumerate().take(number) {
                if can_overlap(earlier, contract) {
                    overlaps.push(Overlap { first: other, second: number });
                }
            }
            matcher.add(ContractNo(u16::try_from(number).unwrap_or(u16::MAX)), contract);
        }
        matcher.groups.sort_by_key(|group| std::cmp::Reverse(group.paths.len()));
        (matcher, overlaps)
    }

    fn add(&mut self, number: ContractNo, contract: &Contract) {
        let mut conditions: Vec<_> = contract.conditions.iter().collect();
        conditions.sort();
        let paths: Vec<Path> = conditions.iter().map(|(path, _)| path.clone()).collect();
        let mut keys = vec![String::new()];
        for (_, values) in conditions {
            keys = keys
                .iter()
                .flat_map(|key| values.iter().map(move |value| format!("{key}{}{END}", comparable(value))))
                .collect();
        }
        let group =
            match self.groups.iter_mut().position(|group| group.format == contract.format && group.paths == paths) {
                Some(found) => found,
                None => {
                    self.groups.push(Group { format: contract.format, paths, contracts: HashMap::new() });
                    self.groups.len() - 1
                }
            };
        if let Some(group) = self.groups.get_mut(group) {
            group.contracts.extend(keys.into_iter().map(|key| (key, number)));
        }
    }

    /// The contract of an event, if one matches. `implied` is the kind that the
    /// request path gives a Segment event that names none.
    pub fn find(
        &self,
        format: Format,
        event: Node<'_>,
        implied: Option<&str>,
        scratch: &mut String,
    ) -> Option<ContractNo> {
        self.groups.iter().filter(|group| group.format == format).find_map(|group| {
            scratch.clear();
            let complete = group.paths.iter().all(|path| push_value(path, format, event, implied, scratch));
            complete.then(|| group.contracts.get(scratch.as_str()).copied()).flatten()
        })
    }
}

/// Appends the scalar at a path; says `false` where there is none.
fn push_value(path: &Path, format: Format, event: Node<'_>, implied: Option<&str>, key: &mut String) -> bool {
    let mut node = Some(event);
    for step in &path.steps {
        let Step::Key(name) = step else { return false };
        node = node.and_then(|node| node.get(name));
    }
    let named = format == Format::Otlp && *path == Path::keys(&["eventName"]);
    let text = if named { event_name(event) } else { node.and_then(|node| node.text()) };
    let kind = matches!(format, Format::Segment | Format::RudderStack) && *path == Path::keys(&["type"]);
    let text = match (text, kind) {
        (Some(text), _) => text,
        // A kind that stands there but is no text must not match by another way.
        (None, true) if event.get("type").is_some() => return false,
        // Older Segment payloads name the kind `action`; a path may name it too.
        (None, true) => match (event.get("action").and_then(|action| action.text()), implied) {
            (Some(action), _) => action,
            (None, Some(implied)) => implied.into(),
            (None, None) => return false,
        },
        (None, false) => return false,
    };
    if text.contains(END) {
        return false;
    }
    key.push_str(comparable(&text));
    key.push(END);
    true
}

/// The name of an OpenTelemetry event: its member, else the attribute `event.name`
/// of older SDKs. One that is no text, and two attributes that differ, are none.
#[must_use]
pub fn event_name(event: Node<'_>) -> Option<Cow<'_, str>> {
    match event.get("eventName").filter(|written| written.kind() != Kind::Null) {
        None => {}
        Some(written) if written.is_text("") => {}
        Some(written) => return written.text(),
    }
    let all = chosen(event.get("attributes")?, "key", "event.name");
    let mut all = all.map(|attribute| attribute.get("value")?.get("stringValue"));
    let first = all.next()??.text()?;
    all.all(|other| other.is_some_and(|other| other.is_text(&first))).then_some(first)
}

/// Whether two contracts are equally specific and no condition tells them apart.
fn can_overlap(a: &Contract, b: &Contract) -> bool {
    let apart = |(path, values): &(Path, Vec<String>)| {
        let others = b.conditions.iter().find(|(other, _)| other == path).map(|(_, others)| others);
        others.is_some_and(|others| {
            !values.iter().any(|value| others.iter().any(|other| comparable(other) == comparable(value)))
        })
    };
    a.format == b.format && a.conditions.len() == b.conditions.len() && !a.conditions.iter().any(apart)
}
