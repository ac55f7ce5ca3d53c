//! Content codings: a coded body becomes a plain one, within bounds.
//!
//! Promise: at most `body_bytes_max` bytes come out, and past the first 64 KiB
//! never more than `ratio_max` for each one that went in; both are checked while
//! inflating, so a bomb stops at once and costs no more memory than the bound and
//! the window of its coding (zstd 8 MiB, brotli 16 MiB). Exactly one layer.
//!
//! Refuses: bytes after the end of what is coded, a truncated or damaged body, and
//! more gzip members or zstd frames than an honest sender writes.

use bytes::Bytes;
use http::{HeaderMap, header};

use super::inflate::{Brotli, Deflate, Gzip, Inflate, Zstd};
use crate::decode::DecodeLimits;
use crate::formats::{Bound, Fault, Refusal};

/// Below this much output no ratio is held against a body.
const RATIO_FREE_BYTES: usize = 64 * 1024;
/// Concatenated members and frames are legal; each costs a fresh window of memory to clear.
const MEMBERS_MAX: usize = 64;
/// How much is inflated between two looks at the bounds.
const STEP_BYTES: usize = 16 * 1024;

/// The codings that are taken, as an `Accept-Encoding` names them.
pub(crate) const ACCEPTED: &str = "gzip, deflate, zstd, br, identity";

/// Removes the content coding of a body.
pub(crate) fn plain_body(headers: &HeaderMap, body: &Bytes, limits: &DecodeLimits) -> Result<Bytes, Refusal> {
    match coding(headers)? {
        Coding::Identity if body.len() > limits.body_bytes_max => Err(Refusal::TooLarge(Bound::Body)),
        Coding::Identity => Ok(body.clone()),
        Coding::Gzip => members(body, limits, Gzip::new),
        Coding::Zstd => members(body, limits, Zstd::new),
        Coding::Deflate => whole(body, limits, Deflate::new(body)),
        Coding::Brotli => whole(body, limits, Brotli::new(body)),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Identity,
    Gzip,
    Deflate,
    Zstd,
    Brotli,
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
        "deflate" => Ok(Coding::Deflate),
        "zstd" => Ok(Coding::Zstd),
        "br" => Ok(Coding::Brotli),
        _ => Err(Refusal::UnsupportedCoding),
    }
}

/// Inflates every member of a body whose coding may be written several times in a row.
fn members<'b, I: Inflate<'b>>(
    body: &'b [u8],
    limits: &DecodeLimits,
    begin: impl Fn(&'b [u8]) -> I,
) -> Result<Bytes, Refusal> {
    let mut plain = Vec::new();
    let mut rest = body;
    for _ in 0..MEMBERS_MAX {
        rest = inflate(begin(rest), body.len(), &mut plain, limits)?;
        if rest.is_empty() {
            return Ok(Bytes::from(plain));
        }
    }
    Err(Refusal::malformed(Fault::Coding, body.len() - rest.len()))
}

/// Inflates a body that is coded as a whole.
fn whole<'b>(body: &'b [u8], limits: &DecodeLimits, coded: impl Inflate<'b>) -> Result<Bytes, Refusal> {
    let mut plain = Vec::new();
    let rest = inflate(coded, body.len(), &mut plain, limits)?;
    if rest.is_empty() {
        Ok(Bytes::from(plain))
    } else {
        Err(Refusal::malformed(Fault::Coding, body.len() - rest.len()))
    }
}

/// Inflates to the end of one coded part, and gives what follows it.
fn inflate<'b>(
    mut coded: impl Inflate<'b>,
    body_bytes: usize,
    plain: &mut Vec<u8>,
    limits: &DecodeLimits,
) -> Result<&'b [u8], Refusal> {
    loop {
        let consumed = body_bytes - coded.rest().len();
        let grown = inflate_step(&mut coded, plain, limits.body_bytes_max)
            .ok_or(Refusal::malformed(Fault::Coding, consumed))?;
        check_bounds(body_bytes - coded.rest().len(), plain.len(), limits)?;
        if grown == 0 {
            return Ok(coded.rest());
        }
    }
}

