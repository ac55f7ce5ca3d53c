//! Receipts: what a release says about itself.
//!
//! Promise: each published table is inside its receipt, with what it cost,
//! what is left, how the noise was drawn, how far it reaches and what the
//! guarantee does not cover. A receipt names the digest of the one before it,
//! so a missing one shows. Its bytes are canonical: keys sorted, no spaces, no
//! floats (RFC 8785's form, whose other rules these documents do not need).
//!
//! Not here: true values, noise, seeds, or how many events were left out.

mod any;
mod crowd;
mod local;
mod table;
mod verify;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::accountant::{Budget, Sum};
use crate::accuracy::{Misses, half_width};
use crate::aggregate::{Aggregate, Clamp, Edges, PerMille, Quantiles};
use crate::calendar::Zone;
use crate::digest::Digest;
use crate::fleet::{Composition, RingPlace, Topology};
use crate::ledger::{BookStore, Books, Charged, LedgerId, ReleaseId, Shard};
use crate::loss::{Delta, Loss, Measure, decimal_of};
use crate::mechanism::{Canary, Noise, Noised, OPENDP_VERSION, Part, RNG, Stage, Threshold};
use crate::query::Query;
use crate::schedule::{EventTime, Marks, Schedule, Tiling};
use crate::window::{Circumstances, PolicyDigest, Span, Window};
pub use any::AnyReceipt;
pub use crowd::{Crowd, Crowded, verify_fleet};
pub use local::{LocalFacts, LocalPrivacy, LocalReceipt, QuestionReceipt, name_of_method};
pub use verify::{ChainReport, Finding, verify};

/// The receipt of one release; the published values are in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// 2.
    pub receipt_version: u32,
    /// The release's name, from policy, query, window and ledger.
    pub release_id: ReleaseId,
    /// What paid for it, and which part of the window it is.
    pub ledger: LedgerReceipt,
    /// The digest of the receipt before it in this query's chain; zeros for the first.
    pub prev_receipt: Digest,
    /// The export's name.
    pub query: String,
    /// The policy that its events were decided under.
    pub policy_digest: Digest,
    /// The window.
    pub window: WindowReceipt,
    /// The guarantee.
    pub privacy: Privacy,
    /// What was measured.
    pub aggregate: AggregateReceipt,
    /// The draws, in order.
    pub stages: Vec<StageReceipt>,
    /// What intervals cover.
    pub accuracy: Accuracy,
    /// The grouping columns, in the order of every value's key; a histogram's
    /// intervals are the last one.
    pub columns: Vec<String>,
    /// The published table.
    pub values: Vec<Value>,
    /// Cells of publicly known truth, with noise from the same draws.
    pub canaries: Vec<CanaryReceipt>,
    /// The digest of the canonical bytes of `values`.
    pub payload_sha256: Digest,
    /// Who drew the noise.
    pub engine: Engine,
}

/// The ledger that a release was paid from. Two pods never have one file, nor one
/// opening of a shared ledger, so no two releases have one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerReceipt {
    /// The ledger that was charged.
    pub id: LedgerId,
    /// The pod's file, which this receipt's chain is in: the same, unless pods share the charges.
    pub chain: LedgerId,
    /// What keeps the charges.
    pub store: BookStore,
    /// How often the ledger had been opened; 0 for a table that was posted.
    pub opening: u64,
    /// The how-manieth part of the window, from 0.
    pub part: u32,
}

/// When a window was and how much of it was counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowReceipt {
    /// Its first second.
    pub start: Timestamp,
    /// The second after its last.
    pub end: Timestamp,
    /// Whether all of it was counted.
    pub status: WindowStatus,
    /// When counting began.
    pub observed_from: Timestamp,
    /// When counting ended.
    pub observed_until: Timestamp,
    /// Why counting was not whole; nothing where it was.
    pub marks: Marks,
    /// The calendar that the window is of; `null` where windows tumble from the Unix epoch.
    pub calendar: Option<Calendar>,
    /// That events counted by a time of their own; `null` where they counted as they arrived.
    pub event_time: Option<EventTime>,
}

/// The calendar of a window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calendar {
    /// `hour` or `day`.
    pub unit: String,
    /// The zone's name in the IANA database.
    pub timezone: String,
    /// The database's release.
    pub tzdb: String,
}

