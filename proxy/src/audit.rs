//! The audit step: what is about to leave is recorded first.
//!
//! Promise: [`Recorder::append`] returns a [`BatchRef`] only when the release it
//! stands for is recorded as the durability setting asks: on disk in `sync`,
//! within a lease that is on disk in `lease`. Without one nothing may be sent.
//! Every request and every release is accounted for even when its future is
//! dropped half way, because [`Arrival`] and [`BatchRef`] settle themselves.
//!
//! The request path takes one short lock and adds numbers. One thread of its own
//! writes: it swaps the numbers out, writes one group, waits for the disk once,
//! and wakes everybody whose numbers were in it.

mod running;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use privet_audit_log::counts::{Delta, Fate, NUMBER_MAX};
use privet_audit_log::policies::{self, Files};
use privet_audit_log::record::{
    Declaration, DpCharge, DpDelta, DpLocal, DpRelease, DpStage, Name, NameKind, PolicyLoad, PolicyRefused, Record,
};
use privet_audit_log::{Durability, LEAF_CLASSES, LEAF_MS, Log, Moment, OpenError, Recovered, Settings, Work};
use privet_dp::digest::Digest;
use privet_dp::loss::Measure;
use privet_dp::mechanism::Stage;
use thiserror::Error;
use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::export::{self as evidence, ChargeEvidence, DpEvidence, ReleaseEvidence};
pub use running::{PolicyChange, Running, Sums};

/// While nothing happens the writer looks for due heartbeats and checkpoints this often.
const IDLE_MS: u64 = 1000;
/// How long closing may take; a disk that hangs must not keep the pod from ending.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);
/// A disk that failed is tried again this often.
const RETRY_MS: u64 = 1000;
/// Releases without an outcome, by batch and destination, that may be open at once.
const OUTSTANDING_MAX: u64 = 65_536;

/// Why something cannot be recorded, and therefore must not leave.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum CannotRecord {
    /// The disk failed; the operator's log has the chain.
    #[error("the enforcement log cannot be written")]
    Disk,
    /// The sidecar is shutting down.
    #[error("the enforcement log is closed")]
    Closed,
    /// More classes, policies or names than a log numbers.
    #[error("the enforcement log has no number left for another class, policy or name")]
    Numbers,
    /// Too many releases wait for an outcome, or too many classes for the disk.
    #[error("the enforcement log has too much outstanding")]
    Outstanding,
    /// Counts that do not add up: a defect of the sidecar, which fails closed.
    #[error("the counts to record do not add up")]
    Miscounted,
    /// A class document that is not canonical JSON, or a policy file with an impossible name.
    #[error("the class document or policy bundle cannot be stored as evidence")]
    Malformed,
}

/// Why a request was refused, as batches count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedAs {
    /// The body, or the request around it, cannot be parsed.
    Unparseable,
    /// Too many bytes, events or levels.
    TooLarge,
    /// A content coding or type that the listener does not take.
    Unsupported,
    /// A path or method that is no event endpoint.
    NoSuchEndpoint,
    /// The sender may not send here.
    Unauthorized,
    /// A bound was reached: memory, connections or rate.
    Overloaded,
    /// No policy is in force.
    NotReady,
    /// The log could not be written.
    CannotRecord,
    /// The primary destination did not take it.
    DestinationFailed,
    /// It took too long.
    TimedOut,
    /// A defect of the sidecar.
    Internal,
}

impl RefusedAs {
    /// All of them, by number.
    pub const ALL: [Self; 11] = [
        Self::Unparseable,
        Self::TooLarge,
        Self::Unsupported,
        Self::NoSuchEndpoint,
        Self::Unauthorized,
        Self::Overloaded,
        Self::NotReady,
        Self::CannotRecord,
        Self::DestinationFailed,
        Self::TimedOut,
        Self::Internal,
    ];

    /// The name that the log and the metrics use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unparseable => "unparseable",
            Self::TooLarge => "too_large",
            Self::Unsupported => "unsupported",
            Self::NoSuchEndpoint => "no_such_endpoint",
            Self::Unauthorized => "unauthorized",
            Self::Overloaded => "overloaded",
            Self::NotReady => "not_ready",
            Self::CannotRecord => "cannot_record",
            Self::DestinationFailed => "destination_failed",
            Self::TimedOut => "timed_out",
            Self::Internal => "internal",
        }
    }
}

/// Tells, once, whether what waits for it is on disk.
type Durable = oneshot::Receiver<Result<(), CannotRecord>>;

/// The number of a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DestNo(u32);

/// The number of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerNo(u32);

/// The number of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PolicyNo(u32);

/// The number of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClassNo(u32);

/// What a destination did with events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Took them.
    Acknowledged,
    /// Refused them, or they were given up before sending.
    Refused,
    /// Perhaps got them; nobody said.
    Unknown,
}

