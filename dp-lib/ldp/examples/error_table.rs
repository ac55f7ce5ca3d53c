//! Measures what `docs/ldp.md` prints: `cargo run --release -p privet-ldp
//! --features server --example error_table`. The seed is fixed, so it prints
//! the same errors again.

use std::time::Instant;

use privet_ldp::{Decoder, Epsilon, Method, Randomizer};

const PEOPLE: u32 = 1_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("{PEOPLE} people, everyone's answer drawn evenly; RMSE over all answers, in people\n");
    println!("| method | answers | epsilon | report bytes | RMSE | optimum | ratio | randomize ns | decode ms |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for (method, answers) in [
        (Method::Kary, 8),
        (Method::Kary, 4096),
        (Method::Unary, 8),
        (Method::Unary, 1024),
        (Method::Projective, 1024),
        (Method::Projective, 4096),
        (Method::Projective, 1 << 16),
    ] {
        for epsilon in ["1", "2", "4"] {
            measure(method, answers, epsilon)?;
        }
    }
    Ok(())
}

fn measure(method: Method, answers: u32, written: &str) -> Result<(), Box<dyn std::error::Error>> {
    let epsilon = Epsilon::from_decimal(written)?;
    let randomizer = Randomizer::new(method, answers, epsilon)?;
    let mut decoder = Decoder::new(method, answers, epsilon)?;
    let mut state = 1_u64;
    let mut entropy = |bytes: &mut [u8]| {
        bytes.chunks_mut(8).for_each(|chunk| {
            let word = split_mix(&mut state).to_le_bytes();
            chunk.iter_mut().zip(word).for_each(|(place, byte)| *place = byte);
        });
        Ok(())
    };
    let begun = Instant::now();
    for person in 0..PEOPLE {
        let report = randomizer.randomize(person % answers, &mut entropy)?;
        decoder.take(report.as_bytes())?;
    }
    let randomized = begun.elapsed().as_nanos() / u128::from(PEOPLE);
    let begun = Instant::now();
    let estimates = decoder.estimates();
    let decoded = begun.elapsed();

    let truth = |answer: u32| f64::from(PEOPLE / answers + u32::from(answer < PEOPLE % answers));
    let squares: f64 = (0..answers).zip(&estimates).map(|(answer, found)| (found.count - truth(answer)).powi(2)).sum();
    let rmse = (squares / f64::from(answers)).sqrt();
    let growth = (epsilon.nano() as f64 / 1e9).exp();
    let optimum = (f64::from(PEOPLE) * 4.0 * growth).sqrt() / (growth - 1.0);
    println!(
        "| {method:?} | {answers} | {written} | {} | {rmse:.0} | {optimum:.0} | {:.2} | {randomized} | {:.1} |",
        randomizer.report_bytes(),
        rmse / optimum,
        decoded.as_secs_f64() * 1e3
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
