//! The writer: one incarnation per process start.
//!
//! Promise: when [`Log::commit`] returns, what it was given is durable; when it
//! fails, nothing of it counts. A disk that fails makes every later commit fail
//! until it works again, and the log then says for how long. Signing keys live
//! in memory.
//!
//! Not here: threads and queues. The caller commits; at most one commit is
//! under way, and each waits for the disk at most once.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom as _, SystemRandom};

use crate::anchor::Anchor;
use crate::counts::Delta;
use crate::disk::{DiskOp, Gate, replace, sync_dir};
use crate::note::{Signer, VerifierKey, check_origin};
use crate::record::{CLOCK_SKEW_MS_MAX, ClockMoved, Close, Config, Degraded, Gap, Open, Previous, Record};
use crate::recover::{Ended, OpenError, finish, last_policy, round_ms};
use crate::stored::{Stored, incarnations};
use crate::volume::{Draft, Stamp, Volume, WriteError};

/// A leaf waits this long for company.
pub const LEAF_MS: u64 = 100;
/// A leaf of fewer events than this is not cut early, and its times are rounded.
pub const LEAF_EVENTS: u64 = 64;
/// A leaf of this many classes is cut at once, since a record has an end.
pub const LEAF_CLASSES: usize = 1500;
/// A leaf waits no longer than this.
pub const LEAF_MS_MAX: u64 = 10_000;
/// A checkpoint is signed this often while records come.
pub const CHECKPOINT_MS: u64 = 10_000;
/// Silence is recorded this often.
pub const HEARTBEAT_MS: u64 = 60_000;

/// When a record is durable, seen from a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Before it.
    Sync,
    /// Soon after: at most this many events are ever released and not durable.
    Lease {
        /// Number of events.
        events: u64,
    },
}

impl Durability {
    fn lease(self) -> u64 {
        match self {
            Self::Sync => 0,
            Self::Lease { events } => events,
        }
    }
}

/// How a log is written.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The log directory, holding all incarnations.
    pub dir: PathBuf,
    /// The name of this log; the incarnation's number is appended.
    pub origin: String,
    /// Where verification keys and checkpoints go for auditors, outside `dir`.
    pub anchor: Option<PathBuf>,
    /// When records are durable.
    pub durability: Durability,
    /// The names of refusals, by number.
    pub refusals: Vec<String>,
    /// Name and version of the program.
    pub software: String,
    /// What the process was told to be.
    pub config: Option<Config>,
    /// Size of the file that is given up when the disk is full.
    pub reserve_bytes: u64,
    /// A segment that passes this is followed by another.
    pub segment_bytes: u64,
    /// Asked before each disk operation; for tests.
    pub gate: Gate,
}

impl Settings {
    /// Settings with the defaults: `sync`, no anchor, 1 MiB of reserve, segments of 8 MiB.
    pub fn new(dir: impl Into<PathBuf>, origin: impl Into<String>) -> Self {
        Self {
            dir: dir.into(),
            origin: origin.into(),
            anchor: None,
            durability: Durability::Sync,
            refusals: Vec::new(),
            software: concat!("privet ", env!("CARGO_PKG_VERSION")).to_owned(),
            config: None,
            reserve_bytes: 1 << 20,
            segment_bytes: 8 << 20,
            gate: Gate::default(),
        }
    }
}

/// A moment on both clocks. The library reads none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds of Unix time.
    pub wall_ms: i64,
    /// Milliseconds since the process started.
    pub mono_ms: u64,
}

impl Moment {
    /// How far the wall clock is ahead of where the monotonic clock expects it, given an earlier moment.
    fn moved_since(self, before: Self) -> i64 {
        let apart = |moment: Self| moment.wall_ms.saturating_sub_unsigned(moment.mono_ms);
        apart(self).saturating_sub(apart(before))
    }
}

/// What a start found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The number of the incarnation that begins.
    pub incarnation: u64,
    /// The incarnation before, if there is one.
    pub before: Option<Ended>,
    /// Incarnations that the anchor knows and the log does not have. Of one whose checkpoint is not anchored nobody
    /// knows how far it got: its size is 0.
    pub lost: Vec<Previous>,
    /// Origins of incarnations whose key is anchored and which never came to be, as far as anything left tells:
    /// their start did not get so far.
    pub unborn: Vec<String>,
    /// The digest of the policy that was in force last, as far as the log knows:
    /// none where an incarnation is lost that may have had another.
    pub policy: Option<String>,
}

