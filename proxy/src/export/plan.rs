//! Declared exports become queries, or every reason why not.
//!
//! Promise: a [`Plan`] can run: its windows, bounds and losses make sense, its
//! noise keeps the declared loss by OpenDP's own map, and the windows of one
//! horizon fit its budget together. Problems carry the line they come from.
//!
//! Not here: whether contract, purpose and paths exist; the policy compiler
//! has seen to that.

mod measure;
mod schedule;
mod slot;
mod survey;

use std::collections::HashMap;
use std::sync::Arc;

use privet_dp::accountant::Budget;
use privet_dp::aggregate::steps_of;
use privet_dp::bound::Admission;
use privet_dp::ledger::{charge, ids_per_person};
use privet_dp::loss::{Delta, Loss, Measure};
use privet_dp::query::Query;
use privet_dp::schedule::Schedule;
use privet_dp::window::Span as Duration;
use privet_policy::diagnostic::Diagnostic;
use privet_policy::export::{Export, Survey};
use privet_policy::path::Path;
use privet_policy::span::{Span, Spanned};
use schedule::Windows;
pub use survey::SurveyPlan;

/// How much memory the open windows of all exports may take for their units,
/// in equal parts. A window that needs more is given up.
pub const UNITS_BYTES_MAX: u64 = 96 << 20;

/// An export that can run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The data use that must be permitted before an event is observed.
    pub purpose: String,
    /// The contract whose events are counted; none where tables are posted.
    pub contract: Option<String>,
    /// Where the privacy unit's identifier stands.
    pub unit: Path,
    /// Where the grouping values stand, in the order of the query's columns.
    pub columns: Vec<Path>,
    /// Where the value stands that is measured, where one is.
    pub of: Option<Path>,
    /// Where the event's own time stands, where windows go by it.
    pub time: Option<Path>,
    /// What is counted, at what cost.
    pub query: Arc<Query>,
}

impl Plan {
    /// The value of an event's row, in steps of the aggregate: zero where none
    /// is measured, `None` where the event has no number there.
    #[must_use]
    pub fn steps_of(&self, written: Option<&str>) -> Option<i64> {
        match self.query.aggregate().decimals() {
            None => Some(0),
            Some(decimals) => steps_of(written?, decimals),
        }
    }

    /// What the windows of one horizon cost a person together, for `privet export plan`.
    #[must_use]
    pub fn cost_of_horizon(&self) -> Option<Loss> {
        let counted = charge(&self.query)?.in_measure(self.query.budget.limit.measure())?;
        self.query.budget.cost_of_horizon(counted, &self.query.schedule)
    }
}

/// Everything that a policy exports.
#[derive(Clone, Debug, Default)]
pub struct Plans {
    /// What counts events, or takes tables.
    pub exports: Vec<Plan>,
    /// What gathers reports that were randomized on devices.
    pub surveys: Vec<SurveyPlan>,
}

impl Plans {
    /// Whether nothing is exported.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.exports.is_empty() && self.surveys.is_empty()
    }

    /// The data uses that something is counted for.
    pub fn purposes(&self) -> impl Iterator<Item = &str> {
        let exports = self.exports.iter().map(|plan| plan.purpose.as_str());
        exports.chain(self.surveys.iter().map(|plan| plan.purpose.as_str()))
    }
}

impl From<Vec<Plan>> for Plans {
    fn from(exports: Vec<Plan>) -> Self {
        Self { exports, surveys: Vec::new() }
    }
}

/// Plans everything, in the order of the policy.
///
/// # Errors
/// All problems of all exports.
pub fn plan(exports: &[Export], surveys: &[Survey]) -> Result<Plans, Vec<Diagnostic>> {
    let mut problems = twice(exports);
    let units_bytes_max = UNITS_BYTES_MAX / ((exports.len() + surveys.len()).max(1) as u64);
    let planned: Vec<Plan> = exports
        .iter()
        .filter_map(|export| Planner { export, units_bytes_max, problems: &mut problems }.plan())
        .collect();
    let gathered = surveys.iter().filter_map(|written| survey::plan(written, units_bytes_max, &mut problems));
    let plans = Plans { surveys: gathered.collect(), exports: planned };
    if problems.is_empty() {
        let windows = exports.iter().map(|export| &export.window).chain(surveys.iter().map(|survey| &survey.window));
        problems.extend(slot::longer_than_windows(windows, &plans));
    }
    if problems.is_empty() { Ok(plans) } else { Err(problems) }
}

