//! A receipt's files: canonical JSON, and where it is asked for the same table as Parquet.
//!
//! Promise: a file appears whole or not at all, under a name that follows from
//! what it is, readable by its owner alone. Written again it has the same bytes.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use privet_dp::ledger::{LedgerId, Shard};
use privet_dp::receipt::{AnyReceipt, LedgerReceipt};
use privet_dp::window::Window;

use super::table;

/// Writes a receipt's files and gives the path of its JSON.
///
/// # Errors
/// What the system said, and a file of that name that holds something else.
pub(super) fn write(output: &Path, parquet: bool, receipt: &AnyReceipt, bytes: &[u8]) -> io::Result<PathBuf> {
    let directory = output.join(receipt.query());
    make_directory(&directory)?;
    let LedgerReceipt { chain, opening, part, .. } = receipt.ledger();
    let name = base_name(receipt.window().start, chain, opening, part);
    let whole = put(&directory, &format!("{name}.json"), bytes)?;
    if parquet {
        let rows = table::parquet(receipt).map_err(io::Error::other)?;
        put(&directory, &format!("{name}.parquet"), &rows)?;
    }
    File::open(output)?.sync_all()?;
    Ok(whole)
}

/// Makes a directory that only its owner may look into. One that is there stays as it is.
pub(super) fn make_directory(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

/// The file appears whole: written beside its name, synced, renamed, and the
/// directory synced, so that an acknowledged receipt survives a power loss.
fn put(directory: &Path, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
    let (partial, whole) = (directory.join(format!(".{name}.partial")), directory.join(name));
    match fs::read(&whole) {
        Ok(published) if published == bytes => {}
        // Whatever made that file, it is somebody's evidence.
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "another receipt has this name")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&partial, &whole)?;
    File::open(directory)?.sync_all()?;
    Ok(whole)
}

/// The receipts of one export whose names are the last, and that were written last.
pub(super) fn newest(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let (mut by_name, mut by_time) = (None, None);
    for entry in fs::read_dir(directory)? {
        let (path, written) = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?.modified()?)))?;
        if path.extension().is_some_and(|ending| ending == "json") {
            by_time = by_time.max(Some((written, path.clone())));
            by_name = by_name.max(Some(path));
        }
    }
    Ok(by_name.into_iter().chain(by_time.map(|(_, path)| path)).collect())
}

/// What is published of a window, if it still lies there.
pub(super) fn read(output: &Path, export: &str, window: Window, shard: Shard) -> Option<Vec<u8>> {
    let Shard { books, incarnation, part } = shard;
    let name = format!("{}.json", base_name(window.start(), books.chain, incarnation, part));
    fs::read(output.join(export).join(name)).ok()
}

/// The window's first second, then the pod's ledger, its opening and the window's
/// part, so that what many pods publish can lie in one directory:
/// `2026-11-21T20-00-00Z.5f0c91aa-1-0`.
fn base_name(start: Timestamp, chain: LedgerId, opening: u64, part: u32) -> String {
    format!("{}.{}-{opening}-{part}", start.to_string().replace(':', "-"), chain.short())
}
