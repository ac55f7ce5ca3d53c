//! Every aggregate, over declared and private keys, from rows to a verified receipt.
//!
//! Where noise matters, the loss is so large that it hardly ever shows, or the
//! test states how rarely correct noise fails it.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::num::NonZeroU64;
use std::sync::Arc;

use privet_dp::accountant::Budget;
use privet_dp::aggregate::{Aggregate, Clamp, Edges, PerMille, Quantiles};
use privet_dp::bound::{Admission, ContributionBounds};
use privet_dp::exact::Exact;
use privet_dp::fleet::Fleet;
use privet_dp::ledger::{Claim, Ledger, Spent};
use privet_dp::loss::{Loss, Measure};
use privet_dp::mechanism::{Cells, Mechanism, Noise, Noised, Of, Spec};
use privet_dp::query::{Column, KeyTable, Keys, PrivateColumn, PrivateKeys, Query, RowKey};
use privet_dp::receipt::{Facts, Receipt, verify};
use privet_dp::schedule::{Schedule, Tiling};
use privet_dp::window::{OpenWindow, Span};
use support::clopper_pearson;

const POLICY: [u8; 32] = [7; 32];
const MIN_UNITS: u32 = 3;

/// Noise at this loss is zero but once in 10^20 draws, at every sensitivity here.
const HUGE: u64 = 900_000_000_000_000;

fn share(written: &str) -> PerMille {
    PerMille::parse(written).unwrap()
}

fn aggregates() -> Vec<Aggregate> {
    let (clamp, edges) = (Clamp::new(-5, 60, 1).unwrap(), Edges::new(vec![0, 20, 40], 0).unwrap());
    vec![
        Aggregate::Count,
        Aggregate::Units,
        Aggregate::Sum(clamp),
        Aggregate::Mean(clamp),
        Aggregate::Histogram(edges.clone()),
        Aggregate::Quantiles(Quantiles::new(vec![share("0.5"), share("0.9")], edges).unwrap()),
        Aggregate::top(2).unwrap(),
    ]
}

fn declared() -> Keys {
    let column = Column { name: "section".to_owned(), values: ["apps", "games", "books"].map(str::to_owned).to_vec() };
    Keys::Declared(KeyTable::new(vec![column]).unwrap())
}

fn private(keys_max: u64) -> Keys {
    let column = PrivateColumn { name: "section".to_owned(), values: None };
    Keys::Private(PrivateKeys::new(vec![column], u64::from(MIN_UNITS), keys_max).unwrap())
}

fn query(aggregate: Aggregate, keys: Keys, noise: Noise, rows_per_key: u64) -> Query {
    let bounds = ContributionBounds::new(2, rows_per_key).unwrap();
    let delta = if matches!(keys, Keys::Private(_)) { 1000 } else { 0 };
    let loss = Loss::from_nano(noise.measure(), HUGE).unwrap().with_delta(delta);
    let min_units = matches!(keys, Keys::Private(_)).then_some(MIN_UNITS);
    let spec = Spec { min_units, canaries: 3, ..Spec::of(aggregate, bounds, noise, loss) };
    let length = Span::parse("1h").unwrap();
    Query {
        name: "q".to_owned(),
        unit: "userId".to_owned(),
        keys,
        admission: Admission::within_memory(1 << 24, bounds, &spec.aggregate),
        mechanism: Mechanism::calibrate(spec).unwrap(),
        ids_per_person: NonZeroU64::MIN,
        schedule: Schedule::new(Tiling::Tumbling(length)),
        fleet: Fleet::ONE_POD,
        budget: Budget { limit: loss, horizon: length },
        nonnegative: true,
    }
}

/// Twelve units: each with rows of 10, 30 and 50 in `apps`, half of them one of 25 in `games`, one of them one in `books`.
fn observe(open: &mut OpenWindow, declared: bool) {
    let names = ["apps", "games", "books"];
    let mut row = |unit: u8, key: usize, value: i64| {
        let name = [names[key]];
        let key = if declared { RowKey::At(key) } else { RowKey::Named(&name) };
        open.observe(&[unit], key, value, &POLICY);
    };
    for unit in 1..=12 {
        [10, 30, 50].into_iter().for_each(|value| row(unit, 0, value));
        if unit % 2 == 0 {
            row(unit, 1, 25);
        }
    }
    row(13, 2, 10);
}

