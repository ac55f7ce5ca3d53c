//! The budget ledger: how much more privacy loss a person may suffer.
//!
//! Promise: a release walks one way, RESERVED, COMMITTED, ACKNOWLEDGED, and
//! each step is on disk before the call that made it returns. The budget is
//! charged at the first step, before any noise; so killed at any write, the
//! ledger reopens with no less spent than was published. Noise is drawn at most
//! once for a release: only the reservation makes a [`Paid`], a second one for
//! the same release returns its old state, and a release that was reserved but
//! not committed when the process died is *forfeited*, not drawn again. What
//! was committed is sent again byte for byte until it is acknowledged.
//!
//! There is no refund, whatever happens after a reservation. A release of local
//! reports walks the same way without a charge ([`Uncharged`]).
//!
//! The budget belongs to a population, not to a policy: its identity is the
//! export's name and the privacy unit, so that a changed policy goes on
//! spending where the old one stopped. It lasts as long as the file does.
//!
//! A payment cannot be copied:
//! ```compile_fail
//! fn twice(paid: privet_dp::ledger::Paid) -> (privet_dp::ledger::Paid, privet_dp::ledger::Paid) {
//!     (paid.clone(), paid)
//! }
//! ```
//! nor made:
//! ```compile_fail
//! # use privet_dp::{ledger::{Paid, ReleaseId}, loss::Loss};
//! fn forged(release: ReleaseId, covers: Loss) -> Paid {
//!     Paid { release, covers }
//! }
//! ```

mod durability;
mod entries;
mod error;
mod identity;
pub mod shared;
mod store;
mod uncharged;

use std::fmt;
use std::num::NonZeroU64;
use std::path::Path;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::accountant::{Budget, Spend, Sum, fits_from, spent_around};
use crate::digest::Digest;
use crate::loss::Loss;
use crate::mechanism::Noised;
use crate::query::Query;
use crate::receipt::Receipt;
use crate::window::{PolicyDigest, Window};
pub use durability::{Durability, NotDurable};
pub use entries::Entry;
pub use error::{CannotSpend, LedgerError};
pub use identity::{BookStore, Books, LedgerId};
use shared::Shared;
use store::{Charge, Charges, Opened, Record, Store};
pub use uncharged::Uncharged;

/// The name of a release: the same inputs, the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReleaseId(Digest);

impl ReleaseId {
    /// Names the release of one window of a query, under a policy, by one shard.
    /// A table that is posted has one name under every policy: who posts it again gets what
    /// is published, and not another draw.
    #[must_use]
    pub fn of(policy: &PolicyDigest, query: &str, window: Window, shard: Shard) -> Self {
        let (start, end) = (window.start_secs().to_be_bytes(), window.end().as_second().to_be_bytes());
        let policy: &[u8] = if shard.is_posted() { b"posted" } else { policy };
        Self(Digest::of_fields(&[
            b"privet-dp release v2",
            policy,
            query.as_bytes(),
            &start,
            &end,
            shard.books.charges.to_string().as_bytes(),
            &shard.incarnation.to_be_bytes(),
            &shard.part.to_be_bytes(),
        ]))
    }

    /// The digest that the name is.
    #[must_use]
    pub const fn digest(self) -> Digest {
        self.0
    }
}

impl fmt::Display for ReleaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whose part of a window a release is: this pod's, since its ledger was last
/// opened, and the how-manieth part where a window is closed early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// The ledger that pays for it.
    pub books: Books,
    /// How often the ledger had been opened.
    pub incarnation: u64,
    /// The part of the window.
    pub part: u32,
}

impl Shard {
    /// Whether it is a table that somebody brought whole.
    const fn is_posted(self) -> bool {
        self.incarnation == 0
    }
}

/// What a release asks the ledger for.
#[derive(Clone, Debug)]
pub struct Claim {
    release: ReleaseId,
    budget_name: String,
    window: Window,
    grid_secs: u64,
    per_unit: Loss,
    charge: Loss,
    budget: Budget,
    releases_max: u32,
}

