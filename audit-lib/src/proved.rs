//! Single records of an incarnation, each believed for its proof alone.
//!
//! Promise: what is given is a leaf under the incarnation's published checkpoint, and that is signed by a key from outside
//! of the log. What lies on the volume is not believed: bundles and tiles only have to lead to the signed root. A few tiles
//! are read, however long the incarnation is. Not here: the records that a crashed process had not signed yet.

use std::io;

use thiserror::Error;

use crate::disk::read_if_there;
use crate::note::{Checkpoint, VerifierKey};
use crate::proof::verify_inclusion;
use crate::record::{Entry, Record};
use crate::stored::Stored;
use crate::tile::{BundleReader, TileName};
use crate::tiled::{Tiles, decode_tile, inclusion, needed_for_inclusion};
use crate::tree::{Hash, TILE_WIDTH};

/// The longest hash tile, in bytes.
const TILE_BYTES_MAX: u64 = (TILE_WIDTH * size_of::<Hash>()) as u64;

/// Why nothing of an incarnation is believed.
#[derive(Debug, Error)]
pub enum NotProved {
    /// The disk said no.
    #[error("incarnation {number} cannot be read: {source}")]
    Disk {
        /// Which.
        number: u64,
        /// Why not.
        source: io::Error,
    },
    /// Its checkpoint is missing, is none, or none of the keys signed it.
    #[error("incarnation {0} has no checkpoint that its anchored key signed")]
    Checkpoint(u64),
    /// The record is not what the checkpoint was signed over.
    #[error("record {index} of incarnation {number} is not there as it was signed")]
    Record {
        /// Which incarnation.
        number: u64,
        /// Which record.
        index: u64,
    },
}

/// An incarnation whose checkpoint is believed.
pub(crate) struct Proved<'a> {
    stored: &'a Stored,
    checkpoint: Checkpoint,
}

impl<'a> Proved<'a> {
    /// Opens its checkpoint with one of the keys; where none are at hand, with the key that its first record names.
    pub(crate) fn open(stored: &'a Stored, keys: Option<&[VerifierKey]>) -> Result<Self, NotProved> {
        let number = stored.number;
        let disk = |source| NotProved::Disk { number, source };
        let note = stored.checkpoint().map_err(disk)?.ok_or(NotProved::Checkpoint(number))?;
        let own = match keys {
            Some(_) => Vec::new(),
            None => own_key(stored).map_err(disk)?.into_iter().collect(),
        };
        let is_its = |key: &&VerifierKey| key.name().ends_with(&format!("/{number}"));
        let opened = keys.unwrap_or(&own).iter().filter(is_its).find_map(|key| Checkpoint::open(&note, key).ok());
        let checkpoint = opened.filter(|checkpoint| checkpoint.size > 0).ok_or(NotProved::Checkpoint(number))?;
        Ok(Self { stored, checkpoint })
    }

    /// The incarnation's name, as its checkpoint is signed.
    pub(crate) fn origin(&self) -> &str {
        &self.checkpoint.origin
    }

    /// Its first record.
    pub(crate) fn first(&self) -> Result<Entry, NotProved> {
        self.record(0)
    }

    /// The last record that its checkpoint covers.
    pub(crate) fn last(&self) -> Result<Entry, NotProved> {
        self.record(self.checkpoint.size - 1)
    }

    fn record(&self, index: u64) -> Result<Entry, NotProved> {
        let number = self.stored.number;
        let found = self.find(index).map_err(|source| NotProved::Disk { number, source })?;
        found.ok_or(NotProved::Record { number, index })
    }

    fn find(&self, index: u64) -> io::Result<Option<Entry>> {
        let mut bundles = BundleReader::new(&self.stored.dir);
        let Some(bytes) = bundles.record(index)? else { return Ok(None) };
        let (size, root) = (self.checkpoint.size, self.checkpoint.root);
        let mut tiles = Tiles::new();
        for name in needed_for_inclusion(index, size) {
            tiles.extend(self.tile(name)?.map(|tile| (name, tile)));
        }
        let path = inclusion(index, size, &tiles);
        let proved = path.is_some_and(|path| verify_inclusion(Hash::leaf(bytes), index, size, &path, root).is_ok());
        Ok(Entry::parse(bytes).ok().filter(|_| proved))
    }

    /// A tile as it was published, or the beginning of the whole one that took its place.
    fn tile(&self, name: TileName) -> io::Result<Option<Vec<Hash>>> {
        let read = |name: TileName| read_if_there(&self.stored.dir.join(name.path()), TILE_BYTES_MAX);
        if let Some(bytes) = read(name)? {
            return Ok(decode_tile(&bytes, name.width));
        }
        let whole = read(TileName { width: 256, ..name })?.and_then(|bytes| decode_tile(&bytes, 256));
        Ok(whole.and_then(|hashes| hashes.get(..usize::from(name.width)).map(<[Hash]>::to_vec)))
    }
}

/// The key that the first record names: the log's own word.
fn own_key(stored: &Stored) -> io::Result<Option<VerifierKey>> {
    let mut bundles = BundleReader::new(&stored.dir);
    let entry = bundles.record(0)?.and_then(|bytes| Entry::parse(bytes).ok());
    Ok(match entry.map(|entry| entry.record) {
        Some(Record::Open(open)) => VerifierKey::parse(&open.vkey).ok(),
        _ => None,
    })
}
