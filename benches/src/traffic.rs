//! Events as a browser's Segment library sent them to a server on loopback.
//!
//! A capture over loopback has no client address, no consent and nothing that a
//! person typed, so each event is given one of each; ids are numbered so that
//! every event is about a person of its own. One person in twenty refuses.

use std::fmt::Write as _;

use jiff::Timestamp;
use privet::offline::{NotARequest, Parts};
use privet::request::RawRequest;
use privet_policy::format::Format;

/// Where batches are posted.
pub const TARGET: &str = "/v1/batch";
/// The header that carries a write key, which is no secret.
pub const AUTHORIZATION: &str = "Basic d2tfbG9vcGJhY2tfdGVzdDo=";

/// Bodies that public client libraries sent; `json-lib/tests/data/README.md` tells their origin.
const CAPTURES: &str = include_str!("../../json-lib/tests/data/events.ndjson");
/// The first lines are single events of `analytics.js` 1.84: identify, track and page, twice.
const CAPTURED: usize = 6;
/// How many events there are; the largest batch fits.
const EVENTS: usize = 240;
const REFUSES_ONE_IN: usize = 20;

/// What people type: mostly nothing that names them.
const NOTES: [&str; 8] = [
    "The lid of my kettle does not close any more since last week, can it be sent in for a repair?",
    "Delivery was quick and the blue one looks even better on the table than it did in the picture.",
    "Please call me back about order 4711 on +1-202-555-0143 after six, I am at work all day long.",
    "I would like to change the colour of the second item before it ships, green instead of white.",
    "Where do I find the manual? The link on the product page leads to a page that is not there.",
    "Works as described. It takes 4 minutes for 2 litres, which is 1 minute less than our old one.",
    "You can reach me at odalys.brandreth@example.org if there are any questions about the invoice.",
    "Is the filter included, or do I have to order it with the kettle? The list does not mention it.",
];

/// One event, and whether its person lets it leave.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its JSON.
    pub json: String,
    /// Whether it may leave.
    pub leaves: bool,
}

/// All events.
#[must_use]
pub fn events() -> Vec<Event> {
    let captures: Vec<&str> = CAPTURES.lines().take(CAPTURED).collect();
    captures.iter().cycle().take(EVENTS).enumerate().map(|(number, capture)| event(number, capture)).collect()
}

fn event(number: usize, capture: &str) -> Event {
    let leaves = number % REFUSES_ONE_IN != REFUSES_ONE_IN / 2;
    let context = format!(
        r#""context":{{"ip":"198.51.100.{}","consent":{{"categoryPreferences":{{"Advertising":false,"Analytics":{leaves},"Functional":true}}}},"#,
        number % 254 + 1
    );
    let note = NOTES.iter().cycle().nth(number).copied().unwrap_or_default();
    let mut json = capture
        .replace("user-1001", &format!("user-{}", 1001 + number))
        .replace("user-1002", &format!("user-{}", 1001 + number))
        .replace(r#""context":{"#, &context);
    for holder in ["traits", "properties"] {
        json = json.replacen(&format!(r#""{holder}":{{"#), &format!(r#""{holder}":{{"note":"{note}","#), 1);
    }
    Event { json: renamed(&json, number), leaves }
}

/// The same with ids of the device and the message that no other event has.
fn renamed(json: &str, number: usize) -> String {
    let mut renamed = json.to_owned();
    for member in [r#""anonymousId":""#, r#""messageId":"ajs-next-"#] {
        if let Some(place) = renamed.find(member).map(|place| place + member.len()) {
            renamed.replace_range(place..place + 8, &format!("{number:08}"));
        }
    }
    renamed
}

/// One request's body.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The JSON around and of its events.
    pub body: String,
    /// How many events are in it.
    pub events: usize,
    /// How many of them may leave.
    pub leaving: usize,
}

/// All events in batches of one size; what would not fill one is left out.
#[must_use]
pub fn batches(size: usize) -> Vec<Batch> {
    events().chunks_exact(size.clamp(1, EVENTS)).map(batch).collect()
}

fn batch(events: &[Event]) -> Batch {
    let mut body = String::from(r#"{"batch":["#);
    for (number, event) in events.iter().enumerate() {
        body.push_str(if number == 0 { "" } else { "," });
        body.push_str(&event.json);
    }
    let _ = write!(body, r#"],"sentAt":"2026-11-22T21:56:15.669Z"}}"#);
    Batch { body, events: events.len(), leaving: events.iter().filter(|event| event.leaves).count() }
}

/// A batch as the line gets it.
///
/// # Errors
/// [`NotARequest`], which would be a mistake of this module.
pub fn request(batch: &Batch) -> Result<RawRequest, NotARequest> {
    let headers = [("authorization", AUTHORIZATION), ("content-type", "application/json"), ("host", "127.0.0.1")];
    Parts {
        method: "POST".to_owned(),
        target: TARGET.to_owned(),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        body: batch.body.clone().into_bytes(),
        peer: None,
        time: Timestamp::from_second(1_795_384_575).unwrap_or_default(),
        format: Some(Format::Segment),
    }
    .request()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_event_is_json_of_the_usual_size_about_a_person_of_its_own() {
        let events = events();
        let mut people = HashSet::new();
        for event in &events {
            let value: serde_json::Value = serde_json::from_str(&event.json).unwrap();
            assert!(value["context"]["ip"].is_string());
            assert_eq!(value["context"]["consent"]["categoryPreferences"]["Analytics"], event.leaves);
            assert!(value["properties"]["note"].is_string() || value["traits"]["note"].is_string());
            assert!(people.insert(value["anonymousId"].as_str().unwrap().to_owned()));
            assert!(people.insert(value["messageId"].as_str().unwrap().to_owned()));
            people.insert(value["userId"].as_str().unwrap_or_default().to_owned());
        }
        assert_eq!(people.len(), 3 * EVENTS);
        assert_eq!(events.iter().filter(|event| !event.leaves).count(), EVENTS / REFUSES_ONE_IN);
        let bytes: usize = events.iter().map(|event| event.json.len()).sum();
        assert!((1_100..1_500).contains(&(bytes / EVENTS)), "{}", bytes / EVENTS);
    }

    #[test]
    fn a_batch_holds_its_events() {
        for size in [1, 20, 200] {
            let batches = batches(size);
            assert_eq!(batches.len(), EVENTS / size);
            let value: serde_json::Value = serde_json::from_str(&batches[0].body).unwrap();
            assert_eq!(value["batch"].as_array().unwrap().len(), size);
            request(&batches[0]).unwrap();
        }
    }
}
