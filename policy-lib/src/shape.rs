//! A contract's fields as tries: one walk over an event checks it against its
//! contract and finds the person it is about.

use std::borrow::Cow;

use privet_json::{Index, Kind, Limits, Node, Plan, PlanBuilder, Visit, visit};

use crate::batch::Around;
use crate::encoding::Encoding;
use crate::path::{Origin, Step};
use crate::plan::{encoded_parent, json_step};
use crate::policy::{AgeClass, Contract, Field, FieldTypes, Role};

/// The fields of an event's body, by path.
#[derive(Debug)]
pub struct Shape {
    declared: Plan<u16>,
    /// Only those that an event can break or that say who it is about.
    telling: Plan<u16>,
    /// Only those that name the person, for events that follow no contract.
    subjects: Plan<u16>,
    subject_headers: Vec<SubjectHeader>,
    subject_cookies: Vec<String>,
    /// How many fields are required.
    required: u32,
    /// The fields that hold encoded JSON.
    encoded: Vec<Encoded>,
}

/// A header that names the person.
#[derive(Debug)]
pub(crate) struct SubjectHeader {
    /// In lower case.
    pub(crate) name: String,
    encoding: Option<Encoding>,
}

impl SubjectHeader {
    /// The text that names the person, its encoding undone; `None` where the value is not encoded that way.
    pub(crate) fn text<'v>(&self, value: &'v str) -> Option<Cow<'v, str>> {
        match &self.encoding {
            None => Some(Cow::Borrowed(value)),
            Some(encoding) => String::from_utf8(encoding.undo(value.trim())?.bytes).ok().map(Cow::Owned),
        }
    }
}

/// A field that holds encoded JSON, and the fields in that.
#[derive(Debug)]
pub struct Encoded {
    field: u16,
    encoding: Encoding,
    declared: Plan<u16>,
    telling: Plan<u16>,
    subjects: Plan<u16>,
    /// Whether a field in it, at any depth, says who the event is about, or can be broken.
    tells: bool,
}

impl Encoded {
    /// Undoes the encoding of a value and reads what was encoded.
    ///
    /// The closure gets the root of it and the plan of the fields in it; `None`
    /// where the value is not encoded that way.
    pub fn look<T>(&self, value: Node<'_>, see: impl FnOnce(Node<'_>, &Plan<u16>) -> T) -> Option<T> {
        self.open(value, |root| see(root, &self.declared))
    }

    fn open<T>(&self, value: Node<'_>, see: impl FnOnce(Node<'_>) -> T) -> Option<T> {
        let undone = self.encoding.undo(&value.text()?)?;
        let mut index = Index::new();
        let root = index.read(&undone.bytes, &Limits::default()).ok()?;
        Some(see(index.node(&undone.bytes, root)))
    }
}

/// What names a person in an event.
#[derive(Debug)]
pub enum Subject<'a> {
    /// A value of the body.
    Written(Node<'a>),
    /// What an encoded value says.
    Undone(String),
}

impl<'a> Subject<'a> {
    /// The text that names the person, if it is a scalar.
    pub(crate) fn text(&self) -> Option<Cow<'a, str>> {
        match self {
            Self::Written(value) => scalar_text(*value),
            Self::Undone(text) => Some(Cow::Owned(text.clone())),
        }
    }
}

/// The text of a scalar that names somebody.
fn scalar_text(value: Node<'_>) -> Option<Cow<'_, str>> {
    match value.kind() {
        Kind::String => value.text(),
        Kind::Number => std::str::from_utf8(value.raw()).ok().map(plain_number),
        _ => None,
    }
}

/// More digits than any id has that somebody writes as a number.
const DIGITS_MAX: usize = 64;

/// A JSON number without an exponent and without zeros that say nothing, so that `12345`, `12345.0` and `1.2345e4` name
/// one person. One of more digits than an id has stays as it is written.
fn plain_number(written: &str) -> Cow<'_, str> {
    if written.bytes().all(|byte| byte.is_ascii_digit()) {
        return Cow::Borrowed(written);
    }
    plain(written).map_or(Cow::Borrowed(written), Cow::Owned)
}

