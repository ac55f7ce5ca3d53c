//! What a person chose: signals read, then resolved to one of four states.
//!
//! Promise: a signal that is there and cannot be read is `unavailable`, never
//! absent; a denial beats every grant not newer than it. Not here: fetching what
//! was stored; [`StoredDecisions`] is the seam.

use privet_json::{Kind, Node};

use crate::path::{Origin, Path, Step, chosen};
use crate::policy::{AgeClass, Basis, OptOut, PlaceNo, Policy, Purpose, PurposeNo, PurposeSet, Recipient, Regime};
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

    /// These purposes are refused, and nothing is known of any other.
    pub(crate) fn all_refused(refused: PurposeSet) -> Self {
        Self { refused, ..Self::default() }
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

    /// What an event, or what its batch shares, says about each purpose.
    pub(crate) fn signals_in(&self, node: Node<'_>) -> ConsentStates {
        let mut states = ConsentStates::default();
        let mut preferences = None;
        for (number, purpose) in self.numbered_purposes() {
            for grant in &purpose.granted_by {
                let state = match grant {
                    GrantSource::Segment(category) => {
                        preferences.get_or_insert_with(|| CategoryPreferences::of(node)).state(category)
                    }
                    GrantSource::Field { path, given } => field(node, path, given),
                    GrantSource::Tcf(_) => Consent::Absent,
                };
                states.say(number, state);
            }
        }
        states
    }

    /// What the request says that grants each purpose.
    pub(crate) fn signals_of(&self, request: &dyn RequestFacts) -> ConsentStates {
        let mut states = ConsentStates::default();
        for (number, purpose) in self.numbered_purposes() {
            if purpose.granted_by.iter().any(|grant| matches!(grant, GrantSource::Tcf(_))) {
                let there = request.has_query("gdpr_consent") || request.has_cookie("euconsent-v2");
                states.say(number, unreadable_if(there));
            }
        }
        states
    }

    /// What the request's opt-out signals say about each purpose to this recipient.
    pub(crate) fn opted_out(&self, recipient: Recipient, request: &dyn RequestFacts) -> ConsentStates {
        let mut states = ConsentStates::default();
        for (number, purpose) in self.numbered_purposes() {
            states.say(number, purpose.opted_out(recipient, request));
        }
        states
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
    /// What the request's opt-out signals say to this recipient.
    fn opted_out(&self, recipient: Recipient, request: &dyn RequestFacts) -> Consent {
        if !self.everywhere && recipient != Recipient::ThirdParty {
            return Consent::Absent;
        }
        self.opted_out_by.iter().map(|signal| signal.state(request)).fold(Consent::Absent, Consent::and)
    }

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
enum CategoryPreferences<'a> {
    /// There is something in its place that is no object.
    Unreadable,
    /// What stands under each spelling.
    Written([Option<Node<'a>>; 2]),
}

impl<'a> CategoryPreferences<'a> {
    fn of(event: Node<'a>) -> Self {
        let there = |node: &Node<'_>| node.kind() != Kind::Null;
        match event.get("context").and_then(|context| context.get("consent")).filter(there) {
            None => Self::Written([None, None]),
            Some(consent) if consent.kind() != Kind::Object => Self::Unreadable,
            Some(consent) => {
                Self::Written(["categoryPreferences", "categoryPreference"].map(|name| consent.get(name).filter(there)))
            }
        }
    }

    fn state(&self, category: &str) -> Consent {
        match self {
            Self::Unreadable => Consent::Unavailable,
            Self::Written(objects) => {
                let each = objects.iter().flatten().map(|object| preference(*object, category));
                each.fold(Consent::Absent, Consent::and)
            }
        }
    }
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
    field_below(event, &path.steps, given)
}

fn field_below(node: Node<'_>, steps: &[Step], given: &[String]) -> Consent {
    match (steps.split_first(), node.kind()) {
        (_, Kind::Null) => Consent::Absent,
        (None, Kind::Array | Kind::Object) => Consent::Unavailable,
        (None, Kind::String) => granted(given, &node.text().unwrap_or_default()),
        (None, Kind::Bool | Kind::Number) => granted(given, std::str::from_utf8(node.raw()).unwrap_or_default()),
        (Some((Step::Key(name), rest)), Kind::Object) => {
            node.get(name).map_or(Consent::Absent, |inner| field_below(inner, rest, given))
        }
        (Some((Step::Where { key, equals }, rest)), Kind::Array) => {
            let all = chosen(node, key, equals).map(|element| field_below(element, rest, given));
            all.fold(Consent::Absent, Consent::and)
        }
        _ => Consent::Unavailable,
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

    fn read(json: &str, state: impl FnOnce(Node<'_>) -> Consent) -> Consent {
        let mut index = Index::default();
        let root = index.read(json.as_bytes(), &Limits::default()).unwrap();
        state(index.node(json.as_bytes(), root))
    }

    #[test]
    fn segment_preferences_are_read_strictly() {
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
            assert_eq!(read(json, |node| CategoryPreferences::of(node).state("Analytics")), state, "{json}");
        }
    }

    #[test]
    fn a_configured_member_grants_by_its_listed_values_only() {
        let path: Path = "consent.analytics".parse().unwrap();
        let given = ["true".to_owned(), "yes".to_owned()];
        for (json, state) in [
            (r#"{}"#, Consent::Absent),
            (r#"{"consent":{"analytics":null}}"#, Consent::Absent),
            (r#"{"consent":{"analytics":true}}"#, Consent::Given),
            (r#"{"consent":{"analytics":"yes"}}"#, Consent::Given),
            (r#"{"consent":{"analytics":"YES"}}"#, Consent::Refused),
            (r#"{"consent":{"analytics":{}}}"#, Consent::Unavailable),
            (r#"{"consent":"all"}"#, Consent::Unavailable),
        ] {
            assert_eq!(read(json, |node| field(node, &path, &given)), state, "{json}");
        }
    }

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
