//! The ledger's own log: one tree for as long as the ledger lives, signed by a kept key.
//!
//! Promise: nothing is signed that is not on disk, and what is signed is kept before anybody is shown it; so a restart
//! goes on where the last signature was and never signs a second history, as long as the disk does not go back. That it
//! did not, the anchor and the witnesses tell before anything is added. A first record is signed once, when the log is
//! made: a log or an anchor that is empty later is lost, and is never begun again. Not here: what records say, and who
//! cosigns.
//!
//! It has the layout of an incarnation, `1/`, so that `privet-audit verify` checks it. `1/pending` is the newest signed
//! checkpoint, `1/checkpoint` the newest that enough witnesses cosigned. A few files a round are written and synced one by
//! one: a round is every ten seconds.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use privet_audit_log::Moment;
use privet_audit_log::note::{Checkpoint, NoteError, Signer};
use privet_audit_log::record::{CLOCK_SKEW_MS_MAX, ClockMoved, Entry, Open, RECORD_BYTES_MAX, Record, RecordError};
use privet_audit_log::tile::{TileName, decode_bundle, encode_bundle, encode_tile};
use privet_audit_log::tiled::{self, Tiles, decode_tile};
use privet_audit_log::tree::{FilledTile, Hash, TILE_WIDTH, Tree};
use serde_json::json;

use crate::durable;
use crate::store::NOTE_BYTES_MAX;

const TILE_BYTES_MAX: usize = TILE_WIDTH * 32;
/// Each entry after its 16-bit length.
const BUNDLE_BYTES_MAX: usize = TILE_WIDTH * (RECORD_BYTES_MAX + 2);
const SOFTWARE: &str = concat!("privet-ledger ", env!("CARGO_PKG_VERSION"));

