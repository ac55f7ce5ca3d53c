//! An age in years, to the band that holds it.

use std::cmp::Ordering;
use std::fmt;

use super::number::floor_whole;

/// The ages at which bands begin, as bits; the first band begins at 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AgeBands(u128);

/// The oldest age that may begin a band, in years.
const YEARS_MAX: u32 = 120;
/// No person is older than this, in years.
const AGE_MAX: u32 = 150;

impl Default for AgeBands {
    /// Bands at 13, 16, 18, 25, 35, 45, 55 and 65: the ages of consent, then tens.
    fn default() -> Self {
        Self([13, 16, 18, 25, 35, 45, 55, 65].into_iter().fold(0, |bits, years| bits | 1 << years))
    }
}

impl AgeBands {
    /// Bands that begin at these ages, each from 1 to 120 and older than the one before; at least one.
    #[must_use]
    pub fn beginning(at: &[u64]) -> Option<Self> {
        let ascending = at.windows(2).all(|pair| matches!(pair, [younger, older] if younger < older));
        let known = at.iter().all(|years| (1..=u64::from(YEARS_MAX)).contains(years));
        let bits = at.iter().fold(0, |bits, years| bits | 1_u128.checked_shl(*years as u32).unwrap_or(0));
        (ascending && known && !at.is_empty()).then_some(Self(bits))
    }

    /// `Less` is coarser: bands made of whole bands of the other. `None` if neither is.
    #[must_use]
    pub const fn compare(self, other: Self) -> Option<Ordering> {
        if self.0 == other.0 {
            Some(Ordering::Equal)
        } else if self.0 & other.0 == self.0 {
            Some(Ordering::Less)
        } else if self.0 & other.0 == other.0 {
            Some(Ordering::Greater)
        } else {
            None
        }
    }

    fn beginnings(self) -> impl Iterator<Item = u32> {
        (1..=YEARS_MAX).filter(move |years| self.0 >> years & 1 == 1)
    }

    /// The youngest age of the band that holds this one.
    fn youngest(self, years: u32) -> u32 {
        self.beginnings().take_while(|begin| *begin <= years).last().unwrap_or(0)
    }

    /// The oldest age of the band that begins here, unless it has no end.
    fn oldest(self, youngest: u32) -> Option<u32> {
        self.beginnings().find(|begin| *begin > youngest).map(|next| next - 1)
    }
}

impl fmt::Display for AgeBands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, years) in self.beginnings().enumerate() {
            write!(f, "{}{years}", if number > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

/// How a band is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgeNotation {
    /// `25-34`, and `65+` for the band without an end.
    Band,
    /// The youngest age of it, where the value is a number and has to stay one.
    Youngest,
}

/// Appends the band that holds an age.
///
/// Takes years as JSON writes a number, or a band such as `25-34` or `65+` that
/// lies in one of these bands; anything else, ages below 0 or above 150 included,
/// is `None`.
///
/// Still to be learnt: the band, and in it whether someone is a minor. Bands of few
/// years, or of old age, single people out where few others are that old.
#[must_use]
pub fn age(text: &str, bands: AgeBands, notation: AgeNotation, out: &mut String) -> Option<()> {
    let youngest = match text.strip_suffix('+') {
        Some(from) => {
            let youngest = bands.youngest(years(from)?);
            bands.oldest(youngest).is_none().then_some(youngest)?
        }
        None => match text.split_once('-').filter(|(from, _)| !from.is_empty()) {
            Some((from, to)) => {
                let (from, to) = (bands.youngest(years(from)?), bands.youngest(years(to)?));
                (from == to).then_some(from)?
            }
            None => bands.youngest(years(text)?),
        },
    };
    match (notation, bands.oldest(youngest)) {
        (AgeNotation::Youngest, _) => out.push_str(&youngest.to_string()),
        (AgeNotation::Band, Some(oldest)) => out.push_str(&format!("{youngest}-{oldest}")),
        (AgeNotation::Band, None) => out.push_str(&format!("{youngest}+")),
    }
    Some(())
}

fn years(text: &str) -> Option<u32> {
    u32::try_from(floor_whole(text)?).ok().filter(|years| *years <= AGE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(text: &str, bands: AgeBands) -> Option<String> {
        let mut out = String::new();
        let result = age(text, bands, AgeNotation::Band, &mut out);
        assert!(result.is_some() || out.is_empty());
        result.map(|()| out)
    }

    #[test]
    fn bands() {
        let bands = AgeBands::default();
        for (text, expected) in [
            ("0", "0-12"),
            ("12", "0-12"),
            ("13", "13-15"),
            ("17", "16-17"),
            ("29", "25-34"),
            ("29.5", "25-34"),
            ("65", "65+"),
            ("104", "65+"),
            ("26-30", "25-34"),
            ("70+", "65+"),
        ] {
            assert_eq!(told(text, bands).as_deref(), Some(expected), "{text}");
        }
        let mut youngest = String::new();
        age("29", bands, AgeNotation::Youngest, &mut youngest).unwrap();
        assert_eq!(youngest, "25");
    }

    #[test]
    fn what_is_no_age_is_refused() {
        for text in ["", "-1", "151", "old", "25-36", "20+", "+", "-", "1990-01-01", "25-", " 3"] {
            assert_eq!(told(text, AgeBands::default()), None, "{text}");
        }
    }

    #[test]
    fn beginnings_ascend() {
        for refused in [&[][..], &[0], &[18, 18], &[18, 13], &[121], &[u64::MAX]] {
            assert_eq!(AgeBands::beginning(refused), None, "{refused:?}");
        }
        assert_eq!(AgeBands::beginning(&[18, 65]).unwrap().to_string(), "18,65");
        let compare = |a: &[u64], b: &[u64]| AgeBands::beginning(a).unwrap().compare(AgeBands::beginning(b).unwrap());
        assert_eq!(compare(&[18], &[18, 65]), Some(Ordering::Less));
        assert_eq!(compare(&[18, 65], &[65]), Some(Ordering::Greater));
        assert_eq!(compare(&[18], &[18]), Some(Ordering::Equal));
        assert_eq!(compare(&[18], &[21]), None);
    }

    proptest! {
        #[test]
        fn coarse_after_fine_is_coarse(years in 0..=150_u32, fine in 1..u128::MAX >> 8, keep in any::<u128>()) {
            let fine = AgeBands(fine & !1);
            let coarse = AgeBands(fine.0 & keep);
            prop_assume!(fine.0 > 0 && coarse.0 > 0);
            let step = told(&years.to_string(), fine).unwrap();
            prop_assert_eq!(told(&step, coarse), told(&years.to_string(), coarse));
        }

        #[test]
        fn anything_may_come(text in any::<String>(), near in "[-+0-9.e]{0,12}") {
            told(&text, AgeBands::default());
            told(&near, AgeBands::default());
        }
    }
}
