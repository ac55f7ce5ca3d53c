//! privet in this process, between raw connections and a collector that keeps every byte.

use std::fs;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use privet::clock::SystemClock;
use privet::config::Config;
use privet::run::{Foundation, open};
use privet::sidecar::Sidecar;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

use crate::reading::{self, Unread};

/// Whatever is a CloudEvent leaves as it is, whatever its data: the collector sees what privet took for one request.
const POLICY: &str = "\
apiVersion: privet.dev/v1alpha1
kind: Purpose
metadata: {name: functional.service}
basis: contract
---
apiVersion: privet.dev/v1alpha1
kind: Destination
metadata: {name: collector}
url: http://COLLECTOR
primary: true
recipient: processor
purposes: [functional.service]
paths: [/events]
---
apiVersion: privet.dev/v1alpha1
kind: Contract
metadata: {name: any}
match: {format: cloudevents, type: any}
fields:
  data: {category: system.operations}
---
apiVersion: privet.dev/v1alpha1
kind: Rule
metadata: {name: all-of-it}
data: [system.operations]
for: [functional.service]
action: keep
";

/// Short times, because much of what is sent here never becomes a whole request.
const CONFIG: &str = "\
apiVersion: privet.dev/v1alpha1
kind: Config
listeners: [{name: events, address: \"127.0.0.1:0\", formats: [cloudevents]}]
admin: {address: \"127.0.0.1:0\"}
metrics: {address: \"127.0.0.1:0\"}
policies: policies
log: {directory: log, anchor_dir: anchor, origin: privet.example.org/test, durability: sync}
exports: {directory: exports, volume: persistent}
limits: {header_timeout_secs: 1, body_timeout_secs: 1, idle_timeout_secs: 1}
drain: {delay_secs: 0, grace_secs: 5}
";

/// Longer than all the times of the configuration together.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(20);

/// Keeps the bytes of each connection, answers each whole request with 200, and never ends a connection first:
/// a second request hidden in the bytes would be there.
pub struct Collector {
    address: SocketAddr,
    connections: Arc<Mutex<Vec<Vec<u8>>>>,
    task: JoinHandle<()>,
}

impl Collector {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let kept = Arc::clone(&connections);
        #[expect(clippy::disallowed_methods, reason = "aborted when the collector goes")]
        let task = tokio::spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let place = {
                    let mut kept = kept.lock().unwrap();
                    kept.push(Vec::new());
                    kept.len() - 1
                };
                open.spawn(keep(stream, Arc::clone(&kept), place));
            }
        });
        Self { address, connections, task }
    }

    /// The bytes of each connection so far.
    pub fn connections(&self) -> Vec<Vec<u8>> {
        self.connections.lock().unwrap().clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep(mut stream: TcpStream, kept: Arc<Mutex<Vec<Vec<u8>>>>, place: usize) {
    let mut answered = 0;
    let mut piece = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut piece).await {
        let whole = {
            let mut kept = kept.lock().unwrap();
            kept[place].extend_from_slice(&piece[..read]);
            let (requests, unread) = reading::requests(&kept[place]);
            assert_ne!(unread, Some(Unread::Malformed), "{}", String::from_utf8_lossy(&kept[place]));
            requests.len()
        };
        for _ in answered..whole {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
        }
        answered = whole;
    }
}

pub struct Running {
    _directory: tempfile::TempDir,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

impl Running {
    pub async fn before(collector: &Collector) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::create_dir(root.join("policies")).unwrap();
        let policy = POLICY.replace("COLLECTOR", &collector.address.to_string());
        fs::write(root.join("policies/policy.yaml"), policy).unwrap();
        fs::write(root.join("privet.yaml"), CONFIG).unwrap();
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
        Self { _directory: directory, address, stop, served }
    }

    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    pub async fn stop(self) {
        self.stop.send(()).unwrap();
        self.served.await.unwrap();
    }
}

/// Sends bytes, in one piece or in pieces of this size, and gives back all that comes until privet ends the connection.
pub async fn exchange(address: SocketAddr, bytes: &[u8], piece: usize) -> Vec<u8> {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let sending = async move {
        for piece in bytes.chunks(piece) {
            // privet may have refused already and closed.
            if writer.write_all(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        writer
    };
    let mut answers = Vec::new();
    let receiving = async { reader.read_to_end(&mut answers).await.ok() };
    let both = async { tokio::join!(sending, receiving) };
    tokio::time::timeout(EXCHANGE_TIMEOUT, both).await.expect("privet never ended the connection");
    answers
}
