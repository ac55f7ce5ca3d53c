//! Asks 10,000 people one question with eight answers, none of which ever
//! leaves its device as it was given, and prints what the collector learns:
//! `cargo run -p privet-ldp --example survey`.

use std::fs::File;
use std::io::Read;

use privet_ldp::{Decoder, Epsilon, Estimate, Ledger, Memory, Method, NoEntropy, Randomizer, memory_bytes};

const QUESTION: u32 = 1;
const ANSWERS: [(&str, u32); 8] = [
    ("knitting", 3_100),
    ("cycling", 2_400),
    ("chess", 1_700),
    ("running", 1_200),
    ("gardening", 900),
    ("pottery", 400),
    ("fencing", 200),
    ("falconry", 100),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let epsilon = Epsilon::from_decimal("2")?;
    let answers = u32::try_from(ANSWERS.len())?;
    let method = Method::for_question(answers, epsilon);
    let mut decoder = Decoder::new(method, answers, epsilon)?;

    let mut random = File::open("/dev/urandom")?;
    let mut entropy = |bytes: &mut [u8]| random.read_exact(bytes).map_err(|_| NoEntropy);
    let randomizer = Randomizer::new(method, answers, epsilon)?;
    for (answer, (_, people)) in (0..).zip(ANSWERS) {
        for _ in 0..people {
            // On a device of its own: asked ten times, it says the same, and pays once.
            let mut stored = [0; memory_bytes(4)];
            let mut memory = Memory::begin(&mut stored, Ledger::with_budget(Epsilon::from_decimal("4")?))?;
            let report = memory.respond(QUESTION, answer, &randomizer, &mut entropy)?;
            let again = memory.respond(QUESTION, answer, &randomizer, &mut entropy)?;
            assert_eq!(report, again);
            // In the pod:
            decoder.take_text(report.text().as_str())?;
        }
    }

    println!("{} reports, {method:?}, epsilon 2 each\n", decoder.reports());
    println!("{:<12}{:>8}{:>10}{:>8}{:>20}", "answer", "true", "estimate", "+-", "95 % interval");
    for ((name, people), estimate) in ANSWERS.into_iter().zip(decoder.estimates()) {
        let Estimate { count, standard_error, low, high, .. } = estimate;
        println!("{name:<12}{people:>8}{count:>10.0}{standard_error:>8.0}{low:>12.0} ..{high:>5.0}");
    }
    Ok(())
}
