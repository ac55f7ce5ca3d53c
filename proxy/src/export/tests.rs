use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use privet_dp::ledger::Durability;
use privet_dp::receipt::{Receipt, WindowStatus, verify};
use privet_policy::export::{Bounds, Export, KeyColumn, KeyValues, Measure, Window as WrittenWindow};
use privet_policy::span::{Span, Spanned};

use super::*;

mod leaving;
mod posted;
mod publish;
mod schedule;
mod surveys;
mod timing;

pub(super) const NOON: i64 = 1_795_262_400;
pub(super) const POLICY: PolicyDigest = [7; 32];
const NEXT_POLICY: PolicyDigest = [8; 32];

pub(super) struct HandClock(AtomicI64);

impl HandClock {
    fn at(secs: i64) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(secs * 1000)))
    }

    pub(super) fn set(&self, secs: i64) {
        self.0.store(secs * 1000, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::SeqCst)).unwrap()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst) as u64)
    }
}

/// A log that remembers, and fails when told to.
#[derive(Default)]
pub(super) struct Log {
    charges: Mutex<Vec<ChargeEvidence>>,
    releases: Mutex<Vec<ReleaseEvidence>>,
    refuses_charges: AtomicBool,
    refuses_releases: AtomicBool,
}

impl DpEvidence for Log {
    fn charge(&self, charge: &ChargeEvidence) -> Result<(), CannotRecord> {
        refuse(&self.refuses_charges)?;
        self.charges.lock().unwrap().push(charge.clone());
        Ok(())
    }

    fn release(&self, release: &ReleaseEvidence) -> Result<(), CannotRecord> {
        refuse(&self.refuses_releases)?;
        self.releases.lock().unwrap().push(release.clone());
        Ok(())
    }
}

fn refuse(refuses: &AtomicBool) -> Result<(), CannotRecord> {
    if refuses.load(Ordering::SeqCst) { Err(CannotRecord("the disk is full".into())) } else { Ok(()) }
}

fn export(window: &str) -> Export {
    let text = |value: &str| Spanned::new(value.to_owned(), Span::default());
    Export {
        name: text("searches-by-section"),
        purpose: "analytics.reporting.content_performance".to_owned(),
        contract: Some("storefront.search".to_owned()),
        unit: privet_policy::path::Path::keys(&["userId"]),
        keys: vec![KeyColumn {
            path: privet_policy::path::Path::keys(&["properties", "section"]),
            values: KeyValues::Declared(["apps", "games", "books"].map(str::to_owned).to_vec()),
        }],
        window: WrittenWindow {
            publish_marked: ["restart", "drained"].map(text).to_vec(),
            splits_max: Some(Spanned::new(1, Span::default())),
            ..WrittenWindow::of_length(text(window))
        },
        fleet: None,
        bounds: Bounds {
            keys_per_unit: Spanned::new(2, Span::default()),
            rows_per_key: Some(Spanned::new(3, Span::default())),
            rows_per_unit: None,
            admission: None,
        },
        measure: Measure {
            noise: Some(text("discrete_laplace")),
            epsilon: Some(text("60")),
            ..Measure::named(text("count"))
        },
        horizon: text("30d"),
        budget_epsilon: Some(text("100000")),
        budget_rho: None,
        budget_delta: None,
        ids_per_person: Spanned::new(1, Span::default()),
        log_readers_trusted: true,
        canaries: Spanned::new(4, Span::default()),
        nonnegative: false,
    }
}

pub(super) struct Bench {
    directory: tempfile::TempDir,
    pub(super) clock: Arc<HandClock>,
    pub(super) log: Arc<Log>,
    pub(super) plans: Plans,
    ring: Option<Ring>,
    publish: Publish,
    metrics: Arc<Metrics>,
}

impl Bench {
    pub(super) fn at(secs: i64) -> Self {
        Self::of(&export("1h"), secs)
    }

    fn of(export: &Export, secs: i64) -> Self {
        let plans = plan::plan(std::slice::from_ref(export), &[]).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let metrics = Arc::new(Metrics::new());
        Self {
            directory,
            clock: HandClock::at(secs),
            log: Arc::default(),
            plans,
            ring: None,
            publish: Publish::default(),
            metrics,
        }
    }

