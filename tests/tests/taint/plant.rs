//! Requests of others with a marker in everything that a sender could choose.

use privet_policy::format::Format;
use serde_json::{Value, json};

use crate::requests::Case;

/// What every marker begins with. In no policy, configuration or word of privet's.
pub const TAINT: &str = "zqtaint";

/// Values by which formats know their events: changed, an event is another one, so they are changed only now and then.
const STRUCTURE: [&str; 12] =
    ["type", "event", "event_name", "specversion", "name", "e", "schema", "key", "timestamp", "time", "tv", "p"];

/// A request as it is sent.
pub struct Tainted {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// The marker of a number.
pub fn marker(number: usize) -> String {
    let letters = (0..6).map(|place| char::from(b'a' + u8::try_from(number / 26_usize.pow(place) % 26).unwrap()));
    format!("{TAINT}{}", letters.collect::<String>())
}

/// Plants the marker of this number: the round chooses where.
pub fn plant(case: &Case, number: usize, round: usize) -> Tainted {
    let marker = marker(number);
    let mut headers: Vec<(String, String)> =
        case.headers.iter().filter(|(name, _)| !is_framing(name)).cloned().collect();
    headers.push((format!("x-{marker}"), marker.clone()));
    headers.push(("cookie".to_owned(), format!("id={marker}; {marker}=1")));
    headers.push(("user-agent".to_owned(), format!("Mozilla/5.0 ({marker})")));
    headers.push(("traceparent".to_owned(), format!("00-{marker}-01")));
    let mut target = case.target.clone();
    let glue = if target.contains('?') { '&' } else { '?' };
    match round % 7 {
        3 => target = format!("{target}{glue}{marker}={marker}"),
        5 => target = format!("/{marker}{target}"),
        _ => {}
    }
    let body = match serde_json::from_slice::<Value>(&case.body) {
        Ok(mut document) => {
            taint(&mut document, "", &marker, round);
            if !round.is_multiple_of(3) {
                grant_all(case.format, &mut document);
            }
            document.to_string().into_bytes()
        }
        Err(_) => case.body.clone(),
    };
    let body = broken(body, &marker, round);
    Tainted { method: case.method.clone(), target, headers, body }
}

/// Has every event of a request say what the shipped policies ask for.
fn grant_all(format: Format, document: &mut Value) {
    let carried = ["batch", "events", "data"].into_iter().find(|name| document.get(name).is_some_and(Value::is_array));
    let several = match carried {
        Some(name) => document.get_mut(name).and_then(Value::as_array_mut),
        None if document.is_array() => document.as_array_mut(),
        None => return grant(format, document),
    };
    several.into_iter().flatten().for_each(|event| grant(format, event));
}

/// Has an event say what the shipped policies ask for, so that it leaves.
fn grant(format: Format, event: &mut Value) {
    let Some(members) = event.as_object_mut() else { return };
    match format {
        Format::Segment => {
            let context = members.entry("context").or_insert_with(|| json!({}));
            if let Some(context) = context.as_object_mut() {
                context.insert("consent".to_owned(), json!({"categoryPreferences": {"Analytics": true}}));
            }
        }
        Format::RudderStack => {
            let context = members.entry("context").or_insert_with(|| json!({}));
            if let Some(context) = context.as_object_mut() {
                let said = json!({"provider": "custom", "allowedConsentIds": ["analytics"], "deniedConsentIds": []});
                context.insert("consentManagement".to_owned(), said);
            }
        }
        Format::Json | Format::Ndjson => {
            members.insert("consent".to_owned(), json!({"analytics": "true"}));
        }
        Format::CloudEvents => {
            members.insert("consentpurposes".to_owned(), json!("analytics"));
        }
        Format::Ga4 | Format::Snowplow | Format::Otlp => {}
    }
}

fn is_framing(name: &str) -> bool {
    let framing = ["content-length", "transfer-encoding", "connection", "host", "cookie", "user-agent", "traceparent"];
    framing.contains(&name.to_ascii_lowercase().as_str())
}

/// Marks texts, and adds members that no contract knows.
fn taint(value: &mut Value, name: &str, marker: &str, round: usize) {
    match value {
        Value::Object(members) => {
            members.iter_mut().for_each(|(name, value)| taint(value, name, marker, round));
            if round % 3 == 1 {
                members.insert(format!("{marker}-name"), Value::from(format!("{marker}@example.com")));
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| taint(element, name, marker, round)),
        Value::String(text) if !STRUCTURE.contains(&name) || round % 5 == 4 => {
            *text = if round.is_multiple_of(2) { format!("{text} {marker}") } else { marker.to_owned() };
        }
        _ => {}
    }
}

/// Now and then a body that is refused, with the marker at the place of the mistake.
fn broken(mut body: Vec<u8>, marker: &str, round: usize) -> Vec<u8> {
    match round % 11 {
        6 => {
            body.truncate(body.len() / 2);
            body.extend_from_slice(marker.as_bytes());
        }
        8 => body = format!("{{\"{marker}\":1,\"{marker}\":2}}").into_bytes(),
        10 => body.extend_from_slice(format!("\u{feff}{{{marker}: \"{marker}\\u0000\"").as_bytes()),
        _ => {}
    }
    body
}
