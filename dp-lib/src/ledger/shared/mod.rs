//! One budget for many pods: the charges are in PostgreSQL, the walk of each
//! release in the pod's own file.
//!
//! Promise: the sum of charges of any horizon stays within the limit, however
//! pods, their restarts and the network interleave, for a charge is made under
//! the lock of its budget, before anything is drawn, and its row stays. A pod
//! may pay in advance for releases to come (a *lease*), and make them while
//! PostgreSQL cannot be reached. It publishes only until its lease expires, by
//! PostgreSQL's clock; it counts by its own monotonic clock from before it asked,
//! and gives up a twentieth earlier, so that it is always the first to stop.
//!
//! Every process that joins takes a *fence*, a number larger than all before it.
//! Who has a later one under the same holder name takes the earlier one's place:
//! the earlier one can charge nothing more, and its reservations are forfeited
//! by its successor alone, once its lease has expired.
//!
//! What is burnt: a leased release that is never made, and everything that a
//! lost answer leaves in doubt. Only [`super::Ledger::hand_back`] returns a
//! lease, as the last act of a process: an order to return that was delayed in
//! the network would otherwise undo a charge that was used after it.
//!
//! Not here: TLS and passwords, which are the caller's [`Dial`]; and a monotonic
//! clock that goes on while a virtual machine is suspended, which a standard
//! [`Instant`] does not: what was paid for may leave late there, never unpaid.

mod postgres;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::store::Charge;
use super::{CannotSpend, Charged, Claim, Entry, LedgerError, LedgerId, ReleaseId, ReleaseState};
use crate::window::Span;
pub use postgres::{Dial, Dialed, Dialing, in_the_clear, kind};
use postgres::{Granted, Session};

/// The most releases that are paid for in advance at a time. While there are as
/// many, nothing more is leased, and each release is charged when it is made.
pub const LEASED_MAX: usize = 4_096;

/// How a pod takes part in a shared ledger.
pub struct Settings {
    /// Makes a connection.
    pub dial: Dial,
    /// Who this pod is, in every one of its lives: no other pod may have the name.
    pub holder: String,
    /// For how long it may publish without asking again.
    pub lease: Duration,
    /// How long PostgreSQL is waited for, from connecting to the last answer of a step.
    pub patience: Duration,
}

/// A pod's part in a shared ledger.
pub(super) struct Shared {
    id: LedgerId,
    fence: i64,
    state: Mutex<State>,
}

struct State {
    session: Session,
    lease: Duration,
    /// Until when this process may publish without asking.
    expires: Instant,
    /// What is paid for and not yet reserved.
    granted: HashMap<ReleaseId, Charged>,
}

/// Every charge of the shared ledger, by whoever only reads it.
pub(super) fn entries(settings: Settings) -> Result<Vec<Entry>, LedgerError> {
    let Settings { dial, holder, lease, patience } = settings;
    Session::new(dial, holder, lease, patience)?.entries()
}

impl Shared {
    /// Joins: takes a fence, and with it the place of every earlier process of this holder.
    /// Only where no ledger is known yet are tables made: one that is gone is not begun again.
    pub(super) fn join(settings: Settings, known: Option<LedgerId>) -> Result<Self, LedgerError> {
        let Settings { dial, holder, lease, patience } = settings;
        let mut session = Session::new(dial, holder, lease, patience)?;
        let asked_at = Instant::now();
        let (id, fence) = session.join(known)?;
        let expires = expiry(asked_at, lease);
        Ok(Self { id, fence, state: Mutex::new(State { session, lease, expires, granted: HashMap::new() }) })
    }

    /// That the ledger holds the charges that these releases were paid by: one that was put
    /// back to an earlier state would spend again what was spent since.
    pub(super) fn knows(&self, releases: &[ReleaseId]) -> Result<(), LedgerError> {
        if self.state().session.all_charged(releases)? { Ok(()) } else { Err(LedgerError::SharedForgot) }
    }

    pub(super) const fn id(&self) -> LedgerId {
        self.id
    }

