//! Statistical tests of what leaves a mechanism, through the ledger.
//!
//! The noise cannot be seeded: it comes from the system's generator, and a hook
//! to replace it would be the thing to attack. So each assertion states the
//! probability of failing for correct noise; all of them together fail less
//! than once in 10^4 runs.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::collections::BTreeMap;

use privet_dp::aggregate::{Aggregate, Clamp, steps_of};
use privet_dp::bound::ContributionBounds;
use privet_dp::loss::{Delta, Loss, Measure};
use privet_dp::mechanism::{Mechanism, Noise, Of, Spec};
use support::{
    Pmf, beta_cdf, chi_square, chi_square_limit, clopper_pearson, count as count_of, half_width_95, law, mechanism,
    noise, release,
};

/// Small, middling and the design's own, of both kinds.
fn mechanisms() -> Vec<Mechanism> {
    vec![
        mechanism(Noise::DiscreteLaplace, 1, 1, "2"),
        mechanism(Noise::DiscreteLaplace, 1, 1, "0.3"),
        mechanism(Noise::DiscreteLaplace, 2, 3, "0.1"),
        mechanism(Noise::DiscreteGaussian, 1, 1, "1"),
        mechanism(Noise::DiscreteGaussian, 1, 1, "0.005"),
        mechanism(Noise::DiscreteGaussian, 2, 3, "0.0005"),
    ]
}

/// False alarm: 10^-6 for each of six.
#[test]
fn noise_has_the_distribution_it_claims() {
    for mechanism in mechanisms() {
        let (statistic, freedom) = chi_square(&noise(&mechanism, 60_000), &Pmf::of(&mechanism), 100.0);
        let limit = chi_square_limit(freedom);
        println!(
            "{} {}: chi-square {statistic:.1} at {freedom} degrees of freedom, limit {limit:.1}",
            law(&mechanism).0.name(),
            law(&mechanism).1
        );
        assert!(statistic < limit, "{} {}: {statistic} > {limit}", law(&mechanism).0.name(), law(&mechanism).1);
    }
}

/// The same statistic notices noise that is ten per cent too small: its mean is
/// then about 570 against a limit below 100, more than ten standard deviations.
#[test]
fn the_distribution_test_has_power() {
    let claimed = mechanism(Noise::DiscreteLaplace, 2, 3, "0.1");
    let drawn = mechanism(Noise::DiscreteLaplace, 2, 3, "0.11");
    let (statistic, freedom) = chi_square(&noise(&drawn, 60_000), &Pmf::of(&claimed), 1_500.0);
    assert!(statistic > chi_square_limit(freedom), "{statistic} at {freedom}");
}

/// False alarm: five standard errors, 6 * 10^-7, for each of six.
#[test]
fn an_interval_covers_as_often_as_it_says() {
    for mechanism in mechanisms() {
        let half_width = half_width_95(&mechanism);
        let exact = Pmf::of(&mechanism).within(half_width);
        let draws = noise(&mechanism, 60_000);
        let covered = draws.iter().filter(|draw| draw.unsigned_abs() <= half_width).count() as f64 / draws.len() as f64;
        let error = (exact * (1.0 - exact) / draws.len() as f64).sqrt();
        println!(
            "{} {}: covers {:.2} %, exactly {:.2} %",
            law(&mechanism).0.name(),
            law(&mechanism).1,
            100.0 * covered,
            100.0 * exact
        );
        assert!((covered - exact).abs() < 5.0 * error, "{covered} of {exact}");
        assert!(exact >= 0.95 && Pmf::of(&mechanism).within(half_width - 1) < 0.95, "the narrowest that covers 95 %");
        if law(&mechanism).1.as_f64() > 5.0 {
            assert!((0.945..=0.965).contains(&covered), "{covered}");
        }
    }
}

/// The loss that an attacker can prove, at most, from counts that differ by one
/// unit: with Clopper-Pearson bounds passed once in 2 * 10^6, on the events at
/// which neighbours differ most. False alarm: 10^-6 for each of three claims.
#[test]
fn the_provable_loss_is_near_the_claim_and_never_above() {
    for (claim, at_least) in [("0.5", 0.92), ("1", 0.95), ("2", 0.965)] {
        let mechanism = mechanism(Noise::DiscreteLaplace, 1, 1, claim);
        let proved = provable_epsilon(&mechanism, 200_000);
        let claim: f64 = claim.parse().unwrap();
        println!("epsilon {claim}: at least {proved:.4} proved, {:.3} of the claim", proved / claim);
        assert!(proved <= claim, "{proved} proved of {claim} claimed");
        assert!(proved >= at_least * claim, "the audit is blind: {proved} of {claim}");
    }
}

