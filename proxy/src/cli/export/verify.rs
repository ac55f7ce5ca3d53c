//! `privet export verify`: receipts, held against themselves and each other.

use std::io::{self, Write};
use std::path::PathBuf;

use privet_dp::receipt::{AnyReceipt, ChainReport, Crowd, Finding, LocalReceipt, Receipt, verify, verify_fleet};
use serde_json::{Value, json};

use super::receipts::{self, ChainName, Filed};
use crate::cli::{Outcome, cannot};

/// The arguments of `privet export verify`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Receipts, or directories of them.
    #[arg(required = true)]
    receipts: Vec<PathBuf>,
    /// Machine output on stdout.
    #[arg(long)]
    json: bool,
}

/// One chain of receipts and what came of them.
struct Checked {
    name: ChainName,
    files: Vec<Filed>,
    result: Result<ChainReport, Vec<Finding>>,
}

/// Checks them all.
pub(super) fn run(args: &Args) -> Outcome {
    let filed = match receipts::read(&args.receipts) {
        Ok(filed) if filed.is_empty() => {
            return cannot("there is no receipt: name files or directories that hold some");
        }
        Ok(filed) => filed,
        Err(why) => return cannot(&why),
    };
    let checked: Vec<Checked> = receipts::chains(filed)
        .into_iter()
        .map(|(name, files)| {
            let bytes: Vec<&[u8]> = files.iter().map(|file| file.bytes.as_slice()).collect();
            let result = verify(&bytes);
            Checked { name, files, result }
        })
        .collect();
    let receipts = checked.iter().flat_map(|chain| &chain.files).filter_map(|file| file.receipt.as_ref()?.central());
    let crowded = verify_fleet(receipts);
    let clean = crowded.is_empty() && checked.iter().all(|chain| chain.result.is_ok());
    let written = if args.json { tell_machine(&checked, &crowded) } else { tell(&checked, &crowded) };
    match (written, clean) {
        (Err(error), _) => cannot(&format!("cannot write to stdout: {error}")),
        (Ok(()), true) => Outcome::Fine,
        (Ok(()), false) => Outcome::Findings,
    }
}

fn tell(checked: &[Checked], crowded: &[Crowd]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for chain in checked {
        match &chain.result {
            Ok(report) => tell_report(&mut out, chain, report)?,
            Err(findings) => {
                writeln!(out, "{}: {} findings in {} receipts", chain.name, findings.len(), chain.files.len())?;
                for finding in findings {
                    let path = chain.files.get(finding.at).map(|file| file.path.display().to_string());
                    writeln!(out, "  {}: {}", path.unwrap_or_default(), finding.what)?;
                }
            }
        }
    }
    crowded.iter().try_for_each(|crowd| writeln!(out, "{}: {}", crowd.query, crowd.what))
}

fn tell_report(out: &mut impl Write, chain: &Checked, report: &ChainReport) -> io::Result<()> {
    writeln!(out, "{}: {} receipts verified, the last is {}", chain.name, report.receipts, report.head)?;
    if let Some(last) = chain.files.last().and_then(|file| file.receipt.as_ref()) {
        match last {
            AnyReceipt::Central(last) => {
                writeln!(out, "  proved: every loss follows from noise and bounds; {}", spent(last))?;
            }
            AnyReceipt::Local(last) => writeln!(out, "  proved: {}", asked(last))?,
        }
    }
    if !report.from_the_start {
        writeln!(out, "  assumed: that the receipts before the first were in order")?;
    }
    writeln!(out, "  not proved: that none was published after the last; that the noise was drawn as stated")
}

/// What follows from a receipt of reports.
fn asked(last: &LocalReceipt) -> String {
    let loss = last.privacy.per_report.loss().map_or_else(String::new, |loss| loss.to_string());
    format!(
        "estimates and intervals follow from reports of {loss} each, {} in the last window; nothing was charged here",
        last.reports
    )
}

/// What the budget has spent by the last receipt.
fn spent(receipt: &Receipt) -> String {
    let horizon = &receipt.privacy.horizon;
    let shown =
        |loss: Option<privet_dp::loss::Loss>| loss.map_or_else(|| "nothing".to_owned(), |loss| loss.to_string());
    let epsilon = &horizon.epsilon_at_delta;
    format!(
        "at most {} of {} spent in {}, epsilon {} at delta {}",
        shown(horizon.spent.loss()),
        shown(horizon.limit.loss()),
        horizon.length,
        epsilon.epsilon,
        epsilon.delta
    )
}

fn tell_machine(checked: &[Checked], crowded: &[Crowd]) -> io::Result<()> {
    let chains: Vec<Value> = checked.iter().map(described).collect();
    let crowded: Vec<Value> =
        crowded.iter().map(|crowd| json!({"export": crowd.query, "what": crowd.what.to_string()})).collect();
    writeln!(io::stdout().lock(), "{}", json!({"chains": chains, "fleet_findings": crowded}))
}

fn described(chain: &Checked) -> Value {
    let ledger = chain.name.ledger.map(|ledger| ledger.to_string());
    match &chain.result {
        Ok(report) => json!({
            "export": chain.name.query, "ledger": ledger, "receipts": report.receipts,
            "from_the_start": report.from_the_start, "head": report.head.to_string(), "findings": [],
        }),
        Err(findings) => {
            let findings = findings.iter().map(|finding| {
                let path = chain.files.get(finding.at).map(|file| file.path.display().to_string());
                json!({"receipt": path, "what": finding.what.to_string()})
            });
            json!({
                "export": chain.name.query, "ledger": ledger, "receipts": chain.files.len(),
                "findings": findings.collect::<Vec<_>>(),
            })
        }
    }
}
