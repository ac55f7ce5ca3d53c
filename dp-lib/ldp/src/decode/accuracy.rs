//! Whole ways from answers to estimates, against the closed forms of their
//! errors. Seeds are fixed; each test says how often it would fail by chance
//! with others.

use std::vec::Vec;

use super::{Decoder, Estimate, Space};
use crate::entropy::{Entropy, NoEntropy};
use crate::epsilon::Epsilon;
use crate::projective::Projective;
use crate::randomizer::{Method, Randomizer};

/// SplitMix64: good for a test, unfit for a device.
fn seeded(mut state: u64) -> impl Entropy {
    move |bytes: &mut [u8]| {
        for chunk in bytes.chunks_mut(8) {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes()[..chunk.len()]);
        }
        Ok::<(), NoEntropy>(())
    }
}

struct Question {
    method: Method,
    answers: u32,
    epsilon: Epsilon,
}

impl Question {
    fn new(method: Method, answers: u32, epsilon: &str) -> Self {
        Self { method, answers, epsilon: Epsilon::from_decimal(epsilon).unwrap() }
    }

    /// Half of the people give answer 1, the others all answers in turn.
    fn estimates(&self, people: u32, entropy: &mut dyn Entropy) -> Vec<Estimate> {
        let randomizer = Randomizer::new(self.method, self.answers, self.epsilon).unwrap();
        let mut decoder = Decoder::new(self.method, self.answers, self.epsilon).unwrap();
        for person in 0..people {
            let report = randomizer.randomize(answer_of(person, self.answers), entropy).unwrap();
            decoder.take(report.as_bytes()).unwrap();
        }
        decoder.estimates()
    }

    fn true_counts(&self, people: u32) -> Vec<f64> {
        let mut counts = std::vec![0.0; self.answers as usize];
        (0..people).for_each(|person| counts[answer_of(person, self.answers) as usize] += 1.0);
        counts
    }

    /// P(hit) of one's own and of another's report, by the papers' formulas,
    /// in floats and without the integers that are tossed.
    fn channel(&self) -> (f64, f64) {
        let growth = (self.epsilon.nano() as f64 / 1e9).exp();
        match self.method {
            Method::Kary => {
                let all = growth + f64::from(self.answers) - 1.0;
                (growth / all, 1.0 / all)
            }
            Method::Unary => (0.5, 1.0 / (growth + 1.0)),
            Method::Projective => {
                let Space { prime, dimensions } = Projective::new(self.answers, self.epsilon).unwrap().space;
                let size = |dimensions: i32| (f64::from(prime).powi(dimensions) - 1.0) / (f64::from(prime) - 1.0);
                let (points, near, shared) =
                    (size(dimensions as i32), size(dimensions as i32 - 1), size(dimensions as i32 - 2));
                let all = (growth - 1.0) * near + points;
                (growth * near / all, (growth * shared + near - shared) / all)
            }
        }
    }

    fn variance(&self, holders: f64, people: u32) -> f64 {
        let (own, other) = self.channel();
        let others = f64::from(people) - holders;
        (holders * own * (1.0 - own) + others * other * (1.0 - other)) / (own - other).powi(2)
    }
}

fn answer_of(person: u32, answers: u32) -> u32 {
    if person.is_multiple_of(2) { 1 } else { person / 2 % answers }
}

fn questions() -> Vec<Question> {
    [
        (Method::Kary, 2, "0.5"),
        (Method::Kary, 16, "1"),
        (Method::Kary, 64, "4"),
        (Method::Unary, 100, "0.5"),
        (Method::Unary, 200, "2"),
        (Method::Unary, 13, "4"),
        (Method::Projective, 100, "0.5"),
        (Method::Projective, 200, "1"),
        (Method::Projective, 500, "2"),
        (Method::Projective, 300, "4"),
    ]
    .map(|(method, answers, epsilon)| Question::new(method, answers, epsilon))
    .into()
}

/// Estimates of 400 runs against the truth. An answer's mean stays within 4.9
/// standard errors but once in 10^6, all 1,495 of them but once in 650; the
/// mean square error of a question has at least 800 terms.
#[test]
fn estimates_are_unbiased_and_their_error_is_that_of_theory() {
    const PEOPLE: u32 = 600;
    const RUNS: u32 = 400;
    for question in questions() {
        let truth = question.true_counts(PEOPLE);
        let mut entropy = seeded(u64::from(question.answers) << 32 | question.epsilon.nano());
        let (mut sums, mut squares) = (std::vec![0.0; truth.len()], 0.0);
        for _ in 0..RUNS {
            let errors = question
                .estimates(PEOPLE, &mut entropy)
                .into_iter()
                .zip(&truth)
                .map(|(found, truth)| found.count - truth);
            for (sum, error) in sums.iter_mut().zip(errors) {
                *sum += error;
                squares += error * error;
            }
        }
        let expected: f64 = truth.iter().map(|&holders| question.variance(holders, PEOPLE)).sum();
        let ratio = (squares / f64::from(RUNS) / expected).sqrt();
        let name = std::format!("{:?} {} {}", question.method, question.answers, question.epsilon.nano());
        // Standard error of the ratio: sqrt(1/(2 x 400 x answers)), for two answers whose errors mirror each other 0.035.
        let bound = 1.0 + 0.02_f64.max(4.0 * (1.0 / (2.0 * 400.0 * (f64::from(question.answers) - 1.0))).sqrt());
        assert!((1.0 / bound..bound).contains(&ratio), "{name}: RMSE {ratio} of theory");
        for (sum, holders) in sums.iter().zip(&truth) {
            let mean = sum / f64::from(RUNS);
            let standard_error = (question.variance(*holders, PEOPLE) / f64::from(RUNS)).sqrt();
            assert!(mean.abs() < 4.9 * standard_error, "{name}: off by {}", mean / standard_error);
        }
    }
}

