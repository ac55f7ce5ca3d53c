//! What this process knows of records: those read a moment ago, and those being read.
//!
//! Promise: a change is told to both at once. After that, nobody is given what was there
//! before: not from memory, not from a reading that began earlier. Not here: how old a
//! record may be; whoever asks says.

use super::cache::{Begun, Cache, Reading};
use super::flights::{Flight, Flights, Landing, Passenger};
use super::record::Record;
use super::subject::SubjectKey;

/// The records in memory and on their way there.
pub(super) struct Known {
    cache: Cache,
    flights: Flights,
}

impl Known {
    /// At most so many bytes of records.
    pub(super) fn of_bytes(bytes_max: usize) -> Self {
        Self { cache: Cache::of_bytes(bytes_max), flights: Flights::default() }
    }

    /// Shows the record of a subject, if it was read no longer ago than `age_ms_max`.
    pub(super) fn look<T>(
        &self,
        key: &SubjectKey,
        now_ms: u64,
        age_ms_max: u64,
        show: impl FnOnce(&Record) -> T,
    ) -> Option<T> {
        self.cache.look(key, now_ms, age_ms_max, show)
    }

    /// Of some subjects those that nobody asks about yet, as one look-up to do, and the look-ups of the others.
    pub(super) fn board(&self, keys: &[SubjectKey]) -> (Option<(Flight, Vec<SubjectKey>)>, Vec<Passenger>) {
        self.flights.board(keys)
    }

    /// Says that a reading of this subject begins.
    pub(super) fn begin(&self, key: &SubjectKey, now_ms: u64) -> Begun {
        self.cache.begin(key, now_ms)
    }

    /// Whether nothing is known to have changed since a reading.
    pub(super) fn stands(&self, key: &SubjectKey, reading: &Reading) -> bool {
        self.cache.stands(key, reading.begun)
    }

    /// A look-up comes back, with as many readings as it has keys or with nothing: keeps what still stands, and tells
    /// everybody who waits.
    pub(super) fn land(&self, flight: Flight, keys: &[SubjectKey], readings: Option<Vec<Reading>>) {
        let readings = readings.unwrap_or_default();
        // Before it lands: a change that comes in between shows in one of the two.
        let confirmed: Vec<Begun> =
            keys.iter().zip(&readings).map(|(key, reading)| self.cache.confirmed(key, reading.begun)).collect();
        let overtaken = self.flights.land(&flight, keys);
        if readings.len() < keys.len() {
            return flight.arrive(None);
        }
        let standing = keys.iter().zip(readings).zip(confirmed).filter(|((key, _), _)| !overtaken.contains(*key));
        let records = standing.map(|((key, reading), begun)| {
            let reading = Reading { begun, ..reading };
            self.cache.keep(*key, reading.clone());
            (*key, reading)
        });
        let records = records.collect();
        flight.arrive(Some(Landing { records, overtaken }));
    }

    /// A subject's record was changed by somebody.
    pub(super) fn forget(&self, key: &SubjectKey) {
        self.cache.forget(key);
        self.flights.overtake(key);
    }

    /// Nobody told what changed meanwhile.
    pub(super) fn clear(&self) {
        self.cache.clear();
        self.flights.overtake_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::subject::SubjectKeys;
    use super::*;

    fn key(id: &str) -> SubjectKey {
        SubjectKeys::new(&[1; 32]).of(id)
    }

    /// A reading of two subjects that nothing is stored of, with something in between; what it leaves in memory.
    async fn read_while(between: impl FnOnce(&Known)) -> (Arc<Landing>, [bool; 2]) {
        let known = Known::of_bytes(1 << 20);
        let keys = [key("u-1"), key("u-2")];
        let (mut flight, keys) = known.board(&keys).0.unwrap();
        let passenger = flight.passenger();
        let read = |key| Reading { begun: known.begin(key, 5), record: Arc::default() };
        let readings = keys.iter().map(read).collect();
        between(&known);
        known.land(flight, &keys, Some(readings));
        let kept = |id: &str| known.look(&key(id), 6, 1_000, Record::is_empty).is_some();
        (passenger.arrival().await.unwrap(), [kept("u-1"), kept("u-2")])
    }

    #[tokio::test]
    async fn a_reading_that_a_change_has_overtaken_is_told_to_nobody() {
        let (landing, kept) = read_while(|_| {}).await;
        assert!(landing.records.len() == 2 && landing.overtaken.is_empty() && kept == [true, true]);
        let (landing, kept) = read_while(|known| known.forget(&key("u-1"))).await;
        assert!(!landing.records.contains_key(&key("u-1")) && landing.overtaken.contains(&key("u-1")));
        assert!(landing.records.contains_key(&key("u-2")) && kept == [false, true], "the other did not change");
        let (landing, kept) = read_while(Known::clear).await;
        assert!(landing.records.is_empty() && landing.overtaken.len() == 2 && kept == [false, false]);
    }

    #[tokio::test]
    async fn a_store_that_did_not_answer_is_told_as_that() {
        let known = Known::of_bytes(1 << 20);
        let (mut flight, keys) = known.board(&[key("u-1")]).0.unwrap();
        let passenger = flight.passenger();
        known.land(flight, &keys, None);
        assert!(passenger.arrival().await.is_none());
        assert!(known.board(&keys).0.is_some(), "it can be asked about again");
    }

    #[test]
    fn what_was_read_stands_until_something_changes() {
        let known = Known::of_bytes(1 << 20);
        let reading = Reading { begun: known.begin(&key("u-1"), 5), record: Arc::default() };
        assert!(known.stands(&key("u-1"), &reading));
        known.forget(&key("u-1"));
        assert!(!known.stands(&key("u-1"), &reading));
        assert!(reading.begun.is_older_than(10, 15) && !reading.begun.is_older_than(10, 14));
    }
}
