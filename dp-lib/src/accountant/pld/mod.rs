//! What releases lose together, tighter than a sum: by the distribution of
//! their privacy losses.
//!
//! The privacy loss of an output is the logarithm of how much more likely it is
//! with a person than without. Its distribution (PLD) composes by convolution
//! and gives for every epsilon the least delta (Meiser and Mohammadi 2018;
//! Koskela, Jälkö and Honkela 2020; Zhu, Dong and Wang 2022, theorem 10).
//!
//! Promise: every epsilon and delta that leaves here is an upper bound. What
//! is inexact is paid for in one of four ways:
//!
//! - *Discretisation.* A loss between two cells is split between them so that the
//!   probability with the person and the one without both stay. That connects
//!   the dots of the convex curve of delta over `exp(epsilon)`, so delta grows and
//!   never falls (Doroshenko, Ghazi, Kamath, Kumar and Manurangsi 2022). A cell
//!   grows twice as wide whenever there are more than [`CELLS_MAX`] of them (Ghazi,
//!   Kamath, Kumar and Manurangsi 2022, evolving discretization), which again is
//!   such a split. Cells stay below a hundredth of the distribution's standard
//!   deviation or a thousandth of its range, whichever is larger. All splits together
//!   added at most 0.0002 of epsilon on the 200 lists of `tools/dp-accounting`.
//! - *Truncation.* Of the largest losses what is less likely than [`TAIL`] in sum
//!   counts as failing; of the smallest it is raised to the least cell that stays.
//! - *Round-off.* Convolution is the plain double sum of products of numbers that
//!   are not negative: nothing cancels, so each cell is exact but for a share of
//!   `CELLS_MAX` times 2^-53. These shares add up in `error`, and delta
//!   grows by them. A Fourier transform would be faster on one large grid, but its
//!   error is absolute and would drown a delta of 10^-12; on cells that widen it
//!   is not needed.
//! - *Underflow.* What is lost below the least float is less than 10^-290, and that is
//!   added to what fails.
//!
//! Only additions, multiplications and divisions in a fixed order, and functions
//! of `libm`, which are such: two machines that follow IEEE 754 compute the same bits.
//! Noise that is symmetric loses the same to whoever adds a person and to
//! whoever removes one, so one direction is computed.
//!
//! Not here: what a budget is charged ([`super::Sum`]): that stays integers.

mod event;
#[cfg(test)]
mod tests;

pub use event::{Event, NoPld};

/// The largest number of cells between two compositions: 32 KiB.
pub const CELLS_MAX: usize = 4096;

/// The probability that one truncation may move, on each side: 2^-70.
pub const TAIL: f64 = 1.0 / (1_u128 << 70) as f64;

/// The most releases that are composed. Keeps all truncations together below 10^-13.
pub const RELEASES_MAX: u64 = 1 << 24;

/// More than all that a convolution loses below the least float.
const UNDERFLOW: f64 = 1e-290;

/// By which share a loss, or a share of a split, is raised so that its round-off never lowers it.
const NUDGE: f64 = 1.0 / (1_u64 << 40) as f64;

/// The round-off of one operation on one number.
const ROUND_OFF: f64 = f64::EPSILON;

/// An upper bound of a privacy loss distribution, on a grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Pld {
    /// A cell is two to this power wide.
    width: i32,
    /// The first cell's loss, in cells.
    first: i64,
    /// The probability of each cell's loss.
    masses: Vec<f64>,
    /// The probability that the loss is without bound.
    failing: f64,
    /// By which share `masses` may be too small.
    error: f64,
    /// How many releases it is of.
    releases: u64,
}

impl Pld {
    /// The loss of one release.
    ///
    /// # Errors
    /// What has no such distribution, or one that is too wide to count.
    pub fn of(event: &Event) -> Result<Self, NoPld> {
        event.pld()
    }

    /// The loss of both releases together; the second may depend on what the first one published.
    ///
    /// # Errors
    /// More than [`RELEASES_MAX`] of them.
    pub fn compose(&self, other: &Self) -> Result<Self, NoPld> {
        let releases = self.releases.saturating_add(other.releases);
        if releases > RELEASES_MAX {
            return Err(NoPld::TooMany);
        }
        let width = self.width.max(other.width);
        let (one, other) = (self.clone().widened(width), other.clone().widened(width));
        let shorter = one.masses.len().min(other.masses.len());
        let round_off = (shorter + 2) as f64 * ROUND_OFF;
        let composed = Self {
            width,
            first: one.first + other.first,
            masses: convolution(&one.masses, &other.masses),
            failing: one.failing + other.failing + UNDERFLOW,
            error: (one.error + other.error + one.error * other.error + round_off) * (1.0 + NUDGE),
            releases,
        };
        Ok(composed.trimmed().narrowed())
    }