impl Claim {
    /// The claim of one release of a query: its mechanism's loss, for a person
    /// with the declared number of identifiers, in the declared fleet.
    ///
    /// # Errors
    /// A loss too large to count.
    pub fn of(query: &Query, policy: &PolicyDigest, window: Window, shard: Shard) -> Result<Self, LossOverflow> {
        let per_unit = query.mechanism.loss();
        Ok(Self {
            release: ReleaseId::of(policy, &query.name, window, shard),
            budget_name: budget_name(&query.name, &query.unit),
            window,
            grid_secs: query.schedule.tiling().grid_secs(),
            per_unit,
            charge: charge(query).ok_or(LossOverflow)?,
            budget: query.budget,
            releases_max: query.schedule.releases_max(),
        })
    }

    /// The release it is for.
    #[must_use]
    pub const fn release(&self) -> ReleaseId {
        self.release
    }

    /// What the budget is charged.
    #[must_use]
    pub const fn charge(&self) -> Loss {
        self.charge
    }

    /// The budget's identity.
    #[must_use]
    pub fn budget_name(&self) -> &str {
        &self.budget_name
    }
}

/// What one release costs a person: every identifier, at every ledger that may count it.
#[must_use]
pub fn charge(query: &Query) -> Option<Loss> {
    query.mechanism.loss().for_person(query.ids_per_person)?.times(query.guarantee().multiplier)
}

/// The identity of a budget: the export and the privacy unit, and no more.
#[must_use]
pub fn budget_name(query: &str, unit: &str) -> String {
    format!("{query} by {unit}")
}

/// A person's loss does not fit the integers that count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the loss of a person with that many identifiers is too large to count")]
pub struct LossOverflow;

/// Proof that a release is paid for. Only [`Ledger::spend`] makes one, it
/// cannot be cloned, and a mechanism consumes it: one payment, one draw.
#[derive(Debug)]
pub struct Paid {
    release: ReleaseId,
    covers: Loss,
}

impl Paid {
    /// The release that was paid for.
    #[must_use]
    pub const fn release(&self) -> ReleaseId {
        self.release
    }

    pub(crate) fn covers(&self, loss: Loss) -> bool {
        self.covers.covers(loss)
    }
}

/// A budget after a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charged {
    /// What was charged.
    pub charge: Loss,
    /// The largest sum of any horizon that the window falls into, before this
    /// charge, in the budget's measure.
    pub before: Sum,
    /// The same with this charge.
    pub spent: Sum,
    /// The limit and its horizon.
    pub budget: Budget,
}

/// What a claim was answered.
#[derive(Debug)]
pub enum Spent {
    /// The reservation is on disk: draw once.
    Paid(Paid, Charged),
    /// The release had been reserved before: nothing may be drawn for it again.
    Already(ReleaseState),
}

/// How far a release has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state", content = "receipt")]
pub enum ReleaseState {
    /// Paid for; nothing drawn that outlived the process.
    Reserved,
    /// Its bytes, of this digest, are on disk and wait to be sent.
    Committed(Digest),
    /// Its bytes, of this digest, arrived.
    Acknowledged(Digest),
    /// Paid for and lost. Not refunded.
    Forfeited,
}

/// A committed release that was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsent {
    /// Its name.
    pub release: ReleaseId,
    /// The very bytes to send.
    pub receipt: Vec<u8>,
}

/// The ledger: a file of its own for the walk of releases, and the charges
/// either in that file too or, where several pods share a budget, in PostgreSQL.
/// One process has the file open at a time.
pub struct Ledger {
    store: Store,
    shared: Option<Shared>,
    books: Books,
    incarnation: u64,
    forfeited: u64,
}