/// The receipt of one window, through a ledger, verified.
fn receipt(query: Query) -> Receipt {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&directory.path().join("ledger.redb")).unwrap();
    let query = Arc::new(query);
    let window = query.schedule.tiling().window_at(0);
    let mut open = OpenWindow::open(Arc::clone(&query), window, POLICY, window.start(), 0).unwrap();
    observe(&mut open, matches!(query.keys, Keys::Declared(_)));
    let closed = open.close(window.end()).unwrap();
    let shard = ledger.shard(0);
    let claim = Claim::of(&query, &POLICY, window, shard).unwrap();
    let Spent::Paid(paid, charged) = ledger.spend(&claim).unwrap() else { panic!("reserved before") };
    let noised = query.mechanism.release(paid, closed.cells).unwrap();
    let prev_receipt = ledger.chain_head(&query.name).unwrap();
    let facts = Facts {
        query: &query,
        policy: &POLICY,
        window,
        circumstances: closed.circumstances,
        shard,
        charged,
        prev_receipt,
    };
    let receipt = Receipt::new(facts, &noised);
    let unsent = ledger.commit(noised, &receipt).unwrap();
    if let Err(findings) = verify(&[unsent.receipt]) {
        panic!("{findings:?} in {}", String::from_utf8(receipt.to_bytes()).unwrap());
    }
    receipt
}

/// The published rows as `key of value`.
fn rows(receipt: &Receipt) -> Vec<String> {
    receipt.values.iter().map(|row| format!("{} {} {}", row.key.join("|"), row.of, row.value)).collect()
}

#[test]
fn declared_keys_are_all_published() {
    for noise in [Noise::DiscreteLaplace, Noise::DiscreteGaussian] {
        for (aggregate, expected) in aggregates().into_iter().zip([
            vec!["apps count 36", "games count 6", "books count 1"],
            vec!["apps units 12", "games units 6", "books units 1"],
            vec!["apps sum 1080", "games sum 150", "books sum 10"],
            vec![
                "apps above_low 1260",
                "apps below_high 1080",
                "apps mean 30000",
                "games above_low 180",
                "games below_high 210",
                "games mean 25000",
                "books above_low 15",
                "books below_high 50",
                "books mean 10000",
            ],
            vec![
                "apps|<0 count 0",
                "apps|0..20 count 12",
                "apps|20..40 count 12",
                "apps|>=40 count 12",
                "games|<0 count 0",
                "games|0..20 count 0",
                "games|20..40 count 6",
                "games|>=40 count 0",
                "books|<0 count 0",
                "books|0..20 count 1",
                "books|20..40 count 0",
                "books|>=40 count 0",
            ],
            vec!["apps p50 20", "apps p90 40", "games p50 20", "games p90 40", "books p50 0", "books p90 20"],
            vec!["apps count 36", "games count 6"],
        ]) {
            let name = aggregate.name();
            let published = rows(&receipt(query(aggregate, declared(), noise, 3)));
            if name == "quantiles" {
                // Half of the rows of `apps` and none of `games` are between two candidates: either is right.
                assert_eq!(published.len(), expected.len());
                assert!(published.contains(&"apps p90 40".to_owned()), "{published:?}");
                continue;
            }
            assert_eq!(published, expected, "{name}");
        }
    }
}

#[test]
fn private_keys_are_published_from_enough_units_on() {
    for noise in [Noise::DiscreteLaplace, Noise::DiscreteGaussian] {
        for (aggregate, rows_per_key, expected) in [
            (Aggregate::Count, 1, vec!["apps count 12", "games count 6"]),
            (Aggregate::Count, 3, vec!["apps count 36", "games count 6"]),
            (Aggregate::Units, 1, vec!["apps units 12", "games units 6"]),
            (Aggregate::top(1).unwrap(), 3, vec!["apps count 36"]),
            (Aggregate::Sum(Clamp::new(0, 20, 0).unwrap()), 3, vec!["apps sum 600", "games sum 120"]),
        ] {
            let receipt = receipt(query(aggregate.clone(), private(100), noise, rows_per_key));
            assert_eq!(rows(&receipt), expected, "{aggregate:?} {rows_per_key}");
            assert!(receipt.stages[0].threshold.is_some());
        }
    }
}

