//! What releases lose together, by each way to add it up.
//!
//! Promise: every figure is an upper bound and holds alone; so does the least of them.
//!
//! Not here: what the ledger charges ([`super::Sum`]). A report explains a
//! budget and never widens one.

use std::num::NonZeroU64;

use super::plain;
use super::pld::{Event, NoPld, Pld};
use super::release::Release;
use crate::loss::{Delta, decimal_of};

/// The epsilon at one delta, by each accountant. `None` is no bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Epsilons {
    /// The delta that they hold at.
    pub delta: Delta,
    /// The sum of epsilons.
    pub basic: Option<f64>,
    /// The epsilon of the sum of rhos.
    pub zcdp: Option<f64>,
    /// The epsilon of the sum of Renyi divergences.
    pub renyi: Option<f64>,
    /// The least that these sums give, also of the epsilons of some and the divergences of others.
    pub plain: Option<f64>,
    /// By the distribution of losses.
    pub pld: Option<f64>,
}

/// A table of epsilons.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// One row for each delta that was asked for.
    pub rows: Vec<Epsilons>,
    /// Why there is no figure by distribution; the others stand.
    pub no_pld: Option<NoPld>,
}

impl Report {
    /// What `list` loses at each of `deltas`.
    ///
    /// Takes some milliseconds for each kind of release, and memory for its few
    /// thousand cells; at most [`KINDS_MAX`] kinds are composed by distribution.
    #[must_use]
    pub fn of(list: &[Release], deltas: &[Delta]) -> Self {
        let (distribution, no_pld) = match Distribution::of(list) {
            Ok(distribution) => (Some(distribution), None),
            Err(why) => (None, Some(why)),
        };
        let row = |delta: &Delta| {
            let share = delta.pico() as f64 * 1e-12;
            Epsilons {
                delta: *delta,
                basic: plain::basic(list, share),
                zcdp: plain::zcdp(list, share),
                renyi: plain::renyi(list, share),
                plain: plain::epsilon(list, share),
                pld: distribution.as_ref().and_then(|distribution| distribution.epsilon_at(share)),
            }
        };
        Self { rows: deltas.iter().map(row).collect(), no_pld }
    }
}

impl Epsilons {
    /// The least of them.
    #[must_use]
    pub fn least(&self) -> Option<f64> {
        [self.plain, self.pld].into_iter().flatten().reduce(f64::min)
    }
}

/// Writes an epsilon as a decimal, rounded up to four digits; `none` where there is no bound.
#[must_use]
pub fn decimal(epsilon: Option<f64>) -> String {
    match epsilon.map(|epsilon| (epsilon * 1e4).ceil()) {
        Some(units) if units < u64::MAX as f64 => decimal_of(units as u64, 4),
        _ => "none".to_owned(),
    }
}

/// How many kinds of release are composed by distribution: some seconds at most.
pub const KINDS_MAX: usize = 1024;

/// The distribution of those that have one, and the rho of the others.
struct Distribution {
    known: Option<Pld>,
    rho: f64,
    failing: f64,
}

impl Distribution {
    fn of(list: &[Release]) -> Result<Self, NoPld> {
        let (concentrated, known): (Vec<Release>, Vec<Release>) =
            list.iter().partition(|release| matches!(release.event, Event::Concentrated { .. }));
        let (failing, known): (Vec<Release>, Vec<Release>) =
            known.into_iter().partition(|release| matches!(release.event, Event::Failing { .. }));
        let plds = kinds(known).into_iter().map(|(event, times)| Pld::of(&event)?.times(times));
        let plds = plds.take(KINDS_MAX + 1).collect::<Result<Vec<_>, _>>()?;
        if plds.len() > KINDS_MAX {
            return Err(NoPld::TooMany);
        }
        Ok(Self {
            known: if plds.is_empty() { None } else { Some(Pld::of_all(plds)?) },
            rho: concentrated.iter().map(|release| release.event.rho() * release.times.get() as f64).sum(),
            failing: plain::failing(&failing),
        })
    }

