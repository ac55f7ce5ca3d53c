//! Measures what `docs/ldp.md` prints: `cargo run --release -p privet-ldp --example error_table`.
//! The seed is fixed, so it prints the same errors again.

use std::time::{Duration, Instant};

use privet_ldp::{Decoder, Epsilon, Method, Randomizer};

/// A question is asked again until so many estimates were made: the RMSE then
/// has a standard error of half a percent.
const ESTIMATES: u32 = 20_480;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!(
        "| method | answers | epsilon | people | RMSE | theory | RMSE/theory | central | report bytes | randomize, ns | decode, ms |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for (method, answers, people) in [
        (Method::Kary, 8, 10_000),
        (Method::Unary, 8, 10_000),
        (Method::Kary, 1024, 100_000),
        (Method::Unary, 1024, 100_000),
        (Method::Projective, 1024, 100_000),
        (Method::Kary, 1 << 16, 1_000_000),
        (Method::Projective, 1 << 16, 1_000_000),
    ] {
        for epsilon in ["1", "2", "4"] {
            measure(method, answers, people, epsilon)?;
        }
    }
    Ok(())
}

fn measure(method: Method, answers: u32, people: u32, written: &str) -> Result<(), Box<dyn std::error::Error>> {
    let epsilon = Epsilon::from_decimal(written)?;
    let randomizer = Randomizer::new(method, answers, epsilon)?;
    let mut state = 1_u64;
    let mut entropy = |bytes: &mut [u8]| {
        bytes.chunks_mut(8).for_each(|chunk| {
            let word = split_mix(&mut state).to_le_bytes();
            chunk.iter_mut().zip(word).for_each(|(place, byte)| *place = byte);
        });
        Ok(())
    };
    let truth = |answer: u32| people / answers + u32::from(answer < people % answers);
    let runs = ESTIMATES.div_ceil(answers);
    let (mut squares, mut theory) = (0.0, 0.0);
    let (mut randomizing, mut decoding) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..runs {
        let mut decoder = Decoder::new(method, answers, epsilon)?;
        let begun = Instant::now();
        for person in 0..people {
            decoder.take(randomizer.randomize(person % answers, &mut entropy)?.as_bytes())?;
        }
        randomizing += begun.elapsed();
        let begun = Instant::now();
        let estimates = decoder.estimates();
        decoding += begun.elapsed();
        for (answer, found) in (0..answers).zip(&estimates) {
            squares += (found.count - f64::from(truth(answer))).powi(2);
            theory += decoder.standard_error(truth(answer), people).powi(2);
        }
    }
    let (rmse, theory) = ((squares / f64::from(answers * runs)).sqrt(), (theory / f64::from(answers * runs)).sqrt());
    // One release of discrete Laplace noise: the standard deviation at sensitivity 1.
    let shrink = (-(epsilon.nano() as f64) / 1e9).exp();
    let central = (2.0 * shrink).sqrt() / (1.0 - shrink);
    println!(
        "| {method:?} | {answers} | {written} | {people} | {rmse:.1} | {theory:.1} | {:.3} | {central:.2} | {} | {} | {:.1} |",
        rmse / theory,
        randomizer.report_bytes(),
        randomizing.as_nanos() / u128::from(people) / u128::from(runs),
        decoding.as_secs_f64() * 1e3 / f64::from(runs)
    );
    Ok(())
}

/// SplitMix64: the same numbers each run, and never on a device.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
