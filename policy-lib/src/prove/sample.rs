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
use crate::signals::tcf::Draft;
use crate::snowplow;
use crate::source::GoogleConsent;

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
    pub(super) fn of(policy: &Policy, way: &WayOut, said: &Said, at_ms: i64) -> Self {
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
            let action = (way.part == Part::Value).then_some(&way.action);
            let value = in_protocol(contract.format, field).unwrap_or_else(|| value_of(field, action));
            outside.set(&mut sample.body, field, Some(way.part), value);
        }
        for (path, values) in &contract.conditions {
            put(&mut sample.body, &path.steps, values.first().map_or(Value::Null, |value| json!(iglu::whole(value))));
        }
        for path in envelope::of(contract.format).requires.into_iter().filter_map(|one_of| one_of.into_iter().next()) {
            fill(&mut sample.body, &path.steps, json!("u-1"));
        }
        for field in contract.fields.iter().filter(|field| field.required) {
            let value = in_protocol(contract.format, field).unwrap_or_else(|| value_of(field, None));
            outside.set(&mut sample.body, field, None, value);
        }
        sample.say(said, at_ms, &mut outside);
        sample.frame(contract, outside);
        sample
    }

    fn say(&mut self, said: &Said, at_ms: i64, outside: &mut Outside) {
        for (family, granted) in &said.families {
            self.say_family(*family, granted, at_ms, outside);
        }
        for (path, value) in &said.members {
            let truth = matches!(path.steps.last(), Some(Step::Key(name)) if name == "boolValue");
            let value = value.parse().ok().filter(|_| truth).map_or_else(|| json!(value), Value::Bool);
            put(&mut self.body, &path.steps, value);
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

    fn say_family(&mut self, family: Family, granted: &BTreeSet<Atom>, at_ms: i64, outside: &mut Outside) {
        let names = || granted.iter().filter_map(|atom| if let Atom::Named(name) = atom { Some(name) } else { None });
        let key = |name: &str| [Step::Key(name.to_owned())];
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
            Family::OneTrust => {
                let groups: Vec<String> =
                    names().map(|name| format!("{name}:1")).chain(["none:0".to_owned()]).collect();
                let groups = percent_encode(groups.join(",").as_bytes(), NON_ALPHANUMERIC).to_string();
                put(&mut outside.cookies, &key("OptanonConsent"), json!(format!("groups={groups}")));
            }
            Family::Google => {
                let letter = |asked| if granted.contains(&Atom::Google(asked)) { 't' } else { 'p' };
                let letters = GOOGLE_MODE.map(letter).map(|letter| format!("1{letter}")).concat();
                put(&mut outside.query, &key("gcd"), json!(format!("1{letters}5")));
            }
            Family::Tcf => put(&mut outside.cookies, &key("euconsent-v2"), json!(tc_string(granted, at_ms))),
            // It is an event of its own.
            Family::Snowplow => {}
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
            Format::Otlp => "/v1/logs".to_owned(),
            Format::Json | Format::Ndjson => "/".to_owned(),
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
        if contract.format == Format::Otlp {
            self.body = under_resource_and_scope(std::mem::take(&mut self.body));
        }
        self.target = outside.target(path);
        self.headers.extend(outside.headers());
        let cookies = outside.cookies();
        if !cookies.is_empty() {
            self.headers.push(("cookie".to_owned(), cookies));
        }
    }
}

/// The types of consent in the order of `gcd`.
const GOOGLE_MODE: [GoogleConsent; 4] = [
    GoogleConsent::AdStorage,
    GoogleConsent::AnalyticsStorage,
    GoogleConsent::AdUserData,
    GoogleConsent::AdPersonalization,
];

/// A TC string that grants this and refuses the rest.
fn tc_string(granted: &BTreeSet<Atom>, at_ms: i64) -> String {
    let mut draft = Draft { at_ms, ..Draft::default() };
    for atom in granted {
        match atom {
            Atom::TcfPurpose(purpose) => draft.consents.push(*purpose),
            Atom::TcfInterest(purpose) => draft.interests.push(*purpose),
            Atom::TcfFeature(feature) => draft.special_features.push(*feature),
            Atom::VendorConsent(vendor) => draft.vendors.push(*vendor),
            Atom::VendorInterest(vendor) => draft.interested_vendors.push(*vendor),
            Atom::Named(_) | Atom::Google(_) => {}
        }
    }
    draft.encode()
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
        Step::Element => at.get_mut(0)?,
        Step::Where { key, equals } => {
            let is_chosen = |element: &&mut Value| element.get(key).is_some_and(|member| member == equals);
            at.as_array_mut()?.iter_mut().find(is_chosen)?
        }
    };
    find(next, rest)
}

