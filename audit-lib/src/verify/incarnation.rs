//! Verifies one incarnation: every byte, every hash, every sum.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use crate::books::Books;
use crate::canonical;
use crate::counts::Delta;
use crate::disk::{self, DOCUMENT_BYTES_MAX};
use crate::note::{Checkpoint, VerifierKey};
use crate::policies;
use crate::record::{
    Batch, BypassCheck, Class, Config, Entry, Gap, NameKind, Open, Outcome, PolicyLoad, PolicyRefused, Previous,
    Record, Retired,
};
use crate::signing::{self, SignerKey};
use crate::stored::{Extent, Item, Stored};
use crate::tree::{FilledTile, Hash, Tree};
use crate::volume::class_path;

use super::budget::Budgets;
use super::pulse::Pulse;
use super::report::{AbsentReason, AbsentReport, ClassReport, DestinationReport, IncarnationReport, Report};
use super::suspects::Stretch;
use super::tiles::TileCheck;

/// The record of a ledger's log that says that another process goes on with it.
const RESUMED: &str = "resumed";

/// What is carried from one incarnation to the next.
#[derive(Debug, Default)]
pub(super) struct Carried {
    pub(super) report: Report,
    pub(super) budgets: Budgets,
    /// Incarnations that are said to be removed by retention.
    pub(super) retired: Vec<SaidRetired>,
    /// The keys of those who sign policies, where the auditor brought them.
    signers: Option<Vec<SignerKey>>,
    /// Types of records whose meaning the caller checks.
    known: &'static [&'static str],
    class_places: HashMap<(String, String), usize>,
}

impl Carried {
    pub(super) fn new(signers: Option<Vec<SignerKey>>, known: &'static [&'static str]) -> Self {
        Self { signers, known, ..Self::default() }
    }
}

/// That an incarnation is removed by retention, and who said so when.
#[derive(Clone, Debug)]
pub(super) struct SaidRetired {
    pub(super) by: u64,
    pub(super) record: u64,
    /// Milliseconds of Unix time: by the record's own clock, or by the start's and what passed since.
    pub(super) now_ms: i64,
    pub(super) retired: Retired,
}

/// A checkpoint from outside the records, to be met on the way.
pub(super) struct Met {
    pub(super) size: u64,
    pub(super) root: Hash,
    pub(super) from: &'static str,
    pub(super) reached: bool,
}

/// What the other incarnations and the caller need to know about this one.
pub(super) struct Verified {
    pub(super) end: Previous,
    pub(super) open: Option<Open>,
    pub(super) has_checkpoint: bool,
    pub(super) last_alive_ms: i64,
    /// The latest time that its own clock showed since it was set.
    pub(super) latest_ms: i64,
}

pub(super) struct Incarnation<'a> {
    log: &'a Path,
    stored: &'a Stored,
    carried: &'a mut Carried,
    tree: Tree,
    tiles: TileCheck<'a>,
    filled: Vec<FilledTile>,
    books: Books,
    open: Option<Open>,
    key: Option<VerifierKey>,
    met: Vec<Met>,
    left_over: Delta,
    heads: u64,
    signed: u64,
    first: (i64, u64),
    pulse: Pulse,
    suspects: Option<Stretch>,
    /// The most collectors on other machines that a look did not watch.
    unwatched_most: u64,
    config: Option<Config>,
    last_alive_ms: i64,
    latest_ms: i64,
    end: &'static str,
    policies: Vec<String>,
    classes: Vec<usize>,
    destinations: Vec<(String, DestinationReport)>,
}

impl<'a> Incarnation<'a> {
    pub(super) fn new(log: &'a Path, stored: &'a Stored, met: Vec<Met>, carried: &'a mut Carried) -> Self {
        Self {
            log,
            stored,
            carried,
            tree: Tree::default(),
            tiles: TileCheck::new(&stored.dir),
            filled: Vec::new(),
            books: Books::default(),
            open: None,
            key: None,
            met,
            left_over: Delta::default(),
            heads: 0,
            signed: 0,
            first: (0, 0),
            pulse: Pulse::default(),
            suspects: None,
            unwatched_most: 0,
            config: None,
            last_alive_ms: 0,
            latest_ms: i64::MIN,
            end: "open",
            policies: Vec::new(),
            classes: Vec::new(),
            destinations: Vec::new(),
        }
    }

