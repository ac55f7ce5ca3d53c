//! Records about how the sidecar runs: what it was told, what its clock did, who
//! else listens beside it, and what an auditor sent to try it.
//!
//! Promise: closed lists of words, numbers and digests. A path, an address or a
//! token has no place in these types; the names of signers and of reasons are
//! the configuration's and the program's own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Pairs;
use crate::tree::Hash;

/// While `config` says that sockets are looked at, they are looked at this often, in milliseconds.
pub const BYPASS_CHECK_MS: u64 = 60_000;

/// The wall clock may differ by this much from where the monotonic clock expects it, in milliseconds.
pub const CLOCK_SKEW_MS_MAX: u64 = 2_000;

/// What the process was told to be. Follows `open`, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// `sha256:` of the bytes of the configuration file.
    pub digest: String,
    /// When records are durable.
    pub durability: DurabilityName,
    /// Who has to sign policies; null where nobody has to.
    pub signatures: Option<SignaturesNeeded>,
    /// Where decisions of people are kept.
    pub consent: ConsentKept,
    /// Where budgets are charged.
    pub exports: ExportsCharged,
    /// Where closed tiles are carried.
    pub ship: Shipped,
    /// Whether what is carried can be read by the auditors' key alone.
    pub sealed: bool,
    /// Whether sockets are looked at for ways around the sidecar.
    pub bypass: BypassWatch,
}

/// How many of whom have to sign a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignaturesNeeded {
    /// For any change.
    pub required: u64,
    /// For one that lets more leave.
    pub required_to_loosen: u64,
    /// The configured names.
    pub signers: Vec<String>,
}

/// When a record is durable, seen from a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DurabilityName {
    /// Before it.
    Sync,
    /// Soon after it, within a number of events.
    Lease,
}

/// Where decisions of people are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsentKept {
    /// In this process alone.
    Memory,
    /// In a file beside it.
    Embedded,
    /// In Redis.
    Redis,
    /// In PostgreSQL.
    #[serde(rename = "postgresql")]
    PostgreSql,
}

/// Where budgets of exports are charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportsCharged {
    /// Nowhere: nothing is exported.
    Off,
    /// In a file beside this process.
    File,
    /// In a ledger in PostgreSQL, shared with other pods.
    #[serde(rename = "postgresql")]
    PostgreSql,
}

/// Where closed tiles are carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shipped {
    /// They stay where they are.
    None,
    /// To another directory.
    Directory,
    /// To an object store that speaks S3.
    S3,
}

/// Whether sockets are looked at for ways around the sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BypassWatch {
    /// They are not.
    Off,
    /// Each [`BYPASS_CHECK_MS`] a [`BypassCheck`] says what was seen.
    Record,
}

/// The sockets that were seen in the pod, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BypassCheck {
    /// Sockets that listen.
    pub listening: u64,
    /// Sockets that are connected.
    pub established: u64,
    /// Those that may be a way around the sidecar: the sum of `reasons`.
    pub suspect: u64,
    /// Why, each suspect under one reason. A reason is a word of the program, lower case with underscores.
    pub reasons: BTreeMap<String, u64>,
    /// Collectors on other machines that were not watched, for their addresses were not known, or others may reach them.
    /// Earlier versions watched none of them, and do not say how many there were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unwatched: Option<u64>,
}

impl BypassCheck {
    /// The same, with this many collectors on other machines unwatched.
    #[must_use]
    pub fn without(self, unwatched: u64) -> Self {
        Self { unwatched: Some(unwatched), ..self }
    }

    /// What was seen; `reasons` says how many are suspect and why, those with none of it left out.
    #[must_use]
    pub fn new(listening: u64, established: u64, reasons: &[(&'static str, u64)]) -> Self {
        let mut check = Self { listening, established, ..Self::default() };
        for (reason, sockets) in reasons.iter().filter(|(_, sockets)| *sockets > 0) {
            check.suspect += sockets;
            *check.reasons.entry((*reason).to_owned()).or_default() += sockets;
        }
        check
    }
}

/// Whether this can be the word for a reason.
pub(crate) fn is_reason(word: &str) -> bool {
    (1..=40).contains(&word.len()) && word.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase())
}

/// Events that an auditor sent, decided and counted like anybody's. Recorded before they are released.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// `sha256:` of the token that came with them.
    pub token: String,
    /// Number of the batch that counts them.
    pub batch: u64,
    /// How many they are.
    pub events: u64,
    /// The same by class; part of what the batch counts.
    pub classes: Pairs,
}

/// The wall clock is not where the monotonic clock expects it. Nothing is refused for that:
/// the order of records is that of `seq`, and what is due is due by the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockMoved {
    /// By how many milliseconds it moved since the record before; negative where it went back.
    pub moved_ms: i64,
}

/// An incarnation is removed, for it ended long ago; those before it are removed too. Recorded first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retired {
    /// Its origin.
    pub origin: String,
    /// Its number of leaves at its end.
    pub size: u64,
    /// Its root at that size, base64.
    pub root: String,
    /// It ended before this, in milliseconds of Unix time.
    pub before: i64,
    /// For how many days after that logs are kept.
    pub days: u32,
}

/// Whether this is `sha256:` and a hash in hexadecimal.
pub(crate) fn is_address(text: &str) -> bool {
    let hex = text.strip_prefix("sha256:").unwrap_or_default();
    hex.len() == 2 * size_of::<Hash>() && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
