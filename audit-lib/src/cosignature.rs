//! Cosignatures: a witness's word that a checkpoint is consistent with all it has seen of that log, and when
//! (c2sp.org/tlog-cosignature, the Ed25519 type `cosignature/v1`).
//!
//! Promise: the bytes are those of the specification, both ways. Not here: deciding whether a checkpoint deserves one;
//! that is [`crate::witness`], and how many are enough is [`crate::quorum`].

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::Ed25519KeyPair;
use thiserror::Error;

use crate::note::{NamedKey, NoteError, check_origin, split_note, split_signature};

/// The signature type byte of timestamped Ed25519 witness cosignatures in C2SP signed notes.
pub const COSIGNATURE_TYPE: u8 = 4;

/// The longest time that fits: the specification has 2^63 - 1.
const TIME_MAX: u64 = i64::MAX as u64;

/// Why a cosignature does not count.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CosignatureError {
    /// The note itself is malformed.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Nothing of it is by this witness.
    #[error("no cosignature by the witness `{0}`")]
    Absent(String),
    /// A line names this witness and its key, and is not its cosignature.
    #[error("the cosignature by the witness `{0}` is wrong")]
    Forged(String),
}

/// What a witness signs: a header, its time, and the checkpoint's text as the log wrote it.
fn message(time_secs: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {time_secs}\n{text}")
}

/// The public half of a witness: its name and its Ed25519 key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessKey(NamedKey<COSIGNATURE_TYPE>);

impl WitnessKey {
    /// Reads `NAME+KEYID+KEY` with a key of the cosignature type.
    ///
    /// # Errors
    /// [`NoteError::Key`]; a log's own key, which has another type, is none.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        NamedKey::parse(text).map(Self)
    }

    /// The name it cosigns under.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether two names stand for one key: the specification counts such witnesses once.
    #[must_use]
    pub fn is_same_key(&self, other: &Self) -> bool {
        self.0.is_same_key(&other.0)
    }

    /// The seconds of Unix time at which this witness says that it saw the note's checkpoint.
    ///
    /// # Errors
    /// The note is malformed, or holds no right cosignature by this key.
    pub fn check(&self, note: &str) -> Result<u64, CosignatureError> {
        let (text, lines) = split_note(note)?;
        for line in lines {
            let (name, signature) = split_signature(line)?;
            if name == self.0.name && signature.starts_with(&self.0.id()) {
                return self.time_of(text, &signature).ok_or_else(|| CosignatureError::Forged(self.0.name.clone()));
            }
        }
        Err(CosignatureError::Absent(self.0.name.clone()))
    }

    /// The time in a right signature over `text`.
    fn time_of(&self, text: &str, signature: &[u8]) -> Option<u64> {
        let (time, signature) = signature.get(4..)?.split_first_chunk::<8>()?;
        let time = u64::from_be_bytes(*time);
        let signed = self.0.signed(message(time, text).as_bytes(), signature);
        (signed && time <= TIME_MAX).then_some(time)
    }
}

impl fmt::Display for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The private half of a witness.
pub struct Cosigner {
    key: Ed25519KeyPair,
    public: WitnessKey,
}

impl Cosigner {
    /// The witness `name` with a kept seed.
    ///
    /// # Errors
    /// The name cannot stand in a note.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, NoteError> {
        check_origin(name)?;
        let key = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| NoteError::Randomness)?;
        let public = WitnessKey(NamedKey::of(name, &key));
        Ok(Self { key, public })
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> &WitnessKey {
        &self.public
    }

    /// The signature line, with its new line, over a checkpoint's text at `time_secs` of Unix time.
    #[must_use]
    pub fn cosign(&self, text: &str, time_secs: u64) -> String {
        let mut signature = self.public.0.id().to_vec();
        signature.extend_from_slice(&time_secs.to_be_bytes());
        signature.extend_from_slice(self.key.sign(message(time_secs, text).as_bytes()).as_ref());
        format!("\u{2014} {} {}\n", self.public.0.name, STANDARD.encode(signature))
    }
}

impl fmt::Debug for Cosigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cosigner({})", self.public.0.name)
    }
}

/// The note with the signature lines in `answer` that are right cosignatures by `keys`, each key once; all else
/// in the answer is ignored, as the witness protocol asks.
///
/// # Errors
/// The note is malformed.
pub fn adopt(note: &str, answer: &str, keys: &[WitnessKey]) -> Result<String, NoteError> {
    let (text, _) = split_note(note)?;
    let mut cosigned = note.to_owned();
    for key in keys {
        let line = answer.split_inclusive('\n').find(|line| {
            let alone = format!("{text}\n{line}");
            line.ends_with('\n') && key.check(&alone).is_ok()
        });
        if let Some(line) = line.filter(|_| key.check(note).is_err()) {
            cosigned.push_str(line);
        }
    }
    Ok(cosigned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::{Checkpoint, Signer, VerifierKey};
    use crate::tree::Hash;

    fn note() -> (Signer, String) {
        let signer = Signer::from_seed("privet.example/ledger/1", &[3; 32]).unwrap();
        let checkpoint = Checkpoint { origin: "privet.example/ledger/1".into(), size: 7, root: Hash::of(b"x") };
        let note = signer.sign(&checkpoint.to_text());
        (signer, note)
    }

    #[test]
    fn a_cosigned_note_opens_with_both_keys_and_the_time_is_the_witnesss() {
        let (signer, note) = note();
        let witness = Cosigner::from_seed("w1.example", &[5; 32]).unwrap();
        let key = WitnessKey::parse(&witness.public().to_string()).unwrap();
        let text = note.split_inclusive("\n\n").next().unwrap();
        let line = witness.cosign(&text[..text.len() - 1], 1_795_344_000);
        let cosigned = adopt(&note, &line, std::slice::from_ref(&key)).unwrap();
        assert_eq!(key.check(&cosigned), Ok(1_795_344_000));
        assert_eq!(Checkpoint::open(&cosigned, signer.verifier()).unwrap().size, 7);
        assert_eq!(key.check(&note), Err(CosignatureError::Absent("w1.example".into())));
        assert_eq!(adopt(&cosigned, &line, &[key]).unwrap(), cosigned, "one cosignature of a key is enough");
    }

    #[test]
    fn a_changed_time_or_text_or_key_is_no_cosignature() {
        let (_, note) = note();
        let witness = Cosigner::from_seed("w1.example", &[5; 32]).unwrap();
        let body = note.split_inclusive("\n\n").next().unwrap();
        let line = witness.cosign(&body[..body.len() - 1], 9);
        let later = witness.cosign(&body[..body.len() - 1], 10);
        // The time of one and the signature of the other.
        let raw = |line: &str| STANDARD.decode(line.trim().rsplit(' ').next().unwrap()).unwrap();
        let mut mixed = raw(&line);
        mixed[..12].copy_from_slice(&raw(&later)[..12]);
        let mixed = format!("\u{2014} w1.example {}\n", STANDARD.encode(mixed));
        let forged = Err(CosignatureError::Forged("w1.example".into()));
        assert_eq!(witness.public().check(&format!("{note}{mixed}")), forged);
        assert_eq!(witness.public().check(&format!("{note}{line}").replacen("\n7\n", "\n8\n", 1)), forged);
        let keys = [witness.public().clone()];
        assert_eq!(adopt(&note, &mixed, &keys).unwrap(), note);
        let log_key = Signer::from_seed("w1.example", &[5; 32]).unwrap().verifier().to_string();
        assert!(WitnessKey::parse(&log_key).is_err() && VerifierKey::parse(&log_key).is_ok());
    }
}
