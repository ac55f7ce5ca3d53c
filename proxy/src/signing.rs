//! Signatures on policy bundles: making them, and saying whether there are enough.
//!
//! Promise: a bundle that too few of the configured signers signed, over its exact
//! digest, is refused; one that lets more leave than the policy before it needs as
//! many as the configuration says for that, and where nobody knows the policy
//! before it, every bundle counts as such.
//!
//! Not here: what a signature looks like, which the auditor reads too, see
//! [`privet_audit_log::signing`]; and files, which [`crate::cli::sign`] writes.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use privet_audit_log::record::RefusalReason;
use privet_audit_log::signing::{NotSigning, Signature, SignerKey, message, signers};
use privet_policy::diff::{Change, diff};
use privet_policy::policy::Policy;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;
use zeroize::Zeroizing;

use crate::config::Signatures;
use crate::reload::Files;

/// Characters of a line of PEM (RFC 7468).
const PEM_LINE: usize = 64;

/// Why there is no key to sign with. Nothing of the key is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSigningKey {
    /// No PKCS#8 in PEM, or not for Ed25519.
    #[error("it holds no Ed25519 private key as PKCS#8 in PEM")]
    NotAKey,
    /// The file does not say whose it is.
    #[error("it does not say whose key it is; name the signer with --name")]
    Nameless,
    /// The file's first line is about another key.
    #[error("its first line is the public half of another key")]
    AnotherKey,
    /// A name that nobody may sign under.
    #[error(transparent)]
    Name(#[from] NotSigning),
    /// The system gave no random bytes.
    #[error("the system gives no random bytes")]
    NoRandomness,
}

/// The private half of a signer's key.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: SignerKey,
}

impl SigningKey {
    /// Makes a fresh key, as its file holds it: the public half on a line, then PKCS#8 in PEM.
    ///
    /// # Errors
    /// [`BadSigningKey`].
    pub fn fresh_file(name: &str) -> Result<Zeroizing<String>, BadSigningKey> {
        let random = SystemRandom::new();
        let document = Ed25519KeyPair::generate_pkcs8(&random).map_err(|_| BadSigningKey::NoRandomness)?;
        let key = Self::from_pkcs8(document.as_ref(), name)?;
        let encoded = Zeroizing::new(STANDARD.encode(document.as_ref()));
        let mut file = Zeroizing::new(format!("{}\n-----BEGIN PRIVATE KEY-----\n", key.public));
        let mut rest = encoded.as_str();
        while let Some((line, after)) =
            rest.split_at_checked(PEM_LINE.min(rest.len())).filter(|(line, _)| !line.is_empty())
        {
            file.push_str(line);
            file.push('\n');
            rest = after;
        }
        file.push_str("-----END PRIVATE KEY-----\n");
        Ok(file)
    }

    /// Reads a key's file. Its first line says whose it is, unless `name` does.
    ///
    /// # Errors
    /// [`BadSigningKey`].
    pub fn read(file: &str, name: Option<&str>) -> Result<Self, BadSigningKey> {
        let said = file.lines().next().and_then(|line| line.parse::<SignerKey>().ok());
        let name = name.or(said.as_ref().map(SignerKey::name)).ok_or(BadSigningKey::Nameless)?;
        let document = PrivatePkcs8KeyDer::from_pem_slice(file.as_bytes()).map_err(|_| BadSigningKey::NotAKey)?;
        let key = Self::from_pkcs8(document.secret_pkcs8_der(), name)?;
        match said {
            Some(said) if !said.is_same_key(&key.public) => Err(BadSigningKey::AnotherKey),
            _ => Ok(key),
        }
    }

    /// Other programs write PKCS#8 without the public half, so it is not asked for.
    fn from_pkcs8(document: &[u8], name: &str) -> Result<Self, BadSigningKey> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(document).map_err(|_| BadSigningKey::NotAKey)?;
        let public = SignerKey::new(name, pair.public_key().as_ref())?;
        Ok(Self { pair, public })
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &SignerKey {
        &self.public
    }

    /// Signs a bundle's digest.
    #[must_use]
    pub fn sign(&self, digest: &str) -> Signature {
        let bytes = self.pair.sign(&message(digest));
        Signature::new(digest, self.public.name(), bytes.as_ref())
            .expect("the name was checked, a signature has 64 bytes")
    }
}

impl SigningKey {
    /// Signs the base of an HTTP message signature (RFC 9421). It begins with a quote, and what a
    /// bundle's signature is over does not, so neither stands for the other.
    #[must_use]
    pub fn sign_request(&self, base: &str) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.pair.sign(base.as_bytes()).as_ref());
        signature
    }
}

