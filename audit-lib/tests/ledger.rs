//! A pod's log against a ledger's, each way in which they can differ.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::path::{Path, PathBuf};

use privet_audit_log::cosignature::Cosigner;
use privet_audit_log::ledger::{BEHIND_MS_MAX, Ledger, LedgerReport, Seen, check};
use privet_audit_log::note::{Checkpoint, Signer};
use privet_audit_log::quorum::TrustPolicy;
use privet_audit_log::record::{Entry, Open, Record, Retired};
use privet_audit_log::tile::{encode_bundle, encode_tile};
use privet_audit_log::tree::{Hash, merkle_root};
use privet_audit_log::verify::{Options, Report, leaves, verify};
use privet_audit_log::{Log, Moment, Settings, Work};
use serde_json::{Value, json};

const POD: &str = "privet.example/pod";
const LEDGER: &str = "privet.example/ledger/1";

fn signer() -> Signer {
    Signer::from_seed(LEDGER, &[3; 32]).unwrap()
}

fn witness() -> Cosigner {
    Cosigner::from_seed("w.example", &[4; 32]).unwrap()
}

fn trust() -> TrustPolicy {
    TrustPolicy::parse(&format!("log {}\nwitness w {}\nquorum w\n", signer().verifier(), witness().public())).unwrap()
}

/// What a ledger's log holds beside its first record.
enum Said {
    Roll(Vec<(u64, u64, Hash)>),
    /// The same, after the records before it were cosigned at this second.
    After(u64, Vec<(u64, u64, Hash)>),
    /// The same, where what was cosigned is another ledger of the same length.
    Forked(u64, Vec<(u64, u64, Hash)>),
    Refused(u64),
}

/// When the ledger's newest checkpoint is cosigned, in seconds of Unix time.
const COSIGNED: u64 = 1_795_344_000;

/// A checkpoint over these entries, cosigned at this second or not at all.
fn note(entries: &[Vec<u8>], at: Option<u64>) -> String {
    let hashes: Vec<Hash> = entries.iter().map(|entry| Hash::leaf(entry)).collect();
    let size = entries.len() as u64;
    let text = Checkpoint { origin: LEDGER.into(), size, root: merkle_root(&hashes) }.to_text();
    signer().sign(&text) + &at.map_or_else(String::new, |at| witness().cosign(&text, at))
}

/// Writes a ledger's log, cosigned or not.
fn ledger(dir: &Path, said: &[Said], cosigned: bool) {
    ledger_at(dir, said, cosigned.then_some(COSIGNED));
}

