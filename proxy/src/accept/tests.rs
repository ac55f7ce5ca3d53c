//! The shell over real sockets on loopback, around a stand-in for the event line.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::*;
use crate::admin::Health;
use crate::clock::SystemClock;
use crate::config::Rate;
use crate::tasks::{Finish, Signal};

/// Does what the path says, so that a test can arrange the event line's behaviour.
struct StandIn {
    /// `/wait` answers when there is a permit here.
    gate: Semaphore,
}

impl Carry for StandIn {
    async fn carry(&self, raw: RawRequest, _: Held<'_>) -> Response<Bytes> {
        match raw.target.as_str() {
            "/panic" => panic!("a message with a value: {:?}", raw.body),
            "/wait" => self.gate.acquire().await.unwrap().forget(),
            _ => {}
        }
        let seen = format!("{} {} {} {}", raw.method, raw.target, raw.body.len(), raw.listener.name);
        Response::new(Bytes::from(seen))
    }

    fn refuse(&self, _: &ListenerFacts, asked: &Asked<'_>, refusal: Refusal) -> Response<Bytes> {
        assert_ne!(asked.target, "/panic-twice");
        let mut answer = Response::new(Bytes::from(format!("{refusal:?}")));
        *answer.status_mut() = match refusal {
            Refusal::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::TimedOut => StatusCode::REQUEST_TIMEOUT,
            Refusal::Malformed => StatusCode::BAD_REQUEST,
            Refusal::Overloaded => StatusCode::TOO_MANY_REQUESTS,
            Refusal::NotReady | Refusal::Fault | Refusal::Draining => StatusCode::SERVICE_UNAVAILABLE,
        };
        answer
    }
}

/// A shell that serves one address.
struct Running {
    address: SocketAddr,
    line: Arc<StandIn>,
    shell: Arc<Shell<StandIn>>,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    tasks: TaskSet,
    doors: TaskSet,
    stop: Signal,
}

async fn start_with(limits: Limits, tls: Option<ServerConfig>) -> Running {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let facts = Arc::new(ListenerFacts {
        name: "events".to_owned(),
        formats: Vec::new(),
        jurisdiction: None,
        jurisdiction_header: None,
        trusted_peers: Vec::new(),
    });
    let (health, metrics, tasks) = (Arc::new(Health::default()), Arc::new(Metrics::new()), TaskSet::new());
    health.policy_in_force("sha256:test");
    let line = Arc::new(StandIn { gate: Semaphore::new(0) });
    let shell = Shell::new(Parts {
        line: Arc::clone(&line),
        limits,
        health: Arc::clone(&health),
        metrics: Arc::clone(&metrics),
        clock: Arc::new(SystemClock::default()),
        tasks: tasks.clone(),
    });
    let door = Door { socket, facts, tls: tls.map(|config| Arc::new(ArcSwap::from_pointee(config))) };
    let (doors, stop) = (TaskSet::new(), Signal::new());
    doors.spawn(Arc::clone(&shell).accept(door, stop.clone(), stop.clone()));
    Running { address, line, shell, health, metrics, tasks, doors, stop }
}

async fn start(limits: Limits) -> Running {
    start_with(limits, None).await
}

/// Short times and small sizes, so that tests need not wait or send much.
fn limits() -> Limits {
    Limits {
        body_bytes_max: 1000,
        in_flight_bytes_max: 1500,
        header_timeout: Duration::from_millis(200),
        body_timeout: Duration::from_millis(200),
        idle_timeout: Duration::from_millis(300),
        ..Limits::default()
    }
}

impl Running {
    /// Sends bytes and gives back all that comes until the end of the connection.
    async fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        rest(&mut stream).await
    }

    async fn h1(&self) -> http1::SendRequest<Full<Bytes>> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        self.doors.spawn(quietly(connection));
        sender
    }

    async fn h2(&self) -> http2::SendRequest<Full<Bytes>> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        self.doors.spawn(quietly(connection));
        sender
    }

    fn metric(&self, line: &str) -> bool {
        self.metrics.render().lines().any(|published| published == line)
    }

    async fn until_metric(&self, line: &str) {
        let begun = Instant::now();
        while !self.metric(line) {
            assert!(begun.elapsed() < Duration::from_secs(5), "never `{line}` in\n{}", self.metrics.render());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn quietly<E>(connection: impl Future<Output = Result<(), E>>) {
    connection.await.ok();
}

async fn rest(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut all = Vec::new();
    tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut all)).await.expect("the end of it").ok();
    String::from_utf8(all).unwrap()
}

