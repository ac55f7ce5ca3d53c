//! Refusals that wait to be written: of one subject one record, however often it refuses.
//!
//! Promise: bounded. What finds no room is told, so that it is counted.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::record::Record;
use super::subject::SubjectKey;

/// Subjects that wait.
const WAITING_MAX: usize = 65_536;
/// Subjects that are written at once.
const BATCH_MAX: usize = 512;

/// What waits.
#[derive(Default)]
pub(super) struct Writer {
    waiting: Mutex<HashMap<SubjectKey, Record>>,
    arrived: Notify,
}

impl Writer {
    fn lock(&self) -> MutexGuard<'_, HashMap<SubjectKey, Record>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what was learned of a subject; `false` where there is no room for one more.
    pub(super) fn take(&self, key: SubjectKey, learned: &Record) -> bool {
        let taken = take_into(&mut self.lock(), key, learned);
        self.arrived.notify_one();
        taken
    }

    /// Waits until something waits.
    pub(super) async fn something(&self) {
        while self.waiting() == 0 {
            self.arrived.notified().await;
        }
    }

    /// How many subjects wait.
    pub(super) fn waiting(&self) -> usize {
        self.lock().len()
    }

    /// Some of what waits, to be written now.
    pub(super) fn batch(&self) -> Option<Vec<(SubjectKey, Record)>> {
        let mut waiting = self.lock();
        let keys: Vec<SubjectKey> = waiting.keys().take(BATCH_MAX).copied().collect();
        let batch: Vec<_> = keys.iter().filter_map(|key| waiting.remove_entry(key)).collect();
        (!batch.is_empty()).then_some(batch)
    }

    /// It was not written: it waits again. Tells for how many there is no room any more.
    pub(super) fn put_back(&self, batch: Vec<(SubjectKey, Record)>) -> usize {
        let mut waiting = self.lock();
        batch.into_iter().filter(|(key, learned)| !take_into(&mut waiting, *key, learned)).count()
    }
}

fn take_into(waiting: &mut HashMap<SubjectKey, Record>, key: SubjectKey, learned: &Record) -> bool {
    if waiting.len() >= WAITING_MAX && !waiting.contains_key(&key) {
        return false;
    }
    waiting.entry(key).or_default().merge(learned);
    true
}

#[cfg(test)]
mod tests {
    use super::super::record::Fact;
    use super::super::subject::SubjectKeys;
    use super::*;

    fn key(id: &str) -> SubjectKey {
        SubjectKeys::new(&[1; 32]).of(id)
    }

    fn refused(at_ms: i64) -> Record {
        Record::of([Fact::refused_on_the_wire("a")], at_ms)
    }

    #[test]
    fn one_subject_waits_once_with_its_newest_refusal() {
        let writer = Writer::default();
        assert!(writer.take(key("u-1"), &refused(1)) && writer.take(key("u-1"), &refused(3)));
        assert_eq!(writer.waiting(), 1);
        let batch = writer.batch().unwrap();
        assert!(batch == [(key("u-1"), refused(3))] && writer.batch().is_none());
        assert!(writer.take(key("u-1"), &refused(2)));
        assert_eq!(writer.put_back(batch), 0);
        assert!(writer.batch().unwrap() == [(key("u-1"), refused(3))]);
    }

    #[test]
    fn what_finds_no_room_is_told() {
        let writer = Writer::default();
        for number in 0..WAITING_MAX {
            assert!(writer.take(key(&number.to_string()), &refused(1)));
        }
        assert!(!writer.take(key("one more"), &refused(1)));
        assert!(writer.take(key("0"), &refused(2)), "it has room already");
        let batch = writer.batch().unwrap();
        assert_eq!(batch.len(), BATCH_MAX);
        for number in 0..5 {
            assert!(writer.take(key(&format!("new {number}")), &refused(1)));
        }
        assert_eq!(writer.put_back(batch), 5);
    }
}
