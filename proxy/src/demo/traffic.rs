//! What the demonstration sends: requests that real SDKs sent, and made-up ones
//! where an export needs a crowd. All people in them are fictitious.

use std::fmt::Write as _;
use std::io::Write;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

/// Requests of real SDKs, one a line.
const CAPTURES: &str = include_str!("traffic/captures.ndjson");
/// Requests of RudderStack's and GA4's clients, one a line.
const MORE_CAPTURES: &str = include_str!("traffic/rudderstack-ga4.ndjson");
/// Log records of OpenTelemetry's exporters.
const OTLP_CAPTURES: &str = include_str!("traffic/otlp.ndjson");
/// People who search, install and play.
const CROWD: usize = 600;
/// Films and songs that each of them starts.
const STARTS: usize = 3;
/// Events in one request.
const BATCH: usize = 20;

/// What was sent, and how it was answered.
#[derive(Default)]
pub(super) struct Sent {
    pub(super) requests: u64,
    pub(super) answered: u64,
    pub(super) refused: u64,
    pub(super) preflights: u64,
}

/// Why nothing more can be sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum CannotSend {
    #[error("the sidecar does not answer")]
    NoAnswer(#[from] hyper_util::client::legacy::Error),
    #[error("a request of the demonstration is malformed")]
    Request(#[from] http::Error),
}

struct Letter {
    method: Method,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// Sends everything, one request after the other.
pub(super) async fn send(to: SocketAddr, out: &mut (dyn Write + Send)) -> Result<Sent, CannotSend> {
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let mut sent = Sent::default();
    for (what, letters) in [
        ("requests of real SDKs", captures()),
        ("a crowd that searches (segment)", crowd((0..CROWD).map(search))),
        ("the same that installs", crowd((0..CROWD).map(install))),
        ("the same that plays", crowd((0..CROWD * STARTS).map(|start| play(start / STARTS, start % STARTS)))),
        ("playback events (json, ndjson)", playback()),
        ("a web shop's pages and purchases (rudderstack, ga4)", web_shop()),
        ("checkouts on the web (snowplow)", checkouts()),
        ("orders and page views (otlp)", telemetry()),
        ("a request that cannot be read", vec![unreadable()]),
    ] {
        let before = sent.requests;
        for letter in letters {
            let is_preflight = letter.method == Method::OPTIONS;
            let mut request = Request::builder().method(letter.method).uri(format!("http://{to}{}", letter.target));
            for (name, value) in &letter.headers {
                request = request.header(name, value);
            }
            let answer = client.request(request.body(Full::new(Bytes::from(letter.body)))?).await?;
            let fine = answer.status().is_success();
            // Read to the end, so that the connection serves the next one too.
            answer.into_body().collect().await.ok();
            sent.requests += 1;
            match (is_preflight, fine) {
                (true, _) => sent.preflights += 1,
                (false, true) => sent.answered += 1,
                (false, false) => sent.refused += 1,
            }
        }
        writeln!(out, "  sent {:>4}      {what}", sent.requests - before).ok();
    }
    Ok(sent)
}

fn captures() -> Vec<Letter> {
    [CAPTURES, MORE_CAPTURES, OTLP_CAPTURES]
        .into_iter()
        .flat_map(str::lines)
        .filter_map(|line| letter(&serde_json::from_str(line).ok()?))
        .collect()
}

fn letter(line: &Value) -> Option<Letter> {
    let pair = |pair: &Value| Some((pair.get(0)?.as_str()?.to_owned(), pair.get(1)?.as_str()?.to_owned()));
    Some(Letter {
        method: line.get("method")?.as_str()?.parse().ok()?,
        target: line.get("target")?.as_str()?.to_owned(),
        headers: line.get("headers")?.as_array()?.iter().filter_map(pair).collect(),
        body: STANDARD.decode(line.get("body_b64")?.as_str()?).ok()?,
    })
}

/// Events of a crowd in batches.
fn crowd(events: impl Iterator<Item = String>) -> Vec<Letter> {
    events.collect::<Vec<_>>().chunks(BATCH).map(segment_batch).collect()
}

/// One of these, not all as often.
fn pick<'w>(person: usize, words: &[&'w str]) -> &'w str {
    words.get(person * 7 % 11 % words.len()).copied().unwrap_or_default()
}

