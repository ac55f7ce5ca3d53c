//! `privet prove`: that a category never leaves, or how it does.

use std::io::{self, Write};
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum;
use privet_policy::action::ActionKind;
use privet_policy::policy::{AgeClass, Policy};
use privet_policy::prove::{Answer, Question, Sample, WayOut, prove};
use serde_json::{Value, json};

use super::exposure::destination;
use super::{Outcome, cannot, table, written};
use crate::clock::{Clock, SystemClock};
use crate::policies;

/// How many ways out a person is shown of each sort.
const WAYS_SHOWN: usize = 20;

/// The arguments of `privet prove`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The policy directory.
    pub policies: PathBuf,
    /// The data category that must never leave; its descendants are meant too.
    #[arg(long, value_name = "CATEGORY")]
    pub never: String,
    /// To this destination only.
    #[arg(long, value_name = "DEST")]
    pub to: Option<String>,
    /// For this purpose and those below it only.
    #[arg(long = "for", value_name = "PURPOSE")]
    pub purpose: Option<String>,
    /// Unless the person agreed to this purpose or one below it.
    #[arg(long, value_name = "PURPOSE")]
    pub unless_consent: Option<String>,
    /// Forms in which it may leave.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub allow: Vec<Form>,
    /// Machine output on stdout.
    #[arg(long)]
    pub json: bool,
}

/// A form that can be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// As a pseudonym.
    Pseudonymize,
    /// Sealed, for who holds the key.
    Tokenize,
    /// Made coarser.
    Generalize,
    /// As text with what was found in it replaced.
    Scrub,
}

impl Form {
    const fn kind(self) -> ActionKind {
        match self {
            Self::Pseudonymize => ActionKind::Pseudonymize,
            Self::Tokenize => ActionKind::Tokenize,
            Self::Generalize => ActionKind::Generalize,
            Self::Scrub => ActionKind::Scrub,
        }
    }
}

/// Proves, or shows what stands against it.
#[must_use]
pub fn run(args: &Args) -> Outcome {
    let policy = match policies::open(&args.policies) {
        Ok(policy) => policy,
        Err(why) => return cannot(&why),
    };
    let answer = match ask(&policy, args) {
        Ok(answer) => answer,
        Err(why) => return cannot(&why),
    };
    let told = if args.json {
        writeln!(io::stdout().lock(), "{}", machine(&policy, &answer))
    } else {
        tell(&policy, args, &answer)
    };
    written(told, if answer.is_proof() { Outcome::Fine } else { Outcome::Findings })
}

fn ask(policy: &Policy, args: &Args) -> Result<Answer, String> {
    let taxonomy = policy.taxonomy();
    if !taxonomy.categories.contains(&args.never) {
        return Err(unknown("data category", &args.never, taxonomy.categories.nearest(&args.never)));
    }
    for purpose in [&args.purpose, &args.unless_consent].into_iter().flatten() {
        if !taxonomy.uses.contains(purpose) {
            return Err(unknown("purpose", purpose, taxonomy.uses.nearest(purpose)));
        }
    }
    let to = args.to.as_deref().map(|name| destination(policy, name)).transpose()?;
    let allow: Vec<ActionKind> = args.allow.iter().map(|form| form.kind()).collect();
    let question = Question {
        never: &args.never,
        to,
        purpose: args.purpose.as_deref(),
        unless_consent: args.unless_consent.as_deref(),
        allow: &allow,
        at_ms: SystemClock::default().now().as_millisecond(),
    };
    Ok(prove(policy, &question))
}

fn unknown(what: &str, written: &str, nearest: Option<&str>) -> String {
    let hint = nearest.map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default();
    format!("the {what} `{written}` is not in the taxonomy{hint}")
}

fn tell(policy: &Policy, args: &Args, answer: &Answer) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let Answer { cases, leaves, counterexample, may_leave, assumed } = answer;
    for (title, ways) in [
        ("it leaves", leaves),
        ("it may leave, in text or URLs that may contain it", may_leave),
        ("assumed harmless, because it was allowed", assumed),
    ] {
        if !ways.is_empty() {
            writeln!(out, "{title}:")?;
            let rows: Vec<_> = ways.iter().take(WAYS_SHOWN).map(|way| row(policy, way)).collect();
            table::print(&mut out, ["contract", "field", "category", "to", "for", "leaves as", "by"], &rows)?;
            if ways.len() > rows.len() {
                writeln!(out, "  and {} more; --json lists all", ways.len() - rows.len())?;
            }
            writeln!(out)?;
        }
    }
    if let Some(sample) = counterexample {
        writeln!(
            out,
            "a request with which it leaves, for `privet apply --policies {} --lines`:",
            args.policies.display()
        )?;
        writeln!(out, "{}\n", request(sample))?;
        writeln!(out, "its body: {}\n", sample.body)?;
    }
    if answer.is_proof() {
        writeln!(out, "proved: `{}` never leaves; {cases} cases looked at", args.never)
    } else {
        writeln!(
            out,
            "not proved: `{}` {}; {cases} cases looked at",
            args.never,
            if leaves.is_empty() { "may leave" } else { "leaves" }
        )
    }
}

fn row(policy: &Policy, way: &WayOut) -> [String; 7] {
    let field = policy.contract(way.contract).fields.get(way.field);
    let path = field.map(|field| field.path.to_string()).unwrap_or_default();
    [
        policy.contract_name(way.contract),
        way.part.label(&path),
        field.and_then(|field| way.part.category(field)).unwrap_or_default().to_owned(),
        policy.destination(way.destination).name.clone(),
        way.purpose.map(|purpose| policy.purpose_name(purpose).to_owned()).unwrap_or_default(),
        way.action.to_string(),
        policy.reason(way.because),
    ]
}

/// A sample as a line of `privet apply --lines`.
fn request(sample: &Sample) -> Value {
    let age = (sample.age != AgeClass::Unknown).then(|| sample.age.name());
    json!({
        "method": "POST",
        "target": sample.target,
        "headers": sample.headers,
        "body_b64": STANDARD.encode(sample.body.to_string()),
        "format": sample.format.name(),
        "jurisdiction": sample.jurisdiction,
        "age": age,
    })
}

fn machine(policy: &Policy, answer: &Answer) -> Value {
    let ways = |ways: &[WayOut]| ways.iter().map(|way| way_out(policy, way)).collect::<Vec<_>>();
    json!({
        "policy": policy.digest().to_string(),
        "proved": answer.is_proof(),
        "cases": answer.cases,
        "leaves": ways(&answer.leaves),
        "may_leave": ways(&answer.may_leave),
        "assumed": ways(&answer.assumed),
        "counterexample": answer.counterexample.as_ref().map(request),
    })
}

fn way_out(policy: &Policy, way: &WayOut) -> Value {
    let [contract, field, category, destination, purpose, form, rule] = row(policy, way);
    json!({
        "contract": contract,
        "field": field,
        "category": category,
        "destination": destination,
        "purpose": purpose,
        "jurisdiction": policy.place_name(way.place),
        "age": way.age.name(),
        "action": way.action.kind().name(),
        "form": form,
        "rule": rule,
    })
}
