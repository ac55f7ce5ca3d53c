//! Proofs and roots of a tree of which only its hash tiles are at hand, as a reader of C2SP tlog-tiles has it.
//!
//! Promise: nothing is believed here. What is made of wrong tiles is a wrong proof, and the caller checks it against
//! signed roots with [`crate::proof`]. Which tiles are needed is told beforehand, so that they can be fetched from
//! anywhere. Not here: fetching, and records.

use std::collections::{BTreeMap, BTreeSet};

use crate::tile::TileName;
use crate::tree::{Hash, TILE_WIDTH, merkle_root};

/// A range of leaves, the first and the one after the last; never empty.
type Range = (u64, u64);

/// Tiles as they were fetched.
pub type Tiles = BTreeMap<TileName, Vec<Hash>>;

/// The hashes in a tile's bytes; nothing where they are not `width` whole hashes.
#[must_use]
pub fn decode_tile(bytes: &[u8], width: u16) -> Option<Vec<Hash>> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    (rest.is_empty() && hashes.len() == usize::from(width)).then(|| hashes.iter().copied().map(Hash).collect())
}

/// The largest power of two below `n`, for n of at least two.
const fn split_point(n: u64) -> u64 {
    1 << (u64::BITS - 1 - (n - 1).leading_zeros())
}

/// The subtrees whose hashes are the consistency proof from `old` to `new` leaves, in the proof's order (RFC 6962,
/// section 2.1.2); none where one of them is empty, both are the same, or `old` is more.
#[must_use]
fn consistency_ranges(old: u64, new: u64) -> Vec<Range> {
    let mut path = Vec::new();
    if old == 0 || old >= new {
        return path;
    }
    let (mut from, mut to, mut size, mut known) = (0, new, old, true);
    while size < to - from {
        let split = split_point(to - from);
        if size <= split {
            path.push((from + split, to));
            to = from + split;
        } else {
            path.push((from, from + split));
            from += split;
            size -= split;
            known = false;
        }
    }
    if !known {
        path.push((from, to));
    }
    path.reverse();
    path
}

/// The subtrees whose hashes are the audit path of the leaf at `index`, from the leaf upwards (RFC 6962, section 2.1.1);
/// none where there is no such leaf.
fn inclusion_ranges(index: u64, size: u64) -> Vec<Range> {
    let mut path = Vec::new();
    if index >= size {
        return path;
    }
    let (mut from, mut to) = (0, size);
    while to - from > 1 {
        let middle = from + split_point(to - from);
        if index < middle {
            path.push((middle, to));
            to = middle;
        } else {
            path.push((from, middle));
            from = middle;
        }
    }
    path.reverse();
    path
}

/// The whole subtrees that a range is made of, from the left.
fn whole(range: Range) -> Vec<Range> {
    let (mut from, to) = range;
    let mut parts = Vec::new();
    while from < to {
        let left = to - from;
        let fits = 1 << (u64::BITS - 1 - left.leading_zeros());
        let aligned = if from == 0 { fits } else { fits.min(1 << from.trailing_zeros()) };
        parts.push((from, from + aligned));
        from += aligned;
    }
    parts
}

/// Where a whole subtree's hashes stand: the tile, and which of its hashes.
fn place(range: Range, size: u64) -> (TileName, std::ops::Range<usize>) {
    let (from, to) = range;
    let height = (to - from).trailing_zeros();
    let level = height / 8;
    let width = TILE_WIDTH as u64;
    let (first, count) = (from >> (8 * level), (to - from) >> (8 * level));
    let index = first / width;
    let hashes = (size >> (8 * level)) - index * width;
    let start = usize::try_from(first % width).unwrap_or(TILE_WIDTH);
    let name = TileName {
        level: Some(u8::try_from(level).unwrap_or(u8::MAX)),
        index,
        width: u16::try_from(hashes.min(width)).unwrap_or(256),
    };
    (name, start..start + usize::try_from(count).unwrap_or(TILE_WIDTH))
}