/// Exports of one name would share a budget and a chain of receipts.
fn twice(exports: &[Export]) -> Vec<Diagnostic> {
    let mut first: HashMap<&str, &Span> = HashMap::new();
    let mut problems = Vec::new();
    for Spanned { value, at } in exports.iter().map(|export| &export.name) {
        if let Some(before) = first.insert(value, at) {
            problems.push(
                Diagnostic::error("P101", at, format!("there are two exports `{value}`"))
                    .other(before, "the other one")
                    .help("give each export a name of its own: the name is its budget's identity"),
            );
        }
    }
    problems
}

/// Reads one export, and goes on after a mistake to find the next.
struct Planner<'a> {
    export: &'a Export,
    units_bytes_max: u64,
    problems: &'a mut Vec<Diagnostic>,
}

impl<'a> Planner<'a> {
    fn plan(mut self) -> Option<Plan> {
        let before = self.problems.len();
        self.problems.extend(not_a_name(&self.export.name));
        let keys = self.keys();
        let bounds = self.bounds();
        self.bounds_fit_keys(keys.as_ref());
        let schedule = Windows { window: &self.export.window, problems: self.problems }.schedule();
        self.posted_in_one_part();
        let fleet = self.fleet();
        let ids = self.ids();
        let mechanism = self.mechanism(bounds, ids);
        self.cells_fit_memory(keys.as_ref(), mechanism.as_ref());
        let admitted = self.admission();
        let budget = self.budget(schedule.as_ref());
        let windows = schedule.as_ref().map_or(1, Schedule::windows_in_memory);
        let mechanism = mechanism?;
        let within = Admission::within_memory(self.units_bytes_max / windows, bounds?, mechanism.aggregate());
        let query = Query {
            name: self.export.name.value.clone(),
            unit: self.export.unit.to_string(),
            keys: keys?,
            admission: within.share(admitted?),
            mechanism,
            ids_per_person: ids?,
            schedule: schedule?,
            fleet: fleet?,
            budget: budget?,
            nonnegative: self.export.nonnegative,
        };
        self.windows_fit_budget(&query);
        (self.problems.len() == before).then(|| self.finish(query))
    }

    fn finish(self, query: Query) -> Plan {
        let Export { purpose, contract, unit, keys, window, .. } = self.export;
        let columns = keys.iter().map(|column| column.path.clone()).collect();
        Plan {
            purpose: purpose.clone(),
            contract: contract.clone(),
            unit: unit.clone(),
            columns,
            of: self.export.measure.of.as_ref().map(|of| of.value.clone()),
            time: window.time.as_ref().map(|time| time.value.clone()),
            query: Arc::new(query),
        }
    }

    fn report(&mut self, problem: Diagnostic) {
        self.problems.push(problem);
    }

    fn span(&mut self, written: &Spanned<String>) -> Option<Duration> {
        span(written, self.problems)
    }

    fn loss(&mut self, measure: Measure, written: &Spanned<String>) -> Option<Loss> {
        Loss::from_decimal(measure, &written.value)
            .map_err(|error| {
                self.report(
                    Diagnostic::error("P110", &written.at, format!("`{}` is no privacy loss", written.value))
                        .help(error.to_string()),
                )
            })
            .ok()
    }

    fn ids(&mut self) -> Option<std::num::NonZeroU64> {
        let written = &self.export.ids_per_person;
        let ids = ids_per_person(written.value);
        if ids.is_none() {
            self.report(
                Diagnostic::error("P111", &written.at, "`ids_per_person` must be from 1 to 1000")
                    .help("count the identifiers that one person may hold over the horizon: devices, accounts, resets"),
            );
        }
        ids
    }

    fn budget(&mut self, schedule: Option<&Schedule>) -> Option<Budget> {
        let export = self.export;
        let horizon = self.span(&export.horizon);
        let window = schedule.map(|schedule| schedule.tiling().usual_length());
        if let (Some(horizon), Some(window)) = (horizon, window)
            && horizon.secs() % window.secs() != 0
        {
            self.report(
                Diagnostic::error(
                    "P112",
                    &export.horizon.at,
                    format!("{horizon} is no whole number of windows of {window}"),
                )
                .help("the budget counts whole windows: make the horizon a multiple of the window's length"),
            );
        }
        let limit = match (&export.budget_epsilon, &export.budget_rho) {
            (Some(epsilon), None) => self.loss(Measure::Pure, epsilon),
            (None, Some(rho)) => self.loss(Measure::Zcdp, rho),
            (Some(_), Some(rho)) => {
                self.report(
                    Diagnostic::error("P113", &rho.at, "a budget has one limit, not two")
                        .help("write `epsilon` or `rho`"),
                );
                None
            }
            (None, None) => {
                self.report(
                    Diagnostic::error("P113", &export.horizon.at, "the budget has no limit")
                        .help("add `epsilon: \"...\"` or `rho: \"...\"`, a decimal in quotes"),
                );
                None
            }
        };
        let delta = match &export.budget_delta {
            Some(written) => self.delta_pico(written),
            None => Some(0),
        };
        Some(Budget { limit: limit?.with_delta(delta?), horizon: horizon? })
    }

