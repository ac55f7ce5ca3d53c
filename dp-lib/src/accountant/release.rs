//! The releases of a query, as accountants count them.
//!
//! Promise: what is listed loses no less than a person may lose, who holds as many
//! identifiers as the query allows. Where it is not known which move of the person
//! is the worst, the stage's declared loss stands for it.

use std::num::NonZeroU64;

use super::pld::Event;
use crate::aggregate::Aggregate;
use crate::loss::Measure;
use crate::mechanism::{Noise, Part, Stage};
use crate::query::Query;

/// Releases of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    /// What one of them loses, or one of its keys.
    pub event: Event,
    /// How many of them there are. A table of which a person moves several keys by
    /// as much is as many releases (see [`super::pld::Event`]).
    pub times: NonZeroU64,
}

impl Release {
    /// What a person loses in so many releases of a query; `None` beyond counting.
    #[must_use]
    pub fn all_of(query: &Query, releases: NonZeroU64) -> Option<Vec<Self>> {
        let stages = query.mechanism.stages().iter();
        let listed = stages.map(|stage| {
            let (event, keys) = event_of(query, stage)?;
            let times = keys.checked_mul(releases)?;
            let failing = NonZeroU64::new(stage.loss().delta_pico())
                .map(|delta_pico| Self { event: Event::Failing { delta_pico }, times: releases });
            Some([Some(Self { event, times }), failing])
        });
        Some(listed.collect::<Option<Vec<_>>>()?.into_iter().flatten().flatten().collect())
    }
}

/// What one release of a stage loses, and how many keys lose it.
fn event_of(query: &Query, stage: &Stage) -> Option<(Event, NonZeroU64)> {
    let ids = query.ids_per_person;
    match (stage.noise(), keys_alike(query, stage)) {
        (Noise::DiscreteLaplace, Some((shift, keys))) => {
            Some((Event::DiscreteLaplace { scale: stage.scale(), shift }, keys))
        }
        (Noise::DiscreteGaussian, Some((shift, keys))) => {
            Some((Event::DiscreteGaussian { scale: stage.scale(), shift }, keys))
        }
        // All that a person moves, in one key.
        (Noise::DiscreteLaplace, None) => {
            let shift = stage.sensitivity().checked_mul(ids)?;
            Some((Event::DiscreteLaplace { scale: stage.scale(), shift }, NonZeroU64::MIN))
        }
        _ => Some((declared(stage, ids)?, NonZeroU64::MIN)),
    }
}

/// Its declared loss, of a person.
fn declared(stage: &Stage, ids: NonZeroU64) -> Option<Event> {
    let loss = stage.loss().for_person(ids)?;
    let nano = NonZeroU64::new(loss.nano())?;
    Some(match loss.measure() {
        Measure::Pure => Event::Pure { epsilon_nano: nano },
        Measure::Zcdp => Event::Concentrated { rho_nano: nano },
    })
}

/// By how much the worst person moves each of how many keys; `None` where that
/// is not known: several identifiers may meet in a key or not, a bound on all rows
/// together leaves open how they spread over keys, and so does a histogram's key over
/// its intervals. And where it is known, their sensitivity is the declared one.
fn keys_alike(query: &Query, stage: &Stage) -> Option<(NonZeroU64, NonZeroU64)> {
    let bounds = query.bounds();
    if query.ids_per_person.get() > 1 || bounds.rows_per_unit().is_some() {
        return None;
    }
    let rows = u64::from(bounds.rows_per_key());
    let shift = match (stage.part(), query.aggregate()) {
        (Part::Select | Part::Units, _) => 1,
        (Part::Count, _) => rows,
        (Part::Sum, Aggregate::Sum(clamp)) => rows.checked_mul(clamp.reach())?,
        // For Laplace noise a shift in one place is no better than its parts in two.
        (Part::Mean, Aggregate::Mean(clamp)) if stage.noise() == Noise::DiscreteLaplace => {
            rows.checked_mul(clamp.width())?
        }
        _ => return None,
    };
    let of_a_key = match stage.noise() {
        Noise::DiscreteLaplace => shift,
        Noise::DiscreteGaussian => shift.checked_mul(shift)?,
        Noise::Exponential | Noise::Gumbel => return None,
    };
    let moved = stage.sensitivity().get();
    let keys = moved.checked_div(of_a_key).filter(|keys| keys.checked_mul(of_a_key) == Some(moved))?;
    Some((NonZeroU64::new(shift)?, NonZeroU64::new(keys)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::Clamp;
    use crate::bound::ContributionBounds;
    use crate::loss::Loss;
    use crate::mechanism::{Mechanism, Spec};

    fn count(number: u64) -> NonZeroU64 {
        NonZeroU64::new(number).unwrap()
    }

    fn loss(noise: Noise) -> Loss {
        Loss::from_nano(noise.measure(), 200_000_000).unwrap()
    }

    fn listed(noise: Noise, aggregate: Aggregate, bounds: ContributionBounds, ids: u64) -> Vec<Release> {
        let mut query = crate::query::tests::query("q", 1, 1);
        query.ids_per_person = count(ids);
        let spec = Spec { ids_per_person: count(ids), ..Spec::of(aggregate, bounds, noise, loss(noise)) };
        query.mechanism = Mechanism::calibrate(spec).unwrap();
        Release::all_of(&query, count(30)).unwrap()
    }

    fn shift_of(event: Event) -> u64 {
        match event {
            Event::DiscreteLaplace { shift, .. } | Event::DiscreteGaussian { shift, .. } => shift.get(),
            Event::Pure { .. } | Event::Concentrated { .. } | Event::Failing { .. } => 0,
        }
    }

    #[test]
    fn keys_that_move_alike_are_a_release_each() {
        let bounds = ContributionBounds::new(4, 3).unwrap();
        for noise in [Noise::DiscreteLaplace, Noise::DiscreteGaussian] {
            let one = |aggregate| listed(noise, aggregate, bounds, 1).first().copied().unwrap();
            let counts = one(Aggregate::Count);
            assert_eq!((shift_of(counts.event), counts.times.get()), (3, 120));
            let sums = one(Aggregate::Sum(Clamp::new(-2, 5, 0).unwrap()));
            assert_eq!((shift_of(sums.event), sums.times.get()), (15, 120));
            let means = one(Aggregate::Mean(Clamp::new(-2, 5, 0).unwrap()));
            let expected = if noise == Noise::DiscreteLaplace { (21, 120) } else { (0, 30) };
            assert_eq!((shift_of(means.event), means.times.get()), expected);
            let units = one(Aggregate::Units);
            assert_eq!((shift_of(units.event), units.times.get()), (1, 120));
        }
    }

    #[test]
    fn what_may_move_in_many_ways_counts_as_its_worst() {
        let bounds = ContributionBounds::new(4, 3).unwrap();
        let fewer = bounds.with_rows_per_unit(5).unwrap();
        for (bounds, ids, shift) in [(fewer, 1, 5), (bounds, 2, 24)] {
            let laplace = listed(Noise::DiscreteLaplace, Aggregate::Count, bounds, ids);
            let one = laplace.first().unwrap();
            assert_eq!((shift_of(one.event), one.times.get()), (shift, 30));
            let gaussian = listed(Noise::DiscreteGaussian, Aggregate::Count, bounds, ids);
            let rho = gaussian.first().unwrap().event.rho();
            assert!((rho - 0.2 * (ids * ids) as f64).abs() < 1e-6, "{rho}");
        }
    }
}
