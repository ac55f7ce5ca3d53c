//! What leaves, for one contract and everything an event's verdict depends on.
//!
//! A verdict is a *class* of the enforcement log: the full decision vector, the
//! same for every event with the same facts. There are finitely many, so each is
//! compiled once, with a plan for the rewriter, and kept.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering as AtomicOrdering};
use std::sync::{Arc, RwLock};

use crate::action::Action;
use crate::plan::{self, Rewrite};
use crate::policy::{
    AgeClass, Contract, ContractNo, DestinationNo, Field, PlaceNo, Policy, Purpose, PurposeNo, PurposeSet, Role, Rule,
};
use crate::snowplow;
use crate::taxonomy::covers;

/// Everything a verdict depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VerdictKey {
    /// The contract the event follows.
    pub contract: ContractNo,
    /// Where the person is.
    pub place: PlaceNo,
    /// How old the person is.
    pub age: AgeClass,
    /// For each destination, the purposes that are permitted there.
    pub permitted: Vec<PurposeSet>,
}

/// The decision on one contract for every destination.
#[derive(Debug)]
pub struct Verdict {
    /// Tells verdicts of one policy apart for as long as the process runs.
    pub number: u32,
    /// What it depends on.
    pub key: VerdictKey,
    /// For each destination, what leaves; `None` where nothing does.
    pub treatments: Vec<Option<Treatment>>,
}

impl Verdict {
    /// What leaves for a destination; `None` where nothing does.
    #[must_use]
    pub fn treatment(&self, destination: DestinationNo) -> Option<&Treatment> {
        self.treatments.get(usize::from(destination.0))?.as_ref()
    }
}

/// What leaves for one destination.
#[derive(Debug)]
pub struct Treatment {
    /// The permitted purposes of this destination.
    pub purposes: PurposeSet,
    /// One ruling a field of the contract, in the contract's order.
    pub rulings: Vec<Ruling>,
    /// For fields with a key category, the ruling on the member names.
    pub key_rulings: Vec<Option<Ruling>>,
    /// The rewrite of an event's own part.
    pub rewrite: Rewrite,
}

/// Which ruling an edit carries out: an index into [`Treatment::rulings`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The field.
    pub field: u16,
    /// Whether it is about the member's name instead of its value.
    pub key: bool,
}

/// The decision on one field, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// What happens to the field.
    pub action: Action,
    /// What decided it.
    pub because: Because,
    /// The purpose it may leave for.
    pub purpose: Option<PurposeNo>,
}

/// What stands behind a ruling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// A rule, by its place in [`Policy::rules`].
    Rule(u16),
    /// The built-in rule for fields of this role.
    Role(Role),
    /// No rule of a permitted purpose mentions it: dropped by default.
    NoRule,
    /// Two forms that cannot be ordered met: dropped.
    Incomparable,
    /// An event of the request is withheld from this destination.
    Withheld,
}

impl Ruling {
    /// What happens where nothing says otherwise.
    pub const DEFAULT_DROP: Self = Self { action: Action::Drop, because: Because::NoRule, purpose: None };

    /// The coarser of two, as shared facts need it; incomparable forms are dropped.
    pub(crate) fn coarser(self, other: Self) -> Self {
        match self.action.compare(&other.action) {
            Some(Ordering::Less | Ordering::Equal) => self,
            Some(Ordering::Greater) => other,
            None => Self { action: Action::Drop, because: Because::Incomparable, purpose: None },
        }
    }
}

/// Two rules whose forms cannot be ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// What stands behind the one.
    pub first: Because,
    /// What stands behind the other.
    pub second: Because,
}

/// Where a field is judged: all that a rule may ask about besides the field.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// The contract.
    pub contract: ContractNo,
    /// The destination.
    pub destination: DestinationNo,
    /// The jurisdiction.
    pub place: PlaceNo,
    /// The age class.
    pub age: AgeClass,
}

