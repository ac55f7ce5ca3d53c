use super::*;
use crate::clock::SystemClock;
use crate::config::ledger::Witness as WitnessAt;
use crate::config::{StoreAt, Upstream};
use crate::ship::{Parts, Shipper};
use crate::store::standin::Standin;
use crate::witness::{self, Witness};
use privet_audit_log::note::{Checkpoint, VerifierKey};
use privet_audit_log::quorum::TrustPolicy;
use privet_audit_log::tree::merkle_root;
use privet_audit_log::verify::{Options, verify};
use privet_audit_log::{Log, Moment, Settings, Work};
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

const LEDGER: &str = "privet.example/prod/ledger";

/// Two clocks that the test moves, in milliseconds.
struct Hand {
    wall: AtomicI64,
    mono: AtomicU64,
}

impl Hand {
    fn pass(&self, time: Duration) {
        let ms = u64::try_from(time.as_millis()).unwrap();
        self.wall.fetch_add(i64::try_from(ms).unwrap(), Ordering::SeqCst);
        self.mono.fetch_add(ms, Ordering::SeqCst);
    }

    /// The wall clock alone.
    fn set_by(&self, ms: i64) {
        self.wall.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for Hand {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(self.wall.load(Ordering::SeqCst)).unwrap()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.mono.load(Ordering::SeqCst))
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
            keys: Vec::new(),
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
#[derive(Default)]
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
        let clock = Arc::new(Hand { wall: AtomicI64::new(1_795_344_000_000), mono: AtomicU64::new(0) });
        let mut bench = Self { dir, key: String::new(), panel: Panel::default(), clock };
        bench.key = init(&bench.config(bench.store(), Vec::new(), 0), &*bench.clock).unwrap();
        bench.panel = Panel::new(&bench.key, witnesses);
        bench
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

    /// Another process: its monotonic clock begins anew.
    fn open(&self, config: &Config) -> Result<Ledger, CannotRun> {
        self.clock.mono.store(0, Ordering::SeqCst);
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
        LedgerLog::open(&dir, &anchor, signer, &mut |entry| {
            if let Record::Unknown(name, members) = Entry::parse(entry).unwrap().record
                && name == kind
            {
                found.push(members);
            }
        })
        .unwrap();
        found
    }

    /// The gaps of the ledger's log, which has no findings: those of its own records' types left out.
    fn verified(&self) -> Vec<(&'static str, String)> {
        let options = Options {
            keys: Some(vec![VerifierKey::parse(&self.key).unwrap()]),
            anchor: fs::read_to_string(self.dir.path().join("anchor/checkpoint")).ok(),
            signers: None,
        };
        let report = verify(&self.ledger_dir(), &options).unwrap();
        assert!(report.is_clean(), "{:#?}", report.findings);
        let stated = report.gaps.into_iter().filter(|gap| !["unknown_type", "no_segments"].contains(&gap.code));
        stated.map(|gap| (gap.code, gap.message)).collect()
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
    assert_eq!(bench.published().unwrap().size, 1 + 4 * 3);
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
        "only the first record, which was signed when the ledger was made"
    );
    drop(ledger);
    let both = bench.config(bench.store(), bench.panel.serve(2).await, 2);
    let mut ledger = bench.open(&both).unwrap();
    ledger.round().await.unwrap();
    assert_eq!(bench.published().unwrap().size, 3);
    // One goes away: records are added and signed, and published once it is back.
    let alone = bench.panel.serve(1).await;
    ledger.witnesses = Witnesses::new(Web::open(&Upstream::default(), Duration::from_millis(300)).unwrap(), &alone, 0);
    pod.records(2).await;
    ledger.round().await.unwrap();
    assert_eq!((bench.published().unwrap().size, ledger.log.size()), (3, 4));
    drop(ledger);
    let both = bench.config(bench.store(), bench.panel.serve(2).await, 2);
    bench.open(&both).unwrap().round().await.unwrap();
    assert_eq!(bench.published().unwrap().size, 5);
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
    assert!(matches!(anchored, CannotRun::Log(CannotKeep::WentBack { here: 3, anchored: 5, .. })), "{anchored:?}");
    // The anchor goes back with it: the witnesses are the last to know.
    copy(&earlier.join("anchor"), &bench.dir.path().join("anchor"));
    let mut ledger = bench.open(&config).unwrap();
    let witnessed = ledger.round().await.unwrap_err();
    assert!(matches!(witnessed, CannotRun::WentBack { known: 5, here: 3, .. }), "{witnessed:?}");
    drop(ledger);
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
    // Two histories of one name.
    let stranger = Stranger::new(&bench);
    let ship = async |leaves: &[Hash]| {
        stranger.tiles(leaves).await;
        stranger.head(stranger.note(leaves.len() as u64, merkle_root(leaves))).await;
    };
    ship(&leaves_of(0, 5)).await;
    let mut ledger = bench.open(&config).unwrap();
    ledger.round().await.unwrap();
    for (salt, size) in [(1, 5), (1, 9)] {
        ship(&leaves_of(salt, size)).await;
        ledger.round().await.unwrap();
    }
    ship(&leaves_of(0, 9)).await;
    ledger.round().await.unwrap();
    assert_eq!(ledger.watched.rolled(STRANGER).unwrap().size, 9, "the honest one goes on");
    drop(ledger);
    let reasons: Vec<_> = bench.records("roll.refused").iter().map(|one| one["reason"].clone()).collect();
    assert_eq!(reasons, ["inconsistent", "inconsistent"]);
    bench.verified();
}

/// A log whose writer keeps its key, as ours does not: it can sign what it likes.
struct Stranger {
    signer: privet_audit_log::note::Signer,
    store: Store,
}

const STRANGER: &str = "evil.example/1";

impl Stranger {
    fn new(bench: &Bench) -> Self {
        let signer = privet_audit_log::note::Signer::from_seed(STRANGER, &[7; 32]).unwrap();
        Self { signer, store: Store::open(&bench.store(), Arc::new(SystemClock::default())).unwrap() }
    }

