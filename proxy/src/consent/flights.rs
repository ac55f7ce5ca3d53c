//! Look-ups under way: whoever wants to know what is being asked already waits for that answer.
//!
//! Promise: bounded, and nobody waits for a look-up that was given up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::record::Record;
use super::subject::SubjectKey;

/// Subjects that are asked about at once; of any more the answer is "unavailable".
const UNDER_WAY_MAX: usize = 65_536;

/// What a look-up found; `None` when the store did not answer.
type Found = Option<Arc<HashMap<SubjectKey, Arc<Record>>>>;

/// The look-ups under way, by subject.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<SubjectKey, watch::Receiver<Option<Found>>>>);

/// A look-up that somebody has to do.
pub(super) struct Flight(watch::Sender<Option<Found>>);

/// Waits for a look-up.
pub(super) struct Passenger(watch::Receiver<Option<Found>>);

impl Flights {
    fn lock(&self) -> MutexGuard<'_, HashMap<SubjectKey, watch::Receiver<Option<Found>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of some subjects those that nobody asks about yet, as one look-up to do, and the look-ups of the others.
    pub(super) fn board(&self, keys: Vec<SubjectKey>) -> (Option<(Flight, Vec<SubjectKey>)>, Vec<Passenger>) {
        let mut under_way = self.lock();
        let (mut new, mut others): (Vec<SubjectKey>, Vec<watch::Receiver<Option<Found>>>) = Default::default();
        for key in keys {
            match under_way.get(&key) {
                Some(flight) if others.iter().any(|known| known.same_channel(flight)) => {}
                Some(flight) => others.push(flight.clone()),
                None => new.push(key),
            }
        }
        new.truncate(UNDER_WAY_MAX.saturating_sub(under_way.len()));
        let flight = (!new.is_empty()).then(|| {
            let (tell, told) = watch::channel(None);
            under_way.extend(new.iter().map(|key| (*key, told.clone())));
            (Flight(tell), new)
        });
        (flight, others.into_iter().map(Passenger).collect())
    }

    /// These subjects are not asked about any more.
    pub(super) fn land(&self, keys: &[SubjectKey]) {
        let mut under_way = self.lock();
        keys.iter().for_each(|key| drop(under_way.remove(key)));
    }
}

impl Flight {
    pub(super) fn passenger(&mut self) -> Passenger {
        Passenger(self.0.subscribe())
    }

    /// Tells everybody who waits.
    pub(super) fn arrive(self, found: Option<HashMap<SubjectKey, Arc<Record>>>) {
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

    #[tokio::test]
    async fn whoever_asks_the_same_waits_for_the_first() {
        let flights = Flights::default();
        let (first, others) = flights.board(vec![key("u-1"), key("u-2")]);
        let (flight, keys) = first.unwrap();
        assert!(others.is_empty() && keys.len() == 2);
        let (second, mut others) = flights.board(vec![key("u-1"), key("u-2"), key("u-3")]);
        let (_, keys) = second.unwrap();
        assert!(keys.len() == 1 && others.len() == 1, "one look-up for what is new, one to wait for");
        flights.land(&[key("u-1"), key("u-2")]);
        flight.arrive(Some(HashMap::from([(key("u-1"), Arc::default())])));
        assert_eq!(others.pop().unwrap().arrival().await.unwrap().len(), 1);
        assert!(flights.board(vec![key("u-1")]).0.is_some(), "it has landed");
    }

    #[tokio::test]
    async fn a_look_up_that_was_given_up_answers_nobody() {
        let flights = Flights::default();
        let (mut flight, _) = flights.board(vec![key("u-1")]).0.unwrap();
        let passenger = flight.passenger();
        drop(flight);
        assert!(passenger.arrival().await.is_none());
    }

    #[test]
    fn look_ups_under_way_are_bounded() {
        let flights = Flights::default();
        let many = |from: usize, to: usize| (from..to).map(|number| key(&number.to_string())).collect::<Vec<_>>();
        let (_, keys) = flights.board(many(0, UNDER_WAY_MAX - 1)).0.unwrap();
        assert_eq!(keys.len(), UNDER_WAY_MAX - 1);
        let (_, keys) = flights.board(many(UNDER_WAY_MAX, UNDER_WAY_MAX + 5)).0.unwrap();
        assert_eq!(keys.len(), 1);
        assert!(flights.board(vec![key("one more")]).0.is_none());
    }
}