    pub(super) fn settings(&self) -> Settings {
        Settings {
            ledger: self.directory.path().join("ledger.redb"),
            shared: None,
            lifetime: Lifetime::lasting(Durability::Volume),
            output: self.directory.path().join("exports"),
            ring: self.ring.clone(),
            publish: self.publish.clone(),
            metrics: Some(Arc::clone(&self.metrics)),
            channels: vec!["shipped_log"],
        }
    }

    fn start(&self) -> ExportLine {
        let log: Arc<dyn DpEvidence> = Arc::clone(&self.log) as _;
        ExportLine::start(&self.plans, POLICY, &self.settings(), Arc::clone(&self.clock) as _, log).unwrap()
    }

    /// The noise thread's work without the thread, over a ledger that the test has, too.
    pub(super) fn releaser(&self, ledger: &Arc<Ledger>) -> Releaser {
        let settings = self.settings();
        let log: Arc<dyn DpEvidence> = Arc::clone(&self.log) as _;
        let clock: Arc<dyn Clock> = Arc::clone(&self.clock) as _;
        fs::create_dir_all(&settings.output).unwrap();
        let ring_age = ring::age(&settings.output, None, clock.now()).unwrap();
        let around = Surroundings { ring: None, ring_age, last_shed: Arc::default() };
        let generation = Generation::open(&self.plans, POLICY, &around, clock.now()).unwrap();
        let shared = Arc::new(Shared {
            clock: Arc::clone(&clock),
            generation: ArcSwap::from_pointee(generation),
            around,
            draining: Mutex::default(),
            stopping: AtomicBool::new(false),
        });
        let publisher = Publisher::new(Arc::clone(ledger), Arc::clone(&log), &settings, clock).unwrap();
        Releaser::new(shared, Arc::clone(ledger), publisher, &settings, log)
    }

    pub(super) fn files(&self) -> Vec<PathBuf> {
        let directory = self.settings().output.join("searches-by-section");
        let mut files: Vec<PathBuf> = fs::read_dir(directory)
            .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
            .unwrap_or_default();
        files.sort();
        files
    }

    /// Waits, within bounds, until the noise thread has published so many.
    fn wait_for(&self, files: usize) -> Vec<PathBuf> {
        let started = Instant::now();
        while self.log.releases.lock().unwrap().len() < files {
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "the noise thread published {} of {files}",
                self.files().len()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        self.files()
    }
}

fn receipt(path: &Path) -> Receipt {
    Receipt::from_bytes(&fs::read(path).unwrap()).unwrap()
}

fn values(path: &Path) -> Vec<i64> {
    receipt(path).values.iter().map(|row| row.value).collect()
}

/// Within 6 of it: at epsilon 60 and L1 sensitivity 6 the scale is 0.1, and a
/// draw beyond 6 has a probability below 1e-30.
fn near(values: &[i64], exact: [i64; 3]) -> bool {
    values.iter().zip(exact).all(|(value, exact)| (value - exact).abs() <= 6)
}

/// One row of a unit in a declared key.
fn row(unit: &[u8], key: usize) -> Row<'_> {
    Row { unit, key: RowKey::At(key), value: 0, event_secs: None }
}

#[test]
fn a_window_is_counted_within_bounds_paid_recorded_and_published() {
    let bench = Bench::at(NOON);
    let line = bench.start();
    for unit in 0_u32..100 {
        for _ in 0..5 {
            line.observe(0, row(&unit.to_le_bytes(), 0), &POLICY);
        }
    }
    line.observe(0, row(b"", 1), &POLICY);
    line.observe(0, row(b"u-1", 9), &POLICY);
    line.observe(7, row(b"u-1", 1), &POLICY);
    line.observe(0, row(b"u-1", 1), &NEXT_POLICY);
    bench.clock.set(NOON + 3600);
    let files = bench.wait_for(1);
    assert!(is_named(&files[0], "2026-11-21T12-00-00Z", "-1-0.json"), "{files:?}");
    assert!(near(&values(&files[0]), [300, 0, 0]), "{:?}", values(&files[0]));
    let published = receipt(&files[0]);
    assert_eq!(published.window.status, WindowStatus::Complete);
    let charges = bench.log.charges.lock().unwrap();
    assert_eq!((charges.len(), charges[0].charge.nano(), charges[0].spent_before.nano), (1, 60_000_000_000, 0));
    assert_eq!(charges[0].release, published.release_id);
    let releases = bench.log.releases.lock().unwrap();
    assert_eq!(releases[0].receipt_sha256, Digest::of(&fs::read(&files[0]).unwrap()));
}

