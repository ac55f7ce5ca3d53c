//! accept: from a connection to a [`RawRequest`], and back to an answer.
//!
//! Promise: a sender can make nothing here large or slow without bound; a
//! request that panics fails alone; HTTP whose framing could be read in two
//! ways is refused. Not here: what a request means. The event line behind
//! [`Carry`] knows, and it also words the refusals that are decided here.

mod body;
mod budget;
mod connection;
mod pulse;
mod serve;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test joins what it spawns")]
mod tests;
mod wire;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::Response;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioTimer;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use budget::{ByteBudget, Held};

use crate::admin::Health;
use crate::clock::Clock;
use crate::config::Limits;
use crate::metrics::{Metrics, RefusedAt};
use crate::rate::SourceRates;
use crate::request::{Asked, ListenerFacts, RawRequest};
use crate::tasks::{Signal, TaskSet};

/// The event line, as the shell around it sees it.
pub trait Carry: Send + Sync + 'static {
    /// Takes one request from here to its destinations and gives the client's
    /// answer. `room` is what the request holds of the byte budget; what is made
    /// of it and outlives a moment has to fit there.
    fn carry(&self, raw: RawRequest, room: Held<'_>) -> impl Future<Output = Response<Bytes>> + Send;

    /// Words a refusal the way the request's format words it, so that the page that sent it can read the answer.
    fn refuse(&self, listener: &ListenerFacts, asked: &Asked<'_>, refusal: Refusal) -> Response<Bytes>;

    /// Hears that connections wait because of others, as long as they do.
    fn crowded(&self) {}

    /// Lets go of what is kept for sources that have not been seen for a while.
    fn tend(&self) {}
}

/// Why a request is refused before anyone looks inside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Too much at once, in all or from this source: try again later.
    Overloaded,
    /// The body is larger than allowed.
    TooLarge,
    /// The body came too slowly.
    TimedOut,
    /// It cannot be enforced now: no policy is in force.
    NotReady,
    /// privet failed inside.
    Fault,
    /// The sidecar is stopping.
    Draining,
    /// It is no proper HTTP request.
    Malformed,
}

impl Refusal {
    const fn counted_as(self) -> RefusedAt {
        match self {
            Self::Overloaded => RefusedAt::AcceptOverloaded,
            Self::TooLarge => RefusedAt::AcceptTooLarge,
            Self::TimedOut => RefusedAt::AcceptTimedOut,
            Self::NotReady => RefusedAt::AcceptNotReady,
            Self::Fault => RefusedAt::Fault,
            Self::Draining => RefusedAt::AcceptDraining,
            Self::Malformed => RefusedAt::AcceptMalformed,
        }
    }
}

/// HTTP/2 streams of one connection at once.
const H2_STREAMS_MAX: u32 = 128;
/// Streams that a client opened and reset before we looked at them (the rapid reset attack).
const H2_PENDING_RESETS_MAX: usize = 20;
/// Streams that we had to reset for a client's errors.
const H2_LOCAL_RESETS_MAX: usize = 1024;
/// How much one stream may send ahead of us.
const H2_STREAM_WINDOW_BYTES: u32 = 256 << 10;
/// How much one connection may send ahead of us.
const H2_CONNECTION_WINDOW_BYTES: u32 = 1 << 20;
/// How much of an answer may wait for a client.
const H2_SEND_BUFFER_BYTES: usize = 256 << 10;
const H2_PING_EVERY: Duration = Duration::from_secs(30);
const H2_PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Header fields of one request, and their size together.
const HEADERS_MAX: usize = 100;
const HEADER_BYTES_MAX: u16 = 16 << 10;
/// hyper's read buffer of one HTTP/1 connection grows to this at most.
const READ_BUFFER_BYTES_MAX: usize = 64 << 10;

/// How often the line hears that connections wait: windows are longer.
const CROWDED_EVERY: Duration = Duration::from_millis(500);

/// Everything that the connections of all listeners share.
pub struct Shell<C> {
    line: Arc<C>,
    limits: Limits,
    budget: Arc<ByteBudget>,
    rates: Option<SourceRates>,
    connections: Arc<Semaphore>,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    tasks: TaskSet,
    h1: http1::Builder,
    h2: http2::Builder<TaskSet>,
}

/// What a shell is made of.
pub struct Parts<C> {
    /// The event line.
    pub line: Arc<C>,
    /// Bounds on what senders can do.
    pub limits: Limits,
    /// Whether requests may be served.
    pub health: Arc<Health>,
    /// Where it counts.
    pub metrics: Arc<Metrics>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Who owns its tasks.
    pub tasks: TaskSet,
}

/// One open address and how it is spoken to there.
pub struct Door {
    /// The socket.
    pub socket: TcpListener,
    /// What its requests carry.
    pub facts: Arc<ListenerFacts>,
    /// TLS, swapped whole when certificates change.
    pub tls: Option<Arc<ArcSwap<ServerConfig>>>,
}

