//! `tail`: records as they come.
//!
//! A record is shown when its frame is whole. The writer waits for the disk before it releases what
//! the record counts, and before it writes anything after it; a checkpoint that follows says that
//! everything before is signed. What a failed write took back is said.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use privet_audit_log::follow::{Follower, News};
use privet_audit_log::record::Record;
use privet_audit_log::tree::Hash;
use serde_json::{Value, json};

use crate::answer::Printed;
use crate::brought::read_keys;
use crate::period::show;
use crate::said::{Heard, Voice};

/// How long a poll is waited for.
const POLL: Duration = Duration::from_millis(200);
/// So much of a record is shown to people; `--json` has all of it.
const SHOWN_CHARS: usize = 160;
/// So many types of a log are known by name.
const KINDS_MAX: usize = 256;

/// What to follow.
#[derive(clap::Args)]
pub struct Tail {
    /// The log directory.
    log: PathBuf,
    /// Wait for more, this many seconds.
    #[arg(long, value_name = "SECONDS")]
    follow: Option<u64>,
    /// Records of this type only; may stand more than once.
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// Verification keys from outside the log: `NAME+ID+KEY`, or a file with one a line.
    #[arg(long, value_name = "VKEY")]
    key: Option<String>,
    /// A JSON object a line.
    #[arg(long)]
    json: bool,
}

impl Tail {
    /// Shows what is there, and what comes.
    ///
    /// # Errors
    /// There is no log, or it cannot be read.
    pub fn run(&self) -> Result<Printed> {
        if !self.log.is_dir() {
            bail!("there is no log at {}", self.log.display());
        }
        let keys = self.key.as_deref().map(read_keys).transpose()?;
        let mut follower = Follower::new(&self.log, keys);
        let until = Instant::now() + Duration::from_secs(self.follow.unwrap_or(0));
        let (mut clean, mut seen) = (true, BTreeSet::new());
        loop {
            let mut voice = Voice::raise();
            let polled = follower.poll(&mut |news| {
                clean &= !matches!(news, News::Wrong { .. });
                if let News::Record { bytes, .. } = news {
                    let kind = kind_of(&value_of(bytes)).to_owned();
                    // Types are few; a log that makes up more is not held in memory.
                    if seen.len() < KINDS_MAX {
                        seen.insert(kind);
                    }
                }
                if let Some(line) = self.line(&news) {
                    voice.say(&format!("{line}\n"));
                }
            });
            polled.with_context(|| format!("cannot read the log at {}", self.log.display()))?;
            let heard = voice.end()?;
            self.know_every_type(&seen)?;
            if heard == Heard::Enough || Instant::now() >= until {
                return Ok((String::new(), clean));
            }
            thread::sleep(POLL);
        }
    }

    /// A type that neither this program nor the log knows is a word misspelt: nothing to show would mean nothing.
    fn know_every_type(&self, seen: &BTreeSet<String>) -> Result<()> {
        let unknown = |kind: &&String| !seen.contains(*kind) && !Record::KINDS.contains(&kind.as_str());
        match self.types.iter().find(unknown) {
            Some(kind) => bail!("there is no type of record `{kind}`; there are {}", Record::KINDS.join(", ")),
            None => Ok(()),
        }
    }

    fn line(&self, news: &News<'_>) -> Option<String> {
        match news {
            News::Record { incarnation, index, bytes } => self.record(*incarnation, *index, bytes),
            News::Checkpoint { incarnation, size, root } => self.types.is_empty().then(|| {
                if self.json {
                    let root = root.to_base64();
                    return json!({"checkpoint": {"incarnation": incarnation, "size": size, "root": root}}).to_string();
                }
                format!("{incarnation}/{size:<6} -- the {size} records before are signed, root {root:?}")
            }),
            News::Wrong { incarnation, code, message } => Some(if self.json {
                json!({"finding": {"incarnation": incarnation, "code": code, "message": message}}).to_string()
            } else {
                format!("{incarnation}/       !! [{code}] {message}")
            }),
        }
    }

    fn record(&self, incarnation: u64, index: u64, bytes: &[u8]) -> Option<String> {
        let record = value_of(bytes);
        let kind = kind_of(&record);
        if !self.types.is_empty() && !self.types.iter().any(|wanted| wanted == kind) {
            return None;
        }
        if self.json {
            let leaf = Hash::leaf(bytes).to_hex();
            let line = json!({"incarnation": incarnation, "index": index, "leaf_hash": leaf, "record": record});
            return Some(line.to_string());
        }
        let time = show(record.get("ts").and_then(Value::as_i64).unwrap_or_default());
        Some(format!("{incarnation}/{index:<6} {time:<24} {kind:<14} {}", in_brief(&record)))
    }
}

fn value_of(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_default()
}

/// The type of a record; `?` where it says none.
fn kind_of(record: &Value) -> &str {
    record.get("t").and_then(Value::as_str).unwrap_or("?")
}

/// What a record says besides what stands in every record.
fn in_brief(record: &Value) -> String {
    let Some(members) = record.as_object() else { return String::new() };
    let own = members.iter().filter(|(name, _)| !matches!(name.as_str(), "v" | "t" | "seq" | "ts" | "mono"));
    let said: Vec<String> = own.map(|(name, value)| format!("{name}={value}")).collect();
    let mut text = said.join(" ");
    if let Some((end, _)) = text.char_indices().nth(SHOWN_CHARS) {
        text.truncate(end);
        text.push('…');
    }
    text
}
