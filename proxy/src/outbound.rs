//! Requests on privet's own account: receipts, and telemetry of itself.
//!
//! Promise: an attempt ends by its deadline, whatever the other side does; of
//! its answer the status alone is looked at.
//!
//! Not here: events, which go through [`crate::forward`].

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::ClientConfig;

/// Sends requests whose bodies are in memory.
pub(crate) type Sender = legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Speaks TLS as told where the address asks for it, and keeps so many connections to a host for the next request.
pub(crate) fn sender(tls: ClientConfig, kept: usize) -> Sender {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    let connector =
        HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp);
    legacy::Client::builder(TokioExecutor::new()).pool_max_idle_per_host(kept).build(connector)
}

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    /// Not in time.
    #[error("not within {0} s")]
    Late(u64),
    /// No connection, or not one that spoke HTTP to its end.
    #[error(transparent)]
    Broken(#[from] legacy::Error),
}

/// Connects anew for each request: one that is kept would be dead by the next.
#[derive(Clone)]
pub(crate) struct Outbound(Sender);

impl Outbound {
    /// Speaks TLS as told where the address asks for it.
    pub(crate) fn new(tls: ClientConfig) -> Self {
        Self(sender(tls, 0))
    }

    /// The status of the answer; nothing where there was none in time.
    pub(crate) async fn status(&self, request: Request<Full<Bytes>>, within: Duration) -> Option<StatusCode> {
        self.ask(request, within).await.ok()
    }

    /// The status of the answer.
    ///
    /// # Errors
    /// Why there was none in time.
    pub(crate) async fn ask(&self, request: Request<Full<Bytes>>, within: Duration) -> Result<StatusCode, Unanswered> {
        let answer = tokio::time::timeout(within, self.0.request(request)).await;
        Ok(answer.map_err(|_| Unanswered::Late(within.as_secs()))??.status())
    }
}
