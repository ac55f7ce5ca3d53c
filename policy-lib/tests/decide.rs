//! Who is bound by whose refusal, and what a store, a signal and silence make of consent.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::borrow::Cow;

use privet_json::{Index, Limits};
use privet_policy::Policy;
use privet_policy::batch::{self, Batch, Group};
use privet_policy::consent::{
    Consent, Memory, NothingStored, Remembered, RequestFacts, StoreUnavailable, Stored, StoredDecisions,
};
use privet_policy::decide::{Decision, Outcome, decide};
use privet_policy::diagnostic::SourceFile;
use privet_policy::policy::{AgeClass, DestinationNo, PurposeNo};

const POLICY: &str = r#"
apiVersion: privet.dev/v1alpha1
kind: Purpose
metadata: {name: analytics.reporting.content_performance}
basis: consent
granted_by: [{field: {path: consent, given: ["yes"]}}, {tcf: {purposes: [8]}}]
opted_out_by: [{gpp: [sale]}]
jurisdictions: {default: opt_in, us: opt_out}
---
apiVersion: privet.dev/v1alpha1
kind: Destination
metadata: {name: partner}
url: http://127.0.0.1:8081
primary: true
recipient: third_party
purposes: [analytics.reporting.content_performance]
---
apiVersion: privet.dev/v1alpha1
kind: Contract
metadata: {name: view}
match: {format: json, type: view}
fields:
  id: {category: user.unique_id, role: subject}
  device: {category: user.unique_id, role: subject}
  $header.x-user: {category: user.unique_id, role: subject}
  size: {type: integer, category: system.operations}
  age: {category: user.demographic.age_range, role: age}
  more: {encoding: json}
  more.age: {category: user.demographic.age_range, role: age}
---
apiVersion: privet.dev/v1alpha1
kind: Rule
metadata: {name: operations}
data: [system.operations]
for: [analytics.reporting]
action: keep
"#;

fn policy() -> Policy {
    let files = [SourceFile { name: "policy.yaml".to_owned(), text: POLICY.to_owned() }];
    privet_policy::compile(&files).policy.unwrap()
}

/// The request around the events.
#[derive(Default)]
struct Around {
    headers: Vec<(&'static str, &'static str)>,
    query: Vec<(&'static str, &'static str)>,
    cookies: Vec<(&'static str, &'static str)>,
}

fn values<'a>(all: &[(&str, &'a str)], name: &str) -> Vec<Cow<'a, str>> {
    all.iter().filter(|(known, _)| *known == name).map(|(_, value)| Cow::Borrowed(*value)).collect()
}

impl RequestFacts for Around {
    fn header(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(known, _)| *known == name).map(|(_, value)| *value).collect()
    }
    fn query(&self, name: &str) -> Vec<Cow<'_, str>> {
        values(&self.query, name)
    }
    fn cookie(&self, name: &str) -> Vec<Cow<'_, str>> {
        values(&self.cookies, name)
    }
}

/// Refuses for one subject, and for requests that name nobody.
struct Store {
    refused: Vec<&'static str>,
    nobody: bool,
    works: bool,
}

impl Store {
    fn knowing(refused: &[&'static str]) -> Self {
        Self { refused: refused.to_vec(), nobody: false, works: true }
    }
}

impl StoredDecisions for Store {
    fn is_empty(&self) -> bool {
        false
    }
    fn recall(&self, subject: &str, each: &mut dyn FnMut(PurposeNo, Stored)) -> Result<(), StoreUnavailable> {
        if self.refused.contains(&subject) {
            each(PurposeNo(0), Stored { given: false, at_ms: i64::MAX, authenticated: true });
        }
        if self.works { Ok(()) } else { Err(StoreUnavailable) }
    }
    fn recall_without_subject(&self, each: &mut dyn FnMut(PurposeNo, Stored)) -> Result<(), StoreUnavailable> {
        if self.nobody {
            each(PurposeNo(0), Stored { given: false, at_ms: i64::MAX, authenticated: true });
        }
        Ok(())
    }
}

struct Asked<'a> {
    events: &'a str,
    shared: &'a str,
    unfit: &'a [usize],
    around: Around,
    stored: &'a dyn StoredDecisions,
    place: &'a str,
    age: AgeClass,
    memory: Memory,
}

