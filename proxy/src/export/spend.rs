//! Spend: the budget is charged, and the log told, before any noise.

use privet_dp::ledger::{Charged, Claim, Ledger, Paid, ReleaseId, Shard, Spent};
use privet_dp::window::ClosedWindow;

use super::Withheld;
use super::evidence::{ChargeEvidence, DpEvidence};

/// A window that is paid for, in the ledger and in the log.
pub(super) struct PaidWindow {
    pub(super) closed: ClosedWindow,
    pub(super) paid: Paid,
    pub(super) charged: Charged,
    pub(super) shard: Shard,
}

/// Charges the budget for a closed window and records the charge.
pub(super) fn spend(
    ledger: &Ledger,
    evidence: &dyn DpEvidence,
    closed: ClosedWindow,
    shard: Shard,
) -> Result<PaidWindow, Withheld> {
    let claim = Claim::of(&closed.query, &closed.policy, closed.window, shard).map_err(Withheld::Claim)?;
    let (paid, charged) = match ledger.spend(&claim).map_err(Withheld::Unpaid)? {
        Spent::Paid(paid, charged) => (paid, charged),
        Spent::Already(state) => return Err(Withheld::Before(state.name())),
    };
    if let Err(unrecorded) = evidence.charge(&charge_evidence(&claim, charged, &closed)) {
        give_up(ledger, paid.release());
        return Err(Withheld::Unrecorded(unrecorded));
    }
    Ok(PaidWindow { closed, paid, charged, shard })
}

/// Marks a reservation as lost: nothing is drawn or decoded for it again. Whether it is; if
/// even that fails, the next start does it, unless its receipt was committed.
pub(super) fn give_up(ledger: &Ledger, release: ReleaseId) -> bool {
    let given_up = ledger.forfeit(release);
    if let Err(error) = &given_up {
        tracing::warn!(%release, error = error as &dyn std::error::Error, "a lost reservation stays open until the next start");
    }
    given_up.is_ok()
}

fn charge_evidence(claim: &Claim, charged: Charged, closed: &ClosedWindow) -> ChargeEvidence {
    let mechanism = &closed.query.mechanism;
    ChargeEvidence {
        release: claim.release(),
        export: closed.query.name.clone(),
        budget_name: claim.budget_name().to_owned(),
        policy: closed.policy,
        window: closed.window,
        stages: mechanism.stages().to_vec(),
        keys_per_unit: mechanism.bounds().keys_per_unit(),
        rows_per_key: mechanism.bounds().rows_per_key(),
        charge: charged.charge,
        spent_before: charged.before,
        spent_after: charged.spent,
        budget: charged.budget,
    }
}
