//! Promises of the language, on generated policies.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::cmp::Ordering;
use std::fmt::Write as _;

use privet_policy::Policy;
use privet_policy::action::Action;
use privet_policy::diagnostic::SourceFile;
use privet_policy::policy::{AgeClass, ContractNo, DestinationNo, PlaceNo, PurposeNo, PurposeSet};
use privet_policy::verdict::{Because, VerdictKey};
use proptest::collection::vec;
use proptest::prelude::*;

const PURPOSES: [&str; 3] =
    ["analytics.reporting.content_performance", "analytics.reporting.system", "marketing.advertising.profiling"];
const COVERS: [&str; 5] = [PURPOSES[0], PURPOSES[1], PURPOSES[2], "analytics.reporting", "analytics"];
const CATEGORIES: [&str; 4] = ["user.contact.email", "user.contact", "user.device.ip_address", "user"];
const ACTIONS: [&str; 15] = [
    "keep",
    "drop",
    "redact",
    "pseudonymize",
    "{pseudonymize: {shape: uuid}}",
    "{tokenize: {key: a}}",
    "{tokenize: {key: a, mode: random}}",
    "{generalize: {url: {query: [a, b]}}}",
    "{generalize: {geo: {decimals: 1}}}",
    "{generalize: {geo: {decimals: 3}}}",
    "{generalize: {time: hour}}",
    "{generalize: {time: day}}",
    "{generalize: {url: host}}",
    "{scrub: {detectors: [EMAIL_ADDRESS]}}",
    "{scrub: {detectors: [EMAIL_ADDRESS, IP_ADDRESS]}}",
];
const PREFER: [&str; 3] = [
    "",
    "prefer: [pseudonymize, tokenize, generalize, scrub, analytics]",
    "prefer: [analytics, generalize, tokenize, scrub, pseudonymize]",
];

#[derive(Clone, Debug)]
struct RuleText {
    data: usize,
    covers: usize,
    action: usize,
    children: bool,
}

fn rule() -> impl Strategy<Value = RuleText> {
    (0..CATEGORIES.len(), 0..COVERS.len(), 0..ACTIONS.len(), prop::bool::weighted(0.1))
        .prop_map(|(data, covers, action, children)| RuleText { data, covers, action, children })
}

fn source(rules: &[(usize, RuleText)], prefer: usize) -> SourceFile {
    let mut text = String::new();
    for purpose in PURPOSES {
        writeln!(
            text,
            "apiVersion: privet.dev/v1alpha1\nkind: Purpose\nmetadata: {{name: {purpose}}}\nbasis: consent\n---"
        )
        .unwrap();
    }
    writeln!(
        text,
        "apiVersion: privet.dev/v1alpha1\nkind: Contract\nmetadata: {{name: c}}\nmatch: {{format: json, type: t}}\nfields:\n  mail: {{category: user.contact.email}}\n  phone: {{category: user.contact.phone_number}}\n  ip: {{category: user.device.ip_address}}\n  how: {{category: system.operations}}\n---"
    )
    .unwrap();
    writeln!(
        text,
        "apiVersion: privet.dev/v1alpha1\nkind: Destination\nmetadata: {{name: d}}\nurl: http://127.0.0.1:1\nprimary: true\nrecipient: processor\npurposes: [{}]\n{}",
        PURPOSES.join(", "),
        PREFER[prefer]
    )
    .unwrap();
    for (number, rule) in rules {
        writeln!(
            text,
            "---\napiVersion: privet.dev/v1alpha1\nkind: Rule\nmetadata: {{name: r{number}}}\ndata: [{}]\nfor: [{}]\naction: {}\n{}",
            CATEGORIES[rule.data],
            COVERS[rule.covers],
            ACTIONS[rule.action],
            if rule.children { "ages: [child]" } else { "" }
        )
        .unwrap();
    }
    SourceFile { name: "generated.yaml".into(), text }
}

