use std::sync::Arc;

use super::super::{AnyReceipt, Finding, WindowStatus, tests as central, verify};
use super::*;
use crate::ledger::Ledger;
use crate::local::tests::{seeded, survey};
use crate::local::{OpenReports, Survey};
use crate::window::PolicyDigest;

const NOON: i64 = 1_795_262_400;
const POLICY: PolicyDigest = [7; 32];

/// The receipt of one hour in which 900 people answer: a third spring, the rest summer.
fn release(ledger: &Ledger, survey: &Arc<Survey>, hour: i64) -> Vec<u8> {
    let window = survey.schedule.tiling().window_at(NOON + hour * 3600);
    let mut open = OpenReports::open(Arc::clone(survey), window, POLICY, window.start(), 0).unwrap();
    let mut entropy = seeded(hour.cast_unsigned());
    for unit in 0_u32..900 {
        let answer = u32::from(!unit.is_multiple_of(3));
        let report = survey.question.randomizer().randomize(answer, &mut entropy).unwrap();
        open.observe(&unit.to_le_bytes(), report.text().as_str(), &POLICY).unwrap();
    }
    let closed = open.close(window.end()).unwrap();
    let shard = ledger.shard(0);
    let uncharged = ledger.reserve_uncharged(&closed, shard).unwrap().unwrap();
    let prev_receipt = ledger.chain_head(&survey.name).unwrap();
    let facts = LocalFacts { shard, release: uncharged.release(), prev_receipt };
    let unsent = ledger.commit_uncharged(uncharged, &LocalReceipt::new(facts, &closed)).unwrap();
    ledger.acknowledge(unsent.release).unwrap();
    unsent.receipt
}

fn three(method: Method) -> Vec<Vec<u8>> {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&directory.path().join("ledger.redb")).unwrap();
    let survey = Arc::new(survey(method, "2"));
    (0..3).map(|hour| release(&ledger, &survey, hour)).collect()
}

#[test]
fn a_receipt_says_what_is_promised_and_reads_back() {
    let bytes = three(Method::Kary).remove(0);
    let receipt = LocalReceipt::from_bytes(&bytes).unwrap();
    assert_eq!(receipt.to_bytes(), bytes);
    assert!(matches!(AnyReceipt::from_bytes(&bytes), Ok(AnyReceipt::Local(_))));
    let text = String::from_utf8(bytes).unwrap();
    for part in [
        r#""adjacency":"replace_one","charged":{"delta_pico":0,"epsilon_nano":0},"covers_withholding":false"#,
        r#""memoization":"on_device","model":"local","per_report":{"delta_pico":0,"epsilon_nano":2000000000},"presence":"public""#,
        r#""question":{"answers":4,"field":"properties.report","method":"kary"}"#,
        r#""reports":900"#,
        r#""columns":["answer"]"#,
        r#""key":["spring"],"of":"answers""#,
    ] {
        assert!(text.contains(part), "{part} not in {text}");
    }
}

/// A true count is outside of its interval once in twenty, and these 36 are
/// fixed by their seeds. Six or more outside would come by chance but once in
/// 110 with others, were they independent.
#[test]
fn intervals_hold_the_truth_about_as_often_as_they_say() {
    let mut missed = 0;
    for method in [Method::Kary, Method::Unary, Method::Projective] {
        for bytes in three(method) {
            let receipt = LocalReceipt::from_bytes(&bytes).unwrap();
            for (row, truth) in receipt.values.iter().zip([300, 600, 0, 0]) {
                let [low, high] = row.ci95.unwrap();
                missed += u32::from(!(low..=high).contains(&truth));
            }
        }
    }
    assert!(missed < 6, "{missed} of 36");
}

#[test]
fn an_honest_chain_verifies_by_every_method() {
    for method in [Method::Kary, Method::Unary, Method::Projective] {
        let chain = three(method);
        let report = verify(&chain).unwrap();
        assert_eq!((report.receipts, report.from_the_start, report.head), (3, true, Digest::of(&chain[2])));
    }
}

