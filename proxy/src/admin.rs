//! Health, metrics and the console over HTTP, on addresses and a thread of their own.
//!
//! Promise: slow readers of metrics never slow events down, and nothing served
//! here carries a value from an event. `/livez` fails when the event runtime
//! stands still; `/readyz` fails until a policy is in force and every listener
//! has its address, while the log cannot be written, and from the moment the sidecar begins to stop.
//!
//! Not here: what is counted; that is [`crate::metrics`].

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::consent::desk;
use crate::console::{self, Answer};
use crate::export::intake;
use crate::metrics::Metrics;
use crate::shadow::Board;
use crate::side_door::{self, Bounds};
use crate::tasks::TaskSet;

/// How far the sidecar is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// No policy is in force yet.
    Starting,
    /// Requests are served.
    Serving,
    /// No longer ready; what comes is still served.
    Draining,
    /// The log is being closed; nothing is served.
    Closed,
}

impl Phase {
    const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Serving => "serving",
            Self::Draining => "draining",
            Self::Closed => "closed",
        }
    }
}

/// What `/readyz` tells. Shared by everything that can make the sidecar not ready.
#[derive(Debug)]
pub struct Health {
    phase: AtomicU8,
    listening: AtomicBool,
    /// Milliseconds on the monotonic clock when the event runtime last turned.
    heartbeat_ms: AtomicU64,
    details: Mutex<Details>,
}

#[derive(Debug, Default)]
struct Details {
    policy: Option<String>,
    log_fault: Option<String>,
    notes: BTreeMap<&'static str, String>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            phase: AtomicU8::new(Phase::Starting as u8),
            listening: AtomicBool::new(false),
            heartbeat_ms: AtomicU64::new(0),
            details: Mutex::default(),
        }
    }
}

impl Health {
    /// The phase now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Starting,
            1 => Phase::Serving,
            2 => Phase::Draining,
            _ => Phase::Closed,
        }
    }

    /// A policy with this digest is in force. The first one opens the doors.
    pub fn policy_in_force(&self, digest: impl Into<String>) {
        self.details().policy = Some(digest.into());
        let (starting, serving) = (Phase::Starting as u8, Phase::Serving as u8);
        // Anything but starting stays: a reload while draining does not open the doors again.
        self.phase.compare_exchange(starting, serving, Ordering::Relaxed, Ordering::Relaxed).ok();
    }

    /// Every listener has its address: who connects from now on is not turned away.
    pub fn listening(&self) {
        self.listening.store(true, Ordering::Relaxed);
    }

    /// The sidecar begins to stop.
    pub fn begin_draining(&self) {
        self.phase.fetch_max(Phase::Draining as u8, Ordering::Relaxed);
    }

    /// Nothing is served any more.
    pub fn close(&self) {
        self.phase.store(Phase::Closed as u8, Ordering::Relaxed);
    }

    /// The enforcement log cannot be written, and why; or it can again.
    pub fn log_fault(&self, fault: Option<String>) {
        self.details().log_fault = fault;
    }

    /// Says something under a name, for a person to read; it does not make the sidecar less ready.
    /// Never a value from an event.
    pub fn note(&self, name: &'static str, text: impl Into<String>) {
        self.details().notes.insert(name, text.into());
    }

    /// Takes a note back.
    pub fn clear_note(&self, name: &'static str) {
        self.details().notes.remove(name);
    }

    /// All notes, one a line.
    #[cfg(test)]
    pub(crate) fn notes_text(&self) -> String {
        self.details().notes.iter().map(|(name, text)| format!("{name}: {text}\n")).collect()
    }

    /// Whether events are taken.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let open = self.phase() == Phase::Serving && self.listening.load(Ordering::Relaxed);
        open && self.details().log_fault.is_none()
    }

    /// The event runtime turns.
    pub fn beat(&self, now: Duration) {
        self.heartbeat_ms.store(millis(now), Ordering::Relaxed);
    }

    fn is_alive(&self, now: Duration) -> bool {
        millis(now).saturating_sub(self.heartbeat_ms.load(Ordering::Relaxed)) < millis(STILL_MAX)
    }

    fn json(&self) -> serde_json::Value {
        let (ready, phase) = (self.is_ready(), self.phase());
        let details = self.details();
        serde_json::json!({
            "ready": ready,
            "phase": phase.name(),
            "policy": details.policy,
            "log": {"writable": details.log_fault.is_none(), "fault": details.log_fault},
            "notes": details.notes,
        })
    }

    fn details(&self) -> MutexGuard<'_, Details> {
        self.details.lock().expect("nothing panics while the details are locked")
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// How often the event runtime beats.
pub const BEAT_EVERY: Duration = Duration::from_secs(1);
/// How long it may stand still.
const STILL_MAX: Duration = Duration::from_secs(15);
/// Readers at once, on each address.
const CONNECTIONS_MAX: usize = 32;
/// With fewer connections left than this, each is closed after its answer: a browser that keeps several
/// open must not stand in the way of whoever asks whether the sidecar lives.
const CONNECTIONS_SPARE: usize = 8;
const BOUNDS: Bounds = Bounds {
    connections_max: CONNECTIONS_MAX,
    connections_spare: CONNECTIONS_SPARE,
    header_timeout: Duration::from_secs(10),
    connection_timeout: Duration::from_secs(60),
};
/// How often histogram samples are folded into buckets.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// What the pages are made from.
#[derive(Clone)]
pub struct Pages {
    /// What `/livez` and `/readyz` tell.
    pub health: Arc<Health>,
    /// What `/metrics` tells.
    pub metrics: Arc<Metrics>,
    /// What `/v1/shadow` tells.
    pub shadow: Arc<Board>,
    /// Who answers below `/v1/consent/` and `/v1/subject/`.
    pub consent: Arc<desk::Place>,
    /// Who takes tables below `/v1/exports/`.
    pub intake: Arc<intake::Place>,
    /// What there is to see at `/console`.
    pub console: Arc<console::Place>,
    /// Tells whether the heart stands still.
    pub clock: Arc<dyn Clock>,
}

