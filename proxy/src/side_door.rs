//! HTTP/1 for few: health, metrics, the console, a witness's answers.
//!
//! Promise: a bounded number of connections, each of a bounded time whatever it
//! does; connections belong to the tasks that they are spawned in.
//!
//! Not here: events, which come in by [`crate::accept`].

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::tasks::TaskSet;

/// After an address gives no connection, so that a full table is not asked all the time.
const PAUSE: Duration = Duration::from_millis(50);

/// What whoever connects can take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Connections at once; more wait to be accepted.
    pub connections_max: usize,
    /// While fewer than this are free, each is closed after its answer.
    pub connections_spare: usize,
    /// For the head of a request.
    pub header_timeout: Duration,
    /// For a connection as a whole.
    pub connection_timeout: Duration,
}

/// Answers until it is dropped.
pub(crate) async fn serve<A, F, B>(socket: TcpListener, bounds: Bounds, tasks: TaskSet, answer: A)
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let room = Arc::new(Semaphore::new(bounds.connections_max));
    loop {
        let permit = Arc::clone(&room).acquire_owned().await.expect("the semaphore is never closed");
        let Ok((stream, _)) = socket.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let (answer, room) = (answer.clone(), Arc::clone(&room));
        tasks.spawn(async move {
            let service = service_fn(async |request: Request<Incoming>| {
                let mut answer = answer(request).await;
                if room.available_permits() < bounds.connections_spare {
                    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(answer)
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(bounds.header_timeout)
                .serve_connection(TokioIo::new(stream), service);
            // Whoever asks may leave at any time; there is nobody to tell.
            tokio::time::timeout(bounds.connection_timeout, connection).await.ok();
            drop(permit);
        });
    }
}

/// An answer of one piece.
pub(crate) fn typed(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
