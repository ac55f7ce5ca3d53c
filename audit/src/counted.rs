//! Events of a period by class, for the questions that sum over classes.

use std::collections::HashMap;

use anyhow::Result;
use privet_audit_log::record::Record;
use privet_policy::Policy;
use privet_policy::verdict::VerdictKey;
use serde_json::Value;

use crate::answer::Answer;
use crate::evidence::{Evidence, Told};
use crate::period::{Bounds, Period, Where};

/// How the events of a period were counted.
#[derive(Debug, Default)]
pub struct Counted {
    by_class: HashMap<(String, String), Bounds>,
    /// Decided events.
    pub decided: Bounds,
    /// Batches that span an edge.
    pub edge_batches: u64,
    /// Aggregates published.
    pub releases: u64,
    /// At most so many events left that no record counts.
    pub uncounted: u64,
    /// When the incarnation at hand began.
    opened: i64,
}

/// A class that was used, with the policy that decided it.
pub struct Class<'a> {
    /// `sha256:` of its document.
    pub id: &'a str,
    /// Its policy.
    pub policy: &'a Policy,
    /// The digest of that.
    pub digest: &'a str,
    /// What it depends on; `None` where no contract ruled it, so that nothing left.
    pub facts: Option<VerdictKey>,
}

impl Counted {
    /// Counts the events of a period.
    ///
    /// # Errors
    /// See [`Evidence::walk`].
    pub fn over(evidence: &Evidence, period: Period) -> Result<Self> {
        let mut counted = Self::default();
        evidence.walk(&mut |told| counted.take(told, period))?;
        Ok(counted)
    }

    fn take(&mut self, told: &Told<'_>, period: Period) {
        let place = period.place(told.span());
        match &told.entry.record {
            Record::Batch(batch) => {
                self.edge_batches += u64::from(place == Where::Edge);
                for (number, count) in &batch.classes {
                    self.decided.add(place, *count);
                    if let Some(class) = told.names.classes.get(*number as usize) {
                        self.by_class.entry(class.clone()).or_default().add(place, *count);
                    }
                }
            }
            Record::Open(_) => self.opened = told.entry.ts,
            Record::DpRelease(_) if place != Where::Outside => self.releases += 1,
            // They left at some time while the incarnation ran; the next start wrote this.
            Record::Recover(recover) if period.place(told.span().since(self.opened)) != Where::Outside => {
                self.uncounted = self.uncounted.saturating_add(recover.lease);
            }
            _ => {}
        }
    }

    /// The classes that may have been used in the period, by first use, with their events.
    ///
    /// A class whose policy does not compile is a finding of the log already, and is not among them.
    pub fn classes<'a>(&'a self, evidence: &'a Evidence) -> impl Iterator<Item = (Class<'a>, Bounds)> {
        evidence.report.classes.iter().filter_map(|class| {
            let events = self.by_class.get(&(class.id.clone(), class.policy.clone()))?;
            let policy = evidence.policies().get(&class.policy)?;
            let document: Value = serde_json::from_str(&class.document).ok()?;
            let facts = policy.facts_of_class(&document).ok()?;
            let class = Class { id: &class.id, policy, digest: &class.policy, facts };
            (events.at_most > 0).then_some((class, *events))
        })
    }

    /// Says what a sum over these counts has to assume, and how the period's edges were counted.
    pub fn assume(&self, answer: &mut Answer, period: Period) {
        if self.edge_batches > 0 {
            answer.line(format!(
                "{} batches span an edge of the period: counted as at most, and not as at least; an edge between batches gives one number",
                self.edge_batches
            ));
        }
        if self.uncounted > 0 {
            answer.assumed.push(format!(
                "at most {} events left that no record counts, because their process crashed; `reconcile` can close this",
                self.uncounted
            ));
        }
        if self.releases > 0 {
            answer.assumed.push(format!(
                "{} published aggregates are not counted here: they leave with noise, and `ask budget` tells of them",
                self.releases
            ));
        }
        if period.is_bounded() {
            answer
                .assumed
                .push("the pod's wall clock was right: the log orders records, and takes times from it".to_owned());
        }
        answer.assumed.push("the sidecar does what its classes say: `challenge` tests that from outside".to_owned());
    }
}
