//! The thread that sends receipts, in order for each export, until they are taken.
//!
//! Promise: nothing that was paid for is dropped. What waits here is a name; the
//! bytes are in the ledger and are read for each attempt, so memory does not
//! grow while a receiver is down, and a restart loses nothing. The receipts of
//! one export arrive in the order of their chain; an export whose receipt is
//! refused does not hold up another's.
//!
//! Not here: when a window is released. This thread is handed what is out
//! already, so what it does tells nothing about noise.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use privet_dp::ledger::{Ledger, ReleaseId};
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::post::{Attempt, Post};
use crate::metrics::{Metrics, PostOutcome};

/// Names that wait. What comes on top waits in the ledger until there is room.
const WAITING_MAX: usize = 4096;

/// After a failure, doubled with each one more.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MOST: Duration = Duration::from_secs(300);

/// After a refusal, which somebody has to look into.
const RETRY_REFUSED: Duration = Duration::from_secs(900);

/// How long what is due may still be sent when the process stops; the rest is sent after the next start.
const STOP_WITHIN: Duration = Duration::from_secs(2);

/// The running thread.
pub(super) struct Sender {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the noise thread adds to and the sending thread takes from.
#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    /// Tells the attempt that is under way that the process stops.
    stopping: CancellationToken,
}

#[derive(Default)]
struct Queue {
    lanes: BTreeMap<String, Lane>,
    /// When to end, once the process stops.
    stop_by: Option<Instant>,
}

/// The receipts of one export that wait.
struct Lane {
    waiting: VecDeque<ReleaseId>,
    failures: u32,
    not_before: Instant,
}

/// What to send now.
struct Due {
    export: String,
    release: ReleaseId,
    within: Duration,
}

