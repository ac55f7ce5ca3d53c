//! The shared ledger's tables, and the only code that speaks to PostgreSQL (11 or newer).
//!
//! Promise: every step is one transaction at READ COMMITTED that first locks
//! what it is about: the holder's row, which holds the fence, then the budget's.
//! Each statement after a lock reads what was committed before it was got, so
//! charges of one budget are made one after the other. A connection on which
//! anything failed or was given up is not used again.
//!
//! Not here: an order from an earlier connection that arrives late. It finds
//! another fence, or it charges too much; no such order charges less.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, Config, IsolationLevel, NoTls, Row, Transaction};

use super::super::store::{Charge, code_of, read_loss};
use super::super::{CannotSpend, Charged, Claim, Entry, LedgerError, LedgerId, ReleaseId, room};
use crate::digest::Digest;
use crate::window::Span;

/// A connection, and the future that moves its bytes.
pub struct Dialed {
    /// Asks.
    pub client: Client,
    /// Ends with the connection.
    pub drive: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// A connection being made. It fails with words that hold no value: no password, no address.
pub type Dialing = Pin<Box<dyn Future<Output = Result<Dialed, String>> + Send>>;

/// Makes a connection, with whatever TLS and login the caller decides on.
pub type Dial = Box<dyn Fn() -> Dialing + Send + Sync>;

/// Connections without TLS: for a socket or a loopback address.
#[must_use]
pub fn in_the_clear(config: Config) -> Dial {
    Box::new(move || {
        let config = config.clone();
        Box::pin(async move {
            let (client, connection) = config.connect(NoTls).await.map_err(|error| kind(&error))?;
            Ok(Dialed { client, drive: Box::pin(async move { drop(connection.await) }) })
        })
    })
}

const VERSION: i32 = 1;

/// Only one process makes the tables at a time.
const MIGRATION_LOCK: &str = "SELECT pg_advisory_xact_lock(7012339485021)";
const TABLES_ARE_THERE: &str = "SELECT to_regclass('privet_dp_meta') IS NOT NULL";
const TABLES: &str = "
CREATE TABLE privet_dp_meta (version integer NOT NULL, id text NOT NULL);
CREATE SEQUENCE privet_dp_fence;
CREATE TABLE privet_dp_holders (
  name text PRIMARY KEY, fence bigint NOT NULL, expires_at timestamptz NOT NULL, has_left boolean NOT NULL,
  predecessors_until timestamptz NOT NULL);
CREATE TABLE privet_dp_budgets (name text PRIMARY KEY);
CREATE TABLE privet_dp_charges (
  release bytea PRIMARY KEY CHECK (length(release) = 32), budget text NOT NULL REFERENCES privet_dp_budgets,
  start_secs bigint NOT NULL, measure smallint NOT NULL CHECK (measure IN (0, 1)),
  nano bigint NOT NULL CHECK (nano > 0), delta_pico bigint NOT NULL CHECK (delta_pico >= 0),
  holder text NOT NULL REFERENCES privet_dp_holders, fence bigint NOT NULL,
  state text NOT NULL CHECK (state IN ('leased', 'committed', 'acknowledged', 'forfeited')));
CREATE INDEX privet_dp_charges_around ON privet_dp_charges (budget, start_secs);
CREATE INDEX privet_dp_charges_open ON privet_dp_charges (holder) WHERE state IN ('leased', 'committed');";
const BORN: &str = "INSERT INTO privet_dp_meta VALUES ($1, $2)";
const META: &str = "SELECT version, id FROM privet_dp_meta";
/// A successor remembers until when those before it may publish.
const JOIN: &str = "
INSERT INTO privet_dp_holders AS held VALUES
  ($1, nextval('privet_dp_fence'), clock_timestamp() + $2::bigint * interval '1 millisecond', false, '-infinity')
ON CONFLICT (name) DO UPDATE SET fence = EXCLUDED.fence, expires_at = EXCLUDED.expires_at, has_left = false,
  predecessors_until = CASE WHEN held.has_left THEN held.predecessors_until
    ELSE greatest(held.predecessors_until, held.expires_at) END
RETURNING fence";
/// Locks the holder's row, and holds its lease for longer.
const HOLD: &str = "
UPDATE privet_dp_holders
SET expires_at = greatest(expires_at, clock_timestamp() + $3::bigint * interval '1 millisecond')
WHERE name = $1 AND fence = $2 AND NOT has_left RETURNING fence";
const BUDGET: &str = "INSERT INTO privet_dp_budgets VALUES ($1) ON CONFLICT DO NOTHING";
const LOCK_BUDGET: &str = "SELECT name FROM privet_dp_budgets WHERE name = $1 FOR UPDATE";
const CHARGED: &str = "SELECT fence FROM privet_dp_charges WHERE release = $1";
const CHARGED_OF: &str = "SELECT count(*) FROM privet_dp_charges WHERE release = ANY($1)";
const NEWEST: &str = "SELECT max(start_secs) FROM privet_dp_charges WHERE budget = $1";
const CHARGES: &str = "
SELECT release, start_secs, measure, nano, delta_pico, holder = $4 FROM privet_dp_charges
WHERE budget = $1 AND start_secs BETWEEN $2 AND $3";
const CHARGE: &str = "INSERT INTO privet_dp_charges VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'leased')";
const LEAVE: &str = "UPDATE privet_dp_holders SET has_left = true, expires_at = clock_timestamp() WHERE name = $1";
const RETURN: &str =
    "DELETE FROM privet_dp_charges WHERE release = ANY($1) AND holder = $2 AND fence = $3 AND state = 'leased'";
const UNSETTLED: &str = "
SELECT release, charge.fence < held.fence AND held.predecessors_until < clock_timestamp()
FROM privet_dp_charges charge JOIN privet_dp_holders held ON held.name = charge.holder
WHERE charge.holder = $1 AND state IN ('leased', 'committed') LIMIT 10000";
const SETTLE: &str = "
UPDATE privet_dp_charges charge SET state = told.state
FROM unnest($1::bytea[], $2::text[]) AS told (release, state)
WHERE charge.release = told.release AND charge.holder = $3";
const ENTRIES: &str = "
SELECT release, start_secs, measure, nano, delta_pico, true, budget, holder, state FROM privet_dp_charges
ORDER BY budget, start_secs, release";

/// What a lease was answered: what is paid for, and the first claim that was not.
pub(super) struct Granted {
    pub(super) granted: Vec<(ReleaseId, Charged)>,
    pub(super) refused: Option<CannotSpend>,
}

/// A release of this holder that may not have ended yet.
pub(super) struct Unsettled {
    pub(super) release: ReleaseId,
    /// Whether it is of an earlier process, which may publish no more.
    pub(super) is_past: bool,
}

/// One process's conversation with the shared ledger.
pub(super) struct Session {
    runtime: Option<Runtime>,
    dial: Dial,
    client: Option<Client>,
    holder: String,
    fence: i64,
    lease_ms: i64,
    patience: Duration,
}

impl Drop for Session {
    /// Lets the connection go without waiting, for that is not allowed everywhere.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What kind of failure it was: PostgreSQL's own texts may quote values.
#[must_use]
pub fn kind(error: &tokio_postgres::Error) -> String {
    match error.code() {
        Some(code) => format!("SQLSTATE {}", code.code()),
        None => "the connection failed".to_owned(),
    }
}

fn failed(doing: &'static str) -> impl Fn(tokio_postgres::Error) -> LedgerError {
    move |error| LedgerError::Unreachable { doing, what: kind(&error) }
}

impl Session {
    pub(super) fn new(dial: Dial, holder: String, lease: Duration, patience: Duration) -> Result<Self, LedgerError> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(LedgerError::Runtime)?;
        let lease_ms = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
        Ok(Self { runtime: Some(runtime), dial, client: None, holder, fence: 0, lease_ms, patience })
    }

