use super::*;
use crate::clock::SystemClock;
use crate::config::StoreAt;
use crate::store::standin::{Standin, Trouble};
use privet_audit_log::counts::Delta;
use privet_audit_log::note::VerifierKey;
use privet_audit_log::policies::{Files, store};
use privet_audit_log::record::{Declaration, Record};
use privet_audit_log::verify::{Options, Report, verify};
use privet_audit_log::{Log, Moment, Settings, Work};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const ORIGIN: &str = "privet.example/shop/pod-1";

/// A log whose clock is moved by the test.
struct Writer {
    log: Log,
    now: Moment,
}

impl Writer {
    fn start(dir: &Path) -> Self {
        let now = Moment { wall_ms: 1_795_344_000_000, mono_ms: 0 };
        let (log, _) = Log::open(Settings::new(dir, ORIGIN), now).unwrap();
        Self { log, now }
    }

    fn commit(&mut self, work: &Work) {
        self.log.commit(work, self.now).unwrap();
    }

    /// Heartbeats, one a minute; the last of them comes with a checkpoint.
    fn records(&mut self, count: u64) {
        for n in 0..count {
            self.now.wall_ms += 60_000;
            self.now.mono_ms += 60_000;
            self.commit(&Work { checkpoint: n + 1 == count, ..Work::default() });
        }
    }

