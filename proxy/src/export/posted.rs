//! Exact tables that others in the pod bring: read, and nothing else.
//!
//! Promise: a table is read into exact cells or refused with the number of the
//! row that is wrong; no error quotes a value. What is no table at all, such as
//! the output of a command that failed, is never taken for one without rows.
//! What was read is overwritten when it is noised; the request's bytes are
//! overwritten by [`read`].
//! Not promised: copies that the parsers of JSON and CSV make of one row at a time.
//!
//! Not here: the budget, noise and HTTP.

use std::collections::{HashMap, HashSet};
use std::fmt;

use privet_dp::aggregate::Aggregate;
use privet_dp::exact::Exact;
use privet_dp::mechanism::Cells;
use privet_dp::query::{Keys, Query, RowKey};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
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
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotATable {
    /// Nothing was brought: a command before failed, more likely than that nothing was counted.
    #[error("the body is empty: a table without rows is `[]` in JSON, or the line of names alone in CSV")]
    Empty,
    /// The first line of a CSV is no line of this export's columns.
    #[error("the first line must name each column of this export once: `{names}`")]
    Names {
        /// The columns, as the policy has them.
        names: String,
    },
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
    /// A column is there twice, so that nobody can tell which is meant.
    #[error("row {row} has a column twice")]
    Repeated {
        /// Counted from 1.
        row: usize,
    },
    /// Rows that are counted cannot have come to these numbers.
    #[error(
        "row {row} has a number that cannot be: no count is below 0, none is beyond 2^53 (2^41 for quantiles), and a sum is what `count` rows within the clamp add up to"
    )]
    Impossible {
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
        _ if body.trim_ascii().is_empty() => Err(NotATable::Empty),
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
    /// Those that a row has, no more and no less.
    names: Vec<&'a str>,
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
        let interval = (!intervals.is_empty()).then_some("interval");
        let units = matches!(query.keys, Keys::Private(_)).then_some("units");
        let columns: Vec<&str> = query.keys.columns().collect();
        let names = columns.iter().copied().chain(interval).chain(measured(query).iter().copied()).chain(units);
        Self {
            query,
            names: names.collect(),
            columns,
            intervals,
            seen: HashSet::new(),
            rows: 0,
            declared,
            private: Vec::new(),
            places: HashMap::new(),
        }
    }

    /// That a line of names has every column, each once and no other.
    fn begins_with(&self, written: &csv::StringRecord) -> Result<(), NotATable> {
        let each_once = self.names.iter().all(|name| written.iter().filter(|written| written == name).count() == 1);
        if each_once && written.len() == self.names.len() {
            return Ok(());
        }
        Err(NotATable::Names { names: self.names.join(",") })
    }

    fn take(&mut self, row: &Row) -> Result<(), NotATable> {
        self.rows += 1;
        let number = self.rows;
        if !row.keys().all(|name| self.names.contains(&name.as_str())) {
            return Err(NotATable::Unknown { row: number });
        }
        let texts: Option<Vec<&str>> = self.columns.iter().map(|column| row.get(*column).map(String::as_str)).collect();
        let texts = texts.ok_or(NotATable::Key { row: number })?;
        let first_cell = self.first_cell(row)?;
        let values: Vec<i64> =
            measured(self.query).iter().map(|column| whole(row, column, number)).collect::<Result<_, _>>()?;
        if !self.query.aggregate().may_come_to(&values) {
            return Err(NotATable::Impossible { row: number });
        }
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
            RowKey::Named(_) => self.take_private(name, units(row, number)?, first_cell, &values),
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
        let place = row.get("interval").and_then(|name| self.intervals.iter().position(|interval| interval == name));
        place.ok_or(NotATable::Column { row: self.rows, column: "interval" })
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

/// The columns that hold numbers.
fn measured(query: &Query) -> &'static [&'static str] {
    if matches!(query.aggregate(), Aggregate::Mean(_)) { &["sum", "count"] } else { &["value"] }
}

fn whole(row: &Row, column: &'static str, number: usize) -> Result<i64, NotATable> {
    row.get(column).and_then(|text| text.parse().ok()).ok_or(NotATable::Column { row: number, column })
}

/// How many units a private key has.
fn units(row: &Row, number: usize) -> Result<i64, NotATable> {
    let units = whole(row, "units", number)?;
    if Aggregate::Units.may_come_to(&[units]) { Ok(units) } else { Err(NotATable::Impossible { row: number }) }
}

/// The members of an object as they are written: a map would forget that one is there twice.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EveryMember)
    }
}

struct EveryMember;

impl<'de> Visitor<'de> for EveryMember {
    type Value = Members;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Members, A::Error> {
        let mut written = Vec::new();
        while let Some(member) = members.next_entry()? {
            written.push(member);
        }
        Ok(Members(written))
    }
}

/// The members of a flat object as texts.
fn row_of(Members(members): Members, number: usize) -> Result<Row, NotATable> {
    let mut row = Row::with_capacity(members.len());
    for (name, value) in members {
        let text = match value {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => return Err(NotATable::Form { row: number }),
        };
        if row.insert(name, text).is_some() {
            return Err(NotATable::Repeated { row: number });
        }
    }
    Ok(row)
}

fn ndjson(body: &[u8], table: &mut Table<'_>) -> Result<(), NotATable> {
    for line in body.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
        let number = table.rows + 1;
        let members = serde_json::from_slice(line).map_err(|_| NotATable::Form { row: number })?;
        table.take(&row_of(members, number)?)?;
    }
    Ok(())
}

fn csv(body: &[u8], table: &mut Table<'_>) -> Result<(), NotATable> {
    let mut lines = csv::Reader::from_reader(body);
    let names = lines.headers().map_err(|_| NotATable::Form { row: 0 })?.clone();
    table.begins_with(&names)?;
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
        while let Some(members) = rows.next_element::<Members>()? {
            let row = row_of(members, self.table.rows + 1);
            if let Err(wrong) = row.and_then(|row| self.table.take(&row)) {
                *self.wrong = Some(wrong);
                return Err(serde::de::Error::custom("refused"));
            }
        }
        Ok(())
    }
}
