//! A request with which a field leaves: as little of an event as its contract,
//! its collector and its consent need, and the field.

use std::fmt::Write as _;

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::WayOut;
use super::signals::{Atom, Family, Said};
use crate::action::{Action, Generalize};
use crate::envelope;
use crate::exposure::Part;
use crate::format::Format;
use crate::generalize::GeoCell;
use crate::iglu;
use crate::path::{Origin, Step};
use crate::policy::{AgeClass, Contract, Field, FieldTypes, Policy, Role};
use crate::snowplow;

/// The calls of Segment and RudderStack that have a path of their own.
const CALLS: [&str; 6] = ["identify", "track", "page", "screen", "group", "alias"];

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Its format.
    pub format: Format,
    /// Path and query.
    pub target: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The event.
    pub body: Value,
    /// The jurisdiction it is to come from.
    pub jurisdiction: String,
    /// The age class, where the event cannot say it.
    pub age: AgeClass,
}

impl Sample {
    /// A request with which this field leaves.
    pub(super) fn of(policy: &Policy, way: &WayOut, said: &Said) -> Self {
        let contract = policy.contract(way.contract);
        let mut sample = Self {
            format: contract.format,
            target: String::new(),
            headers: Vec::new(),
            body: json!({}),
            jurisdiction: policy.place_name(way.place).to_owned(),
            age: way.age,
        };
        let mut outside = Outside::default();
        if let Some(field) = contract.fields.get(way.field) {
            let value = value_of(field, (way.part == Part::Value).then_some(&way.action));
            outside.set(&mut sample.body, field, Some(way.part), value);
        }
        for (path, values) in &contract.conditions {
            put(&mut sample.body, &path.steps, values.first().map_or(Value::Null, |value| json!(iglu::whole(value))));
        }
        for path in envelope::of(contract.format).requires.into_iter().filter_map(|one_of| one_of.into_iter().next()) {
            fill(&mut sample.body, &path.steps, json!("u-1"));
        }
        for field in contract.fields.iter().filter(|field| field.required) {
            outside.set(&mut sample.body, field, None, value_of(field, None));
        }
        sample.say(said);
        sample.frame(contract, outside);
        sample
    }

    fn say(&mut self, said: &Said) {
        for (family, granted) in &said.families {
            self.say_family(*family, granted);
        }
        for (path, value) in &said.members {
            put(&mut self.body, &path.steps, json!(value));
        }
        if said.gpc {
            self.headers.push(("sec-gpc".to_owned(), "1".to_owned()));
        }
    }

    /// An event of GA4 has a name and parameters; all else is the request's.
    fn wrap_ga4(&mut self) {
        let Value::Object(all) = self.body.take() else { return };
        let of_event = |name: &String| matches!(name.as_str(), "name" | "params");
        let (event, mut request): (Map<_, _>, Map<_, _>) = all.into_iter().partition(|(name, _)| of_event(name));
        request.insert("events".to_owned(), json!([event]));
        self.body = Value::Object(request);
    }

    fn say_family(&mut self, family: Family, granted: &BTreeSet<Atom>) {
        let names = || granted.iter().filter_map(|atom| if let Atom::Named(name) = atom { Some(name) } else { None });
        let context = |names: [&str; 2]| ["context", names[0], names[1]].map(|name| Step::Key(name.to_owned()));
        match family {
            Family::Segment => {
                let preferences: Map<String, Value> = names().map(|name| (name.clone(), Value::Bool(true))).collect();
                put(&mut self.body, &context(["consent", "categoryPreferences"]), Value::Object(preferences));
            }
            Family::RudderStack => {
                let allowed = names().cloned().map(Value::from).collect();
                put(&mut self.body, &context(["consentManagement", "allowedConsentIds"]), Value::Array(allowed));
            }
            Family::OneTrust | Family::Google | Family::Snowplow | Family::Tcf => {}
        }
    }

    /// What the format wants around an event.
    fn frame(&mut self, contract: &Contract, mut outside: Outside) {
        let key = |name: &str| [Step::Key(name.to_owned())];
        let path = match contract.format {
            Format::Segment | Format::RudderStack => {
                fill(&mut self.body, &key("type"), json!("track"));
                // The event's own kind counts, whatever path it comes by.
                let kind = self.body.get("type").and_then(Value::as_str).filter(|kind| CALLS.contains(kind));
                format!("/v1/{}", kind.unwrap_or("track"))
            }
            Format::CloudEvents => {
                for (name, value) in [("id", "1"), ("source", "/sample"), ("type", "sample")] {
                    fill(&mut self.body, &key(name), json!(value));
                }
                put(&mut self.body, &key("specversion"), json!("1.0"));
                "/".to_owned()
            }
            Format::Snowplow => {
                self.fill_snowplow();
                snowplow::PAYLOAD_PATH.to_owned()
            }
            Format::Ga4 => {
                fill(&mut self.body, &key("name"), json!("sample"));
                "/mp/collect".to_owned()
            }
            Format::Otlp | Format::Json | Format::Ndjson => "/".to_owned(),
        };
        let media = match contract.format {
            Format::CloudEvents => "application/cloudevents+json",
            Format::Ndjson => "application/x-ndjson",
            _ => "application/json",
        };
        self.headers.push(("content-type".to_owned(), media.to_owned()));
        outside.encode(&mut self.body, &contract.fields);
        if contract.format == Format::Snowplow {
            self.wrap_snowplow();
        }
        if contract.format == Format::Ga4 {
            self.wrap_ga4();
        }
        self.target = outside.target(path);
        self.headers.extend(outside.headers());
        let cookies = outside.cookies();
        if !cookies.is_empty() {
            self.headers.push(("cookie".to_owned(), cookies));
        }
    }
}

