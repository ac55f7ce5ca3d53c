//! The export line's account in the enforcement log.

use privet_audit_log::record::{DpCharge, DpRelease};
use privet_dp::digest::Digest;
use privet_dp::loss::Measure;
use tokio::runtime::Handle;

use crate::audit::Recorder;
use crate::export::{CannotRecord, ChargeEvidence, DpEvidence, ReleaseEvidence};

/// Records charges and releases; called from the noise thread, which it blocks
/// until the record is durable.
pub struct LogEvidence {
    recorder: Recorder,
    runtime: Handle,
}

impl LogEvidence {
    /// Records into a log, waiting on a runtime that is not the caller's own thread.
    #[must_use]
    pub const fn new(recorder: Recorder, runtime: Handle) -> Self {
        Self { recorder, runtime }
    }
}

impl DpEvidence for LogEvidence {
    fn charge(&self, charge: &ChargeEvidence) -> Result<(), CannotRecord> {
        let limit = charge.budget.limit;
        let record = DpCharge {
            account: charge.budget_name.clone(),
            export: charge.export.clone(),
            release: charge.release.to_string(),
            policy: Digest(charge.policy).to_string(),
            start: charge.window.start().as_second(),
            end: charge.window.end().as_second(),
            horizon: charge.budget.horizon.secs(),
            measure: match limit.measure() {
                Measure::Pure => "pure".to_owned(),
                Measure::Zcdp => "zcdp".to_owned(),
            },
            amount: charge.spent_after_nano.saturating_sub(charge.spent_before_nano),
            before: charge.spent_before_nano,
            after: charge.spent_after_nano,
            cap: limit.nano(),
            mechanism: charge.noise.name().to_owned(),
            scale: charge.scale.to_string(),
            keys_per_unit: charge.keys_per_unit,
            rows_per_key: charge.rows_per_key,
        };
        self.runtime.block_on(self.recorder.dp_charge(record)).map_err(|error| CannotRecord(Box::new(error)))
    }

    fn release(&self, release: &ReleaseEvidence) -> Result<(), CannotRecord> {
        let record = DpRelease {
            export: release.export.clone(),
            release: release.release.to_string(),
            start: release.window.start().as_second(),
            end: release.window.end().as_second(),
            output: release.receipt_sha256.to_string(),
        };
        self.runtime.block_on(self.recorder.dp_release(record)).map_err(|error| CannotRecord(Box::new(error)))
    }
}
