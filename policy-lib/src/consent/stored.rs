//! What was decided earlier, and what that makes of what is signalled now.

use super::Consent;
use crate::policy::PurposeNo;

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
    /// Whether the store failed.
    pub unavailable: bool,
}

impl Remembered {
    /// Takes one more stored decision into account.
    pub fn add(&mut self, stored: Stored) {
        let slot = if stored.given { &mut self.given } else { &mut self.refused };
        let newer = slot
            .is_none_or(|known| stored.at_ms > known.at_ms || (stored.at_ms == known.at_ms && stored.authenticated));
        if newer {
            *slot = Some(stored);
        }
    }

    /// The state after what was stored and what is signalled now.
    ///
    /// `granted_at_ms` is a signalled grant's time: the earlier of its receipt
    /// and its own; `None` makes it older than every denial.
    #[must_use]
    pub fn resolve(&self, signalled: Consent, granted_at_ms: Option<i64>) -> Consent {
        if signalled == Consent::Refused {
            return Consent::Refused;
        }
        let overruled = |refused: &Stored| {
            let newer = |at: i64| at > refused.at_ms;
            let by_store =
                self.given.is_some_and(|given| newer(given.at_ms) && (given.authenticated || !refused.authenticated));
            let by_event = signalled == Consent::Given && !refused.authenticated && granted_at_ms.is_some_and(newer);
            by_store || by_event
        };
        match (&self.refused, signalled) {
            (Some(refused), _) if !overruled(refused) => Consent::Refused,
            (_, Consent::Unavailable) => Consent::Unavailable,
            _ if self.unavailable => Consent::Unavailable,
            (_, Consent::Absent) if self.given.is_some() => Consent::Given,
            (_, signalled) => signalled,
        }
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
        assert_eq!(with(&[stored(true, 100, true)]).resolve(Consent::Refused, None), Consent::Refused);
        assert_eq!(
            Remembered { unavailable: true, ..Remembered::default() }.resolve(Consent::Given, Some(1)),
            Consent::Unavailable
        );
    }
}