impl Policy {
    /// One destination.
    ///
    /// # Panics
    /// If the number is not one of this policy's.
    #[must_use]
    pub fn destination(&self, number: DestinationNo) -> &crate::policy::Destination {
        self.destinations.get(usize::from(number.0)).expect("destination numbers come from this policy")
    }

    /// The destinations by number.
    pub fn destination_numbers(&self) -> impl Iterator<Item = DestinationNo> + use<> {
        (0..u8::try_from(self.destinations.len()).unwrap_or(u8::MAX)).map(DestinationNo)
    }

    /// The contracts by number.
    pub fn contract_numbers(&self) -> impl Iterator<Item = ContractNo> + use<> {
        (0..u16::try_from(self.contracts.len()).unwrap_or(u16::MAX)).map(ContractNo)
    }

    /// Decides one field for one destination. Within a purpose the strictest rule
    /// wins, so the order of rules never matters; across the permitted purposes
    /// the finest result leaves. A field that no permitted purpose has a rule for
    /// is dropped.
    #[must_use]
    pub fn ruling_on(
        &self,
        category: Option<&str>,
        role: Option<Role>,
        permitted: PurposeSet,
        at: Circumstances,
    ) -> Ruling {
        let results = permitted.iter().map(|purpose| self.within(purpose, category, role, at));
        self.finest(results, at.destination)
    }

    /// What leaves of all that several purposes say: the finest, or nothing where
    /// forms cannot be ordered.
    pub(crate) fn finest(
        &self,
        said: impl Iterator<Item = Result<Option<Ruling>, Conflict>>,
        destination: DestinationNo,
    ) -> Ruling {
        let torn = Ruling { action: Action::Drop, because: Because::Incomparable, purpose: None };
        let results = said.filter_map(|said| said.unwrap_or_else(|_| Some(torn.clone()))).collect();
        let finest = self.extreme(results, Ordering::Greater, destination);
        finest.unwrap_or(Some(torn)).unwrap_or(Ruling::DEFAULT_DROP)
    }

    /// The strictest of all that one purpose says about a field.
    ///
    /// # Errors
    /// [`Conflict`] where two forms cannot be ordered, not even by preference.
    pub(crate) fn within(
        &self,
        purpose: PurposeNo,
        category: Option<&str>,
        role: Option<Role>,
        at: Circumstances,
    ) -> Result<Option<Ruling>, Conflict> {
        let covering = category.map(|category| self.covering(category, purpose)).unwrap_or_default();
        let ruled = covering.iter().filter_map(|(number, domain)| {
            let rule = self.rules.get(usize::from(*number)).filter(|rule| rule.applies(at))?;
            Some(Ruling { action: rule.action_in(domain), because: Because::Rule(*number), purpose: Some(purpose) })
        });
        let mut all: Vec<Ruling> = ruled.collect();
        if let Some(role) = role.filter(|role| self.leaves_by_role(*role, at.destination)) {
            all.push(Ruling { action: Action::Keep, because: Because::Role(role), purpose: Some(purpose) });
        }
        self.extreme(all, Ordering::Less, at.destination)
    }

