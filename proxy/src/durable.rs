//! Files that are there whole or not at all, and that a power cut does not take back.
//!
//! Promise: when a function here returns, file and directory entries are on disk. Not here: the enforcement log's own
//! files, which wait for the disk in groups.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Readable by everybody whom the directory lets in.
pub(crate) const PLAIN: u32 = 0o644;
/// Readable by the owner alone: for keys.
pub(crate) const SECRET: u32 = 0o600;

/// Tells the temporary files of one process apart.
static FRESH: AtomicU64 = AtomicU64::new(0);

/// Replaces a file, or makes it.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = written_beside(path, bytes, PLAIN)?;
    fs::rename(&fresh, path).inspect_err(|_| drop(fs::remove_file(&fresh)))?;
    sync_parent(path)
}

/// Makes a file that is not there yet; whether it made it, that is, false where one was there already.
pub(crate) fn place(path: &Path, bytes: &[u8], mode: u32) -> io::Result<bool> {
    let fresh = written_beside(path, bytes, mode)?;
    // A link, unlike a rename, never replaces what is there.
    let linked = fs::hard_link(&fresh, path);
    fs::remove_file(&fresh)?;
    match linked {
        Ok(()) => sync_parent(path).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Reads a file of at most `bytes_max` bytes that may not be there; a longer one is [`io::ErrorKind::FileTooLarge`], and
/// no more of it is in memory.
pub(crate) fn read_at_most(path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    let read = file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if read as u64 > bytes_max { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(Some(bytes)) }
}

/// Takes a directory for one process; the lock ends with the file that is given back.
pub(crate) fn lock(dir: &Path) -> io::Result<File> {
    make_dir(dir)?;
    let file = File::create(dir.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => {
            Err(io::Error::new(io::ErrorKind::ResourceBusy, "another process has taken the directory"))
        }
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

/// Makes a directory and all above it, each on disk.
pub(crate) fn make_dir(dir: &Path) -> io::Result<()> {
    if dir.as_os_str().is_empty() || dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().unwrap_or(Path::new(""));
    make_dir(parent)?;
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync_parent(dir),
    }
}

fn written_beside(path: &Path, bytes: &[u8], mode: u32) -> io::Result<PathBuf> {
    let parent = path.parent().unwrap_or(Path::new(""));
    make_dir(parent)?;
    let number = FRESH.fetch_add(1, Ordering::Relaxed);
    let fresh = parent.join(format!(".fresh.{}.{number}.tmp", std::process::id()));
    // What an earlier process of this number left, or somebody put there, a link for one, is not written through.
    fs::remove_file(&fresh).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    written.inspect_err(|_| drop(fs::remove_file(&fresh))).map(|()| fresh)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_placed_is_not_written_over_and_what_is_replaced_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/file");
        assert!(place(&path, b"one", SECRET).unwrap());
        assert!(!place(&path, b"two", SECRET).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"one");
        replace(&path, b"three").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"three");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_file_is_read_up_to_its_bound_and_not_beyond() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        assert_eq!(read_at_most(&path, 3).unwrap(), None);
        fs::write(&path, b"abc").unwrap();
        assert_eq!(read_at_most(&path, 3).unwrap().unwrap(), b"abc");
        assert_eq!(read_at_most(&path, 2).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        // What has no length beforehand has an end all the same.
        assert_eq!(read_at_most(Path::new("/dev/zero"), 1 << 20).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_directory_is_taken_once() {
        let dir = tempfile::tempdir().unwrap();
        let taken = lock(dir.path()).unwrap();
        assert_eq!(lock(dir.path()).unwrap_err().kind(), io::ErrorKind::ResourceBusy);
        drop(taken);
        lock(dir.path()).unwrap();
    }
}
