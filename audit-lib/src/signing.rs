//! Who signed a policy bundle.
//!
//! A detached signature is a file beside the policies, its name ending in
//! `.sig`, with one line: `privet-signature-v1 <digest> <signer> <base64>`. What is
//! signed (Ed25519, RFC 8032) is the text `privet policy bundle v1`, a newline, the
//! bundle's digest as the policy compiler writes it, and a newline; no other use of
//! these keys signs anything that begins so.
//!
//! Promise: a signer counts once, for this exact digest, by the key that the reader
//! brought. Not here: private keys (`privet` holds those), and how many signers
//! are enough.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, UnparsedPublicKey};
use thiserror::Error;

/// What every signature file's name ends in.
pub const SIGNATURE_ENDING: &str = ".sig";
/// The first word of a signature.
const SIGNATURE_WORD: &str = "privet-signature-v1";
/// What a public key begins with.
const KEY_PREFIX: &str = "privet-signer+";
/// The longest name of a signer, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// Bytes of an Ed25519 public key.
const PUBLIC_BYTES: usize = 32;
/// Bytes of an Ed25519 signature.
const SIGNATURE_BYTES: usize = 64;

/// Why a text is no public key, signature or name.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum NotSigning {
    /// Not the one line that `privet signer init` prints.
    #[error("not a signer's public key, which is `privet-signer+NAME+` and 32 bytes in base64")]
    Key,
    /// Not the one line that `privet sign` writes.
    #[error("not a signature of a policy bundle")]
    Signature,
    /// A name that could not stand in a key, a file name or a record.
    #[error("a signer's name is 1 to 64 of a-z, 0-9, `-` and `_`")]
    Name,
}

/// Whether somebody may sign under this name.
///
/// # Errors
/// [`NotSigning::Name`].
pub fn check_name(name: &str) -> Result<(), NotSigning> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    let fits = !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(plain);
    if fits { Ok(()) } else { Err(NotSigning::Name) }
}

/// What a signer signs.
#[must_use]
pub fn message(digest: &str) -> Vec<u8> {
    format!("privet policy bundle v1\n{digest}\n").into_bytes()
}

/// The public half of a signer's key, with the name it signs under.
///
/// ```
/// use privet_audit_log::signing::SignerKey;
///
/// let line = "privet-signer+marla+AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// let key: SignerKey = line.parse().unwrap();
/// assert_eq!((key.name(), key.to_string().as_str()), ("marla", line));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignerKey {
    name: String,
    public: [u8; PUBLIC_BYTES],
}

impl SignerKey {
    /// Puts a name and a public key together.
    ///
    /// # Errors
    /// [`NotSigning`].
    pub fn new(name: &str, public: &[u8]) -> Result<Self, NotSigning> {
        check_name(name)?;
        let public = public.try_into().map_err(|_| NotSigning::Key)?;
        Ok(Self { name: name.to_owned(), public })
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether both are one key, whatever they are called.
    #[must_use]
    pub fn is_same_key(&self, other: &Self) -> bool {
        self.public == other.public
    }

    /// Whether this signature is by this key, over this digest.
    #[must_use]
    pub fn signed(&self, digest: &str, signature: &Signature) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, &self.public);
        signature.digest == digest && key.verify(&message(digest), &signature.bytes).is_ok()
    }
}

impl fmt::Display for SignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{KEY_PREFIX}{}+{}", self.name, STANDARD.encode(self.public))
    }
}

impl FromStr for SignerKey {
    type Err = NotSigning;

    fn from_str(text: &str) -> Result<Self, NotSigning> {
        let rest = text.trim().strip_prefix(KEY_PREFIX).ok_or(NotSigning::Key)?;
        let (name, key) = rest.split_once('+').ok_or(NotSigning::Key)?;
        Self::new(name, &STANDARD.decode(key).map_err(|_| NotSigning::Key)?)
    }
}

/// One detached signature, as its file holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    digest: String,
    signer: String,
    bytes: [u8; SIGNATURE_BYTES],
}

impl Signature {
    /// Puts together what a signer made of [`message`].
    ///
    /// # Errors
    /// [`NotSigning`].
    pub fn new(digest: &str, signer: &str, bytes: &[u8]) -> Result<Self, NotSigning> {
        check_name(signer)?;
        let bytes = bytes.try_into().map_err(|_| NotSigning::Signature)?;
        Ok(Self { digest: digest.to_owned(), signer: signer.to_owned(), bytes })
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SIGNATURE_WORD} {} {} {}", self.digest, self.signer, STANDARD.encode(self.bytes))
    }
}

impl FromStr for Signature {
    type Err = NotSigning;

    fn from_str(text: &str) -> Result<Self, NotSigning> {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        match words.as_slice() {
            [SIGNATURE_WORD, digest, signer, bytes] => {
                Self::new(digest, signer, &STANDARD.decode(bytes).map_err(|_| NotSigning::Signature)?)
            }
            _ => Err(NotSigning::Signature),
        }
    }
}