    /// The loss of `count` such releases, by repeated squaring.
    ///
    /// # Errors
    /// More than [`RELEASES_MAX`] of them.
    pub fn times(&self, count: std::num::NonZeroU64) -> Result<Self, NoPld> {
        if self.releases.saturating_mul(count.get()) > RELEASES_MAX {
            return Err(NoPld::TooMany);
        }
        let mut product = self.clone();
        for bit in (0..count.ilog2()).rev() {
            product = product.compose(&product)?;
            if count.get() >> bit & 1 == 1 {
                product = product.compose(self)?;
            }
        }
        Ok(product)
    }

    /// The same, with that much more probability of a loss without bound.
    #[must_use]
    pub fn failing_also(self, delta: f64) -> Self {
        Self { failing: (self.failing + delta) * (1.0 + NUDGE), ..self }
    }

    /// All of them together. The order of the list is irrelevant: what has the
    /// narrowest cells is composed first, so that cells widen as late as they can.
    ///
    /// # Errors
    /// More than [`RELEASES_MAX`] releases, and an empty list.
    pub fn of_all(list: Vec<Self>) -> Result<Self, NoPld> {
        let mut left = list;
        left.sort_by(|one, other| one.order(other));
        while left.len() > 1 {
            let pairs = left.chunks(2).map(|pair| match pair {
                [one, other] => one.compose(other),
                rest => rest.first().cloned().ok_or(NoPld::Nothing),
            });
            left = pairs.collect::<Result<_, _>>()?;
            left.sort_by(|one, other| one.order(other));
        }
        left.pop().ok_or(NoPld::Nothing)
    }

    /// An order in which equal distributions alone are equal.
    fn order(&self, other: &Self) -> std::cmp::Ordering {
        let numbers = |pld: &Self| (pld.width, pld.masses.len(), pld.first);
        let of_masses = || {
            let pairs = self.masses.iter().zip(&other.masses);
            pairs.map(|(one, other)| one.total_cmp(other)).find(|order| order.is_ne())
        };
        numbers(self)
            .cmp(&numbers(other))
            .then(self.failing.total_cmp(&other.failing))
            .then_with(|| of_masses().unwrap_or(std::cmp::Ordering::Equal))
    }

    /// The least delta that is known to hold at `epsilon`.
    #[must_use]
    pub fn delta_at(&self, epsilon: f64) -> f64 {
        let above = self.cells().filter(|(loss, _)| *loss > epsilon);
        let sum: f64 = above.map(|(loss, mass)| -libm::expm1(epsilon - loss) * mass).sum();
        (sum * (1.0 + self.error + NUDGE) + self.failing).min(1.0)
    }

    /// The least epsilon, not below zero, that is known to hold at `delta`; `None` where
    /// more than `delta` fails at every epsilon.
    #[must_use]
    pub fn epsilon_at(&self, delta: f64) -> Option<f64> {
        let allowed = (delta - self.failing) / (1.0 + self.error + NUDGE);
        if allowed <= 0.0 {
            return None;
        }
        // Of the cells above an epsilon: their probability with the person, and
        // without, the latter times the exponential of the least of their losses.
        // Between two cells delta is `with - exp(epsilon - least) without`.
        let (mut with, mut without) = (0.0, 0.0);
        let mut least = self.upper();
        for (loss, mass) in self.cells().rev() {
            if with - libm::exp(loss - least) * without > allowed {
                break;
            }
            without = without * libm::exp(loss - least) + mass;
            with += mass;
            least = loss;
        }
        let epsilon = if with > allowed { least + libm::log((with - allowed) / without) } else { 0.0 };
        Some((epsilon + (1.0 + epsilon.abs()) * NUDGE).max(0.0))
    }

    /// How many releases it is of.
    #[must_use]
    pub const fn releases(&self) -> u64 {
        self.releases
    }

    /// A release that loses nothing, on cells so narrow that they widen to any others.
    fn nothing() -> Self {
        Self { width: -60, first: 0, masses: vec![1.0], failing: 0.0, error: 0.0, releases: 1 }
    }

