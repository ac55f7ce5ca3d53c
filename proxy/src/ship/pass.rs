//! One pass over the log: each incarnation, oldest first, and with its entries the documents that they name.

use std::fs;
use std::path::Path;

use super::seal::Plain;
use super::{Shipper, Unshipped};
use crate::store::{Fault, Key, OBJECT_BYTES_MAX, Object, Over};

/// Whether an object says what happened, and is sealed where anything is, or only proves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content<'a> {
    /// Entries, class documents, policies; with what a guess of one has to know beside it, see [`Plain::beside`].
    Telling(&'a [u8]),
    /// Hashes, checkpoints, keys.
    Proving,
}

impl Shipper {
    /// Ships everything that is new since the last pass. What fails leaves the rest of its incarnation for the next pass;
    /// the other incarnations go on.
    pub(crate) async fn pass(&mut self) -> Result<(), Unshipped> {
        let numbers = incarnations(&self.parts.log)?;
        let newest = numbers.last().copied();
        let mut first = Ok(());
        for number in numbers {
            let mut done = self.incarnation(number, Some(number) == newest).await;
            // The writer removes partial tiles when wider ones are out; the newer checkpoint has those.
            for _ in 0..3 {
                if matches!(done, Err(Unshipped::Moved)) {
                    done = self.incarnation(number, Some(number) == newest).await;
                }
            }
            if matches!(done, Err(Unshipped::Store(_))) {
                return done;
            }
            first = first.and(done);
        }
        first
    }

    /// The key of a name below the log's origin.
    pub(super) fn key(&self, name: &str) -> Result<Key, Unshipped> {
        let key = Key::new(format!("{}/{name}", self.parts.origin));
        key.ok_or(Unshipped::Log(std::io::ErrorKind::InvalidFilename))
    }

    /// Places an object that never changes; one that is there already has to be the same, or the same sealed.
    pub(super) async fn place(&self, name: &str, bytes: Vec<u8>, content: Content<'_>) -> Result<(), Unshipped> {
        let recipients = &self.parts.ship.seal_to;
        let Content::Telling(beside) = content else { return self.place_open(name, bytes).await };
        if recipients.is_empty() {
            return self.place_open(name, bytes).await;
        }
        let key = self.key(&format!("{name}.age"))?;
        let plain = Plain { name: key.as_str(), beside, bytes: &bytes };
        if self.placed(&key, plain.seal(recipients)?).await? {
            return Ok(());
        }
        // Whoever put it there had what is in it: we did, in this process or an earlier one, to these recipients or others.
        let there = self.there(&format!("{name}.age"), OBJECT_BYTES_MAX).await?;
        let is_ours = there.map_or(Ok(false), |there| plain.is_in(&there.bytes))?;
        if is_ours { Ok(()) } else { Err(Unshipped::Conflict(format!("{name}.age"))) }
    }

    async fn place_open(&self, name: &str, bytes: Vec<u8>) -> Result<(), Unshipped> {
        let key = self.key(name)?;
        let is_ours = self.placed(&key, bytes.clone()).await?
            || self.there(name, OBJECT_BYTES_MAX).await?.is_some_and(|there| there.bytes == bytes);
        if is_ours { Ok(()) } else { Err(Unshipped::Conflict(name.to_owned())) }
    }

    /// The object under a name below the log's origin. One that is longer than `bytes_max`, as ours never are, is a conflict.
    pub(super) async fn there(&self, name: &str, bytes_max: usize) -> Result<Option<Object>, Unshipped> {
        self.store.read(&self.key(name)?, bytes_max).await.map_err(|fault| match fault {
            Fault::TooMuch => Unshipped::Conflict(name.to_owned()),
            fault => Unshipped::Store(fault),
        })
    }

    /// Writes an object where there is none; whether it did.
    async fn placed(&self, key: &Key, object: Vec<u8>) -> Result<bool, Unshipped> {
        if object.len() > OBJECT_BYTES_MAX {
            return Err(Unshipped::Log(std::io::ErrorKind::FileTooLarge));
        }
        let placed = self.store.write(key, object, Over::Nothing).await?;
        if placed {
            self.parts.metrics.ship_objects.increment(1);
        }
        Ok(placed)
    }
}

/// The incarnations in a log's directory, ascending.
fn incarnations(log: &Path) -> Result<Vec<u64>, Unshipped> {
    let number = |name: &String| name.parse::<u64>().ok().filter(|n| n.to_string() == *name);
    let mut numbers: Vec<u64> = names(log)?.iter().filter_map(number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// The names in a folder that may not be there, sorted.
fn names(dir: &Path) -> Result<Vec<String>, Unshipped> {
    let listing = match fs::read_dir(dir) {
        Ok(listing) => listing,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut names = Vec::new();
    for item in listing {
        names.extend(item?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}
