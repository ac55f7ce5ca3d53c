//! The decoder: reports to counters, counters to estimates.
//!
//! Promise: a decoder holds one counter of 32 bits for each answer or point,
//! however many reports it takes, and no report. An estimate is unbiased; its
//! standard error and its interval tell of the noise.
//!
//! Not here: publishing, and what senders who lie may do to an estimate.

#[cfg(test)]
mod accuracy;
mod incidence;

use alloc::vec;
use alloc::vec::Vec;

use crate::base64url;
use crate::coin::Coin;
use crate::epsilon::{Epsilon, ONE};
use crate::projective::Space;
use crate::randomizer::{CannotAsk, Kind, Method, Randomizer};
use crate::report::{NotAReport, REPORT_BYTES_MAX, REPORT_TEXT_MAX, Said, read};

/// How many standard errors a normal estimate stays within, 95 times in 100.
pub const STANDARD_ERRORS: f64 = 1.959_963_984_540_054;

/// How many of the counted reports answered so, as far as their noise tells.
///
/// In people, where each sent one report. The count is the nearest double to
/// an exact fraction of integers, up to three roundings. It may be below zero
/// or above the number of reports: cutting it there would bias every sum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The estimated number of reports.
    pub count: f64,
    /// The same to the nearest whole number, from integers alone.
    pub whole: i64,
    /// The standard error of that number, at the count estimated.
    pub standard_error: f64,
    /// The lower end of the 95 % interval, by the normal approximation: for
    /// ten reports it is a guess, for a thousand it holds.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// Counts the reports of one question.
#[derive(Clone, Debug)]
pub struct Decoder {
    randomizer: Randomizer,
    counters: Vec<u32>,
    reports: u32,
}

impl Decoder {
    /// A decoder of a question's reports, as the devices' [`Randomizer`] was
    /// declared. It takes 4 bytes an answer; projective: 4 a point, of which
    /// there are at most 2^23.
    ///
    /// # Errors
    /// Those of [`Randomizer::new`].
    pub fn new(method: Method, answers: u32, epsilon: Epsilon) -> Result<Self, CannotAsk> {
        let randomizer = Randomizer::new(method, answers, epsilon)?;
        Ok(Self::of(randomizer))
    }

    /// The same, of a randomizer that is there.
    #[must_use]
    pub fn of(randomizer: Randomizer) -> Self {
        Self { randomizer, counters: vec![0; randomizer.counters() as usize], reports: 0 }
    }

    /// Counts one report, given as bytes.
    ///
    /// # Errors
    /// Whatever is no report of this question; then nothing is counted.
    pub fn take(&mut self, report: &[u8]) -> Result<(), NotAReport> {
        let said = read(report, &self.randomizer)?;
        self.reports = self.reports.checked_add(1).ok_or(NotAReport::Full)?;
        // A counter is never above the number of reports, which fits.
        change(&mut self.counters, &said, |counter| counter.saturating_add(1));
        Ok(())
    }

    /// Counts one report, given as text.
    ///
    /// # Errors
    /// As [`Decoder::take`], and text that is not base64url without padding.
    pub fn take_text(&mut self, report: &str) -> Result<(), NotAReport> {
        let mut bytes = [0; REPORT_BYTES_MAX];
        self.take(bytes_of(report, &mut bytes)?)
    }

    /// Takes back one report that was counted, given as bytes: its person
    /// withdrew. The decoder keeps no reports, so it is the caller who knows
    /// that this one was counted.
    ///
    /// # Errors
    /// Whatever is no report of this question, and what cannot have been counted.
    pub fn remove(&mut self, report: &[u8]) -> Result<(), NotAReport> {
        let said = read(report, &self.randomizer)?;
        let fewer = self.reports.checked_sub(1).ok_or(NotAReport::NotCounted)?;
        let mut counted = true;
        change(&mut self.counters, &said, |counter| {
            counted &= counter > 0;
            counter
        });
        if !counted {
            return Err(NotAReport::NotCounted);
        }
        self.reports = fewer;
        change(&mut self.counters, &said, |counter| counter.saturating_sub(1));
        Ok(())
    }