#[test]
fn an_empty_window_is_published_all_the_same() {
    let bench = Bench::at(NOON);
    let line = bench.start();
    bench.clock.set(NOON + 3600);
    bench.wait_for(1);
    bench.clock.set(NOON + 7200);
    let files = bench.wait_for(2);
    assert!(near(&values(&files[1]), [0, 0, 0]));
    let receipts: Vec<_> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    assert!(verify(&receipts).unwrap().from_the_start);
    drop(line);
}

#[test]
fn an_early_close_says_so_and_the_rest_of_the_window_is_a_release_of_its_own() {
    let bench = Bench::at(NOON + 60);
    let line = bench.start();
    line.observe(0, row(b"u-1", 2), &POLICY);
    bench.clock.set(NOON + 120);
    let outcomes = line.flush_now();
    let first = outcomes[0].result.as_ref().unwrap();
    assert_eq!(receipt(&first.path).window.status, WindowStatus::OpenedLateAndClosedEarly);
    assert_eq!(receipt(&first.path).window.observed_until.as_second(), NOON + 120);
    line.observe(0, row(b"u-1", 1), &POLICY);
    bench.clock.set(NOON + 3600);
    let files = bench.wait_for(2);
    assert!(is_named(&files[1], "2026-11-21T12-00-00Z", "-1-1.json"));
    assert_eq!(receipt(&files[1]).window.status, WindowStatus::OpenedLate);
    assert!(near(&values(&files[1]), [0, 1, 0]));
    let receipts: Vec<_> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    assert!(verify(&receipts).is_ok());
}

#[test]
fn a_withdrawal_takes_the_unit_out_of_the_open_window() {
    let bench = Bench::at(NOON);
    let line = bench.start();
    for unit in 0_u32..50 {
        (0..3).for_each(|_| line.observe(0, row(&unit.to_le_bytes(), 1), &POLICY));
    }
    (0_u32..40).for_each(|unit| line.withdraw(&unit.to_le_bytes()));
    let outcomes = line.flush_now();
    assert!(near(&values(&outcomes[0].result.as_ref().unwrap().path), [0, 30, 0]));
}

#[test]
fn a_charge_that_cannot_be_recorded_publishes_nothing_and_stays_spent() {
    let bench = Bench::at(NOON);
    let line = bench.start();
    bench.log.refuses_charges.store(true, Ordering::SeqCst);
    let outcomes = line.flush_now();
    assert!(matches!(outcomes[0].result, Err(Withheld::Unrecorded(_))));
    assert_eq!(bench.files(), Vec::<PathBuf>::new());
    bench.log.refuses_charges.store(false, Ordering::SeqCst);
    let outcomes = line.flush_now();
    let after = receipt(&outcomes[0].result.as_ref().unwrap().path);
    assert_eq!(after.privacy.horizon.spent.loss().unwrap().nano(), 120_000_000_000);
    assert_eq!(after.privacy.side_information, ["enforcement_log", "shipped_log"]);
}

#[test]
fn what_was_committed_and_not_acknowledged_goes_out_again_byte_for_byte() {
    let bench = Bench::at(NOON);
    let line = bench.start();
    bench.log.refuses_releases.store(true, Ordering::SeqCst);
    let outcomes = line.flush_now();
    assert!(matches!(outcomes[0].result, Err(Withheld::Unpublished(CannotPublish::Unrecorded(_)))));
    let before = fs::read(&bench.files()[0]).unwrap();
    drop(line);
    fs::remove_file(&bench.files()[0]).unwrap();
    bench.log.refuses_releases.store(false, Ordering::SeqCst);
    let line = bench.start();
    assert_eq!(fs::read(&bench.files()[0]).unwrap(), before);
    assert_eq!(bench.log.releases.lock().unwrap()[0].receipt_sha256, Digest::of(&before));
    // The new process is another incarnation: its part of the window is another release, and the chain goes on.
    assert!(line.flush_now()[0].result.is_ok());
    let receipts: Vec<_> = bench.files().iter().map(|file| fs::read(file).unwrap()).collect();
    assert_eq!(verify(&receipts).unwrap().receipts, 2);
}

