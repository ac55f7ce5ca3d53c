//! `privet export ledger`: what is spent of each budget, by its receipts.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use privet_dp::loss::Loss;
use privet_dp::receipt::{AnyReceipt, LocalReceipt, Receipt};
use serde_json::{Value, json};

use super::{charges, receipts, told};
use crate::cli::{Outcome, cannot, table};

/// The arguments of `privet export ledger`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The directory that receipts are published into: what they say is spent.
    #[arg(required_unless_present = "config", conflicts_with = "config")]
    exports: Option<PathBuf>,
    /// The sidecar's configuration: what its ledger was charged, by itself. A ledger in a
    /// file can be read while no sidecar runs; one in PostgreSQL tells of every pod.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Machine output on stdout.
    #[arg(long)]
    json: bool,
}

/// Tells the state of every budget by the last receipt of its chain.
///
/// The ledger's own file is open in the sidecar alone. A release that was paid
/// for and lost has no receipt; the next one's sum holds it.
pub(super) fn run(args: &Args) -> Outcome {
    match (&args.exports, &args.config) {
        (Some(exports), _) => by_receipts(exports, args.json),
        (None, Some(config)) => charges::run(config, args.json),
        (None, None) => cannot("name the directory of receipts, or the configuration with `--config`"),
    }
}

fn by_receipts(exports: &Path, machine: bool) -> Outcome {
    let filed = match receipts::read(&[exports.to_owned()]) {
        Ok(filed) => filed,
        Err(why) => return cannot(&why),
    };
    let chains = receipts::chains(filed);
    let last = chains.into_values().filter_map(|files| {
        let releases = files.len();
        Some((releases, files.into_iter().rev().find_map(|file| file.receipt)?))
    });
    let budgets: Vec<(usize, AnyReceipt)> = last.collect();
    if budgets.is_empty() {
        return cannot(&format!(
            "nothing is published in {} yet, so no receipt tells what is spent",
            exports.display()
        ));
    }
    told(if machine { tell_machine(&budgets) } else { tell(&budgets) })
}

fn tell(budgets: &[(usize, AnyReceipt)]) -> io::Result<()> {
    let lines = budgets.iter().map(|(releases, receipt)| match receipt {
        AnyReceipt::Central(receipt) => line(*releases, receipt),
        AnyReceipt::Local(receipt) => local_line(*releases, receipt),
    });
    let lines: Vec<[String; 7]> = lines.collect();
    let mut out = io::stdout().lock();
    table::print(&mut out, ["export", "unit", "receipts", "last window", "spent", "left", "within"], &lines)
}

fn line(releases: usize, receipt: &Receipt) -> [String; 7] {
    let horizon = &receipt.privacy.horizon;
    let shown = |loss: Option<Loss>| loss.map_or_else(|| "nothing".to_owned(), |loss| loss.to_string());
    [
        receipt.query.clone(),
        receipt.privacy.unit.clone(),
        releases.to_string(),
        receipt.window.start.to_string(),
        shown(horizon.spent.loss()),
        shown(left(receipt)),
        horizon.length.clone(),
    ]
}

/// Devices pay for reports, and nothing here.
fn local_line(releases: usize, receipt: &LocalReceipt) -> [String; 7] {
    let epsilon = receipt.privacy.per_report.loss().map_or_else(String::new, |loss| format!(", {loss} a report"));
    [
        receipt.query.clone(),
        receipt.privacy.unit.clone(),
        releases.to_string(),
        receipt.window.start.to_string(),
        format!("nothing here{epsilon}"),
        "-".to_owned(),
        "-".to_owned(),
    ]
}

/// What the horizon of the last window has left.
fn left(receipt: &Receipt) -> Option<Loss> {
    let horizon = &receipt.privacy.horizon;
    let (limit, spent) = (horizon.limit.loss()?, horizon.spent.loss()?);
    let nano = limit.nano().checked_sub(spent.nano())?;
    let delta = limit.delta_pico().saturating_sub(spent.delta_pico());
    Some(Loss::from_nano(limit.measure(), nano).ok()?.with_delta(delta))
}

fn tell_machine(budgets: &[(usize, AnyReceipt)]) -> io::Result<()> {
    let rows = budgets.iter().map(|(releases, receipt)| match receipt {
        AnyReceipt::Central(receipt) => {
            let horizon = &receipt.privacy.horizon;
            json!({
                "export": receipt.query, "unit": receipt.privacy.unit, "receipts": releases,
                "last_window": receipt.window.start, "horizon": horizon.length,
                "spent": horizon.spent, "limit": horizon.limit, "epsilon_at_delta": horizon.epsilon_at_delta,
            })
        }
        AnyReceipt::Local(receipt) => json!({
            "export": receipt.query, "unit": receipt.privacy.unit, "receipts": releases,
            "last_window": receipt.window.start, "spent": receipt.privacy.charged,
            "per_report": receipt.privacy.per_report,
        }),
    });
    let rows: Vec<Value> = rows.collect();
    writeln!(io::stdout().lock(), "{}", json!({"budgets": rows}))
}
