//! A decision as JSON, for those who want to see why: `privet apply` shows it.
//!
//! It holds names that senders chose, so it is for local eyes only: nothing of
//! it may reach a log, a metric or an answer.

use std::collections::BTreeSet;

use privet_json::{Key, Node, PlanNodeId, Visit, visit};
use privet_policy::action::Action;
use privet_policy::consent::RequestFacts as _;
use privet_policy::decide::{Decision, Outcome};
use privet_policy::path::{Origin, Step};
use privet_policy::policy::{Contract, DestinationNo, Field, Policy};
use privet_policy::shared::{Matched, SharedTreatment};
use privet_policy::verdict::{Ruling, Verdict};
use serde_json::{Value, json};

use crate::decode::{Decoded, Layout};
use crate::request::RawRequest;
use crate::transform::RequestView;

/// The decision on a request: one entry an event, each with a ruling for every
/// field that is there.
#[must_use]
pub fn show(policy: &Policy, raw: &RawRequest, decoded: &Decoded, decisions: &[Decision]) -> Value {
    let mut matched = Matched::default();
    for decision in decisions {
        if let Outcome::Ruled(verdict) = &decision.outcome {
            matched.add(verdict);
        }
    }
    let shared: Vec<_> = policy
        .destination_numbers()
        .map(|destination| matched.any_leaves(destination).then(|| policy.shared(&matched, destination, &[])))
        .collect();
    let mut events: Vec<Value> = Vec::new();
    for (index, (decision, event)) in decisions.iter().zip(&decoded.events).enumerate() {
        let mut shown = Shown { policy, rows: Vec::new(), seen: BTreeSet::new() };
        if let Outcome::Ruled(verdict) = &decision.outcome {
            shown.own(verdict, decoded.index.node(&decoded.body, *event));
            for (destination, treatment) in policy.destination_numbers().zip(&shared) {
                shown.around(verdict, destination, treatment.as_deref(), index, decoded);
                shown.outside(verdict, destination, treatment.as_deref(), raw);
            }
        }
        events.push(json!({
            "index": index,
            "contract": contract(policy, &decision.outcome),
            "outcome": outcome(policy, &decision.outcome),
            "consent": consent(policy, decision),
            "fields": shown.rows,
        }));
    }
    for line in &decoded.malformed_lines {
        let index = events.len();
        events.push(
            json!({"index": index, "line": line, "contract": null, "outcome": "invalid", "consent": {}, "fields": []}),
        );
    }
    json!({"events": events})
}

fn contract(policy: &Policy, outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Ruled(verdict) => Some(policy.contract(verdict.key.contract).name.clone()),
        Outcome::Invalid(number) => Some(policy.contract(*number).name.clone()),
        Outcome::Unmatched | Outcome::Malformed => None,
    }
}

/// What becomes of an event, in one word.
#[must_use]
pub fn outcome(policy: &Policy, outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Ruled(verdict) if policy.destination_numbers().any(|to| verdict.treatment(to).is_some()) => "kept",
        Outcome::Ruled(_) => "dropped",
        Outcome::Unmatched => "unmatched",
        Outcome::Invalid(_) | Outcome::Malformed => "invalid",
    }
}

fn consent(policy: &Policy, decision: &Decision) -> Value {
    policy
        .purposes()
        .iter()
        .zip(decision.consent.iter())
        .map(|(purpose, state)| (purpose.name.clone(), Value::from(state.name())))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// The segment of a request path whose place, from 0, is written.
fn segment<'t>(target: &'t str, place: &str) -> Option<&'t str> {
    let path = target.split(['?', '#']).next()?;
    path.trim_start_matches('/').split('/').nth(place.parse().ok()?).filter(|segment| !segment.is_empty())
}

struct Shown<'a> {
    policy: &'a Policy,
    rows: Vec<Value>,
    seen: BTreeSet<(String, u8)>,
}

