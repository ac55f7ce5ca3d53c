//! The keyring: which pseudonyms join, which tokens open, and for how long.
//!
//! A directory of files, each 32 secret bytes in base64 on one line:
//! `<epoch>.key` for pseudonyms, `<name>.<epoch>.token` for the tokens that a
//! policy seals with the key `<name>`. A second line, `from 2026-12-01T00:00:00Z`,
//! says when the epoch begins, so that every pod has the key before any uses it;
//! without one it has always begun. Of the epochs that have begun, the one whose
//! name sorts last is current.
//!
//! Promise: a keyring that cannot be read whole is refused whole. Not here:
//! making and rotating epochs; [`crate::cli`] does that.

mod pseudonym;
mod secret;
mod token;

pub use pseudonym::{PSEUDONYM_BYTES_MAX, Pseudonyms};
pub use secret::{Secret, begins, check_value};
pub use token::{NotRevealed, Sealer};

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use zeroize::Zeroizing;

/// Files of these endings are keys; all others are passed over.
pub const PSEUDONYM_ENDING: &str = ".key";
/// See [`PSEUDONYM_ENDING`].
pub const TOKEN_ENDING: &str = ".token";

/// The secrets of all epochs.
pub struct Keyring {
    /// Sorted by epoch; never empty.
    pseudonyms: Vec<Epoch>,
    /// By the key's name; each sorted by epoch and never empty.
    tokens: BTreeMap<String, Vec<Epoch>>,
    /// Whether a token key that is missing is made from the newest pseudonym key.
    improvises: bool,
}

/// One key file.
struct Epoch {
    name: String,
    from_ms: i64,
    secret: Secret,
}

/// Why a keyring cannot be used. Holds names of files, never what is in them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKeyring {
    /// There is no key in it.
    #[error("the keyring holds no `<epoch>.key` file")]
    Empty,
    /// One file is no key.
    #[error("`{0}` is not 32 bytes in base64 on one line, with at most a line `from TIME` after it")]
    NotAKey(String),
    /// A token key's file does not say whose it is.
    #[error("`{0}` is not named `<name>.<epoch>.token`")]
    NotNamed(String),
    /// The system gave no random bytes.
    #[error("the system gives no random bytes")]
    NoRandomness,
}

/// A policy seals with a key that the keyring does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the policy tokenizes with the key `{0}`, and the keyring holds no `{0}.<epoch>.token`; `privet keys init DIR --token {0}` makes one"
)]
pub struct MissingKey(pub String);

impl Keyring {
    /// Reads a keyring from the files of its directory.
    ///
    /// # Errors
    /// [`BadKeyring`] if there is no key, or one that is not readable.
    pub fn read(files: &[(String, Vec<u8>)]) -> Result<Self, BadKeyring> {
        let mut keyring = Self { pseudonyms: Vec::new(), tokens: BTreeMap::new(), improvises: false };
        for (name, bytes) in files {
            if let Some(epoch) = name.strip_suffix(PSEUDONYM_ENDING) {
                keyring.pseudonyms.push(Epoch::read(epoch, name, bytes)?);
            } else if let Some(stem) = name.strip_suffix(TOKEN_ENDING) {
                let (key, epoch) = stem.split_once('.').ok_or_else(|| BadKeyring::NotNamed(name.clone()))?;
                keyring.tokens.entry(key.to_owned()).or_default().push(Epoch::read(epoch, name, bytes)?);
            }
        }
        for epochs in keyring.tokens.values_mut().chain([&mut keyring.pseudonyms]) {
            epochs.sort_by(|a, b| a.name.cmp(&b.name));
        }
        if keyring.pseudonyms.is_empty() { Err(BadKeyring::Empty) } else { Ok(keyring) }
    }

    /// A keyring of one random epoch, for demonstrations and offline use; it has
    /// a key for whatever a policy tokenizes with.
    ///
    /// # Errors
    /// [`BadKeyring::NoRandomness`].
    pub fn random() -> Result<Self, BadKeyring> {
        Ok(Self::of_one(Secret::random()?))
    }

