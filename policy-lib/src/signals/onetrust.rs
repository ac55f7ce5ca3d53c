//! OneTrust's groups, from the cookie `OptanonConsent` and from `OnetrustActiveGroups`.
//!
//! Groups are named by whoever configures OneTrust; `C0001` to `C0005` are its
//! defaults. A group that a present list does not name is refused.

use std::borrow::Cow;
use std::fmt;

use jiff::fmt::strtime::BrokenDownTime;
use percent_encoding::percent_decode_str;

use super::{Said, TEXT_BYTES_MAX, Unreadable};

/// Which groups a person agreed to.
pub struct Groups {
    /// `C0001:1,C0002:0` as the cookie has it, or `,C0001,` as the page has it.
    list: String,
    listing: Listing,
    gpc: bool,
    changed_ms: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listing {
    /// Every group, with `1` or `0` behind a colon.
    Answered,
    /// Those that are active.
    Active,
}

/// More groups than any person was asked about.
const GROUPS_MAX: usize = 1_024;

impl Groups {
    /// Reads the value of the cookie `OptanonConsent`, a query string of which `groups` is one parameter.
    ///
    /// # Errors
    /// [`Unreadable`] where it has no `groups` or twice, or a group without an answer.
    ///
    /// ```
    /// use privet_policy::signals::Said;
    /// use privet_policy::signals::onetrust::Groups;
    ///
    /// let read = Groups::of_cookie("isGpcEnabled=1&groups=C0001%3A1%2CC0002%3A0&consentId=x")?;
    /// assert_eq!(read.category("C0001"), Said::Granted);
    /// assert_eq!(read.category("C0002"), Said::Refused);
    /// assert_eq!(read.category("C0004"), Said::Refused, "a group that is not named was not agreed to");
    /// assert!(read.gpc());
    /// # Ok::<(), privet_policy::signals::Unreadable>(())
    /// ```
    pub fn of_cookie(value: &str) -> Result<Self, Unreadable> {
        if value.len() > TEXT_BYTES_MAX {
            return Err(Unreadable::TooLong);
        }
        let value = once(value)?;
        let parameter = |name: &str| {
            let mut named = value.split('&').filter_map(|pair| pair.split_once('=')).filter(|(key, _)| *key == name);
            (named.next().map(|(_, value)| value), named.next().is_some())
        };
        let (Some(list), false) = parameter("groups") else { return Err(Unreadable::NotOfThisKind) };
        let list = decode(list)?.into_owned();
        let mut answers = list.split(',').map(|group| group.rsplit_once(':').map(|(_, answer)| answer));
        if list.split(',').count() > GROUPS_MAX || !answers.all(|answer| matches!(answer, Some("0" | "1"))) {
            return Err(Unreadable::NotAnAnswer);
        }
        let changed_ms = parameter("datestamp").0.and_then(moment_ms);
        Ok(Self { list, listing: Listing::Answered, gpc: says_gpc(&value), changed_ms })
    }

    /// Reads `OnetrustActiveGroups`, as in `,C0001,C0002,`.
    ///
    /// # Errors
    /// [`Unreadable`] where it does not begin and end with a comma.
    pub fn of_active(text: &str) -> Result<Self, Unreadable> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(Unreadable::TooLong);
        }
        if !text.starts_with(',') || !text.ends_with(',') || text.split(',').count() > GROUPS_MAX {
            return Err(if text.is_empty() { Unreadable::Empty } else { Unreadable::NotOfThisKind });
        }
        Ok(Self { list: text.to_owned(), listing: Listing::Active, gpc: false, changed_ms: None })
    }

    /// What it says of one group. One that is named with both answers is refused.
    #[must_use]
    pub fn category(&self, group: &str) -> Said {
        let mut answers = self.named().filter(|(name, _)| *name == group && !name.is_empty()).map(|(_, agreed)| agreed);
        Said::granted_if(answers.next().is_some_and(|first| first && answers.all(|agreed| agreed)))
    }

    /// Every group and whether the person agreed, in the order written.
    pub fn named(&self) -> impl Iterator<Item = (&str, bool)> {
        self.list.split(',').filter(|group| !group.is_empty()).map(|group| {
            match (self.listing, group.rsplit_once(':')) {
                (Listing::Answered, Some((name, answer))) => (name, answer == "1"),
                (Listing::Answered, None) => (group, false),
                (Listing::Active, _) => (group, true),
            }
        })
    }

    /// Whether OneTrust saw Global Privacy Control in the browser.
    #[must_use]
    pub const fn gpc(&self) -> bool {
        self.gpc
    }

    /// When the cookie was last written, in milliseconds since 1970, where it says so in the form that browsers write.
    #[must_use]
    pub const fn changed_ms(&self) -> Option<i64> {
        self.changed_ms
    }
}

