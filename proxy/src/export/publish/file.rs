//! A receipt's files: canonical JSON, and where it is asked for the same table as Parquet.
//!
//! Promise: a file appears whole or not at all, under a name that follows from
//! what it is, readable by its owner alone. Written again it has the same bytes.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use privet_dp::ledger::Shard;
use privet_dp::receipt::AnyReceipt;
use privet_dp::window::Window;

use super::table;

/// Writes a receipt's files and gives the path of its JSON.
///
/// # Errors
/// What the system said, and a file of that name that holds something else.
pub(super) fn write(output: &Path, parquet: bool, receipt: &AnyReceipt, bytes: &[u8]) -> io::Result<PathBuf> {
    let directory = output.join(receipt.query());
    make_directory(&directory)?;
    let name = base_name(receipt.window().start, receipt.shard());
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

/// What is published of a window, if it still lies there.
pub(super) fn read(output: &Path, export: &str, window: Window, shard: Shard) -> Option<Vec<u8>> {
    let name = format!("{}.json", base_name(window.start(), &shard.to_string()));
    fs::read(output.join(export).join(name)).ok()
}

/// The window's first second, then the ledger's incarnation and the window's
/// part: `2026-11-21T20-00-00Z.1-0`.
fn base_name(start: Timestamp, shard: &str) -> String {
    format!("{}.{}", start.to_string().replace(':', "-"), shard.replace('/', "-"))
}
