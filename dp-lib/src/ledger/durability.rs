//! How long a ledger lives, and which horizons that is enough for.
//!
//! A budget that is forgotten is a budget that is spent again. So a horizon has
//! to end before its ledger does: a file that dies with its pod carries no
//! horizon at all, because nobody promises a pod any length of life.

use thiserror::Error;

use crate::window::Span;

/// What a ledger outlives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// A file that goes when the pod goes.
    PodLife,
    /// A file on a volume that outlives the pod and comes back to its successor.
    Volume,
    /// A store outside of the pods, which all of them charge.
    Shared,
}

/// The ledger may be gone before the horizon is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("what is spent of a horizon of {horizon} would be forgotten, and could be spent again")]
pub struct NotDurable {
    /// The horizon that was asked for.
    pub horizon: Span,
}

impl Durability {
    /// Whether a budget of this horizon may be kept in such a ledger.
    ///
    /// ```
    /// use privet_dp::{ledger::Durability, window::Span};
    /// let year = Span::parse("365d")?;
    /// assert!(Durability::Volume.carries(year).is_ok());
    /// assert!(Durability::PodLife.carries(year).is_err());
    /// # Ok::<(), privet_dp::window::NotASpan>(())
    /// ```
    ///
    /// # Errors
    /// A ledger that lives no longer than the pod carries none.
    pub const fn carries(self, horizon: Span) -> Result<(), NotDurable> {
        match self {
            Self::Volume | Self::Shared => Ok(()),
            Self::PodLife => Err(NotDurable { horizon }),
        }
    }
}
