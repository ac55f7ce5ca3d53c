//! Where published aggregates are kept, who shares in them, and where else they go.

use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use privet_dp::fleet::Ring;
use privet_policy::diagnostic::Diagnostic;
use privet_policy::span::Span;
use privet_policy::yaml::Node;

use super::consent::{Remote, SERVER, is_loopback};
use super::read::{Members, Reader, code};
use super::ring::{POD_NAME, pod_name};
use super::{Part, Upstream};

/// What the sidecar was told about exports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exports {
    /// Where the ledger and the receipts are kept.
    pub directory: PathBuf,
    /// What the directory outlives, and with it a budget whose ledger is in it.
    pub volume: Volume,
    /// Where budgets are charged that pods share; nothing where each pod's are in its directory.
    pub shared: Option<SharedLedger>,
    /// The shards of this fleet, where exports share units among them.
    pub ring: Option<Ring>,
    /// Where receipts go beside their files.
    pub publish: Publish,
    /// Whose bearer token posts tables. Without one they are taken on a loopback address alone.
    pub token_file: Option<PathBuf>,
}

/// A ledger of budgets in PostgreSQL, which every pod charges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedLedger {
    /// The database.
    pub remote: Remote,
    /// This pod's name, which no other has and which it has again after a restart. Empty
    /// where nobody says it to whoever only looks.
    pub pod: String,
    /// For how long the pod may publish what it has paid for without asking again.
    pub lease: Duration,
}

/// What a directory outlives, by the word of whoever mounted it: it cannot be told from inside a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Volume {
    /// It is there again after every restart.
    Persistent,
    /// It goes with the pod.
    Pod,
    /// Nobody said.
    Unsaid,
}

/// Where a receipt goes beside its file, which is always written: it is what a
/// later start knows a lost ledger by, and what `privet export` reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publish {
    /// Whether a Parquet file of the same table stands beside it.
    pub parquet: bool,
    /// The receiver that each receipt is posted to.
    pub http: Option<Receiver>,
}

/// A receiver of receipts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// Its address: `https`, or `http` on this machine.
    pub url: Uri,
    /// The file of its bearer token.
    pub token_file: Option<PathBuf>,
    /// The file of the Ed25519 key that requests are signed with.
    pub signing_key_file: PathBuf,
    /// From connecting to the end of the answer, for one attempt.
    pub timeout: Duration,
    /// Who signs its certificate, and privet's own.
    pub tls: Upstream,
}

const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
const LEASE_DEFAULT: Duration = Duration::from_secs(600);

