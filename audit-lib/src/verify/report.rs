//! What a verification found, for people and for machines.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use serde::Serialize;

use crate::record::{Config, PolicyLoad, PolicyRefused, RefusalReason, Retired};

/// More findings, or gaps, than this are counted and not listed.
const LISTED_MAX: usize = 1000;

/// Of more absent incarnations than this nobody's word is taken.
const ABSENT_MAX: usize = 100_000;

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A stable short name.
    pub code: &'static str,
    /// In which incarnation.
    pub incarnation: Option<u64>,
    /// At which record.
    pub record: Option<u64>,
    /// What is wrong.
    pub message: String,
}

/// A time or an extent that the log does not speak for, and says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StatedGap {
    /// A stable short name.
    pub code: &'static str,
    /// In which incarnation; null where it is of a ledger.
    pub incarnation: Option<u64>,
    /// What is missing.
    pub message: String,
}

impl fmt::Display for StatedGap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.incarnation {
            Some(incarnation) => write!(f, "incarnation {incarnation}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// One incarnation as it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct IncarnationReport {
    /// Its number.
    pub number: u64,
    /// Its name.
    pub origin: String,
    /// Its verification key, as its first record says.
    pub vkey: String,
    /// Number of records.
    pub records: u64,
    /// Its root, base64.
    pub root: String,
    /// How many of its records its own checkpoints cover.
    pub signed: u64,
    /// Number of signed checkpoints that were checked.
    pub checkpoints: u64,
    /// `closed`, `recovered` or `open`.
    pub end: &'static str,
    /// What its process was told to be, where it says so.
    pub config: Option<Config>,
    /// Time of the first record, Unix milliseconds.
    pub from_ms: i64,
    /// Time of the last record, Unix milliseconds.
    pub to_ms: i64,
}

/// Why an incarnation is not here, as a later one says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AbsentReason {
    /// It has a key and never came to be.
    Unborn,
    /// The anchor knew it, and it was missing.
    Lost,
}

/// An incarnation that a later one says it did not find.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AbsentReport {
    /// Its name.
    pub origin: String,
    /// Why.
    pub reason: AbsentReason,
    /// The number of the incarnation that says so.
    pub said_by: u64,
    /// How many records of it were anchored.
    pub records: u64,
}

/// Sums over the whole log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Records of all types.
    pub records: u64,
    /// Batches.
    pub batches: u64,
    /// Looks at the pod's sockets.
    pub bypass_checks: u64,
    /// Challenges of auditors.
    pub challenges: u64,
    /// Their events, which the other sums count too.
    pub challenged_events: u64,
    /// Requests in.
    pub requests: u64,
    /// Requests answered after their events were decided.
    pub answered: u64,
    /// Requests refused, by name.
    pub refused: BTreeMap<String, u64>,
    /// Requests given up.
    pub aborted: u64,
    /// Requests in flight when their incarnation ended, or now.
    pub requests_unfinished: u64,
    /// Body bytes in.
    pub bytes: u64,
    /// Events in.
    pub events: u64,
    /// Events released to at least one destination.
    pub kept: u64,
    /// Events released to none.
    pub dropped: u64,
    /// Events whose request ended before they were decided.
    pub withheld: u64,
    /// Events undecided when their incarnation ended, or now.
    pub events_unfinished: u64,
}

/// Sums for one destination.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DestinationReport {
    /// Events released to it.
    pub released: u64,
    /// Taken by it.
    pub acknowledged: u64,
    /// Refused by it, or never sent.
    pub refused: u64,
    /// Nobody knows.
    pub unknown: u64,
    /// On their way now.
    pub open: u64,
}

impl DestinationReport {
    pub(super) fn add(&mut self, other: &Self) {
        self.released = self.released.saturating_add(other.released);
        self.acknowledged = self.acknowledged.saturating_add(other.acknowledged);
        self.refused = self.refused.saturating_add(other.refused);
        self.unknown = self.unknown.saturating_add(other.unknown);
        self.open = self.open.saturating_add(other.open);
    }
}

/// A policy that ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PolicyReport {
    /// Its digest.
    pub digest: String,
    /// How often it was loaded.
    pub loads: u64,
    /// Number of its files.
    pub files: u64,
    /// Events decided by it.
    pub events: u64,
    /// Who signed it, over all loads.
    pub signers: BTreeSet<String>,
}

impl PolicyReport {
    pub(super) fn loaded(&mut self, load: &PolicyLoad) {
        self.loads += 1;
        self.files = load.files;
        self.signers.extend(load.signers.iter().cloned());
    }
}

/// A policy that was not put in force for want of signatures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusedPolicyReport {
    /// Its digest.
    pub digest: String,
    /// What it lacked.
    pub reason: RefusalReason,
    /// Who had signed it, the last time.
    pub signers: Vec<String>,
    /// How many were needed, the last time.
    pub required: u64,
    /// How often it was refused for this reason.
    pub times: u64,
}

