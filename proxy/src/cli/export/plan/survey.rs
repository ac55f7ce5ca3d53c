//! What a survey's reports tell, and how exact its estimates will be.

use std::io::{self, Write};

use privet_dp::loss::{Loss, Measure};
use privet_dp::receipt::name_of_method;
use privet_ldp::Randomizer;
use serde_json::{Value, json};

use crate::cli::table;
use crate::export::SurveyPlan;

/// Numbers of reports that an error is told for.
const REPORTS: [u32; 3] = [1_000, 10_000, 1_000_000];

/// Of an answer that one in so many give.
const SHARES: [u32; 3] = [100, 10, 2];

pub(super) fn line(plan: &SurveyPlan) -> [String; 6] {
    let survey = &plan.survey;
    [
        survey.name.clone(),
        "reports".to_owned(),
        survey.question.field().to_owned(),
        survey.unit.clone(),
        survey.schedule.tiling().to_string(),
        plan.contract.clone(),
    ]
}

pub(super) fn described(plan: &SurveyPlan) -> Value {
    let (survey, randomizer) = (&plan.survey, plan.survey.question.randomizer());
    json!({
        "export": survey.name, "purpose": plan.purpose, "from": plan.contract, "unit": survey.unit,
        "measures": "reports", "by": ["answer"], "window": survey.schedule.tiling().to_string(),
        "field": survey.question.field(), "method": name_of_method(randomizer.method()), "answers": randomizer.answers(),
    })
}

pub(super) fn tell(out: &mut impl Write, plan: &SurveyPlan) -> io::Result<()> {
    let (survey, randomizer) = (&plan.survey, plan.survey.question.randomizer());
    writeln!(
        out,
        "{}: reports of {} answers in {} by {}, one of one {}, {}",
        survey.name,
        randomizer.answers(),
        survey.question.field(),
        name_of_method(randomizer.method()),
        survey.unit,
        survey.schedule.tiling()
    )?;
    writeln!(out, "  a report tells at most {}, whoever has it; nothing is charged here", loss(randomizer))?;
    writeln!(out, "  what a device's several reports tell together is bounded by the device alone")?;
    writeln!(out, "  who reports, and how many do, is public; a window holds at most {} units", survey.units_max)?;
    let lines: Vec<[String; 4]> = REPORTS.into_iter().map(|reports| error_line(randomizer, reports)).collect();
    table::print(out, ["standard error at", "an answer of 1 %", "of 10 %", "of 50 %"], &lines)?;
    writeln!(out)
}

fn error_line(randomizer: &Randomizer, reports: u32) -> [String; 4] {
    let [rare, common, half] = errors(randomizer, reports).map(|error| format!("{error:.0}"));
    [format!("{reports} reports"), rare, common, half]
}

fn errors(randomizer: &Randomizer, reports: u32) -> [f64; 3] {
    SHARES.map(|share| randomizer.standard_error(reports / share, reports))
}

pub(super) fn costed(plan: &SurveyPlan) -> Value {
    let randomizer = plan.survey.question.randomizer();
    let errors = REPORTS.into_iter().map(|reports| {
        let [rare, common, half] = errors(randomizer, reports);
        json!({"reports": reports, "of_1_percent": rare, "of_10_percent": common, "of_50_percent": half})
    });
    let mut described = described(plan);
    if let Some(members) = described.as_object_mut() {
        members.insert("per_report_epsilon_nano".to_owned(), json!(randomizer.epsilon().nano()));
        members.insert("charged_nano".to_owned(), json!(0));
        members.insert("units_max".to_owned(), json!(plan.survey.units_max));
        members.insert("standard_errors".to_owned(), errors.collect());
    }
    described
}

/// The declared loss of a report, in words.
fn loss(randomizer: &Randomizer) -> String {
    let loss = Loss::from_nano(Measure::Pure, randomizer.epsilon().nano());
    loss.map_or_else(|error| error.to_string(), |loss| loss.to_string())
}
