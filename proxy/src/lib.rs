//! privet, the privacy-enforcement sidecar: a library with a thin `main.rs`.

pub mod accept;
pub mod admin;
pub mod cli;
pub mod audit;
pub mod clock;
pub mod config;
pub mod decide;
pub mod decision;
pub mod decode;
pub mod formats;
pub mod forward;
pub mod keys;
pub mod metrics;
pub mod offline;
pub mod policies;
pub mod reload;
pub mod request;
pub mod run;
pub mod tasks;
pub mod tls;
pub mod transform;
