//! What a person chose: signals read, then resolved to one of four states.
//!
//! Promise: a signal that is there and cannot be read is `unavailable`, never
//! absent; a denial beats every grant not newer than it. Not here: how signals
//! are coded ([`crate::signals`]), and fetching what was stored;
//! [`StoredDecisions`] is the seam.

mod audience;
mod reading;
mod signalled;
mod stored;
mod strings;

pub use audience::{Audience, AudienceNo, Audiences};
pub(crate) use reading::{Circumstance, Reading};
pub use reading::{Fault, Heard, RequestFacts, Signal};
pub(crate) use signalled::Signalled;
pub use stored::{NothingStored, Remembered, StoreUnavailable, Stored, StoredDecisions};
pub(crate) use strings::Strings;

use crate::policy::{AgeClass, Basis, PlaceNo, Policy, Purpose, PurposeNo, PurposeSet, Regime};

/// The state of one purpose for one event and recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Consent {
    /// The person agreed.
    Given,
    /// Nobody asked, or nobody answered.
    Absent,
    /// There is an answer and it cannot be read.
    Unavailable,
    /// The person refused.
    Refused,
}

impl Consent {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Given, Self::Absent, Self::Unavailable, Self::Refused];

    /// The word for outputs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Absent => "absent",
            Self::Unavailable => "unavailable",
            Self::Refused => "refused",
        }
    }

    /// The state of this name.
    #[must_use]
    pub fn named(written: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == written)
    }

    /// Both signals together: a refusal beats what cannot be read, which beats a grant, which beats silence.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Refused, _) | (_, Self::Refused) => Self::Refused,
            (Self::Unavailable, _) | (_, Self::Unavailable) => Self::Unavailable,
            (Self::Given, _) | (_, Self::Given) => Self::Given,
            (Self::Absent, Self::Absent) => Self::Absent,
        }
    }
}

/// The state of every purpose of a policy. A purpose may be in several sets:
/// the strictest counts, so both of two signals are the union of their sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConsentStates {
    given: PurposeSet,
    unavailable: PurposeSet,
    refused: PurposeSet,
}

impl ConsentStates {
    /// The state of one purpose.
    #[must_use]
    pub const fn of(&self, purpose: PurposeNo) -> Consent {
        if self.refused.contains(purpose) {
            Consent::Refused
        } else if self.unavailable.contains(purpose) {
            Consent::Unavailable
        } else if self.given.contains(purpose) {
            Consent::Given
        } else {
            Consent::Absent
        }
    }

    /// Every purpose and its state, in order.
    pub fn iter(&self) -> impl Iterator<Item = Consent> {
        (0..64).map(|number| self.of(PurposeNo(number)))
    }

    /// Both signals together, as [`Consent::and`] for each purpose.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            given: self.given.or(other.given),
            unavailable: self.unavailable.or(other.unavailable),
            refused: self.refused.or(other.refused),
        }
    }

    /// The purposes that are refused.
    #[must_use]
    pub const fn refused(&self) -> PurposeSet {
        self.refused
    }

    /// Only what is said about these purposes.
    pub(crate) const fn about(self, purposes: PurposeSet) -> Self {
        Self {
            given: self.given.and(purposes),
            unavailable: self.unavailable.and(purposes),
            refused: self.refused.and(purposes),
        }
    }

    /// What is refused or in doubt, and nothing of what is given.
    pub(crate) fn denied(self) -> Self {
        Self { given: PurposeSet::default(), ..self }
    }

    /// One more signal about a purpose.
    pub(crate) fn say(&mut self, purpose: PurposeNo, state: Consent) {
        let set = match state {
            Consent::Given => &mut self.given,
            Consent::Unavailable => &mut self.unavailable,
            Consent::Refused => &mut self.refused,
            Consent::Absent => return,
        };
        *set = set.with(purpose);
    }

    /// What these states permit.
    pub(crate) const fn permit(&self, grounds: Grounds) -> PurposeSet {
        let denied = self.refused.or(self.unavailable);
        grounds.always.or(self.given.or(grounds.by_silence).without(denied).and(grounds.at_all))
    }
}

/// The purposes that need no grant, for one jurisdiction, age class and memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grounds {
    /// Whatever the person says.
    always: PurposeSet,
    /// As long as the person says nothing.
    by_silence: PurposeSet,
    /// At all: a purpose may be about some ages only.
    at_all: PurposeSet,
}

impl Policy {
    pub(crate) fn grounds(&self, place: PlaceNo, age: AgeClass, memory: Memory) -> Grounds {
        let permitted = |state| {
            let hits = self.numbered_purposes().filter(|(_, purpose)| purpose.permits(state, place, age, memory));
            hits.fold(PurposeSet::default(), |set, (number, _)| set.with(number))
        };
        Grounds {
            always: permitted(Consent::Refused),
            by_silence: permitted(Consent::Absent),
            at_all: permitted(Consent::Given),
        }
    }
}

impl Purpose {
    /// Whether a state permits the purpose.
    #[must_use]
    pub fn permits(&self, state: Consent, place: PlaceNo, age: AgeClass, memory: Memory) -> bool {
        let age = if age == AgeClass::Unknown { self.unknown_age } else { age };
        if self.ages.as_ref().is_some_and(|ages| !ages.contains(&age)) {
            return false;
        }
        let silence_permits = match (self.basis, self.regime(place)) {
            (Basis::Consent, Regime::OptIn) => false,
            (Basis::Consent, Regime::OptOut) | (Basis::LegitimateInterests, _) => {
                memory == Memory::Lasting && age != AgeClass::Child
            }
            _ => return true,
        };
        match state {
            Consent::Given => true,
            Consent::Absent => silence_permits,
            Consent::Unavailable | Consent::Refused => false,
        }
    }
}

/// Whether refusals are remembered by a store that all pods share and that outlives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// They are: silence may permit where the policy says so.
    Lasting,
    /// They are not: what would permit by silence is treated as opt-in.
    Forgetful,
}

/// An identifier that stands for nobody: empty, `0`, the zero UUID or zero IDFA.
#[must_use]
pub fn is_null_id(id: &str) -> bool {
    let id = id.trim();
    id.is_empty() || id.bytes().all(|byte| matches!(byte, b'0' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_of_all_purposes_agree_with_those_of_one() {
        let all = [Consent::Given, Consent::Absent, Consent::Unavailable, Consent::Refused];
        let purpose = PurposeNo(63);
        let only = |state| {
            let mut states = ConsentStates::default();
            states.say(purpose, state);
            states
        };
        let set = PurposeSet::default().with(purpose);
        for (a, b) in all.into_iter().flat_map(|a| all.map(|b| (a, b))) {
            let both = only(a).and(only(b));
            assert_eq!(both.of(purpose), a.and(b));
            assert_eq!(both.of(PurposeNo(0)), Consent::Absent);
            for (always, by_silence) in [(false, false), (false, true), (true, true)] {
                let want = always || a.and(b) == Consent::Given || (by_silence && a.and(b) == Consent::Absent);
                let take = |whether: bool| if whether { set } else { PurposeSet::default() };
                let grounds = Grounds { always: take(always), by_silence: take(by_silence), at_all: set };
                assert_eq!(both.permit(grounds).contains(purpose), want, "{a:?} {b:?} {grounds:?}");
            }
        }
    }

    #[test]
    fn ids_that_stand_for_nobody() {
        for id in ["", " ", "0", "00000000-0000-0000-0000-000000000000", "000"] {
            assert!(is_null_id(id), "{id}");
        }
        assert!(!is_null_id("u-1"));
    }
}
