//! One request as it came in, before anyone looked inside it.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method};
use jiff::Timestamp;
use privet_policy::format::Format;

/// What a listener's configuration says about every request it takes.
#[derive(Clone, Debug)]
pub struct ListenerFacts {
    /// The listener's configured name: a label, never an address.
    pub name: String,
    /// The formats it takes; empty means find out by path and body (`apply` and `demo` only).
    pub formats: Vec<Format>,
    /// The jurisdiction of its requests where no trusted header says otherwise.
    pub jurisdiction: Option<String>,
    /// A header that names the jurisdiction, honoured from trusted peers only.
    pub jurisdiction_header: Option<http::HeaderName>,
    /// Who may set that header.
    pub trusted_peers: Vec<ipnet::IpNet>,
}

/// A request with its whole body, which is still encoded as it was sent.
///
/// Has no `Debug`: everything in it may be about a person.
pub struct RawRequest {
    /// The method.
    pub method: Method,
    /// Path and query as they stood on the request line.
    pub target: String,
    /// All headers, in order.
    pub headers: HeaderMap,
    /// The body, bounded before it was read, content coding still applied.
    pub body: Bytes,
    /// The address at the other end of the connection.
    pub peer: IpAddr,
    /// The listener it came in by.
    pub listener: Arc<ListenerFacts>,
    /// When the last byte of it had arrived.
    pub received_at: Timestamp,
}

/// What of a request decides how it is answered.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The method.
    pub method: &'a Method,
    /// Path and query.
    pub target: &'a str,
    /// All headers.
    pub headers: &'a HeaderMap,
}

impl RawRequest {
    /// What decides how it is answered.
    #[must_use]
    pub fn asked(&self) -> Asked<'_> {
        Asked { method: &self.method, target: &self.target, headers: &self.headers }
    }
}
