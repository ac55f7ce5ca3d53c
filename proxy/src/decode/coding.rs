//! Content codings: a coded body becomes a plain one, within bounds.
//!
//! Promise: at most `body_bytes_max` bytes come out, and past the first 64 KiB
//! never more than `ratio_max` for each one that went in; both are checked while
//! inflating, so a bomb costs no more memory than the bound and stops at once. Exactly one layer.
//!
//! Refuses: bytes after the last gzip member, a truncated or damaged member, and
//! more members than an honest sender writes.

use std::io::{self, Read};

use bytes::Bytes;
use flate2::bufread::GzDecoder;
use http::{HeaderMap, header};

use crate::decode::DecodeLimits;
use crate::formats::{Bound, Fault, Refusal};

/// Below this much output no ratio is held against a body.
const RATIO_FREE_BYTES: usize = 64 * 1024;
/// Concatenated members are legal; each costs a fresh window of memory to clear.
const MEMBERS_MAX: usize = 64;
/// How much is inflated between two looks at the bounds.
const STEP_BYTES: usize = 16 * 1024;

/// Removes the content coding of a body.
pub(crate) fn plain_body(headers: &HeaderMap, body: &Bytes, limits: &DecodeLimits) -> Result<Bytes, Refusal> {
    match coding(headers)? {
        Coding::Identity if body.len() > limits.body_bytes_max => Err(Refusal::TooLarge(Bound::Body)),
        Coding::Identity => Ok(body.clone()),
        Coding::Gzip => inflate(body, limits).map(Bytes::from),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Identity,
    Gzip,
}

/// The one coding of a request; a list of several is refused even if it says `identity`.
fn coding(headers: &HeaderMap) -> Result<Coding, Refusal> {
    let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
    let (first, more) = (values.next(), values.next());
    let Some(value) = first else { return Ok(Coding::Identity) };
    if more.is_some() {
        return Err(Refusal::UnsupportedCoding);
    }
    let written = value.to_str().map_err(|_| Refusal::UnsupportedCoding)?.trim();
    match written.to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(Coding::Identity),
        "gzip" | "x-gzip" => Ok(Coding::Gzip),
        _ => Err(Refusal::UnsupportedCoding),
    }
}

/// Inflates every gzip member of `body`.
fn inflate(body: &[u8], limits: &DecodeLimits) -> Result<Vec<u8>, Refusal> {
    let mut plain = Vec::new();
    let mut rest = body;
    for _ in 0..MEMBERS_MAX {
        let mut member = GzDecoder::new(rest);
        loop {
            let consumed = body.len() - member.get_ref().len();
            let grown = inflate_step(&mut member, &mut plain, limits.body_bytes_max)
                .map_err(|_| Refusal::malformed(Fault::Coding, consumed))?;
            check_bounds(body.len() - member.get_ref().len(), plain.len(), limits)?;
            if grown == 0 {
                break;
            }
        }
        rest = member.into_inner();
        if rest.is_empty() {
            return Ok(plain);
        }
    }
    Err(Refusal::malformed(Fault::Coding, body.len() - rest.len()))
}

/// Inflates a little more; 0 is the end of the member, its checksum verified.
fn inflate_step(member: &mut GzDecoder<&[u8]>, plain: &mut Vec<u8>, bytes_max: usize) -> io::Result<usize> {
    let had = plain.len();
    // One byte past the bound is enough to know that the body is over it.
    let step = STEP_BYTES.min(bytes_max.saturating_sub(had).saturating_add(1));
    plain.resize(had + step, 0);
    let room = plain.get_mut(had..).unwrap_or_default();
    let read = member.read(room);
    plain.truncate(had + *read.as_ref().unwrap_or(&0));
    read
}

