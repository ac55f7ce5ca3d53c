//! The store in a file beside this process: redb, one transaction a write.
//!
//! Promise: what was written is on disk before [`Embedded::merge`] returns, and at most
//! a configured number of subjects is kept. One process at a time has the file, and it is
//! there whole or not at all: a process that ends while it makes the file leaves none in the
//! way of the next. Not here: other pods; they do not see it.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::{
    Builder, Database, Durability, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _,
    TableDefinition,
};

use super::StoreError;
use super::record::Record;
use super::subject::SubjectKey;
use crate::keys::Secret;

const SUBJECTS: TableDefinition<&[u8; 32], &[u8]> = TableDefinition::new("subjects");
const META: TableDefinition<&str, &str> = TableDefinition::new("meta");
const CHECK: &str = "key_check";
/// The file's pages in memory.
const CACHE_BYTES: usize = 16 << 20;
/// The store's file in its directory.
const FILE: &str = "consent.redb";
/// The store while it is made, and whose turn it is to make it.
const MAKING_FILE: &str = "consent.redb.new";
const TURN_FILE: &str = "consent.redb.turn";
/// There as long as no refusal was lost for want of room: to take it away needs none.
const WHOLE_FILE: &str = "whole";
/// The secret of subjects' keys, where no keyring has one.
const SECRET_FILE: &str = "subjects.secret";

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be made or its secret not be read.
    #[error("cannot use the directory `{directory}`")]
    Directory {
        /// Which.
        directory: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The secret is there and is none.
    #[error("`{0}` is not 32 bytes in base64 on one line")]
    NotASecret(String),
    /// The file cannot be opened; another process may have it.
    #[error("cannot open `{file}`")]
    File {
        /// Which.
        file: String,
        /// What redb said.
        #[source]
        source: Box<redb::Error>,
    },
}

/// The store; clones share it.
#[derive(Clone)]
pub(super) struct Embedded(Arc<Inner>);

struct Inner {
    database: Database,
    directory: PathBuf,
    subjects_max: u64,
    subjects: AtomicU64,
}

fn failed<E: Into<redb::Error>>(doing: &'static str) -> impl Fn(E) -> StoreError {
    move |error| StoreError::Failed { doing, source: Box::new(error.into()) }
}

impl Embedded {
    /// Opens or makes the file in a directory.
    pub(super) fn open(directory: &Path, subjects_max: u64) -> Result<Self, OpenError> {
        make_directory(directory)?;
        let file = directory.join(FILE);
        let unusable =
            |error: redb::Error| OpenError::File { file: file.display().to_string(), source: Box::new(error) };
        if !file.exists() {
            make(directory, &file)?;
        }
        let database = opened(&file).map_err(unusable)?;
        let inner = Inner { database, directory: directory.into(), subjects_max, subjects: AtomicU64::new(0) };
        inner.make_tables().map_err(unusable)?;
        // Without this a power loss may take the file's name.
        fs::File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(|source| OpenError::Directory { directory: directory.display().to_string(), source })?;
        Ok(Self(Arc::new(inner)))
    }