/// What one commit carries.
#[derive(Clone, Debug, Default)]
pub struct Work {
    /// Changed counts and new declarations.
    pub delta: Delta,
    /// Records of their own: budget charges and releases.
    pub records: Vec<Record>,
    /// Ends the batch with this commit; see [`Log::is_batch_due`].
    pub cut: bool,
    /// Signs a checkpoint with this commit, whatever the time; it fails where that fails.
    pub checkpoint: bool,
}

/// The log of this process.
#[derive(Debug)]
pub struct Log {
    settings: Settings,
    volume: Volume,
    signer: Signer,
    anchor: Option<Anchor>,
    number: u64,
    batch_since: Option<Moment>,
    signed: (u64, u64),
    last_record: Moment,
    degraded: Option<Moment>,
    unpublished: Option<(Moment, String)>,
    note: String,
    retiring: bool,
    _lock: File,
}

impl Log {
    /// Ends the incarnation before and begins a new one.
    ///
    /// # Errors
    /// See [`OpenError`]; damage before a signed checkpoint is one.
    pub fn open(settings: Settings, now: Moment) -> Result<(Self, Recovered), OpenError> {
        check_origin(&format!("{}/{}", settings.origin, u64::MAX))?;
        let dir = settings.dir.clone();
        fs::create_dir_all(&dir).map_err(OpenError::disk("create the log directory", &dir))?;
        let lock = lock(&dir)?;
        remove_unfinished(&dir).map_err(OpenError::disk("remove an unfinished incarnation", &dir))?;
        let numbers = incarnations(&dir).map_err(OpenError::disk("list the log directory", &dir))?;
        let anchor = settings.anchor.as_deref().map(Anchor::new);
        let before = numbers
            .last()
            .map(|number| finish(&Stored::new(&dir, *number), anchor.as_ref(), now.wall_ms, &settings.gate))
            .transpose()?;
        let last = numbers.last().copied().unwrap_or(0);
        let Past { newest, lost, unborn } = anchored_past(anchor.as_ref(), &settings.origin, last, &dir)?;
        let number = last.max(newest) + 1;
        let policy = if lost.is_empty() { last_in_force(before.as_ref(), &dir, &numbers)? } else { None };
        let recovered = Recovered { incarnation: number, before, lost, unborn, policy };
        let log = Self::begin(settings, anchor, &recovered, now, lock)?;
        Ok((log, recovered))
    }

    fn begin(
        settings: Settings,
        anchor: Option<Anchor>,
        recovered: &Recovered,
        now: Moment,
        lock: File,
    ) -> Result<Self, OpenError> {
        let number = recovered.incarnation;
        let origin = format!("{}/{number}", settings.origin);
        let signer = Signer::generate(&origin)?;
        let dir = settings.dir.join(number.to_string());
        let making = settings.dir.join(format!("{number}.tmp"));
        let mut volume = Volume::new(&making, number, &origin, &settings.gate);
        let mut draft = volume.draft();
        let note = first_records(&mut draft, &settings, &signer, recovered, now).map_err(OpenError::write(&dir))?;
        volume.commit(draft).map_err(OpenError::write(&dir))?;
        // What a reader of the checkpoint needs is there when the incarnation appears.
        volume.publish_durably(&note).map_err(OpenError::disk("publish the first checkpoint", &dir))?;
        // The key first: an incarnation that nobody has the key of could be anybody's. A key whose
        // incarnation then does not appear is stated by the next start.
        if let Some(anchor) = &anchor {
            anchor.add_key(signer.verifier()).map_err(OpenError::disk("anchor the verification key", &dir))?;
        }
        // The incarnation appears whole or not at all.
        fs::rename(&making, &dir)
            .and_then(|()| sync_dir(&settings.dir))
            .map_err(OpenError::disk("name the new incarnation", &dir))?;
        volume.relocate(&dir);
        let mut log = Self {
            signed: (volume.tree.size(), now.mono_ms),
            last_record: now,
            settings,
            volume,
            signer,
            anchor,
            number,
            batch_since: None,
            degraded: None,
            unpublished: None,
            note,
            retiring: false,
            _lock: lock,
        };
        log.publish(now);
        if let Some((_, why)) = &log.unpublished {
            let source = io::Error::other(why.clone());
            return Err(OpenError::Disk { doing: "publish the first checkpoint", at: dir, source });
        }
        log.refill_reserve().map_err(OpenError::disk("write the reserve", &dir))?;
        Ok(log)
    }