/// A class of decisions that was used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClassReport {
    /// `sha256:` of its document.
    pub id: String,
    /// Digest of the policy that it is a decision of.
    pub policy: String,
    /// Its document; empty if it could not be found.
    #[serde(skip)]
    pub document: String,
    /// Events decided so.
    pub events: u64,
}

/// One budget.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AccountReport {
    /// The declared name.
    pub account: String,
    /// `pure` or `zcdp`; amounts are billionths of it.
    pub measure: String,
    /// The largest sum that any horizon held.
    pub spent_most: u64,
    /// The most that any horizon may hold, as of the last charge.
    pub cap: u64,
    /// Length of the horizon, in seconds.
    pub horizon_secs: u64,
    /// Number of charges.
    pub charges: u64,
    /// Number of releases.
    pub releases: u64,
}

/// Everything that a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The incarnations, oldest first.
    pub incarnations: Vec<IncarnationReport>,
    /// Incarnations that are not here, and of which another one says why.
    pub absent: Vec<AbsentReport>,
    /// Sums.
    pub totals: Totals,
    /// Sums by destination name.
    pub destinations: BTreeMap<String, DestinationReport>,
    /// Policies by first use.
    pub policies: Vec<PolicyReport>,
    /// Policies that were refused, by digest and reason.
    pub refused_policies: Vec<RefusedPolicyReport>,
    /// Classes by first use.
    pub classes: Vec<ClassReport>,
    /// Budgets.
    pub budgets: Vec<AccountReport>,
    /// What must not be.
    pub findings: Vec<Finding>,
    /// Findings past the first thousand.
    pub findings_unlisted: u64,
    /// What the log says it does not cover.
    pub gaps: Vec<StatedGap>,
    /// Gaps past the first thousand.
    pub gaps_unlisted: u64,
    /// Up to this incarnation, retention removed them, as a record says; 0 where it removed none.
    #[serde(skip)]
    pub(crate) retired_to: u64,
    /// What records say was removed.
    #[serde(skip)]
    pub(crate) retired: Vec<Retired>,
    /// What was taken on trust.
    pub assumptions: Vec<String>,
}

impl Report {
    /// Whether nothing must not be.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// Adds a finding.
    pub fn finding(&mut self, code: &'static str, at: (Option<u64>, Option<u64>), message: impl Into<String>) {
        if self.findings.len() >= LISTED_MAX {
            self.findings_unlisted += 1;
            return;
        }
        let (incarnation, record) = at;
        self.findings.push(Finding { code, incarnation, record, message: message.into() });
    }

    pub(super) fn absent(&mut self, absent: AbsentReport) {
        if self.absent.len() < ABSENT_MAX {
            self.absent.push(absent);
        }
    }

    pub(super) fn gap(&mut self, code: &'static str, incarnation: u64, message: impl Into<String>) {
        self.stated(StatedGap { code, incarnation: Some(incarnation), message: message.into() });
    }

    /// Adds a gap; those past the first thousand are counted.
    pub fn stated(&mut self, gap: StatedGap) {
        if self.gaps.len() < LISTED_MAX {
            self.gaps.push(gap);
        } else {
            self.gaps_unlisted += 1;
        }
    }

    /// The place of a policy, adding it if it is new.
    pub(super) fn policy(&mut self, digest: &str) -> &mut PolicyReport {
        let at = self.policies.iter().position(|policy| policy.digest == digest).unwrap_or(self.policies.len());
        if at == self.policies.len() {
            self.policies.push(PolicyReport { digest: digest.to_owned(), ..PolicyReport::default() });
        }
        self.policies.get_mut(at).expect("the policy at this place was found or just added")
    }

    /// Sums up what each policy decided.
    pub(super) fn count_by_policy(&mut self) {
        let mut events: HashMap<&str, u64> = HashMap::new();
        for class in &self.classes {
            let sum = events.entry(&class.policy).or_default();
            *sum = sum.saturating_add(class.events);
        }
        for policy in &mut self.policies {
            policy.events = events.get(policy.digest.as_str()).copied().unwrap_or_default();
        }
    }

    /// Counts a refused policy.
    pub(super) fn refused_policy(&mut self, refused: &PolicyRefused) {
        let alike = |known: &&mut RefusedPolicyReport| known.digest == refused.digest && known.reason == refused.reason;
        if let Some(known) = self.refused_policies.iter_mut().find(alike) {
            known.times += 1;
            (known.signers, known.required) = (refused.signers.clone(), refused.required);
        } else if self.refused_policies.len() < LISTED_MAX {
            self.refused_policies.push(RefusedPolicyReport {
                digest: refused.digest.clone(),
                reason: refused.reason,
                signers: refused.signers.clone(),
                required: refused.required,
                times: 1,
            });
        }
    }
}
