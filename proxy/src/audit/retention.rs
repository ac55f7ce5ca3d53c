//! Removes incarnations that are old enough, after the log says so. Beside the writer's thread:
//! looking through old incarnations may take a while, and no request waits for it.

use std::io;

use privet_audit_log::NotProved;
use privet_audit_log::record::{Record, Retired};
use privet_audit_log::retention::{self, Due, Removed};
use tokio::sync::oneshot;

use super::{CannotRecord, Command, Recorder};

/// Why old incarnations stay for now.
#[derive(Debug, thiserror::Error)]
pub enum CannotRetire {
    /// They cannot be looked through or removed.
    #[error("cannot look through or remove old incarnations of the enforcement log")]
    Disk(#[from] io::Error),
    /// When an incarnation ended is not proved, so it and all after it stay.
    #[error(
        "when an incarnation of the enforcement log ended cannot be proved by the keys in `log.anchor_dir`; restore its files or its key, or remove it yourself, which an auditor will find"
    )]
    NotProved(#[from] NotProved),
    /// It cannot be recorded, so it is not done.
    #[error("cannot record that old incarnations of the enforcement log are removed")]
    Record(#[from] CannotRecord),
}

impl Recorder {
    /// Removes the incarnations that ended more than `days` before `now_ms` (Unix time), with the policies that
    /// only they name. Blocks on the disk and on the writer: for a thread of its own.
    ///
    /// # Errors
    /// What is left is due the next time.
    pub fn retire(&self, days: u32, now_ms: i64) -> Result<Removed, CannotRetire> {
        let shared = &self.shared;
        let Due { retired, held } = retention::due(&shared.log_dir, shared.anchor.as_deref(), days, now_ms)?;
        let removed = if retired.is_empty() { Removed::default() } else { self.remove(&retired)? };
        held.map_or(Ok(removed), |held| Err(held.into()))
    }

    /// States what is removed, and removes it.
    fn remove(&self, due: &[Retired]) -> Result<Removed, CannotRetire> {
        self.state_retired(due)?;
        // Whoever loads a policy waits, so that none is stored and removed at once.
        let loaded = self.shared.bundles();
        Ok(retention::remove(&self.shared.log_dir, due, self.shared.incarnation, &loaded)?)
    }

    /// All in one commit: returns when they are durable.
    fn state_retired(&self, due: &[Retired]) -> Result<(), CannotRecord> {
        let mut waits = Vec::new();
        let mut state = self.shared.lock();
        for retired in due {
            let (done, wait) = oneshot::channel();
            state.commands.push(Command::Record(Box::new(Record::Retired(retired.clone())), done));
            waits.push(wait);
        }
        drop(state);
        self.shared.wake.notify_one();
        waits.into_iter().try_for_each(|wait| wait.blocking_recv().unwrap_or(Err(CannotRecord::Closed)))
    }
}