    /// The number of this incarnation.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.number
    }

    /// The key that checks this incarnation's checkpoints.
    #[must_use]
    pub fn verifier(&self) -> &VerifierKey {
        self.signer.verifier()
    }

    /// Number of durable records.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.volume.tree.size()
    }

    /// The newest signed checkpoint.
    #[must_use]
    pub fn checkpoint(&self) -> &str {
        &self.note
    }

    /// Number of records under the newest signed checkpoint.
    #[must_use]
    pub const fn signed_size(&self) -> u64 {
        self.signed.0
    }

    /// Releases that have no outcome yet, counted by batch and destination.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.volume.books.outstanding.len()
    }

    /// Whether the last commit worked.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.degraded.is_none()
    }

    /// Since when, and why, the newest checkpoint could not be published.
    #[must_use]
    pub fn unpublished(&self) -> Option<(Moment, &str)> {
        self.unpublished.as_ref().map(|(since, why)| (*since, why.as_str()))
    }

    /// Whether the batch with `delta` in it should be cut now: at 100 ms and 64 events, or at 10 s.
    pub fn is_batch_due(&mut self, delta: &Delta, now: Moment) -> bool {
        if delta.has_no_counts() && self.volume.open.has_no_counts() {
            return false;
        }
        let since = *self.batch_since.get_or_insert(now);
        let age = now.mono_ms.saturating_sub(since.mono_ms);
        let events = events_of(delta) + events_of(&self.volume.open);
        let classes = delta.decisions.classes.len() + self.volume.open.decisions.classes.len();
        age >= LEAF_MS_MAX || (age >= LEAF_MS && events >= LEAF_EVENTS) || classes >= LEAF_CLASSES
    }

    /// Makes the work durable, and with it whatever is due: a heartbeat, a checkpoint.
    ///
    /// # Errors
    /// Nothing of the work counts then; it may be given again. [`WriteError::Unsigned`] is the one after which
    /// all of it counts and nothing may be given again: the checkpoint that the work asked for is missing, so
    /// whatever was to wait for it must not happen.
    pub fn commit(&mut self, work: &Work, now: Moment) -> Result<(), WriteError> {
        let done = self.attempt(work, now);
        if let Err(error) = &done {
            self.degrade(error.cause(), now);
        }
        done
    }

    fn attempt(&mut self, work: &Work, now: Moment) -> Result<(), WriteError> {
        let mut draft = self.volume.draft();
        if let Some(since) = self.degraded {
            self.refill_reserve().map_err(WriteError::disk("write the reserve again"))?;
            let gap = Gap { cause: "disk".to_owned(), since: since.wall_ms, lost: None };
            draft.record(exactly(now), Record::Gap(gap))?;
        }
        self.draft_clock(&mut draft, now)?;
        self.draft_work(&mut draft, work, now)?;
        if !draft.has_records() && now.mono_ms.saturating_sub(self.last_record.mono_ms) >= HEARTBEAT_MS {
            draft.record(exactly(now), Record::Heartbeat)?;
        }
        let wants_checkpoint = self.wants_checkpoint(&draft, work, now);
        let has_records = draft.has_records();
        self.volume.commit(draft)?;
        self.degraded = None;
        if work.cut {
            self.volume.open = Delta::default();
            self.batch_since = None;
        } else {
            self.volume.open.merge(&counts_only(&work.delta));
        }
        if has_records {
            self.last_record = now;
        }
        // The work is durable; a head that is not is signed at the next chance, and missed by whoever asked for it.
        let signed = if wants_checkpoint { self.sign_durable().map(Some) } else { Ok(None) };
        let (note, unsigned) = signed.map_or_else(|error| (None, Some(error)), |note| (note, None));
        self.after_commit(note, now);
        let asked_for = unsigned.filter(|_| work.checkpoint);
        asked_for.map_or(Ok(()), |error| Err(WriteError::Unsigned(Box::new(error))))
    }

    /// Signs what is durable. A head in one group with its records could be left behind by a failed write,
    /// beside another of its size that is signed once they are written again, differently.
    fn sign_durable(&mut self) -> Result<String, WriteError> {
        let mut head = self.volume.draft();
        let note = head.tree_head(&self.volume.origin, &self.signer);
        self.volume.commit(head)?;
        Ok(note)
    }

    /// Says that the wall clock was set, if it was.
    fn draft_clock(&self, draft: &mut Draft, now: Moment) -> Result<(), WriteError> {
        let moved_ms = now.moved_since(self.last_record);
        if moved_ms.unsigned_abs() <= CLOCK_SKEW_MS_MAX {
            return Ok(());
        }
        draft.record(exactly(now), Record::Clock(ClockMoved { moved_ms }))
    }

    fn draft_work(&mut self, draft: &mut Draft, work: &Work, now: Moment) -> Result<(), WriteError> {
        // When a class is first seen would say when somebody did something rare.
        for declaration in &work.delta.declared {
            draft.declare(rounded(now), declaration)?;
        }
        if work.cut {
            let mut sum = self.volume.open.clone();
            sum.merge(&work.delta);
            let since = self.batch_since.unwrap_or(now);
            let quiet = events_of(&sum) < LEAF_EVENTS;
            let stamp = if quiet { rounded(now) } else { exactly(now) };
            let since = if quiet { round_ms(since.wall_ms) } else { since.wall_ms };
            draft.fold(stamp, since, &sum)?;
        } else if !work.delta.has_no_counts() {
            draft.delta(&work.delta);
        }
        work.records.iter().try_for_each(|record| draft.record(exactly(now), record.clone()))
    }

    fn wants_checkpoint(&self, draft: &Draft, work: &Work, now: Moment) -> bool {
        let (size, at) = self.signed;
        let grown = draft.books().next_seq > size;
        let due = now.mono_ms.saturating_sub(at) >= CHECKPOINT_MS;
        grown && (work.checkpoint || due || self.segment_is_full(work))
    }

    fn segment_is_full(&self, work: &Work) -> bool {
        work.cut && self.volume.wal.bytes() >= self.settings.segment_bytes
    }

    fn after_commit(&mut self, note: Option<String>, now: Moment) {
        let signed = note.is_some();
        if let Some(note) = note {
            self.note = note;
            self.signed = (self.volume.tree.size(), now.mono_ms);
        }
        if self.retiring {
            // The first commit of the new segment is durable: nothing needs the old ones.
            self.retiring = self.volume.wal.forget_before().is_err();
        }
        let retry = self.unpublished.as_ref().is_some_and(|(tried, _)| now.mono_ms >= tried.mono_ms + 1000);
        if signed || retry {
            self.publish(now);
        }
    }

    /// Tiles can be written again from the records, so failing here refuses nobody.
    fn publish(&mut self, now: Moment) {
        let done = self.try_publish();
        self.unpublished = done.err().map(|error| (now, error.to_string()));
    }

    fn try_publish(&mut self) -> io::Result<()> {
        self.volume.publish(&self.note)?;
        if let Some(anchor) = &self.anchor {
            self.settings.gate.pass(DiskOp::Publish)?;
            anchor.publish(&self.note)?;
        }
        let at_rest = self.volume.open.has_no_counts() && self.signed.0 == self.volume.tree.size();
        if at_rest && self.volume.wal.bytes() >= self.settings.segment_bytes {
            self.volume.retire_segments(&self.note)?;
            self.retiring = true;
        }
        Ok(())
    }

    /// Gives up the reserve to say that nothing more can be said.
    fn degrade(&mut self, cause: &'static str, now: Moment) {
        if self.degraded.is_some() {
            return;
        }
        self.degraded = Some(now);
        let _ = fs::remove_file(self.reserve_path());
        let mut draft = self.volume.draft();
        let record = Record::Degraded(Degraded { cause: cause.to_owned() });
        let drafted = self.draft_clock(&mut draft, now).and_then(|()| draft.record(exactly(now), record));
        if drafted.is_ok() && self.volume.commit(draft).is_ok() {
            self.last_record = now;
            let note = self.sign_durable().ok();
            self.after_commit(note, now);
        }
    }

    fn reserve_path(&self) -> PathBuf {
        self.settings.dir.join("reserve")
    }

    /// Random bytes, so that no file system stores them as nothing.
    fn refill_reserve(&self) -> io::Result<()> {
        let path = self.reserve_path();
        if fs::metadata(&path).is_ok_and(|found| found.len() == self.settings.reserve_bytes) {
            return Ok(());
        }
        self.settings.gate.pass(DiskOp::Create)?;
        let mut bytes = vec![0_u8; usize::try_from(self.settings.reserve_bytes).unwrap_or(0)];
        SystemRandom::new().fill(&mut bytes).map_err(|_| io::Error::other("no random numbers"))?;
        replace(&path, &bytes, true)
    }

    /// Ends the incarnation: what is open is folded, outstanding releases become
    /// unknown, the last checkpoint is signed and everything is made durable.
    ///
    /// # Errors
    /// The log stays as it is; the next start recovers it.
    pub fn close(mut self, delta: &Delta, now: Moment) -> Result<(), WriteError> {
        let cut = !(delta.has_no_counts() && self.volume.open.has_no_counts());
        self.commit(&Work { delta: delta.clone(), cut, ..Work::default() }, now)?;
        let mut draft = self.volume.draft();
        let unknown = draft.give_up_outstanding(rounded(now))?;
        let close = Close {
            abandoned_requests: draft.books().requests_in_flight,
            abandoned_events: draft.books().events_in_flight,
            unknown,
        };
        draft.record(exactly(now), Record::Close(close))?;
        // In one group: nothing is signed after it, so a failed write leaves no second head of its size behind.
        let note = draft.tree_head(&self.volume.origin, &self.signer);
        self.volume.commit(draft)?;
        self.note = note;
        self.signed = (self.volume.tree.size(), now.mono_ms);
        let at_end = WriteError::disk("publish the last checkpoint");
        self.volume.publish(&self.note).and_then(|()| self.volume.tiles.sync()).map_err(at_end)?;
        if let Some(anchor) = &self.anchor {
            anchor.publish(&self.note).map_err(WriteError::disk("anchor the last checkpoint"))?;
        }
        let _ = fs::remove_file(self.reserve_path());
        Ok(())
    }
}

