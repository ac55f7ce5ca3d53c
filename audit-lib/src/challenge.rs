//! Challenges: requests that an auditor sends as anyone else's, and knows again in the log.
//!
//! A canary carries the header [`HEADER`] with the value `<token>.<signature>`. The token is 128
//! random bits as 32 lower-case hexadecimal digits; the signature is Ed25519 (RFC 8032) in standard
//! base64, over the text `privet challenge v1`, a newline, the token, and a newline. No other use of
//! an auditor's key signs anything that begins so. The log holds the token's digest alone
//! ([`Token::digest`]), so a reader of the log can neither send a canary again nor tell whose it was.
//!
//! Promise: [`open`] takes a header for a challenge only if one of the given keys signed it, and
//! looks no further at a value of another shape. Not here: private keys on disk, and what a canary says.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use thiserror::Error;

use crate::signing::check_name;
use crate::tree::Hash;

/// The request header that makes a request a canary.
pub const HEADER: &str = "privet-challenge";
/// What a public key begins with.
const KEY_PREFIX: &str = "privet-auditor+";
/// Hexadecimal digits of a token, with which the header begins.
pub const TOKEN_DIGITS: usize = 32;
/// Bytes of an Ed25519 public key.
const PUBLIC_BYTES: usize = 32;
/// Bytes of an Ed25519 signature.
const SIGNATURE_BYTES: usize = 64;
/// Characters of those in base64.
const SIGNATURE_DIGITS: usize = 88;

/// Why a text is no auditor's key or no token.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum NotChallenge {
    /// Not the one line that `privet-audit challenge new` prints.
    #[error("not an auditor's public key, which is `privet-auditor+NAME+` and 32 bytes in base64")]
    Key,
    /// Not 128 bits in hexadecimal.
    #[error("not a token, which is 32 hexadecimal digits in lower case")]
    Token,
}

/// What makes a canary known again: 128 random bits.
///
/// ```
/// use privet_audit_log::challenge::Token;
///
/// let token: Token = "000102030405060708090a0b0c0d0e0f".parse().unwrap();
/// assert_eq!(token, Token::new([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]));
/// assert!(token.digest().starts_with("sha256:"));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token([u8; TOKEN_DIGITS]);

impl Token {
    /// A token of these bits.
    #[must_use]
    pub fn new(bits: [u8; TOKEN_DIGITS / 2]) -> Self {
        let mut digits = [0; TOKEN_DIGITS];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(bits) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
        Self(digits)
    }

    /// The token as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// What the log calls it: the SHA-256 of its 32 digits.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash::of(&self.0)
    }

    /// The same as a record writes it: `sha256:` and hexadecimal.
    #[must_use]
    pub fn digest(&self) -> String {
        self.hash().to_address()
    }

    /// The header's value: the token, signed.
    #[must_use]
    pub fn sign(&self, pair: &Ed25519KeyPair) -> String {
        format!("{}.{}", self.as_str(), STANDARD.encode(pair.sign(&message(self))))
    }
}

const fn digit(half: u8) -> u8 {
    if half < 10 { b'0' + half } else { b'a' + half - 10 }
}

impl FromStr for Token {
    type Err = NotChallenge;

    fn from_str(text: &str) -> Result<Self, NotChallenge> {
        let digits: [u8; TOKEN_DIGITS] = text.as_bytes().try_into().map_err(|_| NotChallenge::Token)?;
        let plain = digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        if plain { Ok(Self(digits)) } else { Err(NotChallenge::Token) }
    }
}

/// Its length and no more: who knows a token can send its canary again.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({TOKEN_DIGITS} digits)")
    }
}

/// What an auditor signs to make a token a canary's.
fn message(token: &Token) -> Vec<u8> {
    format!("privet challenge v1\n{}\n", token.as_str()).into_bytes()
}

/// The public half of an auditor's key, with the auditor's name.
///
/// ```
/// use privet_audit_log::challenge::AuditorKey;
///
/// let line = "privet-auditor+odalys+AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// let key: AuditorKey = line.parse().unwrap();
/// assert_eq!((key.name(), key.to_string().as_str()), ("odalys", line));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditorKey {
    name: String,
    public: [u8; PUBLIC_BYTES],
}

impl AuditorKey {
    /// Puts a name and a public key together.
    ///
    /// # Errors
    /// [`NotChallenge::Key`].
    pub fn new(name: &str, public: &[u8]) -> Result<Self, NotChallenge> {
        check_name(name).map_err(|_| NotChallenge::Key)?;
        let public = public.try_into().map_err(|_| NotChallenge::Key)?;
        Ok(Self { name: name.to_owned(), public })
    }

