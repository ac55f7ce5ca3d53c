//! Holds the detectors to their scores on labelled texts.
//!
//! The texts are a sample (tests/data/pii/README.md says whose); a change that
//! lowers a score below its floor has made the detectors worse on texts that
//! nobody here wrote.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod scoring;

use privet_policy::detect::Detector;

/// The F1 over exactly equal spans that each detector must keep.
const FLOORS: [(Detector, f64); 4] = [
    (Detector::EmailAddress, 0.98),
    (Detector::PhoneNumber, 0.95),
    (Detector::CreditCard, 0.98),
    (Detector::IpAddress, 0.98),
];

#[test]
fn scores_stay_above_their_floors() {
    let mut texts = scoring::read(include_str!("data/pii/presidio.ndjson")).unwrap();
    texts.extend(scoring::read(include_str!("data/pii/synthetic.ndjson")).unwrap());
    assert_eq!(texts.len(), 353);
    let mut misses = Vec::new();
    let scores =
        scoring::score(&texts, |text, detector, ours| misses.push(format!("{detector} {ours:?} in {:?}", text.text)));
    for (detector, floor) in FLOORS {
        let score = scores.exact[&detector];
        let (exact, overlapping) = (score.f1(), scores.overlapping[&detector].f1());
        println!("{detector}: precision {:.4}, recall {:.4}, F1 {exact:.4}", score.precision(), score.recall());
        assert!(score.right >= 30, "{detector} has too few labels to say anything");
        assert!(exact >= floor, "{detector} fell to {exact:.4} of {floor}:\n{}", misses.join("\n"));
        assert!(overlapping >= exact);
    }
}
