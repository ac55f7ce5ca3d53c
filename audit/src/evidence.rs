//! A verified log, ready to be asked.
//!
//! Promise: every answer is worked out from the bytes that were verified. A question walks the
//! records again, and where their root is no longer the verified one there is no answer. What the
//! policies decide is compiled from the bundles kept beside the log, never read from the log's word.
//!
//! Not here: what a question makes of the records.

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use privet_audit_log::record::{Entry, NameKind, Record};
use privet_audit_log::verify::Report;
use privet_audit_log::walk::walk;
use privet_policy::Policy;
use serde_json::Value;

use crate::brought::Brought;
use crate::classes::{self, Judged};
use crate::period::Span;

/// A log, what its verification found, and the policies that ran.
#[derive(Debug)]
pub struct Evidence {
    log: PathBuf,
    /// What was found.
    pub report: Report,
    /// What came of compiling the classes again.
    pub judged: Judged,
    /// The policies that were agreed to, in the order in which they were given.
    pub agreed: Vec<Policy>,
}

/// One record, with where it stands and what the numbers before it stand for.
pub struct Told<'a> {
    /// Its incarnation.
    pub incarnation: u64,
    /// Its index in the tree.
    pub index: u64,
    /// Its stored bytes: what the leaf is a hash of.
    pub bytes: &'a [u8],
    /// What it says.
    pub entry: &'a Entry,
    /// What its numbers stand for.
    pub names: &'a Names,
}

/// What the numbers of an incarnation stand for, as far as they were declared.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// The incarnation's origin.
    pub origin: String,
    /// Destinations.
    pub destinations: Vec<String>,
    /// Listeners.
    pub listeners: Vec<String>,
    /// Refusals.
    pub refusals: Vec<String>,
    /// Digests of policies.
    pub policies: Vec<String>,
    /// Classes: their ids, and the digests of their policies.
    pub classes: Vec<(String, String)>,
}

impl Names {
    /// A destination's name; its number where it has none.
    #[must_use]
    pub fn destination(&self, number: u32) -> String {
        self.destinations.get(number as usize).cloned().unwrap_or_else(|| format!("#{number}"))
    }

    fn learn(&mut self, record: &Record) {
        match record {
            Record::Open(open) => (self.origin, self.refusals) = (open.origin.clone(), open.refusals.clone()),
            Record::Name(name) => match name.kind {
                NameKind::Destination => self.destinations.push(name.name.clone()),
                NameKind::Listener => self.listeners.push(name.name.clone()),
            },
            Record::PolicyLoad(load) if load.n as usize == self.policies.len() => {
                self.policies.push(load.digest.clone());
            }
            Record::Class(class) => {
                let policy = self.policies.get(class.policy as usize).cloned().unwrap_or_default();
                self.classes.push((class.id.clone(), policy));
            }
            _ => {}
        }
    }
}

impl Told<'_> {
    /// When what it says happened, at the earliest and at the latest.
    ///
    /// Times of records that count few events are rounded down to 10 s, and so is where a batch says that it began.
    #[must_use]
    pub fn span(&self) -> Span {
        let rounded = self.entry.ts % ROUNDED_MS == 0 && self.entry.mono.is_multiple_of(ROUNDED_MS.unsigned_abs());
        let last = self.entry.ts.saturating_add(if rounded { ROUNDED_MS - 1 } else { 0 });
        match &self.entry.record {
            Record::Batch(batch) => Span { first: batch.since.min(self.entry.ts), last },
            _ => Span { first: self.entry.ts, last },
        }
    }

    /// The record as a JSON value, for types that this program does not know by name.
    #[must_use]
    pub fn value(&self) -> Value {
        serde_json::from_slice(self.bytes).unwrap_or_default()
    }
}

/// What times are rounded down to in records that count few events, in milliseconds.
const ROUNDED_MS: i64 = 10_000;

impl Evidence {
    /// Verifies the log, and compiles every class again from the policies kept beside it.
    ///
    /// # Errors
    /// There is no log to speak of, or what was brought cannot be used.
    pub fn gather(brought: &Brought) -> Result<Self> {
        let agreed = brought.agreed()?;
        let mut report = brought.verify()?;
        let judged = classes::judge(&brought.log, agreed.as_ref(), &mut report);
        if agreed.is_none() {
            report.assumptions.push(
                "no policies were given: whether the policies that ran are the ones you agreed to is not compared"
                    .to_owned(),
            );
        }
        Ok(Self {
            log: brought.log.clone(),
            report,
            judged,
            agreed: agreed.map_or_else(Vec::new, |agreed| agreed.policies),
        })
    }

    /// Visits every verified record that can be read, oldest first.
    ///
    /// # Errors
    /// The disk said no, or the records are no longer those that were verified.
    pub fn walk(&self, visit: &mut dyn FnMut(&Told<'_>)) -> Result<()> {
        for incarnation in &self.report.incarnations {
            let mut names = Names::default();
            let walked = walk(&self.log, incarnation.number, incarnation.records, &mut |index, bytes| {
                let Ok(entry) = Entry::parse(bytes) else { return };
                names.learn(&entry.record);
                visit(&Told { incarnation: incarnation.number, index, bytes, entry: &entry, names: &names });
            });
            let walked = walked.with_context(|| format!("cannot read the log at {}", self.log.display()))?;
            if walked.root.to_base64() != incarnation.root {
                bail!("incarnation {} changed while it was being read; ask again", incarnation.number);
            }
        }
        Ok(())
    }

    /// The policies that ran and compile, by digest.
    #[must_use]
    pub fn policies(&self) -> &HashMap<String, Policy> {
        &self.judged.policies
    }

    /// The policies that ran, oldest first.
    pub fn policies_in_order(&self) -> impl Iterator<Item = (&str, &Policy)> {
        let digests = self.report.policies.iter().map(|policy| policy.digest.as_str());
        digests.filter_map(|digest| Some((digest, self.judged.policies.get(digest)?)))
    }

    /// The log directory.
    #[must_use]
    pub fn log(&self) -> &std::path::Path {
        &self.log
    }
}