/// The public half, and nothing of the other.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("public", &self.public).finish_non_exhaustive()
    }
}

/// A policy bundle that is not put in force, and what it lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The bundle's digest.
    pub digest: String,
    /// What it lacks.
    pub reason: RefusalReason,
    /// Who signed it.
    pub signers: Vec<String>,
    /// How many were needed.
    pub required: usize,
    /// How much would newly leave; `None` where that makes no difference or cannot be known.
    pub loosens: Option<usize>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { digest, required, .. } = self;
        let who = self.signers.join(", ");
        match (self.reason, self.loosens) {
            (RefusalReason::Unsigned, _) => {
                write!(f, "the policies ({digest}) have no signature and need {required}; `privet sign` makes one")
            }
            (RefusalReason::WronglySigned, _) => write!(
                f,
                "none of the signatures is a configured signer's over these policies ({digest}), and they need {required}; \
                 sign them again after a change"
            ),
            (RefusalReason::TooFewSigners, _) => {
                write!(f, "the policies ({digest}) are signed by {who} and need {required} signers")
            }
            (RefusalReason::TooFewToLoosen, Some(cells)) => write!(
                f,
                "the policies ({digest}) are signed by {who} and need {required} signers, because more would leave in \
                 {cells} places than now; `privet diff` lists them"
            ),
            (RefusalReason::TooFewToLoosen, None) => write!(
                f,
                "the policies ({digest}) are signed by {who} and need {required} signers, because the log knows of no \
                 policy before them, so that more might leave than before"
            ),
        }
    }
}

/// Who signed a policy, if that is enough to put it in force after `before`, the
/// policy that is in force or was last.
///
/// # Errors
/// [`Refused`].
pub fn check(
    signatures: &Signatures,
    files: &Files,
    policy: &Policy,
    before: Option<&Policy>,
) -> Result<Vec<String>, Refused> {
    let digest = policy.digest().to_string();
    let named = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
    let signed = signers(named, &digest, &signatures.signers);
    let (valid, files) = (signed.signers.len(), signed.files);
    if valid >= signatures.required_to_loosen {
        return Ok(signed.signers);
    }
    let (required, loosens) = needed(signatures, policy, before);
    if valid >= required {
        return Ok(signed.signers);
    }
    let reason = match (valid, files) {
        (0, 0) => RefusalReason::Unsigned,
        (0, _) => RefusalReason::WronglySigned,
        _ if valid < signatures.required => RefusalReason::TooFewSigners,
        _ => RefusalReason::TooFewToLoosen,
    };
    Err(Refused { digest, reason, signers: signed.signers, required, loosens })
}

/// How many signers a policy needs, and how much it loosens, where that makes a difference and is known.
fn needed(signatures: &Signatures, policy: &Policy, before: Option<&Policy>) -> (usize, Option<usize>) {
    if signatures.required == signatures.required_to_loosen {
        return (signatures.required, None);
    }
    let loosens = before.map(|before| diff(before, policy).count(Change::Loosen));
    (if loosens == Some(0) { signatures.required } else { signatures.required_to_loosen }, loosens)
}

#[cfg(test)]
mod tests {
    use super::*;
    use privet_policy::diagnostic::SourceFile;

    const POLICY: &str = include_str!("../../policy-lib/tests/data/design.yaml");

    fn policy(text: &str) -> Policy {
        let files = [SourceFile { name: "p.yaml".into(), text: text.into() }];
        crate::policies::compile(&files).policy.unwrap().0
    }

    fn coarser() -> String {
        POLICY.replace("{time: hour}", "{time: day}")
    }

    struct Office {
        keys: Vec<SigningKey>,
        signatures: Signatures,
    }

    impl Office {
        fn of(required: usize, required_to_loosen: usize) -> Self {
            let fresh = |name| SigningKey::read(&SigningKey::fresh_file(name).unwrap(), None).unwrap();
            let keys: Vec<_> = ["marla", "odalys", "tavish"].map(fresh).into();
            let signers = keys.iter().map(|key| key.public().clone()).collect();
            Self { keys, signatures: Signatures { signers, required, required_to_loosen } }
        }

        /// The files of a policy that the first so many signed.
        fn files(&self, policy: &Policy, signers: usize) -> Files {
            let digest = policy.digest().to_string();
            let signed = self.keys.iter().take(signers);
            signed.map(|key| (format!("{}.sig", key.public().name()), key.sign(&digest).to_string().into())).collect()
        }

        fn ask(&self, policy: &Policy, signers: usize, before: Option<&Policy>) -> Result<usize, RefusalReason> {
            let checked = check(&self.signatures, &self.files(policy, signers), policy, before);
            checked.map(|names| names.len()).map_err(|refused| refused.reason)
        }
    }

