//! One incarnation being written: segments, tree, books and tiles together.
//!
//! Promise: a [`Draft`] either becomes durable as a whole or leaves no trace in
//! these; and no record is written that the books do not accept.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::books::Books;
use crate::counts::Delta;
use crate::disk::{DiskOp, Gate, replace};
use crate::note::{Checkpoint, Signer};
use crate::record::{Declaration, Entry, INLINE_DOCUMENT_BYTES_MAX, Outcome, Record, RecordError};
use crate::tile::{TileName, Tiles};
use crate::tree::{FilledTile, Hash, Tree};
use crate::wal::{FrameKind, Group, Wal};

/// Why something is not in the log, or not signed there. What cannot be recorded must not be released.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The disk said no.
    #[error("cannot {doing}: {source}")]
    Disk {
        /// What we were doing.
        doing: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The record cannot be written as one.
    #[error("cannot write the record: {0}")]
    Record(#[from] RecordError),
    /// The counts contradict those written before; the caller miscounted.
    #[error("the counts do not add up: {0}")]
    DoesNotAddUp(String),
    /// The records are durable, and the checkpoint that was asked for cannot be.
    #[error("what was recorded cannot be signed: {0}")]
    Unsigned(Box<WriteError>),
}

impl WriteError {
    pub(crate) fn disk(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Disk { doing, source }
    }

    /// The kind of failure, from a closed list, as a `degraded` record names it.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Disk { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "no_space",
                io::ErrorKind::ReadOnlyFilesystem => "read_only",
                io::ErrorKind::PermissionDenied => "permission",
                _ => "io",
            },
            Self::Record(_) | Self::DoesNotAddUp(_) => "internal",
            Self::Unsigned(why) => why.cause(),
        }
    }
}

/// The time of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) ts: i64,
    pub(crate) mono: u64,
}

/// One incarnation being written.
#[derive(Debug)]
pub(crate) struct Volume {
    pub(crate) dir: PathBuf,
    pub(crate) origin: String,
    pub(crate) wal: Wal,
    pub(crate) tree: Tree,
    pub(crate) books: Books,
    pub(crate) tiles: Tiles,
    /// Durable counts that no record holds yet.
    pub(crate) open: Delta,
    pub(crate) gate: Gate,
}

/// Changes on their way to the disk.
#[derive(Debug)]
pub(crate) struct Draft {
    tree: Tree,
    books: Books,
    filled: Vec<FilledTile>,
    records: Vec<Vec<u8>>,
    group: Group,
    empty: bool,
    dir: PathBuf,
}

impl Volume {
    pub(crate) fn new(dir: &Path, number: u64, origin: &str, gate: &Gate) -> Self {
        Self {
            dir: dir.to_owned(),
            origin: origin.to_owned(),
            wal: Wal::after(dir.join("wal"), number, None, gate.clone()),
            tree: Tree::default(),
            books: Books::default(),
            tiles: Tiles::new(dir.to_owned(), gate.clone()),
            open: Delta::default(),
            gate: gate.clone(),
        }
    }

    /// Follows its directory to another name.
    pub(crate) fn relocate(&mut self, dir: &Path) {
        self.dir = dir.to_owned();
        self.wal.relocate(dir.join("wal"));
        self.tiles.relocate(dir);
    }

    /// Begins a draft on top of what is durable.
    pub(crate) fn draft(&self) -> Draft {
        let group = self.wal.group(self.tree.size());
        Draft {
            tree: self.tree.clone(),
            books: self.books.clone(),
            filled: Vec::new(),
            records: Vec::new(),
            empty: true,
            group,
            dir: self.dir.clone(),
        }
    }

    /// Makes a draft durable; `open` becomes the counts that no record holds.
    pub(crate) fn commit(&mut self, draft: Draft) -> Result<(), WriteError> {
        if draft.is_empty() {
            return Ok(());
        }
        self.wal.commit(&draft.group).map_err(WriteError::disk("make the log durable"))?;
        self.tree = draft.tree;
        self.books = draft.books;
        self.tiles.filled(draft.filled);
        for record in draft.records {
            self.tiles.push(record);
        }
        Ok(())
    }

    /// The checkpoint of what is durable.
    pub(crate) fn checkpoint(&self) -> Checkpoint {
        Checkpoint { origin: self.origin.clone(), size: self.tree.size(), root: self.tree.root() }
    }

