//! JSON web tokens (RFC 7519, compact form): three parts of base64url, the first
//! of which is a JSON object that names an algorithm.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::runs::runs;
use super::sight::Sight;
use super::{Detector, Found};

/// The longest header that is looked into, in characters. A longer one is taken for one unseen.
const HEADER_CHARS_MAX: usize = 2048;

pub(super) const fn possible(sight: &Sight) -> bool {
    sight.dots >= 2
}

pub(super) fn find(text: &str, _sight: &Sight, found: &mut Vec<Found>) {
    for run in runs(text, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')) {
        let mut from = 0;
        // A run has few parts that begin as an object does; each is decoded once.
        while let Some((start, end)) = token(run.text, from) {
            let (start, end) = (run.start + start, run.start + end);
            found.push(Found { detector: Detector::Jwt, start, end, score: 100 });
            from = end - run.start;
        }
    }
}

/// The first token at or after `from`.
fn token(run: &str, from: usize) -> Option<(usize, usize)> {
    let mut start = from;
    loop {
        let part = run.get(start..)?.split('.').next()?;
        let header = part.find("ey").or_else(|| part.find("ew")).and_then(|at| Some((at, part.get(at..)?)));
        if let Some((at, header)) = header
            && let Some(length) = rest_of(run.get(start + part.len()..)?)
            && is_header(header)
        {
            return Some((start + at, start + part.len() + length));
        }
        start += part.len() + 1;
    }
}

/// How long the two parts after the header are: `.payload.signature`, the last of which may be empty.
fn rest_of(rest: &str) -> Option<usize> {
    let mut parts = rest.strip_prefix('.')?.split('.');
    let (payload, signature) = (parts.next()?, parts.next()?);
    (payload.len() >= 2).then_some(2 + payload.len() + signature.len())
}

fn is_header(encoded: &str) -> bool {
    if encoded.len() > HEADER_CHARS_MAX {
        return true;
    }
    let Ok(decoded) = URL_SAFE_NO_PAD.decode(encoded) else { return false };
    let header = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&decoded);
    header.is_ok_and(|header| header.contains_key("alg"))
}
