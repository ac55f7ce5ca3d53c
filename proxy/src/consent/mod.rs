//! The consent store: what people decided earlier, for all pods of a fleet.
//!
//! Promise: no id reaches the store, only keys that nobody without the fleet's secret can
//! make. What the store does not tell in time is unavailable, never absent; an event waits
//! for it no longer than configured, and one whose subjects were asked about a moment ago
//! does not wait. A change by another pod is heard; while changes cannot be heard, nothing
//! is believed for more than a second. Memory is bounded: the cache, the look-ups under
//! way, the refusals that wait to be written.
//!
//! Not here: what decisions mean for an event (`privet_policy::consent`), and what people
//! refused in this process alone ([`crate::remember`]).

mod breaker;
mod cache;
mod debt;
pub mod desk;
mod embedded;
mod flights;
mod known;
mod listener;
mod owing;
mod postgres;
mod recollection;
mod record;
mod redis;
mod slots;
mod subject;
mod writer;

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use privet_policy::consent::{Memory, Stored};
use privet_policy::decide::Refusal;
use privet_policy::policy::{Policy, PurposeNo};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

pub use embedded::OpenError;
pub use recollection::{Answers, Recollection};
pub use record::{EVERYTHING, Fact, NotARecord, Record};
pub use subject::{SubjectKey, SubjectKeys};

use crate::admin::Health;
use crate::clock::Clock;
use crate::config::{self, Consent};
use crate::contained::contained;
use crate::keys::Keyring;
pub use crate::link::CannotLink;
use crate::link::Link;
use crate::metrics::{ConsentFailure, ConsentLookup, Metrics};
use crate::remember;
use crate::tasks::TaskSet;
use breaker::Breaker;
use cache::Reading;
use debt::Debt;
use embedded::Embedded;
use flights::Landing;
use known::Known;
use listener::Listener;
use postgres::Postgres;
use redis::Redis;
use writer::Writer;

/// How long a record is believed while changes are not heard.
const UNHEARD: Duration = Duration::from_millis(800);
/// How often it is made sure that changes are heard.
const HEARTBEAT_EVERY: Duration = Duration::from_millis(250);
/// How long after a heartbeat was sent its answer still says that changes are heard.
const HEARD_FOR: Duration = Duration::from_millis(800);
/// How long a change may take to be written: nobody's event waits for it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a start waits for the store.
const ATTACH_TIMEOUT: Duration = Duration::from_secs(3);
/// How often one question is put again because the record changed while it was read.
const LOOK_UPS_MAX: usize = 4;
/// Before listening is tried again.
const LISTEN_AGAIN: Duration = Duration::from_millis(250);

/// Why the store gave no answer. Holds no key and no value.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No secret for subjects' keys yet, or not the store's.
    #[error("the store is not usable yet")]
    Locked,
    /// It failed so often that it is let alone for a moment.
    #[error("the store failed several times and is let alone for a moment")]
    Resting,
    /// It did not answer in time.
    #[error("the store did not answer in time")]
    TimedOut,
    /// It cannot be reached.
    #[error("cannot connect to the store")]
    Connect(#[source] std::io::Error),
    /// The connection ended.
    #[error("the connection to the store ended")]
    Lost,
    /// It takes nobody new.
    #[error("the store is full")]
    Full,
    /// It holds something else.
    #[error(transparent)]
    NotARecord(#[from] NotARecord),
    /// It was written under another secret.
    #[error(
        "the store was first used with a keyring of which this one has no epoch: put the epoch's file back, or use an empty store"
    )]
    OtherSecret,
    /// What was in it is gone.
    #[error("the store was emptied while this process ran: restore it, or restart the pods if nothing was lost")]
    Emptied,
    /// Anything else.
    #[error("cannot {doing}")]
    Failed {
        /// What was being done.
        doing: &'static str,
        /// What the store said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl From<tokio::time::error::Elapsed> for StoreError {
    fn from(_: tokio::time::error::Elapsed) -> Self {
        Self::TimedOut
    }
}

impl StoreError {
    const NOT_A_RECORD: Self = Self::NotARecord(NotARecord);

