//! Tokens: a value sealed under a named key, to be opened by whoever holds it.
//!
//! A token is `tk1.<key>.<epoch>.<sealed>` for equal tokens of equal values, and
//! `tr1...` where each is new. What is sealed is AES-256-SIV (RFC 5297) over the
//! text, in base64url; `tr1` has 16 random bytes before it, which are the nonce.
//! Mode, key and epoch are authenticated with the text.

use aes_siv::KeyInit as _;
use aes_siv::siv::Aes256Siv;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use privet_policy::action::TokenMode;
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use super::Secret;

const NONCE_BYTES: usize = 16;

/// Seals with one key of one epoch.
pub struct Sealer {
    key: Zeroizing<[u8; 64]>,
    /// `<key>.<epoch>`
    name: String,
}

/// Why a token stays closed. Holds nothing of what is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRevealed {
    /// It is no token.
    #[error("this is no token: one begins with `tk1.` or `tr1.`, then the key's name, the epoch and the sealed value")]
    NotAToken,
    /// The keyring lacks its key.
    #[error("the keyring holds no `{key}.{epoch}.token`")]
    NoKey {
        /// The key's name.
        key: String,
        /// Its epoch.
        epoch: String,
    },
    /// It was not made with this key, or was changed since.
    #[error("this token was not sealed with the key that it names, or was changed")]
    Forged,
}

const fn word(mode: TokenMode) -> &'static str {
    match mode {
        TokenMode::Deterministic => "tk1",
        TokenMode::Random => "tr1",
    }
}

impl Sealer {
    pub(super) fn new(secret: &Secret, key: &str, epoch: &str) -> Self {
        let derived = secret.derive(&[b"token\0", key.as_bytes(), b"\0", epoch.as_bytes()]);
        Self { key: derived, name: format!("{key}.{epoch}") }
    }

    /// Appends the token of a value; says `false`, and appends nothing, where the
    /// system gives no random bytes. No character needs escaping.
    pub fn seal(&self, value: &str, mode: TokenMode, out: &mut String) -> bool {
        let mut nonce = [0; NONCE_BYTES];
        let nonce: &mut [u8] = match mode {
            TokenMode::Deterministic => &mut [],
            TokenMode::Random => &mut nonce,
        };
        if SystemRandom::new().fill(nonce).is_err() {
            return false;
        }
        let Ok(sealed) = self.siv().encrypt(self.headers(mode, nonce), value.as_bytes()) else { return false };
        for part in [word(mode), ".", &self.name, "."] {
            out.push_str(part);
        }
        URL_SAFE_NO_PAD.encode_string([&*nonce, &sealed].concat(), out);
        true
    }

    /// What a token was made of.
    ///
    /// # Errors
    /// [`NotRevealed::Forged`] if it was not sealed with this key, or was changed.
    pub(super) fn open(&self, token: &str) -> Result<Zeroizing<String>, NotRevealed> {
        let (mode, sealed) = parts(token)?;
        let bytes = URL_SAFE_NO_PAD.decode(sealed).map_err(|_| NotRevealed::NotAToken)?;
        let nonce_bytes = if mode == TokenMode::Random { NONCE_BYTES } else { 0 };
        let (nonce, sealed) = bytes.split_at_checked(nonce_bytes).ok_or(NotRevealed::NotAToken)?;
        let opened = self.siv().decrypt(self.headers(mode, nonce), sealed).map_err(|_| NotRevealed::Forged)?;
        String::from_utf8(opened).map(Zeroizing::new).map_err(|_| NotRevealed::Forged)
    }

    fn siv(&self) -> Aes256Siv {
        Aes256Siv::new((&*self.key).into())
    }

    /// What is authenticated beside the value; the nonce stands last (RFC 5297, section 3).
    fn headers<'a>(&'a self, mode: TokenMode, nonce: &'a [u8]) -> Vec<&'a [u8]> {
        let mut headers = vec![word(mode).as_bytes(), self.name.as_bytes()];
        if mode == TokenMode::Random {
            headers.push(nonce);
        }
        headers
    }
}

/// The mode of a token, and what is sealed in it.
fn parts(token: &str) -> Result<(TokenMode, &str), NotRevealed> {
    let (first, _) = token.split_once('.').ok_or(NotRevealed::NotAToken)?;
    let mode = TokenMode::ALL.into_iter().find(|mode| word(*mode) == first).ok_or(NotRevealed::NotAToken)?;
    let (_, sealed) = token.rsplit_once('.').ok_or(NotRevealed::NotAToken)?;
    Ok((mode, sealed))
}

/// The key and epoch that a token names.
pub(super) fn key_of(token: &str) -> Result<(&str, &str), NotRevealed> {
    parts(token)?;
    let named = token.split_once('.').and_then(|(_, rest)| rest.rsplit_once('.'));
    named.and_then(|(name, _)| name.split_once('.')).ok_or(NotRevealed::NotAToken)
}

/// What a key is and is not said of it: its name.
impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer() -> Sealer {
        Sealer::new(&Secret::new([7; 32]), "support", "2026-11")
    }

    fn sealed(value: &str, mode: TokenMode) -> String {
        let mut token = String::new();
        assert!(sealer().seal(value, mode, &mut token));
        token
    }

    #[test]
    fn tokens_open_again() {
        for value in ["", "u-1", "marla.quillfeather@example.com", "a.b.c", &"x".repeat(10_000)] {
            for mode in TokenMode::ALL {
                let token = sealed(value, mode);
                assert_eq!(sealer().open(&token).unwrap().as_str(), value);
                assert_eq!(key_of(&token), Ok(("support", "2026-11")));
                assert_eq!(sealed(value, mode) == token, mode == TokenMode::Deterministic);
                assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)), "{token}");
            }
        }
    }

    #[test]
    fn what_was_changed_stays_closed() {
        let token = sealed("u-1", TokenMode::Random);
        let name = token.find('.').unwrap()..token.rfind('.').unwrap();
        for place in (0..token.len()).filter(|place| !name.contains(place)) {
            let mut changed = token.clone().into_bytes();
            changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
            assert!(sealer().open(std::str::from_utf8(&changed).unwrap()).is_err(), "{place}");
        }
        let renamed = token.replace("support", "billing");
        let other = Sealer::new(&Secret::new([7; 32]), "billing", "2026-11");
        assert_eq!(other.open(&renamed).unwrap_err(), NotRevealed::Forged);
        for text in ["", "u-1", "tk1", "tk1.", "tk1.support", "tr1.support.1.AAAA", "tk2.a.b.c"] {
            assert!(sealer().open(text).is_err(), "{text}");
        }
    }

    #[test]
    fn wycheproof_agrees() {
        let mut tried = 0;
        for line in include_str!("../../tests/data/wycheproof-aes-siv-cmac.ndjson").lines() {
            let case: serde_json::Value = serde_json::from_str(line).unwrap();
            let bytes = |member: &str| hex(case[member].as_str().unwrap());
            let Ok(key) = <[u8; 64]>::try_from(bytes("key")) else { continue };
            let mut siv = Aes256Siv::new((&key).into());
            let opened = siv.decrypt([bytes("aad")], &bytes("ct"));
            if case["result"] == "valid" {
                assert_eq!(opened.unwrap(), bytes("msg"), "{}", case["tcId"]);
                assert_eq!(siv.encrypt([bytes("aad")], &bytes("msg")).unwrap(), bytes("ct"), "{}", case["tcId"]);
            } else {
                assert!(opened.is_err(), "{}", case["tcId"]);
            }
            tried += 1;
        }
        assert!(tried > 50, "{tried}");
    }

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
    }
}
