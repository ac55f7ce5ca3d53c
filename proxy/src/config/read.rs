//! Reading a tree of YAML nodes member by member, collecting every mistake.
//!
//! Promise: a reader goes on after a mistake, so that the author sees them all.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use privet_policy::diagnostic::Diagnostic;
use privet_policy::yaml::{Node, Value};

use crate::bearer::Token;
use crate::run::chain;
use crate::tls::TlsError;

/// Codes of configuration mistakes; docs/configuration.md lists them.
pub(super) mod code {
    /// The file is no YAML.
    pub const NOT_YAML: &str = "C001";
    /// A key that means nothing there.
    pub const UNKNOWN_KEY: &str = "C002";
    /// A list where a map should be, and the like.
    pub const SHAPE: &str = "C003";
    /// Something needed is not there.
    pub const MISSING: &str = "C004";
    /// A value outside of what it may be.
    pub const VALUE: &str = "C005";
    /// Two values that cannot both be.
    pub const CONFLICT: &str = "C006";
    /// A file that does not work.
    pub const FILE: &str = "C007";
}

/// Walks the tree and keeps the mistakes.
pub(super) struct Reader<'a> {
    /// What relative paths are relative to.
    pub base: &'a Path,
    /// What the configuration is read for.
    pub part: super::Part,
    /// Every mistake so far.
    pub mistakes: Vec<Diagnostic>,
}

/// One map whose keys have been checked.
#[derive(Clone, Copy)]
pub(super) struct Members<'n> {
    /// The map.
    pub node: &'n Node,
}

impl<'n> Members<'n> {
    /// The value of this key; a key with nothing behind it counts as not written.
    pub fn get(self, key: &str) -> Option<&'n Node> {
        self.node.get(key).filter(|node| node.value != Value::Null)
    }
}

impl Reader<'_> {
    /// Keeps a mistake.
    pub fn mistake(&mut self, mistake: Diagnostic) {
        self.mistakes.push(mistake);
    }

    /// A map with no other keys than these.
    pub fn members<'n>(&mut self, node: &'n Node, known: &[&str]) -> Option<Members<'n>> {
        let Value::Map(members) = &node.value else {
            self.wrong_kind(node, "a map");
            return None;
        };
        for (key, _) in members.iter().filter(|(key, _)| !known.contains(&key.value.as_str())) {
            self.mistakes.push(
                Diagnostic::error(code::UNKNOWN_KEY, &key.at, format!("there is no `{}` here", key.value))
                    .suggest(nearest(&key.value, known))
                    .note(format!("the keys here are {}", known.join(", "))),
            );
        }
        Some(Members { node })
    }

    /// The value of a key that has to be there.
    pub fn need<'n>(&mut self, members: Members<'n>, key: &str) -> Option<&'n Node> {
        let found = members.get(key);
        if found.is_none() {
            self.mistake(Diagnostic::error(code::MISSING, &members.node.at, format!("`{key}` is missing")));
        }
        found
    }

    /// The elements of a list.
    pub fn list<'n>(&mut self, node: &'n Node) -> Option<&'n [Node]> {
        let Value::List(nodes) = &node.value else {
            self.wrong_kind(node, "a list");
            return None;
        };
        Some(nodes)
    }

    /// A scalar as it was written.
    pub fn text(&mut self, node: &Node) -> Option<String> {
        let text = node.scalar().filter(|text| !text.is_empty()).map(str::to_owned);
        if text.is_none() {
            self.wrong_kind(node, "a text");
        }
        text
    }

    /// A text that its type can read.
    pub fn parsed<T: FromStr>(&mut self, node: &Node, want: &str) -> Option<T> {
        let text = self.text(node)?;
        let value = text.parse().ok();
        if value.is_none() {
            self.mistake(Diagnostic::error(code::VALUE, &node.at, format!("`{text}` is not {want}")));
        }
        value
    }

    /// An IP address and a port.
    pub fn address(&mut self, node: &Node) -> Option<SocketAddr> {
        self.parsed(node, "an IP address and a port, such as 127.0.0.1:8080 or [::]:8080")
    }

    /// A whole number within bounds.
    pub fn whole(&mut self, node: &Node, within: RangeInclusive<u64>) -> Option<u64> {
        let number: u64 = self.parsed(node, "a whole number")?;
        if within.contains(&number) {
            return Some(number);
        }
        let (least, most) = within.into_inner();
        self.mistake(Diagnostic::error(
            code::VALUE,
            &node.at,
            format!("{number} is outside of what it may be, {least} to {most}"),
        ));
        None
    }

    /// A whole number from 1 to what 32 bits hold.
    pub fn positive(&mut self, node: &Node) -> Option<NonZeroU32> {
        let number = self.whole(node, 1..=u64::from(u32::MAX))?;
        u32::try_from(number).ok().and_then(NonZeroU32::new)
    }

    /// A path in the file system, relative to the file that names it.
    pub fn file(&mut self, node: &Node) -> Option<PathBuf> {
        self.text(node).map(|written| self.base.join(written))
    }

    /// The file of a token that whoever asks here has to bring.
    pub fn token_file(&mut self, node: &Node) -> Option<PathBuf> {
        let file = self.file(node)?;
        if self.starts()
            && let Err(error) = Token::in_file(&file)
        {
            let message = format!("cannot read a token in `{}`: {error}", file.display());
            let help = "write a token of 16 bytes or more into this file, and let privet read it";
            self.mistake(Diagnostic::error(code::FILE, &node.at, message).help(help));
        }
        Some(file)
    }

    /// Whether the files that are named have to work now.
    pub fn starts(&self) -> bool {
        self.part == super::Part::Starts
    }

    /// Keeps what is wrong with files of TLS, where the one that is meant is named.
    pub fn unusable(&mut self, members: Members<'_>, error: &TlsError) {
        let Value::Map(written) = &members.node.value else { return };
        let named = |node: &&Node| node.scalar().is_some_and(|written| self.base.join(written) == error.file());
        let at = written.iter().map(|(_, node)| node).find(named).unwrap_or(members.node);
        self.mistake(Diagnostic::error(code::FILE, &at.at, chain(error)));
    }

    fn wrong_kind(&mut self, node: &Node, want: &str) {
        self.mistake(Diagnostic::error(code::SHAPE, &node.at, format!("this is {}, want {want}", node.kind())));
    }
}

/// The known word closest to a written one, if any is close.
fn nearest<'k>(written: &str, known: &[&'k str]) -> Option<&'k str> {
    let scored = known.iter().map(|word| (distance(written, word), *word));
    scored.min().filter(|(distance, word)| *distance <= word.len().div_ceil(3)).map(|(_, word)| word)
}

/// Levenshtein's distance: insertions, deletions and replacements.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (before, a) in from.chars().enumerate() {
        let mut diagonal = before;
        let mut left = before + 1;
        let mut next = vec![left];
        for (b, above) in to.chars().zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(a != b)).min(left + 1).min(above + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_levenshteins() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("flaw", "lawn"), 2);
    }

    #[test]
    fn a_word_is_suggested_only_when_close() {
        assert_eq!(nearest("adress", &["address", "name"]), Some("address"));
        assert_eq!(nearest("colour", &["address", "name"]), None);
    }
}
