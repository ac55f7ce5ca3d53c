//! What the time of a release tells about its noise.
//!
//! Samplers take the longer the larger the noise is that they draw (Jin et al.,
//! arXiv:2112.05307). Here the code of the noise thread releases window after
//! window: it takes what is due, pays, draws, commits, waits for its slot and
//! publishes. Its pace is faster than the real one, so that a draw has less time to
//! hide in. What an observer of the published files sees of it is the time from
//! the end of a window until its file is there.

use privet_dp::ledger::{Claim, Spent};
use privet_policy::export::Measure;

use super::super::pace::Pace;
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
        let mut bench = Bench::of(&counted(keys), NOON);
        // The files in memory, where there is such a place: a disk's own times would hide those of draws.
        if let Ok(directory) = tempfile::tempdir_in("/dev/shm") {
            bench.directory = directory;
        }
        let releaser = bench.releaser(&Arc::new(Ledger::open(&bench.settings().ledger).unwrap())).at_pace(pace);
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
        for _ in 0..20 {
            self.next();
        }
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

/// The ranks of numbers, so that a machine that was busy elsewhere for a while counts no more than others.
fn ranks(numbers: impl Iterator<Item = f64>) -> Vec<f64> {
    let numbers: Vec<f64> = numbers.collect();
    let mut order: Vec<usize> = (0..numbers.len()).collect();
    order.sort_by(|one, other| numbers[*one].total_cmp(&numbers[*other]));
    let mut ranks = vec![0.0; numbers.len()];
    let mut first = 0;
    while first < order.len() {
        let ties = order[first..].iter().take_while(|at| numbers[**at] == numbers[order[first]]).count();
        order[first..first + ties].iter().for_each(|at| ranks[*at] = first as f64 + (ties - 1) as f64 / 2.0);
        first += ties;
    }
    ranks
}

/// Spearman's correlation: Pearson's of the ranks.
fn rank_correlation(seen: &[Seen], of: impl Fn(&Seen) -> f64) -> f64 {
    let (took, of) = (ranks(seen.iter().map(|seen| seen.took)), ranks(seen.iter().map(of)));
    let ranked: Vec<Seen> =
        took.into_iter().zip(of).map(|(took, rank)| Seen { took, noise: rank, magnitude: rank }).collect();
    correlation(&ranked, |seen| seen.noise)
}

/// What the times of so many releases of one key tell of its noise: the
/// correlation with how large it is, with its sign, and of the ranks.
fn told(pace: Pace, releases: usize) -> [f64; 3] {
    let seen = Observed::at_pace(pace, 1).run(releases);
    let mut took: Vec<u64> = seen.iter().map(|seen| (seen.took / 1000.0) as u64).collect();
    took.sort_unstable();
    let [median, most] = [took[took.len() / 2], took[took.len() - 1]];
    let told = [
        correlation(&seen, |seen| seen.magnitude),
        correlation(&seen, |seen| seen.noise),
        rank_correlation(&seen, |seen| seen.magnitude),
    ];
    println!("{releases} releases at {pace:?}, there after {median} us, at most {most}: {told:.4?}");
    told
}

/// With slots, 50 times as fast as the real ones. False alarm: five standard
/// errors of a correlation, `1 / sqrt(2000)` each: 6 * 10^-7 for each of three.
#[test]
fn the_time_of_a_release_tells_nothing_of_its_noise() {
    let told = told(Pace::REAL.faster(50), 2_000);
    assert!(told.iter().all(|told| told.abs() <= 5.0 / 2_000_f64.sqrt()), "{told:?}");
}

/// What slots have to hide, and that such correlations show it: the times of
/// draws alone. They have been seen at 0.66, and at 0.16 on a machine with much else to do. None at all would pass five standard
/// errors once in three million times.
#[test]
fn the_time_of_a_draw_tells_how_large_its_noise_is() {
    const DRAWS: i64 = 2_000;
    let bench = Bench::of(&counted(1), NOON);
    let ledger = Ledger::open(&bench.settings().ledger).unwrap();
    let query = &bench.plans.exports[0].query;
    let draw = |hour: i64| {
        let window = query.schedule.tiling().window_at(NOON + hour * HOUR);
        let claim = Claim::of(query, &POLICY, window, ledger.shard(0)).unwrap();
        let Spent::Paid(paid, _) = ledger.spend(&claim).unwrap() else { panic!("reserved before") };
        let begun = Instant::now();
        let noised = query.mechanism.release(paid, Exact::new(Cells::declared(1, vec![0]))).unwrap();
        let took = begun.elapsed().as_nanos() as f64;
        let noise = noised.rows()[0].value as f64;
        Seen { took, noise, magnitude: noise.abs() }
    };
    let seen: Vec<Seen> = (0..DRAWS).map(draw).collect();
    let (told, sign) = (rank_correlation(&seen, |seen| seen.magnitude), rank_correlation(&seen, |seen| seen.noise));
    println!("{DRAWS} draws alone: {told:.4} of their magnitude, {sign:.4} of their sign");
    assert!(told >= 5.0 / (DRAWS as f64).sqrt(), "{told}");
}

/// A release every 2.5 ms, where the real ones take a slot of 100 ms. By the
/// plan's bound: a correlation of 10^5 that are independent passes 0.01 once in
/// 640 times, for each of three.
#[test]
#[ignore = "long: tools/dp-audit runs it"]
fn a_hundred_thousand_release_times_tell_nothing_of_their_noise() {
    let [magnitude, sign, ranks] = told(Pace::REAL.faster(40), 100_000);
    for (what, told) in
        [("how large its noise is", magnitude), ("its sign", sign), ("how large its noise is, by ranks", ranks)]
    {
        let met = if told.abs() <= 0.01 { "yes" } else { "NO" };
        println!("| time of a release beside {what}, 10^5 releases | correlation {told:.4} | at most 0.01 | {met} |");
    }
    assert!([magnitude, sign, ranks].iter().all(|told| told.abs() <= 0.01), "{magnitude} {sign} {ranks}");
}

/// The same without slots: the draw shows, even through the times of the ledger. 0.044 has been seen; a
/// correlation of none passes 0.02 once in 430 times.
#[test]
#[ignore = "long: tools/dp-audit runs it"]
fn release_times_without_slots() {
    let [magnitude, _, ranks] = told(Pace::NONE, 20_000);
    println!(
        "| the same without slots, 2 * 10^4 releases | correlation {magnitude:.4}, by ranks {ranks:.4} | by ranks above 0.02 | {} |",
        if ranks > 0.02 { "yes" } else { "NO" }
    );
    assert!(ranks > 0.02, "{ranks}");
}
