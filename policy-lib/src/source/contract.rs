//! `kind: Contract` as it was written.

use super::{Reader, keys, name_of};
use crate::diagnostic::Diagnostic;
use crate::encoding::{self, Encoding};
use crate::format::Format;
use crate::path::{Origin, Path};
use crate::policy::{FieldTypes, Role};
use crate::shape::FIELDS_MAX;
use crate::snowplow;
use crate::span::{Span, Spanned};
use crate::taxonomy::nearest;
use crate::yaml::{Node, Value};

/// A path and the values an event may have there to be of this type.
pub type ConditionSource = (Spanned<Path>, Vec<String>);

/// The agreed schema of an event type.
#[derive(Debug)]
pub struct ContractSource {
    /// `metadata.name`.
    pub name: Spanned<String>,
    /// `metadata.version`; 1 if not written.
    pub version: String,
    /// The wire format it is about.
    pub format: Format,
    /// What an event must hold to be of this type: a path and its allowed values.
    pub conditions: Vec<ConditionSource>,
    /// The declared fields.
    pub fields: Vec<FieldSource>,
    /// Whom its events are about: data subjects of the taxonomy.
    pub subjects: Vec<Spanned<String>>,
    /// Where the document's `match` stands.
    pub at: Span,
}

/// One declared field.
#[derive(Clone, Debug)]
pub struct FieldSource {
    /// Where its value stands in an event.
    pub path: Spanned<Path>,
    /// The types it may have; empty if not written.
    pub types: FieldTypes,
    /// The data category.
    pub category: Option<Spanned<String>>,
    /// Whether an event without it is invalid.
    pub required: bool,
    /// The only values it may have.
    pub values: Option<Vec<String>>,
    /// The most characters it may have.
    pub max_length: Option<u64>,
    /// Whether people type it.
    pub free_text: bool,
    /// Whether it holds a URL or a part of one.
    pub url: bool,
    /// What the envelope uses it for.
    pub role: Option<Role>,
    /// For `*`: the member names that may leave.
    pub keys: Vec<String>,
    /// For `*`: the category of the member names.
    pub key_category: Option<Spanned<String>>,
    /// How its value is encoded.
    pub encoding: Option<Spanned<Encoding>>,
    /// What kept or scrubbed text may hold; `user` if not written.
    pub may_contain: Vec<Spanned<String>>,
}

pub(super) const ROLES: [(&str, Role); 5] = [
    ("subject", Role::Subject),
    ("routing", Role::Routing),
    ("auth", Role::Auth),
    ("schema", Role::Schema),
    ("age", Role::Age),
];

pub(crate) const TYPES: [(&str, FieldTypes); 6] = [
    ("string", FieldTypes::STRING),
    ("integer", FieldTypes::INTEGER),
    ("number", FieldTypes::NUMBER),
    ("boolean", FieldTypes::BOOLEAN),
    ("object", FieldTypes::OBJECT),
    ("array", FieldTypes::ARRAY),
];

impl ContractSource {
    pub(super) fn read(document: &Node, reader: &mut Reader) -> Option<Self> {
        reader.allow(document, &keys::CONTRACT);
        let name = name_of(document, reader);
        let version = document.get("metadata").and_then(|metadata| reader.optional_text(metadata, "version"));
        let version = version.map_or_else(|| "1".to_owned(), |version| version.value);
        let matched = reader.required(document, "match")?;
        let (format, conditions) = read_match(matched, reader);
        let fields = document.get("fields").map(|fields| FieldSource::read_all(fields, reader)).unwrap_or_default();
        let fields = match format {
            Some(Format::Snowplow) => fields.into_iter().filter_map(FieldSource::opened).collect(),
            _ => fields,
        };
        let subjects = reader.optional_texts(document, "subjects");
        Some(Self { name: name?, version, format: format?, conditions, fields, subjects, at: matched.at.clone() })
    }
}

fn read_match(matched: &Node, reader: &mut Reader) -> (Option<Format>, Vec<ConditionSource>) {
    let mut format = None;
    let mut conditions = Vec::new();
    if matched.get("format").is_none() {
        reader.required(matched, "format");
    }
    // What the paths mean depends on the format, wherever that stands.
    if let Some(value) = matched.get("format") {
        let formats = Format::ALL.map(|format| (format.name(), format));
        format = reader.text(value).and_then(|written| reader.word(&written, "wire format", &formats));
    }
    for (key, value) in reader.members(matched) {
        if key.value == "format" {
            continue;
        }
        if let Some(mut path) = reader.path(key) {
            if format == Some(Format::Snowplow) {
                path.value = snowplow::condition(path.value);
            }
            conditions.push((path, reader.texts(value).into_iter().map(|text| text.value).collect()));
        }
    }
    if format == Some(Format::Snowplow) {
        conditions.extend(snowplow::implied(&conditions));
    }
    (format, conditions)
}

