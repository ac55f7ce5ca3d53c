//! Which ledger is which: a random name that a ledger is born with, and which
//! of them a release was paid from.

use std::fmt;

use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};

use thiserror::Error;

use super::LedgerError;

/// The identity of a ledger, 128 random bits made when it was. A ledger that
/// was lost and begun again is another one, and a receipt can say which it was
/// paid from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct LedgerId(u128);

/// Where the charges of a release are, and where its chain of receipts is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Books {
    /// The ledger that was charged.
    pub charges: LedgerId,
    /// The pod's own file, which holds its chains of receipts: the same ledger,
    /// unless several pods share the charges.
    pub chain: LedgerId,
    /// What keeps the charges.
    pub store: BookStore,
}

/// What keeps the charges of a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BookStore {
    /// A file of one pod.
    File,
    /// A database that pods share.
    Postgresql,
}

/// A text that names no ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a ledger is named by 32 hexadecimal digits in lower case")]
pub struct NotALedgerId;

impl LedgerId {
    /// A new identity.
    pub(super) fn random() -> Result<Self, LedgerError> {
        let mut bytes = [0; 16];
        SystemRandom::new().fill(&mut bytes).map_err(|_| LedgerError::NoRandomness)?;
        Ok(Self(u128::from_be_bytes(bytes)))
    }

    pub(super) const fn from_halves(high: u64, low: u64) -> Self {
        Self(((high as u128) << 64) | low as u128)
    }

    pub(super) const fn halves(self) -> (u64, u64) {
        ((self.0 >> 64) as u64, self.0 as u64)
    }

    /// Reads what [`fmt::Display`] wrote, and nothing else.
    pub(super) fn parse(written: &str) -> Option<Self> {
        let id = u128::from_str_radix(written, 16).ok().map(Self)?;
        (id.to_string() == written).then_some(id)
    }

    /// Its first eight digits, to tell files apart by.
    #[must_use]
    pub fn short(self) -> String {
        format!("{:08x}", (self.0 >> 96) as u32)
    }
}

impl From<LedgerId> for String {
    fn from(id: LedgerId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for LedgerId {
    type Error = NotALedgerId;

    fn try_from(written: String) -> Result<Self, NotALedgerId> {
        Self::parse(&written).ok_or(NotALedgerId)
    }
}

impl fmt::Display for LedgerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