/// Whether a window was counted from its start to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WindowStatus {
    /// From start to end.
    Complete,
    /// Counting began late: the process started, or an earlier part was closed, within it.
    OpenedLate,
    /// Counting was ended early by choice.
    ClosedEarly,
    /// Both.
    OpenedLateAndClosedEarly,
}

/// The guarantee of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Privacy {
    /// Whose presence is hidden: one value of this field.
    pub unit: String,
    /// `add_remove`: tables that differ by one unit's presence cannot be told apart.
    pub adjacency: Adjacency,
    /// How losses are measured.
    pub measure: Measure,
    /// What the budget was charged: the loss of a person.
    pub this_release: LossReceipt,
    /// The loss of one identifier.
    pub per_identifier: LossReceipt,
    /// How many identifiers a person may hold.
    pub ids_per_person: u64,
    /// What is spent of what.
    pub horizon: Horizon,
    /// What one identifier may contribute to a window.
    pub contribution: Contribution,
    /// How pods add up.
    pub fleet: Fleet,
    /// Channels that the guarantee does not hold against.
    pub side_information: Vec<String>,
    /// Always false: epsilon does not cover whether a window was withheld.
    pub covers_withholding: bool,
}

/// Which two data sets the guarantee compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Adjacency {
    /// With and without one privacy unit.
    AddRemove,
}

/// A loss in integers; it has one of the two measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossReceipt {
    /// Billionths of an epsilon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epsilon_nano: Option<u64>,
    /// Billionths of a rho.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rho_nano: Option<u64>,
    /// The probability that the loss is more, in trillionths.
    pub delta_pico: u64,
}

impl LossReceipt {
    const fn new(measure: Measure, sum: Sum) -> Self {
        let Sum { nano, delta_pico } = sum;
        match measure {
            Measure::Pure => Self { epsilon_nano: Some(nano), rho_nano: None, delta_pico },
            Measure::Zcdp => Self { epsilon_nano: None, rho_nano: Some(nano), delta_pico },
        }
    }

    /// The loss, if it is one.
    #[must_use]
    pub fn loss(self) -> Option<Loss> {
        let (measure, nano) = match (self.epsilon_nano, self.rho_nano) {
            (Some(nano), None) => (Measure::Pure, nano),
            (None, Some(nano)) => (Measure::Zcdp, nano),
            _ => return None,
        };
        Some(Loss::from_nano(measure, nano).ok()?.with_delta(self.delta_pico))
    }
}

impl From<Loss> for LossReceipt {
    fn from(loss: Loss) -> Self {
        Self::new(loss.measure(), Sum::default().and(loss))
    }
}

/// The budget after this release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Horizon {
    /// Its length, as `30d`.
    pub length: String,
    /// `sliding`: every span of this length, counted by the windows that begin in it.
    pub renewal: Renewal,
    /// The largest sum of any horizon that holds this window.
    pub spent: LossReceipt,
    /// What that sum may never pass.
    pub limit: LossReceipt,
    /// The epsilon of `spent` in approximate differential privacy.
    pub epsilon_at_delta: EpsilonAtDelta,
}

/// How a budget comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Renewal {
    /// A spend leaves the budget when the horizon has slid past it.
    Sliding,
}

/// An epsilon and the delta that it holds at, as decimals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpsilonAtDelta {
    /// The probability of failure; 0 for pure differential privacy.
    pub delta: String,
    /// The epsilon, rounded up.
    pub epsilon: String,
}

/// Contribution bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contribution {
    /// Keys per identifier.
    pub l0: u64,
    /// Rows per key.
    pub linf: u64,
    /// Rows per identifier, where that is bounded by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub l1: Option<u64>,
    /// How many identifiers' counts one identifier's presence may change: 1.
    pub stability: u32,
}

/// How a fleet's guarantees add up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fleet {
    /// Who adds noise to what.
    pub topology: Topology,
    /// How the losses of pods combine.
    pub composition: Composition,
    /// How often every charge counts: how many ledgers may release about one unit.
    pub charged_times: u64,
    /// The guarantee in words.
    pub guarantee: String,
    /// The ring and this shard's place in it; `null` in a fleet that does not share units.
    pub ring: Option<RingPlace>,
}

