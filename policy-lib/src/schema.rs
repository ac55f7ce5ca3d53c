//! The JSON Schema (draft 2020-12) of policy files, for editors.
//!
//! Promise: it is made of the same tables the reader reads by
//! ([`crate::source::keys`]), so what it knows and what the reader knows is the
//! same. Not here: what only a whole policy can say, such as whether a name
//! exists; `privet check` says that.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::action::ActionKind;
use crate::source::keys::{self, Form, KINDS, Keys};

/// The schema of every document a policy file may hold.
///
/// ```
/// let schema = privet_policy::schema::schema();
/// assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
/// ```
#[must_use]
pub fn schema() -> Value {
    let mut definitions = Definitions::default();
    let by_kind: Vec<Value> = KINDS.into_iter().map(|keys| definitions.of_kind(keys)).collect();
    let action = definitions.action();
    definitions.0.insert("Action", action);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A privet policy file",
        "description": "One document: what may leave, for whom, for what purpose, and the tests of it.",
        "type": "object",
        "required": ["apiVersion", "kind"],
        "properties": {"kind": {"enum": KINDS.map(|keys| keys.name)}},
        "allOf": by_kind,
        "$defs": definitions.0,
    })
}

/// The maps that were described so far, by name.
#[derive(Default)]
struct Definitions(BTreeMap<&'static str, Value>);

impl Definitions {
    /// What holds for a document of one kind.
    fn of_kind(&mut self, keys: &'static Keys) -> Value {
        let whole = self.map(keys, None);
        let then = match keys.instead {
            None => whole,
            Some((key, instead)) => json!({"if": {"required": [key]}, "then": self.map(instead, None), "else": whole}),
        };
        json!({"if": {"required": ["kind"], "properties": {"kind": {"const": keys.name}}}, "then": then})
    }

    /// A reference to a map, which is described at the first one.
    fn map(&mut self, keys: &'static Keys, members: Option<u8>) -> Value {
        if !self.0.contains_key(keys.name) {
            self.0.insert(keys.name, Value::Null);
            let described = self.described(keys, members);
            self.0.insert(keys.name, described);
        }
        json!({"$ref": format!("#/$defs/{}", keys.name)})
    }

    fn described(&mut self, keys: &'static Keys, members: Option<u8>) -> Value {
        let properties: Map<String, Value> =
            keys.iter().map(|key| (key.name.to_owned(), self.meaning(&key.form, key.means))).collect();
        let mut described = json!({"type": "object", "properties": properties, "additionalProperties": false});
        let required: Vec<&str> = keys.iter().filter(|key| key.required).map(|key| key.name).collect();
        let mut say =
            |word: &str, value: Value| described.as_object_mut().map(|map| map.insert(word.to_owned(), value));
        if !required.is_empty() {
            say("required", json!(required));
        }
        if let Some(members) = members {
            say("minProperties", json!(members));
            say("maxProperties", json!(members));
        }
        if !keys.choice.is_empty() {
            let one = keys.choice.iter().map(|key| json!({"required": [key]}));
            say("oneOf", one.collect());
        }
        if let Some((form, means)) = &keys.others {
            let others = self.meaning(form, means);
            say("additionalProperties", others);
        }
        described
    }

    /// A form and what it means.
    fn meaning(&mut self, form: &Form, means: &str) -> Value {
        let mut value = self.form(form);
        if let Some(members) = value.as_object_mut() {
            members.insert("description".to_owned(), json!(means));
        }
        value
    }

    fn form(&mut self, form: &Form) -> Value {
        match form {
            Form::Nothing => json!({"type": "null"}),
            Form::Flag => json!({"type": "boolean"}),
            Form::Text => json!({"type": ["string", "number", "boolean"]}),
            Form::Matching(pattern) => json!({"type": "string", "pattern": pattern}),
            Form::Word(words) => json!({"enum": words()}),
            Form::Whole(least, most) if *most == u64::MAX => json!({"type": "integer", "minimum": least}),
            Form::Whole(least, most) => json!({"type": "integer", "minimum": least, "maximum": most}),
            Form::Positive => json!({"type": "number", "exclusiveMinimum": 0}),
            Form::Map(keys) => self.map(keys, None),
            Form::One(keys) => self.map(keys, Some(1)),
            Form::Named(form) => json!({"type": "object", "additionalProperties": self.form(form)}),
            Form::List(form) => {
                let one = self.form(form);
                json!({"anyOf": [{"type": "array", "items": one}, one]})
            }
            Form::AtLeastOne(form) => {
                let one = self.form(form);
                json!({"anyOf": [{"type": "array", "items": one, "minItems": 1}, one]})
            }
            Form::OnlyList(form) => json!({"type": "array", "items": self.form(form)}),
            Form::Either(forms) => {
                json!({"anyOf": forms.iter().map(|form| self.form(form)).collect::<Vec<_>>()})
            }
            Form::Action => json!({"$ref": "#/$defs/Action"}),
            Form::Anything => json!({}),
        }
    }

    /// An action is its word, or a map of its word to its options.
    fn action(&mut self) -> Value {
        let (mut written, mut options) = (Vec::new(), Map::new());
        for kind in ActionKind::ALL {
            let action = keys::action(kind);
            if action.alone {
                written.push(json!({"const": kind.name(), "description": action.means}));
            }
            if let Some(form) = &action.options {
                options.insert(kind.name().to_owned(), self.meaning(form, action.means));
            }
        }
        written.push(json!({
            "type": "object",
            "properties": options,
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": false,
        }));
        json!({"anyOf": written})
    }
}