    const fn counted(&self) -> ConsentFailure {
        match self {
            Self::TimedOut => ConsentFailure::TimedOut,
            Self::Connect(_) | Self::Lost => ConsentFailure::Connection,
            Self::Full => ConsentFailure::Full,
            Self::NotARecord(_) => ConsentFailure::Unreadable,
            Self::Resting => ConsentFailure::Resting,
            Self::Locked | Self::OtherSecret | Self::Emptied => ConsentFailure::Locked,
            Self::Failed { .. } => ConsentFailure::Failed,
        }
    }
}

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub enum CannotOpen {
    /// The embedded store's file.
    #[error("cannot open the embedded store")]
    Embedded(#[from] OpenError),
    /// A store on another machine.
    #[error("cannot set up the store")]
    Link(#[from] CannotLink),
    /// The token of the administrator.
    #[error("cannot read the token in `{file}`")]
    Token {
        /// Which file.
        file: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The system gave no random bytes.
    #[error("the system gives no random bytes")]
    NoRandomness,
}

/// What the store stands on.
pub struct Ground {
    /// What `/readyz` tells.
    pub health: Arc<Health>,
    /// Where things are counted.
    pub metrics: Arc<Metrics>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

/// Spawns what the store's connections need, wherever it is asked from.
#[derive(Clone)]
struct Workers {
    tasks: TaskSet,
    runtime: Handle,
}

impl Workers {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn_on(task, &self.runtime);
    }
}

/// The kinds of store.
enum Backend {
    Embedded(Embedded),
    Redis(Redis),
    Postgres(Postgres),
}

/// The consent store; clones share it.
#[derive(Clone)]
pub struct ConsentStore(Arc<Shared>);

struct Shared {
    backend: Backend,
    known: Arc<Known>,
    breaker: Breaker,
    writer: Writer,
    /// Held while a batch is written.
    writing: tokio::sync::Mutex<()>,
    workers: Workers,
    health: Arc<Health>,
    /// What was said last of why the store is not heard.
    said: Mutex<Option<String>>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    /// How long an event waits, all in all.
    timeout: Duration,
    fresh: Duration,
    /// Set once, by the first keyring that has the store's secret.
    keys: OnceLock<SubjectKeys>,
    /// The secrets that may be the store's.
    candidates: Mutex<Vec<SubjectKeys>>,
    /// Whether somebody listens already.
    listening: AtomicBool,
    /// Whether the store can be asked: its secret is known to be ours.
    attached: AtomicBool,
    /// Whether it was attached before: then it must not be empty of its check.
    was_attached: AtomicBool,
    /// Whether refusals are still there when this process is not.
    lasts: AtomicBool,
    /// Until when changes are heard, in milliseconds on the monotonic clock.
    heard_until_ms: AtomicU64,
    /// Refusals that the store has not.
    debt: Debt,
}

impl ConsentStore {
    /// Opens the store and begins to listen for changes. Inside of a runtime, which then serves it.
    ///
    /// # Errors
    /// [`CannotOpen`] where a file is missing or wrong. A store on another machine that cannot be reached
    /// is no error: it is unavailable until it can be.
    pub fn open(settings: &Consent, ground: Ground) -> Result<Self, CannotOpen> {
        let workers = Workers { tasks: TaskSet::new(), runtime: Handle::current() };
        let origin = origin().ok_or(CannotOpen::NoRandomness)?;
        let mut lasts = true;
        let backend = match &settings.store {
            config::Store::Embedded(embedded) => {
                let store = Embedded::open(&embedded.directory, embedded.subjects_max)?;
                lasts = embedded.only_pod;
                Backend::Embedded(store)
            }
            config::Store::Redis(remote) => Backend::Redis(Redis::new(Link::new(remote)?, workers.clone(), origin)),
            config::Store::PostgreSql(remote) => {
                Backend::Postgres(Postgres::new(Link::new(remote)?, workers.clone(), origin))
            }
        };
        let shared = Arc::new(Shared {
            backend,
            known: Arc::new(Known::of_bytes(settings.cache_bytes_max)),
            breaker: Breaker::default(),
            writer: Writer::default(),
            writing: tokio::sync::Mutex::default(),
            workers,
            health: ground.health,
            said: Mutex::default(),
            metrics: ground.metrics,
            clock: ground.clock,
            timeout: settings.timeout,
            fresh: settings.fresh,
            keys: OnceLock::new(),
            candidates: Mutex::default(),
            listening: AtomicBool::new(false),
            attached: AtomicBool::new(false),
            was_attached: AtomicBool::new(false),
            lasts: AtomicBool::new(lasts),
            heard_until_ms: AtomicU64::new(0),
            debt: Debt::default(),
        });
        let store = Self(shared);
        store.0.workers.spawn(store.clone().write_refusals());
        Ok(store)
    }

    /// Takes the secrets that may be the store's, and attaches to it in the background.
    /// What comes later than the first keyring changes nothing: subjects' keys do not rotate.
    ///
    /// # Errors
    /// In words, where an embedded store is another secret's.
    pub fn unlock(&self, keyring: Option<&Keyring>, settings: &Consent) -> Result<(), CannotOpen> {
        let mut candidates = self.0.candidates.lock().unwrap_or_else(PoisonError::into_inner);
        if self.0.keys.get().is_some() {
            return Ok(());
        }
        let first = !self.0.listening.swap(true, Ordering::AcqRel);
        candidates.clear();
        candidates.extend(keyring.into_iter().flat_map(Keyring::subject_keys));
        if let config::Store::Embedded(embedded) = &settings.store {
            let beside = embedded::secret_beside(&embedded.directory, false)?;
            candidates.extend(beside.map(|secret| secret.subject_keys()));
        }
        if let (true, config::Store::Embedded(embedded)) = (candidates.is_empty(), &settings.store) {
            let made = embedded::secret_beside(&embedded.directory, true)?;
            candidates.extend(made.map(|secret| secret.subject_keys()));
        }
        drop(candidates);
        if let Backend::Embedded(store) = &self.0.backend {
            self.0.attach_embedded(store);
        } else if first {
            self.0.workers.spawn(self.clone().keep_listening());
        }
        Ok(())
    }

    /// Whether silence may permit, as far as the store goes.
    #[must_use]
    pub fn memory(&self) -> Memory {
        let lasting = self.0.lasts.load(Ordering::Acquire) && !self.0.debt.is_open();
        if lasting { Memory::Lasting } else { Memory::Forgetful }
    }

    /// The store as one policy and one pass over a request's events see it. `answers` are those
    /// that were fetched for this request.
    #[must_use]
    pub fn recollection<'a>(
        &'a self,
        policy: &'a Policy,
        remembered: remember::Under<'a>,
        answers: &'a Answers,
    ) -> Recollection<'a> {
        Recollection { store: &self.0, policy, remembered, answers, missed: RefCell::default() }
    }

    /// Asks the store about subjects, until a time. Each has an answer afterwards. Of what was answered before,
    /// it asks again about what may have changed since.
    pub async fn ask(&self, mut missed: Vec<SubjectKey>, answers: &mut Answers, until: Instant) {
        missed.extend(answers.doubtful(&self.0));
        missed.sort_unstable();
        missed.dedup();
        let found = self.0.look_up(self, missed.clone(), until).await;
        for key in missed {
            let answer = found.get(&key).cloned();
            let counted = if answer.is_some() { ConsentLookup::Stored } else { ConsentLookup::Unavailable };
            self.0.metrics.consent_lookups.of(counted).increment(1);
            answers.0.insert(key, answer);
        }
    }

    /// Until when a request that comes now waits.
    #[must_use]
    pub fn patience(&self) -> Instant {
        Instant::now() + self.0.timeout
    }

    /// Has a refusal on the wire written under each of its subjects, soon and without waiting. It counts from now on.
    pub fn keep(&self, policy: &Policy, refusal: &Refusal, at_ms: i64) {
        let names = refusal.purposes.iter().map(|purpose| Fact::refused_on_the_wire(policy.purpose_name(purpose)));
        let learned = Record::of(names, at_ms);
        for subject in &refusal.subjects {
            let taken = match self.0.keys.get() {
                Some(keys) => self.0.writer.take(keys.of(subject), &learned),
                None => self.0.writer.take_nameless(subject, &learned),
            };
            if !taken {
                self.0.lost(1);
            }
        }
    }

    /// Calls back for each refusal of a subject that waits to be stored.
    pub fn waiting(&self, id: &str, policy: &Policy, each: &mut dyn FnMut(PurposeNo, Stored)) {
        if let Ok(key) = self.0.key_of(id) {
            self.0.writer.look(&key, |waiting| waiting.recall(policy, each));
        }
    }

    /// What is stored of a subject, asked anew.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn show(&self, id: &str) -> Result<Record, StoreError> {
        let key = self.0.key_of(id)?;
        let store = self.clone();
        let mut found = self.0.run(async move { store.0.read(&[key]).await }).await?;
        Ok(found.pop().unwrap_or_default())
    }

    /// Merges what was learned of a subject into its record. Once this returns, this process knows it.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing may be relied on.
    pub async fn learn(&self, id: &str, learned: Record) -> Result<(), StoreError> {
        let key = self.0.key_of(id)?;
        let store = self.clone();
        let unfit = self.0.run(async move { store.0.merge(&[(key, learned)]).await }).await?;
        if unfit.is_empty() { Ok(()) } else { Err(self.0.failed(StoreError::Full)) }
    }

    /// Forgets of a subject what can be forgotten without more leaving for it, and tells what stays.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing may be relied on.
    pub async fn erase(&self, id: &str) -> Result<Record, StoreError> {
        let key = self.0.key_of(id)?;
        let known = self.show(id).await?;
        let gone = known.forgettable();
        if !gone.is_empty() {
            let (store, gone) = (self.clone(), gone.clone());
            self.0.run(async move { store.0.remove(key, &gone).await }).await?;
        }
        Ok(known.without(&gone))
    }

    /// Waits until the store can be asked, for a moment at most, so that the first events after a start are not
    /// unavailable. Tells whether it can.
    pub async fn until_attached(&self) -> bool {
        let until = Instant::now() + ATTACH_TIMEOUT;
        while !self.0.attached.load(Ordering::Acquire) && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.0.attached.load(Ordering::Acquire)
    }

    /// Writes what waits, for a moment at most, and ends every connection.
    pub async fn close(&self) {
        timeout_at(Instant::now() + WRITE_TIMEOUT, self.0.write_waiting()).await.ok();
        let unwritten = self.0.writer.waiting();
        if unwritten > 0 {
            self.0.lost(unwritten);
            let told = timeout_at(Instant::now() + WRITE_TIMEOUT, self.0.tell_debt()).await;
            let store_knows = matches!(told, Ok(Ok(())));
            tracing::error!(
                unwritten,
                store_knows,
                "the consent store did not take refusals of this many subjects before the end: they are lost"
            );
        }
        self.0.workers.tasks.finish(Duration::ZERO).await;
    }

    async fn keep_listening(self) {
        let listener = Listener(Arc::clone(&self.0));
        loop {
            let error = match &self.0.backend {
                Backend::Embedded(_) => return,
                Backend::Redis(store) => contained(store.listen(&listener)).await,
                Backend::Postgres(store) => contained(store.listen(&listener)).await,
            };
            self.0.detached(&error.unwrap_or(StoreError::Lost));
            tokio::time::sleep(LISTEN_AGAIN).await;
        }
    }
}