    /// A budget that runs out within its horizon withholds windows by
    /// surprise; the author is told before.
    fn windows_fit_budget(&mut self, query: &Query) {
        let at = self
            .export
            .budget_epsilon
            .as_ref()
            .or(self.export.budget_rho.as_ref())
            .map_or(&self.export.horizon.at, |limit| &limit.at);
        let limit = query.budget.limit;
        let Some(person) = charge(query) else {
            self.report(Diagnostic::error(
                "P114",
                at,
                "the loss of a person with that many identifiers is too large to count",
            ));
            return;
        };
        let Some(window) = person.in_measure(limit.measure()) else {
            self.report(
                Diagnostic::error(
                    "P114",
                    at,
                    format!(
                        "a budget in {} cannot be charged in {}",
                        limit.measure().symbol(),
                        person.measure().symbol()
                    ),
                )
                .help("give the budget in the measure of the noise"),
            );
            return;
        };
        let fits = query.budget.cost_of_horizon(window, &query.schedule).filter(|cost| limit.covers(*cost));
        if fits.is_none() {
            let affordable =
                [limit.nano().checked_div(window.nano()), limit.delta_pico().checked_div(window.delta_pico())]
                    .into_iter()
                    .flatten()
                    .min()
                    .unwrap_or(0);
            let needed = query.budget.cost_of_horizon(window, &query.schedule);
            let short_delta = needed.filter(|needed| needed.nano() <= limit.nano()).map(Loss::delta_pico);
            let at = self.export.budget_delta.as_ref().filter(|_| short_delta.is_some()).map_or(at, |delta| &delta.at);
            let problem = Diagnostic::error(
                "P115",
                at,
                format!("{} at {window} each do not fit a budget of {limit}", counted(query)),
            )
            .label(format!("room for {affordable} {} in {}", releases_name(query), query.budget.horizon));
            let problem = if query.ids_per_person.get() > 1 {
                problem.note(format!("a person with {} identifiers loses {person} in a window", query.ids_per_person))
            } else {
                problem
            };
            let times = query.guarantee();
            let problem = if times.multiplier.get() > 1 { problem.note(times.text()) } else { problem };
            self.report(match (needed, short_delta.and_then(Delta::from_pico)) {
                (_, Some(delta)) => problem.help(format!("write `delta: \"{delta}\"` in `budget`: the loss itself fits")),
                (Some(needed), None) => problem.help(format!("the windows of one horizon cost {needed} together: raise the limit to that, lengthen the window, or lower the loss of each")),
                (None, None) => problem.help("lengthen the window, or lower the loss of each"),
            });
        }
    }
}

/// The name becomes a directory and a part of the budget's identity.
fn not_a_name(name: &Spanned<String>) -> Option<Diagnostic> {
    let Spanned { value, at } = name;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let is_one = !value.is_empty() && value.len() <= 100 && !value.starts_with('.') && value.bytes().all(plain);
    (!is_one).then(|| {
        Diagnostic::error("P102", at, format!("`{value}` cannot name an export"))
            .help("use at most 100 letters, digits, `-`, `_` and `.`, and no dot at the beginning: receipts are published into a directory of this name")
    })
}

fn span(written: &Spanned<String>, problems: &mut Vec<Diagnostic>) -> Option<Duration> {
    Duration::parse(&written.value)
        .map_err(|error| {
            problems.push(
                Diagnostic::error("P106", &written.at, format!("`{}` is no length of time", written.value))
                    .help(error.to_string()),
            );
        })
        .ok()
}

/// How many releases a horizon may have, in words.
fn counted(query: &Query) -> String {
    let (windows, each) = (query.budget.windows(&query.schedule), query.schedule.releases_max());
    if each == 1 { format!("{windows} windows") } else { format!("{windows} windows of up to {each} releases") }
}

fn releases_name(query: &Query) -> &'static str {
    if query.schedule.releases_max() == 1 { "windows" } else { "releases" }
}

#[cfg(test)]
pub(in crate::export) mod tests;
