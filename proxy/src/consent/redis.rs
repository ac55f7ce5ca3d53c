//! The store in Redis (6.2 or newer, or Valkey): a hash a subject, fact to time.
//!
//! Promise: a write is one script, so writers converge; who changed what is published,
//! and every pod that listens hears it. Not here: keeping Redis from forgetting. It has
//! to run with persistence and without eviction, and [`Redis::may_forget`] tells when not.

use std::collections::HashMap;

use futures_util::StreamExt as _;
use redis::aio::{MultiplexedConnection, PubSub};
use redis::{AsyncConnectionConfig, RedisConnectionInfo, RedisError, Value, cmd, pipe};

use super::listener::{Listener, UNMARKED};
use super::record::Record;
use super::slots::{Lease, Slots};
use super::subject::SubjectKey;
use super::{HEARTBEAT_EVERY, StoreError, Workers};
use crate::link::Link;

const PREFIX: &str = "privet:consent:subject:";
const CHECK: &str = "privet:consent:key_check";
/// There as long as no refusal was lost for want of room: to take it away needs none, even where Redis is full.
const WHOLE: &str = "privet:consent:whole";
/// Why a store without its mark may have forgotten, and how it gets one.
pub(super) const NOT_WHOLE: &str = "refusals were lost for want of room, or the store is of an earlier version; if you know that none is missing, SET privet:consent:whole 1 and restart the pods";
/// What Redis answers to a write when it is full and may not evict.
const FULL: &str = "OOM";
const CHANNEL: &str = "privet:consent:changed";

/// `KEYS[1]` a subject; `ARGV` the channel, what to publish, then names and times: each later time is kept.
const MERGE: &str = "
local changed = false
for place = 3, #ARGV, 2 do
  local known = redis.call('HGET', KEYS[1], ARGV[place])
  if (not known) or tonumber(ARGV[place + 1]) > tonumber(known) then
    redis.call('HSET', KEYS[1], ARGV[place], ARGV[place + 1])
    changed = true
  end
end
if changed then redis.call('PUBLISH', ARGV[1], ARGV[2]) end
return 1";

/// The same arguments: what still has the time it has there is removed.
const REMOVE: &str = "
for place = 3, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[place]) == ARGV[place + 1] then
    redis.call('HDEL', KEYS[1], ARGV[place])
  end
end
redis.call('PUBLISH', ARGV[1], ARGV[2])
return 1";

/// `KEYS` the check and the mark, `ARGV[1]` the check of a new store. A full Redis still tells a known one.
const ATTACH: &str = "
local known = redis.call('GET', KEYS[1])
if not known then
  redis.call('SET', KEYS[2], '1')
  redis.call('SET', KEYS[1], ARGV[1])
  known = ARGV[1]
end
return {known, redis.call('EXISTS', KEYS[2])}";

/// The store.
pub(super) struct Redis {
    link: Link,
    slots: Slots<MultiplexedConnection>,
    workers: Workers,
    /// Names this process in what it publishes.
    origin: String,
}

/// Says what was being done, and of what Redis answered the code alone.
fn failed(doing: &'static str) -> impl Fn(RedisError) -> StoreError {
    move |error| {
        let category = error.category().to_owned();
        // Commands that are sent together have an answer each.
        let answers = error.into_server_errors();
        let codes = || answers.iter().flat_map(|answers| answers.iter()).map(|(_, answer)| answer.code());
        if codes().any(|code| code == FULL) {
            return StoreError::Full;
        }
        StoreError::Failed { doing, source: codes().next().map_or(category, str::to_owned).into() }
    }
}

impl Redis {
    pub(super) fn new(link: Link, workers: Workers, origin: String) -> Self {
        Self { slots: Slots::of(link.connections), link, workers, origin }
    }

    fn info(&self) -> RedisConnectionInfo {
        let mut info = RedisConnectionInfo::default()
            .set_db(self.link.database.parse().unwrap_or_default())
            .set_skip_set_lib_name();
        if let Some(user) = &self.link.user {
            info = info.set_username(user);
        }
        if let Some(password) = &self.link.password {
            info = info.set_password(password.as_str());
        }
        info
    }

    async fn connect(&self) -> Result<MultiplexedConnection, StoreError> {
        self.link.within(self.connect_however_long()).await
    }

