use super::*;
use crate::clock::SystemClock;
use crate::config::ledger::Witness as WitnessAt;
use crate::config::{StoreAt, Upstream};
use crate::ship::{Parts, Shipper};
use crate::store::standin::Standin;
use crate::witness::{self, Witness};
use privet_audit_log::note::{Checkpoint, VerifierKey};
use privet_audit_log::quorum::TrustPolicy;
use privet_audit_log::verify::{Options, verify};
use privet_audit_log::{Log, Moment, Settings, Work};
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

const LEDGER: &str = "privet.example/prod/ledger";

/// A wall clock that the test moves.
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(self.0.load(Ordering::SeqCst)).unwrap()
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// A pod that writes a log and ships it.
struct Pod {
    _dir: tempfile::TempDir,
    log: Log,
    now: Moment,
    shipper: Shipper,
}

impl Pod {
    fn new(name: &str, to: StoreAt) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let now = Moment { wall_ms: 1_795_344_000_000, mono_ms: 0 };
        let origin = format!("privet.example/prod/{name}");
        let (log, _) = Log::open(Settings::new(dir.path(), origin.as_str()), now).unwrap();
        let ship = crate::config::Ship { to, every: Duration::from_secs(1), seal_to: Vec::new(), ledger: true };
        let shipper = Shipper::new(Parts {
            ship,
            log: dir.path().to_owned(),
            origin,
            health: Arc::default(),
            metrics: Arc::default(),
            clock: Arc::new(SystemClock::default()),
        });
        Self { _dir: dir, log, now, shipper: shipper.unwrap() }
    }

    async fn records(&mut self, count: u64) {
        for n in 0..count {
            self.now.wall_ms += 60_000;
            self.now.mono_ms += 60_000;
            self.log.commit(&Work { checkpoint: n + 1 == count, ..Work::default() }, self.now).unwrap();
        }
        self.shipper.pass().await.unwrap();
    }
}

/// Witnesses over HTTP on loopback; a silent one is away.
struct Panel {
    dirs: Vec<tempfile::TempDir>,
    keys: Vec<VerifierKey>,
    serving: Mutex<Vec<TaskSet>>,
}

impl Panel {
    fn new(log_key: &str, count: usize) -> Self {
        let dirs: Vec<_> = (0..count).map(|_| tempfile::tempdir().unwrap()).collect();
        dirs.iter().enumerate().for_each(|(n, dir)| drop(witness::init(dir.path(), &format!("w{n}.example")).unwrap()));
        Self { dirs, keys: vec![VerifierKey::parse(log_key).unwrap()], serving: Mutex::default() }
    }

    /// Serves the first `count` of them; the others' addresses answer nothing.
    async fn serve(&self, count: usize) -> Vec<WitnessAt> {
        self.stop().await;
        let mut at = Vec::new();
        for (n, dir) in self.dirs.iter().enumerate() {
            let witness = Witness::open(dir.path(), self.keys.clone(), Arc::new(SystemClock::default())).unwrap();
            let key = witness.key().clone();
            let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}/", socket.local_addr().unwrap()).parse().unwrap();
            if n < count {
                let tasks = TaskSet::new();
                tasks.spawn(witness::serve(socket, Arc::new(witness), tasks.clone()));
                self.serving.lock().unwrap().push(tasks);
            }
            at.push(WitnessAt { url, key });
        }
        at
    }

    async fn stop(&self) {
        let serving = std::mem::take(&mut *self.serving.lock().unwrap());
        for tasks in serving {
            tasks.finish(Duration::ZERO).await;
        }
    }
}

struct Bench {
    dir: tempfile::TempDir,
    key: String,
    panel: Panel,
    clock: Arc<Hand>,
}

impl Bench {
    fn new(witnesses: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = init(&dir.path().join("key"), LEDGER).unwrap();
        let panel = Panel::new(&key, witnesses);
        Self { dir, key, panel, clock: Arc::new(Hand(AtomicI64::new(1_795_344_000_000))) }
    }

    fn store(&self) -> StoreAt {
        StoreAt::Directory(self.dir.path().join("store"))
    }

    fn config(&self, store: StoreAt, witnesses: Vec<WitnessAt>, quorum: usize) -> Config {
        Config {
            store,
            directory: self.dir.path().join("ledger"),
            anchor_dir: self.dir.path().join("anchor"),
            origin: LEDGER.to_owned(),
            key_file: self.dir.path().join("key"),
            witnesses,
            quorum,
            tls: Upstream::default(),
            listen: "127.0.0.1:0".parse().unwrap(),
            every: Duration::from_secs(10),
        }
    }

    fn open(&self, config: &Config) -> Result<Ledger, CannotRun> {
        Ledger::open(config, Arc::<Hand>::clone(&self.clock) as Arc<dyn Clock>)
    }

