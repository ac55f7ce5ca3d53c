//! Look-ups under way: whoever wants to know what is being asked already waits for that answer.
//!
//! Promise: bounded, and nobody waits for a look-up that was given up. What a change has
//! overtaken is told to nobody: neither to those who wait, nor to those who come later.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::cache::Reading;
use super::subject::SubjectKey;

/// Subjects that are asked about at once; of any more the answer is "unavailable".
const UNDER_WAY_MAX: usize = 65_536;

/// What a look-up found.
pub(super) struct Landing {
    /// The records, and since when they are known.
    pub(super) records: HashMap<SubjectKey, Reading>,
    /// The subjects whose records changed meanwhile: they have to be asked about again.
    pub(super) overtaken: HashSet<SubjectKey>,
}

/// `None` when the store did not answer.
type Found = Option<Arc<Landing>>;
type Told = watch::Receiver<Option<Found>>;

/// The look-ups under way, by subject.
#[derive(Default)]
pub(super) struct Flights(Mutex<Air>);

#[derive(Default)]
struct Air {
    /// Whom to ask about a subject. One whose record changed has nobody any more.
    by_subject: HashMap<SubjectKey, Told>,
    /// Subjects of all look-ups under way.
    subjects: usize,
}

/// A look-up that somebody has to do.
pub(super) struct Flight(watch::Sender<Option<Found>>);

/// Waits for a look-up.
pub(super) struct Passenger(Told);

impl Flights {
    fn lock(&self) -> MutexGuard<'_, Air> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of some subjects those that nobody asks about yet, as one look-up to do, and the look-ups of the others.
    pub(super) fn board(&self, keys: &[SubjectKey]) -> (Option<(Flight, Vec<SubjectKey>)>, Vec<Passenger>) {
        let mut air = self.lock();
        let (mut new, mut others): (Vec<SubjectKey>, Vec<Told>) = Default::default();
        for key in keys {
            match air.by_subject.get(key) {
                Some(flight) if others.iter().any(|known| known.same_channel(flight)) => {}
                Some(flight) => others.push(flight.clone()),
                None => new.push(*key),
            }
        }
        // Several policies may ask about one subject: it flies once, or it would seem overtaken by itself.
        new.sort_unstable();
        new.dedup();
        new.truncate(UNDER_WAY_MAX.saturating_sub(air.subjects));
        let flight = (!new.is_empty()).then(|| {
            let (tell, told) = watch::channel(None);
            air.subjects += new.len();
            air.by_subject.extend(new.iter().map(|key| (*key, told.clone())));
            (Flight(tell), new)
        });
        (flight, others.into_iter().map(Passenger).collect())
    }

    /// A subject's record changed: what is being read of it may be what was there before.
    pub(super) fn overtake(&self, key: &SubjectKey) {
        self.lock().by_subject.remove(key);
    }

    /// Any record may have changed.
    pub(super) fn overtake_all(&self) {
        self.lock().by_subject.clear();
    }

    /// These subjects are not asked about any more by this look-up. Tells which of them were overtaken by a change.
    pub(super) fn land(&self, flight: &Flight, keys: &[SubjectKey]) -> HashSet<SubjectKey> {
        let mut air = self.lock();
        air.subjects = air.subjects.saturating_sub(keys.len());
        let own = flight.0.subscribe();
        let mut overtaken = HashSet::new();
        for key in keys {
            if air.by_subject.get(key).is_some_and(|told| told.same_channel(&own)) {
                air.by_subject.remove(key);
            } else {
                overtaken.insert(*key);
            }
        }
        overtaken
    }
}

impl Flight {
    pub(super) fn passenger(&mut self) -> Passenger {
        Passenger(self.0.subscribe())
    }

    /// Tells everybody who waits.
    pub(super) fn arrive(self, found: Option<Landing>) {
        self.0.send_replace(Some(found.map(Arc::new)));
    }
}

impl Passenger {
    /// What was found; nothing when the look-up was given up.
    pub(super) async fn arrival(mut self) -> Found {
        let found = self.0.wait_for(Option::is_some).await.ok()?;
        found.clone().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::super::subject::SubjectKeys;
    use super::*;

    fn key(id: &str) -> SubjectKey {
        SubjectKeys::new(&[1; 32]).of(id)
    }

    fn nothing_found() -> Option<Landing> {
        Some(Landing { records: HashMap::new(), overtaken: HashSet::new() })
    }

    #[tokio::test]
    async fn whoever_asks_the_same_waits_for_the_first() {
        let flights = Flights::default();
        let (first, others) = flights.board(&[key("u-1"), key("u-2")]);
        let (flight, keys) = first.unwrap();
        assert!(others.is_empty() && keys.len() == 2);
        let (second, mut others) = flights.board(&[key("u-1"), key("u-2"), key("u-3")]);
        let (_, keys) = second.unwrap();
        assert!(keys.len() == 1 && others.len() == 1, "one look-up for what is new, one to wait for");
        assert!(flights.land(&flight, &[key("u-1"), key("u-2")]).is_empty());
        flight.arrive(nothing_found());
        assert!(others.pop().unwrap().arrival().await.is_some());
        assert!(flights.board(&[key("u-1")]).0.is_some(), "it has landed");
    }

    #[test]
    fn a_subject_that_is_named_twice_is_asked_about_once() {
        let flights = Flights::default();
        let (flight, keys) = flights.board(&[key("u-1"), key("u-2"), key("u-1")]).0.unwrap();
        assert_eq!(keys.len(), 2);
        assert!(flights.land(&flight, &keys).is_empty(), "it is not overtaken by itself");
    }

    #[test]
    fn what_a_change_has_overtaken_takes_nobody_on_board_and_says_so() {
        let flights = Flights::default();
        let (old, keys) = flights.board(&[key("u-1"), key("u-2")]).0.unwrap();
        flights.overtake(&key("u-1"));
        let (again, others) = flights.board(&[key("u-1"), key("u-2")]);
        let (new, again) = again.unwrap();
        assert!(again == [key("u-1")] && others.len() == 1, "only what did not change is waited for");
        assert!(flights.land(&old, &keys) == HashSet::from([key("u-1")]));
        assert!(flights.land(&new, &again).is_empty(), "the newer look-up is not touched by the older");
        let (all, keys) = flights.board(&[key("u-1"), key("u-2")]).0.unwrap();
        flights.overtake_all();
        assert_eq!(flights.land(&all, &keys).len(), 2);
    }

    #[tokio::test]
    async fn a_look_up_that_was_given_up_answers_nobody() {
        let flights = Flights::default();
        let (mut flight, _) = flights.board(&[key("u-1")]).0.unwrap();
        let passenger = flight.passenger();
        drop(flight);
        assert!(passenger.arrival().await.is_none());
    }

    #[test]
    fn look_ups_under_way_are_bounded_whatever_changes() {
        let flights = Flights::default();
        let many = |from: usize, to: usize| (from..to).map(|number| key(&number.to_string())).collect::<Vec<_>>();
        let (first, keys) = flights.board(&many(0, UNDER_WAY_MAX - 1)).0.unwrap();
        assert_eq!(keys.len(), UNDER_WAY_MAX - 1);
        flights.overtake_all();
        let (_, more) = flights.board(&many(UNDER_WAY_MAX, UNDER_WAY_MAX + 5)).0.unwrap();
        assert_eq!(more.len(), 1);
        assert!(flights.board(&[key("one more")]).0.is_none());
        flights.land(&first, &keys);
        assert!(flights.board(&[key("one more")]).0.is_some());
    }
}
