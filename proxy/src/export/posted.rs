//! Exact tables that others in the pod bring: read, and nothing else.
//!
//! Promise: a table is read into exact cells or refused with the number of the
//! row that is wrong; no error quotes a value. What was read is overwritten when
//! it is noised; the request's bytes are overwritten by [`Posted::read`].
//! Not promised: copies that the parsers of JSON and CSV make of one row at a time.
//!
//! Not here: the budget, noise and HTTP.

use std::collections::{HashMap, HashSet};
use std::fmt;

use privet_dp::aggregate::Aggregate;
use privet_dp::exact::Exact;
use privet_dp::mechanism::Cells;
use privet_dp::query::{Keys, Query, RowKey};
use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde_json::Value;
use thiserror::Error;
use zeroize::Zeroize as _;

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// An array of objects.
    Json,
    /// An object a line.
    Ndjson,
    /// A line of names, then lines of values.
    Csv,
}

/// Why bytes are no table of this export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotATable {
    /// No rows can be told apart.
    #[error("the body is no table of this kind, from row {row} on")]
    Form {
        /// Counted from 1.
        row: usize,
    },
    /// A column is missing, or its value is of the wrong sort.
    #[error("row {row} has no usable `{column}`")]
    Column {
        /// Counted from 1.
        row: usize,
        /// What is missing.
        column: &'static str,
    },
    /// The row has other columns than the export.
    #[error("row {row} has a column that this export does not have")]
    Unknown {
        /// Counted from 1.
        row: usize,
    },
    /// A value of a grouping column is missing or not declared.
    #[error("row {row} has no key that this export declares")]
    Key {
        /// Counted from 1.
        row: usize,
    },
    /// One cell is there twice.
    #[error("row {row} repeats the key of a row before it")]
    Twice {
        /// Counted from 1.
        row: usize,
    },
    /// More private keys than a window may have.
    #[error("the table has more keys than `keys_max`")]
    TooMany,
}

/// One row: texts by their columns.
type Row = HashMap<String, String>;

/// Reads the exact cells of a query out of a request's body, and overwrites that.
///
/// # Errors
/// See [`NotATable`].
pub fn read(written: Written, body: &mut Vec<u8>, query: &Query) -> Result<Exact<Cells>, NotATable> {
    let mut table = Table::of(query);
    let read = match written {
        Written::Json => json(body, &mut table),
        Written::Ndjson => ndjson(body, &mut table),
        Written::Csv => csv(body, &mut table),
    };
    body.zeroize();
    read.map(|()| table.finish())
}

/// The cells that are being read.
struct Table<'a> {
    query: &'a Query,
    columns: Vec<&'a str>,
    intervals: Vec<String>,
    seen: HashSet<(Vec<String>, usize)>,
    rows: usize,
    /// Declared keys by place, private ones by name.
    declared: Vec<i64>,
    private: Vec<(Vec<String>, i64, Vec<i64>)>,
    places: HashMap<Vec<String>, usize>,
}

impl<'a> Table<'a> {
    fn of(query: &'a Query) -> Self {
        let width = query.aggregate().cells();
        let declared = match &query.keys {
            Keys::Declared(table) => vec![0; table.len() * width],
            Keys::Private(_) => Vec::new(),
        };
        let intervals = match query.aggregate() {
            Aggregate::Histogram(edges) => edges.names(),
            Aggregate::Quantiles(quantiles) => quantiles.candidates().names(),
            _ => Vec::new(),
        };
        Self {
            query,
            columns: query.keys.columns().collect(),
            intervals,
            seen: HashSet::new(),
            rows: 0,
            declared,
            private: Vec::new(),
            places: HashMap::new(),
        }
    }

