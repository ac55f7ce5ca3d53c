//! A small log with a change of policy, a budget and canaries, and what an auditor says about it.

#![allow(dead_code, reason = "each test crate uses its own part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use privet_audit_log::counts::{Delta, Fate};
use privet_audit_log::policies::{self, Files};
use privet_audit_log::record::{
    BypassWatch, Challenge, Config, ConsentKept, Declaration, DpCharge, DpDelta, DpRelease, DpStage, DurabilityName,
    ExportsCharged, Name, NameKind, Record, Shipped,
};
use privet_audit_log::tree::Hash;
use privet_audit_log::{Durability, Log, Moment, OpenError, Settings, Work};
use privet_policy::Policy;
use privet_policy::diagnostic::SourceFile;
use privet_policy::format::Format;
use privet_policy::policy::{AgeClass, PlaceNo, PurposeNo, PurposeSet};
use privet_policy::verdict::VerdictKey;

/// 2026-11-22T08:00:00Z.
pub const START_MS: i64 = 1_795_334_400_000;

const POLICY: &str = "\
apiVersion: privet.dev/v1alpha1
kind: Contract
metadata: {name: shop.search, version: 3, owner: shop}
match: {format: segment, type: track, event: Searched}
fields:
  properties.query: {type: string, category: user.behavior.search_history, free_text: true, may_contain: [user.contact]}
  properties.email: {type: string, category: user.contact.email}
  properties.results: {type: integer, category: system.operations}
---
apiVersion: privet.dev/v1alpha1
kind: Purpose
metadata: {name: analytics.reporting}
basis: consent
granted_by: [{segment: {category: Analytics}}]
---
apiVersion: privet.dev/v1alpha1
kind: Purpose
metadata: {name: functional.service.improve}
basis: legitimate_interests
---
apiVersion: privet.dev/v1alpha1
kind: Destination
metadata: {name: collector}
url: http://127.0.0.1:8081
primary: true
recipient: processor
requires: []
purposes: [analytics.reporting, functional.service.improve]
---
apiVersion: privet.dev/v1alpha1
kind: Rule
metadata: {name: operations}
data: [system.operations]
for: [analytics.reporting, functional.service.improve]
action: keep
because: nobody is in them
---
apiVersion: privet.dev/v1alpha1
kind: Rule
metadata: {name: mail}
data: [user.contact.email]
for: [analytics.reporting]
action: pseudonymize
because: a report counts people
";

/// What the second policy has besides.
const LOOSER: &str = "\
---
apiVersion: privet.dev/v1alpha1
kind: Rule
metadata: {name: searches}
data: [user.behavior.search_history]
for: [analytics.reporting]
action: {scrub: {detectors: [EMAIL_ADDRESS]}}
because: search text may hold anything a person types
";

/// The two policies, in the order in which they come into force.
pub fn texts() -> [String; 2] {
    [POLICY.to_owned(), format!("{POLICY}{LOOSER}")]
}

pub fn policy(text: &str) -> Policy {
    let compiled = privet_policy::compile(&[SourceFile { name: "policy.yaml".into(), text: text.into() }]);
    compiled.policy.unwrap_or_else(|| panic!("{:?}", compiled.diagnostics))
}

/// The class of a search for which these purposes are permitted, by number.
pub fn searched(policy: &Policy, permitted: &[u8]) -> String {
    let contract = policy.contract_numbers().find(|number| policy.contract(*number).name == "shop.search").unwrap();
    let permitted = permitted.iter().fold(PurposeSet::default(), |set, number| set.with(PurposeNo(*number)));
    let key = VerdictKey { contract, place: PlaceNo::default(), age: AgeClass::Unknown, permitted: vec![permitted] };
    policy.class_of(&policy.verdict(&key))
}

/// Both clocks, this many milliseconds after the start.
pub fn at(ms: u64) -> Moment {
    Moment { wall_ms: START_MS + i64::try_from(ms).unwrap(), mono_ms: ms }
}

pub fn config(consent: ConsentKept) -> Config {
    Config {
        digest: Hash::of(b"kind: Config").to_address(),
        durability: DurabilityName::Sync,
        signatures: None,
        consent,
        exports: ExportsCharged::File,
        ship: Shipped::None,
        sealed: false,
        bypass: BypassWatch::Off,
    }
}

pub fn settings(root: &Path, consent: ConsentKept) -> Settings {
    let mut settings = Settings::new(root.join("log"), "privet.example/shop");
    settings.anchor = Some(root.join("anchor"));
    settings.refusals = vec!["unparseable".into()];
    settings.reserve_bytes = 4096;
    settings.config = Some(config(consent));
    settings.software = "privet for tests".into();
    settings
}

pub fn load(root: &Path, n: u32, text: &str) -> Declaration {
    let files = Files::from([("policy.yaml".to_owned(), text.as_bytes().to_vec())]);
    let digest = policy(text).digest().to_string();
    Declaration::Policy(policies::store(&root.join("log"), n, &digest, &files).unwrap())
}

