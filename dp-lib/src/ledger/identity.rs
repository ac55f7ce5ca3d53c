//! Which ledger is which: a random name that a ledger is born with.

use std::fmt;

use ring::rand::{SecureRandom, SystemRandom};

use super::LedgerError;

/// The identity of a ledger, 128 random bits made when it was. A ledger that
/// was lost and begun again is another one, and a receipt can say which it was
/// paid from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LedgerId(u128);

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

    /// Reads what [`fmt::Display`] wrote.
    pub(super) fn parse(written: &str) -> Option<Self> {
        u128::from_str_radix(written, 16).ok().filter(|_| written.len() == 32).map(Self)
    }
}

impl fmt::Display for LedgerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
