use std::sync::Arc;

use super::*;
use crate::aggregate::{Clamp, Edges, PerMille, Quantiles};
use crate::fleet::Fleet as DeclaredFleet;
use crate::ledger::{Claim, Ledger, Spent};
use crate::mechanism::{Mechanism, Spec};
use crate::query::RowKey;
use crate::query::tests::query;
use crate::window::OpenWindow;
use verify::Wrong;

const NOON: i64 = 1_795_262_400;
const POLICY: PolicyDigest = [7; 32];

/// The receipts of `windows` hours in a row, through a real ledger.
pub(crate) fn chain(ledger: &Ledger, query: &Arc<Query>, windows: i64) -> Vec<Vec<u8>> {
    (0..windows).map(|hour| release(ledger, query, NOON + hour * 3600)).collect()
}

fn release(ledger: &Ledger, query: &Arc<Query>, start_secs: i64) -> Vec<u8> {
    let window = query.schedule.tiling().window_at(start_secs);
    let mut open = OpenWindow::open(Arc::clone(query), window, POLICY, window.start(), 0).unwrap();
    for unit in 0_u32..500 {
        open.observe(&unit.to_le_bytes(), RowKey::At(unit as usize % 3), 0, &POLICY);
    }
    let closed = open.close(window.end()).unwrap();
    let shard = ledger.shard(0);
    let claim = Claim::of(query, &POLICY, window, shard).unwrap();
    let Spent::Paid(paid, charged) = ledger.spend(&claim).unwrap() else { panic!("reserved before") };
    let noised = query.mechanism.release(paid, closed.cells).unwrap();
    let prev_receipt = ledger.chain_head(&query.name).unwrap();
    let receipt = Receipt::new(
        Facts { query, policy: &POLICY, window, circumstances: closed.circumstances, shard, charged, prev_receipt },
        &noised,
    );
    let unsent = ledger.commit(noised, &receipt).unwrap();
    ledger.acknowledge(unsent.release).unwrap();
    unsent.receipt
}

fn three() -> Vec<Vec<u8>> {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&directory.path().join("ledger.redb")).unwrap();
    chain(&ledger, &Arc::new(query("searches", 2, 3)), 3)
}

fn another() -> LedgerId {
    LedgerId::try_from("0123456789abcdef0123456789abcdef".to_owned()).unwrap()
}

fn epsilon(nano: u64) -> Loss {
    Loss::from_nano(Measure::Pure, nano).unwrap()
}

#[test]
fn a_receipt_reads_back_and_its_bytes_are_canonical() {
    let bytes = three().remove(0);
    let receipt = Receipt::from_bytes(&bytes).unwrap();
    assert_eq!(receipt.to_bytes(), bytes);
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.starts_with(r#"{"accuracy":{"ci":"0.95","covers":"noise_only"},"aggregate":{"name":"count"},"canaries":[],"columns":["properties.section"],"engine":{"opendp":"0.16.0","#), "{text}");
    for part in [
        r#""stages":[{"half_width":180,"loss":{"delta_pico":0,"epsilon_nano":100000000},"noise":"discrete_laplace","part":"count","scale":"60.00000095367431640625","sensitivity":{"l1":6}}]"#,
        r#""this_release":{"delta_pico":0,"epsilon_nano":100000000}"#,
        r#""limit":{"delta_pico":0,"epsilon_nano":72000000000},"renewal":"sliding","spent":{"delta_pico":0,"epsilon_nano":100000000}"#,
        r#""contribution":{"l0":2,"linf":3,"stability":1},"covers_withholding":false"#,
        r#""fleet":{"charged_times":1,"composition":"sequential","guarantee":"holds for this ledger alone: "#,
        r#""side_information":["enforcement_log"]"#,
        r#""status":"complete""#,
    ] {
        assert!(text.contains(part), "{part} not in {text}");
    }
}

#[test]
fn an_honest_chain_verifies() {
    let chain = three();
    let report = verify(&chain).unwrap();
    assert_eq!((report.receipts, report.from_the_start, report.head), (3, true, Digest::of(&chain[2])));
    assert!(!verify(&chain[1..]).unwrap().from_the_start);
}

#[test]
fn a_receipt_of_gaussian_noise_verifies() {
    let mut query = query("searches", 2, 3);
    let rho = |written| Loss::from_decimal(Measure::Zcdp, written).unwrap();
    let ids_per_person = std::num::NonZeroU64::new(3).unwrap();
    let spec = Spec::of(Aggregate::Count, query.bounds(), Noise::DiscreteGaussian, rho("0.0005"));
    query.mechanism = Mechanism::calibrate(Spec { ids_per_person, canaries: 4, ..spec }).unwrap();
    query.budget.limit = rho("0.36");
    query.ids_per_person = ids_per_person;
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&directory.path().join("ledger.redb")).unwrap();
    let chain = chain(&ledger, &Arc::new(query), 2);
    assert!(verify(&chain).is_ok());
    let text = String::from_utf8(chain[1].clone()).unwrap();
    // Three identifiers: nine times the rho, and two releases of it.
    for part in [
        r#""this_release":{"delta_pico":0,"rho_nano":4500000}"#,
        r#""per_identifier":{"delta_pico":0,"rho_nano":500000}"#,
        r#""spent":{"delta_pico":0,"rho_nano":9000000}"#,
        r#""delta":"0.000000001""#,
    ] {
        assert!(text.contains(part), "{part} not in {text}");
    }
}

