//! `verify --ledger`: a log held against what witnesses have seen of it.

use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use privet_audit_log::ledger::{Ledger, LedgerReport, Seen, check, read_policy};
use privet_audit_log::verify::Report;

use crate::brought::read_text;

/// A ledger, and whose word makes it one.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Against {
    /// A ledger's log: the log must still be what the ledger has rolled of it.
    #[arg(long, value_name = "LEDGER", requires = "policy")]
    ledger: Option<PathBuf>,
    /// Your trust policy, a file as c2sp.org/tlog-policy has it: the ledger's key, its witnesses, and how many of them
    /// have to have cosigned.
    #[arg(long, value_name = "FILE", requires = "ledger")]
    policy: Option<PathBuf>,
    /// A signed checkpoint of the ledger that you kept from an earlier time: the ledger must continue it.
    #[arg(long, value_name = "CHECKPOINT", requires = "ledger")]
    ledger_anchor: Option<PathBuf>,
}

impl Against {
    /// Checks the log at `log` against the ledger, where one was brought; findings go into the report.
    ///
    /// # Errors
    /// The ledger or the trust policy cannot be read.
    pub fn check(&self, log: &Path, report: &mut Report) -> Result<Option<LedgerReport>> {
        let (Some(ledger), Some(policy)) = (&self.ledger, &self.policy) else { return Ok(None) };
        let trust = read_policy(policy).with_context(|| format!("cannot use the trust policy {}", policy.display()))?;
        let anchor = self.ledger_anchor.as_deref().map(read_text).transpose()?;
        let brought = Ledger { log: ledger, policy: &trust, anchor: anchor.as_deref() };
        check(&brought, log, report).map(Some).context("cannot check the log against the ledger")
    }
}

/// Writes what the ledger said.
///
/// # Errors
/// Only what `out` itself refuses.
pub fn show(said: &LedgerReport, out: &mut String) -> fmt::Result {
    writeln!(out, "\nWhat the ledger has seen")?;
    writeln!(out, "  {}, {} records under its newest checkpoint", said.origin, said.records)?;
    for (name, time) in &said.witnesses {
        writeln!(out, "    cosigned by {name} at {time} s of Unix time")?;
    }
    for (number, (rolled, records)) in &said.rolled {
        writeln!(out, "  incarnation {number}: {rolled} of {records} records were rolled")?;
        let seen = said.seen.get(number).into_iter().flatten();
        seen.filter_map(between).try_for_each(|line| writeln!(out, "    {line}"))?;
    }
    writeln!(out, "  {} rolls agree with the log", said.agreed)
}

/// Between which times witnesses vouch that something was rolled; nothing where they vouch for neither.
fn between(seen: &Seen) -> Option<String> {
    let when = match (seen.not_before, seen.not_after) {
        (Some(low), Some(high)) => format!("between {low} and {high}"),
        (None, Some(high)) => format!("not after {high}"),
        (Some(low), None) => format!("not before {low}"),
        (None, None) => return None,
    };
    Some(format!("the first {} were rolled {when} s of Unix time, by the clocks of witnesses", seen.size))
}
