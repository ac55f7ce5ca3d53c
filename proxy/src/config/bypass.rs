//! Whether the sidecar looks for ways around itself, and who may send it challenges.

use std::collections::BTreeSet;

use privet_audit_log::challenge::AuditorKey;
use privet_policy::diagnostic::Diagnostic;
use privet_policy::yaml::Node;

use super::read::{Reader, code};
use crate::sentinel::Expected;

/// Auditors whose challenges are known: as many as anybody would name.
const AUDITORS_MAX: usize = 16;

impl Reader<'_> {
    /// The section `bypass`; without one, or with `check: off`, nobody looks.
    pub(super) fn bypass(&mut self, node: Option<&Node>) -> Option<Option<Expected>> {
        let Some(node) = node else { return Some(None) };
        let members = self.members(node, &["check", "allow_listening", "allow_reaching"])?;
        let check = match members.get("check").map(Node::scalar) {
            None | Some(Some("record")) => Some(true),
            Some(Some("off")) => Some(false),
            Some(_) => None,
        };
        if check.is_none() {
            let at = members.get("check").map_or(&node.at, |check| &check.at);
            let help = "`record` has the enforcement log say each minute what else listens and connects in the pod";
            self.mistake(Diagnostic::error(code::VALUE, at, "`check` is `record` or `off`").help(help));
        }
        let mut listening = BTreeSet::new();
        if let Some(ports) = members.get("allow_listening").and_then(|node| self.list(node)) {
            for port in ports {
                let number = self.whole(port, 1..=65_535);
                listening.extend(number.and_then(|number| u16::try_from(number).ok()));
            }
        }
        let mut reaching = BTreeSet::new();
        if let Some(hosts) = members.get("allow_reaching").and_then(|node| self.list(node)) {
            for node in hosts {
                reaching.extend(self.text(node).map(|host| host.to_ascii_lowercase()));
            }
        }
        Some(check?.then_some(Expected { listening, reaching }))
    }

    /// The section `challenges`: auditors' public keys.
    pub(super) fn challenges(&mut self, node: Option<&Node>) -> Option<Vec<AuditorKey>> {
        let Some(node) = node else { return Some(Vec::new()) };
        let members = self.members(node, &["auditors"])?;
        let list = self.need(members, "auditors")?;
        let written = self.list(list)?;
        if written.is_empty() || written.len() > AUDITORS_MAX {
            let message = format!("`auditors` names 1 to {AUDITORS_MAX} keys");
            self.mistake(Diagnostic::error(code::VALUE, &list.at, message));
            return None;
        }
        let mut keys: Vec<AuditorKey> = Vec::new();
        for node in written {
            let text = self.text(node)?;
            match text.parse::<AuditorKey>() {
                Ok(key) if keys.iter().any(|known| known.name() == key.name()) => {
                    self.mistake(Diagnostic::error(code::CONFLICT, &node.at, "this auditor has a key already"));
                }
                Ok(key) => keys.push(key),
                Err(error) => {
                    let help = "`privet-audit challenge new` writes this line to `auditor.pub`";
                    self.mistake(Diagnostic::error(code::VALUE, &node.at, error.to_string()).help(help));
                }
            }
        }
        Some(keys)
    }
}