impl<'a> Asked<'a> {
    fn of(events: &'a str) -> Self {
        Self {
            events,
            shared: "{}",
            unfit: &[],
            around: Around::default(),
            stored: &NothingStored,
            place: "eu",
            age: AgeClass::Adult,
            memory: Memory::Lasting,
        }
    }

    fn decisions(&self) -> Vec<Decision> {
        self.decisions_by(&policy())
    }

    fn decisions_by(&self, policy: &Policy) -> Vec<Decision> {
        let (mut index, mut other) = (Index::new(), Index::new());
        let root = index.read(self.events.as_bytes(), &Limits::default()).unwrap();
        let shared = other.read(self.shared.as_bytes(), &Limits::default()).unwrap();
        let around = batch::Around::of([Some(other.node(self.shared.as_bytes(), shared)), None, None]);
        let events: Vec<_> = index.node(self.events.as_bytes(), root).elements().collect();
        decide(
            policy,
            &Batch {
                format: policy.contracts()[0].format,
                events: &events,
                unfit: self.unfit,
                groups: &[Group { events: 0..events.len(), around }],
                implied: None,
                request: &self.around,
                received_ms: 0,
                place: policy.place(self.place),
                age: self.age,
                stored: self.stored,
                memory: self.memory,
                heard: &|_| {},
            },
        )
    }

    /// Which of the events leave.
    fn leave(&self) -> Vec<bool> {
        let leaves = |decision: &Decision| match &decision.outcome {
            Outcome::Ruled(verdict) => verdict.treatment(DestinationNo(0)).is_some(),
            _ => false,
        };
        self.decisions().iter().map(leaves).collect()
    }

    fn state(&self) -> Consent {
        self.decisions()[0].consent.of(PurposeNo(0))
    }
}

