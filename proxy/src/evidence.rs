//! What a decision on consent rests on, without what nearly names the person.
//!
//! Promise: of a consent string a digest is kept and what it says of each purpose,
//! never the string itself. For those who want to see why: `privet apply` shows it.

use std::cell::RefCell;
use std::fmt::Write as _;

use privet_policy::consent::{Consent, ConsentStates, Heard, Signal};
use privet_policy::policy::Policy;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The consent strings that counted in one request, each once.
#[derive(Default)]
pub struct Evidence(RefCell<Vec<(Signal, [u8; 32], ConsentStates)>>);

impl Evidence {
    /// Takes note of what was heard.
    pub fn hear(&self, heard: Heard<'_>) {
        let Heard::Evidence { signal, written, says } = heard else { return };
        let digest: [u8; 32] = Sha256::digest(written.as_bytes()).into();
        let mut kept = self.0.borrow_mut();
        if !kept.iter().any(|(known, of, _)| *known == signal && *of == digest) {
            kept.push((signal, digest, says));
        }
    }

    /// `[{"signal": "tcf", "digest": "sha256:...", "says": {PURPOSE: STATE}}]`, purposes it is silent about left out.
    #[must_use]
    pub fn show(&self, policy: &Policy) -> Value {
        let kept = self.0.borrow();
        let shown = kept.iter().map(|(signal, digest, says)| {
            json!({"signal": signal.name(), "digest": hexadecimal(digest), "says": states(policy, says)})
        });
        shown.collect::<Vec<_>>().into()
    }
}

fn hexadecimal(digest: &[u8; 32]) -> String {
    let mut written = "sha256:".to_owned();
    for byte in digest {
        let _ = write!(written, "{byte:02x}");
    }
    written
}

fn states(policy: &Policy, says: &ConsentStates) -> Value {
    let each = policy.purposes().iter().zip(says.iter()).filter(|(_, state)| *state != Consent::Absent);
    each.map(|(purpose, state)| (purpose.name.clone(), Value::from(state.name())))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
