//! Tiles and entry bundles as C2SP tlog-tiles lays them out.
//!
//! They are derived from the records, so writing them waits for no disk: what
//! a power cut takes, the next start writes again. Only before write-ahead
//! segments are removed are they made durable.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::disk::{self, DiskOp, Gate, read_if_there, replace, sync_dir};
use crate::record::RECORD_BYTES_MAX;
use crate::tree::{FilledTile, Hash, TILE_WIDTH, Tree};

/// The longest entry bundle, in bytes: 256 of the longest records, each after its length.
pub(crate) const BUNDLE_BYTES_MAX: u64 = TILE_WIDTH as u64 * (2 + RECORD_BYTES_MAX as u64);

/// What a path under `tile/` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileName {
    /// `None` for entry bundles.
    pub level: Option<u8>,
    /// Position within its level.
    pub index: u64,
    /// Number of hashes or entries, 1 to 256.
    pub width: u16,
}

impl TileName {
    /// The path below the log's directory, such as `tile/0/x001/067.p/12`.
    #[must_use]
    pub fn path(&self) -> String {
        let level = self.level.map_or_else(|| "entries".to_owned(), |level| level.to_string());
        let mut groups = vec![format!("{:03}", self.index % 1000)];
        let mut rest = self.index / 1000;
        while rest > 0 {
            groups.push(format!("x{:03}", rest % 1000));
            rest /= 1000;
        }
        groups.reverse();
        let partial = if usize::from(self.width) < TILE_WIDTH { format!(".p/{}", self.width) } else { String::new() };
        format!("tile/{level}/{}{partial}", groups.join("/"))
    }

    /// Reads what [`TileName::path`] wrote; `None` for anything else.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let rest = path.strip_prefix("tile/")?;
        let (level, rest) = rest.split_once('/')?;
        let level = if level == "entries" { None } else { Some(level.parse().ok()?) };
        let (groups, width) = match rest.split_once(".p/") {
            Some((groups, width)) => (groups, width.parse().ok()?),
            None => (rest, 256),
        };
        let digits: String = groups.split('/').map(|group| group.trim_start_matches('x')).collect();
        let name = Self { level, index: digits.parse().ok()?, width };
        (name.path() == path).then_some(name)
    }
}

/// Writes an entry bundle: each record after its 16-bit length, big-endian.
#[must_use]
pub fn encode_bundle<'a>(records: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    for record in records {
        let length = u16::try_from(record.len()).unwrap_or(u16::MAX);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(record);
    }
    out
}

/// Reads an entry bundle; `None` if the lengths do not lead to its end.
#[must_use]
pub fn decode_bundle(mut bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut records = Vec::with_capacity(TILE_WIDTH);
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<2>()?;
        let (record, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        records.push(record);
        bytes = rest;
    }
    Some(records)
}

/// The bytes of a tile: its hashes, one after another.
#[must_use]
pub fn encode_tile(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// Derives the tiles of one incarnation as its records become durable.
#[derive(Debug)]
pub(crate) struct Tiles {
    dir: PathBuf,
    tail: Vec<Vec<u8>>,
    size: u64,
    pending: Vec<(TileName, Vec<u8>)>,
    partials: Vec<TileName>,
    unsynced: Vec<TileName>,
    gate: Gate,
}

impl Tiles {
    pub(crate) fn new(dir: PathBuf, gate: Gate) -> Self {
        Self { dir, tail: Vec::new(), size: 0, pending: Vec::new(), partials: Vec::new(), unsynced: Vec::new(), gate }
    }

    /// Follows its directory to another name.
    pub(crate) fn relocate(&mut self, dir: &Path) {
        self.dir = dir.to_owned();
    }

    /// Takes a durable record.
    pub(crate) fn push(&mut self, record: Vec<u8>) {
        self.tail.push(record);
        self.size += 1;
        if self.tail.len() == TILE_WIDTH {
            let records = std::mem::take(&mut self.tail);
            let name = TileName { level: None, index: self.size / TILE_WIDTH as u64 - 1, width: 256 };
            self.pending.push((name, encode_bundle(records.iter().map(Vec::as_slice))));
        }
    }

    /// Takes tiles that the records filled.
    pub(crate) fn filled(&mut self, tiles: Vec<FilledTile>) {
        self.pending.extend(tiles.into_iter().map(|tile| {
            (TileName { level: Some(tile.level), index: tile.index, width: 256 }, encode_tile(&tile.hashes))
        }));
    }

    /// How many whole files wait to be written.
    pub(crate) fn waiting(&self) -> usize {
        self.pending.len()
    }

    /// Writes all that is whole.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        while let Some((name, bytes)) = self.pending.first() {
            let (name, path) = (*name, self.dir.join(name.path()));
            self.gate.pass(DiskOp::Publish)?;
            if read_if_there(&path, BUNDLE_BYTES_MAX)?.as_deref() != Some(bytes) {
                replace(&path, bytes, false)?;
            }
            self.pending.remove(0);
            self.unsynced.push(name);
        }
        Ok(())
    }

    /// Writes everything for the tree as it is, partial tiles included.
    pub(crate) fn publish(&mut self, tree: &Tree) -> io::Result<Vec<TileName>> {
        self.flush()?;
        let mut now = Vec::new();
        if !self.tail.is_empty() {
            let bytes = encode_bundle(self.tail.iter().map(Vec::as_slice));
            now.push((partial(None, tree.size() / TILE_WIDTH as u64, self.tail.len()), bytes));
        }
        for (level, hashes) in (0_u8..).zip(tree.unfinished()) {
            if !hashes.is_empty() {
                let index = tree.size() >> (8 * (u32::from(level) + 1));
                now.push((partial(Some(level), index, hashes.len()), encode_tile(hashes)));
            }
        }
        for (name, bytes) in &now {
            self.gate.pass(DiskOp::Publish)?;
            replace(&self.dir.join(name.path()), bytes, false)?;
        }
        let names: Vec<TileName> = now.into_iter().map(|(name, _)| name).collect();
        let stale = std::mem::replace(&mut self.partials, names.clone());
        Ok(stale.into_iter().filter(|name| !names.contains(name)).collect())
    }

    /// Removes partial tiles that no published checkpoint needs any more.
    pub(crate) fn remove(&self, stale: &[TileName]) {
        for name in stale {
            let path = self.dir.join(name.path());
            let _ = fs::remove_file(&path);
            let _ = path.parent().map(fs::remove_dir);
        }
    }

    /// Makes everything published durable, directories included.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        let mut dirs = std::collections::BTreeSet::new();
        for name in self.unsynced.iter().chain(&self.partials) {
            let path = self.dir.join(name.path());
            File::open(&path)?.sync_all()?;
            dirs.extend(path.ancestors().skip(1).take_while(|dir| dir.starts_with(&self.dir)).map(Path::to_owned));
        }
        for dir in dirs {
            sync_dir(&dir)?;
        }
        self.unsynced.clear();
        Ok(())
    }
}

