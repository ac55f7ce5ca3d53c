//! What one device has told already, and how much more it may.
//!
//! Promise: the sum of what was spent never passes the budget; there is no
//! refund. A ledger whose stored bytes cannot be read is an error, never an
//! empty ledger.
//!
//! Not here: storing the bytes. Whoever sends before they are stored may tell
//! the same twice after a crash: store, then send.

use core::fmt;

use crate::epsilon::Epsilon;

/// How many bytes a stored ledger has.
pub const LEDGER_BYTES: usize = 17;

/// The version of the stored bytes.
const VERSION: u8 = 1;

/// The budget of one device, in billionths of epsilon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ledger {
    budget_nano: u64,
    spent_nano: u64,
}

/// The budget does not reach for another report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent;

/// Stored bytes that are no ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotALedger;

impl fmt::Display for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this device's privacy budget does not reach for another report: send none")
    }
}

impl fmt::Display for NotALedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the stored bytes are no ledger of version 1: take its budget for spent and send no new report")
    }
}

impl core::error::Error for Spent {}
impl core::error::Error for NotALedger {}

impl Ledger {
    /// A ledger of which nothing is spent.
    #[must_use]
    pub const fn with_budget(budget: Epsilon) -> Self {
        Self { budget_nano: budget.nano(), spent_nano: 0 }
    }

    /// Spends what one report tells.
    ///
    /// # Errors
    /// More than what is left; then nothing is spent.
    pub fn spend(&mut self, loss: Epsilon) -> Result<(), Spent> {
        let spent = self.spent_nano.saturating_add(loss.nano());
        if spent > self.budget_nano {
            return Err(Spent);
        }
        self.spent_nano = spent;
        Ok(())
    }

    /// What was spent, in billionths of epsilon.
    #[must_use]
    pub const fn spent_nano(&self) -> u64 {
        self.spent_nano
    }

    /// What is left, in billionths of epsilon.
    #[must_use]
    pub const fn left_nano(&self) -> u64 {
        self.budget_nano.saturating_sub(self.spent_nano)
    }

    /// The ledger to store: the version, the budget and what is spent, each
    /// number with its highest byte first.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; LEDGER_BYTES] {
        let mut bytes = [VERSION; LEDGER_BYTES];
        if let Some(numbers) = bytes.last_chunk_mut() {
            *numbers = (u128::from(self.budget_nano) << 64 | u128::from(self.spent_nano)).to_be_bytes();
        }
        bytes
    }

    /// Reads a stored ledger.
    ///
    /// # Errors
    /// Another length or version, a budget that no ledger has, or more spent than that.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NotALedger> {
        let (version, numbers) = bytes.split_first().ok_or(NotALedger)?;
        let numbers = u128::from_be_bytes(numbers.try_into().map_err(|_| NotALedger)?);
        let budget = Epsilon::from_nano((numbers >> 64) as u64).map_err(|_| NotALedger)?;
        let spent_nano = numbers as u64;
        let whole = *version == VERSION && spent_nano <= budget.nano();
        whole.then_some(Self { budget_nano: budget.nano(), spent_nano }).ok_or(NotALedger)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epsilon(written: &str) -> Epsilon {
        Epsilon::from_decimal(written).unwrap()
    }

    #[test]
    fn the_budget_is_spent_to_its_last_billionth_and_no_further() {
        let mut ledger = Ledger::with_budget(epsilon("2.5"));
        assert_eq!(ledger.spend(epsilon("1")), Ok(()));
        assert_eq!(ledger.spend(epsilon("1.500000001")), Err(Spent));
        assert_eq!(ledger.left_nano(), 1_500_000_000, "what is refused is not spent");
        assert_eq!(ledger.spend(epsilon("1.5")), Ok(()));
        assert_eq!(ledger.spend(epsilon("0.001")), Err(Spent));
        assert_eq!((ledger.spent_nano(), ledger.left_nano()), (2_500_000_000, 0));
    }

    #[test]
    fn what_is_stored_is_read_back_and_nothing_else_is_read() {
        let mut ledger = Ledger::with_budget(epsilon("3"));
        ledger.spend(epsilon("0.7")).unwrap();
        let bytes = ledger.to_bytes();
        assert_eq!(Ledger::from_bytes(&bytes), Ok(ledger));
        assert_eq!(Ledger::from_bytes(&bytes[..16]), Err(NotALedger));
        assert_eq!(Ledger::from_bytes(&[]), Err(NotALedger));
        for (place, byte) in [(0, 2), (1, 1), (9, 0xff)] {
            let mut other = bytes;
            other[place] = byte;
            assert_eq!(Ledger::from_bytes(&other), Err(NotALedger), "byte {place}");
        }
    }
}
