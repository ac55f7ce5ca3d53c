//! The sidecar put together: configuration in, a running line out.
//!
//! Promise: a policy or keyring that cannot be used changes nothing that runs;
//! without one that can, nothing passes.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use privet_audit_log::record::PolicyRefused;
use privet_audit_log::{Durability, Settings};
use privet_dp::fleet::Fleet;
use privet_policy::consent::Memory;
use privet_policy::policy::Policy;
use tokio::sync::Notify;

use crate::admin::Health;
use crate::audit::{Recorder, told};
use crate::bearer::Token;
use crate::challenges::Challenges;
use crate::clock::Clock;
use crate::config::{self, Config, Signatures};
use crate::consent::desk::{self, Desk};
use crate::consent::{CannotOpen, ConsentStore, Ground};
use crate::console::{self, Console};
use crate::decode::DecodeLimits;
use crate::export::intake::Intake;
use crate::export::{self, ExportLine, Plans, PolicyChange, Watched, volume};
use crate::forward::{Client, Destination, Upstreams};
use crate::keys::Keyring;
use crate::line::{Classes, InForce, Line, Parts};
use crate::metrics::{Label as _, Metrics, Reloaded};
use crate::policies;
use crate::reload::{Files, Place, Source, contents_digest};
use crate::remember::WireRefusals;
use crate::run::{Foundation, chain};
use crate::sentinel::Sentinel;
use crate::shadow::{Board, Shadow};
use crate::ship::{self, CannotShip, Shipper, Shipping};
use crate::signing::{self, Refused};
use crate::transform::Enforcement;

