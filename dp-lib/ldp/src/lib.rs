//! Local differential privacy: what a person answered is randomized on their
//! own device, so neither the sidecar nor the collector ever has it.
//!
//! Promise: one [`Report`] tells at most the declared [`Epsilon`] of one
//! answer, whoever reads it. Probabilities are whole numbers of 2^64ths,
//! rounded towards more noise; no float decides a coin. The client's side
//! needs no allocator and no operating system; randomness comes from the
//! caller. A report repeated from [`Memory`] costs nothing more.
//!
//! Not here: what several different answers of one person tell together, past
//! what a [`Ledger`] counts; transport; who may ask. `docs/ldp.md` says when
//! local privacy is the right tool.
//!
//! ```
//! use privet_ldp::{Epsilon, Method, NoEntropy, Randomizer};
//! # fn system_random(bytes: &mut [u8]) -> Result<(), NoEntropy> { bytes.fill(7); Ok(()) }
//! let randomizer = Randomizer::new(Method::Unary, 8, Epsilon::from_decimal("1.5")?)?;
//! let report = randomizer.randomize(3, &mut system_random)?;
//! assert!(report.text().as_str().starts_with("AQI"));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "server")]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod base64url;
mod coin;
#[cfg(feature = "server")]
mod decode;
mod entropy;
mod epsilon;
mod kary;
mod ledger;
mod memory;
mod projective;
mod randomizer;
mod report;
mod unary;

#[cfg(feature = "server")]
pub use decode::{Decoder, Estimate, STANDARD_ERRORS};
pub use entropy::{Entropy, NoEntropy};
pub use epsilon::{Epsilon, NANO, NotAnEpsilon};
pub use ledger::{LEDGER_BYTES, Ledger, NotALedger, Spent};
pub use memory::{CannotRespond, Memory, NotAMemory, memory_bytes};
pub use randomizer::{ANSWERS_MAX, CannotAsk, CannotReport, Method, Randomizer};
pub use report::{NotAReport, REPORT_BYTES_MAX, REPORT_TEXT_MAX, Report, Text};
pub use unary::UNARY_ANSWERS_MAX;
