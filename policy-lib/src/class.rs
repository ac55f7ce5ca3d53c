//! Verdicts as the enforcement log names them.
//!
//! A class document is the full decision vector of a verdict: what leaves, for
//! whom, for what purpose and by which rule. It holds names from the policy and
//! nothing from an event. The same policy makes the same document from the same
//! facts, so an auditor can compile it again and compare.

use serde_json::{Map, Value, json};

use crate::action::Action;
use crate::format::Format;
use crate::policy::{ContractNo, Policy, PurposeSet};
use crate::sweep::AGES;
use crate::verdict::{Because, Ruling, Treatment, Verdict, VerdictKey};

/// The largest class document, in bytes; a log entry holds at most 65,535.
const DOCUMENT_BYTES_MAX: usize = 60_000;

/// Why a class cannot be compiled again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAClass {
    /// A member is missing or of another type.
    #[error("the class document has no readable `{0}`")]
    Member(&'static str),
    /// It is about another policy.
    #[error("the class document is about another policy")]
    OtherPolicy,
    /// It names something this policy does not have.
    #[error("the class document names a {0} that the policy does not have")]
    Unknown(&'static str),
}

impl Policy {
    /// The class document of a verdict: canonical JSON.
    #[must_use]
    pub fn class_of(&self, verdict: &Verdict) -> String {
        let mut destinations = Map::new();
        for (destination, treatment) in self.destinations.iter().zip(&verdict.treatments) {
            if let Some(treatment) = treatment {
                destinations.insert(destination.name.clone(), self.leaving(verdict.key.contract, treatment));
            }
        }
        let mut document = json!({
            "outcome": "ruled",
            "policy": self.digest.to_string(),
            "contract": self.contract_name(verdict.key.contract),
            "jurisdiction": self.place_name(verdict.key.place),
            "age": verdict.key.age.name(),
            "destinations": destinations,
        });
        let text = document.to_string();
        if text.len() <= DOCUMENT_BYTES_MAX {
            return text;
        }
        // Too much to spell out; the purposes are enough to compile it again.
        if let Some(Value::Object(destinations)) = document.get_mut("destinations") {
            for leaving in destinations.values_mut() {
                leaving.as_object_mut().map(|leaving| leaving.insert("fields".into(), "see policy".into()));
            }
        }
        document.to_string()
    }

    /// The class document of events that no contract is about.
    #[must_use]
    pub fn unmatched_class(&self, format: Format) -> String {
        json!({"outcome": "unmatched", "policy": self.digest.to_string(), "format": format.name()}).to_string()
    }

    /// The class document of events that cannot be read, though their request could.
    #[must_use]
    pub fn malformed_class(&self, format: Format) -> String {
        json!({"outcome": "malformed", "policy": self.digest.to_string(), "format": format.name()}).to_string()
    }

    /// The class document of events that break their contract.
    #[must_use]
    pub fn invalid_class(&self, contract: ContractNo) -> String {
        json!({"outcome": "invalid", "policy": self.digest.to_string(), "contract": self.contract_name(contract)})
            .to_string()
    }

    /// Compiles the class that a document states, from the facts in it.
    ///
    /// # Errors
    /// [`NotAClass`] where the facts are not readable or not this policy's.
    pub fn recompile_class(&self, document: &Value) -> Result<String, NotAClass> {
        let text = |member: &'static str| document.get(member).and_then(Value::as_str).ok_or(NotAClass::Member(member));
        if text("policy")? != self.digest.to_string() {
            return Err(NotAClass::OtherPolicy);
        }
        match text("outcome")? {
            outcome @ ("unmatched" | "malformed") => {
                let format = text("format")?.parse().map_err(|_| NotAClass::Unknown("format"))?;
                Ok(if outcome == "unmatched" { self.unmatched_class(format) } else { self.malformed_class(format) })
            }
            "invalid" => Ok(self.invalid_class(self.contract_named(text("contract")?)?)),
            "ruled" => Ok(self.class_of(&self.verdict(&self.key_of(document)?))),
            _ => Err(NotAClass::Member("outcome")),
        }
    }

    /// What the verdict that a class document states depends on; `None` where no contract ruled it, so that
    /// nothing left.
    ///
    /// # Errors
    /// [`NotAClass`] where the facts are not readable or not this policy's.
    pub fn facts_of_class(&self, document: &Value) -> Result<Option<VerdictKey>, NotAClass> {
        let ruled = document.get("outcome").and_then(Value::as_str) == Some("ruled");
        ruled.then(|| self.key_of(document)).transpose()
    }

    fn key_of(&self, document: &Value) -> Result<VerdictKey, NotAClass> {
        let text = |member: &'static str| document.get(member).and_then(Value::as_str).ok_or(NotAClass::Member(member));
        let destinations =
            document.get("destinations").and_then(Value::as_object).ok_or(NotAClass::Member("destinations"))?;
        if destinations.keys().any(|name| !self.destinations.iter().any(|known| known.name == *name)) {
            return Err(NotAClass::Unknown("destination"));
        }
        let permitted = self.destinations.iter().map(|destination| match destinations.get(&destination.name) {
            None => Ok(PurposeSet::default()),
            Some(leaving) => self.purposes_of(leaving),
        });
        let place = text("jurisdiction")?;
        if !self.places.iter().any(|known| known == place) {
            return Err(NotAClass::Unknown("jurisdiction"));
        }
        Ok(VerdictKey {
            contract: self.contract_named(text("contract")?)?,
            place: self.place(place),
            age: text("age").and_then(|age| {
                AGES.into_iter().find(|known| known.name() == age).ok_or(NotAClass::Unknown("age class"))
            })?,
            permitted: permitted.collect::<Result<_, _>>()?,
        })
    }

    fn purposes_of(&self, leaving: &Value) -> Result<PurposeSet, NotAClass> {
        let names = leaving.get("purposes").and_then(Value::as_array).ok_or(NotAClass::Member("purposes"))?;
        names.iter().try_fold(PurposeSet::default(), |set, name| {
            let known = self.purposes.iter().position(|purpose| name.as_str() == Some(purpose.name.as_str()));
            let number = known.and_then(|number| u8::try_from(number).ok()).ok_or(NotAClass::Unknown("purpose"))?;
            Ok(set.with(crate::policy::PurposeNo(number)))
        })
    }

    fn contract_named(&self, name: &str) -> Result<ContractNo, NotAClass> {
        self.contract_numbers().find(|number| self.contract_name(*number) == name).ok_or(NotAClass::Unknown("contract"))
    }

    /// `name/version`, as log and decisions name a contract.
    #[must_use]
    pub fn contract_name(&self, number: ContractNo) -> String {
        let contract = self.contract(number);
        format!("{}/{}", contract.name, contract.version)
    }

    fn leaving(&self, contract: ContractNo, treatment: &Treatment) -> Value {
        let purposes: Vec<&str> = treatment.purposes.iter().map(|purpose| self.purpose_name(purpose)).collect();
        let mut fields = Map::new();
        for ((field, ruling), key_ruling) in
            self.contract(contract).fields.iter().zip(&treatment.rulings).zip(&treatment.key_rulings)
        {
            if ruling.action != Action::Drop {
                let mut entry = vec![field.category.as_deref().unwrap_or("").to_owned()];
                entry.extend(self.said(ruling));
                entry.extend(key_ruling.iter().map(|ruling| format!("names: {}", ruling.action)));
                fields.insert(field.path.to_string(), json!(entry));
            }
        }
        json!({"purposes": purposes, "fields": fields})
    }

    /// Action, rule and purpose.
    fn said(&self, ruling: &Ruling) -> [String; 3] {
        let purpose = ruling.purpose.map(|purpose| self.purpose_name(purpose).to_owned()).unwrap_or_default();
        [ruling.action.to_string(), self.reason(ruling.because), purpose]
    }

    /// The name of what stands behind a ruling: the rule's own, or one of ours.
    #[must_use]
    pub fn reason(&self, because: Because) -> String {
        match because {
            Because::Rule(number) => {
                self.rules.get(usize::from(number)).map_or_else(String::new, |rule| rule.name.clone())
            }
            Because::Role(role) => format!("built-in: {}", role.name()),
            Because::NoRule => "built-in: no rule".to_owned(),
            Because::Incomparable => "built-in: incomparable".to_owned(),
            Because::Withheld => "built-in: withheld".to_owned(),
        }
    }
}
