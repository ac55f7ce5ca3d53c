//! A log as it grows: records and signed checkpoints in the order in which they are written.
//!
//! Promise: every checkpoint that passes, the published one too, is compared with the records before it,
//! and its signature checked; a last frame that is not whole yet is waited for, unless the published checkpoint
//! covers it or another incarnation follows: then it is said to be cut. What a failed write took back is said.
//! A poll reads at most the segments that are new or growing (8 MiB each), and keeps 256 hashes a
//! level. Where the writer removed a segment before it was read, the log is read again from its bundles.
//!
//! Not here: sums and meanings, which [`crate::verify`] checks.

use std::io;
use std::path::{Path, PathBuf};

use crate::note::{Checkpoint, VerifierKey};
use crate::record::{Entry, Record};
use crate::stored::{Item, Stored, incarnations};
use crate::tree::{Hash, Tree};
use crate::wal::{FrameKind, Segment, segment_numbers};

/// One thing that came.
#[derive(Debug)]
pub enum News<'a> {
    /// A record.
    Record {
        /// Its incarnation.
        incarnation: u64,
        /// Its index in the tree.
        index: u64,
        /// Its stored bytes.
        bytes: &'a [u8],
    },
    /// A checkpoint over all records before it, rightly signed.
    Checkpoint {
        /// Its incarnation.
        incarnation: u64,
        /// Number of records that it covers.
        size: u64,
        /// Their root.
        root: Hash,
    },
    /// Something that must not be, or a write that was taken back.
    Wrong {
        /// In which incarnation.
        incarnation: u64,
        /// A stable short name.
        code: &'static str,
        /// What is wrong.
        message: String,
    },
}

/// Follows a log.
#[derive(Debug)]
pub struct Follower {
    log: PathBuf,
    keys: Option<Vec<VerifierKey>>,
    at: Option<Reading>,
}

/// How far one incarnation has been read.
#[derive(Debug)]
struct Reading {
    stored: Stored,
    tree: Tree,
    key: Option<VerifierKey>,
    /// The newest checkpoint that was right.
    signed: Option<(u64, Hash)>,
    /// The segment that grows, and where its frames were read to.
    end: Option<(u32, u64)>,
    ended: bool,
    /// The published checkpoint that was compared last.
    published: Option<String>,
}

