//! Where decisions are stored, and who may change them.

use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use privet_policy::diagnostic::Diagnostic;
use privet_policy::span::Span;
use privet_policy::yaml::Node;

use super::Upstream;
use super::read::{Members, Reader, code};

/// Where decisions are stored, how long they are waited for, and who may change them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent {
    /// The store.
    pub store: Store,
    /// How long an event waits for the store, all in all.
    pub timeout: Duration,
    /// What records may take in memory.
    pub cache_bytes_max: usize,
    /// How long a record is believed without asking again, while changes are heard.
    pub fresh: Duration,
    /// The token of whoever may read and change decisions; without one nobody may.
    pub token_file: Option<PathBuf>,
}

/// The kinds of store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// A file beside this process.
    Embedded(Embedded),
    /// Redis.
    Redis(Remote),
    /// PostgreSQL.
    PostgreSql(Remote),
}

/// A store in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Embedded {
    /// Its directory.
    pub directory: PathBuf,
    /// The most subjects it keeps.
    pub subjects_max: u64,
    /// Whether the operator says that there is no other pod and that the directory outlives this one.
    pub only_pod: bool,
}

/// A store on another machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// The host: a name or an address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The database: a number at Redis, a name at PostgreSQL.
    pub database: String,
    /// Who logs in.
    pub user: Option<String>,
    /// The file of the password.
    pub password_file: Option<PathBuf>,
    /// TLS, where it is spoken.
    pub tls: Option<Upstream>,
    /// The most connections, beside the one that listens.
    pub connections: usize,
    /// From the first packet to the end of logging in.
    pub connect_timeout: Duration,
}

const TIMEOUT_DEFAULT: Duration = Duration::from_millis(100);
const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_millis(1_000);
const FRESH_DEFAULT: Duration = Duration::from_secs(60);
const CACHE_BYTES_DEFAULT: usize = 32 << 20;
const SUBJECTS_DEFAULT: u64 = 1_000_000;
const CONNECTIONS_DEFAULT: usize = 4;

const SHARED: [&str; 4] = ["store", "timeout_ms", "cache", "token_file"];
const EMBEDDED: [&str; 3] = ["directory", "subjects_max", "only_pod"];
/// What says where a server is, and who logs in.
pub(super) const SERVER: [&str; 5] = ["url", "user", "password_file", "tls", "connect_timeout_ms"];
const REMOTE: [&str; 6] = ["url", "user", "password_file", "tls", "connections", "connect_timeout_ms"];

