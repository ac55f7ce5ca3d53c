//! Shipping: copies the enforcement log to a store while it is written, so that a lost node loses ten seconds of it.
//!
//! Promise: what a checkpoint covers is in the store before the checkpoint is, and was hashed again on its way; so the
//! shipped tree verifies as a mirror does. Nothing there is written over but the checkpoint, and that only where it is the
//! one that this log put there, by one that the incarnation's key signed. What is there already and is not ours is a
//! conflict that is told, sealed or not. Of the volume only what the log's records and hashes name goes out. A store that
//! is away holds nothing up: the log goes on, `/readyz` says so, and the next attempt, or the next start, ships what is
//! missing. One object is in memory at a time, or the files of one policy.
//!
//! Objects, below the log's origin: `<n>/checkpoint`, `<n>/vkey`, `<n>/tile/...`, `<n>/class/...`, `policies/...`; and
//! `heads/<sha256 of the incarnation's origin>`, a second copy of its newest checkpoint, so that one listing tells which
//! logs moved. Sealed objects end in `.age`: entry bundles, class documents and policies. Hash tiles and checkpoints stay
//! open, for a ledger checks by them what it cannot read.
//!
//! Not here: the log itself, and who may read the store; that is the store's to enforce.

mod documents;
mod files;
mod incarnation;
mod pass;
pub(crate) mod seal;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use privet_audit_log::note::VerifierKey;
use privet_audit_log::tree::Hash;
use tokio_util::sync::CancellationToken;

use crate::admin::Health;
use crate::clock::Clock;
use crate::config::Ship;
use crate::durable;
use crate::metrics::{Metrics, NotShipped};
use crate::store::{Fault, Key, Store};
use crate::tls::TlsError;

use files::Files;
pub use seal::Recipient;

/// The folder of copied checkpoints.
pub(crate) const HEADS: &str = "heads";

/// The first wait after a failure; it doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Some hundred thousand process starts.
const KEYS_BYTES_MAX: u64 = 64 << 20;
/// For the last of the log, once it is closed.
const FLUSH: Duration = Duration::from_secs(5);

/// Where the copy of an incarnation's checkpoint is, by its origin.
pub(crate) fn head_key(origin: &str) -> Option<Key> {
    Key::new(format!("{HEADS}/{}", Hash::of(origin.as_bytes()).to_hex()))
}

/// Why the log cannot be shipped at all.
#[derive(Debug, thiserror::Error)]
pub enum CannotShip {
    /// The files of TLS do not work.
    #[error("cannot use `log.ship.s3.tls`")]
    Tls(#[source] TlsError),
    /// An origin whose parts cannot name folders.
    #[error("the origin `{0}` cannot name a folder of a store: its parts between `/` must be plain names")]
    Origin(String),
    /// The keys of earlier incarnations.
    #[error("cannot read the anchored keys in `{}`", at.display())]
    Keys {
        /// The file.
        at: PathBuf,
        /// What the system said, or what of it is no key.
        #[source]
        source: io::Error,
    },
    /// No thread.
    #[error("cannot start the thread that ships the log")]
    Thread(#[source] io::Error),
}

/// Why something was not shipped now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unshipped {
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] Fault),
    /// The log's own disk.
    #[error("cannot read the log: {0}")]
    Log(io::ErrorKind),
    /// The writer went on meanwhile; the newer checkpoint is shipped next.
    #[error("the log moved on while it was read")]
    Moved,
    /// A tile or bundle on the disk is not that of the checkpoint.
    #[error("a file of the log is not as its checkpoint says: incarnation {0}; run `privet-audit verify`")]
    Damaged(u64),
    /// A file of the log is none that is read; with its kind.
    #[error(
        "a {0} in the log's directory is a link, no plain file, or longer than any may be: it is not shipped; put the file itself there"
    )]
    Foreign(&'static str),
    /// The store holds something else under this name, which is below the log's origin.
    #[error(
        "the store holds another log, or somebody wrote there: `{0}` is there and is not ours; give each log an origin of its own, and let nobody else write below it"
    )]
    Conflict(String),
    /// No key for sealing.
    #[error(transparent)]
    Seal(#[from] seal::CannotSeal),
}

impl From<io::Error> for Unshipped {
    fn from(error: io::Error) -> Self {
        Self::Log(error.kind())
    }
}

