//! A store in a directory, such as a mounted share.
//!
//! Writing over is compared and then done, not both at once: where two writers have one directory, whoever places tiles
//! first is found out by the other, whose tiles differ.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{Fault, Key, Object, Over, PAGE_KEYS_MAX, Page, Tag};
use crate::durable;

#[derive(Debug)]
pub(crate) struct Directory {
    root: PathBuf,
}

impl Directory {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.root.join(key.as_str())
    }

    pub(super) fn read(&self, key: &Key, bytes_max: usize) -> Result<Option<Object>, Fault> {
        let path = self.path(key);
        let Some(tag) = tag_of(&path)? else { return Ok(None) };
        match durable::read_at_most(&path, bytes_max as u64) {
            Ok(bytes) => Ok(bytes.map(|bytes| Object { bytes, tag })),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Err(Fault::TooMuch),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn write(&self, key: &Key, bytes: &[u8], over: Over<'_>) -> Result<bool, Fault> {
        let path = self.path(key);
        match over {
            Over::Nothing => return Ok(durable::place(&path, bytes, durable::PLAIN)?),
            Over::This(tag) if tag_of(&path)?.as_ref() != Some(tag) => return Ok(false),
            Over::This(_) | Over::Anything => durable::replace(&path, bytes)?,
        }
        Ok(true)
    }

    /// All at once: a directory has no pages.
    pub(super) fn list(&self, under: &Key) -> Result<Page, Fault> {
        self.list_at_most(under, PAGE_KEYS_MAX)
    }

    fn list_at_most(&self, under: &Key, keys_max: usize) -> Result<Page, Fault> {
        let listing = match fs::read_dir(self.path(under)) {
            Ok(listing) => listing,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Page::default()),
            Err(error) => return Err(error.into()),
        };
        let mut objects = Vec::new();
        for item in listing {
            let item = item?;
            // What is being written has a name that begins with a dot.
            let name = item.file_name().into_string().ok().filter(|name| !name.starts_with('.'));
            if let (Some(name), Some(tag)) = (name, tag_of(&item.path())?) {
                if objects.len() >= keys_max {
                    return Err(Fault::TooMuch);
                }
                objects.push((name, tag));
            }
        }
        objects.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(Page { objects, next: None })
    }

    pub(super) fn remove(&self, key: &Key) -> Result<(), Fault> {
        let path = self.path(key);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        // The directory of a partial tile goes with its last file; any other is not empty.
        path.parent().map(fs::remove_dir);
        Ok(())
    }
}

/// A replaced file is another inode, so that no two contents share a tag.
fn tag_of(path: &Path) -> io::Result<Option<Tag>> {
    match fs::metadata(path) {
        Ok(about) if about.is_file() => {
            Ok(Some(Tag(format!("{}-{}-{}-{}", about.ino(), about.mtime(), about.mtime_nsec(), about.len()))))
        }
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_and_an_object_have_a_bound() {
        let dir = tempfile::tempdir().unwrap();
        let store = Directory::new(dir.path());
        let key = |name: &str| Key::new(name).unwrap();
        for name in ["heads/b", "heads/a", "heads/c"] {
            assert!(store.write(&key(name), name.as_bytes(), Over::Nothing).unwrap());
        }
        let names = |page: Page| page.objects.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(store.list_at_most(&key("heads"), 3).unwrap()), ["a", "b", "c"]);
        assert_eq!(store.list_at_most(&key("heads"), 2).unwrap_err(), Fault::TooMuch);
        assert_eq!(store.read(&key("heads/a"), 7).unwrap().unwrap().bytes, b"heads/a");
        assert_eq!(store.read(&key("heads/a"), 6).unwrap_err(), Fault::TooMuch);
    }
}
