//! Requests of every format through the shipped policies, as `privet apply` does it.
//!
//! A request is made of a contract's own fields, of members that nobody declared
//! and of damage. Whatever comes in:
//!
//! - there is an answer, and what leaves as JSON reads strictly;
//! - what stands in undeclared members, and in fields that no rule lets out as
//!   they came, is in nothing that leaves;
//! - after a refusal, or where the store of refusals does not answer, nothing leaves.
#![no_main]

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path as FilePath;
use std::sync::{Arc, LazyLock};

use arbitrary::{Result, Unstructured};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use privet::decode::Scratch;
use privet::forward::Forward;
use privet::keys::Keyring;
use privet::offline::{AssumedDecisions, Parts, Question, think};
use privet::policies;
use privet::transform::Enforcement;
use privet_json::{Index, Limits};
use privet_policy::action::{Action, Generalize};
use privet_policy::exposure::{Part, exposure};
use privet_policy::format::Format;
use privet_policy::path::{Origin, Path, Step};
use privet_policy::policy::{AgeClass, Contract, Field};
use serde_json::{Map, Value, json};

/// What must not leave.
const MARK: &str = "zzmarkzz";

/// The shipped policies, and what they let out of each contract's fields.
struct Shipped {
    enforcement: Enforcement,
    /// By contract: the fields whose value may leave as it came, or nearly so.
    open: Vec<BTreeSet<usize>>,
}

static SHIPPED: LazyLock<Shipped> = LazyLock::new(|| {
    let files = policies::read(&FilePath::new(env!("CARGO_MANIFEST_DIR")).join("../policies")).expect("policies");
    let (policy, _) = policies::compile(&files).policy.expect("the shipped policies compile");
    let mut open = vec![BTreeSet::new(); policy.contracts().len()];
    for row in exposure(&policy).into_iter().filter(|row| row.part == Part::Value) {
        let hides = match row.action {
            Action::Keep | Action::Scrub(_) | Action::Generalize(Generalize::Url(_)) => false,
            Action::Drop
            | Action::Redact
            | Action::Pseudonymize { .. }
            | Action::Tokenize { .. }
            | Action::Generalize(_) => true,
        };
        if !hides {
            open[usize::from(row.contract.0)].insert(row.field);
        }
    }
    let key = ("fuzz.key".to_owned(), b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_vec());
    let keyring = Keyring::read(&[key]).expect("a key");
    Shipped { enforcement: Enforcement::new(Arc::new(policy), &keyring).expect("every key"), open }
});

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::default());
}

fuzz_target!(|bytes: &[u8]| {
    let mut draw = Unstructured::new(bytes);
    if let Ok(request) = Request::draw(&mut draw) {
        request.check();
    }
});

/// One request, and what is known of it.
struct Request {
    parts: Parts,
    jurisdiction: Option<String>,
    age: AgeClass,
    /// What the store says of every purpose.
    stored: Option<&'static str>,
    /// The contract that its events were made for, if no byte was damaged since.
    made_for: Option<usize>,
}

impl Request {
    fn draw(draw: &mut Unstructured<'_>) -> Result<Self> {
        let contracts = SHIPPED.enforcement.policy.contracts();
        let made_for = draw.choose_index(contracts.len())?;
        let contract = &contracts[made_for];
        let mut outside = Outside::draw(draw, made_for)?;
        let events = (0..draw.int_in_range(1..=3)?).map(|_| event(draw, made_for));
        let events = events.collect::<Result<Vec<Value>>>()?;
        let (target, mut body) = outside.frame(draw, contract.format, events)?;
        let damage = draw.int_in_range(0..=4)?;
        for _ in 0..damage {
            damage_once(draw, &mut body)?;
        }
        Ok(Self {
            parts: Parts {
                method: (*draw.choose(&["POST", "POST", "POST", "PUT", "GET", "OPTIONS"])?).to_owned(),
                target,
                headers: outside.headers,
                body,
                peer: None,
                time: Timestamp::UNIX_EPOCH,
                format: draw.arbitrary::<bool>()?.then_some(contract.format),
            },
            jurisdiction: draw.choose(&[None, Some("us-ca"), Some("de"), Some("")])?.map(str::to_owned),
            age: *draw.choose(&[AgeClass::Adult, AgeClass::Child, AgeClass::Unknown])?,
            stored: *draw.choose(&[None, None, Some("given"), Some("refused"), Some("unavailable")])?,
            made_for: (damage == 0).then_some(made_for),
        })
    }

