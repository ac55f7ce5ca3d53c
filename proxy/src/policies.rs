//! A policy directory on disk: every YAML file in it, at any depth.
//!
//! The only place where policy text meets a file system.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use privet_policy::diagnostic::SourceFile;

/// The largest policy file, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// The most files of a policy directory.
const FILES_MAX: usize = 10_000;

/// Why a policy directory cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The system said no.
    #[error("cannot read `{path}`")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file is no text, or too large.
    #[error("`{0}` is not UTF-8 text of at most 4 MiB")]
    NotText(PathBuf),
    /// There is nothing to compile.
    #[error("`{0}` holds no .yaml file")]
    Nothing(PathBuf),
    /// There are too many.
    #[error("`{0}` holds more than 10,000 files")]
    TooMany(PathBuf),
}

/// Reads every `.yaml` and `.yml` file below a directory, or one file, in the order of their names.
///
/// Names that begin with a dot are passed over, so the directories that
/// Kubernetes keeps beside a projected volume are not read twice.
///
/// # Errors
/// [`Unreadable`] for the first file that cannot be read.
pub fn read(place: &Path) -> Result<Vec<SourceFile>, Unreadable> {
    let mut files = Vec::new();
    if place.is_file() {
        let name = place.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        files.push(SourceFile { name, text: text(place)? });
        return Ok(files);
    }
    collect(place, place, &mut files)?;
    if files.is_empty() {
        return Err(Unreadable::Nothing(place.to_owned()));
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

fn collect(root: &Path, directory: &Path, files: &mut Vec<SourceFile>) -> Result<(), Unreadable> {
    let io = |source| Unreadable::Io { path: directory.to_owned(), source };
    for entry in fs::read_dir(directory).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if hidden {
            continue;
        }
        if path.is_dir() {
            collect(root, &path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            if files.len() >= FILES_MAX {
                return Err(Unreadable::TooMany(root.to_owned()));
            }
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            files.push(SourceFile { name, text: text(&path)? });
        }
    }
    Ok(())
}

fn text(path: &Path) -> Result<String, Unreadable> {
    let io = |source| Unreadable::Io { path: path.to_owned(), source };
    if fs::metadata(path).map_err(io)?.len() > FILE_BYTES_MAX {
        return Err(Unreadable::NotText(path.to_owned()));
    }
    String::from_utf8(fs::read(path).map_err(io)?).map_err(|_| Unreadable::NotText(path.to_owned()))
}
