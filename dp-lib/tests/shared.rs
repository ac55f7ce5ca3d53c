//! Pods that share a budget in a real PostgreSQL, which is paused, killed and
//! cut off; and pods that are stopped and killed.
//!
//! What has to hold each time: no more is charged than the limit, nothing is
//! published that was not charged, no release is drawn twice, and nothing is
//! published after a lease that could not be renewed.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
#![cfg(unix)]

#[allow(dead_code, reason = "the servers of the consent store's tests, which use more of them")]
#[path = "../../proxy/tests/consent_store/servers.rs"]
mod servers;
mod support;

use std::collections::{HashMap, HashSet};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::num::NonZeroU64;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use privet_dp::accountant::Budget;
use privet_dp::bound::Admission;
use privet_dp::digest::Digest;
use privet_dp::exact::Exact;
use privet_dp::fleet::Fleet;
use privet_dp::ledger::shared::{Settings, in_the_clear};
use privet_dp::ledger::{CannotSpend, Claim, Ledger, LedgerError, ReleaseId, Shard, Spent, budget_name};
use privet_dp::loss::{Loss, Measure};
use privet_dp::mechanism::{Cells, Noise};
use privet_dp::query::{KeyTable, Keys, Query};
use privet_dp::receipt::{Facts, Receipt, verify};
use privet_dp::schedule::{Schedule, Tiling};
use privet_dp::window::{Circumstances, Span};
use servers::{Cable, Kind, PASSWORD, Server};

const LEASE: Duration = Duration::from_secs(3);
const DIRECTORY: &str = "PRIVET_DP_POD_DIRECTORY";
const PORT: &str = "PRIVET_DP_POD_PORT";
const FIRST: &str = "PRIVET_DP_POD_FIRST_WINDOW";
/// One database outlives so many kills, then the next is begun.
const KILLS_PER_DATABASE: u64 = 250;

/// A query of windows of a second, of which the budget holds so many.
fn query(windows: u64) -> Query {
    let mechanism = support::mechanism(Noise::DiscreteLaplace, 1, 1, "0.001");
    Query {
        name: "shared".to_owned(),
        unit: "userId".to_owned(),
        keys: Keys::Declared(KeyTable::new(vec![]).unwrap()),
        admission: Admission::within_memory(1 << 20, mechanism.bounds(), mechanism.aggregate()),
        budget: Budget {
            limit: Loss::from_nano(Measure::Pure, windows * mechanism.loss().nano()).unwrap(),
            horizon: Span::parse("3650d").unwrap(),
        },
        mechanism,
        ids_per_person: NonZeroU64::MIN,
        schedule: Schedule::new(Tiling::Tumbling(Span::parse("1s").unwrap())),
        fleet: Fleet::ONE_POD,
        nonnegative: false,
    }
}

fn settings(port: u16, holder: &str) -> Settings {
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(port).user("privet").password(PASSWORD).dbname("postgres");
    let (holder, patience) = (holder.to_owned(), Duration::from_millis(1_500));
    Settings { dial: in_the_clear(config), holder, lease: LEASE, patience }
}

/// A server whose tables are made, and a way to it that can be cut.
fn database() -> (Server, Cable) {
    let server = Server::start(Kind::PostgreSql);
    let (cable, directory, begun) = (server.cable(), tempfile::tempdir().unwrap(), Instant::now());
    // It listens before it lets in.
    while let Err(error) = join(directory.path(), "first", cable.port) {
        assert!(begun.elapsed() < Duration::from_secs(20), "{error}");
        thread::sleep(Duration::from_millis(50));
    }
    (server, cable)
}

fn join(directory: &Path, holder: &str, port: u16) -> Result<Ledger, LedgerError> {
    Ledger::open_shared(&directory.join(format!("{holder}.redb")), settings(port, holder))
}

/// A pod in every one of its lives: the hardest case for "drawn once".
fn shard(ledger: &Ledger, pod: u8) -> Shard {
    Shard { incarnation: 1 + u64::from(pod), ..ledger.posted() }
}

