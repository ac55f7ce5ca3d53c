//! How well, and how fast, the detectors do on labelled texts.
//!
//! `cargo run --release -p privet-policy --example detector_scores -- [--misses|--entities] FILE...`
//!
//! Prints, per entity, precision, recall and F1 over exactly equal spans, and the
//! same where a finding that overlaps a label counts as it; then the time per
//! text. `--misses` shows the texts where finding and label differ, which is only
//! for test data: they are printed as they are.
//!
//! `--entities` prints, and nothing else, a line of what is found in each text, as `privet detect` does, then
//! `{"seconds": ..., "entities": [...]}`: the time of one pass over all texts, and every detector's name.

#[path = "../tests/scoring/mod.rs"]
mod scoring;

use std::collections::BTreeMap;
use std::time::Instant;

use privet_policy::detect::{Detector, DetectorSet, Found, find, find_each};
use scoring::{Error, Labelled, Score};

fn main() -> Result<(), Error> {
    let (flags, files): (Vec<_>, Vec<_>) = std::env::args().skip(1).partition(|word| word.starts_with("--"));
    if flags.iter().any(|flag| flag == "--entities") {
        return entities(&files);
    }
    let shows_misses = flags.iter().any(|flag| flag == "--misses");
    for file in &files {
        let texts = scoring::read(&std::fs::read_to_string(file)?)?;
        println!("{file}: {} texts", texts.len());
        let scores = scoring::score(&texts, |text, detector, ours| {
            if shows_misses {
                println!("  {detector} at {ours:?}, labelled {:?}, in {:?}", text.labels.get(&detector), text.text);
            }
        });
        print("exact span", &scores.exact);
        print("overlap", &scores.overlapping);
        time(&texts);
    }
    Ok(())
}

/// Prints what is found in each text, and how long the best of some passes over all of them took.
fn entities(files: &[String]) -> Result<(), Error> {
    let mut texts = Vec::new();
    for file in files {
        texts.extend(scoring::read(&std::fs::read_to_string(file)?)?);
    }
    let mut found = Vec::new();
    for text in &texts {
        find_each(&text.text, DetectorSet::ALL, &mut found);
        let entities: Vec<_> = found.iter().map(|one| entity(&text.text, one)).collect();
        println!("{}", serde_json::json!({ "entities": entities }));
    }
    let round = || {
        let mut found = Vec::new();
        let start = Instant::now();
        texts.iter().for_each(|text| find_each(std::hint::black_box(&text.text), DetectorSet::ALL, &mut found));
        start.elapsed().as_secs_f64()
    };
    let best = (0..20).map(|_| round()).fold(f64::MAX, f64::min);
    println!("{}", serde_json::json!({"seconds": best, "entities": Detector::ALL.map(Detector::name).to_vec()}));
    Ok(())
}

fn entity(text: &str, one: &Found) -> serde_json::Value {
    let code_points = |end: usize| text.get(..end).unwrap_or_default().chars().count();
    let (start, end) = (code_points(one.start), code_points(one.end));
    serde_json::json!({"type": one.detector.name(), "start": start, "end": end})
}

fn print(title: &str, scores: &BTreeMap<Detector, Score>) {
    println!(
        "  {title:14} {:>6} {:>6} {:>7} {:>10} {:>7} {:>7}",
        "right", "wrong", "missing", "precision", "recall", "F1"
    );
    for (detector, score) in scores {
        let Score { right, wrong, missing } = score;
        let (precision, recall, f1) = (score.precision(), score.recall(), score.f1());
        println!(
            "  {:14} {right:>6} {wrong:>6} {missing:>7} {precision:>10.4} {recall:>7.4} {f1:>7.4}",
            detector.name()
        );
    }
}

/// Prints the mean time per text in the best of some rounds.
fn time(texts: &[Labelled]) {
    let mut found = Vec::new();
    let bytes: usize = texts.iter().map(|text| text.text.len()).sum();
    let round = |found: &mut Vec<_>| {
        let start = Instant::now();
        texts.iter().for_each(|text| find(std::hint::black_box(&text.text), DetectorSet::ALL, found));
        start.elapsed()
    };
    let best = (0..50).map(|_| round(&mut found)).min().unwrap_or_default();
    let count = texts.len().max(1);
    println!("  {:.0} ns per text of {} bytes in the mean\n", best.as_nanos() as f64 / count as f64, bytes / count);
}
