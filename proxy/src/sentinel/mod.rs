//! Looks whether anything in the pod goes around the sidecar.
//!
//! Promise: while it is on, the enforcement log says each minute what was seen,
//! and within seconds what is new and suspect; numbers and reasons, no address.
//! It prevents nothing: that a collector listens on loopback alone is the work of
//! admission and network policies. A connection shorter than [`LOOK_EVERY`], and
//! UDP, it does not see.

mod sockets;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use privet_audit_log::record::BypassCheck;

use crate::admin::Health;
use crate::audit::Recorder;
use crate::clock::Clock;
use crate::config::is_loopback;
use crate::line::Line;
use crate::metrics::{Label as _, Metrics, Suspicion};

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
}

/// What was seen at one look, or the most of each over several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    listening: u64,
    established: u64,
    /// By [`Suspicion`], in its order.
    suspect: [u64; Suspicion::ALL.len()],
}

impl Seen {
    /// Judges sockets of others. `collectors` are the ports of loopback addresses that events go to.
    fn at(sockets: &[Socket], expected: &Expected, collectors: &BTreeSet<u16>) -> Self {
        let mut seen = Self::default();
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
        BypassCheck::new(self.listening, self.established, &reasons)
    }
}

/// Why a socket of somebody else may be a way around the sidecar.
fn suspicion(socket: &Socket, expected: &Expected, collectors: &BTreeSet<u16>) -> Option<Suspicion> {
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
    /// Looks for as long as the process serves.
    pub async fn run(self) {
        let this = Arc::new(self);
        let mut every = tokio::time::interval(LOOK_EVERY);
        let mut told = Told::default();
        loop {
            every.tick().await;
            let looking = Arc::clone(&this);
            // Reads files of the kernel: a few thousand where there are as many connections.
            match tokio::task::spawn_blocking(move || looking.look()).await {
                Ok(Ok(seen)) => this.tell(&mut told, &seen).await,
                Ok(Err(error)) => this.blind(&error),
                Err(_) => return,
            }
        }
    }

    fn look(&self) -> procfs::ProcResult<Seen> {
        Ok(Seen::at(&sockets::all()?, &self.expected, &self.collectors()))
    }

    /// The ports of loopback addresses that the policy in force sends to.
    fn collectors(&self) -> BTreeSet<u16> {
        let in_force = self.line.in_force();
        let destinations = in_force.iter().flat_map(|in_force| in_force.enforcement.policy.destinations());
        destinations.filter_map(|destination| loopback_port(&destination.url)).collect()
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
        ];
        let expected = Expected { listening: [9100].into() };
        let seen = Seen::at(&sockets, &expected, &[8081].into());
        assert_eq!(seen, Seen { listening: 4, established: 4, suspect: [1, 1, 1, 1] });
        let record = seen.record();
        assert_eq!((record.listening, record.established, record.suspect), (4, 4, 4));
        assert_eq!(record.reasons.len(), 4);
    }

    #[test]
    fn a_minute_has_a_record_and_something_new_has_one_sooner() {
        let at = Duration::from_secs;
        let (calm, worse) = (Seen::default(), Seen { suspect: [1, 0, 0, 0], ..Seen::default() });
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
