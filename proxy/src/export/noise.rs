//! The noise thread: it closes windows on time, pays, draws and publishes.
//!
//! Promise: one thread draws, so OpenDP's objects never cross threads and no
//! request waits for a draw. What was drawn leaves at its slot ([`super::pace`]),
//! whatever the draw took. A release that fails is withheld; the thread goes on.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use privet_dp::ledger::{Ledger, Shard, Unsent};
use privet_dp::query::Query;
use privet_dp::receipt::{Facts, Receipt};
use privet_dp::window::{ClosedWindow, Window};

use super::evidence::DpEvidence;
use super::observe::{Early, Waiting};
use super::pace::Pace;
use super::publish::{Publisher, in_chain_order};
use super::spend::{PaidWindow, spend};
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
    pace: Pace,
    /// When to try the outbox again, by the monotonic clock; `None` when it is empty.
    retry_at: Option<Duration>,
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
            pace: Pace::REAL,
            retry_at: None,
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
                }
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    self.release_all(None);
                }
            }
            if self.retry_at.is_some_and(|at| at <= self.shared.clock.monotonic()) {
                self.publish_outbox();
            }
        }
    }

    /// Releases a table that was brought. Its name does not depend on when the
    /// process started, so that bringing it again gives what is published.
    fn post(&mut self, closed: ClosedWindow) -> Result<Vec<u8>, Withheld> {
        let slot = self.pace.slot(Instant::now(), cells(&closed.query));
        let (export, window) = (closed.query.name.clone(), closed.window);
        let paid = spend(&self.ledger, &*self.evidence, closed, Shard::POSTED);
        let unsent = match paid {
            Ok(paid) => draw(&self.ledger, paid),
            Err(Withheld::Before(state)) => {
                let again = self.publisher.published(&export, window, Shard::POSTED);
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
        let slot = self.pace.slot(taken_at, due.iter().map(|waiting| cells(&waiting.query)).sum());
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
        let (export, window) = (waiting.query.name.clone(), waiting.window);
        let unsent = waiting.into_counts().and_then(|closed| {
            let shard = Shard { incarnation: self.ledger.incarnation(), part: closed.circumstances.part };
            let paid = spend(&self.ledger, &*self.evidence, closed, shard)?;
            draw(&self.ledger, paid)
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

    fn publish(&mut self, unsent: &Unsent) -> Result<Published, CannotPublish> {
        self.publisher
            .publish(unsent)
            .inspect_err(|_| self.retry_at = Some(self.shared.clock.monotonic() + RETRY_AFTER))
    }

    fn publish_outbox(&mut self) {
        self.retry_at = None;
        match self.ledger.unsent() {
            Ok(unsent) => in_chain_order(unsent).iter().for_each(|unsent| self.publish_again(unsent)),
            Err(error) => {
                self.retry_at = Some(self.shared.clock.monotonic() + RETRY_AFTER);
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot read the outbox");
            }
        }
    }

    fn publish_again(&mut self, unsent: &Unsent) {
        if self.publisher.is_being_sent(unsent.release) {
            return;
        }
        match self.publish(unsent) {
            Ok(_) => tracing::info!(release = %unsent.release, "published again, byte for byte"),
            Err(error) => {
                tracing::warn!(release = %unsent.release, error = &error as &dyn std::error::Error, "still cannot publish");
            }
        }
    }
}

/// How many numbers a release draws at most, whatever occurred in its window.
fn cells(query: &Query) -> usize {
    let spec = query.mechanism.spec();
    let canaries = spec.canaries as usize * query.mechanism.stages().len();
    query.keys.most() * (spec.aggregate.cells() + 1) + canaries
}

/// Draws once for a paid window and commits the receipt.
fn draw(ledger: &Ledger, window: PaidWindow) -> Result<Unsent, Withheld> {
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
        let receipt = Receipt::new(facts, &noised);
        ledger.commit(noised, &receipt).map_err(Withheld::Uncommitted)
    });
    if committed.is_err() {
        // If this fails too, the next start forfeits it; either way nothing is drawn again.
        ledger.forfeit(release).ok();
    }
    committed
}
