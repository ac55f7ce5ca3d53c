//! Numbers as people write them: groups of digits with something between.
//!
//! Cards and phone numbers are sequences of such groups. This walks a text from
//! left to right and shows, for every group, a bounded number of groups joined
//! to it.

use super::lens;

/// What stands between two groups, as a set of bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Joint(u8);

impl Joint {
    pub(super) const SPACE: Self = Self(1);
    pub(super) const DASH: Self = Self(2);
    pub(super) const DOT: Self = Self(4);
    pub(super) const SLASH: Self = Self(8);
    const PAREN: Self = Self(16);
    /// The group is not joined to one before it.
    const BREAK: Self = Self(128);

    pub(super) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) const fn is_break(self) -> bool {
        self.has(Self::BREAK)
    }

    /// Glued by a dash, a dot or a slash with no space around.
    pub(super) const fn is_tight(self) -> bool {
        self.0 & (Self::BREAK.0 | Self::SPACE.0) == 0 && self.0 & (Self::DASH.0 | Self::DOT.0 | Self::SLASH.0) != 0
    }

    /// Both sets of bits.
    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn of(char: char) -> Self {
        match char {
            ' ' | '\u{A0}' | '\u{2000}'..='\u{200A}' | '\u{202F}' | '\u{3000}' => Self::SPACE,
            '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{FE63}' | '\u{FF0D}' | '~' => Self::DASH,
            '.' | '\u{B7}' | '\u{2022}' => Self::DOT,
            '/' => Self::SLASH,
            '(' | ')' | '\u{FF08}' | '\u{FF09}' => Self::PAREN,
            _ => Self::BREAK,
        }
    }
}

/// One group of digits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    /// First byte of its digits.
    pub start: usize,
    /// One past the last byte of its digits.
    pub end: usize,
    /// First byte with the `+` and the parenthesis that belong to it.
    pub lead: usize,
    /// Whether a `+` stands before it.
    pub plus: bool,
    /// Whether it stands in parentheses.
    pub parens: bool,
    /// Whether a group with letters glued to it is joined before: `RS35 2600 ...`.
    pub in_code: bool,
    /// What joins it to the group before.
    pub joint: Joint,
}

impl Group {
    pub(super) const fn len(&self) -> usize {
        self.end - self.start
    }

    pub(super) fn digits<'t>(&self, text: &'t str) -> &'t [u8] {
        text.as_bytes().get(self.start..self.end).unwrap_or_default()
    }

    /// The character before it; NUL at the start of the text.
    pub(super) fn prior(&self, text: &str) -> char {
        lens::before(text, self.lead).map_or('\0', |seen| seen.char)
    }

    /// The two characters after its digits; NUL at the end of the text.
    pub(super) fn next(&self, text: &str) -> [char; 2] {
        let first = lens::after(text, self.end);
        let second = first.and_then(|first| lens::after(text, self.end + first.len));
        [first.map_or('\0', |seen| seen.char), second.map_or('\0', |seen| seen.char)]
    }

    /// Whether what follows a number that ends here leaves it a number of its own.
    pub(super) fn ends_free(&self, text: &str) -> bool {
        let [next, second] = self.next(text);
        !(next.is_ascii_alphanumeric() || matches!(next, '.' | ':') && second.is_ascii_digit())
    }
}

/// How many joined groups are shown at once.
pub(super) const GROUPS_MAX: usize = 10;

/// More characters than this between two groups part them.
const JOINT_CHARS_MAX: u8 = 3;

/// Shows every group with those joined to it, where these have `digits_min`
/// digits together; `judge` says how many of the groups it took.
pub(super) fn for_each_number(text: &str, digits_min: usize, mut judge: impl FnMut(&[Group]) -> usize) {
    let mut groups = Groups { text, at: 0, joint: Joint::BREAK, in_code: false };
    let mut window: Vec<Group> = Vec::new();
    // How many groups at the front belong together; one more may be waiting behind them.
    let mut joined = 0;
    loop {
        while joined == window.len() && joined < GROUPS_MAX {
            let Some(group) = groups.next() else { break };
            joined += usize::from(window.is_empty() || !group.joint.is_break());
            window.push(group);
        }
        let Some(number) = window.get(..joined).filter(|number| !number.is_empty()) else { return };
        let is_short = joined < GROUPS_MAX && number.iter().map(Group::len).sum::<usize>() < digits_min;
        let taken = if is_short { joined } else { judge(number).clamp(1, joined) };
        window.drain(..taken);
        joined = (joined - taken).max(usize::from(!window.is_empty()));
    }
}

