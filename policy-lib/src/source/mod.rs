//! What policy authors wrote: every kind of document, every value with its place.
//!
//! Promise: reading never stops at the first mistake; what can be read is read
//! and the rest is reported. Not here: whether names exist and rules agree;
//! [`crate::compile`] asks that.

mod contract;
pub mod keys;
mod measure;
mod read;
mod rules;
mod suite;
mod survey;
mod window;

pub(crate) use contract::TYPES;
pub use contract::{ConditionSource, ContractSource, FieldSource};
pub use measure::{KeySource, KeyValuesSource};
pub use read::Reader;
pub use rules::{ActionSource, DestinationSource, ExportSource, GoogleConsent, GrantSource, PurposeSource, RuleSource};
use suite::pairs;
pub use suite::{BodySource, CaseSource, ExpectSource, GivenSource, LeavingSource, SuiteSource};
pub use survey::SurveySource;

use crate::diagnostic::{Diagnostic, SourceFile};
use crate::span::{Span, Spanned};
use crate::taxonomy::nearest;
use crate::yaml::{self, Node, NotYaml, Value};

/// The version every document states.
pub const API_VERSION: &str = "privet.dev/v1alpha1";

/// All documents of a policy directory, by kind.
#[derive(Debug, Default)]
pub struct PolicySource {
    /// `kind: Contract`
    pub contracts: Vec<ContractSource>,
    /// `kind: Purpose`
    pub purposes: Vec<PurposeSource>,
    /// `kind: Destination`
    pub destinations: Vec<DestinationSource>,
    /// `kind: Rule`
    pub rules: Vec<RuleSource>,
    /// `kind: Export`
    pub exports: Vec<ExportSource>,
    /// `kind: Export`, of reports.
    pub surveys: Vec<SurveySource>,
    /// `kind: DetectorSet`
    pub detector_sets: Vec<DetectorSetSource>,
    /// `kind: Taxonomy`
    pub taxonomies: Vec<TaxonomySource>,
    /// `kind: Suite`
    pub suites: Vec<SuiteSource>,
    /// Canonical JSON of every document that has a meaning of its own, for the digest.
    pub canonical: Vec<String>,
}

/// One `kind: DetectorSet`: detectors under one name.
#[derive(Debug)]
pub struct DetectorSetSource {
    /// `metadata.name`.
    pub name: Spanned<String>,
    /// The names of its detectors.
    pub detectors: Vec<Spanned<String>>,
}

/// One `kind: Taxonomy`: keys to add to the trees.
#[derive(Debug, Default)]
pub struct TaxonomySource {
    /// Data categories and what they mean.
    pub categories: Vec<(Spanned<String>, String)>,
    /// Data uses and what they mean.
    pub uses: Vec<(Spanned<String>, String)>,
    /// Data subjects and what they mean.
    pub subjects: Vec<(Spanned<String>, String)>,
}

/// Reads every file.
#[must_use]
pub fn read(files: &[SourceFile]) -> (PolicySource, Vec<Diagnostic>) {
    let mut source = PolicySource::default();
    let mut reader = Reader::default();
    for (number, file) in files.iter().enumerate() {
        match yaml::documents(&file.text, number) {
            Ok(documents) => documents.iter().for_each(|document| source.take(document, &mut reader)),
            Err(error) => reader.report(unreadable(&error)),
        }
    }
    (source, reader.into_diagnostics())
}

/// What to say of a file that cannot be read.
fn unreadable(error: &NotYaml) -> Diagnostic {
    match error.too_much {
        Some(way_out) => Diagnostic::error("P040", &error.at, error.message.as_str()).help(way_out),
        None => Diagnostic::error("P001", &error.at, format!("not readable as YAML: {}", error.message)),
    }
}

impl PolicySource {
    /// Sorts every kind by name, so that numbers, and what is said about ties,
    /// never depend on which file a document stands in.
    pub fn sort(&mut self) {
        self.contracts.sort_by(|a, b| a.name.value.cmp(&b.name.value));
        self.purposes.sort_by(|a, b| a.name.value.cmp(&b.name.value));
        self.destinations.sort_by(|a, b| a.name.value.cmp(&b.name.value));
        self.rules.sort_by(|a, b| a.name.value.cmp(&b.name.value));
        self.exports.sort_by(|a, b| a.name.value.cmp(&b.name.value));
        self.surveys.sort_by(|a, b| a.name.value.cmp(&b.name.value));
    }