fn post(target: &str, body: &[u8]) -> Request<Full<Bytes>> {
    Request::post(target).header("host", "a").body(Full::new(Bytes::copy_from_slice(body))).unwrap()
}

async fn said(answer: Response<hyper::body::Incoming>) -> (u16, String) {
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn http1_serves_one_request_after_another() {
    let running = start(limits()).await;
    let mut client = running.h1().await;
    for body in [&b"{}"[..], b"", &[b'x'; 1000]] {
        let answer = client.send_request(post("/v1/t?a=b", body)).await.unwrap();
        assert_eq!(said(answer).await, (200, format!("POST /v1/t?a=b {} events", body.len())));
        client.ready().await.unwrap();
    }
    assert!(running.metric(r#"privet_requests_total{answer="success"} 3"#));
    assert!(running.metric("privet_request_body_bytes_total 1002"));
    assert!(running.metric("privet_in_flight_bytes 0"));
}

#[tokio::test]
async fn http2_is_spoken_in_cleartext_too() {
    let running = start(limits()).await;
    let mut client = running.h2().await;
    let mut answers = Vec::new();
    for _ in 0..3 {
        client.ready().await.unwrap();
        answers.push(client.send_request(post("http://a/v1/t", b"{}")));
    }
    for answer in answers {
        let answer = answer.await.unwrap();
        assert_eq!(answer.version(), Version::HTTP_2);
        assert_eq!(said(answer).await, (200, "POST /v1/t 2 events".to_owned()));
    }
}

#[tokio::test]
async fn a_declared_body_that_is_too_large_is_refused_unread() {
    let running = start(limits()).await;
    let head = "POST /v1/t HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 1001\r\n\r\n";
    let answer = running.exchange(head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(!answer.contains("100 Continue"), "{answer}");
    assert!(running.metric(r#"privet_requests_refused_total{code="accept.too_large"} 1"#));
}

#[tokio::test]
async fn a_chunked_body_that_grows_too_large_is_refused() {
    let running = start(limits()).await;
    let chunk = format!("258\r\n{}\r\n", "x".repeat(600));
    let request =
        format!("POST /v1/t HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n");
    let answer = running.exchange(request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(running.metric("privet_in_flight_bytes 0"));
}

#[tokio::test]
async fn chunks_within_the_limit_are_put_together() {
    let running = start(limits()).await;
    let request = "POST /v1/t HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n\
                   3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    let answer = running.exchange(request.as_bytes()).await;
    assert!(answer.ends_with("POST /v1/t 5 events"), "{answer}");
}

#[tokio::test]
async fn framing_that_can_be_read_in_two_ways_is_refused() {
    let running = start(limits()).await;
    let both = ["content-length: 5\r\ntransfer-encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 5"];
    let codings = ["transfer-encoding: gzip, chunked", "transfer-encoding: chunked\r\ntransfer-encoding: chunked"];
    let broken = ["transfer-encoding: identity", "content-length: 5\r\ncontent-length: 6", "content-length: +5"];
    for framing in both.iter().chain(&codings).chain(&broken) {
        let request = format!("POST /v1/t HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n5\r\nabcde\r\n0\r\n\r\n");
        let answer = running.exchange(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{framing}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{framing}: {answer}");
    }
    assert!(running.metric(r#"privet_requests_refused_total{code="accept.malformed"} 4"#));
    assert!(running.metric(r#"privet_requests_total{answer="success"} 0"#));
}

#[tokio::test]
async fn a_pipelined_chunked_request_is_refused_and_ends_the_connection() {
    let running = start(limits()).await;
    let one = "POST /1 HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}";
    let two = "POST /2 HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    let answers = running.exchange(format!("{one}{one}{two}").as_bytes()).await;
    let statuses: Vec<_> = answers.match_indices("HTTP/1.1 ").map(|(at, _)| &answers[at + 9..at + 12]).collect();
    assert_eq!(statuses, ["200", "200", "400"], "{answers}");
}

#[tokio::test]
async fn slow_headers_are_cut_off() {
    let running = start(limits()).await;
    for begun in [&b"POST /v1/t HTTP/1.1\r\nhost: a\r\nx-slow"[..], b"P", b"PRI * HTTP/2.0\r\n", b""] {
        let before = Instant::now();
        let answer = running.exchange(begun).await;
        assert_eq!(answer, "", "{begun:?}");
        let waited = before.elapsed();
        assert!(waited > Duration::from_millis(150) && waited < Duration::from_secs(2), "{waited:?} for {begun:?}");
    }
    running.until_metric(r#"privet_connections_ended_total{code="headers_timed_out"} 4"#).await;
    running.until_metric("privet_connections_open 0").await;
}

#[tokio::test]
async fn headers_that_drip_are_cut_off_too() {
    let running = start(limits()).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let dripped = async {
        for _ in 0..100 {
            if stream.write_all(b"x").await.is_err() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    };
    assert!(dripped.await, "the connection is closed long before two seconds");
}

#[tokio::test]
async fn a_connection_without_a_request_ends_when_idle() {
    let running = start(limits()).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let before = Instant::now();
    assert!(rest(&mut stream).await.ends_with("GET / 0 events"));
    assert!(before.elapsed() >= Duration::from_millis(250), "{:?}", before.elapsed());
    running.until_metric(r#"privet_connections_ended_total{code="idle"} 1"#).await;
    let _client = running.h2().await;
    running.until_metric("privet_connections_open 0").await;
}

#[tokio::test]
async fn a_body_that_stalls_is_refused() {
    let running = start(limits()).await;
    let answer = running.exchange(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n{").await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(running.metric("privet_in_flight_bytes 0"));
}

#[tokio::test]
async fn bodies_beyond_the_budget_are_refused_at_once() {
    let running = start(limits()).await;
    let mut first = running.h1().await;
    let waiting = tokio::task::spawn(first.send_request(post("/wait", &[b'x'; 900])));
    running.until_metric("privet_in_flight_bytes 900").await;
    let mut second = running.h1().await;
    let answer = second.send_request(post("/v1/t", &[b'x'; 601])).await.unwrap();
    assert_eq!(said(answer).await, (429, "Overloaded".to_owned()));
    let mut third = running.h1().await;
    assert_eq!(third.send_request(post("/v1/t", &[b'x'; 600])).await.unwrap().status(), 200);
    running.line.gate.add_permits(1);
    assert_eq!(waiting.await.unwrap().unwrap().status(), 200);
    assert!(running.metric("privet_in_flight_bytes 0"));
}

#[tokio::test]
async fn a_panic_fails_its_own_request_alone() {
    let running = start(limits()).await;
    let mut client = running.h2().await;
    let waiting = client.send_request(post("http://a/wait", b"{}"));
    let answer = client.send_request(post("http://a/panic", b"{}")).await.unwrap();
    assert_eq!(said(answer).await, (503, "Fault".to_owned()));
    running.line.gate.add_permits(1);
    assert_eq!(waiting.await.unwrap().status(), 200);
    let mut other = running.h1().await;
    assert_eq!(other.send_request(post("/panic", b"{}")).await.unwrap().status(), 503);
    assert!(running.metric("privet_panics_total 2"));
    assert!(running.metric(r#"privet_requests_refused_total{code="accept.fault"} 2"#));
    assert!(running.metric("privet_in_flight_bytes 0"));
    let huge = post("/panic-twice", &[b'x'; 1001]);
    assert_eq!(running.h1().await.send_request(huge).await.unwrap().status(), 503);
}

#[tokio::test]
async fn nothing_is_carried_before_a_policy_or_after_the_close() {
    let running = start(limits()).await;
    running.health.begin_draining();
    assert_eq!(running.h1().await.send_request(post("/", b"")).await.unwrap().status(), 200);
    running.health.close();
    let answer = running.h1().await.send_request(post("/", b"")).await.unwrap();
    assert_eq!(said(answer).await, (503, "Draining".to_owned()));
}

#[tokio::test]
async fn a_stop_lets_requests_under_way_finish() {
    let running = start(limits()).await;
    let (mut h1, mut h2) = (running.h1().await, running.h2().await);
    let idle = running.h1().await;
    let silent = TcpStream::connect(running.address).await.unwrap();
    let first = tokio::task::spawn(h1.send_request(post("/wait", b"{}")));
    let second = tokio::task::spawn(h2.send_request(post("http://a/wait", b"{}")));
    running.until_metric("privet_in_flight_bytes 4").await;
    running.stop.raise();
    let gate = Arc::clone(&running.line);
    running.doors.spawn(async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        gate.gate.add_permits(2);
    });
    assert_eq!(running.tasks.finish(Duration::from_secs(5)).await, Finish::Complete);
    for answer in [first.await.unwrap().unwrap(), second.await.unwrap().unwrap()] {
        assert_eq!(said(answer).await.0, 200);
    }
    assert!(TcpStream::connect(running.address).await.is_err(), "the listener is closed");
    drop((idle, silent));
}

#[tokio::test]
async fn what_does_not_finish_in_time_is_cut_off() {
    let running = start(limits()).await;
    let mut client = running.h1().await;
    let waiting = tokio::task::spawn(client.send_request(post("/wait", b"{}")));
    running.until_metric("privet_in_flight_bytes 2").await;
    running.stop.raise();
    assert_eq!(running.tasks.finish(Duration::from_millis(50)).await, Finish::CutOff(1));
    assert!(waiting.await.unwrap().is_err());
    assert!(running.metric("privet_in_flight_bytes 0"));
    assert_eq!(Arc::strong_count(&running.shell), 1);
}

#[tokio::test]
async fn above_the_connection_limit_connections_wait() {
    let running = start(Limits { connections_max: 1, ..limits() }).await;
    let mut first = running.h1().await;
    assert_eq!(first.send_request(post("/", b"")).await.unwrap().status(), 200);
    let mut second = running.h1().await;
    let waiting = second.send_request(post("/", b""));
    assert!(running.metric("privet_connections_open 1"));
    drop(first);
    assert_eq!(waiting.await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_source_beyond_its_rate_is_told_to_wait() {
    let one = std::num::NonZeroU32::MIN;
    let rate = Rate { per_second: one, burst: one.saturating_add(1) };
    let running = start(Limits { rate_per_source: Some(rate), ..limits() }).await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(running.h1().await.send_request(post("/", b"")).await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [200, 200, 429]);
}

#[tokio::test]
async fn too_many_or_too_long_headers_are_refused() {
    let running = start(limits()).await;
    let many: String = (0..101).map(|at| format!("x-{at}: y\r\n")).collect();
    let long = format!("x-long: {}\r\n", "y".repeat(17 << 10));
    for headers in [many, long] {
        let answer = running.exchange(format!("GET / HTTP/1.1\r\nhost: a\r\n{headers}\r\n").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 431") || answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    let mut client = running.h2().await;
    let request = Request::post("http://a/").header("x-long", "y".repeat(17 << 10)).body(Full::default()).unwrap();
    let answer = client.send_request(request).await;
    assert!(answer.is_err() || answer.unwrap().status() == 431);
}

#[tokio::test]
async fn a_connect_request_is_refused() {
    let running = start(limits()).await;
    let answer = running.exchange(b"CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

/// Streams opened and reset at once, written frame by frame (CVE-2023-44487).
#[tokio::test]
async fn a_rapid_reset_ends_the_connection() {
    let running = start(limits()).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let mut frames = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for id in (1_u32..4001).step_by(2) {
        // :method POST, :scheme http, :path /, :authority a
        frames.extend([0, 0, 6, 1, 4]);
        frames.extend(id.to_be_bytes());
        frames.extend([0x83, 0x86, 0x84, 0x41, 1, b'a']);
        frames.extend([0, 0, 4, 3, 0]);
        frames.extend(id.to_be_bytes());
        frames.extend([0, 0, 0, 8]);
    }
    // The connection may end while this is still being written.
    stream.write_all(&frames).await.ok();
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await.expect("an end").ok();
    running.until_metric(r#"privet_connections_ended_total{code="broken"} 1"#).await;
    assert_eq!(running.h1().await.send_request(post("/", b"")).await.unwrap().status(), 200);
}

mod over_tls {
    use super::*;
    use crate::config::Tls;
    use crate::tls;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    use std::path::Path;
    use tokio_rustls::client::TlsStream;

    type Authority = CertifiedIssuer<'static, KeyPair>;

    fn authority() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    /// A certificate and its key, both PEM.
    fn issued(authority: &Authority, usage: ExtendedKeyUsagePurpose) -> (String, String) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, authority).unwrap().pem(), key.serialize_pem())
    }

    fn files(directory: &Path, authority: &Authority, client_ca: bool) -> Tls {
        let (certificate, key) = issued(authority, ExtendedKeyUsagePurpose::ServerAuth);
        for (name, pem) in [("tls.crt", certificate), ("tls.key", key), ("ca.crt", authority.pem())] {
            std::fs::write(directory.join(name), pem).unwrap();
        }
        Tls {
            certificate: directory.join("tls.crt"),
            key: directory.join("tls.key"),
            client_ca: client_ca.then(|| directory.join("ca.crt")),
        }
    }

    async fn connect(
        running: &Running,
        authority: &Authority,
        alpn: &str,
        identity: Option<(String, String)>,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
        let builder = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
                    PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
                )
                .unwrap(),
        };
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        let stream = TcpStream::connect(running.address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    async fn get_h1(stream: &mut TlsStream<TcpStream>) -> std::io::Result<String> {
        stream.write_all(b"GET /v1/t HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(String::from_utf8(answer).unwrap())
    }

    #[tokio::test]
    async fn alpn_chooses_the_version() {
        let directory = tempfile::tempdir().unwrap();
        let authority = authority();
        let config = tls::server(&files(directory.path(), &authority, false)).unwrap();
        let running = start_with(limits(), Some(config)).await;
        let mut h1 = connect(&running, &authority, "http/1.1", None).await.unwrap();
        assert!(get_h1(&mut h1).await.unwrap().ends_with("GET /v1/t 0 events"));
        let h2 = connect(&running, &authority, "h2", None).await.unwrap();
        let (mut client, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(h2)).await.unwrap();
        running.doors.spawn(quietly(connection));
        let answer = client.send_request(post("https://a/v1/t", b"{}")).await.unwrap();
        assert_eq!(said(answer).await, (200, "POST /v1/t 2 events".to_owned()));
    }

    #[tokio::test]
    async fn a_client_without_its_certificate_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let (ours, theirs) = (authority(), authority());
        let config = tls::server(&files(directory.path(), &ours, true)).unwrap();
        let running = start_with(limits(), Some(config)).await;
        let good = issued(&ours, ExtendedKeyUsagePurpose::ClientAuth);
        let foreign = issued(&theirs, ExtendedKeyUsagePurpose::ClientAuth);
        let mut stream = connect(&running, &ours, "http/1.1", Some(good)).await.unwrap();
        assert!(get_h1(&mut stream).await.unwrap().starts_with("HTTP/1.1 200"));
        for identity in [None, Some(foreign)] {
            // TLS 1.3 tells a client of its rejection only when it reads.
            if let Ok(mut stream) = connect(&running, &ours, "http/1.1", identity).await {
                assert!(get_h1(&mut stream).await.is_err());
            }
        }
        running.until_metric(r#"privet_connections_ended_total{code="handshake"} 2"#).await;
        assert!(running.metric(r#"privet_requests_total{answer="success"} 1"#));
    }

    #[tokio::test]
    async fn a_handshake_that_never_comes_is_given_up() {
        let directory = tempfile::tempdir().unwrap();
        let config = tls::server(&files(directory.path(), &authority(), false)).unwrap();
        let running = start_with(limits(), Some(config)).await;
        let before = Instant::now();
        assert_eq!(running.exchange(b"").await, "");
        assert!(before.elapsed() < Duration::from_secs(2));
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut alert = Vec::new();
        stream.read_to_end(&mut alert).await.ok();
        assert!(!alert.starts_with(b"HTTP"));
        running.until_metric(r#"privet_connections_ended_total{code="handshake"} 2"#).await;
    }

    #[test]
    fn files_that_do_not_fit_together_are_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let authority = authority();
        let good = files(directory.path(), &authority, true);
        let (_, other_key) = issued(&authority, ExtendedKeyUsagePurpose::ServerAuth);
        std::fs::write(directory.path().join("tls.key"), other_key).unwrap();
        let error = tls::server(&good).unwrap_err().to_string();
        assert!(error.contains("tls.key"), "{error}");
        std::fs::write(directory.path().join("tls.key"), "no key").unwrap();
        assert!(matches!(tls::server(&good).unwrap_err(), tls::TlsError::NoKey(_)));
        std::fs::remove_file(directory.path().join("tls.crt")).unwrap();
        assert!(matches!(tls::server(&good).unwrap_err(), tls::TlsError::Unreadable { .. }));
    }
}