    async fn put(&self, key: &str, bytes: impl Into<Vec<u8>>) {
        let key = crate::store::Key::new(key).unwrap();
        assert!(self.store.write(&key, bytes.into(), crate::store::Over::Anything).await.unwrap());
    }

    async fn head(&self, note: impl Into<Vec<u8>>) {
        self.put(crate::ship::head_key(STRANGER).unwrap().as_str(), note).await;
    }

    fn note(&self, size: u64, root: Hash) -> String {
        self.signer.sign(&Checkpoint { origin: STRANGER.into(), size, root }.to_text())
    }

    /// Its key, and its tiles at a size up to 256.
    async fn tiles(&self, leaves: &[Hash]) {
        let tile = privet_audit_log::tile::encode_tile(leaves);
        self.put(&format!("{STRANGER}/tile/0/000.p/{}", leaves.len()), tile).await;
        self.put(&format!("{STRANGER}/vkey"), self.signer.verifier().to_string()).await;
    }
}

fn leaves_of(salt: u8, count: u8) -> Vec<Hash> {
    (0..count).map(|n| Hash::leaf(&[salt, n])).collect()
}

#[tokio::test]
async fn a_planted_head_of_a_size_that_no_record_holds_is_recorded_and_ends_nothing() {
    let bench = Bench::new(0);
    let config = bench.config(bench.store(), Vec::new(), 0);
    let (stranger, mut pod) = (Stranger::new(&bench), Pod::new("one", bench.store()));
    let (leaves, forger) = (leaves_of(0, 5), privet_audit_log::note::Signer::from_seed(STRANGER, &[8; 32]).unwrap());
    stranger.tiles(&leaves).await;
    let mut ledger = bench.open(&config).unwrap();
    for size in [privet_audit_log::canonical::INTEGER_MAX + 1, 1 << 60, u64::MAX] {
        // Signed or not: whoever may write a head may write this.
        let text = Checkpoint { origin: STRANGER.into(), size, root: leaves[0] }.to_text();
        for note in [stranger.note(size, leaves[0]), forger.sign(&text)] {
            stranger.head(note).await;
            pod.records(1).await;
            ledger.round().await.unwrap();
            drop(ledger);
            ledger = bench.open(&config).unwrap();
            ledger.round().await.unwrap();
            let one = ledger.watched.rolled("privet.example/prod/one/1").unwrap();
            assert_eq!(one.size, pod.log.size(), "the others go on");
            assert!(ledger.watched.rolled(STRANGER).is_none());
        }
    }
    // One that no checkpoint can be as long as.
    stranger.head(vec![b'x'; crate::store::NOTE_BYTES_MAX + 1]).await;
    ledger.round().await.unwrap();
    drop(ledger);
    let refused = bench.records("roll.refused");
    assert!(!refused.is_empty());
    for one in refused {
        assert_eq!((one["reason"].as_str(), one["seen"].is_null()), (Some("misplaced"), true), "{one}");
    }
    bench.verified();
}

/// A seed gives the same numbers each time (xorshift, Marsaglia 2003).
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn of<T: Clone>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()].clone()
    }
}

