//! `ask never-left`: that data of a category, or a field, did not leave.
//!
//! The log counts every decided event in its class, and a class is a decision vector. So the sum
//! over the classes in which it leaves is the exact number of events with which it may have left,
//! and where the sum is zero it never did: no sample, no estimate. A class says what leaves if a
//! field is there, so the sum is never less than the truth, and may be more.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use privet_policy::Policy;
use privet_policy::action::ActionKind;
use serde::Serialize;
use serde_json::json;

use crate::answer::{Answer, Printed};
use crate::brought::Brought;
use crate::counted::Counted;
use crate::evidence::Evidence;
use crate::leaving::{Concern, Leaving, Wanted, leaving};
use crate::period::{Bounds, Period, PeriodArgs};

/// What must never have left.
#[derive(clap::Args)]
pub struct NeverLeft {
    #[command(flatten)]
    brought: Brought,
    /// A data category of the taxonomy; those below it are meant too.
    #[arg(long, required_unless_present = "field")]
    category: Option<String>,
    /// For this purpose and those below it only.
    #[arg(long)]
    purpose: Option<String>,
    /// To this destination only.
    #[arg(long)]
    destination: Option<String>,
    /// This field only, by its path in the contract.
    #[arg(long)]
    field: Option<String>,
    /// Forms in which it may leave, as `privet prove --allow` takes them; what they let by is printed as assumed.
    #[arg(long, value_delimiter = ',', value_name = "FORM")]
    allow: Vec<String>,
    #[command(flatten)]
    period: PeriodArgs,
}

/// The forms that `--allow` knows.
const FORMS: [ActionKind; 5] =
    [ActionKind::Generalize, ActionKind::Pseudonymize, ActionKind::Tokenize, ActionKind::Scrub, ActionKind::Keep];

/// A class in which it leaves, and how many events were of it.
#[derive(Debug, Serialize)]
struct Let {
    class: String,
    policy: String,
    contract: String,
    events: Bounds,
    leaving: Vec<Leaving>,
}

impl NeverLeft {
    /// Answers.
    ///
    /// # Errors
    /// There is no log to speak of, or the question names what no policy that ran knows.
    pub fn run(&self) -> Result<Printed> {
        let period = self.period.period()?;
        let allowed = self.allow.iter().map(|form| form_named(form)).collect::<Result<Vec<_>>>()?;
        let evidence = Evidence::gather(&self.brought)?;
        let wanted = Wanted {
            category: self.category.clone(),
            field: self.field.clone(),
            destination: self.destination.clone(),
            purpose: self.purpose.clone(),
        };
        check_names(&evidence, &wanted)?;
        let counted = Counted::over(&evidence, period)?;
        let (left, let_by) = split(&evidence, &wanted, &allowed, &counted);
        let mut answer = answer(&wanted, period, &left, &let_by, &counted);
        if evidence.policies().values().any(|policy| policy.destinations().iter().any(|to| !to.paths.is_empty())) {
            answer.assumed.push(
                "requests that are no event pass on the paths that a destination lists, with nothing of a person: no class counts them".to_owned(),
            );
        }
        answer.print(&evidence, self.brought.json)
    }
}

fn form_named(name: &str) -> Result<ActionKind> {
    match FORMS.into_iter().find(|form| form.name() == name) {
        Some(form) => Ok(form),
        None => bail!("`--allow {name}`: not one of {}", FORMS.map(ActionKind::name).join(", ")),
    }
}

/// A question about a name that nobody knows would be answered with a truth that means nothing.
fn check_names(evidence: &Evidence, wanted: &Wanted) -> Result<()> {
    let known =
        |test: &dyn Fn(&Policy) -> bool| evidence.policies().is_empty() || evidence.policies().values().any(test);
    let suggest = |pick: &dyn Fn(&Policy) -> Option<String>| {
        let nearest = evidence.policies().values().find_map(pick);
        nearest.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
    };
    if let Some(name) = &wanted.category
        && !known(&|policy| policy.taxonomy().categories.contains(name))
    {
        let hint = suggest(&|policy| policy.taxonomy().categories.nearest(name).map(str::to_owned));
        bail!("no policy that ran knows the category `{name}`{hint}");
    }
    if let Some(name) = &wanted.purpose
        && !known(&|policy| policy.taxonomy().uses.contains(name))
    {
        let hint = suggest(&|policy| policy.taxonomy().uses.nearest(name).map(str::to_owned));
        bail!("no policy that ran knows the purpose `{name}`{hint}");
    }
    if let Some(name) = &wanted.destination
        && !known(&|policy| policy.destinations().iter().any(|destination| destination.name == *name))
    {
        let mut names: Vec<&str> = evidence
            .policies()
            .values()
            .flat_map(|policy| policy.destinations().iter().map(|destination| destination.name.as_str()))
            .collect();
        names.sort_unstable();
        names.dedup();
        bail!("no policy that ran has the destination `{name}`; they have {}", names.join(", "));
    }
    let has_field = |policy: &Policy, path: &str| {
        policy.contracts().iter().any(|contract| contract.fields.iter().any(|field| field.path.to_string() == path))
    };
    match &wanted.field {
        Some(path) if !known(&|policy| has_field(policy, path)) => {
            bail!("no contract of a policy that ran has the field `{path}`; `privet exposure` lists them")
        }
        _ => Ok(()),
    }
}

