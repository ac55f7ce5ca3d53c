//! From what authors wrote to what it means, with every mistake at once.

mod actions;
mod conflicts;
mod contracts;
mod counted;
mod exports;
mod limits;
mod rules;
mod surveys;
mod warnings;

use std::collections::HashMap;
use std::sync::LazyLock;

use sha2::{Digest as _, Sha256};

use crate::consent::{Audiences, Strings};
use crate::diagnostic::{Diagnostic, Severity, SourceFile};
use crate::policy::{Contract, Destination, Digest, Policy, Purpose, PurposeSet};
use crate::shared::SharedCache;
use crate::source::{self, PolicySource};
use crate::span::{Span, Spanned};
use crate::taxonomy::{self, Taxonomy};
use crate::verdict::{Covering, VerdictCache};

/// What came of compiling: warnings may stand beside a policy.
#[derive(Debug)]
pub struct Compiled {
    /// The policy, unless an error stands in its way.
    pub policy: Option<Policy>,
    /// Every error and warning, in the order of their places.
    pub diagnostics: Vec<Diagnostic>,
}

/// Compiles the files of a policy directory.
///
/// Files are told apart by `kind`, never by name; their order changes nothing.
#[must_use]
pub fn compile(files: &[SourceFile]) -> Compiled {
    let (mut source, diagnostics) = source::read(files);
    source.sort();
    let unread = diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
    let mut compiler = Compiler { taxonomy: shipped_taxonomy(), unread, diagnostics };
    let policy = compiler.compile(&source);
    let mut diagnostics = compiler.diagnostics;
    diagnostics.sort_by_key(|diagnostic| (diagnostic.at.file, diagnostic.at.bytes.start, diagnostic.code));
    diagnostics.dedup();
    let broken = diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
    limits::tell_the_first(&mut diagnostics);
    Compiled { policy: policy.filter(|_| !broken), diagnostics }
}

/// The taxonomy that ships inside.
#[must_use]
pub fn shipped_taxonomy() -> Taxonomy {
    SHIPPED_TAXONOMY.clone()
}

/// Read once: every policy begins with it.
static SHIPPED_TAXONOMY: LazyLock<Taxonomy> = LazyLock::new(|| {
    let mut compiler = Compiler { taxonomy: Taxonomy::default(), unread: false, diagnostics: Vec::new() };
    let shipped = [("fideslang.yaml", taxonomy::FIDESLANG), ("privet.yaml", taxonomy::ADDITIONS)];
    let files = shipped.map(|(name, text)| SourceFile { name: name.to_owned(), text: text.to_owned() });
    let (source, errors) = source::read(&files);
    debug_assert!(errors.is_empty(), "the shipped taxonomy does not read");
    source.taxonomies.iter().for_each(|shipped| compiler.extend_taxonomy(shipped));
    compiler.taxonomy
});

/// Names known so far, and mistakes found so far.
struct Compiler {
    taxonomy: Taxonomy,
    /// Whether something was written that could not be read.
    unread: bool,
    diagnostics: Vec<Diagnostic>,
}

