//! Signing keys that outlive a process: the ledger's and a witness's.
//!
//! The text is that of Go's signed notes (golang.org/x/mod/sumdb/note): `PRIVATE+KEY+NAME+ID+KEY`, the last part being
//! base64 of the type byte and the 32-byte seed. Promise: a seed is wiped when it is dropped and is in no `Debug`.
//! Not here: pods' logs, whose keys are never kept ([`crate::note::Signer::generate`]), and files.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use crate::cosignature::{COSIGNATURE_TYPE, Cosigner};
use crate::note::{NoteError, Signer, check_origin};

const PREFIX: &str = "PRIVATE+KEY+";

/// What a kept key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It signs the checkpoints of one log.
    Log,
    /// It cosigns those of others.
    Witness,
}

impl Use {
    const fn byte(self) -> u8 {
        match self {
            Self::Log => 1,
            Self::Witness => COSIGNATURE_TYPE,
        }
    }
}

/// A kept key.
pub struct KeptKey {
    name: String,
    kind: Use,
    seed: Zeroizing<[u8; 32]>,
}

impl KeptKey {
    /// A fresh one for `name`.
    ///
    /// # Errors
    /// The name cannot stand in a note, or the system gives no random numbers.
    pub fn generate(name: &str, kind: Use) -> Result<Self, NoteError> {
        check_origin(name)?;
        let mut seed = Zeroizing::new([0_u8; 32]);
        SystemRandom::new().fill(seed.as_mut()).map_err(|_| NoteError::Randomness)?;
        Ok(Self { name: name.to_owned(), kind, seed })
    }

    /// Reads what [`KeptKey::to_text`] wrote.
    ///
    /// # Errors
    /// [`NoteError::Key`], also for a key of the other use. Nothing of the text is in it.
    pub fn parse(text: &str, kind: Use) -> Result<Self, NoteError> {
        let rest = text.trim().strip_prefix(PREFIX).ok_or(NoteError::Key)?;
        let mut parts = rest.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key);
        };
        check_origin(name).map_err(|_| NoteError::Key)?;
        let bytes = Zeroizing::new(STANDARD.decode(key).map_err(|_| NoteError::Key)?);
        let (byte, seed) = bytes.split_first().ok_or(NoteError::Key)?;
        let seed = Zeroizing::new(<[u8; 32]>::try_from(seed).map_err(|_| NoteError::Key)?);
        let read = Self { name: name.to_owned(), kind, seed };
        if *byte == kind.byte() && read.id()? == id { Ok(read) } else { Err(NoteError::Key) }
    }

    /// One line without its end.
    ///
    /// # Errors
    /// None that a made key has.
    pub fn to_text(&self) -> Result<Zeroizing<String>, NoteError> {
        let mut key = Zeroizing::new(vec![self.kind.byte()]);
        key.extend_from_slice(self.seed.as_ref());
        let encoded = Zeroizing::new(STANDARD.encode(key.as_slice()));
        Ok(Zeroizing::new(format!("{PREFIX}{}+{}+{}", self.name, self.id()?, encoded.as_str())))
    }

    /// The name that it signs under.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Signs as a log.
    ///
    /// # Errors
    /// None that a made key has.
    pub fn signer(&self) -> Result<Signer, NoteError> {
        Signer::from_seed(&self.name, &self.seed)
    }

    /// Signs as a witness.
    ///
    /// # Errors
    /// None that a made key has.
    pub fn cosigner(&self) -> Result<Cosigner, NoteError> {
        Cosigner::from_seed(&self.name, &self.seed)
    }

    /// The public half, `NAME+ID+KEY`.
    ///
    /// # Errors
    /// None that a made key has.
    pub fn public(&self) -> Result<String, NoteError> {
        Ok(match self.kind {
            Use::Log => self.signer()?.verifier().to_string(),
            Use::Witness => self.cosigner()?.public().to_string(),
        })
    }

    fn id(&self) -> Result<String, NoteError> {
        let public = self.public()?;
        public.split('+').nth(1).map(str::to_owned).ok_or(NoteError::Key)
    }
}

impl fmt::Debug for KeptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeptKey({}, {:?})", self.name, self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_key_reads_back_for_its_own_use_only() {
        let key = KeptKey::generate("w1.example", Use::Witness).unwrap();
        let text = key.to_text().unwrap();
        assert_eq!(KeptKey::parse(&text, Use::Witness).unwrap().public(), key.public());
        assert_eq!(KeptKey::parse(&text, Use::Log).unwrap_err(), NoteError::Key);
        assert!(!format!("{key:?}").contains(text.rsplit('+').next().unwrap()));
    }

    /// The example keys of golang.org/x/mod/sumdb/note's documentation.
    #[test]
    fn the_private_key_of_go_gives_the_public_key_of_go() {
        let private = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
        let public = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let key = KeptKey::parse(private, Use::Log).unwrap();
        assert_eq!(key.public().unwrap(), public);
        assert_eq!(key.to_text().unwrap().as_str(), private);
    }
}