    #[test]
    fn k_of_n_and_no_fewer() {
        let (office, policy) = (Office::of(2, 2), policy(POLICY));
        assert_eq!(office.ask(&policy, 0, None), Err(RefusalReason::Unsigned));
        assert_eq!(office.ask(&policy, 1, Some(&policy)), Err(RefusalReason::TooFewSigners));
        assert_eq!(office.ask(&policy, 2, None), Ok(2));
        assert_eq!(office.ask(&policy, 3, None), Ok(3));
    }

    #[test]
    fn one_signer_under_many_file_names_is_one() {
        let (office, policy) = (Office::of(2, 2), policy(POLICY));
        let mut files = office.files(&policy, 1);
        files.extend((0..5).map(|copy| (format!("copy-{copy}.sig"), files[0].1.clone())).collect::<Vec<_>>());
        let refused = check(&office.signatures, &files, &policy, None).unwrap_err();
        assert_eq!((refused.reason, refused.signers), (RefusalReason::TooFewSigners, vec!["marla".to_owned()]));
    }

    #[test]
    fn a_signature_of_another_policy_or_by_another_key_is_none() {
        let (office, stranger, policy, coarser) =
            (Office::of(1, 1), Office::of(1, 1), policy(POLICY), policy(&coarser()));
        for files in [office.files(&coarser, 3), stranger.files(&policy, 3)] {
            let refused = check(&office.signatures, &files, &policy, None).unwrap_err();
            assert_eq!(refused.reason, RefusalReason::WronglySigned);
        }
    }

    #[test]
    fn what_loosens_needs_more_and_a_policy_after_an_unknown_one_may_loosen() {
        let (office, finer, coarser) = (Office::of(1, 2), policy(POLICY), policy(&coarser()));
        assert_eq!(office.ask(&coarser, 1, Some(&finer)), Ok(1), "it tightens");
        assert_eq!(office.ask(&finer, 1, Some(&finer)), Ok(1), "it changes nothing");
        assert_eq!(office.ask(&finer, 1, Some(&coarser)), Err(RefusalReason::TooFewToLoosen));
        assert_eq!(office.ask(&finer, 2, Some(&coarser)), Ok(2));
        assert_eq!(office.ask(&finer, 1, None), Err(RefusalReason::TooFewToLoosen));
        assert_eq!(office.ask(&finer, 2, None), Ok(2));
        let needed = |before| check(&office.signatures, &Files::new(), &finer, before).unwrap_err().required;
        assert_eq!(
            (needed(Some(&finer)), needed(Some(&coarser)), needed(None)),
            (1, 2, 2),
            "the unsigned are told all"
        );
        let refused = check(&office.signatures, &office.files(&finer, 1), &finer, Some(&coarser)).unwrap_err();
        let said = refused.to_string();
        assert!(refused.loosens.is_some_and(|cells| cells > 0), "{said}");
        assert!(said.contains("signed by marla and need 2 signers") && said.contains("`privet diff`"), "{said}");
    }

    #[test]
    fn a_key_file_says_whose_it_is_and_another_programs_needs_a_name() {
        let file = SigningKey::fresh_file("marla").unwrap();
        let key = SigningKey::read(&file, None).unwrap();
        assert!(!format!("{key:?}").contains("PRIVATE"));
        assert_eq!(file.lines().next().unwrap(), key.public().to_string());
        let (_, bare) = file.split_once('\n').unwrap();
        assert_eq!(SigningKey::read(bare, None).unwrap_err(), BadSigningKey::Nameless);
        assert!(SigningKey::read(bare, Some("odalys")).unwrap().public().is_same_key(key.public()));
        let other = SigningKey::fresh_file("marla").unwrap();
        let mixed = format!("{}\n{bare}", other.lines().next().unwrap());
        assert_eq!(SigningKey::read(&mixed, None).unwrap_err(), BadSigningKey::AnotherKey);
        assert_eq!(SigningKey::read("privet-signer", Some("marla")).unwrap_err(), BadSigningKey::NotAKey);
        assert!(matches!(SigningKey::fresh_file("Marla Q."), Err(BadSigningKey::Name(_))));
    }

    #[test]
    fn an_openssl_key_signs() {
        // `openssl genpkey -algorithm ed25519`: PKCS#8 version 1, without the public half.
        let file = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
        let key = SigningKey::read(file, Some("marla")).unwrap();
        assert!(key.public().signed("sha256:ab", &key.sign("sha256:ab")));
        // RFC 8410, section 10.3 and 10.1: this private key and its public half.
        let public = "privet-signer+marla+Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
        assert_eq!(key.public().to_string(), public);
    }
}
