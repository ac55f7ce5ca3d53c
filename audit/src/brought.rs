//! What an auditor brings to every question: keys, an anchor, signers, policies.
//!
//! Promise: what is given and cannot be read is an error that names it, never taken for not given.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use privet_audit_log::incarnations;
use privet_audit_log::note::VerifierKey;
use privet_audit_log::policies;
use privet_audit_log::signing::SignerKey;
use privet_audit_log::verify::{CannotVerify, Options, Report, verify};
use privet_policy::Policy;

use crate::classes::{self, Agreed};

/// A log, and what is trusted besides.
#[derive(Clone, Debug, clap::Args)]
pub struct Brought {
    /// The log directory.
    pub log: PathBuf,
    /// Your own copy of the policies, once for each that you agreed to: that none of them ran is a finding, and another
    /// that ran besides is a gap.
    #[arg(long, value_name = "DIR")]
    pub policies: Vec<PathBuf>,
    /// Take the policies given for all that were agreed to: each other one that ran is a finding.
    #[arg(long, requires = "policies")]
    pub no_other_policies: bool,
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
        Ok(Options {
            keys: self.key.as_deref().map(read_keys).transpose()?,
            anchor: self.anchor.as_deref().map(read_text).transpose()?,
            signers: read_signers(&self.signer)?,
        })
    }

    /// Verifies the log.
    ///
    /// # Errors
    /// There is no log to speak of, with where one is if that is near; or what was brought cannot be used.
    pub fn verify(&self) -> Result<Report> {
        verify(&self.log, &self.options()?).map_err(|error| match error {
            CannotVerify::NoLog(at) if holds_log(&at.join("log")) => {
                anyhow!("there is no log at {}: the one in {} may be meant", at.display(), at.join("log").display())
            }
            other => other.into(),
        })
    }

    /// The policies that were agreed to; nothing where none was given.
    ///
    /// # Errors
    /// One cannot be read, does not compile, or is of the log itself.
    pub fn agreed(&self) -> Result<Option<Agreed>> {
        let policies = self.policies.iter().map(|dir| self.compiled(dir)).collect::<Result<Vec<Policy>>>()?;
        Ok((!policies.is_empty()).then_some(Agreed { policies, no_others: self.no_other_policies }))
    }

    fn compiled(&self, dir: &Path) -> Result<Policy> {
        let unread = || format!("cannot read the policies at {}", dir.display());
        let given = dir.canonicalize().with_context(unread)?;
        if let Ok(log) = self.log.canonicalize()
            && (given.starts_with(&log) || log.starts_with(&given))
        {
            bail!(
                "the policies at {} and the log at {} hold one another, and a log compared with its own copy proves nothing; bring the policies from elsewhere",
                dir.display(),
                self.log.display()
            );
        }
        let files = policies::read(dir).with_context(unread)?;
        classes::compile(&files).map_err(|why| anyhow!("the policies at {} do not compile: {why}", dir.display()))
    }
}

fn holds_log(dir: &Path) -> bool {
    incarnations(dir).is_ok_and(|numbers| !numbers.is_empty())
}

/// A key as such, or a file of keys.
///
/// # Errors
/// It is neither.
pub fn read_keys(given: &str) -> Result<Vec<VerifierKey>> {
    if let Ok(key) = VerifierKey::parse(given) {
        return Ok(vec![key]);
    }
    let file = Path::new(given);
    if !file.exists() {
        bail!(
            "`--key {given}` is neither a verification key nor a file of them: it is malformed, and there is no such file"
        );
    }
    let text = read_text(file)?;
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
