//! Re-deriving what receipts claim, from the receipts alone.
//!
//! Promise: no ledger, no policy, no OpenDP and no float decides here whether a
//! loss is kept: the loss follows from scale and bounds in exact integers.
//!
//! Not checked: that the noise was drawn at that scale (see the statistical
//! tests and the canaries to come), and that no receipt after the last is missing.

use std::collections::HashSet;
use std::num::NonZeroU64;

use thiserror::Error;

use super::table::{ABOVE_LOW, BELOW_HIGH, MEAN, interval, keys_are_whole, mean_interval, mean_of};
use super::{
    AnyReceipt, CanaryReceipt, Contribution, EpsilonAtDelta, LedgerReceipt, Receipt, Sensitivity, StageReceipt, Value,
    WindowReceipt, WindowStatus, local, payload_digest,
};
use crate::accountant::{Spend, Sum, spent_around};
use crate::accuracy::{Misses, half_width};
use crate::aggregate::Aggregate;
use crate::bound::ContributionBounds;
use crate::digest::Digest;
use crate::fleet::{Fleet as DeclaredFleet, Topology};
use crate::ledger::{LedgerId, ReleaseId, ids_per_person};
use crate::loss::Loss;
use crate::mechanism::{Noise, Part, Scale, Spec, loss_of};
use crate::schedule::Mark;
use crate::window::Window;

/// What verified receipts add up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainReport {
    /// How many there are.
    pub receipts: usize,
    /// Whether the first one begins its chain; if not, that earlier ones were in order is assumed.
    pub from_the_start: bool,
    /// The digest of the last, for whoever holds a later one.
    pub head: Digest,
}

/// Something that a receipt claims and that does not follow.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("receipt {at}: {what}")]
pub struct Finding {
    /// Which receipt, counted from 0.
    pub at: usize,
    /// What is wrong with it.
    pub what: Wrong,
}

/// What may be wrong with a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Wrong {
    /// It has other members than a receipt.
    #[error("it is no receipt of version 2")]
    Form,
    /// It reads the same but is written differently.
    #[error("its bytes are not canonical")]
    NotCanonical,
    /// One is missing, changed or out of place.
    #[error("it does not name the receipt before it")]
    Chain,
    /// Two chains are mixed.
    #[error("it belongs to another query than the receipt before it")]
    OtherQuery,
    /// The chains of two pods are mixed.
    #[error("it belongs to another ledger's chain than the receipt before it")]
    OtherLedger,
    /// Policy, query, window and ledger give another name.
    #[error("its release id does not follow from what it names")]
    ReleaseId,
    /// One release, published twice.
    #[error("its release was published before")]
    Repeated,
    /// The values are not the ones that were committed.
    #[error("its values have another digest")]
    Payload,
    /// The table has the wrong shape.
    #[error("its keys are not one of each")]
    Keys,
    /// The window's times contradict each other.
    #[error("its window's times contradict each other")]
    Window,
    /// The noise does not keep the loss.
    #[error("its noise does not keep the loss it claims")]
    Loss,
    /// The charge is not the loss of a person.
    #[error("its charge is not the loss of a person with that many identifiers")]
    Charge,
    /// The sensitivity is not that of bounds and aggregate.
    #[error("its sensitivity does not follow from its bounds and its aggregate")]
    Sensitivity,
    /// The draws are not those that the aggregate takes.
    #[error("its stages are not those of its aggregate")]
    Stages,
    /// The threshold lets single persons be seen.
    #[error("its threshold does not keep the delta it claims")]
    Threshold,
    /// Canaries whose noise is beyond chance, or that are not canaries.
    #[error("its canaries are further from their truth than noise carries once in 10^12")]
    Canaries,
    /// No reports have these estimates, or not so many.
    #[error("no set of so many reports has its estimates")]
    Estimates,
    /// The intervals are not those of the noise.
    #[error("its intervals do not follow from its noise")]
    Interval,
    /// The budget's sums do not hold.
    #[error("its budget does not add up")]
    Budget,
    /// A reported epsilon is not that of the loss.
    #[error("its epsilon at delta does not follow from its loss")]
    EpsilonAtDelta,
    /// The fleet's guarantee is not that of its topology, or its marks and ring contradict it.
    #[error("its fleet's guarantee does not follow from its topology")]
    Fleet,
    /// It claims a guarantee that is not given.
    #[error("it claims more than is guaranteed")]
    Overclaim,
}