    /// Takes back one report, given as text.
    ///
    /// # Errors
    /// As [`Decoder::remove`], and text that is not base64url without padding.
    pub fn remove_text(&mut self, report: &str) -> Result<(), NotAReport> {
        let mut bytes = [0; REPORT_BYTES_MAX];
        self.remove(bytes_of(report, &mut bytes)?)
    }

    /// How many reports are counted.
    #[must_use]
    pub const fn reports(&self) -> u32 {
        self.reports
    }

    /// What one report tells at most.
    #[must_use]
    pub const fn epsilon(&self) -> Epsilon {
        self.randomizer.epsilon()
    }

    /// An estimate for each answer, in their order.
    ///
    /// Projective: takes time in proportion to t q points, at most 2^27 t steps.
    #[must_use]
    pub fn estimates(&self) -> Vec<Estimate> {
        let answers = self.randomizer.answers() as usize;
        let channel = self.randomizer.channel();
        let estimate = |hits| channel.estimate(hits, self.reports);
        match self.randomizer.kind() {
            Kind::Kary(_) | Kind::Unary(_) => self.counters.iter().copied().map(estimate).collect(),
            Kind::Projective(projective) => {
                let hits = incidence::near_counts(&self.counters, &projective.space);
                hits.into_iter().take(answers).map(estimate).collect()
            }
        }
    }

    /// The standard error that an estimate will have, of an answer that
    /// `holders` of `reports` give: to plan with, before there is a report.
    #[must_use]
    pub fn standard_error(&self, holders: u32, reports: u32) -> f64 {
        self.randomizer.standard_error(holders, reports)
    }
}

/// What follows for whoever decodes.
impl Randomizer {
    /// How many counters of 4 bytes a [`Decoder`] of its reports holds.
    #[must_use]
    pub fn counters(&self) -> u32 {
        self.numbers().unwrap_or(self.answers())
    }

    /// The standard error of an estimate, of an answer that `holders` of
    /// `reports` give. The same bits on every machine: sums, products and
    /// quotients of doubles, and a root of integers.
    #[must_use]
    pub fn standard_error(&self, holders: u32, reports: u32) -> f64 {
        self.channel().standard_error(f64::from(holders), f64::from(reports))
    }

    /// How many of `reports` hit an answer whose whole estimate this is;
    /// `None` where no number of hits gives it, so that nobody decoded it.
    ///
    /// There is one at most: a hit more moves an estimate by more than one.
    #[must_use]
    pub fn hits_behind(&self, whole: i64, reports: u32) -> Option<u32> {
        let channel = self.channel();
        let guess = channel.hits_near(whole, reports);
        (guess.saturating_sub(1)..=guess.saturating_add(1))
            .filter_map(|hits| u32::try_from(hits).ok())
            .find(|hits| *hits <= reports && channel.whole(*hits, reports) == whole)
    }

    fn channel(&self) -> Channel {
        match self.kind() {
            Kind::Kary(kary) => Channel::of_kary(kary.truthful, kary.answers),
            Kind::Unary(unary) => Channel::of_unary(unary.own, unary.other),
            Kind::Projective(projective) => Channel::of_projective(projective.near, &projective.space),
        }
    }
}

fn bytes_of<'a>(text: &str, bytes: &'a mut [u8; REPORT_BYTES_MAX]) -> Result<&'a [u8], NotAReport> {
    if text.len() > REPORT_TEXT_MAX {
        return Err(NotAReport::Length);
    }
    let length = base64url::read(text.as_bytes(), bytes).ok_or(NotAReport::Text)?;
    bytes.get(..length).ok_or(NotAReport::Length)
}

