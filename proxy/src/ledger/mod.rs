//! The ledger: one witnessed log that holds what every pod's log came to, every ten seconds.
//!
//! Promise: a pod's log, once rolled, cannot show an auditor fewer records, or others, without contradicting a checkpoint
//! that independent witnesses cosigned. The ledger signs its first record when it is made, by [`init`], and never another
//! first one; it signs nothing new before the anchor and a quorum of witnesses have agreed that its disk did not go back,
//! and publishes nothing that a quorum did not cosign. A pod's log that contradicts what was rolled is recorded and never
//! rolled forward.
//!
//! Not here: reading records of pods (hash tiles are enough, so what is sealed stays sealed), and running witnesses.

mod log;
mod serve;
mod watched;
mod witnesses;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use privet_audit_log::kept::{KeptKey, Use};
use privet_audit_log::note::NoteError;
use privet_audit_log::record::{Entry, Record};
use privet_audit_log::tree::Hash;
use privet_audit_log::{HEARTBEAT_MS, Moment, canonical};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::config::ledger::Ledger as Config;
use crate::durable;
use crate::store::Store;
use crate::tasks::TaskSet;
use crate::tls::TlsError;
use crate::web::Web;

pub use log::CannotKeep;
use log::LedgerLog;
use serve::Board;
use watched::{Contradiction, Look, Rolled, Watched};
use witnesses::Witnesses;

/// For one witness, from connecting to the end of its answer.
const WITNESS_TIMEOUT: Duration = Duration::from_secs(10);

/// A list of as many logs as are watched, each of the longest name.
const LIST_BYTES_MAX: u64 = 256 << 20;