#[test]
fn a_budget_without_room_withholds_and_says_why() {
    let mut short = export("1h");
    short.window.splits_max = None;
    short.horizon.value = "1h".to_owned();
    short.budget_epsilon.as_mut().unwrap().value = "60".to_owned();
    let bench = Bench::of(&short, NOON);
    let line = bench.start();
    assert!(line.flush_now()[0].result.is_ok());
    assert!(line.flush_now().is_empty(), "the window is split no more often than is paid for");
    drop(line);
    let line = bench.start();
    let withheld = line.flush_now().remove(0).result.unwrap_err();
    let Withheld::Unpaid(why) = withheld else { panic!("{withheld:?}") };
    assert_eq!(
        why.to_string(),
        "the budget `searches-by-section by userId` has 60 of epsilon 60 spent within 1h, and this window asks for epsilon 60: a window fits again from 2026-11-21T13:00:00Z"
    );
}

#[test]
fn a_looser_policy_begins_with_its_next_window() {
    let bench = Bench::at(NOON);
    let line = bench.start();
    (0_u32..10).for_each(|unit| line.observe(0, row(&unit.to_le_bytes(), 0), &POLICY));
    bench.clock.set(NOON + 600);
    line.adopt(&bench.plans, NEXT_POLICY, PolicyChange::Loosens).unwrap();
    (0_u32..10).for_each(|unit| line.observe(0, row(&unit.to_le_bytes(), 1), &NEXT_POLICY));
    (0_u32..10).for_each(|unit| line.observe(0, row(&unit.to_le_bytes(), 1), &POLICY));
    bench.clock.set(NOON + 3600);
    let first = receipt(&bench.wait_for(1)[0]);
    assert_eq!((first.policy_digest, first.window.status), (Digest(POLICY), WindowStatus::ClosedEarly));
    assert_eq!(first.window.observed_until.as_second(), NOON + 600);
    (0_u32..10).for_each(|unit| line.observe(0, row(&unit.to_le_bytes(), 2), &NEXT_POLICY));
    bench.clock.set(NOON + 7200);
    let files = bench.wait_for(2);
    assert!(near(&values(&files[0]), [10, 0, 0]) && near(&values(&files[1]), [0, 0, 10]));
    let second = receipt(&files[1]);
    assert_eq!((second.policy_digest, second.window.status), (Digest(NEXT_POLICY), WindowStatus::Complete));
}

#[test]
fn a_tighter_policy_gives_the_open_window_up() {
    let bench = Bench::at(NOON);
    let line = bench.start();
    line.observe(0, row(b"u-1", 0), &POLICY);
    bench.clock.set(NOON + 600);
    line.adopt(&bench.plans, NEXT_POLICY, PolicyChange::Tightens).unwrap();
    assert!(line.flush_now().is_empty(), "nothing is open until the next window");
    bench.clock.set(NOON + 3600);
    line.observe(0, row(b"u-1", 0), &NEXT_POLICY);
    bench.clock.set(NOON + 7200);
    let files = bench.wait_for(1);
    assert!(is_named(&files[0], "2026-11-21T13-00-00Z", "-1-0.json"), "{files:?}");
    assert_eq!(bench.log.charges.lock().unwrap().len(), 1, "a window that was given up costs nothing");
}

#[test]
fn a_lost_ledger_is_not_a_new_budget() {
    let bench = Bench::at(NOON);
    let line = bench.start();
    assert!(line.flush_now()[0].result.is_ok());
    drop(line);
    fs::remove_file(bench.settings().ledger).unwrap();
    let log: Arc<dyn DpEvidence> = Arc::clone(&bench.log) as _;
    let again = ExportLine::start(&bench.plans, POLICY, &bench.settings(), Arc::clone(&bench.clock) as _, log);
    assert!(matches!(again, Err(CannotStart::LedgerGone)));
    assert!(!bench.settings().ledger.exists());
}

/// A window's start, whatever ledger, and the opening and part.
fn is_named(file: &Path, start: &str, end: &str) -> bool {
    let name = file.file_name().unwrap().to_str().unwrap();
    name.starts_with(start) && name.ends_with(end)
}

