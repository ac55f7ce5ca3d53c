//! What an export will cost and how exact it will be, before it runs.

mod reach;
mod survey;

use std::io::{self, Write};
use std::num::NonZeroU64;

use privet_dp::accountant::release::Release;
use privet_dp::accountant::report::{Report, decimal};
use privet_dp::accuracy::{Misses, half_width};
use privet_dp::fleet::Topology;
use privet_dp::ledger::charge;
use privet_dp::loss::{Delta, Loss, Measure};
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
    fn line(&self, query: &Query) -> [String; 5] {
        let Some(loss) = self.loss else {
            return [self.span, &self.releases.to_string(), "beyond counting", "", ""].map(str::to_owned);
        };
        let (epsilon, delta) = epsilon(loss);
        let exact = self.by_distribution(query);
        let exact = exact.map_or_else(|| "-".to_owned(), |(epsilon, delta)| format!("{epsilon} at {delta}"));
        [self.span.to_owned(), self.releases.to_string(), loss.to_string(), format!("{epsilon} at {delta}"), exact]
    }

    /// The epsilon of the same releases by the distribution of their loss, which is mostly
    /// smaller, and what the budget does not count by; and the delta that it holds at: what the
    /// releases cost of it, and [`Delta::REPORTED`] more, for without one there is no gain. A
    /// declared epsilon holds at every delta: rounding up makes no more of it.
    fn by_distribution(&self, query: &Query) -> Option<(String, Delta)> {
        let times = query.guarantee().multiplier.get().checked_mul(self.releases)?;
        let releases = Release::all_of(query, NonZeroU64::new(times)?)?;
        let loss = self.loss?;
        let delta = Delta::from_pico(loss.delta_pico() + Delta::REPORTED.pico())?;
        let epsilon = Report::of(&releases, &[delta]).rows.first()?.pld?;
        let gains = loss.measure() != Measure::Pure || (epsilon * 1e4).ceil() * 1e5 < loss.nano() as f64;
        Some((if gains { decimal(Some(epsilon)) } else { loss.epsilon_at(delta) }, delta))
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
    let lines: Vec<[String; 5]> = spans(query).map(|cost| cost.line(query)).collect();
    let heads = ["a person loses in", "releases", "loss", "epsilon at delta", "by its distribution at delta"];
    table::print(out, heads, &lines)?;
    let budget = format!("budget of {}: {}", query.budget.horizon, query.budget.limit);
    writeln!(out, "  {budget}, of which {} are planned", query.schedule.releases_in(query.budget.horizon))?;
    writeln!(out, "  {}: {}", topology(query), query.guarantee().text())?;
    for line in query.mechanism.stages().iter().flat_map(|stage| reach::lines(query, stage)) {
        writeln!(out, "  {line}")?;
    }
    writeln!(out)
}

