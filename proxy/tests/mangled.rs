//! Events with damage, through the whole of `apply`: whatever comes in, there is
//! an answer, what leaves is JSON, and nothing leaves that nobody declared.
//!
//! A slice runs with the other tests; `PRIVET_CASES=1000000` runs for minutes.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use privet::decode::Scratch;
use privet::keys::Keyring;
use privet::offline::{AssumedDecisions, Parts, Question, think};
use privet::policies;
use privet::transform::Enforcement;
use privet_policy::format::Format;
use privet_policy::policy::AgeClass;
use serde_json::{Map, Value, json};

/// What stands in members that no contract declares.
const MARK: &str = "zz-undeclared-zz";

/// xorshift64*: the same damage in every run (Vigna 2016).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(drawn).unwrap() % bound.max(1)
    }
}

fn odd(dice: &mut Dice) -> Value {
    match dice.below(9) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(-0.0),
        3 => json!(u64::MAX),
        4 => json!("\u{0}\u{1f}\u{202e}\\\""),
        5 => json!("x".repeat(dice.below(5_000))),
        6 => json!([]),
        7 => json!({}),
        _ => json!([[["deep"]]]),
    }
}

/// Changes something somewhere below a value. Open maps, whose names a rule lets leave, are left alone.
fn damage(value: &mut Value, dice: &mut Dice) {
    let inner = match value {
        Value::Object(members) => {
            let keys: Vec<String> = members.keys().cloned().collect();
            match dice.below(4) {
                0 => drop(members.insert(format!("zz{}", dice.below(1_000)), json!(MARK))),
                1 if !keys.is_empty() => drop(members.remove(&keys[dice.below(keys.len())])),
                2 if !keys.is_empty() => drop(members.insert(keys[dice.below(keys.len())].clone(), odd(dice))),
                _ => {}
            }
            let closed = |name: &&String| !matches!(name.as_str(), "integrations" | "consent");
            let keys: Vec<String> = members.keys().filter(closed).cloned().collect();
            if keys.is_empty() { None } else { members.get_mut(&keys[dice.below(keys.len())]) }
        }
        Value::Array(elements) if !elements.is_empty() => {
            let at = dice.below(elements.len());
            if dice.below(4) == 0 {
                elements.push(json!({"zz": MARK}));
            }
            elements.get_mut(at)
        }
        _ => None,
    };
    if let Some(inner) = inner.filter(|_| dice.below(4) > 0) {
        damage(inner, dice);
    }
}

fn enforcement() -> Enforcement {
    let files = policies::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies")).unwrap();
    let (policy, _) = policies::compile(&files).policy.unwrap();
    Enforcement::new(Arc::new(policy), &Keyring::random().unwrap()).unwrap()
}

/// A person who agrees to everything, so that as much as can be is written.
fn agreed(mut event: Value) -> Value {
    let consent = json!({"categoryPreferences": {"Analytics": true, "Advertising": true, "Functional": true}});
    let context = event.as_object_mut().unwrap().entry("context").or_insert_with(|| Value::Object(Map::new()));
    context.as_object_mut().unwrap().insert("consent".to_owned(), consent);
    event
}

#[test]
fn damaged_events_are_answered_and_nothing_undeclared_leaves() {
    let cases: u64 = std::env::var("PRIVET_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(5_000);
    let seed: u64 = std::env::var("PRIVET_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let lines = include_str!("../../json-lib/tests/data/events.ndjson").lines().take(6);
    let events: Vec<Value> = lines.map(|line| agreed(serde_json::from_str(line).unwrap())).collect();
    let (enforcement, mut scratch, mut dice) =
        (enforcement(), Scratch::default(), Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    let (mut left, mut refused) = (0_u64, 0_u64);
    for case in 0..cases {
        let mut batch: Vec<Value> = (0..=dice.below(3)).map(|_| events[dice.below(events.len())].clone()).collect();
        batch.iter_mut().for_each(|event| (0..=dice.below(3)).for_each(|_| damage(event, &mut dice)));
        let mut body = json!({"batch": batch, "zz": MARK}).to_string().into_bytes();
        // Now and then bytes that no JSON writer would write.
        if dice.below(5) == 0 {
            let at = dice.below(body.len());
            body[at] = u8::try_from(dice.below(256)).unwrap();
        }
        let parts = Parts {
            method: "POST".to_owned(),
            target: "/v1/batch".to_owned(),
            headers: vec![
                ("content-type".to_owned(), "application/json".to_owned()),
                ("x-zz".to_owned(), MARK.to_owned()),
            ],
            body: body.clone(),
            peer: None,
            time: Timestamp::UNIX_EPOCH,
            format: Some(Format::Segment),
        };
        let question = Question {
            raw: parts.request().unwrap(),
            jurisdiction: None,
            age: AgeClass::Unknown,
            stored: AssumedDecisions::default(),
        };
        match think(&enforcement, &question, &mut scratch) {
            Err(told) => {
                assert!((400..500).contains(&told.status), "case {case} of seed {seed}: {}", told.status);
                refused += 1;
            }
            Ok(verdict) => {
                for sent in verdict.forwards {
                    let text = std::str::from_utf8(&sent.forward.body).unwrap();
                    let written: Value =
                        serde_json::from_str(text).unwrap_or_else(|_| panic!("case {case} of seed {seed}"));
                    assert!(written["batch"].as_array().is_some_and(|events| !events.is_empty()));
                    assert!(!text.contains(MARK), "case {case} of seed {seed}: {text}");
                    assert!(!format!("{:?}{}", sent.forward.headers, sent.forward.target).contains(MARK));
                    left += 1;
                }
            }
        }
    }
    println!("{cases} cases, {left} left, {refused} refused");
    assert!(left > cases / 4 && refused > cases / 50, "{left} left, {refused} refused of {cases}");
}