/// What was measured: the numbers that its sensitivity follows from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AggregateReceipt {
    /// `count`, `units`, `sum`, `mean`, `histogram`, `quantiles` or `top`.
    pub name: String,
    /// How many decimals the published values have; a mean has three more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decimals: Option<u32>,
    /// The range that values were forced into, in steps of the decimals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clamp: Option<[i64; 2]>,
    /// The edges of intervals, or the candidates of quantiles, in steps of the decimals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edges: Option<Vec<i64>>,
    /// The quantiles, as `0.95`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantiles: Option<Vec<String>>,
    /// How many keys are the top.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<u32>,
}

/// One draw of the release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageReceipt {
    /// What it answers.
    pub part: Part,
    /// The distribution.
    pub noise: Noise,
    /// Laplace's b, Gauss's sigma or the scale of noise on scores, an exact decimal.
    pub scale: String,
    /// What one identifier may change.
    pub sensitivity: Sensitivity,
    /// What a private key must reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<Threshold>,
    /// Its share of the loss.
    pub loss: LossReceipt,
    /// Half the width of its numbers' 95 % intervals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub half_width: Option<u64>,
}

/// How far one identifier may move the answer; exactly one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sensitivity {
    /// In the L1 norm.
    L1(u64),
    /// The square of it in the L2 norm.
    L2Squared(u64),
    /// The range by which scores move against each other, summed over the choices.
    Range(u64),
    /// The square of that, summed over the choices.
    RangeSquared(u64),
}

impl Sensitivity {
    const fn new(noise: Noise, moved: u64) -> Self {
        match noise {
            Noise::DiscreteLaplace => Self::L1(moved),
            Noise::DiscreteGaussian => Self::L2Squared(moved),
            Noise::Exponential => Self::Range(moved),
            Noise::Gumbel => Self::RangeSquared(moved),
        }
    }
}

/// What the intervals are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accuracy {
    /// The intervals' confidence, a decimal.
    pub ci: String,
    /// `noise_only`: what contribution bounding left out is not covered.
    pub covers: Covers,
}

/// What an interval covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Covers {
    /// The noise, and not the bias of contribution bounding.
    NoiseOnly,
}

/// One published row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Value {
    /// The values of the columns.
    pub key: Vec<String>,
    /// What is measured: `count`, `units`, `sum`, `mean`, or a quantile such as `p95`.
    pub of: String,
    /// The noisy number, as drawn: it may be negative.
    pub value: i64,
    /// The ends of its interval; none where noise was on scores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci95: Option<[i64; 2]>,
    /// The number, but not below zero, where the policy asks for it: for
    /// display, since sums of these are too large.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_nonneg: Option<i64>,
}

/// A cell of publicly known truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CanaryReceipt {
    /// The stage whose noise it has.
    pub of: Part,
    /// What it was.
    pub truth: i64,
    /// What it is with noise.
    pub value: i64,
}

/// Who drew the noise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Engine {
    /// OpenDP's version.
    pub opendp: String,
    /// The generator of its random bits.
    pub rng: String,
}

/// All that a receipt says beside its values.
#[derive(Clone)]
pub struct Facts<'a> {
    /// What was counted.
    pub query: &'a Query,
    /// Under which policy.
    pub policy: &'a PolicyDigest,
    /// When.
    pub window: Window,
    /// How much of it.
    pub circumstances: Circumstances,
    /// By whom.
    pub shard: Shard,
    /// At what cost.
    pub charged: Charged,
    /// After which receipt.
    pub prev_receipt: Digest,
}

impl Receipt {
    /// The same receipt, naming further channels that its guarantee does not hold against.
    #[must_use]
    pub fn beside(mut self, channels: &[&str]) -> Self {
        self.privacy.side_information.extend(channels.iter().map(|channel| (*channel).to_owned()));
        self
    }