    /// The sum of both epsilons, each at its share of delta (basic composition); the best of some shares.
    fn epsilon_at(&self, delta: f64) -> Option<f64> {
        let left = delta - self.failing;
        let Some(known) = &self.known else { return plain::concentrated_epsilon(self.rho, left) };
        if self.rho == 0.0 {
            return known.epsilon_at(left);
        }
        let shared = |hundredths: u32| {
            let share = f64::from(hundredths) / 100.0;
            let rest = plain::concentrated_epsilon(self.rho * (1.0 + 1e-9), left * (1.0 - share))?;
            Some(known.epsilon_at(left * share)? + rest)
        };
        [1, 10, 25, 50, 75, 90, 99].into_iter().filter_map(shared).reduce(f64::min)
    }
}

/// Equal events together, in an order that does not depend on the list's.
fn kinds(mut list: Vec<Release>) -> Vec<(Event, NonZeroU64)> {
    list.sort_unstable();
    let same = list.chunk_by(|one, other| one.event == other.event);
    same.filter_map(|same| {
        let times = same.iter().map(|release| release.times.get()).fold(0, u64::saturating_add);
        Some((same.first()?.event, NonZeroU64::new(times)?))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(number: u64) -> NonZeroU64 {
        NonZeroU64::new(number).unwrap()
    }

    fn hourly(times: u64) -> Release {
        let event = Event::DiscreteLaplace { scale: "100".parse().unwrap(), shift: count(1) };
        Release { event, times: count(times) }
    }

    fn rho(nano: u64) -> Release {
        Release { event: Event::Concentrated { rho_nano: count(nano) }, ..hourly(1) }
    }

    #[test]
    fn a_year_of_hours_is_tighter_by_distribution() {
        let report = Report::of(&[hourly(8760)], &[Delta::REPORTED, Delta::from_pico(1_000_000).unwrap()]);
        assert_eq!(report.no_pld, None);
        for row in &report.rows {
            assert!(row.pld < row.zcdp && row.zcdp < row.basic);
            assert!(row.plain <= row.zcdp && row.least() == row.pld);
        }
        assert!(report.rows.first().unwrap().pld > report.rows.last().unwrap().pld);
    }

    #[test]
    fn a_list_in_another_order_or_in_parts_is_the_same() {
        let other = Release { event: Event::Pure { epsilon_nano: count(30_000_000) }, ..hourly(7) };
        let report = |list: &[Release]| Report::of(list, &[Delta::REPORTED]).rows.first().unwrap().pld;
        assert_eq!(report(&[hourly(500), other]), report(&[other, hourly(200), hourly(300)]));
    }

    #[test]
    fn what_only_has_a_rho_is_added_to_what_has_a_distribution() {
        let of = |list: &[Release]| Report::of(list, &[Delta::REPORTED]).rows.first().unwrap().pld.unwrap();
        assert!(of(&[hourly(500), rho(1_000_000)]) > of(&[hourly(500)]));
        assert!(of(&[hourly(500), rho(1_000_000)]) < of(&[hourly(500)]) + of(&[rho(1_000_000)]) * 1.3);
    }

    #[test]
    fn what_has_no_distribution_leaves_the_sums() {
        let wide = Event::DiscreteGaussian { scale: "200000".parse().unwrap(), shift: count(1) };
        let report = Report::of(&[Release { event: wide, ..hourly(1) }], &[Delta::REPORTED]);
        assert_eq!(report.no_pld, Some(NoPld::TooWide));
        let row = report.rows.first().unwrap();
        assert!(row.pld.is_none() && row.least() <= row.zcdp && row.zcdp.is_some());
    }

    #[test]
    fn decimals_round_up() {
        assert_eq!(decimal(Some(0.10001)), "0.1001");
        assert_eq!(decimal(Some(3.0)), "3");
        assert_eq!(decimal(None), "none");
        assert_eq!(decimal(Some(f64::INFINITY)), "none");
    }
}