    /// A keyring of one known secret, for tests of policies; it has a key for
    /// whatever a policy tokenizes with.
    #[must_use]
    pub fn of_one(secret: Secret) -> Self {
        let only = Epoch { name: "test".to_owned(), from_ms: i64::MIN, secret };
        Self { pseudonyms: vec![only], tokens: BTreeMap::new(), improvises: true }
    }

    /// The name of the epoch that is current at a time.
    #[must_use]
    pub fn epoch_at(&self, time: Timestamp) -> &str {
        current(&self.pseudonyms, |epoch| epoch.from_ms, time.as_millisecond()).map_or("", |epoch| &epoch.name)
    }

    /// The keys of one purpose, by epoch.
    #[must_use]
    pub fn pseudonyms_for(&self, purpose: &str) -> Timeline<Pseudonyms> {
        let keys = self.pseudonyms.iter().map(|epoch| {
            (epoch.from_ms, Pseudonyms::new(&epoch.secret.derive(&[purpose.as_bytes(), b"\0", epoch.name.as_bytes()])))
        });
        Timeline(keys.collect())
    }

    /// The keys that subjects may have in a consent store, by the epoch they are derived from, the first
    /// epoch's first. They do not follow rotation: a store keeps those that it was first used with.
    #[must_use]
    pub fn subject_keys(&self) -> Vec<crate::consent::SubjectKeys> {
        self.pseudonyms.iter().map(|epoch| epoch.secret.subject_keys()).collect()
    }

    /// What seals with a key of this name, by epoch.
    ///
    /// # Errors
    /// [`MissingKey`].
    pub fn sealers_for(&self, key: &str) -> Result<Timeline<Sealer>, MissingKey> {
        let improvised = self.improvises.then_some(&self.pseudonyms);
        let epochs = self.tokens.get(key).or(improvised).ok_or_else(|| MissingKey(key.to_owned()))?;
        let sealers = epochs.iter().map(|epoch| (epoch.from_ms, Sealer::new(&epoch.secret, key, &epoch.name)));
        Ok(Timeline(sealers.collect()))
    }

    /// What a token was made of.
    ///
    /// # Errors
    /// [`NotRevealed`].
    pub fn reveal(&self, token: &str) -> Result<Zeroizing<String>, NotRevealed> {
        let (key, epoch) = token::key_of(token)?;
        let known = self.tokens.get(key).and_then(|epochs| epochs.iter().find(|known| known.name == epoch));
        let known = known.ok_or_else(|| NotRevealed::NoKey { key: key.to_owned(), epoch: epoch.to_owned() })?;
        Sealer::new(&known.secret, key, epoch).open(token)
    }
}

impl Epoch {
    fn read(epoch: &str, file: &str, bytes: &[u8]) -> Result<Self, BadKeyring> {
        let (secret, from) = secret::read(bytes).ok_or_else(|| BadKeyring::NotAKey(file.to_owned()))?;
        Ok(Self { name: epoch.to_owned(), from_ms: from.map_or(i64::MIN, Timestamp::as_millisecond), secret })
    }
}

/// One thing an epoch, in the order of the epochs' names.
#[derive(Clone, Debug)]
pub struct Timeline<T>(Vec<(i64, T)>);

impl<T> Timeline<T> {
    /// The one that is current at a time, in milliseconds since 1970.
    #[must_use]
    pub fn at(&self, time_ms: i64) -> Option<&T> {
        current(&self.0, |(from_ms, _)| *from_ms, time_ms).map(|(_, thing)| thing)
    }
}

/// The last that has begun; before any has, the first, so that there is always a key.
fn current<T>(epochs: &[T], from_ms: impl Fn(&T) -> i64, time_ms: i64) -> Option<&T> {
    epochs.iter().rev().find(|epoch| from_ms(epoch) <= time_ms).or(epochs.first())
}