/// What the signature files of a bundle come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signed {
    /// Who signed this digest, each once, in the order of the keys.
    pub signers: Vec<String>,
    /// How many signature files there are, right or wrong.
    pub files: usize,
}

/// Finds out which of these keys signed a bundle. Files of other endings are passed over; a
/// signature that is no such line, by another key or over another digest counts for nobody.
#[must_use]
pub fn signers<'f>(files: impl IntoIterator<Item = (&'f str, &'f [u8])>, digest: &str, keys: &[SignerKey]) -> Signed {
    let mut signed = Signed::default();
    let mut found = vec![false; keys.len()];
    for (_, bytes) in files.into_iter().filter(|(name, _)| name.ends_with(SIGNATURE_ENDING)) {
        signed.files += 1;
        let text = std::str::from_utf8(bytes).ok();
        let Some(signature) = text.and_then(|text| text.parse::<Signature>().ok()) else { continue };
        let claimed = keys.iter().zip(&mut found).find(|(key, _)| key.name == signature.signer);
        if let Some((key, found)) = claimed {
            *found = *found || key.signed(digest, &signature);
        }
    }
    let names = keys.iter().zip(&found).filter(|(_, found)| **found).map(|(key, _)| key.name.clone());
    signed.signers = names.collect();
    signed
}

#[cfg(test)]
mod tests {
    use ring::signature::{Ed25519KeyPair, KeyPair as _};

    use super::*;

    const DIGEST: &str = "sha256:ab";

    fn pair(seed: u8) -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
    }

    fn key(name: &str, seed: u8) -> SignerKey {
        SignerKey::new(name, pair(seed).public_key().as_ref()).unwrap()
    }

    fn line(name: &str, seed: u8, signed: &str, claimed: &str) -> String {
        let bytes = pair(seed).sign(&message(signed));
        format!("{}\n", Signature::new(claimed, name, bytes.as_ref()).unwrap())
    }

    fn who(files: &[(&str, String)]) -> Signed {
        let files = files.iter().map(|(name, text)| (*name, text.as_bytes()));
        signers(files, DIGEST, &[key("marla", 1), key("odalys", 2)])
    }

    #[test]
    fn each_signer_counts_once_for_this_digest_by_the_key_that_was_brought() {
        let good = line("marla", 1, DIGEST, DIGEST);
        assert_eq!(who(&[("marla.sig", good.clone())]).signers, ["marla"]);
        let twice = who(&[("a.sig", good.clone()), ("deep/b.sig", good.clone()), ("rule.yaml", good.clone())]);
        assert_eq!((twice.signers.len(), twice.files), (1, 2));
        let both = who(&[("z.sig", good.clone()), ("a.sig", line("odalys", 2, DIGEST, DIGEST))]);
        assert_eq!(both.signers, ["marla", "odalys"]);
        // A stale one beside a right one takes nothing away.
        let stale = line("marla", 1, "sha256:cd", "sha256:cd");
        assert_eq!(who(&[("a.sig", stale.clone()), ("b.sig", good)]).signers, ["marla"]);
        for (what, wrong) in [
            ("another's key", line("marla", 2, DIGEST, DIGEST)),
            ("another digest", stale),
            ("another digest that claims to be this one", line("marla", 1, "sha256:cd", DIGEST)),
            ("nobody we know", line("tavish", 3, DIGEST, DIGEST)),
            ("no line at all", "privet-signature-v1 sha256:ab marla".to_owned()),
        ] {
            let signed = who(&[("a.sig", wrong)]);
            assert_eq!((signed.signers.len(), signed.files), (0, 1), "{what}");
        }
    }

    #[test]
    fn the_digest_alone_signed_without_the_words_around_it_is_no_signature() {
        let bytes = pair(1).sign(DIGEST.as_bytes());
        let bare = Signature::new(DIGEST, "marla", bytes.as_ref()).unwrap();
        assert!(!key("marla", 1).signed(DIGEST, &bare));
    }

    #[test]
    fn keys_and_signatures_read_back_and_what_is_none_is_refused() {
        let key = key("marla", 1);
        assert_eq!(key.to_string().parse::<SignerKey>().unwrap(), key);
        let text = line("marla", 1, DIGEST, DIGEST);
        assert_eq!(format!("{}\n", text.parse::<Signature>().unwrap()), text);
        for wrong in ["", "marla", "privet-signer+marla", "privet-signer+marla+AAAA", "privet-signer+marla+?"] {
            assert_eq!(wrong.parse::<SignerKey>(), Err(NotSigning::Key), "{wrong}");
        }
        for name in ["", "Marla", "mar la", "../x", &"m".repeat(65)] {
            assert_eq!(SignerKey::new(name, &[0; 32]), Err(NotSigning::Name), "{name}");
        }
    }
}
