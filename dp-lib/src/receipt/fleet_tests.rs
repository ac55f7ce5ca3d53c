//! What receipts say about windows and fleets, and that it cannot be changed unseen.

use std::sync::Arc;

use super::tests::chain;
use super::verify::Wrong;
use super::*;
use crate::calendar::{CalendarUnit, Zone};
use crate::fleet::{Fleet as DeclaredFleet, Ring};
use crate::ledger::{Claim, Ledger, Spent};
use crate::query::tests::query;
use crate::schedule::{Late, Mark, Schedule};
use crate::window::OpenWindow;

const POLICY: PolicyDigest = [7; 32];

fn sharded() -> Query {
    let mut query = query("searches", 2, 3);
    query.fleet = DeclaredFleet::UserSharded;
    query.schedule = query.schedule.publishing_marked(Marks::NONE.with(Mark::RingChanged)).unwrap();
    query
}

fn ring() -> Ring {
    Ring::new(41, ["a", "b"].map(str::to_owned).to_vec(), "b").unwrap()
}

/// One receipt of this query, with this mark, through a real ledger.
fn receipt_of(query: Query, mark: Option<Mark>, ring: Option<&Ring>) -> Receipt {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&directory.path().join("ledger.redb")).unwrap();
    let query = Arc::new(query);
    let window = query.schedule.tiling().window_at(1_795_262_400);
    let open = OpenWindow::open(Arc::clone(&query), window, POLICY, window.start(), 0).unwrap();
    let mut open = open.shared_by(ring.map(Ring::place));
    mark.into_iter().for_each(|mark| open.mark(mark));
    let closed = open.close(window.end()).unwrap();
    let shard = ledger.shard(0);
    let Spent::Paid(paid, charged) = ledger.spend(&Claim::of(&query, &POLICY, window, shard).unwrap()).unwrap() else {
        panic!("reserved before")
    };
    let noised = query.mechanism.release(paid, closed.cells).unwrap();
    let circumstances = closed.circumstances;
    let prev_receipt = Digest::ZERO;
    let facts = Facts { query: &query, policy: &POLICY, window, circumstances, shard, charged, prev_receipt };
    Receipt::new(facts, &noised)
}

fn findings(receipt: &Receipt) -> Vec<Wrong> {
    verify(&[receipt.to_bytes()]).err().unwrap_or_default().into_iter().map(|finding| finding.what).collect()
}

#[test]
fn three_ledgers_are_charged_three_times() {
    let mut query = query("searches", 2, 3);
    query.fleet = DeclaredFleet::per_pod(3).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&directory.path().join("ledger.redb")).unwrap();
    let receipts = chain(&ledger, &Arc::new(query), 2);
    assert!(verify(&receipts).is_ok());
    let receipt = Receipt::from_bytes(&receipts[1]).unwrap();
    assert_eq!(receipt.privacy.this_release.loss().unwrap().nano(), 300_000_000);
    assert_eq!(receipt.privacy.horizon.spent.loss().unwrap().nano(), 600_000_000);
    assert_eq!(receipt.privacy.fleet.composition, Composition::Sequential);
}

#[test]
fn a_shard_names_its_ring_and_is_charged_for_two_owners_where_the_ring_may_change() {
    let ring = ring();
    let receipt = receipt_of(sharded(), Some(Mark::RingChanged), Some(&ring));
    assert_eq!(findings(&receipt), []);
    assert_eq!(receipt.privacy.this_release.loss().unwrap().nano(), 200_000_000);
    let place = receipt.privacy.fleet.ring.unwrap();
    assert_eq!((place.epoch, place.shard.as_str(), place.shards), (41, "b", 2));
    assert_eq!(place.ring_sha256, ring.digest());
}

#[test]
fn a_calendar_window_names_its_zone_and_the_database() {
    let mut query = query("searches", 2, 3);
    query.schedule = Schedule::new(Tiling::Calendar(CalendarUnit::Day, Zone::named("Europe/Berlin").unwrap()));
    let receipt = receipt_of(query, None, None);
    assert_eq!(findings(&receipt), []);
    let calendar = receipt.window.calendar.unwrap();
    assert_eq!((calendar.unit.as_str(), calendar.timezone.as_str()), ("day", "Europe/Berlin"));
    assert_eq!(calendar.tzdb, Zone::database_version());
    assert_eq!(receipt.window.start.to_string(), "2026-11-20T23:00:00Z");
}

#[test]
fn a_receipt_says_whether_events_counted_by_a_time_of_their_own() {
    let mut query = query("searches", 2, 3);
    assert_eq!(receipt_of(query.clone(), None, None).window.event_time, None);
    let time = EventTime { lateness_secs: 600, late: Late::Drop };
    query.schedule = query.schedule.by_event_time(time).unwrap();
    let receipt = receipt_of(query, None, None);
    assert_eq!((findings(&receipt), receipt.window.event_time), (vec![], Some(time)));
    let text = String::from_utf8(receipt.to_bytes()).unwrap();
    assert!(text.contains(r#""event_time":{"late":"drop","lateness_secs":600}"#), "{text}");
}

#[test]
fn tampering_with_window_or_fleet_shows() {
    type Change = fn(&mut Receipt);
    let changes: [(Change, Wrong); 8] = [
        (|receipt| receipt.window.marks = Marks::NONE.with(Mark::Shed), Wrong::Overclaim),
        (
            |receipt| receipt.window.observed_from = receipt.window.start + jiff::SignedDuration::from_secs(1),
            Wrong::Window,
        ),
        (|receipt| receipt.privacy.fleet.charged_times = 1, Wrong::Charge),
        (|receipt| receipt.privacy.fleet.charged_times = 1, Wrong::Fleet),
        (|receipt| receipt.privacy.fleet.composition = Composition::Sequential, Wrong::Fleet),
        (|receipt| receipt.privacy.fleet.topology = Topology::PerPod, Wrong::Fleet),
        (|receipt| receipt.privacy.fleet.ring = None, Wrong::Fleet),
        (|receipt| receipt.privacy.fleet.guarantee.push('!'), Wrong::Fleet),
    ];
    let honest = receipt_of(sharded(), Some(Mark::RingChanged), Some(&ring()));
    for (at, (change, wrong)) in changes.into_iter().enumerate() {
        let mut receipt = honest.clone();
        change(&mut receipt);
        assert!(findings(&receipt).contains(&wrong), "change {at}: {:?}", findings(&receipt));
    }
}

#[test]
fn an_unwhole_window_without_its_mark_shows() {
    let mut receipt = receipt_of(query("searches", 2, 3), None, None);
    receipt.window.observed_until = receipt.window.end - jiff::SignedDuration::from_secs(1);
    receipt.window.status = WindowStatus::ClosedEarly;
    assert_eq!(findings(&receipt), [Wrong::Window]);
    receipt.window.marks = Marks::NONE.with(Mark::Drained);
    assert_eq!(findings(&receipt), []);
}