    fn ledger_dir(&self) -> PathBuf {
        self.dir.path().join("ledger")
    }

    fn published(&self) -> Option<Checkpoint> {
        let note = fs::read_to_string(self.ledger_dir().join("1/checkpoint")).ok()?;
        Some(Checkpoint::open(&note, &VerifierKey::parse(&self.key).unwrap()).unwrap())
    }

    /// The records of the ledger's log, by type.
    fn records(&self, kind: &str) -> Vec<Value> {
        let mut found = Vec::new();
        let (dir, anchor) = (self.ledger_dir(), self.dir.path().join("anchor"));
        let signer = signer(&self.config(self.store(), Vec::new(), 0)).unwrap();
        LedgerLog::open(&dir, &anchor, signer, 0, &mut |entry| {
            if let Record::Unknown(name, members) = Entry::parse(entry).unwrap().record
                && name == kind
            {
                found.push(members);
            }
        })
        .unwrap();
        found
    }

    fn verified(&self) {
        let options = Options {
            keys: Some(vec![VerifierKey::parse(&self.key).unwrap()]),
            anchor: fs::read_to_string(self.dir.path().join("anchor/checkpoint")).ok(),
            signers: None,
        };
        let report = verify(&self.ledger_dir(), &options).unwrap();
        assert!(report.is_clean(), "{:#?}", report.findings);
    }
}

#[tokio::test]
async fn what_moved_is_rolled_cosigned_and_published_and_the_log_verifies_across_restarts() {
    let bench = Bench::new(3);
    let witnesses = bench.panel.serve(3).await;
    let config = bench.config(bench.store(), witnesses.clone(), 2);
    let (mut one, mut two) = (Pod::new("one", bench.store()), Pod::new("two", bench.store()));
    for round in 0..4_u64 {
        let mut ledger = bench.open(&config).unwrap();
        one.records(70 + round).await;
        ledger.round().await.unwrap();
        two.records(3).await;
        one.records(250).await;
        ledger.round().await.unwrap();
        // Nothing moved, nothing is added.
        ledger.round().await.unwrap();
        drop(ledger);
        let rolls = bench.records("roll");
        assert_eq!(rolls.len() as u64, 2 * (round + 1));
        assert_eq!(rolls.last().unwrap()["logs"], 2);
        bench.verified();
    }
    let note = fs::read_to_string(bench.ledger_dir().join("1/checkpoint")).unwrap();
    let keys = witnesses.into_iter().map(|witness| witness.key).collect();
    let policy = TrustPolicy::any_of(VerifierKey::parse(&bench.key).unwrap(), keys, 3);
    assert_eq!(policy.check(&note).unwrap().by.len(), 3);
    assert_eq!(bench.published().unwrap().size, 9);
    let list = bench.records("roll").pop().unwrap();
    let hex = list["list"].as_str().unwrap().strip_prefix("sha256:").unwrap().to_owned();
    let list = fs::read(log::list_path(&bench.ledger_dir().join("1"), &hex)).unwrap();
    let list: Vec<(String, u64, String, String)> = serde_json::from_slice(&list).unwrap();
    let sizes: Vec<_> = list.iter().map(|(origin, size, ..)| (origin.as_str(), *size)).collect();
    assert_eq!(sizes, [("privet.example/prod/one/1", one.log.size()), ("privet.example/prod/two/1", two.log.size())]);
    bench.panel.stop().await;
}

#[tokio::test]
async fn without_a_quorum_nothing_is_published_and_nothing_added_at_a_start() {
    let bench = Bench::new(2);
    let mut pod = Pod::new("one", bench.store());
    pod.records(5).await;
    let alone = bench.config(bench.store(), bench.panel.serve(1).await, 2);
    let mut ledger = bench.open(&alone).unwrap();
    ledger.round().await.unwrap();
    ledger.round().await.unwrap();
    assert_eq!(
        (bench.published(), ledger.log.size()),
        (None, 1),
        "only the first record, which is signed and not shown"
    );
    drop(ledger);
    let both = bench.config(bench.store(), bench.panel.serve(2).await, 2);
    let mut ledger = bench.open(&both).unwrap();
    ledger.round().await.unwrap();
    assert_eq!(bench.published().unwrap().size, 2);
    // One goes away: records are added and signed, and published once it is back.
    let alone = bench.panel.serve(1).await;
    ledger.witnesses = Witnesses::new(Web::open(&Upstream::default(), Duration::from_millis(300)).unwrap(), &alone, 0);
    pod.records(2).await;
    ledger.round().await.unwrap();
    assert_eq!((bench.published().unwrap().size, ledger.log.size()), (2, 3));
    drop(ledger);
    let both = bench.config(bench.store(), bench.panel.serve(2).await, 2);
    bench.open(&both).unwrap().round().await.unwrap();
    assert_eq!(bench.published().unwrap().size, 3);
    bench.verified();
    bench.panel.stop().await;
}

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