/// Any text for a head: of sizes and roots right and wrong, by its key or another or none, cut and bent.
fn any_head(stranger: &Stranger, seeded: &mut Seeded, (salt, count): (u8, u8)) -> Vec<u8> {
    let honest = u64::from(count);
    let past = [privet_audit_log::canonical::INTEGER_MAX, privet_audit_log::canonical::INTEGER_MAX + 1, u64::MAX];
    let size = seeded.of(&[honest, honest, honest, honest, honest + 1, 0, past[0], past[1], past[2]]);
    let root = seeded.of(&[merkle_root(&leaves_of(salt, count)), merkle_root(&leaves_of(salt, count)), Hash([0; 32])]);
    let origin =
        seeded.of(&[STRANGER, STRANGER, STRANGER, STRANGER, "evil.example/2", "", "../x", "privet.example/prod/one/1"]);
    let text = Checkpoint { origin: origin.to_owned(), size, root }.to_text();
    let other = privet_audit_log::note::Signer::from_seed(STRANGER, &[8; 32]).unwrap();
    let note = match seeded.below(6) {
        0 => other.sign(&text),
        1 => text,
        _ => stranger.signer.sign(&text),
    };
    let mut bytes = note.into_bytes();
    let at = usize::try_from(seeded.below(bytes.len() as u64)).unwrap();
    match seeded.below(8) {
        0 => bytes.truncate(at),
        1 => bytes[at] = u8::try_from(seeded.below(256)).unwrap(),
        2 => bytes.splice(at..at, [0xff, b'\n', b'\n', b'9']).for_each(drop),
        _ => {}
    }
    bytes
}

#[tokio::test]
async fn no_head_ends_a_ledger_or_moves_a_rolled_log_back_or_aside() {
    let bench = Bench::new(0);
    let config = bench.config(bench.store(), Vec::new(), 0);
    let (stranger, mut seeded) = (Stranger::new(&bench), Seeded(0x5eed_1ed9_e500_0001));
    let mut ledger = bench.open(&config).unwrap();
    let (mut rolled, mut moved) = (0, 0);
    for case in 0..500 {
        // About as many as are rolled, of one tree or of the other; their tile is in the store, or that of the other is.
        let count = u8::try_from((rolled + seeded.below(5)).saturating_sub(2).clamp(1, 250)).unwrap();
        let (salt, tiles) = (seeded.of(&[0, 0, 0, 1]), seeded.of(&[0, 0, 0, 1]));
        stranger.tiles(&leaves_of(tiles, count)).await;
        let head = any_head(&stranger, &mut seeded, (salt, count));
        stranger.head(head.clone()).await;
        ledger.round().await.unwrap_or_else(|why| panic!("case {case}: {why}: {}", String::from_utf8_lossy(&head)));
        if seeded.below(40) == 0 {
            drop(ledger);
            ledger = bench.open(&config).unwrap();
            ledger.round().await.unwrap();
        }
        let Some(now) = ledger.watched.rolled(STRANGER) else { continue };
        assert!(now.size >= rolled, "case {case}");
        moved += u32::from(now.size > rolled);
        rolled = now.size;
    }
    drop(ledger);
    assert!(moved > 3, "some heads were honest and rolled: {moved}");
    // Each of its rolls continues the one before: all are of one tree.
    let roots: std::collections::BTreeSet<_> = bench
        .records("roll")
        .iter()
        .map(|roll| {
            let hex = roll["list"].as_str().unwrap().strip_prefix("sha256:").unwrap();
            let list = fs::read(log::list_path(&bench.ledger_dir().join("1"), hex)).unwrap();
            let list: Vec<(String, u64, String, String)> = serde_json::from_slice(&list).unwrap();
            let (_, size, root, _) = list.into_iter().next().unwrap();
            let count = u8::try_from(size).unwrap();
            [0, 1]
                .into_iter()
                .find(|salt| merkle_root(&leaves_of(*salt, count)).to_base64() == root)
                .filter(|_| size > 0)
        })
        .collect();
    assert_eq!(roots.len(), 1, "{roots:?}");
    let reasons: std::collections::BTreeSet<_> =
        bench.records("roll.refused").iter().map(|one| one["reason"].as_str().unwrap().to_owned()).collect();
    assert!(
        ["inconsistent", "misplaced", "rolled_back", "unsigned"].iter().all(|reason| reasons.contains(*reason)),
        "{reasons:?}"
    );
    bench.verified();
}

