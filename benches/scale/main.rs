//! What a large policy costs: to compile it, to ask it everything, and to decide
//! and rewrite one event under it. Everything is generated and alike but for
//! names, so that what is measured is the number of rules and contracts.

use std::fmt::Write as _;
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use privet::decode::{DecodeLimits, Scratch};
use privet::keys::Keyring;
use privet::offline::Parts;
use privet::policies;
use privet::request::RawRequest;
use privet::transform::Enforcement;
use privet_benches::cpu;
use privet_benches::enforce::enforced;
use privet_benches::sample::Samples;
use privet_policy::Policy;
use privet_policy::consent::NothingStored;
use privet_policy::diagnostic::SourceFile;
use privet_policy::exposure::exposure;
use privet_policy::format::Format;
use privet_policy::prove::{Question, prove};

const CONTRACTS: usize = 200;
const RULES: usize = 1_000;
/// Fields of each of the many contracts, beside the envelope's.
const FIELDS: usize = 20;
const COMPILE_SECS_MAX: f64 = 1.0;
const ASK_SECS_MAX: f64 = 5.0;
/// The most that an event may cost under 1,000 rules, in what it costs under 6.
const RATIO_MAX: f64 = 1.6;
const FEW: usize = 6;
const ROUNDS: usize = 9;
const EVENTS_PER_MEASUREMENT: usize = 20_000;

const PURPOSES: [&str; 3] =
    ["analytics.reporting.content_performance", "analytics.reporting.system", "marketing.advertising.profiling"];

/// Purposes, a destination, and categories `user.content.c0` and on.
fn frame(categories: usize) -> String {
    let mut text = String::new();
    for purpose in PURPOSES {
        let _ = writeln!(
            text,
            "apiVersion: privet.dev/v1alpha1\nkind: Purpose\nmetadata: {{name: {purpose}}}\nbasis: consent\ngranted_by: [{{segment: {{category: Analytics}}}}]\njurisdictions: {{default: opt_in, us: opt_out, de: opt_in}}\n---"
        );
    }
    text.push_str("apiVersion: privet.dev/v1alpha1\nkind: Destination\nmetadata: {name: d}\nurl: http://127.0.0.1:1\nprimary: true\nrecipient: processor\nrequires: []\npurposes: [analytics, marketing]\n---\napiVersion: privet.dev/v1alpha1\nkind: Taxonomy\nmetadata: {name: t}\ncategories:\n");
    for number in 0..categories {
        let _ = writeln!(text, "  user.content.c{number}: generated");
    }
    text
}

fn contract(text: &mut String, name: &str, kind: &str, fields: impl Iterator<Item = (usize, usize)>) {
    let _ = writeln!(
        text,
        "---\napiVersion: privet.dev/v1alpha1\nkind: Contract\nmetadata: {{name: {name}}}\nmatch: {{format: segment, type: track, event: {kind}}}\nfields:"
    );
    for (number, category) in fields {
        let _ = writeln!(text, "  properties.f{number}: {{category: user.content.c{category}}}");
    }
}

fn rule(text: &mut String, number: usize, category: usize, more: &str) {
    let purpose = match number % 3 {
        0 => "analytics.reporting",
        1 => "analytics",
        _ => "marketing",
    };
    let _ = writeln!(
        text,
        "---\napiVersion: privet.dev/v1alpha1\nkind: Rule\nmetadata: {{name: r{number}}}\ndata: [user.content.c{category}]\nfor: [{purpose}]\naction: keep\n{more}"
    );
}

/// Many contracts, many rules; each tenth rule is about one jurisdiction or age class.
fn large() -> String {
    let categories = 300;
    let mut text = frame(categories);
    for number in 0..CONTRACTS {
        let fields = (0..FIELDS).map(|field| (field, (number * 7 + field) % categories));
        contract(&mut text, &format!("c{number}"), &format!("E{number}"), fields);
    }
    for number in 0..RULES {
        let more = match number % 10 {
            0 => "jurisdictions: [us]",
            5 => "ages: [child]",
            _ => "",
        };
        rule(&mut text, number, number % categories, more);
    }
    text
}