impl FieldSource {
    /// Reads the members of `fields:`.
    pub fn read_all(fields: &Node, reader: &mut Reader) -> Vec<Self> {
        // One more than there may be is enough to say so.
        let fields = reader.members(fields).iter().take(FIELDS_MAX + 1);
        fields.filter_map(|(key, value)| Self::read(key, value, reader)).collect()
    }

    fn read(key: &Spanned<String>, node: &Node, reader: &mut Reader) -> Option<Self> {
        let path = reader.path(key)?;
        reader.allow(node, &keys::FIELD);
        let field = Self {
            path,
            types: read_types(node, reader),
            category: reader.optional_text(node, "category"),
            required: reader.flag(node, "required"),
            values: node.get("enum").map(|values| reader.texts(values).into_iter().map(|text| text.value).collect()),
            max_length: reader.optional_count(node, "max_length").map(|count| count.value),
            free_text: reader.flag(node, "free_text"),
            url: reader.flag(node, "url"),
            role: reader.optional_text(node, "role").and_then(|written| reader.word(&written, "role", &ROLES)),
            keys: reader.optional_texts(node, "keys").into_iter().map(|key| key.value).collect(),
            key_category: reader.optional_text(node, "key_category"),
            encoding: reader.optional_text(node, "encoding").and_then(|written| read_encoding(written, reader)),
            may_contain: reader.optional_texts(node, "may_contain"),
        };
        reader.optional_text(node, "description");
        field.check_wildcard(reader);
        Some(field)
    }

    /// The field in Snowplow's opened events: self-describing JSON has one spelling
    /// there, and needs no encoding. `None` where nothing else was said.
    fn opened(mut self) -> Option<Self> {
        self.path.value = snowplow::opened(self.path.value);
        if self.encoding.is_some() && snowplow::is_opened(&self.path.value) {
            self.encoding = None;
            self.category.as_ref()?;
        }
        Some(self)
    }

    /// `*` says nothing about the names it covers, so the author has to.
    fn check_wildcard(&self, reader: &mut Reader) {
        let any_key = self.path.value.steps.iter().filter(|step| **step == crate::path::Step::AnyKey).count();
        let ruled = !self.keys.is_empty() || self.key_category.is_some();
        if any_key > 0 && !ruled {
            let open = Diagnostic::error("P024", &self.path.at, "`*` covers names that a sender chooses")
                .label("which names may leave?")
                .help("list them in `keys: [...]`, or give the names a category with `key_category:` and a rule")
                .note("a name chosen by a sender may itself be personal");
            reader.report(open);
        }
        if any_key > 0 && self.keys.is_empty() && self.path.value.origin != Origin::Event {
            let unnamed =
                Diagnostic::error("P024", &self.path.at, "only named parts of a request around its body leave")
                    .label("which names may leave?")
                    .help("list them in `keys: [...]`");
            reader.report(unnamed);
        } else if any_key > 1 || (any_key == 0 && ruled) {
            let message = "`keys` and `key_category` belong to a path with exactly one `*`";
            reader.report(Diagnostic::error("P024", &self.path.at, message));
        }
    }
}

fn read_encoding(written: Spanned<String>, reader: &mut Reader) -> Option<Spanned<Encoding>> {
    match written.value.parse() {
        Ok(encoding) => Some(Spanned::new(encoding, written.at)),
        Err(why) => {
            let message = format!("`{}` is no encoding", written.value);
            let unknown = Diagnostic::error("P025", &written.at, message).label("unknown encoding");
            reader.report(unknown.suggest(nearest(&written.value, encoding::WORDS.into_iter())).help(why.to_string()));
            None
        }
    }
}

fn read_types(node: &Node, reader: &mut Reader) -> FieldTypes {
    let Some(member) = node.get("type") else { return FieldTypes::NONE };
    if let Value::Map(_) = member.value {
        reader.wrong_type(member, "a type or a list of types");
    }
    let words = reader.texts(member);
    words.iter().filter_map(|word| reader.word(word, "type", &TYPES)).fold(FieldTypes::NONE, FieldTypes::or)
}
