//! What an export measures, and how much of one unit, as its author wrote it.

use crate::path::Path;
use crate::span::{Span, Spanned};

/// The one of `count:`, `units:`, `sum:`, `mean:`, `histogram:`, `quantiles:`
/// and `top:` that an export has, still as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measure {
    /// Which one it is.
    pub name: Spanned<String>,
    /// `of`: where the value stands that is measured.
    pub of: Option<Spanned<Path>>,
    /// `clamp`: the least and the greatest value.
    pub clamp: Vec<Spanned<String>>,
    /// `edges` of a histogram, `candidates` of quantiles.
    pub edges: Vec<Spanned<String>>,
    /// `at`: the quantiles.
    pub at: Vec<Spanned<String>>,
    /// `decimals` of the value that are counted.
    pub decimals: Option<Spanned<u64>>,
    /// `k`: how many keys are the top.
    pub k: Option<Spanned<u64>>,
    /// `noise`: `discrete_laplace` or `discrete_gaussian`.
    pub noise: Option<Spanned<String>>,
    /// `epsilon`: the pure privacy loss of one release, a decimal as written.
    pub epsilon: Option<Spanned<String>>,
    /// `rho`: the zCDP privacy loss of one release, a decimal as written.
    pub rho: Option<Spanned<String>>,
    /// `delta`: the probability that a private key of one person is published.
    pub delta: Option<Spanned<String>>,
}

/// `bounds:` of an export, still as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How many groups one unit may touch in a window (L0).
    pub keys_per_unit: Spanned<u64>,
    /// How many rows of one unit count in one group (Linf).
    pub rows_per_key: Option<Spanned<u64>>,
    /// How many rows of one unit count in all groups (L1).
    pub rows_per_unit: Option<Spanned<u64>>,
    /// Which share of all units counts, a decimal as written.
    pub admission: Option<Spanned<String>>,
}

/// One grouping column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyColumn {
    /// Where the value stands in the event.
    pub path: Path,
    /// The values it may take.
    pub values: KeyValues,
}

/// The values of a grouping column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyValues {
    /// These, in the order they are published.
    Declared(Vec<String>),
    /// Whatever enough units have.
    Private(Private),
}

/// Bounds of a column whose values are not known beforehand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Private {
    /// Where it stands.
    pub at: Span,
    /// The least number of units of a published key.
    pub min_units: Spanned<u64>,
    /// The most keys of a window.
    pub keys_max: Option<Spanned<u64>>,
}

impl Measure {
    /// A measure of this name and nothing else.
    #[must_use]
    pub const fn named(name: Spanned<String>) -> Self {
        Self {
            name,
            of: None,
            clamp: Vec::new(),
            edges: Vec::new(),
            at: Vec::new(),
            decimals: None,
            k: None,
            noise: None,
            epsilon: None,
            rho: None,
            delta: None,
        }
    }

    /// Whether both mean the same, wherever they are written.
    #[must_use]
    pub fn means(&self, other: &Self) -> bool {
        let texts = |measure: &Self| {
            let optional = [&measure.noise, &measure.epsilon, &measure.rho, &measure.delta];
            let lists = [&measure.clamp, &measure.edges, &measure.at];
            let listed = lists.map(|list| list.iter().map(|text| text.value.clone()).collect::<Vec<_>>());
            (measure.name.value.clone(), optional.map(|text| unplaced(text.as_ref())), listed)
        };
        texts(self) == texts(other)
            && unplaced(self.of.as_ref()) == unplaced(other.of.as_ref())
            && unplaced(self.decimals.as_ref()) == unplaced(other.decimals.as_ref())
            && unplaced(self.k.as_ref()) == unplaced(other.k.as_ref())
    }
}

impl Bounds {
    /// Whether both mean the same, wherever they are written.
    #[must_use]
    pub fn means(&self, other: &Self) -> bool {
        let numbers = |bounds: &Self| {
            let optional = [&bounds.rows_per_key, &bounds.rows_per_unit].map(|number| unplaced(number.as_ref()));
            (bounds.keys_per_unit.value, optional, unplaced(bounds.admission.as_ref()))
        };
        numbers(self) == numbers(other)
    }
}

impl KeyColumn {
    /// Whether both mean the same, wherever they are written.
    #[must_use]
    pub fn means(&self, other: &Self) -> bool {
        let values = match (&self.values, &other.values) {
            (KeyValues::Declared(one), KeyValues::Declared(other)) => one == other,
            (KeyValues::Private(one), KeyValues::Private(other)) => {
                one.min_units.value == other.min_units.value
                    && unplaced(one.keys_max.as_ref()) == unplaced(other.keys_max.as_ref())
            }
            _ => false,
        };
        self.path == other.path && values
    }
}

/// What was written, without its place.
fn unplaced<T: Clone>(written: Option<&Spanned<T>>) -> Option<T> {
    written.map(|written| written.value.clone())
}