    /// Writes the receipt of noised values.
    #[must_use]
    pub fn new(facts: Facts<'_>, noised: &Noised) -> Self {
        let mechanism = &facts.query.mechanism;
        let values = table::values(facts.query, noised);
        Self {
            receipt_version: 2,
            release_id: noised.release(),
            ledger: LedgerReceipt::new(facts.shard),
            prev_receipt: facts.prev_receipt,
            query: facts.query.name.clone(),
            policy_digest: Digest(*facts.policy),
            window: WindowReceipt::new(facts.window, &facts.circumstances, &facts.query.schedule),
            privacy: Privacy::new(&facts),
            aggregate: AggregateReceipt::new(mechanism.aggregate()),
            stages: mechanism.stages().iter().map(StageReceipt::new).collect(),
            accuracy: Accuracy { ci: "0.95".to_owned(), covers: Covers::NoiseOnly },
            columns: table::columns(facts.query),
            payload_sha256: payload_digest(&values),
            values,
            canaries: noised.canaries().iter().map(CanaryReceipt::new).collect(),
            engine: Engine { opendp: OPENDP_VERSION.to_owned(), rng: RNG.to_owned() },
        }
    }

    /// Its canonical bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical(self)
    }

    /// Reads a receipt back.
    ///
    /// # Errors
    /// Whatever is no receipt, or has members that receipts do not have.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// Whether it publishes what was drawn, and nothing else.
    #[must_use]
    pub fn publishes(&self, noised: &Noised) -> bool {
        let drawn = |row: &&Value| row.of != table::MEAN;
        self.values.iter().filter(drawn).map(|row| row.value).eq(noised.rows().iter().map(|row| row.value))
            && self.canaries.iter().copied().eq(noised.canaries().iter().map(CanaryReceipt::new))
    }
}

impl LedgerReceipt {
    const fn new(shard: Shard) -> Self {
        let Shard { books: Books { charges, chain, store }, incarnation, part } = shard;
        Self { id: charges, chain, store, opening: incarnation, part }
    }

    /// Whose part of the window it is; nothing where a file does not hold its own chain.
    fn shard(self) -> Option<Shard> {
        let Self { id: charges, chain, store, opening: incarnation, part } = self;
        let books = Books { charges, chain, store };
        (store != BookStore::File || charges == chain).then_some(Shard { books, incarnation, part })
    }
}

impl WindowReceipt {
    fn new(window: Window, circumstances: &Circumstances, schedule: &Schedule) -> Self {
        let Circumstances { observed_from, observed_until, marks, .. } = *circumstances;
        let (late, early) = (observed_from > window.start(), observed_until < window.end());
        Self {
            start: window.start(),
            end: window.end(),
            status: WindowStatus::of(late, early),
            observed_from,
            observed_until,
            marks,
            calendar: Calendar::of(schedule.tiling()),
            event_time: schedule.event_time(),
        }
    }
}

impl Calendar {
    fn of(tiling: &Tiling) -> Option<Self> {
        match tiling {
            Tiling::Tumbling(_) => None,
            Tiling::Calendar(unit, zone) => Some(Self {
                unit: unit.name().to_owned(),
                timezone: zone.name().to_owned(),
                tzdb: Zone::database_version().to_owned(),
            }),
        }
    }
}

impl Fleet {
    fn new(facts: &Facts<'_>) -> Self {
        let guarantee = facts.query.guarantee();
        Self {
            topology: guarantee.topology,
            composition: guarantee.composition,
            charged_times: guarantee.multiplier.get(),
            guarantee: guarantee.text(),
            ring: facts.circumstances.ring.clone(),
        }
    }
}

impl WindowStatus {
    const fn of(opened_late: bool, closed_early: bool) -> Self {
        match (opened_late, closed_early) {
            (false, false) => Self::Complete,
            (true, false) => Self::OpenedLate,
            (false, true) => Self::ClosedEarly,
            (true, true) => Self::OpenedLateAndClosedEarly,
        }
    }
}

impl Privacy {
    fn new(facts: &Facts<'_>) -> Self {
        let query = facts.query;
        let bounds = query.bounds();
        Self {
            unit: query.unit.clone(),
            adjacency: Adjacency::AddRemove,
            measure: query.mechanism.loss().measure(),
            this_release: facts.charged.charge.into(),
            per_identifier: query.mechanism.loss().into(),
            ids_per_person: query.ids_per_person.get(),
            horizon: Horizon::new(facts.charged.budget, facts.charged.spent),
            contribution: Contribution {
                l0: u64::from(bounds.keys_per_unit()),
                linf: u64::from(bounds.rows_per_key()),
                l1: bounds.rows_per_unit().map(u64::from),
                stability: 1,
            },
            fleet: Fleet::new(facts),
            side_information: vec!["enforcement_log".to_owned()],
            covers_withholding: false,
        }
    }
}

