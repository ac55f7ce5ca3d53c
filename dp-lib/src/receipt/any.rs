//! Receipts of either kind, for whoever files, sends and chains them.

use serde_json::Error;

use super::{CanaryReceipt, LedgerReceipt, LocalReceipt, Receipt, Value, WindowReceipt};
use crate::digest::Digest;
use crate::ledger::ReleaseId;

/// The receipt of a release, whoever added its noise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnyReceipt {
    /// Noise was added here, at a cost.
    Central(Box<Receipt>),
    /// Noise came with the reports.
    Local(Box<LocalReceipt>),
}

impl AnyReceipt {
    /// Reads a receipt back.
    ///
    /// # Errors
    /// Whatever is no receipt, or has members that receipts do not have.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        match LocalReceipt::from_bytes(bytes) {
            Ok(local) => Ok(Self::Local(Box::new(local))),
            Err(_) => Receipt::from_bytes(bytes).map(|central| Self::Central(Box::new(central))),
        }
    }

    /// The receipt, if noise was added here.
    #[must_use]
    pub fn central(&self) -> Option<&Receipt> {
        match self {
            Self::Central(receipt) => Some(receipt),
            Self::Local(_) => None,
        }
    }

    /// The release's name.
    #[must_use]
    pub const fn release_id(&self) -> ReleaseId {
        match self {
            Self::Central(receipt) => receipt.release_id,
            Self::Local(receipt) => receipt.release_id,
        }
    }

    /// The digest of the receipt before it in its export's chain.
    #[must_use]
    pub const fn prev_receipt(&self) -> Digest {
        match self {
            Self::Central(receipt) => receipt.prev_receipt,
            Self::Local(receipt) => receipt.prev_receipt,
        }
    }

    /// The export's name.
    #[must_use]
    pub fn query(&self) -> &str {
        match self {
            Self::Central(receipt) => &receipt.query,
            Self::Local(receipt) => &receipt.query,
        }
    }

    /// The window.
    #[must_use]
    pub const fn window(&self) -> &WindowReceipt {
        match self {
            Self::Central(receipt) => &receipt.window,
            Self::Local(receipt) => &receipt.window,
        }
    }

    /// The ledger, and the window's part.
    #[must_use]
    pub const fn ledger(&self) -> LedgerReceipt {
        match self {
            Self::Central(receipt) => receipt.ledger,
            Self::Local(receipt) => receipt.ledger,
        }
    }

    /// The columns of every value's key.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        match self {
            Self::Central(receipt) => &receipt.columns,
            Self::Local(receipt) => &receipt.columns,
        }
    }

    /// The published table.
    #[must_use]
    pub fn values(&self) -> &[Value] {
        match self {
            Self::Central(receipt) => &receipt.values,
            Self::Local(receipt) => &receipt.values,
        }
    }

    /// Cells of known truth; local noise has none.
    #[must_use]
    pub fn canaries(&self) -> &[CanaryReceipt] {
        match self {
            Self::Central(receipt) => &receipt.canaries,
            Self::Local(_) => &[],
        }
    }
}
