//! A process that releases is killed, again and again, wherever it stands.
//!
//! The unit tests of the ledger cut its power at every single write; this one
//! asks the same of real processes, a real file and `SIGKILL`. The budget is too
//! small for the windows, so that it refuses some within every horizon. What was
//! published is counted from the published bytes, not from the ledger:
//!
//! * overspend: horizons in which more was published than the limit pays for;
//! * second draw: releases that were published with two different contents;
//! * lost spend: published releases that the reopened ledger does not know as
//!   paid for and drawn, and windows around which it counts less than was published.
//!
//! `cargo test` kills a few dozen times; `tools/ledger-kills 10000` is the whole campaign.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
#![cfg(unix)]

mod support;

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::num::NonZeroU64;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use privet_dp::accountant::Budget;
use privet_dp::bound::Admission;
use privet_dp::digest::Digest;
use privet_dp::exact::Exact;
use privet_dp::fleet::Fleet;
use privet_dp::ledger::{CannotSpend, Claim, Ledger, ReleaseId, ReleaseState, Spent, Unsent, budget_name};
use privet_dp::loss::{Loss, Measure};
use privet_dp::mechanism::{Cells, Noise};
use privet_dp::query::{KeyTable, Keys, Query};
use privet_dp::receipt::{Facts, Receipt, verify};
use privet_dp::schedule::{Schedule, Tiling};
use privet_dp::window::{Circumstances, Span};

const DIRECTORY: &str = "PRIVET_DP_KILL_DIRECTORY";
const FIRST: &str = "PRIVET_DP_KILL_FIRST_WINDOW";
const KILLS: &str = "PRIVET_DP_KILLS";

/// Windows are seconds; in every [`HORIZON`] of them, [`AFFORDED`] can be paid.
const HORIZON: i64 = 50;
const AFFORDED: u64 = 40;
/// One ledger is killed so often, then the next is begun: opening reads all releases.
const KILLS_PER_LEDGER: u64 = 250;
/// What a process says before it opens the ledger: its life is counted from there.
const BEGINS: &str = "begins";
/// A killed process has lived up to so long. It needs a few milliseconds to open the ledger.
const LIFE_MAX: Duration = Duration::from_millis(60);
/// The moments are the same in every run; where they fall in the process is not.
const SEED: u64 = 0x5eed_0f4b_111d_0001;

fn query() -> Query {
    let mechanism = support::mechanism(Noise::DiscreteLaplace, 1, 1, "0.001");
    let limit = Loss::from_nano(Measure::Pure, AFFORDED * mechanism.loss().nano()).unwrap();
    Query {
        name: "killed".to_owned(),
        unit: "userId".to_owned(),
        keys: Keys::Declared(KeyTable::new(vec![]).unwrap()),
        admission: Admission::within_memory(1 << 20, mechanism.bounds(), mechanism.aggregate()),
        mechanism,
        ids_per_person: NonZeroU64::MIN,
        schedule: Schedule::new(Tiling::Tumbling(Span::parse("1s").unwrap())),
        fleet: Fleet::ONE_POD,
        budget: Budget { limit, horizon: Span::parse(&format!("{HORIZON}s")).unwrap() },
        nonnegative: false,
    }
}

/// One receipt a line, on disk before the next step.
fn publish(directory: &Path, receipt: &[u8]) {
    let mut file = OpenOptions::new().create(true).append(true).open(directory.join("published")).unwrap();
    file.write_all(&[receipt, b"\n"].concat()).unwrap();
}

fn publish_what_waits(ledger: &Ledger, directory: &Path) {
    for release in ledger.outbox().unwrap() {
        let unsent = Unsent { release, receipt: ledger.committed(release).unwrap().unwrap() };
        publish(directory, &unsent.receipt);
        ledger.acknowledge(unsent.release).unwrap();
    }
}

/// Pays for, draws, commits and publishes one window, under the name that every
/// process gives it. Whether it was the budget that refused.
fn release(ledger: &Ledger, query: &Query, directory: &Path, second: i64) -> bool {
    let window = query.schedule.tiling().window_at(second);
    let shard = ledger.posted();
    let claim = Claim::of(query, &[0; 32], window, shard).unwrap();
    let (paid, charged) = match ledger.spend(&claim) {
        Ok(Spent::Paid(paid, charged)) => (paid, charged),
        Ok(Spent::Already(_)) => return false,
        Err(CannotSpend::OverBudget { .. }) => return true,
        Err(other) => panic!("{other}"),
    };
    let noised = query.mechanism.release(paid, Exact::new(Cells::declared(1, vec![100]))).unwrap();
    let circumstances = Circumstances::whole(window);
    let prev_receipt = ledger.chain_head(&query.name).unwrap();
    let facts = Facts { query, policy: &[0; 32], window, circumstances, shard, charged, prev_receipt };
    let receipt = Receipt::new(facts, &noised);
    let unsent = ledger.commit(noised, &receipt).unwrap();
    publish(directory, &unsent.receipt);
    ledger.acknowledge(unsent.release).unwrap();
    false
}