fn needed(ranges: &[Range], size: u64) -> BTreeSet<TileName> {
    ranges.iter().flat_map(|range| whole(*range)).map(|part| place(part, size).0).collect()
}

/// The hash of a range that is a subtree of the tree of `size` leaves.
fn hash_of(range: Range, size: u64, tiles: &Tiles) -> Option<Hash> {
    let parts = whole(range).into_iter().map(|part| {
        let (name, hashes) = place(part, size);
        tiles.get(&name).and_then(|tile| tile.get(hashes)).map(merkle_root)
    });
    let parts: Vec<Hash> = parts.collect::<Option<_>>()?;
    // Subtrees shrink from the left, so the tree's root folds them from the right.
    parts.into_iter().rev().reduce(|right, left| Hash::node(&left, &right))
}

/// The tiles that [`consistency`] reads; there are at most 63 subtrees, in a few tiles each.
#[must_use]
pub fn needed_for_consistency(old: u64, new: u64) -> BTreeSet<TileName> {
    needed(&consistency_ranges(old, new), new)
}

/// The consistency proof from `old` to `new` leaves; nothing where a tile is missing. It is empty where `old` is 0 or `new`.
#[must_use]
pub fn consistency(old: u64, new: u64, tiles: &Tiles) -> Option<Vec<Hash>> {
    consistency_ranges(old, new).into_iter().map(|range| hash_of(range, new, tiles)).collect()
}

/// The tiles that [`inclusion`] reads.
#[must_use]
pub fn needed_for_inclusion(index: u64, size: u64) -> BTreeSet<TileName> {
    needed(&inclusion_ranges(index, size), size)
}

/// The audit path of the leaf at `index` among `size`; nothing where a tile is missing.
#[must_use]
pub fn inclusion(index: u64, size: u64, tiles: &Tiles) -> Option<Vec<Hash>> {
    inclusion_ranges(index, size).into_iter().map(|range| hash_of(range, size, tiles)).collect()
}

/// The tiles that [`root`] reads.
#[must_use]
pub fn needed_for_root(size: u64) -> BTreeSet<TileName> {
    if size == 0 { BTreeSet::new() } else { needed(&[(0, size)], size) }
}

/// The root of the tree of `size` leaves; nothing where a tile is missing.
#[must_use]
pub fn root(size: u64, tiles: &Tiles) -> Option<Hash> {
    if size == 0 { Some(Hash::empty()) } else { hash_of((0, size), size, tiles) }
}

/// The partial tiles and the partial bundle that a checkpoint at `size` needs.
#[must_use]
pub fn edge(size: u64) -> BTreeSet<TileName> {
    let partial = |level: u8| {
        let hashes = size >> (8 * u32::from(level));
        let width = u16::try_from(hashes % TILE_WIDTH as u64).ok().filter(|width| *width > 0)?;
        let name = TileName { level: Some(level), index: hashes / TILE_WIDTH as u64, width };
        let bundle = (level == 0).then_some(TileName { level: None, ..name });
        Some([Some(name), bundle])
    };
    (0_u8..8).filter_map(partial).flatten().flatten().collect()
}