impl Compiler {
    fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    fn compile(&mut self, source: &PolicySource) -> Option<Policy> {
        if !self.fits(source) {
            return None;
        }
        source.taxonomies.iter().for_each(|extension| self.extend_taxonomy(extension));
        self.check_names("contract", source.contracts.iter().map(|contract| &contract.name));
        self.check_names("purpose", source.purposes.iter().map(|purpose| &purpose.name));
        self.check_names("destination", source.destinations.iter().map(|destination| &destination.name));
        self.check_names("rule", source.rules.iter().map(|rule| &rule.name));
        let surveys = source.surveys.iter().map(|survey| &survey.name);
        self.check_names("export", source.exports.iter().map(|export| &export.name).chain(surveys));
        self.check_names("detector set", source.detector_sets.iter().map(|set| &set.name));

        let places = places(source);
        let purposes = self.purposes(source, &places);
        let mut contracts: Vec<Contract> = source.contracts.iter().map(|contract| self.contract(contract)).collect();
        self.narrow_purposes(source, &mut contracts);
        let mut destinations: Vec<Destination> =
            source.destinations.iter().map(|destination| self.destination(destination, &purposes)).collect();
        let audiences = Audiences::of(&mut destinations, source.destinations.iter().map(|to| to.tcf_vendor));
        self.check_primary(source);
        let detectors = self.detector_sets(source);
        let rules = self.rules(source, &contracts, &destinations, &places, &detectors);
        let exports = source.exports.iter().filter_map(|export| self.export(export, &contracts, &purposes)).collect();
        let surveys = source.surveys.iter().filter_map(|survey| self.survey(survey, &contracts, &purposes)).collect();
        let matcher = self.matcher(source, &contracts);
        let covering = Covering::of(&contracts, &purposes, &rules);
        let policy = Policy {
            digest: digest(source),
            contracts,
            purposes,
            strings: Strings::of(source),
            destinations,
            audiences,
            rules,
            exports,
            surveys,
            places,
            taxonomy: self.taxonomy.clone(),
            matcher,
            covering,
            verdicts: VerdictCache::default(),
            shared: SharedCache::default(),
        };
        // With a name missing, fields go unruled that the author did rule: the first mistake is enough.
        if !self.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error) {
            self.check_forms(source, &policy);
            self.check_requirements(source, &policy);
        }
        self.warn(source, &policy);
        Some(policy)
    }

    fn extend_taxonomy(&mut self, extension: &source::TaxonomySource) {
        let Taxonomy { categories, uses, subjects } = &mut self.taxonomy;
        for (tree, additions) in
            [(categories, &extension.categories), (uses, &extension.uses), (subjects, &extension.subjects)]
        {
            let mut sorted: Vec<_> = additions.iter().collect();
            sorted.sort_by(|(a, _), (b, _)| a.value.cmp(&b.value));
            for (key, meaning) in sorted {
                if !tree.add(&key.value, meaning) {
                    let parent = key.value.rsplit_once('.').map_or("", |(parent, _)| parent);
                    self.diagnostics.push(
                        Diagnostic::error("P027", &key.at, format!("`{}` has no parent in the taxonomy", key.value))
                            .help(format!("add `{parent}` first")),
                    );
                }
            }
        }
    }

    /// What to say of a purpose that no `kind: Purpose` declares; nothing where
    /// the taxonomy has none of this name, or where it may be missing only
    /// because it could not be read or its name is wrong.
    fn undeclared(&self, purpose: &Spanned<String>, purposes: &[Purpose]) -> Option<Diagnostic> {
        let told = self.unread || self.diagnostics.iter().any(|diagnostic| diagnostic.code == "P012");
        if told || !self.taxonomy.uses.contains(&purpose.value) {
            return None;
        }
        let message = format!("nothing says what permits the purpose `{}`", purpose.value);
        let names = purposes.iter().map(|purpose| purpose.name.as_str());
        let undeclared = Diagnostic::error("P013", &purpose.at, message).label("no such `kind: Purpose`");
        Some(undeclared.suggest(taxonomy::nearest(&purpose.value, names)))
    }

    /// A name of one kind may stand once.
    fn check_names<'a>(&mut self, kind: &str, names: impl Iterator<Item = &'a Spanned<String>>) {
        let mut seen: HashMap<&str, &Span> = HashMap::new();
        for name in names {
            if let Some(first) = seen.insert(&name.value, &name.at) {
                let twice = Diagnostic::error(
                    "P007",
                    &name.at,
                    format!("there are two documents for the {kind} `{}`", name.value),
                )
                .label("again here")
                .other(first, "first here")
                .help("rename one of them, or merge them");
                self.report(twice);
            }
        }
    }

    /// Reports a data category that does not exist.
    fn check_category(&mut self, category: &Spanned<String>) {
        if !self.taxonomy.categories.contains(&category.value) {
            let unknown = Diagnostic::error(
                "P009",
                &category.at,
                format!("the data category `{}` is not in the taxonomy", category.value),
            )
            .label("unknown data category")
            .suggest(self.taxonomy.categories.nearest(&category.value))
            .note("a data category must exist in the taxonomy before it may be used; `kind: Taxonomy` adds one");
            self.report(unknown);
        }
    }

    /// Reports a data subject that does not exist.
    fn check_subject(&mut self, subject: &Spanned<String>) {
        if !self.taxonomy.subjects.contains(&subject.value) {
            let message = format!("the data subject `{}` is not in the taxonomy", subject.value);
            let unknown = Diagnostic::error("P032", &subject.at, message)
                .label("unknown data subject")
                .suggest(self.taxonomy.subjects.nearest(&subject.value))
                .note("a data subject must exist in the taxonomy before it may be used; `kind: Taxonomy` adds one");
            self.report(unknown);
        }
    }

    /// Reports a purpose that does not exist.
    fn check_use(&mut self, purpose: &Spanned<String>) {
        if !self.taxonomy.uses.contains(&purpose.value) {
            let unknown = Diagnostic::error(
                "P012",
                &purpose.at,
                format!("the purpose `{}` is not in the taxonomy", purpose.value),
            )
            .label("unknown purpose")
            .suggest(self.taxonomy.uses.nearest(&purpose.value))
            .note("a purpose must exist in the taxonomy before it may be used; `kind: Taxonomy` adds one");
            self.report(unknown);
        }
    }

    /// Exactly one destination answers the client.
    fn check_primary(&mut self, source: &PolicySource) {
        let primaries: Vec<_> = source.destinations.iter().filter(|destination| destination.primary).collect();
        match (primaries.as_slice(), source.destinations.first()) {
            ([_], _) => {}
            // It may stand in what could not be read.
            ([], _) if self.unread => {}
            ([], None) => self.report(
                Diagnostic::error("P018", &source::nowhere(), "there is no destination")
                    .help("add a `kind: Destination`"),
            ),
            ([], Some(first)) => self.report(
                Diagnostic::error("P018", &first.name.at, "no destination is primary")
                    .help("write `primary: true` at the one whose answer is the client's"),
            ),
            ([first, second, ..], _) => self.report(
                Diagnostic::error("P018", &second.name.at, "two destinations are primary")
                    .label("second here")
                    .other(&first.name.at, "first here")
                    .help("only one destination's answer can be the client's"),
            ),
        }
    }
}

