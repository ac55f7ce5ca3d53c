//! `ask basis`: on which legal basis events were let out.
//!
//! A class says for which purposes an event left to each destination; the policy says on which basis
//! each purpose stands. So an event counts once in each row of its purposes, and the rows of several
//! purposes do not add up to events. What a person chose is in no record: whether silence could
//! permit is said of each row instead.

use std::collections::BTreeMap;

use anyhow::Result;
use privet_policy::Policy;
use privet_policy::policy::{Basis as LegalBasis, PlaceNo, Purpose, Regime};
use privet_policy::verdict::VerdictKey;
use serde::Serialize;
use serde_json::json;

use crate::answer::{Answer, Printed};
use crate::brought::Brought;
use crate::counted::Counted;
use crate::evidence::Evidence;
use crate::period::{Bounds, PeriodArgs};

/// Of what.
#[derive(clap::Args)]
pub struct Basis {
    #[command(flatten)]
    brought: Brought,
    #[command(flatten)]
    period: PeriodArgs,
}

/// What events are counted by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Row {
    destination: String,
    purpose: String,
    basis: &'static str,
    gdpr: &'static str,
    /// What the person had to have said.
    choice: &'static str,
}

/// The word that policies use for a basis, and its place in GDPR Article 6(1).
#[must_use]
pub const fn named(basis: LegalBasis) -> (&'static str, &'static str) {
    match basis {
        LegalBasis::Consent => ("consent", "6(1)(a)"),
        LegalBasis::Contract => ("contract", "6(1)(b)"),
        LegalBasis::LegalObligation => ("legal_obligation", "6(1)(c)"),
        LegalBasis::VitalInterests => ("vital_interests", "6(1)(d)"),
        LegalBasis::PublicInterest => ("public_interest", "6(1)(e)"),
        LegalBasis::LegitimateInterests => ("legitimate_interests", "6(1)(f)"),
    }
}

/// What a person has to have said for a purpose to be permitted somewhere.
const fn choice(basis: LegalBasis, regime: Regime) -> &'static str {
    match (basis, regime) {
        (LegalBasis::Consent, Regime::OptIn) => "given",
        (LegalBasis::Consent, Regime::OptOut) => "given, or not refused",
        (LegalBasis::LegitimateInterests, _) => "not objected to",
        _ => "not asked",
    }
}

impl Basis {
    /// Answers.
    ///
    /// # Errors
    /// There is no log to speak of.
    pub fn run(&self) -> Result<Printed> {
        let period = self.period.period()?;
        let evidence = Evidence::gather(&self.brought)?;
        let counted = Counted::over(&evidence, period)?;
        let mut rows: BTreeMap<Row, Bounds> = BTreeMap::new();
        let mut nowhere = Bounds::default();
        for (class, events) in counted.classes(&evidence) {
            let found = class.facts.map(|facts| rows_of(class.policy, &facts)).unwrap_or_default();
            if found.is_empty() {
                nowhere.join(events);
            }
            for row in found {
                rows.entry(row).or_default().join(events);
            }
        }
        let mut answer = Answer::to(format!("On which basis were events let out, {}?", period.words()));
        for (row, events) in &rows {
            let Row { destination, purpose, basis, gdpr, choice } = row;
            answer.line(format!("{events} events to {destination} for {purpose}: {basis} ({gdpr}), {choice}"));
        }
        answer.line(format!("{nowhere} events were let out nowhere"));
        answer.line(format!(
            "{} events were decided; one that leaves for several purposes counts in each row",
            counted.decided
        ));
        let listed: Vec<_> = rows.iter().map(|(row, events)| json!({"by": row, "events": events})).collect();
        answer.value = json!({"rows": listed, "nowhere": nowhere, "decided": counted.decided, "period": period.json()});
        answer.assumed.push("what each person chose was read rightly by the sidecar: no record holds it".to_owned());
        counted.assume(&mut answer, period);
        answer.print(&evidence, self.brought.json)
    }
}

fn rows_of(policy: &Policy, facts: &VerdictKey) -> Vec<Row> {
    let verdict = policy.verdict(facts);
    let mut rows = Vec::new();
    for number in policy.destination_numbers() {
        let Some(treatment) = verdict.treatment(number) else { continue };
        let purposes = treatment.purposes.iter().filter_map(|purpose| policy.purposes().get(usize::from(purpose.0)));
        rows.extend(purposes.map(|purpose| row(&policy.destination(number).name, purpose, facts.place)));
    }
    rows
}

fn row(destination: &str, purpose: &Purpose, place: PlaceNo) -> Row {
    let (basis, gdpr) = named(purpose.basis);
    let choice = choice(purpose.basis, purpose.regime(place));
    Row { destination: destination.to_owned(), purpose: purpose.name.clone(), basis, gdpr, choice }
}
