//! Optimized unary encoding: one bit an answer, each flipped by its own coin.
//!
//! Promise: the answer's bit is set with probability 1/2, every other bit with
//! 1/(e^epsilon + 1) or a little more. The error does not grow with k; the
//! report does, by a bit an answer.
//!
//! Specification: Wang, Blocki, Li and Jha, "Locally differentially private
//! protocols for frequency estimation", USENIX Security 2017, section 4.2.

use crate::coin::{Coin, loss_between};
use crate::entropy::{Draws, NoEntropy};
use crate::epsilon::{Epsilon, ONE, growth};

/// How many answers a question has at most: a report of 128 bytes.
pub const UNARY_ANSWERS_MAX: u32 = 1024;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Unary {
    /// Sets the bit of the answer.
    pub(crate) own: Coin,
    /// Sets the bit of an answer that was not given.
    pub(crate) other: Coin,
}

impl Unary {
    pub(crate) fn new(epsilon: Epsilon) -> Self {
        // Rounded up: a bit that is set oftener without reason hides more.
        Self { own: Coin::at_most(1, 2), other: Coin::at_least(ONE, ONE + growth(epsilon)) }
    }

    /// Writes the report's bits, the first answer's into the lowest bit of the
    /// first byte. `body` has a bit for each of `answers`, and zeros after.
    pub(crate) fn randomize(
        self,
        answers: u32,
        answer: u32,
        body: &mut [u8],
        draws: &mut Draws<'_>,
    ) -> Result<(), NoEntropy> {
        body.fill(0);
        for bit in 0..answers {
            let coin = if bit == answer { self.own } else { self.other };
            let set = u8::from(coin.toss(draws)?) << (bit % 8);
            if let Some(byte) = body.get_mut(bit as usize / 8) {
                *byte |= set;
            }
        }
        Ok(())
    }

    /// The worst report has the answer's bit set and the other's not: it is
    /// (1 - q)/q times as likely under the one as under the other.
    pub(crate) fn loss(self) -> Epsilon {
        loss_between(self.other.no(), self.other.yes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coin::product;

    /// The two bits in which the reports of two answers differ decide the
    /// ratio; all the others have the same coin under both. So four
    /// combinations are all reports, of any k.
    #[test]
    fn no_report_is_more_than_e_to_the_epsilon_times_as_likely_under_another_answer() {
        for nano in [1_000_000, 100_000_000, 1_000_000_000, 2_345_678_901, 4_000_000_000, 10_000_000_000] {
            let epsilon = Epsilon::from_nano(nano).unwrap();
            let unary = Unary::new(epsilon);
            let cases = |coin: Coin, set| if set { coin.yes() } else { coin.no() };
            for (first, second) in [(false, false), (false, true), (true, false), (true, true)] {
                // Halved, which is exact for the coin of 1/2 and keeps the product in 127 bits.
                let likely = (cases(unary.own, first) >> 1) * cases(unary.other, second);
                let unlikely = cases(unary.other, first) * (cases(unary.own, second) >> 1);
                assert!(product(likely, ONE) <= product(unlikely, growth(epsilon)), "{nano}");
            }
            assert_eq!(unary.own.yes(), unary.own.no());
            assert_eq!(unary.loss(), epsilon, "no budget is left unused");
        }
    }
}
