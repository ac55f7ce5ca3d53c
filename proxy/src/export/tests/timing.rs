//! What the time of a release tells about its noise.
//!
//! Samplers take the longer the larger the noise is that they draw (Jin et al.,
//! arXiv:2112.05307). Here the code of the noise thread releases window after
//! window: it takes what is due, pays, draws, commits, waits for its slot and
//! publishes. Its pace is faster than the real one, so that a draw has less time to
//! hide in. What an observer of the published files sees of it is the time from
//! the end of a window until its file is there.

use privet_policy::export::Measure;

use super::super::observe::{Generation, Surroundings};
use super::super::pace::Pace;
use super::super::ring;
use super::*;

const HOUR: i64 = 3600;

/// Releases of so many declared keys.
struct Observed {
    bench: Bench,
    releaser: Releaser,
    hour: i64,
}

/// One release: how long it took to be there, in nanoseconds, and its noise.
struct Seen {
    took: f64,
    noise: f64,
    magnitude: f64,
}

impl Observed {
    fn at_pace(pace: Pace, keys: usize) -> Self {
        let bench = Bench::of(&counted(keys), NOON);
        let settings = bench.settings();
        let log: Arc<dyn DpEvidence> = Arc::clone(&bench.log) as _;
        let clock: Arc<dyn Clock> = Arc::clone(&bench.clock) as _;
        fs::create_dir_all(&settings.output).unwrap();
        let now = clock.now();
        let around = Surroundings {
            ring: None,
            ring_age: ring::age(&settings.output, None, now).unwrap(),
            sheds: Arc::default(),
        };
        let generation = Generation::open(&bench.plans, POLICY, &around, now).unwrap();
        let generation = ArcSwap::from_pointee(generation);
        let shared = Arc::new(Shared { clock: Arc::clone(&clock), generation, around, draining: Mutex::default() });
        let ledger = Arc::new(Ledger::open(&settings.ledger).unwrap());
        let publisher = Publisher::new(Arc::clone(&ledger), Arc::clone(&log), &settings, clock).unwrap();
        let releaser = Releaser::new(shared, ledger, publisher, &settings, log).at_pace(pace);
        Self { bench, releaser, hour: 0 }
    }

    /// The next hour ends; nobody was counted in it, so that what is published is noise.
    fn next(&mut self) -> Seen {
        self.hour += 1;
        self.bench.clock.set(NOON + self.hour * HOUR);
        let over = Instant::now();
        let outcomes = self.releaser.release_all(None);
        let took = over.elapsed().as_nanos() as f64;
        let [Outcome { result: Ok(published), .. }] = &outcomes[..] else { panic!("{outcomes:?}") };
        let noise: Vec<f64> = values(&published.path).into_iter().map(|value| value as f64).collect();
        fs::remove_file(&published.path).unwrap();
        Seen { took, noise: noise.iter().sum(), magnitude: noise.iter().map(|noise| noise.abs()).sum() }
    }

    fn run(mut self, releases: usize) -> Vec<Seen> {
        // The first ones find caches cold.
        (0..20).for_each(|_| drop(self.next()));
        (0..releases).map(|_| self.next()).collect()
    }
}

/// Counts over keys of which nobody has any.
fn counted(keys: usize) -> Export {
    let mut export = export("1h");
    export.keys[0].values = KeyValues::Declared((0..keys).map(|key| key.to_string()).collect());
    export.bounds.keys_per_unit = Spanned::new(1, Span::default());
    export.horizon.value = "2h".to_owned();
    export.canaries = Spanned::new(0, Span::default());
    let text = |value: &str| Spanned::new(value.to_owned(), Span::default());
    export.measure =
        Measure { noise: Some(text("discrete_laplace")), epsilon: Some(text("1")), ..Measure::named(text("count")) };
    export
}

/// Pearson's correlation.
fn correlation(seen: &[Seen], of: impl Fn(&Seen) -> f64) -> f64 {
    let count = seen.len() as f64;
    let (mean_took, mean_of) =
        (seen.iter().map(|seen| seen.took).sum::<f64>() / count, seen.iter().map(&of).sum::<f64>() / count);
    let sum = |product: &dyn Fn(f64, f64) -> f64| -> f64 {
        seen.iter().map(|seen| product(seen.took - mean_took, of(seen) - mean_of)).sum()
    };
    sum(&|took, of| took * of) / (sum(&|took, _| took * took) * sum(&|_, of| of * of)).sqrt()
}

#[test]
#[ignore = "experiment"]
fn experiment() {
    for (keys, faster, releases) in [(1, 50, 2000), (1, 0, 2000), (100, 40, 1000), (100, 0, 1000), (1000, 20, 300), (1000,0,300)] {
        let pace = if faster == 0 { Pace::NONE } else { Pace::REAL.faster(faster) };
        let started = Instant::now();
        let seen = Observed::at_pace(pace, keys).run(releases);
        let mut took: Vec<f64> = seen.iter().map(|s| s.took / 1000.0).collect();
        took.sort_by(f64::total_cmp);
        println!("{keys} keys x{faster}: |noise| {:.4}, noise {:.4}; took p1 {:.0} p50 {:.0} p99 {:.0} max {:.0} us; {:?}", correlation(&seen, |s| s.magnitude), correlation(&seen, |s| s.noise),
            took[took.len()/100], took[took.len()/2], took[took.len()*99/100], took[took.len()-1], started.elapsed());
    }
}
