//! `privet test`: runs the policy authors' tests (`kind: Suite`).
//!
//! A test is thought through as `privet apply` does it, under a keyring that is
//! the same everywhere, so that even pseudonyms can be written down.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use privet_policy::diagnostic::{Diagnostic, SourceFile};
use privet_policy::envelope;
use privet_policy::format::Format;
use privet_policy::iglu::comparable;
use privet_policy::path::{Origin, Path, Step};
use privet_policy::policy::Policy;
use privet_policy::snowplow;
use privet_policy::source::{self, BodySource, CaseSource, FieldSource, GivenSource, LeavingSource, SuiteSource};
use privet_policy::span::{Span, Spanned};
use privet_policy::yaml::Node;
use serde_json::{Value, json};

use super::apply::{Asked, Defaults, age, format};
use super::{Outcome, cannot, written};
use crate::decode::Scratch;
use crate::formats::otlp::LEVELS;
use crate::formats::snowplow::opened::{first_event, payload_of};
use crate::forward::Forward;
use crate::keys::{Keyring, Secret};
use crate::offline::{Verdict, think};
use crate::policies;
use crate::run::chain;
use crate::transform::Enforcement;

/// The arguments of `privet test`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The policy directory, its suites in it.
    pub policies: PathBuf,
    /// The least share, in percent, of rules and of fields that tests must touch.
    #[arg(long, value_name = "PERCENT")]
    pub min_coverage: Option<u8>,
    /// Machine output on stdout.
    #[arg(long)]
    pub json: bool,
}

/// Runs every test.
#[must_use]
pub fn run(args: &Args) -> Outcome {
    let files = match policies::read(&args.policies) {
        Ok(files) => files,
        Err(error) => return cannot(&chain(&error)),
    };
    let loaded = policies::compile(&files);
    let Some((policy, _)) = loaded.policy else {
        return cannot(&format!("{}\n\nthe policy does not compile", policies::errors(&files, &loaded.diagnostics)));
    };
    let (source, _) = source::read(&files);
    if source.suites.is_empty() {
        return cannot(&format!("there is no `kind: Suite` in `{}`", args.policies.display()));
    }
    // 32 zero bytes: no secret, and the same everywhere.
    let enforcement = match Enforcement::new(Arc::new(policy), &Keyring::of_one(Secret::new([0; 32]))) {
        Ok(enforcement) => enforcement,
        Err(missing) => return cannot(&missing.to_string()),
    };
    let mut bench =
        Bench { enforcement, defaults: Defaults::bare(), scratch: Scratch::default(), touched: Touched::default() };
    let begun = Instant::now();
    let results: Vec<Tested<'_>> = source
        .suites
        .iter()
        .flat_map(|suite| suite.cases.iter().map(move |case| (suite, case)))
        .map(|(suite, case)| Tested { suite, case, failures: bench.case(case) })
        .collect();
    let report = Report {
        files: &files,
        results,
        coverage: bench.touched.coverage(&bench.enforcement.policy),
        secs: begun.elapsed().as_secs_f64(),
        min_coverage: args.min_coverage,
    };
    let told = if args.json { report.tell_machine() } else { report.tell() };
    written(told, if report.is_fine() { Outcome::Fine } else { Outcome::Findings })
}

/// What tests run on.
struct Bench {
    enforcement: Enforcement,
    defaults: Defaults,
    scratch: Scratch,
    touched: Touched,
}

/// One test and what was wrong.
struct Tested<'s> {
    suite: &'s SuiteSource,
    case: &'s CaseSource,
    failures: Vec<Failure>,
}

/// One expectation that does not hold.
struct Failure {
    at: Span,
    message: String,
}

impl Failure {
    fn new(at: &Span, message: impl Into<String>) -> Self {
        Self { at: at.clone(), message: message.into() }
    }
}

