//! Rulings to a plan for the rewriter.

use privet_json::{Plan, PlanBuilder, Step as JsonStep};

use crate::action::Action;
use crate::encoding::Encoding;
use crate::iglu;
use crate::path::{Origin, Path, Step};
use crate::policy::Field;
use crate::verdict::{Edit, Ruling};

/// The tag under which the rewriter asks for a batch's events.
pub const EVENTS: u32 = 0;

/// How an event, or what stands around a batch, is rewritten.
#[derive(Debug)]
pub struct Rewrite {
    /// What leaves of the document.
    pub plan: Plan<Edit>,
    /// What is done to encoded values, in the document and in the request around it.
    inside: Vec<Inside>,
    /// Whether anything of the document may leave.
    lets_out: bool,
}

/// What is done to an encoded value.
#[derive(Debug)]
pub struct Inside {
    field: u16,
    /// How it is encoded.
    pub encoding: Encoding,
    /// What leaves of the JSON in it; `None` where it is one value, which the field's own ruling is about.
    pub plan: Option<Plan<Edit>>,
}

impl Rewrite {
    /// Whether anything of the document may leave, were it all there.
    pub(crate) const fn lets_out(&self) -> bool {
        self.lets_out
    }

    /// What is done to the value of a field that has to be undone first.
    #[must_use]
    pub fn inside(&self, field: u16) -> Option<&Inside> {
        self.inside.iter().find(|inside| inside.field == field)
    }
}

/// The rewrite of an event's own part: what its rulings let leave, and nothing else.
pub(crate) fn of_event(fields: &[Field], rulings: &[Ruling], key_rulings: &[Option<Ruling>]) -> Rewrite {
    let inside = insides(fields, rulings, key_rulings);
    let mut builder = PlanBuilder::new();
    let leaving = Part { fields, rulings, key_rulings, inside: &inside }.declare(&mut builder, None, |_| true);
    Rewrite { plan: built(builder), inside, lets_out: leaving > 0 }
}

/// The same around a batch whose events stand in `member`.
pub(crate) fn of_batch(member: &str, fields: &[Field], rulings: &[Ruling], key_rulings: &[Option<Ruling>]) -> Rewrite {
    // What a contract says about the member that holds the events is not about what stands around them.
    let holder = Step::Key(member.to_owned());
    let inside = insides(fields, rulings, key_rulings);
    let mut builder = PlanBuilder::new();
    let part = Part { fields, rulings, key_rulings, inside: &inside };
    part.declare(&mut builder, None, |field| field.path.steps.first() != Some(&holder));
    builder.splice(&[JsonStep::Key(member.into())], EVENTS);
    Rewrite { plan: built(builder), inside, lets_out: true }
}

/// What is done to every encoded value of which something leaves.
fn insides(fields: &[Field], rulings: &[Ruling], key_rulings: &[Option<Ruling>]) -> Vec<Inside> {
    let encoded = fields.iter().enumerate().filter_map(|(number, field)| Some((number, field.encoding.as_ref()?)));
    let mut encoded: Vec<_> = encoded.collect();
    // What is inside of another comes first, so that the other knows whether anything of it leaves.
    encoded.sort_by_key(|(number, _)| fields.get(*number).map(|field| std::cmp::Reverse(field.path.steps.len())));
    let mut inside = Vec::new();
    for (number, encoding) in encoded {
        let mut plan = None;
        if encoding.holds_json() {
            let mut builder = PlanBuilder::new();
            let part = Part { fields, rulings, key_rulings, inside: &inside };
            if part.declare(&mut builder, Some(number), |_| true) == 0 {
                continue;
            }
            plan = Some(built(builder));
        } else if rulings.get(number).is_none_or(|ruling| ruling.action == Action::Drop) {
            continue;
        }
        inside.push(Inside { field: u16::try_from(number).unwrap_or(u16::MAX), encoding: encoding.clone(), plan });
    }
    inside
}

/// Fields with what was decided on each.
struct Part<'a> {
    fields: &'a [Field],
    rulings: &'a [Ruling],
    key_rulings: &'a [Option<Ruling>],
    inside: &'a [Inside],
}

