//! The draws of one release, stage after stage.
//!
//! Promise: what is exact is read here and nowhere else, and only noised
//! numbers, and names of keys that passed their threshold, come out.

use zeroize::Zeroizing;

use super::{Canary, CannotDraw, Mechanism, Noised, NoisedRow, Of, Part, Stage, Threshold, opendp_backend};
use crate::aggregate::{Aggregate, COUNT_MAX, PerMille, Quantiles};
use crate::ledger::ReleaseId;
use crate::tally::Cells;

/// Draws every stage; see [`Mechanism::release`].
pub(super) fn draw(mechanism: &Mechanism, release: ReleaseId, cells: &Cells) -> Result<Noised, CannotDraw> {
    if cells.width != mechanism.aggregate().cells() || cells.values.len() != cells.keys() * cells.width {
        return Err(CannotDraw::Shape);
    }
    let mut drawing =
        Drawing { mechanism, cells, keys: (0..cells.keys()).collect(), rows: Vec::new(), canaries: Vec::new() };
    for stage in mechanism.stages() {
        drawing.take(stage)?;
    }
    drawing.keep_top();
    Ok(drawing.finish(release))
}

struct Drawing<'a> {
    mechanism: &'a Mechanism,
    cells: &'a Cells,
    /// The places of the keys that are measured: all, or those selected so far.
    keys: Vec<usize>,
    /// Their rows; `key` is a place in `keys`.
    rows: Vec<NoisedRow>,
    canaries: Vec<Canary>,
}

impl Drawing<'_> {
    fn take(&mut self, stage: &Stage) -> Result<(), CannotDraw> {
        match (stage.part(), self.mechanism.aggregate()) {
            (Part::Select, _) => self.select(stage),
            (Part::Top, Aggregate::Top { keys }) => self.choose_keys(stage, *keys as usize),
            (Part::Quantiles, Aggregate::Quantiles(quantiles)) => self.choose_quantiles(stage, quantiles),
            (Part::Count, _) => self.add_noise(stage, |_| Of::Count),
            (Part::Units, _) => self.add_noise(stage, |_| Of::Units),
            (Part::Sum, _) => self.add_noise(stage, |_| Of::Sum),
            (Part::Mean, _) => self.add_noise(stage, |end| if end == 0 { Of::AboveLow } else { Of::BelowHigh }),
            (Part::Histogram, _) => self.add_noise(stage, Of::Interval),
            (Part::Top | Part::Quantiles, _) => Err(CannotDraw::Shape),
        }
    }

    /// Keeps the keys whose noisy number of units reaches the threshold.
    fn select(&mut self, stage: &Stage) -> Result<(), CannotDraw> {
        let threshold = stage.threshold().ok_or(CannotDraw::LossChanged)?;
        let enough = |key: &usize| self.units(*key) >= i64::from(threshold.min_units);
        let mut looked_at: Vec<usize> = self.keys.iter().copied().filter(enough).collect();
        looked_at.sort_by(|one, other| self.cells.names.get(*one).cmp(&self.cells.names.get(*other)));
        let units = Zeroizing::new(looked_at.iter().map(|key| self.units(*key)).collect::<Vec<i64>>());
        let truth = certain(stage, threshold);
        let noisy = self.noised(stage, &units, truth)?;
        let passed: Vec<(usize, i64)> =
            looked_at.into_iter().zip(noisy).filter(|(_, noisy)| reaches(*noisy, threshold)).collect();
        self.keys = passed.iter().map(|(key, _)| *key).collect();
        if self.mechanism.spec().selection_measures() {
            let of = if matches!(self.mechanism.aggregate(), Aggregate::Units) { Of::Units } else { Of::Count };
            self.rows =
                passed.iter().enumerate().map(|(key, (_, value))| NoisedRow { key, of, value: *value }).collect();
        }
        Ok(())
    }

    fn units(&self, key: usize) -> i64 {
        self.cells.units.get(key).copied().unwrap_or(0)
    }

    /// Noise on the cells of every key that is measured.
    fn add_noise(&mut self, stage: &Stage, of: impl Fn(u16) -> Of) -> Result<(), CannotDraw> {
        let (exact, width) = (self.exact(), self.cells.width);
        let noisy = self.noised(stage, &exact, 0)?;
        // There are at most EDGES_MAX + 1 cells.
        let row = |(place, value)| NoisedRow { key: place / width, of: of((place % width) as u16), value };
        self.rows.extend(noisy.into_iter().enumerate().map(row));
        Ok(())
    }

    /// What noise is added to, key after key.
    fn exact(&self) -> Zeroizing<Vec<i64>> {
        let mut exact = Zeroizing::new(Vec::with_capacity(self.keys.len() * self.cells.width));
        for key in &self.keys {
            match (self.mechanism.aggregate(), self.cells.of(*key)) {
                (Aggregate::Mean(clamp), [sum, rows]) => exact.extend(clamp.distances(*sum, *rows)),
                (_, cells) => exact.extend_from_slice(cells),
            }
        }
        exact
    }

    /// Noise on exact numbers, and on the canaries behind them.
    fn noised(&mut self, stage: &Stage, exact: &[i64], truth: i64) -> Result<Vec<i64>, CannotDraw> {
        let length = exact.len();
        let low = if stage.part() == Part::Sum { -COUNT_MAX } else { 0 };
        let clamped = exact.iter().map(|number| (*number).clamp(low, COUNT_MAX));
        let canaries = std::iter::repeat_n(truth, self.mechanism.spec().canaries as usize);
        let mut numbers = Zeroizing::new(Vec::with_capacity(length + self.mechanism.spec().canaries as usize));
        numbers.extend(clamped.chain(canaries));
        let mut noisy = opendp_backend::draw(stage.noise(), stage.scale(), &numbers)?;
        let drawn = noisy.split_off(length);
        self.canaries.extend(drawn.into_iter().map(|value| Canary { part: stage.part(), truth, value }));
        Ok(noisy)
    }

    /// Keeps the keys that a noisy choice says have the most rows.
    fn choose_keys(&mut self, stage: &Stage, keys: usize) -> Result<(), CannotDraw> {
        let row_of = |key: &usize| self.cells.of(*key).first().copied().unwrap_or(0).clamp(0, COUNT_MAX);
        let scores = Zeroizing::new(self.keys.iter().map(row_of).collect::<Vec<i64>>());
        let chosen = opendp_backend::choose(stage.noise(), stage.scale(), &scores, keys.min(scores.len()), false)?;
        self.keys = chosen.iter().filter_map(|place| self.keys.get(*place).copied()).collect();
        Ok(())
    }

    fn choose_quantiles(&mut self, stage: &Stage, quantiles: &Quantiles) -> Result<(), CannotDraw> {
        for (place, key) in self.keys.iter().enumerate() {
            for share in quantiles.at() {
                let scores = Zeroizing::new(scores(self.cells.of(*key), *share));
                let chosen = opendp_backend::choose(stage.noise(), stage.scale(), &scores, 1, true)?;
                let value = chosen.first().and_then(|chosen| quantiles.candidates().at().get(*chosen));
                let value = *value.ok_or(CannotDraw::Failed)?;
                self.rows.push(NoisedRow { key: place, of: Of::Quantile(*share), value });
            }
        }
        Ok(())
    }

    /// Of private keys that were counted, the largest: that costs nothing more.
    fn keep_top(&mut self) {
        let Aggregate::Top { keys } = self.mechanism.aggregate() else { return };
        if self.mechanism.spec().min_units.is_none() {
            return;
        }
        self.rows.sort_by_key(|row| std::cmp::Reverse(row.value));
        self.rows.truncate(*keys as usize);
        self.keys = self.rows.iter().filter_map(|row| self.keys.get(row.key).copied()).collect();
        (0..).zip(&mut self.rows).for_each(|(place, row)| row.key = place);
    }

    /// Puts the rows of a key together, and names private keys.
    fn finish(self, release: ReleaseId) -> Noised {
        let Self { cells, keys, mut rows, canaries, .. } = self;
        rows.sort_by_key(|row| row.key);
        let names: Vec<Vec<String>> = keys.iter().filter_map(|key| cells.names.get(*key).cloned()).collect();
        if names.is_empty() {
            rows.iter_mut().for_each(|row| row.key = keys.get(row.key).copied().unwrap_or(usize::MAX));
        }
        Noised { release, names, rows, canaries }
    }
}

