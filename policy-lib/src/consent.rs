//! What a person chose: signals read, then resolved to one of four states.
//!
//! Promise: a signal that is there and cannot be read is `unavailable`, never
//! absent; a denial beats every grant not newer than it. Not here: fetching what
//! was stored; [`StoredDecisions`] is the seam.

use privet_json::{Kind, Node};

use crate::path::{Origin, Path, Step};
use crate::policy::{AgeClass, Basis, OptOut, PlaceNo, Purpose, PurposeNo, Recipient, Regime};
use crate::source::GrantSource;

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
        [Self::Given, Self::Absent, Self::Unavailable, Self::Refused].into_iter().find(|state| state.name() == written)
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

/// The request around the events, as far as facts stand in it.
pub trait RequestFacts {
    /// Every value of a header that is text.
    fn header(&self, lower_case_name: &str) -> Vec<&str>;
    /// Whether a query parameter of this name is there.
    fn has_query(&self, name: &str) -> bool;
    /// Whether a cookie of this name is there.
    fn has_cookie(&self, name: &str) -> bool;
}

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

impl Purpose {
    /// What an event, and what its batch shares, say about this purpose.
    #[must_use]
    pub fn signalled(&self, event: Node<'_>, shared: Option<Node<'_>>, request: &dyn RequestFacts) -> Consent {
        let said = |grant: &GrantSource| {
            let own = grant.state(event, request);
            shared.map_or(own, |shared| own.and(grant.state(shared, request)))
        };
        self.granted_by.iter().map(said).fold(Consent::Absent, Consent::and)
    }

    /// What the request's opt-out signals say to this recipient.
    #[must_use]
    pub fn opted_out(&self, recipient: Recipient, request: &dyn RequestFacts) -> Consent {
        if !self.everywhere && recipient != Recipient::ThirdParty {
            return Consent::Absent;
        }
        self.opted_out_by.iter().map(|signal| signal.state(request)).fold(Consent::Absent, Consent::and)
    }

