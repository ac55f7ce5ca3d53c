//! Verification: everything a stranger can check with the directory alone, and
//! what a key and an anchored checkpoint add.
//!
//! Promise: with keys and an anchor, an edited, deleted, reordered or
//! truncated record, and a count that does not add up, is a finding, but for
//! records that a process wrote after its last checkpoint and then crashed: the
//! next start vouches for them as it found them, and the report says which.
//! Without keys and anchor, what had to be assumed is listed.

mod absent;
mod budget;
mod incarnation;
mod pulse;
mod report;
mod suspects;
mod tiles;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::note::{Checkpoint, NoteError, VerifierKey};
use crate::record::{CLOCK_SKEW_MS_MAX, Previous};
use crate::signing::SignerKey;
use crate::stored::{Stored, incarnations};
use crate::tree::Hash;

use absent::Gone;
pub(crate) use absent::runs;
use incarnation::{Carried, Incarnation, Met, Verified};

pub use report::{
    AbsentReason, AbsentReport, AccountReport, ClassReport, DestinationReport, Finding, IncarnationReport,
    PolicyReport, RefusedPolicyReport, Report, StatedGap, Totals,
};

/// What the auditor brings.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Verification keys of incarnations, from outside the log.
    pub keys: Option<Vec<VerifierKey>>,
    /// A signed checkpoint from outside the log.
    pub anchor: Option<String>,
    /// The keys of those who sign policies, from outside the log.
    pub signers: Option<Vec<SignerKey>>,
}