    fn check(self) {
        let policy = &SHIPPED.enforcement.policy;
        let stored =
            self.stored.map(|state| AssumedDecisions::read(&json!({"*": state}), policy, Timestamp::UNIX_EPOCH));
        let Ok(raw) = self.parts.request() else { return };
        let question = Question {
            raw,
            jurisdiction: self.jurisdiction,
            age: self.age,
            stored: stored.transpose().expect("decisions").unwrap_or_default(),
        };
        let thought = SCRATCH.with_borrow_mut(|scratch| think(&SHIPPED.enforcement, &question, scratch));
        let verdict = match thought {
            Ok(verdict) => verdict,
            Err(told) => return assert!((400..600).contains(&told.status), "told {}", told.status),
        };
        assert!(verdict.decision["events"].is_array());
        let denied = matches!(self.stored, Some("refused" | "unavailable"));
        // A path that a destination lists passes without an event, and with nothing of the sender's.
        let passes = verdict.decision["events"].as_array().is_some_and(Vec::is_empty);
        let bare = |sent: &Forward| sent.body.is_empty() && !holds_mark(sent);
        let nothing =
            verdict.forwards.is_empty() || (passes && verdict.forwards.iter().all(|sent| bare(&sent.forward)));
        assert!(nothing || !(denied || passes), "something leaves after a refusal");
        let name = self.made_for.map(|number| policy.contracts()[number].name.as_str());
        let followed = verdict.decision["events"].as_array().into_iter().flatten();
        let as_made = name.is_some_and(|name| followed.into_iter().all(|event| event["contract"] == name));
        for sent in &verdict.forwards {
            assert!(reads_strictly(&sent.forward), "what leaves does not read");
            assert!(!as_made || !holds_mark(&sent.forward), "what must not leave does");
        }
    }
}

fn reads_strictly(forward: &Forward) -> bool {
    let media = forward.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let reads = |text: &[u8]| Index::new().read(text, &Limits::default()).is_ok();
    if media.contains("ndjson") {
        forward.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).all(reads)
    } else {
        !media.contains("json") || forward.body.is_empty() || reads(&forward.body)
    }
}

fn holds_mark(forward: &Forward) -> bool {
    let holds = |bytes: &[u8]| bytes.windows(MARK.len()).any(|window| window.eq_ignore_ascii_case(MARK.as_bytes()));
    let headers =
        forward.headers.iter().any(|(name, value)| holds(name.as_str().as_bytes()) || holds(value.as_bytes()));
    headers || holds(forward.target.as_bytes()) || holds(&forward.body)
}

/// One time of so many, and never once nothing is left to draw from.
fn rarely(draw: &mut Unstructured<'_>, times: u8) -> Result<bool> {
    Ok(draw.int_in_range(1..=times)? == times)
}

/// The parts of a request around its body.
#[derive(Default)]
struct Outside {
    headers: Vec<(String, String)>,
    query: String,
}

impl Outside {
    /// What a contract declares out there, and what nobody does.
    fn draw(draw: &mut Unstructured<'_>, number: usize) -> Result<Self> {
        let mut outside = Self::default();
        let contract = &SHIPPED.enforcement.policy.contracts()[number];
        let fields = contract.fields.iter().enumerate().filter(|(_, field)| field.path.origin != Origin::Event);
        for (at, field) in fields {
            let Some(Step::Key(name)) = field.path.steps.first() else { continue };
            if rarely(draw, 6)? {
                let value = value(draw, number, at, field)?;
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                outside.set(field.path.origin, name, &text);
            }
        }
        for origin in [Origin::Header, Origin::Cookie, Origin::Query] {
            if rarely(draw, 4)? {
                outside.set(origin, "zz", MARK);
            }
        }
        Ok(outside)
    }

    fn set(&mut self, origin: Origin, name: &str, text: &str) {
        match origin {
            Origin::Header => self.headers.push((name.to_owned(), text.to_owned())),
            Origin::Cookie => self.headers.push(("cookie".to_owned(), format!("{name}={text}"))),
            Origin::Query => {
                let separator = if self.query.is_empty() { '?' } else { '&' };
                self.query.push_str(&format!("{separator}{name}={text}"));
            }
            Origin::Event | Origin::PathSegment => {}
        }
    }

