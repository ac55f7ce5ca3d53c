//! What an export measures: its keys, bounds, aggregate and noise.

use std::num::NonZeroU64;

use privet_dp::aggregate::{Aggregate, Clamp, Edges, NotAnAggregate, PerMille, Quantiles, VALUE_MAX, steps_of};
use privet_dp::bound::{ContributionBounds, NotBounds};
use privet_dp::loss::{Delta, Loss, Measure};
use privet_dp::mechanism::{CannotCalibrate, Mechanism, Noise, Spec};
use privet_dp::query::{Column, KeyTable, Keys, NotAKeyTable, PrivateColumn, PrivateKeys};
use privet_policy::diagnostic::Diagnostic;
use privet_policy::export::{KeyValues, Measure as Written, Private};
use privet_policy::span::{Span, Spanned};

use super::Planner;

/// How many private keys a window may have where the author does not say.
const PRIVATE_KEYS_MAX: u64 = 10_000;

/// How many exact cells an export may have at most: 8 MB of them.
const CELLS_MAX: usize = 1_000_000;

impl<'a> Planner<'a> {
    pub(super) fn keys(&mut self) -> Option<Keys> {
        let private: Vec<&Private> = self.private_columns().collect();
        let (at, keys) = match private.first() {
            None => (&self.export.name.at, self.declared_keys().map(Keys::Declared)),
            Some(first) => (&first.at, self.private_keys(&private).map(Keys::Private)),
        };
        keys.map_err(|error| {
            let problem = Diagnostic::error("P103", at, error.to_string());
            self.report(match error {
                NotAKeyTable::NoValues { .. } => {
                    problem.help("list the values to publish: every one is published, zeros too")
                }
                NotAKeyTable::Twice { .. } => problem.help("list each value once"),
                NotAKeyTable::TooManyRows => problem.help(
                    "list fewer values, or split the export; every combination of the columns is a published row",
                ),
                NotAKeyTable::Private => problem,
            });
        })
        .ok()
    }

    fn private_columns(&self) -> impl Iterator<Item = &'a Private> + use<'a> {
        self.export.keys.iter().filter_map(|column| match &column.values {
            KeyValues::Private(private) => Some(private),
            KeyValues::Declared(_) => None,
        })
    }

    fn declared_keys(&self) -> Result<KeyTable, NotAKeyTable> {
        let columns = self.export.keys.iter().filter_map(|column| match &column.values {
            KeyValues::Declared(values) => Some(Column { name: column.path.to_string(), values: values.clone() }),
            KeyValues::Private(_) => None,
        });
        KeyTable::new(columns.collect())
    }

    /// The strictest of what the columns ask for holds for all.
    fn private_keys(&self, private: &[&Private]) -> Result<PrivateKeys, NotAKeyTable> {
        let columns = self.export.keys.iter().map(|column| {
            let values = match &column.values {
                KeyValues::Declared(values) => Some(values.clone()),
                KeyValues::Private(_) => None,
            };
            PrivateColumn { name: column.path.to_string(), values }
        });
        let min_units = private.iter().map(|private| private.min_units.value).max().unwrap_or(1);
        let keys_max =
            private.iter().map(|private| private.keys_max.as_ref().map_or(PRIVATE_KEYS_MAX, |max| max.value));
        PrivateKeys::new(columns.collect(), min_units, keys_max.min().unwrap_or(PRIVATE_KEYS_MAX))
    }

    pub(super) fn bounds(&mut self) -> Option<ContributionBounds> {
        let written = &self.export.bounds;
        let counts_units = self.export.measure.name.value == "units";
        let rows = match (&written.rows_per_key, counts_units) {
            (Some(rows), true) => {
                let stray = Diagnostic::error("P104", &rows.at, "a unit counts once in each key of `units`");
                self.report(stray.help("leave `rows_per_key` out, or write `count` to count rows"));
                return None;
            }
            (Some(rows), false) => rows.value,
            (None, true) => 1,
            (None, false) => {
                let missing = Diagnostic::error("P104", &written.keys_per_unit.at, "`rows_per_key` is missing");
                self.report(missing.help("add how many rows of one unit count in one key, such as `rows_per_key: 1`"));
                return None;
            }
        };
        let bounds = ContributionBounds::new(written.keys_per_unit.value, rows);
        let bounds = bounds.and_then(|bounds| match &written.rows_per_unit {
            Some(rows) => bounds.with_rows_per_unit(rows.value),
            None => Ok(bounds),
        });
        bounds.map_err(|error| self.report_bounds(error)).ok()
    }

    fn report_bounds(&mut self, error: NotBounds) {
        let written = &self.export.bounds;
        let at = match error {
            NotBounds::KeysPerUnit => Some(&written.keys_per_unit.at),
            NotBounds::RowsPerKey => written.rows_per_key.as_ref().map(|rows| &rows.at),
            NotBounds::RowsPerUnit => written.rows_per_unit.as_ref().map(|rows| &rows.at),
        };
        let problem = Diagnostic::error("P104", at.unwrap_or(&written.keys_per_unit.at), error.to_string());
        self.report(problem.help("noise is scaled to these bounds: choose what most people stay below in one window"));
    }

