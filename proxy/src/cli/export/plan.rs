//! What an export will cost and how exact it will be, before it runs.

mod survey;

use std::io::{self, Write};
use std::num::NonZeroU64;

use privet_dp::accountant::release::Release;
use privet_dp::accountant::report::{Report, decimal};
use privet_dp::accuracy::{Misses, half_width, score_gap};
use privet_dp::aggregate::Aggregate;
use privet_dp::fleet::Topology;
use privet_dp::ledger::charge;
use privet_dp::loss::{Delta, Loss};
use privet_dp::mechanism::{Part, Stage};
use privet_dp::query::Query;
use privet_dp::window::Span;
use serde_json::{Value, json};

use crate::cli::table;
use crate::export::{Plan, Plans};

/// One line for each export.
pub(super) fn list(plans: &Plans, machine: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if machine {
        let exports: Vec<Value> =
            plans.exports.iter().map(described).chain(plans.surveys.iter().map(survey::described)).collect();
        return writeln!(out, "{}", json!({"exports": exports}));
    }
    let lines: Vec<[String; 6]> =
        plans.exports.iter().map(line).chain(plans.surveys.iter().map(survey::line)).collect();
    table::print(&mut out, ["export", "measures", "by", "of one", "window", "from"], &lines)
}

fn line(plan: &Plan) -> [String; 6] {
    let query = &plan.query;
    [
        query.name.clone(),
        query.aggregate().name().to_owned(),
        query.keys.columns().collect::<Vec<_>>().join(", "),
        query.unit.clone(),
        query.schedule.tiling().to_string(),
        source(plan).to_owned(),
    ]
}

fn source(plan: &Plan) -> &str {
    plan.contract.as_deref().unwrap_or("posted tables")
}

fn described(plan: &Plan) -> Value {
    let query = &plan.query;
    json!({
        "export": query.name, "purpose": plan.purpose, "from": source(plan), "unit": query.unit,
        "measures": query.aggregate().name(), "by": query.keys.columns().collect::<Vec<_>>(),
        "window": query.schedule.tiling().to_string(),
    })
}

/// Whole milliseconds that are no shorter.
fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros().div_ceil(1000)).unwrap_or(u64::MAX)
}

/// What each export costs a person, and how far its noise reaches.
pub(super) fn costs(plans: &Plans, machine: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if machine {
        let exports: Vec<Value> =
            plans.exports.iter().map(costed).chain(plans.surveys.iter().map(survey::costed)).collect();
        let (release_ms, stop_ms) = (millis(plans.release_takes()), millis(plans.stop_takes()));
        return writeln!(out, "{}", json!({"exports": exports, "release_ms": release_ms, "stop_ms": stop_ms}));
    }
    for plan in &plans.exports {
        tell(&mut out, plan)?;
    }
    for plan in &plans.surveys {
        survey::tell(&mut out, plan)?;
    }
    if plans.exports.is_empty() {
        return Ok(());
    }
    writeln!(out, "a loss is that of a person who is in every window; budgets of exports do not know of each other,")?;
    writeln!(out, "so somebody who is counted in several loses their sum")
}

/// The spans that a loss is told for.
const SPANS: [(&str, u64); 3] = [("a day", 86_400), ("30 days", 30 * 86_400), ("a year", 365 * 86_400)];

/// What the releases of a span cost a person together.
fn cost_of(query: &Query, span: Span) -> Option<Loss> {
    let budget = privet_dp::accountant::Budget { horizon: span, ..query.budget };
    budget.cost_of_horizon(charge(query)?, &query.schedule)
}

/// What a person loses in a span of time.
struct Cost {
    span: &'static str,
    /// How many releases begin in it.
    releases: u64,
    loss: Option<Loss>,
}

fn spans(query: &Query) -> impl Iterator<Item = Cost> + '_ {
    let one = Cost { span: "a release", releases: 1, loss: charge(query) };
    let longer = SPANS.into_iter().filter_map(|(span, secs)| {
        let length = Span::from_secs(secs)?;
        Some(Cost { span, releases: query.schedule.releases_in(length), loss: cost_of(query, length) })
    });
    std::iter::once(one).chain(longer)
}

impl Cost {
    fn line(&self, query: &Query) -> [String; 4] {
        let Some(loss) = self.loss else {
            return [self.span, "beyond counting", "", ""].map(str::to_owned);
        };
        let (epsilon, delta) = epsilon(loss);
        let exact = self.by_distribution(query);
        let exact = exact.map_or_else(|| "-".to_owned(), |(epsilon, delta)| format!("{epsilon} at {delta}"));
        [self.span.to_owned(), loss.to_string(), format!("{epsilon} at {delta}"), exact]
    }

    /// The epsilon of the same releases by the distribution of their loss, which is mostly
    /// smaller, and what the budget does not count by; and the delta that it holds at: what the
    /// releases cost of it, and [`Delta::REPORTED`] more, for without one there is no gain.
    fn by_distribution(&self, query: &Query) -> Option<(String, Delta)> {
        let times = query.guarantee().multiplier.get().checked_mul(self.releases)?;
        let releases = Release::all_of(query, NonZeroU64::new(times)?)?;
        let delta = Delta::from_pico(self.loss?.delta_pico() + Delta::REPORTED.pico())?;
        let epsilon = Report::of(&releases, &[delta]).rows.first()?.pld?;
        Some((decimal(Some(epsilon)), delta))
    }
}