/// Checks receipts of one query, in order, each by its bytes.
///
/// # Errors
/// Every finding of every receipt.
pub fn verify<B: AsRef<[u8]>>(receipts: &[B]) -> Result<ChainReport, Vec<Finding>> {
    let mut chain = Chain::default();
    for (at, bytes) in receipts.iter().enumerate() {
        chain.take(at, bytes.as_ref());
    }
    if chain.findings.is_empty() { Ok(chain.report(receipts.len())) } else { Err(chain.findings) }
}

/// What the next receipt has to agree with.
struct Link {
    digest: Digest,
    query: String,
    chain: LedgerId,
}

#[derive(Default)]
struct Chain {
    from_the_start: bool,
    last: Option<Link>,
    seen: HashSet<ReleaseId>,
    charges: Vec<(i64, Loss)>,
    findings: Vec<Finding>,
}

impl Chain {
    fn report(self, receipts: usize) -> ChainReport {
        ChainReport {
            receipts,
            from_the_start: self.from_the_start,
            head: self.last.map_or(Digest::ZERO, |last| last.digest),
        }
    }

    fn take(&mut self, at: usize, bytes: &[u8]) {
        let digest = Digest::of(bytes);
        let Ok(receipt) = AnyReceipt::from_bytes(bytes) else {
            self.findings.push(Finding { at, what: Wrong::Form });
            self.last = self.last.take().map(|last| Link { digest, ..last });
            return;
        };
        let mut wrong = match &receipt {
            AnyReceipt::Central(receipt) => alone(receipt, bytes),
            AnyReceipt::Local(receipt) => local::alone(receipt, bytes),
        };
        wrong.extend(self.in_place(&receipt));
        self.findings.extend(wrong.into_iter().map(|what| Finding { at, what }));
        self.last = Some(Link { digest, query: receipt.query().to_owned(), chain: receipt.ledger().chain });
    }

    /// What a receipt claims about those before it.
    fn in_place(&mut self, receipt: &AnyReceipt) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        match &self.last {
            None => self.from_the_start = receipt.prev_receipt() == Digest::ZERO,
            Some(last) => {
                wrong.extend((receipt.prev_receipt() != last.digest).then_some(Wrong::Chain));
                wrong.extend((receipt.query() != last.query).then_some(Wrong::OtherQuery));
                wrong.extend((receipt.ledger().chain != last.chain).then_some(Wrong::OtherLedger));
            }
        }
        wrong.extend((!self.seen.insert(receipt.release_id())).then_some(Wrong::Repeated));
        if let AnyReceipt::Central(receipt) = receipt {
            wrong.extend(self.budget(receipt).is_none().then_some(Wrong::Budget));
        }
        wrong
    }

    /// The claimed sum holds at least what the chain shows, and is within the limit.
    fn budget(&mut self, receipt: &Receipt) -> Option<()> {
        let horizon = &receipt.privacy.horizon;
        let (spent, limit, span) = (horizon.spent.loss()?, horizon.limit.loss()?, horizon.span()?);
        let start_secs = receipt.window.start.as_second();
        self.charges.push((start_secs, receipt.privacy.this_release.loss()?));
        // A budget may have changed its measure since.
        let near = self.charges.iter().filter(|(start, _)| start.abs_diff(start_secs) < span.secs());
        let spends: Option<Vec<Spend>> = near
            .map(|(start_secs, loss)| Some(Spend { start_secs: *start_secs, loss: loss.in_measure(limit.measure())? }))
            .collect();
        let shown = spent_around(&spends?, start_secs, span);
        let holds = limit.covers(spent) && shown.is_within(spent);
        holds.then_some(())
    }
}

