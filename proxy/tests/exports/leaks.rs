//! Nothing of what is not released gets out of an export: unmistakable identifiers and private
//! keys are planted in events and posted tables, and every byte that the process writes or
//! answers is searched for them.
//!
//! No false alarm is possible: a key of one unit is below `min_units`, where no noise decides.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use privet::signing::SigningKey;
use privet_ldp::{Epsilon, Method, NoEntropy, Randomizer};

const DESIGN: &str = include_str!("../../../policy-lib/tests/data/design.yaml");

/// Counts searches by what was searched for, and takes tables of the same kind.
const EXPORTS: &str = r#"
---
apiVersion: privet.dev/v1alpha1
kind: Export
metadata: {name: searches-by-text}
purpose: analytics.reporting.content_performance
from: {contract: storefront.search}
unit: userId
window: {length: 1s, publish_marked: [restart, drained]}
keys: {properties.query: {min_units: 20, keys_max: 200}}
bounds: {keys_per_unit: 1, rows_per_key: 1}
count: {noise: discrete_laplace, epsilon: "2", delta: "0.00001"}
budget: {horizon: 1m, epsilon: "120", delta: "0.0006"}
---
apiVersion: privet.dev/v1alpha1
kind: Export
metadata: {name: posted-by-text}
purpose: analytics.reporting.content_performance
from: {table: posted}
unit: userId
window: {length: 1d}
keys: {properties.query: {min_units: 20, keys_max: 200}}
bounds: {keys_per_unit: 1, rows_per_key: 1}
count: {noise: discrete_laplace, epsilon: "2", delta: "0.00001"}
budget: {horizon: 30d, epsilon: "60", delta: "0.0003"}
---
apiVersion: privet.dev/v1alpha1
kind: Contract
metadata: {name: survey.season}
match: {format: segment, type: track, event: Season Chosen}
fields:
  properties.report: {type: string, category: user.behavior}
---
apiVersion: privet.dev/v1alpha1
kind: Export
metadata: {name: seasons}
purpose: analytics.reporting.content_performance
from: {contract: survey.season}
unit: userId
window: {length: 1s, publish_marked: [restart, drained]}
reports: {field: properties.report, method: unary, answers: 64, epsilon: "1", presence: public}
"#;

/// How every report of that question begins, as bytes: whoever has a report's first nine has seen one.
const REPORT: [u8; 9] = [1, 2, 0, 0, 64, 0, 0x3b, 0x9a, 0xca];

/// What every planted text holds.
const CANARY: &str = "c4n4ry9f31";
/// A number in a table that is refused.
const EXACT: &str = "918273645546";
/// What enough people search for to be published.
const POPULAR: &str = "crossword";