fn first_records(
    draft: &mut Draft,
    settings: &Settings,
    signer: &Signer,
    recovered: &Recovered,
    now: Moment,
) -> Result<String, WriteError> {
    let origin = signer.verifier().name().to_owned();
    let lease = settings.durability.lease();
    let open = Open {
        origin: origin.clone(),
        incarnation: recovered.incarnation,
        vkey: signer.verifier().to_string(),
        prev: recovered.before.as_ref().map(|ended| ended.previous.clone()),
        lease,
        refusals: settings.refusals.clone(),
        software: settings.software.clone(),
    };
    draft.record(exactly(now), Record::Open(open))?;
    if let Some(config) = &settings.config {
        draft.record(exactly(now), Record::Config(config.clone()))?;
    }
    for lost in &recovered.lost {
        let gap = Gap { cause: "lost".to_owned(), since: now.wall_ms, lost: Some(lost.clone()) };
        draft.record(exactly(now), Record::Gap(gap))?;
    }
    for origin in &recovered.unborn {
        let nothing = Previous::of_nothing(origin.clone());
        let gap = Gap { cause: "unborn".to_owned(), since: now.wall_ms, lost: Some(nothing) };
        draft.record(exactly(now), Record::Gap(gap))?;
    }
    Ok(draft.tree_head(&origin, signer))
}