    /// Does one step in one transaction: all of it happens, or none, or it is not known.
    fn step<T>(
        &mut self,
        doing: &'static str,
        work: impl AsyncFnOnce(&Step<'_>) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let Self { runtime, dial, client, holder, fence, lease_ms, patience } = self;
        let no_runtime = || LedgerError::Unreachable { doing, what: "this process is stopping".to_owned() };
        let asked = async {
            let mut session = living(client.take(), dial, *patience).await?;
            let answer = {
                let begun = session.build_transaction().isolation_level(IsolationLevel::ReadCommitted).start().await;
                let transaction = begun.map_err(failed(doing))?;
                let step = Step { transaction, holder, fence: *fence, lease_ms: *lease_ms };
                let answer = work(&step).await?;
                let Step { transaction, .. } = step;
                transaction.commit().await.map_err(failed(doing))?;
                answer
            };
            *client = Some(session);
            Ok(answer)
        };
        let bounded = async { tokio::time::timeout(*patience, asked).await };
        let answer = runtime.as_ref().ok_or_else(no_runtime)?.block_on(bounded);
        answer.unwrap_or_else(|_| Err(LedgerError::Unreachable { doing, what: "no answer in time".to_owned() }))
    }

    /// Makes the tables where there are none, and takes the next fence.
    pub(super) fn join(&mut self, known: Option<LedgerId>) -> Result<(LedgerId, i64), LedgerError> {
        let (id, fence) = self.step("join", async |step: &Step<'_>| step.join(known).await)?;
        self.fence = fence;
        Ok((id, fence))
    }

    /// Whether each of these releases has been charged.
    pub(super) fn all_charged(&mut self, releases: &[ReleaseId]) -> Result<bool, LedgerError> {
        if releases.is_empty() {
            return Ok(true);
        }
        self.step("find this pod's charges", async |step: &Step<'_>| step.all_charged(releases).await)
    }

    pub(super) fn renew(&mut self) -> Result<(), LedgerError> {
        self.step("renew the lease", async |step: &Step<'_>| step.hold().await)
    }

    pub(super) fn lease(&mut self, claims: &[Claim]) -> Result<Granted, LedgerError> {
        self.step("charge the budget", async |step: &Step<'_>| {
            step.hold().await?;
            step.lock_budgets(claims).await?;
            step.charge_all(claims).await
        })
    }

    pub(super) fn leave(&mut self, unused: &[ReleaseId]) -> Result<(), LedgerError> {
        self.step("hand the lease back", async |step: &Step<'_>| step.leave(unused).await)
    }

    pub(super) fn unsettled(&mut self) -> Result<Vec<Unsettled>, LedgerError> {
        self.step("read the open releases", async |step: &Step<'_>| {
            step.hold().await?;
            step.unsettled().await
        })
    }

    pub(super) fn settle(&mut self, told: &[(ReleaseId, &'static str)]) -> Result<(), LedgerError> {
        if told.is_empty() {
            return Ok(());
        }
        self.step("settle releases", async |step: &Step<'_>| {
            step.hold().await?;
            step.settle(told).await
        })
    }

    pub(super) fn entries(&mut self) -> Result<Vec<Entry>, LedgerError> {
        self.step("read the charges", async |step: &Step<'_>| {
            let there = step.transaction.query_one(TABLES_ARE_THERE, &[]).await.map_err(failed("read the charges"))?;
            if !get::<bool>(&there, 0)? {
                return Err(LedgerError::Missing);
            }
            let rows = step.transaction.query(ENTRIES, &[]).await.map_err(failed("read the charges"))?;
            rows.iter().map(|row| entry(row).ok_or(LedgerError::Damaged)).collect()
        })
    }

    pub(super) fn charges_around(
        &mut self,
        budget: &str,
        at_secs: i64,
        horizon: Span,
    ) -> Result<Vec<Charge>, LedgerError> {
        self.step("read the charges", async |step: &Step<'_>| step.charges_around(budget, at_secs, horizon).await)
    }
}

/// The connection of the last step, if it still answers, or a new one. It was cut
/// unseen if a firewall or PostgreSQL closed it while nothing was asked.
async fn living(last: Option<Client>, dial: &Dial, patience: Duration) -> Result<Client, LedgerError> {
    match last.filter(|client| !client.is_closed()) {
        Some(client) if client.batch_execute("").await.is_ok() => Ok(client),
        _ => connect(dial, patience).await,
    }
}

/// A new connection, on which nothing waits for long and what is committed is on the disk.
async fn connect(dial: &Dial, patience: Duration) -> Result<Client, LedgerError> {
    let doing = "connect";
    let Dialed { client, drive } = dial().await.map_err(|what| LedgerError::Unreachable { doing, what })?;
    // Owned by the runtime, which the session ends; it ends by itself with the client.
    tokio::runtime::Handle::current().spawn(drive);
    let millis = patience.as_millis();
    let settings = format!(
        "SET synchronous_commit = on; SET statement_timeout = {millis}; SET lock_timeout = {millis}; \
         SET idle_in_transaction_session_timeout = {millis}"
    );
    client.batch_execute(&settings).await.map_err(failed(doing))?;
    Ok(client)
}

/// One transaction.
struct Step<'a> {
    transaction: Transaction<'a>,
    holder: &'a str,
    fence: i64,
    lease_ms: i64,
}

impl Step<'_> {
    async fn join(&self, known: Option<LedgerId>) -> Result<(LedgerId, i64), LedgerError> {
        let wrong = failed("join");
        self.transaction.batch_execute(MIGRATION_LOCK).await.map_err(&wrong)?;
        let there = self.transaction.query_one(TABLES_ARE_THERE, &[]).await.map_err(&wrong)?;
        if !get::<bool>(&there, 0)? {
            if known.is_some() {
                return Err(LedgerError::SharedGone);
            }
            self.transaction.batch_execute(TABLES).await.map_err(failed("make the tables privet_dp_*"))?;
            let id = LedgerId::random()?.to_string();
            self.transaction.execute(BORN, &[&VERSION, &id]).await.map_err(&wrong)?;
        }
        let meta = self.transaction.query_one(META, &[]).await.map_err(&wrong)?;
        let (found, id): (i32, String) = (get(&meta, 0)?, get(&meta, 1)?);
        if found != VERSION {
            return Err(LedgerError::Version { found, known: VERSION });
        }
        let id = LedgerId::parse(&id).ok_or(LedgerError::Damaged)?;
        if known.is_some_and(|known| known != id) {
            return Err(LedgerError::OtherShared);
        }
        let fence = self.transaction.query_one(JOIN, &[&self.holder, &self.lease_ms]).await.map_err(&wrong)?;
        Ok((id, get(&fence, 0)?))
    }

    async fn all_charged(&self, releases: &[ReleaseId]) -> Result<bool, LedgerError> {
        let names: Vec<&[u8]> = releases.iter().map(|release| release.0.0.as_slice()).collect();
        let found =
            self.transaction.query_one(CHARGED_OF, &[&names]).await.map_err(failed("find this pod's charges"))?;
        Ok(usize::try_from(get::<i64>(&found, 0)?) == Ok(releases.len()))
    }

    /// That no successor has this holder's place, until this step ends; and more time.
    async fn hold(&self) -> Result<(), LedgerError> {
        let held = self.transaction.query_opt(HOLD, &[&self.holder, &self.fence, &self.lease_ms]).await;
        held.map_err(failed("hold the lease"))?
            .ok_or_else(|| LedgerError::Fenced { holder: self.holder.to_owned() })?;
        Ok(())
    }

    /// Locks the budgets of these claims, in one order everywhere.
    async fn lock_budgets(&self, claims: &[Claim]) -> Result<(), LedgerError> {
        let mut budgets: Vec<&str> = claims.iter().map(|claim| claim.budget_name.as_str()).collect();
        budgets.sort_unstable();
        budgets.dedup();
        for budget in budgets {
            self.transaction.execute(BUDGET, &[&budget]).await.map_err(failed("begin a budget"))?;
            self.transaction.query_one(LOCK_BUDGET, &[&budget]).await.map_err(failed("lock a budget"))?;
        }
        Ok(())
    }

    async fn charge_all(&self, claims: &[Claim]) -> Result<Granted, LedgerError> {
        let mut granted = Vec::with_capacity(claims.len());
        for claim in claims {
            match self.charge(claim).await {
                Ok(charged) => granted.extend(charged.map(|charged| (claim.release, charged))),
                Err(CannotSpend::Ledger(error)) => return Err(error),
                Err(refused) => return Ok(Granted { granted, refused: Some(refused) }),
            }
        }
        Ok(Granted { granted, refused: None })
    }

    /// Charges one claim, once. `None` where another process has been charged for it.
    async fn charge(&self, claim: &Claim) -> Result<Option<Charged>, CannotSpend> {
        let release = claim.release.0.0.as_slice();
        let before = self.transaction.query_opt(CHARGED, &[&release]).await.map_err(failed("read a charge"))?;
        let before: Option<i64> = before.map(|row| get(&row, 0)).transpose()?;
        let mut charges =
            self.charges_around(&claim.budget_name, claim.window.start_secs(), claim.budget.horizon).await?;
        charges.retain(|charge| charge.release != claim.release);
        let newest = self.newest(&claim.budget_name).await?;
        match before {
            // The answer to this very question was lost.
            Some(fence) if fence == self.fence => return Ok(Some(room(claim, &charges, newest)?)),
            Some(_) => return Ok(None),
            None => {}
        }
        let charged = room(claim, &charges, newest)?;
        self.put_charge(claim).await?;
        Ok(Some(charged))
    }

    async fn put_charge(&self, claim: &Claim) -> Result<(), LedgerError> {
        let (release, start_secs) = (claim.release.0.0.as_slice(), claim.window.start_secs());
        let measure = i16::from(code_of(claim.charge.measure()));
        let nano = i64::try_from(claim.charge.nano()).map_err(|_| LedgerError::Damaged)?;
        let delta_pico = i64::try_from(claim.charge.delta_pico()).map_err(|_| LedgerError::Damaged)?;
        self.transaction
            .execute(
                CHARGE,
                &[&release, &claim.budget_name, &start_secs, &measure, &nano, &delta_pico, &self.holder, &self.fence],
            )
            .await
            .map_err(failed("charge the budget"))?;
        Ok(())
    }

    async fn newest(&self, budget: &str) -> Result<Option<i64>, LedgerError> {
        get(&self.transaction.query_one(NEWEST, &[&budget]).await.map_err(failed("read the charges"))?, 0)
    }

    async fn charges_around(&self, budget: &str, at_secs: i64, horizon: Span) -> Result<Vec<Charge>, LedgerError> {
        let (first, last) = (at_secs.saturating_sub(horizon.secs_i64()), at_secs.saturating_add(horizon.secs_i64()));
        let rows = self.transaction.query(CHARGES, &[&budget, &first, &last, &self.holder]).await;
        rows.map_err(failed("read the charges"))?.iter().map(charge).collect()
    }

    async fn leave(&self, unused: &[ReleaseId]) -> Result<(), LedgerError> {
        self.hold().await?;
        let unused: Vec<&[u8]> = unused.iter().map(|release| release.0.0.as_slice()).collect();
        let wrong = failed("hand the lease back");
        self.transaction.execute(RETURN, &[&unused, &self.holder, &self.fence]).await.map_err(&wrong)?;
        self.transaction.execute(LEAVE, &[&self.holder]).await.map_err(&wrong)?;
        Ok(())
    }

    async fn unsettled(&self) -> Result<Vec<Unsettled>, LedgerError> {
        let rows =
            self.transaction.query(UNSETTLED, &[&self.holder]).await.map_err(failed("read the open releases"))?;
        rows.iter().map(|row| Ok(Unsettled { release: release(row)?, is_past: get(row, 1)? })).collect()
    }

    async fn settle(&self, told: &[(ReleaseId, &'static str)]) -> Result<(), LedgerError> {
        let releases: Vec<&[u8]> = told.iter().map(|(release, _)| release.0.0.as_slice()).collect();
        let states: Vec<&str> = told.iter().map(|(_, state)| *state).collect();
        let settled = self.transaction.execute(SETTLE, &[&releases, &states, &self.holder]).await;
        settled.map_err(failed("settle releases"))?;
        Ok(())
    }
}

fn get<'a, T: tokio_postgres::types::FromSql<'a>>(row: &'a Row, column: usize) -> Result<T, LedgerError> {
    row.try_get(column).map_err(|_| LedgerError::Damaged)
}

fn release(row: &Row) -> Result<ReleaseId, LedgerError> {
    let bytes: &[u8] = get(row, 0)?;
    Ok(ReleaseId(Digest(bytes.try_into().map_err(|_| LedgerError::Damaged)?)))
}

/// A charge from a row that begins with its release, time, measure, nano, delta and whose it is.
fn charge(row: &Row) -> Result<Charge, LedgerError> {
    let (measure, nano, delta_pico): (i16, i64, i64) = (get(row, 2)?, get(row, 3)?, get(row, 4)?);
    let measure = u8::try_from(measure).map_err(|_| LedgerError::Damaged)?;
    let loss = read_loss(measure, nano.unsigned_abs(), delta_pico.unsigned_abs())?;
    Ok(Charge { release: release(row)?, start_secs: get(row, 1)?, loss, own: get(row, 5)? })
}

fn entry(row: &Row) -> Option<Entry> {
    let Charge { release, start_secs, loss, .. } = charge(row).ok()?;
    let (budget_name, holder): (String, String) = (row.try_get(6).ok()?, row.try_get(7).ok()?);
    let state = ["leased", "committed", "acknowledged", "forfeited"];
    let written: &str = row.try_get(8).ok()?;
    let state = state.into_iter().find(|state| *state == written)?;
    Some(Entry { budget_name, start_secs, release, charge: loss, state, holder: Some(holder) })
}
