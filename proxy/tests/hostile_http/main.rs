//! HTTP that is broken, or that two parsers read differently, from the corpora of others, over real sockets.
//!
//! What is asked of every connection: each request that reaches the collector is one that the strictest reading of
//! the bytes has too, with the same body, and the sender was told so; the rest is refused or the connection
//! ends. What the collector gets has one framing, written by privet.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod reading;
mod running;

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use reading::Request;
use running::{Collector, Running, exchange};

const LLHTTP: &str = include_str!("../data/http-llhttp.ndjson");
const CODINGS: &str = include_str!("../data/http-te-mutations.ndjson");

/// Connections at once, below every limit of the sidecar.
const AT_ONCE: usize = 200;
/// So large a piece is the whole.
const WHOLE: usize = usize::MAX;

/// What one connection sends. Its requests carry `id` as their `ce-id`, hidden ones `id` and a suffix.
#[derive(Clone)]
struct Case {
    id: String,
    what: String,
    raw: Vec<u8>,
    piece: usize,
}

/// What came of it.
struct Outcome {
    case: Case,
    statuses: Vec<u16>,
    forwarded: Vec<Request>,
}

fn cases(ndjson: &str) -> impl Iterator<Item = Value> {
    ndjson.lines().map(|line| serde_json::from_str(line).unwrap())
}

fn text<'a>(case: &'a Value, name: &str) -> &'a str {
    case[name].as_str().unwrap_or_else(|| panic!("`{name}` of {case}"))
}

/// The headers that make any request a CloudEvent whose data is its body.
fn attributes(id: &str) -> String {
    format!("ce-id: {id}\r\nce-source: /test\r\nce-type: any\r\nce-specversion: 1.0\r\n")
}

/// Sends every case and sorts what reached the collector by the case it came from.
async fn outcomes(cases: Vec<Case>) -> Vec<Outcome> {
    let collector = Collector::start().await;
    let privet = Running::before(&collector).await;
    let (address, room) = (privet.address(), Arc::new(Semaphore::new(AT_ONCE)));
    let mut under_way = JoinSet::new();
    for case in cases {
        let room = Arc::clone(&room);
        under_way.spawn(async move {
            let _room = room.acquire_owned().await.unwrap();
            let answers = exchange(address, &case.raw, case.piece).await;
            (reading::statuses(&answers), case)
        });
    }
    let sent = under_way.join_all().await;
    privet.stop().await;
    let mut forwarded = by_case(&collector);
    let outcomes: Vec<Outcome> = sent
        .into_iter()
        .map(|(statuses, case)| Outcome { forwarded: forwarded.remove(&case.id).unwrap_or_default(), statuses, case })
        .collect();
    assert!(forwarded.is_empty(), "requests that nobody sent: {forwarded:?}");
    outcomes
}

/// What the collector got, each connection read strictly to its last byte.
fn by_case(collector: &Collector) -> BTreeMap<String, Vec<Request>> {
    let mut forwarded: BTreeMap<String, Vec<Request>> = BTreeMap::new();
    for bytes in collector.connections() {
        let (requests, unread) = reading::requests(&bytes);
        assert_eq!(unread, None, "{}", String::from_utf8_lossy(&bytes));
        for request in requests {
            forwarded.entry(case_of(&request)).or_default().push(request);
        }
    }
    forwarded
}

/// The case's part of a `ce-id`.
fn case_of(request: &Request) -> String {
    let id = request.header("ce-id").unwrap_or_else(|| panic!("no one id: {request:?}"));
    String::from_utf8_lossy(id).split('/').next().unwrap_or_default().to_owned()
}

