//! The binary as an auditor runs it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use privet_audit_log::counts::{Delta, Fate};
use privet_audit_log::policies::{self, Files};
use privet_audit_log::record::{Declaration, Name, NameKind};
use privet_audit_log::{Log, Moment, Settings, Work};
use privet_policy::diagnostic::SourceFile;
use privet_policy::format::Format;

const POLICY: &str = "\
apiVersion: privet.dev/v1alpha1
kind: Purpose
metadata: {name: analytics.reporting}
basis: contract
---
apiVersion: privet.dev/v1alpha1
kind: Destination
metadata: {name: collector}
url: http://127.0.0.1:8081
primary: true
recipient: processor
purposes: [analytics.reporting]
";

fn moment(ms: u64) -> Moment {
    Moment { wall_ms: 1_795_344_000_000 + i64::try_from(ms).unwrap(), mono_ms: ms }
}

/// A closed log whose one class is `doc` of the policy, or the policy's own.
fn write_log(root: &Path, doc: Option<&str>) {
    let file = SourceFile { name: "policy.yaml".into(), text: POLICY.into() };
    let compiled = privet_policy::compile(&[file]);
    let policy = compiled.policy.unwrap_or_else(|| panic!("{:?}", compiled.diagnostics));
    let doc = doc.map_or_else(|| policy.unmatched_class(Format::Segment), str::to_owned);
    let digest = policy.digest().to_string();
    let mut settings = Settings::new(root.join("log"), "privet.example/cli");
    settings.anchor = Some(root.join("anchor"));
    let (mut log, _) = Log::open(settings, moment(0)).unwrap();
    let files = Files::from([("policy.yaml".to_owned(), POLICY.as_bytes().to_vec())]);
    let load = policies::store(&root.join("log"), 0, &digest, &files).unwrap();
    let name = |kind, name: &str| Declaration::Name(Name { kind, n: 0, name: name.to_owned() });
    let mut delta = Delta {
        declared: vec![
            name(NameKind::Listener, "events"),
            name(NameKind::Destination, "collector"),
            Declaration::Policy(load),
            Declaration::Class { n: 0, policy: 0, doc: doc.into() },
        ],
        ..Delta::default()
    };
    delta.arrivals.requests = 7;
    delta.arrivals.answered = 7;
    delta.arrivals.listeners.add(0, 7);
    delta.arrivals.events = 100;
    delta.decisions.kept = 90;
    delta.decisions.dropped = 10;
    delta.decisions.classes.add(0, 100);
    delta.decisions.released.add(0, 90);
    log.commit(&Work { delta, cut: true, ..Work::default() }, moment(500)).unwrap();
    let mut after = Delta::default();
    after.fates.insert((1, 0), Fate { acknowledged: 88, refused: 2, unknown: 0 });
    log.close(&after, moment(900)).unwrap();
    fs::create_dir_all(root.join("mine")).unwrap();
    fs::write(root.join("mine/policy.yaml"), POLICY).unwrap();
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_privet-audit")).args(arguments).output().unwrap()
}

