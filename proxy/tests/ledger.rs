//! A pod, a ledger and two witnesses as processes: what the pod did is shipped, rolled up and cosigned, and a log that is
//! cut afterwards is found out. A witness is killed again and again and never goes back.
//!
//! `PRIVET_KILLS` sets how often; the default is 20.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use privet_audit_log::ledger::{self, Ledger};
use privet_audit_log::note::{Checkpoint, Signer, VerifierKey};
use privet_audit_log::proof::consistency;
use privet_audit_log::quorum::TrustPolicy;
use privet_audit_log::tree::{Hash, merkle_root};
use privet_audit_log::verify::{Options, verify};
use privet_audit_log::witness::{AddCheckpoint, parse_size};

/// A child that does not outlive its test.
struct Process(Child);

impl Process {
    fn start(root: &Path, args: &[&str]) -> Self {
        let errors = fs::OpenOptions::new().create(true).append(true).open(root.join("stderr")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_privet"))
            .args(args)
            .current_dir(root)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn();
        Self(child.unwrap())
    }

    fn terminate(mut self) -> i32 {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.0.wait().unwrap().code().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn printed(root: &Path, args: &[&str]) -> String {
    let done = Command::new(env!("CARGO_BIN_EXE_privet")).args(args).current_dir(root).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until something is so, or tells what the processes said.
fn until(root: &Path, what: &str, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        let said = || fs::read_to_string(root.join("stderr")).unwrap_or_default();
        assert!(begun.elapsed() < Duration::from_secs(90), "{what} did not happen: {}", said());
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// Status and body of an answer; nothing where the connection breaks.
fn post(port: u16, path: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let status = text.get(9..12)?.parse().ok()?;
    let (_, body) = text.split_once("\r\n\r\n")?;
    Some((status, body.to_owned()))
}

/// Takes every request; it ends with the test's process.
fn collector() -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in socket.incoming().flatten() {
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut writer = stream;
                let (mut length, mut line) = (0_usize, String::new());
                while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
                    let header = line.trim_end().to_ascii_lowercase();
                    if let Some(value) = header.strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    if header.is_empty() {
                        let mut body = vec![0; length];
                        let read = reader.read_exact(&mut body);
                        let answered = writer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
                        if read.and(answered).is_err() {
                            return;
                        }
                    }
                    line.clear();
                }
            });
        }
    });
    port
}

fn lay_out(root: &Path, events: u16, store: &Path) {
    let policy = include_str!("../../policy-lib/tests/data/design.yaml")
        .replace("http://127.0.0.1:8081", &format!("http://127.0.0.1:{}", collector()));
    fs::create_dir_all(root.join("policies")).unwrap();
    fs::write(root.join("policies/policy.yaml"), policy).unwrap();
    fs::create_dir_all(root.join("keyring")).unwrap();
    fs::write(root.join("keyring/test.key"), "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n").unwrap();
    let config = format!(
        "apiVersion: privet.dev/v1alpha1\nkind: Config\n\
         listeners: [{{name: events, address: \"127.0.0.1:{events}\", formats: [segment]}}]\n\
         admin: {{address: \"127.0.0.1:0\"}}\nmetrics: {{address: \"127.0.0.1:0\"}}\n\
         policies: policies\nkeyring: keyring\n\
         log:\n  directory: log\n  anchor_dir: anchor\n  origin: privet.example.org/pod\n  durability: sync\n  \
         ship: {{directory: {}, every_secs: 1, ledger: true}}\n\
         exports: {{directory: exports, volume: persistent}}\ndrain: {{delay_secs: 0, grace_secs: 5}}\n",
        store.display()
    );
    fs::write(root.join("privet.yaml"), config).unwrap();
}

const EVENT: &str = r#"{"batch":[{"type":"track","event":"Search Performed","messageId":"m-1","userId":"u-1","properties":{"query":"q","results":1,"section":"apps"},"context":{"consent":{"categoryPreferences":{"Analytics":true}}}}]}"#;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for item in fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        let to = to.join(item.file_name());
        if item.path().is_dir() {
            copy(&item.path(), &to);
        } else {
            fs::copy(item.path(), to).unwrap();
        }
    }
}

