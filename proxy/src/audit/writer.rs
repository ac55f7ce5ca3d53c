//! The thread that owns the log: it takes what the request path counted, writes it in one
//! group, waits for the disk once, and wakes everybody whose numbers were in it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use privet_audit_log::{LEAF_MS, Log, Work, WriteError};
use tokio::sync::oneshot;

use super::{CannotRecord, Command, Shared, State, moment};
use crate::clock::Clock;

/// While nothing happens the writer looks for due heartbeats and checkpoints this often.
const IDLE_MS: u64 = 1000;
/// A disk that failed is tried again this often.
const RETRY_MS: u64 = 1000;

/// Owns the log, on a thread of its own.
pub(super) struct Writer {
    pub(super) log: Log,
    pub(super) shared: Arc<Shared>,
    pub(super) clock: Arc<dyn Clock>,
    /// Work that a failing disk did not take; it goes before anything newer.
    pub(super) owed: Option<Work>,
    /// When the failing disk is tried again, on the clock's monotonic time.
    pub(super) retry_at: Duration,
}

/// What one turn took from the request path.
struct Turn {
    work: Work,
    waiters: Vec<oneshot::Sender<Result<(), CannotRecord>>>,
    recorded: Vec<oneshot::Sender<Result<(), CannotRecord>>>,
    close: Option<oneshot::Sender<Result<(), CannotRecord>>>,
    covered: u64,
}

/// What became of one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    /// It is durable, and signed where that was asked for.
    Whole,
    /// It is durable and counts, and the checkpoint that was asked for is missing.
    Unsigned,
    /// Nothing of it counts.
    Nothing,
}

impl Written {
    fn of(done: &Result<(), WriteError>) -> Self {
        match done {
            Ok(()) => Self::Whole,
            Err(WriteError::Unsigned(_)) => Self::Unsigned,
            Err(_) => Self::Nothing,
        }
    }

    /// What those are told who wait for the disk alone.
    const fn durable(self) -> Result<(), CannotRecord> {
        if matches!(self, Self::Nothing) { Err(CannotRecord::Disk) } else { Ok(()) }
    }

    /// What those are told who wait for a signed checkpoint.
    const fn signed(self) -> Result<(), CannotRecord> {
        if matches!(self, Self::Whole) { Ok(()) } else { Err(CannotRecord::Disk) }
    }
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
    pub(super) fn run(mut self) {
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
        let shared = Arc::clone(&self.shared);
        let mut state = wait(&shared);
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
        let written = self.commit(&work);
        let durable = written.durable();
        if durable.is_ok() {
            let mut state = self.shared.lock();
            state.unsynced = state.unsynced.saturating_sub(covered);
        } else {
            // What was asked to be recorded by itself was refused; the counts are owed.
            work.records.clear();
            work.checkpoint = false;
            self.owed = Some(work);
        }
        for waiter in waiters {
            let _ = waiter.send(durable);
        }
        for waiter in recorded {
            let _ = waiter.send(written.signed());
        }
    }

    fn commit(&mut self, work: &Work) -> Written {
        let done = self.log.commit(work, moment(self.clock.as_ref()));
        self.shared.outstanding.store(self.log.outstanding() as u64, Ordering::Relaxed);
        let healthy = self.log.is_healthy();
        if self.shared.healthy.swap(healthy, Ordering::Relaxed) != healthy {
            self.shared.lock().healthy = healthy;
        }
        let written = Written::of(&done);
        if written.durable().is_ok() {
            self.shared.running.lock().unwrap_or_else(PoisonError::into_inner).committed(work, &self.log);
        }
        if let Err(error) = &done {
            tracing::error!(error = %error, "cannot record; requests are refused until the log can be written");
        }
        written
    }

    /// Writes what an earlier failure left; `false` while the disk still refuses.
    fn pay_owed(&mut self) -> bool {
        let Some(work) = self.owed.take() else { return true };
        let now = self.clock.monotonic();
        let due = now >= self.retry_at;
        if due && self.commit(&work).durable().is_ok() {
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

/// Sleeps while nothing is counted; from the first count on lets a leaf wait for company.
fn wait(shared: &Shared) -> MutexGuard<'_, State> {
    let wake = &shared.wake;
    let mut state = shared.lock();
    if !is_urgent(&state) && state.delta.is_empty() {
        state.idle = true;
        let idle = |state: &mut State| state.idle && !is_urgent(state);
        let waited = wake.wait_timeout_while(state, Duration::from_millis(IDLE_MS), idle);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.idle = false;
    }
    if !is_urgent(&state) && !state.delta.is_empty() {
        let waited = wake.wait_timeout_while(state, Duration::from_millis(LEAF_MS), |state| !is_urgent(state));
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
    state
}

fn is_urgent(state: &State) -> bool {
    state.kicked || !state.waiters.is_empty() || !state.commands.is_empty()
}
