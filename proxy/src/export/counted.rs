//! What windows count: events, to which noise is added here, or reports, which bring theirs.
//!
//! Promise: both are counted, marked, held, closed and given up alike; they
//! part where counting ends, at what a release costs and who draws for it.

use std::sync::Arc;

use jiff::Timestamp;
use privet_dp::NoRandomness;
use privet_dp::fleet::RingPlace;
use privet_dp::local::{ClosedReports, OpenReports, Survey};
use privet_dp::query::Query;
use privet_dp::schedule::{Mark, Marks, Schedule};
use privet_dp::window::{ClosedWindow, OpenWindow, PolicyDigest, Window};
use privet_ldp::NotAReport;

use super::{Report, Row};

/// What is counted.
#[derive(Clone)]
pub(super) enum Counted {
    Query(Arc<Query>),
    Survey(Arc<Survey>),
}

/// A window that is being counted. Has no `Debug`: it holds exact counts.
pub(super) enum Open {
    Rows(OpenWindow),
    Reports(OpenReports),
}

/// A window that is over.
pub(super) enum Closed {
    Rows(ClosedWindow),
    Reports(ClosedReports),
}

impl Counted {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Query(query) => &query.name,
            Self::Survey(survey) => &survey.name,
        }
    }

    pub(super) fn schedule(&self) -> &Schedule {
        match self {
            Self::Query(query) => &query.schedule,
            Self::Survey(survey) => &survey.schedule,
        }
    }

    /// How many numbers a release has at most, whatever occurred in its window.
    pub(super) fn cells(&self) -> usize {
        match self {
            Self::Query(query) => cells(query),
            Self::Survey(survey) => survey.question.answers().len(),
        }
    }

    /// Opens a window of it.
    pub(super) fn open(
        &self,
        window: Window,
        policy: PolicyDigest,
        from: Timestamp,
        part: u32,
    ) -> Result<Open, NoRandomness> {
        match self {
            Self::Query(query) => OpenWindow::open(Arc::clone(query), window, policy, from, part).map(Open::Rows),
            Self::Survey(survey) => {
                OpenReports::open(Arc::clone(survey), window, policy, from, part).map(Open::Reports)
            }
        }
    }
}

/// How many numbers a query's release draws at most.
pub(super) fn cells(query: &Query) -> usize {
    let spec = query.mechanism.spec();
    let canaries = spec.canaries as usize * query.mechanism.stages().len();
    query.keys.most() * (spec.aggregate.cells() + 1) + canaries
}

impl Open {
    pub(super) const fn window(&self) -> Window {
        match self {
            Self::Rows(open) => open.window(),
            Self::Reports(open) => open.window(),
        }
    }

    pub(super) const fn marks(&self) -> Marks {
        match self {
            Self::Rows(open) => open.marks(),
            Self::Reports(open) => open.marks(),
        }
    }

    pub(super) const fn mark(&mut self, mark: Mark) {
        match self {
            Self::Rows(open) => open.mark(mark),
            Self::Reports(open) => open.mark(mark),
        }
    }

    /// Names the ring that units are shared by; reports are not shared.
    pub(super) fn shared_by(self, ring: Option<RingPlace>) -> Self {
        match self {
            Self::Rows(open) => Self::Rows(open.shared_by(ring)),
            reports @ Self::Reports(_) => reports,
        }
    }

    pub(super) fn observe(&mut self, row: Row<'_>, policy: &PolicyDigest) {
        if let Self::Rows(open) = self {
            open.observe(row.unit, row.key, row.value, policy);
        }
    }

    /// # Errors
    /// What is no report of the question.
    pub(super) fn observe_report(&mut self, report: Report<'_>, policy: &PolicyDigest) -> Result<(), NotAReport> {
        match self {
            Self::Rows(_) => Ok(()),
            Self::Reports(open) => open.observe(report.unit, report.text, policy),
        }
    }

    pub(super) fn withdraw(&mut self, unit: &[u8]) {
        match self {
            Self::Rows(open) => open.withdraw(unit),
            Self::Reports(open) => open.withdraw(unit),
        }
    }

    /// `None` when the window had to be given up.
    pub(super) fn close(self, now: Timestamp) -> Option<Closed> {
        match self {
            Self::Rows(open) => open.close(now).map(Closed::Rows),
            Self::Reports(open) => open.close(now).map(Closed::Reports),
        }
    }

    pub(super) fn abort(self) {
        match self {
            Self::Rows(open) => open.abort(),
            Self::Reports(open) => open.abort(),
        }
    }
}
