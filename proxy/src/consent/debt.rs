//! Refusals that the store has not: somebody was told that they were taken.
//!
//! Promise: as long as there is a debt, that nothing is stored of somebody says nothing.
//! One that was only waiting can be paid; a refusal that got lost cannot, and the store's
//! mark, taken away by whoever lost it, says so to all pods and to those that come later.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

const NOTHING: u8 = 0;
const WAITING: u8 = 1;
const LOST: u8 = 2;

/// What this process owes the store.
#[derive(Default)]
pub(super) struct Debt {
    owed: AtomicU8,
    /// Whether the store's mark was taken away for it.
    told: AtomicBool,
}

impl Debt {
    /// The store has no room for refusals, and they wait.
    pub(super) fn waits(&self) {
        self.owed.fetch_max(WAITING, Ordering::AcqRel);
    }

    /// A refusal got lost.
    pub(super) fn lost(&self) {
        self.owed.fetch_max(LOST, Ordering::AcqRel);
    }

    /// Whether there is any.
    pub(super) fn is_open(&self) -> bool {
        self.owed.load(Ordering::Acquire) != NOTHING
    }

    /// Whether the store has still to be told.
    pub(super) fn is_untold(&self) -> bool {
        self.is_open() && !self.told.load(Ordering::Acquire)
    }

    /// The store's mark is gone.
    pub(super) fn told(&self) {
        self.told.store(true, Ordering::Release);
    }

    /// Nothing waits any more: tells whether something did, and nothing is owed now.
    pub(super) fn paid(&self) -> bool {
        let paid = self.owed.compare_exchange(WAITING, NOTHING, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if paid {
            self.told.store(false, Ordering::Release);
        }
        paid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_can_be_paid_and_what_is_lost_cannot() {
        let debt = Debt::default();
        assert!(!debt.is_open() && !debt.is_untold() && !debt.paid());
        debt.waits();
        assert!(debt.is_open() && debt.is_untold());
        debt.told();
        assert!(debt.is_open() && !debt.is_untold() && debt.paid());
        debt.waits();
        assert!(debt.is_untold(), "the store is told of each debt");
        debt.lost();
        debt.waits();
        assert!(!debt.paid() && debt.is_open());
    }
}
