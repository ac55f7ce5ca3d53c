//! The tally beside a naive model: the plain list of what each unit did.
//!
//! Every case draws bounds, an aggregate, keys, an admission and a sequence of
//! rows and withdrawals. The model keeps each unit's rows as they came and looks
//! through all of them for every question; the tally must hold the same cells.
//! Then one unit is left out, and no part of a release may move by more than the
//! sensitivity that its noise is calibrated to.
//!
//! Cases are numbered and follow from their number alone, but for the lots of
//! admission, which the model asks the tally for. Nothing here can fail by chance.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

use super::*;
use crate::aggregate::{Clamp, Edges, PerMille, Quantiles, VALUE_MAX};
use crate::bound::{Admission, ContributionBounds};
use crate::loss::{Loss, Measure};
use crate::mechanism::{Mechanism, Noise, Part, Spec};
use crate::query::tests::query;
use crate::query::{Column, KeyTable, PrivateColumn, PrivateKeys};

/// Steele, Lea and Flood 2014.
pub(crate) struct SplitMix(pub(crate) u64);

impl SplitMix {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// Mostly small, sometimes as far as it goes.
    fn value(&mut self) -> i64 {
        match self.below(8) {
            0 => [i64::MIN, i64::MAX, VALUE_MAX, -VALUE_MAX, 0][self.below(5) as usize],
            1 => self.next() as i64,
            _ => self.below(41) as i64 - 20,
        }
    }
}

/// Units 1 and on have a name; unit 0 has none.
const UNITS: u64 = 6;
const KEYS: u64 = 6;

#[derive(Clone, Copy, Debug)]
enum Step {
    Row { unit: u64, key: u64, value: i64 },
    Withdrawal { unit: u64 },
}

impl Step {
    const fn unit(self) -> u64 {
        match self {
            Self::Row { unit, .. } | Self::Withdrawal { unit } => unit,
        }
    }
}

fn identifier(unit: u64) -> Vec<u8> {
    if unit == 0 { Vec::new() } else { format!("u-{unit}").into_bytes() }
}

fn aggregate(random: &mut SplitMix) -> Aggregate {
    let edges = |random: &mut SplitMix| {
        let at: BTreeSet<i64> = (0..=random.below(4)).map(|_| random.below(31) as i64 - 15).collect();
        Edges::new(at.into_iter().collect(), 0).unwrap()
    };
    let clamp = |random: &mut SplitMix| {
        let far = if random.one_in(6) { VALUE_MAX } else { 12 };
        let mut ends = || (random.next() % (2 * far as u64 + 1)) as i64 - far;
        let (one, other) = (ends(), ends());
        Clamp::new(one.min(other), one.max(other), 0).unwrap_or(Clamp::new(-3, 9, 0).unwrap())
    };
    match random.below(7) {
        0 => Aggregate::Count,
        1 => Aggregate::Units,
        2 => Aggregate::Sum(clamp(random)),
        3 => Aggregate::Mean(clamp(random)),
        4 => Aggregate::Histogram(edges(random)),
        5 => {
            let shares: BTreeSet<PerMille> = (0..=random.below(2))
                .map(|_| PerMille::parse(&format!("0.{:03}", 1 + random.below(999))).unwrap())
                .collect();
            Aggregate::Quantiles(Quantiles::new(shares.into_iter().collect(), edges(random)).unwrap())
        }
        _ => Aggregate::top(1 + random.below(4)).unwrap(),
    }
}

fn keys(random: &mut SplitMix) -> Keys {
    if random.one_in(2) {
        let values = (0..=random.below(KEYS)).map(|key| key.to_string()).collect();
        return Keys::Declared(KeyTable::new(vec![Column { name: "k".to_owned(), values }]).unwrap());
    }
    let column = PrivateColumn { name: "k".to_owned(), values: None };
    let keys_max = if random.one_in(4) { 1 + random.below(KEYS) } else { 100 };
    Keys::Private(PrivateKeys::new(vec![column], 1, keys_max).unwrap())
}

/// A query, and what came to be counted by it.
struct Case {
    query: Arc<Query>,
    steps: Vec<Step>,
}

