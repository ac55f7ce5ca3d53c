//! A declared export: what to count, for whom, how often and at what cost.
//!
//! Promise: the contract, the purpose and every path exist. Not here: whether
//! the windows, bounds and privacy losses make sense; that is `privet-dp`'s to
//! say, and `privet` carries its answer back to the line in the file.

mod window;

use crate::path::Path;
use crate::span::Spanned;
pub use window::{Fleet, Window};

/// One `kind: Export`, names resolved, numbers still as they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// `metadata.name`.
    pub name: Spanned<String>,
    /// The data use that must be permitted before an event is observed.
    pub purpose: String,
    /// The name of the contract whose events are counted.
    pub contract: String,
    /// Where the privacy unit's identifier stands.
    pub unit: Path,
    /// The grouping columns; the published table is their whole product.
    pub keys: Vec<KeyColumn>,
    /// When it counts and publishes.
    pub window: Window,
    /// By which pods; one, where none is written.
    pub fleet: Option<Fleet>,
    /// How many groups one unit may touch in a window (L0).
    pub keys_per_unit: Spanned<u64>,
    /// How many rows of one unit count in one group (Linf).
    pub rows_per_key: Spanned<u64>,
    /// `discrete_laplace` or `discrete_gaussian`.
    pub noise: Spanned<String>,
    /// Pure privacy loss of one window, a decimal as written.
    pub epsilon: Option<Spanned<String>>,
    /// zCDP privacy loss of one window, a decimal as written.
    pub rho: Option<Spanned<String>>,
    /// How long the budget must last, such as `30d`.
    pub horizon: Spanned<String>,
    /// The budget of the horizon in the unit of `epsilon`.
    pub budget_epsilon: Option<Spanned<String>>,
    /// The budget of the horizon in the unit of `rho`.
    pub budget_rho: Option<Spanned<String>>,
    /// How many identifiers one person may hold; multiplies the loss. 1 when not written.
    pub ids_per_person: Spanned<u64>,
    /// Whether readers of the enforcement log are trusted with exact counts.
    pub log_readers_trusted: bool,
}

impl Export {
    /// Whether both mean the same, wherever they are written.
    #[must_use]
    pub fn means(&self, other: &Self) -> bool {
        let texts = |export: &Self| {
            let optional = [&export.epsilon, &export.rho, &export.budget_epsilon, &export.budget_rho];
            let written = [&export.name, &export.noise, &export.horizon];
            let optional = optional.map(|text| text.as_ref().map(|text| text.value.clone()));
            (optional, written.map(|text| text.value.clone()))
        };
        let numbers =
            |export: &Self| [export.keys_per_unit.value, export.rows_per_key.value, export.ids_per_person.value];
        let names = |export: &Self| (export.purpose.clone(), export.contract.clone(), export.unit.clone());
        texts(self) == texts(other)
            && numbers(self) == numbers(other)
            && names(self) == names(other)
            && self.keys == other.keys
            && self.window.means(&other.window)
            && Fleet::mean(self.fleet.as_ref(), other.fleet.as_ref())
            && self.log_readers_trusted == other.log_readers_trusted
    }
}

/// One grouping column and every value it may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyColumn {
    /// Where the value stands in the event.
    pub path: Path,
    /// The declared values, in the order they are published.
    pub values: Vec<String>,
}
