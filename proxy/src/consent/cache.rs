//! Records that were read from the store a moment ago.
//!
//! Promise: bounded in bytes; an entry that was read before somebody changed its
//! subject's record is not served once that is known here, and cannot come back by a
//! reading that was under way meanwhile. How old an entry may be says whoever asks.
//! A subject of whom nothing is stored has an entry too. Not here: learning what
//! changed; the stores tell.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::record::Record;
use super::subject::SubjectKey;

/// Parts with a lock of their own: a power of two.
const SHARDS: u64 = 32;
/// What an entry takes beside its record.
const ENTRY_BYTES: usize = 96;

/// The cache.
pub(super) struct Cache {
    shards: Box<[RwLock<Shard>]>,
    /// What one generation of one shard may take.
    generation_bytes_max: usize,
}

/// Two generations: when the young one is full it becomes the old one.
#[derive(Default)]
struct Shard {
    young: Generation,
    old: Generation,
    young_bytes: usize,
    /// Counts what was forgotten or changed, so that a reading knows whether it is still true.
    changes: u64,
}

type Generation = HashMap<SubjectKey, Entry, BuildHasherDefault<AsItIs>>;

struct Entry {
    record: Arc<Record>,
    /// When the reading began, in milliseconds on the monotonic clock.
    read_at_ms: u64,
}

/// A subject's key is a hash already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(head) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*head);
        }
    }

    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

/// What a reading has to show when it comes back.
#[derive(Clone, Copy)]
pub(super) struct Begun {
    changes: u64,
    /// In milliseconds on the monotonic clock.
    at_ms: u64,
}

/// A record and since when it is known.
#[derive(Clone)]
pub(super) struct Reading {
    pub(super) record: Arc<Record>,
    pub(super) begun: Begun,
}

impl Begun {
    /// Whether a reading that began then is too old to be believed now.
    pub(super) const fn is_older_than(self, age_ms_max: u64, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.at_ms) >= age_ms_max
    }
}

impl Cache {
    pub(super) fn of_bytes(bytes_max: usize) -> Self {
        let shards = (0..SHARDS).map(|_| RwLock::default()).collect();
        Self { shards, generation_bytes_max: bytes_max / (2 * SHARDS as usize) }
    }

    fn shard(&self, key: &SubjectKey) -> Option<&RwLock<Shard>> {
        // The map looks at the low bits and at the highest seven.
        self.shards.get(usize::try_from((key.number() >> 40) % SHARDS).unwrap_or_default())
    }

