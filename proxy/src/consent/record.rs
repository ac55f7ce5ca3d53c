//! What is kept of one subject: facts, each with the newest time it was learned at.
//!
//! Promise: two records of one subject merge to one, in whatever order and however
//! often they meet: of every fact the later time stays. So pods that write at the
//! same time, and a write that is repeated, end in the same record. Not here: what
//! a record means for an event; that is `privet_policy::consent`.

use std::fmt;
use std::str::FromStr;

use privet_policy::consent::Stored;
use privet_policy::policy::{AgeClass, Policy, PurposeNo};

/// In place of a purpose: all there are and all there will be. Only a refusal can say that.
pub const EVERYTHING: &str = "*";
/// More facts about one subject than policies can name are no record of ours.
const FACTS_MAX: usize = 1024;
/// What a map's entry and its allocations take beside what is counted.
const OVERHEAD_BYTES: usize = 96;

/// One thing that is known of a subject.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fact {
    /// The subject decided on a purpose.
    Decision {
        /// The purpose's name, or [`EVERYTHING`].
        purpose: Box<str>,
        /// Agreed, or refused.
        given: bool,
        /// Whether it came over the authenticated interface.
        authenticated: bool,
    },
    /// The subject is a child (`true`) or an adult.
    Child(bool),
}

/// Facts and when they were learned, in milliseconds since 1970; sorted, no fact twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record(Vec<(Fact, i64)>);

/// What a store holds for a subject is no record, so nothing is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stored record cannot be read: it was written by another version, or not by privet")]
pub struct NotARecord;

impl Fact {
    /// Somebody refused a purpose on the wire.
    #[must_use]
    pub fn refused_on_the_wire(purpose: &str) -> Self {
        Self::Decision { purpose: purpose.into(), given: false, authenticated: false }
    }

    /// A decision over the authenticated interface.
    #[must_use]
    pub fn decided(purpose: &str, given: bool) -> Self {
        Self::Decision { purpose: purpose.into(), given, authenticated: true }
    }
}

/// The name a store keeps a fact under, such as `refused:api:analytics.reporting` or `age:child`.
impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decision { purpose, given, authenticated } => {
                let word = if *given { "given" } else { "refused" };
                let by = if *authenticated { "api" } else { "wire" };
                write!(f, "{word}:{by}:{purpose}")
            }
            Self::Child(true) => f.write_str("age:child"),
            Self::Child(false) => f.write_str("age:adult"),
        }
    }
}

impl FromStr for Fact {
    type Err = NotARecord;

    fn from_str(name: &str) -> Result<Self, NotARecord> {
        match name {
            "age:child" => return Ok(Self::Child(true)),
            "age:adult" => return Ok(Self::Child(false)),
            _ => {}
        }
        let mut parts = name.splitn(3, ':');
        let given = match parts.next() {
            Some("given") => true,
            Some("refused") => false,
            _ => return Err(NotARecord),
        };
        let authenticated = match parts.next() {
            Some("api") => true,
            Some("wire") => false,
            _ => return Err(NotARecord),
        };
        let purpose = parts.next().filter(|purpose| !purpose.is_empty()).ok_or(NotARecord)?;
        if given && purpose == EVERYTHING {
            return Err(NotARecord);
        }
        Ok(Self::Decision { purpose: purpose.into(), given, authenticated })
    }
}

impl Record {
    /// Facts that were learned at one time.
    #[must_use]
    pub fn of(facts: impl IntoIterator<Item = Fact>, at_ms: i64) -> Self {
        let mut record = Self::default();
        facts.into_iter().for_each(|fact| record.learn(fact, at_ms));
        record
    }

    /// Takes in one fact; a known one keeps its later time.
    pub fn learn(&mut self, fact: Fact, at_ms: i64) {
        match self.0.binary_search_by(|(known, _)| known.cmp(&fact)) {
            Ok(place) => {
                if let Some((_, at)) = self.0.get_mut(place) {
                    *at = at_ms.max(*at);
                }
            }
            Err(place) => self.0.insert(place, (fact, at_ms)),
        }
    }

