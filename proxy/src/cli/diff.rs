//! `privet diff`: what changes between two policies, in what leaves.

use std::io::{self, Write};
use std::path::PathBuf;

use privet_policy::diff::{Change, Content, Diff, Difference, diff};
use privet_policy::exposure::Part;

use super::exposure::{ages, consent};
use super::{Outcome, cannot, table, written};
use crate::policies;

/// The arguments of `privet diff`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The policy directory as it is.
    pub old: PathBuf,
    /// The policy directory as it is to be.
    pub new: PathBuf,
    /// Machine output on stdout.
    #[arg(long)]
    pub json: bool,
    /// Exit with 0 although something newly leaves.
    #[arg(long)]
    pub allow_loosen: bool,
}

/// Compares and tells.
#[must_use]
pub fn run(args: &Args) -> Outcome {
    let (old, new) = match (policies::open(&args.old), policies::open(&args.new)) {
        (Ok(old), Ok(new)) => (old, new),
        (Err(why), _) => return cannot(&format!("{}: {why}", args.old.display())),
        (_, Err(why)) => return cannot(&format!("{}: {why}", args.new.display())),
    };
    let found = diff(&old, &new);
    let told = if args.json { writeln!(io::stdout().lock(), "{}", found.json(&old, &new)) } else { tell(&found) };
    let loosens = found.count(Change::Loosen) > 0;
    written(told, if loosens && !args.allow_loosen { Outcome::Findings } else { Outcome::Fine })
}

fn tell(found: &Diff) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for change in [Change::Loosen, Change::Tighten, Change::Neutral] {
        let cells: Vec<&Difference> = found.cells.iter().filter(|cell| cell.change == change).collect();
        let others: Vec<_> = found.others.iter().filter(|other| other.change == change).collect();
        if cells.is_empty() && others.is_empty() {
            continue;
        }
        writeln!(out, "{}", change.name())?;
        for other in others {
            writeln!(out, "  {} {}: {}", other.kind, other.name, other.what)?;
        }
        let rows: Vec<[String; 7]> = cells.into_iter().map(row).collect();
        if !rows.is_empty() {
            table::print(&mut out, ["contract", "field", "to", "for", "where", "age", "from -> to"], &rows)?;
        }
        writeln!(out)?;
    }
    let count = |change| found.count(change);
    let (loosen, tighten, neutral) = (count(Change::Loosen), count(Change::Tighten), count(Change::Neutral));
    writeln!(out, "{loosen} loosen, {tighten} tighten, {neutral} neutral")
}

fn row(cell: &Difference) -> [String; 7] {
    let place = &cell.place;
    [
        place.contract.clone(),
        if place.part == Part::Name { format!("{} (names)", place.field) } else { place.field.clone() },
        place.destination.clone(),
        place.purpose.clone(),
        cell.jurisdictions.join(", "),
        ages(&cell.ages),
        format!("{} -> {}", said(cell.old.as_ref()), said(cell.new.as_ref())),
    ]
}

fn said(content: Option<&Content>) -> String {
    content.map_or_else(
        || "nothing".to_owned(),
        |content| format!("{} if {} (by {})", content.action, consent(&content.consent), content.rule),
    )
}
