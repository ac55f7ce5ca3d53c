//! A moment, to the start of its minute, hour, day or month.

use std::cmp::Ordering;
use std::fmt::{self, Write};
use std::ops::Range;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::number::floor_whole;

/// What a moment is told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimeGrain {
    /// The start of its minute.
    Minute,
    /// The start of its hour.
    Hour,
    /// The start of its day.
    Day,
    /// The start of its month.
    Month,
}

impl TimeGrain {
    /// Every grain, from fine to coarse.
    pub const ALL: [Self; 4] = [Self::Minute, Self::Hour, Self::Day, Self::Month];

    /// The word policies use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// `Less` is coarser; one chain, so there is always an answer.
    #[must_use]
    pub fn compare(self, other: Self) -> Option<Ordering> {
        Some(other.cmp(&self))
    }
}

impl fmt::Display for TimeGrain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Appends the start of the minute, hour, day or month that holds the moment.
///
/// Takes dates and date-times of ISO 8601 and RFC 3339 as clients really send them
/// (with or without seconds, fraction and offset, a space for the `T`, fields of
/// one digit, the basic form `20150202T003012Z`), and zeroes fields in place:
/// length, offset and notation stay, and the grain is that of the writer's own
/// clock. Takes numbers since 1970 in seconds, milliseconds, microseconds or
/// nanoseconds, told apart by size (a value below 10^10 is in seconds, so a number
/// of milliseconds in the first 116 days around 1970 is taken for seconds), and
/// gives a whole number with the grain of UTC. Anything else, such as a named time
/// zone, a day that is in no calendar or a year beyond four digits, is `None`.
///
/// Still to be learnt: the order of events at the grain and the writer's offset
/// from UTC, hence a region. Rare events stand alone in their hour: joined with
/// another source that has the exact time, they can be matched again.
#[must_use]
pub fn time(text: &str, grain: TimeGrain, out: &mut String) -> Option<()> {
    match Fields::read(text.as_bytes()) {
        Some(fields) => {
            fields.zero(text, grain, out);
            Some(())
        }
        None => since_1970(text, grain, out),
    }
}

/// Where the fields of a date-time stand; a field that is not there is empty.
#[derive(Debug, Default)]
struct Fields {
    day: Range<usize>,
    hour: Range<usize>,
    minute: Range<usize>,
    second: Range<usize>,
    fraction: Range<usize>,
}

impl Fields {
    fn read(text: &[u8]) -> Option<Self> {
        let mut cursor = Cursor { text, at: 0 };
        let (year, _) = cursor.number(4..=4)?;
        let mut fields = Self::default();
        let is_basic = !cursor.take(b"-");
        let digits = if is_basic { 2..=2 } else { 1..=2 };
        let (month, _) = cursor.number(digits.clone())?;
        if cursor.is_done() && !is_basic && (1..=12).contains(&month) {
            return Some(fields);
        }
        if !is_basic && !cursor.take(b"-") {
            return None;
        }
        let (day, place) = cursor.number(digits)?;
        fields.day = place;
        Date::new(year.try_into().ok()?, month.try_into().ok()?, day.try_into().ok()?).ok()?;
        if cursor.is_done() {
            // Eight digits alone are more likely a number.
            return (!is_basic).then_some(fields);
        }
        if !(cursor.take(b"Tt") || !is_basic && cursor.take(b" ")) {
            return None;
        }
        fields.read_clock(&mut cursor, is_basic)?;
        cursor.offset()?;
        cursor.is_done().then_some(fields)
    }

    fn read_clock(&mut self, cursor: &mut Cursor<'_>, is_basic: bool) -> Option<()> {
        let digits = if is_basic { 2..=2 } else { 1..=2 };
        let field = |cursor: &mut Cursor<'_>, max: u32| {
            cursor.number(digits.clone()).filter(|(value, _)| *value <= max).map(|(_, place)| place)
        };
        let goes_on = |cursor: &mut Cursor<'_>| if is_basic { cursor.is_digit() } else { cursor.take(b":") };
        self.hour = field(cursor, 23)?;
        if goes_on(cursor) {
            self.minute = field(cursor, 59)?;
            if goes_on(cursor) {
                // 60 is a leap second.
                self.second = field(cursor, 60)?;
            }
        }
        if !self.minute.is_empty() && cursor.take(b".,") {
            let (_, place) = cursor.number(1..=FRACTION_DIGITS_MAX)?;
            self.fraction = place;
        }
        Some(())
    }

    /// Appends the text with every field finer than the grain at its lowest.
    fn zero(&self, text: &str, grain: TimeGrain, out: &mut String) {
        let fields = [
            (&self.day, TimeGrain::Month),
            (&self.hour, TimeGrain::Day),
            (&self.minute, TimeGrain::Hour),
            (&self.second, TimeGrain::Minute),
            (&self.fraction, TimeGrain::Minute),
        ];
        let mut from = 0;
        for (field, _) in fields.into_iter().filter(|(field, coarse)| grain >= *coarse && !field.is_empty()) {
            out.push_str(text.get(from..field.start).unwrap_or_default());
            out.extend(field.clone().skip(1).map(|_| '0'));
            out.push(if *field == self.day { '1' } else { '0' });
            from = field.end;
        }
        out.push_str(text.get(from..).unwrap_or_default());
    }
}

