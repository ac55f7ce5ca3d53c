//! The Merkle tree of RFC 6962, kept as the unfinished tiles of C2SP tlog-tiles.
//!
//! Promise: [`Tree::root`] is the RFC 6962 tree hash of the leaves pushed so
//! far, and memory stays below 256 hashes a level however long the log grows.
//! Not here: files ([`crate::tile`]) and proofs ([`crate::proof`]).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// How many hashes a full tile holds (C2SP tlog-tiles: height 8).
pub const TILE_WIDTH: usize = 256;

/// A SHA-256 hash of the tree.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The hash of a leaf: SHA-256 of 0x00 and the stored record bytes.
    #[must_use]
    pub fn leaf(record: &[u8]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update([0]);
        hasher.update(record);
        Self(hasher.finalize().into())
    }

    /// The hash of an interior node: SHA-256 of 0x01 and its two children.
    #[must_use]
    pub fn node(left: &Self, right: &Self) -> Self {
        let mut block = [1_u8; 65];
        let (_, children) = block.split_at_mut(1);
        let (first, second) = children.split_at_mut(32);
        first.copy_from_slice(&left.0);
        second.copy_from_slice(&right.0);
        Self(Sha256::digest(block).into())
    }

    /// The root of a tree without leaves: SHA-256 of nothing.
    #[must_use]
    pub fn empty() -> Self {
        Self(Sha256::digest([]).into())
    }

    /// Plain SHA-256, for content addresses.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Standard base64, as checkpoints write it.
    #[must_use]
    pub fn to_base64(self) -> String {
        STANDARD.encode(self.0)
    }

    /// Reads what [`Hash::to_base64`] wrote; `None` for anything else.
    #[must_use]
    pub fn from_base64(text: &str) -> Option<Self> {
        STANDARD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// Lower-case hexadecimal.
    #[must_use]
    pub fn to_hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The content address `sha256:` and hexadecimal.
    #[must_use]
    pub fn to_address(self) -> String {
        format!("sha256:{}", self.to_hex())
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_base64())
    }
}

/// The RFC 6962 tree hash over hashes that are already leaves or whole
/// subtrees of one size, the last of which may be an unfinished one.
///
/// Pairing neighbours and carrying an odd last one up gives the same tree as
/// the RFC's split at the largest power of two below n.
#[must_use]
pub fn merkle_root(nodes: &[Hash]) -> Hash {
    let mut level: Vec<Hash> = match nodes {
        [] => return Hash::empty(),
        [only] => return *only,
        _ => pair_up(nodes),
    };
    while level.len() > 1 {
        level = pair_up(&level);
    }
    level.first().copied().unwrap_or_else(Hash::empty)
}

fn pair_up(nodes: &[Hash]) -> Vec<Hash> {
    nodes
        .chunks(2)
        .filter_map(|pair| match pair {
            [left, right] => Some(Hash::node(left, right)),
            [odd] => Some(*odd),
            _ => None,
        })
        .collect()
}

/// A tile that has all its 256 hashes and will never change again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilledTile {
    /// Level of the tile; level 0 holds leaf hashes.
    pub level: u8,
    /// Position within the level.
    pub index: u64,
    /// Its 256 hashes.
    pub hashes: Vec<Hash>,
}

/// The growing tree.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    size: u64,
    unfinished: Vec<Vec<Hash>>,
}

impl Tree {
    /// How many leaves it has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf hash; every tile this fills is added to `filled`.
    pub fn push(&mut self, leaf: Hash, filled: &mut Vec<FilledTile>) {
        self.size += 1;
        let mut carried = leaf;
        for level in 0_u8..8 {
            let Some(tile) = self.level_mut(level) else { return };
            tile.push(carried);
            if tile.len() < TILE_WIDTH {
                return;
            }
            let hashes = std::mem::take(tile);
            carried = merkle_root(&hashes);
            let index = (self.size >> (8 * (u32::from(level) + 1))) - 1;
            filled.push(FilledTile { level, index, hashes });
        }
    }

    fn level_mut(&mut self, level: u8) -> Option<&mut Vec<Hash>> {
        let at = usize::from(level);
        if self.unfinished.len() <= at {
            self.unfinished.resize(at + 1, Vec::new());
        }
        self.unfinished.get_mut(at)
    }

    /// The unfinished tile of each level, from level 0 up; a level may be empty.
    #[must_use]
    pub fn unfinished(&self) -> &[Vec<Hash>] {
        &self.unfinished
    }

    /// The RFC 6962 tree hash of all leaves so far.
    ///
    /// An unfinished tile is the right edge of the tile above it, so folding
    /// the levels upwards gives the root.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut edge: Option<Hash> = None;
        for level in &self.unfinished {
            edge = match (level.is_empty(), edge) {
                (true, edge) => edge,
                (false, None) => Some(merkle_root(level)),
                (false, Some(hash)) => {
                    let mut nodes = level.clone();
                    nodes.push(hash);
                    Some(merkle_root(&nodes))
                }
            };
        }
        edge.unwrap_or_else(Hash::empty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_of_the_unfinished_tiles_is_the_root_of_the_leaves() {
        let mut tree = Tree::default();
        let mut filled = Vec::new();
        let mut leaves = Vec::new();
        assert_eq!(tree.root(), Hash::empty());
        for n in 0_u64..70_000 {
            let leaf = Hash::leaf(&n.to_be_bytes());
            leaves.push(leaf);
            tree.push(leaf, &mut filled);
            if n < 600 || (65_500..65_600).contains(&n) || n % 9_999 == 0 {
                assert_eq!(tree.root(), merkle_root(&leaves), "size {}", n + 1);
            }
        }
        assert_eq!(filled.iter().filter(|tile| tile.level == 0).count(), 70_000 / 256);
        assert_eq!(filled.iter().filter(|tile| tile.level == 1).count(), 1);
        let second = filled.iter().find(|tile| tile.level == 0 && tile.index == 1).unwrap();
        assert_eq!(second.hashes, leaves[256..512]);
    }
}