/// Each way of changing the middle receipt, and what must be found in it. The
/// changed receipt is written canonically, so that nothing shows but the change.
#[test]
fn every_tampering_shows() {
    type Change = fn(&mut Receipt);
    let changes: [(Change, Wrong); 25] = [
        (|receipt| receipt.receipt_version = 1, Wrong::Form),
        (|receipt| receipt.policy_digest = Digest::ZERO, Wrong::ReleaseId),
        (|receipt| receipt.ledger.part = 1, Wrong::ReleaseId),
        (|receipt| receipt.ledger.opening += 1, Wrong::ReleaseId),
        (|receipt| receipt.ledger.chain = another(), Wrong::OtherLedger),
        (|receipt| receipt.ledger.id = another(), Wrong::ReleaseId),
        (|receipt| receipt.query = "other".to_owned(), Wrong::ReleaseId),
        (|receipt| receipt.values[0].value += 1, Wrong::Payload),
        (
            |receipt| {
                receipt.values.pop();
            },
            Wrong::Payload,
        ),
        (
            |receipt| {
                let row = receipt.values[0].clone();
                receipt.values.push(row);
                receipt.payload_sha256 = payload_digest(&receipt.values);
            },
            Wrong::Keys,
        ),
        (|receipt| receipt.window.status = WindowStatus::ClosedEarly, Wrong::Window),
        (|receipt| receipt.privacy.per_identifier = LossReceipt::from(epsilon(99_000_000)), Wrong::Loss),
        (|receipt| receipt.stages[0].scale = "30".to_owned(), Wrong::Loss),
        (|receipt| receipt.stages[0].loss = LossReceipt::from(epsilon(99_000_000)), Wrong::Loss),
        (|receipt| receipt.privacy.contribution.l0 = 3, Wrong::Sensitivity),
        (|receipt| receipt.privacy.ids_per_person = 2, Wrong::Charge),
        (|receipt| receipt.stages[0].sensitivity = Sensitivity::L1(1), Wrong::Sensitivity),
        (|receipt| receipt.stages[0].half_width = Some(10), Wrong::Interval),
        (|receipt| receipt.values[0].ci95 = None, Wrong::Interval),
        (|receipt| receipt.aggregate.name = "units".to_owned(), Wrong::Stages),
        (|receipt| receipt.aggregate.keys = Some(3), Wrong::Stages),
        (|receipt| receipt.canaries.push(CanaryReceipt { of: Part::Count, truth: 0, value: 4000 }), Wrong::Canaries),
        (|receipt| receipt.privacy.horizon.spent = LossReceipt::from(epsilon(100_000_000)), Wrong::Budget),
        (|receipt| receipt.privacy.horizon.epsilon_at_delta.epsilon = "0.01".to_owned(), Wrong::EpsilonAtDelta),
        (|receipt| receipt.privacy.covers_withholding = true, Wrong::Overclaim),
    ];
    let honest = three();
    for (change, wrong) in changes {
        let mut chain = honest.clone();
        let mut receipt = Receipt::from_bytes(&chain[1]).unwrap();
        change(&mut receipt);
        chain[1] = receipt.to_bytes();
        let findings = verify(&chain).unwrap_err();
        assert!(findings.contains(&Finding { at: 1, what: wrong }), "{wrong:?} not among {findings:?}");
        assert!(
            findings.contains(&Finding { at: 2, what: Wrong::Chain }),
            "the change must break the chain: {findings:?}"
        );
    }
}