    /// Whether a state permits the purpose.
    #[must_use]
    pub fn permits(&self, state: Consent, place: PlaceNo, age: AgeClass, memory: Memory) -> bool {
        let age = if age == AgeClass::Unknown { self.unknown_age } else { age };
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

impl GrantSource {
    /// Reads this signal off an event, or off what its batch shares.
    fn state(&self, node: Node<'_>, request: &dyn RequestFacts) -> Consent {
        match self {
            Self::Segment(category) => segment_category(node, category),
            Self::Field { path, given } => field(node, path, given),
            Self::Tcf(_) => unreadable_if(request.has_query("gdpr_consent") || request.has_cookie("euconsent-v2")),
        }
    }
}

impl OptOut {
    fn state(self, request: &dyn RequestFacts) -> Consent {
        match self {
            Self::Gpc if request.header("sec-gpc").iter().any(|value| value.trim() == "1") => Consent::Refused,
            Self::Gpc => Consent::Absent,
            Self::GppSale | Self::GppSharing | Self::GppTargeted => {
                unreadable_if(request.has_query("gpp") || request.has_cookie("__gpp"))
            }
        }
    }
}

/// A signal whose coding privet does not read yet is there or not; nothing more is known.
const fn unreadable_if(there: bool) -> Consent {
    if there { Consent::Unavailable } else { Consent::Absent }
}

/// Segment's `context.consent.categoryPreferences`: a category that a present object lacks is refused.
///
/// Segment's documentation also spells the member `categoryPreference`.
fn segment_category(event: Node<'_>, category: &str) -> Consent {
    let consent = event.get("context").and_then(|context| context.get("consent"));
    let Some(consent) = consent.filter(|consent| consent.kind() != Kind::Null) else { return Consent::Absent };
    if consent.kind() != Kind::Object {
        return Consent::Unavailable;
    }
    let spellings = ["categoryPreferences", "categoryPreference"];
    let present =
        spellings.into_iter().filter_map(|name| consent.get(name)).filter(|object| object.kind() != Kind::Null);
    present.map(|object| preference(object, category)).fold(Consent::Absent, Consent::and)
}

fn preference(object: Node<'_>, category: &str) -> Consent {
    if object.kind() != Kind::Object {
        return Consent::Unavailable;
    }
    match object.get(category).map(|choice| (choice.kind(), choice.raw())) {
        Some((Kind::Bool, b"true")) => Consent::Given,
        None | Some((Kind::Bool | Kind::Null, _)) => Consent::Refused,
        Some(_) => Consent::Unavailable,
    }
}

/// A configured member: the listed values grant, any other refuses.
fn field(event: Node<'_>, path: &Path, given: &[String]) -> Consent {
    if path.origin != Origin::Event {
        return Consent::Unavailable;
    }
    let mut node = event;
    for step in &path.steps {
        let Step::Key(name) = step else { return Consent::Unavailable };
        match (node.kind(), node.get(name)) {
            (Kind::Object, Some(inner)) => node = inner,
            (Kind::Object | Kind::Null, None) => return Consent::Absent,
            _ => return Consent::Unavailable,
        }
    }
    match node.kind() {
        Kind::Null => Consent::Absent,
        Kind::Array | Kind::Object => Consent::Unavailable,
        Kind::String => granted(given, &node.text().unwrap_or_default()),
        Kind::Bool | Kind::Number => granted(given, std::str::from_utf8(node.raw()).unwrap_or_default()),
    }
}

fn granted(given: &[String], value: &str) -> Consent {
    if given.iter().any(|word| word == value) { Consent::Given } else { Consent::Refused }
}

/// An identifier that stands for nobody: empty, `0`, the zero UUID or zero IDFA.
#[must_use]
pub fn is_null_id(id: &str) -> bool {
    let id = id.trim();
    id.is_empty() || id.bytes().all(|byte| matches!(byte, b'0' | b'-'))
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
    use privet_json::{Index, Limits};

    struct Bare;

    impl RequestFacts for Bare {
        fn header(&self, _: &str) -> Vec<&str> {
            Vec::new()
        }
        fn has_query(&self, _: &str) -> bool {
            false
        }
        fn has_cookie(&self, _: &str) -> bool {
            false
        }
    }

    fn read(grant: &GrantSource, json: &str) -> Consent {
        let mut index = Index::default();
        let root = index.read(json.as_bytes(), &Limits::default()).unwrap();
        grant.state(index.node(json.as_bytes(), root), &Bare)
    }

    #[test]
    fn segment_preferences_are_read_strictly() {
        let analytics = GrantSource::Segment("Analytics".into());
        for (json, state) in [
            (r#"{}"#, Consent::Absent),
            (r#"{"context":{}}"#, Consent::Absent),
            (r#"{"context":{"consent":null}}"#, Consent::Absent),
            (r#"{"context":{"consent":{}}}"#, Consent::Absent),
            (r#"{"context":{"consent":[]}}"#, Consent::Unavailable),
            (r#"{"context":{"consent":{"categoryPreferences":{}}}}"#, Consent::Refused),
            (r#"{"context":{"consent":{"categoryPreferences":{"Analytics":true}}}}"#, Consent::Given),
            (r#"{"context":{"consent":{"categoryPreferences":{"Analytics":false}}}}"#, Consent::Refused),
            (r#"{"context":{"consent":{"categoryPreferences":{"Analytics":"true"}}}}"#, Consent::Unavailable),
            (r#"{"context":{"consent":{"categoryPreferences":"Analytics"}}}"#, Consent::Unavailable),
            (r#"{"context":{"consent":{"categoryPreference":{"Analytics":true}}}}"#, Consent::Given),
            (
                r#"{"context":{"consent":{"categoryPreference":{"Analytics":true},"categoryPreferences":{"Analytics":false}}}}"#,
                Consent::Refused,
            ),
        ] {
            assert_eq!(read(&analytics, json), state, "{json}");
        }
    }

    #[test]
    fn a_configured_member_grants_by_its_listed_values_only() {
        let grant =
            GrantSource::Field { path: "consent.analytics".parse().unwrap(), given: vec!["true".into(), "yes".into()] };
        for (json, state) in [
            (r#"{}"#, Consent::Absent),
            (r#"{"consent":{"analytics":null}}"#, Consent::Absent),
            (r#"{"consent":{"analytics":true}}"#, Consent::Given),
            (r#"{"consent":{"analytics":"yes"}}"#, Consent::Given),
            (r#"{"consent":{"analytics":"YES"}}"#, Consent::Refused),
            (r#"{"consent":{"analytics":{}}}"#, Consent::Unavailable),
            (r#"{"consent":"all"}"#, Consent::Unavailable),
        ] {
            assert_eq!(read(&grant, json), state, "{json}");
        }
    }

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

    #[test]
    fn ids_that_stand_for_nobody() {
        for id in ["", " ", "0", "00000000-0000-0000-0000-000000000000", "000"] {
            assert!(is_null_id(id), "{id}");
        }
        assert!(!is_null_id("u-1"));
    }
}
