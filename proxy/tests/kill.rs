//! The sidecar is killed in the middle of a load, again and again: whatever a
//! client saw acknowledged is in the log, the log verifies, and the budget
//! ledger has spent at least what was published.
//!
//! `PRIVET_KILLS` sets how often; the default is the 20 of SPECIFICATION.md.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use privet_audit_log::note::VerifierKey;
use privet_audit_log::verify::{Options, Report, verify};

const EVENTS_A_REQUEST: u64 = 5;
const SENDERS: usize = 4;

/// Answers every request with 200 and counts the events it was sent.
struct Collector {
    address: SocketAddr,
    events: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (events, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, stopping) = (events.clone(), stop.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopping.load(Ordering::Relaxed) {
                    return;
                }
                let counted = counted.clone();
                thread::spawn(move || serve(stream, &counted));
            }
        });
        Self { address, events, stop }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        TcpStream::connect(self.address).ok();
    }
}

fn serve(stream: TcpStream, events: &AtomicU64) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    while let Some(body) = read_message(&mut reader) {
        let sent = body.windows(10).filter(|window| *window == b"\"messageId").count();
        events.fetch_add(sent as u64, Ordering::Relaxed);
        if writer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_err() {
            return;
        }
    }
}

/// The body of the next HTTP message; `None` when the connection ends.
fn read_message(reader: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let (mut length, mut line) = (0, String::new());
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let header = line.trim_end().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(body)
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Policies, a key and a configuration; the export closes a window each second.
fn lay_out(root: &Path, collector: SocketAddr, port: u16) {
    let policy = include_str!("../../policy-lib/tests/data/design.yaml")
        .replace("http://127.0.0.1:8081", &format!("http://{collector}"))
        .replace("window: {length: 1h}", "window: {length: 1s, publish_marked: [restart]}")
        .replace("budget: {horizon: 30d, epsilon: \"72\"}", "budget: {horizon: 1h, epsilon: \"1000\"}");
    fs::create_dir_all(root.join("policies")).unwrap();
    fs::write(root.join("policies/policy.yaml"), policy).unwrap();
    fs::create_dir_all(root.join("keyring")).unwrap();
    fs::write(root.join("keyring/test.key"), "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n").unwrap();
    let config = format!(
        "apiVersion: privet.dev/v1alpha1\nkind: Config\n\
         listeners: [{{name: events, address: \"127.0.0.1:{port}\", formats: [segment]}}]\n\
         admin: {{address: \"127.0.0.1:0\"}}\nmetrics: {{address: \"127.0.0.1:0\"}}\n\
         policies: policies\nkeyring: keyring\n\
         log: {{directory: log, anchor_dir: anchor, origin: privet.example.org/kill, durability: sync}}\n\
         exports: {{directory: exports, volume: persistent}}\ndrain: {{delay_secs: 0, grace_secs: 5}}\n"
    );
    fs::write(root.join("privet.yaml"), config).unwrap();
}

fn start(root: &Path, port: u16) -> Child {
    let errors = fs::OpenOptions::new().create(true).append(true).open(root.join("stderr")).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_privet"))
        .args(["run", "--config"])
        .arg(root.join("privet.yaml"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(errors)
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        let ended = child.try_wait().unwrap();
        let said = || fs::read_to_string(root.join("stderr")).unwrap_or_default();
        assert!(ended.is_none() && begun.elapsed() < Duration::from_secs(60), "privet does not start: {}", said());
        thread::sleep(Duration::from_millis(20));
    }
    child
}

/// Sends batches until told to stop; counts what was sent and what was acknowledged.
fn send(port: u16, sender: usize, stop: &AtomicBool, sent: &AtomicU64, acknowledged: &AtomicU64) {
    let mut number = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) else {
            thread::sleep(Duration::from_millis(10));
            continue;
        };
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut writer = stream;
        while !stop.load(Ordering::Relaxed) {
            let events: Vec<String> = (0..EVENTS_A_REQUEST).map(|event| event_of(sender, number, event)).collect();
            number += 1;
            let body = format!("{{\"batch\":[{}]}}", events.join(","));
            let head = format!(
                "POST /v1/batch HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            sent.fetch_add(EVENTS_A_REQUEST, Ordering::Relaxed);
            if writer.write_all(head.as_bytes()).and_then(|()| writer.write_all(body.as_bytes())).is_err() {
                break;
            }
            let mut status = String::new();
            if reader.read_line(&mut status).is_err() || !status.starts_with("HTTP/1.1 200") {
                break;
            }
            if read_message(&mut reader).is_none() {
                break;
            }
            acknowledged.fetch_add(EVENTS_A_REQUEST, Ordering::Relaxed);
        }
    }
}

/// Four people in five agreed.
fn event_of(sender: usize, number: u64, event: u64) -> String {
    let agreed = event != 0;
    let person = if agreed { number % 50 } else { 50 };
    format!(
        r#"{{"type":"track","event":"Search Performed","messageId":"m-{sender}-{number}-{event}","userId":"u-{sender}-{}","properties":{{"query":"q","results":1,"section":"apps"}},"context":{{"consent":{{"categoryPreferences":{{"Analytics":{agreed}}}}}}}}}"#,
        person
    )
}

fn check(root: &Path) -> Report {
    let keys = VerifierKey::parse_all(&fs::read_to_string(root.join("anchor/vkey")).unwrap()).unwrap();
    let anchor = fs::read_to_string(root.join("anchor/checkpoint")).unwrap();
    verify(&root.join("log"), &Options { keys: Some(keys), anchor: Some(anchor), ..Options::default() }).unwrap()
}

fn receipts(directory: &Path) -> usize {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    entries
        .flatten()
        .map(|entry| entry.path())
        .map(|path| {
            if path.is_dir() { receipts(&path) } else { usize::from(path.extension().is_some_and(|ext| ext == "json")) }
        })
        .sum()
}

#[test]
fn killed_in_the_middle_of_a_load_nothing_acknowledged_is_missing() {
    let kills: usize = std::env::var("PRIVET_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(20);
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let (collector, port) = (Collector::start(), free_port());
    lay_out(root, collector.address, port);
    let (stop, sent, acknowledged) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut child = start(root, port);
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let (stop, sent, acknowledged) = (stop.clone(), sent.clone(), acknowledged.clone());
            thread::spawn(move || send(port, sender, &stop, &sent, &acknowledged))
        })
        .collect();
    for kill in 0..kills {
        // Different moments of windows, leaves and commits.
        thread::sleep(Duration::from_millis(250 + (kill as u64 * 137) % 900));
        child.kill().unwrap();
        child.wait().unwrap();
        child = start(root, port);
    }
    thread::sleep(Duration::from_millis(1500));
    stop.store(true, Ordering::Relaxed);
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    let terminated = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(terminated.success());
    assert!(child.wait().unwrap().success(), "{}", fs::read_to_string(root.join("stderr")).unwrap());

    let report = check(root);
    let (sent, acknowledged, received) =
        (sent.load(Ordering::Relaxed), acknowledged.load(Ordering::Relaxed), collector.events.load(Ordering::Relaxed));
    let decided = report.totals.kept + report.totals.dropped;
    println!(
        "{kills} kills: {sent} events sent, {acknowledged} acknowledged, {decided} in the log ({} kept), {received} at the collector, {} receipts, {} charges",
        report.totals.kept,
        receipts(&root.join("exports")),
        report.budgets.iter().map(|budget| budget.charges).sum::<u64>()
    );
    assert!(report.is_clean(), "{:?}", report.findings);
    assert!(acknowledged > 0, "nothing was acknowledged, so nothing was tested");
    assert!(decided >= acknowledged, "{acknowledged} acknowledged, {decided} in the log");
    assert!(received > 0, "nothing was forwarded, so nothing was tested");
    assert!(report.totals.kept >= received, "{received} received, {} recorded", report.totals.kept);
    let published = receipts(&root.join("exports"));
    let charges: u64 = report.budgets.iter().map(|budget| budget.charges).sum();
    assert!(published > 0, "nothing was published, so nothing was tested");
    assert!(charges >= published as u64, "{published} receipts, {charges} charges");
}