    /// Takes in what another record knows.
    pub fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(fact, at_ms)| self.learn(fact.clone(), *at_ms));
    }

    /// Whether nothing is known.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The facts and their times, in order.
    pub fn facts(&self) -> impl Iterator<Item = (&Fact, i64)> {
        self.0.iter().map(|(fact, at_ms)| (fact, *at_ms))
    }

    /// Takes in a fact as a store has it.
    ///
    /// # Errors
    /// [`NotARecord`] where the name is none of ours, or there are more than any policy could make.
    pub fn learn_named(&mut self, name: &str, at_ms: i64) -> Result<(), NotARecord> {
        self.learn(name.parse()?, at_ms);
        if self.0.len() > FACTS_MAX { Err(NotARecord) } else { Ok(()) }
    }

    /// Calls back for each decision on a purpose of this policy.
    pub fn recall(&self, policy: &Policy, each: &mut dyn FnMut(PurposeNo, Stored)) {
        for (fact, at_ms) in self.facts() {
            let Fact::Decision { purpose, given, authenticated } = fact else { continue };
            let stored = Stored { given: *given, at_ms, authenticated: *authenticated };
            for (number, known) in policy.purposes().iter().enumerate() {
                if let Ok(number) = u8::try_from(number)
                    && (**purpose == *known.name || &**purpose == EVERYTHING)
                {
                    each(PurposeNo(number), stored);
                }
            }
        }
    }

    /// The subject's age class as it was learned last; of two at one time the child's.
    #[must_use]
    pub fn age(&self) -> Option<AgeClass> {
        let ages = self.0.iter().filter_map(|(fact, at_ms)| match fact {
            Fact::Child(child) => Some((*at_ms, *child)),
            Fact::Decision { .. } => None,
        });
        ages.max().map(|(_, child)| if child { AgeClass::Child } else { AgeClass::Adult })
    }

    /// The part that can be forgotten without more leaving for it: all but refusals, and that the subject is a child.
    #[must_use]
    pub fn forgettable(&self) -> Self {
        let is_child = self.age() == Some(AgeClass::Child);
        let stays = |fact: &Fact| match fact {
            Fact::Decision { given, .. } => !given,
            Fact::Child(child) => *child && is_child,
        };
        Self(self.0.iter().filter(|(fact, _)| !stays(fact)).cloned().collect())
    }

    /// What is left without the facts that still have the time they have there.
    #[must_use]
    pub fn without(&self, gone: &Self) -> Self {
        Self(self.0.iter().filter(|known| !gone.0.contains(known)).cloned().collect())
    }

    /// About how much memory it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let fact = |fact: &Fact| match fact {
            Fact::Decision { purpose, .. } => purpose.len(),
            Fact::Child(_) => 0,
        };
        OVERHEAD_BYTES + self.0.iter().map(|(known, _)| size_of::<(Fact, i64)>() + fact(known)).sum::<usize>()
    }

    /// As lines `TIME NAME`, for a store that keeps bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let lines = self.0.iter().map(|(fact, at_ms)| format!("{at_ms} {fact}\n"));
        lines.collect::<String>().into_bytes()
    }

    /// What [`Self::encode`] wrote.
    ///
    /// # Errors
    /// [`NotARecord`].
    pub fn decode(bytes: &[u8]) -> Result<Self, NotARecord> {
        let text = std::str::from_utf8(bytes).map_err(|_| NotARecord)?;
        let mut record = Self::default();
        for line in text.lines() {
            let (at_ms, name) = line.split_once(' ').ok_or(NotARecord)?;
            record.learn_named(name, at_ms.parse().map_err(|_| NotARecord)?)?;
        }
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn facts() -> impl Strategy<Value = Record> {
        let purpose = prop_oneof!["a", "b", "analytics.reporting"];
        let decision = (purpose, any::<bool>(), any::<bool>()).prop_map(|(purpose, given, authenticated)| {
            Fact::Decision { purpose: purpose.into(), given, authenticated }
        });
        let fact = prop_oneof![4 => decision, 1 => any::<bool>().prop_map(Fact::Child)];
        proptest::collection::vec((fact, 0..20_i64), 0..12).prop_map(|facts| {
            let mut record = Record::default();
            facts.into_iter().for_each(|(fact, at_ms)| record.learn(fact, at_ms));
            record
        })
    }

    fn merged(records: &[&Record]) -> Record {
        let mut all = Record::default();
        records.iter().for_each(|record| all.merge(record));
        all
    }

    proptest! {
        #[test]
        fn writers_converge_in_any_order(a in facts(), b in facts(), c in facts()) {
            let all = merged(&[&a, &b, &c]);
            prop_assert_eq!(&all, &merged(&[&c, &b, &a]));
            prop_assert_eq!(&all, &merged(&[&a, &merged(&[&b, &c]), &b, &a]));
        }

        #[test]
        fn what_is_written_is_read(record in facts()) {
            prop_assert_eq!(Record::decode(&record.encode()), Ok(record));
        }

        #[test]
        fn forgetting_leaves_every_refusal_and_no_grant(record in facts()) {
            let left = record.without(&record.forgettable());
            let refusals = |record: &Record| record.facts().filter(|(fact, _)| matches!(fact, Fact::Decision { given: false, .. })).count();
            prop_assert_eq!(refusals(&record), refusals(&left));
            let grants = left.facts().filter(|(fact, _)| matches!(fact, Fact::Decision { given: true, .. })).count();
            prop_assert_eq!(grants, 0);
            prop_assert_eq!(left.age(), record.age().filter(|age| *age == AgeClass::Child));
        }
    }

    #[test]
    fn only_our_names_are_facts() {
        for name in ["refused:wire:analytics", "given:api:a.b", "refused:api:*", "age:child", "age:adult"] {
            assert_eq!(name.parse::<Fact>().unwrap().to_string(), name);
        }
        for name in
            ["", "age:old", "given:api:*", "given:wire:*", "refused:api", "refused:api:", "maybe:api:a", "given:x:a"]
        {
            assert_eq!(name.parse::<Fact>(), Err(NotARecord), "{name}");
        }
        assert_eq!(Record::decode(b"12"), Err(NotARecord));
        assert_eq!(Record::decode(b"x age:child\n"), Err(NotARecord));
        assert_eq!(Record::decode(b"\xff"), Err(NotARecord));
    }

    #[test]
    fn the_age_that_was_learned_last_counts() {
        let age = |facts: &[(bool, i64)]| {
            let mut record = Record::default();
            facts.iter().for_each(|(child, at_ms)| record.learn(Fact::Child(*child), *at_ms));
            record.age()
        };
        assert_eq!(age(&[]), None);
        assert_eq!(age(&[(true, 1), (false, 2)]), Some(AgeClass::Adult));
        assert_eq!(age(&[(false, 1), (true, 2)]), Some(AgeClass::Child));
        assert_eq!(age(&[(false, 2), (true, 2)]), Some(AgeClass::Child));
    }
}
