//! Projective geometry response: a point near the answer's, or far from it.
//!
//! Answers and reports are points of the projective space of t dimensions
//! over the integers modulo a prime q. A point is near another where their
//! inner product is zero: q^(t-1) points are far from any one, and all others
//! near. A near point is at most e^epsilon times as likely as a far one.
//!
//! Promise: with q near e^epsilon + 1 the error is that of unary encoding and
//! does not grow with k, and a report is a number of about log2 k bits.
//!
//! Specification: Feldman, Nelson, Nguyen and Talwar, "Private frequency
//! estimation via projective geometry", ICML 2022, sections 3 and 4
//! (arXiv 2203.00194). Points are numbered in an order of our own.

use crate::coin::{Coin, loss_between, product};
use crate::entropy::{Draws, NoEntropy};
use crate::epsilon::{Epsilon, ONE, growth};

/// The largest prime that is tried: coordinates are bytes.
const PRIME_MAX: u32 = 251;

/// How many points there are at most: the decoder counts each one.
const POINTS_MAX: u32 = 1 << 23;

/// How many points times the prime at most: the decoder's work.
const WORK_MAX: u64 = 1 << 27;

/// A power of two times the prime fits a space of this many dimensions.
const DIMENSIONS_MAX: usize = 24;

/// Coordinates of a vector; those past the space's dimensions are zero.
type Vector = [u8; DIMENSIONS_MAX];

/// A projective space over the integers modulo a prime.
///
/// Its points are the vectors whose first coordinate that is not zero is one.
/// They are numbered with the ones that begin with one first, by their other
/// coordinates as digits; then follow the points that begin with zero, which
/// are the space of one dimension less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Space {
    pub(crate) prime: u32,
    pub(crate) dimensions: u32,
}

impl Space {
    /// The smallest space over that prime with a point for every answer, if
    /// it can be decoded.
    fn holding(answers: u32, prime: u32) -> Option<Self> {
        let mut space = Self { prime, dimensions: 2 };
        while space.points() < answers {
            space.dimensions += 1;
        }
        let work = u64::from(space.points()) * u64::from(prime);
        (space.points() <= POINTS_MAX && work <= WORK_MAX).then_some(space)
    }

    /// How many points the space has: (q^t - 1)/(q - 1).
    pub(crate) fn points(&self) -> u32 {
        (0..self.dimensions).fold(0, |points, _| points * self.prime + 1)
    }

    /// How many points are near any one: those of one dimension less.
    pub(crate) fn near(&self) -> u32 {
        Self { dimensions: self.dimensions - 1, ..*self }.points()
    }

    /// How many points are far from any one: q^(t-1).
    pub(crate) fn far(&self) -> u32 {
        self.prime.pow(self.dimensions - 1)
    }

    fn vector_of(&self, point: u32) -> Vector {
        let mut vector = [0; DIMENSIONS_MAX];
        let mut rest = point;
        let mut leading = self.far();
        let mut begun = false;
        for coordinate in vector.iter_mut().take(self.dimensions as usize) {
            *coordinate = if begun {
                (rest / leading) as u8
            } else {
                begun = rest < leading;
                u8::from(begun)
            };
            // A leading zero skips the points before it; a digit leaves its remainder; the leading one neither.
            rest = match (begun, *coordinate) {
                (false, _) => rest - leading,
                (true, _) => rest % leading,
            };
            leading = (leading / self.prime).max(1);
        }
        vector
    }

    /// The number of the point that a vector lies on. `None` for the zero vector.
    fn point_of(&self, vector: &Vector) -> Option<u32> {
        let used = vector.get(..self.dimensions as usize)?;
        let zeros = used.iter().take_while(|&&coordinate| coordinate == 0).count();
        let (leading, digits) = used.get(zeros..)?.split_first()?;
        let scale = inverse(u32::from(*leading), self.prime);
        let digits =
            digits.iter().fold(0, |number, &digit| number * self.prime + u32::from(digit) * scale % self.prime);
        let skipped: u32 = (0..zeros as u32).map(|zeros| self.prime.pow(self.dimensions - 1 - zeros)).sum();
        Some(skipped + digits)
    }

