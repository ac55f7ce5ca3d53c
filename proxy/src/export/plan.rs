//! Declared exports become queries, or every reason why not.
//!
//! Promise: a [`Plan`] can run: its windows, bounds and losses make sense, its
//! noise keeps the declared loss by OpenDP's own map, and the windows of one
//! horizon fit its budget together. Problems carry the line they come from.
//!
//! Not here: whether contract, purpose and paths exist; the policy compiler
//! has seen to that.

mod schedule;

use std::collections::HashMap;
use std::sync::Arc;

use privet_dp::accountant::Budget;
use privet_dp::bound::{Admission, ContributionBounds, NotBounds};
use privet_dp::ledger::{charge, ids_per_person};
use privet_dp::loss::{Loss, Measure};
use privet_dp::mechanism::{CannotCalibrate, Mechanism, Noise};
use privet_dp::query::{Column, KeyTable, NotAKeyTable, Query};
use privet_dp::schedule::Schedule;
use privet_dp::window::Span as Duration;
use privet_policy::diagnostic::Diagnostic;
use privet_policy::export::Export;
use privet_policy::path::Path;
use privet_policy::span::{Span, Spanned};

/// How much memory the open windows of all exports may take for their units,
/// in equal parts. A window that needs more is given up.
pub const UNITS_BYTES_MAX: u64 = 96 << 20;

/// An export that can run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The data use that must be permitted before an event is observed.
    pub purpose: String,
    /// The contract whose events are counted.
    pub contract: String,
    /// Where the privacy unit's identifier stands.
    pub unit: Path,
    /// Where the grouping values stand, in the order of the query's columns.
    pub columns: Vec<Path>,
    /// Where the event's own time stands, where windows go by it.
    pub time: Option<Path>,
    /// What is counted, at what cost.
    pub query: Arc<Query>,
}

impl Plan {
    /// The row of an event's grouping values; `None` where one is not declared.
    #[must_use]
    pub fn row_of(&self, values: &[&str]) -> Option<usize> {
        self.query.keys.row_of(values)
    }

    /// What the windows of one horizon cost a person together, for `privet export plan`.
    #[must_use]
    pub fn cost_of_horizon(&self) -> Option<Loss> {
        let counted = charge(&self.query)?.in_measure(self.query.budget.limit.measure())?;
        self.query.budget.cost_of_horizon(counted, &self.query.schedule)
    }
}