    /// A distribution of one release from losses and their probabilities, all
    /// between `least` and `most`; probabilities may be too small by the share `error`.
    fn placed(losses: impl Iterator<Item = (f64, f64)>, (least, most): (f64, f64), failing: f64, error: f64) -> Self {
        let width = width_for((most - least) * (1.0 + 4.0 * NUDGE));
        let cell = libm::ldexp(1.0, width);
        let place = |loss: f64| libm::floor(raised(loss) / cell) as i64;
        let (first, last) = (place(least), place(most) + 1);
        let mut masses = vec![0.0; usize::try_from(last - first + 1).unwrap_or(0)];
        for (loss, mass) in losses {
            let below = place(loss);
            let above_by = raised(loss) - below as f64 * cell;
            let up = (mass * (libm::expm1(-above_by) / libm::expm1(-cell)) * (1.0 + NUDGE)).min(mass);
            let index = usize::try_from(below - first).unwrap_or(0);
            if let Some([lower, upper]) = masses.get_mut(index..index + 2) {
                *lower += mass - up;
                *upper += up;
            }
        }
        Self { width, first, masses, failing, error: error + NUDGE, releases: 1 }.trimmed()
    }

    /// Losses and their probabilities, from the least loss on.
    fn cells(&self) -> impl DoubleEndedIterator<Item = (f64, f64)> + '_ {
        let cell = libm::ldexp(1.0, self.width);
        let at = move |index: usize| (self.first + index as i64) as f64 * cell;
        self.masses.iter().enumerate().map(move |(index, mass)| (at(index), *mass))
    }

    /// The largest finite loss.
    fn upper(&self) -> f64 {
        self.cells().next_back().map_or(0.0, |(loss, _)| loss)
    }

    /// Losses that are too rare to keep count as failing, or as the least that is kept.
    fn trimmed(mut self) -> Self {
        let (rare_above, above) = rare(self.masses.iter().rev());
        self.masses.truncate(self.masses.len() - rare_above);
        self.failing += above * (1.0 + self.error + NUDGE);
        let (rare_below, below) = rare(self.masses.iter());
        self.masses.drain(..rare_below);
        self.first += rare_below as i64;
        if let Some(least) = self.masses.first_mut() {
            *least += below;
        }
        self
    }

    /// On cells that are wide enough for there to be few of them.
    fn narrowed(mut self) -> Self {
        while self.masses.len() > CELLS_MAX {
            self = self.doubled();
        }
        self
    }

    /// On cells two to the `width` wide, which are not narrower than its own.
    fn widened(mut self, width: i32) -> Self {
        while self.width < width {
            self = self.doubled();
        }
        self
    }

    /// On cells twice as wide: a loss in the middle of a cell is split to its ends.
    fn doubled(self) -> Self {
        let cell = libm::ldexp(1.0, self.width);
        let up = (1.0 + NUDGE) / (1.0 + libm::exp(-cell));
        let first = self.first.div_euclid(2);
        let mut masses = vec![0.0; self.masses.len() / 2 + 2];
        let odd = self.first.rem_euclid(2) as usize;
        for (index, mass) in (odd..).zip(&self.masses) {
            let upper = if index % 2 == 1 { (mass * up).min(*mass) } else { 0.0 };
            if let Some([below, above]) = masses.get_mut(index / 2..index / 2 + 2) {
                *below += mass - upper;
                *above += upper;
            }
        }
        Self { width: self.width + 1, first, masses, error: self.error + 4.0 * ROUND_OFF, ..self }.trimmed()
    }
}

/// A loss that no round-off has lowered.
fn raised(loss: f64) -> f64 {
    loss + loss.abs() * NUDGE
}

/// The least power of two by which `range` is at most as wide as [`CELLS_MAX`] cells less two.
fn width_for(range: f64) -> i32 {
    let (share, exponent) = libm::frexp(range.max(f64::MIN_POSITIVE) / (CELLS_MAX - 2) as f64);
    if share > 0.5 { exponent } else { exponent - 1 }
}

/// How many of the first masses are together at most [`TAIL`], but for one mass that stays, and what they are.
fn rare<'a>(masses: impl ExactSizeIterator<Item = &'a f64>) -> (usize, f64) {
    let most = masses.len().saturating_sub(1);
    let (mut count, mut sum) = (0, 0.0);
    for mass in masses.take(most) {
        if sum + mass > TAIL {
            break;
        }
        sum += mass;
        count += 1;
    }
    (count, sum)
}

/// The probabilities of sums of losses. Takes as many multiplications as there are pairs, at most 2^24.
fn convolution(one: &[f64], other: &[f64]) -> Vec<f64> {
    let (few, many) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    let mut sums = vec![0.0; few.len() + many.len()];
    for (shift, share) in few.iter().enumerate() {
        let from_shift = sums.iter_mut().skip(shift);
        for (sum, mass) in from_shift.zip(many) {
            *sum += share * mass;
        }
    }
    sums.pop();
    sums
}