/// The process that is killed: sends what waits, then releases window after window.
#[test]
#[ignore = "runs as the child of the tests below"]
fn releases_until_it_is_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let first: i64 = std::env::var(FIRST).unwrap().parse().unwrap();
    let (directory, query) = (Path::new(&directory), query());
    // Past the test harness, which would keep it until the end.
    io::stdout().write_all(format!("{BEGINS}\n").as_bytes()).unwrap();
    let ledger = Ledger::open(&directory.join("ledger.redb")).unwrap();
    publish_what_waits(&ledger, directory);
    let started = Instant::now();
    for second in first.. {
        assert!(started.elapsed() < Duration::from_secs(20), "nobody killed this process");
        release(&ledger, &query, directory, second);
    }
}

/// A process that is about to open the ledger.
fn child(directory: &Path, first: i64) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "releases_until_it_is_killed", "--ignored"])
        .env(DIRECTORY, directory)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().ends_with(BEGINS)), "the child ended before it began");
    child
}

/// Steele, Lea and Flood's SplitMix64: moments to kill at.
struct Moments(u64);

impl Moments {
    fn next(&mut self) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Duration::from_nanos((mixed ^ (mixed >> 31)) % LIFE_MAX.as_nanos() as u64)
    }
}

/// What a campaign, or a part of one, came to.
#[derive(Debug, Default)]
struct Tally {
    kills: u64,
    /// Kills of processes that had published something.
    kills_amid_work: u64,
    published: u64,
    /// Releases that were published more often than once, always alike.
    sent_again: u64,
    /// Paid for, and drawn by nobody.
    forfeited: u64,
    overspend: u64,
    second_draw: u64,
    lost_spend: u64,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.kills += other.kills;
        self.kills_amid_work += other.kills_amid_work;
        self.published += other.published;
        self.sent_again += other.sent_again;
        self.forfeited += other.forfeited;
        self.overspend += other.overspend;
        self.second_draw += other.second_draw;
        self.lost_spend += other.lost_spend;
    }

    fn print(&self) {
        println!(
            "{} kills, {} of them amid work: {} published, {} sent again, {} forfeited; overspend {}, second draw {}, lost spend {}",
            self.kills,
            self.kills_amid_work,
            self.published,
            self.sent_again,
            self.forfeited,
            self.overspend,
            self.second_draw,
            self.lost_spend
        );
    }

    fn assert_sound(&self) {
        assert!(self.kills_amid_work > 0 && self.published > 0, "the campaign killed nothing at work");
        assert_eq!((self.overspend, self.second_draw, self.lost_spend), (0, 0, 0));
    }
}

/// Kills processes over one ledger, then opens it and counts what was published.
fn kill_over_one_ledger(kills: u64, moments: &mut Moments) -> Tally {
    let directory = tempfile::tempdir().unwrap();
    let mut tally = Tally { kills, ..Tally::default() };
    let mut published_bytes = 0;
    for _ in 0..kills {
        // A few windows back, so that releases of earlier processes are asked for again.
        let mut child = child(directory.path(), last_published(directory.path()) - 2);
        std::thread::sleep(moments.next());
        child.kill().unwrap();
        let ended = child.wait().unwrap();
        assert_eq!(ended.signal(), Some(9), "the child ended before it was killed");
        let bytes = fs::metadata(directory.path().join("published")).map_or(0, |file| file.len());
        tally.kills_amid_work += u64::from(bytes > published_bytes);
        published_bytes = bytes;
    }
    let ledger = Ledger::open(&directory.path().join("ledger.redb")).unwrap();
    publish_what_waits(&ledger, directory.path());
    judge(&ledger, &Published::read(directory.path()), &mut tally);
    tally
}

