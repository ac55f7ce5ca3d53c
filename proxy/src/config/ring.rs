//! The ring of shards: which pods share the counting of units, and which of them this is.

use privet_dp::fleet::{NotARing, Ring, SHARDS_MAX};
use privet_policy::diagnostic::Diagnostic;
use privet_policy::yaml::Node;

use super::Part;
use super::read::{Members, Reader, code};

/// Where the platform writes a pod's name (the downward API).
pub(super) const POD_NAME: &str = "POD_NAME";

/// The pod's name by the platform's word, where it says one.
pub(super) fn pod_name() -> Option<String> {
    std::env::var(POD_NAME).ok().filter(|name| !name.is_empty())
}

impl Reader<'_> {
    /// The ring, and this pod's place in it; `None` after a mistake.
    pub(super) fn ring(&mut self, node: &Node) -> Option<Ring> {
        let members = self.members(node, &["epoch", "shards", "count", "own"])?;
        let epoch = self.need(members, "epoch").and_then(|node| self.whole(node, 0..=u64::MAX));
        let shards = self.shards(members);
        let own = match members.get("own") {
            Some(written) => self.text(written),
            // Whoever looks is none of them, and asks for no place.
            None if self.part == Part::Looks => shards.as_ref().and_then(|shards| shards.first().cloned()),
            None => self.own_by_pod_name(members),
        };
        let at = members.get("own").or(members.get("shards")).unwrap_or(node);
        let ring = Ring::new(epoch?, shards?, &own?);
        ring.map_err(|error| self.no_ring(at, &error)).ok()
    }

    /// By name, or so many of them, named by their ordinals.
    fn shards(&mut self, members: Members<'_>) -> Option<Vec<String>> {
        match (members.get("shards"), members.get("count")) {
            (Some(shards), None) => {
                let listed = self.list(shards)?;
                listed.iter().map(|shard| self.text(shard)).collect()
            }
            (None, Some(count)) => {
                let count = self.whole(count, 1..=SHARDS_MAX as u64)?;
                Some((0..count).map(|ordinal| ordinal.to_string()).collect())
            }
            (Some(_), Some(count)) => {
                let both = Diagnostic::error(code::CONFLICT, &count.at, "a ring has `shards` or a `count`, not both");
                self.mistake(both.help("list `shards` by name, or write how many a StatefulSet has as `count`"));
                None
            }
            (None, None) => {
                let neither = Diagnostic::error(code::MISSING, &members.node.at, "`shards` or `count` is missing");
                self.mistake(neither.help("list `shards` by name, or write how many a StatefulSet has as `count`"));
                None
            }
        }
    }

    /// A pod is the shard of its name; with a `count`, of the ordinal at its name's end.
    fn own_by_pod_name(&mut self, members: Members<'_>) -> Option<String> {
        let name = std::env::var(POD_NAME).ok();
        let own = match name {
            Some(name) if members.get("count").is_none() => Some(name),
            Some(name) => name.rsplit_once('-').map(|(_, ordinal)| ordinal.to_owned()),
            None => None,
        };
        if own.is_none() {
            let missing = Diagnostic::error(code::MISSING, &members.node.at, "which shard this pod is, is not known");
            let help = format!("set the environment's {POD_NAME} to the pod's name, or write `own`");
            self.mistake(missing.help(help));
        }
        own
    }

    fn no_ring(&mut self, at: &Node, error: &NotARing) {
        let problem = Diagnostic::error(code::VALUE, &at.at, error.to_string());
        self.mistake(match error {
            NotARing::NotInIt(_) => problem.help("a pod outside of the ring owns no unit and would count nothing"),
            NotARing::Twice(_) => problem.help("list each shard once: two of one name would own the same units"),
            NotARing::Size | NotARing::Name => problem,
        });
    }
}