    async fn connect_however_long(&self) -> Result<MultiplexedConnection, StoreError> {
        let (info, stream) = (self.info(), self.link.tcp().await.map_err(StoreError::Connect)?);
        // How long an answer may take is ours to say; the library's own bound would hide it.
        let config = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
        let refused = failed("log in to Redis");
        let connection = match self.link.tls() {
            None => {
                let made = MultiplexedConnection::new_with_config(&info, stream, config).await;
                let (connection, driver) = made.map_err(refused)?;
                self.workers.spawn(driver);
                connection
            }
            Some(tls) => {
                let stream = tls.connect(stream).await.map_err(StoreError::Connect)?;
                let made = MultiplexedConnection::new_with_config(&info, stream, config).await;
                let (connection, driver) = made.map_err(refused)?;
                self.workers.spawn(driver);
                connection
            }
        };
        Ok(connection)
    }

    async fn lease(&self) -> Result<Lease<'_, MultiplexedConnection>, StoreError> {
        self.slots.lease(self.connect()).await
    }

    /// The records of some subjects, in their order.
    pub(super) async fn read(&self, keys: &[SubjectKey]) -> Result<Vec<Record>, StoreError> {
        let mut pipeline = pipe();
        for key in keys {
            pipeline.cmd("HGETALL").arg(name_of(key));
        }
        let mut lease = self.lease().await?;
        let found: Vec<HashMap<String, i64>> =
            pipeline.query_async(&mut lease.connection).await.map_err(failed("read from Redis"))?;
        if found.len() != keys.len() {
            return Err(StoreError::NOT_A_RECORD);
        }
        lease.sound();
        found.iter().map(record).collect()
    }

    /// Merges what was learned into the records of some subjects.
    pub(super) async fn merge(&self, changes: &[(SubjectKey, Record)]) -> Result<(), StoreError> {
        self.run(MERGE, changes).await
    }

    /// Removes facts that still have the time they have there.
    pub(super) async fn remove(&self, key: SubjectKey, gone: &Record) -> Result<(), StoreError> {
        self.run(REMOVE, &[(key, gone.clone())]).await
    }

    async fn run(&self, script: &str, changes: &[(SubjectKey, Record)]) -> Result<(), StoreError> {
        let mut pipeline = pipe();
        for (key, change) in changes {
            let call = pipeline.cmd("EVAL").arg(script).arg(1).arg(name_of(key));
            call.arg(CHANNEL).arg(format!("{}:{}", self.origin, key.hex()));
            for (fact, at_ms) in change.facts() {
                call.arg(fact.to_string()).arg(at_ms);
            }
        }
        let mut lease = self.lease().await?;
        let _: Vec<Value> = pipeline.query_async(&mut lease.connection).await.map_err(failed("write to Redis"))?;
        lease.sound();
        Ok(())
    }

    /// The check of the secret it was first used with, and whether it has its mark. A new store gets both.
    async fn check_or(&self, check: &str) -> Result<(String, bool), StoreError> {
        let mut lease = self.lease().await?;
        let mut attach = cmd("EVAL");
        attach.arg(ATTACH).arg(2).arg(CHECK).arg(WHOLE).arg(check);
        let known = attach.query_async(&mut lease.connection).await.map_err(failed("read from Redis"))?;
        lease.sound();
        Ok(known)
    }

    /// Takes the mark away and tells everybody.
    pub(super) async fn unmark(&self) -> Result<(), StoreError> {
        let mut lease = self.lease().await?;
        let mut both = pipe();
        both.cmd("DEL").arg(WHOLE).cmd("PUBLISH").arg(CHANNEL).arg(format!("{}:{UNMARKED}", self.origin));
        let _: Vec<Value> = both.query_async(&mut lease.connection).await.map_err(failed("write to Redis"))?;
        lease.sound();
        Ok(())
    }

    /// Whether somebody's record is in it, or was.
    async fn is_known(&self) -> Result<bool, StoreError> {
        let mut lease = self.lease().await?;
        let there = cmd("EXISTS").arg(CHECK).query_async(&mut lease.connection).await;
        let there: bool = there.map_err(failed("read from Redis"))?;
        lease.sound();
        Ok(there)
    }

    /// Why a refusal may get lost in this Redis, as far as it tells.
    async fn may_forget(&self) -> Result<Option<&'static str>, StoreError> {
        let mut lease = self.lease().await?;
        let told = cmd("INFO").query_async(&mut lease.connection).await;
        let told: String = told.map_err(failed("ask Redis how it is configured"))?;
        lease.sound();
        Ok(forgetful(&told))
    }

    /// Listens until listening fails, and says why it did.
    pub(super) async fn listen(&self, listener: &Listener) -> StoreError {
        match self.listen_or_fail(listener).await {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    async fn listen_or_fail(&self, listener: &Listener) -> Result<std::convert::Infallible, StoreError> {
        let subscription = self.link.within(self.subscribe()).await?;
        let attach = async {
            listener.not_emptied(self.is_known().await?)?;
            let (check, is_whole) = self.check_or(&listener.check()?).await?;
            listener.unlocked_by(&check)?;
            listener.may_forget(self.may_forget().await?.or((!is_whole).then_some(NOT_WHOLE)));
            Ok::<(), StoreError>(())
        };
        self.link.within(attach).await?;
        listener.attached();
        let (mut sink, mut stream) = subscription.split();
        loop {
            let sent_at = listener.now();
            let mut pong = std::pin::pin!(tokio::time::timeout(listener.patience(), sink.ping::<Value>()));
            loop {
                tokio::select! {
                    // Messages first: an answer says that all before it were heard.
                    biased;
                    message = stream.next() => match message {
                        Some(message) => listener.changed(&String::from_utf8_lossy(message.get_payload_bytes())),
                        None => return Err(StoreError::Lost),
                    },
                    answer = &mut pong => match answer {
                        Ok(Ok(_)) => break,
                        Ok(Err(error)) => return Err(failed("hear from Redis")(error)),
                        Err(_) => return Err(StoreError::TimedOut),
                    },
                }
            }
            listener.heard(sent_at);
            let mut rest = std::pin::pin!(tokio::time::sleep(HEARTBEAT_EVERY));
            loop {
                tokio::select! {
                    message = stream.next() => match message {
                        Some(message) => listener.changed(&String::from_utf8_lossy(message.get_payload_bytes())),
                        None => return Err(StoreError::Lost),
                    },
                    () = &mut rest => break,
                }
            }
        }
    }

    async fn subscribe(&self) -> Result<PubSub, StoreError> {
        let (info, stream) = (self.info(), self.link.tcp().await.map_err(StoreError::Connect)?);
        let made = match self.link.tls() {
            None => PubSub::new(&info, stream).await,
            Some(tls) => PubSub::new(&info, tls.connect(stream).await.map_err(StoreError::Connect)?).await,
        };
        let mut subscription = made.map_err(failed("log in to Redis"))?;
        subscription.subscribe(CHANNEL).await.map_err(failed("subscribe at Redis"))?;
        Ok(subscription)
    }
}

fn name_of(key: &SubjectKey) -> String {
    format!("{PREFIX}{}", key.hex())
}

fn record(found: &HashMap<String, i64>) -> Result<Record, StoreError> {
    let mut record = Record::default();
    for (name, at_ms) in found {
        record.learn_named(name, *at_ms)?;
    }
    Ok(record)
}

/// Reads the text of `INFO`.
fn forgetful(info: &str) -> Option<&'static str> {
    let member = |name: &str| {
        let mut lines = info.lines().filter_map(|line| line.trim().split_once(':'));
        lines.find(|(known, _)| *known == name).map(|(_, value)| value)
    };
    let bounded = member("maxmemory").is_some_and(|bytes| bytes != "0");
    if bounded && member("maxmemory_policy").is_some_and(|policy| policy != "noeviction") {
        return Some("Redis evicts what is old when it is full: set maxmemory-policy to noeviction");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redis_tells_whether_it_forgets() {
        let info =
            |bytes: &str, policy: &str| format!("# Memory\r\nmaxmemory:{bytes}\r\nmaxmemory_policy:{policy}\r\n");
        assert_eq!(forgetful(&info("0", "allkeys-lru")), None);
        assert_eq!(forgetful(&info("1048576", "noeviction")), None);
        assert!(forgetful(&info("1048576", "volatile-lru")).is_some());
        assert_eq!(forgetful(""), None);
    }

    #[test]
    fn a_hash_with_a_strange_member_is_no_record() {
        let strange = HashMap::from([("refused:wire:a".to_owned(), 1), ("other".to_owned(), 2)]);
        assert!(record(&strange).is_err());
    }
}
