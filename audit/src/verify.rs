//! `verify`: the whole log, and what had to be assumed.

use anyhow::Result;
use privet_audit_log::ledger::LedgerReport;
use privet_audit_log::verify::Report;
use serde::Serialize;

use crate::answer::Printed;
use crate::brought::Brought;
use crate::classes::{self, Judged};
use crate::ledger::Against;
use crate::show;

/// What to verify, and against what.
#[derive(clap::Args)]
pub struct Verify {
    #[command(flatten)]
    brought: Brought,
    #[command(flatten)]
    against: Against,
}

#[derive(Serialize)]
struct Machine<'a> {
    verified: bool,
    classes_compiled: Option<u64>,
    policies_equal_to_given: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    ledger: Option<LedgerReport>,
    #[serde(flatten)]
    report: &'a Report,
}

impl Verify {
    /// Verifies a log; classes are compiled again where policies were brought.
    ///
    /// # Errors
    /// There is no log to speak of, or what was brought cannot be used.
    pub fn run(&self) -> Result<Printed> {
        let brought = &self.brought;
        let agreed = brought.agreed()?;
        let mut report = brought.verify()?;
        let rolled = self.against.check(&brought.log, &mut report)?;
        let judged = match &agreed {
            Some(agreed) => classes::judge(&brought.log, Some(agreed), &mut report),
            None => {
                let unchecked = "no policies were given: classes were not compiled again, and what they say was decided is the log's word";
                report.assumptions.push(unchecked.to_owned());
                Judged::default()
            }
        };
        let clean = report.is_clean();
        let mut text = String::new();
        if brought.json {
            let machine = Machine {
                verified: clean,
                classes_compiled: agreed.as_ref().map(|_| judged.agreed),
                policies_equal_to_given: &judged.equal_to_given,
                ledger: rolled,
                report: &report,
            };
            text = serde_json::to_string_pretty(&machine)? + "\n";
        } else {
            show::show(&report, &judged, rolled.as_ref(), &mut text)?;
        }
        Ok((text, clean))
    }
}