impl Reader<'_> {
    /// The section `exports`; without one, files in `exports` beside the configuration.
    pub(super) fn exports(&mut self, node: Option<&Node>) -> Option<Exports> {
        let Some(node) = node else {
            let directory = self.base.join("exports");
            let publish = Publish::default();
            let volume = Volume::Unsaid;
            return Some(Exports { directory, volume, shared: None, ring: None, publish, token_file: None });
        };
        let members = self.members(node, &["directory", "volume", "ledger", "ring", "publish", "token_file"])?;
        let directory = self.need(members, "directory").and_then(|node| self.file(node));
        let volume = members.get("volume").map_or(Some(Volume::Unsaid), |node| self.volume(node));
        let shared = members.get("ledger").map_or(Some(None), |node| self.ledger(node));
        let ring = members.get("ring").map(|node| self.ring(node));
        let publish = members.get("publish").map_or(Some(Publish::default()), |node| self.publish(node));
        let token_file = members.get("token_file").map(|node| self.token_file(node));
        Some(Exports {
            directory: directory?,
            volume: volume?,
            shared: shared?,
            ring: ring.map_or(Some(None), |ring| ring.map(Some))?,
            publish: publish?,
            token_file: token_file.map_or(Some(None), |file| file.map(Some))?,
        })
    }

    fn volume(&mut self, node: &Node) -> Option<Volume> {
        match node.scalar() {
            Some("persistent") => Some(Volume::Persistent),
            Some("pod") => Some(Volume::Pod),
            _ => {
                let message = "`volume` is `persistent` or `pod`";
                self.mistake(
                    Diagnostic::error(code::VALUE, &node.at, message)
                        .note("a budget that goes with the pod could be spent again after every restart, so exports are off then")
                        .help("`persistent` says that this directory is there again after every restart"),
                );
                None
            }
        }
    }

    /// Where budgets are charged: nothing where it is the file that is there anyway.
    fn ledger(&mut self, node: &Node) -> Option<Option<SharedLedger>> {
        let known: Vec<&str> = ["store", "pod", "lease_secs"].into_iter().chain(SERVER).collect();
        let members = self.members(node, &known)?;
        let store = self.need(members, "store")?;
        match store.scalar() {
            Some("file") => {
                for (key, node) in known.iter().skip(1).filter_map(|key| Some((key, members.get(key)?))) {
                    let message = format!("`{key}` has no effect with `store: file`");
                    self.mistake(
                        Diagnostic::error(code::CONFLICT, &node.at, message)
                            .note("the file is in `exports.directory`, and no other pod has it"),
                    );
                }
                Some(None)
            }
            Some("postgresql") => self.shared_ledger(members, node).map(Some),
            _ => {
                let message = "`store` is `file` or `postgresql`";
                self.mistake(Diagnostic::error(code::VALUE, &store.at, message));
                None
            }
        }
    }

    fn shared_ledger(&mut self, members: Members<'_>, node: &Node) -> Option<SharedLedger> {
        let remote = self.postgresql(members);
        let pod = match members.get("pod") {
            Some(node) => self.text(node),
            None => self.this_pod(node),
        };
        let mut lease = LEASE_DEFAULT;
        if let Some(secs) = members.get("lease_secs").and_then(|node| self.whole(node, 30..=86_400)) {
            lease = Duration::from_secs(secs);
        }
        Some(SharedLedger { remote: remote?, pod: pod?, lease })
    }

    /// The pod's name by the platform's word.
    fn this_pod(&mut self, node: &Node) -> Option<String> {
        let named = pod_name();
        if self.part == Part::Looks {
            return Some(named.unwrap_or_default());
        }
        if named.is_none() {
            self.mistake(
                Diagnostic::error(code::MISSING, &node.at, "which pod this is, is not known")
                    .note("a shared ledger lets only one process charge under a name, so each pod needs its own")
                    .help(format!("write `pod: NAME`, or set {POD_NAME} from `metadata.name`")),
            );
        }
        named
    }

    fn publish(&mut self, node: &Node) -> Option<Publish> {
        let members = self.members(node, &["file", "parquet", "http"])?;
        self.file_is_always_written(members);
        let parquet = members.get("parquet").map_or(Some(false), |node| self.parsed(node, "`true` or `false`"));
        let http = members.get("http").map(|node| self.receiver(node));
        Some(Publish { parquet: parquet?, http: http.map_or(Some(None), |http| http.map(Some))? })
    }

    fn file_is_always_written(&mut self, members: Members<'_>) {
        let Some(node) = members.get("file") else { return };
        if self.parsed(node, "`true`, which is what it always is") == Some(false) {
            self.mistake(
                Diagnostic::error(code::VALUE, &node.at, "a receipt's file is always written")
                    .note("by these files a later start knows that their budget ledger is lost")
                    .help("leave `file` out; files may be moved away when nobody needs their loss counted"),
            );
        }
    }

    fn receiver(&mut self, node: &Node) -> Option<Receiver> {
        let members = self.members(node, &["url", "token_file", "signing_key_file", "timeout_secs", "tls"])?;
        let url = self.need(members, "url").and_then(|node| self.receiver_url(node));
        let token_file = members.get("token_file").and_then(|node| self.file(node));
        let signing_key_file = self.need(members, "signing_key_file").and_then(|node| self.file(node));
        let mut timeout = TIMEOUT_DEFAULT;
        if let Some(secs) = members.get("timeout_secs").and_then(|node| self.whole(node, 1..=300)) {
            timeout = Duration::from_secs(secs);
        }
        let tls = self.upstream(members.get("tls"));
        Some(Receiver { url: url?, token_file, signing_key_file: signing_key_file?, timeout, tls })
    }

    /// An address of the web without a password: a caret would show it.
    fn receiver_url(&mut self, node: &Node) -> Option<Uri> {
        let written = self.text(node)?;
        if written.contains('@') {
            let start = Span { file: 0, bytes: 0..0 };
            self.mistake(
                Diagnostic::error(
                    code::VALUE,
                    &start,
                    "there is no user and no password in `exports.publish.http.url`",
                )
                .help("write `token_file:`"),
            );
            return None;
        }
        let url = written.parse::<Uri>().ok().filter(|url| url.host().is_some() && !written.contains('#'));
        match url.as_ref().and_then(Uri::scheme_str) {
            Some("https") => url,
            Some("http") if url.as_ref().and_then(Uri::host).is_some_and(is_loopback) => url,
            Some("http") => {
                self.mistake(
                    Diagnostic::error(code::VALUE, &node.at, "receipts are sent over `https`, or stay on this machine")
                        .note("whoever sees the token could post receipts of their own"),
                );
                None
            }
            _ => {
                let message = "this is no receiver's address, want `https://HOST[:PORT]/PATH`";
                self.mistake(Diagnostic::error(code::VALUE, &node.at, message));
                None
            }
        }
    }
}
