//! A declared export: what to count, for whom, how often and at what cost.
//!
//! Promise: the contract, the purpose and every path exist. Not here: whether
//! the windows, bounds and privacy losses make sense; that is `privet-dp`'s to
//! say, and `privet` carries its answer back to the line in the file.

mod measure;
mod survey;
mod window;

use crate::path::Path;
use crate::span::Spanned;
pub use measure::{Bounds, KeyColumn, KeyValues, Measure, Private};
pub use survey::{Answers, Method, Reports, Survey};
pub use window::{Fleet, Window};

/// One `kind: Export`, names resolved, numbers still as they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// `metadata.name`.
    pub name: Spanned<String>,
    /// The data use that must be permitted before an event is observed.
    pub purpose: String,
    /// The name of the contract whose events are counted; none where others
    /// post exact tables.
    pub contract: Option<String>,
    /// Where the privacy unit's identifier stands.
    pub unit: Path,
    /// The grouping columns.
    pub keys: Vec<KeyColumn>,
    /// When it counts and publishes.
    pub window: Window,
    /// By which pods; one, where none is written.
    pub fleet: Option<Fleet>,
    /// How much of one unit counts.
    pub bounds: Bounds,
    /// What is measured, at what loss.
    pub measure: Measure,
    /// How long the budget must last, such as `30d`.
    pub horizon: Spanned<String>,
    /// The budget of the horizon in the unit of `epsilon`.
    pub budget_epsilon: Option<Spanned<String>>,
    /// The budget of the horizon in the unit of `rho`.
    pub budget_rho: Option<Spanned<String>>,
    /// The most probability that one person's private key is published, as written.
    pub budget_delta: Option<Spanned<String>>,
    /// How many identifiers one person may hold; multiplies the loss. 1 when not written.
    pub ids_per_person: Spanned<u64>,
    /// Whether readers of the enforcement log are trusted with exact counts.
    pub log_readers_trusted: bool,
    /// How many cells of known truth each release publishes. 32 when not written.
    pub canaries: Spanned<u64>,
    /// Whether a column without numbers below zero is published, too.
    pub nonnegative: bool,
}

impl Export {
    /// Whether both mean the same, wherever they are written.
    #[must_use]
    pub fn means(&self, other: &Self) -> bool {
        let texts = |export: &Self| {
            let optional = [&export.budget_epsilon, &export.budget_rho, &export.budget_delta];
            let written = [&export.name, &export.horizon];
            let optional = optional.map(|text| text.as_ref().map(|text| text.value.clone()));
            (optional, written.map(|text| text.value.clone()))
        };
        let others = |export: &Self| {
            let numbers = [export.ids_per_person.value, export.canaries.value];
            (numbers, export.log_readers_trusted, export.nonnegative)
        };
        let names = |export: &Self| (export.purpose.clone(), export.contract.clone(), export.unit.clone());
        texts(self) == texts(other)
            && others(self) == others(other)
            && names(self) == names(other)
            && self.bounds.means(&other.bounds)
            && self.measure.means(&other.measure)
            && self.window.means(&other.window)
            && Fleet::mean(self.fleet.as_ref(), other.fleet.as_ref())
            && self.keys.len() == other.keys.len()
            && self.keys.iter().zip(&other.keys).all(|(key, other)| key.means(other))
    }
}
