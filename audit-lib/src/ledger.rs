//! A pod's log held against a ledger: whether it still is what witnesses have seen of it.
//!
//! Promise: where the ledger's newest checkpoint has the quorum that the auditor's trust policy asks for, a pod's log that
//! lost records, or changed them, after it was rolled is a finding, whoever signed it again. Until when the ledger
//! vouches, and between which times of witnesses the log was rolled, is said. Not here: the pod's log by
//! itself, which [`crate::verify`] checks, and who the witnesses are, which the trust policy says.
//!
//! Bounds: a list of a roll has 64 MiB, a checkpoint with its cosignatures 64 KiB, a trust policy 1 MiB.

mod rolls;
mod witnessed;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use serde::Serialize;

use crate::disk;
use crate::quorum::TrustPolicy;
use crate::record::{CLOCK_SKEW_MS_MAX, Entry, Retired};
use crate::stored::{Item, Stored, incarnations};
use crate::tree::{Hash, Tree};
use crate::verify::{
    AbsentReason, CannotVerify, NO_ANCHOR, Options, Report, StatedGap, number_of, runs, verify_knowing,
};

use rolls::{Roll, Rolls};

/// The longest trust policy, in bytes.
const POLICY_BYTES_MAX: u64 = 1 << 20;

/// What a ledger writes besides what every log does, checked here.
const RECORDS: [&str; 2] = ["roll", "roll.refused"];

/// By this much the ledger may be behind a log that is written: a log signs a checkpoint every 10 s, a ledger looks every
/// 60 s at the most, and waits 10 s for its witnesses; twice that, rounded up.
pub const BEHIND_MS_MAX: u64 = 180_000;

/// A ledger, as an auditor brings it.
#[derive(Clone, Copy, Debug)]
pub struct Ledger<'a> {
    /// The directory of its log.
    pub log: &'a Path,
    /// Whose word makes it one.
    pub policy: &'a TrustPolicy,
    /// A checkpoint of it that the auditor kept from an earlier time.
    pub anchor: Option<&'a str>,
}

/// What a ledger says about a log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LedgerReport {
    /// The ledger's log.
    pub origin: String,
    /// How many of its records its newest checkpoint covers.
    pub records: u64,
    /// Who cosigned that checkpoint, by the names of the trust policy, and when: seconds of Unix time.
    pub witnesses: Vec<(String, u64)>,
    /// Until when it vouches: the latest of these times. Null where no witness is asked for.
    pub until: Option<u64>,
    /// How many rolls, over all incarnations of the log, agree with it.
    pub agreed: u64,
    /// By incarnation: how many of its records were rolled, and how many it has.
    pub rolled: BTreeMap<u64, (u64, u64)>,
    /// By incarnation: when its first and its last rolled sizes were seen, as far as witnesses vouch for it.
    pub seen: BTreeMap<u64, Vec<Seen>>,
}

/// Between which times the first records of an incarnation were rolled, by the clocks of witnesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// How many records.
    pub size: u64,
    /// Not before this second of Unix time; null where no cosigned checkpoint before it is at hand.
    pub not_before: Option<u64>,
    /// Not after this one; null where no witness is asked for.
    pub not_after: Option<u64>,
}

