//! Coins whose probabilities are whole numbers of 2^64ths.
//!
//! Promise: a coin shows yes with exactly the probability it says, and the
//! odds it was made for are rounded towards the side the maker names.
//!
//! Not here: which side is the private one; each method says that of its coin.

use crate::entropy::{Draws, NoEntropy};
use crate::epsilon::{Epsilon, ONE, growth};

/// A coin that shows yes in `yes` of 2^64 cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Coin {
    yes: u64,
}

impl Coin {
    /// A coin that shows yes with a probability of `part` in `whole`, rounded
    /// down. `part` is below `whole`, which is below 2^127.
    pub(crate) fn at_most(part: u128, whole: u128) -> Self {
        Self { yes: divide(part, whole).0 }
    }

    /// The same, rounded up.
    pub(crate) fn at_least(part: u128, whole: u128) -> Self {
        let (yes, exact) = divide(part, whole);
        Self { yes: if exact { yes } else { yes.saturating_add(1) } }
    }

    /// In how many of 2^64 cases it shows yes.
    pub(crate) fn yes(self) -> u128 {
        u128::from(self.yes)
    }

    /// In how many of 2^64 cases it shows no.
    pub(crate) fn no(self) -> u128 {
        ONE - self.yes()
    }

    /// Tosses it: a number of 64 bits is below `yes`, or not. The number is
    /// drawn a byte at a time and no further than the answer needs. How many
    /// bytes that takes says nothing of the answer: one in 256 goes on,
    /// whatever `yes` is.
    pub(crate) fn toss(self, draws: &mut Draws<'_>) -> Result<bool, NoEntropy> {
        let mut rest = self.yes;
        for _ in 0..8 {
            let (limit, drawn) = ((rest >> 56) as u8, draws.byte()?);
            if drawn != limit {
                return Ok(drawn < limit);
            }
            rest <<= 8;
        }
        Ok(false)
    }
}

/// `part` 2^64 / `whole`, rounded down, and whether that is exact. By long
/// division: the product has more than 128 bits.
fn divide(part: u128, whole: u128) -> (u64, bool) {
    let (mut quotient, mut rest) = (0_u64, part);
    for _ in 0..u64::BITS {
        rest <<= 1;
        quotient <<= 1;
        if rest >= whole {
            rest -= whole;
            quotient |= 1;
        }
    }
    (quotient, rest == 0)
}

/// The smallest epsilon that two likelihoods stay within: the smallest with
/// `likely` at most e^epsilon times `unlikely`. `likely` is below 2^128.
pub(crate) fn loss_between(likely: u128, unlikely: u128) -> Epsilon {
    Epsilon::smallest(|epsilon| product(likely, ONE) <= product(growth(epsilon), unlikely))
}

/// a b, as its upper and its lower 128 bits.
pub(crate) fn product(a: u128, b: u128) -> (u128, u128) {
    let ((a1, a0), (b1, b0)) = (halves(a), halves(b));
    let (middle1, middle0) = halves(a0 * b0);
    let (carry, low) = halves(a1 * b0 + middle1);
    let (upper, low_too) = halves(a0 * b1 + low);
    (a1 * b1 + carry + upper, low_too << 64 | middle0)
}

fn halves(number: u128) -> (u128, u128) {
    (number >> 64, number & (ONE - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_rounded_to_the_named_side() {
        assert_eq!(Coin::at_most(1, 2).yes, 1 << 63);
        assert_eq!(Coin::at_least(1, 2).yes, 1 << 63);
        assert_eq!(Coin::at_most(1, 3).yes, u64::MAX / 3);
        assert_eq!(Coin::at_least(1, 3).yes, u64::MAX / 3 + 1);
        assert_eq!(Coin::at_most((1 << 126) - 1, 1 << 126).yes, u64::MAX);
    }

    #[test]
    fn products_are_whole() {
        assert_eq!(product(u128::MAX, u128::MAX), (u128::MAX - 1, 1));
        assert_eq!(product(u128::MAX, 2), (1, u128::MAX - 1));
        assert_eq!(product(1 << 100, 1 << 90), (1 << 62, 0));
        assert_eq!(product(3 << 64 | 5, 7 << 64 | 11), (21, 68 << 64 | 55));
    }

    #[test]
    fn a_coin_shows_yes_below_its_number_and_no_from_it() {
        let coin = Coin { yes: 0x0123_4567_89ab_cdef };
        for (number, shows) in
            [(coin.yes - 1, true), (coin.yes, false), (coin.yes + 1, false), (0, true), (u64::MAX, false)]
        {
            let mut source = |bytes: &mut [u8]| {
                bytes.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&number.to_be_bytes()));
                Ok(())
            };
            assert_eq!(coin.toss(&mut Draws::of(&mut source)), Ok(shows), "{number:x}");
        }
    }
}
