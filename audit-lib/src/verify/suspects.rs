//! Sockets that were suspect at one look after another, folded into one finding.
//!
//! Promise: a look at the sockets that saw something suspect is in a finding. Looks that follow one another and
//! have the same reasons share one, which says in how many looks and over how long, so that a listener that stays
//! does not hide what else was found. The first look with a reason is where the finding stands.
//!
//! Not here: addresses and ports, which no record has.

use std::collections::BTreeMap;

use crate::record::BypassCheck;

/// Suspect looks of one incarnation that follow one another and have the same reasons.
#[derive(Debug)]
pub(super) struct Stretch {
    /// The most sockets at one look, by reason.
    most: BTreeMap<String, u64>,
    looks: u64,
    /// Record and monotonic time in milliseconds of the first look, and of the last.
    first: (u64, u64),
    last: (u64, u64),
    /// Which of the report's findings it is; none where the report lists no more.
    pub(super) listed: Option<usize>,
}

impl Stretch {
    /// Begins with a look, recorded at `seq` and `mono`.
    pub(super) fn begin(check: &BypassCheck, at: (u64, u64)) -> Self {
        Self { most: check.reasons.clone(), looks: 1, first: at, last: at, listed: None }
    }

    /// Whether a look has the same reasons.
    pub(super) fn same(&self, check: &BypassCheck) -> bool {
        self.most.keys().eq(check.reasons.keys())
    }

    /// Takes the next look that has the same reasons.
    pub(super) fn take(&mut self, check: &BypassCheck, at: (u64, u64)) {
        for (most, now) in self.most.values_mut().zip(check.reasons.values()) {
            *most = (*most).max(*now);
        }
        self.looks += 1;
        self.last = at;
    }

    /// What the finding says.
    pub(super) fn message(&self) -> String {
        let reasons: Vec<String> = self.most.iter().map(|(reason, sockets)| format!("{sockets} {reason}")).collect();
        let sockets = self.most.values().fold(0_u64, |sum, sockets| sum.saturating_add(*sockets));
        let message = format!("{sockets} sockets may be a way around the sidecar: {}", reasons.join(", "));
        if self.looks == 1 {
            return message;
        }
        let ((first, from), (last, to)) = (self.first, self.last);
        let secs = to.saturating_sub(from) / 1000;
        format!("{message}; x {}, from record {first} to record {last}, over {secs} s", self.looks)
    }
}
