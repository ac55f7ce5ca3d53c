//! Refusals that came over the wire, remembered for as long as the process lives.
//!
//! Promise: bounded, and keyed: of a subject a keyed hash is kept, under a key
//! that only this process has and that dies with it. Two subjects of one hash
//! would share their refusals, never a grant. Not a consent store: it is not
//! shared with other pods and does not outlive this one, so nothing may rely on
//! it to permit by silence ([`Memory::Forgetful`](privet_policy::consent::Memory)).

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use privet_policy::consent::{StoreUnavailable, Stored, StoredDecisions};
use privet_policy::decide::Refusal;
use privet_policy::policy::{Policy, PurposeNo};

use crate::config::Rate;
use crate::rate::SourceRates;

/// Subjects kept in each of the two generations.
const GENERATION_MAX: usize = 100_000;
/// How many refusals one source may have remembered, so that none can crowd out everybody else's at once.
const PER_SOURCE: Rate = Rate { per_second: NonZeroU32::new(1_000).unwrap(), burst: NonZeroU32::new(10_000).unwrap() };

/// SipHash-1-3 of an id: a keyed pseudorandom function, so that nobody can aim two ids at one value.
type Subject = u64;
/// Purposes refused by one subject and when, in milliseconds since 1970.
type Refusals = Vec<(u8, i64)>;

type Generation = HashMap<Subject, Refusals, BuildHasherDefault<AsItIs>>;

/// A subject is a hash already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, subject: u64) {
        self.0 = subject;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Everything remembered. When the young generation is full it becomes the old one.
#[derive(Default)]
struct Generations {
    young: Generation,
    old: Generation,
    /// Purposes by the number they have here; numbers of a policy change with it.
    purposes: Vec<String>,
}

/// Remembers refusals.
pub struct WireRefusals {
    key: RandomState,
    kept: RwLock<Generations>,
    sources: SourceRates,
}

impl Default for WireRefusals {
    fn default() -> Self {
        Self { key: RandomState::new(), kept: RwLock::default(), sources: SourceRates::new(PER_SOURCE) }
    }
}

impl WireRefusals {
    /// The memory as one policy numbers its purposes. Nothing new is remembered while this is held.
    #[must_use]
    pub fn under<'a>(&'a self, policy: &'a Policy) -> Under<'a> {
        Under { key: &self.key, kept: self.kept.read().unwrap_or_else(PoisonError::into_inner), policy }
    }

    /// Remembers a refusal received from a source at a time under each of its
    /// subjects; says `false` where the source sent too many, or there were more
    /// purposes by name in the life of this process than can be told apart.
    #[must_use]
    pub fn remember(&self, policy: &Policy, source: IpAddr, refusal: &Refusal, at_ms: i64) -> bool {
        if !self.sources.allows(source) {
            return false;
        }
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        let numbers: Vec<u8> =
            refusal.purposes.iter().filter_map(|purpose| kept.number(policy.purpose_name(purpose))).collect();
        for subject in &refusal.subjects {
            kept.add(self.key.hash_one(subject.as_str()), &numbers, at_ms);
        }
        numbers.len() == refusal.purposes.iter().count()
    }

    /// Lets go of what is kept for sources that have not been seen for a while.
    pub fn tend(&self) {
        self.sources.forget_recovered();
    }
}

impl Generations {
    fn add(&mut self, subject: Subject, numbers: &[u8], at_ms: i64) {
        if self.young.len() >= GENERATION_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        let refusals = self.young.entry(subject).or_default();
        for number in numbers {
            match refusals.iter_mut().find(|(known, _)| known == number) {
                Some((_, at)) => *at = at_ms.max(*at),
                None => refusals.push((*number, at_ms)),
            }
        }
    }