impl Shown<'_> {
    /// The fields of an event's own part, for every destination.
    fn own(&mut self, verdict: &Verdict, event: Node<'_>) {
        let contract = self.policy.contract(verdict.key.contract);
        let found = present(self.policy, verdict, event, None);
        for destination in self.policy.destination_numbers() {
            let treatment = verdict.treatment(destination);
            for present in &found {
                let field = present.field.and_then(|number| contract.fields.get(number));
                let ruling = treatment.and_then(|treatment| treatment.rulings.get(present.field?));
                self.row(&present.path, field, destination, ruling);
            }
        }
    }

    /// The fields that the batch says once for several of its events.
    fn around(
        &mut self,
        verdict: &Verdict,
        destination: DestinationNo,
        treatment: Option<&SharedTreatment>,
        event: usize,
        decoded: &Decoded,
    ) {
        let Layout::Batch { levels } = decoded.layout else { return };
        let contract = self.policy.contract(verdict.key.contract);
        for group in decoded.groups().filter(|group| group.events.contains(&event)) {
            for (holder, member) in group.around.iter().zip(levels) {
                for present in present(self.policy, verdict, holder, Some(member)) {
                    let field = present.field.and_then(|number| contract.fields.get(number));
                    let ruling = field.and_then(|field| ruling_of(treatment, field));
                    self.row(&present.path, field, destination, ruling);
                }
            }
        }
    }

    /// The fields of the request around its body.
    fn outside(
        &mut self,
        verdict: &Verdict,
        destination: DestinationNo,
        treatment: Option<&SharedTreatment>,
        raw: &RawRequest,
    ) {
        let contract = self.policy.contract(verdict.key.contract);
        let around = RequestView(raw);
        for field in contract.fields.iter().filter(|field| !field.holds_containers_only()) {
            let Some(Step::Key(name)) = field.path.steps.first() else { continue };
            let there = match field.path.origin {
                Origin::Event => false,
                Origin::Header => raw.headers.contains_key(name.as_str()),
                Origin::Query => !around.query(name).is_empty(),
                Origin::Cookie => !around.cookie(name).is_empty(),
                Origin::PathSegment => segment(&raw.target, name).is_some(),
            };
            if there {
                self.row(&field.path.to_string(), Some(field), destination, ruling_of(treatment, field));
            }
        }
    }

    fn row(&mut self, path: &str, field: Option<&Field>, destination: DestinationNo, ruling: Option<&Ruling>) {
        if !self.seen.insert((path.to_owned(), destination.0)) {
            return;
        }
        let ruling = ruling.unwrap_or(&Ruling::DEFAULT_DROP);
        let dropped = ruling.action == Action::Drop;
        let rule = (ruling.purpose.is_some() || !dropped).then(|| self.policy.reason(ruling.because));
        self.rows.push(json!({
            "path": path,
            "category": field.and_then(|field| field.category.as_deref()),
            "destination": self.policy.destination(destination).name,
            "action": ruling.action.kind().name(),
            "form": ruling.action.to_string(),
            "rule": rule,
            "purpose": ruling.purpose.map(|purpose| self.policy.purpose_name(purpose)),
        }));
    }
}

/// What becomes of a field that the events of the request share.
fn ruling_of<'t>(treatment: Option<&'t SharedTreatment>, field: &Field) -> Option<&'t Ruling> {
    let treatment = treatment?;
    let number = treatment.fields.iter().position(|known| known.path == field.path)?;
    treatment.rulings.get(number)
}

/// A value that is there: its path, and its field if the contract names it.
struct Present {
    path: String,
    field: Option<usize>,
}

fn present(policy: &Policy, verdict: &Verdict, node: Node<'_>, but: Option<&str>) -> Vec<Present> {
    let contract = policy.contract(verdict.key.contract);
    let mut lister = Lister { contract, shape: contract.declared(), within: String::new(), but, found: Vec::new() };
    visit(node, contract.declared(), &mut lister);
    lister.found
}

struct Lister<'a> {
    contract: &'a Contract,
    shape: &'a privet_json::Plan<u16>,
    /// The path of the encoded value that is looked into.
    within: String,
    but: Option<&'a str>,
    found: Vec<Present>,
}

impl<'n> Visit<'n, u16> for Lister<'_> {
    fn field(&mut self, number: u16, value: Node<'n>) {
        let Some(field) = self.contract.fields.get(usize::from(number)) else { return };
        if value.kind().is_container() {
            return;
        }
        if let Some(encoded) = self.contract.encoded(number) {
            let within = field.path.to_string();
            let inner = encoded.look(value, |root, shape| {
                let mut inner = Lister { contract: self.contract, shape, within, but: None, found: Vec::new() };
                visit(root, shape, &mut inner);
                inner.found
            });
            self.found.extend(inner.unwrap_or_default());
            return;
        }
        let mut path = field.path.to_string();
        if let (true, Some(key)) = (path.ends_with('*'), value.key()) {
            path.truncate(path.len() - 1);
            path.push_str(&key.text());
        }
        self.found.push(Present { path, field: Some(usize::from(number)) });
    }

    fn undeclared(&mut self, nearest: PlanNodeId, key: Option<Key<'n>>, _: Node<'n>) {
        if nearest == PlanNodeId::ROOT && self.but.is_some_and(|but| key.is_some_and(|key| key.is(but))) {
            return;
        }
        let mut path = self.within.clone();
        for step in self.shape.steps(nearest) {
            let name = match step {
                privet_json::Step::Key(name) => name.to_string(),
                privet_json::Step::AnyKey => "*".to_owned(),
                _ => "[]".to_owned(),
            };
            if !path.is_empty() && name != "[]" {
                path.push('.');
            }
            path.push_str(&name);
        }
        match key {
            Some(key) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(&key.text());
            }
            None => path.push_str("[]"),
        }
        self.found.push(Present { path, field: None });
    }
}
