//! The enforcement log: what the sidecar did, in a form that nobody can change
//! afterwards without it being seen.
//!
//! Promise: exact counts of everything that came in, was decided, was released
//! and was answered; every record is a leaf of an RFC 6962 tree whose
//! checkpoints are signed; a log survives a crash at any write and says what the
//! crash left uncertain. No record can hold a value from an event: the types
//! through which it is written take numbers, digests and declared names.
//!
//! Not here: network, async, threads, and any knowledge of policy. A class is
//! an opaque canonical document to this crate.
//!
//! Start at [`Log`] to write and at [`verify::verify`] to check. The format is in
//! `docs/log-format.md`.

mod anchor;
pub mod books;
pub mod canonical;
pub mod challenge;
pub mod cosignature;
pub mod counts;
mod disk;
pub mod follow;
pub mod kept;
pub mod ledger;
mod log;
pub mod note;
pub mod policies;
pub mod proof;
mod proved;
pub mod quorum;
pub mod record;
mod recover;
pub mod retention;
pub mod signing;
mod stored;
pub mod tile;
pub mod tiled;
pub mod tlog_proof;
pub mod tree;
pub mod verify;
mod volume;
mod wal;
pub mod walk;
pub mod witness;

pub use disk::{DiskOp, Gate};
pub use log::{
    CHECKPOINT_MS, Durability, HEARTBEAT_MS, LEAF_CLASSES, LEAF_EVENTS, LEAF_MS, LEAF_MS_MAX, Log, Moment, Recovered,
    Settings, Work,
};
pub use proved::NotProved;
pub use recover::{Ended, Mended, OpenError};
pub use stored::incarnations;
pub use volume::WriteError;
