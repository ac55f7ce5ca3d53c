//! What exports cost a request: privet with three of them beside privet without.
//!
//! Both are the same binary under the same policy but for the exports, and serve the same
//! requests at the same rate in turn, the order changing from round to round. Every
//! ratio is of two measurements next to each other; what is said of it is its mean over the
//! rounds, and the interval that holds 95 of 100 means of rounds drawn again from
//! these (bootstrap, seeded).

use std::path::Path;
use std::time::Duration;

use super::client::Load;
use super::process::{Part, Seat, can_pin, run};
use super::rounds::privet;
use super::{Failed, while_doing};
use crate::{cpu, policy};

/// The most by which exports may lengthen the 99th percentile of requests.
const P99_RATIO_MAX: f64 = 1.01;

/// How much is measured.
#[derive(Clone, Debug)]
pub struct Beside {
    /// Of one measurement.
    pub length: Duration,
    /// How often both are measured.
    pub rounds: usize,
    /// Events in a request.
    pub batch: usize,
    /// Requests in a second.
    pub rate: u64,
    /// Connections that they come by.
    pub connections: usize,
}

impl Default for Beside {
    fn default() -> Self {
        Self { length: Duration::from_secs(3), rounds: 40, batch: 1, rate: 1000, connections: 16 }
    }
}

/// A figure of a measurement.
type Figure = fn(&Measured) -> f64;

/// What one measurement came to.
struct Measured {
    p50_us: f64,
    p99_us: f64,
    cpu_us: f64,
}

/// Measures, prints; says whether the ratio of the 99th percentiles may be below its bound.
pub(super) fn measure(scope: &Beside, directory: &Path) -> Result<bool, Failed> {
    let work = tempfile::tempdir_in(directory).map_err(while_doing("cannot make a directory"))?;
    let pinned = can_pin();
    let upstream = Part::start(&["upstream"], Seat::Around, pinned)?;
    let without = privet(&work.path().join("without"), "lease", upstream.address, pinned)?;
    let place = work.path().join("with");
    policy::write_exports(&place.join("lease").join("policies")).map_err(while_doing("cannot write the exports"))?;
    let with = privet(&place, "lease", upstream.address, pinned)?;
    let rig = Rig { scope, pinned };
    for target in [&without, &with] {
        rig.sample(target, 0)?;
    }
    let mut rounds = Vec::new();
    for round in 0..scope.rounds {
        let first = (round as u64 + 1) * scope.rate * scope.length.as_secs().max(1) * scope.batch as u64;
        let pair = if round % 2 == 0 {
            let before = rig.sample(&without, first)?;
            (before, rig.sample(&with, first)?)
        } else {
            let after = rig.sample(&with, first)?;
            (rig.sample(&without, first)?, after)
        };
        rounds.push(pair);
    }
    Ok(tell(scope, pinned, &rounds))
}

struct Rig<'a> {
    scope: &'a Beside,
    pinned: bool,
}

impl Rig<'_> {
    fn sample(&self, target: &Part, first: u64) -> Result<Measured, Failed> {
        let used = || cpu::of_process(target.pid()).map_err(while_doing("a proxy is gone"));
        let begun = used()?;
        let load = self.load(target, first)?;
        let events = load.requests as f64 * self.scope.batch as f64;
        let cpu_us = used()?.saturating_sub(begun).as_secs_f64() * 1e6 / events;
        Ok(Measured { p50_us: load.p50_us, p99_us: load.p99_us, cpu_us })
    }

    fn load(&self, target: &Part, first: u64) -> Result<Load, Failed> {
        let role = [
            "paced".to_owned(),
            target.address.to_string(),
            self.scope.batch.to_string(),
            self.scope.connections.to_string(),
            self.scope.length.as_millis().to_string(),
            self.scope.rate.to_string(),
            first.to_string(),
        ];
        let said = run(&role.each_ref().map(String::as_str), Seat::Around, self.pinned)?;
        let load: Load =
            serde_json::from_str(&said).map_err(|_| Failed::Unexpected("the client ended early".to_owned()))?;
        if load.errors > 0 || load.requests == 0 {
            return Err(Failed::Unexpected(format!("{} errors, {} answers", load.errors, load.requests)));
        }
        Ok(load)
    }
}

/// Prints the table. `false` where the ratio of the 99th percentiles is above its bound with all of its interval.
fn tell(scope: &Beside, pinned: bool, rounds: &[(Measured, Measured)]) -> bool {
    let seats = if pinned { "proxies on one processor, client and upstream on another" } else { "not pinned" };
    println!(
        "{} rounds of {} s each, {} requests a second of {} events, {seats}\n\n\
         | | without exports | with three | ratio | 95 % of means |\n|---|---|---|---|---|",
        scope.rounds,
        scope.length.as_secs_f64(),
        scope.rate,
        scope.batch
    );
    let figures: [(&str, Figure); 3] =
        [("p50 us", |one| one.p50_us), ("p99 us", |one| one.p99_us), ("CPU us/event", |one| one.cpu_us)];
    let mut holds = true;
    for (name, of) in figures {
        let ratios: Vec<f64> = rounds.iter().map(|(without, with)| of(with) / of(without)).collect();
        let [low, high] = interval(&ratios);
        println!(
            "| {name} | {:.2} | {:.2} | {:.4} | {low:.4} to {high:.4} |",
            median(rounds.iter().map(|(without, _)| of(without)).collect()),
            median(rounds.iter().map(|(_, with)| of(with)).collect()),
            mean(&ratios)
        );
        holds &= name != "p99 us" || low <= P99_RATIO_MAX;
    }
    holds
}

/// Of ratios: that of a and b is the inverse of that of b and a.
fn mean(ratios: &[f64]) -> f64 {
    (ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64).exp()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// What the mean of as many ratios drawn from these is within, 95 times in 100.
fn interval(ratios: &[f64]) -> [f64; 2] {
    const DRAWS: usize = 10_000;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |most: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % most.max(1)
    };
    let mut means: Vec<f64> = (0..DRAWS)
        .map(|_| mean(&ratios.iter().filter_map(|_| ratios.get(below(ratios.len())).copied()).collect::<Vec<_>>()))
        .collect();
    means.sort_by(f64::total_cmp);
    [DRAWS * 25 / 1000, DRAWS * 975 / 1000].map(|place| means.get(place).copied().unwrap_or(f64::NAN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_a_mean_holds_it_and_narrows_with_more_rounds() {
        let few: Vec<f64> = (0..10).map(|round| if round % 2 == 0 { 0.9 } else { 1.1 }).collect();
        let many = few.repeat(100);
        let ([low, high], [nearer_low, nearer_high]) = (interval(&few), interval(&many));
        assert!(low < nearer_low && nearer_low < mean(&few) && mean(&few) < nearer_high && nearer_high < high);
        assert!((mean(&[0.5, 2.0]) - 1.0).abs() < 1e-12);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
    }
}