fn plain(written: &str) -> Option<String> {
    let (mantissa, exponent) = written.split_once(['e', 'E']).unwrap_or((written, "0"));
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = format!("{whole}{fraction}");
    // How many of the digits stand before the point.
    let point = i64::try_from(whole.len()).ok()?.checked_add(exponent.parse().ok()?)?;
    if digits.bytes().all(|digit| digit == b'0') {
        return Some("0".to_owned());
    }
    let room = i64::try_from(DIGITS_MAX).ok()?;
    if digits.len() > DIGITS_MAX || !(-room..=room).contains(&point) {
        return None;
    }
    let missing = usize::try_from(-point).unwrap_or_default();
    digits.insert_str(0, &"0".repeat(missing));
    let before = usize::try_from(point).unwrap_or_default();
    if digits.len() < before {
        digits.push_str(&"0".repeat(before - digits.len()));
    }
    let (whole, fraction) = digits.split_at_checked(before)?;
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    let whole = if whole.is_empty() { "0" } else { whole };
    Some(if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
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
const AGE_OF_CONSENT: f64 = 16.0;
/// Nobody is this old; a larger number is no number of years.
const AGE_MAX: f64 = 150.0;

impl Shape {
    pub(crate) fn of(fields: &[Field]) -> Self {
        let required = fields.iter().filter(|field| field.required && field.path.origin == Origin::Event).count();
        let header = |field: &Field| match field.path.steps.as_slice() {
            [Step::Key(name)] => Some(SubjectHeader { name: name.clone(), encoding: field.encoding.clone() }),
            _ => None,
        };
        let name = |field: &Field| match field.path.steps.as_slice() {
            [Step::Key(name)] => Some(name.clone()),
            _ => None,
        };
        let naming =
            |origin: Origin| fields.iter().filter(move |field| is_subject(field) && field.path.origin == origin);
        Self {
            declared: plan(fields, None, |_| true),
            telling: plan(fields, None, is_telling),
            subjects: plan(fields, None, is_subject),
            subject_headers: naming(Origin::Header).filter_map(header).collect(),
            subject_cookies: naming(Origin::Cookie).filter_map(name).collect(),
            required: u32::try_from(required).unwrap_or(u32::MAX),
            encoded: encoded(fields),
        }
    }

    /// Checks an event, together with what its batch shares, against its
    /// contract, and collects what names the person.
    pub(crate) fn check<'a>(
        &self,
        fields: &[Field],
        event: Node<'a>,
        around: Around<'a>,
        subjects: &mut Vec<Subject<'a>>,
    ) -> Checked {
        if event.kind() != Kind::Object {
            return Checked { valid: false, age: None };
        }
        let mut check =
            Check { shape: self, fields, valid: true, age: None, required: 0, seen: [0; SEEN_WORDS], subjects };
        visit(event, &self.telling, &mut check);
        for shared in around.iter() {
            visit(shared, &self.telling, &mut check);
        }
        Checked { valid: check.valid && check.required == self.required, age: check.age }
    }

    /// Collects what names the person, without checking anything.
    pub(crate) fn subjects<'a>(&self, fields: &[Field], node: Node<'a>, subjects: &mut Vec<Subject<'a>>) {
        visit(node, &self.subjects, &mut Subjects { shape: self, fields, found: subjects });
    }

    /// The headers that name the person.
    pub(crate) fn subject_headers(&self) -> &[SubjectHeader] {
        &self.subject_headers
    }

    /// The cookies that name the person.
    pub(crate) fn subject_cookies(&self) -> &[String] {
        &self.subject_cookies
    }

    /// What stands in a field that holds encoded JSON.
    #[must_use]
    pub fn encoded(&self, field: u16) -> Option<&Encoded> {
        self.encoded.iter().find(|encoded| encoded.field == field)
    }
}

impl Field {
    /// Whether a value can break it.
    fn constrains(&self) -> bool {
        self.required || self.types != FieldTypes::NONE || self.values.is_some() || self.max_length.is_some()
    }
}

fn is_subject(field: &Field) -> bool {
    field.role == Some(Role::Subject)
}

/// Whether it says who an event is about, or can be broken.
fn is_telling(field: &Field) -> bool {
    field.constrains() || is_subject(field) || field.role == Some(Role::Age)
}

