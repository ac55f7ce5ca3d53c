//! Writing the refusals that wait, and saying what of them the store has not.
//!
//! Promise: a refusal that was taken is written, waits, or is counted as lost; while one
//! waits for room or is lost, the store has no mark, and no pod takes its silence for leave.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::{Backend, ConsentStore, LISTEN_AGAIN, Shared, StoreError, WRITE_TIMEOUT, blocking};
use crate::contained::contained;

/// How often is tried again what the store had no room for.
const ROOM_AGAIN: Duration = Duration::from_secs(2);
/// What `/readyz` says while refusals wait for room.
const NO_ROOM: &str = "the consent store has no room for refusals that wait, so silence refuses: let it take more";
/// What `/readyz` says when refusals got lost here.
const REFUSALS_LOST: &str = "refusals were lost that the consent store did not take in time, so silence refuses";

impl ConsentStore {
    /// Writes what comes, until the process ends.
    pub(super) async fn write_refusals(self) {
        let mut tried = Instant::now();
        loop {
            // Whether there is room by now is tried from time to time, whether anybody refuses anything or not.
            timeout_at(tried + ROOM_AGAIN, self.0.writer.something()).await.ok();
            if tried.elapsed() >= ROOM_AGAIN {
                tried = Instant::now();
                self.0.writer.try_again();
            }
            if !matches!(contained(self.0.write_waiting()).await, Ok(Ok(()))) {
                tokio::time::sleep(LISTEN_AGAIN).await;
            }
        }
    }
}

impl Shared {
    /// Writes what waits, and keeps the store's mark in step with what is owed.
    pub(super) async fn write_waiting(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.writing.lock().await;
        let written = self.write_batches().await;
        // Also where that failed: whoever comes later must not rely on the store's silence.
        self.tell_debt().await?;
        written?;
        if self.writer.set_aside() == 0 {
            self.pay_debt().await?;
        }
        if self.writer.has_nameless() { Err(StoreError::Locked) } else { Ok(()) }
    }

    /// Batch by batch. What the store has no room for waits on, aside.
    async fn write_batches(&self) -> Result<(), StoreError> {
        if let Some(keys) = self.keys.get() {
            self.writer.name(keys);
        }
        while let Some(batch) = self.writer.batch() {
            let unfit = match self.merge(&batch).await {
                Err(StoreError::Full) => batch.iter().map(|(key, _)| *key).collect(),
                merged => merged?,
            };
            self.writer.written(&batch, &unfit);
            self.metrics.refusals_stored.increment((batch.len() - unfit.len()) as u64);
            if unfit.is_empty() {
                // There is room, so there may be some for what waits aside.
                self.writer.try_again();
            } else {
                self.no_room();
            }
        }
        Ok(())
    }

    pub(super) fn lost(&self, refusals: usize) {
        self.metrics.refusals_not_stored.increment(refusals as u64);
        self.debt.lost();
        self.health.note("consent_store_debt", REFUSALS_LOST);
    }

    fn no_room(&self) {
        if !self.debt.is_open() {
            tracing::warn!("{NO_ROOM}");
            self.health.note("consent_store_debt", NO_ROOM);
        }
        self.debt.waits();
    }

    /// Takes the store's mark away, so that no pod relies on its silence, this one after a restart neither.
    pub(super) async fn tell_debt(&self) -> Result<(), StoreError> {
        if !self.debt.is_untold() {
            return Ok(());
        }
        let question = async {
            match &self.backend {
                Backend::Embedded(store) => {
                    let store = store.clone();
                    blocking(move || store.mark_whole(false)).await
                }
                Backend::Redis(store) => store.unmark().await,
                Backend::Postgres(store) => store.unmark().await,
            }
        };
        self.guarded(WRITE_TIMEOUT.max(self.timeout), question).await?;
        self.debt.told();
        Ok(())
    }

    /// All that waited for room is written. Nobody else writes to a file, so its mark can be put back; a store that
    /// others share may miss refusals of theirs, and who runs it decides.
    async fn pay_debt(&self) -> Result<(), StoreError> {
        let told = self.debt.is_open() && !self.debt.is_untold();
        if !self.debt.paid() {
            return Ok(());
        }
        tracing::info!("the consent store has taken every refusal that waited");
        self.health.clear_note("consent_store_debt");
        match &self.backend {
            Backend::Embedded(store) if told => {
                let store = store.clone();
                blocking(move || store.mark_whole(true)).await
            }
            _ => Ok(()),
        }
    }
}
