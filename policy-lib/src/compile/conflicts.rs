//! What only shows when rules meet: forms without an order, and fields that a
//! collector needs and nobody lets leave.

use std::collections::BTreeSet;

use super::Compiler;
use crate::action::Action;
use crate::diagnostic::Diagnostic;
use crate::envelope;
use crate::path::Path;
use crate::policy::{AgeClass, ContractNo, Field, PlaceNo, Policy, PurposeNo};
use crate::source::{DestinationSource, PolicySource, nowhere};
use crate::span::Span;
use crate::sweep::{AGES, Sweep};
use crate::verdict::{Because, Circumstances, Conflict};

impl Compiler {
    /// Every field, for every destination and circumstance: does one form win?
    pub(super) fn check_forms(&mut self, source: &PolicySource, policy: &Policy) {
        let (mut found, mut sweep) = (BTreeSet::new(), Sweep::of(policy));
        for at in circumstances(policy) {
            for field in &policy.contract(at.contract).fields {
                for conflict in conflicts(policy, field, at, &mut sweep) {
                    let places = [conflict.first, conflict.second].map(|because| place_of(source, because));
                    if found.insert((places.clone().map(|place| (place.file, place.bytes.start)), at.destination)) {
                        self.report(incomparable(policy, field, at, conflict, &places));
                    }
                }
            }
        }
    }

    /// For every purpose alone and every circumstance: does a field leave that the
    /// collector refuses to be without?
    pub(super) fn check_requirements(&mut self, source: &PolicySource, policy: &Policy) {
        let (mut reported, mut sweep) = (BTreeSet::new(), Sweep::of(policy));
        for at in circumstances(policy) {
            let Some(written) = source.destinations.get(usize::from(at.destination.0)) else { continue };
            for want in wanted(written, policy, at.contract) {
                for purpose in policy.purposes_at(at.destination, at.contract).iter() {
                    let missed =
                        policy.may_be_about(purpose, at.age) && !any_leaves(policy, &want, purpose, at, &mut sweep);
                    if missed && reported.insert((at.destination, purpose, want.clone())) {
                        let named = written
                            .purposes
                            .iter()
                            .find(|name| crate::taxonomy::covers(&name.value, policy.purpose_name(purpose)));
                        let place = named.map_or(&written.name.at, |name| &name.at);
                        self.report(needed(policy, &want, purpose, at, place));
                    }
                }
            }
        }
    }
}

/// What a destination's collector needs of an event: of each entry, one path.
fn wanted(written: &DestinationSource, policy: &Policy, contract: ContractNo) -> Vec<Vec<Path>> {
    match &written.requires {
        Some(own) => own.iter().map(|paths| paths.iter().map(|path| path.value.clone()).collect()).collect(),
        None => envelope::of(policy.contract(contract).format).requires,
    }
}

pub(super) fn circumstances(policy: &Policy) -> Vec<Circumstances> {
    let ages: &[AgeClass] =
        if policy.rules.iter().any(|rule| rule.ages.is_some()) { &AGES } else { &[AgeClass::Adult] };
    let by_place = policy.rules.iter().any(|rule| rule.places.is_some());
    let places = if by_place { policy.places.len() } else { 1 };
    let mut all = Vec::new();
    for contract in policy.contract_numbers() {
        for destination in policy.destination_numbers() {
            for place in 0..places {
                for age in ages {
                    let place = PlaceNo(u8::try_from(place).unwrap_or(0));
                    all.push(Circumstances { contract, destination, place, age: *age });
                }
            }
        }
    }
    all
}

/// Conflicts within each purpose, then between each two purposes.
fn conflicts<'p>(policy: &'p Policy, field: &'p Field, at: Circumstances, sweep: &mut Sweep<'p>) -> Vec<Conflict> {
    let mut found = Vec::new();
    let mut results = Vec::new();
    for purpose in policy.purposes_at(at.destination, at.contract).iter() {
        match sweep.within(purpose, field.category.as_deref(), field.role, at) {
            Ok(result) => results.extend(result.clone()),
            Err(conflict) => found.push(*conflict),
        }
    }
    for (number, first) in results.iter().enumerate() {
        for second in results.iter().skip(number + 1) {
            let ordered = first.action.compare(&second.action).is_some();
            let preferred =
                || policy.destination(at.destination).prefer.choose(&first.action, &second.action).is_some();
            if !ordered && !preferred() {
                found.push(Conflict { first: first.because, second: second.because });
            }
        }
    }
    found
}