#[test]
fn canaries_keep_their_truth_and_columns_below_zero_are_for_display() {
    let receipt = receipt(query(Aggregate::Count, declared(), Noise::DiscreteLaplace, 3));
    assert_eq!(receipt.canaries.len(), 3);
    assert!(receipt.canaries.iter().all(|canary| canary.value == canary.truth));
    assert!(receipt.values.iter().all(|row| row.value_nonneg == Some(row.value)));
}

/// Draws through the ledger on cells that the test brings.
fn released(mechanism: &Mechanism, keys: Keys, cells: Cells) -> Noised {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&directory.path().join("ledger.redb")).unwrap();
    let length = Span::parse("1h").unwrap();
    let query = Query {
        name: "q".to_owned(),
        unit: "userId".to_owned(),
        keys,
        admission: Admission::within_memory(1 << 20, mechanism.bounds(), mechanism.aggregate()),
        mechanism: mechanism.clone(),
        ids_per_person: NonZeroU64::MIN,
        schedule: Schedule::new(Tiling::Tumbling(length)),
        fleet: Fleet::ONE_POD,
        budget: Budget { limit: mechanism.loss(), horizon: length },
        nonnegative: false,
    };
    let window = query.schedule.tiling().window_at(0);
    let claim = Claim::of(&query, &POLICY, window, ledger.shard(0)).unwrap();
    let Spent::Paid(paid, _) = ledger.spend(&claim).unwrap() else { panic!("reserved before") };
    mechanism.release(paid, Exact::new(cells)).unwrap()
}

/// A key that one person has is published no more often than delta says, and
/// nearly as often: a threshold that is one too low or too high shows.
/// False alarm: 10^-6 for each of four.
#[test]
fn a_key_of_one_person_is_published_as_rarely_as_delta_says() {
    const KEYS: usize = 100_000;
    for (noise, written) in [(Noise::DiscreteLaplace, "1"), (Noise::DiscreteGaussian, "0.5")] {
        for min_units in [1_u32, 4] {
            let bounds = ContributionBounds::new(1, 1).unwrap();
            let loss = Loss::from_decimal(noise.measure(), written).unwrap().with_delta(10_000_000_000);
            let spec = Spec { min_units: Some(min_units), ..Spec::of(Aggregate::Count, bounds, noise, loss) };
            let mechanism = Mechanism::calibrate(spec).unwrap();
            let threshold = mechanism.stages()[0].threshold().unwrap();
            let exact = threshold.delta_pico(noise, mechanism.stages()[0].scale(), 1, NonZeroU64::MIN).unwrap();
            let mut cells = Cells::declared(1, Vec::new());
            // The most units at which a key is one person's to show.
            (0..KEYS).for_each(|key| cells.push(vec![key.to_string()], i64::from(min_units), &[i64::from(min_units)]));
            let published = released(&mechanism, private(KEYS as u64), cells).rows().len() as u64;
            let (low, high) = clopper_pearson(published, KEYS as u64, 5e-7);
            let exact = exact as f64 / 1e12;
            println!("{} min_units {min_units}: {published} of {KEYS} published, delta {exact:.6}", noise.name());
            assert!(low <= exact && exact <= high, "{low} {exact} {high}");
            assert!(exact <= 0.01);
        }
    }
}

/// Keys below `min_units` are never published, whatever the noise.
#[test]
fn keys_of_too_few_units_are_left_out_exactly() {
    let bounds = ContributionBounds::new(1, 1).unwrap();
    let loss = Loss::from_decimal(Measure::Pure, "0.01").unwrap().with_delta(400_000_000_000);
    let spec = Spec { min_units: Some(5), ..Spec::of(Aggregate::Count, bounds, Noise::DiscreteLaplace, loss) };
    let mechanism = Mechanism::calibrate(spec).unwrap();
    let mut cells = Cells::declared(1, Vec::new());
    (0..5000).for_each(|key| cells.push(vec![key.to_string()], i64::from(key % 10), &[0]));
    let noised = released(&mechanism, private(5000), cells);
    assert!(noised.names().len() > 500, "{}", noised.names().len());
    assert!(noised.names().iter().all(|name| name[0].parse::<u32>().unwrap() % 10 >= 5));
    assert!(noised.names().is_sorted());
}