/// Noise that is five per cent too small is caught by the same audit.
#[test]
fn the_audit_catches_noise_that_is_too_small() {
    let proved = provable_epsilon(&mechanism(Noise::DiscreteLaplace, 1, 1, "1.05"), 200_000);
    assert!(proved > 1.0, "{proved}");
}

fn provable_epsilon(mechanism: &Mechanism, runs: u64) -> f64 {
    let above = |count: i64| {
        release(mechanism, vec![count; runs as usize]).into_iter().filter(|value| *value > 1000).count() as u64
    };
    let (with, _) = clopper_pearson(above(1001), runs, 5e-7);
    let (_, without) = clopper_pearson(above(1000), runs, 5e-7);
    (with / without).ln()
}

/// False alarm: five standard errors, 6 * 10^-7, for each of two.
#[test]
fn draws_do_not_depend_on_each_other() {
    for mechanism in
        [mechanism(Noise::DiscreteLaplace, 2, 3, "0.1"), mechanism(Noise::DiscreteGaussian, 2, 3, "0.0005")]
    {
        let draws: Vec<f64> = noise(&mechanism, 100_000).into_iter().map(|draw| draw as f64).collect();
        let power: f64 = draws.iter().map(|draw| draw * draw).sum();
        for lag in [1, 2, 7] {
            let product: f64 = draws.iter().zip(&draws[lag..]).map(|(one, other)| one * other).sum();
            let correlation = product / power;
            assert!(correlation.abs() < 5.0 / (draws.len() as f64).sqrt(), "lag {lag}: {correlation}");
        }
    }
}

/// False alarm: below 10^-100, the chance that a hundred draws repeat.
#[test]
fn two_releases_never_share_their_noise() {
    let mechanism = mechanism(Noise::DiscreteLaplace, 2, 3, "0.1");
    assert_ne!(noise(&mechanism, 100), noise(&mechanism, 100));
}

/// OpenDP does not check that its input is in its domain; we clamp. At scale
/// 0.1 a draw beyond 6 has a probability below 10^-25.
#[test]
fn counts_are_clamped_before_noise() {
    let mechanism = mechanism(Noise::DiscreteLaplace, 1, 1, "10");
    let values = release(&mechanism, vec![-1000, i64::MIN, i64::MAX, 5]);
    let expected = [0, 0, 1 << 53, 5];
    assert!(values.iter().zip(expected).all(|(value, expected)| (value - expected).abs() <= 6), "{values:?}");
}

/// Canaries have the noise of the cells they vouch for: neither less nor more,
/// whatever the cells are. False alarm: 10^-6 for each of two.
#[test]
fn canaries_have_the_noise_of_the_cells() {
    const DRAWS: usize = 60_000;
    for (noise, written) in [(Noise::DiscreteLaplace, "0.3"), (Noise::DiscreteGaussian, "0.005")] {
        let loss = Loss::from_decimal(noise.measure(), written).unwrap();
        let spec = Spec {
            canaries: DRAWS as u32,
            ..Spec::of(Aggregate::Count, ContributionBounds::new(1, 1).unwrap(), noise, loss)
        };
        let mechanism = Mechanism::calibrate(spec).unwrap();
        let pmf = Pmf::of(&mechanism);
        let noised = support::released(&mechanism, vec![1 << 40; 3]);
        let canaries: Vec<i64> = noised.canaries().iter().map(|canary| canary.value - canary.truth).collect();
        assert_eq!(canaries.len(), DRAWS);
        let (statistic, freedom) = chi_square(&canaries, &pmf, 100.0);
        assert!(statistic < chi_square_limit(freedom), "{}: {statistic} at {freedom}", noise.name());
    }
}

