//! The ledger's tables, and the only code that touches redb.
//!
//! Every write is one transaction with immediate durability and a two-phase
//! commit: redb then syncs twice, and a torn commit cannot be taken for a whole
//! one even by somebody who chose the torn bytes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::{Builder, Database, Durability, ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::{Entry, LedgerError, LedgerId, ReleaseId, ReleaseState};
use crate::digest::Digest;
use crate::loss::{Loss, Measure};
use crate::window::Span;

const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
const RELEASES: TableDefinition<[u8; 32], &[u8]> = TableDefinition::new("releases");
const CHARGES: TableDefinition<ChargeKey<'_>, ChargeRow> = TableDefinition::new("charges");
const OUTBOX: TableDefinition<[u8; 32], &[u8]> = TableDefinition::new("outbox");
/// The names of what is in the outbox, in the order of their commits.
const QUEUE: TableDefinition<u64, [u8; 32]> = TableDefinition::new("queue");
const CHAINS: TableDefinition<&str, [u8; 32]> = TableDefinition::new("chains");

/// Under which names of the meta table an identity's halves are: the file's own, and that of the ledger it shares.
const OWN: [&str; 2] = ["id_high", "id_low"];
const SHARED: [&str; 2] = ["shared_high", "shared_low"];

/// How the name of a ledger ends that is not whole yet.
const UNFINISHED: &str = ".unfinished";

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
    /// Nothing where none was charged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) budget: Option<String>,
    pub(super) window_start: i64,
}

/// One charge of a budget.
#[derive(Clone, Copy, Debug)]
pub(super) struct Charge {
    pub(super) release: ReleaseId,
    pub(super) start_secs: i64,
    pub(super) loss: Loss,
    /// Whether it was made by this holder of the budget; one in a file always was.
    pub(super) own: bool,
}

/// The ledger's file. redb gives up a database for good when a write of it failed,
/// as on a full disk; it is opened again then, which takes it back to its last commit.
pub(super) struct Store {
    open: Box<dyn Fn() -> Result<Database, LedgerError> + Send + Sync>,
    held: Mutex<Held>,
    /// Whether a commit failed since it was opened.
    failed: Arc<AtomicBool>,
}

struct Held {
    /// Nothing while it could not be opened again.
    database: Option<Database>,
    /// Which ledger this process opened, and at which of its openings: another file in its
    /// place, or a copy from before, is not gone on with.
    opening: Option<(LedgerId, u64)>,
}

/// What a ledger file is found to be when it is opened.
pub(super) struct Opened {
    pub(super) id: LedgerId,
    pub(super) incarnation: u64,
    pub(super) forfeited: u64,
}

/// Where the charges of the releases in a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charges {
    /// In the same file.
    Here,
    /// In this ledger, which pods share.
    Shared(LedgerId),
}

/// One step of the ledger: all of it happens, or none.
pub(super) struct Step {
    transaction: WriteTransaction,
    failed: Arc<AtomicBool>,
}

/// Says what was being done when redb failed.
fn failed<E: Into<redb::Error>>(doing: &'static str) -> impl Fn(E) -> LedgerError {
    move |error| LedgerError::Storage { doing, source: Box::new(error.into()) }
}

impl Store {
    pub(super) fn open(path: &Path) -> Result<Self, LedgerError> {
        if path.exists() {
            // Its maker may have died over taking the other name away, or before this name was kept.
            let (directory, name) = place(path);
            remove_unfinished(directory, &name).map_err(LedgerError::Directory)?;
            keep_names(directory)?;
        } else {
            begin(path)?;
        }
        Self::open_as_it_is(path)
    }

    /// Opens a ledger that is there; takes nothing away beside it.
    pub(super) fn open_as_it_is(path: &Path) -> Result<Self, LedgerError> {
        let path = path.to_owned();
        Self::opened_by(move || Builder::new().set_cache_size(CACHE_BYTES).open(&path).map_err(failed("open the file")))
    }

    fn opened_by(
        open: impl Fn() -> Result<Database, LedgerError> + Send + Sync + 'static,
    ) -> Result<Self, LedgerError> {
        let held = Mutex::new(Held { database: Some(open()?), opening: None });
        Ok(Self { open: Box::new(open), held, failed: Arc::default() })
    }

