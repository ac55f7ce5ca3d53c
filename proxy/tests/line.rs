//! The whole line in one process: real sockets, a fake collector, a real log.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::convert::Infallible;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use privet::clock::SystemClock;
use privet::config::Config;
use privet::run::{Foundation, open};
use privet::sidecar::Sidecar;
use privet_audit_log::note::VerifierKey;
use privet_audit_log::verify::{Options, Report, verify};
use serde_json::Value;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// What a collector got: path, headers, body.
type Got = (String, HeaderMap, Bytes);

struct Collector {
    address: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
    task: JoinHandle<()>,
}

impl Collector {
    async fn answering(status: StatusCode) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let got: Arc<Mutex<Vec<Got>>> = Arc::default();
        let kept = got.clone();
        #[expect(clippy::disallowed_methods, reason = "the test aborts it")]
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let kept = kept.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let kept = kept.clone();
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await.unwrap().to_bytes();
                        kept.lock().unwrap().push((head.uri.path().to_owned(), head.headers, body));
                        let answer = Response::builder()
                            .status(status)
                            .header("set-cookie", "sp=1")
                            .header("content-type", "text/plain");
                        Ok::<_, std::convert::Infallible>(answer.body(Full::new(Bytes::from_static(b"ok"))).unwrap())
                    }
                });
                #[expect(clippy::disallowed_methods, reason = "ends with its connection")]
                tokio::spawn(async move {
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await
                        .ok()
                });
            }
        });
        Self { address, got, task }
    }

    fn bodies(&self) -> Vec<Value> {
        self.got.lock().unwrap().iter().map(|(_, _, body)| serde_json::from_slice(body).unwrap()).collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Running {
    directory: tempfile::TempDir,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

impl Running {
    async fn with(policy: &str) -> Self {
        Self::taking("segment, snowplow, cloudevents, json, ndjson", policy).await
    }

    async fn taking(formats: &str, policy: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        for (name, text) in [
            ("policies/policy.yaml", policy),
            ("keyring/test.key", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"),
            (
                "privet.yaml",
                "apiVersion: privet.dev/v1alpha1\nkind: Config\n\
                 listeners: [{name: events, address: \"127.0.0.1:0\", formats: [FORMATS]}]\n\
                 admin: {address: \"127.0.0.1:0\"}\nmetrics: {address: \"127.0.0.1:0\"}\n\
                 policies: policies\nkeyring: keyring\n\
                 log: {directory: log, anchor_dir: anchor, origin: privet.example.org/test, durability: sync}\n\
                 exports: {directory: exports, volume: persistent}\ndrain: {delay_secs: 0, grace_secs: 5}\n",
            ),
        ] {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), text.replace("FORMATS", formats)).unwrap();
        }
        let config = Config::load(&root.join("privet.yaml")).unwrap();
        let foundation = Foundation::lay(&config, Arc::new(SystemClock::default())).unwrap();
        let sidecar = Sidecar::assemble(&config, &foundation).unwrap();
        let sources = sidecar.load(&config);
        let opened = open(&config, foundation, sidecar.line.clone(), sources).await.unwrap();
        let address = opened.addresses()[0];
        let (stop, stopped) = oneshot::channel();
        #[expect(clippy::disallowed_methods, reason = "joined by `stop`")]
        let served = tokio::spawn(async move {
            opened.serve(async { drop(stopped.await) }, async || sidecar.close().await).await.unwrap();
        });
        Self { directory, address, stop, served }
    }

    async fn post(
        &self,
        target: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> (StatusCode, HeaderMap, Bytes) {
        self.send(Method::POST, target, headers, body).await
    }

    async fn send(
        &self,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> (StatusCode, HeaderMap, Bytes) {
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let mut request = Request::builder().method(method).uri(format!("http://{}{target}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = client.request(request.body(Full::new(body.into())).unwrap()).await.unwrap();
        let (head, body) = answer.into_parts();
        (head.status, head.headers, body.collect().await.unwrap().to_bytes())
    }

    /// Announces a body of a length and sends none of it: what is refused by its head is answered at once. Who goes on
    /// sending may find the connection closed before the answer is read.
    async fn announce(&self, target: &str, headers: &[(&str, &str)], length: &str) -> (StatusCode, HeaderMap, Bytes) {
        let unsent = futures_util::stream::pending::<Result<Frame<Bytes>, Infallible>>();
        let client: Client<_, StreamBody<_>> = Client::builder(TokioExecutor::new()).build_http();
        let mut request = Request::post(format!("http://{}{target}", self.address)).header("content-length", length);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = client.request(request.body(StreamBody::new(unsent)).unwrap()).await.unwrap();
        let (head, body) = answer.into_parts();
        (head.status, head.headers, body.collect().await.unwrap().to_bytes())
    }

    async fn stop(self) -> (tempfile::TempDir, Report) {
        self.stop.send(()).unwrap();
        self.served.await.unwrap();
        let report = verified(self.directory.path());
        assert!(report.is_clean(), "{:?}", report.findings);
        (self.directory, report)
    }
}

fn verified(root: &Path) -> Report {
    let keys = VerifierKey::parse_all(&fs::read_to_string(root.join("anchor/vkey")).unwrap()).unwrap();
    let anchor = fs::read_to_string(root.join("anchor/checkpoint")).unwrap();
    verify(&root.join("log"), &Options { keys: Some(keys), anchor: Some(anchor), ..Options::default() }).unwrap()
}

const DESIGN: &str = include_str!("../../policy-lib/tests/data/design.yaml");

fn design(collector: SocketAddr) -> String {
    DESIGN.replace("http://127.0.0.1:8081", &format!("http://{collector}"))
}

fn search(user: &str, agreed: bool) -> String {
    format!(
        r#"{{"type":"track","event":"Search Performed","userId":"{user}","messageId":"m-{user}","timestamp":"2026-11-22T21:50:42.259Z","properties":{{"query":"write to marla.quillfeather@example.com","results":3,"section":"apps","undeclared":"x"}},"context":{{"ip":"203.0.113.7","consent":{{"categoryPreferences":{{"Analytics":{agreed}}}}}}}}}"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_leaves_minimized_and_a_refused_one_not_at_all() {
    let collector = Collector::answering(StatusCode::OK).await;
    let privet = Running::with(&design(collector.address)).await;
    let batch = format!(
        r#"{{"batch":[{},{}],"sentAt":"2026-11-22T21:50:43Z"}}"#,
        search("user-1001", true),
        search("user-1002", false)
    );
    let (status, headers, _) =
        privet.post("/v1/batch", &[("authorization", "Basic d2s6"), ("cookie", "ajs_user_id=user-1001")], batch).await;
    assert_eq!(status, StatusCode::OK);
    assert!(headers.get("set-cookie").is_none(), "a collector's cookie must not pass");
    let (status, _, body) = privet.post("/v1/track", &[], search("user-1003", false)).await;
    assert_eq!(
        (status, body),
        (StatusCode::OK, Bytes::from_static(br#"{"success": true}"#)),
        "a drop looks like success"
    );

    let bodies = collector.bodies();
    assert_eq!(bodies.len(), 1);
    let events = bodies[0]["batch"].as_array().unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["properties"]["query"], "write to <EMAIL_ADDRESS>");
    assert_eq!(events[0]["timestamp"], "2026-11-22T21:00:00.000Z");
    assert_eq!(events[0]["userId"].as_str().unwrap().len(), 24);
    let (_, headers, raw) = collector.got.lock().unwrap()[0].clone();
    assert_eq!(headers["authorization"], "Basic d2s6");
    assert!(headers.get("cookie").is_none());
    let text = String::from_utf8(raw.to_vec()).unwrap();
    for personal in ["user-100", "marla", "203.0.113", "undeclared"] {
        assert!(!text.contains(personal), "{personal} left: {text}");
    }
    let (directory, report) = privet.stop().await;
    assert_eq!((report.totals.requests, report.totals.events, report.totals.kept, report.totals.dropped), (2, 3, 1, 2));
    assert_eq!(report.destinations["collector"].acknowledged, 1);
    no_value_in(directory.path());
}

/// Nothing of an event is in the log, whatever file of it.
fn no_value_in(root: &Path) {
    fn walk(directory: &Path, each: &mut dyn FnMut(&[u8])) {
        for entry in fs::read_dir(directory).unwrap().flatten() {
            if entry.path().is_dir() { walk(&entry.path(), each) } else { each(&fs::read(entry.path()).unwrap()) }
        }
    }
    for place in ["log", "anchor"] {
        walk(&root.join(place), &mut |bytes| {
            for personal in ["user-100", "marla", "203.0.113", "ajs_user_id", "d2s6"] {
                assert!(
                    !bytes.windows(personal.len()).any(|window| window == personal.as_bytes()),
                    "{personal} is in the log"
                );
            }
        });
    }
}

/// The design's policy, for log records: who did it as a pseudonym, and nothing else of the person.
fn telemetry(collector: SocketAddr) -> String {
    let contract = "---\napiVersion: privet.dev/v1alpha1\nkind: Contract\nmetadata: {name: shop.order}\nmatch: {format: otlp, eventName: order_placed}\n";
    let grant = "granted_by:\n  - field: {path: \"attributes[key=agreed].value.boolValue\"}";
    format!("{}{contract}", design(collector).replace("granted_by:", grant))
}

#[tokio::test(flavor = "multi_thread")]
async fn log_records_leave_minimized_in_the_encoding_they_came_in() {
    let collector = Collector::answering(StatusCode::OK).await;
    let privet = Running::taking("segment, otlp, json", &telemetry(collector.address)).await;
    let record = |user: &str, agreed: bool| {
        format!(
            r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"eventName":"order_placed","body":{{"stringValue":"by marla"}},"attributes":[{{"key":"user.id","value":{{"stringValue":"{user}"}}}},{{"key":"agreed","value":{{"boolValue":{agreed}}}}}]}}]}}]}}]}}"#
        )
    };
    let json = [("content-type", "application/json")];
    let protobuf = [("content-type", "application/x-protobuf")];
    assert_eq!(privet.post("/v1/logs", &json, record("user-1001", true)).await.0, StatusCode::OK);
    let (status, headers, body) = privet.post("/v1/logs", &json, record("user-1002", false)).await;
    assert_eq!((status, &body[..]), (StatusCode::OK, &b"{}"[..]), "a drop looks like success");
    assert_eq!(headers["content-type"], "application/json");

    // One record: who agreed, and `order_placed`.
    let agreed = b"\x32\x0c\x0a\x06agreed\x12\x02\x10\x01";
    let user = b"\x32\x16\x0a\x07user.id\x12\x0b\x0a\x09user-1003";
    let fields = [&user[..], agreed, b"\x62\x0corder_placed"].concat();
    let around = |inner: &[u8], tag: u8| [&[tag, u8::try_from(inner.len()).unwrap()], inner].concat();
    let body = around(&around(&around(&fields, 0x12), 0x12), 0x0a);
    assert_eq!(privet.post("/v1/logs", &protobuf, body).await.0, StatusCode::OK);
    let (status, headers, body) = privet.post("/v1/logs", &protobuf, &b"\x0a\x05user-1003"[..]).await;
    assert_eq!((status, headers["content-type"].as_bytes()), (StatusCode::BAD_REQUEST, &b"application/x-protobuf"[..]));
    assert_eq!(body[..2], [0x08, 3], "google.rpc.Status, INVALID_ARGUMENT");
    let (status, _, _) = privet.post("/v1/metrics", &json, "{}").await;
    assert_eq!(status, StatusCode::FORBIDDEN);

    let got = collector.got.lock().unwrap().clone();
    assert_eq!(got.len(), 2);
    for ((path, headers, body), media) in got.iter().zip(["application/json", "application/x-protobuf"]) {
        assert_eq!((path.as_str(), headers["content-type"].to_str().unwrap()), ("/v1/logs", media));
        let text = String::from_utf8_lossy(body);
        assert!(text.contains("order_placed") && text.contains("user.id"), "{text}");
        assert!(!["user-100", "marla", "agreed"].iter().any(|personal| text.contains(personal)), "{text}");
    }
    let (directory, report) = privet.stop().await;
    assert_eq!((report.totals.requests, report.totals.events, report.totals.kept, report.totals.dropped), (5, 3, 2, 1));
    no_value_in(directory.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_in_a_batch_binds_the_person_and_is_remembered() {
    let collector = Collector::answering(StatusCode::OK).await;
    let privet = Running::with(&design(collector.address)).await;
    let batch = format!(r#"{{"batch":[{},{}]}}"#, search("user-1", true), search("user-1", false));
    assert_eq!(privet.post("/v1/batch", &[], batch).await.0, StatusCode::OK);
    assert!(collector.bodies().is_empty(), "the other event of the same person left");
    // Its own time is long before the refusal was received, so this grant is not newer.
    assert_eq!(privet.post("/v1/track", &[], search("user-1", true)).await.0, StatusCode::OK);
    assert!(collector.bodies().is_empty(), "an older grant overruled a refusal");
    assert_eq!(privet.post("/v1/track", &[], search("user-2", true)).await.0, StatusCode::OK);
    assert_eq!(collector.bodies().len(), 1);
    privet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_bodies_are_read_and_broken_ones_refused_without_an_echo() {
    let collector = Collector::answering(StatusCode::OK).await;
    let privet = Running::with(&design(collector.address)).await;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(search("user-1", true).as_bytes()).unwrap();
    let (status, _, _) = privet.post("/v1/track", &[("content-encoding", "gzip")], gzip.finish().unwrap()).await;
    assert_eq!((status, collector.bodies().len()), (StatusCode::OK, 1));
    for broken in
        [r#"{"userId":"user-77","userId":"user-78"}"#, r#"{"userId":"user-77""#, "\u{feff}{}", "[1]", "\"user-77\""]
    {
        let (status, _, body) = privet.post("/v1/track", &[], broken.to_owned()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{broken}");
        assert!(!String::from_utf8_lossy(&body).contains("user-7"), "{body:?}");
    }
    assert_eq!(collector.bodies().len(), 1);
    let (_, report) = privet.stop().await;
    assert_eq!((report.totals.requests, report.totals.events), (6, 1));
    assert_eq!(report.totals.refused["unparseable"], 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_down_is_the_clients_to_retry_and_the_logs_to_tell() {
    // Held and not listened on, so that nobody else listens there meanwhile.
    let held = TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let privet = Running::with(&design(held.local_addr().unwrap())).await;
    let (status, headers, _) = privet.post("/v1/track", &[], search("user-1", true)).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "Segment's clients read Retry-After on 429 only");
    assert!(headers.contains_key("retry-after"));
    let (_, report) = privet.stop().await;
    assert_eq!((report.totals.kept, report.totals.refused["destination_failed"]), (1, 1));
    assert_eq!(report.destinations["collector"].acknowledged, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_policy_nothing_passes() {
    let privet = Running::with("kind: Nonsense\n").await;
    let (status, headers, _) = privet.post("/v1/track", &[], search("user-1", true)).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert!(headers.contains_key("retry-after"));
    privet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_reload_keeps_the_old_policy_and_a_good_one_takes_over() {
    let collector = Collector::answering(StatusCode::OK).await;
    let privet = Running::with(&design(collector.address)).await;
    let file = privet.directory.path().join("policies/policy.yaml");
    fs::write(&file, design(collector.address).replace("action: pseudonymize", "action: pseudonymise")).unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    privet.post("/v1/track", &[], search("user-1", true)).await;
    assert_eq!(collector.bodies().len(), 1, "the old policy still runs");
    fs::write(&file, design(collector.address).replace("{generalize: {time: hour}}", "{generalize: {time: day}}"))
        .unwrap();
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        privet.post("/v1/track", &[], search("user-2", true)).await;
        if collector.bodies().last().unwrap()["timestamp"] == "2026-11-22T00:00:00.000Z" {
            let (_, report) = privet.stop().await;
            assert_eq!(report.policies.len(), 2);
            return;
        }
    }
    panic!("the new policy never took over");
}

#[tokio::test(flavor = "multi_thread")]
async fn gpc_binds_third_parties_and_copies_never_change_the_answer() {
    let (collector, partner) =
        (Collector::answering(StatusCode::OK).await, Collector::answering(StatusCode::INTERNAL_SERVER_ERROR).await);
    let second = format!(
        "\n---\napiVersion: privet.dev/v1alpha1\nkind: Destination\nmetadata: {{name: partner}}\nurl: http://{}\nrecipient: third_party\npurposes: [analytics.reporting.content_performance]\n",
        partner.address
    );
    let privet = Running::with(&(design(collector.address) + &second)).await;
    let auth = ("authorization", "Basic d2s6");
    assert_eq!(privet.post("/v1/track", &[auth, ("sec-gpc", "1")], search("user-1", true)).await.0, StatusCode::OK);
    assert_eq!(privet.post("/v1/track", &[auth], search("user-2", true)).await.0, StatusCode::OK);
    for _ in 0..100 {
        if !partner.got.lock().unwrap().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((collector.bodies().len(), partner.bodies().len()), (2, 1));
    assert!(partner.got.lock().unwrap()[0].1.get("authorization").is_none(), "auth goes only where it was sent");
    let (_, report) = privet.stop().await;
    assert_eq!((report.destinations["partner"].released, report.destinations["partner"].refused), (1, 1));
}

/// Page views leave with their ids as pseudonyms; other kinds have no contract.
const PAGES: &str = "apiVersion: privet.dev/v1alpha1\nkind: Contract\nmetadata: {name: pages}\nmatch: {format: snowplow, e: pv}\n---\napiVersion: privet.dev/v1alpha1\nkind: Purpose\nmetadata: {name: analytics.reporting}\nbasis: legal_obligation\n---\napiVersion: privet.dev/v1alpha1\nkind: Rule\nmetadata: {name: ids}\ndata: [user.unique_id]\nfor: [analytics.reporting]\naction: pseudonymize\n---\napiVersion: privet.dev/v1alpha1\nkind: Destination\nmetadata: {name: collector}\nprimary: true\nrecipient: processor\npurposes: [analytics.reporting]\n";

fn pages(collector: SocketAddr) -> String {
    format!("{PAGES}url: http://{collector}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tracker_s_payloads_and_pixels_leave_minimized_and_are_answered_as_its_collector_does() {
    let collector = Collector::answering(StatusCode::OK).await;
    let privet = Running::with(&pages(collector.address)).await;
    let schema = "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4";
    let page = |kind: &str| format!(r#"{{"e":"{kind}","p":"web","tv":"js-4","uid":"user-1001","ip":"203.0.113.7"}}"#);
    let payload = |events: &str| format!(r#"{{"schema":"{schema}","data":[{events}]}}"#);
    let tp2 = "/com.snowplowanalytics.snowplow/tp2";
    let mixed = payload(&format!("{},{},5", page("pv"), page("se")));
    let (status, _, body) = privet.post(tp2, &[("cookie", "sp=user-1001")], mixed).await;
    assert_eq!((status, &body[..]), (StatusCode::OK, &b"ok"[..]));
    // Nothing of these leaves, and their tracker sees what its collector would have said.
    let (status, _, body) = privet.post(tp2, &[], payload(&page("se"))).await;
    assert_eq!((status, &body[..]), (StatusCode::OK, &b"ok"[..]));
    let (status, headers, body) = privet.send(Method::GET, "/i?e=se&p=web&tv=js&uid=user-1001", &[], "").await;
    assert_eq!((status, body.len()), (StatusCode::OK, 43));
    assert_eq!(headers["content-type"], "image/gif");
    let pixel = "/i?e=pv&p=web&tv=js-4&uid=user-1001&url=https%3A%2F%2Fshop.example%2F%3Fmarla";
    let (status, headers, _) = privet.send(Method::GET, pixel, &[], "").await;
    assert_eq!(
        (status, headers["cache-control"].to_str().unwrap()),
        (StatusCode::OK, "no-cache, no-store, must-revalidate")
    );
    let (status, _, body) = privet.send(Method::HEAD, pixel, &[], "").await;
    assert_eq!((status, body.len()), (StatusCode::OK, 0));
    let (status, _, _) = privet.send(Method::GET, &format!("{pixel}&uid=user-1002"), &[], "").await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "two readers could take one or the other");

    let got = collector.got.lock().unwrap().clone();
    let paths: Vec<_> = got.iter().map(|(path, ..)| path.as_str()).collect();
    assert_eq!(paths, [tp2, "/i", "/i"]);
    let sent: Value = serde_json::from_slice(&got[0].2).unwrap();
    assert_eq!((&sent["schema"], sent["data"].as_array().unwrap().len()), (&Value::from(schema), 1));
    assert_eq!(sent["data"][0].as_object().unwrap().keys().collect::<Vec<_>>(), ["e", "p", "tv", "uid"]);
    for (_, headers, body) in &got {
        let all = format!("{headers:?}{}", String::from_utf8_lossy(body));
        assert!(["user-100", "203.0.113", "marla"].iter().all(|personal| !all.contains(personal)), "{all}");
    }
    let (directory, report) = privet.stop().await;
    assert_eq!((report.totals.requests, report.totals.events, report.totals.kept), (6, 7, 3));
    no_value_in(directory.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tracker_never_sees_413() {
    let collector = Collector::answering(StatusCode::PAYLOAD_TOO_LARGE).await;
    let privet = Running::with(&pages(collector.address)).await;
    let pixel = "/i?e=pv&p=web&tv=js-4";
    assert_eq!(privet.send(Method::GET, pixel, &[], "").await.0, StatusCode::UNPROCESSABLE_ENTITY);
    privet.stop().await;
}

/// The design's policy with a contract of RudderStack's and one of GA4's, and paths that are no events.
fn with_other_formats(collector: SocketAddr) -> String {
    let contracts = "---\napiVersion: privet.dev/v1alpha1\nkind: Contract\nmetadata: {name: shop.view}\n\
        match: {format: rudderstack, type: track}\nfields:\n  properties.sku: {category: system.operations}\n\
        ---\napiVersion: privet.dev/v1alpha1\nkind: Contract\nmetadata: {name: shop.purchase}\n\
        match: {format: ga4, name: purchase}\nfields:\n  params.currency: {category: system.operations}\n";
    let listed = design(collector).replace("primary: true", "primary: true\npaths: [/sourceConfig/]");
    format!("{listed}{contracts}")
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_recorded_as_a_request_without_events_and_come_back() {
    let collector = Collector::answering(StatusCode::OK).await;
    let privet = Running::taking("segment, rudderstack, ga4", &with_other_formats(collector.address)).await;
    let headers = [("authorization", "Basic d2s6"), ("cookie", "rl_user_id=user-1001"), ("user-agent", "x")];
    let (status, answer, body) = privet.send(Method::GET, "/sourceConfig/?uid=user-1001", &headers, "").await;
    assert_eq!((status, body), (StatusCode::OK, Bytes::from_static(b"ok")));
    assert!(answer.get("set-cookie").is_none());
    let (path, headers, _) = collector.got.lock().unwrap()[0].clone();
    assert_eq!((path.as_str(), headers.get("authorization").is_some()), ("/sourceConfig/", true));
    assert!(headers.get("cookie").is_none() && headers.get("user-agent").is_none());
    assert_eq!(privet.send(Method::GET, "/version", &[], "").await.0, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(collector.got.lock().unwrap().len(), 1);
    let (directory, report) = privet.stop().await;
    assert_eq!((report.totals.requests, report.totals.events, report.totals.answered), (2, 0, 1));
    no_value_in(directory.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_a_collector_that_is_down_are_asked_for_again() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let privet = Running::taking("segment, rudderstack, ga4", &with_other_formats(address)).await;
    let (status, headers, _) = privet.send(Method::GET, "/sourceConfig/", &[], "").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(headers.contains_key("retry-after"));
    privet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_binds_the_person_of_an_encoded_header() {
    let collector = Collector::answering(StatusCode::OK).await;
    let privet = Running::taking("segment, rudderstack, ga4", &with_other_formats(collector.address)).await;
    let event = |ids: &str, agreed: bool| {
        format!(
            r#"{{"type":"track",{ids},"properties":{{"sku":"K-1"}},"timestamp":"2026-11-22T21:50:42.259Z","context":{{"consent":{{"categoryPreferences":{{"Analytics":{agreed}}}}}}}}}"#
        )
    };
    let rudder = |id: &'static str| [("anonymousid", id), ("content-type", "application/json")];
    let (status, _, body) = privet.post("/v1/track", &rudder("YW5vbi0x"), event(r#""userId":"u-1""#, false)).await;
    assert_eq!((status, body), (StatusCode::OK, Bytes::from_static(b"ok")), "a drop looks like success");
    for (header, ids) in [("YW5vbi0x", r#""userId":"u-2""#), ("YW5vbi0y", r#""anonymousId":"anon-1""#)] {
        assert_eq!(privet.post("/v1/track", &rudder(header), event(ids, true)).await.0, StatusCode::OK);
        assert!(collector.bodies().is_empty(), "{ids} is the same person");
    }
    assert_eq!(privet.post("/v1/track", &rudder("YW5vbi05"), event(r#""userId":"u-9""#, true)).await.0, StatusCode::OK);
    assert_eq!(collector.bodies().len(), 1);
    let (_, report) = privet.stop().await;
    assert_eq!((report.totals.kept, report.totals.dropped), (1, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_of_ga4_leaves_minimized_in_whatever_coding_it_came() {
    let collector = Collector::answering(StatusCode::NO_CONTENT).await;
    let privet = Running::taking("segment, rudderstack, ga4", &with_other_formats(collector.address)).await;
    let event = r#"{"client_id":"12.34","context":{"consent":{"categoryPreferences":{"Analytics":true}}},"events":[{"name":"purchase","params":{"currency":"EUR","note":"marla"}}]}"#;
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(event.as_bytes()).unwrap();
    let deflated = encoder.finish().unwrap();
    let target = "/mp/collect?api_secret=d2s6&measurement_id=G-1";
    assert_eq!(privet.post(target, &[], event).await.0, StatusCode::NO_CONTENT);
    assert_eq!(privet.post(target, &[("content-encoding", "deflate")], deflated).await.0, StatusCode::NO_CONTENT);
    let bodies = collector.bodies();
    assert_eq!(bodies.len(), 2);
    assert_eq!(bodies[0], bodies[1]);
    assert_eq!(bodies[0]["events"], serde_json::json!([{"name": "purchase", "params": {"currency": "EUR"}}]));
    assert_ne!(bodies[0]["client_id"], "12.34");
    let (directory, _) = privet.stop().await;
    no_value_in(directory.path());
}

/// The length of a body that is larger than any that is read.
const TOO_LARGE: &str = "2097153";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_unread_is_told_in_the_words_of_its_format_to_the_page_that_sent_it() {
    let collector = Collector::answering(StatusCode::OK).await;
    let privet = Running::taking("snowplow, rudderstack, otlp, json", &design(collector.address)).await;
    let origin = [("origin", "https://shop.example")];
    for (target, headers, status, media) in [
        ("/com.snowplowanalytics.snowplow/tp2", &[][..], StatusCode::UNPROCESSABLE_ENTITY, "application/json"),
        ("/com.acme/tracker", &[], StatusCode::UNPROCESSABLE_ENTITY, "application/json"),
        ("/v1/batch", &[("x-rudder-platform", "web")], StatusCode::PAYLOAD_TOO_LARGE, "text/plain; charset=utf-8"),
        (
            "/v1/logs",
            &[("content-type", "application/x-protobuf")],
            StatusCode::PAYLOAD_TOO_LARGE,
            "application/x-protobuf",
        ),
        ("/events", &[], StatusCode::PAYLOAD_TOO_LARGE, "application/json"),
    ] {
        let (said, answer, body) = privet.announce(target, &[headers, &origin].concat(), TOO_LARGE).await;
        assert_eq!((said, answer["content-type"].to_str().unwrap()), (status, media), "{target}");
        assert_eq!(answer["access-control-allow-origin"], "https://shop.example", "{target}");
        assert!(!body.starts_with(br#"{"success""#), "nobody here speaks Segment: {target}");
    }
    let collector = Collector::answering(StatusCode::OK).await;
    let trackers = Running::taking("snowplow", &design(collector.address)).await;
    for (method, target) in
        [(Method::POST, "/a/b/c"), (Method::POST, "/i"), (Method::PUT, "/com.snowplowanalytics.snowplow/tp2")]
    {
        let (status, _, _) = trackers.send(method, target, &[], "{}").await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "trackers would send it again for ever: {target}");
    }
    trackers.stop().await;
    privet.stop().await;
}
