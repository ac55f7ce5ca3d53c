//! Epsilon at a delta, by the distribution of the privacy loss.
//!
//! Promise: what is reported is never below the truth. Each event is replaced
//! by one whose losses lie on a grid and which is at least as easy to tell
//! apart ("connect the dots": Doroshenko, Ghazi, Kamath, Kumar and Manurangsi
//! 2022, which splits every loss between its two neighbours on the grid so that
//! its probability under both data sets is kept). Events compose by convolution
//! of these distributions (Koskela, Jälkö and Honkela 2020). What a finite grid
//! and floats leave out is added to delta: the mass beyond the window, by
//! Chernoff's bound, and an allowance for rounding.
//!
//! An event is one noisy answer, moved by as much as one unit may move it; a
//! release to which one unit contributes in several keys is that many events,
//! since noise on each key is drawn by itself. Moving an answer by less is
//! dominated by moving it by all, for both noises are log-concave.
//!
//! Not here: what budgets are charged. That is counted in integers of epsilon
//! or rho ([`super`]); this is for reports.

use std::f64::consts::PI;
use std::num::NonZeroU64;

use thiserror::Error;

use crate::mechanism::{Noise, Part, Scale, Stage};
use crate::query::Query;

/// The most cells of the grid.
const CELLS_MAX: usize = 1 << 22;

/// So few cells are never used: with few events the grid itself would show.
const CELLS_MIN: f64 = 20_000.0;

/// The grid is at most this share of the losses' deviation.
const STEP_SHARE: f64 = 0.06;

/// The most atoms of one event.
const ATOMS_MAX: f64 = 8_000_000.0;

/// The mass that may lie beyond the window, on either side.
const BEYOND: f64 = 1e-16;

/// What one draw may betray of one unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    /// Discrete Laplace or Gaussian noise on a number that the unit may move by so much.
    Additive {
        /// The distribution: discrete Laplace or discrete Gaussian.
        noise: Noise,
        /// Its scale.
        scale: f64,
        /// How far the number moves, a whole number of steps.
        moved: u64,
    },
    /// Whatever loses this epsilon at most, such as a noisy choice: randomized
    /// response at that epsilon dominates it (Kairouz, Oh and Viswanath 2015).
    Pure {
        /// The epsilon.
        epsilon: f64,
    },
    /// What may fail with this probability.
    Failure {
        /// The delta.
        delta: f64,
    },
}

/// Why there is no distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CannotAccount {
    /// Noise on scores is an event of its epsilon, and so on.
    #[error("this event has no distribution of its own: give its epsilon")]
    NotAdditive,
    /// The scale is so large that its atoms do not fit memory.
    #[error("the noise is too wide for this accountant")]
    TooWide,
    /// So many events, so different, that no grid holds them.
    #[error("these events need a finer grid than this accountant has")]
    TooManyCells,
}

impl Event {
    /// The events of one stage for one unit: what it may move, key by key.
    ///
    /// # Errors
    /// Never for stages of a mechanism.
    pub fn of_stage(query: &Query, stage: &Stage) -> Result<Vec<(Self, u64)>, CannotAccount> {
        let bounds = query.bounds();
        let scale = stage.scale().as_f64();
        let keys = u64::from(bounds.keys_per_unit());
        let mut events = match (stage.part(), query.aggregate()) {
            (part, _) if part.chooses() => vec![(Self::Pure { epsilon: choice_epsilon(stage)? }, 1)],
            (Part::Select | Part::Units, _) => vec![(additive(stage.noise(), scale, 1), keys)],
            (Part::Sum, crate::aggregate::Aggregate::Sum(clamp) | crate::aggregate::Aggregate::Mean(clamp)) => {
                let moved = u64::from(bounds.rows_per_key()).saturating_mul(clamp.reach());
                vec![(additive(stage.noise(), scale, moved), keys)]
            }
            (_, crate::aggregate::Aggregate::Top { keys: top }) => {
                let moved = u64::from(bounds.rows_per_key());
                vec![(additive(stage.noise(), scale, moved), keys.min(u64::from(*top)))]
            }
            _ => vec![(additive(stage.noise(), scale, u64::from(bounds.rows_per_key())), keys)],
        };
        if stage.loss().delta_pico() > 0 {
            events.push((Self::Failure { delta: stage.loss().delta_pico() as f64 / crate::loss::PICO as f64 }, 1));
        }
        Ok(events)
    }
}

const fn additive(noise: Noise, scale: f64, moved: u64) -> Event {
    Event::Additive { noise, scale, moved }
}

