use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::*;
use crate::aggregate::Aggregate;
use crate::exact::Exact;
use crate::loss::Measure;
use crate::mechanism::{Cells, Mechanism, Noise, Spec};
use crate::query::tests::query;
use crate::receipt::Facts;
use crate::window::Circumstances;
use crate::window::Span;

const NOON: i64 = 1_795_262_400;
const POLICY: PolicyDigest = [7; 32];

fn in_memory() -> Ledger {
    Ledger::recover(Store::over(redb::backends::InMemoryBackend::new).unwrap()).unwrap()
}

fn window(hour: i64) -> Window {
    Window::at(NOON + hour * 3600, Span::parse("1h").unwrap())
}

fn claim(query: &Query, hour: i64, incarnation: u64) -> Claim {
    // As many releases of a window as the budget has room for: how many one may have is a test of its own.
    Claim { releases_max: u32::MAX, ..declared(query, hour, incarnation) }
}

fn declared(query: &Query, hour: i64, incarnation: u64) -> Claim {
    Claim::of(query, &POLICY, window(hour), shard(incarnation)).unwrap()
}

/// Of one ledger, which these tests open under any name.
fn shard(incarnation: u64) -> Shard {
    let id = LedgerId::from_halves(0, 1);
    Shard { books: Books { charges: id, chain: id, store: BookStore::File }, incarnation, part: 0 }
}

fn paid(ledger: &Ledger, claim: &Claim) -> (Paid, Charged) {
    match ledger.spend(claim).unwrap() {
        Spent::Paid(paid, charged) => (paid, charged),
        Spent::Already(state) => panic!("already {}", state.name()),
    }
}

/// Draws and commits a release whose reservation was just paid.
fn commit(ledger: &Ledger, query: &Query, hour: i64, paid: Paid, charged: Charged) -> Result<Unsent, LedgerError> {
    let noised = query.mechanism.release(paid, Exact::new(Cells::declared(1, vec![10, 20, 30]))).unwrap();
    let circumstances = Circumstances::whole(window(hour));
    let prev_receipt = ledger.chain_head(&query.name)?;
    let receipt = Receipt::new(
        Facts { query, policy: &POLICY, window: window(hour), circumstances, shard: shard(1), charged, prev_receipt },
        &noised,
    );
    ledger.commit(noised, &receipt)
}

#[test]
fn a_release_walks_one_way() {
    let (ledger, query) = (in_memory(), query("searches", 2, 3));
    let claim = claim(&query, 0, 1);
    assert_eq!(ledger.state(claim.release()).unwrap(), None);
    let (paid, charged) = paid(&ledger, &claim);
    assert_eq!(charged.spent.nano, 100_000_000);
    assert!(matches!(ledger.spend(&claim).unwrap(), Spent::Already(ReleaseState::Reserved)));
    assert!(matches!(ledger.acknowledge(claim.release()), Err(LedgerError::WrongState { .. })));
    let unsent = commit(&ledger, &query, 0, paid, charged).unwrap();
    assert!(matches!(ledger.spend(&claim).unwrap(), Spent::Already(ReleaseState::Committed(_))));
    assert_eq!(ledger.outbox().unwrap(), [unsent.release]);
    assert_eq!(ledger.committed(unsent.release).unwrap().as_ref(), Some(&unsent.receipt));
    assert!(matches!(ledger.forfeit(claim.release()), Err(LedgerError::WrongState { .. })));
    ledger.acknowledge(claim.release()).unwrap();
    ledger.acknowledge(claim.release()).unwrap();
    assert_eq!(ledger.outbox().unwrap(), []);
    assert_eq!(ledger.state(claim.release()).unwrap(), Some(ReleaseState::Acknowledged(Digest::of(&unsent.receipt))));
    assert_eq!(ledger.chain_head("searches").unwrap(), Digest::of(&unsent.receipt));
}

