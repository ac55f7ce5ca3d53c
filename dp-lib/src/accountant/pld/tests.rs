//! Against closed forms, against rational arithmetic, and against itself.

use std::num::NonZeroU64;

use proptest::prelude::*;

use super::*;

fn count(number: u64) -> NonZeroU64 {
    NonZeroU64::new(number).unwrap()
}

fn laplace(scale: &str, shift: u64) -> Event {
    Event::DiscreteLaplace { scale: scale.parse().unwrap(), shift: count(shift) }
}

fn gaussian(scale: &str, shift: u64) -> Event {
    Event::DiscreteGaussian { scale: scale.parse().unwrap(), shift: count(shift) }
}

fn pure(nano: u64) -> Event {
    Event::Pure { epsilon_nano: count(nano) }
}

/// Asserts that delta at `epsilon` is bounded, and that the epsilon which is
/// allowed for this delta is larger by no more than a thousandth of `most`, the largest loss.
fn assert_tight(pld: &Pld, epsilon: f64, delta: f64, most: f64) {
    let (bound, back) = (pld.delta_at(epsilon), pld.epsilon_at(delta).unwrap());
    assert!(bound >= delta * (1.0 - 1e-9), "delta {bound} at {epsilon} is below {delta}");
    assert!(back >= epsilon * (1.0 - 1e-9) && back <= epsilon + most / 1000.0, "epsilon {back} is not {epsilon}");
}

#[test]
fn one_laplace_release_follows_its_closed_form() {
    for (scale, shift) in [("1", 1), ("10", 1), ("0.5", 1), ("10", 30), ("1000", 20), ("1000000", 9_000_000)] {
        let pld = Pld::of(&laplace(scale, shift)).unwrap();
        let (scale, shift): (f64, f64) = (scale.parse().unwrap(), shift as f64);
        // At the losses (shift - 2 j) / scale the discrete is the continuous:
        // delta = 1 - exp((epsilon - shift / scale) / 2).
        for step in [1.0, 2.0, 5.0, 10.0, 300_000.0] {
            let epsilon = (shift - 2.0 * step) / scale;
            if epsilon >= 0.0 {
                assert_tight(&pld, epsilon, -f64::exp_m1((epsilon - shift / scale) / 2.0), shift / scale);
            }
        }
        for delta in [1e-6, 1e-9, 1e-12] {
            // Below the first of these losses delta is a straight line in exp(epsilon): P(X <= 0) - exp(epsilon) Q(X <= 0).
            let with = 1.0 / (1.0 + f64::exp(-1.0 / scale));
            let without = with * f64::exp(-shift / scale);
            assert_tight(&pld, ((with - delta) / without).ln(), delta, shift / scale);
        }
    }
}

/// Theorem 7 of Canonne, Kamath and Steinke 2020, for any whole shift.
fn discrete_gaussian_delta(sigma: f64, shift: i64, epsilon: f64) -> f64 {
    let reach = (40.0 * sigma) as i64 + shift;
    let weight = |x: i64| (-(x as f64 / sigma).powi(2) / 2.0).exp();
    let total: f64 = (-reach..=reach).map(weight).sum();
    let tail = |from: f64| (-reach..=reach).rev().take_while(|x| *x as f64 > from).map(weight).sum::<f64>() / total;
    let at = epsilon * sigma * sigma / shift as f64;
    // Values x with a loss above epsilon: mirrored, x > at - shift / 2.
    tail(at - shift as f64 / 2.0) - epsilon.exp() * tail(at + shift as f64 / 2.0)
}

#[test]
fn one_discrete_gaussian_release_follows_its_closed_form() {
    for (scale, shift) in [("0.5", 1), ("1", 1), ("10", 1), ("10", 4), ("200", 1)] {
        let pld = Pld::of(&gaussian(scale, shift)).unwrap();
        let sigma: f64 = scale.parse().unwrap();
        for sigmas in [0.5, 1.0, 3.0, 5.0] {
            let epsilon = sigmas * shift as f64 / sigma;
            let truth = discrete_gaussian_delta(sigma, shift as i64, epsilon);
            assert_tight(&pld, epsilon, truth, 11.0 * shift as f64 / sigma);
        }
    }
}

