//! The order in which the sidecar starts and stops.
//!
//! Promise: health answers before anything else can fail; what can fail of the
//! configuration, certificates and addresses included, fails before the log is
//! opened, so that no start is recorded that never served; no request is served
//! before a policy is in force, and none after the log is closed. Stopping is:
//! not ready, wait, close the listeners, finish what is under way or cut it
//! off at the deadline, flush, close the log.
//!
//! Not here: what the event line is made of. Whoever has one opens the doors
//! around it with [`open`].

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::net::TcpSocket;

use crate::accept::{Carry, Door, Parts, Shell};
use crate::admin::{self, Admin, BEAT_EVERY, Health, Pages};
use crate::clock::Clock;
use crate::config::{Config, Drain, Listener, Tls};
use crate::consent::desk;
use crate::console;
use crate::export::intake;
use crate::forward::Client;
use crate::metrics::{Metrics, Reloaded};
use crate::reload::{self, Place, Source, Timing, Watch, contents_digest};
use crate::request::ListenerFacts;
use crate::shadow::Board;
use crate::tasks::{Finish, Signal, TaskSet};
use crate::telemetry::Telemetry;
use crate::tls::{self, ClientIdentity, TlsError};

/// What everything else stands on; made first.
pub struct Foundation {
    /// What `/readyz` tells.
    pub health: Arc<Health>,
    /// Where things are counted.
    pub metrics: Arc<Metrics>,
    /// What there is to see of a policy in shadow.
    pub shadow: Arc<Board>,
    /// Where decisions are read and changed.
    pub consent: Arc<desk::Place>,
    /// Who takes tables, once there is somebody.
    pub intake: Arc<intake::Place>,
    /// Tells a collector what is measured here.
    pub telemetry: Arc<Telemetry>,
    /// The auditors' page, once there is something to see.
    pub console: Arc<console::Place>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Owns the requests under way and the copies; the drain waits for them.
    pub tasks: TaskSet,
    /// Owns what runs as long as the sidecar does; cut off after the drain.
    pub background: TaskSet,
    /// The connections to collectors.
    pub client: Arc<Client>,
    /// Where health is served.
    pub admin_address: SocketAddr,
    /// Where metrics are served.
    pub metrics_address: SocketAddr,
    identity: Option<Arc<ClientIdentity>>,
    /// The listeners' addresses, held and not listened on yet.
    held: Vec<HeldDoor>,
    /// Kept for its drop, which ends the thread.
    _admin: Admin,
}

