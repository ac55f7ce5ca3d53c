//! The store in PostgreSQL (11 or newer): a row a fact.
//!
//! Promise: a write is one statement that keeps the later time, so writers converge; who
//! changed what is notified when the write commits, and every pod that listens hears it.
//! A pooler between has to work by sessions, because notifications belong to one.
//! Not here: making the database and its role.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::NoTls;
use tokio_postgres::{AsyncMessage, Client, Connection, Statement};

use super::listener::{Listener, UNMARKED};
use super::record::Record;
use super::slots::Slots;
use super::subject::SubjectKey;
use super::{HEARTBEAT_EVERY, StoreError, Workers};
use crate::link::Link;
use crate::postgres::login;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS privet_consent (
  subject bytea NOT NULL, fact text NOT NULL, at_ms bigint NOT NULL, PRIMARY KEY (subject, fact));
CREATE TABLE IF NOT EXISTS privet_consent_meta (name text PRIMARY KEY, value text NOT NULL);";
const TABLES_ARE_THERE: &str =
    "SELECT to_regclass('privet_consent') IS NOT NULL AND to_regclass('privet_consent_meta') IS NOT NULL";
/// A new store gets its mark with the check: it is there as long as no refusal was lost for want of room.
const SET_CHECK: &str = "
WITH new AS (INSERT INTO privet_consent_meta VALUES ('key_check', $1) ON CONFLICT DO NOTHING RETURNING name)
INSERT INTO privet_consent_meta SELECT 'whole', '' FROM new ON CONFLICT DO NOTHING";
const IS_WHOLE: &str = "SELECT EXISTS (SELECT FROM privet_consent_meta WHERE name = 'whole')";
const UNMARK: &str = "
WITH gone AS (DELETE FROM privet_consent_meta WHERE name = 'whole' RETURNING name)
SELECT pg_notify('privet_consent', $1::text) FROM gone";
/// Why a store without its mark may have forgotten, and how it gets one.
pub(super) const NOT_WHOLE: &str = "refusals were lost for want of room, or the store is of an earlier version; if you know that none is missing, INSERT INTO privet_consent_meta VALUES ('whole', '') and restart the pods";
const CHECK: &str = "SELECT value FROM privet_consent_meta WHERE name = 'key_check'";
const READ: &str = "SELECT subject, fact, at_ms FROM privet_consent WHERE subject = ANY($1)";
const MERGE: &str = "
WITH changed AS (
  INSERT INTO privet_consent AS known (subject, fact, at_ms)
  SELECT * FROM unnest($1::bytea[], $2::text[], $3::bigint[])
  ON CONFLICT (subject, fact) DO UPDATE SET at_ms = EXCLUDED.at_ms WHERE EXCLUDED.at_ms > known.at_ms
  RETURNING known.subject)
SELECT pg_notify('privet_consent', $4 || ':' || encode(subject, 'hex')) FROM (SELECT DISTINCT subject FROM changed) told";
const REMOVE: &str = "
WITH changed AS (
  DELETE FROM privet_consent AS known
  USING unnest($1::bytea[], $2::text[], $3::bigint[]) AS gone (subject, fact, at_ms)
  WHERE known.subject = gone.subject AND known.fact = gone.fact AND known.at_ms = gone.at_ms
  RETURNING known.subject)
SELECT pg_notify('privet_consent', $4 || ':' || encode(subject, 'hex')) FROM (SELECT DISTINCT subject FROM changed) told";

/// The store.
pub(super) struct Postgres {
    link: Link,
    slots: Slots<Arc<Session>>,
    workers: Workers,
    /// Names this process in what it notifies.
    origin: String,
}

/// One connection and its prepared statements.
struct Session {
    client: Client,
    read: Statement,
    merge: Statement,
    remove: Statement,
}

/// Says what was being done, and of what PostgreSQL answered the code alone: its texts may quote values.
fn failed(doing: &'static str) -> impl Fn(tokio_postgres::Error) -> StoreError {
    move |error| match error.code() {
        Some(code) if *code == SqlState::DISK_FULL => StoreError::Full,
        Some(code) => StoreError::Failed { doing, source: format!("SQLSTATE {}", code.code()).into() },
        None if error.is_closed() => StoreError::Lost,
        None => match error.into_source().map(|source| source.downcast::<io::Error>()) {
            Some(Ok(source)) => StoreError::Connect(*source),
            _ => StoreError::Failed { doing, source: "the connection failed".into() },
        },
    }
}

impl Postgres {
    pub(super) fn new(link: Link, workers: Workers, origin: String) -> Self {
        Self { slots: Slots::of(link.connections), link, workers, origin }
    }

    /// A connection whose notifications go to a listener, where there is one.
    async fn connect(&self, listener: Option<Listener>) -> Result<Client, StoreError> {
        let (config, stream) = (login(&self.link), self.link.tcp().await.map_err(StoreError::Connect)?);
        let refused = failed("log in to PostgreSQL");
        match self.link.tls() {
            None => {
                let (client, connection) = config.connect_raw(stream, NoTls).await.map_err(refused)?;
                self.workers.spawn(drive(connection, listener));
                Ok(client)
            }
            Some(tls) => {
                let (client, connection) = config.connect_raw(stream, tls).await.map_err(refused)?;
                self.workers.spawn(drive(connection, listener));
                Ok(client)
            }
        }
    }

    async fn session(&self) -> Result<Arc<Session>, StoreError> {
        let prepare = async {
            let client = self.connect(None).await?;
            let statement = async |text| client.prepare(text).await.map_err(failed("prepare a statement"));
            let (read, merge, remove) = (statement(READ).await?, statement(MERGE).await?, statement(REMOVE).await?);
            Ok(Arc::new(Session { client, read, merge, remove }))
        };
        self.link.within(prepare).await
    }

