//! Purposes that are about some contracts and ages only, destinations by where
//! they sit, detectors by the name of their set.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use privet_json::{Index, Limits};
use privet_policy::action::Action;
use privet_policy::batch::{Batch, Group};
use privet_policy::consent::{Memory, NothingStored, RequestFacts};
use privet_policy::decide::{Outcome, decide};
use privet_policy::diagnostic::SourceFile;
use privet_policy::exposure::exposure;
use privet_policy::policy::{AgeClass, Policy};
use privet_policy::prove::{Question, prove};
use std::borrow::Cow;

const POLICY: &str = r#"
apiVersion: privet.dev/v1alpha1
kind: Taxonomy
metadata: {name: shop}
subjects: {customer.young: "A customer who is not of age."}
---
apiVersion: privet.dev/v1alpha1
kind: Purpose
metadata: {name: analytics.reporting.content_performance}
basis: consent
granted_by: [{field: {path: consent, given: ["yes"]}}]
ages: [adult]
---
apiVersion: privet.dev/v1alpha1
kind: Purpose
metadata: {name: essential.legal_obligation}
basis: legal_obligation
contracts: [shop.order]
---
apiVersion: privet.dev/v1alpha1
kind: Destination
metadata: {name: near}
url: http://127.0.0.1:8081
primary: true
recipient: processor
located_in: [eu]
purposes: [analytics.reporting.content_performance, essential.legal_obligation]
---
apiVersion: privet.dev/v1alpha1
kind: Destination
metadata: {name: far}
url: http://127.0.0.1:8082
recipient: processor
located_in: [us-ca]
purposes: [analytics.reporting.content_performance]
---
apiVersion: privet.dev/v1alpha1
kind: Contract
metadata: {name: shop.view}
match: {format: json, type: view}
subjects: [customer]
fields:
  text: {category: user.behavior.search_history}
  email: {category: user.contact.email}
---
apiVersion: privet.dev/v1alpha1
kind: Contract
metadata: {name: shop.order}
match: {format: json, type: order}
subjects: [customer.young]
fields:
  text: {category: user.behavior.search_history}
  email: {category: user.contact.email}
---
apiVersion: privet.dev/v1alpha1
kind: DetectorSet
metadata: {name: contacts}
detectors: [EMAIL_ADDRESS, PHONE_NUMBER]
---
apiVersion: privet.dev/v1alpha1
kind: Rule
metadata: {name: texts}
data: [user.behavior.search_history]
for: [analytics.reporting, essential.legal_obligation]
action: {scrub: {detectors: [contacts, IP_ADDRESS]}}
---
apiVersion: privet.dev/v1alpha1
kind: Rule
metadata: {name: addresses}
data: [user.contact.email]
for: [analytics.reporting, essential.legal_obligation]
action: keep
---
apiVersion: privet.dev/v1alpha1
kind: Rule
metadata: {name: nothing-overseas}
data: [user.contact]
for: [analytics]
located_in: [us]
action: drop
"#;

fn policy() -> Policy {
    let files = [SourceFile { name: "policy.yaml".to_owned(), text: POLICY.to_owned() }];
    let compiled = privet_policy::compile(&files);
    let said: Vec<String> = compiled.diagnostics.iter().map(|said| said.render(&files, false)).collect();
    compiled.policy.unwrap_or_else(|| panic!("{}", said.join("\n")))
}

#[test]
fn a_purpose_is_about_its_contracts_and_ages_only() {
    let policy = policy();
    let rows = exposure(&policy);
    assert!(rows.iter().any(|row| policy.purpose_name(row.purpose) == "essential.legal_obligation"));
    for row in &rows {
        let contract = policy.contract_name(row.contract);
        match policy.purpose_name(row.purpose) {
            "essential.legal_obligation" => assert!(contract.starts_with("shop.order"), "{contract}"),
            _ => assert!(!row.ages.contains(&AgeClass::Child), "{row:?}"),
        }
    }
    let question = Question {
        never: "user.contact.email",
        to: None,
        purpose: Some("analytics"),
        unless_consent: None,
        allow: &[],
        at_ms: 0,
    };
    let answer = prove(&policy, &question);
    assert!(!answer.leaves.is_empty());
    assert!(answer.leaves.iter().all(|way| way.age != AgeClass::Child), "{:?}", answer.leaves);
}