/// Every jurisdiction that is named, `default` first, the rest sorted.
fn places(source: &PolicySource) -> Vec<String> {
    let in_purposes = source.purposes.iter().flat_map(|purpose| purpose.jurisdictions.iter().map(|(place, _)| place));
    let in_rules = source.rules.iter().flat_map(|rule| &rule.jurisdictions);
    let mut places: Vec<String> = in_purposes.chain(in_rules).map(|place| place.value.clone()).collect();
    places.sort();
    places.dedup();
    places.retain(|place| place != "default");
    places.insert(0, "default".to_owned());
    places
}

/// SHA-256 over the sorted canonical documents, each ended by a newline.
fn digest(source: &PolicySource) -> Digest {
    let mut documents: Vec<&str> = source.canonical.iter().map(String::as_str).collect();
    documents.sort_unstable();
    let mut hash = Sha256::new();
    hash.update(b"privet policy v1\n");
    for document in documents {
        hash.update(document.as_bytes());
        hash.update(b"\n");
    }
    Digest(hash.finalize().into())
}

/// The declared purposes that a written name covers.
fn declared(purposes: &[Purpose], written: &str) -> PurposeSet {
    let covered = purposes.iter().enumerate().filter(|(_, purpose)| taxonomy::covers(written, &purpose.name));
    covered.fold(PurposeSet::default(), |set, (number, _)| {
        set.with(crate::policy::PurposeNo(u8::try_from(number).unwrap_or(u8::MAX)))
    })
}

/// Where to point when a name is missing.
fn spot(name: &Spanned<String>) -> &Span {
    &name.at
}
