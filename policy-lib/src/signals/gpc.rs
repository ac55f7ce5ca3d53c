//! Global Privacy Control, the request header `Sec-GPC` and the same value copied into events.
//!
//! Only the value `1` has a meaning, and `true` in events: every other, `0` among them, says nothing.

use privet_json::{Kind, Node};

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

/// Whether the member `globalPrivacyControl` of an event says so: `true` as the browser has it, or what was made of that.
#[must_use]
pub fn is_on(member: Node<'_>) -> bool {
    match member.kind() {
        Kind::Bool | Kind::Number => matches!(member.raw(), b"true" | b"1"),
        Kind::String => member.text().is_some_and(|text| matches!(text.trim(), "1" | "true")),
        Kind::Null | Kind::Array | Kind::Object => false,
    }
}