#[test]
fn a_rule_knows_destinations_by_where_they_sit() {
    let policy = policy();
    let leaves = |to: &str| {
        exposure(&policy).iter().any(|row| {
            policy.destination(row.destination).name == to
                && row.field(&policy).is_some_and(|field| field.path.to_string() == "email")
        })
    };
    assert!(leaves("near"));
    assert!(!leaves("far"), "`us` covers `us-ca`");
}

#[test]
fn a_set_of_detectors_is_what_it_lists() {
    let policy = policy();
    let row = exposure(&policy).into_iter().find(|row| matches!(row.action, Action::Scrub(_))).unwrap();
    assert_eq!(row.action.to_string(), "scrub EMAIL_ADDRESS, PHONE_NUMBER, IP_ADDRESS");
    assert_eq!(policy.contracts()[0].subjects, ["customer.young"]);
}

/// A request with this value of `Sec-GPC`, of which 1 says "do not sell".
struct Gpc(&'static str);

impl RequestFacts for Gpc {
    fn header(&self, name: &str) -> Vec<&str> {
        if name == "sec-gpc" { vec![self.0] } else { Vec::new() }
    }
    fn query(&self, _: &str) -> Vec<Cow<'_, str>> {
        Vec::new()
    }
    fn cookie(&self, _: &str) -> Vec<Cow<'_, str>> {
        Vec::new()
    }
}

#[test]
fn an_opt_out_signal_binds_third_parties_and_others_only_where_it_is_to_bind_everywhere() {
    let leaves = |everywhere: &str, gpc| {
        let opted = format!("ages: [adult]\nopted_out_by: [gpc]\n{everywhere}");
        let third = POLICY.replacen(
            "recipient: processor\nlocated_in: [us-ca]",
            "recipient: third_party\nlocated_in: [us-ca]",
            1,
        );
        let text = third.replacen("ages: [adult]", &opted, 1);
        let files = [SourceFile { name: "policy.yaml".to_owned(), text }];
        let policy = privet_policy::compile(&files).policy.unwrap();
        let (event, mut index) = (br#"{"type":"view","consent":"yes","text":"t"}"#, Index::new());
        let root = index.read(event, &Limits::default()).unwrap();
        let batch = Batch {
            format: policy.contracts()[0].format,
            events: &[index.node(event, root)],
            unfit: &[],
            groups: &[Group::bare(1)],
            implied: None,
            request: &Gpc(gpc),
            received_ms: 0,
            place: policy.place("eu"),
            age: AgeClass::Adult,
            stored: &NothingStored,
            memory: Memory::Lasting,
            heard: &|_| {},
        };
        let decision = decide(&policy, &batch).pop().unwrap();
        let Outcome::Ruled(verdict) = &decision.outcome else { panic!("it follows a contract") };
        let to = |name: &str| {
            policy
                .destination_numbers()
                .any(|to| policy.destination(to).name == name && verdict.treatment(to).is_some())
        };
        (to("near"), to("far"))
    };
    assert_eq!(leaves("", "1"), (true, false), "near is a processor, far a third party");
    assert_eq!(leaves("everywhere: true", "1"), (false, false));
    assert_eq!(leaves("everywhere: true", "0"), (true, true), "0 says nothing");
}

#[test]
fn a_rule_about_one_contract_shows_in_the_exposure_of_that_one_only() {
    let narrow = "---\napiVersion: privet.dev/v1alpha1\nkind: Rule\nmetadata: {name: orders}\ndata: [user.contact.email]\nfor: [analytics.reporting]\ncontracts: [shop.order]\naction: redact\n";
    let files = [SourceFile { name: "policy.yaml".to_owned(), text: format!("{POLICY}{narrow}") }];
    let policy = privet_policy::compile(&files).policy.unwrap();
    let rows = exposure(&policy);
    let forms = |contract: &str| {
        let own = rows.iter().filter(|row| {
            policy.contract_name(row.contract).starts_with(contract)
                && policy.purpose_name(row.purpose).starts_with("analytics")
                && row.field(&policy).is_some_and(|field| field.path.to_string() == "email")
        });
        own.map(|row| row.action.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(forms("shop.view"), ["keep"]);
    assert_eq!(forms("shop.order"), ["redact"]);
}
