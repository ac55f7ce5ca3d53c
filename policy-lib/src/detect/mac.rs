//! Hardware addresses (IEEE 802): six pairs of hexadecimal digits, or three
//! groups of four. Not the broadcast address, not zero.

use super::runs::runs;
use super::sight::Sight;
use super::{Detector, Found};

pub(super) const fn possible(sight: &Sight) -> bool {
    sight.colons >= 5 || sight.dashes >= 5 || sight.dots >= 2
}

pub(super) fn find(text: &str, _sight: &Sight, found: &mut Vec<Found>) {
    for run in runs(text, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'-' | b'.')) {
        let (from, to) = without_punctuation(run.text);
        if let Some(written) = run.text.get(from..to).filter(|written| is_address(written.as_bytes())) {
            let start = run.start + from;
            found.push(Found { detector: Detector::MacAddress, start, end: start + written.len(), score: 90 });
        }
    }
}

/// `mac:aa:bb:...` and the full stop of a sentence.
fn without_punctuation(run: &str) -> (usize, usize) {
    let to = run.trim_end_matches([':', '-', '.']).len();
    let label = run.find(':').filter(|at| *at != 2 && run.len() > 17).map_or(0, |at| at + 1);
    (label.min(to), to)
}

fn is_address(written: &[u8]) -> bool {
    let (joint, group) = match written {
        [_, _, joint @ (b':' | b'-'), ..] if written.len() == 17 => (*joint, 2),
        [_, _, _, _, b'.', ..] if written.len() == 14 => (b'.', 4),
        _ => return false,
    };
    let fits = |(nth, byte): (usize, &u8)| match nth % (group + 1) == group {
        true => *byte == joint,
        false => byte.is_ascii_hexdigit(),
    };
    let hex = || written.iter().filter(|byte| **byte != joint);
    let all = |other: u8| hex().all(|byte| byte.eq_ignore_ascii_case(&other));
    written.iter().enumerate().all(fits) && !all(b'0') && !all(b'F')
}
