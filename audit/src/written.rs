//! Files that a command is told to write.
//!
//! Promise: nothing is written into a log, whichever links and `..` a path goes by; a file that is there stays
//! as it is, unless the command is told to replace it, and then the file itself is replaced and no link is followed;
//! a file is there whole or not at all.
//!
//! Not here: what stands in the files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use privet_audit_log::incarnations;

use crate::challenge::random;

/// What becomes of a file that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfThere {
    /// It stays, and the command ends.
    Keep,
    /// The new one takes its place once it is whole.
    Replace,
}

/// What every command says that writes files.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Overwrite {
    /// Replace a file that is there already.
    #[arg(long)]
    overwrite: bool,
}

impl Overwrite {
    /// What it says.
    #[must_use]
    pub const fn if_there(self) -> IfThere {
        if self.overwrite { IfThere::Replace } else { IfThere::Keep }
    }
}

/// A file in the making, under another name in its own directory. It takes its own with [`Fresh::keep`], or goes.
#[derive(Debug)]
pub struct Fresh {
    out: BufWriter<File>,
    part: PathBuf,
    to: PathBuf,
    if_there: IfThere,
}

impl Fresh {
    /// Begins the file `to`.
    ///
    /// # Errors
    /// It would lie in a log, is there and not to be replaced, or the disk said no.
    pub fn begin(to: &Path, if_there: IfThere) -> Result<Self> {
        let Some(name) = to.file_name() else { bail!("cannot write {}: it names no file", to.display()) };
        let dir = to.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        outside_of_logs(dir)?;
        let there = fs::symlink_metadata(to).ok();
        if there.as_ref().is_some_and(fs::Metadata::is_dir) {
            bail!("cannot write {}: it is a directory", to.display());
        }
        if there.is_some() && if_there == IfThere::Keep {
            return Err(is_there(to));
        }
        let mut part = name.to_owned();
        part.push(format!(".{:016x}.part", u64::from_le_bytes(random()?)));
        let part = dir.join(part);
        let opened = OpenOptions::new().write(true).create_new(true).open(&part);
        let file = opened.with_context(|| format!("cannot write {}", to.display()))?;
        Ok(Self { out: BufWriter::new(file), part, to: to.to_owned(), if_there })
    }

    /// Gives the file its name once its bytes are on the disk.
    ///
    /// # Errors
    /// Another one has come to be there meanwhile, or the disk said no.
    pub fn keep(mut self) -> Result<()> {
        let named = self.out.flush().and_then(|()| self.out.get_ref().sync_all()).and_then(|()| match self.if_there {
            IfThere::Replace => fs::rename(&self.part, &self.to),
            // A second name, unlike another name, is never given to a file that is there.
            IfThere::Keep => match fs::hard_link(&self.part, &self.to) {
                Err(error) if has_no_links(&error) && !self.to.exists() => fs::rename(&self.part, &self.to),
                linked => linked,
            },
        });
        match named {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(is_there(&self.to)),
            named => named.with_context(|| format!("cannot write {}", self.to.display())),
        }
    }
}

impl Write for Fresh {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Drop for Fresh {
    /// Half a file is worse than none, and a whole one has its own name by now.
    fn drop(&mut self) {
        fs::remove_file(&self.part).ok();
    }
}

/// Writes a whole file.
///
/// # Errors
/// As [`Fresh::begin`] and [`Fresh::keep`].
pub fn write(to: &Path, bytes: &[u8], if_there: IfThere) -> Result<()> {
    let mut fresh = Fresh::begin(to, if_there)?;
    fresh.write_all(bytes).with_context(|| format!("cannot write {}", to.display()))?;
    fresh.keep()
}

/// Refuses a directory, there or still to be made, that is a log or lies in one.
///
/// # Errors
/// It does, or nobody can say where it will lie.
pub fn outside_of_logs(dir: &Path) -> Result<()> {
    let place = resolved(dir)?;
    match place.ancestors().find(|ancestor| is_log(ancestor)) {
        Some(log) => {
            bail!("{} lies in the log at {}, which is evidence: write somewhere else", dir.display(), log.display())
        }
        None => Ok(()),
    }
}

/// Where a directory is, or will be once it is made.
fn resolved(dir: &Path) -> Result<PathBuf> {
    let whole = std::path::absolute(dir).with_context(|| format!("cannot find {}", dir.display()))?;
    for ancestor in whole.ancestors() {
        let Ok(found) = ancestor.canonicalize() else { continue };
        let missing = whole.strip_prefix(ancestor).unwrap_or(Path::new(""));
        if missing.components().all(|part| matches!(part, Component::Normal(_))) {
            return Ok(found.join(missing));
        }
        break;
    }
    bail!("cannot find {}: it goes by a directory that is not there", dir.display())
}

/// Whether a directory holds an incarnation.
fn is_log(dir: &Path) -> bool {
    let holds = |number: &u64| {
        let incarnation = dir.join(number.to_string());
        ["wal", "tile", "checkpoint"].iter().any(|part| incarnation.join(part).exists())
    };
    incarnations(dir).is_ok_and(|numbers| numbers.iter().any(holds))
}

/// Whether a file system gives files one name only, as FAT does.
fn has_no_links(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported)
}

fn is_there(to: &Path) -> anyhow::Error {
    anyhow::anyhow!("{} is there already: name another file, or say --overwrite", to.display())
}
