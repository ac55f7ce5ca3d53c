//! The last change of policy, compiled again from the bundles that the log keeps.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::StatusCode;
use privet_audit_log::policies::bundle_dir;
use privet_policy::diff::diff;
use privet_policy::policy::Policy;
use serde_json::Value;

use super::answer::{self, Answer};
use crate::audit::PolicyChange;
use crate::policies;

/// Compares policies that ran.
pub(super) struct Change {
    log: PathBuf,
    /// The difference that was told last.
    known: Mutex<Option<(PolicyChange, Bytes)>>,
}

impl Change {
    pub(super) fn new(log: &Path) -> Self {
        Self { log: log.to_owned(), known: Mutex::default() }
    }

    /// What `privet diff --json` says of the policy before and the one now; `null` where there was no change.
    pub(super) fn answer(&self, change: &PolicyChange) -> Answer {
        let (Some(before), Some(now)) = (&change.before, &change.now) else { return answer::json(&Value::Null) };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, told)) = known.as_ref().filter(|(of, _)| of == change) {
            return answer::json_bytes(told.clone());
        }
        match (self.kept(before), self.kept(now)) {
            (Some(before), Some(now)) => {
                let told = Bytes::from(diff(&before, &now).json(&before, &now).to_string());
                *known = Some((change.clone(), told.clone()));
                answer::json_bytes(told)
            }
            _ => answer::problem(
                StatusCode::CONFLICT,
                "the log does not hold both policies any more, or they compile to others now",
            ),
        }
    }

    /// A policy as the log has it, if it still compiles to its digest.
    fn kept(&self, digest: &str) -> Option<Policy> {
        let directory = bundle_dir(&self.log, digest).ok()?;
        policies::open(&directory).ok().filter(|policy| policy.digest().to_string() == digest)
    }
}
