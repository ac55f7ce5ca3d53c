//! `verify`: the whole log, and what had to be assumed.

use anyhow::Result;
use privet_audit_log::verify::{Report, verify};
use serde::Serialize;

use crate::answer::Printed;
use crate::brought::Brought;
use crate::classes::{self, Judged};
use crate::show;

#[derive(Serialize)]
struct Machine<'a> {
    verified: bool,
    classes_compiled: Option<u64>,
    policies_equal_to_given: &'a [String],
    #[serde(flatten)]
    report: &'a Report,
}

/// Verifies a log; classes are compiled again where policies were brought.
///
/// # Errors
/// There is no log to speak of, or what was brought cannot be used.
pub fn run(brought: &Brought) -> Result<Printed> {
    let mut report = verify(&brought.log, &brought.options()?)?;
    let judged = match &brought.policies {
        Some(given) => classes::judge(&brought.log, Some(given), &mut report),
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
            classes_compiled: brought.policies.as_ref().map(|_| judged.agreed),
            policies_equal_to_given: &judged.equal_to_given,
            report: &report,
        };
        text = serde_json::to_string_pretty(&machine)? + "\n";
    } else {
        show::show(&report, &judged, &mut text)?;
    }
    Ok((text, clean))
}
