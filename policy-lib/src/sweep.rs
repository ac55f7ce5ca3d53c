//! Questions about every circumstance there is, each distinct one asked once.
//!
//! What a rule says depends on a circumstance only if it names one, so most
//! contracts, jurisdictions and age classes share their answers.

use std::collections::HashMap;

use crate::policy::{AgeClass, ContractNo, DestinationNo, PlaceNo, Policy, PurposeNo, PurposeSet, Role};
use crate::verdict::{Circumstances, Conflict, Ruling};

/// Every age class.
pub(crate) const AGES: [AgeClass; 3] = [AgeClass::Adult, AgeClass::Child, AgeClass::Unknown];

/// What one purpose says about one field; an error where two forms cannot be ordered.
pub(crate) type Said = Result<Option<Ruling>, Conflict>;

/// One policy and what was asked of it so far.
pub(crate) struct Sweep<'p> {
    policy: &'p Policy,
    sensitivity: HashMap<(&'p str, PurposeNo), Sensitivity>,
    known: HashMap<Question<'p>, Said>,
}

/// Which circumstances the rules over one category and purpose ask about.
#[derive(Clone, Copy, Default)]
struct Sensitivity {
    contract: bool,
    place: bool,
    age: bool,
}

/// A question without what makes no difference.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Question<'p> {
    category: Option<&'p str>,
    role: Option<Role>,
    purpose: PurposeNo,
    destination: DestinationNo,
    contract: Option<ContractNo>,
    place: Option<PlaceNo>,
    age: Option<AgeClass>,
}

impl<'p> Sweep<'p> {
    pub(crate) fn of(policy: &'p Policy) -> Self {
        Self { policy, sensitivity: HashMap::new(), known: HashMap::new() }
    }

    /// The strictest of all that one purpose says about a field, as [`Policy::within`].
    pub(crate) fn within(
        &mut self,
        purpose: PurposeNo,
        category: Option<&'p str>,
        role: Option<Role>,
        at: Circumstances,
    ) -> &Said {
        let policy = self.policy;
        let asks = category.map(|category| self.sensitivity(category, purpose)).unwrap_or_default();
        let question = Question {
            category,
            role,
            purpose,
            destination: at.destination,
            contract: asks.contract.then_some(at.contract),
            place: asks.place.then_some(at.place),
            age: asks.age.then_some(at.age),
        };
        self.known.entry(question).or_insert_with(|| policy.within(purpose, category, role, at))
    }

    /// What leaves of a field for several purposes together, as [`Policy::ruling_on`].
    pub(crate) fn ruling_on(
        &mut self,
        category: Option<&'p str>,
        role: Option<Role>,
        permitted: PurposeSet,
        at: Circumstances,
    ) -> Ruling {
        let policy = self.policy;
        let said = permitted.iter().map(|purpose| self.within(purpose, category, role, at).clone());
        policy.finest(said, at.destination)
    }

    fn sensitivity(&mut self, category: &'p str, purpose: PurposeNo) -> Sensitivity {
        let policy = self.policy;
        *self.sensitivity.entry((category, purpose)).or_insert_with(|| {
            let covering = policy.covering(category, purpose);
            let rules = covering.iter().filter_map(|(number, _)| policy.rules.get(usize::from(*number)));
            rules.fold(Sensitivity::default(), |asks, rule| Sensitivity {
                contract: asks.contract || rule.contracts.is_some(),
                place: asks.place || rule.places.is_some(),
                age: asks.age || rule.ages.is_some(),
            })
        })
    }
}