impl Bench {
    fn case(&mut self, case: &CaseSource) -> Vec<Failure> {
        let asked = match asked(&case.given, &case.name) {
            Ok(asked) => asked,
            Err(failure) => return vec![failure],
        };
        let question = match asked.question(&self.defaults, &self.enforcement.policy) {
            Ok(question) => question,
            Err(why) => return vec![Failure::new(&case.name.at, why)],
        };
        let (status, verdict) = match think(&self.enforcement, &question, &mut self.scratch) {
            Ok(verdict) => (verdict.status, Ok(verdict)),
            Err(refused) => (refused.status, Err(refused.refusal.to_string())),
        };
        let mut failures = Vec::new();
        expect(&mut failures, case.expect.status.as_ref(), "the client is told", &status.to_string());
        match verdict {
            Ok(verdict) => {
                self.touched.take(&verdict.decision);
                check(case, &verdict, &mut failures);
            }
            // A refused request has no decision; that alone may be what is expected.
            Err(why) if case.expect.status.is_none() => {
                failures.push(Failure::new(&case.name.at, format!("the request is refused: {why}")));
            }
            Err(_) => {}
        }
        failures
    }
}

fn asked(given: &GivenSource, name: &Spanned<String>) -> Result<Asked, Failure> {
    let parsed = |written: &Option<Spanned<String>>, wanted: &str| {
        written.as_ref().map(|text| (text.at.clone(), text.value.clone(), wanted.to_owned()))
    };
    let wrong = |at: Span, wanted: String| Failure::new(&at, format!("want {wanted}"));
    let peer = parsed(&given.peer, "an IP address");
    let peer = peer.map(|(at, text, wanted)| text.parse().map_err(|_| wrong(at, wanted))).transpose()?;
    let time = parsed(&given.time, "a time as RFC 3339 writes it");
    let time = time.map(|(at, text, wanted)| text.parse().map_err(|_| wrong(at, wanted))).transpose()?;
    let named = given.format.as_ref().map(|text| format(&text.value).map_err(|why| wrong(text.at.clone(), why)));
    let age = given.age.as_ref().map(|text| age(&text.value).map_err(|why| wrong(text.at.clone(), why)));
    let body = match &given.body {
        None => return Err(Failure::new(&name.at, "there is no event to test with")),
        Some(BodySource::Text(text)) => text.clone(),
        Some(BodySource::Event(event)) if given.format.as_ref().is_some_and(|format| format.value == "snowplow") => {
            payload_of(&value_of(event)).to_string()
        }
        Some(BodySource::Event(event)) => json_of(event),
    };
    Ok(Asked {
        method: None,
        path: given.path.as_ref().map(|path| path.value.clone()),
        headers: given.headers.clone(),
        body: body.into_bytes(),
        format: named.transpose()?.flatten(),
        jurisdiction: given.jurisdiction.clone(),
        age: age.transpose()?,
        peer,
        time,
        consent: given.consent.as_ref().map(value_of),
    })
}

fn json_of(node: &Node) -> String {
    let mut text = String::new();
    node.json(&mut text);
    text
}

fn value_of(node: &Node) -> Value {
    serde_json::from_str(&json_of(node)).unwrap_or(Value::Null)
}

/// Compares a word, where one is expected.
fn expect(failures: &mut Vec<Failure>, wanted: Option<&Spanned<String>>, what: &str, found: &str) {
    if let Some(wanted) = wanted.filter(|wanted| wanted.value != found) {
        failures.push(Failure::new(&wanted.at, format!("{what} `{found}`, not `{}`", wanted.value)));
    }
}

