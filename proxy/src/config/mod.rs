//! The sidecar's configuration: one YAML file, `kind: Config`.
//!
//! Promise: a file that is not right is refused as a whole, with every mistake
//! in it at once, each with its line and a caret. Not here: policies, which
//! live in their own directory, and the contents of key and certificate files,
//! which are read when the sidecar starts.

mod bypass;
mod compile;
mod consent;
mod console;
mod exports;
pub mod ledger;
mod read;
mod ring;
mod rollout;
mod ship;
mod telemetry;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use privet_audit_log::challenge::AuditorKey;
use privet_audit_log::signing::SignerKey;
use privet_audit_log::tree::Hash;
use privet_policy::diagnostic::{Diagnostic, SourceFile};

use crate::request::ListenerFacts;
use crate::sentinel::Expected;

pub(crate) use consent::is_loopback;
pub use consent::{Consent, Embedded, Remote, Store};
pub use console::Console;
pub use exports::{Exports, Publish, Receiver, SharedLedger, Volume};
pub use ship::{Bucket, Ship, StoreAt};
pub use telemetry::Otlp;

/// What the sidecar was told, checked and complete.
#[derive(Clone, Debug)]
pub struct Config {
    /// SHA-256 of the file's bytes.
    pub digest: Hash,
    /// Where events come in; never empty.
    pub listeners: Vec<Listener>,
    /// Health and administration.
    pub admin: SocketAddr,
    /// The auditors' page on that address.
    pub console: Console,
    /// Prometheus metrics.
    pub metrics: SocketAddr,
    /// The policy directory.
    pub policies: PathBuf,
    /// A second one that is only tried out on the same events.
    pub shadow: Option<PathBuf>,
    /// Who has to sign the policies, where anybody has to.
    pub signatures: Option<Signatures>,
    /// The keyring directory, where policies pseudonymize.
    pub keyring: Option<PathBuf>,
    /// Where decisions are stored.
    pub consent: Consent,
    /// The enforcement log.
    pub log: Log,
    /// Where published aggregates are kept, and where else they go.
    pub exports: Exports,
    /// What else may listen in the pod, where the sockets are looked at.
    pub bypass: Option<Expected>,
    /// Whose challenges are known again in the log.
    pub auditors: Vec<AuditorKey>,
    /// Who is told what privet measures of itself.
    pub telemetry: Option<Otlp>,
    /// How collectors are spoken to.
    pub upstream: Upstream,
    /// Bounds on everything a sender can make large or slow.
    pub limits: Limits,
    /// How the sidecar stops.
    pub drain: Drain,
}

/// Who has to sign a policy bundle before it is put in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signatures {
    /// Who may sign; no name and no key stands twice.
    pub signers: Vec<SignerKey>,
    /// How many of them every bundle needs; at least one, at most all.
    pub required: usize,
    /// How many one needs that lets more leave; no fewer than `required`.
    pub required_to_loosen: usize,
}

/// One address that takes events.
#[derive(Clone, Debug)]
pub struct Listener {
    /// The address.
    pub address: SocketAddr,
    /// What each of its requests is told to carry.
    pub facts: Arc<ListenerFacts>,
    /// TLS, where it speaks it.
    pub tls: Option<Tls>,
}

/// The files of a listener's TLS identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// Who signs the certificates of clients; when set, a client without one is refused.
    pub client_ca: Option<PathBuf>,
}

/// The enforcement log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Where records, tiles and policy bundles are kept.
    pub directory: PathBuf,
    /// Where the verification key and the newest checkpoint are put, outside `directory`.
    pub anchor_dir: PathBuf,
    /// The log's name in its checkpoints.
    pub origin: String,
    /// When a decision counts as recorded.
    pub durability: Durability,
    /// For how many days incarnations are kept after they ended; for ever where nobody says.
    pub retention_days: Option<NonZeroU32>,
    /// Where it is shipped to, where it is.
    pub ship: Option<Ship>,
}

/// When a decision counts as recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// On disk before anything is released.
    Sync,
    /// Up to this many events, granted durably beforehand, may be unaccounted for after a crash.
    Lease(NonZeroU32),
}

/// How collectors are spoken to over TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upstream {
    /// Who signs their certificates; the public web's authorities when not set.
    pub ca: Option<PathBuf>,
    /// privet's own certificate and key, for mutual TLS.
    pub identity: Option<Identity>,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