impl Sample {
    /// What the schemas of Snowplow want in an event and around its parts.
    fn fill_snowplow(&mut self) {
        let key = |name: &str| Step::Key(name.to_owned());
        // The payload says it once for all.
        self.body.as_object_mut().and_then(|event| event.remove("schema"));
        let described = self.body.get(snowplow::EVENT).is_some();
        for (name, value) in [("e", if described { "ue" } else { "pv" }), ("p", "web"), ("tv", "sample-1.0.0")] {
            fill(&mut self.body, &[key(name)], json!(value));
        }
        if described {
            put(&mut self.body, &[key(snowplow::EVENT), key("schema")], json!(snowplow::EVENT_SCHEMA));
            let data = [key(snowplow::EVENT), key("data"), key("data")];
            fill(&mut self.body, &data, json!({}));
            let named = self.body.pointer("/ue_pr/data/schema").and_then(Value::as_str);
            let over = named.is_some_and(|schema| iglu::up_to_model(schema).is_none());
            set(
                &mut self.body,
                &[&data[..2], &[key("schema")]].concat(),
                json!("iglu:com.acme/sample/jsonschema/1-0-0"),
                over,
            );
        }
        if self.body.get(snowplow::ENTITIES).is_some() {
            put(&mut self.body, &[key(snowplow::ENTITIES), key("schema")], json!(snowplow::ENTITIES_SCHEMA));
            fill(&mut self.body, &[key(snowplow::ENTITIES), key("data")], json!([]));
        }
    }

    /// Puts the event into a payload: every value a string, self-describing JSON as text.
    fn wrap_snowplow(&mut self) {
        for value in self.body.as_object_mut().into_iter().flat_map(|event| event.values_mut()) {
            if !value.is_string() {
                *value = json!(value.to_string());
            }
        }
        self.body = json!({"schema": snowplow::PAYLOAD_SCHEMA, "data": [self.body.take()]});
    }
}

/// The parts of a sample outside of its body: an object by name for each.
#[derive(Default)]
struct Outside {
    headers: Value,
    cookies: Value,
    query: Value,
    segments: Value,
}

impl Outside {
    /// Puts a value where a field says.
    fn set(&mut self, body: &mut Value, field: &Field, part: Option<Part>, value: Value) {
        let over = part.is_some() || field.path.origin != Origin::Event;
        set(self.part(field.path.origin).unwrap_or(body), &field.path.steps, value, over);
    }

    fn part(&mut self, origin: Origin) -> Option<&mut Value> {
        match origin {
            Origin::Event => None,
            Origin::Header => Some(&mut self.headers),
            Origin::Cookie => Some(&mut self.cookies),
            Origin::Query => Some(&mut self.query),
            Origin::PathSegment => Some(&mut self.segments),
        }
    }

    /// Encodes what has to be encoded, in the body and around it.
    fn encode(&mut self, body: &mut Value, fields: &[Field]) {
        let mut encoded: Vec<_> = fields.iter().filter_map(|field| Some((field, field.encoding.as_ref()?))).collect();
        encoded.sort_by_key(|(field, _)| std::cmp::Reverse(field.path.steps.len()));
        for (field, encoding) in encoded {
            let at = self.part(field.path.origin).unwrap_or(body);
            if let Some(value) = find(at, &field.path.steps) {
                let plain = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                *value = json!(encoding.redo(plain.as_bytes(), &encoding.like_nothing()));
            }
        }
    }

    fn headers(&self) -> impl Iterator<Item = (String, String)> {
        named(&self.headers)
    }

    fn cookies(&self) -> String {
        named(&self.cookies).map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    fn target(&self, path: String) -> String {
        let segments: Vec<(usize, String)> =
            named(&self.segments).filter_map(|(place, text)| Some((place.parse().ok()?, text))).collect();
        let mut target = match segments.iter().map(|(place, _)| *place).max() {
            None => path,
            Some(last) => (0..=last).fold(String::new(), |mut path, place| {
                let written = segments.iter().find(|(known, _)| *known == place);
                path.push('/');
                path.push_str(written.map_or("a", |(_, text)| text));
                path
            }),
        };
        let escaped = |text: &str| percent_encode(text.as_bytes(), NON_ALPHANUMERIC).to_string();
        for (number, (name, value)) in named(&self.query).enumerate() {
            let separator = if number == 0 { '?' } else { '&' };
            let _ = write!(target, "{separator}{}={}", escaped(&name), escaped(&value));
        }
        target
    }
}

/// The members of an object as texts.
fn named(part: &Value) -> impl Iterator<Item = (String, String)> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let members = part.as_object().into_iter().flatten();
    members.map(|(name, value)| (name.clone(), text(value))).collect::<Vec<_>>().into_iter()
}

