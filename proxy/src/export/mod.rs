//! The export line: observe, bound, aggregate, spend, noise, publish.
//!
//! Promise: what leaves here is a differentially private table inside its
//! receipt, and nothing else. It was charged to a durable budget, and the charge
//! is in the enforcement log, before any noise was drawn; its bytes were on disk
//! before they were sent, and are the same however often they are sent.
//!
//! A window is published whether or not anything was counted in it, at a time
//! that does not depend on what was counted. No metric, log line, file size or
//! error here depends on an exact count or on which keys occurred; a window
//! that had to be withheld is named with its reason, and every receipt says
//! that epsilon does not cover that.
//!
//! Not here: which events may be counted. [`ExportLine::observe`] is called
//! after a permitting verdict for the export's purpose, and not otherwise.
//!
//! Threads: requests call [`ExportLine::observe`], which takes one short lock
//! per export; one thread of its own closes windows, pays, draws and writes
//! receipts, so that the time a draw takes is in nobody's answer; another sends
//! them to a receiver, so that a slow one shifts no release.

mod counted;
mod event_time;
pub mod evidence;
pub mod intake;
mod noise;
mod observe;
mod pace;
pub mod plan;
pub mod posted;
mod publish;
mod ring;
mod seen;
mod spend;
pub(crate) mod volume;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use jiff::Timestamp;
use privet_dp::NoRandomness;
use privet_dp::digest::Digest;
use privet_dp::exact::Exact;
use privet_dp::fleet::Ring;
use privet_dp::ledger::{CannotSpend, Entry, Ledger, LedgerError, LossOverflow, NotDurable, shared};
use privet_dp::mechanism::{CannotDraw, Cells};
use privet_dp::query::{Query, RowKey};
use privet_dp::schedule::Mark;
use privet_dp::window::{Circumstances, ClosedWindow, PolicyDigest, Window};
use privet_ldp::NotAReport;
use thiserror::Error;

use crate::clock::Clock;
use crate::config::{self, Publish, SharedLedger};
use crate::link::{CannotLink, Link};
use crate::metrics::{Metrics, WithheldFor};
use crate::postgres;
pub use evidence::{CannotRecord, ChargeEvidence, DpEvidence, LocalEvidence, ReleaseEvidence};
use noise::{Command, Releaser};
use observe::{Draining, Early, Generation, Surroundings};
pub use plan::{Plan, Plans, SurveyPlan};
use publish::Publisher;
pub use publish::{CannotOpen, CannotPrepare, CannotPublish};
pub(crate) use seen::Seen;
pub use seen::Watched;
pub use volume::Lifetime;

/// Where the line keeps what it must not lose, and puts what it publishes.
#[derive(Clone)]
pub struct Settings {
    /// The budget ledger's file.
    pub ledger: PathBuf,
    /// Where budgets are charged that pods share; nothing where they are charged in that file.
    pub shared: Option<SharedLedger>,
    /// What the charges outlive.
    pub lifetime: Lifetime,
    /// The directory that receipts are published into, one directory per export.
    pub output: PathBuf,
    /// The shards of this fleet, which the platform knows; exports that share
    /// units among shards are off without it.
    pub ring: Option<Ring>,
    /// Where receipts go beside their files.
    pub publish: Publish,
    /// Where windows that are withheld are counted.
    pub metrics: Option<Arc<Metrics>>,
    /// Channels that carry the enforcement log on, which counts exactly: receipts name them.
    pub channels: Vec<&'static str>,
}

/// How a new policy compares with the one it replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyChange {
    /// Something may leave no more, or that is not known: open windows are
    /// given up, for they hold what the new policy might not have let in.
    Tightens,
    /// Nothing leaves less: what was counted so far is published when its window ends.
    Loosens,
}

/// What became of one closed window.
#[derive(Debug)]
pub struct Outcome {
    /// The export's name.
    pub export: String,
    /// The window.
    pub window: Window,
    /// Its receipt, or why there is none.
    pub result: Result<Published, Withheld>,
}

/// A receipt that is out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The file.
    pub path: PathBuf,
    /// The digest of its bytes.
    pub receipt_sha256: Digest,
}

