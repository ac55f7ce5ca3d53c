//! Addresses of cryptocurrencies: base58check (Bitcoin, Litecoin, Dogecoin,
//! Tron), bech32 and bech32m (BIP 173, BIP 350), and Ethereum's hexadecimal ones.
//!
//! The first two carry a checksum of thirty bits or more, so that nothing else
//! passes. EIP-55 is not asked for: many write an address in one case.

use sha2::{Digest, Sha256};

use super::runs::runs;
use super::sight::Sight;
use super::{Detector, Found};

/// How long an address may be: of bech32 up to that of a Cardano account.
const CHARS: std::ops::RangeInclusive<usize> = 26..=120;

pub(super) const fn possible(sight: &Sight) -> bool {
    sight.digits >= 1
}

pub(super) fn find(text: &str, _sight: &Sight, found: &mut Vec<Found>) {
    for run in runs(text, u8::is_ascii_alphanumeric).filter(|run| CHARS.contains(&run.text.len())) {
        if is_address(run.text.as_bytes()) {
            found.push(Found { detector: Detector::Crypto, start: run.start, end: run.end(), score: 100 });
        }
    }
}

fn is_address(written: &[u8]) -> bool {
    match written {
        [b'0', b'x' | b'X', hex @ ..] if hex.len() == 40 => {
            hex.iter().all(u8::is_ascii_hexdigit) && hex.iter().any(|byte| *byte != b'0')
        }
        _ => is_base58check(written) || is_bech32(written),
    }
}

const BASE58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/// A version byte, twenty bytes, and the first four bytes of the double hash of these.
fn is_base58check(written: &[u8]) -> bool {
    if !(26..=35).contains(&written.len()) {
        return false;
    }
    let mut bytes = [0_u8; 25];
    for letter in written {
        let Some(value) = BASE58.iter().position(|other| other == letter) else { return false };
        let mut carry = value as u32;
        for byte in bytes.iter_mut().rev() {
            carry += u32::from(*byte) * 58;
            *byte = (carry & 0xFF) as u8;
            carry >>= 8;
        }
        if carry != 0 {
            return false;
        }
    }
    let (payload, check) = bytes.split_at_checked(21).unwrap_or_default();
    Sha256::digest(Sha256::digest(payload)).starts_with(check)
}

/// A readable part, `1`, and thirty-two kinds of characters with a checksum at the end.
fn is_bech32(written: &[u8]) -> bool {
    const ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    let cased = |is: fn(&u8) -> bool| written.iter().any(is);
    let Some(at) = written.iter().rposition(|byte| *byte == b'1') else { return false };
    let (readable, data) = written.split_at_checked(at).unwrap_or_default();
    let is_mixed = cased(u8::is_ascii_lowercase) && cased(u8::is_ascii_uppercase);
    if is_mixed || !(1..=12).contains(&readable.len()) || data.len() < 15 {
        return false;
    }
    let lower = |byte: &u8| byte.to_ascii_lowercase();
    let high = readable.iter().map(|byte| u32::from(lower(byte) >> 5));
    let low = readable.iter().map(|byte| u32::from(lower(byte) & 31));
    let mut sum = high.chain([0]).chain(low).fold(1, polymod);
    for byte in data.iter().skip(1) {
        let Some(value) = ALPHABET.iter().position(|other| *other == lower(byte)) else { return false };
        sum = polymod(sum, value as u32);
    }
    matches!(sum, 1 | 0x2BC8_30A3)
}

/// One step of the checksum of BIP 173.
fn polymod(sum: u32, value: u32) -> u32 {
    const GENERATOR: [u32; 5] = [0x3B6A_57B2, 0x2650_8E6D, 0x1EA1_19FA, 0x3D42_33DD, 0x2A14_62B3];
    let top = sum >> 25;
    let shifted = (sum & 0x1FF_FFFF) << 5 ^ value;
    GENERATOR.iter().enumerate().filter(|(bit, _)| top >> bit & 1 == 1).fold(shifted, |sum, (_, term)| sum ^ term)
}