/// Plans every export, in the order of the policy.
///
/// # Errors
/// All problems of all exports.
pub fn plan(exports: &[Export]) -> Result<Vec<Plan>, Vec<Diagnostic>> {
    let mut problems = twice(exports);
    let units_bytes_max = UNITS_BYTES_MAX / (exports.len().max(1) as u64);
    let plans: Vec<Plan> = exports
        .iter()
        .filter_map(|export| Planner { export, units_bytes_max, problems: &mut problems }.plan())
        .collect();
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
        self.name();
        let keys = self.keys();
        let bounds = self.bounds();
        self.bounds_fit_keys(keys.as_ref());
        let (schedule, fleet) = (self.schedule(), self.fleet());
        let mechanism = self.mechanism(bounds);
        let ids = self.ids();
        let budget = self.budget(schedule.as_ref());
        let windows = schedule.as_ref().map_or(1, Schedule::windows_in_memory);
        let window_bytes_max = self.units_bytes_max / windows;
        let query = Query {
            name: self.export.name.value.clone(),
            unit: self.export.unit.to_string(),
            keys: keys?,
            admission: Admission::within_memory(window_bytes_max, bounds?),
            mechanism: mechanism?,
            ids_per_person: ids?,
            schedule: schedule?,
            fleet: fleet?,
            budget: budget?,
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
            time: window.time.as_ref().map(|time| time.value.clone()),
            query: Arc::new(query),
        }
    }

    fn report(&mut self, problem: Diagnostic) {
        self.problems.push(problem);
    }

    /// The name becomes a directory and a part of the budget's identity.
    fn name(&mut self) {
        let Spanned { value, at } = &self.export.name;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if value.is_empty() || value.len() > 100 || value.starts_with('.') || !value.bytes().all(plain) {
            self.report(
                Diagnostic::error("P102", at, format!("`{value}` cannot name an export"))
                    .help("use at most 100 letters, digits, `-`, `_` and `.`, and no dot at the beginning: receipts are published into a directory of this name"),
            );
        }
    }

    fn keys(&mut self) -> Option<KeyTable> {
        let columns = self
            .export
            .keys
            .iter()
            .map(|column| Column { name: column.path.to_string(), values: column.values.clone() });
        KeyTable::new(columns.collect())
            .map_err(|error| {
                let problem = Diagnostic::error("P103", &self.export.name.at, error.to_string());
                self.report(match error {
                    NotAKeyTable::NoValues { .. } => {
                        problem.help("list the values to publish: every one is published, zeros too")
                    }
                    NotAKeyTable::Twice { .. } => problem.help("list each value once"),
                    NotAKeyTable::TooManyRows => problem.help(
                        "list fewer values, or split the export; every combination of the columns is a published row",
                    ),
                });
            })
            .ok()
    }

    fn bounds(&mut self) -> Option<ContributionBounds> {
        let (l0, linf) = (&self.export.keys_per_unit, &self.export.rows_per_key);
        let bounds = ContributionBounds::new(l0.value, linf.value);
        bounds
            .map_err(|error| {
                let at = match error {
                    NotBounds::KeysPerUnit => &l0.at,
                    NotBounds::RowsPerKey => &linf.at,
                };
                self.report(
                    Diagnostic::error("P104", at, error.to_string())
                        .help("noise is scaled to these bounds: choose what most people stay below in one window"),
                );
            })
            .ok()
    }

    /// More keys per unit than there are keys would only add noise.
    fn bounds_fit_keys(&mut self, keys: Option<&KeyTable>) {
        let Some(rows) = keys.map(KeyTable::len) else { return };
        let l0 = &self.export.keys_per_unit;
        if l0.value > rows as u64 {
            self.report(
                Diagnostic::error(
                    "P105",
                    &l0.at,
                    format!("one unit may touch {} keys, but there are only {rows}", l0.value),
                )
                .help(format!("write {rows}: the larger bound adds noise and buys nothing")),
            );
        }
    }

    fn span(&mut self, written: &Spanned<String>) -> Option<Duration> {
        Duration::parse(&written.value)
            .map_err(|error| {
                self.report(
                    Diagnostic::error("P106", &written.at, format!("`{}` is no length of time", written.value))
                        .help(error.to_string()),
                )
            })
            .ok()
    }

    fn mechanism(&mut self, bounds: Option<ContributionBounds>) -> Option<Mechanism> {
        let noise = self.noise()?;
        let (loss, at) = self.window_loss(noise)?;
        Mechanism::calibrate(noise, bounds?, loss)
            .map_err(|error| {
                let problem = Diagnostic::error("P109", at, error.to_string());
                self.report(match error {
                    CannotCalibrate::NoScale => {
                        problem.help("a smaller bound or a larger loss makes the noise smaller")
                    }
                    _ => problem,
                });
            })
            .ok()
    }

    fn noise(&mut self) -> Option<Noise> {
        let Spanned { value, at } = &self.export.noise;
        let noise = Noise::named(value);
        if noise.is_none() {
            self.report(
                Diagnostic::error("P107", at, format!("there is no noise `{value}`"))
                    .help("write `discrete_laplace` with an `epsilon`, or `discrete_gaussian` with a `rho`"),
            );
        }
        noise
    }

    /// The declared loss of one window, in the measure of its noise.
    fn window_loss(&mut self, noise: Noise) -> Option<(Loss, &'a Span)> {
        let Export { epsilon, rho, noise: named, .. } = self.export;
        let (written, stray) = match noise.measure() {
            Measure::Pure => (epsilon, rho),
            Measure::Zcdp => (rho, epsilon),
        };
        let symbol = noise.measure().symbol();
        if let Some(stray) = stray {
            self.report(
                Diagnostic::error("P108", &stray.at, format!("the noise `{}` is paid in {symbol}", noise.name()))
                    .help(format!("write `{symbol}: \"...\"` here")),
            );
        }
        match written {
            Some(written) => Some((self.loss(noise.measure(), written)?, &written.at)),
            None => {
                if stray.is_none() {
                    self.report(
                        Diagnostic::error("P108", &named.at, format!("the loss of a window is missing: `{symbol}`"))
                            .help(format!("add `{symbol}: \"...\"`, a decimal in quotes")),
                    );
                }
                None
            }
        }
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
        Some(Budget { limit: limit?, horizon: horizon? })
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
        let fits = query.budget.cost_of_horizon(window, &query.schedule).filter(|cost| cost.nano() <= limit.nano());
        if fits.is_none() {
            let affordable = limit.nano() / window.nano();
            let needed = query.budget.cost_of_horizon(window, &query.schedule);
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
            self.report(match needed {
                Some(needed) => problem.help(format!("the windows of one horizon cost {needed} together: raise the limit to that, lengthen the window, or lower the loss of each")),
                None => problem.help("lengthen the window, or lower the loss of each"),
            });
        }
    }
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
