//! A privet process, the collectors around it, and all that comes out of it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use privet_policy::format::Format;

use crate::outputs::{Output, files};
use crate::plant::{TAINT, Tainted};

const FORMATS: [(Format, &str); 8] = [
    (Format::Segment, "segment"),
    (Format::RudderStack, "rudderstack"),
    (Format::Snowplow, "snowplow"),
    (Format::Ga4, "ga4"),
    (Format::CloudEvents, "cloudevents"),
    (Format::Otlp, "otlp"),
    (Format::Json, "json"),
    (Format::Ndjson, "ndjson"),
];
/// What is asked of the admin address beside the log itself.
const PAGES: [&str; 10] = [
    "/readyz",
    "/livez",
    "/v1/shadow",
    "/console",
    "/v1/console/summary",
    "/v1/console/exposure",
    "/v1/console/diff",
    "/v1/console/exports",
    "/v1/log",
    "/v1/log/1/checkpoint",
];
const READY_WITHIN: Duration = Duration::from_secs(60);

/// An HTTP message: what stands before the body, and the body.
pub struct Message {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

/// Takes every request, keeps it, and answers success.
struct Sink {
    address: SocketAddr,
    kept: Arc<Mutex<Vec<Message>>>,
}

impl Sink {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let kept: Arc<Mutex<Vec<Message>>> = Arc::default();
        let keep = Arc::clone(&kept);
        // Ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let keep = Arc::clone(&keep);
                thread::spawn(move || {
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    let mut writer = stream;
                    while let Some(message) = read(&mut reader) {
                        keep.lock().unwrap().push(message);
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok";
                        if writer.write_all(answer).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, kept }
    }

    fn bodies(&self) -> Vec<Vec<u8>> {
        self.kept.lock().unwrap().iter().map(|message| message.body.clone()).collect()
    }
}

/// The next message of a connection; `None` at its end.
fn read(reader: &mut BufReader<TcpStream>) -> Option<Message> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let lower = head.to_ascii_lowercase();
    let value = |name: &str| lower.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned());
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    let mut body = Vec::new();
    if value("transfer-encoding:").is_some_and(|coding| coding == "chunked") {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size).ok()?;
            let size = usize::from_str_radix(size.trim(), 16).ok()?;
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk).ok()?;
            if size == 0 {
                break;
            }
            body.extend_from_slice(&chunk[..size]);
        }
    } else if !matches!(status, 204 | 304) {
        body = vec![0; value("content-length:").and_then(|length| length.parse().ok()).unwrap_or(0)];
        reader.read_exact(&mut body).ok()?;
    }
    Some(Message { status, head, body })
}

pub struct Privet {
    directory: tempfile::TempDir,
    child: Child,
    said: Vec<thread::JoinHandle<Vec<u8>>>,
    collector: Sink,
    telemetry: Sink,
    ports: Vec<u16>,
    admin: SocketAddr,
    metrics: SocketAddr,
    connections: Vec<Option<BufReader<TcpStream>>>,
    outputs: Vec<Output>,
    events: usize,
}