    /// A policy and a class whose document is too long for a record.
    fn decide(&mut self, dir: &Path) {
        let files = Files::from([("rules/a.yaml".to_owned(), b"kind: Rule\n".to_vec())]);
        let load = store(dir, 0, &"a".repeat(64), &files).unwrap();
        let doc = format!(r#"{{"long":"{}"}}"#, "x".repeat(40_000));
        let declared = vec![Declaration::Policy(load), Declaration::Class { n: 0, policy: 0, doc: doc.into() }];
        self.commit(&Work { delta: Delta { declared, ..Delta::default() }, checkpoint: true, ..Work::default() });
    }

    fn close(self) {
        self.log.close(&Delta::default(), self.now).unwrap();
    }
}

fn shipper(log: &Path, to: StoreAt, seal_to: Vec<Recipient>) -> Shipper {
    shipper_with(Vec::new(), log, to, seal_to)
}

fn shipper_with(keys: Vec<VerifierKey>, log: &Path, to: StoreAt, seal_to: Vec<Recipient>) -> Shipper {
    let ship = Ship { to, every: Duration::from_millis(20), seal_to, ledger: false };
    Shipper::new(Parts {
        ship,
        log: log.to_owned(),
        origin: ORIGIN.to_owned(),
        keys,
        health: Arc::default(),
        metrics: Arc::default(),
        clock: Arc::new(SystemClock::default()),
    })
    .unwrap()
}

fn into_dir(dir: &Path) -> StoreAt {
    StoreAt::Directory(dir.to_owned())
}

fn verified(mirror: &Path) -> Report {
    let report = verify(mirror, &Options::default()).unwrap();
    assert!(report.is_clean(), "{:#?}", report.findings);
    report
}

fn here_and_there(log: &Path, mirror: &Path) {
    let sizes = |report: &Report| {
        let sizes: Vec<_> = report.incarnations.iter().map(|one| (one.number, one.records, one.root.clone())).collect();
        sizes
    };
    assert_eq!(sizes(&verified(mirror)), sizes(&verified(log)));
}

#[tokio::test]
async fn what_is_shipped_verifies_as_the_log_does_and_partial_tiles_give_way() {
    let (log, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut writer = Writer::start(log.path());
    let mut ship = shipper(log.path(), into_dir(store.path()), Vec::new());
    let mirror = store.path().join(ORIGIN);
    ship.pass().await.unwrap();
    writer.decide(log.path());
    for count in [1, 250, 3, 300, 256] {
        writer.records(count);
        ship.pass().await.unwrap();
        here_and_there(log.path(), &mirror);
    }
    let files = |dir: &Path| {
        let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|item| item.unwrap().file_name()).collect();
        names.sort();
        names
    };
    for folder in ["1/tile/0", "1/tile/entries", "1/tile/1", "1/class", "policies"] {
        assert_eq!(files(&mirror.join(folder)), files(&log.path().join(folder)), "{folder}");
    }
    writer.close();
    ship.pass().await.unwrap();
    here_and_there(log.path(), &mirror);
    let head = store.path().join(head_key(&format!("{ORIGIN}/1")).unwrap().as_str());
    assert_eq!(fs::read(head).unwrap(), fs::read(log.path().join("1/checkpoint")).unwrap());
}

#[tokio::test]
async fn a_new_process_ships_what_earlier_ones_left_also_after_a_crash() {
    let (log, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut writer = Writer::start(log.path());
    writer.records(300);
    shipper(log.path(), into_dir(store.path()), Vec::new()).pass().await.unwrap();
    writer.records(40);
    // Neither closed nor signed at its end.
    writer.now.mono_ms += 60_000;
    writer.log.commit(&Work::default(), writer.now).unwrap();
    drop(writer);
    let mut writer = Writer::start(log.path());
    writer.records(2);
    writer.close();
    let mut writer = Writer::start(log.path());
    writer.records(3);
    let mut ship = shipper(log.path(), into_dir(store.path()), Vec::new());
    ship.pass().await.unwrap();
    let report = verified(&store.path().join(ORIGIN));
    let ends: Vec<_> = report.incarnations.iter().map(|one| one.end).collect();
    assert_eq!(ends, ["recovered", "closed", "open"]);
    here_and_there(log.path(), &store.path().join(ORIGIN));
}

#[tokio::test]
async fn another_log_under_the_same_name_is_not_written_over() {
    let (ours, theirs, store) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut first = Writer::start(theirs.path());
    first.records(5);
    shipper(theirs.path(), into_dir(store.path()), Vec::new()).pass().await.unwrap();
    let before = fs::read(store.path().join(ORIGIN).join("1/checkpoint")).unwrap();
    let mut second = Writer::start(ours.path());
    second.records(9);
    let mut ship = shipper(ours.path(), into_dir(store.path()), Vec::new());
    for _ in 0..2 {
        assert!(matches!(ship.pass().await, Err(Unshipped::Conflict(_))));
    }
    assert_eq!(fs::read(store.path().join(ORIGIN).join("1/checkpoint")).unwrap(), before);
    verified(&store.path().join(ORIGIN));
}

#[tokio::test]
async fn a_damaged_tile_is_not_shipped_under_a_checkpoint() {
    let (log, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut writer = Writer::start(log.path());
    writer.records(300);
    for file in ["1/tile/entries/000", "1/tile/0/000", "1/tile/1/000.p/1"] {
        let path = log.path().join(file);
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        bad[40.min(good.len() - 1)] ^= 1;
        fs::write(&path, bad).unwrap();
        let mut ship = shipper(log.path(), into_dir(store.path()), Vec::new());
        assert!(matches!(ship.pass().await, Err(Unshipped::Damaged(1))), "{file}");
        assert!(!store.path().join(ORIGIN).join("1/checkpoint").exists(), "{file}");
        fs::write(&path, good).unwrap();
    }
    shipper(log.path(), into_dir(store.path()), Vec::new()).pass().await.unwrap();
    here_and_there(log.path(), &store.path().join(ORIGIN));
}

#[tokio::test]
async fn a_bucket_gets_data_before_the_checkpoint_that_covers_it_whatever_fails_in_between() {
    let (log, keys, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let standin = Standin::start().await;
    let mut writer = Writer::start(log.path());
    writer.decide(log.path());
    writer.records(300);
    let mut ship = shipper(log.path(), standin.at(keys.path()), Vec::new());
    let troubles = [
        Trouble::Answers(503),
        Trouble::CutAfter,
        Trouble::Answers(500),
        Trouble::Hangs,
        Trouble::CutAfter,
        Trouble::Answers(429),
        Trouble::CutAfter,
    ];
    let mut failed = 0;
    for trouble in troubles {
        let before = standin.inside.lock().unwrap().requests;
        standin.troubled_by(&[trouble]);
        failed += usize::from(ship.pass().await.is_err());
        assert!(standin.inside.lock().unwrap().requests > before);
    }
    assert_eq!(failed, troubles.len(), "every trouble is told");
    // The write of the checkpoint itself is done and not answered.
    let total = standin.inside.lock().unwrap().requests;
    for _ in 0..4 {
        if ship.pass().await.is_ok() {
            break;
        }
    }
    assert!(standin.inside.lock().unwrap().requests > total);
    writer.records(20);
    let written = standin.inside.lock().unwrap().written.len();
    standin.troubled_by(&[Trouble::CutAfter]);
    assert!(ship.pass().await.is_err());
    ship.pass().await.unwrap();
    let inside = standin.inside.lock().unwrap();
    let order: Vec<_> = inside.written.iter().skip(written).collect();
    let at = |ending: &str| order.iter().rposition(|key| key.ends_with(ending)).unwrap();
    assert!(at("tile/0/001.p/67") < at("1/checkpoint") && at("entries/001.p/67") < at("1/checkpoint"), "{order:?}");
    assert_eq!(inside.wrongly_signed, 0);
    assert!(!inside.objects.keys().any(|key| key.contains("001.p/47")), "partial tiles gave way");
    drop(inside);
    standin.unpack(&format!("fleet/a+b/{ORIGIN}/"), out.path());
    here_and_there(log.path(), out.path());
}

#[tokio::test]
async fn every_single_failure_on_the_way_ends_in_the_same_tree() {
    let log = tempfile::tempdir().unwrap();
    let mut writer = Writer::start(log.path());
    writer.records(258);
    for nth in 0..14 {
        for trouble in [Trouble::Answers(503), Trouble::CutAfter] {
            let (keys, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let standin = Standin::start().await;
            let mut ship = shipper(log.path(), standin.at(keys.path()), Vec::new());
            standin.inside.lock().unwrap().fails_at = Some((nth, trouble));
            let mut passes = 0;
            while let Err(why) = ship.pass().await {
                assert!(!matches!(why, Unshipped::Conflict(_) | Unshipped::Damaged(_)), "{nth} {trouble:?}: {why}");
                passes += 1;
                assert!(passes < 5, "{nth} {trouble:?}: {why}");
            }
            standin.unpack(&format!("fleet/a+b/{ORIGIN}/"), out.path());
            here_and_there(log.path(), out.path());
            let head = format!("fleet/a+b/{}", head_key(&format!("{ORIGIN}/1")).unwrap().as_str());
            let inside = standin.inside.lock().unwrap();
            assert_eq!(inside.objects[&head], fs::read(log.path().join("1/checkpoint")).unwrap(), "{nth} {trouble:?}");
        }
    }
}

/// An auditor's key pair: the file of its identity, and the recipient.
fn auditor(dir: &Path, name: &str) -> (PathBuf, Recipient) {
    let keygen = Command::new("age-keygen").output().expect("`age-keygen` of the Debian package `age`");
    let identity = dir.join(name);
    fs::write(&identity, &keygen.stdout).unwrap();
    let text = String::from_utf8(keygen.stdout).unwrap();
    let recipient = text.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
    (identity, recipient.parse().unwrap())
}

fn opened(identity: &Path, sealed: &Path, into: &Path) {
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/open-sealed");
    let done = Command::new(tool).arg(identity).arg(sealed).arg(into).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Every file below a folder, by its name relative to it.
fn tree_of(root: &Path) -> Vec<String> {
    let (mut names, mut open) = (Vec::new(), vec![root.to_owned()]);
    while let Some(dir) = open.pop() {
        for item in fs::read_dir(dir).unwrap() {
            let path = item.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                names.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    names.sort();
    names
}

#[tokio::test]
async fn a_sealed_object_that_somebody_put_there_before_is_a_conflict_and_no_checkpoint_covers_it() {
    let (log, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_, recipient) = auditor(out.path(), "identity");
    let mut writer = Writer::start(log.path());
    writer.decide(log.path());
    writer.records(300);
    let first = tempfile::tempdir().unwrap();
    shipper(log.path(), into_dir(first.path()), vec![recipient.clone()]).pass().await.unwrap();
    let sealed: Vec<_> = tree_of(first.path()).into_iter().filter(|name| name.ends_with(".age")).collect();
    let of_kind = |part: &str| sealed.iter().any(|name| name.contains(part));
    assert!(of_kind("entries/000.age") && of_kind("class/") && of_kind("policies/"), "{sealed:?}");
    for planted in &sealed {
        // What anybody can make: noise, and another text sealed to the same auditor under the same name.
        let stranger = seal::Plain { name: planted, beside: b"", bytes: b"nothing happened" };
        for object in [b"noise".to_vec(), stranger.seal(std::slice::from_ref(&recipient)).unwrap()] {
            let store = tempfile::tempdir().unwrap();
            let at = store.path().join(planted);
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            fs::write(&at, &object).unwrap();
            let mut ship = shipper(log.path(), into_dir(store.path()), vec![recipient.clone()]);
            for _ in 0..2 {
                let told = ship.pass().await;
                let is_it = |name: &String| planted.ends_with(name);
                assert!(matches!(&told, Err(Unshipped::Conflict(name)) if is_it(name)), "{planted}: {told:?}");
            }
            assert!(!store.path().join(ORIGIN).join("1/checkpoint").exists(), "{planted}");
            assert_eq!(fs::read(&at).unwrap(), object, "it is evidence, and stays");
        }
    }
}

#[tokio::test]
async fn an_object_that_is_longer_than_any_of_ours_is_a_conflict_and_is_not_read() {
    let log = tempfile::tempdir().unwrap();
    let mut writer = Writer::start(log.path());
    writer.records(300);
    for planted in ["1/vkey", "1/checkpoint", "1/tile/0/000", "1/tile/entries/000"] {
        let store = tempfile::tempdir().unwrap();
        let at = store.path().join(ORIGIN).join(planted);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        // Of no blocks: only its length is there.
        fs::File::create(&at).unwrap().set_len(1 << 40).unwrap();
        let told = shipper(log.path(), into_dir(store.path()), Vec::new()).pass().await;
        assert!(matches!(&told, Err(Unshipped::Conflict(name)) if name == planted), "{planted}: {told:?}");
    }
}

#[tokio::test]
async fn what_an_earlier_process_sealed_is_found_to_be_ours_also_for_other_auditors() {
    let (log, store, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ((identity, first), (_, second)) = (auditor(out.path(), "first"), auditor(out.path(), "second"));
    let mut writer = Writer::start(log.path());
    writer.decide(log.path());
    writer.records(300);
    let mirror = store.path().join(ORIGIN);
    shipper(log.path(), into_dir(store.path()), vec![first.clone()]).pass().await.unwrap();
    let before: Vec<_> =
        tree_of(&mirror).into_iter().map(|name| (fs::read(mirror.join(&name)).unwrap(), name)).collect();
    // As after a crash between the objects and the checkpoint over them.
    for gone in ["1/checkpoint", "1/tile/entries/000.age"] {
        fs::remove_file(mirror.join(gone)).unwrap();
    }
    shipper(log.path(), into_dir(store.path()), vec![first, second]).pass().await.unwrap();
    for (bytes, name) in before {
        assert!(name.contains("entries/000") || fs::read(mirror.join(&name)).unwrap() == bytes, "{name}");
    }
    opened(&identity, &mirror, &out.path().join("opened"));
    here_and_there(log.path(), &out.path().join("opened"));
}

#[tokio::test]
async fn what_no_record_names_or_is_not_what_it_names_stays_on_the_pod() {
    let (log, store, secrets) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut writer = Writer::start(log.path());
    writer.decide(log.path());
    writer.records(3);
    let token = secrets.path().join("token");
    fs::write(&token, "a secret").unwrap();
    let policy = tree_of(&log.path().join("policies")).remove(0);
    let class = tree_of(&log.path().join("1/class")).remove(0);
    let entries = tree_of(&log.path().join("1/tile/entries")).remove(0);
    // Beside what records name: links and files that somebody put there. None of it is even looked at.
    std::os::unix::fs::symlink(&token, log.path().join("1/class/x.json")).unwrap();
    fs::write(log.path().join(format!("1/class/{}.json", "0".repeat(64))), "{}").unwrap();
    std::os::unix::fs::symlink(secrets.path(), log.path().join(format!("policies/{}", "b".repeat(64)))).unwrap();
    shipper(log.path(), into_dir(store.path()), Vec::new()).pass().await.unwrap();
    here_and_there(log.path(), &store.path().join(ORIGIN));
    let shipped = tree_of(&store.path().join(ORIGIN));
    let documents: Vec<_> = shipped.iter().filter(|name| name.contains("class") || name.contains("policies")).collect();
    assert_eq!(documents, [&format!("1/class/{class}"), &format!("policies/{policy}")]);
    // In the place of what records name.
    for name in [format!("1/class/{class}"), format!("policies/{policy}"), format!("1/tile/entries/{entries}")] {
        let at = log.path().join(&name);
        let whole = fs::read(&at).unwrap();
        for change in ["link", "other", "gone"] {
            let empty = tempfile::tempdir().unwrap();
            fs::remove_file(&at).unwrap();
            match change {
                "link" => std::os::unix::fs::symlink(&token, &at).unwrap(),
                "other" => fs::write(&at, "another text").unwrap(),
                _ => {}
            }
            let told = shipper(log.path(), into_dir(empty.path()), Vec::new()).pass().await;
            assert!(told.is_err(), "{name}, {change}");
            assert!(change != "link" || matches!(told, Err(Unshipped::Foreign(_))), "{name}: {told:?}");
            let there = tree_of(empty.path());
            assert!(!there.iter().any(|there| there.ends_with("1/checkpoint") || there.ends_with(&name)), "{there:?}");
            fs::remove_file(&at).ok();
            fs::write(&at, &whole).unwrap();
        }
    }
}

#[tokio::test]
async fn a_checkpoint_that_the_incarnations_key_did_not_sign_replaces_nothing() {
    let (log, forged, store) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut writer = Writer::start(log.path());
    writer.records(5);
    let key = writer.log.verifier().clone();
    shipper_with(vec![key.clone()], log.path(), into_dir(store.path()), Vec::new()).pass().await.unwrap();
    let before: Vec<_> = tree_of(store.path()).iter().map(|name| fs::read(store.path().join(name)).unwrap()).collect();
    // The volume's: the same text under no signature of that key, and a whole log of one of the same name.
    let note = fs::read_to_string(log.path().join("1/checkpoint")).unwrap();
    let mut other = Writer::start(forged.path());
    other.records(9);
    let unsigned = note.replacen("\n6\n", "\n7\n", 1);
    assert_ne!(unsigned, note);
    fs::write(log.path().join("1/checkpoint"), &unsigned).unwrap();
    for volume in [log.path(), forged.path()] {
        for keys in [vec![key.clone()], Vec::new()] {
            let told = shipper_with(keys.clone(), volume, into_dir(store.path()), Vec::new()).pass().await;
            // Without a key from elsewhere the store's own checkpoint, by the first one, stands in the way.
            let is_told = match (volume == forged.path(), keys.is_empty()) {
                (true, true) => matches!(told, Err(Unshipped::Conflict(_))),
                _ => matches!(told, Err(Unshipped::Damaged(1))),
            };
            assert!(is_told, "{told:?}");
        }
    }
    let after: Vec<_> = tree_of(store.path()).iter().map(|name| fs::read(store.path().join(name)).unwrap()).collect();
    assert!(before == after, "the last good checkpoint and its copy stay");
    fs::write(log.path().join("1/checkpoint"), note).unwrap();
    shipper_with(vec![key], log.path(), into_dir(store.path()), Vec::new()).pass().await.unwrap();
    // A log of another name in this one's directory: its checkpoints are not ours to ship.
    let mut ship = shipper(log.path(), into_dir(store.path()), Vec::new());
    ship.parts.origin = "privet.example/shop/pod-2".to_owned();
    assert!(matches!(ship.pass().await, Err(Unshipped::Damaged(1))));
}

#[tokio::test]
async fn what_tells_is_sealed_and_what_proves_is_not_and_a_strangers_tool_opens_it() {
    let (log, store, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (identity, recipient) = auditor(out.path(), "identity");
    let mut writer = Writer::start(log.path());
    writer.decide(log.path());
    writer.records(300);
    let mut ship = shipper(log.path(), into_dir(store.path()), vec![recipient]);
    ship.pass().await.unwrap();
    writer.records(1);
    ship.pass().await.unwrap();
    // A second process ships nothing over it.
    let mirror = store.path().join(ORIGIN);
    let into = out.path().join("opened");
    opened(&identity, &mirror, &into);
    here_and_there(log.path(), &into);
    let plain: Vec<_> = tree_of(&mirror).into_iter().filter(|name| !name.ends_with(".age")).collect();
    assert_eq!(plain, ["1/checkpoint", "1/tile/0/000", "1/tile/0/001.p/48", "1/tile/1/000.p/1", "1/vkey"]);
}

/// Prints what a backlog costs: `-- --ignored --nocapture cost_of_a_backlog`.
#[tokio::test]
#[ignore = "prints figures"]
async fn cost_of_a_backlog() {
    let (log, keys, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut writer = Writer::start(log.path());
    for n in 0..1000 {
        let records = vec![Record::Heartbeat; 100];
        writer.commit(&Work { records, checkpoint: n == 999, ..Work::default() });
    }
    let standin = Standin::start().await;
    for (name, to) in [("directory", into_dir(store.path())), ("bucket", standin.at(keys.path()))] {
        let mut ship = shipper(log.path(), to, Vec::new());
        let begun = std::time::Instant::now();
        ship.pass().await.unwrap();
        println!("{name}: 100,000 records in {:.2} s", begun.elapsed().as_secs_f64());
    }
    println!("bucket: {} objects", standin.inside.lock().unwrap().written.len());
}

#[test]
fn a_store_that_is_away_is_said_and_then_caught_up_with() {
    let (log, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut writer = Writer::start(log.path());
    writer.records(3);
    let away = store.path().join("away");
    fs::write(&away, "a file, where a folder should be").unwrap();
    let (health, metrics) = (Arc::new(Health::default()), Arc::new(Metrics::new()));
    let ship = Ship { to: into_dir(&away), every: Duration::from_millis(20), seal_to: Vec::new(), ledger: false };
    let shipper = Shipper::new(Parts {
        ship,
        log: log.path().to_owned(),
        origin: ORIGIN.to_owned(),
        keys: Vec::new(),
        health: Arc::clone(&health),
        metrics: Arc::clone(&metrics),
        clock: Arc::new(SystemClock::default()),
    })
    .unwrap();
    let shipping = Shipping::start(shipper, writer.log.verifier()).unwrap();
    let until = |what: &str, seen: &dyn Fn() -> bool| {
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while !seen() {
            assert!(std::time::Instant::now() < deadline, "{what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    let failures = || metrics.render().contains("privet_ship_failures_total{reason=\"refused\"} 1");
    until("a failure is counted", &failures);
    until("a note says so", &|| health.notes_text().contains("not shipped"));
    fs::remove_file(&away).unwrap();
    until("it catches up", &|| away.join(ORIGIN).join("1/checkpoint").exists());
    until("the note goes", &|| !health.notes_text().contains("not shipped"));
    writer.records(1);
    writer.close();
    drop(shipping);
    here_and_there(log.path(), &away.join(ORIGIN));
}