#[tokio::test]
async fn what_was_seen_before_the_store_failed_is_rolled() {
    let bench = Bench::new(0);
    let (standin, keys) = (Standin::start().await, tempfile::tempdir().unwrap());
    let at = standin.at(keys.path());
    let config = bench.config(at.clone(), Vec::new(), 0);
    let mut pods: Vec<_> = (0..5).map(|n| Pod::new(&format!("pod-{n}"), at.clone())).collect();
    let mut ledger = bench.open(&config).unwrap();
    // Whichever request of a look fails: nothing that was seen before it is forgotten.
    for nth in 0..24 {
        for pod in &mut pods {
            pod.records(1).await;
        }
        {
            let mut inside = standin.inside.lock().unwrap();
            inside.fails_at = Some((inside.requests + nth, crate::store::standin::Trouble::Answers(503)));
        }
        ledger.round().await.unwrap();
        standin.inside.lock().unwrap().fails_at = None;
        ledger.round().await.unwrap();
        for (n, pod) in pods.iter().enumerate() {
            let rolled = ledger.watched.rolled(&format!("privet.example/prod/pod-{n}/1")).map(|rolled| rolled.size);
            assert_eq!(rolled, Some(pod.log.size()), "request {nth}, pod {n}");
        }
    }
    drop(ledger);
    bench.verified();
}

#[tokio::test]
async fn a_listing_without_an_end_ends_the_look_and_is_told_and_one_log_stands_in_nobodys_way() {
    let bench = Bench::new(0);
    let (standin, keys) = (Standin::start().await, tempfile::tempdir().unwrap());
    let at = standin.at(keys.path());
    let mut pod = Pod::new("one", at.clone());
    pod.records(3).await;
    standin.inside.lock().unwrap().endless = true;
    let mut ledger = bench.open(&bench.config(at.clone(), Vec::new(), 0)).unwrap();
    let (look, fault) = ledger.watched.look().await;
    assert_eq!((look.moved.len(), fault), (1, Some(crate::store::Fault::TooMuch)));
    assert!(standin.inside.lock().unwrap().requests < 2_100, "it is left after as many pages as there can be");
    ledger.watched.look_again();
    ledger.round().await.unwrap();
    assert!(ledger.watched.rolled("privet.example/prod/one/1").is_some(), "what it did list is rolled");
    assert!(ledger.board.readiness().1.contains("lists more names"), "{}", ledger.board.readiness().1);
    standin.inside.lock().unwrap().endless = false;
    // A key that is longer than any: of the name that sorts first, and the others are looked at.
    let prefix = "fleet/a+b";
    let first = (0..)
        .map(|n| format!("a/{n}"))
        .find(|origin| crate::ship::head_key(origin).unwrap().as_str().starts_with("heads/0"))
        .unwrap();
    let signer = privet_audit_log::note::Signer::from_seed(&first, &[3; 32]).unwrap();
    let note = signer.sign(&Checkpoint { origin: first.clone(), size: 1, root: Hash::leaf(b"x") }.to_text());
    {
        let mut inside = standin.inside.lock().unwrap();
        inside
            .objects
            .insert(format!("{prefix}/{}", crate::ship::head_key(&first).unwrap().as_str()), note.into_bytes());
        inside.objects.insert(format!("{prefix}/{first}/vkey"), vec![b'x'; crate::store::NOTE_BYTES_MAX + 1]);
    }
    pod.records(2).await;
    ledger.round().await.unwrap();
    assert_eq!(ledger.watched.rolled("privet.example/prod/one/1").unwrap().size, pod.log.size());
    assert!(ledger.board.readiness().1.contains("holds an object"), "{}", ledger.board.readiness().1);
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
    idle(&bench, &mut ledger, 30).await;
    assert_eq!(ledger.log.size(), 2 + 4);
    drop(ledger);
    assert_eq!(bench.verified(), []);
}

