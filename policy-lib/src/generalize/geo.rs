//! A place on Earth, to the cell that holds it.

use std::cmp::Ordering;
use std::fmt;

use super::number::{NumberBucket, number};

/// How large the cells are. Each variant is one chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GeoCell {
    /// Degrees cut to this many decimals: 2 is about a kilometre, 1 about eleven, 0 about a hundred.
    Decimals(u8),
    /// A geohash of this many characters: 5 is about five kilometres, 4 about thirty.
    Geohash(u8),
}

/// The finest cells that are still cells: a metre, and one of four square metres.
const DECIMALS_MAX: u8 = 5;
const GEOHASH_MAX: u8 = 10;
/// Nobody writes longer ones: twelve characters are some centimetres.
const GEOHASH_WRITTEN_MAX: usize = 12;

impl GeoCell {
    /// Cells of this many decimals of a degree, 0 to 5.
    #[must_use]
    pub fn decimals(decimals: u64) -> Option<Self> {
        u8::try_from(decimals).ok().filter(|decimals| *decimals <= DECIMALS_MAX).map(Self::Decimals)
    }

    /// Geohash cells of this many characters, 1 to 10.
    #[must_use]
    pub fn geohash(characters: u64) -> Option<Self> {
        u8::try_from(characters).ok().filter(|length| (1..=GEOHASH_MAX).contains(length)).map(Self::Geohash)
    }

    /// `Less` is coarser; `None` between decimals and geohashes, whose cells cross.
    #[must_use]
    pub fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Decimals(ours), Self::Decimals(theirs)) | (Self::Geohash(ours), Self::Geohash(theirs)) => {
                Some(ours.cmp(&theirs))
            }
            _ => None,
        }
    }
}

impl fmt::Display for GeoCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decimals(decimals) => write!(f, "decimals {decimals}"),
            Self::Geohash(characters) => write!(f, "geohash {characters}"),
        }
    }
}

/// Appends the cell that holds the place.
///
/// By decimals, takes one coordinate in degrees, or latitude and longitude with a
/// comma between them (spaces around it are lost), and gives the south-western
/// corner: `-33.8688,151.2093` is in the cell `-33.9,151.2` of one decimal. By
/// geohash, takes latitude and longitude, or a geohash, which is cut; one that is
/// shorter already stays; one of digits alone is taken for a number. Anything else, and degrees
/// that are not on Earth, is `None`.
///
/// Still to be learnt: where someone was, to the size of a cell. Where few people
/// live, a cell of a kilometre is a home; a trail of cells tells home from work.
#[must_use]
pub fn geo(text: &str, cell: GeoCell, out: &mut String) -> Option<()> {
    let pair = text.split_once(',').map(|(latitude, longitude)| (latitude.trim(), longitude.trim()));
    match (cell, pair) {
        (GeoCell::Decimals(decimals), Some((latitude, longitude))) => {
            let mark = out.len();
            let written = corner(latitude, LATITUDE_MAX, decimals, out).and_then(|()| {
                out.push(',');
                corner(longitude, LONGITUDE_MAX, decimals, out)
            });
            if written.is_none() {
                out.truncate(mark);
            }
            written
        }
        (GeoCell::Decimals(decimals), None) => corner(text, LONGITUDE_MAX, decimals, out),
        (GeoCell::Geohash(characters), Some((latitude, longitude))) => {
            let place = (degrees(latitude, LATITUDE_MAX)?, degrees(longitude, LONGITUDE_MAX)?);
            encode(place, characters, out);
            Some(())
        }
        (GeoCell::Geohash(characters), None) => cut(text, characters, out),
    }
}

const LATITUDE_MAX: f64 = 90.0;
const LONGITUDE_MAX: f64 = 180.0;

fn degrees(text: &str, max: f64) -> Option<f64> {
    let written = text.starts_with(|first: char| first.is_ascii_digit() || first == '-');
    text.parse::<f64>().ok().filter(|degrees| written && degrees.abs() <= max)
}

fn corner(text: &str, max: f64, decimals: u8, out: &mut String) -> Option<()> {
    degrees(text, max)?;
    number(text, &NumberBucket::decimals(decimals), out)
}

/// Niemeyer's alphabet: digits and lower-case letters without a, i, l and o.
const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
const BITS_PER_CHARACTER: u8 = 5;