impl Shared {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.clock.monotonic().as_millis()).unwrap_or(u64::MAX)
    }

    fn key_of(&self, id: &str) -> Result<SubjectKey, StoreError> {
        Ok(self.keys.get().ok_or(StoreError::Locked)?.of(id))
    }

    /// How old a record may be now.
    fn age_ms_max(&self, now_ms: u64) -> u64 {
        let heard = now_ms < self.heard_until_ms.load(Ordering::Acquire);
        let most = if heard { self.fresh } else { UNHEARD.min(self.fresh) };
        u64::try_from(most.as_millis()).unwrap_or(u64::MAX)
    }

    /// Runs in the store's own runtime, whoever asks, and to its end, even if that gives up.
    async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (tell, told) = tokio::sync::oneshot::channel();
        self.workers.spawn(async move {
            // Whoever asked may have left.
            tell.send(work.await).ok();
        });
        told.await.unwrap_or(Err(StoreError::Lost))
    }

    /// One question to the store: bounded in time, through the breaker, counted.
    async fn guarded<T>(
        &self,
        within: Duration,
        question: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        if !self.attached.load(Ordering::Acquire) {
            return Err(self.failed(StoreError::Locked));
        }
        if !self.breaker.admits(self.clock.monotonic()) {
            return Err(self.failed(StoreError::Resting));
        }
        let begun = std::time::Instant::now();
        let answer = tokio::time::timeout(within, question).await.unwrap_or(Err(StoreError::TimedOut));
        self.metrics.consent_seconds.record(begun.elapsed());
        match &answer {
            // A store that answers so is there.
            Ok(_) | Err(StoreError::Full | StoreError::NotARecord(_)) => self.breaker.succeeded(),
            Err(_) => self.breaker.failed(self.clock.monotonic()),
        }
        self.metrics.consent_resting.set(f64::from(u8::from(self.breaker.is_open())));
        answer.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: StoreError) -> StoreError {
        self.metrics.consent_failures.of(error.counted()).increment(1);
        error
    }

    async fn read(&self, keys: &[SubjectKey]) -> Result<Vec<Record>, StoreError> {
        let question = async {
            match &self.backend {
                Backend::Embedded(store) => {
                    let (store, keys) = (store.clone(), keys.to_vec());
                    blocking(move || store.read(&keys)).await
                }
                Backend::Redis(store) => store.read(keys).await,
                Backend::Postgres(store) => store.read(keys).await,
            }
        };
        self.guarded(self.timeout, question).await
    }

    /// Merges what was learned. Tells for which subjects there was no room, where there was for others.
    async fn merge(&self, changes: &[(SubjectKey, Record)]) -> Result<Vec<SubjectKey>, StoreError> {
        let question = async {
            match &self.backend {
                Backend::Embedded(store) => {
                    let (store, changes, known) = (store.clone(), changes.to_vec(), Arc::clone(&self.known));
                    blocking(move || {
                        let merged = store.merge(&changes);
                        // Whoever waited for it may have given up, and others may have read meanwhile.
                        changes.iter().for_each(|(key, _)| known.forget(key));
                        merged
                    })
                    .await
                }
                Backend::Redis(store) => store.merge(changes).await.map(|()| Vec::new()),
                Backend::Postgres(store) => store.merge(changes).await.map(|()| Vec::new()),
            }
        };
        let merged = self.guarded(WRITE_TIMEOUT.max(self.timeout), question).await;
        // Where it failed, it may have been written all the same.
        changes.iter().for_each(|(key, _)| self.known.forget(key));
        merged
    }

    async fn remove(&self, key: SubjectKey, gone: &Record) -> Result<(), StoreError> {
        let question = async {
            match &self.backend {
                Backend::Embedded(store) => {
                    let (store, gone, known) = (store.clone(), gone.clone(), Arc::clone(&self.known));
                    blocking(move || {
                        let removed = store.remove(key, &gone);
                        known.forget(&key);
                        removed
                    })
                    .await
                }
                Backend::Redis(store) => store.remove(key, gone).await,
                Backend::Postgres(store) => store.remove(key, gone).await,
            }
        };
        let removed = self.guarded(WRITE_TIMEOUT.max(self.timeout), question).await;
        self.known.forget(&key);
        removed
    }

    /// Reads records, and again what changed while it was read.
    async fn look_up(
        &self,
        store: &ConsentStore,
        mut keys: Vec<SubjectKey>,
        until: Instant,
    ) -> HashMap<SubjectKey, Reading> {
        let mut found = HashMap::new();
        for _ in 0..LOOK_UPS_MAX {
            let landings = self.landings(store, &keys, until).await;
            for landing in &landings {
                found.extend(landing.records.iter().map(|(key, reading)| (*key, reading.clone())));
            }
            let overtaken = |key: &SubjectKey| landings.iter().any(|landing| landing.overtaken.contains(key));
            keys.retain(|key| !found.contains_key(key) && overtaken(key));
            if keys.is_empty() {
                break;
            }
        }
        found
    }

    /// Asks about subjects through the look-ups that are under way already, and waits for their answers.
    async fn landings(&self, store: &ConsentStore, keys: &[SubjectKey], until: Instant) -> Vec<Arc<Landing>> {
        let (new, mut awaited) = self.known.board(keys);
        if let Some((mut flight, keys)) = new {
            awaited.push(flight.passenger());
            let store = store.clone();
            self.workers.spawn(async move {
                let readings = contained(store.0.readings(&keys)).await.ok().flatten();
                store.0.known.land(flight, &keys, readings);
            });
        }
        let mut landings = Vec::with_capacity(awaited.len());
        for passenger in awaited {
            landings.extend(timeout_at(until, passenger.arrival()).await.ok().flatten());
        }
        landings
    }

    /// Reads records. While changes are not heard, an answer that took long may be none any more.
    async fn readings(&self, keys: &[SubjectKey]) -> Option<Vec<Reading>> {
        let begun: Vec<_> = keys.iter().map(|key| self.known.begin(key, self.now_ms())).collect();
        let records = self.read(keys).await.ok()?;
        let now_ms = self.now_ms();
        let age_ms_max = self.age_ms_max(now_ms);
        if begun.iter().any(|begun| begun.is_older_than(age_ms_max, now_ms)) {
            return None;
        }
        Some(
            records.into_iter().zip(begun).map(|(record, begun)| Reading { record: Arc::new(record), begun }).collect(),
        )
    }

    fn attach_embedded(&self, store: &Embedded) {
        match self.choose_secret(|check| store.check_or(check)) {
            Ok(()) => {
                if !store.is_whole() {
                    self.may_forget(Some(&store.not_whole()));
                }
                self.heard_until_ms.store(u64::MAX, Ordering::Release);
                self.attach();
            }
            Err(error) => self.detached(&error),
        }
    }

    /// Takes the candidate that the store was first used with, or the first where the store is new.
    fn choose_secret(&self, check_or: impl FnOnce(&str) -> Result<String, StoreError>) -> Result<(), StoreError> {
        let first = self.first_check()?;
        self.unlocked_by(&check_or(&first)?)
    }

    fn first_check(&self) -> Result<String, StoreError> {
        if let Some(keys) = self.keys.get() {
            return Ok(keys.check());
        }
        let candidates = self.candidates.lock().unwrap_or_else(PoisonError::into_inner);
        candidates.first().map(SubjectKeys::check).ok_or(StoreError::Locked)
    }

    fn unlocked_by(&self, check: &str) -> Result<(), StoreError> {
        let candidates = self.candidates.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = candidates.iter().find(|keys| keys.check() == check).ok_or(StoreError::OtherSecret)?;
        if self.keys.get_or_init(|| fits.clone()).check() == check { Ok(()) } else { Err(StoreError::OtherSecret) }
    }

    fn detached(&self, error: &StoreError) {
        self.heard_until_ms.fetch_min(self.now_ms(), Ordering::AcqRel);
        self.metrics.consent_heard.set(0.0);
        let fatal = matches!(error, StoreError::OtherSecret | StoreError::Emptied);
        if fatal {
            self.attached.store(false, Ordering::Release);
            self.known.clear();
        }
        let why = crate::run::chain(error);
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.as_ref() != Some(&why) {
            tracing::warn!("the consent store is not heard, what needs it is unavailable: {why}");
            self.health.note("consent_store_fault", why.clone());
            *said = Some(why);
        }
    }

    /// Whether refusals may get lost in the store, or were, and why.
    fn may_forget(&self, why: Option<&str>) {
        self.lasts.store(why.is_none(), Ordering::Release);
        match why {
            None => self.health.clear_note("consent_store_forgets"),
            Some(why) => {
                tracing::warn!("the consent store may forget refusals, so silence refuses: {why}");
                self.health.note("consent_store_forgets", why);
            }
        }
    }

    /// The store is asked from now on.
    fn attach(&self) {
        self.attached.store(true, Ordering::Release);
        self.metrics.consent_heard.set(1.0);
        self.health.clear_note("consent_store_fault");
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner).take();
        if said.is_some() {
            tracing::info!("the consent store is heard again");
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(StoreError::Lost))
}

/// A name for this process among those that write: 16 hexadecimal digits.
fn origin() -> Option<String> {
    let bytes: [u8; 8] = ring::rand::generate(&ring::rand::SystemRandom::new()).ok()?.expose();
    Some(format!("{:016x}", u64::from_le_bytes(bytes)))
}
