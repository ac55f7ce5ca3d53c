//! From the tree of a configuration file to a [`Config`], or to all its mistakes.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use privet_audit_log::tree::Hash;
use privet_policy::diagnostic::Diagnostic;
use privet_policy::format::Format;
use privet_policy::span::Span;
use privet_policy::yaml::{self, Node};

use super::read::{Members, Reader, code};
use super::ring::{POD_NAME, pod_name};
use super::{
    ADMIN_DEFAULT, Config, Drain, Durability, Identity, Limits, Listener, Log, METRICS_DEFAULT, Part, Rate, Tls,
    Upstream,
};
use crate::request::ListenerFacts;
use crate::tls;

pub(super) const API_VERSION: &str = "privet.dev/v1alpha1";
const LEASE_EVENTS_DEFAULT: NonZeroU32 = NonZeroU32::new(10_000).expect("it is not zero");
const DAY_SECS: u64 = 86_400;
/// Stands for the pod's name in the log's origin.
const POD: &str = "{pod}";

/// Checks one text.
pub(super) fn compile(text: &str, base: &Path, part: Part) -> Result<Config, Vec<Diagnostic>> {
    read_whole(text, base, part, |reader, node| reader.config(node, Hash::of(text.as_bytes())))
}

/// Reads one document into what it means, or into all its mistakes.
pub(super) fn read_whole<T>(
    text: &str,
    base: &Path,
    part: Part,
    read: impl FnOnce(&mut Reader<'_>, &Node) -> Option<T>,
) -> Result<T, Vec<Diagnostic>> {
    let mut reader = Reader { base, part, mistakes: Vec::new() };
    let config = document(text, &mut reader).and_then(|node| read(&mut reader, &node));
    match config {
        Some(config) if reader.mistakes.is_empty() => Ok(config),
        _ => {
            reader.mistakes.sort_by_key(|mistake| mistake.at.bytes.start);
            Err(reader.mistakes)
        }
    }
}

fn document(text: &str, reader: &mut Reader<'_>) -> Option<Node> {
    let start = Span { file: 0, bytes: 0..0 };
    let mut documents = match yaml::documents(text, 0) {
        Ok(documents) => documents,
        Err(error) => {
            reader.mistake(Diagnostic::error(code::NOT_YAML, &error.at, error.message));
            return None;
        }
    };
    if let Some(second) = documents.get(1) {
        reader.mistake(Diagnostic::error(code::CONFLICT, &second.at, "a configuration file holds one document"));
    }
    if documents.is_empty() {
        reader.mistake(Diagnostic::error(code::MISSING, &start, "the file is empty, want `kind: Config`"));
        return None;
    }
    Some(documents.swap_remove(0))
}

/// The address of something, and what it is for.
struct Taken<'n> {
    node: &'n Node,
    address: SocketAddr,
}