/// A choice's epsilon: the sum of ranges over the scale; for the exponential
/// mechanism's Gumbel noise what its rho is the square of.
fn choice_epsilon(stage: &Stage) -> Result<f64, CannotAccount> {
    let (moved, scale) = (stage.sensitivity().get() as f64, stage.scale().as_f64());
    match stage.noise() {
        Noise::Exponential => Ok(moved / scale),
        // The square root of a sum of squares is below the sum: only a single choice has this epsilon.
        Noise::Gumbel => Err(CannotAccount::NotAdditive),
        Noise::DiscreteLaplace | Noise::DiscreteGaussian => Err(CannotAccount::NotAdditive),
    }
}

/// Losses with their probabilities, and the probability of an infinite one.
struct Atoms {
    losses: Vec<(f64, f64)>,
    infinite: f64,
}

impl Atoms {
    fn of(event: Event) -> Result<Self, CannotAccount> {
        match event {
            Event::Failure { delta } => Ok(Self { losses: vec![(0.0, 1.0 - delta)], infinite: delta }),
            Event::Pure { epsilon } => {
                let likely = 1.0 / (1.0 + (-epsilon).exp());
                Ok(Self { losses: vec![(epsilon, likely), (-epsilon, 1.0 - likely)], infinite: 0.0 })
            }
            Event::Additive { noise, scale, moved } => Self::additive(noise, scale, moved as f64),
        }
    }

    fn additive(noise: Noise, scale: f64, moved: f64) -> Result<Self, CannotAccount> {
        let (reach, weight): (f64, fn(f64, f64) -> f64) = match noise {
            Noise::DiscreteLaplace => (40.0 * scale + moved, |k, scale| (-k.abs() / scale).exp()),
            Noise::DiscreteGaussian => (12.0 * scale + moved, |k, scale| (-k * k / (2.0 * scale * scale)).exp()),
            Noise::Exponential | Noise::Gumbel => return Err(CannotAccount::NotAdditive),
        };
        let loss = |k: f64| match noise {
            Noise::DiscreteGaussian => (moved * moved - 2.0 * k * moved) / (2.0 * scale * scale),
            _ => ((k - moved).abs() - k.abs()) / scale,
        };
        let reach = reach.ceil().max(1.0);
        if 2.0 * reach + 1.0 > ATOMS_MAX {
            return Err(CannotAccount::TooWide);
        }
        let reach = reach as i64;
        let total: f64 = 1.0 + 2.0 * (1..=reach).rev().map(|k| weight(k as f64, scale)).sum::<f64>();
        // Losses fall as k grows; equal ones, as in Laplace's tails, stand together.
        let mut losses: Vec<(f64, f64)> = Vec::new();
        for k in -reach..=reach {
            let (loss, mass) = (loss(k as f64), weight(k as f64, scale) / total);
            match losses.last_mut() {
                Some((last, sum)) if *last == loss => *sum += mass,
                _ => losses.push((loss, mass)),
            }
        }
        Ok(Self { losses, infinite: BEYOND })
    }

    fn mean(&self) -> f64 {
        self.losses.iter().map(|(loss, mass)| loss * mass).sum()
    }

    fn variance(&self) -> f64 {
        let mean = self.mean();
        self.losses.iter().map(|(loss, mass)| (loss - mean).powi(2) * mass).sum()
    }
}

/// The distribution of the privacy loss of events together, on a grid.
pub struct Pld {
    /// The loss of the first cell.
    lowest: f64,
    step: f64,
    masses: Vec<f64>,
    /// The probability of an infinite loss, and of all that was left out.
    infinite: f64,
}

impl Pld {
    /// The distribution of so many of each event.
    ///
    /// # Errors
    /// Events without a distribution, and lists that no grid holds.
    pub fn of(events: &[(Event, u64)]) -> Result<Self, CannotAccount> {
        let mut counted: Vec<(Atoms, f64)> = Vec::new();
        for (event, count) in events.iter().filter(|(_, count)| *count > 0) {
            counted.push((Atoms::of(*event)?, *count as f64));
        }
        let step = step_of(&counted);
        let gridded: Vec<(Gridded, f64)> =
            counted.iter().map(|(atoms, count)| (Gridded::of(atoms, step), *count)).collect();
        let window = Window::of(&gridded, step)?;
        let infinite: f64 = gridded.iter().map(|(one, count)| one.infinite * count).sum();
        let masses = window.composed(&gridded);
        // Each transform rounds by a few units in the last place of masses that sum to one, and a power of it
        // multiplies that by its exponent.
        let exponents: f64 = gridded.iter().map(|(_, count)| count).sum();
        let rounding = 4.0 * f64::EPSILON * (masses.len() as f64).log2() * exponents.sqrt().max(1.0);
        let infinite = infinite + 2.0 * BEYOND + rounding;
        Ok(Self { lowest: window.lowest as f64 * step, step, masses, infinite })
    }