fn place_of(source: &PolicySource, because: Because) -> Span {
    match because {
        Because::Rule(number) => source.rules.get(usize::from(number)).map_or_else(nowhere, |rule| rule.at.clone()),
        _ => nowhere(),
    }
}

fn incomparable(
    policy: &Policy,
    field: &Field,
    at: Circumstances,
    conflict: Conflict,
    [first, second]: &[Span; 2],
) -> Diagnostic {
    let form = |because: Because| match because {
        Because::Rule(number) => policy.rules.get(usize::from(number)).map_or("", |rule| rule.action.kind().name()),
        _ => "keep",
    };
    // Two pseudonyms differ by the purpose whose key makes them: that is what to prefer.
    let wanted = |because: Because, other: Because| match because {
        Because::Rule(number) if form(because) == form(other) && form(because) == "pseudonymize" => {
            let rule = policy.rules.get(usize::from(number));
            rule.and_then(|rule| rule.purposes.first()).map_or("", String::as_str)
        }
        _ => form(because),
    };
    let destination = &policy.destination(at.destination).name;
    let message = format!("`{}` would reach `{destination}` in two forms that cannot be ordered", field.path);
    let (one, other) = (wanted(conflict.second, conflict.first), wanted(conflict.first, conflict.second));
    let help = if one == other {
        "`prefer` cannot tell the two apart: write the same form in both rules, or make one rule of them".to_owned()
    } else {
        format!("say which comes first: `prefer: [{one}, {other}]` at the destination `{destination}`")
    };
    Diagnostic::error("P016", second, message)
        .label(format!("`{}` here", form(conflict.second)))
        .other(first, format!("`{}` here", form(conflict.first)))
        .help(help)
        .note("neither form can be made from the other, so neither is the stricter one")
}

fn any_leaves<'p>(
    policy: &'p Policy,
    want: &[Path],
    purpose: PurposeNo,
    at: Circumstances,
    sweep: &mut Sweep<'p>,
) -> bool {
    let fields = &policy.contract(at.contract).fields;
    want.iter().any(|path| {
        let field = fields.iter().find(|field| field.path == *path);
        let said = field.map(|field| sweep.within(purpose, field.category.as_deref(), field.role, at));
        matches!(said, Some(Ok(Some(ruling))) if ruling.action != Action::Drop)
    })
}

fn needed(policy: &Policy, want: &[Path], purpose: PurposeNo, at: Circumstances, place: &Span) -> Diagnostic {
    let names = want.iter().map(|path| format!("`{path}`")).collect::<Vec<_>>().join(" or ");
    let fields = &policy.contract(at.contract).fields;
    let category = want.iter().find_map(|path| fields.iter().find(|field| field.path == *path)?.category.clone());
    let purpose = policy.purpose_name(purpose);
    let whose = whose(policy, at);
    let error = Diagnostic::error(
        "P017",
        place,
        format!("the collector needs {names}, but nothing lets it leave for `{purpose}`{whose}"),
    )
    .label("events for this purpose would be refused")
    .note("`requires: [...]` at the destination says what its collector really needs; `requires: []` is nothing");
    match category {
        Some(category) if whose.is_empty() => {
            error.help(format!("add a rule with `data: [{category}]`, `for: [{purpose}]` and `action: pseudonymize`"))
        }
        Some(category) => {
            error.help(format!("let the rule that drops `{category}` there pseudonymize it: `action: pseudonymize`"))
        }
        None => error,
    }
}

/// Whose events a circumstance is about, where it is not everybody's.
fn whose(policy: &Policy, at: Circumstances) -> String {
    let age = match at.age {
        AgeClass::Adult => String::new(),
        AgeClass::Child => " of a child".to_owned(),
        AgeClass::Unknown => " of somebody whose age is unknown".to_owned(),
    };
    if at.place == PlaceNo::default() { age } else { format!("{age} in `{}`", policy.place_name(at.place)) }
}
