//! What an auditor expects of each canary, sealed when it was made.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use privet_audit_log::challenge::AuditorKey;
use serde::{Deserialize, Serialize};

use super::key::is_sealed;
use crate::brought::read_text;

/// The requests, for whoever sends them.
pub const REQUESTS: &str = "requests.ndjson";
/// What is expected.
pub const EXPECTATION: &str = "expectation.json";
/// The seal over it.
pub const SEAL: &str = "expectation.sig";
/// The public key.
pub const PUBLIC: &str = "auditor.pub";
/// The private key, where none was brought.
pub const PRIVATE: &str = "auditor.key";

/// The expectation of a whole challenge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expectation {
    /// 1.
    pub version: u32,
    /// When it was made, RFC 3339.
    pub made: String,
    /// Digest of the policy that decides the canaries.
    pub policy: String,
    /// The jurisdiction that their listener is taken to give them.
    pub jurisdiction: String,
    /// `sha256:` of the requests' file.
    pub requests: String,
    /// The canaries.
    pub canaries: Vec<Expected>,
}

/// What is expected of one canary: one event of one class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// `sha256:` of its token.
    pub token: String,
    /// `name/version` of its contract.
    pub contract: String,
    /// The class where refusals are remembered.
    pub class: String,
    /// The class where they are not, so that silence permits nothing.
    pub class_forgetful: String,
}

impl Expectation {
    /// Reads a challenge's directory.
    ///
    /// # Errors
    /// Something of it is missing, or the seal is not the auditor's over this expectation.
    pub fn read(dir: &Path) -> Result<(Self, AuditorKey)> {
        let auditor = read_text(&dir.join(PUBLIC))?;
        let auditor: AuditorKey = auditor.trim().parse().with_context(|| format!("{}", dir.join(PUBLIC).display()))?;
        let text = read_text(&dir.join(EXPECTATION))?;
        if !is_sealed(text.as_bytes(), &read_text(&dir.join(SEAL))?, &auditor) {
            bail!(
                "{} is not what `{}` sealed when the challenge was made",
                dir.join(EXPECTATION).display(),
                auditor.name()
            );
        }
        let expectation: Self = serde_json::from_str(&text).context("the expectation does not have its members")?;
        match expectation.version {
            1 => Ok((expectation, auditor)),
            other => bail!("the expectation is of version {other}, and this program knows version 1"),
        }
    }
}