/// Rounds every ten seconds, in which nothing moves.
async fn idle(bench: &Bench, ledger: &mut Ledger, rounds: usize) {
    for _ in 0..rounds {
        ledger.round().await.unwrap();
        bench.clock.pass(Duration::from_secs(10));
    }
}

#[tokio::test]
async fn a_restart_is_said_and_is_no_clock_that_moved_and_three_days_off_are_a_gap() {
    let bench = Bench::new(0);
    let config = bench.config(bench.store(), Vec::new(), 0);
    // Idle each time: what is exact in a process is its heartbeat, a minute after its start and 40 s before its end.
    for off in [40, 3 * 86_400] {
        let mut ledger = bench.open(&config).unwrap();
        idle(&bench, &mut ledger, 10).await;
        drop(ledger);
        bench.clock.pass(Duration::from_secs(off));
    }
    let mut ledger = bench.open(&config).unwrap();
    idle(&bench, &mut ledger, 10).await;
    drop(ledger);
    let gaps = bench.verified();
    assert_eq!((gaps.len(), gaps[0].0), (1, "resumed"), "{gaps:?}");
    assert!(gaps[0].1.contains(&format!("for about {} s", 40 + 3 * 86_400)), "{gaps:?}");
    assert_eq!(bench.records("resumed").len(), 3);
}

#[tokio::test]
async fn a_wall_clock_that_is_set_stops_no_heartbeat_and_is_said_also_across_a_restart() {
    let bench = Bench::new(0);
    let config = bench.config(bench.store(), Vec::new(), 0);
    let mut ledger = bench.open(&config).unwrap();
    idle(&bench, &mut ledger, 2).await;
    bench.clock.set_by(-86_400_000);
    idle(&bench, &mut ledger, 30).await;
    drop(ledger);
    let gaps = bench.verified();
    let codes: Vec<_> = gaps.iter().map(|(code, _)| *code).collect();
    assert_eq!(codes, ["clock"], "{gaps:?}");
    assert!(gaps[0].1.contains("-86400000 ms"), "{gaps:?}");
    let report = verify(&bench.ledger_dir(), &Options::default()).unwrap();
    assert_eq!(report.incarnations[0].records, 2 + 1 + 5, "the clock and a heartbeat each minute");
    bench.clock.set_by(-86_400_000);
    let mut ledger = bench.open(&config).unwrap();
    idle(&bench, &mut ledger, 10).await;
    drop(ledger);
    let gaps = bench.verified();
    assert_eq!((gaps.len(), gaps[1].0), (2, "resumed"), "{gaps:?}");
    assert!(gaps[1].1.contains("behind its last record"), "{gaps:?}");
}

