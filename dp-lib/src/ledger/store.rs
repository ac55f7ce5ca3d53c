//! The ledger's tables, and the only code that touches redb.
//!
//! Every write is one transaction with immediate durability and a two-phase
//! commit: redb then syncs twice, and a torn commit cannot be taken for a whole
//! one even by somebody who chose the torn bytes.

use std::fs::File;
use std::path::Path;

use redb::{Builder, Database, Durability, ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::{LedgerError, ReleaseId, ReleaseState, Unsent};
use crate::digest::Digest;
use crate::loss::{Loss, Measure};
use crate::window::Span;

const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
const RELEASES: TableDefinition<[u8; 32], &[u8]> = TableDefinition::new("releases");
const CHARGES: TableDefinition<ChargeKey<'_>, ChargeRow> = TableDefinition::new("charges");
const OUTBOX: TableDefinition<[u8; 32], &[u8]> = TableDefinition::new("outbox");
const CHAINS: TableDefinition<&str, [u8; 32]> = TableDefinition::new("chains");

/// Budget, first second of the window, release.
type ChargeKey<'a> = (&'a str, i64, [u8; 32]);

/// Measure, billionths, trillionths.
type ChargeRow = (u8, u64, u64);

/// The file's pages in memory: a ledger is small.
const CACHE_BYTES: usize = 4 << 20;

/// What the ledger keeps of one release.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    #[serde(flatten)]
    pub(super) state: ReleaseState,
    pub(super) budget: String,
    pub(super) window_start: i64,
}

/// One charge of a budget.
#[derive(Clone, Copy, Debug)]
pub(super) struct Charge {
    pub(super) start_secs: i64,
    pub(super) loss: Loss,
}

pub(super) struct Store {
    database: Database,
}

/// One step of the ledger: all of it happens, or none.
pub(super) struct Step {
    transaction: WriteTransaction,
}

/// Says what was being done when redb failed.
fn failed<E: Into<redb::Error>>(doing: &'static str) -> impl Fn(E) -> LedgerError {
    move |error| LedgerError::Storage { doing, source: Box::new(error.into()) }
}

impl Store {
    pub(super) fn open(path: &Path) -> Result<Self, LedgerError> {
        let is_new = !path.exists();
        let database = Builder::new().set_cache_size(CACHE_BYTES).create(path).map_err(failed("open the file"))?;
        if is_new {
            // Without this a power loss may take the file's name, and the whole budget's past with it.
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(directory).and_then(|directory| directory.sync_all()).map_err(LedgerError::Directory)?;
        }
        Ok(Self { database })
    }

    #[cfg(test)]
    pub(super) fn over(backend: impl redb::StorageBackend) -> Result<Self, LedgerError> {
        let database =
            Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(backend).map_err(failed("open the file"))?;
        Ok(Self { database })
    }

    pub(super) fn begin(&self) -> Result<Step, LedgerError> {
        let mut transaction = self.database.begin_write().map_err(failed("begin a step"))?;
        transaction.set_durability(Durability::Immediate).map_err(failed("begin a durable step"))?;
        transaction.set_two_phase_commit(true);
        Ok(Step { transaction })
    }

    /// Counts this opening and forfeits every reservation of the ones before.
    pub(super) fn begin_incarnation(&self) -> Result<(u64, u64), LedgerError> {
        let step = self.begin()?;
        let incarnation = step.count_opening()?;
        let forfeited = step.forfeit_reserved()?;
        step.commit("open the ledger")?;
        Ok((incarnation, forfeited))
    }
}

impl Step {
    pub(super) fn commit(self, doing: &'static str) -> Result<(), LedgerError> {
        self.transaction.commit().map_err(failed(doing))
    }

    fn count_opening(&self) -> Result<u64, LedgerError> {
        let mut meta = self.transaction.open_table(META).map_err(failed("open a table"))?;
        let before = meta.get("incarnation").map_err(failed("read"))?.map_or(0, |count| count.value());
        meta.insert("incarnation", before + 1).map_err(failed("write"))?;
        Ok(before + 1)
    }

    fn forfeit_reserved(&self) -> Result<u64, LedgerError> {
        let reserved = self.reserved()?;
        for (release, record) in &reserved {
            self.put_record(*release, &Record { state: ReleaseState::Forfeited, ..record.clone() })?;
        }
        Ok(reserved.len() as u64)
    }

    fn reserved(&self) -> Result<Vec<(ReleaseId, Record)>, LedgerError> {
        let releases = self.transaction.open_table(RELEASES).map_err(failed("open a table"))?;
        let mut reserved = Vec::new();
        for row in releases.iter().map_err(failed("read"))? {
            let (release, record) = row.map_err(failed("read"))?;
            let record = read_record(record.value())?;
            if record.state == ReleaseState::Reserved {
                reserved.push((ReleaseId(Digest(release.value())), record));
            }
        }
        Ok(reserved)
    }