fn ledger_at(dir: &Path, said: &[Said], cosigned: Option<u64>) {
    let root = dir.join("1");
    fs::create_dir_all(root.join("list")).unwrap();
    let key = signer();
    let entry = |seq: usize, record: Record| {
        Entry { seq: seq as u64, ts: 1_795_344_000_000, mono: 0, record }.to_bytes().unwrap()
    };
    let mut entries = vec![entry(
        0,
        Record::Open(Open {
            origin: LEDGER.into(),
            incarnation: 1,
            vkey: key.verifier().to_string(),
            prev: None,
            lease: 0,
            refusals: Vec::new(),
            software: "test".into(),
        }),
    )];
    for said in said {
        let (kind, members) = match said {
            Said::Refused(number) => {
                let members =
                    json!({"origin": format!("{POD}/{number}"), "reason": "rolled_back", "rolled": null, "seen": null});
                ("roll.refused", members)
            }
            Said::Roll(logs) => ("roll", roll(&root, logs, None)),
            Said::After(at, logs) | Said::Forked(at, logs) => {
                let other = vec![b"another".to_vec(); entries.len()];
                let seen = if matches!(said, Said::Forked(..)) { &other } else { &entries };
                let note = note(seen, Some(*at));
                let hash = Hash::of(note.as_bytes());
                fs::create_dir_all(root.join("cosigned")).unwrap();
                fs::write(root.join("cosigned").join(hash.to_hex()), note).unwrap();
                ("roll", roll(&root, logs, Some(hash)))
            }
        };
        entries.push(entry(entries.len(), Record::Unknown(kind.into(), members)));
    }
    let hashes: Vec<Hash> = entries.iter().map(|entry| Hash::leaf(entry)).collect();
    for (folder, bytes) in [("entries", encode_bundle(entries.iter().map(Vec::as_slice))), ("0", encode_tile(&hashes))]
    {
        let folder = root.join(format!("tile/{folder}/000.p"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(entries.len().to_string()), bytes).unwrap();
    }
    fs::write(root.join("checkpoint"), note(&entries, cosigned)).unwrap();
}

/// Keeps a list and gives the roll of it.
fn roll(root: &Path, logs: &[(u64, u64, Hash)], witnessed: Option<Hash>) -> Value {
    let row = |(number, size, root): &(u64, u64, Hash)| -> Value {
        json!([format!("{POD}/{number}"), size, root.to_base64(), "sha256:00"])
    };
    let mut list: Vec<Value> = logs.iter().map(row).collect();
    list.push(json!(["privet.example/pod-2/1", 9, Hash::of(b"x").to_base64(), "sha256:00"]));
    let bytes = serde_json::to_vec(&list).unwrap();
    let hash = Hash::of(&bytes);
    fs::write(root.join(format!("list/{}.json", hash.to_hex())), bytes).unwrap();
    json!({"list": hash.to_address(), "logs": list.len(), "witnessed": witnessed.map(Hash::to_address)})
}

/// Two incarnations of a pod's log, with the root that each had at some size.
struct Pod {
    _dir: tempfile::TempDir,
    log: PathBuf,
}

impl Pod {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        for _ in 0..2 {
            let mut now = Moment { wall_ms: 1_795_344_000_000, mono_ms: 0 };
            let (mut open, _) = Log::open(Settings::new(&log, POD), now).unwrap();
            for _ in 0..5 {
                now.mono_ms += 1000;
                open.commit(&Work { records: vec![Record::Heartbeat], ..Work::default() }, now).unwrap();
            }
            open.close(&Default::default(), now).unwrap();
        }
        Self { _dir: dir, log }
    }

    fn at(&self, number: u64, size: usize) -> (u64, u64, Hash) {
        (number, size as u64, merkle_root(&leaves(&self.log, number).unwrap().leaves[..size]))
    }

    fn against(&self, said: &[Said]) -> (Vec<&'static str>, LedgerReport, Report) {
        let dir = tempfile::tempdir().unwrap();
        ledger(dir.path(), said, true);
        let mut report = verify(&self.log, &Options::default()).unwrap();
        assert!(report.is_clean(), "{:#?}", report.findings);
        let said = held(dir.path(), &self.log, &mut report);
        (codes(&report), said, report)
    }
}

fn held(ledger: &Path, log: &Path, report: &mut Report) -> LedgerReport {
    check(&Ledger { log: ledger, policy: &trust(), anchor: None }, log, report).unwrap()
}

fn gaps(report: &Report) -> Vec<&'static str> {
    report
        .gaps
        .iter()
        .map(|gap| gap.code)
        .filter(|code| code.starts_with("ledger_") || *code == "clock_witnessed")
        .collect()
}

fn codes(report: &Report) -> Vec<&'static str> {
    report.findings.iter().map(|finding| finding.code).collect()
}

#[test]
fn a_log_that_is_what_was_rolled_agrees_with_every_roll() {
    let pod = Pod::new();
    let (codes, said, _) = pod.against(&[
        Said::Roll(vec![pod.at(1, 3)]),
        Said::Roll(vec![pod.at(1, 7), pod.at(2, 1)]),
        Said::Roll(vec![pod.at(2, 6)]),
    ]);
    assert_eq!(codes, Vec::<&str>::new());
    assert_eq!((said.agreed, said.records), (4, 4));
    assert_eq!(said.rolled.into_iter().collect::<Vec<_>>(), [(1, (7, 7)), (2, (6, 7))]);
    assert_eq!(said.witnesses, [("w".to_owned(), 1_795_344_000)]);
}

#[test]
fn each_way_to_differ_has_its_finding() {
    let pod = Pod::new();
    let other = Hash::of(b"other");
    assert_eq!(pod.against(&[Said::Roll(vec![(1, 3, other), pod.at(1, 7)])]).0, ["ledger_root"]);
    assert_eq!(pod.against(&[Said::Roll(vec![(2, 8, other)]), Said::Roll(vec![pod.at(1, 7)])]).0, ["ledger_truncated"]);
    assert_eq!(pod.against(&[Said::Roll(vec![(3, 8, other)])]).0, ["ledger_missing"]);
    assert_eq!(pod.against(&[Said::Roll(vec![pod.at(1, 7)]), Said::Refused(1)]).0, ["ledger_refused"]);
    assert_eq!(pod.against(&[Said::Roll(Vec::new())]).0, ["ledger_unknown"]);
    assert_eq!(pod.against(&[]).0, ["ledger_unknown"]);
}

