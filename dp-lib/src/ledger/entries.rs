//! What a ledger shows of itself: its charges, and what they paid for.

use super::ReleaseId;
use crate::loss::Loss;

/// One charge of a budget. It is part of what was spent for as long as the
/// budget's horizon reaches, whatever became of its release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The budget's identity.
    pub budget_name: String,
    /// When the window begins, in seconds since the epoch.
    pub start_secs: i64,
    /// The release that was paid for.
    pub release: ReleaseId,
    /// What was charged.
    pub charge: Loss,
    /// How far the release has come, as far as this ledger was told: the name of
    /// a [`super::ReleaseState`], or `leased` where its pod has told nothing yet.
    pub state: &'static str,
    /// Who was charged, where several may be.
    pub holder: Option<String>,
}