    #[cfg(test)]
    pub(super) fn over<B: redb::StorageBackend>(
        backend: impl Fn() -> B + Send + Sync + 'static,
    ) -> Result<Self, LedgerError> {
        Self::opened_by(move || {
            let database = Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(backend());
            database.map_err(failed("open the file"))
        })
    }

    pub(super) fn begin(&self) -> Result<Step, LedgerError> {
        let mut held = self.held();
        let in_hand = held.database.take().filter(|_| !self.failed.swap(false, Ordering::SeqCst));
        // Whatever failed before, a large receipt's write before its commit too, shows here at the latest.
        let begun = in_hand.and_then(|database| self.step_of(&database).ok().map(|step| (database, step)));
        // The lock on the file went with the database, or goes with the last step of it that is under way.
        let (database, step) = match begun {
            Some(begun) => begun,
            None => self.open_again(held.opening)?,
        };
        held.database = Some(database);
        Ok(step)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_again(&self, opening: Option<(LedgerId, u64)>) -> Result<(Database, Step), LedgerError> {
        let database = (self.open)()?;
        let step = self.step_of(&database)?;
        if let Some(opening) = opening
            && step.opening()? != Some(opening)
        {
            return Err(LedgerError::Replaced);
        }
        Ok((database, step))
    }

    fn step_of(&self, database: &Database) -> Result<Step, LedgerError> {
        let mut transaction = database.begin_write().map_err(failed("begin a step"))?;
        transaction.set_durability(Durability::Immediate).map_err(failed("begin a durable step"))?;
        transaction.set_two_phase_commit(true);
        Ok(Step { transaction, failed: Arc::clone(&self.failed) })
    }

    /// The shared ledger that the charges of this file's releases are in, if there
    /// are any yet; they must not be in the file.
    pub(super) fn shared_with(&self) -> Result<Option<LedgerId>, LedgerError> {
        let step = self.begin()?;
        if step.holds_charges()? {
            return Err(LedgerError::ChargesAreHere);
        }
        let meta = step.transaction.open_table(META).map_err(failed("open a table"))?;
        halves(&meta, SHARED)
    }

    /// The latest release of each budget that was ever paid for.
    pub(super) fn newest_of_each_budget(&self) -> Result<Vec<ReleaseId>, LedgerError> {
        let step = self.begin()?;
        let releases = step.transaction.open_table(RELEASES).map_err(failed("open a table"))?;
        let mut newest: BTreeMap<String, (i64, ReleaseId)> = BTreeMap::new();
        for row in releases.iter().map_err(failed("read"))? {
            let (release, record) = row.map_err(failed("read"))?;
            let Record { budget, window_start, .. } = read_record(record.value())?;
            let Some(budget) = budget else { continue };
            let found = (window_start, ReleaseId(Digest(release.value())));
            let latest = newest.entry(budget).or_insert(found);
            if latest.0 < window_start {
                *latest = found;
            }
        }
        Ok(newest.into_values().map(|(_, release)| release).collect())
    }

    /// Counts this opening and forfeits every reservation of the ones before.
    pub(super) fn begin_incarnation(&self, kind: Charges) -> Result<Opened, LedgerError> {
        let step = self.begin()?;
        step.be_of(kind)?;
        let (id, incarnation) = (step.id_or(LedgerId::random()?)?, step.count_opening()?);
        let forfeited = step.forfeit_reserved()?;
        step.commit("open the ledger")?;
        self.held().opening = Some((id, incarnation));
        Ok(Opened { id, incarnation, forfeited })
    }
}

/// Makes a new ledger beside its place, and links it there when it is whole: a
/// file that its maker died over opens never again, and must not be taken for a
/// ledger. Linking replaces nothing, so of two makers one wins and both open its file.
fn begin(path: &Path) -> Result<(), LedgerError> {
    let (directory, name) = place(path);
    remove_unfinished(directory, &name).map_err(LedgerError::Directory)?;
    let unfinished = directory.join(format!("{name}.{}{UNFINISHED}", LedgerId::random()?));
    drop(Builder::new().create(&unfinished).map_err(failed("make the file"))?);
    match fs::hard_link(&unfinished, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(LedgerError::Directory(error)),
        _ => fs::remove_file(&unfinished).map_err(LedgerError::Directory)?,
    }
    keep_names(directory)
}

/// Without this a power loss may take a file's name, and the whole budget's past with it.
fn keep_names(directory: &Path) -> Result<(), LedgerError> {
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(LedgerError::Directory)
}

/// A ledger's directory, and its name there.
fn place(path: &Path) -> (&Path, Cow<'_, str>) {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    (directory, path.file_name().unwrap_or_default().to_string_lossy())
}

/// What earlier processes died over. Somebody who is at it still fails to link it, and may try again.
fn remove_unfinished(directory: &Path, ledger: &str) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let rest = name.to_str().and_then(|name| name.strip_prefix(ledger));
        if rest.is_some_and(|rest| rest.starts_with('.') && rest.ends_with(UNFINISHED)) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

impl Step {
    pub(super) fn commit(self, doing: &'static str) -> Result<(), LedgerError> {
        self.transaction.commit().map_err(failed(doing)).inspect_err(|_| self.failed.store(true, Ordering::SeqCst))
    }