/// Why a ledger does not run, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum CannotRun {
    /// The key, or the name for one.
    #[error("cannot use the key `{}`", at.display())]
    Key {
        /// Its file.
        at: PathBuf,
        /// Why not.
        #[source]
        source: NoteError,
    },
    /// The key is of another log.
    #[error("the key in `{}` is that of `{found}`, and this ledger's log is `{wanted}`", at.display())]
    OtherKey {
        /// Its file.
        at: PathBuf,
        /// Its name.
        found: String,
        /// The configured one.
        wanted: String,
    },
    /// A key is there already.
    #[error("`{}` is there already and is not written over; where no log and no anchor of it were made yet, for `init` was stopped, remove it and make it again", .0.display())]
    IsThere(PathBuf),
    /// The disk said no.
    #[error("cannot {doing} `{}`", at.display())]
    Disk {
        /// What was tried.
        doing: &'static str,
        /// Where.
        at: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The files of TLS do not work.
    #[error("cannot set up tls")]
    Tls(#[from] TlsError),
    /// The ledger's own log.
    #[error("cannot keep the ledger's log")]
    Log(#[from] CannotKeep),
    /// A list that a roll names is gone or is another.
    #[error("the list `{0}`, which the ledger's log names, is not there as it was")]
    List(PathBuf),
    /// A witness saw more.
    #[error(
        "the witness `{witness}` has cosigned {known} records of this log, which is not what is on this disk with its {here}: the disk went back or is another; restore the newest one, for a second history under the same key would be a fork"
    )]
    WentBack {
        /// Who.
        witness: String,
        /// How many records it knows.
        known: u64,
        /// How many are here.
        here: u64,
    },
    /// Health and metrics cannot be served.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// The name of a ledger's log, which its key signs under.
#[must_use]
pub fn log_name(origin: &str) -> String {
    format!("{origin}/1")
}

/// Makes a ledger: its kept key, and its log with the first record, signed and not shown to anybody yet. Gives the key's
/// public half, which witnesses and auditors need.
///
/// # Errors
/// [`CannotRun`], where anything of a ledger is there already, too: [`CannotRun::is_there`].
pub fn init(config: &Config, clock: &dyn Clock) -> Result<String, CannotRun> {
    let file = &config.key_file;
    let wrong = |source| CannotRun::Key { at: file.clone(), source };
    let key = KeptKey::generate(&log_name(&config.origin), Use::Log).map_err(wrong)?;
    let text = key.to_text().map_err(wrong)?;
    let line = Zeroizing::new(format!("{}\n", text.as_str()));
    log::vacant(&config.directory, &config.anchor_dir)?;
    let disk = |source| CannotRun::Disk { doing: "write", at: file.clone(), source };
    if !durable::place(file, line.as_bytes(), durable::SECRET).map_err(disk)? {
        return Err(CannotRun::IsThere(file.clone()));
    }
    let signer = key.signer().map_err(wrong)?;
    LedgerLog::create(&config.directory, &config.anchor_dir, signer, moment(clock))?;
    key.public().map_err(wrong)
}

fn moment(clock: &dyn Clock) -> Moment {
    let mono_ms = u64::try_from(clock.monotonic().as_millis()).unwrap_or(u64::MAX);
    Moment { wall_ms: clock.now().as_millisecond(), mono_ms }
}

/// A ledger at work.
pub struct Ledger {
    log: LedgerLog,
    watched: Watched,
    witnesses: Witnesses,
    quorum: usize,
    every: Duration,
    clock: Arc<dyn Clock>,
    board: Arc<Board>,
    /// Whether a quorum agreed that the disk did not go back.
    confirmed: bool,
    /// By the monotonic clock, which nobody sets: milliseconds at the last record, or at the start.
    last_record_ms: u64,
}

impl CannotRun {
    /// Whether a ledger could not be made because one is there.
    #[must_use]
    pub const fn is_there(&self) -> bool {
        matches!(self, Self::IsThere(_) | Self::Log(CannotKeep::IsThere(_)))
    }
}

impl Ledger {
    /// Opens key and log, and reads what was rolled before.
    ///
    /// # Errors
    /// [`CannotRun`]; a disk that the anchor shows to have gone back is one.
    pub fn open(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, CannotRun> {
        let signer = signer(config)?;
        let store = Store::open(&config.store, Arc::clone(&clock))?;
        let web = Web::open(&config.tls, WITNESS_TIMEOUT)?;
        let (root, mut rolled, mut wrong) = (config.directory.join("1"), BTreeMap::new(), None);
        let log = LedgerLog::open(&config.directory, &config.anchor_dir, signer, &mut |entry| {
            if let (Some(hex), None) = (list_of(entry), &wrong) {
                wrong = replay(&root, &hex, &mut rolled).err();
            }
        })?;
        wrong.map_or(Ok(()), Err)?;
        let known = log.published().map_or(0, |(published, _)| published.size);
        let witnesses = Witnesses::new(web, &config.witnesses, known);
        let (watched, board) = (Watched::new(store, rolled), Arc::new(Board::default()));
        board.quorum(config.quorum);
        Ok(Self {
            log,
            watched,
            witnesses,
            quorum: config.quorum,
            every: config.every,
            last_record_ms: moment(&*clock).mono_ms,
            clock,
            board,
            confirmed: false,
        })
    }

    /// Serves health and metrics at `listen`, and rolls until `stop`.
    ///
    /// # Errors
    /// [`CannotRun`]: nothing that passes by itself.
    pub async fn run(mut self, listen: SocketAddr, stop: impl Future<Output = ()>) -> Result<(), CannotRun> {
        let refused = |source| CannotRun::Listen { address: listen, source };
        let socket = tokio::net::TcpListener::bind(listen).await.map_err(refused)?;
        let tasks = TaskSet::new();
        tasks.spawn(serve::serve(socket, Arc::clone(&self.board), tasks.clone()));
        let rolling = async {
            let mut every = tokio::time::interval(self.every);
            every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                every.tick().await;
                self.round().await?;
            }
        };
        let done = tokio::select! {
            done = rolling => done,
            () = stop => Ok(()),
        };
        tasks.finish(Duration::from_secs(1)).await;
        done
    }

    /// One round: first whether the disk may be trusted, then what moved, then the witnesses.
    ///
    /// # Errors
    /// [`CannotRun`], where going on would sign a second history or the ledger's disk fails.
    pub async fn round(&mut self) -> Result<(), CannotRun> {
        if !self.confirmed {
            self.confirmed = self.witness(true).await?;
            self.board.confirmed(self.confirmed);
            if !self.confirmed {
                return Ok(());
            }
            self.append(vec![LedgerLog::resumption()])?;
        }
        self.roll().await?;
        if self.log.is_ahead() {
            self.witness(false).await?;
        }
        Ok(())
    }

    /// Asks the witnesses, and publishes where enough cosigned; whether they did.
    async fn witness(&mut self, at_start: bool) -> Result<bool, CannotRun> {
        let round = self.witnesses.ask(&self.log).await?;
        if let Some((witness, known)) = round.beyond {
            // While running, nobody but a witness in error says so, and it does not stop the others.
            tracing::error!(witness, known, "a witness does not cosign: it knows another history of this log");
            self.board.beyond();
            if at_start {
                return Err(CannotRun::WentBack { witness, known, here: self.log.size() });
            }
        }
        let enough = round.cosigned >= self.quorum;
        self.board.cosigned(round.cosigned, enough, self.clock.now().as_second());
        if enough {
            self.log.publish(round.note)?;
        } else {
            tracing::warn!(
                cosigned = round.cosigned,
                quorum = self.quorum,
                "not published: too few witnesses cosigned"
            );
        }
        Ok(enough)
    }

    async fn roll(&mut self) -> Result<(), CannotRun> {
        let (look, fault) = self.watched.look().await;
        if let Some(fault) = fault {
            tracing::warn!("not all shipped logs can be read: {fault}");
        }
        self.board.store(fault.map(|fault| fault.to_string()));
        self.board.looked(self.watched.len(), look.unread, look.contradictions.len());
        let records = self.records(&look)?;
        if !records.is_empty() {
            if let Err(error) = self.append(records) {
                self.watched.look_again();
                return Err(error);
            }
            self.board.rolled(look.moved.len());
            self.watched.roll(look.moved);
        }
        Ok(())
    }

    /// What a look has to say; a heartbeat, where it is due and there is nothing.
    fn records(&self, look: &Look) -> Result<Vec<Record>, CannotRun> {
        let mut records: Vec<Record> =
            look.contradictions.iter().map(|found| contradiction(found, self.watched.rolled(&found.origin))).collect();
        if !look.moved.is_empty() {
            let list: Vec<Value> = look.moved.iter().map(|(origin, rolled)| entry_of(origin, rolled)).collect();
            let bytes = canonical::to_bytes(&Value::Array(list)).map_err(|error| CannotKeep::Record(error.into()))?;
            let list = self.log.keep_list(&bytes)?;
            // Kept before the record that names it: by it an auditor knows before when nothing of this was rolled.
            let witnessed = self.log.published().map(|(_, note)| self.log.keep_cosigned(note)).transpose()?;
            let members = json!({"list": list, "logs": look.moved.len(), "witnessed": witnessed});
            records.push(Record::Unknown("roll".to_owned(), members));
        }
        let silent = moment(&*self.clock).mono_ms.saturating_sub(self.last_record_ms);
        if records.is_empty() && silent >= HEARTBEAT_MS {
            records.push(Record::Heartbeat);
        }
        Ok(records)
    }

    fn append(&mut self, records: Vec<Record>) -> Result<(), CannotRun> {
        let now = moment(&*self.clock);
        self.log.append(records, now)?;
        self.last_record_ms = now.mono_ms;
        Ok(())
    }
}

fn signer(config: &Config) -> Result<privet_audit_log::note::Signer, CannotRun> {
    let at = &config.key_file;
    let text = std::fs::read_to_string(at).map(Zeroizing::new);
    let text = text.map_err(|source| CannotRun::Disk { doing: "read the key", at: at.clone(), source })?;
    let wrong = |source| CannotRun::Key { at: at.clone(), source };
    let key = KeptKey::parse(&text, Use::Log).map_err(wrong)?;
    let wanted = log_name(&config.origin);
    if key.name() != wanted {
        return Err(CannotRun::OtherKey { at: at.clone(), found: key.name().to_owned(), wanted });
    }
    key.signer().map_err(wrong)
}

/// A log in a list: `[origin, size, root, key]`.
fn entry_of(origin: &str, rolled: &Rolled) -> Value {
    json!([origin, rolled.size, rolled.root.to_base64(), rolled.key])
}

fn contradiction(found: &Contradiction, rolled: Option<&Rolled>) -> Record {
    let place = |size: u64, root: Hash| json!({"root": root.to_base64(), "size": size});
    let members = json!({
        "origin": found.origin,
        "reason": found.reason.name(),
        "rolled": rolled.map(|rolled| place(rolled.size, rolled.root)),
        "seen": found.seen.map(|(size, root)| place(size, root)),
    });
    Record::Unknown("roll.refused".to_owned(), members)
}

/// The digest of the list that a roll names, in hexadecimal.
fn list_of(entry: &[u8]) -> Option<String> {
    match Entry::parse(entry).ok()?.record {
        Record::Unknown(kind, members) if kind == "roll" => {
            members.get("list")?.as_str()?.strip_prefix("sha256:").map(str::to_owned)
        }
        _ => None,
    }
}

/// Takes over what one list says.
fn replay(root: &Path, hex: &str, rolled: &mut BTreeMap<String, Rolled>) -> Result<(), CannotRun> {
    let at = log::list_path(root, hex);
    let bytes = durable::read_at_most(&at, LIST_BYTES_MAX);
    let bytes = bytes.map_err(|source| CannotRun::Disk { doing: "read", at: at.clone(), source })?;
    let bytes = bytes.filter(|bytes| Hash::of(bytes).to_hex() == hex);
    let list: Option<Vec<(String, u64, String, String)>> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    for (origin, size, root, key) in list.ok_or_else(|| CannotRun::List(at.clone()))? {
        let root = Hash::from_base64(&root).ok_or_else(|| CannotRun::List(at.clone()))?;
        rolled.insert(origin, Rolled { size, root, key });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