/// Counts from published bytes what must not be, and asks the ledger about each release.
fn judge(ledger: &Ledger, published: &Published, tally: &mut Tally) {
    tally.published = published.receipts.len() as u64;
    tally.sent_again = published.releases.values().filter(|sent| sent.len() > 1).count() as u64;
    tally.second_draw =
        published.releases.values().filter(|sent| sent.iter().any(|one| *one != sent[0])).count() as u64;
    let known = |release: &ReleaseId, sent: &[Digest]| {
        ledger.state(*release).unwrap() == Some(ReleaseState::Acknowledged(sent[0]))
    };
    tally.lost_spend = published.releases.iter().filter(|(release, sent)| !known(release, sent)).count() as u64;
    let (query, loss) = (query(), query().mechanism.loss().nano());
    for second in published.starts.keys().copied() {
        let in_horizon = published.starts.range(second..second + HORIZON).map(|(_, releases)| releases).sum::<u64>();
        tally.overspend += u64::from(in_horizon > AFFORDED);
        let counted = ledger.spent(&budget_name("killed", "userId"), second, query.budget).unwrap();
        tally.lost_spend += u64::from(counted.nano < in_horizon * loss);
        tally.overspend += u64::from(counted.nano > AFFORDED * loss);
    }
    tally.forfeited = ledger.forfeited() + forfeited_between(ledger, published);
    assert_eq!(verify(&published.receipts).unwrap().receipts, published.receipts.len());
}

/// How many windows before the last published one were paid for and given up.
fn forfeited_between(ledger: &Ledger, published: &Published) -> u64 {
    let last = published.starts.keys().next_back().copied().unwrap_or(0);
    let state = |second| {
        let window = query().schedule.tiling().window_at(second);
        ledger.state(ReleaseId::of(&[0; 32], "killed", window, ledger.posted())).unwrap()
    };
    (0..last).filter(|second| state(*second) == Some(ReleaseState::Forfeited)).count() as u64
}

/// What the processes published.
struct Published {
    /// The receipts in the order of their first publication.
    receipts: Vec<Vec<u8>>,
    /// All digests of each release.
    releases: HashMap<ReleaseId, Vec<Digest>>,
    /// How many releases begin at each second.
    starts: BTreeMap<i64, u64>,
}

impl Published {
    fn read(directory: &Path) -> Self {
        let mut published = Self { receipts: Vec::new(), releases: HashMap::new(), starts: BTreeMap::new() };
        for receipt in whole_receipts(&fs::read(directory.join("published")).unwrap()) {
            let read = Receipt::from_bytes(receipt).unwrap();
            let sent = published.releases.entry(read.release_id).or_default();
            if sent.is_empty() {
                published.receipts.push(receipt.to_vec());
                *published.starts.entry(read.window.start.as_second()).or_default() += 1;
            }
            sent.push(Digest::of(receipt));
        }
        published
    }
}

/// A line without its end was being written when the process died; it is sent again, whole.
/// A torn line and the next one may share a line: the receipt begins at the last opening of one.
fn whole_receipts(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let whole = text.split_inclusive(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\n"));
    whole.map(|line| {
        let begins = line.windows(12).rposition(|window| window == br#"{"accuracy":"#).unwrap();
        &line[begins..]
    })
}

/// The window of the last receipt that is out; the first window while there is none.
fn last_published(directory: &Path) -> i64 {
    let Ok(text) = fs::read(directory.join("published")) else { return 2 };
    let Some(last) = whole_receipts(&text).last() else { return 2 };
    Receipt::from_bytes(last).unwrap().window.start.as_second()
}

/// A process may die over the making of its ledger, too. The next one begins it.
#[test]
fn killed_while_it_makes_its_ledger_the_next_process_makes_it() {
    let mut moments = Moments(SEED);
    let mut unborn = 0;
    for _ in 0..40 {
        let directory = tempfile::tempdir().unwrap();
        let mut child = child(directory.path(), 0);
        std::thread::sleep(moments.next() / 2);
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9), "the child ended before it was killed");
        unborn += u64::from(!directory.path().join("ledger.redb").exists());
        Ledger::open(&directory.path().join("ledger.redb")).unwrap();
        let left = fs::read_dir(directory.path()).unwrap().flatten().map(|file| file.file_name());
        assert!(
            left.into_iter().all(|name| name == "ledger.redb" || name == "published"),
            "something unfinished is left"
        );
    }
    println!("40 kills, {unborn} of them before there was a ledger");
    assert!(unborn > 0, "no process was killed over the making of its ledger");
}

#[test]
fn killed_forty_times_nothing_is_published_unpaid_or_twice() {
    let tally = kill_over_one_ledger(40, &mut Moments(SEED));
    tally.print();
    tally.assert_sound();
}

#[test]
#[ignore = "takes a quarter of an hour and more: tools/ledger-kills runs it"]
fn campaign() {
    let kills: u64 = std::env::var(KILLS).unwrap().parse().unwrap();
    let (mut moments, mut all) = (Moments(SEED), Tally::default());
    while all.kills < kills {
        all.add(&kill_over_one_ledger(KILLS_PER_LEDGER.min(kills - all.kills), &mut moments));
        all.print();
    }
    all.assert_sound();
}
