//! Who may look at the auditors' page.

use std::path::PathBuf;

use privet_policy::yaml::Node;

use super::read::Reader;

/// What the sidecar was told about its console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Console {
    /// Whether there is one.
    pub enabled: bool,
    /// Whose bearer token reads it. Without one it is read on a loopback address alone.
    pub token_file: Option<PathBuf>,
}

impl Default for Console {
    fn default() -> Self {
        Self { enabled: true, token_file: None }
    }
}

impl Reader<'_> {
    /// The section `console`.
    pub(super) fn console(&mut self, node: Option<&Node>) -> Option<Console> {
        let Some(node) = node else { return Some(Console::default()) };
        let members = self.members(node, &["enabled", "token_file"])?;
        let enabled = members.get("enabled").map_or(Some(true), |node| self.parsed(node, "`true` or `false`"));
        let token_file = members.get("token_file").map(|node| self.token_file(node));
        Some(Console { enabled: enabled?, token_file: token_file.map_or(Some(None), |file| file.map(Some))? })
    }
}
