//! Parquet: a row a record, each still provable.
//!
//! `record` holds the stored bytes and `leaf_hash` the hash of their leaf, so a row taken out of the table
//! is checked by hashing it, and proved by `privet-audit prove` for its `incarnation` and `index`. The
//! columns of batches are flat, for sums in any tool; they are null in rows of other types. A
//! row group holds at most 65,536 rows.

use std::io::Write;

use anyhow::Result;
use parquet::basic::{ConvertedType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{Type, TypePtr};
use privet_audit_log::record::{Batch, Record};
use privet_audit_log::tree::Hash;

use crate::evidence::{Evidence, Told};

/// Rows of one group.
const GROUP_ROWS: usize = 65_536;

/// A column of batches: its name, and what it takes of one.
type OfBatch = (&'static str, fn(&Batch) -> u64);

/// The columns that batches have.
const OF_BATCHES: [OfBatch; 13] = [
    ("batch", |batch| batch.batch),
    ("requests_in", |batch| batch.requests.arrived),
    ("requests_answered", |batch| batch.requests.answered),
    ("requests_refused", |batch| batch.requests.refused.iter().map(|(_, count)| count).sum()),
    ("requests_aborted", |batch| batch.requests.aborted),
    ("events_in", |batch| batch.events.arrived),
    ("events_kept", |batch| batch.events.kept),
    ("events_dropped", |batch| batch.events.dropped),
    ("events_withheld", |batch| batch.events.withheld),
    ("events_carried_in", |batch| batch.events.carry_in),
    ("events_carried_out", |batch| batch.events.carry_out),
    ("released", |batch| batch.released.iter().map(|(_, count)| count).sum()),
    ("bytes", |batch| batch.bytes),
];

/// One row.
struct Row {
    origin: String,
    incarnation: i64,
    index: i64,
    leaf_hash: [u8; 32],
    record: Vec<u8>,
    kind: String,
    ts_ms: i64,
    /// Of a batch alone, in the order of [`OF_BATCHES`].
    counts: Option<Vec<i64>>,
}

impl Row {
    fn of(told: &Told<'_>) -> Self {
        let whole = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let counts = match &told.entry.record {
            Record::Batch(batch) => Some(OF_BATCHES.iter().map(|(_, take)| whole(take(batch))).collect()),
            _ => None,
        };
        Self {
            origin: told.names.origin.clone(),
            incarnation: whole(told.incarnation),
            index: whole(told.index),
            leaf_hash: Hash::leaf(told.bytes).0,
            record: told.bytes.to_vec(),
            kind: told.entry.record.kind().to_owned(),
            ts_ms: told.entry.ts,
            counts,
        }
    }
}

/// Writes the whole table, and tells its number of rows.
///
/// # Errors
/// See [`Evidence::walk`]; a row group cannot be written.
pub fn table(evidence: &Evidence, out: &mut (impl Write + Send)) -> Result<usize> {
    let mut file = SerializedFileWriter::new(out, schema()?, WriterProperties::builder().build().into())?;
    let (mut rows, mut written, mut failed) = (Vec::new(), 0, Ok(()));
    evidence.walk(&mut |told| {
        rows.push(Row::of(told));
        if rows.len() == GROUP_ROWS && failed.is_ok() {
            failed = group(&mut file, &rows);
            written += rows.len();
            rows.clear();
        }
    })?;
    failed?;
    if !rows.is_empty() {
        group(&mut file, &rows)?;
        written += rows.len();
    }
    file.close()?;
    Ok(written)
}

fn schema() -> Result<TypePtr, ParquetError> {
    let required = |name: &str, physical, meaning| {
        Type::primitive_type_builder(name, physical)
            .with_repetition(Repetition::REQUIRED)
            .with_converted_type(meaning)
            .build()
    };
    let mut fields = vec![
        required("origin", Physical::BYTE_ARRAY, ConvertedType::UTF8)?,
        required("incarnation", Physical::INT64, ConvertedType::NONE)?,
        required("index", Physical::INT64, ConvertedType::NONE)?,
        required("leaf_hash", Physical::BYTE_ARRAY, ConvertedType::NONE)?,
        required("record", Physical::BYTE_ARRAY, ConvertedType::NONE)?,
        required("type", Physical::BYTE_ARRAY, ConvertedType::UTF8)?,
        required("ts", Physical::INT64, ConvertedType::TIMESTAMP_MILLIS)?,
    ];
    for (name, _) in OF_BATCHES {
        let optional = Type::primitive_type_builder(name, Physical::INT64).with_repetition(Repetition::OPTIONAL);
        fields.push(optional.build()?);
    }
    let fields = fields.into_iter().map(std::sync::Arc::new).collect();
    Type::group_type_builder("enforcement_log").with_fields(fields).build().map(std::sync::Arc::new)
}

fn group<W: Write + Send>(file: &mut SerializedFileWriter<W>, rows: &[Row]) -> Result<(), ParquetError> {
    let mut group = file.next_row_group()?;
    let texts =
        |take: fn(&Row) -> &[u8]| rows.iter().map(|row| ByteArray::from(take(row).to_vec())).collect::<Vec<_>>();
    let numbers = |take: fn(&Row) -> i64| rows.iter().map(take).collect::<Vec<_>>();
    write::<ByteArrayType, _>(&mut group, &texts(|row| row.origin.as_bytes()), None)?;
    write::<Int64Type, _>(&mut group, &numbers(|row| row.incarnation), None)?;
    write::<Int64Type, _>(&mut group, &numbers(|row| row.index), None)?;
    write::<ByteArrayType, _>(&mut group, &texts(|row| &row.leaf_hash), None)?;
    write::<ByteArrayType, _>(&mut group, &texts(|row| &row.record), None)?;
    write::<ByteArrayType, _>(&mut group, &texts(|row| row.kind.as_bytes()), None)?;
    write::<Int64Type, _>(&mut group, &numbers(|row| row.ts_ms), None)?;
    // Present cells are written one after another; a level says of each row whether it has one.
    let levels: Vec<i16> = rows.iter().map(|row| i16::from(row.counts.is_some())).collect();
    for place in 0..OF_BATCHES.len() {
        let cell = |row: &Row| row.counts.as_ref().and_then(|counts| counts.get(place).copied());
        let present: Vec<i64> = rows.iter().filter_map(cell).collect();
        write::<Int64Type, _>(&mut group, &present, Some(&levels))?;
    }
    group.close().map(drop)
}

fn write<D: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[D::T],
    levels: Option<&[i16]>,
) -> Result<(), ParquetError> {
    let Some(mut column) = group.next_column()? else {
        return Err(ParquetError::General("the schema has fewer columns than the table".to_owned()));
    };
    column.typed::<D>().write_batch(values, levels, None)?;
    column.close()
}
