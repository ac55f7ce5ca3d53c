//! Signed notes, verification keys and checkpoints, as C2SP writes them
//! (c2sp.org/signed-note, c2sp.org/tlog-checkpoint).
//!
//! Promise: a [`Signer`]'s private key lives in memory only and ends with the
//! process, so nobody can sign for an earlier incarnation, us included.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use thiserror::Error;
use zeroize::Zeroize as _;

use crate::tree::Hash;

/// The signature type byte of Ed25519 in C2SP signed notes.
const ED25519_TYPE: u8 = 1;

/// Why a note, a checkpoint or a key is not what it should be.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NoteError {
    /// A log's name must survive the note format.
    #[error("an origin must not be empty, contain `+` or white space, or pass 255 bytes")]
    Origin,
    /// Not `NAME+KEYID+BASE64`, or the key id does not belong to the key.
    #[error("not a verification key of the form NAME+KEYID+KEY with an Ed25519 key")]
    Key,
    /// Text, empty line, signature lines: something of it is missing.
    #[error("not a signed note")]
    Note,
    /// No signature by the key that was asked for.
    #[error("no signature by the key of `{0}`")]
    Unsigned(String),
    /// The signature is wrong.
    #[error("the signature by the key of `{0}` is wrong")]
    Forged(String),
    /// Not origin, size and root.
    #[error("not a checkpoint")]
    Checkpoint,
    /// The system gave no random numbers.
    #[error("cannot make a signing key: the system gives no random numbers")]
    Randomness,
}

/// Whether a name may stand in checkpoints and keys.
///
/// # Errors
/// [`NoteError::Origin`].
pub fn check_origin(name: &str) -> Result<(), NoteError> {
    let clean = !name.is_empty() && name.len() <= 255;
    let allowed = |c: char| !c.is_whitespace() && !c.is_control() && c != '+';
    if clean && name.chars().all(allowed) { Ok(()) } else { Err(NoteError::Origin) }
}

/// A key as notes name it: `NAME+KEYID+KEY`, the key after one byte for the kind of its signatures.
///
/// Source: c2sp.org/signed-note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamedKey<const KIND: u8> {
    pub(crate) name: String,
    public: Vec<u8>,
}

impl<const KIND: u8> NamedKey<KIND> {
    pub(crate) fn parse(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key);
        };
        check_origin(name).map_err(|_| NoteError::Key)?;
        let key = STANDARD.decode(key).map_err(|_| NoteError::Key)?;
        let public = match key.split_first() {
            Some((kind, public)) if *kind == KIND && public.len() == 32 => public.to_vec(),
            _ => return Err(NoteError::Key),
        };
        let key = Self { name: name.to_owned(), public };
        if key.id_hex() == id { Ok(key) } else { Err(NoteError::Key) }
    }

    /// The public half of `pair`.
    pub(crate) fn of(name: &str, pair: &Ed25519KeyPair) -> Self {
        Self { name: name.to_owned(), public: pair.public_key().as_ref().to_vec() }
    }

    /// Whether two names stand for one key.
    pub(crate) fn is_same_key(&self, other: &Self) -> bool {
        self.public == other.public
    }

    /// What its signatures begin with.
    pub(crate) fn id(&self) -> [u8; 4] {
        let mut text = Vec::with_capacity(self.name.len() + 34);
        text.extend_from_slice(self.name.as_bytes());
        text.extend_from_slice(&[b'\n', KIND]);
        text.extend_from_slice(&self.public);
        let [a, b, c, d, ..] = Hash::of(&text).0;
        [a, b, c, d]
    }

    fn id_hex(&self) -> String {
        self.id().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(crate) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.public).verify(message, signature).is_ok()
    }
}

impl<const KIND: u8> fmt::Display for NamedKey<KIND> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![KIND];
        key.extend_from_slice(&self.public);
        write!(f, "{}+{}+{}", self.name, self.id_hex(), STANDARD.encode(key))
    }
}

/// The public half: what an auditor keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey(NamedKey<ED25519_TYPE>);

