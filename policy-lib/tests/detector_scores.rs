//! Holds the detectors to their scores on labelled texts.
//!
//! The texts are a sample (tests/data/pii/README.md says whose); a change that
//! lowers a score below its floor has made the detectors worse on texts that
//! nobody here wrote.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod scoring;

use privet_policy::detect::{Detector, DetectorSet, find};

/// The F1 over exactly equal spans that a detector must keep.
const FLOOR: f64 = 0.95;

/// Those that keep less, and why.
const LOWER_FLOORS: [(Detector, f64); 10] = [
    // A label that takes in the quotes.
    (Detector::Url, 0.92),
    // A second number in the same text that is not labelled.
    (Detector::InGstin, 0.92),
    // Two labels are birthdays alone.
    (Detector::ZaIdNumber, 0.87),
    // One of its labels is invalid by its own check digit.
    (Detector::DeVatId, 0.93),
    // A day of the week before a holiday is not labelled.
    (Detector::DateTime, 0.93),
    // Four labels have a wrong check digit or begin with 1.
    (Detector::InAadhaar, 0.66),
    // Plates of before 1989, and a number with one letter in front.
    (Detector::InVehicleRegistration, 0.74),
    // A letter that no card begins with.
    (Detector::SgNricFin, 0.79),
    // A label that begins with the space before it.
    (Detector::UkNino, 0.66),
    // Postal codes in an address without a word that says so.
    (Detector::ZipCode, 0.73),
];

#[test]
fn scores_stay_above_their_floors() {
    let mut texts = scoring::read(include_str!("data/pii/presidio.ndjson")).unwrap();
    texts.extend(scoring::read(include_str!("data/pii/synthetic.ndjson")).unwrap());
    assert_eq!(texts.len(), 1884);
    let mut misses = Vec::new();
    let scores =
        scoring::score(&texts, |text, detector, ours| misses.push(format!("{detector} {ours:?} in {:?}", text.text)));
    let fallen = scores.exact.iter().filter_map(|(detector, score)| {
        let floor = LOWER_FLOORS.iter().find(|(lower, _)| lower == detector).map_or(FLOOR, |(_, floor)| *floor);
        let labels = score.right + score.missing;
        let holds = if labels == 0 { score.wrong == 0 } else { score.f1() >= floor };
        (!holds).then(|| {
            let (precision, recall) = (score.precision(), score.recall());
            format!("{detector} has {:.4} of {floor}, precision {precision:.4}, recall {recall:.4}", score.f1())
        })
    });
    let fallen: Vec<_> = fallen.collect();
    assert!(fallen.is_empty(), "{fallen:#?}\n{}", misses.join("\n"));
    assert!(scores.exact.iter().all(|(detector, score)| scores.overlapping[detector].f1() >= score.f1()));
    assert!(scores.exact.len() >= 75, "labels speak of {} detectors", scores.exact.len());
}

/// Texts without an identifier hold none: a stray number in prose is nobody's passport.
#[test]
fn prose_with_numbers_has_no_identifiers() {
    let texts = scoring::read(include_str!("data/pii/synthetic.ndjson")).unwrap();
    let labelled = scoring::LABELLED.map(|(_, detector)| detector);
    let mut stray = Vec::new();
    let mut found = Vec::new();
    for text in &texts {
        find(&text.text, DetectorSet::ALL, &mut found);
        stray
            .extend(found.iter().filter(|one| !labelled.contains(&one.detector)).map(|one| (one.detector, &text.text)));
    }
    assert!(stray.is_empty(), "{} findings that no label speaks of: {stray:#?}", stray.len());
}
