//! Codes as people write them: groups of letters and digits with single
//! separators between.
//!
//! Walks a text from left to right and shows, from each place where a code may
//! begin, the bounded number of codes that begin there.

use super::super::lens;

/// The longest identifier, in letters and digits.
pub(super) const CHARS_MAX: usize = 17;

/// The most groups one is written in.
const GROUPS_MAX: usize = 6;

/// One place of a text that may hold an identifier; it holds at least one digit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Code {
    /// Its first byte.
    pub start: usize,
    /// One past its last byte.
    pub end: usize,
    /// Its letters and digits, letters in upper case.
    chars: [u8; CHARS_MAX],
    pub len: usize,
    /// A bit for each character that is a digit.
    pub digits: u32,
    /// A bit for each character that stands after a separator.
    pub cuts: u32,
    /// The separator, if there is one and the same everywhere.
    pub joint: Option<char>,
    /// Whether separators differ.
    pub mixed: bool,
    /// Whether all its letters are capitals.
    pub capitals: bool,
    /// Whether a word in lower case is glued to its front: `my id is030594W903B`.
    pub glued: bool,
    /// How many of its groups look like words: three letters or more.
    pub words: usize,
}

impl Code {
    const fn empty(start: usize, glued: bool) -> Self {
        Self {
            start,
            end: start,
            chars: [0; CHARS_MAX],
            len: 0,
            digits: 0,
            cuts: 0,
            joint: None,
            mixed: false,
            capitals: true,
            glued,
            words: 0,
        }
    }

    /// Its letters, in upper case, and digits.
    pub(super) fn chars(&self) -> &[u8] {
        self.chars.get(..self.len).unwrap_or_default()
    }

    /// Its characters from the `from`th up to and without the `to`th; nothing if there are too few.
    pub(super) fn part(&self, from: usize, to: usize) -> &[u8] {
        self.chars().get(from..to).unwrap_or_default()
    }

    /// The `nth` character; NUL if there are too few.
    pub(super) fn nth(&self, nth: usize) -> u8 {
        self.chars().get(nth).copied().unwrap_or_default()
    }

    /// The value of the digits from the `from`th up to the `to`th.
    pub(super) fn number(&self, from: usize, to: usize) -> u32 {
        self.part(from, to).iter().fold(0, |value, digit| value * 10 + u32::from(digit.saturating_sub(b'0')))
    }

    /// Whether it is written without separators.
    pub(super) const fn is_whole(&self) -> bool {
        self.cuts == 0
    }

    /// Its groups.
    pub(super) fn groups(&self) -> impl Iterator<Item = &[u8]> {
        let is_cut = |at: &usize| self.cuts >> at & 1 == 1;
        let starts = std::iter::once(0).chain((1..self.len).filter(is_cut));
        let ends = (1..self.len).filter(move |at| self.cuts >> at & 1 == 1).chain(std::iter::once(self.len));
        starts.zip(ends).map(|(from, to)| self.part(from, to))
    }

    /// Adds one more group; false where that would be too long.
    fn push(&mut self, group: &[u8], at: usize, joint: Option<char>) -> bool {
        let Some(room) = self.chars.get_mut(self.len..self.len + group.len()) else { return false };
        for ((place, byte), nth) in room.iter_mut().zip(group).zip(self.len..) {
            *place = byte.to_ascii_uppercase();
            self.digits |= u32::from(byte.is_ascii_digit()) << nth;
            self.capitals &= !byte.is_ascii_lowercase();
        }
        if let Some(joint) = joint {
            self.mixed |= self.joint.is_some_and(|other| other != joint);
            self.joint = Some(joint);
            self.cuts |= 1 << self.len;
        }
        self.words += usize::from(is_word(group));
        self.len += group.len();
        self.end = at + group.len();
        true
    }
}

/// Whether letters and digits look like a word: all letters, and more than a mark of two.
pub(super) fn is_word(group: &[u8]) -> bool {
    group.len() >= 3 && group.iter().all(u8::is_ascii_alphabetic)
}

/// Whether letters are a word that stands before a number and is no part of it: `the id is 1234567`.
fn is_little_word(letters: &[u8]) -> bool {
    const ANY_CASE: [&[u8]; 6] = [b"id", b"no", b"nr", b"tel", b"fax", b"ref"];
    const WORDS: [&[u8]; 12] = [b"is", b"of", b"to", b"on", b"at", b"my", b"in", b"by", b"it", b"the", b"and", b"for"];
    let among = |words: &[&[u8]]| words.iter().any(|word| letters.eq_ignore_ascii_case(word));
    among(&ANY_CASE) || letters.iter().any(u8::is_ascii_lowercase) && among(&WORDS)
}

/// Letters and digits that stand together, and what is before them.
#[derive(Clone, Copy, Default)]
struct Token {
    start: usize,
    end: usize,
    /// The single separator between it and the token before.
    joint: Option<char>,
    /// Whether a letter that is not ASCII stands right before it.
    glued: bool,
    /// Whether the token before has a digit, and nothing else.
    after_digit: bool,
    after_digits: bool,
}

/// What may stand inside an identifier or join it to something longer.
const fn is_joint(char: char) -> bool {
    matches!(char, ' ' | '\u{A0}' | '-' | '\u{2010}'..='\u{2013}' | '.' | '/' | ':' | '_' | '+')
}

