//! Everything a request can say about consent.

use std::collections::{BTreeMap, BTreeSet};

use crate::consent::{Consent, ConsentStates, RequestFacts};
use crate::path::Path;
use crate::policy::{OptOut, Policy, Purpose, PurposeNo};
use crate::source::GrantSource;
use crate::taxonomy::covers;

/// Up to this many, every assignment is looked at.
const ALL_MAX: usize = 4_096;

/// One thing that a request may say, all its signals together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// Segment's categories that are true, where there is a preference object; every other one is refused.
    pub(super) categories: Option<BTreeSet<String>>,
    /// What stands at the configured members.
    pub(super) members: Vec<(Path, String)>,
    /// Whether Global Privacy Control is on.
    pub(super) gpc: bool,
    /// Whether there were too many ways of saying it to look at each: then it counts
    /// whatever it agrees to, so that nothing is taken for proved.
    unsifted: bool,
}

/// What policy and request agree on as signals.
struct Signals {
    categories: BTreeSet<String>,
    members: BTreeMap<String, (Path, BTreeSet<String>)>,
    gpc: bool,
}

impl Signals {
    fn of(policy: &Policy) -> Self {
        let mut signals = Self { categories: BTreeSet::new(), members: BTreeMap::new(), gpc: false };
        for purpose in &policy.purposes {
            for grant in &purpose.granted_by {
                match grant {
                    GrantSource::Segment(category) => drop(signals.categories.insert(category.clone())),
                    GrantSource::Field { path, given } => {
                        let member = signals.members.entry(path.to_string());
                        member.or_insert_with(|| (path.clone(), BTreeSet::new())).1.extend(given.iter().cloned());
                    }
                    GrantSource::Tcf(_) => {}
                }
            }
            signals.gpc |= purpose.opted_out_by.contains(&OptOut::Gpc);
        }
        signals
    }

    fn count(&self) -> usize {
        let categories = 1_usize.checked_shl(u32::try_from(self.categories.len()).unwrap_or(u32::MAX));
        let members = self.members.values().map(|(_, given)| given.len() + 2);
        let all = members.fold(categories.unwrap_or(usize::MAX).saturating_add(1), usize::saturating_mul);
        all.saturating_mul(2)
    }

    /// Every assignment there is.
    fn all(&self) -> Vec<Said> {
        let mut all = vec![Said::default()];
        let names: Vec<&String> = self.categories.iter().collect();
        for bits in (0..1_usize << names.len()).filter(|_| !names.is_empty()) {
            let chosen = names.iter().enumerate().filter(|(number, _)| bits >> number & 1 == 1);
            let categories = chosen.map(|(_, name)| (*name).clone()).collect();
            all.push(Said { categories: Some(categories), ..Said::default() });
        }
        for (path, given) in self.members.values() {
            let choices: Vec<String> = given.iter().cloned().chain([other_than(given)]).collect();
            let extended = all.iter().flat_map(|said| {
                choices.iter().map(|choice| {
                    let mut said = said.clone();
                    said.members.push((path.clone(), choice.clone()));
                    said
                })
            });
            let extended: Vec<Said> = extended.collect();
            all.extend(extended);
        }
        if self.gpc {
            let quiet = all.clone();
            all.extend(quiet.into_iter().map(|said| Said { gpc: true, ..said }));
        }
        all
    }

    /// Enough assignments to find every way out: for every way of granting one
    /// purpose, or of saying nothing about it, the one that refuses all the rest.
    ///
    /// Why that is enough: what leaves is the result of one purpose. Take any
    /// request with which it leaves, keep what that says about the purpose and
    /// refuse whatever else can be refused: every other purpose that is permitted
    /// then was permitted before, so the result is still the finest, and a purpose
    /// that was not agreed to is still not.
    fn extremes(&self, policy: &Policy) -> Vec<Said> {
        let mut extremes = vec![Said::default()];
        for purpose in &policy.purposes {
            extremes.extend(self.alone(purpose));
        }
        let quiet = extremes.clone();
        extremes.extend(quiet.into_iter().filter(|_| self.gpc).map(|said| Said { gpc: true, ..said }));
        extremes
    }

    /// What can be said about one purpose, all others refused as far as they can be.
    fn alone(&self, purpose: &Purpose) -> Vec<Said> {
        let own: BTreeSet<String> = purpose.granted_by.iter().filter_map(category_of).cloned().collect();
        let mut categories = vec![None];
        if !self.categories.is_empty() {
            categories.extend([Some(own), Some(BTreeSet::new())]);
        }
        let mut all: Vec<Said> =
            categories.into_iter().map(|categories| Said { categories, ..Said::default() }).collect();
        for (path, known) in self.members.values() {
            let asked = purpose.granted_by.iter().filter_map(|grant| match grant {
                GrantSource::Field { path: asked, given } if asked == path => Some(given),
                _ => None,
            });
            let values: BTreeSet<&String> = asked.flatten().collect();
            let said = |said: &Said, value: String| {
                let mut said = said.clone();
                said.members.push((path.clone(), value));
                said
            };
            if all.len().saturating_mul(values.len() + 1) > ALL_MAX {
                let first = values.first().map(|value| (*value).clone()).unwrap_or_default();
                all = all.iter().map(|before| Said { unsifted: true, ..said(before, first.clone()) }).collect();
                continue;
            }
            all = if values.is_empty() {
                all.iter().map(|before| said(before, other_than(known))).collect()
            } else {
                let given = all.iter().flat_map(|before| values.iter().map(|value| said(before, (*value).clone())));
                given.chain(all.iter().cloned()).collect()
            };
        }
        all
    }
}

