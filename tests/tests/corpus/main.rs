//! Every file that we have of others goes through: each line as a request through the offline line, under a policy that
//! lets everything through which it has a word for.
//!
//! Promise: what a format accepts is answered with 2xx and counted as a second, plain reader counts it; what it does not
//! accept is refused for the one reason that this reader names; nothing is answered with 5xx; and nothing of a person
//! that a line points at stands raw in what leaves.
//!
//! Not here: sockets ([the client tests](../clients)) and the policies that ship (`leaks.rs`).
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod naive;
mod policy;
mod requests;

use std::collections::BTreeMap;
use std::fmt;

use privet::decode::Scratch;
use privet::offline::{AssumedDecisions, Parts, Question, Refused, Verdict, think};
use privet::transform::Enforcement;
use privet_policy::policy::AgeClass;
use privet_policy::signals::gpp::GppString;
use privet_policy::signals::tcf::TcString;
use privet_policy::signals::us_privacy::UsPrivacy;
use privet_tests::harvest::occurs;
use serde_json::Value;

use naive::Expected;
use requests::Case;

/// What became of the requests of one file or client.
#[derive(Default)]
struct Row {
    requests: usize,
    statuses: BTreeMap<u16, usize>,
    outcomes: BTreeMap<String, usize>,
    forwards: usize,
    personal: usize,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let statuses: Vec<_> = self.statuses.iter().map(|(status, count)| format!("{status}x{count}")).collect();
        write!(f, "{:>5} | {:<18} |", self.requests, statuses.join(" "))?;
        for outcome in ["kept", "dropped", "unmatched", "invalid"] {
            write!(f, " {:>5} |", self.outcomes.get(outcome).unwrap_or(&0))?;
        }
        write!(f, " {:>5} | {:>5}", self.forwards, self.personal)
    }
}

fn asked(enforcement: &Enforcement, case: &Case) -> Result<Verdict, Refused> {
    let parts = Parts {
        method: case.method.clone(),
        target: case.target.clone(),
        headers: case.headers.clone(),
        body: case.body.clone(),
        peer: None,
        time: "2026-11-22T12:00:00Z".parse().unwrap(),
        format: case.told.then_some(case.format),
    };
    let raw = parts.request().unwrap_or_else(|fault| panic!("{} {}: {fault}", case.row, case.id));
    let stored = AssumedDecisions::default();
    think(enforcement, &Question { raw, jurisdiction: None, age: AgeClass::Unknown, stored }, &mut Scratch::default())
}

/// Holds one request against what the plain reader says, and counts it. Gives what is wrong with it.
fn judge(enforcement: &Enforcement, case: &Case, row: &mut Row) -> Vec<String> {
    row.requests += 1;
    row.personal += case.personal.len();
    let answer = asked(enforcement, case);
    let status = match &answer {
        Ok(verdict) => verdict.status,
        Err(refused) => refused.status,
    };
    *row.statuses.entry(status).or_default() += 1;
    match (case.expected, &answer) {
        (Expected::Refused(why), Err(refused)) if why.is(&refused.refusal) && status == why.status() => Vec::new(),
        (Expected::Preflight, Ok(verdict)) if status == 204 && verdict.forwards.is_empty() => Vec::new(),
        (Expected::Events { held, unfit }, Ok(verdict)) => taken(case, held, unfit, verdict, row),
        (expected, Ok(_)) => vec![format!("expected {expected:?}, was taken with {status}")],
        (expected, Err(refused)) => vec![format!("expected {expected:?}, got {status} {}", refused.refusal.code())],
    }
}

