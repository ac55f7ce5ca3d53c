//! The tag of a privacy unit within one window.
//!
//! Promise: a tag is HMAC-SHA-256 of the identifier under a key that is drawn
//! for one window, never leaves memory and is overwritten when the window
//! closes. Tags of two windows cannot be joined, and none can be undone.
//!
//! The construction is RFC 2104's, written out because a library's key object
//! does not overwrite itself; the tests compare it with `ring`'s. Both padded
//! keys are hashed once for a window: they are half of the work.

use std::hash::{Hash, Hasher};

use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

const BLOCK_BYTES: usize = 64;

/// The operating system gave no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the operating system gives no random bytes for a window key")]
pub struct NoRandomness;

/// The secret of one window: the hashes of both padded keys, to be gone on with.
pub(crate) struct WindowKey {
    inner: Sha256,
    outer: Sha256,
}

/// That they overwrite themselves when they are dropped is `sha2`'s promise; without its feature this does not compile.
const _: fn(WindowKey) = |key| {
    fn overwritten(_: &impl ZeroizeOnDrop) {}
    overwritten(&key.inner);
};

/// A unit's tag and its place in the admission order.
#[derive(Clone, Copy)]
pub(crate) struct Tagged {
    pub(crate) tag: Tag,
    /// Uniform over all 64-bit numbers, independent of the tag.
    pub(crate) lot: u64,
}

/// Sixteen bytes of an HMAC: two of a million units share one with
/// probability below 2^-88.
#[derive(Clone, Copy, PartialEq, Eq, Zeroize)]
pub(crate) struct Tag([u8; 16]);

impl Hash for Tag {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        state.write_u64(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
    }
}

impl WindowKey {
    pub(crate) fn random() -> Result<Self, NoRandomness> {
        let mut secret = [0_u8; 32];
        SystemRandom::new().fill(&mut secret).map_err(|_| NoRandomness)?;
        let key = Self::from_secret(&secret);
        secret.zeroize();
        Ok(key)
    }

    fn from_secret(secret: &[u8; 32]) -> Self {
        let begun = |pad: u8| {
            let mut padded = Zeroizing::new([pad; BLOCK_BYTES]);
            padded.iter_mut().zip(secret).for_each(|(pad, secret)| *pad ^= secret);
            // As a slice: an array would be copied into an argument that nobody overwrites.
            Sha256::new().chain_update(padded.as_slice())
        };
        Self { inner: begun(0x36), outer: begun(0x5c) }
    }

    pub(crate) fn tag(&self, unit: &[u8]) -> Tagged {
        let mac = self.mac(unit);
        let (mut tag, mut lot) = ([0_u8; 16], [0_u8; 8]);
        tag.iter_mut().zip(mac).for_each(|(to, from)| *to = from);
        lot.iter_mut().zip(mac.into_iter().skip(16)).for_each(|(to, from)| *to = from);
        Tagged { tag: Tag(tag), lot: u64::from_le_bytes(lot) }
    }

    fn mac(&self, message: &[u8]) -> [u8; 32] {
        let inner = self.inner.clone().chain_update(message).finalize();
        self.outer.clone().chain_update(inner).finalize().into()
    }
}

/// Hashes a [`Tag`] by taking it as it is: it is already uniform, under a key
/// that no sender knows.
#[derive(Default)]
pub(crate) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, tag: u64) {
        self.0 = tag;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_tag_is_the_hmac_that_another_library_computes(secret: [u8; 32], unit: Vec<u8>) {
            let ours = WindowKey::from_secret(&secret).mac(&unit);
            let theirs = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &secret), &unit);
            prop_assert_eq!(&ours[..], theirs.as_ref());
        }
    }

    #[test]
    fn two_windows_tag_one_unit_differently() {
        let tags = [WindowKey::random().unwrap(), WindowKey::random().unwrap()].map(|key| key.tag(b"u-1").tag.0);
        assert_ne!(tags[0], tags[1]);
    }
}
