//! The ledger's own log: one tree for as long as the ledger lives, signed by a kept key.
//!
//! Promise: nothing is signed that is not on disk, and what is signed is kept before anybody is shown it; so a restart
//! goes on where the last signature was and never signs a second history, as long as the disk does not go back. That it
//! did not, the anchor and the witnesses tell before anything is added. Not here: what records say, and who cosigns.
//!
//! It has the layout of an incarnation, `1/`, so that `privet-audit verify` checks it. `1/pending` is the newest signed
//! checkpoint, `1/checkpoint` the newest that enough witnesses cosigned. A few files a round are written and synced one by
//! one: a round is every ten seconds.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use privet_audit_log::note::{Checkpoint, NoteError, Signer};
use privet_audit_log::record::{Entry, Open, Record, RecordError};
use privet_audit_log::tile::{TileName, decode_bundle, encode_bundle, encode_tile};
use privet_audit_log::tiled::{self, Tiles, decode_tile};
use privet_audit_log::tree::{FilledTile, Hash, TILE_WIDTH, Tree};

use crate::durable;

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
    /// A record that cannot be written: a defect.
    #[error("a record of the ledger cannot be written")]
    Record(#[from] RecordError),
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
    started_ms: i64,
    _lock: File,
}

impl LedgerLog {
    /// Opens the log in `dir`, or makes it. `visit` is shown every entry, oldest first.
    pub(super) fn open(
        dir: &Path,
        anchor: &Path,
        signer: Signer,
        now_ms: i64,
        visit: &mut dyn FnMut(&[u8]),
    ) -> Result<Self, CannotKeep> {
        let lock = durable::lock(dir).map_err(disk("take", dir))?;
        let root = dir.join("1");
        let mut log = Self {
            root,
            anchor: anchor.to_owned(),
            signer,
            tree: Tree::default(),
            tail: Vec::new(),
            pending: None,
            published: None,
            started_ms: now_ms,
            _lock: lock,
        };
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
        log.replay(size, &marks.into_iter().flatten().collect::<Vec<_>>(), visit)?;
        log.pending = pending.or_else(|| published.clone()).map(|(_, note)| note);
        log.published = published;
        log.keep_key()?;
        Ok(log)
    }

    /// A checkpoint that this ledger signed; nothing where there is no file.
    fn signed(&self, at: &Path) -> Result<Option<(Checkpoint, String)>, CannotKeep> {
        let Some(bytes) = durable::read(at).map_err(disk("read", at))? else { return Ok(None) };
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
            let bytes = fs::read(&at).map_err(disk("read", &at))?;
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

    fn keep_key(&self) -> Result<(), CannotKeep> {
        let at = self.anchor.join("vkey");
        durable::replace(&at, format!("{}\n", self.signer.verifier()).as_bytes()).map_err(disk("write", &at))
    }

    /// Number of records.
    pub(super) fn size(&self) -> u64 {
        self.tree.size()
    }

    /// The newest checkpoint that was published, cosigned.
    pub(super) fn published(&self) -> Option<&(Checkpoint, String)> {
        self.published.as_ref()
    }

    /// The newest signed checkpoint; nothing in a log that has no record yet.
    pub(super) fn pending(&self) -> Option<&str> {
        self.pending.as_deref()
    }

    /// Whether what is signed is more than what is published.
    pub(super) fn is_ahead(&self) -> bool {
        self.published.as_ref().is_none_or(|(published, _)| published.size < self.size())
    }

    /// The first record: whose log this is.
    pub(super) fn opening(&self) -> Record {
        let vkey = self.signer.verifier();
        Record::Open(Open {
            origin: vkey.name().to_owned(),
            incarnation: 1,
            vkey: vkey.to_string(),
            prev: None,
            lease: 0,
            refusals: Vec::new(),
            software: concat!("privet-ledger ", env!("CARGO_PKG_VERSION")).to_owned(),
        })
    }

    /// Adds records, and signs the tree once they are on disk.
    pub(super) fn append(&mut self, records: Vec<Record>, now_ms: i64) -> Result<(), CannotKeep> {
        let before = (self.tree.clone(), self.tail.clone());
        let done = self.try_append(records, now_ms);
        if done.is_err() {
            // Nobody has seen a signature over it: the next attempt writes over what was written.
            (self.tree, self.tail) = before;
        }
        done
    }

    fn try_append(&mut self, records: Vec<Record>, now_ms: i64) -> Result<(), CannotKeep> {
        let mut files = Vec::new();
        for record in records {
            let mono = u64::try_from(now_ms.saturating_sub(self.started_ms)).unwrap_or(0);
            let entry = Entry { seq: self.tree.size(), ts: now_ms, mono, record };
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

    /// Publishes a cosigned checkpoint, inside and outside.
    pub(super) fn publish(&mut self, note: String) -> Result<(), CannotKeep> {
        let checkpoint = Checkpoint::open(&note, self.signer.verifier()).map_err(|_: NoteError| {
            CannotKeep::Damaged { at: self.root.clone(), what: "a checkpoint lost its signature" }
        })?;
        for at in [self.root.join("checkpoint"), self.anchor.join("checkpoint")] {
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
            let bytes = fs::read(&at).map_err(disk("read", &at))?;
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

    fn list_at(&self, hex: &str) -> PathBuf {
        list_path(&self.root, hex)
    }
}

/// Where a list of a log under `root` (its `1/`) is kept.
pub(super) fn list_path(root: &Path, hex: &str) -> PathBuf {
    root.join("list").join(format!("{hex}.json"))
}
