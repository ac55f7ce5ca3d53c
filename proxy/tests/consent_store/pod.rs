//! A sidecar in this process with a collector that counts, and what a test asks of both.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use privet::clock::SystemClock;
use privet::config::Config;
use privet::run::{Foundation, open};
use privet::sidecar::Sidecar;
use serde_json::{Value, json};
use tokio::sync::oneshot;

const DESIGN: &str = include_str!("../../../policy-lib/tests/data/design.yaml");
pub const PURPOSE: &str = "analytics.reporting.content_performance";
pub const TOKEN: &str = "a-token-for-these-tests-alone";

/// Counts the requests that it is sent.
struct Collector {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests: Arc<AtomicUsize> = Arc::default();
        let counted = requests.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counted = counted.clone();
                thread::spawn(move || {
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    let mut writer = stream;
                    while read_message(&mut reader).is_some() {
                        counted.fetch_add(1, Ordering::SeqCst);
                        if writer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_err() {
                            break;
                        }
                    }
                });
            }
        });
        Self { address, requests }
    }
}

/// The next HTTP message's body; `None` when the connection ends.
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

pub fn talk(address: SocketAddr, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

fn post(listener: SocketAddr, event: &str) -> (u16, String) {
    let head = "POST /v1/track HTTP/1.1\r\nhost: privet\r\nconnection: close\r\nauthorization: Basic d2s6";
    talk(listener, &format!("{head}\r\ncontent-length: {}\r\n\r\n{event}", event.len()))
}

/// A directory with everything a sidecar needs.
pub struct Place {
    directory: tempfile::TempDir,
    collector: Collector,
}

impl Place {
    /// `consent` is that section of the configuration, without its token.
    pub fn with(consent: &str, keyring: bool) -> Self {
        let place = Self { directory: tempfile::tempdir().unwrap(), collector: Collector::start() };
        fs::create_dir(place.path("keyring")).unwrap();
        fs::write(place.path("keyring/test.key"), "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n").unwrap();
        fs::create_dir(place.path("policies")).unwrap();
        let (policy, _) = DESIGN.rsplit_once("---").unwrap();
        let policy = policy.replace("http://127.0.0.1:8081", &format!("http://{}", place.collector.address));
        fs::write(place.path("policies/policy.yaml"), policy).unwrap();
        fs::write(place.path("token"), format!("{TOKEN}\n")).unwrap();
        place.configure(consent, keyring);
        place
    }

    pub fn configure(&self, consent: &str, keyring: bool) {
        let keyring = if keyring { "keyring: keyring\n" } else { "" };
        let config = format!(
            "apiVersion: privet.dev/v1alpha1\nkind: Config\nlisteners:\n\
             - {{name: eu, address: \"127.0.0.1:0\", formats: [segment]}}\n\
             - {{name: us, address: \"127.0.0.1:0\", formats: [segment], jurisdiction: {{is: us}}}}\n\
             admin: {{address: \"127.0.0.1:0\"}}\nmetrics: {{address: \"127.0.0.1:0\"}}\n\
             policies: policies\n{keyring}drain: {{delay_secs: 0, grace_secs: 5}}\n\
             consent:\n  token_file: token\n{consent}"
        );
        fs::write(self.path("privet.yaml"), config).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn start(&self) -> Pod {
        Pod::start(&self.path("privet.yaml"), self.collector.requests.clone())
    }
}

/// A running sidecar.
pub struct Pod {
    eu: SocketAddr,
    us: SocketAddr,
    pub admin: SocketAddr,
    metrics: SocketAddr,
    reached: Arc<AtomicUsize>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// What a person says in an event.
#[derive(Clone, Copy)]
pub enum Says {
    Nothing,
    Yes,
    No,
}

impl Pod {
    fn start(config: &Path, reached: Arc<AtomicUsize>) -> Self {
        let config = Config::load(config).unwrap();
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async move {
                let foundation = Foundation::lay(&config, Arc::new(SystemClock::default())).unwrap();
                let (admin, metrics) = (foundation.admin_address, foundation.metrics_address);
                let sidecar = Sidecar::assemble(&config, &foundation).unwrap();
                let sources = sidecar.load(&config);
                sidecar.settle().await;
                let opened = open(&config, foundation, sidecar.line.clone(), sources).await.unwrap();
                tell.send((opened.addresses(), admin, metrics)).unwrap();
                opened.serve(async { drop(stopped.await) }, async || sidecar.close().await).await.unwrap();
            });
        });
        let (events, admin, metrics) = told.recv_timeout(Duration::from_secs(30)).unwrap();
        Self { eu: events[0], us: events[1], admin, metrics, reached, stop: Some(stop), thread: Some(thread) }
    }

    /// Whether an event of a subject reaches the collector, where silence permits and where it does not.
    pub fn passes_us(&self, subject: &str, says: Says) -> bool {
        self.passes(self.us, subject, says)
    }

    pub fn passes_eu(&self, subject: &str, says: Says) -> bool {
        self.passes(self.eu, subject, says)
    }

    fn passes(&self, listener: SocketAddr, subject: &str, says: Says) -> bool {
        let before = self.reached.load(Ordering::SeqCst);
        let mut event = json!({
            "type": "track", "event": "Search Performed", "userId": subject, "messageId": "m-1",
            "timestamp": SystemClockText::now(), "properties": {"query": "knitting", "results": 3, "section": "apps"},
        });
        if let Says::Yes | Says::No = says {
            let given = matches!(says, Says::Yes);
            event["context"] = json!({"consent": {"categoryPreferences": {"Analytics": given}}});
        }
        assert_eq!(post(listener, &event.to_string()).0, 200, "the client sees success");
        self.reached.load(Ordering::SeqCst) > before
    }

    /// Sends an event where silence permits, as it is.
    pub fn post_us(&self, event: &str) -> (u16, String) {
        post(self.us, event)
    }

    /// Asks the desk.
    pub fn ask(&self, path: &str, body: &Value) -> (u16, Value) {
        self.ask_with(path, &body.to_string(), &format!("authorization: Bearer {TOKEN}\r\n"))
    }

    pub fn ask_with(&self, path: &str, body: &str, headers: &str) -> (u16, Value) {
        let head = format!("POST {path} HTTP/1.1\r\nhost: privet\r\nconnection: close\r\n{headers}");
        let (status, answer) = talk(self.admin, &format!("{head}content-length: {}\r\n\r\n{body}", body.len()));
        (status, serde_json::from_str(&answer).unwrap_or(Value::String(answer)))
    }

    pub fn readyz(&self) -> String {
        talk(self.admin, "GET /readyz HTTP/1.1\r\nhost: privet\r\nconnection: close\r\n\r\n").1
    }

    pub fn metric(&self, series: &str) -> f64 {
        let text = talk(self.metrics, "GET /metrics HTTP/1.1\r\nhost: privet\r\nconnection: close\r\n\r\n").1;
        let line = text.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
        line.unwrap_or_else(|| panic!("no {series}")).rsplit_once(' ').unwrap().1.parse().unwrap()
    }

    /// Waits until something holds, and tells how long that took.
    pub fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) -> Duration {
        let begun = Instant::now();
        while !holds(self) {
            assert!(begun.elapsed() < Duration::from_secs(30), "never: {what}\n{}", self.readyz());
            thread::sleep(Duration::from_millis(10));
        }
        begun.elapsed()
    }

    pub fn until_heard(&self) {
        self.until("the store is heard", |pod| pod.metric("privet_consent_store_heard") == 1.0);
    }

    pub fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        self.thread.take().unwrap().join().unwrap();
    }
}

/// The time as events have it.
struct SystemClockText;

impl SystemClockText {
    fn now() -> String {
        use privet::clock::Clock as _;
        SystemClock::default().now().to_string()
    }
}

/// Runs a command of privet with something on its standard input.
pub fn privet(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_privet"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that stops at its arguments reads nothing.
    child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
    child.wait_with_output().unwrap()
}
