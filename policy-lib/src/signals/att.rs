//! App Tracking Transparency of Apple: whether a person lets an app track them across apps.
//!
//! Only `authorized` permits; whoever was not asked did not authorize.

use privet_json::{Kind, Node};

use super::Unreadable;

/// The status as iOS tells it to an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttStatus {
    /// 0: the person was not asked.
    NotDetermined,
    /// 1: the device does not allow to ask.
    Restricted,
    /// 2: the person said no.
    Denied,
    /// 3: the person said yes.
    Authorized,
}

impl AttStatus {
    const ALL: [Self; 4] = [Self::NotDetermined, Self::Restricted, Self::Denied, Self::Authorized];

    /// The word for outputs, as Apple spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotDetermined => "notDetermined",
            Self::Restricted => "restricted",
            Self::Denied => "denied",
            Self::Authorized => "authorized",
        }
    }

    /// Whether it permits to track across apps.
    #[must_use]
    pub fn permits(self) -> bool {
        self == Self::Authorized
    }

    /// Reads a number of one digit, or a word in any spelling: `not-determined`, `NOT_DETERMINED`.
    ///
    /// # Errors
    /// [`Unreadable`] for anything else, `unavailable` among it.
    pub fn read(text: &str) -> Result<Self, Unreadable> {
        let numbered = |status: &Self| text.len() == 1 && text.as_bytes().first() == Some(&(b'0' + *status as u8));
        let found = Self::ALL.into_iter().find(|status| numbered(status) || same_letters(text, status.name()));
        found.ok_or(if text.is_empty() { Unreadable::Empty } else { Unreadable::NotOfThisKind })
    }

    /// Reads a member of an event: a number or a word.
    ///
    /// # Errors
    /// As [`Self::read`], and for a member that is neither.
    pub fn of(member: Node<'_>) -> Result<Self, Unreadable> {
        match member.kind() {
            Kind::Number => Self::read(std::str::from_utf8(member.raw()).unwrap_or_default()),
            Kind::String => Self::read(&member.text().unwrap_or_default()),
            _ => Err(Unreadable::NotOfThisKind),
        }
    }
}

/// Whether a text has the letters of a word, whatever their case and what separates them.
fn same_letters(text: &str, word: &str) -> bool {
    let letters = text.bytes().filter(|byte| !matches!(byte, b'-' | b'_' | b' '));
    letters.map(|byte| byte.to_ascii_lowercase()).eq(word.bytes().map(|byte| byte.to_ascii_lowercase()))
}

/// Reads `adTrackingEnabled`, which libraries write as a truth value or as a word.
///
/// # Errors
/// [`Unreadable`] for anything but `true`, `false` and these two as texts.
pub fn ad_tracking_enabled(member: Node<'_>) -> Result<bool, Unreadable> {
    match (member.kind(), member.raw()) {
        (Kind::Bool, raw) => Ok(raw == b"true"),
        (Kind::String, _) if member.is_text("true") => Ok(true),
        (Kind::String, _) if member.is_text("false") => Ok(false),
        _ => Err(Unreadable::NotOfThisKind),
    }
}
