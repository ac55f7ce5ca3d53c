//! Exports through the whole sidecar: from requests, and posted tables, to published receipts.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod leaks;
mod measures;
mod posted;
mod reports;
mod running;
mod windows;