fn check(case: &CaseSource, verdict: &Verdict, failures: &mut Vec<Failure>) {
    let event = &verdict.decision.pointer("/events/0").cloned().unwrap_or(Value::Null);
    let word = |member: &str| event.get(member).and_then(Value::as_str).unwrap_or("none").to_owned();
    expect(failures, case.expect.outcome.as_ref(), "the event is", &word("outcome"));
    expect(failures, case.expect.contract.as_ref(), "the event follows", &word("contract"));
    for (purpose, state) in &case.expect.consent {
        match event.get("consent").and_then(|consent| consent.get(&purpose.value)).and_then(Value::as_str) {
            Some(found) => expect(failures, Some(state), "the state is", found),
            None => failures.push(Failure::new(&purpose.at, "the policy has no such purpose")),
        }
    }
    for (destination, leaving) in &case.expect.to {
        let sent = verdict.forwards.iter().find(|sent| sent.destination == destination.value);
        match (leaving, sent) {
            (LeavingSource::Nothing, None) => {}
            (LeavingSource::Nothing, Some(_)) => failures.push(Failure::new(&destination.at, "something leaves")),
            (LeavingSource::Event { .. }, None) => failures.push(Failure::new(&destination.at, "nothing leaves")),
            (LeavingSource::Event { event: whole, has, lacks, by }, Some(sent)) => {
                let left = Left::of(&sent.forward);
                if let Some(whole) = whole.as_ref().filter(|whole| left.body != value_of(whole)) {
                    failures.push(Failure::new(&whole.at, format!("what leaves is {}", left.body)));
                }
                for (path, wanted) in has {
                    left.check_has(path, wanted, failures);
                }
                for path in lacks {
                    if !left.at(&path.value).is_empty() {
                        failures.push(Failure::new(&path.at, "it leaves"));
                    }
                }
                for (path, rule) in by {
                    let found = rule_behind(event, &path.value, &destination.value);
                    expect(failures, Some(rule), "it is ruled by", found.as_deref().unwrap_or("none"));
                }
            }
        }
    }
}

fn rule_behind(event: &Value, path: &str, destination: &str) -> Option<String> {
    let rows = event.get("fields").and_then(Value::as_array)?;
    let row = rows.iter().find(|row| row["path"] == path && row["destination"] == destination)?;
    row["rule"].as_str().map(str::to_owned)
}

/// A request that left.
struct Left<'f> {
    body: Value,
    /// Whether the body is one event of Snowplow, its self-describing JSON open.
    opened: bool,
    forward: &'f Forward,
}

impl<'f> Left<'f> {
    fn of(forward: &'f Forward) -> Self {
        let text = String::from_utf8_lossy(&forward.body);
        let lines = || text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let event = first_event(&forward.target, &forward.body);
        let opened = event.is_some();
        let body = event.or_else(|| serde_json::from_str(&text).ok()).unwrap_or_else(|| Value::Array(lines()));
        Self { body, opened, forward }
    }

    fn check_has(&self, path: &Spanned<String>, wanted: &Node, failures: &mut Vec<Failure>) {
        let found = self.at(&path.value);
        let (any, wanted_value) = (wanted.get("any").is_some(), value_of(wanted));
        if found.is_empty() {
            failures.push(Failure::new(&path.at, "it does not leave"));
        } else if !any && found.iter().any(|value| *value != wanted_value) {
            let all: Vec<String> = found.iter().map(Value::to_string).collect();
            failures.push(Failure::new(&wanted.at, format!("it leaves as {}", all.join(", "))));
        }
    }

