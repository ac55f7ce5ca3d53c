//! Proofs and rows that stand by themselves, and records as they come.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use bytes::Bytes;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;
use privet_audit_log::note::{Checkpoint, VerifierKey};
use privet_audit_log::proof::{inclusion, verify_inclusion};
use privet_audit_log::record::ConsentKept;
use privet_audit_log::tree::Hash;
use privet_audit_log::verify::leaves;
use privet_audit_log::{Log, Work};
use serde_json::Value;
use support::{answer, path, shop, tamper};

fn key(root: &Path) -> VerifierKey {
    VerifierKey::parse(&fs::read_to_string(root.join("anchor/vkey")).unwrap()).unwrap()
}

#[test]
fn a_proof_is_checked_without_the_log_and_holds_for_its_record_alone() {
    let root = tempfile::tempdir().unwrap();
    shop(root.path());
    let (proof, status) = {
        let done =
            support::run(&["prove", &path(root.path(), "log"), "1", "8", "--record", &path(root.path(), "record")]);
        (String::from_utf8(done.stdout).unwrap(), done.status.code())
    };
    assert_eq!(status, Some(0));
    assert!(proof.starts_with("c2sp.org/tlog-proof@v1\nindex 8\n"), "{proof}");
    fs::write(root.path().join("p.tlog-proof"), &proof).unwrap();
    fs::rename(root.path().join("log"), root.path().join("elsewhere")).unwrap();
    let words = ["check-proof", "@p.tlog-proof", "--key", "@anchor/vkey", "--record", "@record"];
    let (text, status) = answer(root.path(), &words);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.starts_with("proved: the record, leaf "), "{text}");
    let record = fs::read(root.path().join("record")).unwrap();
    let checks = |from: &str, to: &str| {
        fs::write(root.path().join("p.tlog-proof"), proof.replacen(from, to, 1)).unwrap();
        let found = answer(root.path(), &words);
        fs::write(root.path().join("p.tlog-proof"), &proof).unwrap();
        found
    };
    for (from, to, status) in [
        ("index 8", "index 9", 1),
        ("index 8", "index 08", 2),
        ("@v1", "@v9", 2),
        ("privet.example/shop/1\n", "privet.example/shop/2\n", 2),
    ] {
        let (text, found) = checks(from, to);
        assert_eq!(found, Some(status), "{from} to {to}: {text}");
    }
    fs::write(root.path().join("record"), [record.as_slice(), b" "].concat()).unwrap();
    let (text, status) = answer(root.path(), &words);
    assert_eq!(
        (status, text.as_str()),
        (Some(1), "NOT proved: the inclusion proof: the proof leads to another root\n")
    );
}

#[test]
fn each_row_of_the_table_hashes_to_its_leaf_and_is_proved() {
    let root = tempfile::tempdir().unwrap();
    shop(root.path());
    let (text, status) =
        answer(root.path(), &["export", "parquet", "@log", "--out", "@table.parquet", "--key", "@anchor/vkey"]);
    assert_eq!(status, Some(0), "{text}");
    let bytes = fs::read(root.path().join("table.parquet")).unwrap();
    let reader = SerializedFileReader::new(Bytes::from(bytes.clone())).unwrap();
    let stored = leaves(&root.path().join("log"), 1).unwrap();
    let checkpoint = Checkpoint::open(&stored.checkpoint, &key(root.path())).unwrap();
    let (mut rows, mut events) = (0, 0);
    for row in reader.get_row_iter(None).unwrap() {
        let row = row.unwrap();
        let cell = |name: &str| row.get_column_iter().find(|(known, _)| *known == name).unwrap().1.clone();
        let (Field::Long(index), Field::Bytes(record), Field::Bytes(leaf)) =
            (cell("index"), cell("record"), cell("leaf_hash"))
        else {
            panic!("other types")
        };
        let hash = Hash::leaf(record.data());
        assert_eq!(hash.0.as_slice(), leaf.data());
        let index = u64::try_from(index).unwrap();
        let path = inclusion(&stored.leaves, index).unwrap();
        assert_eq!(verify_inclusion(hash, index, checkpoint.size, &path, checkpoint.root), Ok(()));
        let value: Value = serde_json::from_slice(record.data()).unwrap();
        match (value["t"].as_str().unwrap(), cell("events_in"), cell("events_kept")) {
            ("batch", Field::Long(came), Field::Long(kept)) => {
                assert_eq!((&value["events"]["in"], &value["events"]["kept"]), (&came.into(), &kept.into()));
                events += came;
            }
            (other, Field::Null, Field::Null) => assert_ne!(other, "batch"),
            other => panic!("{other:?}"),
        }
        rows += 1;
    }
    assert_eq!((rows, events), (checkpoint.size, 300));
    answer(root.path(), &["export", "parquet", "@log", "--out", "@again.parquet"]);
    assert_eq!(fs::read(root.path().join("again.parquet")).unwrap(), bytes, "the same log gives the same bytes");
}