/// Checks the log at `log`, whose `report` is given, against a ledger. Findings, gaps and assumptions go into the report.
///
/// # Errors
/// [`CannotVerify`] where one of them cannot be read at all, or the ledger's anchor is no checkpoint.
pub fn check(ledger: &Ledger<'_>, log: &Path, report: &mut Report) -> Result<LedgerReport, CannotVerify> {
    let mut said = LedgerReport::default();
    itself(ledger, report)?;
    let disk = |source| CannotVerify::Disk { at: ledger.log.to_owned(), source };
    let stored = Stored::new(ledger.log, 1);
    let note = stored.checkpoint().map_err(disk)?.ok_or_else(|| CannotVerify::NoLog(ledger.log.to_owned()))?;
    match ledger.policy.check(&note) {
        Ok(witnessed) => {
            said.origin = witnessed.checkpoint.origin;
            said.records = witnessed.checkpoint.size;
            said.until = witnessed.by.iter().map(|(_, time)| *time).max();
            said.witnesses = witnessed.by;
        }
        Err(why) => {
            report.finding("ledger_checkpoint", (None, None), format!("the ledger's newest checkpoint: {why}"));
            return Ok(said);
        }
    }
    assume(ledger, &said, report);
    let base = base_of(report).unwrap_or_default();
    let mut rolls = rolls::read(&stored, said.records, &base, report).map_err(disk)?;
    if rolls.is_empty() {
        report.finding("ledger_unknown", (None, None), format!("the ledger has rolled nothing of `{base}`"));
    }
    let newest = said.until.map(|until| (said.records, until));
    witnessed::time(&stored, ledger.policy, newest, &mut rolls, report).map_err(disk)?;
    hold_against(log, rolls, report, &mut said)?;
    look_whether_behind(&said, report);
    Ok(said)
}

/// The ledger's log by itself; what is said of it is among ours, and named as the ledger's.
fn itself(ledger: &Ledger<'_>, report: &mut Report) -> Result<(), CannotVerify> {
    let options = Options {
        keys: Some(ledger.policy.logs().to_vec()),
        anchor: ledger.anchor.map(str::to_owned),
        ..Options::default()
    };
    let own = verify_knowing(ledger.log, &options, &RECORDS)?;
    for finding in own.findings {
        let place = finding.record.map_or_else(String::new, |record| format!(", record {record}"));
        report.finding("ledger_log", (None, None), format!("in the ledger's log{place}: {}", finding.message));
    }
    report.findings_unlisted += own.findings_unlisted;
    // A ledger keeps no write-ahead segments: nothing is missing for want of them.
    for gap in own.gaps.into_iter().filter(|gap| gap.code != "no_segments") {
        let message = format!("in the ledger's log: {}", gap.message);
        report.stated(StatedGap { code: "ledger_gap", incarnation: None, message });
    }
    // That no anchor was given is said in the ledger's own words.
    let assumed = own.assumptions.into_iter().filter(|word| word != NO_ANCHOR);
    report.assumptions.extend(assumed.map(|word| format!("of the ledger's log: {word}")));
    Ok(())
}

fn assume(ledger: &Ledger<'_>, said: &LedgerReport, report: &mut Report) {
    if !ledger.policy.asks_for_witnesses() {
        let word = "the trust policy asks for no witness: that the ledger shows everybody the same log is its own word";
        report.assumptions.push(word.to_owned());
    }
    if ledger.anchor.is_none() {
        let until = said.until.map_or_else(String::new, |until| format!(" at {until} s of Unix time"));
        report.assumptions.push(format!(
            "no checkpoint of the ledger was given from an earlier time: that this is its newest state, with {} records{until}, is the word of whoever showed it",
            said.records
        ));
    }
}

fn base_of(report: &Report) -> Option<String> {
    let origin = &report.incarnations.iter().find(|one| !one.origin.is_empty())?.origin;
    origin.rsplit_once('/').map(|(base, _)| base.to_owned())
}

/// Compares every roll with the log's own tree at that size.
fn hold_against(log: &Path, rolls: Rolls, report: &mut Report, said: &mut LedgerReport) -> Result<(), CannotVerify> {
    let disk = |source| CannotVerify::Disk { at: log.to_owned(), source };
    let here = incarnations(log).map_err(disk)?;
    let unrolled: BTreeSet<u64> = here.iter().copied().filter(|number| !rolls.contains_key(number)).collect();
    if !unrolled.is_empty() {
        let message = format!(
            "the ledger has rolled nothing of incarnations {}, and vouches for none of their records",
            runs(&unrolled)
        );
        report.stated(StatedGap { code: "ledger_unrolled", incarnation: None, message });
    }
    for (number, rolled) in rolls {
        if here.contains(&number) {
            hold_one_against(&Stored::new(log, number), &rolled, report, said).map_err(disk)?;
        } else if let Some((size, roll)) = rolled.last_key_value() {
            is_gone(number, (*size, roll), report);
        }
    }
    let silent = !report.findings.iter().any(|finding| finding.code.starts_with("ledger_"));
    if said.agreed == 0 && silent {
        let message = "the ledger has seen no state of what is here".to_owned();
        report.finding("ledger_unknown", (None, None), message);
    }
    Ok(())
}

