//! Rulings to a plan for the rewriter.

use privet_json::{Plan, PlanBuilder, Step as JsonStep};

use crate::action::Action;
use crate::path::{Origin, Path, Step};
use crate::policy::Field;
use crate::verdict::{Edit, Ruling};

/// The tag under which the rewriter asks for a batch's events.
pub const EVENTS: u32 = 0;

/// The plan for an event's own part: what its rulings let leave, and nothing else.
pub(crate) fn of_event(fields: &[Field], rulings: &[Ruling], key_rulings: &[Option<Ruling>]) -> Plan<Edit> {
    let mut builder = PlanBuilder::new();
    declare(&mut builder, fields, rulings, key_rulings, |_| true);
    built(builder)
}

/// The same around a batch whose events stand in `member`.
pub(crate) fn of_batch(
    member: &str,
    fields: &[Field],
    rulings: &[Ruling],
    key_rulings: &[Option<Ruling>],
) -> Plan<Edit> {
    // What a contract says about the member that holds the events is not about what stands around them.
    let holder = Step::Key(member.to_owned());
    let mut builder = PlanBuilder::new();
    declare(&mut builder, fields, rulings, key_rulings, |field| field.path.steps.first() != Some(&holder));
    builder.splice(&[JsonStep::Key(member.into())], EVENTS);
    built(builder)
}

fn declare(
    builder: &mut PlanBuilder<Edit>,
    fields: &[Field],
    rulings: &[Ruling],
    key_rulings: &[Option<Ruling>],
    wanted: impl Fn(&Field) -> bool,
) {
    // Fields under one `*` share its names, and say the same about them.
    let mut named: Vec<Vec<JsonStep>> = Vec::new();
    for (number, ((field, ruling), key_ruling)) in fields.iter().zip(rulings).zip(key_rulings).enumerate() {
        let number = u16::try_from(number).unwrap_or(u16::MAX);
        if field.path.origin != Origin::Event || ruling.action == Action::Drop || !wanted(field) {
            continue;
        }
        let steps = json_steps(&field.path);
        if field.holds_containers_only() {
            builder.container(&steps);
            continue;
        }
        if let Some(key_ruling) = key_ruling {
            if !names_may_leave(&key_ruling.action) {
                continue;
            }
            let parent = steps.iter().take_while(|step| **step != JsonStep::AnyKey).cloned().collect::<Vec<_>>();
            if !named.contains(&parent) {
                builder.any_key_action(&parent, Edit { field: number, key: true });
                named.push(parent);
            }
        }
        match ruling.action {
            Action::Keep => builder.keep(&steps),
            _ => builder.leaf(&steps, Edit { field: number, key: false }),
        };
    }
}

fn built(builder: PlanBuilder<Edit>) -> Plan<Edit> {
    builder.build().expect("every field has a path of its own, within the bound, and the events' member none")
}

/// A member's name leaves as it is, as a pseudonym or as a token; nothing between makes a usable name.
fn names_may_leave(action: &Action) -> bool {
    matches!(action, Action::Keep | Action::Pseudonymize { .. } | Action::Tokenize { .. } | Action::Scrub(_))
}

fn json_steps(path: &Path) -> Vec<JsonStep> {
    path.steps.iter().map(json_step).collect()
}

pub(crate) fn json_step(step: &Step) -> JsonStep {
    match step {
        Step::Key(name) => JsonStep::Key(name.as_str().into()),
        Step::AnyKey => JsonStep::AnyKey,
        Step::Element => JsonStep::Element,
        Step::Where { key, equals } => JsonStep::Where { key: key.as_str().into(), equals: equals.as_str().into() },
    }
}

impl Field {
    /// Whether the declared type is object or array and nothing else.
    #[must_use]
    pub fn holds_containers_only(&self) -> bool {
        use crate::policy::FieldTypes;
        let scalar = [FieldTypes::STRING, FieldTypes::INTEGER, FieldTypes::BOOLEAN]
            .into_iter()
            .any(|kind| self.types.allows(kind));
        self.types != FieldTypes::NONE && !scalar
    }
}
