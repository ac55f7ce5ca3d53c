//! What events of one request share, where auth goes, whom a rule for adults is about.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;

use privet_policy::Policy;
use privet_policy::action::ActionKind;
use privet_policy::diagnostic::SourceFile;
use privet_policy::policy::{AgeClass, ContractNo, DestinationNo, PlaceNo, PurposeSet};
use privet_policy::shared::{Matched, SharedTreatment};
use privet_policy::verdict::{Because, Ruling, Verdict, VerdictKey};

const POLICY: &str = r#"
apiVersion: privet.dev/v1alpha1
kind: Purpose
metadata: {name: analytics.reporting.content_performance}
basis: consent
---
apiVersion: privet.dev/v1alpha1
kind: Destination
metadata: {name: a}
url: http://127.0.0.1:1
primary: true
recipient: processor
requires: []
purposes: [analytics]
---
apiVersion: privet.dev/v1alpha1
kind: Destination
metadata: {name: b}
url: http://127.0.0.1:2
recipient: processor
requires: []
purposes: [analytics]
---
apiVersion: privet.dev/v1alpha1
kind: Contract
metadata: {name: one}
match: {format: segment, type: track, event: One}
fields:
  context.only: {category: system.operations}
  context.note: {category: system.operations, encoding: base64}
  "context.map.*": {category: system.operations, key_category: user.behavior}
---
apiVersion: privet.dev/v1alpha1
kind: Contract
metadata: {name: two}
match: {format: segment, type: track, event: Two}
fields:
  context.note: {category: system.operations}
  "context.map.*": {category: system.operations, key_category: user.behavior}
---
apiVersion: privet.dev/v1alpha1
kind: Rule
metadata: {name: operations}
data: [system.operations]
for: [analytics]
action: keep
---
apiVersion: privet.dev/v1alpha1
kind: Rule
metadata: {name: names}
data: [user.behavior]
for: [analytics]
action: pseudonymize
---
apiVersion: privet.dev/v1alpha1
kind: Rule
metadata: {name: addresses}
data: [user.device.ip_address]
for: [analytics]
action: {generalize: {ip: {v4: 24, v6: 48}}}
---
apiVersion: privet.dev/v1alpha1
kind: Rule
metadata: {name: addresses-of-two}
data: [user.device.ip_address]
for: [analytics]
contracts: [two]
action: {generalize: {ip: {v4: 16, v6: 32}}}
---
apiVersion: privet.dev/v1alpha1
kind: Rule
metadata: {name: agents-of-adults}
data: [user.device.user_agent]
for: [analytics]
ages: [adult]
action: {generalize: {user_agent: family}}
"#;

fn policy() -> Policy {
    let files = [SourceFile { name: "policy.yaml".to_owned(), text: POLICY.to_owned() }];
    let compiled = privet_policy::compile(&files);
    compiled.policy.unwrap_or_else(|| panic!("{:?}", compiled.diagnostics))
}

/// The verdict on an event of a contract, permitted for `a` and, where it is said, for `b`.
fn verdict(policy: &Policy, contract: u16, age: AgeClass, also_b: bool) -> Arc<Verdict> {
    let permitted = vec![PurposeSet(1), PurposeSet(u64::from(also_b))];
    policy.verdict(&VerdictKey { contract: ContractNo(contract), place: PlaceNo(0), age, permitted })
}

fn ruling(policy: &Policy, verdict: &Verdict, destination: u8, path: &str) -> Ruling {
    let fields = &policy.contract(verdict.key.contract).fields;
    let number = fields.iter().position(|field| field.path.to_string() == path).unwrap_or_else(|| panic!("{path}"));
    verdict.treatment(DestinationNo(destination)).unwrap().rulings[number].clone()
}

fn shared(policy: &Policy, verdicts: &[&Arc<Verdict>], destination: u8) -> Arc<SharedTreatment> {
    let mut matched = Matched::default();
    verdicts.iter().for_each(|verdict| matched.add(verdict));
    policy.shared(&matched, DestinationNo(destination), &["batch"])
}