impl Reader<'_> {
    /// The section `consent`; without one, a file in `consent` beside the configuration.
    pub(super) fn consent(&mut self, node: Option<&Node>, has_keyring: bool) -> Option<Consent> {
        let embedded =
            Embedded { directory: self.base.join("consent"), subjects_max: SUBJECTS_DEFAULT, only_pod: false };
        let mut consent = Consent {
            store: Store::Embedded(embedded),
            timeout: TIMEOUT_DEFAULT,
            cache_bytes_max: CACHE_BYTES_DEFAULT,
            fresh: FRESH_DEFAULT,
            token_file: None,
        };
        let Some(node) = node else { return Some(consent) };
        let known: Vec<&str> = SHARED.into_iter().chain(EMBEDDED).chain(REMOTE).collect();
        let members = self.members(node, &known)?;
        consent.token_file = members.get("token_file").and_then(|node| self.token_file(node));
        self.millis(members, "timeout_ms", 1..=10_000, &mut consent.timeout);
        self.consent_cache(members, &mut consent);
        consent.store = match members.get("store").map(|node| (node, node.scalar())) {
            None | Some((_, Some("embedded"))) => self.embedded(members, consent.store)?,
            Some((node, Some("redis"))) => Store::Redis(self.remote(members, node, has_keyring, &REDIS)?),
            Some((node, Some("postgresql"))) => {
                Store::PostgreSql(self.remote(members, node, has_keyring, &POSTGRESQL)?)
            }
            Some((node, _)) => {
                let message = "`store` is `embedded`, `redis` or `postgresql`";
                self.mistake(Diagnostic::error(code::VALUE, &node.at, message));
                return None;
            }
        };
        Some(consent)
    }

    fn consent_cache(&mut self, members: Members<'_>, consent: &mut Consent) {
        let Some(cache) = members.get("cache").and_then(|node| self.members(node, &["bytes_max", "fresh_secs"])) else {
            return;
        };
        if let Some(bytes) = cache.get("bytes_max").and_then(|node| self.whole(node, 65_536..=16 << 30)) {
            consent.cache_bytes_max = usize::try_from(bytes).unwrap_or(usize::MAX);
        }
        if let Some(secs) = cache.get("fresh_secs").and_then(|node| self.whole(node, 1..=3_600)) {
            consent.fresh = Duration::from_secs(secs);
        }
    }

    fn millis(&mut self, members: Members<'_>, key: &str, within: std::ops::RangeInclusive<u64>, into: &mut Duration) {
        if let Some(millis) = members.get(key).and_then(|node| self.whole(node, within)) {
            *into = Duration::from_millis(millis);
        }
    }

    fn embedded(&mut self, members: Members<'_>, default: Store) -> Option<Store> {
        self.belongs_elsewhere(
            members,
            &REMOTE,
            "an embedded store has none; `store: redis` and `store: postgresql` do",
        );
        let Store::Embedded(mut embedded) = default else { return Some(default) };
        if let Some(directory) = members.get("directory").and_then(|node| self.file(node)) {
            embedded.directory = directory;
        }
        if let Some(most) = members.get("subjects_max").and_then(|node| self.whole(node, 1..=1_000_000_000)) {
            embedded.subjects_max = most;
        }
        if let Some(node) = members.get("only_pod") {
            embedded.only_pod = self.parsed(node, "`true` or `false`")?;
            if embedded.only_pod && members.get("directory").is_none() {
                self.mistake(
                    Diagnostic::error(code::CONFLICT, &node.at, "`only_pod: true` needs a `directory`")
                        .note("it says that silence may permit because every refusal is still there after a restart")
                        .help("name a directory on a volume that outlives the pod"),
                );
            }
        }
        Some(Store::Embedded(embedded))
    }

    fn belongs_elsewhere(&mut self, members: Members<'_>, keys: &[&str], note: &str) {
        for (key, node) in keys.iter().filter_map(|key| Some((key, members.get(key)?))) {
            let message = format!("`{key}` has no effect with this `store`");
            self.mistake(Diagnostic::error(code::CONFLICT, &node.at, message).note(note));
        }
    }

    fn remote(&mut self, members: Members<'_>, store: &Node, has_keyring: bool, kind: &Kind) -> Option<Remote> {
        self.belongs_elsewhere(members, &EMBEDDED, "it is about an embedded store");
        if !has_keyring {
            self.mistake(
                Diagnostic::error(code::MISSING, &store.at, "a store that pods share needs a `keyring`")
                    .note("subjects stand in it under keys that all pods have to derive alike")
                    .help("`privet keys init DIR` makes one"),
            );
        }
        let connections = members.get("connections").and_then(|node| self.whole(node, 1..=256));
        let mut remote = self.server(members, kind)?;
        if let Some(most) = connections {
            remote.connections = usize::try_from(most).unwrap_or(remote.connections);
        }
        Some(remote)
    }

    /// The shared ledger of budgets in PostgreSQL, by the same members.
    pub(super) fn postgresql(&mut self, members: Members<'_>) -> Option<Remote> {
        self.server(members, &POSTGRESQL)
    }

    fn server(&mut self, members: Members<'_>, kind: &Kind) -> Option<Remote> {
        let tls = members.get("tls").map(|node| self.upstream(Some(node)));
        let url = self.need(members, "url").and_then(|node| self.store_url(node, tls.is_some(), kind));
        let user = members.get("user").and_then(|node| self.text(node));
        let password_file = members.get("password_file").and_then(|node| self.file(node));
        let connections = CONNECTIONS_DEFAULT;
        let mut connect_timeout = CONNECT_TIMEOUT_DEFAULT;
        self.millis(members, "connect_timeout_ms", 10..=60_000, &mut connect_timeout);
        let Address { host, port, database } = url?;
        Some(Remote { host, port, database, user, password_file, tls, connections, connect_timeout })
    }

    fn store_url(&mut self, node: &Node, tls: bool, kind: &Kind) -> Option<Address> {
        let written = self.text(node)?;
        if written.contains('@') {
            // A caret would show the line, and the password in it.
            let start = Span { file: 0, bytes: 0..0 };
            self.mistake(
                Diagnostic::error(code::VALUE, &start, "there is no user and no password in the `url` of a store")
                    .help("write `user:` and `password_file:`"),
            );
            return None;
        }
        let uri: Option<Uri> = written.parse().ok();
        let parts = uri.as_ref().and_then(|uri| Some((uri.scheme_str()?, uri.host()?, uri)));
        let Some((scheme, host, uri)) = parts else {
            return self.not_a_url(node, kind);
        };
        let database = uri.path().trim_start_matches('/');
        let fits = kind.schemes.contains(&scheme) && uri.query().is_none() && (kind.fits)(database);
        if !fits {
            return self.not_a_url(node, kind);
        }
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if !tls && (!is_loopback(&host) || scheme == "rediss") {
            self.mistake(
                Diagnostic::error(code::MISSING, &node.at, "this store needs `tls`")
                    .note("without it the password and what is stored would cross the network in the clear")
                    .help("write `tls: {}` for an authority of the public web, `tls: {ca: FILE}` for your own"),
            );
            return None;
        }
        let database = if database.is_empty() { kind.database } else { database };
        Some(Address { host, port: uri.port_u16().unwrap_or(kind.port), database: database.to_owned() })
    }

    fn not_a_url<T>(&mut self, node: &Node, kind: &Kind) -> Option<T> {
        let message = format!("this is not the address of such a store, want `{}`", kind.example);
        self.mistake(Diagnostic::error(code::VALUE, &node.at, message));
        None
    }
}

/// What addresses of one kind of store look like.
struct Kind {
    schemes: &'static [&'static str],
    port: u16,
    database: &'static str,
    example: &'static str,
    fits: fn(&str) -> bool,
}

const REDIS: Kind = Kind {
    schemes: &["redis", "rediss"],
    port: 6379,
    database: "0",
    example: "redis://HOST[:PORT][/NUMBER]",
    fits: |database| database.is_empty() || database.parse::<u16>().is_ok(),
};
const POSTGRESQL: Kind = Kind {
    schemes: &["postgresql", "postgres"],
    port: 5432,
    database: "privet",
    example: "postgresql://HOST[:PORT][/DATABASE]",
    fits: |database| database.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'),
};

struct Address {
    host: String,
    port: u16,
    database: String,
}

/// Whether a host is this machine, by its name or its address.
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
