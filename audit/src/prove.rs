//! `prove`: an inclusion proof that stands by itself.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use privet_audit_log::note::Checkpoint;
use privet_audit_log::proof::inclusion;
use privet_audit_log::verify::leaves;

/// What to prove.
#[derive(clap::Args)]
pub struct Prove {
    /// The log directory.
    log: PathBuf,
    /// The incarnation.
    incarnation: u64,
    /// The record's index.
    index: u64,
}

impl Prove {
    /// The proof as a c2sp.org/tlog-proof: index, path, and the signed checkpoint.
    ///
    /// # Errors
    /// No such record, or none under the published checkpoint.
    pub fn run(&self) -> Result<String> {
        let stored = leaves(&self.log, self.incarnation)?;
        let claimed = Checkpoint::claimed(&stored.checkpoint).context("the published checkpoint cannot be read")?;
        let size = usize::try_from(claimed.size)?;
        let covered = stored.leaves.get(..size).context("the log is shorter than its checkpoint; verify it first")?;
        let path = inclusion(covered, self.index)
            .with_context(|| format!("record {} is not under the checkpoint, which covers {size}", self.index))?;
        let mut text = format!("c2sp.org/tlog-proof@v1\nindex {}\n", self.index);
        path.iter().try_for_each(|hash| writeln!(text, "{}", hash.to_base64()))?;
        write!(text, "\n{}", stored.checkpoint)?;
        Ok(text)
    }
}