/// Counts by number, the first few without an allocation.
#[derive(Clone, Debug, Default)]
struct Few {
    inline: [(u32, u64); 6],
    used: usize,
    rest: Vec<(u32, u64)>,
}

impl Few {
    fn add(&mut self, number: u32, count: u64) {
        if count == 0 {
            return;
        }
        let known = self.inline.iter_mut().take(self.used).chain(&mut self.rest).find(|(n, _)| *n == number);
        if let Some((_, sum)) = known {
            *sum += count;
        } else if let Some(slot) = self.inline.get_mut(self.used) {
            *slot = (number, count);
            self.used += 1;
        } else {
            self.rest.push((number, count));
        }
    }

    fn iter(&self) -> impl Iterator<Item = (u32, u64)> {
        self.inline.iter().take(self.used).chain(&self.rest).copied()
    }

    fn slot(&mut self, number: u32) -> Option<&mut u64> {
        let slots = self.inline.iter_mut().take(self.used).chain(&mut self.rest);
        slots.into_iter().find(|(n, _)| *n == number).map(|(_, count)| count)
    }

    fn sum(&self) -> u64 {
        self.iter().map(|(_, count)| count).sum()
    }
}

/// The decisions about one request's events, in numbers.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    kept: u64,
    dropped: u64,
    classes: Few,
    released: Few,
}

impl Tally {
    /// Counts events of a class that leave for at least one destination.
    pub fn kept(&mut self, class: ClassNo, events: u64) {
        self.kept += events;
        self.classes.add(class.0, events);
    }

    /// Counts events of a class that leave for none: dropped, unmatched or invalid.
    pub fn dropped(&mut self, class: ClassNo, events: u64) {
        self.dropped += events;
        self.classes.add(class.0, events);
    }

    /// Counts kept events that leave for this destination.
    pub fn released(&mut self, destination: DestNo, events: u64) {
        self.released.add(destination.0, events);
    }

    /// Each destination's share of the kept events covers them all together and none exceeds them.
    fn adds_up(&self, events: u64) -> bool {
        let most = self.released.iter().map(|(_, count)| count).max().unwrap_or(0);
        self.kept + self.dropped == events && most <= self.kept && self.released.sum() >= self.kept
    }
}

enum Command {
    Record(Box<Record>, oneshot::Sender<Result<(), CannotRecord>>),
    Close(oneshot::Sender<Result<(), CannotRecord>>),
}

/// What the request path and the writer share. Lock: [`Shared::state`].
struct State {
    delta: Delta,
    batch: u64,
    /// Released since the last durable commit, in events.
    unsynced: u64,
    waiters: Vec<oneshot::Sender<Result<(), CannotRecord>>>,
    commands: Vec<Command>,
    numbers: Numbers,
    kicked: bool,
    healthy: bool,
    closed: bool,
}

#[derive(Default)]
struct Numbers {
    destinations: HashMap<String, u32>,
    listeners: HashMap<String, u32>,
    policies: HashMap<String, u32>,
    classes: HashMap<(u32, Arc<str>), u32>,
}

struct Shared {
    state: Mutex<State>,
    /// Locked by the writer between commits and by whoever shows it, by no request.
    running: Mutex<Running>,
    wake: Condvar,
    healthy: AtomicBool,
    outstanding: AtomicU64,
    lease: u64,
    log_dir: std::path::PathBuf,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds to the counts; the writer takes them at its next turn.
    fn count(&self, change: impl FnOnce(&mut Delta)) {
        change(&mut self.lock().delta);
    }

    fn command(&self, command: Command) {
        self.lock().commands.push(command);
        self.wake.notify_one();
    }
}

/// Ends the writer when the last recorder is gone.
struct Owner(Arc<Shared>);

impl Drop for Owner {
    fn drop(&mut self) {
        let (done, _) = oneshot::channel();
        self.0.command(Command::Close(done));
    }
}

/// Records; cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    shared: Arc<Shared>,
    _owner: Arc<Owner>,
}