/// A mean is a sum and a count, each with noise of its own scale that knows
/// nothing of the other's. False alarm: 10^-6 for each of two, and five
/// standard errors, 6 * 10^-7.
#[test]
fn a_mean_has_two_noises() {
    const KEYS: usize = 40_000;
    const COUNT: i64 = 1 << 30;
    let clamp = Clamp::new(-20, 50, 0).unwrap();
    let loss = Loss::from_decimal(Measure::Pure, "2").unwrap();
    let bounds = ContributionBounds::new(1, 1).unwrap();
    let spec = Spec::of(Aggregate::Mean(clamp), bounds, Noise::DiscreteLaplace, loss);
    let mechanism = Mechanism::calibrate(spec).unwrap();
    let cells = (0..KEYS).flat_map(|_| [COUNT, COUNT]).collect();
    let noised = support::released(&mechanism, cells);
    let noise = |of: Of, exact: i64| -> Vec<i64> {
        noised.rows().iter().filter(|row| row.of == of).map(|row| row.value - exact).collect()
    };
    // So many values of one: each is 21 above the lower end and 49 below the upper one.
    let (above, below) = (noise(Of::AboveLow, 21 * COUNT), noise(Of::BelowHigh, 49 * COUNT));
    for noise in [&above, &below] {
        let (statistic, freedom) = chi_square(noise, &Pmf::of_stage(&mechanism.stages()[0]), 100.0);
        assert!(statistic < chi_square_limit(freedom), "{statistic} at {freedom}");
    }
    let power = |noise: &[i64]| noise.iter().map(|noise| (*noise as f64).powi(2)).sum::<f64>();
    let product: f64 = above.iter().zip(&below).map(|(one, other)| (one * other) as f64).sum();
    let correlation = product / (power(&above) * power(&below)).sqrt();
    assert!(correlation.abs() < 5.0 / (KEYS as f64).sqrt(), "{correlation}");
}

/// Zero counts are published as drawn, below zero half of the time.
/// False alarm: five standard errors, 6 * 10^-7.
#[test]
fn an_empty_cell_is_not_biased_upwards() {
    let mechanism = mechanism(Noise::DiscreteLaplace, 1, 1, "1");
    let values = release(&mechanism, vec![0; 100_000]);
    let mean = values.iter().sum::<i64>() as f64 / values.len() as f64;
    assert!(mean.abs() < 5.0 * 1.4 / (values.len() as f64).sqrt(), "{mean}");
}

/// What Google's stochastic tester asks of a library, case by case: neighbouring
/// data sets with the loss that is claimed for them, and noise with the variance
/// that is claimed for it. What is asked of ours follows from the kind of case.
///
/// False alarm: 10^-6 for each of seventy pairs of neighbours.
#[test]
fn googles_cases_hold() {
    let (mut held, mut others) = (BTreeMap::new(), BTreeMap::new());
    for line in include_str!("data/google-dp-tests.ndjson").lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let kind = line["kind"].as_str().unwrap().to_owned();
        match asked(&line) {
            Ok(neighbours) => {
                holds(&neighbours);
                *held.entry(kind).or_insert(0) += 1;
            }
            Err(Asked::Noise) => {
                has_the_noise(&line["case"]);
                *held.entry(kind).or_insert(0) += 1;
            }
            Err(Asked::Nothing(why)) => *others.entry((kind, why)).or_insert(0) += 1,
        }
    }
    println!("held: {held:#?}; not asked: {others:#?}");
    assert_eq!((held.values().sum::<u32>(), others.values().sum::<u32>()), (96, 88));
}

/// Two neighbouring data sets, in one cell for each key that a unit may touch.
struct Neighbours {
    name: String,
    mechanism: Mechanism,
    epsilon: f64,
    delta: f64,
    cells: Vec<i64>,
    neighbour: Vec<i64>,
}

