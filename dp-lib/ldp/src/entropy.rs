//! Randomness that the caller brings, and choices without bias made of it.
//!
//! Promise: a choice takes its bytes from the caller's source, drawn for it
//! alone; nothing is stretched from a seed. A source that fails, or whose
//! bytes cannot be random, fails the report.
//!
//! Not here: a source. A browser has `crypto.getRandomValues`, a server
//! `getrandom`; a seeded generator gives away every answer ever reported.

use core::fmt;

/// How many choices may be rejected one after the other. Each is rejected
/// with a probability below one half, so random bytes come here once in 2^128.
const TRIES_MAX: usize = 128;

/// How many bytes are asked of the source at once.
const BLOCK_BYTES: usize = 64;

/// The source of randomness gave none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoEntropy;

impl fmt::Display for NoEntropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the source of randomness failed, or its bytes repeat: report nothing, and use the system's generator",
        )
    }
}

impl core::error::Error for NoEntropy {}

/// Where random bytes come from.
pub trait Entropy {
    /// Fills all of `bytes` with randomness that nobody can foretell.
    ///
    /// # Errors
    /// When that cannot be done; then no report is made.
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy>;
}

impl<F: FnMut(&mut [u8]) -> Result<(), NoEntropy>> Entropy for F {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        self(bytes)
    }
}

/// Random bytes for one report, asked for by the block. What is left of the
/// last block is thrown away with the draws: two reports share no byte.
pub(crate) struct Draws<'a> {
    source: &'a mut dyn Entropy,
    block: [u8; BLOCK_BYTES],
    used: usize,
}

impl<'a> Draws<'a> {
    pub(crate) fn of(source: &'a mut dyn Entropy) -> Self {
        Self { source, block: [0; BLOCK_BYTES], used: BLOCK_BYTES }
    }

    pub(crate) fn byte(&mut self) -> Result<u8, NoEntropy> {
        if self.used >= BLOCK_BYTES {
            self.source.fill(&mut self.block)?;
            self.used = 0;
        }
        let byte = self.block.get(self.used).copied().ok_or(NoEntropy)?;
        self.used += 1;
        Ok(byte)
    }

    /// A number below `bound`, each as likely as any other: numbers of as
    /// many bits as it takes are drawn until one is below.
    pub(crate) fn below(&mut self, bound: u32) -> Result<u32, NoEntropy> {
        let largest = bound.checked_sub(1).ok_or(NoEntropy)?;
        let bits = u32::BITS - largest.leading_zeros();
        let mask = 1_u32.checked_shl(bits).map_or(u32::MAX, |power| power.wrapping_sub(1));
        for _ in 0..TRIES_MAX {
            let drawn = self.bytes_for(bits)? & mask;
            if drawn < bound {
                return Ok(drawn);
            }
        }
        Err(NoEntropy)
    }

    fn bytes_for(&mut self, bits: u32) -> Result<u32, NoEntropy> {
        let mut number = 0;
        for _ in 0..bits.div_ceil(8) {
            number = number << 8 | u32::from(self.byte()?);
        }
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    #[test]
    fn every_number_below_a_bound_is_drawn_by_as_many_bytes() {
        for bound in [1_u32, 2, 3, 5, 53, 100, 251, 256] {
            let mut drawn = vec![0_u32; bound as usize];
            for byte in 0..=255_u8 {
                let mut calls = 0;
                let mut once = |bytes: &mut [u8]| {
                    calls += 1;
                    bytes.fill(byte);
                    if calls > 1 { Err(NoEntropy) } else { Ok(()) }
                };
                if let Ok(number) = Draws::of(&mut once).below(bound) {
                    drawn[number as usize] += 1;
                }
            }
            assert!(drawn.iter().all(|&times| times == drawn[0] && times > 0), "{bound}: {drawn:?}");
        }
    }

    #[test]
    fn a_source_that_repeats_what_is_rejected_fails() {
        let mut stuck = |bytes: &mut [u8]| {
            bytes.fill(0xff);
            Ok(())
        };
        assert_eq!(Draws::of(&mut stuck).below(5), Err(NoEntropy));
    }

    #[test]
    fn a_source_that_fails_fails_the_draw() {
        let mut absent = |_: &mut [u8]| Err(NoEntropy);
        assert_eq!(Draws::of(&mut absent).byte(), Err(NoEntropy));
    }
}
