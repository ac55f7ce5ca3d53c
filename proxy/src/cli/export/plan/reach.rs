//! How far an export's noise will reach, in words and in the units of what is published.
//!
//! Promise: every width is that of a receipt's `ci95`, so it covers noise and not what bounds leave out.

use privet_dp::accuracy::{Misses, half_width, score_gap};
use privet_dp::aggregate::{Aggregate, Clamp, decimal};
use privet_dp::mechanism::{Part, Stage};
use privet_dp::query::Query;

/// Numbers of rows that the error of a mean is told for.
const ROWS: [u64; 3] = [100, 1_000, 100_000];

/// Receipts give a mean in thousandths of a step, so its error is told in them.
const PER_STEP: u64 = 1_000;
const PER_STEP_DECIMALS: u32 = 3;

/// How exact a stage's answers will be, a line for each thing to say.
pub(super) fn lines(query: &Query, stage: &Stage) -> Vec<String> {
    let drawn = format!("{} by {} of scale {:.3}", stage.part().name(), stage.noise().name(), stage.scale().as_f64());
    let Some(half_width) = half_width(stage.noise(), stage.scale(), Misses::OneInTwenty) else {
        return vec![format!("{drawn}: {}", choices(query, stage))];
    };
    let decimals = query.aggregate().decimals().unwrap_or(0);
    let within = |what: &str, width: &str| format!("{drawn}: 95 % of {what} are within {width} of what was bounded");
    match (stage.part(), query.aggregate()) {
        (Part::Select, _) => selected(query, stage, &drawn, half_width),
        (Part::Sum, _) => vec![within("the sums", &in_decimals(half_width, decimals))],
        (Part::Mean, Aggregate::Mean(clamp)) => {
            let sums = within("`above_low` and of `below_high`", &in_decimals(half_width, decimals));
            std::iter::once(sums).chain(means(stage, *clamp, decimals)).collect()
        }
        _ => vec![within("the numbers", &half_width.to_string())],
    }
}

/// From when on a private key is published, and how exact its number is where the choice measures it, too.
fn selected(query: &Query, stage: &Stage, drawn: &str, half_width: u64) -> Vec<String> {
    let published = stage.threshold().map(|threshold| {
        format!(
            "{drawn}: a key is published from about {} units on, half of the time at just so many; below {} never",
            threshold.at, threshold.min_units
        )
    });
    let measures = query.mechanism.stages().len() == 1;
    let exact = measures.then(|| {
        format!("what is published is that number: 95 % of the draws are within {half_width} of what was bounded")
    });
    published.into_iter().chain(exact).collect()
}

/// The width of a mean's own interval at some numbers of rows: that of both its sums, which
/// miss once in forty each, over the rows. A mean is never outside of its clamp.
fn means(stage: &Stage, clamp: Clamp, decimals: u32) -> Option<String> {
    let sums = half_width(stage.noise(), stage.scale(), Misses::OneInForty)?;
    let widest = clamp.width().saturating_mul(PER_STEP);
    let at = ROWS.map(|rows| {
        let thousandths = sums.saturating_mul(PER_STEP).div_ceil(rows).min(widest);
        format!("{} at {rows} rows", in_decimals(thousandths, decimals + PER_STEP_DECIMALS))
    });
    Some(format!("so 95 % of the means are within {} of that of what was bounded", at.join(", ")))
}

/// How far a choice may be from the best, in rows.
fn choices(query: &Query, stage: &Stage) -> String {
    let gap = |candidates: usize, per_row: u64| score_gap(stage.scale(), candidates).div_ceil(per_row);
    match (stage.part(), query.aggregate()) {
        (Part::Quantiles, Aggregate::Quantiles(quantiles)) => {
            let rows = gap(quantiles.candidates().at().len(), 1000);
            format!("95 % of the choices are at most {rows} rows further from their share than the best candidate")
        }
        _ => {
            let rows = gap(query.keys.most(), 1);
            format!("95 % of the choices have at most {rows} rows less than the best key that is left")
        }
    }
}

/// Steps of a measured value in the units that it is written in.
fn in_decimals(steps: u64, decimals: u32) -> String {
    decimal(i64::try_from(steps).unwrap_or(i64::MAX), decimals)
}