/// One contract, as many fields as rules.
fn single(rules: usize) -> String {
    let mut text = frame(rules);
    contract(&mut text, "c", "E", (0..rules).map(|number| (number, number)));
    for number in 0..rules {
        rule(&mut text, number * 3, number, "");
    }
    text
}

fn compile(text: String) -> Result<Policy, String> {
    let files = [SourceFile { name: "generated.yaml".to_owned(), text }];
    let loaded = policies::compile(&files);
    match loaded.policy {
        Some((policy, _)) => Ok(policy),
        None => Err(policies::errors(&files, &loaded.diagnostics).chars().take(2_000).collect()),
    }
}

/// Runs something and says how long it took.
fn timed<T>(what: &str, bound: f64, work: impl FnOnce() -> T) -> (T, bool) {
    let begun = Instant::now();
    let done = work();
    let secs = begun.elapsed().as_secs_f64();
    let word = if secs <= bound { "within" } else { "OVER" };
    println!("| {what} | {secs:.2} s | {bound} s: {word} |");
    (done, secs <= bound)
}

/// An event with members that the contract names and others that it does not.
fn event() -> Result<RawRequest, privet::offline::NotARequest> {
    let mut body = String::from(
        r#"{"type":"track","event":"E","userId":"u-1","messageId":"m-1","context":{"consent":{"categoryPreferences":{"Analytics":true}}},"properties":{"#,
    );
    for number in 0..FEW {
        let _ = write!(body, r#""f{number}":"a value of some length, {number}","#);
    }
    for number in 0..20 {
        let _ = write!(body, r#""other{number}":"a value of some length, {number}","#);
    }
    body.push_str(r#""last":0}}"#);
    Parts {
        method: "POST".to_owned(),
        target: "/v1/track".to_owned(),
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: body.into_bytes(),
        peer: None,
        time: Timestamp::from_second(1_795_384_575).unwrap_or_default(),
        format: Some(Format::Segment),
    }
    .request()
}

/// Microseconds of CPU for one event.
fn measure(enforcement: &Enforcement, raw: &RawRequest, scratch: &mut Scratch) -> std::io::Result<f64> {
    let limits = DecodeLimits::default();
    let begun = cpu::of_this_thread()?;
    for _ in 0..EVENTS_PER_MEASUREMENT {
        black_box(enforced(enforcement, raw, &limits, scratch, &NothingStored));
    }
    Ok(cpu::of_this_thread()?.saturating_sub(begun).as_secs_f64() * 1e6 / EVENTS_PER_MEASUREMENT as f64)
}

fn run() -> Result<bool, Box<dyn std::error::Error>> {
    println!("\n{RULES} rules, {CONTRACTS} contracts\n\n| what | took | bound |\n|---|---|---|");
    let text = large();
    let (policy, compiles) = timed("compile", COMPILE_SECS_MAX, || compile(text));
    let policy = policy?;
    let (rows, lists) = timed("exposure", ASK_SECS_MAX, || exposure(&policy));
    let question = Question { never: "user", to: None, purpose: None, unless_consent: None, allow: &[], at_ms: 0 };
    let (answer, proves) = timed("prove --never user", ASK_SECS_MAX, || prove(&policy, &question));
    println!("\n{} rows; {} cases, {} ways out", rows.len(), answer.cases, answer.leaves.len());

    let few = Enforcement::new(Arc::new(compile(single(FEW))?), &Keyring::random()?)?;
    let many = Enforcement::new(Arc::new(compile(single(RULES))?), &Keyring::random()?)?;
    let (raw, mut scratch) = (event()?, Scratch::default());
    let (mut by_few, mut by_many) = (Samples::default(), Samples::default());
    for _ in 0..ROUNDS {
        by_few.add(measure(&few, &raw, &mut scratch)?);
        by_many.add(measure(&many, &raw, &mut scratch)?);
    }
    let ratio = by_many.over(&by_few).median();
    let word = if ratio <= RATIO_MAX { "within" } else { "OVER" };
    println!(
        "\none event: {:.2} us under {FEW} rules, {:.2} us under {RULES} in one contract: {ratio:.2} times, {RATIO_MAX}: {word}",
        by_few.median(),
        by_many.median()
    );
    Ok(compiles && lists && proves && ratio <= RATIO_MAX)
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("scale: {error}");
            ExitCode::FAILURE
        }
    }
}