/// What is wrong: the code of a finding, and its message.
type Wrong = (&'static str, String);

impl Follower {
    /// Begins at the first record of the oldest incarnation. With `keys` each incarnation's key must be one of them.
    #[must_use]
    pub fn new(log: &Path, keys: Option<Vec<VerifierKey>>) -> Self {
        Self { log: log.to_owned(), keys, at: None }
    }

    /// Visits what came since the last poll.
    ///
    /// # Errors
    /// What the disk says.
    pub fn poll(&mut self, visit: &mut dyn FnMut(News<'_>)) -> io::Result<()> {
        loop {
            if self.at.is_none() && !self.go_on(None)? {
                return Ok(());
            }
            let Some(reading) = &mut self.at else { return Ok(()) };
            let number = reading.stored.number;
            // Looked for before the records are read: a start ends the incarnation before and only then makes its own.
            let followed = incarnations(&self.log)?.into_iter().any(|other| other > number);
            reading.poll(self.keys.as_deref(), visit)?;
            if !followed {
                return Ok(());
            }
            // One that is no longer there was removed by retention.
            if !reading.ended && reading.stored.dir.is_dir() {
                let message = "the incarnation has no end, and another one follows it".to_owned();
                visit(News::Wrong { incarnation: number, code: "unfinished", message });
            }
            if !self.go_on(Some(number))? {
                return Ok(());
            }
        }
    }

    /// Moves to the first incarnation after this one, if there is one.
    fn go_on(&mut self, after: Option<u64>) -> io::Result<bool> {
        let next = incarnations(&self.log)?.into_iter().find(|number| after.is_none_or(|after| *number > after));
        if let Some(number) = next {
            self.at = Some(Reading::new(Stored::new(&self.log, number)));
        }
        Ok(next.is_some())
    }
}

impl Reading {
    fn new(stored: Stored) -> Self {
        Self { stored, tree: Tree::default(), key: None, signed: None, end: None, ended: false, published: None }
    }

    fn poll(&mut self, keys: Option<&[VerifierKey]>, visit: &mut dyn FnMut(News<'_>)) -> io::Result<()> {
        // Read before the records: what it covers was durable before it was published.
        let published = self.stored.checkpoint()?;
        self.read_on(keys, visit)?;
        let known = published.is_some() && published == self.published;
        // An incarnation that is no longer there was removed by retention.
        if known || !self.stored.dir.is_dir() {
            return Ok(());
        }
        let incarnation = self.stored.number;
        if let Some((code, message)) = self.against(published.as_deref()) {
            visit(News::Wrong { incarnation, code, message });
        }
        self.published = published;
        Ok(())
    }

    /// How the published checkpoint contradicts the records, if it does.
    fn against(&self, published: Option<&str>) -> Option<Wrong> {
        let wrong = |what: String| Some(("checkpoint", format!("the file `checkpoint`: {what}")));
        let Some(note) = published else { return wrong("it is missing".to_owned()) };
        let claimed = match Checkpoint::claimed(note) {
            Ok(claimed) => claimed,
            Err(error) => return wrong(error.to_string()),
        };
        let read = self.tree.size();
        if claimed.size > read {
            let message =
                format!("the file `checkpoint` is signed for {} records, and {read} can be read", claimed.size);
            return Some(("truncated", message));
        }
        if let Some(Err(error)) = self.key.as_ref().map(|key| Checkpoint::open(note, key)) {
            return wrong(error.to_string());
        }
        let known = [Some((read, self.tree.root())), self.signed].into_iter().flatten();
        let differs = known.filter(|(size, _)| *size == claimed.size).any(|(_, root)| root != claimed.root);
        if differs { wrong("it is not that of the records before it".to_owned()) } else { None }
    }

    fn read_on(&mut self, keys: Option<&[VerifierKey]>, visit: &mut dyn FnMut(News<'_>)) -> io::Result<()> {
        let wal = self.stored.wal_dir();
        while let Some((number, from)) = self.end {
            let numbers = segment_numbers(&wal)?;
            let next = numbers.into_iter().find(|known| *known > number);
            let next = next.map(|next| segment(&wal, self.stored.number, next)).transpose()?.flatten();
            let Some(current) = segment(&wal, self.stored.number, number)? else { break };
            let stop = next.as_ref().map_or(u64::MAX, |next| next.header.before_bytes);
            if from > stop {
                let kept = next.map_or(0, |next| next.header.first).min(self.tree.size());
                if kept < self.tree.size() {
                    return self.taken_back(kept, keys, visit);
                }
                // Only counts that no record holds were taken back.
                self.end = Some((number, stop));
                continue;
            }
            for frame in current.frames().take_while(|frame| frame.end <= stop).filter(|frame| frame.end > from) {
                self.frame(frame.kind, frame.payload, keys, visit);
                self.end = Some((number, frame.end));
            }
            match next {
                Some(next) => self.end = Some((next.number, 0)),
                None => return Ok(()),
            }
        }
        self.catch_up(keys, visit)
    }

    /// Reads the whole incarnation, and passes over what was visited already, if it is still the same.
    fn catch_up(&mut self, keys: Option<&[VerifierKey]>, visit: &mut dyn FnMut(News<'_>)) -> io::Result<()> {
        let (seen, root, signed) = (self.tree.size(), self.tree.root(), self.signed);
        let (mut before, mut filled) = (Tree::default(), Vec::new());
        let (mut same, mut still_signed) = (seen == 0, false);
        let stored = self.stored.clone();
        let extent = stored.read(&mut |item| match item {
            Item::Record(bytes) if before.size() < seen => {
                before.push(Hash::leaf(bytes), &mut filled);
                filled.clear();
                same = before.size() == seen && before.root() == root;
                still_signed |= signed.is_some_and(|signed| signed == (before.size(), before.root()));
            }
            Item::Record(bytes) if same => self.record(bytes, keys, visit),
            Item::TreeHead(note) if same && self.tree.size() > seen => self.head(note, visit),
            Item::Record(_) | Item::TreeHead(_) | Item::Delta(_) => {}
            Item::Damage(message) => visit(News::Wrong { incarnation: stored.number, code: "damage", message }),
        })?;
        self.end = extent.end;
        match (same, signed) {
            (true, _) => Ok(()),
            (false, Some((size, _))) if still_signed => self.taken_back(size, keys, visit),
            (false, _) => self.taken_back(0, keys, visit),
        }
    }

    /// Records after the first `kept` are no longer those that were seen: says so, and tells what is there now.
    fn taken_back(
        &mut self,
        kept: u64,
        keys: Option<&[VerifierKey]>,
        visit: &mut dyn FnMut(News<'_>),
    ) -> io::Result<()> {
        let (incarnation, last) = (self.stored.number, self.tree.size().saturating_sub(1));
        let (code, message) = match self.signed {
            Some((size, _)) if size > kept => {
                ("changed", format!("of the first {size} records, which were signed, some are others now"))
            }
            _ => ("taken_back", format!("of records {kept} to {last} some are others now: their write failed")),
        };
        visit(News::Wrong { incarnation, code, message });
        let mut again = Self::new(self.stored.clone());
        self.stored.read(&mut |item| {
            if let Item::Record(bytes) = item
                && again.tree.size() < kept
            {
                again.record(bytes, keys, &mut |_| {});
            }
        })?;
        *self = again;
        self.catch_up(keys, visit)
    }

    fn frame(
        &mut self,
        kind: FrameKind,
        payload: &[u8],
        keys: Option<&[VerifierKey]>,
        visit: &mut dyn FnMut(News<'_>),
    ) {
        match kind {
            FrameKind::Record => self.record(payload, keys, visit),
            FrameKind::TreeHead => self.head(&String::from_utf8_lossy(payload), visit),
            FrameKind::Header | FrameKind::Delta => {}
        }
    }

    fn record(&mut self, bytes: &[u8], keys: Option<&[VerifierKey]>, visit: &mut dyn FnMut(News<'_>)) {
        let (incarnation, index) = (self.stored.number, self.tree.size());
        let mut filled = Vec::new();
        self.tree.push(Hash::leaf(bytes), &mut filled);
        visit(News::Record { incarnation, index, bytes });
        match Entry::parse(bytes).map(|entry| entry.record) {
            Ok(Record::Open(open)) if index == 0 => self.trust(&open.vkey, &open.origin, keys, visit),
            Ok(Record::Close(_) | Record::Recover(_)) => self.ended = true,
            Ok(_) => {}
            Err(error) => {
                visit(News::Wrong { incarnation, code: "record", message: format!("record {index}: {error}") })
            }
        }
    }

    fn trust(&mut self, vkey: &str, origin: &str, keys: Option<&[VerifierKey]>, visit: &mut dyn FnMut(News<'_>)) {
        self.key = VerifierKey::parse(vkey).ok().filter(|key| key.name() == origin);
        let given = keys.is_none_or(|keys| keys.iter().any(|key| key.to_string() == vkey));
        if self.key.is_none() || !given {
            let message = format!("none of the given keys is that of `{origin}`");
            visit(News::Wrong { incarnation: self.stored.number, code: "key", message });
        }
    }

    fn head(&mut self, note: &str, visit: &mut dyn FnMut(News<'_>)) {
        let incarnation = self.stored.number;
        let (size, root) = (self.tree.size(), self.tree.root());
        let opened = self.key.as_ref().map(|key| Checkpoint::open(note, key));
        let wrong = match opened {
            Some(Ok(checkpoint)) if (checkpoint.size, checkpoint.root) == (size, root) => {
                self.signed = Some((size, root));
                return visit(News::Checkpoint { incarnation, size, root });
            }
            Some(Ok(_)) => "a checkpoint is not that of the records before it".to_owned(),
            Some(Err(error)) => error.to_string(),
            None => "a checkpoint cannot be checked: there is no key for it".to_owned(),
        };
        visit(News::Wrong { incarnation, code: "checkpoint", message: format!("after {size} records: {wrong}") });
    }
}

/// A segment whose header is whole, if it is there.
fn segment(wal: &Path, incarnation: u64, number: u32) -> io::Result<Option<Segment>> {
    match Segment::read(wal, incarnation, number) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other,
    }
}
