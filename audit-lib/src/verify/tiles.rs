//! Whether the tiles and entry bundles on disk are those of the records.
//!
//! A tile is compared when its last record has been hashed, and then forgotten, so that
//! memory does not grow with the log. What is left for the end are partial tiles,
//! and files that should be there and are not.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::path::Path;

use crate::disk::{self, read_if_there};
use crate::tile::{BUNDLE_BYTES_MAX, TileName, decode_bundle, encode_tile, list};
use crate::tree::{FilledTile, Hash, TILE_WIDTH, Tree};

/// Tiles whose file is missing or different are kept for their partial forms, up to this many.
const KEPT_MAX: usize = 1024;

/// What is wrong: the code of a finding, and its message.
type Wrong = (&'static str, String);

/// The tiles of one incarnation, as its records fill them.
#[derive(Debug)]
pub(super) struct TileCheck<'a> {
    dir: &'a Path,
    /// Level and index of the full tiles whose file is that of the records.
    same: HashSet<(u8, u64)>,
    /// The hashes of some full tiles that have no such file.
    kept: HashMap<(u8, u64), Vec<Hash>>,
}

impl<'a> TileCheck<'a> {
    pub(super) fn new(dir: &'a Path) -> Self {
        Self { dir, same: HashSet::new(), kept: HashMap::new() }
    }

    /// Compares a tile that just got its last hash.
    pub(super) fn filled(&mut self, tile: FilledTile) {
        let name = TileName { level: Some(tile.level), index: tile.index, width: 256 };
        let place = (tile.level, tile.index);
        if read_if_there(&self.dir.join(name.path()), BUNDLE_BYTES_MAX).ok().flatten()
            == Some(encode_tile(&tile.hashes))
        {
            self.same.insert(place);
        } else if self.kept.len() < KEPT_MAX {
            self.kept.insert(place, tile.hashes);
        }
    }

    /// Compares what is left, and says what is missing of what a checkpoint at `published` needs, or
    /// one at the end if another start has ended the incarnation (`succeeded`). `read` are the bundles that records were read
    /// from or compared with, every one.
    pub(super) fn check(
        &self,
        tree: &Tree,
        published: u64,
        succeeded: bool,
        read: &[TileName],
    ) -> io::Result<Vec<Wrong>> {
        let mut needed = needed_tiles(published.min(tree.size()));
        if succeeded {
            needed.extend(needed_tiles(tree.size()));
        }
        let read: HashSet<&TileName> = read.iter().filter(|name| end_of(name) <= tree.size()).collect();
        let mut wrong = Vec::new();
        for path in list(self.dir)? {
            match TileName::parse(&path) {
                Some(name) => {
                    needed.remove(&name);
                    if !read.contains(&name) && !self.is_same(name, &path, tree)? {
                        wrong.push(("tile", format!("`{path}` is not that of the records")));
                    }
                }
                None if path.ends_with(".tmp") => {}
                None => wrong.push(("stray_file", format!("`{path}` is no tile"))),
            }
        }
        wrong.extend(needed.iter().map(|name| ("tile_missing", format!("`{}` is missing", name.path()))));
        Ok(wrong)
    }

    fn is_same(&self, name: TileName, path: &str, tree: &Tree) -> io::Result<bool> {
        let is_full = usize::from(name.width) == TILE_WIDTH;
        if let Some(level) = name.level.filter(|_| is_full)
            && self.same.contains(&(level, name.index))
        {
            return Ok(true);
        }
        let bytes = match disk::read(&self.dir.join(path), BUNDLE_BYTES_MAX) {
            Ok(bytes) => bytes,
            // A running writer removes partial tiles when wider ones are out.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(false),
            Err(error) => return Err(error),
        };
        let Some(hashes) = self.hashes(name, tree)? else { return Ok(false) };
        Ok(match name.level {
            Some(_) => encode_tile(&hashes) == bytes,
            None => decode_bundle(&bytes).is_some_and(|records| records.into_iter().map(Hash::leaf).eq(hashes)),
        })
    }

    /// The hashes that a file of this name has to have.
    fn hashes(&self, name: TileName, tree: &Tree) -> io::Result<Option<Vec<Hash>>> {
        let level = name.level.unwrap_or(0);
        let width = usize::from(name.width);
        let first = |hashes: &[Hash]| hashes.get(..width).map(<[Hash]>::to_vec);
        if let Some(hashes) = self.kept.get(&(level, name.index)) {
            return Ok(first(hashes));
        }
        if self.same.contains(&(level, name.index)) {
            let full = TileName { level: Some(level), index: name.index, width: 256 };
            let bytes = disk::read(&self.dir.join(full.path()), BUNDLE_BYTES_MAX)?;
            let hashes: Vec<Hash> = bytes.as_chunks::<32>().0.iter().copied().map(Hash).collect();
            return Ok(first(&hashes));
        }
        let at_edge = tree.size() >> (8 * (u32::from(level) + 1)) == name.index;
        let edge = tree.unfinished().get(usize::from(level)).filter(|_| at_edge);
        Ok(edge.and_then(|hashes| first(hashes)))
    }
}

/// The number of records up to the end of a bundle.
fn end_of(bundle: &TileName) -> u64 {
    bundle.index * TILE_WIDTH as u64 + u64::from(bundle.width)
}

/// The tiles that a reader of a checkpoint at `size` needs.
fn needed_tiles(size: u64) -> BTreeSet<TileName> {
    let mut needed = BTreeSet::new();
    for level in 0_u8..8 {
        let hashes = size >> (8 * u32::from(level));
        if hashes == 0 {
            break;
        }
        let width = TILE_WIDTH as u64;
        for index in 0..hashes.div_ceil(width) {
            let name = |level| TileName {
                level,
                index,
                width: u16::try_from((hashes - index * width).min(width)).unwrap_or(256),
            };
            needed.insert(name(Some(level)));
            if level == 0 {
                needed.insert(name(None));
            }
        }
    }
    needed
}