    /// Whether nobody's record is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.0.subjects.load(Ordering::Acquire) == 0
    }

    /// The check of the secret it was first used with; from now on that of this one, where it is new.
    pub(super) fn check_or(&self, check: &str) -> Result<String, StoreError> {
        let database = &self.0.database;
        let transaction = database.begin_write().map_err(failed("begin a transaction"))?;
        let known = {
            let mut meta = transaction.open_table(META).map_err(failed("open a table"))?;
            let known = meta.get(CHECK).map_err(failed("read"))?.map(|known| known.value().to_owned());
            if known.is_none() {
                // Before there is anything to lose.
                self.mark_whole(true)?;
                meta.insert(CHECK, check).map_err(failed("write"))?;
            }
            known
        };
        transaction.commit().map_err(failed("commit"))?;
        Ok(known.unwrap_or_else(|| check.to_owned()))
    }

    /// Whether no refusal was lost for want of room.
    pub(super) fn is_whole(&self) -> bool {
        self.mark().exists()
    }

    /// Why a store without its mark may have forgotten, and how it gets one.
    pub(super) fn not_whole(&self) -> String {
        let mark = self.mark();
        format!(
            "refusals were lost for want of room, or the store is of an earlier version; if you know that none is missing, make the file `{}` and restart",
            mark.display()
        )
    }

    /// Makes the mark, or takes it away.
    pub(super) fn mark_whole(&self, whole: bool) -> Result<(), StoreError> {
        let marked = if whole { fs::write(self.mark(), "") } else { remove_if_there(&self.mark()) };
        let synced = marked.and_then(|()| fs::File::open(&self.0.directory)?.sync_all());
        synced.map_err(|source| StoreError::Failed { doing: "mark the store", source: Box::new(source) })
    }

    fn mark(&self) -> PathBuf {
        self.0.directory.join(WHOLE_FILE)
    }

    /// The records of some subjects, in their order.
    pub(super) fn read(&self, keys: &[SubjectKey]) -> Result<Vec<Record>, StoreError> {
        let transaction = self.0.database.begin_read().map_err(failed("begin to read"))?;
        let subjects = transaction.open_table(SUBJECTS).map_err(failed("open a table"))?;
        let record = |key: &SubjectKey| match subjects.get(key.bytes()).map_err(failed("read"))? {
            Some(bytes) => Ok(Record::decode(bytes.value())?),
            None => Ok(Record::default()),
        };
        keys.iter().map(record).collect()
    }

    /// Merges what was learned into the records of some subjects, and tells for which new ones there was no room.
    pub(super) fn merge(&self, changes: &[(SubjectKey, Record)]) -> Result<Vec<SubjectKey>, StoreError> {
        self.write(|known, change| known.merge(change), changes)
    }

    /// Removes facts that still have the time they have there.
    pub(super) fn remove(&self, key: SubjectKey, gone: &Record) -> Result<(), StoreError> {
        self.write(|known, gone| *known = known.without(gone), &[(key, gone.clone())]).map(drop)
    }

    fn write(
        &self,
        apply: impl Fn(&mut Record, &Record),
        changes: &[(SubjectKey, Record)],
    ) -> Result<Vec<SubjectKey>, StoreError> {
        let mut transaction = self.0.database.begin_write().map_err(failed("begin a transaction"))?;
        transaction.set_durability(Durability::Immediate).map_err(failed("begin a durable transaction"))?;
        let (mut unfit, mut count) = (Vec::new(), 0);
        {
            let mut subjects = transaction.open_table(SUBJECTS).map_err(failed("open a table"))?;
            count += subjects.len().map_err(failed("count"))?;
            for (key, change) in changes {
                let known = match subjects.get(key.bytes()).map_err(failed("read"))? {
                    Some(bytes) => Some(Record::decode(bytes.value())?),
                    None => None,
                };
                if known.is_none() && count >= self.0.subjects_max {
                    unfit.push(*key);
                    continue;
                }
                count += u64::from(known.is_none());
                let mut record = known.unwrap_or_default();
                apply(&mut record, change);
                if record.is_empty() {
                    subjects.remove(key.bytes()).map_err(failed("write"))?;
                    count -= 1;
                } else {
                    subjects.insert(key.bytes(), record.encode().as_slice()).map_err(failed("write"))?;
                }
            }
        }
        // Before the commit: whoever sees it finds no store that says it is empty.
        self.0.subjects.fetch_max(count, Ordering::AcqRel);
        transaction.commit().map_err(failed("commit"))?;
        self.0.subjects.store(count, Ordering::Release);
        Ok(unfit)
    }
}

impl Inner {
    fn make_tables(&self) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        let count = {
            transaction.open_table(META)?;
            transaction.open_table(SUBJECTS)?.len()?
        };
        transaction.commit()?;
        self.subjects.store(count, Ordering::Release);
        Ok(())
    }
}

fn remove_if_there(file: &Path) -> std::io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn opened(file: &Path) -> Result<Database, redb::Error> {
    Ok(Builder::new().set_cache_size(CACHE_BYTES).create(file)?)
}

/// Makes an empty store under another name, which takes its own when it is whole. One process at a time does.
fn make(directory: &Path, file: &Path) -> Result<(), OpenError> {
    let cannot = |source| OpenError::Directory { directory: directory.display().to_string(), source };
    let turn = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(directory.join(TURN_FILE));
    let turn = turn.map_err(cannot)?;
    turn.lock().map_err(cannot)?;
    if file.exists() {
        return Ok(());
    }
    let making = directory.join(MAKING_FILE);
    // What a process left that ended here.
    match fs::remove_file(&making) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(cannot(error)),
        _ => {}
    }
    let unusable = |error| OpenError::File { file: making.display().to_string(), source: Box::new(error) };
    drop(opened(&making).map_err(unusable)?);
    fs::rename(&making, file).map_err(cannot)
}

fn make_directory(directory: &Path) -> Result<(), OpenError> {
    fs::create_dir_all(directory)
        .map_err(|source| OpenError::Directory { directory: directory.display().to_string(), source })
}

