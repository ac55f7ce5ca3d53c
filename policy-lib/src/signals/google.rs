//! Google's consent mode: `gcs` and `gcd` of its tags, and `consent` of the Measurement Protocol.
//!
//! Google documents none of the letters of `gcd`; they are what many people observed.
//! A letter that nobody has explained, the upper-case ones among them, denies.

use privet_json::{Kind, Node};

use super::{Said, Unreadable, there};

/// What is said of one of Google's storages or uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GoogleConsent {
    /// By default or by an update.
    Granted,
    /// By default, by an update, or in a way that nobody has explained.
    Denied,
    /// Never set.
    Unset,
}

impl GoogleConsent {
    /// The word for outputs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Denied => "denied",
            Self::Unset => "unset",
        }
    }

    const fn of_gcs(digit: u8) -> Result<Self, Unreadable> {
        match digit {
            b'1' => Ok(Self::Granted),
            b'0' => Ok(Self::Denied),
            b'-' => Ok(Self::Unset),
            _ => Err(Unreadable::NotAnAnswer),
        }
    }

    const fn of_gcd(letter: u8) -> Self {
        match letter {
            b't' | b'r' | b'n' | b'v' => Self::Granted,
            b'l' => Self::Unset,
            _ => Self::Denied,
        }
    }
}

/// `gcs=G1xy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gcs {
    /// Storage for advertising.
    pub ad_storage: GoogleConsent,
    /// Storage for analytics.
    pub analytics_storage: GoogleConsent,
}

impl Gcs {
    /// Reads `G1` and two of `1`, `0` and `-`.
    ///
    /// # Errors
    /// [`Unreadable`] for anything else.
    ///
    /// ```
    /// use privet_policy::signals::google::{Gcs, GoogleConsent};
    ///
    /// let read = Gcs::read("G10-")?;
    /// assert_eq!((read.ad_storage, read.analytics_storage), (GoogleConsent::Denied, GoogleConsent::Unset));
    /// # Ok::<(), privet_policy::signals::Unreadable>(())
    /// ```
    pub fn read(text: &str) -> Result<Self, Unreadable> {
        let [b'G', version, ad, analytics] = *text.as_bytes() else {
            return Err(if text.is_empty() { Unreadable::Empty } else { Unreadable::NotOfThisKind });
        };
        if version != b'1' {
            return Err(Unreadable::UnknownVersion);
        }
        Ok(Self { ad_storage: GoogleConsent::of_gcs(ad)?, analytics_storage: GoogleConsent::of_gcs(analytics)? })
    }
}

/// `gcd=11l1l1l1l5` and the like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gcd {
    /// Storage for advertising.
    pub ad_storage: GoogleConsent,
    /// Storage for analytics.
    pub analytics_storage: GoogleConsent,
    /// Sending a person's data for advertising.
    pub ad_user_data: GoogleConsent,
    /// Personalized advertising.
    pub ad_personalization: GoogleConsent,
}

/// The longest seen has 12 characters.
const GCD_BYTES_MAX: usize = 64;

impl Gcd {
    /// Reads `1`, then four letters with a digit before each; of what follows only that it is letters and digits.
    ///
    /// # Errors
    /// [`Unreadable`] for anything else.
    ///
    /// ```
    /// use privet_policy::signals::google::{Gcd, GoogleConsent};
    ///
    /// let read = Gcd::read("13l3t3R3q5l1")?;
    /// assert_eq!(read.ad_storage, GoogleConsent::Unset);
    /// assert_eq!(read.analytics_storage, GoogleConsent::Granted);
    /// assert_eq!(read.ad_user_data, GoogleConsent::Denied, "nobody has explained `R`");
    /// # Ok::<(), privet_policy::signals::Unreadable>(())
    /// ```
    pub fn read(text: &str) -> Result<Self, Unreadable> {
        let bytes = text.as_bytes();
        if bytes.len() > GCD_BYTES_MAX {
            return Err(Unreadable::TooLong);
        }
        let [first, d1, ad, d2, analytics, d3, user_data, d4, personalization, rest @ ..] = bytes else {
            return Err(if bytes.is_empty() { Unreadable::Empty } else { Unreadable::Truncated });
        };
        let digits = [d1, d2, d3, d4].iter().all(|digit| digit.is_ascii_digit());
        let letters = [ad, analytics, user_data, personalization];
        let said = letters.iter().all(|letter| letter.is_ascii_alphabetic());
        if *first != b'1' || !digits || !said || !rest.iter().all(u8::is_ascii_alphanumeric) {
            return Err(Unreadable::NotOfThisKind);
        }
        let [ad_storage, analytics_storage, ad_user_data, ad_personalization] =
            letters.map(|letter| GoogleConsent::of_gcd(*letter));
        Ok(Self { ad_storage, analytics_storage, ad_user_data, ad_personalization })
    }
}

/// `consent` in a request of the Measurement Protocol: `ad_user_data` and `ad_personalization`, `GRANTED` or `DENIED`.
#[derive(Clone, Copy, Debug)]
pub enum MeasurementConsent<'a> {
    /// There is none.
    Absent,
    /// Something stands in its place that is no object.
    Unreadable,
    /// The object.
    Written(Node<'a>),
}

impl<'a> MeasurementConsent<'a> {
    /// Finds it in the body of a request.
    #[must_use]
    pub fn of(body: Node<'a>) -> Self {
        match there(body, "consent") {
            None => Self::Absent,
            Some(consent) if consent.kind() == Kind::Object => Self::Written(consent),
            Some(_) => Self::Unreadable,
        }
    }

    /// What it says of one use. Of a use that a present object leaves out it says nothing: Google takes its own default.
    #[must_use]
    pub fn category(&self, name: &str) -> Said {
        let Self::Written(consent) = self else {
            return if matches!(self, Self::Absent) { Said::Absent } else { Said::Unreadable };
        };
        match there(*consent, name) {
            None => Said::Absent,
            Some(said) if said.is_text("GRANTED") => Said::Granted,
            Some(said) if said.is_text("DENIED") => Said::Refused,
            Some(_) => Said::Unreadable,
        }
    }
}