/// The claim of a pod's window.
fn claim(ledger: &Ledger, query: &Query, pod: u8, second: i64) -> Claim {
    Claim::of(query, &[pod; 32], query.schedule.tiling().window_at(second), shard(ledger, pod)).unwrap()
}

/// Draws and commits a release if it can be paid for. `None` if it was before.
fn release(ledger: &Ledger, query: &Query, pod: u8, second: i64) -> Result<Option<(ReleaseId, Vec<u8>)>, CannotSpend> {
    let Spent::Paid(paid, charged) = ledger.spend(&claim(ledger, query, pod, second))? else { return Ok(None) };
    let noised = query.mechanism.release(paid, Exact::new(Cells::declared(1, vec![100]))).unwrap();
    let window = query.schedule.tiling().window_at(second);
    let (circumstances, prev_receipt) = (Circumstances::whole(window), ledger.chain_head(&query.name)?);
    let facts =
        Facts { query, policy: &[pod; 32], window, circumstances, shard: shard(ledger, pod), charged, prev_receipt };
    let receipt = Receipt::new(facts, &noised);
    let unsent = ledger.commit(noised, &receipt)?;
    Ok(Some((unsent.release, unsent.receipt)))
}

fn now_ms() -> u64 {
    #[allow(clippy::disallowed_methods, reason = "two processes compare their times")]
    let now = SystemTime::now();
    u64::try_from(now.duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// One receipt a line after the time it left, on disk before the next step.
fn publish(directory: &Path, holder: &str, receipt: &[u8]) {
    let path = directory.join(format!("{holder}.published"));
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(&[format!("{} ", now_ms()).as_bytes(), receipt, b"\n"].concat()).unwrap();
}

/// What left: the time, the release and the digest of each receipt whose line is whole.
fn published(directory: &Path, holder: &str) -> Vec<(u64, Vec<u8>)> {
    let text = fs::read(directory.join(format!("{holder}.published"))).unwrap_or_default();
    let whole = text.split_inclusive(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\n"));
    whole
        .map(|line| {
            // A line torn by a kill and the next one may share a line.
            let begins = line.windows(12).rposition(|window| window == br#"{"accuracy":"#).unwrap();
            let time = &line[begins - 14..begins - 1];
            (std::str::from_utf8(time).unwrap().parse().unwrap(), line[begins..].to_vec())
        })
        .collect()
}

/// Checks that one release is always the same bytes, and gives every release that left.
fn releases_of(lines: &[(u64, Vec<u8>)]) -> HashMap<ReleaseId, Digest> {
    let mut releases = HashMap::new();
    for (_, receipt) in lines {
        let digest = *releases.entry(Receipt::from_bytes(receipt).unwrap().release_id).or_insert(Digest::of(receipt));
        assert_eq!(digest, Digest::of(receipt), "one release, two tables");
    }
    releases
}

/// Nothing is over the limit, and everything that left is charged.
fn check_books(auditor: &Ledger, query: &Query, left: &HashSet<ReleaseId>) -> usize {
    let entries = auditor.entries().unwrap();
    let charged: HashSet<ReleaseId> = entries.iter().map(|entry| entry.release).collect();
    let sum: u64 = entries.iter().map(|entry| entry.charge.nano()).sum();
    assert!(sum <= query.budget.limit.nano(), "{sum} of {} spent", query.budget.limit.nano());
    assert_eq!(auditor.spent(&budget_name("shared", "userId"), 0, query.budget).unwrap().nano, sum);
    assert!(left.is_subset(&charged), "something left that was not charged");
    entries.len()
}

#[test]
fn pods_at_once_spend_a_budget_to_its_end_and_no_further() {
    let ((_server, cable), directory, query) = (database(), tempfile::tempdir().unwrap(), query(40));
    let granted: usize = thread::scope(|scope| {
        let pods: Vec<_> = (0..4)
            .map(|pod: u8| {
                let (directory, query, port) = (directory.path(), &query, cable.port);
                scope.spawn(move || {
                    let ledger = join(directory, &format!("pod-{pod}"), port).unwrap();
                    let spent = (0..20).map(|second| release(&ledger, query, pod, second));
                    spent
                        .filter(|spent| !matches!(spent, Err(CannotSpend::OverBudget { .. })))
                        .map(Result::unwrap)
                        .count()
                })
            })
            .collect();
        pods.into_iter().map(|pod| pod.join().unwrap()).sum()
    });
    assert_eq!(granted, 40);
    let auditor = join(directory.path(), "auditor", cable.port).unwrap();
    assert_eq!(check_books(&auditor, &query, &HashSet::new()), 40);
    assert_eq!(
        join(directory.path(), "pod-0", cable.port).unwrap().books().charges,
        auditor.books().charges,
        "the budget has the identity"
    );
}

/// One statement past the ledger.
fn ask(port: u16, statement: &'static str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(port).user("privet").password(PASSWORD).dbname("postgres");
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
        tokio::select! {
            asked = client.batch_execute(statement) => asked.unwrap(),
            _ = connection => panic!("the connection ended"),
        }
    });
}

#[test]
fn a_shared_ledger_that_was_put_back_emptied_or_exchanged_is_not_taken_for_the_same() {
    let ((_server, cable), directory, query) = (database(), tempfile::tempdir().unwrap(), query(40));
    let ledger = join(directory.path(), "a", cable.port).unwrap();
    let (made, _) = release(&ledger, &query, 1, 3).unwrap().unwrap();
    ledger.acknowledge(made).unwrap();
    drop(ledger);
    let again = || join(directory.path(), "a", cable.port).map(drop);
    again().unwrap();
    ask(cable.port, "CREATE TABLE kept AS SELECT * FROM privet_dp_charges; DELETE FROM privet_dp_charges");
    assert!(matches!(again(), Err(LedgerError::SharedForgot)));
    ask(cable.port, "INSERT INTO privet_dp_charges SELECT * FROM kept");
    again().unwrap();
    ask(cable.port, "CREATE TABLE was AS SELECT * FROM privet_dp_meta; UPDATE privet_dp_meta SET id = repeat('0', 32)");
    assert!(matches!(again(), Err(LedgerError::OtherShared)));
    ask(cable.port, "ALTER TABLE privet_dp_meta RENAME TO gone");
    assert!(matches!(again(), Err(LedgerError::SharedGone)));
}

#[test]
fn a_window_has_as_many_releases_of_one_holder_as_declared() {
    let ((_server, cable), directory, query) = (database(), tempfile::tempdir().unwrap(), query(40));
    let (one, two) =
        (join(directory.path(), "a", cable.port).unwrap(), join(directory.path(), "b", cable.port).unwrap());
    let asked = |ledger: &Ledger, policy| ledger.spend(&claim(ledger, &query, policy, 0));
    assert!(matches!(asked(&one, 1), Ok(Spent::Paid(..))));
    assert!(matches!(asked(&one, 2), Err(CannotSpend::AllReleased { releases_max: 1, .. })));
    assert!(matches!(asked(&two, 3), Ok(Spent::Paid(..))));
}

#[test]
fn a_partition_is_outlived_by_the_lease_and_no_longer_and_what_is_unused_comes_back() {
    let ((_server, cable), directory, query) = (database(), tempfile::tempdir().unwrap(), query(40));
    let ledger = join(directory.path(), "a", cable.port).unwrap();
    let ahead: Vec<Claim> = (0..6).map(|second| claim(&ledger, &query, 1, second)).collect();
    assert_eq!(ledger.lease(&ahead).unwrap(), 6);
    cable.cut(true);
    for second in 0..3 {
        let (made, _) = release(&ledger, &query, 1, second).unwrap().unwrap();
        ledger.may_publish().unwrap();
        ledger.acknowledge(made).unwrap();
    }
    let not_leased = release(&ledger, &query, 1, 9).unwrap_err();
    assert!(matches!(not_leased, CannotSpend::Ledger(LedgerError::Unreachable { .. })), "{not_leased}");
    thread::sleep(LEASE);
    assert!(matches!(ledger.may_publish(), Err(LedgerError::LeaseExpired)));
    let expired = release(&ledger, &query, 1, 3).unwrap_err();
    assert!(matches!(expired, CannotSpend::Ledger(LedgerError::LeaseExpired)), "{expired}");
    cable.cut(false);
    ledger.may_publish().unwrap();
    // What was asked for in the partition may have arrived since: it is the same charge, not another.
    assert!(release(&ledger, &query, 1, 9).unwrap().is_some());
    ledger.hand_back().unwrap();
    let auditor = join(directory.path(), "auditor", cable.port).unwrap();
    let states: Vec<&str> = auditor.entries().unwrap().iter().map(|entry| entry.state).collect();
    assert_eq!(states, ["acknowledged", "acknowledged", "acknowledged", "committed"]);
}

#[test]
fn a_successor_fences_and_forfeits_when_the_lease_is_over_and_another_pod_never_does() {
    let ((_server, cable), directory, query) = (database(), tempfile::tempdir().unwrap(), query(40));
    let (first_life, other) = (directory.path().join("first"), directory.path().join("other"));
    fs::create_dir(&first_life).unwrap();
    fs::create_dir(&other).unwrap();
    let old = join(&first_life, "a", cable.port).unwrap();
    assert!(matches!(old.spend(&claim(&old, &query, 1, 0)), Ok(Spent::Paid(..))));
    // The pod's file is lost, and the old process still runs.
    let new = join(&other, "a", cable.port).unwrap();
    assert!(new.incarnation() > old.incarnation());
    let fenced = old.spend(&claim(&old, &query, 1, 1)).unwrap_err();
    assert!(matches!(fenced, CannotSpend::Ledger(LedgerError::Fenced { .. })), "{fenced}");
    let state = |ledger: &Ledger| ledger.entries().unwrap()[0].state;
    let neighbour = join(&other, "b", cable.port).unwrap();
    new.settle().unwrap();
    assert_eq!(state(&new), "leased", "the old process may still publish what it paid for");
    old.may_publish().unwrap();
    thread::sleep(LEASE);
    assert!(matches!(old.may_publish(), Err(LedgerError::Fenced { .. })));
    neighbour.settle().unwrap();
    assert_eq!(state(&new), "leased", "not the neighbour's to forfeit");
    new.settle().unwrap();
    assert_eq!(state(&new), "forfeited");
    assert!(matches!(new.spend(&claim(&new, &query, 1, 0)), Ok(Spent::Already(_))), "nothing is drawn for it again");
}

#[test]
fn what_is_unreachable_says_so_without_a_value() {
    let ((server, cable), directory) = (database(), tempfile::tempdir().unwrap());
    drop(server);
    let Err(error) = join(directory.path(), "a", cable.port) else { panic!("joined nothing") };
    let told = format!("{error:?} {error}");
    assert!(told.contains("see that PostgreSQL is up") && !told.contains(PASSWORD), "{told}");
}

#[test]
fn a_ledger_does_not_change_where_its_charges_are_and_so_forgets_none() {
    let ((_server, cable), directory, query) = (database(), tempfile::tempdir().unwrap(), query(40));
    assert!(release(&join(directory.path(), "a", cable.port).unwrap(), &query, 1, 0).unwrap().is_some());
    assert!(matches!(Ledger::open(&directory.path().join("a.redb")), Err(LedgerError::ChargesAreShared)));
    assert!(release(&Ledger::open(&directory.path().join("b.redb")).unwrap(), &query, 1, 0).unwrap().is_some());
    assert!(matches!(join(directory.path(), "b", cable.port), Err(LedgerError::ChargesAreHere)));
}

/// Numbers that a seed decides.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

/// A pod that releases until it is told to stop, with a lease of four windows.
fn pod(directory: &Path, pod: u8, port: u16, query: &Query, stop: &AtomicBool) {
    let holder = format!("pod-{pod}");
    while !stop.load(Ordering::SeqCst) {
        let Ok(ledger) = join(directory, &holder, port) else { continue };
        send_again(&ledger, directory, &holder);
        for second in 0.. {
            if stop.load(Ordering::SeqCst) || !step(&ledger, directory, pod, query, second) {
                break;
            }
        }
        ledger.settle().ok();
    }
}

/// Tells pods to stop, also where the test fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn send_again(ledger: &Ledger, directory: &Path, holder: &str) {
    for release in ledger.outbox().unwrap() {
        if ledger.may_publish().is_ok() {
            publish(directory, holder, &ledger.committed(release).unwrap().unwrap());
            ledger.acknowledge(release).unwrap();
        }
    }
}

/// One window. `false` when there is no budget any more.
fn step(ledger: &Ledger, directory: &Path, pod: u8, query: &Query, second: i64) -> bool {
    let holder = format!("pod-{pod}");
    let ahead: Vec<Claim> = (second..second + 4).map(|second| claim(ledger, query, pod, second)).collect();
    // Whether this succeeds is the budget's and the network's matter; the release asks again.
    ledger.lease(&ahead).ok();
    match release(ledger, query, pod, second) {
        Ok(Some((release, receipt))) => {
            if ledger.may_publish().is_ok() {
                publish(directory, &holder, &receipt);
                ledger.acknowledge(release).unwrap();
            }
            true
        }
        Ok(None) => true,
        Err(CannotSpend::OverBudget { .. }) => false,
        Err(_) => {
            thread::sleep(Duration::from_millis(5));
            true
        }
    }
}

#[test]
fn a_database_that_is_paused_killed_and_cut_off_is_never_overspent() {
    let (mut server, directory, query) =
        (Server::start(Kind::PostgreSql), tempfile::tempdir().unwrap(), query(100_000));
    let (cable, stop) = (server.cable(), AtomicBool::new(false));
    thread::scope(|scope| {
        let _ends = Ends(&stop);
        for number in 0..3 {
            let (directory, query, stop, port) = (directory.path(), &query, &stop, cable.port);
            scope.spawn(move || pod(directory, number, port, query, stop));
        }
        let mut seeded = Seeded(5);
        let lines = || [0, 1, 2].map(|pod| published(directory.path(), &format!("pod-{pod}")).len());
        for _ in 0..12 {
            let for_ms = Duration::from_millis(50 + seeded.below(900));
            match seeded.below(3) {
                0 => {
                    server.pause();
                    thread::sleep(for_ms);
                    server.resume();
                }
                1 => {
                    cable.cut(true);
                    thread::sleep(for_ms);
                    cable.cut(false);
                }
                _ => {
                    server.kill();
                    thread::sleep(for_ms);
                    server.restart();
                }
            }
            for (pod, before) in (0..3).zip(lines()) {
                until("going on", || lines()[pod] > before);
            }
        }
    });
    let mut left = HashSet::new();
    for number in 0..3 {
        let lines = published(directory.path(), &format!("pod-{number}"));
        assert!(lines.len() > 12, "pod {number} published {} receipts only", lines.len());
        left.extend(releases_of(&lines).into_keys());
    }
    let auditor = join(directory.path(), "auditor", cable.port).unwrap();
    let charged = check_books(&auditor, &query, &left);
    println!("12 faults: {} published, {charged} charged", left.len());
}

/// The process that is stopped or killed by the tests below.
#[test]
#[ignore = "runs as the child of the tests below"]
fn a_pod_until_it_is_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let port = std::env::var(PORT).unwrap().parse().unwrap();
    let (directory, query, started) = (Path::new(&directory), query(100_000), Instant::now());
    let ledger = join(directory, "pod-1", port).unwrap();
    send_again(&ledger, directory, "pod-1");
    let first: i64 = std::env::var(FIRST).unwrap().parse().unwrap();
    for second in first.. {
        assert!(started.elapsed() < Duration::from_secs(20), "nobody killed this process");
        step(&ledger, directory, 1, &query, second);
    }
}

