//! The collector of the load run: takes everything, answers at once, counts.

use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::task::LocalSet;

use super::{Failed, while_doing};

const ANSWER: &[u8] = br#"{"success":true}"#;

/// What arrived so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Arrived {
    pub(super) requests: u64,
    pub(super) bytes: u64,
}

/// Serves until the process ends; on one thread, as it shares its processor with the client.
pub(super) fn serve() -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(while_doing("cannot start a runtime"))?;
    LocalSet::new().block_on(&runtime, accept()).map_err(while_doing("cannot listen"))
}

async fn accept() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    super::process::ready(listener.local_addr()?);
    let arrived = Rc::new(Cell::new(Arrived::default()));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let arrived = Rc::clone(&arrived);
        tokio::task::spawn_local(async move {
            let service = service_fn(|request| take(request, &arrived));
            // A proxy may close a connection whenever it likes.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn take(request: Request<Incoming>, arrived: &Cell<Arrived>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() == Method::GET {
        let text = serde_json::to_vec(&arrived.get()).unwrap_or_default();
        return Ok(Response::new(Full::new(text.into())));
    }
    let mut body = request.into_body();
    let mut bytes = 0;
    while let Some(Ok(frame)) = body.frame().await {
        bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
    }
    let before = arrived.get();
    arrived.set(Arrived { requests: before.requests + 1, bytes: before.bytes + bytes });
    let mut response = Response::new(Full::new(Bytes::from_static(ANSWER)));
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    Ok(response)
}