fn form(treatment: &SharedTreatment, path: &str) -> Option<String> {
    let number = treatment.fields.iter().position(|field| field.path.to_string() == path)?;
    Some(treatment.rulings[number].action.to_string())
}

#[test]
fn auth_goes_to_the_destination_whose_answer_is_the_client_s_and_routing_to_all() {
    let policy = policy();
    let verdict = verdict(&policy, 0, AgeClass::Adult, true);
    let auth = |destination| ruling(&policy, &verdict, destination, "$header.authorization").action.kind();
    assert_eq!((auth(0), auth(1)), (ActionKind::Keep, ActionKind::Drop));
    for destination in [0, 1] {
        assert_eq!(ruling(&policy, &verdict, destination, "type").action.kind(), ActionKind::Keep);
        // An id has a role too, and leaves by none.
        assert_eq!(ruling(&policy, &verdict, destination, "userId").because, Because::NoRule);
    }
}

#[test]
fn a_rule_for_adults_is_about_those_whose_age_nobody_said() {
    let policy = policy();
    let agent = |age| ruling(&policy, &verdict(&policy, 0, age, false), 0, "context.userAgent").action.kind();
    assert_eq!(agent(AgeClass::Adult), ActionKind::Generalize);
    assert_eq!(agent(AgeClass::Unknown), ActionKind::Generalize);
    assert_eq!(agent(AgeClass::Child), ActionKind::Drop);
}

#[test]
fn shared_facts_take_the_coarsest_ruling_over_all_events() {
    let policy = policy();
    let (one, two) = (verdict(&policy, 0, AgeClass::Adult, true), verdict(&policy, 1, AgeClass::Adult, true));
    assert_ne!(one.number, two.number);
    assert_eq!(verdict(&policy, 0, AgeClass::Adult, true).number, one.number, "compiled once");
    let own = |verdict: &Arc<Verdict>| form(&shared(&policy, &[verdict], 0), "context.ip");
    assert_eq!(own(&one).as_deref(), Some("generalize ip /24 and /48"));
    assert_eq!(own(&two).as_deref(), Some("generalize ip /16 and /32"));
    for order in [[&one, &two], [&two, &one]] {
        let both = shared(&policy, &order, 0);
        assert_eq!(form(&both, "context.ip").as_deref(), Some("generalize ip /16 and /32"));
        assert_eq!(form(&both, "context.only").as_deref(), Some("drop"), "only one of them declares it");
        assert_eq!(form(&both, "context.note").as_deref(), Some("drop"), "each says another encoding");
    }
    let names = shared(&policy, &[&one, &two], 0);
    let map = names.fields.iter().position(|field| field.path.to_string() == "context.map.*").unwrap();
    assert_eq!(names.key_rulings[map].as_ref().unwrap().action.kind(), ActionKind::Pseudonymize);
}

#[test]
fn an_event_that_is_withheld_takes_what_is_personal_with_it() {
    let policy = policy();
    let (one, withheld) = (verdict(&policy, 0, AgeClass::Adult, true), verdict(&policy, 1, AgeClass::Adult, false));
    assert!(withheld.treatment(DestinationNo(1)).is_none());
    let to_a = shared(&policy, &[&one, &withheld], 0);
    assert_eq!(form(&to_a, "context.ip").as_deref(), Some("generalize ip /16 and /32"));
    let to_b = shared(&policy, &[&one, &withheld], 1);
    assert_eq!(form(&to_b, "context.ip").as_deref(), Some("drop"));
    assert_eq!(form(&to_b, "context.map.*").as_deref(), Some("keep"), "what is not about a person stays");
    let mut matched = Matched::default();
    matched.add(&withheld);
    assert!(matched.any_leaves(DestinationNo(0)) && !matched.any_leaves(DestinationNo(1)));
}