    /// Puts events into what their format has around them: target and body.
    fn frame(
        &mut self,
        draw: &mut Unstructured<'_>,
        format: Format,
        mut events: Vec<Value>,
    ) -> Result<(String, Vec<u8>)> {
        let first = events.first().cloned().unwrap_or_default();
        let single = events.len() == 1 && draw.arbitrary()?;
        let (path, media, body) = match format {
            Format::Segment | Format::RudderStack if single => {
                let kind = first["type"].as_str().unwrap_or("track");
                (format!("/v1/{kind}"), "application/json", first.to_string())
            }
            Format::Segment | Format::RudderStack => {
                let mut batch = json!({"batch": events, "sentAt": "2026-11-22T21:50:42.259Z", "zz": MARK});
                if rarely(draw, 3)? {
                    batch["context"] = json!({"zz": MARK, "consent": preferences(draw)?});
                }
                ("/v1/batch".to_owned(), "application/json", batch.to_string())
            }
            Format::Snowplow => {
                let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                for event in events.iter_mut().filter_map(Value::as_object_mut) {
                    event.values_mut().for_each(|value| *value = text(value.take()).into());
                }
                let payload = json!({"schema": privet_policy::snowplow::PAYLOAD_SCHEMA, "data": events});
                (privet_policy::snowplow::PAYLOAD_PATH.to_owned(), "application/json", payload.to_string())
            }
            Format::CloudEvents if single && draw.arbitrary()? => {
                let data = events.first_mut().and_then(|event| event.get_mut("data")).map(Value::take);
                let attributes = events.iter().flat_map(|event| event.as_object().into_iter().flatten());
                let attributes =
                    attributes.filter_map(|(name, value)| Some((format!("ce-{name}"), value.as_str()?.to_owned())));
                self.headers.extend(attributes.filter(|(name, _)| !name.ends_with("-datacontenttype")));
                let body = data.map(|data| data.to_string()).unwrap_or_default();
                ("/events".to_owned(), *draw.choose(&["application/json", "text/plain", "application/xml"])?, body)
            }
            Format::CloudEvents if single => ("/events".to_owned(), "application/cloudevents+json", first.to_string()),
            Format::CloudEvents => {
                ("/events".to_owned(), "application/cloudevents-batch+json", Value::Array(events).to_string())
            }
            Format::Ga4 => {
                let body = json!({"client_id": "1.2", "events": events, "zz": MARK});
                ("/mp/collect".to_owned(), "application/json", body.to_string())
            }
            Format::Json if single => ("/events".to_owned(), "application/json", first.to_string()),
            Format::Json => ("/events".to_owned(), "application/json", Value::Array(events).to_string()),
            Format::Otlp => {
                let mut scope = json!({"logRecords": events, "zz": MARK});
                let mut resource = json!({"zz": MARK});
                for (name, holder) in [("scope", &mut scope), ("resource", &mut resource)] {
                    if let Some(shared) = first.get(name) {
                        holder[name] = shared.clone();
                    }
                }
                resource["scopeLogs"] = json!([scope]);
                ("/v1/logs".to_owned(), "application/json", json!({"resourceLogs": [resource]}).to_string())
            }
            Format::Ndjson => {
                let lines: Vec<String> = events.iter().map(Value::to_string).collect();
                ("/events".to_owned(), "application/x-ndjson", lines.join("\n"))
            }
        };
        let media =
            if rarely(draw, 8)? { *draw.choose(&["text/plain", "", "application/json; charset=x"])? } else { media };
        self.headers.push(("content-type".to_owned(), media.to_owned()));
        if rarely(draw, 16)? {
            self.headers.push((
                "content-encoding".to_owned(),
                (*draw.choose(&["gzip", "deflate", "zstd", "br", "identity"])?).to_owned(),
            ));
        }
        Ok((path + &self.query, body.into_bytes()))
    }
}

/// An event of a contract: some of its fields, some members that nobody declared, consent, and what it is matched by.
fn event(draw: &mut Unstructured<'_>, number: usize) -> Result<Value> {
    let contract = &SHIPPED.enforcement.policy.contracts()[number];
    let mut event = json!({});
    for _ in 0..draw.int_in_range(0..=8)? {
        let at = draw.choose_index(contract.fields.len())?;
        let field = &contract.fields[at];
        if field.path.origin == Origin::Event {
            let value = value(draw, number, at, field)?;
            put(&mut event, &field.path.steps, value);
        }
    }
    for _ in 0..draw.int_in_range(0..=3)? {
        undeclared(draw, contract, &mut event)?;
    }
    for name in ["userId", "messageId"].into_iter().filter(|_| contract.format == Format::Segment) {
        put(&mut event, &[Step::Key(name.to_owned())], json!("u-1"));
    }
    for (name, value) in [("e", "ue"), ("p", "web"), ("tv", "fuzz")] {
        if contract.format == Format::Snowplow {
            put(&mut event, &[Step::Key(name.to_owned())], json!(value));
        }
    }
    for (name, value) in [("id", "1"), ("source", "/fuzz"), ("specversion", "1.0")] {
        if contract.format == Format::CloudEvents {
            put(&mut event, &[Step::Key(name.to_owned())], json!(value));
        }
    }
    consent(draw, contract, &mut event)?;
    for (path, values) in &contract.conditions {
        put(&mut event, &path.steps, json!(draw.choose(values)?));
    }
    Ok(event)
}

