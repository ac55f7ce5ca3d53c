//! Knows an auditor's canaries among requests.
//!
//! Promise: a canary is decided, counted and forwarded as any request is; beside
//! that, the log says that it was one. Its header leaves for nobody. What is
//! said more than [`A_MINUTE`] times a minute is not recorded as a challenge: a
//! header that somebody got hold of must not fill the log.
//!
//! Source: `docs/auditor-guide.md`, "Challenges".

use std::num::NonZeroU32;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use http::HeaderMap;
use privet_audit_log::challenge::{self, AuditorKey};
use privet_audit_log::tree::Hash;

/// Challenges recorded a minute at most.
const A_MINUTE: NonZeroU32 = NonZeroU32::new(60).expect("it is not zero");

/// Signatures looked at a minute at most.
const TRIES_A_MINUTE: NonZeroU32 = NonZeroU32::new(1200).expect("it is not zero");

/// Whose canaries are known.
pub struct Challenges {
    auditors: Vec<AuditorKey>,
    room: DefaultDirectRateLimiter,
    /// Bounds the work that headers of nobody's can cause.
    tries: DefaultDirectRateLimiter,
}

impl Challenges {
    /// Those of these auditors.
    #[must_use]
    pub fn of(auditors: Vec<AuditorKey>) -> Self {
        let [room, tries] = [A_MINUTE, TRIES_A_MINUTE].map(|most| RateLimiter::direct(Quota::per_minute(most)));
        Self { auditors, room, tries }
    }

    /// Takes the header out of a request, and gives the hash of the token where it makes it a canary.
    pub(crate) fn take(&self, headers: &mut HeaderMap) -> Option<Hash> {
        if self.auditors.is_empty() {
            return None;
        }
        let value = headers.remove(challenge::HEADER)?;
        self.tries.check().ok()?;
        let token = challenge::open(value.as_bytes(), &self.auditors)?;
        self.room.check().ok().map(|()| token.hash())
    }
}

#[cfg(test)]
mod tests {
    use privet_audit_log::challenge::Token;
    use ring::signature::{Ed25519KeyPair, KeyPair as _};

    use super::*;

    fn pair(seed: u8) -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
    }

    fn challenges() -> Challenges {
        Challenges::of(vec![AuditorKey::new("odalys", pair(1).public_key().as_ref()).unwrap()])
    }

    fn headers(value: &str) -> HeaderMap {
        [(challenge::HEADER.parse().unwrap(), value.parse().unwrap())].into_iter().collect()
    }

    #[test]
    fn a_canary_is_known_by_its_auditor_and_its_header_goes_no_further() {
        let token = Token::new([5; 16]);
        let mut canary = headers(&token.sign(&pair(1)));
        assert_eq!(challenges().take(&mut canary).map(|hash| hash.to_address()), Some(token.digest()));
        assert!(canary.is_empty());
        let mut forged = headers(&token.sign(&pair(2)));
        assert_eq!(challenges().take(&mut forged), None);
        assert!(forged.is_empty());
    }

    #[test]
    fn a_header_that_is_sent_on_and_on_does_not_fill_the_log() {
        let challenges = challenges();
        let value = Token::new([5; 16]).sign(&pair(1));
        let known = (0..200).filter(|_| challenges.take(&mut headers(&value)).is_some()).count();
        assert!((60..=62).contains(&known), "{known}");
    }
}