fn partial(level: Option<u8>, index: u64, width: usize) -> TileName {
    TileName { level, index, width: u16::try_from(width).unwrap_or(256) }
}

/// All file paths under `tile/`, relative to the log's directory, sorted.
pub(crate) fn list(dir: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut open = vec![dir.join("tile")];
    while let Some(next) = open.pop() {
        let listing = match fs::read_dir(&next) {
            Ok(listing) => listing,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for item in listing {
            let path = item?.path();
            if path.is_dir() {
                open.push(path);
            } else if let Some(name) = path.strip_prefix(dir).ok().and_then(Path::to_str) {
                found.push(name.to_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Reads records from entry bundles, one after another.
pub(crate) struct BundleReader {
    dir: PathBuf,
    index: Option<u64>,
    bytes: Vec<u8>,
    ranges: Vec<std::ops::Range<usize>>,
    /// The bundles that were read and have as many records as their name says.
    pub(crate) read: Vec<TileName>,
}

impl BundleReader {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), index: None, bytes: Vec::new(), ranges: Vec::new(), read: Vec::new() }
    }

    /// The record at `index`, if a bundle holds it.
    pub(crate) fn record(&mut self, index: u64) -> io::Result<Option<&[u8]>> {
        let bundle = index / TILE_WIDTH as u64;
        if self.index != Some(bundle) {
            self.load(bundle)?;
        }
        let range = self.ranges.get((index % TILE_WIDTH as u64) as usize).cloned();
        Ok(range.and_then(|range| self.bytes.get(range)))
    }

    fn load(&mut self, bundle: u64) -> io::Result<()> {
        self.index = Some(bundle);
        self.ranges.clear();
        let Some(name) = self.widest(bundle)? else { return Ok(()) };
        self.bytes = match disk::read(&self.dir.join(name.path()), BUNDLE_BYTES_MAX) {
            // It is longer than any bundle, so it is none.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(()),
            read => read?,
        };
        let base = self.bytes.as_ptr() as usize;
        if let Some(records) = decode_bundle(&self.bytes) {
            self.ranges = records
                .iter()
                .map(|record| {
                    let start = record.as_ptr() as usize - base;
                    start..start + record.len()
                })
                .collect();
            if self.ranges.len() == usize::from(name.width) {
                self.read.push(name);
            }
        }
        Ok(())
    }

    fn widest(&self, index: u64) -> io::Result<Option<TileName>> {
        let full = TileName { level: None, index, width: 256 };
        if self.dir.join(full.path()).exists() {
            return Ok(Some(full));
        }
        let partials = self.dir.join(format!("{}.p", full.path()));
        let listing = match fs::read_dir(partials) {
            Ok(listing) => listing,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut widest = None;
        for item in listing {
            let width: Option<u16> = item?.file_name().to_str().and_then(|name| name.parse().ok());
            widest = widest.max(width.filter(|width| (1..256).contains(width)));
        }
        Ok(widest.map(|width| TileName { level: None, index, width }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        let name = |level, index, width| TileName { level, index, width };
        assert_eq!(name(Some(0), 1_234_067, 256).path(), "tile/0/x001/x234/067");
        assert_eq!(name(Some(1), 5, 7).path(), "tile/1/005.p/7");
        assert_eq!(name(None, 1000, 256).path(), "tile/entries/x001/000");
        for name in [name(Some(3), 999_999, 1), name(None, 0, 255), name(Some(0), 1_000_000, 256)] {
            assert_eq!(TileName::parse(&name.path()), Some(name));
        }
        for wrong in ["tile/0/1", "tile/0/x001", "tile/0/001.p/256", "tile/00/001", "tile/0/001.tmp", "tile/0/000/001"]
        {
            assert_eq!(TileName::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_bundle_reads_back() {
        let records: [&[u8]; 3] = [b"one", b"", b"three"];
        let bytes = encode_bundle(records);
        assert_eq!(decode_bundle(&bytes).unwrap(), records);
        assert!(decode_bundle(&bytes[..bytes.len() - 1]).is_none());
    }
}
