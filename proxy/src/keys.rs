//! The keyring: which pseudonyms join, and for how long.
//!
//! A directory of files `<epoch>.key`, each 32 secret bytes in base64 on one line.
//! The epoch that sorts last is current; one that is gone cannot be used any
//! more. From each a key is derived per purpose (HKDF-SHA-256, RFC 5869), so
//! pseudonyms of one purpose do not join with those of another.
//!
//! Promise: a keyring that cannot be read whole is refused whole. Not here:
//! making and rotating epochs, or keys that open anything.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use ring::{hkdf, rand};
use sha2::Sha256;
use zeroize::Zeroizing;

/// Bytes of a pseudonym before it is written as base64url: 144 bits.
const PSEUDONYM_BYTES: usize = 18;
/// Characters of a written pseudonym.
pub const PSEUDONYM_CHARS: usize = 24;
const SECRET_BYTES: usize = 32;
const SALT: &[u8] = b"privet pseudonym v1";

/// The secret of the current epoch.
pub struct Keyring {
    epoch: String,
    secret: Zeroizing<[u8; SECRET_BYTES]>,
}

/// Why a keyring cannot be used. Holds names of files, never what is in them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKeyring {
    /// There is no key in it.
    #[error("the keyring holds no `<epoch>.key` file")]
    Empty,
    /// One file is no key.
    #[error("`{0}` is not 32 bytes in base64 on one line")]
    NotAKey(String),
    /// The system gave no random bytes.
    #[error("the system gives no random bytes")]
    NoRandomness,
}

impl Keyring {
    /// Reads a keyring from the files of its directory.
    ///
    /// # Errors
    /// [`BadKeyring`] if there is no key, or one that is not readable.
    pub fn read(files: &[(String, Vec<u8>)]) -> Result<Self, BadKeyring> {
        let mut epochs: Vec<(&str, Zeroizing<[u8; SECRET_BYTES]>)> = Vec::new();
        for (name, bytes) in files {
            if let Some(epoch) = name.strip_suffix(".key") {
                epochs.push((epoch, secret(bytes).ok_or_else(|| BadKeyring::NotAKey(name.clone()))?));
            }
        }
        epochs.sort_by_key(|(epoch, _)| *epoch);
        let (epoch, secret) = epochs.pop().ok_or(BadKeyring::Empty)?;
        Ok(Self { epoch: epoch.to_owned(), secret })
    }

    /// A keyring of one random epoch, for demonstrations and offline use.
    ///
    /// # Errors
    /// [`BadKeyring::NoRandomness`].
    pub fn random() -> Result<Self, BadKeyring> {
        let bytes: [u8; SECRET_BYTES] =
            rand::generate(&rand::SystemRandom::new()).map_err(|_| BadKeyring::NoRandomness)?.expose();
        Ok(Self { epoch: "random".to_owned(), secret: Zeroizing::new(bytes) })
    }

    /// One fresh key as its file holds it.
    ///
    /// # Errors
    /// [`BadKeyring::NoRandomness`].
    pub fn fresh_key_file() -> Result<Zeroizing<String>, BadKeyring> {
        let fresh = Self::random()?;
        Ok(Zeroizing::new(STANDARD.encode(*fresh.secret) + "\n"))
    }

    /// The current epoch's name.
    #[must_use]
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// The key of one purpose in the current epoch.
    #[must_use]
    pub fn pseudonyms_for(&self, purpose: &str) -> Pseudonyms {
        let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(&*self.secret);
        let info = [purpose.as_bytes(), b"\0", self.epoch.as_bytes()];
        let mut key = Zeroizing::new([0; SECRET_BYTES]);
        let expanded = extracted.expand(&info, hkdf::HKDF_SHA256).and_then(|expanded| expanded.fill(&mut *key));
        expanded.expect("32 bytes is within HKDF's bound");
        Pseudonyms(Hmac::new_from_slice(&*key).expect("HMAC takes keys of any length"))
    }
}

/// The epoch, and nothing of the secret.
impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

/// Tells keys apart without telling them: eight hexadecimal digits of an HMAC
/// under the key; `None` where a file holds none.
#[must_use]
pub fn check_value(file: &[u8]) -> Option<String> {
    let key = secret(file)?;
    let mac = Hmac::<Sha256>::new_from_slice(&*key).ok()?.chain_update(b"privet key check v1");
    Some(mac.finalize().into_bytes().iter().take(4).map(|byte| format!("{byte:02x}")).collect())
}

fn secret(bytes: &[u8]) -> Option<Zeroizing<[u8; SECRET_BYTES]>> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let decoded = Zeroizing::new(STANDARD.decode(text).ok()?);
    <[u8; SECRET_BYTES]>::try_from(decoded.as_slice()).ok().map(Zeroizing::new)
}

/// Makes the pseudonyms of one purpose and epoch. The key is absorbed once, so
/// that a short value costs two blocks of SHA-256.
#[derive(Clone)]
pub struct Pseudonyms(Hmac<Sha256>);

impl Pseudonyms {
    /// The pseudonym of a value: HMAC-SHA-256 (RFC 2104), its first 144 bits as base64url.
    #[must_use]
    pub fn of(&self, value: &[u8]) -> [u8; PSEUDONYM_CHARS] {
        let tag = self.0.clone().chain_update(value).finalize().into_bytes();
        let mut written = [0; PSEUDONYM_CHARS];
        let head = tag.get(..PSEUDONYM_BYTES).unwrap_or_default();
        URL_SAFE_NO_PAD.encode_slice(head, &mut written).expect("18 bytes are 24 characters");
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
        list.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect()
    }

    const A: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
    const B: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

    #[test]
    fn the_last_epoch_is_current_and_each_purpose_has_its_own_key() {
        let ring = Keyring::read(&files(&[("2026-11.key", B), ("2026-10.key", A), ("README", "x")])).unwrap();
        assert_eq!(ring.epoch(), "2026-11");
        let analytics = ring.pseudonyms_for("analytics").of(b"u-1");
        assert_eq!(analytics, ring.pseudonyms_for("analytics").of(b"u-1"));
        assert_ne!(analytics, ring.pseudonyms_for("marketing").of(b"u-1"));
        let earlier = Keyring::read(&files(&[("2026-10.key", A)])).unwrap();
        assert_ne!(analytics, earlier.pseudonyms_for("analytics").of(b"u-1"));
    }

    #[test]
    fn a_pseudonym_is_rfc_5869_and_rfc_2104_put_together() {
        // Computed with Python's hmac and hashlib: extract with the salt above, expand with "analytics\0e", sign "u-1".
        let ring = Keyring::read(&files(&[("e.key", A)])).unwrap();
        assert_eq!(std::str::from_utf8(&ring.pseudonyms_for("analytics").of(b"u-1")).unwrap(), EXPECTED);
    }

    const EXPECTED: &str = "6leUun5aG-hoEolpOoQ68UEz";

    #[test]
    fn a_keyring_is_read_whole_or_not_at_all() {
        assert_eq!(Keyring::read(&files(&[("README", "x")])).unwrap_err(), BadKeyring::Empty);
        let bad = files(&[("2026-10.key", A), ("2026-11.key", "short")]);
        assert_eq!(Keyring::read(&bad).unwrap_err(), BadKeyring::NotAKey("2026-11.key".into()));
        assert!(!format!("{:?}", Keyring::read(&files(&[("e.key", A)])).unwrap()).contains("AAAA"));
    }
}
