//! What hears of changes: a store's connection tells it, and it tells the memory.
//!
//! Promise: what is told in words that are not known here may have been anything, so all
//! that is in memory is forgotten. Not here: listening; that is the stores' own.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::subject::SubjectKey;
use super::{Backend, HEARD_FOR, Shared, StoreError, postgres, redis};

/// In place of a subject's key: the store lost its mark.
pub(super) const UNMARKED: &str = "unmarked";

/// What hears of changes tells this.
#[derive(Clone)]
pub(super) struct Listener(pub(super) Arc<Shared>);

impl Listener {
    /// Milliseconds on the monotonic clock.
    pub(super) fn now(&self) -> u64 {
        self.0.now_ms()
    }

    /// How long an answer to a heartbeat is waited for.
    pub(super) const fn patience(&self) -> Duration {
        HEARD_FOR
    }

    /// The check of the secret that a new store would be used with.
    pub(super) fn check(&self) -> Result<String, StoreError> {
        self.0.first_check()
    }

    /// Takes the secret with this check.
    pub(super) fn unlocked_by(&self, check: &str) -> Result<(), StoreError> {
        self.0.unlocked_by(check)
    }

    /// Whether the store still is what it was: one that had a check has it still.
    pub(super) fn not_emptied(&self, has_check: bool) -> Result<(), StoreError> {
        if has_check || !self.0.was_attached.load(Ordering::Acquire) { Ok(()) } else { Err(StoreError::Emptied) }
    }

    /// Whether refusals may get lost in the store, and why.
    pub(super) fn may_forget(&self, why: Option<&str>) {
        self.0.may_forget(why);
    }

    /// Why a store without its mark may have forgotten, and how it gets one.
    pub(super) fn not_whole(&self) -> &'static str {
        match &self.0.backend {
            Backend::Postgres(_) => postgres::NOT_WHOLE,
            Backend::Redis(_) | Backend::Embedded(_) => redis::NOT_WHOLE,
        }
    }

    /// From now on every change is heard; what was read before may have been changed unheard.
    pub(super) fn attached(&self) {
        self.0.known.clear();
        self.0.was_attached.store(true, Ordering::Release);
        self.0.attach();
        self.heard(self.now());
    }

    /// A heartbeat that was sent at a time was answered, and everything before it was heard.
    pub(super) fn heard(&self, sent_at_ms: u64) {
        let until = sent_at_ms + u64::try_from(HEARD_FOR.as_millis()).unwrap_or_default();
        self.0.heard_until_ms.store(until, Ordering::Release);
    }

    /// Somebody changed a record: `ORIGIN:KEY`. What is told otherwise may have been anything.
    pub(super) fn changed(&self, told: &str) {
        if told.split_once(':').is_some_and(|(_, word)| word == UNMARKED) {
            return self.may_forget(Some(self.not_whole()));
        }
        match told.split_once(':').and_then(|(_, key)| SubjectKey::from_hex(key)) {
            // What this process itself wrote, too: a write that it gave up may have come late.
            Some(key) => self.0.known.forget(&key),
            None => self.0.known.clear(),
        }
    }
}
