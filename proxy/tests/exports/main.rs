//! Exports through the whole sidecar: from requests, and posted tables, to published receipts.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod leaks;
mod measures;
mod posted;
mod reports;
mod running;
#[allow(dead_code, reason = "the servers of the consent store's tests, which use more of them")]
#[path = "../consent_store/servers.rs"]
mod servers;
mod shared;
mod windows;
