//! Canaries: requests whose class is known before they are sent.
//!
//! A canary is an event of one contract whose signals permit a certain set of purposes to each
//! destination; so its verdict follows from the policy alone. Its ids are its own: a refusal that it
//! says, which the sidecar stores, binds no other canary and no person.
//!
//! Not here: events that tell an age, and signals that do not stand in a request.

use std::collections::HashSet;

use serde_json::Value;

use super::sample::Sample;
use super::signals::{Said, assignments};
use super::{Request, WayOut};
use crate::action::Action;
use crate::consent::Memory;
use crate::exposure::Part;
use crate::policy::{AgeClass, Contract, ContractNo, DestinationNo, PlaceNo, Policy, PurposeSet, Role};
use crate::verdict::{Because, VerdictKey};

/// What samples say where an id is needed.
const SAMPLE_ID: &str = "u-1";
/// What samples say where any text will do.
const SAMPLE_TEXT: &str = "sample";

/// One kind of canary: a contract, and what a request says of consent.
#[derive(Clone, Debug)]
pub struct Canary {
    contract: ContractNo,
    place: PlaceNo,
    said: Said,
    lasting: Vec<PurposeSet>,
    forgetful: Vec<PurposeSet>,
}

/// Every kind of canary for requests from a jurisdiction: each contract with each set of purposes that a request can
/// bring about. A contract whose events have to tell an age has none.
#[must_use]
pub fn canaries(policy: &Policy, place: PlaceNo) -> Vec<Canary> {
    let mut known = HashSet::new();
    let requests = assignments(policy, None).into_iter().map(|said| Request::of(policy, said));
    let kinds: Vec<(Said, Vec<PurposeSet>, Vec<PurposeSet>)> = requests
        .filter_map(|request| {
            let lasting = request.permitted(policy, place, Memory::Lasting);
            let forgetful = request.permitted(policy, place, Memory::Forgetful);
            known.insert((lasting.clone(), forgetful.clone())).then_some((request.said, lasting, forgetful))
        })
        .collect();
    let contracts = policy.contract_numbers().filter(|number| !tells_age(policy.contract(*number)));
    let of = |contract| {
        kinds.iter().map(move |(said, lasting, forgetful)| Canary {
            contract,
            place,
            said: said.clone(),
            lasting: lasting.clone(),
            forgetful: forgetful.clone(),
        })
    };
    contracts.flat_map(of).collect()
}

fn tells_age(contract: &Contract) -> bool {
    contract.fields.iter().any(|field| field.required && field.role == Some(Role::Age))
}

impl Request {
    fn permitted(&self, policy: &Policy, place: PlaceNo, memory: Memory) -> Vec<PurposeSet> {
        let grounds = policy.grounds(place, AgeClass::Unknown, memory);
        let destinations = policy.destinations.iter().zip(&self.states);
        destinations.map(|(destination, states)| states.permit(grounds).and(destination.purposes)).collect()
    }
}

impl Canary {
    /// The contract that its event follows.
    #[must_use]
    pub const fn contract(&self) -> ContractNo {
        self.contract
    }

    /// What its verdict depends on, by whether the sidecar's consent store lasts.
    #[must_use]
    pub fn facts(&self, memory: Memory) -> VerdictKey {
        let permitted = match memory {
            Memory::Lasting => self.lasting.clone(),
            Memory::Forgetful => self.forgetful.clone(),
        };
        VerdictKey { contract: self.contract, place: self.place, age: AgeClass::Unknown, permitted }
    }

    /// A request of this kind about somebody who is called `id` and is nobody: at least six ASCII characters,
    /// the last six of them its own. `field` picks one of the contract's fields to stand in it besides what must.
    #[must_use]
    pub fn sample(&self, policy: &Policy, field: usize, id: &str, at_ms: i64) -> Sample {
        let mut sample = Sample::of(policy, &self.way(policy, field), &self.said, at_ms);
        let text = id.get(id.len().saturating_sub(SAMPLE_TEXT.len())..).unwrap_or(id);
        rename(&mut sample.body, id, text);
        for (_, value) in &mut sample.headers {
            match value.as_str() {
                SAMPLE_ID => id.clone_into(value),
                SAMPLE_TEXT => text.clone_into(value),
                _ => {}
            }
        }
        sample
    }

