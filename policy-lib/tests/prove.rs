//! What `prove` says, against every request that there is.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write as _;

use privet_json::{Index, Limits};
use privet_policy::Policy;
use privet_policy::action::{Action, ActionKind};
use privet_policy::batch::{Batch, Group};
use privet_policy::consent::{Consent, Memory, NothingStored, RequestFacts};
use privet_policy::decide::{Decision, Outcome, decide};
use privet_policy::diagnostic::SourceFile;
use privet_policy::exposure::exposure;
use privet_policy::policy::{AgeClass, DestinationNo, PurposeNo};
use privet_policy::prove::{Question, WayOut, prove};
use privet_policy::taxonomy::covers;
use proptest::collection::vec;
use proptest::prelude::*;

/// Purposes and the consent category that grants each; the first and the last share theirs.
const PURPOSES: [(&str, &str); 3] = [
    ("analytics.reporting.content_performance", "A"),
    ("analytics.reporting.system", "B"),
    ("marketing.advertising.profiling", "A"),
];
const FOR: [&str; 5] = [PURPOSES[0].0, PURPOSES[1].0, PURPOSES[2].0, "analytics.reporting", "marketing.advertising"];
const DATA: [&str; 4] = ["user.contact.email", "user.contact", "user.device.ip_address", "user"];
const ACTIONS: [&str; 9] = [
    "keep",
    "drop",
    "redact",
    "pseudonymize",
    "{pseudonymize: {shape: digits}}",
    "{tokenize: {key: a}}",
    "{generalize: {age: default}}",
    "{generalize: {ip: {v4: 24, v6: 48}}}",
    "{scrub: {detectors: [EMAIL_ADDRESS]}}",
];
const ASKED: [&str; 4] = ["user.contact.email", "user.contact", "user.device", "user"];
const ALLOWED: [&[ActionKind]; 4] =
    [&[], &[ActionKind::Pseudonymize], &[ActionKind::Scrub, ActionKind::Generalize], &[ActionKind::Generalize]];

#[derive(Clone, Debug)]
struct RuleText {
    data: usize,
    purpose: usize,
    action: usize,
    only: &'static str,
}

fn rule() -> impl Strategy<Value = RuleText> {
    let only = prop_oneof![8 => Just(""), 1 => Just("ages: [child]"), 1 => Just("jurisdictions: [us]")];
    (0..DATA.len(), 0..FOR.len(), 0..ACTIONS.len(), only).prop_map(|(data, purpose, action, only)| RuleText {
        data,
        purpose,
        action,
        only,
    })
}

fn compiled(rules: &[RuleText], us_opts_out: bool) -> Option<Policy> {
    let mut text = String::new();
    for (purpose, category) in PURPOSES {
        let us = if us_opts_out { "opt_out" } else { "opt_in" };
        writeln!(
            text,
            "apiVersion: privet.dev/v1alpha1\nkind: Purpose\nmetadata: {{name: {purpose}}}\nbasis: consent\ngranted_by: [{{segment: {{category: {category}}}}}]\nopted_out_by: [gpc]\njurisdictions: {{default: opt_in, us: {us}}}\n---"
        )
        .unwrap();
    }
    text.push_str(
        "apiVersion: privet.dev/v1alpha1\nkind: Contract\nmetadata: {name: c}\nmatch: {format: json, type: t}\nfields:\n  mail: {category: user.contact.email}\n  phone: {category: user.contact.phone_number}\n  ip: {category: user.device.ip_address}\n  \"list[].id\": {category: user.unique_id}\n---\napiVersion: privet.dev/v1alpha1\nkind: Destination\nmetadata: {name: d}\nurl: http://127.0.0.1:1\nprimary: true\nrecipient: third_party\nprefer: [pseudonymize, tokenize, generalize, scrub, analytics, marketing]\npurposes: [analytics, marketing]\n",
    );
    for (number, rule) in rules.iter().enumerate() {
        writeln!(
            text,
            "---\napiVersion: privet.dev/v1alpha1\nkind: Rule\nmetadata: {{name: r{number}}}\ndata: [{}]\nfor: [{}]\naction: {}\n{}",
            DATA[rule.data], FOR[rule.purpose], ACTIONS[rule.action], rule.only
        )
        .unwrap();
    }
    privet_policy::compile(&[SourceFile { name: "generated.yaml".into(), text }]).policy
}