/// Whether OneTrust saw Global Privacy Control in the browser, by the value of the cookie `OptanonConsent`. It is
/// enough that it says so once, whatever else stands there.
///
/// ```
/// use privet_policy::signals::onetrust::saw_gpc;
///
/// assert!(saw_gpc("isGpcEnabled=1&groups=") && saw_gpc("isGpcEnabled=0&isGpcEnabled=1"));
/// assert!(saw_gpc("isGpcEnabled%3D1%26groups%3DC0001%3A1"));
/// assert!(!saw_gpc("isGpcEnabled=0&groups=C0001%3A1") && !saw_gpc("%FF"));
/// ```
#[must_use]
pub fn saw_gpc(value: &str) -> bool {
    value.len() <= TEXT_BYTES_MAX && once(value).is_ok_and(|value| says_gpc(&value))
}

fn says_gpc(parameters: &str) -> bool {
    parameters.split('&').any(|parameter| parameter == "isGpcEnabled=1")
}

/// The parameters: some clients encode the value as a whole once more.
fn once(value: &str) -> Result<Cow<'_, str>, Unreadable> {
    if value.contains('=') { Ok(Cow::Borrowed(value)) } else { decode(value) }
}

/// How much there is, and nothing of it.
impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Groups").field("bytes", &self.list.len()).finish_non_exhaustive()
    }
}

fn decode(text: &str) -> Result<Cow<'_, str>, Unreadable> {
    percent_decode_str(text).decode_utf8().map_err(|_| Unreadable::NotOfThisKind)
}

/// A date as JavaScript's `toString` writes it, `+` for spaces: `Wed Jan 24 2024 13:10:12 GMT+0100 (CET)`.
fn moment_ms(encoded: &str) -> Option<i64> {
    const LENGTH: usize = "Wed Jan 24 2024 13:10:12 GMT+0100".len();
    let spaced: String = encoded.chars().map(|letter| if letter == '+' { ' ' } else { letter }).collect();
    let text = decode(&spaced).ok()?;
    // The sign of the offset, if it is `+` and was not encoded, has become a space too.
    let text = text.replacen("GMT ", "GMT+", 1);
    let read = BrokenDownTime::parse("%a %b %d %Y %H:%M:%S GMT%z", text.get(..LENGTH)?).ok()?;
    read.to_timestamp().ok().map(|at| at.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_cookie_is_read_in_every_way_it_is_encoded() {
        for written in [
            "Wed+Jan+24+2024+13%3A10%3A12+GMT%2B0100+(Central+European+Standard+Time)",
            "Wed%20Jan%2024%202024%2013:10:12%20GMT+0100%20(CET)",
            "Wed Jan 24 2024 12:10:12 GMT+0000 (Greenwich Mean Time)",
        ] {
            assert_eq!(moment_ms(written), Some(1_706_098_212_000), "{written}");
        }
        for written in ["", "2024-01-24", "Wed Jan 24 2024 25:10:12 GMT+0000"] {
            assert_eq!(moment_ms(written), None, "{written}");
        }
    }
}