    /// That the charges of this file have always been where they are to be now:
    /// what was spent elsewhere would be forgotten.
    fn be_of(&self, kind: Charges) -> Result<(), LedgerError> {
        let mut meta = self.transaction.open_table(META).map_err(failed("open a table"))?;
        let shared = halves(&meta, SHARED)?;
        let holds_charges = self.holds_charges()?;
        match kind {
            Charges::Here if shared.is_some() => Err(LedgerError::ChargesAreShared),
            Charges::Shared(_) if holds_charges => Err(LedgerError::ChargesAreHere),
            Charges::Shared(id) if shared.is_some_and(|known| known != id) => Err(LedgerError::OtherShared),
            Charges::Here => Ok(()),
            Charges::Shared(id) => put_halves(&mut meta, SHARED, id),
        }
    }

    fn holds_charges(&self) -> Result<bool, LedgerError> {
        let charges = self.transaction.open_table(CHARGES).map_err(failed("open a table"))?;
        Ok(charges.iter().map_err(failed("read the charges"))?.next().is_some())
    }

    /// The ledger's identity: the one it was born with, or this one from now on.
    fn id_or(&self, new: LedgerId) -> Result<LedgerId, LedgerError> {
        let mut meta = self.transaction.open_table(META).map_err(failed("open a table"))?;
        if let Some(id) = halves(&meta, OWN)? {
            return Ok(id);
        }
        put_halves(&mut meta, OWN, new)?;
        Ok(new)
    }

