//! Who a record is about: a keyed pseudonym, under a key that only this fleet has.
//!
//! Promise: no id reaches a store. The key is not one of those that make
//! pseudonyms in events, so a collector's data and the store's cannot be joined.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// HMAC-SHA-256 (RFC 2104) of a subject's id. Has no `Debug` and no `Display`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectKey([u8; 32]);

/// Makes the keys of subjects. The secret is absorbed once, so that a short id costs two blocks of SHA-256.
#[derive(Clone)]
pub struct SubjectKeys(Hmac<Sha256>);

/// A byte that no text holds, so that no id has the tag of this.
const CHECK: &[u8] = b"\xFFprivet consent store check v1";

impl SubjectKeys {
    /// Takes 32 secret bytes.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(Hmac::new_from_slice(secret).expect("HMAC takes keys of any length"))
    }

    /// The key of the subject with this id.
    #[must_use]
    pub fn of(&self, id: &str) -> SubjectKey {
        SubjectKey(self.0.clone().chain_update(id.as_bytes()).finalize().into_bytes().into())
    }

    /// Tells secrets apart without telling them: 32 hexadecimal digits, kept in the store that was written under this one.
    #[must_use]
    pub fn check(&self) -> String {
        let tag = self.0.clone().chain_update(CHECK).finalize().into_bytes();
        tag.iter().take(16).fold(String::new(), |mut digits, byte| {
            let _ = write!(digits, "{byte:02x}");
            digits
        })
    }
}

impl SubjectKey {
    /// The bytes, for a store.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Hexadecimal, for a store whose keys are text.
    #[must_use]
    pub fn hex(&self) -> String {
        self.0.iter().fold(String::with_capacity(64), |mut digits, byte| {
            let _ = write!(digits, "{byte:02x}");
            digits
        })
    }

    /// What [`Self::hex`] wrote.
    #[must_use]
    pub fn from_hex(digits: &str) -> Option<Self> {
        let mut key = [0; 32];
        if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        for (byte, place) in key.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(digits.get(place..place + 2)?, 16).ok()?;
        }
        Some(Self(key))
    }

    /// As a store has it.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Eight of its bytes; it is a hash already.
    pub(super) fn number(&self) -> u64 {
        self.0.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_secret_has_its_own_keys_and_its_own_check() {
        let (one, two) = (SubjectKeys::new(&[1; 32]), SubjectKeys::new(&[2; 32]));
        assert!(one.of("u-1") == one.of("u-1") && one.of("u-1") != one.of("u-2") && one.of("u-1") != two.of("u-1"));
        assert_ne!(one.check(), two.check());
        assert_eq!(one.check().len(), 32);
    }

    #[test]
    fn the_value_is_hmac_sha_256() {
        // Python: hmac.new(bytes([1]) * 32, b"u-1", "sha256").hexdigest()
        let want = "600c322a5999cd7ad97da23f11b384fc";
        assert_eq!(SubjectKeys::new(&[1; 32]).of("u-1").hex().get(..32), Some(want));
    }

    #[test]
    fn hexadecimal_there_and_back() {
        let key = SubjectKeys::new(&[7; 32]).of("u-1");
        assert!(SubjectKey::from_hex(&key.hex()) == Some(key));
        for wrong in ["", "00", &"g".repeat(64), &"é".repeat(32), &format!("+{}", "0".repeat(63))] {
            assert!(SubjectKey::from_hex(wrong).is_none(), "{wrong}");
        }
    }
}