/// The secret beside the store; made where there is none and `make` says so.
pub(super) fn secret_beside(directory: &Path, make: bool) -> Result<Option<Secret>, OpenError> {
    let file = directory.join(SECRET_FILE);
    let unusable = |source| OpenError::Directory { directory: directory.display().to_string(), source };
    match fs::read(&file) {
        Ok(bytes) => Secret::read(&bytes).map(Some).ok_or_else(|| OpenError::NotASecret(file.display().to_string())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && make => {
            let secret = Secret::random().map_err(|error| unusable(std::io::Error::other(error)))?;
            keep_secret(directory, &file, &secret).map_err(unusable)?;
            Ok(Some(secret))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unusable(error)),
    }
}

/// Whole or not at all: half a secret would close the store for good.
fn keep_secret(directory: &Path, file: &Path, secret: &Secret) -> std::io::Result<()> {
    let written = file.with_extension("new");
    let mut handle = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&written)?;
    handle.write_all(secret.file(None).as_bytes())?;
    handle.sync_all()?;
    fs::rename(&written, file)?;
    fs::File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::super::record::Fact;
    use super::super::subject::SubjectKeys;
    use super::*;

    fn key(id: &str) -> SubjectKey {
        SubjectKeys::new(&[1; 32]).of(id)
    }

    fn refused(at_ms: i64) -> Record {
        Record::of([Fact::refused_on_the_wire("a")], at_ms)
    }

    #[test]
    fn what_is_written_is_there_after_opening_again() {
        let directory = tempfile::tempdir().unwrap();
        let store = Embedded::open(directory.path(), 10).unwrap();
        assert!(store.is_empty());
        assert_eq!(store.check_or("first").unwrap(), "first");
        store.merge(&[(key("u-1"), refused(5)), (key("u-2"), refused(6))]).unwrap();
        store.merge(&[(key("u-1"), refused(3))]).unwrap();
        drop(store);
        let store = Embedded::open(directory.path(), 10).unwrap();
        assert!(!store.is_empty());
        assert_eq!(store.check_or("second").unwrap(), "first");
        assert_eq!(store.read(&[key("u-1"), key("u-3")]).unwrap(), [refused(5), Record::default()]);
        store.remove(key("u-1"), &refused(4)).unwrap();
        assert_eq!(store.read(&[key("u-1")]).unwrap(), [refused(5)], "it has another time");
        store.remove(key("u-1"), &refused(5)).unwrap();
        store.remove(key("u-2"), &refused(6)).unwrap();
        assert!(store.is_empty());
    }

    #[test]
    fn the_file_is_there_whole_or_not_at_all_and_half_a_one_is_in_nobodys_way() {
        const MAGIC: &[u8] = b"redb\x1A\x0A\xA9\x0D\x0A";
        for _ in 0..20 {
            let directory = tempfile::tempdir().unwrap();
            fs::write(directory.path().join(MAKING_FILE), [0; 4096]).unwrap();
            let file = directory.path().join(FILE);
            let opener = std::thread::spawn({
                let directory = directory.path().to_owned();
                move || Embedded::open(&directory, 10).map(drop)
            });
            while !opener.is_finished() {
                let seen = fs::read(&file).ok();
                assert!(seen.is_none_or(|bytes| bytes.starts_with(MAGIC)), "a store that cannot be opened again");
            }
            opener.join().unwrap().unwrap();
            assert!(fs::read(&file).unwrap().starts_with(MAGIC) && !directory.path().join(MAKING_FILE).exists());
        }
    }

    #[test]
    fn a_full_store_takes_nobody_new() {
        let directory = tempfile::tempdir().unwrap();
        let store = Embedded::open(directory.path(), 1).unwrap();
        store.merge(&[(key("u-1"), refused(5))]).unwrap();
        let unfit = store.merge(&[(key("u-2"), refused(5)), (key("u-1"), refused(6))]).unwrap();
        assert!(unfit == [key("u-2")], "whoever is known stays writable");
        assert_eq!(store.read(&[key("u-1"), key("u-2")]).unwrap(), [refused(6), Record::default()]);
    }

    #[test]
    fn the_mark_is_made_with_the_store_and_never_by_opening_it_again() {
        let directory = tempfile::tempdir().unwrap();
        let store = Embedded::open(directory.path(), 1).unwrap();
        store.check_or("first").unwrap();
        assert!(store.is_whole());
        store.mark_whole(false).unwrap();
        store.mark_whole(false).unwrap();
        drop(store);
        let store = Embedded::open(directory.path(), 1).unwrap();
        store.check_or("first").unwrap();
        assert!(!store.is_whole());
        store.mark_whole(true).unwrap();
        assert!(store.is_whole());
    }

    #[test]
    fn a_secret_is_made_once_and_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        assert!(secret_beside(directory.path(), false).unwrap().is_none());
        let made = secret_beside(directory.path(), true).unwrap().unwrap();
        let read = secret_beside(directory.path(), true).unwrap().unwrap();
        assert_eq!(*made.file(None), *read.file(None));
        let file = directory.path().join(SECRET_FILE);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&file, "short").unwrap();
        assert!(matches!(secret_beside(directory.path(), true), Err(OpenError::NotASecret(_))));
    }
}