impl VerifierKey {
    /// Reads `NAME+KEYID+KEY`.
    ///
    /// # Errors
    /// [`NoteError::Key`].
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        NamedKey::parse(text).map(Self)
    }

    /// Reads a file of keys, one a line; empty lines and lines that begin with `#` are skipped.
    ///
    /// # Errors
    /// [`NoteError::Key`] if a line is no key, or there is none.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, NoteError> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let keys: Vec<Self> = lines.map(Self::parse).collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(NoteError::Key) } else { Ok(keys) }
    }

    /// The name it signs under: the origin of its log.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether two names stand for one key.
    pub(crate) fn is_same_key(&self, other: &Self) -> bool {
        self.0.is_same_key(&other.0)
    }

    /// Checks the note's signature by this key and gives the signed text.
    ///
    /// # Errors
    /// The note is malformed, has no signature by this key, or a wrong one.
    pub fn open<'n>(&self, note: &'n str) -> Result<&'n str, NoteError> {
        let (text, signatures) = split_note(note)?;
        for line in signatures {
            let (name, signature) = split_signature(line)?;
            let Some((id, signature)) = signature.split_at_checked(4) else { return Err(NoteError::Note) };
            if name == self.0.name && id == self.0.id() {
                let forged = || NoteError::Forged(self.0.name.clone());
                return self.0.signed(text.as_bytes(), signature).then_some(text).ok_or_else(forged);
            }
        }
        Err(NoteError::Unsigned(self.0.name.clone()))
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

pub(crate) fn split_note(note: &str) -> Result<(&str, Vec<&str>), NoteError> {
    let end = note.rfind("\n\n").ok_or(NoteError::Note)? + 1;
    let (text, rest) = note.split_at_checked(end).ok_or(NoteError::Note)?;
    let block = rest.strip_prefix('\n').and_then(|block| block.strip_suffix('\n')).ok_or(NoteError::Note)?;
    let clean = note.chars().all(|c| c == '\n' || !c.is_control());
    let lines: Vec<&str> = block.split('\n').collect();
    if clean && lines.iter().all(|line| line.starts_with("\u{2014} ")) {
        Ok((text, lines))
    } else {
        Err(NoteError::Note)
    }
}

pub(crate) fn split_signature(line: &str) -> Result<(&str, Vec<u8>), NoteError> {
    let line = line.strip_prefix("\u{2014} ").ok_or(NoteError::Note)?;
    let (name, signature) = line.split_once(' ').ok_or(NoteError::Note)?;
    check_origin(name).map_err(|_| NoteError::Note)?;
    Ok((name, STANDARD.decode(signature).map_err(|_| NoteError::Note)?))
}

/// The private half: signs for one incarnation of one log.
pub struct Signer {
    key: Ed25519KeyPair,
    verifier: VerifierKey,
}

impl Signer {
    /// Makes a fresh key for the log `name`; it is never written anywhere.
    ///
    /// # Errors
    /// The name cannot stand in a note, or the system gives no random numbers.
    pub fn generate(name: &str) -> Result<Self, NoteError> {
        let mut seed = [0_u8; 32];
        ring::rand::SecureRandom::fill(&SystemRandom::new(), &mut seed).map_err(|_| NoteError::Randomness)?;
        let signer = Self::from_seed(name, &seed);
        seed.zeroize();
        signer
    }

    /// A key from a known seed, so that tests repeat.
    ///
    /// # Errors
    /// The name cannot stand in a note.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, NoteError> {
        check_origin(name)?;
        let key = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| NoteError::Randomness)?;
        let verifier = VerifierKey(NamedKey::of(name, &key));
        Ok(Self { key, verifier })
    }

    /// The public half.
    #[must_use]
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// Signs a text that ends in a new line.
    #[must_use]
    pub fn sign(&self, text: &str) -> String {
        let mut signature = self.verifier.0.id().to_vec();
        signature.extend_from_slice(self.key.sign(text.as_bytes()).as_ref());
        format!("{text}\n\u{2014} {} {}\n", self.verifier.0.name, STANDARD.encode(signature))
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.verifier.0.name)
    }
}

