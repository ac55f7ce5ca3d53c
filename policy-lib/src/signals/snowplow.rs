//! Snowplow's words: the event `consent_preferences`, the entity `gdpr`, the header `SP-Anonymous`.

use privet_json::Node;

use super::{Said, Unreadable, there};

/// `eventType` of `consent_preferences`, schema 1-0-0: what the person did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Preference {
    /// Agreed to everything.
    AllowAll,
    /// Agreed to the scopes listed, and to no other.
    AllowSelected,
    /// Refused everything.
    DenyAll,
    /// Took an agreement back.
    Withdrawn,
    /// An agreement ran out.
    Expired,
    /// Was shown the question and has not answered.
    Pending,
    /// Went on without answering. That is no consent.
    ImplicitConsent,
}

impl Preference {
    const ALL: [(Self, &'static str); 7] = [
        (Self::AllowAll, "allow_all"),
        (Self::AllowSelected, "allow_selected"),
        (Self::DenyAll, "deny_all"),
        (Self::Withdrawn, "withdrawn"),
        (Self::Expired, "expired"),
        (Self::Pending, "pending"),
        (Self::ImplicitConsent, "implicit_consent"),
    ];

    /// Reads the word.
    ///
    /// # Errors
    /// [`Unreadable`] for any other.
    pub fn read(word: &str) -> Result<Self, Unreadable> {
        let found = Self::ALL.into_iter().find(|(_, name)| *name == word);
        found.map(|(preference, _)| preference).ok_or(Unreadable::NotOfThisKind)
    }
}

/// More scopes than any person was asked about.
const SCOPES_MAX: usize = 1_024;

/// The data of a `consent_preferences` event.
#[derive(Clone, Copy, Debug)]
pub struct ConsentPreferences<'a> {
    preference: Result<Preference, Unreadable>,
    scopes: Option<Node<'a>>,
}

impl<'a> ConsentPreferences<'a> {
    /// Finds the word and the scopes in the data of the event.
    #[must_use]
    pub fn of(data: Node<'a>) -> Self {
        let word = there(data, "eventType").and_then(|word| word.text());
        let preference = word.map_or(Err(Unreadable::Empty), |word| Preference::read(&word));
        Self { preference, scopes: there(data, "consentScopes") }
    }

    /// What it says of one scope. Whoever did not answer said nothing; a scope that is not among those selected is refused.
    #[must_use]
    pub fn category(&self, scope: &str) -> Said {
        match self.preference {
            Err(_) => Said::Unreadable,
            Ok(Preference::AllowAll) => Said::Granted,
            Ok(Preference::AllowSelected) => self.selected(scope),
            Ok(Preference::DenyAll | Preference::Withdrawn | Preference::Expired) => Said::Refused,
            Ok(Preference::Pending | Preference::ImplicitConsent) => Said::Absent,
        }
    }

    fn selected(&self, scope: &str) -> Said {
        match self.scopes {
            Some(scopes) if scopes.kind() == privet_json::Kind::Array && scopes.len() <= SCOPES_MAX => {
                Said::granted_if(scopes.elements().any(|selected| selected.is_text(scope)))
            }
            _ => Said::Unreadable,
        }
    }
}

/// `basisForProcessing` of the entity `gdpr`: on which ground the sender says it processes the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StatedBasis {
    /// `consent`
    Consent,
    /// `contract`
    Contract,
    /// `legal_obligation`
    LegalObligation,
    /// `vital_interests`
    VitalInterests,
    /// `public_task`
    PublicTask,
    /// `legitimate_interests`
    LegitimateInterests,
}

impl StatedBasis {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Consent, "consent"),
        (Self::Contract, "contract"),
        (Self::LegalObligation, "legal_obligation"),
        (Self::VitalInterests, "vital_interests"),
        (Self::PublicTask, "public_task"),
        (Self::LegitimateInterests, "legitimate_interests"),
    ];

    /// Reads the word.
    ///
    /// # Errors
    /// [`Unreadable`] for any other.
    pub fn read(word: &str) -> Result<Self, Unreadable> {
        let found = Self::ALL.into_iter().find(|(_, name)| *name == word);
        found.map(|(basis, _)| basis).ok_or(Unreadable::NotOfThisKind)
    }
}

/// The header whose presence asks that no identifier of the event be kept, whatever its value.
pub const ANONYMOUS_HEADER: &str = "sp-anonymous";
