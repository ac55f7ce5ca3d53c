//! The running totals of this process start, for whoever watches without reading the log over.
//!
//! Promise: a count is here when it is durable, and not before. What stands in
//! batches under the newest signed checkpoint is kept apart, so that it can be
//! held against the records themselves, to the last event. The writer's thread
//! adds; no request waits for whoever reads.

use std::sync::Arc;

use privet_audit_log::counts::{Delta, Fate, Fates};
use privet_audit_log::record::{Declaration, NameKind};
use privet_audit_log::{Log, Work};

/// Sums since the process started. Outcomes are by destination alone.
#[derive(Clone, Debug, Default)]
pub struct Sums(Delta);

impl Sums {
    fn add(&mut self, counts: &Delta) {
        let mut fates = Fates::new();
        for ((_, destination), fate) in &counts.fates {
            fates.entry((0, *destination)).or_default().add(*fate);
        }
        self.0.merge(&Delta {
            declared: Vec::new(),
            arrivals: counts.arrivals.clone(),
            decisions: counts.decisions.clone(),
            fates,
        });
    }

    /// The counts of requests and events.
    #[must_use]
    pub const fn counts(&self) -> &Delta {
        &self.0
    }

    /// What became of what was released to a destination, by its number.
    #[must_use]
    pub fn fate(&self, destination: u32) -> Fate {
        self.0.fates.get(&(0, destination)).copied().unwrap_or_default()
    }
}

/// A class: the policy that it is a decision of, by number, and its document.
#[derive(Clone, Debug)]
pub struct NamedClass {
    /// Number of its policy.
    pub policy: u32,
    /// The canonical document.
    pub document: Arc<str>,
}

/// What numbers stand for. Each list is in the order of the numbers.
#[derive(Clone, Debug, Default)]
pub struct Named {
    /// Destinations.
    pub destinations: Vec<String>,
    /// Listeners.
    pub listeners: Vec<String>,
    /// Digests of policies.
    pub policies: Vec<String>,
    /// Classes.
    pub classes: Vec<NamedClass>,
}

impl Named {
    fn learn(&mut self, declared: &Declaration) {
        match declared {
            Declaration::Name(name) => {
                let names = match name.kind {
                    NameKind::Destination => &mut self.destinations,
                    NameKind::Listener => &mut self.listeners,
                };
                if name.n as usize == names.len() {
                    names.push(name.name.clone());
                }
            }
            Declaration::Policy(load) if load.n as usize == self.policies.len() => {
                self.policies.push(load.digest.clone());
            }
            Declaration::Class { n, policy, doc } if *n as usize == self.classes.len() => {
                self.classes.push(NamedClass { policy: *policy, document: Arc::clone(doc) });
            }
            _ => {}
        }
    }
}

/// The newest policy that was loaded, and the other one before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyChange {
    /// Digest of the policy before the last change; none where nothing is known of one.
    pub before: Option<String>,
    /// Digest of the policy that was loaded last.
    pub now: Option<String>,
}

impl PolicyChange {
    fn loaded(&mut self, digest: &str) {
        if self.now.as_deref() != Some(digest) {
            self.before = self.now.replace(digest.to_owned());
        }
    }
}

/// The sums at a signed checkpoint.
#[derive(Clone, Debug, Default)]
pub struct Signed {
    /// Number of records that the checkpoint is over.
    pub size: u64,
    /// What their batches and outcomes sum to.
    pub sums: Sums,
}

/// What the log of this process holds so far.
#[derive(Clone, Debug, Default)]
pub struct Running {
    /// Number of this incarnation.
    pub incarnation: u64,
    /// Everything durable, in records or in commit frames.
    pub durable: Sums,
    /// What is under the newest signed checkpoint.
    pub signed: Signed,
    /// What numbers stand for.
    pub named: Named,
    /// The last change of policy.
    pub change: PolicyChange,
    /// Everything that a batch holds.
    folded: Sums,
    /// What is durable and waits for a batch.
    open: Sums,
}