    /// Reads and checks all of it. `is_last` allows an unfinished end.
    pub(super) fn verify(mut self, is_last: bool) -> io::Result<Verified> {
        let file = self.stored.checkpoint()?;
        let claimed = file.as_deref().map(Checkpoint::claimed);
        match &claimed {
            Some(Ok(claimed)) => {
                let (size, root) = (claimed.size, claimed.root);
                self.met.push(Met { size, root, from: "the file `checkpoint`", reached: false });
            }
            Some(Err(error)) => self.finding("checkpoint", format!("the file `checkpoint`: {error}")),
            None => self.finding("checkpoint", "the file `checkpoint` is missing"),
        }
        let stored = self.stored;
        let extent = stored.read(&mut |item| self.take(item))?;
        self.check_met();
        if let Some(note) = &file {
            self.check_signature("the file `checkpoint`", note);
        }
        self.check_end(&extent, is_last);
        let published = claimed.and_then(Result::ok).map_or(0, |claimed| claimed.size);
        self.check_tiles(published, self.books.ended && !is_last, &extent)?;
        self.sum_up();
        Ok(Verified {
            end: Previous {
                origin: self.open.as_ref().map(|open| open.origin.clone()).unwrap_or_default(),
                size: self.tree.size(),
                root: self.tree.root().to_base64(),
            },
            has_checkpoint: file.is_some() || self.heads > 0,
            last_alive_ms: self.last_alive_ms,
            latest_ms: self.latest_ms,
            open: self.open,
        })
    }

    fn finding(&mut self, code: &'static str, message: impl Into<String>) {
        let record = (self.tree.size() > 0).then(|| self.tree.size() - 1);
        self.carried.report.finding(code, (Some(self.stored.number), record), message);
    }

    fn gap(&mut self, code: &'static str, message: impl Into<String>) {
        self.carried.report.gap(code, self.stored.number, message);
    }

    fn take(&mut self, item: Item<'_>) {
        match item {
            Item::Record(bytes) => self.record(bytes),
            Item::Delta(delta) => self.left_over.merge(&delta),
            Item::TreeHead(note) => {
                self.heads += 1;
                match Checkpoint::claimed(note) {
                    Ok(claimed) if claimed.size == self.tree.size() && claimed.root == self.tree.root() => {}
                    _ => self
                        .finding("checkpoint", "a checkpoint among the records is not that of the records before it"),
                }
                self.check_signature("a checkpoint among the records", note);
            }
            Item::Damage(what) => self.finding("damage", what),
        }
    }

    fn check_signature(&mut self, from: &str, note: &str) {
        let origin = self.open.as_ref().map(|open| open.origin.as_str());
        let opened = self.key.as_ref().map(|key| Checkpoint::open(note, key));
        match opened {
            Some(Ok(checkpoint)) if Some(checkpoint.origin.as_str()) == origin => {
                self.signed = self.signed.max(checkpoint.size.min(self.tree.size()));
            }
            Some(Err(error)) => self.finding("signature", format!("{from}: {error}")),
            _ => self.finding("signature", format!("{from} cannot be checked: there is no key for it")),
        }
    }

    fn record(&mut self, bytes: &[u8]) {
        self.tree.push(Hash::leaf(bytes), &mut self.filled);
        for tile in self.filled.drain(..) {
            self.tiles.filled(tile);
        }
        match Entry::parse(bytes) {
            Ok(entry) => self.entry(&entry),
            Err(error) => {
                self.books.next_seq += 1;
                self.finding("record", error.to_string());
            }
        }
        let size = self.tree.size();
        if self.met.iter().any(|met| met.size == size) {
            self.meet(size);
        }
    }