impl Case {
    fn numbered(number: u64) -> Self {
        let random = &mut SplitMix(number);
        let bounds = ContributionBounds::new(1 + random.below(4), 1 + random.below(4)).unwrap();
        let bounds = bounds.with_rows_per_unit(random.below(16)).unwrap_or(bounds);
        let (aggregate, keys) = (aggregate(random), keys(random));
        let loss = Loss::from_decimal(Measure::Pure, "1000").unwrap();
        let (min_units, loss) = match keys {
            Keys::Declared(_) => (None, loss),
            Keys::Private(_) => (Some(1), loss.with_delta(1_000_000)),
        };
        let spec = Spec { min_units, ..Spec::of(aggregate, bounds, Noise::DiscreteLaplace, loss) };
        let mechanism = Mechanism::calibrate(spec).unwrap();
        let units_max = if random.one_in(4) { 1 + random.below(UNITS) } else { 1000 };
        let lot_max = if random.one_in(4) { random.next() } else { u64::MAX };
        let admission = Admission { lot_max, units_max: NonZeroU64::new(units_max).unwrap() };
        let query = Query { mechanism, admission, keys, ..query("q", 1, 1) };
        let steps = (0..random.below(40)).map(|_| match random.below(12) {
            0 => Step::Withdrawal { unit: 1 + random.below(UNITS - 1) },
            _ => Step::Row { unit: random.below(UNITS), key: random.below(KEYS + 1), value: random.value() },
        });
        let steps = steps.collect();
        Self { query: Arc::new(query), steps }
    }

    fn without(&self, unit: u64) -> Self {
        let steps = self.steps.iter().copied().filter(|step| step.unit() != unit).collect();
        Self { query: Arc::clone(&self.query), steps }
    }

    fn tally(&self) -> Tally {
        let mut tally = Tally::new(&self.query).unwrap();
        for step in &self.steps {
            match *step {
                Step::Withdrawal { unit } => tally.withdraw(&identifier(unit)),
                Step::Row { unit, key, value } => {
                    let name = [key.to_string()];
                    let named: Vec<&str> = name.iter().map(String::as_str).collect();
                    let place = match self.query.keys {
                        Keys::Declared(_) => RowKey::At(key as usize),
                        Keys::Private(_) => RowKey::Named(&named),
                    };
                    tally.observe(&identifier(unit), place, value);
                }
            }
        }
        tally
    }
}

/// The cells and the number of units of each key that somebody was counted in.
type Table = BTreeMap<u64, (Vec<i64>, i64)>;

/// What the model says of a case: nothing where too many came.
fn model(case: &Case, admits: impl Fn(u64) -> bool) -> Option<Table> {
    let mut rows: BTreeMap<u64, Vec<(u64, i64)>> = BTreeMap::new();
    let mut keys_ever = BTreeSet::new();
    for step in &case.steps {
        match *step {
            Step::Withdrawal { unit } => drop(rows.remove(&unit)),
            Step::Row { unit, key, value } if unit > 0 && admits(unit) && exists(&case.query.keys, key) => {
                rows.entry(unit).or_default().push((key, value));
            }
            Step::Row { .. } => {}
        }
        if let Keys::Private(keys) = &case.query.keys {
            keys_ever.extend(rows.values().flat_map(|rows| counted(rows, case.query.bounds())).map(|(key, _)| key));
            if keys_ever.len() > keys.keys_max() as usize {
                return None;
            }
        }
        if rows.len() as u64 > case.query.admission.units_max.get() {
            return None;
        }
    }
    let mut table = Table::new();
    for rows in rows.values() {
        let counted = counted(rows, case.query.bounds());
        for (key, value) in &counted {
            let (cells, _) = table.entry(*key).or_insert_with(|| (vec![0; case.query.aggregate().cells()], 0));
            add(case.query.aggregate(), cells, *value);
        }
        for key in counted.iter().map(|(key, _)| *key).collect::<BTreeSet<_>>() {
            let entry = table.get_mut(&key).unwrap();
            entry.1 += 1;
            if matches!(case.query.aggregate(), Aggregate::Units) {
                entry.0[0] += 1;
            }
        }
    }
    Some(table)
}

fn exists(keys: &Keys, key: u64) -> bool {
    matches!(keys, Keys::Private(_)) || (key as usize) < keys.most()
}

