//! A pod's log held against a ledger: whether it still is what witnesses have seen of it.
//!
//! Promise: where the ledger's newest checkpoint has the quorum that the auditor's trust policy asks for, a pod's log that
//! lost records, or changed them, after it was rolled is a finding, whoever signed it again. Not here: the pod's log by
//! itself, which [`crate::verify`] checks, and who the witnesses are, which the trust policy says.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::Serialize;

use crate::disk::read_if_there;
use crate::quorum::TrustPolicy;
use crate::record::{Entry, Record};
use crate::stored::{Item, Stored, incarnations};
use crate::tree::{Hash, Tree};
use crate::verify::{CannotVerify, Options, Report, StatedGap, leaves, verify};

/// What a ledger says about a log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LedgerReport {
    /// The ledger's log.
    pub origin: String,
    /// How many of its records its newest checkpoint covers.
    pub records: u64,
    /// Who cosigned that checkpoint, by the names of the trust policy, and when: seconds of Unix time.
    pub witnesses: Vec<(String, u64)>,
    /// How many rolls, over all incarnations of the log, agree with it.
    pub agreed: u64,
    /// By incarnation: how many of its records were rolled, and how many it has.
    pub rolled: BTreeMap<u64, (u64, u64)>,
}

/// The longest list of a roll, in bytes: a hundred thousand logs of 600 bytes.
const LIST_BYTES_MAX: u64 = 64 << 20;

/// What was rolled of one incarnation: size to root and the ledger's record that says so.
type Rolls = BTreeMap<u64, BTreeMap<u64, (Hash, u64)>>;

/// Checks the log at `log`, whose `report` is given, against the ledger's log at `ledger`. Findings go into the report.
///
/// # Errors
/// [`CannotVerify`] where one of them cannot be read at all.
pub fn check(
    ledger: &Path,
    policy: &TrustPolicy,
    log: &Path,
    report: &mut Report,
) -> Result<LedgerReport, CannotVerify> {
    let mut said = LedgerReport::default();
    itself(ledger, policy, report)?;
    let disk = |source| CannotVerify::Disk { at: ledger.to_owned(), source };
    let stored = Stored::new(ledger, 1);
    let note = stored.checkpoint().map_err(disk)?.ok_or_else(|| CannotVerify::NoLog(ledger.to_owned()))?;
    match policy.check(&note) {
        Ok(witnessed) => {
            said.origin = witnessed.checkpoint.origin;
            said.records = witnessed.checkpoint.size;
            said.witnesses = witnessed.by;
        }
        Err(why) => {
            report.finding("ledger_checkpoint", (None, None), format!("the ledger's newest checkpoint: {why}"));
            return Ok(said);
        }
    }
    if !policy.asks_for_witnesses() {
        let word = "the trust policy asks for no witness: that the ledger shows everybody the same log is its own word";
        report.assumptions.push(word.to_owned());
    }
    let base = base_of(report).unwrap_or_default();
    let rolls = rolls(&stored, said.records, &base, report).map_err(disk)?;
    if rolls.is_empty() {
        report.finding("ledger_unknown", (None, None), format!("the ledger has rolled nothing of `{base}`"));
    }
    hold_against(log, rolls, report, &mut said)?;
    Ok(said)
}

/// The ledger's log by itself, its findings among ours.
fn itself(ledger: &Path, policy: &TrustPolicy, report: &mut Report) -> Result<(), CannotVerify> {
    let options = Options { keys: Some(policy.logs().to_vec()), ..Options::default() };
    for finding in verify(ledger, &options)?.findings {
        let place = finding.record.map_or_else(String::new, |record| format!(", record {record}"));
        report.finding("ledger_log", (None, None), format!("in the ledger's log{place}: {}", finding.message));
    }
    Ok(())
}

fn base_of(report: &Report) -> Option<String> {
    let origin = &report.incarnations.iter().find(|one| !one.origin.is_empty())?.origin;
    origin.rsplit_once('/').map(|(base, _)| base.to_owned())
}

/// The number of an incarnation of the log `base`.
fn number_in(base: &str, origin: &str) -> Option<u64> {
    let number = origin.strip_prefix(base)?.strip_prefix('/')?;
    number.parse().ok().filter(|parsed: &u64| parsed.to_string() == number)
}