fn exactly(now: Moment) -> Stamp {
    Stamp { ts: now.wall_ms, mono: now.mono_ms }
}

fn rounded(now: Moment) -> Stamp {
    Stamp { ts: round_ms(now.wall_ms), mono: now.mono_ms - now.mono_ms % 10_000 }
}

fn events_of(delta: &Delta) -> u64 {
    delta.arrivals.events.max(delta.decisions.events())
}

/// The policy of the newest incarnation that had one. Those that had none decided
/// nothing, so there is little in them to read.
fn last_in_force(before: Option<&Ended>, dir: &Path, numbers: &[u64]) -> Result<Option<String>, OpenError> {
    if let Some(policy) = before.and_then(|before| before.policy.clone()) {
        return Ok(Some(policy));
    }
    for number in numbers.iter().rev().skip(1) {
        let policy = last_policy(&Stored::new(dir, *number)).map_err(OpenError::disk("read an earlier policy", dir))?;
        if policy.is_some() {
            return Ok(policy);
        }
    }
    Ok(None)
}

fn counts_only(delta: &Delta) -> Delta {
    Delta { declared: Vec::new(), ..delta.clone() }
}

fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join("lock");
    let file = File::create(&path).map_err(OpenError::disk("open the lock", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(OpenError::InUse(dir.to_owned())),
        Err(fs::TryLockError::Error(source)) => Err(OpenError::disk("lock the log directory", &path)(source)),
    }
}

