//! Where the enforcement log is shipped to, and the configuration of a ledger that reads it there.

use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use privet_policy::diagnostic::Diagnostic;
use privet_policy::span::Span;
use privet_policy::yaml::Node;

use super::Upstream;
use super::consent::is_loopback;
use super::read::{Members, Reader, code};
use crate::ship::Recipient;

/// Where and how the log is shipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ship {
    /// Where to.
    pub to: StoreAt,
    /// How often what is new is looked for.
    pub every: Duration,
    /// Whom records are sealed to; nobody where this is empty.
    pub seal_to: Vec<Recipient>,
    /// Whether a ledger rolls up what is shipped: one more channel that receipts name.
    pub ledger: bool,
}

/// A place for shipped logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreAt {
    /// A directory, such as a mounted share.
    Directory(PathBuf),
    /// A bucket.
    S3(Box<Bucket>),
}

/// A bucket of an S3-compatible store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its address: `https`, or `http` on this machine. Buckets are addressed by path.
    pub endpoint: Uri,
    /// The region that requests are signed for.
    pub region: String,
    /// The bucket.
    pub bucket: String,
    /// Before every key, without a `/` at its end; may be empty.
    pub prefix: String,
    /// The file of the access key.
    pub access_key_file: PathBuf,
    /// The file of the secret key.
    pub secret_key_file: PathBuf,
    /// From connecting to the end of the answer, for one request.
    pub timeout: Duration,
    /// Who signs the store's certificate, and privet's own.
    pub tls: Upstream,
}

/// How often what is new is looked for where the file does not say.
const EVERY_DEFAULT: Duration = Duration::from_secs(10);
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// Each has a stanza in every object.
const RECIPIENTS_MAX: usize = 16;

impl Ship {
    /// The channels that receipts of exports name for it.
    #[must_use]
    pub fn channels(&self) -> Vec<&'static str> {
        [Some("shipped_log"), self.ledger.then_some("ledger_log")].into_iter().flatten().collect()
    }
}

impl Reader<'_> {
    pub(super) fn ship(&mut self, node: &Node) -> Option<Ship> {
        let members = self.members(node, &["directory", "s3", "every_secs", "seal_to", "ledger"])?;
        let to = self.store(members);
        let mut every = EVERY_DEFAULT;
        if let Some(secs) = members.get("every_secs").and_then(|node| self.whole(node, 1..=3600)) {
            every = Duration::from_secs(secs);
        }
        let seal_to = members.get("seal_to").map_or(Some(Vec::new()), |node| self.recipients(node));
        let ledger = members.get("ledger").map_or(Some(false), |node| self.parsed(node, "`true` or `false`"));
        Some(Ship { to: to?, every, seal_to: seal_to?, ledger: ledger? })
    }

    /// One of `directory` and `s3`.
    pub(super) fn store(&mut self, members: Members<'_>) -> Option<StoreAt> {
        match (members.get("directory"), members.get("s3")) {
            (Some(node), None) => self.file(node).map(StoreAt::Directory),
            (None, Some(node)) => self.bucket(node).map(Box::new).map(StoreAt::S3),
            (None, None) => {
                let message = "`directory` or `s3` is missing";
                self.mistake(Diagnostic::error(code::MISSING, &members.node.at, message));
                None
            }
            (Some(first), Some(second)) => {
                // Whichever is kept: what is wrong with either is told now, not after the other is taken out.
                self.file(first);
                self.bucket(second);
                let message = "`directory` and `s3` are two stores, and there is one";
                self.mistake(Diagnostic::error(code::CONFLICT, &second.at, message).help("keep one of them"));
                None
            }
        }
    }

    fn recipients(&mut self, node: &Node) -> Option<Vec<Recipient>> {
        let nodes = self.list(node)?;
        if nodes.is_empty() || nodes.len() > RECIPIENTS_MAX {
            let message = format!("`seal_to` names 1 to {RECIPIENTS_MAX} recipients; leave it out to seal to nobody");
            self.mistake(Diagnostic::error(code::VALUE, &node.at, message));
            return None;
        }
        let want = "an age recipient: `age1` and 58 letters and digits, as `age-keygen` prints it";
        let recipients: Vec<Option<Recipient>> = nodes.iter().map(|node| self.parsed(node, want)).collect();
        recipients.into_iter().collect()
    }

    fn bucket(&mut self, node: &Node) -> Option<Bucket> {
        let members = self.members(
            node,
            &["endpoint", "region", "bucket", "prefix", "access_key_file", "secret_key_file", "timeout_secs", "tls"],
        )?;
        let endpoint = self.need(members, "endpoint").and_then(|node| self.endpoint(node));
        let region = self.need(members, "region").and_then(|node| self.word(node));
        let bucket = self.need(members, "bucket").and_then(|node| self.word(node));
        let prefix = members.get("prefix").map_or(Some(String::new()), |node| self.prefix(node));
        let access_key_file = self.need(members, "access_key_file").and_then(|node| self.file(node));
        let secret_key_file = self.need(members, "secret_key_file").and_then(|node| self.file(node));
        let mut timeout = TIMEOUT_DEFAULT;
        if let Some(secs) = members.get("timeout_secs").and_then(|node| self.whole(node, 1..=300)) {
            timeout = Duration::from_secs(secs);
        }
        let tls = self.upstream(members.get("tls"));
        Some(Bucket {
            endpoint: endpoint?,
            region: region?,
            bucket: bucket?,
            prefix: prefix?,
            access_key_file: access_key_file?,
            secret_key_file: secret_key_file?,
            timeout,
            tls,
        })
    }

    /// Letters, digits, `-`, `.` and `_`: what regions and buckets are named by.
    fn word(&mut self, node: &Node) -> Option<String> {
        let text = self.text(node)?;
        if text.len() <= 63 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) {
            return Some(text);
        }
        let message = "want a name of at most 63 letters, digits, `-`, `.` and `_`";
        self.mistake(Diagnostic::error(code::VALUE, &node.at, message));
        None
    }

    fn prefix(&mut self, node: &Node) -> Option<String> {
        let text = self.text(node)?;
        let plain = |part: &str| !matches!(part, "" | "." | "..") && part.bytes().all(|byte| byte.is_ascii_graphic());
        if text.len() <= 200 && text.split('/').all(plain) {
            return Some(text);
        }
        let message = "`prefix` is plain names with `/` between, none at its ends";
        self.mistake(Diagnostic::error(code::VALUE, &node.at, message));
        None
    }

    /// An address of the web without a password (a caret would show it), over TLS unless it stays on this machine.
    pub(super) fn endpoint(&mut self, node: &Node) -> Option<Uri> {
        let written = self.text(node)?;
        if written.contains('@') {
            let start = Span { file: 0, bytes: 0..0 };
            let message = "there is no user and no password in an address";
            self.mistake(Diagnostic::error(code::VALUE, &start, message).help("write the files of the keys"));
            return None;
        }
        let url = written.parse::<Uri>().ok().filter(|url| url.host().is_some() && !written.contains(['#', '?']));
        match url.as_ref().and_then(Uri::scheme_str) {
            Some("https") => url,
            Some("http") if url.as_ref().and_then(Uri::host).is_some_and(is_loopback) => url,
            _ => {
                let message = "want `https://HOST[:PORT]`, or `http` on this machine";
                self.mistake(Diagnostic::error(code::VALUE, &node.at, message));
                None
            }
        }
    }
}
