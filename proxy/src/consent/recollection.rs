//! The store as one pass over a request's events sees it: what is in memory, and what was fetched.
//!
//! Promise: nothing waits here. What is not known is unavailable, and told, so that it can
//! be asked for and the pass be made once more. What waits to be written counts already.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::Ordering;

use privet_policy::consent::{StoreUnavailable, Stored, StoredDecisions};
use privet_policy::policy::{AgeClass, Policy, PurposeNo};

use super::cache::Reading;
use super::record::Record;
use super::subject::SubjectKey;
use super::{Backend, Shared};
use crate::metrics::ConsentLookup;
use crate::remember;

/// Subjects of one request that are asked about; of any more the answer is "unavailable".
const SUBJECTS_MAX: usize = 8_192;

/// What was fetched for one request; `None` where the store did not answer.
#[derive(Default)]
pub struct Answers(pub(super) HashMap<SubjectKey, Option<Reading>>);

impl Answers {
    /// The subjects whose records may have changed since they were read.
    pub(super) fn doubtful(&self, store: &Shared) -> Vec<SubjectKey> {
        let now_ms = store.now_ms();
        let age_ms_max = store.age_ms_max(now_ms);
        let stands = |key: &SubjectKey, reading: &Reading| {
            store.known.stands(key, reading) && !reading.begun.is_older_than(age_ms_max, now_ms)
        };
        let doubtful =
            self.0.iter().filter(|(key, reading)| reading.as_ref().is_some_and(|reading| !stands(key, reading)));
        doubtful.map(|(key, _)| *key).collect()
    }

    /// Whether one more subject may be asked about.
    fn has_room(&self, missed: usize) -> bool {
        self.0.len() + missed < SUBJECTS_MAX
    }
}

/// The store for one pass over a request's events: from the cache and what was fetched, without waiting.
pub struct Recollection<'a> {
    pub(super) store: &'a Shared,
    pub(super) policy: &'a Policy,
    pub(super) remembered: remember::Under<'a>,
    pub(super) answers: &'a Answers,
    pub(super) missed: RefCell<Vec<SubjectKey>>,
}

impl Recollection<'_> {
    /// The subjects that nothing is known of yet: ask, and pass once more.
    #[must_use]
    pub fn missed(self) -> Vec<SubjectKey> {
        let mut missed = self.missed.into_inner();
        missed.sort_unstable();
        missed.dedup();
        missed
    }

    fn known(
        &self,
        record: &Record,
        each: &mut dyn FnMut(PurposeNo, Stored),
    ) -> Result<Option<AgeClass>, StoreUnavailable> {
        record.recall(self.policy, each);
        // A store that lost a refusal may have lost this subject's.
        if record.is_empty() && self.store.debt.is_open() {
            return Err(StoreUnavailable);
        }
        Ok(record.age())
    }
}

impl StoredDecisions for Recollection<'_> {
    fn is_empty(&self) -> bool {
        let nothing = match &self.store.backend {
            Backend::Embedded(store) => store.is_empty() && self.store.attached.load(Ordering::Acquire),
            Backend::Redis(_) | Backend::Postgres(_) => false,
        };
        nothing && self.remembered.is_empty() && self.store.writer.waiting() == 0 && !self.store.debt.is_open()
    }

    fn recall(&self, subject: &str, each: &mut dyn FnMut(PurposeNo, Stored)) -> Result<(), StoreUnavailable> {
        self.recall_with_age(subject, each).map(|_| ())
    }

    fn recall_with_age(
        &self,
        subject: &str,
        each: &mut dyn FnMut(PurposeNo, Stored),
    ) -> Result<Option<AgeClass>, StoreUnavailable> {
        self.remembered.recall(subject, each)?;
        let key = self.store.key_of(subject).map_err(|_| StoreUnavailable)?;
        self.store.writer.look(&key, |waiting| waiting.recall(self.policy, each));
        if let Some(answer) = self.answers.0.get(&key) {
            let reading = answer.as_ref().ok_or(StoreUnavailable)?;
            return self.known(&reading.record, each);
        }
        let now_ms = self.store.now_ms();
        let seen =
            self.store.known.look(&key, now_ms, self.store.age_ms_max(now_ms), |record| self.known(record, each));
        match seen {
            Some(known) => {
                self.store.metrics.consent_lookups.of(ConsentLookup::Cached).increment(1);
                known
            }
            None => {
                let mut missed = self.missed.borrow_mut();
                if self.answers.has_room(missed.len()) {
                    missed.push(key);
                } else {
                    self.store.metrics.consent_lookups.of(ConsentLookup::TooMany).increment(1);
                }
                Err(StoreUnavailable)
            }
        }
    }
}
