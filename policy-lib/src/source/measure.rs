//! What an export measures, its bounds and its keys, as they were written.

use super::keys::{self, Keys};
use super::read::Reader;
use crate::diagnostic::Diagnostic;
use crate::export::{Bounds, Measure, Private};
use crate::path::Path;
use crate::span::Spanned;
use crate::yaml::{Node, Value};

/// One grouping column.
#[derive(Debug)]
pub struct KeySource {
    /// Where the value stands.
    pub path: Spanned<Path>,
    /// What is said of its values.
    pub values: KeyValuesSource,
}

/// The values of a grouping column, as they were written.
#[derive(Debug)]
pub enum KeyValuesSource {
    /// Every value that is published.
    Declared(Vec<Spanned<String>>),
    /// The bounds of a private column; none where they could not be read, which is told.
    Private(Option<Private>),
}

impl Measure {
    /// Reads the one measure that an export has.
    pub(super) fn read(document: &Node, reader: &mut Reader) -> Option<Self> {
        let mut written = keys::MEASURES.iter().filter_map(|keys| Some((keys, member(document, keys.key)?)));
        let Some((known, (name, node))) = written.next() else {
            let missing = Diagnostic::error("P004", &document.at, "what this export measures is missing");
            let choices = keys::MEASURES.each_ref().map(|measure| format!("`{}`", measure.key)).join(", ");
            reader.report(missing.label("one key is missing").help(format!("add one of {choices}, or `reports`")));
            return None;
        };
        if let Some((other, (also, _))) = written.next() {
            let message = format!("an export measures one thing, and this one has `{}` and `{}`", known.key, other.key);
            let twice = Diagnostic::error("P042", &also.at, message).label("the second measure");
            reader.report(
                twice.other(&name.at, "the first").help("make two exports of it: each has a budget of its own"),
            );
        }
        reader.allow(node, known.keys);
        Some(Self::of_members(name, known.keys, node, reader))
    }

    fn of_members(name: &Spanned<String>, known: &Keys, node: &Node, reader: &mut Reader) -> Self {
        known.iter().filter(|key| key.required).for_each(|key| {
            reader.required(node, key.name);
        });
        let of = reader.optional_text(node, "of").and_then(|written| reader.path(&written));
        let edges = if node.get("candidates").is_some() { "candidates" } else { "edges" };
        Self {
            name: name.clone(),
            of,
            clamp: reader.optional_texts(node, "clamp"),
            edges: reader.optional_texts(node, edges),
            at: reader.optional_texts(node, "at"),
            decimals: reader.optional_whole(node, "decimals"),
            k: reader.optional_whole(node, "k"),
            noise: reader.optional_text(node, "noise"),
            epsilon: reader.optional_text(node, "epsilon"),
            rho: reader.optional_text(node, "rho"),
            delta: reader.optional_text(node, "delta"),
        }
    }
}

impl Bounds {
    pub(super) fn read(document: &Node, reader: &mut Reader) -> Option<Self> {
        let node = reader.required(document, "bounds")?;
        reader.allow(node, &keys::BOUNDS);
        reader.required(node, "keys_per_unit")?;
        Some(Self {
            keys_per_unit: reader.optional_count(node, "keys_per_unit")?,
            rows_per_key: reader.optional_count(node, "rows_per_key"),
            rows_per_unit: reader.optional_count(node, "rows_per_unit"),
            admission: reader.optional_text(node, "admission"),
        })
    }
}

/// The grouping columns: a list of values each, or the bounds of private ones.
pub(super) fn read_keys(keys: &Node, reader: &mut Reader) -> Vec<KeySource> {
    let mut columns = Vec::new();
    for (key, node) in reader.members(keys) {
        let values = match node.value {
            Value::Map(_) => KeyValuesSource::Private(private(node, reader)),
            _ => KeyValuesSource::Declared(reader.texts(node)),
        };
        columns.extend(reader.path(key).map(|path| KeySource { path, values }));
    }
    columns
}

fn private(node: &Node, reader: &mut Reader) -> Option<Private> {
    reader.allow(node, &keys::PRIVATE);
    reader.required(node, "min_units")?;
    let min_units = reader.optional_count(node, "min_units")?;
    Some(Private { at: node.at.clone(), min_units, keys_max: reader.optional_count(node, "keys_max") })
}

/// A member with its key.
fn member<'a>(node: &'a Node, name: &str) -> Option<(&'a Spanned<String>, &'a Node)> {
    let Value::Map(members) = &node.value else { return None };
    members.iter().find(|(key, _)| key.value == name).map(|(key, node)| (key, node))
}
