//! Where logs are shipped to: a directory, or a bucket of an S3-compatible store.
//!
//! Promise: what is placed is never written over, and what is replaced is replaced only where it is what the caller
//! believes. Errors are of a closed set and say nothing of contents. Bounds: one object at a time, of at most what its
//! reader expects and [`OBJECT_BYTES_MAX`]; a page of a listing has at most [`PAGE_KEYS_MAX`] names. Not here: what objects
//! mean; [`crate::ship`] writes them, [`crate::ledger`] reads them.

mod directory;
mod s3;
mod sigv4;
#[cfg(test)]
pub(crate) mod standin;

use std::fmt;
use std::sync::Arc;

use http::StatusCode;

use crate::clock::Clock;
use crate::config::StoreAt;
use crate::tls::TlsError;

use directory::Directory;
use s3::S3;

/// The longest object: 256 entries of 65,535 bytes with their lengths, sealed.
pub(crate) const OBJECT_BYTES_MAX: usize = 17 << 20;

/// The longest checkpoint or key that is read: more than a name, a root and a hundred signatures take.
pub(crate) const NOTE_BYTES_MAX: usize = 64 << 10;

/// The most names in one page of a listing; a directory is one page.
pub(crate) const PAGE_KEYS_MAX: usize = 200_000;

/// The longest key that S3 takes.
const KEY_BYTES_MAX: usize = 1024;

/// The name of an object: parts with `/` between, each a plain file name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(String);

impl Key {
    /// Nothing where the text could name something outside of the store, or nothing at all.
    pub(crate) fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.chars().any(char::is_control);
        (text.len() <= KEY_BYTES_MAX && text.split('/').all(plain)).then_some(Self(text))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What changes when an object does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tag(String);

/// An object as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) bytes: Vec<u8>,
    pub(crate) tag: Tag,
}

/// What may be there for an object to be written over it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Over<'t> {
    /// Nothing.
    Nothing,
    /// This and no other.
    This(&'t Tag),
    /// Anything.
    Anything,
}

/// Some of the objects under a prefix, by their names below it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    pub(crate) objects: Vec<(String, Tag)>,
    /// Where the next page begins, if there is one.
    pub(crate) next: Option<String>,
}

/// Why a store did not do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// No answer in time, or none at all.
    #[error("the store does not answer")]
    Unanswered,
    /// It says that it cannot now.
    #[error("the store answers {0}, which may pass")]
    Later(StatusCode),
    /// It says that it will not.
    #[error("the store answers {0}: look at its name, its keys and what they may do")]
    Refused(StatusCode),
    /// There is more of it than there can be.
    #[error("the store holds an object, or lists more names, than any of that kind may be: somebody else writes there")]
    TooMuch,
    /// Its answer is none.
    #[error("the store's answer cannot be read")]
    Unreadable,
    /// The files of its keys cannot be read.
    #[error("`access_key_file` or `secret_key_file` cannot be read or holds no key")]
    Keys,
    /// The disk said no.
    #[error("the store's directory: {0}")]
    Disk(std::io::ErrorKind),
}

impl Fault {
    /// Whether it may be about one object alone, so that it is worth going on with the others.
    pub(crate) const fn is_of_one_object(self) -> bool {
        matches!(self, Self::Refused(_) | Self::TooMuch | Self::Unreadable | Self::Disk(_))
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::Disk(error.kind())
    }
}

/// A store, opened.
pub(crate) enum Store {
    Directory(Directory),
    S3(Box<S3>),
}

impl Store {
    /// Reads what is needed to speak to it; asks it nothing.
    pub(crate) fn open(at: &StoreAt, clock: Arc<dyn Clock>) -> Result<Self, TlsError> {
        Ok(match at {
            StoreAt::Directory(dir) => Self::Directory(Directory::new(dir)),
            StoreAt::S3(bucket) => Self::S3(Box::new(S3::open(bucket, clock)?)),
        })
    }

    /// An object of at most `bytes_max` bytes; nothing where there is none. A longer one is [`Fault::TooMuch`].
    pub(crate) async fn read(&self, key: &Key, bytes_max: usize) -> Result<Option<Object>, Fault> {
        let bytes_max = bytes_max.min(OBJECT_BYTES_MAX);
        match self {
            Self::Directory(store) => store.read(key, bytes_max),
            Self::S3(store) => store.read(key, bytes_max).await,
        }
    }

    /// Writes an object where `over` allows it; whether it did.
    pub(crate) async fn write(&self, key: &Key, bytes: Vec<u8>, over: Over<'_>) -> Result<bool, Fault> {
        match self {
            Self::Directory(store) => store.write(key, &bytes, over),
            Self::S3(store) => store.write(key, bytes, over).await,
        }
    }

    /// Objects whose names begin with `under` and `/`, in the order of their names, from `from` on.
    pub(crate) async fn list(&self, under: &Key, from: Option<&str>) -> Result<Page, Fault> {
        match self {
            Self::Directory(store) => store.list(under),
            Self::S3(store) => store.list(under, from).await,
        }
    }

    /// Removes an object that may not be there.
    pub(crate) async fn remove(&self, key: &Key) -> Result<(), Fault> {
        match self {
            Self::Directory(store) => store.remove(key),
            Self::S3(store) => store.remove(key).await,
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Directory(_) => "Store(directory)",
            Self::S3(_) => "Store(s3)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stays_in_its_store() {
        for text in ["", "/", "a/", "/a", "a//b", "..", "a/../b", "./a", "a\n", "a/\u{0}"] {
            assert_eq!(Key::new(text), None, "{text:?}");
        }
        assert!(Key::new("a".repeat(1025)).is_none());
        assert_eq!(Key::new("privet.example/shop/1/tile/0/x001/067.p/12").unwrap().as_str().split('/').count(), 8);
    }
}