/// Every tile and entry bundle that a reader of a checkpoint at `size` needs and one at `from` did not: whole ones that
/// filled up in between, and the partial ones at the edge. Level 0 and bundles come before the levels above.
pub fn grown(from: u64, size: u64) -> impl Iterator<Item = TileName> {
    let width = TILE_WIDTH as u64;
    (0_u8..8).flat_map(move |level| {
        let shift = 8 * u32::from(level);
        let (had, has) = (from >> shift, size >> shift);
        (had / width..has.div_ceil(width)).filter(move |_| has > had).flat_map(move |index| {
            let hashes = u16::try_from((has - index * width).min(width)).unwrap_or(256);
            let name = move |level| TileName { level, index, width: hashes };
            let bundle = (level == 0).then(|| name(None));
            bundle.into_iter().chain([name(Some(level))])
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proof;
    use crate::tree::Tree;

    /// All tiles of a tree, as a log of that size publishes them.
    fn tiles(leaves: &[Hash]) -> Tiles {
        let mut tree = Tree::default();
        let mut filled = Vec::new();
        leaves.iter().for_each(|leaf| tree.push(*leaf, &mut filled));
        let whole = filled
            .into_iter()
            .map(|tile| (TileName { level: Some(tile.level), index: tile.index, width: 256 }, tile.hashes));
        let mut all: Tiles = whole.collect();
        for (level, hashes) in (0_u8..).zip(tree.unfinished()).filter(|(_, hashes)| !hashes.is_empty()) {
            let index = tree.size() >> (8 * (u32::from(level) + 1));
            let width = u16::try_from(hashes.len()).unwrap();
            all.insert(TileName { level: Some(level), index, width }, hashes.clone());
        }
        all
    }

    fn leaves(n: u64) -> Vec<Hash> {
        (0..n).map(|n| Hash::leaf(&n.to_be_bytes())).collect()
    }

    #[test]
    fn proofs_and_roots_from_tiles_are_those_from_leaves() {
        for new in [1_u64, 2, 3, 7, 255, 256, 257, 300, 511, 512, 700, 65_536, 65_537, 66_000] {
            let all = leaves(new);
            let published = tiles(&all);
            assert_eq!(root(new, &published), Some(merkle_root(&all)), "{new}");
            for index in [0, 1, 6, 255, 256, new / 2, new - 1].into_iter().filter(|index| *index < new) {
                let fetched: Tiles = needed_for_inclusion(index, new)
                    .into_iter()
                    .map(|name| (name, published.get(&name).unwrap_or_else(|| panic!("{name:?} of {new}")).clone()))
                    .collect();
                let path = inclusion(index, new, &fetched).unwrap();
                assert_eq!(path, proof::inclusion(&all, index).unwrap(), "{index} of {new}");
            }
            for old in (1..=new.min(40)).chain([255, 256, 257, 299, 512, 65_535, 65_536]).filter(|old| *old <= new) {
                let fetched: Tiles = needed_for_consistency(old, new)
                    .into_iter()
                    .map(|name| (name, published.get(&name).unwrap_or_else(|| panic!("{name:?} of {new}")).clone()))
                    .collect();
                assert_eq!(
                    consistency(old, new, &fetched).unwrap(),
                    proof::consistency(&all, old).unwrap(),
                    "{old} {new}"
                );
            }
        }
    }

    #[test]
    fn what_grew_between_two_sizes_is_all_that_the_second_needs_beyond_the_first() {
        for (from, size) in
            [(0, 1), (0, 256), (0, 70_000), (255, 256), (256, 257), (300, 301), (65_535, 65_536), (7, 7)]
        {
            let of = |size| grown(0, size).collect::<BTreeSet<_>>();
            let more: BTreeSet<_> = of(size).difference(&of(from)).copied().collect();
            assert_eq!(grown(from, size).collect::<BTreeSet<_>>(), more, "{from} to {size}");
            let partial: BTreeSet<_> = of(size).into_iter().filter(|name| name.width < 256).collect();
            assert_eq!(edge(size), partial);
            let hashes: BTreeSet<_> = of(size).into_iter().filter(|name| name.level.is_some()).collect();
            assert_eq!(hashes.iter().collect::<Vec<_>>(), tiles(&leaves(size)).keys().collect::<Vec<_>>());
        }
    }

    #[test]
    fn bytes_that_are_no_whole_hashes_are_no_tile() {
        assert_eq!(decode_tile(&[7; 64], 2).unwrap().len(), 2);
        assert!(
            decode_tile(&[7; 64], 3).is_none() && decode_tile(&[7; 63], 1).is_none() && decode_tile(&[], 1).is_none()
        );
    }
}