/// Everything that covered records of the ledger say about `base`.
fn rolls(stored: &Stored, covered: u64, base: &str, report: &mut Report) -> io::Result<Rolls> {
    let (mut rolls, mut seq, mut failed) = (Rolls::new(), 0, None);
    stored.read(&mut |item| {
        let Item::Record(bytes) = item else { return };
        let within = seq < covered;
        seq += 1;
        let record = if within { Entry::parse(bytes).ok().map(|entry| (entry.seq, entry.record)) } else { None };
        let done = match record {
            Some((seq, Record::Unknown(kind, members))) if kind == "roll" => {
                take_roll(stored, &members, seq, base, &mut rolls, report)
            }
            Some((seq, Record::Unknown(kind, members))) if kind == "roll.refused" => {
                take_refusal(&members, seq, base, report);
                Ok(())
            }
            _ => Ok(()),
        };
        failed = failed.take().or(done.err());
    })?;
    failed.map_or(Ok(rolls), Err)
}

fn take_roll(
    stored: &Stored,
    members: &serde_json::Value,
    seq: u64,
    base: &str,
    rolls: &mut Rolls,
    report: &mut Report,
) -> io::Result<()> {
    let hex = members.get("list").and_then(|list| list.as_str()?.strip_prefix("sha256:")).unwrap_or_default();
    let plain = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    let at = stored.dir.join("list").join(format!("{hex}.json"));
    let bytes =
        if plain { read_if_there(&at, LIST_BYTES_MAX)?.filter(|bytes| Hash::of(bytes).to_hex() == hex) } else { None };
    let list: Option<Vec<(String, u64, String, String)>> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let Some(list) = list else {
        report.finding(
            "ledger_list",
            (None, None),
            format!("the list of the ledger's record {seq} is not there as it was"),
        );
        return Ok(());
    };
    for (origin, size, root, _) in list {
        if let (Some(number), Some(root)) = (number_in(base, &origin), Hash::from_base64(&root)) {
            rolls.entry(number).or_default().insert(size, (root, seq));
        }
    }
    Ok(())
}

fn take_refusal(members: &serde_json::Value, seq: u64, base: &str, report: &mut Report) {
    let text = |key: &str| members.get(key).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
    if let Some(number) = number_in(base, &text("origin")) {
        let message = format!("the ledger's record {seq} says that this log contradicted itself: {}", text("reason"));
        report.finding("ledger_refused", (Some(number), None), message);
    }
}

/// Compares every roll with the log's own tree at that size.
fn hold_against(log: &Path, rolls: Rolls, report: &mut Report, said: &mut LedgerReport) -> Result<(), CannotVerify> {
    let here = incarnations(log).map_err(|source| CannotVerify::Disk { at: log.to_owned(), source })?;
    let oldest = here.first().copied().unwrap_or(0);
    let retired = report.gaps.iter().any(|gap| gap.code == "retired" && gap.incarnation == oldest);
    for (number, rolled) in rolls {
        if !here.contains(&number) {
            let message = format!("the ledger has rolled incarnation {number}, which is not here");
            match number < oldest && retired {
                // Retention takes the oldest first, and the log itself says that it did.
                true => report.gaps.push(StatedGap { code: "ledger_earlier", incarnation: number, message }),
                false => report.finding("ledger_missing", (Some(number), None), message),
            }
            continue;
        }
        let all = leaves(log, number)?.leaves;
        let (mut tree, mut most) = (Tree::default(), 0);
        for leaf in &all {
            tree.push(*leaf, &mut Vec::new());
            if let Some((root, seq)) = rolled.get(&tree.size()) {
                most = tree.size();
                match *root == tree.root() {
                    true => said.agreed += 1,
                    false => report.finding("ledger_root", (Some(number), Some(most)), differs(most, *seq)),
                }
            }
        }
        let size = tree.size();
        if let Some((beyond, (_, seq))) = rolled.range(size + 1..).next_back() {
            let message = format!("{size} records are here, and the ledger's record {seq} has seen {beyond}");
            report.finding("ledger_truncated", (Some(number), None), message);
        }
        said.rolled.insert(number, (most, size));
    }
    let silent = !report.findings.iter().any(|finding| finding.code.starts_with("ledger_"));
    if said.agreed == 0 && silent {
        let message = "the ledger has seen no state of what is here".to_owned();
        report.finding("ledger_unknown", (None, None), message);
    }
    Ok(())
}

fn differs(size: u64, seq: u64) -> String {
    format!("the first {size} records are not those that the ledger's record {seq} has seen")
}

/// Reads a trust policy file (c2sp.org/tlog-policy).
///
/// # Errors
/// It cannot be read, or breaks a rule of the format: then with the line.
pub fn read_policy(file: &Path) -> io::Result<TrustPolicy> {
    let text = fs::read_to_string(file)?;
    TrustPolicy::parse(&text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}