    /// The auditor's name: 1 to 64 of a-z, 0-9, `-` and `_`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this key signed these bytes.
    #[must_use]
    pub fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.public).verify(message, signature).is_ok()
    }
}

impl fmt::Display for AuditorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{KEY_PREFIX}{}+{}", self.name, STANDARD.encode(self.public))
    }
}

impl FromStr for AuditorKey {
    type Err = NotChallenge;

    fn from_str(text: &str) -> Result<Self, NotChallenge> {
        let rest = text.trim().strip_prefix(KEY_PREFIX).ok_or(NotChallenge::Key)?;
        let (name, key) = rest.split_once('+').ok_or(NotChallenge::Key)?;
        Self::new(name, &STANDARD.decode(key).map_err(|_| NotChallenge::Key)?)
    }
}

/// A header's value of the right shape, whoever signed it.
#[derive(Debug)]
pub struct Signed {
    token: Token,
    signature: [u8; SIGNATURE_BYTES],
}

impl Signed {
    /// Reads a header's value; nothing where it has another shape. Looks at no signature.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        if value.len() != TOKEN_DIGITS + 1 + SIGNATURE_DIGITS {
            return None;
        }
        let (token, signature) = std::str::from_utf8(value).ok()?.split_once('.')?;
        let token: Token = token.parse().ok()?;
        let mut bytes = [0; SIGNATURE_BYTES + 2];
        let length = STANDARD.decode_slice(signature, &mut bytes).ok()?;
        let signature = bytes.get(..length)?.try_into().ok()?;
        Some(Self { token, signature })
    }

    /// Its token, if one of these auditors signed it. Costs a signature check a key.
    #[must_use]
    pub fn token(self, auditors: &[AuditorKey]) -> Option<Token> {
        let is_signed = auditors.iter().any(|key| key.signed(&message(&self.token), &self.signature));
        is_signed.then_some(self.token)
    }
}

/// The token of a header's value, if it has the right shape and one of these auditors signed it.
#[must_use]
pub fn open(value: &[u8], auditors: &[AuditorKey]) -> Option<Token> {
    Signed::parse(value)?.token(auditors)
}

#[cfg(test)]
mod tests {
    use ring::signature::KeyPair as _;

    use super::*;

    fn pair(seed: u8) -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
    }

    fn key(seed: u8) -> AuditorKey {
        AuditorKey::new("odalys", pair(seed).public_key().as_ref()).unwrap()
    }

    #[test]
    fn a_token_is_a_challenge_by_a_given_key_only() {
        let token = Token::new([7; 16]);
        let value = token.sign(&pair(1));
        assert_eq!(open(value.as_bytes(), &[key(2), key(1)]), Some(token));
        assert_eq!(open(value.as_bytes(), &[key(2)]), None);
        assert_eq!(open(value.as_bytes(), &[]), None);
        // The token alone signed, without the words before it, is no challenge.
        let bare = format!("{}.{}", token.as_str(), STANDARD.encode(pair(1).sign(token.as_str().as_bytes())));
        assert_eq!(open(bare.as_bytes(), &[key(1)]), None);
    }

    #[test]
    fn every_single_byte_change_of_a_header_is_no_challenge() {
        let value = Token::new([0xab; 16]).sign(&pair(1)).into_bytes();
        for at in 0..value.len() {
            for bit in [1, 2, 32, 128] {
                let mut changed = value.clone();
                changed[at] ^= bit;
                assert_eq!(open(&changed, &[key(1)]), None, "byte {at}, bit {bit}");
            }
            assert_eq!(open(&value[..at], &[key(1)]), None, "cut at {at}");
        }
    }

    #[test]
    fn keys_and_tokens_read_back_and_what_is_none_is_refused() {
        assert_eq!(key(3).to_string().parse(), Ok(key(3)));
        for wrong in ["", "privet-auditor+odalys", "privet-signer+odalys+AAAA", "privet-auditor+odalys+AAAA"] {
            assert_eq!(wrong.parse::<AuditorKey>(), Err(NotChallenge::Key), "{wrong}");
        }
        let token = Token::new([0xf0; 16]);
        assert_eq!((token.as_str(), token.as_str().parse()), ("f0".repeat(16).as_str(), Ok(token)));
        assert_eq!(token.digest(), Hash::of("f0".repeat(16).as_bytes()).to_address());
        for wrong in ["", "F0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0", "f0f0", "f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0"] {
            assert_eq!(wrong.parse::<Token>(), Err(NotChallenge::Token), "{wrong}");
        }
        assert!(!format!("{token:?}").contains("f0f0"));
    }
}
