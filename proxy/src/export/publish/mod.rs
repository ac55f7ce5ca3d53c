//! Publish: committed bytes go out, as often as it takes, always the same.
//!
//! Promise: the receipt's files are durable and the enforcement log has its
//! digest before it is sent anywhere; the release is acknowledged in the ledger
//! when its files are written and the receiver, where there is one, took it.
//! Until then its bytes stay in the ledger, which is the queue.
//!
//! The files are written at the release's slot, by the thread that drew it.
//! Sending has a thread of its own, so a slow receiver shifts no slot.

mod file;
mod post;
mod send;
mod signature;
mod table;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use privet_dp::digest::Digest;
use privet_dp::ledger::{Ledger, LedgerError, ReleaseId, Shard, Unsent};
use privet_dp::receipt::AnyReceipt;
use privet_dp::window::Window;
use thiserror::Error;

use super::evidence::{CannotRecord, DpEvidence, LocalEvidence, ReleaseEvidence};
use super::{Published, Settings};
use crate::clock::Clock;
pub use post::CannotOpen;
use post::Post;
use send::Sender;

/// Why a committed receipt is not out yet.
#[derive(Debug, Error)]
pub enum CannotPublish {
    /// The ledger holds bytes that are no receipt.
    #[error("the committed bytes are no receipt")]
    NotAReceipt,
    /// The shared ledger does not say that this pod may publish.
    #[error("the shared budget ledger has to be asked first")]
    Held(#[source] LedgerError),
    /// A file could not be written.
    #[error("cannot write the receipt's files")]
    File(#[source] io::Error),
    /// The enforcement log does not take the digest.
    #[error("cannot record the release in the enforcement log")]
    Unrecorded(#[source] CannotRecord),
    /// The ledger cannot be written.
    #[error("cannot acknowledge the release")]
    Unacknowledged(#[source] LedgerError),
    /// Too many wait for the receiver; this one waits in the ledger.
    #[error("too many receipts wait for the receiver, so this one is not handed over yet")]
    Waiting,
    /// An earlier receipt of its chain is not out yet.
    #[error("an earlier receipt of this export is not out yet, and they leave in order")]
    Behind,
    /// The ledger cannot be read.
    #[error("cannot read the committed bytes")]
    Unreadable(#[source] LedgerError),
}

/// Why receipts cannot be published at all.
#[derive(Debug, Error)]
pub enum CannotPrepare {
    /// The receiver's settings do not work.
    #[error("cannot use `exports.publish.http`")]
    Receiver(#[source] CannotOpen),
    /// No thread.
    #[error("cannot start the thread that sends receipts")]
    Thread(#[source] io::Error),
}

/// Every place that receipts go to.
pub(super) struct Publisher {
    ledger: Arc<Ledger>,
    evidence: Arc<dyn DpEvidence>,
    output: PathBuf,
    parquet: bool,
    sender: Option<Sender>,
}

impl Publisher {
    /// Reads the receiver's key and starts the thread that sends, where there is a receiver.
    pub(super) fn new(
        ledger: Arc<Ledger>,
        evidence: Arc<dyn DpEvidence>,
        settings: &Settings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, CannotPrepare> {
        let sender = match &settings.publish.http {
            None => None,
            Some(receiver) => {
                let post = Post::open(receiver, clock).map_err(CannotPrepare::Receiver)?;
                let sender = Sender::start(post, Arc::clone(&ledger), settings.metrics.clone());
                Some(sender.map_err(CannotPrepare::Thread)?)
            }
        };
        let (output, parquet) = (settings.output.clone(), settings.publish.parquet);
        Ok(Self { ledger, evidence, output, parquet, sender })
    }

    /// Writes the files, records the release, and hands it over to be sent; it is
    /// acknowledged here where there is no receiver.
    pub(super) fn publish(&self, unsent: &Unsent, receipt: &AnyReceipt) -> Result<Published, CannotPublish> {
        let window = Window::between(receipt.window().start, receipt.window().end).ok_or(CannotPublish::NotAReceipt)?;
        self.ledger.may_publish().map_err(CannotPublish::Held)?;
        let path = file::write(&self.output, self.parquet, receipt, &unsent.receipt).map_err(CannotPublish::File)?;
        if self.sender.as_ref().is_some_and(Sender::is_full) {
            return Err(CannotPublish::Waiting);
        }
        let receipt_sha256 = Digest::of(&unsent.receipt);
        let export = receipt.query().to_owned();
        self.evidence
            .release(&ReleaseEvidence {
                release: unsent.release,
                export: export.clone(),
                window,
                receipt_sha256,
                local: LocalEvidence::of(receipt),
            })
            .map_err(CannotPublish::Unrecorded)?;
        match &self.sender {
            Some(sender) => sender.send(export, unsent.release),
            None => self.ledger.acknowledge(unsent.release).map_err(CannotPublish::Unacknowledged)?,
        }
        Ok(Published { path, receipt_sha256 })
    }

    /// What is published of a window, if it still lies there.
    pub(super) fn published(&self, export: &str, window: Window, shard: Shard) -> Option<Vec<u8>> {
        file::read(&self.output, export, window, shard)
    }

    /// Whether a release is out but for the receiver, which is tried again by itself.
    pub(super) fn is_being_sent(&self, release: ReleaseId) -> bool {
        self.sender.as_ref().is_some_and(|sender| sender.holds(release))
    }
}

/// Makes the directory that receipts are kept in, readable by its owner alone.
pub(super) fn make_output(output: &Path) -> io::Result<()> {
    file::make_directory(output)
}

/// Of each export the receipt of the latest window and the one that was written last.
pub(super) fn newest_receipts(output: &Path) -> io::Result<Vec<(PathBuf, AnyReceipt)>> {
    let mut newest = Vec::new();
    for entry in fs::read_dir(output)? {
        let directory = entry?.path();
        if directory.is_dir() {
            let latest = file::newest(&directory)?;
            newest.extend(latest.into_iter().filter_map(|path| {
                let receipt = AnyReceipt::from_bytes(&fs::read(&path).ok()?).ok()?;
                Some((path, receipt))
            }));
        }
    }
    Ok(newest)
}

/// Whether the directory holds a receipt of any export.
pub(super) fn any_receipts(output: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(output)? {
        let path = entry?.path();
        if path.is_dir() && fs::read_dir(path)?.next().is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
