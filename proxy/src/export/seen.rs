//! What exports see of a permitted event: the values at their paths, as a row or a report.
//!
//! Promise: an event without a unit, a key or a value is not counted, and nothing
//! here keeps what it saw.

use std::borrow::Cow;

use privet_dp::window::PolicyDigest;
use privet_json::Node;
use privet_ldp::NotAReport;
use privet_policy::batch::Around;
use privet_policy::consent::is_null_id;
use privet_policy::decide::value_at;
use privet_policy::path::Path;

use super::{ExportLine, Plan, Report, Row, SurveyPlan, event_time};

/// An event, and what its batch shares.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) event: Node<'a>,
    pub(crate) around: Around<'a>,
    /// The digest of the policy that it was decided under.
    pub(crate) policy: &'a PolicyDigest,
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

impl ExportLine {
    /// Counts an event in an export, if it has all that is counted.
    pub(crate) fn see(&self, export: usize, plan: &Plan, seen: Seen<'_>) {
        let Some(unit) = seen.unit(&plan.unit) else { return };
        let values: Option<Vec<_>> = plan.columns.iter().map(|column| seen.at(column)).collect();
        let Some(values) = values else { return };
        let values: Vec<&str> = values.iter().map(AsRef::as_ref).collect();
        let measured = plan.of.as_ref().and_then(|of| seen.at(of));
        let value = plan.steps_of(measured.as_deref());
        if let (Some(key), Some(value)) = (plan.query.keys.key_of(&values), value) {
            let event_secs = seen.secs(plan.time.as_ref());
            self.observe(export, Row { unit: unit.as_bytes(), key, value, event_secs }, seen.policy);
        }
    }

    /// Counts an event's report in a survey, if it brings one.
    ///
    /// # Errors
    /// What stands there is no report of the survey's question.
    pub(crate) fn see_report(&self, survey: usize, plan: &SurveyPlan, seen: Seen<'_>) -> Result<(), NotAReport> {
        let (Some(unit), Some(text)) = (seen.unit(&plan.unit), seen.at(&plan.report)) else { return Ok(()) };
        let report = Report { unit: unit.as_bytes(), text: &text, event_secs: seen.secs(plan.time.as_ref()) };
        self.observe_report(survey, report, seen.policy)
    }
}
