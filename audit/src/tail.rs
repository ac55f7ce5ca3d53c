//! `tail`: records as they come.
//!
//! A record is shown when its frame is whole. The writer waits for the disk before it releases what
//! the record counts, and before it writes anything after it; a checkpoint that follows says that
//! everything before is signed. What a failed write took back is said.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use privet_audit_log::follow::{Follower, News};
use privet_audit_log::tree::Hash;
use serde_json::{Value, json};

use crate::answer::Printed;
use crate::brought::read_keys;
use crate::period::show;

/// How long a poll is waited for.
const POLL: Duration = Duration::from_millis(200);
/// So much of a record is shown to people; `--json` has all of it.
const SHOWN_CHARS: usize = 160;

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
        let mut clean = true;
        loop {
            let mut out = io::stdout().lock();
            let mut written = Ok(());
            let polled = follower.poll(&mut |news| {
                clean &= !matches!(news, News::Wrong { .. });
                if written.is_ok()
                    && let Some(line) = self.line(&news)
                {
                    written = writeln!(out, "{line}");
                }
            });
            polled.with_context(|| format!("cannot read the log at {}", self.log.display()))?;
            // Whoever read this has gone.
            if written.and_then(|()| out.flush()).is_err() || Instant::now() >= until {
                return Ok((String::new(), clean));
            }
            drop(out);
            thread::sleep(POLL);
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
        let record: Value = serde_json::from_slice(bytes).unwrap_or_default();
        let kind = record.get("t").and_then(Value::as_str).unwrap_or("?");
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
