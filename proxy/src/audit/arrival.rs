//! Requests in flight and releases without an outcome: both settle themselves when they are dropped.

use privet_audit_log::counts::Fate;

use super::tally::Few;
use super::{DestNo, Recorder, RefusedAs};

/// What a destination did with events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Took them.
    Acknowledged,
    /// Refused them, or they were given up before sending.
    Refused,
    /// Perhaps got them; nobody said.
    Unknown,
}

#[derive(Clone, Copy)]
pub(super) enum End {
    Answered,
    Refused(RefusedAs),
    Aborted,
}

/// A request in flight.
#[must_use = "dropped, it counts as aborted"]
pub struct Arrival {
    pub(super) recorder: Recorder,
    pub(super) undecided: u64,
    pub(super) end: End,
}

impl Arrival {
    /// Counts the events decoded from the request. They are decided by one
    /// [`Recorder::append`], or withheld when the request ends without.
    pub fn decoded(&mut self, events: u64) {
        self.undecided += events;
        self.recorder.shared.count(|delta| delta.arrivals.events += events);
    }

    /// The request was answered as its destination or the policy wanted.
    pub fn answered(mut self) {
        self.end = End::Answered;
    }

    /// The request was refused.
    pub fn refused(mut self, refusal: RefusedAs) {
        self.end = End::Refused(refusal);
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        let (end, withheld) = (self.end, self.undecided);
        self.recorder.shared.count(|delta| {
            delta.arrivals.withheld += withheld;
            match end {
                End::Answered => delta.arrivals.answered += 1,
                End::Refused(refusal) => delta.arrivals.refused.add(refusal as u32, 1),
                End::Aborted => delta.arrivals.aborted += 1,
            }
        });
    }
}

/// Releases that are recorded and may be sent. Dropped, what has no outcome is unknown.
#[must_use = "dropped, its releases count as unknown"]
pub struct BatchRef {
    pub(super) recorder: Recorder,
    pub(super) batch: u64,
    pub(super) open: Few,
    pub(super) at_drop: Delivery,
}

impl BatchRef {
    /// Says what became of events at a destination; more than were released there are ignored.
    pub fn outcome(&mut self, destination: DestNo, delivery: Delivery, events: u64) {
        let Some(open) = self.open.slot(destination.0) else { return };
        let events = events.min(*open);
        *open -= events;
        self.settle(&[(destination.0, events)], delivery);
    }

    /// Takes one destination's share, for a copy that is sent on its own.
    pub fn split(&mut self, destination: DestNo) -> Self {
        let mut share = Few::default();
        if let Some(open) = self.open.slot(destination.0) {
            share.add(destination.0, std::mem::take(open));
        }
        Self { recorder: self.recorder.clone(), batch: self.batch, open: share, at_drop: self.at_drop }
    }

    /// How many events were released to a destination and have no outcome here.
    #[must_use]
    pub fn open(&self, destination: DestNo) -> u64 {
        self.open.iter().find(|(n, _)| *n == destination.0).map_or(0, |(_, events)| events)
    }

    fn settle(&self, rows: &[(u32, u64)], delivery: Delivery) {
        let batch = self.batch;
        self.recorder.shared.count(|delta| {
            for (destination, events) in rows.iter().filter(|(_, events)| *events > 0) {
                let fate = match delivery {
                    Delivery::Acknowledged => Fate { acknowledged: *events, ..Fate::default() },
                    Delivery::Refused => Fate { refused: *events, ..Fate::default() },
                    Delivery::Unknown => Fate { unknown: *events, ..Fate::default() },
                };
                delta.fates.entry((batch, *destination)).or_default().add(fate);
            }
        });
    }
}

impl Drop for BatchRef {
    fn drop(&mut self) {
        if self.open.sum() > 0 {
            let rows: Vec<(u32, u64)> = self.open.iter().collect();
            self.settle(&rows, self.at_drop);
        }
    }
}
