//! The policy of the design document compiles and does what it says.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use privet_json::{Index, Limits};
use privet_policy::action::Action;
use privet_policy::batch::{Batch, Group};
use privet_policy::consent::{Consent, Memory, NothingStored, RequestFacts};
use privet_policy::decide::{Decision, Outcome, decide};
use privet_policy::diagnostic::SourceFile;
use privet_policy::format::Format;
use privet_policy::policy::{AgeClass, DestinationNo, PlaceNo, Policy, PurposeNo};
use std::borrow::Cow;

struct Bare;

impl RequestFacts for Bare {
    fn header(&self, _: &str) -> Vec<&str> {
        Vec::new()
    }
    fn query(&self, _: &str) -> Vec<Cow<'_, str>> {
        Vec::new()
    }
    fn cookie(&self, _: &str) -> Vec<Cow<'_, str>> {
        Vec::new()
    }
}

fn policy() -> Policy {
    let files = [SourceFile { name: "design.yaml".into(), text: include_str!("data/design.yaml").into() }];
    let compiled = privet_policy::compile(&files);
    let said: Vec<String> = compiled.diagnostics.iter().map(|diagnostic| diagnostic.render(&files, false)).collect();
    compiled.policy.unwrap_or_else(|| panic!("{}", said.join("\n")))
}

fn decided(policy: &Policy, event: &str, place: &str) -> Decision {
    let mut index = Index::new();
    let root = index.read(event.as_bytes(), &Limits::default()).unwrap();
    let node = index.node(event.as_bytes(), root);
    let batch = Batch {
        format: Format::Segment,
        events: &[node],
        unfit: &[],
        groups: &[Group::bare(1)],
        implied: None,
        request: &Bare,
        received_ms: 0,
        place: policy.place(place),
        age: AgeClass::Unknown,
        stored: &NothingStored,
        memory: Memory::Lasting,
        heard: &|_| {},
    };
    decide(policy, &batch).pop().unwrap()
}

fn search(rest: &str) -> String {
    format!(
        r#"{{"type":"track","event":"Search Performed","userId":"u-1","messageId":"m-1","properties":{{"query":"knitting","results":3,"section":"apps"}}{rest}}}"#
    )
}

fn actions(policy: &Policy, decision: &Decision) -> Vec<(String, String)> {
    let Outcome::Ruled(verdict) = &decision.outcome else { panic!("not ruled: {decision:?}") };
    let Some(treatment) = verdict.treatment(DestinationNo(0)) else { return Vec::new() };
    let fields = &policy.contract(verdict.key.contract).fields;
    fields
        .iter()
        .zip(&treatment.rulings)
        .filter(|(_, ruling)| ruling.action != Action::Drop)
        .map(|(field, ruling)| {
            (field.path.to_string(), format!("{} by {}", ruling.action, policy.reason(ruling.because)))
        })
        .collect()
}

#[test]
fn with_consent_each_field_leaves_as_its_strictest_rule_says() {
    let policy = policy();
    let decision =
        decided(&policy, &search(r#","context":{"consent":{"categoryPreferences":{"Analytics":true}}}"#), "default");
    assert_eq!(decision.consent.of(PurposeNo(0)), Consent::Given);
    let actions = actions(&policy, &decision);
    let action = |path: &str| actions.iter().find(|(known, _)| known == path).map(|(_, action)| action.as_str());
    assert_eq!(
        action("properties.query"),
        Some("scrub EMAIL_ADDRESS, PHONE_NUMBER, CREDIT_CARD, IP_ADDRESS by search-text")
    );
    assert_eq!(action("properties.results"), Some("keep by operations"));
    assert_eq!(action("userId"), Some("pseudonymize analytics.reporting by ids"));
    assert_eq!(action("messageId"), Some("pseudonymize analytics.reporting by ids"));
    assert_eq!(action("timestamp"), Some("generalize time hour by times"));
    assert!(matches!(action("type"), Some("keep by operations" | "keep by built-in: schema")));
    assert_eq!(action("context.ip"), None);
    assert_eq!(action("context.traits.email"), None);
}

#[test]
fn without_an_answer_the_regime_decides() {
    let policy = policy();
    assert!(actions(&policy, &decided(&policy, &search(""), "default")).is_empty());
    assert!(actions(&policy, &decided(&policy, &search(""), "de")).is_empty());
    assert!(!actions(&policy, &decided(&policy, &search(""), "us")).is_empty());
    assert!(!actions(&policy, &decided(&policy, &search(""), "us-ca")).is_empty());
    let refused = search(r#","context":{"consent":{"categoryPreferences":{"Analytics":false}}}"#);
    assert!(actions(&policy, &decided(&policy, &refused, "us")).is_empty());
}

#[test]
fn what_no_contract_knows_or_allows_does_not_leave() {
    let policy = policy();
    assert!(matches!(decided(&policy, r#"{"type":"track","event":"Other"}"#, "us").outcome, Outcome::Unmatched));
    let wrong = search("").replace(r#""results":3"#, r#""results":"many""#);
    assert!(matches!(decided(&policy, &wrong, "us").outcome, Outcome::Invalid(_)));
    let wrong = search("").replace("apps", "cars");
    assert!(matches!(decided(&policy, &wrong, "us").outcome, Outcome::Invalid(_)));
}

#[test]
fn a_class_compiles_again_from_its_document() {
    let policy = policy();
    let Outcome::Ruled(verdict) = decided(&policy, &search(""), "us").outcome else { panic!() };
    let document = policy.class_of(&verdict);
    let parsed = serde_json::from_str(&document).unwrap();
    assert_eq!(policy.recompile_class(&parsed).unwrap(), document);
    let forged = serde_json::from_str(&document.replace("pseudonymize analytics.reporting", "keep")).unwrap();
    assert_ne!(policy.recompile_class(&forged).unwrap(), document.replace("pseudonymize analytics.reporting", "keep"));
    assert_eq!(policy.place("nowhere"), PlaceNo(0));
}