    /// The delta at which the events together lose no more than `epsilon`.
    #[must_use]
    pub fn delta_at(&self, epsilon: f64) -> f64 {
        let first = (((epsilon - self.lowest) / self.step).floor() + 1.0).max(0.0) as usize;
        let loss = |cell: usize| self.lowest + cell as f64 * self.step;
        let above = self.masses.iter().enumerate().skip(first);
        let sum: f64 = above.rev().map(|(cell, mass)| mass.max(0.0) * -(epsilon - loss(cell)).exp_m1()).sum();
        (sum + self.infinite).min(1.0)
    }

    /// The least epsilon whose delta is at most this one; `None` where none is.
    #[must_use]
    pub fn epsilon_at(&self, delta: f64) -> Option<f64> {
        if self.infinite > delta {
            return None;
        }
        if self.delta_at(0.0) <= delta {
            return Some(0.0);
        }
        let (mut low, mut high) = (0.0, self.lowest + self.masses.len() as f64 * self.step);
        for _ in 0..80 {
            let middle = f64::midpoint(low, high);
            if self.delta_at(middle) <= delta { high = middle } else { low = middle }
        }
        Some(high)
    }
}

/// The grid's step: a small share of the deviation of an average event.
fn step_of(counted: &[(Atoms, f64)]) -> f64 {
    let variance: f64 = counted.iter().map(|(atoms, count)| atoms.variance() * count).sum();
    let events: f64 = counted.iter().map(|(_, count)| count).sum::<f64>().max(1.0);
    let deviation = variance.sqrt();
    let step = (STEP_SHARE * deviation / events.sqrt()).min(24.0 * deviation / CELLS_MIN);
    if step > 0.0 { step } else { 1e-6 }
}

/// An event on the grid: masses from a first cell on, counted in steps from zero.
struct Gridded {
    first: i64,
    masses: Vec<f64>,
    infinite: f64,
}

impl Gridded {
    /// Splits each loss between the two cells around it, keeping its
    /// probability under both data sets.
    fn of(atoms: &Atoms, step: f64) -> Self {
        let cell = |loss: f64| (loss / step).floor() as i64;
        let first = atoms.losses.iter().map(|(loss, _)| cell(*loss)).min().unwrap_or(0);
        let last = atoms.losses.iter().map(|(loss, _)| cell(*loss)).max().unwrap_or(0) + 1;
        let mut masses = vec![0.0; (last - first + 1) as usize];
        for (loss, mass) in &atoms.losses {
            let below = cell(*loss);
            let upper = mass * (below as f64 * step - loss).exp_m1() / (-step).exp_m1();
            let upper = upper.clamp(0.0, *mass);
            for (cell, mass) in [(below, mass - upper), (below + 1, upper)] {
                if let Some(sum) = masses.get_mut((cell - first) as usize) {
                    *sum += mass;
                }
            }
        }
        Self { first, masses, infinite: atoms.infinite }
    }

    /// `ln E[exp(tilt * loss)]`, the losses counted in steps.
    fn log_moment(&self, tilt: f64) -> f64 {
        let masses = || self.masses.iter().enumerate().filter(|(_, mass)| **mass > 0.0);
        let exponent = |cell: usize| tilt * (self.first + cell as i64) as f64;
        let most = masses().map(|(cell, _)| exponent(cell)).fold(f64::NEG_INFINITY, f64::max);
        most + masses().map(|(cell, mass)| mass * (exponent(cell) - most).exp()).sum::<f64>().ln()
    }
}

/// The cells that hold the sum of all losses but for [`BEYOND`] on either side.
struct Window {
    lowest: i64,
    cells: usize,
}

impl Window {
    fn of(gridded: &[(Gridded, f64)], step: f64) -> Result<Self, CannotAccount> {
        // The range that losses have at all is a bound, too.
        let least: f64 = gridded.iter().map(|(one, count)| one.first as f64 * count).sum();
        let most: f64 = gridded.iter().map(|(one, count)| (one.first + one.masses.len() as i64) as f64 * count).sum();
        let (low, high) = (-tail(gridded, step, -1.0), tail(gridded, step, 1.0));
        let (low, high) = (low.max(least).floor(), high.min(most).ceil() + 1.0);
        let cells = (high - low).max(2.0);
        if cells.is_nan() || cells > CELLS_MAX as f64 {
            return Err(CannotAccount::TooManyCells);
        }
        Ok(Self { lowest: low as i64, cells: (cells as usize).next_power_of_two() })
    }

