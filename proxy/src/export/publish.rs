//! Publish: committed bytes go out, as often as it takes, always the same.
//!
//! Promise: a receipt's file appears whole or not at all, under a name that
//! follows from what it is. The release is acknowledged in the ledger when the
//! file is durable and the enforcement log has its digest.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use privet_dp::digest::Digest;
use privet_dp::ledger::{Ledger, LedgerError, Shard, Unsent};
use privet_dp::receipt::Receipt;
use privet_dp::window::Window;
use thiserror::Error;

use super::Published;
use super::evidence::{CannotRecord, DpEvidence, ReleaseEvidence};

/// Why a committed receipt is not out yet.
#[derive(Debug, Error)]
pub enum CannotPublish {
    /// The ledger holds bytes that are no receipt.
    #[error("the committed bytes are no receipt")]
    NotAReceipt,
    /// The file could not be written.
    #[error("cannot write the receipt's file")]
    File(#[source] io::Error),
    /// The enforcement log does not take the digest.
    #[error("cannot record the release in the enforcement log")]
    Unrecorded(#[source] CannotRecord),
    /// The ledger cannot be written.
    #[error("cannot acknowledge the release")]
    Unacknowledged(#[source] LedgerError),
}

/// Writes the file, records the release, acknowledges it.
pub(super) fn publish(
    ledger: &Ledger,
    evidence: &dyn DpEvidence,
    output: &Path,
    unsent: &Unsent,
) -> Result<Published, CannotPublish> {
    let receipt = Receipt::from_bytes(&unsent.receipt).map_err(|_| CannotPublish::NotAReceipt)?;
    let window = Window::between(receipt.window.start, receipt.window.end).ok_or(CannotPublish::NotAReceipt)?;
    let path = write(output, &receipt, &unsent.receipt).map_err(CannotPublish::File)?;
    let receipt_sha256 = Digest::of(&unsent.receipt);
    evidence
        .release(&ReleaseEvidence { release: unsent.release, export: receipt.query, window, receipt_sha256 })
        .map_err(CannotPublish::Unrecorded)?;
    ledger.acknowledge(unsent.release).map_err(CannotPublish::Unacknowledged)?;
    Ok(Published { path, receipt_sha256 })
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

/// The file appears whole: written beside its name, synced, renamed, and the
/// directory synced, so that an acknowledged receipt survives a power loss.
fn write(output: &Path, receipt: &Receipt, bytes: &[u8]) -> io::Result<PathBuf> {
    let directory = output.join(&receipt.query);
    fs::create_dir_all(&directory)?;
    let name = file_name(receipt);
    match fs::read(directory.join(&name)) {
        Ok(published) if published == bytes => {}
        // Whatever made that file, it is somebody's evidence.
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "another receipt has this name")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let (partial, whole) = (directory.join(format!(".{name}.partial")), directory.join(name));
    let mut file = File::create(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&partial, &whole)?;
    File::open(&directory)?.sync_all()?;
    File::open(output)?.sync_all()?;
    Ok(whole)
}

/// What is published of a window, if it still lies there.
pub(super) fn read_published(output: &Path, export: &str, window: Window, shard: Shard) -> Option<Vec<u8>> {
    fs::read(output.join(export).join(named(window.start(), &shard.to_string()))).ok()
}

fn file_name(receipt: &Receipt) -> String {
    named(receipt.window.start, &receipt.privacy.fleet.shard)
}

/// The window's first second, then the ledger's incarnation and the window's
/// part: `2026-11-21T20-00-00Z.1-0.json`.
fn named(start: Timestamp, shard: &str) -> String {
    format!("{}.{}.json", start.to_string().replace(':', "-"), shard.replace('/', "-"))
}