#[tokio::test]
async fn a_disk_that_went_back_is_told_by_the_anchor_or_by_a_witness_and_nothing_is_signed() {
    let bench = Bench::new(2);
    let config = bench.config(bench.store(), bench.panel.serve(2).await, 1);
    let mut pod = Pod::new("one", bench.store());
    pod.records(5).await;
    bench.open(&config).unwrap().round().await.unwrap();
    let earlier = bench.dir.path().join("earlier");
    copy(&bench.ledger_dir(), &earlier.join("ledger"));
    copy(&bench.dir.path().join("anchor"), &earlier.join("anchor"));
    pod.records(5).await;
    bench.open(&config).unwrap().round().await.unwrap();
    fs::remove_dir_all(bench.ledger_dir()).unwrap();
    copy(&earlier.join("ledger"), &bench.ledger_dir());
    let before = fs::read(bench.ledger_dir().join("1/pending")).unwrap();
    let anchored = bench.open(&config).err().unwrap();
    assert!(matches!(anchored, CannotRun::Log(CannotKeep::WentBack { here: 2, anchored: 3, .. })), "{anchored:?}");
    // The anchor goes back with it: the witnesses are the last to know.
    copy(&earlier.join("anchor"), &bench.dir.path().join("anchor"));
    let mut ledger = bench.open(&config).unwrap();
    let witnessed = ledger.round().await.unwrap_err();
    assert!(matches!(witnessed, CannotRun::WentBack { known: 3, here: 2, .. }), "{witnessed:?}");
    drop(ledger);
    // So they are where all of it is lost and the key is kept.
    fs::remove_dir_all(bench.ledger_dir()).unwrap();
    fs::remove_dir_all(bench.dir.path().join("anchor")).unwrap();
    let lost = bench.open(&config).unwrap().round().await.unwrap_err();
    assert!(matches!(lost, CannotRun::WentBack { known: 3, here: 1, .. }), "{lost:?}");
    assert_eq!(before, fs::read(earlier.join("ledger/1/pending")).unwrap());
    bench.panel.stop().await;
}

#[tokio::test]
async fn a_pods_log_that_contradicts_itself_is_recorded_once_and_not_rolled_forward() {
    let bench = Bench::new(0);
    let store = bench.dir.path().join("store");
    let config = bench.config(bench.store(), Vec::new(), 0);
    let mut pod = Pod::new("one", bench.store());
    let mut good = Pod::new("two", bench.store());
    pod.records(300).await;
    let earlier = bench.dir.path().join("earlier");
    copy(&store, &earlier);
    pod.records(10).await;
    let mut ledger = bench.open(&config).unwrap();
    ledger.round().await.unwrap();
    // The store goes back.
    fs::remove_dir_all(&store).unwrap();
    copy(&earlier, &store);
    ledger.round().await.unwrap();
    good.records(1).await;
    ledger.round().await.unwrap();
    drop(ledger);
    let refused = bench.records("roll.refused");
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(
        (refused[0]["reason"].as_str(), refused[0]["rolled"]["size"].as_u64()),
        (Some("rolled_back"), Some(311))
    );
    assert_eq!(refused[0]["seen"]["size"], 301);
    // Another tree of more records, signed by another key under the same name.
    let origin = "privet.example/prod/one/1";
    let mut other = Pod::new("one", StoreAt::Directory(bench.dir.path().join("other")));
    other.records(320).await;
    fs::remove_dir_all(store.join(origin)).unwrap();
    copy(&bench.dir.path().join("other"), &store);
    let mut ledger = bench.open(&config).unwrap();
    ledger.round().await.unwrap();
    drop(ledger);
    let last = bench.records("roll.refused").pop().unwrap();
    assert_eq!((last["reason"].as_str(), last["origin"].as_str()), (Some("other_key"), Some(origin)));
    // Its rolled state is what it was, and the other pod went on.
    let mut ledger = bench.open(&config).unwrap();
    assert_eq!(ledger.watched.rolled(origin).unwrap().size, 311);
    good.records(1).await;
    ledger.round().await.unwrap();
    assert_eq!(ledger.watched.rolled("privet.example/prod/two/1").unwrap().size, good.log.size());
    drop(ledger);
    bench.verified();
}

