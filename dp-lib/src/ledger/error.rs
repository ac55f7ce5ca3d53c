//! Why the ledger says no.

use thiserror::Error;

use crate::accountant::{Budget, Sum};
use crate::loss::{Loss, Measure, decimal_of};
use crate::window::Span;

/// Why the ledger gave no [`Paid`].
#[derive(Debug, Error)]
pub enum CannotSpend {
    /// There is not enough left.
    #[error(
        "the budget `{budget_name}` has {spent} of {limit} spent within {horizon}, and this window asks for {asked}{hint}",
        spent = shown_sum(*.spent), limit = .budget.limit, horizon = .budget.horizon,
        hint = .fits_from_secs.map_or_else(|| ": it never fits".to_owned(), |at| format!(": a window fits again from {}", shown(at))),
    )]
    OverBudget {
        /// The budget's identity.
        budget_name: String,
        /// What is spent in the worst horizon around the window.
        spent: Sum,
        /// What was asked for, in the budget's measure.
        asked: Loss,
        /// The limit.
        budget: Budget,
        /// When a window of this cost fits again, if nothing else is spent.
        fits_from_secs: Option<i64>,
    },
    /// The window begins so long before one that was paid for that no horizon holds both.
    /// A clock that went back further than that would find its whole budget again.
    #[error(
        "of the budget `{budget_name}` a window from {newest} is paid for, and this one begins more than a horizon of {horizon} before it: see that the clock is right",
        newest = shown(*.newest_secs)
    )]
    BeforeHorizon {
        /// The budget's identity.
        budget_name: String,
        /// When the latest window begins that was paid for.
        newest_secs: i64,
        /// The budget's horizon.
        horizon: Span,
    },
    /// The window has had every release that its budget was planned for.
    #[error(
        "of the budget `{budget_name}` this window has had its {releases_max} releases: raise `splits_max` to plan for more"
    )]
    AllReleased {
        /// The budget's identity.
        budget_name: String,
        /// How many a window may have.
        releases_max: u32,
    },
    /// Something within the horizon was spent in a measure that has no
    /// equivalent in the budget's.
    #[error("the budget `{budget_name}` is in {limit}, but within its horizon {spent} was spent, which has no bound in it: keep the old measure until the horizon has passed", limit = .limit.symbol(), spent = .spent.symbol())]
    Measures {
        /// The budget's identity.
        budget_name: String,
        /// The budget's measure.
        limit: Measure,
        /// The measure of what was spent.
        spent: Measure,
    },
    /// The ledger itself failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

fn shown_sum(sum: Sum) -> String {
    let loss = decimal_of(sum.nano, 9);
    if sum.delta_pico == 0 { loss } else { format!("{loss} delta {}", decimal_of(sum.delta_pico, 12)) }
}

fn shown(secs: i64) -> String {
    jiff::Timestamp::from_second(secs).map_or_else(|_| "a time beyond the calendar".to_owned(), |at| at.to_string())
}

impl LedgerError {
    /// Whether trying again may help, with nothing changed: the shared ledger cannot be
    /// reached, or another process, such as one that reads it, has the file open.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Storage { source, .. } => matches!(**source, redb::Error::DatabaseAlreadyOpen),
            _ => false,
        }
    }
}

/// The ledger could not do its work. Nothing was published on its account.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// The file could not be read or written.
    #[error("cannot {doing} in the budget ledger")]
    Storage {
        /// What was being done.
        doing: &'static str,
        /// What the store said.
        #[source]
        source: Box<redb::Error>,
    },
    /// There is no ledger.
    #[error("there is no budget ledger yet: it is begun when the first export runs")]
    Missing,
    /// The directory entry of a new ledger could not be made durable.
    #[error("cannot make the new budget ledger durable")]
    Directory(#[source] std::io::Error),
    /// A new ledger needs an identity, and an identity needs random bytes.
    #[error("the operating system gives no random bytes for the new budget ledger's identity")]
    NoRandomness,
    /// No event loop for the connection.
    #[error("cannot set up connections to the shared budget ledger")]
    Runtime(#[source] std::io::Error),
    /// PostgreSQL could not be reached, or did not answer in time. Whether it
    /// did what was asked is not known; what it may have charged stays charged.
    #[error(
        "cannot {doing} in the shared budget ledger ({what}): nothing is released that is not paid for; see that PostgreSQL is up and reachable from this pod"
    )]
    Unreachable {
        /// What was being done.
        doing: &'static str,
        /// What happened, without a value: a kind of failure or a SQLSTATE.
        what: String,
    },
    /// The time is over until which this pod may publish without asking.
    #[error(
        "this pod's lease of the shared budget has expired and could not be renewed: the release is held until PostgreSQL can be reached"
    )]
    LeaseExpired,
    /// Another process opened the shared ledger as the same holder.
    #[error(
        "a later process holds the shared budget as `{holder}`: this one may neither spend nor publish any more; give every pod a holder name of its own"
    )]
    Fenced {
        /// The holder's name.
        holder: String,
    },
    /// The tables of the shared ledger are of another version of privet.
    #[error(
        "the tables of the shared budget ledger have version {found}, and this privet knows version {known}: run the same version in every pod"
    )]
    Version {
        /// What is there.
        found: i32,
        /// What this code reads and writes.
        known: i32,
    },
    /// A file whose charges are in PostgreSQL was opened as a ledger of its own.
    #[error(
        "the charges of this budget ledger are in PostgreSQL, and without them its budgets would be spent again: configure the shared ledger, or move the file away and so accept that what was spent counts no more"
    )]
    ChargesAreShared,
    /// A ledger with charges of its own was to become a pod's part in a shared one.
    #[error(
        "this budget ledger holds charges that the shared one does not have, and they would be forgotten: keep the embedded ledger until their horizon has passed, or move the file away and so accept that what was spent counts no more"
    )]
    ChargesAreHere,
    /// The shared ledger is not in the database any more.
    #[error(
        "this pod was charged in a shared budget ledger, and there is none in the database: see that it is the right database and schema; begun again, it would forget what was spent"
    )]
    SharedGone,
    /// The shared ledger in the database is another one than before.
    #[error(
        "this pod was charged in another shared budget ledger than the one in the database: what was spent there would be forgotten; configure the same database, or move this pod's ledger file away and so accept that"
    )]
    OtherShared,
    /// The shared ledger does not know a charge that it had made.
    #[error(
        "the shared budget ledger does not hold what it charged this pod for: it was put back to an earlier state, and would spend again what was spent since; bring back the charges, or begin a new ledger in every pod"
    )]
    SharedForgot,
    /// A record does not read back.
    #[error(
        "the budget ledger holds a record that cannot be read: start a new ledger and count the old budget as spent; an older copy would forget what was spent since"
    )]
    Damaged,
    /// The file was opened again after a failed write, and is not what this process had opened.
    #[error(
        "another budget ledger, or an older copy, is where the one was that this process opened, and would spend again what was spent since: bring the very file back"
    )]
    Replaced,
    /// A step that the state of the release does not allow.
    #[error("the release is {found}, so it cannot be {asked}")]
    WrongState {
        /// What was asked for.
        asked: &'static str,
        /// Where the release is.
        found: &'static str,
    },
    /// The receipt names another release, or another receipt before it.
    #[error("the receipt does not continue this ledger's chain")]
    ChainBroken,
}
