//! `report ropa`: a record of processing activities (GDPR Article 30(1)), purpose by purpose.
//!
//! What may leave is worked out from the auditor's own copy of the policies; what did is counted in the
//! log. Each figure says where it was proved. What Article 30 asks and no policy says (the
//! controller's name and contact, security measures) is left to be filled in, and marked.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail};
use privet_policy::Policy;
use privet_policy::action::Action;
use privet_policy::exposure::{Row, exposure};
use privet_policy::policy::{Destination, Purpose, PurposeNo, Recipient};
use serde::Serialize;

use crate::answer::{Answer, Printed};
use crate::ask::legal_basis;
use crate::brought::Brought;
use crate::counted::Counted;
use crate::evidence::Evidence;
use crate::period::{Bounds, Period, PeriodArgs};
use crate::show::billionths;

/// The reports.
#[derive(clap::Subcommand)]
pub enum Report {
    /// A record of processing activities (GDPR Article 30), as Markdown or JSON.
    Ropa(Ropa),
}

impl Report {
    /// Writes it.
    ///
    /// # Errors
    /// There is no log to speak of, or the policies cannot be used.
    pub fn run(&self) -> Result<Printed> {
        let Self::Ropa(ropa) = self;
        ropa.run()
    }
}

/// Of what.
#[derive(clap::Args)]
pub struct Ropa {
    #[command(flatten)]
    brought: Brought,
    #[command(flatten)]
    period: PeriodArgs,
}

/// One purpose.
#[derive(Debug, Serialize)]
struct Activity {
    purpose: String,
    basis: &'static str,
    gdpr: &'static str,
    subjects: BTreeSet<String>,
    contracts: BTreeSet<String>,
    /// Categories of which a field leaves without its value.
    redacted: BTreeSet<String>,
    /// Categories, with every form in which each leaves.
    categories: BTreeMap<String, BTreeSet<String>>,
    /// Categories that may stand in free text or a URL that leaves.
    may_contain: BTreeSet<String>,
    recipients: Vec<To>,
    exports: Vec<Published>,
}

/// One destination of a purpose.
#[derive(Debug, Serialize)]
struct To {
    destination: String,
    recipient: &'static str,
    located_in: Vec<String>,
    /// Events let out for this purpose, over all policies that ran.
    events: Bounds,
    /// Classes that they were counted in.
    classes: u64,
}

/// One export of a purpose.
#[derive(Debug, Serialize)]
struct Published {
    export: String,
    horizon: String,
    spent_most: Option<String>,
    cap: Option<String>,
    releases: u64,
}

/// Events by destination and purpose, with the number of their classes.
type Flows = BTreeMap<(String, String), (Bounds, u64)>;

impl Ropa {
    fn run(&self) -> Result<Printed> {
        if self.brought.policies.is_empty() {
            bail!("`--policies DIR` is needed: a record of processing is about the policies that you agreed to");
        }
        let period = self.period.period()?;
        let evidence = Evidence::gather(&self.brought)?;
        let policy = evidence.agreed.last().context("no policies were given")?;
        let counted = Counted::over(&evidence, period)?;
        let flows = flows(&evidence, &counted);
        let activities = activities(policy, &evidence, &flows);
        let mut answer = Answer::to(format!("# Record of processing activities, {}", period.words()));
        answer.markdown = true;
        answer.text = markdown(policy, &activities, &evidence, period);
        answer.value = serde_json::json!({
            "policy": policy.digest().to_string(),
            "period": period.json(),
            "activities": activities,
            "decided": counted.decided,
        });
        judge(policy, &evidence, &flows, &activities, &mut answer);
        counted.assume(&mut answer, period);
        answer.print(&evidence, self.brought.json)
    }
}

fn flows(evidence: &Evidence, counted: &Counted) -> Flows {
    let mut flows = Flows::new();
    for (class, events) in counted.classes(evidence) {
        let Some(facts) = &class.facts else { continue };
        let verdict = class.policy.verdict(facts);
        for number in class.policy.destination_numbers() {
            let Some(treatment) = verdict.treatment(number) else { continue };
            let destination = &class.policy.destination(number).name;
            for purpose in treatment.purposes.iter() {
                let key = (destination.clone(), class.policy.purpose_name(purpose).to_owned());
                let (sum, classes) = flows.entry(key).or_default();
                sum.join(events);
                *classes += 1;
            }
        }
    }
    flows
}

fn activities(policy: &Policy, evidence: &Evidence, flows: &Flows) -> Vec<Activity> {
    let rows = exposure(policy);
    let purposes = (0..).map(PurposeNo).zip(policy.purposes());
    purposes
        .map(|(number, purpose)| {
            let own: Vec<&Row> = rows.iter().filter(|row| row.purpose == number).collect();
            activity(policy, (number, purpose), &own, evidence, flows)
        })
        .collect()
}

fn activity(
    policy: &Policy,
    (number, purpose): (PurposeNo, &Purpose),
    rows: &[&Row],
    evidence: &Evidence,
    flows: &Flows,
) -> Activity {
    let (basis, gdpr) = legal_basis(purpose.basis);
    let mut activity = Activity {
        purpose: purpose.name.clone(),
        basis,
        gdpr,
        subjects: BTreeSet::new(),
        contracts: BTreeSet::new(),
        redacted: BTreeSet::new(),
        categories: BTreeMap::new(),
        may_contain: BTreeSet::new(),
        recipients: Vec::new(),
        exports: published(policy, purpose, evidence),
    };
    for row in rows {
        let contract = policy.contract(row.contract);
        activity.contracts.insert(policy.contract_name(row.contract));
        activity.subjects.extend(contract.subjects.iter().cloned());
        let Some(field) = row.field(policy) else { continue };
        let category = row.part.category(field).unwrap_or("none").to_owned();
        if matches!(row.action, Action::Redact) {
            activity.redacted.insert(category);
            continue;
        }
        activity.categories.entry(category).or_default().insert(row.action.to_string());
        if field.tells_more(&row.action) {
            activity.may_contain.extend(field.may_contain.iter().cloned());
        }
    }
    let destinations = policy.destinations().iter().filter(|destination| destination.purposes.contains(number));
    activity.recipients = destinations.map(|destination| to(destination, purpose, flows)).collect();
    activity
}

