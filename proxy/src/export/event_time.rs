//! When an event says that it happened.
//!
//! Promise: a time that cannot be read is no time, and the event then counts as
//! it arrives. Reads a date and time with an offset from UTC (RFC 3339), and
//! whole numbers since 1970 in seconds, milliseconds, microseconds or
//! nanoseconds, told apart by size as `generalize` does.

use jiff::Timestamp;

/// The time in seconds since the epoch, a fraction cut off.
pub(crate) fn seconds(written: &str) -> Option<i64> {
    match written.parse::<i64>() {
        Ok(number) => Some(seconds_of(number)),
        Err(_) => written.parse::<Timestamp>().ok().map(Timestamp::as_second),
    }
}

fn seconds_of(number: i64) -> i64 {
    let per_second = match number.unsigned_abs() {
        0..10_000_000_000 => 1,
        10_000_000_000..10_000_000_000_000 => 1_000,
        10_000_000_000_000..10_000_000_000_000_000 => 1_000_000,
        _ => 1_000_000_000,
    };
    number.div_euclid(per_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_however_it_is_counted() {
        for written in [
            "2026-11-21T12:00:00Z",
            "2026-11-21T12:00:00.999Z",
            "2026-11-21T13:00:00+01:00",
            "1795262400",
            "1795262400123",
            "1795262400123456",
            "1795262400123456789",
        ] {
            assert_eq!(seconds(written), Some(1_795_262_400), "{written}");
        }
        assert_eq!(seconds("-1"), Some(-1));
        for written in ["", "noon", "2026-11-21", "2026-11-21T12:00:00", "1.5e9", "99999999999999999999"] {
            assert_eq!(seconds(written), None, "{written}");
        }
    }
}
