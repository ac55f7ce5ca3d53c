//! The collector of the demonstration: takes everything and writes it down.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use privet_policy::format::Format;

use crate::formats::answer_success;
use crate::request::Asked;
use crate::tasks::TaskSet;

/// A collector on a free port of the loopback interface.
pub(super) struct Collector {
    address: SocketAddr,
    received: Arc<AtomicU64>,
    closing: CancellationToken,
    tasks: TaskSet,
}

impl Collector {
    pub(super) async fn start(file: &Path) -> io::Result<Self> {
        let file = Arc::new(Mutex::new(File::create(file)?));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (received, closing, tasks) = (Arc::new(AtomicU64::new(0)), CancellationToken::new(), TaskSet::new());
        tasks.spawn(accept(listener, file, Arc::clone(&received), closing.clone(), tasks.clone()));
        Ok(Self { address, received, closing, tasks })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it; gives how many requests came.
    pub(super) async fn stop(self) -> u64 {
        self.closing.cancel();
        self.tasks.finish(std::time::Duration::from_secs(1)).await;
        self.received.load(Ordering::Relaxed)
    }
}

async fn accept(
    listener: TcpListener,
    file: Arc<Mutex<File>>,
    received: Arc<AtomicU64>,
    closing: CancellationToken,
    tasks: TaskSet,
) {
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted,
            () = closing.cancelled() => return,
        };
        let Ok((stream, _)) = stream else { continue };
        let (file, received, closing) = (Arc::clone(&file), Arc::clone(&received), closing.clone());
        tasks.spawn(async move {
            let service = service_fn(|request| take(request, &file, &received));
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                _ = connection => {}
                () = closing.cancelled() => {}
            }
        });
    }
}

async fn take(
    request: Request<Incoming>,
    file: &Mutex<File>,
    received: &AtomicU64,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let headers: Vec<[String; 2]> = head
        .headers
        .iter()
        .map(|(name, value)| [name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()])
        .collect();
    let mut line = json!({"method": head.method.as_str(), "target": head.uri.to_string(), "headers": headers});
    let written = serde_json::from_slice::<Value>(&body).map(|body| ("body", body));
    let (name, value) = written.unwrap_or_else(|_| ("body_b64", STANDARD.encode(&body).into()));
    if let Some(line) = line.as_object_mut() {
        line.insert(name.to_owned(), value);
    }
    received.fetch_add(1, Ordering::Relaxed);
    let kept = writeln!(file.lock().unwrap_or_else(PoisonError::into_inner), "{line}");
    let mut answer = said_to(&head);
    if kept.is_err() {
        *answer.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
    }
    Ok(answer)
}

/// What a collector of the request's format says when it has taken everything.
fn said_to(head: &Parts) -> Response<Full<Bytes>> {
    let format = if head.uri.path() == "/v1/logs" { Format::Otlp } else { Format::Segment };
    let asked = Asked { method: &head.method, target: head.uri.path(), headers: &head.headers };
    answer_success(format, &asked).map(Full::new)
}