fn at(root: &Path, path: &str) -> String {
    let path: PathBuf = root.join(path);
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_good_log_is_verified_with_everything_that_can_be_brought() {
    let root = tempfile::tempdir().unwrap();
    write_log(root.path(), None);
    let path = |path| at(root.path(), path);
    let (log, key, anchor, mine) = (path("log"), path("anchor/vkey"), path("anchor/checkpoint"), path("mine"));
    let done = run(&["verify", &log, "--policies", &mine, "--key", &key, "--anchor", &anchor]);
    let text = String::from_utf8(done.stdout).unwrap();
    assert_eq!(done.status.code(), Some(0), "{text}");
    assert!(text.ends_with("\nlog verified\n"), "{text}");
    for said in ["= the policies given", "100 in  = 90 kept + 10 dropped", "acknowledged         88", "1 of 1 classes"]
    {
        assert!(text.contains(said), "`{said}` is not in\n{text}");
    }
    let literal = fs::read_to_string(root.path().join("anchor/vkey")).unwrap();
    let done = run(&["verify", &log, "--key", literal.trim(), "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((done.status.code(), &report["verified"]), (Some(0), &true.into()));
    assert_eq!(report["destinations"]["collector"]["refused"], 2);
    assert_eq!(report["assumptions"].as_array().unwrap().len(), 2, "no anchor, no policies");
    let signer = root.path().join("signers");
    fs::write(&signer, "privet-signer+marla+AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n").unwrap();
    let done = run(&["verify", &log, "--key", literal.trim(), "--signer", signer.to_str().unwrap()]);
    assert_eq!(done.status.code(), Some(0), "nobody is said to have signed");
}

#[test]
fn a_class_that_the_policy_does_not_decide_is_a_finding() {
    let root = tempfile::tempdir().unwrap();
    write_log(root.path(), Some(r#"{"outcome":"unmatched"}"#));
    let path = |path| at(root.path(), path);
    assert_eq!(run(&["verify", &path("log")]).status.code(), Some(0));
    let done = run(&["verify", &path("log"), "--policies", &path("mine")]);
    let text = String::from_utf8(done.stdout).unwrap();
    assert_eq!(done.status.code(), Some(1));
    assert!(text.contains("[class]") && text.ends_with("log NOT verified: 1 findings\n"), "{text}");
}

#[test]
fn an_edited_record_exits_1_and_nothing_to_verify_exits_2() {
    let root = tempfile::tempdir().unwrap();
    write_log(root.path(), None);
    let bundle = root.path().join("log/1/tile/entries/000.p");
    let file = fs::read_dir(bundle).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&file).unwrap();
    bytes[40] ^= 1;
    fs::write(&file, bytes).unwrap();
    assert_eq!(run(&["verify", &at(root.path(), "log")]).status.code(), Some(1));
    for arguments in [
        vec!["verify".to_owned(), at(root.path(), "nowhere")],
        vec!["verify".to_owned(), at(root.path(), "log"), "--key".to_owned(), "nonsense".to_owned()],
        vec!["verify".to_owned()],
        vec!["verify".to_owned(), at(root.path(), "log"), "--anchor".to_owned(), at(root.path(), "anchor/vkey")],
        vec!["verify".to_owned(), at(root.path(), "log"), "--signer".to_owned(), "nonsense".to_owned()],
    ] {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let done = run(&arguments);
        assert_eq!(done.status.code(), Some(2), "{arguments:?}");
        assert!(!done.stderr.is_empty());
    }
}

#[test]
fn a_proof_stands_by_itself() {
    use privet_audit_log::note::{Checkpoint, VerifierKey};
    use privet_audit_log::proof::verify_inclusion;
    use privet_audit_log::tile::decode_bundle;
    use privet_audit_log::tree::Hash;

    let root = tempfile::tempdir().unwrap();
    write_log(root.path(), None);
    let done = run(&["prove", &at(root.path(), "log"), "1", "3"]);
    let text = String::from_utf8(done.stdout).unwrap();
    let (head, note) = text.split_once("\n\n").unwrap();
    let mut lines = head.lines();
    assert_eq!((lines.next(), lines.next()), (Some("c2sp.org/tlog-proof@v1"), Some("index 3")));
    let path: Vec<Hash> = lines.map(|line| Hash::from_base64(line).unwrap()).collect();
    let key = VerifierKey::parse(&fs::read_to_string(root.path().join("anchor/vkey")).unwrap()).unwrap();
    let checkpoint = Checkpoint::open(note, &key).unwrap();
    let bundle = root.path().join("log/1/tile/entries/000.p").join(checkpoint.size.to_string());
    let bytes = fs::read(bundle).unwrap();
    let leaf = Hash::leaf(decode_bundle(&bytes).unwrap()[3]);
    assert_eq!(verify_inclusion(leaf, 3, checkpoint.size, &path, checkpoint.root), Ok(()));
    assert_eq!(run(&["prove", &at(root.path(), "log"), "1", "999"]).status.code(), Some(2));
}