fn search(person: usize) -> String {
    let properties = format!(
        r#"{{"query":"knitting patterns for person{person}@example.com","results":{},"section":"{}"}}"#,
        person % 40,
        pick(person, &["apps", "games", "books"])
    );
    track(person, "Search Performed", &format!("demo-{person}"), &properties)
}

fn install(person: usize) -> String {
    let properties = format!(
        r#"{{"app_id":"app-{}","section":"{}","market":"{}"}}"#,
        person % 12,
        pick(person, &["apps", "games"]),
        pick(person / 2, &["africa", "americas", "asia_pacific", "europe", "middle_east"])
    );
    track(person, "App Installed", &format!("install-{person}"), &properties)
}

fn play(person: usize, start: usize) -> String {
    let properties = format!(
        r#"{{"work_id":"work-{start}","kind":"{}"}}"#,
        pick(person, &["film", "episode", "song", "audiobook", "trailer"])
    );
    track(person, "Playback Started", &format!("play-{person}-{start}"), &properties)
}

/// Nine in ten agreed to analytics, one in ten did not.
fn track(person: usize, event: &str, id: &str, properties: &str) -> String {
    let agreed = !person.is_multiple_of(10);
    format!(
        r#"{{"type":"track","event":"{event}","messageId":"{id}","userId":"crowd-{person}","timestamp":"2026-11-22T21:50:42.259Z","properties":{properties},"context":{{"ip":"203.0.113.{}","consent":{{"categoryPreferences":{{"Analytics":{agreed},"Functional":{agreed},"Advertising":false}}}}}}}}"#,
        person % 250
    )
}

