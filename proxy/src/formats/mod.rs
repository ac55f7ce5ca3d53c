//! The wire formats: where each has its events, and how each is answered.
//!
//! Promise: a client sees what its collector would have said, or an error in that
//! collector's manner which makes it neither loop nor exit. No answer made here
//! holds anything from a request but its `Origin`.
//!
//! Not here: which format a request is in ([`decode`](crate::decode)) and what
//! may leave (the policy).

pub mod answers;
pub mod cloudevents;
mod cors;
pub(crate) mod ga4;
pub(crate) mod json;
pub(crate) mod otlp;
mod refusal;
pub(crate) mod rudderstack;
pub(crate) mod segment;
pub mod snowplow;

use privet_json::{Kind, Node};

pub use answers::{answer_refusal, answer_success, forbid_keeping, pass_response_headers, passed_status};
pub use cors::{allow_origin, preflight};
pub use refusal::{Bound, Fault, Refusal, Unready};

/// Refuses an array that holds something and no object: it is in another format.
pub(crate) fn check_elements(array: Node<'_>) -> Result<(), Refusal> {
    let fits = array.is_empty() || array.elements().any(|element| element.kind() == Kind::Object);
    if fits { Ok(()) } else { Err(Refusal::malformed(Fault::NotAnObject, array.span().start)) }
}