    /// Which ledger it is, and how often it has been opened; nothing in one that never was.
    fn opening(&self) -> Result<Option<(LedgerId, u64)>, LedgerError> {
        let meta = self.transaction.open_table(META).map_err(failed("open a table"))?;
        let openings = meta.get("incarnation").map_err(failed("read"))?.map(|count| count.value());
        Ok(halves(&meta, OWN)?.zip(openings))
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
            read_charge(key.value(), charge.value())
        })
        .collect()
    }

    /// When the latest window begins that a budget was charged for.
    pub(super) fn newest(&self, budget: &str) -> Result<Option<i64>, LedgerError> {
        let charges = self.transaction.open_table(CHARGES).map_err(failed("open a table"))?;
        let all = (budget, i64::MIN, [0; 32])..=(budget, i64::MAX, [0xff; 32]);
        let last = charges.range(all).map_err(failed("read the charges"))?.next_back();
        Ok(last.transpose().map_err(failed("read the charges"))?.map(|(key, _)| key.value().1))
    }

    /// Every charge, by budget and window.
    pub(super) fn entries(&self) -> Result<Vec<Entry>, LedgerError> {
        let charges = self.transaction.open_table(CHARGES).map_err(failed("open a table"))?;
        let rows = charges.iter().map_err(failed("read the charges"))?;
        rows.map(|row| {
            let (key, charge) = row.map_err(failed("read the charges"))?;
            let Charge { release, start_secs, loss, .. } = read_charge(key.value(), charge.value())?;
            let state = self.record(release)?.ok_or(LedgerError::Damaged)?.state.name();
            let budget_name = key.value().0.to_owned();
            Ok(Entry { budget_name, start_secs, release, charge: loss, state, holder: None })
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

    pub(super) fn outbox(&self) -> Result<Vec<ReleaseId>, LedgerError> {
        let queue = self.transaction.open_table(QUEUE).map_err(failed("open a table"))?;
        let rows = queue.iter().map_err(failed("read the outbox"))?;
        rows.map(|row| Ok(ReleaseId(Digest(row.map_err(failed("read the outbox"))?.1.value())))).collect()
    }

    pub(super) fn outbox_of(&self, release: ReleaseId) -> Result<Option<Vec<u8>>, LedgerError> {
        let outbox = self.transaction.open_table(OUTBOX).map_err(failed("open a table"))?;
        let receipt = outbox.get(release.0.0).map_err(failed("read the outbox"))?;
        Ok(receipt.map(|receipt| receipt.value().to_vec()))
    }

    pub(super) fn put_outbox(&self, release: ReleaseId, receipt: &[u8]) -> Result<(), LedgerError> {
        let mut outbox = self.transaction.open_table(OUTBOX).map_err(failed("open a table"))?;
        outbox.insert(release.0.0, receipt).map_err(failed("write the outbox"))?;
        let mut queue = self.transaction.open_table(QUEUE).map_err(failed("open a table"))?;
        let last = queue.last().map_err(failed("read the outbox"))?.map_or(0, |(place, _)| place.value());
        queue.insert(last + 1, release.0.0).map_err(failed("write the outbox"))?;
        Ok(())
    }

    pub(super) fn remove_outbox(&self, release: ReleaseId) -> Result<(), LedgerError> {
        let mut outbox = self.transaction.open_table(OUTBOX).map_err(failed("open a table"))?;
        outbox.remove(release.0.0).map_err(failed("write the outbox"))?;
        let mut queue = self.transaction.open_table(QUEUE).map_err(failed("open a table"))?;
        queue.retain(|_, waiting| waiting != release.0.0).map_err(failed("write the outbox"))?;
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

/// The identity that stands under two names of the table, where one does.
fn halves(
    meta: &impl ReadableTable<&'static str, u64>,
    [high, low]: [&str; 2],
) -> Result<Option<LedgerId>, LedgerError> {
    let half = |name: &str| Ok::<_, LedgerError>(meta.get(name).map_err(failed("read"))?.map(|half| half.value()));
    Ok(half(high)?.zip(half(low)?).map(|(high, low)| LedgerId::from_halves(high, low)))
}

fn put_halves(
    meta: &mut redb::Table<'_, &'static str, u64>,
    names: [&str; 2],
    id: LedgerId,
) -> Result<(), LedgerError> {
    let (high, low) = id.halves();
    for (name, half) in names.into_iter().zip([high, low]) {
        meta.insert(name, half).map_err(failed("write"))?;
    }
    Ok(())
}

fn read_charge(key: (&str, i64, [u8; 32]), charge: (u8, u64, u64)) -> Result<Charge, LedgerError> {
    let (_, start_secs, release) = key;
    let (measure, nano, delta_pico) = charge;
    let loss = read_loss(measure, nano, delta_pico)?;
    Ok(Charge { release: ReleaseId(Digest(release)), start_secs, loss, own: true })
}

/// A loss as it is stored: its measure's code, billionths, trillionths of delta.
pub(super) fn read_loss(measure: u8, nano: u64, delta_pico: u64) -> Result<Loss, LedgerError> {
    let measure = measure_of(measure).ok_or(LedgerError::Damaged)?;
    Ok(Loss::from_nano(measure, nano).map_err(|_| LedgerError::Damaged)?.with_delta(delta_pico))
}

fn read_record(bytes: &[u8]) -> Result<Record, LedgerError> {
    serde_json::from_slice(bytes).map_err(|_| LedgerError::Damaged)
}

pub(super) const fn code_of(measure: Measure) -> u8 {
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
