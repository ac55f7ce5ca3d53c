//! Brings the incarnation before to an orderly end.
//!
//! Every start does this, after a crash and after a clean close alike. Counts
//! that were durable but in no record yet become a record; releases without an
//! outcome become unknown; a `recover` record says what was torn. The dead
//! process's key is gone, so the next incarnation's `open` record, signed by
//! its own key, is what vouches for these last records.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::anchor::Anchor;
use crate::counts::{Delta, Fates};
use crate::disk::{Gate, replace};
use crate::note::{Checkpoint, NoteError, VerifierKey};
use crate::record::{Entry, Previous, Record, Recover};
use crate::stored::{Extent, Item, Stored};
use crate::tree::Hash;
use crate::volume::{Draft, Stamp, Volume, WriteError};
use crate::wal::Wal;

/// Why a log cannot be opened for writing.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The configured name cannot stand in checkpoints.
    #[error("the log's origin cannot be used: {0}")]
    Origin(#[from] NoteError),
    /// Another process writes here.
    #[error("another process is writing the log at {0}; stop it, or use another directory")]
    InUse(PathBuf),
    /// The disk said no.
    #[error("cannot {doing} at {at}: {source}")]
    Disk {
        /// What we were doing.
        doing: &'static str,
        /// Where.
        at: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Something that a signed checkpoint covers is not as it was.
    #[error(
        "the log at {at} is damaged before its last signed checkpoint: {what}; \
         keep it as evidence: move it aside and start with an empty directory"
    )]
    Damaged {
        /// The incarnation's directory.
        at: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The end of the incarnation before, or the first record of this one, cannot be written.
    #[error("cannot write the log at {at}: {source}")]
    Write {
        /// The incarnation's directory.
        at: PathBuf,
        /// Why not.
        source: WriteError,
    },
}

impl OpenError {
    pub(crate) fn disk(doing: &'static str, at: &Path) -> impl FnOnce(io::Error) -> Self {
        let at = at.to_owned();
        move |source| Self::Disk { doing, at, source }
    }

    pub(crate) fn write(at: &Path) -> impl FnOnce(WriteError) -> Self {
        let at = at.to_owned();
        move |source| Self::Write { at, source }
    }
}

/// How the incarnation before ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its end, as the next `open` record links it.
    pub previous: Previous,
    /// What this start had to mend; `None` where it had closed.
    pub mended: Option<Mended>,
    /// The digest of the policy that was in force last, if there was one.
    pub policy: Option<String>,
}

/// What recovery found after a crash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mended {
    /// Bytes of unfinished writes.
    pub torn_bytes: u64,
    /// At most this many events left uncounted.
    pub lease: u64,
    /// Requests that were in flight.
    pub abandoned_requests: u64,
    /// Events that were undecided.
    pub abandoned_events: u64,
    /// Releases that are unknown now.
    pub unknown: u64,
}

/// Ends the incarnation `stored`, mending it if it did not close.
pub(crate) fn finish(stored: &Stored, anchor: Option<&Anchor>, now_ms: i64, gate: &Gate) -> Result<Ended, OpenError> {
    let Loaded { mut volume, extent, policy, unpublished } = load(stored, anchor, gate)?;
    let mended = if volume.books.ended {
        None
    } else {
        Some(mend(&mut volume, &extent, now_ms).map_err(OpenError::write(&stored.dir))?)
    };
    stored.tidy().map_err(OpenError::disk("remove unfinished writes", &stored.dir))?;
    volume.tiles.publish(&volume.tree).map_err(OpenError::disk("write tiles", &stored.dir))?;
    if let Some(note) = unpublished {
        let path = stored.dir.join("checkpoint");
        replace(&path, note.as_bytes(), true).map_err(OpenError::disk("write the checkpoint", &path))?;
    }
    let end = volume.checkpoint();
    let previous = Previous { origin: end.origin, size: end.size, root: end.root.to_base64() };
    Ok(Ended { previous, mended, policy })
}

/// The policy that an incarnation had in force last. It is read, not checked: whoever
/// uses the digest compiles what is kept under it.
pub(crate) fn last_policy(stored: &Stored) -> io::Result<Option<String>> {
    let mut policy = None;
    stored.read(&mut |item| {
        if let Item::Record(bytes) = item
            && let Ok(Entry { record: Record::PolicyLoad(load), .. }) = Entry::parse(bytes)
        {
            policy = Some(load.digest);
        }
    })?;
    Ok(policy)
}