#[test]
fn a_ledger_without_its_quorum_or_its_lists_says_nothing_for_a_log() {
    let pod = Pod::new();
    let rolled = [Said::Roll(vec![pod.at(1, 7)])];
    let held = |dir: &Path| {
        let mut report = verify(&pod.log, &Options::default()).unwrap();
        crate::held(dir, &pod.log, &mut report);
        codes(&report)
    };
    let alone = tempfile::tempdir().unwrap();
    ledger(alone.path(), &rolled, false);
    assert_eq!(held(alone.path()), ["ledger_checkpoint"]);
    let listless = tempfile::tempdir().unwrap();
    ledger(listless.path(), &rolled, true);
    for list in fs::read_dir(listless.path().join("1/list")).unwrap() {
        fs::write(list.unwrap().path(), "[]").unwrap();
    }
    assert_eq!(held(listless.path()), ["ledger_list", "ledger_unknown"]);
    let changed = tempfile::tempdir().unwrap();
    ledger(changed.path(), &rolled, true);
    let bundle = changed.path().join("1/tile/entries/000.p/2");
    let text = fs::read(&bundle).unwrap();
    let at = text.windows(6).rposition(|part| part == b"\"logs\"").unwrap();
    let mut other = text.clone();
    other[at + 7] ^= 1;
    fs::write(&bundle, other).unwrap();
    assert!(held(changed.path()).contains(&"ledger_log"));
}

#[test]
fn two_rolls_of_one_size_that_differ_are_the_ledgers_own_contradiction() {
    let pod = Pod::new();
    let said = [Said::Roll(vec![(1, 3, Hash::of(b"other"))]), Said::Roll(vec![pod.at(1, 3), pod.at(2, 7)])];
    assert_eq!(pod.against(&said).0, ["ledger_contradiction", "ledger_root"]);
}

#[test]
fn what_was_never_rolled_is_a_gap_and_the_ledgers_own_gaps_are_named_as_its() {
    let pod = Pod::new();
    let (codes, _, report) = pod.against(&[Said::Roll(vec![pod.at(1, 7)])]);
    assert_eq!(codes, Vec::<&str>::new());
    assert_eq!(gaps(&report), ["ledger_unrolled"]);
    assert!(report.gaps.iter().any(|gap| gap.message.contains("rolled nothing of incarnations 2,")));
    assert!(report.gaps.iter().all(|gap| gap.code != "unknown_type" && gap.code != "no_segments"), "{:?}", report.gaps);
    assert!(report.assumptions.iter().any(|word| word.starts_with("no checkpoint of the ledger was given")));
}

#[test]
fn the_auditors_last_checkpoint_of_the_ledger_has_to_be_continued() {
    let pod = Pod::new();
    let whole = [Said::Roll(vec![pod.at(1, 7)]), Said::Roll(vec![pod.at(2, 7)])];
    let dir = tempfile::tempdir().unwrap();
    ledger(dir.path(), &whole, true);
    let newest = fs::read_to_string(dir.path().join("1/checkpoint")).unwrap();
    let against = |dir: &Path, anchor: &str| {
        let mut report = verify(&pod.log, &Options::default()).unwrap();
        let brought = Ledger { log: dir, policy: &trust(), anchor: Some(anchor) };
        check(&brought, &pod.log, &mut report).map(|_| report)
    };
    let same = against(dir.path(), &newest).unwrap();
    assert_eq!(codes(&same), Vec::<&str>::new());
    assert!(same.assumptions.iter().all(|word| !word.contains("ledger")), "{:?}", same.assumptions);
    // Last month's copy of the ledger is cosigned as well as the new one.
    let older = tempfile::tempdir().unwrap();
    ledger(older.path(), &whole[..1], true);
    assert_eq!(codes(&against(older.path(), &newest).unwrap()), ["ledger_log"]);
    let earlier = fs::read_to_string(older.path().join("1/checkpoint")).unwrap();
    let grown = against(dir.path(), &earlier).unwrap();
    assert_eq!(codes(&grown), Vec::<&str>::new());
    assert!(
        grown
            .assumptions
            .iter()
            .any(|word| word.contains("of the ledger's log: the anchor covers the first 2 records"))
    );
    let forged = newest.replacen("\n3\n", "\n2\n", 1);
    assert!(codes(&against(dir.path(), &forged).unwrap()).contains(&"ledger_log"));
    assert!(against(dir.path(), "no note").is_err());
}

