//! A witness: it cosigns checkpoints of logs that it knows, each only if it continues the one before
//! (c2sp.org/tlog-witness).
//!
//! Promise: what was cosigned is on disk before anybody is told, so that no restart, and no two requests at once, lead
//! to cosignatures over two histories; what it kept and cannot read, or kept and lost, ends in refusals, never in a fresh
//! start. A directory that went back as a whole, with all that is in it, it cannot tell from its own past. Bounds: a body
//! and a kept checkpoint of 64 KiB, 32 connections, 30 s each. Not here: the decision, which is
//! [`privet_audit_log::witness`]'s, and TLS towards the outside, which is a proxy's: the protocol authenticates nobody, for
//! logs' signatures do.
//!
//! In its directory: `key` and `vkey`; `logs/<sha256 of an origin>`, the checkpoint that was cosigned last; and
//! `known/<sha256 of an origin>`, which holds the origin from the first cosignature on and stays for ever.

mod serve;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use privet_audit_log::cosignature::{Cosigner, WitnessKey};
use privet_audit_log::kept::{KeptKey, Use};
use privet_audit_log::note::{Checkpoint, NoteError, VerifierKey};
use privet_audit_log::tree::Hash;
use privet_audit_log::witness::{AddCheckpoint, Declined, judge};
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::durable;

pub use serve::serve;

const KEY_FILE: &str = "key";
/// The folder of marks: which logs were cosigned for at all.
const KNOWN: &str = "known";
/// The longest body that is taken, and so the longest checkpoint that is kept: 63 hashes and a checkpoint with many
/// signatures take less than 16 KiB.
const BODY_BYTES_MAX: usize = 64 << 10;

/// Why a witness cannot be made or opened.
#[derive(Debug, thiserror::Error)]
pub enum CannotWitness {
    /// The disk said no.
    #[error("cannot {doing} `{}`", at.display())]
    Disk {
        /// What was tried.
        doing: &'static str,
        /// Where.
        at: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// There is a witness already.
    #[error("`{}` is there already and is not written over: its cosignatures would be another witness's", .0.display())]
    IsThere(PathBuf),
    /// The key, or the name for one, is none.
    #[error("`{}`", at.display())]
    Key {
        /// Where.
        at: PathBuf,
        /// Why not.
        #[source]
        source: NoteError,
    },
    /// A kept checkpoint is not as the witness wrote it.
    #[error("`{}` is no checkpoint of a log that is known here, so what was cosigned last is not known: restore the file, or give `--log` with the key of that log", .0.display())]
    Kept(PathBuf),
    /// What was cosigned last is not there any more.
    #[error("`{}` is gone, and this witness has cosigned before: it would cosign a second history; restore the directory whole, or make another witness with another key and name", .0.display())]
    Lost(PathBuf),
    /// Nothing to witness.
    #[error("no log is given: a witness cosigns only for logs that it knows by `--log VKEY`")]
    NoLogs,
}

fn disk(doing: &'static str, at: &Path) -> impl FnOnce(io::Error) -> CannotWitness {
    let at = at.to_owned();
    move |source| CannotWitness::Disk { doing, at, source }
}

/// What a request came to.
#[derive(Debug)]
pub enum Answer {
    /// The signature line.
    Cosigned(String),
    /// The protocol's word for no.
    Declined(Declined),
    /// The disk failed: nobody is told anything.
    Failed,
}

/// A witness at work.
pub struct Witness {
    dir: PathBuf,
    cosigner: Cosigner,
    logs: Vec<VerifierKey>,
    clock: Arc<dyn Clock>,
    /// Held from looking at what was cosigned last until its successor is on disk.
    turn: Mutex<()>,
    _lock: File,
}

/// Makes the key of a new witness in `dir` and gives its public half.
///
/// # Errors
/// [`CannotWitness`], where there is one already, too.
pub fn init(dir: &Path, name: &str) -> Result<String, CannotWitness> {
    let at = dir.join(KEY_FILE);
    let wrong = |source| CannotWitness::Key { at: at.clone(), source };
    let key = KeptKey::generate(name, Use::Witness).map_err(wrong)?;
    let (text, public) = (key.to_text().map_err(wrong)?, key.public().map_err(wrong)?);
    let line = Zeroizing::new(format!("{}\n", text.as_str()));
    let known = dir.join(KNOWN);
    durable::make_dir(&known).map_err(disk("make", &known))?;
    match durable::place(&at, line.as_bytes(), durable::SECRET).map_err(disk("write", &at))? {
        true => durable::replace(&dir.join("vkey"), format!("{public}\n").as_bytes()).map_err(disk("write", dir))?,
        false => return Err(CannotWitness::IsThere(at)),
    }
    Ok(public)
}

impl Witness {
    /// Opens the witness that [`init`] made, for these logs. A log whose kept checkpoint is lost or cannot be read is told
    /// as an error and answered 500; the others are served.
    ///
    /// # Errors
    /// [`CannotWitness`]; that no log is left to serve is one.
    pub fn open(dir: &Path, logs: Vec<VerifierKey>, clock: Arc<dyn Clock>) -> Result<Self, CannotWitness> {
        if logs.is_empty() {
            return Err(CannotWitness::NoLogs);
        }
        let at = dir.join(KEY_FILE);
        let text = std::fs::read_to_string(&at).map(Zeroizing::new).map_err(disk("read the key", &at))?;
        let wrong = |source| CannotWitness::Key { at: at.clone(), source };
        let cosigner = KeptKey::parse(&text, Use::Witness).and_then(|key| key.cosigner()).map_err(wrong)?;
        let lock = durable::lock(dir).map_err(disk("take", dir))?;
        let witness = Self { dir: dir.to_owned(), cosigner, logs, clock, turn: Mutex::default(), _lock: lock };
        witness.look_at_logs()?;
        Ok(witness)
    }

