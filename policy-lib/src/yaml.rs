//! YAML text to a tree in which every value remembers its place.
//!
//! Promise: the text of a number stays as it was written (`0.10` is not `0.1`),
//! `no` is a word, a key that stands twice is an error, and an alias bomb runs
//! into a budget. Not here: what any of it means; [`crate::source`] reads that.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::span::{Span, Spanned};

/// A value of a policy file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Where it stands.
    pub at: Span,
    /// What it is.
    pub value: Value,
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing, `null` or `~`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, in the digits it was written in.
    Number(String),
    /// Any other scalar.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in written order.
    Map(Vec<(Spanned<String>, Node)>),
}

impl Node {
    /// What kind of value this is, in words for a message.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// The text of a scalar as it was written.
    #[must_use]
    pub fn scalar(&self) -> Option<&str> {
        match &self.value {
            Value::Bool(true) => Some("true"),
            Value::Bool(false) => Some("false"),
            Value::Number(text) | Value::Text(text) => Some(text),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// The member of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        match &self.value {
            Value::Map(members) => members.iter().find(|(key, _)| key.value == name).map(|(_, node)| node),
            _ => None,
        }
    }

    /// The JSON that an author means: members in written order, numbers as they were written.
    pub fn json(&self, out: &mut String) {
        self.write(Notation::Meant, out);
    }

    /// Canonical JSON: members sorted, no white space, scalars as texts.
    pub fn canonical(&self, out: &mut String) {
        self.write(Notation::Canonical, out);
    }

    fn write(&self, notation: Notation, out: &mut String) {
        match &self.value {
            Value::Null => out.push_str("null"),
            Value::List(nodes) => {
                out.push('[');
                for (at, node) in nodes.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    node.write(notation, out);
                }
                out.push(']');
            }
            Value::Map(members) => {
                let mut members: Vec<_> = members.iter().collect();
                if notation == Notation::Canonical {
                    members.sort_by(|(a, _), (b, _)| a.value.cmp(&b.value));
                }
                out.push('{');
                for (at, (key, node)) in members.into_iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    push_json_text(&key.value, out);
                    out.push(':');
                    node.write(notation, out);
                }
                out.push('}');
            }
            Value::Bool(_) | Value::Number(_) | Value::Text(_) => {
                let written = self.scalar().unwrap_or_default();
                if notation == Notation::Meant && self.is_json() {
                    out.push_str(written)
                } else {
                    push_json_text(written, out)
                }
            }
        }
    }

    /// Whether a scalar is no text in JSON either. What YAML takes for a number and JSON does not is one.
    fn is_json(&self) -> bool {
        match &self.value {
            Value::Bool(_) => true,
            Value::Number(text) => serde_json::from_str::<serde_json::Number>(text).is_ok(),
            _ => false,
        }
    }
}

/// What a tree is written as JSON for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Notation {
    Meant,
    Canonical,
}

fn push_json_text(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

/// A text that is no YAML, or more than a file may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotYaml {
    /// What is wrong, in the author's words.
    pub message: String,
    /// Where.
    pub at: Span,
    /// The way out, where it is YAML and only too much of it.
    pub too_much: Option<&'static str>,
}

/// The most bytes one file may hold.
pub const BYTES_MAX: usize = 2 << 20;
/// The most values one file may hold: texts, lists and maps, those that aliases repeat included.
pub const VALUES_MAX: usize = 250_000;
/// How deep values may stand in each other.
pub const DEPTH_MAX: usize = 64;
/// The most documents one file may hold.
pub const DOCUMENTS_MAX: usize = 100_000;
/// The most anchors and aliases one file may hold.
pub const ALIASES_MAX: usize = 10_000;
/// The most values that aliases may repeat in one file.
pub const REPEATED_MAX: usize = 100_000;

const SPLIT: &str = "split the file: a directory may hold many";
const FLATTEN: &str = "write it flatter: nothing in a policy stands that deep";
const WRITE_OUT: &str = "write out what they stand for, or split the file";

