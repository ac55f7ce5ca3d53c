//! Global Privacy Control, the request header `Sec-GPC` and the same value copied into events.
//!
//! Only the value `1` has a meaning: every other, `0` among them, says nothing.

/// Whether a value of the header says that the person opts out of sale and sharing. A proxy
/// may have put several of them on one line, with commas between.
///
/// ```
/// use privet_policy::signals::gpc::opts_out;
///
/// assert!(opts_out(" 1") && opts_out("1, 1") && opts_out("0,1"));
/// assert!(!opts_out("0") && !opts_out("true") && !opts_out("11"));
/// ```
#[must_use]
pub fn opts_out(value: &str) -> bool {
    value.split(',').any(|one| one.trim_matches([' ', '\t']) == "1")
}