/// An incarnation that was rolled and is not here: retention removes the oldest, and the log says so; anything else that
/// the log says of it the ledger contradicts.
fn is_gone(number: u64, (size, roll): (u64, &Roll), report: &mut Report) {
    let seen =
        format!("the ledger's record {} has seen {size} records of incarnation {number}, which is not here", roll.seq);
    let absent = report.absent.iter().find(|absent| number_of(&absent.origin) == Some(number));
    let ends = report.retired.iter().filter(|retired| number_of(&retired.origin) == Some(number));
    let is_other = |retired: &&Retired| {
        retired.size < size || (retired.size == size && Hash::from_base64(&retired.root) != Some(roll.root))
    };
    let other = ends.filter(is_other).map(|retired| retired.size).next();
    let place = (Some(number), None);
    match absent.map(|absent| (absent.reason, absent.said_by)) {
        Some((AbsentReason::Unborn, by)) => {
            report.finding(
                "ledger_unborn",
                place,
                format!("{seen}, and incarnation {by} says that it came to nothing"),
            );
        }
        Some((AbsentReason::Lost, by)) => {
            let message =
                format!("{seen}; incarnation {by} says that it was lost: at least so many records are missing");
            report.finding("ledger_missing", place, message);
        }
        None if other.is_some() => {
            let said = other.unwrap_or_default();
            let message =
                format!("{seen}; a statement of retention says that it ended at {said} records, with other ones");
            report.finding("ledger_retired", place, message);
        }
        // Retention takes the oldest first, and the log itself says that it did.
        None if number <= report.retired_to => {
            report.stated(StatedGap { code: "ledger_earlier", incarnation: Some(number), message: seen });
        }
        None => report.finding("ledger_missing", place, seen),
    }
}

fn hold_one_against(
    stored: &Stored,
    rolled: &BTreeMap<u64, Roll>,
    report: &mut Report,
    said: &mut LedgerReport,
) -> io::Result<()> {
    let number = Some(stored.number);
    let (mut tree, mut most, mut times) = (Tree::default(), 0, Times::default());
    stored.read(&mut |item| {
        let Item::Record(bytes) = item else { return };
        tree.push(Hash::leaf(bytes), &mut Vec::new());
        times.take(Entry::parse(bytes).ok().map(|entry| entry.ts));
        if let Some(roll) = rolled.get(&tree.size()) {
            most = tree.size();
            times.compare(most, roll);
            match roll.root == tree.root() {
                true => said.agreed += 1,
                false => report.finding("ledger_root", (number, Some(most)), differs(most, roll.seq)),
            }
        }
    })?;
    let size = tree.size();
    if let Some((beyond, roll)) = rolled.range(size + 1..).next_back() {
        let message = format!("{size} records are here, and the ledger's record {} has seen {beyond}", roll.seq);
        report.finding("ledger_truncated", (number, None), message);
    }
    for message in [times.ahead, times.behind].into_iter().flatten().map(|(_, message)| message) {
        report.stated(StatedGap { code: "clock_witnessed", incarnation: number, message });
    }
    said.rolled.insert(stored.number, (most, size));
    said.seen.insert(stored.number, first_and_last(rolled));
    Ok(())
}

fn differs(size: u64, seq: u64) -> String {
    format!("the first {size} records are not those that the ledger's record {seq} has seen")
}

