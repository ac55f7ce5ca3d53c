//! What an auditor holds outside the log: the verification keys of all
//! incarnations and the newest checkpoint, in a directory of their own.

use std::io;
use std::path::{Path, PathBuf};

use crate::disk::{NOTE_BYTES_MAX, read_if_there, replace};
use crate::note::{Checkpoint, VerifierKey};

/// The longest file of keys, in bytes: a hundred thousand starts.
const KEYS_BYTES_MAX: u64 = 32 << 20;

/// The directory for anchors.
#[derive(Clone, Debug)]
pub(crate) struct Anchor {
    dir: PathBuf,
}

impl Anchor {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    fn keys_text(&self) -> io::Result<String> {
        let bytes = read_if_there(&self.dir.join("vkey"), KEYS_BYTES_MAX)?.unwrap_or_default();
        String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "`vkey` is not text"))
    }

    /// The keys so far, oldest first.
    pub(crate) fn keys(&self) -> io::Result<Vec<VerifierKey>> {
        let text = self.keys_text()?;
        let malformed = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        if text.trim().is_empty() { Ok(Vec::new()) } else { VerifierKey::parse_all(&text).map_err(malformed) }
    }

    /// The newest checkpoint, unverified.
    pub(crate) fn claimed(&self) -> io::Result<Option<(String, Checkpoint)>> {
        let Some(bytes) = read_if_there(&self.dir.join("checkpoint"), NOTE_BYTES_MAX)? else { return Ok(None) };
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, "`checkpoint` is not a signed checkpoint");
        let note = String::from_utf8(bytes).map_err(|_| malformed())?;
        let claimed = Checkpoint::claimed(&note).map_err(|_| malformed())?;
        Ok(Some((note, claimed)))
    }

    pub(crate) fn add_key(&self, key: &VerifierKey) -> io::Result<()> {
        let mut text = self.keys_text()?;
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&format!("{key}\n"));
        replace(&self.dir.join("vkey"), text.as_bytes(), true)
    }

    pub(crate) fn publish(&self, note: &str) -> io::Result<()> {
        replace(&self.dir.join("checkpoint"), note.as_bytes(), true)
    }
}