/// What is wrong with an accepted request. The policy asks for nothing, so each event that is one is kept.
fn taken(case: &Case, held: usize, unfit: usize, verdict: &Verdict, row: &mut Row) -> Vec<String> {
    let events = verdict.decision["events"].as_array().unwrap();
    let mut found = BTreeMap::<&str, usize>::new();
    for event in events {
        *found.entry(event["outcome"].as_str().unwrap()).or_default() += 1;
    }
    for (outcome, count) in &found {
        *row.outcomes.entry((*outcome).to_owned()).or_default() += count;
    }
    row.forwards += verdict.forwards.len();
    let mut wrong = leaked(case, verdict);
    let expected: BTreeMap<_, _> =
        [("kept", held - unfit), ("invalid", unfit)].into_iter().filter(|(_, count)| *count > 0).collect();
    if found != expected {
        wrong.push(format!("{found:?}, by a plain reader {expected:?}"));
    }
    let contract = policy::contract(case.format);
    if events.iter().any(|event| event["outcome"] == "kept" && event["contract"] != contract.as_str()) {
        wrong.push(format!("not read as {}", case.format));
    }
    if !(200..300).contains(&verdict.status) || verdict.forwards.len() != usize::from(held > unfit) {
        wrong.push(format!("taken with {}, sent {} times", verdict.status, verdict.forwards.len()));
    }
    wrong
}

/// Which personal values stand in what leaves.
fn leaked(case: &Case, verdict: &Verdict) -> Vec<String> {
    let mut output = Vec::new();
    for sent in &verdict.forwards {
        output.extend_from_slice(&sent.forward.body);
        output.extend_from_slice(sent.forward.target.as_bytes());
        for (name, value) in &sent.forward.headers {
            output.extend_from_slice(name.as_str().as_bytes());
            output.extend_from_slice(value.as_bytes());
        }
    }
    let raw = case.personal.iter().filter(|value| occurs(value, &output));
    raw.map(|value| format!("{value} left in {}", String::from_utf8_lossy(&output))).collect()
}

#[test]
fn every_line_goes_through_as_a_plain_reader_expects() {
    let enforcement = policy::permissive();
    let (mut table, mut wrong) = (BTreeMap::<String, Row>::new(), Vec::new());
    for case in requests::all() {
        let row = table.entry(case.row.clone()).or_default();
        wrong.extend(
            judge(&enforcement, &case, row).into_iter().map(|fault| format!("{} {}: {fault}", case.row, case.id)),
        );
    }
    println!(
        "{:<32} |  reqs | statuses           |  kept | dropd | unmat | inval |  sent | searched",
        "file or client"
    );
    for (name, row) in &table {
        println!("{name:<32} | {row}");
    }
    assert!(table.values().map(|row| row.personal).sum::<usize>() > 1_000, "hardly anything was searched for");
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}

/// Every text that stands under a name, wherever it is.
fn under<'v>(value: &'v Value, name: &str, found: &mut Vec<&'v str>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get(name).and_then(Value::as_str));
            members.values().for_each(|member| under(member, name, found));
        }
        Value::Array(elements) => elements.iter().for_each(|element| under(element, name, found)),
        _ => {}
    }
}

/// Whether a text is made as a signal of its kind is, told by its letters alone.
fn looks_like(name: &str, text: &str) -> bool {
    let base64url =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    match name {
        "us_privacy" => {
            text.len() == 4 && text.starts_with('1') && text[1..].chars().all(|answer| "YN-".contains(answer))
        }
        "gpp" => text.starts_with('D') && text.split('~').next().is_some_and(base64url),
        _ => text.starts_with('C') && text.split('.').all(base64url),
    }
}

#[test]
fn every_signal_in_an_ad_request_is_read_or_refused_with_a_reason() {
    let lines = requests::lines("openrtb-privacy.ndjson");
    let mut counts = BTreeMap::<(&str, &str), usize>::new();
    for name in ["consent", "gpp", "us_privacy"] {
        let mut found = Vec::new();
        lines.iter().for_each(|line| under(line, name, &mut found));
        assert!(!found.is_empty(), "no {name}");
        for text in found {
            let read = match name {
                "us_privacy" => UsPrivacy::read(text).map(drop),
                "gpp" => GppString::read(text).map(drop),
                _ => TcString::read(text).map(drop),
            };
            let said = read.map_or_else(|unreadable| unreadable.code(), |()| "read");
            assert!(said != "read" || looks_like(name, text), "{name} was read from {text}");
            assert!(name != "us_privacy" || looks_like(name, text) == (said == "read"), "{text}: {said}");
            *counts.entry((name, said)).or_default() += 1;
        }
    }
    for ((name, said), count) in counts {
        println!("{name:<10} {said:<18} {count}");
    }
}
