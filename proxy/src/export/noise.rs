//! The noise thread: it closes windows on time, pays, draws and publishes.
//!
//! Promise: one thread draws, so OpenDP's objects never cross threads and no
//! request waits for a draw. What was drawn leaves at its slot ([`super::pace`]),
//! whatever the draw took. A release that fails is withheld; the thread goes on.

use std::collections::HashSet;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use privet_dp::ledger::{CannotSpend, Claim, Ledger, LedgerError, ReleaseId, Shard, Unsent};
use privet_dp::local::ClosedReports;
use privet_dp::receipt::{AnyReceipt, Facts, LocalFacts, LocalReceipt, Receipt};
use privet_dp::window::{ClosedWindow, Window};

use super::counted::{Closed, cells};
use super::evidence::DpEvidence;
use super::observe::{Early, Waiting};
use super::pace::{Pace, Slot};
use super::publish::Publisher;
use super::spend::{PaidWindow, give_up, spend};
use super::{CannotPublish, Outcome, Published, Settings, Shared, Withheld};
use crate::metrics::Metrics;

/// How often the thread looks at the clock. Windows are seconds to days long.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long a receipt that could not be published waits for its next try.
const RETRY_AFTER: Duration = Duration::from_secs(5);

pub(super) enum Command {
    End(Early, SyncSender<Vec<Outcome>>),
    Post(Box<ClosedWindow>, SyncSender<Result<Vec<u8>, Withheld>>),
    Stop,
}

/// A window whose receipt is committed, or why not.
struct Drawn {
    export: String,
    window: Window,
    /// How many numbers were drawn at most; none where it did not come to a draw.
    cells: usize,
    unsent: Result<Unsent, Withheld>,
}

pub(super) struct Releaser {
    shared: Arc<Shared>,
    ledger: Arc<Ledger>,
    publisher: Publisher,
    metrics: Option<Arc<Metrics>>,
    evidence: Arc<dyn DpEvidence>,
    /// What receipts name beside the enforcement log.
    channels: Vec<&'static str>,
    pace: Pace,
    /// When to try the outbox again, by the monotonic clock; `None` when all of it is out.
    retry_at: Option<Duration>,
    /// When to hold the lease of a shared ledger again, by the monotonic clock; never where there is none.
    hold_at: Option<Duration>,
    hold_every: Duration,
    /// The exports of which something is not out yet. What comes after it waits, too.
    behind: HashSet<String>,
}

impl Releaser {
    pub(super) fn new(
        shared: Arc<Shared>,
        ledger: Arc<Ledger>,
        publisher: Publisher,
        settings: &Settings,
        evidence: Arc<dyn DpEvidence>,
    ) -> Self {
        Self {
            shared,
            ledger,
            publisher,
            metrics: settings.metrics.clone(),
            evidence,
            channels: settings.channels.clone(),
            pace: Pace::REAL,
            retry_at: None,
            hold_at: settings.shared.is_some().then_some(Duration::ZERO),
            hold_every: settings.shared.as_ref().map_or(Duration::MAX, |shared| shared.lease / 8),
            behind: HashSet::new(),
        }
    }

    /// Publishes what an earlier process committed and did not acknowledge:
    /// the same call as every later retry.
    pub(super) fn resume(&mut self) {
        if self.ledger.forfeited() > 0 {
            tracing::warn!(
                releases = self.ledger.forfeited(),
                "forfeited: paid for by an earlier process that did not commit them; the budget stays charged"
            );
        }
        self.publish_outbox();
    }

    pub(super) fn run(mut self, commands: &Receiver<Command>) {
        loop {
            match commands.recv_timeout(LOOK_EVERY) {
                Ok(Command::End(early, reply)) => {
                    let outcomes = self.release_all(Some(early));
                    // Whoever asked may have gone; the receipts are out all the same.
                    reply.send(outcomes).ok();
                }
                Ok(Command::Post(closed, reply)) => {
                    let result = self.post(*closed);
                    // Whoever posted may have gone; the receipt is out all the same.
                    reply.send(result).ok();
                    // Tables that come without a pause hold up no window.
                    if !self.shared.is_stopping() {
                        self.release_all(None);
                    }
                }
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => return self.stop(),
                Err(RecvTimeoutError::Timeout) => {
                    self.release_all(None);
                }
            }
            self.hold_if_due();
            if self.retry_at.is_some_and(|at| at <= self.shared.clock.monotonic()) {
                self.publish_outbox();
            }
        }
    }

    fn hold_if_due(&mut self) {
        if self.hold_at.is_some_and(|at| at <= self.shared.clock.monotonic()) {
            self.hold();
        }
    }

