//! A whole sidecar in this process, with a collector that says yes.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use privet::clock::{Clock, SystemClock};
use privet::config::Config;
use privet::metrics::Metrics;
use privet::run::{Foundation, open};
use privet::sidecar::Sidecar;
use privet_dp::receipt::Receipt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const DESIGN: &str = include_str!("../../../policy-lib/tests/data/design.yaml");
/// A window of a day that is published although the test ends it.
pub const LISTED: &str = "{length: 1d, publish_marked: [restart, drained]}";

/// Takes whatever comes, and says yes.
async fn collector() -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    #[expect(clippy::disallowed_methods, reason = "the test aborts it")]
    let task = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            #[expect(clippy::disallowed_methods, reason = "ends with its connection")]
            tokio::spawn(async move {
                let mut request = vec![0; 64 << 10];
                while stream.read(&mut request).await.is_ok_and(|bytes| bytes > 0) {
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.ok();
                }
            });
        }
    });
    (address, task)
}

/// What a sidecar that was stopped left.
pub struct Stopped {
    pub directory: tempfile::TempDir,
    pub metrics: String,
    pub files: Vec<Vec<u8>>,
}

/// The design's policies, with so little noise that what was counted shows, and this `window:`.
pub fn design(window: &str) -> String {
    DESIGN
        .replace("window: {length: 1h}", &format!("window: {window}"))
        .replace("epsilon: \"0.1\"", "epsilon: \"60\"")
        .replace("epsilon: \"72\"", "epsilon: \"50000\"")
}

pub struct Running {
    pub directory: tempfile::TempDir,
    pub address: SocketAddr,
    pub admin: SocketAddr,
    metrics: Arc<Metrics>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
    collector: JoinHandle<()>,
}

impl Running {
    /// The design's policies, with so little noise that what was counted shows, and this `window:`.
    pub async fn with(window: &str, limits: &str) -> Self {
        Self::configured(window, &format!("exports: {{directory: exports, volume: persistent}}\n{limits}")).await
    }

    pub async fn configured(window: &str, more: &str) -> Self {
        Self::under(&design(window), more).await
    }

    /// A sidecar under a policy whose collector is at `http://127.0.0.1:8081`.
    pub async fn under(policy: &str, more: &str) -> Self {
        Self::by(Arc::new(SystemClock::default()), policy, more).await
    }

    /// The same by another clock.
    pub async fn by(clock: Arc<dyn Clock>, policy: &str, more: &str) -> Self {
        let (collector_address, collector) = collector().await;
        let directory = tempfile::tempdir().unwrap();
        let policy = policy.replace("http://127.0.0.1:8081", &format!("http://{collector_address}"));
        let configuration = format!(
            "apiVersion: privet.dev/v1alpha1\nkind: Config\n\
             listeners: [{{name: events, address: \"127.0.0.1:0\", formats: [segment]}}]\n\
             admin: {{address: \"127.0.0.1:0\"}}\nmetrics: {{address: \"127.0.0.1:0\"}}\n\
             policies: policies\nkeyring: keyring\n\
             log: {{directory: log, anchor_dir: anchor, origin: privet.example.org/test, durability: sync}}\n\
             drain: {{delay_secs: 0, grace_secs: 5}}\n{more}"
        );
        for (name, text) in [
            ("policies/policy.yaml", policy.as_str()),
            ("keyring/test.key", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"),
            ("privet.yaml", &configuration),
        ] {
            let file = directory.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        let config = Config::load(&directory.path().join("privet.yaml")).unwrap();
        let foundation = Foundation::lay(&config, clock).unwrap();
        let (metrics, admin) = (Arc::clone(&foundation.metrics), foundation.admin_address);
        let sidecar = Sidecar::assemble(&config, &foundation).unwrap();
        let sources = sidecar.load(&config);
        let opened = open(&config, foundation, Arc::clone(&sidecar.line), sources).await.unwrap();
        let address = opened.addresses()[0];
        let (stop, stopped) = oneshot::channel();
        #[expect(clippy::disallowed_methods, reason = "joined by `stop`")]
        let served = tokio::spawn(async move {
            opened.serve(async { drop(stopped.await) }, async || sidecar.close().await).await.unwrap();
        });
        Self { directory, address, admin, metrics, stop, served, collector }
    }

    /// Sends a search and gives the status of its answer.
    pub async fn search(&self, user: &str, agreed: bool) -> u16 {
        let body = format!(
            r#"{{"type":"track","event":"Search Performed","userId":"{user}","messageId":"m","timestamp":"2026-11-22T21:50:42.259Z","properties":{{"query":"x","results":3,"section":"apps"}},"context":{{"consent":{{"categoryPreferences":{{"Analytics":{agreed}}}}}}}}}"#
        );
        post(self.address, "/v1/track", "content-type: application/json", &body).await.0
    }

    /// What the sidecar says of itself, with its status line.
    pub async fn readyz(&self) -> String {
        let mut stream = TcpStream::connect(self.admin).await.unwrap();
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// Stops the sidecar; gives what it published of searches, and how often windows were withheld for this reason.
    pub async fn stop(self, reason: &str) -> (Vec<Receipt>, usize) {
        self.stop_with("searches-by-section", reason).await
    }

    /// Stops the sidecar; gives what it published of this export, and how often windows were withheld.
    pub async fn stop_with(self, export: &str, reason: &str) -> (Vec<Receipt>, usize) {
        let stopped = self.stop_files(export).await;
        let counted = format!("privet_export_windows_withheld_total{{reason=\"{reason}\"}} ");
        let withheld = stopped.metrics.lines().find_map(|line| line.strip_prefix(&counted)).unwrap().parse().unwrap();
        let receipts = stopped.files.iter().map(|file| Receipt::from_bytes(file).unwrap());
        (receipts.collect(), withheld)
    }

    /// Stops the sidecar; gives the files that it published of this export.
    pub async fn stop_files(self, export: &str) -> Stopped {
        self.stop.send(()).unwrap();
        self.served.await.unwrap();
        self.collector.abort();
        let published = self.directory.path().join("exports").join(export);
        let files: Vec<PathBuf> =
            fs::read_dir(published).map(|files| files.map(|file| file.unwrap().path()).collect()).unwrap_or_default();
        let files = files.iter().map(|file| fs::read(file).unwrap()).collect();
        Stopped { directory: self.directory, metrics: self.metrics.render(), files }
    }
}

/// Sends a request with one more header line; gives the answer's status and body.
pub async fn post(address: SocketAddr, path: &str, header: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let head =
        format!("POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{header}\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Runs the command as somebody would in this directory.
pub fn privet(arguments: &[&str], directory: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_privet")).args(arguments).current_dir(directory).output().unwrap()
}
