use std::sync::Arc;

use privet_ldp::Method;

use super::*;
use crate::accountant::Sum;
use crate::digest::Digest;
use crate::ledger::{Claim, Spent, budget_name};
use crate::local::OpenReports;
use crate::local::tests::survey;
use crate::query::tests::query;
use crate::receipt::LocalFacts;
use crate::window::PolicyDigest;

const NOON: i64 = 1_795_262_400;
const POLICY: PolicyDigest = [7; 32];

fn closed(hour: i64) -> ClosedReports {
    let survey = Arc::new(survey(Method::Kary, "1"));
    let window = survey.schedule.tiling().window_at(NOON + hour * 3600);
    OpenReports::open(survey, window, POLICY, window.start(), 0).unwrap().close(window.end()).unwrap()
}

fn receipt(ledger: &Ledger, uncharged: &Uncharged, closed: &ClosedReports) -> LocalReceipt {
    let prev_receipt = ledger.chain_head("seasons").unwrap();
    LocalReceipt::new(LocalFacts { shard: ledger.posted(), release: uncharged.release(), prev_receipt }, closed)
}

fn ledger(directory: &tempfile::TempDir) -> Ledger {
    Ledger::open(&directory.path().join("ledger.redb")).unwrap()
}

#[test]
fn it_walks_the_same_way_and_only_once() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, closed) = (ledger(&directory), closed(0));
    let uncharged = ledger.reserve_uncharged(&closed, ledger.posted()).unwrap().unwrap();
    let again = ledger.reserve_uncharged(&closed, ledger.posted()).unwrap();
    assert_eq!(again.unwrap_err(), ReleaseState::Reserved);
    let release = uncharged.release();
    let receipt = receipt(&ledger, &uncharged, &closed);
    let unsent = ledger.commit_uncharged(uncharged, &receipt).unwrap();
    assert_eq!(ledger.outbox().unwrap(), [release]);
    assert_eq!(ledger.committed(release).unwrap(), Some(receipt.to_bytes()));
    ledger.acknowledge(release).unwrap();
    assert_eq!(ledger.state(release).unwrap(), Some(ReleaseState::Acknowledged(Digest::of(&unsent.receipt))));
    assert_eq!(ledger.outbox().unwrap(), []);
}

#[test]
fn what_a_process_died_over_is_forfeited_and_never_decoded_again() {
    let directory = tempfile::tempdir().unwrap();
    let closed = closed(0);
    let first = ledger(&directory);
    first.reserve_uncharged(&closed, first.posted()).unwrap().unwrap();
    drop(first);
    let ledger = ledger(&directory);
    assert_eq!(ledger.forfeited(), 1);
    assert_eq!(ledger.reserve_uncharged(&closed, ledger.posted()).unwrap().unwrap_err(), ReleaseState::Forfeited);
}

#[test]
fn a_receipt_of_another_release_or_out_of_the_chain_is_not_taken() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = ledger(&directory);
    let [first, second] = [closed(0), closed(1)];
    let reserve = |closed| ledger.reserve_uncharged(closed, ledger.posted()).unwrap().unwrap();
    let (one, other) = (reserve(&first), reserve(&second));
    let of_one = receipt(&ledger, &one, &first);
    assert!(matches!(ledger.commit_uncharged(other, &of_one), Err(LedgerError::ChainBroken)));
    let unchained = LocalReceipt { prev_receipt: Digest([9; 32]), ..of_one };
    assert!(matches!(ledger.commit_uncharged(one, &unchained), Err(LedgerError::ChainBroken)));
}

/// An export of the same name has its budget to itself, and a survey has no entry in the ledger's list of charges.
#[test]
fn no_budget_is_charged_and_none_is_looked_at() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = ledger(&directory);
    let query = query("seasons", 2, 3);
    let name = budget_name(&query.name, &query.unit);
    for hour in 0..3 {
        ledger.reserve_uncharged(&closed(hour), ledger.posted()).unwrap().unwrap();
    }
    assert_eq!(ledger.spent(&name, NOON, query.budget).unwrap(), Sum::default());
    assert!(ledger.entries().unwrap().is_empty());
    let window = query.schedule.tiling().window_at(NOON + 5 * 3600);
    let claim = Claim::of(&query, &POLICY, window, ledger.posted()).unwrap();
    let Spent::Paid(_, charged) = ledger.spend(&claim).unwrap() else { panic!("reserved before") };
    assert_eq!(charged.before, Sum::default());
}