/// The classes in which it leaves, and those in which it leaves in allowed forms only.
fn split(evidence: &Evidence, wanted: &Wanted, allowed: &[ActionKind], counted: &Counted) -> (Vec<Let>, Vec<Let>) {
    let (mut left, mut let_by) = (Vec::new(), Vec::new());
    for (class, events) in counted.classes(evidence) {
        let Some(facts) = &class.facts else { continue };
        let (fine, leaks): (Vec<_>, Vec<_>) = leaving(class.policy, facts, wanted)
            .into_iter()
            .partition(|leaving| allowed.contains(&leaving.action().kind()));
        let entry = |leaving| Let {
            class: class.id.to_owned(),
            policy: class.digest.to_owned(),
            contract: class.policy.contract_name(facts.contract),
            events,
            leaving,
        };
        if !leaks.is_empty() {
            left.push(entry(leaks));
        }
        if !fine.is_empty() {
            let_by.push(entry(fine));
        }
    }
    (left, let_by)
}

fn answer(wanted: &Wanted, period: Period, left: &[Let], let_by: &[Let], counted: &Counted) -> Answer {
    let mut answer = Answer::to(question(wanted, period));
    let mut events = Bounds::default();
    left.iter().for_each(|one| events.join(one.events));
    answer.line(format!("in classes in which it leaves: {events} of {} decided events", counted.decided));
    for one in left {
        answer.line(format!("{} events of {}, class {}", one.events, one.contract, one.class));
        for leaving in &one.leaving {
            answer.line(format!("  {}", in_words(leaving)));
        }
    }
    answer.value = json!({
        "never_left": events.at_most == 0,
        "events": events,
        "decided": counted.decided,
        "period": period.json(),
        "edge_batches": counted.edge_batches,
        "uncounted_at_most": counted.uncounted,
        "classes": left,
        "allowed": let_by,
    });
    if events.at_most > 0 {
        answer.object("left", format!("{events} events were of {} classes in which it leaves", left.len()));
    } else {
        answer.proved.push("no counted event is of a class in which it leaves".to_owned());
    }
    if !let_by.is_empty() {
        let forms = by_form(let_by);
        answer.assumed.push(format!("these forms are no leaving, as `--allow` says: {forms}"));
    }
    counted.assume(&mut answer, period);
    answer
}

fn question(wanted: &Wanted, period: Period) -> String {
    let mut what = match (&wanted.category, &wanted.field) {
        (Some(category), Some(field)) => format!("the field {field} of {category}"),
        (Some(category), None) => format!("data of {category}"),
        (None, field) => format!("the field {}", field.as_deref().unwrap_or_default()),
    };
    if let Some(purpose) = &wanted.purpose {
        what.push_str(&format!(" for {purpose}"));
    }
    if let Some(destination) = &wanted.destination {
        what.push_str(&format!(" to {destination}"));
    }
    format!("Did {what} never leave, {}?", period.words())
}

fn in_words(leaving: &Leaving) -> String {
    let Leaving { destination, field, form, rule, purpose, .. } = leaving;
    let how = match leaving.concern {
        Concern::Declared => "leaves",
        Concern::MayContain => "may leave within",
    };
    let category = leaving.category.as_deref().unwrap_or("no category");
    format!("{how} {field} ({category}) to {destination} as `{form}`, for {purpose}, by `{rule}`")
}

fn by_form(let_by: &[Let]) -> String {
    let mut forms: BTreeMap<&str, u64> = BTreeMap::new();
    for one in let_by {
        let mut kinds: Vec<&str> = one.leaving.iter().map(|leaving| leaving.action().kind().name()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        for kind in kinds {
            *forms.entry(kind).or_default() += one.events.at_most;
        }
    }
    let said: Vec<String> = forms.iter().map(|(form, events)| format!("{form} ({events} events)")).collect();
    said.join(", ")
}