/// The rows of one unit that count: each is looked at with all that counted before it.
fn counted(rows: &[(u64, i64)], bounds: ContributionBounds) -> Vec<(u64, i64)> {
    let mut counted: Vec<(u64, i64)> = Vec::new();
    for (key, value) in rows {
        let of_key = counted.iter().filter(|(other, _)| other == key).count();
        let keys: BTreeSet<u64> = counted.iter().map(|(key, _)| *key).chain([*key]).collect();
        let fits = of_key < bounds.rows_per_key() as usize
            && keys.len() <= bounds.keys_per_unit() as usize
            && bounds.rows_per_unit().is_none_or(|all| counted.len() < all as usize);
        if fits {
            counted.push((*key, *value));
        }
    }
    counted
}

fn add(aggregate: &Aggregate, cells: &mut [i64], value: i64) {
    let clamped = |clamp: &Clamp| value.max(clamp.low()).min(clamp.high());
    let interval = |edges: &Edges| edges.at().iter().filter(|edge| **edge <= value).count();
    match aggregate {
        Aggregate::Count | Aggregate::Top { .. } => cells[0] += 1,
        Aggregate::Units => {}
        Aggregate::Sum(clamp) => cells[0] += clamped(clamp),
        Aggregate::Mean(clamp) => {
            cells[0] += clamped(clamp);
            cells[1] += 1;
        }
        Aggregate::Histogram(edges) => cells[interval(edges)] += 1,
        Aggregate::Quantiles(quantiles) => cells[interval(quantiles.candidates())] += 1,
    }
}

/// What the tally says: keys that nobody is counted in (any more) left out.
fn told(tally: Tally) -> Option<Table> {
    let cells = tally.finish()?;
    let cells = cells.value();
    let key = |place: usize| cells.names.get(place).map_or(place as u64, |name| name[0].parse().unwrap());
    let rows = (0..cells.keys()).map(|place| (key(place), (cells.of(place).to_vec(), cells.units[place])));
    Some(rows.filter(|(_, (cells, units))| *units != 0 || cells.iter().any(|cell| *cell != 0)).collect())
}

/// How far every cell of every key moved: the difference of two tables.
fn moves(with: &Table, without: &Table) -> BTreeMap<u64, (Vec<i64>, i64)> {
    let keys: BTreeSet<u64> = with.keys().chain(without.keys()).copied().collect();
    let width = with.values().chain(without.values()).map(|(cells, _)| cells.len()).max().unwrap_or(0);
    let nothing = (vec![0; width], 0);
    let moved = |key: &u64| {
        let (one, other) = (with.get(key).unwrap_or(&nothing), without.get(key).unwrap_or(&nothing));
        let cells = one.0.iter().zip(&other.0).map(|(one, other)| one - other).collect();
        (*key, (cells, one.1 - other.1))
    };
    keys.iter().map(moved).collect()
}

/// Removing one unit moves no part of the release beyond its sensitivity.
fn assert_sensitivity(number: u64, query: &Query, with: &Table, without: &Table) {
    let (bounds, moved) = (query.bounds(), moves(with, without));
    let changed = moved.values().filter(|(cells, units)| *units != 0 || cells.iter().any(|cell| *cell != 0)).count();
    assert!(changed <= bounds.keys_per_unit() as usize, "case {number}: {changed} keys");
    let of_units = moved.values().map(|(_, units)| *units).collect::<Vec<_>>();
    let of_cell =
        |cell: usize| moved.values().map(|(cells, _)| cells.get(cell).copied().unwrap_or(0)).collect::<Vec<_>>();
    let all = moved.values().flat_map(|(cells, _)| cells.iter().copied()).collect::<Vec<_>>();
    let parts: &[(Part, Vec<i64>)] = &match query.aggregate() {
        Aggregate::Count => vec![(Part::Count, of_cell(0))],
        Aggregate::Units => vec![(Part::Units, of_cell(0))],
        Aggregate::Sum(_) => vec![(Part::Sum, of_cell(0))],
        Aggregate::Mean(clamp) => {
            let distances = |(sum, rows): (i64, i64)| [sum - clamp.low() * rows, clamp.high() * rows - sum];
            vec![(Part::Mean, of_cell(0).into_iter().zip(of_cell(1)).flat_map(distances).collect())]
        }
        Aggregate::Histogram(_) => vec![(Part::Histogram, all)],
        Aggregate::Quantiles(_) => vec![],
        Aggregate::Top { keys } => {
            // Of declared keys those that were chosen are counted, at worst the ones that moved most; of private keys all.
            let mut most = of_cell(0);
            most.sort_unstable_by_key(|moved| std::cmp::Reverse(moved.abs()));
            if query.mechanism.spec().min_units.is_none() {
                most.truncate(*keys as usize);
            }
            vec![(Part::Count, most)]
        }
    };
    for (part, moved) in parts.iter().chain([&(Part::Select, of_units)]) {
        let l1: u128 = moved.iter().map(|moved| u128::from(moved.unsigned_abs())).sum();
        let l2_squared: u128 = moved.iter().map(|moved| u128::from(moved.unsigned_abs()).pow(2)).sum();
        for (noise, norm) in [(Noise::DiscreteLaplace, l1), (Noise::DiscreteGaussian, l2_squared)] {
            // A sensitivity that cannot be counted is refused when the mechanism is made.
            let Some(most) = part.sensitivity(noise, query.mechanism.spec()) else { continue };
            assert!(norm <= u128::from(most.get()), "case {number}: {part:?} by {noise:?} moved {norm} of {most}");
        }
    }
    let choices = ranges(query.aggregate(), with, without);
    let part = if matches!(query.aggregate(), Aggregate::Top { .. }) { Part::Top } else { Part::Quantiles };
    for (noise, norm) in [
        (Noise::Exponential, choices.iter().sum::<u64>()),
        (Noise::Gumbel, choices.iter().map(|range| range * range).sum::<u64>()),
    ] {
        let most = part.sensitivity(noise, query.mechanism.spec()).map_or(0, NonZeroU64::get);
        assert!(choices.is_empty() || norm <= most, "case {number}: {part:?} by {noise:?} moved {norm} of {most}");
    }
}

