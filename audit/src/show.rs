//! The report, laid out for a person.

use std::fmt::{self, Write as _};

use privet_audit_log::ledger::LedgerReport;
use privet_audit_log::verify::{IncarnationReport, Report};

use crate::classes::Judged;
use crate::ledger;

/// Writes the whole report; the last line says `log verified` where nothing was found.
///
/// # Errors
/// Only what `out` itself refuses.
pub fn show(report: &Report, judged: &Judged, rolled: Option<&LedgerReport>, out: &mut String) -> fmt::Result {
    writeln!(out, "Enforcement log")?;
    report.incarnations.iter().try_for_each(|one| incarnation(one, out))?;
    writeln!(out, "\nWhat happened")?;
    totals(report, out)?;
    writeln!(out, "\nWhere events went")?;
    for (name, to) in &report.destinations {
        writeln!(
            out,
            "  {name:<24} released {:>10}   acknowledged {:>10}   refused {:>8}   unknown {:>8}   on the way {:>6}",
            to.released, to.acknowledged, to.refused, to.unknown, to.open
        )?;
    }
    nothing(report.destinations.is_empty(), out)?;
    policies(report, judged, out)?;
    budgets(report, out)?;
    rolled.map_or(Ok(()), |said| ledger::show(said, out))?;
    proved(report, judged, rolled, out)?;
    list("Assumed", report.assumptions.iter().map(String::as_str), out)?;
    gaps(report, out)?;
    if report.is_clean() {
        return writeln!(out, "\nlog verified");
    }
    log_findings(report, out)?;
    writeln!(out, "\nlog NOT verified: {} findings", report.findings.len() as u64 + report.findings_unlisted)
}

/// What the log says it does not cover.
///
/// # Errors
/// Only what `out` itself refuses.
pub fn gaps(report: &Report, out: &mut String) -> fmt::Result {
    let gaps = gap_lines(report);
    list("Gaps", gaps.iter().map(String::as_str), out)
}

fn incarnation(one: &IncarnationReport, out: &mut String) -> fmt::Result {
    writeln!(out, "  {} ({})", one.origin, one.end)?;
    writeln!(
        out,
        "    {} records, {} of them under its own signature, {} checkpoints read",
        one.records, one.signed, one.checkpoints
    )?;
    writeln!(out, "    root {}", one.root)
}

fn totals(report: &Report, out: &mut String) -> fmt::Result {
    let totals = &report.totals;
    let refused: u64 = totals.refused.values().sum();
    writeln!(
        out,
        "  requests {:>12} in  = {} answered + {refused} refused + {} aborted + {} unfinished",
        totals.requests, totals.answered, totals.aborted, totals.requests_unfinished
    )?;
    for (name, count) in &totals.refused {
        writeln!(out, "             refused as {name}: {count}")?;
    }
    writeln!(
        out,
        "  events   {:>12} in  = {} kept + {} dropped + {} withheld + {} unfinished",
        totals.events, totals.kept, totals.dropped, totals.withheld, totals.events_unfinished
    )?;
    writeln!(out, "  bytes    {:>12} in, in {} batches", totals.bytes, totals.batches)?;
    if totals.challenges > 0 {
        writeln!(out, "  {} challenges of auditors, {} events", totals.challenges, totals.challenged_events)?;
    }
    if totals.bypass_checks > 0 {
        writeln!(out, "  sockets were looked at {} times", totals.bypass_checks)?;
    }
    Ok(())
}

fn policies(report: &Report, judged: &Judged, out: &mut String) -> fmt::Result {
    writeln!(out, "\nPolicies that ran")?;
    for policy in &report.policies {
        let equal = if judged.equal_to_given.contains(&policy.digest) { "   = the policies given" } else { "" };
        writeln!(
            out,
            "  {}   {} files, loaded {} times, decided {} events{equal}",
            policy.digest, policy.files, policy.loads, policy.events
        )?;
        if !policy.signers.is_empty() {
            let signers: Vec<&str> = policy.signers.iter().map(String::as_str).collect();
            writeln!(out, "    signed by {}", signers.join(", "))?;
        }
    }
    nothing(report.policies.is_empty(), out)?;
    refused_policies(report, out)
}

