//! What compiles and is probably not what its author means.

use std::collections::BTreeSet;

use super::Compiler;
use super::conflicts::circumstances;
use crate::diagnostic::{Diagnostic, Severity};
use crate::policy::{Basis, FieldTypes, Policy, Regime};
use crate::source::{FieldSource, PolicySource};
use crate::sweep::Sweep;
use crate::verdict::Because;

impl Compiler {
    pub(super) fn warn(&mut self, source: &PolicySource, policy: &Policy) {
        self.warn_of_purposes(source, policy);
        self.warn_of_fields(source, policy);
        // With a mistake elsewhere, what a rule is about may only be misspelt.
        if !self.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error) {
            self.warn_of_rules(source, policy);
        }
    }

    fn warn_of_purposes(&mut self, source: &PolicySource, policy: &Policy) {
        for (purpose, written) in policy.purposes.iter().zip(&source.purposes) {
            if purpose.needs_memory() {
                let forgetful = Diagnostic::warning(
                    "W001",
                    &written.name.at,
                    format!("`{}` permits without an answer, so refusals must be remembered", purpose.name),
                )
                .label("opt_out or legitimate interests")
                .help("configure a consent store that every pod shares; until then `privet run` treats it as opt_in");
                self.report(forgetful);
            }
        }
        for (purpose, written) in policy.purposes.iter().zip(&source.purposes) {
            let silence = purpose.regimes.contains(&Regime::OptOut);
            if purpose.basis == Basis::Consent && purpose.granted_by.is_empty() && !silence {
                let nobody = Diagnostic::warning(
                    "W006",
                    &written.name.at,
                    format!("nothing on the wire can grant `{}`", purpose.name),
                )
                .label("consent, without `granted_by`")
                .help("list the signals that grant it under `granted_by`");
                self.report(nobody);
            }
        }
    }

    fn warn_of_fields(&mut self, source: &PolicySource, policy: &Policy) {
        for contract in &source.contracts {
            let silent = |field: &&FieldSource| {
                let opened = field.encoding.as_ref().is_some_and(|encoding| encoding.value.holds_json());
                field.category.is_none() && field.role.is_none() && !opened
            };
            for field in contract.fields.iter().filter(silent) {
                let inherited = policy.contracts.iter().any(|compiled| {
                    compiled.name == contract.name.value
                        && compiled
                            .fields
                            .iter()
                            .any(|known| known.path == field.path.value && known.category.is_some())
                });
                let container = field.types.allows(FieldTypes::OBJECT) || field.types.allows(FieldTypes::ARRAY);
                let holds_others = container && field.types != FieldTypes::NONE;
                if !inherited && !holds_others {
                    let silent = Diagnostic::warning(
                        "W003",
                        &field.path.at,
                        format!("`{}` has no category, so it never leaves", field.path.value),
                    )
                    .help("give it a `category`");
                    self.report(silent);
                }
            }
        }
    }

    /// Rules that decide nothing: about nothing that is declared, or always beaten.
    fn warn_of_rules(&mut self, source: &PolicySource, policy: &Policy) {
        let (mut covering, mut deciding) = (BTreeSet::new(), BTreeSet::new());
        let mut sweep = Sweep::of(policy);
        for at in circumstances(policy) {
            let fields = &policy.contract(at.contract).fields;
            let categories = fields.iter().flat_map(|field| {
                let both = [field.category.as_deref(), field.key_category.as_deref()];
                both.into_iter().flatten().map(|category| (category, field.role))
            });
            for (category, role) in categories {
                for purpose in policy.purposes_at(at.destination, at.contract).iter() {
                    if let Ok(Some(ruling)) = sweep.within(purpose, Some(category), role, at)
                        && let Because::Rule(number) = ruling.because
                    {
                        deciding.insert(number);
                    }
                    let rules = policy.covering(category, purpose);
                    let about =
                        |number: &u16| policy.rules.get(usize::from(*number)).is_some_and(|rule| rule.applies(at));
                    covering.extend(rules.iter().map(|(number, _)| *number).filter(about));
                }
            }
        }
        for (number, rule) in (0..).zip(&source.rules) {
            if deciding.contains(&number) {
                continue;
            }
            let name = &rule.name.value;
            let idle = if covering.contains(&number) {
                Diagnostic::warning("W005", &rule.name.at, format!("the rule `{name}` never decides anything"))
                    .label("a rule as strict or stricter covers all that this one does")
                    .help("remove it, or narrow the stricter one")
            } else {
                Diagnostic::warning("W004", &rule.name.at, format!("the rule `{name}` is about nothing"))
                    .label("no declared field of these categories reaches a destination for these purposes")
                    .help("declare the fields it means, or remove it")
            };
            self.report(idle);
        }
    }
}
