//! Purposes, destinations and rules: every name resolved.

use super::{Compiler, declared, spot};
use crate::action::{Action, ActionKind, Preference, Preferred};
use crate::diagnostic::Diagnostic;
use crate::policy::{Contract, ContractNo, Destination, DestinationNo, PlaceNo, Purpose, PurposeSet, Regime, Rule};
use crate::source::{DestinationSource, PolicySource, PurposeSource, RuleSource};
use crate::span::Spanned;
use crate::taxonomy::nearest;

impl Compiler {
    pub(super) fn purposes(&mut self, source: &PolicySource, places: &[String]) -> Vec<Purpose> {
        source.purposes.iter().for_each(|purpose| self.check_use(&purpose.name));
        if let Some(excess) = source.purposes.get(PurposeSet::MAX) {
            let message = format!("more than {} purposes are declared", PurposeSet::MAX);
            self.report(Diagnostic::error("P025", &excess.name.at, message));
        }
        source.purposes.iter().take(PurposeSet::MAX).map(|purpose| resolve_purpose(purpose, places)).collect()
    }

    pub(super) fn destination(&mut self, source: &DestinationSource, purposes: &[Purpose]) -> Destination {
        let mut set = PurposeSet::default();
        for written in &source.purposes {
            self.check_use(written);
            let covered = declared(purposes, &written.value);
            if let Some(undeclared) = self.undeclared(written, purposes).filter(|_| covered.is_empty()) {
                let help = format!("add a `kind: Purpose` named `{}` with its legal basis", written.value);
                self.report(undeclared.help(help));
            }
            set = set.or(covered);
        }
        self.check_url(&source.url);
        Destination {
            name: source.name.value.clone(),
            url: source.url.value.clone(),
            primary: source.primary,
            recipient: source.recipient,
            purposes: set,
            paths: source.paths.clone(),
            prefer: self.preference(&source.prefer),
        }
    }

    fn check_url(&mut self, url: &Spanned<String>) {
        let rest = url.value.strip_prefix("http://").or_else(|| url.value.strip_prefix("https://"));
        let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
        let clean =
            host.is_some_and(|host| !host.is_empty() && !host.contains(['@', ' '])) && !url.value.contains(['?', '#']);
        if !clean {
            let message = format!("`{}` is no base URL", url.value);
            self.report(
                Diagnostic::error("P019", &url.at, message)
                    .label("want http:// or https://, a host, and at most a path"),
            );
        }
    }

    fn preference(&mut self, written: &[Spanned<String>]) -> Preference {
        let mut order = Vec::new();
        for entry in written {
            if let Some(kind) = ActionKind::named(&entry.value) {
                order.push(Preferred::Kind(kind));
            } else if self.taxonomy.uses.contains(&entry.value) {
                order.push(Preferred::Domain(entry.value.clone()));
            } else {
                let unknown = Diagnostic::error(
                    "P025",
                    &entry.at,
                    format!("`{}` is neither an action nor a purpose", entry.value),
                )
                .help("list actions (`pseudonymize`, `generalize`), or purposes whose pseudonyms come first");
                self.report(unknown);
            }
        }
        Preference::new(order)
    }

    pub(super) fn rules(
        &mut self,
        source: &PolicySource,
        contracts: &[Contract],
        destinations: &[Destination],
        places: &[String],
    ) -> Vec<Rule> {
        let mut rules = Vec::new();
        for written in &source.rules {
            written.data.iter().for_each(|category| self.check_category(category));
            written.purposes.iter().for_each(|purpose| self.check_use(purpose));
            let to = self.numbers(
                &written.to,
                "destination",
                "P029",
                destinations.iter().map(|destination| destination.name.as_str()),
            );
            let of = self.numbers(
                &written.contracts,
                "contract",
                "P021",
                contracts.iter().map(|contract| contract.name.as_str()),
            );
            let in_places =
                self.numbers(&written.jurisdictions, "jurisdiction", "P025", places.iter().map(String::as_str));
            let action = self.action(&written.action).unwrap_or(Action::Drop);
            rules.push(resolve_rule(written, action, to, of, in_places));
        }
        rules
    }

    /// Looks names up in a list; none written means no condition.
    fn numbers<'a>(
        &mut self,
        written: &[Spanned<String>],
        what: &str,
        code: &'static str,
        names: impl Iterator<Item = &'a str> + Clone,
    ) -> Option<Vec<usize>> {
        let mut numbers = Vec::new();
        for name in written {
            match names.clone().position(|known| known == name.value) {
                Some(number) => numbers.push(number),
                None => {
                    let unknown = Diagnostic::error(code, spot(name), format!("there is no {what} `{}`", name.value))
                        .label(format!("unknown {what}"))
                        .suggest(nearest(&name.value, names.clone()));
                    self.report(unknown);
                }
            }
        }
        (!written.is_empty()).then_some(numbers)
    }
}

fn resolve_purpose(source: &PurposeSource, places: &[String]) -> Purpose {
    let written =
        |place: &str| source.jurisdictions.iter().find(|(name, _)| name.value == place).map(|(_, regime)| *regime);
    let default = written("default").unwrap_or(Regime::OptIn);
    // `us-ca` follows `us` where only `us` is written.
    let regime = |place: &String| {
        let mut name = place.as_str();
        loop {
            match (written(name), name.rsplit_once('-')) {
                (Some(regime), _) => return regime,
                (None, Some((wider, _))) => name = wider,
                (None, None) => return default,
            }
        }
    };
    Purpose {
        name: source.name.value.clone(),
        basis: source.basis,
        granted_by: source.granted_by.clone(),
        opted_out_by: source.opted_out_by.clone(),
        everywhere: source.everywhere,
        regimes: places.iter().map(regime).collect(),
        unknown_age: source.unknown_age,
    }
}

fn resolve_rule(
    source: &RuleSource,
    action: Action,
    to: Option<Vec<usize>>,
    of: Option<Vec<usize>>,
    places: Option<Vec<usize>>,
) -> Rule {
    let texts = |list: &[Spanned<String>]| list.iter().map(|text| text.value.clone()).collect();
    Rule {
        name: source.name.value.clone(),
        data: texts(&source.data),
        purposes: texts(&source.purposes),
        to: to.map(|numbers| {
            numbers.into_iter().filter_map(|number| u8::try_from(number).ok().map(DestinationNo)).collect()
        }),
        contracts: of.map(|numbers| {
            numbers.into_iter().filter_map(|number| u16::try_from(number).ok().map(ContractNo)).collect()
        }),
        places: places
            .map(|numbers| numbers.into_iter().filter_map(|number| u8::try_from(number).ok().map(PlaceNo)).collect()),
        ages: (!source.ages.is_empty()).then(|| source.ages.clone()),
        action,
    }
}