#[test]
fn tail_compares_each_checkpoint_with_the_records_before_it() {
    let root = tempfile::tempdir().unwrap();
    shop(root.path());
    let (text, status) = answer(root.path(), &["tail", "@log", "--key", "@anchor/vkey", "--json"]);
    assert_eq!(status, Some(0), "{text}");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let records: Vec<u64> = lines.iter().filter_map(|line| line["index"].as_u64()).collect();
    let stored = leaves(&root.path().join("log"), 1).unwrap();
    assert_eq!(records, (0..stored.leaves.len() as u64).collect::<Vec<_>>());
    let checkpoints: Vec<&Value> = lines.iter().filter(|line| line["checkpoint"].is_object()).collect();
    assert!(checkpoints.len() > 2, "{text}");
    assert_eq!(checkpoints.last().unwrap()["checkpoint"]["size"], records.len());
    let other = tempfile::tempdir().unwrap();
    shop(other.path());
    let vkey = fs::read_to_string(other.path().join("anchor/vkey")).unwrap();
    let (text, status) = answer(root.path(), &["tail", "@log", "--key", vkey.trim()]);
    assert_eq!(status, Some(1));
    assert!(text.contains("!! [key] none of the given keys"), "{text}");
    tamper(root.path(), 3);
    assert_eq!(answer(root.path(), &["tail", "@log"]).1, Some(1));
}

#[test]
fn tail_shows_records_as_they_come_and_waits_for_half_a_frame() {
    let root = tempfile::tempdir().unwrap();
    let (mut log, _) = Log::open(support::settings(root.path(), ConsentKept::Redis), support::at(0)).unwrap();
    let log_dir = path(root.path(), "log");
    let mut child = Command::new(env!("CARGO_BIN_EXE_privet-audit"))
        .args(["tail", &log_dir, "--follow", "60", "--type", "heartbeat", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    log.commit(&Work::default(), support::at(61_000)).unwrap();
    assert_eq!(next()["record"]["mono"], 61_000);
    log.commit(&Work::default(), support::at(122_000)).unwrap();
    assert_eq!(next()["record"]["mono"], 122_000);
    // Half a frame at the end, as a write in flight leaves it, is no record yet.
    let segment = fs::read_dir(root.path().join("log/1/wal")).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read(&segment).unwrap();
    let published = root.path().join("log/1/checkpoint");
    let earlier = fs::read(&published).unwrap();
    log.commit(&Work::default(), support::at(183_000)).unwrap();
    let longer = fs::read(&segment).unwrap();
    assert!(longer.len() > whole.len());
    assert_eq!(next()["record"]["mono"], 183_000);
    fs::write(&segment, &longer[..whole.len() + 5]).unwrap();
    let later = fs::read(&published).unwrap();
    fs::write(&published, earlier).unwrap();
    let done = support::run(&["tail", &log_dir, "--type", "heartbeat"]);
    let text = String::from_utf8(done.stdout).unwrap();
    assert_eq!((text.lines().count(), done.status.code()), (2, Some(0)), "{text}");
    // No write in flight is half a frame that a published checkpoint covers.
    fs::write(&published, later).unwrap();
    let done = support::run(&["tail", &log_dir, "--type", "heartbeat"]);
    let text = String::from_utf8(done.stdout).unwrap();
    assert!(text.contains("!! [truncated] the file `checkpoint` is signed for"), "{text}");
    assert_eq!((text.lines().count(), done.status.code()), (3, Some(1)), "{text}");
    child.kill().unwrap();
    child.wait().unwrap();
}