#[test]
fn a_published_receipt_is_never_overwritten() {
    let bench = Bench::at(NOON);
    let chain = Ledger::open(&bench.settings().ledger).unwrap().books().chain;
    let line = bench.start();
    let directory = bench.settings().output.join("searches-by-section");
    fs::create_dir_all(&directory).unwrap();
    let name = format!("2026-11-21T12-00-00Z.{}-2-0.json", chain.short());
    fs::write(directory.join(&name), b"somebody's").unwrap();
    let withheld = line.flush_now().remove(0).result.unwrap_err();
    assert!(matches!(withheld, Withheld::Unpublished(CannotPublish::File(_))));
    assert_eq!(fs::read(directory.join(&name)).unwrap(), b"somebody's");
    // What comes after it waits until it is out, so that receipts leave in the order of their chain.
    bench.clock.set(NOON + 3600);
    bench.wait_for_withheld("unpublished", 2);
    fs::remove_file(directory.join(&name)).unwrap();
    bench.clock.set(NOON + 3610);
    let receipts: Vec<_> = bench.wait_for(2).iter().map(|file| fs::read(file).unwrap()).collect();
    assert_eq!(verify(&receipts).unwrap().receipts, 2);
}

#[test]
fn an_older_copy_of_the_ledger_starts_no_export() {
    let bench = Bench::at(NOON);
    let (ledger, copy) = (bench.settings().ledger, bench.directory.path().join("copy"));
    drop(bench.start());
    fs::copy(&ledger, &copy).unwrap();
    let line = bench.start();
    assert!(line.flush_now()[0].result.is_ok());
    drop(line);
    let started = || {
        let log: Arc<dyn DpEvidence> = Arc::clone(&bench.log) as _;
        ExportLine::start(&bench.plans, POLICY, &bench.settings(), Arc::clone(&bench.clock) as _, log).map(drop)
    };
    started().unwrap();
    fs::copy(&copy, &ledger).unwrap();
    assert!(matches!(started(), Err(CannotStart::LedgerWentBack(_))));
}

#[test]
fn no_unpublished_key_or_unit_reaches_the_disk() {
    let bench = Bench::at(NOON);
    let line = bench.start();
    (0..50).for_each(|_| line.observe(0, row(b"canary-unit-7c1f", 0), &POLICY));
    assert!(line.flush_now()[0].result.is_ok());
    drop(line);
    let mut searched = 0;
    for entry in [bench.settings().ledger].into_iter().chain(bench.files()) {
        let bytes = fs::read(&entry).unwrap();
        searched += bytes.len();
        assert!(!bytes.windows(16).any(|window| window == b"canary-unit-7c1f"), "{}", entry.display());
    }
    assert!(searched > 1000);
}

#[test]
fn a_ledger_that_goes_with_the_pod_starts_no_export() {
    let bench = Bench::of(&export("1h"), NOON);
    let settings = Settings { lifetime: Lifetime::of_pod("it is on overlay".to_owned()), ..bench.settings() };
    let log: Arc<dyn DpEvidence> = Arc::clone(&bench.log) as _;
    let started = ExportLine::start(&bench.plans, POLICY, &settings, Arc::clone(&bench.clock) as _, log);
    assert!(matches!(started, Err(CannotStart::NotDurable { .. })));
    assert!(!settings.ledger.exists() && !settings.output.exists(), "nothing is begun that would be forgotten");
}

/// A line may run without a budget, for reports alone; a policy that brings one does not slip in.
#[test]
fn a_ledger_that_goes_with_the_pod_takes_up_no_export_either() {
    let bench = Bench::of(&export("1h"), NOON);
    let settings = Settings { lifetime: Lifetime::of_pod("it is on overlay".to_owned()), ..bench.settings() };
    let log: Arc<dyn DpEvidence> = Arc::clone(&bench.log) as _;
    let started = ExportLine::start(&Plans::default(), POLICY, &settings, Arc::clone(&bench.clock) as _, log);
    let line = started.unwrap();
    let adopted = line.adopt(&bench.plans, NEXT_POLICY, PolicyChange::Loosens);
    assert!(matches!(adopted, Err(CannotStart::NotDurable { .. })));
    bench.clock.set(NOON + 3600);
    line.observe(0, row(b"u-1", 0), &NEXT_POLICY);
    bench.clock.set(NOON + 7200);
    assert!(line.drain().is_empty(), "no window was opened");
    let query = Arc::clone(&bench.plans.exports[0].query);
    let (window, cells) = (query.schedule.tiling().window_at(NOON), Exact::new(Cells::declared(1, vec![1, 2, 3])));
    assert!(matches!(line.post(query, NEXT_POLICY, window, cells), Err(Withheld::Forgetful(_))));
    assert!(bench.log.charges.lock().unwrap().is_empty());
}