pub fn named() -> Vec<Declaration> {
    let name = |kind, name: &str| Declaration::Name(Name { kind, n: 0, name: name.to_owned() });
    vec![name(NameKind::Listener, "events"), name(NameKind::Destination, "collector")]
}

pub fn class(n: u32, policy: u32, doc: &str) -> Declaration {
    Declaration::Class { n, policy, doc: doc.into() }
}

/// So many requests with one event each, of these classes, `kept` of them.
pub fn events(classes: &[(u32, u64)], kept: u64) -> Delta {
    let mut delta = Delta::default();
    let all = classes.iter().map(|(_, count)| count).sum();
    delta.arrivals.requests = all;
    delta.arrivals.answered = all;
    delta.arrivals.bytes = all * 500;
    delta.arrivals.listeners.add(0, all);
    delta.arrivals.events = all;
    delta.decisions.kept = kept;
    delta.decisions.dropped = all - kept;
    classes.iter().for_each(|(number, count)| delta.decisions.classes.add(*number, *count));
    delta.decisions.released.add(0, kept);
    delta
}

pub fn fate(batch: u64, fate: Fate) -> Work {
    let mut delta = Delta::default();
    delta.fates.insert((batch, 0), fate);
    Work { delta, ..Work::default() }
}

pub fn cut(delta: Delta) -> Work {
    Work { delta, cut: true, ..Work::default() }
}

fn charge() -> Record {
    Record::DpCharge(DpCharge {
        account: "searches by userId".into(),
        export: "searches".into(),
        release: "r-1".into(),
        policy: policy(&texts()[1]).digest().to_string(),
        start: START_MS / 1000,
        end: START_MS / 1000 + 3600,
        horizon: 86_400,
        measure: "zcdp".into(),
        amount: 5_000_000,
        before: 0,
        after: 5_000_000,
        cap: 150_000_000,
        delta: DpDelta::default(),
        stages: vec![DpStage { part: "count".into(), noise: "discrete_gaussian".into(), scale: "10".into() }],
        keys_per_unit: 1,
        rows_per_key: 1,
    })
}

fn release() -> Record {
    Record::DpRelease(DpRelease {
        export: "searches".into(),
        release: "r-1".into(),
        start: START_MS / 1000,
        end: START_MS / 1000 + 3600,
        output: format!("sha256:{}", "0".repeat(64)),
        local: None,
    })
}

/// One closed incarnation of two minutes: 200 searches under the first policy, 100 under the second.
pub fn shop(root: &Path) {
    let [first, second] = texts();
    let (mut log, _) = Log::open(settings(root, ConsentKept::Redis), at(0)).unwrap();
    let (strict, loose) = (policy(&first), policy(&second));
    let mut delta = events(&[(0, 120), (1, 60), (2, 20)], 180);
    delta.declared = named();
    delta.declared.extend([
        load(root, 0, &first),
        class(0, 0, &searched(&strict, &[0, 1])),
        class(1, 0, &searched(&strict, &[1])),
        class(2, 0, &strict.unmatched_class(Format::Segment)),
    ]);
    log.commit(&cut(delta), at(500)).unwrap();
    log.commit(&fate(1, Fate { acknowledged: 170, refused: 4, unknown: 6 }), at(900)).unwrap();
    log.commit(&Work::default(), at(61_000)).unwrap();
    let mut delta = events(&[(3, 40)], 40);
    delta.declared = vec![load(root, 1, &second), class(3, 1, &searched(&loose, &[0, 1]))];
    assert!(!log.is_batch_due(&delta, at(75_400)));
    log.commit(&Work { delta, ..Work::default() }, at(75_400)).unwrap();
    log.commit(&cut(events(&[(3, 60)], 60)), at(75_500)).unwrap();
    log.commit(&fate(2, Fate { acknowledged: 100, ..Fate::default() }), at(75_900)).unwrap();
    let charged = Work { records: vec![charge()], checkpoint: true, ..Work::default() };
    log.commit(&charged, at(80_000)).unwrap();
    log.commit(&Work { records: vec![release()], ..Work::default() }, at(81_000)).unwrap();
    log.close(&Delta::default(), at(120_000)).unwrap();
    own(root, "before", &first);
    mine(root, &second);
}

/// The auditor's own copy of the policies.
pub fn mine(root: &Path, text: &str) {
    own(root, "mine", text);
}

/// A policy of the auditor's own, in a directory of this name.
pub fn own(root: &Path, name: &str, text: &str) {
    fs::create_dir_all(root.join(name)).unwrap();
    fs::write(root.join(name).join("policy.yaml"), text).unwrap();
}

