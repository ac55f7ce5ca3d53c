//! The receipt of a survey: estimates from reports whose noise came with them.
//!
//! Promise: it says what one report tells at most, that this pod charged
//! nothing, what is not hidden, and how many reports the estimates are of.
//! Every interval follows from method, answers, epsilon and that number; so
//! does whether any reports could have made the estimates.
//!
//! Not here: whether devices kept their part. That cannot be seen in reports.

use privet_ldp::{Epsilon, Method, Randomizer, STANDARD_ERRORS};
use serde::{Deserialize, Serialize};

use super::table::interval;
use super::verify::{Wrong, name_of, times_agree};
use super::{Accuracy, Covers, LedgerReceipt, LossReceipt, Value, WindowReceipt, canonical, payload_digest};
use crate::digest::Digest;
use crate::ledger::{ReleaseId, Shard};
use crate::local::{ClosedReports, METHODS};
use crate::schedule::Mark;

/// What the values of a survey are of: how many reports are of this answer.
const ANSWERS: &str = "answers";

/// The column of their keys.
const ANSWER: &str = "answer";

/// The guarantee in words.
const GUARANTEE: &str = "each report hides its answer by the stated epsilon, from the sidecar too; what several different answers of one device tell together is bounded by the device's own memory of what it told, which the sidecar cannot check; who reported, and how many did, is not hidden";

/// The receipt of one window of a survey; the published values are in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalReceipt {
    /// 2.
    pub receipt_version: u32,
    /// The release's name, from policy, query, window and ledger.
    pub release_id: ReleaseId,
    /// The ledger that knows what became of it, and which part of the window it is.
    pub ledger: LedgerReceipt,
    /// The digest of the receipt before it in this export's chain; zeros for the first.
    pub prev_receipt: Digest,
    /// The export's name.
    pub query: String,
    /// The policy that its events were decided under.
    pub policy_digest: Digest,
    /// The window.
    pub window: WindowReceipt,
    /// The guarantee.
    pub privacy: LocalPrivacy,
    /// What was asked, and how.
    pub question: QuestionReceipt,
    /// How many reports were counted: exact, and public by the policy's word.
    pub reports: u32,
    /// What intervals cover.
    pub accuracy: Accuracy,
    /// `answer`.
    pub columns: Vec<String>,
    /// The published table: an estimate for each answer, in their order.
    pub values: Vec<Value>,
    /// The digest of the canonical bytes of `values`.
    pub payload_sha256: Digest,
}

/// The guarantee of a survey.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalPrivacy {
    /// `local`: noise was added on the devices.
    pub model: Model,
    /// `replace_one`: two answers of one device cannot be told apart.
    pub adjacency: LocalAdjacency,
    /// What one report tells at most, to whoever has it.
    pub per_report: LossReceipt,
    /// What a budget of this pod was charged: nothing.
    pub charged: LossReceipt,
    /// The identifier of which so many reports counted.
    pub unit: String,
    /// How many reports of one identifier counted at most: 1.
    pub reports_per_unit: u32,
    /// `on_device`: who bounds what all reports of a device tell.
    pub memoization: Memoization,
    /// `public`: who reported is not hidden, and `reports` is exact.
    pub presence: Presence,
    /// The guarantee in words.
    pub guarantee: String,
    /// Always false: epsilon does not cover whether a window was withheld.
    pub covers_withholding: bool,
}

/// Where the noise was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Model {
    /// On each person's device.
    Local,
}

/// Which two data sets the guarantee compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LocalAdjacency {
    /// With one answer, and with any other in its place.
    ReplaceOne,
}

/// Who remembers what was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Memoization {
    /// The device, by the rule of docs/ldp.md.
    OnDevice,
}

/// Whether it is hidden who reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// It is not.
    Public,
}

/// What was asked, as the devices' randomizers were declared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuestionReceipt {
    /// Where the report stood, as the policy writes it.
    pub field: String,
    /// `kary`, `unary` or `projective`.
    pub method: String,
    /// How many answers there are.
    pub answers: u32,
}

/// All that a receipt says beside what was counted.
#[derive(Clone, Copy, Debug)]
pub struct LocalFacts {
    /// By whom.
    pub shard: Shard,
    /// Under which name.
    pub release: ReleaseId,
    /// After which receipt.
    pub prev_receipt: Digest,
}

