//! Runs of like bytes: what keys, hashes and addresses of machines are made of.

/// One maximal run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run<'t> {
    /// Its first byte in the text.
    pub start: usize,
    pub text: &'t str,
}

impl Run<'_> {
    /// One past its last byte in the text.
    pub(super) const fn end(&self) -> usize {
        self.start + self.text.len()
    }
}

/// The maximal runs of ASCII bytes that belong.
pub(super) fn runs(text: &str, belongs: fn(&u8) -> bool) -> impl Iterator<Item = Run<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = text.as_bytes().get(at..)?;
        let start = at + rest.iter().position(belongs)?;
        let length = text.as_bytes().get(start..)?.iter().take_while(|byte| belongs(byte)).count();
        at = start + length;
        Some(Run { start, text: text.get(start..at)? })
    })
}

/// Whether a letter or digit stands right before `at`.
pub(super) fn is_glued_before(text: &str, at: usize) -> bool {
    at.checked_sub(1).and_then(|before| text.as_bytes().get(before)).is_some_and(u8::is_ascii_alphanumeric)
}

/// Whether a letter or digit stands at `at`.
pub(super) fn is_glued_after(text: &str, at: usize) -> bool {
    text.as_bytes().get(at).is_some_and(u8::is_ascii_alphanumeric)
}
