//! Refusals that wait to be written: of one subject one record, however often it refuses.
//!
//! Promise: bounded, and what waits is here until it is in the store, while it is being
//! written, too. What finds no room is told, so that nothing is lost silently. What waits
//! can be asked for: it counts already.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::record::Record;
use super::subject::{SubjectKey, SubjectKeys};

/// Subjects that wait.
const WAITING_MAX: usize = 65_536;
/// Subjects that are written at once.
const BATCH_MAX: usize = 512;
/// What the ids may take together, of subjects that have no key yet.
const IDS_BYTES_MAX: usize = 8 << 20;

/// What waits.
#[derive(Default)]
pub(super) struct Writer {
    waiting: Mutex<Waiting>,
    /// How many subjects wait, to be read without the lock.
    subjects: AtomicUsize,
    arrived: Notify,
}

#[derive(Default)]
struct Waiting {
    /// To be written next.
    ready: HashMap<SubjectKey, Record>,
    /// The store had no room for them.
    set_aside: HashMap<SubjectKey, Record>,
    /// It is not known yet which secret makes the store's keys.
    nameless: HashMap<Box<str>, Record>,
    ids_bytes: usize,
}

impl Writer {
    fn with<T>(&self, work: impl FnOnce(&mut Waiting) -> T) -> T {
        let mut waiting: MutexGuard<'_, Waiting> = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let done = work(&mut waiting);
        self.subjects.store(waiting.subjects(), Ordering::Release);
        done
    }

    /// Takes what was learned of a subject; `false` where there is no room for one more.
    pub(super) fn take(&self, key: SubjectKey, learned: &Record) -> bool {
        let taken = self.with(|waiting| waiting.take(key, learned));
        self.arrived.notify_one();
        taken
    }

    /// The same of a subject whose key cannot be made yet. Its id stays in memory, until it can.
    pub(super) fn take_nameless(&self, id: &str, learned: &Record) -> bool {
        let taken = self.with(|waiting| waiting.take_nameless(id, learned));
        self.arrived.notify_one();
        taken
    }

    /// The keys can be made now.
    pub(super) fn name(&self, keys: &SubjectKeys) {
        self.with(|waiting| {
            waiting.ids_bytes = 0;
            for (id, learned) in std::mem::take(&mut waiting.nameless) {
                let key = keys.of(&id);
                waiting.place_of(&key).entry(key).or_default().merge(&learned);
            }
        });
    }

    /// Waits until there is something to be written.
    pub(super) async fn something(&self) {
        while self.with(|waiting| waiting.ready.is_empty() && waiting.nameless.is_empty()) {
            self.arrived.notified().await;
        }
    }

    /// How many subjects wait, those included that are being written.
    pub(super) fn waiting(&self) -> usize {
        self.subjects.load(Ordering::Acquire)
    }

    /// How many subjects the store had no room for.
    pub(super) fn set_aside(&self) -> usize {
        self.with(|waiting| waiting.set_aside.len())
    }

    /// Whether something waits whose key cannot be made yet.
    pub(super) fn has_nameless(&self) -> bool {
        self.with(|waiting| !waiting.nameless.is_empty())
    }

    /// Shows what waits to be written of a subject.
    pub(super) fn look(&self, key: &SubjectKey, show: impl FnOnce(&Record)) {
        if self.waiting() > 0 {
            self.with(|waiting| waiting.ready.get(key).or_else(|| waiting.set_aside.get(key)).map(show));
        }
    }

    /// Some of what waits, to be written now. It waits on until it is said to be written.
    pub(super) fn batch(&self) -> Option<Vec<(SubjectKey, Record)>> {
        let batch: Vec<_> = self.with(|waiting| {
            let some = waiting.ready.iter().take(BATCH_MAX);
            some.map(|(key, learned)| (*key, learned.clone())).collect()
        });
        (!batch.is_empty()).then_some(batch)
    }

    /// A batch was written, except of those subjects that the store had no room for.
    pub(super) fn written(&self, batch: &[(SubjectKey, Record)], unfit: &[SubjectKey]) {
        self.with(|waiting| {
            for (key, written) in batch {
                if unfit.contains(key) {
                    waiting.put_aside(key);
                } else if waiting.ready.get(key) == Some(written) {
                    // Else more was learned meanwhile, and it waits on.
                    waiting.ready.remove(key);
                }
            }
        });
    }

    /// Some of what the store had no room for is tried again.
    pub(super) fn try_again(&self) {
        self.with(|waiting| {
            let some: Vec<SubjectKey> = waiting.set_aside.keys().take(BATCH_MAX).copied().collect();
            let some = some.iter().filter_map(|key| waiting.set_aside.remove_entry(key));
            waiting.ready.extend(some);
        });
    }
}

impl Waiting {
    fn subjects(&self) -> usize {
        self.ready.len() + self.set_aside.len() + self.nameless.len()
    }