    fn meet(&mut self, size: u64) {
        let root = self.tree.root();
        let mut wrong = Vec::new();
        for met in self.met.iter_mut().filter(|met| met.size == size) {
            met.reached = true;
            if met.root != root {
                wrong.push(format!("the first {size} records do not have the root of {}", met.from));
            }
        }
        wrong.into_iter().for_each(|wrong| self.finding("root", wrong));
    }

    fn check_met(&mut self) {
        let size = self.tree.size();
        let missed: Vec<String> = self
            .met
            .iter()
            .filter(|met| !met.reached)
            .map(|met| format!("{} records are here, and {} was signed at {}", size, met.from, met.size))
            .collect();
        missed.into_iter().for_each(|missed| self.finding("truncated", missed));
    }

    fn entry(&mut self, entry: &Entry) {
        if entry.record.kind() == RESUMED {
            let silent = self.pulse.resume(entry, self.last_alive_ms);
            silent.into_iter().for_each(|silent| self.gap(RESUMED, silent));
        }
        for (code, message) in self.pulse.feel(entry) {
            self.finding(code, message);
        }
        for wrong in self.books.apply(entry) {
            self.finding(wrong.code, wrong.message);
        }
        let at = (self.stored.number, entry.seq);
        match &entry.record {
            Record::Open(open) => self.opened(open, (entry.ts, entry.mono)),
            Record::Config(config) => self.config = Some(config.clone()),
            Record::Name(name) if name.kind == NameKind::Destination => {
                self.destinations.push((name.name.clone(), DestinationReport::default()))
            }
            Record::PolicyLoad(load) => self.policy(load),
            Record::PolicyRefused(refused) => self.refused_policy(refused),
            Record::Class(class) => self.class(class),
            Record::Batch(batch) => self.batch(batch),
            Record::Outcome(outcome) => self.outcome(outcome),
            Record::DpCharge(charge) => self.carried.budgets.charge(charge, at, &mut self.carried.report),
            Record::DpRelease(release) => self.carried.budgets.release(release, at, &mut self.carried.report),
            Record::Recover(recover) => {
                self.end = "recovered";
                self.gap(
                    "crash",
                    format!(
                        "ended without closing: {} bytes of unfinished writes, at most {} events uncounted, {} requests and {} events unfinished, {} releases unknown",
                        recover.torn_bytes, recover.lease, recover.abandoned_requests, recover.abandoned_events, recover.unknown
                    ),
                );
            }
            Record::Close(_) => self.end = "closed",
            Record::Degraded(degraded) => {
                self.gap("degraded", format!("the log could not be written ({}); nothing was released", degraded.cause))
            }
            Record::Gap(gap) => self.gap_ended(gap, entry.ts),
            Record::Clock(clock) => {
                self.gap(
                    "clock",
                    format!("the wall clock moved by {} ms; the order of records is theirs", clock.moved_ms),
                );
            }
            Record::BypassCheck(check) => self.sockets(check, (entry.seq, entry.mono)),
            Record::Retired(retired) => self.retired(retired, entry),
            Record::Challenge(challenge) => {
                let totals = &mut self.carried.report.totals;
                totals.challenges += 1;
                totals.challenged_events = totals.challenged_events.saturating_add(challenge.events);
            }
            Record::Unknown(kind, _) if kind == RESUMED => {}
            Record::Unknown(kind, _) => {
                let message = format!(
                    "record {} has the type `{kind}`: its bytes are proved, its meaning is not checked",
                    entry.seq
                );
                if !self.carried.known.contains(&kind.as_str()) {
                    self.gap("unknown_type", message);
                }
            }
            _ => {}
        }
        if self.end != "recovered" {
            self.last_alive_ms = entry.ts;
        }
        let was_set = matches!(entry.record, Record::Clock(_));
        self.latest_ms = if was_set { entry.ts } else { self.latest_ms.max(entry.ts) };
    }

