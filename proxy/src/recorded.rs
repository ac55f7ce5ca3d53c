//! What has been recorded, and therefore may leave.

use privet_audit_log::tree::Hash;

use crate::audit::{Arrival, BatchRef, CannotRecord, Recorder, Tally};
use crate::transform::{Minimized, Share};

/// A minimized request that the enforcement log has a durable account of.
///
/// Only [`Recorded::by`] makes one, and only a `Recorded` can be forwarded:
///
/// ```compile_fail
/// # use privet::recorded::Recorded;
/// # fn forge(shares: Vec<privet::transform::Share>, batch: privet::audit::BatchRef) {
/// let forged = Recorded { shares, batch };
/// # }
/// ```
pub struct Recorded {
    shares: Vec<Share>,
    batch: BatchRef,
}

impl Recorded {
    /// Records what is about to leave, and that it is an auditor's canary where it came with a token of this hash.
    ///
    /// # Errors
    /// [`CannotRecord`]; then nothing leaves.
    pub async fn by(
        recorder: &Recorder,
        arrival: &mut Arrival,
        minimized: Minimized,
        tally: &Tally,
        challenge: Option<Hash>,
    ) -> Result<Self, CannotRecord> {
        let batch = match challenge {
            Some(token) => recorder.challenge(arrival, tally, token).await?,
            None => recorder.append(arrival, tally).await?,
        };
        Ok(Self { shares: minimized.shares, batch })
    }

    /// What may leave, and the record that waits for its outcome.
    pub fn into_parts(self) -> (Vec<Share>, BatchRef) {
        (self.shares, self.batch)
    }
}