fn tell(out: &mut impl Write, plan: &Plan) -> io::Result<()> {
    let query = &plan.query;
    writeln!(
        out,
        "{}: {} by {} of one {}, {}",
        query.name,
        query.aggregate().name(),
        query.keys.columns().collect::<Vec<_>>().join(", "),
        query.unit,
        query.schedule.tiling()
    )?;
    let lines: Vec<[String; 4]> = spans(query).map(|cost| cost.line(query)).collect();
    table::print(out, ["a person loses in", "loss", "epsilon at delta", "by its distribution at delta"], &lines)?;
    let budget = format!("budget of {}: {}", query.budget.horizon, query.budget.limit);
    writeln!(out, "  {budget}, of which {} are planned", query.schedule.releases_in(query.budget.horizon))?;
    writeln!(out, "  {}: {}", topology(query), query.guarantee().text())?;
    for stage in query.mechanism.stages() {
        writeln!(out, "  {}", reach(query, stage))?;
    }
    writeln!(out)
}

/// A loss as an epsilon, and the delta that it holds at.
fn epsilon(loss: Loss) -> (String, String) {
    let converts = loss.in_measure(privet_dp::loss::Measure::Pure).is_none();
    let pico = loss.delta_pico() + if converts { Delta::REPORTED.pico() } else { 0 };
    let delta = Delta::from_pico(pico).map_or_else(|| "0".to_owned(), |delta| delta.to_string());
    (loss.epsilon_at(Delta::REPORTED), delta)
}

fn topology(query: &Query) -> &'static str {
    match query.guarantee().topology {
        Topology::PerPod => "per_pod",
        Topology::UserSharded => "user_sharded",
    }
}

/// How exact a stage's answers will be, in words.
fn reach(query: &Query, stage: &Stage) -> String {
    let drawn = format!("{} by {} of scale {:.3}", stage.part().name(), stage.noise().name(), stage.scale().as_f64());
    if let Some(threshold) = stage.threshold() {
        return format!(
            "{drawn}: a key is published from about {} units on, half of the time at just so many; below {} never",
            threshold.at, threshold.min_units
        );
    }
    match half_width(stage.noise(), stage.scale(), Misses::OneInTwenty) {
        Some(half_width) => format!("{drawn}: 95 % of the numbers are within {half_width} of what was bounded"),
        None => format!("{drawn}: 95 % of the choices are within {} of the best", gap(query, stage)),
    }
}

/// How far a choice may be from the best, in rows.
fn gap(query: &Query, stage: &Stage) -> String {
    let (candidates, per_row) = match (stage.part(), query.aggregate()) {
        (Part::Quantiles, Aggregate::Quantiles(quantiles)) => (quantiles.candidates().at().len(), 1000),
        _ => (query.keys.most(), 1),
    };
    format!("{} rows", score_gap(stage.scale(), candidates).div_ceil(per_row))
}

fn costed(plan: &Plan) -> Value {
    let query = &plan.query;
    let costs = spans(query).map(|cost| {
        let (loss, exact) = (cost.loss, cost.by_distribution(query));
        let epsilon = loss.map(epsilon);
        json!({
            "span": cost.span, "releases": cost.releases, "measure": query.budget.limit.measure().symbol(),
            "epsilon_by_distribution": exact.as_ref().map(|(epsilon, _)| epsilon),
            "delta_by_distribution": exact.as_ref().map(|(_, delta)| delta.to_string()),
            "nano": loss.map(Loss::nano), "delta_pico": loss.map(Loss::delta_pico),
            "epsilon": epsilon.as_ref().map(|(epsilon, _)| epsilon), "delta": epsilon.as_ref().map(|(_, delta)| delta),
        })
    });
    let stages = query.mechanism.stages().iter().map(|stage| {
        json!({
            "part": stage.part().name(), "noise": stage.noise().name(), "scale": stage.scale().to_string(),
            "sensitivity": stage.sensitivity(), "half_width_95": half_width(stage.noise(), stage.scale(), Misses::OneInTwenty),
            "threshold": stage.threshold().map(|threshold| threshold.at),
        })
    });
    let mut described = described(plan);
    if let Some(members) = described.as_object_mut() {
        members.insert("costs".to_owned(), costs.collect());
        members.insert("stages".to_owned(), stages.collect());
        members.insert("topology".to_owned(), json!(topology(query)));
        members.insert("guarantee".to_owned(), json!(query.guarantee().text()));
        members.insert("budget".to_owned(), json!({
            "horizon": query.budget.horizon.to_string(), "nano": query.budget.limit.nano(),
            "delta_pico": query.budget.limit.delta_pico(), "releases": query.schedule.releases_in(query.budget.horizon),
        }));
    }
    described
}
