//! How much a policy may hold, asked before any work is done on it.
//!
//! Numbers of contracts, destinations and jurisdictions fit into few bits, so
//! that a verdict's circumstances are a handful of bytes; what does not fit
//! would be taken for another. The other bounds keep compiling within seconds.

use std::collections::HashSet;

use super::Compiler;
use crate::diagnostic::{Diagnostic, Severity};
use crate::envelope;
use crate::shape::FIELDS_MAX;
use crate::source::{ContractSource, PolicySource};
use crate::span::Span;

/// The most contracts, rules, and exports of one policy, each.
pub const DOCUMENTS_MAX: usize = 10_000;
/// The most destinations of one policy.
pub const DESTINATIONS_MAX: usize = 100;
/// The most jurisdictions that one policy may name.
pub const PLACES_MAX: usize = 250;

/// The most mistakes that are told at once.
pub const MISTAKES_MAX: usize = 1_000;

/// Cuts a long list of mistakes and says how many more there are: nobody reads them, and each costs time to show.
pub(super) fn tell_the_first(diagnostics: &mut Vec<Diagnostic>) {
    let Some(next) = diagnostics.get(MISTAKES_MAX) else { return };
    let message = format!("{} more mistakes and warnings are not shown", diagnostics.len() - MISTAKES_MAX);
    let more = Diagnostic::error("P041", &next.at, message).label("the next one").help("correct the first ones");
    let is_broken = diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
    diagnostics.truncate(MISTAKES_MAX);
    diagnostics.push(if is_broken { more } else { Diagnostic { severity: Severity::Warning, ..more } });
}

impl Compiler {
    /// Whether a policy is small enough to be compiled; what is not is reported.
    pub(super) fn fits(&mut self, source: &PolicySource) -> bool {
        let before = self.diagnostics.len();
        for (what, max, excess) in [
            ("contracts", DOCUMENTS_MAX, source.contracts.get(DOCUMENTS_MAX).map(|contract| &contract.name.at)),
            ("rules", DOCUMENTS_MAX, source.rules.get(DOCUMENTS_MAX).map(|rule| &rule.name.at)),
            ("exports", DOCUMENTS_MAX, source.exports.get(DOCUMENTS_MAX).map(|export| &export.name.at)),
            ("exports of reports", DOCUMENTS_MAX, source.surveys.get(DOCUMENTS_MAX).map(|survey| &survey.name.at)),
            ("destinations", DESTINATIONS_MAX, source.destinations.get(DESTINATIONS_MAX).map(|one| &one.name.at)),
        ] {
            excess.into_iter().for_each(|at| self.too_much(what, max, at));
        }
        if let Some(at) = excess_place(source) {
            self.too_much("jurisdictions", PLACES_MAX, at);
        }
        for contract in &source.contracts {
            if let Some(at) = excess_field(contract) {
                self.too_much("fields of one contract", FIELDS_MAX, at);
            }
        }
        self.diagnostics.len() == before
    }

    fn too_much(&mut self, what: &str, max: usize, at: &Span) {
        let message = format!("there are more than {max} {what}");
        self.report(Diagnostic::error("P041", at, message).help("write fewer, or run more than one privet"));
    }
}

/// Where one jurisdiction more is named than may be.
fn excess_place(source: &PolicySource) -> Option<&Span> {
    let in_purposes = source.purposes.iter().flat_map(|purpose| purpose.jurisdictions.iter().map(|(place, _)| place));
    let mut named = in_purposes.chain(source.rules.iter().flat_map(|rule| &rule.jurisdictions));
    let mut known = HashSet::new();
    let excess = named.find(|place| known.insert(place.value.as_str()) && known.len() > PLACES_MAX);
    excess.map(|place| &place.at)
}

/// The field with which a contract has more than it may, its envelope's included; each listed key is one.
fn excess_field(contract: &ContractSource) -> Option<&Span> {
    let mut all = envelope::of(contract.format).fields.len();
    let excess = contract.fields.iter().find(|field| {
        all += field.keys.len().max(1);
        all > FIELDS_MAX
    });
    excess.map(|field| &field.path.at)
}