    /// Everything that left at a path, of an OpenTelemetry record or around it.
    fn at(&self, path: &str) -> Vec<Value> {
        let Ok(path) = path.parse::<Path>() else { return Vec::new() };
        let path = if self.opened { snowplow::opened(path) } else { path };
        let name = match path.steps.first() {
            Some(Step::Key(name)) => name.as_str(),
            _ => "",
        };
        match path.origin {
            Origin::Event => {
                let mut found = Vec::new();
                collect(&self.body, &path.steps, &mut found);
                for levels in 1..=LEVELS.len() {
                    let within = LEVELS.iter().take(levels).flat_map(|member| [key(member), Step::Element]);
                    collect(&self.body, &within.chain(path.steps.iter().cloned()).collect::<Vec<_>>(), &mut found);
                }
                found
            }
            Origin::Header => {
                let values = self.forward.headers.get_all(name).iter();
                values.map(|value| json!(String::from_utf8_lossy(value.as_bytes()))).collect()
            }
            Origin::Cookie => {
                let values = self.forward.headers.get_all(http::header::COOKIE).iter();
                let pairs = values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split("; "));
                pairs
                    .filter_map(|pair| pair.split_once('='))
                    .filter(|(known, _)| *known == name)
                    .map(|(_, value)| json!(value))
                    .collect()
            }
            Origin::Query => {
                let query = self.forward.target.split_once('?').map_or("", |(_, query)| query);
                let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
                pairs.filter(|(known, _)| *known == name).map(|(_, value)| json!(value)).collect()
            }
            Origin::PathSegment => {
                let path = self.forward.target.split('?').next().unwrap_or_default();
                let segment =
                    name.parse().ok().and_then(|place: usize| path.trim_start_matches('/').split('/').nth(place));
                segment.map(|segment| json!(segment)).into_iter().collect()
            }
        }
    }
}

fn key(name: &str) -> Step {
    Step::Key(name.to_owned())
}

fn collect(value: &Value, steps: &[Step], found: &mut Vec<Value>) {
    let Some((step, rest)) = steps.split_first() else {
        found.push(value.clone());
        return;
    };
    match step {
        Step::Key(name) => value.get(name).into_iter().for_each(|inner| collect(inner, rest, found)),
        Step::AnyKey => value.as_object().into_iter().flatten().for_each(|(_, inner)| collect(inner, rest, found)),
        Step::Element => value.as_array().into_iter().flatten().for_each(|inner| collect(inner, rest, found)),
        Step::Where { key, equals } => {
            let elements = value.as_array().into_iter().flatten();
            let is = |text: &str| comparable(text) == equals;
            let chosen = elements.filter(|element| element.get(key).and_then(Value::as_str).is_some_and(is));
            chosen.for_each(|inner| collect(inner, rest, found));
        }
    }
}

/// What tests have touched: rules that ruled, fields that were there.
#[derive(Default)]
struct Touched {
    rules: BTreeSet<String>,
    fields: BTreeSet<(String, String)>,
}

/// What there is and what of it was touched.
struct Coverage {
    rules: Share,
    fields: Share,
}

struct Share {
    all: usize,
    missing: Vec<String>,
}

impl Share {
    fn percent(&self) -> usize {
        (self.all - self.missing.len()) * 100 / self.all.max(1)
    }

    fn json(&self) -> Value {
        json!({"all": self.all, "touched": self.all - self.missing.len(), "missing": self.missing})
    }
}

impl Touched {
    fn take(&mut self, decision: &Value) {
        for event in decision["events"].as_array().into_iter().flatten() {
            let contract = event["contract"].as_str().unwrap_or_default();
            for row in event["fields"].as_array().into_iter().flatten() {
                self.rules.extend(row["rule"].as_str().map(str::to_owned));
                self.fields.insert((contract.to_owned(), row["path"].as_str().unwrap_or_default().to_owned()));
            }
        }
    }

    /// Envelope fields are not the authors' to test.
    fn coverage(&self, policy: &Policy) -> Coverage {
        let rules: Vec<&str> = policy.rules().iter().map(|rule| rule.name.as_str()).collect();
        let missing = rules.iter().filter(|rule| !self.rules.contains(**rule)).map(|rule| (*rule).to_owned());
        let rules = Share { all: rules.len(), missing: missing.collect() };
        let mut fields = Share { all: 0, missing: Vec::new() };
        for contract in policy.contracts() {
            let envelope = envelope::of(contract.format).fields;
            let implied = |path: &Path| contract.format == Format::Snowplow && snowplow::chooses(path);
            let own = |path: &Path| !envelope.iter().any(|field| stands_for(field, path)) && !implied(path);
            for field in contract.fields.iter().filter(|field| own(&field.path) && !field.holds_containers_only()) {
                fields.all += 1;
                if !self.has(&contract.name, &field.path.to_string()) {
                    fields.missing.push(format!("{} {}", contract.name, field.path));
                }
            }
        }
        Coverage { rules, fields }
    }