/// Inflates a little more; 0 is the end of the part, its checksum verified.
fn inflate_step<'b>(coded: &mut impl Inflate<'b>, plain: &mut Vec<u8>, bytes_max: usize) -> Option<usize> {
    let had = plain.len();
    // One byte past the bound is enough to know that the body is over it.
    let step = STEP_BYTES.min(bytes_max.saturating_sub(had).saturating_add(1));
    plain.resize(had + step, 0);
    let grown = coded.step(plain.get_mut(had..).unwrap_or_default());
    plain.truncate(had + grown.unwrap_or(0));
    grown
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

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
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
        let mut member = Gzip::new(&bomb);
        while check_bounds(bomb.len() - member.rest().len(), grown.len(), &unbounded).is_ok() {
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
        for coding in [&["compress"][..], &["dcb"], &["gzip, gzip"], &["gzip", "gzip"], &["identity, gzip"], &["gzip,"]]
        {
            assert_eq!(plain(coding, &gzip(b"{}"), 100).unwrap_err(), Refusal::UnsupportedCoding, "{coding:?}");
        }
    }

    const TEXT: &[u8] = br#"{"type":"track","event":"Search Performed","note":"knitting knitting knitting"}"#;
    /// [`TEXT`] as Node 20 writes it.
    const BROTLI: &str = "G04A4I3UYs0Z7kTYtlTlchd5hFnWTB2WPpjIgWOetovKwSEHctFDLc2vbAiY2MM4/JOeJa8bN9NOzkID";
    /// The same with a window of 28 bits, which RFC 7932 does not know.
    const BROTLI_LARGE: &str = "EVw4AYA3Uos1Z7gTYdtSlctd5BFmWTN1WPpgIgeOedouKgeHHMhFD7U0v7IhYGIP4/BPepa8btxMOzkLDQ==";
    /// 64 MiB of zeros.
    const BROTLI_BOMB: &str = "z///fwAkAOKxQHLv//n//w+ABEAcFoDu/T////8BkACIwwLQvf/P//9/ABIAcVgAuvf/";
    /// [`TEXT`] as zstd 1.5 writes it: of a known size, and as a stream; both with a checksum.
    const ZSTD: &str =
        "KLUv/SRP7QEA4gMNEaDtXJN0OxfwLy0/AHpYQI0w8yDt6l7LLq7t9uFHGzvEOoAyXJRcvFehPpyZwn1xfbEvAwEAzLlAAbzYlkI=";
    const ZSTD_STREAM: &str = "KLUv/QRYNQIA5AN7InR5cGUiOiJ0cmFjayIsImV2ZW50IjoiU2VhcmNoIFBlcmZvcm1lZCIsIm5vdGUiOiJrbml0dGluZyAifQEAzLlAAbzYlkI=";
    /// The same, with a window of 128 MiB asked for.
    const ZSTD_WIDE: &str = "KLUv/QSINQIA5AN7InR5cGUiOiJ0cmFjayIsImV2ZW50IjoiU2VhcmNoIFBlcmZvcm1lZCIsIm5vdGUiOiJrbml0dGluZyAifQEAzLlAAbzYlkI=";

    fn bytes(base64: &str) -> Vec<u8> {
        STANDARD.decode(base64).unwrap()
    }

    fn zlib(plain: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn bare_deflate(plain: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    /// Every coding but gzip, each with [`TEXT`] in it.
    fn coded() -> Vec<(&'static str, Vec<u8>)> {
        vec![
            ("deflate", zlib(TEXT)),
            ("deflate", bare_deflate(TEXT)),
            ("zstd", bytes(ZSTD)),
            ("zstd", bytes(ZSTD_STREAM)),
            ("br", bytes(BROTLI)),
        ]
    }

    #[test]
    fn every_coding_of_the_list_is_undone_and_its_bound_is_exact() {
        for (coding, body) in coded() {
            assert_eq!(plain(&[coding], &body, TEXT.len()).unwrap(), TEXT, "{coding}");
            let over = plain(&[&coding.to_uppercase()], &body, TEXT.len() - 1).unwrap_err();
            assert_eq!(over, Refusal::TooLarge(Bound::Body), "{coding}");
            assert!(ACCEPTED.contains(coding));
        }
    }

    #[test]
    fn every_coding_refuses_truncation_and_what_follows_its_end() {
        let broken = |refusal: Refusal| matches!(refusal, Refusal::Malformed { fault: Fault::Coding, .. });
        for (coding, whole) in coded() {
            for end in 0..whole.len() {
                let refusal = plain(&[coding], &whole[..end], 1_000).unwrap_err();
                assert!(broken(refusal), "{coding} cut at {end}: {refusal:?}");
            }
            for trailing in [b"\0".as_slice(), b"{", b"\n", b"\x28\xb5\x2f\xfd"] {
                let refusal = plain(&[coding], &[&whole, trailing].concat(), 1_000).unwrap_err();
                assert!(broken(refusal), "{coding} {trailing:?}: {refusal:?}");
            }
        }
    }

    #[test]
    fn damage_is_refused_or_read_as_something_bounded() {
        for (coding, whole) in coded() {
            for at in 0..whole.len() {
                for bit in 0..8 {
                    let mut damaged = whole.clone();
                    damaged[at] ^= 1 << bit;
                    assert!(plain(&[coding], &damaged, 1_000).map_or(0, |plain| plain.len()) <= 1_000);
                }
            }
        }
        // What has a checksum gives no other text.
        for (coding, whole) in [("deflate", zlib(TEXT)), ("zstd", bytes(ZSTD)), ("zstd", bytes(ZSTD_STREAM))] {
            for at in whole.len() - 4..whole.len() {
                let mut damaged = whole.clone();
                damaged[at] ^= 1;
                assert!(plain(&[coding], &damaged, 1_000).is_err(), "{coding} at {at}");
            }
        }
    }

    #[test]
    fn frames_in_a_row_are_one_body_and_skippable_ones_are_refused() {
        let two = [bytes(ZSTD), bytes(ZSTD_STREAM)].concat();
        assert_eq!(plain(&["zstd"], &two, 1_000).unwrap(), [TEXT, TEXT].concat());
        assert!(plain(&["zstd"], &bytes(ZSTD).repeat(MEMBERS_MAX + 1), 100_000).is_err());
        let skipped = [b"\x50\x2a\x4d\x18\x02\0\0\0ab".as_slice(), &bytes(ZSTD)].concat();
        assert!(plain(&["zstd"], &skipped, 1_000).is_err());
    }

    #[test]
    fn windows_past_what_is_usual_are_refused() {
        assert!(plain(&["zstd"], &bytes(ZSTD_WIDE), 1_000).is_err());
        assert!(plain(&["br"], &bytes(BROTLI_LARGE), 1_000).is_err());
    }

    #[test]
    fn bombs_of_every_coding_stop() {
        let zeros = vec![0; 64 * 1024 * 1024];
        let bombs = [
            ("deflate", zlib(&zeros)),
            ("deflate", bare_deflate(&zeros)),
            ("zstd", include_bytes!("../../tests/data/zeros-64-mib.zst").to_vec()),
            ("br", bytes(BROTLI_BOMB)),
        ];
        for (coding, bomb) in bombs {
            let stops = |bytes_max: usize| plain(&[coding], &bomb, bytes_max).unwrap_err();
            assert_eq!(stops(usize::MAX), Refusal::TooLarge(Bound::Ratio), "{coding}");
            assert_eq!(stops(32 * 1024), Refusal::TooLarge(Bound::Body), "{coding}");
        }
    }
}
