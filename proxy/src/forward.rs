//! forward: one minimized request to one collector, and what came of it.
//!
//! Promise: a request is sent again only if it cannot have been processed, that
//! is when a pooled connection was dead before a byte was written; otherwise
//! only connecting is tried again. The answer is bounded in size and time.
//! Copies run in the background in bounded memory and never touch a client's
//! answer.
//!
//! Not here: what may be sent, and recording it first; the event line does both
//! before it calls [`Upstreams::send`].

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header};
use http_body::Body as _;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use metrics::Counter;
use rustls::ClientConfig;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tower_service::Service;

use crate::metrics::{Metrics, SendOutcome};
use crate::tasks::TaskSet;

/// One request as it leaves.
#[derive(Clone)]
pub struct Forward {
    /// The method.
    pub method: Method,
    /// Path and query, below the destination's address.
    pub target: String,
    /// The headers that may leave; `Host` and framing are set here.
    pub headers: HeaderMap,
    /// The minimized body.
    pub body: Bytes,
}

/// What came of a request.
#[derive(Debug)]
pub enum Delivery {
    /// The collector answered 2xx.
    Acknowledged(Reply),
    /// The collector answered something else.
    Refused(Reply),
    /// There was no answer.
    Unknown(Lost),
}

/// A collector's answer.
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// All of its headers.
    pub headers: HeaderMap,
    /// Its body; empty when it was too large or broke off.
    pub body: Bytes,
}

impl Reply {
    /// Whether the body is all that the collector said it would send.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let said = self.headers.get(header::CONTENT_LENGTH).and_then(|said| said.to_str().ok());
        said.and_then(|said| said.parse::<usize>().ok()).is_none_or(|said| said == self.body.len())
    }
}

/// Why there was no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// No connection could be made: it was surely not processed.
    Unreachable,
    /// The request left, and the connection ended before an answer.
    Broken,
    /// The time was up.
    TimedOut,
    /// It could not be put into a request: it was surely not processed.
    NotSendable,
}

/// The body may be about a person.
impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("status", &self.status).field("body_bytes", &self.body.len()).finish()
    }
}

/// Where something is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The policy's name for it.
    pub name: String,
    /// `http://host:port` or `https://host`, with an optional path in front of every target.
    pub url: String,
    /// From the first try to the end of the answer, if it differs from the configured time.
    pub timeout: Option<Duration>,
}

/// A destination's address is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the url of `{name}` is not of the form `http://host:port` or `https://host`, without a query or a password")]
pub struct NoAddress {
    /// The destination.
    pub name: String,
}

/// The copy queue is full; the copy was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the queue of copies is full")]
pub struct QueueFull;

/// The largest answer that is read.
const REPLY_BYTES_MAX: usize = 64 << 10;
const REPLY_HEADERS_MAX: usize = 100;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long an unused connection to a collector is kept.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
const POOL_IDLE_MAX: usize = 256;
/// Waits before each further try to connect to a collector.
const RETRY_AFTER: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(250)];
/// All copies waiting and under way together.
const COPY_BYTES_MAX: u32 = 32 << 20;
/// What a copy counts for beside its body.
const COPY_BYTES_MIN: usize = 1 << 10;
/// Copies under way at once.
const COPIES_SENDING_MAX: usize = 64;

type Connector = HttpsConnector<Patient>;

/// The connections to all collectors. Outlives policies.
pub struct Client {
    http: legacy::Client<Connector, Full<Bytes>>,
    timeout: Duration,
    metrics: Arc<Metrics>,
    tasks: TaskSet,
    copy_bytes: Arc<Semaphore>,
    copies_sending: Arc<Semaphore>,
}