fn compiled(rules: &[(usize, RuleText)], prefer: usize) -> Option<Policy> {
    privet_policy::compile(&[source(rules, prefer)]).policy
}

/// The action on each field, and what stands behind it.
fn rulings(policy: &Policy, permitted: u64, age: AgeClass) -> Vec<(Action, Because)> {
    let key = VerdictKey { contract: ContractNo(0), place: PlaceNo(0), age, permitted: vec![PurposeSet(permitted)] };
    let verdict = policy.verdict(&key);
    match verdict.treatment(DestinationNo(0)) {
        Some(treatment) => treatment.rulings.iter().map(|ruling| (ruling.action.clone(), ruling.because)).collect(),
        None => policy.contract(ContractNo(0)).fields.iter().map(|_| (Action::Drop, Because::NoRule)).collect(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    /// The order of rules in a file, and of files, changes nothing that leaves.
    #[test]
    fn rule_order_never_matters(rules in vec(rule(), 0..7), prefer in 0..PREFER.len(), seed in any::<u64>()) {
        let numbered: Vec<_> = rules.into_iter().enumerate().collect();
        let mut shuffled = numbered.clone();
        shuffled.sort_by_key(|(number, _)| (*number as u64 + 1).wrapping_mul(seed | 1) >> 7);
        let (a, b) = (compiled(&numbered, prefer), compiled(&shuffled, prefer));
        prop_assert_eq!(a.is_some(), b.is_some());
        if let (Some(a), Some(b)) = (a, b) {
            prop_assert_eq!(a.digest(), b.digest());
            for permitted in 0..8 {
                for age in [AgeClass::Adult, AgeClass::Child, AgeClass::Unknown] {
                    prop_assert_eq!(rulings(&a, permitted, age), rulings(&b, permitted, age));
                }
            }
        }
    }

    /// Taking a permission away never adds a field, nor makes one strictly finer.
    #[test]
    fn a_refusal_never_adds_nor_refines(rules in vec(rule(), 0..7), prefer in 0..PREFER.len()) {
        let numbered: Vec<_> = rules.into_iter().enumerate().collect();
        let Some(policy) = compiled(&numbered, prefer) else { return Ok(()) };
        for permitted in 0..8_u64 {
            for refused in 0..3 {
                let fewer = permitted & !(1 << refused);
                let (before, after) = (rulings(&policy, permitted, AgeClass::Adult), rulings(&policy, fewer, AgeClass::Adult));
                for ((more, _), (less, _)) in before.iter().zip(&after) {
                    prop_assert_ne!(less.compare(more), Some(Ordering::Greater), "{} became {}", more, less);
                }
            }
        }
    }

    /// A policy that compiles never meets two forms that it cannot order.
    #[test]
    fn what_compiles_is_never_torn(rules in vec(rule(), 0..7), prefer in 0..PREFER.len()) {
        let numbered: Vec<_> = rules.into_iter().enumerate().collect();
        let Some(policy) = compiled(&numbered, prefer) else { return Ok(()) };
        for permitted in 0..8 {
            for age in [AgeClass::Adult, AgeClass::Child, AgeClass::Unknown] {
                prop_assert!(rulings(&policy, permitted, age).iter().all(|(_, because)| *because != Because::Incomparable));
            }
        }
    }
}

/// Half of the generated policies should compile, or the properties above say little.
#[test]
fn enough_generated_policies_compile() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let strategy = (vec(rule(), 0..7), 0..PREFER.len());
    let tries = 200;
    let fine = (0..tries)
        .filter(|_| {
            let (rules, prefer) = strategy.new_tree(&mut runner).unwrap().current();
            compiled(&rules.into_iter().enumerate().collect::<Vec<_>>(), prefer).is_some()
        })
        .count();
    assert!(fine * 5 > tries * 2, "{fine} of {tries}");
    assert!(PurposeSet(0b101).iter().eq([PurposeNo(0), PurposeNo(2)]));
}