    /// A subject waits once: where it waits already, or to be written.
    fn place_of(&mut self, key: &SubjectKey) -> &mut HashMap<SubjectKey, Record> {
        if self.set_aside.contains_key(key) { &mut self.set_aside } else { &mut self.ready }
    }

    fn take(&mut self, key: SubjectKey, learned: &Record) -> bool {
        let full = self.subjects() >= WAITING_MAX;
        let place = self.place_of(&key);
        if full && !place.contains_key(&key) {
            return false;
        }
        place.entry(key).or_default().merge(learned);
        true
    }

    fn take_nameless(&mut self, id: &str, learned: &Record) -> bool {
        if let Some(known) = self.nameless.get_mut(id) {
            known.merge(learned);
            return true;
        }
        let bytes = self.ids_bytes.saturating_add(id.len());
        if self.subjects() >= WAITING_MAX || bytes > IDS_BYTES_MAX {
            return false;
        }
        self.ids_bytes = bytes;
        self.nameless.insert(id.into(), learned.clone());
        true
    }

    fn put_aside(&mut self, key: &SubjectKey) {
        if let Some((key, learned)) = self.ready.remove_entry(key) {
            self.set_aside.entry(key).or_default().merge(&learned);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::Fact;
    use super::*;

    fn keys() -> SubjectKeys {
        SubjectKeys::new(&[1; 32])
    }

    fn key(id: &str) -> SubjectKey {
        keys().of(id)
    }

    fn refused(at_ms: i64) -> Record {
        Record::of([Fact::refused_on_the_wire("a")], at_ms)
    }

    fn waits_for(writer: &Writer, id: &str) -> Option<Record> {
        let mut found = None;
        writer.look(&key(id), |record| found = Some(record.clone()));
        found
    }

    #[test]
    fn one_subject_waits_once_with_its_newest_refusal_until_it_is_written() {
        let writer = Writer::default();
        assert!(writer.take(key("u-1"), &refused(1)) && writer.take(key("u-1"), &refused(3)));
        assert_eq!(writer.waiting(), 1);
        let batch = writer.batch().unwrap();
        assert!(batch == [(key("u-1"), refused(3))]);
        assert!(writer.waiting() == 1 && waits_for(&writer, "u-1") == Some(refused(3)), "it is only being written");
        assert!(writer.take(key("u-1"), &refused(4)));
        writer.written(&batch, &[]);
        assert!(writer.batch().unwrap() == [(key("u-1"), refused(4))], "more was learned meanwhile");
        writer.written(&[(key("u-1"), refused(4))], &[]);
        assert!(writer.batch().is_none() && writer.waiting() == 0 && waits_for(&writer, "u-1").is_none());
    }

    #[test]
    fn what_the_store_has_no_room_for_waits_aside_and_stops_nobody() {
        let writer = Writer::default();
        assert!(writer.take(key("new"), &refused(1)) && writer.take(key("known"), &refused(1)));
        let batch = writer.batch().unwrap();
        writer.written(&batch, &[key("new")]);
        assert!(writer.batch().is_none() && writer.waiting() == 1 && writer.set_aside() == 1);
        assert!(writer.take(key("new"), &refused(2)) && writer.batch().is_none(), "it still waits aside");
        assert_eq!(waits_for(&writer, "new"), Some(refused(2)));
        writer.try_again();
        assert!(writer.batch().unwrap() == [(key("new"), refused(2))] && writer.set_aside() == 0);
    }

    #[test]
    fn what_comes_before_the_keys_waits_by_its_id() {
        let writer = Writer::default();
        assert!(writer.take_nameless("u-1", &refused(1)) && writer.take_nameless("u-1", &refused(3)));
        assert!(writer.waiting() == 1 && writer.has_nameless() && writer.batch().is_none());
        assert!(writer.take(key("u-1"), &refused(2)));
        writer.name(&keys());
        assert!(writer.batch().unwrap() == [(key("u-1"), refused(3))] && !writer.has_nameless());
        let long = "x".repeat(IDS_BYTES_MAX - 2);
        assert!(writer.take_nameless(&long, &refused(1)) && !writer.take_nameless("u-2", &refused(1)));
        assert!(writer.take_nameless("u2", &refused(1)));
    }

    #[test]
    fn what_finds_no_room_is_told() {
        let writer = Writer::default();
        for number in 0..WAITING_MAX {
            assert!(writer.take(key(&number.to_string()), &refused(1)));
        }
        assert!(!writer.take(key("one more"), &refused(1)) && !writer.take_nameless("one more", &refused(1)));
        assert!(writer.take(key("0"), &refused(2)), "it has room already");
        let batch = writer.batch().unwrap();
        assert_eq!(batch.len(), BATCH_MAX);
        assert!(!writer.take(key("one more"), &refused(1)), "what is being written takes room");
        writer.written(&batch, &[]);
        assert!(writer.take(key("one more"), &refused(1)));
    }
}
