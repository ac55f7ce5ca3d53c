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

mod arrival;
mod budgets;
mod refusal;
mod retention;
mod running;
mod tally;
mod told;
mod writer;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use privet_audit_log::counts::{Delta, NUMBER_MAX};
use privet_audit_log::note::VerifierKey;
use privet_audit_log::policies::{self, Files};
use privet_audit_log::record::{
    BypassCheck, Declaration, DpCharge, DpRelease, Name, NameKind, PolicyLoad, PolicyRefused, Record,
};
use privet_audit_log::tree::Hash;
use privet_audit_log::{Durability, LEAF_CLASSES, Log, Moment, OpenError, Recovered, Settings};
use thiserror::Error;
use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::export as evidence;

use arrival::End;
use writer::Writer;

pub use arrival::{Arrival, BatchRef, Delivery};
pub use refusal::RefusedAs;
pub use retention::CannotRetire;
pub use running::{PolicyChange, Running, Sums};
pub use tally::Tally;
pub use told::told;

/// How long closing may take; a disk that hangs must not keep the pod from ending.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);
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
    /// The writer sleeps until something is counted.
    idle: bool,
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
    log_dir: PathBuf,
    anchor: Option<PathBuf>,
    verifier: VerifierKey,
    incarnation: u64,
    /// Digests of the policies that this process loaded; locked while bundles are stored or removed.
    bundles: Mutex<BTreeSet<String>>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bundles(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.bundles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds to the counts; the writer takes them at its next turn.
    fn count(&self, change: impl FnOnce(&mut Delta)) {
        let mut state = self.lock();
        change(&mut state.delta);
        if std::mem::take(&mut state.idle) {
            drop(state);
            self.wake.notify_one();
        }
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
        let (log_dir, anchor) = (settings.dir.clone(), settings.anchor.clone());
        let (log, recovered) = Log::open(settings, moment(clock.as_ref()))?;
        let state = State {
            delta: Delta::default(),
            batch: 1,
            unsynced: 0,
            waiters: Vec::new(),
            commands: Vec::new(),
            numbers: Numbers::default(),
            kicked: false,
            idle: false,
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
            anchor,
            verifier: log.verifier().clone(),
            incarnation: recovered.incarnation,
            bundles: Mutex::default(),
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

    /// The key that checks what this process signs.
    #[must_use]
    pub fn verifier(&self) -> &VerifierKey {
        &self.shared.verifier
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
        let mut bundles = self.shared.bundles();
        let stored = policies::store(&self.shared.log_dir, 0, digest, files).map_err(|error| {
            tracing::error!(error = %error, "cannot keep the policy bundle as evidence");
            match error {
                policies::BundleError::Disk { .. } => CannotRecord::Disk,
                _ => CannotRecord::Malformed,
            }
        })?;
        bundles.insert(digest.to_owned());
        drop(bundles);
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
        self.until_durable(batch, tally, wait).await
    }

    /// Records the decisions about the events of an auditor's challenge as [`Recorder::append`] does, and
    /// beside them that they were one. `token` is the hash of the token that came with them. It is on disk,
    /// under a signed checkpoint, when this returns, in `lease` durability too.
    ///
    /// # Errors
    /// Nothing may leave then.
    pub async fn challenge(&self, arrival: &mut Arrival, tally: &Tally, token: Hash) -> Result<BatchRef, CannotRecord> {
        let (batch, wait) = self.enter_challenge(arrival, tally, token)?;
        self.until_durable(batch, tally, Some(wait)).await
    }

    async fn until_durable(&self, batch: u64, tally: &Tally, wait: Option<Durable>) -> Result<BatchRef, CannotRecord> {
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
        let mut state = self.decide(arrival, tally)?;
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

    fn enter_challenge(
        &self,
        arrival: &mut Arrival,
        tally: &Tally,
        token: Hash,
    ) -> Result<(u64, Durable), CannotRecord> {
        let mut state = self.decide(arrival, tally)?;
        let batch = state.batch;
        let challenge = tally.challenge(token, batch);
        let (done, wait) = oneshot::channel();
        // Under the lock that counted its events, so that the writer takes both or neither.
        state.commands.push(Command::Record(Box::new(Record::Challenge(challenge)), done));
        drop(state);
        self.shared.wake.notify_one();
        Ok((batch, wait))
    }

    /// Counts the decisions about a request; the writer has not seen them while the guard lives.
    fn decide(&self, arrival: &mut Arrival, tally: &Tally) -> Result<MutexGuard<'_, State>, CannotRecord> {
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
        Ok(state)
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

    /// Records what was seen of the pod's sockets. Due each [`privet_audit_log::record::BYPASS_CHECK_MS`]
    /// where the configuration asks for it.
    ///
    /// # Errors
    /// It is not in the log; look again, and record that.
    pub async fn bypass_check(&self, check: BypassCheck) -> Result<(), CannotRecord> {
        self.record(Record::BypassCheck(check)).await
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

#[cfg(test)]
mod faults;
#[cfg(test)]
mod tests;
