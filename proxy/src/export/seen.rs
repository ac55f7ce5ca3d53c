//! What exports see of a permitted event: the values at their paths, as a row or a report.
//!
//! Promise: an event without a unit, a key or a value is not counted, and nothing
//! here keeps what it saw. What an export counts is found once for a policy, by
//! the policy's own numbers: nothing is looked up by name for an event.

use std::borrow::Cow;

use privet_json::Node;
use privet_ldp::NotAReport;
use privet_policy::batch::Around;
use privet_policy::consent::is_null_id;
use privet_policy::decide::{Decision, value_at};
use privet_policy::path::Path;
use privet_policy::policy::{ContractNo, Policy, PurposeNo};

use super::{Observer, Plan, Plans, Report, Row, SurveyPlan, event_time};

/// The exports of the policy in force, in order.
#[derive(Default)]
pub struct Watched {
    exports: Vec<Watching<Plan>>,
    surveys: Vec<Watching<SurveyPlan>>,
}

/// An export, and what it counts.
struct Watching<P> {
    plan: P,
    /// `None` where the policy has no such purpose: nothing counts.
    purpose: Option<PurposeNo>,
    /// `None` where tables are posted.
    contract: Option<ContractNo>,
}

impl<P> Watching<P> {
    fn of(policy: &Policy, purpose: &str, contract: Option<&str>, plan: P) -> Self {
        let purpose = policy.purposes().iter().position(|known| known.name == purpose);
        let contract = contract.and_then(|name| policy.contracts().iter().position(|known| known.name == name));
        Self {
            plan,
            purpose: purpose.and_then(|number| u8::try_from(number).ok()).map(PurposeNo),
            contract: contract.and_then(|number| u16::try_from(number).ok()).map(ContractNo),
        }
    }

    /// Whether it counts events of this contract that are decided so.
    fn counts(&self, contract: ContractNo, decision: &Decision) -> bool {
        self.contract == Some(contract) && self.purpose.is_some_and(|purpose| decision.publishable.contains(purpose))
    }
}

/// An event, and what its batch shares.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) event: Node<'a>,
    pub(crate) around: Around<'a>,
}

impl<'a> Seen<'a> {
    fn at(self, path: &Path) -> Option<Cow<'a, str>> {
        value_at(path, self.event, self.around)
    }

    /// The unit, unless it is nobody's id.
    fn unit(self, path: &Path) -> Option<Cow<'a, str>> {
        self.at(path).filter(|unit| !is_null_id(unit))
    }

    fn secs(self, time: Option<&Path>) -> Option<i64> {
        event_time::seconds(&self.at(time?)?)
    }
}

impl Watched {
    /// Finds purpose and contract of each plan in the policy that it came from.
    #[must_use]
    pub fn of(policy: &Policy, plans: &Plans) -> Self {
        let export = |plan: &Plan| Watching::of(policy, &plan.purpose, plan.contract.as_deref(), plan.clone());
        let survey = |plan: &SurveyPlan| Watching::of(policy, &plan.purpose, Some(&plan.contract), plan.clone());
        Self {
            exports: plans.exports.iter().map(export).collect(),
            surveys: plans.surveys.iter().map(survey).collect(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.exports.is_empty() && self.surveys.is_empty()
    }

    /// The export of this name, if it is no survey.
    pub(crate) fn export(&self, name: &str) -> Option<&Plan> {
        self.exports.iter().map(|export| &export.plan).find(|plan| plan.query.name == name)
    }

    /// All exports that are no surveys.
    pub(crate) fn exports(&self) -> impl Iterator<Item = &Plan> {
        self.exports.iter().map(|export| &export.plan)
    }

    /// All surveys.
    pub(crate) fn surveys(&self) -> impl Iterator<Item = &SurveyPlan> {
        self.surveys.iter().map(|survey| &survey.plan)
    }

    /// Whether this name is a survey's.
    pub(crate) fn is_survey(&self, name: &str) -> bool {
        self.surveys.iter().any(|survey| survey.plan.survey.name == name)
    }

    /// For which purposes anything is counted.
    pub(crate) fn purposes(&self) -> impl Iterator<Item = PurposeNo> {
        let exports = self.exports.iter().filter_map(|export| export.purpose);
        exports.chain(self.surveys.iter().filter_map(|survey| survey.purpose))
    }

    /// Counts an event wherever it counts; gives how many reports it brought that are none.
    pub(crate) fn see(&self, observer: &Observer, contract: ContractNo, decision: &Decision, seen: Seen<'_>) -> u64 {
        for (number, export) in self.exports.iter().enumerate() {
            if export.counts(contract, decision) {
                see_row(observer, number, &export.plan, seen);
            }
        }
        let mut malformed = 0;
        for (number, survey) in self.surveys.iter().enumerate() {
            if survey.counts(contract, decision) {
                malformed += u64::from(see_report(observer, number, &survey.plan, seen).is_err());
            }
        }
        malformed
    }
}

/// Counts an event in an export, if it has all that is counted.
fn see_row(observer: &Observer, export: usize, plan: &Plan, seen: Seen<'_>) -> Option<()> {
    let unit = seen.unit(&plan.unit)?;
    let values: Vec<_> = plan.columns.iter().map(|column| seen.at(column)).collect::<Option<_>>()?;
    let values: Vec<&str> = values.iter().map(AsRef::as_ref).collect();
    let measured = plan.of.as_ref().and_then(|of| seen.at(of));
    let (key, value) = (plan.query.keys.key_of(&values)?, plan.steps_of(measured.as_deref())?);
    observer.observe(export, Row { unit: unit.as_bytes(), key, value, event_secs: seen.secs(plan.time.as_ref()) });
    Some(())
}

/// Counts an event's report in a survey, if it brings one; fails where it is no
/// report of the survey's question.
fn see_report(observer: &Observer, survey: usize, plan: &SurveyPlan, seen: Seen<'_>) -> Result<(), NotAReport> {
    let (Some(unit), Some(text)) = (seen.unit(&plan.unit), seen.at(&plan.report)) else { return Ok(()) };
    let report = Report { unit: unit.as_bytes(), text: &text, event_secs: seen.secs(plan.time.as_ref()) };
    observer.observe_report(survey, report)
}