impl Privet {
    /// Starts the process with a listener for each format, the shipped policies, exports, telemetry with every request traced,
    /// and the most that it can say on its streams.
    pub fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (collector, telemetry) = (Sink::start(), Sink::start());
        let ports: Vec<u16> = (0..FORMATS.len() + 2).map(|_| free_port()).collect();
        let at = |number: usize| SocketAddr::from(([127, 0, 0, 1], ports[FORMATS.len() + number]));
        let (admin, metrics) = (at(0), at(1));
        policies(&directory.path().join("policies"), collector.address);
        std::fs::create_dir(directory.path().join("keyring")).unwrap();
        std::fs::write(directory.path().join("keyring/test.key"), "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n").unwrap();
        let listeners: Vec<String> = FORMATS
            .iter()
            .zip(&ports)
            .map(|((_, name), port)| format!("{{name: {name}, address: '127.0.0.1:{port}', formats: [{name}]}}"))
            .collect();
        let config = format!(
            "apiVersion: privet.dev/v1alpha1\nkind: Config\nlisteners: [{}]\nadmin: {{address: '{admin}'}}\n\
             metrics: {{address: '{metrics}'}}\npolicies: policies\nkeyring: keyring\n\
             log: {{directory: log, anchor_dir: anchor, durability: lease}}\n\
             exports: {{directory: exports, volume: persistent}}\nbypass: {{}}\n\
             telemetry: {{otlp: {{endpoint: 'http://{}', interval_secs: 5, traces_one_in: 1}}}}\n\
             drain: {{grace_secs: 10}}\n",
            listeners.join(", "),
            telemetry.address
        );
        let file = directory.path().join("privet.yaml");
        std::fs::write(&file, config).unwrap();
        let mut child = Command::new(binary())
            .args(["run", "--log-level", "debug", "--config"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = vec![drained(child.stdout.take().unwrap()), drained(child.stderr.take().unwrap())];
        let connections = FORMATS.iter().map(|_| None).collect();
        let outputs = Vec::new();
        let mut privet = Self {
            directory,
            child,
            said,
            collector,
            telemetry,
            ports,
            admin,
            metrics,
            connections,
            outputs,
            events: 0,
        };
        privet.until_ready();
        privet
    }

    fn until_ready(&mut self) {
        let begun = Instant::now();
        while get(self.admin, "/readyz").is_none_or(|answer| answer.status != 200) {
            assert!(self.child.try_wait().unwrap().is_none(), "privet ended at its start");
            assert!(begun.elapsed() < READY_WITHIN, "privet was not ready");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Sends one request; its answer is one of the outputs.
    pub fn send(&mut self, format: Format, request: &Tainted) -> Message {
        let at = FORMATS.iter().position(|(known, _)| *known == format).unwrap();
        let mut bytes = format!("{} {} HTTP/1.1\r\nhost: privet.test\r\n", request.method, request.target).into_bytes();
        for (name, value) in &request.headers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", request.body.len()).as_bytes());
        bytes.extend_from_slice(&request.body);
        // A refusal may end the connection: then the request goes out once more, on a new one.
        let answer = self.exchange(at, &bytes).or_else(|| self.exchange(at, &bytes)).expect("no answer");
        if self.outputs.len() < 400_000 {
            self.outputs.push(Output::new("an answer", [answer.head.as_bytes(), &answer.body].concat()));
        }
        if self.outputs.len().is_multiple_of(500) {
            self.look();
        }
        answer
    }

    fn exchange(&mut self, at: usize, bytes: &[u8]) -> Option<Message> {
        let mut reader = match self.connections[at].take() {
            Some(reader) => reader,
            None => {
                let stream = TcpStream::connect(("127.0.0.1", self.ports[at])).unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                stream.set_nodelay(true).unwrap();
                BufReader::new(stream)
            }
        };
        // What cannot be written any more was answered already.
        reader.get_mut().write_all(bytes).ok();
        let answer = read(&mut reader)?;
        if !answer.head.to_ascii_lowercase().contains("connection: close") {
            self.connections[at] = Some(reader);
        }
        Some(answer)
    }

    /// Reads metrics and pages.
    fn look(&mut self) {
        let metrics = get(self.metrics, "/metrics").unwrap();
        let text = String::from_utf8(metrics.body).unwrap();
        let counts = text.lines().filter(|line| line.starts_with("privet_events_total{"));
        self.events = counts.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum();
        self.outputs.push(Output::new("/metrics", text));
        for page in PAGES {
            let answer = get(self.admin, page).unwrap();
            self.outputs.push(Output::new(page, [answer.head.as_bytes(), &answer.body].concat()));
        }
        // What somebody mistakes for an endpoint is not answered with their words.
        for wrong in ["/v1/exports/", "/v1/consent/get/", "/v1/log/", "/console/", "/"] {
            let answer = get(self.admin, &format!("{wrong}{TAINT}?{TAINT}={TAINT}")).unwrap();
            self.outputs.push(Output::new("a page that is not there", [answer.head.as_bytes(), &answer.body].concat()));
        }
    }

    /// Events that were decided.
    pub const fn events_in(&self) -> usize {
        self.events
    }

    /// The bodies that collectors got.
    pub fn forwarded(&self) -> Vec<Vec<u8>> {
        self.collector.bodies()
    }

    /// Ends the process, and gives all that came out of it.
    pub fn end(&mut self) -> Vec<Output> {
        self.look();
        self.connections.clear();
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let ended = self.child.wait().unwrap();
        assert!(ended.success(), "privet ended badly: {ended}");
        let mut outputs = std::mem::take(&mut self.outputs);
        for (name, said) in ["stdout", "stderr"].into_iter().zip(self.said.drain(..)) {
            outputs.push(Output::new(name, said.join().unwrap()));
        }
        for message in self.telemetry.kept.lock().unwrap().iter() {
            let place = message.head.split(' ').nth(1).unwrap_or_default();
            outputs.push(Output::new(place, [message.head.as_bytes(), &message.body].concat()));
        }
        for kept in ["log", "anchor", "exports", "consent"] {
            outputs.extend(files(&self.directory.path().join(kept)));
        }
        outputs
    }
}

impl Drop for Privet {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn get(address: SocketAddr, path: &str) -> Option<Message> {
    let stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut reader = BufReader::new(stream);
    write!(reader.get_mut(), "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").ok()?;
    read(&mut reader)
}

fn drained(mut stream: impl std::io::Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).ok();
        bytes
    })
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The shipped policies, whose collector is ours.
fn policies(to: &std::path::Path, collector: SocketAddr) {
    let shipped = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies");
    let mut open = vec![PathBuf::new()];
    while let Some(below) = open.pop() {
        std::fs::create_dir_all(to.join(&below)).unwrap();
        for entry in std::fs::read_dir(shipped.join(&below)).unwrap() {
            let name = below.join(entry.unwrap().file_name());
            if shipped.join(&name).is_dir() {
                open.push(name);
            } else {
                let text = std::fs::read_to_string(shipped.join(&name)).unwrap();
                let text = text.replace("http://127.0.0.1:8081", &format!("http://{collector}"));
                std::fs::write(to.join(&name), text).unwrap();
            }
        }
    }
}

/// `privet`, built where these tests are: `PRIVET_BIN`, or beside this test's own directory.
fn binary() -> PathBuf {
    if let Some(given) = std::env::var_os("PRIVET_BIN") {
        return given.into();
    }
    let built = Command::new(env!("CARGO")).args(["build", "--quiet", "-p", "privet"]).status().unwrap();
    assert!(built.success(), "cargo build -p privet");
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(std::path::Path::parent).unwrap().join("privet")
}
