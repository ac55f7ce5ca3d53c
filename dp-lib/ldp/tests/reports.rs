//! What a stranger may send instead of a report.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use privet_ldp::{Decoder, Epsilon, Method, NotAReport, REPORT_BYTES_MAX, Randomizer, Report};
use proptest::prelude::*;

const QUESTIONS: [(Method, u32); 5] =
    [(Method::Kary, 5), (Method::Kary, 70_000), (Method::Unary, 13), (Method::Unary, 1024), (Method::Projective, 300)];

fn epsilon() -> Epsilon {
    Epsilon::from_decimal("1.25").unwrap()
}

fn decoder((method, answers): (Method, u32)) -> Decoder {
    Decoder::new(method, answers, epsilon()).unwrap()
}

fn report((method, answers): (Method, u32), random: u8) -> Report {
    let mut next = random;
    let mut entropy = |bytes: &mut [u8]| {
        bytes.iter_mut().for_each(|byte| {
            next = next.wrapping_mul(5).wrapping_add(113);
            *byte = next;
        });
        Ok(())
    };
    Randomizer::new(method, answers, epsilon()).unwrap().randomize(answers - 1, &mut entropy).unwrap()
}

proptest! {
    #[test]
    fn bytes_of_any_kind_are_refused_or_counted_once(question in 0..QUESTIONS.len(), bytes in prop::collection::vec(any::<u8>(), 0..150)) {
        let mut decoder = decoder(QUESTIONS[question]);
        let taken = decoder.take(&bytes);
        prop_assert_eq!(decoder.reports(), u32::from(taken.is_ok()));
    }

    #[test]
    fn text_of_any_kind_is_refused(question in 0..QUESTIONS.len(), text in ".{0,300}") {
        prop_assert!(decoder(QUESTIONS[question]).take_text(&text).is_err());
    }

    #[test]
    fn a_report_is_counted_and_no_other_length_of_it(question in 0..QUESTIONS.len(), random: u8, cut in 1..12_usize) {
        let question = QUESTIONS[question];
        let report = report(question, random);
        let mut decoder = decoder(question);
        prop_assert_eq!(decoder.take(report.as_bytes()), Ok(()));
        prop_assert_eq!(decoder.take_text(report.text().as_str()), Ok(()));
        let bytes = report.as_bytes();
        prop_assert_eq!(decoder.take(&bytes[..bytes.len() - cut]), Err(NotAReport::Length));
        prop_assert_eq!(decoder.take(&[bytes, &vec![0; cut]].concat()), Err(NotAReport::Length));
        prop_assert_eq!(decoder.reports(), 2);
    }

    #[test]
    fn every_other_text_of_a_report_is_refused(question in 0..QUESTIONS.len(), random: u8, place in any::<prop::sample::Index>(), other in "[^A-Za-z0-9_-]|[A-Za-z0-9_-]") {
        let question = QUESTIONS[question];
        let text = report(question, random).text().as_str().to_owned();
        let mut changed = text.clone();
        let place = place.index(text.len());
        changed.replace_range(place..=place, &other);
        let mut decoder = decoder(question);
        if decoder.take_text(&changed).is_ok() && changed != text {
            // Then the body says something else, and that has no second text either.
            prop_assert!(place >= 13, "the header is no part of what may differ");
        }
        prop_assert!(decoder.take_text(&(text.clone() + "=")).is_err());
        prop_assert!(decoder.take_text(&(text + " ")).is_err());
    }

    #[test]
    fn reports_of_other_declarations_are_refused_by_name(random: u8) {
        let taken = |bytes: &[u8]| decoder((Method::Kary, 5)).take(bytes);
        let bytes = report((Method::Kary, 5), random).as_bytes().to_vec();
        for (place, refusal) in [
            (0, NotAReport::Version), (1, NotAReport::Method), (2, NotAReport::Answers), (4, NotAReport::Answers),
            (5, NotAReport::Epsilon), (9, NotAReport::Epsilon),
        ] {
            let mut other = bytes.clone();
            other[place] ^= 1 << (random % 8);
            prop_assert_eq!(taken(&other), Err(refusal));
        }
    }
}

#[test]
fn numbers_past_the_last_answer_and_bits_past_it_are_refused() {
    let mut last = report((Method::Kary, 5), 1).as_bytes().to_vec();
    *last.last_mut().unwrap() = 4;
    assert_eq!(decoder((Method::Kary, 5)).take(&last), Ok(()));
    *last.last_mut().unwrap() = 5;
    assert_eq!(decoder((Method::Kary, 5)).take(&last), Err(NotAReport::OutOfRange));

    let mut bits = report((Method::Unary, 13), 1).as_bytes().to_vec();
    *bits.last_mut().unwrap() = 0b0001_1111;
    assert_eq!(decoder((Method::Unary, 13)).take(&bits), Ok(()));
    *bits.last_mut().unwrap() = 0b0010_0000;
    assert_eq!(decoder((Method::Unary, 13)).take(&bits), Err(NotAReport::Padding));

    let mut point = report((Method::Projective, 300), 1).as_bytes().to_vec();
    point[10..].fill(0xff);
    assert_eq!(decoder((Method::Projective, 300)).take(&point), Err(NotAReport::OutOfRange));
}

#[test]
fn a_report_is_as_long_as_it_is_said_to_be() {
    for question in QUESTIONS {
        let randomizer = Randomizer::new(question.0, question.1, epsilon()).unwrap();
        assert_eq!(report(question, 3).as_bytes().len(), randomizer.report_bytes());
    }
    assert_eq!(report((Method::Unary, 1024), 3).as_bytes().len(), REPORT_BYTES_MAX);
}

/// The encoding is a promise to devices that are not updated: byte for byte.
/// The texts were made by a second implementation from the papers, in Python
/// with 80 decimal digits, which draws the same bytes.
#[test]
fn the_encoding_stays_as_it_is() {
    let text = |question| report(question, 3).text().as_str().to_owned();
    assert_eq!(text((Method::Kary, 5)), "AQEAAAUASoF8gAA");
    assert_eq!(text((Method::Unary, 13)), "AQIAAA0ASoF8gAwA");
    assert_eq!(text((Method::Projective, 300)), "AQMAASwASoF8gAFG");
    assert_eq!(text((Method::Kary, 70_000)), "AQEBEXAASoF8gADxJg");
}
