//! One request: checked, read whole, carried, answered.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header, request};
use http_body_util::Full;
use hyper::body::Incoming;

use super::body::read_whole;
use super::pulse::Pulse;
use super::wire::Framing;
use super::{Carry, OnDrop, Refusal, Shell};
use crate::admin::Phase;
use crate::contained::{Panicked, contained};
use crate::metrics::{Answer, RefusedAt};
use crate::request::{ListenerFacts, RawRequest};

/// Whoever is at the other end of one connection.
pub(super) struct Caller<C> {
    pub shell: Arc<Shell<C>>,
    pub facts: Arc<ListenerFacts>,
    pub peer: IpAddr,
    pub pulse: Arc<Pulse>,
}

impl<C: Carry> Caller<C> {
    /// Answers one request, whatever happens on the way.
    pub async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let begun = Instant::now();
        let framing = self.pulse.begin();
        let _busy = OnDrop(|| self.pulse.end());
        let uri = request.uri().clone();
        let version = request.version();
        let answer = match contained(self.serve(request, framing)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(refusal)) => self.refuse(&uri, version, refusal, refusal.counted_as()),
            Err(Panicked) => self.fail(&uri, version),
        };
        let metrics = &self.shell.metrics;
        metrics.requests.of(Answer::of(answer.status())).increment(1);
        metrics.request_seconds.record(begun.elapsed());
        answer.map(Full::new)
    }

    async fn serve(&self, request: Request<Incoming>, framing: Option<Framing>) -> Result<Response<Bytes>, Refusal> {
        let shell = &*self.shell;
        let (parts, body) = request.into_parts();
        self.may_begin(&parts, framing)?;
        let body = read_whole(body, &shell.limits, &shell.budget).await?;
        shell.metrics.request_body_bytes.increment(u64::try_from(body.bytes.len()).unwrap_or(u64::MAX));
        let raw = RawRequest {
            target: target(&parts.uri).to_owned(),
            method: parts.method,
            headers: parts.headers,
            body: body.bytes,
            peer: self.peer,
            listener: Arc::clone(&self.facts),
            received_at: shell.clock.now(),
        };
        Ok(shell.line.carry(raw, body.held).await)
    }

    /// What can be told before the body is read.
    fn may_begin(&self, parts: &request::Parts, framing: Option<Framing>) -> Result<(), Refusal> {
        match self.shell.health.phase() {
            Phase::Serving | Phase::Draining => {}
            Phase::Starting => return Err(Refusal::NotReady),
            Phase::Closed => return Err(Refusal::Draining),
        }
        if parts.method == Method::CONNECT || !framed_once(parts, framing) {
            return Err(Refusal::Malformed);
        }
        match &self.shell.rates {
            Some(rates) if !rates.allows(self.peer) => Err(Refusal::Overloaded),
            _ => Ok(()),
        }
    }

    /// A refused body is not read, so what follows on an HTTP/1 connection cannot be told from it.
    fn refuse(&self, uri: &Uri, version: Version, refusal: Refusal, counted_as: RefusedAt) -> Response<Bytes> {
        self.shell.metrics.requests_refused.of(counted_as).increment(1);
        let mut answer = self.word(uri, refusal);
        if version < Version::HTTP_2 {
            answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }

    fn fail(&self, uri: &Uri, version: Version) -> Response<Bytes> {
        self.shell.metrics.panics.increment(1);
        self.refuse(uri, version, Refusal::Fault, RefusedAt::Fault)
    }

    /// The line's words; none at all, should it panic on these too.
    fn word(&self, uri: &Uri, refusal: Refusal) -> Response<Bytes> {
        let words = || self.shell.line.refuse(&self.facts, target(uri), refusal);
        catch_unwind(AssertUnwindSafe(words)).unwrap_or_else(|_| {
            let mut answer = Response::new(Bytes::new());
            *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            answer
        })
    }
}

fn target(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str)
}

/// Whether there is one way only to tell where the body ends.
///
/// The one transfer coding is `chunked`, alone. hyper drops a `Content-Length`
/// beside it, so the connection's own notes tell whether there was one; a head
/// that was pipelined has no notes, and then chunks are refused too. The notes
/// also tell of a line that ended in LF alone, which others take for part of the
/// line before (RFC 9112, section 2.2, allows either).
fn framed_once(parts: &request::Parts, framing: Option<Framing>) -> bool {
    if framing.is_some_and(|framing| framing.bare_lf) {
        return false;
    }
    let mut codings = parts.headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => {
            framing.is_some_and(|framing| framing.coding && !framing.length)
        }
        _ => false,
    }
}