impl Client {
    /// No connection yet; `timeout` is for destinations that have none of their own.
    #[must_use]
    pub fn new(tls: ClientConfig, timeout: Duration, metrics: Arc<Metrics>, tasks: TaskSet) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(Patient { tcp, retries: metrics.send_retries.clone() });
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .pool_max_idle_per_host(POOL_IDLE_MAX)
            .pool_timer(TokioTimer::new())
            .http1_max_headers(REPLY_HEADERS_MAX)
            .http1_max_buf_size(REPLY_BYTES_MAX)
            .build(connector);
        Self {
            http,
            timeout,
            metrics,
            tasks,
            copy_bytes: Arc::new(Semaphore::new(usize::try_from(COPY_BYTES_MAX).unwrap_or(Semaphore::MAX_PERMITS))),
            copies_sending: Arc::new(Semaphore::new(COPIES_SENDING_MAX)),
        }
    }

    async fn deliver(&self, address: &Address, forward: Forward) -> Delivery {
        let deadline = Instant::now() + address.timeout.unwrap_or(self.timeout);
        match tokio::time::timeout_at(deadline, self.once(address, forward)).await {
            Ok(delivery) => delivery,
            Err(_) => Delivery::Unknown(Lost::TimedOut),
        }
    }

    /// The pool itself puts a request on another connection when the first was dead before it was written.
    async fn once(&self, address: &Address, forward: Forward) -> Delivery {
        let Some(uri) = address.uri(&forward.target) else { return Delivery::Unknown(Lost::NotSendable) };
        match self.http.request(request(uri, forward)).await {
            Ok(answer) => judged(answer).await,
            Err(error) if error.is_connect() => Delivery::Unknown(Lost::Unreachable),
            Err(_) => Delivery::Unknown(Lost::Broken),
        }
    }
}

/// Connects, and tries again for a moment when that fails: no request is lost, or sent twice, by connecting again.
#[derive(Clone)]
struct Patient {
    tcp: HttpConnector,
    retries: Counter,
}

impl Service<Uri> for Patient {
    type Response = <HttpConnector as Service<Uri>>::Response;
    type Error = <HttpConnector as Service<Uri>>::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Service::poll_ready(&mut self.tcp, cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Self { mut tcp, retries } = self.clone();
        Box::pin(async move {
            for wait in RETRY_AFTER {
                if let Ok(stream) = tcp.call(uri.clone()).await {
                    return Ok(stream);
                }
                tokio::time::sleep(wait).await;
                retries.increment(1);
            }
            tcp.call(uri).await
        })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

fn request(uri: Uri, forward: Forward) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(forward.body));
    *request.method_mut() = forward.method;
    *request.uri_mut() = uri;
    *request.headers_mut() = forward.headers;
    for name in [header::HOST, header::CONNECTION, header::TRANSFER_ENCODING, header::CONTENT_LENGTH] {
        request.headers_mut().remove(name);
    }
    request
}

/// The status is the collector's word, even if the rest of its answer is lost.
async fn judged(answer: Response<Incoming>) -> Delivery {
    let (parts, body) = answer.into_parts();
    let body = if body.is_end_stream() {
        Bytes::new()
    } else {
        Limited::new(body, REPLY_BYTES_MAX).collect().await.map(|whole| whole.to_bytes()).unwrap_or_default()
    };
    let reply = Reply { status: parts.status, headers: parts.headers, body };
    if reply.status.is_success() { Delivery::Acknowledged(reply) } else { Delivery::Refused(reply) }
}

/// The destinations of one policy.
#[derive(Debug)]
pub struct Upstreams {
    client: Arc<Client>,
    /// A handful: looking at each is faster than hashing.
    addresses: Vec<(String, Arc<Address>)>,
}

impl Upstreams {
    /// The destinations, on connections that are shared with the policies before and after.
    ///
    /// # Errors
    /// [`NoAddress`] for the first destination that has none.
    pub fn new(client: Arc<Client>, destinations: impl IntoIterator<Item = Destination>) -> Result<Self, NoAddress> {
        let addresses: Result<_, _> = destinations
            .into_iter()
            .map(|destination| match Address::of(&destination) {
                Some(address) => Ok((destination.name, Arc::new(address))),
                None => Err(NoAddress { name: destination.name }),
            })
            .collect();
        Ok(Self { client, addresses: addresses? })
    }

    /// Sends to the primary destination and waits for what comes of it.
    pub async fn send(&self, destination: &str, forward: Forward) -> Delivery {
        let begun = Instant::now();
        let delivery = match self.address(destination) {
            Some(address) => self.client.deliver(address, forward).await,
            None => Delivery::Unknown(Lost::NotSendable),
        };
        let metrics = &self.client.metrics;
        metrics.send_seconds.record(begun.elapsed());
        metrics.sends.of(delivery.as_primary()).increment(1);
        delivery
    }

    fn address(&self, destination: &str) -> Option<&Arc<Address>> {
        self.addresses.iter().find(|(name, _)| name == destination).map(|(_, address)| address)
    }