    /// Draws a vector whose inner product with the point's is `product`, each as likely.
    fn vector_with(&self, point: u32, product: u32, draws: &mut Draws<'_>) -> Result<Vector, NoEntropy> {
        let answer = self.vector_of(point);
        let leading = answer.iter().take_while(|&&coordinate| coordinate == 0).count();
        let mut drawn = [0; DIMENSIONS_MAX];
        let mut rest = 0;
        for (coordinate, &factor) in drawn.iter_mut().zip(&answer).take(self.dimensions as usize) {
            *coordinate = draws.below(self.prime)? as u8;
            rest += u32::from(*coordinate) * u32::from(factor);
        }
        // The answer's leading coordinate is one, so the coordinate beside it can be what the product still lacks.
        let solved = drawn.get_mut(leading).ok_or(NoEntropy)?;
        let others = rest - u32::from(*solved);
        *solved = ((product + self.prime - others % self.prime) % self.prime) as u8;
        Ok(drawn)
    }
}

/// The number that times `number` is one modulo the prime: its power of q - 2.
pub(crate) fn inverse(number: u32, prime: u32) -> u32 {
    (0..prime - 2).fold(1, |power, _| power * number % prime)
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Projective {
    pub(crate) space: Space,
    /// Shows yes when a near point is reported.
    pub(crate) near: Coin,
}

impl Projective {
    /// `None` where no space that can be decoded has a point for every answer.
    pub(crate) fn new(answers: u32, epsilon: Epsilon) -> Option<Self> {
        let growth = growth(epsilon);
        let mut best = None::<(Space, Noise)>;
        for space in
            (2..=PRIME_MAX).filter(|&number| is_prime(number)).filter_map(|prime| Space::holding(answers, prime))
        {
            let noise = Noise::of(&space, growth);
            if best.as_ref().is_none_or(|(_, least)| noise.less_than(least)) {
                best = Some((space, noise));
            }
        }
        let (space, _) = best?;
        let near = u128::from(space.near()) * growth;
        // Near points get the share that their number times e gives them, rounded down.
        let near = Coin::at_most(near, near + u128::from(space.far()) * ONE);
        Some(Self { space, near })
    }

    pub(crate) fn randomize(self, answer: u32, draws: &mut Draws<'_>) -> Result<u32, NoEntropy> {
        let near = self.near.toss(draws)?;
        // Every point has q - 1 vectors, none of them zero, so a vector drawn evenly is a point drawn evenly.
        // Zero is near everything and no point; it comes up at most once in q times, so 64 times is never.
        for _ in 0..64 {
            let product = 1 + draws.below(self.space.prime - 1)?;
            let vector = self.space.vector_with(answer, if near { 0 } else { product }, draws)?;
            if let Some(point) = self.space.point_of(&vector) {
                return Ok(point);
            }
        }
        Err(NoEntropy)
    }

    pub(crate) fn loss(self) -> Epsilon {
        let (near, far) = (u128::from(self.space.near()), u128::from(self.space.far()));
        loss_between(self.near.yes() * far, self.near.no() * near)
    }
}

/// The variance of an estimate of a rare answer, as a fraction: P (1 - P) over
/// the square of D, P being how probably a report of another answer is near
/// this one and D by how much its own is more probably.
struct Noise {
    over: u128,
    under: u128,
}

impl Noise {
    /// In weights of 24 bits after the point, which lets every product fit.
    fn of(space: &Space, growth: u128) -> Self {
        let (far_weight, near_weight) = (1_u128 << 24, growth >> 40);
        let (near, far) = (u128::from(space.near()), u128::from(space.far()));
        // q^(t-2) points are near one of two points and far from the other.
        let apart = far / u128::from(space.prime);
        let hit = near_weight * (near - apart) + far_weight * apart;
        let all = near_weight * near + far_weight * far;
        let lead = (near_weight - far_weight) * apart;
        Self { over: hit * (all - hit), under: lead * lead }
    }

    fn less_than(&self, other: &Self) -> bool {
        product(self.over, other.under) < product(other.over, self.under)
    }
}

fn is_prime(number: u32) -> bool {
    (2..number).all(|factor| !number.is_multiple_of(factor))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const SMALL: [(u32, u32); 8] = [(2, 2), (2, 3), (2, 5), (3, 2), (3, 4), (5, 3), (7, 2), (7, 3)];

    fn small_spaces() -> impl Iterator<Item = Space> {
        SMALL.into_iter().map(|(prime, dimensions)| Space { prime, dimensions })
    }

    fn are_near(space: &Space, one: u32, other: u32) -> bool {
        let (one, other) = (space.vector_of(one), space.vector_of(other));
        let product: u32 = one.iter().zip(&other).map(|(&a, &b)| u32::from(a) * u32::from(b)).sum();
        product.is_multiple_of(space.prime)
    }

    #[test]
    fn every_number_is_one_point_and_every_point_has_one_number() {
        for space in small_spaces() {
            for point in 0..space.points() {
                let vector = space.vector_of(point);
                assert_eq!(vector.iter().find(|&&coordinate| coordinate != 0), Some(&1), "{space:?}");
                for scale in 1..space.prime {
                    let scaled = vector.map(|coordinate| (u32::from(coordinate) * scale % space.prime) as u8);
                    assert_eq!(space.point_of(&scaled), Some(point), "{space:?}");
                }
            }
            assert_eq!(space.point_of(&[0; DIMENSIONS_MAX]), None);
        }
    }

    #[test]
    fn every_point_has_as_many_near_ones_and_every_two_points_share_as_many() {
        for space in small_spaces() {
            let near_of =
                |point| (0..space.points()).filter(move |&other| are_near(&space, point, other)).collect::<Vec<_>>();
            for point in 0..space.points() {
                let near = near_of(point);
                assert_eq!(near.len() as u32, space.near(), "{space:?}");
                assert_eq!(space.points() - space.near(), space.far());
                for other in (0..space.points()).filter(|&other| other != point) {
                    let shared = near.iter().filter(|&&third| are_near(&space, other, third)).count() as u32;
                    assert_eq!(shared, space.near() - space.far() / space.prime, "{space:?}");
                }
            }
        }
    }

    #[test]
    fn inverses_are_inverses() {
        for prime in (2..=PRIME_MAX).filter(|&number| is_prime(number)) {
            assert!((1..prime).all(|number| number * inverse(number, prime) % prime == 1), "{prime}");
        }
        assert_eq!((2..=PRIME_MAX).filter(|&number| is_prime(number)).count(), 54);
    }

    #[test]
    fn no_report_is_more_than_e_to_the_epsilon_times_as_likely_under_another_answer() {
        for nano in [1_000_000, 500_000_000, 1_000_000_000, 2_345_678_901, 4_000_000_000] {
            let epsilon = Epsilon::from_nano(nano).unwrap();
            for answers in [2, 3, 7, 12, 40, 130] {
                let projective = Projective::new(answers, epsilon).unwrap();
                let space = projective.space;
                assert!(space.points() >= answers);
                let (near, far) = (u128::from(space.near()), u128::from(space.far()));
                // In 2^64 near far cases.
                let cases = |report, answer| match are_near(&space, report, answer) {
                    true => projective.near.yes() * far,
                    false => projective.near.no() * near,
                };
                for answer in 0..answers.min(12) {
                    let all: u128 = (0..space.points()).map(|report| cases(report, answer)).sum();
                    assert_eq!(all, ONE * near * far);
                    for report in 0..space.points() {
                        for other in 0..answers.min(12) {
                            let (likely, unlikely) = (cases(report, answer), cases(report, other));
                            assert!(product(likely, ONE) <= product(unlikely, growth(epsilon)), "{nano} {answers}");
                        }
                    }
                }
                assert_eq!(projective.loss(), epsilon, "no budget is left unused");
            }
        }
    }

    #[test]
    fn the_largest_questions_have_a_space() {
        for nano in (1_000_000..=10_000_000_000).step_by(333_000_000) {
            let epsilon = Epsilon::from_nano(nano).unwrap();
            assert!(Projective::new(1 << 20, epsilon).is_some(), "{nano}");
        }
    }
}