    /// A purpose's number here; `None` once 256 different ones were seen.
    fn number(&mut self, purpose: &str) -> Option<u8> {
        let known = self.purposes.iter().position(|known| known == purpose);
        let number = u8::try_from(known.unwrap_or(self.purposes.len())).ok()?;
        if known.is_none() {
            self.purposes.push(purpose.to_owned());
        }
        Some(number)
    }
}

/// [`WireRefusals`] under one policy.
pub struct Under<'a> {
    key: &'a RandomState,
    kept: RwLockReadGuard<'a, Generations>,
    policy: &'a Policy,
}

impl StoredDecisions for Under<'_> {
    fn is_empty(&self) -> bool {
        self.kept.young.is_empty() && self.kept.old.is_empty()
    }

    fn recall(&self, subject: &str, each: &mut dyn FnMut(PurposeNo, Stored)) -> Result<(), StoreUnavailable> {
        let subject = self.key.hash_one(subject);
        let generations = [&self.kept.young, &self.kept.old];
        for refusals in generations.into_iter().filter_map(|generation| generation.get(&subject)) {
            for (number, at_ms) in refusals {
                let name = self.kept.purposes.get(usize::from(*number));
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

#[cfg(test)]
mod tests {
    use super::*;
    use privet_policy::diagnostic::SourceFile;
    use privet_policy::policy::PurposeSet;

    const POLICY: &str = "apiVersion: privet.dev/v1alpha1
kind: Purpose
metadata: {name: analytics.reporting}
basis: consent
granted_by: [{segment: {category: Analytics}}]
jurisdictions: {default: opt_in}
---
apiVersion: privet.dev/v1alpha1
kind: Destination
metadata: {name: collector}
url: http://127.0.0.1:8081
primary: true
recipient: processor
purposes: [analytics.reporting]
";

    fn policy() -> Policy {
        let files = [SourceFile { name: "p.yaml".into(), text: POLICY.into() }];
        let loaded = crate::policies::compile(&files);
        let errors = crate::policies::errors(&files, &loaded.diagnostics);
        loaded.policy.unwrap_or_else(|| panic!("{errors}")).0
    }

    fn refusal(subject: String) -> Refusal {
        Refusal { purposes: PurposeSet::default().with(PurposeNo(0)), subjects: vec![subject] }
    }

    fn refused_at(refusals: &WireRefusals, policy: &Policy, subject: &str) -> Option<i64> {
        let mut at = None;
        refusals.under(policy).recall(subject, &mut |_, stored| at = Some(stored.at_ms)).unwrap();
        at
    }

    #[test]
    fn a_refusal_is_recalled_by_every_subject_and_by_no_other() {
        let (policy, refusals) = (policy(), WireRefusals::default());
        let source = IpAddr::from([192, 0, 2, 1]);
        assert!(refusals.under(&policy).is_empty());
        let two = Refusal { subjects: vec!["u-1".into(), "device-1".into()], ..refusal(String::new()) };
        assert!(refusals.remember(&policy, source, &two, 5));
        assert!(refusals.remember(&policy, source, &refusal("u-1".into()), 3));
        assert_eq!(refused_at(&refusals, &policy, "u-1"), Some(5));
        assert_eq!(refused_at(&refusals, &policy, "device-1"), Some(5));
        assert_eq!(refused_at(&refusals, &policy, "u-2"), None);
    }

    #[test]
    fn one_source_cannot_push_out_what_others_refused() {
        let (policy, refusals) = (policy(), WireRefusals::default());
        assert!(refusals.remember(&policy, IpAddr::from([192, 0, 2, 1]), &refusal("u-1".into()), 1));
        let flood = IpAddr::from([192, 0, 2, 2]);
        let remembered = (0..3 * GENERATION_MAX)
            .filter(|number| refusals.remember(&policy, flood, &refusal(number.to_string()), 2))
            .count();
        assert!(remembered < GENERATION_MAX, "{remembered}");
        assert_eq!(refused_at(&refusals, &policy, "u-1"), Some(1));
    }
}