/// Bounds on everything a sender can make large or slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest body, as it is sent.
    pub body_bytes_max: usize,
    /// The largest body after its content coding is undone.
    pub decoded_bytes_max: usize,
    /// How many times larger a body may become when its content coding is undone.
    pub ratio_max: u32,
    /// All bodies in memory at once, as they were sent.
    pub in_flight_bytes_max: usize,
    /// Connections at once; more wait to be accepted.
    pub connections_max: usize,
    /// From the first byte of a request to the end of its headers, and for a TLS handshake.
    pub header_timeout: Duration,
    /// From the end of the headers to the end of the body.
    pub body_timeout: Duration,
    /// How long a connection may stay open without a request.
    pub idle_timeout: Duration,
    /// From the first attempt to send to a collector to the end of its answer.
    pub upstream_timeout: Duration,
    /// Requests of one source address.
    pub rate_per_source: Option<Rate>,
}

/// How often something may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests a second, over time.
    pub per_second: NonZeroU32,
    /// Requests at once.
    pub burst: NonZeroU32,
}

/// How the sidecar stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// Between not being ready and closing the listeners, for load balancers to notice.
    pub delay: Duration,
    /// For requests that are under way.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 2 << 20,
            decoded_bytes_max: 8 << 20,
            ratio_max: 200,
            in_flight_bytes_max: 64 << 20,
            connections_max: 4096,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(90),
            upstream_timeout: Duration::from_secs(10),
            rate_per_source: None,
        }
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self { delay: Duration::ZERO, grace: Duration::from_secs(20) }
    }
}

/// Where health stands when the file does not say.
pub const ADMIN_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9901);
/// Where metrics stand when the file does not say.
pub const METRICS_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9902);

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration `{file}`")]
    Unreadable {
        /// Its name.
        file: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file can be read, and is wrong.
    #[error("{rendered}")]
    Wrong {
        /// Every mistake, with its line and a caret.
        rendered: String,
        /// The mistakes as values.
        mistakes: Vec<Diagnostic>,
    },
}

impl Config {
    /// Reads and checks a file. Relative paths in it are relative to its directory.
    ///
    /// # Errors
    /// [`ConfigError`], with every mistake at once.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        Self::load_for(file, Part::Runs)
    }

    /// Reads a configuration for a start, and tries the files of tokens and certificates that the start
    /// reads: one that does not work is a mistake where it is named. Files that are read again and again
    /// while the sidecar runs, such as policies, are not looked at here.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_to_start(file: &Path) -> Result<Self, ConfigError> {
        Self::load_for(file, Part::Starts)
    }

    /// Reads a configuration for whoever looks at what a sidecar leaves, from anywhere: it need
    /// not say which pod this is, and the pod's name is empty then.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_to_look(file: &Path) -> Result<Self, ConfigError> {
        Self::load_for(file, Part::Looks)
    }

    fn load_for(file: &Path, part: Part) -> Result<Self, ConfigError> {
        let name = file.display().to_string();
        let text =
            std::fs::read_to_string(file).map_err(|source| ConfigError::Unreadable { file: name.clone(), source })?;
        Self::parse_for(&name, &text, file.parent().unwrap_or(Path::new("")), part)
    }

    /// Checks a text. Relative paths in it are relative to `base`.
    ///
    /// # Errors
    /// [`ConfigError::Wrong`], with every mistake at once.
    pub fn parse(name: &str, text: &str, base: &Path) -> Result<Self, ConfigError> {
        Self::parse_for(name, text, base, Part::Runs)
    }

    fn parse_for(name: &str, text: &str, base: &Path, part: Part) -> Result<Self, ConfigError> {
        compile::compile(text, base, part).map_err(|mistakes| {
            let files = [SourceFile { name: name.to_owned(), text: text.to_owned() }];
            let rendered: Vec<_> = mistakes.iter().map(|mistake| mistake.render(&files, false)).collect();
            ConfigError::Wrong { rendered: rendered.join("\n\n"), mistakes }
        })
    }
}

/// What a configuration is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// To be a sidecar.
    Runs,
    /// To be one now, on this machine: its files are tried.
    Starts,
    /// To look at what a sidecar leaves.
    Looks,
}

#[cfg(test)]
mod tests;