    /// The records of some subjects, in their order.
    pub(super) async fn read(&self, keys: &[SubjectKey]) -> Result<Vec<Record>, StoreError> {
        let lease = self.slots.lease(self.session()).await?;
        let subjects: Vec<&[u8]> = keys.iter().map(|key| key.bytes().as_slice()).collect();
        let session = &lease.connection;
        let rows = session.client.query(&session.read, &[&subjects]).await.map_err(failed("read from PostgreSQL"))?;
        let mut found: std::collections::HashMap<SubjectKey, Record> = std::collections::HashMap::new();
        for row in &rows {
            let member =
                (|| Some((SubjectKey::from_bytes(row.try_get(0).ok()?)?, row.try_get(1).ok()?, row.try_get(2).ok()?)))(
                );
            let (key, fact, at_ms): (SubjectKey, &str, i64) = member.ok_or(StoreError::NOT_A_RECORD)?;
            found.entry(key).or_default().learn_named(fact, at_ms)?;
        }
        lease.sound();
        Ok(keys.iter().map(|key| found.remove(key).unwrap_or_default()).collect())
    }

    /// Merges what was learned into the records of some subjects: all of them, or none.
    pub(super) async fn merge(&self, changes: &[(SubjectKey, Record)]) -> Result<(), StoreError> {
        self.run(|session| &session.merge, changes).await
    }

    /// Removes facts that still have the time they have there.
    pub(super) async fn remove(&self, key: SubjectKey, gone: &Record) -> Result<(), StoreError> {
        self.run(|session| &session.remove, &[(key, gone.clone())]).await
    }

    async fn run(
        &self,
        statement: impl Fn(&Session) -> &Statement,
        changes: &[(SubjectKey, Record)],
    ) -> Result<(), StoreError> {
        let mut rows: Vec<(&[u8], String, i64)> = Vec::new();
        for (key, change) in changes {
            rows.extend(change.facts().map(|(fact, at_ms)| (key.bytes().as_slice(), fact.to_string(), at_ms)));
        }
        // In one order everywhere, so that two writers wait for each other and never both.
        rows.sort_unstable();
        let subjects: Vec<&[u8]> = rows.iter().map(|(subject, ..)| *subject).collect();
        let facts: Vec<&str> = rows.iter().map(|(_, fact, _)| fact.as_str()).collect();
        let times: Vec<i64> = rows.iter().map(|(.., at_ms)| *at_ms).collect();
        let lease = self.slots.lease(self.session()).await?;
        let session = &lease.connection;
        let written = session.client.query(statement(session), &[&subjects, &facts, &times, &self.origin]).await;
        written.map_err(failed("write to PostgreSQL"))?;
        lease.sound();
        Ok(())
    }

    /// Takes the mark away and tells everybody.
    pub(super) async fn unmark(&self) -> Result<(), StoreError> {
        let lease = self.slots.lease(self.session()).await?;
        let told = format!("{}:{UNMARKED}", self.origin);
        lease.connection.client.query(UNMARK, &[&told]).await.map_err(failed("write to PostgreSQL"))?;
        lease.sound();
        Ok(())
    }

    /// Listens until listening fails, and says why it did.
    pub(super) async fn listen(&self, listener: &Listener) -> StoreError {
        match self.listen_or_fail(listener).await {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    async fn listen_or_fail(&self, listener: &Listener) -> Result<Infallible, StoreError> {
        let client = self.link.within(self.subscribe(listener)).await?;
        listener.attached();
        loop {
            let sent_at = listener.now();
            let answer = tokio::time::timeout(listener.patience(), client.simple_query("SELECT 1")).await;
            answer.map_err(|_| StoreError::TimedOut)?.map_err(failed("hear from PostgreSQL"))?;
            listener.heard(sent_at);
            tokio::time::sleep(HEARTBEAT_EVERY).await;
        }
    }

    async fn subscribe(&self, listener: &Listener) -> Result<Client, StoreError> {
        let client = self.connect(Some(listener.clone())).await?;
        let read = failed("read from PostgreSQL");
        let there = client.query_one(TABLES_ARE_THERE, &[]).await.map_err(&read)?;
        if !there.try_get(0).unwrap_or(false) {
            listener.not_emptied(false)?;
            client
                .batch_execute(TABLES)
                .await
                .map_err(failed("make the tables privet_consent and privet_consent_meta"))?;
        }
        let known = client.query_opt(CHECK, &[]).await.map_err(&read)?;
        listener.not_emptied(known.is_some())?;
        client.execute(SET_CHECK, &[&listener.check()?]).await.map_err(failed("write to PostgreSQL"))?;
        let known = client.query_one(CHECK, &[]).await.map_err(&read)?;
        listener.unlocked_by(known.try_get(0).map_err(&read)?)?;
        client.batch_execute("LISTEN privet_consent").await.map_err(failed("listen at PostgreSQL"))?;
        // Once it listens: else the mark could go unheard in between.
        let is_whole = client.query_one(IS_WHOLE, &[]).await.map_err(&read)?;
        let is_whole: bool = is_whole.try_get(0).map_err(&read)?;
        listener.may_forget((!is_whole).then_some(NOT_WHOLE));
        Ok(client)
    }
}

/// Moves what is sent and received, until the connection ends. What ended it is told to whoever waits for an answer.
async fn drive<S, T>(mut connection: Connection<S, T>, listener: Option<Listener>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
        if let (AsyncMessage::Notification(told), Some(listener)) = (message, &listener) {
            listener.changed(told.payload());
        }
    }
}