/// The noisy choice errs as the exponential mechanism does: the probability of
/// each candidate follows from its score. False alarm: 10^-6 for each of two
/// candidates.
#[test]
fn quantiles_are_chosen_with_the_probability_of_their_scores() {
    const KEYS: usize = 40_000;
    let edges = Edges::new(vec![10, 20], 0).unwrap();
    let aggregate = Aggregate::Quantiles(Quantiles::new(vec![share("0.5")], edges).unwrap());
    let bounds = ContributionBounds::new(1, 1).unwrap();
    // Range 1000 at rho 0.5: scale 500 in thousandths of rows.
    let spec = Spec::of(aggregate, bounds, Noise::DiscreteGaussian, Loss::from_decimal(Measure::Zcdp, "0.5").unwrap());
    let mechanism = Mechanism::calibrate(spec).unwrap();
    let scale = mechanism.stages()[0].scale().as_f64();
    let column = Column { name: "k".to_owned(), values: (0..KEYS).map(|key| key.to_string()).collect() };
    let keys = Keys::Declared(KeyTable::new(vec![column]).unwrap());
    let cells = Cells::declared(3, (0..KEYS).flat_map(|_| [2, 1, 2]).collect());
    // Below 10 are 2 of 5, below 20 are 3 of 5: both are half a row off.
    let noised = released(&mechanism, keys.clone(), cells);
    let first = noised.rows().iter().filter(|row| row.value == 10).count() as u64;
    let (low, high) = clopper_pearson(first, KEYS as u64, 5e-7);
    assert!(low <= 0.5 && 0.5 <= high, "{first}");
    // Below 10 are 3 of 5, below 20 all: half a row and two and a half rows off.
    let cells = Cells::declared(3, (0..KEYS).flat_map(|_| [3, 2, 0]).collect());
    let noised = released(&mechanism, keys, cells);
    assert!(noised.rows().iter().all(|row| matches!(row.of, Of::Quantile(_))));
    let first = noised.rows().iter().filter(|row| row.value == 10).count() as u64;
    let expected = 1.0 / (1.0 + (-2000.0 / scale).exp());
    let (low, high) = clopper_pearson(first, KEYS as u64, 5e-7);
    println!("chosen {first} of {KEYS}, expected {expected:.4}");
    assert!(low <= expected && expected <= high, "{low} {expected} {high}");
}

/// The keys with the most rows are chosen with noise, too. Of keys that have all
/// the same, half of the chosen are among the first half; where one half has a row
/// more, each of its keys is chosen more often by the factor that the scale says
/// (Gumbel noise: sampling in proportion to `e^(score / scale)`; taking out a
/// fortieth of the keys changes shares by less than a hundredth).
/// False alarm: 10^-6 for each of three.
#[test]
fn top_keys_are_chosen_with_the_probability_of_their_scores() {
    const KEYS: usize = 40_000;
    const CHOSEN: u64 = 1_000;
    for (noise, written, more, tolerance) in [
        (Noise::DiscreteGaussian, "120", 0, 0.0),
        (Noise::DiscreteLaplace, "120", 0, 0.0),
        (Noise::DiscreteGaussian, "120", 1, 0.01),
    ] {
        let loss = Loss::from_decimal(noise.measure(), written).unwrap();
        let spec = Spec::of(Aggregate::top(CHOSEN).unwrap(), ContributionBounds::new(1, 1).unwrap(), noise, loss);
        let mechanism = Mechanism::calibrate(spec).unwrap();
        let scale = mechanism.stages()[0].scale().as_f64();
        let column = Column { name: "k".to_owned(), values: (0..KEYS).map(|key| key.to_string()).collect() };
        let keys = Keys::Declared(KeyTable::new(vec![column]).unwrap());
        let scores = (0..KEYS).map(|key| if key < KEYS / 2 { 100 + more } else { 100 }).collect();
        let noised = released(&mechanism, keys, Cells::declared(1, scores));
        let first = noised.rows().iter().filter(|row| row.key < KEYS / 2).count() as u64;
        assert_eq!(noised.rows().len() as u64, CHOSEN);
        let expected = 1.0 / (1.0 + (-(more as f64) / scale).exp());
        let (low, high) = clopper_pearson(first, CHOSEN, 5e-7);
        println!("{} {more} more: {first} of {CHOSEN} from the first half, expected {expected:.3}", noise.name());
        assert!(low - tolerance <= expected && expected <= high + tolerance, "{low} {expected} {high}");
    }
}
