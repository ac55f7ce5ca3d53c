//! Everything a request can say about consent.

use std::collections::{BTreeMap, BTreeSet};

use crate::consent::{Consent, Signalled};
use crate::path::Path;
use crate::policy::{Basis, OptOut, Policy, Purpose, PurposeNo};
use crate::source::{GoogleConsent, GrantSource};
use crate::taxonomy::covers;

/// Up to this many, every assignment is looked at.
const ALL_MAX: usize = 4_096;

/// Signals that come together: where one of a family is there, what it does not grant it refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    Tcf,
    Segment,
    RudderStack,
    OneTrust,
    Google,
    Snowplow,
}

/// The smallest thing that a family grants or refuses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Atom {
    /// A category, an id, a group or a scope.
    Named(String),
    Google(GoogleConsent),
    /// Consent to a TCF purpose.
    TcfPurpose(u8),
    /// A legitimate interest in one.
    TcfInterest(u8),
    TcfFeature(u8),
    /// Consent to a vendor, which was disclosed.
    VendorConsent(u16),
    VendorInterest(u16),
}

/// One thing that a request may say, all its signals together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// The families that are there, and what each grants.
    pub(super) families: BTreeMap<Family, BTreeSet<Atom>>,
    /// What stands at the configured members.
    pub(super) members: Vec<(Path, String)>,
    /// Whether Global Privacy Control is on.
    pub(super) gpc: bool,
    /// Whether there were too many ways of saying it to look at each: then it counts
    /// whatever it agrees to, so that nothing is taken for proved.
    unsifted: bool,
}

/// The atoms that a grant needs, all of them; `None` where it is no family's.
fn needs(grant: &GrantSource, basis: Basis) -> Option<(Family, Vec<Atom>)> {
    let named = |family, name: &String| Some((family, vec![Atom::Named(name.clone())]));
    match grant {
        GrantSource::Segment(category) => named(Family::Segment, category),
        GrantSource::RudderStack(id) => named(Family::RudderStack, id),
        GrantSource::OneTrust(group) => named(Family::OneTrust, group),
        GrantSource::Snowplow(scope) => named(Family::Snowplow, scope),
        GrantSource::Google(consent) => Some((Family::Google, vec![Atom::Google(*consent)])),
        GrantSource::Tcf { purposes, special_features } => {
            let purpose = if basis == Basis::LegitimateInterests { Atom::TcfInterest } else { Atom::TcfPurpose };
            let purposes = purposes.iter().copied().map(purpose);
            Some((Family::Tcf, purposes.chain(special_features.iter().copied().map(Atom::TcfFeature)).collect()))
        }
        GrantSource::Field { .. } => None,
    }
}

/// What a vendor needs besides.
const fn vendor(number: u16, basis: Basis) -> Atom {
    if matches!(basis, Basis::LegitimateInterests) { Atom::VendorInterest(number) } else { Atom::VendorConsent(number) }
}

/// What policy and request agree on as signals.
struct Signals {
    families: BTreeMap<Family, BTreeSet<Atom>>,
    members: BTreeMap<String, (Path, BTreeSet<String>)>,
    gpc: bool,
}

impl Signals {
    fn of(policy: &Policy) -> Self {
        let mut signals = Self { families: BTreeMap::new(), members: BTreeMap::new(), gpc: false };
        for purpose in &policy.purposes {
            for grant in &purpose.granted_by {
                match grant {
                    GrantSource::Field { path, given } => {
                        let member = signals.members.entry(path.to_string());
                        member.or_insert_with(|| (path.clone(), BTreeSet::new())).1.extend(given.iter().cloned());
                    }
                    grant => signals.add(policy, grant, purpose.basis),
                }
            }
            signals.gpc |= purpose.opted_out_by.contains(&OptOut::Gpc);
        }
        signals
    }