fn child(directory: &Path, port: u16, first: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_pod_until_it_is_killed", "--ignored"])
        .env(DIRECTORY, directory)
        .env(PORT, port.to_string())
        .env(FIRST, first.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what} does not happen");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_process_stopped_past_its_lease_publishes_nothing_after_it() {
    let ((_server, cable), directory) = (database(), tempfile::tempdir().unwrap());
    let mut pod = child(directory.path(), cable.port, 0);
    let lines = || published(directory.path(), "pod-1").len();
    until("the first release", || lines() > 3);
    cable.cut(true);
    let cut_at = now_ms();
    // Four windows are paid for: what is left of them is published from the lease. Then the process stands still.
    thread::sleep(LEASE / 3);
    signal(&pod, "-STOP");
    let before = lines();
    thread::sleep(LEASE * 2);
    signal(&pod, "-CONT");
    thread::sleep(LEASE);
    assert_eq!(lines(), before, "published after the lease");
    let last = published(directory.path(), "pod-1").last().unwrap().0;
    assert!(last <= cut_at + u64::try_from(LEASE.as_millis()).unwrap());
    cable.cut(false);
    until("going on", || lines() > before);
    pod.kill().unwrap();
    pod.wait().unwrap();
}

/// `tools/ledger-kills N postgresql` kills more often.
#[test]
fn killed_at_any_moment_a_pod_loses_no_spend_and_draws_nothing_twice() {
    let kills: u64 = std::env::var("PRIVET_DP_KILLS").map_or(16, |kills| kills.parse().unwrap());
    let mut seeded = Seeded(7);
    let mut killed = 0;
    while killed < kills {
        let next = KILLS_PER_DATABASE.min(kills - killed);
        kill_pods(next, &mut seeded);
        killed += next;
        println!("{killed} of {kills} kills");
    }
}