/// Answers every request, and keeps nothing.
fn collector() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
                let mut reader = BufReader::new(&stream);
                while let Some(length) = content_length(&mut reader) {
                    let mut body = vec![0; length];
                    if reader.read_exact(&mut body).is_err() {
                        return;
                    }
                    if (&stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn content_length(reader: &mut BufReader<&TcpStream>) -> Option<usize> {
    let mut length = None;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end().to_ascii_lowercase().split_once(": ") {
            Some(("content-length", value)) => length = value.parse().ok(),
            Some(_) => {}
            None if line.trim().is_empty() => return length,
            None => {}
        }
    }
}

struct Privet {
    root: tempfile::TempDir,
    child: Child,
    events: u16,
    admin: u16,
    metrics: u16,
    answers: Vec<u8>,
}

/// Ports that were free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Privet {
    fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        let [events, admin, metrics] = [free_port(), free_port(), free_port()];
        let policy = DESIGN.replace("http://127.0.0.1:8081", &format!("http://{}", collector()));
        let configuration = format!(
            "apiVersion: privet.dev/v1alpha1\nkind: Config\n\
             listeners: [{{name: events, address: \"127.0.0.1:{events}\", formats: [segment]}}]\n\
             admin: {{address: \"127.0.0.1:{admin}\"}}\nmetrics: {{address: \"127.0.0.1:{metrics}\"}}\n\
             policies: policies\nkeyring: keyring\n\
             log: {{directory: log, anchor_dir: anchor, origin: privet.example.org/leaks, durability: sync}}\n\
             exports: {{directory: exports, publish: {{parquet: true, \
             http: {{url: \"http://127.0.0.1:{}/\", signing_key_file: signing.key, timeout_secs: 1}}}}}}\n\
             drain: {{delay_secs: 0, grace_secs: 5}}\n",
            free_port()
        );
        for (name, text) in [
            ("policies/policy.yaml", format!("{policy}{EXPORTS}").as_str()),
            ("keyring/test.key", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"),
            ("signing.key", &SigningKey::fresh_file("pod").unwrap()),
            ("privet.yaml", &configuration),
            ("tmp/here", ""),
        ] {
            let file = root.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        let written = |name: &str| fs::File::create(root.path().join(name)).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_privet"))
            .args(["--log-level", "debug", "run", "--config"])
            .arg(root.path().join("privet.yaml"))
            .current_dir(root.path().join("tmp"))
            .env("TMPDIR", root.path().join("tmp"))
            .stdin(Stdio::null())
            .stdout(written("stdout"))
            .stderr(written("stderr"))
            .spawn()
            .unwrap();
        let mut privet = Self { root, child, events, admin, metrics, answers: Vec::new() };
        privet.wait("opens", |privet| TcpStream::connect(("127.0.0.1", privet.events)).is_ok());
        privet
    }

    fn wait(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !done(self) {
            let ended = self.child.try_wait().unwrap();
            let late = begun.elapsed() > Duration::from_secs(60);
            assert!(ended.is_none() && !late, "never {what}: {}", String::from_utf8_lossy(&self.file("stderr")));
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn file(&self, name: &str) -> Vec<u8> {
        fs::read(self.root.path().join(name)).unwrap_or_default()
    }

    /// Asks, and keeps the answer to be searched; gives its status.
    fn ask(&mut self, port: u16, head: &str, kind: &str, body: &str) -> u16 {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let length = body.len();
        let framing = format!("host: a\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {length}");
        write!(stream, "{head} HTTP/1.1\r\n{framing}\r\n\r\n{body}").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok();
        let status = String::from_utf8_lossy(&answer).split(' ').nth(1).and_then(|status| status.parse().ok());
        self.answers.extend(answer);
        status.unwrap_or_else(|| panic!("no answer to {head}"))
    }

    fn search(&mut self, user: &str, query: &str) -> u16 {
        let body = format!(
            r#"{{"type":"track","event":"Search Performed","messageId":"m-{user}","userId":"{user}","properties":{{"query":"{query}","results":3,"section":"apps"}},"context":{{"consent":{{"categoryPreferences":{{"Analytics":true}}}}}}}}"#
        );
        self.ask(self.events, "POST /v1/track", "application/json", &body)
    }

    fn answer(&mut self, user: &str, report: &str) -> u16 {
        let body = format!(
            r#"{{"type":"track","event":"Season Chosen","messageId":"r-{user}","userId":"{user}","properties":{{"report":"{report}"}},"context":{{"consent":{{"categoryPreferences":{{"Analytics":true}}}}}}}}"#
        );
        self.ask(self.events, "POST /v1/track", "application/json", &body)
    }

    fn post(&mut self, day: u32, kind: &str, table: &str) -> u16 {
        let head = format!("POST /v1/exports/posted-by-text?window=2026-01-{day:02}T00:00:00Z");
        self.ask(self.admin, &head, kind, table)
    }

    /// Everything that the process wrote, by file; what it was given is left out.
    fn written(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let given = ["policies", "keyring", "privet.yaml", "signing.key"];
        let mut files = Vec::new();
        for entry in fs::read_dir(self.root.path()).unwrap() {
            let path = entry.unwrap().path();
            if !given.contains(&path.file_name().unwrap().to_str().unwrap()) {
                files_in(&path, &mut files);
            }
        }
        files
    }
}

impl Drop for Privet {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn files_in(path: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| files_in(&entry.unwrap().path(), files));
    } else {
        files.push((path.to_owned(), fs::read(path).unwrap()));
    }
}

/// The ways in which a text may be written.
fn disguises(text: &str) -> Vec<Vec<u8>> {
    let mut disguises = vec![text.as_bytes().to_vec(), text.to_uppercase().into_bytes()];
    disguises.push(text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes());
    for shift in 0..3 {
        // The first and the last characters of base64 depend on what stands beside it.
        let encoded = STANDARD_NO_PAD.encode([vec![0; shift], text.as_bytes().to_vec()].concat());
        let from = (shift * 4).div_ceil(3);
        disguises.push(encoded.as_bytes()[from..encoded.len() - 1].to_vec());
    }
    disguises
}

fn holds(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn a_disguised_canary_is_found() {
    for hidden in [format!("x{CANARY}"), STANDARD_NO_PAD.encode(format!("some text, {CANARY}, and more"))] {
        assert!(disguises(CANARY).iter().any(|disguise| holds(hidden.as_bytes(), disguise)), "{hidden}");
    }
    assert!(!disguises(CANARY).iter().any(|disguise| holds(b"c4n4ry of another kind", disguise)));
}

#[test]
fn no_output_of_the_process_holds_an_unreleased_key_or_a_unit() {
    let mut privet = Privet::start();
    for person in 0..60 {
        assert_eq!(privet.search(&format!("{CANARY}-unit-{person}"), POPULAR), 200);
        assert_eq!(privet.search(&format!("{CANARY}-other-{person}"), &format!("{CANARY} {person}")), 200);
    }
    let randomizer = Randomizer::new(Method::Unary, 64, Epsilon::from_decimal("1").unwrap()).unwrap();
    for person in 0..20_u8 {
        let mut coin = |bytes: &mut [u8]| {
            bytes.fill(person * 11);
            Ok::<(), NoEntropy>(())
        };
        let report = randomizer.randomize(u32::from(person), &mut coin).unwrap();
        assert!(report.as_bytes().starts_with(&REPORT));
        assert_eq!(privet.answer(&format!("{CANARY}-device-{person}"), report.text().as_str()), 200);
        assert_eq!(privet.answer(&format!("{CANARY}-device-{person}"), &format!("{CANARY}{person}")), 200);
    }
    let events = privet.events;
    for body in [format!("{{\"userId\":\"{CANARY}\""), CANARY.to_owned(), format!("{{\"type\":\"{CANARY}\"}}")] {
        privet.ask(events, "POST /v1/track", "application/json", &body);
        privet.ask(events, &format!("POST /v1/{CANARY}"), CANARY, &body);
    }
    let row = |query: &str, units: &str, value: &str| {
        format!(r#"{{"properties.query":"{query}","units":{units},"value":{value}}}"#)
    };
    let (many, one) = (row(POPULAR, "500", "600"), row(CANARY, "1", "1"));
    assert_eq!(privet.post(1, "application/json", &format!("[{many},{one}]")), 200);
    assert_eq!(privet.post(2, "application/x-ndjson", &format!("{one}\n{many}\n")), 200);
    assert_eq!(
        privet.post(3, "text/csv", &format!("properties.query,units,value\n{CANARY},1,1\n{POPULAR},500,600\n")),
        200
    );
    let exact = row(CANARY, "500", EXACT);
    for (kind, table) in [
        ("application/json", format!("[{exact},{exact}]")),
        ("application/json", format!("[{exact},{}]", row(CANARY, "1", &format!("\"{CANARY}\"")))),
        ("application/json", format!("[{exact},{{\"{CANARY}\":1}}]")),
        ("application/json", format!("[{exact},")),
        ("application/json", format!("{{\"{CANARY}\":{EXACT}}}")),
        ("application/x-ndjson", format!("{exact}\n{CANARY}\n")),
        ("text/csv", format!("{CANARY},units,value\n{CANARY},1,{EXACT}\n")),
        ("text/csv", format!("properties.query,units,value\n{CANARY},1,{EXACT},7\n")),
    ] {
        assert_eq!(privet.post(4, kind, &table), 400, "{table}");
    }
    assert_eq!(privet.post(4, CANARY, &exact), 415);
    privet.wait("publishes", |privet| {
        let receipts =
            privet.written().into_iter().filter(|(path, _)| path.extension().is_some_and(|end| end == "json"));
        let with_key = receipts.filter(|(_, bytes)| holds(bytes, POPULAR.as_bytes()));
        with_key.filter(|(path, _)| path.to_string_lossy().contains("searches-by-text")).count() >= 1
    });
    privet.wait("publishes estimates", |privet| {
        let counted = |(path, bytes): (PathBuf, Vec<u8>)| {
            path.to_string_lossy().contains("seasons")
                && holds(&bytes, br#""per_report""#)
                && !holds(&bytes, br#""reports":0,"#)
        };
        privet.written().into_iter().any(counted)
    });
    let (admin, metrics) = (privet.admin, privet.metrics);
    for path in ["/readyz", "/livez", "/v1/shadow", "/v1/exports/posted-by-text", "/v1/consent/get"] {
        privet.ask(admin, &format!("GET {path}"), "text/plain", "");
    }
    assert_eq!(privet.ask(metrics, "GET /metrics", "text/plain", ""), 200);
    let pid = privet.child.id().to_string();
    let while_running = privet.written();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    privet.child.wait().unwrap();

    let posted = privet.written().into_iter().filter(|(path, _)| path.to_string_lossy().contains("posted-by-text"));
    assert_eq!(posted.filter(|(path, _)| path.extension().is_some_and(|end| end == "parquet")).count(), 3);
    let mut outputs = while_running;
    outputs.extend(privet.written());
    outputs.push(("the answers".into(), std::mem::take(&mut privet.answers)));
    let searched: usize = outputs.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(searched > 100_000, "only {searched} bytes were searched");
    let begins = URL_SAFE_NO_PAD.encode(REPORT);
    let hexadecimal: String = REPORT.iter().map(|byte| format!("{byte:02x}")).collect();
    let reports = disguises(&begins).into_iter().chain([REPORT.to_vec(), hexadecimal.into_bytes()]);
    for needle in disguises(CANARY).into_iter().chain(disguises(EXACT)).chain(reports) {
        for (path, bytes) in &outputs {
            let name = path.to_string_lossy();
            assert!(!holds(name.as_bytes(), &needle) && !holds(bytes, &needle), "{name} holds a canary");
        }
    }
}