impl Running {
    /// Begins with a log that was just opened, and the policy that was in force before it.
    pub(super) fn of(log: &Log, policy: Option<String>) -> Self {
        Self {
            incarnation: log.incarnation(),
            signed: Signed { size: log.signed_size(), sums: Sums::default() },
            change: PolicyChange { before: None, now: policy },
            ..Self::default()
        }
    }

    /// Takes work that the log has just made durable.
    pub(super) fn committed(&mut self, work: &Work, log: &Log) {
        let signed = log.signed_size();
        // A disk that failed may have had a checkpoint signed over what came before this work.
        if signed != self.signed.size && signed != log.size() {
            self.sign(signed);
        }
        self.durable.add(&work.delta);
        self.open.add(&work.delta);
        for declared in &work.delta.declared {
            self.named.learn(declared);
            if let Declaration::Policy(load) = declared {
                self.change.loaded(&load.digest);
            }
        }
        if work.cut {
            self.folded.add(&std::mem::take(&mut self.open).0);
        }
        if signed != self.signed.size {
            self.sign(signed);
        }
    }

    fn sign(&mut self, size: u64) {
        self.signed = Signed { size, sums: self.folded.clone() };
    }
}

#[cfg(test)]
mod tests {
    use privet_audit_log::record::Name;
    use privet_audit_log::verify::{Options, verify};
    use privet_audit_log::{Moment, Settings};

    use super::*;

    /// One request of so many events that were withheld.
    fn work(events: u64, cut: bool, checkpoint: bool) -> Work {
        let mut delta = Delta::default();
        delta.arrivals.requests = 1;
        delta.arrivals.answered = 1;
        delta.arrivals.listeners.add(0, 1);
        delta.arrivals.events = events;
        delta.arrivals.withheld = events;
        Work { delta, cut, checkpoint, ..Work::default() }
    }

    #[test]
    fn what_is_under_a_checkpoint_is_what_its_records_say() {
        let root = tempfile::tempdir().unwrap();
        let at = |mono_ms| Moment { wall_ms: 1_795_344_000_000, mono_ms };
        let (mut log, _) = Log::open(Settings::new(root.path(), "privet.example/test"), at(0)).unwrap();
        let mut running = Running::of(&log, Some("a".to_owned()));
        assert_eq!((running.incarnation, running.signed.size), (1, 1));
        let mut first = work(70, false, false);
        first.delta.declared.push(Declaration::Name(Name {
            kind: NameKind::Listener,
            n: 0,
            name: "events".to_owned(),
        }));
        let steps = [
            (first, 70, 0),
            (work(5, true, true), 75, 75),
            (work(7, true, false), 82, 75),
            (work(1, false, true), 83, 82),
        ];
        for (turn, (work, durable, signed)) in (1..).zip(steps) {
            log.commit(&work, at(turn * 200)).unwrap();
            running.committed(&work, &log);
            let events = |sums: &Sums| sums.counts().arrivals.events;
            assert_eq!((events(&running.durable), events(&running.signed.sums)), (durable, signed), "turn {turn}");
        }
        assert_eq!(running.named.listeners, ["events"]);
        let last = work(2, true, true);
        log.commit(&last, at(1000)).unwrap();
        running.committed(&last, &log);
        let report = verify(root.path(), &Options::default()).unwrap();
        assert_eq!(report.totals.events, running.signed.sums.counts().arrivals.events);
        assert_eq!(report.totals.requests, running.signed.sums.counts().arrivals.requests);
        assert_eq!(report.incarnations[0].signed, running.signed.size);
    }

    #[test]
    fn a_change_of_policy_is_from_another_one() {
        let mut change = PolicyChange { before: None, now: Some("a".to_owned()) };
        change.loaded("a");
        assert_eq!(change.before, None);
        for (digest, before) in [("b", "a"), ("b", "a"), ("a", "b")] {
            change.loaded(digest);
            assert_eq!((change.before.as_deref(), change.now.as_deref()), (Some(before), Some(digest)));
        }
    }
}