impl Part<'_> {
    /// Declares what leaves of the fields within one encoded field, or of the
    /// event's that are within none; says how many do.
    fn declare(
        &self,
        builder: &mut PlanBuilder<Edit>,
        within: Option<usize>,
        wanted: impl Fn(&Field) -> bool,
    ) -> usize {
        // Fields under one `*` share its names, and say the same about them.
        let mut named: Vec<Vec<JsonStep>> = Vec::new();
        let mut leaving = 0;
        let each = self.fields.iter().zip(self.rulings).zip(self.key_rulings).enumerate();
        for (number, ((field, ruling), key_ruling)) in each {
            let place = u16::try_from(number).unwrap_or(u16::MAX);
            if !self.stands(number, within) || !wanted(field) {
                continue;
            }
            let opened = self.inside.iter().any(|inside| inside.field == place && inside.plan.is_some());
            let steps = json_steps(field.path.steps.get(self.depth(within)..).unwrap_or_default());
            // A declared field has a node of its own even if it does not leave: without
            // one, a `*` or `[]` beside it would take its value for another.
            let named_out = key_ruling.as_ref().is_some_and(|ruling| !names_may_leave(&ruling.action));
            if named_out || (ruling.action == Action::Drop && !opened) {
                builder.block(&steps);
                continue;
            }
            if field.holds_containers_only() && !opened {
                builder.container(&steps);
                leaving += 1;
                continue;
            }
            if key_ruling.is_some() {
                let parent = steps.iter().take_while(|step| **step != JsonStep::AnyKey).cloned().collect::<Vec<_>>();
                if !named.contains(&parent) {
                    builder.any_key_action(&parent, Edit { field: place, key: true });
                    named.push(parent);
                }
            }
            match ruling.action {
                // An encoded value is looked into even if it is kept: what is none does not leave.
                Action::Keep if field.encoding.is_none() => builder.keep(&steps),
                _ => builder.leaf(&steps, Edit { field: place, key: false }),
            };
            leaving += 1;
        }
        leaving
    }

    /// Whether a field stands directly within an encoded one, or in the event and within none.
    fn stands(&self, number: usize, within: Option<usize>) -> bool {
        let Some(field) = self.fields.get(number) else { return false };
        let holder = encoded_parent(self.fields, &field.path);
        holder == within && (within.is_some() || field.path.origin == Origin::Event)
    }

    /// How many steps lead to where a plan begins.
    fn depth(&self, within: Option<usize>) -> usize {
        within.and_then(|holder| self.fields.get(holder)).map_or(0, |holder| holder.path.steps.len())
    }
}

/// The field whose encoded JSON a path goes on in: the innermost.
pub(crate) fn encoded_parent(fields: &[Field], path: &Path) -> Option<usize> {
    let holds = |field: &Field| field.encoding.as_ref().is_some_and(Encoding::holds_json);
    let above = |field: &Field| field.path.steps.len() < path.steps.len() && field.path.covers(path);
    let holders = fields.iter().enumerate().filter(|(_, field)| holds(field) && above(field));
    holders.max_by_key(|(_, field)| field.path.steps.len()).map(|(number, _)| number)
}

fn built(builder: PlanBuilder<Edit>) -> Plan<Edit> {
    builder.build().expect("every field has a path of its own, within the bound, and the events' member none")
}

/// A member's name leaves as it is, as a pseudonym or as a token; nothing between makes a usable name.
fn names_may_leave(action: &Action) -> bool {
    matches!(action, Action::Keep | Action::Pseudonymize { .. } | Action::Tokenize { .. } | Action::Scrub(_))
}

fn json_steps(steps: &[Step]) -> Vec<JsonStep> {
    steps.iter().map(json_step).collect()
}

pub(crate) fn json_step(step: &Step) -> JsonStep {
    match step {
        Step::Key(name) => JsonStep::Key(name.as_str().into()),
        Step::AnyKey => JsonStep::AnyKey,
        Step::Element => JsonStep::Element,
        // Revision and addition follow the model.
        Step::Where { key, equals } if iglu::up_to_model(equals).is_some() => {
            JsonStep::WhereStarts { key: key.as_str().into(), starts: format!("{equals}-").into() }
        }
        Step::Where { key, equals } => JsonStep::Where { key: key.as_str().into(), equals: equals.as_str().into() },
    }
}

impl Field {
    /// Whether it has no value of its own: declared as object or array and nothing else, or as encoded JSON.
    #[must_use]
    pub fn holds_containers_only(&self) -> bool {
        use crate::policy::FieldTypes;
        let scalar = [FieldTypes::STRING, FieldTypes::INTEGER, FieldTypes::BOOLEAN]
            .into_iter()
            .any(|kind| self.types.allows(kind));
        let encoded = self.encoding.as_ref().is_some_and(Encoding::holds_json);
        encoded || (self.types != FieldTypes::NONE && !scalar)
    }
}
