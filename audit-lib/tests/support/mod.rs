//! A small log of every record type, and ways to break it.

#![allow(dead_code, reason = "each test crate uses its own part")]

pub mod image;

use std::fs;
use std::path::Path;

use privet_audit_log::counts::{Delta, Fate};
use privet_audit_log::note::VerifierKey;
use privet_audit_log::policies::{self, Files};
use privet_audit_log::record::{
    BypassCheck, BypassWatch, Challenge, Config, ConsentKept, Declaration, DpCharge, DpDelta, DpRelease, DpStage,
    DurabilityName, ExportsCharged, Name, NameKind, PolicyLoad, PolicyRefused, Record, RefusalReason, Shipped,
};
use privet_audit_log::tree::Hash;
use privet_audit_log::verify::{Options, Report, verify};
use privet_audit_log::{Durability, Log, Moment, Recovered, Settings, Work};

pub const START_MS: i64 = 1_795_344_000_000;
pub const ORIGIN: &str = "privet.example/storefront/collector";

/// A directory to test in: in memory where the system has one, since a test of
/// thousands of commits would otherwise measure the disk.
pub fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// A clock that a test moves by hand.
#[derive(Clone, Copy)]
pub struct Hand(pub u64);

impl Hand {
    pub fn now(self) -> Moment {
        Moment { wall_ms: START_MS + i64::try_from(self.0).unwrap(), mono_ms: self.0 }
    }

    pub fn later(&mut self, ms: u64) -> Moment {
        self.0 += ms;
        self.now()
    }
}

pub fn settings(root: &Path) -> Settings {
    let mut settings = Settings::new(root.join("log"), ORIGIN);
    settings.anchor = Some(root.join("anchor"));
    settings.refusals = vec!["unparseable".into(), "overloaded".into()];
    settings.reserve_bytes = 4096;
    settings.config = Some(config(DurabilityName::Sync));
    settings
}

/// A sidecar that looks at its sockets.
pub fn config(durability: DurabilityName) -> Config {
    Config {
        digest: Hash::of(b"kind: Config").to_address(),
        durability,
        signatures: None,
        consent: ConsentKept::Embedded,
        exports: ExportsCharged::File,
        ship: Shipped::None,
        sealed: false,
        bypass: BypassWatch::Record,
    }
}

/// A challenge of events of class 0.
pub fn challenge(batch: u64, events: u64) -> Challenge {
    Challenge { token: Hash::of(b"canary").to_address(), batch, events, classes: vec![(0, events)] }
}

pub fn looked(suspect: u64) -> Record {
    Record::BypassCheck(BypassCheck::new(3, 12, &[("unknown_listener", suspect)]).without(0))
}

pub fn open(root: &Path, clock: Hand) -> (Log, Recovered) {
    Log::open(settings(root), clock.now()).unwrap()
}

pub fn lease(mut settings: Settings, events: u64) -> Settings {
    settings.durability = Durability::Lease { events };
    settings.config = Some(config(DurabilityName::Lease));
    settings
}

pub fn policy_files() -> Files {
    Files::from([
        ("contracts/search.yaml".to_owned(), b"kind: Contract\n".to_vec()),
        ("rules.yaml".to_owned(), b"kind: Rule\n".to_vec()),
    ])
}

/// A policy that one of two signed.
pub fn refused(stays: Option<String>) -> PolicyRefused {
    PolicyRefused {
        digest: format!("sha256:{}", "cd".repeat(32)),
        reason: RefusalReason::TooFewSigners,
        signers: vec!["marla".into()],
        required: 2,
        loosens: None,
        stays,
    }
}

