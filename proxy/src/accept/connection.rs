//! One connection: which HTTP it speaks, its requests, its timer, its end.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::pulse::{Pulse, Verdict};
use super::serve::Caller;
use super::wire::{self, Prefix, Version, Wire};
use super::{Carry, Shell};
use crate::metrics::ConnectionEnd;
use crate::request::ListenerFacts;
use crate::tasks::Signal;

/// Serves a connection to its end, and says why if it ended before its time.
pub(super) async fn run<C: Carry>(
    shell: &Arc<Shell<C>>,
    facts: Arc<ListenerFacts>,
    tls: Option<Arc<ServerConfig>>,
    stream: TcpStream,
    peer: IpAddr,
    stop: Signal,
) -> Option<ConnectionEnd> {
    if stream.set_nodelay(true).is_err() {
        return Some(ConnectionEnd::Broken);
    }
    let caller = Caller { shell: Arc::clone(shell), facts, peer: peer.to_canonical(), pulse: Arc::new(Pulse::new()) };
    match tls {
        None => plain(stream, caller, stop).await,
        Some(config) => encrypted(stream, config, caller, stop).await,
    }
}

/// The client has `header_timeout` to show which version it speaks.
async fn plain<C: Carry>(mut stream: TcpStream, caller: Caller<C>, stop: Signal) -> Option<ConnectionEnd> {
    let sniffed = tokio::select! {
        biased;
        sniffed = tokio::time::timeout(caller.shell.limits.header_timeout, wire::sniff(&mut stream)) => sniffed,
        () = stop.wait() => return None,
    };
    match sniffed {
        Err(_) => Some(ConnectionEnd::Headers),
        Ok(Err(_)) => None,
        Ok(Ok((version, prefix))) => speak(version, stream, prefix, caller, stop).await,
    }
}

/// The version is settled in the handshake, for which the client has `header_timeout`.
async fn encrypted<C: Carry>(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    caller: Caller<C>,
    stop: Signal,
) -> Option<ConnectionEnd> {
    let handshake = TlsAcceptor::from(config).accept(stream);
    let shaken = tokio::select! {
        biased;
        shaken = tokio::time::timeout(caller.shell.limits.header_timeout, handshake) => shaken,
        () = stop.wait() => return None,
    };
    let Ok(Ok(stream)) = shaken else { return Some(ConnectionEnd::Handshake) };
    let version = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Version::H2,
        _ => Version::H1,
    };
    speak(version, stream, Prefix::default(), caller, stop).await
}

async fn speak<C, I>(version: Version, io: I, prefix: Prefix, caller: Caller<C>, stop: Signal) -> Option<ConnectionEnd>
where
    C: Carry,
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shell = Arc::clone(&caller.shell);
    let pulse = Arc::clone(&caller.pulse);
    let caller = Arc::new(caller);
    let service = service_fn(move |request| {
        let caller = Arc::clone(&caller);
        async move { Ok::<_, Infallible>(caller.answer(request).await) }
    });
    match version {
        Version::H1 => {
            let io = TokioIo::new(Wire::h1(io, prefix, Arc::clone(&pulse)));
            guard(shell.h1.serve_connection(io, service), &pulse, &shell, stop).await
        }
        Version::H2 => {
            let io = TokioIo::new(Wire::h2(io, prefix));
            guard(shell.h2.serve_connection(io, service), &pulse, &shell, stop).await
        }
    }
}

/// A connection that can be told to end after what it is doing.
trait Graceful: Future<Output = hyper::Result<()>> {
    fn wind_down(self: Pin<&mut Self>);
}

impl<I, S> Graceful for hyper::server::conn::http1::Connection<I, S>
where
    Self: Future<Output = hyper::Result<()>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    S: hyper::service::HttpService<hyper::body::Incoming>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::ResBody: http_body::Body + 'static,
    <S::ResBody as http_body::Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn wind_down(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, S, E> Graceful for hyper::server::conn::http2::Connection<I, S, E>
where
    Self: Future<Output = hyper::Result<()>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    S: hyper::service::HttpService<hyper::body::Incoming>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::ResBody: http_body::Body + 'static,
    <S::ResBody as http_body::Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    E: hyper::rt::bounds::Http2ServerConnExec<S::Future, S::ResBody>,
{
    fn wind_down(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// What a connection's task has to do next.
enum Turn {
    /// The connection ended.
    Done(hyper::Result<()>),
    /// It is time to look whether it is stuck.
    Look,
}

/// Drives a connection beside its timer and the order to stop.
async fn guard<C, F: Graceful>(connection: F, pulse: &Pulse, shell: &Shell<C>, stop: Signal) -> Option<ConnectionEnd> {
    let mut connection = pin!(connection);
    let mut timer = pin!(tokio::time::sleep(shell.limits.header_timeout / 2));
    let mut stopping = false;
    loop {
        let turn = |cx: &mut Context<'_>| match connection.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Turn::Done(done)),
            Poll::Pending => timer.as_mut().poll(cx).map(|()| Turn::Look),
        };
        let turn = if stopping { Some(poll_fn(turn).await) } else { stop.or(turn).await };
        match turn {
            Some(Turn::Done(done)) => return done.err().map(|_| ConnectionEnd::Broken),
            Some(Turn::Look) => match pulse.verdict(&shell.limits) {
                Verdict::Wait(left) => timer.as_mut().reset(tokio::time::Instant::now() + left),
                Verdict::End(end) => return Some(end),
            },
            None if pulse.is_fresh() => return None,
            None => {
                stopping = true;
                connection.as_mut().wind_down();
            }
        }
    }
}
