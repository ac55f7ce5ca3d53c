//! One pass over the log: documents first, then each incarnation, oldest first.

use std::fs;
use std::path::Path;

use privet_audit_log::policies;

use super::{Shipper, Unshipped, seal};
use crate::store::{Key, OBJECT_BYTES_MAX, Over};

/// Whether an object says what happened, and is sealed where anything is, or only proves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Entries, class documents, policies.
    Telling,
    /// Hashes, checkpoints, keys.
    Proving,
}

impl Shipper {
    /// Ships everything that is new since the last pass. What fails leaves the rest of its incarnation for the next pass;
    /// the other incarnations go on.
    pub(crate) async fn pass(&mut self) -> Result<(), Unshipped> {
        self.policies().await?;
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

    /// Bundles are whole when their folder is there, and never change.
    async fn policies(&mut self) -> Result<(), Unshipped> {
        for name in names(&self.parts.log.join("policies"))? {
            let folder = format!("policies/{name}");
            if name.ends_with(".tmp") || self.documents.contains(&folder) {
                continue;
            }
            let files = policies::read(&self.parts.log.join(&folder)).map_err(|error| match error {
                policies::BundleError::Disk { source, .. } => Unshipped::from(source),
                _ => Unshipped::Log(std::io::ErrorKind::InvalidData),
            })?;
            for (file, bytes) in files {
                self.place(&format!("{folder}/{file}"), bytes, Content::Telling).await?;
            }
            self.documents.insert(folder);
        }
        Ok(())
    }

    /// Documents of one incarnation that are too long for a record.
    pub(super) async fn classes(&mut self, number: u64) -> Result<(), Unshipped> {
        for name in names(&self.parts.log.join(format!("{number}/class")))? {
            let file = format!("{number}/class/{name}");
            if name.ends_with(".json") && !self.documents.contains(&file) {
                let bytes = fs::read(self.parts.log.join(&file))?;
                self.place(&file, bytes, Content::Telling).await?;
                self.documents.insert(file);
            }
        }
        Ok(())
    }

    /// The key of a name below the log's origin.
    pub(super) fn key(&self, name: &str) -> Result<Key, Unshipped> {
        let key = Key::new(format!("{}/{name}", self.parts.origin));
        key.ok_or(Unshipped::Log(std::io::ErrorKind::InvalidFilename))
    }

    /// Places an object that never changes; one that is there already has to be the same.
    pub(super) async fn place(&self, name: &str, bytes: Vec<u8>, content: Content) -> Result<(), Unshipped> {
        let sealed = content == Content::Telling && !self.parts.ship.seal_to.is_empty();
        let (key, object) = if sealed {
            (self.key(&format!("{name}.age"))?, seal::seal(&self.parts.ship.seal_to, &bytes)?)
        } else {
            (self.key(name)?, bytes.clone())
        };
        if object.len() > OBJECT_BYTES_MAX {
            return Err(Unshipped::Log(std::io::ErrorKind::FileTooLarge));
        }
        if self.store.write(&key, object, Over::Nothing).await? {
            self.parts.metrics.ship_objects.increment(1);
            return Ok(());
        }
        // Sealed twice, the same bytes differ; the hash tile beside a bundle tells other logs apart.
        let same = sealed || self.store.read(&key).await?.is_some_and(|there| there.bytes == bytes);
        if same { Ok(()) } else { Err(Unshipped::Conflict(name.to_owned())) }
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