impl Horizon {
    fn new(budget: Budget, spent: Sum) -> Self {
        let measure = budget.limit.measure();
        Self {
            length: budget.horizon.to_string(),
            renewal: Renewal::Sliding,
            spent: LossReceipt::new(measure, spent),
            limit: budget.limit.into(),
            epsilon_at_delta: EpsilonAtDelta::new(measure, spent),
        }
    }

    fn span(&self) -> Option<Span> {
        Span::parse(&self.length).ok()
    }
}

impl EpsilonAtDelta {
    /// Beside the spent delta stands, for a rho, that of its conversion.
    fn new(measure: Measure, spent: Sum) -> Self {
        let converted_pico = match measure {
            Measure::Pure => 0,
            Measure::Zcdp => Delta::REPORTED.pico(),
        };
        let epsilon = Loss::from_nano(measure, spent.nano)
            .map_or_else(|_| "infinite".to_owned(), |loss| loss.epsilon_at(Delta::REPORTED));
        Self { delta: decimal_of(spent.delta_pico.saturating_add(converted_pico), 12), epsilon }
    }
}

impl AggregateReceipt {
    fn new(aggregate: &Aggregate) -> Self {
        let empty = Self {
            name: aggregate.name().to_owned(),
            decimals: aggregate.decimals(),
            clamp: None,
            edges: None,
            quantiles: None,
            keys: None,
        };
        match aggregate {
            Aggregate::Count | Aggregate::Units => empty,
            Aggregate::Sum(clamp) | Aggregate::Mean(clamp) => {
                Self { clamp: Some([clamp.low(), clamp.high()]), ..empty }
            }
            Aggregate::Histogram(edges) => Self { edges: Some(edges.at().to_vec()), ..empty },
            Aggregate::Quantiles(quantiles) => Self {
                edges: Some(quantiles.candidates().at().to_vec()),
                quantiles: Some(quantiles.at().iter().map(|share| share.as_decimal()).collect()),
                ..empty
            },
            Aggregate::Top { keys } => Self { keys: Some(*keys), ..empty },
        }
    }

    /// The aggregate, if it is one and says no more than one has.
    fn aggregate(&self) -> Option<Aggregate> {
        let edges = || Edges::new(self.edges.clone()?, self.decimals?).ok();
        let clamp = || self.clamp.and_then(|[low, high]| Clamp::new(low, high, self.decimals?).ok());
        let aggregate = match self.name.as_str() {
            "count" => Aggregate::Count,
            "units" => Aggregate::Units,
            "sum" => Aggregate::Sum(clamp()?),
            "mean" => Aggregate::Mean(clamp()?),
            "histogram" => Aggregate::Histogram(edges()?),
            "quantiles" => {
                let shares = self.quantiles.as_ref()?.iter().map(|share| PerMille::parse(share).ok());
                Aggregate::Quantiles(Quantiles::new(shares.collect::<Option<_>>()?, edges()?).ok()?)
            }
            "top" => Aggregate::top(u64::from(self.keys?)).ok()?,
            _ => return None,
        };
        (*self == Self::new(&aggregate)).then_some(aggregate)
    }
}

impl StageReceipt {
    fn new(stage: &Stage) -> Self {
        Self {
            part: stage.part(),
            noise: stage.noise(),
            scale: stage.scale().to_string(),
            sensitivity: Sensitivity::new(stage.noise(), stage.sensitivity().get()),
            threshold: stage.threshold(),
            loss: stage.loss().into(),
            half_width: half_width(stage.noise(), stage.scale(), Misses::OneInTwenty),
        }
    }
}

impl CanaryReceipt {
    const fn new(canary: &Canary) -> Self {
        Self { of: canary.part, truth: canary.truth, value: canary.value }
    }
}

fn payload_digest(values: &[Value]) -> Digest {
    Digest::of(&canonical(&values))
}

/// Keys sorted, no spaces. `serde_json`'s own maps are sorted, so one pass
/// through its tree sorts the members of every struct.
fn canonical<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_value(value)
        .and_then(|tree| serde_json::to_vec(&tree))
        .expect("a receipt has string keys and no floats")
}

#[cfg(test)]
mod fleet_tests;
#[cfg(test)]
pub(crate) mod tests;
