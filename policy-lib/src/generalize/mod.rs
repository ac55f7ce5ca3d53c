//! Generalizing: the same kind of value, told less exactly.
//!
//! Promise: pure functions from text to text, appended to what the caller
//! gives; `None` means the value cannot be generalized, nothing was appended
//! and the caller drops the field. Each goes along one chain from fine to
//! coarse, and what a coarser step makes of a value it also makes of the finer
//! step's result, so `compare` may say which of two leaves less.
//!
//! Not here: deciding which grain a field gets (that is policy), and any promise
//! about one event being nameless. A generalized value is still about a person;
//! each function says what can still be learnt from it.

mod age;
mod geo;
mod ip;
mod number;
mod time;
mod url;
mod user_agent;

pub use age::{AgeBands, AgeNotation, age};
pub use geo::{GeoCell, geo};
pub use ip::{IpPrefix, ip};
pub use number::{NumberBucket, number};
pub use time::{TimeGrain, time};
pub use url::{UrlForm, UrlPart, url};
pub use user_agent::{UserAgentPart, user_agent};