struct Headers(Vec<(String, String)>);

impl RequestFacts for Headers {
    fn header(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    }
    fn query(&self, _: &str) -> Vec<Cow<'_, str>> {
        Vec::new()
    }
    fn cookie(&self, _: &str) -> Vec<Cow<'_, str>> {
        Vec::new()
    }
}

fn decided(policy: &Policy, event: &str, headers: &Headers, place: &str, age: AgeClass) -> Decision {
    let mut index = Index::new();
    let root = index.read(event.as_bytes(), &Limits::default()).unwrap();
    let batch = Batch {
        format: policy.contracts()[0].format,
        events: &[index.node(event.as_bytes(), root)],
        unfit: &[],
        groups: &[Group::bare(1)],
        implied: None,
        request: headers,
        received_ms: 0,
        place: policy.place(place),
        age,
        stored: &NothingStored,
        memory: Memory::Lasting,
        heard: &|_| {},
    };
    decide(policy, &batch).pop().unwrap()
}

/// The forms in which fields of a category leave with this decision.
fn forms(policy: &Policy, decision: &Decision, never: &str) -> BTreeSet<String> {
    let Outcome::Ruled(verdict) = &decision.outcome else { return BTreeSet::new() };
    let Some(treatment) = verdict.treatment(DestinationNo(0)) else { return BTreeSet::new() };
    let fields = &policy.contract(verdict.key.contract).fields;
    let leaving = fields.iter().zip(&treatment.rulings).filter(|(field, ruling)| {
        field.category.as_deref().is_some_and(|category| covers(never, category))
            && !matches!(ruling.action, Action::Drop | Action::Redact)
    });
    leaving.map(|(field, ruling)| format!("{} {}", field.path, ruling.action.kind().name())).collect()
}