impl Unshipped {
    fn reason(&self) -> NotShipped {
        match self {
            Self::Store(Fault::Unanswered) => NotShipped::Unanswered,
            Self::Store(Fault::Later(_)) => NotShipped::Later,
            Self::Store(_) => NotShipped::Refused,
            Self::Log(_) | Self::Moved | Self::Damaged(_) | Self::Foreign(_) | Self::Seal(_) => NotShipped::Log,
            Self::Conflict(_) => NotShipped::Conflict,
        }
    }
}

/// What a shipper works on.
pub(crate) struct Parts {
    pub(crate) ship: Ship,
    /// The log's directory.
    pub(crate) log: PathBuf,
    /// Its configured origin, without an incarnation.
    pub(crate) origin: String,
    /// What is known of the incarnations' keys apart from the log: the anchored ones, and the running one's once there is
    /// one. An incarnation that has none here is held against the key in its first record.
    pub(crate) keys: Vec<VerifierKey>,
    pub(crate) health: Arc<Health>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// The keys that are anchored in `dir`.
pub(crate) fn anchored_keys(dir: &Path) -> Result<Vec<VerifierKey>, CannotShip> {
    let at = dir.join("vkey");
    let read = || {
        let text = durable::read_at_most(&at, KEYS_BYTES_MAX)?.unwrap_or_default();
        let text = String::from_utf8(text).map_err(|_| io::ErrorKind::InvalidData)?;
        let keys = if text.trim().is_empty() { Ok(Vec::new()) } else { VerifierKey::parse_all(&text) };
        keys.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    };
    read().map_err(|source| CannotShip::Keys { at: at.clone(), source })
}

/// Copies one log; see [`Shipper::pass`].
pub(crate) struct Shipper {
    parts: Parts,
    files: Files,
    store: Store,
    /// What the store holds of each incarnation.
    shipped: BTreeMap<u64, incarnation::Shipped>,
    /// Policy bundles, by their digests, and class documents, by their names, that are there.
    documents: BTreeSet<String>,
}

impl Shipper {
    pub(crate) fn new(parts: Parts) -> Result<Self, CannotShip> {
        if Key::new(format!("{}/{}", parts.origin, u64::MAX)).is_none() {
            return Err(CannotShip::Origin(parts.origin));
        }
        let store = Store::open(&parts.ship.to, Arc::clone(&parts.clock)).map_err(CannotShip::Tls)?;
        let files = Files::new(parts.log.clone());
        Ok(Self { parts, files, store, shipped: BTreeMap::new(), documents: BTreeSet::new() })
    }

    /// Ships until it is told to stop, and then once more.
    async fn run(mut self, stop: CancellationToken) {
        let mut pause = PAUSE;
        while !stop.is_cancelled() {
            // What a pass leaves undone the last one does: whatever is there already is found there.
            let Some(done) = stop.run_until_cancelled(self.pass_told()).await else { break };
            let wait = if done { self.parts.ship.every } else { pause };
            pause = if done { PAUSE } else { (pause * 2).min(PAUSE_MAX) };
            tokio::time::timeout(wait, stop.cancelled()).await.ok();
        }
        if tokio::time::timeout(FLUSH, self.pass_told()).await != Ok(true) {
            tracing::warn!("the end of the enforcement log is not shipped yet: the next start ships it");
        }
    }

    /// One pass, told to whoever looks; whether it shipped everything.
    async fn pass_told(&mut self) -> bool {
        let done = self.pass().await;
        let (health, metrics) = (&self.parts.health, &self.parts.metrics);
        match done {
            Ok(()) => health.clear_note("ship"),
            Err(why) => {
                metrics.ship_failures.of(why.reason()).increment(1);
                health.note("ship", format!("the enforcement log is not shipped: {why}"));
                tracing::warn!("the enforcement log is not shipped: {why}");
                return false;
            }
        }
        true
    }
}

/// The thread that ships; it belongs to whoever closes the log.
pub(crate) struct Shipping {
    stop: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Shipping {
    /// Starts it, once the log is open and signs with the key `running`.
    pub(crate) fn start(mut shipper: Shipper, running: &VerifierKey) -> Result<Self, CannotShip> {
        shipper.parts.keys.push(running.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CannotShip::Thread)?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let thread = std::thread::Builder::new()
            .name("privet-ship".to_owned())
            .spawn(move || runtime.block_on(shipper.run(stopped)))
            .map_err(CannotShip::Thread)?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Shipping {
    /// Ships what is left, within [`FLUSH`]: after the log is closed that is its end.
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // It has nothing to give back; a panic there was told by the panic hook.
            thread.join().ok();
        }
    }
}

#[cfg(test)]
mod tests;