    /// The masses of the sum: a product of powers of transforms. What lies
    /// below the window comes back at its top, which only adds to delta; what
    /// lies above it comes back at the bottom, and is in the allowance.
    fn composed(&self, gridded: &[(Gridded, f64)]) -> Vec<f64> {
        let mut product: Vec<(f64, f64)> = vec![(1.0, 0.0); self.cells];
        let mut shift = -self.lowest;
        for (one, count) in gridded {
            let mut spectrum = vec![(0.0, 0.0); self.cells];
            for (cell, mass) in one.masses.iter().enumerate() {
                if let Some(sum) = spectrum.get_mut(cell % self.cells) {
                    sum.0 += mass;
                }
            }
            transform(&mut spectrum, -1.0);
            product
                .iter_mut()
                .zip(&spectrum)
                .for_each(|(product, one)| *product = times(*product, power(*one, *count)));
            shift += one.first * *count as i64;
        }
        transform(&mut product, 1.0);
        let cells = self.cells as i64;
        let mut masses = vec![0.0; self.cells];
        for (cell, (mass, _)) in product.iter().enumerate() {
            let place = (cell as i64 + shift).rem_euclid(cells) as usize;
            if let Some(to) = masses.get_mut(place) {
                *to = mass / self.cells as f64;
            }
        }
        masses
    }
}

/// A bound that the sum, times the sign, passes with probability [`BEYOND`] at
/// most: the least of Chernoff's over tilts.
fn tail(gridded: &[(Gridded, f64)], step: f64, sign: f64) -> f64 {
    let bound = |tilt: f64| {
        let moment: f64 = gridded.iter().map(|(one, count)| count * one.log_moment(sign * tilt)).sum();
        (moment - BEYOND.ln()) / tilt
    };
    let tilts = (-40..=40).map(|power| step * 1.6_f64.powi(power));
    tilts.map(bound).filter(|bound| bound.is_finite()).fold(f64::INFINITY, f64::min)
}

type Complex = (f64, f64);

fn times((a, b): Complex, (c, d): Complex) -> Complex {
    (a * c - b * d, a * d + b * c)
}

/// A whole power by squaring.
fn power(base: Complex, exponent: f64) -> Complex {
    let (mut base, mut left, mut result) = (base, exponent as u64, (1.0, 0.0));
    while left > 0 {
        if left & 1 == 1 {
            result = times(result, base);
        }
        base = times(base, base);
        left >>= 1;
    }
    result
}

/// The discrete Fourier transform in place, for a power of two of numbers
/// (Cooley and Tukey 1965). Scalar, so that all machines round alike.
fn transform(numbers: &mut [Complex], sign: f64) {
    let length = numbers.len();
    let bits = length.trailing_zeros();
    for place in 0..length {
        let mirrored = place.reverse_bits() >> (usize::BITS - bits);
        if place < mirrored {
            numbers.swap(place, mirrored);
        }
    }
    let turn = |part: usize, of: usize| {
        let angle = sign * 2.0 * PI * part as f64 / of as f64;
        (angle.cos(), angle.sin())
    };
    let roots: Vec<Complex> = (0..length / 2).map(|part| turn(part, length)).collect();
    let mut size = 2;
    while size <= length {
        for block in numbers.chunks_exact_mut(size) {
            let (low, high) = block.split_at_mut(size / 2);
            for ((low, high), root) in low.iter_mut().zip(high).zip(roots.iter().step_by(length / size)) {
                let turned = times(*high, *root);
                *high = (low.0 - turned.0, low.1 - turned.1);
                *low = (low.0 + turned.0, low.1 + turned.1);
            }
        }
        size *= 2;
    }
}

/// What one unit may lose over `releases` releases of a query.
///
/// # Errors
/// See [`Pld::of`]; also stages whose events have no distribution.
pub fn of_releases(query: &Query, releases: NonZeroU64) -> Result<Pld, CannotAccount> {
    let mut events = Vec::new();
    for stage in query.mechanism.stages() {
        events.extend(Event::of_stage(query, stage)?);
    }
    events.iter_mut().for_each(|(_, count)| *count = count.saturating_mul(releases.get()));
    Pld::of(&events)
}