#[test]
fn a_pods_log_is_shipped_rolled_and_cosigned_and_one_that_is_cut_is_found_out() {
    let dir = tempfile::tempdir().unwrap();
    let (root, store) = (dir.path(), dir.path().join("store"));
    let made = ["w1.example.org", "w2.example.org"]
        .map(|name| (name, printed(root, &["witness", "init", "--dir", name, "--name", name]), free_port()));
    let asked: String = made
        .iter()
        .map(|(_, vkey, port)| format!("  - {{url: \"http://127.0.0.1:{port}\", vkey: \"{vkey}\"}}\n"))
        .collect();
    let config = format!(
        "apiVersion: privet.dev/v1alpha1\nkind: Ledger\nstore: {{directory: store}}\n\
         log: {{directory: ledger, anchor_dir: ledger-anchor, origin: privet.example.org/ledger}}\n\
         key_file: ledger.key\nwitnesses:\n{asked}quorum: 2\nlisten: \"127.0.0.1:{}\"\nevery_secs: 1\n",
        free_port()
    );
    fs::write(root.join("ledger.yaml"), config).unwrap();
    let key = printed(root, &["ledger", "init", "--config", "ledger.yaml"]);
    let mut witnesses = Vec::new();
    for (name, vkey, port) in made {
        let listen = format!("127.0.0.1:{port}");
        let process = Process::start(root, &["witness", "run", "--dir", name, "--listen", &listen, "--log", &key]);
        until(root, "a witness listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        witnesses.push((vkey, process));
    }
    let events = free_port();
    lay_out(root, events, &store);
    let pod = Process::start(root, &["run", "--config", "privet.yaml"]);
    let rolling = Process::start(root, &["ledger", "run", "--config", "ledger.yaml"]);
    let size_of = |note: std::path::PathBuf| {
        let note = fs::read_to_string(note).unwrap_or_default();
        Checkpoint::claimed(&note).map_or(0, |checkpoint| checkpoint.size)
    };
    until(root, "an event is taken", || post(events, "/v1/batch", EVENT).is_some_and(|(status, _)| status == 200));
    until(root, "the log is shipped", || size_of(store.join("privet.example.org/pod/1/checkpoint")) > 0);
    until(root, "the ledger publishes", || size_of(root.join("ledger/1/checkpoint")) > 1);
    let earlier = root.join("earlier");
    copy(&store.join("privet.example.org/pod"), &earlier);
    let rolled = size_of(root.join("ledger/1/checkpoint"));
    assert_eq!(pod.terminate(), 0);
    until(root, "the end of the log is rolled", || size_of(root.join("ledger/1/checkpoint")) > rolled);
    assert_eq!(rolling.terminate(), 0);

    let mirror = store.join("privet.example.org/pod");
    let keys = VerifierKey::parse_all(&fs::read_to_string(root.join("anchor/vkey")).unwrap()).unwrap();
    let anchor = fs::read_to_string(root.join("anchor/checkpoint")).unwrap();
    let options = Options { keys: Some(keys), anchor: Some(anchor), ..Options::default() };
    let mut report = verify(&mirror, &options).unwrap();
    assert!(report.is_clean(), "{:#?}", report.findings);
    assert_eq!(report.incarnations[0].end, "closed", "the end of the log was shipped");
    let trust = format!(
        "log {key}\nwitness one {}\nwitness two {}\ngroup both all one two\nquorum both\n",
        witnesses[0].0, witnesses[1].0
    );
    let trust = TrustPolicy::parse(&trust).unwrap();
    let said = ledger::check(&Ledger { log: &root.join("ledger"), policy: &trust, anchor: None }, &mirror, &mut report)
        .unwrap();
    assert!(report.is_clean(), "{:#?}", report.findings);
    assert_eq!((said.witnesses.len(), said.rolled[&1].0), (2, said.rolled[&1].1), "all of it is rolled");
    // The checkpoints that rolls name are kept, and witnesses' times enclose what they saw.
    let newest = said.seen[&1].last().unwrap();
    assert!(newest.size == said.rolled[&1].1 && newest.not_after <= said.until, "{newest:?}");
    assert!(newest.not_before.is_some() && newest.not_before <= newest.not_after, "{newest:?}");
    assert!(
        report.gaps.iter().all(|gap| !matches!(gap.code, "clock_witnessed" | "ledger_behind")),
        "{:?}",
        report.gaps
    );
    assert!(report.assumptions.iter().all(|word| !word.contains("cosigned checkpoint")), "{:?}", report.assumptions);

    // What was whole at its time is fewer records than witnesses have seen.
    let mut cut = verify(&earlier, &Options::default()).unwrap();
    assert!(cut.is_clean(), "by itself nothing is wrong with it: {:#?}", cut.findings);
    ledger::check(&Ledger { log: &root.join("ledger"), policy: &trust, anchor: None }, &earlier, &mut cut).unwrap();
    let codes: Vec<_> = cut.findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["ledger_truncated"]);
    // One that nobody cosigned is no ledger.
    let alone = Signer::from_seed("privet.example.org/ledger/1", &[1; 32]).unwrap();
    let other = TrustPolicy::parse(&format!("log {}\nquorum none\n", alone.verifier())).unwrap();
    let mut report = verify(&mirror, &Options::default()).unwrap();
    ledger::check(&Ledger { log: &root.join("ledger"), policy: &other, anchor: None }, &mirror, &mut report).unwrap();
    let codes: Vec<_> = report.findings.iter().map(|finding| finding.code).collect();
    assert!(codes.contains(&"ledger_checkpoint") && codes.contains(&"ledger_log"), "{codes:?}");
}

