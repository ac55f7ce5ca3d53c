//! What the statistical tests share: paid draws, exact tails, exact intervals.
#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::num::NonZeroU64;

use privet_dp::accountant::Budget;
use privet_dp::accuracy::{Misses, half_width};
use privet_dp::aggregate::Aggregate;
use privet_dp::bound::{Admission, ContributionBounds};
use privet_dp::exact::Exact;
use privet_dp::fleet::Fleet;
use privet_dp::ledger::{Claim, Ledger, Spent};
use privet_dp::loss::Loss;
use privet_dp::mechanism::{Cells, Mechanism, Noise, Noised, Scale, Spec, Stage};
use privet_dp::query::{KeyTable, Keys, Query};
use privet_dp::schedule::{Schedule, Tiling};
use privet_dp::window::{Span, Window};

/// A row of the audit's table: what, measured, to reach, met. Fails where it is not met.
#[allow(clippy::print_stdout)]
pub fn row(what: &str, measured: &str, to_reach: &str, met: bool) {
    println!("| {what} | {measured} | {to_reach} | {} |", if met { "yes" } else { "NO" });
    assert!(met, "{what}: {measured}, to reach: {to_reach}");
}

pub fn mechanism(noise: Noise, l0: u64, linf: u64, loss: &str) -> Mechanism {
    let bounds = ContributionBounds::new(l0, linf).unwrap();
    count(noise, bounds, Loss::from_decimal(noise.measure(), loss).unwrap())
}

/// A count over declared keys.
pub fn count(noise: Noise, bounds: ContributionBounds, loss: Loss) -> Mechanism {
    Mechanism::calibrate(Spec::of(Aggregate::Count, bounds, noise, loss)).unwrap()
}

/// The distribution of a mechanism of one stage, and its scale.
pub fn law(mechanism: &Mechanism) -> (Noise, Scale) {
    let stage = mechanism.stages()[0];
    (stage.noise(), stage.scale())
}

/// How far its intervals reach.
pub fn half_width_95(mechanism: &Mechanism) -> u64 {
    let (noise, scale) = law(mechanism);
    half_width(noise, scale, Misses::OneInTwenty).unwrap()
}

/// Draws through the front door: a ledger, a payment, one release of many cells.
pub fn release(mechanism: &Mechanism, counts: Vec<i64>) -> Vec<i64> {
    released(mechanism, counts).rows().iter().map(|row| row.value).collect()
}

/// The same with all that comes out; `cells` has as many for a key as the aggregate.
pub fn released(mechanism: &Mechanism, cells: Vec<i64>) -> Noised {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&directory.path().join("ledger.redb")).unwrap();
    let length = Span::parse("1h").unwrap();
    let query = Query {
        name: "audit".to_owned(),
        unit: "userId".to_owned(),
        keys: Keys::Declared(KeyTable::new(vec![]).unwrap()),
        admission: Admission::within_memory(1 << 20, mechanism.bounds(), mechanism.aggregate()),
        mechanism: mechanism.clone(),
        ids_per_person: NonZeroU64::MIN,
        schedule: Schedule::new(Tiling::Tumbling(length)),
        fleet: Fleet::ONE_POD,
        budget: Budget { limit: mechanism.loss(), horizon: length },
        nonnegative: false,
    };
    let claim = Claim::of(&query, &[0; 32], Window::at(0, length), ledger.shard(0)).unwrap();
    let Spent::Paid(paid, _) = ledger.spend(&claim).unwrap() else { panic!("reserved before") };
    mechanism.release(paid, Exact::new(Cells::declared(mechanism.aggregate().cells(), cells))).unwrap()
}

/// The noise itself: counts far from where they are clamped, taken off again.
pub fn noise(mechanism: &Mechanism, draws: usize) -> Vec<i64> {
    const COUNT: i64 = 1 << 40;
    release(mechanism, vec![COUNT; draws]).into_iter().map(|value| value - COUNT).collect()
}

/// `P(noise = k)`, by definition.
pub struct Pmf {
    noise: Noise,
    scale: f64,
    total: f64,
}

impl Pmf {
    pub fn of(mechanism: &Mechanism) -> Self {
        Self::of_stage(&mechanism.stages()[0])
    }

    pub fn of_stage(stage: &Stage) -> Self {
        let (noise, scale) = (stage.noise(), stage.scale().as_f64());
        let mut pmf = Self { noise, scale, total: 1.0 };
        pmf.total = 1.0 + 2.0 * (1..(60.0 * scale) as i64 + 60).rev().map(|k| pmf.weight(k)).sum::<f64>();
        pmf
    }

