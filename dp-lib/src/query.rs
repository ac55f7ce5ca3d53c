//! What is counted: one declared query, with nothing left to decide.
//!
//! Promise: where the keys are declared, the published table is their whole
//! product, in declared order, zeros included, so that neither a key's presence
//! nor the order of rows depends on the data. Where they are private, a key is
//! published only if a noisy count of its units passes a threshold, and keys
//! are published in the order of their names.

use std::num::NonZeroU64;

use thiserror::Error;

use crate::accountant::Budget;
use crate::aggregate::Aggregate;
use crate::bound::{Admission, ContributionBounds};
use crate::fleet::{Fleet, FleetGuarantee};
use crate::mechanism::Mechanism;
use crate::schedule::{Mark, Schedule};

/// The most rows a published table may have.
pub const KEYS_MAX: usize = 100_000;

/// The most bytes that the values of a private key may have together.
pub const KEY_BYTES_MAX: usize = 256;

/// An aggregate over keys by windows.
#[derive(Clone, Debug)]
pub struct Query {
    /// The export's name: a label, never a value from an event.
    pub name: String,
    /// Where the privacy unit's identifier stands, as the policy writes it.
    pub unit: String,
    /// The rows of the published table.
    pub keys: Keys,
    /// Which units count, and how many may.
    pub admission: Admission,
    /// The noise, calibrated to the contribution bounds and the declared loss. The
    /// bounds that are enforced are the mechanism's own, so the two cannot differ.
    pub mechanism: Mechanism,
    /// How many identifiers one person may hold.
    pub ids_per_person: NonZeroU64,
    /// When windows are, and which of them are published.
    pub schedule: Schedule,
    /// How pods share the counting.
    pub fleet: Fleet,
    /// What a person may lose over a horizon.
    pub budget: Budget,
    /// Whether a column without numbers below zero is published, too.
    pub nonnegative: bool,
}

impl Query {
    /// What is measured in each key.
    #[must_use]
    pub const fn aggregate(&self) -> &Aggregate {
        self.mechanism.aggregate()
    }

    /// What one unit may contribute to a window.
    #[must_use]
    pub const fn bounds(&self) -> ContributionBounds {
        self.mechanism.bounds()
    }

    /// What the fleet guarantees, and how often every charge counts.
    #[must_use]
    pub fn guarantee(&self) -> FleetGuarantee {
        self.fleet.guarantee(self.schedule.publishes(Mark::RingChanged))
    }
}

/// The keys of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// All of them are known beforehand, and published.
    Declared(KeyTable),
    /// They come with the events.
    Private(PrivateKeys),
}

/// Where a row belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowKey<'a> {
    /// Into this row of the declared keys.
    At(usize),
    /// To the private key of these values.
    Named(&'a [&'a str]),
}

impl Keys {
    /// The columns' names, in order.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        let (declared, private) = match self {
            Self::Declared(table) => (table.columns.as_slice(), [].as_slice()),
            Self::Private(keys) => ([].as_slice(), keys.columns.as_slice()),
        };
        declared.iter().map(|column| column.name.as_str()).chain(private.iter().map(|column| column.name.as_str()))
    }

    /// How many keys there may be at most.
    #[must_use]
    pub const fn most(&self) -> usize {
        match self {
            Self::Declared(table) => table.len(),
            Self::Private(keys) => keys.keys_max as usize,
        }
    }

    /// The key of an event with these values, one for each column; `None`
    /// where it has none: a value is not declared, or too long for a private key.
    #[must_use]
    pub fn key_of<'a>(&self, values: &'a [&'a str]) -> Option<RowKey<'a>> {
        match self {
            Self::Declared(table) => table.row_of(values).map(RowKey::At),
            Self::Private(keys) => keys.holds(values).then_some(RowKey::Named(values)),
        }
    }
}

/// Keys that nobody knows beforehand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateKeys {
    columns: Vec<PrivateColumn>,
    min_units: u32,
    keys_max: u32,
}