fn remove_unfinished(dir: &Path) -> io::Result<()> {
    for item in fs::read_dir(dir)? {
        let path = item?.path();
        let unfinished = path.extension().is_some_and(|extension| extension == "tmp");
        if unfinished && path.is_dir() {
            fs::remove_dir_all(&path)?;
        }
    }
    Ok(())
}

/// What the anchor knows of incarnations that the log does not have.
#[derive(Default)]
struct Past {
    /// The newest number that has a key.
    newest: u64,
    /// Those that may have taken events.
    lost: Vec<Previous>,
    /// Those that cannot have, as far as anything left tells.
    unborn: Vec<String>,
}

fn anchored_past(anchor: Option<&Anchor>, origin: &str, last: u64, dir: &Path) -> Result<Past, OpenError> {
    let Some(anchor) = anchor else { return Ok(Past::default()) };
    let number = |name: &str| -> Option<u64> { name.strip_prefix(origin)?.strip_prefix('/')?.parse().ok() };
    let keys = anchor.keys().map_err(OpenError::disk("read the anchored keys", dir))?;
    let claimed = anchor.claimed().map_err(OpenError::disk("read the anchored checkpoint", dir))?;
    let claimed = claimed.map(|(_, claimed)| claimed);
    let signed = claimed.as_ref().and_then(|claimed| number(&claimed.origin));
    let keyed: BTreeSet<u64> = keys.iter().filter_map(|key| number(key.name())).collect();
    let known = last.max(signed.unwrap_or(0));
    let beyond: Vec<u64> = keyed.iter().copied().filter(|number| *number > known).collect();
    let named = |number: &u64| format!("{origin}/{number}");
    let mut past = Past { newest: keyed.last().copied().unwrap_or(0), ..Past::default() };
    past.lost.extend(claimed.filter(|_| known > last).map(|claimed| Previous {
        origin: claimed.origin,
        size: claimed.size,
        root: claimed.root.to_base64(),
    }));
    if took_nothing(&beyond, known, signed == Some(known)) {
        past.unborn.extend(beyond.iter().map(named));
    } else {
        past.lost.extend(beyond.iter().map(|number| Previous::of_nothing(named(number))));
    }
    Ok(past)
}

/// Whether the starts `beyond`, ascending, which left a key and no more, cannot have taken an event as far as the
/// anchor tells. A start anchors its key, then its first checkpoint, then takes events. So those right after the
/// anchored checkpoint came to nothing. Where that is of none or of an earlier one than what is known, one start may have
/// failed before it anchored its own, and one after it; of more than that, the checkpoint is what somebody took away.
fn took_nothing(beyond: &[u64], known: u64, is_anchored: bool) -> bool {
    let follow = (known + 1..).zip(beyond).all(|(due, number)| due == *number);
    follow && (is_anchored || beyond.len() <= 1)
}