    /// A decision names the keys that `*` stood for.
    fn has(&self, contract: &str, path: &str) -> bool {
        let of_contract = || self.fields.iter().filter(|(known, _)| known == contract);
        match path.strip_suffix('*') {
            Some(parent) => of_contract().any(|(_, known)| known.starts_with(parent)),
            None => of_contract().any(|(_, known)| known == path),
        }
    }
}

/// Whether a field is written for a path, itself or by a key that its `*` lists.
fn stands_for(field: &FieldSource, path: &Path) -> bool {
    let written = &field.path.value;
    let listed = |step: &Step| matches!(step, Step::Key(name) if field.keys.contains(name));
    let mut pairs = written.steps.iter().zip(&path.steps);
    written.origin == path.origin
        && written.steps.len() == path.steps.len()
        && pairs.all(|(written, step)| written == step || (*written == Step::AnyKey && listed(step)))
}

struct Report<'s> {
    files: &'s [SourceFile],
    results: Vec<Tested<'s>>,
    coverage: Coverage,
    secs: f64,
    min_coverage: Option<u8>,
}

impl Report<'_> {
    fn is_fine(&self) -> bool {
        self.results.iter().all(|result| result.failures.is_empty()) && self.is_covered()
    }

    fn is_covered(&self) -> bool {
        let wanted = usize::from(self.min_coverage.unwrap_or(0));
        self.coverage.rules.percent() >= wanted && self.coverage.fields.percent() >= wanted
    }

    fn tell(&self) -> io::Result<()> {
        let (mut out, mut errors) = (io::stdout().lock(), io::stderr().lock());
        let styled = errors.is_terminal();
        for result in self.results.iter().filter(|result| !result.failures.is_empty()) {
            for failure in &result.failures {
                let title = format!("{}, {}: {}", result.suite.name.value, result.case.name.value, failure.message);
                let shown = Diagnostic::error("T001", &failure.at, title);
                writeln!(errors, "{}\n", shown.render(self.files, styled))?;
            }
        }
        let failed = self.results.iter().filter(|result| !result.failures.is_empty()).count();
        writeln!(out, "{} tests passed, {failed} failed, in {:.2} s", self.results.len() - failed, self.secs)?;
        for (what, share) in [("rules", &self.coverage.rules), ("fields", &self.coverage.fields)] {
            let touched = share.all - share.missing.len();
            writeln!(out, "{what} touched: {touched} of {} ({} %)", share.all, share.percent())?;
            if self.min_coverage.is_some() && !self.is_covered() {
                share.missing.iter().try_for_each(|missing| writeln!(out, "  not touched: {missing}"))?;
            }
        }
        if !self.is_covered() {
            writeln!(out, "less than the {} % that were asked for", self.min_coverage.unwrap_or(0))?;
        }
        Ok(())
    }

    fn tell_machine(&self) -> io::Result<()> {
        let cases: Vec<Value> = self
            .results
            .iter()
            .map(|result| {
                let failures: Vec<Value> = result
                    .failures
                    .iter()
                    .map(|failure| {
                        let place = Diagnostic::error("T001", &failure.at, "");
                        let (file, line, column) = place.place(self.files);
                        json!({"message": failure.message, "file": file, "line": line, "column": column})
                    })
                    .collect();
                json!({
                    "suite": result.suite.name.value,
                    "name": result.case.name.value,
                    "passed": failures.is_empty(),
                    "failures": failures,
                })
            })
            .collect();
        let report = json!({
            "passed": self.is_fine(),
            "cases": cases,
            "coverage": {"rules": self.coverage.rules.json(), "fields": self.coverage.fields.json()},
        });
        writeln!(io::stdout().lock(), "{report}")
    }
}