fn first_and_last(rolled: &BTreeMap<u64, Roll>) -> Vec<Seen> {
    let seen =
        |(size, roll): (&u64, &Roll)| Seen { size: *size, not_before: roll.not_before, not_after: roll.not_after };
    let (first, last) = (rolled.first_key_value().map(seen), rolled.last_key_value().map(seen));
    first.into_iter().chain(last.filter(|last| Some(*last) != first)).collect()
}

/// Times of records are rounded down by this much where few events are counted.
const ROUNDED_BY_MS: u64 = 10_000;

/// What the records say about their times, roll by roll; the worst of each kind is told.
#[derive(Default)]
struct Times {
    /// The latest time of a record since the roll before.
    latest: Option<i64>,
    last: Option<i64>,
    ahead: Option<(u64, String)>,
    behind: Option<(u64, String)>,
}

impl Times {
    fn take(&mut self, ts: Option<i64>) {
        self.last = ts;
        self.latest = self.latest.max(ts);
    }

    /// No record is later than when witnesses saw it; the last one rolled is earlier by no more than it takes to ship and
    /// to roll. Times of witnesses are whole seconds.
    fn compare(&mut self, size: u64, roll: &Roll) {
        let ms = |secs: u64| i64::try_from(secs.saturating_mul(1000)).unwrap_or(i64::MAX);
        if let (Some(latest), Some(high)) = (self.latest.take(), roll.not_after) {
            let by = beyond(latest, ms(high), CLOCK_SKEW_MS_MAX + 1000);
            worst(&mut self.ahead, by, |by| {
                format!(
                    "among the first {size} records is one {by} s later than witnesses saw them: the pod's clock was ahead of theirs"
                )
            });
        }
        if let (Some(last), Some(low)) = (self.last, roll.not_before) {
            let by = beyond(ms(low), last, CLOCK_SKEW_MS_MAX + BEHIND_MS_MAX + ROUNDED_BY_MS);
            worst(&mut self.behind, by, |by| {
                format!(
                    "the last of the first {size} records is {by} s earlier than they were rolled by the clocks of witnesses: the pod's clock was behind theirs, or it was shipped late"
                )
            });
        }
    }
}

/// By how many milliseconds `later` is after `earlier`, where that is more than allowed.
fn beyond(later: i64, earlier: i64, allowed: u64) -> Option<u64> {
    let by = u64::try_from(later.saturating_sub(earlier)).ok()?;
    (by > allowed).then_some(by)
}

fn worst(known: &mut Option<(u64, String)>, by: Option<u64>, message: impl Fn(u64) -> String) {
    if let Some(by) = by.filter(|by| known.as_ref().is_none_or(|(worst, _)| by > worst)) {
        *known = Some((by, message(by / 1000)));
    }
}

/// A log that is written on is rolled on; one whose records are later than what witnesses cosigned has an end that
/// nobody outside has seen.
fn look_whether_behind(said: &LedgerReport, report: &mut Report) {
    let Some((number, newest)) = report.incarnations.last().map(|one| (one.number, one.to_ms)) else { return };
    let Some(until) = said.until else { return };
    let until_ms = i64::try_from(until.saturating_mul(1000)).unwrap_or(i64::MAX);
    if let Some(by) = beyond(newest, until_ms, BEHIND_MS_MAX) {
        let message = format!(
            "the ledger vouches until {until} s of Unix time, and the log goes on for {} s after that: its end is the log's word alone",
            by / 1000
        );
        report.stated(StatedGap { code: "ledger_behind", incarnation: Some(number), message });
    }
}

/// Reads a trust policy file (c2sp.org/tlog-policy).
///
/// # Errors
/// It cannot be read, is longer than 1 MiB, or breaks a rule of the format: then with the line.
pub fn read_policy(file: &Path) -> io::Result<TrustPolicy> {
    let wrong = |error: Box<dyn std::error::Error + Send + Sync>| io::Error::new(io::ErrorKind::InvalidData, error);
    let text = String::from_utf8(disk::read(file, POLICY_BYTES_MAX)?).map_err(|error| wrong(error.into()))?;
    TrustPolicy::parse(&text).map_err(|error| wrong(error.into()))
}
