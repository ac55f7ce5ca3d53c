//! What came in and where it went, in numbers that the recorder keeps.

use privet_audit_log::counts::{Counts, Delta};
use serde_json::{Map, Value, json};

use crate::audit::{RefusedAs, Running, Sums};
use crate::line::Line;

/// How many classes are told one by one; the others in a sum.
const CLASSES_MAX: usize = 1000;

/// The running totals; docs/console.md describes the members.
pub(super) fn of(running: &Running, line: &Line) -> Value {
    let policy = line.in_force().map(|in_force| in_force.enforcement.policy.digest().to_string());
    let (classes, others) = classes(running);
    json!({
        "incarnation": running.incarnation,
        "policy": policy,
        "durable": sums(&running.durable, running),
        "signed": {"records": running.signed.size, "sums": sums(&running.signed.sums, running)},
        "classes": classes,
        "other_classes": others,
    })
}

fn sums(sums: &Sums, running: &Running) -> Value {
    let Delta { arrivals, decisions, .. } = sums.counts();
    let refused: Map<String, Value> = RefusedAs::ALL
        .iter()
        .map(|refusal| (refusal.name().to_owned(), arrivals.refused.get(*refusal as u32)))
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| (name, count.into()))
        .collect();
    let ended = arrivals.answered + arrivals.refused.sum() + arrivals.aborted;
    let settled = decisions.events() + arrivals.withheld;
    json!({
        "requests": {
            "in": arrivals.requests, "answered": arrivals.answered, "refused": refused, "aborted": arrivals.aborted,
            "in_flight": arrivals.requests.saturating_sub(ended),
        },
        "events": {
            "in": arrivals.events, "kept": decisions.kept, "dropped": decisions.dropped, "withheld": arrivals.withheld,
            "undecided": arrivals.events.saturating_sub(settled),
        },
        "bytes": arrivals.bytes,
        "listeners": named(&arrivals.listeners, &running.named.listeners),
        "destinations": destinations(sums, running),
        "classes": decisions.classes.pairs(),
    })
}

fn named(counts: &Counts, names: &[String]) -> Map<String, Value> {
    (0_u32..).zip(names).map(|(number, name)| (name.clone(), counts.get(number).into())).collect()
}

fn destinations(sums: &Sums, running: &Running) -> Vec<Value> {
    let told = |(number, name): (u32, &String)| {
        let (released, fate) = (sums.counts().decisions.released.get(number), sums.fate(number));
        json!({
            "name": name, "released": released, "acknowledged": fate.acknowledged, "refused": fate.refused,
            "unknown": fate.unknown, "open": released.saturating_sub(fate.sum()),
        })
    };
    (0_u32..).zip(&running.named.destinations).map(told).collect()
}

/// The classes that counted most, and what the others count together.
fn classes(running: &Running) -> (Vec<Value>, Value) {
    let mut pairs = running.durable.counts().decisions.classes.pairs();
    pairs.sort_by_key(|(number, events)| (std::cmp::Reverse(*events), *number));
    let others = pairs.split_off(pairs.len().min(CLASSES_MAX));
    let events: u64 = others.iter().map(|(_, events)| events).sum();
    let told = pairs.into_iter().map(|(number, events)| class(number, events, running)).collect();
    (told, json!({"classes": others.len(), "events": events}))
}

fn class(number: u32, events: u64, running: &Running) -> Value {
    let known = running.named.classes.get(number as usize);
    let document: Value = known.and_then(|class| serde_json::from_str(&class.document).ok()).unwrap_or_default();
    let member = |name: &str| document.get(name).cloned().unwrap_or_default();
    let purposes = |leaving: &Value| leaving.get("purposes").cloned().unwrap_or_default();
    let to: Map<String, Value> = document
        .get("destinations")
        .and_then(Value::as_object)
        .map(|all| all.iter().map(|(name, leaving)| (name.clone(), purposes(leaving))).collect())
        .unwrap_or_default();
    json!({
        "n": number, "events": events, "outcome": member("outcome"), "contract": member("contract"),
        "format": member("format"), "jurisdiction": member("jurisdiction"), "age": member("age"),
        "policy": member("policy"), "to": to,
    })
}
