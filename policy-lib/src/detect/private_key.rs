//! Private keys in their textual armour (RFC 7468, RFC 4880, OpenSSH).
//!
//! An armour that does not end is taken to reach to the end of the text.

use super::sight::Sight;
use super::{Detector, Found};

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// The longest label before the dashes, in bytes.
const LABEL_BYTES_MAX: usize = 48;

pub(super) const fn possible(sight: &Sight) -> bool {
    sight.dashes >= 10
}

pub(super) fn find(text: &str, _sight: &Sight, found: &mut Vec<Found>) {
    let mut from = 0;
    while let Some(start) = next(text, from, BEGIN) {
        let inside = start + BEGIN.len();
        let Some(label_end) = label(text, inside) else {
            from = inside;
            continue;
        };
        let end = next(text, label_end, END).and_then(|at| label(text, at + END.len())).unwrap_or(text.len());
        found.push(Found { detector: Detector::PrivateKey, start, end, score: 100 });
        from = end;
    }
}

fn next(text: &str, from: usize, mark: &str) -> Option<usize> {
    memchr::memmem::find(text.as_bytes().get(from..)?, mark.as_bytes()).map(|at| from + at)
}

/// Where the dashes end after a label of a private key.
fn label(text: &str, at: usize) -> Option<usize> {
    let rest = text.as_bytes().get(at..)?;
    let length = rest
        .iter()
        .take(LABEL_BYTES_MAX)
        .take_while(|byte| byte.is_ascii_uppercase() || matches!(byte, b' ' | b'0'..=b'9'))
        .count();
    let label = text.get(at..at + length)?;
    let end = at + length + DASHES.len();
    let closes = text.get(at + length..end) == Some(DASHES);
    (closes && (label.ends_with("PRIVATE KEY") || label.ends_with("PRIVATE KEY BLOCK"))).then_some(end)
}
