//! The tasks of this process, all owned by one set.
//!
//! Promise: after [`TaskSet::finish`] returns, no task of the set is running.
//! Not here: what the tasks do, and the pool connections of the HTTP client,
//! which end when the client is dropped.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Owns every task it spawns; clones share the ownership.
#[derive(Clone, Debug, Default)]
pub struct TaskSet {
    tracker: TaskTracker,
    kill: Signal,
}

/// Something that happens once and that many tasks wait for beside their work.
///
/// A task that works hard is polled often; looking at a flag then costs nothing,
/// where polling a [`CancellationToken`] would lock it each time.
#[derive(Clone, Debug, Default)]
pub struct Signal {
    raised: Arc<AtomicBool>,
    token: CancellationToken,
}

impl Signal {
    /// One that has not happened.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// It happens.
    pub fn raise(&self) {
        // Release, with the acquire in `or`: whoever sees the flag sees the token cancelled or is woken by it.
        self.raised.store(true, Ordering::Release);
        self.token.cancel();
    }

    /// Whether it happened.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Acquire)
    }

    /// Waits until it happens.
    pub async fn wait(&self) {
        self.token.cancelled().await;
    }

    /// Polls some work until it is done, or until this happens: then nothing.
    ///
    /// The wait is registered at the first poll and stays so, because a task keeps its waker.
    /// The result must be awaited in the task that first polls it.
    pub async fn or<T>(&self, mut work: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Option<T> {
        let mut wait = pin!(self.wait());
        let mut registered = false;
        poll_fn(|cx| {
            if let Poll::Ready(done) = work(cx) {
                return Poll::Ready(Some(done));
            }
            let look = !std::mem::replace(&mut registered, true) || self.is_raised();
            if look && wait.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            Poll::Pending
        })
        .await
    }
}

/// Whether the tasks of a set came to their own end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// All of them did.
    Complete,
    /// This many were cut off when the time was up.
    CutOff(usize),
}

impl TaskSet {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs a task until it ends or the set is finished.
    pub fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let kill = self.kill.clone();
        self.tracker.spawn(async move {
            let mut task = pin!(task);
            kill.or(|cx| task.as_mut().poll(cx)).await;
        });
    }

    /// The same from a thread of another runtime.
    pub fn spawn_on<F>(&self, task: F, runtime: &tokio::runtime::Handle)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let _inside = runtime.enter();
        self.spawn(task);
    }

    /// How many tasks are running.
    #[must_use]
    pub fn running(&self) -> usize {
        self.tracker.len()
    }

    /// Waits for all tasks, at most `grace`, then cuts the rest off.
    pub async fn finish(&self, grace: Duration) -> Finish {
        self.tracker.close();
        if tokio::time::timeout(grace, self.tracker.wait()).await.is_ok() {
            return Finish::Complete;
        }
        let cut = self.tracker.len();
        self.kill.raise();
        self.tracker.wait().await;
        if cut == 0 { Finish::Complete } else { Finish::CutOff(cut) }
    }
}

/// hyper runs each HTTP/2 stream as a task; they are owned like all others.
impl<F> hyper::rt::Executor<F> for TaskSet
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        self.spawn(async move {
            task.await;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waits_for_its_tasks() {
        let tasks = TaskSet::new();
        let done = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&done);
        tasks.spawn(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            flag.store(true, Ordering::SeqCst);
        });
        assert_eq!(tasks.finish(Duration::from_secs(5)).await, Finish::Complete);
        assert!(done.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn cuts_off_what_does_not_end() {
        let tasks = TaskSet::new();
        tasks.spawn(std::future::pending());
        tasks.spawn(std::future::pending());
        assert_eq!(tasks.finish(Duration::from_millis(10)).await, Finish::CutOff(2));
        assert_eq!(tasks.running(), 0);
    }
}
