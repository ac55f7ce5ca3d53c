//! Where the collectors on other machines are: the addresses that their names have, or had lately.
//!
//! Promise: names are asked for beside everything else, one at a time, so that a resolver that is slow
//! or away holds nobody up and at most one thread. What is known is bounded. A collector whose addresses
//! are not known is counted, so that the log can say that nobody looked for connections to it.
//!
//! Not here: collectors on loopback, which are known by their port.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::config::is_loopback;

/// A name is asked for again after this; it is also how soon a changed address is watched.
const ASK_EVERY: Duration = Duration::from_secs(60);
/// A collector that is new counts as unwatched only once its name could have been answered.
const GRACE: Duration = Duration::from_secs(10);
/// An address is watched for so long after its name last had it: others may still be connected to it.
const WATCHED_FOR: Duration = Duration::from_secs(3_600);
/// Addresses of one collector that are watched; those that its name had last.
const ADDRESSES_MAX: usize = 64;
/// Collectors that are watched; further ones count as unwatched.
const COLLECTORS_MAX: usize = 64;

/// A collector as a destination's URL names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Target {
    /// The collector of a URL, unless it is on loopback.
    pub(super) fn of(url: &str) -> Option<Self> {
        let uri: http::Uri = url.parse().ok()?;
        let host = uri.host().filter(|host| !is_loopback(host))?;
        let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        Some(Self { host, port: uri.port_u16().unwrap_or(default) })
    }

    /// Its addresses now, by the system's resolver.
    pub(super) async fn ask(&self) -> io::Result<Vec<IpAddr>> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await?;
        Ok(found.map(|address| address.ip().to_canonical()).collect())
    }
}

/// What is known of one collector. Times are the clock's monotonic ones.
#[derive(Debug)]
struct Known {
    first_wanted: Duration,
    last_asked: Option<Duration>,
    /// Each address, and when the name last had it.
    addresses: HashMap<IpAddr, Duration>,
}

/// What is watched of the collectors on other machines.
#[derive(Debug, Default)]
pub(super) struct Remote {
    known: BTreeMap<Target, Known>,
    /// Collectors beyond [`COLLECTORS_MAX`].
    beyond: u64,
}

/// What one look goes by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Watched {
    /// Addresses and ports of collectors.
    pub(super) addresses: HashSet<SocketAddr>,
    /// Collectors that have no known address.
    pub(super) unwatched: u64,
}

impl Remote {
    /// Says which collectors there are now; what is known of others is forgotten.
    pub(super) fn want(&mut self, targets: impl IntoIterator<Item = Target>, now: Duration) {
        let mut before = std::mem::take(&mut self.known);
        self.beyond = 0;
        for target in targets {
            if self.known.contains_key(&target) {
                continue;
            }
            if self.known.len() >= COLLECTORS_MAX {
                self.beyond += 1;
                continue;
            }
            let new = || Known { first_wanted: now, last_asked: None, addresses: HashMap::new() };
            let known = before.remove(&target).unwrap_or_else(new);
            self.known.insert(target, known);
        }
    }

    /// The collector whose name is to be asked for next, if it is time for one.
    pub(super) fn due(&mut self, now: Duration) -> Option<Target> {
        let is_due = |known: &Known| known.last_asked.is_none_or(|asked| now.saturating_sub(asked) >= ASK_EVERY);
        let (target, known) =
            self.known.iter_mut().filter(|(_, known)| is_due(known)).min_by_key(|(_, known)| known.last_asked)?;
        known.last_asked = Some(now);
        Some(target.clone())
    }

    /// Takes the answer for a name; of more addresses than are watched the first ones.
    pub(super) fn answered(&mut self, target: &Target, addresses: Vec<IpAddr>, now: Duration) {
        let Some(known) = self.known.get_mut(target) else { return };
        known.addresses.extend(addresses.into_iter().take(ADDRESSES_MAX).map(|address| (address, now)));
        known.addresses.retain(|_, last| now.saturating_sub(*last) < WATCHED_FOR);
        while known.addresses.len() > ADDRESSES_MAX {
            let oldest = known.addresses.iter().min_by_key(|(_, last)| **last).map(|(address, _)| *address);
            let Some(oldest) = oldest else { break };
            known.addresses.remove(&oldest);
        }
    }

