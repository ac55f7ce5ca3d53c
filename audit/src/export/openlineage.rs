//! OpenLineage: which fields of a contract become which fields at a destination, under each policy.
//!
//! One run event a policy and contract with the facet `columnLineage`
//! ([ColumnLineageDatasetFacet](https://openlineage.io/spec/facets/1-2-0/ColumnLineageDatasetFacet.json)):
//! what the policy can let out in any circumstance, not what one event held. Its run id is made
//! of the policy's digest and the contract (UUID version 8 of RFC 9562), so the same policy gives the
//! same run. Nothing in it is a count: lineage goes to catalogs that are no auditor's.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use privet_audit_log::record::Record;
use privet_audit_log::tree::Hash;
use privet_policy::Policy;
use privet_policy::action::ActionKind;
use privet_policy::exposure::{Row, exposure};
use privet_policy::policy::{ContractNo, DestinationNo};
use serde_json::{Map, Value, json};

use super::{Lines, PRODUCER};
use crate::evidence::Evidence;
use crate::period::show;

const RUN_SCHEMA: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent";
const FACET_SCHEMA: &str =
    "https://openlineage.io/spec/facets/1-2-0/ColumnLineageDatasetFacet.json#/$defs/ColumnLineageDatasetFacet";

/// Writes the events: policies by first use, contracts in their order.
///
/// # Errors
/// See [`Evidence::walk`]; a line cannot be written.
pub fn events(evidence: &Evidence, out: &mut Lines<'_>) -> Result<usize> {
    let mut loaded: BTreeMap<String, (i64, String)> = BTreeMap::new();
    evidence.walk(&mut |told| {
        if let Record::PolicyLoad(load) = &told.entry.record {
            let origin = told.names.origin.clone();
            loaded.entry(load.digest.clone()).or_insert((told.entry.ts, origin));
        }
    })?;
    for (digest, policy) in evidence.policies_in_order() {
        let Some((since, origin)) = loaded.get(digest) else { continue };
        let rows = exposure(policy);
        for contract in policy.contract_numbers() {
            let own: Vec<&Row> = rows.iter().filter(|row| row.contract == contract).collect();
            if !own.is_empty() {
                out.push(&event(policy, contract, &own, (*since, origin)));
            }
        }
    }
    out.end()
}

fn event(policy: &Policy, contract: ContractNo, rows: &[&Row], (since, origin): (i64, &str)) -> Value {
    let name = policy.contract_name(contract);
    let destinations: BTreeSet<DestinationNo> = rows.iter().map(|row| row.destination).collect();
    let outputs: Vec<Value> =
        destinations.into_iter().map(|number| output(policy, &name, number, rows, origin)).collect();
    json!({
        "eventType": "COMPLETE",
        "eventTime": show(since),
        "producer": PRODUCER,
        "schemaURL": RUN_SCHEMA,
        "run": {"runId": run_id(&policy.digest().to_string(), &name)},
        "job": {"namespace": origin, "name": format!("{}/{name}", policy.digest())},
        "inputs": [{"namespace": origin, "name": name}],
        "outputs": outputs,
    })
}

fn output(policy: &Policy, contract: &str, number: DestinationNo, rows: &[&Row], origin: &str) -> Value {
    let mut fields: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.destination == number) {
        let Some(field) = row.field(policy) else { continue };
        let label = row.part.label(&field.path.to_string());
        let transformations = fields.entry(label).or_default();
        let transformation = transformation(policy, row);
        if !transformations.contains(&transformation) {
            transformations.push(transformation);
        }
    }
    let fields: Map<String, Value> = fields
        .into_iter()
        .map(|(label, transformations)| {
            let input = json!({
                "namespace": origin,
                "name": contract,
                "field": label,
                "transformations": transformations,
            });
            (label, json!({"inputFields": [input]}))
        })
        .collect();
    json!({
        "namespace": origin,
        "name": format!("{}/{contract}", policy.destination(number).name),
        "facets": {"columnLineage": {"_producer": PRODUCER, "_schemaURL": FACET_SCHEMA, "fields": fields}},
    })
}

/// How a value becomes what leaves. `masking` says whether the original cannot be read from it.
fn transformation(policy: &Policy, row: &Row) -> Value {
    let kind = row.action.kind();
    let subtype = if kind == ActionKind::Keep { "IDENTITY" } else { "TRANSFORMATION" };
    json!({
        "type": "DIRECT",
        "subtype": subtype,
        "description": format!("{} for {}, by {}", row.action, policy.purpose_name(row.purpose), policy.reason(row.because)),
        "masking": matches!(kind, ActionKind::Redact | ActionKind::Pseudonymize | ActionKind::Tokenize | ActionKind::Generalize),
    })
}

/// A UUID of version 8 (RFC 9562): 122 bits of SHA-256 over both names.
fn run_id(digest: &str, contract: &str) -> String {
    let mut hex: Vec<char> = Hash::of(format!("{digest}\n{contract}").as_bytes()).to_hex().chars().take(32).collect();
    for (place, digit) in hex.iter_mut().enumerate() {
        match place {
            12 => *digit = '8',
            // The variant: two high bits of this digit are 10.
            16 => *digit = char::from_digit(digit.to_digit(16).unwrap_or(0) & 3 | 8, 16).unwrap_or('8'),
            _ => {}
        }
    }
    let text: String = hex.into_iter().collect();
    let mut parts = Vec::new();
    let mut rest = text.as_str();
    for length in [8, 4, 4, 4, 12] {
        let (part, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        parts.push(part);
        rest = after;
    }
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_named_by_its_policy_and_contract() {
        let id = run_id("sha256:ab", "a/1");
        assert_eq!(id, run_id("sha256:ab", "a/1"));
        assert_ne!(id, run_id("sha256:ab", "a/2"));
        let places: Vec<usize> = id.match_indices('-').map(|(place, _)| place).collect();
        assert_eq!((id.len(), places), (36, vec![8, 13, 18, 23]));
        assert_eq!(id.chars().nth(14), Some('8'));
        assert!(matches!(id.chars().nth(19), Some('8' | '9' | 'a' | 'b')));
    }
}