#[test]
fn a_refusal_binds_every_event_of_the_person_and_no_other() {
    for (events, leave) in [
        (
            r#"[{"type":"view","id":"1","consent":"no"},{"type":"view","id":"1","consent":"yes"},{"type":"view","id":"2","consent":"yes"}]"#,
            vec![false, false, true],
        ),
        // A number and a text are one id; white space is none of it.
        (r#"[{"type":"view","id":1,"consent":"no"},{"type":"view","id":" 1 ","consent":"yes"}]"#, vec![false, false]),
        // Nor does it matter how a number is written.
        (
            r#"[{"type":"view","id":12345.0,"consent":"no"},{"type":"view","id":12345,"consent":"yes"},{"type":"view","id":"12345","consent":"yes"},{"type":"view","id":1.2345e4,"consent":"yes"},{"type":"view","id":12345.5,"consent":"yes"}]"#,
            vec![false, false, false, false, true],
        ),
        // Ids that stand together in one event belong to one person.
        (
            r#"[{"type":"view","id":"1","consent":"no"},{"type":"view","id":"1","device":"9","consent":"yes"},{"type":"view","device":"9","consent":"yes"}]"#,
            vec![false, false, false],
        ),
        // Nobody's ids bind nobody.
        (r#"[{"type":"view","id":"0","consent":"no"},{"type":"view","id":"0","consent":"yes"}]"#, vec![false, true]),
        // An event of no contract, and one that breaks its own, refuse for others too.
        (r#"[{"type":"other","id":"1","consent":"no"},{"type":"view","id":"1","consent":"yes"}]"#, vec![false, false]),
        (
            r#"[{"type":"view","id":"1","size":"x","consent":"no"},{"type":"view","id":"1","consent":"yes"}]"#,
            vec![false, false],
        ),
    ] {
        assert_eq!(Asked::of(events).leave(), leave, "{events}");
    }
}

#[test]
fn a_child_in_one_event_is_a_child_in_every_event_of_the_person() {
    let of = |events: &str| {
        let asked = Asked { age: AgeClass::Unknown, place: "us", ..Asked::of(events) };
        let ages = asked.decisions().into_iter().map(|decision| match decision.outcome {
            Outcome::Ruled(verdict) => verdict.key.age,
            _ => panic!("{events}"),
        });
        (ages.collect::<Vec<_>>(), asked.leave())
    };
    let (child, unknown) = (AgeClass::Child, AgeClass::Unknown);
    let told = r#"[{"type":"view","id":"1"},{"type":"view","id":"1","age":9},{"type":"view","id":"2"}]"#;
    assert_eq!(of(told), (vec![child, child, unknown], vec![false, false, true]), "a child's silence refuses");
    let adult = r#"[{"type":"view","id":"1","age":30},{"type":"view","id":"1","device":"9","age":9},{"type":"view","device":"9"}]"#;
    assert_eq!(of(adult).0, [child; 3], "whoever says that it is a child is believed");
    let string =
        r#"[{"type":"view","id":"1"},{"type":"view","id":"1","IABGPP_HDR_GppString":"DBABLA~BVQqAAAAEAA.QA"}]"#;
    assert_eq!(of(string).0, [child; 2]);
}

#[test]
fn what_cannot_be_read_in_one_event_is_in_doubt_in_every_event_of_the_person() {
    for doubt in [r#""consent":{}"#, r#""IABTCF_TCString":"nonsense""#, r#""IABGPP_HDR_GppString":"nonsense""#] {
        let events = format!(
            r#"[{{"type":"view","id":"1","consent":"yes"}},{{"type":"view","id":"1",{doubt}}},{{"type":"view","id":"2","consent":"yes"}}]"#
        );
        assert_eq!(Asked::of(&events).leave(), [false, false, true], "{doubt}");
        let decisions = Asked::of(&events).decisions();
        assert!(decisions.iter().all(|decision| decision.refusal.is_none()), "a doubt is not stored as a refusal");
    }
}

#[test]
fn a_refusal_is_told_with_every_id_of_the_person() {
    let mut asked = Asked::of(r#"[{"type":"view","id":"1","device":"9","consent":"no"}]"#);
    asked.shared = r#"{"id":"2","device":""}"#;
    asked.around.headers = vec![("x-user", "h"), ("x-user", "0")];
    let decision = asked.decisions().pop().unwrap();
    let mut subjects = decision.refusal.unwrap().subjects;
    subjects.sort();
    assert_eq!(subjects, ["1", "2", "9", "h"]);
    assert!(Asked::of(r#"[{"type":"view","id":"1","consent":"yes"}]"#).decisions()[0].refusal.is_none());
}

#[test]
fn what_a_batch_shares_binds_all() {
    let mut asked = Asked::of(r#"[{"type":"view","id":"1","consent":"yes"},{"type":"view","id":"2","consent":"yes"}]"#);
    assert_eq!(asked.leave(), [true, true]);
    asked.shared = r#"{"consent":"no"}"#;
    assert_eq!(asked.leave(), [false, false]);
}

#[test]
fn what_was_stored_under_any_id_binds() {
    let agreed = r#"[{"type":"view","id":"1","device":"9","consent":"yes"},{"type":"view","id":"2","consent":"yes"}]"#;
    let leave = |store: &Store, headers: &[(&'static str, &'static str)]| {
        let mut asked = Asked::of(agreed);
        asked.stored = store;
        asked.around.headers = headers.to_vec();
        asked.leave()
    };
    assert_eq!(leave(&Store::knowing(&[]), &[]), [true, true]);
    assert_eq!(leave(&Store::knowing(&["9"]), &[]), [false, true]);
    assert_eq!(leave(&Store::knowing(&["h"]), &[("x-user", "h")]), [false, false]);
    assert_eq!(leave(&Store::knowing(&["h"]), &[("x-other", "h")]), [true, true]);
    assert_eq!(leave(&Store { nobody: true, ..Store::knowing(&[]) }, &[]), [false, false]);
    assert_eq!(leave(&Store { works: false, ..Store::knowing(&[]) }, &[]), [false, false], "the store fails");
}

#[test]
fn a_signal_that_cannot_be_read_is_unavailable_and_one_that_is_not_there_absent() {
    let silent = r#"[{"type":"view","id":"1"}]"#;
    let state = |query: &[&'static str], cookies: &[&'static str]| {
        let mut asked = Asked::of(silent);
        asked.around.query = query.iter().map(|name| (*name, "unreadable")).collect();
        asked.around.cookies = cookies.iter().map(|name| (*name, "unreadable")).collect();
        asked.state()
    };
    assert_eq!(state(&[], &[]), Consent::Absent);
    for name in ["gdpr_consent", "gpp"] {
        assert_eq!(state(&[name], &[]), Consent::Unavailable, "{name}");
    }
    for name in ["euconsent-v2", "__gpp"] {
        assert_eq!(state(&[], &[name]), Consent::Unavailable, "{name}");
    }
    assert_eq!(state(&["other"], &["other"]), Consent::Absent);
    assert_eq!(Asked::of(r#"[{"type":"view","consent":"yes"}]"#).state(), Consent::Given);
    assert_eq!(Asked::of(r#"[{"type":"view","consent":["yes"]}]"#).state(), Consent::Unavailable);
}

#[test]
fn silence_permits_where_it_may_and_is_remembered_and_nobody_is_a_child() {
    let silent = r#"[{"type":"view","id":"1"}]"#;
    let leaves = |place, age, memory| {
        let mut asked = Asked::of(silent);
        (asked.place, asked.age, asked.memory) = (place, age, memory);
        asked.leave() == [true]
    };
    assert!(leaves("us", AgeClass::Adult, Memory::Lasting));
    assert!(leaves("us-ca", AgeClass::Unknown, Memory::Lasting));
    assert!(!leaves("us", AgeClass::Child, Memory::Lasting));
    assert!(!leaves("us", AgeClass::Adult, Memory::Forgetful));
    assert!(!leaves("eu", AgeClass::Adult, Memory::Lasting));
}

#[test]
fn what_is_no_event_is_malformed_and_leaves_alone() {
    let mut asked = Asked::of(r#"[{"type":"view","consent":"yes"},7,{"type":"view","consent":"yes"}]"#);
    assert_eq!(asked.leave(), [true, false, true]);
    assert!(matches!(asked.decisions()[1].outcome, Outcome::Malformed));
    asked.unfit = &[2];
    assert!(matches!(asked.decisions()[2].outcome, Outcome::Malformed));
    let other = Asked::of(r#"[{"type":"other"},{"type":"view","size":"x"}]"#).decisions();
    assert!(matches!(other[0].outcome, Outcome::Unmatched));
    assert!(matches!(other[1].outcome, Outcome::Invalid(_)));
}

#[test]
fn of_several_stored_decisions_the_newest_counts_and_of_equals_the_authenticated() {
    let stored = |at_ms, authenticated| Stored { given: false, at_ms, authenticated };
    let newest = |decisions: &[Stored]| {
        let mut remembered = Remembered::default();
        decisions.iter().for_each(|decision| remembered.add(*decision));
        remembered.refused.unwrap()
    };
    for (first, second, wins) in [
        (stored(1, false), stored(2, false), stored(2, false)),
        (stored(2, false), stored(1, true), stored(2, false)),
        (stored(1, false), stored(1, true), stored(1, true)),
        (stored(1, true), stored(1, false), stored(1, true)),
    ] {
        assert_eq!(newest(&[first, second]), wins, "{first:?} {second:?}");
    }
    let nothing = Remembered::default();
    assert_eq!(nothing.resolve(Consent::Absent, None), Consent::Absent);
    assert_eq!(nothing.resolve(Consent::Unavailable, None), Consent::Unavailable);
    let mut given = Remembered::default();
    given.add(Stored { given: true, at_ms: 1, authenticated: true });
    assert_eq!(given.resolve(Consent::Absent, None), Consent::Given);
    assert_eq!(given.resolve(Consent::Unavailable, None), Consent::Unavailable);
}

#[test]
fn states_have_names() {
    for state in Consent::ALL {
        assert_eq!(Consent::named(state.name()), Some(state));
    }
    assert_eq!(Consent::ALL.map(Consent::name), ["given", "absent", "unavailable", "refused"]);
    assert_eq!(Consent::named("granted"), None);
}

#[test]
fn an_age_that_may_be_a_child_s_is_one() {
    let age = |member: &str, known| {
        let event = format!(r#"[{{"type":"view"{member}}}]"#);
        let mut asked = Asked::of(&event);
        asked.age = known;
        let Outcome::Ruled(verdict) = asked.decisions().pop().unwrap().outcome else { panic!("{member}") };
        verdict.key.age
    };
    let unknown = AgeClass::Unknown;
    for (member, class) in [
        ("", AgeClass::Unknown),
        (r#","age":null"#, AgeClass::Unknown),
        (r#","age":"unknown""#, AgeClass::Unknown),
        (r#","age":16"#, AgeClass::Adult),
        (r#","age":"16.5""#, AgeClass::Adult),
        (r#","age":"Adult""#, AgeClass::Adult),
        (r#","age":15.9"#, AgeClass::Child),
        (r#","age":" 12 ""#, AgeClass::Child),
        (r#","age":"Child""#, AgeClass::Child),
        (r#","age":"minor""#, AgeClass::Child),
        (r#","age":true"#, AgeClass::Child),
        (r#","age":[30]"#, AgeClass::Child),
        (r#","age":99999999999"#, AgeClass::Child),
        (r#","age":"NaN""#, AgeClass::Child),
        (r#","age":30,"more":"{\"age\":9}""#, AgeClass::Child),
        (r#","more":"{\"age\":9}","age":30"#, AgeClass::Child),
    ] {
        assert_eq!(age(member, unknown), class, "{member}");
    }
    assert_eq!(age(r#","age":9"#, AgeClass::Adult), AgeClass::Child, "whoever says so is believed");
    assert_eq!(age(r#","age":30"#, AgeClass::Child), AgeClass::Child);
}

/// Knows how old somebody is, or does not answer.
struct Ages(Result<Option<AgeClass>, StoreUnavailable>);

impl StoredDecisions for Ages {
    fn is_empty(&self) -> bool {
        false
    }
    fn recall(&self, _: &str, _: &mut dyn FnMut(PurposeNo, Stored)) -> Result<(), StoreUnavailable> {
        self.0.map(|_| ())
    }
    fn recall_with_age(
        &self,
        _: &str,
        _: &mut dyn FnMut(PurposeNo, Stored),
    ) -> Result<Option<AgeClass>, StoreUnavailable> {
        self.0
    }
}

#[test]
fn a_stored_age_counts_where_the_event_tells_none() {
    let leaves = |event: &str, known, stored: &Ages| {
        let mut asked = Asked::of(event);
        (asked.place, asked.age, asked.stored) = ("us", known, stored);
        asked.leave() == [true]
    };
    let (silent, grown) = (r#"[{"type":"view","id":"1"}]"#, r#"[{"type":"view","id":"1","age":30}]"#);
    let (child, adult) = (Ages(Ok(Some(AgeClass::Child))), Ages(Ok(Some(AgeClass::Adult))));
    assert!(leaves(silent, AgeClass::Unknown, &adult));
    assert!(leaves(silent, AgeClass::Unknown, &Ages(Ok(None))));
    assert!(!leaves(silent, AgeClass::Unknown, &child));
    assert!(leaves(silent, AgeClass::Adult, &child), "it was said from outside");
    assert!(leaves(grown, AgeClass::Unknown, &child), "the event tells it");
}

#[test]
fn a_store_that_does_not_answer_may_hide_a_child() {
    let necessary = POLICY.replace("basis: consent", "basis: contract");
    let for_adults = necessary.replace("jurisdictions:", "ages: [adult]\njurisdictions:");
    let for_children = |data: &str, action: &str| {
        let rule = "apiVersion: privet.dev/v1alpha1\nkind: Rule\nmetadata: {name: children}\nfor: [analytics.reporting]\nages: [child]\n";
        format!("{necessary}---\n{rule}data: [{data}]\naction: {action}\n")
    };
    let leaves = |policy: &str, stored: &Ages| {
        let files = [SourceFile { name: "policy.yaml".to_owned(), text: policy.to_owned() }];
        let compiled = privet_policy::compile(&files);
        let policy = compiled.policy.unwrap_or_else(|| panic!("{:?}", compiled.diagnostics));
        let mut asked = Asked::of(r#"[{"type":"view","id":"1"}]"#);
        (asked.age, asked.stored) = (AgeClass::Unknown, stored);
        let outcome = asked.decisions_by(&policy).pop().unwrap().outcome;
        matches!(outcome, Outcome::Ruled(verdict) if verdict.treatments.iter().any(Option::is_some))
    };
    let (silent, fails) = (Ages(Ok(None)), Ages(Err(StoreUnavailable)));
    assert!(leaves(&necessary, &silent) && leaves(&necessary, &fails), "nobody's age matters");
    assert!(leaves(&for_adults, &silent) && !leaves(&for_adults, &fails));
    let harder = for_children("user.behavior", "drop");
    assert!(leaves(&harder, &silent) && leaves(&harder, &fails));
    let milder = for_children("user.behavior", "keep");
    assert!(leaves(&milder, &silent) && !leaves(&milder, &fails));
}