impl Recorder {
    /// Opens the log, ending the incarnation before, and starts the writer.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(mut settings: Settings, clock: Arc<dyn Clock>) -> Result<(Self, Recovered), OpenError> {
        settings.refusals = RefusedAs::ALL.iter().map(|refusal| refusal.name().to_owned()).collect();
        let lease = match settings.durability {
            Durability::Sync => 0,
            Durability::Lease { events } => events,
        };
        let log_dir = settings.dir.clone();
        let (log, recovered) = Log::open(settings, moment(clock.as_ref()))?;
        let state = State {
            delta: Delta::default(),
            batch: 1,
            unsynced: 0,
            waiters: Vec::new(),
            commands: Vec::new(),
            numbers: Numbers::default(),
            kicked: false,
            healthy: true,
            closed: false,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            running: Mutex::new(Running::of(&log, recovered.policy.clone())),
            wake: Condvar::new(),
            healthy: AtomicBool::new(true),
            outstanding: AtomicU64::new(0),
            lease,
            log_dir: log_dir.clone(),
        });
        let writer = Writer { log, shared: shared.clone(), clock, owed: None, retry_at: Duration::ZERO };
        thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run())
            .map_err(|source| OpenError::Disk { doing: "start the writer of the log", at: log_dir, source })?;
        let owner = Arc::new(Owner(shared.clone()));
        Ok((Self { shared, _owner: owner }, recovered))
    }

    /// Whether the log can be written; while not, every request is refused.
    #[must_use]
    pub fn healthy(&self) -> bool {
        self.shared.healthy.load(Ordering::Relaxed)
    }

    /// What the log of this process holds so far.
    #[must_use]
    pub fn running(&self) -> Running {
        self.shared.running.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The number of a destination, declared at its first use.
    ///
    /// # Errors
    /// [`CannotRecord::Numbers`].
    pub fn destination(&self, name: &str) -> Result<DestNo, CannotRecord> {
        let mut state = self.shared.lock();
        let n = number_for(&mut state.numbers.destinations, name)?;
        if n.fresh {
            state.delta.declared.push(named(NameKind::Destination, n.value, name));
        }
        Ok(DestNo(n.value))
    }

    /// The number of a listener, declared at its first use.
    ///
    /// # Errors
    /// [`CannotRecord::Numbers`].
    pub fn listener(&self, name: &str) -> Result<ListenerNo, CannotRecord> {
        let mut state = self.shared.lock();
        let n = number_for(&mut state.numbers.listeners, name)?;
        if n.fresh {
            state.delta.declared.push(named(NameKind::Listener, n.value, name));
        }
        Ok(ListenerNo(n.value))
    }

    /// Stores a policy's files beside the log and records that it is in force, and who signed it.
    /// Blocks on the disk: call it where reloading happens, not in a request.
    ///
    /// # Errors
    /// The files cannot be stored, or there is no number left.
    pub fn policy_loaded(&self, digest: &str, files: &Files, signers: Vec<String>) -> Result<PolicyNo, CannotRecord> {
        let stored = policies::store(&self.shared.log_dir, 0, digest, files).map_err(|error| {
            tracing::error!(error = %error, "cannot keep the policy bundle as evidence");
            match error {
                policies::BundleError::Disk { .. } => CannotRecord::Disk,
                _ => CannotRecord::Malformed,
            }
        })?;
        let mut state = self.shared.lock();
        let n = number_for(&mut state.numbers.policies, digest)?.value;
        state.delta.declared.push(Declaration::Policy(PolicyLoad { n, signers, ..stored }));
        Ok(PolicyNo(n))
    }

    /// Records that a policy was not taken. It is written with the next commit, and
    /// kept until then: while the log cannot be written nothing passes anyway.
    pub fn policy_refused(&self, refused: PolicyRefused) {
        self.shared.count(|delta| delta.declared.push(Declaration::Refused(refused)));
    }

    /// The number of a class, declared at its first use. `doc` is its canonical JSON.
    /// Callers keep the number with the plan it belongs to.
    ///
    /// # Errors
    /// Not canonical, or no number left.
    pub fn class(&self, policy: PolicyNo, doc: &str) -> Result<ClassNo, CannotRecord> {
        let doc: Arc<str> = doc.into();
        let key = (policy.0, doc.clone());
        let mut state = self.shared.lock();
        if let Some(n) = state.numbers.classes.get(&key) {
            return Ok(ClassNo(*n));
        }
        privet_audit_log::canonical::check(doc.as_bytes()).map_err(|_| CannotRecord::Malformed)?;
        let n = u32::try_from(state.numbers.classes.len()).ok().filter(|n| *n < NUMBER_MAX);
        let n = n.ok_or(CannotRecord::Numbers)?;
        state.numbers.classes.insert(key, n);
        state.delta.declared.push(Declaration::Class { n, policy: policy.0, doc });
        Ok(ClassNo(n))
    }

    /// Counts a request that came in with a body of so many bytes. The arrival is in
    /// flight until it is answered or refused; dropped, it counts as aborted.
    pub fn arrived(&self, listener: ListenerNo, body_bytes: u64) -> Arrival {
        self.shared.count(|delta| {
            delta.arrivals.requests += 1;
            delta.arrivals.bytes += body_bytes;
            delta.arrivals.listeners.add(listener.0, 1);
        });
        Arrival { recorder: self.clone(), undecided: 0, end: End::Aborted }
    }

    /// Records the decisions about all of a request's events, before any of them leaves.
    ///
    /// In `lease` durability this returns at once while the lease lasts.
    ///
    /// # Errors
    /// Nothing may leave then.
    pub async fn append(&self, arrival: &mut Arrival, tally: &Tally) -> Result<BatchRef, CannotRecord> {
        let (batch, wait) = self.enter(arrival, tally)?;
        // Until it is durable, what this stands for has not been sent.
        let mut batch =
            BatchRef { recorder: self.clone(), batch, open: tally.released.clone(), at_drop: Delivery::Refused };
        if let Some(wait) = wait {
            wait.await.unwrap_or(Err(CannotRecord::Disk))?;
        }
        batch.at_drop = Delivery::Unknown;
        Ok(batch)
    }

    fn enter(&self, arrival: &mut Arrival, tally: &Tally) -> Result<(u64, Option<Durable>), CannotRecord> {
        if !tally.adds_up(arrival.undecided) {
            return Err(CannotRecord::Miscounted);
        }
        let mut state = self.shared.lock();
        self.admit(&state)?;
        let decisions = &mut state.delta.decisions;
        decisions.kept += tally.kept;
        decisions.dropped += tally.dropped;
        tally.classes.iter().for_each(|(class, events)| decisions.classes.add(class, events));
        tally.released.iter().for_each(|(to, events)| decisions.released.add(to, events));
        arrival.undecided = 0;
        let batch = state.batch;
        if state.unsynced + tally.kept <= self.shared.lease && self.shared.lease > 0 {
            state.unsynced += tally.kept;
            if state.unsynced > self.shared.lease / 2 && !state.kicked {
                state.kicked = true;
                self.shared.wake.notify_one();
            }
            return Ok((batch, None));
        }
        let (done, wait) = oneshot::channel();
        state.waiters.push(done);
        drop(state);
        self.shared.wake.notify_one();
        Ok((batch, Some(wait)))
    }

    fn admit(&self, state: &State) -> Result<(), CannotRecord> {
        if state.closed {
            Err(CannotRecord::Closed)
        } else if !state.healthy {
            Err(CannotRecord::Disk)
        } else if self.shared.outstanding.load(Ordering::Relaxed) >= OUTSTANDING_MAX
            || state.delta.decisions.classes.len() >= LEAF_CLASSES
        {
            Err(CannotRecord::Outstanding)
        } else {
            Ok(())
        }
    }

    /// Records a spend, durably and under a signed checkpoint, before it is used.
    ///
    /// # Errors
    /// The release must not happen then.
    pub async fn dp_charge(&self, charge: DpCharge) -> Result<(), CannotRecord> {
        self.record(Record::DpCharge(charge)).await
    }

    /// Records a release, durably and under a signed checkpoint, before it is published.
    ///
    /// # Errors
    /// It must not be published then.
    pub async fn dp_release(&self, release: DpRelease) -> Result<(), CannotRecord> {
        self.record(Record::DpRelease(release)).await
    }

    async fn record(&self, record: Record) -> Result<(), CannotRecord> {
        self.ask(record).await.unwrap_or(Err(CannotRecord::Closed))
    }

    fn ask(&self, record: Record) -> oneshot::Receiver<Result<(), CannotRecord>> {
        let (done, wait) = oneshot::channel();
        self.shared.command(Command::Record(Box::new(record), done));
        wait
    }

    /// For a thread of its own: blocks until the record is durable.
    fn record_blocking(&self, record: Record) -> Result<(), evidence::CannotRecord> {
        let answer = self.ask(record).blocking_recv().unwrap_or(Err(CannotRecord::Closed));
        answer.map_err(|error| evidence::CannotRecord(Box::new(error)))
    }

    /// Ends the log: folds what is open, writes the `close` record and the last checkpoint.
    ///
    /// # Errors
    /// The next start recovers what could not be written.
    pub async fn close(self) -> Result<(), CannotRecord> {
        let (done, wait) = oneshot::channel();
        self.shared.command(Command::Close(done));
        match tokio::time::timeout(CLOSE_WITHIN, wait).await {
            Ok(closed) => closed.unwrap_or(Err(CannotRecord::Closed)),
            Err(_) => Err(CannotRecord::Disk),
        }
    }
}

