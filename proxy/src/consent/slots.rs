//! The connections to a store, and who uses which.
//!
//! Promise: no more connections than configured; one on which anything failed, or was
//! given up, is not used again.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Mutex;

use super::StoreError;

/// A bounded number of connections that many requests use at once.
pub(super) struct Slots<C> {
    slots: Box<[Mutex<Option<C>>]>,
    next: AtomicUsize,
}

/// The use of one connection. Unless it was said to be sound, it is not used again.
pub(super) struct Lease<'a, C> {
    pub(super) connection: C,
    slot: &'a Mutex<Option<C>>,
    sound: bool,
}

impl<C: Clone> Slots<C> {
    pub(super) fn of(connections: usize) -> Self {
        Self { slots: (0..connections.max(1)).map(|_| Mutex::new(None)).collect(), next: AtomicUsize::new(0) }
    }

    /// The next connection; made where there is none. Whoever else wants the same one waits for it.
    pub(super) async fn lease(
        &self,
        connect: impl Future<Output = Result<C, StoreError>>,
    ) -> Result<Lease<'_, C>, StoreError> {
        let place = self.next.fetch_add(1, Ordering::Relaxed) % self.slots.len();
        let slot = self.slots.get(place).ok_or(StoreError::TimedOut)?;
        let mut held = slot.lock().await;
        let connection = match &*held {
            Some(connection) => connection.clone(),
            None => held.insert(connect.await?).clone(),
        };
        drop(held);
        Ok(Lease { connection, slot, sound: false })
    }
}

impl<C> Lease<'_, C> {
    /// The answer came whole.
    pub(super) fn sound(mut self) {
        self.sound = true;
    }
}

impl<C> Drop for Lease<'_, C> {
    fn drop(&mut self) {
        // Whoever holds the lock is making a new one already.
        if let (false, Ok(mut slot)) = (self.sound, self.slot.try_lock()) {
            *slot = None;
        }
    }
}