/// Opens a log again. A test beside this one that is starting a process holds the lock, too, until that process runs.
fn reopen(settings: &Settings, now: Moment) -> Log {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        match Log::open(settings.clone(), now) {
            Ok((log, _)) => return log,
            Err(OpenError::InUse(_)) if Instant::now() < until => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

/// A lease was open when the process died; the next start says so.
pub fn crashed(root: &Path) {
    let [first, _] = texts();
    let mut settings = settings(root, ConsentKept::Redis);
    settings.durability = Durability::Lease { events: 50 };
    settings.config.as_mut().unwrap().durability = DurabilityName::Lease;
    let (mut log, _) = Log::open(settings.clone(), at(0)).unwrap();
    let mut delta = events(&[(0, 100)], 100);
    delta.declared = named();
    delta.declared.extend([load(root, 0, &first), class(0, 0, &searched(&policy(&first), &[1]))]);
    log.commit(&cut(delta), at(500)).unwrap();
    // Durable, and in no record yet.
    log.commit(&Work { delta: events(&[(0, 30)], 30), ..Work::default() }, at(700)).unwrap();
    drop(log);
    let again = |ms| Moment { wall_ms: START_MS + 500_000 + i64::try_from(ms).unwrap(), mono_ms: ms };
    let log = reopen(&settings, again(0));
    log.close(&Delta::default(), again(1_000)).unwrap();
}

/// One event of each of these classes, each a canary of this token.
pub fn canaries(root: &Path, text: &str, consent: ConsentKept, all: &[(String, String)]) {
    let (mut log, _) = Log::open(settings(root, consent), at(0)).unwrap();
    let mut docs: Vec<&String> = all.iter().map(|(_, doc)| doc).collect();
    docs.sort();
    docs.dedup();
    let number = |doc: &String| u32::try_from(docs.binary_search(&doc).unwrap()).unwrap();
    let mut counts = vec![0_u64; docs.len()];
    let kept =
        |doc: &String| serde_json::from_str::<serde_json::Value>(doc).unwrap()["destinations"] != serde_json::json!({});
    let mut records = Vec::new();
    for (token, doc) in all {
        counts[number(doc) as usize] += 1;
        let classes = vec![(number(doc), 1)];
        records.push(Record::Challenge(Challenge { token: token.clone(), batch: 1, events: 1, classes }));
    }
    let pairs: Vec<(u32, u64)> = (0..).zip(counts).collect();
    let released = all.iter().filter(|(_, doc)| kept(doc)).count() as u64;
    let mut delta = events(&pairs, released);
    delta.declared = named();
    delta.declared.push(load(root, 0, text));
    delta.declared.extend((0..).zip(&docs).map(|(n, doc)| class(n, 0, doc)));
    log.commit(&Work { delta, cut: true, records, ..Work::default() }, at(500)).unwrap();
    log.close(&Delta::default(), at(900)).unwrap();
}

pub fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_privet-audit")).args(arguments).output().unwrap()
}

pub fn path(root: &Path, path: &str) -> String {
    let path: PathBuf = root.join(path);
    path.to_str().unwrap().to_owned()
}

/// What a command about the log in `root` prints, with its exit status; the root is called so.
pub fn answer(root: &Path, words: &[&str]) -> (String, Option<i32>) {
    let done = run(&words
        .iter()
        .map(|word| place(root, word))
        .collect::<Vec<_>>()
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>());
    let text = String::from_utf8(done.stdout).unwrap() + &String::from_utf8(done.stderr).unwrap();
    (text.replace(root.to_str().unwrap(), "ROOT"), done.status.code())
}

/// `@x` is a path in the root.
fn place(root: &Path, word: &str) -> String {
    word.strip_prefix('@').map_or_else(|| word.to_owned(), |rest| path(root, rest))
}

/// Roots and signatures come from a key that is new each time, and digests change with every built-in contract:
/// each gets a name instead, digests by first use.
fn plain(text: &str) -> String {
    let mut known: Vec<String> = Vec::new();
    let mut word = |word: &str| {
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric() && !"+/=:".contains(c));
        if bare.len() >= 44 && bare.ends_with('=') {
            return word.replace(bare, "<base64>");
        }
        if !bare.starts_with("sha256:") {
            return word.to_owned();
        }
        let place = known.iter().position(|one| one == bare).unwrap_or(known.len());
        if place == known.len() {
            known.push(bare.to_owned());
        }
        word.replace(bare, &format!("<sha256 {}>", place + 1))
    };
    text.split_inclusive([' ', '\n']).map(&mut word).collect()
}

/// Compares with a file of `tests/golden`, or writes it where `PRIVET_GOLDEN` is set.
pub fn golden(name: &str, text: &str) {
    let text = plain(text);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("PRIVET_GOLDEN").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "{name}; PRIVET_GOLDEN=1 writes it anew");
}

/// Flips one bit of a record in its bundle.
pub fn tamper(root: &Path, record: usize) {
    let bundle = fs::read_dir(root.join("log/1/tile/entries/000.p")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&bundle).unwrap();
    let mut offset = 0;
    for _ in 0..record {
        offset += 2 + usize::from(u16::from_be_bytes([bytes[offset], bytes[offset + 1]]));
    }
    bytes[offset + 20] ^= 1;
    fs::write(&bundle, bytes).unwrap();
}