/// The bounds a text may run into: how the parser's message begins, what there is too much of, and the way out.
fn bounds() -> [(&'static str, String, &'static str); 7] {
    let values = format!("there are more than {VALUES_MAX} values in one file");
    let deep = format!("values stand more than {DEPTH_MAX} deep in each other");
    [
        ("budget breached: Nodes", values.clone(), SPLIT),
        ("budget breached: Events", values, SPLIT),
        ("budget breached: Documents", format!("there are more than {DOCUMENTS_MAX} documents in one file"), SPLIT),
        ("budget breached: Depth", deep.clone(), FLATTEN),
        ("recursion limit exceeded", deep, FLATTEN),
        ("alias replay", format!("aliases repeat more than {REPEATED_MAX} values"), WRITE_OUT),
        // What is left is about anchors, aliases and the text they repeat.
        (
            "budget breached",
            format!("there are more than {ALIASES_MAX} anchors or aliases, or they repeat too much"),
            WRITE_OUT,
        ),
    ]
}

/// The parser names its bounds and what it wanted by its own types.
fn in_our_words(theirs: &str, at: Span) -> NotYaml {
    // Its message ends with its own idea of the place; ours points better.
    let theirs = theirs.split(" at line ").next().unwrap_or_default().replace('\n', " ");
    if let Some((_, message, help)) = bounds().into_iter().find(|(begins, ..)| theirs.starts_with(begins)) {
        return NotYaml { message, at, too_much: Some(help) };
    }
    // Nor is its advice for those who call it any for those who wrote the file.
    let plain = theirs.split(", set DuplicateKeyPolicy").next().unwrap_or_default();
    let jargon = ["serialize", "Option", "::", "invalid type"];
    let message = match plain {
        plain if plain.contains("string") && !plain.contains("quote") => "a key has to be a text",
        plain if jargon.iter().any(|word| plain.contains(word)) => "this cannot be read here",
        plain => plain,
    };
    NotYaml { message: message.to_owned(), at, too_much: None }
}

/// Reads every document of one file.
///
/// # Errors
/// [`NotYaml`] for the first place the parser cannot read; it cannot go on from there.
pub fn documents(text: &str, file: usize) -> Result<Vec<Node>, NotYaml> {
    if text.len() > BYTES_MAX {
        let message = format!("the file holds {} bytes, more than {BYTES_MAX}", text.len());
        return Err(NotYaml { message, at: Span { file, bytes: 0..0 }, too_much: Some(SPLIT) });
    }
    let mut options = serde_saphyr::Options::default();
    options.alias_limits.max_total_replayed_events = REPEATED_MAX;
    if let Some(budget) = &mut options.budget {
        budget.max_nodes = VALUES_MAX;
        budget.max_depth = DEPTH_MAX;
        budget.max_documents = DOCUMENTS_MAX;
        budget.max_anchors = ALIASES_MAX;
        budget.max_aliases = ALIASES_MAX;
        budget.max_merge_keys = ALIASES_MAX;
    }
    let drafts: Vec<Draft> = serde_saphyr::from_multiple_with_options(text, options).map_err(|error| {
        let error = error.without_snippet();
        let bytes = error.location().map_or(0..0, |location| bytes_of(text, &location));
        in_our_words(&error.to_string(), Span { file, bytes })
    })?;
    Ok(drafts.into_iter().map(|draft| draft.settle(text, file)).collect())
}

/// The bytes a location covers.
fn bytes_of(text: &str, location: &serde_saphyr::Location) -> std::ops::Range<usize> {
    let span = location.span();
    match (span.byte_offset(), span.byte_len()) {
        (Some(start), length) => {
            let start = usize::try_from(start).unwrap_or(0).min(text.len());
            let length = usize::try_from(length.unwrap_or(0)).unwrap_or(0);
            start..(start + length).min(text.len())
        }
        _ => line_start(text, location.line())..line_start(text, location.line()),
    }
}

fn line_start(text: &str, line: u64) -> usize {
    let before = usize::try_from(line.saturating_sub(1)).unwrap_or(0);
    text.split_inclusive('\n').take(before).map(str::len).sum()
}

/// A node as the parser hands it over: places not yet turned into bytes.
#[derive(Debug)]
struct Draft(serde_saphyr::Spanned<DraftValue>);

#[derive(Debug)]
enum DraftValue {
    Null,
    Bool(bool),
    Number,
    Text(String),
    List(Vec<Draft>),
    Map(Vec<(serde_saphyr::Spanned<String>, Draft)>),
}

