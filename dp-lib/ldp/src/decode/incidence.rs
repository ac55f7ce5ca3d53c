//! How many reports are near each point of a projective space.
//!
//! Promise: exact, in about t q^t steps where counting pair by pair takes
//! q^(2t-2). The space falls apart by its first coordinate, and what is near
//! within the parts answers for the whole (Feldman et al. 2022, section 4.2,
//! does it by dynamic programming from the other end).
//!
//! Specification: [`Space`] says how points are numbered; vectors here are
//! numbered by their coordinates as digits, so the points that begin with one
//! come in the order of the vectors that follow it.

use alloc::vec;
use alloc::vec::Vec;

use crate::projective::{Space, inverse};

/// For each point, the sum of the counters of the points near it.
pub(crate) fn near_counts(counters: &[u32], space: &Space) -> Vec<u32> {
    let multiples = Multiples::up_to(space.dimensions - 1, space.prime);
    near_in(counters, space.dimensions, &multiples)
}

/// The same for the points of fewer dimensions.
fn near_in(counters: &[u32], dimensions: u32, multiples: &Multiples) -> Vec<u32> {
    let prime = multiples.prime;
    let Some((below, ones, zeros)) = split(counters, dimensions, prime) else {
        // One point of one dimension, and it is not near itself.
        return vec![0; counters.len()];
    };
    let products = products(ones, below, multiples);
    let within = near_in(zeros, below, multiples);
    let with_one = multiples.of(below).iter().map(|multiple| match multiple {
        // (1, 0) is near (0, u), whatever u is, and near no (1, u).
        None => zeros.iter().sum(),
        // (1, s w) is near (1, u) where u w = -1/s.
        Some(Multiple { point, scale_inverse }) => {
            at(&products, point * prime + (prime - scale_inverse)) + at(&within, *point)
        }
    });
    let with_zero = within.iter().enumerate().map(|(point, within)| within + at(&products, point as u32 * prime));
    with_one.chain(with_zero).collect()
}

/// For each point w and number r, at `w q + r`: the sum of the counters of
/// the vectors u with u w = r.
fn products(counters: &[u32], dimensions: u32, multiples: &Multiples) -> Vec<u32> {
    let prime = multiples.prime;
    let Some(below) = dimensions.checked_sub(1) else {
        return Vec::new();
    };
    let block = prime.pow(below) as usize;
    let totals: Vec<u32> = counters.chunks(block).map(|block| block.iter().sum()).collect();
    let parts: Vec<Vec<u32>> = counters.chunks(block).map(|block| products(block, below, multiples)).collect();
    let mut sums = Vec::with_capacity(block * prime as usize + parts.first().map_or(0, Vec::len));
    for multiple in multiples.of(below) {
        match multiple {
            None => sums.extend(&totals),
            Some(multiple) => sums.extend(with_leading_one(&parts, multiple, prime)),
        }
    }
    sums.extend(
        (0..parts.first().map_or(0, Vec::len))
            .map(|place| parts.iter().map(|part| at(part, place as u32)).sum::<u32>()),
    );
    sums
}

/// For w = (1, s v) and each r: the sum over a of the vectors (a, u) with
/// u v = (r - a)/s.
fn with_leading_one(parts: &[Vec<u32>], multiple: &Multiple, prime: u32) -> Vec<u32> {
    let (prime, step) = (prime as usize, multiple.scale_inverse as usize);
    let mut sums = vec![0; prime];
    for (leading, part) in parts.iter().enumerate() {
        let start = multiple.point as usize * prime;
        let row = part.get(start..start + prime).unwrap_or_default();
        let (before, from) = sums.split_at_mut(leading);
        let mut place = 0;
        for sum in from.iter_mut().chain(before) {
            *sum += row.get(place).copied().unwrap_or_default();
            place += step;
            place -= if place >= prime { prime } else { 0 };
        }
    }
    sums
}