    /// Waits for a slot. The lease of a shared ledger is held meanwhile: what leaves then leaves under it.
    fn wait_for(&mut self, slot: Slot) {
        let leaves_at = slot.next();
        loop {
            let left = leaves_at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let until_hold = self.hold_at.map_or(left, |at| at.saturating_sub(self.shared.clock.monotonic()));
            thread::sleep(left.min(until_hold));
            self.hold_if_due();
        }
    }

    /// Where pods share the ledger: asks for more time, pays for the windows that are
    /// open, so that they can be released while it cannot be reached, and tells what
    /// became of those before. Whatever fails is tried again, and charged when it is due.
    fn hold(&mut self) {
        self.hold_at = Some(self.shared.clock.monotonic() + self.hold_every);
        let generation = self.shared.generation.load();
        let ahead: Vec<Claim> = generation.slots().filter_map(|slot| slot.claim_ahead(&self.ledger)).collect();
        let held = self.ledger.renew().and_then(|()| self.ledger.settle());
        if let Err(error) = held {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot hold the lease of the shared budget ledger"
            );
            return;
        }
        for claim in ahead {
            let Err(error) = self.ledger.lease(&[claim]) else { continue };
            tracing::debug!(error = &error as &dyn std::error::Error, "a window is not paid for ahead");
            // One budget without room is no reason not to pay for the others. A ledger that is out of reach
            // is: to be waited for once for each export would keep what is due waiting.
            if matches!(error, CannotSpend::Ledger(_)) {
                return;
            }
        }
    }

    /// Ends the sender first, for it publishes; then gives back what was paid for and not begun.
    fn stop(self) {
        let Self { ledger, publisher, .. } = self;
        drop(publisher);
        if let Err(error) = ledger.hand_back() {
            tracing::warn!(error = &error as &dyn std::error::Error, "what was paid for ahead stays charged");
        }
    }

    /// Releases a table that was brought. Its name does not depend on when the
    /// process started, so that bringing it again gives what is published.
    fn post(&mut self, closed: ClosedWindow) -> Result<Vec<u8>, Withheld> {
        if self.shared.is_stopping() {
            return Err(Withheld::Stopping);
        }
        let cells = cells(&closed.query);
        let slot = self.pace.slot(Instant::now(), cells);
        let (export, window) = (closed.query.name.clone(), closed.window);
        let shard = self.ledger.posted();
        let paid = spend(&self.ledger, &*self.evidence, closed, shard);
        let unsent = match paid {
            Ok(paid) => draw(&self.ledger, paid, &self.channels),
            Err(Withheld::Before(state)) => {
                let again = self.publisher.published(&export, window, shard);
                return again.ok_or(Withheld::Before(state));
            }
            // Whoever brought the table is told; it is no window of this pod that comes to nothing.
            Err(withheld) if withheld.is_askers_mistake() => return Err(withheld),
            Err(withheld) => Err(withheld),
        };
        let drawn = Drawn::of(export, window, cells, unsent);
        if drawn.cells > 0 {
            self.wait_for(slot);
        }
        let bytes = drawn.unsent.as_ref().map_or_else(|_| Vec::new(), |unsent| unsent.receipt.clone());
        self.release(drawn).result.map(|_| bytes)
    }

    /// Goes by another pace.
    #[cfg(test)]
    pub(super) fn at_pace(self, pace: Pace) -> Self {
        Self { pace, ..self }
    }

    /// Releases every window that is due, and those that are ended early.
    pub(super) fn release_all(&mut self, early: Option<Early>) -> Vec<Outcome> {
        let (taken_at, due) = (Instant::now(), self.take_due(early));
        if due.is_empty() {
            return Vec::new();
        }
        let drawn: Vec<Drawn> = due.into_iter().map(|waiting| self.pay_and_draw(waiting)).collect();
        // Which windows are withheld before a draw is no secret: it is told, and does not depend on noise.
        let cells = drawn.iter().map(|drawn| drawn.cells).sum();
        if cells > 0 {
            self.wait_for(self.pace.slot(taken_at, cells));
        }
        drawn.into_iter().map(|drawn| self.release(drawn)).collect()
    }

    fn take_due(&self, early: Option<Early>) -> Vec<Waiting> {
        let now = self.shared.clock.now();
        let mut due = Vec::new();
        {
            let mut draining = self.shared.draining.lock().unwrap_or_else(PoisonError::into_inner);
            let (ready, later): (Vec<_>, Vec<_>) =
                draining.drain(..).partition(|waiting| early.is_some() || waiting.due <= now);
            draining.extend(later);
            due.extend(ready);
        }
        for slot in self.shared.generation.load().slots() {
            let (opened, taken) = match early {
                Some(early) => slot.end_early(early, now),
                None => slot.due(now),
            };
            if let Err(error) = opened {
                tracing::error!(error = &error as &dyn std::error::Error, "cannot open a window: nothing is counted");
            }
            due.extend(taken);
        }
        due
    }

    fn pay_and_draw(&self, waiting: Waiting) -> Drawn {
        let (export, window, cells) = (waiting.counted.name().to_owned(), waiting.window, waiting.counted.cells());
        let unsent = waiting.into_counts().and_then(|closed| match closed {
            Closed::Rows(closed) => {
                let shard = self.ledger.shard(closed.circumstances.part);
                let paid = spend(&self.ledger, &*self.evidence, closed, shard);
                paid.and_then(|paid| draw(&self.ledger, paid, &self.channels))
            }
            Closed::Reports(closed) => decode(&self.ledger, &closed, self.ledger.shard(closed.circumstances.part)),
        });
        Drawn::of(export, window, cells, unsent)
    }

    fn release(&mut self, drawn: Drawn) -> Outcome {
        let Drawn { export, window, unsent, .. } = drawn;
        if matches!(unsent, Err(Withheld::Uncertain(_))) {
            // It may be in the outbox, and the chain's next receipt names it: that one waits behind it.
            self.behind.insert(export.clone());
            self.retry_at = Some(self.shared.clock.monotonic());
        }
        let result = unsent.and_then(|unsent| self.publish(&unsent).map_err(Withheld::Unpublished));
        match &result {
            Ok(_) => tracing::info!(export, window_start = %window.start(), "published"),
            Err(withheld) => {
                if let Some(metrics) = &self.metrics {
                    metrics.export_windows_withheld.of(withheld.counted_as()).increment(1);
                }
                tracing::warn!(export, window_start = %window.start(), error = withheld as &dyn std::error::Error, "withheld");
            }
        }
        Outcome { export, window, result }
    }

    /// Publishes what was just committed, after all of its export that was committed before.
    fn publish(&mut self, unsent: &Unsent) -> Result<Published, CannotPublish> {
        let receipt = AnyReceipt::from_bytes(&unsent.receipt).map_err(|_| CannotPublish::NotAReceipt);
        let published = receipt.and_then(|receipt| match self.behind.contains(receipt.query()) {
            true => Err(CannotPublish::Behind),
            false => self.publisher.publish(unsent, &receipt).inspect_err(|_| {
                self.behind.insert(receipt.query().to_owned());
            }),
        });
        published.inspect_err(|_| self.retry_at = Some(self.shared.clock.monotonic() + RETRY_AFTER))
    }

    /// Publishes all that was committed and is not out, in the order of commits, one at a time in memory.
    fn publish_outbox(&mut self) {
        self.retry_at = None;
        self.behind.clear();
        match self.ledger.outbox() {
            Ok(releases) => releases.into_iter().for_each(|release| self.publish_again(release)),
            Err(error) => {
                self.retry_at = Some(self.shared.clock.monotonic() + RETRY_AFTER);
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot read the outbox");
            }
        }
    }

    fn publish_again(&mut self, release: ReleaseId) {
        if self.publisher.is_being_sent(release) {
            return;
        }
        let committed = self.ledger.committed(release).map_err(CannotPublish::Unreadable);
        let published = committed.and_then(|receipt| match receipt {
            // Acknowledged by the sender since.
            None => Ok(()),
            Some(receipt) => self.publish(&Unsent { release, receipt }).map(drop),
        });
        match published {
            Ok(()) => tracing::info!(%release, "published again, byte for byte"),
            Err(error) => {
                self.retry_at = Some(self.shared.clock.monotonic() + RETRY_AFTER);
                tracing::warn!(%release, error = &error as &dyn std::error::Error, "still cannot publish");
            }
        }
    }
}