/// What a receipt claims about itself.
fn alone(receipt: &Receipt, bytes: &[u8]) -> Vec<Wrong> {
    let checks = [
        (receipt.receipt_version == 2, Wrong::Form),
        (receipt.to_bytes() == bytes, Wrong::NotCanonical),
        (named(receipt).is_some_and(|release| release == receipt.release_id), Wrong::ReleaseId),
        (payload_digest(&receipt.values) == receipt.payload_sha256, Wrong::Payload),
        (keys_are_one_of_each(receipt), Wrong::Keys),
        (times_agree(&receipt.window), Wrong::Window),
        (loss_is_kept(receipt).is_some(), Wrong::Loss),
        (charge_follows(receipt).is_some(), Wrong::Charge),
        (stages_follow(receipt).is_some(), Wrong::Stages),
        (sensitivities_follow(receipt).is_some(), Wrong::Sensitivity),
        (thresholds_keep(receipt).is_some(), Wrong::Threshold),
        (intervals_follow(receipt).is_some(), Wrong::Interval),
        (canaries_are_plausible(receipt).is_some(), Wrong::Canaries),
        (epsilon_follows(receipt).is_some(), Wrong::EpsilonAtDelta),
        (fleet_follows(receipt), Wrong::Fleet),
        (claims_no_more(receipt), Wrong::Overclaim),
    ];
    checks.into_iter().filter(|(holds, _)| !holds).map(|(_, what)| what).collect()
}

fn named(receipt: &Receipt) -> Option<ReleaseId> {
    name_of(&receipt.policy_digest, &receipt.query, &receipt.window, receipt.ledger)
}

/// The name that a release of this window has.
pub(super) fn name_of(
    policy: &Digest,
    query: &str,
    window: &WindowReceipt,
    ledger: LedgerReceipt,
) -> Option<ReleaseId> {
    let window = Window::between(window.start, window.end)?;
    Some(ReleaseId::of(&policy.0, query, window, ledger.shard()?))
}

fn keys_are_one_of_each(receipt: &Receipt) -> bool {
    let mut seen = HashSet::new();
    let private = receipt.stages.iter().any(|stage| stage.part == Part::Select);
    (private || !receipt.values.is_empty())
        && receipt.values.iter().all(|row| row.key.len() == receipt.columns.len() && seen.insert((&row.key, &row.of)))
        && receipt.aggregate.aggregate().is_some_and(|aggregate| keys_are_whole(&aggregate, &receipt.values))
}

pub(super) fn times_agree(window: &WindowReceipt) -> bool {
    let in_order = window.start <= window.observed_from
        && window.observed_from <= window.observed_until
        && window.observed_until <= window.end;
    let (late, early) = (window.observed_from > window.start, window.observed_until < window.end);
    let late_is_marked = !late || window.marks.contains(Mark::Restart) || window.marks.contains(Mark::Drained);
    let marked = late_is_marked && (!early || window.marks.contains(Mark::Drained));
    window.start < window.end && in_order && marked && WindowStatus::of(late, early) == window.status
}

fn bounds(receipt: &Receipt) -> Option<ContributionBounds> {
    let Contribution { l0, linf, l1, .. } = receipt.privacy.contribution;
    let bounds = ContributionBounds::new(l0, linf).ok()?;
    l1.map_or(Some(bounds), |rows| bounds.with_rows_per_unit(rows).ok())
}

fn scale(stage: &StageReceipt) -> Option<Scale> {
    stage.scale.parse().ok()
}

fn moved(stage: &StageReceipt) -> Option<NonZeroU64> {
    let (Sensitivity::L1(moved)
    | Sensitivity::L2Squared(moved)
    | Sensitivity::Range(moved)
    | Sensitivity::RangeSquared(moved)) = stage.sensitivity;
    NonZeroU64::new(moved)
}