fn to(destination: &Destination, purpose: &Purpose, flows: &Flows) -> To {
    let (events, classes) = flows.get(&(destination.name.clone(), purpose.name.clone())).copied().unwrap_or_default();
    let recipient = match destination.recipient {
        Recipient::Own => "the controller itself",
        Recipient::Processor => "processor",
        Recipient::ThirdParty => "third party",
    };
    To { destination: destination.name.clone(), recipient, located_in: destination.located_in.clone(), events, classes }
}

fn published(policy: &Policy, purpose: &Purpose, evidence: &Evidence) -> Vec<Published> {
    let own = policy.exports().iter().filter(|export| export.purpose == purpose.name);
    own.map(|export| {
        let name = &export.name.value;
        // An account is named by its export, and by whose identifier it protects.
        let mine = |account: &str| {
            account == name || account.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with(' '))
        };
        let account = evidence.report.budgets.iter().find(|account| mine(&account.account));
        Published {
            export: name.clone(),
            horizon: export.horizon.value.clone(),
            spent_most: account.map(|account| format!("{} {}", billionths(account.spent_most), account.measure)),
            cap: account.map(|account| format!("{} {}", billionths(account.cap), account.measure)),
            releases: account.map_or(0, |account| account.releases),
        }
    })
    .collect()
}

/// What the record of processing does not say and the log does.
fn judge(policy: &Policy, evidence: &Evidence, flows: &Flows, activities: &[Activity], answer: &mut Answer) {
    let digest = policy.digest().to_string();
    let others: Vec<&str> =
        evidence.report.policies.iter().map(|known| known.digest.as_str()).filter(|known| *known != digest).collect();
    if !others.is_empty() {
        answer.assumed.push(format!(
            "categories are those of the policies given last; {} other policies ran too, and their events are counted",
            others.len()
        ));
    }
    let said = |(destination, purpose): &(String, String)| {
        activities.iter().any(|activity| {
            activity.purpose == *purpose && activity.recipients.iter().any(|to| to.destination == *destination)
        })
    };
    for (flow, (events, _)) in flows.iter().filter(|(flow, _)| !said(flow)) {
        let (destination, purpose) = flow;
        let message =
            format!("{events} events left to `{destination}` for {purpose}, which the policies given do not know");
        answer.object("activity_unlisted", message);
    }
}

fn markdown(policy: &Policy, activities: &[Activity], evidence: &Evidence, period: Period) -> String {
    let mut out = format!(
        "\nPolicy {} in {} incarnations of the log, {}.\n\nController, representative and data protection officer: *to be filled in* (Article 30(1)(a)).\n",
        policy.digest(),
        evidence.report.incarnations.len(),
        period.words()
    );
    for activity in activities {
        out.push_str(&section(activity));
    }
    out.push_str("\n## Security of processing (Article 30(1)(g))\n\n*To be filled in*; what leaves is minimized as above, and recorded in a log that was verified for this report.\n");
    out
}

fn section(activity: &Activity) -> String {
    let list = |items: &BTreeSet<String>| items.iter().cloned().collect::<Vec<_>>().join(", ");
    let mut out = format!("\n## {}\n\n", activity.purpose);
    out.push_str(&format!("- Legal basis: {} (GDPR Article {})\n", activity.basis, activity.gdpr));
    let subjects = if activity.subjects.is_empty() { "*to be filled in*".to_owned() } else { list(&activity.subjects) };
    out.push_str(&format!("- Data subjects: {subjects}\n"));
    out.push_str(&format!("- Contracts: {}\n", none_if_empty(list(&activity.contracts))));
    if !activity.may_contain.is_empty() {
        out.push_str(&format!("- Free text and URLs that leave may also hold: {}\n", list(&activity.may_contain)));
    }
    if !activity.redacted.is_empty() {
        out.push_str(&format!("- Fields that leave without their value: of {}\n", list(&activity.redacted)));
    }
    out.push_str("\n| Category | Leaves as |\n|---|---|\n");
    for (category, forms) in &activity.categories {
        out.push_str(&format!("| {category} | {} |\n", list(forms)));
    }
    out.push_str("\n| Recipient | Kind | Located in | Events let out | Proved by |\n|---|---|---|---|---|\n");
    for to in &activity.recipients {
        let located = none_if_empty(to.located_in.join(", "));
        out.push_str(&format!(
            "| {} | {} | {located} | {} | the counts of {} classes, compiled again |\n",
            to.destination, to.recipient, to.events, to.classes
        ));
    }
    for export in &activity.exports {
        let spent = match (&export.spent_most, &export.cap) {
            (Some(spent), Some(cap)) => {
                format!("at most {spent} of {cap} spent in any horizon, charge by charge in the log")
            }
            _ => "nothing charged in this log".to_owned(),
        };
        out.push_str(&format!(
            "\nPublished with differential privacy: {}, horizon {}; {} releases, {spent}.\n",
            export.export, export.horizon, export.releases
        ));
    }
    out.push_str("\nRetention: privet keeps none of these events; coarsening is in the table, and how long a recipient keeps them is *to be filled in* (Article 30(1)(f)).\n");
    out
}

fn none_if_empty(text: String) -> String {
    if text.is_empty() { "none said".to_owned() } else { text }
}