/// The range by which the scores of each choice move against each other.
fn ranges(aggregate: &Aggregate, with: &Table, without: &Table) -> Vec<u64> {
    let range = |moved: Vec<i64>| moved.iter().max().unwrap_or(&0).abs_diff(*moved.iter().min().unwrap_or(&0));
    let keys: BTreeSet<u64> = with.keys().chain(without.keys()).copied().collect();
    match aggregate {
        Aggregate::Top { keys } => {
            // A key that did not move is always among the candidates, at worst.
            let moved = moves(with, without).into_values().map(|(cells, _)| cells[0]).chain([0]).collect();
            vec![range(moved); *keys as usize]
        }
        Aggregate::Quantiles(quantiles) => {
            let nothing = (vec![0; quantiles.candidates().intervals()], 0);
            let scores = |table: &Table, key: &u64, share: &PerMille| -> Vec<i64> {
                let cells = &table.get(key).unwrap_or(&nothing).0;
                let rows: i64 = cells.iter().sum();
                let below = |candidate: usize| cells[..=candidate].iter().sum::<i64>();
                (0..cells.len() - 1)
                    .map(|candidate| (1000 * below(candidate) - i64::from(share.get()) * rows).abs())
                    .collect()
            };
            let each = |key: &u64, share: &PerMille| {
                let (one, other) = (scores(with, key, share), scores(without, key, share));
                range(one.iter().zip(&other).map(|(one, other)| one - other).collect())
            };
            keys.iter().flat_map(|key| quantiles.at().iter().map(move |share| each(key, share))).collect()
        }
        _ => Vec::new(),
    }
}

fn holds(number: u64) {
    let case = Case::numbered(number);
    let tally = case.tally();
    let admitted: Vec<bool> = (0..UNITS).map(|unit| tally.bounder.admit(&identifier(unit)).is_some()).collect();
    let expected = model(&case, |unit| admitted[unit as usize]);
    let with = told(tally);
    assert_eq!(with, expected, "case {number}: {:?} over {:?}", case.query.mechanism.spec(), case.steps);
    let (Some(with), u64::MAX) = (with, case.query.admission.lot_max) else { return };
    for unit in 1..UNITS {
        // With one unit less there are no more than before: never an overflow.
        let without = told(case.without(unit).tally()).unwrap();
        assert_sensitivity(number, &case.query, &with, &without);
    }
}

#[test]
fn a_tally_is_what_a_plain_list_of_rows_says() {
    (0..20_000).for_each(holds);
}

#[test]
#[ignore = "long: tools/dp-audit runs it"]
fn a_million_tallies_are_what_plain_lists_of_rows_say() {
    const CASES: u64 = 1_000_000;
    (0..CASES).for_each(holds);
    println!(
        "| contribution bounds beside a naive model, and sensitivity of every part | {CASES} random cases, 0 differ | 10^6, exact | yes |"
    );
}