/// The counters of the points that begin with one, and of those that begin
/// with zero, with the dimensions of what follows. `None` for one dimension.
fn split(counters: &[u32], dimensions: u32, prime: u32) -> Option<(u32, &[u32], &[u32])> {
    let below = dimensions.checked_sub(1).filter(|&below| below > 0)?;
    let (ones, zeros) = counters.split_at_checked(prime.pow(below) as usize)?;
    Some((below, ones, zeros))
}

/// Every table has a value at every place that is asked for.
fn at(table: &[u32], place: u32) -> u32 {
    table.get(place as usize).copied().unwrap_or_default()
}

/// A vector as a point times a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Multiple {
    point: u32,
    scale_inverse: u32,
}

/// Which multiple of which point each vector is, for spaces of any smaller
/// number of dimensions. The zero vector is none.
struct Multiples {
    prime: u32,
    by_dimensions: Vec<Vec<Option<Multiple>>>,
}

impl Multiples {
    fn up_to(dimensions: u32, prime: u32) -> Self {
        let mut by_dimensions = vec![vec![None]];
        for below in 0..dimensions {
            let smaller = by_dimensions.last().map_or(&[][..], Vec::as_slice);
            let larger = larger(smaller, below, prime);
            by_dimensions.push(larger);
        }
        Self { prime, by_dimensions }
    }

    fn of(&self, dimensions: u32) -> &[Option<Multiple>] {
        self.by_dimensions.get(dimensions as usize).map_or(&[], Vec::as_slice)
    }
}

/// The multiples with one coordinate more, in front of `below` others.
fn larger(smaller: &[Option<Multiple>], below: u32, prime: u32) -> Vec<Option<Multiple>> {
    let block = prime.pow(below);
    let behind_zero = smaller.iter().map(|multiple| multiple.map(|of| Multiple { point: block + of.point, ..of }));
    let behind_others = (1..prime).flat_map(|leading| {
        let scale_inverse = inverse(leading, prime);
        (0..block)
            .map(move |digits| Some(Multiple { point: scaled(digits, scale_inverse, below, prime), scale_inverse }))
    });
    behind_zero.chain(behind_others).collect()
}

/// A vector's number when every coordinate is multiplied.
fn scaled(digits: u32, scale: u32, dimensions: u32, prime: u32) -> u32 {
    let digits_up = (0..dimensions).map(|place| prime.pow(place));
    digits_up.map(|place| digits / place % prime * scale % prime * place).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Points by their definition, in the order that [`Space`] promises.
    fn points(space: &Space) -> Vec<Vec<u32>> {
        let digits =
            |number: u32| (0..space.dimensions).rev().map(move |place| number / space.prime.pow(place) % space.prime);
        let all = (0..space.prime.pow(space.dimensions)).map(|number| digits(number).collect::<Vec<_>>());
        let mut points: Vec<_> = all.filter(|vector| vector.iter().find(|&&digit| digit > 0) == Some(&1)).collect();
        points.sort_by_key(|vector| vector.iter().take_while(|&&digit| digit == 0).count());
        points
    }

    #[test]
    fn near_counts_are_those_of_counting_pair_by_pair() {
        for (prime, dimensions) in [(2, 2), (2, 6), (3, 2), (3, 3), (3, 5), (5, 2), (5, 4), (7, 3), (11, 2), (13, 3)] {
            let space = Space { prime, dimensions };
            let points = points(&space);
            assert_eq!(points.len() as u32, space.points());
            let counters: Vec<u32> = (0..space.points()).map(|point| point.wrapping_mul(2_654_435_761) >> 20).collect();
            let near = |one: &[u32], other: &[u32]| one.iter().zip(other).map(|(a, b)| a * b).sum::<u32>() % prime == 0;
            let expected: Vec<u32> = points
                .iter()
                .map(|one| {
                    points.iter().zip(&counters).filter(|(other, _)| near(one, other)).map(|(_, count)| count).sum()
                })
                .collect();
            assert_eq!(near_counts(&counters, &space), expected, "{space:?}");
        }
    }
}