/// The fields that stand directly within an encoded one (or within none) and are
/// wanted, and those encoded ones in which a wanted one stands.
fn plan(fields: &[Field], within: Option<usize>, wanted: impl Fn(&Field) -> bool) -> Plan<u16> {
    let depth = within.and_then(|holder| fields.get(holder)).map_or(0, |holder| holder.path.steps.len());
    let mut builder = PlanBuilder::new();
    for (number, field) in fields.iter().enumerate() {
        let stands =
            encoded_parent(fields, &field.path) == within && (within.is_some() || field.path.origin == Origin::Event);
        if stands && (wanted(field) || holds(fields, field, &wanted)) {
            let steps: Vec<_> = field.path.steps.get(depth..).unwrap_or_default().iter().map(json_step).collect();
            builder.leaf(&steps, u16::try_from(number).unwrap_or(u16::MAX));
        }
    }
    builder.build().expect("every field of a contract has a path of its own")
}

/// Whether a wanted field stands in this encoded one, at any depth.
fn holds(fields: &[Field], holder: &Field, wanted: &impl Fn(&Field) -> bool) -> bool {
    let json = holder.encoding.as_ref().is_some_and(Encoding::holds_json);
    json && fields.iter().any(|field| field.path != holder.path && holder.path.covers(&field.path) && wanted(field))
}

fn encoded(fields: &[Field]) -> Vec<Encoded> {
    let json = |field: &Field| field.encoding.clone().filter(Encoding::holds_json);
    let encoded = fields.iter().enumerate().filter_map(|(number, field)| Some((number, field, json(field)?)));
    encoded
        .map(|(number, field, encoding)| Encoded {
            field: u16::try_from(number).unwrap_or(u16::MAX),
            encoding,
            declared: plan(fields, Some(number), |_| true),
            telling: plan(fields, Some(number), is_telling),
            subjects: plan(fields, Some(number), is_subject),
            tells: holds(fields, field, &is_telling),
        })
        .collect()
}

/// A contract may have as many fields as this has bits.
const SEEN_WORDS: usize = 16;
/// The most fields a contract may declare, its envelope included.
pub const FIELDS_MAX: usize = SEEN_WORDS * 64;

struct Check<'a, 's> {
    shape: &'s Shape,
    fields: &'s [Field],
    valid: bool,
    age: Option<AgeClass>,
    /// How many different required fields were met.
    required: u32,
    seen: [u64; SEEN_WORDS],
    subjects: &'s mut Vec<Subject<'a>>,
}

impl<'a> Visit<'a, u16> for Check<'a, '_> {
    #[inline]
    fn field(&mut self, number: u16, value: Node<'a>) {
        if self.judge(number, value) == Judged::Subject {
            self.subjects.push(Subject::Written(value));
        }
    }
}

/// The same for what stands in an encoded value, which is gone after the look.
struct Within<'c, 'a, 's>(&'c mut Check<'a, 's>);

impl<'n> Visit<'n, u16> for Within<'_, '_, '_> {
    fn field(&mut self, number: u16, value: Node<'n>) {
        if self.0.judge(number, value) == Judged::Subject {
            let text = scalar_text(value).map(Cow::into_owned);
            self.0.subjects.extend(text.map(Subject::Undone));
        }
    }
}

/// What is still to be done with a value that was judged.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Judged {
    Done,
    /// It names the person.
    Subject,
}

impl Check<'_, '_> {
    #[inline]
    fn judge(&mut self, number: u16, value: Node<'_>) -> Judged {
        let Some(field) = self.fields.get(usize::from(number)) else { return Judged::Done };
        if value.kind() == Kind::Null {
            return Judged::Done;
        }
        if field.required && self.first_time(number) {
            self.required += 1;
        }
        if let Some(encoding) = &field.encoding {
            self.valid &= has_type(field.types, value) && self.undo(number, field, encoding, value);
            return Judged::Done;
        }
        self.valid &= has_type(field.types, value) && allowed(field, value);
        match field.role {
            Some(Role::Age) => self.say_age(scalar_text(value).as_deref()),
            Some(Role::Subject) => return Judged::Subject,
            _ => {}
        }
        Judged::Done
    }

    /// One more age that the event states: of two the younger counts, and what cannot be read is a child's.
    fn say_age(&mut self, text: Option<&str>) {
        let said = text.map_or(AgeClass::Child, age_of);
        self.age = Some(if self.age == Some(AgeClass::Child) { AgeClass::Child } else { said });
    }