/// Exit status and stderr of a command that ends by itself.
fn ended(root: &Path, args: &[&str]) -> (i32, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_privet")).args(args).current_dir(root).output().unwrap();
    (done.status.code().unwrap(), String::from_utf8(done.stderr).unwrap())
}

#[test]
fn a_ledger_is_made_once_and_a_lost_directory_or_anchor_ends_it_with_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let config = "apiVersion: privet.dev/v1alpha1\nkind: Ledger\nstore: {directory: store}\n\
                  log: {directory: ledger, anchor_dir: anchor, origin: privet.example.org/ledger}\n\
                  key_file: ledger.key\nlisten: \"127.0.0.1:0\"\nevery_secs: 1\n";
    fs::write(root.join("ledger.yaml"), config).unwrap();
    let (init, run) = (["ledger", "init", "--config", "ledger.yaml"], ["ledger", "run", "--config", "ledger.yaml"]);
    let (status, said) = ended(root, &run);
    assert!(status == 2 && said.contains("ledger.key"), "{status}: {said}");
    let key = printed(root, &init);
    assert!(key.starts_with("privet.example.org/ledger/1+"), "{key}");
    assert_eq!(fs::read_to_string(root.join("anchor/vkey")).unwrap().trim(), key);
    let (status, said) = ended(root, &init);
    assert!(status == 1 && said.contains("is there already"), "{status}: {said}");
    let running = Process::start(root, &run);
    until(root, "the ledger publishes", || root.join("anchor/checkpoint").exists());
    assert_eq!(running.terminate(), 0);
    let whole = root.join("whole");
    for (lost, way_out) in [("ledger", "restore the newer one"), ("anchor", "copy the log's `1/checkpoint` there")] {
        copy(&root.join(lost), &whole.join(lost));
        fs::remove_dir_all(root.join(lost)).unwrap();
        let (status, said) = ended(root, &run);
        assert!(status == 2 && said.contains(way_out), "{lost}: {status}: {said}");
        fs::remove_dir_all(root.join(lost)).ok();
        copy(&whole.join(lost), &root.join(lost));
    }
    // All of it but the key.
    ["ledger", "anchor"].iter().for_each(|lost| fs::remove_dir_all(root.join(lost)).unwrap());
    let (status, said) = ended(root, &run);
    assert!(status == 2 && said.contains("would be a fork"), "{status}: {said}");
    assert!(!root.join("ledger/1").exists(), "nothing was signed");
}

#[test]
fn a_witness_that_is_killed_at_any_moment_never_goes_back() {
    let kills: usize = std::env::var("PRIVET_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(20);
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    printed(root, &["witness", "init", "--dir", "w", "--name", "w.example"]);
    let log = Signer::from_seed("log.example/1", &[9; 32]).unwrap();
    let leaves: Vec<Hash> = (0..2000_u64).map(|n| Hash::leaf(&n.to_be_bytes())).collect();
    let request = |old: u64, size: u64| {
        let covered = &leaves[..usize::try_from(size).unwrap()];
        let note = log.sign(&Checkpoint { origin: "log.example/1".into(), size, root: merkle_root(covered) }.to_text());
        AddCheckpoint { old, proof: consistency(covered, old).unwrap_or_default(), note }.to_string()
    };
    let key = log.verifier().to_string();
    let (mut answered, mut asked) = (0_u64, 0_u64);
    for round in 0..kills {
        let port = free_port();
        let listen = format!("127.0.0.1:{port}");
        let mut process = Process::start(root, &["witness", "run", "--dir", "w", "--listen", &listen, "--log", &key]);
        until(root, "the witness listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        // Whatever it had cosigned when it died, it knows; that may be one more than it told.
        let (status, body) = post(port, "/add-checkpoint", &request(2000, 2000)).unwrap();
        let known = parse_size(&body).unwrap();
        assert_eq!(status, 409);
        assert!(known == answered || known == asked, "round {round}: told {answered}, asked {asked}, known {known}");
        answered = known;
        let pid = process.0.id().to_string();
        let after = Duration::from_micros(u64::try_from(round).unwrap() * 1700 + 300);
        let killer = std::thread::spawn(move || {
            std::thread::sleep(after);
            Command::new("kill").args(["-KILL", &pid]).status().unwrap();
        });
        while let Some((status, _)) = {
            asked = answered + 1;
            post(port, "/add-checkpoint", &request(answered, asked))
        } {
            assert_eq!(status, 200);
            answered = asked;
        }
        killer.join().unwrap();
        process.0.wait().unwrap();
    }
    assert!(answered > 0, "it cosigned something in between");
}