/// A loss as an epsilon, and the delta that it holds at.
fn epsilon(loss: Loss) -> (String, String) {
    let converts = loss.in_measure(Measure::Pure).is_none();
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

#[cfg(test)]
mod tests {
    use privet_policy::diagnostic::SourceFile;

    use super::*;

    const DESIGN: &str = include_str!("../../../../policy-lib/tests/data/design.yaml");

    /// What is told of the design's export with these texts replaced.
    fn told(replaced: &[(&str, &str)]) -> String {
        let mut text = DESIGN.to_owned();
        for (written, instead) in replaced {
            assert!(text.contains(written), "{written}");
            text = text.replace(written, instead);
        }
        let files = [SourceFile { name: "design.yaml".to_owned(), text }];
        let compiled = privet_policy::compile(&files);
        let policy = compiled.policy.unwrap_or_else(|| panic!("{:?}", compiled.diagnostics));
        let plans = crate::export::plan::plan(policy.exports(), policy.surveys()).unwrap();
        let mut out = Vec::new();
        tell(&mut out, &plans.exports[0]).unwrap();
        String::from_utf8(out).unwrap()
    }

    const COUNT: &str = "count: {noise: discrete_laplace, epsilon: \"0.1\"}";

    #[track_caller]
    fn assert_tells(told: &str, parts: &[&str]) {
        for part in parts {
            assert!(told.contains(part), "{part} not in\n{told}");
        }
    }

    #[test]
    fn a_declared_epsilon_is_never_told_as_more() {
        let told = told(&[]);
        assert_tells(&told, &["a release          1         epsilon 0.1  0.1 at 0          0.1 at 0.000000001"]);
        assert!(!told.contains("0.1001"), "{told}");
        assert_tells(&told, &["95 % of the numbers are within 180 of what was bounded"]);
    }

    #[test]
    fn a_day_that_may_be_split_is_told_with_its_releases() {
        let windows = "window: {calendar: day, timezone: Europe/Berlin, splits_max: 1}";
        let told = told(&[("window: {length: 1h}", windows)]);
        // When clocks go forward a day has 23 hours, so 24 may see two of them end; each may be split.
        assert_tells(&told, &["a day              4         epsilon 0.4"]);
    }

    #[test]
    fn a_sum_is_told_in_the_units_of_its_value() {
        let sum =
            "sum: {of: properties.results, clamp: [0, 600], decimals: 1, noise: discrete_laplace, epsilon: \"0.1\"}";
        let scale = 6000.0 * 6.0 / 0.1;
        let told = told(&[(COUNT, sum)]);
        let (_, after) = told.split_once("95 % of the sums are within ").unwrap();
        let width: f64 = after.split(' ').next().unwrap().parse().unwrap();
        // The tail of Laplace noise: scale * ln(20), in tenths.
        assert!((width / (scale * 20_f64.ln() / 10.0) - 1.0).abs() < 1e-3, "{told}");
    }

    #[test]
    fn a_mean_is_told_at_numbers_of_rows_and_never_beyond_its_clamp() {
        let mean = "mean: {of: properties.results, clamp: [0, 600], noise: discrete_laplace, epsilon: \"0.1\"}";
        let told = told(&[(COUNT, mean)]);
        assert_tells(&told, &["95 % of `above_low` and of `below_high` are within ", "within 600 at 100 rows, "]);
        let (_, after) = told.split_once("at 1000 rows, ").unwrap();
        let error: f64 = after.split(' ').next().unwrap().parse().unwrap();
        let scale = 600.0 * 6.0 / 0.1;
        // Both sums miss once in forty: scale * ln(40), over the rows.
        assert!((error / (scale * 40_f64.ln() / 100_000.0) - 1.0).abs() < 1e-3, "{told}");
    }

    #[test]
    fn private_keys_are_told_with_the_error_of_what_is_published() {
        let private = [
            ("{properties.section: [apps, games, books]}", "{properties.query: {min_units: 20, keys_max: 500}}"),
            ("keys_per_unit: 2, rows_per_key: 3", "keys_per_unit: 1, rows_per_key: 1"),
            (COUNT, "count: {noise: discrete_laplace, epsilon: \"0.5\", delta: \"1e-9\"}"),
            ("epsilon: \"72\"}", "epsilon: \"360\", delta: \"720e-9\"}"),
        ];
        let both = told(&private);
        assert_tells(&both, &["a key is published from about ", "95 % of the draws are within 6 of what was bounded"]);
        let mut twice = private;
        twice[1].1 = "keys_per_unit: 1, rows_per_key: 2";
        let apart = told(&twice);
        assert_tells(
            &apart,
            &["a key is published from about ", "count by discrete_laplace", "95 % of the numbers are within "],
        );
        assert!(!apart.contains("of the draws"), "{apart}");
    }

    #[test]
    fn choices_say_what_their_rows_are() {
        let quantiles =
            "quantiles: {of: properties.results, at: [\"0.5\"], candidates: [10, 50, 100], epsilon: \"0.1\"}";
        let top = "top: {k: 1, noise: discrete_laplace, epsilon: \"0.1\"}";
        assert_tells(&told(&[(COUNT, quantiles)]), &["rows further from their share than the best candidate"]);
        assert_tells(
            &told(&[(COUNT, top)]),
            &["rows less than the best key that is left", "95 % of the numbers are within "],
        );
    }
}