/// How many epochs, and nothing of a secret.
impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("epochs", &self.pseudonyms.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use privet_policy::action::PseudonymShape;

    fn files(list: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
        list.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect()
    }

    const A: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
    const B: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

    fn pseudonym(ring: &Keyring, purpose: &str, at_ms: i64) -> String {
        let mut out = String::new();
        ring.pseudonyms_for(purpose).at(at_ms).unwrap().write("u-1", PseudonymShape::Text, &mut out);
        out
    }

    #[test]
    fn the_last_epoch_is_current_and_each_purpose_has_its_own_key() {
        let ring = Keyring::read(&files(&[("2026-11.key", B), ("2026-10.key", A), ("README", "x")])).unwrap();
        assert_eq!(ring.epoch_at(Timestamp::UNIX_EPOCH), "2026-11");
        let analytics = pseudonym(&ring, "analytics", 0);
        assert_eq!(analytics, pseudonym(&ring, "analytics", 0));
        assert_ne!(analytics, pseudonym(&ring, "marketing", 0));
        let earlier = Keyring::read(&files(&[("2026-10.key", A)])).unwrap();
        assert_ne!(analytics, pseudonym(&earlier, "analytics", 0));
    }

    #[test]
    fn an_epoch_begins_when_its_file_says() {
        let begins = format!("{B}\nfrom 2026-12-01T00:00:00Z\n");
        let ring = Keyring::read(&files(&[("2026-11.key", A), ("2026-12.key", &begins)])).unwrap();
        let moment: Timestamp = "2026-12-01T00:00:00Z".parse().unwrap();
        let before = moment.as_millisecond() - 1;
        assert_eq!(ring.epoch_at(Timestamp::from_millisecond(before).unwrap()), "2026-11");
        assert_eq!(ring.epoch_at(moment), "2026-12");
        let only_old = Keyring::read(&files(&[("2026-11.key", A)])).unwrap();
        assert_eq!(pseudonym(&ring, "analytics", before), pseudonym(&only_old, "analytics", 0));
        assert_ne!(
            pseudonym(&ring, "analytics", moment.as_millisecond()),
            pseudonym(&ring, "analytics", before),
            "two epochs do not join"
        );
        let only_new = Keyring::read(&files(&[("2026-12.key", &begins)])).unwrap();
        assert_eq!(only_new.epoch_at(Timestamp::UNIX_EPOCH), "2026-12", "there is always a key");
    }

    #[test]
    fn a_keyring_is_read_whole_or_not_at_all() {
        assert_eq!(Keyring::read(&files(&[("README", "x")])).unwrap_err(), BadKeyring::Empty);
        for bad in
            ["short", "AAAA\n", &format!("{A}until 2026-12-01"), &format!("{A}from tomorrow"), &format!("{A}{A}")]
        {
            let ring = files(&[("2026-10.key", A), ("2026-11.key", bad)]);
            assert_eq!(Keyring::read(&ring).unwrap_err(), BadKeyring::NotAKey("2026-11.key".into()), "{bad}");
        }
        let unnamed = files(&[("2026-10.key", A), ("support.token", A)]);
        assert_eq!(Keyring::read(&unnamed).unwrap_err(), BadKeyring::NotNamed("support.token".into()));
        assert!(!format!("{:?}", Keyring::read(&files(&[("e.key", A)])).unwrap()).contains("AAAA"));
    }

    #[test]
    fn a_token_opens_with_its_own_key_and_epoch_only() {
        let ring = Keyring::read(&files(&[("e.key", A), ("support.1.token", A), ("support.2.token", B)])).unwrap();
        let earlier = Keyring::read(&files(&[("e.key", A), ("support.1.token", A)])).unwrap();
        let sealed = |ring: &Keyring| {
            let mut token = String::new();
            let sealers = ring.sealers_for("support").unwrap();
            sealers.at(0).unwrap().seal(
                "marla@example.com",
                privet_policy::action::TokenMode::Deterministic,
                &mut token,
            );
            token
        };
        let (old, new) = (sealed(&earlier), sealed(&ring));
        assert!(old.starts_with("tk1.support.1.") && new.starts_with("tk1.support.2."), "{old} {new}");
        assert_eq!(ring.reveal(&old).unwrap().as_str(), "marla@example.com");
        assert_eq!(ring.reveal(&new).unwrap().as_str(), "marla@example.com");
        let missing = NotRevealed::NoKey { key: "support".into(), epoch: "2".into() };
        assert_eq!(earlier.reveal(&new).unwrap_err(), missing);
        assert_eq!(ring.sealers_for("other").unwrap_err(), MissingKey("other".into()));
    }
}