/// A column of which at least one does not declare its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateColumn {
    /// The column's path as the policy writes it.
    pub name: String,
    /// The only values that count; every value does where there are none.
    pub values: Option<Vec<String>>,
}

impl PrivateKeys {
    /// Keys of which only those are published that at least `min_units` units
    /// have, and at most `keys_max` may occur in a window.
    ///
    /// # Errors
    /// No column, no units, or more keys than a table may have.
    pub fn new(columns: Vec<PrivateColumn>, min_units: u64, keys_max: u64) -> Result<Self, NotAKeyTable> {
        let min_units = u32::try_from(min_units).ok().filter(|units| (1..=1_000_000).contains(units));
        let keys_max = u32::try_from(keys_max).ok().filter(|keys| (1..=KEYS_MAX as u32).contains(keys));
        let (Some(min_units), Some(keys_max), false) = (min_units, keys_max, columns.is_empty()) else {
            return Err(NotAKeyTable::Private);
        };
        Ok(Self { columns, min_units, keys_max })
    }

    /// The columns.
    #[must_use]
    pub fn columns(&self) -> &[PrivateColumn] {
        &self.columns
    }

    /// How many units a key must have to be looked at.
    #[must_use]
    pub const fn min_units(&self) -> u32 {
        self.min_units
    }

    /// How many keys may occur in a window; with more it is given up.
    #[must_use]
    pub const fn keys_max(&self) -> u32 {
        self.keys_max
    }

    fn holds(&self, values: &[&str]) -> bool {
        let declared = |(column, value): (&PrivateColumn, &&str)| {
            column.values.as_ref().is_none_or(|values| values.iter().any(|declared| declared == value))
        };
        values.len() == self.columns.len()
            && values.iter().map(|value| value.len()).sum::<usize>() <= KEY_BYTES_MAX
            && self.columns.iter().zip(values).all(declared)
    }
}

/// The declared keys: columns and the values each may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyTable {
    columns: Vec<Column>,
    rows: usize,
}

/// One grouping column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The column's path as the policy writes it.
    pub name: String,
    /// The values it may take, in the order they are published.
    pub values: Vec<String>,
}

/// Why columns make no table.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotAKeyTable {
    /// A column of no values has no product.
    #[error("the column `{column}` declares no values")]
    NoValues {
        /// The column's name.
        column: String,
    },
    /// A value written twice would be counted in one row and published in two.
    #[error("the column `{column}` declares `{value}` twice")]
    Twice {
        /// The column's name.
        column: String,
        /// The declared value.
        value: String,
    },
    /// The product is too large.
    #[error("the declared keys make more than {KEYS_MAX} rows")]
    TooManyRows,
    /// Bounds of private keys that are none.
    #[error("private keys need a column, `min_units` from 1 to 1000000 and `keys_max` from 1 to {KEYS_MAX}")]
    Private,
}

impl KeyTable {
    /// The product of these columns; without columns, one row that counts everything.
    ///
    /// # Errors
    /// Columns without values or with one twice, and products beyond [`KEYS_MAX`].
    pub fn new(columns: Vec<Column>) -> Result<Self, NotAKeyTable> {
        let mut rows = 1_usize;
        for column in &columns {
            if column.values.is_empty() {
                return Err(NotAKeyTable::NoValues { column: column.name.clone() });
            }
            let mut seen = std::collections::HashSet::new();
            if let Some(value) = column.values.iter().find(|value| !seen.insert(value.as_str())) {
                return Err(NotAKeyTable::Twice { column: column.name.clone(), value: value.clone() });
            }
            rows = rows
                .checked_mul(column.values.len())
                .filter(|rows| *rows <= KEYS_MAX)
                .ok_or(NotAKeyTable::TooManyRows)?;
        }
        Ok(Self { columns, rows })
    }

    /// The columns.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// How many rows the published table has: at least one.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a key table is never empty")]
    pub const fn len(&self) -> usize {
        self.rows
    }

