//! Looks whether anything in the pod goes around the sidecar.
//!
//! Promise: while it is on, the enforcement log says each minute what was seen,
//! and within seconds what is new and suspect; numbers and reasons, no address.
//! It prevents nothing: that a collector listens on loopback alone is the work of
//! admission and network policies. A connection shorter than [`LOOK_EVERY`], and
//! UDP, it does not see; nor one to a collector on another machine whose name
//! has no known address, which each record counts.

mod remote;
mod sockets;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use privet_audit_log::record::BypassCheck;

use crate::admin::Health;
use crate::audit::Recorder;
use crate::clock::Clock;
use crate::config::is_loopback;
use crate::line::Line;
use crate::metrics::{Label as _, Metrics, Suspicion};

use remote::{Remote, Target, Watched};
use sockets::{Socket, State};

/// How often the sockets are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Something new that is suspect is recorded at once, but not more often than this.
const NEW_AT_MOST_EVERY: Duration = Duration::from_secs(10);
/// What was seen is recorded this often.
const RECORD_EVERY: Duration = Duration::from_millis(privet_audit_log::record::BYPASS_CHECK_MS);
/// The note in `/readyz`.
const NOTE: &str = "bypass";

/// What is no way around the sidecar.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// Ports that others in the pod may listen on beyond loopback.
    pub listening: BTreeSet<u16>,
    /// Hosts of collectors that others in the pod may reach, for something else is there too. They are not watched.
    pub reaching: BTreeSet<String>,
}

/// What is the collectors', as far as it is known.
#[derive(Clone, Debug, Default)]
struct Collectors {
    /// Ports of loopback addresses that events go to.
    local: BTreeSet<u16>,
    /// Those on other machines.
    remote: Watched,
}

/// What was seen at one look, or the most of each over several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    listening: u64,
    established: u64,
    /// Collectors on other machines that were not watched.
    unwatched: u64,
    /// By [`Suspicion`], in its order.
    suspect: [u64; Suspicion::ALL.len()],
}

impl Seen {
    /// Judges sockets of others.
    fn at(sockets: &[Socket], expected: &Expected, collectors: &Collectors) -> Self {
        let mut seen = Self { unwatched: collectors.remote.unwatched, ..Self::default() };
        for socket in sockets.iter().filter(|socket| !socket.ours) {
            match socket.state {
                State::Listening => seen.listening += 1,
                State::Established => seen.established += 1,
            }
            let suspicion = suspicion(socket, expected, collectors);
            if let Some(count) = suspicion.and_then(|suspicion| seen.suspect.get_mut(suspicion as usize)) {
                *count += 1;
            }
        }
        seen
    }

    /// Keeps the most of each.
    fn merge(&mut self, other: &Self) {
        self.listening = self.listening.max(other.listening);
        self.established = self.established.max(other.established);
        self.unwatched = self.unwatched.max(other.unwatched);
        for (most, now) in self.suspect.iter_mut().zip(other.suspect) {
            *most = (*most).max(now);
        }
    }

    /// Whether something is suspect here of which the other has less.
    fn is_worse_than(&self, other: &Self) -> bool {
        self.suspect.iter().zip(other.suspect).any(|(now, before)| *now > before)
    }

    fn record(&self) -> BypassCheck {
        let reasons: Vec<_> =
            Suspicion::ALL.iter().zip(self.suspect).map(|(suspicion, sockets)| (suspicion.value(), sockets)).collect();
        BypassCheck::new(self.listening, self.established, &reasons).without(self.unwatched)
    }
}

/// Why a socket of somebody else may be a way around the sidecar.
fn suspicion(socket: &Socket, expected: &Expected, collectors: &Collectors) -> Option<Suspicion> {
    let Collectors { local: collectors, remote: elsewhere } = collectors;
    let Socket { local, remote, state, .. } = socket;
    let inside = |address: &SocketAddr| address.ip().is_loopback();
    match state {
        State::Listening if inside(local) => None,
        State::Listening if collectors.contains(&local.port()) => Some(Suspicion::CollectorOpen),
        State::Listening if expected.listening.contains(&local.port()) => None,
        State::Listening => Some(Suspicion::Listens),
        // Each connection within the pod stands twice; only the end that reaches out is counted.
        State::Established if inside(remote) && collectors.contains(&remote.port()) => {
            Some(Suspicion::CollectorReached)
        }
        State::Established if !inside(remote) && collectors.contains(&local.port()) => {
            Some(Suspicion::CollectorReachedFromOutside)
        }
        State::Established if elsewhere.addresses.contains(remote) => Some(Suspicion::CollectorReachedDirectly),
        State::Established => None,
    }
}

/// What the sentinel looks at and whom it tells.
pub struct Sentinel {
    /// What is no way around.
    pub expected: Expected,
    /// Whose destinations are the collectors.
    pub line: Arc<Line>,
    /// Where it is recorded.
    pub recorder: Recorder,
    /// Where `/readyz` says it.
    pub health: Arc<Health>,
    /// Where it is counted.
    pub metrics: Arc<Metrics>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

impl Sentinel {
    /// Looks for as long as the process serves, and asks for collectors' names beside that.
    pub async fn run(self) {
        let (this, remote) = (Arc::new(self), Arc::new(Mutex::default()));
        tokio::join!(Arc::clone(&this).watch(Arc::clone(&remote)), this.ask(&remote));
    }

