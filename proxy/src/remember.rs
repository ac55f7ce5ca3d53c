//! Refusals that came over the wire, remembered for as long as the process lives.
//!
//! Promise: bounded, and keyed: of a subject a keyed hash is kept, under a key
//! that only this process has and that dies with it. Two subjects of one hash
//! would share their refusals, never a grant. Of one source only so many subjects are
//! taken in a while; a request that brings more has to come again. Not a consent store: it is not
//! shared with other pods and does not outlive this one, so nothing may rely on
//! it to permit by silence ([`Memory::Forgetful`](privet_policy::consent::Memory)).

use std::collections::{HashMap, HashSet};
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
/// How many new subjects' refusals one source may have remembered: to crowd out what others refused takes it a minute
/// and a half at least, where it took one request. What was refused is in the store by then, where there is one.
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

    /// Remembers what a request from a source refuses, each refusal under each of its subjects. Says `false`, and
    /// remembers nothing, where the source made too many subjects known of late: the request has to come again.
    #[must_use]
    pub fn remember(&self, policy: &Policy, source: IpAddr, refusals: &[&Refusal], at_ms: i64) -> bool {
        let subjects = refusals.iter().map(|refusal| refusal.subjects.iter().map(|id| self.key.hash_one(id.as_str())));
        let subjects: Vec<Vec<Subject>> = subjects.map(Iterator::collect).collect();
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        let new: HashSet<Subject> =
            subjects.iter().flatten().copied().filter(|subject| !kept.knows(*subject)).collect();
        if !self.sources.allows_many(source, new.len()) {
            return false;
        }
        for (refusal, subjects) in refusals.iter().zip(subjects) {
            let names = || refusal.purposes.iter().map(|purpose| policy.purpose_name(purpose));
            names().for_each(|name| kept.make_known(name, policy));
            let numbers: Vec<u8> = names().filter_map(|name| kept.number(name)).collect();
            subjects.into_iter().for_each(|subject| kept.add(subject, &numbers, at_ms));
        }
        true
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

    fn knows(&self, subject: Subject) -> bool {
        self.young.contains_key(&subject) || self.old.contains_key(&subject)
    }

    /// Gives a purpose of this policy a number. There are 256; when they are used up, those of purposes that this
    /// policy has not any more are given out again, and what was refused of these is forgotten.
    fn make_known(&mut self, purpose: &str, policy: &Policy) {
        if self.number(purpose).is_some() {
            return;
        }
        if self.purposes.len() > usize::from(u8::MAX) {
            self.forget_purposes_unknown_to(policy);
        }
        self.purposes.push(purpose.to_owned());
    }

    /// The number that a purpose has here.
    fn number(&self, purpose: &str) -> Option<u8> {
        let known = self.purposes.iter().position(|known| known == purpose)?;
        u8::try_from(known).ok()
    }

    fn forget_purposes_unknown_to(&mut self, policy: &Policy) {
        let is_known = |name: &String| policy.purposes().iter().any(|purpose| purpose.name == *name);
        let old = std::mem::take(&mut self.purposes);
        self.purposes = old.iter().filter(|name| is_known(name)).cloned().collect();
        let renumbered = |number: u8| {
            let name = old.get(usize::from(number))?;
            self.purposes.iter().position(|known| known == name).and_then(|number| u8::try_from(number).ok())
        };
        for refusals in self.young.values_mut().chain(self.old.values_mut()) {
            let kept = refusals.iter().filter_map(|(number, at_ms)| Some((renumbered(*number)?, *at_ms)));
            *refusals = kept.collect();
        }
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
        assert!(refusals.remember(&policy, source, &[&two], 5));
        assert!(refusals.remember(&policy, source, &[&refusal("u-1".into())], 3));
        assert_eq!(refused_at(&refusals, &policy, "u-1"), Some(5));
        assert_eq!(refused_at(&refusals, &policy, "device-1"), Some(5));
        assert_eq!(refused_at(&refusals, &policy, "u-2"), None);
    }

    #[test]
    fn one_source_cannot_push_out_what_others_refused() {
        let (policy, refusals) = (policy(), WireRefusals::default());
        assert!(refusals.remember(&policy, IpAddr::from([192, 0, 2, 1]), &[&refusal("u-1".into())], 1));
        let flood = IpAddr::from([192, 0, 2, 2]);
        let remembered = (0..3 * GENERATION_MAX)
            .filter(|number| refusals.remember(&policy, flood, &[&refusal(number.to_string())], 2))
            .count();
        assert!(remembered < GENERATION_MAX, "{remembered}");
        assert_eq!(refused_at(&refusals, &policy, "u-1"), Some(1));
    }

    #[test]
    fn subjects_are_counted_however_few_events_name_them_and_only_once() {
        let (policy, refusals) = (policy(), WireRefusals::default());
        let (flood, other) = (IpAddr::from([192, 0, 2, 2]), IpAddr::from([192, 0, 2, 1]));
        let many = |name: &str| {
            let subjects = (0..PER_SOURCE.burst.get()).map(|number| format!("{name}-{number}")).collect();
            Refusal { subjects, ..refusal(String::new()) }
        };
        assert!(refusals.remember(&policy, flood, &[&many("a")], 1), "at once as many as a source has in reserve");
        assert!(refusals.remember(&policy, flood, &[&many("a")], 2), "whoever is known takes no more room");
        assert!(!refusals.remember(&policy, flood, &[&refusal("b-0".into()), &many("b")], 3));
        assert_eq!(refused_at(&refusals, &policy, "b-0"), None, "all of a request, or nothing");
        assert_eq!(refused_at(&refusals, &policy, "a-0"), Some(2));
        assert!(refusals.remember(&policy, other, &[&many("b")], 4), "the same may be said by others");
    }

    #[test]
    fn purposes_that_came_and_went_make_room_for_those_in_force() {
        let policy = policy();
        let mut kept = Generations::default();
        for number in 0..256 {
            kept.purposes.push(format!("gone-{number}"));
        }
        kept.add(1, &[3], 1);
        kept.make_known("analytics.reporting", &policy);
        kept.add(1, &[kept.number("analytics.reporting").unwrap()], 2);
        assert_eq!(kept.purposes, ["analytics.reporting"]);
        assert_eq!(kept.young.get(&1), Some(&vec![(0, 2)]), "what nobody asks about any more is forgotten");
    }
}