impl Sender {
    /// Starts the thread.
    pub(super) fn start(post: Post, ledger: Arc<Ledger>, metrics: Option<Arc<Metrics>>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let shared = Arc::new(Shared::default());
        let carrier = Carrier { shared: Arc::clone(&shared), post, ledger, metrics, runtime };
        let thread = Builder::new().name("privet-publish".to_owned()).spawn(move || carrier.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Whether no more may wait. Only one thread adds, so what it finds room for it can add.
    pub(super) fn is_full(&self) -> bool {
        self.shared.lock().lanes.values().map(|lane| lane.waiting.len()).sum::<usize>() >= WAITING_MAX
    }

    /// Sends a release after those of its export that wait.
    pub(super) fn send(&self, export: String, release: ReleaseId) {
        let mut queue = self.shared.lock();
        queue.lanes.entry(export).or_insert_with(Lane::new).waiting.push_back(release);
        self.shared.changed.notify_one();
    }

    /// Whether a release waits or is being sent.
    pub(super) fn holds(&self, release: ReleaseId) -> bool {
        self.shared.lock().lanes.values().any(|lane| lane.waiting.contains(&release))
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.shared.lock().stop_by = Some(Instant::now() + STOP_WITHIN);
        self.shared.stopping.cancel();
        self.shared.changed.notify_one();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!(
                "the thread that sends receipts had panicked; what it did not send is sent after the next start"
            );
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something to send; `None` when the process stops.
    fn next(&self) -> Option<Due> {
        let mut queue = self.lock();
        loop {
            let now = Instant::now();
            if queue.stop_by.is_some_and(|stop_by| stop_by <= now) {
                return None;
            }
            let (at, export) = match queue.earliest() {
                Some(earliest) => earliest,
                None if queue.stop_by.is_some() => return None,
                None => {
                    queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
                    continue;
                }
            };
            if at <= now {
                let within = queue.stop_by.map_or(Duration::MAX, |stop_by| stop_by.saturating_duration_since(now));
                return queue.front(&export).map(|release| Due { export, release, within });
            }
            // When the process stops, what waits for another try is left to the next start.
            if queue.stop_by.is_some() {
                return None;
            }
            let waited = self.changed.wait_timeout(queue, at - now);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Returns when the process has been stopping for as long as sending may go on.
    async fn stopped(&self) {
        self.stopping.cancelled().await;
        tokio::time::sleep(STOP_WITHIN).await;
    }

    fn taken(&self, export: &str) {
        let mut queue = self.lock();
        let Some(lane) = queue.lanes.get_mut(export) else { return };
        lane.waiting.pop_front();
        lane.failures = 0;
        if lane.waiting.is_empty() {
            queue.lanes.remove(export);
        }
    }

    fn try_again(&self, export: &str, refused: bool) {
        if let Some(lane) = self.lock().lanes.get_mut(export) {
            lane.failures = lane.failures.saturating_add(1);
            lane.not_before = Instant::now() + jittered(pause(lane.failures, refused));
        }
    }
}

impl Queue {
    fn earliest(&self) -> Option<(Instant, String)> {
        let earliest = self.lanes.iter().min_by_key(|(_, lane)| lane.not_before);
        earliest.map(|(export, lane)| (lane.not_before, export.clone()))
    }

    fn front(&self, export: &str) -> Option<ReleaseId> {
        self.lanes.get(export)?.waiting.front().copied()
    }
}

impl Lane {
    fn new() -> Self {
        Self { waiting: VecDeque::new(), failures: 0, not_before: Instant::now() }
    }
}

/// How long to wait at most after so many failures in a row.
fn pause(failures: u32, refused: bool) -> Duration {
    if refused {
        return RETRY_REFUSED;
    }
    let doublings = failures.saturating_sub(1).min(16);
    RETRY_FIRST.saturating_mul(1 << doublings).min(RETRY_MOST)
}

/// Between half of it and all of it, so that pods do not come back together.
fn jittered(pause: Duration) -> Duration {
    let mut random = [0; 4];
    if SystemRandom::new().fill(&mut random).is_err() {
        return pause;
    }
    let half = pause / 2;
    half + half.mul_f64(f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX))
}

/// What the thread works with.
struct Carrier {
    shared: Arc<Shared>,
    post: Post,
    ledger: Arc<Ledger>,
    metrics: Option<Arc<Metrics>>,
    runtime: Runtime,
}

impl Carrier {
    fn run(self) {
        while let Some(due) = self.shared.next() {
            self.carry(&due);
        }
    }

    fn carry(&self, due: &Due) {
        let Due { export, release, within } = due;
        if let Err(error) = self.ledger.may_publish() {
            tracing::warn!(%release, error = &error as &dyn std::error::Error, "a receipt may not be sent yet");
            return self.shared.try_again(export, false);
        }
        match self.ledger.committed(*release) {
            Ok(Some(receipt)) => {
                let name = release.to_string();
                let attempt = self.runtime.block_on(async {
                    tokio::select! {
                        attempt = self.post.attempt(&name, receipt, *within) => attempt,
                        () = self.shared.stopped() => Attempt::Unanswered,
                    }
                });
                self.count(attempt);
                self.conclude(due, attempt);
            }
            // Acknowledged already.
            Ok(None) => self.shared.taken(export),
            Err(error) => {
                tracing::warn!(%release, error = &error as &dyn std::error::Error, "cannot read the outbox");
                self.shared.try_again(export, false);
            }
        }
    }

    fn conclude(&self, due: &Due, attempt: Attempt) {
        let Due { export, release, .. } = due;
        match attempt {
            Attempt::Taken => return self.acknowledge(due),
            Attempt::Refused(status) => tracing::error!(
                export, %release, status = status.as_u16(),
                "the receiver refuses this receipt; it is kept and tried again every quarter of an hour"
            ),
            Attempt::Later(status) => tracing::warn!(
                export, %release, status = status.as_u16(), "the receiver cannot take a receipt now; it is tried again"
            ),
            Attempt::Unanswered => {
                tracing::warn!(export, %release, "the receiver does not answer; the receipt is sent again");
            }
            Attempt::Unprepared => {
                tracing::error!(export, %release, "the receiver's token file holds no token; it is read again");
            }
        }
        self.shared.try_again(export, matches!(attempt, Attempt::Refused(_)));
    }

    /// What cannot be acknowledged is sent again, which the receiver knows by its key.
    fn acknowledge(&self, due: &Due) {
        let Due { export, release, .. } = due;
        match self.ledger.acknowledge(*release) {
            Ok(()) => {
                tracing::info!(export, %release, "the receiver took a receipt");
                self.shared.taken(export);
            }
            Err(error) => {
                tracing::warn!(%release, error = &error as &dyn std::error::Error, "cannot acknowledge a release");
                self.shared.try_again(export, false);
            }
        }
    }

    fn count(&self, attempt: Attempt) {
        if let Some(metrics) = &self.metrics {
            metrics.export_posts.of(outcome(attempt)).increment(1);
        }
    }
}

const fn outcome(attempt: Attempt) -> PostOutcome {
    match attempt {
        Attempt::Taken => PostOutcome::Taken,
        Attempt::Refused(_) => PostOutcome::Refused,
        Attempt::Later(_) => PostOutcome::Later,
        Attempt::Unanswered | Attempt::Unprepared => PostOutcome::Unanswered,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_refusals_wait_long() {
        let pauses = [1, 2, 3, 9, 10, u32::MAX].map(|failures| pause(failures, false).as_secs());
        assert_eq!(pauses, [1, 2, 4, 256, 300, 300]);
        assert_eq!(pause(1, true), RETRY_REFUSED);
    }

    #[test]
    fn jitter_takes_half_at_most() {
        for _ in 0..1000 {
            let waited = jittered(Duration::from_secs(8));
            assert!((Duration::from_secs(4)..=Duration::from_secs(8)).contains(&waited), "{waited:?}");
        }
    }
}
