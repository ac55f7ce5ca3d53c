//! The files of `tests/data` as requests: each line is sent as its source says, or, where it says nothing, as its format
//! is usually sent.

use std::collections::BTreeSet;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use privet_policy::format::Format;
use privet_tests::harvest::personal;
use serde_json::{Value, json};

use crate::naive::{Expected, dechunked, decoded, expected};

/// The fictitious people of the captures, as protobuf holds them, too.
const PEOPLE: [&str; 6] = [
    "marla.quillfeather@example.com",
    "odalys.brandreth@example.org",
    "+1-202-555-0143",
    "+44 20 7946 0958",
    "user-1001",
    "user-1002",
];

/// One line as a request, with what has to become of it.
pub struct Case {
    /// The row of the table: a file, or a client where a file holds several.
    pub row: String,
    pub id: String,
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// What the events are; the contract that each follows says so.
    pub format: Format,
    /// Whether the listener takes this format alone. If not, privet has to find out.
    pub told: bool,
    pub expected: Expected,
    /// What must not leave.
    pub personal: BTreeSet<String>,
}

/// What is said of a request before its expectation is worked out.
struct Sent<'a> {
    row: &'a str,
    line: &'a Value,
    method: &'a str,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    format: Format,
    told: bool,
}

impl Sent<'_> {
    fn case(self) -> Case {
        let expected = expected(self.format, self.method, &self.target, &self.headers, &self.body);
        let id = ["id", "seq"].iter().map(|name| &self.line[name]).find(|id| !id.is_null());
        Case {
            row: self.row.to_owned(),
            id: id.unwrap_or(&Value::Null).to_string(),
            personal: personal_of(self.line, &self.headers, &self.body),
            method: self.method.to_owned(),
            target: self.target,
            headers: self.headers,
            body: self.body,
            format: self.format,
            told: self.told,
            expected,
        }
    }
}

/// What the line itself points at, and what can be told from its form.
fn personal_of(line: &Value, headers: &[(String, String)], body: &[u8]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let body: Value = serde_json::from_slice(&decoded(headers, body)).unwrap_or_default();
    personal(&body, "", &mut found);
    let payload = if line["payload"].is_null() { &line["body"] } else { &line["payload"] };
    for label in line["pii"].as_array().into_iter().flatten() {
        let value = payload.pointer(label["ptr"].as_str().unwrap());
        leaves(value.unwrap_or_else(|| panic!("{label} points at nothing")), &mut found);
    }
    if !line["client"].is_null() {
        found.extend(PEOPLE.map(str::to_owned));
    }
    let mut words = Vec::new();
    ordinary(&body, &mut words);
    found.retain(|text| !is_nobody(text) && !is_ordinary(text, &words));
    found
}

/// What stands in every event: the names of members and of the client's library. `"token": "token"` is nobody's token,
/// and a person called Rudder cannot be told from RudderStack.
fn ordinary(value: &Value, words: &mut Vec<String>) {
    if let Some(library) = value["library"]["name"].as_str() {
        words.push(library.to_lowercase());
    }
    match value {
        Value::Object(members) => members.iter().for_each(|(name, member)| {
            words.push(name.to_lowercase());
            ordinary(member, words);
        }),
        Value::Array(elements) => elements.iter().for_each(|element| ordinary(element, words)),
        _ => {}
    }
}

/// Whether a text is a word that stands there anyhow.
fn is_ordinary(text: &str, words: &[String]) -> bool {
    let word = text.bytes().all(|byte| byte.is_ascii_alphabetic());
    word && words.iter().any(|known| known.contains(&text.to_lowercase()))
}

/// Zeros are nobody's id, and leave as they are by design.
fn is_nobody(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0' | b'-'))
}

