//! Refusals that came over the wire, remembered for as long as the process lives.
//!
//! Promise: bounded, and keyed: subjects are kept as keyed one-way values under a
//! key that only this process has. Not a consent store: it is not shared with
//! other pods and does not outlive this one, so nothing may rely on it to permit
//! by silence ([`Memory::Forgetful`](privet_policy::consent::Memory)).

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use privet_policy::consent::{StoreUnavailable, Stored, StoredDecisions};
use privet_policy::policy::{Policy, PurposeNo, PurposeSet};
use ring::{hmac, rand};

/// Subjects kept in each of the two generations.
const GENERATION_MAX: usize = 100_000;

type Subject = [u8; 16];
/// Purposes refused by one subject and when, in milliseconds since 1970.
type Refusals = Vec<(u8, i64)>;

/// Everything remembered. When the young generation is full it becomes the old one.
#[derive(Default)]
struct Generations {
    young: HashMap<Subject, Refusals>,
    old: HashMap<Subject, Refusals>,
    /// Purposes by the number they have here; numbers of a policy change with it.
    purposes: Vec<String>,
}

/// Remembers refusals.
pub struct WireRefusals {
    key: hmac::Key,
    kept: RwLock<Generations>,
}

impl WireRefusals {
    /// An empty memory under a fresh key; `None` if the system gives no random bytes.
    #[must_use]
    pub fn new() -> Option<Self> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new()).ok()?;
        Some(Self { key, kept: RwLock::default() })
    }

    /// The memory as one policy numbers its purposes.
    #[must_use]
    pub const fn under<'a>(&'a self, policy: &'a Policy) -> Under<'a> {
        Under { memory: self, policy }
    }

    /// Remembers what a subject refused, received at a time.
    pub fn remember(&self, policy: &Policy, subject: &str, refused: PurposeSet, at_ms: i64) {
        let subject = self.subject(subject);
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        let numbers: Vec<u8> = refused.iter().filter_map(|purpose| kept.number(policy.purpose_name(purpose))).collect();
        if kept.young.len() >= GENERATION_MAX {
            kept.old = std::mem::take(&mut kept.young);
        }
        let refusals = kept.young.entry(subject).or_default();
        for number in numbers {
            match refusals.iter_mut().find(|(known, _)| *known == number) {
                Some((_, at)) => *at = at_ms.max(*at),
                None => refusals.push((number, at_ms)),
            }
        }
    }

    fn subject(&self, id: &str) -> Subject {
        let tag = hmac::sign(&self.key, id.as_bytes());
        let mut subject = [0; 16];
        subject.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        subject
    }
}

impl Generations {
    /// A purpose's number here; `None` once 255 different ones were seen.
    fn number(&mut self, purpose: &str) -> Option<u8> {
        let known = self.purposes.iter().position(|known| known == purpose);
        let number = known.unwrap_or(self.purposes.len());
        if known.is_none() {
            self.purposes.push(purpose.to_owned());
        }
        u8::try_from(number).ok()
    }
}

/// [`WireRefusals`] under one policy.
pub struct Under<'a> {
    memory: &'a WireRefusals,
    policy: &'a Policy,
}

impl StoredDecisions for Under<'_> {
    fn is_empty(&self) -> bool {
        let kept = self.memory.kept.read().unwrap_or_else(PoisonError::into_inner);
        kept.young.is_empty() && kept.old.is_empty()
    }

    fn recall(&self, subject: &str, each: &mut dyn FnMut(PurposeNo, Stored)) -> Result<(), StoreUnavailable> {
        let subject = self.memory.subject(subject);
        let kept = self.memory.kept.read().unwrap_or_else(PoisonError::into_inner);
        for refusals in [&kept.young, &kept.old].into_iter().filter_map(|generation| generation.get(&subject)) {
            for (number, at_ms) in refusals {
                let name = kept.purposes.get(usize::from(*number));
                let here =
                    name.and_then(|name| self.policy.purposes().iter().position(|purpose| purpose.name == *name));
                if let Some(purpose) = here.and_then(|here| u8::try_from(here).ok()) {
                    each(PurposeNo(purpose), Stored { given: false, at_ms: *at_ms, authenticated: false });
                }
            }
        }
        Ok(())
    }
}