impl DpEvidence for Recorder {
    fn charge(&self, charge: &ChargeEvidence) -> Result<(), evidence::CannotRecord> {
        let measure = match charge.budget.limit.measure() {
            Measure::Pure => "pure",
            Measure::Zcdp => "zcdp",
        };
        self.record_blocking(Record::DpCharge(DpCharge {
            account: charge.budget_name.clone(),
            export: charge.export.clone(),
            release: charge.release.to_string(),
            policy: Digest(charge.policy).to_string(),
            start: charge.window.start_secs(),
            end: charge.window.end().as_second(),
            horizon: charge.budget.horizon.secs(),
            measure: measure.to_owned(),
            amount: charge.spent_after.nano.saturating_sub(charge.spent_before.nano),
            before: charge.spent_before.nano,
            after: charge.spent_after.nano,
            cap: charge.budget.limit.nano(),
            delta: DpDelta {
                amount: charge.spent_after.delta_pico.saturating_sub(charge.spent_before.delta_pico),
                before: charge.spent_before.delta_pico,
                after: charge.spent_after.delta_pico,
                cap: charge.budget.limit.delta_pico(),
            },
            stages: charge.stages.iter().map(stage_record).collect(),
            keys_per_unit: charge.keys_per_unit,
            rows_per_key: charge.rows_per_key,
        }))
    }