    /// Reads one document into the list of its kind.
    fn take(&mut self, document: &Node, reader: &mut Reader) {
        if document.value == Value::Null {
            return;
        }
        let Value::Map(_) = document.value else {
            reader.wrong_type(document, "a document with `apiVersion`, `kind` and `metadata`");
            return;
        };
        check_version(document, reader);
        let Some(kind) = reader.required(document, "kind") else { return };
        match kind.scalar() {
            Some("Contract") => self.contracts.extend(ContractSource::read(document, reader)),
            Some("Purpose") => self.purposes.extend(PurposeSource::read(document, reader)),
            Some("Destination") => self.destinations.extend(DestinationSource::read(document, reader)),
            Some("Rule") => self.rules.extend(RuleSource::read(document, reader)),
            Some("Export") if SurveySource::is_one(document) => {
                self.surveys.extend(SurveySource::read(document, reader));
            }
            Some("Export") => self.exports.extend(ExportSource::read(document, reader)),
            Some("DetectorSet") => self.detector_sets.extend(DetectorSetSource::read(document, reader)),
            Some("Taxonomy") => self.taxonomies.push(TaxonomySource::read(document, reader)),
            Some("Suite") => {
                self.suites.extend(SuiteSource::read(document, reader));
                return;
            }
            written => {
                let (written, kinds) = (written.unwrap_or_default(), keys::KINDS.map(|kind| kind.name));
                let unknown = Diagnostic::error("P002", &kind.at, format!("there is no kind `{written}`"))
                    .label("unknown kind")
                    .suggest(nearest(written, kinds.into_iter()))
                    .note(format!("the kinds are {}", kinds.join(", ")));
                reader.report(unknown);
                return;
            }
        }
        let mut canonical = String::new();
        document.canonical(&mut canonical);
        self.canonical.push(canonical);
    }
}

fn check_version(document: &Node, reader: &mut Reader) {
    let Some(version) = reader.required(document, "apiVersion") else { return };
    if version.scalar() != Some(API_VERSION) {
        let wrong = Diagnostic::error("P006", &version.at, "this apiVersion is not known")
            .help(format!("write `apiVersion: {API_VERSION}`"));
        reader.report(wrong);
    }
}

impl DetectorSetSource {
    fn read(document: &Node, reader: &mut Reader) -> Option<Self> {
        reader.allow(document, &keys::DETECTOR_SET);
        let name = name_of(document, reader);
        let listed = reader.required(document, "detectors");
        let detectors = listed.map(|node| reader.texts(node)).unwrap_or_default();
        if let Some(listed) = listed.filter(|listed| matches!(&listed.value, Value::List(all) if all.is_empty())) {
            reader.report(Diagnostic::error("P005", &listed.at, "a detector set needs at least one detector"));
        }
        Some(Self { name: name?, detectors })
    }
}

impl TaxonomySource {
    fn read(document: &Node, reader: &mut Reader) -> Self {
        reader.allow(document, &keys::TAXONOMY);
        name_of(document, reader);
        Self {
            categories: meanings(document, "categories", reader),
            uses: meanings(document, "uses", reader),
            subjects: meanings(document, "subjects", reader),
        }
    }
}

/// A map of keys to sentences.
fn meanings(document: &Node, member: &str, reader: &mut Reader) -> Vec<(Spanned<String>, String)> {
    let Some(node) = document.get(member) else { return Vec::new() };
    reader.members(node).iter().filter_map(|(key, meaning)| Some((key.clone(), reader.text(meaning)?.value))).collect()
}

/// `metadata.name`, which every named document has.
fn name_of(document: &Node, reader: &mut Reader) -> Option<Spanned<String>> {
    let metadata = reader.required(document, "metadata")?;
    reader.allow(metadata, &keys::METADATA);
    for member in ["version", "owner", "description"] {
        reader.optional_text(metadata, member);
    }
    metadata.get("labels").map(|labels| pairs(labels, reader));
    let name = reader.required(metadata, "name")?;
    reader.text(name)
}

/// A place for values that nobody wrote.
#[must_use]
pub const fn nowhere() -> Span {
    Span { file: usize::MAX, bytes: 0..0 }
}
