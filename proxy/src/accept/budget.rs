//! One budget of bytes for all request bodies in memory.
//!
//! Promise: what is held never passes the cap. Nobody waits: a body that does
//! not fit is refused, so that a full sidecar answers at once.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The budget.
#[derive(Debug)]
pub struct ByteBudget {
    cap: usize,
    left: AtomicUsize,
}

/// Bytes taken out of a budget; they go back when this is dropped.
#[derive(Debug)]
pub struct Held<'a> {
    budget: &'a ByteBudget,
    bytes: usize,
}

impl ByteBudget {
    /// A budget of this many bytes.
    #[must_use]
    pub const fn new(cap: usize) -> Self {
        Self { cap, left: AtomicUsize::new(cap) }
    }

    /// Takes bytes, or nothing when they are not there.
    pub fn hold(&self, bytes: usize) -> Option<Held<'_>> {
        // Lazily: a `Held` that is made and dropped gives bytes back, also bytes it never had.
        self.take(bytes).then(|| Held { budget: self, bytes })
    }

    /// Nothing yet.
    #[must_use]
    pub const fn hold_none(&self) -> Held<'_> {
        Held { budget: self, bytes: 0 }
    }

    /// How many bytes are held now.
    #[must_use]
    pub fn held(&self) -> usize {
        self.cap - self.left.load(Ordering::Relaxed)
    }

    /// Relaxed: the count guards nothing but itself.
    fn take(&self, bytes: usize) -> bool {
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }
}

impl Held<'_> {
    /// How many bytes are held here.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes more, or leaves everything as it is and says no.
    #[must_use]
    pub fn grow(&mut self, more: usize) -> bool {
        let taken = self.budget.take(more);
        self.bytes += if taken { more } else { 0 };
        taken
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.budget.left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_passes_its_cap_and_gives_back() {
        let budget = ByteBudget::new(100);
        let mut first = budget.hold(60).unwrap();
        assert!(budget.hold(41).is_none());
        let second = budget.hold(40).unwrap();
        assert!(!first.grow(1));
        assert_eq!(budget.held(), 100);
        drop(second);
        assert!(first.grow(40));
        assert_eq!(first.bytes(), 100);
        drop(first);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn holds_its_cap_among_threads() {
        let budget = ByteBudget::new(8);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        let held = budget.hold(3);
                        assert!(budget.held() <= 8);
                        drop(held);
                    }
                });
            }
        });
        assert_eq!(budget.held(), 0);
    }
}