/// The event of noise on a number that one unit may move by so much.
#[must_use]
pub const fn noise(noise: Noise, scale: Scale, moved: u64) -> Event {
    additive(noise, scale.as_f64(), moved)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn laplace(scale: f64, moved: u64) -> Event {
        additive(Noise::DiscreteLaplace, scale, moved)
    }

    fn gaussian(scale: f64, moved: u64) -> Event {
        additive(Noise::DiscreteGaussian, scale, moved)
    }

    /// Delta by definition, over all outcomes of a few independent draws.
    fn brute(events: &[Event], epsilon: f64) -> f64 {
        let mut outcomes = vec![(0.0, 1.0)];
        for event in events {
            let atoms = Atoms::of(*event).unwrap();
            let joint =
                |(loss, mass): (f64, f64)| atoms.losses.iter().map(move |(more, likely)| (loss + more, mass * likely));
            outcomes = outcomes.into_iter().flat_map(joint).collect();
        }
        outcomes
            .iter()
            .filter(|(loss, _)| *loss > epsilon)
            .map(|(loss, mass)| mass * (1.0 - (epsilon - loss).exp()))
            .sum()
    }

    #[test]
    fn one_draw_has_the_delta_of_its_definition() {
        for event in
            [laplace(2.0, 1), laplace(0.7, 3), gaussian(1.5, 1), gaussian(4.0, 7), Event::Pure { epsilon: 0.8 }]
        {
            let pld = Pld::of(&[(event, 1)]).unwrap();
            for epsilon in [0.0, 0.1, 0.3, 0.5, 0.9, 2.0] {
                // A loss between two cells reaches to the one above it: a step of the grid, 0.0012 of the deviation.
                let (ours, exact) = (pld.delta_at(epsilon), brute(&[event], epsilon));
                assert!(ours >= exact && ours <= exact * 1.0001 + 4e-4, "{event:?} {epsilon}: {ours} {exact}");
            }
        }
    }

    #[test]
    fn a_few_draws_compose_as_their_outcomes_do() {
        let lists: [&[Event]; 3] = [
            &[laplace(1.0, 1), laplace(1.0, 1), laplace(3.0, 2)],
            &[gaussian(2.0, 1), laplace(2.0, 1)],
            &[Event::Pure { epsilon: 0.5 }, gaussian(3.0, 2), Event::Pure { epsilon: 0.5 }],
        ];
        for events in lists {
            let counted: Vec<(Event, u64)> = events.iter().map(|event| (*event, 1)).collect();
            let pld = Pld::of(&counted).unwrap();
            for epsilon in [0.0, 0.2, 0.6, 1.1, 1.9] {
                let (ours, exact) = (pld.delta_at(epsilon), brute(events, epsilon));
                assert!(ours >= exact - 1e-15 && ours <= exact * 1.001 + 4e-4, "{events:?} {epsilon}: {ours} {exact}");
            }
        }
    }

    #[test]
    fn a_failure_is_added_and_nothing_is_below_it() {
        let pld = Pld::of(&[(laplace(2.0, 1), 10), (Event::Failure { delta: 1e-6 }, 3)]).unwrap();
        assert_eq!(pld.epsilon_at(2.9e-6), None);
        assert!(pld.epsilon_at(3.1e-6).is_some());
    }

    #[test]
    fn many_gaussian_draws_are_one_wide_one() {
        // 8,760 hours of sigma 936 and one draw of sigma 10 have the same rho.
        let many = Pld::of(&[(gaussian(935.949_785_508_31, 1), 8_760)]).unwrap();
        let one = Pld::of(&[(gaussian(10.0, 1), 1)]).unwrap();
        let (many, one) = (many.epsilon_at(1e-7).unwrap(), one.epsilon_at(1e-7).unwrap());
        assert!((many / one - 1.0).abs() < 0.005, "{many} {one}");
    }

    #[test]
    fn what_fits_no_grid_is_refused() {
        assert_eq!(Pld::of(&[(laplace(1e9, 1), 1)]).err(), Some(CannotAccount::TooWide));
        assert_eq!(Pld::of(&[(additive(Noise::Gumbel, 1.0, 1), 1)]).err(), Some(CannotAccount::NotAdditive));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]

        #[test]
        fn more_events_lose_more_and_their_order_does_not_matter(
            scale in 1.0_f64..20.0, other in 1.0_f64..20.0, count in 1_u64..200, more in 1_u64..50,
        ) {
            let (one, two) = (laplace(scale, 1), gaussian(other, 2));
            let epsilon = |events: &[(Event, u64)]| Pld::of(events).unwrap().epsilon_at(1e-7).unwrap();
            let few = epsilon(&[(one, count), (two, count)]);
            prop_assert!((epsilon(&[(two, count), (one, count)]) - few).abs() < 1e-6 * few);
            prop_assert!(epsilon(&[(one, count + more), (two, count)]) >= few * 0.9999);
        }
    }
}