/// The RMSE over 20,480 estimates and more: its ratio to theory has a
/// standard error of 0.005, so 1.02 would be passed by chance once in 30,000.
#[test]
fn the_root_mean_square_error_is_at_most_1_02_of_theory() {
    for (method, answers, epsilon, people, runs) in [
        (Method::Kary, 1024, "4", 4_000, 20),
        (Method::Unary, 1024, "1", 1_000, 20),
        (Method::Projective, 1024, "1", 4_000, 20),
        (Method::Projective, 4096, "3", 8_000, 6),
    ] {
        let question = Question::new(method, answers, epsilon);
        let truth = question.true_counts(people);
        let mut entropy = seeded(1);
        let mut squares = 0.0;
        for _ in 0..runs {
            let estimates = question.estimates(people, &mut entropy);
            squares += estimates.iter().zip(&truth).map(|(found, truth)| (found.count - truth).powi(2)).sum::<f64>();
        }
        let expected: f64 = truth.iter().map(|&holders| question.variance(holders, people)).sum();
        let ratio = (squares / f64::from(runs) / expected).sqrt();
        assert!((0.98..1.02).contains(&ratio), "{method:?} {answers} {epsilon}: {ratio}");
    }
}

/// Of 20,000 intervals each 95 % hold the truth: outside of 94 to 96 % by
/// chance, at 6 standard errors, never seen.
#[test]
fn intervals_hold_the_truth_95_times_in_100() {
    const PEOPLE: u32 = 3_000;
    for (method, answers, epsilon) in [(Method::Kary, 20, "2"), (Method::Unary, 20, "1"), (Method::Projective, 20, "1")]
    {
        let question = Question::new(method, answers, epsilon);
        let truth = question.true_counts(PEOPLE);
        let mut entropy = seeded(3);
        let held: usize = (0..1_000)
            .map(|_| question.estimates(PEOPLE, &mut entropy))
            .map(|found| {
                found.iter().zip(&truth).filter(|(found, truth)| (found.low..=found.high).contains(*truth)).count()
            })
            .sum();
        assert!((18_800..=19_200).contains(&held), "{method:?}: {held} of 20,000");
    }
}

/// Two ways to the same number: the integers that are tossed, and the papers' formulas in floats.
#[test]
fn planned_standard_errors_are_those_of_theory() {
    for question in questions() {
        let decoder = Decoder::new(question.method, question.answers, question.epsilon).unwrap();
        for (holders, people) in [(0, 1000), (500, 1000), (1000, 1000), (7, 4_000_000_000)] {
            let theory = question.variance(f64::from(holders), people).sqrt();
            let found = decoder.standard_error(holders, people);
            assert!(
                (found / theory - 1.0).abs() < 1e-6,
                "{:?} {}: {found} {theory}",
                question.method,
                question.answers
            );
        }
    }
}

/// With many answers no method that we know has less variance a report than
/// 4 e/(e - 1)^2 (Feldman et al. 2022, section 1). With few, less is possible.
#[test]
fn projective_spaces_have_nearly_the_least_error_there_is() {
    for answers in [100, 1024, 4096, 1 << 16] {
        for epsilon in ["0.5", "1", "2", "3", "4"] {
            let question = Question::new(Method::Projective, answers, epsilon);
            let growth = (question.epsilon.nano() as f64 / 1e9).exp();
            let ratio = (question.variance(0.0, 1) / (4.0 * growth / (growth - 1.0).powi(2))).sqrt();
            std::println!(
                "{answers} {epsilon}: {ratio:.4} {:?}",
                Projective::new(answers, question.epsilon).unwrap().space
            );
            assert!(ratio < 1.08, "{answers} {epsilon}: {ratio}");
        }
    }
}