/// A number of units that reaches the threshold but once in 10^20 draws.
fn certain(stage: &Stage, threshold: Threshold) -> i64 {
    let far = (50.0 * stage.scale().as_f64()).ceil() as i64;
    i64::try_from(threshold.at).unwrap_or(COUNT_MAX).saturating_add(far).min(COUNT_MAX)
}

fn reaches(noisy: i64, threshold: Threshold) -> bool {
    u64::try_from(noisy).is_ok_and(|noisy| noisy >= threshold.at)
}

/// How far each candidate is from the share, in thousandths of rows: the
/// distance between the rows below it, weighted with the rest, and the others,
/// weighted with the share (Smith 2011; OpenDP's quantile scores).
fn scores(intervals: &[i64], share: PerMille) -> Vec<i64> {
    let (of_below, of_others) = (1000 - i64::from(share.get()), i64::from(share.get()));
    let rows: i64 = intervals.iter().map(|rows| (*rows).clamp(0, COUNT_MAX >> 12)).sum();
    let below = intervals.iter().scan(0, |below, rows| {
        *below += (*rows).clamp(0, COUNT_MAX >> 12);
        Some(*below)
    });
    let score = |below: i64| (of_below * below - of_others * (rows - below)).abs();
    let candidates = intervals.len().saturating_sub(1);
    below.take(candidates).map(score).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidates_score_is_its_distance_from_the_share() {
        // Rows below 10: 5; from 10 to 20: 3; 20 and more: 2.
        let share = |written| PerMille::parse(written).unwrap();
        assert_eq!(scores(&[5, 3, 2], share("0.5")), [0, 3000]);
        assert_eq!(scores(&[5, 3, 2], share("0.8")), [3000, 0]);
        assert_eq!(scores(&[0, 0, 0], share("0.8")), [0, 0]);
    }
}
