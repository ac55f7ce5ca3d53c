//! A pod's log against a ledger's, each way in which they can differ.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::path::{Path, PathBuf};

use privet_audit_log::cosignature::Cosigner;
use privet_audit_log::ledger::{LedgerReport, check};
use privet_audit_log::note::{Checkpoint, Signer};
use privet_audit_log::quorum::TrustPolicy;
use privet_audit_log::record::{Entry, Open, Record};
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
    Refused(u64),
}

/// Writes a ledger's log, cosigned or not.
fn ledger(dir: &Path, said: &[Said], cosigned: bool) {
    let root = dir.join("1");
    fs::create_dir_all(root.join("list")).unwrap();
    let key = signer();
    let mut records = vec![Record::Open(Open {
        origin: LEDGER.into(),
        incarnation: 1,
        vkey: key.verifier().to_string(),
        prev: None,
        lease: 0,
        refusals: Vec::new(),
        software: "test".into(),
    })];
    for said in said {
        let (kind, members) = match said {
            Said::Refused(number) => {
                let members =
                    json!({"origin": format!("{POD}/{number}"), "reason": "rolled_back", "rolled": null, "seen": null});
                ("roll.refused", members)
            }
            Said::Roll(logs) => {
                let row = |(number, size, root): &(u64, u64, Hash)| -> Value {
                    json!([format!("{POD}/{number}"), size, root.to_base64(), "sha256:00"])
                };
                let mut list: Vec<Value> = logs.iter().map(row).collect();
                list.push(json!(["privet.example/pod-2/1", 9, Hash::of(b"x").to_base64(), "sha256:00"]));
                let bytes = serde_json::to_vec(&list).unwrap();
                let hash = Hash::of(&bytes);
                fs::write(root.join(format!("list/{}.json", hash.to_hex())), bytes).unwrap();
                ("roll", json!({"list": hash.to_address(), "logs": list.len(), "witnessed": null}))
            }
        };
        records.push(Record::Unknown(kind.into(), members));
    }
    let entry = |(seq, record)| Entry { seq, ts: 1_795_344_000_000, mono: 0, record }.to_bytes().unwrap();
    let entries: Vec<Vec<u8>> = (0..).zip(records).map(entry).collect();
    let hashes: Vec<Hash> = entries.iter().map(|entry| Hash::leaf(entry)).collect();
    for (folder, bytes) in [("entries", encode_bundle(entries.iter().map(Vec::as_slice))), ("0", encode_tile(&hashes))]
    {
        let folder = root.join(format!("tile/{folder}/000.p"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(entries.len().to_string()), bytes).unwrap();
    }
    let size = entries.len() as u64;
    let text = Checkpoint { origin: LEDGER.into(), size, root: merkle_root(&hashes) }.to_text();
    let line = if cosigned { witness().cosign(&text, 1_795_344_000) } else { String::new() };
    fs::write(root.join("checkpoint"), key.sign(&text) + &line).unwrap();
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
        let said = check(dir.path(), &trust(), &self.log, &mut report).unwrap();
        (codes(&report), said, report)
    }
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
        check(dir, &trust(), &pod.log, &mut report).unwrap();
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
