//! Statistical tests of what leaves a mechanism, through the ledger.
//!
//! The noise cannot be seeded: it comes from the system's generator, and a hook
//! to replace it would be the thing to attack. So each assertion states the
//! probability of failing for correct noise; all of them together fail less
//! than once in 10^4 runs.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use privet_dp::aggregate::{Aggregate, Clamp};
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
    let noise = |part: Of| -> Vec<i64> {
        noised.rows().iter().filter(|row| row.of == part).map(|row| row.value - COUNT).collect()
    };
    let (sums, counts) = (noise(Of::Sum), noise(Of::Count));
    for (noise, stage) in [(&sums, mechanism.stages()[0]), (&counts, mechanism.stages()[1])] {
        let (statistic, freedom) = chi_square(noise, &Pmf::of_stage(&stage), 100.0);
        assert!(statistic < chi_square_limit(freedom), "{:?}: {statistic} at {freedom}", stage.part());
    }
    let power = |noise: &[i64]| noise.iter().map(|noise| (*noise as f64).powi(2)).sum::<f64>();
    let product: f64 = sums.iter().zip(&counts).map(|(one, other)| (one * other) as f64).sum();
    let correlation = product / (power(&sums) * power(&counts)).sqrt();
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

/// The count cases of Google's stochastic tester: neighbouring data sets, and
/// the loss claimed for them. For each, the event at which neighbours differ
/// most at that epsilon may not be more likely than epsilon and delta allow.
/// False alarm: 10^-6 for each of twenty.
#[test]
fn googles_count_cases_hold() {
    let lines = include_str!("data/google-count-dp-tests.ndjson").lines();
    let mut cases = 0;
    for line in lines {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        holds(&case["case"]);
        cases += 1;
    }
    assert_eq!(cases, 20);
}

fn holds(case: &serde_json::Value) {
    const RUNS: u64 = 20_000;
    let sampling = &case["count_sampling_parameters"];
    let (epsilon, delta) = (sampling["epsilon"].as_f64().unwrap(), sampling["delta"].as_f64().unwrap_or(0.0));
    let bounds = ContributionBounds::new(sampling["max_partitions_contributed"].as_u64().unwrap(), 1).unwrap();
    let mechanism = match sampling["noise_type"].as_str().unwrap() {
        "LAPLACE" => {
            count_of(Noise::DiscreteLaplace, bounds, Loss::from_nano(Measure::Pure, (epsilon * 1e9) as u64).unwrap())
        }
        "GAUSSIAN" => count_of(Noise::DiscreteGaussian, bounds, rho_for(epsilon, delta)),
        other => panic!("no such noise: {other}"),
    };
    let (count, neighbour) = (sum(&sampling["raw_increment_by"]), sum(&sampling["neighbour_raw_increment_by"]));
    // Where the likelihood ratio of the neighbours passes e^epsilon, or as far out as it goes.
    let pmf = Pmf::of(&mechanism);
    let moved = neighbour - count;
    let threshold = match law(&mechanism).0 {
        Noise::DiscreteLaplace => neighbour,
        Noise::DiscreteGaussian => {
            let sigma = law(&mechanism).1.as_f64();
            count + (epsilon * sigma * sigma / moved as f64 + moved as f64 / 2.0).ceil() as i64
        }
        Noise::Exponential | Noise::Gumbel => panic!("noise on scores"),
    };
    let above = |count: i64| {
        release(&mechanism, vec![count; RUNS as usize]).into_iter().filter(|value| *value >= threshold).count() as u64
    };
    let (with, _) = clopper_pearson(above(neighbour), RUNS, 5e-7);
    let (_, without) = clopper_pearson(above(count), RUNS, 5e-7);
    assert!(with <= epsilon.exp() * without + delta, "{}: {with} against {without}", case["name"]);
    // The same in exact arithmetic, where no sampling error hides a small excess.
    let (with, without) = (pmf.from(threshold - neighbour), pmf.from(threshold - count));
    assert!(with <= epsilon.exp() * without * (1.0 + 1e-9) + delta, "{}: {with} against {without}", case["name"]);
}

/// The largest rho whose epsilon at delta is no more than this one.
fn rho_for(epsilon: f64, delta: f64) -> Loss {
    let delta = Delta::from_pico((delta * 1e12).round() as u64).unwrap();
    let fits = |nano: &u64| {
        Loss::from_nano(Measure::Zcdp, *nano).unwrap().epsilon_at(delta).parse::<f64>().unwrap() <= epsilon
    };
    let (mut low, mut high) = (1_u64, 10_000_000_000);
    while high - low > 1 {
        let middle = low.midpoint(high);
        if fits(&middle) { low = middle } else { high = middle }
    }
    Loss::from_nano(Measure::Zcdp, low).unwrap()
}

fn sum(rows: &serde_json::Value) -> i64 {
    let number = |row: &serde_json::Value| row.as_i64().or_else(|| row.as_str()?.trim_matches(['[', ']']).parse().ok());
    rows.as_array().unwrap().iter().map(|row| number(row).unwrap()).sum()
}

#[test]
fn the_intervals_that_judge_are_right_themselves() {
    // Binomial(10, 1/2): P(X >= 8) = 56/1024 is the incomplete beta at 1/2 of (8, 3).
    assert!((beta_cdf(0.5, 8.0, 3.0) - 56.0 / 1024.0).abs() < 1e-12);
    // The textbook interval for 5 of 50 at 95 %: 3.33 % to 21.81 %.
    let (low, high) = clopper_pearson(5, 50, 0.025);
    assert!((low - 0.033_275).abs() < 1e-5 && (high - 0.218_135).abs() < 1e-5, "{low} {high}");
}