/// A log record with what it shares where that stands in a request.
fn under_resource_and_scope(mut record: Value) -> Value {
    let mut taken = |name: &str| record.as_object_mut().and_then(|members| members.remove(name));
    let shared = ["resource", "scope", "schemaUrl"].map(|name| (name, taken(name)));
    let (mut resource_logs, mut scope_logs) = (json!({}), json!({"logRecords": [record]}));
    for (name, value) in shared {
        let holder = if name == "scope" { &mut scope_logs } else { &mut resource_logs };
        if let Some(value) = value {
            put(holder, &[Step::Key(name.to_owned())], value);
        }
    }
    put(&mut resource_logs, &[Step::Key("scopeLogs".to_owned())], json!([scope_logs]));
    json!({"resourceLogs": [resource_logs]})
}

/// A value of the type that a member of this name has in OpenTelemetry's protocol,
/// if that is not text. A contract that says otherwise knows better.
fn in_protocol(format: Format, field: &Field) -> Option<Value> {
    let (Format::Otlp, Some(Step::Key(name)), None) = (format, field.path.steps.last(), &field.values) else {
        return None;
    };
    Some(match name.as_str() {
        "timeUnixNano" | "observedTimeUnixNano" => json!("1795384246399000000"),
        "traceId" => json!("5b8efff798038103d269b633813fc60c"),
        "spanId" => json!("eee19b7ec3c1b174"),
        "intValue" => json!("42"),
        "severityNumber" | "droppedAttributesCount" | "flags" => json!(9),
        "doubleValue" => json!(52.520008),
        "boolValue" => json!(true),
        "bytesValue" => json!("c2FtcGxl"),
        _ => return None,
    })
}

/// A value that a field allows and an action has something to do with.
fn value_of(field: &Field, action: Option<&Action>) -> Value {
    if let Some(schema) = snowplow::chosen_schema(&field.path) {
        return json!(schema);
    }
    if let Some(value) = field.values.as_ref().and_then(|values| values.first()) {
        return written_as(value, field.types);
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

/// An allowed value in a type that the field may have: policies write every one as text.
fn written_as(value: &str, types: FieldTypes) -> Value {
    let text = types == FieldTypes::NONE || types.allows(FieldTypes::STRING);
    if text { json!(value) } else { serde_json::from_str(value).unwrap_or_else(|_| json!(value)) }
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
            let equals = iglu::whole(equals);
            let element = chosen(at, key, &equals);
            *member(element, key) = json!(equals);
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

/// The element whose member `key` is `equals`: one that is there, the one that is nothing yet, or a new one.
fn chosen<'v>(at: &'v mut Value, key: &str, equals: &str) -> &'v mut Value {
    element(at);
    let Value::Array(elements) = at else { return at };
    let is_chosen = |element: &Value| element.get(key).is_some_and(|member| member == equals);
    let place = elements.iter().position(is_chosen).or_else(|| elements.iter().position(Value::is_null));
    let place = place.unwrap_or(elements.len());
    if place == elements.len() {
        elements.push(Value::Null);
    }
    elements.get_mut(place).expect("it is there or was pushed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::Path;

    #[test]
    fn values_stand_where_their_paths_say() {
        let mut body = json!({});
        for (path, value) in [
            ("a.b", "1"),
            ("list[].x", "2"),
            ("items[schema=s].data.y", "3"),
            ("map.*", "4"),
            ("a", "5"),
            ("items[schema=t].data", "6"),
        ] {
            let path: Path = path.parse().expect("a path");
            put(&mut body, &path.steps, json!(value));
        }
        assert_eq!(
            body,
            json!({"a": {"b": "1"}, "list": [{"x": "2"}], "items": [{"schema": "s", "data": {"y": "3"}}, {"schema": "t", "data": "6"}], "map": {"name": "4"}})
        );
    }
}