impl LocalReceipt {
    /// Decodes what was counted, and writes the receipt of it.
    #[must_use]
    pub fn new(facts: LocalFacts, closed: &ClosedReports) -> Self {
        let (survey, question) = (&closed.survey, &closed.survey.question);
        let reports = closed.decoder.reports();
        let estimates = closed.decoder.estimates();
        let rows = question.answers().iter().zip(estimates);
        let values: Vec<Value> = rows
            .map(|(answer, estimate)| Value {
                key: vec![answer.clone()],
                of: ANSWERS.to_owned(),
                value: estimate.whole,
                ci95: Some(interval_of(question.randomizer(), estimate.whole, reports)),
                value_nonneg: survey.nonnegative.then_some(estimate.whole.max(0)),
            })
            .collect();
        Self {
            receipt_version: 2,
            release_id: facts.release,
            ledger: LedgerReceipt::new(facts.shard),
            prev_receipt: facts.prev_receipt,
            query: survey.name.clone(),
            policy_digest: Digest(closed.policy),
            window: WindowReceipt::new(closed.window, &closed.circumstances, &survey.schedule),
            privacy: LocalPrivacy {
                model: Model::Local,
                adjacency: LocalAdjacency::ReplaceOne,
                per_report: epsilon_of(question.randomizer().epsilon().nano()),
                charged: epsilon_of(0),
                unit: survey.unit.clone(),
                reports_per_unit: 1,
                memoization: Memoization::OnDevice,
                presence: Presence::Public,
                guarantee: GUARANTEE.to_owned(),
                covers_withholding: false,
            },
            question: QuestionReceipt {
                field: question.field().to_owned(),
                method: name_of_method(question.randomizer().method()).to_owned(),
                answers: question.randomizer().answers(),
            },
            reports,
            accuracy: Accuracy { ci: "0.95".to_owned(), covers: Covers::NoiseOnly },
            columns: vec![ANSWER.to_owned()],
            payload_sha256: payload_digest(&values),
            values,
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
    /// Whatever is no receipt of a survey, or has members that those do not have.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// The randomizer that the reports were made by, if there is such a one.
    #[must_use]
    pub fn randomizer(&self) -> Option<Randomizer> {
        let method = METHODS.into_iter().find(|(name, _)| *name == self.question.method)?.1;
        let epsilon = Epsilon::from_nano(self.privacy.per_report.epsilon_nano?).ok()?;
        Randomizer::new(method, self.question.answers, epsilon).ok()
    }
}

const fn epsilon_of(nano: u64) -> LossReceipt {
    LossReceipt { epsilon_nano: Some(nano), rho_nano: None, delta_pico: 0 }
}

/// The method, as policies and receipts write it.
#[must_use]
pub fn name_of_method(method: Method) -> &'static str {
    METHODS.into_iter().find(|(_, known)| *known == method).map_or("", |(name, _)| name)
}

/// The 95 % interval of a whole estimate, by the normal approximation: the
/// standard error at that estimate, and the half that rounding may take.
fn interval_of(randomizer: &Randomizer, whole: i64, reports: u32) -> [i64; 2] {
    // Within 0 and the number of reports, which fits.
    let holders = whole.clamp(0, i64::from(reports)) as u32;
    let reach = STANDARD_ERRORS * randomizer.standard_error(holders, reports) + 0.5;
    interval(whole, reach.ceil() as u64)
}

/// What a receipt claims about itself.
pub(super) fn alone(receipt: &LocalReceipt, bytes: &[u8]) -> Vec<Wrong> {
    let randomizer = receipt.randomizer();
    let LocalPrivacy { per_report, charged, .. } = &receipt.privacy;
    let named = name_of(&receipt.policy_digest, &receipt.query, &receipt.window, receipt.ledger);
    let follows = |claim: fn(&LocalReceipt, &Randomizer) -> bool| randomizer.is_some_and(|made| claim(receipt, &made));
    let checks = [
        (receipt.receipt_version == 2, Wrong::Form),
        (receipt.to_bytes() == bytes, Wrong::NotCanonical),
        (named == Some(receipt.release_id), Wrong::ReleaseId),
        (payload_digest(&receipt.values) == receipt.payload_sha256, Wrong::Payload),
        (answers_are_one_of_each(receipt), Wrong::Keys),
        (times_agree(&receipt.window), Wrong::Window),
        // What a randomizer keeps is by how it was made; whether it made these numbers is seen below.
        (randomizer.is_some() && per_report.rho_nano.is_none() && per_report.delta_pico == 0, Wrong::Loss),
        (*charged == epsilon_of(0), Wrong::Charge),
        (follows(reports_could_have_made_it), Wrong::Estimates),
        (follows(intervals_follow), Wrong::Interval),
        (claims_no_more(receipt), Wrong::Overclaim),
    ];
    checks.into_iter().filter(|(holds, _)| !holds).map(|(_, what)| what).collect()
}

fn answers_are_one_of_each(receipt: &LocalReceipt) -> bool {
    let mut seen = std::collections::HashSet::new();
    receipt.columns == [ANSWER]
        && receipt.values.len() == receipt.question.answers as usize
        && receipt.values.iter().all(|row| row.of == ANSWERS && row.key.len() == 1 && seen.insert(&row.key))
}

/// Each estimate is that of a whole number of hits among so many reports;
/// of k-ary reports every one hits one answer.
fn reports_could_have_made_it(receipt: &LocalReceipt, randomizer: &Randomizer) -> bool {
    let hits = receipt.values.iter().map(|row| randomizer.hits_behind(row.value, receipt.reports).map(u64::from));
    let sum: Option<u64> = hits.sum();
    sum.is_some_and(|sum| randomizer.method() != Method::Kary || sum == u64::from(receipt.reports))
}

fn intervals_follow(receipt: &LocalReceipt, randomizer: &Randomizer) -> bool {
    let follows = |row: &Value| {
        row.ci95 == Some(interval_of(randomizer, row.value, receipt.reports))
            && row.value_nonneg.is_none_or(|shown| shown == row.value.max(0))
    };
    receipt.accuracy.ci == "0.95" && receipt.values.iter().all(follows)
}

fn claims_no_more(receipt: &LocalReceipt) -> bool {
    let privacy = &receipt.privacy;
    !privacy.covers_withholding
        && !receipt.window.marks.contains(Mark::Shed)
        && privacy.reports_per_unit == 1
        && privacy.guarantee == GUARANTEE
}

#[cfg(test)]
mod tests;