    fn way(&self, policy: &Policy, pick: usize) -> WayOut {
        let contract = policy.contract(self.contract);
        let fields: Vec<usize> = (0..contract.fields.len())
            .filter(|number| {
                let field = contract.fields.get(*number);
                field.is_some_and(|field| field.role != Some(Role::Age) && !field.holds_containers_only())
            })
            .collect();
        let field = pick.checked_rem(fields.len()).and_then(|pick| fields.get(pick)).copied();
        WayOut {
            contract: self.contract,
            field: field.unwrap_or(usize::MAX),
            part: Part::Value,
            destination: DestinationNo(0),
            purpose: None,
            place: self.place,
            age: AgeClass::Unknown,
            action: field.map_or(Action::Drop, |field| self.action_on(policy, field)),
            because: Because::NoRule,
        }
    }

    /// What happens to a field where it leaves, so that its value is one that this can happen to.
    fn action_on(&self, policy: &Policy, field: usize) -> Action {
        let verdict = policy.verdict(&self.facts(Memory::Lasting));
        let rulings = verdict.treatments.iter().flatten().filter_map(|treatment| treatment.rulings.get(field));
        rulings.map(|ruling| ruling.action.clone()).find(|action| *action != Action::Drop).unwrap_or(Action::Drop)
    }
}

fn rename(value: &mut Value, id: &str, text: &str) {
    match value {
        Value::String(written) if written == SAMPLE_ID => id.clone_into(written),
        Value::String(written) if written == SAMPLE_TEXT => text.clone_into(written),
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, id, text)),
        Value::Object(members) => members.values_mut().for_each(|member| rename(member, id, text)),
        _ => {}
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;
    use crate::diagnostic::SourceFile;

    const POLICY: &str = "\
apiVersion: privet.dev/v1alpha1
kind: Contract
metadata: {name: c, version: 1, owner: o}
match: {format: segment, type: track, event: E}
fields:
  properties.q: {type: string, required: true, category: user.behavior.search_history}
---
apiVersion: privet.dev/v1alpha1
kind: Purpose
metadata: {name: analytics.reporting}
basis: consent
granted_by: [{segment: {category: A}}]
---
apiVersion: privet.dev/v1alpha1
kind: Destination
metadata: {name: d}
url: http://127.0.0.1:1
primary: true
recipient: processor
requires: []
purposes: [analytics.reporting]
---
apiVersion: privet.dev/v1alpha1
kind: Rule
metadata: {name: r}
data: [user.behavior]
for: [analytics.reporting]
action: keep
because: tests
";

    #[test]
    fn every_contract_has_a_canary_that_agrees_and_one_that_does_not() {
        let compiled = crate::compile(&[SourceFile { name: "p.yaml".into(), text: POLICY.into() }]);
        let policy = compiled.policy.unwrap_or_else(|| panic!("{:?}", compiled.diagnostics));
        let all = canaries(&policy, PlaceNo::default());
        let permits = |canary: &&Canary| !canary.facts(Memory::Lasting).permitted[0].is_empty();
        let own = |canary: &&Canary| policy.contract(canary.contract()).name == "c";
        let (yes, no): (Vec<&Canary>, Vec<&Canary>) = all.iter().filter(own).partition(permits);
        assert_eq!((yes.len(), no.len()), (1, 1));
        let one = yes[0].sample(&policy, 0, "canary-0a1b2c", 0);
        let other = yes[0].sample(&policy, 0, "canary-0a1b2d", 0);
        assert_eq!(one.body["properties"]["q"], "0a1b2c");
        assert_eq!(one.body["context"]["consent"]["categoryPreferences"]["A"], true);
        assert_ne!(one.body, other.body, "each is about somebody else");
        assert!(policy.class_of(&policy.verdict(&yes[0].facts(Memory::Lasting))).contains("properties.q"));
    }
}