    fn release(&self, release: &ReleaseEvidence) -> Result<(), evidence::CannotRecord> {
        self.record_blocking(Record::DpRelease(DpRelease {
            export: release.export.clone(),
            release: release.release.to_string(),
            start: release.window.start_secs(),
            end: release.window.end().as_second(),
            output: release.receipt_sha256.to_string(),
            local: release.local.as_ref().map(|local| DpLocal {
                method: local.method.clone(),
                answers: local.answers,
                epsilon: local.epsilon_nano,
            }),
        }))
    }
}

fn stage_record(stage: &Stage) -> DpStage {
    DpStage {
        part: stage.part().name().to_owned(),
        noise: stage.noise().name().to_owned(),
        scale: stage.scale().to_string(),
    }
}

struct Numbered {
    value: u32,
    fresh: bool,
}

fn number_for(known: &mut HashMap<String, u32>, name: &str) -> Result<Numbered, CannotRecord> {
    if let Some(value) = known.get(name) {
        return Ok(Numbered { value: *value, fresh: false });
    }
    let value = u32::try_from(known.len()).ok().filter(|n| *n < NUMBER_MAX).ok_or(CannotRecord::Numbers)?;
    known.insert(name.to_owned(), value);
    Ok(Numbered { value, fresh: true })
}

fn named(kind: NameKind, n: u32, name: &str) -> Declaration {
    Declaration::Name(Name { kind, n, name: name.to_owned() })
}

fn moment(clock: &dyn Clock) -> Moment {
    let mono = clock.monotonic().as_millis();
    Moment { wall_ms: clock.now().as_millisecond(), mono_ms: u64::try_from(mono).unwrap_or(u64::MAX) }
}

#[derive(Clone, Copy)]
enum End {
    Answered,
    Refused(RefusedAs),
    Aborted,
}

/// A request in flight.
#[must_use = "dropped, it counts as aborted"]
pub struct Arrival {
    recorder: Recorder,
    undecided: u64,
    end: End,
}

impl Arrival {
    /// Counts the events decoded from the request. They are decided by one
    /// [`Recorder::append`], or withheld when the request ends without.
    pub fn decoded(&mut self, events: u64) {
        self.undecided += events;
        self.recorder.shared.count(|delta| delta.arrivals.events += events);
    }

    /// The request was answered as its destination or the policy wanted.
    pub fn answered(mut self) {
        self.end = End::Answered;
    }

    /// The request was refused.
    pub fn refused(mut self, refusal: RefusedAs) {
        self.end = End::Refused(refusal);
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        let (end, withheld) = (self.end, self.undecided);
        self.recorder.shared.count(|delta| {
            delta.arrivals.withheld += withheld;
            match end {
                End::Answered => delta.arrivals.answered += 1,
                End::Refused(refusal) => delta.arrivals.refused.add(refusal as u32, 1),
                End::Aborted => delta.arrivals.aborted += 1,
            }
        });
    }
}

/// Releases that are recorded and may be sent. Dropped, what has no outcome is unknown.
#[must_use = "dropped, its releases count as unknown"]
pub struct BatchRef {
    recorder: Recorder,
    batch: u64,
    open: Few,
    at_drop: Delivery,
}

impl BatchRef {
    /// Says what became of events at a destination; more than were released there are ignored.
    pub fn outcome(&mut self, destination: DestNo, delivery: Delivery, events: u64) {
        let Some(open) = self.open.slot(destination.0) else { return };
        let events = events.min(*open);
        *open -= events;
        self.settle(&[(destination.0, events)], delivery);
    }

    /// Takes one destination's share, for a copy that is sent on its own.
    pub fn split(&mut self, destination: DestNo) -> Self {
        let mut share = Few::default();
        if let Some(open) = self.open.slot(destination.0) {
            share.add(destination.0, std::mem::take(open));
        }
        Self { recorder: self.recorder.clone(), batch: self.batch, open: share, at_drop: self.at_drop }
    }

    /// How many events were released to a destination and have no outcome here.
    #[must_use]
    pub fn open(&self, destination: DestNo) -> u64 {
        self.open.iter().find(|(n, _)| *n == destination.0).map_or(0, |(_, events)| events)
    }

    fn settle(&self, rows: &[(u32, u64)], delivery: Delivery) {
        let batch = self.batch;
        self.recorder.shared.count(|delta| {
            for (destination, events) in rows.iter().filter(|(_, events)| *events > 0) {
                let fate = match delivery {
                    Delivery::Acknowledged => Fate { acknowledged: *events, ..Fate::default() },
                    Delivery::Refused => Fate { refused: *events, ..Fate::default() },
                    Delivery::Unknown => Fate { unknown: *events, ..Fate::default() },
                };
                delta.fates.entry((batch, *destination)).or_default().add(fate);
            }
        });
    }
}

