//! k-ary randomized response: the answer itself, or any other one.
//!
//! Promise: every wrong answer is as likely as every other wrong one, and the
//! right one at most e^epsilon times as likely. The error grows with k: the
//! method of choice while k is below 3 e^epsilon + 2.
//!
//! Specification: Kairouz, Oh and Viswanath, "Extremal mechanisms for local
//! differential privacy", JMLR 2016; "direct encoding" in Wang, Blocki, Li and
//! Jha, "Locally differentially private protocols for frequency estimation",
//! USENIX Security 2017, section 4.1.

use crate::coin::{Coin, loss_between};
use crate::entropy::{Draws, NoEntropy};
use crate::epsilon::{Epsilon, ONE, growth};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Kary {
    pub(crate) answers: u32,
    /// Shows yes when the answer is reported as it is.
    pub(crate) truthful: Coin,
}

impl Kary {
    pub(crate) fn new(answers: u32, epsilon: Epsilon) -> Self {
        let growth = growth(epsilon);
        // The truth gets the share e / (e + k - 1), rounded down: never more than e times another's.
        Self { answers, truthful: Coin::at_most(growth, growth + u128::from(answers - 1) * ONE) }
    }

    pub(crate) fn randomize(self, answer: u32, draws: &mut Draws<'_>) -> Result<u32, NoEntropy> {
        // Both are drawn whatever the coin shows, so time does not tell which is reported.
        let other = draws.below(self.answers - 1)?;
        let other = if other < answer { other } else { other + 1 };
        Ok(if self.truthful.toss(draws)? { answer } else { other })
    }

    pub(crate) fn loss(self) -> Epsilon {
        loss_between(self.truthful.yes() * u128::from(self.answers - 1), self.truthful.no())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coin::product;

    #[test]
    fn no_report_is_more_than_e_to_the_epsilon_times_as_likely_under_another_answer() {
        for nano in [1_000_000, 100_000_000, 1_000_000_000, 2_345_678_901, 4_000_000_000, 10_000_000_000] {
            let epsilon = Epsilon::from_nano(nano).unwrap();
            for answers in 2..=12 {
                let kary = Kary::new(answers, epsilon);
                // In 2^64 (k - 1) cases.
                let cases = |report, answer| match report == answer {
                    true => kary.truthful.yes() * u128::from(answers - 1),
                    false => kary.truthful.no(),
                };
                for answer in 0..answers {
                    let all: u128 = (0..answers).map(|report| cases(report, answer)).sum();
                    assert_eq!(all, ONE * u128::from(answers - 1));
                    for (other, report) in
                        (0..answers).flat_map(|other| (0..answers).map(move |report| (other, report)))
                    {
                        let (likely, unlikely) = (cases(report, answer), cases(report, other));
                        assert!(product(likely, ONE) <= product(unlikely, growth(epsilon)), "{nano} {answers}");
                    }
                }
                assert_eq!(kary.loss(), epsilon, "no budget is left unused");
            }
        }
    }
}
