//! What a request, or an event in it, says about every purpose.

use super::audience::AudienceNo;
use super::{Consent, ConsentStates};
use crate::policy::{PurposeNo, PurposeSet};

/// Signals put together: to everyone alike, and to some audiences beyond that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Signalled {
    /// To whomever the data goes. What is refused here is remembered.
    pub(crate) all: ConsentStates,
    /// To each of the policy's audiences alone; empty where nothing is.
    each: Vec<ConsentStates>,
    granted: Granted,
    /// Whether somebody says that the person is a child.
    pub(crate) child: bool,
}

/// When what was granted was granted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Granted {
    /// By signals without a time of their own, which are as old as their event.
    by_event: PurposeSet,
    /// By signals that tell their own time,
    dated: PurposeSet,
    /// the earliest of them then, in milliseconds since 1970.
    at_ms: Option<i64>,
}

impl Granted {
    fn add(&mut self, other: Self) {
        self.by_event = self.by_event.or(other.by_event);
        self.dated = self.dated.or(other.dated);
        self.at_ms = [self.at_ms, other.at_ms].into_iter().flatten().min();
    }
}

impl Signalled {
    /// One more signal to everyone.
    pub(crate) fn say(&mut self, purpose: PurposeNo, state: Consent) {
        self.all.say(purpose, state);
        if state == Consent::Given {
            self.granted.by_event = self.granted.by_event.with(purpose);
        }
    }

    /// One more signal to everyone that tells its own time, in milliseconds since 1970.
    pub(crate) fn say_dated(&mut self, purpose: PurposeNo, state: Consent, at_ms: i64) {
        self.all.say(purpose, state);
        if state == Consent::Given {
            self.granted.dated = self.granted.dated.with(purpose);
            self.granted.at_ms = Some(self.granted.at_ms.map_or(at_ms, |known| known.min(at_ms)));
        }
    }

    /// One more signal to an audience alone, of `audiences`. It can deny what everyone is granted, and grants nothing.
    pub(crate) fn deny(&mut self, audience: AudienceNo, audiences: usize, purpose: PurposeNo, state: Consent) {
        if matches!(state, Consent::Absent | Consent::Given) {
            return;
        }
        if self.each.is_empty() {
            self.each.resize(audiences, ConsentStates::default());
        }
        if let Some(states) = self.each.get_mut(usize::from(audience.0)) {
            states.say(purpose, state);
        }
    }

    /// What is said to one audience alone.
    pub(crate) fn to(&self, audience: AudienceNo) -> ConsentStates {
        self.each.get(usize::from(audience.0)).copied().unwrap_or_default()
    }

    /// Takes in what another signal says.
    pub(crate) fn add(&mut self, other: &Self) {
        self.add_common(other);
        add_each(&mut self.each, &other.each, |states| states);
    }

    /// Takes in what another signal says to everyone alike.
    pub(crate) fn add_common(&mut self, other: &Self) {
        self.all = self.all.and(other.all);
        self.child |= other.child;
        self.granted.add(other.granted);
    }

    /// Takes over whatever of another signal holds data back: what it refuses or leaves in doubt, and that the person
    /// is a child. Nothing that it grants.
    pub(crate) fn bind(&mut self, other: &Self) {
        self.all = self.all.and(other.all.denied());
        self.child |= other.child;
        add_each(&mut self.each, &other.each, ConsentStates::denied);
    }

    /// Whether anything in it holds data back from anybody.
    pub(crate) fn binds(&self) -> bool {
        let nothing = ConsentStates::default();
        self.child || self.all.denied() != nothing || self.each.iter().any(|states| states.denied() != nothing)
    }

    /// When a purpose was granted, by an event of this time; `None` where a granting signal does not say.
    pub(crate) fn granted_at(&self, purpose: PurposeNo, event_ms: Option<i64>) -> Option<i64> {
        let Granted { by_event, dated, at_ms } = self.granted;
        match (by_event.contains(purpose), dated.contains(purpose)) {
            (false, true) => at_ms,
            (true, true) => Some(event_ms?.min(at_ms?)),
            _ => event_ms,
        }
    }
}

fn add_each(into: &mut Vec<ConsentStates>, from: &[ConsentStates], take: impl Fn(ConsentStates) -> ConsentStates) {
    if into.len() < from.len() {
        into.resize(from.len(), ConsentStates::default());
    }
    for (into, from) in into.iter_mut().zip(from) {
        *into = into.and(take(*from));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PURPOSE: PurposeNo = PurposeNo(3);

    #[test]
    fn a_grant_is_as_old_as_the_oldest_signal_that_grants() {
        let mut said = Signalled::default();
        assert_eq!(said.granted_at(PURPOSE, Some(50)), Some(50), "a grant in a store asks for the event's time");
        said.say_dated(PURPOSE, Consent::Given, 30);
        assert_eq!(said.granted_at(PURPOSE, Some(50)), Some(30));
        assert_eq!(said.granted_at(PURPOSE, None), Some(30));
        said.say_dated(PURPOSE, Consent::Given, 40);
        assert_eq!(said.granted_at(PURPOSE, Some(50)), Some(30));
        said.say(PURPOSE, Consent::Given);
        assert_eq!(said.granted_at(PURPOSE, Some(20)), Some(20));
        assert_eq!(said.granted_at(PURPOSE, None), None);
    }

    #[test]
    fn what_is_refused_to_one_is_not_refused_to_all() {
        let (one, other) = (AudienceNo(1), AudienceNo(0));
        let mut said = Signalled::default();
        assert!(!said.binds());
        said.deny(one, 2, PURPOSE, Consent::Refused);
        assert!(said.binds());
        assert_eq!(said.to(one).of(PURPOSE), Consent::Refused);
        assert_eq!((said.to(other).of(PURPOSE), said.all.of(PURPOSE)), (Consent::Absent, Consent::Absent));
        let mut taken = Signalled::default();
        taken.bind(&said);
        assert_eq!(taken.to(one), said.to(one));
    }

    #[test]
    fn what_holds_back_is_taken_over_and_what_grants_is_not() {
        let one = AudienceNo(1);
        let mut doubtful = Signalled { child: true, ..Signalled::default() };
        doubtful.deny(one, 2, PURPOSE, Consent::Unavailable);
        doubtful.say(PURPOSE, Consent::Given);
        let mut taken = Signalled::default();
        taken.bind(&doubtful);
        assert!(taken.binds() && taken.child && taken.all == ConsentStates::default());
        assert_eq!(taken.to(one).of(PURPOSE), Consent::Unavailable);
        taken.add(&doubtful);
        assert_eq!(taken, doubtful);
        let mut granting = Signalled::default();
        granting.say(PURPOSE, Consent::Given);
        assert!(!granting.binds());
    }
}