fn mend(volume: &mut Volume, extent: &Extent, now_ms: i64) -> Result<Mended, WriteError> {
    // The dead process's monotonic clock is gone: its last reading stands.
    let stamp = Stamp { ts: round_ms(now_ms), mono: volume.books.last_mono };
    let since = volume.books.last_ts;
    let mut draft = volume.draft();
    fold_left_overs(volume, &mut draft, stamp, since)?;
    let unknown = draft.give_up_outstanding(stamp)?;
    let books = draft.books();
    let mended = Mended {
        torn_bytes: extent.torn_bytes,
        lease: books.lease,
        abandoned_requests: books.requests_in_flight,
        abandoned_events: books.events_in_flight,
        unknown,
    };
    draft.record(
        stamp,
        Record::Recover(Recover {
            torn_bytes: mended.torn_bytes,
            lease: mended.lease,
            abandoned_requests: mended.abandoned_requests,
            abandoned_events: mended.abandoned_events,
            unknown: mended.unknown,
        }),
    )?;
    volume.commit(draft)?;
    volume.open = Delta::default();
    Ok(mended)
}

/// A batch that became durable without its outcomes leaves only fates over.
fn fold_left_overs(volume: &Volume, draft: &mut Draft, stamp: Stamp, since: i64) -> Result<(), WriteError> {
    let fates_only = Delta { fates: volume.open.fates.clone(), ..Delta::default() } == volume.open;
    if fates_only {
        draft.outcomes(stamp, crate::books::Books::outcomes(&volume.open.fates))
    } else {
        draft.fold(stamp, round_ms(since), &volume.open)
    }
}

/// Times are rounded down to ten seconds where few events are counted.
pub(crate) fn round_ms(ms: i64) -> i64 {
    ms - ms.rem_euclid(10_000)
}

/// How messages call an incarnation's own published checkpoint.
const OWN_NOTE: &str = "the file `checkpoint`";

/// Checkpoints that must be found while reading.
struct Expected {
    size: u64,
    root: Hash,
    from: &'static str,
}

struct Loader {
    volume: Volume,
    expected: Vec<Expected>,
    key: Option<VerifierKey>,
    damage: Option<String>,
    policy: Option<String>,
    /// Whether the file `checkpoint` is missing.
    unpublished: bool,
    last_note: Option<String>,
}

/// An incarnation as it can be written on.
struct Loaded {
    volume: Volume,
    /// How far it reaches.
    extent: Extent,
    /// The policy that it had in force last.
    policy: Option<String>,
    /// The last checkpoint among its records, where none was published.
    unpublished: Option<String>,
}

fn load(stored: &Stored, anchor: Option<&Anchor>, gate: &Gate) -> Result<Loaded, OpenError> {
    let notes = notes_about(stored, anchor)?;
    let mut loader = Loader {
        volume: Volume::new(&stored.dir, stored.number, "", gate),
        expected: Vec::new(),
        key: None,
        damage: None,
        policy: None,
        unpublished: !notes.iter().any(|(_, from)| *from == OWN_NOTE),
        last_note: None,
    };
    for (note, from) in &notes {
        match Checkpoint::claimed(note) {
            Ok(claimed) => loader.expected.push(Expected { size: claimed.size, root: claimed.root, from }),
            Err(error) => loader.damaged(format!("{from}: {error}")),
        }
    }
    let extent = stored.read(&mut |item| loader.take(item)).map_err(OpenError::disk("read the log", &stored.dir))?;
    loader.settle(&notes);
    let Loader { mut volume, damage, policy, last_note, .. } = loader;
    if let Some(what) = damage {
        return Err(OpenError::Damaged { at: stored.dir.clone(), what });
    }
    volume.wal = Wal::after(stored.wal_dir(), stored.number, extent.end, gate.clone());
    Ok(Loaded { volume, extent, policy, unpublished: last_note })
}

fn notes_about(stored: &Stored, anchor: Option<&Anchor>) -> Result<Vec<(String, &'static str)>, OpenError> {
    let own = stored.checkpoint().map_err(OpenError::disk("read the checkpoint", &stored.dir))?;
    let mut notes: Vec<_> = own.map(|note| (note, OWN_NOTE)).into_iter().collect();
    let anchored = anchor.map(Anchor::claimed).transpose();
    let anchored = anchored.map_err(OpenError::disk("read the anchored checkpoint", &stored.dir))?.flatten();
    let suffix = format!("/{}", stored.number);
    if let Some((note, claimed)) = anchored
        && claimed.origin.ends_with(&suffix)
    {
        notes.push((note, "the anchored checkpoint"));
    }
    Ok(notes)
}

impl Loader {
    fn damaged(&mut self, what: String) {
        self.damage.get_or_insert(what);
    }