struct Groups<'t> {
    text: &'t str,
    at: usize,
    joint: Joint,
    in_code: bool,
}

impl Iterator for Groups<'_> {
    type Item = Group;

    fn next(&mut self) -> Option<Group> {
        let mut joint_chars = 0;
        let mut nearest = '0';
        loop {
            if self.joint.is_break() {
                // Nothing before the next digit matters; an escape may hide digits that are none.
                let telling = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'%' | b'&' | b'\\');
                self.at += self.text.as_bytes().get(self.at..)?.iter().position(telling)?;
            }
            let seen = lens::after(self.text, self.at)?;
            if seen.len == 1 && seen.char.is_ascii_digit() {
                return Some(self.group());
            }
            let kind = match seen.char {
                // A form encodes a space as `+`.
                '+' if nearest.is_ascii_digit() => Joint::SPACE,
                // The full stop of a sentence.
                ' ' if nearest == '.' => Joint::BREAK,
                other => Joint::of(other),
            };
            joint_chars = (joint_chars + 1).min(JOINT_CHARS_MAX + 1);
            self.joint = if joint_chars > JOINT_CHARS_MAX { Joint::BREAK } else { self.joint.and(kind) };
            nearest = seen.char;
            self.at += seen.len;
        }
    }
}

impl Groups<'_> {
    /// Reads the group that begins here.
    fn group(&mut self) -> Group {
        let (start, joint) = (self.at, self.joint);
        let rest = self.text.as_bytes().get(start..).unwrap_or_default();
        let end = start + rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let near = lens::before(self.text, start);
        let glued = near.is_some_and(|seen| seen.char.is_ascii_alphabetic());
        let in_code = !joint.is_break() && self.in_code;
        let prefix =
            near.and_then(|near| self.prefix(near, start, end)).unwrap_or(Prefix { lead: start, ..Prefix::default() });
        *self = Groups { text: self.text, at: end, joint: Joint::default(), in_code: in_code || glued };
        Group { start, end, lead: prefix.lead, plus: prefix.plus, parens: prefix.parens, in_code, joint }
    }

    /// The plus and the opening parenthesis before the group; `near` is the character before it.
    fn prefix(&self, near: lens::Seen, start: usize, end: usize) -> Option<Prefix> {
        let is_open = |char| matches!(char, '(' | '\u{FF08}');
        let is_plus = |char| matches!(char, '+' | '\u{FF0B}');
        if !is_open(near.char) && !is_plus(near.char) {
            return None;
        }
        // A parenthesis that closes elsewhere is not this group's.
        let closes = lens::after(self.text, end).is_some_and(|seen| matches!(seen.char, ')' | '\u{FF09}'));
        let near_at = start - near.len;
        let far = lens::before(self.text, near_at);
        let far_at = near_at - far.map_or(0, |far| far.len);
        match (near.char, far.map_or('\0', |seen| seen.char)) {
            (near, far) if closes && (is_plus(near) && is_open(far) || is_open(near) && is_plus(far)) => {
                Some(Prefix { lead: far_at, plus: true, parens: true })
            }
            // A joint holds a plus only for the space of a form.
            (near, _) if is_plus(near) && self.joint.is_break() => {
                Some(Prefix { lead: near_at, plus: true, parens: false })
            }
            (near, _) if is_open(near) && closes => Some(Prefix { lead: near_at, plus: false, parens: true }),
            _ => None,
        }
    }
}

/// What belongs to a group and stands before it.
#[derive(Default)]
struct Prefix {
    lead: usize,
    plus: bool,
    parens: bool,
}
