//! A process that releases is killed, twenty times, wherever it stands.
//!
//! The unit tests of the ledger cut its power at every single write; this one
//! asks the same of real processes, a real file and `SIGKILL`.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
#![cfg(unix)]

mod support;

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::num::NonZeroU64;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use privet_dp::accountant::Budget;
use privet_dp::bound::Admission;
use privet_dp::digest::Digest;
use privet_dp::exact::Exact;
use privet_dp::fleet::Fleet;
use privet_dp::ledger::{Claim, Ledger, ReleaseId, Shard, Spent, budget_name};
use privet_dp::loss::{Loss, Measure};
use privet_dp::mechanism::{Cells, Noise};
use privet_dp::query::{KeyTable, Keys, Query};
use privet_dp::receipt::{Facts, Receipt, verify};
use privet_dp::schedule::{Schedule, Tiling};
use privet_dp::window::{Circumstances, Span};

const DIRECTORY: &str = "PRIVET_DP_KILL_DIRECTORY";
const KILLS: u64 = 20;

fn query() -> Query {
    let mechanism = support::mechanism(Noise::DiscreteLaplace, 1, 1, "0.001");
    Query {
        name: "killed".to_owned(),
        unit: "userId".to_owned(),
        keys: Keys::Declared(KeyTable::new(vec![]).unwrap()),
        admission: Admission::within_memory(1 << 20, mechanism.bounds(), mechanism.aggregate()),
        mechanism,
        ids_per_person: NonZeroU64::MIN,
        schedule: Schedule::new(Tiling::Tumbling(Span::parse("1s").unwrap())),
        fleet: Fleet::ONE_POD,
        budget: Budget {
            limit: Loss::from_decimal(Measure::Pure, "1000").unwrap(),
            horizon: Span::parse("3650d").unwrap(),
        },
        nonnegative: false,
    }
}

/// One receipt a line, on disk before the next step.
fn publish(directory: &Path, receipt: &[u8]) {
    let mut file = OpenOptions::new().create(true).append(true).open(directory.join("published")).unwrap();
    file.write_all(&[receipt, b"\n"].concat()).unwrap();
}

/// The process that is killed: sends what waits, then releases window after
/// window, each under the name that every incarnation gives it.
#[test]
#[ignore = "runs as the child of the test below"]
fn releases_until_it_is_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let (directory, query) = (Path::new(&directory), query());
    let ledger = Ledger::open(&directory.join("ledger.redb")).unwrap();
    for unsent in ledger.unsent().unwrap() {
        publish(directory, &unsent.receipt);
        ledger.acknowledge(unsent.release).unwrap();
    }
    let started = Instant::now();
    for second in 0.. {
        assert!(started.elapsed() < Duration::from_secs(20), "nobody killed this process");
        let window = query.schedule.tiling().window_at(second);
        let shard = Shard { incarnation: 1, part: 0 };
        let claim = Claim::of(&query, &[0; 32], window, shard).unwrap();
        let Spent::Paid(paid, charged) = ledger.spend(&claim).unwrap() else { continue };
        let noised = query.mechanism.release(paid, Exact::new(Cells::declared(1, vec![100]))).unwrap();
        let circumstances = Circumstances::whole(window);
        let prev_receipt = ledger.chain_head(&query.name).unwrap();
        let facts = Facts { query: &query, policy: &[0; 32], window, circumstances, shard, charged, prev_receipt };
        let receipt = Receipt::new(facts, &noised);
        let unsent = ledger.commit(noised, &receipt).unwrap();
        publish(directory, &unsent.receipt);
        ledger.acknowledge(unsent.release).unwrap();
    }
}

#[test]
fn killed_twenty_times_nothing_is_published_unpaid_or_twice() {
    let directory = tempfile::tempdir().unwrap();
    for kill in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "releases_until_it_is_killed", "--ignored"])
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Not random: the moments differ all the same, and a failure can be told apart by its number.
        std::thread::sleep(Duration::from_millis(60 + 17 * (kill % 7)));
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success(), "the child ended before it was killed");
    }
    let (receipts, releases) = published(directory.path());
    assert!(receipts.len() > KILLS as usize, "only {} receipts: the test killed nothing", receipts.len());
    let ledger = Ledger::open(&directory.path().join("ledger.redb")).unwrap();
    let spent = ledger.spent(&budget_name("killed", "userId"), 0, query().budget).unwrap().nano;
    let paid = receipts.len() as u64 * query().mechanism.loss().nano();
    println!("{KILLS} kills: {} published, {} charged", receipts.len(), spent / query().mechanism.loss().nano());
    assert!(spent >= paid, "{spent} spent, {paid} published");
    assert!(spent <= paid + (KILLS + 1) * query().mechanism.loss().nano(), "a kill forfeits one release at most");
    assert!(releases.values().all(|sent| sent.windows(2).all(|pair| pair[0] == pair[1])), "one release, two tables");
    assert_eq!(verify(&receipts).unwrap().receipts, receipts.len());
}

/// The receipts in the order of their first publication, and all digests of each release.
fn published(directory: &Path) -> (Vec<Vec<u8>>, HashMap<ReleaseId, Vec<Digest>>) {
    let text = fs::read(directory.join("published")).unwrap();
    let mut receipts = Vec::new();
    let mut releases: HashMap<ReleaseId, Vec<Digest>> = HashMap::new();
    // A line without its end was being written when the process died; it is sent again, whole.
    let whole = text.split_inclusive(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\n"));
    for line in whole {
        // A torn line and the next one may share a line: the receipt begins at the last opening of one.
        let begins = line.windows(12).rposition(|window| window == br#"{"accuracy":"#).unwrap();
        let receipt = line[begins..].to_vec();
        let sent = releases.entry(Receipt::from_bytes(&receipt).unwrap().release_id).or_default();
        if sent.is_empty() {
            receipts.push(receipt.clone());
        }
        sent.push(Digest::of(&receipt));
    }
    (receipts, releases)
}