fn consent(draw: &mut Unstructured<'_>, contract: &Contract, event: &mut Value) -> Result<()> {
    let agrees = !rarely(draw, 5)?;
    let steps = |names: &[&str]| names.iter().map(|name| Step::Key((*name).to_owned())).collect::<Vec<_>>();
    match contract.format {
        Format::Segment | Format::RudderStack => put(event, &steps(&["context", "consent"]), preferences(draw)?),
        Format::Ga4 => {
            let choice = if agrees { "granted" } else { "denied" };
            put(event, &steps(&["user_properties", "analytics_consent", "value"]), json!(choice));
        }
        Format::CloudEvents => {
            put(event, &steps(&["consentpurposes"]), json!(if agrees { "analytics" } else { "none" }))
        }
        Format::Snowplow => put(event, &steps(&["ue_pr", "data", "data", "consent", "analytics"]), json!(agrees)),
        Format::Otlp => {
            let path: Path = "attributes[key=consent.analytics].value.boolValue".parse().expect("a path");
            put(event, &path.steps, json!(agrees));
        }
        Format::Json | Format::Ndjson => put(event, &steps(&["consent", "analytics"]), json!(agrees)),
    }
    Ok(())
}

fn preferences(draw: &mut Unstructured<'_>) -> Result<Value> {
    let choice = match draw.int_in_range(0..=9)? {
        7 => json!(false),
        8 => json!("yes"),
        9 => Value::Null,
        _ => json!(true),
    };
    Ok(json!({"categoryPreferences": {"Analytics": choice}}))
}

/// A value for a field: a mark where its value does not leave as it came, anything where it may.
fn value(draw: &mut Unstructured<'_>, number: usize, at: usize, field: &Field) -> Result<Value> {
    if let Some(values) = &field.values {
        return Ok(json!(draw.choose(values)?));
    }
    let open = SHIPPED.open[number].contains(&at);
    Ok(match draw.int_in_range(0..=9)? {
        0 => Value::Null,
        1 => draw.arbitrary::<bool>()?.into(),
        2 => draw.arbitrary::<i64>()?.into(),
        3 => draw.arbitrary::<f64>()?.into(),
        4 if open => json!([draw.arbitrary::<&str>()?.replace(MARK, "")]),
        5 | 6 if !open => json!(format!("{MARK}@example.com")),
        7 if !open => json!({"zz": MARK, "list": [MARK]}),
        _ if open => json!(draw.arbitrary::<&str>()?.to_ascii_lowercase().replace(MARK, "")),
        _ => json!(MARK),
    })
}

/// Puts a mark where nobody declared anything.
fn undeclared(draw: &mut Unstructured<'_>, contract: &Contract, event: &mut Value) -> Result<()> {
    let name = *draw.choose(&["", "properties", "context", "data", "traits", "consent"])?;
    let any_key =
        |field: &Field| matches!(field.path.steps.as_slice(), [Step::Key(first), Step::AnyKey, ..] if first == name);
    let place = if name.is_empty() { Some(event) } else { event.get_mut(name) };
    if let Some(Value::Object(members)) = place.filter(|_| !contract.fields.iter().any(any_key)) {
        let value = match draw.int_in_range(0..=2)? {
            0 => json!({"inner": [MARK], MARK: 1}),
            1 => json!([MARK, {"x": MARK}]),
            _ => json!(MARK),
        };
        let name = format!("zz{}", draw.int_in_range(0..=3)?);
        members.insert(if rarely(draw, 4)? { format!("{MARK}{name}") } else { name }, value);
    }
    Ok(())
}

/// Puts a value at a path. What stands in the way gives way.
fn put(at: &mut Value, steps: &[Step], value: Value) {
    let Some((step, rest)) = steps.split_first() else {
        *at = value;
        return;
    };
    if matches!(step, Step::Element | Step::Where { .. }) {
        if !at.is_array() {
            *at = json!([]);
        }
        if let Value::Array(elements) = at {
            elements.push(if let Step::Where { key, equals } = step { json!({key: equals}) } else { Value::Null });
            elements.last_mut().into_iter().for_each(|element| put(element, rest, value.clone()));
        }
        return;
    }
    if !at.is_object() {
        *at = Value::Object(Map::new());
    }
    let name = if let Step::Key(name) = step { name } else { "name" };
    if let Value::Object(members) = at {
        put(members.entry(name).or_insert(Value::Null), rest, value);
    }
}

fn damage_once(draw: &mut Unstructured<'_>, body: &mut Vec<u8>) -> Result<()> {
    let at = draw.int_in_range(0..=body.len())?;
    let end = (at + draw.int_in_range(0..=16)?).min(body.len());
    match draw.int_in_range(0..=3)? {
        0 => drop(body.drain(at..end)),
        1 => drop(body.splice(at..end, draw.arbitrary::<&[u8]>()?.iter().copied().take(64).collect::<Vec<_>>())),
        2 => drop(body.splice(at..at, body[at..end].to_vec().repeat(2))),
        _ => body.truncate(at),
    }
    Ok(())
}