/// Kills the lives of one pod that are so many, and checks all that they left.
fn kill_pods(kills: u64, seeded: &mut Seeded) {
    let ((_server, cable), directory, query) = (database(), tempfile::tempdir().unwrap(), query(100_000));
    let left = directory.path().join("pod-1.published");
    let published_bytes = || fs::metadata(&left).map_or(0, |file| file.len());
    for kill in 0..kills {
        // A life begins among the windows that the ones before it paid for: their names are asked for again.
        let mut pod = child(directory.path(), cable.port, (4 * kill).saturating_sub(2));
        // Every second one at work, the others wherever they stand.
        let before = published_bytes();
        if kill % 2 == 0 {
            until("a release", || published_bytes() > before);
        }
        thread::sleep(Duration::from_millis(seeded.below(150)));
        pod.kill().unwrap();
        assert!(!pod.wait().unwrap().success(), "kill {kill}: the pod ended before it was killed");
    }
    let lines = published(directory.path(), "pod-1");
    assert!(lines.len() as u64 > kills / 4, "only {} receipts: the test killed nothing", lines.len());
    let left = releases_of(&lines);
    let mut receipts: Vec<Vec<u8>> = Vec::new();
    let mut seen = HashSet::new();
    for (_, receipt) in &lines {
        if seen.insert(Receipt::from_bytes(receipt).unwrap().release_id) {
            receipts.push(receipt.clone());
        }
    }
    let auditor = join(directory.path(), "auditor", cable.port).unwrap();
    let charged = check_books(&auditor, &query, &left.keys().copied().collect());
    println!("{kills} kills: {} published, {charged} charged; 0 over, 0 twice, 0 lost", left.len());
    // A kill burns the lease of four windows at most, and the one under way.
    assert!(charged as u64 <= left.len() as u64 + 5 * kills);
    assert_eq!(verify(&receipts).unwrap().receipts, receipts.len());
}
