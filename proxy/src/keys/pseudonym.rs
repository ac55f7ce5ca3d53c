//! Pseudonyms: keyed one-way values, in the shape a collector's schema wants.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use privet_policy::action::PseudonymShape;
use sha2::Sha256;

/// Bytes of a pseudonym before it is written as base64url: 144 bits.
const TEXT_BYTES: usize = 18;
/// The longest pseudonym of any shape, in bytes.
pub const PSEUDONYM_BYTES_MAX: usize = 44;

/// Makes the pseudonyms of one purpose and epoch. The key is absorbed once, so
/// that a short value costs two blocks of SHA-256.
#[derive(Clone)]
pub struct Pseudonyms(Hmac<Sha256>);

impl Pseudonyms {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self(Hmac::new_from_slice(key).expect("HMAC takes keys of any length"))
    }

    /// Appends the pseudonym of a value: HMAC-SHA-256 (RFC 2104), cut to a shape.
    /// No character of it needs escaping in JSON, a header, a cookie or a URL but
    /// the `@` of an address. The shapes of one value do not join: each is told
    /// from a hash of its own.
    pub fn write(&self, value: &str, shape: PseudonymShape, out: &mut String) {
        match shape {
            PseudonymShape::Text => {
                let mut written = [0; TEXT_BYTES / 3 * 4];
                let tag = self.tag(value, "");
                let head = tag.get(..TEXT_BYTES).unwrap_or_default();
                URL_SAFE_NO_PAD.encode_slice(head, &mut written).expect("18 bytes are 24 characters");
                out.push_str(std::str::from_utf8(&written).unwrap_or_default());
            }
            PseudonymShape::Uuid => write_uuid(&self.tag(value, "uuid"), out),
            PseudonymShape::Email => write_email(&self.tag(value, "email"), out),
            PseudonymShape::Digits => write_digits(&self.tag(value, "digits"), out),
        }
    }

    /// A shape's name and a byte that no text holds stand before the value, so that
    /// no value has the tag of another in another shape.
    fn tag(&self, value: &str, shape: &str) -> [u8; 32] {
        let mut mac = self.0.clone();
        if !shape.is_empty() {
            mac.update(shape.as_bytes());
            mac.update(&[0xFF]);
        }
        mac.update(value.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

/// RFC 9562, section 5.8: version 8 leaves all bits but six to whoever makes it.
fn write_uuid(tag: &[u8; 32], out: &mut String) {
    let mut head = u128::from_be_bytes(first(tag));
    head = head & !(0xF << 76) | 0x8 << 76;
    head = head & !(0x3 << 62) | 0x2 << 62;
    for (digits, shift) in [(8, 96), (4, 80), (4, 64), (4, 48), (12, 0)] {
        let part = head >> shift & ((1 << (digits * 4)) - 1);
        let dash = if shift == 96 { "" } else { "-" };
        let _ = write!(out, "{dash}{part:0width$x}", width = digits as usize);
    }
}

const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// 25 letters of RFC 4648's base32, in lower case, and a domain that does not exist.
fn write_email(tag: &[u8; 32], out: &mut String) {
    let mut head = u128::from_be_bytes(first(tag));
    for _ in 0..25 {
        let letter = LETTERS.get((head & 31) as usize).copied().unwrap_or(b'a');
        out.push(char::from(letter));
        head >>= 5;
    }
    out.push_str("@pseudonym.invalid");
}

/// 18 digits without a leading zero, so that they are a number of 64 bits, too.
fn write_digits(tag: &[u8; 32], out: &mut String) {
    const LEAST: u128 = 100_000_000_000_000_000;
    // 128 bits are so many that the bias of the remainder is below 2^-69.
    let _ = write!(out, "{}", LEAST + u128::from_be_bytes(first(tag)) % (9 * LEAST));
}

fn first(tag: &[u8; 32]) -> [u8; 16] {
    std::array::from_fn(|place| tag.get(place).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Secret;

    fn pseudonyms() -> Pseudonyms {
        Pseudonyms::new(&Secret::new([0; 32]).derive(&[b"analytics", b"\0", b"e"]))
    }

    fn told(value: &str, shape: PseudonymShape) -> String {
        let mut out = String::new();
        pseudonyms().write(value, shape, &mut out);
        out
    }

    #[test]
    fn a_pseudonym_is_rfc_5869_and_rfc_2104_put_together() {
        // Computed with Python's hmac and hashlib: extract with the salt of `secret.rs`, expand with "analytics\0e", sign "u-1".
        assert_eq!(told("u-1", PseudonymShape::Text), "6leUun5aG-hoEolpOoQ68UEz");
    }

    #[test]
    fn shapes_hold_their_schemas() {
        for value in ["u-1", "", "marla.quillfeather@example.com", "ü", "0"] {
            let uuid = told(value, PseudonymShape::Uuid);
            let parts: Vec<&str> = uuid.split('-').collect();
            assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12], "{uuid}");
            assert!(uuid.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit()), "{uuid}");
            assert!(parts[2].starts_with('8') && parts[3].starts_with(['8', '9', 'a', 'b']), "{uuid}");
            let email = told(value, PseudonymShape::Email);
            assert_eq!(email.len(), 43);
            assert!(email.ends_with("@pseudonym.invalid"), "{email}");
            let digits = told(value, PseudonymShape::Digits);
            assert_eq!(digits.len(), 18);
            assert!(digits.parse::<i64>().is_ok() && !digits.starts_with('0'), "{digits}");
            for shape in PseudonymShape::ALL {
                assert!(told(value, shape).len() <= PSEUDONYM_BYTES_MAX);
            }
        }
    }

    #[test]
    fn shapes_as_python_makes_them() {
        assert_eq!(told("u-1", PseudonymShape::Uuid), UUID);
        assert_eq!(told("u-1", PseudonymShape::Email), EMAIL);
        assert_eq!(told("u-1", PseudonymShape::Digits), DIGITS);
    }

    // Computed with Python's hmac over b"uuid\xffu-1" and so on; the shapes written by hand from the tags.
    const UUID: &str = "9063154d-4eb0-8ab7-bdde-3d03bdd9b4fb";
    const EMAIL: &str = "eg2lb4f2rxmnoco3meegvgfcn@pseudonym.invalid";
    const DIGITS: &str = "621762440171846122";
}
