//! How new policies come into force: beside which one they are tried out, and who has to sign them.

use std::path::{Path, PathBuf};

use privet_audit_log::signing::{NotSigning, SignerKey};
use privet_policy::diagnostic::Diagnostic;
use privet_policy::yaml::{Node, Value};

use super::Signatures;
use super::read::{Members, Reader, code};

/// More people than this sign nothing together.
const SIGNERS_MAX: usize = 64;

impl Reader<'_> {
    /// The directory that is enforced, and the one in shadow; a path alone is the first.
    pub(super) fn policies(&mut self, node: &Node) -> Option<(PathBuf, Option<PathBuf>)> {
        if !matches!(node.value, Value::Map(_)) {
            return self.file(node).map(|enforced| (enforced, None));
        }
        let members = self.members(node, &["enforce", "shadow"])?;
        let enforced = self.need(members, "enforce").and_then(|node| self.file(node));
        let shadow = members.get("shadow").and_then(|node| Some((node, self.file(node)?)));
        if let (Some(enforced), Some((node, shadow))) = (&enforced, &shadow) {
            self.apart(enforced, node, shadow);
        }
        Some((enforced?, shadow.map(|(_, shadow)| shadow)))
    }

    /// Two directories of which one holds the other would be compiled as one policy.
    fn apart(&mut self, enforced: &Path, node: &Node, shadow: &Path) {
        let message = if shadow == enforced {
            "`shadow` is the directory that is enforced"
        } else if shadow.starts_with(enforced) {
            "`shadow` lies inside the directory that is enforced"
        } else if enforced.starts_with(shadow) {
            "the directory that is enforced lies inside `shadow`"
        } else {
            return;
        };
        self.mistake(
            Diagnostic::error(code::CONFLICT, &node.at, message)
                .note("everything below a directory is one policy, so the two have to stand apart"),
        );
    }

    /// Who has to sign; `None` after a mistake, which stops the whole configuration.
    pub(super) fn signatures(&mut self, node: &Node) -> Option<Signatures> {
        let members = self.members(node, &["signers", "required", "required_to_loosen"])?;
        let signers = self.need(members, "signers").and_then(|node| self.signers(node));
        let written = self.need(members, "required");
        let most = signers.as_ref().map_or(SIGNERS_MAX, Vec::len);
        let required = written.and_then(|node| self.signers_needed(node, most));
        let to_loosen = members.get("required_to_loosen").map(|node| self.signers_needed(node, most));
        let (signers, required) = (signers?, required?);
        let required_to_loosen = to_loosen.unwrap_or(Some(required))?;
        self.loosening_needs_no_fewer(members, required, required_to_loosen);
        Some(Signatures { signers, required, required_to_loosen })
    }

    fn loosening_needs_no_fewer(&mut self, members: Members<'_>, required: usize, required_to_loosen: usize) {
        if required_to_loosen < required {
            let at = &members.get("required_to_loosen").unwrap_or(members.node).at;
            let message = format!("`required_to_loosen` is less than `required`, {required}");
            self.mistake(
                Diagnostic::error(code::CONFLICT, at, message)
                    .note("a change that lets more leave needs no fewer signers than any other"),
            );
        }
    }

    fn signers_needed(&mut self, node: &Node, most: usize) -> Option<usize> {
        let number = self.whole(node, 1..=most as u64)?;
        usize::try_from(number).ok()
    }

    fn signers(&mut self, node: &Node) -> Option<Vec<SignerKey>> {
        let nodes = self.list(node)?;
        if nodes.is_empty() || nodes.len() > SIGNERS_MAX {
            let message = format!("there are 1 to {SIGNERS_MAX} signers, not {}", nodes.len());
            self.mistake(Diagnostic::error(code::VALUE, &node.at, message));
            return None;
        }
        let keys: Vec<(&Node, Option<SignerKey>)> = nodes.iter().map(|node| (node, self.signer(node))).collect();
        let mut known: Vec<(&Node, SignerKey)> = Vec::new();
        for (node, key) in keys {
            let Some(key) = key else { continue };
            self.no_signer_twice(&known, node, &key);
            known.push((node, key));
        }
        (known.len() == nodes.len()).then(|| known.into_iter().map(|(_, key)| key).collect())
    }

    fn no_signer_twice(&mut self, known: &[(&Node, SignerKey)], node: &Node, key: &SignerKey) {
        let name = key.name();
        for (earlier, other) in known {
            let message = if other.is_same_key(key) && other.name() != name {
                format!("`{name}` and `{}` have one key, so they would count as two and be one", other.name())
            } else if other.name() == name {
                format!("there are two signers `{name}`")
            } else {
                continue;
            };
            let twice = Diagnostic::error(code::CONFLICT, &node.at, message);
            return self.mistake(twice.other(&earlier.at, "the other one"));
        }
    }

    fn signer(&mut self, node: &Node) -> Option<SignerKey> {
        let text = self.text(node)?;
        let help = "`privet signer init FILE` makes a key and prints the line to write here";
        text.parse()
            .inspect_err(|error: &NotSigning| {
                self.mistake(Diagnostic::error(code::VALUE, &node.at, error.to_string()).help(help));
            })
            .ok()
    }
}