/// Two destinations, a listener, a policy, one that was refused, and three classes.
pub fn declarations(log_dir: &Path) -> Vec<Declaration> {
    let digest = format!("sha256:{}", "ab".repeat(32));
    let policy: PolicyLoad = policies::store(log_dir, 0, &digest, &policy_files()).unwrap();
    let name = |kind, n, name: &str| Declaration::Name(Name { kind, n, name: name.to_owned() });
    let class = |n, doc: &str| Declaration::Class { n, policy: 0, doc: doc.into() };
    vec![
        name(NameKind::Destination, 0, "collector"),
        name(NameKind::Destination, 1, "warehouse"),
        name(NameKind::Listener, 0, "events"),
        Declaration::Policy(policy),
        Declaration::Refused(refused(Some(digest))),
        class(0, r#"{"contract":"storefront.search/4","f":{"ip":"drop"},"outcome":"kept"}"#),
        class(1, r#"{"contract":"storefront.search/4","outcome":"dropped"}"#),
        class(2, r#"{"outcome":"unmatched"}"#),
    ]
}

/// `requests` requests of `each` events: most kept, one in five dropped.
pub fn traffic(requests: u64, each: u64) -> Delta {
    let mut delta = Delta::default();
    let events = requests * each;
    let dropped = events / 5;
    delta.arrivals.requests = requests;
    delta.arrivals.bytes = events * 1200;
    delta.arrivals.listeners.add(0, requests);
    delta.arrivals.events = events;
    delta.arrivals.answered = requests;
    delta.decisions.kept = events - dropped;
    delta.decisions.dropped = dropped;
    delta.decisions.classes.add(0, events - dropped);
    delta.decisions.classes.add(1, dropped);
    delta.decisions.released.add(0, events - dropped);
    delta.decisions.released.add(1, (events - dropped) / 2);
    delta
}

pub fn acknowledged(batch: u64, destination: u32, events: u64) -> Delta {
    let mut delta = Delta::default();
    delta.fates.insert((batch, destination), Fate { acknowledged: events, ..Fate::default() });
    delta
}

pub fn work(delta: Delta, cut: bool) -> Work {
    Work { delta, cut, ..Work::default() }
}

pub fn charge(release: &str, before: u64) -> Record {
    let start = i64::try_from(before / 100_000_000).unwrap() * 3600;
    Record::DpCharge(DpCharge {
        account: "searches-by-section/userId".into(),
        export: "searches-by-section".into(),
        release: release.into(),
        policy: format!("sha256:{}", "ab".repeat(32)),
        start,
        end: start + 3600,
        horizon: 30 * 86_400,
        measure: "pure".into(),
        amount: 100_000_000,
        before,
        after: before + 100_000_000,
        cap: 72_000_000_000,
        delta: DpDelta::default(),
        stages: vec![DpStage { part: "count".into(), noise: "discrete_laplace".into(), scale: "60".into() }],
        keys_per_unit: 2,
        rows_per_key: 3,
    })
}

pub fn release(release: &str, before: u64) -> Record {
    let start = i64::try_from(before / 100_000_000).unwrap() * 3600;
    Record::DpRelease(DpRelease {
        export: "searches-by-section".into(),
        release: release.into(),
        start,
        end: start + 3600,
        output: format!("sha256:{}", "0".repeat(64)),
        local: None,
    })
}

/// One closed incarnation with every kind of record that normal running makes.
pub fn run_once(root: &Path, clock: &mut Hand) {
    let (mut log, _) = open(root, *clock);
    let mut first = traffic(30, 5);
    first.declared = declarations(&root.join("log"));
    log.commit(&work(first, false), clock.later(40)).unwrap();
    log.commit(&work(traffic(3, 5), true), clock.later(80)).unwrap();
    log.commit(&work(acknowledged(1, 0, 132), false), clock.later(5)).unwrap();
    let canary = Work { records: vec![Record::Challenge(challenge(2, 4))], ..work(traffic(1, 5), false) };
    log.commit(&canary, clock.later(15)).unwrap();
    log.commit(&work(traffic(20, 4), true), clock.later(110)).unwrap();
    let mut refused = Delta::default();
    refused.arrivals.requests = 2;
    refused.arrivals.listeners.add(0, 2);
    refused.arrivals.refused.add(0, 2);
    refused.fates.insert((2, 1), Fate { acknowledged: 10, refused: 20, unknown: 0 });
    log.commit(&work(refused, true), clock.later(10_500)).unwrap();
    let before = if root.join("log/2").exists() { 100_000_000 } else { 0 };
    let id = format!("window-{before}");
    let charged = Work { records: vec![charge(&id, before)], checkpoint: true, ..Work::default() };
    log.commit(&charged, clock.later(1000)).unwrap();
    log.commit(&Work { records: vec![release(&id, before)], ..Work::default() }, clock.later(3)).unwrap();
    log.commit(&Work::default(), clock.later(61_000)).unwrap();
    log.commit(&Work { records: vec![looked(0)], ..Work::default() }, clock.later(20)).unwrap();
    log.close(&traffic(1, 1), clock.later(500)).unwrap();
}

/// Two closed incarnations.
pub fn sample(root: &Path) -> Hand {
    let mut clock = Hand(0);
    run_once(root, &mut clock);
    clock.later(5000);
    run_once(root, &mut clock);
    clock
}

pub fn keys(root: &Path) -> Vec<VerifierKey> {
    VerifierKey::parse_all(&fs::read_to_string(root.join("anchor/vkey")).unwrap()).unwrap()
}

pub fn armed(root: &Path) -> Options {
    let anchor = fs::read_to_string(root.join("anchor/checkpoint")).unwrap();
    Options { keys: Some(keys(root)), anchor: Some(anchor), ..Options::default() }
}

pub fn check(root: &Path) -> Report {
    verify(&root.join("log"), &armed(root)).unwrap()
}

pub fn assert_clean(report: &Report) {
    assert!(report.is_clean(), "{:#?}", report.findings);
}

/// All files below a directory, sorted.
pub fn files_below(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(next) = open.pop() {
        for item in fs::read_dir(next).unwrap() {
            let path = item.unwrap().path();
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

pub fn copy_tree(from: &Path, to: &Path) {
    for file in files_below(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&file, &target).unwrap();
    }
}
