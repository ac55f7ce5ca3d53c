//! The vocabulary of policies: data categories, data uses and data subjects, as trees.
//!
//! Fideslang's default taxonomy and our additions ship inside; a policy
//! directory may extend them with `kind: Taxonomy`. A key covers its
//! descendants: `user.contact` covers `user.contact.email`.

use std::collections::BTreeMap;

/// Fideslang's defaults, as a policy document.
pub const FIDESLANG: &str = include_str!("fideslang.yaml");
/// Our additions, as a policy document.
pub const ADDITIONS: &str = include_str!("privet.yaml");

/// One of the trees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    keys: BTreeMap<String, String>,
}

impl Tree {
    /// Adds a key with what it means; says `false` where its parent is missing.
    pub fn add(&mut self, key: &str, meaning: &str) -> bool {
        let parent_known = key.rsplit_once('.').is_none_or(|(parent, _)| self.keys.contains_key(parent));
        self.keys.insert(key.to_owned(), meaning.to_owned());
        parent_known
    }

    /// Whether the key exists.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }

    /// Every key, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    /// The key most like what was written, if one is near enough to suggest.
    #[must_use]
    pub fn nearest(&self, written: &str) -> Option<&str> {
        nearest(written, self.keys())
    }
}

/// The three trees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taxonomy {
    /// What kind of data: Fideslang's data categories.
    pub categories: Tree,
    /// What for: Fideslang's data uses, our purposes.
    pub uses: Tree,
    /// Whom about: Fideslang's data subjects.
    pub subjects: Tree,
}

/// Whether `ancestor` is `key` or stands above it in its tree.
#[must_use]
pub fn covers(ancestor: &str, key: &str) -> bool {
    key.strip_prefix(ancestor).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The candidate with the smallest edit distance, if it is at most a third of
/// the word, or one that only goes on where the word ends.
pub fn nearest<'a>(written: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let length = written.chars().count();
    let begins = |candidate: &str| length >= PREFIX_MIN && candidate.starts_with(written);
    candidates
        .map(|candidate| (distance(written, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= length.div_ceil(3).max(1) || begins(candidate))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// A shorter beginning says nothing.
const PREFIX_MIN: usize = 3;

/// Optimal string alignment distance (Damerau 1964 without repeated edits).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut two_back: Vec<usize> = Vec::new();
    let mut back: Vec<usize> = (0..=b.len()).collect();
    let mut previous_a = None;
    for (row, in_a) in a.chars().enumerate() {
        let mut current = vec![row + 1];
        for (column, &in_b) in b.iter().enumerate() {
            let at = |line: &[usize], column: usize| line.get(column).copied().unwrap_or(usize::MAX / 2);
            let substitute = at(&back, column) + usize::from(in_a != in_b);
            let mut best = substitute.min(at(&back, column + 1) + 1).min(at(&current, column) + 1);
            let swapped = column > 0 && previous_a == Some(in_b) && b.get(column - 1) == Some(&in_a);
            if swapped {
                best = best.min(at(&two_back, column - 1) + 1);
            }
            current.push(best);
        }
        two_back = std::mem::replace(&mut back, current);
        previous_a = Some(in_a);
    }
    back.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_covers_itself_and_what_is_below() {
        assert!(covers("user.contact", "user.contact.email"));
        assert!(covers("user.contact", "user.contact"));
        assert!(!covers("user.contact", "user.contacts"));
        assert!(!covers("user.contact.email", "user.contact"));
    }

    #[test]
    fn a_slip_of_the_hand_is_recognised() {
        let words = ["analytics.reporting", "marketing.advertising"];
        assert_eq!(nearest("analytics.reportng", words.into_iter()), Some("analytics.reporting"));
        assert_eq!(nearest("analytics.reproting", words.into_iter()), Some("analytics.reporting"));
        assert_eq!(nearest("weather", words.into_iter()), None);
        assert_eq!((distance("ab", "ba"), distance("", "abc"), distance("abc", "abc")), (1, 3, 0));
    }
}