impl Drawn {
    fn of(export: String, window: Window, cells: usize, unsent: Result<Unsent, Withheld>) -> Self {
        let came_to_a_draw = unsent.as_ref().err().is_none_or(Withheld::is_after_a_draw);
        Self { export, window, cells: if came_to_a_draw { cells } else { 0 }, unsent }
    }
}

/// Decodes the reports of a window once and commits the receipt. Its noise came
/// with them, so nothing is drawn, and no budget is charged.
fn decode(ledger: &Ledger, closed: &ClosedReports, shard: Shard) -> Result<Unsent, Withheld> {
    let noted = ledger.reserve_uncharged(closed, shard).map_err(Withheld::Uncommitted)?;
    let uncharged = noted.map_err(|state| Withheld::Before(state.name()))?;
    let release = uncharged.release();
    let committed = ledger.chain_head(&closed.survey.name).and_then(|prev_receipt| {
        let receipt = LocalReceipt::new(LocalFacts { shard, release, prev_receipt }, closed);
        ledger.commit_uncharged(uncharged, &receipt)
    });
    committed.map_err(|error| uncommitted(ledger, release, error))
}

/// Gives up a release that could not be committed. An answer that was lost may stand for a
/// receipt that is in the outbox all the same; then it is not given up.
fn uncommitted(ledger: &Ledger, release: ReleaseId, error: LedgerError) -> Withheld {
    if give_up(ledger, release) { Withheld::Uncommitted(error) } else { Withheld::Uncertain(error) }
}