/// The value at a path of a sample, if it is there.
fn find<'v>(at: &'v mut Value, steps: &[Step]) -> Option<&'v mut Value> {
    let Some((step, rest)) = steps.split_first() else { return Some(at) };
    let next = match step {
        Step::Key(name) => at.get_mut(name)?,
        Step::AnyKey => at.as_object_mut()?.values_mut().next()?,
        Step::Element | Step::Where { .. } => at.get_mut(0)?,
    };
    find(next, rest)
}

/// A value that a field allows and an action has something to do with.
fn value_of(field: &Field, action: Option<&Action>) -> Value {
    if let Some(schema) = snowplow::chosen_schema(&field.path) {
        return json!(schema);
    }
    if let Some(value) = field.values.as_ref().and_then(|values| values.first()) {
        return json!(value);
    }
    let text = match action {
        Some(Action::Generalize(Generalize::Time(_))) => "2026-11-22T21:50:42.259Z",
        Some(Action::Generalize(Generalize::Ip(_))) => "203.0.113.77",
        Some(Action::Generalize(Generalize::Number(_))) => "42",
        Some(Action::Generalize(Generalize::Url(_))) => "https://shop.example/a?b=c",
        Some(Action::Generalize(Generalize::Geo(GeoCell::Decimals(_)))) => "52.520008",
        Some(Action::Generalize(Generalize::Geo(GeoCell::Geohash(_)))) => "u33dc0cppj",
        Some(Action::Generalize(Generalize::Age(_))) => "42",
        _ if field.role == Some(Role::Age) => "adult",
        _ => "sample",
    };
    let types = field.types;
    if types == FieldTypes::NONE || types.allows(FieldTypes::STRING) {
        let max = field.max_length.and_then(|max| usize::try_from(max).ok()).unwrap_or(usize::MAX);
        json!(text.chars().take(max).collect::<String>())
    } else if types.allows(FieldTypes::INTEGER) {
        json!(42)
    } else if types.allows(FieldTypes::BOOLEAN) {
        json!(true)
    } else if types.allows(FieldTypes::ARRAY) {
        json!([])
    } else {
        json!({})
    }
}

/// Puts a value at a path, over whatever is there.
fn put(at: &mut Value, steps: &[Step], value: Value) {
    set(at, steps, value, true);
}

/// Puts a value at a path where nothing is yet.
fn fill(at: &mut Value, steps: &[Step], value: Value) {
    set(at, steps, value, false);
}

fn set(at: &mut Value, steps: &[Step], value: Value, over: bool) {
    let Some((step, rest)) = steps.split_first() else {
        // A container that holds something already stays: a field may be a value or its parts.
        let empty = at.is_null() || at.as_object().is_some_and(Map::is_empty);
        if empty || (over && !at.is_object() && !at.is_array()) {
            *at = value;
        }
        return;
    };
    match step {
        Step::Key(name) => set(member(at, name), rest, value, over),
        Step::AnyKey => set(member(at, "name"), rest, value, over),
        Step::Element => set(element(at), rest, value, over),
        Step::Where { key, equals } => {
            let element = element(at);
            *member(element, key) = json!(iglu::whole(equals));
            set(element, rest, value, over);
        }
    }
}

fn member<'v>(at: &'v mut Value, name: &str) -> &'v mut Value {
    if !at.is_object() {
        *at = json!({});
    }
    match at {
        Value::Object(members) => members.entry(name).or_insert(Value::Null),
        other => other,
    }
}

fn element(at: &mut Value) -> &mut Value {
    if !at.is_array() {
        *at = json!([null]);
    }
    match at {
        Value::Array(elements) => {
            if elements.is_empty() {
                elements.push(Value::Null);
            }
            elements.first_mut().expect("there is one now")
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::Path;

    #[test]
    fn values_stand_where_their_paths_say() {
        let mut body = json!({});
        for (path, value) in
            [("a.b", "1"), ("list[].x", "2"), ("items[schema=s].data.y", "3"), ("map.*", "4"), ("a", "5")]
        {
            let path: Path = path.parse().expect("a path");
            put(&mut body, &path.steps, json!(value));
        }
        assert_eq!(
            body,
            json!({"a": {"b": "1"}, "list": [{"x": "2"}], "items": [{"schema": "s", "data": {"y": "3"}}], "map": {"name": "4"}})
        );
    }
}