#[tokio::test]
async fn a_log_or_an_anchor_that_is_empty_is_lost_and_nothing_is_signed_again() {
    let bench = Bench::new(1);
    let config = bench.config(bench.store(), bench.panel.serve(1).await, 1);
    bench.open(&config).unwrap().round().await.unwrap();
    let whole = bench.dir.path().join("whole");
    let places = ["ledger", "anchor"].map(|name| (bench.dir.path().join(name), whole.join(name)));
    places.iter().for_each(|(from, to)| copy(from, to));
    let refused = |lost: &[&str]| {
        for (at, whole) in &places {
            fs::remove_dir_all(at).ok();
            copy(whole, at);
        }
        for name in lost {
            let at = bench.dir.path().join(name);
            if at.is_dir() { fs::remove_dir_all(at).unwrap() } else { fs::remove_file(at).unwrap() }
        }
        let why = bench.open(&config).err();
        let signed = bench.ledger_dir().join("1/pending").exists();
        assert!(signed != lost.contains(&"ledger"), "{lost:?}: what is lost is not signed again");
        why
    };
    assert!(refused(&[]).is_none());
    for lost in [&["ledger", "anchor"][..], &["ledger", "anchor/checkpoint"]] {
        assert!(matches!(refused(lost), Some(CannotRun::Log(CannotKeep::Empty(_)))), "{lost:?}");
    }
    assert!(matches!(refused(&["ledger"]), Some(CannotRun::Log(CannotKeep::WentBack { here: 0, .. }))));
    for lost in [&["anchor"][..], &["anchor/vkey"], &["anchor/checkpoint"]] {
        assert!(matches!(refused(lost), Some(CannotRun::Log(CannotKeep::Anchor { .. }))), "{lost:?}");
    }
    // An anchor that went back behind what the log has published.
    let older = fs::read(whole.join("anchor/checkpoint")).unwrap();
    assert!(refused(&[]).is_none());
    bench.open(&config).unwrap().round().await.unwrap();
    fs::write(bench.dir.path().join("anchor/checkpoint"), older).unwrap();
    assert!(matches!(bench.open(&config), Err(CannotRun::Log(CannotKeep::Anchor { .. }))));
    // The way out that the message names.
    fs::copy(bench.ledger_dir().join("1/checkpoint"), bench.dir.path().join("anchor/checkpoint")).unwrap();
    bench.open(&config).unwrap().round().await.unwrap();
    bench.panel.stop().await;
}

#[tokio::test]
async fn a_ledger_is_made_once_and_not_over_anything_of_another() {
    let bench = Bench::new(0);
    let mut config = bench.config(bench.store(), Vec::new(), 0);
    let again = |config: &Config| init(config, &*bench.clock).err().unwrap();
    assert!(again(&config).is_there());
    // Its key is elsewhere now: log and anchor say that it was made.
    fs::rename(&config.key_file, bench.dir.path().join("kept")).unwrap();
    assert!(matches!(again(&config), CannotRun::Log(CannotKeep::IsThere(_))));
    config.directory = bench.dir.path().join("new");
    assert!(matches!(again(&config), CannotRun::Log(CannotKeep::IsThere(_))), "its anchor is another's");
    assert!(!config.key_file.exists() && !config.directory.join("1").exists(), "nothing was made");
    // A key that is there is not written over, whatever else is new.
    config.anchor_dir = bench.dir.path().join("new-anchor");
    fs::write(&config.key_file, "a key").unwrap();
    assert!(matches!(again(&config), CannotRun::IsThere(_)));
    assert_eq!(fs::read_to_string(&config.key_file).unwrap(), "a key");
}

#[tokio::test]
async fn each_cosigned_checkpoint_that_a_roll_names_is_kept_as_it_was() {
    let bench = Bench::new(2);
    let config = bench.config(bench.store(), bench.panel.serve(2).await, 2);
    let mut pod = Pod::new("one", bench.store());
    let mut ledger = bench.open(&config).unwrap();
    for _ in 0..3 {
        pod.records(2).await;
        ledger.round().await.unwrap();
        bench.clock.pass(Duration::from_secs(10));
    }
    drop(ledger);
    let keys = config.witnesses.iter().map(|witness| witness.key.clone()).collect();
    let policy = TrustPolicy::any_of(VerifierKey::parse(&bench.key).unwrap(), keys, 2);
    let rolls = bench.records("roll");
    let kept: Vec<_> = rolls
        .iter()
        .map(|roll| {
            let hex = roll["witnessed"].as_str().unwrap().strip_prefix("sha256:").unwrap();
            let note = fs::read_to_string(bench.ledger_dir().join("1/cosigned").join(hex)).unwrap();
            assert_eq!(Hash::of(note.as_bytes()).to_hex(), hex);
            assert!(note.len() < 600, "docs/ledger.md says what a day of them takes");
            let witnessed = policy.check(&note).unwrap();
            (witnessed.checkpoint.size, witnessed.by.len())
        })
        .collect();
    assert_eq!(kept, [(1, 2), (3, 2), (4, 2)], "each is the newest before its roll, with both witnesses");
    assert_eq!(fs::read_dir(bench.ledger_dir().join("1/cosigned")).unwrap().count(), 3, "and no other is kept");
    bench.verified();
    bench.panel.stop().await;
}