    fn read(&self, key: &SubjectKey) -> Option<RwLockReadGuard<'_, Shard>> {
        Some(self.shard(key)?.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, key: &SubjectKey) -> Option<RwLockWriteGuard<'_, Shard>> {
        Some(self.shard(key)?.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Shows the record of a subject, if it was read no longer ago than `age_ms_max`.
    pub(super) fn look<T>(
        &self,
        key: &SubjectKey,
        now_ms: u64,
        age_ms_max: u64,
        show: impl FnOnce(&Record) -> T,
    ) -> Option<T> {
        let shard = self.read(key)?;
        let entry = shard.young.get(key).or_else(|| shard.old.get(key))?;
        (now_ms.saturating_sub(entry.read_at_ms) < age_ms_max).then(|| show(&entry.record))
    }

    /// Says that a reading of this subject begins.
    pub(super) fn begin(&self, key: &SubjectKey, now_ms: u64) -> Begun {
        Begun { changes: self.read(key).map_or(0, |shard| shard.changes), at_ms: now_ms }
    }

    /// The same reading as of now, of which is known that nothing has overtaken it.
    pub(super) fn confirmed(&self, key: &SubjectKey, begun: Begun) -> Begun {
        self.begin(key, begun.at_ms)
    }

    /// Whether nothing changed since, nor with this subject nor with its neighbours.
    pub(super) fn stands(&self, key: &SubjectKey, begun: Begun) -> bool {
        self.read(key).is_some_and(|shard| shard.changes == begun.changes)
    }

    /// Keeps what a reading found, unless something changed since it began.
    pub(super) fn keep(&self, key: SubjectKey, Reading { record, begun }: Reading) {
        let bytes = ENTRY_BYTES + record.bytes();
        let Some(mut shard) = self.write(&key) else { return };
        if shard.changes != begun.changes || bytes > self.generation_bytes_max {
            return;
        }
        if shard.young_bytes + bytes > self.generation_bytes_max {
            shard.old = std::mem::take(&mut shard.young);
            shard.young_bytes = 0;
        }
        shard.young_bytes += bytes;
        shard.young.insert(key, Entry { record, read_at_ms: begun.at_ms });
    }

    /// Drops a subject's entry: its record was changed by somebody.
    pub(super) fn forget(&self, key: &SubjectKey) {
        let Some(mut shard) = self.write(key) else { return };
        shard.changes += 1;
        // What it took stays counted until the generation goes, so the bound only gets stricter.
        shard.young.remove(key);
        shard.old.remove(key);
    }

    /// Drops everything: nobody told what changed meanwhile.
    pub(super) fn clear(&self) {
        for shard in &self.shards {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            *shard = Shard { changes: shard.changes + 1, ..Shard::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::Fact;
    use super::super::subject::SubjectKeys;
    use super::*;

    fn key(id: &str) -> SubjectKey {
        SubjectKeys::new(&[1; 32]).of(id)
    }

    fn refused() -> Record {
        Record::of([Fact::refused_on_the_wire("a")], 1)
    }

    fn known(cache: &Cache, id: &str, now_ms: u64) -> Option<Record> {
        cache.look(&key(id), now_ms, 1_000, Record::clone)
    }

    #[test]
    fn an_entry_is_served_until_it_is_too_old() {
        let cache = Cache::of_bytes(1 << 20);
        assert_eq!(known(&cache, "u-1", 5), None);
        cache.keep(key("u-1"), Reading { begun: cache.begin(&key("u-1"), 5), record: Arc::new(refused()) });
        cache.keep(key("u-2"), Reading { begun: cache.begin(&key("u-2"), 5), record: Arc::default() });
        assert_eq!(known(&cache, "u-1", 1_004), Some(refused()));
        assert_eq!(known(&cache, "u-2", 1_004), Some(Record::default()), "that nothing is stored is known too");
        assert_eq!(known(&cache, "u-1", 1_005), None);
    }

    #[test]
    fn a_reading_that_was_overtaken_is_not_kept() {
        let cache = Cache::of_bytes(1 << 20);
        let begun = cache.begin(&key("u-1"), 5);
        cache.forget(&key("u-1"));
        cache.keep(key("u-1"), Reading { begun, record: Arc::default() });
        assert_eq!(known(&cache, "u-1", 6), None);
        let begun = cache.begin(&key("u-1"), 6);
        cache.clear();
        cache.keep(key("u-1"), Reading { begun, record: Arc::default() });
        assert_eq!(known(&cache, "u-1", 7), None);
    }

    #[test]
    fn memory_is_bounded_whoever_comes() {
        let cache = Cache::of_bytes(1 << 20);
        for number in 0..50_000 {
            let key = key(&number.to_string());
            cache.keep(key, Reading { begun: cache.begin(&key, 0), record: Arc::new(refused()) });
        }
        let (mut entries, mut bytes) = (0, 0);
        for shard in &cache.shards {
            let shard = shard.read().unwrap();
            let all = shard.young.values().chain(shard.old.values());
            bytes += all.map(|entry| ENTRY_BYTES + entry.record.bytes()).sum::<usize>();
            entries += shard.young.len() + shard.old.len();
        }
        assert!(bytes <= 1 << 20 && entries > 1_000, "{bytes} {entries}");
        assert!(known(&cache, "49999", 0).is_some(), "the newest is there");
    }
}