/// The texts and numbers in a value that are long enough to be told from chance.
fn leaves(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(elements) => elements.iter().for_each(|element| leaves(element, found)),
        Value::Object(members) => members.values().for_each(|member| leaves(member, found)),
        Value::String(text) if text.chars().count() >= 5 => drop(found.insert(text.clone())),
        Value::Number(number) if number.to_string().len() >= 5 => drop(found.insert(number.to_string())),
        _ => {}
    }
}

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The lines of a file of `tests/data`.
pub fn lines(file: &str) -> Vec<Value> {
    read(file).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn content_type(media: &str) -> Vec<(String, String)> {
    vec![("content-type".to_owned(), media.to_owned())]
}

/// Every request of every file.
pub fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(calls("segment-docs.ndjson", Format::Segment));
    cases.extend(calls("rudderstack-events.ndjson", Format::RudderStack));
    for file in ["segment-batch.ndjson", "ga4-requests.ndjson", "snowplow-get.ndjson", "snowplow-post.ndjson"] {
        cases.extend(lines(file).iter().map(|line| described(file, line)));
    }
    for file in ["webhook-sources.ndjson", "webhook-adapters.ndjson"] {
        cases.extend(lines(file).iter().map(|line| open(file, line, line["payload"].to_string())));
        cases.push(together(file));
    }
    cases.extend(
        lines("openrtb-privacy.ndjson")
            .iter()
            .map(|line| open("openrtb-privacy.ndjson", line, line["case"].to_string())),
    );
    cases.extend(lines("cloudevents-conformance.ndjson").iter().map(conformance));
    cases.extend(lines("cloudevents-spec.ndjson").iter().map(example));
    for kind in ["logs", "events", "metrics", "trace"] {
        cases.push(telemetry(kind));
    }
    for (file, format) in [
        ("segment-captures.ndjson", Format::Segment),
        ("rudderstack-captures.ndjson", Format::RudderStack),
        ("snowplow-captures.ndjson", Format::Snowplow),
        ("ga4-captures.ndjson", Format::Ga4),
        ("otlp-captures.ndjson", Format::Otlp),
        ("cloudevents-captures.ndjson", Format::CloudEvents),
    ] {
        cases.extend(lines(file).iter().map(|line| captured(line, format)));
    }
    cases
}

/// Single events, each to the path of its type.
fn calls(file: &str, format: Format) -> Vec<Case> {
    let call = |line: &Value| {
        let payload = &line["payload"];
        let kind = ["type", "action"].into_iter().find_map(|name| payload[name].as_str()).unwrap_or("track");
        let kind = kind.to_ascii_lowercase();
        let known = ["identify", "track", "page", "screen", "group", "alias"].contains(&kind.as_str());
        let target = format!("/v1/{}", if known { &kind } else { "track" });
        let (headers, body) = (content_type("application/json"), payload.to_string().into_bytes());
        // Every third of these events names no library of RudderStack's, and its paths are Segment's, too.
        let told = format == Format::RudderStack;
        Sent { row: file, line, method: "POST", target, headers, body, format, told }.case()
    };
    lines(file).iter().map(call).collect()
}

/// Lines that say path, parameters and body themselves.
fn described(file: &str, line: &Value) -> Case {
    let format = match file {
        "ga4-requests.ndjson" => Format::Ga4,
        "segment-batch.ndjson" => Format::Segment,
        _ => Format::Snowplow,
    };
    let parameters = line["params"].as_object().into_iter().flatten();
    let parameters: Vec<_> = parameters.map(|(name, value)| format!("{name}={}", value.as_str().unwrap())).collect();
    let query = line["query"].as_str().map_or(parameters.join("&"), str::to_owned);
    let path = line["path"].as_str().unwrap();
    let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
    let body = if line["body"].is_null() { Vec::new() } else { line["body"].to_string().into_bytes() };
    let headers = content_type(line["content_type"].as_str().unwrap_or("application/json"));
    // A pixel of which the source has no more than the event's own parameters says nothing of its sender.
    let told = file == "snowplow-get.ndjson";
    Sent { row: file, line, method: line["method"].as_str().unwrap(), target, headers, body, format, told }.case()
}

/// Bodies that follow no event specification.
fn open(file: &str, line: &Value, body: String) -> Case {
    let (headers, body) = (content_type("application/json"), body.into_bytes());
    let target = "/webhook".to_owned();
    Sent { row: file, line, method: "POST", target, headers, body, format: Format::Json, told: false }.case()
}

/// The bodies of a file in one request, a line each.
fn together(file: &str) -> Case {
    let lines = lines(file);
    let body: Vec<_> = lines.iter().map(|line| line["payload"].to_string()).collect();
    let row = format!("{file}, as one");
    let mut whole = Sent {
        row: &row,
        line: &Value::Null,
        method: "POST",
        target: "/webhook".to_owned(),
        headers: content_type("application/x-ndjson"),
        body: body.join("\n").into_bytes(),
        format: Format::Ndjson,
        told: false,
    }
    .case();
    whole.personal =
        lines.iter().flat_map(|line| personal_of(line, &[], line["payload"].to_string().as_bytes())).collect();
    whole
}