fn segment_batch(events: &[String]) -> Letter {
    let body = format!(r#"{{"batch":[{}],"sentAt":"2026-11-22T21:50:43.000Z"}}"#, events.join(","));
    Letter {
        method: Method::POST,
        target: "/v1/batch".to_owned(),
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: body.into_bytes(),
    }
}

/// A few events in the open formats.
fn playback() -> Vec<Letter> {
    let event = |person: usize, agreed: bool| {
        format!(
            r#"{{"type":"playback.started","id":"play-{person}","user":{{"id":"viewer-{person}"}},"title":"Seasonal Forests","position":{person},"consent":{{"analytics":{agreed}}}}}"#
        )
    };
    let mut lines = String::new();
    for person in 0..10 {
        writeln!(lines, "{}", event(person, person % 3 != 0)).ok();
    }
    let to = |media: &str, body: String| Letter {
        method: Method::POST,
        target: "/events".to_owned(),
        headers: vec![("content-type".to_owned(), media.to_owned())],
        body: body.into_bytes(),
    };
    vec![
        to("application/json", format!("[{},{}]", event(20, true), event(21, false))),
        to("application/x-ndjson", lines),
    ]
}

/// What people looked at in a web shop, and what they bought; those who agreed, and some who did not.
fn web_shop() -> Vec<Letter> {
    let views = (0..10).map(|person| {
        let body = format!(
            r#"{{"type":"track","event":"Product Viewed","anonymousId":"visitor-{person}","messageId":"view-{person}","request_ip":"203.0.113.{person}","properties":{{"sku":"K-{person}","price":12.25,"note":"call +1-202-555-0143"}},"context":{{"consent":{{"categoryPreferences":{{"Analytics":{}}}}}}}}}"#,
            person % 5 != 0
        );
        let id = ("AnonymousId".to_owned(), STANDARD.encode(format!("visitor-{person}")));
        let media = ("content-type".to_owned(), "application/json".to_owned());
        Letter { method: Method::POST, target: "/v1/track".to_owned(), headers: vec![id, media], body: body.into_bytes() }
    });
    let purchases = (0..10).map(|person| {
        let choice = if person % 5 == 0 { "denied" } else { "granted" };
        let body = format!(
            r#"{{"client_id":"{person}.1795384253","user_properties":{{"analytics_consent":{{"value":"{choice}"}}}},"events":[{{"name":"purchase","params":{{"currency":"EUR","value":27.5,"transaction_id":"t-{person}","items":[{{"item_id":"K-{person}","item_name":"Kettle","price":18.99}}]}}}}]}}"#
        );
        Letter {
            method: Method::POST,
            target: "/mp/collect?measurement_id=G-DEMO&api_secret=demo".to_owned(),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: body.into_bytes(),
        }
    });
    views.chain(purchases).collect()
}

/// Checkouts as trackers send them: a payload with self-describing JSON as text, and a
/// pixel with the same as base64.
fn checkouts() -> Vec<Letter> {
    let said = |person: usize, agreed: bool| {
        format!(
            r#"{{"schema":"iglu:com.snowplowanalytics.snowplow/unstruct_event/jsonschema/1-0-0","data":{{"schema":"iglu:com.example.store/checkout/jsonschema/1-0-{person}","data":{{"step":"done","total":{}.5,"email":"buyer{person}@example.com","consent":{{"analytics":{agreed}}}}}}}}}"#,
            20 + person
        )
    };
    let event = |person: usize| {
        json!({
            "e": "ue", "p": "web", "tv": "js-4.10.1", "aid": "store", "duid": format!("buyer-{person}"),
            "eid": format!("bff29979-f7a4-42f6-97e1-c86afc6dc2b{person}"), "dtm": "1795384566119", "ip": "203.0.113.41",
            "url": format!("https://store.example/checkout?email=buyer{person}@example.com"),
            "ue_pr": said(person, !person.is_multiple_of(3)),
        })
    };
    let payload = json!({
        "schema": "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4",
        "data": (0..6).map(event).collect::<Vec<_>>(),
    });
    let pixel = format!("/i?e=ue&p=web&tv=js-4.10.1&duid=buyer-7&ue_px={}", URL_SAFE_NO_PAD.encode(said(7, true)));
    vec![
        Letter {
            method: Method::POST,
            target: "/com.snowplowanalytics.snowplow/tp2".to_owned(),
            headers: vec![("content-type".to_owned(), "application/json; charset=UTF-8".to_owned())],
            body: payload.to_string().into_bytes(),
        },
        Letter { method: Method::GET, target: pixel, headers: Vec::new(), body: Vec::new() },
    ]
}

/// Log records of a shop, an order and a page view of each person; every other one agreed.
fn telemetry() -> Vec<Letter> {
    let text = |key: &str, value: &str| format!(r#"{{"key":"{key}","value":{{"stringValue":"{value}"}}}}"#);
    let record = |person: usize, name: &str, more: &str| {
        let agreed = person.is_multiple_of(2);
        format!(
            r#"{{"timeUnixNano":"1795384246423000000","eventName":"{name}",{more}"attributes":[{},{},{{"key":"consent.analytics","value":{{"boolValue":{agreed}}}}}]}}"#,
            text("enduser.id", &format!("shopper-{person}")),
            text("client.address", &format!("203.0.113.{person}"))
        )
    };
    let records = (0..5).flat_map(|person| {
        let url = text("url", &format!("https://shop.example/kettles?for=shopper-{person}"));
        let page = format!(r#""body":{{"kvlistValue":{{"values":[{url}]}}}},"#);
        let order = format!(r#""body":{{"stringValue":"order placed by shopper-{person}@example.com"}},"#);
        [record(person, "page_view", &page), record(person, "order_placed", &order)]
    });
    let body = format!(
        r#"{{"resourceLogs":[{{"resource":{{"attributes":[{}]}},"scopeLogs":[{{"scope":{{"name":"events"}},"logRecords":[{}]}}]}}]}}"#,
        text("service.name", "shop-web"),
        records.collect::<Vec<_>>().join(",")
    );
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    vec![Letter { method: Method::POST, target: "/v1/logs".to_owned(), headers, body: body.into_bytes() }]
}

/// A body with one member twice: two readers could read it in two ways.
fn unreadable() -> Letter {
    let body = br#"{"type":"track","event":"Search Performed","userId":"crowd-1","userId":"crowd-2"}"#;
    Letter {
        method: Method::POST,
        target: "/v1/track".to_owned(),
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: body.to_vec(),
    }
}