    /// Sends a copy in the background. `done` is called once, whatever happens to it.
    ///
    /// # Errors
    /// [`QueueFull`]; then nothing is sent and `done` is not called.
    pub fn copy(
        &self,
        destination: &str,
        forward: Forward,
        done: impl FnOnce(Delivery) + Send + 'static,
    ) -> Result<(), QueueFull> {
        let client = Arc::clone(&self.client);
        let weight = u32::try_from(forward.body.len().max(COPY_BYTES_MIN)).unwrap_or(u32::MAX);
        let Ok(room) = Arc::clone(&client.copy_bytes).try_acquire_many_owned(weight) else {
            client.metrics.sends.of(SendOutcome::CopyQueueFull).increment(1);
            return Err(QueueFull);
        };
        let address = self.address(destination).map(Arc::clone);
        let mut told = Told(Some(done));
        client.metrics.copies_queued.increment(1.0);
        let queued = Queued(Arc::clone(&client));
        self.client.tasks.spawn(async move {
            let _queued = queued;
            let _sending = client.copies_sending.acquire().await.expect("the semaphore is never closed");
            let delivery = match address {
                Some(address) => client.deliver(&address, forward).await,
                None => Delivery::Unknown(Lost::NotSendable),
            };
            client.metrics.sends.of(delivery.as_copy()).increment(1);
            told.tell(delivery);
            drop(room);
        });
        Ok(())
    }
}

/// Counts a copy for as long as it lives.
struct Queued(Arc<Client>);

impl Drop for Queued {
    fn drop(&mut self) {
        self.0.metrics.copies_queued.decrement(1.0);
    }
}

/// Tells what came of a copy; when it is cut off, that nobody knows.
struct Told<F: FnOnce(Delivery)>(Option<F>);

impl<F: FnOnce(Delivery)> Told<F> {
    fn tell(&mut self, delivery: Delivery) {
        if let Some(done) = self.0.take() {
            done(delivery);
        }
    }
}

impl<F: FnOnce(Delivery)> Drop for Told<F> {
    fn drop(&mut self) {
        self.tell(Delivery::Unknown(Lost::Broken));
    }
}

impl Delivery {
    const fn as_primary(&self) -> SendOutcome {
        match self {
            Self::Acknowledged(_) => SendOutcome::PrimaryAcknowledged,
            Self::Refused(_) => SendOutcome::PrimaryRefused,
            Self::Unknown(_) => SendOutcome::PrimaryUnknown,
        }
    }

    const fn as_copy(&self) -> SendOutcome {
        match self {
            Self::Acknowledged(_) => SendOutcome::CopyAcknowledged,
            Self::Refused(_) => SendOutcome::CopyRefused,
            Self::Unknown(_) => SendOutcome::CopyUnknown,
        }
    }
}

/// A destination's address, taken apart once.
#[derive(Debug)]
struct Address {
    scheme: Scheme,
    authority: Authority,
    /// In front of every target; no slash at its end.
    prefix: String,
    timeout: Option<Duration>,
}

impl Address {
    fn of(destination: &Destination) -> Option<Self> {
        let parts = destination.url.parse::<Uri>().ok()?.into_parts();
        let scheme = parts.scheme.filter(|scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS)?;
        let authority = parts.authority.filter(|authority| !authority.as_str().contains('@'))?;
        let path = parts.path_and_query.filter(|path| path.query().is_none())?;
        let prefix = path.path().trim_end_matches('/').to_owned();
        Some(Self { scheme, authority, prefix, timeout: destination.timeout })
    }

    fn uri(&self, target: &str) -> Option<Uri> {
        if !target.starts_with('/') {
            return None;
        }
        let path = if self.prefix.is_empty() {
            PathAndQuery::try_from(target)
        } else {
            PathAndQuery::try_from(format!("{}{target}", self.prefix))
        };
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path.ok()?);
        Uri::from_parts(parts).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Upstream;
    use crate::tls;
    use std::net::SocketAddr;
    use std::sync::Mutex;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::oneshot;

    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-from: collector\r\n\r\nok";

    fn client() -> (Arc<Client>, Arc<Metrics>, TaskSet) {
        let (tls, _) = tls::client(&Upstream::default()).unwrap();
        let (metrics, tasks) = (Arc::new(Metrics::new()), TaskSet::new());
        let client = Client::new(tls, Duration::from_secs(5), Arc::clone(&metrics), tasks.clone());
        (Arc::new(client), metrics, tasks)
    }

    fn upstreams(client: &Arc<Client>, url: impl Into<String>) -> Upstreams {
        let destination = Destination { name: "collector".to_owned(), url: url.into(), timeout: None };
        Upstreams::new(Arc::clone(client), [destination]).unwrap()
    }

    fn forward(target: &str) -> Forward {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", "application/json".parse().unwrap());
        headers.insert("host", "somewhere.else".parse().unwrap());
        headers.insert("content-length", "77".parse().unwrap());
        Forward { method: Method::POST, target: target.to_owned(), headers, body: Bytes::from_static(b"{}") }
    }