    /// The columns that hold numbers.
    fn measured(&self) -> &'static [&'static str] {
        if matches!(self.query.aggregate(), Aggregate::Mean(_)) { &["sum", "count"] } else { &["value"] }
    }

    fn take(&mut self, row: &Row) -> Result<(), NotATable> {
        self.rows += 1;
        let number = self.rows;
        let is_private = matches!(self.query.keys, Keys::Private(_));
        let known = |name: &str| {
            self.columns.contains(&name)
                || self.measured().contains(&name)
                || (name == "interval" && !self.intervals.is_empty())
                || (name == "units" && is_private)
        };
        if !row.keys().all(|name| known(name)) {
            return Err(NotATable::Unknown { row: number });
        }
        let texts: Option<Vec<&str>> = self.columns.iter().map(|column| row.get(*column).map(String::as_str)).collect();
        let texts = texts.ok_or(NotATable::Key { row: number })?;
        let first_cell = self.first_cell(row)?;
        let values: Vec<i64> =
            self.measured().iter().map(|column| whole(row, column, number)).collect::<Result<_, _>>()?;
        let name: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        if !self.seen.insert((name.clone(), first_cell)) {
            return Err(NotATable::Twice { row: number });
        }
        match self.query.keys.key_of(&texts).ok_or(NotATable::Key { row: number })? {
            RowKey::At(place) => {
                let start = place * self.query.aggregate().cells() + first_cell;
                let cells = self.declared.iter_mut().skip(start);
                cells.zip(values).for_each(|(cell, value)| *cell = value);
                Ok(())
            }
            RowKey::Named(_) => self.take_private(name, whole(row, "units", number)?, first_cell, &values),
        }
    }

    fn take_private(
        &mut self,
        name: Vec<String>,
        units: i64,
        first_cell: usize,
        values: &[i64],
    ) -> Result<(), NotATable> {
        let place = match self.places.get(&name) {
            Some(place) => *place,
            None if self.private.len() >= self.query.keys.most() => return Err(NotATable::TooMany),
            None => {
                self.private.push((name.clone(), units, vec![0; self.query.aggregate().cells()]));
                self.places.insert(name, self.private.len() - 1);
                self.private.len() - 1
            }
        };
        if let Some((_, most, cells)) = self.private.get_mut(place) {
            // Rows of one key may be told apart by interval; its units are those of the key.
            *most = units.max(*most);
            cells.iter_mut().skip(first_cell).zip(values).for_each(|(cell, value)| *cell = *value);
        }
        Ok(())
    }

    /// Where a row's numbers go among its key's cells.
    fn first_cell(&self, row: &Row) -> Result<usize, NotATable> {
        if self.intervals.is_empty() {
            return Ok(0);
        }
        let missing = NotATable::Column { row: self.rows, column: "interval" };
        let name = row.get("interval").ok_or(missing)?;
        self.intervals.iter().position(|interval| interval == name).ok_or(missing)
    }

    fn finish(self) -> Exact<Cells> {
        let width = self.query.aggregate().cells();
        let mut cells = Cells::declared(width, self.declared);
        for (name, units, mut values) in self.private {
            cells.push(name, units, &values);
            values.zeroize();
        }
        Exact::new(cells)
    }
}

fn whole(row: &Row, column: &'static str, number: usize) -> Result<i64, NotATable> {
    row.get(column).and_then(|text| text.parse().ok()).ok_or(NotATable::Column { row: number, column })
}

/// The members of an object as texts; `None` for what is no flat object.
fn row_of(value: Value) -> Option<Row> {
    let Value::Object(members) = value else { return None };
    let text = |(name, value): (String, Value)| match value {
        Value::String(text) => Some((name, text)),
        Value::Number(number) => Some((name, number.to_string())),
        Value::Bool(flag) => Some((name, flag.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    members.into_iter().map(text).collect()
}

fn ndjson(body: &[u8], table: &mut Table<'_>) -> Result<(), NotATable> {
    for line in body.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
        let malformed = NotATable::Form { row: table.rows + 1 };
        let value = serde_json::from_slice(line).map_err(|_| malformed)?;
        table.take(&row_of(value).ok_or(malformed)?)?;
    }
    Ok(())
}

fn csv(body: &[u8], table: &mut Table<'_>) -> Result<(), NotATable> {
    let mut lines = csv::Reader::from_reader(body);
    let names = lines.headers().map_err(|_| NotATable::Form { row: 0 })?.clone();
    for line in lines.records() {
        let line = line.map_err(|_| NotATable::Form { row: table.rows + 1 })?;
        table.take(&names.iter().map(str::to_owned).zip(line.iter().map(str::to_owned)).collect())?;
    }
    Ok(())
}

/// One row after the other, so that no second copy of the table is made.
fn json(body: &[u8], table: &mut Table<'_>) -> Result<(), NotATable> {
    let mut wrong = None;
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = Rows { table, wrong: &mut wrong }.deserialize(&mut reader).and_then(|()| reader.end());
    match (wrong, read) {
        (Some(wrong), _) => Err(wrong),
        (None, Err(_)) => Err(NotATable::Form { row: table.rows + 1 }),
        (None, Ok(())) => Ok(()),
    }
}

struct Rows<'t, 'q, 'w> {
    table: &'t mut Table<'q>,
    wrong: &'w mut Option<NotATable>,
}

impl<'de> DeserializeSeed<'de> for Rows<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Rows<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<(), A::Error> {
        while let Some(value) = rows.next_element::<Value>()? {
            let row = row_of(value).ok_or(NotATable::Form { row: self.table.rows + 1 });
            if let Err(wrong) = row.and_then(|row| self.table.take(&row)) {
                *self.wrong = Some(wrong);
                return Err(serde::de::Error::custom("refused"));
            }
        }
        Ok(())
    }
}