impl Drop for BatchRef {
    fn drop(&mut self) {
        if self.open.sum() > 0 {
            let rows: Vec<(u32, u64)> = self.open.iter().collect();
            self.settle(&rows, self.at_drop);
        }
    }
}

/// Owns the log, on a thread of its own.
struct Writer {
    log: Log,
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    /// Work that a failing disk did not take; it goes before anything newer.
    owed: Option<Work>,
    /// When the failing disk is tried again, on the clock's monotonic time.
    retry_at: Duration,
}

/// What one turn took from the request path.
struct Turn {
    work: Work,
    waiters: Vec<oneshot::Sender<Result<(), CannotRecord>>>,
    recorded: Vec<oneshot::Sender<Result<(), CannotRecord>>>,
    close: Option<oneshot::Sender<Result<(), CannotRecord>>>,
    covered: u64,
}

/// If the writer ends for whatever reason, nothing may leave any more.
struct Deathbed(Arc<Shared>);

impl Drop for Deathbed {
    fn drop(&mut self) {
        self.0.healthy.store(false, Ordering::Relaxed);
        let mut state = self.0.lock();
        state.closed = true;
        state.waiters.clear();
        state.commands.clear();
    }
}

impl Writer {
    fn run(mut self) {
        let _deathbed = Deathbed(self.shared.clone());
        loop {
            if !self.pay_owed() {
                if self.refuse_waiting() {
                    return;
                }
                thread::sleep(Duration::from_millis(LEAF_MS));
                continue;
            }
            let turn = self.take_turn();
            if let Some(done) = turn.close {
                let _ = done.send(self.close(turn.work));
                return;
            }
            self.write(turn);
        }
    }