#[test]
fn an_export_that_becomes_a_survey_goes_on_in_its_chain() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&directory.path().join("ledger.redb")).unwrap();
    let mut chain = central::chain(&ledger, &Arc::new(crate::query::tests::query("seasons", 2, 3)), 2);
    chain.push(release(&ledger, &Arc::new(survey(Method::Unary, "1")), 2));
    assert_eq!(verify(&chain).unwrap().receipts, 3);
}

/// Each way of changing the middle receipt, and what must be found in it. The
/// changed receipt is written canonically, so that nothing shows but the change.
#[test]
fn every_tampering_shows() {
    type Change = fn(&mut LocalReceipt);
    fn with_values(receipt: &mut LocalReceipt, change: fn(&mut Vec<Value>)) {
        change(&mut receipt.values);
        receipt.payload_sha256 = payload_digest(&receipt.values);
    }
    let changes: [(Change, Wrong); 24] = [
        (|receipt| receipt.receipt_version = 1, Wrong::Form),
        (|receipt| receipt.policy_digest = Digest::ZERO, Wrong::ReleaseId),
        (|receipt| receipt.ledger.part = 1, Wrong::ReleaseId),
        (|receipt| receipt.query = "other".to_owned(), Wrong::ReleaseId),
        (|receipt| receipt.values[0].value += 1, Wrong::Payload),
        (|receipt| with_values(receipt, |values| drop(values.pop())), Wrong::Keys),
        (|receipt| with_values(receipt, |values| values[0].key = values[1].key.clone()), Wrong::Keys),
        (|receipt| receipt.columns = vec!["season".to_owned()], Wrong::Keys),
        (|receipt| receipt.window.status = WindowStatus::ClosedEarly, Wrong::Window),
        (|receipt| receipt.privacy.per_report.delta_pico = 1, Wrong::Loss),
        (|receipt| receipt.privacy.per_report = epsilon_of(0), Wrong::Loss),
        (|receipt| receipt.question.method = "plain".to_owned(), Wrong::Loss),
        (|receipt| receipt.privacy.charged = epsilon_of(1), Wrong::Charge),
        (|receipt| receipt.privacy.per_report = epsilon_of(1_900_000_000), Wrong::Estimates),
        (|receipt| receipt.question.method = "unary".to_owned(), Wrong::Estimates),
        (|receipt| receipt.reports += 1, Wrong::Estimates),
        (|receipt| receipt.reports = 0, Wrong::Estimates),
        (|receipt| with_values(receipt, |values| values[0].value += 2), Wrong::Estimates),
        (|receipt| with_values(receipt, |values| values[0].value = values[1].value), Wrong::Estimates),
        (|receipt| receipt.values[0].ci95 = None, Wrong::Interval),
        (|receipt| with_values(receipt, |values| values[0].ci95 = Some([0, 900])), Wrong::Interval),
        (|receipt| receipt.values[0].value_nonneg = Some(7), Wrong::Interval),
        (|receipt| receipt.privacy.covers_withholding = true, Wrong::Overclaim),
        (|receipt| receipt.privacy.guarantee = "nothing is told".to_owned(), Wrong::Overclaim),
    ];
    let honest = three(Method::Kary);
    for (number, (change, wrong)) in changes.into_iter().enumerate() {
        let mut chain = honest.clone();
        let mut receipt = LocalReceipt::from_bytes(&chain[1]).unwrap();
        change(&mut receipt);
        chain[1] = receipt.to_bytes();
        let findings = verify(&chain).unwrap_err();
        assert!(findings.contains(&Finding { at: 1, what: wrong }), "{number}: {wrong:?} not among {findings:?}");
        assert!(findings.contains(&Finding { at: 2, what: Wrong::Chain }), "{number}: {findings:?}");
    }
}
