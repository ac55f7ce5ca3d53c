//! The policy bundles that ran, kept beside the log so that an auditor can
//! compile them again: `policies/<digest>/` holds the files as they were.
//!
//! Two bundles may have one digest, since comments and signatures are no part of
//! what a policy means. The first keeps its place; another one is kept in
//! `policies/<digest>-<bundle>/`. Promise: what a record names is never written over.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use thiserror::Error;

use crate::canonical;
use crate::disk::{self, DOCUMENT_BYTES_MAX, replace, sync_dir};
use crate::record::PolicyLoad;
use crate::tree::Hash;

/// Files by name, the name relative to the bundle.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Why a bundle cannot be stored or read.
#[derive(Debug, Error)]
pub enum BundleError {
    /// A digest that cannot name a directory.
    #[error("the policy digest is not 64 hexadecimal digits after an optional `sha256:`")]
    Digest,
    /// A file name that would leave the bundle.
    #[error("a policy file's name is not a plain relative path")]
    FileName,
    /// The disk said no.
    #[error("cannot store or read the policy bundle at {at}: {source}")]
    Disk {
        /// Where.
        at: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The digest of a bundle's files: SHA-256 over the canonical JSON object of
/// file name to SHA-256 of its bytes in hexadecimal.
#[must_use]
pub fn bundle_digest(files: &Files) -> String {
    let hashes: BTreeMap<&str, String> =
        files.iter().map(|(name, bytes)| (name.as_str(), Hash::of(bytes).to_hex())).collect();
    Hash::of(&canonical::to_bytes(&hashes).unwrap_or_default()).to_address()
}

/// The directory of a bundle below the log's directory.
///
/// # Errors
/// [`BundleError::Digest`].
pub fn bundle_dir(log: &Path, digest: &str) -> Result<PathBuf, BundleError> {
    let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
    let well_formed = hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if well_formed { Ok(log.join("policies").join(hex)) } else { Err(BundleError::Digest) }
}

/// The two places where a bundle may be kept, the plainer first.
fn places(log: &Path, digest: &str, bundle: &str) -> Result<[PathBuf; 2], BundleError> {
    let first = bundle_dir(log, digest)?;
    let hex = bundle_dir(log, bundle)?;
    let mut name = first.file_name().unwrap_or_default().to_owned();
    name.push("-");
    name.push(hex.file_name().unwrap_or_default());
    Ok([first.clone(), first.with_file_name(name)])
}

/// Stores a bundle durably and gives the record that will name it, numbered `n`.
///
/// # Errors
/// See [`BundleError`].
pub fn store(log: &Path, n: u32, digest: &str, files: &Files) -> Result<PolicyLoad, BundleError> {
    let bundle = bundle_digest(files);
    let places = places(log, digest, &bundle)?;
    if !files.keys().all(|name| is_plain(name)) {
        return Err(BundleError::FileName);
    }
    let load = PolicyLoad { n, digest: digest.to_owned(), bundle, files: files.len() as u64, signers: Vec::new() };
    if find(log, &load)?.is_none() {
        let [first, second] = places;
        write_whole(if first.exists() { &second } else { &first }, files)?;
    }
    Ok(load)
}

/// Writes a directory under another name first, so that it is there whole or not at all.
fn write_whole(dir: &Path, files: &Files) -> Result<(), BundleError> {
    let disk = |source| BundleError::Disk { at: dir.to_owned(), source };
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let making = dir.with_file_name(name);
    // What is left of an earlier attempt, if anything.
    for left in [making.as_path(), dir] {
        if left.exists() {
            fs::remove_dir_all(left).map_err(disk)?;
        }
    }
    fs::create_dir_all(&making).map_err(disk)?;
    for (name, bytes) in files {
        replace(&making.join(name), bytes, true).map_err(disk)?;
    }
    sync_dir(&making).and_then(|()| fs::rename(&making, dir)).map_err(disk)?;
    for parent in dir.ancestors().skip(1).take(2) {
        sync_dir(parent).map_err(disk)?;
    }
    Ok(())
}

/// The files of a bundle as a record names it; `None` where nothing kept is that bundle.
///
/// # Errors
/// See [`BundleError`].
pub fn find(log: &Path, load: &PolicyLoad) -> Result<Option<Files>, BundleError> {
    for dir in places(log, &load.digest, &load.bundle)? {
        if dir.is_dir() {
            let files = read(&dir)?;
            if bundle_digest(&files) == load.bundle && files.len() as u64 == load.files {
                return Ok(Some(files));
            }
        }
    }
    Ok(None)
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && Path::new(name).components().all(|part| matches!(part, Component::Normal(_)))
}

/// Reads every file of a directory, names relative to it with `/` between.
///
/// # Errors
/// See [`BundleError::Disk`].
pub fn read(dir: &Path) -> Result<Files, BundleError> {
    let at_disk = |source| BundleError::Disk { at: dir.to_owned(), source };
    let mut files = Files::new();
    let mut open = vec![dir.to_owned()];
    while let Some(next) = open.pop() {
        for item in fs::read_dir(&next).map_err(at_disk)? {
            let path = item.map_err(at_disk)?.path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let name: Vec<String> = path
                .strip_prefix(dir)
                .unwrap_or(&path)
                .components()
                .map(|part| part.as_os_str().to_string_lossy().into_owned())
                .collect();
            files.insert(name.join("/"), disk::read(&path, DOCUMENT_BYTES_MAX).map_err(at_disk)?);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_reads_back_under_its_digest_and_cannot_leave_its_directory() {
        let log = tempfile::tempdir().unwrap();
        let files = Files::from([("a.yaml".to_owned(), b"kind: Rule".to_vec()), ("rules/b.yaml".to_owned(), vec![])]);
        let digest = "a".repeat(64);
        let load = store(log.path(), 0, &digest, &files).unwrap();
        assert_eq!(read(&bundle_dir(log.path(), &digest).unwrap()).unwrap(), files);
        assert_eq!(load.bundle, bundle_digest(&files));
        for name in ["../x", "/x", "", "a/../../x"] {
            let files = Files::from([(name.to_owned(), vec![])]);
            assert!(matches!(store(log.path(), 0, &digest, &files), Err(BundleError::FileName)), "{name}");
        }
        assert!(matches!(store(log.path(), 0, "../../x", &files), Err(BundleError::Digest)));
    }

    #[test]
    fn bundles_of_one_digest_are_all_kept_and_what_an_interrupted_write_left_is_in_nobodys_way() {
        let log = tempfile::tempdir().unwrap();
        let digest = "a".repeat(64);
        let bundle = |text: &str| Files::from([("a.yaml".to_owned(), text.as_bytes().to_vec())]);
        let left = bundle_dir(log.path(), &digest).unwrap().with_extension("tmp");
        fs::create_dir_all(&left).unwrap();
        fs::write(left.join("half.yaml"), "kind").unwrap();
        let texts = ["kind: Rule", "kind: Rule # why", "kind: Rule # why", "kind: Rule"];
        let loads: Vec<_> = texts.map(|text| store(log.path(), 0, &digest, &bundle(text)).unwrap()).into();
        for (load, text) in loads.iter().zip(texts) {
            assert_eq!(find(log.path(), load).unwrap(), Some(bundle(text)), "{text}");
        }
        assert_eq!(fs::read_dir(log.path().join("policies")).unwrap().count(), 2);
        let other = PolicyLoad { bundle: format!("sha256:{}", "0".repeat(64)), ..loads[0].clone() };
        assert_eq!(find(log.path(), &other).unwrap(), None);
    }
}
