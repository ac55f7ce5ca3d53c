//! The US Privacy string of IAB's CCPA framework, version 1: four characters as in `1YNN`.
//!
//! Superseded by the Global Privacy Platform, which carries it as its section 6.

use super::Unreadable;

/// Yes, no, or does not apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// `Y`
    Yes,
    /// `N`
    No,
    /// `-`
    NotApplicable,
}

impl Answer {
    fn written(letter: u8) -> Result<Self, Unreadable> {
        match letter {
            b'Y' => Ok(Self::Yes),
            b'N' => Ok(Self::No),
            b'-' => Ok(Self::NotApplicable),
            _ => Err(Unreadable::NotAnAnswer),
        }
    }
}

/// A US Privacy string, decoded.
///
/// ```
/// use privet_policy::signals::us_privacy::{Answer, UsPrivacy};
///
/// let read = UsPrivacy::read("1YYN")?;
/// assert!(read.opted_out_of_sale());
/// assert_eq!(read.notice, Answer::Yes);
/// assert!(UsPrivacy::read("2YYN").is_err());
/// # Ok::<(), privet_policy::signals::Unreadable>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UsPrivacy {
    /// Whether the person was told and could opt out.
    pub notice: Answer,
    /// Whether they opted out of the sale of their data.
    pub opt_out_sale: Answer,
    /// Whether the sender works under the Limited Service Provider Agreement.
    pub lspa: Answer,
}

impl UsPrivacy {
    /// Reads the four characters.
    ///
    /// # Errors
    /// [`Unreadable`]: another length, another version than 1, or another letter than `Y`, `N` and `-`.
    pub fn read(text: &str) -> Result<Self, Unreadable> {
        let [version, notice, opt_out_sale, lspa] = *text.as_bytes() else {
            return Err(if text.is_empty() { Unreadable::Empty } else { Unreadable::NotOfThisKind });
        };
        if version != b'1' {
            return Err(Unreadable::UnknownVersion);
        }
        Ok(Self {
            notice: Answer::written(notice)?,
            opt_out_sale: Answer::written(opt_out_sale)?,
            lspa: Answer::written(lspa)?,
        })
    }

    /// Whether the person opted out of the sale of their data.
    #[must_use]
    pub fn opted_out_of_sale(&self) -> bool {
        self.opt_out_sale == Answer::Yes
    }
}