/// Why the sidecar cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum CannotAssemble {
    /// The enforcement log cannot be opened.
    #[error("cannot open the enforcement log")]
    Log(#[from] privet_audit_log::OpenError),
    /// The consent store cannot be opened.
    #[error("cannot set up the consent store")]
    Consent(#[from] CannotOpen),
    /// The auditors' page.
    #[error("cannot open the console")]
    Console(#[from] console::CannotOpen),
    /// The token of whoever posts tables.
    #[error("cannot use `exports.token_file`: cannot read a token in `{file}`")]
    PostingToken {
        /// Which file.
        file: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The enforcement log cannot be shipped at all.
    #[error("cannot set up shipping of the enforcement log")]
    Ship(#[from] CannotShip),
}

/// The line and what loads policies into it.
pub struct Sidecar {
    /// The event line.
    pub line: Arc<Line>,
    /// The log it records in.
    pub recorder: Recorder,
    consent: ConsentStore,
    loader: Arc<Loader>,
    shipping: Option<Shipping>,
}

impl Sidecar {
    /// Opens the log and loads what can be loaded. A policy or keyring that
    /// cannot be used leaves the line closed, with a note that says why.
    ///
    /// # Errors
    /// [`CannotAssemble`] where something of the configuration does not work, and then the log was
    /// not opened; or where it cannot be opened.
    pub fn assemble(config: &Config, foundation: &Foundation) -> Result<Self, CannotAssemble> {
        let Ready { consent, administrator, poster, auditors, shipper } = Ready::make(config, foundation)?;
        let (recorder, recovered) = Recorder::open(log_settings(config), Arc::clone(&foundation.clock))?;
        tracing::info!(incarnation = recovered.incarnation, "enforcement log open");
        let before = recovered.policy.filter(|_| config.signatures.is_some());
        let before = before.and_then(|digest| in_force_before(&config.log.directory, &digest));
        let line = Arc::new(Line::new(Parts {
            recorder: recorder.clone(),
            refusals: WireRefusals::default(),
            consent: Some(consent.clone()),
            metrics: Arc::clone(&foundation.metrics),
            tracer: Arc::clone(&foundation.telemetry.tracer),
            challenges: Challenges::of(config.auditors.clone()),
            limits: DecodeLimits {
                body_bytes_max: config.limits.decoded_bytes_max,
                ratio_max: usize::try_from(config.limits.ratio_max).unwrap_or(usize::MAX),
                ..DecodeLimits::default()
            },
        }));
        if let Some(token) = administrator {
            let (store, clock) = (consent.clone(), Arc::clone(&foundation.clock));
            foundation.consent.open(Desk::new(store, Arc::clone(&line), clock, token));
        }
        if poster.is_some() || config.admin.ip().is_loopback() {
            foundation.intake.open(Intake::new(Arc::clone(&line), Arc::clone(&foundation.clock), poster));
        }
        foundation.console.open(Console::new(config, auditors, Arc::clone(&line), recorder.clone()));
        let exports = export::Settings {
            ledger: export::ledger_in(&config.exports.directory),
            shared: config.exports.shared.clone(),
            lifetime: volume::lifetime(&config.exports),
            output: config.exports.directory.clone(),
            ring: config.exports.ring.clone(),
            publish: config.exports.publish.clone(),
            metrics: Some(Arc::clone(&foundation.metrics)),
            channels: config.log.ship.as_ref().map(config::Ship::channels).unwrap_or_default(),
        };
        foundation.background.spawn(watch_log(
            recorder.clone(),
            Arc::clone(&foundation.health),
            Arc::clone(&foundation.metrics),
        ));
        if let Some(days) = config.log.retention_days {
            foundation.background.spawn(retire_old(recorder.clone(), days, Arc::clone(&foundation.clock)));
        }
        let loader = Arc::new(Loader {
            metrics: Arc::clone(&foundation.metrics),
            line: Arc::clone(&line),
            recorder: recorder.clone(),
            client: Arc::clone(&foundation.client),
            health: Arc::clone(&foundation.health),
            board: Arc::clone(&foundation.shadow),
            clock: Arc::clone(&foundation.clock),
            exports,
            exports_later: AtomicBool::new(false),
            exports_wanted: Notify::new(),
            stopping: AtomicBool::new(false),
            consent: (consent.clone(), config.consent.clone()),
            signatures: config.signatures.clone(),
            current: Mutex::new(Current { before, ..Current::default() }),
        });
        if let Some(expected) = config.bypass.clone() {
            let sentinel = Sentinel {
                expected,
                line: Arc::clone(&line),
                recorder: recorder.clone(),
                health: Arc::clone(&foundation.health),
                metrics: Arc::clone(&foundation.metrics),
                clock: Arc::clone(&foundation.clock),
            };
            foundation.background.spawn(sentinel.run());
        }
        foundation.background.spawn(watch_memory(Arc::clone(&loader)));
        foundation.background.spawn(watch_exports(Arc::clone(&loader)));
        let shipping = shipper.map(|shipper| Shipping::start(shipper, recorder.verifier())).transpose()?;
        Ok(Self { line, recorder, consent, loader, shipping })
    }

    /// Sends what goes to any destination to one address instead. The policy, and
    /// so its digest, stays what it is: for demonstrations only.
    pub(crate) fn send_everything_to(&self, url: String) {
        self.loader.lock().instead = Some(url);
    }

    /// Loads policies and keyring as they are now, and gives what to watch from here on.
    #[must_use]
    pub fn load(&self, config: &Config) -> Vec<(Source, [u8; 32])> {
        let mut sources = Vec::new();
        let keyring = config.keyring.as_deref().map(Place::everything_in);
        if keyring.is_none() {
            let note = "no keyring is configured: pseudonyms use a random key, so they join with nothing else";
            tracing::warn!("{note}");
            self.loader.health.note("keyring", note);
            self.loader.lock().keyring = Keyring::random().ok().map(Arc::new);
            self.loader.unlock_consent(None);
        }
        for (what, place) in keyring
            .map(|place| (Reloaded::Keyring, place))
            .into_iter()
            .chain([(Reloaded::Policies, Place::policies(&config.policies))])
            .chain(config.shadow.as_deref().map(|shadow| (Reloaded::Shadow, Place::policies(shadow))))
        {
            let loaded = self.first_load(what, &place).unwrap_or_default();
            let loader = Arc::clone(&self.loader);
            let apply = Box::new(move |files: Files| loader.apply(what, &files));
            sources.push((Source { what, place, apply }, loaded));
        }
        sources
    }

    /// The digest of the files that are in force now; `None` when they are not usable.
    fn first_load(&self, what: Reloaded, place: &Place) -> Option<[u8; 32]> {
        let files = place.read().map_err(|error| error.to_string());
        let applied = files.and_then(|files| self.loader.apply(what, &files).map(|_| contents_digest(&files)));
        applied
            .map_err(|why| {
                if what == Reloaded::Shadow {
                    tracing::error!("the policy in shadow is not usable, which changes nothing else:\n{why}");
                    return self.loader.health.note("shadow", why);
                }
                tracing::error!(what = ?what, "not usable, nothing passes until it is:\n{why}");
                let why = why.lines().next().unwrap_or_default();
                self.loader.health.note("start", format!("nothing passes, {} not usable: {why}", what.value()));
            })
            .ok()
    }

    /// Waits for the consent store, for a moment at most: whoever opens the doors before loses the first events.
    pub async fn settle(&self) {
        if !self.consent.until_attached().await {
            tracing::warn!("starting without the consent store: what could be refused is unavailable until it answers");
        }
    }

    /// Has what people refused written, ends the exports and closes the log.
    ///
    /// # Errors
    /// What the log could not write.
    pub async fn close(self) -> Result<(), crate::audit::CannotRecord> {
        self.loader.stopping.store(true, Ordering::Relaxed);
        self.consent.close().await;
        let line = Arc::clone(&self.line);
        // Dropping the export line joins its thread, which may be waiting for the log.
        tokio::task::spawn_blocking(move || end_exports(&line)).await.ok();
        let closed = self.recorder.close().await;
        // Joins the thread that ships the last of the log, for a few seconds at most.
        let shipping = self.shipping;
        tokio::task::spawn_blocking(move || drop(shipping)).await.ok();
        closed
    }
}

/// What of the configuration may turn out not to work, made before the log is opened: a start that
/// fails here leaves no trace in it.
struct Ready {
    consent: ConsentStore,
    /// Who may read and change decisions.
    administrator: Option<Token>,
    /// Who may post tables.
    poster: Option<Token>,
    /// Who may read the console.
    auditors: console::Access,
    shipper: Option<Shipper>,
}

impl Ready {
    fn make(config: &Config, foundation: &Foundation) -> Result<Self, CannotAssemble> {
        let administrator = config.consent.token_file.as_deref().map(desk::token).transpose()?;
        let poster = config.exports.token_file.as_deref().map(posting_token).transpose()?;
        let auditors = console::Access::of(&config.console, config.admin)?;
        let shipper = config.log.ship.as_ref().map(|ship| shipper(ship, config, foundation)).transpose()?;
        let ground = Ground {
            health: Arc::clone(&foundation.health),
            metrics: Arc::clone(&foundation.metrics),
            clock: Arc::clone(&foundation.clock),
        };
        let consent = ConsentStore::open(&config.consent, ground)?;
        Ok(Self { consent, administrator, poster, auditors, shipper })
    }
}

fn posting_token(file: &Path) -> Result<Token, CannotAssemble> {
    Token::in_file(file).map_err(|source| CannotAssemble::PostingToken { file: file.display().to_string(), source })
}

fn shipper(ship: &config::Ship, config: &Config, foundation: &Foundation) -> Result<Shipper, CannotShip> {
    Shipper::new(ship::Parts {
        ship: ship.clone(),
        log: config.log.directory.clone(),
        origin: config.log.origin.clone(),
        keys: ship::anchored_keys(&config.log.anchor_dir)?,
        health: Arc::clone(&foundation.health),
        metrics: Arc::clone(&foundation.metrics),
        clock: Arc::clone(&foundation.clock),
    })
}

/// Publishes what may be published of the open windows, and ends the export line.
fn end_exports(line: &Line) {
    if let Some(exports) = line.exports() {
        // The noise thread has told of each what became of it.
        drop(exports.drain());
    }
    line.stop_exports();
}

/// Keeps what is said of silence in step with whether the consent store remembers for all.
async fn watch_memory(loader: Arc<Loader>) {
    let mut every = tokio::time::interval(LOG_WATCH_EVERY);
    let mut known = loader.consent.0.memory();
    loop {
        every.tick().await;
        let memory = loader.consent.0.memory();
        if memory != known {
            known = memory;
            if let Some(in_force) = loader.line.in_force() {
                loader.tell_memory(&in_force.enforcement.policy);
            }
        }
    }
}

/// Starts exports whose ledger has to be waited for: at once where a policy wants them, and
/// again where it could not be had.
async fn watch_exports(loader: Arc<Loader>) {
    loop {
        // What is wanted in the meantime is found by the next look.
        tokio::time::timeout(EXPORTS_RETRY_EVERY, loader.exports_wanted.notified()).await.ok();
        let loader = Arc::clone(&loader);
        // Waits for PostgreSQL, and for whoever is loading a policy.
        tokio::task::spawn_blocking(move || loader.adopt_exports_later()).await.ok();
    }
}

/// How often exports are tried again whose ledger could not be had.
const EXPORTS_RETRY_EVERY: Duration = Duration::from_secs(5);

/// How often the log's health, and the consent store's memory, are looked at.
const LOG_WATCH_EVERY: Duration = Duration::from_millis(500);

/// Keeps `/readyz` and the metric in step with whether the log can be written.
async fn watch_log(recorder: Recorder, health: Arc<Health>, metrics: Arc<Metrics>) {
    let mut every = tokio::time::interval(LOG_WATCH_EVERY);
    let mut known = true;
    loop {
        every.tick().await;
        let healthy = recorder.healthy();
        if healthy != known {
            known = healthy;
            health.log_fault((!healthy).then(|| "the enforcement log cannot be written".to_owned()));
            metrics.log_writable.set(f64::from(u8::from(healthy)));
        }
    }
}

/// How often incarnations are looked for that are old enough to go.
const RETIRE_EVERY: Duration = Duration::from_secs(3_600);

/// Removes old incarnations of the log, at the start and once an hour. How old they are goes by the time of
/// the start and what has passed since: a clock that is set ahead later makes nothing older.
async fn retire_old(recorder: Recorder, days: NonZeroU32, clock: Arc<dyn Clock>) {
    let (began, from) = (clock.now(), clock.monotonic());
    let mut every = tokio::time::interval(RETIRE_EVERY);
    loop {
        every.tick().await;
        let passed = i64::try_from(clock.monotonic().saturating_sub(from).as_millis()).unwrap_or(i64::MAX);
        let now_ms = began.as_millisecond().saturating_add(passed);
        let recorder = recorder.clone();
        match tokio::task::spawn_blocking(move || recorder.retire(days.get(), now_ms)).await {
            Ok(Ok(removed)) if removed.incarnations > 0 => {
                tracing::info!(incarnations = removed.incarnations, policies = removed.policies, "old log removed");
            }
            Ok(Err(error)) => tracing::error!("old log stays for now: {}", chain(&error)),
            _ => {}
        }
    }
}

fn log_settings(config: &Config) -> Settings {
    let log = &config.log;
    let durability = match log.durability {
        config::Durability::Sync => Durability::Sync,
        config::Durability::Lease(events) => Durability::Lease { events: u64::from(events.get()) },
    };
    Settings {
        anchor: Some(log.anchor_dir.clone()),
        durability,
        config: Some(told(config)),
        ..Settings::new(&log.directory, &log.origin)
    }
}

/// The policy that was in force before this start, as the log has kept it. One that no
/// longer compiles to its digest is as good as unknown.
fn in_force_before(log: &Path, digest: &str) -> Option<Arc<Policy>> {
    let kept = privet_audit_log::policies::bundle_dir(log, digest).ok()?;
    let found = policies::open(&kept).ok().filter(|policy| policy.digest().to_string() == digest);
    if found.is_none() {
        tracing::warn!(digest, "the policy before this start cannot be compared with: any other may let more leave");
    }
    found.map(Arc::new)
}

/// Turns files into what is in force.
struct Loader {
    metrics: Arc<Metrics>,
    line: Arc<Line>,
    recorder: Recorder,
    client: Arc<Client>,
    health: Arc<Health>,
    board: Arc<Board>,
    clock: Arc<dyn Clock>,
    exports: export::Settings,
    /// Whether the exports are off for a reason that may pass, or are still to be started.
    exports_later: AtomicBool,
    /// Told when they are to be started beside what runs.
    exports_wanted: Notify,
    /// Whether the process stops, so that no export starts any more.
    stopping: AtomicBool,
    /// The consent store and how it was configured.
    consent: (ConsentStore, config::Consent),
    signatures: Option<Signatures>,
    /// Locked by whoever loads, never by a request.
    current: Mutex<Current>,
}

/// What was loaded last and is usable.
#[derive(Default)]
struct Current {
    keyring: Option<Arc<Keyring>>,
    policy: Option<CurrentPolicy>,
    /// The policy in shadow.
    shadow: Option<Arc<Policy>>,
    /// What was in force before this start, as far as the log knows.
    before: Option<Arc<Policy>>,
    /// The policy that was refused last, so that it is recorded once.
    refused: Option<Refused>,
    /// Where everything goes instead of the policy's own addresses.
    instead: Option<String>,
}

#[derive(Clone)]
struct CurrentPolicy {
    policy: Arc<Policy>,
    plans: Plans,
    number: crate::audit::PolicyNo,
    classes: Arc<Classes>,
}

impl Loader {
    fn lock(&self) -> std::sync::MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, what: Reloaded, files: &Files) -> Result<String, String> {
        if what == Reloaded::Shadow {
            return self.apply_shadow(files);
        }
        let mut current = self.lock();
        match what {
            Reloaded::Keyring => {
                let keyring = Keyring::read(files).map_err(|error| error.to_string())?;
                self.unlock_consent(Some(&keyring));
                let epoch = format!("epoch {}", keyring.epoch_at(self.clock.now()));
                let before = current.keyring.replace(Arc::new(keyring));
                if let Err(why) = self.enforce(&current) {
                    current.keyring = before;
                    return Err(why);
                }
                Ok(epoch)
            }
            _ => {
                let policy = self.compile(files, &mut current)?;
                let digest = policy.policy.digest().to_string();
                let before = current.policy.replace(policy);
                if let Err(why) = self.enforce(&current) {
                    current.policy = before;
                    return Err(why);
                }
                self.adopt_exports(&current);
                Ok(digest)
            }
        }
    }

    /// Takes a policy in shadow. Nothing leaves by it, so nobody has to have signed it;
    /// a compiler that panics on it must not end the thread that loads the others.
    fn apply_shadow(&self, files: &Files) -> Result<String, String> {
        let compiled = catch_unwind(AssertUnwindSafe(|| {
            let sources = policies::sources(files).map_err(|error| chain(&error))?;
            let loaded = policies::compile(&sources);
            loaded.policy.map(|(policy, _)| policy).ok_or_else(|| policies::errors(&sources, &loaded.diagnostics))
        }));
        let policy = compiled.unwrap_or_else(|_| Err("the compiler panicked, a fault in privet".to_owned()))?;
        let digest = policy.digest().to_string();
        let mut current = self.lock();
        current.shadow = Some(Arc::new(policy));
        if let Some(in_force) = self.line.in_force() {
            in_force.shadow.store(self.shadow_beside(&in_force.enforcement.policy, &current));
        }
        tracing::info!(%digest, "policy in shadow");
        Ok(digest)
    }

    /// The policy in shadow beside one that is enforced, from now on what is shown. Counts
    /// go on as long as both stay what they are.
    fn shadow_beside(&self, enforced: &Arc<Policy>, current: &Current) -> Option<Arc<Shadow>> {
        let shadow = current.shadow.clone()?;
        let running = self.line.in_force().and_then(|in_force| in_force.shadow.load_full());
        if let Some(running) = running.filter(|running| running.is_of(enforced, &shadow)) {
            return Some(running);
        }
        let (since, metrics) = (self.clock.now(), Arc::clone(&self.metrics));
        let shadow = Arc::new(Shadow::beside(Arc::clone(enforced), shadow, since, metrics));
        self.board.show(Some(Arc::clone(&shadow)));
        Some(shadow)
    }

    fn compile(&self, files: &Files, current: &mut Current) -> Result<CurrentPolicy, String> {
        let sources = policies::sources(files).map_err(|error| chain(&error))?;
        let loaded = policies::compile(&sources);
        let Some((policy, plans)) = loaded.policy else {
            return Err(policies::errors(&sources, &loaded.diagnostics));
        };
        let signers = self.signers(files, &policy, current)?;
        let bundle: BTreeMap<String, Vec<u8>> = files.iter().cloned().collect();
        let number = self
            .recorder
            .policy_loaded(&policy.digest().to_string(), &bundle, signers)
            .map_err(|error| error.to_string())?;
        Ok(CurrentPolicy { policy: Arc::new(policy), plans, number, classes: Arc::default() })
    }

    /// Who signed a policy; one that too few signed is recorded and goes no further.
    fn signers(&self, files: &Files, policy: &Policy, current: &mut Current) -> Result<Vec<String>, String> {
        let Some(signatures) = &self.signatures else { return Ok(Vec::new()) };
        let in_force = current.policy.as_ref().map(|loaded| &loaded.policy);
        let before = in_force.or(current.before.as_ref()).map(Arc::as_ref);
        match signing::check(signatures, files, policy, before) {
            Ok(signers) => {
                tracing::info!(signers = signers.join(", "), "signed by enough");
                current.refused = None;
                Ok(signers)
            }
            Err(refused) => {
                let why = refused.to_string();
                self.record_refusal(refused, current);
                Err(why)
            }
        }
    }

    /// The same files are tried again and again; the log is told once.
    fn record_refusal(&self, refused: Refused, current: &mut Current) {
        if current.refused.as_ref() == Some(&refused) {
            return;
        }
        self.metrics.bundles_refused.of(refused.reason.into()).increment(1);
        self.recorder.policy_refused(PolicyRefused {
            digest: refused.digest.clone(),
            reason: refused.reason,
            signers: refused.signers.clone(),
            required: refused.required as u64,
            loosens: refused.loosens.map(|cells| cells as u64),
            stays: current.policy.as_ref().map(|loaded| loaded.policy.digest().to_string()),
        });
        current.refused = Some(refused);
    }

    /// Puts policy and keyring in force together; with only one of them nothing changes.
    fn enforce(&self, current: &Current) -> Result<(), String> {
        let (Some(keyring), Some(loaded)) = (&current.keyring, &current.policy) else { return Ok(()) };
        let destinations = loaded.policy.destinations();
        let addresses = destinations.iter().map(|destination| Destination {
            name: destination.name.clone(),
            url: current.instead.clone().unwrap_or_else(|| destination.url.clone()),
            timeout: None,
        });
        let enforcement =
            Enforcement::new(Arc::clone(&loaded.policy), keyring).map_err(|missing| missing.to_string())?;
        let upstreams = Upstreams::new(Arc::clone(&self.client), addresses).map_err(|error| error.to_string())?;
        let numbers = destinations
            .iter()
            .map(|destination| self.recorder.destination(&destination.name))
            .collect::<Result<_, _>>();
        self.line.enforce(InForce {
            enforcement,
            upstreams,
            exports: Watched::of(&loaded.policy, &loaded.plans),
            policy: loaded.number,
            destinations: numbers.map_err(|error| error.to_string())?,
            classes: Arc::clone(&loaded.classes),
            shadow: self.shadow_beside(&loaded.policy, current).into(),
        });
        self.tell(&loaded.policy);
        Ok(())
    }

    /// Shows the consent store a keyring; a store that stays closed leaves everything unavailable, and says so.
    fn unlock_consent(&self, keyring: Option<&Keyring>) {
        let (store, settings) = &self.consent;
        if let Err(error) = store.unlock(keyring, settings) {
            let why = chain(&error);
            tracing::error!("the consent store stays closed: {why}");
            self.health.note("consent_store_fault", why);
        }
    }

    fn tell(&self, policy: &Policy) {
        let digest = policy.digest().to_string();
        tracing::info!(%digest, "policy in force");
        self.health.clear_note("start");
        self.tell_memory(policy);
        self.health.policy_in_force(digest);
    }

    /// Says which purposes silence would permit, were refusals remembered by all.
    fn tell_memory(&self, policy: &Policy) {
        let lasting = self.consent.0.memory() == Memory::Lasting;
        let forgetful: Vec<&str> =
            policy.purposes_that_need_memory().map(|purpose| purpose.name.as_str()).filter(|_| !lasting).collect();
        self.metrics.purposes_without_memory.set(f64::from(u32::try_from(forgetful.len()).unwrap_or(u32::MAX)));
        if forgetful.is_empty() {
            self.health.clear_note("consent_store");
        } else {
            let note = format!("no consent store remembers for all pods: {} treated as opt_in", forgetful.join(", "));
            tracing::warn!("{note}");
            self.health.note("consent_store", note);
        }
    }

    /// Starts the export line with its first policy; hands it every later one.
    fn adopt_exports(&self, current: &Current) {
        let Some(loaded) = &current.policy else { return };
        let digest = loaded.policy.digest().0;
        self.exports_later.store(false, Ordering::Relaxed);
        let outcome = match self.line.exports() {
            // Whether a change loosens is not known here, so open windows are given up.
            Some(running) => {
                running.adopt(&loaded.plans, digest, PolicyChange::Tightens).map_err(|error| chain(&error))
            }
            None if loaded.plans.is_empty() => Ok(()),
            None if self.exports.shared.is_some() => return self.want_exports(),
            None => self.start_exports(&loaded.plans, digest).map_err(|error| {
                self.exports_later.store(error.may_pass(), Ordering::Relaxed);
                chain(&error)
            }),
        };
        match outcome {
            Ok(()) => self.tell_ringless(&loaded.plans),
            Err(why) => self.tell_off(&why),
        }
    }

    fn tell_off(&self, why: &str) {
        tracing::error!("the exports are off: {why}");
        self.health.note("exports", format!("the exports are off: {why}"));
    }

    /// Has exports started beside what runs: PostgreSQL may take long to answer, and neither
    /// events nor the next policy wait for it.
    fn want_exports(&self) {
        self.health.note("exports", "the exports are off until the shared budget ledger has answered");
        self.exports_later.store(true, Ordering::Relaxed);
        self.exports_wanted.notify_one();
    }

    /// Starts exports whose ledger is waited for, or could not be had before. Nobody who loads
    /// a policy waits meanwhile; the one that is in force in the end is taken up.
    fn adopt_exports_later(&self) {
        if !self.exports_later.swap(false, Ordering::Relaxed) || self.stopping.load(Ordering::Relaxed) {
            return;
        }
        let loaded = self.lock().policy.clone().filter(|loaded| !loaded.plans.is_empty());
        if let (Some(loaded), None) = (loaded, self.line.exports())
            && let Err(error) = self.start_exports(&loaded.plans, loaded.policy.digest().0)
        {
            self.exports_later.fetch_or(error.may_pass(), Ordering::Relaxed);
            return self.tell_off(&chain(&error));
        }
        self.adopt_exports(&self.lock());
    }

    /// Says which exports stay off because nobody says how units are shared.
    fn tell_ringless(&self, plans: &Plans) {
        let sharded = plans.exports.iter().filter(|plan| plan.query.fleet == Fleet::UserSharded);
        let off: Vec<&str> = sharded.map(|plan| plan.query.name.as_str()).collect();
        if off.is_empty() || self.exports.shards().is_some() {
            return self.health.clear_note("exports");
        }
        let why = match self.exports.shared {
            None => "the configuration has no `exports.ring`",
            Some(_) => "shards keep their budgets in files of their own, and `exports.ledger` is a shared one",
        };
        let note = format!("off: {}: its fleet is user_sharded, and {why}", off.join(", "));
        tracing::warn!("{note}");
        self.health.note("exports", note);
    }

    /// Starts on a thread of its own: what is published again at a start is
    /// recorded again, and waiting for the log must not stand in the runtime's way.
    fn start_exports(&self, plans: &Plans, digest: [u8; 32]) -> Result<(), export::CannotStart> {
        let evidence = Arc::new(self.recorder.clone());
        let clock = Arc::clone(&self.clock);
        let started = std::thread::scope(|scope| {
            scope.spawn(move || ExportLine::start(plans, digest, &self.exports, clock, evidence)).join()
        });
        let line = started.unwrap_or_else(|_| Err(export::CannotStart::Panicked))?;
        if self.stopping.load(Ordering::Relaxed) {
            // Nobody would end it.
            return Ok(());
        }
        self.line.observe_with(Arc::new(line));
        Ok(())
    }
}

/// Reads a keyring directory.
///
/// # Errors
/// In words, which file is wrong.
pub fn keyring_in(directory: &Path) -> Result<Keyring, String> {
    let files = Place::everything_in(directory)
        .read()
        .map_err(|error| format!("cannot read the keyring `{}`: {error}", directory.display()))?;
    Keyring::read(&files).map_err(|error| error.to_string())
}