    pub(super) fn record(&self, release: ReleaseId) -> Result<Option<Record>, LedgerError> {
        let releases = self.transaction.open_table(RELEASES).map_err(failed("open a table"))?;
        let found = releases.get(release.0.0).map_err(failed("read a release"))?;
        found.map(|record| read_record(record.value())).transpose()
    }

    pub(super) fn put_record(&self, release: ReleaseId, record: &Record) -> Result<(), LedgerError> {
        let bytes = serde_json::to_vec(record).map_err(|_| LedgerError::Damaged)?;
        let mut releases = self.transaction.open_table(RELEASES).map_err(failed("open a table"))?;
        releases.insert(release.0.0, bytes.as_slice()).map_err(failed("write a release"))?;
        Ok(())
    }

    /// The charges of every horizon that a window starting then falls into.
    pub(super) fn charges(&self, budget: &str, start_secs: i64, horizon: Span) -> Result<Vec<Charge>, LedgerError> {
        let charges = self.transaction.open_table(CHARGES).map_err(failed("open a table"))?;
        let first = start_secs.saturating_sub(horizon.secs_i64());
        let last = start_secs.saturating_add(horizon.secs_i64());
        let rows =
            charges.range((budget, first, [0; 32])..=(budget, last, [0xff; 32])).map_err(failed("read the charges"))?;
        rows.map(|row| {
            let (key, charge) = row.map_err(failed("read the charges"))?;
            let (measure, nano, delta_pico) = charge.value();
            let loss = measure_of(measure)
                .and_then(|measure| Loss::from_nano(measure, nano).ok())
                .ok_or(LedgerError::Damaged)?
                .with_delta(delta_pico);
            Ok(Charge { start_secs: key.value().1, loss })
        })
        .collect()
    }

    pub(super) fn put_charge(
        &self,
        budget: &str,
        start_secs: i64,
        release: ReleaseId,
        loss: Loss,
    ) -> Result<(), LedgerError> {
        let mut charges = self.transaction.open_table(CHARGES).map_err(failed("open a table"))?;
        charges
            .insert((budget, start_secs, release.0.0), (code_of(loss.measure()), loss.nano(), loss.delta_pico()))
            .map_err(failed("charge the budget"))?;
        Ok(())
    }

    pub(super) fn outbox(&self) -> Result<Vec<Unsent>, LedgerError> {
        let outbox = self.transaction.open_table(OUTBOX).map_err(failed("open a table"))?;
        let rows = outbox.iter().map_err(failed("read the outbox"))?;
        rows.map(|row| {
            let (release, receipt) = row.map_err(failed("read the outbox"))?;
            Ok(Unsent { release: ReleaseId(Digest(release.value())), receipt: receipt.value().to_vec() })
        })
        .collect()
    }

    pub(super) fn outbox_of(&self, release: ReleaseId) -> Result<Option<Vec<u8>>, LedgerError> {
        let outbox = self.transaction.open_table(OUTBOX).map_err(failed("open a table"))?;
        let receipt = outbox.get(release.0.0).map_err(failed("read the outbox"))?;
        Ok(receipt.map(|receipt| receipt.value().to_vec()))
    }

    pub(super) fn put_outbox(&self, release: ReleaseId, receipt: &[u8]) -> Result<(), LedgerError> {
        let mut outbox = self.transaction.open_table(OUTBOX).map_err(failed("open a table"))?;
        outbox.insert(release.0.0, receipt).map_err(failed("write the outbox"))?;
        Ok(())
    }

    pub(super) fn remove_outbox(&self, release: ReleaseId) -> Result<(), LedgerError> {
        let mut outbox = self.transaction.open_table(OUTBOX).map_err(failed("open a table"))?;
        outbox.remove(release.0.0).map_err(failed("write the outbox"))?;
        Ok(())
    }

    pub(super) fn chain_head(&self, query: &str) -> Result<Digest, LedgerError> {
        let chains = self.transaction.open_table(CHAINS).map_err(failed("open a table"))?;
        let head = chains.get(query).map_err(failed("read the chain"))?;
        Ok(head.map_or(Digest::ZERO, |head| Digest(head.value())))
    }

    pub(super) fn put_chain_head(&self, query: &str, head: Digest) -> Result<(), LedgerError> {
        let mut chains = self.transaction.open_table(CHAINS).map_err(failed("open a table"))?;
        chains.insert(query, head.0).map_err(failed("write the chain"))?;
        Ok(())
    }
}

fn read_record(bytes: &[u8]) -> Result<Record, LedgerError> {
    serde_json::from_slice(bytes).map_err(|_| LedgerError::Damaged)
}

const fn code_of(measure: Measure) -> u8 {
    match measure {
        Measure::Pure => 0,
        Measure::Zcdp => 1,
    }
}

const fn measure_of(code: u8) -> Option<Measure> {
    match code {
        0 => Some(Measure::Pure),
        1 => Some(Measure::Zcdp),
        _ => None,
    }
}
