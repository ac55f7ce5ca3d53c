//! Differential privacy for privet: bounds, mechanisms, budget and receipts.
//!
//! A release goes one way, and the types keep it on it:
//!
//! ```text
//! OpenWindow -- close --> ClosedWindow { counts: Exact<..> }
//!                              |
//! Claim -- Ledger::spend --> Paid           the charge is on disk
//!                              |
//!          Mechanism::release(Paid, Exact) --> Noised       drawn once
//!                              |
//!          Ledger::commit(Noised, Receipt) --> Unsent       the bytes are on disk
//!                              |
//!          send, then Ledger::acknowledge
//! ```
//!
//! Reports that were randomized on their devices go a shorter way ([`local`]):
//! they have their noise, and cost no budget here.
//!
//! Promise: the published table is differentially private for the declared
//! unit, bounds and loss, against those who receive it; the sum of losses of any
//! horizon stays within the budget across crashes and restarts.
//!
//! Not here: HTTP, YAML, policies, clocks. Not protected: side channels through
//! a draw's duration, readers of exact counts elsewhere (every receipt names
//! them), and whether a window was published at all.

pub mod accountant;
pub mod accuracy;
pub mod aggregate;
pub mod bound;
pub mod calendar;
pub mod digest;
pub mod exact;
pub mod fleet;
pub mod ledger;
pub mod local;
pub mod loss;
pub mod mechanism;
pub mod query;
pub mod receipt;
pub mod schedule;
mod tag;
mod tally;
pub mod window;

pub use tag::NoRandomness;
