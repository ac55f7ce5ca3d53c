//! An export of reports becomes a survey, or every reason why not.

use std::sync::Arc;

use privet_dp::local::{NotAQuestion, Question, Survey};
use privet_dp::schedule::Schedule;
use privet_ldp::{CannotAsk, Epsilon, Method};
use privet_policy::diagnostic::Diagnostic;
use privet_policy::export::{Method as WrittenMethod, Reports, Survey as Written};
use privet_policy::path::Path;

use super::not_a_name;
use super::schedule::Windows;

/// A survey that can run.
#[derive(Clone, Debug)]
pub struct SurveyPlan {
    /// The data use that must be permitted before a report is counted.
    pub purpose: String,
    /// The contract whose events bring the reports.
    pub contract: String,
    /// Where the identifier stands of which one report counts.
    pub unit: Path,
    /// Where the report stands.
    pub report: Path,
    /// Where the event's own time stands, where windows go by it.
    pub time: Option<Path>,
    /// What is asked.
    pub survey: Arc<Survey>,
}

/// Plans one survey, whose windows may take so many bytes together.
pub(super) fn plan(written: &Written, units_bytes_max: u64, problems: &mut Vec<Diagnostic>) -> Option<SurveyPlan> {
    let before = problems.len();
    problems.extend(not_a_name(&written.name));
    let schedule = Windows { window: &written.window, problems }.schedule();
    let question = question(&written.reports, problems);
    let (schedule, question) = (schedule?, question?);
    let bytes = units_bytes_max / schedule.windows_in_memory();
    let Some(units_max) = Survey::units_within(bytes, &question) else {
        problems.push(too_large(&written.reports, &question, &schedule, units_bytes_max));
        return None;
    };
    let survey = Survey {
        name: written.name.value.clone(),
        unit: written.unit.to_string(),
        question,
        units_max,
        schedule,
        nonnegative: written.nonnegative,
    };
    (problems.len() == before).then(|| SurveyPlan {
        purpose: written.purpose.clone(),
        contract: written.contract.clone(),
        unit: written.unit.clone(),
        report: written.reports.field.value.clone(),
        time: written.window.time.as_ref().map(|time| time.value.clone()),
        survey: Arc::new(survey),
    })
}

fn question(reports: &Reports, problems: &mut Vec<Diagnostic>) -> Option<Question> {
    let epsilon = Epsilon::from_decimal(&reports.epsilon.value)
        .map_err(|error| {
            let message = format!("`{}` is no epsilon of a report", reports.epsilon.value);
            problems.push(Diagnostic::error("P128", &reports.epsilon.at, message).help(error.to_string()));
        })
        .ok()?;
    let method = match reports.method.value {
        WrittenMethod::Kary => Method::Kary,
        WrittenMethod::Unary => Method::Unary,
        WrittenMethod::Projective => Method::Projective,
    };
    Question::new(reports.field.value.to_string(), reports.answers.value.names(), method, epsilon)
        .map_err(|error| problems.push(not_asked(reports, &error)))
        .ok()
}

fn not_asked(reports: &Reports, error: &NotAQuestion) -> Diagnostic {
    let at = &reports.answers.at;
    match error {
        NotAQuestion::Asked(CannotAsk::TooManyForUnary) => {
            Diagnostic::error("P128", at, "unary reports have at most 1024 answers")
                .other(&reports.method.at, "the method")
                .help("write `method: projective`, here and on the devices")
        }
        error => Diagnostic::error("P128", at, error.to_string()),
    }
}

fn too_large(reports: &Reports, question: &Question, schedule: &Schedule, bytes: u64) -> Diagnostic {
    let counters = question.randomizer().counters();
    let windows = schedule.windows_in_memory();
    Diagnostic::error("P128", &reports.answers.at, format!("{counters} counters do not fit into the memory of exports"))
        .label(format!("{} bytes in each of {windows} windows", 8 * u64::from(counters)))
        .help("declare fewer answers, or fewer exports")
        .note(format!("an export has {bytes} bytes for its windows here"))
}
