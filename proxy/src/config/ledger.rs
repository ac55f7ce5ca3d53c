//! The configuration of a ledger: one YAML file, `kind: Ledger`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Uri;
use privet_audit_log::cosignature::WitnessKey;
use privet_policy::diagnostic::{Diagnostic, SourceFile};
use privet_policy::yaml::Node;

use super::read::{Reader, code};
use super::{ConfigError, Part, StoreAt, Upstream, compile};

/// The most witnesses that are asked.
const WITNESSES_MAX: usize = 32;
/// Where the ledger's health and metrics stand when the file does not say.
const LISTEN_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9903);
const EVERY_DEFAULT: Duration = Duration::from_secs(10);

/// What a ledger was told, checked and complete.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// Where pods ship their logs to.
    pub store: StoreAt,
    /// Where the ledger's own log is kept.
    pub directory: PathBuf,
    /// Where its key and its newest checkpoint are put for auditors, outside `directory`.
    pub anchor_dir: PathBuf,
    /// The ledger's name; its log's origin is this and `/1`.
    pub origin: String,
    /// Its kept signing key.
    pub key_file: PathBuf,
    /// Who is asked to cosign.
    pub witnesses: Vec<Witness>,
    /// How many of them have to, before a checkpoint is published.
    pub quorum: usize,
    /// Who signs the witnesses' certificates, and the ledger's own.
    pub tls: Upstream,
    /// Health and metrics.
    pub listen: SocketAddr,
    /// How often shipped logs are looked at.
    pub every: Duration,
}

/// A witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// Its submission prefix.
    pub url: Uri,
    /// Its key.
    pub key: WitnessKey,
}

impl Ledger {
    /// Reads and checks a file. Relative paths in it are relative to its directory.
    ///
    /// # Errors
    /// [`ConfigError`], with every mistake at once.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let name = file.display().to_string();
        let text =
            std::fs::read_to_string(file).map_err(|source| ConfigError::Unreadable { file: name.clone(), source })?;
        Self::parse(&name, &text, file.parent().unwrap_or(Path::new("")))
    }

    /// Checks a text. Relative paths in it are relative to `base`.
    ///
    /// # Errors
    /// [`ConfigError::Wrong`], with every mistake at once.
    pub fn parse(name: &str, text: &str, base: &Path) -> Result<Self, ConfigError> {
        compile::read_whole(text, base, Part::Runs, |reader, node| reader.ledger_file(node)).map_err(|mistakes| {
            let files = [SourceFile { name: name.to_owned(), text: text.to_owned() }];
            let rendered: Vec<_> = mistakes.iter().map(|mistake| mistake.render(&files, false)).collect();
            ConfigError::Wrong { rendered: rendered.join("\n\n"), mistakes }
        })
    }
}

impl Reader<'_> {
    fn ledger_file(&mut self, node: &Node) -> Option<Ledger> {
        let members = self.members(
            node,
            &["apiVersion", "kind", "store", "log", "key_file", "witnesses", "quorum", "tls", "listen", "every_secs"],
        )?;
        self.constant(members, "apiVersion", compile::API_VERSION);
        self.constant(members, "kind", "Ledger");
        let store = self.need(members, "store").and_then(|node| {
            let members = self.members(node, &["directory", "s3"])?;
            self.store(members)
        });
        let log = self.need(members, "log").and_then(|node| self.ledger_log(node));
        let key_file = self.need(members, "key_file").and_then(|node| self.file(node));
        let witnesses = members.get("witnesses").map_or(Some(Vec::new()), |node| self.witnesses(node));
        let asked = witnesses.as_ref().map_or(WITNESSES_MAX, Vec::len);
        let quorum = members.get("quorum").map_or(Some(asked as u64), |node| self.whole(node, 0..=asked as u64));
        let tls = self.upstream(members.get("tls"));
        let listen = members.get("listen").map_or(Some(LISTEN_DEFAULT), |node| self.address(node));
        let every = members
            .get("every_secs")
            .map_or(Some(EVERY_DEFAULT), |node| self.whole(node, 1..=60).map(Duration::from_secs));
        let (directory, anchor_dir, origin) = log?;
        Some(Ledger {
            store: store?,
            directory,
            anchor_dir,
            origin,
            key_file: key_file?,
            witnesses: witnesses?,
            quorum: usize::try_from(quorum?).unwrap_or(WITNESSES_MAX),
            tls,
            listen: listen?,
            every: every?,
        })
    }

    fn ledger_log(&mut self, node: &Node) -> Option<(PathBuf, PathBuf, String)> {
        let members = self.members(node, &["directory", "anchor_dir", "origin"])?;
        let directory = self.need(members, "directory").and_then(|node| self.file(node));
        let anchor = self.need(members, "anchor_dir");
        let anchor_dir = anchor.and_then(|node| self.file(node));
        let origin = self.need(members, "origin").and_then(|node| self.origin(node));
        let (directory, anchor_dir) = (directory?, anchor_dir?);
        if anchor_dir.starts_with(&directory) {
            let message = "`anchor_dir` lies inside the log's `directory`";
            let at = &anchor.unwrap_or(node).at;
            self.mistake(
                Diagnostic::error(code::CONFLICT, at, message)
                    .note("an anchor that falls with the log proves nothing about it"),
            );
        }
        Some((directory, anchor_dir, origin?))
    }

    fn witnesses(&mut self, node: &Node) -> Option<Vec<Witness>> {
        let nodes = self.list(node)?;
        if nodes.len() > WITNESSES_MAX {
            let message = format!("at most {WITNESSES_MAX} witnesses are asked");
            self.mistake(Diagnostic::error(code::VALUE, &node.at, message));
            return None;
        }
        let mut witnesses: Vec<Witness> = Vec::new();
        for node in nodes {
            let Some(witness) = self.witness(node) else { continue };
            if witnesses.iter().any(|known| known.key.is_same_key(&witness.key)) {
                let message = "this witness's key is there already: one witness is one word";
                self.mistake(Diagnostic::error(code::CONFLICT, &node.at, message));
            }
            witnesses.push(witness);
        }
        (witnesses.len() == nodes.len()).then_some(witnesses)
    }

    fn witness(&mut self, node: &Node) -> Option<Witness> {
        let members = self.members(node, &["url", "vkey"])?;
        let url = self.need(members, "url").and_then(|node| self.endpoint(node));
        let key = self.need(members, "vkey").and_then(|node| {
            let key = WitnessKey::parse(&self.text(node)?).ok();
            if key.is_none() {
                let message =
                    "want a witness's key, `NAME+ID+KEY` of the cosignature type, as `privet witness init` prints it";
                self.mistake(Diagnostic::error(code::VALUE, &node.at, message));
            }
            key
        });
        Some(Witness { url: url?, key: key? })
    }
}
