//! The noise thread: it closes windows on time, pays, draws and publishes.
//!
//! Promise: one thread draws, so OpenDP's objects never cross threads and no
//! request waits for a draw. What was drawn leaves at its slot ([`super::pace`]),
//! whatever the draw took. A release that fails is withheld; the thread goes on.

use std::collections::HashSet;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use privet_dp::ledger::{Claim, Ledger, ReleaseId, Shard, Unsent};
use privet_dp::local::ClosedReports;
use privet_dp::receipt::{AnyReceipt, Facts, LocalFacts, LocalReceipt, Receipt};
use privet_dp::window::{ClosedWindow, Window};

use super::counted::{Closed, cells};
use super::evidence::DpEvidence;
use super::observe::{Early, Waiting};
use super::pace::Pace;
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
                    self.release_all(None);
                }
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => return self.stop(),
                Err(RecvTimeoutError::Timeout) => {
                    self.release_all(None);
                }
            }
            if self.hold_at.is_some_and(|at| at <= self.shared.clock.monotonic()) {
                self.hold();
            }
            if self.retry_at.is_some_and(|at| at <= self.shared.clock.monotonic()) {
                self.publish_outbox();
            }
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
        // Each by itself: one budget without room is no reason not to pay for the others.
        for claim in ahead {
            if let Err(error) = self.ledger.lease(&[claim]) {
                tracing::debug!(error = &error as &dyn std::error::Error, "a window is not paid for ahead");
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
        let slot = self.pace.slot(Instant::now(), cells(&closed.query));
        let (export, window) = (closed.query.name.clone(), closed.window);
        let shard = self.ledger.posted();
        let paid = spend(&self.ledger, &*self.evidence, closed, shard);
        let unsent = match paid {
            Ok(paid) => draw(&self.ledger, paid, &self.channels),
            Err(Withheld::Before(state)) => {
                let again = self.publisher.published(&export, window, shard);
                return again.ok_or(Withheld::Before(state));
            }
            Err(withheld) => Err(withheld),
        };
        slot.wait();
        let bytes = unsent.as_ref().map_or_else(|_| Vec::new(), |unsent| unsent.receipt.clone());
        self.release(Drawn { export, window, unsent }).result.map(|_| bytes)
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
        let slot = self.pace.slot(taken_at, due.iter().map(|waiting| waiting.counted.cells()).sum());
        let drawn: Vec<Drawn> = due.into_iter().map(|waiting| self.pay_and_draw(waiting)).collect();
        slot.wait();
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
        let (export, window) = (waiting.counted.name().to_owned(), waiting.window);
        let unsent = waiting.into_counts().and_then(|closed| match closed {
            Closed::Rows(closed) => {
                let shard = self.ledger.shard(closed.circumstances.part);
                draw(&self.ledger, spend(&self.ledger, &*self.evidence, closed, shard)?, &self.channels)
            }
            Closed::Reports(closed) => decode(&self.ledger, &closed, self.ledger.shard(closed.circumstances.part)),
        });
        Drawn { export, window, unsent }
    }

    fn release(&mut self, drawn: Drawn) -> Outcome {
        let Drawn { export, window, unsent } = drawn;
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
    if committed.is_err() {
        give_up(ledger, release);
    }
    committed.map_err(Withheld::Uncommitted)
}

/// Draws once for a paid window and commits the receipt.
fn draw(ledger: &Ledger, window: PaidWindow, channels: &[&str]) -> Result<Unsent, Withheld> {
    let PaidWindow { closed, paid, charged, shard } = window;
    let release = paid.release();
    let drawn = closed.query.mechanism.release(paid, closed.cells).map_err(Withheld::Undrawn);
    let committed = drawn.and_then(|noised| {
        let prev_receipt = ledger.chain_head(&closed.query.name).map_err(Withheld::Uncommitted)?;
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
        ledger.commit(noised, &receipt).map_err(Withheld::Uncommitted)
    });
    if committed.is_err() {
        give_up(ledger, release);
    }
    committed
}