    /// Publishes tiles and then the checkpoint that needs them.
    pub(crate) fn publish(&mut self, note: &str) -> io::Result<()> {
        let stale: Vec<TileName> = self.tiles.publish(&self.tree)?;
        self.gate.pass(DiskOp::Publish)?;
        replace(&self.dir.join("checkpoint"), note.as_bytes(), false)?;
        self.tiles.remove(&stale);
        Ok(())
    }

    /// As [`Self::publish`], and durable: where the directory is about to get its name, a power cut must not leave it
    /// with an empty checkpoint.
    pub(crate) fn publish_durably(&mut self, note: &str) -> io::Result<()> {
        self.publish(note)?;
        self.tiles.sync()?;
        replace(&self.dir.join("checkpoint"), note.as_bytes(), true)
    }

    /// Makes tiles and checkpoint durable and drops the segments that they replace.
    pub(crate) fn retire_segments(&mut self, note: &str) -> io::Result<()> {
        self.tiles.sync()?;
        replace(&self.dir.join("checkpoint"), note.as_bytes(), true)?;
        self.wal.end_segment();
        Ok(())
    }
}

impl Draft {
    pub(crate) fn is_empty(&self) -> bool {
        self.empty
    }

    pub(crate) fn books(&self) -> &Books {
        &self.books
    }

    pub(crate) fn has_records(&self) -> bool {
        !self.records.is_empty()
    }

    /// Adds a leaf.
    pub(crate) fn record(&mut self, stamp: Stamp, record: Record) -> Result<(), WriteError> {
        let entry = Entry { seq: self.tree.size(), ts: stamp.ts, mono: stamp.mono, record };
        let bytes = entry.to_bytes()?;
        if let Some(wrong) = self.books.apply(&entry).into_iter().next() {
            return Err(WriteError::DoesNotAddUp(wrong.message));
        }
        self.tree.push(Hash::leaf(&bytes), &mut self.filled);
        self.push(FrameKind::Record, &bytes);
        self.records.push(bytes);
        Ok(())
    }

    /// Adds what gets a number; a long class document goes into a file of its own first.
    pub(crate) fn declare(&mut self, stamp: Stamp, declaration: &Declaration) -> Result<(), WriteError> {
        if let Declaration::Class { doc, .. } = declaration
            && doc.len() > INLINE_DOCUMENT_BYTES_MAX
        {
            let path = class_path(&self.dir, &Hash::of(doc.as_bytes()).to_hex());
            replace(&path, doc.as_bytes(), true).map_err(WriteError::disk("store a class document"))?;
        }
        self.record(stamp, declaration.to_record()?)
    }

    /// Folds counts into a batch and its outcomes.
    pub(crate) fn fold(&mut self, stamp: Stamp, since: i64, sum: &Delta) -> Result<(), WriteError> {
        self.record(stamp, Record::Batch(Box::new(self.books.fold(sum, since))))?;
        self.outcomes(stamp, Books::outcomes(&sum.fates))
    }

    /// Marks everything outstanding as unknown; gives the number of releases.
    pub(crate) fn give_up_outstanding(&mut self, stamp: Stamp) -> Result<u64, WriteError> {
        let unknowns = self.books.unknowns();
        self.outcomes(stamp, Books::outcomes(&unknowns))?;
        Ok(unknowns.values().map(crate::counts::Fate::sum).sum())
    }

    pub(crate) fn outcomes(&mut self, stamp: Stamp, outcomes: Vec<Outcome>) -> Result<(), WriteError> {
        outcomes.into_iter().try_for_each(|outcome| self.record(stamp, Record::Outcome(outcome)))
    }

    /// Adds counts as a commit frame.
    pub(crate) fn delta(&mut self, delta: &Delta) {
        self.push(FrameKind::Delta, &delta.encode());
    }

    /// Signs the tree with everything drafted so far.
    pub(crate) fn tree_head(&mut self, origin: &str, signer: &Signer) -> String {
        let checkpoint = Checkpoint { origin: origin.to_owned(), size: self.tree.size(), root: self.tree.root() };
        let note = signer.sign(&checkpoint.to_text());
        self.push(FrameKind::TreeHead, note.as_bytes());
        note
    }

    fn push(&mut self, kind: FrameKind, payload: &[u8]) {
        self.empty = false;
        self.group.push(kind, payload);
    }
}

/// Where a long class document stands.
pub(crate) fn class_path(dir: &Path, hex: &str) -> PathBuf {
    dir.join("class").join(format!("{hex}.json"))
}