    /// More keys per unit than there are keys would only add noise.
    pub(super) fn bounds_fit_keys(&mut self, keys: Option<&Keys>) {
        let Some(Keys::Declared(table)) = keys else { return };
        let (rows, l0) = (table.len(), &self.export.bounds.keys_per_unit);
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

    /// Every key has its cells in memory.
    pub(super) fn cells_fit_memory(&mut self, keys: Option<&Keys>, mechanism: Option<&Mechanism>) {
        let (Some(keys), Some(mechanism)) = (keys, mechanism) else { return };
        let cells = keys.most().saturating_mul(mechanism.aggregate().cells());
        if cells > CELLS_MAX {
            let message = format!("{cells} cells are too many: an export may have {CELLS_MAX}");
            let problem = Diagnostic::error("P103", &self.export.measure.name.at, message);
            self.report(problem.help("fewer keys, or fewer edges or candidates"));
        }
    }

    /// The share of units that counts, in thousandths.
    pub(super) fn admission(&mut self) -> Option<u16> {
        let Some(written) = &self.export.bounds.admission else { return Some(1000) };
        let share = if written.value == "1" { Ok(1000) } else { PerMille::parse(&written.value).map(PerMille::get) };
        share
            .map_err(|_| {
                let message = format!("`{}` is no share of units", written.value);
                let problem = Diagnostic::error("P126", &written.at, message);
                self.report(
                    problem.help("write \"1\", or a decimal below it with at most three digits such as \"0.25\""),
                );
            })
            .ok()
    }

    pub(super) fn mechanism(
        &mut self,
        bounds: Option<ContributionBounds>,
        ids: Option<NonZeroU64>,
    ) -> Option<Mechanism> {
        let noise = self.noise()?;
        let loss = self.release_loss(noise);
        let (delta, aggregate) = (self.delta(), self.aggregate());
        let (loss, at) = loss?;
        let min_units = self.private_columns().map(|private| private.min_units.value).max();
        let spec = Spec {
            aggregate: aggregate?,
            bounds: bounds?,
            noise,
            loss: loss.with_delta(delta?),
            min_units: min_units.map(|units| u32::try_from(units).unwrap_or(u32::MAX)),
            ids_per_person: ids?,
            canaries: self.canaries()?,
        };
        Mechanism::calibrate(spec)
            .map_err(|error| {
                let problem = Diagnostic::error("P109", at, error.to_string());
                self.report(match error {
                    CannotCalibrate::NoScale => {
                        problem.help("a smaller bound or a larger loss makes the noise smaller")
                    }
                    CannotCalibrate::NoThreshold => {
                        problem.help("a larger loss or delta, or fewer keys per unit, makes the threshold lower")
                    }
                    _ => problem,
                });
            })
            .ok()
    }

    fn canaries(&mut self) -> Option<u32> {
        let written = &self.export.canaries;
        let canaries = u32::try_from(written.value).ok().filter(|canaries| *canaries <= 1000);
        if canaries.is_none() {
            let problem = Diagnostic::error("P126", &written.at, "`canaries` must be from 0 to 1000");
            self.report(problem.help("32 are enough to judge the noise of a month of hourly releases"));
        }
        canaries
    }

    fn noise(&mut self) -> Option<Noise> {
        let measure = &self.export.measure;
        let Some(Spanned { value, at }) = &measure.noise else {
            // Noise on scores follows from what is paid; so does that on counts of units.
            let by_loss = if measure.rho.is_some() { Noise::DiscreteGaussian } else { Noise::DiscreteLaplace };
            return Some(by_loss);
        };
        let noise = Noise::named(value);
        if noise.is_none() {
            self.report(
                Diagnostic::error("P107", at, format!("there is no noise `{value}`"))
                    .help("write `discrete_laplace` with an `epsilon`, or `discrete_gaussian` with a `rho`"),
            );
        }
        noise
    }

    /// The declared loss of one release, in the measure of its noise.
    fn release_loss(&mut self, noise: Noise) -> Option<(Loss, &'a Span)> {
        let Written { epsilon, rho, noise: named, name, .. } = &self.export.measure;
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
                    let at = named.as_ref().map_or(&name.at, |named| &named.at);
                    self.report(
                        Diagnostic::error("P108", at, format!("the loss of a window is missing: `{symbol}`"))
                            .help(format!("add `{symbol}: \"...\"`, a decimal in quotes")),
                    );
                }
                None
            }
        }
    }

    /// The declared probability of a private key, in trillionths; 0 where keys are declared.
    fn delta(&mut self) -> Option<u64> {
        let measure = &self.export.measure;
        match (&measure.delta, self.private_columns().next()) {
            (None, None) => Some(0),
            (Some(written), Some(_)) => self.delta_pico(written),
            (Some(stray), None) => {
                let problem = Diagnostic::error("P127", &stray.at, "declared keys need no `delta`");
                self.report(
                    problem.help("leave it out: only keys that are not declared can betray that they are there"),
                );
                None
            }
            (None, Some(private)) => {
                let missing = Diagnostic::error("P127", &measure.name.at, "private keys need a `delta`");
                let why = "the probability that the key of a single person is published, such as `delta: \"1e-9\"`";
                self.report(missing.help(format!("add {why}")).other(&private.at, "private keys"));
                None
            }
        }
    }

    /// A written probability in trillionths.
    pub(super) fn delta_pico(&mut self, written: &Spanned<String>) -> Option<u64> {
        Delta::from_decimal(&written.value)
            .map(Delta::pico)
            .map_err(|error| {
                let message = format!("`{}` is no probability of failure", written.value);
                self.report(Diagnostic::error("P127", &written.at, message).help(error.to_string()));
            })
            .ok()
    }

    fn aggregate(&mut self) -> Option<Aggregate> {
        let measure = &self.export.measure;
        let aggregate = match measure.name.value.as_str() {
            "count" => Ok(Aggregate::Count),
            "units" => Ok(Aggregate::Units),
            "sum" => clamp(measure).map(Aggregate::Sum),
            "mean" => clamp(measure).map(Aggregate::Mean),
            "histogram" => edges(measure).map(Aggregate::Histogram),
            "quantiles" => quantiles(measure).map(Aggregate::Quantiles),
            _ => Aggregate::top(measure.k.as_ref().map_or(0, |k| k.value)),
        };
        aggregate.map_err(|error| self.report_aggregate(error)).ok()
    }

    fn report_aggregate(&mut self, error: NotAnAggregate) {
        let measure = &self.export.measure;
        let first = |list: &'a [Spanned<String>]| list.first().map(|text| &text.at);
        let at = match error {
            NotAnAggregate::Clamp | NotAnAggregate::TooFar => first(&measure.clamp).or_else(|| first(&measure.edges)),
            NotAnAggregate::Edges => first(&measure.edges),
            NotAnAggregate::Quantiles => first(&measure.at),
            NotAnAggregate::Decimals => measure.decimals.as_ref().map(|decimals| &decimals.at),
            NotAnAggregate::Top => measure.k.as_ref().map(|k| &k.at),
            NotAnAggregate::NotANumber => unread(measure).map(|text| &text.at),
        };
        let problem = Diagnostic::error("P126", at.unwrap_or(&measure.name.at), error.to_string());
        self.report(match error {
            NotAnAggregate::Clamp => problem.help("write both ends, such as `clamp: [0, 600]`"),
            NotAnAggregate::NotANumber => problem.help("or raise `decimals`"),
            _ => problem,
        });
    }
}

