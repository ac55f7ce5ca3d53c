//! The witness over HTTP.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use privet_audit_log::witness::SIZE_CONTENT_TYPE;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::{Answer, Witness};
use crate::tasks::TaskSet;

/// The largest body: 63 hashes and a checkpoint with many signatures take less than 16 KiB.
const BODY_BYTES_MAX: usize = 64 << 10;
const CONNECTIONS_MAX: usize = 32;
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// After an address gives no connection, so that a full table is not asked all the time.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves `POST /add-checkpoint` until it is dropped; connections belong to `tasks`.
pub async fn serve(socket: TcpListener, witness: Arc<Witness>, tasks: TaskSet) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let permit = Arc::clone(&room).acquire_owned().await.expect("the semaphore is never closed");
        let Ok((stream, _)) = socket.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let witness = Arc::clone(&witness);
        tasks.spawn(async move {
            let service = service_fn(async |request: Request<Incoming>| {
                Ok::<_, Infallible>(answer(Arc::clone(&witness), request).await)
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            // Whoever asks may leave at any time; what was kept stays kept.
            tokio::time::timeout(CONNECTION_TIMEOUT, connection).await.ok();
            drop(permit);
        });
    }
}

async fn answer(witness: Arc<Witness>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    if request.uri().path() != "/add-checkpoint" {
        return plain(StatusCode::NOT_FOUND, "not here\n".to_owned());
    }
    if request.method() != Method::POST {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "POST only\n".to_owned());
    }
    let Ok(body) = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await else {
        return plain(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large or was not sent whole\n".to_owned());
    };
    let Ok(body) = String::from_utf8(body.to_bytes().into()) else {
        return plain(StatusCode::BAD_REQUEST, "the body is not UTF-8\n".to_owned());
    };
    let done = tokio::task::spawn_blocking(move || witness.add_checkpoint(&body)).await;
    told(done.unwrap_or(Answer::Failed))
}

fn told(answer: Answer) -> Response<Full<Bytes>> {
    match answer {
        Answer::Cosigned(line) => plain(StatusCode::OK, line),
        Answer::Failed => {
            plain(StatusCode::INTERNAL_SERVER_ERROR, "the witness cannot keep checkpoints now\n".to_owned())
        }
        Answer::Declined(declined) => {
            let status = StatusCode::from_u16(declined.status()).unwrap_or(StatusCode::BAD_REQUEST);
            match declined.known_size() {
                Some(size) => typed(status, SIZE_CONTENT_TYPE, format!("{size}\n")),
                None => plain(status, format!("{declined}\n")),
            }
        }
    }
}

fn plain(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    typed(status, "text/plain; charset=utf-8", body)
}

fn typed(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