/// Chi square of 200,000 reports over every report there is, beside the
/// probabilities of theory; passed by chance once in 10^6.
#[test]
fn reports_are_as_likely_as_they_should_be() {
    const REPORTS: u32 = 200_000;
    for (method, answers, epsilon, answer) in [
        (Method::Kary, 7, "1", 3),
        (Method::Projective, 13, "1", 5),
        (Method::Projective, 31, "2", 30),
        (Method::Projective, 2, "0.5", 1),
    ] {
        let question = Question::new(method, answers, epsilon);
        let randomizer = Randomizer::new(method, answers, question.epsilon).unwrap();
        let numbers = randomizer.numbers().unwrap();
        let mut counts = std::vec![0_u32; numbers as usize];
        let mut entropy = seeded(5);
        for _ in 0..REPORTS {
            let report = randomizer.randomize(answer, &mut entropy).unwrap();
            counts[report.as_bytes()[10..].iter().fold(0, |number, &byte| number << 8 | usize::from(byte))] += 1;
        }
        let near = hits_of(&question, answer, numbers);
        let (own, hits) = (question.channel().0, near.iter().filter(|&&near| near).count());
        let statistic: f64 = counts
            .iter()
            .zip(&near)
            .map(|(&count, &near)| {
                let share = if near { own / hits as f64 } else { (1.0 - own) / (counts.len() - hits) as f64 };
                let expected = share * f64::from(REPORTS);
                (f64::from(count) - expected).powi(2) / expected
            })
            .sum();
        // Wilson and Hilferty: the cube root of chi square over its freedom is normal.
        let freedom = f64::from(numbers - 1);
        let deviation = ((statistic / freedom).cbrt() - (1.0 - 2.0 / (9.0 * freedom))) / (2.0 / (9.0 * freedom)).sqrt();
        assert!(deviation < 4.76, "{method:?} {answers}: {deviation}");
    }
}

/// Which reports hit an answer, asked of the decoder one report at a time.
fn hits_of(question: &Question, answer: u32, numbers: u32) -> Vec<bool> {
    let blank = Randomizer::new(question.method, question.answers, question.epsilon).unwrap();
    let hits = |number| {
        let mut decoder = Decoder::new(question.method, question.answers, question.epsilon).unwrap();
        decoder.take(crate::report::Report::blank(&blank).with_number(number).as_bytes()).unwrap();
        decoder.estimates()[answer as usize].count > 0.0
    };
    (0..numbers).map(hits).collect()
}

#[test]
fn a_withdrawn_report_leaves_no_trace() {
    for question in questions() {
        let randomizer = Randomizer::new(question.method, question.answers, question.epsilon).unwrap();
        let mut decoder = Decoder::new(question.method, question.answers, question.epsilon).unwrap();
        let mut entropy = seeded(7);
        for person in 0..50 {
            let report = randomizer.randomize(person % question.answers, &mut entropy).unwrap();
            decoder.take_text(report.text().as_str()).unwrap();
        }
        let before = (decoder.reports(), decoder.estimates());
        let withdrawn = randomizer.randomize(1, &mut entropy).unwrap();
        decoder.take(withdrawn.as_bytes()).unwrap();
        decoder.remove_text(withdrawn.text().as_str()).unwrap();
        assert_eq!((decoder.reports(), decoder.estimates()), before);
    }
}

#[test]
fn a_report_that_was_never_counted_is_not_withdrawn() {
    let question = Question::new(Method::Kary, 4, "1");
    let randomizer = Randomizer::new(question.method, question.answers, question.epsilon).unwrap();
    let mut decoder = Decoder::new(question.method, question.answers, question.epsilon).unwrap();
    let report = |number| crate::report::Report::blank(&randomizer).with_number(number);
    assert_eq!(decoder.remove(report(2).as_bytes()), Err(crate::NotAReport::NotCounted));
    decoder.take(report(1).as_bytes()).unwrap();
    assert_eq!(decoder.remove(report(2).as_bytes()), Err(crate::NotAReport::NotCounted));
    assert_eq!(decoder.reports(), 1);
}

#[test]
fn the_method_for_a_question_has_the_least_error() {
    for epsilon in ["0.5", "1", "2", "4"] {
        for answers in [2, 5, 10, 50, 160, 170, 1000, 5000] {
            let best =
                Question::new(Method::for_question(answers, Epsilon::from_decimal(epsilon).unwrap()), answers, epsilon);
            for method in [Method::Kary, Method::Projective] {
                let other = Question::new(method, answers, epsilon);
                assert!(best.variance(0.0, 1) < other.variance(0.0, 1) * 1.2, "{epsilon} {answers}: {method:?}");
            }
        }
    }
}

/// Every number of hits of a few hundred reports is found again from its whole
/// estimate, and whole numbers between are nobody's.
#[test]
fn hits_are_found_behind_their_estimates_and_behind_nothing_else() {
    for question in questions() {
        let randomizer = Randomizer::new(question.method, question.answers, question.epsilon).unwrap();
        let channel = randomizer.channel();
        for reports in [0, 1, 300] {
            let wholes: Vec<i64> = (0..=reports).map(|hits| channel.estimate(hits, reports).whole).collect();
            for (hits, whole) in (0..).zip(&wholes) {
                assert!((channel.estimate(hits, reports).count - *whole as f64).abs() <= 0.5);
                assert_eq!(randomizer.hits_behind(*whole, reports), Some(hits));
                let found = randomizer.hits_behind(whole + 1, reports);
                assert_eq!(found.is_some(), wholes.contains(&(whole + 1)));
            }
            for whole in [i64::MIN, wholes[0] - 1, wholes[reports as usize] + 1, i64::MAX] {
                assert_eq!(randomizer.hits_behind(whole, reports), None);
            }
        }
    }
}