/// What a log commits to: its name, its size and its root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The name of the log.
    pub origin: String,
    /// Number of leaves.
    pub size: u64,
    /// RFC 6962 tree hash.
    pub root: Hash,
}

impl Checkpoint {
    /// The text that is signed.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, self.root.to_base64())
    }

    /// Reads the text of a note. Extension lines are accepted and ignored, as the format asks.
    ///
    /// # Errors
    /// [`NoteError::Checkpoint`].
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let mut lines = text.strip_suffix('\n').ok_or(NoteError::Checkpoint)?.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(NoteError::Checkpoint);
        };
        let size_value: u64 = size.parse().map_err(|_| NoteError::Checkpoint)?;
        let root = Hash::from_base64(root).ok_or(NoteError::Checkpoint)?;
        let canonical = size_value.to_string() == size && !origin.is_empty() && lines.all(|line| !line.is_empty());
        if canonical {
            Ok(Self { origin: origin.to_owned(), size: size_value, root })
        } else {
            Err(NoteError::Checkpoint)
        }
    }

    /// Reads a note without looking at its signatures: for finding out whose it claims to be.
    ///
    /// # Errors
    /// The note or the checkpoint is malformed.
    pub fn claimed(note: &str) -> Result<Self, NoteError> {
        Self::parse(split_note(note)?.0)
    }

    /// Reads a note signed by `key`.
    ///
    /// # Errors
    /// The note or the checkpoint is malformed, or not signed by this key.
    pub fn open(note: &str, key: &VerifierKey) -> Result<Self, NoteError> {
        let checkpoint = Self::parse(key.open(note)?)?;
        if checkpoint.origin == key.name() { Ok(checkpoint) } else { Err(NoteError::Checkpoint) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_opens_with_its_key_only() {
        let signer = Signer::from_seed("privet.example/log/1", &[7; 32]).unwrap();
        let key = VerifierKey::parse(&signer.verifier().to_string()).unwrap();
        let checkpoint = Checkpoint { origin: "privet.example/log/1".into(), size: 3, root: Hash::of(b"x") };
        let note = signer.sign(&checkpoint.to_text());
        assert_eq!(Checkpoint::open(&note, &key), Ok(checkpoint));
        let other = Signer::from_seed("privet.example/log/1", &[8; 32]).unwrap();
        assert_eq!(Checkpoint::open(&note, other.verifier()), Err(NoteError::Unsigned("privet.example/log/1".into())));
        let forged = note.replacen("\n3\n", "\n4\n", 1);
        assert_eq!(Checkpoint::open(&forged, &key), Err(NoteError::Forged("privet.example/log/1".into())));
    }

    fn bytes(hex: &serde_json::Value) -> Vec<u8> {
        let hex = hex.as_str().unwrap();
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn wycheproof_agrees_on_signatures() {
        let (mut valid, mut invalid) = (0, 0);
        for line in include_str!("../tests/data/wycheproof-ed25519.ndjson").lines() {
            let case: serde_json::Value = serde_json::from_str(line).unwrap();
            let key = NamedKey::<ED25519_TYPE> { name: "log".into(), public: bytes(&case["group"]["publicKey"]["pk"]) };
            let expected = case["result"] == "valid";
            assert_eq!(key.signed(&bytes(&case["msg"]), &bytes(&case["sig"])), expected, "test {}", case["tcId"]);
            *(if expected { &mut valid } else { &mut invalid }) += 1;
        }
        assert_eq!((valid, invalid), (54, 35));
    }

    #[test]
    fn every_single_byte_change_of_a_note_is_refused() {
        let signer = Signer::from_seed("privet.example/log/1", &[7; 32]).unwrap();
        let note =
            signer.sign(&Checkpoint { origin: "privet.example/log/1".into(), size: 3, root: Hash::of(b"x") }.to_text());
        for at in 0..note.len() {
            let mut bytes = note.clone().into_bytes();
            bytes[at] ^= 1;
            if let Ok(changed) = String::from_utf8(bytes) {
                assert!(Checkpoint::open(&changed, signer.verifier()).is_err(), "byte {at}");
            }
        }
    }
}