fn check_bounds(consumed: usize, produced: usize, limits: &DecodeLimits) -> Result<(), Refusal> {
    if produced > limits.body_bytes_max {
        return Err(Refusal::TooLarge(Bound::Body));
    }
    if produced > RATIO_FREE_BYTES && produced > consumed.saturating_mul(limits.ratio_max) {
        return Err(Refusal::TooLarge(Bound::Ratio));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};
    use http::HeaderValue;

    use super::*;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn plain(coding: &[&str], body: &[u8], bytes_max: usize) -> Result<Bytes, Refusal> {
        let mut headers = HeaderMap::new();
        for value in coding {
            headers.append(header::CONTENT_ENCODING, HeaderValue::from_str(value).unwrap());
        }
        let limits = DecodeLimits { body_bytes_max: bytes_max, ..DecodeLimits::default() };
        plain_body(&headers, &Bytes::copy_from_slice(body), &limits)
    }

    #[test]
    fn gzip_of_one_and_of_several_members_is_inflated() {
        assert_eq!(plain(&["gzip"], &gzip(b"{\"a\":1}"), 100).unwrap(), b"{\"a\":1}".as_slice());
        let two = [gzip(b"{\"a\":"), gzip(b""), gzip(b"1}")].concat();
        assert_eq!(plain(&[" X-GZip "], &two, 100).unwrap(), b"{\"a\":1}".as_slice());
        assert_eq!(plain(&["identity"], b"{}", 2).unwrap(), b"{}".as_slice());
        assert_eq!(plain(&[], b"{}", 2).unwrap(), b"{}".as_slice());
    }

    #[test]
    fn every_truncation_and_every_trailing_byte_is_refused() {
        let whole = gzip(b"{\"event\":\"Search Performed\"}");
        for end in 0..whole.len() {
            let refusal = plain(&["gzip"], &whole[..end], 1_000).unwrap_err();
            assert!(matches!(refusal, Refusal::Malformed { fault: Fault::Coding, .. }), "cut at {end}: {refusal:?}");
        }
        for trailing in [b"\0".as_slice(), b"{", b"\x1f\x8b", b"\n"] {
            let refusal = plain(&["gzip"], &[&whole, trailing].concat(), 1_000).unwrap_err();
            assert!(matches!(refusal, Refusal::Malformed { fault: Fault::Coding, .. }), "{trailing:?}: {refusal:?}");
        }
    }

    #[test]
    fn a_flipped_checksum_is_refused() {
        let mut body = gzip(b"{}");
        let crc_at = body.len() - 8;
        body[crc_at] ^= 1;
        assert!(plain(&["gzip"], &body, 100).is_err());
    }

    #[test]
    fn the_bound_is_exact() {
        let body = gzip(&[b' '; 1_000]);
        assert_eq!(plain(&["gzip"], &body, 1_000).unwrap().len(), 1_000);
        assert_eq!(plain(&["gzip"], &body, 999).unwrap_err(), Refusal::TooLarge(Bound::Body));
        assert_eq!(plain(&[], &[b' '; 1_000], 999).unwrap_err(), Refusal::TooLarge(Bound::Body));
    }

    #[test]
    fn a_bomb_stops_at_the_ratio_or_at_the_bound_whichever_is_first() {
        let bomb = gzip(&vec![0; 64 * 1024 * 1024]);
        assert_eq!(plain(&["gzip"], &bomb, usize::MAX).unwrap_err(), Refusal::TooLarge(Bound::Ratio));
        assert_eq!(plain(&["gzip"], &bomb, 32 * 1024).unwrap_err(), Refusal::TooLarge(Bound::Body));
        let unbounded = DecodeLimits { body_bytes_max: usize::MAX, ..DecodeLimits::default() };
        let mut grown = Vec::new();
        let mut member = GzDecoder::new(bomb.as_slice());
        while check_bounds(bomb.len() - member.get_ref().len(), grown.len(), &unbounded).is_ok() {
            inflate_step(&mut member, &mut grown, usize::MAX).unwrap();
        }
        assert!(grown.capacity() <= 4 * RATIO_FREE_BYTES, "{}", grown.capacity());
    }

    #[test]
    fn a_chain_of_empty_members_is_refused() {
        let chain = gzip(b"").repeat(MEMBERS_MAX + 1);
        assert!(plain(&["gzip"], &chain, 100).is_err());
        let most = [gzip(b"").repeat(MEMBERS_MAX - 1), gzip(b"{}")].concat();
        assert_eq!(plain(&["gzip"], &most, 100).unwrap(), b"{}".as_slice());
    }

    #[test]
    fn other_and_layered_codings_are_refused() {
        for coding in
            [&["deflate"][..], &["br"], &["zstd"], &["gzip, gzip"], &["gzip", "gzip"], &["identity, gzip"], &["gzip,"]]
        {
            assert_eq!(plain(coding, &gzip(b"{}"), 100).unwrap_err(), Refusal::UnsupportedCoding, "{coding:?}");
        }
    }
}