/// More digits than attoseconds need are no fraction of a second.
const FRACTION_DIGITS_MAX: usize = 18;

/// A place in a date-time.
struct Cursor<'t> {
    text: &'t [u8],
    at: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn is_done(&self) -> bool {
        self.at == self.text.len()
    }

    fn is_digit(&self) -> bool {
        self.peek().is_some_and(|byte| byte.is_ascii_digit())
    }

    /// Steps over one of these bytes, if it is next.
    fn take(&mut self, any: &[u8]) -> bool {
        let is_next = self.peek().is_some_and(|byte| any.contains(&byte));
        self.at += usize::from(is_next);
        is_next
    }

    /// A number of so many digits and its place. What does not fit 32 bits is only measured.
    fn number(&mut self, digits: std::ops::RangeInclusive<usize>) -> Option<(u32, Range<usize>)> {
        let start = self.at;
        let mut value = 0_u32;
        while self.is_digit() && self.at - start < *digits.end() {
            value = value.wrapping_mul(10).wrapping_add(u32::from(self.peek()? - b'0'));
            self.at += 1;
        }
        digits.contains(&(self.at - start)).then_some((value, start..self.at))
    }

    /// `Z`, `+01:00`, `-0800`, `+01`, ` UTC`, or nothing.
    fn offset(&mut self) -> Option<()> {
        let rest = self.text.get(self.at..)?;
        if rest.is_empty() {
            return Some(());
        }
        let words: [&[u8]; 5] = [b"Z", b"z", b" Z", b" UTC", b" GMT"];
        if words.contains(&rest) {
            self.at = self.text.len();
            return Some(());
        }
        self.take(b" ");
        if !self.take(b"+-") {
            return None;
        }
        self.number(2..=2).filter(|(hours, _)| *hours <= 23)?;
        if !self.is_done() {
            self.take(b":");
            self.number(2..=2).filter(|(minutes, _)| *minutes <= 59)?;
        }
        Some(())
    }
}

/// A number of seconds, milliseconds, microseconds or nanoseconds since 1970.
fn since_1970(text: &str, grain: TimeGrain, out: &mut String) -> Option<()> {
    let moment = floor_whole(text)?;
    let (counted, per_second) = UNITS.into_iter().find(|(counted, _)| counted.contains(&moment.unsigned_abs()))?;
    let second = i64::try_from(moment.div_euclid(per_second)).ok()?;
    let start = i128::from(start_second(second, grain)?) * per_second;
    // A unit is told by its size, so what begins before the unit does begins with it: else it would be read in another.
    let least = if moment < 0 { 1 - i128::try_from(counted.end).ok()? } else { i128::try_from(counted.start).ok()? };
    write!(out, "{}", start.max(least)).ok()
}

/// The sizes of numbers that count in a unit, and how many of it make a second.
const UNITS: [(Range<u128>, i128); 4] = [
    (0..10_000_000_000, 1),
    (10_000_000_000..10_000_000_000_000, 1_000),
    (10_000_000_000_000..10_000_000_000_000_000, 1_000_000),
    (10_000_000_000_000_000..10_000_000_000_000_000_000, 1_000_000_000),
];