impl<C: Carry> Shell<C> {
    /// A shell around an event line.
    pub fn new(parts: Parts<C>) -> Arc<Self> {
        let Parts { line, limits, health, metrics, clock, tasks } = parts;
        let budget = Arc::new(ByteBudget::new(limits.in_flight_bytes_max));
        let (gauge, sampled) = (metrics.in_flight_bytes.clone(), Arc::clone(&budget));
        #[expect(
            clippy::cast_precision_loss,
            reason = "a gauge is a float, and bodies in memory are below 2^52 bytes"
        )]
        metrics.sample_with(move || gauge.set(sampled.held() as f64));
        let h2 = h2_builder(tasks.clone());
        Arc::new(Self {
            line,
            budget,
            rates: limits.rate_per_source.map(SourceRates::new),
            connections: Arc::new(Semaphore::new(limits.connections_max.min(Semaphore::MAX_PERMITS))),
            limits,
            health,
            metrics,
            clock,
            tasks,
            h1: h1_builder(),
            h2,
        })
    }

    /// Lets go of what is kept for sources that have not been seen for a while. To be called every minute or so.
    pub fn tend(&self) {
        if let Some(rates) = &self.rates {
            rates.forget_recovered();
        }
        self.line.tend();
    }

    /// Takes connections until `closing`; those that are open end after the request they carry when `stop` comes.
    pub async fn accept(self: Arc<Self>, door: Door, closing: Signal, stop: Signal) {
        let mut wait = Backoff::default();
        loop {
            let accepted = tokio::select! {
                biased;
                () = closing.wait() => return,
                accepted = self.next_connection(&door.socket) => accepted,
            };
            match accepted {
                Ok((stream, peer, permit)) => {
                    wait = Backoff::default();
                    self.open(&door, stream, peer, permit, stop.clone());
                }
                Err(error) => {
                    tracing::warn!(listener = door.facts.name, %error, "cannot accept a connection");
                    tokio::time::sleep(wait.next()).await;
                }
            }
        }
    }

    /// Waits for room before it accepts: above the limit, connections wait in the kernel's bounded queue.
    async fn next_connection(
        &self,
        socket: &TcpListener,
    ) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let permit = match Arc::clone(&self.connections).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => self.room().await,
        };
        let (stream, peer) = socket.accept().await?;
        Ok((stream, peer, permit))
    }

    /// Waits for a connection to end. The line hears of it from beginning to end,
    /// for whoever would connect waits because of others.
    async fn room(&self) -> OwnedSemaphorePermit {
        let mut waiting = pin!(Arc::clone(&self.connections).acquire_owned());
        loop {
            self.line.crowded();
            if let Ok(permit) = tokio::time::timeout(CROWDED_EVERY, waiting.as_mut()).await {
                self.line.crowded();
                return permit.expect("the semaphore is never closed");
            }
        }
    }

    fn open(
        self: &Arc<Self>,
        door: &Door,
        stream: TcpStream,
        peer: SocketAddr,
        permit: OwnedSemaphorePermit,
        stop: Signal,
    ) {
        let shell = Arc::clone(self);
        let facts = Arc::clone(&door.facts);
        let tls = door.tls.as_ref().map(|tls| tls.load_full());
        self.tasks.spawn(async move {
            shell.metrics.connections_open.increment(1.0);
            let _open = OnDrop(|| shell.metrics.connections_open.decrement(1.0));
            let ended = connection::run(&shell, facts, tls, stream, peer.ip(), stop).await;
            if let Some(end) = ended {
                shell.metrics.connections_ended.of(end).increment(1);
            }
            drop(permit);
        });
    }
}

fn h1_builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    // The connection's own timer covers headers and idleness in one; hyper's would set one for each request.
    builder
        .header_read_timeout(None)
        .max_headers(HEADERS_MAX)
        .max_header_size(usize::from(HEADER_BYTES_MAX))
        .max_buf_size(READ_BUFFER_BYTES_MAX)
        .half_close(false)
        .writev(true);
    builder
}

fn h2_builder(tasks: TaskSet) -> http2::Builder<TaskSet> {
    let mut builder = http2::Builder::new(tasks);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(H2_STREAMS_MAX)
        .max_pending_accept_reset_streams(H2_PENDING_RESETS_MAX)
        .max_local_error_reset_streams(H2_LOCAL_RESETS_MAX)
        .max_header_list_size(u32::from(HEADER_BYTES_MAX))
        .initial_stream_window_size(H2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(H2_CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(H2_SEND_BUFFER_BYTES)
        .keep_alive_interval(H2_PING_EVERY)
        .keep_alive_timeout(H2_PING_TIMEOUT);
    builder
}

/// Runs something when it goes out of scope, however that happens.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Longer and longer waits, up to a second.
#[derive(Default)]
struct Backoff(u32);

impl Backoff {
    fn next(&mut self) -> Duration {
        self.0 = (self.0 + 1).min(8);
        Duration::from_millis(4 << self.0)
    }
}
