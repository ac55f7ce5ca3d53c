//! Receipts: what a release says about itself.
//!
//! Promise: each published table is inside its receipt, with what it cost,
//! what is left, how the noise was drawn, how far it reaches and what the
//! guarantee does not cover. A receipt names the digest of the one before it,
//! so a missing one shows. Its bytes are canonical: keys sorted, no spaces, no
//! floats (RFC 8785's form, whose other rules these documents do not need).
//!
//! Not here: true values, noise, seeds, or how many events were left out.

mod verify;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::accountant::{Budget, Sum};
use crate::calendar::Zone;
use crate::digest::Digest;
use crate::fleet::{Composition, RingPlace, Topology};
use crate::ledger::{Charged, ReleaseId, Shard};
use crate::loss::{Delta, Loss, Measure, decimal_of};
use crate::mechanism::{Noise, Noised, OPENDP_VERSION, RNG};
use crate::query::Query;
use crate::schedule::{Marks, Tiling};
use crate::window::{Circumstances, PolicyDigest, Span, Window};
pub use verify::{ChainReport, Finding, verify};

/// The receipt of one release; the published values are in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// 1.
    pub receipt_version: u32,
    /// The release's name, from policy, query, window and shard.
    pub release_id: ReleaseId,
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
    /// The noise.
    pub mechanism: MechanismReceipt,
    /// How far the noise reaches.
    pub accuracy: Accuracy,
    /// The grouping columns, in the order of every value's key.
    pub columns: Vec<String>,
    /// The published table.
    pub values: Vec<Value>,
    /// The digest of the canonical bytes of `values`.
    pub payload_sha256: Digest,
    /// Who drew the noise.
    pub engine: Engine,
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
    /// This pod's incarnation and the window's part.
    pub shard: String,
}

/// The noise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MechanismReceipt {
    /// Its distribution.
    pub name: Noise,
    /// Laplace's b or Gauss's sigma, an exact decimal.
    pub scale: String,
    /// What one identifier may change.
    pub sensitivity: Sensitivity,
}

/// How far one identifier may move the table; exactly one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sensitivity {
    /// In the L1 norm.
    L1(u64),
    /// The square of it in the L2 norm.
    L2Squared(u64),
}

/// The interval of every value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accuracy {
    /// The interval's confidence, a decimal.
    pub ci: String,
    /// Half its width.
    pub half_width: u64,
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
    /// The declared values of the columns.
    pub key: Vec<String>,
    /// The noisy count, as drawn: it may be negative.
    pub value: i64,
    /// The ends of its interval.
    pub ci95: [i64; 2],
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
    /// Writes the receipt of noised values.
    #[must_use]
    pub fn new(facts: Facts<'_>, noised: &Noised) -> Self {
        let half_width = facts.query.mechanism.half_width_95();
        let values: Vec<Value> = noised
            .values()
            .iter()
            .enumerate()
            .map(|(row, value)| published(facts.query, row, *value, half_width))
            .collect();
        Self {
            receipt_version: 1,
            release_id: noised.release(),
            prev_receipt: facts.prev_receipt,
            query: facts.query.name.clone(),
            policy_digest: Digest(*facts.policy),
            window: WindowReceipt::new(&facts),
            privacy: Privacy::new(&facts),
            mechanism: MechanismReceipt::new(facts.query),
            accuracy: Accuracy { ci: "0.95".to_owned(), half_width, covers: Covers::NoiseOnly },
            columns: facts.query.keys.columns().iter().map(|column| column.name.clone()).collect(),
            payload_sha256: payload_digest(&values),
            values,
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

    /// Whether these are the values that it publishes.
    #[must_use]
    pub fn publishes(&self, noised: &Noised) -> bool {
        self.values.iter().map(|row| row.value).eq(noised.values().iter().copied())
    }
}

impl WindowReceipt {
    fn new(facts: &Facts<'_>) -> Self {
        let window = facts.window;
        let Circumstances { observed_from, observed_until, marks, .. } = facts.circumstances;
        let (late, early) = (observed_from > window.start(), observed_until < window.end());
        Self {
            start: window.start(),
            end: window.end(),
            status: WindowStatus::of(late, early),
            observed_from,
            observed_until,
            marks,
            calendar: Calendar::of(facts.query.schedule.tiling()),
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
            shard: facts.shard.to_string(),
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

impl MechanismReceipt {
    fn new(query: &Query) -> Self {
        let mechanism = &query.mechanism;
        let sensitivity = match mechanism.noise() {
            Noise::DiscreteLaplace => Sensitivity::L1(query.bounds().sensitivity_l1()),
            Noise::DiscreteGaussian => Sensitivity::L2Squared(query.bounds().sensitivity_l2_squared()),
        };
        Self { name: mechanism.noise(), scale: mechanism.scale().to_string(), sensitivity }
    }
}

fn published(query: &Query, row: usize, value: i64, half_width: u64) -> Value {
    let key = query.keys.values_of(row).into_iter().map(str::to_owned).collect();
    Value { key, value, ci95: interval(value, half_width) }
}

const fn interval(value: i64, half_width: u64) -> [i64; 2] {
    [value.saturating_sub_unsigned(half_width), value.saturating_add_unsigned(half_width)]
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