const fn plain(char: char) -> char {
    match char {
        '\u{A0}' => ' ',
        '\u{2010}'..='\u{2013}' => '-',
        other => other,
    }
}

/// Whether a letter of a script with spaces between words belongs to the word beside it.
fn is_glue(char: char) -> bool {
    !char.is_ascii() && char < '\u{0E00}' && char.is_alphabetic()
}

/// Calls `judge` with everything in the text that may be an identifier.
pub(super) fn for_each_code(text: &str, mut judge: impl FnMut(&Code)) {
    let mut at = 0;
    let mut before = Token::default();
    while let Some(token) = next_token(text, at, before) {
        at = token.end;
        before = token;
        let bytes = bytes_of(text, token);
        let letters = bytes.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        if letters == bytes.len() && (letters > 3 || is_little_word(bytes)) || bytes.len() > CHARS_MAX + GLUED_MAX {
            continue;
        }
        if is_free(token) {
            extend(text, token, false, &mut judge);
        }
        let is_glued = letters >= 2 && bytes.iter().take(letters).all(u8::is_ascii_lowercase);
        if is_glued && letters < bytes.len() {
            extend(text, Token { start: token.start + letters, ..token }, true, &mut judge);
        }
    }
}

/// The longest word that may be glued to the front of a code, in bytes.
const GLUED_MAX: usize = 12;

fn bytes_of(text: &str, token: Token) -> &[u8] {
    text.as_bytes().get(token.start..token.end).unwrap_or_default()
}

/// Whether a code may begin here: not inside a word, a number with a point, or a dashed code.
fn is_free(token: Token) -> bool {
    let tight = token.joint.is_some_and(|joint| joint != ' ' && joint != '_');
    !(token.glued || tight && token.after_digit)
}

/// Shows every code that begins with this token.
fn extend(text: &str, first: Token, glued: bool, judge: &mut impl FnMut(&Code)) {
    let mut code = Code::empty(first.start, glued);
    let (mut token, mut joint) = (first, None);
    for _ in 0..GROUPS_MAX {
        if !code.push(bytes_of(text, token), token.start, joint) {
            return;
        }
        let spaced = code.joint == Some(' ');
        let following = joined_token(text, token);
        if code.digits != 0 && !(spaced && first.joint == Some(' ') && first.after_digits) {
            let ends = ends_free(text, token.end, spaced, following);
            if ends {
                judge(&code);
            }
        }
        let Some((next, sign)) = following else { return };
        (token, joint) = (next, Some(sign));
    }
}

/// The token after one separator.
fn joined_token(text: &str, token: Token) -> Option<(Token, char)> {
    let seen = lens::after(text, token.end).filter(|seen| is_joint(seen.char))?;
    let start = token.end + seen.len;
    let length =
        text.as_bytes().get(start..)?.iter().take(CHARS_MAX + 1).take_while(|byte| byte.is_ascii_alphanumeric());
    let end = start + length.count();
    (end > start).then_some((Token { start, end, ..Token::default() }, plain(seen.char)))
}

/// Whether nothing that belongs to a code goes on after `end`.
fn ends_free(text: &str, end: usize, spaced: bool, following: Option<(Token, char)>) -> bool {
    let Some((next, joint)) = following else {
        return !lens::after(text, end).is_some_and(|seen| is_glue(seen.char) || seen.char == '@');
    };
    let bytes = bytes_of(text, next);
    match joint {
        '_' => true,
        ' ' => !(spaced && bytes.iter().all(u8::is_ascii_digit)),
        '-' => bytes.len() > 2 && !bytes.iter().any(u8::is_ascii_digit),
        _ => !bytes.iter().any(u8::is_ascii_digit),
    }
}

/// Reads on to the next letters and digits.
fn next_token(text: &str, mut at: usize, before: Token) -> Option<Token> {
    let last = bytes_of(text, before);
    let mut token = Token {
        after_digit: last.iter().any(u8::is_ascii_digit),
        after_digits: !last.is_empty() && last.iter().all(u8::is_ascii_digit),
        ..Token::default()
    };
    let mut between = 0_usize;
    loop {
        let byte = *text.as_bytes().get(at)?;
        if byte.is_ascii_alphanumeric() {
            let rest = text.as_bytes().get(at..)?;
            let length = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
            return Some(Token { start: at, end: at + length, ..token });
        }
        let seen = lens::after(text, at)?;
        token.joint = Some(plain(seen.char)).filter(|_| between == 0 && is_joint(seen.char) && !last.is_empty());
        token.glued = is_glue(seen.char);
        between += 1;
        at += seen.len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<&str> {
        let mut shown = Vec::new();
        for_each_code(text, |code| shown.push(&text[code.start..code.end]));
        shown
    }

    #[test]
    fn codes_stand_free_on_both_sides() {
        assert_eq!(shown("SSN 078-05-1123."), ["SSN 078-05-1123", "078-05-1123"]);
        assert_eq!(shown("id=078051123&x"), ["078051123"]);
        assert_eq!(shown("a%3D078051123"), ["078051123"]);
        assert_eq!(shown("1.078051123"), ["1.078051123"]);
        assert_eq!(shown("é078051123"), [""; 0]);
        assert!(shown("my code is030594W903B").contains(&"030594W903B"));
    }
}