    fn opened(&mut self, open: &Open, first: (i64, u64)) {
        self.first = first;
        self.key = VerifierKey::parse(&open.vkey).ok().filter(|key| key.name() == open.origin);
        if self.key.is_none() {
            self.finding("key", "the first record does not hold the key of its origin");
        }
        let suffix = format!("/{}", self.stored.number);
        if open.incarnation != self.stored.number || !open.origin.ends_with(&suffix) {
            self.finding(
                "origin",
                format!("the first record is that of incarnation {} of `{}`", open.incarnation, open.origin),
            );
        }
        self.open = Some(open.clone());
    }

    fn gap_ended(&mut self, gap: &Gap, ts: i64) {
        let Some(absent) = &gap.lost else {
            let seconds = ts.saturating_sub(gap.since).max(0) / 1000;
            return self
                .gap("unwritable", format!("the log could not be written for {seconds} s; nothing was released"));
        };
        let reason = if gap.cause == "unborn" && absent.size == 0 { AbsentReason::Unborn } else { AbsentReason::Lost };
        self.carried.report.absent(AbsentReport {
            origin: absent.origin.clone(),
            reason,
            said_by: self.stored.number,
            records: absent.size,
        });
        match (reason, absent.size) {
            (AbsentReason::Unborn, _) => {
                self.gap("unborn", format!("a start before this one came to nothing: `{}`", absent.origin));
            }
            (AbsentReason::Lost, 0) => self.finding(
                "lost",
                format!(
                    "`{}`, whose key was anchored, was missing at the start: what it held nobody knows",
                    absent.origin
                ),
            ),
            (AbsentReason::Lost, size) => {
                self.finding(
                    "lost",
                    format!("`{}`, anchored at {size} records, was missing at the start", absent.origin),
                );
            }
        }
    }

    fn retired(&mut self, retired: &Retired, entry: &Entry) {
        let (ts, mono) = self.first;
        let since = ts.saturating_add_unsigned(entry.mono.saturating_sub(mono));
        self.carried.retired.push(SaidRetired {
            by: self.stored.number,
            record: entry.seq,
            now_ms: entry.ts.max(since),
            retired: retired.clone(),
        });
    }

    fn policy(&mut self, load: &PolicyLoad) {
        match self.policies.get(load.n as usize) {
            Some(known) if *known == load.digest => {}
            Some(_) => self.finding("numbering", format!("policy {} was another one before", load.n)),
            None => self.policies.push(load.digest.clone()),
        }
        match policies::find(self.log, load) {
            Ok(Some(files)) => self.check_signers(load, &files),
            Ok(None) => self
                .finding("policy_files", format!("the files of policy {} are not those that were loaded", load.digest)),
            Err(error) => self.finding("policy_files", format!("the files of policy {}: {error}", load.digest)),
        }
        self.carried.report.policy(&load.digest).loaded(load);
    }

    /// Whoever the log says signed has to have signed the files that are kept.
    fn check_signers(&mut self, load: &PolicyLoad, files: &policies::Files) {
        let Some(keys) = &self.carried.signers else { return };
        let named = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
        let signed = signing::signers(named, &load.digest, keys).signers;
        let missing: Vec<&str> =
            load.signers.iter().filter(|name| !signed.contains(name)).map(String::as_str).collect();
        if !missing.is_empty() {
            let who = missing.join(", ");
            let message = format!("policy {}: no signature of {who} by a key that was given", load.digest);
            self.finding("policy_signature", message);
        }
    }

    fn sockets(&mut self, check: &BypassCheck, at: (u64, u64)) {
        self.carried.report.totals.bypass_checks += 1;
        self.unwatched(check);
        if check.suspect == 0 {
            self.suspects = None;
            return;
        }
        if let Some(stretch) = self.suspects.as_mut().filter(|stretch| stretch.same(check)) {
            stretch.take(check, at);
            let listed = stretch.listed.and_then(|listed| self.carried.report.findings.get_mut(listed));
            if let Some(finding) = listed {
                finding.message = stretch.message();
            }
            return;
        }
        let mut stretch = Stretch::begin(check, at);
        let before = self.carried.report.findings.len();
        self.finding("bypass_suspect", stretch.message());
        stretch.listed = (self.carried.report.findings.len() > before).then_some(before);
        self.suspects = Some(stretch);
    }