/// The thread that serves health and metrics; dropping it ends the thread.
pub struct Admin {
    /// Where health is.
    pub admin_address: SocketAddr,
    /// Where metrics are.
    pub metrics_address: SocketAddr,
    stop: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // It has nothing to give back; a panic there was told by the panic hook.
            thread.join().ok();
        }
    }
}

/// Which address a request came in by.
#[derive(Clone, Copy)]
enum Side {
    Admin,
    Metrics,
}

/// Opens both addresses and serves them on a thread of their own.
///
/// # Errors
/// When an address cannot be bound or the thread cannot start.
pub fn start(admin: SocketAddr, metrics: SocketAddr, pages: Pages) -> std::io::Result<Admin> {
    let admin = bind(admin)?;
    let metrics = bind(metrics)?;
    let (admin_address, metrics_address) = (admin.local_addr()?, metrics.local_addr()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let thread = std::thread::Builder::new().name("privet-admin".to_owned()).spawn(move || {
        runtime.block_on(async {
            let tasks = TaskSet::new();
            tokio::select! {
                () = serve(admin, Side::Admin, pages.clone(), tasks.clone()) => {}
                () = serve(metrics, Side::Metrics, pages.clone(), tasks.clone()) => {}
                () = upkeep(&pages) => {}
                () = stopped.cancelled() => {}
            }
            tasks.finish(Duration::ZERO).await;
        });
    })?;
    Ok(Admin { admin_address, metrics_address, stop, thread: Some(thread) })
}

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = TcpListener::bind(address)
        .map_err(|error| std::io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

async fn upkeep(pages: &Pages) {
    let mut every = tokio::time::interval(UPKEEP_EVERY);
    loop {
        every.tick().await;
        pages.metrics.upkeep();
    }
}

async fn serve(socket: TcpListener, side: Side, pages: Pages, tasks: TaskSet) {
    let Ok(socket) = tokio::net::TcpListener::from_std(socket) else { return };
    let answer = move |request| {
        let pages = pages.clone();
        async move { pages.answer(side, request).await }
    };
    side_door::serve(socket, BOUNDS, tasks, answer).await;
}

impl Pages {
    async fn answer(&self, side: Side, request: Request<Incoming>) -> Answer {
        let path = request.uri().path();
        if matches!(side, Side::Admin) && (path.starts_with("/v1/consent/") || path.starts_with("/v1/subject/")) {
            return self.at_the_desk(request).await;
        }
        if matches!(side, Side::Admin) && path.starts_with(intake::PATH) {
            return self.at_the_intake(request).await;
        }
        if matches!(side, Side::Admin) && console::Place::has(path) {
            return self.console.answer(&request).await;
        }
        self.read(side, request.method(), path)
    }

    async fn at_the_intake(&self, request: Request<Incoming>) -> Answer {
        let (status, answer) = self.take_table(request).await.unwrap_or_else(|declined| declined);
        let mut response = page(status, "application/json", answer.into());
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    /// # Errors
    /// The answer to what may not be brought, or not so.
    async fn take_table(&self, request: Request<Incoming>) -> Result<intake::Answer, intake::Answer> {
        if request.method() != Method::POST {
            return Err(intake::declined(StatusCode::METHOD_NOT_ALLOWED, "a table is brought by POST"));
        }
        let (head, body) = request.into_parts();
        self.intake.admits(&head.headers)?;
        let body = Limited::new(body, intake::BODY_BYTES_MAX).collect().await.map_err(|_| {
            intake::declined(StatusCode::PAYLOAD_TOO_LARGE, "the body has more than 16 MiB or was not sent whole")
        })?;
        let (body, intake) = (body.to_bytes().to_vec(), Arc::clone(&self.intake));
        let taken = tokio::task::spawn_blocking(move || intake.take(&head.uri, &head.headers, body)).await;
        // A defect of privet; the ledger settles what was paid for at the next start.
        taken.map_err(|_| intake::declined(StatusCode::INTERNAL_SERVER_ERROR, "taking the table failed inside privet"))
    }

    async fn at_the_desk(&self, request: Request<Incoming>) -> Answer {
        if request.method() != Method::POST {
            return text(StatusCode::METHOD_NOT_ALLOWED, "POST only\n");
        }
        let (head, body) = request.into_parts();
        let Ok(body) = Limited::new(body, desk::BODY_BYTES_MAX).collect().await else {
            return text(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large or was not sent whole\n");
        };
        let (status, answer) = self.consent.answer(head.uri.path(), &head.headers, &body.to_bytes()).await;
        let mut response = page(status, "application/json", format!("{answer:#}\n").into());
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    fn read(&self, side: Side, method: &Method, path: &str) -> Answer {
        if method != Method::GET && method != Method::HEAD {
            return text(StatusCode::METHOD_NOT_ALLOWED, "GET only\n");
        }
        match (side, path) {
            (Side::Admin, "/livez") => self.livez(),
            (Side::Admin, "/readyz") => self.readyz(),
            (Side::Admin, "/v1/shadow") => self.shadow(),
            (Side::Metrics, "/metrics") => self.metrics(),
            _ => text(StatusCode::NOT_FOUND, "not here\n"),
        }
    }

    fn livez(&self) -> Answer {
        if self.health.is_alive(self.clock.monotonic()) {
            text(StatusCode::OK, "alive\n")
        } else {
            text(StatusCode::SERVICE_UNAVAILABLE, "the event runtime stands still\n")
        }
    }

    fn readyz(&self) -> Answer {
        let status = if self.health.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        page(status, "application/json", format!("{:#}\n", self.health.json()).into())
    }

    fn shadow(&self) -> Answer {
        match self.shadow.json() {
            Some(counts) => page(StatusCode::OK, "application/json", format!("{counts:#}\n").into()),
            None => text(StatusCode::NOT_FOUND, "no policy is in shadow\n"),
        }
    }

    fn metrics(&self) -> Answer {
        self.metrics.ready.set(if self.health.is_ready() { 1.0 } else { 0.0 });
        page(StatusCode::OK, "text/plain; version=0.0.4", self.metrics.render().into())
    }
}

fn text(status: StatusCode, text: &'static str) -> Answer {
    page(status, "text/plain", Bytes::from_static(text.as_bytes()))
}

fn page(status: StatusCode, kind: &'static str, body: Bytes) -> Answer {
    let mut response = Response::new(console::whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use std::io::{Read, Write};

    fn started() -> (Admin, Arc<Health>) {
        let health = Arc::new(Health::default());
        let pages = Pages {
            health: Arc::clone(&health),
            metrics: Arc::default(),
            shadow: Arc::default(),
            consent: Arc::default(),
            intake: Arc::default(),
            console: Arc::default(),
            clock: Arc::new(SystemClock::default()),
        };
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        (start(any, any, pages).unwrap(), health)
    }

    fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn ready_from_the_first_policy_to_the_drain() {
        let (admin, health) = started();
        let readyz = || get(admin.admin_address, "/readyz");
        assert!(readyz().starts_with("HTTP/1.1 503"));
        health.policy_in_force("sha256:1234");
        assert!(readyz().starts_with("HTTP/1.1 503"), "nobody could connect yet");
        health.listening();
        let answer = readyz();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("sha256:1234"));
        health.log_fault(Some("no space left on device".to_owned()));
        assert!(readyz().starts_with("HTTP/1.1 503"));
        health.log_fault(None);
        health.note("consent", "opt_out treated as opt_in: no shared consent store");
        let answer = readyz();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("no shared consent store"), "{answer}");
        health.begin_draining();
        assert!(readyz().starts_with("HTTP/1.1 503"));
        health.policy_in_force("sha256:5678");
        assert_eq!(health.phase(), Phase::Draining);
    }

    #[test]
    fn alive_while_the_heart_beats() {
        let health = Health::default();
        health.beat(Duration::from_secs(100));
        assert!(health.is_alive(Duration::from_secs(110)));
        assert!(!health.is_alive(Duration::from_secs(120)));
    }

    #[test]
    fn connections_are_closed_after_their_answer_while_few_are_left() {
        let (admin, _) = started();
        let ask = || {
            let mut stream = std::net::TcpStream::connect(admin.admin_address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            write!(stream, "GET /livez HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
            let mut answer = [0; 512];
            let bytes = stream.read(&mut answer).unwrap();
            (String::from_utf8_lossy(&answer[..bytes]).to_ascii_lowercase(), stream)
        };
        // One more is held for whoever comes next.
        let kept: Vec<_> = (1..CONNECTIONS_MAX - CONNECTIONS_SPARE).map(|_| ask()).collect();
        assert!(kept.iter().all(|(answer, _)| !answer.contains("connection: close")));
        for _ in 0..2 * CONNECTIONS_MAX {
            let (answer, mut stream) = ask();
            assert!(answer.contains("connection: close"), "{answer}");
            assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
        }
    }

    #[test]
    fn each_address_has_its_own_pages() {
        let (admin, _) = started();
        assert!(get(admin.admin_address, "/livez").starts_with("HTTP/1.1 200"));
        assert!(get(admin.metrics_address, "/metrics").contains("privet_ready 0"));
        assert!(get(admin.admin_address, "/metrics").starts_with("HTTP/1.1 404"));
        assert!(get(admin.metrics_address, "/readyz").starts_with("HTTP/1.1 404"));
        assert!(get(admin.metrics_address, "/v1/shadow").starts_with("HTTP/1.1 404"));
        assert!(get(admin.admin_address, "/v1/shadow").contains("no policy is in shadow"));
        assert!(get(admin.admin_address, "/v1/consent/get").starts_with("HTTP/1.1 405"));
        assert!(get(admin.metrics_address, "/v1/consent/get").starts_with("HTTP/1.1 404"));
        for path in ["/console", "/console/console.js", "/v1/console/summary", "/v1/log/"] {
            assert!(get(admin.admin_address, path).starts_with("HTTP/1.1 503"), "{path}: nothing to see yet");
            assert!(get(admin.metrics_address, path).starts_with("HTTP/1.1 404"), "{path}");
        }
        assert!(get(admin.admin_address, "/consoles").starts_with("HTTP/1.1 404"));
    }
}