#[tokio::test]
async fn a_tree_that_was_changed_and_signed_by_its_own_key_is_inconsistent() {
    let bench = Bench::new(0);
    let config = bench.config(bench.store(), Vec::new(), 0);
    // A writer that keeps its key, as ours does not: two histories of one name.
    let signer = privet_audit_log::note::Signer::from_seed("evil.example/1", &[7; 32]).unwrap();
    let store = Store::open(&bench.store(), Arc::new(SystemClock::default())).unwrap();
    let ship = async |leaves: &[Hash]| {
        let mut tree = privet_audit_log::tree::Tree::default();
        leaves.iter().for_each(|leaf| tree.push(*leaf, &mut Vec::new()));
        let tile = privet_audit_log::tile::encode_tile(leaves);
        let checkpoint = Checkpoint { origin: "evil.example/1".into(), size: tree.size(), root: tree.root() };
        let note = signer.sign(&checkpoint.to_text()).into_bytes();
        let put = async |key: &str, bytes: Vec<u8>| {
            let key = crate::store::Key::new(key).unwrap();
            assert!(store.write(&key, bytes, crate::store::Over::Anything).await.unwrap());
        };
        put(&format!("evil.example/1/tile/0/000.p/{}", leaves.len()), tile).await;
        put("evil.example/1/vkey", signer.verifier().to_string().into_bytes()).await;
        put(crate::ship::head_key("evil.example/1").unwrap().as_str(), note).await;
    };
    let leaves = |salt: u8, n: u8| (0..n).map(|n| Hash::leaf(&[salt, n])).collect::<Vec<_>>();
    ship(&leaves(0, 5)).await;
    let mut ledger = bench.open(&config).unwrap();
    ledger.round().await.unwrap();
    for (salt, size) in [(1, 5), (1, 9)] {
        ship(&leaves(salt, size)).await;
        ledger.round().await.unwrap();
    }
    ship(&leaves(0, 9)).await;
    ledger.round().await.unwrap();
    assert_eq!(ledger.watched.rolled("evil.example/1").unwrap().size, 9, "the honest one goes on");
    drop(ledger);
    let reasons: Vec<_> = bench.records("roll.refused").iter().map(|one| one["reason"].clone()).collect();
    assert_eq!(reasons, ["inconsistent", "inconsistent"]);
    bench.verified();
}

#[tokio::test]
async fn a_bucket_is_read_by_pages_and_only_what_moved_is_read_again() {
    let bench = Bench::new(0);
    let (standin, keys) = (Standin::start().await, tempfile::tempdir().unwrap());
    let at = standin.at(keys.path());
    let config = bench.config(at.clone(), Vec::new(), 0);
    let mut pods = Vec::new();
    for n in 0..5 {
        let mut pod = Pod::new(&format!("pod-{n}"), at.clone());
        pod.records(n + 1).await;
        pods.push(pod);
    }
    let mut ledger = bench.open(&config).unwrap();
    ledger.round().await.unwrap();
    assert_eq!(ledger.watched.len(), 5);
    let before = standin.inside.lock().unwrap().requests;
    ledger.round().await.unwrap();
    assert_eq!(standin.inside.lock().unwrap().requests - before, 3, "three pages of two, two and one");
    standin.troubled_by(&[crate::store::standin::Trouble::Answers(503)]);
    ledger.round().await.unwrap();
    pods[3].records(9).await;
    ledger.round().await.unwrap();
    assert_eq!(ledger.watched.rolled("privet.example/prod/pod-3/1").unwrap().size, pods[3].log.size());
    drop(ledger);
    let logs: Vec<_> = bench.records("roll").iter().map(|roll| roll["logs"].as_u64().unwrap()).collect();
    assert_eq!(logs, [5, 1]);
    bench.verified();
}

#[tokio::test]
async fn silence_is_recorded_each_minute() {
    let bench = Bench::new(0);
    let config = bench.config(bench.store(), Vec::new(), 0);
    let mut ledger = bench.open(&config).unwrap();
    for _ in 0..30 {
        ledger.round().await.unwrap();
        bench.clock.0.fetch_add(10_000, Ordering::SeqCst);
    }
    assert_eq!(ledger.log.size(), 1 + 4);
    drop(ledger);
    bench.verified();
}

#[test]
fn a_key_of_another_log_is_refused_and_a_key_is_not_written_over() {
    let bench = Bench::new(0);
    let mut config = bench.config(bench.store(), Vec::new(), 0);
    assert!(matches!(init(&config.key_file, LEDGER), Err(CannotRun::IsThere(_))));
    config.origin = "privet.example/other/ledger".to_owned();
    assert!(matches!(bench.open(&config), Err(CannotRun::OtherKey { .. })));
    assert!(
        bench
            .dir
            .path()
            .join("key")
            .metadata()
            .is_ok_and(|about| { std::os::unix::fs::PermissionsExt::mode(&about.permissions()) & 0o077 == 0 })
    );
}

#[tokio::test]
async fn one_directory_has_one_ledger() {
    let bench = Bench::new(0);
    let config = bench.config(bench.store(), Vec::new(), 0);
    let _first = bench.open(&config).unwrap();
    assert!(matches!(bench.open(&config), Err(CannotRun::Log(CannotKeep::Disk { .. }))));
}