    type Seen = Arc<Mutex<Vec<String>>>;

    /// A collector that gives each connection these answers, one a request, and then closes it.
    async fn collector(answers: &'static [&'static str]) -> (SocketAddr, Seen, TaskSet) {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let (seen, tasks) = (Seen::default(), TaskSet::new());
        tasks.spawn(serve(socket, answers, Arc::clone(&seen), tasks.clone()));
        (address, seen, tasks)
    }

    async fn serve(socket: TcpListener, answers: &'static [&'static str], seen: Seen, tasks: TaskSet) {
        while let Ok((mut stream, _)) = socket.accept().await {
            let seen = Arc::clone(&seen);
            tasks.spawn(async move {
                for answer in answers {
                    let Some(request) = one_request(&mut stream).await else { return };
                    seen.lock().unwrap().push(request);
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    }

    /// Every request of these tests ends with its body, `{}`.
    async fn one_request(stream: &mut TcpStream) -> Option<String> {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n{}") {
            if stream.read_buf(&mut request).await.unwrap() == 0 {
                return None;
            }
        }
        Some(String::from_utf8(request).unwrap())
    }

    #[tokio::test]
    async fn an_answer_comes_back_and_the_framing_is_ours() {
        let (address, seen, _collector) = collector(&[OK]).await;
        let (client, metrics, _) = client();
        let delivery =
            upstreams(&client, format!("http://{address}/base/")).send("collector", forward("/v1/t?a=b")).await;
        let Delivery::Acknowledged(reply) = delivery else { panic!("{delivery:?}") };
        assert_eq!((reply.status.as_u16(), &reply.body[..]), (200, &b"ok"[..]));
        assert_eq!(reply.headers["x-from"], "collector");
        let request = seen.lock().unwrap()[0].clone();
        assert!(request.starts_with("POST /base/v1/t?a=b HTTP/1.1\r\n"), "{request}");
        assert!(request.contains(&format!("host: {address}\r\n")), "{request}");
        assert!(request.contains("content-length: 2\r\n") && !request.contains("content-length: 77"), "{request}");
        assert!(metrics.render().contains(r#"privet_sends_total{outcome="primary_acknowledged"} 1"#));
    }

    #[tokio::test]
    async fn a_status_that_is_no_success_is_a_refusal_and_is_not_sent_again() {
        for answer in ["500 Internal Server Error", "400 Bad Request", "302 Found"] {
            let answer: &'static str = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n").leak();
            let (address, seen, _collector) = collector(vec![answer].leak()).await;
            let (client, _, _) = client();
            let delivery = upstreams(&client, format!("http://{address}")).send("collector", forward("/")).await;
            assert!(matches!(delivery, Delivery::Refused(_)), "{delivery:?}");
            assert_eq!(seen.lock().unwrap().len(), 1);
        }
    }

    #[tokio::test]
    async fn a_refused_connection_is_tried_again_and_then_told() {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        drop(socket);
        let (client, metrics, _) = client();
        let delivery = upstreams(&client, format!("http://{address}")).send("collector", forward("/")).await;
        assert!(matches!(delivery, Delivery::Unknown(Lost::Unreachable)), "{delivery:?}");
        assert!(metrics.render().contains("privet_send_retries_total 2"));
    }

    #[tokio::test]
    async fn a_collector_that_comes_back_in_time_is_reached() {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        drop(socket);
        let (seen, tasks) = (Seen::default(), TaskSet::new());
        let (late, collectors) = (Arc::clone(&seen), tasks.clone());
        tasks.spawn(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            serve(TcpListener::bind(address).await.unwrap(), &[OK], late, collectors).await;
        });
        let (client, _, _) = client();
        let delivery = upstreams(&client, format!("http://{address}")).send("collector", forward("/")).await;
        assert!(matches!(delivery, Delivery::Acknowledged(_)), "{delivery:?}");
        assert_eq!(seen.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_request_that_may_have_been_processed_is_never_sent_again() {
        let (address, seen, _collector) = collector(&[""]).await;
        let (client, _, _) = client();
        let delivery = upstreams(&client, format!("http://{address}")).send("collector", forward("/")).await;
        assert!(matches!(delivery, Delivery::Unknown(Lost::Broken)), "{delivery:?}");
        assert_eq!(seen.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_pooled_connection_that_died_is_replaced() {
        let (address, seen, _collector) = collector(&[OK]).await;
        let (client, _, _) = client();
        let upstreams = upstreams(&client, format!("http://{address}"));
        for _ in 0..5 {
            let delivery = upstreams.send("collector", forward("/")).await;
            assert!(matches!(delivery, Delivery::Acknowledged(_)), "{delivery:?}");
            // The end of the connection is on its way.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(seen.lock().unwrap().len(), 5);
    }

    #[tokio::test]
    async fn a_connection_is_used_again() {
        let (address, _, collector) = collector(&[OK, OK, OK]).await;
        let (client, _, _) = client();
        let upstreams = upstreams(&client, format!("http://{address}"));
        for _ in 0..3 {
            assert!(matches!(upstreams.send("collector", forward("/")).await, Delivery::Acknowledged(_)));
        }
        assert!(collector.running() <= 2, "one task accepts, one connection at most");
    }

    #[tokio::test]
    async fn a_collector_that_does_not_answer_is_given_up() {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (client, _, _) = client();
        let destination = Destination {
            name: "slow".to_owned(),
            url: format!("http://{}", socket.local_addr().unwrap()),
            timeout: Some(Duration::from_millis(80)),
        };
        let upstreams = Upstreams::new(Arc::clone(&client), [destination]).unwrap();
        let begun = Instant::now();
        let delivery = upstreams.send("slow", forward("/")).await;
        assert!(matches!(delivery, Delivery::Unknown(Lost::TimedOut)), "{delivery:?}");
        assert!(begun.elapsed() < Duration::from_secs(2));
    }

    #[tokio::test]
    async fn an_answer_that_is_too_large_keeps_its_status() {
        let body = "x".repeat(REPLY_BYTES_MAX + 1);
        let answer: &'static str = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).leak();
        let (address, _, _collector) = collector(vec![answer].leak()).await;
        let (client, _, _) = client();
        let delivery = upstreams(&client, format!("http://{address}")).send("collector", forward("/")).await;
        let Delivery::Acknowledged(reply) = delivery else { panic!("{delivery:?}") };
        assert!(reply.body.is_empty());
    }

    #[tokio::test]
    async fn a_copy_is_told_of_its_end() {
        let (address, _, _collector) = collector(&[OK]).await;
        let (client, metrics, tasks) = client();
        let (tell, told) = oneshot::channel();
        let upstreams = upstreams(&client, format!("http://{address}"));
        upstreams.copy("collector", forward("/"), |delivery| tell.send(delivery).unwrap()).unwrap();
        assert!(matches!(told.await.unwrap(), Delivery::Acknowledged(_)));
        tasks.finish(Duration::from_secs(5)).await;
        let text = metrics.render();
        assert!(text.contains("privet_copies_queued 0"), "{text}");
        assert!(text.contains(r#"privet_sends_total{outcome="copy_acknowledged"} 1"#), "{text}");
    }

    #[tokio::test]
    async fn copies_are_bounded_and_those_cut_off_are_told_too() {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (client, metrics, tasks) = client();
        let upstreams = upstreams(&client, format!("http://{}", socket.local_addr().unwrap()));
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let mut large = forward("/");
        large.body = Bytes::from(vec![b'x'; 1 << 20]);
        let mut accepted = 0;
        for _ in 0..40 {
            let tell = tell.clone();
            accepted +=
                usize::from(upstreams.copy("collector", large.clone(), move |gone| tell.send(gone).unwrap()).is_ok());
        }
        assert_eq!(accepted, 32);
        assert!(metrics.render().contains(r#"privet_sends_total{outcome="copy_queue_full"} 8"#));
        tasks.finish(Duration::ZERO).await;
        drop(tell);
        for _ in 0..accepted {
            assert!(matches!(told.recv().await.unwrap(), Delivery::Unknown(Lost::Broken)));
        }
        assert!(told.recv().await.is_none());
    }

    #[test]
    fn only_addresses_are_addresses() {
        let of = |url: &str| Address::of(&Destination { name: String::new(), url: url.to_owned(), timeout: None });
        for good in ["http://127.0.0.1:8081", "https://collector.example/", "http://[::1]:80/a/b/"] {
            assert!(of(good).is_some(), "{good}");
        }
        for bad in ["ftp://a", "http://u:p@a", "http://a/?q=1", "/a", "a:80", ""] {
            assert!(of(bad).is_none(), "{bad}");
        }
        let address = of("http://a:1/b/").unwrap();
        assert_eq!(address.uri("/v1/t?x=y").unwrap(), "http://a:1/b/v1/t?x=y");
        assert!(address.uri("v1").is_none() && address.uri("/a b").is_none());
    }
}
