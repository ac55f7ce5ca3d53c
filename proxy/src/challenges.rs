//! Knows an auditor's canaries among requests.
//!
//! Promise: a canary is decided, counted and forwarded as any request is; beside
//! that, the log says that it was one, once: a header that somebody got hold of
//! and sends again makes its request no canary, takes no other's room and costs no
//! signature, as long as it is among the last [`REMEMBERED_MAX`] of this process.
//! Its header leaves for nobody. More than [`A_MINUTE`] canaries a minute are not
//! recorded as challenges.
//!
//! Source: `docs/auditor-guide.md`, "Challenges".

use std::collections::{HashSet, VecDeque};
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use http::HeaderMap;
use privet_audit_log::challenge::{self, AuditorKey, TOKEN_DIGITS};
use privet_audit_log::tree::Hash;

/// Challenges recorded a minute at most.
const A_MINUTE: NonZeroU32 = NonZeroU32::new(60).expect("it is not zero");

/// Signatures looked at a minute at most, two hundredths of a core's time. Whoever sends more headers of the right shape than
/// this can have canaries pass as other requests, which their auditor sees as missing.
const TRIES_A_MINUTE: NonZeroU32 = NonZeroU32::new(12_000).expect("it is not zero");

/// Tokens of recorded challenges that are known again: at [`A_MINUTE`] those of 18 hours, in about 5 MiB.
const REMEMBERED_MAX: usize = 65_536;

/// Whose canaries are known.
pub struct Challenges {
    auditors: Vec<AuditorKey>,
    room: DefaultDirectRateLimiter,
    /// Bounds the work that headers of nobody's can cause.
    tries: DefaultDirectRateLimiter,
    /// Locked for a look, by requests that carry the header alone.
    spent: Mutex<Spent>,
}

/// The hashes of tokens that were recorded, or are about to be.
#[derive(Default)]
struct Spent {
    known: HashSet<Hash>,
    /// In the order in which they came.
    order: VecDeque<Hash>,
}

impl Spent {
    /// Keeps one more, and lets the oldest go; whether it is new.
    fn add(&mut self, token: Hash) -> bool {
        if !self.known.insert(token) {
            return false;
        }
        self.order.push_back(token);
        if self.order.len() > REMEMBERED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }

    fn take_back(&mut self, token: Hash) {
        if self.known.remove(&token)
            && let Some(at) = self.order.iter().rposition(|known| *known == token)
        {
            self.order.remove(at);
        }
    }
}

/// A request that is a canary. Unless it comes to be recorded, its token may come once more.
pub(crate) struct Canary<'c> {
    challenges: &'c Challenges,
    token: Hash,
    recorded: bool,
}

impl Canary<'_> {
    /// The hash of its token.
    pub(crate) const fn token(&self) -> Hash {
        self.token
    }

    /// It stands in the log.
    pub(crate) const fn recorded(&mut self) {
        self.recorded = true;
    }
}

impl Drop for Canary<'_> {
    fn drop(&mut self) {
        if !self.recorded {
            self.challenges.spent().take_back(self.token);
        }
    }
}

impl Challenges {
    /// Those of these auditors.
    #[must_use]
    pub fn of(auditors: Vec<AuditorKey>) -> Self {
        let [room, tries] = [A_MINUTE, TRIES_A_MINUTE].map(|most| RateLimiter::direct(Quota::per_minute(most)));
        Self { auditors, room, tries, spent: Mutex::default() }
    }

    /// Takes the header out of a request, and tells where it makes it a canary.
    pub(crate) fn take(&self, headers: &mut HeaderMap) -> Option<Canary<'_>> {
        if self.auditors.is_empty() {
            return None;
        }
        let value = headers.remove(challenge::HEADER)?;
        if self.is_spent(value.as_bytes()) {
            return None;
        }
        // What cannot be a canary takes no room of those that may be.
        let signed = challenge::Signed::parse(value.as_bytes())?;
        self.tries.check().ok()?;
        let token = signed.token(&self.auditors)?.hash();
        // Two requests with one token may come at a time.
        let new = self.spent().add(token);
        let canary = new.then_some(Canary { challenges: self, token, recorded: false })?;
        self.room.check().ok().map(|()| canary)
    }

    /// Whether a header's token was recorded already, whoever signed it.
    fn is_spent(&self, header: &[u8]) -> bool {
        header.get(..TOKEN_DIGITS).is_some_and(|token| self.spent().known.contains(&Hash::of(token)))
    }

    fn spent(&self) -> MutexGuard<'_, Spent> {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
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
        let challenges = challenges();
        assert_eq!(challenges.take(&mut canary).map(|canary| canary.token().to_address()), Some(token.digest()));
        assert!(canary.is_empty());
        let mut forged = headers(&token.sign(&pair(2)));
        assert!(challenges.take(&mut forged).is_none());
        assert!(forged.is_empty());
    }

    #[test]
    fn a_header_that_is_sent_on_and_on_is_one_canary_and_takes_no_others_room() {
        let challenges = challenges();
        let value = Token::new([5; 16]).sign(&pair(1));
        let take = |value: &str| challenges.take(&mut headers(value)).map(|mut canary| canary.recorded()).is_some();
        let more = TRIES_A_MINUTE.get() + 1_000;
        let known = (0..more).filter(|_| take(&value)).count();
        assert_eq!(known, 1, "of {more} times the same one");
        // More than there are tries for: none of them was spent on the header above.
        let others =
            (0..200_u8).filter(|n| take(&Token::new([*n, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7]).sign(&pair(1))));
        let others = others.count();
        assert!((59..=61).contains(&others), "{others}");
    }

    #[test]
    fn what_has_not_the_shape_of_a_canary_costs_no_try() {
        let challenges = challenges();
        let signed = Token::new([5; 16]).sign(&pair(1));
        for junk in ["x", &signed[1..], &signed.replace('.', ":"), &"!".repeat(signed.len())] {
            for _ in 0..TRIES_A_MINUTE.get() {
                assert!(challenges.take(&mut headers(junk)).is_none());
            }
        }
        assert!(challenges.take(&mut headers(&signed)).is_some());
    }

    #[test]
    fn a_canary_that_was_not_recorded_may_come_again() {
        let challenges = challenges();
        let value = Token::new([5; 16]).sign(&pair(1));
        let first = challenges.take(&mut headers(&value));
        assert!(first.is_some() && challenges.take(&mut headers(&value)).is_none(), "while one is under way");
        drop(first);
        let mut second = challenges.take(&mut headers(&value)).unwrap();
        second.recorded();
        drop(second);
        assert!(challenges.take(&mut headers(&value)).is_none());
    }

    #[test]
    fn no_more_tokens_are_remembered_than_there_is_room_for() {
        let mut spent = Spent::default();
        let token = |n: usize| Hash::of(&n.to_be_bytes());
        assert!((0..REMEMBERED_MAX + 10).all(|n| spent.add(token(n))));
        assert_eq!((spent.known.len(), spent.order.len()), (REMEMBERED_MAX, REMEMBERED_MAX));
        assert!(!spent.add(token(10)) && spent.add(token(9)), "the oldest have gone");
    }
}