impl Ledger {
    /// Opens the ledger in this file, or begins one. Forfeits what an earlier
    /// process had reserved and not committed.
    ///
    /// # Errors
    /// A file that cannot be opened, is open elsewhere, or holds something else.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        Self::recover(Store::open(path)?)
    }

    /// Opens the file of a pod whose charges are in a shared ledger, and joins
    /// that. Not to be called, nor any method after it, where an async runtime
    /// runs: it waits for PostgreSQL.
    ///
    /// # Errors
    /// As [`Ledger::open`]; a shared ledger that cannot be reached.
    pub fn open_shared(path: &Path, settings: shared::Settings) -> Result<Self, LedgerError> {
        let store = Store::open(path)?;
        let known = store.shared_with()?;
        let shared = Shared::join(settings, known)?;
        shared.knows(&store.newest_of_each_budget()?)?;
        let Opened { id, forfeited, .. } = store.begin_incarnation(Charges::Shared(shared.id()))?;
        let books = Books { charges: shared.id(), chain: id, store: BookStore::Postgresql };
        Ok(Self { books, incarnation: shared.fence(), forfeited, shared: Some(shared), store })
    }

    /// Every charge of the ledger in this file, which stays as it is, but for what redb
    /// repairs in one whose process died.
    ///
    /// # Errors
    /// A file that is not there, is open elsewhere, or holds something else.
    pub fn read(path: &Path) -> Result<Vec<Entry>, LedgerError> {
        if !path.exists() {
            return Err(LedgerError::Missing);
        }
        Store::open_as_it_is(path)?.begin()?.entries()
    }

    /// Every charge of a shared ledger, without taking part in it.
    ///
    /// # Errors
    /// A shared ledger that cannot be reached, or is not there.
    pub fn read_shared(settings: shared::Settings) -> Result<Vec<Entry>, LedgerError> {
        shared::entries(settings)
    }

    fn recover(store: Store) -> Result<Self, LedgerError> {
        let Opened { id, incarnation, forfeited } = store.begin_incarnation(Charges::Here)?;
        let books = Books { charges: id, chain: id, store: BookStore::File };
        Ok(Self { store, shared: None, books, incarnation, forfeited })
    }

    /// Which ledger this is: the same at every opening, another in every new one.
    #[must_use]
    pub const fn books(&self) -> Books {
        self.books
    }

    /// This pod's part of a window, since this opening.
    #[must_use]
    pub const fn shard(&self, part: u32) -> Shard {
        Shard { books: self.books, incarnation: self.incarnation, part }
    }

    /// The one part of a table that somebody brings whole, whenever that is.
    #[must_use]
    pub const fn posted(&self) -> Shard {
        Shard { books: self.books, incarnation: 0, part: 0 }
    }

    /// How often this ledger has been opened, this time included.
    #[must_use]
    pub const fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// How many releases were forfeited when it was opened.
    #[must_use]
    pub const fn forfeited(&self) -> u64 {
        self.forfeited
    }

    /// Charges the budget for a release. On disk before it returns.
    ///
    /// # Errors
    /// A budget without room, or a ledger that cannot be written. Nothing may
    /// be drawn then.
    pub fn spend(&self, claim: &Claim) -> Result<Spent, CannotSpend> {
        if let Some(state) = self.state(claim.release)? {
            return Ok(Spent::Already(state));
        }
        match &self.shared {
            None => self.spend_here(claim),
            Some(shared) => match shared.charge(claim)? {
                Some(charged) => self.reserve(self.store.begin()?, claim, charged),
                None => Ok(Spent::Already(ReleaseState::Forfeited)),
            },
        }
    }

    /// Charges the budget in this file, in the step that reserves the release.
    fn spend_here(&self, claim: &Claim) -> Result<Spent, CannotSpend> {
        let step = self.store.begin()?;
        let charges = step.charges(&claim.budget_name, claim.window.start_secs(), claim.budget.horizon)?;
        let charged = room(claim, &charges, step.newest(&claim.budget_name)?)?;
        step.put_charge(&claim.budget_name, claim.window.start_secs(), claim.release, claim.charge)?;
        self.reserve(step, claim, charged)
    }

    /// Writes down that a charged release may be drawn: the only maker of [`Paid`].
    fn reserve(&self, step: store::Step, claim: &Claim, charged: Charged) -> Result<Spent, CannotSpend> {
        if let Some(record) = step.record(claim.release)? {
            return Ok(Spent::Already(record.state));
        }
        let (budget, window_start) = (Some(claim.budget_name.clone()), claim.window.start_secs());
        step.put_record(claim.release, &Record { state: ReleaseState::Reserved, budget, window_start })?;
        step.commit("reserve a release")?;
        Ok(Spent::Paid(Paid { release: claim.release, covers: claim.per_unit }, charged))
    }

    /// Pays in advance for releases to come, so that they can be made while the
    /// shared ledger cannot be reached. Returns how many are paid for by this; none where
    /// the charges are in the file, which is always reachable.
    ///
    /// # Errors
    /// The first claim that does not fit; those before it are paid for. What is
    /// never released stays charged, unless [`Ledger::hand_back`] returns it.
    pub fn lease(&self, claims: &[Claim]) -> Result<usize, CannotSpend> {
        let Some(shared) = &self.shared else { return Ok(0) };
        let mut unmade = Vec::with_capacity(claims.len());
        for claim in claims.iter().filter(|claim| !shared.holds(claim.release)) {
            if self.state(claim.release)?.is_none() {
                unmade.push(claim.clone());
            }
        }
        shared.lease(&unmade)
    }

    /// Asks for more time to publish in, where charges are shared.
    ///
    /// # Errors
    /// A shared ledger that cannot be reached, or that a successor has taken over.
    pub fn renew(&self) -> Result<(), LedgerError> {
        self.shared.as_ref().map_or(Ok(()), Shared::renew)
    }

    /// Whether committed bytes may leave now: to be asked immediately before
    /// every attempt. What the kernel has been given cannot be held back any more.
    ///
    /// # Errors
    /// A lease that expired and cannot be renewed: the bytes have to wait.
    pub fn may_publish(&self) -> Result<(), LedgerError> {
        self.shared.as_ref().map_or(Ok(()), Shared::may_publish)
    }

    /// Ends a pod's part in a shared ledger cleanly: leases that no release was
    /// reserved from are returned, and what was published is told. To be called last:
    /// after it nothing is paid for and nothing may be published.
    ///
    /// # Errors
    /// A shared ledger that cannot be reached: the leases stay burnt.
    pub fn hand_back(&self) -> Result<(), LedgerError> {
        let Some(shared) = &self.shared else { return Ok(()) };
        self.settle()?;
        shared.leave(|release| Ok(self.state(release)?.is_some()))
    }

    /// Tells the shared ledger how far its releases have come. Told twice is told
    /// once; not told changes no budget.
    ///
    /// # Errors
    /// A ledger that cannot be reached or read.
    pub fn settle(&self) -> Result<(), LedgerError> {
        let Some(shared) = &self.shared else { return Ok(()) };
        shared.settle(|release| self.state(release))
    }

    /// Every charge and what became of it, by budget and time. As many as there
    /// were releases.
    ///
    /// # Errors
    /// A ledger that cannot be reached or read.
    pub fn entries(&self) -> Result<Vec<Entry>, LedgerError> {
        match &self.shared {
            None => self.store.begin()?.entries(),
            Some(shared) => shared.entries(),
        }
    }

    /// The digest of the last receipt of a query, for the next one to name.
    ///
    /// # Errors
    /// A ledger that cannot be read.
    pub fn chain_head(&self, query: &str) -> Result<Digest, LedgerError> {
        self.store.begin()?.chain_head(query)
    }

    /// Stores the receipt of a drawn release, and moves the chain on to it. On
    /// disk before it returns; from here on these bytes are the release.
    ///
    /// # Errors
    /// A release that is not reserved, a receipt of another release or not
    /// next in the chain, or a ledger that cannot be written.
    pub fn commit(&self, noised: Noised, receipt: &Receipt) -> Result<Unsent, LedgerError> {
        let release = noised.release();
        if receipt.release_id != release || !receipt.publishes(&noised) {
            return Err(LedgerError::ChainBroken);
        }
        self.put_receipt(release, &receipt.query, receipt.prev_receipt, receipt.to_bytes())
    }

    /// Commits the bytes of a reserved release that is next in its query's chain.
    fn put_receipt(
        &self,
        release: ReleaseId,
        query: &str,
        prev_receipt: Digest,
        bytes: Vec<u8>,
    ) -> Result<Unsent, LedgerError> {
        let transaction = self.store.begin()?;
        let record =
            transaction.record(release)?.ok_or(LedgerError::WrongState { asked: "committed", found: "unknown" })?;
        if record.state != ReleaseState::Reserved {
            return Err(LedgerError::WrongState { asked: "committed", found: record.state.name() });
        }
        if prev_receipt != transaction.chain_head(query)? {
            return Err(LedgerError::ChainBroken);
        }
        let digest = Digest::of(&bytes);
        transaction.put_record(release, &Record { state: ReleaseState::Committed(digest), ..record })?;
        transaction.put_outbox(release, &bytes)?;
        transaction.put_chain_head(query, digest)?;
        transaction.commit("commit a release")?;
        Ok(Unsent { release, receipt: bytes })
    }

    /// Notes that a committed release arrived, and lets go of its bytes.
    ///
    /// # Errors
    /// A release that was not committed, or a ledger that cannot be written.
    pub fn acknowledge(&self, release: ReleaseId) -> Result<(), LedgerError> {
        let transaction = self.store.begin()?;
        match transaction.record(release)? {
            Some(Record { state: ReleaseState::Acknowledged(_), .. }) => Ok(()),
            Some(Record { state: ReleaseState::Committed(digest), budget, window_start }) => {
                transaction
                    .put_record(release, &Record { state: ReleaseState::Acknowledged(digest), budget, window_start })?;
                transaction.remove_outbox(release)?;
                transaction.commit("acknowledge a release")
            }
            other => Err(LedgerError::WrongState {
                asked: "acknowledged",
                found: other.map_or("unknown", |record| record.state.name()),
            }),
        }
    }

    /// Gives a reserved release up: it will never be drawn, and stays paid for.
    ///
    /// # Errors
    /// A release that is not reserved, or a ledger that cannot be written.
    pub fn forfeit(&self, release: ReleaseId) -> Result<(), LedgerError> {
        let transaction = self.store.begin()?;
        match transaction.record(release)? {
            Some(record) if record.state == ReleaseState::Reserved => {
                transaction.put_record(release, &Record { state: ReleaseState::Forfeited, ..record })?;
                transaction.commit("forfeit a release")
            }
            other => Err(LedgerError::WrongState {
                asked: "forfeited",
                found: other.map_or("unknown", |record| record.state.name()),
            }),
        }
    }

    /// How far a release has come; `None` if it was never reserved.
    ///
    /// # Errors
    /// A ledger that cannot be read.
    pub fn state(&self, release: ReleaseId) -> Result<Option<ReleaseState>, LedgerError> {
        Ok(self.store.begin()?.record(release)?.map(|record| record.state))
    }

    /// Every release that was committed and not acknowledged, to be sent again, in
    /// the order of their commits: that of each query's chain.
    ///
    /// # Errors
    /// A ledger that cannot be read.
    pub fn outbox(&self) -> Result<Vec<ReleaseId>, LedgerError> {
        self.store.begin()?.outbox()
    }

    /// The bytes of one release that was committed and not acknowledged.
    ///
    /// # Errors
    /// A ledger that cannot be read.
    pub fn committed(&self, release: ReleaseId) -> Result<Option<Vec<u8>>, LedgerError> {
        self.store.begin()?.outbox_of(release)
    }

    /// The largest sum that a budget has spent in a horizon around this time,
    /// in the limit's measure.
    ///
    /// # Errors
    /// As [`Ledger::spend`], but never for a budget without room.
    pub fn spent(&self, budget_name: &str, at_secs: i64, budget: Budget) -> Result<Sum, CannotSpend> {
        let charges = match &self.shared {
            None => self.store.begin()?.charges(budget_name, at_secs, budget.horizon)?,
            Some(shared) => shared.charges(budget_name, at_secs, budget.horizon)?,
        };
        Ok(spent_around(&in_measure(budget_name, &charges, at_secs, budget)?, at_secs, budget.horizon))
    }
}