/// Each stage keeps its share, and the shares add up to what is claimed.
fn loss_is_kept(receipt: &Receipt) -> Option<()> {
    let claimed = receipt.privacy.per_identifier.loss()?;
    let mut sum = Sum::default();
    for stage in &receipt.stages {
        let (share, exact) = (stage.loss.loss()?, loss_of(stage.noise, scale(stage)?, moved(stage)?)?);
        let kept = share.measure() == claimed.measure() && share.covers(exact);
        sum = kept.then(|| sum.and(share))?;
    }
    (claimed.measure() == receipt.privacy.measure && sum.is_within(claimed)).then_some(())
}

/// What its mechanism was calibrated for, as it says.
fn spec(receipt: &Receipt) -> Option<Spec> {
    Some(Spec {
        aggregate: receipt.aggregate.aggregate()?,
        bounds: bounds(receipt)?,
        noise: receipt
            .stages
            .iter()
            .map(|stage| stage.noise)
            .find(|noise| Noise::named(noise.name()).is_some())
            .unwrap_or(Noise::DiscreteLaplace),
        loss: receipt.privacy.per_identifier.loss()?,
        min_units: receipt.stages.iter().find_map(|stage| stage.threshold).map(|threshold| threshold.min_units),
        ids_per_person: ids_per_person(receipt.privacy.ids_per_person)?,
        canaries: 0,
    })
}

/// The stages are those that a mechanism for this aggregate, with this noise
/// and these keys, would have.
fn stages_follow(receipt: &Receipt) -> Option<()> {
    let expected = spec(receipt)?.parts().into_iter().map(|(part, _)| part);
    receipt.stages.iter().map(|stage| stage.part).eq(expected).then_some(())
}

fn sensitivities_follow(receipt: &Receipt) -> Option<()> {
    let spec = spec(receipt)?;
    let follows = |stage: &StageReceipt| {
        let expected = stage.part.sensitivity(stage.noise, &spec);
        expected.is_some_and(|moved| stage.sensitivity == Sensitivity::new(stage.noise, moved.get()))
    };
    receipt.stages.iter().all(follows).then_some(())
}

fn thresholds_keep(receipt: &Receipt) -> Option<()> {
    let (bounds, ids) = (bounds(receipt)?, ids_per_person(receipt.privacy.ids_per_person)?);
    let keeps = |stage: &StageReceipt| match (stage.part, stage.threshold) {
        (Part::Select, Some(threshold)) => scale(stage)
            .and_then(|scale| threshold.delta_pico(stage.noise, scale, bounds.keys_per_unit(), ids))
            .is_some_and(|delta| delta <= stage.loss.delta_pico),
        (Part::Select, None) => false,
        (_, threshold) => threshold.is_none() && stage.loss.delta_pico == 0,
    };
    receipt.stages.iter().all(keeps).then_some(())
}

fn charge_follows(receipt: &Receipt) -> Option<()> {
    let ids = ids_per_person(receipt.privacy.ids_per_person)?;
    let times = NonZeroU64::new(receipt.privacy.fleet.charged_times)?;
    let person = receipt.privacy.per_identifier.loss()?.for_person(ids)?.times(times)?;
    (receipt.privacy.this_release.loss() == Some(person)).then_some(())
}

/// The noise that intervals follow from, as the stages claim it.
fn reach(receipt: &Receipt, parts: &[Part], misses: Misses) -> Option<u64> {
    let stage = receipt.stages.iter().find(|stage| parts.contains(&stage.part))?;
    half_width(stage.noise, scale(stage)?, misses)
}