#[test]
fn the_horizon_holds_720_hours_and_refuses_the_next_with_a_reason() {
    let (ledger, mut query) = (in_memory(), query("searches", 2, 3));
    // Eight windows of a day's budget, to keep the test short.
    query.budget =
        Budget { limit: Loss::from_decimal(Measure::Pure, "0.8").unwrap(), horizon: Span::parse("8h").unwrap() };
    for hour in 0..8 {
        paid(&ledger, &claim(&query, hour, 1));
    }
    // The ninth hour is outside the first's horizon: it fits again.
    paid(&ledger, &claim(&query, 8, 1));
    let refused = ledger.spend(&claim(&query, 8, 2)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the budget `searches by userId` has 0.8 of epsilon 0.8 spent within 8h, and this window asks for epsilon 0.1: a window fits again from 2026-11-21T21:00:00Z"
    );
    // A clock that went back finds the horizon as full as it is.
    assert!(matches!(ledger.spend(&claim(&query, 3, 2)), Err(CannotSpend::OverBudget { .. })));
}

#[test]
fn a_new_policy_does_not_renew_the_budget() {
    let (ledger, mut query) = (in_memory(), query("searches", 2, 3));
    query.budget.limit = Loss::from_decimal(Measure::Pure, "0.1").unwrap();
    paid(&ledger, &claim(&query, 0, 1));
    let changed = Claim::of(&query, &[8; 32], window(1), shard(1)).unwrap();
    assert!(matches!(ledger.spend(&changed), Err(CannotSpend::OverBudget { .. })));
}

#[test]
fn a_budget_that_changes_its_measure_keeps_what_was_spent() {
    let (ledger, mut query) = (in_memory(), query("searches", 2, 3));
    paid(&ledger, &claim(&query, 0, 1));
    let rho = |written| Loss::from_decimal(Measure::Zcdp, written).unwrap();
    let spec = Spec::of(Aggregate::Count, query.bounds(), Noise::DiscreteGaussian, rho("0.0005"));
    query.mechanism = Mechanism::calibrate(spec).unwrap();
    query.budget.limit = rho("0.36");
    // 0.1 epsilon bounds 0.005 rho.
    assert_eq!(paid(&ledger, &claim(&query, 1, 1)).1.spent.nano, 5_500_000);
    // The way back has no bound.
    let back = crate::query::tests::query("searches", 2, 3);
    assert!(matches!(ledger.spend(&claim(&back, 2, 1)), Err(CannotSpend::Measures { .. })));
    assert!(ledger.spend(&claim(&back, 800, 1)).is_ok());
}

#[test]
fn a_reservation_left_behind_is_forfeited_and_stays_paid() {
    let directory = tempfile::tempdir().unwrap();
    let (path, query) = (directory.path().join("ledger.redb"), query("searches", 2, 3));
    let ledger = Ledger::open(&path).unwrap();
    let claim = claim(&query, 0, 1);
    // The process dies with its payment in hand.
    let _ = paid(&ledger, &claim);
    assert!(Ledger::open(&path).is_err(), "one process at a time");
    drop(ledger);
    let ledger = Ledger::open(&path).unwrap();
    assert_eq!((ledger.incarnation(), ledger.forfeited()), (2, 1));
    assert!(matches!(ledger.spend(&claim).unwrap(), Spent::Already(ReleaseState::Forfeited)));
    assert_eq!(ledger.spent(claim.budget_name(), NOON, query.budget).unwrap().nano, 100_000_000);
}

#[test]
fn what_was_given_up_is_neither_committed_nor_refunded() {
    let (ledger, query) = (in_memory(), query("searches", 2, 3));
    let claim = claim(&query, 0, 1);
    let (paid, charged) = paid(&ledger, &claim);
    ledger.forfeit(claim.release()).unwrap();
    let refused = commit(&ledger, &query, 0, paid, charged);
    assert!(matches!(refused, Err(LedgerError::WrongState { asked: "committed", found: "forfeited" })));
    assert!(matches!(ledger.spend(&claim).unwrap(), Spent::Already(ReleaseState::Forfeited)));
    assert_eq!(ledger.spent(claim.budget_name(), NOON, query.budget).unwrap().nano, 100_000_000);
    assert_eq!(ledger.outbox().unwrap(), []);
}