impl Draft {
    fn settle(self, text: &str, file: usize) -> Node {
        let mut bytes = bytes_of(text, &self.0.referenced);
        let written = text.get(bytes_of(text, &self.0.defined)).unwrap_or_default().trim();
        let value = match self.0.value {
            DraftValue::Null => Value::Null,
            DraftValue::Bool(value)
                if written.eq_ignore_ascii_case("true") || written.eq_ignore_ascii_case("false") =>
            {
                Value::Bool(value)
            }
            // `no`, `on` and `y` are words: a country code is not a truth value.
            DraftValue::Bool(_) => Value::Text(written.to_owned()),
            DraftValue::Number => Value::Number(written.to_owned()),
            DraftValue::Text(value) => Value::Text(value),
            DraftValue::List(nodes) => Value::List(nodes.into_iter().map(|node| node.settle(text, file)).collect()),
            DraftValue::Map(members) => {
                let members = members.into_iter().map(|(key, node)| {
                    let at = Span { file, bytes: bytes_of(text, &key.referenced) };
                    (Spanned::new(key.value, at), node.settle(text, file))
                });
                Value::Map(members.collect())
            }
        };
        // A block ends where the next begins; point at its first line instead.
        if matches!(value, Value::List(_) | Value::Map(_)) {
            let first_line = text.get(bytes.clone()).and_then(|block| block.find('\n')).unwrap_or(bytes.len());
            bytes.end = bytes.start + first_line;
        }
        Node { at: Span { file, bytes }, value }
    }
}

impl<'de> Deserialize<'de> for Draft {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde_saphyr::Spanned::deserialize(deserializer).map(Self)
    }
}

impl<'de> Deserialize<'de> for DraftValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = DraftValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<DraftValue, E> {
        Ok(DraftValue::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<DraftValue, E> {
        Ok(DraftValue::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<DraftValue, E> {
        Ok(DraftValue::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<DraftValue, E> {
        Ok(DraftValue::Number)
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<DraftValue, E> {
        Ok(DraftValue::Number)
    }

    fn visit_i128<E: de::Error>(self, _: i128) -> Result<DraftValue, E> {
        Ok(DraftValue::Number)
    }

    fn visit_u128<E: de::Error>(self, _: u128) -> Result<DraftValue, E> {
        Ok(DraftValue::Number)
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<DraftValue, E> {
        Ok(DraftValue::Number)
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<DraftValue, E> {
        Ok(DraftValue::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<DraftValue, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = items.next_element()? {
            nodes.push(node);
        }
        Ok(DraftValue::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<DraftValue, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = entries.next_entry()? {
            members.push(member);
        }
        Ok(DraftValue::Map(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "a: no\nb: 0.10\nc: [x, 'y']\n---\nd:\n  e: true\n  f:\n";

    #[test]
    fn values_keep_their_text_and_place() {
        let documents = documents(TEXT, 3).unwrap();
        assert_eq!(documents.len(), 2);
        let first = &documents[0];
        assert_eq!(first.get("a").unwrap().value, Value::Text("no".into()));
        assert_eq!(first.get("b").unwrap().value, Value::Number("0.10".into()));
        let b = first.get("b").unwrap();
        assert_eq!((&TEXT[b.at.bytes.clone()], b.at.file), ("0.10", 3));
        let Value::Map(members) = &first.value else { panic!() };
        assert_eq!(&TEXT[members[2].0.at.bytes.clone()], "c");
        let d = documents[1].get("d").unwrap();
        assert_eq!(d.get("e").unwrap().value, Value::Bool(true));
        assert_eq!(&TEXT[d.get("e").unwrap().at.bytes.clone()], "true");
        assert_eq!(d.get("f").unwrap().value, Value::Null);
    }

    #[test]
    fn canonical_form_forgets_layout_only() {
        let canonical = |text: &str| {
            let mut out = String::new();
            documents(text, 0).unwrap()[0].canonical(&mut out);
            out
        };
        assert_eq!(canonical("b: [1, x]\na: {c: null}"), r#"{"a":{"c":null},"b":["1","x"]}"#);
        assert_eq!(canonical("# hello\na:\n  c: ~\nb:\n- 1\n- \"x\""), canonical("b: [1, x]\na: {c: null}"));
    }

    #[test]
    fn what_is_not_yaml_is_pointed_at() {
        let error = documents("a: 1\na: 2\n", 0).unwrap_err();
        assert!(error.message.contains("duplicate"), "{}", error.message);
        assert_eq!(error.at.bytes.start, 5);
        assert!(documents("a: [1\n", 0).is_err());
    }
}