    /// Said once an incarnation, and again where it gets worse.
    fn unwatched(&mut self, check: &BypassCheck) {
        let collectors = check.unwatched.unwrap_or(u64::MAX);
        if collectors <= self.unwatched_most {
            return;
        }
        self.unwatched_most = collectors;
        let whom = match check.unwatched {
            Some(1) => "one collector on another machine was".to_owned(),
            Some(collectors) => format!("{collectors} collectors on other machines were"),
            None => "collectors on other machines were".to_owned(),
        };
        self.gap("bypass_unwatched", format!("{whom} not watched: a connection straight there was not seen"));
    }

    fn refused_policy(&mut self, refused: &PolicyRefused) {
        if let Some(stays) = refused.stays.as_ref().filter(|stays| !self.policies.contains(stays)) {
            self.finding("policy_refused", format!("policy {stays} is said to stay in force, and never came into it"));
        }
        self.carried.report.refused_policy(refused);
    }

    fn class(&mut self, class: &Class) {
        let document = match &class.doc {
            Some(doc) => doc.get().to_owned(),
            None => self.class_file(&class.id),
        };
        if Hash::of(document.as_bytes()).to_address() != class.id || canonical::check(document.as_bytes()).is_err() {
            self.finding("class_document", format!("class {}: the document is not the one of its digest", class.n));
        }
        let policy = self.policies.get(class.policy as usize).cloned().unwrap_or_default();
        let next = self.carried.report.classes.len();
        let place = *self.carried.class_places.entry((class.id.clone(), policy.clone())).or_insert(next);
        if place == next {
            self.carried.report.classes.push(ClassReport { id: class.id.clone(), policy, document, events: 0 });
        }
        self.classes.push(place);
    }

    fn class_file(&mut self, id: &str) -> String {
        let hex = id.strip_prefix("sha256:").unwrap_or_default();
        let plain = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        let read = if plain { disk::read(&class_path(&self.stored.dir, hex), DOCUMENT_BYTES_MAX).ok() } else { None };
        read.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
    }

    fn batch(&mut self, batch: &Batch) {
        let fates = std::mem::take(&mut self.left_over.fates);
        self.left_over = Delta { fates, ..Delta::default() };
        let refusals = self.open.as_ref().map(|open| open.refusals.as_slice()).unwrap_or_default();
        let report = &mut self.carried.report;
        let totals = &mut report.totals;
        totals.batches += 1;
        totals.requests = totals.requests.saturating_add(batch.requests.arrived);
        totals.answered = totals.answered.saturating_add(batch.requests.answered);
        totals.aborted = totals.aborted.saturating_add(batch.requests.aborted);
        for (number, count) in &batch.requests.refused {
            let name = refusals.get(*number as usize).cloned().unwrap_or_else(|| format!("#{number}"));
            let sum = totals.refused.entry(name).or_default();
            *sum = sum.saturating_add(*count);
        }
        totals.bytes = totals.bytes.saturating_add(batch.bytes);
        totals.events = totals.events.saturating_add(batch.events.arrived);
        totals.kept = totals.kept.saturating_add(batch.events.kept);
        totals.dropped = totals.dropped.saturating_add(batch.events.dropped);
        totals.withheld = totals.withheld.saturating_add(batch.events.withheld);
        for (number, count) in &batch.classes {
            if let Some(class) = self.classes.get(*number as usize).and_then(|place| report.classes.get_mut(*place)) {
                class.events = class.events.saturating_add(*count);
            }
        }
        for (number, count) in &batch.released {
            let destination = self.destination(*number);
            destination.released = destination.released.saturating_add(*count);
        }
    }