    /// The row of an event with these values, one for each column; `None`
    /// where a value is not declared.
    #[must_use]
    pub fn row_of(&self, values: &[&str]) -> Option<usize> {
        if values.len() != self.columns.len() {
            return None;
        }
        self.columns.iter().zip(values).try_fold(0, |row, (column, value)| {
            let at = column.values.iter().position(|declared| declared == value)?;
            Some(row * column.values.len() + at)
        })
    }

    /// The values of a row, one for each column.
    #[must_use]
    pub fn values_of(&self, row: usize) -> Vec<&str> {
        let mut rest = row;
        let mut values: Vec<&str> = self
            .columns
            .iter()
            .rev()
            .filter_map(|column| {
                let at = rest % column.values.len();
                rest /= column.values.len();
                column.values.get(at).map(String::as_str)
            })
            .collect();
        values.reverse();
        values
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::loss::{Loss, Measure};
    use crate::mechanism::{Noise, Spec};
    use crate::schedule::Tiling;
    use crate::window::Span;

    /// A count over three sections, epsilon 0.1 an hour of 72 in 30 days.
    pub(crate) fn query(name: &str, l0: u64, linf: u64) -> Query {
        let bounds = ContributionBounds::new(l0, linf).unwrap();
        let loss = |written| Loss::from_decimal(Measure::Pure, written).unwrap();
        let spec = Spec::of(Aggregate::Count, bounds, Noise::DiscreteLaplace, loss("0.1"));
        Query {
            name: name.to_owned(),
            unit: "userId".to_owned(),
            keys: Keys::Declared(
                KeyTable::new(vec![column("properties.section", &["apps", "games", "books"])]).unwrap(),
            ),
            admission: Admission::within_memory(64 << 20, bounds, &Aggregate::Count),
            mechanism: Mechanism::calibrate(spec).unwrap(),
            ids_per_person: NonZeroU64::MIN,
            schedule: Schedule::new(Tiling::Tumbling(Span::parse("1h").unwrap())),
            fleet: Fleet::ONE_POD,
            budget: Budget { limit: loss("72"), horizon: Span::parse("30d").unwrap() },
            nonnegative: false,
        }
    }

    fn column(name: &str, values: &[&str]) -> Column {
        Column { name: name.to_owned(), values: values.iter().map(|value| (*value).to_owned()).collect() }
    }

    #[test]
    fn rows_are_the_product_in_declared_order() {
        let table = KeyTable::new(vec![column("a", &["x", "y"]), column("b", &["1", "2", "3"])]).unwrap();
        assert_eq!(table.len(), 6);
        assert_eq!(table.values_of(0), ["x", "1"]);
        assert_eq!(table.values_of(4), ["y", "2"]);
        for row in 0..6 {
            assert_eq!(table.row_of(&table.values_of(row)), Some(row));
        }
        assert_eq!(table.row_of(&["x", "4"]), None);
        assert_eq!(table.row_of(&["x"]), None);
    }

    #[test]
    fn a_table_without_columns_counts_everything() {
        let table = KeyTable::new(vec![]).unwrap();
        assert_eq!((table.len(), table.row_of(&[]), table.values_of(0).len()), (1, Some(0), 0));
    }

    #[test]
    fn columns_that_make_no_table_are_refused() {
        assert!(matches!(KeyTable::new(vec![column("a", &[])]), Err(NotAKeyTable::NoValues { .. })));
        assert!(matches!(KeyTable::new(vec![column("a", &["x", "x"])]), Err(NotAKeyTable::Twice { .. })));
        let wide: Vec<String> = (0..400).map(|value| value.to_string()).collect();
        let columns = ["a", "b"].map(|name| Column { name: name.to_owned(), values: wide.clone() });
        assert_eq!(KeyTable::new(columns.to_vec()), Err(NotAKeyTable::TooManyRows));
    }
}