/// How many decimals count.
fn decimals(measure: &Written) -> Result<u32, NotAnAggregate> {
    let written = measure.decimals.as_ref().map_or(0, |decimals| decimals.value);
    u32::try_from(written).map_err(|_| NotAnAggregate::Decimals)
}

fn clamp(measure: &Written) -> Result<Clamp, NotAnAggregate> {
    let decimals = decimals(measure)?;
    let [low, high] = measure.clamp.as_slice() else { return Err(NotAnAggregate::Clamp) };
    Clamp::new(exact(&low.value, decimals)?, exact(&high.value, decimals)?, decimals)
}

fn edges(measure: &Written) -> Result<Edges, NotAnAggregate> {
    let decimals = decimals(measure)?;
    let read = measure.edges.iter().map(|edge| exact(&edge.value, decimals));
    Edges::new(read.collect::<Result<_, _>>()?, decimals)
}

fn quantiles(measure: &Written) -> Result<Quantiles, NotAnAggregate> {
    let shares = measure.at.iter().map(|share| PerMille::parse(&share.value));
    Quantiles::new(shares.collect::<Result<_, _>>()?, edges(measure)?)
}

/// A number with no more decimals than are counted: what the author writes is not rounded.
fn exact(written: &str, decimals: u32) -> Result<i64, NotAnAggregate> {
    let steps = steps_of(written, decimals).ok_or(NotAnAggregate::NotANumber)?;
    // Beyond this a tenth of a step is beyond what is read.
    let large = steps.abs() > VALUE_MAX / 10;
    let is_exact = large || steps_of(written, decimals + 1) == Some(steps * 10);
    if is_exact { Ok(steps) } else { Err(NotAnAggregate::NotANumber) }
}

/// The first number that cannot be read.
fn unread(measure: &Written) -> Option<&Spanned<String>> {
    let decimals = decimals(measure).ok()?;
    measure.clamp.iter().chain(&measure.edges).find(|text| exact(&text.value, decimals).is_err())
}