    /// Judges what is encoded; says `false` where that cannot be undone and would have mattered.
    #[inline(never)]
    fn undo(&mut self, number: u16, field: &Field, encoding: &Encoding, value: Node<'_>) -> bool {
        if let Some(encoded) = self.shape.encoded(number) {
            let seen = encoded.open(value, |root| visit(root, &encoded.telling, &mut Within(self)));
            return seen.is_some() || !encoded.tells;
        }
        let Some(text) = undone_text(encoding, value) else { return !is_telling(field) };
        match field.role {
            Some(Role::Age) => self.say_age(Some(&text)),
            Some(Role::Subject) => self.subjects.push(Subject::Undone(text.clone())),
            _ => {}
        }
        allowed_text(field, &text)
    }
}

fn undone_text(encoding: &Encoding, value: Node<'_>) -> Option<String> {
    String::from_utf8(encoding.undo(&value.text()?)?.bytes).ok()
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
    allowed_text(field, &text)
}

fn allowed_text(field: &Field, text: &str) -> bool {
    let listed = field.values.as_ref().is_none_or(|values| values.iter().any(|known| *known == text));
    let short = field.max_length.is_none_or(|max| text.chars().count() as u64 <= max);
    listed && short
}

/// `child`, `adult`, `unknown` or years, whole or not. Whatever else stands where an
/// age should is taken for a child's: the stricter of what it could be.
fn age_of(text: &str) -> AgeClass {
    let text = text.trim();
    let word = |word: &str| text.eq_ignore_ascii_case(word);
    if word("adult") {
        return AgeClass::Adult;
    }
    if word("unknown") || text.is_empty() {
        return AgeClass::Unknown;
    }
    match text.parse::<f64>() {
        Ok(years) if (AGE_OF_CONSENT..AGE_MAX).contains(&years) => AgeClass::Adult,
        _ => AgeClass::Child,
    }
}

struct Subjects<'a, 's> {
    shape: &'s Shape,
    fields: &'s [Field],
    found: &'s mut Vec<Subject<'a>>,
}

impl Subjects<'_, '_> {
    /// Looks into an encoded value; says `false` where the value is none.
    fn undo(&mut self, number: u16, value: Node<'_>) -> bool {
        let Some(encoding) = self.fields.get(usize::from(number)).and_then(|field| field.encoding.as_ref()) else {
            return false;
        };
        match self.shape.encoded(number) {
            Some(encoded) => {
                encoded.open(value, |root| visit(root, &encoded.subjects, &mut SubjectsWithin(self)));
            }
            None => self.found.extend(undone_text(encoding, value).map(Subject::Undone)),
        }
        true
    }
}

impl<'a> Visit<'a, u16> for Subjects<'a, '_> {
    fn field(&mut self, number: u16, value: Node<'a>) {
        if !self.undo(number, value) {
            self.found.push(Subject::Written(value));
        }
    }
}

/// The same for what stands in an encoded value.
struct SubjectsWithin<'c, 'a, 's>(&'c mut Subjects<'a, 's>);

impl<'n> Visit<'n, u16> for SubjectsWithin<'_, '_, '_> {
    fn field(&mut self, number: u16, value: Node<'n>) {
        if !self.0.undo(number, value) {
            let text = scalar_text(value).map(Cow::into_owned);
            self.0.found.extend(text.map(Subject::Undone));
        }
    }
}

impl Contract {
    /// The declared fields as a trie: each leaf is a place in [`Contract::fields`].
    #[must_use]
    pub const fn declared(&self) -> &Plan<u16> {
        &self.shape.declared
    }

    /// What stands in a field that holds encoded JSON.
    #[must_use]
    pub fn encoded(&self, field: u16) -> Option<&Encoded> {
        self.shape.encoded(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_names_the_same_person_however_it_is_written() {
        for (written, plain) in [
            ("12345", "12345"),
            ("12345.0", "12345"),
            ("1.2345e4", "12345"),
            ("1.2345E+4", "12345"),
            ("123450e-1", "12345"),
            ("-7.0", "-7"),
            ("12345.50", "12345.5"),
            ("0.0120", "0.012"),
            ("12e-3", "0.012"),
            ("0", "0"),
            ("-0.0", "0"),
            ("0e99999", "0"),
            ("9007199254740993.0", "9007199254740993"),
            ("1e999999999999999999", "1e999999999999999999"),
            ("1e9223372036854775807", "1e9223372036854775807"),
            ("1e999", "1e999"),
            ("1e-999", "1e-999"),
        ] {
            assert_eq!(plain_number(written), plain, "{written}");
        }
    }
}