fn intervals_follow(receipt: &Receipt) -> Option<()> {
    const COUNTED: [Part; 3] = [Part::Count, Part::Units, Part::Histogram];
    let counts =
        reach(receipt, &COUNTED, Misses::OneInTwenty).or_else(|| reach(receipt, &[Part::Select], Misses::OneInTwenty));
    let sums = reach(receipt, &[Part::Sum, Part::Mean], Misses::OneInTwenty);
    let stated = |stage: &StageReceipt| {
        scale(stage).is_some_and(|scale| stage.half_width == half_width(stage.noise, scale, Misses::OneInTwenty))
    };
    let follows = |row: &Value| {
        let expected = match row.of.as_str() {
            "count" | "units" => counts.map(|half_width| interval(row.value, half_width)),
            "sum" | ABOVE_LOW | BELOW_HIGH => sums.map(|half_width| interval(row.value, half_width)),
            MEAN => return mean_follows(receipt, row),
            _ => None,
        };
        row.ci95 == expected
    };
    let all = receipt.stages.iter().all(stated) && receipt.values.iter().all(follows);
    let nonneg = receipt.values.iter().all(|row| row.value_nonneg.is_none_or(|shown| shown == row.value.max(0)));
    (receipt.accuracy.ci == "0.95" && all && nonneg).then_some(())
}

fn mean_follows(receipt: &Receipt, mean: &Value) -> bool {
    let drawn = |of: &str| receipt.values.iter().find(|row| row.key == mean.key && row.of == of).map(|row| row.value);
    let half_width = reach(receipt, &[Part::Mean], Misses::OneInForty);
    let (Some(Aggregate::Mean(clamp)), Some(above_low), Some(below_high), Some(half_width)) =
        (receipt.aggregate.aggregate(), drawn(ABOVE_LOW), drawn(BELOW_HIGH), half_width)
    else {
        return false;
    };
    let sums = [above_low, below_high];
    mean_of(clamp, sums) == Some(mean.value) && mean.ci95 == Some(mean_interval(clamp, sums, half_width))
}

/// Noise beyond thirty scales, or eight deviations of Gauss, is no chance.
fn canaries_are_plausible(receipt: &Receipt) -> Option<()> {
    let plausible = |canary: &CanaryReceipt| {
        let stage = receipt.stages.iter().find(|stage| stage.part == canary.of);
        let reach = stage.and_then(|stage| Some((stage.noise, scale(stage)?.as_f64())));
        let far = canary.value.abs_diff(canary.truth) as f64;
        reach.is_some_and(|(noise, scale)| match noise {
            Noise::DiscreteLaplace => far <= 30.0 * scale + 1.0,
            Noise::DiscreteGaussian => far <= 8.0 * scale + 1.0,
            Noise::Exponential | Noise::Gumbel => false,
        })
    };
    receipt.canaries.iter().all(plausible).then_some(())
}

fn epsilon_follows(receipt: &Receipt) -> Option<()> {
    let spent: Loss = receipt.privacy.horizon.spent.loss()?;
    (receipt.privacy.horizon.epsilon_at_delta == EpsilonAtDelta::new(spent.measure(), Sum::default().and(spent)))
        .then_some(())
}

/// Composition, words and ring are those of the topology. A unit of a ring that
/// changed may have been counted by two shards, so such a window is charged twice.
fn fleet_follows(receipt: &Receipt) -> bool {
    let (fleet, marks) = (&receipt.privacy.fleet, receipt.window.marks);
    let declared = match fleet.topology {
        Topology::PerPod => DeclaredFleet::per_pod(fleet.charged_times),
        Topology::UserSharded => Some(DeclaredFleet::UserSharded),
    };
    let through_changes = fleet.topology == Topology::UserSharded && fleet.charged_times > 1;
    let guarantee = declared.map(|declared| declared.guarantee(through_changes));
    let shares = fleet.topology == Topology::UserSharded;
    guarantee.is_some_and(|guarantee| {
        guarantee.multiplier.get() == fleet.charged_times
            && guarantee.composition == fleet.composition
            && guarantee.text() == fleet.guarantee
    }) && fleet.ring.is_some() == shares
        && (!marks.contains(Mark::RingChanged) || through_changes)
}

fn claims_no_more(receipt: &Receipt) -> bool {
    let privacy = &receipt.privacy;
    !privacy.covers_withholding
        && !receipt.window.marks.contains(Mark::Shed)
        && privacy.contribution.stability == 1
        && privacy.side_information.iter().any(|channel| channel == "enforcement_log")
}