impl Outcome {
    /// What the strict reading of what was sent does not bear out.
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let (honest, _) = reading::requests(&self.case.raw);
        let told = self.statuses.iter().filter(|status| (200..300).contains(*status)).count();
        if told != self.forwarded.len() {
            faults.push(format!("{told} times success for {} requests", self.forwarded.len()));
        }
        if self.statuses.len() > honest.len() + 1 {
            faults.push("more answers than requests".to_owned());
        }
        // They may have come on several connections, so their order is not known.
        let mut left = honest;
        for forwarded in &self.forwarded {
            let same = |one: &Request| one.header("ce-id") == forwarded.header("ce-id") && one.body == forwarded.body;
            match left.iter().position(same) {
                Some(place) => drop(left.swap_remove(place)),
                None => faults.push("the strict reading has no such request".to_owned()),
            }
            faults.extend(framing_faults(forwarded).into_iter().map(str::to_owned));
        }
        faults
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Case { id, what, raw, .. } = &self.case;
        write!(f, "{id} ({what}): {:?} answered {:?}", String::from_utf8_lossy(raw), self.statuses)
    }
}

/// What speaks against this being framed by privet, once: one length, no coding, nothing about the connection.
fn framing_faults(request: &Request) -> Vec<&'static str> {
    let hop = ["transfer-encoding", "te", "trailer", "upgrade", "connection", "keep-alive", "expect"];
    let has = |name: &str| request.headers.iter().any(|(known, _)| known == name);
    let length = request.header("content-length").map_or(0, |text| String::from_utf8_lossy(text).parse().unwrap());
    let mut faults: Vec<&'static str> = hop.into_iter().filter(|name| has(name)).collect();
    if length != request.body.len() {
        faults.push("another length than the body's");
    }
    if request.header("host").is_none() || request.target != "/events" {
        faults.push("another host or target than the destination's");
    }
    faults
}

/// Nothing may be amiss with any of them; says all that is.
fn check(outcomes: &[Outcome]) {
    let faults: Vec<String> = outcomes
        .iter()
        .flat_map(|outcome| outcome.faults().into_iter().map(move |fault| format!("{fault}: {outcome}")))
        .collect();
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), outcomes.len(), faults.join("\n"));
}

/// The shapes of one request of llhttp: as it is, with its head ended, and as an event.
fn shapes_of(case: &Value) -> Vec<(&'static str, Vec<u8>)> {
    let found = STANDARD.decode(text(case, "raw_b64")).unwrap();
    let ended = [&found[..], b"\r\n"].concat();
    let mut shapes = vec![("as found", found.clone()), ("head ended", ended)];
    if let Some(event) = as_event(&found, text(case, "id")) {
        let ended = [&event[..], b"\r\n"].concat();
        let followed = [&ended[..], &whole_event(&format!("{}/next", text(case, "id")))].concat();
        shapes.extend([("event", event), ("event, head ended", ended), ("event, and another", followed)]);
    }
    shapes
}

/// The same request, its first line made one that an event may have: `POST` or `PUT`, to `/events`.
fn as_event(found: &[u8], id: &str) -> Option<Vec<u8>> {
    let start = found.len() - found.trim_ascii_start().len();
    let end = start + found[start..].iter().position(|byte| matches!(byte, b'\r' | b'\n'))?;
    let line = std::str::from_utf8(&found[start..end]).ok()?;
    let (method, rest) = line.split_once(' ')?;
    let version = rest.rsplit(' ').next()?;
    let method = if method == "PUT" { "PUT" } else { "POST" };
    let rest = &found[end..];
    let head = rest.windows(4).position(|window| window == b"\r\n\r\n").map_or(rest, |end| &rest[..end]);
    let typed = head.to_ascii_lowercase().windows(13).any(|window| window == b"content-type:");
    let media = if typed { "" } else { "content-type: application/octet-stream\r\n" };
    let headers = format!("\r\n{media}{}", attributes(id));
    let line = format!("{method} /events {version}{}", headers.trim_end());
    Some([&found[..start], line.as_bytes(), rest].concat())
}

