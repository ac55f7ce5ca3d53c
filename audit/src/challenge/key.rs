//! The auditor's private key: made, kept, used to sign tokens and to seal expectations.
//!
//! Promise: the file is written whole, readable by its owner alone, and never over another; the key is
//! never printed.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use privet_audit_log::challenge::{AuditorKey, Token};
use privet_audit_log::tree::Hash;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use zeroize::Zeroizing;

use crate::brought::read_text;

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----\n";
const END: &str = "-----END PRIVATE KEY-----\n";
/// The first word of a seal.
const SEAL_WORD: &str = "privet-seal-v1";
/// Characters of base64 in a line of PEM (RFC 7468).
const PEM_LINE: usize = 64;

/// The private half of an auditor's key.
pub struct AuditorSecret {
    pair: Ed25519KeyPair,
    public: AuditorKey,
}

/// Random bytes of the system.
///
/// # Errors
/// The system gives none.
pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.ok().context("the system gives no random numbers")?;
    Ok(bytes)
}

impl AuditorSecret {
    /// Makes a key and writes it to a new file: the public half on a line, then PKCS#8 in PEM.
    ///
    /// # Errors
    /// The name cannot stand in a key, the file is there already, or the system refuses.
    pub fn make(path: &Path, name: &str) -> Result<Self> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
        let document = document.ok().context("the system gives no random numbers")?;
        let secret = Self::of(document.as_ref(), name)?;
        let encoded = Zeroizing::new(STANDARD.encode(document.as_ref()));
        let mut text = Zeroizing::new(format!("{}\n{BEGIN}", secret.public));
        let mut rest = encoded.as_str();
        while let Some((line, after)) = rest.split_at_checked(PEM_LINE.min(rest.len())).filter(|_| !rest.is_empty()) {
            text.push_str(line);
            text.push('\n');
            rest = after;
        }
        text.push_str(END);
        write_new(path, text.as_bytes(), 0o600)?;
        Ok(secret)
    }

    /// Reads what [`AuditorSecret::make`] wrote.
    ///
    /// # Errors
    /// It cannot be read, or is no such file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = Zeroizing::new(read_text(path)?);
        let parts = text.split_once('\n').and_then(|(public, pem)| {
            let body = pem.strip_prefix(BEGIN)?.trim_end().strip_suffix(END.trim_end())?;
            Some((public.parse::<AuditorKey>().ok()?, Zeroizing::new(body.replace('\n', ""))))
        });
        let Some((public, body)) = parts else { bail!("{} is no auditor's key", path.display()) };
        let document = Zeroizing::new(STANDARD.decode(body.as_str()).context("the key is no base64")?);
        let secret = Self::of(&document, public.name())?;
        if secret.public == public {
            Ok(secret)
        } else {
            bail!("the first line of {} is the public half of another key", path.display())
        }
    }

    fn of(document: &[u8], name: &str) -> Result<Self> {
        let pair = Ed25519KeyPair::from_pkcs8(document).ok().context("not an Ed25519 key as PKCS#8")?;
        let public = AuditorKey::new(name, pair.public_key().as_ref())
            .with_context(|| format!("the name `{name}`: 1 to 64 of a-z, 0-9, `-` and `_`"))?;
        Ok(Self { pair, public })
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &AuditorKey {
        &self.public
    }

    /// The header's value for a token.
    #[must_use]
    pub fn header(&self, token: &Token) -> String {
        token.sign(&self.pair)
    }

    /// The seal over an expectation: one line.
    #[must_use]
    pub fn seal(&self, expectation: &[u8]) -> String {
        let digest = Hash::of(expectation).to_address();
        let signature = STANDARD.encode(self.pair.sign(&sealed(&digest)));
        format!("{SEAL_WORD} {digest} {} {signature}\n", self.public.name())
    }
}

/// What a seal signs; no token's signature begins so.
fn sealed(digest: &str) -> Vec<u8> {
    format!("privet challenge expectation v1\n{digest}\n").into_bytes()
}

/// Whether this is a seal of this auditor over these bytes.
#[must_use]
pub fn is_sealed(expectation: &[u8], seal: &str, auditor: &AuditorKey) -> bool {
    let words: Vec<&str> = seal.split_whitespace().collect();
    let digest = Hash::of(expectation).to_address();
    match words.as_slice() {
        [word, claimed, name, signature] => {
            *word == SEAL_WORD
                && *claimed == digest
                && *name == auditor.name()
                && STANDARD.decode(signature).is_ok_and(|bytes| auditor.signed(&sealed(&digest), &bytes))
        }
        _ => false,
    }
}

/// Writes a file that is not there yet.
///
/// # Errors
/// It is there already, or the system refuses.
pub fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = opened.with_context(|| format!("cannot write {}", path.display()))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_and_seals_what_it_sealed_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("auditor.key");
        let made = AuditorSecret::make(&path, "odalys").unwrap();
        let read = AuditorSecret::read(&path).unwrap();
        assert_eq!(made.public(), read.public());
        let seal = read.seal(b"expected");
        assert!(is_sealed(b"expected", &seal, made.public()));
        assert!(!is_sealed(b"expected!", &seal, made.public()));
        let other = AuditorSecret::make(&dir.path().join("other"), "odalys").unwrap();
        assert!(!is_sealed(b"expected", &seal, other.public()));
        assert!(AuditorSecret::make(&path, "odalys").is_err(), "a key is never written over");
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(&path, "privet-auditor+odalys").unwrap();
        assert!(AuditorSecret::read(&path).is_err());
    }
}