    fn take(&mut self, item: Item<'_>) {
        if self.damage.is_some() {
            return;
        }
        match item {
            Item::Record(bytes) => self.record(bytes),
            Item::Delta(delta) => self.volume.open.merge(&delta),
            Item::TreeHead(note) => self.tree_head(note),
            Item::Damage(what) => self.damaged(what),
        }
    }

    fn record(&mut self, bytes: &[u8]) {
        let entry = match Entry::parse(bytes) {
            Ok(entry) => entry,
            Err(error) => return self.damaged(format!("record {}: {error}", self.volume.tree.size())),
        };
        if let Some(wrong) = self.volume.books.apply(&entry).into_iter().next() {
            return self.damaged(format!("record {}: {}", entry.seq, wrong.message));
        }
        match &entry.record {
            Record::Open(open) => {
                self.volume.origin.clone_from(&open.origin);
                self.key = VerifierKey::parse(&open.vkey).ok();
            }
            Record::PolicyLoad(load) => self.policy = Some(load.digest.clone()),
            Record::Batch(_) => {
                let fates = std::mem::take(&mut self.volume.open.fates);
                self.volume.open = Delta { fates, ..Delta::default() };
            }
            Record::Outcome(outcome) => settle_rows(&mut self.volume.open.fates, &outcome.rows),
            _ => {}
        }
        let mut filled = Vec::new();
        self.volume.tree.push(Hash::leaf(bytes), &mut filled);
        self.volume.tiles.filled(filled);
        self.volume.tiles.push(bytes.to_vec());
        if self.volume.tiles.waiting() > 64
            && let Err(error) = self.volume.tiles.flush()
        {
            self.damaged(format!("cannot write tiles: {error}"));
        }
        self.meet();
    }

    /// Compares with every checkpoint that speaks of this size.
    fn meet(&mut self) {
        let size = self.volume.tree.size();
        if self.expected.iter().all(|expected| expected.size != size) {
            return;
        }
        let root = self.volume.tree.root();
        let wrong = self.expected.iter().find(|expected| expected.size == size && expected.root != root);
        if let Some(from) = wrong.map(|wrong| wrong.from) {
            self.damaged(format!("the first {size} records do not have the root that {from} signed"));
        }
        self.expected.retain(|expected| expected.size != size);
    }

    fn tree_head(&mut self, note: &str) {
        let Some(key) = &self.key else { return self.damaged("a checkpoint before the first record".into()) };
        match Checkpoint::open(note, key) {
            Ok(checkpoint) if checkpoint == self.volume.checkpoint() => self.note_unpublished(note),
            Ok(checkpoint) => self.damaged(format!("the checkpoint at {} is not that of the records", checkpoint.size)),
            Err(error) => self.damaged(format!("a checkpoint among the records: {error}")),
        }
    }

    /// A process that ended before it published its first checkpoint left it among the records. It will be
    /// published, so the tiles that its readers need are written.
    fn note_unpublished(&mut self, note: &str) {
        if !self.unpublished {
            return;
        }
        self.last_note = Some(note.to_owned());
        match self.volume.tiles.publish(&self.volume.tree) {
            Ok(stale) => self.volume.tiles.remove(&stale),
            Err(error) => self.damaged(format!("cannot write tiles: {error}")),
        }
    }

    fn settle(&mut self, notes: &[(String, &'static str)]) {
        if self.volume.tree.size() == 0 {
            return self.damaged("it has no readable record".into());
        }
        if let Some(missing) = self.expected.iter().find(|expected| expected.size > self.volume.tree.size()) {
            let what = format!(
                "it ends after {} records, and {} was signed at {}",
                self.volume.tree.size(),
                missing.from,
                missing.size
            );
            return self.damaged(what);
        }
        for (note, from) in notes {
            let opened = self.key.as_ref().map(|key| Checkpoint::open(note, key));
            if !matches!(opened, Some(Ok(_))) {
                self.damaged(format!("{from} is not signed by this incarnation's key"));
            }
        }
    }
}

fn settle_rows(fates: &mut Fates, rows: &[crate::record::OutcomeRow]) {
    for (batch, to, acknowledged, refused, unknown) in rows {
        if let Some(fate) = fates.get_mut(&(*batch, *to)) {
            fate.acknowledged = fate.acknowledged.saturating_sub(*acknowledged);
            fate.refused = fate.refused.saturating_sub(*refused);
            fate.unknown = fate.unknown.saturating_sub(*unknown);
        }
    }
    fates.retain(|_, fate| fate.sum() > 0);
}