    /// The sums of a destination; those of a number that was never declared stand under the number.
    fn destination(&mut self, number: u32) -> &mut DestinationReport {
        match self.destinations.get_mut(number as usize) {
            Some((_, sums)) => sums,
            None => self.carried.report.destinations.entry(format!("#{number}")).or_default(),
        }
    }

    fn outcome(&mut self, outcome: &Outcome) {
        for (batch, number, acknowledged, refused, unknown) in &outcome.rows {
            self.left_over.fates.remove(&(*batch, *number));
            let destination = self.destination(*number);
            destination.acknowledged = destination.acknowledged.saturating_add(*acknowledged);
            destination.refused = destination.refused.saturating_add(*refused);
            destination.unknown = destination.unknown.saturating_add(*unknown);
        }
    }

    fn check_end(&mut self, extent: &Extent, is_last: bool) {
        if let Some((code, message)) = self.pulse.end() {
            self.finding(code, message);
        }
        if extent.end.is_none() {
            self.gap(
                "no_segments",
                "the write-ahead segments are not here: records after the last published tiles would be missing",
            );
        }
        let uncounted = extent.torn_bytes + extent.left_over_bytes;
        match (self.books.ended, is_last) {
            (true, _) if uncounted > 0 || !self.left_over.has_no_counts() => {
                self.finding(
                    "after_end",
                    format!("{uncounted} bytes or counts stand after the end of the incarnation"),
                );
            }
            (true, _) => {}
            (false, false) => self.finding("unfinished", "the incarnation has no end, and another one follows it"),
            (false, true) => {
                if uncounted > 0 {
                    self.gap(
                        "torn",
                        format!("{uncounted} bytes at the end are an unfinished write; the next start recovers them"),
                    );
                }
                let events = self.left_over.decisions.events();
                if !self.left_over.has_no_counts() {
                    self.gap(
                        "unfolded",
                        format!("{events} decided events are durable in commit frames, in no record yet"),
                    );
                }
                let unsigned = self.tree.size() - self.signed;
                if unsigned > 0 {
                    self.gap("unsigned", format!("the last {unsigned} records are after the last checkpoint"));
                }
            }
        }
        if self.end == "closed" && self.signed != self.tree.size() {
            self.finding("signature", "the incarnation closed, and its last records are not signed");
        }
    }

    /// The next start publishes what the end of the last incarnation is short of, so `succeeded` says whether
    /// there was one.
    fn check_tiles(&mut self, published: u64, succeeded: bool, extent: &Extent) -> io::Result<()> {
        for (code, message) in self.tiles.check(&self.tree, published, succeeded, &extent.bundles)? {
            self.finding(code, message);
        }
        Ok(())
    }

    fn sum_up(&mut self) {
        let number = self.stored.number;
        let root = self.tree.root().to_base64();
        let open_releases: Vec<(u32, u64)> = self.books.outstanding.iter().map(|((_, to), n)| (*to, *n)).collect();
        for (to, count) in open_releases {
            self.destination(to).open += count;
        }
        let report = &mut self.carried.report;
        let destinations = std::mem::take(&mut self.destinations).into_iter();
        for (name, sums) in destinations.filter(|(_, sums)| *sums != DestinationReport::default()) {
            report.destinations.entry(name).or_default().add(&sums);
        }
        report.totals.records += self.tree.size();
        report.totals.requests_unfinished += self.books.requests_in_flight;
        report.totals.events_unfinished += self.books.events_in_flight;
        let open = self.open.clone();
        report.incarnations.push(IncarnationReport {
            number,
            origin: open.as_ref().map(|open| open.origin.clone()).unwrap_or_default(),
            vkey: open.map(|open| open.vkey).unwrap_or_default(),
            records: self.tree.size(),
            root,
            signed: self.signed,
            checkpoints: self.heads,
            end: self.end,
            config: self.config.take(),
            from_ms: self.first.0,
            to_ms: self.last_alive_ms,
        });
    }
}
