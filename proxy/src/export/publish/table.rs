//! A receipt's table as Parquet: one row a key and measure, and one a canary.
//!
//! Promise: the bytes are a function of the receipt, so a retry has the same
//! bytes, and nothing about them depends on what was not released. Columns, in
//! this order:
//!
//! | column | type |
//! |---|---|
//! | `release_id`, `query` | string |
//! | `window_start`, `window_end` | timestamp, microseconds, UTC |
//! | `key.COLUMN` for each of the receipt's columns | string; null in a canary's row |
//! | `of` | string: the measure, or the stage that a canary is of |
//! | `value` | 64-bit integer, as drawn |
//! | `ci95_low`, `ci95_high` | 64-bit integer; null where noise was on scores |
//! | `value_nonneg` | 64-bit integer; null where the policy does not ask for it |
//! | `canary` | boolean |
//! | `truth` | 64-bit integer; of canaries alone |
//!
//! Not here: a second copy of the receipt. Whoever verifies reads the JSON.

use std::sync::Arc;

use parquet::basic::{ConvertedType, Repetition, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{Type, TypePtr};
use privet_dp::receipt::{AnyReceipt, CanaryReceipt, Value};

/// A column and its cells.
struct Column {
    name: String,
    cells: Cells,
}

enum Cells {
    Text(Vec<Option<String>>),
    Micros(Vec<Option<i64>>),
    Whole(Vec<Option<i64>>),
    Flag(Vec<bool>),
}

/// The file of a receipt's table.
///
/// # Errors
/// What the format cannot hold.
pub(super) fn parquet(receipt: &AnyReceipt) -> Result<Vec<u8>, ParquetError> {
    let columns = columns(receipt);
    // Statistics and dictionaries would help readers of large files; these are
    // small, and plain pages are the same bytes for every version of the writer's heuristics.
    let plain = WriterProperties::builder()
        .set_created_by("privet".to_owned())
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .build();
    let mut file = SerializedFileWriter::new(Vec::new(), schema(&columns)?, Arc::new(plain))?;
    let mut rows = file.next_row_group()?;
    columns.iter().try_for_each(|column| column.cells.write(&mut rows))?;
    rows.close()?;
    file.into_inner()
}

fn schema(columns: &[Column]) -> Result<TypePtr, ParquetError> {
    let fields: Result<Vec<TypePtr>, _> = columns.iter().map(|column| column.field().map(Arc::new)).collect();
    Type::group_type_builder("receipt").with_fields(fields?).build().map(Arc::new)
}

fn columns(receipt: &AnyReceipt) -> Vec<Column> {
    let rows = receipt.values().len() + receipt.canaries().len();
    let same = |text: String| Cells::Text(vec![Some(text); rows]);
    let when = |at: jiff::Timestamp| Cells::Micros(vec![Some(at.as_microsecond()); rows]);
    let mut columns = vec![
        Column::new("release_id", same(receipt.release_id().to_string())),
        Column::new("query", same(receipt.query().to_owned())),
        Column::new("window_start", when(receipt.window().start)),
        Column::new("window_end", when(receipt.window().end)),
    ];
    for (place, name) in receipt.columns().iter().enumerate() {
        let cells = text(receipt, |row| row.key.get(place).cloned(), |_| None);
        columns.push(Column { name: format!("key.{name}"), cells });
    }
    columns.extend([
        Column::new("of", text(receipt, |row| Some(row.of.clone()), |canary| Some(canary.of.name().to_owned()))),
        Column::new("value", whole(receipt, |row| Some(row.value), |canary| Some(canary.value))),
        Column::new("ci95_low", whole(receipt, |row| row.ci95.map(|[low, _]| low), |_| None)),
        Column::new("ci95_high", whole(receipt, |row| row.ci95.map(|[_, high]| high), |_| None)),
        Column::new("value_nonneg", whole(receipt, |row| row.value_nonneg, |_| None)),
        Column::new("canary", Cells::Flag(cells(receipt, |_| false, |_| true))),
        Column::new("truth", whole(receipt, |_| None, |canary| Some(canary.truth))),
    ]);
    columns
}

/// One cell a row: the values first, then the canaries.
fn cells<T>(receipt: &AnyReceipt, of_value: impl Fn(&Value) -> T, of_canary: impl Fn(&CanaryReceipt) -> T) -> Vec<T> {
    receipt.values().iter().map(of_value).chain(receipt.canaries().iter().map(of_canary)).collect()
}

fn text(
    receipt: &AnyReceipt,
    of_value: impl Fn(&Value) -> Option<String>,
    of_canary: impl Fn(&CanaryReceipt) -> Option<String>,
) -> Cells {
    Cells::Text(cells(receipt, of_value, of_canary))
}

fn whole(
    receipt: &AnyReceipt,
    of_value: impl Fn(&Value) -> Option<i64>,
    of_canary: impl Fn(&CanaryReceipt) -> Option<i64>,
) -> Cells {
    Cells::Whole(cells(receipt, of_value, of_canary))
}

impl Column {
    fn new(name: &str, cells: Cells) -> Self {
        Self { name: name.to_owned(), cells }
    }

    fn field(&self) -> Result<Type, ParquetError> {
        let (physical, meaning) = match self.cells {
            Cells::Text(_) => (Physical::BYTE_ARRAY, ConvertedType::UTF8),
            Cells::Micros(_) => (Physical::INT64, ConvertedType::TIMESTAMP_MICROS),
            Cells::Whole(_) => (Physical::INT64, ConvertedType::NONE),
            Cells::Flag(_) => (Physical::BOOLEAN, ConvertedType::NONE),
        };
        let presence = if matches!(self.cells, Cells::Flag(_)) { Repetition::REQUIRED } else { Repetition::OPTIONAL };
        Type::primitive_type_builder(&self.name, physical)
            .with_repetition(presence)
            .with_converted_type(meaning)
            .build()
    }
}

impl Cells {
    fn write(&self, rows: &mut SerializedRowGroupWriter<'_, Vec<u8>>) -> Result<(), ParquetError> {
        match self {
            Self::Text(cells) => write_optional::<ByteArrayType, _>(rows, cells, |text| ByteArray::from(text.as_str())),
            Self::Micros(cells) | Self::Whole(cells) => write_optional::<Int64Type, _>(rows, cells, |number| *number),
            Self::Flag(cells) => write::<BoolType>(rows, cells, None),
        }
    }
}

/// Present cells are written one after another; a level says of each row whether it has one.
fn write_optional<D: DataType<T: Sized>, C>(
    rows: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    cells: &[Option<C>],
    value: impl Fn(&C) -> D::T,
) -> Result<(), ParquetError> {
    let levels: Vec<i16> = cells.iter().map(|cell| i16::from(cell.is_some())).collect();
    let present: Vec<D::T> = cells.iter().flatten().map(value).collect();
    write::<D>(rows, &present, Some(&levels))
}

fn write<D: DataType>(
    rows: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    values: &[D::T],
    levels: Option<&[i16]>,
) -> Result<(), ParquetError> {
    let Some(mut column) = rows.next_column()? else {
        return Err(ParquetError::General("the schema has fewer columns than the table".to_owned()));
    };
    column.typed::<D>().write_batch(values, levels, None)?;
    column.close()
}