/// Halves longitude and latitude in turn; five answers are one character.
fn encode((latitude, longitude): (f64, f64), characters: u8, out: &mut String) {
    let mut ranges = [(-LONGITUDE_MAX, LONGITUDE_MAX), (-LATITUDE_MAX, LATITUDE_MAX)];
    let mut axes = [longitude, latitude];
    for _ in 0..characters {
        let mut bits = 0_usize;
        for _ in 0..BITS_PER_CHARACTER {
            let ([range, _], [value, _]) = (&mut ranges, axes);
            let middle = f64::midpoint(range.0, range.1);
            let upper = value >= middle;
            *range = if upper { (middle, range.1) } else { (range.0, middle) };
            bits = bits << 1 | usize::from(upper);
            ranges.swap(0, 1);
            axes.swap(0, 1);
        }
        out.push(char::from(ALPHABET.get(bits).copied().unwrap_or_default()));
    }
}

fn cut(text: &str, characters: u8, out: &mut String) -> Option<()> {
    let known = |byte: u8| ALPHABET.contains(&byte.to_ascii_lowercase());
    // A number is more likely a number than one of the few geohashes without a letter.
    let plain_number = text.bytes().all(|byte| byte.is_ascii_digit());
    if text.is_empty() || text.len() > GEOHASH_WRITTEN_MAX || plain_number || !text.bytes().all(known) {
        return None;
    }
    out.extend(text.chars().take(usize::from(characters)).map(|character| character.to_ascii_lowercase()));
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(text: &str, cell: GeoCell) -> Option<String> {
        let mut out = String::new();
        let result = geo(text, cell, &mut out);
        assert!(result.is_some() || out.is_empty());
        result.map(|()| out)
    }

    #[test]
    fn south_western_corners() {
        for (text, decimals, expected) in [
            ("52.520008", 2, "52.52"),
            ("-33.8688", 1, "-33.9"),
            ("151.2093", 0, "151"),
            ("-0.05", 1, "-0.1"),
            ("5.2520008e1", 1, "52.5"),
            ("-33.8688,151.2093", 1, "-33.9,151.2"),
            ("-33.8688, 151.2093", 1, "-33.9,151.2"),
            ("180", 1, "180.0"),
        ] {
            assert_eq!(told(text, GeoCell::Decimals(decimals)).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn published_geohashes() {
        // From Niemeyer's announcement and the geohash article of Wikipedia.
        for (text, characters, expected) in [
            ("57.64911,10.40744", 10, "u4pruydqqv"),
            ("57.64911,10.40744", 5, "u4pru"),
            ("42.605,-5.603", 5, "ezs42"),
            ("-25.382708,-49.265506", 8, "6gkzwgjz"),
            ("u4pruydqqvj", 4, "u4pr"),
            ("U4PR", 3, "u4p"),
            ("u4", 5, "u4"),
        ] {
            assert_eq!(told(text, GeoCell::Geohash(characters)).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for text in
            ["", ",", "52.5,", "91,0", "0,181", "181", "north", "+52.5", "52,5,3", "NaN", "inf", "1_0", "52.5;13"]
        {
            assert_eq!(told(text, GeoCell::Decimals(2)), None, "{text}");
        }
        for text in [
            "4111111111111111",
            "17638",
            "u4pruydqqvj00",
            "",
            "ab!",
            "alio",
            "91,0",
            "u4pruydqqvju4pruydqqvju4pruydqqvj",
            "NaN,0",
            "ü",
        ] {
            assert_eq!(told(text, GeoCell::Geohash(5)), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn coarse_after_fine_is_coarse(latitude in -90.0..90.0_f64, longitude in -180.0..180.0_f64, fine in 1..=5_u8) {
            let text = format!("{latitude:.7},{longitude:.7}");
            for coarse in 0..fine {
                let step = told(&text, GeoCell::Decimals(fine)).unwrap();
                // The corner of a cell at the edge may lie off the Earth; then the finer step says nothing more.
                if let Some(again) = told(&step, GeoCell::Decimals(coarse)) {
                    prop_assert_eq!(Some(again), told(&text, GeoCell::Decimals(coarse)));
                }
                let hashed = told(&text, GeoCell::Geohash(fine + 1)).unwrap();
                // The few that are digits alone are refused when they come again.
                if let Some(again) = told(&hashed, GeoCell::Geohash(coarse + 1)) {
                    prop_assert_eq!(Some(again), told(&text, GeoCell::Geohash(coarse + 1)));
                }
            }
        }

        #[test]
        fn anything_may_come(text in any::<String>(), near in "[-+0-9.,e ]{0,30}") {
            for cell in [GeoCell::Decimals(2), GeoCell::Geohash(5)] {
                told(&text, cell);
                told(&near, cell);
            }
        }
    }
}
