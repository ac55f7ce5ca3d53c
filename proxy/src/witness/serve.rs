//! The witness over HTTP.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use privet_audit_log::witness::SIZE_CONTENT_TYPE;
use tokio::net::TcpListener;

use super::{Answer, BODY_BYTES_MAX, Witness};
use crate::side_door::{self, Bounds, typed};
use crate::tasks::TaskSet;

const BOUNDS: Bounds = Bounds {
    connections_max: 32,
    connections_spare: 0,
    header_timeout: Duration::from_secs(5),
    connection_timeout: Duration::from_secs(30),
};

/// Serves `POST /add-checkpoint` until it is dropped; connections belong to `tasks`. What was kept stays kept, whoever leaves.
pub async fn serve(socket: TcpListener, witness: Arc<Witness>, tasks: TaskSet) {
    side_door::serve(socket, BOUNDS, tasks, move |request| answer(Arc::clone(&witness), request)).await;
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
            plain(StatusCode::INTERNAL_SERVER_ERROR, "the witness cannot keep checkpoints of this log now\n".to_owned())
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