/// Why there is nothing to say about a log.
#[derive(Debug, Error)]
pub enum CannotVerify {
    /// Not a directory, or it holds no incarnation.
    #[error("there is no log at {0}: no directory of an incarnation in it")]
    NoLog(PathBuf),
    /// The disk said no.
    #[error("cannot read the log at {at}: {source}")]
    Disk {
        /// Where.
        at: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The anchor is no checkpoint.
    #[error("the anchor cannot be used: {0}")]
    Anchor(NoteError),
}

/// What is assumed where no anchor was given.
pub(crate) const NO_ANCHOR: &str = "no anchor was given: records cut off after an earlier checkpoint, and whole incarnations cut off at the end, are not excluded";

/// Verifies the log at `log`.
///
/// # Errors
/// [`CannotVerify`] where there is no log to speak of; anything wrong in a log
/// is a finding in the [`Report`].
pub fn verify(log: &Path, options: &Options) -> Result<Report, CannotVerify> {
    verify_knowing(log, options, &[])
}

/// The same, where the caller checks the meaning of records of the types `known`.
pub(crate) fn verify_knowing(
    log: &Path,
    options: &Options,
    known: &'static [&'static str],
) -> Result<Report, CannotVerify> {
    let disk = |source| CannotVerify::Disk { at: log.to_owned(), source };
    let numbers = match incarnations(log) {
        Ok(numbers) if !numbers.is_empty() => numbers,
        Ok(_) => return Err(CannotVerify::NoLog(log.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(CannotVerify::NoLog(log.to_owned())),
        Err(error) => return Err(disk(error)),
    };
    let anchor = options.anchor.as_deref().map(Checkpoint::claimed).transpose().map_err(CannotVerify::Anchor)?;
    let mut carried = Carried::new(options.signers.clone(), known);
    let mut verified: Vec<(u64, Verified)> = Vec::new();
    for number in &numbers {
        let stored = Stored::new(log, *number);
        let met = anchor_in(anchor.as_ref(), *number);
        let is_last = numbers.last() == Some(number);
        let one = Incarnation::new(log, &stored, met, &mut carried).verify(is_last).map_err(disk)?;
        check_link(verified.last(), (*number, &one), &mut carried);
        absent::check_unborn(*number, &one, &mut carried.report);
        verified.push((*number, one));
    }
    absent::check_retired(&verified, &mut carried);
    let gone = absent::check(&verified, &mut carried);
    let mut report = carried.report;
    report.retired_to = gone.retired.0;
    report.retired = carried.retired.into_iter().map(|said| said.retired).collect();
    report.count_by_policy();
    assume_unsigned(&mut report);
    report.budgets = carried.budgets.into_accounts();
    check_keys(&verified, &gone, options, &mut report);
    check_anchor(&verified, anchor.as_ref(), options, &mut report);
    if options.signers.is_none() && report.policies.iter().any(|policy| !policy.signers.is_empty()) {
        let word = "no keys of policy signers were given: who signed a policy is the log's word";
        report.assumptions.push(word.to_owned());
    }
    Ok(report)
}

pub(crate) fn number_of(origin: &str) -> Option<u64> {
    origin.rsplit_once('/').and_then(|(_, number)| number.parse().ok())
}

fn base_of(origin: &str) -> &str {
    origin.rsplit_once('/').map_or(origin, |(base, _)| base)
}

fn anchor_in(anchor: Option<&Checkpoint>, number: u64) -> Vec<Met> {
    anchor
        .filter(|anchor| number_of(&anchor.origin) == Some(number))
        .map(|anchor| Met { size: anchor.size, root: anchor.root, from: "the anchor", reached: false })
        .into_iter()
        .collect()
}

/// Compares what an incarnation says about the one before with the one before.
fn check_link(before: Option<&(u64, Verified)>, (number, one): (u64, &Verified), carried: &mut Carried) {
    let Some(open) = &one.open else { return };
    let place = (Some(number), Some(0));
    let report = &mut carried.report;
    match (&open.prev, before) {
        (None, None) => {}
        (Some(linked), Some((_, before))) if *linked == before.end => {
            let to = report.incarnations.last().map_or(before.last_alive_ms, |this| this.from_ms);
            let (code, message) = between(before, to);
            report.gap(code, number, message);
        }
        // The oldest: whether it may be so is known when all are read.
        (Some(_), None) => {}
        (linked, Some((earlier, before))) => {
            let says = linked.as_ref().map_or_else(|| "nothing".to_owned(), describe);
            let message =
                format!("it says that {says} came before; incarnation {earlier} is {}", describe(&before.end));
            report.finding("link", place, message);
        }
    }
}

/// What there is to say of the time between an incarnation and the next, which began at `to` by its own clock.
fn between(before: &Verified, to: i64) -> (&'static str, String) {
    let back = before.latest_ms.saturating_sub(to);
    if back > 0 && back.unsigned_abs() > CLOCK_SKEW_MS_MAX {
        let message = format!(
            "it began {} s before the last record of the incarnation before it, by their clocks: one of them was wrong, and for how long nothing ran nobody knows",
            back / 1000
        );
        return ("clock_back", message);
    }
    let seconds = to.saturating_sub(before.last_alive_ms).max(0) / 1000;
    ("not_running", format!("nothing ran for about {seconds} s before this incarnation"))
}

fn describe(end: &Previous) -> String {
    format!("`{}` of {} records with root {}", end.origin, end.size, end.root)
}

/// What a crashed process had not signed yet is what the next start found on the disk.
fn assume_unsigned(report: &mut Report) {
    let crashed = report.incarnations.iter().filter(|one| one.end == "recovered" && one.signed < one.records);
    let words: Vec<String> = crashed
        .map(|one| {
            format!(
                "`{}` crashed after its checkpoint at {} records: the {} after it are as the next start found them, and who could write the disk before that could have changed them",
                one.origin,
                one.signed,
                one.records - one.signed
            )
        })
        .collect();
    report.assumptions.extend(words);
}

/// Whose word the log is.
fn check_keys(verified: &[(u64, Verified)], gone: &Gone, options: &Options, report: &mut Report) {
    let Some(keys) = &options.keys else {
        report.assumptions.push(
            "no key was given: each incarnation's key was taken from the log itself, so that a log written anew and signed with other keys is not excluded".to_owned(),
        );
        return;
    };
    let mut successor_vouches = false;
    for (number, one) in verified.iter().rev() {
        let Some(open) = &one.open else { continue };
        let trusted = keys.iter().any(|key| key.to_string() == open.vkey);
        let vouched = successor_vouches && !one.has_checkpoint;
        if !trusted && !vouched {
            let message = format!("none of the given keys is that of `{}`", open.origin);
            report.finding("key", (Some(*number), None), message);
        }
        successor_vouches = trusted || vouched;
    }
    let base = verified.iter().find_map(|(_, one)| one.open.as_ref()).map(|open| base_of(&open.origin).to_owned());
    let mut excused = BTreeSet::new();
    for key in keys.iter().filter(|key| Some(base_of(key.name())) == base.as_deref()) {
        let text = key.to_string();
        let number = number_of(key.name());
        let opens = || verified.iter().filter_map(|(_, one)| one.open.as_ref());
        if opens().any(|open| open.vkey == text) {
            continue;
        }
        if gone.explains(key.name()) {
            excused.extend(number);
            continue;
        }
        let has_another = opens().any(|open| open.origin == key.name());
        let what =
            if has_another { "that one has another key in the log" } else { "the log holds no such incarnation" };
        let message = format!("a key of `{}` was given, and {what}", key.name());
        report.finding("missing_incarnation", (number, None), message);
    }
    report.assumptions.extend(gone.excuses(&excused));
}

fn check_anchor(verified: &[(u64, Verified)], anchor: Option<&Checkpoint>, options: &Options, report: &mut Report) {
    let (Some(anchor), Some(note)) = (anchor, &options.anchor) else {
        report.assumptions.push(NO_ANCHOR.to_owned());
        return;
    };
    let number = number_of(&anchor.origin);
    let Some((_, one)) = verified.iter().find(|(n, _)| Some(*n) == number) else {
        let message = format!("the anchor is of `{}` at {} records, which is not here", anchor.origin, anchor.size);
        return report.finding("missing_incarnation", (number, None), message);
    };
    let own = one.open.as_ref().and_then(|open| VerifierKey::parse(&open.vkey).ok());
    let opened = own.as_ref().map(|key| Checkpoint::open(note, key));
    if !matches!(opened, Some(Ok(_))) {
        report.finding("anchor", (number, None), "the anchor is not signed by the key of the incarnation it names");
    }
    let after = one.end.size.saturating_sub(anchor.size);
    if after > 0 || verified.last().map(|(n, _)| *n) != number {
        report.assumptions.push(format!(
            "the anchor covers the first {} records of incarnation {}: for what came later, cutting off at a later checkpoint is not excluded",
            anchor.size,
            number.unwrap_or_default()
        ));
    }
}

/// The leaf hashes of one incarnation and its published checkpoint, for proofs.
#[derive(Clone, Debug)]
pub struct Leaves {
    /// All leaf hashes.
    pub leaves: Vec<Hash>,
    /// The signed note in the file `checkpoint`.
    pub checkpoint: String,
}

/// Reads the leaf hashes of an incarnation. They are not verified.
///
/// # Errors
/// There is no such incarnation, or it cannot be read.
pub fn leaves(log: &Path, incarnation: u64) -> Result<Leaves, CannotVerify> {
    let disk = |source| CannotVerify::Disk { at: log.to_owned(), source };
    let stored = Stored::new(log, incarnation);
    let checkpoint = stored.checkpoint().map_err(disk)?.ok_or_else(|| CannotVerify::NoLog(stored.dir.clone()))?;
    let mut leaves = Vec::new();
    let read = stored.read(&mut |item| {
        if let crate::stored::Item::Record(bytes) = item {
            leaves.push(Hash::leaf(bytes));
        }
    });
    read.map_err(disk)?;
    Ok(Leaves { leaves, checkpoint })
}