/// The first receipt of a query that measures this at epsilon 10.
fn measured(aggregate: Aggregate) -> Receipt {
    let mut query = query("searches", 2, 3);
    let loss = epsilon(10_000_000_000);
    let spec = Spec::of(aggregate, query.bounds(), Noise::DiscreteLaplace, loss);
    query.mechanism = Mechanism::calibrate(spec).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&directory.path().join("ledger.redb")).unwrap();
    Receipt::from_bytes(&chain(&ledger, &Arc::new(query), 1).remove(0)).unwrap()
}

/// A row that was taken away shows in the receipt alone: no other tells of a last one.
#[test]
fn a_row_that_is_taken_out_of_its_key_shows() {
    let clamp = Clamp::new(-10, 10, 0).unwrap();
    let edges = Edges::new(vec![0, 10], 0).unwrap();
    let quantiles =
        Quantiles::new(vec![PerMille::parse("0.25").unwrap(), PerMille::parse("0.5").unwrap()], edges.clone());
    for (aggregate, rows) in
        [(Aggregate::Mean(clamp), 3), (Aggregate::Histogram(edges), 3), (Aggregate::Quantiles(quantiles.unwrap()), 2)]
    {
        let honest = measured(aggregate);
        assert!(verify(&[honest.to_bytes()]).is_ok());
        assert_eq!(honest.values.len(), 3 * rows);
        for taken in 0..rows {
            let mut receipt = honest.clone();
            receipt.values.remove(taken);
            receipt.payload_sha256 = payload_digest(&receipt.values);
            let findings = verify(&[receipt.to_bytes()]).unwrap_err();
            assert!(findings.contains(&Finding { at: 0, what: Wrong::Keys }), "row {taken}: {findings:?}");
        }
    }
}

#[test]
fn receipts_that_are_missing_swapped_or_repeated_show() {
    let honest = three();
    let without = [honest[0].clone(), honest[2].clone()];
    assert_eq!(verify(&without).unwrap_err(), [Finding { at: 1, what: Wrong::Chain }]);
    let swapped = [honest[1].clone(), honest[0].clone(), honest[2].clone()];
    assert!(verify(&swapped).is_err());
    let repeated = [honest[0].clone(), honest[1].clone(), honest[1].clone()];
    assert!(verify(&repeated).unwrap_err().contains(&Finding { at: 2, what: Wrong::Repeated }));
    let mut spaced = honest.clone();
    spaced[2].push(b' ');
    assert_eq!(verify(&spaced).unwrap_err(), [Finding { at: 2, what: Wrong::NotCanonical }]);
    let cut = [&honest[0][..honest[0].len() - 1]];
    assert_eq!(verify(&cut).unwrap_err(), [Finding { at: 0, what: Wrong::Form }]);
}

#[test]
fn more_ledgers_than_a_release_was_charged_for_show_where_their_receipts_are_together() {
    let receipts_of = |ledger: &Ledger, first: i64, query: &Query| -> Vec<Receipt> {
        let query = Arc::new(query.clone());
        (first..first + 2)
            .map(|hour| Receipt::from_bytes(&release(ledger, &query, NOON + hour * 3600)).unwrap())
            .collect()
    };
    let mut query = query("searches", 2, 3);
    query.fleet = DeclaredFleet::per_pod(2).unwrap();
    query.budget = Budget { limit: epsilon(1_000_000_000), horizon: Span::parse("4h").unwrap() };
    let pods: Vec<(tempfile::TempDir, Ledger)> = (0..3)
        .map(|_| {
            let directory = tempfile::tempdir().unwrap();
            let ledger = Ledger::open(&directory.path().join("ledger.redb")).unwrap();
            (directory, ledger)
        })
        .collect();
    let released = |firsts: [i64; 3]| -> Vec<Receipt> {
        pods.iter().zip(firsts).flat_map(|((_, ledger), first)| receipts_of(ledger, first, &query)).collect()
    };
    // The third comes when the first has been silent for a horizon.
    assert_eq!(verify_fleet(&released([0, 2, 5])), []);
    let crowds = verify_fleet(&released([10, 11, 14]));
    let said: Vec<String> = crowds.iter().map(|crowd| crowd.what.to_string()).collect();
    assert_eq!(said, ["3 ledgers released within one horizon of 4h, and a release was charged for 2"]);
}
