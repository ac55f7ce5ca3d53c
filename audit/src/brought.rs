//! What an auditor brings to every question: keys, an anchor, signers, policies.
//!
//! Promise: what is given and cannot be read is an error that names it, never taken for not given.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use privet_audit_log::note::VerifierKey;
use privet_audit_log::signing::SignerKey;
use privet_audit_log::verify::Options;

/// A log, and what is trusted besides.
#[derive(Clone, Debug, clap::Args)]
pub struct Brought {
    /// The log directory.
    pub log: PathBuf,
    /// Your own copy of the policies: the answer says which policy that ran equals it.
    #[arg(long, value_name = "DIR")]
    pub policies: Option<PathBuf>,
    /// Verification keys from outside the log: `NAME+ID+KEY`, or a file with one a line.
    #[arg(long, value_name = "VKEY")]
    pub key: Option<String>,
    /// A signed checkpoint from outside the log.
    #[arg(long, value_name = "CHECKPOINT")]
    pub anchor: Option<PathBuf>,
    /// Keys of those who sign policies: lines that `privet signer init` printed, or files of them. Whom the log names as
    /// a policy's signer must then have signed it.
    #[arg(long, value_name = "KEY")]
    pub signer: Vec<String>,
    /// Write the answer as JSON.
    #[arg(long)]
    pub json: bool,
}

impl Brought {
    /// What a verification takes of it.
    ///
    /// # Errors
    /// Something given cannot be read, or is not what it should be.
    pub fn options(&self) -> Result<Options> {
        if let Some(given) = &self.policies {
            let dir = fs::read_dir(given).map(drop);
            dir.with_context(|| format!("cannot read the policies at {}", given.display()))?;
        }
        Ok(Options {
            keys: self.key.as_deref().map(read_keys).transpose()?,
            anchor: self.anchor.as_deref().map(read_text).transpose()?,
            signers: read_signers(&self.signer)?,
        })
    }
}

/// A key as such, or a file of keys.
///
/// # Errors
/// It is neither.
pub fn read_keys(given: &str) -> Result<Vec<VerifierKey>> {
    if let Ok(key) = VerifierKey::parse(given) {
        return Ok(vec![key]);
    }
    let text = read_text(Path::new(given)).context("`--key` is neither a verification key nor a file of them")?;
    VerifierKey::parse_all(&text).with_context(|| format!("cannot read the keys in {given}"))
}

fn read_signers(given: &[String]) -> Result<Option<Vec<SignerKey>>> {
    let mut keys = Vec::new();
    for given in given {
        if let Ok(key) = given.parse() {
            keys.push(key);
            continue;
        }
        let text =
            read_text(Path::new(given)).context("`--signer` is neither a signer's public key nor a file of them")?;
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            keys.push(line.parse().with_context(|| format!("cannot read the keys in {given}"))?);
        }
    }
    Ok((!given.is_empty()).then_some(keys))
}

/// The text of a file.
///
/// # Errors
/// The disk said no, or it is not text; the message names the file.
pub fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