/// Why a window was not published. What was charged for it stays charged.
#[derive(Debug, Error)]
pub enum Withheld {
    /// More units came than the window may hold in memory.
    #[error("more privacy units came than this window may hold, so it was given up")]
    TooManyUnits,
    /// Windows wait to be published, and memory is bounded.
    #[error("earlier windows of this export still wait, so this one was given up")]
    Backlog,
    /// Counting was not whole, and the policy does not publish it then.
    #[error("the window is marked `{0}`, which this export does not publish: its `publish_marked` says which it does")]
    Marked(Mark),
    /// The ledger may be gone before the budget's horizon is over.
    #[error("this budget may not be charged here")]
    Forgetful(#[source] NotDurable),
    /// The loss is beyond counting.
    #[error("cannot claim this window's privacy loss")]
    Claim(#[source] LossOverflow),
    /// The budget has no room, or the ledger cannot be written.
    #[error("cannot charge the budget for this window")]
    Unpaid(#[source] CannotSpend),
    /// The release has been through the ledger before.
    #[error("this release is {0} in the ledger, and nothing is drawn twice")]
    Before(&'static str),
    /// The noise thread has ended.
    #[error("the exports are being stopped, so nothing was drawn")]
    Stopping,
    /// The enforcement log does not take the charge.
    #[error("cannot record the charge in the enforcement log, so nothing was drawn")]
    Unrecorded(#[source] CannotRecord),
    /// No noise could be drawn.
    #[error("cannot draw noise for this window")]
    Undrawn(#[source] CannotDraw),
    /// The receipt could not be committed, so it was discarded.
    #[error("cannot commit this window's receipt, so it was discarded")]
    Uncommitted(#[source] LedgerError),
    /// The ledger's answer to the commit was lost, and it could not be undone either.
    #[error("cannot tell whether this window's receipt was committed: if it was, it is published later")]
    Uncertain(#[source] LedgerError),
    /// Committed, and not yet out: it will be tried again with the same bytes.
    #[error("cannot publish this window's receipt yet")]
    Unpublished(#[source] CannotPublish),
}

impl Withheld {
    /// Why, without the details.
    const fn counted_as(&self) -> WithheldFor {
        match self {
            Self::TooManyUnits => WithheldFor::TooManyUnits,
            Self::Backlog => WithheldFor::Backlog,
            Self::Marked(Mark::Restart) => WithheldFor::Restart,
            Self::Marked(Mark::Drained) => WithheldFor::Drained,
            Self::Marked(Mark::Shed) => WithheldFor::Shed,
            Self::Marked(Mark::RingChanged) => WithheldFor::RingChanged,
            Self::Forgetful(_) | Self::Claim(_) | Self::Unpaid(_) => WithheldFor::Unpaid,
            Self::Before(_) => WithheldFor::Before,
            Self::Unrecorded(_) => WithheldFor::Unrecorded,
            Self::Undrawn(_) | Self::Uncommitted(_) | Self::Stopping => WithheldFor::Lost,
            Self::Unpublished(_) | Self::Uncertain(_) => WithheldFor::Unpublished,
        }
    }

    /// Whether noise was drawn for it, or may have been, or reports were decoded.
    const fn is_after_a_draw(&self) -> bool {
        matches!(self, Self::Undrawn(_) | Self::Uncommitted(_) | Self::Uncertain(_) | Self::Unpublished(_))
    }

    /// Whether a window was asked for that no table can be brought for any more, whoever
    /// tries and however often: nothing was charged.
    const fn is_askers_mistake(&self) -> bool {
        use CannotSpend::{AllReleased, BeforeHorizon};
        matches!(self, Self::Before(_) | Self::Unpaid(AllReleased { .. } | BeforeHorizon { .. }))
    }
}

/// Why the line does not start.
#[derive(Debug, Error)]
pub enum CannotStart {
    /// The budget's past is lost: a new ledger would let it be spent again.
    #[error(
        "receipts are published here, but their budget ledger is gone: bring the very file back, or move the receipts away and so accept that their loss counts no more; an older copy would spend again what was spent since"
    )]
    LedgerGone,
    /// An older copy of the ledger would spend again what was spent since.
    #[error(
        "the budget ledger does not know the release of {}, which it paid for: it is an older copy; bring the very file back, or move it and its receipts away and so accept that their loss counts no more", .0.display()
    )]
    LedgerWentBack(PathBuf),
    /// A budget would be forgotten, and so spent again.
    #[error(
        "{because}, so the budget ledger may go with this pod: put the directory on a persistent volume and write `exports.volume: persistent`, or keep the ledger in PostgreSQL by `exports.ledger`"
    )]
    NotDurable {
        /// What was seen or said of the ledger's place.
        because: String,
        /// The horizon that it does not outlive.
        #[source]
        source: NotDurable,
    },
    /// A file that says how to reach the shared ledger is missing or wrong.
    #[error("cannot use `exports.ledger`")]
    Link(#[source] CannotLink),
    /// The ledger is damaged, open elsewhere or not writable.
    #[error("cannot open the budget ledger")]
    Ledger(#[source] LedgerError),
    /// The output directory cannot be made or read.
    #[error("cannot use the directory for published receipts")]
    Output(#[source] std::io::Error),
    /// What is known of the ring cannot be kept.
    #[error("cannot keep what the ring was, so a change of it would not be noticed")]
    Ring(#[source] std::io::Error),
    /// No window key.
    #[error("cannot open the first windows")]
    Windows(#[source] NoRandomness),
    /// The places that receipts go to.
    #[error("cannot publish receipts")]
    Publish(#[source] CannotPrepare),
    /// No thread.
    #[error("cannot start the noise thread")]
    Thread(#[source] std::io::Error),
    /// A defect of privet; what was open is settled at the next start.
    #[error("starting the exports failed inside privet")]
    Panicked,
}

/// What one event adds to an export. Has no `Debug`: it names a unit.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    /// The privacy unit.
    pub unit: &'a [u8],
    /// The group.
    pub key: RowKey<'a>,
    /// The value that is measured, in steps of the aggregate.
    pub value: i64,
    /// The event's own time in seconds since the epoch. It matters where the
    /// export's schedule is by event times.
    pub event_secs: Option<i64>,
}

/// A report that an event brings. Has no `Debug`: it names a unit.
#[derive(Clone, Copy)]
pub struct Report<'a> {
    /// The unit of which one report counts.
    pub unit: &'a [u8],
    /// The report, as its device made it: base64url text.
    pub text: &'a str,
    /// The event's own time in seconds since the epoch. It matters where the
    /// survey's schedule is by event times.
    pub event_secs: Option<i64>,
}

/// The exports that the events of one request count in, at one time.
pub struct Observer {
    generation: Guard<Arc<Generation>>,
    now: Timestamp,
}

impl Observer {
    /// Counts one row in an export's table, within its unit's bounds. `export` is
    /// the export's place among the plans of the policy.
    pub fn observe(&self, export: usize, row: Row<'_>) {
        if let Some(slot) = self.generation.slot(export) {
            slot.observe(row, self.now);
        }
    }

    /// Counts a report in a survey, if it is the first of its unit in the window.
    /// `survey` is its place among the surveys of the policy.
    ///
    /// # Errors
    /// What is no report of the survey's question: nothing is counted.
    pub fn observe_report(&self, survey: usize, report: Report<'_>) -> Result<(), NotAReport> {
        let slot = self.generation.survey(survey);
        slot.map_or(Ok(()), |slot| slot.observe_report(report, self.now))
    }
}

/// The running line.
pub struct ExportLine {
    shared: Arc<Shared>,
    /// What the charges outlive.
    lifetime: Lifetime,
    commands: SyncSender<Command>,
    thread: Option<JoinHandle<()>>,
}

/// What requests and the noise thread share.
struct Shared {
    clock: Arc<dyn Clock>,
    /// The exports of the policy in force. Swapped whole by [`ExportLine::adopt`].
    generation: ArcSwap<Generation>,
    /// What every window has around it.
    around: Surroundings,
    /// Windows of earlier policies that wait for their end. Locked by `adopt`
    /// and by the noise thread; by a request only where somebody withdraws.
    draining: Mutex<Draining>,
    /// Whether the process stops: tables that are brought are declined then, for what
    /// waits at the noise thread would be waited for.
    stopping: AtomicBool,
}

impl Shared {
    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

impl CannotStart {
    /// Whether trying again may help: the shared ledger could not be reached, or the file is open elsewhere.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Ledger(error) if error.may_pass())
    }
}

/// How long one step of the shared ledger may take.
const PATIENCE: Duration = Duration::from_secs(5);

impl ExportLine {
    /// Opens the ledger, publishes again what was committed and not
    /// acknowledged, opens a window for each plan and starts the noise thread.
    ///
    /// # Errors
    /// A ledger or an output directory that cannot be used, and receipts whose
    /// ledger is gone. Receipts that cannot be published yet are tried again later.
    pub fn start(
        plans: &Plans,
        policy: PolicyDigest,
        settings: &Settings,
        clock: Arc<dyn Clock>,
        evidence: Arc<dyn DpEvidence>,
    ) -> Result<Self, CannotStart> {
        durable(plans, &settings.lifetime)?;
        publish::make_output(&settings.output).map_err(CannotStart::Output)?;
        if !settings.ledger.exists() && publish::any_receipts(&settings.output).map_err(CannotStart::Output)? {
            return Err(CannotStart::LedgerGone);
        }
        let ledger = Arc::new(open(settings)?);
        knows_its_receipts(&ledger, &settings.output)?;
        let now = clock.now();
        let ring_age = ring::age(&settings.output, settings.ring.as_ref(), now).map_err(CannotStart::Ring)?;
        let around = Surroundings { ring: settings.shards().map(Arc::new), ring_age, last_shed: Arc::default() };
        let generation = Generation::open(plans, policy, &around, now).map_err(CannotStart::Windows)?;
        let generation = ArcSwap::from_pointee(generation);
        let shared = Arc::new(Shared {
            clock,
            generation,
            around,
            draining: Mutex::default(),
            stopping: AtomicBool::new(false),
        });
        let clock = Arc::clone(&shared.clock);
        let publisher = Publisher::new(Arc::clone(&ledger), Arc::clone(&evidence), settings, clock)
            .map_err(CannotStart::Publish)?;
        let mut releaser = Releaser::new(Arc::clone(&shared), ledger, publisher, settings, evidence);
        releaser.resume();
        let (commands, received) = sync_channel(4);
        let thread = Builder::new()
            .name("privet-noise".to_owned())
            .spawn(move || releaser.run(&received))
            .map_err(CannotStart::Thread)?;
        Ok(Self { shared, lifetime: settings.lifetime.clone(), commands, thread: Some(thread) })
    }

    /// Counts one row in an export's table, within its unit's bounds; see [`Observer::observe`].
    pub fn observe(&self, export: usize, row: Row<'_>, policy: &PolicyDigest) {
        if let Some(observer) = self.observer(policy) {
            observer.observe(export, row);
        }
    }

    /// Counts a report in a survey; see [`Observer::observe_report`].
    ///
    /// # Errors
    /// What is no report of the survey's question: nothing is counted.
    pub fn observe_report(&self, survey: usize, report: Report<'_>, policy: &PolicyDigest) -> Result<(), NotAReport> {
        self.observer(policy).map_or(Ok(()), |observer| observer.observe_report(survey, report))
    }

    /// Takes what one request counts, all of it now. Events decided under any
    /// other policy than the one being counted by do not count, since their place
    /// and key may mean something else: there is no observer for them.
    #[must_use]
    pub fn observer(&self, policy: &PolicyDigest) -> Option<Observer> {
        let generation = self.shared.generation.load();
        (generation.policy() == policy).then(|| Observer { generation, now: self.shared.clock.now() })
    }

    /// Marks every open window: load was shed, so that what others sent decided
    /// about whose events count. To be called before the refusal is answered.
    pub fn shed(&self) {
        self.shared.around.last_shed.note(self.shared.clock.now());
    }

    /// Removes a unit from every window that is not published yet and can still
    /// tell its units apart.
    pub fn withdraw(&self, unit: &[u8]) {
        self.shared.generation.load().slots().for_each(|slot| slot.withdraw(unit));
        self.withdraw_from_earlier(unit);
    }

    /// Removes a unit from the windows that earlier policies left, which wait to be published.
    pub fn withdraw_from_earlier(&self, unit: &[u8]) {
        let mut draining = self.shared.draining.lock().unwrap_or_else(PoisonError::into_inner);
        draining.iter_mut().for_each(|waiting| waiting.withdraw(unit));
    }

    /// Closes and publishes now every open window that may be published so. Each
    /// is charged like a whole window, and its receipt says that it was closed
    /// early. Windows that may not be published before their time go on.
    #[must_use]
    pub fn flush_now(&self) -> Vec<Outcome> {
        self.end_early(Early::Flush)
    }

    /// Ends every window, for the process stops: what may be published early is
    /// published, the rest is given up and told. Nothing is counted after that.
    #[must_use]
    pub fn drain(&self) -> Vec<Outcome> {
        self.shared.stopping.store(true, Ordering::Relaxed);
        self.end_early(Early::Drain)
    }

    /// Releases an exact table that was brought for a window: bounds were kept by
    /// whoever brings it. Waits for the noise thread; gives the receipt's bytes,
    /// those that are published where the window was released before.
    ///
    /// # Errors
    /// Why there is no receipt. What was charged stays charged.
    pub fn post(
        &self,
        query: Arc<Query>,
        policy: PolicyDigest,
        window: Window,
        cells: Exact<Cells>,
    ) -> Result<Vec<u8>, Withheld> {
        self.lifetime.durability.carries(query.budget.horizon).map_err(Withheld::Forgetful)?;
        let circumstances = Circumstances::whole(window);
        let closed = Box::new(ClosedWindow { query, window, policy, circumstances, cells });
        let (reply, result) = sync_channel(1);
        let asked = self.commands.send(Command::Post(closed, reply));
        asked.ok().and_then(|()| result.recv().ok()).unwrap_or(Err(Withheld::Stopping))
    }

    fn end_early(&self, early: Early) -> Vec<Outcome> {
        let (reply, outcomes) = sync_channel(1);
        let asked = self.commands.send(Command::End(early, reply));
        asked.ok().and_then(|()| outcomes.recv().ok()).unwrap_or_default()
    }

    /// Takes up a new policy: its exports are counted from their next windows on.
    ///
    /// # Errors
    /// When the operating system gives no random bytes; the old policy's windows stay. A
    /// budget that the ledger does not outlive, as at a start: then nothing is counted any more.
    pub fn adopt(&self, plans: &Plans, policy: PolicyDigest, change: PolicyChange) -> Result<(), CannotStart> {
        if self.shared.generation.load().policy() == &policy {
            return Ok(());
        }
        let (durable, none) = (durable(plans, &self.lifetime), Plans::default());
        let counted = if durable.is_ok() { plans } else { &none };
        let now = self.shared.clock.now();
        let next = Generation::from_next_boundary(counted, policy, &self.shared.around, now);
        let next = Arc::new(next.map_err(CannotStart::Windows)?);
        // Before the swap: whoever withdraws finds each window among the open ones or among these.
        let mut draining = self.shared.draining.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.generation.swap(next).retire(now, change, &mut draining);
        durable
    }
}

/// That no budget is longer than what its charges outlive.
fn durable(plans: &Plans, lifetime: &Lifetime) -> Result<(), CannotStart> {
    let mut exports = plans.exports.iter();
    let carried = exports.try_for_each(|plan| lifetime.durability.carries(plan.query.budget.horizon));
    carried.map_err(|source| CannotStart::NotDurable { because: lifetime.because.clone(), source })
}

impl Settings {
    /// The ring that units are shared by. Shards keep their budgets apart, each in a file:
    /// one ledger for all would add up what is spent on different units.
    #[must_use]
    pub fn shards(&self) -> Option<Ring> {
        self.ring.clone().filter(|_| self.shared.is_none())
    }
}

/// Opens the ledger. Where pods share the charges, PostgreSQL is waited for.
fn open(settings: &Settings) -> Result<Ledger, CannotStart> {
    let opened = match &settings.shared {
        None => Ledger::open(&settings.ledger),
        Some(shared) => Ledger::open_shared(&settings.ledger, taking_part(shared)?),
    };
    opened.map_err(CannotStart::Ledger)
}

fn taking_part(shared: &SharedLedger) -> Result<shared::Settings, CannotStart> {
    let link = Link::new(&shared.remote).map_err(CannotStart::Link)?;
    let patience = PATIENCE.max(2 * shared.remote.connect_timeout);
    Ok(shared::Settings { dial: postgres::dial(link), holder: shared.pod.clone(), lease: shared.lease, patience })
}

/// Every charge of the ledger that this configuration names, without taking part in it.
///
/// # Errors
/// A ledger that is not there, is open in a sidecar, or cannot be reached.
pub fn charges(exports: &config::Exports) -> Result<Vec<Entry>, CannotStart> {
    let entries = match &exports.shared {
        None => Ledger::read(&ledger_in(&exports.directory)),
        Some(shared) => Ledger::read_shared(taking_part(shared)?),
    };
    entries.map_err(CannotStart::Ledger)
}

/// Where a ledger is in the directory of exports.
#[must_use]
pub fn ledger_in(directory: &Path) -> PathBuf {
    directory.join("ledger.redb")
}

/// That the ledger has not forgotten what it paid for: the newest receipts of its chains tell.
fn knows_its_receipts(ledger: &Ledger, output: &Path) -> Result<(), CannotStart> {
    for (path, receipt) in publish::newest_receipts(output).map_err(CannotStart::Output)? {
        let own = receipt.ledger().chain == ledger.books().chain;
        if own && ledger.state(receipt.release_id()).map_err(CannotStart::Ledger)?.is_none() {
            return Err(CannotStart::LedgerWentBack(path));
        }
    }
    Ok(())
}

impl Drop for ExportLine {
    /// Ends the noise thread after the release it is at. Open windows are
    /// discarded: publishing them early is a choice, [`ExportLine::drain`].
    fn drop(&mut self) {
        // A full queue means that the thread is busy; it takes the command when it is done.
        let stopping = self.commands.send(Command::Stop);
        if let (Ok(()), Some(thread)) = (stopping, self.thread.take())
            && thread.join().is_err()
        {
            tracing::error!("the noise thread had panicked; nothing was published after that");
        }
    }
}

#[cfg(test)]
mod tests;