    async fn watch(self: Arc<Self>, remote: Arc<Mutex<Remote>>) {
        let mut every = tokio::time::interval(LOOK_EVERY);
        let mut told = Told::default();
        loop {
            every.tick().await;
            let (looking, collectors) = (Arc::clone(&self), self.collectors(&remote));
            // Reads files of the kernel: a few thousand where there are as many connections.
            match tokio::task::spawn_blocking(move || looking.look(&collectors)).await {
                Ok(Ok(seen)) => self.tell(&mut told, &seen).await,
                Ok(Err(error)) => self.blind(&error),
                Err(_) => return,
            }
        }
    }

    /// Asks for the names of collectors, one at a time. Who has no answer has none until the next turn.
    async fn ask(&self, remote: &Mutex<Remote>) {
        let mut every = tokio::time::interval(LOOK_EVERY);
        loop {
            every.tick().await;
            let now = self.clock.monotonic();
            let mut due = lock(remote).due(now);
            while let Some(target) = due {
                let addresses = target.ask().await.unwrap_or_default();
                let now = self.clock.monotonic();
                let mut remote = lock(remote);
                remote.answered(&target, addresses, now);
                due = remote.due(now);
            }
        }
    }

    fn look(&self, collectors: &Collectors) -> procfs::ProcResult<Seen> {
        Ok(Seen::at(&sockets::all()?, &self.expected, collectors))
    }

    /// Where the policy in force sends to, as far as it is known.
    fn collectors(&self, remote: &Mutex<Remote>) -> Collectors {
        let in_force = self.line.in_force();
        let destinations = in_force.iter().flat_map(|in_force| in_force.enforcement.policy.destinations());
        let urls: Vec<&str> = destinations.map(|destination| destination.url.as_str()).collect();
        collectors_at(&urls, &self.expected, &mut lock(remote), self.clock.monotonic())
    }

    async fn tell(&self, told: &mut Told, seen: &Seen) {
        self.health.clear_note(NOTE);
        for (suspicion, count) in Suspicion::ALL.iter().zip(seen.suspect) {
            self.metrics.bypass_suspect.of(*suspicion).set(count as f64);
        }
        let total: u64 = seen.suspect.iter().sum();
        if total > 0 {
            self.health.note(NOTE, format!("{total} sockets may be a way around privet; the enforcement log says why"));
        }
        if let Some(most) = told.due(seen, self.clock.monotonic()) {
            // A log that cannot be written says itself from when to when it could not; what was seen meanwhile waits.
            if self.recorder.bypass_check(most.record()).await.is_err() {
                told.unrecorded(&most);
            }
        }
    }

    /// Nothing is recorded then, and who reads the log finds that.
    fn blind(&self, error: &procfs::ProcError) {
        tracing::error!(%error, "the pod's sockets cannot be looked at");
        self.health.note(NOTE, "the pod's sockets cannot be looked at: /proc/net/tcp and /proc/self/fd are needed");
    }
}

fn lock(remote: &Mutex<Remote>) -> MutexGuard<'_, Remote> {
    remote.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is known of the collectors at these URLs. Those that others may reach count as not watched.
fn collectors_at(urls: &[&str], expected: &Expected, remote: &mut Remote, now: Duration) -> Collectors {
    let elsewhere: BTreeSet<Target> = urls.iter().filter_map(|url| Target::of(url)).collect();
    let (shared, wanted): (Vec<_>, Vec<_>) =
        elsewhere.into_iter().partition(|target| expected.reaching.contains(&target.host));
    remote.want(wanted, now);
    let mut watched = remote.watched(now);
    watched.unwatched += shared.len() as u64;
    Collectors { local: urls.iter().filter_map(|url| loopback_port(url)).collect(), remote: watched }
}

/// What was recorded last, and the most of what was seen since.
#[derive(Debug, Default)]
struct Told {
    at: Option<Duration>,
    last: Seen,
    since: Seen,
}

impl Told {
    /// What was due could not be recorded: it is due again, with what is seen until then.
    fn unrecorded(&mut self, most: &Seen) {
        self.since.merge(most);
        self.last = Seen::default();
    }