/// The first second of the minute, hour, day or month of UTC that holds this one.
fn start_second(second: i64, grain: TimeGrain) -> Option<i64> {
    let floor = |step: i64| second.div_euclid(step) * step;
    match grain {
        TimeGrain::Minute => Some(floor(60)),
        TimeGrain::Hour => Some(floor(3_600)),
        TimeGrain::Day => Some(floor(86_400)),
        TimeGrain::Month => {
            let date = Timestamp::from_second(second).ok()?.to_zoned(TimeZone::UTC).date();
            Some(date.first_of_month().to_zoned(TimeZone::UTC).ok()?.timestamp().as_second())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(text: &str, grain: TimeGrain) -> Option<String> {
        let mut out = String::from("kept ");
        let result = time(text, grain, &mut out);
        assert_eq!(result.is_none(), out == "kept ");
        result.map(|()| out.split_off(5))
    }

    #[test]
    fn fields_are_zeroed_in_place() {
        use TimeGrain::{Day, Hour, Minute, Month};
        for (text, grain, expected) in [
            ("2015-02-12T19:11:01.143Z", Minute, "2015-02-12T19:11:00.000Z"),
            ("2015-02-12T19:11:01.143Z", Hour, "2015-02-12T19:00:00.000Z"),
            ("2015-02-12T19:11:01.143Z", Day, "2015-02-12T00:00:00.000Z"),
            ("2015-02-12T19:11:01.143Z", Month, "2015-02-01T00:00:00.000Z"),
            ("2015-2-02T00:30:12.984Z", Hour, "2015-2-02T00:00:00.000Z"),
            ("2015-2-2 9:5:7", Day, "2015-2-2 0:0:0"),
            ("2015-2-2", Month, "2015-2-1"),
            ("2015-02-12", Hour, "2015-02-12"),
            ("2015-02", Month, "2015-02"),
            ("2024-02-29T23:59:60+05:30", Hour, "2024-02-29T23:00:00+05:30"),
            ("2024-02-29t23:59:59,5-0800", Minute, "2024-02-29t23:59:00,0-0800"),
            ("2024-02-29 23:59:59.123456789 +00:00", Day, "2024-02-29 00:00:00.000000000 +00:00"),
            ("2024-02-29 23:59:59 UTC", Hour, "2024-02-29 23:00:00 UTC"),
            ("2024-02-29T23:59", Hour, "2024-02-29T23:00"),
            ("2024-02-29T23Z", Day, "2024-02-29T00Z"),
            ("20150202T003012Z", Hour, "20150202T000000Z"),
            ("0000-01-01T00:00:00Z", Month, "0000-01-01T00:00:00Z"),
        ] {
            assert_eq!(told(text, grain).as_deref(), Some(expected), "{text} {grain}");
        }
    }

    #[test]
    fn numbers_since_1970_become_multiples() {
        use TimeGrain::{Day, Hour, Minute, Month};
        for (text, grain, expected) in [
            ("1700000123", Minute, "1700000100"),
            ("1700000123", Hour, "1699999200"),
            ("1700000123456", Hour, "1699999200000"),
            ("1700000123456789", Hour, "1699999200000000"),
            ("1700000123456789012", Hour, "1699999200000000000"),
            ("1700000123.456", Day, "1699920000"),
            ("1.700000123456e12", Day, "1699920000000"),
            ("1700000123", Month, "1698796800"),
            ("1700000123456", Month, "1698796800000"),
            ("-1", Hour, "-3600"),
            ("-1", Month, "-2678400"),
            ("-0", Hour, "0"),
            ("0", Month, "0"),
            ("-86400000000", Day, "-86400000000"),
        ] {
            assert_eq!(told(text, grain).as_deref(), Some(expected), "{text} {grain}");
        }
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            " ",
            "yesterday",
            "2015-13-01",
            "2015-02-30",
            "2015-00-10",
            "2015-02-12T24:00:00Z",
            "2015-02-12T19:60:00Z",
            "2015-02-12T19:11:01.Z",
            "2015-02-12T19:11:01[Europe/Berlin]",
            "2015-02-12T19:11:01+5",
            "2015-02-12T19:11:01 CET",
            "2015-02-12T",
            "2015-02-12T19:11:01Zx",
            " 2015-02-12",
            "2015-02-12 ",
            "+12015-02-12",
            "15-02-12",
            "2015/02/12",
            "Thu, 12 Feb 2015 19:11:01 GMT",
            "1e99",
            "100000000000000000000",
            "1700000123s",
            "0x10",
            "01700000123",
            "+1700000123",
            "２０１５-02-12",
            "2015-02-12T19:11:01.1234567890123456789Z",
            "NaN",
        ] {
            assert_eq!(told(text, TimeGrain::Hour), None, "{text}");
        }
    }

    fn grain() -> impl Strategy<Value = TimeGrain> {
        proptest::sample::select(TimeGrain::ALL.to_vec())
    }

    fn moment() -> impl Strategy<Value = String> {
        prop_oneof![
            "(19|20)[0-9]{2}-(0?[1-9]|1[0-2])-(0?[1-9]|1[0-9]|2[0-8])([T ]([01]?[0-9]|2[0-3]):[0-5]?[0-9](:[0-5]?[0-9]([.,][0-9]{1,9})?)?(Z|[+-][01][0-9]:?[0-5][0-9])?)?",
            "-?[1-9][0-9]{0,18}(\\.[0-9]{1,6})?",
        ]
    }

    #[test]
    fn what_was_made_coarse_is_read_in_the_unit_it_came_in() {
        for text in ["10000000000", "10000000000000", "10000000059999", "-9999999999", "-9999999999999"] {
            let minute = told(text, TimeGrain::Minute).unwrap();
            assert_eq!(told(&minute, TimeGrain::Hour), told(text, TimeGrain::Hour), "{text}");
        }
    }

    proptest! {
        #[test]
        fn coarse_after_fine_is_coarse(text in moment(), a in grain(), b in grain()) {
            let (fine, coarse) = (a.min(b), a.max(b));
            let at_once = told(&text, coarse);
            prop_assert!(at_once.is_some());
            prop_assert_eq!(told(&told(&text, fine).unwrap(), coarse), at_once.clone());
            prop_assert_eq!(told(at_once.as_ref().unwrap(), coarse), at_once);
        }

        #[test]
        fn length_stays_and_anything_may_come(text in moment(), junk in any::<String>(), grain in grain()) {
            if text.contains(['-', 'T']) && !text.starts_with('-') {
                prop_assert_eq!(told(&text, grain).unwrap().len(), text.len());
            }
            told(&junk, grain);
        }
    }
}
