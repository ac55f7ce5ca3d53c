//! Answers: what every one of them carries, and files that are sent in pieces.

use std::io;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

/// A body, whole or in pieces.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// An answer.
pub type Answer = Response<Body>;

/// A file is sent in pieces of this size, one in memory at a time.
const PIECE_BYTES: usize = 64 << 10;

/// A body that is all there.
#[must_use]
pub fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A document that nobody keeps.
pub(super) fn json(value: &Value) -> Answer {
    json_bytes(value.to_string())
}

/// The same, written already.
pub(super) fn json_bytes(bytes: impl Into<Bytes>) -> Answer {
    data("application/json", whole(bytes))
}

/// What went wrong, in words for whoever asked. Never quotes the request.
pub(super) fn problem(status: StatusCode, why: &str) -> Answer {
    let mut answer = json(&json!({"error": why}));
    *answer.status_mut() = status;
    answer
}

/// The same for whoever looks at it in a browser.
pub(super) fn text(status: StatusCode, why: &'static str) -> Answer {
    let mut answer = data("text/plain; charset=utf-8", whole(format!("{why}\n")));
    *answer.status_mut() = status;
    answer
}

/// A file of so many bytes, as they come from the disk. One that turns out shorter breaks off.
pub(super) fn file(kind: &'static str, file: std::fs::File, bytes: u64) -> Answer {
    let file = tokio::fs::File::from_std(file).take(bytes);
    let pieces = stream::unfold(file, async |mut file| {
        let mut piece = BytesMut::with_capacity(PIECE_BYTES);
        match file.read_buf(&mut piece).await {
            Ok(0) => None,
            Ok(_) => Some((Ok(Frame::data(piece.freeze())), file)),
            Err(error) => Some((Err(error), file)),
        }
    });
    let mut answer = data(kind, StreamBody::new(pieces).boxed_unsync());
    answer.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
    answer
}

fn data(kind: &'static str, body: Body) -> Answer {
    let mut answer = Response::new(body);
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    guard(&mut answer);
    answer
}

/// What no answer goes without: no page may frame it, guess its kind, or read it from another origin.
pub(super) fn guard(answer: &mut Answer) {
    let headers = answer.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Nothing inline, nothing from elsewhere, nothing made of text at run time but the one worker.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types privet";
