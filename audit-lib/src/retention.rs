//! Retention: whole incarnations that ended long ago are removed, and the log says so.
//!
//! Promise: what is removed is always the oldest, ended, and linked from the incarnation after
//! it; never one of the newest two, and never the one that the anchored checkpoint is of. When it ended
//! is believed only of a record that is proved under a signed checkpoint. The
//! statement comes first: [`due`] says what may go, the caller has each [`Retired`]
//! recorded under a signed checkpoint, and only then calls [`remove`].
//!
//! Two starts have to agree that time has passed: what this start's clock alone says makes nothing old,
//! see [`due`]. Not here: asking a clock. Callers pass the time of the process's start and what the
//! monotonic clock counted since.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use crate::anchor::Anchor;
use crate::disk::sync_dir;
use crate::note::VerifierKey;
use crate::policies;
use crate::proved::{NotProved, Proved};
use crate::record::{Entry, Record, Retired};
use crate::stored::{Item, Stored, incarnations};

/// This many of the newest incarnations are never removed.
pub const KEPT_ALWAYS: usize = 2;

const DAY_MS: i64 = 86_400_000;

/// What may go, and why no more.
#[derive(Debug, Default)]
pub struct Due {
    /// What may go, oldest first.
    pub retired: Vec<Retired>,
    /// Why what comes after it was not looked at: it stays until this is mended.
    pub held: Option<NotProved>,
}

/// The incarnations that ended more than `days` before `now_ms` (Unix time: the running process's start and what passed
/// since), and may go.
///
/// `now_ms` counts no further than the last signed record of the incarnation before the running one, and what passed
/// since the running one began: a clock that was wrong at one start makes nothing old. Time in which nothing ran counts
/// from the start after the next.
///
/// # Errors
/// The log or the anchor cannot be read.
pub fn due(log: &Path, anchor: Option<&Path>, days: u32, now_ms: i64) -> io::Result<Due> {
    let anchor = anchor.map(Anchor::new);
    let anchored = anchor.as_ref().map(Anchor::claimed).transpose()?.flatten();
    let anchored = anchored.map(|(_, claimed)| claimed.origin);
    let keys = anchor.as_ref().map(Anchor::keys).transpose()?;
    let numbers = incarnations(log)?;
    let mut due = Due::default();
    let [.., before, running] = numbers.as_slice() else { return Ok(due) };
    if numbers.len() <= KEPT_ALWAYS {
        return Ok(due);
    }
    let found = agreed_now(log, keys.as_deref(), (*before, *running), now_ms)
        .and_then(|now_ms| collect(log, keys.as_deref(), &numbers, (days, now_ms, anchored), &mut due.retired));
    due.held = found.err();
    Ok(due)
}

/// The time that the running start and the one before it agree has come, at least.
fn agreed_now(
    log: &Path,
    keys: Option<&[VerifierKey]>,
    (before, running): (u64, u64),
    now_ms: i64,
) -> Result<i64, NotProved> {
    let began = first_of_running(&Stored::new(log, running), keys)?.ts;
    let known = Proved::open(&Stored::new(log, before), keys)?.last()?.ts;
    let since = now_ms.saturating_sub(began).max(0);
    Ok(now_ms.min(known.saturating_add(since)))
}

/// The writer replaces the checkpoint and removes the tiles of the one before: whoever read that looks again.
fn first_of_running(running: &Stored, keys: Option<&[VerifierKey]>) -> Result<Entry, NotProved> {
    let look = || Proved::open(running, keys)?.first();
    look().or_else(|_| look()).or_else(|_| look())
}

fn collect(
    log: &Path,
    keys: Option<&[VerifierKey]>,
    numbers: &[u64],
    (days, now_ms, anchored): (u32, i64, Option<String>),
    due: &mut Vec<Retired>,
) -> Result<(), NotProved> {
    for pair in numbers.windows(2).take(numbers.len().saturating_sub(KEPT_ALWAYS)) {
        let [number, next] = pair else { break };
        let Some(retired) = retired_by(&Stored::new(log, *next), keys, days)? else { break };
        let is_old = now_ms.saturating_sub(retired.before) >= i64::from(days).saturating_mul(DAY_MS);
        let is_next = retired.origin.ends_with(&format!("/{number}"));
        // What is younger, or not linked, keeps everything after it.
        if !is_old || !is_next || anchored.as_ref() == Some(&retired.origin) {
            break;
        }
        due.push(retired);
    }
    Ok(())
}

/// What the incarnation after it knows of an incarnation.
fn retired_by(next: &Stored, keys: Option<&[VerifierKey]>, days: u32) -> Result<Option<Retired>, NotProved> {
    let proved = Proved::open(next, keys)?;
    let Entry { ts, record: Record::Open(open), .. } = proved.first()? else { return Ok(None) };
    if open.origin != proved.origin() {
        return Ok(None);
    }
    let prev = open.prev;
    Ok(prev.map(|prev| Retired { origin: prev.origin, size: prev.size, root: prev.root, before: ts, days }))
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Incarnations.
    pub incarnations: usize,
    /// Policy bundles that only they named.
    pub policies: usize,
}

/// Removes incarnations that a record says are retired, and the policies that neither a kept incarnation
/// nor `loaded` (digests of this process's own) names. `own` is the incarnation being written.
///
/// # Errors
/// The disk said no; what was not removed is due again.
pub fn remove(log: &Path, retired: &[Retired], own: u64, loaded: &BTreeSet<String>) -> io::Result<Removed> {
    let mut removed = Removed::default();
    for one in retired {
        let number = one.origin.rsplit_once('/').and_then(|(_, number)| number.parse::<u64>().ok());
        if let Some(number) = number.filter(|number| *number < own) {
            remove_whole(&log.join(number.to_string()))?;
            removed.incarnations += 1;
        }
    }
    let mut named = loaded.clone();
    for number in incarnations(log)?.into_iter().filter(|number| *number != own) {
        named.extend(named_by(&Stored::new(log, number))?);
    }
    removed.policies = remove_unnamed(log, &named)?;
    Ok(removed)
}

/// A directory goes at once, under a name that the next start clears away.
fn remove_whole(dir: &Path) -> io::Result<()> {
    let going = dir.with_extension("tmp");
    match fs::rename(dir, &going) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    dir.parent().map_or(Ok(()), sync_dir)?;
    if going.exists() { fs::remove_dir_all(&going) } else { Ok(()) }
}

fn named_by(stored: &Stored) -> io::Result<BTreeSet<String>> {
    let mut named = BTreeSet::new();
    stored.read(&mut |item| {
        if let Item::Record(bytes) = item
            && let Ok(Entry { record: Record::PolicyLoad(load), .. }) = Entry::parse(bytes)
        {
            named.insert(load.digest);
        }
    })?;
    Ok(named)
}

/// A bundle whose digest is named stays, whatever it holds: one that was changed is evidence.
fn remove_unnamed(log: &Path, named: &BTreeSet<String>) -> io::Result<usize> {
    let kept: BTreeSet<_> = named.iter().filter_map(|digest| policies::bundle_dir(log, digest).ok()).collect();
    let listing = match fs::read_dir(log.join("policies")) {
        Ok(listing) => listing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut removed = 0;
    for item in listing {
        let path = item?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let digest = name.split_once('-').map_or(name, |(digest, _)| digest);
        let is_bundle = policies::bundle_dir(log, digest).is_ok_and(|dir| !kept.contains(&dir));
        if is_bundle && path.is_dir() {
            remove_whole(&path)?;
            removed += 1;
        }
    }
    Ok(removed)
}