    /// What a look at this moment goes by.
    pub(super) fn watched(&self, now: Duration) -> Watched {
        let mut watched = Watched { addresses: HashSet::new(), unwatched: self.beyond };
        for (target, known) in &self.known {
            let fresh = known.addresses.iter().filter(|(_, last)| now.saturating_sub(**last) < WATCHED_FOR);
            let fresh: Vec<SocketAddr> = fresh.map(|(address, _)| SocketAddr::new(*address, target.port)).collect();
            let had_time = now.saturating_sub(known.first_wanted) >= GRACE;
            watched.unwatched += u64::from(fresh.is_empty() && had_time);
            watched.addresses.extend(fresh);
        }
        watched
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn target(host: &str) -> Target {
        Target { host: host.to_owned(), port: 443 }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_collector_elsewhere_is_known_by_name_and_port() {
        for (url, host, port) in [
            ("https://Collector.example.org/in", "collector.example.org", 443),
            ("http://collector.example.org", "collector.example.org", 80),
            ("http://198.51.100.4:8081", "198.51.100.4", 8081),
            ("https://[2001:db8::1]/in", "2001:db8::1", 443),
        ] {
            assert_eq!(Target::of(url), Some(Target { host: host.to_owned(), port }), "{url}");
        }
        for url in ["http://127.0.0.1:8081", "http://localhost", "https://[::1]/in", ""] {
            assert_eq!(Target::of(url), None, "{url}");
        }
    }

    #[test]
    fn names_are_asked_for_in_turn_and_again_after_a_minute() {
        let mut remote = Remote::default();
        remote.want([target("a"), target("b")], at(0));
        assert_eq!(
            (remote.due(at(0)), remote.due(at(0)), remote.due(at(1))),
            (Some(target("a")), Some(target("b")), None)
        );
        remote.want([target("a"), target("b"), target("c")], at(2));
        assert_eq!((remote.due(at(2)), remote.due(at(59))), (Some(target("c")), None));
        assert_eq!(
            (remote.due(at(60)), remote.due(at(60)), remote.due(at(61))),
            (Some(target("a")), Some(target("b")), None)
        );
    }

    #[test]
    fn an_address_is_watched_for_an_hour_after_its_name_had_it_and_none_known_is_said() {
        let mut remote = Remote::default();
        remote.want([target("a"), target("b")], at(0));
        assert_eq!(remote.watched(at(9)), Watched::default(), "there was no time for an answer");
        assert_eq!(remote.watched(at(10)).unwatched, 2);
        remote.answered(&target("a"), vec![ip("198.51.100.4")], at(11));
        remote.answered(&target("a"), vec![ip("198.51.100.5")], at(71));
        remote.answered(&target("nobody's"), vec![ip("198.51.100.9")], at(71));
        let both = ["198.51.100.4:443", "198.51.100.5:443"].map(|text| text.parse().unwrap());
        assert_eq!(remote.watched(at(72)), Watched { addresses: both.into(), unwatched: 1 });
        let later = Watched { addresses: ["198.51.100.5:443".parse().unwrap()].into(), unwatched: 1 };
        assert_eq!(remote.watched(at(3_611)), later);
        remote.answered(&target("a"), Vec::new(), at(3_700));
        assert_eq!(remote.watched(at(3_700)), Watched { addresses: HashSet::new(), unwatched: 2 });
        remote.want([target("b")], at(3_701));
        assert_eq!(remote.watched(at(3_701)).unwatched, 1, "a policy that has no such collector any more");
    }

    #[test]
    fn what_is_known_is_bounded_and_the_rest_is_said_to_be_unwatched() {
        let mut remote = Remote::default();
        remote.want((0..70).map(|n| target(&format!("c{n:02}"))), at(0));
        assert_eq!(remote.watched(at(1)).unwatched, 6);
        let of = |from: u8| (from..from + 60).map(|n| IpAddr::from([198, 51, 100, n])).collect::<Vec<_>>();
        remote.answered(&target("c00"), of(0), at(1));
        remote.answered(&target("c00"), of(60), at(2));
        let watched = remote.watched(at(3)).addresses;
        assert_eq!(watched.len(), 64);
        assert!(of(60).into_iter().all(|address| watched.contains(&SocketAddr::new(address, 443))), "the newest stay");
    }

    #[tokio::test]
    async fn an_address_needs_no_resolver_and_a_name_is_resolved() {
        assert_eq!(target("2001:db8::1").ask().await.unwrap(), [ip("2001:db8::1")]);
        let here = target("localhost").ask().await.unwrap();
        assert!(!here.is_empty() && here.iter().all(IpAddr::is_loopback), "{here:?}");
        assert!(target("no-such-name.invalid").ask().await.is_err());
    }
}