/// What a case asks that are no neighbours.
enum Asked {
    /// The noise itself.
    Noise,
    /// Nothing of ours, and why.
    Nothing(&'static str),
}

/// What a case has to do with mechanisms on whole numbers.
fn asked(line: &serde_json::Value) -> Result<Neighbours, Asked> {
    let (kind, case) = (line["kind"].as_str().unwrap(), &line["case"]);
    match kind {
        "count_dp_test_case" => Ok(of_counts(case)),
        "bounded_sum_dp_test_case" => Ok(of_sums(case, &case["bounded_sum_sampling_parameters"])),
        "long_bounded_sum_dp_test_case" => Ok(of_sums(case, &case["long_bounded_sum_sampling_parameters"])),
        "distribution_closeness_test_case" => {
            let linf = case["noise_sampling_parameters"]["linf_sensitivity"].as_f64().unwrap();
            match claimed_loss(&case["noise_sampling_parameters"]) {
                None => Err(Asked::Nothing("a loss below a billionth cannot be declared")),
                Some(_) if linf.fract() > 0.0 => Err(Asked::Nothing("a row of ours moves a whole step")),
                Some(_) => Err(Asked::Noise),
            }
        }
        "bounded_mean_dp_test_case" => {
            Err(Asked::Nothing("their quotient has noise of its own; ours is of a sum and a count"))
        }
        "bounded_stdv_dp_test_case" => Err(Asked::Nothing("no deviation is measured")),
        "bounded_quantiles_dp_test_case" => {
            Err(Asked::Nothing("theirs are walks through noisy trees, ours noisy choices"))
        }
        "approximate_bounds_dp_test_case" => Err(Asked::Nothing("bounds are declared, never found in the data")),
        other => panic!("a kind of case that nobody has thought about: {other}"),
    }
}

fn of_counts(case: &serde_json::Value) -> Neighbours {
    let sampling = &case["count_sampling_parameters"];
    let bounds = ContributionBounds::new(sampling["max_partitions_contributed"].as_u64().unwrap(), 1).unwrap();
    let sum = |rows: &serde_json::Value| vec![numbers(rows).iter().map(|row| row.parse::<i64>().unwrap()).sum()];
    neighbours(
        case,
        sampling,
        Spec::of(Aggregate::Count, bounds, Noise::DiscreteLaplace, claimed_loss(sampling).unwrap()),
        (sum(&sampling["raw_increment_by"]), sum(&sampling["neighbour_raw_increment_by"])),
    )
}

/// Values have two decimals; each row is a key's own, as many as one unit may touch.
fn of_sums(case: &serde_json::Value, sampling: &serde_json::Value) -> Neighbours {
    const DECIMALS: u32 = 2;
    let steps = |written: &str| steps_of(written, DECIMALS).unwrap();
    let clamp = [&sampling["lower_bound"], &sampling["upper_bound"]].map(|bound| steps(&bound.to_string()));
    let keys = sampling["max_partitions_contributed"].as_u64().unwrap();
    let sums = |rows: &serde_json::Value| {
        let mut cells = vec![0; keys as usize];
        for (row, key) in numbers(rows).iter().zip((0..keys as usize).cycle()) {
            cells[key] += steps(row).clamp(clamp[0], clamp[1]);
        }
        cells
    };
    let aggregate = Aggregate::Sum(Clamp::new(clamp[0], clamp[1], DECIMALS).unwrap());
    let bounds = ContributionBounds::new(keys, 1).unwrap();
    neighbours(
        case,
        sampling,
        Spec::of(aggregate, bounds, Noise::DiscreteLaplace, claimed_loss(sampling).unwrap()),
        (sums(&sampling["raw_entry"]), sums(&sampling["neighbour_raw_entry"])),
    )
}

fn neighbours(
    case: &serde_json::Value,
    sampling: &serde_json::Value,
    spec: Spec,
    (cells, neighbour): (Vec<i64>, Vec<i64>),
) -> Neighbours {
    let noise = match sampling["noise_type"].as_str().unwrap() {
        "LAPLACE" => Noise::DiscreteLaplace,
        "GAUSSIAN" => Noise::DiscreteGaussian,
        other => panic!("no such noise: {other}"),
    };
    Neighbours {
        name: case["name"].to_string(),
        mechanism: Mechanism::calibrate(Spec { noise, ..spec }).unwrap(),
        epsilon: sampling["epsilon"].as_f64().unwrap(),
        delta: sampling["delta"].as_f64().unwrap_or(0.0),
        cells,
        neighbour,
    }
}

/// The loss of a case in our measure: epsilon, or the rho that keeps epsilon and delta; `None` if none does.
fn claimed_loss(sampling: &serde_json::Value) -> Option<Loss> {
    let (epsilon, delta) = (sampling["epsilon"].as_f64().unwrap(), sampling["delta"].as_f64().unwrap_or(0.0));
    if delta > 0.0 { rho_for(epsilon, delta) } else { Loss::from_nano(Measure::Pure, (epsilon * 1e9) as u64).ok() }
}

/// The event at which the neighbours differ most may not be more likely than
/// epsilon and delta allow: in the sum of the cells' numbers, turned so that the neighbour has more.
fn holds(case: &Neighbours) {
    const RUNS: usize = 10_000;
    let Neighbours { name, mechanism, epsilon, delta, .. } = case;
    let moved: Vec<i64> = case.cells.iter().zip(&case.neighbour).map(|(one, other)| other - one).collect();
    let (sum, moved_by) = (case.cells.iter().sum::<i64>(), moved.iter().sum::<i64>());
    let (sign, far) = (moved_by.signum(), moved_by.abs());
    let keys = case.cells.len();
    // Where the likelihood ratio of the neighbours passes e^epsilon, or as far out as it goes.
    let beyond = match law(mechanism).0 {
        Noise::DiscreteLaplace => far,
        Noise::DiscreteGaussian => {
            let variance = law(mechanism).1.as_f64().powi(2) * keys as f64;
            (epsilon * variance / far as f64 + far as f64 / 2.0).ceil() as i64
        }
        Noise::Exponential | Noise::Gumbel => panic!("noise on scores"),
    };
    let is_event = |values: &[i64]| sign * (values.iter().sum::<i64>() - sum) >= beyond;
    let times = |cells: &[i64]| {
        let published = release(mechanism, cells.repeat(RUNS / keys));
        published.chunks(keys).filter(|values| is_event(values)).count() as u64
    };
    let runs = (RUNS / keys) as u64;
    let (with, _) = clopper_pearson(times(&case.neighbour), runs, 5e-7);
    let (_, without) = clopper_pearson(times(&case.cells), runs, 5e-7);
    assert!(with <= epsilon.exp() * without + delta, "{name}: {with} against {without}");
    if keys == 1 {
        // The same in exact arithmetic, where no sampling error hides a small excess.
        let pmf = Pmf::of(mechanism);
        let (with, without) = (pmf.from(beyond - far), pmf.from(beyond));
        assert!(with <= epsilon.exp() * without * (1.0 + 1e-9) + delta, "{name}: {with} against {without}");
    }
}

/// Noise for the sensitivity of a case is as wide as Google's: Laplace noise has
/// the same scale, and Gaussian noise no less, since zCDP is a stronger claim.
fn has_the_noise(case: &serde_json::Value) {
    let (sampling, claimed) = (&case["noise_sampling_parameters"], &case["closeness_test_parameters"]);
    let linf = sampling["linf_sensitivity"].as_f64().unwrap() as u64;
    let bounds = ContributionBounds::new(sampling["l0_sensitivity"].as_u64().unwrap(), linf).unwrap();
    let variance = claimed["variance"].as_f64().unwrap();
    let loss = claimed_loss(sampling).unwrap();
    let noise = if loss.measure() == Measure::Pure { Noise::DiscreteLaplace } else { Noise::DiscreteGaussian };
    let scale = law(&count_of(noise, bounds, loss)).1.as_f64();
    match noise {
        Noise::DiscreteLaplace => {
            let theirs = (variance / 2.0).sqrt();
            assert!(scale >= theirs * (1.0 - 1e-6) && scale <= theirs * 1.0001, "{}: {scale} {theirs}", case["name"]);
        }
        _ => assert!(scale >= variance.sqrt() * (1.0 - 1e-6), "{}: {scale} {variance}", case["name"]),
    }
}

/// The largest rho whose epsilon at delta is no more than this one.
fn rho_for(epsilon: f64, delta: f64) -> Option<Loss> {
    let delta = Delta::from_pico((delta * 1e12).round() as u64).unwrap();
    let fits = |nano: &u64| {
        Loss::from_nano(Measure::Zcdp, *nano).unwrap().epsilon_at(delta).parse::<f64>().unwrap() <= epsilon
    };
    let (mut low, mut high) = (1_u64, 10_000_000_000);
    while high - low > 1 {
        let middle = low.midpoint(high);
        if fits(&middle) { low = middle } else { high = middle }
    }
    fits(&low).then(|| Loss::from_nano(Measure::Zcdp, low).unwrap())
}

/// The numbers of a case as they are written; one in brackets is the neighbour's extra row.
fn numbers(rows: &serde_json::Value) -> Vec<String> {
    let written =
        |row: &serde_json::Value| row.as_str().map_or(row.to_string(), |text| text.trim_matches(['[', ']']).to_owned());
    match rows {
        serde_json::Value::Array(rows) => rows.iter().map(written).filter(|row| !row.is_empty()).collect(),
        row => vec![written(row)].into_iter().filter(|row| !row.is_empty()).collect(),
    }
}

#[test]
fn the_intervals_that_judge_are_right_themselves() {
    // Binomial(10, 1/2): P(X >= 8) = 56/1024 is the incomplete beta at 1/2 of (8, 3).
    assert!((beta_cdf(0.5, 8.0, 3.0) - 56.0 / 1024.0).abs() < 1e-12);
    // The textbook interval for 5 of 50 at 95 %: 3.33 % to 21.81 %.
    let (low, high) = clopper_pearson(5, 50, 0.025);
    assert!((low - 0.033_275).abs() < 1e-5 && (high - 0.218_135).abs() < 1e-5, "{low} {high}");
}