    /// What is to be recorded now, if anything.
    fn due(&mut self, seen: &Seen, now: Duration) -> Option<Seen> {
        self.since.merge(seen);
        let ago = self.at.map(|at| now.saturating_sub(at));
        let due = ago
            .is_none_or(|ago| ago >= RECORD_EVERY || ago >= NEW_AT_MOST_EVERY && self.since.is_worse_than(&self.last));
        if !due {
            return None;
        }
        self.at = Some(now);
        self.last = std::mem::take(&mut self.since);
        Some(self.last.clone())
    }
}

/// The port of an address on this machine, as a destination's URL names it.
fn loopback_port(url: &str) -> Option<u16> {
    let uri: http::Uri = url.parse().ok()?;
    let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    is_loopback(uri.host()?).then(|| uri.port_u16().unwrap_or(default))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(state: State, local: &str, remote: &str, ours: bool) -> Socket {
        Socket { local: local.parse().unwrap(), remote: remote.parse().unwrap(), state, ours }
    }

    #[test]
    fn each_way_around_has_its_reason_and_nothing_else_has_one() {
        use State::{Established, Listening};
        let sockets = [
            socket(Listening, "0.0.0.0:8081", "0.0.0.0:0", false),
            socket(Listening, "0.0.0.0:9000", "0.0.0.0:0", false),
            socket(Established, "127.0.0.1:50000", "127.0.0.1:8081", false),
            socket(Established, "10.0.0.7:8081", "10.0.0.9:50001", false),
            // What is as it should be: the collector's end, privet's own, loopback alone, an expected port, others' traffic.
            socket(Established, "127.0.0.1:8081", "127.0.0.1:50000", false),
            socket(Established, "127.0.0.1:50002", "127.0.0.1:8081", true),
            socket(Listening, "0.0.0.0:8080", "0.0.0.0:0", true),
            socket(Listening, "[::1]:8081", "[::]:0", false),
            socket(Listening, "0.0.0.0:9100", "0.0.0.0:0", false),
            socket(Established, "10.0.0.7:50003", "198.51.100.4:443", false),
            socket(Established, "10.0.0.7:50004", "198.51.100.5:8443", false),
            socket(Established, "10.0.0.7:50005", "198.51.100.5:443", true),
            // A collector on another machine, past the sidecar.
            socket(Established, "10.0.0.7:50006", "198.51.100.5:443", false),
        ];
        let expected = Expected { listening: [9100].into(), ..Expected::default() };
        let remote = Watched { addresses: ["198.51.100.5:443".parse().unwrap()].into(), unwatched: 2 };
        let seen = Seen::at(&sockets, &expected, &Collectors { local: [8081].into(), remote });
        assert_eq!(seen, Seen { listening: 4, established: 6, unwatched: 2, suspect: [1, 1, 1, 1, 1] });
        let record = seen.record();
        assert_eq!((record.listening, record.established, record.suspect, record.unwatched), (4, 6, 5, Some(2)));
        assert_eq!(record.reasons.len(), 5);
    }

    #[test]
    fn collectors_elsewhere_are_watched_unless_others_may_reach_them_and_each_that_is_not_is_counted() {
        let at = Duration::from_secs;
        let urls = ["https://a.example", "https://b.example", "http://127.0.0.1:8081", "https://a.example/again"];
        let expected = Expected { reaching: ["b.example".to_owned()].into(), ..Expected::default() };
        let mut remote = Remote::default();
        let first = collectors_at(&urls, &expected, &mut remote, at(0));
        assert_eq!((first.local, first.remote.unwatched), ([8081].into(), 1), "b is not watched, a may yet be");
        let target = remote.due(at(0)).unwrap();
        assert_eq!((target.host.as_str(), remote.due(at(0))), ("a.example", None));
        assert_eq!(collectors_at(&urls, &expected, &mut remote, at(30)).remote.unwatched, 2, "no answer came");
        remote.answered(&target, vec!["198.51.100.5".parse().unwrap()], at(31));
        let known = collectors_at(&urls, &expected, &mut remote, at(32)).remote;
        assert_eq!(known, Watched { addresses: ["198.51.100.5:443".parse().unwrap()].into(), unwatched: 1 });
    }

    #[test]
    fn a_minute_has_a_record_and_something_new_has_one_sooner() {
        let at = Duration::from_secs;
        let (calm, worse) = (Seen::default(), Seen { suspect: [1, 0, 0, 0, 0], ..Seen::default() });
        let mut told = Told::default();
        assert_eq!(told.due(&calm, at(0)), Some(calm.clone()), "the first look");
        assert_eq!(told.due(&calm, at(30)), None);
        assert_eq!(told.due(&worse, at(32)), Some(worse.clone()));
        assert_eq!(told.due(&worse, at(50)), None, "nothing new");
        assert_eq!(told.due(&calm, at(92)), Some(worse.clone()), "the most of what was seen since");
        assert_eq!(told.due(&worse, at(94)), None, "it was recorded two seconds ago");
        assert_eq!(told.due(&calm, at(152)), Some(worse.clone()));
        assert_eq!(told.due(&calm, at(211)), None);
        assert_eq!(told.due(&calm, at(212)), Some(calm.clone()));
        assert_eq!(told.due(&worse, at(222)), Some(worse.clone()));
        told.unrecorded(&worse);
        assert_eq!(told.due(&calm, at(230)), None);
        assert_eq!(told.due(&calm, at(232)), Some(worse), "what could not be recorded is recorded later");
    }

    #[test]
    fn collectors_on_this_machine_are_known_by_their_port() {
        for (url, port) in [
            ("http://127.0.0.1:8081", Some(8081)),
            ("http://localhost", Some(80)),
            ("https://[::1]/in", Some(443)),
            ("https://collector.example.org", None),
            ("", None),
        ] {
            assert_eq!(loopback_port(url), port, "{url}");
        }
    }
}
