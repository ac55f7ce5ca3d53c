//! What the enforcement log is told about a release, and when.

use std::error::Error;

use privet_dp::accountant::{Budget, Sum};
use privet_dp::digest::Digest;
use privet_dp::ledger::ReleaseId;
use privet_dp::loss::Loss;
use privet_dp::mechanism::Stage;
use privet_dp::receipt::AnyReceipt;
use privet_dp::window::{PolicyDigest, Window};
use thiserror::Error as ThisError;

/// Records charges and releases where an auditor finds them. Called from the
/// noise thread alone, and may block it.
pub trait DpEvidence: Send + Sync {
    /// Records a charge, durably, before any noise is drawn for it.
    ///
    /// # Errors
    /// A log that cannot be written: then nothing is drawn.
    fn charge(&self, charge: &ChargeEvidence) -> Result<(), CannotRecord>;

    /// Records that a receipt is out. After a failure or a crash it is recorded
    /// again, with the same digest.
    ///
    /// # Errors
    /// A log that cannot be written: then the release is tried again.
    fn release(&self, release: &ReleaseEvidence) -> Result<(), CannotRecord>;
}

/// The enforcement log does not take a record.
#[derive(Debug, ThisError)]
#[error("the enforcement log does not take the record")]
pub struct CannotRecord(#[source] pub Box<dyn Error + Send + Sync>);

/// A charge to a budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChargeEvidence {
    /// The release it pays for.
    pub release: ReleaseId,
    /// The export's name.
    pub export: String,
    /// The budget's identity: the export and the privacy unit.
    pub budget_name: String,
    /// The policy that its events were decided under.
    pub policy: PolicyDigest,
    /// The window.
    pub window: Window,
    /// The draws that it pays for.
    pub stages: Vec<Stage>,
    /// Keys that one unit may change.
    pub keys_per_unit: u32,
    /// By how much each.
    pub rows_per_key: u32,
    /// What was charged.
    pub charge: Loss,
    /// The largest sum of a horizon around the window before the charge, in the limit's measure.
    pub spent_before: Sum,
    /// The same after the charge.
    pub spent_after: Sum,
    /// The limit and its horizon.
    pub budget: Budget,
}

/// A receipt that is out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseEvidence {
    /// The release.
    pub release: ReleaseId,
    /// The export's name.
    pub export: String,
    /// The window.
    pub window: Window,
    /// The digest of the receipt's bytes.
    pub receipt_sha256: Digest,
    /// Why nothing was charged for it; `None` where something was.
    pub local: Option<LocalEvidence>,
}

/// What the reports of an uncharged release had been through on their devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalEvidence {
    /// How they were randomized.
    pub method: String,
    /// How many answers there were.
    pub answers: u32,
    /// What one report tells at most, in billionths.
    pub epsilon_nano: u64,
}

impl LocalEvidence {
    /// Of a receipt, if it is one of reports.
    pub(super) fn of(receipt: &AnyReceipt) -> Option<Self> {
        let AnyReceipt::Local(receipt) = receipt else { return None };
        let (question, loss) = (&receipt.question, receipt.privacy.per_report);
        Some(Self {
            method: question.method.clone(),
            answers: question.answers,
            epsilon_nano: loss.epsilon_nano.unwrap_or_default(),
        })
    }
}
