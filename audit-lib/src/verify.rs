//! Verification: everything a stranger can check with the directory alone, and
//! what a key and an anchored checkpoint add.
//!
//! Promise: with keys and an anchor, an edited, deleted, reordered or
//! truncated record, and a count that does not add up, is a finding, but for
//! records that a process wrote after its last checkpoint and then crashed: the
//! next start vouches for them as it found them, and the report says which.
//! Without keys and anchor, what had to be assumed is listed.

mod budget;
mod incarnation;
mod pulse;
mod report;
mod suspects;
mod tiles;

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::note::{Checkpoint, NoteError, VerifierKey};
use crate::record::{Previous, Retired};
use crate::signing::SignerKey;
use crate::stored::{Stored, incarnations};
use crate::tree::Hash;

use incarnation::{Carried, Incarnation, Met, Verified};

pub use report::{
    AccountReport, ClassReport, DestinationReport, Finding, IncarnationReport, PolicyReport, RefusedPolicyReport,
    Report, StatedGap, Totals,
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

/// Verifies the log at `log`.
///
/// # Errors
/// [`CannotVerify`] where there is no log to speak of; anything wrong in a log
/// is a finding in the [`Report`].
pub fn verify(log: &Path, options: &Options) -> Result<Report, CannotVerify> {
    let disk = |source| CannotVerify::Disk { at: log.to_owned(), source };
    let numbers = match incarnations(log) {
        Ok(numbers) if !numbers.is_empty() => numbers,
        Ok(_) => return Err(CannotVerify::NoLog(log.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(CannotVerify::NoLog(log.to_owned())),
        Err(error) => return Err(disk(error)),
    };
    let anchor = options.anchor.as_deref().map(Checkpoint::claimed).transpose().map_err(CannotVerify::Anchor)?;
    let mut carried = Carried::new(options.signers.clone());
    let mut verified: Vec<(u64, Verified)> = Vec::new();
    for number in &numbers {
        let stored = Stored::new(log, *number);
        let met = anchor_in(anchor.as_ref(), *number);
        let is_last = numbers.last() == Some(number);
        let one = Incarnation::new(log, &stored, met, &mut carried).verify(is_last).map_err(disk)?;
        check_link(verified.last(), (*number, &one), &mut carried);
        verified.push((*number, one));
    }
    let gone = Gone { retired: check_oldest(verified.first(), &mut carried), unborn: carried.unborn };
    if !gone.unborn.is_empty() {
        let word = "that some starts came to nothing is the word of the start after them: whoever could write the log and the anchor could have removed what they wrote; a ledger knows";
        carried.report.assumptions.push(word.to_owned());
    }
    let mut report = carried.report;
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

fn number_of(origin: &str) -> Option<u64> {
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
            let from = before.last_alive_ms;
            let to = report.incarnations.last().map_or(from, |this| this.from_ms);
            let seconds = (to - from).max(0) / 1000;
            report.gap("not_running", number, format!("nothing ran for about {seconds} s before this incarnation"));
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

/// What stands before the oldest incarnation that is here: nothing, or what a later record says was removed
/// by retention. Gives the number up to which incarnations were.
fn check_oldest(oldest: Option<&(u64, Verified)>, carried: &mut Carried) -> u64 {
    let Some((number, one)) = oldest else { return 0 };
    let Some(linked) = one.open.as_ref().and_then(|open| open.prev.as_ref()) else {
        check_unlinked(*number, carried);
        return 0;
    };
    let is_it = |retired: &&Retired| {
        (&retired.origin, retired.size, &retired.root) == (&linked.origin, linked.size, &linked.root)
    };
    let Some(retired) = carried.retired.iter().find(is_it) else {
        let message = format!("`{}` with {} records came before and is not here", linked.origin, linked.size);
        carried.report.finding("missing_incarnation", (Some(*number), Some(0)), message);
        return 0;
    };
    let from_ms = carried.report.incarnations.first().map_or(0, |oldest| oldest.from_ms);
    if retired.before != from_ms {
        let message = format!("`{}` was removed for having ended at another time than the next began", linked.origin);
        carried.report.finding("retired", (Some(*number), Some(0)), message);
    }
    let message = format!(
        "`{}` with {} records, and what came before it, were removed {} days after they ended",
        linked.origin, linked.size, retired.days
    );
    carried.report.gap("retired", *number, message);
    number_of(&linked.origin).unwrap_or(0)
}

/// An incarnation before which nothing came is the first, unless a record says of each before it that it never came to be.
fn check_unlinked(number: u64, carried: &mut Carried) {
    let unborn = |before: &u64| carried.unborn.iter().any(|name| number_of(name) == Some(*before));
    if let Some(missing) = (1..number).find(|before| !unborn(before)) {
        let message = format!("it says that nothing came before it, and incarnation {missing} is not here");
        carried.report.finding("missing_incarnation", (Some(number), Some(0)), message);
    }
}

fn describe(end: &Previous) -> String {
    format!("`{}` of {} records with root {}", end.origin, end.size, end.root)
}

/// Incarnations that are not here, and need not be.
struct Gone {
    /// Up to this number they were removed by retention.
    retired: u64,
    /// These never came to be.
    unborn: Vec<String>,
}

impl Gone {
    fn explains(&self, origin: &str) -> bool {
        number_of(origin).is_some_and(|number| number <= self.retired) || self.unborn.iter().any(|name| name == origin)
    }
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
    for key in keys.iter().filter(|key| Some(base_of(key.name())) == base.as_deref()) {
        let text = key.to_string();
        let present = verified.iter().any(|(_, one)| one.open.as_ref().is_some_and(|open| open.vkey == text));
        if !present && !gone.explains(key.name()) {
            let message = format!("a key of `{}` was given, and the log holds no such incarnation", key.name());
            report.finding("missing_incarnation", (number_of(key.name()), None), message);
        }
    }
}

fn check_anchor(verified: &[(u64, Verified)], anchor: Option<&Checkpoint>, options: &Options, report: &mut Report) {
    let (Some(anchor), Some(note)) = (anchor, &options.anchor) else {
        report.assumptions.push(
            "no anchor was given: records cut off after an earlier checkpoint, and whole incarnations cut off at the end, are not excluded".to_owned(),
        );
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