    fn add(&mut self, policy: &Policy, grant: &GrantSource, basis: Basis) {
        let Some((family, atoms)) = needs(grant, basis) else { return };
        let known = self.families.entry(family).or_default();
        known.extend(atoms);
        if family == Family::Tcf {
            known.extend(policy.audiences.iter().filter_map(|(_, who)| Some(vendor(who.tcf_vendor?, basis))));
        }
    }

    fn count(&self) -> usize {
        let subsets = |atoms: &BTreeSet<Atom>| 1_usize.checked_shl(u32::try_from(atoms.len()).unwrap_or(u32::MAX));
        let families = self.families.values().map(|atoms| subsets(atoms).unwrap_or(usize::MAX).saturating_add(1));
        let members = self.members.values().map(|(_, given)| given.len() + 2);
        families.chain(members).fold(2, usize::saturating_mul)
    }

    /// Every assignment there is.
    fn all(&self) -> Vec<Said> {
        let mut all = vec![Said::default()];
        for (family, atoms) in &self.families {
            let choices: Vec<BTreeSet<Atom>> = (0..1_usize << atoms.len())
                .map(|bits| {
                    let chosen = atoms.iter().enumerate().filter(|(number, _)| bits >> number & 1 == 1);
                    chosen.map(|(_, atom)| atom.clone()).collect()
                })
                .collect();
            let silent = all.clone();
            all.extend(silent.iter().flat_map(|said| choices.iter().map(|granted| said.with(*family, granted))));
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
    /// that was not agreed to is still not. Vendors are granted with it: each
    /// destination is asked about alone.
    fn extremes(&self, policy: &Policy) -> Vec<Said> {
        let mut extremes = vec![Said::default()];
        for purpose in &policy.purposes {
            extremes.extend(self.alone(policy, purpose));
        }
        let quiet = extremes.clone();
        extremes.extend(quiet.into_iter().filter(|_| self.gpc).map(|said| Said { gpc: true, ..said }));
        extremes
    }

    /// What can be said about one purpose, all others refused as far as they can be.
    fn alone(&self, policy: &Policy, purpose: &Purpose) -> Vec<Said> {
        let mut own = Self { families: BTreeMap::new(), members: BTreeMap::new(), gpc: false };
        purpose.granted_by.iter().for_each(|grant| own.add(policy, grant, purpose.basis));
        let mut all = vec![Said::default()];
        for family in self.families.keys() {
            let refused = BTreeSet::new();
            let spoken = own.families.get(family);
            let silent = all.iter().filter(|_| spoken.is_some()).cloned();
            let choices = spoken.into_iter().chain([&refused]);
            let said = choices.flat_map(|granted| all.iter().map(|said| said.with(*family, granted)));
            all = silent.chain(said).collect();
        }
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

/// A value that grants nothing.
fn other_than(given: &BTreeSet<String>) -> String {
    (0..).map(|number| format!("no{number}")).find(|value| !given.contains(value)).unwrap_or_default()
}

/// What a request can say, without what agrees to the purpose that is excluded.
pub(super) fn assignments(policy: &Policy, unless: Option<&str>) -> Vec<Said> {
    let signals = Signals::of(policy);
    let all = if signals.count() <= ALL_MAX { signals.all() } else { signals.extremes(policy) };
    let agrees = |said: &Said| {
        let states = said.signalled(policy).all;
        let given = |(number, purpose): (PurposeNo, &Purpose)| {
            unless.is_some_and(|unless| covers(unless, &purpose.name)) && states.of(number) == Consent::Given
        };
        policy.numbered_purposes().any(given)
    };
    all.into_iter().filter(|said| said.unsifted || !agrees(said)).collect()
}

impl Said {
    /// The same, with a family that grants this and refuses the rest.
    fn with(&self, family: Family, granted: &BTreeSet<Atom>) -> Self {
        let mut said = self.clone();
        said.families.insert(family, granted.clone());
        said
    }

    /// What it says about each purpose, and to whom.
    pub(super) fn signalled(&self, policy: &Policy) -> Signalled {
        let mut signalled = Signalled::default();
        for (number, purpose) in policy.numbered_purposes() {
            for grant in &purpose.granted_by {
                signalled.say(number, self.state(grant, purpose.basis));
                for (audience, who) in policy.audiences.iter() {
                    let state = who.tcf_vendor.map_or(Consent::Absent, |vendor| self.to(vendor, grant, purpose.basis));
                    signalled.deny(audience, policy.audiences.len(), number, state);
                }
            }
            if self.gpc && purpose.opted_out_by.contains(&OptOut::Gpc) {
                policy.opt_out(number, OptOut::Gpc, Consent::Refused, &mut signalled);
            }
        }
        signalled
    }

    fn state(&self, grant: &GrantSource, basis: Basis) -> Consent {
        if let GrantSource::Field { path, given } = grant {
            let value = self.members.iter().find(|(known, _)| known == path).map(|(_, value)| value);
            return value.map_or(Consent::Absent, |value| granted(given.contains(value)));
        }
        let Some((family, needed)) = needs(grant, basis) else { return Consent::Absent };
        let said = self.families.get(&family);
        said.map_or(Consent::Absent, |atoms| granted(needed.iter().all(|atom| atoms.contains(atom))))
    }

    /// What a vendor is told beyond that.
    fn to(&self, number: u16, grant: &GrantSource, basis: Basis) -> Consent {
        let tcf = matches!(grant, GrantSource::Tcf { .. }).then(|| self.families.get(&Family::Tcf)).flatten();
        tcf.map_or(Consent::Absent, |atoms| granted(atoms.contains(&vendor(number, basis))))
    }
}

const fn granted(whether: bool) -> Consent {
    if whether { Consent::Given } else { Consent::Refused }
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
            "apiVersion: privet.dev/v1alpha1\nkind: Destination\nmetadata: {name: d}\nurl: http://127.0.0.1:1\nprimary: true\nrecipient: processor\ntcf_vendor: 7\nrequires: []\npurposes: [analytics, marketing, personalize]\n",
        );
        for (purpose, grants) in uses.iter().zip(grants) {
            text.push_str(&format!(
                "---\napiVersion: privet.dev/v1alpha1\nkind: Purpose\nmetadata: {{name: {purpose}}}\nbasis: consent\ngranted_by: [{grants}]\n"
            ));
        }
        crate::compile(&[SourceFile { name: "p.yaml".into(), text }]).policy.expect("it compiles")
    }

    /// The purposes granted to the one destination.
    fn given(said: &Said, policy: &Policy) -> BTreeSet<u8> {
        let signalled = said.signalled(policy);
        let states = signalled.all.and(signalled.to(policy.destinations[0].audience));
        let all = policy.numbered_purposes().filter(|(number, _)| states.of(*number) == Consent::Given);
        all.map(|(number, _)| number.0).collect()
    }

    /// Whatever can be granted without agreeing to a purpose can be by one of the
    /// extremes, together with nothing that was not granted before.
    #[test]
    fn the_extremes_are_enough() {
        const GRANTS: [&str; 13] = [
            "{segment: {category: A}}",
            "{segment: {category: B}}",
            "{segment: {category: A}}, {segment: {category: B}}",
            "{field: {path: f, given: [x]}}",
            "{field: {path: f, given: [x, y]}}",
            "{field: {path: f, given: [y]}}, {field: {path: g, given: [x]}}",
            "{segment: {category: A}}, {field: {path: f, given: [x]}}",
            "{segment: {category: B}}, {field: {path: g, given: [x]}}, {field: {path: f, given: [y]}}",
            "{tcf: {purposes: [1]}}",
            "{tcf: {purposes: [1, 8]}}",
            "{tcf: {purposes: [8], special_features: [1]}}, {segment: {category: A}}",
            "{onetrust: {group: C1}}, {google: {consent: ad_storage}}",
            "{rudderstack: {consent: A}}, {onetrust: {group: C1}}",
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
