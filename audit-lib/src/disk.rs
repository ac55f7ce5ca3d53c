//! The few things done to the disk, each of which a test can make fail.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is about to be done to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DiskOp {
    /// Append to a segment.
    Append,
    /// Make appended bytes durable.
    Sync,
    /// Create a segment, or the reserve.
    Create,
    /// Write a tile, a checkpoint or an anchor.
    Publish,
}

type Rehearse = dyn Fn(DiskOp) -> io::Result<()> + Send + Sync;

/// Asked before each disk operation; the default lets everything through. Tests let it fail.
#[derive(Clone, Default)]
pub struct Gate(Option<Arc<Rehearse>>);

impl Gate {
    /// A gate that asks `ask` first and fails with its error.
    pub fn new(ask: impl Fn(DiskOp) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(ask)))
    }

    pub(crate) fn pass(&self, op: DiskOp) -> io::Result<()> {
        self.0.as_ref().map_or(Ok(()), |ask| ask(op))
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Gate(asks)" } else { "Gate(open)" })
    }
}

/// Makes the entries of a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Replaces a file as a whole; `durable` waits for the disk.
pub(crate) fn replace(path: &Path, bytes: &[u8], durable: bool) -> io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary: PathBuf = parent.join(name);
    // What was left there, or a link that somebody put there, is not written through.
    fs::remove_file(&temporary).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })?;
    let mut file = File::create_new(&temporary)?;
    file.write_all(bytes)?;
    if durable {
        file.sync_all()?;
    }
    drop(file);
    fs::rename(&temporary, path)?;
    if durable { sync_dir(parent) } else { Ok(()) }
}

/// The longest signed note, cosignatures included, in bytes: a few hundred are usual.
pub(crate) const NOTE_BYTES_MAX: u64 = 64 << 10;

/// The longest document or policy file, in bytes.
pub(crate) const DOCUMENT_BYTES_MAX: u64 = 16 << 20;

/// Reads a file that may not be there, and is no longer than `bytes_max`.
pub(crate) fn read_if_there(path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
    match read(path, bytes_max) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads a file that is no longer than `bytes_max`: a longer one is an error that names it, and is not read whole.
pub(crate) fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        let message = format!("`{}` is longer than the {bytes_max} bytes that it may have", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok(bytes)
}
