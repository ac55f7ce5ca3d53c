//! The reference: a reverse proxy of hyper and hyper-util's pool that does
//! nothing else. It reads a body whole, as anything that looks into it must, and
//! passes it on with its headers.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::uri::{Authority, Scheme};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::{Failed, while_doing};

type Pool = Client<HttpConnector, Full<Bytes>>;

/// Serves until the process ends.
pub(super) fn serve(to: SocketAddr) -> Result<(), Failed> {
    super::runtime()?.block_on(accept(to)).map_err(while_doing("cannot listen"))
}

async fn accept(to: SocketAddr) -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    super::process::ready(listener.local_addr()?);
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let pool: Pool = Client::builder(TokioExecutor::new()).build(connector);
    let authority: Authority = to.to_string().parse().map_err(std::io::Error::other)?;
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (pool, authority) = (pool.clone(), authority.clone());
        connections.spawn(async move {
            let service = service_fn(|request| pass(request, &pool, &authority));
            // A client may close its connection whenever it likes.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn pass(request: Request<Incoming>, pool: &Pool, to: &Authority) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (mut head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    for hop in [HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
        head.headers.remove(hop);
    }
    let mut uri = head.uri.into_parts();
    (uri.scheme, uri.authority) = (Some(Scheme::HTTP), Some(to.clone()));
    head.uri = Uri::from_parts(uri).unwrap_or_default();
    match pool.request(Request::from_parts(head, Full::new(body))).await {
        Ok(response) => {
            let (head, body) = response.into_parts();
            Ok(Response::from_parts(head, Full::new(body.collect().await?.to_bytes())))
        }
        Err(_) => {
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            Ok(response)
        }
    }
}