    /// Whether what was cosigned last is known of any log; of which it is not is told.
    fn look_at_logs(&self) -> Result<(), CannotWitness> {
        let known = self.dir.join(KNOWN);
        if !known.is_dir() {
            return Err(CannotWitness::Lost(known));
        }
        let (mut served, mut first) = (0, None);
        for log in &self.logs {
            match self.last(log.name()) {
                Ok(_) => served += 1,
                Err(error) => {
                    tracing::error!(log = log.name(), "this log is not witnessed: {}", crate::run::chain(&error));
                    first.get_or_insert(error);
                }
            }
        }
        first.filter(|_| served == 0).map_or(Ok(()), Err)
    }

    /// The key that checks its cosignatures.
    #[must_use]
    pub fn key(&self) -> &WitnessKey {
        self.cosigner.public()
    }

    /// Answers one `add-checkpoint`; waits for the disk.
    pub fn add_checkpoint(&self, body: &str) -> Answer {
        let request = match AddCheckpoint::parse(body) {
            Ok(request) => request,
            Err(declined) => return Answer::Declined(declined),
        };
        // Undivided: between looking and keeping, nobody else may cosign.
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        match self.cosign(&request) {
            Ok(Ok(line)) => Answer::Cosigned(line),
            Ok(Err(declined)) => Answer::Declined(declined),
            Err(error) => {
                tracing::error!("a checkpoint is not cosigned: {}", crate::run::chain(&error));
                Answer::Failed
            }
        }
    }

    fn cosign(&self, request: &AddCheckpoint) -> Result<Result<String, Declined>, CannotWitness> {
        let origin = Checkpoint::claimed(&request.note).map(|claimed| claimed.origin).unwrap_or_default();
        let known = if self.knows(&origin) { self.last(&origin)? } else { None };
        let (checkpoint, text) = match judge(request, &self.logs, known.as_ref()) {
            Ok(judged) => judged,
            Err(declined) => return Ok(Err(declined)),
        };
        if known.as_ref() != Some(&checkpoint) {
            let at = self.place_of(&origin);
            durable::replace(&at, request.note.as_bytes()).map_err(disk("keep the checkpoint at", &at))?;
        }
        self.mark(&origin)?;
        let now = u64::try_from(self.clock.now().as_second()).unwrap_or_default();
        Ok(Ok(self.cosigner.cosign(text, now)))
    }

    fn knows(&self, origin: &str) -> bool {
        self.logs.iter().any(|key| key.name() == origin)
    }

    /// By digest, for an origin may hold what a file name may not.
    fn place_of(&self, origin: &str) -> PathBuf {
        self.dir.join("logs").join(Hash::of(origin.as_bytes()).to_hex())
    }

    fn mark_of(&self, origin: &str) -> PathBuf {
        self.dir.join(KNOWN).join(Hash::of(origin.as_bytes()).to_hex())
    }

    /// Writes down that this log was cosigned for. After its state is kept and before anybody is told: so a mark without a
    /// state is a loss, and a state without a mark a crash that nobody has a cosignature of.
    fn mark(&self, origin: &str) -> Result<(), CannotWitness> {
        let at = self.mark_of(origin);
        if at.is_file() {
            return Ok(());
        }
        durable::place(&at, format!("{origin}\n").as_bytes(), durable::PLAIN).map_err(disk("write", &at)).map(drop)
    }

    /// What was cosigned last, from the disk: memory could be ahead of a write that failed.
    fn last(&self, origin: &str) -> Result<Option<Checkpoint>, CannotWitness> {
        let at = self.place_of(origin);
        let bytes = durable::read_at_most(&at, BODY_BYTES_MAX as u64).map_err(disk("read", &at))?;
        let Some(bytes) = bytes else {
            let mark = self.mark_of(origin);
            return match mark.try_exists().map_err(disk("look at", &mark))? {
                true => Err(CannotWitness::Lost(at)),
                false => Ok(None),
            };
        };
        let note = String::from_utf8(bytes).map_err(|_| CannotWitness::Kept(at.clone()))?;
        let mut own = self.logs.iter().filter(|key| key.name() == origin);
        own.find_map(|key| Checkpoint::open(&note, key).ok()).map(Some).ok_or(CannotWitness::Kept(at))
    }
}

#[cfg(test)]
mod tests;
