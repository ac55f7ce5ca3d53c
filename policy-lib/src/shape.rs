//! A contract's fields as tries: one walk over an event checks it against its
//! contract and finds the person it is about.

use privet_json::{Kind, Node, Plan, PlanBuilder, Visit, visit};

use crate::path::{Origin, Step};
use crate::plan::json_step;
use crate::policy::{AgeClass, Contract, Field, FieldTypes, Role};

/// The fields of an event's body, by path.
#[derive(Debug)]
pub struct Shape {
    declared: Plan<u16>,
    /// Only those that an event can break or that say who it is about.
    telling: Plan<u16>,
    /// Only those that name the person, for events that follow no contract.
    subjects: Plan<u16>,
    subject_headers: Vec<String>,
    /// How many fields are required.
    required: u32,
}

/// What one walk over an event found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Whether the event keeps its contract.
    pub valid: bool,
    /// The age class it states, if it does.
    pub age: Option<AgeClass>,
}

/// Years from which a person may consent to information society services (GDPR Article 8(1)).
const AGE_OF_CONSENT: u32 = 16;

impl Shape {
    pub(crate) fn of(fields: &[Field]) -> Self {
        let subject = |field: &Field| field.role == Some(Role::Subject);
        let required = fields.iter().filter(|field| field.required && field.path.origin == Origin::Event).count();
        let headers = fields.iter().filter(|field| subject(field) && field.path.origin == Origin::Header);
        let name = |field: &Field| match field.path.steps.first() {
            Some(Step::Key(name)) => Some(name.clone()),
            _ => None,
        };
        Self {
            declared: plan(fields, |_| true),
            telling: plan(fields, |field| field.constrains() || subject(field) || field.role == Some(Role::Age)),
            subjects: plan(fields, subject),
            subject_headers: headers.filter_map(name).collect(),
            required: u32::try_from(required).unwrap_or(u32::MAX),
        }
    }

    /// Checks an event, together with what its batch shares, against its
    /// contract, and collects what names the person.
    pub(crate) fn check<'a>(
        &self,
        fields: &[Field],
        event: Node<'a>,
        shared: Option<Node<'a>>,
        subjects: &mut Vec<Node<'a>>,
    ) -> Checked {
        if event.kind() != Kind::Object {
            return Checked { valid: false, age: None };
        }
        let mut check = Check { fields, valid: true, age: None, required: 0, seen: [0; SEEN_WORDS], subjects };
        visit(event, &self.telling, &mut check);
        if let Some(shared) = shared {
            visit(shared, &self.telling, &mut check);
        }
        Checked { valid: check.valid && check.required == self.required, age: check.age }
    }

    /// Collects what names the person, without checking anything.
    pub(crate) fn subjects<'a>(&self, node: Node<'a>, subjects: &mut Vec<Node<'a>>) {
        visit(node, &self.subjects, &mut Subjects(subjects));
    }

    /// The headers that name the person.
    pub(crate) fn subject_headers(&self) -> &[String] {
        &self.subject_headers
    }
}

impl Field {
    /// Whether a value can break it.
    fn constrains(&self) -> bool {
        self.required || self.types != FieldTypes::NONE || self.values.is_some() || self.max_length.is_some()
    }
}

fn plan(fields: &[Field], wanted: impl Fn(&Field) -> bool) -> Plan<u16> {
    let mut builder = PlanBuilder::new();
    for (number, field) in
        fields.iter().enumerate().filter(|(_, field)| field.path.origin == Origin::Event && wanted(field))
    {
        let steps: Vec<_> = field.path.steps.iter().map(json_step).collect();
        builder.leaf(&steps, u16::try_from(number).unwrap_or(u16::MAX));
    }
    builder.build().expect("every field of a contract has a path of its own")
}

/// A contract may have as many fields as this has bits.
const SEEN_WORDS: usize = 16;
/// The most fields a contract may declare, its envelope included.
pub const FIELDS_MAX: usize = SEEN_WORDS * 64;

struct Check<'a, 's> {
    fields: &'s [Field],
    valid: bool,
    age: Option<AgeClass>,
    /// How many different required fields were met.
    required: u32,
    seen: [u64; SEEN_WORDS],
    subjects: &'s mut Vec<Node<'a>>,
}

impl<'a> Visit<'a, u16> for Check<'a, '_> {
    #[inline]
    fn field(&mut self, number: u16, value: Node<'a>) {
        let Some(field) = self.fields.get(usize::from(number)) else { return };
        if value.kind() == Kind::Null {
            return;
        }
        if field.required && self.first_time(number) {
            self.required += 1;
        }
        self.valid &= has_type(field.types, value) && allowed(field, value);
        match field.role {
            Some(Role::Age) => self.age = self.age.or(age_class(value)),
            Some(Role::Subject) => self.subjects.push(value),
            _ => {}
        }
    }
}

impl Check<'_, '_> {
    fn first_time(&mut self, number: u16) -> bool {
        let Some(word) = self.seen.get_mut(usize::from(number / 64)) else { return false };
        let bit = 1 << (number % 64);
        let new = *word & bit == 0;
        *word |= bit;
        new
    }
}

fn has_type(types: FieldTypes, value: Node<'_>) -> bool {
    if types == FieldTypes::NONE {
        return true;
    }
    types.allows(match value.kind() {
        Kind::String => FieldTypes::STRING,
        Kind::Bool => FieldTypes::BOOLEAN,
        Kind::Object => FieldTypes::OBJECT,
        Kind::Array => FieldTypes::ARRAY,
        Kind::Number if is_whole(value.raw()) => FieldTypes::INTEGER,
        Kind::Number => FieldTypes::NUMBER,
        Kind::Null => FieldTypes::NONE,
    })
}

/// Whether a JSON number is written as an integer. `1.0` and `1e3` are not.
fn is_whole(number: &[u8]) -> bool {
    !number.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E'))
}

fn allowed(field: &Field, value: Node<'_>) -> bool {
    if field.values.is_none() && field.max_length.is_none() {
        return true;
    }
    let text = match value.kind() {
        Kind::String => value.text().unwrap_or_default(),
        Kind::Number | Kind::Bool => String::from_utf8_lossy(value.raw()),
        _ => return true,
    };
    let listed = field.values.as_ref().is_none_or(|values| values.iter().any(|known| *known == text));
    let short = field.max_length.is_none_or(|max| text.chars().count() as u64 <= max);
    listed && short
}

/// `child`, `adult`, or years.
fn age_class(value: Node<'_>) -> Option<AgeClass> {
    let text = match value.kind() {
        Kind::String => value.text()?,
        Kind::Number => std::str::from_utf8(value.raw()).ok()?.into(),
        _ => return None,
    };
    match (text.as_ref(), text.parse::<u32>()) {
        ("child", _) => Some(AgeClass::Child),
        ("adult", _) => Some(AgeClass::Adult),
        (_, Ok(years)) if years < AGE_OF_CONSENT => Some(AgeClass::Child),
        (_, Ok(_)) => Some(AgeClass::Adult),
        _ => None,
    }
}

struct Subjects<'a, 's>(&'s mut Vec<Node<'a>>);

impl<'a> Visit<'a, u16> for Subjects<'a, '_> {
    fn field(&mut self, _: u16, value: Node<'a>) {
        self.0.push(value);
    }
}

impl Contract {
    /// The declared fields as a trie: each leaf is a place in [`Contract::fields`].
    #[must_use]
    pub const fn declared(&self) -> &Plan<u16> {
        &self.shape.declared
    }
}
