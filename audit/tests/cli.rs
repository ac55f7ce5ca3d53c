//! The binary as an auditor runs it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

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

#[test]
fn a_record_beyond_the_checkpoint_is_told_from_one_that_is_not_the_checkpoints() {
    let root = tempfile::tempdir().unwrap();
    write_log(root.path(), None);
    let said = |arguments: &[&str]| String::from_utf8(run(arguments).stderr).unwrap();
    let note = fs::read_to_string(root.path().join("log/1/checkpoint")).unwrap();
    let size: u64 = note.lines().nth(1).unwrap().parse().unwrap();
    let beyond = said(&["prove", &at(root.path(), "log"), "1", &size.to_string()]);
    assert!(beyond.ends_with(&format!("which covers records 0 to {}\n", size - 1)), "{beyond}");
    fs::write(root.path().join("log/1/checkpoint"), note.replace(&format!("\n{size}\n"), "\n3\n")).unwrap();
    let other = said(&["prove", &at(root.path(), "log"), "1", "1"]);
    assert!(
        other.contains("the records here are not those of the published checkpoint; `privet-audit verify`"),
        "{other}"
    );
}

#[test]
fn nothing_is_written_into_a_log_nor_over_a_file_that_is_there() {
    let root = tempfile::tempdir().unwrap();
    write_log(root.path(), None);
    let (log, good) = (at(root.path(), "log"), at(root.path(), "record"));
    std::os::unix::fs::symlink(root.path().join("log"), root.path().join("link")).unwrap();
    std::os::unix::fs::symlink(root.path().join("log/1/checkpoint"), root.path().join("alias")).unwrap();
    let before = fs::read(root.path().join("log/1/checkpoint")).unwrap();
    for to in
        ["log/x", "log/1/checkpoint", "log/1/new/../x", "link/x", "link/1/x", "log/1/../../log/x", "gone/../log/x"]
    {
        let to = at(root.path(), to);
        for command in [
            vec!["export", "ocsf", log.as_str(), "--overwrite", "--out", to.as_str()],
            vec!["prove", log.as_str(), "1", "1", "--overwrite", "--record", to.as_str()],
            vec!["challenge", "new", "--policies", log.as_str(), "--count", "1", "--out", to.as_str()],
        ] {
            let done = run(&command);
            assert_eq!(done.status.code(), Some(2), "{command:?}");
            assert!(!done.stderr.is_empty() && done.stdout.is_empty(), "{command:?}");
        }
    }
    let said = String::from_utf8(run(&["export", "ocsf", &log, "--out", &at(root.path(), "link/x")]).stderr).unwrap();
    assert!(said.contains("lies in the log at") && said.contains("write somewhere else"), "{said}");
    assert_eq!(run(&["verify", &log]).status.code(), Some(0), "the log is as it was");

    assert_eq!(run(&["prove", &log, "1", "1", "--record", &good]).status.code(), Some(0));
    let record = fs::read(&good).unwrap();
    let again = run(&["export", "ocsf", &log, "--out", &good]);
    assert_eq!(again.status.code(), Some(2));
    assert!(
        String::from_utf8(again.stderr).unwrap().contains("is there already: name another file, or say --overwrite")
    );
    assert_eq!(fs::read(&good).unwrap(), record);
    assert_eq!(run(&["export", "ocsf", &log, "--overwrite", "--out", &good]).status.code(), Some(0));
    assert_ne!(fs::read(&good).unwrap(), record);
    // A link is replaced, and what it leads to stays.
    let alias = at(root.path(), "alias");
    assert_eq!(run(&["export", "ocsf", &log, "--out", &alias]).status.code(), Some(2));
    assert_eq!(run(&["export", "ocsf", &log, "--overwrite", "--out", &alias]).status.code(), Some(0));
    assert_eq!(fs::read(root.path().join("log/1/checkpoint")).unwrap(), before);
    let left: Vec<_> = fs::read_dir(root.path()).unwrap().map(|item| item.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().ends_with(".part")), "{left:?}");
}

#[test]
fn output_that_cannot_be_written_is_2_and_a_closed_pipe_is_quiet() {
    let root = tempfile::tempdir().unwrap();
    write_log(root.path(), None);
    let log = at(root.path(), "log");
    let commands: [&[&str]; 6] = [
        &["verify", &log],
        &["verify", &log, "--json"],
        &["tail", &log],
        &["prove", &log, "1", "3"],
        &["ask", "coverage", &log],
        &["--help"],
    ];
    for command in commands {
        let to =
            |out: Stdio| Command::new(env!("CARGO_BIN_EXE_privet-audit")).args(command).stdout(out).output().unwrap();
        let full = to(fs::OpenOptions::new().write(true).open("/dev/full").unwrap().into());
        let said = String::from_utf8(full.stderr).unwrap();
        assert_eq!(full.status.code(), Some(2), "{command:?}: {said}");
        assert!(!said.contains("panicked"), "{said}");
        assert!(command == ["--help"] || said.contains("cannot write what is to be said: No space left"), "{said}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let closed = to(writer.into());
        assert_eq!((closed.status.code(), closed.stderr.as_slice()), (Some(0), b"".as_slice()), "{command:?}");
    }
    // Nowhere left to say it: the status still does.
    let nowhere = || fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut mute = Command::new(env!("CARGO_BIN_EXE_privet-audit"));
    let done = mute.args(["verify", &log]).stdout(nowhere()).stderr(nowhere()).status().unwrap();
    assert_eq!(done.code(), Some(2));
}

#[test]
fn a_type_that_nobody_knows_is_no_empty_answer() {
    let root = tempfile::tempdir().unwrap();
    write_log(root.path(), None);
    let log = at(root.path(), "log");
    let done = run(&["tail", &log, "--type", "batc"]);
    assert_eq!(done.status.code(), Some(2));
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(said.contains("there is no type of record `batc`; there are batch, bypass.check,"), "{said}");
    let none = run(&["tail", &log, "--type", "dp.charge"]);
    assert_eq!((none.status.code(), none.stdout.as_slice()), (Some(0), b"".as_slice()), "a type that may yet come");
}
