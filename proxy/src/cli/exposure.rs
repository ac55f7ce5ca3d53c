//! `privet exposure`: the exact table of what can leave.

use std::io::{self, Write};
use std::path::PathBuf;

use privet_policy::consent::Consent;
use privet_policy::diff::any_age;
use privet_policy::exposure::{Row, exposure, report};
use privet_policy::policy::{AgeClass, DestinationNo, Policy};

use super::{Outcome, cannot, table, written};
use crate::policies;

/// The arguments of `privet exposure`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The policy directory.
    pub policies: PathBuf,
    /// One destination only.
    #[arg(long, value_name = "DEST")]
    pub to: Option<String>,
    /// Machine output on stdout.
    #[arg(long)]
    pub json: bool,
}

/// Lists what can leave.
#[must_use]
pub fn run(args: &Args) -> Outcome {
    let policy = match policies::open(&args.policies) {
        Ok(policy) => policy,
        Err(why) => return cannot(&why),
    };
    let to = match args.to.as_deref().map(|name| destination(&policy, name)).transpose() {
        Ok(to) => to,
        Err(why) => return cannot(&why),
    };
    let rows: Vec<Row> =
        exposure(&policy).into_iter().filter(|row| to.is_none_or(|to| row.destination == to)).collect();
    written(if args.json { tell_machine(&policy, &rows) } else { tell(&policy, &rows) }, Outcome::Fine)
}

/// The destination of this name.
pub(super) fn destination(policy: &Policy, name: &str) -> Result<DestinationNo, String> {
    policy.destination_numbers().find(|number| policy.destination(*number).name == name).ok_or_else(|| {
        let known: Vec<&str> = policy.destinations().iter().map(|known| known.name.as_str()).collect();
        format!("there is no destination `{name}`; there are: {}", known.join(", "))
    })
}

fn tell_machine(policy: &Policy, rows: &[Row]) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{}", report(policy, rows))
}

/// One table for each contract and destination.
fn tell(policy: &Policy, rows: &[Row]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let mut sorted: Vec<&Row> = rows.iter().collect();
    sorted.sort_by_key(|row| (row.contract, row.destination));
    for of_one in sorted.chunk_by(|a, b| (a.contract, a.destination) == (b.contract, b.destination)) {
        let Some(first) = of_one.first() else { continue };
        let (contract, to) = (policy.contract_name(first.contract), &policy.destination(first.destination).name);
        writeln!(out, "{contract} to {to}")?;
        let lines: Vec<[String; 8]> = of_one.iter().map(|row| line(policy, row)).collect();
        table::print(&mut out, ["field", "category", "leaves as", "for", "consent", "where", "age", "by"], &lines)?;
        writeln!(out)?;
    }
    let leaving: std::collections::BTreeSet<_> = rows.iter().map(|row| (row.contract, row.field)).collect();
    let declared: usize = policy.contracts().iter().map(|contract| contract.fields.len()).sum();
    writeln!(out, "{} of {declared} declared fields can leave; what no contract declares cannot", leaving.len())
}

fn line(policy: &Policy, row: &Row) -> [String; 8] {
    let field = row.field(policy);
    let path = field.map(|field| field.path.to_string()).unwrap_or_default();
    let category = field.and_then(|field| row.part.category(field));
    [
        row.part.label(&path),
        category.unwrap_or_default().to_owned(),
        row.action.to_string(),
        policy.purpose_name(row.purpose).to_owned(),
        consent(&row.consent),
        places(policy, row),
        ages(&row.ages),
        policy.reason(row.because),
    ]
}

/// The states that permit, in few words.
pub(super) fn consent(states: &[Consent]) -> String {
    match states {
        [Consent::Given] => "given".to_owned(),
        [_, _, _, _] => "any".to_owned(),
        states => states.iter().map(|state| state.name()).collect::<Vec<_>>().join(" or "),
    }
}

fn places(policy: &Policy, row: &Row) -> String {
    if row.places.len() == policy.place_numbers().count() {
        return "everywhere".to_owned();
    }
    row.places.iter().map(|place| policy.place_name(*place)).collect::<Vec<_>>().join(", ")
}

/// The age classes in few words.
pub(super) fn ages(ages: &[AgeClass]) -> String {
    if any_age(ages) { "any".to_owned() } else { ages.iter().map(|age| age.name()).collect::<Vec<_>>().join(", ") }
}
