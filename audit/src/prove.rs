//! `prove` and `check-proof`: an inclusion proof that stands by itself.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use privet_audit_log::note::{Checkpoint, VerifierKey};
use privet_audit_log::tlog_proof::TlogProof;
use privet_audit_log::tree::Hash;
use privet_audit_log::verify::leaves;
use privet_audit_log::walk::walk;
use serde_json::json;

use crate::answer::Printed;
use crate::brought::{read_keys, read_text};
use crate::written::{Overwrite, write};

/// What to prove.
#[derive(clap::Args)]
pub struct Prove {
    /// The log directory.
    log: PathBuf,
    /// The incarnation.
    incarnation: u64,
    /// The record's index.
    index: u64,
    /// Write the record's stored bytes here: whoever checks the proof needs them.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    #[command(flatten)]
    overwrite: Overwrite,
}

/// What to check.
#[derive(clap::Args)]
pub struct CheckProof {
    /// The proof, as `prove` prints it.
    proof: PathBuf,
    /// Verification keys from outside the log: `NAME+ID+KEY`, or a file with one a line.
    #[arg(long, value_name = "VKEY")]
    key: String,
    /// The record's stored bytes, as `prove --record` writes them.
    #[arg(long, value_name = "FILE")]
    record: PathBuf,
    /// Write the answer as JSON.
    #[arg(long)]
    json: bool,
}

impl Prove {
    /// The proof as c2sp.org/tlog-proof@v1; none is printed that does not hold.
    ///
    /// # Errors
    /// No such record, or none under the published checkpoint.
    pub fn run(&self) -> Result<Printed> {
        let stored = leaves(&self.log, self.incarnation)?;
        let size = Checkpoint::claimed(&stored.checkpoint).context("the published checkpoint cannot be read")?.size;
        if self.index >= size {
            bail!(
                "record {} of incarnation {} is not under the published checkpoint, which covers {}",
                self.index,
                self.incarnation,
                covered(size)
            );
        }
        let proof = TlogProof::prove(&stored.leaves, self.index, &stored.checkpoint)
            .map_err(|_| unproved(self.incarnation, self.index))?;
        if let Some(path) = &self.record {
            write(path, &self.bytes()?, self.overwrite.if_there())?;
        }
        Ok((proof.to_string(), true))
    }

    fn bytes(&self) -> Result<Vec<u8>> {
        let mut found = Vec::new();
        walk(&self.log, self.incarnation, self.index.saturating_add(1), &mut |index, bytes| {
            if index == self.index {
                found = bytes.to_vec();
            }
        })?;
        Ok(found)
    }
}

impl CheckProof {
    /// Checks a proof with nothing but a key and the record.
    ///
    /// # Errors
    /// The proof cannot be read, or none of the keys is that of its log: then nothing can be said.
    pub fn run(&self) -> Result<Printed> {
        let text = read_text(&self.proof)?;
        let proof: TlogProof = text.parse().with_context(|| format!("{} is no proof", self.proof.display()))?;
        let origin = Checkpoint::claimed(&proof.checkpoint)?.origin;
        let record = fs::read(&self.record).with_context(|| format!("cannot read {}", self.record.display()))?;
        let key = key_of(&origin, &self.key)?;
        let leaf = Hash::leaf(&record);
        let (index, said) = (proof.index, seq_of(&record));
        let wrong = match proof.check(leaf, &key) {
            Err(error) => Some(error.to_string()),
            Ok(_) if said.is_some_and(|seq| seq != index) => {
                Some(format!("the record says that it is {}, and it stands at {index}", said.unwrap_or_default()))
            }
            Ok(_) => None,
        };
        let size = Checkpoint::claimed(&proof.checkpoint)?.size;
        Ok((self.told(&origin, size, index, leaf, wrong.as_deref())?, wrong.is_none()))
    }

    fn told(&self, origin: &str, size: u64, index: u64, leaf: Hash, wrong: Option<&str>) -> Result<String> {
        if self.json {
            let all = json!({
                "proved": wrong.is_none(),
                "origin": origin,
                "size": size,
                "index": index,
                "leaf_hash": leaf.to_hex(),
                "wrong": wrong,
                "assumed": ["the key is that of the log it names"],
            });
            return Ok(serde_json::to_string_pretty(&all)? + "\n");
        }
        Ok(match wrong {
            None => format!(
                "proved: the record, leaf {}, stands at {index} of the {size} records that `{origin}` signed for\nassumed: the key is that of the log it names\n",
                leaf.to_hex()
            ),
            Some(wrong) => format!("NOT proved: {wrong}\n"),
        })
    }
}

/// The indices below a size, in words.
fn covered(size: u64) -> String {
    match size.checked_sub(1) {
        None => "no record".to_owned(),
        Some(0) => "record 0 alone".to_owned(),
        Some(last) => format!("records 0 to {last}"),
    }
}

/// The checkpoint covers the record, and the records that are here have another root.
fn unproved(incarnation: u64, index: u64) -> anyhow::Error {
    anyhow!(
        "record {index} of incarnation {incarnation} cannot be proved: the records here are not those of the published \
         checkpoint; `privet-audit verify` says more"
    )
}

/// Of the given keys, the one of this log.
fn key_of(origin: &str, given: &str) -> Result<VerifierKey> {
    match read_keys(given)?.into_iter().find(|key| key.name() == origin) {
        Some(key) => Ok(key),
        None => bail!("none of the given keys is that of `{origin}`, which the proof is about"),
    }
}

/// What a record says of its own place, if it says anything.
fn seq_of(record: &[u8]) -> Option<u64> {
    let value: serde_json::Value = serde_json::from_slice(record).ok()?;
    value.get("seq")?.as_u64()
}

/// A proof's file: the specification recommends its ending.
#[must_use]
pub fn file_in(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.tlog-proof"))
}
