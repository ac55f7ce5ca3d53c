//! Typed reading of YAML nodes that reports instead of stopping.

use std::str::FromStr;

use super::keys::{Form, Keys};
use crate::diagnostic::Diagnostic;
use crate::path::Path;
use crate::span::Spanned;
use crate::taxonomy::nearest;
use crate::yaml::{Node, Value};

/// Reads values and keeps every mistake it meets.
#[derive(Debug, Default)]
pub struct Reader {
    diagnostics: Vec<Diagnostic>,
}

impl Reader {
    /// Everything that was wrong.
    #[must_use]
    pub fn into_diagnostics(self) -> Vec<Diagnostic> {
        self.diagnostics
    }

    /// Keeps a mistake.
    pub fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Reports every member that is not in `known`.
    pub fn allow(&mut self, node: &Node, known: &Keys) {
        self.allow_beside(node, known, &[]);
    }

    /// Reports every member that is not in `known`, but for these, of which somebody else tells.
    pub fn allow_beside(&mut self, node: &Node, known: &Keys, told: &[&str]) {
        let Value::Map(members) = &node.value else {
            self.wrong_type(node, "a map");
            return;
        };
        let names = || known.names();
        let unknown = |key: &str| !names().any(|name| name == key) && !told.contains(&key);
        for (key, _) in members.iter().filter(|(key, _)| unknown(&key.value)) {
            let unknown = Diagnostic::error("P003", &key.at, format!("`{}` has no meaning here", key.value))
                .label("unknown key")
                .suggest(nearest(&key.value, names()));
            let unknown = match homes(known, node, &key.value).as_slice() {
                [] => unknown,
                homes => unknown.help(format!("`{}` stands in {}", key.value, homes.join(" or in "))),
            };
            let unknown = unknown.note(format!("known here: {}", names().collect::<Vec<_>>().join(", ")));
            self.report(unknown);
        }
    }

    /// The member of this name, or a report that it is missing.
    pub fn required<'a>(&mut self, node: &'a Node, name: &str) -> Option<&'a Node> {
        let found = node.get(name);
        if found.is_none() {
            self.report(
                Diagnostic::error("P004", &node.at, format!("`{name}` is missing")).help(format!("add `{name}:`")),
            );
        }
        found
    }

    /// Reports a value of the wrong kind.
    pub fn wrong_type(&mut self, node: &Node, wanted: &str) {
        let message = format!("wanted {wanted}, found {}", node.kind());
        self.report(Diagnostic::error("P005", &node.at, message).label(format!("want {wanted}")));
    }

    /// A text (numbers and truth values count, as they were written).
    pub fn text(&mut self, node: &Node) -> Option<Spanned<String>> {
        let text = node.scalar().map(|text| Spanned::new(text.to_owned(), node.at.clone()));
        if text.is_none() {
            self.wrong_type(node, "a text");
        }
        text
    }

    /// A member that is a text, if it is there.
    pub fn optional_text(&mut self, node: &Node, name: &str) -> Option<Spanned<String>> {
        node.get(name).and_then(|member| self.text(member))
    }

    /// A member that is a text and must be there.
    pub fn required_text(&mut self, node: &Node, name: &str) -> Option<Spanned<String>> {
        let member = self.required(node, name)?;
        self.text(member)
    }

    /// A list of texts; a single text counts as a list of one.
    pub fn texts(&mut self, node: &Node) -> Vec<Spanned<String>> {
        match &node.value {
            Value::List(nodes) => nodes.iter().filter_map(|node| self.text(node)).collect(),
            _ => self.text(node).into_iter().collect(),
        }
    }

    /// A member that is a list of texts; empty if it is not there.
    pub fn optional_texts(&mut self, node: &Node, name: &str) -> Vec<Spanned<String>> {
        node.get(name).map(|member| self.texts(member)).unwrap_or_default()
    }

    /// The members of a map.
    pub fn members<'a>(&mut self, node: &'a Node) -> &'a [(Spanned<String>, Node)] {
        match &node.value {
            Value::Map(members) => members,
            _ => {
                self.wrong_type(node, "a map");
                &[]
            }
        }
    }

    /// A member that is `true` or `false`; false if it is not there.
    pub fn flag(&mut self, node: &Node, name: &str) -> bool {
        match node.get(name) {
            None => false,
            Some(Node { value: Value::Bool(value), .. }) => *value,
            Some(other) => {
                let message = format!("wanted true or false, found {}", other.kind());
                self.report(
                    Diagnostic::error("P005", &other.at, message)
                        .label("want true or false")
                        .help("write `true` or `false`; `yes`, `on` and `1` are no truth values"),
                );
                false
            }
        }
    }

    /// A member that is a whole number of at least 1, if it is there.
    pub fn optional_count(&mut self, node: &Node, name: &str) -> Option<Spanned<u64>> {
        let member = node.get(name)?;
        match member.scalar().and_then(|text| text.parse::<u64>().ok()).filter(|count| *count > 0) {
            Some(count) => Some(Spanned::new(count, member.at.clone())),
            None => {
                self.wrong_type(member, "a whole number of at least 1");
                None
            }
        }
    }

    /// A member that is a whole number, zero included, if it is there; its
    /// bounds are somebody else's to know.
    pub fn optional_whole(&mut self, node: &Node, name: &str) -> Option<Spanned<u64>> {
        let member = node.get(name)?;
        let number = member.scalar().and_then(|text| text.parse().ok());
        if number.is_none() {
            self.wrong_type(member, "a whole number");
        }
        number.map(|number| Spanned::new(number, member.at.clone()))
    }

    /// A field path.
    pub fn path(&mut self, written: &Spanned<String>) -> Option<Spanned<Path>> {
        match Path::from_str(&written.value) {
            Ok(path) => Some(Spanned::new(path, written.at.clone())),
            Err(why) => {
                self.report(
                    Diagnostic::error("P008", &written.at, format!("`{}` is not a field path", written.value))
                        .label(why.to_string()),
                );
                None
            }
        }
    }

    /// One of a few words.
    pub fn word<T: Copy>(&mut self, written: &Spanned<String>, what: &str, words: &[(&str, T)]) -> Option<T> {
        let found = words.iter().find(|(word, _)| *word == written.value).map(|(_, meaning)| *meaning);
        if found.is_none() {
            let known = || words.iter().map(|(word, _)| *word);
            let unknown = Diagnostic::error("P025", &written.at, format!("`{}` is no {what}", written.value))
                .label(format!("unknown {what}"))
                .suggest(nearest(&written.value, known()))
                .note(format!("known: {}", known().collect::<Vec<_>>().join(", ")));
            self.report(unknown);
        }
        found
    }
}

/// The maps within `known` that have a key of this name; if some of them are written here, those alone.
fn homes(known: &Keys, node: &Node, key: &str) -> Vec<String> {
    let has = |form: &Form| matches!(form, Form::Map(within) if within.names().any(|name| name == key));
    let all: Vec<&str> = known.iter().filter(|within| has(&within.form)).map(|within| within.name).collect();
    let written: Vec<&str> = all.iter().copied().filter(|name| node.get(name).is_some()).collect();
    let homes = if written.is_empty() { all } else { written };
    homes.iter().map(|name| format!("`{name}`")).collect()
}