const fn category_of(grant: &GrantSource) -> Option<&String> {
    match grant {
        GrantSource::Segment(category) => Some(category),
        _ => None,
    }
}

/// A value that grants nothing.
fn other_than(given: &BTreeSet<String>) -> String {
    (0..).map(|number| format!("no{number}")).find(|value| !given.contains(value)).unwrap_or_default()
}

/// What a request can say, without what agrees to the purpose that is excluded.
pub(super) fn assignments(policy: &Policy, unless: Option<&str>) -> Vec<Said> {
    let signals = Signals::of(policy);
    let all = if signals.count() <= ALL_MAX { signals.all() } else { signals.extremes(policy) };
    let agrees = |said: &Said| {
        let states = said.states(policy);
        let given = |(number, purpose): (PurposeNo, &Purpose)| {
            unless.is_some_and(|unless| covers(unless, &purpose.name)) && states.of(number) == Consent::Given
        };
        policy.numbered_purposes().any(given)
    };
    all.into_iter().filter(|said| said.unsifted || !agrees(said)).collect()
}

impl Said {
    /// The state of each purpose after this.
    pub(super) fn states(&self, policy: &Policy) -> ConsentStates {
        let mut states = ConsentStates::default();
        for (number, purpose) in policy.numbered_purposes() {
            for grant in &purpose.granted_by {
                states.say(number, self.state(grant));
            }
        }
        states
    }

    fn state(&self, grant: &GrantSource) -> Consent {
        let granted = |whether: bool| if whether { Consent::Given } else { Consent::Refused };
        match grant {
            GrantSource::Segment(category) => {
                self.categories.as_ref().map_or(Consent::Absent, |given| granted(given.contains(category)))
            }
            GrantSource::Field { path, given } => {
                let value = self.members.iter().find(|(known, _)| known == path).map(|(_, value)| value);
                value.map_or(Consent::Absent, |value| granted(given.contains(value)))
            }
            GrantSource::Tcf(_) => Consent::Absent,
        }
    }
}

impl RequestFacts for Said {
    fn header(&self, lower_case_name: &str) -> Vec<&str> {
        if self.gpc && lower_case_name == "sec-gpc" { vec!["1"] } else { Vec::new() }
    }

    fn has_query(&self, _: &str) -> bool {
        false
    }

    fn has_cookie(&self, _: &str) -> bool {
        false
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;
    use crate::diagnostic::SourceFile;

    /// Purposes that share categories and members, each granted by some of them.
    fn policy(grants: &[&str]) -> Policy {
        let uses = ["analytics.reporting.system", "marketing.advertising.profiling", "personalize"];
        let mut text = String::from(
            "apiVersion: privet.dev/v1alpha1\nkind: Destination\nmetadata: {name: d}\nurl: http://127.0.0.1:1\nprimary: true\nrecipient: processor\nrequires: []\npurposes: [analytics, marketing, personalize]\n",
        );
        for (purpose, grants) in uses.iter().zip(grants) {
            text.push_str(&format!(
                "---\napiVersion: privet.dev/v1alpha1\nkind: Purpose\nmetadata: {{name: {purpose}}}\nbasis: consent\ngranted_by: [{grants}]\n"
            ));
        }
        crate::compile(&[SourceFile { name: "p.yaml".into(), text }]).policy.expect("it compiles")
    }

    fn given(said: &Said, policy: &Policy) -> BTreeSet<u8> {
        let states = said.states(policy);
        let all = policy.numbered_purposes().filter(|(number, _)| states.of(*number) == Consent::Given);
        all.map(|(number, _)| number.0).collect()
    }

    /// Whatever can be granted without agreeing to a purpose can be by one of the
    /// extremes, together with nothing that was not granted before.
    #[test]
    fn the_extremes_are_enough() {
        const GRANTS: [&str; 8] = [
            "{segment: {category: A}}",
            "{segment: {category: B}}",
            "{segment: {category: A}}, {segment: {category: B}}",
            "{field: {path: f, given: [x]}}",
            "{field: {path: f, given: [x, y]}}",
            "{field: {path: f, given: [y]}}, {field: {path: g, given: [x]}}",
            "{segment: {category: A}}, {field: {path: f, given: [x]}}",
            "{segment: {category: B}}, {field: {path: g, given: [x]}}, {field: {path: f, given: [y]}}",
        ];
        for case in 0..GRANTS.len().pow(3) {
            let pick = |place: u32| GRANTS[case / GRANTS.len().pow(place) % GRANTS.len()];
            let policy = policy(&[pick(0), pick(1), pick(2)]);
            let signals = Signals::of(&policy);
            let extremes: Vec<_> = signals.extremes(&policy).iter().map(|said| given(said, &policy)).collect();
            for all in signals.all().iter().map(|said| given(said, &policy)) {
                for purpose in &all {
                    let within = |few: &&BTreeSet<u8>| few.contains(purpose) && few.is_subset(&all);
                    assert!(extremes.iter().any(|few| within(&few)), "case {case}: {purpose} of {all:?}");
                }
            }
        }
    }
}
