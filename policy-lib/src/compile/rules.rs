//! Purposes, destinations and rules: every name resolved.

use super::actions::DetectorSets;
use super::{Compiler, declared, spot};
use crate::action::{Action, ActionKind, Preference, Preferred};
use crate::consent::AudienceNo;
use crate::diagnostic::Diagnostic;
use crate::policy::{
    Contract, ContractNo, Destination, DestinationNo, PlaceNo, Purpose, PurposeSet, Regime, Response, Rule,
};
use crate::source::{DestinationSource, PolicySource, PurposeSource, RuleSource};
use crate::span::Spanned;
use crate::taxonomy::nearest;

/// Headers that HTTP needs or that privet writes itself.
const OWN_HEADERS: [&str; 12] = [
    "host",
    "connection",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "upgrade",
    "te",
    "trailer",
    "cookie",
    "set-cookie",
    "location",
];

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
            audience: AudienceNo::PUBLIC,
            purposes: set,
            paths: source.paths.clone(),
            located_in: source.located_in.iter().map(|place| place.value.clone()).collect(),
            headers: self.headers(source),
            response: Response {
                headers: source.response_headers.iter().map(|name| name.value.clone()).collect(),
                cookies: source.response_cookies.iter().map(|name| name.value.clone()).collect(),
            },
            prefer: self.preference(&source.prefer),
        }
    }

    /// Headers that are set on requests, and names of those that may come back.
    fn headers(&mut self, source: &DestinationSource) -> Vec<(String, String)> {
        let token = |name: &str| {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
        };
        let names = source.headers.iter().map(|(name, _)| name).chain(&source.response_headers);
        for odd in names.chain(&source.response_cookies).filter(|name| !token(&name.value)) {
            let message = format!("`{}` is no name of a header or a cookie", odd.value);
            self.report(Diagnostic::error("P033", &odd.at, message).label("want letters, digits and `-`"));
        }
        let names = source.headers.iter().map(|(name, _)| name).chain(&source.response_headers);
        for own in names.filter(|name| OWN_HEADERS.contains(&name.value.to_ascii_lowercase().as_str())) {
            let message = format!("the header `{}` is not a policy's to pass or set", own.value);
            let help = if own.value.eq_ignore_ascii_case("set-cookie") {
                "list the cookies it may set: `response: {cookies: [name]}`"
            } else {
                "HTTP itself needs it, and privet writes it anew"
            };
            self.report(Diagnostic::error("P033", &own.at, message).label("privet's own").help(help));
        }
        for (_, value) in
            source.headers.iter().filter(|(_, value)| !value.value.bytes().all(|byte| (0x20..0x7F).contains(&byte)))
        {
            self.report(Diagnostic::error("P033", &value.at, "a header's value is one line of ASCII"));
        }
        source.headers.iter().map(|(name, value)| (name.value.to_ascii_lowercase(), value.value.clone())).collect()
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
        detectors: &DetectorSets,
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
            let action = self.action(&written.action, detectors).unwrap_or(Action::Drop);
            let to = self.located(written, to, source, destinations);
            rules.push(resolve_rule(written, action, to, of, in_places));
        }
        rules
    }

    /// The destinations of a rule that sit where it says; `us` is also in `us-ca`'s place.
    fn located(
        &mut self,
        written: &RuleSource,
        to: Option<Vec<usize>>,
        source: &PolicySource,
        destinations: &[Destination],
    ) -> Option<Vec<usize>> {
        if written.located_in.is_empty() {
            return to;
        }
        let sits = |place: &str, in_place: &str| {
            in_place.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        for place in &written.located_in {
            let somewhere = source.destinations.iter().flat_map(|destination| &destination.located_in);
            if !somewhere.clone().any(|known| sits(&place.value, &known.value)) {
                let nowhere = Diagnostic::error("P029", &place.at, format!("no destination sits in `{}`", place.value))
                    .label("unknown place")
                    .suggest(nearest(&place.value, somewhere.map(|place| place.value.as_str())))
                    .help("say where a destination sits with `located_in: [...]`");
                self.report(nowhere);
            }
        }
        let there = |destination: &Destination| {
            let places = written.located_in.iter();
            places.into_iter().any(|place| destination.located_in.iter().any(|known| sits(&place.value, known)))
        };
        let all = to.unwrap_or_else(|| (0..destinations.len()).collect());
        Some(all.into_iter().filter(|number| destinations.get(*number).is_some_and(there)).collect())
    }

    /// Looks names up in a list; none written means no condition.
    pub(super) fn numbers<'a>(
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
        ages: (!source.ages.is_empty()).then(|| source.ages.clone()),
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