/// Only where there are some: most logs require no signatures.
fn refused_policies(report: &Report, out: &mut String) -> fmt::Result {
    if report.refused_policies.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nPolicies that were refused")?;
    for refused in &report.refused_policies {
        let signers = if refused.signers.is_empty() { "nobody".to_owned() } else { refused.signers.join(", ") };
        writeln!(
            out,
            "  {}   {}, {} times: signed by {signers}, {} needed",
            refused.digest,
            refused.reason.name(),
            refused.times,
            refused.required
        )?;
    }
    Ok(())
}

fn budgets(report: &Report, out: &mut String) -> fmt::Result {
    writeln!(out, "\nDifferential privacy")?;
    for account in &report.budgets {
        writeln!(
            out,
            "  {:<32} {} charges, {} releases; at most {} of {} {} in any {} s",
            account.account,
            account.charges,
            account.releases,
            billionths(account.spent_most),
            billionths(account.cap),
            account.measure,
            account.horizon_secs
        )?;
    }
    nothing(report.budgets.is_empty(), out)
}

/// Billionths as an exact decimal.
#[must_use]
pub fn billionths(nano: u64) -> String {
    let text = format!("{}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Trillionths as an exact decimal.
#[must_use]
pub fn trillionths(pico: u64) -> String {
    let text = format!("{}.{:012}", pico / 1_000_000_000_000, pico % 1_000_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn proved(report: &Report, judged: &Judged, rolled: Option<&LedgerReport>, out: &mut String) -> fmt::Result {
    writeln!(out, "\nProved")?;
    writeln!(
        out,
        "  every one of {} records, its place in the tree, and every tile was hashed again",
        report.totals.records
    )?;
    writeln!(out, "  every checkpoint read is signed and agrees with the records before it")?;
    writeln!(out, "  requests, events, classes, releases, outcomes and budgets add up, record by record")?;
    if judged.agreed > 0 {
        writeln!(
            out,
            "  {} of {} classes were compiled again and are what their policy decides",
            judged.agreed,
            report.classes.len()
        )?;
    }
    if let Some(said) = rolled {
        writeln!(
            out,
            "  {} states of it that the ledger rolled, under a checkpoint of {} records with the quorum of the trust policy, are its own",
            said.agreed, said.records
        )?;
    }
    if !report.is_clean() {
        writeln!(out, "  but for the findings below")?;
    }
    Ok(())
}

/// A titled list, `none` where it is empty.
///
/// # Errors
/// Only what `out` itself refuses.
pub fn list<'a>(title: &str, lines: impl Iterator<Item = &'a str>, out: &mut String) -> fmt::Result {
    writeln!(out, "\n{title}")?;
    let mut none = true;
    for line in lines {
        none = false;
        writeln!(out, "  {line}")?;
    }
    nothing(none, out)
}

fn nothing(none: bool, out: &mut String) -> fmt::Result {
    if none { writeln!(out, "  none") } else { Ok(()) }
}

/// A line a gap, and one for those that are not listed.
pub fn gap_lines(report: &Report) -> Vec<String> {
    let more = (report.gaps_unlisted > 0).then(|| format!("and {} more", report.gaps_unlisted));
    report.gaps.iter().map(ToString::to_string).chain(more).collect()
}

/// What must not be in the log; nothing where there is nothing.
///
/// # Errors
/// Only what `out` itself refuses.
pub fn log_findings(report: &Report, out: &mut String) -> fmt::Result {
    if report.is_clean() {
        return Ok(());
    }
    writeln!(out, "\nFindings")?;
    for finding in &report.findings {
        let place = match (finding.incarnation, finding.record) {
            (Some(incarnation), Some(record)) => format!("incarnation {incarnation}, record {record}: "),
            (Some(incarnation), None) => format!("incarnation {incarnation}: "),
            _ => String::new(),
        };
        writeln!(out, "  [{}] {place}{}", finding.code, finding.message)?;
    }
    if report.findings_unlisted > 0 {
        writeln!(out, "  and {} more", report.findings_unlisted)?;
    }
    Ok(())
}