/// Balle and Wang 2018, theorem 8: Gaussian noise whose shift is `shift` standard deviations.
fn gaussian_delta(shift: f64, epsilon: f64) -> f64 {
    let below = |x: f64| libm::erfc(-x / std::f64::consts::SQRT_2) / 2.0;
    below(shift / 2.0 - epsilon / shift) - epsilon.exp() * below(-shift / 2.0 - epsilon / shift)
}

#[test]
fn a_year_of_gaussian_hours_is_one_gaussian_release() {
    // Sigma 100 is so wide that the values are dense; 8,760 releases then are one whose shift is sqrt(8760) / 100 deviations.
    let year = Pld::of(&gaussian("100", 1)).unwrap().times(count(8760)).unwrap();
    let shift = 8760_f64.sqrt() / 100.0;
    for epsilon in [0.5, 1.0, 2.0, 4.0, 5.0] {
        let truth = gaussian_delta(shift, epsilon);
        assert!(year.delta_at(epsilon) >= truth * (1.0 - 1e-6));
        let back = year.epsilon_at(truth).unwrap();
        assert!(back <= epsilon * 1.002, "{back} for {epsilon}");
    }
}

/// Delta of `rounds` of randomized response whose odds are `odds`, at epsilon of
/// `threshold` odds to the power of `power`, in whole numbers: the true delta is the first number over the second.
fn response_delta(odds: u128, rounds: u32, power: u32) -> (u128, u128) {
    let all = (1 + odds).pow(rounds);
    let choose = |k: u32| (0..k).fold(1_u128, |product, i| product * u128::from(rounds - i) / u128::from(i + 1));
    let with = |lies: u32| choose(lies) * odds.pow(rounds - lies);
    let without = |lies: u32| choose(lies) * odds.pow(lies);
    let delta = (0..=rounds).map(|lies| with(lies).saturating_sub(odds.pow(power) * without(lies))).sum();
    (delta, all)
}

#[test]
fn small_cases_are_never_below_whole_number_arithmetic() {
    for odds in [2_u128, 3, 5] {
        // Rounded up to a billionth: what is accounted for loses no less than what is computed exactly.
        let nano = ((odds as f64).ln() * 1e9).ceil() as u64;
        let one = Pld::of(&pure(nano)).unwrap();
        for rounds in 1..=12 {
            let pld = one.times(count(u64::from(rounds))).unwrap();
            for power in 0..rounds {
                let (delta, all) = response_delta(odds, rounds, power);
                let truth = delta as f64 / all as f64;
                let epsilon = f64::from(power) * (odds as f64).ln();
                assert!(pld.delta_at(epsilon) >= truth, "{odds} {rounds} {power}");
                let back = pld.epsilon_at(truth).unwrap();
                let most = f64::from(rounds) * (odds as f64).ln();
                assert!(back <= epsilon + most / 1000.0, "{odds} {rounds} {power}: {back} for {epsilon}");
            }
        }
    }
}

#[test]
fn a_release_with_all_movement_in_one_key_dominates_every_split() {
    for (scale, whole, parts) in [("2", 4, [2, 2]), ("2", 5, [1, 4]), ("10", 9, [3, 6]), ("0.5", 3, [1, 2])] {
        let one = Pld::of(&laplace(scale, whole)).unwrap();
        let [first, second] = parts.map(|shift| Pld::of(&laplace(scale, shift)).unwrap());
        let split = first.compose(&second).unwrap();
        for tenth in 0..60 {
            let epsilon = f64::from(tenth) / 10.0;
            assert!(split.delta_at(epsilon) <= one.delta_at(epsilon) * 1.01 + 1e-9, "{scale} {parts:?} at {epsilon}");
        }
    }
}