#[test]
fn a_key_of_another_log_is_refused_and_a_key_is_its_owners_alone() {
    let bench = Bench::new(0);
    let mut config = bench.config(bench.store(), Vec::new(), 0);
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

/// A thousand logs of one record each, that move by one with each call.
struct Fleet {
    store: Store,
    signers: Vec<privet_audit_log::note::Signer>,
    leaves: Vec<Hash>,
}

impl Fleet {
    fn new(at: &StoreAt) -> Self {
        let signer = |n: u16| {
            let (seed, name) = (Hash::of(&n.to_be_bytes()).0, format!("privet.example/fleet/pod-{n}/1"));
            privet_audit_log::note::Signer::from_seed(&name, &seed).unwrap()
        };
        let store = Store::open(at, Arc::new(SystemClock::default())).unwrap();
        Self { store, signers: (0..1000).map(signer).collect(), leaves: Vec::new() }
    }

    async fn put(&self, key: String, bytes: Vec<u8>) {
        let key = crate::store::Key::new(key).unwrap();
        assert!(self.store.write(&key, bytes, crate::store::Over::Anything).await.unwrap());
    }

    async fn moves(&mut self) {
        self.leaves.push(Hash::leaf(&self.leaves.len().to_be_bytes()));
        let (size, root) = (self.leaves.len(), merkle_root(&self.leaves));
        for signer in &self.signers {
            let origin = signer.verifier().name();
            let checkpoint = Checkpoint { origin: origin.to_owned(), size: size as u64, root };
            let tile = privet_audit_log::tile::encode_tile(&self.leaves);
            self.put(format!("{origin}/tile/0/000.p/{size}"), tile).await;
            self.put(format!("{origin}/vkey"), signer.verifier().to_string().into_bytes()).await;
            let head = crate::ship::head_key(origin).unwrap().as_str().to_owned();
            self.put(head, signer.sign(&checkpoint.to_text()).into_bytes()).await;
        }
    }
}

/// What this process has in memory now, and has had at most, in MiB.
fn memory_mib() -> (u64, u64) {
    let status = procfs::process::Process::myself().unwrap().status().unwrap();
    (status.vmrss.unwrap() >> 10, status.vmhwm.unwrap() >> 10)
}

/// Prints what rounds over a thousand logs take: `-- --ignored --nocapture cost_of_a_thousand_logs`.
#[tokio::test]
#[ignore = "prints figures"]
async fn cost_of_a_thousand_logs() {
    for bucket in [false, true] {
        let bench = Bench::new(2);
        let (standin, keys) = (Standin::start().await, tempfile::tempdir().unwrap());
        let at = if bucket { standin.at(keys.path()) } else { bench.store() };
        let config = bench.config(at.clone(), bench.panel.serve(2).await, 2);
        let (mut fleet, before) = (Fleet::new(&at), memory_mib());
        println!("{}: {before:?} MiB now and at most, before the ledger", if bucket { "bucket" } else { "directory" });
        let mut ledger = bench.open(&config).unwrap();
        for (what, all_move) in [("all are new", true), ("none moves", false), ("all move", true), ("all move", true)] {
            if all_move {
                fleet.moves().await;
            }
            let (requests, begun) = (standin.inside.lock().unwrap().requests, std::time::Instant::now());
            ledger.round().await.unwrap();
            let (took, asked) = (begun.elapsed(), standin.inside.lock().unwrap().requests - requests);
            println!("  {what}: {took:.2?}, {asked} requests, {:?} MiB", memory_mib());
            assert_eq!(ledger.watched.len(), 1000);
        }
        let list =
            fs::read_dir(bench.ledger_dir().join("1/list")).unwrap().map(|item| item.unwrap().metadata().unwrap());
        println!("  lists of {:?} bytes", list.map(|about| about.len()).collect::<Vec<_>>());
        drop(ledger);
        let begun = std::time::Instant::now();
        drop(bench.open(&config).unwrap());
        println!("  a start that reads them: {:.2?}", begun.elapsed());
        bench.panel.stop().await;
    }
}