/// Every request that differs in what a verdict depends on.
fn every_request(mut each: impl FnMut(&str, &Headers, &str, AgeClass)) {
    let consents = [
        "",
        r#","context":{"consent":{"categoryPreferences":{}}}"#,
        r#","context":{"consent":{"categoryPreferences":{"A":true}}}"#,
        r#","context":{"consent":{"categoryPreferences":{"B":true}}}"#,
        r#","context":{"consent":{"categoryPreferences":{"A":true,"B":true}}}"#,
    ];
    for consent in consents {
        let event = format!(r#"{{"type":"t","mail":"m","phone":"p","ip":"192.0.2.1","list":[{{"id":"i"}}]{consent}}}"#);
        for gpc in [false, true] {
            let headers = Headers(if gpc { vec![("sec-gpc".into(), "1".into())] } else { Vec::new() });
            for place in ["default", "us"] {
                for age in [AgeClass::Adult, AgeClass::Child, AgeClass::Unknown] {
                    each(&event, &headers, place, age);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// A proof holds for every request, and where there is none there is a request.
    #[test]
    fn a_proof_is_one_for_every_request(
        rules in vec(rule(), 0..7),
        us in any::<bool>(),
        asked in 0..ASKED.len(),
        allowed in 0..ALLOWED.len(),
        unless in prop::option::of(0..PURPOSES.len()),
    ) {
        let Some(policy) = compiled(&rules, us) else { return Ok(()) };
        let never = ASKED[asked];
        let unless_consent = unless.map(|purpose| PURPOSES[purpose].0);
        let question = Question { never, to: None, purpose: None, unless_consent, allow: ALLOWED[allowed], at_ms: 0 };
        let answer = prove(&policy, &question);
        let mut seen = BTreeSet::new();
        every_request(|event, headers, place, age| {
            let decision = decided(&policy, event, headers, place, age);
            let agreed = unless.is_some_and(|purpose| {
                let said = r#""A":true"#;
                let own = if PURPOSES[purpose].1 == "A" { said } else { r#""B":true"# };
                event.contains(own)
            });
            if !agreed {
                seen.extend(forms(&policy, &decision, never));
            }
        });
        let refused: BTreeSet<String> = seen
            .into_iter()
            .filter(|form| !ALLOWED[allowed].iter().any(|kind| form.ends_with(kind.name())))
            .collect();
        let said: BTreeSet<String> = answer
            .leaves
            .iter()
            .map(|way| {
                let field = &policy.contract(way.contract).fields[way.field];
                format!("{} {}", field.path, way.action.kind().name())
            })
            .collect();
        prop_assert_eq!(&said, &refused);
        prop_assert_eq!(answer.counterexample.is_some(), !said.is_empty());
        if let Some(sample) = &answer.counterexample {
            let headers = Headers(sample.headers.clone());
            let decision = decided(&policy, &sample.body.to_string(), &headers, &sample.jurisdiction, sample.age);
            prop_assert!(!forms(&policy, &decision, never).is_empty(), "{sample:?} does not leave");
            if let Some(purpose) = unless {
                prop_assert_ne!(decision.consent.of(PurposeNo(u8::try_from(purpose).unwrap())), Consent::Given);
            }
        }
    }

    /// What leaves with any request stands in the exposure.
    #[test]
    fn nothing_leaves_that_is_not_in_the_exposure(rules in vec(rule(), 0..7), us in any::<bool>()) {
        let Some(policy) = compiled(&rules, us) else { return Ok(()) };
        let rows = exposure(&policy);
        let mut wrong = Vec::new();
        every_request(|event, headers, place, age| {
            let decision = decided(&policy, event, headers, place, age);
            let Outcome::Ruled(verdict) = &decision.outcome else { return };
            let Some(treatment) = verdict.treatment(DestinationNo(0)) else { return };
            for (number, ruling) in treatment.rulings.iter().enumerate().filter(|(_, ruling)| ruling.action != Action::Drop) {
                let stands = rows.iter().any(|row| {
                    row.field == number
                        && row.action == ruling.action
                        && Some(row.purpose) == ruling.purpose
                        && row.places.contains(&policy.place(place))
                        && row.ages.contains(&age)
                        && row.consent.contains(&decision.consent.of(row.purpose))
                });
                if !stands {
                    wrong.push(format!("{number} {} in {place} for {}", ruling.action, age.name()));
                }
            }
        });
        prop_assert!(wrong.is_empty(), "{wrong:?}");
    }
}

/// Two destinations, two purposes, and each way in which a field may hold a category.
const ASKED_OF: &str = r#"
apiVersion: privet.dev/v1alpha1
kind: Purpose
metadata: {name: analytics.reporting.content_performance}
basis: consent
granted_by: [{segment: {category: A}}]
---
apiVersion: privet.dev/v1alpha1
kind: Purpose
metadata: {name: marketing.advertising.profiling}
basis: consent
granted_by: [{segment: {category: B}}]
---
apiVersion: privet.dev/v1alpha1
kind: Contract
metadata: {name: c}
match: {format: json, type: t}
fields:
  mail: {category: user.contact.email}
  phone: {category: user.contact.phone_number}
  note: {category: system.operations, free_text: true, may_contain: [user.contact]}
  link: {category: system.operations, url: true, may_contain: [user.name.first]}
  plain: {category: system.operations, may_contain: [user.name]}
  "names.*": {category: system.operations, key_category: user.account.username}
---
apiVersion: privet.dev/v1alpha1
kind: Destination
metadata: {name: far}
url: http://127.0.0.1:2
recipient: third_party
purposes: [marketing]
---
apiVersion: privet.dev/v1alpha1
kind: Destination
metadata: {name: near}
url: http://127.0.0.1:1
primary: true
recipient: processor
purposes: [analytics, marketing]
---
apiVersion: privet.dev/v1alpha1
kind: Rule
metadata: {name: mail}
data: [user.contact.email]
for: [analytics]
action: keep
---
apiVersion: privet.dev/v1alpha1
kind: Rule
metadata: {name: phone}
data: [user.contact.phone_number]
for: [marketing]
action: redact
---
apiVersion: privet.dev/v1alpha1
kind: Rule
metadata: {name: names}
data: [user.account]
for: [marketing]
action: keep
---
apiVersion: privet.dev/v1alpha1
kind: Rule
metadata: {name: operations}
data: [system.operations]
for: [marketing]
action: keep
"#;

/// What leaves and what may leave: destination, purpose and field of each.
fn told(policy: &Policy, question: &Question<'_>) -> (bool, Vec<String>, Vec<String>) {
    let answer = prove(policy, question);
    let words = |ways: &[WayOut]| {
        let mut words: Vec<String> = ways
            .iter()
            .map(|way| {
                let path = policy.contract(way.contract).fields[way.field].path.to_string();
                let purpose = way.purpose.map(|purpose| policy.purposes()[usize::from(purpose.0)].name.as_str());
                let destination = &policy.destinations()[usize::from(way.destination.0)].name;
                format!("{destination} {} {}", purpose.unwrap_or_default(), way.part.label(&path))
            })
            .collect();
        words.sort();
        words
    };
    (answer.is_proof(), words(&answer.leaves), words(&answer.may_leave))
}

#[test]
fn a_question_is_about_its_destination_its_purpose_and_what_fields_may_hold() {
    let files = [SourceFile { name: "asked.yaml".into(), text: ASKED_OF.into() }];
    let policy = privet_policy::compile(&files).policy.unwrap();
    let (far, near) = (DestinationNo(0), DestinationNo(1));
    let all =
        Question { never: "user.contact.email", to: None, purpose: None, unless_consent: None, allow: &[], at_ms: 0 };
    let (mail, profiling) = ("near analytics.reporting.content_performance mail", "marketing.advertising.profiling");
    let note = |destination: &str| format!("{destination} {profiling} note");
    let nothing = Vec::<String>::new();
    // Declared as it, and open to it: what may contain `user.contact` may contain an address.
    assert_eq!(told(&policy, &all), (false, vec![mail.to_owned()], vec![note("far"), note("near")]));
    assert_eq!(told(&policy, &Question { to: Some(far), ..all }), (false, nothing.clone(), vec![note("far")]));
    assert_eq!(told(&policy, &Question { to: Some(near), ..all }).1, [mail]);
    assert_eq!(
        told(&policy, &Question { purpose: Some("analytics"), ..all }),
        (false, vec![mail.to_owned()], nothing.clone())
    );
    assert_eq!(told(&policy, &Question { purpose: Some("marketing"), ..all }).1, nothing);
    // To a destination that has no such purpose, nothing leaves for it.
    let neither = Question { to: Some(far), purpose: Some("analytics"), ..all };
    assert_eq!(told(&policy, &neither), (true, nothing.clone(), nothing.clone()));
    // A redacted field leaves without its value; the text beside it may still hold one.
    let phone = Question { never: "user.contact.phone_number", ..all };
    assert_eq!(told(&policy, &phone), (false, nothing.clone(), vec![note("far"), note("near")]));
    // A question about more is about what may contain less; what is not open contains what it is declared to.
    let link = |destination: &str| format!("{destination} {profiling} link");
    assert_eq!(
        told(&policy, &Question { never: "user.name", ..all }),
        (false, nothing.clone(), vec![link("far"), link("near")])
    );
    assert_eq!(told(&policy, &Question { never: "user.name.last", ..all }), (true, nothing.clone(), nothing.clone()));
    // Names that a sender chose leave as what their category says.
    let names = |destination: &str| format!("{destination} {profiling} names.* (names)");
    let account = Question { never: "user.account", ..all };
    assert_eq!(told(&policy, &account), (false, vec![names("far"), names("near")], nothing));
}

#[test]
fn cases_are_counted() {
    let files = [SourceFile { name: "asked.yaml".into(), text: ASKED_OF.into() }];
    let policy = privet_policy::compile(&files).policy.unwrap();
    let question = Question { never: "user", to: None, purpose: None, unless_consent: None, allow: &[], at_ms: 0 };
    // One contract and place, three age classes; A: near. B: far and near. Both: far and near.
    assert_eq!(prove(&policy, &question).cases, 3 * (1 + 2 + 2));
}
