//! What is counted: one declared query, with nothing left to decide.
//!
//! Promise: the published table is the whole product of the declared keys, in
//! declared order, zeros included, so that neither a key's presence nor the
//! order of rows depends on the data.

use std::num::NonZeroU64;

use thiserror::Error;

use crate::accountant::Budget;
use crate::bound::{Admission, ContributionBounds};
use crate::fleet::{Fleet, FleetGuarantee};
use crate::mechanism::Mechanism;
use crate::schedule::{Mark, Schedule};

/// The most rows a published table may have.
pub const KEYS_MAX: usize = 100_000;

/// A count over declared keys by fixed windows.
#[derive(Clone, Debug)]
pub struct Query {
    /// The export's name: a label, never a value from an event.
    pub name: String,
    /// Where the privacy unit's identifier stands, as the policy writes it.
    pub unit: String,
    /// The rows of the published table.
    pub keys: KeyTable,
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
}

impl Query {
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
    use crate::mechanism::Noise;
    use crate::schedule::Tiling;
    use crate::window::Span;

    /// A query over three sections, epsilon 0.1 an hour of 72 in 30 days.
    pub(crate) fn query(name: &str, l0: u64, linf: u64) -> Query {
        let bounds = ContributionBounds::new(l0, linf).unwrap();
        let loss = |written| Loss::from_decimal(Measure::Pure, written).unwrap();
        Query {
            name: name.to_owned(),
            unit: "userId".to_owned(),
            keys: KeyTable::new(vec![column("properties.section", &["apps", "games", "books"])]).unwrap(),
            admission: Admission::within_memory(64 << 20, bounds),
            mechanism: Mechanism::calibrate(Noise::DiscreteLaplace, bounds, loss("0.1")).unwrap(),
            ids_per_person: NonZeroU64::MIN,
            schedule: Schedule::new(Tiling::Tumbling(Span::parse("1h").unwrap())),
            fleet: Fleet::ONE_POD,
            budget: Budget { limit: loss("72"), horizon: Span::parse("30d").unwrap() },
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
