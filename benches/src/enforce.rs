//! The steps of the event line that wait for nothing, as the benchmarks call them.

use std::hint::black_box;

use privet::decide::{Surroundings, decide};
use privet::decode::{DecodeLimits, Decoded, Scratch, decode};
use privet::request::RawRequest;
use privet::transform::{Enforcement, transform};
use privet_policy::consent::{Memory, StoredDecisions};
use privet_policy::decide::Decision;
use privet_policy::policy::AgeClass;

/// Decodes a request and does something with it; gives what that gave.
pub fn through(
    raw: &RawRequest,
    limits: &DecodeLimits,
    scratch: &mut Scratch,
    each: impl FnOnce(&Decoded) -> usize,
) -> usize {
    let Ok(decoded) = decode(black_box(raw), limits, scratch) else { return 0 };
    let made = black_box(each(&decoded));
    scratch.reclaim(decoded);
    made
}

/// The decisions on a request.
#[must_use]
pub fn decided(
    enforcement: &Enforcement,
    raw: &RawRequest,
    decoded: &Decoded,
    stored: &dyn StoredDecisions,
) -> Vec<Decision> {
    let around =
        Surroundings { stored, memory: Memory::Forgetful, heard: &|_| {}, jurisdiction: None, age: AgeClass::Unknown };
    decide(&enforcement.policy, raw, decoded, &around)
}

/// The whole way from bytes to what may leave; gives the bytes that may.
pub fn enforced(
    enforcement: &Enforcement,
    raw: &RawRequest,
    limits: &DecodeLimits,
    scratch: &mut Scratch,
    stored: &dyn StoredDecisions,
) -> usize {
    through(raw, limits, scratch, |decoded| {
        let decisions = decided(enforcement, raw, decoded, stored);
        let minimized = transform(enforcement, raw, decoded, &decisions);
        minimized.shares.iter().map(|share| share.forward.body.len()).sum()
    })
}