    fn weight(&self, k: i64) -> f64 {
        let k = k as f64;
        match self.noise {
            Noise::DiscreteLaplace => (-k.abs() / self.scale).exp(),
            Noise::DiscreteGaussian => (-k * k / (2.0 * self.scale * self.scale)).exp(),
            Noise::Exponential | Noise::Gumbel => panic!("noise on scores has no mass on counts"),
        }
    }

    pub fn at(&self, k: i64) -> f64 {
        self.weight(k) / self.total
    }

    pub fn within(&self, half_width: u64) -> f64 {
        let half_width = half_width as i64;
        (-half_width..=half_width).map(|k| self.at(k)).sum()
    }

    /// `P(noise >= k)`.
    pub fn from(&self, k: i64) -> f64 {
        (k..k.max(0) + (60.0 * self.scale) as i64 + 60).rev().map(|k| self.at(k)).sum()
    }
}

/// Pearson's statistic over cells of at least `expected_min` draws, and its degrees of freedom.
pub fn chi_square(draws: &[i64], pmf: &Pmf, expected_min: f64) -> (f64, f64) {
    let count = draws.len() as f64;
    let far = draws.iter().map(|draw| draw.abs()).max().unwrap();
    let mut seen = vec![0_u64; 2 * far as usize + 1];
    draws.iter().for_each(|draw| seen[(draw + far) as usize] += 1);
    let (mut statistic, mut cells) = (0.0, 0.0);
    let (mut expected, mut observed) = (count * pmf.from(far + 1), 0.0);
    for (k, seen) in (-far..=far).zip(&seen) {
        expected += count * pmf.at(k);
        observed += *seen as f64;
        if expected >= expected_min {
            statistic += (observed - expected).powi(2) / expected;
            cells += 1.0;
            (expected, observed) = (0.0, 0.0);
        }
    }
    expected += count * pmf.from(far + 1);
    if expected > 0.0 {
        statistic += (observed - expected).powi(2) / expected.max(1.0);
        cells += 1.0;
    }
    (statistic, cells - 1.0)
}

/// The value that a chi-square statistic passes with a probability of 10^-6
/// (Wilson and Hilferty; within a percent for ten degrees of freedom or more).
pub fn chi_square_limit(freedom: f64) -> f64 {
    let spread = 2.0 / (9.0 * freedom);
    freedom * (1.0 - spread + 4.753 * spread.sqrt()).powi(3)
}

/// The Clopper-Pearson bounds of a proportion: each is passed with a probability of at most `alarm`.
pub fn clopper_pearson(successes: u64, trials: u64, alarm: f64) -> (f64, f64) {
    let (k, n) = (successes as f64, trials as f64);
    let low = if successes == 0 { 0.0 } else { bisect(|p| beta_cdf(p, k, n - k + 1.0) < alarm) };
    let high = if successes == trials { 1.0 } else { bisect(|p| beta_cdf(p, k + 1.0, n - k) < 1.0 - alarm) };
    (low, high)
}

/// The point of [0, 1] up to which `below` holds.
fn bisect(below: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if below(middle) { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

/// The regularized incomplete beta function, by its continued fraction.
pub fn beta_cdf(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - beta_cdf(1.0 - x, b, a);
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (1.0 - x).ln()).exp() / a;
    let tiny = 1e-300;
    let (mut c, mut d) = (1.0, 1.0 / (1.0 - (a + b) * x / (a + 1.0)).abs().max(tiny));
    let mut fraction = d;
    for step in 1..2000 {
        let m = f64::from(step);
        for term in [
            m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0)),
        ] {
            d = 1.0 / guard(1.0 + term * d, tiny);
            c = guard(1.0 + term / c, tiny);
            fraction *= c * d;
        }
        if (c * d - 1.0).abs() < 1e-15 {
            break;
        }
    }
    front * fraction
}

fn guard(value: f64, tiny: f64) -> f64 {
    if value.abs() < tiny { tiny } else { value }
}

/// Stirling's series after shifting the argument beyond ten.
fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut shift) = (x, 0.0);
    while x < 10.0 {
        shift += x.ln();
        x += 1.0;
    }
    let inverse = 1.0 / (x * x);
    let series = (1.0 / 12.0 - inverse * (1.0 / 360.0 - inverse * (1.0 / 1260.0 - inverse / 1680.0))) / x;
    (x - 0.5) * x.ln() - x + 0.918_938_533_204_672_8 + series - shift
}