/// Draws once for a paid window and commits the receipt.
fn draw(ledger: &Ledger, window: PaidWindow, channels: &[&str]) -> Result<Unsent, Withheld> {
    let PaidWindow { closed, paid, charged, shard } = window;
    let release = paid.release();
    let noised = closed.query.mechanism.release(paid, closed.cells).map_err(|error| {
        give_up(ledger, release);
        Withheld::Undrawn(error)
    })?;
    let committed = ledger.chain_head(&closed.query.name).and_then(|prev_receipt| {
        let facts = Facts {
            query: &closed.query,
            policy: &closed.policy,
            window: closed.window,
            circumstances: closed.circumstances,
            shard,
            charged,
            prev_receipt,
        };
        let receipt = Receipt::new(facts, &noised).beside(channels);
        ledger.commit(noised, &receipt)
    });
    committed.map_err(|error| uncommitted(ledger, release, error))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use privet_dp::exact::Exact;
    use privet_dp::mechanism::Cells;
    use privet_dp::receipt::verify;
    use privet_dp::window::Circumstances;

    use super::super::tests::{Bench, NOON, POLICY};
    use super::*;

    fn ledger(bench: &Bench) -> Arc<Ledger> {
        Arc::new(Ledger::open(&bench.settings().ledger).unwrap())
    }

    /// A commit whose answer was lost may have happened: what the chain goes on from leaves first.
    #[test]
    fn a_receipt_whose_commit_was_not_answered_leaves_before_the_next() {
        let bench = Bench::at(NOON);
        let ledger = ledger(&bench);
        let mut releaser = bench.releaser(&ledger).at_pace(Pace::NONE);
        let query = Arc::clone(&bench.plans.exports[0].query);
        let window = query.schedule.tiling().window_at(NOON - 3600);
        let (circumstances, cells) = (Circumstances::whole(window), Exact::new(Cells::declared(1, vec![1, 2, 3])));
        let closed = ClosedWindow { query, window, policy: POLICY, circumstances, cells };
        let export = closed.query.name.clone();
        let unsent = draw(&ledger, spend(&ledger, &*bench.log, closed, ledger.shard(0)).unwrap(), &[]).unwrap();
        let lost = uncommitted(&ledger, unsent.release, LedgerError::Damaged);
        assert!(matches!(lost, Withheld::Uncertain(_)), "{lost}");
        releaser.release(Drawn::of(export, window, 1, Err(lost)));
        bench.clock.set(NOON + 3600);
        let outcomes = releaser.release_all(None);
        let waits =
            matches!(&outcomes[..], [Outcome { result: Err(Withheld::Unpublished(CannotPublish::Behind)), .. }]);
        assert!(waits, "{outcomes:?}");
        assert!(releaser.retry_at.is_some());
        releaser.publish_outbox();
        let files: Vec<Vec<u8>> = bench.files().iter().map(|file| fs::read(file).unwrap()).collect();
        assert_eq!(files.len(), 2);
        assert!(verify(&files.iter().map(Vec::as_slice).collect::<Vec<_>>()).is_ok());
    }

    /// A lease that is shorter than a slot would hold back what leaves at its end.
    #[test]
    fn the_lease_is_held_while_a_slot_is_waited_for() {
        let bench = Bench::at(NOON);
        let mut releaser = bench.releaser(&ledger(&bench));
        let now = releaser.shared.clock.monotonic();
        (releaser.hold_at, releaser.hold_every) = (Some(now), Duration::from_secs(1));
        let begun = Instant::now();
        releaser.wait_for(Pace::of(Duration::from_millis(300)).slot(begun, 1));
        assert!(begun.elapsed() >= Duration::from_millis(300));
        assert_eq!(releaser.hold_at, Some(now + Duration::from_secs(1)));
    }
}
