//! One secret, and the keys that are derived from it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use ring::{hkdf, rand};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::BadKeyring;
use crate::consent::SubjectKeys;

const SECRET_BYTES: usize = 32;
const SALT: &[u8] = b"privet pseudonym v1";

/// 32 secret bytes. Has no `Debug`.
pub struct Secret(Zeroizing<[u8; SECRET_BYTES]>);

impl Secret {
    /// Known bytes, for tests.
    #[must_use]
    pub fn new(bytes: [u8; SECRET_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Fresh bytes from the system.
    ///
    /// # Errors
    /// [`BadKeyring::NoRandomness`].
    pub fn random() -> Result<Self, BadKeyring> {
        rand::generate(&rand::SystemRandom::new())
            .map(|bytes| Self::new(bytes.expose()))
            .map_err(|_| BadKeyring::NoRandomness)
    }

    /// The secret as its file holds it.
    #[must_use]
    pub fn file(&self, from: Option<Timestamp>) -> Zeroizing<String> {
        let mut file = Zeroizing::new(STANDARD.encode(*self.0) + "\n");
        if let Some(from) = from {
            file.push_str(&format!("from {from}\n"));
        }
        file
    }

    /// The secret in a file, as [`Self::file`] writes it without a time; `None` where there is none.
    #[must_use]
    pub fn read(file: &[u8]) -> Option<Self> {
        read(file).filter(|(_, from)| from.is_none()).map(|(secret, _)| secret)
    }

    /// The keys of subjects in a consent store. No purpose begins as this use does.
    #[must_use]
    pub fn subject_keys(&self) -> SubjectKeys {
        SubjectKeys::new(&self.derive(&[b"\0consent subjects v1"]))
    }

    /// A key of its own for one use: HKDF-SHA-256 (RFC 5869).
    pub(super) fn derive<const N: usize>(&self, info: &[&[u8]]) -> Zeroizing<[u8; N]> {
        struct Length(usize);
        impl hkdf::KeyType for Length {
            fn len(&self) -> usize {
                self.0
            }
        }
        let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(&*self.0);
        let mut key = Zeroizing::new([0; N]);
        let expanded = extracted.expand(info, Length(N)).and_then(|expanded| expanded.fill(&mut *key));
        expanded.expect("keys are far below HKDF's bound of 8,160 bytes");
        key
    }
}

/// Tells keys apart without telling them: eight hexadecimal digits of an HMAC
/// under the key; `None` where a file holds none.
#[must_use]
pub fn check_value(file: &[u8]) -> Option<String> {
    let (secret, _) = read(file)?;
    let mac = Hmac::<Sha256>::new_from_slice(&*secret.0).ok()?.chain_update(b"privet key check v1");
    Some(mac.finalize().into_bytes().iter().take(4).map(|byte| format!("{byte:02x}")).collect())
}

/// When a key file's epoch begins, where it says so.
#[must_use]
pub fn begins(file: &[u8]) -> Option<Timestamp> {
    read(file)?.1
}

/// The secret in a file, and when it begins to be used.
pub(super) fn read(bytes: &[u8]) -> Option<(Secret, Option<Timestamp>)> {
    let mut lines = std::str::from_utf8(bytes).ok()?.trim().lines();
    let decoded = Zeroizing::new(STANDARD.decode(lines.next()?.trim()).ok()?);
    let secret = <[u8; SECRET_BYTES]>::try_from(decoded.as_slice()).ok().map(Secret::new)?;
    let from = lines.next().map(|line| line.trim().strip_prefix("from ").and_then(|time| time.trim().parse().ok()));
    match (from, lines.next()) {
        (None, None) => Some((secret, None)),
        (Some(Some(from)), None) => Some((secret, Some(from))),
        _ => None,
    }
}