impl Reader<'_> {
    fn config(&mut self, node: &Node, digest: Hash) -> Option<Config> {
        let members = self.members(
            node,
            &[
                "apiVersion",
                "kind",
                "listeners",
                "admin",
                "console",
                "metrics",
                "policies",
                "signatures",
                "keyring",
                "consent",
                "log",
                "exports",
                "bypass",
                "challenges",
                "telemetry",
                "upstream",
                "limits",
                "drain",
            ],
        )?;
        self.constant(members, "apiVersion", API_VERSION);
        self.constant(members, "kind", "Config");
        let mut taken = Vec::new();
        let listeners = self.listeners(members, &mut taken);
        let admin = self.section_address(members, "admin", &mut taken);
        let metrics = self.section_address(members, "metrics", &mut taken);
        let console = self.console(members.get("console"));
        self.no_address_twice(&taken);
        let policies = self.need(members, "policies").and_then(|node| self.policies(node));
        let signatures = members.get("signatures").map(|node| self.signatures(node));
        let keyring = members.get("keyring").and_then(|node| self.file(node));
        let consent = self.consent(members.get("consent"), members.get("keyring").is_some());
        let log = self.log(members.get("log"));
        let exports = self.exports(members.get("exports"));
        let bypass = self.bypass(members.get("bypass"));
        let auditors = self.challenges(members.get("challenges"));
        let telemetry = self.telemetry(members.get("telemetry"));
        let upstream = self.upstream(members.get("upstream"));
        let limits = self.limits(members.get("limits"));
        let drain = self.drain(members.get("drain"));
        let (policies, shadow) = policies?;
        Some(Config {
            digest,
            listeners: listeners?,
            admin: admin.unwrap_or(ADMIN_DEFAULT),
            console: console?,
            metrics: metrics.unwrap_or(METRICS_DEFAULT),
            policies,
            shadow,
            signatures: signatures.flatten(),
            keyring,
            consent: consent?,
            log: log?,
            exports: exports?,
            bypass: bypass?,
            auditors: auditors?,
            telemetry: telemetry?,
            upstream,
            limits: limits?,
            drain,
        })
    }

    pub(super) fn constant(&mut self, members: Members<'_>, key: &str, want: &str) {
        if let Some(node) = self.need(members, key)
            && node.scalar() != Some(want)
        {
            self.mistake(Diagnostic::error(code::VALUE, &node.at, format!("`{key}` of a configuration is `{want}`")));
        }
    }

    fn section_address<'n>(
        &mut self,
        members: Members<'n>,
        key: &str,
        taken: &mut Vec<Taken<'n>>,
    ) -> Option<SocketAddr> {
        let section = self.members(members.get(key)?, &["address"])?;
        self.taken_address(section, taken)
    }

    fn taken_address<'n>(&mut self, section: Members<'n>, taken: &mut Vec<Taken<'n>>) -> Option<SocketAddr> {
        let node = self.need(section, "address")?;
        let address = self.address(node)?;
        taken.push(Taken { node, address });
        Some(address)
    }

    /// Port 0 asks the system for a free one, so it may stand more than once.
    fn no_address_twice(&mut self, taken: &[Taken<'_>]) {
        for (at, later) in taken.iter().enumerate() {
            let earlier = taken.iter().take(at).find(|earlier| earlier.address == later.address);
            if let Some(earlier) = earlier.filter(|_| later.address.port() != 0) {
                self.mistake(
                    Diagnostic::error(code::CONFLICT, &later.node.at, format!("{} is taken already", later.address))
                        .other(&earlier.node.at, "here"),
                );
            }
        }
    }

    fn listeners<'n>(&mut self, members: Members<'n>, taken: &mut Vec<Taken<'n>>) -> Option<Vec<Listener>> {
        let node = self.need(members, "listeners")?;
        let nodes = self.list(node)?;
        if nodes.is_empty() {
            self.mistake(Diagnostic::error(code::MISSING, &node.at, "at least one listener is needed"));
        }
        let mut names: Vec<(String, &Node)> = Vec::new();
        let listeners: Vec<_> = nodes.iter().filter_map(|node| self.listener(node, &mut names, taken)).collect();
        Some(listeners)
    }

    fn listener<'n>(
        &mut self,
        node: &'n Node,
        names: &mut Vec<(String, &'n Node)>,
        taken: &mut Vec<Taken<'n>>,
    ) -> Option<Listener> {
        let members = self.members(node, &["name", "address", "formats", "jurisdiction", "tls"])?;
        let name = self.need(members, "name").and_then(|node| self.listener_name(node, names));
        let address = self.taken_address(members, taken);
        let formats = self.need(members, "formats").map(|node| self.formats(node));
        let jurisdiction = self.jurisdiction(members.get("jurisdiction"));
        let tls = members.get("tls").and_then(|node| self.tls(node));
        Some(Listener {
            address: address?,
            facts: Arc::new(ListenerFacts { name: name?, formats: formats?, ..jurisdiction }),
            tls,
        })
    }

    fn listener_name<'n>(&mut self, node: &'n Node, names: &mut Vec<(String, &'n Node)>) -> Option<String> {
        let name = self.label(node)?;
        if let Some((_, earlier)) = names.iter().find(|(taken, _)| *taken == name) {
            self.mistake(
                Diagnostic::error(code::CONFLICT, &node.at, format!("there are two listeners `{name}`"))
                    .other(&earlier.at, "the other one"),
            );
        }
        names.push((name.clone(), node));
        Some(name)
    }

    /// A word that is safe as a metric label and in a log line.
    fn label(&mut self, node: &Node) -> Option<String> {
        let text = self.text(node)?;
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
        if text.len() <= 64 && text.bytes().all(fits) {
            return Some(text);
        }
        self.mistake(
            Diagnostic::error(code::VALUE, &node.at, format!("`{text}` cannot be a name"))
                .help("write at most 64 of a-z, 0-9, `-` and `_`"),
        );
        None
    }

    fn formats(&mut self, node: &Node) -> Vec<Format> {
        let nodes = self.list(node).unwrap_or_default();
        if nodes.is_empty() {
            self.mistake(
                Diagnostic::error(code::MISSING, &node.at, "a listener takes at least one format")
                    .help(format!("the formats are {}", Format::ALL.map(Format::name).join(", "))),
            );
        }
        let want = format!("a format, want one of {}", Format::ALL.map(Format::name).join(", "));
        nodes.iter().filter_map(|node| self.parsed(node, &want)).collect()
    }

    /// Facts with everything but the jurisdiction left open.
    fn jurisdiction(&mut self, node: Option<&Node>) -> ListenerFacts {
        let mut facts = ListenerFacts {
            name: String::new(),
            formats: Vec::new(),
            jurisdiction: None,
            jurisdiction_header: None,
            trusted_peers: Vec::new(),
        };
        let Some(members) = node.and_then(|node| self.members(node, &["is", "header", "trusted_peers"])) else {
            return facts;
        };
        facts.jurisdiction = members.get("is").and_then(|node| self.label(node));
        facts.jurisdiction_header = members.get("header").and_then(|node| self.parsed(node, "a header name"));
        if let Some(peers) = members.get("trusted_peers") {
            facts.trusted_peers =
                self.list(peers).unwrap_or_default().iter().filter_map(|node| self.network(node)).collect();
        }
        self.header_needs_peers(members);
        facts
    }

    fn header_needs_peers(&mut self, members: Members<'_>) {
        match (members.get("header"), members.get("trusted_peers")) {
            (Some(header), None) => self.mistake(
                Diagnostic::error(code::MISSING, &header.at, "a jurisdiction header needs `trusted_peers`")
                    .note("anyone else could name the jurisdiction with the mildest rules"),
            ),
            (None, Some(peers)) => self.mistake(Diagnostic::error(
                code::MISSING,
                &peers.at,
                "`trusted_peers` has no effect without `header`",
            )),
            _ => {}
        }
    }

    fn network(&mut self, node: &Node) -> Option<IpNet> {
        let text = self.text(node)?;
        let alone = text.parse::<std::net::IpAddr>().ok().map(IpNet::from);
        match alone {
            Some(network) => Some(network),
            None => self.parsed(node, "an IP address or a network, such as 10.0.0.0/8"),
        }
    }

    fn tls(&mut self, node: &Node) -> Option<Tls> {
        let members = self.members(node, &["certificate", "key", "client_ca"])?;
        let identity = self.identity(members);
        let client_ca = members.get("client_ca").and_then(|node| self.file(node));
        let tls = identity.map(|Identity { certificate, key }| Tls { certificate, key, client_ca })?;
        if self.starts()
            && let Err(error) = tls::server(&tls)
        {
            self.unusable(members, &error);
        }
        Some(tls)
    }

    fn identity(&mut self, members: Members<'_>) -> Option<Identity> {
        let certificate = self.need(members, "certificate").and_then(|node| self.file(node));
        let key = self.need(members, "key").and_then(|node| self.file(node));
        Some(Identity { certificate: certificate?, key: key? })
    }

    fn log(&mut self, node: Option<&Node>) -> Option<Log> {
        let mut log = Log {
            directory: self.base.join("log"),
            anchor_dir: self.base.join("anchor"),
            origin: "privet.local/sidecar".to_owned(),
            durability: Durability::Sync,
            retention_days: None,
            ship: None,
        };
        let Some(node) = node else { return Some(log) };
        let known = ["directory", "anchor_dir", "origin", "durability", "lease_events", "retention_days", "ship"];
        let members = self.members(node, &known)?;
        if let Some(directory) = members.get("directory").and_then(|node| self.file(node)) {
            log.directory = directory;
        }
        if let Some(anchor_dir) = members.get("anchor_dir").and_then(|node| self.file(node)) {
            log.anchor_dir = anchor_dir;
        }
        if let Some(origin) = members.get("origin").and_then(|node| self.origin(node)) {
            log.origin = origin;
        }
        log.durability = self.durability(members);
        log.retention_days = members.get("retention_days").and_then(|node| self.positive(node));
        log.ship = members.get("ship").and_then(|node| self.ship(node));
        if log.anchor_dir.starts_with(&log.directory) {
            let at = &members.get("anchor_dir").unwrap_or(node).at;
            self.mistake(
                Diagnostic::error(code::CONFLICT, at, "`anchor_dir` lies inside the log's `directory`")
                    .note("an anchor that falls with the log proves nothing about it"),
            );
        }
        Some(log)
    }

    /// The pod's name, for a log that is named after it.
    fn named_pod(&mut self, node: &Node) -> Option<String> {
        let named = pod_name();
        if named.is_none() && self.part == Part::Looks {
            return Some(String::new());
        }
        if named.is_none() {
            self.mistake(
                Diagnostic::error(
                    code::MISSING,
                    &node.at,
                    format!("`{POD}` is not known: nobody says which pod this is"),
                )
                .help(format!("set the environment's {POD_NAME} from `metadata.name`, or write the name")),
            );
        }
        named
    }

    /// A checkpoint's first line: no white space, no `+`, which signatures use. `{pod}` is this pod's name.
    pub(super) fn origin(&mut self, node: &Node) -> Option<String> {
        let written = self.text(node)?;
        let text = if written.contains(POD) { written.replace(POD, &self.named_pod(node)?) } else { written };
        if text.len() <= 255 && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'+') {
            return Some(text);
        }
        self.mistake(
            Diagnostic::error(code::VALUE, &node.at, format!("`{text}` cannot name a log"))
                .help("write something like `privet.example.org/shop`, without a scheme, spaces or `+`"),
        );
        None
    }

    fn durability(&mut self, members: Members<'_>) -> Durability {
        let events = members.get("lease_events").and_then(|node| self.positive(node));
        let lease = match members.get("durability").map(|node| (node, node.scalar())) {
            None | Some((_, Some("sync"))) => false,
            Some((_, Some("lease"))) => true,
            Some((node, _)) => {
                self.mistake(Diagnostic::error(code::VALUE, &node.at, "`durability` is `sync` or `lease`"));
                return Durability::Sync;
            }
        };
        match (lease, members.get("lease_events")) {
            (true, _) => Durability::Lease(events.unwrap_or(LEASE_EVENTS_DEFAULT)),
            (false, None) => Durability::Sync,
            (false, Some(node)) => {
                let message = "`lease_events` has no effect without `durability: lease`";
                self.mistake(Diagnostic::error(code::CONFLICT, &node.at, message));
                Durability::Sync
            }
        }
    }

    pub(super) fn upstream(&mut self, node: Option<&Node>) -> Upstream {
        let members = node.and_then(|node| self.members(node, &["ca", "certificate", "key"]));
        let Some(members) = members else { return Upstream::default() };
        let ca = members.get("ca").and_then(|node| self.file(node));
        let named = members.get("certificate").is_some() || members.get("key").is_some();
        let identity = if named { self.identity(members) } else { None };
        let upstream = Upstream { ca, identity };
        if self.starts()
            && let Err(error) = tls::client(&upstream)
        {
            self.unusable(members, &error);
        }
        upstream
    }

    fn limits(&mut self, node: Option<&Node>) -> Option<Limits> {
        let mut limits = Limits::default();
        let Some(node) = node else { return Some(limits) };
        let members = self.members(
            node,
            &[
                "body_bytes_max",
                "decoded_bytes_max",
                "ratio_max",
                "in_flight_bytes_max",
                "connections_max",
                "header_timeout_secs",
                "body_timeout_secs",
                "idle_timeout_secs",
                "upstream_timeout_secs",
                "rate_per_source",
            ],
        )?;
        self.bytes(members, "body_bytes_max", &mut limits.body_bytes_max);
        self.bytes(members, "decoded_bytes_max", &mut limits.decoded_bytes_max);
        self.bytes(members, "in_flight_bytes_max", &mut limits.in_flight_bytes_max);
        if let Some(ratio) = members.get("ratio_max").and_then(|node| self.whole(node, 1..=10_000)) {
            limits.ratio_max = u32::try_from(ratio).unwrap_or(u32::MAX);
        }
        if let Some(most) = members.get("connections_max").and_then(|node| self.whole(node, 1..=1_000_000)) {
            limits.connections_max = usize::try_from(most).unwrap_or(usize::MAX);
        }
        self.seconds(members, "header_timeout_secs", &mut limits.header_timeout);
        self.seconds(members, "body_timeout_secs", &mut limits.body_timeout);
        self.seconds(members, "idle_timeout_secs", &mut limits.idle_timeout);
        self.seconds(members, "upstream_timeout_secs", &mut limits.upstream_timeout);
        limits.rate_per_source = members.get("rate_per_source").and_then(|node| self.rate(node));
        self.body_fits(members, &limits);
        Some(limits)
    }

    fn body_fits(&mut self, members: Members<'_>, limits: &Limits) {
        let at = |key| members.get(key).unwrap_or(members.node).at.clone();
        if limits.body_bytes_max > limits.in_flight_bytes_max {
            let message = "`in_flight_bytes_max` is less than `body_bytes_max`";
            self.mistake(
                Diagnostic::error(code::CONFLICT, &at("in_flight_bytes_max"), message)
                    .note("a body of the largest size would never be taken"),
            );
        }
        if limits.decoded_bytes_max < limits.body_bytes_max {
            let message = "`decoded_bytes_max` is less than `body_bytes_max`";
            self.mistake(
                Diagnostic::error(code::CONFLICT, &at("decoded_bytes_max"), message)
                    .note("a body that is not compressed has both sizes"),
            );
        }
    }

    fn bytes(&mut self, members: Members<'_>, key: &str, into: &mut usize) {
        if let Some(bytes) = members.get(key).and_then(|node| self.whole(node, 1024..=16 << 30)) {
            *into = usize::try_from(bytes).unwrap_or(usize::MAX);
        }
    }

    fn seconds(&mut self, members: Members<'_>, key: &str, into: &mut Duration) {
        if let Some(secs) = members.get(key).and_then(|node| self.whole(node, 1..=DAY_SECS)) {
            *into = Duration::from_secs(secs);
        }
    }

    fn rate(&mut self, node: &Node) -> Option<Rate> {
        let members = self.members(node, &["per_second", "burst"])?;
        let per_second = self.need(members, "per_second").and_then(|node| self.positive(node));
        let burst = members.get("burst").map(|node| self.positive(node));
        let per_second = per_second?;
        Some(Rate { per_second, burst: burst.unwrap_or(Some(per_second))? })
    }

    fn drain(&mut self, node: Option<&Node>) -> Drain {
        let mut drain = Drain::default();
        if let Some(members) = node.and_then(|node| self.members(node, &["delay_secs", "grace_secs"])) {
            if let Some(secs) = members.get("delay_secs").and_then(|node| self.whole(node, 0..=DAY_SECS)) {
                drain.delay = Duration::from_secs(secs);
            }
            self.seconds(members, "grace_secs", &mut drain.grace);
        }
        drain
    }
}