    /// The rules that cover a category for a purpose, wherever they apply.
    pub(crate) fn covering(&self, category: &str, purpose: PurposeNo) -> Cow<'_, [CoveringRule]> {
        match self.covering.0.get(category).and_then(|purposes| purposes.get(usize::from(purpose.0))) {
            Some(rules) => Cow::Borrowed(rules),
            None => Cow::Owned(covering_rules(&self.rules, category, self.purpose_name(purpose))),
        }
    }

    /// Whether a field is about nobody and leaves for a destination by its role, and no rule about it there asks
    /// for less, for whatever purpose, place or age: what holds of a request without an event.
    #[must_use]
    pub fn leaves_untouched(&self, field: &Field, destination: DestinationNo) -> bool {
        let Some(category) = field.category.as_deref().filter(|category| !covers("user", category)) else {
            return false;
        };
        let covers_it = |rule: &&Rule| rule.data.iter().any(|data| covers(data, category));
        let there = |rule: &&Rule| rule.to.as_ref().is_none_or(|to| to.contains(&destination));
        let mut rules = self.rules.iter().filter(covers_it).filter(there);
        field.role.is_some_and(|role| self.leaves_by_role(role, destination))
            && rules.all(|rule| rule.action == Action::Keep)
    }

    /// Auth goes only where it was sent: to the destination whose answer the client gets.
    fn leaves_by_role(&self, role: Role, destination: DestinationNo) -> bool {
        role.leaves() && (role != Role::Auth || self.destination(destination).primary)
    }

    /// The ruling that no other goes beyond in one direction of coarseness; of
    /// several such, the one this destination prefers. All are looked at
    /// together, so their order says nothing.
    fn extreme(
        &self,
        all: Vec<Ruling>,
        beyond: Ordering,
        destination: DestinationNo,
    ) -> Result<Option<Ruling>, Conflict> {
        let surpassed = |ruling: &Ruling| all.iter().any(|other| other.action.compare(&ruling.action) == Some(beyond));
        let mut left: Vec<&Ruling> = Vec::new();
        for ruling in all.iter().filter(|ruling| !surpassed(ruling)) {
            if !left.iter().any(|known| known.action == ruling.action) {
                left.push(ruling);
            }
        }
        let prefer = &self.destination(destination).prefer;
        left.sort_by_key(|ruling| prefer.rank(&ruling.action));
        match left.as_slice() {
            [] => Ok(None),
            [first, second, ..] if prefer.rank(&first.action) == prefer.rank(&second.action) => {
                Err(Conflict { first: first.because, second: second.because })
            }
            [first, ..] => Ok(Some((*first).clone())),
        }
    }

    /// Every key domain that some rule's pseudonyms need.
    #[must_use]
    pub fn pseudonym_domains(&self) -> Vec<String> {
        let making = self.rules.iter().filter(|rule| matches!(rule.action, Action::Pseudonymize { .. }));
        let mut domains: Vec<String> = making.flat_map(|rule| rule.purposes.iter().cloned()).collect();
        domains.sort();
        domains.dedup();
        domains
    }

    /// The name of every key that some rule's tokens need.
    #[must_use]
    pub fn token_keys(&self) -> Vec<&str> {
        let mut keys: Vec<&str> = self
            .rules
            .iter()
            .filter_map(|rule| match &rule.action {
                Action::Tokenize { key, .. } => Some(key.as_str()),
                _ => None,
            })
            .collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// The name of a purpose.
    #[must_use]
    pub fn purpose_name(&self, purpose: PurposeNo) -> &str {
        self.purposes.get(usize::from(purpose.0)).map_or("", |purpose| purpose.name.as_str())
    }

    /// The verdict for these facts, compiled on first use.
    #[must_use]
    pub fn verdict(&self, key: &VerdictKey) -> Arc<Verdict> {
        self.verdicts.find(key).unwrap_or_else(|| self.verdicts.keep(Arc::new(self.compile_verdict(key.clone()))))
    }

    fn compile_verdict(&self, key: VerdictKey) -> Verdict {
        let treatments = self.destination_numbers().map(|destination| self.treatment(&key, destination)).collect();
        Verdict { number: self.verdicts.next_number(), key, treatments }
    }

    fn treatment(&self, key: &VerdictKey, destination: DestinationNo) -> Option<Treatment> {
        let permitted = key.permitted.get(usize::from(destination.0)).copied().unwrap_or_default();
        let purposes = permitted.and(self.purposes_at(destination, key.contract));
        if purposes.is_empty() {
            return None;
        }
        let at = Circumstances { contract: key.contract, destination, place: key.place, age: key.age };
        let contract = self.contract(key.contract);
        let fields = &contract.fields;
        let ruled = |field: &Field| self.ruling_on(field.category.as_deref(), field.role, purposes, at);
        let rulings: Vec<_> =
            fields.iter().map(|field| snowplow::shaped(contract.format, &field.path, ruled(field))).collect();
        let key_rulings: Vec<_> = fields.iter().map(|field| self.key_ruling(field, purposes, at)).collect();
        let rewrite = plan::of_event(fields, &rulings, &key_rulings);
        // An event of which nothing may leave does not go there, and is not counted as if it did.
        rewrite.lets_out().then_some(Treatment { purposes, rulings, key_rulings, rewrite })
    }

    /// The ruling on the member names that a `*` covers.
    fn key_ruling(&self, field: &Field, purposes: PurposeSet, at: Circumstances) -> Option<Ruling> {
        let category = field.key_category.as_deref()?;
        Some(self.ruling_on(Some(category), field.role, purposes, at))
    }
}