/// Why the sidecar does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A certificate or key is missing or wrong.
    #[error("cannot set up tls")]
    Tls(#[from] TlsError),
    /// Health and metrics cannot be served.
    #[error("cannot serve health and metrics")]
    Admin(#[source] std::io::Error),
    /// A listener's address cannot be bound.
    #[error("the listener `{name}` cannot listen on {address}")]
    Listener {
        /// The listener.
        name: String,
        /// Its address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Changed files would not be noticed.
    #[error("cannot watch for changed files")]
    Watch(#[source] std::io::Error),
}

impl Foundation {
    /// Serves health, which says "not ready", holds the listeners' addresses and prepares the rest.
    /// Inside of a runtime, for the sockets.
    ///
    /// # Errors
    /// [`StartError`] when an address, a certificate or an identity cannot be used.
    pub fn lay(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        let (health, metrics) = (Arc::new(Health::default()), Arc::new(Metrics::new()));
        let (shadow, consent) = (Arc::new(Board::default()), Arc::new(desk::Place::default()));
        let intake = Arc::new(intake::Place::default());
        let console = Arc::new(console::Place::default());
        health.beat(clock.monotonic());
        let pages = Pages {
            health: Arc::clone(&health),
            metrics: Arc::clone(&metrics),
            shadow: Arc::clone(&shadow),
            consent: Arc::clone(&consent),
            intake: Arc::clone(&intake),
            console: Arc::clone(&console),
            clock: Arc::clone(&clock),
        };
        let admin = admin::start(config.admin, config.metrics, pages).map_err(StartError::Admin)?;
        let tasks = TaskSet::new();
        let telemetry = Telemetry::new(config.telemetry.as_ref(), Arc::clone(&metrics), Arc::clone(&clock))?;
        let (tls, identity) = tls::client(&config.upstream)?;
        let client = Client::new(tls, config.limits.upstream_timeout, Arc::clone(&metrics), tasks.clone());
        let held = config.listeners.iter().map(HeldDoor::hold).collect::<Result<_, _>>()?;
        Ok(Self {
            health,
            metrics,
            shadow,
            consent,
            intake,
            telemetry: Arc::new(telemetry),
            console,
            clock,
            tasks,
            background: TaskSet::new(),
            client: Arc::new(client),
            admin_address: admin.admin_address,
            metrics_address: admin.metrics_address,
            identity,
            held,
            _admin: admin,
        })
    }
}

/// A sidecar whose addresses are open and whose doors are not yet served.
pub struct Open<C> {
    foundation: Foundation,
    shell: Arc<Shell<C>>,
    doors: Vec<Door>,
    drain: Drain,
    /// Kept for its drop, which ends the thread.
    watch: Watch,
}

/// Opens all listeners around an event line.
///
/// `sources` are watched beside the certificates, each with the contents that are in force already.
///
/// # Errors
/// [`StartError`] when the system does not let us listen after all, or files cannot be watched.
pub async fn open<C: Carry>(
    config: &Config,
    mut foundation: Foundation,
    line: Arc<C>,
    mut sources: Vec<(Source, [u8; 32])>,
) -> Result<Open<C>, StartError> {
    let mut doors = Vec::new();
    let mut served = Vec::new();
    for held in std::mem::take(&mut foundation.held) {
        let (door, tls) = held.open()?;
        doors.push(door);
        served.extend(tls);
    }
    foundation.health.listening();
    sources.extend(certificates(config, served, foundation.identity.clone()));
    let (health, metrics) = (Arc::clone(&foundation.health), Arc::clone(&foundation.metrics));
    let watch = reload::watch(sources, Timing::default(), health, metrics).map_err(StartError::Watch)?;
    let shell = Shell::new(Parts {
        line,
        limits: config.limits,
        health: Arc::clone(&foundation.health),
        metrics: Arc::clone(&foundation.metrics),
        clock: Arc::clone(&foundation.clock),
        tasks: foundation.tasks.clone(),
    });
    Ok(Open { foundation, shell, doors, drain: config.drain, watch })
}

/// A listener's TLS files and what is made of them now.
struct Served {
    files: Tls,
    current: Arc<ArcSwap<ServerConfig>>,
}

impl Served {
    fn load(files: &Tls) -> Result<Self, TlsError> {
        let current = Arc::new(ArcSwap::from_pointee(tls::server(files)?));
        Ok(Self { files: files.clone(), current })
    }

    fn paths(&self) -> impl Iterator<Item = &std::path::PathBuf> {
        [&self.files.certificate, &self.files.key].into_iter().chain(&self.files.client_ca)
    }
}

/// How many connections the system keeps until they are accepted.
const BACKLOG: u32 = 1024;

/// A listener whose address is ours and whose files work, with nobody listening yet: whoever
/// connects is told so, and tries again.
struct HeldDoor {
    socket: TcpSocket,
    facts: Arc<ListenerFacts>,
    address: SocketAddr,
    tls: Option<Served>,
}

impl HeldDoor {
    fn hold(listener: &Listener) -> Result<Self, StartError> {
        let (facts, address) = (Arc::clone(&listener.facts), listener.address);
        let tls = listener.tls.as_ref().map(Served::load).transpose()?;
        let socket = bound(address).map_err(cannot_listen(&facts, address))?;
        Ok(Self { socket, facts, address, tls })
    }

    fn open(self) -> Result<(Door, Option<Served>), StartError> {
        let socket = self.socket.listen(BACKLOG).map_err(cannot_listen(&self.facts, self.address))?;
        let current = self.tls.as_ref().map(|served| Arc::clone(&served.current));
        Ok((Door { socket, facts: self.facts, tls: current }, self.tls))
    }
}

/// A socket with an address of ours. The address is taken where somebody listens on it, not where
/// connections of the process before still end.
fn bound(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn cannot_listen(facts: &ListenerFacts, address: SocketAddr) -> impl FnOnce(std::io::Error) -> StartError {
    let name = facts.name.clone();
    move |source| StartError::Listener { name, address, source }
}

/// All certificate files as one source: new connections use the new ones, open ones stay as they are.
fn certificates(
    config: &Config,
    served: Vec<Served>,
    identity: Option<Arc<ClientIdentity>>,
) -> Option<(Source, [u8; 32])> {
    let mut paths: Vec<_> = served.iter().flat_map(Served::paths).cloned().collect();
    if let Some(own) = &config.upstream.identity {
        paths.extend([own.certificate.clone(), own.key.clone()]);
    }
    if paths.is_empty() {
        return None;
    }
    let place = Place::Files(paths);
    // They were read a moment ago; should they be gone by now, the first look tells.
    let loaded = place.read().map(|files| contents_digest(&files)).unwrap_or_default();
    let apply = Box::new(move |files| swap_certificates(&files, &served, identity.as_deref()));
    Some((Source { what: Reloaded::Certificates, place, apply }, loaded))
}

/// All new ones are made before the first is used, so a mistake changes nothing.
fn swap_certificates(
    files: &reload::Files,
    served: &[Served],
    identity: Option<&ClientIdentity>,
) -> Result<String, String> {
    let fresh: Result<Vec<_>, _> = served.iter().map(|served| tls::server(&served.files)).collect();
    let fresh = fresh.map_err(|error| chain(&error))?;
    if let Some(identity) = identity {
        identity.reload().map_err(|error| chain(&error))?;
    }
    for (served, fresh) in served.iter().zip(fresh) {
        served.current.store(Arc::new(fresh));
    }
    let [a, b, c, d, ..] = contents_digest(files);
    Ok(format!("{a:02x}{b:02x}{c:02x}{d:02x}"))
}

/// An error with its causes, on one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

impl<C: Carry> Open<C> {
    /// The listeners' addresses, in the order of the configuration; port 0 has become a real one.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.doors.iter().filter_map(|door| door.socket.local_addr().ok()).collect()
    }

    /// What the sidecar stands on.
    #[must_use]
    pub const fn foundation(&self) -> &Foundation {
        &self.foundation
    }

    /// Serves until `stop`, then drains, then runs `close`, which flushes and closes the log.
    ///
    /// # Errors
    /// What `close` fails with.
    pub async fn serve<E>(
        self,
        stop: impl Future<Output = ()>,
        close: impl AsyncFnOnce() -> Result<(), E>,
    ) -> Result<Finish, E> {
        let Self { foundation, shell, doors, drain, watch } = self;
        let Foundation { health, tasks, background, .. } = &foundation;
        let (accepting, connections) = (Signal::new(), Signal::new());
        for door in doors {
            let shell = Arc::clone(&shell);
            background.spawn(shell.accept(door, accepting.clone(), connections.clone()));
        }
        background.spawn(Arc::clone(&foundation.telemetry).run());
        background.spawn(turn(Arc::clone(&shell), Arc::clone(health), Arc::clone(&foundation.clock)));
        stop.await;
        tracing::info!("stopping: not ready");
        health.begin_draining();
        tokio::time::sleep(drain.delay).await;
        accepting.raise();
        connections.raise();
        let finish = tasks.finish(drain.grace).await;
        health.close();
        drop(watch);
        background.finish(Duration::ZERO).await;
        tracing::info!(?finish, "drained: closing the log");
        let closed = close().await;
        foundation.telemetry.last().await;
        closed?;
        Ok(finish)
    }
}

/// Beats the heart, and once a minute lets go of what is no longer needed.
async fn turn<C: Carry>(shell: Arc<Shell<C>>, health: Arc<Health>, clock: Arc<dyn Clock>) {
    let mut every = tokio::time::interval(BEAT_EVERY);
    for beats in 0_u64.. {
        every.tick().await;
        health.beat(clock.monotonic());
        if beats.is_multiple_of(60) {
            shell.tend();
        }
    }
}

/// Waits for SIGTERM or an interrupt from the keyboard.
///
/// # Errors
/// When the system does not let signals be waited for.
pub fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test joins what it spawns")]
mod tests;