/// An event of the conformance suite in binary mode, or the raw request of a scenario.
fn conformance(line: &Value) -> Case {
    let row = "cloudevents-conformance.ndjson";
    if let Some(raw) = line["raw_request"].as_str() {
        return request(row, line, raw).unwrap();
    }
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut headers = Vec::new();
    for (name, value) in ["attributes", "extensions"].iter().flat_map(|part| line[part].as_object().unwrap()) {
        let value = text(value).trim_end().to_owned();
        headers.push(match name.as_str() {
            "datacontenttype" => ("content-type".to_owned(), value),
            name => (format!("ce-{name}"), value),
        });
    }
    let body = text(&line["data"]).into_bytes();
    let target = "/events".to_owned();
    Sent { row, line, method: "POST", target, headers, body, format: Format::CloudEvents, told: false }.case()
}

/// An example of the specification: a document, a request, headers and a body. What is of another protocol than HTTP, or
/// has an ellipsis among its headers, is sent as the text it is, which no reader of events may take for one.
fn example(line: &Value) -> Case {
    let row = "cloudevents-spec.ndjson";
    let text = line["text"].as_str().unwrap();
    if let Some(case) = request(row, line, text) {
        return case;
    }
    let media = match text.trim_start().as_bytes().first() {
        Some(b'[') => "application/cloudevents-batch+json",
        Some(b'<') => "application/cloudevents+xml",
        _ => "application/cloudevents+json",
    };
    let (target, headers, body) = ("/events".to_owned(), content_type(media), text.as_bytes().to_vec());
    Sent { row, line, method: "POST", target, headers, body, format: Format::CloudEvents, told: false }.case()
}

/// A request as text, its request line possibly left out.
fn request(row: &str, line: &Value, text: &str) -> Option<Case> {
    let text = text.replace("\r\n", "\n");
    let (head, body) = text.split_once("\n\n")?;
    let (first, rest) = head.split_once('\n')?;
    let (method, target, fields) = match first.split(' ').collect::<Vec<_>>().as_slice() {
        [method, target, "HTTP/1.1"] => (*method, *target, rest),
        _ => ("POST", "/events", head),
    };
    let fields: Option<Vec<_>> = fields.lines().map(field).collect();
    let framing = |name: &str| name.eq_ignore_ascii_case("content-length");
    let headers = fields?.into_iter().filter(|(name, _)| !framing(name)).collect();
    let (target, body) = (target.to_owned(), body.as_bytes().to_vec());
    Some(Sent { row, line, method, target, headers, body, format: Format::CloudEvents, told: false }.case())
}

fn field(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    let token = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    token.then(|| (name.to_owned(), value.trim().to_owned()))
}

/// An example document of the OpenTelemetry protocol, posted where its kind goes.
fn telemetry(kind: &str) -> Case {
    let row = format!("otlp-{kind}.json");
    let target = match kind {
        "metrics" => "/v1/metrics",
        "trace" => "/v1/traces",
        _ => "/v1/logs",
    };
    let (target, headers, body) = (target.to_owned(), content_type("application/json"), read(&row).into_bytes());
    let line = json!({"id": kind});
    Sent { row: &row, line: &line, method: "POST", target, headers, body, format: Format::Otlp, told: false }.case()
}

/// A recorded request, as the server's HTTP library would hand it over: without its framing.
fn captured(line: &Value, format: Format) -> Case {
    let pair = |pair: &Value| (pair[0].as_str().unwrap().to_owned(), pair[1].as_str().unwrap().to_owned());
    let framing =
        |name: &str| ["transfer-encoding", "content-length"].iter().any(|framing| name.eq_ignore_ascii_case(framing));
    let headers = line["headers"].as_array().unwrap().iter().map(pair).filter(|(name, _)| !framing(name)).collect();
    let mut body = STANDARD.decode(line["body_b64"].as_str().unwrap()).unwrap();
    if line["body_framing"] == "chunked" {
        body = dechunked(&body);
    }
    let (method, target) = (line["method"].as_str().unwrap(), line["target"].as_str().unwrap().to_owned());
    let row = line["client"].as_str().unwrap();
    // RudderStack's SDKs for servers call themselves as Segment's do: only a listener of their own can tell them apart.
    let told = matches!(row, "rudder-python" | "rudder-sdk-node");
    Sent { row, line, method, target, headers, body, format, told }.case()
}