/// Why the ledger's log cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum CannotKeep {
    /// The disk said no.
    #[error("cannot {doing} `{}`", at.display())]
    Disk {
        /// What was tried.
        doing: &'static str,
        /// Where.
        at: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// What is on the disk is not what was signed.
    #[error("`{}` is not what this ledger signed: {what}; restore the directory whole, for a new history under the same key would be a fork", at.display())]
    Damaged {
        /// Where.
        at: PathBuf,
        /// What does not fit.
        what: &'static str,
    },
    /// The anchor knows more than the disk.
    #[error("the log at `{}` has {here} records and its anchor {anchored}: the disk went back; restore the newer one, for a second history under the same key would be a fork", at.display())]
    WentBack {
        /// The log.
        at: PathBuf,
        /// Its size.
        here: u64,
        /// The anchor's.
        anchored: u64,
    },
    /// There is no record, not even the first.
    #[error("the log at `{}` holds no signed record: where this ledger's key has never signed, `privet ledger init` makes key and first record together; where it has, the directory is lost or is another: restore the newest one, for a second first record under the same key would be a fork", .0.display())]
    Empty(PathBuf),
    /// The anchor knows less than the disk, which it is written before.
    #[error("the anchor at `{}` does not hold {what}: it was emptied, went back or is another ledger's; restore it, or, where it is lost and the log is known to be whole, write this ledger's key to its `vkey` and copy the log's `1/checkpoint` there", at.display())]
    Anchor {
        /// Its directory.
        at: PathBuf,
        /// What is not there.
        what: &'static str,
    },
    /// There is a ledger already.
    #[error("`{}` is there already: a ledger is made once, in places of its own", .0.display())]
    IsThere(PathBuf),
    /// A record that cannot be written: a defect.
    #[error("a record of the ledger cannot be written")]
    Record(#[from] RecordError),
}

/// A file that has to be there, of at most so many bytes.
fn read(at: &Path, bytes_max: usize) -> Result<Vec<u8>, CannotKeep> {
    let bytes = durable::read_at_most(at, bytes_max as u64).map_err(disk("read", at))?;
    bytes.ok_or_else(|| disk("read", at)(io::ErrorKind::NotFound.into()))
}

fn disk(doing: &'static str, at: &Path) -> impl FnOnce(io::Error) -> CannotKeep {
    let at = at.to_owned();
    move |source| CannotKeep::Disk { doing, at, source }
}

/// The log, open.
pub(super) struct LedgerLog {
    root: PathBuf,
    anchor: PathBuf,
    signer: Signer,
    tree: Tree,
    /// Entries of the last bundle, which is not full.
    tail: Vec<Vec<u8>>,
    pending: Option<String>,
    published: Option<(Checkpoint, String)>,
    /// When this process added a record last; nothing before it did.
    last: Option<Moment>,
    _lock: File,
}

/// Whether a ledger's log and its anchor may be made there: nothing of one is there yet.
pub(super) fn vacant(dir: &Path, anchor: &Path) -> Result<(), CannotKeep> {
    for at in [dir.join("1"), anchor.join("vkey"), anchor.join("checkpoint")] {
        if at.try_exists().map_err(disk("look at", &at))? {
            return Err(CannotKeep::IsThere(at));
        }
    }
    Ok(())
}

impl LedgerLog {
    /// Makes the log in `dir`: anchors its key, and signs its first record.
    pub(super) fn create(dir: &Path, anchor: &Path, signer: Signer, now: Moment) -> Result<(), CannotKeep> {
        let mut log = Self::take_place(dir, anchor, signer)?;
        vacant(dir, anchor)?;
        let at = anchor.join("vkey");
        durable::replace(&at, format!("{}\n", log.signer.verifier()).as_bytes()).map_err(disk("write", &at))?;
        let opening = log.opening();
        log.append(vec![opening], now)
    }

    /// An empty log, and the directory's lock.
    fn take_place(dir: &Path, anchor: &Path, signer: Signer) -> Result<Self, CannotKeep> {
        let lock = durable::lock(dir).map_err(disk("take", dir))?;
        Ok(Self {
            root: dir.join("1"),
            anchor: anchor.to_owned(),
            signer,
            tree: Tree::default(),
            tail: Vec::new(),
            pending: None,
            published: None,
            last: None,
            _lock: lock,
        })
    }

    /// Opens the log in `dir`, which [`LedgerLog::create`] made. `visit` is shown every entry, oldest first.
    pub(super) fn open(
        dir: &Path,
        anchor: &Path,
        signer: Signer,
        visit: &mut dyn FnMut(&[u8]),
    ) -> Result<Self, CannotKeep> {
        let mut log = Self::take_place(dir, anchor, signer)?;
        let pending = log.signed(&log.root.join("pending"))?;
        let published = log.signed(&log.root.join("checkpoint"))?;
        let anchored = log.signed(&log.anchor.join("checkpoint"))?;
        let marks =
            [&pending, &published, &anchored].map(|mark| mark.as_ref().map(|(checkpoint, _)| checkpoint.clone()));
        let size = pending.iter().chain(&published).map(|(checkpoint, _)| checkpoint.size).max().unwrap_or(0);
        if let Some(anchored) = anchored.as_ref().map(|(anchored, _)| anchored.size).filter(|anchored| *anchored > size)
        {
            return Err(CannotKeep::WentBack { at: dir.to_owned(), here: size, anchored });
        }
        if size == 0 {
            return Err(CannotKeep::Empty(dir.to_owned()));
        }
        let size_of = |mark: &Option<(Checkpoint, String)>| mark.as_ref().map_or(0, |(checkpoint, _)| checkpoint.size);
        log.check_anchor(size_of(&published), size_of(&anchored))?;
        log.replay(size, &marks.into_iter().flatten().collect::<Vec<_>>(), visit)?;
        log.pending = pending.or_else(|| published.clone()).map(|(_, note)| note);
        log.published = published;
        Ok(log)
    }

    /// The anchor has the key from the beginning, and each published checkpoint before the log has it.
    fn check_anchor(&self, published: u64, anchored: u64) -> Result<(), CannotKeep> {
        let missing = |what| CannotKeep::Anchor { at: self.anchor.clone(), what };
        let at = self.anchor.join("vkey");
        let key = durable::read_at_most(&at, NOTE_BYTES_MAX as u64).map_err(disk("read", &at))?;
        if key.is_none_or(|key| key.trim_ascii() != self.signer.verifier().to_string().as_bytes()) {
            return Err(missing("this ledger's key"));
        }
        if anchored < published { Err(missing("the newest published checkpoint")) } else { Ok(()) }
    }

    /// A checkpoint that this ledger signed; nothing where there is no file.
    fn signed(&self, at: &Path) -> Result<Option<(Checkpoint, String)>, CannotKeep> {
        let bytes = durable::read_at_most(at, NOTE_BYTES_MAX as u64).map_err(disk("read", at))?;
        let Some(bytes) = bytes else { return Ok(None) };
        let damaged = CannotKeep::Damaged { at: at.to_owned(), what: "it is no checkpoint by its key" };
        let Ok(note) = String::from_utf8(bytes) else { return Err(damaged) };
        match Checkpoint::open(&note, self.signer.verifier()) {
            Ok(checkpoint) => Ok(Some((checkpoint, note))),
            Err(_) => Err(damaged),
        }
    }

    /// Reads all entries and compares the tree with every checkpoint on its way.
    fn replay(&mut self, size: u64, marks: &[Checkpoint], visit: &mut dyn FnMut(&[u8])) -> Result<(), CannotKeep> {
        let damaged = |at: &Path, what| CannotKeep::Damaged { at: at.to_owned(), what };
        while self.tree.size() < size {
            let (index, width) = (TILE_WIDTH as u64, size - self.tree.size());
            let width = u16::try_from(width.min(index)).unwrap_or(256);
            let at = self.root.join(TileName { level: None, index: self.tree.size() / index, width }.path());
            let bytes = read(&at, BUNDLE_BYTES_MAX)?;
            let entries = decode_bundle(&bytes).filter(|entries| entries.len() == usize::from(width));
            for entry in entries.ok_or_else(|| damaged(&at, "it is no bundle of this size"))? {
                visit(entry);
                self.take(entry.to_vec(), &mut Vec::new());
                let wrong = |mark: &&Checkpoint| mark.size == self.tree.size() && mark.root != self.tree.root();
                if marks.iter().any(|mark| wrong(&mark)) {
                    return Err(damaged(&self.root, "its entries lead to another root"));
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, entry: Vec<u8>, filled: &mut Vec<(TileName, Vec<u8>)>) {
        let mut tiles = Vec::new();
        self.tree.push(Hash::leaf(&entry), &mut tiles);
        self.tail.push(entry);
        if self.tail.len() == TILE_WIDTH {
            let index = self.tree.size() / TILE_WIDTH as u64 - 1;
            let bundle = encode_bundle(self.tail.iter().map(Vec::as_slice));
            filled.push((TileName { level: None, index, width: 256 }, bundle));
            self.tail.clear();
        }
        filled.extend(tiles.into_iter().map(|FilledTile { level, index, hashes }| {
            (TileName { level: Some(level), index, width: 256 }, encode_tile(&hashes))
        }));
    }

    /// Number of records.
    pub(super) fn size(&self) -> u64 {
        self.tree.size()
    }

    /// The newest checkpoint that was published, cosigned.
    pub(super) fn published(&self) -> Option<&(Checkpoint, String)> {
        self.published.as_ref()
    }

    /// The newest signed checkpoint.
    pub(super) fn pending(&self) -> Option<&str> {
        self.pending.as_deref()
    }

    /// Whether what is signed is more than what is published.
    pub(super) fn is_ahead(&self) -> bool {
        self.published.as_ref().is_none_or(|(published, _)| published.size < self.size())
    }

    /// What another process says first of all: that it goes on.
    pub(super) fn resumption() -> Record {
        Record::Unknown("resumed".to_owned(), json!({"software": SOFTWARE}))
    }

    /// The first record: whose log this is.
    fn opening(&self) -> Record {
        let vkey = self.signer.verifier();
        Record::Open(Open {
            origin: vkey.name().to_owned(),
            incarnation: 1,
            vkey: vkey.to_string(),
            prev: None,
            lease: 0,
            refusals: Vec::new(),
            software: SOFTWARE.to_owned(),
        })
    }

    /// Adds records, and signs the tree once they are on disk.
    pub(super) fn append(&mut self, records: Vec<Record>, now: Moment) -> Result<(), CannotKeep> {
        let before = (self.tree.clone(), self.tail.clone());
        let done = self.try_append(records, now);
        match done {
            Ok(()) => self.last = Some(now),
            // Nobody has seen a signature over it: the next attempt writes over what was written.
            Err(_) => (self.tree, self.tail) = before,
        }
        done
    }

    /// That the wall clock was set since the record before, if it was.
    fn clock(&self, now: Moment) -> Option<Record> {
        let apart = |moment: Moment| moment.wall_ms.saturating_sub_unsigned(moment.mono_ms);
        let moved_ms = apart(now).saturating_sub(apart(self.last?));
        (moved_ms.unsigned_abs() > CLOCK_SKEW_MS_MAX).then_some(Record::Clock(ClockMoved { moved_ms }))
    }

    fn try_append(&mut self, records: Vec<Record>, now: Moment) -> Result<(), CannotKeep> {
        let mut files = Vec::new();
        for record in self.clock(now).into_iter().chain(records) {
            let entry = Entry { seq: self.tree.size(), ts: now.wall_ms, mono: now.mono_ms, record };
            self.take(entry.to_bytes()?, &mut files);
        }
        files.extend(self.edge());
        for (name, bytes) in files {
            let at = self.root.join(name.path());
            durable::replace(&at, &bytes).map_err(disk("write", &at))?;
        }
        let origin = self.signer.verifier().name().to_owned();
        let checkpoint = Checkpoint { origin, size: self.tree.size(), root: self.tree.root() };
        let note = self.signer.sign(&checkpoint.to_text());
        let at = self.root.join("pending");
        durable::replace(&at, note.as_bytes()).map_err(disk("write", &at))?;
        let stale = self.pending.replace(note).and_then(|note| Checkpoint::claimed(&note).ok());
        self.forget(stale.map(|stale| stale.size));
        Ok(())
    }

    /// The partial tiles of the tree as it is.
    fn edge(&self) -> Vec<(TileName, Vec<u8>)> {
        let size = self.tree.size();
        let width = |len: usize| u16::try_from(len).unwrap_or(256);
        let bundle = (!self.tail.is_empty()).then(|| {
            let name = TileName { level: None, index: size / TILE_WIDTH as u64, width: width(self.tail.len()) };
            (name, encode_bundle(self.tail.iter().map(Vec::as_slice)))
        });
        let tiles = (0_u8..).zip(self.tree.unfinished()).filter(|(_, hashes)| !hashes.is_empty());
        let tiles = tiles.map(|(level, hashes)| {
            let index = size >> (8 * (u32::from(level) + 1));
            (TileName { level: Some(level), index, width: width(hashes.len()) }, encode_tile(hashes))
        });
        bundle.into_iter().chain(tiles).collect()
    }

    /// Publishes a cosigned checkpoint, outside and inside: the anchor never has less than the log.
    pub(super) fn publish(&mut self, note: String) -> Result<(), CannotKeep> {
        let checkpoint = Checkpoint::open(&note, self.signer.verifier()).map_err(|_: NoteError| {
            CannotKeep::Damaged { at: self.root.clone(), what: "a checkpoint lost its signature" }
        })?;
        for at in [self.anchor.join("checkpoint"), self.root.join("checkpoint")] {
            durable::replace(&at, note.as_bytes()).map_err(disk("write", &at))?;
        }
        let stale = self.published.replace((checkpoint, note));
        self.forget(stale.map(|(stale, _)| stale.size));
        Ok(())
    }

    /// Removes partial tiles of a size that neither the published nor the pending checkpoint needs.
    fn forget(&self, stale: Option<u64>) {
        let published = self.published.as_ref().map_or(0, |(published, _)| published.size);
        let kept: BTreeSet<_> = tiled::edge(published).union(&tiled::edge(self.size())).copied().collect();
        for name in tiled::edge(stale.unwrap_or(0)).difference(&kept) {
            let at = self.root.join(name.path());
            // What stays too long is no harm.
            fs::remove_file(&at).ok();
            at.parent().map(fs::remove_dir);
        }
    }

    /// The proof that a witness needs who cosigned `old` records last; empty from none.
    pub(super) fn proof_from(&self, old: u64) -> Result<Vec<Hash>, CannotKeep> {
        let mut tiles = Tiles::new();
        for name in tiled::needed_for_consistency(old, self.size()) {
            let at = self.root.join(name.path());
            let bytes = read(&at, TILE_BYTES_MAX)?;
            let what = "it is no tile of this size";
            let tile = decode_tile(&bytes, name.width).ok_or_else(|| CannotKeep::Damaged { at: at.clone(), what })?;
            tiles.insert(name, tile);
        }
        let what = "its tiles are not all there";
        tiled::consistency(old, self.size(), &tiles).ok_or_else(|| CannotKeep::Damaged { at: self.root.clone(), what })
    }

    /// Keeps a list under its digest and gives that.
    pub(super) fn keep_list(&self, bytes: &[u8]) -> Result<String, CannotKeep> {
        let digest = Hash::of(bytes);
        let at = self.list_at(&digest.to_hex());
        durable::place(&at, bytes, durable::PLAIN).map_err(disk("write", &at))?;
        Ok(digest.to_address())
    }

    /// Keeps a published checkpoint with its cosignatures under its digest and gives that.
    pub(super) fn keep_cosigned(&self, note: &str) -> Result<String, CannotKeep> {
        let digest = Hash::of(note.as_bytes());
        let at = cosigned_path(&self.root, &digest.to_hex());
        durable::place(&at, note.as_bytes(), durable::PLAIN).map_err(disk("write", &at))?;
        Ok(digest.to_address())
    }

    fn list_at(&self, hex: &str) -> PathBuf {
        list_path(&self.root, hex)
    }
}

/// Where a cosigned checkpoint that a roll of a log under `root` (its `1/`) names is kept.
pub(super) fn cosigned_path(root: &Path, hex: &str) -> PathBuf {
    root.join("cosigned").join(hex)
}

/// Where a list of a log under `root` (its `1/`) is kept.
pub(super) fn list_path(root: &Path, hex: &str) -> PathBuf {
    root.join("list").join(format!("{hex}.json"))
}