impl ReleaseState {
    /// The state's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Committed(_) => "committed",
            Self::Acknowledged(_) => "acknowledged",
            Self::Forfeited => "forfeited",
        }
    }
}

/// A window has so many releases as its budget was planned for, however often
/// the process restarts within it or its policy changes; of a shared budget,
/// each holder has so many, which the fleet's multiplier pays for.
fn not_all_released(claim: &Claim, charges: &[Charge]) -> Result<(), CannotSpend> {
    let start_secs = claim.window.start_secs();
    let releases = charges.iter().filter(|charge| charge.own && charge.start_secs == start_secs).count();
    if releases >= claim.releases_max as usize {
        let budget_name = claim.budget_name.clone();
        return Err(CannotSpend::AllReleased { budget_name, releases_max: claim.releases_max });
    }
    Ok(())
}

/// Whether the claim fits, and what is spent with it. Of `charges` those matter that
/// are less than a horizon away; `newest` is when the latest window begins that was ever charged.
fn room(claim: &Claim, charges: &[Charge], newest: Option<i64>) -> Result<Charged, CannotSpend> {
    let (budget, start_secs) = (claim.budget, claim.window.start_secs());
    let beyond = |newest: &i64| newest.saturating_sub(start_secs) > budget.horizon.secs_i64();
    if let Some(newest_secs) = newest.filter(beyond) {
        let (budget_name, horizon) = (claim.budget_name.clone(), budget.horizon);
        return Err(CannotSpend::BeforeHorizon { budget_name, newest_secs, horizon });
    }
    let mismatch = || CannotSpend::Measures {
        budget_name: claim.budget_name.clone(),
        limit: budget.limit.measure(),
        spent: claim.charge.measure(),
    };
    let asked = claim.charge.in_measure(budget.limit.measure()).ok_or_else(mismatch)?;
    let spends = in_measure(&claim.budget_name, charges, start_secs, budget)?;
    let before = spent_around(&spends, start_secs, budget.horizon);
    let spent = before.and(asked);
    if !spent.is_within(budget.limit) {
        let fits_from_secs = fits_from(&spends, start_secs, asked, budget.limit, budget.horizon, claim.grid_secs);
        let budget_name = claim.budget_name.clone();
        return Err(CannotSpend::OverBudget { budget_name, spent: before, asked, budget, fits_from_secs });
    }
    not_all_released(claim, charges)?;
    Ok(Charged { charge: claim.charge, before, spent, budget })
}

/// The charges of the horizons around a window, in the budget's measure.
fn in_measure(
    budget_name: &str,
    charges: &[Charge],
    start_secs: i64,
    budget: Budget,
) -> Result<Vec<Spend>, CannotSpend> {
    charges
        .iter()
        .filter(|charge| charge.start_secs.abs_diff(start_secs) < budget.horizon.secs())
        .map(|charge| {
            let limit = budget.limit.measure();
            let loss = charge.loss.in_measure(limit).ok_or_else(|| CannotSpend::Measures {
                budget_name: budget_name.to_owned(),
                limit,
                spent: charge.loss.measure(),
            })?;
            Ok(Spend { start_secs: charge.start_secs, loss })
        })
        .collect()
}

/// How many identifiers a person may hold, as policies write it.
#[must_use]
pub fn ids_per_person(written: u64) -> Option<NonZeroU64> {
    NonZeroU64::new(written).filter(|ids| ids.get() <= 1000)
}

#[cfg(test)]
mod tests;