    pub(super) const fn fence(&self) -> u64 {
        self.fence.unsigned_abs()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the payment for a release: from what was leased, else by asking.
    /// `None` where another process was charged for it.
    pub(super) fn charge(&self, claim: &Claim) -> Result<Option<Charged>, CannotSpend> {
        let mut state = self.state();
        if state.granted.contains_key(&claim.release) {
            state.live()?;
        } else {
            state.lease(std::slice::from_ref(claim))?;
        }
        Ok(state.granted.remove(&claim.release))
    }

    /// Whether a release is paid for and not begun: it needs no asking again.
    pub(super) fn holds(&self, release: ReleaseId) -> bool {
        self.state().granted.contains_key(&release)
    }

    pub(super) fn lease(&self, claims: &[Claim]) -> Result<usize, CannotSpend> {
        let mut state = self.state();
        let room = LEASED_MAX.saturating_sub(state.granted.len());
        match claims.get(..room.min(claims.len())) {
            None | Some([]) => Ok(0),
            Some(claims) => state.lease(claims),
        }
    }

    pub(super) fn renew(&self) -> Result<(), LedgerError> {
        self.state().renew()
    }

    pub(super) fn may_publish(&self) -> Result<(), LedgerError> {
        self.state().live()
    }

    /// Returns what was leased and not begun, and takes no part any more.
    pub(super) fn leave(&self, begun: impl Fn(ReleaseId) -> Result<bool, LedgerError>) -> Result<(), LedgerError> {
        let mut state = self.state();
        let granted: Vec<ReleaseId> = state.granted.drain().map(|(release, _)| release).collect();
        let mut unused = Vec::with_capacity(granted.len());
        for release in granted {
            if !begun(release)? {
                unused.push(release);
            }
        }
        state.expires = Instant::now();
        state.session.leave(&unused)
    }

    /// Tells how far the releases of this holder have come.
    pub(super) fn settle(
        &self,
        state_of: impl Fn(ReleaseId) -> Result<Option<ReleaseState>, LedgerError>,
    ) -> Result<(), LedgerError> {
        let mut state = self.state();
        let mut told = Vec::new();
        for open in state.session.unsettled()? {
            told.extend(settled(state_of(open.release)?, open.is_past).map(|state| (open.release, state)));
        }
        state.session.settle(&told)
    }

    pub(super) fn entries(&self) -> Result<Vec<Entry>, LedgerError> {
        self.state().session.entries()
    }

    pub(super) fn charges(&self, budget: &str, at_secs: i64, horizon: Span) -> Result<Vec<Charge>, LedgerError> {
        self.state().session.charges_around(budget, at_secs, horizon)
    }
}

impl State {
    /// Charges for these releases, as far as they fit, and counts them as leased.
    fn lease(&mut self, claims: &[Claim]) -> Result<usize, CannotSpend> {
        let asked_at = Instant::now();
        let Granted { granted, refused } = self.session.lease(claims)?;
        self.expires = expiry(asked_at, self.lease);
        let paid = granted.len();
        self.granted.extend(granted);
        refused.map_or(Ok(paid), Err)
    }

    fn renew(&mut self) -> Result<(), LedgerError> {
        let asked_at = Instant::now();
        self.session.renew()?;
        self.expires = expiry(asked_at, self.lease);
        // Asking may have taken as long as the lease lasts.
        if self.is_live() { Ok(()) } else { Err(LedgerError::LeaseExpired) }
    }

    fn is_live(&self) -> bool {
        Instant::now() < self.expires
    }

    /// That the lease holds now, asking for more time where it does not.
    fn live(&mut self) -> Result<(), LedgerError> {
        if self.is_live() {
            return Ok(());
        }
        self.renew().map_err(|error| match error {
            LedgerError::Unreachable { .. } => LedgerError::LeaseExpired,
            other => other,
        })
    }
}

/// When a lease that was asked for then is given up: a twentieth before its
/// end, for clocks run at different speeds.
fn expiry(asked_at: Instant, lease: Duration) -> Instant {
    asked_at + lease - lease / 20
}

/// What the shared ledger is told of a release: by the pod's file, or that it is
/// lost if the file knows nothing of it and its process can publish no more.
const fn settled(state: Option<ReleaseState>, is_past: bool) -> Option<&'static str> {
    match state {
        Some(ReleaseState::Reserved) => None,
        Some(ReleaseState::Committed(_)) => Some("committed"),
        Some(ReleaseState::Acknowledged(_)) => Some("acknowledged"),
        Some(ReleaseState::Forfeited) => Some("forfeited"),
        None if is_past => Some("forfeited"),
        None => None,
    }
}
