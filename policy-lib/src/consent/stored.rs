//! What was decided earlier, and what that makes of what is signalled now.

use super::Consent;
use crate::policy::{AgeClass, PurposeNo};

/// A decision that was stored earlier for one subject and purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// `Given` or `Refused`.
    pub given: bool,
    /// When it was received, in milliseconds since 1970.
    pub at_ms: i64,
    /// Whether it came over the authenticated interface.
    pub authenticated: bool,
}

/// The store did not answer, or is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the consent store cannot answer")]
pub struct StoreUnavailable;

/// What was decided earlier. Looked up by every subject of an event.
pub trait StoredDecisions {
    /// Whether nothing is stored at all, which spares the look-ups.
    fn is_empty(&self) -> bool;

    /// Calls back for each decision stored for a subject.
    ///
    /// # Errors
    /// [`StoreUnavailable`] makes every purpose unavailable that could be refused.
    fn recall(&self, subject: &str, each: &mut dyn FnMut(PurposeNo, Stored)) -> Result<(), StoreUnavailable>;

    /// The same, and the age class that is stored for the subject.
    ///
    /// # Errors
    /// As [`Self::recall`]; an age that is not known then may be a child's.
    fn recall_with_age(
        &self,
        subject: &str,
        each: &mut dyn FnMut(PurposeNo, Stored),
    ) -> Result<Option<AgeClass>, StoreUnavailable> {
        self.recall(subject, each).map(|()| None)
    }

    /// The same for an event that names no subject: what holds for everyone.
    ///
    /// # Errors
    /// As [`Self::recall`].
    fn recall_without_subject(&self, each: &mut dyn FnMut(PurposeNo, Stored)) -> Result<(), StoreUnavailable> {
        let _ = each;
        Ok(())
    }
}

/// Nothing was ever stored.
#[derive(Clone, Copy, Debug, Default)]
pub struct NothingStored;

impl StoredDecisions for NothingStored {
    fn is_empty(&self) -> bool {
        true
    }

    fn recall(&self, _: &str, _: &mut dyn FnMut(PurposeNo, Stored)) -> Result<(), StoreUnavailable> {
        Ok(())
    }
}

/// What resolving needs besides the signals of the event itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Remembered {
    /// The newest stored refusal.
    pub refused: Option<Stored>,
    /// The newest stored grant.
    pub given: Option<Stored>,
    /// The newest refusal over the authenticated interface: a newer one on the wire does not set it aside.
    pub refused_authenticated: Option<Stored>,
    /// The newest grant over the authenticated interface.
    pub given_authenticated: Option<Stored>,
    /// Whether the store failed.
    pub unavailable: bool,
}

impl Remembered {
    /// Takes one more stored decision into account. The order in which they come does not matter.
    pub fn add(&mut self, stored: Stored) {
        let (any, authenticated) = if stored.given {
            (&mut self.given, &mut self.given_authenticated)
        } else {
            (&mut self.refused, &mut self.refused_authenticated)
        };
        newest(any, stored);
        if stored.authenticated {
            newest(authenticated, stored);
        }
    }

    /// The state after what was stored and what is signalled now.
    ///
    /// `granted_at_ms` is a signalled grant's time: the earlier of its receipt
    /// and its own; `None` makes it older than every denial.
    #[must_use]
    pub fn resolve(&self, signalled: Consent, granted_at_ms: Option<i64>) -> Consent {
        if signalled == Consent::Refused || self.denies(granted_at_ms.filter(|_| signalled == Consent::Given)) {
            return Consent::Refused;
        }
        match signalled {
            Consent::Unavailable => Consent::Unavailable,
            _ if self.unavailable => Consent::Unavailable,
            Consent::Absent if self.given.is_some() => Consent::Given,
            signalled => signalled,
        }
    }

    /// Whether a stored denial holds against what was granted later, in the store or by this event at a time.
    fn denies(&self, granted_at_ms: Option<i64>) -> bool {
        let holds = |refused: &Stored| {
            let newer = |at_ms: i64| at_ms > refused.at_ms;
            if refused.authenticated {
                return !self.given_authenticated.is_some_and(|given| newer(given.at_ms));
            }
            !self.given.is_some_and(|given| newer(given.at_ms)) && !granted_at_ms.is_some_and(newer)
        };
        [&self.refused, &self.refused_authenticated].into_iter().flatten().any(holds)
    }
}

/// Keeps the newer of two; of two at one time the authenticated one.
fn newest(slot: &mut Option<Stored>, stored: Stored) {
    let order = |stored: &Stored| (stored.at_ms, stored.authenticated);
    if slot.is_none_or(|known| order(&stored) > order(&known)) {
        *slot = Some(stored);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_beats_every_grant_not_newer_than_it() {
        let stored = |given, at_ms, authenticated| Stored { given, at_ms, authenticated };
        let with = |decisions: &[Stored]| {
            let mut remembered = Remembered::default();
            decisions.iter().for_each(|decision| remembered.add(*decision));
            remembered
        };
        let denied = with(&[stored(false, 100, false)]);
        assert_eq!(denied.resolve(Consent::Given, Some(100)), Consent::Refused);
        assert_eq!(denied.resolve(Consent::Given, Some(101)), Consent::Given);
        assert_eq!(denied.resolve(Consent::Given, None), Consent::Refused);
        assert_eq!(denied.resolve(Consent::Absent, None), Consent::Refused);
        let by_api = with(&[stored(false, 100, true)]);
        assert_eq!(by_api.resolve(Consent::Given, Some(500)), Consent::Refused);
        assert_eq!(
            with(&[stored(false, 100, true), stored(true, 101, true)]).resolve(Consent::Absent, None),
            Consent::Given
        );
        assert_eq!(
            with(&[stored(false, 100, true), stored(true, 101, false)]).resolve(Consent::Absent, None),
            Consent::Refused
        );
        let wire_after_api = with(&[stored(false, 100, true), stored(false, 200, false)]);
        assert_eq!(wire_after_api.resolve(Consent::Given, Some(300)), Consent::Refused, "the API's denial still holds");
        let set_aside = [stored(false, 100, true), stored(true, 150, true), stored(false, 200, false)];
        assert_eq!(with(&set_aside).resolve(Consent::Given, Some(300)), Consent::Given);
        assert_eq!(with(&set_aside).resolve(Consent::Absent, None), Consent::Refused);
        assert_eq!(with(&[stored(true, 100, true)]).resolve(Consent::Refused, None), Consent::Refused);
        assert_eq!(
            Remembered { unavailable: true, ..Remembered::default() }.resolve(Consent::Given, Some(1)),
            Consent::Unavailable
        );
    }
}
