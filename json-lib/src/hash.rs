//! The hash of a decoded key: computed once while the key is scanned, used to
//! find duplicates and to look a key up in a plan.
//!
//! Promise: the same bytes give the same hash for the life of the process, and
//! the seed differs between processes, so a sender cannot prepare collisions.
//! Nothing relies on that for correctness or for a bound on time: equal hashes
//! are always followed by a comparison, and large groups are sorted.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

/// The secret of one process's key hashes.
#[derive(Clone, Copy)]
pub(crate) struct Seed {
    start: u64,
    factor: u64,
}

impl Seed {
    /// The seed that every index and every plan of this process shares.
    pub(crate) fn of_this_process() -> Self {
        static SEED: OnceLock<Seed> = OnceLock::new();
        *SEED.get_or_init(|| {
            let random = RandomState::new();
            Self { start: random.hash_one(1_u8), factor: random.hash_one(2_u8) | 1 }
        })
    }

    /// A seed under which all keys collide: what the best adversary could do.
    #[cfg(test)]
    pub(crate) const fn worst() -> Self {
        Self { start: 0, factor: 0 }
    }

    #[inline]
    pub(crate) const fn start(self) -> u64 {
        self.start
    }

    /// Takes in the next eight bytes, first byte lowest.
    #[inline]
    pub(crate) const fn mix(self, state: u64, word: u64) -> u64 {
        fold(state ^ word, self.factor)
    }

    /// Takes in the last 0 to 7 bytes, zero-padded, and the length in bytes.
    #[inline]
    pub(crate) const fn finish(self, state: u64, tail: u64, bytes: usize) -> u32 {
        let hash = self.mix(self.mix(state, tail), (bytes as u64) ^ self.start.rotate_left(32));
        (hash ^ (hash >> 32)) as u32
    }

    /// The hash of a decoded key.
    pub(crate) fn of(self, key: &[u8]) -> u32 {
        let (words, rest) = key.as_chunks::<8>();
        let state = words.iter().fold(self.start, |state, word| self.mix(state, u64::from_le_bytes(*word)));
        let tail = rest.iter().rev().fold(0, |tail, byte| (tail << 8) | u64::from(*byte));
        self.finish(state, tail, key.len())
    }
}

/// The length of a key and its first sixteen bytes: enough to tell most keys
/// apart, and to know most keys by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Front {
    length: u32,
    low: u64,
    high: u64,
}

impl Front {
    /// That of no key.
    pub(crate) const NONE: Self = Self { length: u32::MAX, low: 0, high: 0 };

    /// The front of the key that begins at `start`.
    #[inline]
    pub(crate) fn of(text: &[u8], start: usize, length: u32) -> Self {
        let rest = text.get(start..).unwrap_or_default();
        let wide = match rest.first_chunk::<16>() {
            Some(bytes) => u128::from_le_bytes(*bytes),
            None => rest.iter().rev().fold(0, |wide, byte| (wide << 8) | u128::from(*byte)),
        };
        let wide = if length < 16 { wide & ((1 << (8 * length)) - 1) } else { wide };
        Self { length, low: wide as u64, high: (wide >> 64) as u64 }
    }

    /// Whether this is all of the key.
    #[inline]
    pub(crate) const fn is_whole(self) -> bool {
        self.length <= 16
    }
}

/// Multiplies to 128 bits and folds both halves together.
#[inline]
const fn fold(a: u64, b: u64) -> u64 {
    let wide = (a as u128) * (b as u128);
    (wide as u64) ^ ((wide >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::Seed;

    #[test]
    fn length_and_content_both_count() {
        let seed = Seed::of_this_process();
        let keys: [&[u8]; 7] = [b"", b"\0", b"\0\0", b"a", b"a\0", b"aaaaaaaa", b"aaaaaaaa\0"];
        for (i, a) in keys.iter().enumerate() {
            for (j, b) in keys.iter().enumerate() {
                assert_eq!(seed.of(a) == seed.of(b), i == j, "{i} {j}");
            }
        }
    }

    #[test]
    fn hashes_spread_over_low_and_high_bits() {
        let seed = Seed::of_this_process();
        let hashes: Vec<u32> = (0..4096).map(|n| seed.of(format!("properties_{n}").as_bytes())).collect();
        for shift in [0, 8, 16, 24] {
            let mut counts = [0_u32; 256];
            for hash in &hashes {
                counts[((hash >> shift) & 0xff) as usize] += 1;
            }
            // The mean is 16; a count above 60 has a chance below 1e-15.
            assert!(counts.iter().all(|count| *count < 60), "shift {shift}");
        }
    }
}