impl Rule {
    /// The entry of `for` under which this rule covers a category for a purpose, if it does: the longest.
    fn covering(&self, category: &str, purpose: &str) -> Option<&str> {
        let covered = self.data.iter().any(|data| covers(data, category));
        let written = self.purposes.iter().filter(|written| covered && covers(written, purpose));
        written.max_by_key(|written| written.len()).map(String::as_str)
    }

    /// Whether it is about these circumstances.
    pub(crate) fn applies(&self, at: Circumstances) -> bool {
        let all_or = |hit: Option<bool>| hit.unwrap_or(true);
        all_or(self.to.as_ref().map(|to| to.contains(&at.destination)))
            && all_or(self.contracts.as_ref().map(|contracts| contracts.contains(&at.contract)))
            && all_or(self.places.as_ref().map(|places| places.contains(&at.place)))
            && all_or(
                self.ages.as_ref().map(|ages| {
                    ages.contains(&at.age) || (at.age == AgeClass::Unknown && ages.contains(&AgeClass::Adult))
                }),
            )
    }

    fn action_in(&self, domain: &str) -> Action {
        match &self.action {
            Action::Pseudonymize { shape, .. } => Action::Pseudonymize { domain: domain.to_owned(), shape: *shape },
            other => other.clone(),
        }
    }
}

/// A rule by its place, and the entry of its `for` that covers the purpose.
type CoveringRule = (u16, String);

/// For every category that a contract names and every purpose, the rules that
/// cover it, so that the cost of a verdict follows what covers its fields.
#[derive(Debug, Default)]
pub(crate) struct Covering(HashMap<String, Vec<Vec<CoveringRule>>>);

impl Covering {
    pub(crate) fn of(contracts: &[Contract], purposes: &[Purpose], rules: &[Rule]) -> Self {
        let mut known = HashMap::new();
        let fields = contracts.iter().flat_map(|contract| &contract.fields);
        for category in fields.flat_map(|field| field.category.iter().chain(&field.key_category)) {
            if !known.contains_key(category) {
                let each = purposes.iter().map(|purpose| covering_rules(rules, category, &purpose.name));
                known.insert(category.clone(), each.collect());
            }
        }
        Self(known)
    }
}

fn covering_rules(rules: &[Rule], category: &str, purpose: &str) -> Vec<CoveringRule> {
    let numbered = (0..).zip(rules);
    numbered.filter_map(|(number, rule)| Some((number, rule.covering(category, purpose)?.to_owned()))).collect()
}

/// Verdicts compiled so far.
///
/// There are finitely many keys, but not necessarily few; past the bound a
/// verdict is compiled again each time, which is slow and never wrong.
#[derive(Debug, Default)]
pub(crate) struct VerdictCache {
    known: RwLock<HashMap<VerdictKey, Arc<Verdict>>>,
    numbers: AtomicU32,
}

impl VerdictCache {
    const MAX: usize = 16_384;

    fn next_number(&self) -> u32 {
        self.numbers.fetch_add(1, AtomicOrdering::Relaxed)
    }

    fn find(&self, key: &VerdictKey) -> Option<Arc<Verdict>> {
        self.known.read().ok()?.get(key).cloned()
    }

    fn keep(&self, verdict: Arc<Verdict>) -> Arc<Verdict> {
        let Ok(mut known) = self.known.write() else { return verdict };
        if known.len() >= Self::MAX {
            return verdict;
        }
        known.entry(verdict.key.clone()).or_insert(verdict).clone()
    }
}
