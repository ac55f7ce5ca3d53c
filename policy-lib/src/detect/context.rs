//! The words around a place in a text.
//!
//! Looks a bounded distance to either side. The tags that scrubbing leaves
//! behind are no words: `<PHONE_NUMBER>` is no evidence that the next number
//! is one.

/// Words of ASCII letters and of anything that is not ASCII.
const fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || !byte.is_ascii()
}

/// The words that end before `at`, the nearest first, at most `reach` bytes away.
pub(super) fn before(text: &str, at: usize, reach: usize) -> impl Iterator<Item = &str> {
    let mut end = at.min(text.len());
    let floor = end.saturating_sub(reach);
    std::iter::from_fn(move || {
        while let Some(byte) =
            end.checked_sub(1).filter(|last| *last >= floor).and_then(|last| text.as_bytes().get(last))
        {
            if *byte == b'>' {
                end = tag_start(text, end).unwrap_or(end - 1);
            } else if is_word_byte(*byte) {
                let head = text.as_bytes().get(floor..end)?;
                let length = head.iter().rev().take_while(|byte| is_word_byte(**byte)).count();
                end -= length;
                // A word cut off by the reach may start inside a character.
                return text.get(end..end + length).or(Some(""));
            } else {
                end -= 1;
            }
        }
        None
    })
}

/// The first word that begins at or after `at`, at most `reach` bytes away.
pub(super) fn first_after(text: &str, at: usize, reach: usize) -> Option<&str> {
    let rest = text.as_bytes().get(at..)?;
    let skipped = rest.iter().take(reach).position(|byte| is_word_byte(*byte) || *byte == b'<')?;
    let length = rest.get(skipped..)?.iter().take(WORD_BYTES_MAX).take_while(|byte| is_word_byte(**byte)).count();
    text.get(at + skipped..at + skipped + length)
}

/// Longer words carry no evidence.
const WORD_BYTES_MAX: usize = 32;

/// Where the tag begins that ends at `end` with a `>`.
fn tag_start(text: &str, end: usize) -> Option<usize> {
    let inside = text.as_bytes().get(..end - 1)?;
    let length = inside.iter().rev().take(WORD_BYTES_MAX).position(|byte| *byte == b'<')?;
    let start = inside.len() - length;
    let is_tag = inside.get(start..)?.iter().all(|byte| byte.is_ascii_uppercase() || *byte == b'_');
    (is_tag && length > 0).then_some(start - 1)
}

/// A list of words; `*` at an end stands for anything.
///
/// Sorted by first byte, with those that begin with `*` first, so that a word
/// meets only the few patterns that it could match.
pub(super) struct Words(&'static [&'static str]);

impl Words {
    /// Fails at compile time if the list is not sorted.
    pub(super) const fn new(listed: &'static [&'static str]) -> Self {
        let mut rest = listed;
        while let [first, second, ..] = rest {
            assert!(first_byte(first) <= first_byte(second), "the words are not sorted");
            let [_, tail @ ..] = rest else { break };
            rest = tail;
        }
        Self(listed)
    }

    /// Whether the word, in whatever case, is one of them.
    pub(super) fn have(&self, word: &str) -> bool {
        let (stars, same) = candidates(self.0, word, |pattern| pattern);
        stars.iter().chain(same).any(|pattern| matches(word.as_bytes(), pattern.as_bytes()))
    }
}

/// Words with what each says; otherwise as [`Words`].
pub(super) struct Lexicon<T: 'static>(&'static [(&'static str, T)]);

impl<T: Copy + Default> Lexicon<T> {
    /// Fails at compile time if the list is not sorted.
    pub(super) const fn new(listed: &'static [(&'static str, T)]) -> Self {
        let mut rest = listed;
        while let [(first, _), (second, _), ..] = rest {
            assert!(first_byte(first) <= first_byte(second), "the words are not sorted");
            let [_, tail @ ..] = rest else { break };
            rest = tail;
        }
        Self(listed)
    }

    /// What the first pattern says that the word, in whatever case, matches.
    pub(super) fn of(&self, word: &str) -> T {
        let (stars, same) = candidates(self.0, word, |(pattern, _)| pattern);
        let matching = |(pattern, _): &&(&str, T)| matches(word.as_bytes(), pattern.as_bytes());
        same.iter().chain(stars).find(matching).map(|(_, says)| *says).unwrap_or_default()
    }
}

/// The entries of a sorted list that a word could match: those that begin with `*`, and those that begin as it does.
fn candidates<'l, E>(listed: &'l [E], word: &str, pattern: impl Fn(&E) -> &str) -> (&'l [E], &'l [E]) {
    let first = first_byte(word).to_ascii_lowercase();
    let stars = listed.partition_point(|entry| first_byte(pattern(entry)) == b'*');
    let (stars, letters) = listed.split_at_checked(stars).unwrap_or_default();
    let from = letters.partition_point(|entry| first_byte(pattern(entry)) < first);
    let to = letters.partition_point(|entry| first_byte(pattern(entry)) <= first);
    (stars, letters.get(from..to).unwrap_or_default())
}

const fn first_byte(word: &str) -> u8 {
    match word.as_bytes() {
        [first, ..] => *first,
        [] => 0,
    }
}

fn matches(word: &[u8], pattern: &[u8]) -> bool {
    let ends = |tail: &[u8]| {
        word.len()
            .checked_sub(tail.len())
            .and_then(|at| word.get(at..))
            .is_some_and(|end| end.eq_ignore_ascii_case(tail))
    };
    match pattern {
        [b'*', inner @ .., b'*'] => word.windows(inner.len()).any(|part| part.eq_ignore_ascii_case(inner)),
        [b'*', tail @ ..] => ends(tail),
        [head @ .., b'*'] => word.get(..head.len()).is_some_and(|start| start.eq_ignore_ascii_case(head)),
        whole => word.eq_ignore_ascii_case(whole),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_comes_first_and_tags_are_skipped() {
        let text = "call me <PHONE_NUMBER> at user_phone: ";
        assert_eq!(before(text, text.len(), 99).collect::<Vec<_>>(), ["phone", "user", "at", "me", "call"]);
        assert_eq!(before(text, text.len(), 8).next(), Some("phone"));
        assert_eq!(first_after("12, office", 2, 9), Some("office"));
        assert_eq!(first_after("12 <PHONE_NUMBER>", 2, 9), Some(""));
    }

    #[test]
    fn patterns() {
        const LISTED: Words = Words::new(&["*phone*", "*karte", "mobil*", "tel"]);
        for word in ["TEL", "Mobile", "homePhoneNo", "Kreditkarte"] {
            assert!(LISTED.have(word), "{word}");
        }
        for word in ["tell", "automobile", "pho", "karten", ""] {
            assert!(!LISTED.have(word), "{word}");
        }
    }
}
