//! One request: checked, read whole, carried, answered.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header};
use http_body_util::Full;
use hyper::body::Incoming;

use super::body::{Whole, read_whole};
use super::pulse::Pulse;
use super::wire::Framing;
use super::{Carry, OnDrop, Refusal, Shell};
use crate::admin::Phase;
use crate::contained::{Panicked, contained};
use crate::metrics::{Answer, RefusedAt};
use crate::request::{Asked, ListenerFacts, RawRequest};

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
        let (parts, body) = request.into_parts();
        let answer = match contained(self.receive(&parts, framing, body)).await {
            Ok(Ok(body)) => self.carry(parts, body).await,
            Ok(Err(refusal)) => self.refuse(&asked(&parts), parts.version, refusal, refusal.counted_as()),
            Err(Panicked) => self.fail(&asked(&parts), parts.version),
        };
        let metrics = &self.shell.metrics;
        metrics.requests.of(Answer::of(answer.status())).increment(1);
        metrics.request_seconds.record(begun.elapsed());
        answer.map(Full::new)
    }

    /// Takes the whole body, if it may come.
    async fn receive(&self, parts: &Parts, framing: Option<Framing>, body: Incoming) -> Result<Whole<'_>, Refusal> {
        let shell = &*self.shell;
        self.may_begin(parts, framing)?;
        let body = read_whole(body, &shell.limits, &shell.budget).await?;
        shell.metrics.request_body_bytes.increment(u64::try_from(body.bytes.len()).unwrap_or(u64::MAX));
        Ok(body)
    }

    /// Hands the request over. Its headers go with it, so that an answer to a panic does without.
    async fn carry(&self, parts: Parts, body: Whole<'_>) -> Response<Bytes> {
        let Parts { method, uri, version, headers, .. } = parts;
        let raw = RawRequest {
            target: target(&uri).to_owned(),
            method: method.clone(),
            headers,
            body: body.bytes,
            peer: self.peer,
            listener: Arc::clone(&self.facts),
            received_at: self.shell.clock.now(),
        };
        contained(self.shell.line.carry(raw, body.held)).await.unwrap_or_else(|Panicked| {
            let asked = Asked { method: &method, target: target(&uri), headers: &HeaderMap::new() };
            self.fail(&asked, version)
        })
    }

    /// What can be told before the body is read.
    fn may_begin(&self, parts: &Parts, framing: Option<Framing>) -> Result<(), Refusal> {
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
    fn refuse(&self, asked: &Asked<'_>, version: Version, refusal: Refusal, counted_as: RefusedAt) -> Response<Bytes> {
        self.shell.metrics.requests_refused.of(counted_as).increment(1);
        let mut answer = self.word(asked, refusal);
        if version < Version::HTTP_2 {
            answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }

    fn fail(&self, asked: &Asked<'_>, version: Version) -> Response<Bytes> {
        self.shell.metrics.panics.increment(1);
        self.refuse(asked, version, Refusal::Fault, RefusedAt::Fault)
    }

    /// The line's words; none at all, should it panic on these too.
    fn word(&self, asked: &Asked<'_>, refusal: Refusal) -> Response<Bytes> {
        let words = || self.shell.line.refuse(&self.facts, asked, refusal);
        catch_unwind(AssertUnwindSafe(words)).unwrap_or_else(|_| {
            let mut answer = Response::new(Bytes::new());
            *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            answer
        })
    }
}

fn asked(parts: &Parts) -> Asked<'_> {
    Asked { method: &parts.method, target: target(&parts.uri), headers: &parts.headers }
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
fn framed_once(parts: &Parts, framing: Option<Framing>) -> bool {
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
