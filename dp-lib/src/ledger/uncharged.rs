//! Releases that cost no budget: estimates from reports whose noise came with
//! them, for which every device paid.
//!
//! Promise: they walk the same way, RESERVED, COMMITTED, ACKNOWLEDGED, so that
//! what is published is published once and the same however often it is sent.
//! No charge is written and none is looked at; and what is reserved so pays for
//! no draw, for a mechanism takes a [`super::Paid`] and nothing else:
//! ```compile_fail
//! # use privet_dp::{exact::Exact, ledger::Uncharged, mechanism::{Cells, Mechanism}};
//! fn unpaid(mechanism: &Mechanism, uncharged: Uncharged, cells: Exact<Cells>) {
//!     let _ = mechanism.release(uncharged, cells);
//! }
//! ```

use super::{Ledger, LedgerError, Record, ReleaseId, ReleaseState, Shard, Unsent};
use crate::local::ClosedReports;
use crate::receipt::LocalReceipt;

/// Proof that a release which costs nothing is noted, once.
#[derive(Debug)]
pub struct Uncharged {
    release: ReleaseId,
}

impl Uncharged {
    /// The release.
    #[must_use]
    pub const fn release(&self) -> ReleaseId {
        self.release
    }
}

impl Ledger {
    /// Notes the release of a survey's window before it is decoded. On disk
    /// before it returns; the state that it has where it was noted before.
    ///
    /// # Errors
    /// A ledger that cannot be read or written.
    pub fn reserve_uncharged(
        &self,
        closed: &ClosedReports,
        shard: Shard,
    ) -> Result<Result<Uncharged, ReleaseState>, LedgerError> {
        let release = ReleaseId::of(&closed.policy, &closed.survey.name, closed.window, shard);
        let step = self.store.begin()?;
        if let Some(record) = step.record(release)? {
            return Ok(Err(record.state));
        }
        let window_start = closed.window.start_secs();
        step.put_record(release, &Record { state: ReleaseState::Reserved, budget: None, window_start })?;
        step.commit("reserve a release")?;
        Ok(Ok(Uncharged { release }))
    }

    /// Stores the receipt of such a release, as [`Ledger::commit`] does.
    ///
    /// # Errors
    /// As there.
    pub fn commit_uncharged(&self, uncharged: Uncharged, receipt: &LocalReceipt) -> Result<Unsent, LedgerError> {
        if receipt.release_id != uncharged.release {
            return Err(LedgerError::ChainBroken);
        }
        self.put_receipt(uncharged.release, &receipt.query, receipt.prev_receipt, receipt.to_bytes())
    }
}

#[cfg(test)]
mod tests;