#[test]
fn a_ledger_that_stopped_vouches_until_then_and_no_longer() {
    let pod = Pod::new();
    let against = |until: u64| {
        let dir = tempfile::tempdir().unwrap();
        ledger_at(dir.path(), &[Said::Roll(vec![pod.at(1, 7), pod.at(2, 7)])], Some(until));
        let mut report = verify(&pod.log, &Options::default()).unwrap();
        let said = held(dir.path(), &pod.log, &mut report);
        assert_eq!((codes(&report), said.until), (vec![], Some(until)));
        report
    };
    let late = BEHIND_MS_MAX / 1000;
    assert!(!gaps(&against(COSIGNED - late)).contains(&"ledger_behind"));
    let behind = against(COSIGNED - late - 1);
    assert!(gaps(&behind).contains(&"ledger_behind"));
    let message = &behind.gaps.iter().find(|gap| gap.code == "ledger_behind").unwrap().message;
    assert!(message.contains(&format!("until {} s", COSIGNED - late - 1)), "{message}");
}

#[test]
fn witnesses_say_between_which_times_a_log_was_rolled() {
    let pod = Pod::new();
    let said = [
        Said::After(COSIGNED - 20, vec![pod.at(1, 3)]),
        Said::After(COSIGNED - 10, vec![pod.at(1, 7)]),
        Said::Roll(vec![pod.at(2, 7)]),
    ];
    let (codes, said, report) = pod.against(&said);
    assert_eq!((codes, gaps(&report)), (vec![], vec!["clock_witnessed"]), "{:?}", report.gaps);
    let seen = |size, not_before, not_after| Seen { size, not_before, not_after };
    let first = [seen(3, Some(COSIGNED - 20), Some(COSIGNED - 10)), seen(7, Some(COSIGNED - 10), Some(COSIGNED))];
    assert_eq!(said.seen[&1], first);
    assert_eq!(said.seen[&2], [seen(7, None, Some(COSIGNED))]);
    let message = &report.gaps.iter().find(|gap| gap.code == "clock_witnessed").unwrap().message;
    assert!(message.contains("among the first 3 records is one 10 s later"), "{message}");
}

#[test]
fn a_clock_behind_the_witnesses_is_a_gap_and_one_that_agrees_is_none() {
    let pod = Pod::new();
    for (at, gap) in [(COSIGNED, vec![]), (COSIGNED + 192, vec![]), (COSIGNED + 193, vec!["clock_witnessed"])] {
        let dir = tempfile::tempdir().unwrap();
        ledger_at(dir.path(), &[Said::After(at, vec![pod.at(1, 7), pod.at(2, 7)])], Some(at + 5));
        let mut report = verify(&pod.log, &Options::default()).unwrap();
        held(dir.path(), &pod.log, &mut report);
        let mut found = gaps(&report);
        found.dedup();
        assert_eq!((codes(&report), found), (vec![], gap), "{at}");
    }
}

#[test]
fn a_cosigned_checkpoint_that_a_roll_names_is_assumed_where_it_is_gone_and_found_where_it_is_another() {
    let pod = Pod::new();
    let dir = tempfile::tempdir().unwrap();
    ledger(dir.path(), &[Said::After(COSIGNED - 1, vec![pod.at(1, 7), pod.at(2, 7)])], true);
    let look = || {
        let mut report = verify(&pod.log, &Options::default()).unwrap();
        held(dir.path(), &pod.log, &mut report);
        report
    };
    assert_eq!(codes(&look()), Vec::<&str>::new());
    let kept = fs::read_dir(dir.path().join("1/cosigned")).unwrap().next().unwrap().unwrap().path();
    let note = fs::read_to_string(&kept).unwrap();
    fs::write(&kept, note.replacen("\n1\n", "\n2\n", 1)).unwrap();
    let mut wrong = codes(&look());
    wrong.dedup();
    assert_eq!(wrong, ["ledger_witnessed"]);
    fs::remove_file(&kept).unwrap();
    let gone = look();
    assert_eq!(codes(&gone), Vec::<&str>::new());
    assert!(
        gone.assumptions.iter().any(|word| word.starts_with("of 2 rolls the cosigned checkpoint")),
        "{:?}",
        gone.assumptions
    );
}

