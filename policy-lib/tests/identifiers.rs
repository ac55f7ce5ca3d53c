//! Check digits, on numbers nobody wrote down: of all last characters that a
//! generated number can have, one makes it an identifier (or, where ten is no
//! digit, none does), and every other is a near miss that is not found.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use privet_policy::detect::{Detector, DetectorSet, find_each};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

/// What the last character may be.
const DIGITS: &str = "0123456789";
const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const EITHER: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// Month and day, as digits.
const MONTH_DAY: &str = "(0[1-9]|1[0-2])(0[1-9]|1[0-9]|2[0-8])";

/// An identifier: all but its last character, the last ones to try, a sentence around it, and whether there is always one that fits.
struct Kind {
    detector: Detector,
    base: String,
    last: &'static str,
    sentence: &'static str,
    always: bool,
}

fn kind(detector: Detector, base: &str, last: &'static str, sentence: &'static str) -> Kind {
    Kind { detector, base: base.replace("MD", MONTH_DAY), last, sentence, always: true }
}

fn sometimes(kind: Kind) -> Kind {
    Kind { always: false, ..kind }
}

fn kinds() -> Vec<Kind> {
    use Detector::*;
    vec![
        sometimes(kind(UkNhs, "[1-9][0-9]{8}", DIGITS, "a patient (NHS no. #) called")),
        sometimes(kind(AuTfn, "[1-9][0-9]{7}", DIGITS, "tax file number=#&x")),
        sometimes(kind(AuAbn, "[1-9][0-9]{9}", DIGITS, "bill it to #, please")),
        sometimes(kind(PhTin, "[1-9][0-9]{7}", DIGITS, "his TIN is #.")),
        kind(AuAcn, "[1-9][0-9]{7}", DIGITS, "the company # was founded"),
        kind(CaSin, "[1-79][0-9]{7}", DIGITS, "social insurance number: #"),
        kind(UsNpi, "1[1-9][0-9]{7}", DIGITS, "ask the physician, # is hers"),
        kind(DeVatId, "DE[1-9][0-9]{7}", DIGITS, "auf der Rechnung # fehlt etwas"),
        kind(DeTaxId, "[1-9][0-9]{9}", DIGITS, "meine Steuernummer # liegt bei"),
        kind(InAadhaar, "[2-9][0-9]{10}", DIGITS, "her aadhaar card says # there"),
        kind(NgNin, "[1-9][0-9]{9}", DIGITS, "national identity #"),
        kind(ItVatCode, "[1-9][0-9]{9}", DIGITS, "partita IVA #, Milano"),
        kind(KrBrn, "[1-9][0-9]{8}", DIGITS, "business registration #"),
        kind(ThTnin, "11[0-9]{10}", DIGITS, "Thai citizen # arrived"),
        kind(PlPesel, "[0-9]{2}MD[0-9]{3}[1-9]", DIGITS, "wpisano # wczoraj"),
        kind(SePersonnummer, "[0-9]{2}MD[1-9][0-9]{2}", DIGITS, "skriv # här"),
        kind(ZaIdNumber, "[0-9]{2}MD[0-9]{4}08", DIGITS, "please note # down"),
        kind(MedicalLicense, "[ABF][A-Z][0-9]{6}", DIGITS, "signed by # today"),
        kind(DeHealthInsurance, "[A-Z][0-9]{8}", DIGITS, "bitte # angeben"),
        kind(DePassport, "[CFGHJK][0-9]{7}", DIGITS, "bitte # angeben"),
        kind(EsNif, "[0-9]{8}", LETTERS, "soy #, gracias"),
        kind(EsNie, "[XYZ][0-9]{7}", LETTERS, "soy #, gracias"),
        kind(SgUen, "[0-9]{8}", LETTERS, "an invoice from # came"),
        kind(
            FiPersonalIdentityCode,
            "(0[1-9]|1[0-9]|2[0-8])(0[1-9]|1[0-2])[0-9]{2}[-A][1-9][0-9]{2}",
            EITHER,
            "olen # ja",
        ),
    ]
}

/// Whether the detector finds the number, the whole of it and nothing else, in the sentence.
fn is_found(kind: &Kind, number: &str) -> bool {
    let text = kind.sentence.replace('#', number);
    let mut found = Vec::new();
    find_each(&text, DetectorSet::from_iter([kind.detector]), &mut found);
    let spans: Vec<_> = found.iter().map(|one| &text[one.start..one.end]).collect();
    assert!(spans.is_empty() || spans == [number], "{}: {spans:?} in {text:?}", kind.detector);
    !spans.is_empty()
}

#[test]
fn one_check_character_is_right_and_all_others_are_near_misses() {
    let mut runner = TestRunner::deterministic();
    for kind in kinds() {
        let bases = proptest::string::string_regex(&kind.base).unwrap();
        let mut right = 0;
        for _ in 0..200 {
            let base = bases.new_tree(&mut runner).unwrap().current();
            let fitting = kind.last.chars().filter(|last| is_found(&kind, &format!("{base}{last}"))).count();
            assert!(fitting <= 1 && (fitting == 1 || !kind.always), "{}: {fitting} of {base}?", kind.detector);
            right += fitting;
        }
        assert!(right >= 20, "{}: {right} of 200", kind.detector);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// What carries no proof of its own is found beside a word and alone, and not in a sentence about something else.
    #[test]
    fn plain_numbers_need_a_word(number in "[1-8][0-9]{8}") {
        let finds = |detector: Detector, text: &str| {
            let mut found = Vec::new();
            find_each(text, DetectorSet::from_iter([detector]), &mut found);
            found.len()
        };
        prop_assert_eq!(finds(Detector::UsPassport, &format!("her travel document, a passport: {number}")), 1);
        prop_assert_eq!(finds(Detector::UsPassport, &number), 1);
        prop_assert_eq!(finds(Detector::UsPassport, &format!("we shipped order {number} yesterday")), 0);
        prop_assert_eq!(finds(Detector::UsDriverLicense, &format!("driving licence {number}")), 1);
        prop_assert_eq!(finds(Detector::UsDriverLicense, &format!("a total of {number} views")), 0);
        prop_assert_eq!(finds(Detector::UsBankNumber, &format!("into my checking account {number}, thanks")), 1);
        prop_assert_eq!(finds(Detector::UsBankNumber, &format!("a total of {number} views")), 0);
    }

    /// Areas, groups and serials that were never issued are not found.
    #[test]
    fn social_security_numbers(area in 1_u32..900, group in 1_u32..100, serial in 1_u32..10_000) {
        let finds = |area: u32, group: u32, serial: u32| {
            let text = format!("my social security number is {area:03}-{group:02}-{serial:04}");
            let mut found = Vec::new();
            find_each(&text, DetectorSet::from_iter([Detector::UsSsn]), &mut found);
            found.len()
        };
        let advertised = matches!((area, group, serial), (78, 5, 1120) | (219, 9, 9999) | (123, 45, 6789));
        let repeated = (area, group, serial) == (area / 100 * 111, area / 100 * 11, area / 100 * 1111);
        prop_assert_eq!(finds(area, group, serial), usize::from(area != 666 && !advertised && !repeated));
        for never in [(0, group, serial), (666, group, serial), (900 + group, group, serial), (area, 0, serial), (area, group, 0)] {
            prop_assert_eq!(finds(never.0, never.1, never.2), 0);
        }
    }
}