    /// Waits until there is something to do, and takes it.
    fn take_turn(&mut self) -> Turn {
        let mut state = self.shared.lock();
        if !is_urgent(&state) {
            let pause = if state.delta.is_empty() { IDLE_MS } else { LEAF_MS };
            let pause = Duration::from_millis(pause);
            let waited = self.shared.wake.wait_timeout_while(state, pause, |state| !is_urgent(state));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let now = moment(self.clock.as_ref());
        let cut = self.log.is_batch_due(&state.delta, now);
        if cut {
            state.batch += 1;
        }
        state.kicked = false;
        let mut turn = Turn {
            work: Work { delta: std::mem::take(&mut state.delta), cut, ..Work::default() },
            waiters: std::mem::take(&mut state.waiters),
            recorded: Vec::new(),
            close: None,
            covered: state.unsynced,
        };
        for command in std::mem::take(&mut state.commands) {
            match command {
                Command::Record(record, done) => {
                    turn.work.records.push(*record);
                    turn.work.checkpoint = true;
                    turn.recorded.push(done);
                }
                Command::Close(done) => turn.close = Some(done),
            }
        }
        state.closed |= turn.close.is_some();
        turn
    }

    fn write(&mut self, turn: Turn) {
        let Turn { mut work, waiters, recorded, covered, .. } = turn;
        let done = self.commit(&work);
        if done.is_ok() {
            let mut state = self.shared.lock();
            state.unsynced = state.unsynced.saturating_sub(covered);
        } else {
            // What was asked to be recorded by itself was refused; the counts are owed.
            work.records.clear();
            work.checkpoint = false;
            self.owed = Some(work);
        }
        for waiter in waiters.into_iter().chain(recorded) {
            let _ = waiter.send(done);
        }
    }

    fn commit(&mut self, work: &Work) -> Result<(), CannotRecord> {
        let done = self.log.commit(work, moment(self.clock.as_ref()));
        self.shared.outstanding.store(self.log.outstanding() as u64, Ordering::Relaxed);
        let healthy = self.log.is_healthy();
        if self.shared.healthy.swap(healthy, Ordering::Relaxed) != healthy {
            self.shared.lock().healthy = healthy;
        }
        if done.is_ok() {
            self.shared.running.lock().unwrap_or_else(PoisonError::into_inner).committed(work, &self.log);
        }
        if let Err(error) = &done {
            tracing::error!(error = %error, "cannot record; requests are refused until the log can be written");
        }
        done.map_err(|_| CannotRecord::Disk)
    }

    /// Writes what an earlier failure left; `false` while the disk still refuses.
    fn pay_owed(&mut self) -> bool {
        let Some(work) = self.owed.take() else { return true };
        let now = self.clock.monotonic();
        let due = now >= self.retry_at;
        if due && self.commit(&work).is_ok() {
            return true;
        }
        if due {
            self.retry_at = now + Duration::from_millis(RETRY_MS);
        }
        self.owed = Some(work);
        false
    }

    /// Answers everybody who waits; whether somebody wants the log closed, which it cannot be.
    fn refuse_waiting(&self) -> bool {
        let mut state = self.shared.lock();
        let waiters = std::mem::take(&mut state.waiters);
        let commands = std::mem::take(&mut state.commands);
        drop(state);
        let closing = commands.iter().any(|command| matches!(command, Command::Close(_)));
        let commands = commands.into_iter().map(|command| match command {
            Command::Record(_, done) | Command::Close(done) => done,
        });
        for waiter in waiters.into_iter().chain(commands) {
            let _ = waiter.send(Err(CannotRecord::Disk));
        }
        closing
    }

    fn close(self, work: Work) -> Result<(), CannotRecord> {
        let now = moment(self.clock.as_ref());
        self.log.close(&work.delta, now).map_err(|error| {
            tracing::error!(error = %error, "cannot close the log; the next start recovers it");
            CannotRecord::Disk
        })
    }
}

fn is_urgent(state: &State) -> bool {
    state.kicked || !state.waiters.is_empty() || !state.commands.is_empty()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::AtomicBool;

    use privet_audit_log::note::VerifierKey;
    use privet_audit_log::verify::{Options, Report, verify};
    use privet_audit_log::{DiskOp, Gate};

    use super::*;
    use crate::clock::SystemClock;

    fn settings(root: &Path, durability: Durability) -> Settings {
        let mut settings = Settings::new(root.join("log"), "privet.example/test");
        settings.anchor = Some(root.join("anchor"));
        settings.durability = durability;
        settings.reserve_bytes = 4096;
        settings
    }

    fn open(settings: Settings) -> Recorder {
        Recorder::open(settings, Arc::new(SystemClock::default())).unwrap().0
    }

    fn check(root: &Path) -> Report {
        let keys = VerifierKey::parse_all(&std::fs::read_to_string(root.join("anchor/vkey")).unwrap()).unwrap();
        let anchor = std::fs::read_to_string(root.join("anchor/checkpoint")).unwrap();
        let report =
            verify(&root.join("log"), &Options { keys: Some(keys), anchor: Some(anchor), ..Options::default() })
                .unwrap();
        assert!(report.is_clean(), "{:#?}", report.findings);
        report
    }

    struct Named {
        listener: ListenerNo,
        to: DestNo,
        class: ClassNo,
        dropped: ClassNo,
    }

    fn name(recorder: &Recorder) -> Named {
        let files = Files::from([("rules.yaml".to_owned(), b"kind: Rule".to_vec())]);
        let policy = recorder.policy_loaded(&"a".repeat(64), &files, Vec::new()).unwrap();
        Named {
            listener: recorder.listener("events").unwrap(),
            to: recorder.destination("collector").unwrap(),
            class: recorder.class(policy, r#"{"outcome":"ruled"}"#).unwrap(),
            dropped: recorder.class(policy, r#"{"outcome":"unmatched"}"#).unwrap(),
        }
    }

    fn tally(named: &Named, kept: u64, dropped: u64) -> Tally {
        let mut tally = Tally::default();
        tally.kept(named.class, kept);
        tally.dropped(named.dropped, dropped);
        tally.released(named.to, kept);
        tally
    }

    async fn carry(recorder: &Recorder, named: &Named) {
        let mut arrival = recorder.arrived(named.listener, 1200);
        arrival.decoded(10);
        let mut batch = recorder.append(&mut arrival, &tally(named, 8, 2)).await.unwrap();
        batch.outcome(named.to, Delivery::Acknowledged, 8);
        arrival.answered();
    }

    #[tokio::test]
    async fn what_passes_is_what_the_log_says() {
        for durability in [Durability::Sync, Durability::Lease { events: 1000 }] {
            let root = tempfile::tempdir().unwrap();
            let recorder = open(settings(root.path(), durability));
            let named = name(&recorder);
            for _ in 0..50 {
                carry(&recorder, &named).await;
            }
            recorder.arrived(named.listener, 9).refused(RefusedAs::Unparseable);
            let mut withheld = recorder.arrived(named.listener, 9);
            withheld.decoded(3);
            withheld.refused(RefusedAs::Overloaded);
            recorder.close().await.unwrap();
            let report = check(root.path());
            let totals = &report.totals;
            assert_eq!((totals.requests, totals.answered, totals.aborted), (52, 50, 0));
            assert_eq!((totals.refused["unparseable"], totals.refused["overloaded"]), (1, 1));
            assert_eq!((totals.events, totals.kept, totals.dropped, totals.withheld), (503, 400, 100, 3));
            assert_eq!(report.destinations["collector"].acknowledged, 400);
        }
    }

    #[tokio::test]
    async fn dropped_half_way_everything_still_settles() {
        let root = tempfile::tempdir().unwrap();
        let recorder = open(settings(root.path(), Durability::Sync));
        let named = name(&recorder);
        let mut arrival = recorder.arrived(named.listener, 1);
        arrival.decoded(4);
        drop(arrival);
        let mut arrival = recorder.arrived(named.listener, 1);
        arrival.decoded(10);
        let batch = recorder.append(&mut arrival, &tally(&named, 8, 2)).await.unwrap();
        drop((batch, arrival));
        let mut arrival = recorder.arrived(named.listener, 1);
        arrival.decoded(10);
        {
            let tally = tally(&named, 8, 2);
            let mut append = Box::pin(recorder.append(&mut arrival, &tally));
            let once = std::future::poll_fn(|context| std::task::Poll::Ready(append.as_mut().poll(context).is_ready()));
            assert!(!once.await, "sync waits for the disk");
        }
        drop(arrival);
        recorder.close().await.unwrap();
        let report = check(root.path());
        assert_eq!((report.totals.aborted, report.totals.withheld), (3, 4));
        let collector = &report.destinations["collector"];
        assert_eq!((collector.released, collector.unknown, collector.refused), (16, 8, 8));
    }

    #[tokio::test]
    async fn a_failing_disk_refuses_and_nothing_is_counted_twice() {
        for durability in [Durability::Sync, Durability::Lease { events: 16 }] {
            let root = tempfile::tempdir().unwrap();
            let full = Arc::new(AtomicBool::new(false));
            let mut settings = settings(root.path(), durability);
            let seen = full.clone();
            settings.gate = Gate::new(move |op| {
                let fails = seen.load(Ordering::Relaxed) && op != DiskOp::Publish;
                if fails { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(()) }
            });
            let recorder = open(settings);
            let named = name(&recorder);
            carry(&recorder, &named).await;
            full.store(true, Ordering::Relaxed);
            let mut refused = 0;
            for _ in 0..20 {
                let mut arrival = recorder.arrived(named.listener, 1);
                arrival.decoded(10);
                if recorder.append(&mut arrival, &tally(&named, 8, 2)).await.is_err() {
                    refused += 1;
                    arrival.refused(RefusedAs::CannotRecord);
                } else {
                    arrival.answered();
                }
            }
            assert!(refused >= 17, "{refused} refused: at most a lease of 16 events may pass");
            assert!(!recorder.healthy());
            full.store(false, Ordering::Relaxed);
            while !recorder.healthy() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            carry(&recorder, &named).await;
            recorder.close().await.unwrap();
            let report = check(root.path());
            assert_eq!(report.totals.requests, 22);
            assert_eq!(report.totals.refused["cannot_record"], refused);
            assert_eq!(report.totals.events, 220);
            assert!(report.gaps.iter().any(|gap| gap.code == "unwritable"));
        }
    }

    #[tokio::test]
    async fn a_tally_that_does_not_add_up_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let recorder = open(settings(root.path(), Durability::Sync));
        let named = name(&recorder);
        let mut arrival = recorder.arrived(named.listener, 1);
        arrival.decoded(9);
        let wrong = recorder.append(&mut arrival, &tally(&named, 8, 2)).await.map(drop);
        assert_eq!(wrong, Err(CannotRecord::Miscounted));
        drop(arrival);
        recorder.close().await.unwrap();
        assert_eq!(check(root.path()).totals.withheld, 9);
    }

    #[tokio::test]
    async fn a_name_keeps_its_number_and_a_policy_that_comes_back_too() {
        let root = tempfile::tempdir().unwrap();
        let recorder = open(settings(root.path(), Durability::Sync));
        let first = name(&recorder);
        let again = name(&recorder);
        assert_eq!((first.listener, first.to, first.class), (again.listener, again.to, again.class));
        carry(&recorder, &again).await;
        assert_eq!(recorder.class(PolicyNo(0), "{ }"), Err(CannotRecord::Malformed));
        recorder.close().await.unwrap();
        assert_eq!(check(root.path()).policies[0].loads, 2);
    }

    /// Prints what the evidence of one event costs; run with `--release --ignored --nocapture`.
    #[tokio::test]
    #[ignore = "a measurement"]
    async fn cost_of_evidence_in_lease_mode() {
        for each in [1_u64, 20, 200] {
            let root = tempfile::tempdir().unwrap();
            let mut settings = settings(root.path(), Durability::Lease { events: 1 << 20 });
            settings.reserve_bytes = 1 << 20;
            let recorder = open(settings);
            let named = name(&recorder);
            let requests = 2_000_000 / each;
            let begun = std::time::Instant::now();
            for _ in 0..requests {
                let mut arrival = recorder.arrived(named.listener, 1200 * each);
                arrival.decoded(each);
                let mut batch = recorder.append(&mut arrival, &tally(&named, each, 0)).await.unwrap();
                batch.outcome(named.to, Delivery::Acknowledged, each);
                arrival.answered();
            }
            let spent = begun.elapsed();
            let nanos = spent.as_nanos() as f64 / (requests * each) as f64;
            println!("{each} events a request: {nanos:.1} ns an event, {:.0} ns a request", nanos * each as f64);
            recorder.close().await.unwrap();
            let report = check(root.path());
            assert_eq!(report.totals.events, requests * each);
        }
    }
}