/// A pod's log of which the second incarnation says that the first, or two before it, are gone.
fn excusing(checkpoint: bool) -> (tempfile::TempDir, PathBuf, (u64, u64, Hash)) {
    let dir = tempfile::tempdir().unwrap();
    let (log, anchor) = (dir.path().join("log"), dir.path().join("anchor"));
    let settings = || Settings { anchor: Some(anchor.clone()), ..Settings::new(&log, POD) };
    let now = Moment { wall_ms: 1_795_344_000_000, mono_ms: 0 };
    let (first, _) = Log::open(settings(), now).unwrap();
    first.close(&Default::default(), now).unwrap();
    let all = leaves(&log, 1).unwrap().leaves;
    let seen = (1, all.len() as u64, merkle_root(&all));
    fs::remove_dir_all(log.join("1")).unwrap();
    if !checkpoint {
        fs::remove_file(anchor.join("checkpoint")).unwrap();
    }
    let (second, _) = Log::open(settings(), now).unwrap();
    second.close(&Default::default(), now).unwrap();
    (dir, log, seen)
}

#[test]
fn what_the_log_says_never_came_to_be_or_was_lost_the_ledger_knows() {
    for (checkpoint, alone, together) in [
        (false, vec![], vec!["ledger_unborn"]),
        (true, vec!["lost", "missing_incarnation"], vec!["lost", "missing_incarnation", "ledger_missing"]),
    ] {
        let (_dir, log, seen) = excusing(checkpoint);
        let mut report = verify(&log, &Options::default()).unwrap();
        assert_eq!(codes(&report), alone, "by itself");
        let all = leaves(&log, 2).unwrap().leaves;
        let here = (2, all.len() as u64, merkle_root(&all));
        let shown = tempfile::tempdir().unwrap();
        ledger(shown.path(), &[Said::Roll(vec![seen]), Said::Roll(vec![here])], true);
        held(shown.path(), &log, &mut report);
        assert_eq!(codes(&report), together);
        let message = &report.findings.last().unwrap().message;
        assert!(message.contains(&format!("has seen {} records of incarnation 1", seen.1)), "{message}");
    }
}

#[test]
fn a_cosigned_checkpoint_of_another_history_is_a_finding() {
    let pod = Pod::new();
    let forked = [Said::Forked(COSIGNED - 1, vec![pod.at(1, 7), pod.at(2, 7)])];
    let (codes, _, report) = pod.against(&forked);
    assert_eq!(codes, ["ledger_witnessed"]);
    assert!(report.findings[0].message.contains("two histories"), "{}", report.findings[0].message);
}

/// A statement of retention is a record of whoever signs the log; how far the removed one had got the ledger knows.
#[test]
fn a_removed_incarnation_ended_no_earlier_and_no_other_than_the_ledger_has_seen() {
    let pod = Pod::new();
    let all = leaves(&pod.log, 1).unwrap().leaves;
    let (end, half) = (pod.at(1, all.len()), pod.at(1, 3));
    let now = Moment { wall_ms: 1_795_344_000_000, mono_ms: 0 };
    let retired =
        Retired { origin: format!("{POD}/1"), size: end.1, root: end.2.to_base64(), before: now.wall_ms, days: 0 };
    let (mut third, _) = Log::open(Settings::new(&pod.log, POD), now).unwrap();
    let work = Work { records: vec![Record::Retired(retired)], checkpoint: true, ..Work::default() };
    third.commit(&work, now).unwrap();
    third.close(&Default::default(), now).unwrap();
    let here = pod.at(2, 7);
    fs::remove_dir_all(pod.log.join("1")).unwrap();
    let other = Hash::of(b"other");
    for (seen, found) in [
        (end, vec![]),
        (half, vec![]),
        ((1, end.1, other), vec!["ledger_retired"]),
        ((1, end.1 + 5000, other), vec!["ledger_retired"]),
    ] {
        let (codes, _, report) = pod.against(&[Said::Roll(vec![seen]), Said::Roll(vec![here])]);
        assert_eq!(codes, found, "{seen:?}");
        assert_eq!(gaps(&report).contains(&"ledger_earlier"), found.is_empty());
    }
}