#[test]
fn a_receipt_of_another_release_is_not_committed() {
    let (ledger, query) = (in_memory(), query("searches", 2, 3));
    let (first, charged) = paid(&ledger, &claim(&query, 0, 1));
    assert!(commit(&ledger, &query, 0, first, charged).is_ok());
    let (second, charged) = paid(&ledger, &claim(&query, 1, 1));
    let noised = query.mechanism.release(second, Exact::new(Cells::declared(1, vec![1, 2, 3]))).unwrap();
    let circumstances = Circumstances::whole(window(1));
    let facts = Facts {
        query: &query,
        policy: &POLICY,
        window: window(1),
        circumstances,
        shard: shard(1),
        charged,
        prev_receipt: Digest::ZERO,
    };
    let receipt = Receipt::new(facts, &noised);
    assert!(matches!(ledger.commit(noised, &receipt), Err(LedgerError::ChainBroken)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever order windows are asked in, no horizon of accepted charges
    /// passes the limit, and a window is refused only where it would, or where a
    /// horizon ends before the last one.
    #[test]
    fn no_horizon_ever_passes_its_limit(hours in prop::collection::vec(0_i64..40, 1..40), horizon in 1_i64..12, limit in 1_u64..8) {
        let (ledger, mut query) = (in_memory(), query("searches", 2, 3));
        query.budget = Budget { limit: Loss::from_nano(Measure::Pure, limit * 100_000_000).unwrap(), horizon: Span::from_secs(horizon as u64 * 3600).unwrap() };
        let mut accepted: Vec<i64> = Vec::new();
        let worst = |accepted: &[i64]| (-12..40_i64).map(|first| accepted.iter().filter(|hour| (first..first + horizon).contains(hour)).count() as u64).max().unwrap();
        for (order, hour) in hours.into_iter().enumerate() {
            let is_near = accepted.iter().max().is_none_or(|newest| newest - hour <= horizon);
            let fits = is_near && worst(&[accepted.clone(), vec![hour]].concat()) <= limit;
            let spent = ledger.spend(&claim(&query, hour, order as u64));
            prop_assert_eq!(spent.is_ok(), fits);
            if fits {
                accepted.push(hour);
            }
            prop_assert!(worst(&accepted) <= limit);
        }
    }
}

/// A disk that loses power after so many writes and syncs. What was written
/// since the last sync is lost, kept, or kept by halves.
#[derive(Clone, Debug)]
struct Disk(Arc<Mutex<Platter>>);

#[derive(Debug)]
struct Platter {
    synced: Vec<u8>,
    current: Vec<u8>,
    /// Writes since the last sync, in order: what a torn write may keep some of.
    unsynced: Vec<(u64, Vec<u8>)>,
    steps_left: u64,
}

#[derive(Clone, Copy, Debug)]
enum Torn {
    LosesAll,
    KeepsAll,
    KeepsEverySecond,
}

impl Disk {
    fn new(content: Vec<u8>, steps_left: u64) -> Self {
        Self(Arc::new(Mutex::new(Platter {
            synced: content.clone(),
            current: content,
            unsynced: Vec::new(),
            steps_left,
        })))
    }

    /// What a new process finds after the power came back.
    fn after_power_loss(&self, torn: Torn) -> Vec<u8> {
        let platter = self.0.lock().unwrap();
        match torn {
            Torn::LosesAll => platter.synced.clone(),
            Torn::KeepsAll => platter.current.clone(),
            Torn::KeepsEverySecond => {
                let mut found = platter.synced.clone();
                found.resize(found.len().max(platter.current.len()), 0);
                for (offset, data) in platter.unsynced.iter().skip(1).step_by(2) {
                    found[*offset as usize..*offset as usize + data.len()].copy_from_slice(data);
                }
                found
            }
        }
    }

    fn steps_left(&self) -> u64 {
        self.0.lock().unwrap().steps_left
    }
}

impl Platter {
    fn step(&mut self) -> Result<(), io::Error> {
        self.steps_left = self.steps_left.checked_sub(1).ok_or_else(|| io::Error::other("the power is gone"))?;
        Ok(())
    }
}

/// The ledger on a disk.
fn on(disk: &Disk) -> Ledger {
    let disk = disk.clone();
    Ledger::recover(Store::over(move || disk.clone()).unwrap()).unwrap()
}

impl redb::StorageBackend for Disk {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.0.lock().unwrap().current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let platter = self.0.lock().unwrap();
        let from = offset as usize;
        out.copy_from_slice(
            platter.current.get(from..from + out.len()).ok_or_else(|| io::Error::other("beyond the end"))?,
        );
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        let mut platter = self.0.lock().unwrap();
        platter.step()?;
        platter.current.resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        let mut platter = self.0.lock().unwrap();
        platter.step()?;
        platter.synced = platter.current.clone();
        platter.unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let mut platter = self.0.lock().unwrap();
        platter.step()?;
        let from = offset as usize;
        platter
            .current
            .get_mut(from..from + data.len())
            .ok_or_else(|| io::Error::other("beyond the end"))?
            .copy_from_slice(data);
        platter.unsynced.push((offset, data.to_vec()));
        Ok(())
    }
}

/// What the world saw before the power went.
#[derive(Default)]
struct Witnessed {
    /// How often noise was drawn for a release.
    draws: HashMap<String, u32>,
    /// Bytes that left, per release.
    sent: HashMap<String, Vec<Vec<u8>>>,
}

/// Runs three hours of releases until the power goes; a later run does the
/// hours again, as a process that restarts within them would.
fn run(disk: &Disk, query: &Query, witnessed: &mut Witnessed) -> Result<(), CannotSpend> {
    let disk = disk.clone();
    let ledger = Ledger::recover(Store::over(move || disk.clone())?)?;
    for release in ledger.outbox()? {
        let unsent = Unsent { release, receipt: ledger.committed(release)?.unwrap() };
        witnessed.sent.entry(unsent.release.to_string()).or_default().push(unsent.receipt);
        ledger.acknowledge(unsent.release)?;
    }
    for hour in 0..3 {
        // The same name in every incarnation: the hardest case for "drawn once".
        let claim = claim(query, hour, 1);
        let Spent::Paid(paid, charged) = ledger.spend(&claim)? else { continue };
        *witnessed.draws.entry(claim.release().to_string()).or_default() += 1;
        let noised = query.mechanism.release(paid, Exact::new(Cells::declared(1, vec![10, 20, 30]))).unwrap();
        let circumstances = Circumstances::whole(window(hour));
        let facts = Facts {
            query,
            policy: &POLICY,
            window: window(hour),
            circumstances,
            shard: shard(1),
            charged,
            prev_receipt: ledger.chain_head(&query.name)?,
        };
        let receipt = Receipt::new(facts, &noised);
        let unsent = ledger.commit(noised, &receipt)?;
        witnessed.sent.entry(unsent.release.to_string()).or_default().push(unsent.receipt);
        ledger.acknowledge(unsent.release)?;
    }
    Ok(())
}

/// Killed at any write, the ledger reopens with no less spent than was
/// published, draws no release twice and sends the same bytes again.
#[test]
fn killed_at_any_write_nothing_is_published_unpaid_or_drawn_twice() {
    let query = query("searches", 2, 3);
    let born = Disk::new(Vec::new(), u64::MAX);
    drop(on(&born));
    let content = born.after_power_loss(Torn::KeepsAll);
    let whole = Disk::new(content.clone(), 1_000_000);
    run(&whole, &query, &mut Witnessed::default()).unwrap();
    let steps = 1_000_000 - whole.steps_left();
    assert!(steps > 30, "{steps} writes: the test would kill nowhere");
    let mut killed = 0;
    for torn in [Torn::LosesAll, Torn::KeepsAll, Torn::KeepsEverySecond] {
        for after in 0..steps {
            let mut witnessed = Witnessed::default();
            let disk = Disk::new(content.clone(), after);
            killed += u32::from(run(&disk, &query, &mut witnessed).is_err());
            let restarted = Disk::new(disk.after_power_loss(torn), u64::MAX);
            run(&restarted, &query, &mut witnessed)
                .unwrap_or_else(|error| panic!("cannot reopen after write {after} ({torn:?}): {error:?}"));
            check(&restarted, &query, &witnessed, after);
        }
    }
    assert!(killed > 90, "{killed}");
}

fn check(disk: &Disk, query: &Query, witnessed: &Witnessed, after: u64) {
    assert!(witnessed.draws.values().all(|draws| *draws <= 1), "write {after}: drawn twice");
    assert!(
        witnessed.sent.values().all(|sent| sent.windows(2).all(|pair| pair[0] == pair[1])),
        "write {after}: sent two different tables"
    );
    let ledger = on(&Disk::new(disk.after_power_loss(Torn::LosesAll), u64::MAX));
    let spent = ledger.spent("searches by userId", NOON, query.budget).unwrap().nano;
    let published = witnessed.sent.len() as u64 * 100_000_000;
    assert!(spent >= published, "write {after}: {spent} spent, {published} published");
    assert!(spent <= 300_000_000, "write {after}: charged twice");
    assert_eq!(ledger.outbox().unwrap(), [], "write {after}: committed and never sent");
}

#[test]
fn a_window_has_no_more_releases_than_its_schedule_plans_for() {
    let (ledger, query) = (in_memory(), query("searches", 2, 3));
    paid(&ledger, &declared(&query, 0, 1));
    let refused = ledger.spend(&declared(&query, 0, 2)).unwrap_err();
    assert!(matches!(refused, CannotSpend::AllReleased { releases_max: 1, .. }), "{refused}");
    paid(&ledger, &declared(&query, 1, 2));
}

#[test]
fn a_ledger_keeps_its_identity_and_shows_its_charges() {
    let directory = tempfile::tempdir().unwrap();
    let (path, query) = (directory.path().join("ledger.redb"), query("searches", 2, 3));
    let ledger = Ledger::open(&path).unwrap();
    let id = ledger.books();
    let (payment, charged) = paid(&ledger, &claim(&query, 0, 1));
    let release = commit(&ledger, &query, 0, payment, charged).unwrap().release;
    let _ = paid(&ledger, &claim(&query, 1, 1));
    drop(ledger);
    let ledger = Ledger::open(&path).unwrap();
    assert_eq!(ledger.books(), id);
    assert_ne!(in_memory().books(), id);
    let entries = ledger.entries().unwrap();
    assert_eq!(entries.iter().map(|entry| entry.state).collect::<Vec<_>>(), ["committed", "forfeited"]);
    assert_eq!((entries[0].release, entries[0].start_secs, entries[0].charge.nano()), (release, NOON, 100_000_000));
}

#[test]
fn two_pods_name_the_release_of_one_window_differently_and_one_pod_never_does() {
    let (one, two, query) = (in_memory(), in_memory(), query("searches", 2, 3));
    let named = |shard| Claim::of(&query, &POLICY, window(0), shard).unwrap().release();
    assert_eq!(one.incarnation(), two.incarnation());
    assert_ne!(named(one.shard(0)), named(two.shard(0)), "a receiver that goes by the name would take one of them");
    assert_ne!(named(one.posted()), named(two.posted()));
    assert_ne!(named(one.shard(0)), named(one.shard(1)));
    assert_eq!(named(one.shard(0)), named(one.shard(0)));
}

/// A clock that was wrong at boot must not find a budget that nobody has spent from.
#[test]
fn a_window_more_than_a_horizon_before_the_last_one_is_refused() {
    let (ledger, query) = (in_memory(), query("searches", 2, 3));
    let horizon_hours = i64::try_from(query.budget.horizon.secs()).unwrap() / 3600;
    paid(&ledger, &claim(&query, 1, 1));
    let refused = ledger.spend(&claim(&query, -horizon_hours, 1)).unwrap_err();
    assert!(matches!(refused, CannotSpend::BeforeHorizon { .. }), "{refused}");
    assert!(refused.to_string().contains("see that the clock is right"), "{refused}");
    // As long as one horizon holds both, the sum does.
    paid(&ledger, &claim(&query, 1 - horizon_hours, 1));
}

/// A disk that is full refuses, and one that has room again is spent on again without a restart;
/// what was spent before is spent.
#[test]
fn a_ledger_whose_disk_was_full_goes_on_when_there_is_room_again() {
    let (disk, query) = (Disk::new(Vec::new(), u64::MAX), query("searches", 2, 3));
    let ledger = on(&disk);
    paid(&ledger, &claim(&query, 0, 1));
    disk.0.lock().unwrap().steps_left = 0;
    for hour in 1..4 {
        let refused = ledger.spend(&claim(&query, hour, 1)).unwrap_err();
        assert!(matches!(refused, CannotSpend::Ledger(LedgerError::Storage { .. })), "{refused}");
    }
    disk.0.lock().unwrap().steps_left = u64::MAX;
    let (payment, charged) = paid(&ledger, &claim(&query, 4, 1));
    assert_eq!(charged.spent.nano, 200_000_000);
    let unsent = commit(&ledger, &query, 4, payment, charged).unwrap();
    ledger.acknowledge(unsent.release).unwrap();
    assert_eq!(ledger.spent("searches by userId", NOON, query.budget).unwrap().nano, 200_000_000);
}

/// A receipt that is larger than redb's buffer is written before its commit, where a disk may be full as well.
#[test]
fn a_ledger_whose_disk_was_full_within_a_large_receipt_goes_on_when_there_is_room_again() {
    let (disk, query) = (Disk::new(Vec::new(), u64::MAX), query("searches", 2, 3));
    let ledger = on(&disk);
    let mut failed_at = Vec::new();
    for hour in 0.. {
        let claim = claim(&query, hour, 1);
        // Whatever failed in the hour before.
        paid(&ledger, &claim);
        // A commit whose last sync failed may have happened all the same.
        let (receipt, prev_receipt) = (vec![7; 3 << 20], ledger.chain_head(&query.name).unwrap());
        disk.0.lock().unwrap().steps_left = hour.unsigned_abs();
        let committed = ledger.put_receipt(claim.release(), &query.name, prev_receipt, receipt.clone());
        disk.0.lock().unwrap().steps_left = u64::MAX;
        match committed {
            Err(LedgerError::Storage { doing, .. }) => failed_at.push(doing),
            committed => {
                assert_eq!(committed.unwrap().receipt, receipt);
                break;
            }
        }
    }
    let before_the_commit = failed_at.iter().filter(|doing| **doing != "commit a release").count();
    assert!(before_the_commit > 0 && before_the_commit < failed_at.len(), "{failed_at:?}");
}

/// While the file is closed after a failure, anybody may put another one in its place.
#[test]
fn a_file_that_is_not_the_ledger_that_was_opened_is_not_gone_on_with() {
    let (disk, query) = (Disk::new(Vec::new(), u64::MAX), query("searches", 2, 3));
    drop(on(&disk));
    let (older, mine) = (disk.after_power_loss(Torn::KeepsAll), on(&disk));
    let another = Disk::new(Vec::new(), u64::MAX);
    drop(on(&another));
    paid(&mine, &claim(&query, 0, 1));
    let own = disk.0.lock().unwrap().synced.clone();
    for in_its_place in [older, another.after_power_loss(Torn::KeepsAll), Vec::new()] {
        disk.0.lock().unwrap().steps_left = 0;
        let refused = mine.spend(&claim(&query, 1, 1)).unwrap_err();
        assert!(matches!(refused, CannotSpend::Ledger(LedgerError::Storage { .. })), "{refused}");
        let put = |content: Vec<u8>| {
            let mut platter = disk.0.lock().unwrap();
            (platter.synced, platter.current, platter.steps_left) = (content.clone(), content, u64::MAX);
        };
        put(in_its_place);
        for _ in 0..2 {
            let refused = mine.spend(&claim(&query, 1, 1)).unwrap_err();
            assert!(matches!(refused, CannotSpend::Ledger(LedgerError::Replaced)), "{refused}");
        }
        put(own.clone());
        assert_eq!(mine.spent("searches by userId", NOON, query.budget).unwrap().nano, 100_000_000);
    }
}

/// Whoever reads a ledger may find another process making one: that is not to be taken away.
#[test]
fn reading_takes_nothing_away_and_a_ledger_that_is_open_elsewhere_may_pass() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.redb");
    let ledger = Ledger::open(&path).unwrap();
    let unfinished = directory.path().join("ledger.redb.0.unfinished");
    std::fs::write(&unfinished, "somebody is at it").unwrap();
    let open_elsewhere = Ledger::read(&path).unwrap_err();
    assert!(open_elsewhere.may_pass(), "{open_elsewhere}");
    drop(ledger);
    assert_eq!(Ledger::read(&path).unwrap(), []);
    assert!(unfinished.exists());
    let missing = Ledger::read(&directory.path().join("none.redb")).unwrap_err();
    assert!(!missing.may_pass(), "{missing}");
}