fn whole_event(id: &str) -> Vec<u8> {
    let (attributes, media) = (attributes(id), "content-type: text/plain");
    format!("POST /events HTTP/1.1\r\nhost: a\r\n{attributes}{media}\r\ncontent-length: 4\r\n\r\nmore").into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_case_of_llhttp_is_one_request_or_none() {
    let mut sent = Vec::new();
    for case in cases(LLHTTP) {
        for (shape, raw) in shapes_of(&case) {
            for (cut, piece) in [("whole", WHOLE), ("in pieces", 7)] {
                let id = format!("{}-{}", text(&case, "id"), sent.len());
                let raw = replaced(&raw, text(&case, "id"), &id);
                sent.push(Case { id, what: format!("{}, {shape}, {cut}", text(&case, "title")), raw, piece });
            }
        }
    }
    let outcomes = outcomes(sent).await;
    check(&outcomes);
    let forwarded: usize = outcomes.iter().map(|outcome| outcome.forwarded.len()).sum();
    assert!(forwarded > 100, "almost everything was refused: {forwarded} forwarded");
}

fn replaced(raw: &[u8], from: &str, to: &str) -> Vec<u8> {
    let mut made = Vec::with_capacity(raw.len() + 8);
    let mut rest = raw;
    while let Some(at) = rest.windows(from.len()).position(|window| window == from.as_bytes()) {
        made.extend_from_slice(&rest[..at]);
        made.extend_from_slice(to.as_bytes());
        rest = &rest[at + from.len()..];
    }
    made.extend_from_slice(rest);
    made
}

/// One hidden request in each of the ways that a disagreement about the framing opens.
fn disagreements(coding: &[u8], id: &str) -> Vec<(&'static str, Vec<u8>)> {
    let hidden = whole_event(&format!("{id}/hidden"));
    let head = format!("POST /events HTTP/1.1\r\nhost: a\r\ncontent-type: text/plain\r\n{}", attributes(id));
    let ended = [b"0\r\n\r\n", &hidden[..]].concat();
    let size = format!("{:x}\r\n", hidden.len());
    let chunked = [size.as_bytes(), &hidden, b"\r\n0\r\n\r\n"].concat();
    let length = |bytes: usize| format!("content-length: {bytes}\r\n");
    let request = |fields: &[&[u8]], body: &[u8]| [head.as_bytes(), &fields.concat(), b"\r\n", body].concat();
    let coding = &[coding, b"\r\n"].concat()[..];
    let (covers, short) = (length(ended.len()), length(size.len()));
    vec![
        ("length covers the hidden one, coding last", request(&[covers.as_bytes(), coding], &ended)),
        ("length covers the hidden one, coding first", request(&[coding, covers.as_bytes()], &ended)),
        ("length ends before the hidden one, coding last", request(&[short.as_bytes(), coding], &chunked)),
        ("length ends before the hidden one, coding first", request(&[coding, short.as_bytes()], &chunked)),
        ("no length, hidden one in a chunk", request(&[coding], &chunked)),
        ("no length, hidden one behind the last chunk", request(&[coding], &ended)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_transfer_encoding_hides_a_request() {
    let mut sent = Vec::new();
    for case in cases(CODINGS) {
        // The corpus has one byte for each character.
        let coding: Vec<u8> = text(&case, "te_header").chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
        let name = text(&case, "id");
        for (place, (what, _)) in disagreements(&coding, name).into_iter().enumerate() {
            let id = format!("{name}-{place}");
            let raw = disagreements(&coding, &id).swap_remove(place).1;
            sent.push(Case { id, what: format!("{}, {what}", text(&case, "name")), raw, piece: WHOLE });
        }
    }
    let outcomes = outcomes(sent).await;
    check(&outcomes);
    for outcome in &outcomes {
        let honest = reading::requests(&outcome.case.raw).0;
        assert!(outcome.forwarded.len() < 2 || honest.len() > 1, "two requests from one: {outcome}");
    }
}