/// Puts in place of every counter that a report speaks of what `new` makes of it.
fn change(counters: &mut [u32], said: &Said<'_>, mut new: impl FnMut(u32) -> u32) {
    match said {
        Said::Number(number) => {
            counters.get_mut(*number as usize).into_iter().for_each(|counter| *counter = new(*counter));
        }
        Said::Bits(bits) => {
            for (counters, byte) in counters.chunks_mut(8).zip(*bits) {
                let set = counters.iter_mut().enumerate().filter(|(bit, _)| byte >> bit & 1 == 1);
                set.for_each(|(_, counter)| *counter = new(*counter));
            }
        }
    }
}

/// What a report of an answer hits, and how often one of another answer does,
/// in so many of `whole` cases. Whole numbers, below 2^88.
#[derive(Clone, Copy)]
struct Channel {
    own: u128,
    other: u128,
    whole: u128,
}

impl Channel {
    fn of_kary(truthful: Coin, answers: u32) -> Self {
        let others = u128::from(answers - 1);
        Self { own: truthful.yes() * others, other: truthful.no(), whole: ONE * others }
    }

    fn of_unary(own: Coin, other: Coin) -> Self {
        Self { own: own.yes(), other: other.yes(), whole: ONE }
    }

    /// Of another answer's near points, (near - 1)/q are near this one, and of
    /// its far points one in q: its probability is
    /// P (near - 1)/(q near) + (1 - P)/q = (near - P)/(q near).
    fn of_projective(coin: Coin, space: &Space) -> Self {
        let near = u128::from(space.near());
        let spread = near * u128::from(space.prime);
        Self { own: coin.yes() * spread, other: near * ONE - coin.yes(), whole: spread * ONE }
    }

    /// (hits - reports P(other)) / (P(own) - P(other)): unbiased, for it is
    /// linear in hits. Both numerators are exact; 2^32 reports keep them below 2^120.
    fn estimate(&self, hits: u32, reports: u32) -> Estimate {
        let count = self.above(hits, reports) as f64 / self.lead() as f64;
        let standard_error = self.standard_error(count, f64::from(reports));
        let reach = STANDARD_ERRORS * standard_error;
        let whole = self.whole(hits, reports);
        Estimate { count, whole, standard_error, low: count - reach, high: count + reach }
    }

    const fn lead(&self) -> i128 {
        (self.own - self.other).cast_signed()
    }

    fn above(&self, hits: u32, reports: u32) -> i128 {
        (u128::from(hits) * self.whole).cast_signed() - (u128::from(reports) * self.other).cast_signed()
    }

    /// The estimate to the nearest whole number, halves upwards. It is below
    /// 2^32 times 1/(P(own) - P(other)), which is less than 2^31.
    fn whole(&self, hits: u32, reports: u32) -> i64 {
        (2 * self.above(hits, reports) + self.lead()).div_euclid(2 * self.lead()) as i64
    }

    /// A number of hits, next to the one whose estimate this is if there is one.
    fn hits_near(&self, whole: i64, reports: u32) -> i64 {
        // What no report can make may saturate: it is worked out again and seen to differ.
        let lead = i128::from(whole).saturating_mul(self.lead());
        lead.saturating_add((u128::from(reports) * self.other).cast_signed()).div_euclid(self.whole.cast_signed())
            as i64
    }

    /// Hits are a sum of two binomials: of those who answered so, as far as
    /// there can be so many, and of those who did not.
    fn standard_error(&self, count: f64, reports: f64) -> f64 {
        let (own, other) = (self.own as f64 / self.whole as f64, self.other as f64 / self.whole as f64);
        let holders = count.clamp(0.0, reports);
        let variance = holders * own * (1.0 - own) + (reports - holders) * other * (1.0 - other);
        root(variance / ((own - other) * (own - other)))
    }
}

/// The square root, rounded up to the next 2^-20: `core` has none for floats.
/// A variance is below 2^84, which leaves 44 bits of the 128 for the point.
fn root(variance: f64) -> f64 {
    const SCALE: f64 = 1_099_511_627_776.0;
    const ROOT_OF_SCALE: f64 = 1_048_576.0;
    let scaled = (variance * SCALE) as u128;
    let below = scaled.isqrt();
    (below + u128::from(below * below < scaled)) as f64 / ROOT_OF_SCALE
}