#[test]
fn what_cannot_be_composed_says_why() {
    assert_eq!(Pld::of(&Event::Concentrated { rho_nano: count(1) }), Err(NoPld::Concentrated));
    assert_eq!(Pld::of(&gaussian("100001", 1)), Err(NoPld::TooWide));
    assert_eq!(Pld::of(&laplace("1", 501)), Err(NoPld::TooLarge));
    assert_eq!(Pld::of(&gaussian("0.015625", 1)), Err(NoPld::TooLarge));
    let one = Pld::of(&pure(1_000)).unwrap();
    assert_eq!(one.times(count(RELEASES_MAX + 1)), Err(NoPld::TooMany));
    assert_eq!(one.times(count(RELEASES_MAX)).unwrap().compose(&one), Err(NoPld::TooMany));
    assert_eq!(Pld::of_all(Vec::new()), Err(NoPld::Nothing));
}

#[test]
fn what_fails_is_in_every_delta() {
    let one = Pld::of(&pure(100_000_000)).unwrap();
    let pld = one.compose(&Pld::of(&Event::Failing { delta_pico: count(1000) }).unwrap()).unwrap();
    assert_eq!(pld.epsilon_at(1e-9), None);
    assert!(pld.epsilon_at(1.1e-9).is_some());
    let twice = pld.compose(&pld).unwrap();
    assert!((2e-9..2.00001e-9).contains(&twice.delta_at(1.0)));
}

#[test]
fn memory_stays_bounded() {
    for event in [laplace("3", 2), gaussian("3", 2), pure(2_000_000_000)] {
        let mut pld = Pld::of(&event).unwrap();
        while let Ok(squared) = pld.compose(&pld) {
            assert!(squared.masses.len() <= CELLS_MAX);
            assert!(squared.failing < 1e-13 && squared.error < 1e-2, "{} {}", squared.failing, squared.error);
            pld = squared;
        }
        assert_eq!(pld.releases(), RELEASES_MAX);
    }
}

fn an_event() -> impl Strategy<Value = Event> {
    let scale = || (1_u64..400).prop_map(|quarters| (quarters as f64 / 4.0).to_string().parse().unwrap());
    prop_oneof![
        (scale(), 1_u64..20).prop_map(|(scale, shift)| Event::DiscreteLaplace { scale, shift: count(shift) }),
        (scale(), 1_u64..4).prop_map(|(scale, shift)| Event::DiscreteGaussian { scale, shift: count(shift) }),
        (1_000_000_u64..3_000_000_000).prop_map(pure),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn more_is_never_less(event in an_event(), other in an_event(), epsilon in 0.0_f64..5.0) {
        let (one, both) = (Pld::of(&event).unwrap(), Pld::of(&event).unwrap().compose(&Pld::of(&other).unwrap()).unwrap());
        prop_assert!(one.delta_at(epsilon) >= one.delta_at(epsilon + 0.1));
        prop_assert!(both.delta_at(epsilon) >= one.delta_at(epsilon) * (1.0 - 1e-9));
        for delta in [1e-5, 1e-9] {
            prop_assert!(both.epsilon_at(delta) >= both.epsilon_at(delta * 10.0));
            let epsilon = both.epsilon_at(delta).unwrap();
            prop_assert!(both.delta_at(epsilon) <= delta * (1.0 + 1e-6), "{} for {}", both.delta_at(epsilon), delta);
        }
    }

    #[test]
    fn the_order_of_a_list_is_irrelevant(events in prop::collection::vec(an_event(), 1..6)) {
        let plds: Vec<Pld> = events.iter().map(|event| Pld::of(event).unwrap()).collect();
        let reversed = plds.iter().rev().cloned().collect();
        prop_assert_eq!(Pld::of_all(plds), Pld::of_all(reversed));
    }

    #[test]
    fn times_is_composing_as_often(event in an_event(), times in 1_u64..12) {
        let one = Pld::of(&event).unwrap();
        let composed = (1..times).try_fold(one.clone(), |sum, _| sum.compose(&one)).unwrap();
        let (powered, composed) = (one.times(count(times)).unwrap().epsilon_at(1e-9), composed.epsilon_at(1e-9));
        let (powered, composed) = (powered.unwrap(), composed.unwrap());
        prop_assert!((powered - composed).abs() <= composed * 3e-3 + 1e-9, "{powered} {composed}");
    }
}
