//! privet's policy language.
//!
//! Promise: text goes in, a [`Policy`](policy) comes out, or every mistake in it
//! at once; a policy and the facts of an event give a verdict, always the same
//! one. No I/O, no clock, no async: this crate can be fuzzed, compiled to other
//! targets and trusted.

pub mod action;
pub mod batch;
pub mod class;
pub mod compile;
pub mod consent;
pub mod decide;
pub mod detect;
pub mod diagnostic;
pub mod diff;
pub mod encoding;
pub mod envelope;
pub mod export;
pub mod exposure;
pub mod format;
pub mod generalize;
pub mod iglu;
mod matching;
pub mod path;
pub mod plan;
pub mod policy;
pub mod prove;
pub mod schema;
mod shape;
pub mod shared;
pub mod signals;
pub mod snowplow;
pub mod source;
pub mod span;
mod sweep;
pub mod taxonomy;
pub mod verdict;
pub mod yaml;

pub use compile::{Compiled, compile};
pub use matching::event_name;
pub use policy::Policy;
pub use shape::{Encoded, FIELDS_MAX};
