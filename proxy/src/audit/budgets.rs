//! Spends and releases of exports, as records.

use privet_audit_log::record::{DpCharge, DpDelta, DpLocal, DpRelease, DpStage, Record};
use privet_dp::digest::Digest;
use privet_dp::loss::Measure;
use privet_dp::mechanism::Stage;

use super::Recorder;
use crate::export::{self as evidence, ChargeEvidence, DpEvidence, ReleaseEvidence};

impl DpEvidence for Recorder {
    fn charge(&self, charge: &ChargeEvidence) -> Result<(), evidence::CannotRecord> {
        let measure = match charge.budget.limit.measure() {
            Measure::Pure => "pure",
            Measure::Zcdp => "zcdp",
        };
        self.record_blocking(Record::DpCharge(DpCharge {
            account: charge.budget_name.clone(),
            export: charge.export.clone(),
            release: charge.release.to_string(),
            policy: Digest(charge.policy).to_string(),
            start: charge.window.start_secs(),
            end: charge.window.end().as_second(),
            horizon: charge.budget.horizon.secs(),
            measure: measure.to_owned(),
            amount: charge.spent_after.nano.saturating_sub(charge.spent_before.nano),
            before: charge.spent_before.nano,
            after: charge.spent_after.nano,
            cap: charge.budget.limit.nano(),
            delta: DpDelta {
                amount: charge.spent_after.delta_pico.saturating_sub(charge.spent_before.delta_pico),
                before: charge.spent_before.delta_pico,
                after: charge.spent_after.delta_pico,
                cap: charge.budget.limit.delta_pico(),
            },
            stages: charge.stages.iter().map(stage_record).collect(),
            keys_per_unit: charge.keys_per_unit,
            rows_per_key: charge.rows_per_key,
        }))
    }

    fn release(&self, release: &ReleaseEvidence) -> Result<(), evidence::CannotRecord> {
        self.record_blocking(Record::DpRelease(DpRelease {
            export: release.export.clone(),
            release: release.release.to_string(),
            start: release.window.start_secs(),
            end: release.window.end().as_second(),
            output: release.receipt_sha256.to_string(),
            local: release.local.as_ref().map(|local| DpLocal {
                method: local.method.clone(),
                answers: local.answers,
                epsilon: local.epsilon_nano,
            }),
        }))
    }
}

fn stage_record(stage: &Stage) -> DpStage {
    DpStage {
        part: stage.part().name().to_owned(),
        noise: stage.noise().name().to_owned(),
        scale: stage.scale().to_string(),
    }
}
