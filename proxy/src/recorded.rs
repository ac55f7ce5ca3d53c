//! What has been recorded, and therefore may leave.

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
    /// Records what is about to leave.
    ///
    /// # Errors
    /// [`CannotRecord`]; then nothing leaves.
    pub async fn by(
        recorder: &Recorder,
        arrival: &mut Arrival,
        minimized: Minimized,
        tally: &Tally,
    ) -> Result<Self, CannotRecord> {
        let batch = recorder.append(arrival, tally).await?;
        Ok(Self { shares: minimized.shares, batch })
    }

    /// What may leave, and the record that waits for its outcome.
    pub fn into_parts(self) -> (Vec<Share>, BatchRef) {
        (self.shares, self.batch)
    }
}
