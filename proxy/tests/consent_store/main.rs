//! The consent store in whole sidecars: in a file, and in Redis and PostgreSQL that really run,
//! are paused and are killed.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod embedded;
mod pod;
mod servers;
mod shared;
